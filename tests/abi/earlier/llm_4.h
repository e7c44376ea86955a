/* SPDX-License-Identifier: MIT
 * llm.h as it stood at commit a2615f4, without its comments. Programs were compiled against it: never edit it. */
#ifndef LLM_H
#define LLM_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
template <class T> inline T llm_init_() { T d = T(); d.struct_size = static_cast<uint32_t>(sizeof(T)); return d; }
#define LLM_INIT(type) llm_init_<type>()
extern "C" {
#else
#define LLM_INIT(type) { .struct_size = (uint32_t)sizeof(type) }
#endif
#ifndef LLM_API
#if defined(_WIN32) && defined(LLM_SHARED) && !defined(LLM_BUILDING)
#define LLM_API __declspec(dllimport)
#elif defined(__GNUC__) && defined(LLM_BUILDING) && !defined(_WIN32)
#define LLM_API __attribute__((visibility("default")))
#else
#define LLM_API
#endif
#endif
#define LLM_ABI     0x00000001u
#define LLM_NUL     ((size_t)-1)
#define LLM_FOREVER INT64_MAX
typedef int32_t llm_status;
enum {
    LLM_OK = 0,
    LLM_MORE = 1,
    LLM_E_INVALID = -1,
    LLM_E_STATE = -2,
    LLM_E_BUSY = -3,
    LLM_E_MEMORY = -4,
    LLM_E_IO = -5,
    LLM_E_FORMAT = -6,
    LLM_E_UNSUPPORTED = -7,
    LLM_E_VERSION = -8,
    LLM_E_CANCELLED = -9,
    LLM_E_CONTEXT_FULL = -10,
    LLM_E_SPACE = -11,
    LLM_E_DEVICE_LOST = -12,
    LLM_E_NO_DEVICE = -13,
    LLM_E_NUMERIC = -14,
    LLM_E_LIMIT = -15,
    LLM_E_NOT_FOUND = -16,
    LLM_E_INTERNAL = -17,
    LLM_E_MISMATCH = -18
};
typedef struct llm_error {
    llm_status status;
    uint32_t   message_len;
    uint64_t   offset;
    char       subject[112];
    char       message[384];
} llm_error;
LLM_API uint32_t    llm_version(void);
LLM_API const char *llm_status_name(llm_status status);
enum { LLM_FEATURE_CPU = 1, LLM_FEATURE_VULKAN = 2, LLM_FEATURE_STATE_INT8 = 3, LLM_FEATURE_PACK = 4, LLM_FEATURE_CHAT = 5,
       LLM_FEATURE_SAVE = 6 };
LLM_API int32_t     llm_has(int32_t feature);
typedef int32_t llm_token;
#define LLM_TOKEN_NONE (-1)
typedef struct llm_str         { const char *ptr; size_t len; } llm_str;
typedef struct llm_token_bias  { llm_token token; float bias; } llm_token_bias;
typedef struct llm_token_score { llm_token token; float log_prob; } llm_token_score;
typedef struct llm_engine    llm_engine;
typedef struct llm_model     llm_model;
typedef struct llm_tokenizer llm_tokenizer;
typedef struct llm_sampler   llm_sampler;
typedef struct llm_session   llm_session;
typedef struct llm_chat      llm_chat;
enum {
    LLM_MEMORY_OTHER = 0, LLM_MEMORY_WEIGHTS = 1, LLM_MEMORY_STATE = 2, LLM_MEMORY_ARENA = 3, LLM_MEMORY_TOKENIZER = 4
};
typedef struct llm_allocator {
    uint32_t struct_size, reserved;
    void *user;
    void *(*allocate)(void *user, size_t size, size_t align, int32_t kind);
    void  (*release)(void *user, void *ptr, size_t size, size_t align, int32_t kind);
    void *reserved_ptr;
} llm_allocator;
enum { LLM_LOG_ERROR = 1, LLM_LOG_WARN = 2, LLM_LOG_INFO = 3, LLM_LOG_DEBUG = 4 };
typedef struct llm_logger {
    uint32_t struct_size;
    int32_t  level;
    void *user;
    void (*write)(void *user, int32_t level, const char *text, size_t len);
} llm_logger;
typedef struct llm_parallel {
    uint32_t struct_size;
    uint32_t n_threads;
    void *user;
    void (*run)(void *user, uint32_t n, void (*job)(void *data, uint32_t i), void *data);
} llm_parallel;
typedef struct llm_reader {
    uint32_t struct_size, reserved;
    uint64_t size;
    void *user;
    llm_status (*read)(void *user, uint64_t offset, void *out, size_t n);
} llm_reader;
typedef struct llm_writer {
    uint32_t struct_size, reserved;
    void *user;
    llm_status (*write)(void *user, const void *data, size_t n);
} llm_writer;
enum { LLM_SINK_PATH = 0, LLM_SINK_WRITER = 1 };
typedef struct llm_sink {
    uint32_t struct_size;
    int32_t  kind;
    const char *path; size_t path_len;
    const llm_writer *writer;
    const void *reserved_ptr;
} llm_sink;
enum { LLM_VULKAN_LOW_PRIORITY = 1,
       LLM_VULKAN_VALIDATE = 2 };
typedef struct llm_vulkan {
    uint32_t struct_size, flags;
    uint32_t submit_ms;
    uint32_t queue_family;
    uint64_t memory_limit;
    void *user;
    void (*(*get_proc)(void *user, void *instance, const char *name))(void);
    void *instance, *physical_device, *device, *queue;
    void (*lock)(void *user);
    void (*unlock)(void *user);
} llm_vulkan;
enum { LLM_ENGINE_GPUS = 1 };
enum { LLM_CPU_REFERENCE = 1, LLM_CPU_AVX2 = 2, LLM_CPU_AVX512 = 3, LLM_CPU_NEON = 4,
       LLM_CPU_NEON_I8MM = 5,
       LLM_CPU_AMX = 6 };
typedef struct llm_engine_desc {
    uint32_t struct_size, flags;
    int32_t  n_threads;
    int32_t  n_arenas;
    int32_t  n_chunk;
    int32_t  cpu_tier;
    uint64_t memory_limit;
    const llm_allocator *allocator;
    const llm_logger    *logger;
    const llm_parallel  *parallel;
    const llm_vulkan    *vulkan;
} llm_engine_desc;
LLM_API llm_status llm_engine_create(uint32_t abi, const llm_engine_desc *desc, llm_engine **out, llm_error *error);
LLM_API void       llm_engine_free(llm_engine *engine);
typedef struct llm_engine_info {
    uint32_t struct_size;
    int32_t  n_threads, n_arenas, n_chunk;
    int32_t  cpu_tier, reserved;
    uint64_t memory_used, memory_peak;
} llm_engine_info;
LLM_API llm_status llm_engine_get_info(const llm_engine *engine, llm_engine_info *info, llm_error *error);
enum { LLM_DEVICE_KIND_CPU = 1, LLM_DEVICE_KIND_INTEGRATED = 2, LLM_DEVICE_KIND_DISCRETE = 3, LLM_DEVICE_KIND_SOFTWARE = 4 };
typedef struct llm_device_info {
    uint32_t struct_size;
    int32_t  device;
    int32_t  kind, reserved;
    const char *name; size_t name_len;
    uint64_t memory_total, memory_free;
} llm_device_info;
LLM_API int32_t    llm_engine_device_count(const llm_engine *engine);
LLM_API llm_status llm_engine_device_info(const llm_engine *engine, int32_t index, llm_device_info *info, llm_error *error);
LLM_API llm_status llm_engine_device_test(llm_engine *engine, int32_t device, llm_error *error);
LLM_API llm_status llm_engine_device_report(llm_engine *engine, int32_t device, char *text, size_t cap, size_t *n, llm_error *error);
LLM_API llm_status llm_engine_device_cache(llm_engine *engine, int32_t device, void *out, size_t cap, size_t *n, llm_error *error);
LLM_API llm_status llm_engine_device_set_cache(llm_engine *engine, int32_t device, const void *data, size_t n, llm_error *error);
enum { LLM_SOURCE_PATH = 0, LLM_SOURCE_FD = 1, LLM_SOURCE_BUFFER = 2, LLM_SOURCE_READER = 3 };
typedef struct llm_source {
    uint32_t struct_size;
    int32_t  kind;
    const char *path; size_t path_len;
    int64_t  fd;
    uint64_t offset, size;
    const void *data; size_t data_len;
    const llm_reader *reader;
    const void *reserved_ptr;
} llm_source;
enum {
    LLM_MODEL_VOCAB_ONLY = 1,
    LLM_MODEL_OBSERVE = 2,
    LLM_MODEL_PACK_READ_ONLY = 4,
    LLM_MODEL_PACK_VERIFY = 8
};
enum { LLM_ALL_LAYERS = -1 };
typedef struct llm_model_desc {
    uint32_t struct_size, flags;
    int32_t  device;
    int32_t  n_device_layers;
    int32_t (*progress)(void *user, float fraction);
    void *user;
    const char *pack; size_t pack_len;
} llm_model_desc;
LLM_API llm_status llm_model_load(llm_engine *engine, const char *path, size_t path_len, const llm_model_desc *desc,
                                  llm_model **out, llm_error *error);
LLM_API llm_status llm_model_load_from(llm_engine *engine, const llm_source *const *parts, size_t n_parts,
                                       const llm_model_desc *desc, llm_model **out, llm_error *error);
LLM_API llm_status llm_model_plan(const llm_model *model, char *text, size_t cap, size_t *n, llm_error *error);
LLM_API void       llm_model_free(llm_model *model);
typedef struct llm_model_info {
    uint32_t struct_size, flags;
    const char *architecture; size_t architecture_len;
    const char *name; size_t name_len;
    uint64_t n_params, file_bytes, weight_bytes;
    int32_t  n_vocab, n_ctx_train, n_embd, n_layers;
    uint64_t mapped_bytes;
} llm_model_info;
LLM_API llm_status llm_model_get_info(const llm_model *model, llm_model_info *info, llm_error *error);
enum { LLM_META_INT = 1, LLM_META_UINT = 2, LLM_META_FLOAT = 3, LLM_META_BOOL = 4, LLM_META_STRING = 5, LLM_META_ARRAY = 6 };
typedef struct llm_meta {
    uint32_t struct_size;
    int32_t  type;
    int32_t  item_type, reserved;
    const char *key; size_t key_len;
    const char *string; size_t string_len;
    int64_t  integer;
    double   number;
    uint64_t n_items;
} llm_meta;
LLM_API size_t     llm_model_meta_count(const llm_model *model);
LLM_API llm_status llm_model_meta_at(const llm_model *model, size_t index, llm_meta *out, llm_error *error);
LLM_API llm_status llm_model_meta_find(const llm_model *model, const char *key, size_t key_len, llm_meta *out, llm_error *error);
LLM_API llm_status llm_model_meta_item(const llm_model *model, size_t index, uint64_t item, llm_meta *out, llm_error *error);
typedef struct llm_tensor_info {
    uint32_t struct_size, n_dims;
    const char *name; size_t name_len;
    const char *type; size_t type_len;
    uint64_t dims[4];
    uint64_t bytes;
} llm_tensor_info;
LLM_API size_t     llm_model_tensor_count(const llm_model *model);
LLM_API llm_status llm_model_tensor_at(const llm_model *model, size_t index, llm_tensor_info *out, llm_error *error);
LLM_API llm_status llm_tokenizer_load(llm_engine *engine, const llm_source *source, llm_tokenizer **out, llm_error *error);
LLM_API void       llm_tokenizer_free(llm_tokenizer *tokenizer);
LLM_API const llm_tokenizer *llm_model_tokenizer(const llm_model *model);
enum {
    LLM_ENCODE_ADD_SPECIAL = 1,
    LLM_ENCODE_PARSE_SPECIAL = 2,
    LLM_ENCODE_CONTINUES = 4
};
LLM_API llm_status llm_tokenizer_encode(const llm_tokenizer *t, const char *text, size_t len, uint32_t flags,
                                        llm_token *tokens, size_t cap, size_t *n, llm_error *error);
enum {
    LLM_DECODE_SHOW_SPECIAL = 1,
    LLM_DECODE_CLEAN_SPACES = 2
};
LLM_API llm_status llm_tokenizer_decode(const llm_tokenizer *t, const llm_token *tokens, size_t n_tokens, uint32_t flags,
                                        char *text, size_t cap, size_t *n, llm_error *error);
LLM_API int32_t    llm_tokenizer_n_vocab(const llm_tokenizer *t);
enum {
    LLM_SPECIAL_BOS = 1, LLM_SPECIAL_EOS = 2, LLM_SPECIAL_EOT = 3, LLM_SPECIAL_EOM = 4, LLM_SPECIAL_UNK = 5,
    LLM_SPECIAL_SEP = 6, LLM_SPECIAL_PAD = 7, LLM_SPECIAL_MASK = 8, LLM_SPECIAL_NEWLINE = 9, LLM_SPECIAL_FIM_PREFIX = 10,
    LLM_SPECIAL_FIM_SUFFIX = 11, LLM_SPECIAL_FIM_MIDDLE = 12, LLM_SPECIAL_FIM_PAD = 13, LLM_SPECIAL_FIM_REPO = 14,
    LLM_SPECIAL_FIM_SEP = 15
};
LLM_API llm_token  llm_tokenizer_special(const llm_tokenizer *t, int32_t which);
enum {
    LLM_TOKEN_NORMAL = 1, LLM_TOKEN_UNKNOWN = 2, LLM_TOKEN_CONTROL = 3, LLM_TOKEN_USER = 4, LLM_TOKEN_UNUSED = 5, LLM_TOKEN_BYTE = 6
};
enum { LLM_TOKEN_ENDS = 1 };
typedef struct llm_token_info {
    uint32_t struct_size, flags;
    int32_t  kind, reserved;
    const char *bytes; size_t n_bytes;
} llm_token_info;
LLM_API llm_status llm_tokenizer_token(const llm_tokenizer *t, llm_token token, llm_token_info *out, llm_error *error);
enum {
    LLM_STAGE_PENALTIES = 1, LLM_STAGE_DRY = 2, LLM_STAGE_TOP_N_SIGMA = 3, LLM_STAGE_TOP_K = 4, LLM_STAGE_TYPICAL = 5,
    LLM_STAGE_TOP_P = 6, LLM_STAGE_MIN_P = 7, LLM_STAGE_XTC = 8, LLM_STAGE_TEMPERATURE = 9
};
typedef struct llm_sampler_desc {
    uint32_t struct_size, flags;
    float    temperature;
    int32_t  top_k;
    float    top_p, min_p;
    int32_t  min_keep;
    int32_t  penalty_last_n;
    float    repeat_penalty;
    float    frequency_penalty, presence_penalty;
    uint32_t reserved;
    const llm_token_bias *biases; size_t n_biases;
    float    dynatemp_range;
    float    dynatemp_exponent;
    float    typical_p;
    float    top_n_sigma;
    float    xtc_probability;
    float    xtc_threshold;
    float    dry_multiplier, dry_base;
    int32_t  dry_allowed_length, dry_last_n;
    int32_t  mirostat;
    float    mirostat_tau, mirostat_eta;
    float    adaptive_target;
    float    adaptive_decay;
    uint32_t reserved_2;
    const llm_str *dry_breakers; size_t n_dry_breakers;
    const uint8_t *order; size_t n_order;
} llm_sampler_desc;
LLM_API llm_status llm_sampler_create(const llm_tokenizer *t, const llm_sampler_desc *desc, llm_sampler **out, llm_error *error);
LLM_API void       llm_sampler_free(llm_sampler *sampler);
enum { LLM_STATE_TYPE_F16 = 0, LLM_STATE_TYPE_F32 = 1, LLM_STATE_TYPE_INT8 = 2 };
enum {
    LLM_SESSION_RESERVE = 1
};
enum {
    LLM_FULL_END = 0,
    LLM_FULL_SLIDE = 1
};
typedef struct llm_session_desc {
    uint32_t struct_size, flags;
    int32_t  n_ctx;
    int32_t  state_type;
    int32_t  when_full, n_keep;
} llm_session_desc;
LLM_API llm_status llm_session_create(llm_model *model, const llm_session_desc *desc, llm_session **out, llm_error *error);
LLM_API llm_status llm_session_fork(llm_session *session, llm_session **out, llm_error *error);
LLM_API void       llm_session_free(llm_session *session);
enum {
    LLM_APPEND_SCORE = 1,
    LLM_APPEND_PARSE_SPECIAL = 2,
    LLM_APPEND_NO_BOS = 4
};
LLM_API llm_status llm_session_append(llm_session *s, const llm_token *tokens, size_t n, uint32_t flags, llm_error *error);
LLM_API llm_status llm_session_append_text(llm_session *s, const char *text, size_t len, uint32_t flags, llm_error *error);
LLM_API llm_status llm_session_sync(llm_session *s, const llm_token *tokens, size_t n, uint32_t flags, llm_error *error);
LLM_API llm_status llm_session_rewind(llm_session *s, size_t n_tokens, llm_error *error);
enum {
    LLM_GENERATE_IGNORE_END = 1,
    LLM_GENERATE_SCORE = 2,
    LLM_GENERATE_SHOW_SPECIAL = 4
};
typedef struct llm_generate_desc {
    uint32_t struct_size, flags;
    uint64_t seed;
    int32_t  max_tokens;
    int32_t  reserved;
    const llm_sampler *sampler;
    const llm_str *stops; size_t n_stops;
    const llm_token *stop_tokens; size_t n_stop_tokens;
    void (*on_logits)(void *user, float *logits, int32_t n_vocab);
    void *user;
    const void *reserved_ptr;
} llm_generate_desc;
LLM_API llm_status llm_session_generate(llm_session *s, const llm_generate_desc *desc, llm_error *error);
enum { LLM_STEP_NO_WAIT = 1 };
LLM_API llm_status llm_session_step(llm_session *const *sessions, size_t n, int64_t budget_us, uint32_t flags, llm_error *error);
enum {
    LLM_STATE_READY = 0, LLM_STATE_WORKING = 1,
    LLM_END_TOKEN = 2, LLM_END_STOP = 3, LLM_END_LENGTH = 4, LLM_END_CONTEXT = 5, LLM_END_CANCELLED = 6
};
LLM_API int32_t    llm_session_state(const llm_session *s);
LLM_API void       llm_session_cancel(llm_session *s);
LLM_API size_t     llm_session_read_text(llm_session *s, char *buf, size_t cap);
LLM_API size_t     llm_session_n_tokens(const llm_session *s);
LLM_API size_t     llm_session_n_pending(const llm_session *s);
LLM_API llm_status llm_session_tokens(llm_session *s, const llm_token **tokens, size_t *n, llm_error *error);
LLM_API llm_status llm_session_logits(llm_session *s, const float **logits, size_t *n, llm_error *error);
LLM_API llm_status llm_session_scores(llm_session *s, const float **log_probs, size_t *n, llm_error *error);
LLM_API llm_status llm_session_watch_scores(llm_session *s, void (*on_score)(void *user, size_t position, const float *logits, int32_t n_vocab),
                                            void *user, llm_error *error);
LLM_API llm_status llm_session_best(llm_session *s, llm_token_score *out, size_t cap, size_t *n, llm_error *error);
enum { LLM_SESSION_ANEW = 1 };
typedef struct llm_session_info {
    uint32_t struct_size, flags;
    uint64_t n_prompt, prompt_us;
    uint64_t n_generated, generate_us;
    uint64_t state_bytes;
    int32_t  n_ctx, state_type;
    uint64_t n_slid;
} llm_session_info;
LLM_API llm_status llm_session_get_info(llm_session *s, llm_session_info *info, llm_error *error);
enum { LLM_IMPORTANCE_OUTPUT = 1 };
typedef struct llm_importance_desc {
    uint32_t struct_size, flags;
    const char *dataset; size_t dataset_len;
    int32_t  n_chunks, chunk_tokens;
} llm_importance_desc;
LLM_API llm_status llm_model_write_importance(llm_model *model, const llm_sink *sink, const llm_importance_desc *desc, llm_error *error);
enum { LLM_SAVE_TOKENS_ONLY = 1 };
typedef struct llm_save_desc {
    uint32_t struct_size, flags;
    const void *note; size_t note_len;
} llm_save_desc;
LLM_API llm_status llm_session_save(llm_session *s, const char *path, size_t path_len, const llm_save_desc *desc, llm_error *error);
LLM_API llm_status llm_session_save_to(llm_session *s, const llm_sink *sink, const llm_save_desc *desc, llm_error *error);
enum {
    LLM_RESTORE_NEED_STATE = 1,
    LLM_RESTORE_OTHER_MODEL = 2
};
LLM_API llm_status llm_session_restore(llm_session *s, const char *path, size_t path_len, uint32_t flags, llm_error *error);
LLM_API llm_status llm_session_restore_from(llm_session *s, const llm_source *source, uint32_t flags, llm_error *error);
enum { LLM_SAVED_SAME_MODEL = 1,
       LLM_SAVED_SAME_VOCABULARY = 2,
       LLM_SAVED_STATE = 4 };
typedef struct llm_saved_info {
    uint32_t struct_size, flags;
    uint64_t n_tokens, n_evaluated;
    uint64_t n_reply;
    uint64_t file_bytes, note_len;
    int32_t  n_ctx, state_type;
    uint32_t version, arithmetic;
} llm_saved_info;
LLM_API llm_status llm_saved_get_info(llm_model *model, const llm_source *source, llm_saved_info *info, llm_error *error);
LLM_API llm_status llm_saved_note(llm_model *model, const llm_source *source, void *note, size_t cap, size_t *n, llm_error *error);
LLM_API llm_status llm_session_park(llm_session *s, llm_error *error);
enum { LLM_TRIM_PARK = 1 };
LLM_API llm_status llm_engine_trim(llm_engine *engine, uint64_t bytes, uint32_t flags, uint64_t *freed, llm_error *error);
enum { LLM_CHAT_GIVEN = 1, LLM_CHAT_MODEL = 2, LLM_CHAT_BUILTIN = 3 };
typedef struct llm_chat_desc {
    uint32_t struct_size, flags;
    const char *template_text; size_t template_text_len;
    const char *template_name; size_t template_name_len;
    const char *tools; size_t tools_len;
    const char *variables; size_t variables_len;
    const char *date; size_t date_len;
} llm_chat_desc;
LLM_API llm_status llm_chat_create(llm_model *model, const llm_chat_desc *desc, llm_chat **out, llm_error *error);
LLM_API void       llm_chat_free(llm_chat *chat);
LLM_API llm_status llm_chat_add(llm_chat *chat, const char *role, size_t role_len, const char *text, size_t len, llm_error *error);
LLM_API llm_status llm_chat_add_json(llm_chat *chat, const char *message, size_t len, llm_error *error);
LLM_API size_t     llm_chat_n_messages(const llm_chat *chat);
LLM_API llm_status llm_chat_rewind(llm_chat *chat, size_t n_messages, llm_error *error);
typedef struct llm_chat_info {
    uint32_t struct_size;
    int32_t  origin;
    const char *name; size_t name_len;
} llm_chat_info;
LLM_API llm_status llm_chat_get_info(const llm_chat *chat, llm_chat_info *info, llm_error *error);
enum { LLM_CHAT_NO_PROMPT = 1 };
LLM_API llm_status llm_chat_render(llm_chat *chat, uint32_t flags, char *text, size_t cap, size_t *n, llm_error *error);
LLM_API llm_status llm_chat_encode(llm_chat *chat, uint32_t flags, llm_token *tokens, size_t cap, size_t *n, llm_error *error);
LLM_API llm_status llm_session_sync_chat(llm_session *s, llm_chat *chat, uint32_t flags, llm_error *error);
enum { LLM_EVENT_NONE = 0, LLM_EVENT_TEXT = 1, LLM_EVENT_REASONING = 2, LLM_EVENT_CALL = 3 };
typedef struct llm_chat_event {
    uint32_t struct_size;
    int32_t  kind;
    const char *text; size_t text_len;
    const char *name; size_t name_len;
    const char *id;   size_t id_len;
} llm_chat_event;
LLM_API llm_status llm_chat_read(llm_chat *chat, llm_session *s, llm_chat_event *event, llm_error *error);
LLM_API llm_status llm_chat_add_reply(llm_chat *chat, llm_error *error);
enum {
    LLM_FILE_F32 = 1, LLM_FILE_F16 = 2, LLM_FILE_BF16 = 3, LLM_FILE_Q8_0 = 4, LLM_FILE_Q4_0 = 5, LLM_FILE_Q4_1 = 6, LLM_FILE_Q5_0 = 7,
    LLM_FILE_Q5_1 = 8, LLM_FILE_Q4_K_S = 9, LLM_FILE_Q4_K_M = 10, LLM_FILE_Q5_K_S = 11, LLM_FILE_Q5_K_M = 12, LLM_FILE_Q6_K = 13,
    LLM_FILE_IQ4_NL = 14, LLM_FILE_IQ4_XS = 15
};
enum {
    LLM_QUANTIZE_PURE = 1,
    LLM_QUANTIZE_KEEP_OUTPUT = 2
};
typedef struct llm_quantize_desc {
    uint32_t struct_size, flags;
    int32_t  file_type, reserved;
    const llm_source *importance;
    int32_t (*progress)(void *user, float fraction);
    void *user;
} llm_quantize_desc;
typedef struct llm_quantize_info {
    uint32_t struct_size;
    uint32_t n_tensors, n_quantized;
    uint32_t n_fallback;
    uint32_t n_weighted, reserved;
    uint64_t bytes_in, bytes_out;
} llm_quantize_info;
LLM_API llm_status llm_model_quantize(llm_engine *engine, const llm_source *const *parts, size_t n_parts, const llm_sink *sink,
                                      const llm_quantize_desc *desc, llm_quantize_info *info, llm_error *error);
typedef struct llm_estimate_info {
    uint32_t struct_size, reserved;
    uint64_t total_bytes;
    uint64_t weight_bytes;
    uint64_t model_bytes;
    uint64_t arena_bytes;
    uint64_t session_bytes;
    uint64_t mapped_bytes;
    uint64_t device_bytes;
} llm_estimate_info;
LLM_API llm_status llm_model_estimate(llm_engine *engine, const llm_source *const *parts, size_t n_parts, const llm_model_desc *model,
                                      const llm_session_desc *session, llm_estimate_info *out, llm_error *error);
#ifdef __cplusplus
}
#endif
#endif

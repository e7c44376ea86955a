/* SPDX-License-Identifier: MIT
 * llm.h as it stood at commit f665ffa, without its comments. Programs were compiled against it: never edit it. */
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
    LLM_E_INTERNAL = -17
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
enum { LLM_FEATURE_CPU = 1, LLM_FEATURE_VULKAN = 2, LLM_FEATURE_STATE_INT8 = 3 };
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
enum { LLM_CPU_REFERENCE = 1, LLM_CPU_AVX2 = 2, LLM_CPU_AVX512 = 3, LLM_CPU_NEON = 4 };
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
    const void          *reserved_ptr;
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
enum { LLM_MODEL_VOCAB_ONLY = 1 };
typedef struct llm_model_desc {
    uint32_t struct_size, flags;
    int32_t  device, reserved;
    int32_t (*progress)(void *user, float fraction);
    void *user;
} llm_model_desc;
LLM_API llm_status llm_model_load(llm_engine *engine, const char *path, size_t path_len, const llm_model_desc *desc,
                                  llm_model **out, llm_error *error);
LLM_API llm_status llm_model_load_from(llm_engine *engine, const llm_source *const *parts, size_t n_parts,
                                       const llm_model_desc *desc, llm_model **out, llm_error *error);
LLM_API void       llm_model_free(llm_model *model);
typedef struct llm_model_info {
    uint32_t struct_size, flags;
    const char *architecture; size_t architecture_len;
    const char *name; size_t name_len;
    uint64_t n_params, file_bytes, weight_bytes;
    int32_t  n_vocab, n_ctx_train, n_embd, n_layers;
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
    LLM_ENCODE_PARSE_SPECIAL = 2
};
LLM_API llm_status llm_tokenizer_encode(const llm_tokenizer *t, const char *text, size_t len, uint32_t flags,
                                        llm_token *tokens, size_t cap, size_t *n, llm_error *error);
enum { LLM_DECODE_SHOW_SPECIAL = 1 };
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
} llm_sampler_desc;
LLM_API llm_status llm_sampler_create(const llm_tokenizer *t, const llm_sampler_desc *desc, llm_sampler **out, llm_error *error);
LLM_API void       llm_sampler_free(llm_sampler *sampler);
enum { LLM_STATE_TYPE_F16 = 0, LLM_STATE_TYPE_F32 = 1, LLM_STATE_TYPE_INT8 = 2 };
enum { LLM_SESSION_RESERVE = 1 };
typedef struct llm_session_desc {
    uint32_t struct_size, flags;
    int32_t  n_ctx;
    int32_t  state_type;
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
enum { LLM_GENERATE_IGNORE_END = 1, LLM_GENERATE_SCORE = 2 };
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
LLM_API llm_status llm_session_best(llm_session *s, llm_token_score *out, size_t cap, size_t *n, llm_error *error);
typedef struct llm_session_info {
    uint32_t struct_size, reserved;
    uint64_t n_prompt, prompt_us;
    uint64_t n_generated, generate_us;
    uint64_t state_bytes;
    int32_t  n_ctx, state_type;
} llm_session_info;
LLM_API llm_status llm_session_get_info(llm_session *s, llm_session_info *info, llm_error *error);
typedef struct llm_estimate_info {
    uint32_t struct_size, reserved;
    uint64_t total_bytes;
    uint64_t weight_bytes;
    uint64_t model_bytes;
    uint64_t arena_bytes;
    uint64_t session_bytes;
} llm_estimate_info;
LLM_API llm_status llm_model_estimate(llm_engine *engine, const llm_source *const *parts, size_t n_parts, const llm_model_desc *model,
                                      const llm_session_desc *session, llm_estimate_info *out, llm_error *error);
#ifdef __cplusplus
}
#endif
#endif

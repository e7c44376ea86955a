/* SPDX-License-Identifier: MIT
 *
 * llm.h - run a large language model inside your program.
 *
 * This header is the whole API and its manual. A program needs nothing else:
 *
 *     engine  ->  model  ->  session  ->  step, read_text
 *
 * An engine is the machine (threads, memory, devices). A model is a GGUF file made ready on a device. A session is one
 * timeline of tokens with what the model remembers of them. Put in (append, generate), step, take out (read_text).
 *
 *   ```c
 *   llm_status tell(const char *path, const char *prompt)          // NULLs are defaults: the CPU, greedy, the model's context
 *   {
 *       llm_engine *engine = NULL;
 *       llm_model *model = NULL;
 *       llm_session *session = NULL;
 *       llm_error error;
 *       llm_status status;
 *       if ((status = llm_engine_create(LLM_ABI, NULL, &engine, &error)) == LLM_OK &&
 *           (status = llm_model_load(engine, path, LLM_NUL, NULL, &model, &error)) == LLM_OK &&
 *           (status = llm_session_create(model, NULL, &session, &error)) == LLM_OK &&
 *           (status = llm_session_append_text(session, prompt, LLM_NUL, 0, &error)) == LLM_OK &&
 *           (status = llm_session_generate(session, NULL, &error)) == LLM_OK)
 *           do {
 *               char text[256];
 *               status = llm_session_step(&session, 1, LLM_FOREVER, 0, &error);
 *               while (llm_session_read_text(session, text, sizeof text) > 0)
 *                   show(text);
 *           } while (status == LLM_MORE);
 *       if (status < 0)
 *           show(error.message);
 *       llm_session_free(session);                                 // in any order; NULL is fine
 *       llm_model_free(model);
 *       llm_engine_free(engine);
 *       return status;
 *   }
 *   ```
 *
 * WORDS, used by every function below
 *   Owns     create, load and fork give you a handle that you own; its _free gives it up. free(NULL) is fine. Handles
 *            are freed in any order: an object keeps alive what it needs. "Borrowed" pointers are not yours to free and
 *            live until the stated event. Descriptors and all they point to are copied or used up during the call;
 *            of tables of callbacks, the functions and `user` must live until the last object made with them is freed.
 *   Fails    every function that returns llm_status takes an llm_error last (NULL is fine) and writes it: an empty
 *            message on success, else a sentence that says what, where and what was expected. On failure outputs are
 *            untouched, handles included; LLM_E_SPACE alone sets the size needed. A NULL handle is LLM_E_INVALID.
 *            LLM_E_INVALID (a bad argument), LLM_E_UNSUPPORTED (a flag or field that this library does not know) and
 *            LLM_E_MEMORY (the allocator or the engine's limit said no) are possible everywhere and not repeated below;
 *            codes are named there without LLM_E_. "nothing": the function cannot fail. A getter without a status answers 0
 *            or NULL for a NULL handle.
 *            A function that names no Owns gives and takes nothing.
 *   Threads  shared:    any number of threads at once.
 *            exclusive: one thread at a time, any thread; a second one gets LLM_E_BUSY.
 *            anytime:   any thread, also from inside callbacks. No call may be in progress on an object being freed.
 *            fork(): a child has its parent's objects, but not their threads. There every call that makes, changes or computes something with
 *            them is LLM_E_STATE and _free does nothing; what only tells goes on telling. Create an engine in the child.
 *   Since    the ABI minor version that brought the function; 0.1 unless it says otherwise.
 *
 * STRINGS    UTF-8, pointer and length in bytes. Length LLM_NUL: NUL-terminated. NULL pointer: absent. Length 0: empty.
 *            What the library hands out has a length and a NUL after it. Paths are UTF-8 on Windows too.
 * SIZES      f(..., buf, cap, &n): n receives the full size; LLM_E_SPACE if cap is too small (buf untouched); NULL with 0
 *            asks for the size.
 * DESCRIPTORS start with struct_size and are begun with LLM_INIT(type): all zero is every default; NULL is the same.
 * CALLBACKS  run on a thread that called the library or on one of its workers, as each says. They must not throw or
 *            longjmp, and may call only functions marked anytime: on the session in progress all others answer LLM_E_BUSY.
 * NUMBERS    On the CPU the same program gives the same bits on every machine: for any number of threads, any kernel tier, any
 *            chunk, budget or mix of sessions. The host's locale and floating-point mode play no part.
 *            A GPU promises less: the same bits for the same passes (chunk, sessions stepped together) on the same device, driver and
 *            plan (llm_model_plan), near the CPU's.
 *
 * What comes later and is absent today: adapters, images and embeddings, draft models.
 * They will be new functions and new fields; nothing here changes for them.
 *
 * The library never aborts, exits, prints, reads the environment, installs signal handlers or keeps mutable globals.
 */
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

#ifndef LLM_API                             /* LLM_BUILDING: while the library itself is compiled */
#if defined(_WIN32) && defined(LLM_SHARED) && !defined(LLM_BUILDING)
#define LLM_API __declspec(dllimport)
#elif defined(__GNUC__) && defined(LLM_BUILDING) && !defined(_WIN32)
#define LLM_API __attribute__((visibility("default")))
#else
#define LLM_API
#endif
#endif

/* ---- version and status ---------------------------------------------------------------------------------------- */

#define LLM_ABI     0x00000001u             /* the ABI that this header describes: major << 16 | minor */
#define LLM_NUL     ((size_t)-1)            /* as a length: "the string is NUL-terminated" */
#define LLM_FOREVER INT64_MAX               /* as a budget: no bound */

typedef int32_t llm_status;                 /* < 0: an error; > 0: a success with more to say. Only ever appended to. */
enum {
    LLM_OK = 0,
    LLM_MORE = 1,                           /* step: work is left, call again */
    LLM_E_INVALID = -1,                     /* an argument is out of its range */
    LLM_E_STATE = -2,                       /* the object is in no state for this call */
    LLM_E_BUSY = -3,                        /* another call is in progress on this exclusive object */
    LLM_E_MEMORY = -4,                      /* the allocator or a stated limit said no */
    LLM_E_IO = -5,                          /* a file, descriptor or reader failed */
    LLM_E_FORMAT = -6,                      /* the file is not what it claims to be */
    LLM_E_UNSUPPORTED = -7,                 /* well formed, but this library cannot do it */
    LLM_E_VERSION = -8,                     /* the program needs a newer library */
    LLM_E_CANCELLED = -9,                   /* a callback or llm_session_cancel asked for it */
    LLM_E_CONTEXT_FULL = -10,               /* more tokens than the session's context holds; nothing was appended */
    LLM_E_SPACE = -11,                      /* the caller's buffer is too small; the size needed was set */
    LLM_E_DEVICE_LOST = -12,
    LLM_E_NO_DEVICE = -13,                  /* no such device here */
    LLM_E_NUMERIC = -14,                    /* NaN or infinity where a number was needed */
    LLM_E_LIMIT = -15,                      /* a limit of the library or of the caller was passed */
    LLM_E_NOT_FOUND = -16,                  /* no such key, file or item */
    LLM_E_INTERNAL = -17,                   /* a fault of the library: please report it */
    LLM_E_MISMATCH = -18                    /* a saved session of another model */
};

/* Frozen: 512 bytes for ever, needs no initialising, written by every call that gets one. */
typedef struct llm_error {
    llm_status status;
    uint32_t   message_len;
    uint64_t   offset;                      /* place in the file or text in bytes, UINT64_MAX if none */
    char       subject[112];                /* tensor, key, field ... that the message is about; may be empty */
    char       message[384];                /* a sentence that can be shown as it is; NUL-terminated */
} llm_error;

/* The library's version, major << 16 | minor.
 * Fails: nothing. Threads: anytime. Since 0.1. */
LLM_API uint32_t    llm_version(void);
/* "LLM_E_IO" and so on; never NULL.
 * Owns: borrowed, static. Fails: nothing. Threads: anytime. Since 0.1. */
LLM_API const char *llm_status_name(llm_status status);

enum { LLM_FEATURE_CPU = 1, LLM_FEATURE_VULKAN = 2, LLM_FEATURE_STATE_INT8 = 3, LLM_FEATURE_PACK = 4, LLM_FEATURE_CHAT = 5,
       LLM_FEATURE_SAVE = 6, LLM_FEATURE_GRAMMAR = 7 };
/* 1 if this build has the LLM_FEATURE_*, else 0; numbers it does not know are 0 too.
 * Fails: nothing. Threads: anytime. Since 0.1. */
LLM_API int32_t     llm_has(int32_t feature);

typedef int32_t llm_token;                  /* >= 0 */
#define LLM_TOKEN_NONE (-1)

/* Frozen small elements of arrays. */
typedef struct llm_str         { const char *ptr; size_t len; } llm_str;
typedef struct llm_token_bias  { llm_token token; float bias; } llm_token_bias;
typedef struct llm_token_score { llm_token token; float log_prob; } llm_token_score;

typedef struct llm_engine    llm_engine;    /* shared */
typedef struct llm_model     llm_model;     /* shared */
typedef struct llm_tokenizer llm_tokenizer; /* shared */
typedef struct llm_grammar   llm_grammar;   /* shared */
typedef struct llm_sampler   llm_sampler;   /* shared: a recipe; what it remembers lives in the session */
typedef struct llm_session   llm_session;   /* exclusive */
typedef struct llm_chat      llm_chat;      /* exclusive */

/* ---- hooks: tables of callbacks, all optional ------------------------------------------------------------------ */

enum {                                      /* `kind` of an allocation: what it is for */
    LLM_MEMORY_OTHER = 0, LLM_MEMORY_WEIGHTS = 1, LLM_MEMORY_STATE = 2, LLM_MEMORY_ARENA = 3, LLM_MEMORY_TOKENIZER = 4
};
/* All memory of an engine and of what is made with it. Called from threads that call the library and from its workers, several at
 * once. `release` gets what `allocate` was asked for. An allocator that says no is no disaster: the call in progress answers
 * LLM_E_MEMORY and has changed nothing. */
typedef struct llm_allocator {
    uint32_t struct_size, reserved;
    void *user;
    void *(*allocate)(void *user, size_t size, size_t align, int32_t kind);     /* align: a power of two; NULL: no memory */
    void  (*release)(void *user, void *ptr, size_t size, size_t align, int32_t kind);
    void *reserved_ptr;
} llm_allocator;

enum { LLM_LOG_ERROR = 1, LLM_LOG_WARN = 2, LLM_LOG_INFO = 3, LLM_LOG_DEBUG = 4 };
/* Lines of text, without a newline, about what is odd but no error. Called from threads that call the library. */
typedef struct llm_logger {
    uint32_t struct_size;
    int32_t  level;                         /* the most talkative level wanted; 0: LLM_LOG_WARN */
    void *user;
    void (*write)(void *user, int32_t level, const char *text, size_t len);
} llm_logger;

/* run() calls job(data, i) once for every i < n, on any threads, and returns when all are done. Jobs never wait for one
 * another, so any number of threads will do. The library then makes no thread of its own. */
typedef struct llm_parallel {
    uint32_t struct_size;
    uint32_t n_threads;                     /* how many usually run at once: how finely work is cut; at least 1 */
    void *user;
    void (*run)(void *user, uint32_t n, void (*job)(void *data, uint32_t i), void *data);
} llm_parallel;

/* A model inside a host's archive. read(): all n bytes at `offset` or an error (< 0); on the thread that loads, never concurrently. */
typedef struct llm_reader {
    uint32_t struct_size, reserved;
    uint64_t size;
    void *user;
    llm_status (*read)(void *user, uint64_t offset, void *out, size_t n);
} llm_reader;

/* Takes a file as it is written, from its first byte to its last. write(): all n bytes or an error (< 0); on the thread that
 * called the library. After a failure or a cancelled call, what came so far is no whole file. */
typedef struct llm_writer {
    uint32_t struct_size, reserved;
    void *user;
    llm_status (*write)(void *user, const void *data, size_t n);
} llm_writer;

enum { LLM_SINK_PATH = 0, LLM_SINK_WRITER = 1 };
/* Where a file that the library writes goes; `kind` says which fields count. A path is written whole or not at all: the bytes go
 * into a file beside it, which takes its name when all of them are on the disk. Until then, and after any failure, a file that
 * stood there is as it was, and nothing else is left. Borrowed for the call, as is all that it points to. */
typedef struct llm_sink {
    uint32_t struct_size;
    int32_t  kind;
    const char *path; size_t path_len;      /* PATH */
    const llm_writer *writer;               /* WRITER */
    const void *reserved_ptr;
} llm_sink;

/* ---- engine ---------------------------------------------------------------------------------------------------- */

enum { LLM_VULKAN_LOW_PRIORITY = 1,         /* other work of the GPU goes first, where the driver knows priorities */
       LLM_VULKAN_VALIDATE = 2 };           /* with Khronos' validation layer: what it says goes to the logger as errors. Without the layer
                                               no GPU is found. For tests */
/* How GPUs are used. All zero: the system's Vulkan loader, a device of our own on each GPU when a model first asks for it, submissions of
 * at most 100 ms.
 *
 * Or the host's own device, which is then the only GPU: instance, physical_device, device and queue, all four. Instance and device must be of
 * Vulkan 1.1 (apiVersion) and the queue must compute; no feature and no extension need be enabled. Each vkQueueSubmit is made between lock()
 * and unlock(), on a thread that called the library; no other call of ours needs the host's care, and the queue or device is never waited for
 * as a whole. Never call the library while holding that lock; and nothing submitted to `queue` before may wait for what the calling thread
 * does later. Once lost, the device is not opened anew: make a new one, and a new engine with it. The handles, the functions and `user` must
 * live until the engine has gone (llm_engine_free and all that was made with it). */
typedef struct llm_vulkan {
    uint32_t struct_size, flags;            /* LLM_VULKAN_* */
    uint32_t submit_ms;                     /* how long one submission is meant to last at most; 0: 100. A game may want 2 */
    uint32_t queue_family;                  /* of `queue` */
    uint64_t memory_limit;                  /* bytes of a GPU's memory that may be held at a time; 0: as much as the driver gives */
    void *user;                             /* of the three functions */
    void (*(*get_proc)(void *user, void *instance, const char *name))(void);    /* vkGetInstanceProcAddr; NULL: the system's loader */
    void *instance, *physical_device, *device, *queue;      /* VkInstance, VkPhysicalDevice, VkDevice, VkQueue; or all NULL */
    void (*lock)(void *user);               /* both or none */
    void (*unlock)(void *user);
} llm_vulkan;

enum { LLM_ENGINE_GPUS = 1 };               /* look for GPUs: opens Vulkan's loader and drivers, if there are any. Else none is touched */

enum { LLM_CPU_REFERENCE = 1, LLM_CPU_AVX2 = 2, LLM_CPU_AVX512 = 3, LLM_CPU_NEON = 4,
       LLM_CPU_NEON_I8MM = 5,               /* tiers of CPU kernels */
       LLM_CPU_AMX = 6 };                   /* AVX-512 and Intel's matrix unit: on Linux, and only when asked for, since the system gives it to
                                               the whole process until that ends: each thread that uses it keeps 8 KiB more, and signal
                                               stacks (sigaltstack) too small for that are refused. Where the system says no, the next best
                                               is taken: see llm_engine_info */

typedef struct llm_engine_desc {
    uint32_t struct_size, flags;            /* LLM_ENGINE_* */
    int32_t  n_threads;                     /* 0: one per performance core; 1: the calling thread alone, none is made */
    int32_t  n_arenas;                      /* passes that may be in progress at once; 0: 4 */
    int32_t  n_chunk;                       /* most tokens a pass takes in; 0: 512 */
    int32_t  cpu_tier;                      /* 0: the best of this machine but LLM_CPU_AMX; LLM_CPU_*: no better than this. Same bits */
    uint64_t memory_limit;                  /* bytes the engine's objects may hold together; 0: no limit. A GPU's memory has its own */
    const llm_allocator *allocator;
    const llm_logger    *logger;
    const llm_parallel  *parallel;
    const llm_vulkan    *vulkan;            /* how GPUs are used; counts with LLM_ENGINE_GPUS alone */
} llm_engine_desc;

/* Opens an engine. `abi` is the ABI number the program needs, LLM_ABI usually: an older library answers LLM_E_VERSION. Workers, if
 * any, sleep while nothing is computed.
 * Owns: *out. Fails: VERSION; LIMIT (the system gives no thread). Threads: shared. Since 0.1. */
LLM_API llm_status llm_engine_create(uint32_t abi, const llm_engine_desc *desc, llm_engine **out, llm_error *error);
/* Gives the handle up; the engine goes when its last model, tokenizer, sampler and session have gone.
 * Owns: takes engine. Fails: nothing. Threads: shared. Since 0.1. */
LLM_API void       llm_engine_free(llm_engine *engine);

typedef struct llm_engine_info {
    uint32_t struct_size;
    int32_t  n_threads, n_arenas, n_chunk;  /* what the defaults came to */
    int32_t  cpu_tier, reserved;            /* LLM_CPU_* in use */
    uint64_t memory_used, memory_peak;      /* bytes held now, and the most since the engine was created */
} llm_engine_info;
/* Fails: nothing else. Threads: anytime. Since 0.1. */
LLM_API llm_status llm_engine_get_info(const llm_engine *engine, llm_engine_info *info, llm_error *error);

enum { LLM_DEVICE_KIND_CPU = 1, LLM_DEVICE_KIND_INTEGRATED = 2, LLM_DEVICE_KIND_DISCRETE = 3, LLM_DEVICE_KIND_SOFTWARE = 4 };
typedef struct llm_device_info {            /* filled by the library, up to your struct_size */
    uint32_t struct_size;
    int32_t  device;                        /* the id to pass on; ids start at 1 */
    int32_t  kind, reserved;                /* LLM_DEVICE_KIND_* */
    const char *name; size_t name_len;      /* borrowed until the engine goes */
    uint64_t memory_total, memory_free;     /* bytes; 0: unknown */
} llm_device_info;
/* How many devices there are; the CPU is always the first. GPUs follow if LLM_ENGINE_GPUS asked for them, as their driver lists them; the log
 * tells at LLM_LOG_INFO why there are none. A processor that plays a GPU (LLM_DEVICE_KIND_SOFTWARE) is listed too.
 * Fails: nothing. Threads: shared. Since 0.1. */
LLM_API int32_t    llm_engine_device_count(const llm_engine *engine);
/* Device by index, 0 and up; pass its `device` on in llm_model_desc.
 * Fails: NOT_FOUND past the last. Threads: shared. Since 0.1. */
LLM_API llm_status llm_engine_device_info(const llm_engine *engine, int32_t index, llm_device_info *info, llm_error *error);

/* Opens a device if that is still due, and tests each of its shaders with each weight type against the library's reference, where that has not
 * been done: seconds at most on a GPU. A load tests what its model needs; this finds out beforehand. LLM_OK for the CPU.
 * Fails: NO_DEVICE; UNSUPPORTED (this driver computes something wrongly; what is wrong is not used, models that do not need it may
 * be loaded); DEVICE_LOST. Threads: shared. Since 0.1. */
LLM_API llm_status llm_engine_device_test(llm_engine *engine, int32_t device, llm_error *error);
/* What is known of a device, lines of text for people and bug reports: driver, limits, features, memory, what its self-tests found.
 * Opens it if that is still due. 4 KiB nearly always suffice; n does not count the NUL.
 * Fails: NO_DEVICE, SPACE. Threads: shared. Since 0.1. */
LLM_API llm_status llm_engine_device_report(llm_engine *engine, int32_t device, char *text, size_t cap, size_t *n, llm_error *error);
/* The shaders that a GPU's driver has compiled so far, to be kept by the host and given back in a later run: compiling may take seconds.
 * Fails: NO_DEVICE, SPACE; UNSUPPORTED (the CPU). Threads: shared. Since 0.1. */
LLM_API llm_status llm_engine_device_cache(llm_engine *engine, int32_t device, void *out, size_t cap, size_t *n, llm_error *error);
/* Gives back what llm_engine_device_cache gave, best before the first model is loaded on the device. Borrowed for the call. What is refused
 * does no harm: shaders are compiled anew.
 * Fails: NO_DEVICE; FORMAT (damaged); VERSION (of another device or driver); UNSUPPORTED (the CPU). Threads: shared. Since 0.1. */
LLM_API llm_status llm_engine_device_set_cache(llm_engine *engine, int32_t device, const void *data, size_t n, llm_error *error);

/* ---- model ----------------------------------------------------------------------------------------------------- */

enum { LLM_SOURCE_PATH = 0, LLM_SOURCE_FD = 1, LLM_SOURCE_BUFFER = 2, LLM_SOURCE_READER = 3 };
/* Where a file's bytes come from; `kind` says which fields count. Borrowed for the call, as is all that it points to. */
typedef struct llm_source {
    uint32_t struct_size;
    int32_t  kind;
    const char *path; size_t path_len;      /* PATH */
    int64_t  fd;                            /* FD: POSIX descriptor, HANDLE on Windows; its file position is not used */
    uint64_t offset, size;                  /* FD: where the artefact lies; size 0: to the end */
    const void *data; size_t data_len;      /* BUFFER */
    const llm_reader *reader;               /* READER */
    const void *reserved_ptr;
} llm_source;

enum {
    LLM_MODEL_VOCAB_ONLY = 1,               /* metadata and tokenizer, no weights */
    LLM_MODEL_OBSERVE = 2,                  /* sums up what each matrix is multiplied with: see llm_model_write_importance. Steps take
                                               longer, and end their budgets only between operations. The bits are the same */
    LLM_MODEL_PACK_READ_ONLY = 4,           /* a pack that fits is used, none is written. Without `pack` neither has an effect */
    LLM_MODEL_PACK_VERIFY = 8               /* all weights of a pack are held against its checksums before it is used: as long as reading it */
};
/* THE PACK. Weights are not computed with as a file holds them: a load reads them and lays them out. A pack keeps them laid out in a file
 * of about the model's size that you name, one for each model, so that later loads map it and take no longer than metadata and tokenizer do.
 *
 *   Used     if it fits, whatever the threads and the tier; the bits are the same. Its bytes are mapped read-only and shared by all processes
 *            that use it. They are not the engine's memory: the allocator does not see them, the limit and the estimate do not count them, and the
 *            system may drop them and read them again, so that a model may be larger than memory. `mapped_bytes` of llm_model_info tells.
 *   Fits     if all of this is equal: the format's version, the layout, the arithmetic, the list of weights, the size of the pack and the checksums
 *            of its header and table; and of the model's files the sizes, every byte of metadata and tensor table, the time of the
 *            last change (PATH and FD), and 64 bytes from the middle of each tensor (of 256 of them, if there are more). So a file
 *            changed in place is noticed by its time. A BUFFER or READER has none: there a change of a few weights that leaves sizes,
 *            metadata and samples as they were is not; name another pack for other bytes. The weights in the pack are
 *            compared with their checksums only with LLM_MODEL_PACK_VERIFY (not the padding between them, nor in the load that wrote
 *            them), and not looked through for NaN again: trust a pack as you trust the model.
 *   Written  if none is there, or one that does not fit: by this load, which takes longer by the writing and then uses the pack. Weights pass
 *            through memory one at a time. The bytes go into a file beside it ("NAME.part-0") that takes its place, read-only (not on
 *            Windows), when all are on the disk; processes that use the old one keep it. Its permissions follow the umask and not the
 *            model's. Any other file that stands there is left alone. Two processes that write at once both succeed. While the model's file
 *            was changed a moment ago (50 ms; 2 s where the file system counts in seconds) no pack is used or written. What hinders
 *            reading or writing a pack is told to the log and fails no load.
 *   The risk of mapping: if somebody cuts the pack short while it is in use, or its disk fails, the system ends the process at the
 *            next touch (SIGBUS; an exception on Windows, which does not let it be cut). The library only ever replaces or removes whole
 *            files. Keep packs where nobody else writes, on a local disk, and name none where that will not do.
 *   Windows  cannot replace a pack that is in use: it stays, and the load goes on from the model's file. */
enum { LLM_ALL_LAYERS = -1 };               /* llm_model_desc.n_device_layers */
typedef struct llm_model_desc {
    uint32_t struct_size, flags;            /* LLM_MODEL_* */
    int32_t  device;                        /* 0: the CPU; else an id of llm_device_info */
    int32_t  n_device_layers;               /* of a GPU: how many layers, the last ones, and the logits run there; the CPU runs those before.
                                               0: as many as fit into its free memory (llm_vulkan.memory_limit counts), with a pass and a
                                               session of 4096 tokens; LLM_ALL_LAYERS or more than there are: all, or LLM_E_MEMORY */
    int32_t (*progress)(void *user, float fraction);    /* on the calling thread, often; nonzero cancels the load */
    void *user;
    const char *pack; size_t pack_len;      /* the path of its pack, see above; NULL: none. The CPU's alone: other devices pass it over */
} llm_model_desc;

/* Loads a GGUF model (v2, v3; give the first file of a split one). Files are read, not mapped (but see THE PACK): when this returns, the
 * file may be replaced or removed. What the file says is checked before anything large is allocated, and weights are looked
 * through for NaN and infinity.
 * Owns: *out. Fails: IO, NOT_FOUND, FORMAT (the message names the lie; error.subject the key or tensor, error.offset the byte),
 * UNSUPPORTED (architecture, type or tokenizer not known here), LIMIT, NO_DEVICE, CANCELLED (by progress). Threads: shared. Since 0.1. */
LLM_API llm_status llm_model_load(llm_engine *engine, const char *path, size_t path_len, const llm_model_desc *desc,
                                  llm_model **out, llm_error *error);
/* The same from any sources; several are the parts of a split model, in order.
 * Owns: *out. Fails: as llm_model_load. Threads: shared. Since 0.1. */
LLM_API llm_status llm_model_load_from(llm_engine *engine, const llm_source *const *parts, size_t n_parts,
                                       const llm_model_desc *desc, llm_model **out, llm_error *error);
/* What runs where: device, sizes, shader variants, and the program, an operation a line; text for people, bug reports and comparison. Two
 * runs on a GPU with the same text, driver included, give the same bits. n does not count the NUL.
 * Fails: SPACE; STATE (LLM_MODEL_VOCAB_ONLY). Threads: shared. Since 0.1. */
LLM_API llm_status llm_model_plan(const llm_model *model, char *text, size_t cap, size_t *n, llm_error *error);
/* Gives the handle up; the model goes when its last session has gone.
 * Owns: takes model. Fails: nothing. Threads: shared. Since 0.1. */
LLM_API void       llm_model_free(llm_model *model);

typedef struct llm_model_info {
    uint32_t struct_size, flags;
    const char *architecture; size_t architecture_len;  /* borrowed until the model goes */
    const char *name; size_t name_len;
    uint64_t n_params, file_bytes, weight_bytes;        /* weight_bytes: all tensors as stored */
    int32_t  n_vocab, n_ctx_train, n_embd, n_layers;
    uint64_t mapped_bytes;                              /* of the pack in use, which is not the engine's memory; 0: none */
} llm_model_info;
/* Fails: nothing else. Threads: shared. Since 0.1. */
LLM_API llm_status llm_model_get_info(const llm_model *model, llm_model_info *info, llm_error *error);

enum { LLM_META_INT = 1, LLM_META_UINT = 2, LLM_META_FLOAT = 3, LLM_META_BOOL = 4, LLM_META_STRING = 5, LLM_META_ARRAY = 6 };
typedef struct llm_meta {                   /* one metadata value; pointers are borrowed until the model goes */
    uint32_t struct_size;
    int32_t  type;                          /* LLM_META_*; of an array: LLM_META_ARRAY */
    int32_t  item_type, reserved;           /* of an array: LLM_META_* of its items */
    const char *key; size_t key_len;
    const char *string; size_t string_len;  /* STRING */
    int64_t  integer;                       /* INT, UINT (cast to uint64_t), BOOL */
    double   number;                        /* FLOAT, and INT, UINT, BOOL as a double */
    uint64_t n_items;                       /* ARRAY */
} llm_meta;
/* How many metadata keys the file has.
 * Fails: nothing. Threads: shared. Since 0.1. */
LLM_API size_t     llm_model_meta_count(const llm_model *model);
/* One by index, in the order of the file.
 * Owns: pointers in *out are borrowed until the model goes. Fails: NOT_FOUND. Threads: shared. Since 0.1. */
LLM_API llm_status llm_model_meta_at(const llm_model *model, size_t index, llm_meta *out, llm_error *error);
/* One by key.
 * Owns: as llm_model_meta_at. Fails: NOT_FOUND. Threads: shared. Since 0.1. */
LLM_API llm_status llm_model_meta_find(const llm_model *model, const char *key, size_t key_len, llm_meta *out, llm_error *error);
/* One item of an array, by the array's index among the keys; a key that is no array has one item.
 * Owns: as llm_model_meta_at. Fails: NOT_FOUND. Threads: shared. Since 0.1. */
LLM_API llm_status llm_model_meta_item(const llm_model *model, size_t index, uint64_t item, llm_meta *out, llm_error *error);

typedef struct llm_tensor_info {
    uint32_t struct_size, n_dims;
    const char *name; size_t name_len;      /* borrowed until the model goes */
    const char *type; size_t type_len;      /* "Q4_0"; static */
    uint64_t dims[4];                       /* dims[0] is the contiguous one */
    uint64_t bytes;
} llm_tensor_info;
/* How many tensors the file has.
 * Fails: nothing. Threads: shared. Since 0.1. */
LLM_API size_t     llm_model_tensor_count(const llm_model *model);
/* One by index, in the order of the file.
 * Owns: pointers in *out are borrowed until the model goes. Fails: NOT_FOUND. Threads: shared. Since 0.1. */
LLM_API llm_status llm_model_tensor_at(const llm_model *model, size_t index, llm_tensor_info *out, llm_error *error);

/* ---- tokenizer ------------------------------------------------------------------------------------------------- */

/* A tokenizer alone, from a GGUF file with a vocabulary.
 * Owns: *out. Fails: IO, NOT_FOUND, FORMAT, UNSUPPORTED, LIMIT. Threads: shared. Since 0.1. */
LLM_API llm_status llm_tokenizer_load(llm_engine *engine, const llm_source *source, llm_tokenizer **out, llm_error *error);
/* Gives up a tokenizer of llm_tokenizer_load.
 * Owns: takes tokenizer. Fails: nothing. Threads: shared. Since 0.1. */
LLM_API void       llm_tokenizer_free(llm_tokenizer *tokenizer);
/* The model's own tokenizer; NULL if it has none.
 * Owns: borrowed until the model is freed. Fails: nothing. Threads: shared. Since 0.1. */
LLM_API const llm_tokenizer *llm_model_tokenizer(const llm_model *model);

enum {
    LLM_ENCODE_ADD_SPECIAL = 1,             /* BOS and EOS as the model wants them */
    LLM_ENCODE_PARSE_SPECIAL = 2,           /* text like "<|im_end|>" becomes that control token; never for untrusted text */
    LLM_ENCODE_CONTINUES = 4                /* the text goes on after other text: vocabularies that put a space before a text put none */
};
/* Text to ids. Any bytes are accepted, in a time of n log n; a cap of len + 3 nearly always suffices.
 * Fails: SPACE. Threads: shared. Since 0.1. */
LLM_API llm_status llm_tokenizer_encode(const llm_tokenizer *t, const char *text, size_t len, uint32_t flags,
                                        llm_token *tokens, size_t cap, size_t *n, llm_error *error);
enum {
    LLM_DECODE_SHOW_SPECIAL = 1,            /* control tokens as their text instead of nothing */
    LLM_DECODE_CLEAN_SPACES = 2             /* of vocabularies whose owners decode so: no space before . , ? ! n't 's 'm 've 're. It is
                                             * neither what encode was given nor what a session's reader gets */
};
/* Ids to bytes (valid UTF-8 where the tokens are); n does not count the NUL, which is written where cap leaves room. 16 bytes a token
 * nearly always suffice.
 * Fails: SPACE. Threads: shared. Since 0.1. */
LLM_API llm_status llm_tokenizer_decode(const llm_tokenizer *t, const llm_token *tokens, size_t n_tokens, uint32_t flags,
                                        char *text, size_t cap, size_t *n, llm_error *error);
/* How many tokens there are; ids run from 0 to one less.
 * Fails: nothing. Threads: shared. Since 0.1. */
LLM_API int32_t    llm_tokenizer_n_vocab(const llm_tokenizer *t);
enum {
    LLM_SPECIAL_BOS = 1, LLM_SPECIAL_EOS = 2, LLM_SPECIAL_EOT = 3, LLM_SPECIAL_EOM = 4, LLM_SPECIAL_UNK = 5,
    LLM_SPECIAL_SEP = 6, LLM_SPECIAL_PAD = 7, LLM_SPECIAL_MASK = 8, LLM_SPECIAL_NEWLINE = 9, LLM_SPECIAL_FIM_PREFIX = 10,
    LLM_SPECIAL_FIM_SUFFIX = 11, LLM_SPECIAL_FIM_MIDDLE = 12, LLM_SPECIAL_FIM_PAD = 13, LLM_SPECIAL_FIM_REPO = 14,
    LLM_SPECIAL_FIM_SEP = 15
};
/* The id of a special token (LLM_SPECIAL_*) or LLM_TOKEN_NONE.
 * Fails: nothing. Threads: shared. Since 0.1. */
LLM_API llm_token  llm_tokenizer_special(const llm_tokenizer *t, int32_t which);
enum {                                      /* kind of a token */
    LLM_TOKEN_NORMAL = 1, LLM_TOKEN_UNKNOWN = 2, LLM_TOKEN_CONTROL = 3, LLM_TOKEN_USER = 4, LLM_TOKEN_UNUSED = 5, LLM_TOKEN_BYTE = 6
};
enum { LLM_TOKEN_ENDS = 1 };                /* flag: a reply ends here */
typedef struct llm_token_info {
    uint32_t struct_size, flags;            /* LLM_TOKEN_ENDS */
    int32_t  kind, reserved;                /* LLM_TOKEN_NORMAL ... */
    const char *bytes; size_t n_bytes;      /* what it stands for in text; borrowed until the tokenizer goes; may be half a character */
} llm_token_info;
/* What a token is.
 * Owns: bytes are borrowed until the tokenizer goes. Fails: INVALID for an id outside the vocabulary. Threads: shared. Since 0.1. */
LLM_API llm_status llm_tokenizer_token(const llm_tokenizer *t, llm_token token, llm_token_info *out, llm_error *error);

/* ---- grammar: which texts a reply may be ----------------------------------------------------------------------- */

enum { LLM_GRAMMAR_GBNF = 1, LLM_GRAMMAR_JSON_SCHEMA = 2, LLM_GRAMMAR_REGEX = 3 };
enum { LLM_GRAMMAR_COMPACT = 1 };           /* JSON without white space */
/* Makes a grammar for a vocabulary. A reply whose sampler has it is a text of the grammar, whatever the model would like to say: tokens that
 * cannot lead to one are never drawn, no choice of the others is a dead end, and end tokens are drawn where the text may end.
 *
 *   JSON_SCHEMA  drafts 2020-12 and 7. Members come in the order of `properties`, others behind them. What cannot be kept exactly is refused by
 *                its name, not passed over; docs/STRUCTURED.md has the list, and says how values are written. "true" is any JSON.
 *   REGEX        the whole reply matches. As ECMA-262 with the flag u, without assertions, backreferences, \b and \p.
 *   GBNF         llama.cpp's grammars, from the rule root; without tokens as items.
 *
 * Text from strangers will do: grammars that are too large (1 MiB, 262,144 states, 16 million steps) or would never end are refused. Tables
 * grow as they are needed, up to 64 MiB, and are shared by all that use the grammar. llm_error.offset is the byte of the text that is wrong.
 *
 *   ```c
 *   llm_status json_sampler(const llm_model *model, const char *schema, llm_sampler **out, llm_error *error)
 *   {
 *       llm_sampler_desc recipe = LLM_INIT(llm_sampler_desc);
 *       llm_grammar *grammar = NULL;
 *       llm_status status = llm_grammar_create(llm_model_tokenizer(model), LLM_GRAMMAR_JSON_SCHEMA, 0, schema, LLM_NUL, &grammar, error);
 *       if (status == LLM_OK) {
 *           recipe.temperature = 0.8f;
 *           recipe.grammar = grammar;
 *           status = llm_sampler_create(llm_model_tokenizer(model), &recipe, out, error);
 *       }
 *       llm_grammar_free(grammar);                                 // the sampler keeps what it needs
 *       return status;
 *   }
 *   ```
 *
 * Owns: *out. Fails: FORMAT (the grammar is wrong); UNSUPPORTED; LIMIT; INVALID (no text satisfies it, or none that this vocabulary can
 * write byte by byte). Threads: shared. Since 0.1. */
LLM_API llm_status llm_grammar_create(const llm_tokenizer *t, int32_t kind, uint32_t flags, const char *text, size_t len, llm_grammar **out,
                                      llm_error *error);
/* Gives the handle up; samplers keep the grammar.
 * Owns: takes grammar. Fails: nothing. Threads: shared. Since 0.1. */
LLM_API void       llm_grammar_free(llm_grammar *grammar);

/* ---- sampler: an immutable recipe. All zero: greedy. Zero turns a stage off ------------------------------------ */

enum {                                      /* stages of a recipe, in their usual order */
    LLM_STAGE_PENALTIES = 1, LLM_STAGE_DRY = 2, LLM_STAGE_TOP_N_SIGMA = 3, LLM_STAGE_TOP_K = 4, LLM_STAGE_TYPICAL = 5,
    LLM_STAGE_TOP_P = 6, LLM_STAGE_MIN_P = 7, LLM_STAGE_XTC = 8, LLM_STAGE_TEMPERATURE = 9
};
typedef struct llm_sampler_desc {
    uint32_t struct_size, flags;            /* flags: 0 */
    float    temperature;                   /* 0: greedy, the likeliest token, lowest id on a tie */
    int32_t  top_k;                         /* keep the k likeliest */
    float    top_p, min_p;                  /* keep the shortest likeliest prefix of mass >= top_p; p >= min_p * p_max */
    int32_t  min_keep;                      /* top_p, min_p, typical_p and XTC keep at least so many; 0: 1 */
    int32_t  penalty_last_n;                /* tokens the penalties look back at, prompt included; 0: 64; -1: all */
    float    repeat_penalty;                /* divides positive logits, multiplies negative ones; 1 is off too */
    float    frequency_penalty, presence_penalty;   /* subtracted: per occurrence; once */
    uint32_t reserved;
    const llm_token_bias *biases; size_t n_biases;  /* added first; -INFINITY bans a token */
    float    dynatemp_range;                /* temperature - range (at least 0) to temperature + range, by how even the candidates are: */
    float    dynatemp_exponent;             /* (entropy / its largest) ^ exponent; 0: 1 */
    float    typical_p;                     /* keep those whose surprise is nearest to the entropy, of mass > typical_p; 1 is off too */
    float    top_n_sigma;                   /* keep logits >= max - top_n_sigma standard deviations */
    float    xtc_probability;               /* exclude top choices, this often: of those with p >= xtc_threshold only the least likely */
    float    xtc_threshold;                 /* stays; 0: 0.1; more than 0.5 is off */
    float    dry_multiplier, dry_base;      /* a token that carries on a repetition of n tokens loses multiplier * base ^ (n - allowed), */
    int32_t  dry_allowed_length, dry_last_n;    /* n >= allowed; base 0: 1.75; allowed 0: 2; tokens looked back at, 0 or -1: all */
    int32_t  mirostat;                      /* 1, 2: Mirostat draws, so that the surprise in bits comes to mirostat_tau */
    float    mirostat_tau, mirostat_eta;    /* 0: 5; how fast it learns, 0: 0.1 */
    float    adaptive_target;               /* adaptive-p draws, so that the drawn tokens' probability comes to the target */
    float    adaptive_decay;                /* of what it remembers, at most 0.99; 0: 0.9 */
    uint32_t reserved_2;
    const llm_str *dry_breakers; size_t n_dry_breakers; /* repetitions end at these texts; NULL: "\n" ":" "\"" "*"; at most 32 of 40 bytes */
    const uint8_t *order; size_t n_order;   /* LLM_STAGE_*, each at most once; NULL: as below */
    const llm_grammar *grammar;             /* of this vocabulary: which tokens may be drawn, before all stages; NULL: any */
    const void *reserved_ptr;
} llm_sampler_desc;
/* Order of stages: bias, then penalties, DRY, top_n_sigma, top_k, typical_p, top_p, min_p, XTC, temperature, then the draw. `order` says
 * another: what it does not name is not done (without the temperature stage: 1). Mirostat or adaptive-p take the place of the draw;
 * where order is NULL, Mirostat has the temperature alone before it. Each stage sees what the ones before it left. A
 * grammar's mask comes before all of them. What it leaves no choice about is appended without a draw (docs/STRUCTURED.md says when; with
 * LLM_GENERATE_SCORE each token is drawn). Contexts do not slide under a grammar.
 *
 * The same recipe serves any session of models with this vocabulary, many at once; what it remembers is the session's timeline, so
 * rewind and fork cannot confuse it. What Mirostat and adaptive-p learn stands there beside each token they drew; tokens that were
 * put in or drawn otherwise leave it as it was. All draws depend on (seed, position) and the timeline alone.
 *
 *   ```c
 *   llm_status usual_sampler(const llm_model *model, llm_sampler **out, llm_error *error)
 *   {
 *       llm_sampler_desc recipe = LLM_INIT(llm_sampler_desc);
 *       recipe.temperature = 0.8f;
 *       recipe.top_k = 40;
 *       recipe.top_p = 0.95f;
 *       recipe.min_p = 0.05f;
 *       return llm_sampler_create(llm_model_tokenizer(model), &recipe, out, error);
 *   }
 *   ```
 *
 * Owns: *out. Fails: INVALID and LIMIT, naming the field. Threads: shared. Since 0.1. */
LLM_API llm_status llm_sampler_create(const llm_tokenizer *t, const llm_sampler_desc *desc, llm_sampler **out, llm_error *error);
/* Gives the handle up; replies in progress keep the recipe.
 * Owns: takes sampler. Fails: nothing. Threads: shared. Since 0.1. */
LLM_API void       llm_sampler_free(llm_sampler *sampler);

/* ---- session: one timeline = tokens taken in, tokens pending, and what the model made of them ------------------ */

/* States, as llm_session_state tells them:
 *
 *          append, sync, rewind              generate
 *   READY ----------------------> WORKING <------------ any but failed
 *     ^                             |  |
 *     +------- all taken in --------+  +--> LLM_END_*: the reply is over -- put in --> WORKING
 *                                   +-----> failed (< 0) ------ rewind, sync -------> WORKING or READY
 *
 * A put-in (append, sync, rewind) ends a reply in progress; its text stays readable, generate begins the next. */

enum { LLM_STATE_TYPE_F16 = 0, LLM_STATE_TYPE_F32 = 1, LLM_STATE_TYPE_INT8 = 2 };     /* types of what the model remembers (the KV cache): int8 is
                                               about half of f16, with a scale for each token and head; f16 loses next to nothing, int8 a little */
enum {
    LLM_SESSION_RESERVE = 1                 /* take all memory for n_ctx now; steps of this session alone allocate nothing later (but for
                                               a page after each fork, or, of a sliding window, all that the fork shares; and scores
                                               where they are asked for) */
};
enum {                                      /* what happens when the context is full */
    LLM_FULL_END = 0,                       /* a reply ends (LLM_END_CONTEXT), what is put in is refused (CONTEXT_FULL) */
    LLM_FULL_SLIDE = 1                      /* the first n_keep tokens stay; of the others the older half is forgotten, or more if what is appended needs
                                               more, and the rest is taken in anew: the reply goes on as if it had begun so. It pauses for
                                               that. Text not yet read is never forgotten: a reply that nobody reads ends all the same. What
                                               llm_session_sync is given must fit */
};
typedef struct llm_session_desc {
    uint32_t struct_size, flags;            /* LLM_SESSION_* */
    int32_t  n_ctx;                         /* bound in tokens, not a reservation; 0: the model's, at most 4096. Some models (Phi-3 128k) have
                                               two ways to see positions: the long one for all of a session whose n_ctx is more than
                                               <arch>.rope.scaling.original_context_length, however few tokens it holds */
    int32_t  state_type;                    /* LLM_STATE_TYPE_* */
    int32_t  when_full, n_keep;             /* LLM_FULL_*; the first tokens that SLIDE keeps, at most half of n_ctx */
} llm_session_desc;

/* Begins an empty timeline. Pages of state are taken as tokens are taken in, unless LLM_SESSION_RESERVE asks for all of them now.
 * Layers that look back over a sliding window give theirs back as it moves on: they hold the window, a pass and three pages of 64 tokens at most.
 * Owns: *out. Fails: STATE (the model was loaded for its vocabulary only).
 * Threads: shared (the model). Since 0.1. */
LLM_API llm_status llm_session_create(llm_model *model, const llm_session_desc *desc, llm_session **out, llm_error *error);
/* A second session with the same timeline; memory is shared until one of them writes, page by page, so a thousand parked forks
 * cost their own pages and a few hundred bytes each. The fork does not generate, reserves nothing, and counts from 0.
 * Owns: *out. Fails: BUSY. Threads: exclusive. Since 0.1. */
LLM_API llm_status llm_session_fork(llm_session *session, llm_session **out, llm_error *error);
/* Gives the session up, a pass in progress too.
 * Owns: takes session. Fails: nothing. Threads: exclusive. Since 0.1. */
LLM_API void       llm_session_free(llm_session *session);

/* Put in: nothing is computed here, and on failure the timeline is unchanged. */
enum {
    LLM_APPEND_SCORE = 1,                   /* keep each of these tokens' log-probability: see llm_session_scores */
    LLM_APPEND_PARSE_SPECIAL = 2,           /* text: as LLM_ENCODE_PARSE_SPECIAL */
    LLM_APPEND_NO_BOS = 4                   /* text: no BOS at the beginning of an empty timeline */
};
/* Adds tokens to the end; they are pending until steps have taken them in. flags: LLM_APPEND_SCORE.
 * Fails: CONTEXT_FULL; STATE (the session failed: see llm_session_rewind); BUSY. Threads: exclusive. Since 0.1. */
LLM_API llm_status llm_session_append(llm_session *s, const llm_token *tokens, size_t n, uint32_t flags, llm_error *error);
/* The same with text. BOS is put before it where the timeline is empty and the model wants one; after other text it simply goes on
 * (LLM_ENCODE_CONTINUES). flags: LLM_APPEND_*.
 * Fails: as append; STATE too if the model has no tokenizer. Threads: exclusive. Since 0.1. */
LLM_API llm_status llm_session_append_text(llm_session *s, const char *text, size_t len, uint32_t flags, llm_error *error);
/* Makes the timeline these tokens; what the session already has of them, from the beginning on, is kept. Pass the whole
 * conversation each time, and only what is new is computed. Mends a failed session. flags: LLM_APPEND_SCORE.
 * Fails: CONTEXT_FULL, BUSY. Threads: exclusive. Since 0.1. */
LLM_API llm_status llm_session_sync(llm_session *s, const llm_token *tokens, size_t n, uint32_t flags, llm_error *error);
/* Keeps the first n tokens. The last of them is pending again, so that the next step brings its logits. Mends a failed session.
 * In models with a sliding window, what the window has left behind is forgotten: going back by fewer than 64 tokens is always free, but
 * beyond that all n may be pending again, and the next steps take them in anew (llm_session_n_pending tells). The same holds for sync.
 * Fails: BUSY. Threads: exclusive. Since 0.1. */
LLM_API llm_status llm_session_rewind(llm_session *s, size_t n_tokens, llm_error *error);

enum {
    LLM_GENERATE_IGNORE_END = 1,            /* end tokens do not end */
    LLM_GENERATE_SCORE = 2,                 /* keep drawn tokens' log-probabilities */
    LLM_GENERATE_SHOW_SPECIAL = 4,          /* control tokens are part of the text that is read, as what they are called: see llm_chat_read */
    LLM_GENERATE_CONTINUE = 8               /* no new reply: the one that the timeline ends with goes on (below) */
};
typedef struct llm_generate_desc {
    uint32_t struct_size, flags;            /* LLM_GENERATE_* */
    uint64_t seed;                          /* a draw depends on (seed, position) alone */
    int32_t  max_tokens;                    /* 0: until an end, or the context is full */
    int32_t  reserved;
    const llm_sampler *sampler;             /* NULL: greedy */
    const llm_str *stops; size_t n_stops;   /* the reply's text ends before the first of these strings: LLM_END_STOP */
    const llm_token *stop_tokens; size_t n_stop_tokens;     /* or before one of these tokens: LLM_END_STOP too */
    void (*on_logits)(void *user, float *logits, int32_t n_vocab);     /* before sampling, on the thread in step; may change them */
    void *user;
    const void *reserved_ptr;
} llm_generate_desc;
/* From here on, whenever nothing is pending, a step draws a token, until an end or the next put-in. Begins a new reply: text not yet
 * read of an earlier one is dropped, a cancel not yet reported is forgotten. Tokens drawn, those of an end or a stop too, stand in the
 * timeline; the last one is pending. The sampler is kept as long as it is needed; on_logits and user until the next generate.
 *
 * With LLM_GENERATE_CONTINUE a reply goes on that was cancelled, came to max_tokens or to the end of the context, failed and was mended by a rewind to
 * its end, or came with a restore or a fork, as if nothing had been between: text that nobody has read, half characters and what may become a stop too, is read
 * next, its grammar knows where it stands, max_tokens counts from its beginning. The description is given anew, the same but for max_tokens;
 * a save has no samplers and stops.
 * Fails: STATE (an empty timeline; a failed session; LLM_GENERATE_CONTINUE where the timeline does not end with a reply, or with one that ended by a token,
 * a stop or its grammar, or a grammar's beginning was forgotten by sliding); INVALID (LLM_GENERATE_CONTINUE: max_tokens is reached; another stop stands
 * in its text); BUSY. Threads: exclusive. Since 0.1. */
LLM_API llm_status llm_session_generate(llm_session *s, const llm_generate_desc *desc, llm_error *error);

enum { LLM_STEP_NO_WAIT = 1 };              /* GPU: gives it what fits in the budget (at most one submission, llm_vulkan.submit_ms) and returns; a later
                                               step fetches what came of it. The CPU computes in the call regardless */
/* Advances n sessions of one model together by at most one pass over the weights; the one function that computes. Returns
 *   LLM_MORE  work is left: call again;
 *   LLM_OK    nothing is left: all taken in, and every reply has come to its end;
 *   < 0       nothing was done if an argument was wrong, else at least one session failed (its llm_session_state says why) and
 *             the others advanced as usual.
 * It may return early at any time: always loop. Sessions that ended are passed over, so an array need not be rebuilt; one that failed
 * makes every step fail until it is taken out, or mended by rewind or sync. A pass takes at most n_chunk tokens, shared by all sessions;
 * a session with nothing pending draws one token.
 *
 * budget_us bounds the call: a pass that does not fit stops in its middle, keeps its arena, and a later step with the same sessions
 * goes on; steps of other sessions in between do no harm. <= 0 does nothing but collect what a GPU has done meanwhile, and report. If all arenas of the engine hold
 * unfinished passes of other sessions, the answer is LLM_MORE with nothing changed. A pass is computed anew if one of its sessions was
 * changed, cancelled or left out. Calls from several threads take turns, first come first served. On a GPU the driver
 * compiles when a model is loaded, and when the first session with a type of state is made; llm_engine_device_set_cache spares most of that.
 *
 *   ```c
 *   int32_t update(llm_session *session, char *said, size_t cap, size_t *n_said)   // once a frame: at most 2 ms of it
 *   {
 *       llm_error error;
 *       llm_status status = llm_session_step(&session, 1, 2000, LLM_STEP_NO_WAIT, &error);
 *       *n_said += llm_session_read_text(session, said + *n_said, cap - *n_said);
 *       if (status < 0)
 *           show(error.message);
 *       return status == LLM_MORE;                                                  // still speaking
 *   }
 *   ```
 *
 * Fails: BUSY; MEMORY (no pages: that session alone, before anything changed); NUMERIC (the model or a hook gave NaN or infinity);
 * DEVICE_LOST (the tokens can still be read; load the model anew, on this device or another, append them to a session there, and go on).
 * Threads: exclusive (each session); on_logits is called on this thread. Since 0.1. */
LLM_API llm_status llm_session_step(llm_session *const *sessions, size_t n, int64_t budget_us, uint32_t flags, llm_error *error);

enum {
    LLM_STATE_READY = 0, LLM_STATE_WORKING = 1,             /* nothing to do; a step would do something */
    LLM_END_TOKEN = 2, LLM_END_STOP = 3, LLM_END_LENGTH = 4, LLM_END_CONTEXT = 5, LLM_END_CANCELLED = 6,
    LLM_END_GRAMMAR = 7                     /* the text is whole, and its grammar allows nothing more: no end token is drawn */
};
/* LLM_STATE_*, LLM_END_* (how the reply ended), or the error < 0 that stopped this session.
 * Fails: nothing. Threads: anytime. Since 0.1. */
LLM_API int32_t    llm_session_state(const llm_session *s);
/* Ends the reply or the work in progress: within 10 ms on the CPU, within a submission (llm_vulkan.submit_ms) on a GPU. The session stays usable, at its last whole token; put-ins and
 * generate go on from there. Holds until a step has reported it (LLM_END_CANCELLED) or the next generate.
 * Fails: nothing. Threads: anytime, signal handlers too: one atomic store. Since 0.1. */
LLM_API void       llm_session_cancel(llm_session *s);

/* Take out. */
/* Writes what can be read of the reply: whole UTF-8 characters and a NUL, at most cap - 1 bytes. Returns the bytes written
 * without the NUL; 0: nothing now. Half characters and what may become a stop string are kept back until decided; bytes
 * that are no UTF-8 become U+FFFD. cap of 5 or more always makes progress. The reply's tokens are the buffer: nothing is lost if the
 * host reads late; text of tokens that rewind or sync took away is.
 * Fails: nothing (busy: returns 0). Threads: exclusive. Since 0.1. */
LLM_API size_t     llm_session_read_text(llm_session *s, char *buf, size_t cap);
/* Tokens of the timeline, pending ones included.
 * Fails: nothing. Threads: anytime. Since 0.1. */
LLM_API size_t     llm_session_n_tokens(const llm_session *s);
/* Those not yet taken in.
 * Fails: nothing. Threads: anytime. Since 0.1. */
LLM_API size_t     llm_session_n_pending(const llm_session *s);
/* The timeline's tokens.
 * Owns: borrowed until the session changes. Fails: BUSY. Threads: exclusive. Since 0.1. */
LLM_API llm_status llm_session_tokens(llm_session *s, const llm_token **tokens, size_t *n, llm_error *error);
/* The logits after the last token that was taken in, [n_vocab], as the model gave them.
 * Owns: borrowed until the session changes. Fails: STATE (there are none: step first); BUSY. Threads: exclusive. Since 0.1. */
LLM_API llm_status llm_session_logits(llm_session *s, const float **logits, size_t *n, llm_error *error);
/* The log-probability of each token of the timeline, given those before it; NaN for the first, where none was asked for, and where it
 * is not there yet.
 * Owns: borrowed until the session changes. Fails: BUSY. Threads: exclusive. Since 0.1. */
LLM_API llm_status llm_session_scores(llm_session *s, const float **log_probs, size_t *n, llm_error *error);
/* Has on_score called for each token whose log-probability was asked for, the moment it is known, in rising order of position: with the
 * [n_vocab] logits that it was taken from, which are those after token `position - 1` and borrowed for the call. It is called on a thread
 * that steps this session and may not change it; the pass is held meanwhile, so others wait. NULL: no more calls. A fork has none.
 * Fails: BUSY. Threads: exclusive. Since 0.1. */
LLM_API llm_status llm_session_watch_scores(llm_session *s, void (*on_score)(void *user, size_t position, const float *logits, int32_t n_vocab),
                                            void *user, llm_error *error);
/* The likeliest next tokens by llm_session_logits, best first, as many as cap holds, with log-probabilities; *n: how many.
 * Fails: STATE (as logits); BUSY. Threads: exclusive. Since 0.1. */
LLM_API llm_status llm_session_best(llm_session *s, llm_token_score *out, size_t cap, size_t *n, llm_error *error);

enum { LLM_SESSION_ANEW = 1 };              /* flag: tokens that had been taken in are pending again, after llm_session_park, llm_engine_trim, or
                                               a restore that could not use the state; gone when all are taken in */
typedef struct llm_session_info {
    uint32_t struct_size, flags;            /* LLM_SESSION_ANEW */
    uint64_t n_prompt, prompt_us;           /* tokens taken in that were not drawn, and the time in steps for them */
    uint64_t n_generated, generate_us;
    uint64_t state_bytes;                   /* pages this session refers to, shared ones included */
    int32_t  n_ctx, state_type;
    uint64_t n_slid;                        /* tokens that LLM_FULL_SLIDE has forgotten since the timeline was empty */
} llm_session_info;
/* Fails: BUSY. Threads: exclusive. Since 0.1. */
LLM_API llm_status llm_session_get_info(llm_session *s, llm_session_info *info, llm_error *error);

enum { LLM_IMPORTANCE_OUTPUT = 1 };         /* the output matrix too */
typedef struct llm_importance_desc {
    uint32_t struct_size, flags;            /* LLM_IMPORTANCE_* */
    const char *dataset; size_t dataset_len;    /* what the text was: for the record, as are the next two */
    int32_t  n_chunks, chunk_tokens;
} llm_importance_desc;
/* Writes the importance matrix of a model that was loaded with LLM_MODEL_OBSERVE: for each weight matrix the sums of the squares of what its
 * columns were multiplied with in all steps since, and the number of rows, in llama.cpp's GGUF format. A quantizer keeps exact what is
 * multiplied with large numbers. Of the last layer only rows with logits are seen: put text in with LLM_APPEND_SCORE. Call it while no step
 * is in progress on this model.
 * Fails: STATE (not loaded so; nothing was computed yet); IO; what the sink's writer answers. Threads: shared. Since 0.1. */
LLM_API llm_status llm_model_write_importance(llm_model *model, const llm_sink *sink, const llm_importance_desc *desc, llm_error *error);

/* ---- keep: saved sessions, parked ones, memory given back -------------------------------------------------------- */

/* SAVED SESSIONS hold a timeline: its tokens, what Mirostat and adaptive-p have learnt, scores, and, unless LLM_SAVE_TOKENS_ONLY, what the model
 * remembers of them and the last logits. Not the reply in progress (its tokens alone: begin the next with llm_session_generate) and not a chat's
 * messages: give those along as a note.
 *
 *   Bits      Restored on a CPU, what follows has the bits of the session that was saved, if that was on a CPU. Other devices go on from the same
 *             state with an arithmetic of their own.
 *   Fits      a session of the same model: same architecture, hyper-parameters and tensors (types, shapes, and 64 bytes from the middle of each
 *             of them, of 256 if there are more), same vocabulary. Names, notes and templates in the model's file do not count, nor how it is
 *             split. Another model is LLM_E_MISMATCH. The state type, the context and the device may differ.
 *   Anew      Where state was not saved, or cannot be used (another state type, another arithmetic of a later library, another way to see
 *             positions: see n_ctx of llm_session_desc), all tokens are pending after a restore, and the next steps take them in anew;
 *             llm_session_n_pending and LLM_SESSION_ANEW tell.
 *   Trust     A saved session may come from anywhere: everything is checked before anything large is allocated, and all of the file before the
 *             session changes. Checksums notice every accident; they are no signature. What somebody forges in earnest can say anything in your
 *             users' names, as any text could, and nothing worse.
 *   Size      of f16 state 2 bytes for each key and value: a 1B model about 32 KiB a token, 8 with LLM_SAVE_TOKENS_ONLY at most.
 *   For ever  docs/SESSIONS.md has the format. Later libraries read what this one writes. */
enum { LLM_SAVE_TOKENS_ONLY = 1 };          /* no state: a small file, whose tokens are taken in anew */
typedef struct llm_save_desc {
    uint32_t struct_size, flags;            /* LLM_SAVE_* */
    const void *note; size_t note_len;      /* bytes of yours that go along, at most 16 MiB: a title, a chat's messages; see llm_saved_note */
} llm_save_desc;
/* Writes the session into a file, which is there whole or not at all (llm_sink). The session is not changed, but for a pass in progress, which may
 * be computed anew. desc: NULL: with state, without a note.
 * Fails: IO, NOT_FOUND (no such folder); DEVICE_LOST (LLM_SAVE_TOKENS_ONLY needs no device); LIMIT (the note); BUSY. Threads: exclusive. Since 0.1. */
LLM_API llm_status llm_session_save(llm_session *s, const char *path, size_t path_len, const llm_save_desc *desc, llm_error *error);
/* The same to any sink: a writer makes it a part of a host's own file. It may not use the session.
 * Fails: as llm_session_save; what the sink's writer answers. Threads: exclusive. Since 0.1. */
LLM_API llm_status llm_session_save_to(llm_session *s, const llm_sink *sink, const llm_save_desc *desc, llm_error *error);

enum {
    LLM_RESTORE_NEED_STATE = 1,             /* where the state cannot be used: refuse (UNSUPPORTED) instead of taking the tokens in anew */
    LLM_RESTORE_OTHER_MODEL = 2             /* take the tokens of another model too, if its vocabulary is the same; always anew */
};
/* Makes the timeline what was saved. The session may have one already, which goes: its reply too, and text not yet read. The reply that was
 * saved goes on by llm_session_generate with LLM_GENERATE_CONTINUE. On failure nothing has
 * changed. Until it succeeds the memory for both is held: llm_session_park before, where that is too much. Mends a failed session. flags: LLM_RESTORE_*.
 *
 *   ```c
 *   llm_status reopen(llm_model *model, const char *path, llm_session **out, llm_error *error)
 *   {
 *       llm_session *session = NULL;
 *       llm_status status = llm_session_create(model, NULL, &session, error);
 *       if (status == LLM_OK)
 *           status = llm_session_restore(session, path, LLM_NUL, 0, error);
 *       if (status == LLM_E_MISMATCH)
 *           show("This story was told by another model.");
 *       if (status == LLM_OK)
 *           *out = session;
 *       else
 *           llm_session_free(session);
 *       return status;
 *   }
 *   ```
 *
 * Fails: IO, NOT_FOUND; FORMAT (no saved session, or a damaged one: error.offset); VERSION (written by a later library, in a way that this one does not
 * know); MISMATCH; CONTEXT_FULL (more tokens than the session's context); UNSUPPORTED (LLM_RESTORE_NEED_STATE); BUSY.
 * Threads: exclusive. Since 0.1. */
LLM_API llm_status llm_session_restore(llm_session *s, const char *path, size_t path_len, uint32_t flags, llm_error *error);
/* The same from any source: of a host's own file the part that was saved, no byte more.
 * Fails: as llm_session_restore. Threads: exclusive. Since 0.1. */
LLM_API llm_status llm_session_restore_from(llm_session *s, const llm_source *source, uint32_t flags, llm_error *error);

enum { LLM_SAVED_SAME_MODEL = 1,            /* of the model it was asked for */
       LLM_SAVED_SAME_VOCABULARY = 2,
       LLM_SAVED_STATE = 4 };               /* with state that this model could use, in a session of the same state type */
typedef struct llm_saved_info {
    uint32_t struct_size, flags;            /* LLM_SAVED_* */
    uint64_t n_tokens, n_evaluated;         /* of the timeline; of those, with their state in the file */
    uint64_t n_reply;                       /* the last tokens, as many as the reply in progress or the last one has drawn */
    uint64_t file_bytes, note_len;
    int32_t  n_ctx, state_type;             /* of the session that was saved */
    uint32_t version, arithmetic;           /* of the format; of docs/ARITHMETIC.md */
} llm_saved_info;
/* What a saved session is, by its first bytes; only a restore looks at all of it.
 * Fails: IO, NOT_FOUND, FORMAT, VERSION. Threads: shared. Since 0.1. */
LLM_API llm_status llm_saved_get_info(llm_model *model, const llm_source *source, llm_saved_info *info, llm_error *error);
/* The note that was saved along; n 0: none.
 * Fails: SPACE; as llm_saved_get_info. Threads: shared. Since 0.1. */
LLM_API llm_status llm_saved_note(llm_model *model, const llm_source *source, void *note, size_t cap, size_t *n, llm_error *error);

/* Drops what the model remembers and keeps the tokens, 4 bytes each (8 with scores; 24 more for each that Mirostat or adaptive-p drew), the reply and its text:
 * for sessions that wait. They are all pending then; the next steps take them in anew and come to the same bits (on a GPU: near them). What
 * LLM_SESSION_RESERVE had reserved is given back too, for good.
 * Fails: BUSY. Threads: exclusive. Since 0.1. */
LLM_API llm_status llm_session_park(llm_session *s, llm_error *error);

enum { LLM_TRIM_PARK = 1 };                 /* park sessions too */
/* For a host that needs memory now: gives back what steps only keep to be quick (arenas of passes, room to sample in), and with LLM_TRIM_PARK then parks
 * sessions that have nothing to do, whoever was stepped longest ago first, until `bytes` are free. Sessions in a call, in a pass or with work left are not touched. What was given
 * back is taken again when it is needed: steps may answer MEMORY then, also of sessions with LLM_SESSION_RESERVE. What a session had lent (logits) ends when it is parked.
 * *freed (or NULL): bytes given back to the allocator; pages on a GPU stay with the GPU, for other sessions.
 * Fails: nothing else. Threads: shared; another thread's call on a session that is being parked waits for that. Since 0.1. */
LLM_API llm_status llm_engine_trim(llm_engine *engine, uint64_t bytes, uint32_t flags, uint64_t *freed, llm_error *error);

/* ---- chat: messages, and the text that a model was taught to answer -------------------------------------------- */

/* A chat is a list of messages and the template that makes one text of them: who speaks is said with control tokens, in another way for each
 * model. Templates are programs in a language called Jinja, which stand in the model's file (tokenizer.chat_template). They are run in an
 * interpreter of the library's own that reaches nothing but the messages, with bounds on its steps (10 million), its memory (256 MiB) and
 * its text (16 MiB): what passes them is LLM_E_LIMIT. The chat is the record of what was said, the session what the model knows of it.
 *
 *   ```c
 *   llm_status answer(llm_session *session, llm_chat *chat, const char *question, char *text, size_t cap, llm_error *error)
 *   {
 *       size_t n = 0, more;
 *       llm_status status;
 *       if ((status = llm_chat_add(chat, "user", LLM_NUL, question, LLM_NUL, error)) == LLM_OK &&
 *           (status = llm_session_sync_chat(session, chat, 0, error)) == LLM_OK &&
 *           (status = llm_session_generate(session, NULL, error)) == LLM_OK)
 *           do {
 *               status = llm_session_step(&session, 1, LLM_FOREVER, 0, error);
 *               while ((more = llm_session_read_text(session, text + n, cap - n)) > 0)
 *                   n += more;
 *           } while (status == LLM_MORE && cap - n > 5);
 *       return status < 0 ? status : llm_chat_add(chat, "assistant", LLM_NUL, text, n, error);
 *   }
 *   ```
 *
 * TRUST      Text of messages, tools and variables never becomes a control token, whatever it says: only what the template itself writes does,
 *            and the texts of bos_token and eos_token, and roles made of a-z and _. "<|im_end|>" in a question is ordinary
 *            characters to the model; where nobody tries that, the tokens are those of the whole text. Roles are yours to choose: take
 *            them from no stranger. A template is a part of the model: it can say what it likes in your users' names.
 * ADAPTING   Templates differ in what they take. A chat tries out with small messages of its own what its template does, and gives it what it
 *            wants: contents as strings or as parts; a system message as the beginning of what the user says next, where there
 *            is no such role; messages of the same role in a row as one, where user and assistant must alternate; arguments of calls as objects or
 *            as JSON in a string; ids of calls of nine characters; calls as text, in the model's own form, where a history's are left
 *            out; what tools said as the user's words, where there is no such role. */
enum { LLM_CHAT_GIVEN = 1, LLM_CHAT_MODEL = 2, LLM_CHAT_BUILTIN = 3 };     /* where a template comes from */
typedef struct llm_chat_desc {
    uint32_t struct_size, flags;            /* flags: 0 */
    const char *template_text; size_t template_text_len;   /* a template of your own; or */
    const char *template_name; size_t template_name_len;   /* one of the model's by name, or one of the library's: chatml, llama3, gemma,
                                               mistral, phi3, zephyr; "default": tokenizer.chat_template. Both NULL: the model's tool_use if
                                               there are tools, else its default, else one of the library's by the vocabulary, chatml if none fits */
    const char *tools; size_t tools_len;    /* JSON: an array of {"type": "function", "function": {name, description, parameters}}; NULL: none */
    const char *variables; size_t variables_len;    /* JSON: an object, whose members the template finds as variables: {"enable_thinking": false} */
    const char *date; size_t date_len;      /* what the template is told as the time: "2026-11-22" or "2026-11-22 18:30:00". The library reads
                                               no clock: NULL: a template that asks (strftime_now) is refused when it is rendered */
} llm_chat_desc;
/* Begins a chat without messages, with the model's template or the one that desc says. Models loaded for their vocabulary will do.
 * Owns: *out. Fails: STATE (no tokenizer); NOT_FOUND (template_name); FORMAT (the template is no Jinja, its line is named, or no UTF-8; tools or
 * variables are no such JSON); UNSUPPORTED (a statement of Jinja that no model uses); LIMIT (a template of more than 1 MiB).
 * Threads: shared (the model). Since 0.1. */
LLM_API llm_status llm_chat_create(llm_model *model, const llm_chat_desc *desc, llm_chat **out, llm_error *error);
/* Gives the chat up. Sessions keep what was put in.
 * Owns: takes chat. Fails: nothing. Threads: exclusive. Since 0.1. */
LLM_API void       llm_chat_free(llm_chat *chat);
/* Adds a message. role: "system", "user", "assistant", "tool", or what else the template knows.
 * Fails: INVALID (no UTF-8); BUSY. Threads: exclusive. Since 0.1. */
LLM_API llm_status llm_chat_add(llm_chat *chat, const char *role, size_t role_len, const char *text, size_t len, llm_error *error);
/* Adds a message with all that it may have: a JSON object with role, content (a string, null, or an array of {"type": "text", "text": ...}),
 * tool_calls (an array of {id, type, function: {name, arguments}}, arguments an object or JSON in a string), tool_call_id, name,
 * reasoning_content, and whatever else its template looks at.
 * Fails: FORMAT (no JSON, the byte is named; no such message); UNSUPPORTED (parts that are no text); LIMIT; BUSY. Threads: exclusive. Since 0.1. */
LLM_API llm_status llm_chat_add_json(llm_chat *chat, const char *message, size_t len, llm_error *error);
/* How many messages there are.
 * Fails: nothing. Threads: exclusive. Since 0.1. */
LLM_API size_t     llm_chat_n_messages(const llm_chat *chat);
/* Keeps the first n messages.
 * Fails: INVALID (there are fewer); BUSY. Threads: exclusive. Since 0.1. */
LLM_API llm_status llm_chat_rewind(llm_chat *chat, size_t n_messages, llm_error *error);

typedef struct llm_chat_info {
    uint32_t struct_size;
    int32_t  origin;                        /* of the template: LLM_CHAT_GIVEN, _MODEL, _BUILTIN */
    const char *name; size_t name_len;      /* its name, "default" for the model's only one, "" for yours; borrowed until the chat is freed */
} llm_chat_info;
/* Which template was taken.
 * Fails: nothing else. Threads: shared. Since 0.1. */
LLM_API llm_status llm_chat_get_info(const llm_chat *chat, llm_chat_info *info, llm_error *error);

enum { LLM_CHAT_NO_PROMPT = 1 };            /* without what the template writes before a reply (add_generation_prompt) */
/* The text of all messages, for people and for other tokenizers; give it to llm_session_append_text and TRUST is lost. n does not count
 * the NUL. flags: LLM_CHAT_NO_PROMPT.
 * Fails: SPACE; INVALID (the template refuses these messages, or does what is an error in Jinja: its line and its words are in the message);
 * LIMIT; UNSUPPORTED; BUSY. Threads: exclusive. Since 0.1. */
LLM_API llm_status llm_chat_render(llm_chat *chat, uint32_t flags, char *text, size_t cap, size_t *n, llm_error *error);
/* The tokens of all messages, as llm_session_sync_chat puts them in. BOS stands in front where the vocabulary wants it, once: whether
 * the template writes it or not.
 * Fails: as llm_chat_render. Threads: exclusive. Since 0.1. */
LLM_API llm_status llm_chat_encode(llm_chat *chat, uint32_t flags, llm_token *tokens, size_t cap, size_t *n, llm_error *error);
/* Makes the timeline what the chat says, by llm_session_sync: what the session already has of it is kept, so that a step takes in no more
 * than what was added, or what a template tells otherwise now (most leave out the reasoning of earlier replies). The session must be of
 * the chat's model. On failure the timeline is as it was. flags: LLM_CHAT_NO_PROMPT.
 * Fails: as llm_chat_render; CONTEXT_FULL; INVALID (a session of another model); BUSY. Threads: exclusive (both). Since 0.1. */
LLM_API llm_status llm_session_sync_chat(llm_session *s, llm_chat *chat, uint32_t flags, llm_error *error);

enum { LLM_EVENT_NONE = 0, LLM_EVENT_TEXT = 1, LLM_EVENT_REASONING = 2, LLM_EVENT_CALL = 3 };
typedef struct llm_chat_event {
    uint32_t struct_size;
    int32_t  kind;                          /* LLM_EVENT_* */
    const char *text; size_t text_len;      /* what is said or thought; of a call its arguments, a JSON object */
    const char *name; size_t name_len;      /* of a call */
    const char *id;   size_t id_len;        /* of a call: what the model wrote, or "call00000" and so on */
} llm_chat_event;
/* Reads a reply by its parts instead of llm_session_read_text: what is said, what the model only thinks, and calls of tools, each as soon as
 * it is there; texts come in pieces, a call when it is whole. How they are told apart follows from the template: DeepSeek,
 * Gemma 4, GLM, gpt-oss, Granite, Hermes, Kimi, LFM2, Llama 3, MiniMax M2, Mistral, Qwen, Seed and others of their forms. What
 * looks like a call and is none comes as text. White space between parts is left out. Begin the reply with LLM_GENERATE_SHOW_SPECIAL: many signs
 * are control tokens, whose text is not shown otherwise. A reply begins with llm_session_sync_chat, and is over when the session has ended
 * it and no event is left. LLM_MORE: an event; LLM_OK: nothing now (kind is LLM_EVENT_NONE).
 *
 *   ```c
 *   llm_status converse(llm_session *session, llm_chat *chat, llm_error *error)
 *   {
 *       llm_generate_desc reply = LLM_INIT(llm_generate_desc);
 *       llm_chat_event event = LLM_INIT(llm_chat_event);
 *       llm_status status, step;
 *       reply.flags = LLM_GENERATE_SHOW_SPECIAL;
 *       if ((status = llm_session_sync_chat(session, chat, 0, error)) != LLM_OK ||
 *           (status = llm_session_generate(session, &reply, error)) != LLM_OK)
 *           return status;
 *       do {
 *           step = llm_session_step(&session, 1, LLM_FOREVER, 0, error);
 *           while (step >= 0 && (status = llm_chat_read(chat, session, &event, error)) == LLM_MORE)
 *               show(event.kind == LLM_EVENT_CALL ? event.name : event.text);
 *       } while (step == LLM_MORE && status == LLM_OK);
 *       return step < 0 ? step : status < 0 ? status : llm_chat_add_reply(chat, error);    // calls: answer each with a message of role "tool"
 *   }
 *   ```
 *
 * Owns: what the event points to is borrowed until the next call with this chat. Fails: INVALID (a session of another model);
 * BUSY. Threads: exclusive (both). Since 0.1. */
LLM_API llm_status llm_chat_read(llm_chat *chat, llm_session *s, llm_chat_event *event, llm_error *error);
/* Adds the reply, as far as llm_chat_read has told it, as a message of the assistant: content, reasoning_content, tool_calls.
 * Fails: BUSY. Threads: exclusive. Since 0.1. */
LLM_API llm_status llm_chat_add_reply(llm_chat *chat, llm_error *error);

/* ---- quantize: a file of smaller types ------------------------------------------------------------------------- */

enum {                                      /* llama.cpp's names, and what people know by them */
    LLM_FILE_F32 = 1, LLM_FILE_F16 = 2, LLM_FILE_BF16 = 3, LLM_FILE_Q8_0 = 4, LLM_FILE_Q4_0 = 5, LLM_FILE_Q4_1 = 6, LLM_FILE_Q5_0 = 7,
    LLM_FILE_Q5_1 = 8, LLM_FILE_Q4_K_S = 9, LLM_FILE_Q4_K_M = 10, LLM_FILE_Q5_K_S = 11, LLM_FILE_Q5_K_M = 12, LLM_FILE_Q6_K = 13,
    LLM_FILE_IQ4_NL = 14, LLM_FILE_IQ4_XS = 15
};
enum {
    LLM_QUANTIZE_PURE = 1,                  /* every matrix the one type of the file, also those that would get more bits */
    LLM_QUANTIZE_KEEP_OUTPUT = 2            /* the output matrix stays as it is */
};
typedef struct llm_quantize_desc {
    uint32_t struct_size, flags;            /* LLM_QUANTIZE_* */
    int32_t  file_type, reserved;           /* LLM_FILE_*; 0: LLM_FILE_Q4_K_M */
    const llm_source *importance;           /* an importance matrix (llm_model_write_importance, or llama.cpp's), or NULL */
    int32_t (*progress)(void *user, float fraction);    /* on the calling thread, often; nonzero cancels */
    void *user;
} llm_quantize_desc;

typedef struct llm_quantize_info {
    uint32_t struct_size;
    uint32_t n_tensors, n_quantized;        /* of the file; those that changed their type */
    uint32_t n_fallback;                    /* whose rows were no multiple of a block: they got another type than the mix says */
    uint32_t n_weighted, reserved;          /* for which the importance matrix had weights */
    uint64_t bytes_in, bytes_out;           /* of all tensors */
} llm_quantize_info;
/* Writes a model's file anew with matrices of smaller types. parts: as llm_model_load_from; F32, F16 or BF16 (what is quantized already is
 * refused, unless it stays as it is). Any architecture will do, also one that cannot be run here. A few rows are in memory at a time, whatever
 * the size of the model. Works on the engine's threads, in turn with passes. The bytes depend on the file, the matrix and the descriptor
 * alone: the same on every machine, for any number of threads. The sink may be the path that is read. info: may be NULL.
 *
 *   ```c
 *   llm_status shrink(llm_engine *engine, const char *from, const char *to, llm_error *error)
 *   {
 *       llm_source source = LLM_INIT(llm_source);
 *       const llm_source *part = &source;
 *       llm_sink sink = LLM_INIT(llm_sink);
 *       source.path = from;
 *       source.path_len = LLM_NUL;
 *       sink.path = to;
 *       sink.path_len = LLM_NUL;
 *       return llm_model_quantize(engine, &part, 1, &sink, NULL, NULL, error);
 *   }
 *   ```
 *
 * Fails: IO, NOT_FOUND, FORMAT, LIMIT as llm_model_load; UNSUPPORTED (a tensor that is quantized already; error.subject names it); NUMERIC
 * (NaN, infinity, or a number too large for the type); FORMAT and NOT_FOUND for an importance matrix of another model; CANCELLED (by
 * progress); what the sink's writer answers. Threads: shared. Since 0.1. */
LLM_API llm_status llm_model_quantize(llm_engine *engine, const llm_source *const *parts, size_t n_parts, const llm_sink *sink,
                                      const llm_quantize_desc *desc, llm_quantize_info *info, llm_error *error);

/* ---- estimate: from the file's header alone -------------------------------------------------------------------- */

typedef struct llm_estimate_info {
    uint32_t struct_size, reserved;
    uint64_t total_bytes;                   /* the most the engine's allocator and the GPU will hold: the next four together. On a GPU without
                                               what slabs and growing state round up: allow up to twice */
    uint64_t weight_bytes;                  /* weights in the device's layout */
    uint64_t model_bytes;                   /* metadata, tokenizer and all else that loading keeps or needs at its peak */
    uint64_t arena_bytes;                   /* all n_arenas of the engine in use */
    uint64_t session_bytes;                 /* one session with its context full */
    uint64_t mapped_bytes;                  /* of the pack that would be used, on top of the total; 0: there is none that fits */
    uint64_t device_bytes;                  /* of the total, what lies in the GPU's memory and not in the allocator's, likewise; 0 on the CPU */
} llm_estimate_info;
/* What this model with one such session would hold, in an engine that holds nothing else. Reads the header only; takes what the
 * metadata and the tokenizer need meanwhile. A pack that the model's descriptor names is looked for and never written: where none fits, the
 * weights count as without it, which is what the load needs if none can be written. Not counted: LLM_APPEND_SCORE, samplers, text being encoded.
 * Fails: as llm_model_load. Threads: shared. Since 0.1. */
LLM_API llm_status llm_model_estimate(llm_engine *engine, const llm_source *const *parts, size_t n_parts, const llm_model_desc *model,
                                      const llm_session_desc *session, llm_estimate_info *out, llm_error *error);

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: MIT
 * The inside of the Vulkan backend: what its files share. Nothing outside this folder includes it. docs/VULKAN.md tells how a token flows.
 *
 *     entry.c     the loader and its functions, one table
 *     device.c    instance, choice, device, one queue, submissions
 *     memory.c    buffers, slabs, staging in both directions
 *     pipelines.c modules of shaders/, the one pipeline layout, descriptor sets, pipelines by their constants
 *     planes.c    weights: rows of a file's blocks into aligned planes, cut by rows where a buffer may not be larger
 *     state.c     pages of state, a growing buffer for each stream
 *     exec.c      a program made ready, the memory of a pass
 *     plan.c      the table of operations: can it run, and the dispatches it becomes; barriers from what they read and write
 *     run.c       a pass: rows and pages looked at, dispatches recorded and submitted in bounded pieces
 *     cache.c     compiled pipelines that the host keeps
 *     report.c    what is known of the device, and what a program becomes there, as text
 *     selftest.c  products and embeddings against the reference, at a type's first use
 *     selftest_ops.c  each operation against plain arithmetic, once for a device
 *     vulkan.c    the table of the backend
 *     absent.c    of a library without it: says so
 *
 * One mutex, `gpu`, is held by whoever records, submits, uploads or touches descriptor sets. Submissions of passes stay in flight when it is
 * given back, one for each arena; lm_vk_lock waits for them all, so that what it holds finds an idle device and may free or change what
 * shaders read; lm_vk_lock_busy does not. Others are waited for before `gpu` is given back. A second, `compile`, by whoever has the driver compile; never taken with `gpu` held.
 * Every object of Vulkan belongs to one struct here and is given back by its free. */
#ifndef LM_BACKEND_VULKAN_VULKAN_H
#define LM_BACKEND_VULKAN_VULKAN_H

#include "backend/backend.h"

#include "base/library.h"
#include "base/status.h"
#include "base/thread.h"

#define VK_NO_PROTOTYPES 1
#include <vulkan/vulkan_core.h>

typedef struct lm_vk lm_vk;

/* ---- entry.c ------------------------------------------------------------------------------------------------------------ */

/* Functions that need no instance, an instance, a device; all are needed but the last line's, and the first's
 * with an instance of the host's. */
#define LM_VK_GLOBAL_FUNCTIONS(X) X(CreateInstance) X(EnumerateInstanceExtensionProperties) X(EnumerateInstanceLayerProperties)
#define LM_VK_INSTANCE_FUNCTIONS(X)                                                                                              \
    X(DestroyInstance) X(EnumeratePhysicalDevices) X(GetPhysicalDeviceProperties2) X(GetPhysicalDeviceFeatures2)                 \
    X(GetPhysicalDeviceQueueFamilyProperties) X(GetPhysicalDeviceMemoryProperties2) X(EnumerateDeviceExtensionProperties)        \
    X(CreateDevice) X(GetDeviceProcAddr)
#define LM_VK_DEVICE_FUNCTIONS(X)                                                                                                \
    X(DestroyDevice) X(GetDeviceQueue) X(AllocateMemory) X(FreeMemory) X(MapMemory) X(CreateBuffer) X(DestroyBuffer)             \
    X(GetBufferMemoryRequirements) X(BindBufferMemory) X(CreateShaderModule) X(DestroyShaderModule) X(CreatePipelineLayout)      \
    X(DestroyPipelineLayout) X(CreateComputePipelines) X(DestroyPipeline) X(CreateDescriptorSetLayout)                           \
    X(DestroyDescriptorSetLayout) X(CreateDescriptorPool) X(DestroyDescriptorPool) X(AllocateDescriptorSets)                     \
    X(FreeDescriptorSets) X(UpdateDescriptorSets) X(CreateCommandPool) X(DestroyCommandPool) X(AllocateCommandBuffers)           \
    X(BeginCommandBuffer) X(EndCommandBuffer) X(CmdBindPipeline) X(CmdBindDescriptorSets) X(CmdPushConstants) X(CmdDispatch)     \
    X(CmdPipelineBarrier) X(CmdCopyBuffer) X(CreateFence) X(DestroyFence) X(ResetFences) X(WaitForFences) X(QueueSubmit)         \
    X(CreatePipelineCache) X(DestroyPipelineCache) X(GetPipelineCacheData) X(MergePipelineCaches) X(FreeCommandBuffers)            \
    X(CreateQueryPool) X(DestroyQueryPool) X(CmdResetQueryPool) X(CmdWriteTimestamp) X(GetQueryPoolResults)
#define LM_VK_DEBUG_FUNCTIONS(X) X(CreateDebugUtilsMessengerEXT) X(DestroyDebugUtilsMessengerEXT)

typedef struct lm_vk_entry {
    lm_library library;
    lm_library_function (*get_proc)(void *user, void *instance, const char *name);
    void *user;
    PFN_vkGetInstanceProcAddr loader;                       /* of the library */
    PFN_vkEnumerateInstanceVersion EnumerateInstanceVersion;    /* NULL: 1.0 */
#define LM_VK_ENTRY(name) PFN_vk##name name;
    LM_VK_GLOBAL_FUNCTIONS(LM_VK_ENTRY)
    LM_VK_INSTANCE_FUNCTIONS(LM_VK_ENTRY)
    LM_VK_DEVICE_FUNCTIONS(LM_VK_ENTRY)
    LM_VK_DEBUG_FUNCTIONS(LM_VK_ENTRY)
#undef LM_VK_ENTRY
} lm_vk_entry;

llm_status lm_vk_entry_open(lm_vk_entry *fn, const lm_vulkan_desc *desc, llm_error *error);
llm_status lm_vk_entry_instance(lm_vk_entry *fn, VkInstance instance, llm_error *error);
llm_status lm_vk_entry_device(lm_vk_entry *fn, VkDevice device, llm_error *error);
void       lm_vk_entry_close(lm_vk_entry *fn);

/* ---- memory.c ------------------------------------------------------------------------------------------------------------ */

enum { LM_VK_ON_DEVICE, LM_VK_TO_DEVICE, LM_VK_FROM_DEVICE };    /* the last two are mapped */
enum { LM_VK_ALIGN = 256 };                                 /* of storage buffers' offsets: the most that Vulkan allows a device to ask for */
typedef struct lm_vk_buffer { VkBuffer buffer; VkDeviceMemory memory; uint64_t bytes, held; void *mapped; } lm_vk_buffer;     /* held: of memory, which may be more */

typedef struct lm_vk_slab { struct lm_vk_slab *next; lm_vk_buffer buffer; uint64_t used; uint32_t live; } lm_vk_slab;
typedef struct lm_vk_span { lm_vk_slab *slab; uint64_t offset, bytes; } lm_vk_span;         /* slab NULL: none */

llm_status lm_vk_buffer_new(lm_vk *vk, uint64_t bytes, int where, lm_vk_buffer *out, llm_error *error);
void       lm_vk_buffer_free(lm_vk *vk, lm_vk_buffer *buffer);
llm_status lm_vk_span_new(lm_vk *vk, uint64_t bytes, lm_vk_span *out, llm_error *error);
void       lm_vk_span_free(lm_vk *vk, lm_vk_span *span);

/* Uploads, under `gpu`: place bytes (at most lm_vk_staging_bytes) that will be copied to a buffer at the next flush, or before. */
enum { LM_VK_COPIES = 64 };
typedef struct lm_vk_copy { VkBuffer to; VkBufferCopy range; } lm_vk_copy;
uint64_t   lm_vk_staging_bytes(const lm_vk *vk);
llm_status lm_vk_upload(lm_vk *vk, VkBuffer to, uint64_t offset, uint64_t bytes, void **place, llm_error *error);
llm_status lm_vk_flush(lm_vk *vk, llm_error *error);
void       lm_vk_forget(lm_vk *vk, VkBuffer to, uint64_t offset, uint64_t bytes);   /* copies that wait and would go there */
llm_status lm_vk_copy_now(lm_vk *vk, VkBuffer from, uint64_t from_offset, VkBuffer to, uint64_t to_offset, uint64_t bytes, llm_error *error);
llm_status lm_vk_download(lm_vk *vk, VkBuffer from, uint64_t offset, uint64_t bytes, void *to, llm_error *error);
llm_status lm_vk_memory_open(lm_vk *vk, llm_error *error);
void       lm_vk_memory_close(lm_vk *vk);

/* ---- pipelines.c --------------------------------------------------------------------------------------------------------- */

typedef struct lm_vk_module {
    const char *name, *source;
    const uint8_t *code;                                    /* seven bits of a word a byte; the eighth: more follow */
    uint32_t n_words, push_bytes, bindings, capabilities, local;     /* bindings: bit 8 * set + binding; capabilities: LM_VK_CAN_* */
    int32_t type;                                           /* of its weights; -1: none */
} lm_vk_module;
/* What a specialization constant of a source's modules may be, as shaders/variants.list says. n 0: anything; elsewhere: bits of values that the test `vulkan` need not run. */
enum { LM_VK_SPEC_VALUES = 8 };
typedef struct lm_vk_spec { const char *source, *name; uint32_t index, n, elsewhere, values[LM_VK_SPEC_VALUES]; } lm_vk_spec;
enum { LM_VK_CAN_SHADER = 1 << 1, LM_VK_CAN_SUBGROUPS = 1 << 29, LM_VK_CAN_SHUFFLE = 1 << 30 };     /* as tools/spirv_table.c numbers them */
#include "backend/vulkan/modules.inc"

/* Set 0: the values of the operation's rows, those of all rows, the tables. Sets 1 to 3: one buffer each. */
enum { LM_VK_SETS = 4, LM_VK_SET_VALUES = 0, LM_VK_SET_ONE = 1, LM_VK_SET_KINDS = 2 };
enum { LM_VK_MAX_SPECS = 8, LM_VK_SETS_A_POOL = 64 };
typedef struct lm_vk_set { VkDescriptorSet set; struct lm_vk_set_pool *pool; } lm_vk_set;
typedef struct lm_vk_set_pool { struct lm_vk_set_pool *next; VkDescriptorPool pool; uint32_t used; } lm_vk_set_pool;
typedef struct lm_vk_pipeline { struct lm_vk_pipeline *next; VkPipeline pipeline; uint32_t module, specs[LM_VK_MAX_SPECS]; } lm_vk_pipeline;

const lm_vk_module *lm_vk_module_get(uint32_t module);
const lm_vk_spec *lm_vk_spec_get(uint32_t i);           /* NULL: there are no more */
/* Modules of a weight type; -1: none. */
int32_t    lm_vk_module_few(uint32_t type);
int32_t    lm_vk_module_many(uint32_t type);
int32_t    lm_vk_module_wide(uint32_t type);            /* products of many columns where subgroups shuffle */
int32_t    lm_vk_module_embed(uint32_t type);
llm_status lm_vk_pipelines_open(lm_vk *vk, llm_error *error);
void       lm_vk_pipelines_close(lm_vk *vk);
/* Under `gpu`, all of them. */
llm_status lm_vk_set_new(lm_vk *vk, int kind, const VkDescriptorBufferInfo *buffers, lm_vk_set *out, llm_error *error);
void       lm_vk_set_write(lm_vk *vk, int kind, const VkDescriptorBufferInfo *buffers, const lm_vk_set *set);
void       lm_vk_set_free(lm_vk *vk, lm_vk_set *set);
/* A driver's compiled code, in a wrapping of ours: a checksum, and whose it is. Not under `gpu`. */
llm_status lm_vk_cache_get(lm_backend *backend, void *out, size_t cap, size_t *n, llm_error *error);
llm_status lm_vk_cache_put(lm_backend *backend, const void *data, size_t n, llm_error *error);
/* Lets go of `gpu` while the driver compiles: not between begin and submit. */
llm_status lm_vk_pipeline_get(lm_vk *vk, uint32_t module, const uint32_t specs[LM_VK_MAX_SPECS], VkPipeline *out, llm_error *error);

/* ---- device.c ------------------------------------------------------------------------------------------------------------ */

/* What the chosen device is and can do: all that other files ask of it. */
typedef struct lm_vk_caps {
    char name[VK_MAX_PHYSICAL_DEVICE_NAME_SIZE];
    int32_t kind;                                           /* LLM_DEVICE_KIND_* */
    uint32_t api_version, driver_version, vendor, device, subgroup, family, shared_bytes, max_groups[2];
    uint64_t max_range, max_slab, memory_total;
    uint8_t uuid[VK_UUID_SIZE], cache_uuid[VK_UUID_SIZE];
    bool shuffle;                                           /* among subgroups of 8, 16, 32 or 64 */
    bool float16, int8, storage16, storage8, int_dot;
    uint32_t time_bits;                                     /* of the queue's timestamps; 0: it has none */
    float time_ns;                                          /* a tick of them */
    bool budget, priority;                                  /* extensions: free memory is told; queues may be of low priority among programs */
    VkPhysicalDeviceMemoryProperties memory;
} lm_vk_caps;

/* A submission that is not waited for at once: of a pass, in its arena. Under `gpu`. */
typedef struct lm_vk_flight {
    struct lm_vk_flight *next;                              /* in vk->flights, while it is busy; in vk->stuck, if it never ended */
    VkCommandBuffer command;
    VkFence fence;
    VkQueryPool times;                                      /* none where the queue has none */
    bool busy, watched;                                     /* submitted, and its end not seen; somebody waits for its fence, without `gpu` */
    int64_t began_ns, seen_ns;                              /* when it was submitted, and last seen to be busy */
    double work, ms;                                        /* multiply-adds, and how long that was meant to take */
} lm_vk_flight;

struct lm_vk {
    lm_backend base;
    lm_vk_entry fn;
    lm_vk_caps caps;
    VkInstance instance;
    VkDebugUtilsMessengerEXT messenger;
    VkPhysicalDevice physical;
    VkDevice device;
    VkQueue queue;
    VkCommandPool command_pool;
    VkCommandBuffer command;                                /* what is recorded into: own_command, or a flight's */
    VkCommandBuffer own_command;                            /* for whoever holds `gpu` */
    VkFence fence;                                          /* of own_command */
    lm_vk_flight *flights, *stuck;
    uint64_t changes;                                       /* under `gpu`: counts what may make recorded commands invalid: sets written or freed, buffers freed */
    uint32_t settling;                                      /* how many wait in lm_vk_lock: nothing takes off meanwhile */
    _Atomic uint32_t ended;                                 /* counts flights that have ended, and all else that somebody who parks here waits for */
    bool borrowed;                                          /* instance, device and queue are the host's */
    void (*host_lock)(void *user);                          /* around submissions; or NULL */
    void (*host_unlock)(void *user);
    void *host_user;
    uint64_t memory_limit;                                  /* of device_bytes; 0: none */
    lm_mutex gpu, compile;
    uint32_t has_mutex;                                     /* how many of them there are */
    struct lm_vk_exec *execs;                               /* that are open; under `gpu` */
    _Atomic uint32_t lost;
    bool own_stuck;                                         /* own_command never ended */
    bool hung, kept;                                        /* under `gpu`: a wait ended before the device did; objects were left to it for good */
    _Atomic uint64_t device_bytes;                          /* changed under `gpu` */
    /* memory.c */
    lm_vk_slab *slabs;
    uint64_t slab_bytes;                                    /* of all slabs */
    lm_vk_buffer staging, readback;
    uint64_t staged;
    uint32_t n_copies;
    lm_vk_copy copies[LM_VK_COPIES];
    /* pipelines.c */
    VkDescriptorSetLayout set_layouts[LM_VK_SET_KINDS];
    VkPipelineLayout layout;
    VkPipelineCache cache;
    lm_vk_set_pool *set_pools;
    lm_vk_pipeline *pipelines;
    uint32_t n_pipelines;
    uint64_t n_submits;
    lm_vk_buffer none;                                      /* what sets that a shader does not use are bound to */
    lm_vk_set none_set;
    /* run.c: multiply-adds a millisecond, as measured */
    double rate;
    bool rated;                                             /* rate is no longer a first guess */
    uint32_t submit_ms;
    /* selftest.c: by weight type */
    bool trust;
    _Atomic uint8_t tested[64];                             /* 0: not yet; 1: right; 2: wrong */
    float tested_worst[64];                                 /* under `gpu` */
    _Atomic uint8_t wide_wrong[64];                         /* products handed round a subgroup alone: tiles take their place; set before `tested` is */
    float wide_worst[64];                                   /* under `gpu` */
    /* selftest_ops.c: by LM_OP_* */
    _Atomic uint32_t ops_tested;                            /* 1: all were, and the next two are filled */
    _Atomic uint8_t ops_wrong[LM_OP_COUNT];
    float ops_worst[LM_OP_COUNT];
};

llm_status lm_vk_device_open(lm_vk *vk, const lm_vulkan_desc *desc, llm_error *error);
void       lm_vk_device_close(lm_vk *vk);
uint64_t   lm_vk_memory_free(const lm_vk *vk);              /* of the device; by the driver's word where it gives it */
/* A status and message of a VkResult. A lost device is remembered. */
llm_status lm_vk_fail(lm_vk *vk, VkResult result, const char *what, llm_error *error);
llm_status lm_vk_alive(const lm_vk *vk, llm_error *error);
/* Recording: begin, commands into vk->command, submit. Waits until the device has done it. Under `gpu`. */
llm_status lm_vk_begin(lm_vk *vk, llm_error *error);
llm_status lm_vk_submit(lm_vk *vk, llm_error *error);
/* The device may still be at work in what a wait that failed has left to it: nothing of it may be destroyed, it is leaked. Under `gpu`. */
bool       lm_vk_hung(lm_vk *vk);
void       lm_vk_lock(lm_vk *vk);                           /* no pass is in flight, nor will be until it is given back */
void       lm_vk_lock_busy(lm_vk *vk);                      /* some may be: nothing that they read is to be freed or changed */
void       lm_vk_unlock(lm_vk *vk);
/* Flights. begin, commands into vk->command, submit: returns at once, and `work` is what it holds. wait: LLM_OK: none is busy; LLM_MORE: it
 * still is at the deadline (of the clock of lm_now_ns; one that has passed: a look). once: it is never submitted again. While it waits `gpu` is let go of. */
llm_status lm_vk_flight_new(lm_vk *vk, lm_vk_flight *out, llm_error *error);
void       lm_vk_flight_free(lm_vk *vk, lm_vk_flight *flight);
llm_status lm_vk_flight_begin(lm_vk *vk, lm_vk_flight *flight, bool once, llm_error *error);
llm_status lm_vk_flight_submit(lm_vk *vk, lm_vk_flight *flight, double work, double ms, llm_error *error);
llm_status lm_vk_flight_again(lm_vk *vk, lm_vk_flight *flight, double work, double ms, llm_error *error);      /* what was recorded last, not to be submitted once only; vk->changes is what it was then */
llm_status lm_vk_flight_wait(lm_vk *vk, lm_vk_flight *flight, int64_t deadline_ns, llm_error *error);
void       lm_vk_flight_pause(lm_vk *vk, int64_t deadline_ns);      /* without `gpu`, until something ends; what stands in vk->settling is over then, or not */

/* ---- planes.c ------------------------------------------------------------------------------------------------------------ */

enum { LM_VK_PLANES = 4 };
typedef struct lm_vk_shard {
    lm_vk_span span;
    lm_vk_set set;
    uint64_t first, n;                                      /* rows */
    uint32_t plane[LM_VK_PLANES];                           /* words from the span's beginning */
} lm_vk_shard;
typedef struct lm_vk_weight {
    lm_weight_info info;
    uint64_t row_bytes, n_done;
    uint32_t blocks, n_shards, complete;                    /* blocks: of a row */
    float *vector;                                          /* vectors: also here, for the host's own use */
    lm_vk_shard shards[];                                   /* a vector: one */
} lm_vk_weight;

bool       lm_vk_type_can(uint32_t type);
uint64_t   lm_vk_weight_cost(const lm_backend *backend, const lm_weight_info *info);
llm_status lm_vk_weight_begin(lm_backend *backend, const lm_weight_info *info, lm_weight **out, llm_error *error);
llm_status lm_vk_weight_rows(lm_backend *backend, lm_weight *weight, uint64_t row, uint64_t n, const void *rows, llm_error *error);
llm_status lm_vk_weight_end(lm_backend *backend, lm_weight *weight, llm_error *error);
void       lm_vk_weight_free(lm_backend *backend, lm_weight *weight);

/* ---- state.c ------------------------------------------------------------------------------------------------------------- */

typedef struct lm_vk_stream {
    uint32_t page_class, n_heads, dim[2], row_words[2], v_words, page_words;    /* [0]: K, [1]: V */
    uint32_t capacity;                                      /* pages that the buffer holds */
    lm_vk_buffer buffer;
    lm_vk_set set;
} lm_vk_stream;
typedef struct lm_vk_class { uint32_t *links, capacity, first_free; } lm_vk_class;  /* links: UINT32_MAX: taken; else the next free one + 1 */
typedef struct lm_vk_pool {
    int32_t state_type;
    uint32_t n_streams, n_classes;
    lm_vk_class classes[LM_MAX_PAGE_CLASSES];
    lm_vk_stream streams[];
} lm_vk_pool;

bool       lm_vk_page_taken(const lm_vk_pool *pool, uint32_t page_class, uint32_t page);
llm_status lm_vk_pool_new(lm_vk *vk, const lm_program *program, int32_t state_type, lm_vk_pool **out, llm_error *error);     /* no pages yet */
llm_status lm_vk_pool_open(lm_backend *backend, const lm_program *program, int32_t state_type, lm_pool **out, llm_error *error);
void       lm_vk_pool_close(lm_backend *backend, lm_pool *pool);
uint64_t   lm_vk_pool_page_cost(const lm_backend *backend, const lm_program *program, int32_t state_type, uint32_t page_class);
llm_status lm_vk_page_take(lm_backend *backend, lm_pool *pool, uint32_t page_class, uint32_t *out, llm_error *error);
void       lm_vk_page_give(lm_backend *backend, lm_pool *pool, uint32_t page_class, uint32_t page);
llm_status lm_vk_page_copy(lm_backend *backend, lm_pool *pool, uint32_t page_class, uint32_t from, uint32_t to, llm_error *error);
uint64_t   lm_vk_pool_page_bytes(const lm_backend *backend, const lm_pool *pool, uint32_t page_class);
llm_status lm_vk_page_export(lm_backend *backend, lm_pool *pool, uint32_t page_class, uint32_t page, void *out, llm_error *error);
llm_status lm_vk_page_import(lm_backend *backend, lm_pool *pool, uint32_t page_class, uint32_t page, const void *in, llm_error *error);

/* ---- plan.c -------------------------------------------------------------------------------------------------------------- */

/* What a dispatch reads and writes: items [begin, end) of a space. Spaces: values by LM_ROWS_*, then the streams. */
enum { LM_VK_SPACE_STREAMS = 2, LM_VK_ACCESSES = 7, LM_VK_PUSH_WORDS = 32 };
typedef struct lm_vk_access { uint32_t space, write; uint64_t begin, end; } lm_vk_access;
typedef struct lm_vk_dispatch {
    VkPipeline pipeline;
    VkDescriptorSet sets[LM_VK_SETS];
    uint32_t push[LM_VK_PUSH_WORDS];                        /* base_x and base_y first */
    uint32_t push_bytes, groups[2], op, barrier;            /* barrier: before it */
    uint32_t n_accesses;
    lm_vk_access accesses[LM_VK_ACCESSES];
    uint64_t work;                                          /* multiply-adds, about */
} lm_vk_dispatch;

struct lm_vk_exec;
struct lm_vk_arena;
typedef struct lm_vk_plan {
    lm_vk *vk;
    const struct lm_vk_exec *exec;
    const lm_vk_pool *pool;
    const struct lm_vk_arena *arena;
    uint32_t n_rows[2], n_slots;                            /* by LM_ROWS_*; sessions */
    uint64_t keys, deepest;                                 /* that all rows see together; that one row sees at most, but for windows */
    lm_vk_dispatch *dispatches;
    uint32_t n, cap, op;
} lm_vk_plan;

bool       lm_vk_wide(const lm_vk *vk, uint32_t type);      /* products of many columns are handed round subgroups, not made in tiles */
llm_status lm_vk_op_can(const lm_program *program, const lm_op *op, int32_t state_type, llm_error *error);
uint64_t   lm_vk_op_scratch(const lm_program *program, const lm_op *op, uint32_t rows);      /* items behind the values of its row set: as many for fewer rows, or less */
uint32_t   lm_vk_op_dispatches(const struct lm_vk_exec *exec, const lm_op *op); /* at most */
llm_status lm_vk_plan_make(lm_vk_plan *plan, llm_error *error);                 /* under `gpu` */
/* Sets `barrier` where a dispatch reads or writes what one since the last barrier wrote, or writes what one read. */
void       lm_vk_plan_barriers(lm_vk_dispatch *dispatches, uint32_t n);
/* The proof, pair by pair: the first dispatch that conflicts with an earlier one and has no barrier in between, UINT32_MAX: none. */
uint32_t   lm_vk_plan_hazard(const lm_vk_dispatch *dispatches, uint32_t n);

/* ---- exec.c -------------------------------------------------------------------------------------------------------------- */

typedef struct lm_vk_exec {
    struct lm_vk_exec *next;
    const lm_program *program;
    const lm_vk_weight **weights;
    lm_vk_span *spans;                                      /* an operation's frequencies: ANGLES */
    lm_vk_set *sets;
    uint32_t max_dispatches;
    bool compiled;                                          /* under `gpu` */
} lm_vk_exec;

/* What stands in an arena's list of dispatches, and in its command buffer: good for every pass of which all this is the same. */
typedef struct lm_vk_kept {
    const lm_vk_exec *exec;                                 /* NULL: nothing */
    const lm_vk_pool *pool;
    uint32_t n_rows[2], n_slots, depth;                     /* depth: the power of two of the deepest row's tiles of 64 keys */
    uint64_t changes;                                       /* vk->changes, from before it was planned */
    uint64_t recorded;                                      /* vk->changes when the command buffer was recorded, with all of the dispatches; 0: it was not */
    uint32_t n_dispatches;
    double work;                                            /* of them all */
} lm_vk_kept;

typedef struct lm_vk_arena {
    uint32_t max_rows, max_out, max_slots, max_pages;
    const lm_program *program;
    lm_vk_buffer given;                                     /* a pass's, on its way into the values; none where the program is given none */
    lm_vk_buffer values[2], tables, logits;
    lm_vk_set sets[2];
    struct lm_vk_run *run;
    lm_vk_flight flight;                                    /* of its run, or of one that was ended in the air */
    lm_vk_dispatch *dispatches;
    uint32_t max_dispatches;
    lm_vk_kept kept;
    uint8_t *mirror;                                        /* values asked for in the middle of a pass; made when one is */
} lm_vk_arena;

/* exec_open without the self-tests: theirs. */
llm_status lm_vk_exec_make(lm_vk *vk, const lm_program *program, lm_weight *const *weights, lm_exec **out, llm_error *error);
llm_status lm_vk_exec_open(lm_backend *backend, const lm_program *program, lm_weight *const *weights, lm_exec **out, llm_error *error);
void       lm_vk_exec_close(lm_backend *backend, lm_exec *exec);
/* All pipelines that passes of this program can need, with state of the default type. */
llm_status lm_vk_exec_compile(lm_backend *backend, lm_exec *exec, int32_t (*progress)(void *user, float fraction), void *user, llm_error *error);
/* Those that a pool's own type of state adds, if this was done for its program. */
llm_status lm_vk_pool_compile(lm_vk *vk, const lm_program *program, const lm_vk_pool *pool, llm_error *error);
uint64_t   lm_vk_arena_cost(const lm_backend *backend, const lm_program *program, uint32_t max_rows, uint32_t max_out, uint32_t max_slots, uint32_t max_pages);
llm_status lm_vk_arena_open(lm_backend *backend, const lm_exec *exec, uint32_t max_rows, uint32_t max_out, uint32_t max_slots, uint32_t max_pages,
                            lm_run_arena **out, llm_error *error);
void       lm_vk_arena_close(lm_backend *backend, lm_run_arena *arena);

/* ---- run.c --------------------------------------------------------------------------------------------------------------- */

typedef struct lm_vk_run {
    lm_vk_exec *exec;
    lm_vk_arena *arena;
    uint32_t active, dead, finished, given,                 /* given: what came with the batch has not been copied yet */
         n_rows[2], n_dispatches;
    uint32_t at, piece[2];                                  /* the cursor: a dispatch, and groups of it that are done */
    int32_t mirrored;                                       /* the value that the mirror holds, as it was at: */
    uint32_t mirrored_at, mirrored_piece[2];
} lm_vk_run;

llm_status  lm_vk_run_begin(lm_backend *backend, lm_exec *exec, lm_pool *pool, lm_run_arena *arena, const lm_batch *batch, lm_run **out, llm_error *error);
llm_status  lm_vk_run_step(lm_backend *backend, lm_run *run, const lm_run_control *control, llm_error *error);
const void *lm_vk_run_value(lm_backend *backend, lm_run *run, int32_t value, uint32_t index);
bool        lm_vk_run_beside(const lm_backend *backend, const lm_run *run);
void        lm_vk_run_end(lm_backend *backend, lm_run *run);
/* Into vk->command: groups [base, base + n) of a dispatch. Under `gpu`. */
void        lm_vk_record(lm_vk *vk, const lm_vk_dispatch *dispatch, const uint32_t base[2], const uint32_t n[2]);

/* ---- selftest.c ---------------------------------------------------------------------------------------------------------- */

llm_status lm_vk_test(lm_backend *backend, llm_error *error);  /* all that can be tested; what has been is not again */
/* At a weight type's first use; E_UNSUPPORTED says how far the device was off. Not under `gpu`. */
llm_status lm_vk_selftest(lm_vk *vk, uint32_t type, llm_error *error);

/* ---- selftest_ops.c -------------------------------------------------------------------------------------------------------- */

/* Every operation, once. A failure is one of running it; what computes wrongly is quarantined, and the second tells. Not under `gpu`. */
llm_status lm_vk_selftest_ops(lm_vk *vk, llm_error *error);
llm_status lm_vk_selftest_kind(lm_vk *vk, uint32_t kind, llm_error *error);

/* ---- report.c ------------------------------------------------------------------------------------------------------------- */

size_t lm_vk_report(lm_backend *backend, char *out, size_t cap);
size_t lm_vk_exec_report(lm_backend *backend, const lm_exec *exec, char *out, size_t cap);

#endif

/* SPDX-License-Identifier: MIT
 * The Vulkan backend on a real driver, beside the CPU's reference: little models of odd shapes with float weights, every value of every
 * operation and the state within a stated bound; matrices cut into shards; the same bits on a second run, with deadlines, alone and beside
 * another session; cancelling; what may not be run. The validation layers, where they are, must have nothing to say. And all that may be made
 * of shaders/ has been run here beside the reference: every module, and every value of every specialization constant in shaders/variants.list. */
#define LITTLE_SIZE 0.15f
#include "little.h"

#include "vulkan_open.h"

#include "backend/vulkan/vulkan.h"

/* ---- what was run ---------------------------------------------------------------------------------------------------------- */

enum { VARIANTS_SPECS = 64 };
static struct {
    const lm_vk *vk;
    PFN_vkCmdBindPipeline bind;                             /* the driver's */
    bool aside, module[LM_VK_MODULES], value[VARIANTS_SPECS][LM_VK_SPEC_VALUES];       /* aside: what runs now is compared with nothing but itself */
} variants;

static VKAPI_ATTR void VKAPI_CALL variants_bind(VkCommandBuffer command, VkPipelineBindPoint point, VkPipeline pipeline)
{
    const lm_vk_pipeline *p = variants.vk->pipelines;
    while (p && p->pipeline != pipeline)
        p = p->next;
    if (CHECK(p != NULL) && !variants.aside) {
        const char *source = lm_vk_module_get(p->module)->source;
        variants.module[p->module] = true;
        const lm_vk_spec *s;
        for (uint32_t i = 0; i < VARIANTS_SPECS && (s = lm_vk_spec_get(i)) != NULL; i++)
            for (uint32_t v = 0; v < s->n && strcmp(s->source, source) == 0; v++)
                variants.value[i][v] = variants.value[i][v] || p->specs[s->index] == s->values[v];
    }
    variants.bind(command, point, pipeline);
}

static void variants_watch(lm_backend *backend)
{
    lm_vk *vk = (lm_vk *)backend;
    variants.vk = vk;
    variants.bind = vk->fn.CmdBindPipeline;
    vk->fn.CmdBindPipeline = variants_bind;
}

/* Nothing else is made: lanes that no line has. */
static void variants_refused(lm_vk *vk)
{
    const uint32_t specs[LM_VK_MAX_SPECS] = { [LM_VK_SPEC_LINEAR_FEW_LANES] = 24, [LM_VK_SPEC_LINEAR_FEW_COLS] = 1 };
    VkPipeline pipeline = VK_NULL_HANDLE;
    llm_error error;
    lm_vk_lock(vk);
    CHECK(lm_vk_pipeline_get(vk, (uint32_t)lm_vk_module_few(LM_TYPE_F32), specs, &pipeline, &error) == LLM_E_INTERNAL && strstr(error.message, "LANES 24"));
    lm_vk_unlock(vk);
}

static void variants_check(bool shuffle)
{
    const lm_vk_spec *s;
    for (uint32_t i = 0; i < LM_VK_MODULES; i++) {
        const lm_vk_module *m = lm_vk_module_get(i);
        CHECK_MSG(variants.module[i] || (!shuffle && strcmp(m->source, "linear_wide") == 0), "module %s was never run beside the reference", m->name);
    }
    CHECK(lm_vk_spec_get(VARIANTS_SPECS) == NULL);
    for (uint32_t i = 0; (s = lm_vk_spec_get(i)) != NULL; i++)
        for (uint32_t v = 0; v < s->n && (shuffle || strcmp(s->source, "linear_wide") != 0); v++)
            CHECK_MSG(variants.value[i][v] || (s->elsewhere >> v & 1), "%s was never run with %s %u beside the reference", s->source, s->name, s->values[v]);
}

/* ---- comparing ------------------------------------------------------------------------------------------------------------- */

/* An f16 may be rounded to its neighbour, an int8 level too, and there the CPU multiplies eight-bit queries. By LLM_STATE_TYPE_*. */
static const double vulkan_bounds[3] = { [LLM_STATE_TYPE_F32] = 1e-4, [LLM_STATE_TYPE_F16] = 1e-2, [LLM_STATE_TYPE_INT8] = 0.1 };

static void vulkan_stays(lm_backend *backend) { (void)backend; }

/* Takes `own` over, but leaves it open. */
static lm_backend *vulkan_kept(lm_backend *own, lm_backend_table *table)
{
    *table = *own->table;
    table->close = vulkan_stays;
    own->table = table;
    return own;
}

static little_shape vulkan_floats(const little_shape *from)
{
    static const uint32_t floats[6] = { LM_TYPE_F32, LM_TYPE_F16, LM_TYPE_BF16, 0, 0, 0 };
    little_shape shape = *from;
    memcpy(shape.types, floats, sizeof floats);
    shape.n_embd = shape.n_embd == 256 ? 240 : shape.n_embd;    /* where 256 divides, a matrix is Q8_0 all the same */
    return shape;
}

/* Prompts of 1, 7, 8, 9 and more rows, then rows one by one. bare: norms have no vectors, and heads are not turned. */
static void vulkan_compared_so(lm_backend *vulkan, const little_shape *shape, int32_t state_type, uint32_t n, bool bare)
{
    little m;
    little_rig rig = { 0 };
    lm_backend *cpu = NULL, *both = NULL;
    llm_error error;
    llm_token *tokens = calloc(n + 2, sizeof *tokens);
    double bound = vulkan_bounds[state_type];
    if (!CHECK(little_open(&m, shape, NULL)))
        return;
    little_tokens(&m, tokens, n + 2, 3);
    for (uint32_t o = 0; bare && o < m.program->n_ops; o++) {
        lm_op *op = &m.program->ops[o];
        op->weight[3] = LM_NONE;
        if (op->kind == LM_OP_HEAD) {
            op->u.head.rope = LM_ROPE_NONE;
            op->u.head.n_rot = 0;
            op->in[3] = LM_NONE;
        }
    }
    bool there = lm_cpu_backend_open(&m.host, &(lm_cpu_desc){ .n_threads = 1, .tier = LLM_CPU_REFERENCE }, &cpu, &error) == LLM_OK &&
                 lm_compare_backend_open(&m.host, cpu, vulkan, bound, bound, &both, &error) == LLM_OK;
    if (CHECK_MSG(there, "%s", error.message)) {
        llm_status status = little_rig_open(&rig, &m, both, state_type, n, 2, 64, 9, &error);
        little_session session, *one[1] = { &session };
        little_session_open(&session, &m, tokens, n + 2);
        uint32_t single = 1;
        if (status == LLM_OK)
            status = little_pass(&rig, rig.arena, one, &n, 1, -1, NULL, &error);
        for (int i = 0; i < 2 && status == LLM_OK; i++)
            status = little_pass(&rig, rig.arena, one, &single, 1, -1, NULL, &error);
        CHECK_MSG(status == LLM_OK, "shape of %u items, state %d, %u rows: %s", shape->n_embd, state_type, n, error.message);
        little_session_close(&rig, &session);
        little_rig_close(&rig);
    }
    free(tokens);
    little_close(&m);
}

static void vulkan_compared(lm_backend *vulkan, const little_shape *shape, int32_t state_type, uint32_t n) { vulkan_compared_so(vulkan, shape, state_type, n, false); }

/* Bits: twice, with a deadline that lets hardly a submission through, and the same prompt beside another session of as many rows. */
static void vulkan_bits(lm_backend *vulkan, const little_shape *shape)
{
    enum { TOKENS = 24 };
    little m;
    little_rig rig = { 0 };
    llm_error error;
    llm_token tokens[TOKENS];
    float *first = NULL;
    uint32_t n = TOKENS, calls[3] = { 0, 0, 0 };
    if (!CHECK(little_open(&m, shape, NULL)))
        return;
    little_tokens(&m, tokens, TOKENS, 5);
    llm_status status = little_rig_open(&rig, &m, vulkan, LLM_STATE_TYPE_F16, TOKENS, 1, 64, 2, &error);
    for (int run = 0; run < 3 && status == LLM_OK; run++) {
        little_session session, *one[1] = { &session };
        little_session_open(&session, &m, tokens, TOKENS);
        status = little_pass(&rig, rig.arena, one, &n, 1, run == 2 ? 200000 : -1, &calls[run], &error);
        if (run == 0) {
            first = calloc((size_t)TOKENS * m.program->n_vocab, sizeof *first);
            memcpy(first, session.logits, (size_t)TOKENS * m.program->n_vocab * sizeof *first);
        } else {
            CHECK_MSG(little_differs(&m, first, session.logits, TOKENS) == TOKENS, "run %d differs", run);
        }
        little_session_close(&rig, &session);
    }
    CHECK_MSG(status == LLM_OK && calls[0] == 1 && calls[2] > 1, "%d: %s; %u calls with a deadline", status, error.message, calls[2]);
    /* Cancelled before it begins, then gone on with. */
    _Atomic uint32_t flag = 1;
    const _Atomic uint32_t *const cancel[1] = { &flag };
    lm_row row = { 0, 0, tokens[0], LM_ROW_LOGITS };
    uint32_t pages[LM_MAX_PAGE_CLASSES] = { 0, 0 };
    lm_slot slot;
    memset(&slot, 0, sizeof slot);
    for (uint32_t c = 0; c < m.program->n_page_classes && status == LLM_OK; c++) {
        status = vulkan->table->page_take(vulkan, rig.pool, c, &pages[c], &error);
        slot.pages[c] = &pages[c];
        slot.n_pages[c] = 1;
    }
    lm_run *run = NULL;
    if (status == LLM_OK)
        status = vulkan->table->run_begin(vulkan, rig.exec, rig.pool, rig.arena, &(lm_batch){ .rows = &row, .n_rows = 1, .slots = &slot, .n_slots = 1, .n_out = 1 }, &run, &error);
    if (CHECK_MSG(status == LLM_OK, "%s", error.message)) {
        lm_run_control control = { .deadline_ns = INT64_MAX, .cancel = cancel, .n_cancel = 1, .stop_op = LM_RUN_ALL_OPS };
        CHECK(vulkan->table->run_step(vulkan, run, &control, &error) == LLM_E_CANCELLED);
        flag = 0;
        CHECK(vulkan->table->run_step(vulkan, run, &control, &error) == LLM_OK);
        const float *logits = vulkan->table->run_value(vulkan, run, m.program->logits, 0);
        CHECK(logits != NULL && logits[0] == logits[0]);
        CHECK(vulkan->table->run_begin(vulkan, rig.exec, rig.pool, rig.arena, &(lm_batch){ .rows = &row, .n_rows = 1, .slots = &slot, .n_slots = 1, .n_out = 1 }, &run, &error) == LLM_E_BUSY);
        vulkan->table->run_end(vulkan, run);
        row.token = (llm_token)m.program->n_vocab;
        CHECK(vulkan->table->run_begin(vulkan, rig.exec, rig.pool, rig.arena, &(lm_batch){ .rows = &row, .n_rows = 1, .slots = &slot, .n_slots = 1, .n_out = 1 }, &run, &error) == LLM_E_INVALID);
        row = (lm_row){ 0, LM_PAGE_POSITIONS, tokens[0], LM_ROW_LOGITS };
        CHECK(vulkan->table->run_begin(vulkan, rig.exec, rig.pool, rig.arena, &(lm_batch){ .rows = &row, .n_rows = 1, .slots = &slot, .n_slots = 1, .n_out = 1 }, &run, &error) == LLM_E_INTERNAL);
    }
    free(first);
    little_rig_close(&rig);
    little_close(&m);
}

/* Types in the shape's matrices are tested against the reference as they are loaded. */
static void vulkan_types(lm_backend *vulkan)
{
    for (size_t s = 0; s < LM_COUNT(little_shapes); s++) {
        little m;
        little_rig rig = { 0 };
        llm_error error;
        if (!CHECK(little_open(&m, &little_shapes[s], NULL)))
            return;
        llm_status status = little_rig_open(&rig, &m, vulkan, LLM_STATE_TYPE_F16, 8, 1, 8, 2, &error);
        CHECK_MSG(status == LLM_OK, "shape %d: %s", (int)s, error.message);
        little_rig_close(&rig);
        little_close(&m);
    }
}

int main(void)
{
    lm_host host;
    llm_error error;
    lm_backend *backend = NULL;
    lm_backend_table table;
    llm_status status = vulkan_open(&host, (lm_vulkan_desc){ 0 }, &backend, &error);
    if (status == LLM_E_NO_DEVICE)
        return TEST_SKIP("%s", error.message);
    if (!CHECK_MSG(status == LLM_OK, "%s", error.message))
        return TEST_DONE();
    const lm_backend_table *real = backend->table;
    bool shuffle = ((lm_vk *)backend)->caps.shuffle;
    vulkan_kept(backend, &table);
    variants_watch(backend);
    variants_refused((lm_vk *)backend);
    CHECK_MSG(lm_vk_test(backend, &error) == LLM_OK, "%s", error.message);
    for (size_t s = 0; s < LM_COUNT(little_shapes); s++) {
        static const uint32_t rows[] = { 7, 40, 9, 8, 33, 70 };
        little_shape shape = vulkan_floats(&little_shapes[s]);
        vulkan_compared(backend, &shape, (int32_t)(s % 3), rows[s % LM_COUNT(rows)]);
    }
    little_shape odd = vulkan_floats(&little_shapes[2]);
    vulkan_compared(backend, &odd, LLM_STATE_TYPE_INT8, 150);   /* over several pages, a state that has grown */
    /* Attention in every cut: a head of its own, groups of 5, 9 and 18, heads of more than 128 and 256 items, split keys of one row and of several. */
    static const struct { uint32_t n_head, n_head_kv, head_dim, v_dim, rows; int32_t state_type; } cuts[] = {
        { 2, 2, 16, 40, 150, LLM_STATE_TYPE_F16 }, { 10, 2, 24, 136, 70, LLM_STATE_TYPE_INT8 }, { 9, 1, 136, 16, 131, LLM_STATE_TYPE_F16 },
        { 18, 1, 32, 12, 70, LLM_STATE_TYPE_F32 }, { 6, 1, 264, 270, 67, LLM_STATE_TYPE_F16 }, { 3, 1, 134, 64, 67, LLM_STATE_TYPE_F32 },
    };
    for (size_t i = 0; i < LM_COUNT(cuts); i++) {
        little_shape shape = vulkan_floats(&little_shapes[2]);
        shape.n_layers = 1;
        shape.n_head = cuts[i].n_head;
        shape.n_head_kv = cuts[i].n_head_kv;
        shape.head_dim = cuts[i].head_dim;
        shape.v_dim = cuts[i].v_dim;
        shape.window = i % 3 == 2 ? 90 : 0;
        vulkan_compared(backend, &shape, cuts[i].state_type, cuts[i].rows);
        vulkan_compared(backend, &shape, cuts[i].state_type, 7);
    }
    little_shape deep = vulkan_floats(&little_shapes[2]);   /* products along so much that all of a workgroup's invocations share rows, and go on several times */
    deep.n_layers = 1;
    deep.n_ff = 4169;
    vulkan_compared_so(backend, &deep, LLM_STATE_TYPE_F16, 3, true);
    vulkan_types(backend);
    variants.aside = true;
    vulkan_bits(backend, &little_shapes[0]);
    variants.aside = false;
    backend->table = real;
    backend->table->close(backend);
    CHECK(host.mem.used == 0);

    /* A device without subgroups: other modules for products of many columns. */
    status = vulkan_open(&host, (lm_vulkan_desc){ .no_subgroups = true }, &backend, &error);
    if (CHECK_MSG(status == LLM_OK, "%s", error.message)) {
        vulkan_kept(backend, &table);
        variants_watch(backend);
        for (size_t s = 0; s < LM_COUNT(little_shapes); s++) {
            if (s == 0 || s == 3)                           /* nothing there that the others have not */
                continue;
            little_shape shape = vulkan_floats(&little_shapes[s]);
            vulkan_compared(backend, &shape, LLM_STATE_TYPE_F32, 39);
        }
        backend->table = real;
        backend->table->close(backend);
        CHECK(host.mem.used == 0);
    }

    /* A device of little buffers: matrices in many shards. */
    status = vulkan_open(&host, (lm_vulkan_desc){ .max_range = 3 << 15, .max_slab = 3 << 16 }, &backend, &error);
    if (CHECK_MSG(status == LLM_OK, "%s", error.message)) {
        vulkan_kept(backend, &table);
        little_shape shape = vulkan_floats(&little_shapes[0]), experts = vulkan_floats(&little_shapes[3]);
        vulkan_compared(backend, &shape, LLM_STATE_TYPE_F32, 5);
        vulkan_compared(backend, &shape, LLM_STATE_TYPE_F32, 11);
        vulkan_compared(backend, &experts, LLM_STATE_TYPE_F32, 5);
        backend->table = real;
        backend->table->close(backend);
    }
    CHECK(host.mem.used == 0);
    variants_check(shuffle);
    CHECK_MSG(vulkan_messages == 0, "%u messages of the validation layers", vulkan_messages);
    return TEST_DONE();
}

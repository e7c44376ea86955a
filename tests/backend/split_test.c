/* SPDX-License-Identifier: MIT
 * A program cut in two on two CPU backends: the same bits as whole, for every little model, before every layer, with prompts, single rows, several
 * sessions, small budgets, stops in the middle, pages out and in; what a part is made of; every allocation failing in turn. */
#include "little.h"

enum { TOKENS = 90 };

static llm_error error;

/* Two sessions of a model: one in pieces, both together, pages moved to other places; logits of all rows. */
static llm_status split_script(little_rig *rig, little *m, const llm_token *tokens, little_session *s, int64_t budget_ns)
{
    little_session *both[2] = { &s[0], &s[1] };
    uint32_t many[2] = { 37, 20 }, more[2] = { 40, 1 }, one[2] = { 1, 1 };
    little_session_open(&s[0], m, tokens, TOKENS);
    little_session_open(&s[1], m, tokens + 5, TOKENS - 5);
    LM_TRY(little_pass(rig, rig->arena, both, many, 2, budget_ns, NULL, &error));
    LM_TRY(little_pass(rig, rig->arena, both, more, 2, budget_ns, NULL, &error));
    for (uint32_t c = 0; c < m->program->n_page_classes; c++) {
        const lm_backend_table *t = rig->backend->table;
        uint64_t bytes = t->pool_page_bytes(rig->backend, rig->pool, c);
        uint32_t old = s[0].pages[c][1], copy = 0;
        uint8_t *page = calloc(2, (size_t)bytes);
        llm_status status = t->page_export(rig->backend, rig->pool, c, old, page, &error);
        if (status >= 0)
            status = t->page_take(rig->backend, rig->pool, c, &copy, &error);
        if (status >= 0)
            status = c ? t->page_import(rig->backend, rig->pool, c, copy, page, &error) : t->page_copy(rig->backend, rig->pool, c, old, copy, &error);
        if (status >= 0)
            status = t->page_export(rig->backend, rig->pool, c, copy, page + bytes, &error);
        CHECK(status < 0 || memcmp(page, page + bytes, (size_t)bytes) == 0);
        free(page);
        LM_TRY(status);
        s[0].pages[c][1] = copy;
        t->page_give(rig->backend, rig->pool, c, old);
    }
    for (int i = 0; i < 3; i++)
        LM_TRY(little_pass(rig, rig->arena, both, one, 2, budget_ns, NULL, &error));
    return LLM_OK;
}

typedef struct split_pair { lm_backend *half[2], *split; lm_cut cut; } split_pair;

static void split_pair_close(little *m, split_pair *p)
{
    for (int i = 0; i < 2; i++)
        if (p->half[i])
            p->half[i]->table->close(p->half[i]);
    lm_cut_free(&m->host, &p->cut);
}

static llm_status split_pair_open(little *m, int32_t layer, split_pair *p)
{
    const lm_cpu_desc first = { 1, LLM_CPU_REFERENCE, NULL }, second = { 2, 0, NULL };
    memset(p, 0, sizeof *p);
    LM_TRY(lm_cpu_backend_open(&m->host, &first, &p->half[0], &error));
    LM_TRY(lm_cpu_backend_open(&m->host, &second, &p->half[1], &error));
    LM_TRY(lm_program_cut(&m->host, m->program, layer, &p->cut, &error));
    return lm_split_backend_open(&m->host, p->half[0], p->half[1], &p->cut, &p->split, &error);
}

/* Everything once, cut before a layer; `want`: by the whole, or NULL. */
static llm_status split_once(little *m, int32_t layer, int32_t state_type, const llm_token *tokens, int64_t budget_ns, little_session *want)
{
    split_pair p;
    little_rig rig = { 0 };
    little_session s[2];
    llm_status status = split_pair_open(m, layer, &p);
    memset(s, 0, sizeof s);
    if (status >= 0)
        status = little_rig_open(&rig, m, p.split, state_type, 80, 2, 16, 3, &error);
    if (status >= 0) {
        uint64_t cost = p.split->table->pool_page_cost(p.split, m->program, state_type, 0);
        char text[600];
        CHECK(cost > 0 && cost < UINT64_MAX);
        CHECK(p.split->table->exec_report(p.split, rig.exec, text, sizeof text) < sizeof text && strstr(text, "part 2"));
        for (uint32_t o = 0; o < m->program->n_ops; o++)
            CHECK(p.split->table->can_run(p.split, m->program, &m->program->ops[o], state_type, &error) == LLM_OK);
        status = split_script(&rig, m, tokens, s, budget_ns);
    }
    for (int i = 0; i < 2 && want && status >= 0; i++)
        CHECK_MSG(s[i].n_done == want[i].n_done && memcmp(s[i].logits, want[i].logits, s[i].n_done * m->program->n_vocab * sizeof(float)) == 0,
                  "cut before layer %d, session %d: other logits than the whole's", layer, i);
    for (int i = 0; i < 2; i++)
        if (s[i].logits)
            little_session_close(&rig, &s[i]);
    little_rig_close(&rig);
    split_pair_close(m, &p);
    return status;
}

static void split_parts(little *m)
{
    lm_cut cut;
    for (int32_t layer = 1; layer < (int32_t)m->shape.n_layers; layer++) {
        if (!CHECK_MSG(lm_program_cut(&m->host, m->program, layer, &cut, &error) == LLM_OK, "%s", error.message))
            continue;
        CHECK(cut.part[0]->hands_on && !cut.part[0]->given && !cut.part[1]->hands_on && cut.part[1]->given);
        CHECK(cut.part[0]->n_streams + cut.part[1]->n_streams == m->program->n_streams && cut.part[0]->n_ops + cut.part[1]->n_ops == m->program->n_ops + cut.n_again);
        for (uint32_t w = 0; w < m->program->n_weights; w++)
            CHECK(cut.weight[0][w] != LM_NONE || cut.weight[1][w] != LM_NONE);
        lm_cut_free(&m->host, &cut);
    }
    CHECK(lm_program_cut(&m->host, m->program, 0, &cut, &error) == LLM_E_INTERNAL);
    CHECK(lm_program_cut(&m->host, m->program, (int32_t)m->shape.n_layers, &cut, &error) != LLM_OK);
}

static void split_model(const little_shape *shape)
{
    static const int32_t types[] = { LLM_STATE_TYPE_F32, LLM_STATE_TYPE_F16, LLM_STATE_TYPE_INT8 };
    const lm_cpu_desc cpu = { 1, 0, NULL };
    llm_token tokens[TOKENS];
    little m;
    if (!CHECK(little_open(&m, shape, NULL)))
        return;
    little_tokens(&m, tokens, TOKENS, 9);
    split_parts(&m);
    for (size_t t = 0; t < LM_COUNT(types); t++) {
        lm_backend *backend = NULL;
        little_rig rig = { 0 };
        little_session want[2];
        memset(want, 0, sizeof want);
        if (CHECK(lm_cpu_backend_open(&m.host, &cpu, &backend, &error) == LLM_OK) &&
            CHECK_MSG(little_rig_open(&rig, &m, backend, types[t], 80, 2, 16, 3, &error) == LLM_OK && split_script(&rig, &m, tokens, want, -1) == LLM_OK, "%s", error.message))
            for (int32_t layer = 1; layer < (int32_t)shape->n_layers; layer++)
                for (int64_t budget = -1; budget < 30000; budget += 30000)
                    CHECK_MSG(split_once(&m, layer, types[t], tokens, budget, want) == LLM_OK, "%s", error.message);
        for (int i = 0; i < 2; i++)
            if (want[i].logits)
                little_session_close(&rig, &want[i]);
        little_rig_close(&rig);
    }
    little_close(&m);
    CHECK(atomic_load(&m.host.mem.used) == 0);
}

/* The n-th allocation says no, for every n. */
static void split_no_memory(void)
{
    little m;
    llm_token tokens[TOKENS];
    uint64_t used;
    int told = 0;
    if (!CHECK(little_open(&m, &little_shapes[2], NULL)))
        return;
    little_tokens(&m, tokens, TOKENS, 9);
    used = atomic_load(&m.host.mem.used);
    for (m.host.mem.limit = used + 1000;; m.host.mem.limit += 1500) {
        llm_status status = split_once(&m, 1, LLM_STATE_TYPE_F16, tokens, -1, NULL);
        CHECK_MSG(status == LLM_OK || (status == LLM_E_MEMORY && error.message_len > 0), "%d: %s", status, error.message);
        if (!CHECK(atomic_load(&m.host.mem.used) == used) || status == LLM_OK)
            break;
        told++;
    }
    m.host.mem.limit = 0;
    CHECK_MSG(told > 20, "%d limits were too low", told);
    little_close(&m);
}

int main(void)
{
    for (size_t i = 0; i < LM_COUNT(little_shapes); i++)
        split_model(&little_shapes[i]);
    split_no_memory();
    return TEST_DONE();
}

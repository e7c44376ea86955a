/* SPDX-License-Identifier: MIT
 * The compare backend: the CPU's reference kernels beside its best ones give the same bits for every shape and type, operation by
 * operation; and a backend with one wrong bit is found out, where it is wrong. */
#include "little.h"

#include "base/status.h"

enum { COMPARE_TOKENS = 200 };

static lm_backend_table compare_wrong;                      /* the CPU's with something changed */
static const lm_backend_table *compare_right;
static uint64_t compare_wrong_row = UINT64_MAX;

static uint64_t compare_row_bytes;                          /* of the weight begun last: they come one after another */

static llm_status wrong_begin(lm_backend *backend, const lm_weight_info *info, lm_weight **out, llm_error *error)
{
    compare_row_bytes = little_row_bytes(info);
    return compare_right->weight_begin(backend, info, out, error);
}

static llm_status wrong_rows(lm_backend *backend, lm_weight *weight, uint64_t row, uint64_t n, const void *rows, llm_error *error)
{
    unsigned char first[8192];
    if (row != compare_wrong_row || n != 1 || compare_row_bytes > sizeof first)
        return compare_right->weight_rows(backend, weight, row, n, rows, error);
    memcpy(first, rows, (size_t)compare_row_bytes);
    first[1] ^= 0x10;
    return compare_right->weight_rows(backend, weight, row, n, first, error);
}

static llm_status wrong_export(lm_backend *backend, lm_pool *pool, uint32_t page_class, uint32_t page, void *out, llm_error *error)
{
    llm_status status = compare_right->page_export(backend, pool, page_class, page, out, error);
    ((unsigned char *)out)[3] ^= 1;                         /* of position 0 */
    return status;
}

static llm_status open_pair(little *m, bool wrong, double absolute, double relative, lm_backend **out, llm_error *error)
{
    lm_cpu_desc plain = { 1, LLM_CPU_REFERENCE, NULL }, best = { 2, 0, NULL };
    lm_backend *a = NULL, *b = NULL;
    CHECK(lm_cpu_backend_open(&m->host, &plain, &a, error) == LLM_OK && lm_cpu_backend_open(&m->host, &best, &b, error) == LLM_OK);
    if (wrong) {
        compare_right = b->table;
        compare_wrong.name = "wrong";
        b->table = &compare_wrong;
    }
    return lm_compare_backend_open(&m->host, a, b, absolute, relative, out, error);
}

static llm_status run_all(little *m, lm_backend *backend, int32_t state_type, llm_error *error)
{
    static llm_token tokens[COMPARE_TOKENS];
    little_rig rig;
    little_session s[2], *list[2] = { &s[0], &s[1] };
    little_tokens(m, tokens, COMPARE_TOKENS, 3);
    llm_status status = little_rig_open(&rig, m, backend, state_type, 140, 2, 80, 1, error);
    for (int i = 0; i < 2; i++)
        little_session_open(&s[i], m, tokens, COMPARE_TOKENS);
    for (int pass = 0; pass < 4 && status == LLM_OK; pass++) {
        uint32_t n[2] = { pass == 0 ? 67 : 1, pass == 1 ? 30 : 2 };
        status = little_pass(&rig, rig.arena, list, n, pass == 3 ? 1 : 2, pass == 2 ? 300000 : -1, NULL, error);
    }
    if (rig.pool)
        for (int i = 0; i < 2; i++)
            little_session_close(&rig, &s[i]);
    little_rig_close(&rig);
    return status;
}

static void test_equal(void)
{
    for (size_t i = 0; i < LM_COUNT(little_shapes); i++) {
        little m;
        llm_error error;
        lm_backend *backend = NULL;
        CHECK(little_open(&m, &little_shapes[i], NULL) && open_pair(&m, false, 0, 0, &backend, &error) == LLM_OK);
        CHECK_MSG(run_all(&m, backend, (int32_t)(i % 3), &error) == LLM_OK, "shape %zu: %s", i, error.message);
        little_close(&m);
        CHECK(atomic_load(&m.host.mem.used) == 0);
    }
}

static void expect_wrong(double absolute, double relative, const char *message)
{
    little m;
    llm_error error;
    lm_backend *backend = NULL;
    CHECK(little_open(&m, &little_shapes[2], NULL) && open_pair(&m, true, absolute, relative, &backend, &error) == LLM_OK);
    llm_status status = run_all(&m, backend, LLM_STATE_TYPE_F32, &error);
    if (message)
        CHECK_MSG(status == LLM_E_INTERNAL && strstr(error.message, message) && strstr(error.message, "wrong has"), "%d %s", status, status < 0 ? error.message : "");
    else
        CHECK_MSG(status == LLM_OK, "%s", error.message);
    little_close(&m);
    CHECK(atomic_load(&m.host.mem.used) == 0);
}

static void test_wrong(void)
{
    little m;
    llm_error error;
    lm_backend *cpu = NULL;
    lm_cpu_desc desc = { 1, 0, NULL };
    CHECK(little_open(&m, &little_shapes[2], NULL) && lm_cpu_backend_open(&m.host, &desc, &cpu, &error) == LLM_OK);
    compare_wrong = *cpu->table;
    cpu->table->close(cpu);
    little_close(&m);
    expect_wrong(0, 0, NULL);                               /* nothing changed yet */
    compare_wrong.page_export = wrong_export;
    expect_wrong(0, 0, "state of stream 0, K at position 0, head 0, item 0");
    expect_wrong(1e9, 0, NULL);
    compare_wrong.page_export = compare_right->page_export;
    compare_wrong.weight_begin = wrong_begin;
    compare_wrong.weight_rows = wrong_rows;
    for (compare_wrong_row = 0; compare_wrong_row < 60; compare_wrong_row++) {      /* of whichever weight gets it as a row alone */
        little again;
        lm_backend *backend = NULL;
        CHECK(little_open(&again, &little_shapes[2], NULL) && open_pair(&again, true, 0, 0, &backend, &error) == LLM_OK);
        if (run_all(&again, backend, LLM_STATE_TYPE_F32, &error) == LLM_E_INTERNAL && strstr(error.message, "compare: operation") && strstr(error.message, "wrong has"))
            compare_wrong_row = 1000;
        little_close(&again);
    }
    CHECK(compare_wrong_row > 1000);
    compare_wrong_row = UINT64_MAX;
    CHECK(lm_compare_backend_open(&m.host, NULL, NULL, 0, 0, &cpu, &error) == LLM_E_INVALID);
}

/* Two checkers side by side: compare itself makes no call that verify finds fault with. */
static void test_verified(void)
{
    for (size_t i = 0; i < LM_COUNT(little_shapes); i++) {
        little m;
        llm_error error;
        lm_backend *a = NULL, *b = NULL, *pair = NULL;
        CHECK(little_open(&m, &little_shapes[i], NULL) && lm_verify_backend_open(&m.host, &a, &error) == LLM_OK && lm_verify_backend_open(&m.host, &b, &error) == LLM_OK);
        CHECK(lm_compare_backend_open(&m.host, a, b, 0, 0, &pair, &error) == LLM_OK);
        CHECK_MSG(run_all(&m, pair, LLM_STATE_TYPE_F16, &error) == LLM_OK, "%s", error.message);
        little_close(&m);
        CHECK(atomic_load(&m.host.mem.used) == 0);
    }
}

int main(void)
{
    test_equal();
    test_wrong();
    test_verified();
    return TEST_DONE();
}

/* SPDX-License-Identifier: MIT
 * Every test model through the verify backend, and through the compare backend with the CPU's reference beside its best kernels, which
 * must give the same bits in every value of every operation. */
#include "golden/forward.h"

#include "test.h"

#include <dirent.h>

enum { MODELS_TOKENS = 100 };

static llm_status models_backend(lm_host *host, bool compare, lm_backend **out, llm_error *error)
{
    lm_cpu_desc plain = { 1, LLM_CPU_REFERENCE, NULL }, best = { 2, 0, NULL };
    lm_backend *a = NULL, *b = NULL;
    if (!compare)
        return lm_verify_backend_open(host, out, error);
    LM_TRY(lm_cpu_backend_open(host, &plain, &a, error));
    LM_TRY(lm_cpu_backend_open(host, &best, &b, error));
    return lm_compare_backend_open(host, a, b, 0, 0, out, error);
}

static void check_model(const char *path, bool compare, int32_t state_type)
{
    lm_host host;
    llm_error error;
    lm_backend *backend = NULL;
    forward *f = calloc(1, sizeof *f);
    llm_token tokens[MODELS_TOKENS];
    memset(&host, 0, sizeof host);
    lm_mem_init(&host.mem, NULL, 0);
    CHECK(models_backend(&host, compare, &backend, &error) == LLM_OK);
    llm_status status = forward_open(f, path, backend, 0, 0, state_type, 64);
    CHECK_MSG(status == LLM_OK, "%s: %s", path, f->error.message);
    if (status == LLM_OK) {
        uint32_t n_vocab = f->model->program->n_vocab;
        float *logits = calloc((size_t)MODELS_TOKENS * n_vocab, sizeof *logits);
        for (uint32_t i = 0; i < MODELS_TOKENS; i++)
            tokens[i] = (llm_token)((i * 37 + 5) % n_vocab);
        status = forward_all(f, tokens, MODELS_TOKENS, 37, logits);
        CHECK_MSG(status == LLM_OK, "%s, %s: %s", path, compare ? "compare" : "verify", f->error.message);
        free(logits);
        forward_close(f);
    }
    CHECK_MSG(atomic_load(&host.mem.used) == 0, "%s: %llu bytes left", path, (unsigned long long)atomic_load(&host.mem.used));
    free(f);
}

static int check_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    int n = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        size_t len = strlen(entry->d_name);
        char path[1024];
        if (len < 5 || strcmp(entry->d_name + len - 5, ".gguf") != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        check_model(path, false, LLM_STATE_TYPE_F16);
        check_model(path, true, (int32_t)(n % 3));
        n++;
    }
    if (dir)
        closedir(dir);
    return n;
}

int main(void)
{
    int own = check_folder(LLM_TEST_TREE "/golden/data"), shared = check_folder(LLM_TEST_DATA "/models");
    fprintf(stderr, "%d models of the tree, %d of %s\n", own, shared, LLM_TEST_DATA);
    CHECK(own > 0);
    return TEST_DONE();
}

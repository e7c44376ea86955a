/* SPDX-License-Identifier: MIT
 * The lies of tests/hostile that are about the container, told to the catalogue alone: by the same statuses and messages, at the byte where they are. And what only this
 * floor can see: counts, windows of reading, names beside one another. */
#include "gguf_build.h"

#include "fuzz/models.h"
#include "hostile/lies.h"

enum { ROOM = 1 << 18 };

static void check_lie(const lie *l, doc *d, unsigned char *file)
{
    lm_host host;
    llm_error error;
    lm_catalogue *c;
    if (l->row[0] != 'A' && l->row[0] != 'B')
        return;
    models_make_named(d, l->base);
    l->tell(d, l);
    size_t size = doc_write(d, file, ROOM);
    if (l->b && !l->name && strcmp(l->row, "A10") == 0)
        size = (size_t)l->a;
    gguf_out o = { file, size, size };
    llm_source source = gguf_buffer(&o);
    test_host(&host);
    llm_status status = gguf_open(&host, &source, &c, &error);
    bool here = status < 0 && (strstr(error.message, "(byte ") != NULL || strstr(error.message, "a duplicate"));
    /* what is no lie of the container: the floors above see it */
    CHECK_MSG(status == l->status ? status == LLM_OK || strstr(error.message, l->says) : status == LLM_OK, "%s, %s: %d '%s'", l->row, l->what, status, status < 0 ? error.message : "");
    CHECK_MSG(status == LLM_OK || here, "%s, %s: no place in '%s'", l->row, l->what, error.message);
    CHECK_MSG(status == LLM_OK || error.offset <= size || error.offset == UINT64_MAX, "%s, %s: byte %llu", l->row, l->what, (unsigned long long)error.offset);
    CHECK_MSG(host.mem.peak < 1 << 20, "%s, %s: %llu bytes", l->row, l->what, (unsigned long long)host.mem.peak);
    lm_catalogue_free(c);
    CHECK(host.mem.used == 0);
}

/* Cut after every byte of the header: refused each time, and nothing is read beyond. */
static void check_cuts(doc *d, unsigned char *file)
{
    models_make_named(d, "llama_f32");
    size_t size = doc_write(d, file, ROOM), n_ok = 0;
    for (size_t cut = 0; cut <= size; cut++) {
        lm_host host;
        llm_error error;
        lm_catalogue *c;
        unsigned char *exact = malloc(cut ? cut : 1);
        memcpy(exact, file, cut);
        gguf_out o = { exact, cut, cut };
        llm_source source = gguf_buffer(&o);
        test_host(&host);
        llm_status status = gguf_open(&host, &source, &c, &error);
        CHECK_MSG(cut == size ? status == LLM_OK : status == LLM_E_FORMAT, "cut at %zu of %zu: %d", cut, size, status);
        n_ok += status == LLM_OK;
        lm_catalogue_free(c);
        free(exact);
    }
    CHECK(n_ok == 1);
}

int main(void)
{
    doc *d = doc_new();
    unsigned char *file = malloc(ROOM);
    lies_begin();
    for (size_t i = 0; i < n_lies; i++)
        check_lie(&lies[i], d, file);
    check_cuts(d, file);
    free(file);
    doc_free(d);
    return TEST_DONE();
}

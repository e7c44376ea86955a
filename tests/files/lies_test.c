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

static llm_status open_exact(gguf_out *o, lm_host *host, lm_catalogue **c)
{
    llm_error error;
    unsigned char *exact = malloc(o->n);                    /* so that a byte too many is seen */
    memcpy(exact, o->bytes, o->n);
    gguf_out copy = { exact, o->n, o->n };
    llm_source source = gguf_buffer(&copy);
    test_host(host);
    llm_status status = gguf_open(host, &source, c, &error);
    free(exact);
    gguf_out_free(o);
    return status;
}

/* What is just allowed: values that end with the file, borders of ranges, a value longer than the window that is read through. */
static void check_edges(void)
{
    lm_host host;
    lm_catalogue *c;
    gguf_out o = { 0 };
    put_head(&o, 3, 0, 1);                                  /* the smallest key there is */
    put_key(&o, "k", LM_VALUE_U8);
    put_u8(&o, 1);
    CHECK(open_exact(&o, &host, &c) == LLM_OK && c->n_keys == 1);
    lm_catalogue_free(c);
    put_head(&o, 3, 0, 1);
    put_key_string(&o, "k", "to the end");
    CHECK(open_exact(&o, &host, &c) == LLM_OK);
    lm_catalogue_free(c);
    for (uint32_t type = 0; type < 13; type++) {            /* one value, and an array of three */
        static const uint8_t bytes[13] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };
        for (uint32_t n = 1; n <= 3 && bytes[type]; n += 2) {
            put_head(&o, 3, 0, 1);
            put_key(&o, "k", n == 1 ? type : LM_VALUE_ARRAY);
            if (n > 1) {
                put_u32(&o, type);
                put_u64(&o, n);
            }
            for (uint32_t i = 0; i < n * bytes[type]; i++)
                put_u8(&o, type == LM_VALUE_BOOL);
            size_t size = o.n;
            unsigned char *shorter = malloc(size);
            memcpy(shorter, o.bytes, size);
            CHECK_MSG(open_exact(&o, &host, &c) == LLM_OK && c->keys[0].n_items == n, "type %u", type);
            lm_catalogue_free(c);
            put_bytes(&o, shorter, size - 1);               /* a byte less is too little */
            free(shorter);
            CHECK_MSG(open_exact(&o, &host, &c) == LLM_E_FORMAT, "type %u, a byte less", type);
        }
    }
    for (uint32_t align = 8; align <= 65536; align *= 2) {
        put_head(&o, 3, 1, 1);
        put_key_u32(&o, "general.alignment", align);
        put_info(&o, "t", 1, (uint64_t[]){ 4 }, LM_TYPE_F32, 0);
        put_padding(&o, align);
        put_data(&o, 16);
        CHECK_MSG(open_exact(&o, &host, &c) == LLM_OK && c->tensors[0].offset % align == 0, "alignment %u", align);
        lm_catalogue_free(c);
    }
    for (uint32_t type = LM_TYPE_COUNT - 2; type < LM_TYPE_COUNT + 2; type++) {     /* the last ones known, the first ones not */
        put_head(&o, 3, 1, 0);
        put_info(&o, "t", 1, (uint64_t[]){ 128 }, type, 0);
        put_padding(&o, 32);
        put_data(&o, 64);
        CHECK_MSG(open_exact(&o, &host, &c) == (type < LM_TYPE_COUNT ? LLM_OK : LLM_E_UNSUPPORTED), "type %u", type);
        lm_catalogue_free(c);
    }
    enum { LONG = 300000, KEY = 65535 };
    char *text = malloc(LONG + 1);
    for (int i = 0; i < LONG; i++)
        text[i] = (char)('a' + (i * 7 + i / 251) % 26);
    for (int before = 0; before < 3; before++) {            /* at several places of the window */
        put_head(&o, 3, 0, 4);
        put_key(&o, "pad", LM_VALUE_STRING);
        put_text(&o, text, (size_t)before * 65000 + 11);
        put_key(&o, "long", LM_VALUE_STRING);
        put_text(&o, text, LONG);
        put_text(&o, text, KEY);                            /* the longest name of a key */
        put_u32(&o, LM_VALUE_U8);
        put_u8(&o, 3);
        put_key_u32(&o, "after", 77);
        CHECK(open_exact(&o, &host, &c) == LLM_OK);
        llm_str got = { 0 };
        uint64_t after = 0;
        llm_error error;
        CHECK(lm_catalogue_str(c, "long", &got, &error) == LLM_OK && got.len == LONG && memcmp(got.ptr, text, LONG) == 0);
        CHECK(lm_catalogue_u64(c, "after", 0, 77, 77, &after, &error) == LLM_OK && lm_catalogue_key(c, text, KEY) != NULL);
        lm_catalogue_free(c);
    }
    put_head(&o, 3, 0, 1);
    put_text(&o, text, KEY + 1);
    put_u32(&o, LM_VALUE_U8);
    put_u8(&o, 3);
    CHECK(open_exact(&o, &host, &c) == LLM_E_FORMAT);
    free(text);
}

int main(void)
{
    doc *d = doc_new();
    unsigned char *file = malloc(ROOM);
    lies_begin();
    for (size_t i = 0; i < n_lies; i++)
        check_lie(&lies[i], d, file);
    check_cuts(d, file);
    check_edges();
    free(file);
    doc_free(d);
    return TEST_DONE();
}

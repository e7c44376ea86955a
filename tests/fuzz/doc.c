/* SPDX-License-Identifier: MIT
 * See doc.h. */
#include "doc.h"

#include "tensor/type.h"

#include <stdlib.h>
#include <string.h>

doc *doc_new(void)
{
    doc *d = calloc(1, sizeof *d);
    d->pool = malloc(DOC_POOL);
    doc_clear(d);
    return d;
}

void doc_clear(doc *d)
{
    unsigned char *pool = d->pool;
    memset(d, 0, sizeof *d);
    d->pool = pool;
    memcpy(d->magic, "GGUF", 4);
    d->version = 3;
    d->align = 32;
}

void doc_free(doc *d)
{
    if (d)
        free(d->pool);
    free(d);
}

void *doc_room(doc *d, size_t size)
{
    size_t at = (d->used + 15) & ~(size_t)15;
    if (at > DOC_POOL || size > DOC_POOL - at)
        return NULL;
    d->used = at + size;
    memset(d->pool + at, 0, size);
    return d->pool + at;
}

size_t doc_value_bytes(uint32_t type)
{
    static const uint8_t bytes[13] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };
    return type < 13 ? bytes[type] : 0;
}

size_t doc_tensor_bytes(const doc_tensor *t, size_t most)
{
    const lm_type_info *type = lm_type_get(t->type);
    uint64_t n;
    if (!type || t->n_dims < 1 || t->n_dims > 4 || t->ne[0] % type->block != 0 || t->ne[0] / type->block > most / type->block_bytes)
        return 0;
    n = t->ne[0] / type->block * type->block_bytes;
    for (uint32_t i = 1; i < t->n_dims; i++) {
        if (n == 0 || t->ne[i] > most / n)
            return 0;
        n *= t->ne[i];
    }
    return (size_t)n;
}

/* ---- reading ---- */

typedef struct doc_in { const unsigned char *at, *end; } doc_in;

static bool doc_take(doc_in *in, void *out, size_t n)
{
    if ((size_t)(in->end - in->at) < n)
        return false;
    memcpy(out, in->at, n);
    in->at += n;
    return true;
}

static bool doc_take_text(doc_in *in, const char **text, size_t *len)
{
    uint64_t n;
    if (!doc_take(in, &n, 8) || n > (size_t)(in->end - in->at))
        return false;
    *text = (const char *)in->at;
    *len = (size_t)n;
    in->at += n;
    return true;
}

static bool doc_skip_value(doc_in *in, uint32_t type)
{
    const char *text;
    size_t len;
    uint32_t item;
    uint64_t n;
    if (type == DOC_STRING)
        return doc_take_text(in, &text, &len);
    if (type != DOC_ARRAY) {
        if (doc_value_bytes(type) == 0 || (size_t)(in->end - in->at) < doc_value_bytes(type))
            return false;
        in->at += doc_value_bytes(type);
        return true;
    }
    if (!doc_take(in, &item, 4) || !doc_take(in, &n, 8))
        return false;
    if (item == DOC_STRING) {
        for (uint64_t i = 0; i < n; i++)
            if (!doc_take_text(in, &text, &len))
                return false;
        return true;
    }
    if (doc_value_bytes(item) == 0 || n > (size_t)(in->end - in->at) / doc_value_bytes(item))
        return false;
    in->at += n * doc_value_bytes(item);
    return true;
}

static bool doc_read_key(doc *d, doc_in *in)
{
    doc_key *key = &d->keys[d->n_keys];
    const unsigned char *value;
    if (d->n_keys == DOC_KEYS || !doc_take_text(in, &key->name, &key->name_len) || !doc_take(in, &key->type, 4))
        return false;
    value = in->at;
    if (!doc_skip_value(in, key->type))
        return false;
    key->size = (size_t)(in->at - value);
    key->value = doc_room(d, key->size);
    if (!key->value)
        return false;
    memcpy(key->value, value, key->size);
    d->n_keys++;
    return true;
}

static bool doc_read_info(doc *d, doc_in *in)
{
    doc_tensor *t = &d->tensors[d->n_tensors];
    if (d->n_tensors == DOC_TENSORS || !doc_take_text(in, &t->name, &t->name_len) || !doc_take(in, &t->n_dims, 4) || t->n_dims > DOC_DIMS)
        return false;
    for (uint32_t i = 0; i < t->n_dims; i++)
        if (!doc_take(in, &t->ne[i], 8))
            return false;
    if (!doc_take(in, &t->type, 4) || !doc_take(in, &t->offset, 8))
        return false;
    d->n_tensors++;
    return true;
}

static void doc_read_data(doc *d, const unsigned char *data, size_t size)
{
    for (size_t i = 0; i < d->n_tensors; i++) {
        doc_tensor *t = &d->tensors[i];
        size_t n = doc_tensor_bytes(t, size);
        if (t->offset > size || n > size - t->offset)
            n = 0;
        t->data = doc_room(d, n);
        t->size = t->data ? n : 0;
        if (t->size)
            memcpy(t->data, data + t->offset, t->size);
    }
}

void doc_read(doc *d, const unsigned char *data, size_t size)
{
    doc_in in = { data, data + size };
    uint64_t n_tensors = 0, n_keys = 0;
    const unsigned char *begin;
    doc_clear(d);
    if (!doc_take(&in, d->magic, 4) || !doc_take(&in, &d->version, 4) || !doc_take(&in, &n_tensors, 8) || !doc_take(&in, &n_keys, 8))
        return;
    for (uint64_t i = 0; i < n_keys; i++) {
        begin = in.at;
        if (!doc_read_key(d, &in)) {
            d->tail = begin;
            d->tail_size = (size_t)(in.end - begin);
            d->tail_in_keys = true;
            d->add_keys = n_keys - d->n_keys;
            d->add_tensors = n_tensors;
            return;
        }
    }
    const doc_key *align = doc_find(d, "general.alignment");
    if (align && align->type == DOC_U32)
        memcpy(&d->align, align->value, 4);
    if (d->align < 8 || d->align > 4096 || (d->align & (d->align - 1)) != 0)
        d->align = 32;
    for (uint64_t i = 0; i < n_tensors; i++) {
        begin = in.at;
        if (!doc_read_info(d, &in)) {
            d->tail = begin;
            d->tail_size = (size_t)(in.end - begin);
            d->add_tensors = n_tensors - d->n_tensors;
            return;
        }
    }
    size_t at = ((size_t)(in.at - data) + d->align - 1) & ~(size_t)(d->align - 1);
    if (at > size)
        d->cut = true;
    else
        doc_read_data(d, data + at, size - at);
}

/* ---- writing ---- */

typedef struct doc_out { unsigned char *at; size_t n, cap; } doc_out;

static void doc_put(doc_out *o, const void *bytes, size_t n)
{
    if (o->n <= o->cap && n <= o->cap - o->n && n)
        memcpy(o->at + o->n, bytes, n);
    o->n = n > SIZE_MAX / 2 - o->n ? SIZE_MAX / 2 : o->n + n;
}
static void doc_put_u32(doc_out *o, uint32_t v) { doc_put(o, &v, 4); }
static void doc_put_u64(doc_out *o, uint64_t v) { doc_put(o, &v, 8); }
static void doc_pad(doc_out *o, size_t align)
{
    while (o->n % align)
        doc_put(o, "", 1);
}

size_t doc_write(const doc *d, unsigned char *out, size_t cap)
{
    doc_out o = { out, 0, cap };
    doc_put(&o, d->magic, 4);
    doc_put_u32(&o, d->version);
    doc_put_u64(&o, d->n_tensors + d->add_tensors);
    doc_put_u64(&o, d->n_keys + d->add_keys);
    for (size_t i = 0; i < d->n_keys; i++) {
        doc_put_u64(&o, d->keys[i].name_len);
        doc_put(&o, d->keys[i].name, d->keys[i].name_len);
        doc_put_u32(&o, d->keys[i].type);
        doc_put(&o, d->keys[i].value, d->keys[i].size);
    }
    if (d->tail_in_keys)
        doc_put(&o, d->tail, d->tail_size);
    for (size_t i = 0; i < d->n_tensors && !d->tail_in_keys; i++) {
        const doc_tensor *t = &d->tensors[i];
        doc_put_u64(&o, t->name_len);
        doc_put(&o, t->name, t->name_len);
        doc_put_u32(&o, t->n_dims);
        doc_put(&o, t->ne, (t->n_dims < DOC_DIMS ? t->n_dims : DOC_DIMS) * sizeof *t->ne);
        doc_put_u32(&o, t->type);
        doc_put_u64(&o, t->offset);
    }
    if (!d->tail_in_keys && d->tail_size)
        doc_put(&o, d->tail, d->tail_size);
    else if (!d->tail_size && !d->cut) {
        doc_pad(&o, d->align);
        for (size_t i = 0; i < d->n_tensors; i++) {
            doc_put(&o, d->tensors[i].data, d->tensors[i].size);
            if (i + 1 < d->n_tensors)
                doc_pad(&o, d->align);
        }
    }
    return o.n <= cap ? o.n : 0;
}

/* ---- keys ---- */

doc_key *doc_find(doc *d, const char *name)
{
    for (size_t i = 0; i < d->n_keys; i++)
        if (d->keys[i].name_len == strlen(name) && memcmp(d->keys[i].name, name, d->keys[i].name_len) == 0)
            return &d->keys[i];
    return NULL;
}

static const char *doc_keep(doc *d, const char *name)
{
    char *copy = doc_room(d, strlen(name) + 1);
    if (copy)
        memcpy(copy, name, strlen(name));
    return copy;
}

void doc_set(doc *d, const char *name, uint32_t type, const void *value, size_t size)
{
    doc_key *key = doc_find(d, name);
    unsigned char *copy = doc_room(d, size);
    const char *own = key ? key->name : doc_keep(d, name);
    if (!copy || !own || (!key && d->n_keys == DOC_KEYS))
        return;
    if (!key)
        key = &d->keys[d->n_keys++];
    if (size)
        memcpy(copy, value, size);
    *key = (doc_key){ own, strlen(name), type, copy, size };
}

void doc_u32(doc *d, const char *name, uint32_t value) { doc_set(d, name, DOC_U32, &value, 4); }
void doc_f32(doc *d, const char *name, float value) { doc_set(d, name, DOC_F32, &value, 4); }
void doc_bool(doc *d, const char *name, int value)
{
    unsigned char byte = (unsigned char)value;
    doc_set(d, name, DOC_BOOL, &byte, 1);
}

void doc_text_n(doc *d, const char *name, const char *value, size_t len)
{
    unsigned char *bytes = doc_room(d, 8 + len);
    uint64_t n = len;
    if (!bytes)
        return;
    memcpy(bytes, &n, 8);
    if (len)
        memcpy(bytes + 8, value, len);
    doc_set(d, name, DOC_STRING, bytes, 8 + len);
}
void doc_text(doc *d, const char *name, const char *value) { doc_text_n(d, name, value, strlen(value)); }

void doc_array(doc *d, const char *name, uint32_t item_type, uint64_t n, const void *items, size_t size)
{
    unsigned char *bytes = doc_room(d, 12 + size);
    if (!bytes)
        return;
    memcpy(bytes, &item_type, 4);
    memcpy(bytes + 4, &n, 8);
    if (size)
        memcpy(bytes + 12, items, size);
    doc_set(d, name, DOC_ARRAY, bytes, 12 + size);
}

void doc_texts(doc *d, const char *name, size_t n, const char *const *texts)
{
    size_t size = 0, at = 0;
    unsigned char *bytes;
    for (size_t i = 0; i < n; i++)
        size += 8 + strlen(texts[i]);
    bytes = doc_room(d, size);
    if (!bytes)
        return;
    for (size_t i = 0; i < n; i++) {
        uint64_t len = strlen(texts[i]);
        memcpy(bytes + at, &len, 8);
        memcpy(bytes + at + 8, texts[i], (size_t)len);
        at += 8 + (size_t)len;
    }
    doc_array(d, name, DOC_STRING, n, bytes, size);
}

void doc_drop(doc *d, const char *name)
{
    doc_key *key = doc_find(d, name);
    if (!key)
        return;
    memmove(key, key + 1, (size_t)(d->keys + d->n_keys - key - 1) * sizeof *key);
    d->n_keys--;
}

/* ---- tensors ---- */

doc_tensor *doc_find_tensor(doc *d, const char *name)
{
    for (size_t i = 0; i < d->n_tensors; i++)
        if (d->tensors[i].name_len == strlen(name) && memcmp(d->tensors[i].name, name, d->tensors[i].name_len) == 0)
            return &d->tensors[i];
    return NULL;
}

doc_tensor *doc_add(doc *d, const char *name, uint32_t type, uint64_t ne0, uint64_t ne1, uint64_t ne2)
{
    doc_tensor *t = &d->tensors[d->n_tensors];
    if (d->n_tensors == DOC_TENSORS)
        return NULL;
    *t = (doc_tensor){ .name = doc_keep(d, name), .name_len = strlen(name), .type = type, .n_dims = ne2 ? 3 : ne1 ? 2 : 1, .ne = { ne0, ne1, ne2 } };
    t->size = doc_tensor_bytes(t, DOC_POOL);
    t->data = doc_room(d, t->size);
    if (!t->name || !t->data)
        return NULL;
    doc_fill(t, d->n_tensors++);
    return t;
}

void doc_drop_tensor(doc *d, const char *name)
{
    doc_tensor *t = doc_find_tensor(d, name);
    if (!t)
        return;
    memmove(t, t + 1, (size_t)(d->tensors + d->n_tensors - t - 1) * sizeof *t);
    d->n_tensors--;
}

/* Where in a block its scales stand, as f16: at most two of them; MXFP4's is a byte. */
static void doc_scales(uint32_t type, int at[2])
{
    at[0] = at[1] = -1;
    switch (type) {
    case LM_TYPE_Q4_0: case LM_TYPE_Q5_0: case LM_TYPE_Q8_0: case LM_TYPE_IQ4_NL: case LM_TYPE_IQ4_XS: at[0] = 0; break;
    case LM_TYPE_Q4_1: case LM_TYPE_Q5_1: case LM_TYPE_Q4_K: case LM_TYPE_Q5_K: at[0] = 0, at[1] = 2; break;
    case LM_TYPE_Q2_K: at[0] = 80, at[1] = 82; break;
    case LM_TYPE_Q3_K: at[0] = 108; break;
    case LM_TYPE_Q6_K: at[0] = 208; break;
    default: break;
    }
}

void doc_fill(doc_tensor *t, uint64_t seed)
{
    const lm_type_info *type = lm_type_get(t->type);
    uint64_t x = seed * 0x9e3779b97f4a7c15u + 0x632be59bd9b4e019u;
    int scales[2];
    if (!type)
        return;
    doc_scales(t->type, scales);
    for (size_t i = 0; i + type->block_bytes <= t->size; i += type->block_bytes) {
        unsigned char *block = t->data + i;
        for (uint32_t k = 0; k < type->block_bytes; k++) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            block[k] = (unsigned char)(x >> 56);
        }
        float value = (float)((double)(x >> 40) / (1 << 24) - 0.5), one = t->n_dims == 1 ? 1.0f + value / 4 : value;
        uint32_t bits;
        memcpy(&bits, &one, 4);
        uint16_t high = (uint16_t)(bits >> 16), half = (uint16_t)((bits >> 16 & 0x8000) | ((((bits >> 23 & 0xff) - 112) << 10 | (bits >> 13 & 0x3ff)) & 0x7fff));
        if (one == 0 || (one < 0.001f && one > -0.001f))
            half = 0;
        if (t->type == LM_TYPE_F32)
            memcpy(block, &one, 4);
        else if (t->type == LM_TYPE_F16)
            memcpy(block, &half, 2);
        else if (t->type == LM_TYPE_BF16)
            memcpy(block, &high, 2);
        else if (t->type == LM_TYPE_MXFP4)
            block[0] = 122;
        for (int k = 0; k < 2; k++)
            if (scales[k] >= 0)
                memcpy(block + scales[k], &(uint16_t){ type->block == 256 ? 0x0c00 : 0x2000 }, 2);      /* 2^-12, 2^-7 */
    }
}

void doc_place(doc *d)
{
    uint64_t at = 0;
    for (size_t i = 0; i < d->n_tensors; i++) {
        doc_tensor *t = &d->tensors[i];
        size_t n = doc_tensor_bytes(t, DOC_POOL / 4);
        if (n > t->size) {
            unsigned char *data = doc_room(d, n);
            if (data && t->size)
                memcpy(data, t->data, t->size);
            t->data = data;
            t->size = data ? n : 0;
        } else if (n) {
            t->size = n;
        }
        t->offset = at;
        at = (at + t->size + d->align - 1) & ~(uint64_t)(d->align - 1);
    }
}

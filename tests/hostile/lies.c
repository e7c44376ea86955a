/* SPDX-License-Identifier: MIT
 * See lies.h: how lies are told, and the list of them. */
#include "lies.h"

#include <string.h>

/* ---- ways to lie ---- */

static doc_key *key_of(doc *d, const lie *l) { return doc_find(d, l->name); }
static doc_tensor *tensor_of(doc *d, const lie *l) { return doc_find_tensor(d, l->name); }

static void magic(doc *d, const lie *l) { memcpy(d->magic, l->text, 4); }
static void version(doc *d, const lie *l) { d->version = (uint32_t)l->a; }
static void n_tensors(doc *d, const lie *l) { d->add_tensors = l->a - d->n_tensors; }
static void n_keys(doc *d, const lie *l) { d->add_keys = l->a - d->n_keys; }
static void whole(doc *d, const lie *l) { (void)d, (void)l; }       /* cut to `a` bytes by the test */
static void set_u32(doc *d, const lie *l) { doc_u32(d, l->name, (uint32_t)l->a); }
static void set_i32(doc *d, const lie *l) { doc_set(d, l->name, DOC_I32, &(int32_t){ (int32_t)l->a }, 4); }
static void set_u64(doc *d, const lie *l) { doc_set(d, l->name, DOC_U64, &l->a, 8); }
static void set_bits(doc *d, const lie *l) { doc_set(d, l->name, DOC_F32, &(uint32_t){ (uint32_t)l->a }, 4); }
static void set_text(doc *d, const lie *l) { doc_text(d, l->name, l->text); }
static void set_bool(doc *d, const lie *l) { doc_bool(d, l->name, (int)l->a); }
static void drop(doc *d, const lie *l) { doc_drop(d, l->name); }
static void twice(doc *d, const lie *l) { d->keys[d->n_keys++] = *key_of(d, l); }
static void many_keys(doc *d, const lie *l)
{
    (void)l;
    while (d->n_keys < DOC_KEYS)
        twice(d, l);
}
static void rename_key(doc *d, const lie *l)
{
    doc_key *key = key_of(d, l);
    key->name = l->text;
    key->name_len = l->a;
}
static void key_type(doc *d, const lie *l) { key_of(d, l)->type = (uint32_t)l->a; }
static void length(doc *d, const lie *l) { memcpy(key_of(d, l)->value, &l->a, 8); }                 /* of a string */
static void items(doc *d, const lie *l) { memcpy(key_of(d, l)->value + 4, &l->a, 8); }              /* of an array */
static void item_type(doc *d, const lie *l) { memcpy(key_of(d, l)->value, &(uint32_t){ (uint32_t)l->a }, 4); }
static void numbers(doc *d, const lie *l)                   /* an array of `a` zeros of type `b` */
{
    static const unsigned char zeros[4096];
    doc_array(d, l->name, (uint32_t)l->b, l->a, zeros, (size_t)l->a * doc_value_bytes((uint32_t)l->b));
}
static void layers(doc *d, const lie *l)                    /* a value for each layer: a, b */
{
    doc_array(d, l->name, DOC_U32, 2, (uint32_t[]){ (uint32_t)l->a, (uint32_t)l->b }, 8);
}
static void item_bits(doc *d, const lie *l) { memcpy(key_of(d, l)->value + 12 + 4 * l->a, &(uint32_t){ (uint32_t)l->b }, 4); }
/* Item a of an array of strings becomes text, of b bytes. */
static void item_text(doc *d, const lie *l)
{
    doc_key *key = key_of(d, l);
    unsigned char *value = doc_room(d, key->size + l->b);
    uint64_t len;
    size_t at = 12;
    for (uint64_t i = 0; i < l->a; i++) {
        memcpy(&len, key->value + at, 8);
        at += 8 + (size_t)len;
    }
    memcpy(&len, key->value + at, 8);
    memcpy(value, key->value, at);
    memcpy(value + at, &l->b, 8);
    memcpy(value + at + 8, l->text, strlen(l->text) < l->b ? strlen(l->text) : (size_t)l->b);
    memcpy(value + at + 8 + l->b, key->value + at + 8 + len, key->size - at - 8 - (size_t)len);
    key->size += (size_t)l->b - (size_t)len;
    key->value = value;
}
static void length_of_first(doc *d, const lie *l) { memcpy(key_of(d, l)->value + 12, &l->a, 8); }
static void merge(doc *d, const lie *l) { doc_texts(d, "tokenizer.ggml.merges", 1, &l->text); }
static void no_tokens(doc *d, const lie *l) { (void)l, doc_texts(d, "tokenizer.ggml.tokens", 0, NULL); }
static void short_vocabulary(doc *d, const lie *l)          /* two tokens, no ids said: what is meant by default must not be believed */
{
    static const char *const words[] = { "a", "b" };
    (void)l;
    doc_texts(d, "tokenizer.ggml.tokens", 2, words);
    doc_drop(d, "tokenizer.ggml.scores");
    doc_drop(d, "tokenizer.ggml.token_type");
    doc_drop(d, "tokenizer.ggml.bos_token_id");
    doc_drop(d, "tokenizer.ggml.eos_token_id");
    doc_drop(d, "tokenizer.ggml.eot_token_id");
    doc_drop(d, "tokenizer.ggml.unknown_token_id");
}

static void n_dims(doc *d, const lie *l) { tensor_of(d, l)->n_dims = (uint32_t)l->a; }
static void dim(doc *d, const lie *l) { tensor_of(d, l)->ne[l->a] = l->b; }
static void dims(doc *d, const lie *l)                      /* a x b, and four times so where text says so */
{
    doc_tensor *t = tensor_of(d, l);
    t->ne[0] = l->a;
    t->ne[1] = l->b;
    t->n_dims = l->text ? 4 : 2;
    t->ne[2] = l->text ? l->a : 1;
    t->ne[3] = l->text ? l->b : 1;
}
static void shape(doc *d, const lie *l)                     /* another one, with its data */
{
    doc_tensor *t = tensor_of(d, l);
    t->ne[0] = l->a;
    t->ne[1] = l->b;
    t->n_dims = l->b ? 2 : 1;
    doc_place(d);
}
static void experts(doc *d, const lie *l)
{
    tensor_of(d, l)->ne[2] = l->a;
    doc_place(d);
}
static void type(doc *d, const lie *l) { tensor_of(d, l)->type = (uint32_t)l->a; }
static void other_type(doc *d, const lie *l)
{
    type(d, l);
    doc_place(d);
}
static void offset(doc *d, const lie *l) { tensor_of(d, l)->offset = l->a; }
static void offset_more(doc *d, const lie *l) { tensor_of(d, l)->offset += l->a; }
static void drop_tensor(doc *d, const lie *l)
{
    doc_drop_tensor(d, l->name);
    doc_place(d);
}
static void twice_tensor(doc *d, const lie *l)
{
    d->tensors[d->n_tensors++] = *tensor_of(d, l);
    doc_place(d);
}
static void rename_tensor(doc *d, const lie *l)
{
    doc_tensor *t = tensor_of(d, l);
    t->name = l->text;
    t->name_len = (size_t)l->a;
}
static void swap_names(doc *d, const lie *l)
{
    doc_tensor *t = tensor_of(d, l), *u = doc_find_tensor(d, l->text), copy = *t;
    t->name = u->name;
    t->name_len = u->name_len;
    u->name = copy.name;
    u->name_len = copy.name_len;
}
static void weight_half(doc *d, const lie *l) { memcpy(tensor_of(d, l)->data + l->a, &(uint16_t){ (uint16_t)l->b }, 2); }
static void weight_word(doc *d, const lie *l) { memcpy(tensor_of(d, l)->data + l->a, &(uint32_t){ (uint32_t)l->b }, 4); }
static void all_words(doc *d, const lie *l)
{
    doc_tensor *t = tensor_of(d, l);
    for (size_t i = 0; i + 4 <= t->size; i += 4)
        memcpy(t->data + i, &(uint32_t){ (uint32_t)l->b }, 4);
}

/* ---- the list ---- */

static char lies_long[70001];
void lies_begin(void) { memset(lies_long, 'a', sizeof lies_long - 1); }

#define T "tokenizer.ggml."
#define FORMAT LLM_E_FORMAT
#define UNSUPPORTED LLM_E_UNSUPPORTED
#define LIMIT LLM_E_LIMIT

const lie lies[] = {
#include "lies.inc"
};
const size_t n_lies = sizeof lies / sizeof *lies;

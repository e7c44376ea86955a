/* SPDX-License-Identifier: MIT
 * The GGUF container: a file with every kind of value comes out as it went in, and each lie is refused by its name. */
#include "base/os.h"

#include "gguf_build.h"

#include <math.h>
#include <time.h>

/* ---- the truth */

static void build_all_values(gguf_out *o, uint32_t version)
{
    put_head(o, version, 3, 17);
    put_key(o, "t.u8", LM_VALUE_U8), put_u8(o, 200);
    put_key(o, "t.i8", LM_VALUE_I8), put_u8(o, (uint8_t)-100);
    put_key(o, "t.u16", LM_VALUE_U16), put_bytes(o, &(uint16_t){ 60000 }, 2);
    put_key(o, "t.i16", LM_VALUE_I16), put_bytes(o, &(int16_t){ -30000 }, 2);
    put_key_u32(o, "t.u32", 4000000000u);
    put_key(o, "t.i32", LM_VALUE_I32), put_u32(o, (uint32_t)-2000000000);
    put_key(o, "t.f32", LM_VALUE_F32), put_f32(o, 1.5f);
    put_key(o, "t.bool", LM_VALUE_BOOL), put_u8(o, 1);
    put_key_string(o, "t.string", "w\xc3\xb6rd");
    put_key(o, "t.u64", LM_VALUE_U64), put_u64(o, UINT64_MAX);
    put_key(o, "t.i64", LM_VALUE_I64), put_u64(o, (uint64_t)INT64_MIN);
    put_key(o, "t.f64", LM_VALUE_F64), put_bytes(o, &(double){ 0.1 }, 8);
    put_key_array(o, "t.strings", LM_VALUE_STRING, 3), put_string(o, "one"), put_string(o, ""), put_text(o, "a\0\xff", 3);
    put_key_array(o, "t.i32s", LM_VALUE_I32, 3), put_u32(o, (uint32_t)-1), put_u32(o, 2), put_u32(o, 3);
    put_key_array(o, "t.bools", LM_VALUE_BOOL, 2), put_u8(o, 0), put_u8(o, 1);
    put_key_array(o, "t.none", LM_VALUE_F64, 0);
    put_key(o, "t.nan", LM_VALUE_F32), put_f32(o, NAN);
    put_info(o, "a", 2, (uint64_t[]){ 5, 3 }, LM_TYPE_F32, 0);                  /* 60 bytes, padded to 64 */
    put_info(o, "b", 4, (uint64_t[]){ 32, 2, 2, 2 }, LM_TYPE_Q4_0, 64);         /* 144 bytes, padded to 160 */
    put_info(o, "c", 1, (uint64_t[]){ 3 }, LM_TYPE_F32, 224);                   /* the padding behind the last is missing */
    put_padding(o, 32);
    put_data(o, 224 + 12);
}

static void check_values(const lm_catalogue *c)
{
    llm_error error;
    uint64_t u = 0;
    double f = 0;
    bool b = false;
    llm_str s = { NULL, 0 };
    llm_meta meta = LLM_INIT(llm_meta);
    const lm_key *key;
    CHECK(c->n_keys == 17 && strcmp(c->keys[0].name.ptr, "t.u8") == 0 && c->keys[0].offset == 24);
    CHECK(lm_catalogue_u64(c, "t.u8", 5, 0, 255, &u, &error) == LLM_OK && u == 200);        /* scalars serve any index */
    CHECK(lm_catalogue_u64(c, "t.u16", 0, 0, 1 << 20, &u, &error) == LLM_OK && u == 60000);
    CHECK(lm_catalogue_u64(c, "t.u32", 0, 0, UINT64_MAX, &u, &error) == LLM_OK && u == 4000000000u);
    CHECK(lm_catalogue_u64(c, "t.u64", 0, 0, UINT64_MAX, &u, &error) == LLM_OK && u == UINT64_MAX);
    CHECK(lm_catalogue_u64(c, "t.i32s", 2, 0, 9, &u, &error) == LLM_OK && u == 3);
    u = 77;
    CHECK(lm_catalogue_u64(c, "t.i8", 0, 0, 9, &u, &error) == LLM_E_FORMAT && strstr(error.message, "'t.i8' is -100: expected 0 to 9") && strcmp(error.subject, "t.i8") == 0);
    CHECK(lm_catalogue_u64(c, "t.u8", 0, 1, 10, &u, &error) == LLM_E_FORMAT && strstr(error.message, "'t.u8' is 200: expected 1 to 10"));
    CHECK(lm_catalogue_u64(c, "t.f32", 0, 0, 9, &u, &error) == LLM_E_FORMAT && strstr(error.message, "type f32: expected an integer"));
    CHECK(lm_catalogue_u64(c, "t.bool", 0, 0, 9, &u, &error) == LLM_E_FORMAT && lm_catalogue_u64(c, "t.i32s", 3, 0, 9, &u, &error) == LLM_E_FORMAT);
    CHECK(lm_catalogue_u64(c, "t.strings", 0, 0, 9, &u, &error) == LLM_E_FORMAT && strstr(error.message, "array of string"));
    CHECK(lm_catalogue_u64(c, "t.absent", 0, 0, 9, &u, NULL) == LLM_E_NOT_FOUND && u == 77);
    CHECK(lm_catalogue_f64(c, "t.f32", 0, &f, &error) == LLM_OK && f == 1.5 && lm_catalogue_f64(c, "t.f64", 0, &f, &error) == LLM_OK && f == 0.1);
    CHECK(lm_catalogue_f64(c, "t.nan", 0, &f, &error) == LLM_E_FORMAT && strstr(error.message, "finite") && lm_catalogue_f64(c, "t.u8", 0, &f, &error) == LLM_E_FORMAT);
    CHECK(lm_catalogue_f64(c, "t.absent", 0, &f, NULL) == LLM_E_NOT_FOUND && f == 0.1);
    CHECK(lm_catalogue_bool(c, "t.bool", 0, &b, &error) == LLM_OK && b && lm_catalogue_bool(c, "t.bools", 0, &b, &error) == LLM_OK && !b);
    CHECK(lm_catalogue_bool(c, "t.u8", 0, &b, &error) == LLM_E_FORMAT);
    CHECK(lm_catalogue_str(c, "t.string", &s, &error) == LLM_OK && s.len == 5 && strcmp(s.ptr, "w\xc3\xb6rd") == 0);
    CHECK(lm_catalogue_str(c, "t.strings", &s, &error) == LLM_E_FORMAT && lm_catalogue_str(c, "t.absent", &s, NULL) == LLM_E_NOT_FOUND);
    CHECK((key = lm_catalogue_key(c, "t.strings", LLM_NUL)) != NULL);
    const llm_str *items = key->items;
    CHECK(key->type == LM_VALUE_ARRAY && key->item_type == LM_VALUE_STRING && key->n_items == 3 && items[1].len == 0 && items[1].ptr[0] == 0);
    CHECK(items[2].len == 3 && memcmp(items[2].ptr, "a\0\xff\0", 4) == 0);      /* values may hold any bytes */
    CHECK((key = lm_catalogue_key(c, "t.i16xx", 5)) != NULL && key->n_items == 1 && !lm_catalogue_key(c, "t.i16", 4) && !lm_catalogue_key(c, "", 0));
    lm_key_item(key, 0, &meta);
    CHECK(meta.type == LLM_META_INT && meta.integer == -30000 && meta.number == -30000);
    lm_key_item(lm_catalogue_key(c, "t.u64", LLM_NUL), 0, &meta);
    CHECK(meta.type == LLM_META_UINT && (uint64_t)meta.integer == UINT64_MAX);
    lm_key_item(lm_catalogue_key(c, "t.i64", LLM_NUL), 0, &meta);
    CHECK(meta.type == LLM_META_INT && meta.integer == INT64_MIN);
    lm_key_item(lm_catalogue_key(c, "t.bools", LLM_NUL), 1, &meta);
    CHECK(meta.type == LLM_META_BOOL && meta.integer == 1);
    lm_key_item(lm_catalogue_key(c, "t.strings", LLM_NUL), 0, &meta);
    CHECK(meta.type == LLM_META_STRING && meta.string_len == 3 && strcmp(meta.string, "one") == 0);
    lm_key_item(lm_catalogue_key(c, "t.f64", LLM_NUL), 0, &meta);
    CHECK(meta.type == LLM_META_FLOAT && meta.number == 0.1);
    CHECK(lm_catalogue_key(c, "t.none", LLM_NUL)->n_items == 0);
}

static void check_tensors(lm_catalogue *c)
{
    llm_error error;
    unsigned char rows[200];
    const lm_tensor *a = lm_catalogue_tensor(c, "a"), *b = lm_catalogue_tensor(c, "b"), *t = lm_catalogue_tensor(c, "c");
    CHECK(c->n_tensors == 3 && a == &c->tensors[0] && b && t && !lm_catalogue_tensor(c, "d"));
    CHECK(a->n_rows == 3 && a->row_bytes == 20 && a->bytes == 60 && a->ne[2] == 1 && a->ne[3] == 1);
    CHECK(b->n_rows == 8 && b->row_bytes == 18 && b->bytes == 144 && b->offset == a->offset + 64 && t->offset == a->offset + 224);
    CHECK(lm_catalogue_rows(c, a, 1, 2, rows, &error) == LLM_OK && rows[0] == (uint8_t)(20 * 7) && rows[39] == (uint8_t)(59 * 7));
    CHECK(lm_catalogue_rows(c, b, 0, 8, rows, &error) == LLM_OK && rows[143] == (uint8_t)(207 * 7));
    CHECK(lm_catalogue_rows(c, a, 3, 0, rows, &error) == LLM_OK && lm_catalogue_rows(c, a, 2, 2, rows, &error) == LLM_E_INVALID);
    CHECK(lm_catalogue_rows(c, a, 4, 0, rows, &error) == LLM_E_INVALID && lm_catalogue_rows(c, a, 1, UINT64_MAX, rows, &error) == LLM_E_INVALID);
    lm_catalogue_release(c);
    CHECK(lm_catalogue_rows(c, a, 0, 1, rows, &error) == LLM_E_STATE && strcmp(error.subject, "a") == 0);
    CHECK(strcmp(lm_catalogue_key(c, "t.string", LLM_NUL)->name.ptr, "t.string") == 0);
}

static void test_truth(void)
{
    for (uint32_t version = 2; version <= 3; version++) {
        gguf_out o = { 0 };
        lm_host host;
        llm_error error;
        lm_catalogue *c;
        test_host(&host);
        build_all_values(&o, version);
        llm_source source = gguf_buffer(&o);
        if (CHECK_MSG(gguf_open(&host, &source, &c, &error) == LLM_OK, "%s", error.message)) {
            CHECK(c->file_bytes == o.n && c->n_sources == 1);
            check_values(c);
            check_tensors(c);
        }
        lm_catalogue_free(c);
        /* cut anywhere, it is refused, and says so */
        for (size_t n = 0; n < o.n; n++) {
            source.data_len = n;
            unsigned char *exact = malloc(n + 1);           /* so that a sanitizer sees a read beyond the end */
            memcpy(exact, o.bytes, n);
            source.data = exact;
            llm_status status = gguf_open(&host, &source, &c, &error);
            CHECK_MSG(status == LLM_E_FORMAT, "%zu bytes: status %d", n, status);
            CHECK_MSG(strstr(error.message, "truncated") || strstr(error.message, "left in the file") || strstr(error.message, "beyond the end") || strstr(error.message, "empty"),
                      "%zu bytes: %s", n, error.message);
            free(exact);
        }
        CHECK(host.mem.used == 0);
        gguf_out_free(&o);
    }
}

/* ---- the lies */

typedef struct lie_info { const char *name; size_t name_len; uint32_t n_dims; uint64_t ne[5]; uint32_t type; uint64_t offset; } lie_info;

typedef struct lie {                    /* what the file says; the defaults are true */
    const char *magic;
    uint32_t version;
    uint64_t n_tensors, n_keys;
    void (*key)(gguf_out *o);           /* one key more */
    size_t align, data_bytes;
    lie_info infos[3];
} lie;

static void build_lie(gguf_out *o, const lie *l)
{
    put_bytes(o, l->magic, 4);
    put_u32(o, l->version);
    put_u64(o, l->n_tensors);
    put_u64(o, l->n_keys);
    put_key_string(o, "general.architecture", "test");
    if (l->key)
        l->key(o);
    for (int i = 0; i < 3; i++) {
        const lie_info *t = &l->infos[i];
        put_text(o, t->name, t->name_len);
        put_u32(o, t->n_dims);
        put_bytes(o, t->ne, (t->n_dims < 5 ? t->n_dims : 5) * sizeof t->ne[0]);
        put_u32(o, t->type);
        put_u64(o, t->offset);
    }
    put_padding(o, l->align);
    put_data(o, l->data_bytes);
}

static const lie lie_none = { "GGUF", 3, 3, 1, NULL, 32, 192, { { "one", 3, 1, { 16 }, LM_TYPE_F32, 0 }, { "two", 3, 2, { 8, 2 }, LM_TYPE_F32, 64 }, { "three", 5, 1, { 16 }, LM_TYPE_F32, 128 } } };

#define KEY(name) static void name(gguf_out *o)
KEY(key_align_64) { put_key_u32(o, "general.alignment", 64); }
KEY(key_align_0) { put_key_u32(o, "general.alignment", 0); }
KEY(key_align_4) { put_key_u32(o, "general.alignment", 4); }
KEY(key_align_48) { put_key_u32(o, "general.alignment", 48); }
KEY(key_align_128k) { put_key_u32(o, "general.alignment", 131072); }
KEY(key_align_u64) { put_key(o, "general.alignment", LM_VALUE_U64), put_u64(o, 32); }
KEY(key_twice) { put_key_string(o, "general.architecture", "other"); }
KEY(key_empty) { put_key_u32(o, "", 0); }
KEY(key_nul) { put_text(o, "x\0y", 3), put_u32(o, LM_VALUE_U8), put_u8(o, 0); }
KEY(key_utf8) { put_key_u32(o, "x\xed\xa0\x80", 0); }
KEY(key_type_13) { put_key(o, "x", 13), put_u64(o, 0); }
KEY(key_type_minus) { put_key(o, "x", UINT32_MAX), put_u64(o, 0); }
KEY(key_array_type) { put_key_array(o, "x", 13, 0); }
KEY(key_nested) { put_key_array(o, "x", LM_VALUE_ARRAY, 1), put_u32(o, LM_VALUE_U8), put_u64(o, 0); }
KEY(key_bool_2) { put_key(o, "x", LM_VALUE_BOOL), put_u8(o, 2); }
KEY(key_bools_2) { put_key_array(o, "x", LM_VALUE_BOOL, 3), put_u8(o, 1), put_u8(o, 0), put_u8(o, 255); }
KEY(key_array_wrap) { put_key_array(o, "x", LM_VALUE_U64, (1ull << 61) + 1), put_u64(o, 0); }
KEY(key_array_long) { put_key_array(o, "x", LM_VALUE_U8, 4000); }
KEY(key_strings_wrap) { put_key_array(o, "x", LM_VALUE_STRING, UINT64_MAX / 8 + 2), put_string(o, ""); }
KEY(key_strings_long) { put_key_array(o, "x", LM_VALUE_STRING, 3), put_string(o, "a"), put_u64(o, 1ull << 40); }
KEY(key_string_wrap) { put_key(o, "x", LM_VALUE_STRING), put_u64(o, UINT64_MAX); }
KEY(key_name_wrap) { put_u64(o, UINT64_MAX - 7); }
KEY(key_name_long)
{
    char name[66000];
    memset(name, 'n', sizeof name);
    put_text(o, name, sizeof name), put_u32(o, LM_VALUE_U8), put_u8(o, 0);
}
#undef KEY

typedef struct lie_case { const char *what; llm_status status; const char *message, *subject; void (*twist)(lie *l); void (*key)(gguf_out *o); } lie_case;

#define TWIST(name, change) static void name(lie *l) { change; }
TWIST(no_twist, (void)l)
TWIST(magic, l->magic = "GGUX")
TWIST(magic_ggml, l->magic = "lmgg")
TWIST(version_0, l->version = 0)
TWIST(version_1, l->version = 1)
TWIST(version_4, l->version = 4)
TWIST(version_be, l->version = 0x03000000)
TWIST(tensors_minus, l->n_tensors = UINT64_MAX)
TWIST(tensors_many, l->n_tensors = 1000)
TWIST(keys_minus, l->n_keys = UINT64_MAX)
TWIST(keys_many, l->n_keys = 1000)
TWIST(name_empty, l->infos[1].name_len = 0)
TWIST(name_long, (l->infos[1].name = "0123456789012345678901234567890123456789012345678901234567890123", l->infos[1].name_len = 64))
TWIST(name_nul, (l->infos[1].name = "t\0o"))
TWIST(name_utf8, (l->infos[1].name = "t\xffo"))
TWIST(name_twice, (l->infos[1].name = "one"))
TWIST(dims_0, l->infos[1].n_dims = 0)
TWIST(dims_5, l->infos[1].n_dims = 5)
TWIST(dims_many, l->infos[1].n_dims = UINT32_MAX)
TWIST(ne_0, l->infos[1].ne[1] = 0)
TWIST(ne_minus, l->infos[1].ne[1] = UINT64_MAX)
TWIST(ne_wrap, (l->infos[1].ne[0] = 1ull << 32, l->infos[1].ne[1] = 1ull << 32))
TWIST(bytes_wrap, (l->infos[1].ne[0] = 1ull << 31, l->infos[1].ne[1] = 1ull << 31))
TWIST(type_removed, l->infos[1].type = 5)
TWIST(type_removed_36, l->infos[1].type = 36)
TWIST(type_unknown, l->infos[1].type = 97)
TWIST(type_block, l->infos[1].type = LM_TYPE_Q4_0)
TWIST(offset_odd, l->infos[1].offset = 65)
TWIST(offset_far, l->infos[2].offset = 1 << 20)
TWIST(offset_wrap, l->infos[2].offset = UINT64_MAX - 31)
TWIST(offset_overlap, l->infos[1].offset = 32)
TWIST(offset_same, l->infos[1].offset = 0)
TWIST(offset_gap, (l->infos[2].offset = 160, l->data_bytes = 300))
TWIST(offset_swap, (l->infos[1].offset = 128, l->infos[2].offset = 64))
TWIST(data_short, l->data_bytes = 191)
TWIST(align_64_data, l->align = 64)
#undef TWIST

static const lie_case lie_cases[] = {
    { "magic", LLM_E_FORMAT, "not a GGUF file", "", magic, NULL },
    { "ggml magic", LLM_E_UNSUPPORTED, "an old GGML file", "", magic_ggml, NULL },
    { "version 0", LLM_E_FORMAT, "version 0", "", version_0, NULL },
    { "version 1", LLM_E_UNSUPPORTED, "version 1", "", version_1, NULL },
    { "version 4", LLM_E_UNSUPPORTED, "version 4", "", version_4, NULL },
    { "big-endian", LLM_E_UNSUPPORTED, "big-endian", "", version_be, NULL },
    { "tensor_count -1", LLM_E_FORMAT, "tensor_count is 18446744073709551615", "", tensors_minus, NULL },
    { "tensor_count", LLM_E_FORMAT, "tensor_count is 1000", "", tensors_many, NULL },
    { "metadata_kv_count -1", LLM_E_FORMAT, "metadata_kv_count is 18446744073709551615", "", keys_minus, NULL },
    { "metadata_kv_count", LLM_E_FORMAT, "metadata_kv_count is 1000", "", keys_many, NULL },
    { "key twice", LLM_E_FORMAT, "duplicate", "general.architecture", no_twist, key_twice },
    { "key empty", LLM_E_FORMAT, "a key is empty", "", no_twist, key_empty },
    { "key with NUL", LLM_E_FORMAT, "NUL", "", no_twist, key_nul },
    { "key no UTF-8", LLM_E_FORMAT, "not valid UTF-8", "", no_twist, key_utf8 },
    { "key's length wraps", LLM_E_FORMAT, "a key says it has 18446744073709551608 bytes", "", no_twist, key_name_wrap },
    { "key too long", LLM_E_FORMAT, "at most 65535", "", no_twist, key_name_long },
    { "value type 13", LLM_E_FORMAT, "type is 13", "x", no_twist, key_type_13 },
    { "value type -1", LLM_E_FORMAT, "type is 4294967295", "x", no_twist, key_type_minus },
    { "item type 13", LLM_E_FORMAT, "item type is 13", "x", no_twist, key_array_type },
    { "nested array", LLM_E_FORMAT, "array of arrays", "x", no_twist, key_nested },
    { "bool 2", LLM_E_FORMAT, "a bool is 2", "x", no_twist, key_bool_2 },
    { "bool 255 in an array", LLM_E_FORMAT, "a bool is 255", "x", no_twist, key_bools_2 },
    { "array wraps", LLM_E_FORMAT, "2305843009213693953 items", "x", no_twist, key_array_wrap },
    { "array too long", LLM_E_FORMAT, "4000 items", "x", no_twist, key_array_long },
    { "string array wraps", LLM_E_FORMAT, "items of at least 8 bytes", "x", no_twist, key_strings_wrap },
    { "item too long", LLM_E_FORMAT, "an item of a string array says it has 1099511627776 bytes", "x", no_twist, key_strings_long },
    { "string wraps", LLM_E_FORMAT, "a string says it has 18446744073709551615 bytes", "x", no_twist, key_string_wrap },
    { "alignment 0", LLM_E_FORMAT, "it is 0: expected a power of two", "general.alignment", no_twist, key_align_0 },
    { "alignment 4", LLM_E_FORMAT, "it is 4: expected a power of two", "general.alignment", no_twist, key_align_4 },
    { "alignment 48", LLM_E_FORMAT, "it is 48: expected a power of two", "general.alignment", no_twist, key_align_48 },
    { "alignment 131072", LLM_E_FORMAT, "it is 131072: expected a power of two", "general.alignment", no_twist, key_align_128k },
    { "alignment of 64 bits", LLM_E_FORMAT, "its type is 10", "general.alignment", no_twist, key_align_u64 },
    { "name empty", LLM_E_FORMAT, "name is empty", "", name_empty, NULL },
    { "name of 64 bytes", LLM_E_FORMAT, "64 bytes: at most 63", "", name_long, NULL },
    { "name with NUL", LLM_E_FORMAT, "NUL", "", name_nul, NULL },
    { "name no UTF-8", LLM_E_FORMAT, "not valid UTF-8", "", name_utf8, NULL },
    { "name twice", LLM_E_FORMAT, "duplicate", "one", name_twice, NULL },
    { "0 dimensions", LLM_E_FORMAT, "0 dimensions", "two", dims_0, NULL },
    { "5 dimensions", LLM_E_FORMAT, "5 dimensions", "two", dims_5, NULL },
    { "2^32 - 1 dimensions", LLM_E_FORMAT, "4294967295 dimensions", "two", dims_many, NULL },
    { "dimension 0", LLM_E_FORMAT, "dimension 1 is 0", "two", ne_0, NULL },
    { "dimension -1", LLM_E_FORMAT, "dimension 1 is -1", "two", ne_minus, NULL },
    { "product wraps", LLM_E_FORMAT, "63 bits", "two", ne_wrap, NULL },
    { "bytes wrap", LLM_E_FORMAT, "size in bytes", "two", bytes_wrap, NULL },
    { "removed type", LLM_E_FORMAT, "type 5 was removed", "two", type_removed, NULL },
    { "removed type", LLM_E_FORMAT, "type 36 was removed", "two", type_removed_36, NULL },
    { "unknown type", LLM_E_UNSUPPORTED, "type 97 is unknown", "two", type_unknown, NULL },
    { "half a block", LLM_E_FORMAT, "no multiple of 32, the block of type Q4_0", "two", type_block, NULL },
    { "odd offset", LLM_E_FORMAT, "no multiple of the alignment 32", "two", offset_odd, NULL },
    { "far offset", LLM_E_FORMAT, "beyond the end", "three", offset_far, NULL },
    { "offset wraps", LLM_E_FORMAT, "beyond the end", "three", offset_wrap, NULL },
    { "overlap", LLM_E_FORMAT, "overlaps", "two", offset_overlap, NULL },
    { "same place", LLM_E_FORMAT, "overlaps", "two", offset_same, NULL },
    { "gap", LLM_E_FORMAT, "gap", "three", offset_gap, NULL },
    { "other order", LLM_E_FORMAT, "gap", "two", offset_swap, NULL },
    { "data cut", LLM_E_FORMAT, "beyond the end", "three", data_short, NULL },
};

static void test_lies(void)
{
    lm_host host;
    llm_error error;
    lm_catalogue *c;
    test_host(&host);
    for (size_t i = 0; i < LM_COUNT(lie_cases) + 2; i++) {
        const lie_case *k = i < LM_COUNT(lie_cases) ? &lie_cases[i] : NULL;
        gguf_out o = { 0 };
        lie l = lie_none;
        if (k)
            k->twist(&l);
        if (i == LM_COUNT(lie_cases))                       /* two truths among them */
            align_64_data(&l);
        l.key = k ? k->key : i == LM_COUNT(lie_cases) ? key_align_64 : NULL;
        l.n_keys += l.key != NULL;
        build_lie(&o, &l);
        llm_source source = gguf_buffer(&o);
        llm_status status = gguf_open(&host, &source, &c, &error);
        if (!k) {
            CHECK_MSG(status == LLM_OK, "%s", error.message);
        } else {
            CHECK_MSG(status == k->status, "%s: %d %s", k->what, status, error.message);
            CHECK_MSG(strstr(error.message, k->message), "%s: '%s' should say '%s'", k->what, error.message, k->message);
            CHECK_MSG(strcmp(error.subject, k->subject) == 0, "%s: about '%s'", k->what, error.subject);
        }
        lm_catalogue_free(c);
        CHECK(host.mem.used == 0);
        CHECK_MSG(host.mem.peak < 16 * o.n + 300000, "%s: %llu bytes for a file of %zu", k ? k->what : "", (unsigned long long)host.mem.peak, o.n);
        gguf_out_free(&o);
    }
}

/* Any one byte of a header changed: a status or a catalogue, no crash, no leak. */
static void test_flips(void)
{
    gguf_out o = { 0 };
    lm_host host;
    llm_error error;
    lm_catalogue *c;
    size_t opened = 0;
    test_host(&host);
    host.mem.limit = 1 << 22;
    build_all_values(&o, 3);
    for (size_t i = 0; i < o.n; i++)
        for (int k = 0; k < 10; k++) {
            static const unsigned char values[] = { 0, 1, 0x7f, 0x80, 0xff };
            unsigned char was = o.bytes[i];
            o.bytes[i] = k < 5 ? values[k] : (unsigned char)(was ^ (1 << (k - 4)));
            llm_source source = gguf_buffer(&o);
            opened += gguf_open(&host, &source, &c, &error) == LLM_OK;
            lm_catalogue_free(c);
            o.bytes[i] = was;
        }
    CHECK(opened > 100 && host.mem.used == 0);
    gguf_out_free(&o);
}

/* ---- size and growth */

enum { TIMES = 16, TRIES = 6, MOST_GROWTH = 6 * TIMES };

/* Nanoseconds that opening the file took; the catalogue stays open. */
static int64_t time_open(lm_host *host, gguf_out *o, lm_catalogue **c)
{
    llm_error error;
    llm_source source = gguf_buffer(o);
    clock_t begin = clock();                                /* of the processor: a machine that stands still does not count */
    CHECK(gguf_open(host, &source, c, &error) == LLM_OK);
    return ((int64_t)clock() - begin) * (1000000000 / CLOCKS_PER_SEC) + 1;
}

/* `tokens` tokens, and merges in the proportion that a current model has. */
static void put_vocabulary(gguf_out *o, int tokens)
{
    int merges = tokens * 35 / 16;
    char text[64];
    put_head(o, 3, 0, 4);
    put_key_array(o, "tokenizer.ggml.tokens", LM_VALUE_STRING, (uint64_t)tokens);
    for (int i = 0; i < tokens; i++)
        snprintf(text, sizeof text, "tok%x", i * 77), put_string(o, text);
    put_key_array(o, "tokenizer.ggml.token_type", LM_VALUE_I32, (uint64_t)tokens);
    for (int i = 0; i < tokens; i++)
        put_u32(o, 1);
    put_key_array(o, "tokenizer.ggml.merges", LM_VALUE_STRING, (uint64_t)merges);
    for (int i = 0; i < merges; i++)
        snprintf(text, sizeof text, "le%x ri%x", i, i * 3), put_string(o, text);
    put_key_string(o, "general.architecture", "llama");
}

/* What a hostile file could ask of a hash table or a sort. */
static void put_names(gguf_out *o, int names)
{
    char text[64];
    put_head(o, 3, 0, (uint64_t)names);
    for (int i = 0; i < names; i++)
        snprintf(text, sizeof text, "the.same.beginning.of.every.name.%07d", (int)((unsigned)i * 7919u % (unsigned)names)), put_key(o, text, LM_VALUE_U8), put_u8(o, 1);
}

/* n log n: a file of sixteen times as many may take a few times sixteen times as long, never 256; the least of several tries counts, so that a
 * busy or emulated machine does not. */
static void check_growth(lm_host *host, const char *what, void (*put)(gguf_out *, int), int n)
{
    gguf_out small = { 0 }, large = { 0 };
    int64_t least[2] = { INT64_MAX, INT64_MAX };
    lm_catalogue *c;
    put(&small, n / TIMES), put(&large, n);
    for (int i = 0; i < TRIES && (i == 0 || least[1] > MOST_GROWTH * least[0]); i++)
        for (int k = 0; k < 2; k++) {
            int64_t took = time_open(host, k ? &large : &small, &c);
            least[k] = took < least[k] ? took : least[k];
            lm_catalogue_free(c);
        }
    fprintf(stderr, "%s: %.2f ms, %d times as many %.2f ms\n", what, (double)least[0] / 1e6, TIMES, (double)least[1] / 1e6);
    CHECK_MSG(least[1] <= MOST_GROWTH * least[0], "%s: %.2f ms, %d times as many %.2f ms", what, (double)least[0] / 1e6, TIMES, (double)least[1] / 1e6);
    gguf_out_free(&small), gguf_out_free(&large);
}

static void test_big(void)
{
    enum { TOKENS = 128000, NAMES = 50000 };
    gguf_out o = { 0 };
    lm_host host;
    lm_catalogue *c;
    char text[64];
    test_host(&host);
    put_vocabulary(&o, TOKENS);
    time_open(&host, &o, &c);
    const lm_key *merges = lm_catalogue_key(c, "tokenizer.ggml.merges", LLM_NUL);
    if (CHECK(merges && merges->n_items == TOKENS * 35 / 16)) {
        snprintf(text, sizeof text, "le%x ri%x", (int)merges->n_items - 1, (int)(merges->n_items - 1) * 3);
        CHECK(strcmp(((const llm_str *)merges->items)[merges->n_items - 1].ptr, text) == 0);
    }
    fprintf(stderr, "vocabulary of %zu bytes: %.2f bytes of memory for each\n", o.n, (double)host.mem.used / (double)o.n);
    CHECK((double)host.mem.used < 1.9 * (double)o.n);
    lm_catalogue_free(c);
    gguf_out_free(&o);

    put_names(&o, NAMES);
    time_open(&host, &o, &c);
    CHECK(lm_catalogue_key(c, "the.same.beginning.of.every.name.0012345", LLM_NUL) && !lm_catalogue_key(c, "the.same.beginning.of.every.name.0200000", LLM_NUL));
    lm_catalogue_free(c);
    gguf_out_free(&o);

    check_growth(&host, "tokens", put_vocabulary, TOKENS);
    check_growth(&host, "names", put_names, NAMES);
    CHECK(host.mem.used == 0);
}

int main(int argc, char **argv)
{
    (void)argv;
    test_truth();
    test_lies();
    test_flips();
    if (argc == 1)                                          /* with an argument: without what takes long */
        test_big();
    return TEST_DONE();
}

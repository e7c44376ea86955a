/* SPDX-License-Identifier: MIT
 * The malformed files of the shared test data: a lie in the container is refused here, by its name; one in the vocabulary, the
 * hyper-parameters or the template is none of this floor's business and parses. Files that no line below knows fail the test. */
#include "gguf_build.h"

#if !defined(_WIN32)
#include <dirent.h>
#endif

static const struct { const char *file; llm_status status; const char *message, *subject; } hostile[] = {
    { "align_0x0.gguf", LLM_E_FORMAT, "it is 0: expected a power of two", "general.alignment" },
    { "align_0x1.gguf", LLM_E_FORMAT, "it is 1: expected a power of two", "general.alignment" },
    { "align_0x80000000.gguf", LLM_E_FORMAT, "it is 2147483648: expected a power of two", "general.alignment" },
    { "align_0xffffffff.gguf", LLM_E_FORMAT, "it is 4294967295: expected a power of two", "general.alignment" },
    { "arr_len_wrap4.gguf", LLM_E_FORMAT, "an array says it has 4611686018427387905 items", "x" },
    { "arr_len_wrap8.gguf", LLM_E_FORMAT, "an array says it has 2305843009213693953 items", "x" },
    { "arr_of_arr.gguf", LLM_E_FORMAT, "array of arrays", "x" },
    { "dim_4d_wrap.gguf", LLM_E_FORMAT, "multiply to more values than 63 bits", "token_embd.weight" },
    { "dim_i64max_x2.gguf", LLM_E_FORMAT, "multiply to more values than 63 bits", "token_embd.weight" },
    { "dim_prod_wrap0.gguf", LLM_E_FORMAT, "multiply to more values than 63 bits", "token_embd.weight" },
    { "empty.gguf", LLM_E_FORMAT, "the file is empty", "" },
    { "key_bad_utf8.gguf", LLM_E_FORMAT, "not valid UTF-8", "" },
    { "key_dup.gguf", LLM_E_FORMAT, "duplicate", "general.architecture" },
    { "key_len_max.gguf", LLM_E_FORMAT, "a key says it has 18446744073709551615 bytes", "" },
    { "key_nul.gguf", LLM_E_FORMAT, "holds a NUL byte", "" },
    { "ndims_0.gguf", LLM_E_FORMAT, "it has 0 dimensions", "token_embd.weight" },
    { "ndims_5.gguf", LLM_E_FORMAT, "it has 5 dimensions", "token_embd.weight" },
    { "nkv_1M.gguf", LLM_E_FORMAT, "metadata_kv_count is 1000000", "" },
    { "nkv_max.gguf", LLM_E_FORMAT, "metadata_kv_count is 18446744073709551615", "" },
    { "ntensors_wrap.gguf", LLM_E_FORMAT, "tensor_count is 50127021939428130", "" },
    { "toff_beyond.gguf", LLM_E_FORMAT, "lie beyond the end of the file", "token_embd.weight" },
    { "toff_max.gguf", LLM_E_FORMAT, "data offset 18446744073709551615", "token_embd.weight" },
    { "trunc_8.gguf", LLM_E_FORMAT, "truncated", "" },
    { "trunc_23.gguf", LLM_E_FORMAT, "truncated", "" },
    { "trunc_24.gguf", LLM_E_FORMAT, "truncated", "" },
    { "trunc_100.gguf", LLM_E_FORMAT, "truncated", "" },
    { "ttype_q4k_bad_block.gguf", LLM_E_FORMAT, "no multiple of 256, the block of type Q4_K", "token_embd.weight" },
    { "ttype_removed_q4_2.gguf", LLM_E_FORMAT, "type 4 was removed", "token_embd.weight" },
    { "type_neg.gguf", LLM_E_FORMAT, "the value's type is 4294967295", "x" },
    { "version_0x4.gguf", LLM_E_UNSUPPORTED, "GGUF version 4", "" },
    /* containers without a lie */
    { "arch_wrong_type.gguf", LLM_OK, NULL, NULL },          { "no_arch.gguf", LLM_OK, NULL, NULL },
    { "hp_block_count_0x0.gguf", LLM_OK, NULL, NULL },       { "hp_context_length_0xffffffff.gguf", LLM_OK, NULL, NULL },
    { "hp_embedding_length_0x80000000.gguf", LLM_OK, NULL, NULL }, { "hp_head_count_0x0.gguf", LLM_OK, NULL, NULL },
    { "hp_head_count_0x3.gguf", LLM_OK, NULL, NULL },        { "hp_head_count_0xffffffff.gguf", LLM_OK, NULL, NULL },
    { "hp_head_count_kv_0x8.gguf", LLM_OK, NULL, NULL },     { "ok_minimal.gguf", LLM_OK, NULL, NULL },
    { "tmpl_bad_utf8.gguf", LLM_OK, NULL, NULL },            { "tmpl_deep.gguf", LLM_OK, NULL, NULL },
    { "tmpl_huge_int.gguf", LLM_OK, NULL, NULL },            { "tmpl_if_deep.gguf", LLM_OK, NULL, NULL },
    { "tmpl_list_bomb.gguf", LLM_OK, NULL, NULL },           { "tmpl_loop.gguf", LLM_OK, NULL, NULL },
    { "tmpl_nul.gguf", LLM_OK, NULL, NULL },                 { "tmpl_range_neg.gguf", LLM_OK, NULL, NULL },
    { "tmpl_recursion.gguf", LLM_OK, NULL, NULL },           { "tmpl_ssti.gguf", LLM_OK, NULL, NULL },
    { "vocab_bad_utf8.gguf", LLM_OK, NULL, NULL },           { "vocab_empty.gguf", LLM_OK, NULL, NULL },
    { "vocab_empty_token.gguf", LLM_OK, NULL, NULL },        { "vocab_long_token.gguf", LLM_OK, NULL, NULL },
    { "vocab_nan_scores.gguf", LLM_OK, NULL, NULL },         { "vocab_tokens_i32.gguf", LLM_OK, NULL, NULL },
    { "vocab_types_u8.gguf", LLM_OK, NULL, NULL },
};

static void check_file(size_t i)
{
    char path[1024];
    lm_host host;
    llm_error error;
    lm_catalogue *c;
    llm_source source = LLM_INIT(llm_source);
    test_host(&host);
    snprintf(path, sizeof path, "%s/hostile/%s", LLM_TEST_DATA, hostile[i].file);
    source.path = path;
    source.path_len = LLM_NUL;
    llm_status status = gguf_open(&host, &source, &c, &error);
    CHECK_MSG(status == hostile[i].status, "%s: %d %s", hostile[i].file, status, status < 0 ? error.message : "");
    if (status < 0 && hostile[i].message) {
        CHECK_MSG(strstr(error.message, hostile[i].message), "%s: '%s'", hostile[i].file, error.message);
        CHECK_MSG(strcmp(error.subject, hostile[i].subject) == 0, "%s: about '%s'", hostile[i].file, error.subject);
        CHECK_MSG(strstr(error.message, hostile[i].file), "%s: '%s'", hostile[i].file, error.message);
    }
    if (status == LLM_OK) {
        llm_str arch;
        bool absent = strcmp(hostile[i].file, "no_arch.gguf") == 0, wrong = strcmp(hostile[i].file, "arch_wrong_type.gguf") == 0;
        llm_status got = lm_catalogue_str(c, "general.architecture", &arch, &error);
        CHECK(got == (absent ? LLM_E_NOT_FOUND : wrong ? LLM_E_FORMAT : LLM_OK));
        CHECK(!wrong || strstr(error.message, "'general.architecture' has the type u32: expected a string"));
    }
    CHECK_MSG(host.mem.peak < 1 << 20, "%s: %llu bytes", hostile[i].file, (unsigned long long)host.mem.peak);
    lm_catalogue_free(c);
    CHECK(host.mem.used == 0);
}

#if !defined(_WIN32)
static void check_all_known(void)
{
    DIR *dir = opendir(LLM_TEST_DATA "/hostile");
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        size_t len = strlen(entry->d_name), found = 0;
        if (len < 5 || strcmp(entry->d_name + len - 5, ".gguf") != 0)
            continue;
        for (size_t i = 0; i < LM_COUNT(hostile); i++)
            found += strcmp(hostile[i].file, entry->d_name) == 0;
        CHECK_MSG(found == 1, "no line for %s", entry->d_name);
    }
    if (dir)
        closedir(dir);
}
#else
static void check_all_known(void) {}
#endif

int main(void)
{
    size_t size;
    char *index = test_read_file(LLM_TEST_DATA "/hostile/INDEX.json", &size);
    if (!index)
        return TEST_SKIP("no folder %s/hostile", LLM_TEST_DATA);
    free(index);
    for (size_t i = 0; i < LM_COUNT(hostile); i++)
        check_file(i);
    check_all_known();
    return TEST_DONE();
}

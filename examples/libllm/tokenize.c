/* SPDX-License-Identifier: MIT
 * libllm tokenize: a text as the model sees it. Loads the vocabulary alone. */
#include "json.h"
#include "tool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void tokenize_print(const tool_args *args, const llm_tokenizer *tokenizer, const llm_token *tokens, size_t n)
{
    json j = { stdout, 0, true };

    if (args->json)
        json_open(&j, NULL, '[');
    else if (args->ids)
        putchar('[');
    for (size_t i = 0; i < n; i++) {
        llm_token_info t = LLM_INIT(llm_token_info);
        const char *bytes = "";
        size_t len = 0;
        if (llm_tokenizer_token(tokenizer, tokens[i], &t, NULL) == LLM_OK && t.bytes) {
            bytes = t.bytes;
            len = t.n_bytes;
        }
        if (args->json) {
            json_open(&j, NULL, '{');
            json_int(&j, "id", tokens[i]);
            json_string(&j, "text", bytes, len);
            json_close(&j, '}');
        } else if (args->ids) {
            printf("%s%d", i ? ", " : "", tokens[i]);
        } else {
            printf("%7d  \"", tokens[i]);
            json_print_safe(stdout, bytes, len);
            puts("\"");
        }
    }
    if (args->json)
        json_close(&j, ']');
    else if (args->ids)
        puts("]");
    if (args->count && !args->json)
        printf("%zu tokens\n", n);
}

int tokenize_main(const tool_args *args)
{
    tool_model opened;
    const llm_tokenizer *tokenizer;
    llm_error error;
    uint32_t flags = (args->no_bos ? 0 : LLM_ENCODE_ADD_SPECIAL) | (args->no_parse_special ? 0 : LLM_ENCODE_PARSE_SPECIAL);
    size_t len = args->prompt ? strlen(args->prompt) : 0, n = 0;
    char *from_file = args->prompt ? NULL : tool_read_file(args->prompt_file, &len);
    const char *text = args->prompt ? args->prompt : from_file;
    llm_token *tokens = NULL;
    int code;

    if (!text) {
        fprintf(stderr, "libllm tokenize: cannot read %s: %s\n", args->prompt_file ? args->prompt_file : "standard input", strerror(errno));
        return TOOL_FAILED;
    }
    code = tool_open(args, 1, LLM_MODEL_VOCAB_ONLY, &opened);
    tokenizer = code == TOOL_OK ? llm_model_tokenizer(opened.model) : NULL;
    if (code == TOOL_OK && !tokenizer) {
        fprintf(stderr, "libllm tokenize: this file has no tokenizer\n");
        code = TOOL_FAILED;
    } else if (code == TOOL_OK && !(tokens = malloc((len + 2) * sizeof *tokens))) {
        fprintf(stderr, "libllm tokenize: no memory for the tokens of %zu bytes\n", len);
        code = TOOL_FAILED;
    } else if (code == TOOL_OK && llm_tokenizer_encode(tokenizer, text, len, flags, tokens, len + 2, &n, &error) != LLM_OK) {
        code = tool_fail(args, "cannot encode the text", &error);
    } else if (code == TOOL_OK) {
        tokenize_print(args, tokenizer, tokens, n);
    }
    tool_close(&opened);
    free(tokens);
    free(from_file);
    return code;
}

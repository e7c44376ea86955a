/* SPDX-License-Identifier: MIT
 * A chat template, which is a program: made, tried out, and run over messages; the bytes after a NUL are the text of a message. What it writes must be UTF-8, the same
 * twice, and what a user says must stay text. Byte 0: which messages, tools, variables. */
#include "fuzz.h"
#include "models.h"

#include "base/utf8.h"

#include <stdlib.h>

void fuzz_seeds(void (*put)(const char *name, const void *data, size_t size))
{
    static const char *const texts[] = {
        "{% for m in messages %}<|c|>{{ m.role }}:{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|c|>assistant:{% endif %}",
        "{{ bos_token }}{%- if messages[0]['role'] == 'system' -%}{% set system = messages[0]['content'] | trim %}{% set messages = messages[1:] %}{%- endif -%}{% for m in messages %}"
        "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}[{{ m.content | upper ~ loop.length }}]{% endfor %}",
        "{% macro f(a, b='z', *c, **d) %}[{{ a }}{{ b }}{{ caller() if caller else '' }}]{% endmacro %}{{ f(1) }}{% call f(2) %}x{% endcall %}{% filter upper %}a{% endfilter %}",
        "{% set ns = namespace(x=1, l=[]) %}{% for i in range(3) if i != 1 %}{% set ns.x = ns.x + i %}{% if loop.first %}{% continue %}{% endif %}{% break %}{% else %}none{% endfor %}{{ ns.x }}",
        "{{ [1,'a',none,true,1.5,{'k':'v'}] | tojson(indent=2) }}{{ {'b':1,'a':2} | dictsort }}{{ tools | tojson if tools }}{{ 'abc'[::-1] }}{{ (1,2)+(3,) }}{{ 7//2 }}{{ -7 % 3 }}{{ 2**8 }}",
        "{{ messages | map(attribute='role') | join(',') }}{{ messages | selectattr('role', 'equalto', 'user') | list | length }}{{ 'a-b'.split('-') }}{{ '%s %d' | format('x', 3) }}"
        "{{ 'abc' | replace('b', 'x') | title }}{{ [3,1,2] | sort(reverse=true) | first }}{{ strftime_now('%Y-%m-%d') }}",
        "{% raw %}{{ x }}{% endraw %}{# c #}{%- set t %}a{{ 1 }}b{% endset -%}{{ t | length }}{% if x is defined and x is not none or false %}a{% elif 1 in [1] %}b{% else %}c{% endif %}",
        "{%- for k, v in {'a': 1, 'b': [2]}.items() %}{{ k }}={{ v }}{{ ', ' if not loop.last }}{% endfor %}{{ {'a':1}.get('b', 'd') }}{{ 'x'.join(['a','b']) }}{{ ' a '.strip() }}",
        "{% generation %}{{ messages[-1].content }}{% endgeneration %}{{ messages[0].tool_calls[0].function.arguments | tojson }}{{ enable_thinking }}{{ 'a' if x else 'b' }}{{ 1 < 2 < 3 }}",
        "{{ '<think>' in messages[-1].content }}{% set a, b = 1, 2 %}{{ a ~ b }}{{ cycler('a','b').next() }}{{ joiner(',')() }}{{ 'a\\nb' | indent(2, true) }}{{ 1e308 * 10 }}{{ 5 | string | int | float }}",
        "{{ range(1000000000) }}", "{{ 'x' * 10 ** 9 }}", "{% set s = 'ab' %}{% for i in range(40) %}{% set s = s ~ s %}{% endfor %}", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{9|9|{", "{% for a in range(9999) %}{% for b in range(9999) %}{{ a }}{% endfor %}{% endfor %}", "{{ ((((((((1)))))))) }}", "{% if 1 %}{% if 2 %}{% endif %}", "{{ messages.__class__.__mro__ }}"
    };
    char name[16] = "t00";
    uint8_t data[1024];
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t len = strlen(texts[i]);
        data[0] = (uint8_t)(i * 11);
        memcpy(data + 1, texts[i], len);
        memcpy(data + 1 + len, "\0<|c|>hi", 8);
        name[1] = (char)('0' + i / 10);
        name[2] = (char)('0' + i % 10);
        put(name, data, len + 9);
    }
}

static llm_status template_add(llm_chat *chat, uint32_t which, llm_str said, llm_error *error)
{
    llm_status status = LLM_OK;
    if (which & 1)
        status = llm_chat_add(chat, "system", LLM_NUL, "Be brief.", LLM_NUL, error);
    if (status == LLM_OK)
        status = fuzz_status(llm_chat_add(chat, "user", LLM_NUL, said.ptr, said.len, error), error);
    if (status == LLM_OK && which & 2)
        status = llm_chat_add_json(chat, "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":{\"x\":[1,null]}}}]}", LLM_NUL, error);
    if (status == LLM_OK && which & 2)
        status = llm_chat_add(chat, "tool", LLM_NUL, "{\"y\": 2}", LLM_NUL, error);
    if (status == LLM_OK && which & 4)
        status = llm_chat_add(chat, "assistant", LLM_NUL, "<think>hm</think>\xc3\xa9 yes", LLM_NUL, error);
    if (status == LLM_OK && which & 4)
        status = llm_chat_add(chat, "user", LLM_NUL, "more", LLM_NUL, error);
    return status;
}

static void template_render(llm_chat *chat, uint32_t flags)
{
    static char text[2][4096];
    llm_token tokens[512];
    llm_error error;
    size_t n = 0, again = 0, n_tokens = 0;
    llm_status status = fuzz_status(llm_chat_render(chat, flags, text[0], sizeof text[0], &n, &error), &error);
    if (status != LLM_OK)
        return;
    FUZZ_CHECK(n < sizeof text[0] && text[0][n] == 0 && lm_utf8_valid(text[0], n), "%zu bytes", n);
    FUZZ_CHECK(llm_chat_render(chat, flags, text[1], sizeof text[1], &again, &error) == LLM_OK && n == again && memcmp(text[0], text[1], n) == 0, "another text");
    status = fuzz_status(llm_chat_encode(chat, flags, tokens, 512, &n_tokens, &error), &error);
    if (status != LLM_OK)
        return;
    for (size_t i = 0; i < n_tokens; i++)
        FUZZ_CHECK(tokens[i] >= 0 && tokens[i] < MODELS_VOCAB, "token %d", tokens[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    uint32_t which = data[0];
    llm_model *model = fuzz_model(fuzz_engine(0), "llama");
    llm_chat_desc desc = LLM_INIT(llm_chat_desc);
    llm_chat *chat = NULL;
    llm_error error;
    const char *text = (const char *)data + 1, *nul = memchr(text, 0, size - 1);
    size_t len = nul ? (size_t)(nul - text) : size - 1;
    llm_str said = nul ? (llm_str){ nul + 1, size - 2 - len } : (llm_str){ "hello <|c|>", 11 };
    desc.template_text = text;
    desc.template_text_len = len;
    if (which & 8) {
        desc.tools = "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d\",\"parameters\":{\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"array\"}}}}}]";
        desc.tools_len = LLM_NUL;
    }
    if (which & 16) {
        desc.variables = "{\"enable_thinking\": false, \"x\": [1, 2.5, \"a\", null]}";
        desc.variables_len = LLM_NUL;
    }
    if (which & 32) {
        desc.date = "2026-11-22 18:30:00";
        desc.date_len = LLM_NUL;
    }
    fuzz_begin(size);
    fuzz_bounds(FUZZ_TEMPLATE_MS, 256 << 20);
    llm_status status = fuzz_status(llm_chat_create(model, &desc, &chat, &error), &error);
    FUZZ_CHECK((status == LLM_OK) == (chat != NULL), "status %d", status);
    if (chat && template_add(chat, which, said, &error) == LLM_OK)
        template_render(chat, which & 64 ? LLM_CHAT_NO_PROMPT : 0);
    llm_chat_free(chat);
    fuzz_end_kept();
    return 0;
}

/* SPDX-License-Identifier: MIT
 * Chat templates against what Jinja2 itself makes of them: the cases of the shared data folder, the whole list of small vectors
 * below (Jinja2 3.1.6 with trim_blocks, lstrip_blocks and loop controls), limits, messages with lines, and every allocation failing. */
#include "text/chat/tree.h"

#include "test.h"

static lm_mem mem;

/* ---- rendering */

static void now_fixed(void *user, lm_template_time *out)
{
    (void)user;
    *out = (lm_template_time){ 2025, 7, 10, 15, 4, 5 };
}

/* A new NUL-terminated text, or NULL and *error. */
static char *render(const char *source, size_t len, const lm_template_var *vars, size_t n_vars, const lm_template_limits *limits, size_t *out_len, llm_error *error)
{
    lm_template_options options = { .now = now_fixed };
    lm_template *tpl = NULL;
    lm_template_text out = { 0 };
    *out_len = 0;
    if (limits)
        options.limits = *limits;
    if (lm_template_parse(&mem, source, len, &tpl, error) != LLM_OK)
        return NULL;
    lm_template_render(tpl, &mem, vars, n_vars, &options, &out, error);
    lm_template_free(tpl);
    *out_len = out.len;
    return out.ptr;
}

/* ---- the data folder */

static lm_val member(lm_jinja *run, lm_val dict, const char *name)
{
    lm_val *value = NULL;
    if (dict.kind == LM_VAL_DICT)
        lm_dict_find(run, dict.dict, lm_val_str(name, strlen(name)), &value);
    return value ? *value : lm_val_undefined((llm_str){ "", 0 });
}

static const char *builtin_for(lm_val label)
{
    static const char *const pairs[][2] = { { "_base", "chatml" }, { "HuggingFaceH4/zephyr-7b-beta (add_generation_prompt=false)", "zephyr" },
                                            { "mistralai/Mixtral-8x7B-Instruct-v0.1", "mistral" } };
    for (size_t i = 0; i < LM_COUNT(pairs); i++)
        if (lm_val_is(label, pairs[i][0], strlen(pairs[i][0])))
            return lm_template_builtin(pairs[i][1], strlen(pairs[i][1]));
    return NULL;
}

static int test_file(const char *name, const char *source_key, const char *context_key)
{
    char path[512];
    size_t size, n_equal = 0, n_refused = 0, n_wrong = 0, n_builtin = 0;
    char *json;
    llm_error error = { 0 };
    lm_template_options plain = { 0 };
    lm_jinja run = { .error = &error, .options = &plain, .steps = UINT64_MAX, .limits = { UINT64_MAX, 100, 0, SIZE_MAX, SIZE_MAX } };
    lm_json_style style = { .item = lm_val_str(", ", 2), .key = lm_val_str(": ", 2) };
    lm_val all;
    snprintf(path, sizeof path, strchr(name, '/') ? "%.0s%s" : "%s/chat/%s", LLM_TEST_DATA, name);
    json = test_read_file(path, &size);
    if (!json)
        return 0;
    lm_arena_init(&run.arena, &mem, LLM_MEMORY_OTHER);
    if (!CHECK_MSG(lm_json_read(&run, json, size, &all) && all.kind == LM_VAL_LIST, "%s: %s", path, error.message))
        goto end;
    for (size_t i = 0; i < all.list->n; i++) {
        lm_val of = all.list->at[i], source = member(&run, of, source_key), context = member(&run, of, context_key);
        lm_val wanted = member(&run, of, "jinja2_3.1.6"), label = member(&run, of, "name");
        lm_template_var vars[64];
        size_t n_vars = 0, len;
        char *out;
        bool refused;
        const char *ours = label.kind == LM_VAL_STR ? builtin_for(label) : NULL;
        if (wanted.kind == LM_VAL_UNDEFINED)
            wanted = member(&run, of, "expected");
        for (; context.kind == LM_VAL_DICT && n_vars < context.dict->n && n_vars < 64; n_vars++) {
            lm_text text = { 0 };
            lm_json_write(&run, &text, &style, context.dict->at[n_vars].value, 0);
            vars[n_vars] = (lm_template_var){ .name = { context.dict->at[n_vars].key.s, context.dict->at[n_vars].key.len }, .text = { text.ptr, text.len }, .kind = LM_TEMPLATE_JSON };
        }
        error = (llm_error){ 0 };
        out = render(source.s, source.len, vars, n_vars, NULL, &len, &error);
        refused = wanted.len >= 4 && memcmp(wanted.s, "EXC ", 4) == 0;
        if (refused ? !out && (error.status == LLM_E_INVALID || error.status == LLM_E_FORMAT) : out && len == wanted.len && memcmp(out, wanted.s, len) == 0) {
            if (refused)
                n_refused++;
            else
                n_equal++;
        } else {
            n_wrong++;
            CHECK_MSG(0, "%s, %zu '%.*s':\n%.*s\n--- wanted\n%.*s\n--- got\n%s", name, i, (int)label.len, label.s, source.len > 600 ? 60 : (int)source.len,
                      source.s, (int)wanted.len, wanted.s, out ? out : error.message);
        }
        lm_mem_free(&mem, out);
        if (ours) {                     /* a built-in template says the same as the real one that it stands for */
            out = render(ours, strlen(ours), vars, n_vars, NULL, &len, &error);
            CHECK_MSG(out && len == wanted.len && memcmp(out, wanted.s, len) == 0, "built-in for '%.*s': %s", (int)label.len, label.s, out ? out : error.message);
            lm_mem_free(&mem, out);
            n_builtin++;
        }
    }
    if (n_builtin)
        printf("%s: %zu built-in templates equal the real ones\n", name, n_builtin);
    printf("%s: %zu equal, %zu refused as Jinja2 does, %zu wrong\n", name, n_equal, n_refused, n_wrong);
end:
    lm_arena_free(&run.arena);
    free(json);
    return 1;
}

/* ---- vectors */

static const char *const vectors[][2] = {
#include "vectors.inc"
};

static void test_vectors(void)
{
    lm_template_var vars[] = { { { "d", 1 }, { "{\"a\":1,\"b\":\"x\"}", 15 }, LM_TEMPLATE_JSON, 0, NULL, 0 }, { { "t", 1 }, { "text", 4 }, LM_TEMPLATE_TEXT, 0, NULL, 0 } };
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        llm_error error = { 0 };
        size_t len;
        char *out = render(vectors[i][0], strlen(vectors[i][0]), vars, 2, NULL, &len, &error);
        if (!vectors[i][1])
            CHECK_MSG(!out && (error.status == LLM_E_INVALID || error.status == LLM_E_FORMAT), "%s: '%s' %d", vectors[i][0], out ? out : error.message, error.status);
        else
            CHECK_MSG(out && strcmp(out, vectors[i][1]) == 0, "%s\n--- wanted\n%s\n--- got\n%s", vectors[i][0], vectors[i][1], out ? out : error.message);
        lm_mem_free(&mem, out);
    }
    printf("%zu vectors\n", sizeof vectors / sizeof vectors[0]);
}

/* ---- errors and limits */

static void test_fails(const char *source, llm_status status, const char *part)
{
    llm_error error = { 0 };
    size_t len;
    lm_template_limits limits = { .steps = 200000, .output_bytes = 1 << 20, .memory_bytes = 8 << 20 };
    char *out = render(source, strlen(source), NULL, 0, &limits, &len, &error);
    CHECK_MSG(!out && error.status == status && strstr(error.message, part), "%.200s: %d '%s'", source, error.status, out ? out : error.message);
    lm_mem_free(&mem, out);
}

/* Messages as an array, and the built-in template that a model without one gets. */
static void test_messages(void)
{
    lm_template_message messages[] = { { { "user", 4 }, { "a \"q\"\n", 6 }, { NULL, 0 } }, { { "assistant", 9 }, { "", 0 }, { NULL, 0 } } };
    lm_template_var vars[] = { { .name = { "messages", 8 }, .kind = LM_TEMPLATE_MESSAGES, .messages = messages, .n_messages = 2 },
                               { .name = { "add_generation_prompt", 21 }, .text = { "true", 4 }, .kind = LM_TEMPLATE_JSON } };
    const char *name = lm_template_builtin_name(0), *source = lm_template_builtin(name, strlen(name));
    llm_error error = { 0 };
    size_t len;
    char *out = render(source, strlen(source), vars, 2, NULL, &len, &error);
    CHECK_MSG(out && strcmp(out, "<|im_start|>user\na \"q\"\n<|im_end|>\n<|im_start|>assistant\n<|im_end|>\n<|im_start|>assistant\n") == 0, "%s", out ? out : error.message);
    lm_mem_free(&mem, out);
    CHECK(!lm_template_builtin("nope", 4) && !lm_template_builtin_name(1000));
}

/* What is no JSON is refused by name and place. */
static void test_json(void)
{
    static const char *const bad[] = { "", "{", "[1,]", "{\"a\" 1}", "\"a", "tru", "01", "1.", "[1 2]", "\"\\x\"", "1 2", "99999999999999999999", "\"\x01\"", "\"\xff\"", "nul" };
    for (size_t i = 0; i < LM_COUNT(bad); i++) {
        lm_template_var var = { { "v", 1 }, { bad[i], strlen(bad[i]) }, LM_TEMPLATE_JSON, 0, NULL, 0 };
        llm_error error = { 0 };
        size_t len;
        char *out = render("{{ v }}", 7, &var, 1, NULL, &len, &error);
        CHECK_MSG(!out && error.status == LLM_E_FORMAT && strstr(error.message, "the variable 'v' is no JSON, byte "), "%s: %s", bad[i], out ? out : error.message);
        lm_mem_free(&mem, out);
    }
}

/* Which bytes are the template's own: between \1 and \2. What strangers wrote is outside, through whatever it went. */
static void test_own(void)
{
    static const char *const cases[][2] = {
        { "x{{ u }}y", "\1x\2<x>\1y\2" },
        { "{{ '<a>' + u + '<b>' }}", "\1<a>\2<x>\1<b>\2" },
        { "{{ ('<a>' ~ u ~ '<b>')[3:] }}{{ ('<a>' ~ u)[2] }}{{ ('<a>' ~ u)[4] }}", "<x>\1<b>>\2x" },
        { "{{ ('<a> ' ~ u ~ ' <b>').split(' ')|join('|') }}", "\1<a>|\2<x>\1|<b>\2" },
        { "{{ ' <a>' ~ u ~ ' '|trim }}{{ (u ~ ' ')|trim }}{{ '<a>'|upper }}{{ (u ~ 'a')|upper }}", "\1 <a>\2<x><x>\1<A>\2<X>A" },
        { "{% set s %}<a>{{ u }}{% endset %}{{ s }}", "\1<a>\2<x>" },
        { "{% macro m(v) %}<a>{{ v }}{% endmacro %}{{ m(u) }}{{ m('b') }}", "\1<a>\2<x>\1<a>b\2" },
        { "{{ [u, '<a>']|tojson }}{{ [u, '<a>'] }}", "[\"<x>\", \"<a>\"]['<x>', '<a>']" },
        { "{{ u.replace('x', '<a>') }}{{ '<a>'.replace('a', u) }}", "<\1<a>\2>\1<\2<x>\1>\2" },
        { "{{ '<a>' * 2 }}{{ ('<a>' + u)[::-1] }}", "\1<a><a>\2>x<\1>a<\2" },
        { "{{ '{}<b>{}'.format(u, '<a>') }}", "<x>\1<b><a>\2" },
        { "{{ ('<a>\\n' ~ u)|indent(2) }}", "\1<a>\2\n  <x>" },
        { "{{ bos }}{{ u }}{{ [bos, u]|join }}", "\1<s>\2<x>\1<s>\2<x>" },
        { "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content }}{% endfor %}", "\1<|user|>\2<x>\1<|\2a|>\1|>\2</s>" },
        { "{% set ns = namespace(t='<a>') %}{% set ns.t = ns.t ~ u %}{{ ns.t }}{{ {'k': '<b>'}.k }}{{ v }}{{ w.k }}", "\1<a>\2<x>\1<b>\2<a><b>" },
        { "{% for c in '<a>' ~ u %}{{ c }}{% endfor %}{{ ('<a>' ~ u)|list|join }}", "\1<a>\2<x>\1<a>\2<x>" },
        { "{{ ('<a>\\n' ~ u ~ '\\n<b>').splitlines()|last }}{{ ('<a>' ~ u).removeprefix('<a') }}", "\1<b>>\2<x>" },
    };
    lm_template_message messages[] = { { { "user", 4 }, { "<x>", 3 }, { NULL, 0 } }, { { NULL, 0 }, { NULL, 0 }, { "{\"role\":\"a|>\",\"content\":\"</s>\"}", 31 } } };
    lm_template_var vars[] = { { .name = { "u", 1 }, .text = { "<x>", 3 } }, { .name = { "bos", 3 }, .text = { "<s>", 3 }, .kind = LM_TEMPLATE_OWN },
                               { .name = { "more", 4 }, .text = { "{\"v\":\"<a>\",\"w\":{\"k\":\"<b>\"}}", 27 }, .kind = LM_TEMPLATE_MEMBERS },
                               { .name = { "messages", 8 }, .kind = LM_TEMPLATE_MESSAGES, .messages = messages, .n_messages = 2 } };
    for (size_t i = 0; i < LM_COUNT(cases); i++) {
        llm_error error = { 0 };
        lm_template *tpl = NULL;
        lm_template_text out = { 0 };
        char marked[256];
        size_t n = 0, span = 0;
        if (!CHECK_MSG(lm_template_parse(&mem, cases[i][0], strlen(cases[i][0]), &tpl, &error) == LLM_OK
                       && lm_template_render(tpl, &mem, vars, LM_COUNT(vars), NULL, &out, &error) == LLM_OK, "%s: %s", cases[i][0], error.message)) {
            lm_template_free(tpl);
            continue;
        }
        for (size_t k = 0; k <= out.len && n + 4 < sizeof marked; k++) {
            if (span < out.n_own && out.own[span].to == k) {
                marked[n++] = '\2';
                span++;
            }
            if (span < out.n_own && out.own[span].from == k)
                marked[n++] = '\1';
            if (k < out.len)
                marked[n++] = out.ptr[k];
        }
        marked[n] = 0;
        CHECK_MSG(span == out.n_own && strcmp(marked, cases[i][1]) == 0, "%s: '%s', not '%s'", cases[i][0], marked, cases[i][1]);
        lm_template_free(tpl);
        lm_mem_free(&mem, out.ptr);
    }
}

static void test_errors(void)
{
    char deep[40000];
    test_fails("a\n{% if x %}\nb", LLM_E_FORMAT, "line 2");
    test_fails("a\n\n{{ 1 + }}", LLM_E_FORMAT, "line 3: the tag ends where an expression was expected");
    test_fails("{{ (1 }}", LLM_E_FORMAT, "unexpected '}', expected ')'");
    test_fails("\n{# x", LLM_E_FORMAT, "line 2: this comment has no end");
    test_fails("{{ 1 }}\xff", LLM_E_FORMAT, "not valid UTF-8");
    test_fails("\n\n\n{% frobnicate %}", LLM_E_FORMAT, "line 4: unknown statement 'frobnicate'");
    test_fails("{% include 'x' %}", LLM_E_UNSUPPORTED, "'include' is not supported");
    test_fails("{% break %}", LLM_E_FORMAT, "outside of a loop");
    test_fails("\n{{ raise_exception('No: ' ~ 7) }}", LLM_E_INVALID, "line 2: the template refuses: No: 7");
    test_fails("\n{{\n x.y }}", LLM_E_INVALID, "line 3: 'x' is undefined");
    test_fails("{{ 'a' + 1 }}", LLM_E_INVALID, "can only concatenate str (not \"int\") to str");
    test_fails("{{ [].append(1) }}", LLM_E_INVALID, "unsafe");
    test_fails("{{ 9223372036854775807 + 1 }}", LLM_E_UNSUPPORTED, "64 bits");
    test_fails("{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}", LLM_E_LIMIT, "steps");
    test_fails("{% set n = namespace(s='aaaaaaaaaaaaaaaa') %}{% for i in range(100) %}{% set n.s = n.s ~ n.s %}{% endfor %}", LLM_E_LIMIT, "limit");
    test_fails("{% for i in range(1000) %}{{ 'x' * 10000 }}{% endfor %}", LLM_E_LIMIT, "limit");
    test_fails("{{ 'x' * 1000000000000 }}", LLM_E_LIMIT, "limit");
    test_fails("{{ [0] * 1000000000000 }}", LLM_E_LIMIT, "limit");
    test_fails("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", LLM_E_LIMIT, "nested deeper");
    memset(deep, '(', sizeof deep - 1);
    memcpy(deep, "{{ ", 3);
    deep[sizeof deep - 1] = 0;
    test_fails(deep, LLM_E_LIMIT, "100");
    for (size_t i = 3; i + 1 < sizeof deep; i++)
        deep[i] = i % 2 ? '-' : ' ';
    memcpy(deep + sizeof deep - 5, "1 }}", 4);
    test_fails(deep, LLM_E_LIMIT, "100");
    for (size_t i = 3; i + 1 < sizeof deep; i++)
        deep[i] = i % 2 ? '1' : '+';
    memcpy(deep + sizeof deep - 5, "1 }}", 4);
    test_fails(deep, LLM_E_LIMIT, "nested deeper");
}

/* ---- memory */

static size_t left;                     /* allocations until one fails */
static void *count_allocate(void *user, size_t size, size_t align, int32_t kind)
{
    (void)user, (void)kind;
    return left-- ? aligned_alloc(align, (size + align - 1) / align * align) : NULL;
}
static void count_release(void *user, void *ptr, size_t size, size_t align, int32_t kind)
{
    (void)user, (void)size, (void)align, (void)kind;
    free(ptr);
}

static void test_memory(void)
{
    static const char source[] = "{% macro m(a, b=[1]) %}{{ a|tojson }}{{ b }}{% endmacro %}{% for i in range(300) %}{{ m({'k': i ~ 'x' 'y'}) }}{% if i % 3 %}"
                                 "{{ [3, i, 1]|sort|join(',') }}{% endif %}{% endfor %}{{ 'a b c'.split()|map('upper')|list }}{{ d.b|replace('x', 'yy') }}";
    llm_allocator hooks = { .struct_size = sizeof hooks, .allocate = count_allocate, .release = count_release };
    lm_template_var var = { { "d", 1 }, { "{\"a\":1,\"b\":\"x\"}", 15 }, LM_TEMPLATE_JSON, 0, NULL, 0 };
    lm_mem kept = mem;
    size_t n = 0, len;
    char *out = NULL;
    lm_mem_init(&mem, &hooks, 0);
    for (; !out && n < 1000; n++) {
        llm_error error = { 0 };
        left = n;
        out = render(source, sizeof source - 1, &var, 1, NULL, &len, &error);
        CHECK(out || error.status == LLM_E_MEMORY);
        CHECK(out || mem.used == 0);
        if (left > n)                   /* went below 0: more were asked after the failure */
            left = 0;
    }
    CHECK(out && n > 10);
    lm_mem_free(&mem, out);
    CHECK(mem.used == 0);
    printf("%zu allocations failed one by one\n", n - 1);
    mem = kept;
}

/* With an argument: a file of cases like those of the data folder, and nothing else. */
int main(int argc, char **argv)
{
    int found;
    lm_mem_init(&mem, NULL, 0);
    if (argc > 1)
        return CHECK_MSG(test_file(argv[1], "template", "context"), "%s: no such file", argv[1]) ? TEST_DONE() : 1;
    test_vectors();
    test_errors();
    test_json();
    test_messages();
    test_own();
    test_memory();
    found = test_file("hfjs_jinja_cases.json", "template", "context") + test_file("llamacpp_jinja_cases.json", "template", "context")
            + test_file("hfjs_e2e_chat_templates.json", "chat_template", "data");
    CHECK(mem.used == 0);
    if (!found && !test_failures)
        return TEST_SKIP("no %s/chat: only the small vectors were checked", LLM_TEST_DATA);
    return TEST_DONE();
}

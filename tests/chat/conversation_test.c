/* SPDX-License-Identifier: MIT
 * Conversations: what messages become for templates that want them otherwise, against Jinja2's text of messages adapted by hand; what was found
 * out is kept; a template that nothing pleases says why. */
#include "text/chat/conversation.h"
#include "text/chat/value.h"

#include "test.h"

static lm_mem mem;

static const struct { const char *name, *source, *messages, *wanted; } cases[] = {
#include "adapted.inc"
};

static lm_conversation *begin(const char *source)
{
    lm_conversation_desc desc = { .source = { source, strlen(source) }, .bos = { "<s>", 3 }, .eos = { "</s>", 4 } };
    lm_conversation *c = NULL;
    llm_error error = { 0 };
    CHECK_MSG(lm_conversation_new(&mem, &desc, &c, &error) == LLM_OK, "%s: %s", source, error.message);
    return c;
}

/* The items of a JSON array, one by one, as the text they have. */
static void add_all(lm_conversation *c, const char *json)
{
    static const lm_template_options plain;
    const lm_json_style style = { .item = lm_val_str(", ", 2), .key = lm_val_str(": ", 2) };
    llm_error error = { 0 };
    lm_jinja run = { .error = &error, .options = &plain, .steps = UINT64_MAX, .limits = { UINT64_MAX, 100, 0, 1 << 20, SIZE_MAX } };
    lm_val all;
    lm_arena_init(&run.arena, &mem, LLM_MEMORY_OTHER);
    if (CHECK_MSG(lm_json_read(&run, json, strlen(json), &all) && all.kind == LM_VAL_LIST, "%s", error.message))
        for (size_t i = 0; i < all.list->n; i++) {
            lm_text text = { 0 };
            lm_json_write(&run, &text, &style, all.list->at[i], 0);
            CHECK_MSG(lm_conversation_add_json(c, (llm_str){ text.ptr, text.len }, &error) == LLM_OK, "%s", error.message);
        }
    lm_arena_free(&run.arena);
}

static void test_adapted(void)
{
    for (size_t i = 0; i < LM_COUNT(cases); i++) {
        lm_conversation *c = begin(cases[i].source);
        llm_error error = { 0 };
        if (!c)
            continue;
        add_all(c, cases[i].messages);
        for (int again = 0; again < 2; again++) {            /* the second time from what was found out */
            lm_template_text out = { 0 };
            llm_status status = lm_conversation_render(c, true, &out, &error);
            CHECK_MSG(status == LLM_OK && out.len == strlen(cases[i].wanted) && memcmp(out.ptr, cases[i].wanted, out.len) == 0, "%s:\n%s\n--- wanted\n%s", cases[i].name,
                      status == LLM_OK ? out.ptr : error.message, cases[i].wanted);
            lm_mem_free(&mem, out.ptr);
        }
        lm_conversation_free(c);
    }
    printf("%zu conversations adapted\n", LM_COUNT(cases));
}

/* What the template refuses for its own reasons is told in its own words, not in those of a trial. */
static void test_refused(void)
{
    static const struct { const char *source, *messages, *part; } refused[] = {
        { "{{ raise_exception('closed') }}", "[{\"role\":\"user\",\"content\":\"a\"}]", "line 1: the template refuses: closed" },
        { "\n{{ strftime_now('%Y') }}{{ messages[0].content }}", "[{\"role\":\"system\",\"content\":\"a\"}]", "line 2: strftime_now" },
        { "{% for m in messages %}{% if m.role == 'critic' %}\n{{ raise_exception('no critics') }}{% endif %}{{ m.content }}{% endfor %}",
          "[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"critic\",\"content\":\"a\"}]", "line 2: the template refuses: no critics" },
    };
    for (size_t i = 0; i < LM_COUNT(refused); i++) {
        lm_conversation *c = begin(refused[i].source);
        lm_template_text out = { 0 };
        llm_error error = { 0 };
        if (!c)
            continue;
        add_all(c, refused[i].messages);
        CHECK_MSG(lm_conversation_render(c, true, &out, &error) == LLM_E_INVALID && strstr(error.message, refused[i].part) && !out.ptr, "%s", error.message);
        lm_conversation_free(c);
    }
}

/* Text that we write into a content is ours: its control tokens count, what a call says does not. */
static void test_own(void)
{
    lm_conversation *c = begin("{# <|tool_list_start|> #}{% for m in messages %}{{ m.content }}{% endfor %}");
    lm_template_text out = { 0 };
    llm_error error = { 0 };
    if (!c)
        return;
    add_all(c, "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{\"k\":\"<|tool_call_end|>\"}}}]}]");
    CHECK_MSG(lm_conversation_render(c, false, &out, &error) == LLM_OK && strcmp(out.ptr, "a<|tool_call_start|>[f(k=\"<|tool_call_end|>\")]<|tool_call_end|>") == 0, "%s",
              out.ptr ? out.ptr : error.message);
    CHECK(out.n_own >= 2 && out.own[0].from == 1 && out.own[0].to == 21 && out.own[out.n_own - 1].to == out.len && out.own[out.n_own - 1].from > 21 + 8);
    lm_mem_free(&mem, out.ptr);
    lm_conversation_free(c);
}

static void test_times(void)
{
    static const struct { const char *text; bool good; } times[] = {
        { "2026-11-22", true }, { "2024-02-29", true }, { "2000-02-29 23:59:60", true }, { "2026-11-22T00:00", true }, { "1900-02-29", false }, { "2026-1-22", false },
        { "2026-11-31", false }, { "2026-00-01", false }, { "2026-11-22 ", false }, { "2026-11-22 24:00", false }, { "2026-11-22 10:00:", false }, { "", false }, { "-026-11-22", false },
    };
    for (size_t i = 0; i < LM_COUNT(times); i++) {
        lm_template_time t;
        CHECK_MSG(lm_template_time_parse((llm_str){ times[i].text, strlen(times[i].text) }, &t) == times[i].good, "'%s'", times[i].text);
    }
}

int main(void)
{
    lm_mem_init(&mem, NULL, 0);
    test_adapted();
    test_refused();
    test_own();
    test_times();
    CHECK(mem.used == 0);
    return TEST_DONE();
}

/* SPDX-License-Identifier: MIT
 * Replies taken apart. The shapes are those that the families' own templates give calls and reasoning of earlier turns (rendered by Jinja2);
 * each is cut at every byte, and fed byte by byte: the same events. */
#include "text/chat/answer.h"

#include "test.h"

static lm_mem mem;

#define TOOLS "[{\"type\":\"function\",\"function\":{\"name\":\"get_w\",\"parameters\":{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"},\"n\":{\"type\":\"integer\"}}}}}]"
#define CALL "(get_w {\"city\": \"Rome\", \"n\": 3})"

/* Texts as they are, reasoning in <>, calls in (): name, arguments, #id. */
static const struct { const char *name, *source, *prompt, *reply, *wanted; } cases[] = {
    { "plain", "{{ messages }}", "", "Hello,\n <b>world</b>! \n", "Hello,\n <b>world</b>! \n" },
    { "empty", "</think><tool_call>", "", "", "" },
    { "Hermes", "<tool_call>", "", "Let me see.\n<tool_call>\n{\"name\": \"get_w\", \"arguments\": {\"city\": \"Rome\", \"n\": 3}}\n</tool_call>", "Let me see." CALL },
    { "Hermes, two", "<tool_call>", "", "<tool_call>\n{\"name\": \"get_w\", \"arguments\": {\"city\": \"Rome\", \"n\": 3}}\n</tool_call>\n<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>\n", CALL "(f {})" },
    { "Hermes, no call after all", "<tool_call>", "", "a <tool_call>\nnonsense</tool_call> b", "a<tool_call>\nnonsense</tool_call> b" },
    { "Hermes, without an end", "<tool_call>", "", "<tool_call>{\"name\": \"get_w\", \"arguments\": {\"city\": \"Rome\", \"n\": 3}}", CALL },
    { "Hermes, cut off", "<tool_call>", "", "x <tool_call>{\"name\": \"get_w\", \"argum", "x<tool_call>{\"name\": \"get_w\", \"argum" },
    { "Qwen3 thinks and calls", "</think><tool_call>", "", "<think>\nHm, <tool>?\n\nRome.\n</think>\n\nWell.\n\n<tool_call>\n{\"name\": \"get_w\", \"arguments\": {\"city\": \"Rome\", \"n\": 3}}\n</tool_call>",
      "<Hm, <tool>?\n\nRome.>Well." CALL },
    { "R1: the prompt thinks", "</think>", "<|Assistant|><think>\n", "Hm.\n</think>\n\nYes.", "<Hm.>Yes." },
    { "the prompt has thought", "</think>", "<think>\n\n</think>\n\n", "Yes <think", "Yes <think" },
    { "thinking without an end", "</think>", "<think>", "Hm, and so on \n", "<Hm, and so on>" },
    { "a call ends the thinking", "</think><tool_call>", "<think>", "Hm <tool_call>{\"name\": \"get_w\", \"arguments\": {\"city\": \"Rome\", \"n\": 3}}</tool_call>", "<Hm>" CALL },
    { "Magistral", "[THINK] [/THINK] [TOOL_CALLS] [ARGS]", "", "[THINK]Hm.[/THINK]Yes.[TOOL_CALLS]get_w[ARGS]{\"city\": \"Rome\", \"n\": 3}[TOOL_CALLS]f[ARGS]{}", "<Hm.>Yes." CALL "(f {})" },
    { "Mistral Nemo", "[TOOL_CALLS]", "", "[TOOL_CALLS][{\"name\": \"get_w\", \"arguments\": {\"city\": \"Rome\", \"n\": 3}, \"id\": \"abcdefgh1\"}]", "(get_w {\"city\": \"Rome\", \"n\": 3}#abcdefgh1)" },
    { "Mistral Small 3.2", "[TOOL_CALLS]", "", "[TOOL_CALLS]get_w[CALL_ID]abcdefgh1[ARGS]{\"city\": \"Rome\", \"n\": 3}", "(get_w {\"city\": \"Rome\", \"n\": 3}#abcdefgh1)" },
    { "Qwen3-Coder", "<tool_call> <function= <parameter=", "", "<tool_call>\n<function=get_w>\n<parameter=city>\nRome\n</parameter>\n<parameter=n>\n3\n</parameter>\n<parameter=x>\n[1, \"a\"]\n</parameter>\n</function>\n</tool_call>",
      "(get_w {\"city\": \"Rome\", \"n\": 3, \"x\": [1, \"a\"]})" },
    { "Qwen3-Coder, text that looks like a number", "<tool_call> <function= <parameter=", "", "<tool_call>\n<function=get_w>\n<parameter=city>\n12\n</parameter>\n</function>\n</tool_call>", "(get_w {\"city\": \"12\"})" },
    { "Seed-OSS", "<seed:tool_call> <function= <parameter= </seed:think>", "", "<seed:think>Hm</seed:think><seed:tool_call>\n<function=get_w>\n<parameter=city>Rome</parameter>\n<parameter=n>3</parameter>\n</function>\n</seed:tool_call>", "<Hm>" CALL },
    { "GLM-4.5", "<tool_call> <arg_key> </think>", "", "\n<think>Hm</think>\nSo.\n<tool_call>get_w\n<arg_key>city</arg_key>\n<arg_value>Rome</arg_value>\n<arg_key>n</arg_key>\n<arg_value>3</arg_value>\n</tool_call>", "<Hm>So." CALL },
    { "GLM-4.7", "<tool_call> <arg_key> </think>", "<think>", "Hm</think><tool_call>get_w<arg_key>city</arg_key><arg_value>Rome</arg_value><arg_key>n</arg_key><arg_value>3</arg_value></tool_call>", "<Hm>" CALL },
    { "Llama 3", "<|start_header_id|> \"parameters\": <|python_tag|>", "", "{\"name\": \"get_w\", \"parameters\": {\"city\": \"Rome\", \"n\": 3}}", CALL },
    { "Llama 3, JSON that is no call", "<|start_header_id|> \"parameters\": <|python_tag|>", "", "{\"a\": 1}", "{\"a\": 1}" },
    { "Llama 3, a brace later", "<|start_header_id|> \"parameters\": <|python_tag|>", "", "So {\"name\": \"get_w\", \"parameters\": {}}", "So {\"name\": \"get_w\", \"parameters\": {}}" },
    { "Llama 3, built in", "<|start_header_id|> <|python_tag|>", "", "<|python_tag|>brave_search.call(query=\"a (b)\")", "(brave_search {\"query\": \"a (b)\"})" },
    { "DeepSeek V3", "<｜tool▁calls▁begin｜> <｜tool▁call▁begin｜>", "", "Well.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_w\n```json\n{\"city\": \"Rome\", \"n\": 3}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>", "Well." CALL "(f {})" },
    { "DeepSeek V3.1", "<｜tool▁calls▁begin｜> <｜tool▁call▁begin｜> </think>", "<think>", "Hm</think>Well.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_w<｜tool▁sep｜>{\"city\": \"Rome\", \"n\": 3}<｜tool▁call▁end｜><｜tool▁calls▁end｜>", "<Hm>Well." CALL },
    { "DeepSeek V3.2", "｜DSML｜ </think>", "", "Well.\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"get_w\">\n<｜DSML｜parameter name=\"city\" string=\"true\">Rome</｜DSML｜parameter>\n<｜DSML｜parameter name=\"n\" string=\"false\">3</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>", "Well." CALL },
    { "DeepSeek V4", "｜DSML｜", "", "<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter name=\"t\" string=\"true\">a </b> 1</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>", "(f {\"t\": \"a </b> 1\"})" },
    { "Kimi K2", "<|tool_calls_section_begin|> <|tool_call_begin|> </think>", "", "<think>Hm</think>So<|tool_calls_section_begin|><|tool_call_begin|>functions.get_w:0<|tool_call_argument_begin|>{\"city\": \"Rome\", \"n\": 3}<|tool_call_end|><|tool_calls_section_end|>", "<Hm>So(get_w {\"city\": \"Rome\", \"n\": 3}#functions.get_w:0)" },
    { "gpt-oss", "<|channel|>", "", "<|channel|>analysis<|message|>Hm\n<|end|><|start|>assistant<|channel|>final<|message|>So. ", "<Hm\n>So. " },
    { "gpt-oss calls", "<|channel|>", "", "<|channel|>analysis<|message|>Hm<|end|><|start|>assistant<|channel|>commentary to=functions.get_w <|constrain|>json<|message|>{\"city\": \"Rome\", \"n\": 3}<|call|>", "<Hm>" CALL },
    { "gpt-oss calls as in history", "<|channel|>", "", " to=functions.get_w<|channel|>commentary json<|message|>{\"city\": \"Rome\", \"n\": 3}<|call|>", CALL },
    { "gpt-oss, a preamble", "<|channel|>", "", "<|channel|>commentary<|message|>I look.<|end|><|start|>assistant to=functions.get_w<|channel|>commentary json<|message|>{\"city\": \"Rome\", \"n\": 3}", "I look." CALL },
    { "functionary 3.1", "<function=", "", "<function=get_w>{\"city\": \"Rome\", \"n\": 3}</function>", CALL },
    { "functionary 3.2", ">>>all >>>", "", "all\nSo.\n>>>get_w\n{\"city\": \"Rome\", \"n\": 3}", "So.\n" CALL },
    { "firefunction", "functools[", "", " functools[{\"name\": \"get_w\", \"arguments\": {\"city\": \"Rome\", \"n\": 3}}]", CALL },
    { "Granite 3.3", "<|tool_call|> </think>", "", "<|tool_call|>[{\"name\": \"get_w\", \"arguments\": {\"city\": \"Rome\", \"n\": 3}}]", CALL },
    { "command-r7b", "<|START_ACTION|> <|START_RESPONSE|> <|END_THINKING|>", "", "<|START_THINKING|>Hm<|END_THINKING|><|START_ACTION|>[\n    {\"tool_call_id\": \"0\", \"tool_name\": \"get_w\", \"parameters\": {\"city\": \"Rome\", \"n\": 3}}\n]<|END_ACTION|>", "<Hm>(get_w {\"city\": \"Rome\", \"n\": 3}#0)" },
    { "command-r7b speaks", "<|START_ACTION|> <|START_RESPONSE|> <|END_THINKING|>", "", "<|START_RESPONSE|>So.<|END_RESPONSE|>", "So." },
    { "LFM2", "<|tool_list_start|>", "", "<|tool_call_start|>[get_w(city=\"Rome\", n=3), f(a=[1, 'b', True, None], d={'k': -1.5})]<|tool_call_end|>So.", CALL "(f {\"a\": [1, \"b\", true, null], \"d\": {\"k\": -1.5}})So." },
    { "Gemma 4", "'<|tool_call>call:' <channel|>", "", "<|channel>thought\nHm\n<channel|><|tool_call>call:get_w{city:<|\"|>Rome<|\"|>,n:3,o:{a:[true,<|\"|>}<|\"|>]}}<tool_call|>", "<Hm>(get_w {\"city\": \"Rome\", \"n\": 3, \"o\": {\"a\": [true, \"}\"]}})" },
    { "GigaChat 3", "function call<|role_sep|>", "", "function call<|role_sep|>\n{\"name\": \"get_w\", \"arguments\": {\"city\": \"Rome\", \"n\": 3}}", CALL },
    { "MiniMax-M2", "<minimax:tool_call> </think>", "<think>\n", "Hm\n</think>\n\n<minimax:tool_call>\n<invoke name=\"get_w\">\n<parameter name=\"city\">Rome</parameter>\n<parameter name=\"n\">3</parameter>\n</invoke>\n<invoke name=\"f\">\n</invoke>\n</minimax:tool_call>", "<Hm>" CALL "(f {})" },
    { "Apertus", "<|tools_prefix|>", "", "So<|tools_prefix|>[{\"get_w\": {\"city\": \"Rome\", \"n\": 3}}]<|tools_suffix|>", "So" CALL },
    { "Apriel", "<tool_calls> [BEGIN FINAL RESPONSE]", "Here are my reasoning steps:\n", "Hm\n[BEGIN FINAL RESPONSE]\nSo. <tool_calls>[{\"name\": \"get_w\", \"arguments\": {\"city\": \"Rome\", \"n\": 3}, \"id\": \"x\"}]</tool_calls>", "<Hm>So.(get_w {\"city\": \"Rome\", \"n\": 3}#x)" },
    { "MiniCPM5", "<function name=", "", "<function name=\"get_w\"><param name=\"city\">Rome</param><param name=\"n\">3</param></function>", CALL },
};

typedef struct events { char text[4096]; size_t n; int32_t last; } events;

static void put(events *e, const char *text, size_t len)
{
    if (len && e->n + len + 1 < sizeof e->text) {
        memcpy(e->text + e->n, text, len);
        e->n += len;
        e->text[e->n] = 0;
    }
}

/* Events that are there now; a failure is told once and the call made again. */
static bool drain(lm_answer *a, bool final, events *e)
{
    for (;;) {
        lm_answer_event event;
        llm_error error = { 0 };
        llm_status status = lm_answer_next(a, final, &event, &error);
        if (status == LLM_E_MEMORY)
            status = lm_answer_next(a, final, &event, &error);
        if (!CHECK_MSG(status == LLM_OK, "%s", error.message))
            return false;
        if (e->last == LM_ANSWER_REASONING && event.kind != LM_ANSWER_REASONING && (event.kind != LM_ANSWER_NONE || final))
            put(e, ">", 1);
        if (event.kind == LM_ANSWER_REASONING && e->last != LM_ANSWER_REASONING)
            put(e, "<", 1);
        if (event.kind == LM_ANSWER_NONE) {
            e->last = final ? LM_ANSWER_NONE : e->last;
            return true;
        }
        e->last = event.kind;
        put(e, "(", event.kind == LM_ANSWER_CALL);
        put(e, event.name.ptr, event.name.len);
        put(e, " ", event.kind == LM_ANSWER_CALL);
        put(e, event.text.ptr, event.text.len);
        put(e, "#", event.id.len != 0);
        put(e, event.id.ptr, event.id.len);
        put(e, ")", event.kind == LM_ANSWER_CALL);
    }
}

/* Pieces that end at these places. */
static void run(lm_answer *a, const char *prompt, const char *reply, size_t cut, size_t each, events *e)
{
    size_t len = strlen(reply);
    llm_error error = { 0 };
    *e = (events){ .n = 0 };
    lm_answer_begin(a, (llm_str){ prompt, strlen(prompt) });
    for (size_t at = 0; at < len;) {
        size_t n = each ? each : at < cut ? cut - at : len - at;
        n = n < len - at ? n : len - at;
        if (lm_answer_feed(a, reply + at, n, &error) != LLM_OK && !CHECK_MSG(lm_answer_feed(a, reply + at, n, &error) == LLM_OK, "%s", error.message))
            return;
        at += n;
        if (!drain(a, false, e))
            return;
    }
    drain(a, true, e);
}

static void test_families(void)
{
    size_t n_cuts = 0;
    for (size_t i = 0; i < LM_COUNT(cases); i++) {
        lm_answer *a = NULL;
        llm_error error;
        events e;
        if (!CHECK(lm_answer_new(&mem, (llm_str){ cases[i].source, strlen(cases[i].source) }, (llm_str){ TOOLS, sizeof TOOLS - 1 }, &a, &error) == LLM_OK))
            return;
        for (size_t cut = 0; cut <= strlen(cases[i].reply); cut++, n_cuts++) {
            run(a, cases[i].prompt, cases[i].reply, cut, 0, &e);
            if (!CHECK_MSG(strcmp(e.text, cases[i].wanted) == 0, "%s, cut at %zu:\n%s\n--- wanted\n%s", cases[i].name, cut, e.text, cases[i].wanted))
                break;
        }
        for (size_t each = 1; each < 8; each++) {
            run(a, cases[i].prompt, cases[i].reply, 0, each, &e);
            if (!CHECK_MSG(strcmp(e.text, cases[i].wanted) == 0, "%s, %zu bytes at a time:\n%s\n--- wanted\n%s", cases[i].name, each, e.text, cases[i].wanted))
                break;
        }
        lm_answer_free(a);
    }
    printf("%zu replies, cut %zu times\n", LM_COUNT(cases), n_cuts);
}

static uint64_t test_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

/* Noise made of signs: every byte comes out once or belongs to a call, and the cut does not count. */
static void test_noise(void)
{
    static const char *const pieces[] = { "<tool_call>", "</tool_call>", "<think>", "</think>", "{\"name\": \"f\"}", "a", "\n", " ", "[TOOL_CALLS]", "f[ARGS]{}", "<", "<function=", "{", "[" };
    static const char *const sources[] = { "<tool_call> </think>", "[TOOL_CALLS] </think>", "<tool_call> <parameter= </think>", "<|channel|>", "<|python_tag|> <|start_header_id|> \"parameters\": ", ">>>all" };
    uint64_t seed = 7;
    for (int round = 0; round < 600; round++) {
        const char *source = sources[round % LM_COUNT(sources)];
        char reply[400] = "";
        lm_answer *a = NULL;
        llm_error error;
        events whole, cut;
        for (size_t n = test_random(&seed) % 20; n > 0; n--)
            strcat(reply, pieces[test_random(&seed) % LM_COUNT(pieces)]);
        if (lm_answer_new(&mem, (llm_str){ source, strlen(source) }, (llm_str){ TOOLS, sizeof TOOLS - 1 }, &a, &error) != LLM_OK)
            return;
        run(a, "", reply, 0, 0, &whole);
        for (size_t each = 1; each < 12; each++) {
            run(a, "", reply, 0, each, &cut);
            if (!CHECK_MSG(strcmp(whole.text, cut.text) == 0, "'%s', %zu bytes at a time:\n%s\n--- at once\n%s", reply, each, cut.text, whole.text))
                break;
        }
        lm_answer_free(a);
    }
}

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
    llm_allocator hooks = { .struct_size = sizeof hooks, .allocate = count_allocate, .release = count_release };
    lm_mem kept = mem;
    size_t n = 0;
    lm_mem_init(&mem, &hooks, 0);
    for (; n < 100; n++) {
        lm_answer *a = NULL;
        llm_error error;
        events e;
        left = n;
        llm_status status = lm_answer_new(&mem, (llm_str){ "<tool_call> </think>", 20 }, (llm_str){ TOOLS, sizeof TOOLS - 1 }, &a, &error);
        CHECK(status == LLM_OK || (status == LLM_E_MEMORY && !a && mem.used == 0));
        if (a) {
            run(a, "", cases[7].reply, 0, 5, &e);
            CHECK_MSG(strcmp(e.text, cases[7].wanted) == 0, "%zu: %s", n, e.text);
        }
        lm_answer_free(a);
        CHECK(mem.used == 0);
        if (status == LLM_OK && left < 1000)
            break;
    }
    CHECK(n > 3 && n < 100);
    printf("%zu allocations failed one by one\n", n);
    mem = kept;
}

int main(void)
{
    lm_mem_init(&mem, NULL, 0);
    test_families();
    test_noise();
    test_memory();
    CHECK(mem.used == 0);
    return TEST_DONE();
}

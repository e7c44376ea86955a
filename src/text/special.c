/* SPDX-License-Identifier: MIT
 * Special tokens: which ids they are, which of them end a reply, and where they stand in text.
 *
 * Files say little and often wrongly, so that tokens are known by their texts: the tables below are what model families use.
 * A token that looks like a control token is one, whatever type the file gives it: text from strangers must not become it.
 *
 * In text the longest special token wins wherever it stands, then the one with the lower id, then the leftmost. That is what
 * cutting the text by one token after the other, longest first, gives; it is done here with one walk over the text, and a
 * heap where occurrences overlap and the first of them might not be the best. */
#include "text/encoder.h"

enum { SPECIAL_MAX_BYTES = 1024, SPECIAL_ENDS = 1 };

typedef struct special_row { const char *text; uint8_t which, flags; } special_row;

/* Earlier rows of the same `which` come first. The order of EOT and FIM rows is therefore a choice, the rest is not. */
static const special_row special_table[] = {
    { "<|eot_id|>", LLM_SPECIAL_EOT, SPECIAL_ENDS },
    { "<|im_end|>", LLM_SPECIAL_EOT, SPECIAL_ENDS },
    { "<|end|>", LLM_SPECIAL_EOT, SPECIAL_ENDS },
    { "<end_of_turn>", LLM_SPECIAL_EOT, SPECIAL_ENDS },
    { "<|endoftext|>", LLM_SPECIAL_EOT, SPECIAL_ENDS },
    { "<|end_of_text|>", LLM_SPECIAL_EOT, SPECIAL_ENDS },
    { "<EOT>", LLM_SPECIAL_EOT, SPECIAL_ENDS },
    { "_<EOT>", LLM_SPECIAL_EOT, SPECIAL_ENDS },
    { "[EOT]", LLM_SPECIAL_EOT, SPECIAL_ENDS },
    { "<\xef\xbd\x9c" "end\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>", LLM_SPECIAL_EOT, SPECIAL_ENDS },
    { "<end_of_utterance>", LLM_SPECIAL_EOT, SPECIAL_ENDS },
    { "<|eom_id|>", LLM_SPECIAL_EOM, SPECIAL_ENDS },
    { "<|return|>", 0, SPECIAL_ENDS }, { "<|call|>", 0, SPECIAL_ENDS }, { "<|flush|>", 0, SPECIAL_ENDS }, { "<|calls|>", 0, SPECIAL_ENDS },
    { "</s>", 0, SPECIAL_ENDS }, { "[EOS]", 0, SPECIAL_ENDS }, { "<eos>", 0, SPECIAL_ENDS }, { "<turn|>", 0, SPECIAL_ENDS },
    { "<|tool_response>", 0, SPECIAL_ENDS }, { "[e~[", 0, SPECIAL_ENDS },
    { "<|fim_prefix|>", LLM_SPECIAL_FIM_PREFIX, 0 }, { "<fim-prefix>", LLM_SPECIAL_FIM_PREFIX, 0 }, { "<fim_prefix>", LLM_SPECIAL_FIM_PREFIX, 0 },
    { "<\xef\xbd\x9c" "fim\xe2\x96\x81" "begin\xef\xbd\x9c>", LLM_SPECIAL_FIM_PREFIX, 0 }, { "<PRE>", LLM_SPECIAL_FIM_PREFIX, 0 },
    { "\xe2\x96\x81<PRE>", LLM_SPECIAL_FIM_PREFIX, 0 }, { "<|code_prefix|>", LLM_SPECIAL_FIM_PREFIX, 0 }, { "<|prefix|>", LLM_SPECIAL_FIM_PREFIX, 0 },
    { "<|fim_suffix|>", LLM_SPECIAL_FIM_SUFFIX, 0 }, { "<fim-suffix>", LLM_SPECIAL_FIM_SUFFIX, 0 }, { "<fim_suffix>", LLM_SPECIAL_FIM_SUFFIX, 0 },
    { "<\xef\xbd\x9c" "fim\xe2\x96\x81hole\xef\xbd\x9c>", LLM_SPECIAL_FIM_SUFFIX, 0 }, { "<SUF>", LLM_SPECIAL_FIM_SUFFIX, 0 },
    { "\xe2\x96\x81<SUF>", LLM_SPECIAL_FIM_SUFFIX, 0 }, { "<|code_suffix|>", LLM_SPECIAL_FIM_SUFFIX, 0 }, { "<|suffix|>", LLM_SPECIAL_FIM_SUFFIX, 0 },
    { "<|fim_middle|>", LLM_SPECIAL_FIM_MIDDLE, 0 }, { "<fim-middle>", LLM_SPECIAL_FIM_MIDDLE, 0 }, { "<fim_middle>", LLM_SPECIAL_FIM_MIDDLE, 0 },
    { "<\xef\xbd\x9c" "fim\xe2\x96\x81" "end\xef\xbd\x9c>", LLM_SPECIAL_FIM_MIDDLE, 0 }, { "<MID>", LLM_SPECIAL_FIM_MIDDLE, 0 },
    { "\xe2\x96\x81<MID>", LLM_SPECIAL_FIM_MIDDLE, 0 }, { "<|code_middle|>", LLM_SPECIAL_FIM_MIDDLE, 0 }, { "<|middle|>", LLM_SPECIAL_FIM_MIDDLE, 0 },
    { "<|fim_pad|>", LLM_SPECIAL_FIM_PAD, 0 }, { "<fim-pad>", LLM_SPECIAL_FIM_PAD, 0 }, { "<fim_pad>", LLM_SPECIAL_FIM_PAD, 0 },
    { "<PAD>", LLM_SPECIAL_FIM_PAD, 0 }, { "[PAD]", LLM_SPECIAL_FIM_PAD, 0 },
    { "<|fim_repo|>", LLM_SPECIAL_FIM_REPO, 0 }, { "<|repo_name|>", LLM_SPECIAL_FIM_REPO, 0 }, { "<fim-repo>", LLM_SPECIAL_FIM_REPO, 0 },
    { "<REPO>", LLM_SPECIAL_FIM_REPO, 0 }, { "<reponame>", LLM_SPECIAL_FIM_REPO, 0 },
    { "<|file_sep|>", LLM_SPECIAL_FIM_SEP, 0 },
};
enum { SPECIAL_ROWS = LM_COUNT(special_table), SPECIAL_LONGEST = 40 };

static uint32_t special_row_of(llm_str token)
{
    char last;
    if (token.len < 4 || token.len > SPECIAL_LONGEST)
        return SPECIAL_ROWS;
    last = token.ptr[token.len - 1];
    if (last != '>' && last != ']' && last != '[')          /* all texts end so: nearly no token gets further */
        return SPECIAL_ROWS;
    for (uint32_t i = 0; i < SPECIAL_ROWS; i++)
        if (special_table[i].text[0] == token.ptr[0] && strlen(special_table[i].text) == token.len && memcmp(special_table[i].text, token.ptr, token.len) == 0)
            return i;
    return SPECIAL_ROWS;
}

static uint32_t special_found(const uint32_t *found, const char *text)
{
    return found[special_row_of((llm_str){ text, strlen(text) })];
}

static void special_set_kind(uint8_t *marks, uint32_t id, uint32_t kind)
{
    marks[id] = (uint8_t)((marks[id] & ~(uint32_t)LM_MARK_KIND) | kind);
}

static void special_set_ends(const uint32_t *found, uint8_t *marks, const llm_token special[LM_N_SPECIAL])
{
    static const uint8_t ending[] = { LLM_SPECIAL_EOS, LLM_SPECIAL_EOT, LLM_SPECIAL_EOM, LLM_SPECIAL_FIM_PAD, LLM_SPECIAL_FIM_REPO, LLM_SPECIAL_FIM_SEP };
    uint32_t returns = special_found(found, "<|return|>"), call = special_found(found, "<|call|>");
    uint32_t calls = special_found(found, "<|calls|>"), flush = special_found(found, "<|flush|>");
    uint32_t end = special_found(found, "<|end|>"), eos = special_found(found, "</s>");
    for (size_t i = 0; i < sizeof ending; i++)
        if (special[ending[i]] != LLM_TOKEN_NONE)
            marks[special[ending[i]]] |= LM_MARK_ENDS;
    /* Where a reply has several messages, <|end|> ends one of them only. It stays a control token: untrusted text must not close
     * a message. */
    if (end != LM_ID_NONE && ((returns != LM_ID_NONE && call != LM_ID_NONE) || ((calls != LM_ID_NONE || call != LM_ID_NONE) && flush != LM_ID_NONE)))
        marks[end] &= (uint8_t)~LM_MARK_ENDS;
    if (eos != LM_ID_NONE && special_found(found, "<|tool_response>") != LM_ID_NONE)
        marks[eos] = LLM_TOKEN_NORMAL;                      /* an HTML tag in that vocabulary */
}

void lm_special_find(const lm_vocab_desc *vocab, uint8_t *marks, llm_token special[LM_N_SPECIAL])
{
    uint32_t found[SPECIAL_ROWS + 1];
    for (uint32_t i = 0; i <= SPECIAL_ROWS; i++)
        found[i] = LM_ID_NONE;
    for (uint32_t id = 0; id < vocab->n_tokens; id++) {
        uint32_t row = special_row_of(vocab->tokens[id]);
        if (row < SPECIAL_ROWS && found[row] == LM_ID_NONE)
            found[row] = id;
    }
    for (uint32_t i = 0; i < LM_N_SPECIAL; i++) {           /* an id outside the vocabulary says nothing */
        int64_t id = vocab->special[i];
        special[i] = id >= 0 && id < (int64_t)vocab->n_tokens ? (llm_token)id : LLM_TOKEN_NONE;
    }
    if (vocab->kind == LM_VOCAB_SPM) {                      /* where SentencePiece puts them */
        static const uint8_t usual[3] = { LLM_SPECIAL_UNK, LLM_SPECIAL_BOS, LLM_SPECIAL_EOS };
        for (uint32_t id = 0; id < 3 && id < vocab->n_tokens; id++)
            if (vocab->special[usual[id]] == -1)
                special[usual[id]] = (llm_token)id;
    }
    for (uint32_t i = 0; i < SPECIAL_ROWS; i++) {
        const special_row *row = &special_table[i];
        if (found[i] == LM_ID_NONE)
            continue;
        if (row->which && special[row->which] == LLM_TOKEN_NONE) {
            special[row->which] = (llm_token)found[i];
            special_set_kind(marks, found[i], LLM_TOKEN_CONTROL);
        }
        if (row->flags & SPECIAL_ENDS) {
            special_set_kind(marks, found[i], LLM_TOKEN_CONTROL);
            marks[found[i]] |= LM_MARK_ENDS;
        }
    }
    special_set_ends(found, marks, special);
}

/* ---- where they stand in text ---- */

static bool special_searched(const lm_tokenizer *t, uint32_t id)
{
    uint32_t kind = lm_token_kind(t, id);
    return kind == LLM_TOKEN_CONTROL || kind == LLM_TOKEN_USER || kind == LLM_TOKEN_UNKNOWN;
}

static bool special_after(const lm_tokenizer *t, uint32_t a, uint32_t b)       /* a belongs after b */
{
    llm_str x = lm_tokens_str(&t->tokens, a), y = lm_tokens_str(&t->tokens, b);
    int order = memcmp(x.ptr, y.ptr, LM_MIN(x.len, y.len));
    return order ? order > 0 : x.len > y.len;
}

/* Merge sort, stable; the result is in ids. */
static void special_sort(const lm_tokenizer *t, uint32_t *ids, uint32_t *spare, size_t n)
{
    uint32_t *from = ids, *to = spare;
    for (size_t width = 1; width < n; width *= 2) {
        uint32_t *swap = from;
        for (size_t start = 0; start < n; start += 2 * width) {
            size_t middle = LM_MIN(start + width, n), end = LM_MIN(start + 2 * width, n), a = start, b = middle;
            for (size_t i = start; i < end; i++)
                to[i] = b >= end || (a < middle && !special_after(t, from[a], from[b])) ? from[a++] : from[b++];
        }
        from = to;
        to = swap;
    }
    if (from != ids)
        memcpy(ids, from, n * sizeof *ids);
}

/* A candidate as a number: the longer, then the lower id, then the leftmost is less. */
static uint64_t special_key(const lm_tokenizer *t, uint32_t id, size_t at)
{
    return (uint64_t)(SPECIAL_MAX_BYTES - lm_tokens_str(&t->tokens, id).len) << 53 | (uint64_t)id << 32 | (uint64_t)at;
}
static size_t special_key_len(uint64_t key) { return SPECIAL_MAX_BYTES - (size_t)(key >> 53); }
static uint32_t special_key_id(uint64_t key) { return (uint32_t)(key >> 32) & 0x1fffffu; }
static size_t special_key_at(uint64_t key) { return (size_t)(key & 0xffffffffu); }

llm_status lm_special_build(lm_tokenizer *t, llm_error *error)
{
    lm_special_index *index = &t->index;
    uint32_t *spare, at = 0, n = 0;
    for (uint32_t id = 0; id < t->n_vocab; id++)
        if (special_searched(t, id)) {
            size_t len = lm_tokens_str(&t->tokens, id).len;
            if (len > SPECIAL_MAX_BYTES)
                return lm_fail_at(error, LLM_E_LIMIT, "tokenizer.ggml.tokens", 21, UINT64_MAX,
                                  "tokenizer.ggml.tokens: special token %u has %zu bytes, more than %d", id, len, SPECIAL_MAX_BYTES);
            n++;
        }
    index->ids = lm_mem_new_array(&t->host->mem, n, sizeof *index->ids, LLM_MEMORY_TOKENIZER);
    spare = lm_mem_new_array(&t->host->mem, n, sizeof *spare, LLM_MEMORY_TOKENIZER);
    if (!index->ids || !spare) {
        lm_mem_free(&t->host->mem, spare);
        return lm_fail_memory(error, "the special tokens", n * sizeof *spare);
    }
    for (uint32_t id = 0; id < t->n_vocab; id++)
        if (special_searched(t, id))
            index->ids[index->n++] = id;
    special_sort(t, index->ids, spare, n);
    lm_mem_free(&t->host->mem, spare);
    for (uint32_t byte = 0; byte < 256; byte++) {
        index->first[byte] = at;
        index->best[byte] = UINT64_MAX;
        for (; at < n; at++) {
            uint64_t key = special_key(t, index->ids[at], 0);
            if ((unsigned char)lm_tokens_str(&t->tokens, index->ids[at]).ptr[0] != byte)
                break;
            index->begins[byte] |= lm_token_kind(t, index->ids[at]) == LLM_TOKEN_USER ? 1 : 2;
            index->best[byte] = LM_MIN(index->best[byte], key);
        }
    }
    index->first[256] = at;
    return LLM_OK;
}

/* A text and where control tokens are looked for. */
typedef struct special_text { const char *ptr; size_t len; const lm_span *spans; size_t n_spans; } special_text;

/* How many bytes from `at` on lie in its span. */
static size_t special_open(const special_text *text, size_t at)
{
    size_t low = 0, high = text->n_spans;
    while (low < high) {                                    /* the first that ends behind `at` */
        size_t middle = low + (high - low) / 2;
        if (text->spans[middle].to <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low < text->n_spans && text->spans[low].from <= at ? text->spans[low].to - at : 0;
}

/* The longest special token of at most `most` bytes at `place`: its id, LM_ID_NONE. Those that share the bytes so far are
 * [low, high) of the sorted list; the shortest of them come first. */
static uint32_t special_at(const lm_tokenizer *t, const special_text *whole, size_t place, size_t most)
{
    const char *text = whole->ptr + place;
    size_t open = special_open(whole, place);
    const lm_special_index *index = &t->index;
    uint32_t low = index->first[(unsigned char)text[0]], high = index->first[(unsigned char)text[0] + 1], best = LM_ID_NONE;
    for (size_t depth = 1;; depth++) {
        uint32_t from = low, to = high;
        bool taken = false;
        unsigned char byte;
        for (; low < high && lm_tokens_str(&t->tokens, index->ids[low]).len == depth; low++)
            if (!taken && (depth <= open || lm_token_kind(t, index->ids[low]) == LLM_TOKEN_USER)) {
                best = index->ids[low];
                taken = true;
            }
        if (low == high || depth == most)
            return best;
        byte = (unsigned char)text[depth];
        if ((unsigned char)lm_tokens_str(&t->tokens, index->ids[low]).ptr[depth] == byte &&
            (unsigned char)lm_tokens_str(&t->tokens, index->ids[high - 1]).ptr[depth] == byte)
            continue;                                       /* all of them go on so */
        for (from = low, to = high; from < to;) {           /* the first whose byte is not below */
            uint32_t middle = from + (to - from) / 2;
            if ((unsigned char)lm_tokens_str(&t->tokens, index->ids[middle]).ptr[depth] < byte)
                from = middle + 1;
            else
                to = middle;
        }
        low = from;
        for (to = high; from < to;) {                       /* the first whose byte is above */
            uint32_t middle = from + (to - from) / 2;
            if ((unsigned char)lm_tokens_str(&t->tokens, index->ids[middle]).ptr[depth] <= byte)
                from = middle + 1;
            else
                to = middle;
        }
        high = to;
        if (low == high)
            return best;
    }
}

/* Decides among keys[0, n), which overlap. Those that stand go to the end of keys as places, rising; returns how many. A heap
 * that shrinks by one with every pop leaves room for them. */
static size_t special_decide(const lm_tokenizer *t, const special_text *text, uint64_t *covered, uint64_t *keys, size_t n)
{
    size_t left = n, n_places = 0, k;
    uint64_t *places;
    lm_heap_make(keys, n);
    while (left > 0) {
        uint64_t key = lm_heap_pop(keys, &left);
        size_t at = special_key_at(key), len = special_key_len(key), room = 0;
        while (room < len && !(covered[(at + room) / 64] >> (at + room) % 64 & 1))
            room++;
        if (room == len) {
            for (size_t i = at; i < at + len; i++)
                covered[i / 64] |= (uint64_t)1 << i % 64;
            keys[n - ++n_places] = (uint64_t)at << 32 | special_key_id(key);
        } else if (room > 0) {                              /* a shorter token may fit before what is there */
            uint32_t id = special_at(t, text, at, room);
            if (id != LM_ID_NONE)
                lm_heap_push(keys, &left, special_key(t, id, at));
        }
    }
    places = keys + n - n_places;
    k = n_places;
    lm_heap_make(places, k);
    while (k > 0) {
        uint64_t place = lm_heap_pop(places, &k);
        places[k] = place;                                  /* falling */
    }
    for (size_t i = 0; i < n_places / 2; i++) {
        uint64_t place = places[i];
        places[i] = places[n_places - 1 - i];
        places[n_places - 1 - i] = place;
    }
    return n_places;
}

/* Whether no special token that begins inside the one at `at` could come before it. */
static bool special_leads(const lm_tokenizer *t, const char *text, uint64_t key)
{
    size_t at = special_key_at(key), end = at + special_key_len(key);
    uint64_t bare = key - at;
    while (++at < end)
        if (t->index.best[(unsigned char)text[at]] < bare)
            return false;
    return true;
}

/* The positions where special tokens begin, with the longest one there. One that no earlier one reaches and that leads all that
 * might begin inside it stands already: what is inside is not looked for. */
static llm_status special_collect(const lm_tokenizer *t, const special_text *text, uint64_t **keys, size_t *n, llm_error *error)
{
    uint8_t wanted = text->n_spans ? 3 : 1;
    size_t cap = 0, reached = 0;
    for (size_t at = 0; at < text->len; at++) {
        uint64_t key;
        uint32_t id;
        if (LM_LIKELY(!(t->index.begins[(unsigned char)text->ptr[at]] & wanted)))
            continue;
        id = special_at(t, text, at, text->len - at);
        if (id == LM_ID_NONE)
            continue;
        if (*n == cap) {
            size_t more = cap ? cap * 2 : 64;
            uint64_t *grown = lm_mem_grow(&t->host->mem, *keys, more * sizeof *grown, LLM_MEMORY_TOKENIZER);
            if (!grown)
                return lm_fail_memory(error, "the special tokens of a text", more * sizeof *grown);
            *keys = grown;
            cap = more;
        }
        key = special_key(t, id, at);
        (*keys)[(*n)++] = key;
        if (at >= reached && special_leads(t, text->ptr, key))
            at += special_key_len(key) - 1;
        else
            reached = LM_MAX(reached, at + special_key_len(key));
    }
    return LLM_OK;
}

llm_status lm_special_split(const lm_tokenizer *t, const char *text, size_t len, const lm_span *spans, size_t n_spans, uint64_t **places, size_t *n,
                            llm_error *error)
{
    const special_text whole = { text, len, spans, n_spans };
    uint64_t *keys = NULL, *covered = NULL;
    size_t n_keys = 0, n_places = 0, next;
    llm_status status = special_collect(t, &whole, &keys, &n_keys, error);
    for (size_t i = 0; i < n_keys && status == LLM_OK; i = next) {
        size_t end = special_key_at(keys[i]) + special_key_len(keys[i]), n_stand = 1;
        for (next = i + 1; next < n_keys && special_key_at(keys[next]) < end; next++)
            end = LM_MAX(end, special_key_at(keys[next]) + special_key_len(keys[next]));
        if (next == i + 1) {
            keys[i] = (uint64_t)special_key_at(keys[i]) << 32 | special_key_id(keys[i]);
        } else {
            if (!covered && !(covered = lm_mem_new(&t->host->mem, len / 8 + 8, LLM_MEMORY_TOKENIZER))) {
                status = lm_fail_memory(error, "the special tokens of a text", len / 8 + 8);
                break;
            }
            n_stand = special_decide(t, &whole, covered, keys + i, next - i);
        }
        memmove(keys + n_places, keys + next - n_stand, n_stand * sizeof *keys);
        n_places += n_stand;
    }
    lm_mem_free(&t->host->mem, covered);
    if (status != LLM_OK) {
        lm_mem_free(&t->host->mem, keys);
        return status;
    }
    *places = keys;
    *n = n_places;
    return LLM_OK;
}

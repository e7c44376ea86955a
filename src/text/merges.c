/* SPDX-License-Identifier: MIT
 * The merges of byte-level BPE, from a file's "left right" to pairs of ids. A vocabulary has hundreds of thousands: most of the time that
 * it takes to load. So pieces are found by their text as it stands in the file, no byte of it mapped, in a table that exists for this
 * alone; and what a batch of merges needs from memory is asked for before it is used, so that the waits overlap.
 *
 * Finding by text is finding by bytes: a token that text may become (LM_MARK_TEXT) is written with characters that stand for one byte
 * each. Threads: one, at creation. */
#include "text/encoder.h"

#include "base/str.h"

enum { MERGES_BATCH = 32, MERGES_PIECES = 2 * MERGES_BATCH, MERGES_BYTES = 4096 };

/* ---- from texts to ids ---- */

/* Open addressing with linear probing. A text of up to 12 bytes stands in its slot, zeros behind it (no character that stands for a byte
 * is NUL): one line of the cache answers. Of a longer one a hash stands there, and a rest that no text ends in. */
typedef struct merges_name { uint64_t low; uint32_t high, id; } merges_name;       /* id LM_ID_NONE: free */
enum { MERGES_INLINE = 12 };
#define MERGES_LONG UINT32_MAX

typedef struct merges_names {
    const llm_str *texts;
    merges_name *slots;
    uint32_t n_slots;
} merges_names;

LM_INLINE uint64_t merges_load8(const char *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}
LM_INLINE uint64_t merges_load4(const char *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

LM_INLINE uint64_t merges_mix(uint64_t a, uint64_t b)
{
    a = (a ^ a >> 32) * 0xd6e8feb86659fd93u ^ b * 0x9e3779b97f4a7c15u;
    return (a ^ a >> 32) * 0xd6e8feb86659fd93u;
}

/* The key of a text of 1 byte or more, its id missing. */
LM_INLINE merges_name merges_key_of(llm_str text)
{
    const char *at = text.ptr;
    size_t len = text.len;
    uint64_t hash = len;
    if (LM_UNLIKELY(at[len - 1] == 0))                      /* no token's: it would look like the text before the NUL */
        return (merges_name){ 0, 0, LM_ID_NONE };
    if (LM_LIKELY(len < 8)) {
        if (len >= 4)
            return (merges_name){ merges_load4(at) | merges_load4(at + len - 4) >> 8 * (8 - len) << 32, 0, LM_ID_NONE };
        return (merges_name){ (uint64_t)(unsigned char)at[0] | (uint64_t)(unsigned char)at[len >> 1] << 8 * (len >> 1) |
                              (uint64_t)(unsigned char)at[len - 1] << 8 * (len - 1), 0, LM_ID_NONE };
    }
    if (LM_LIKELY(len <= MERGES_INLINE))
        return (merges_name){ merges_load8(at), (uint32_t)(merges_load4(at + len - 4) >> 8 * (MERGES_INLINE - len)), LM_ID_NONE };
    for (size_t i = 0; i + 8 < len; i += 8)
        hash = merges_mix(hash, merges_load8(at + i));
    return (merges_name){ merges_mix(hash, merges_load8(at + len - 8)), MERGES_LONG, LM_ID_NONE };
}

LM_INLINE uint32_t merges_home(const merges_names *names, const merges_name *key)
{
    return (uint32_t)(((merges_mix(key->low, key->high) >> 32) * names->n_slots) >> 32);
}

LM_INLINE bool merges_same(const merges_names *names, const merges_name *slot, const merges_name *key, llm_str text)
{
    if (slot->low != key->low || slot->high != key->high)
        return false;
    return key->high != MERGES_LONG || lm_str_same(names->texts[slot->id], text);
}

/* From `home` on, the slot of this text, or the free one where it belongs; NULL after too many probes. */
LM_INLINE merges_name *merges_slot(const merges_names *names, uint32_t home, const merges_name *key, llm_str text)
{
    for (uint32_t probes = 0; probes < LM_MAX_PROBES; probes++) {
        merges_name *slot = &names->slots[home];
        if (slot->id == LM_ID_NONE || merges_same(names, slot, key, text))
            return slot;
        if (++home == names->n_slots)
            home = 0;
    }
    return NULL;
}

/* Looks up n texts, n <= MERGES_PIECES. */
static void merges_find(const merges_names *names, const llm_str *texts, uint32_t *ids, size_t n)
{
    merges_name keys[MERGES_PIECES];
    uint32_t homes[MERGES_PIECES];
    for (size_t i = 0; i < n; i++) {
        keys[i] = merges_key_of(texts[i]);
        homes[i] = merges_home(names, &keys[i]);
        LM_PREFETCH(&names->slots[homes[i]]);
    }
    for (size_t i = 0; i < n; i++) {
        const merges_name *slot = merges_slot(names, homes[i], &keys[i], texts[i]);
        ids[i] = slot ? slot->id : LM_ID_NONE;
    }
}

static bool merges_enter(merges_names *names, const uint32_t *ids, size_t n)
{
    merges_name keys[MERGES_PIECES];
    uint32_t homes[MERGES_PIECES];
    for (size_t i = 0; i < n; i++) {
        keys[i] = merges_key_of(names->texts[ids[i]]);
        homes[i] = merges_home(names, &keys[i]);
        LM_PREFETCH(&names->slots[homes[i]]);
    }
    for (size_t i = 0; i < n; i++) {
        merges_name *slot = merges_slot(names, homes[i], &keys[i], names->texts[ids[i]]);
        if (!slot)
            return false;
        keys[i].id = ids[i];
        *slot = keys[i];
    }
    return true;
}

/* As the tokens themselves are found: ordinary ones before control tokens, the last of equals. */
static llm_status merges_enter_all(merges_names *names, const lm_tokenizer *t, llm_error *error)
{
    uint32_t ids[MERGES_PIECES], n = 0;
    bool done = true;
    for (int32_t normal = 0; normal < 2; normal++)
        for (uint32_t id = 0; id < t->n_vocab; id++) {
            uint32_t kind = lm_token_kind(t, id);
            if (!(t->marks[id] & LM_MARK_TEXT) || (kind == LLM_TOKEN_NORMAL || kind == LLM_TOKEN_UNUSED) != (normal == 1))
                continue;
            ids[n++] = id;
            if (n == MERGES_PIECES) {
                done = done && merges_enter(names, ids, n);
                n = 0;
            }
        }
    if (!done || !merges_enter(names, ids, n))
        return lm_fail_at(error, LLM_E_LIMIT, "tokenizer.ggml.tokens", 21, UINT64_MAX, "tokenizer.ggml.tokens: too many tokens collide");
    return LLM_OK;
}

/* ---- merges ---- */

typedef struct merges_batch {
    merges_names names;
    uint64_t first;                     /* number of the first merge */
    size_t   n;
    llm_str  pieces[MERGES_PIECES];     /* of each merge the left and the right one */
    char    *bytes; size_t used, cap;   /* what merges make, where it has to be looked up */
    uint32_t last;                      /* the token that the merge before made */
} merges_batch;

static const char merges_key[] = "tokenizer.ggml.merges";

llm_status lm_bpe_merge_lie(llm_error *error, uint64_t index, const char *what)
{
    return lm_fail_at(error, LLM_E_FORMAT, merges_key, sizeof merges_key - 1, UINT64_MAX, "tokenizer.ggml.merges: merge %llu %s", (unsigned long long)index, what);
}

bool lm_bpe_split_merge(llm_str merge, llm_str pieces[2])
{
    const char *space = merge.len > 2 ? memchr(merge.ptr + 1, ' ', merge.len - 1) : NULL;
    if (!space || space == merge.ptr + merge.len - 1)
        return false;
    pieces[0] = (llm_str){ merge.ptr, (size_t)(space - merge.ptr) };
    pieces[1] = (llm_str){ space + 1, merge.len - pieces[0].len - 1 };
    return true;
}

LM_INLINE bool merges_equal(const char *a, const char *b, size_t len)       /* of 1 byte or more */
{
    if (len >= 8)
        return merges_load8(a) == merges_load8(b) && (len <= 16 ? merges_load8(a + len - 8) == merges_load8(b + len - 8) : memcmp(a, b, len) == 0);
    if (len >= 4)
        return ((merges_load4(a) ^ merges_load4(b)) | (merges_load4(a + len - 4) ^ merges_load4(b + len - 4))) == 0;
    return a[0] == b[0] && a[len >> 1] == b[len >> 1] && a[len - 1] == b[len - 1];
}

/* The token that two pieces make, if it is the one made last or its successor: merges come in the order of what they make, as a rule.
 * Where tokens have twins, it has to be looked up which one is found. */
static uint32_t merges_guess(const lm_tokenizer *t, merges_batch *batch, const llm_str *pieces)
{
    for (uint32_t id = batch->last; id < t->n_vocab && id - batch->last <= 1 && t->tokens.n_twins == 0; id++) {
        llm_str text = batch->names.texts[id];
        if (text.len == pieces[0].len + pieces[1].len && (t->marks[id] & LM_MARK_TEXT) && merges_equal(text.ptr, pieces[0].ptr, pieces[0].len) &&
            merges_equal(text.ptr + pieces[0].len, pieces[1].ptr, pieces[1].len))
            return batch->last = id;
    }
    return LM_ID_NONE;
}

/* What each merge of the batch makes goes to t->values; LM_ID_NONE: nothing. */
static void merges_find_sums(lm_tokenizer *t, merges_batch *batch)
{
    uint32_t *both = t->values + batch->first, ids[MERGES_BATCH];
    llm_str sums[MERGES_BATCH];
    char *sum = batch->bytes;
    size_t n = 0;
    for (size_t i = 0; i < batch->n; i++) {
        const llm_str *pieces = &batch->pieces[2 * i];
        both[i] = merges_guess(t, batch, pieces);
        if (both[i] != LM_ID_NONE)
            continue;
        sums[n++] = (llm_str){ sum, pieces[0].len + pieces[1].len };
        for (int piece = 0; piece < 2; piece++) {
            memcpy(sum, pieces[piece].ptr, pieces[piece].len);
            sum += pieces[piece].len;
        }
    }
    if (n > 0)
        merges_find(&batch->names, sums, ids, n);
    for (size_t i = 0, j = 0; i < batch->n; i++)
        if (both[i] == LM_ID_NONE) {
            both[i] = ids[j++];
            batch->last = both[i] == LM_ID_NONE ? batch->last : both[i];
        }
}

/* A piece that is no token, or cannot be one. */
static llm_status merges_lie_of_piece(llm_error *error, uint64_t index, llm_str piece, char *bytes)
{
    bool mapped;
    lm_bpe_bytes(piece, bytes, &mapped);
    return lm_bpe_merge_lie(error, index, mapped ? "has a piece that is no token" : "has a character that stands for no byte");
}

static llm_status merges_add(lm_tokenizer *t, merges_batch *batch, llm_error *error)
{
    const uint32_t *both = t->values + batch->first;
    uint32_t ids[MERGES_PIECES];
    lm_pair pairs[MERGES_BATCH];
    size_t n = 0;
    llm_status status = LLM_OK;
    merges_find(&batch->names, batch->pieces, ids, 2 * batch->n);
    merges_find_sums(t, batch);
    for (size_t i = 0; i < batch->n && status == LLM_OK; i++) {
        uint32_t left = ids[2 * i], right = ids[2 * i + 1];
        if (left == LM_ID_NONE || right == LM_ID_NONE)
            status = merges_lie_of_piece(error, batch->first + i, batch->pieces[2 * i + (left != LM_ID_NONE)], batch->bytes);
        else if (both[i] == LM_ID_NONE)
            status = lm_bpe_merge_lie(error, batch->first + i, "makes what is no token");
        else if (lm_token_plain(t, left) && lm_token_plain(t, right) && lm_token_plain(t, both[i]))     /* control tokens do not come from text */
            pairs[n++] = (lm_pair){ left, right, (uint32_t)(batch->first + i) };
    }
    LM_TRY(status);
    if (!lm_pairs_add(&t->pairs, pairs, n))
        return lm_fail_at(error, LLM_E_LIMIT, merges_key, sizeof merges_key - 1, UINT64_MAX, "tokenizer.ggml.merges: too many pairs collide");
    batch->first += batch->n;
    batch->n = batch->used = 0;
    return LLM_OK;
}

static llm_status merges_add_all(lm_tokenizer *t, const lm_vocab_desc *vocab, merges_batch *batch, llm_error *error)
{
    for (uint64_t i = 0; i < vocab->n_merges; i++) {
        llm_str merge = vocab->merges[i];
        if (batch->n == MERGES_BATCH || merge.len > batch->cap - batch->used)
            LM_TRY(merges_add(t, batch, error));
        if (!lm_bpe_split_merge(merge, &batch->pieces[2 * batch->n])) {
            LM_TRY(merges_add(t, batch, error));            /* a lie of an earlier one is told first */
            return lm_bpe_merge_lie(error, i, "is not two pieces with a space between them");
        }
        batch->used += merge.len;
        batch->n++;
    }
    return merges_add(t, batch, error);
}

/* Room for a table of the vocabulary's texts and for what the merges of a batch make. */
static llm_status merges_begin(merges_batch *batch, lm_mem *mem, const lm_tokenizer *t, const lm_vocab_desc *vocab, llm_error *error)
{
    merges_names *names = &batch->names;
    for (uint64_t i = 0; i < vocab->n_merges; i++) {
        if (!vocab->merges[i].ptr || vocab->merges[i].len > 2 * (size_t)LM_MAX_TOKEN_BYTES)
            return lm_bpe_merge_lie(error, i, vocab->merges[i].ptr ? "is too long" : "is missing");
        batch->cap = LM_MAX(batch->cap, vocab->merges[i].len);
    }
    names->texts = vocab->tokens;
    names->n_slots = t->n_vocab + t->n_vocab / 4 + 16;
    names->slots = lm_mem_raw(mem, names->n_slots * sizeof *names->slots, LLM_MEMORY_TOKENIZER);
    batch->bytes = lm_mem_raw(mem, batch->cap, LLM_MEMORY_TOKENIZER);
    if (!names->slots || !batch->bytes)
        return lm_fail_memory(error, "the merges", names->n_slots * sizeof *names->slots + batch->cap);
    memset(names->slots, 0xff, names->n_slots * sizeof *names->slots);
    return merges_enter_all(names, t, error);
}

llm_status lm_bpe_build(lm_tokenizer *t, const lm_vocab_desc *vocab, llm_error *error)
{
    lm_mem *mem = &t->host->mem;
    merges_batch batch = { .last = 255, .cap = MERGES_BYTES };
    llm_status status;
    for (uint32_t byte = 0; byte < 256; byte++) {
        char text = (char)byte;
        uint32_t id = lm_tokens_find(&t->tokens, &text, 1, lm_hash_more(0, &text, 1));
        if (id != LM_ID_NONE && lm_token_plain(t, id))
            t->bytes[byte] = id;
    }
    if (vocab->n_merges == 0 && t->pre->flags & LM_PRE_RANKS)
        return lm_spm_find_pairs(t, error);
    if (vocab->n_merges == 0)
        for (uint32_t id = 0; id < t->n_vocab; id++)
            if (lm_token_kind(t, id) == LLM_TOKEN_NORMAL && lm_tokens_str(&t->tokens, id).len > 1)
                return lm_fail_at(error, LLM_E_FORMAT, merges_key, sizeof merges_key - 1, UINT64_MAX,
                                  "tokenizer.ggml.merges is missing: token %u can only come from merges", id);
    LM_TRY(lm_pairs_init(&t->pairs, mem, vocab->n_merges, t->n_vocab, vocab->n_merges, error));
    t->values = lm_mem_raw(mem, (size_t)vocab->n_merges * sizeof *t->values, LLM_MEMORY_TOKENIZER);
    t->pairs.result = t->values;
    if (!t->values)
        return lm_fail_memory(error, "the merges", (size_t)vocab->n_merges * sizeof *t->values);
    if (vocab->n_merges == 0)
        return LLM_OK;
    status = merges_begin(&batch, mem, t, vocab, error);
    if (status == LLM_OK)
        status = merges_add_all(t, vocab, &batch, error);
    lm_mem_free(mem, batch.names.slots);
    lm_mem_free(mem, batch.bytes);
    return status;
}
#undef MERGES_LONG

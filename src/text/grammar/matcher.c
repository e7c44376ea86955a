/* SPDX-License-Identifier: MIT
 * An automaton at work. Floor 3.
 *
 * Where a text stands is a set of threads, each a state with a stack of states to come back to. Sets and stacks are kept once each and known
 * by number; where a byte leads from a set is found when it is first asked for, and kept. So walking is a look into a table soon.
 *
 * A mask is a walk over the tree of the vocabulary. Where most bytes lead from one set to the same other one, as within a string, whole subtrees are
 * taken at once: those whose kinds of bytes all lead there (matcher_judge), as far down as they go. Few nodes are left to be looked at one by one.
 *
 * What a walk finds depends on the tops of the stacks alone as long as a token does not end what all threads are in. So it is done for the set with
 * its common stack cut off, once, and notes the places where tokens leave it; only from there on tokens are looked at again for each stack. A
 * string within ten arrays costs no new walk. Where a set is left at many places, each set has a walk of its own.
 *
 * Invariants: 1. set 0 is "not known yet", 1 is dead. 2. The threads of a set are sorted, and stand in states that read bytes. 3. A set that
 * would have more than MATCHER_MOST_THREADS is dead: what leads there is not legal. 4. Tables grow until they hold `limit` bytes; then
 * lm_matcher_holds is false for all places, and the next start throws them away. */
#include "text/grammar/automaton.h"

#include <stdlib.h>
#include <string.h>

enum { MATCHER_MOST_THREADS = 4096, MATCHER_VISITS = 16384, MATCHER_SLOTS = 1 << 14, MATCHER_DEAD = 1, MATCHER_SPARE = 4 };
#define MATCHER_LIMIT ((size_t)LM_BOUND(64, 4) << 20)
enum { MATCHER_JUDGED = 1, MATCHER_JUDGED_BEYOND, MATCHER_WORTH = 8, MATCHER_MOST_EXITS = 2048, MATCHER_MOST_LEADS = 4096 };

typedef struct matcher_thread { uint32_t state, stack; } matcher_thread;
/* mask, top: numbers, 0: none yet; top: with exits, as the top of other sets. kinds: those of which every byte, or character, leads `to`. far: so
 * many characters of PLAIN kinds are legal, and none of them is an end. */
typedef struct matcher_set { uint32_t at, n, chain, mask, top, kinds, to; bool ends; uint8_t judged, far; } matcher_set;
typedef struct matcher_stack { uint32_t back, under, chain, depth; } matcher_stack;     /* 0: empty */
typedef struct matcher_mask { uint64_t *bits; uint32_t n_legal, *exits, n_exits; } matcher_mask;
typedef struct matcher_visit { uint32_t stamp, state, stack; } matcher_visit;

struct lm_matcher {
    lm_mem *mem;
    const lm_automaton *a;
    const lm_trie *trie;                    /* or NULL */
    size_t limit, held;
    uint32_t age, stamp;
    matcher_set *sets; uint32_t n_sets, cap_sets;
    uint32_t *next;                         /* [cap_sets][n_classes] */
    matcher_thread *threads; uint32_t n_threads, cap_threads;
    matcher_stack *stacks; uint32_t n_stacks, cap_stacks;
    matcher_mask *masks; uint32_t n_masks, cap_masks;
    uint32_t *set_slots, *stack_slots;      /* [MATCHER_SLOTS] */
    matcher_visit *visits;                  /* [MATCHER_VISITS], those of this stamp */
    matcher_thread *found; uint32_t n_found;/* [MATCHER_VISITS / 2]: the set being made */
    uint32_t *exits; uint32_t n_exits;      /* [MATCHER_MOST_EXITS + 1]: of the walk in progress */
    uint64_t *ranks; uint32_t n_put;        /* bits: ranks of the tokens that the walk in progress has found; none between walks */
    uint64_t *spare;                        /* a mask that is not kept */
    bool ends;
    llm_status status;                      /* of the call in progress */
    llm_error *error;
};

/* ---- tables ----------------------------------------------------------------------------------------------------------------- */

static bool matcher_fail_memory(lm_matcher *m, size_t bytes)
{
    m->status = lm_fail_memory(m->error, "a grammar's tables", bytes);
    return false;
}

static bool matcher_room(lm_matcher *m, void **array, uint32_t n, uint32_t *cap, size_t size)
{
    if (n <= *cap)
        return true;
    uint32_t more = LM_MAX(LM_MAX(64u, n), *cap + *cap / 2);
    if (m->held + (more - *cap) * size > m->limit * MATCHER_SPARE) {
        m->status = lm_fail(m->error, LLM_E_LIMIT, "the grammar needs tables of more than %zu bytes here: it has too many ways to read a text", m->limit * MATCHER_SPARE);
        return false;
    }
    void *grown = lm_mem_grow(m->mem, *array, more * size, LLM_MEMORY_OTHER);
    if (!grown)
        return matcher_fail_memory(m, more * size);
    m->held += (more - *cap) * size;
    *array = grown;
    *cap = more;
    return true;
}
#define MATCHER_ROOM(m, array, n, cap) matcher_room((m), (void **)(void *)&(m)->array, (n), &(m)->cap, sizeof *(m)->array)

static bool matcher_room_set(lm_matcher *m)
{
    uint32_t cap = m->cap_sets;
    if (m->n_sets < cap)
        return true;
    if (!MATCHER_ROOM(m, sets, m->n_sets + 1, cap_sets))
        return false;
    uint32_t next_cap = cap;
    if (matcher_room(m, (void **)(void *)&m->next, m->cap_sets, &next_cap, m->a->n_classes * sizeof *m->next))
        return m->cap_sets <= next_cap;
    m->cap_sets = cap;                      /* the larger array of sets stays, unused */
    return false;
}

static void matcher_clear(lm_matcher *m)
{
    for (uint32_t i = 1; i < m->n_masks; i++) {
        lm_mem_free(m->mem, m->masks[i].bits);
        lm_mem_free(m->mem, m->masks[i].exits);
    }
    lm_mem_free(m->mem, m->sets);
    lm_mem_free(m->mem, m->next);
    lm_mem_free(m->mem, m->threads);
    lm_mem_free(m->mem, m->stacks);
    lm_mem_free(m->mem, m->masks);
    m->sets = NULL;
    m->next = NULL;
    m->threads = NULL;
    m->stacks = NULL;
    m->masks = NULL;
    m->n_sets = m->cap_sets = m->n_threads = m->cap_threads = m->n_stacks = m->cap_stacks = m->n_masks = m->cap_masks = 0;
    m->held = 0;
}

/* Empty tables: set 0 and 1, stack 0, mask 0. */
static bool matcher_reset(lm_matcher *m)
{
    matcher_clear(m);
    m->age++;
    memset(m->set_slots, 0, MATCHER_SLOTS * sizeof *m->set_slots);
    memset(m->stack_slots, 0, MATCHER_SLOTS * sizeof *m->stack_slots);
    if (!matcher_room_set(m) || !MATCHER_ROOM(m, stacks, 1, cap_stacks) || !MATCHER_ROOM(m, masks, 1, cap_masks))
        return false;
    m->n_sets = 2;
    m->n_stacks = m->n_masks = 1;
    for (uint32_t k = 0; k < m->a->n_classes; k++)
        m->next[m->a->n_classes + k] = MATCHER_DEAD;
    m->sets[0] = m->sets[1] = (matcher_set){ 0 };
    m->stacks[0] = (matcher_stack){ 0 };
    return true;
}

static uint32_t matcher_hash(uint32_t a, uint32_t b)
{
    uint64_t h = ((uint64_t)a << 32 | b) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(h >> 32);
}

/* The stack with `back` on top of `under`; 0: failed. */
static uint32_t matcher_push(lm_matcher *m, uint32_t back, uint32_t under)
{
    uint32_t slot = matcher_hash(back, under) % MATCHER_SLOTS;
    for (uint32_t i = m->stack_slots[slot]; i; i = m->stacks[i].chain)
        if (m->stacks[i].back == back && m->stacks[i].under == under)
            return i;
    if (!MATCHER_ROOM(m, stacks, m->n_stacks + 1, cap_stacks))
        return 0;
    m->stacks[m->n_stacks] = (matcher_stack){ back, under, m->stack_slots[slot], m->stacks[under].depth + 1 };
    m->stack_slots[slot] = m->n_stacks;
    return m->n_stacks++;
}

/* ---- sets ------------------------------------------------------------------------------------------------------------------- */

static void matcher_begin(lm_matcher *m)
{
    if (++m->stamp == 0) {
        memset(m->visits, 0, MATCHER_VISITS * sizeof *m->visits);
        m->stamp = 1;
    }
    m->n_found = 0;
    m->ends = false;
}

/* false: too many, or failed. */
static bool matcher_visit_state(lm_matcher *m, uint32_t state, uint32_t stack)
{
    uint32_t slot = matcher_hash(state, stack) % MATCHER_VISITS;
    for (; m->visits[slot].stamp == m->stamp; slot = (slot + 1) % MATCHER_VISITS)
        if (m->visits[slot].state == state && m->visits[slot].stack == stack)
            return true;
    if (m->n_found == MATCHER_VISITS / 2)
        return false;
    m->visits[slot] = (matcher_visit){ m->stamp, state, stack };
    m->found[m->n_found++] = (matcher_thread){ state, stack };
    return true;
}

static int matcher_order(const void *a, const void *b)
{
    const matcher_thread *x = a, *y = b;
    if (x->state != y->state)
        return x->state < y->state ? -1 : 1;
    return x->stack < y->stack ? -1 : x->stack > y->stack;
}

/* What is found becomes a set of the tables; 0: failed. */
static uint32_t matcher_intern(lm_matcher *m)
{
    uint32_t n = m->n_found, hash = m->ends;
    if (n == 0 && !m->ends)
        return MATCHER_DEAD;
    if (n > 1)
        qsort(m->found, n, sizeof *m->found, matcher_order);
    for (uint32_t i = 0; i < n; i++)
        hash = matcher_hash(hash ^ m->found[i].state, m->found[i].stack);
    hash %= MATCHER_SLOTS;
    for (uint32_t i = m->set_slots[hash]; i; i = m->sets[i].chain)
        if (m->sets[i].n == n && m->sets[i].ends == m->ends && (n == 0 || memcmp(m->threads + m->sets[i].at, m->found, n * sizeof *m->found) == 0))
            return i;
    if (!matcher_room_set(m) || !MATCHER_ROOM(m, threads, m->n_threads + n, cap_threads))
        return 0;
    if (n)
        memcpy(m->threads + m->n_threads, m->found, n * sizeof *m->found);
    memset(m->next + (size_t)m->n_sets * m->a->n_classes, 0, m->a->n_classes * sizeof *m->next);
    m->sets[m->n_sets] = (matcher_set){ .at = m->n_threads, .n = n, .chain = m->set_slots[hash], .ends = m->ends };
    m->n_threads += n;
    m->set_slots[hash] = m->n_sets;
    return m->n_sets++;
}

/* Over empty moves, into calls and back from them; then only those that read bytes are kept. */
static uint32_t matcher_close(lm_matcher *m)
{
    const lm_automaton *a = m->a;
    bool fits = true;
    for (uint32_t i = 0; i < m->n_found && fits; i++) {
        matcher_thread thread = m->found[i];
        if (a->ends[thread.state]) {
            if (thread.stack == 0)
                m->ends = true;
            else
                fits = matcher_visit_state(m, m->stacks[thread.stack].back, m->stacks[thread.stack].under);
        }
        for (uint32_t k = a->first[thread.state]; k < a->first[thread.state + 1] && fits; k++) {
            const lm_move *move = &a->moves[k];
            if (move->kind == LM_MOVE_EMPTY)
                fits = matcher_visit_state(m, move->to, thread.stack);
            else if (move->kind == LM_MOVE_CALL) {
                uint32_t stack = move->to ? matcher_push(m, move->to, thread.stack) : thread.stack;
                if (m->status < 0)
                    return 0;
                fits = matcher_visit_state(m, move->start, stack);
            }
        }
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->n_found; i++) {
        uint32_t state = m->found[i].state;
        bool reads = false;
        for (uint32_t k = a->first[state]; k < a->first[state + 1] && !reads; k++)
            reads = a->moves[k].kind == LM_MOVE_BYTES;
        if (reads)
            m->found[n++] = m->found[i];
    }
    m->n_found = n;
    return fits && n <= MATCHER_MOST_THREADS ? matcher_intern(m) : MATCHER_DEAD;
}

static uint32_t matcher_find_step(lm_matcher *m, uint32_t set, uint32_t klass)
{
    const lm_automaton *a = m->a;
    uint8_t byte = a->example[klass];
    bool fits = true;
    matcher_begin(m);
    for (uint32_t i = 0; i < m->sets[set].n; i++) {
        matcher_thread thread = m->threads[m->sets[set].at + i];
        for (uint32_t k = a->first[thread.state]; k < a->first[thread.state + 1]; k++)
            if (a->moves[k].kind == LM_MOVE_BYTES && a->moves[k].lo <= byte && byte <= a->moves[k].hi)
                fits &= matcher_visit_state(m, a->moves[k].to, thread.stack);
    }
    uint32_t to = fits ? matcher_close(m) : MATCHER_DEAD;
    m->next[(size_t)set * a->n_classes + klass] = to;       /* 0 on failure: asked again */
    return to;
}

/* 0: failed. */
LM_INLINE uint32_t matcher_step(lm_matcher *m, uint32_t set, uint8_t byte)
{
    uint32_t klass = m->a->classes[byte], to = m->next[(size_t)set * m->a->n_classes + klass];
    return to ? to : matcher_find_step(m, set, klass);
}

static uint32_t matcher_set_of(lm_matcher *m, uint32_t state, uint32_t stack)
{
    matcher_begin(m);
    return matcher_visit_state(m, state, stack) ? matcher_close(m) : MATCHER_DEAD;
}

/* ---- masks ------------------------------------------------------------------------------------------------------------------ */

/* Where all threads' stacks meet. */
static uint32_t matcher_common(const lm_matcher *m, uint32_t set)
{
    const matcher_set *s = &m->sets[set];
    uint32_t common = s->n ? m->threads[s->at].stack : 0;
    for (uint32_t i = 1; i < s->n && common; i++) {
        uint32_t other = m->threads[s->at + i].stack;
        while (other != common)
            if (m->stacks[other].depth > m->stacks[common].depth)
                other = m->stacks[other].under;
            else
                common = m->stacks[common].under;
    }
    return common;
}

/* The same set with `common` as the bottom of its stacks. */
static uint32_t matcher_cut(lm_matcher *m, uint32_t set, uint32_t common)
{
    matcher_set s = m->sets[set];
    matcher_begin(m);
    for (uint32_t i = 0; i < s.n; i++) {
        matcher_thread thread = m->threads[s.at + i];
        uint32_t stack = 0, n = m->stacks[thread.stack].depth - m->stacks[common].depth;
        for (; n > 0 && m->status >= 0; n--) {              /* from the bottom up; they are few */
            uint32_t at = thread.stack;
            for (uint32_t k = 1; k < n; k++)
                at = m->stacks[at].under;
            stack = matcher_push(m, m->stacks[at].back, stack);
        }
        if (m->status < 0)
            return 0;
        m->found[m->n_found++] = (matcher_thread){ thread.state, stack };
    }
    return matcher_intern(m);
}

/* Characters beyond ASCII, by first bytes: what may follow. */
static const struct { uint8_t lo, hi, next_lo, next_hi, missing; } matcher_leads[] = {
    { 0xc2, 0xdf, 0x80, 0xbf, 1 }, { 0xe0, 0xe0, 0xa0, 0xbf, 2 }, { 0xe1, 0xec, 0x80, 0xbf, 2 }, { 0xed, 0xed, 0x80, 0x9f, 2 },
    { 0xee, 0xef, 0x80, 0xbf, 2 }, { 0xf0, 0xf0, 0x90, 0xbf, 3 }, { 0xf1, 0xf3, 0x80, 0xbf, 3 }, { 0xf4, 0xf4, 0x80, 0x8f, 3 },
};

/* Do these bytes, and `missing` - 1 behind each, all lead from set to `to`, over no end? false too when it failed, or is too much to look at. */
static bool matcher_leads_to(lm_matcher *m, uint32_t set, uint32_t lo, uint32_t hi, uint32_t missing, uint32_t to, uint32_t *n_steps)
{
    const uint8_t *classes = m->a->classes;
    for (uint32_t byte = lo; byte <= hi; byte++) {
        if (byte > lo && classes[byte] == classes[byte - 1])
            continue;
        uint32_t there = matcher_step(m, set, (uint8_t)byte);
        if (++*n_steps > MATCHER_MOST_LEADS || there <= MATCHER_DEAD)
            return false;
        if (missing == 1 ? there != to : m->sets[there].ends || !matcher_leads_to(m, there, 0x80, 0xbf, missing - 1, to, n_steps))
            return false;
    }
    return true;
}

static bool matcher_beyond(lm_matcher *m, uint32_t set, uint32_t to)
{
    uint32_t n_steps = 0;
    for (size_t i = 0; i < LM_COUNT(matcher_leads); i++)
        for (uint32_t byte = matcher_leads[i].lo; byte <= matcher_leads[i].hi; byte++) {
            if (byte > matcher_leads[i].lo && m->a->classes[byte] == m->a->classes[byte - 1])
                continue;
            uint32_t there = matcher_step(m, set, (uint8_t)byte);
            if (there <= MATCHER_DEAD || m->sets[there].ends ||
                !matcher_leads_to(m, there, matcher_leads[i].next_lo, matcher_leads[i].next_hi, matcher_leads[i].missing, to, &n_steps))
                return false;
        }
    return true;
}

/* Where most kinds of ASCII bytes lead from a set, and which all do. false: failed. */
static bool matcher_judge(lm_matcher *m, uint32_t set)
{
    uint32_t to[LM_TRIE_ASCII_KINDS] = { 0 }, best = 0, most = 0, kinds = 0;
    for (uint32_t b = 0; b < 128; b++) {
        uint32_t there = matcher_step(m, set, (uint8_t)b), *kind = &to[lm_trie_kinds[b]];
        if (there == 0)
            return false;
        *kind = *kind == 0 || *kind == there ? there : MATCHER_DEAD;
    }
    for (uint32_t k = 0; k < LM_TRIE_ASCII_KINDS; k++) {
        uint32_t n = 0;
        for (uint32_t i = 0; i < LM_TRIE_ASCII_KINDS && to[k] > MATCHER_DEAD; i++)
            n += to[i] == to[k];
        best = n > most ? to[k] : best;
        most = LM_MAX(n, most);
    }
    for (uint32_t k = 0; k < LM_TRIE_ASCII_KINDS && most; k++)
        kinds |= to[k] == best ? (uint32_t)1 << k : 0;
    m->sets[set].kinds = kinds;
    m->sets[set].to = best;
    m->sets[set].judged = MATCHER_JUDGED;
    return true;
}

/* The same of characters beyond ASCII, where they are asked for: they have many sets on their way. */
static bool matcher_judge_beyond(lm_matcher *m, uint32_t set)
{
    bool takes = m->sets[set].kinds && matcher_beyond(m, set, m->sets[set].to);
    if (m->status < 0)
        return false;
    m->sets[set].kinds |= takes ? LM_TRIE_BEYOND : 0;
    m->sets[set].judged = MATCHER_JUDGED_BEYOND;
    return true;
}

/* Is all legal that has these kinds alone and so many characters, from a set on? With note: and no end among it. false too when it failed. */
static bool matcher_takes(lm_matcher *m, uint32_t set, uint32_t kinds, uint32_t chars, bool note)
{
    uint32_t first = set, n = chars;
    bool ends = false;
    if (chars <= m->sets[set].far && !(kinds & ~(uint32_t)LM_TRIE_PLAIN))
        return true;
    for (;; n--) {
        if (!m->sets[set].judged && !matcher_judge(m, set))
            return false;
        if ((kinds & ~m->sets[set].kinds & ~(uint32_t)LM_TRIE_BEYOND) != 0)
            return false;
        if (kinds & LM_TRIE_BEYOND && m->sets[set].judged != MATCHER_JUDGED_BEYOND && !matcher_judge_beyond(m, set))
            return false;
        uint32_t to = m->sets[set].to;
        ends = ends || m->sets[to].ends;
        if (kinds & ~m->sets[set].kinds || (note && ends))
            return false;
        if (to == set || n <= 1)
            break;
        set = to;
    }
    if (kinds == LM_TRIE_PLAIN && !ends)
        m->sets[first].far = (uint8_t)chars;
    return true;
}

static void matcher_put(lm_matcher *m, uint32_t from, uint32_t to)      /* ranks [from, to) */
{
    m->n_put += to - from;
    for (uint32_t word = from / 64; from < to; word++) {
        uint32_t end = LM_MIN(to, (word + 1) * 64), n = end - from;
        m->ranks[word] |= (n == 64 ? UINT64_MAX : ((uint64_t)1 << n) - 1) << from % 64;
        from = end;
    }
}

/* The node behind those from i on, beside one another below what `set` holds, that are all legal; i: none are, or not all. A set is judged for what
 * is worth it. */
static uint32_t matcher_taken(lm_matcher *m, uint32_t set, uint32_t i, bool note)
{
    const lm_trie_node *node = &m->trie->nodes[i];
    bool judged = m->sets[set].judged;
    uint32_t kinds = judged ? m->sets[set].kinds | LM_TRIE_BEYOND : UINT32_MAX, worth = judged ? 1 : MATCHER_WORTH;
    if (node->run_end - i >= worth && !(LM_TRIE_PLAIN & ~kinds) && matcher_takes(m, set, LM_TRIE_PLAIN, node->run_chars, note))
        return node->run_end;
    if (m->status == LLM_OK && node->skip - i >= worth && !(node->kinds & ~kinds) && matcher_takes(m, set, node->kinds, node->chars, note))
        return node->skip;
    return i;
}

/* Nodes [from, to), which lie below one that `set` holds at depth `depth`: legal ones into m->ranks, if note exits into m->exits, until they are too
 * many. false: failed. */
static bool matcher_walk(lm_matcher *m, uint32_t from, uint32_t to, uint32_t set, uint32_t depth, bool note)
{
    const lm_trie_node *nodes = m->trie->nodes;
    uint32_t sets[LM_TRIE_MOST_BYTES + 1];
    sets[depth] = set;
    for (uint32_t i = from; i < to && m->n_exits <= MATCHER_MOST_EXITS;) {
        const lm_trie_node *node = &nodes[i];
        uint32_t before = sets[node->depth - 1], end = matcher_taken(m, before, i, note);
        if (end > i) {
            matcher_put(m, node->rank, nodes[end].rank);
            i = end;
            continue;
        }
        uint32_t there = matcher_step(m, before, node->byte);
        if (m->status < 0)
            return false;
        if (there <= MATCHER_DEAD) {
            i = node->skip;
            continue;
        }
        sets[node->depth] = there;
        if (node[1].rank != node->rank)
            matcher_put(m, node->rank, node[1].rank);
        if (note && m->sets[there].ends)
            m->exits[m->n_exits++] = i;
        i++;
    }
    return true;
}

static uint32_t matcher_count(const uint64_t *bits, uint32_t n_words)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < n_words; i++) {
        uint64_t word = bits[i];
        word -= word >> 1 & 0x5555555555555555u;
        word = (word & 0x3333333333333333u) + (word >> 2 & 0x3333333333333333u);
        n += ((word + (word >> 4)) & 0x0f0f0f0f0f0f0f0fu) * 0x0101010101010101u >> 56;
    }
    return (uint32_t)n;
}

static void matcher_forget(lm_matcher *m)
{
    memset(m->ranks, 0, (m->trie->n_ranks / 64 + 1) * sizeof *m->ranks);
    m->n_put = m->n_exits = 0;
}

/* What walks have found goes from m->ranks to bits, by tokens. */
static void matcher_flush(lm_matcher *m, uint64_t *bits)
{
    const lm_trie *trie = m->trie;
    for (uint32_t at = 0; at < trie->n_ranks; at += 64)
        for (uint64_t word = m->ranks[at / 64]; word; word &= word - 1) {
            uint32_t token = trie->order[at + (uint32_t)__builtin_ctzll(word)];
            bits[token / 64] |= (uint64_t)1 << token % 64;
        }
    matcher_forget(m);
}

/* The same for a mask of nothing else, in the time of what is rarer: legal tokens or the others. */
static void matcher_flush_all(lm_matcher *m, uint64_t *bits)
{
    const lm_trie *trie = m->trie;
    if (m->n_put <= trie->n_ranks / 2) {
        memset(bits, 0, (trie->n_tokens / 64 + 1) * sizeof *bits);
        matcher_flush(m, bits);
        return;
    }
    memcpy(bits, trie->usable, (trie->n_tokens / 64 + 1) * sizeof *bits);
    for (uint32_t at = 0; at < trie->n_ranks; at += 64) {
        uint32_t n = LM_MIN(64u, trie->n_ranks - at);
        for (uint64_t word = ~m->ranks[at / 64] & (n == 64 ? UINT64_MAX : ((uint64_t)1 << n) - 1); word; word &= word - 1) {
            uint32_t token = trie->order[at + (uint32_t)__builtin_ctzll(word)];
            bits[token / 64] &= ~((uint64_t)1 << token % 64);
        }
    }
    matcher_forget(m);
}

/* Keeps a mask made of m->exits and bits, which it takes. 0: failed. */
static uint32_t matcher_keep(lm_matcher *m, uint64_t *bits, uint32_t n_legal, uint32_t n_exits)
{
    size_t words = m->trie->n_tokens / 64 + 1, bytes = words * sizeof *bits + n_exits * sizeof *m->exits;
    matcher_mask mask = { bits, n_legal, NULL, n_exits };
    if (n_exits && (mask.exits = lm_mem_new_array(m->mem, n_exits, sizeof *mask.exits, LLM_MEMORY_OTHER)) == NULL)
        matcher_fail_memory(m, n_exits * sizeof *mask.exits);
    if (m->status < 0 || !MATCHER_ROOM(m, masks, m->n_masks + 1, cap_masks)) {
        lm_mem_free(m->mem, mask.exits);
        lm_mem_free(m->mem, bits);
        return 0;
    }
    if (n_exits)
        memcpy(mask.exits, m->exits, n_exits * sizeof *m->exits);
    m->held += bytes;
    m->masks[m->n_masks] = mask;
    return m->n_masks++;
}

static uint64_t *matcher_new_bits(lm_matcher *m)
{
    uint64_t *bits = lm_mem_raw(m->mem, (m->trie->n_tokens / 64 + 1) * sizeof *bits, LLM_MEMORY_OTHER);
    if (!bits)
        matcher_fail_memory(m, m->trie->n_tokens / 8);
    return bits;
}

/* A mask by one walk; with exits, if note. 0: failed; UINT32_MAX: it has too many exits. */
static uint32_t matcher_walk_mask(lm_matcher *m, uint32_t set, bool note)
{
    if (!matcher_walk(m, 1, m->trie->n_nodes, set, 0, note)) {
        matcher_forget(m);
        return 0;
    }
    uint32_t n_exits = m->n_exits, n_legal = m->n_put;
    if (n_exits > MATCHER_MOST_EXITS) {
        matcher_forget(m);
        return UINT32_MAX;
    }
    uint64_t *bits = matcher_new_bits(m);
    if (!bits) {
        matcher_forget(m);
        return 0;
    }
    matcher_flush_all(m, bits);
    return matcher_keep(m, bits, n_legal, n_exits);
}

/* The mask of a set that is `top` on the stack `common`. 0: failed. */
static uint32_t matcher_stacked_mask(lm_matcher *m, uint32_t top, uint32_t common)
{
    matcher_mask plain = m->masks[m->sets[top].top];
    uint32_t below = matcher_set_of(m, m->stacks[common].back, m->stacks[common].under);
    uint64_t *bits = below ? matcher_new_bits(m) : NULL;
    if (!bits)
        return 0;
    memcpy(bits, plain.bits, (m->trie->n_tokens / 64 + 1) * sizeof *bits);
    for (uint32_t i = 0; i < plain.n_exits; i++) {
        uint32_t node = plain.exits[i];
        if (!matcher_walk(m, node + 1, m->trie->nodes[node].skip, below, m->trie->nodes[node].depth, false)) {
            matcher_forget(m);
            lm_mem_free(m->mem, bits);
            return 0;
        }
    }
    matcher_flush(m, bits);
    return matcher_keep(m, bits, matcher_count(bits, m->trie->n_tokens / 64 + 1), 0);
}

static uint32_t matcher_find_mask(lm_matcher *m, uint32_t set)
{
    uint32_t common = matcher_common(m, set), mask = 0;
    if (common) {
        uint32_t top = matcher_cut(m, set, common);
        if (top && m->sets[top].top == 0)
            mask = matcher_walk_mask(m, top, true), m->sets[top].top = mask;
        if (m->status < 0)
            return 0;
        if (m->sets[top].top != UINT32_MAX) {
            mask = matcher_stacked_mask(m, top, common);    /* sets may move meanwhile */
            return m->sets[set].mask = mask;
        }
    }
    mask = matcher_walk_mask(m, set, false);
    return m->sets[set].mask = mask;
}

/* A token's leading space is dropped: those below it count from here. Not kept. */
static bool matcher_strip_mask(lm_matcher *m, uint32_t set, const uint64_t *bits)
{
    const lm_trie *trie = m->trie;
    memcpy(m->spare, bits, (trie->n_tokens / 64 + 1) * sizeof *bits);
    for (uint32_t i = 1; i < trie->n_nodes; i = trie->nodes[i].skip) {
        if (trie->nodes[i].byte != ' ')
            continue;
        for (uint32_t rank = trie->nodes[i].rank; rank < trie->nodes[trie->nodes[i].skip].rank; rank++)
            m->spare[trie->order[rank] / 64] &= ~((uint64_t)1 << trie->order[rank] % 64);
        bool ok = matcher_walk(m, i + 1, trie->nodes[i].skip, set, 1, false);
        if (ok)
            matcher_flush(m, m->spare);
        else
            matcher_forget(m);
        return ok;
    }
    return true;
}

/* ---- the wall --------------------------------------------------------------------------------------------------------------- */

llm_status lm_matcher_new(lm_mem *mem, const lm_automaton *automaton, const lm_trie *trie, size_t limit, lm_matcher **out, llm_error *error)
{
    lm_matcher *m = lm_mem_new(mem, sizeof *m, LLM_MEMORY_OTHER);
    if (!m)
        return lm_fail_memory(error, "a grammar's matcher", sizeof *m);
    *m = (lm_matcher){ .mem = mem, .a = automaton, .trie = trie, .limit = limit ? limit : MATCHER_LIMIT };
    m->set_slots = lm_mem_new_array(mem, MATCHER_SLOTS, sizeof *m->set_slots, LLM_MEMORY_OTHER);
    m->stack_slots = lm_mem_new_array(mem, MATCHER_SLOTS, sizeof *m->stack_slots, LLM_MEMORY_OTHER);
    m->visits = lm_mem_new_array(mem, MATCHER_VISITS, sizeof *m->visits, LLM_MEMORY_OTHER);
    m->found = lm_mem_new_array(mem, MATCHER_VISITS / 2, sizeof *m->found, LLM_MEMORY_OTHER);
    m->exits = lm_mem_new_array(mem, MATCHER_MOST_EXITS + 1, sizeof *m->exits, LLM_MEMORY_OTHER);
    m->ranks = lm_mem_new_array(mem, trie ? trie->n_ranks / 64 + 1 : 1, sizeof *m->ranks, LLM_MEMORY_OTHER);
    m->spare = lm_mem_new_array(mem, trie ? trie->n_tokens / 64 + 1 : 1, sizeof *m->spare, LLM_MEMORY_OTHER);
    if (!m->set_slots || !m->stack_slots || !m->visits || !m->found || !m->exits || !m->ranks || !m->spare) {
        lm_matcher_free(m);
        return lm_fail_memory(error, "a grammar's matcher", MATCHER_VISITS * sizeof *m->visits);
    }
    *out = m;
    return LLM_OK;
}

void lm_matcher_free(lm_matcher *m)
{
    if (!m)
        return;
    matcher_clear(m);
    lm_mem_free(m->mem, m->set_slots);
    lm_mem_free(m->mem, m->stack_slots);
    lm_mem_free(m->mem, m->visits);
    lm_mem_free(m->mem, m->found);
    lm_mem_free(m->mem, m->exits);
    lm_mem_free(m->mem, m->ranks);
    lm_mem_free(m->mem, m->spare);
    lm_mem_free(m->mem, m);
}

static void matcher_enter(lm_matcher *m, llm_error *error)
{
    m->error = error;
    m->status = LLM_OK;
}

llm_status lm_matcher_start(lm_matcher *m, lm_place *out, llm_error *error)
{
    matcher_enter(m, error);
    if ((m->n_sets == 0 || m->held > m->limit) && !matcher_reset(m)) {
        matcher_clear(m);
        return m->status;
    }
    uint32_t set = matcher_set_of(m, m->a->start, 0);
    if (set == 0)
        return m->status;
    if (set == MATCHER_DEAD)
        return lm_fail(error, LLM_E_LIMIT, "the grammar has more than %d ways to begin", MATCHER_MOST_THREADS);
    *out = (lm_place){ set, m->age };
    return LLM_OK;
}

bool lm_matcher_holds(const lm_matcher *m, lm_place place)
{
    return place.age == m->age && m->n_sets != 0 && m->held <= m->limit;
}

llm_status lm_matcher_advance(lm_matcher *m, lm_place *place, const char *bytes, size_t len, bool *legal, llm_error *error)
{
    matcher_enter(m, error);
    uint32_t set = place->at;
    for (size_t i = 0; i < len && set != MATCHER_DEAD; i++)
        if ((set = matcher_step(m, set, (uint8_t)bytes[i])) == 0)
            return m->status;
    *legal = set != MATCHER_DEAD;
    place->at = set;
    return LLM_OK;
}

bool lm_matcher_may_end(const lm_matcher *m, lm_place place)
{
    return m->sets[place.at].ends;
}

bool lm_matcher_is_over(const lm_matcher *m, lm_place place)
{
    return m->sets[place.at].n == 0;
}

llm_status lm_matcher_mask(lm_matcher *m, lm_place place, bool strip, lm_token_mask *out, llm_error *error)
{
    matcher_enter(m, error);
    uint32_t set = place.at, mask = m->sets[set].mask ? m->sets[set].mask : matcher_find_mask(m, set);
    if (mask == 0)
        return m->status;
    *out = (lm_token_mask){ m->masks[mask].bits, m->masks[mask].n_legal, m->sets[set].ends };
    if (strip) {
        if (!matcher_strip_mask(m, set, out->bits))
            return m->status;
        out->bits = m->spare;
        out->n_legal = matcher_count(m->spare, m->trie->n_tokens / 64 + 1);
    }
    if (out->n_legal == 0 && !out->may_end)
        return lm_fail(error, LLM_E_LIMIT, "the grammar has more than %d ways to go on here", MATCHER_MOST_THREADS);
    return LLM_OK;
}

llm_status lm_matcher_forced(lm_matcher *m, lm_place place, char *out, size_t cap, size_t *n, llm_error *error)
{
    matcher_enter(m, error);
    const lm_automaton *a = m->a;
    uint32_t set = place.at;
    *n = 0;
    while (*n < cap && !m->sets[set].ends && m->sets[set].n) {
        const matcher_set *s = &m->sets[set];
        int byte = -1;
        for (uint32_t i = 0; i < s->n && byte < 256; i++) {
            uint32_t state = m->threads[s->at + i].state;
            for (uint32_t k = a->first[state]; k < a->first[state + 1]; k++)
                if (a->moves[k].kind == LM_MOVE_BYTES)
                    byte = a->moves[k].lo == a->moves[k].hi && (byte < 0 || byte == a->moves[k].lo) ? a->moves[k].lo : 256;
        }
        if (byte > 255)
            break;
        uint32_t to = matcher_step(m, set, (uint8_t)byte);
        if (to == 0)
            return m->status;
        if (to == MATCHER_DEAD)
            break;
        out[(*n)++] = (char)byte;
        set = to;
    }
    return LLM_OK;
}

void lm_matcher_bytes(const lm_matcher *m, lm_place place, uint8_t out[32])
{
    const matcher_set *s = &m->sets[place.at];
    memset(out, 0, 32);
    for (uint32_t i = 0; i < s->n; i++) {
        uint32_t state = m->threads[s->at + i].state;
        for (uint32_t k = m->a->first[state]; k < m->a->first[state + 1]; k++)
            for (uint32_t b = m->a->moves[k].lo; m->a->moves[k].kind == LM_MOVE_BYTES && b <= m->a->moves[k].hi; b++)
                out[b / 8] |= (uint8_t)(1 << b % 8);
    }
}

size_t lm_matcher_bytes_held(const lm_matcher *m)
{
    return m->held;
}
#undef MATCHER_ROOM

/* SPDX-License-Identifier: MIT
 * Attention over pages. The arithmetic is one: chunks of 256 keys by absolute position, each giving (max, sum, vector), merged in rising
 * order. Two ways to cut it, with the same bits:
 *
 *   split   a segment of few rows (decode, drafts): a unit is (segment, chunk, kv head), parts go to the arena's `partial`, and a second
 *           stage merges them. Many threads share one long context.
 *   dense   many rows (prefill): a unit is (tile of rows, kv head), which walks its chunks and keeps running (max, sum) in
 *           `running`, the running vector in the output itself. To keep tasks short a unit walks `round_chunks` chunks a round; the next round
 *           is another row of tasks behind a barrier.
 *
 * A part is, for one (segment, chunk, kv head): max [n_q], sum [n_q], acc [n_q][v_dim] for n_q = rows * group queries, row by row.
 * Owns nothing. Threads: plans run alone; tasks write disjoint rows, heads and parts. */
#include "backend/cpu/cpu.h"

#include <string.h>

LM_EXACT_ARITHMETIC

enum { ATTENTION_QUERIES = 64 };                               /* most queries of a tile, but at least one row's */
enum { ATTENTION_SPLIT_ROWS = 4 };                             /* most rows of a split segment */

typedef struct attention_shape { uint32_t group, head_dim, v_dim, n_head_kv; } attention_shape;

static attention_shape attention_of(const lm_op *op)
{
    const lm_op_attend *u = &op->u.attend;
    attention_shape shape = { u->n_head / u->n_head_kv, u->head_dim, u->v_dim, u->n_head_kv };
    return shape;
}

static uint32_t attention_most_queries(uint32_t group) { return LM_MAX((uint32_t)ATTENTION_QUERIES, group); }

static llm_status attention_can(const lm_cpu *cpu, const lm_program *program, const lm_op *op, int32_t state_type, llm_error *error)
{
    (void)cpu, (void)program, (void)op;
    return lm_cpu_pool_can(state_type, error);
}

static void attention_need(const lm_cpu *cpu, const lm_program *program, const lm_op *op, lm_cpu_need *need)
{
    attention_shape shape = attention_of(op);
    uint64_t n_q = attention_most_queries(shape.group);
    (void)cpu, (void)program;
    need->heads = op->u.attend.n_head;
    need->partial = (uint64_t)op->u.attend.n_head * (shape.v_dim + 2);
    /* queries as they are, and for int8 state in eight bits: see attention_scratch */
    need->worker = lm_attend_scratch(shape.head_dim) * sizeof(float) + n_q * ((shape.head_dim + (uint64_t)shape.v_dim + 5) * sizeof(float) + lm_i8_padded(shape.head_dim));
}

/* What a row sees: positions [lo, hi). */
static int32_t attention_lo(const lm_op *op, int32_t position)
{
    uint32_t window = op->u.attend.window;
    return window == 0 || (uint32_t)position < window ? 0 : position - (int32_t)window + 1;
}

/* ---- the plan ------------------------------------------------------------------------------------------------------------ */

static void attention_cut(lm_cpu_run *run, const lm_op *op)
{
    attention_shape shape = attention_of(op);
    lm_cpu_arena *arena = run->arena;
    uint64_t per_query = (uint64_t)LM_CHUNK * (shape.head_dim + shape.v_dim), parts = 0;
    uint64_t queries = LM_MIN((uint64_t)ATTENTION_QUERIES, LM_MAX(run->cpu->grain.macs_attend / per_query, 1));
    run->tile_rows = LM_MAX((uint32_t)queries / shape.group, 1);
    run->round_chunks = (uint32_t)LM_MAX(run->cpu->grain.macs_attend / (per_query * run->tile_rows * shape.group), 1);
    run->n_segments_split = 0;
    for (uint32_t s = 0; s < run->n_segments; s++) {
        lm_cpu_segment *segment = &arena->segments[s];
        int32_t last = segment->position + (int32_t)segment->n_rows - 1;
        segment->chunk_begin = (uint32_t)attention_lo(op, segment->position) / LM_CHUNK;
        segment->chunk_end = (uint32_t)last / LM_CHUNK + 1;
        uint64_t n = (uint64_t)(segment->chunk_end - segment->chunk_begin) * segment->n_rows;
        segment->split = segment->n_rows <= ATTENTION_SPLIT_ROWS && (uint64_t)segment->n_rows * shape.group <= attention_most_queries(shape.group) &&
                         n <= arena->max_parts - parts;
        if (segment->split) {
            segment->first_part = parts;
            parts += n;
            run->n_segments_split++;
        }
    }
}

/* Units of this round: those of split segments (in round 0) first, then tiles. Returns how many; units numbered per segment. */
static uint64_t attention_number(lm_cpu_run *run, const lm_op *op, uint32_t round)
{
    uint32_t n_head_kv = op->u.attend.n_head_kv;
    uint64_t n = 0;
    for (uint32_t s = 0; s < run->n_segments; s++) {
        lm_cpu_segment *segment = &run->arena->segments[s];
        uint32_t chunks = segment->chunk_end - segment->chunk_begin;
        uint32_t count = segment->split ? (round == 0 ? chunks : 0)
                                        : (uint64_t)round * run->round_chunks < chunks ? (segment->n_rows + run->tile_rows - 1) / run->tile_rows : 0;
        segment->first_unit = (uint32_t)n;
        segment->n_units = count * n_head_kv;
        n += segment->n_units;
    }
    return n;
}

static uint32_t attention_plan(lm_cpu_run *run, const lm_op *op, uint32_t round)
{
    attention_shape shape = attention_of(op);
    if (round == 0)
        attention_cut(run, op);
    uint64_t n = attention_number(run, op, round);
    uint64_t per_query = (uint64_t)LM_CHUNK * (shape.head_dim + shape.v_dim);
    /* Tiles are tasks of their own; a mere decode's units are small, and short ones may share a task. */
    uint64_t work = run->n_segments_split == run->n_segments ? per_query * shape.group : run->cpu->grain.macs_attend;
    return lm_cpu_cut(run, n, work, run->cpu->grain.macs_attend / 8);
}

/* ---- one chunk ----------------------------------------------------------------------------------------------------------- */

/* Scratch of a thread. */
typedef struct attention_scratch { float *kernel, *q, *acc, *max, *sum, *q8_scale; int32_t *lo, *hi; int8_t *q8; } attention_scratch;

static attention_scratch attention_places(const lm_cpu_run *run, const lm_op *op, uint32_t worker)
{
    attention_shape shape = attention_of(op);
    size_t n_q = attention_most_queries(shape.group);
    float *at = (float *)(void *)lm_cpu_scratch(run, worker);
    attention_scratch places = { .kernel = at, .q = at + lm_attend_scratch(shape.head_dim) };
    places.acc = places.q + n_q * shape.head_dim;
    places.max = places.acc + n_q * shape.v_dim;
    places.sum = places.max + n_q;
    places.q8_scale = places.sum + n_q;
    places.lo = (int32_t *)(void *)(places.q8_scale + n_q);
    places.hi = places.lo + n_q;
    places.q8 = (int8_t *)(void *)(places.hi + n_q);
    return places;
}

/* The queries of rows [row, row + n_rows) that read kv head h, side by side, as the state's type wants them; and what they see. */
static void attention_gather(const lm_cpu_run *run, const lm_op *op, const lm_cpu_segment *segment, uint32_t row, uint32_t n_rows, uint32_t h, const attention_scratch *to)
{
    attention_shape shape = attention_of(op);
    bool int8 = run->pool->state_type == LLM_STATE_TYPE_INT8;
    for (uint32_t r = 0; r < n_rows; r++) {
        int32_t position = segment->position + (int32_t)(row - segment->first_row + r);
        const float *q = lm_cpu_value(run, op->in[0], row + r) + (size_t)h * shape.group * shape.head_dim;
        if (!int8)
            memcpy(to->q + (size_t)r * shape.group * shape.head_dim, q, (size_t)shape.group * shape.head_dim * sizeof(float));
        for (uint32_t g = 0; g < shape.group; g++) {
            size_t i = (size_t)r * shape.group + g;
            if (int8)
                to->q8_scale[i] = run->cpu->kernels.quantize_head(to->q8 + i * lm_i8_padded(shape.head_dim), q + (size_t)g * shape.head_dim, shape.head_dim);
            to->lo[i] = attention_lo(op, position);
            to->hi[i] = position + 1;
        }
    }
}

/* Rows of [0, n_rows) from `position` on that see any key of the chunk: *begin, *end. Both edges rise with the position. */
static void attention_visible(const lm_op *op, int32_t position, uint32_t n_rows, uint32_t chunk, uint32_t *begin, uint32_t *end)
{
    int64_t first = (int64_t)chunk * LM_CHUNK, next = first + LM_CHUNK;
    uint32_t b = 0, e = n_rows;
    while (b < n_rows && position + (int64_t)b < first)     /* hi = position + 1 > first */
        b++;
    while (e > b && attention_lo(op, position + (int32_t)e - 1) >= next)
        e--;
    *begin = b;
    *end = e;
}

/* Queries [q0, q0 + n_q) of those gathered, against one chunk. */
static void attention_chunk(const lm_cpu_run *run, const lm_op *op, const lm_cpu_segment *segment, uint32_t h, uint32_t chunk, const attention_scratch *from,
                         uint32_t q0, uint32_t n_q, float *max, float *sum, float *acc)
{
    enum { PAGES = LM_CHUNK / LM_PAGE_POSITIONS };
    attention_shape shape = attention_of(op);
    const lm_cpu_stream *stream = &run->pool->streams[op->state];
    const void *k_pages[PAGES], *v_pages[PAGES];
    for (uint32_t i = 0; i < PAGES; i++) {
        uint32_t at = chunk * PAGES + i;
        const uint8_t *page = at < segment->n_pages[stream->page_class] ? segment->pages[stream->page_class][at] : NULL;
        k_pages[i] = page ? page + stream->offset + h * stream->head_bytes : NULL;
        v_pages[i] = page ? page + stream->offset + h * stream->head_bytes + stream->k_bytes : NULL;
    }
    lm_attend_args args = {
        .q = from->q + (size_t)q0 * shape.head_dim, .q_stride = shape.head_dim,
        .q8 = from->q8 + (size_t)q0 * lm_i8_padded(shape.head_dim), .q8_stride = lm_i8_padded(shape.head_dim), .q8_scale = from->q8_scale + q0, .n_q = n_q, .head_dim = shape.head_dim, .v_dim = shape.v_dim,
        .lo = from->lo + q0, .hi = from->hi + q0, .k_pages = k_pages, .v_pages = v_pages,
        .chunk_pos = (int32_t)(chunk * LM_CHUNK), .page_positions = LM_PAGE_POSITIONS,
        .scale = op->u.attend.scale, .softcap = op->u.attend.softcap, .max = max, .sum = sum, .acc = acc, .scratch = from->kernel,
    };
    run->attend(&args);
}

/* ---- split ----------------------------------------------------------------------------------------------------------------- */

static float *attention_part(const lm_cpu_run *run, const lm_op *op, const lm_cpu_segment *segment, uint32_t chunk, uint32_t h)
{
    attention_shape shape = attention_of(op);
    size_t part = (size_t)segment->n_rows * shape.group * (shape.v_dim + 2);
    size_t before = (size_t)segment->first_part * op->u.attend.n_head * (shape.v_dim + 2);
    return run->arena->partial + before + ((size_t)(chunk - segment->chunk_begin) * shape.n_head_kv + h) * part;
}

static void attention_split_unit(lm_cpu_run *run, const lm_op *op, const lm_cpu_segment *segment, uint32_t unit, const attention_scratch *scratch)
{
    attention_shape shape = attention_of(op);
    uint32_t h = unit % shape.n_head_kv, chunk = segment->chunk_begin + unit / shape.n_head_kv, begin, end;
    uint32_t n_q = segment->n_rows * shape.group;
    float *part = attention_part(run, op, segment, chunk, h);
    attention_visible(op, segment->position, segment->n_rows, chunk, &begin, &end);
    if (begin == end)
        return;
    attention_gather(run, op, segment, segment->first_row, segment->n_rows, h, scratch);
    begin *= shape.group;
    end *= shape.group;
    attention_chunk(run, op, segment, h, chunk, scratch, begin, end - begin, part + begin, part + n_q + begin, part + 2 * n_q + (size_t)begin * shape.v_dim);
}

static uint32_t attention_merge_plan(lm_cpu_run *run, const lm_op *op, uint32_t round)
{
    attention_shape shape = attention_of(op);
    uint64_t n = 0, items = 0;
    (void)round;
    for (uint32_t s = 0; s < run->n_segments; s++) {
        lm_cpu_segment *segment = &run->arena->segments[s];
        segment->first_unit = (uint32_t)n;
        segment->n_units = segment->split ? segment->n_rows * shape.n_head_kv : 0;
        n += segment->n_units;
        items += (uint64_t)segment->n_units * (segment->chunk_end - segment->chunk_begin) * shape.group * shape.v_dim;
    }
    return n == 0 ? 0 : lm_cpu_cut(run, n, items / n, run->cpu->grain.items);
}

static void attention_merge_unit(lm_cpu_run *run, const lm_op *op, const lm_cpu_segment *segment, uint32_t unit)
{
    attention_shape shape = attention_of(op);
    const lm_kernels *kernels = &run->cpu->kernels;
    uint32_t r = unit / shape.n_head_kv, h = unit % shape.n_head_kv, n_q = segment->n_rows * shape.group;
    int32_t position = segment->position + (int32_t)r;
    uint32_t first = (uint32_t)attention_lo(op, position) / LM_CHUNK, last = (uint32_t)position / LM_CHUNK;
    for (uint32_t g = 0; g < shape.group; g++) {
        float *y = lm_cpu_value(run, op->out[0], segment->first_row + r) + (size_t)(h * shape.group + g) * shape.v_dim, max = 0, sum = 1;
        for (uint32_t chunk = first; chunk <= last; chunk++) {
            const float *part = attention_part(run, op, segment, chunk, h);
            uint32_t i = r * shape.group + g;
            const float *acc = part + 2 * n_q + (size_t)i * shape.v_dim;
            if (chunk == first) {
                max = part[i];
                sum = part[n_q + i];
                memcpy(y, acc, shape.v_dim * sizeof(float));
            } else {
                kernels->attend_merge(&max, &sum, y, part[i], part[n_q + i], acc, shape.v_dim);
            }
        }
        kernels->attend_finish(y, sum, y, shape.v_dim);
    }
}

/* ---- dense ----------------------------------------------------------------------------------------------------------------- */

static void attention_dense_unit(lm_cpu_run *run, const lm_op *op, const lm_cpu_segment *segment, uint32_t unit, const attention_scratch *scratch)
{
    attention_shape shape = attention_of(op);
    const lm_kernels *kernels = &run->cpu->kernels;
    uint32_t tiles = segment->n_units / shape.n_head_kv, h = unit / tiles, tile = tiles - 1 - unit % tiles;    /* longest walks first */
    uint32_t row = segment->first_row + tile * run->tile_rows, n_rows = LM_MIN(run->tile_rows, segment->first_row + segment->n_rows - row);
    int32_t position = segment->position + (int32_t)(tile * run->tile_rows);
    uint32_t first = segment->chunk_begin + run->round * run->round_chunks, last = LM_MIN(first + run->round_chunks, segment->chunk_end);
    bool gathered = false;
    for (uint32_t chunk = first; chunk < last; chunk++) {
        uint32_t begin, end;
        attention_visible(op, position, n_rows, chunk, &begin, &end);
        if (begin == end)
            continue;
        if (!gathered)
            attention_gather(run, op, segment, row, n_rows, h, scratch);
        gathered = true;
        attention_chunk(run, op, segment, h, chunk, scratch, begin * shape.group, (end - begin) * shape.group, scratch->max, scratch->sum, scratch->acc);
        for (uint32_t r = begin; r < end; r++)
            for (uint32_t g = 0; g < shape.group; g++) {
                uint32_t i = (r - begin) * shape.group + g, head = h * shape.group + g;
                float *y = lm_cpu_value(run, op->out[0], row + r) + (size_t)head * shape.v_dim;
                float *running = run->arena->running + ((size_t)(row + r) * op->u.attend.n_head + head) * 2;
                const float *acc = scratch->acc + (size_t)i * shape.v_dim;
                if (chunk == (uint32_t)attention_lo(op, position + (int32_t)r) / LM_CHUNK) {
                    running[0] = scratch->max[i];
                    running[1] = scratch->sum[i];
                    memcpy(y, acc, shape.v_dim * sizeof(float));
                } else {
                    kernels->attend_merge(&running[0], &running[1], y, scratch->max[i], scratch->sum[i], acc, shape.v_dim);
                }
                if (chunk == (uint32_t)(position + (int32_t)r) / LM_CHUNK)
                    kernels->attend_finish(y, running[1], y, shape.v_dim);
            }
    }
}

/* ---- tasks ----------------------------------------------------------------------------------------------------------------- */

/* The segment that a unit belongs to: the last one that begins at or before it and is not empty. */
static const lm_cpu_segment *attention_segment(const lm_cpu_run *run, uint32_t unit)
{
    uint32_t low = 0, high = run->n_segments;               /* first_unit rises */
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (run->arena->segments[middle].first_unit <= unit)
            low = middle;
        else
            high = middle;
    }
    return &run->arena->segments[low];
}

static void attention_task(lm_cpu_run *run, const lm_op *op, uint32_t task, uint32_t worker)
{
    attention_scratch scratch = attention_places(run, op, worker);
    uint32_t begin, end;
    lm_cpu_units(run, task, &begin, &end);
    for (uint32_t unit = begin; unit < end; unit++) {
        const lm_cpu_segment *segment = attention_segment(run, unit);
        if (segment->split)
            attention_split_unit(run, op, segment, unit - segment->first_unit, &scratch);
        else
            attention_dense_unit(run, op, segment, unit - segment->first_unit, &scratch);
    }
}

static void attention_merge_task(lm_cpu_run *run, const lm_op *op, uint32_t task, uint32_t worker)
{
    uint32_t begin, end;
    (void)worker;
    lm_cpu_units(run, task, &begin, &end);
    for (uint32_t unit = begin; unit < end; unit++) {
        const lm_cpu_segment *segment = attention_segment(run, unit);
        attention_merge_unit(run, op, segment, unit - segment->first_unit);
    }
}

const lm_cpu_op lm_cpu_attend = {
    attention_can, attention_need, { { attention_plan, attention_task, 1 }, { attention_merge_plan, attention_merge_task, 0 } }
};

/* SPDX-License-Identifier: MIT
 * The vocabulary of computation: operations as big as one GPU stage, and programs, which are flat arrays of them. Floor 4.
 * Knows nothing of backends, files or sessions. Immutable once built. Threads: shared.
 *
 * A program works on a table of rows (lm_row). A value is a matrix of 32-bit items, one row of `width` items for each row of its
 * row set: ALL rows of the pass, or the rows that want an OUTput. Weights and state streams are numbers here; what they are
 * bound to is the backend's. */
#ifndef LM_OPS_OPS_H
#define LM_OPS_OPS_H

#include "tensor/type.h"

/* One row an operation: X(NAME, what it does, split: how its work may be cut). Operands are generic: `in` are read, `out` are
 * written, `weight` are read, `state` is read and/or written as the last columns say: X(NAME, split, reads_state, writes_state) */
#define LM_OPS(X)                                                                                                             \
    X(EMBED,          ROWS, 0, 0)   /* out[0] = weight[0].row(token) * scale                                              */ \
    X(ANGLES,         ROWS, 0, 0)   /* out[0][n_rot] = (cos, sin) pairs of position * frequency; weight: divisors or none */  \
    X(LINEAR,         OUTPUTS, 0, 0)/* out = epilogue(weight[0..2] x prologue(in[0])), see lm_op_linear                   */ \
    X(HEAD,           HEADS, 0, 1)  /* q = rope(norm(in[0])) -> out[0]; k = rope(norm(in[1])), v = in[2] -> state         */ \
    X(ATTEND,         KV_CHUNKS, 1, 0) /* out[0] = softmax(q . K * scale) V over what the row may see; in[0]: q           */ \
    X(ROUTE,          ROWS, 0, 0)   /* out[0] = expert ids (i32), out[1] = their weights, from in[0] = router logits      */ \
    X(LINEAR_EXPERTS, OUTPUTS, 0, 0)/* linear by the experts of each row, see lm_op_experts                               */ \
    X(NORM,           ROWS, 0, 0)   /* out[0] = norm(in[0]; weight[3]) [+ in[1]]                                          */ \
    X(GATHER,         ROWS, 0, 0)   /* out[0] (OUT rows) = those rows of in[0] (ALL rows)                                 */ \
    X(LOGITS,         OUTPUTS, 0, 0)/* out[0] = weight[0] x norm(in[0]) over the vocabulary (OUT rows)                    */

enum {
#define LM_OP_ENUM(name, split, reads, writes) LM_OP_##name,
    LM_OPS(LM_OP_ENUM)
#undef LM_OP_ENUM
    LM_OP_COUNT
};
enum { LM_SPLIT_ROWS, LM_SPLIT_OUTPUTS, LM_SPLIT_HEADS, LM_SPLIT_KV_CHUNKS };
enum { LM_ROWS_ALL, LM_ROWS_OUT };
enum { LM_NORM_NONE, LM_NORM_RMS };                     /* prologues; layer norm joins with its first model */
enum { LM_ACT_NONE, LM_ACT_SILU, LM_ACT_GELU };        /* GELU: the tanh form */
enum { LM_ROPE_NONE, LM_ROPE_PAIRS, LM_ROPE_HALVES };   /* (2j, 2j+1): GGUF "NORM"; (j, j + n_rot/2): GGUF "NEOX" */
enum { LM_EPILOGUE_NONE, LM_EPILOGUE_RESIDUAL, LM_EPILOGUE_GATED };
enum { LM_GATING_SOFTMAX };                             /* router: softmax over all experts */
enum { LM_NONE = -1 };                                  /* no value, weight or state stream */
enum { LM_OP_IN = 4, LM_OP_OUT = 3, LM_OP_WEIGHTS = 8 };

/* LINEAR. h = norm(in[0]; weight[3], eps) or in[0]. y_i = weight[i] h (+ weight[4 + i], a bias), i < n_matrices.
 *   NONE:     out[i] = y_i
 *   RESIDUAL: n_matrices 1: out[0] = in[1] + y_0, or in[1] + sigmoid(in[2]) * y_0 where there is a gate in[2] of width 1
 *   GATED:    n_matrices 2: out[0] = act(y_0) * y_1
 * LOGITS is the same with one matrix, epilogue NONE. `scale` multiplies out (1: nothing; after the bias, before the residual).
 * softcap c (LOGITS only; 0: none): then out = c tanh(out / c). */
typedef struct lm_op_linear { uint32_t n_matrices, norm, epilogue, act; float eps, scale, softcap; } lm_op_linear;

/* NORM. out[0] = norm(in[0]; weight[3], eps), added to in[1] where there is one: a norm after a block. */
typedef struct lm_op_norm { uint32_t norm; float eps; } lm_op_norm;

/* HEAD. in[0]: q [n_head * head_dim], in[1]: k [n_head_kv * head_dim], in[2]: v [n_head_kv * v_dim], in[3]: angles or none.
 * weight[0], weight[1]: RMS norm of each q and k head [head_dim] or none. out[0]: q, ready to attend. state: the stream. */
typedef struct lm_op_head { uint32_t n_head, n_head_kv, head_dim, v_dim, n_rot, rope; float eps, q_scale; } lm_op_head;

/* ATTEND. A row at position p sees positions (p - window, p] of its own slot (window 0: all). softcap 0: none. */
typedef struct lm_op_attend { uint32_t n_head, n_head_kv, head_dim, v_dim, window; float scale, softcap; uint32_t reserved; } lm_op_attend;

/* ROUTE. p = softmax(in[0][n_expert]); the n_used largest (ties: lowest id), in falling order; normalized to sum 1 if asked; * scale. */
typedef struct lm_op_route { uint32_t n_expert, n_used, gating, normalize; float scale; uint32_t reserved; } lm_op_route;

/* LINEAR_EXPERTS. Weights hold all experts one after another: rows of expert e begin at e * n_out. in[1]: ids, in[2]: weights.
 *   up:   out[0][n_used * n_ff] = for each rank r: act(weight[0]_e h) * (weight[1]_e h), h = norm(in[0]; weight[3]) or in[0]
 *   down: out[0] = in[3] + sum over ranks, in order, of in[2][r] * (weight[0]_e in[0][r]), in[0][n_used * n_ff] */
typedef struct lm_op_experts { uint32_t n_expert, n_used, down, norm, act; float eps; } lm_op_experts;

/* ANGLES. inv_freq_j = base^(-2j / n_rot) / weight[0][j], or weight[1][j], if that is there, for rows with LM_ROW_LONG; angle = position * freq_scale * inv_freq_j; cos, sin times `magnitude`.
 * out[0][2j] = cos, [2j + 1] = sin, j < n_rot / 2. All in double, rounded once. YaRN: ext_factor != 0 (gguf.md 3.5). */
typedef struct lm_op_angles {
    uint32_t n_rot, reserved;
    double base, freq_scale, magnitude, ext_factor, beta_fast, beta_slow, n_ctx_orig;
} lm_op_angles;

typedef struct lm_op_embed { float scale; } lm_op_embed;

typedef struct lm_op {
    uint32_t kind;                                      /* LM_OP_* */
    uint32_t rows;                                      /* LM_ROWS_*: over which rows it runs (GATHER: OUT) */
    int32_t  in[LM_OP_IN], out[LM_OP_OUT];              /* values */
    int32_t  weight[LM_OP_WEIGHTS];
    int32_t  state;                                     /* stream */
    int32_t  layer;                                     /* for messages and for splitting over devices; -1: none */
    union {
        lm_op_embed embed; lm_op_angles angles; lm_op_linear linear; lm_op_head head; lm_op_attend attend; lm_op_route route;
        lm_op_experts experts; lm_op_norm norm;
    } u;
} lm_op;

typedef struct lm_value {
    uint32_t rows;                                      /* LM_ROWS_* */
    uint32_t width;                                     /* 32-bit items a row */
    uint32_t offset;                                    /* planned: items from the beginning of its row set's region, per row: the
                                                           value of n rows lies at offset * n_rows, row r at (offset * n_rows + r * width) */
    uint32_t first_op, last_op;                         /* lifetime: written by first_op, last read by last_op */
} lm_value;

/* A matrix or vector that a program reads. Matrix: n_rows outputs of n_cols inputs; vector: n_rows 1, type F32. It may be a part of what the
 * file holds under the name (q, k and v in one tensor): rows from `first` on, of a vector items. */
typedef struct lm_weight_info {
    const char *name;                                   /* for messages; borrowed from the model's catalogue */
    uint32_t type, is_vector;                           /* vectors are converted to F32 when loaded */
    uint64_t n_rows, n_cols;
    uint64_t first;
} lm_weight_info;

/* What one position leaves behind in one layer: declared by the model, never assumed. */
enum { LM_STATE_PER_TOKEN };                            /* FIXED and ONCE join with their first models */
typedef struct lm_stream {
    uint32_t kind;                                      /* LM_STATE_* */
    uint32_t page_class;                                /* streams kept equally long share pages */
    uint32_t n_heads, k_dim, v_dim;                     /* per position: K [n_heads, k_dim], V [n_heads, v_dim] */
    uint32_t keep;                                      /* 0: all positions; w: the last w */
} lm_stream;

/* Positions a page holds, aligned to absolute position. The hostile build takes the smallest that the 16-key layout allows. */
enum { LM_PAGE_POSITIONS = LM_HOSTILE ? 16 : 64 };
enum { LM_MAX_PAGE_CLASSES = 2 };

typedef struct lm_program {
    lm_op *ops;                  uint32_t n_ops;
    lm_value *values;            uint32_t n_values;
    lm_weight_info *weights;     uint32_t n_weights;
    lm_stream *streams;          uint32_t n_streams;
    uint32_t n_page_classes;
    uint32_t row_items[2];                              /* planned: items of arena per row, by LM_ROWS_* */
    int32_t  logits;                                    /* the value that holds them */
    uint32_t n_vocab, n_embd;
    /* Of the parts of a program that was cut (lm_cut); a whole one has neither. given: a value that comes with the batch, its number + 1; 0: none.
     * hands_on: `logits` is no logits, but what the next part is given, over all rows. */
    uint32_t given, hands_on;
} lm_program;

/* A program cut in two before a layer: the first part hands one value on to the second, and both have the angles that they need. The whole's
 * numbers become each part's by maps, LM_NONE: it is not in there. Operation o of the whole is o of the first part, or, from `op` on,
 * o - op + n_again of the second. */
typedef struct lm_cut {
    const lm_program *whole;
    lm_program *part[2];
    uint32_t op, n_again;
    int32_t *value[2], *weight[2];                      /* [whole->n_values], [whole->n_weights]; one block, value[0] */
    int32_t page_class[2][LM_MAX_PAGE_CLASSES];
} lm_cut;

/* One row of a pass. LONG: of a session whose context is longer than the model was first trained for (LongRoPE: ANGLES). */
enum { LM_ROW_LOGITS = 1, LM_ROW_LONG = 2 };
typedef struct lm_row {
    uint32_t slot;                                      /* which of the pass's sessions */
    int32_t  position;
    llm_token token;
    uint32_t flags;                                     /* LM_ROW_* */
} lm_row;

const char *lm_op_name(uint32_t kind);                  /* "linear" */
uint32_t lm_op_split(uint32_t kind);
bool lm_op_reads_state(uint32_t kind);
bool lm_op_writes_state(uint32_t kind);
/* Frequencies of ANGLES, n_rot / 2 of each, divisors not yet in: base^(-2j / n_rot); and for YaRN (Peng et al. 2023) how far each pair keeps
 * its own: mix = ramp * ext_factor. */
void lm_angles_frequencies(const lm_op_angles *u, double *freq, double *mix);
uint32_t lm_program_row_flags(const lm_program *program, uint32_t n_ctx);   /* of all rows of a session with this context: LM_ROW_LONG or 0 */
uint32_t lm_program_keep(const lm_program *program, uint32_t page_class);    /* the last positions that a class's streams keep; 0: all */

/* Checks a program from outside in: operands in range, widths as each operation demands, weights' shapes, every value written
 * once before it is read, planned values that live at the same time do not overlap. E_INTERNAL with the operation's number. */
llm_status lm_program_check(const lm_program *program, llm_error *error);

#endif

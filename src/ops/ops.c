/* SPDX-License-Identifier: MIT
 * The columns of the operations' list as functions. Owns nothing. Threads: shared. */
#include "ops/ops.h"

/* As programs are dumped; a new operation without a name here does not compile. */
#define OPS_NAME_EMBED "embed"
#define OPS_NAME_ANGLES "angles"
#define OPS_NAME_LINEAR "linear"
#define OPS_NAME_HEAD "head"
#define OPS_NAME_ATTEND "attend"
#define OPS_NAME_ROUTE "route"
#define OPS_NAME_LINEAR_EXPERTS "linear_experts"
#define OPS_NAME_NORM "norm"
#define OPS_NAME_GATHER "gather"
#define OPS_NAME_LOGITS "logits"

typedef struct ops_row { const char *name; uint32_t split; bool reads_state, writes_state; } ops_row;

static const ops_row ops_rows[LM_OP_COUNT] = {
#define OPS_ROW(name, split, reads, writes) [LM_OP_##name] = { OPS_NAME_##name, LM_SPLIT_##split, reads, writes },
    LM_OPS(OPS_ROW)
#undef OPS_ROW
};

#undef OPS_NAME_EMBED
#undef OPS_NAME_ANGLES
#undef OPS_NAME_LINEAR
#undef OPS_NAME_HEAD
#undef OPS_NAME_ATTEND
#undef OPS_NAME_ROUTE
#undef OPS_NAME_LINEAR_EXPERTS
#undef OPS_NAME_NORM
#undef OPS_NAME_GATHER
#undef OPS_NAME_LOGITS

const char *lm_op_name(uint32_t kind) { return kind < LM_OP_COUNT ? ops_rows[kind].name : "no operation"; }
uint32_t lm_op_split(uint32_t kind) { return kind < LM_OP_COUNT ? ops_rows[kind].split : LM_SPLIT_ROWS; }
bool lm_op_reads_state(uint32_t kind) { return kind < LM_OP_COUNT && ops_rows[kind].reads_state; }
bool lm_op_writes_state(uint32_t kind) { return kind < LM_OP_COUNT && ops_rows[kind].writes_state; }

uint32_t lm_program_keep(const lm_program *program, uint32_t page_class)
{
    for (uint32_t s = 0; s < program->n_streams; s++)
        if (program->streams[s].page_class == page_class)
            return program->streams[s].keep;                /* all of a class say the same: lm_program_check */
    return 0;
}

uint32_t lm_program_row_flags(const lm_program *program, uint32_t n_ctx)
{
    for (uint32_t o = 0; o < program->n_ops; o++) {
        const lm_op *op = &program->ops[o];
        if (op->kind == LM_OP_ANGLES && op->weight[1] != LM_NONE && n_ctx > op->u.angles.n_ctx_orig)
            return LM_ROW_LONG;
    }
    return 0;
}

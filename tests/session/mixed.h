/* SPDX-License-Identifier: MIT
 * Turns a tiny model whose layers all look back over a window into one of two page classes, before its first session: the first layer sees
 * everything, the others their window. */
#ifndef MIXED_H
#define MIXED_H

#include "session/session.h"

static inline void mixed_make(llm_model *model)
{
    lm_program *program = model->model->program;
    for (uint32_t o = 0; o < program->n_ops; o++) {
        lm_op *op = &program->ops[o];
        if (op->kind == LM_OP_ATTEND && op->state == 0)
            op->u.attend.window = 0;
    }
    for (uint32_t s = 0; s < program->n_streams; s++)
        program->streams[s].page_class = s == 0;
    program->streams[0].keep = 0;
    program->n_page_classes = 2;
    CHECK(lm_program_check(program, NULL) == LLM_OK);
}

#endif

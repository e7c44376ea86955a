/* SPDX-License-Identifier: MIT
 * libllm make: random weights into a file. */
#include "shape.h"
#include "tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>

int make_main(const tool_args *args)
{
    enum { PIECE = 1 << 20 };
    char why[160], size[32];
    shape_model *m = shape_create(args->shape, args->type, args->weight_seed, why);
    unsigned char *piece = m ? malloc(PIECE) : NULL;
    FILE *file = NULL;
    int code = TOOL_FAILED;

    if (!m)
        return tool_usage(args, "%s", why);
    file = piece ? fopen(args->output, "wb") : NULL;
    if (!file) {
        fprintf(stderr, "libllm make: cannot write %s: %s\n", args->output, strerror(errno));
    } else {
        uint64_t bytes = shape_bytes(m), at = 0;
        bool good = true;
        while (good && at < bytes) {
            size_t n = bytes - at < PIECE ? (size_t)(bytes - at) : PIECE;
            good = shape_read(m, at, piece, n) == LLM_OK && fwrite(piece, 1, n, file) == n;
            at += n;
        }
        good = fclose(file) == 0 && good;
        if (!good) {
            fprintf(stderr, "libllm make: cannot write %s: %s. Is the disk full?\n", args->output, strerror(errno));
            remove(args->output);
        } else {
            tool_bytes(bytes, size);
            if (!args->quiet)
                fprintf(stderr, "%s: %s of random weights (%s, %s). Its text is nonsense: it is for measuring.\n", args->output, size, args->shape, args->type);
            code = TOOL_OK;
        }
    }
    free(piece);
    shape_free(m);
    return code;
}

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Reference figures for importance matrices: what the matrices of a llama model are multiplied with, by `transformers` in float64.

    gen_importance.py TEXT MODEL.gguf N_CTX N_WINDOWS > tests/golden/importance.tsv

prints for each matrix: name, rows, the sum of all squares, and those of its first, middle and last column. Windows stand side by side, as in
`libllm imatrix`; no BOS is put into them but the text's own.
"""
import pathlib
import sys

import gguf
import torch

from gen_perplexity import cut, field, load

PARTS = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
         "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}


def main():
    path, n_ctx, n_windows = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    reader = gguf.GGUFReader(path)
    model = load(reader)
    ids = [field(reader, "tokenizer.ggml.bos_token_id")] + cut(reader, pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))
    sums, rows = {}, {}

    def watch(name):
        def hook(_, inputs):
            x = inputs[0].reshape(-1, inputs[0].shape[-1])
            sums[name] = sums.get(name, 0) + (x * x).sum(0)
            rows[name] = rows.get(name, 0) + x.shape[0]
        return hook
    for i, layer in enumerate(model.model.layers):
        for theirs, ours in PARTS.items():
            layer.get_submodule(theirs).register_forward_pre_hook(watch(f"blk.{i}.{ours}.weight"))
    model.lm_head.register_forward_pre_hook(watch("output.weight"))
    with torch.no_grad():
        model(torch.tensor(ids[:n_windows * n_ctx]).reshape(n_windows, n_ctx))
    print(f"# {pathlib.Path(path).name}\t{n_ctx}\t{n_windows}\t{pathlib.Path(sys.argv[1]).name}: matrix, rows, sum of squares, of columns first, middle, last")
    for name in sorted(sums):
        s = sums[name]
        print(f"{name}\t{rows[name]}\t{s.sum().item():.9g}\t{s[0].item():.9g}\t{s[len(s) // 2].item():.9g}\t{s[-1].item():.9g}")


if __name__ == "__main__":
    main()

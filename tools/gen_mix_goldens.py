#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/model/data/mixes.txt: the types that llama.cpp's quantizer gives the tensors of models of many shapes.

    pip install gguf numpy; python3 tools/gen_mix_goldens.py --llama-quantize llama-quantize [--cwd DIR]

A line "model ARCH LAYERS HEADS KV_HEADS EXPERTS COLUMNS TIED" and, for each file type, a line "NAME IMATRIX types": a letter, '0' + the GGUF type, for
every tensor in the order of tensors(), which the test has too.
"""
import argparse
import pathlib
import subprocess
import tempfile

import gguf
import numpy as np

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "model" / "data"
MODELS = [("llama", 16, 32, 8, 0, 256, 1), ("llama", 32, 32, 32, 0, 256, 0), ("llama", 22, 4, 4, 0, 96, 0), ("llama", 5, 8, 4, 0, 64, 1), ("llama", 3, 8, 4, 0, 40, 0),
          ("llama", 80, 64, 8, 0, 256, 0), ("llama", 32, 32, 8, 8, 256, 0), ("qwen3moe", 24, 32, 4, 128, 256, 0), ("qwen2", 80, 64, 8, 0, 256, 0),
          ("qwen2", 24, 14, 2, 0, 512, 1), ("qwen3", 28, 16, 8, 0, 256, 1), ("falcon", 32, 71, 1, 0, 256, 0), ("gemma3", 26, 4, 1, 0, 256, 1), ("phi3", 32, 32, 32, 0, 256, 0)]
FILES = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q6_K", "IQ4_NL", "IQ4_XS"]
WITH_IMATRIX = ["Q4_0", "Q5_0", "IQ4_XS", "IQ4_NL", "Q4_K_M"]


def tensors(arch, layers, experts, tied):
    yield "token_embd.weight", 2
    yield "output_norm.weight", 0
    if not tied:
        yield "output.weight", 2
    for i in range(layers):
        b = f"blk.{i}."
        yield b + "attn_norm.weight", 0
        if arch in ("falcon", "phi3"):
            yield b + "attn_qkv.weight", 2
        else:
            yield b + "attn_q.weight", 2
            yield b + "attn_k.weight", 2
            yield b + "attn_v.weight", 2
            yield b + "attn_v.bias", 0
        yield b + "attn_output.weight", 2
        if experts:
            yield b + "ffn_gate_inp.weight", 2
            yield b + "ffn_gate_exps.weight", 3
            yield b + "ffn_down_exps.weight", 3
            yield b + "ffn_up_exps.weight", 3
        else:
            yield b + "ffn_gate.weight", 2
            yield b + "ffn_up.weight", 2
            yield b + "ffn_down.weight", 2


def write(path, model):
    arch, layers, heads, kv, experts, cols, tied = model
    w = gguf.GGUFWriter(path, arch)
    w.add_block_count(layers)
    w.add_context_length(512)
    w.add_embedding_length(cols)
    w.add_feed_forward_length(cols)
    w.add_head_count(heads)
    w.add_head_count_kv(kv)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_layer_norm_eps(1e-5)
    w.add_rope_dimension_count(16)
    w.add_key_length(16)
    w.add_value_length(16)
    w.add_sliding_window(512)
    if experts:
        w.add_expert_count(experts)
        w.add_expert_used_count(2)
        w.add_expert_feed_forward_length(cols)
    names = list(tensors(arch, layers, experts, tied))
    values = np.random.default_rng(1).standard_normal(cols * 4).astype(np.float16)
    for name, dims in names:
        w.add_tensor(name, values[:cols].astype(np.float32) if dims == 0 else values[:cols * dims if dims == 2 else cols * 4].reshape((2, cols) if dims == 2 else (2, 2, cols)))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return names


def write_imatrix(path, names, cols):
    w = gguf.GGUFWriter(path, "")
    w.kv_data[0].clear()
    w.add_type("imatrix")
    w.add_array("imatrix.datasets", ["text"])
    w.add_uint32("imatrix.chunk_count", 1)
    w.add_uint32("imatrix.chunk_size", 512)
    for name, dims in names:
        if dims:
            n = 2 if dims == 3 else 1
            w.add_tensor(name + ".in_sum2", np.ones((n, cols), dtype=np.float32))
            w.add_tensor(name + ".counts", np.ones((n, 1), dtype=np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--llama-quantize", required=True)
    parser.add_argument("--cwd")
    args = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        source, target, imatrix = (f"{folder}/{name}.gguf" for name in ("in", "out", "imatrix"))
        for model in MODELS:
            names = write(source, model)
            write_imatrix(imatrix, names, model[5])
            lines.append("model " + " ".join(map(str, model)))
            for kind in FILES:
                for weighted in [0, 1] if kind in WITH_IMATRIX else [0]:
                    done = subprocess.run([args.llama_quantize] + (["--imatrix", imatrix] if weighted else []) + [source, target, kind, "1"], cwd=args.cwd,
                                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                    if done.returncode:
                        raise SystemExit(f"{model} {kind}: {done.stdout[-600:]}")
                    types = {t.name: int(t.tensor_type) for t in gguf.GGUFReader(target).tensors}
                    lines.append(f"{kind} {weighted} " + "".join(chr(48 + types[name]) for name, _ in names))
    (OUT / "mixes.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

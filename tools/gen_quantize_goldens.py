#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes what tests/tensor/quantize_test.c compares the quantizer with.

    pip install gguf numpy
    python3 tools/gen_quantize_goldens.py [--ggml libggml-base.so --models DIR]

- tests/tensor/data/plain.bin: values, and the bytes that the `gguf` package makes of them in each type it can make. Layout: u32 n, n f32,
  then the bytes of F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1 one after another.
- With --ggml, a build of ggml: tests/tensor/data/errors.txt: the (weighted) sums of squared errors of ggml's quantizers on matrices that both
  sides make from the same generator, and on the trained models stories260K and babyllama in DIR. One line each: set, type id, weighted, error.
"""
import argparse
import ctypes
import pathlib
import struct

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "tensor" / "data"
PLAIN = [T.F16, T.BF16, T.Q8_0, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1]
SEARCHED = [T.Q4_K, T.Q5_K, T.Q6_K, T.IQ4_XS, T.IQ4_NL]         # with weights the 32-blocks too
ROWS, COLS = 64, 512
MODELS = {"stories260K": "stories260K-f32.gguf", "babyllama": "babyllama-tok105-f32.gguf"}


class Draws:
    """A linear congruential generator's upper halves: the test has the same."""
    def __init__(self, seed):
        self.state = seed

    def u16(self):
        self.state = (self.state * 1664525 + 1013904223) & 0xffffffff
        return self.state >> 16

    def bell(self):
        return sum(self.u16() for _ in range(12)) - 6 * 65535


def matrix(kind):
    draws = Draws(7 + kind)
    x = np.empty(ROWS * COLS, dtype=np.float32)
    for i in range(x.size):
        if kind == 3 and i % 32 == 0:
            size = np.float32(2.0 ** (draws.u16() % 6))
        v = np.float32(draws.bell()) * np.float32(2.0 ** -20)
        if kind == 1:
            v *= np.float32(draws.u16()) * np.float32(2.0 ** -15)
        if kind == 2 and i % 211 == 0:
            v *= np.float32(24)
        if kind == 3:
            v *= size
        if kind == 4:
            v += np.float32(0.125)
        x[i] = v
    return x.reshape(ROWS, COLS)


def weights(n):
    draws = Draws(99)
    return np.array([(1 + (draws.u16() >> 9)) ** 2 for _ in range(n)], dtype=np.float32)


def plain():
    rng = np.random.default_rng(11)
    blocks = [rng.standard_normal((40, 32)) * 10.0 ** rng.uniform(-6, 4, (40, 1)), rng.uniform(-1, 0, (4, 32)), rng.uniform(1, 2, (4, 32)),
              np.zeros((1, 32)), np.full((1, 32), -3.5), np.full((1, 32), 1e-41), np.arange(-16, 16).reshape(1, 32) / 2, np.arange(32).reshape(1, 32) * 1000.0,
              np.concatenate([[1.0], np.zeros(31)]).reshape(1, 32), np.concatenate([np.full(16, 8.0), np.full(16, -8.0)]).reshape(1, 32)]
    x = np.concatenate(blocks).astype(np.float32).ravel()
    out = struct.pack("<I", x.size) + x.tobytes()
    with np.errstate(all="ignore"):
        for kind in PLAIN:
            out += gguf.quants.quantize(x.reshape(1, -1), kind).tobytes()
    (OUT / "plain.bin").write_bytes(out)


def errors(ggml, models):
    lib = ctypes.CDLL(ggml)
    lib.ggml_quantize_chunk.restype = ctypes.c_size_t
    lib.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [ctypes.c_void_p]
    sets = {str(kind): matrix(kind) for kind in range(5)}
    for name, file in MODELS.items() if models else ():
        values = np.concatenate([t.data.ravel() for t in gguf.GGUFReader(pathlib.Path(models) / file).tensors if len(t.shape) > 1]).astype(np.float32)
        sets[name] = values[:values.size // 1024 * 1024].reshape(-1, 1024)
    lines = []
    for name, x in sets.items():
        for weighted in (0, 1):
            w = weights(x.shape[1]) if weighted else None
            for kind in SEARCHED + ([T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1] if weighted else []):
                block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
                out = np.zeros((x.shape[0], x.shape[1] // block * block_bytes), dtype=np.uint8)
                lib.ggml_quantize_init(int(kind))
                lib.ggml_quantize_chunk(int(kind), x.ctypes.data, out.ctypes.data, 0, x.shape[0], x.shape[1], w.ctypes.data if weighted else None)
                error = (gguf.quants.dequantize(out, kind).astype(np.float64) - x) ** 2 * (w if weighted else 1)
                lines.append(f"{name} {int(kind)} {weighted} {error.sum():.9g}\n")
    (OUT / "errors.txt").write_text("".join(lines))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ggml")
    parser.add_argument("--models")
    args = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    plain()
    if args.ggml:
        errors(args.ggml, args.models)


if __name__ == "__main__":
    main()

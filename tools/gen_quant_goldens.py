#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/kernels/data/<type>.bin: rows of file bytes and what the `gguf` package dequantizes them to.

    pip install gguf numpy; python3 tools/gen_quant_goldens.py

A file is two little-endian uint32 (rows, values a row), the rows as they stand in a GGUF file, then the values as f32.
Seeded: the same files every time. Bytes are random; scales are random finite f16 with the extremes among them.
"""
import pathlib
import struct

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T

ROWS = 18                                       # a full group and a part of one
OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "kernels" / "data"
EXTREME = [0x0000, 0x8000, 0x0001, 0x8001, 0x03ff, 0x83ff, 0x0400, 0x7bff, 0xfbff, 0x3c00, 0xbc00]
# type: blocks a row, offsets of the f16 scales in a block
TYPES = {T.F32: (40, []), T.F16: (40, [0]), T.BF16: (40, []), T.Q8_0: (3, [0]), T.Q4_0: (3, [0]), T.Q4_K: (1, [0, 2]), T.Q6_K: (1, [208]),
         T.Q4_1: (3, [0, 2]), T.Q5_0: (3, [0]), T.Q5_1: (3, [0, 2]), T.IQ4_NL: (3, [0]), T.MXFP4: (3, []), T.Q2_K: (1, [80, 82]), T.Q3_K: (1, [108]),
         T.Q5_K: (1, [0, 2]), T.IQ4_XS: (1, [0])}


def f16_bits(rng, n):
    bits = rng.integers(0, 0x7c00, n, dtype=np.uint16) | (rng.integers(0, 2, n, dtype=np.uint16) << 15)
    extreme = rng.random(n) < 0.3
    bits[extreme] = rng.choice(np.array(EXTREME, dtype=np.uint16), int(extreme.sum()))
    return bits.astype(np.uint16)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for kind, (n_blocks, scales) in TYPES.items():
        rng = np.random.default_rng(int(kind) + 1)
        block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
        raw = rng.integers(0, 256, (ROWS * n_blocks, block_bytes), dtype=np.uint8)
        for at in scales:
            raw[:, at:at + 2] = f16_bits(rng, len(raw)).view(np.uint8).reshape(-1, 2)
        if kind == T.F32:                       # finite, subnormal ones among them
            raw[:] = (rng.integers(0, 0x7f800000, len(raw), dtype=np.uint32) | (rng.integers(0, 2, len(raw), dtype=np.uint32) << 31)).view(np.uint8).reshape(-1, 4)
        if kind == T.BF16:
            raw[:] = (rng.integers(0, 0x7f80, len(raw), dtype=np.uint16) | (rng.integers(0, 2, len(raw), dtype=np.uint16) << 15)).astype(np.uint16).view(np.uint8).reshape(-1, 2)
        if kind == T.MXFP4:                     # every power of two but 255, which is no number
            raw[:, 0] = rng.permutation(np.arange(len(raw)) * 255 // len(raw)).astype(np.uint8)
            raw[:8, 0] = [0, 1, 2, 3, 127, 128, 253, 254]
        rows = raw.reshape(ROWS, -1)
        with np.errstate(over="ignore", invalid="ignore"):
            values = np.ascontiguousarray(gguf.quants.dequantize(rows, kind), dtype=np.float32)
        assert values.size == ROWS * n_blocks * block
        (OUT / f"{kind.name.lower()}.bin").write_bytes(struct.pack("<II", ROWS, n_blocks * block) + rows.tobytes() + values.tobytes())


if __name__ == "__main__":
    main()

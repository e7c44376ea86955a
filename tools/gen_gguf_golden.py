#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/files/data/written.gguf with the `gguf` package: keys of every type, tensors of several; the writer must give the same bytes.

    pip install gguf numpy; python3 tools/gen_gguf_golden.py
"""
import pathlib

import gguf
import numpy as np

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "files" / "data"


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    w = gguf.GGUFWriter(OUT / "written.gguf", "test")
    w.add_uint8("a.u8", 200)
    w.add_int8("a.i8", -100)
    w.add_uint16("a.u16", 50000)
    w.add_int16("a.i16", -30000)
    w.add_uint32("a.u32", 4000000000)
    w.add_int32("a.i32", -2000000000)
    w.add_uint64("a.u64", 2**63 + 5)
    w.add_int64("a.i64", -2**62)
    w.add_float32("a.f32", 0.1)
    w.add_float64("a.f64", 0.1)
    w.add_bool("a.bool", True)
    w.add_string("a.string", "grüße\nline")
    w.add_array("b.strings", ["one", "", "three"])
    w.add_array("b.ints", [1, -2, 3])
    w.add_array("b.floats", [0.5, -1.25])
    w.add_array("b.bools", [True, False, True])
    w.add_custom_alignment(64)
    rng = np.random.default_rng(7)
    w.add_tensor("one.weight", rng.standard_normal(7, dtype=np.float32))
    w.add_tensor("two.weight", rng.standard_normal((3, 5)).astype(np.float16))
    w.add_tensor("three.weight", gguf.quants.quantize(rng.standard_normal((2, 3, 64), dtype=np.float32), gguf.GGMLQuantizationType.Q8_0),
                 raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    w.add_tensor("four", np.arange(6, dtype=np.int32).reshape(1, 2, 1, 3))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a draw costs in llama.cpp, on logits like those of bench_sampler: microseconds, the least of many.

    peer_samplers.py LIBLLAMA.SO [SECONDS FOR EACH]"""
import ctypes as c
import sys
import time

import numpy as np


class Array(c.Structure):
    _fields_ = [("data", c.c_void_p), ("size", c.c_size_t), ("selected", c.c_int64), ("sorted", c.c_bool)]


class Params(c.Structure):
    _fields_ = [("no_perf", c.c_bool)]


lib = c.CDLL(sys.argv[1], mode=c.RTLD_GLOBAL)
seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 0.1
f, i, u, z, p = c.c_float, c.c_int32, c.c_uint32, c.c_size_t, c.c_void_p
for name, args in [("top_k", [i]), ("top_p", [f, z]), ("min_p", [f, z]), ("typical", [f, z]), ("temp", [f]), ("temp_ext", [f, f, f]),
                   ("xtc", [f, f, z, u]), ("top_n_sigma", [f]), ("dist", [u]), ("mirostat_v2", [u, f, f]), ("mirostat", [i, u, f, f, i])]:
    function = getattr(lib, "llama_sampler_init_" + name)
    function.argtypes, function.restype = args, p
lib.llama_sampler_chain_init.argtypes, lib.llama_sampler_chain_init.restype = [Params], p
lib.llama_sampler_chain_add.argtypes = lib.llama_sampler_apply.argtypes = [p, p]
lib.llama_sampler_chain_add.restype = lib.llama_sampler_apply.restype = None

s = lambda name, *args: getattr(lib, "llama_sampler_init_" + name)(*args)
recipes = [
    ("temperature", lambda n: [s("temp", .8), s("dist", 1)]),
    ("usual: top_k 40, top_p, min_p, temperature", lambda n: [s("top_k", 40), s("top_p", .95, 0), s("min_p", .05, 0), s("temp", .8), s("dist", 1)]),
    ("top_p 0.95, temperature", lambda n: [s("top_p", .95, 0), s("temp", .8), s("dist", 1)]),
    ("min_p 0.05, temperature", lambda n: [s("min_p", .05, 0), s("temp", .8), s("dist", 1)]),
    ("typical 0.9", lambda n: [s("typical", .9, 0), s("dist", 1)]),
    ("top_n_sigma 1", lambda n: [s("top_n_sigma", 1.), s("dist", 1)]),
    ("XTC always", lambda n: [s("xtc", 1., .1, 0, 1), s("dist", 1)]),
    ("dynamic temperature", lambda n: [s("temp_ext", .8, .5, 1.), s("dist", 1)]),
    ("Mirostat 2", lambda n: [s("temp", .8), s("mirostat_v2", 1, 5., .1)]),
    ("Mirostat 1", lambda n: [s("temp", .8), s("mirostat", n, 1, 5., .1, 100)]),
]
rng = np.random.default_rng(1)
sizes, kinds = [32000, 128256, 262144], ["model", "flat", "rising"]
print(f"{'microseconds a draw':46}" + "".join(f" {n // 1000:4}k {k:6}" for n in sizes for k in kinds))
for name, make in recipes:
    print(f"{name:46}", end="")
    for n in sizes:
        for kind in kinds:
            logits = np.arange(n) * 1e-4 if kind == "rising" else rng.normal(0, 2 if kind == "model" else .01, n)
            if kind == "model":
                logits[rng.random(n) < 1 / 3000] += 8
            start = np.zeros(n, dtype=[("id", "<i4"), ("logit", "<f4"), ("p", "<f4")])
            start["id"], start["logit"] = np.arange(n), logits
            work, array = start.copy(), Array()
            chain = lib.llama_sampler_chain_init(Params(True))
            for sampler in make(n):
                lib.llama_sampler_chain_add(chain, sampler)
            best, begin = 1e9, time.perf_counter()
            while time.perf_counter() - begin < seconds:
                array.data, array.size, array.selected, array.sorted = work.ctypes.data, n, -1, False
                t = time.perf_counter()
                np.copyto(work, start)
                lib.llama_sampler_apply(chain, c.addressof(array))
                best = min(best, time.perf_counter() - t)
            print(f" {best * 1e6:12.1f}", end="", flush=True)
    print()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/session/data/sampler.gold: logits, recipes, and the distributions that a plain NumPy reading of the stages gives for them.
Each stage is written here as its definition says (sort all, normalize, cut), in float64 and without the library's shortcuts."""
import struct
import sys

import numpy as np

INF = np.inf


def distribution(logits, recipe, history):
    l = logits.astype(np.float64).copy()
    for token, bias in recipe["biases"]:
        l[token] += bias
    last = recipe["penalty_last_n"] or 64
    window = history if last < 0 else history[-last:]
    repeat = recipe["repeat_penalty"] or 1.0
    for token in set(window):
        count = window.count(token)
        l[token] = l[token] / repeat if l[token] > 0 else l[token] * repeat
        l[token] -= count * recipe["frequency_penalty"] + recipe["presence_penalty"]
    n = len(l)
    order = sorted((i for i in range(n) if l[i] != -INF), key=lambda i: (-l[i], i))
    if recipe["temperature"] == 0:
        p = np.zeros(n)
        p[order[0]] = 1
        return p
    if recipe["top_k"] > 0:
        order = order[: recipe["top_k"]]
    keep = max(recipe["min_keep"], 1)
    e = np.exp(l[order] - l[order[0]])
    share = e / e.sum()
    cut = len(order)
    if 0 < recipe["top_p"] < 1:
        cut = min(cut, max(int(np.searchsorted(np.cumsum(share), recipe["top_p"] * (1 - 1e-12))) + 1, keep))
    if recipe["min_p"] > 0:
        cut = min(cut, max(int((share >= recipe["min_p"] * share[0] * (1 - 1e-9)).sum()), keep))
    order = order[:cut]
    w = np.exp((l[order] - l[order[0]]) / recipe["temperature"])
    p = np.zeros(n)
    p[order] = w / w.sum()
    return p


def recipe(**fields):
    r = dict(temperature=1.0, top_k=0, top_p=0.0, min_p=0.0, min_keep=0, penalty_last_n=0, repeat_penalty=0.0, frequency_penalty=0.0,
             presence_penalty=0.0, biases=[])
    r.update(fields)
    return r


def main(path):
    rng = np.random.default_rng(20240607)
    small = np.array([3, 2, 1.5, 1, 0, -1], dtype=np.float32)
    ties = np.array([1, 5, 5, 0, 5, 2, 2, -3], dtype=np.float32)
    medium = rng.normal(0, 2, 300).astype(np.float32)
    large = rng.normal(0, 2.5, 3000).astype(np.float32)
    flat = rng.normal(0, 0.01, 3000).astype(np.float32)
    f32 = np.float32
    recipes = [
        recipe(temperature=0.0), recipe(), recipe(temperature=0.7), recipe(temperature=2.5), recipe(temperature=0.01),
        recipe(top_k=1), recipe(top_k=3), recipe(top_k=40, temperature=0.8), recipe(top_k=100000),
        recipe(top_p=0.5), recipe(top_p=0.6), recipe(top_p=0.8), recipe(top_p=0.95), recipe(top_p=0.999), recipe(top_p=1.0), recipe(top_p=1e-6),
        recipe(min_p=0.05), recipe(min_p=0.2), recipe(min_p=0.3), recipe(min_p=1.0), recipe(min_p=0.5, min_keep=4), recipe(top_p=0.1, min_keep=5),
        recipe(top_k=20, top_p=0.9, min_p=0.1, temperature=0.6), recipe(top_k=2, min_keep=4, top_p=0.1), recipe(top_p=0.9, min_p=0.02),
        recipe(repeat_penalty=1.5, frequency_penalty=0.1, presence_penalty=0.2), recipe(repeat_penalty=1.3, penalty_last_n=3),
        recipe(frequency_penalty=0.5, penalty_last_n=-1), recipe(presence_penalty=-0.4, temperature=0.9, top_p=0.9),
        recipe(biases=[(0, -INF), (2, 1.5), (2, 0.25)]), recipe(biases=[(0, -INF), (1, -INF)], temperature=0.0),
        recipe(biases=[(1, 100.0)], repeat_penalty=2.0, top_k=2),
    ]
    cases = []
    for logits in (small, ties, medium, large, flat):
        n = len(logits)
        history = [0, 2, 5, 5, 0, 5] if n < 300 else [int(x) for x in rng.integers(0, 40, 200)]
        for r in recipes:
            cases.append((logits, {k: (float(f32(v)) if isinstance(v, float) else v) for k, v in r.items()}, history))
    with open(path, "wb") as out:
        out.write(b"LMSAMP1\0")
        out.write(struct.pack("<I", len(cases)))
        for logits, r, history in cases:
            p = distribution(logits, r, history)
            nonzero = np.nonzero(p)[0]
            if len(nonzero) > 24:                       # enough to see a mistake; the rest only as their number and sum
                shown = nonzero[np.linspace(0, len(nonzero) - 1, 24).astype(int)]
            else:
                shown = nonzero
            seed = {6: 0, 8: 1, 300: 2}.get(len(logits), 3 if logits is large else 4)
            out.write(struct.pack("<I", seed))
            out.write(struct.pack("<fiffiifffI", r["temperature"], r["top_k"], r["top_p"], r["min_p"], r["min_keep"], r["penalty_last_n"],
                                  r["repeat_penalty"], r["frequency_penalty"], r["presence_penalty"], len(r["biases"])))
            for token, bias in r["biases"]:
                out.write(struct.pack("<if", token, bias))
            out.write(struct.pack("<I", len(history)) + np.array(history, dtype="<i4").tobytes())
            out.write(struct.pack("<II", len(nonzero), len(shown)))
            out.write(shown.astype("<i4").tobytes() + p[shown].astype("<f8").tobytes())
        out.write(b"LOGITS\0\0")
        for logits in (small, ties, medium, large, flat):
            out.write(struct.pack("<I", len(logits)) + logits.astype("<f4").tobytes())


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "tests/session/data/sampler.gold")

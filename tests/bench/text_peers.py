#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tokenizers beside llama.cpp's, on one machine in one run: pairs in turn, medians of the pairs' ratios. One thread each.

    python3 tests/bench/text_peers.py --bench build/tests/bench/bench_text --include LLAMA/include [-I GGML/include] --lib LLAMA/libllama.so
        -f TEXT VOCABULARY.gguf... [--pairs 9] [--json]

Loading: the whole header and the tokenizer. Speed: megabytes of the text a second. Every pair is one run of each, the order changing
from pair to pair; a run's figure is its best try in time of its process. Ids must be equal. make_vocab.py writes Llama 3's vocabulary.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def build_peer(a, folder):
    program, folder_of_lib = os.path.join(folder, "peer_text"), os.path.dirname(os.path.abspath(a.lib))
    subprocess.run([a.cc, "-O2", os.path.join(HERE, "peer_text.c"), "-o", program, *(f"-I{i}" for i in a.include), os.path.abspath(a.lib),
                    f"-Wl,-rpath,{folder_of_lib}", "-Wl,--allow-shlib-undefined"], check=True)
    return program


def ours(bench, vocab, text):
    rows = {}
    out = subprocess.run([bench, vocab, "-f", text, "--csv"], check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in out.splitlines():
        _, what, value, _ = line.split(",")
        rows[what] = float(value)
    name = os.path.basename(text)
    return {"loaded in": rows["loaded in"], "speed": rows[name], "tokens": rows[name + " tokens"], "ids": rows[name + " ids"]}


def theirs(program, vocab, text, folder):
    out = subprocess.run([program, os.path.abspath(vocab), os.path.abspath(text)], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                         text=True, cwd=folder).stdout
    return {what: float(value) for what, value in (line.split(",") for line in out.splitlines())}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("vocabs", nargs="+")
    p.add_argument("--bench", default="build/tests/bench/bench_text")
    p.add_argument("-I", "--include", action="append", required=True)
    p.add_argument("--lib", required=True)
    p.add_argument("--cc", default="cc")
    p.add_argument("-f", "--text", required=True)
    p.add_argument("--pairs", type=int, default=9)
    p.add_argument("--json", action="store_true")
    a = p.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        program = build_peer(a, folder)
        for vocab in a.vocabs:
            pairs = []
            for i in range(a.pairs):
                runs = [lambda: ours(a.bench, vocab, a.text), lambda: theirs(program, vocab, a.text, os.path.dirname(os.path.abspath(a.lib)))]
                done = [runs[k]() for k in ((0, 1) if i % 2 == 0 else (1, 0))]
                pairs.append(done if i % 2 == 0 else done[::-1])
            same = all(x["ids"] == y["ids"] and x["tokens"] == y["tokens"] for x, y in pairs)
            for what, unit in (("loaded in", "ms"), ("speed", "MB/s")):
                us, them = (statistics.median(pair[k][what] for pair in pairs) for k in (0, 1))
                ratios = [y[what] / x[what] if unit == "ms" else x[what] / y[what] for x, y in pairs]
                rows.append({"vocabulary": os.path.basename(vocab), "test": what, "unit": unit, "ours": us, "theirs": them, "times_faster": statistics.median(ratios),
                             "least": min(ratios), "most": max(ratios), "pairs": len(pairs), "same_ids": same})
                if not a.json:
                    r = rows[-1]
                    print(f"{r['vocabulary']:32} {what:10} {us:8.1f} {them:8.1f} {unit:5} {r['times_faster']:6.2f} times ({r['least']:.2f}..{r['most']:.2f})"
                          f"  {'same ids' if same else 'OTHER IDS'}", flush=True)
    if a.json:
        json.dump(rows, sys.stdout, indent=1)
        print()


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Speed beside llama.cpp, on one machine in one run: pairs in turn, medians of the pairs' ratios.

    python3 tests/bench/peers.py --libllm build/libllm --llama-bench PATH/llama-bench MODEL.gguf...
        [-t 1,2] [-p 512] [-n 128] [-d 0] [--pairs 9] [--json]

llama-bench is llama.cpp's own measuring program (build it, or link its source to prebuilt libraries). Every pair is one run of each,
one right after the other, the order changing from pair to pair; a ratio is ours / theirs of the same pair. Ceilings are those that
`libllm bench` takes in the same runs: the highest seen counts. Make random models of real shapes with `libllm make`, for example
    libllm make --shape 1b --type q4_0 -o 1b-q4_0.gguf
"""
import argparse
import json
import os
import statistics
import subprocess
import sys


def ours(tool, model, threads, prompt, reply, depth, ceilings):
    command = [tool, "bench", "-m", model, "-t", str(threads), "-p", str(prompt), "-n", str(reply), "-d", str(depth), "-r", "1",
               "-c", str(depth + prompt + reply + 64), "-q", "--json"] + ([] if ceilings else ["--no-ceilings"])
    answer = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    answer = answer[0] if isinstance(answer, list) else answer
    return {r["test"]: r for r in answer["results"]}, answer


def theirs(tool, model, threads, prompt, reply, depth):
    rates = {}
    command = [tool, "-m", model, "-t", str(threads), "-p", str(prompt), "-n", str(reply), "-d", str(depth), "-r", "1", "-o", "json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    for r in json.loads(done.stdout):
        rates["prefill" if r["n_prompt"] else "decode"] = r["avg_ts"]
    return rates


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("models", nargs="+")
    p.add_argument("--libllm", default="build/libllm")
    p.add_argument("--llama-bench", required=True)
    p.add_argument("-t", "--threads", default="2")
    p.add_argument("-p", "--prompt", type=int, default=512)
    p.add_argument("-n", "--predict", type=int, default=128)
    p.add_argument("-d", "--depth", default="0")
    p.add_argument("--pairs", type=int, default=9)
    p.add_argument("--json", action="store_true")
    a = p.parse_args()
    rows = []
    for model in a.models:
        for threads in map(int, a.threads.split(",")):
            for depth in map(int, a.depth.split(",")):
                pairs, shares = {"prefill": [], "decode": []}, {}
                for i in range(a.pairs):
                    first = i % 2 == 0
                    if first:
                        mine, _ = ours(a.libllm, model, threads, a.prompt, a.predict, depth, i == 0)
                    other = theirs(a.llama_bench, model, threads, a.prompt, a.predict, depth)
                    if not first:
                        mine, _ = ours(a.libllm, model, threads, a.prompt, a.predict, depth, False)
                    for test, rates in pairs.items():
                        if test in mine and test in other:
                            rates.append((mine[test]["tokens_per_second"], other[test]))
                            if mine[test]["share_of_ceiling"]:
                                shares[test] = (mine[test]["share_of_ceiling"] / mine[test]["tokens_per_second"], mine[test]["ceiling"])
                for test, rates in pairs.items():
                    if not rates:
                        continue
                    us, them = (statistics.median(x[k] for x in rates) for k in (0, 1))
                    ratios = [x / y for x, y in rates]
                    per, ceiling = shares.get(test, (0, ""))
                    rows.append({"model": os.path.basename(model), "threads": threads, "depth": depth, "test": test, "ours": us, "theirs": them,
                                 "ratio": statistics.median(ratios), "ratio_least": min(ratios), "ratio_most": max(ratios),
                                 "share_ours": us * per, "share_theirs": them * per, "ceiling": ceiling, "pairs": len(rates)})
                    if not a.json:
                        r = rows[-1]
                        if len(rows) == 1:
                            print(f"{'model':24} {'t':>2} {'depth':>6} {'test':8} {'ours':>8} {'theirs':>8} {'ratio':>6} {'(range)':>13}  share of ceiling")
                        print(f"{r['model']:24} {threads:2} {depth:6} {test:8} {us:8.1f} {them:8.1f} {r['ratio']:6.2f} "
                              f"({r['ratio_least']:.2f}..{r['ratio_most']:.2f})  {100 * r['share_ours']:.0f} % / {100 * r['share_theirs']:.0f} % of {ceiling}", flush=True)
    if a.json:
        json.dump(rows, sys.stdout, indent=1)
        print()


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Speed beside peers, on one machine in one run: rounds of everybody in turn, medians of the rounds' ratios.

    python3 tests/bench/peers.py --libllm build/libllm MODEL.gguf... \\
        --peer "llama.cpp=PATH/llama-bench" --peer "ik=PATH/llama-bench" --peer "ik-rtr=PATH/llama-bench -rtr 1" \\
        [--batched "llama.cpp=PATH/llama-batched-bench"]
        [-t 1,2] [-p 512] [-n 128] [-d 0] [--sessions 8] [--state f16] [--rounds 9] [--json]

llama-bench and llama-batched-bench are the measuring programs of llama.cpp and ik_llama.cpp (build them, or link their sources to prebuilt
libraries). A peer that is not there is left out. In a round each runs once, one right after the other, who is first changing from round to round; a
ratio is ours / theirs of one round, `best` stands for the fastest peer of each round. Ceilings are those that `libllm bench` takes before and after:
the higher counts. Make random models of real shapes with `libllm make`, for example
    libllm make --shape 1b --type q4_0 -o 1b-q4_0.gguf
"""
import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys


def read(command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


def ours(a, model, threads, depth, ceilings):
    sessions = ["--sessions", f"1,{a.sessions}"] if a.sessions > 1 else []
    answer = json.loads(read([a.libllm, "bench", "-m", model, "-t", str(threads), "-p", str(a.prompt), "-n", str(a.predict), "-d", str(depth), "-r", "1",
                              "-c", str(depth + a.prompt + a.predict + 64), "--state-type", a.state, "-q", "--json", *sessions,
                              *([] if ceilings else ["--no-ceilings"])]))
    return {r["test"] if r["sessions"] == 1 else f"decode x{r['sessions']}": r for r in answer["results"]}


def bench(a, command, model, threads, depth):
    state = {"f32": "f32", "f16": "f16", "int8": "q8_0"}[a.state]
    done = read([*command, "-m", model, "-t", str(threads), "-p", str(a.prompt), "-n", str(a.predict), "-r", "1", "-o", "json",
                 *(["-d", str(depth)] if depth else []), *([] if state == "f16" else ["-ctk", state, "-ctv", state, "-fa", "1"])])
    return {"prefill" if r["n_prompt"] else "decode": r["avg_ts"] for r in json.loads(done)}


def batched(a, command, model, threads, depth):
    n = a.sessions * (depth + 16 + a.predict)
    lines = read([*command, "-m", model, "-t", str(threads), "-c", str(n), "-npp", str(depth + 16), "-ntg", str(a.predict), "-npl", str(a.sessions),
                  "--output-format", "jsonl"]).decode().splitlines()
    return {f"decode x{a.sessions}": json.loads(line)["speed_tg"] for line in lines if line.startswith("{")}


def named(words):
    name, _, command = words.partition("=")
    command = shlex.split(command)
    return (name, command) if command and os.access(command[0], os.X_OK) else (name, None)


def measure(a, model, threads, depth, peers):
    """{test: {who: [tokens/s of each round]}}, {test: (share of the ceiling per token/s, its name)}"""
    rates, shares = {}, {}
    for i in range(a.rounds):
        turn = [None, *peers] if i % 2 == 0 else [*peers, None]
        for peer in turn:
            if peer is None:
                got = ours(a, model, threads, depth, i == 0)
                for test, r in got.items():
                    rates.setdefault(test, {}).setdefault("ours", []).append(r["tokens_per_second"])
                    if r["share_of_ceiling"]:
                        shares[test] = (r["share_of_ceiling"] / r["tokens_per_second"], r["ceiling"])
                continue
            name, run, command = peer
            for test, rate in run(a, command, model, threads, depth).items():
                rates.setdefault(test, {}).setdefault(name, []).append(rate)
    return rates, shares


def rows_of(model, threads, depth, rates, shares):
    for test, by in rates.items():
        mine, others = by.get("ours"), {who: r for who, r in by.items() if who != "ours"}
        if not mine:
            continue
        if len(others) > 1:
            others["best"] = [max(r) for r in zip(*others.values())]
        per, ceiling = shares.get(test, (0, ""))
        for who, theirs in others.items() or [("", [])]:
            ratios = [x / y for x, y in zip(mine, theirs)]
            yield {"model": os.path.basename(model), "threads": threads, "depth": depth, "test": test, "peer": who, "ours": statistics.median(mine),
                   "theirs": statistics.median(theirs) if theirs else None, "ratio": statistics.median(ratios) if ratios else None,
                   "ratio_least": min(ratios, default=None), "ratio_most": max(ratios, default=None), "share_ours": statistics.median(mine) * per,
                   "share_theirs": statistics.median(theirs) * per if theirs else None, "ceiling": ceiling, "rounds": len(mine)}


def show(r, first):
    if first:
        print(f"{'model':20} {'t':>2} {'depth':>6} {'test':10} {'peer':10} {'ours':>8} {'theirs':>8} {'ratio':>6} {'(range)':>13}  share of ceiling")
    line = f"{r['model']:20} {r['threads']:2} {r['depth']:6} {r['test']:10} {r['peer']:10} {r['ours']:8.1f} "
    if r["ratio"] is None:
        line += f"{'':37}{100 * r['share_ours']:.0f} %"
    else:
        line += (f"{r['theirs']:8.1f} {r['ratio']:6.2f} ({r['ratio_least']:.2f}..{r['ratio_most']:.2f})  "
                 f"{100 * r['share_ours']:.0f} % / {100 * r['share_theirs']:.0f} %")
    print(line + f" of {r['ceiling']}", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("models", nargs="+")
    p.add_argument("--libllm", default="build/libllm")
    p.add_argument("--peer", action="append", default=[], type=named, help="NAME=llama-bench and its options; several")
    p.add_argument("--batched", action="append", default=[], type=named, help="NAME=llama-batched-bench and its options; several")
    p.add_argument("-t", "--threads", default="2")
    p.add_argument("-p", "--prompt", type=int, default=512)
    p.add_argument("-n", "--predict", type=int, default=128)
    p.add_argument("-d", "--depth", default="0")
    p.add_argument("--sessions", type=int, default=1, help="decode also so many sessions together")
    p.add_argument("--state", choices=["f32", "f16", "int8"], default="f16")
    p.add_argument("--rounds", type=int, default=9)
    p.add_argument("--json", action="store_true")
    a = p.parse_args()
    peers = [(name, bench, command) for name, command in a.peer if command]
    if a.sessions > 1:
        peers += [(name, batched, command) for name, command in a.batched if command]
    for name in [name for name, command in [*a.peer, *a.batched] if not command]:
        print(f"{name} is not there: left out", file=sys.stderr)
    rows = []
    for model in a.models:
        for threads in map(int, a.threads.split(",")):
            for depth in map(int, a.depth.split(",")):
                for row in rows_of(model, threads, depth, *measure(a, model, threads, depth, peers)):
                    if not a.json:
                        show(row, not rows)
                    rows.append(row)
    if a.json:
        json.dump(rows, sys.stdout, indent=1)
        print()


if __name__ == "__main__":
    main()

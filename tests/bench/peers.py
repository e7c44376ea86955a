#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Speed beside peers, on one machine in one run: rounds of everybody in turn, medians of the rounds' ratios.

    python3 tests/bench/peers.py --libllm build/libllm MODEL.gguf... \\
        --peer "llama.cpp=PATH/llama-bench" --peer "ik=PATH/llama-bench" --peer "ik-rtr=PATH/llama-bench -rtr 1" \\
        [--batched "llama.cpp=PATH/llama-batched-bench"]
        [--ours "avx512=--cpu-mask avx512"] [-t 1,2] [-p 512] [-n 128] [-d 0] [--sessions 8] [--state f16] [--rounds 9]
        [--device vulkan] [--pause 0] [--json] [--plot depths.svg]

llama-bench and llama-batched-bench are the measuring programs of llama.cpp and ik_llama.cpp (build them, or link their sources to prebuilt
libraries). A peer that is not there is left out. In a round each runs once, one right after the other, who is first changing from round to round; a
ratio is ours / theirs of one round, `best` stands for the fastest peer of each round. --ours measures the library with other options of `libllm bench`
too, in the same rounds: each of them beside each peer. --plot draws tokens/s over the depths of -d (needs matplotlib). Ceilings are those that `libllm bench` takes before and after:
the higher counts. Make random models of real shapes with `libllm make`, for example
    libllm make --shape 1b --type q4_0 -o 1b-q4_0.gguf
"""
import argparse
import functools
import json
import os
import shlex
import statistics
import subprocess
import sys
import time


def read(command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


def ours(a, options, model, threads, depth, ceilings):
    sessions = ["--sessions", f"1,{a.sessions}"] if a.sessions > 1 else []
    answer = json.loads(read([*shlex.split(a.libllm), "bench", "-m", model, "-t", str(threads), "-p", str(a.prompt), "-n", str(a.predict), "-d", str(depth), "-r", "1",
                              "-c", str(depth + a.prompt + a.predict + 64), "--state-type", a.state, "-q", "--json", *sessions,
                              *options, *(["--device", a.device] if a.device else []),
                              *([] if ceilings else ["--no-ceilings"])]))
    return {r["test"] if r["sessions"] == 1 else f"decode x{r['sessions']}": r for r in answer["results"]}


@functools.cache
def knows_depth(command):
    return "--n-depth" in subprocess.run([*command, "--help"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout.decode(errors="replace")


def bench(a, command, model, threads, depth):
    state = {"f32": "f32", "f16": "f16", "int8": "q8_0"}[a.state]
    if not depth:
        tests = ["-p", str(a.prompt), "-n", str(a.predict)]
    elif knows_depth(tuple(command)):
        tests = ["-p", str(a.prompt), "-n", str(a.predict), "-d", str(depth)]
    else:                                                   # ik_llama.cpp: decode behind a prompt alone
        tests = ["-p", "0", "-n", "0", "-gp", f"{depth},{a.predict}"]
    done = read([*command, "-m", model, "-t", str(threads), *tests, "-r", "1", "-o", "json",
                 *(["-ngl", "99"] if a.device else []), *([] if state == "f16" else ["-ctk", state, "-ctv", state, "-fa", "1"])])
    return {"decode" if r["n_gen"] else "prefill": r["avg_ts"] for r in json.loads(done)}


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
    everybody = [(name, None, options) for name, options in a.ours] + peers
    for i in range(a.rounds):
        got = {}                                            # of this round: whole or not at all
        try:
            for name, run, command in everybody if i % 2 == 0 else reversed(everybody):
                if run:
                    got.setdefault(name, {}).update(run(a, command, model, threads, depth))     # alone and many at once may share a name
                else:
                    answer = ours(a, command, model, threads, depth, i == 0)
                    got[name] = {test: r["tokens_per_second"] for test, r in answer.items()}
                    for test, r in answer.items():
                        if r["share_of_ceiling"]:           # of several measurements the highest ceiling: the lowest share
                            per = r["share_of_ceiling"] / r["tokens_per_second"]
                            shares[test] = min(shares.get(test, (per, r["ceiling"])), (per, r["ceiling"]))
                time.sleep(a.pause)
        except subprocess.CalledProcessError as e:
            print(f"round {i + 1} of {model} is left out: {e}", file=sys.stderr)
            continue
        for name, tests in got.items():
            for test, rate in tests.items():
                rates.setdefault(test, {}).setdefault(name, []).append(rate)
    return rates, shares


def rows_of(a, model, threads, depth, rates, shares):
    us = [name for name, _ in a.ours]
    for test, by in rates.items():
        others = {who: r for who, r in by.items() if who not in us}
        if len(others) > 1:
            others["best"] = [max(r) for r in zip(*others.values())]
        per, ceiling = shares.get(test, (0, ""))
        for who, mine in by.items():
            for peer, theirs in (others.items() or [("", [])]) if who in us else []:
                ratios = [x / y for x, y in zip(mine, theirs)]
                yield {"model": os.path.basename(model), "threads": threads, "depth": depth, "test": test, "us": who, "peer": peer, "ours": statistics.median(mine),
                       "theirs": statistics.median(theirs) if theirs else None, "ratio": statistics.median(ratios) if ratios else None,
                       "ratio_least": min(ratios, default=None), "ratio_most": max(ratios, default=None), "share_ours": statistics.median(mine) * per,
                       "share_theirs": statistics.median(theirs) * per if theirs else None, "ceiling": ceiling, "rounds": len(mine)}


def show(r, first):
    if first:
        print(f"{'model':20} {'t':>2} {'depth':>6} {'test':10} {'us':8} {'peer':10} {'ours':>8} {'theirs':>8} {'ratio':>6} {'(range)':>13}  share of ceiling")
    line = f"{r['model']:20} {r['threads']:2} {r['depth']:6} {r['test']:10} {r['us']:8} {r['peer']:10} {r['ours']:8.1f} "
    if r["ratio"] is None:
        line += f"{'':37}{100 * r['share_ours']:.0f} %"
    else:
        line += (f"{r['theirs']:8.1f} {r['ratio']:6.2f} ({r['ratio_least']:.2f}..{r['ratio_most']:.2f})  "
                 f"{100 * r['share_ours']:.0f} % / {100 * r['share_theirs']:.0f} %")
    print(line + f" of {r['ceiling']}", flush=True)


def plot(rows, path):
    """Tokens/s over the depth, ours and everybody's, a panel for each test."""
    import matplotlib
    matplotlib.use("svg")
    from matplotlib import pyplot
    tests = list(dict.fromkeys(r["test"] for r in rows))
    figure, panels = pyplot.subplots(1, len(tests), figsize=(5 * len(tests), 4), squeeze=False)
    for panel, test in zip(panels[0], tests):
        lines = {}
        for r in rows:
            if r["test"] == test:
                lines.setdefault(("libllm " + r["us"]).removesuffix(" ours"), {})[r["depth"]] = r["ours"]
                if r["theirs"] and r["peer"] != "best":
                    lines.setdefault(r["peer"], {})[r["depth"]] = r["theirs"]
        for name, points in lines.items():
            panel.plot(*zip(*sorted(points.items())), marker="o", label=name)
        panel.set(title=f"{test}, {rows[0]['model']}, {rows[0]['threads']} threads", xlabel="tokens in the context before", ylabel="tokens/s", ylim=(0, None))
        panel.grid(alpha=0.3)
        panel.legend()
    figure.tight_layout()
    figure.savefig(path)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("models", nargs="+")
    p.add_argument("--libllm", default="build/libllm")
    p.add_argument("--peer", action="append", default=[], type=named, help="NAME=llama-bench and its options; several")
    p.add_argument("--ours", action="append", default=[], metavar="NAME=OPTIONS", help="the library with these options of libllm bench; several")
    p.add_argument("--batched", action="append", default=[], type=named, help="NAME=llama-batched-bench and its options; several")
    p.add_argument("-t", "--threads", default="2")
    p.add_argument("-p", "--prompt", type=int, default=512)
    p.add_argument("-n", "--predict", type=int, default=128)
    p.add_argument("-d", "--depth", default="0")
    p.add_argument("--sessions", type=int, default=1, help="decode also so many sessions together")
    p.add_argument("--state", choices=["f32", "f16", "int8"], default="f16")
    p.add_argument("--rounds", type=int, default=9)
    p.add_argument("--device", help="ours on this device of libllm devices; peers, builds for GPUs then, on theirs with all layers")
    p.add_argument("--pause", type=float, default=0, help="seconds between two measurements")
    p.add_argument("--json", action="store_true")
    p.add_argument("--plot", metavar="FILE.svg")
    a = p.parse_args()
    a.ours = [("ours", [])] + [(name, shlex.split(options)) for name, _, options in (words.partition("=") for words in a.ours)]
    peers = [(name, bench, command) for name, command in a.peer if command]
    if a.device:
        os.environ.setdefault("GGML_VK_VISIBLE_DEVICES", "0")       # llama.cpp takes no processor that plays a GPU unless told to
    if a.sessions > 1:
        peers += [(name, batched, command) for name, command in a.batched if command]
    for name in [name for name, command in [*a.peer, *a.batched] if not command]:
        print(f"{name} is not there: left out", file=sys.stderr)
    rows = []
    for model in a.models:
        for threads in map(int, a.threads.split(",")):
            for depth in map(int, a.depth.split(",")):
                for row in rows_of(a, model, threads, depth, *measure(a, model, threads, depth, peers)):
                    if not a.json:
                        show(row, not rows)
                    rows.append(row)
    if a.json:
        json.dump(rows, sys.stdout, indent=1)
        print()
    if a.plot:
        plot(rows, a.plot)


if __name__ == "__main__":
    main()

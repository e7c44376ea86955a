#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The table of tools/coverage.sh out of llvm-cov's summary; fails below the bars."""
import json
import os
import sys

FLOORS = ["base", "tensor", "files", "text", "session"]
BAR, WHOLE = 90.0, ["files/gguf.c"]

root = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "src") + os.sep
files = {}
for f in json.load(open(sys.argv[1]))["data"][0]["files"]:
    name = f["filename"]
    if name.startswith(root) and name[len(root):].split("/")[0] in FLOORS and f["summary"]["branches"]["count"]:
        files[name[len(root):]] = f["summary"]

low = []
for floor in FLOORS:
    taken = total = lines = all_lines = 0
    for name in sorted(n for n in files if n.startswith(floor + "/")):
        b, l = files[name]["branches"], files[name]["lines"]
        print(f"{name:34} lines {l['percent']:6.1f} %   branches {b['percent']:6.1f} %  ({b['count'] - b['covered']} of {b['count']} not taken)")
        taken, total, lines, all_lines = taken + b["covered"], total + b["count"], lines + l["covered"], all_lines + l["count"]
        if name in WHOLE and b["covered"] < b["count"]:
            low.append(f"{name}: {b['count'] - b['covered']} branches not taken, all are wanted")
    print(f"{floor + '/':34} lines {100 * lines / all_lines:6.1f} %   branches {100 * taken / total:6.1f} %\n")
    if 100 * taken / total < BAR:
        low.append(f"{floor}: {100 * taken / total:.1f} % of the branches, {BAR:.0f} % are wanted")
for text in low:
    print(text)
sys.exit(1 if low else 0)

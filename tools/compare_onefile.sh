#!/bin/sh
# SPDX-License-Identifier: MIT
# compare_onefile.sh [LIBLLM] [CC] [BENCH OPTIONS...]: the speed of the one-file build beside CMake's, in turns, on this machine.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
theirs=${1:-$root/build/libllm}
cc=${2:-cc}
[ $# -ge 1 ] && shift
[ $# -ge 1 ] && shift
[ $# -ge 1 ] || set -- --shape 135m --type q4_0 -p 256 -n 64 -r 5
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$root" && "$cc" -O2 -c -Iinclude -Isrc src/llm_all.c -o "$work/llm_all.o" &&
    "$cc" -O2 -Iinclude examples/libllm/*.c "$work/llm_all.o" -o "$work/libllm" -lm -pthread)
for turn in 1 2; do
    echo "--- CMake's build, turn $turn"
    "$theirs" bench "$@" -q --no-ceilings
    echo "--- one file, $cc -O2, turn $turn"
    "$work/libllm" bench "$@" -q --no-ceilings
done

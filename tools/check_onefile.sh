#!/bin/sh
# SPDX-License-Identifier: MIT
# check_onefile.sh WORK_DIR CC LIBLLM [EMULATOR...]
# Builds the library as one file (cc -O2 -c, no other flag but warnings as errors), the command with it, and compares bits with
# LIBLLM, the command as CMake built it: hashes of logits for types and tiers, and a text drawn with a seed. Under an emulator: -O1, in a
# third of the time, and of two types with that processor's tiers; that it builds from one file is what differs there.
set -eu
work=$1 cc=$2 theirs=$3
shift 3
level=-O2 types="f32 f16 bf16 q8_0 q4_0 q4_k_m" masks="reference avx2 avx512 amx"
[ $# -eq 0 ] || { level=-O1 types="f16 q4_k_m" masks="reference neon-i8mm"; }
root=$(cd "$(dirname "$0")/.." && pwd)

fail() { echo "FAILED: $*" >&2; exit 1; }

mkdir -p "$work"
cd "$root"
"$cc" $level -Wall -Wextra -Werror -c -Iinclude -Isrc src/llm_all.c -o "$work/llm_all.o" || fail "$cc $level -c -Iinclude -Isrc src/llm_all.c"
"$cc" -O2 -Iinclude examples/libllm/*.c "$work/llm_all.o" -o "$work/libllm" -lm -pthread || fail "linking the command with it"

compare() {
    ours=$("$@" "$work/libllm" $what) || fail "one file: $what"
    cmakes=$("$@" "$theirs" $what) || fail "CMake: $what"
    [ "$ours" = "$cmakes" ] || fail "bits differ, one file $ours, CMake $cmakes: $what"
    echo "same: $what: $(printf %.60s "$ours")"
}
# Words are split on purpose: $what is a list of options without spaces in them.
# shellcheck disable=SC2086
{
    for type in $types; do
        for mask in $masks; do
            what="bench --shape tiny --type $type --hash -q -t 2 --cpu-mask $mask"
            compare "$@"
        done
    done
    [ $# -gt 0 ] || for what in "bench --shape tiny-qwen3 --type q4_0 --hash -q" "bench --shape tiny-moe --type q4_k_m --hash -q"; do
        compare "$@"
    done
    what="run --shape tiny --type q4_0 -p one -n 40 --seed 5 -q"
    compare "$@"
}
echo "the one-file build has the bits of CMake's"

#!/bin/sh
# SPDX-License-Identifier: MIT
# fuzz.sh TARGET|all [SECONDS] [FUZZER'S OPTIONS...]: builds the fuzzers in build-fuzz and lets them run, each for so long (0: until it is stopped; 60 where nothing is said).
# Corpora grow in build-fuzz/corpus/TARGET and are used again; what breaks lies in build-fuzz/found/TARGET: fix it, and keep the file in tests/fuzz/found/TARGET.
# An input that broke is run again with  build-fuzz/tests/fuzz/fuzz_TARGET FILE.
set -eu
cd "$(dirname "$0")/.."
targets="gguf load tokenizer text split template grammar saved sampler calls"
[ $# -gt 0 ] || { echo "usage: fuzz.sh TARGET|all [SECONDS] [OPTIONS...]; targets: $targets" >&2; exit 2; }
wanted=$1
seconds=${2:-60}
[ $# -lt 2 ] && shift 1 || shift 2
[ "$wanted" = all ] || targets=$wanted

if [ -z "${FUZZ_BUILT:-}" ]; then
    cmake -S . -B build-fuzz -G Ninja -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG=-O1 -DLLM_FUZZ=ON -DLLM_VULKAN=OFF -DLLM_BUILD_TOOL=OFF > build-fuzz.log 2>&1 &&
        cmake --build build-fuzz -j "$(getconf _NPROCESSORS_ONLN)" --target $(for t in $targets; do echo "fuzz_$t"; done) > build-fuzz.log 2>&1 || { cat build-fuzz.log; exit 1; }
    rm -f build-fuzz.log
fi

# The one-second bound is the target's own, in processor time; libFuzzer's is in minutes, for a machine that stands still.
export ASAN_OPTIONS="abort_on_error=1:allocator_may_return_null=1:detect_leaks=1:quarantine_size_mb=16:malloc_context_size=8:detect_stack_use_after_return=0${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
export UBSAN_OPTIONS="print_stacktrace=1${UBSAN_OPTIONS:+:$UBSAN_OPTIONS}"
for target in $targets; do
    case $target in
    gguf | load | tokenizer) most=20480 ;;
    split) most=32768 ;;
    saved) most=49152 ;;
    *) most=2048 ;;
    esac
    corpus=build-fuzz/corpus/$target seeds=build-fuzz/seeds/$target found=build-fuzz/found/$target
    mkdir -p "$corpus" "$seeds" "$found"
    "build-fuzz/tests/fuzz/fuzz_$target" --seeds "$seeds"
    kept=
    [ ! -d "tests/fuzz/found/$target" ] || kept=tests/fuzz/found/$target
    dict=
    [ ! -f "tests/fuzz/$target.dict" ] || dict=-dict=tests/fuzz/$target.dict
    # shellcheck disable=SC2086
    "build-fuzz/tests/fuzz/fuzz_$target" -max_total_time="$seconds" -max_len=$most -timeout=1200 -detect_leaks=0 -rss_limit_mb=2048 -malloc_limit_mb=512 -len_control=0 \
        -print_final_stats=1 -artifact_prefix="$found/" $dict "$@" "$corpus" "$seeds" $kept
done

#!/bin/sh
# SPDX-License-Identifier: MIT
# coverage.sh: builds with clang's coverage in build-coverage, runs the unit tests that are quick (all but whole models, GPUs, tools and bindings), and prints for each file of
# the floors where files and texts are read how many lines and branches were taken. Below the bars (90 % of the branches of each folder, all of files/gguf.c) it fails.
# coverage.sh -l FILE: the file's lines with untaken branches, after a run.
set -eu
cd "$(dirname "$0")/.."
folder=build-coverage
if [ "${1:-}" = -l ]; then
    llvm-cov show -instr-profile="$folder/all.profdata" -show-branches=count -show-line-counts-or-regions $(cat "$folder/objects") "$2"
    exit
fi
cmake -S . -B "$folder" -G Ninja -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG="-O1 -g1" -DLLM_COVERAGE=ON -DLLM_VULKAN=OFF -DLLM_BUILD_TOOL=OFF > "$folder.log" 2>&1 &&
    cmake --build "$folder" -j "$(getconf _NPROCESSORS_ONLN)" > "$folder.log" 2>&1 || { cat "$folder.log"; exit 1; }
rm -rf "$folder/raw"
LLVM_PROFILE_FILE="$PWD/$folder/raw/%p.profraw" ctest --test-dir "$folder" -j "$(getconf _NPROCESSORS_ONLN)" --output-on-failure -E '^(golden|gpu|tool|install|invariance|backend|editor|bench|cpu|kernels|vulkan|header|floors|symbols)' > "$folder.log" 2>&1 ||
    { tail -40 "$folder.log"; exit 1; }
rm -f "$folder.log"
llvm-profdata merge -sparse -o "$folder/all.profdata" "$folder"/raw/*.profraw
find "$folder/tests" -type f -name 'test_*' -perm -u+x | sed 's/^/-object /' | tr '\n' ' ' > "$folder/objects"
# shellcheck disable=SC2046
llvm-cov export -summary-only -instr-profile="$folder/all.profdata" "$folder/libllm.so" $(cat "$folder/objects") > "$folder/summary.json"
python3 tools/coverage.py "$folder/summary.json"

#!/bin/sh
# SPDX-License-Identifier: MIT
# lint.sh: what compilers and checkers say where files are read: -Wconversion and its kin over src/files and what it stands on, clang-tidy and cppcheck over src/files. Nothing may be said.
set -eu
cd "$(dirname "$0")/.."
sources=$(ls src/files/*.c)
for cc in gcc clang; do
    command -v $cc > /dev/null || continue
    for source in $sources; do
        $cc -std=c11 -fsyntax-only -O1 -Wall -Wextra -Wconversion -Wsign-conversion -Wshadow -Wpointer-arith -Wformat=2 -Wno-format-nonliteral -Wundef -Werror -DLLM_BUILDING=1 -Iinclude -Isrc "$source"
    done
done
# What is not asked: how style would have it; the functions of Annex K, which no C library here has; and two checks that would have to know that a failure is a negative status.
clang-tidy --quiet --warnings-as-errors='*' \
    --checks='-*,clang-analyzer-*,-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling,-clang-analyzer-core.NullDereference,-clang-analyzer-core.UndefinedBinaryOperatorResult,bugprone-*,-bugprone-sizeof-expression,-bugprone-easily-swappable-parameters,-bugprone-assignment-in-if-condition,-bugprone-reserved-identifier,cert-*,-cert-dcl37-c,-cert-dcl51-cpp,misc-redundant-expression,misc-misplaced-widening-cast' \
    $sources -- -std=c11 -DLLM_BUILDING=1 -Iinclude -Isrc 2> /dev/null
# cppcheck does not think of NaN.
cppcheck --quiet --std=c11 --error-exitcode=1 --inline-suppr --enable=warning,performance,portability --suppress=missingIncludeSystem --suppress=incorrectLogicOperator:src/files/catalogue.c -DLLM_BUILDING=1 -D__linux__=1 -D__x86_64__=1 -Iinclude -Isrc $sources
echo "nothing to say"

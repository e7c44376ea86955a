#!/bin/sh
# SPDX-License-Identifier: MIT
# check_header.sh CC [CXX]: llm.h alone is strict C from C99 on and C++ from C++11 on, without a warning, and no struct in it has
# hidden padding on any target that the compiler knows; examples/01_hello.c too is strict C99.
set -eu
cc=$1 cxx=${2:-}
cd "$(dirname "$0")/.."
warn="-Wall -Wextra -pedantic -Wshadow -Wpadded -Werror -fsyntax-only -Iinclude"

fail() { echo "FAILED: $*" >&2; exit 1; }

# shellcheck disable=SC2086
{
    for std in c99 c11 c17; do
        printf '#include <llm.h>\nllm_session_desc d = LLM_INIT(llm_session_desc);\n' | "$cc" -std=$std $warn -Wno-missing-field-initializers -x c - || fail "$cc -std=$std"
    done
    if printf '' | "$cc" -m32 -ffreestanding -fsyntax-only -x c - 2> /dev/null; then        # freestanding: no 32-bit libc is needed
        printf '#include <llm.h>\n' | "$cc" -std=c11 $warn -m32 -ffreestanding -x c - || fail "$cc -m32"
    else
        echo "note: no 32-bit target here"
    fi
    # The samples in its comments compile too, in both languages.
    samples=$(sed -n '/ ```c$/,/ ```$/p' include/llm.h | grep -v '```' | sed 's/^ \*//')
    [ -n "$samples" ] || fail "no samples found in llm.h"
    samples=$(printf '#include <llm.h>\nvoid show(const char *text);\nllm_status tell(const char *path, const char *prompt);\n%s\n' "$samples")
    printf '%s\n' "$samples" | "$cc" -std=c99 -Wall -Wextra -pedantic -Werror -Wno-missing-field-initializers -fsyntax-only -Iinclude -x c - || fail "samples as C99"
    if [ -n "$cxx" ] && command -v "$cxx" > /dev/null; then
        for std in c++11 c++2b; do
            printf '%s\n' "$samples" | "$cxx" -std=$std -Wall -Wextra -pedantic -Werror -fsyntax-only -Iinclude -x c++ - || fail "samples as $std"
        done
    fi
    if [ -f examples/01_hello.c ]; then
        "$cc" -std=c99 -Wall -Wextra -pedantic -Werror -Wno-missing-field-initializers -fsyntax-only -Iinclude examples/01_hello.c || fail "examples/01_hello.c as C99"
    fi
    if [ -n "$cxx" ] && command -v "$cxx" > /dev/null; then
        for std in c++11 c++14 c++17 c++20 c++2b; do
            printf '#include <llm.h>\nllm_session_desc d = LLM_INIT(llm_session_desc);\n' | "$cxx" -std=$std $warn -x c++ - || fail "$cxx -std=$std"
        done
    else
        echo "note: no C++ compiler here"
    fi
}
echo "llm.h is strict C99 to C17 and C++11 to C++23"

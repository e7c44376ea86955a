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
    printf '#include <llm.h>\n' | "$cc" -std=c11 $warn -m32 -x c - 2> /dev/null || echo "note: no 32-bit target here"
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

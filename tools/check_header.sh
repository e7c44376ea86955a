#!/bin/sh
# SPDX-License-Identifier: MIT
# check_header.sh CC [CXX]: llm.h alone is strict C from C99 on and C++ from C++11 on, without a warning, and no struct in it has hidden padding (tools/abi.py
# looks at other targets); its samples and examples/01_hello.c too are strict. CC and CXX, and clang where it is, with all the warnings that they know.
set -eu
cc=$1 cxx=${2:-}
cd "$(dirname "$0")/.."
warn="-Wall -Wextra -pedantic -Wshadow -Wpadded -Wconversion -Wsign-conversion -Wcast-qual -Wcast-align -Wundef -Wwrite-strings -Wfloat-equal -Wdouble-promotion -Werror -fsyntax-only -Iinclude"
warn_c="-Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wno-missing-field-initializers"
warn_cxx="-Wold-style-cast -Wzero-as-null-pointer-constant -Wnon-virtual-dtor -Woverloaded-virtual -Wextra-semi"
# Everything that clang knows, but not what C before C99 and C++ before C++11 had not.
everything="-Weverything -Wno-c++98-compat -Wno-c++98-compat-pedantic -Wno-declaration-after-statement -Wno-missing-field-initializers"

fail() { echo "FAILED: $*" >&2; exit 1; }
one='#include <llm.h>\nvoid begin(llm_session_desc *out);\nvoid begin(llm_session_desc *out)\n{\n    llm_session_desc d = LLM_INIT(llm_session_desc);\n    *out = d;\n}\n'

# each COMPILER LANGUAGE WARNINGS STANDARDS...
each() {
    compiler=$1 language=$2 more=$3
    shift 3
    for std in "$@"; do
        # shellcheck disable=SC2059,SC2086
        printf "$one" | "$compiler" -std="$std" $warn $more -x "$language" - || fail "$compiler -std=$std"
    done
}

# shellcheck disable=SC2086
{
    each "$cc" c "$warn_c" c99 c11 c17 c2x gnu11
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
        each "$cxx" c++ "$warn_cxx" c++11 c++14 c++17 c++20 c++2b gnu++17
    else
        echo "note: no C++ compiler here"
    fi
    if command -v clang > /dev/null && command -v clang++ > /dev/null; then
        each clang c "$everything" c99 c11 c17 c2x
        each clang++ c++ "$everything" c++11 c++14 c++17 c++20 c++2b
    else
        echo "note: no clang here"
    fi
}
echo "llm.h is strict C99 to C23 and C++11 to C++23"

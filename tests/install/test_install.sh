#!/bin/sh
# SPDX-License-Identifier: MIT
# test_install.sh CMAKE BUILD_DIR CONSUMER_DIR CC WORK_DIR: the installed library serves programs outside the tree, by
# find_package(llm) and by pkg-config, shared and static, from a prefix that was moved after the install.
set -eu
cmake=$1 build=$2 consumer=$3 cc=$4 work=$5

fail() { echo "FAILED: $*" >&2; exit 1; }

rm -rf "$work"
mkdir -p "$work/outside"
"$cmake" --install "$build" --prefix "$work/first" > "$work/install.log" || { cat "$work/install.log"; fail "cmake --install"; }
mv "$work/first" "$work/prefix"
cp "$consumer/CMakeLists.txt" "$consumer/consumer.c" "$work/outside"

echo "--- find_package(llm)"
"$cmake" -S "$work/outside" -B "$work/outside/build" -DCMAKE_PREFIX_PATH="$work/prefix" -DCMAKE_C_COMPILER="$cc" > "$work/configure.log" 2>&1 ||
    { cat "$work/configure.log"; fail "find_package(llm)"; }
"$cmake" --build "$work/outside/build" > "$work/build.log" 2>&1 || { cat "$work/build.log"; fail "a program with llm::llm and llm::llm_static"; }
"$work/outside/build/with_shared" || fail "the program with llm::llm"
"$work/outside/build/with_static" || fail "the program with llm::llm_static"
if command -v ldd > /dev/null; then
    ldd "$work/outside/build/with_shared" | grep -q 'libllm\.so\.0\.1 => ' || fail "with_shared does not load libllm.so.0.1"
    ! ldd "$work/outside/build/with_static" | grep -q libllm || fail "with_static loads libllm.so"
fi

echo "--- a too new version is refused"
if "$cmake" -S "$work/outside" -B "$work/outside/newer" -DCMAKE_PREFIX_PATH="$work/prefix" -DCMAKE_C_COMPILER="$cc" -DWANT=0.999 > "$work/newer.log" 2>&1; then
    fail "find_package(llm 0.999) succeeded"
fi

if ! command -v pkg-config > /dev/null; then
    echo "SKIP: pkg-config is not installed" >&2
    exit 77
fi
echo "--- pkg-config llm"
pc=$(find "$work/prefix" -name llm.pc)
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
lib=$(pkg-config --variable=libdir llm)
# shellcheck disable=SC2046
"$cc" -std=c11 "$work/outside/consumer.c" -o "$work/outside/pc_shared" $(pkg-config --cflags --libs llm) || fail "linking with pkg-config --libs"
LD_LIBRARY_PATH="$lib" "$work/outside/pc_shared" || fail "the program with pkg-config --libs"

# Static: the archive alone, with the private libraries that pkg-config names.
mkdir -p "$work/only_static"
cp "$lib/libllm.a" "$work/only_static"
# shellcheck disable=SC2046
"$cc" -std=c11 "$work/outside/consumer.c" -o "$work/outside/pc_static" $(pkg-config --cflags llm) -L"$work/only_static" $(pkg-config --static --libs llm | sed "s|-L[^ ]*||") ||
    fail "linking with pkg-config --static --libs"
"$work/outside/pc_static" || fail "the program with pkg-config --static --libs"

"$work/prefix/bin/libllm" --version > /dev/null || fail "the installed command"
[ -f "$work/prefix/share/libllm/box-q8_0.gguf" ] || fail "the model in the box is not installed"
"$work/prefix/bin/libllm" run -p "Once upon a time" -n 5 -q > /dev/null || fail "the installed command with the model in the box"
echo "installed programs work"

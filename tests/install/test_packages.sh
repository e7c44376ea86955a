#!/bin/sh
# SPDX-License-Identifier: MIT
# test_packages.sh WORK_DIR: what a release hands out, tried as its users would.
# - Debian packages: lintian has no error; installed by dpkg, a program finds the library by pkg-config and CMake, the command tells its story.
#   Installed into a view of the system that this test alone has (a mount namespace), so nothing is left behind; needs root.
# - The release archive, without a shader compiler: as a folder of a CMake project (add_subdirectory), and as two files for cc.
set -eu
work=$1
tests=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$tests/../.." && pwd)
jobs=$(getconf _NPROCESSORS_ONLN)

fail() { echo "FAILED: $*" >&2; exit 1; }
quiet() { log=$1; shift; "$@" > "$log" 2>&1 || { cat "$log" >&2; fail "$*"; }; }

mkdir -p "$work"
cd "$work"
rm -rf ./*.deb outside archive

echo "--- Debian packages"
quiet configure.log cmake -S "$root" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DLLM_DEBIAN=ON -DCMAKE_INSTALL_PREFIX=/usr -DLLM_BUILD_TESTS=OFF -DLLM_VULKAN=ON
quiet build.log cmake --build "$work/build" -j "$jobs"
(cd "$work/build" && rm -f ./*.deb && quiet "$work/cpack.log" cpack -G DEB)
mv build/*.deb .
for package in libllm0.1 libllm-dev libllm-tools; do
    ls ${package}_*.deb > /dev/null || fail "no package $package"
done
as_root=
[ "$(id -u)" -ne 0 ] || as_root=--allow-root
# shellcheck disable=SC2086
lintian $as_root --fail-on error ./*.deb || fail "lintian"

mkdir outside
cp "$tests/consumer/consumer.c" "$tests/consumer/CMakeLists.txt" outside
cat > inside.sh <<'INSIDE'
set -eu
work=$1
cd "$work"
for folder in usr var; do       # what is installed here is seen by this script alone
    mkdir -p "view/$folder"
    mount -t tmpfs tmpfs "view/$folder"
    mkdir "view/$folder/upper" "view/$folder/work"
    mount -t overlay overlay -o "lowerdir=/$folder,upperdir=view/$folder/upper,workdir=view/$folder/work" "/$folder"
done
dpkg -i ./*.deb > dpkg.log 2>&1 || { cat dpkg.log; exit 1; }
cc -std=c11 outside/consumer.c -o outside/pc $(pkg-config --cflags --libs llm)
outside/pc
ldd outside/pc | grep -q 'libllm\.so\.0\.1 => /'
cmake -S outside -B outside/build > cmake.log 2>&1 && cmake --build outside/build >> cmake.log 2>&1 || { cat cmake.log; exit 1; }
outside/build/with_shared
outside/build/with_static
cd /
libllm run -p "Once upon a time" -n 12 --temp 0 -q
libllm devices -q | grep "^  [0-9]"
dpkg -r libllm-tools libllm-dev libllm0.1 > /dev/null
! test -e /usr/include/llm.h
INSIDE
if unshare -m true 2> /dev/null; then
    unshare -m sh inside.sh "$work" || fail "installed packages"
else
    echo "SKIP: the packages are not installed: that needs root and mount namespaces" >&2
fi

echo "--- the release archive"
"$root/tools/archive.sh" "$work/build/generated/backend/vulkan/modules.inc" "$work/libllm.tar.gz"
"$root/tools/archive.sh" "$work/build/generated/backend/vulkan/modules.inc" "$work/again.tar.gz" > /dev/null
cmp libllm.tar.gz again.tar.gz || fail "two archives of one tree differ"
mkdir archive
tar -xzf libllm.tar.gz -C archive --strip-components=1
(cd archive && ! find . -name '*.spv' | grep -q . && [ -f generated/backend/vulkan/modules.inc ])

echo "--- the archive as a folder of a CMake project, without a shader compiler"
mkdir outside/sub
cp "$tests/consumer/consumer.c" outside/sub
cat > outside/sub/CMakeLists.txt <<LIST
cmake_minimum_required(VERSION 3.25)
project(app LANGUAGES C)
set(LLM_VULKAN ON)
set(LLM_GLSLANG NOTFOUND-AND-NOT-NEEDED)
add_subdirectory("$work/archive" llm)
add_executable(app consumer.c)
target_link_libraries(app PRIVATE llm::llm)
LIST
quiet sub.log cmake -S outside/sub -B outside/sub/build -G Ninja -DCMAKE_BUILD_TYPE=Release
quiet sub.log cmake --build outside/sub/build -j "$jobs"
outside/sub/build/app || fail "the program with the archive as a subdirectory"
[ ! -e outside/sub/build/libllm ] || fail "as a subdirectory it builds its command too"

echo "--- the archive as two files"
(
    cd archive
    cc -O2 -DLM_VULKAN=1 -Wall -Wextra -Werror -c -Iinclude -Isrc src/llm_all.c -o ../llm_all.o &
    cc -O2 -DLM_VULKAN=1 -Wall -Wextra -Werror -c -Iinclude -Isrc -Igenerated src/llm_vulkan_all.c -o ../llm_vulkan_all.o || exit 1
    wait $!
) || fail "compiling two files"
quiet link.log cc -O1 -Iarchive/include archive/examples/libllm/*.c llm_all.o llm_vulkan_all.o -o two -lm -pthread
what="run -m $root/examples/box/box-q8_0.gguf -p Once -n 20 --seed 5 -q"
# shellcheck disable=SC2086
[ "$(./two $what)" = "$("$work/build/libllm" $what)" ] || fail "two files say something else"
./two devices -q | grep '^  [0-9]' > two.txt
"$work/build/libllm" devices -q | grep '^  [0-9]' > build.txt
cmp two.txt build.txt || { cat two.txt build.txt; fail "two files see other devices"; }
echo "packages and archive work"

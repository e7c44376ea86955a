#!/bin/sh
# SPDX-License-Identifier: MIT
# setup.sh build|test|all|editor|hosts|packages: installs what building, testing, every check, or the check of the editor example, of those with a window or of packages needs, on Debian 12 and
# its relatives. What is there already is left alone.
set -eu
build="gcc libc6-dev cmake ninja-build libedit-dev"
# The Vulkan backend: headers, shader compiler, a driver that computes on the processor, the validation layers.
vulkan="libvulkan-dev glslang-tools mesa-vulkan-drivers vulkan-validationlayers"
test="$build g++ python3 pkg-config $vulkan"
all="$test clang libclang-rt-dev llvm clang-tidy cppcheck gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user gcc-mingw-w64-x86-64 python3-venv abigail-tools"
# The editor example: JSON, a Vim, and a window to take its picture in.
editor="$build python3 libcjson-dev vim xvfb xterm fonts-dejavu-core fonts-dejavu-extra"
# The examples with a window: SDL2, a font, a screen in memory.
hosts="$build libsdl2-dev libsdl2-ttf-dev libsdl2-image-dev fonts-dejavu-core xvfb xauth"

# Packages: what looks at them.
packages="$build $vulkan pkg-config dpkg-dev lintian"

case "${1:-}" in
    build) packages=$build have="cc cmake ninja" ;;
    test) packages=$test have="cc cmake ninja c++ python3 pkg-config" ;;
    all) packages=$all have="cc cmake ninja c++ python3 pkg-config clang llvm-cov clang-tidy cppcheck aarch64-linux-gnu-gcc qemu-aarch64 x86_64-w64-mingw32-gcc abidiff" ;;
    editor) packages=$editor have="cc cmake ninja python3 vim Xvfb xterm" ;;
    hosts) packages=$hosts have="cc cmake ninja xvfb-run xauth" ;;
    packages) packages=$packages have="cc cmake ninja pkg-config dpkg-shlibdeps lintian" ;;
    *) echo "usage: setup.sh build|test|all|editor|hosts|packages" >&2; exit 2 ;;
esac

files=/usr/include/histedit.h
case "$1" in
    test | all | packages) have="$have glslangValidator" files="$files /usr/include/vulkan/vulkan_core.h /usr/share/vulkan/icd.d /usr/share/vulkan/explicit_layer.d" ;;
    editor) files="$files /usr/include/cjson/cJSON.h /usr/share/fonts/truetype/dejavu/DejaVuSansMono-Oblique.ttf" ;;
    hosts) files="$files /usr/include/SDL2/SDL.h /usr/include/SDL2/SDL_ttf.h /usr/include/SDL2/SDL_image.h /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf" ;;
esac

missing=
for file in $files; do
    [ -e "$file" ] || missing="$missing $file"
done
for program in $have; do
    command -v "$program" > /dev/null 2>&1 || missing="$missing $program"
done
[ "$1" != all ] || python3 -c "import ensurepip, venv" 2> /dev/null || missing="$missing python3-venv"
[ -n "$missing" ] || exit 0

if ! command -v apt-get > /dev/null 2>&1; then
    echo "Missing:$missing. This script knows apt-get only; on Debian the packages are: $packages" >&2
    exit 1
fi
as_root=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo > /dev/null 2>&1 || { echo "Missing:$missing. Run as root, or install sudo: apt-get install $packages" >&2; exit 1; }
    as_root=sudo
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
# shellcheck disable=SC2086
$as_root apt-get install -y -qq --no-install-recommends $packages > /dev/null

#!/bin/sh
# SPDX-License-Identifier: MIT
# pack.sh: everything that tests/gpu/run.sh needs on a machine that has a GPU, its driver and a libc, and nothing else: our programs (shaders are in
# them), Vulkan's loader with the libraries that NVIDIA's driver wants of X11, and llama.cpp's prebuilt Vulkan library with its llama-bench. Into
# tests/gpu/pack (ignored by git), as two compressed archives of less than 50 MB together.
# Needs what the build needs, apt-get and dpkg, npm, git and a C++ compiler; package registries alone. Without npm the peer is left out.
# PEER_MODULES=DIR: a node_modules that has the two packages already. BUILD=DIR: a build of this tree (default build-gpu).
set -eu
cd "$(dirname "$0")/../.."
root=$PWD pack=$PWD/tests/gpu/pack build=${BUILD:-build-gpu} peer_version=3.22.1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -rf "$pack"
mkdir -p "$pack" "$work/ours/bin" "$work/ours/lib" "$work/peer"
say() { printf '==== %s\n' "$*"; }

say "our programs"
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DLLM_VULKAN=ON > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }
ninja -C "$build" libllm test_vulkan test_golden_vulkan gpu_ceilings > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }
cp "$build/libllm" "$build/tests/backend/test_vulkan" "$build/tests/golden/test_golden_vulkan" "$build/tests/gpu/gpu_ceilings" "$work/ours/bin/"
strip "$work"/ours/bin/*

say "the loader"
(
    cd "$work"
    apt-get -qq download libvulkan1 libx11-6 libxext6 libxcb1 libxau6 libxdmcp6 libbsd0 libmd0 > log 2>&1 || { cat log; exit 1; }
    for deb in ./*.deb; do dpkg -x "$deb" debs; done
    cp -P debs/usr/lib/*/*.so.* ours/lib/
)

say "llama.cpp"
modules=${PEER_MODULES:-}
if [ -z "$modules" ] && command -v npm > /dev/null; then
    (
        cd "$work"
        for name in "node-llama-cpp@$peer_version" "@node-llama-cpp/linux-x64-vulkan@$peer_version"; do
            npm pack --silent "$name" > name.txt
            folder=modules/${name%@*}
            mkdir -p "$folder"
            tar -xzf "$(tail -n 1 name.txt)" -C "$folder" --strip-components 1
        done
    )
    modules=$work/modules
fi
if [ -n "$modules" ]; then
    bins=$modules/@node-llama-cpp/linux-x64-vulkan/bins/linux-x64-vulkan
    for name in base vulkan cpu-x64 cpu-haswell cpu-sapphirerapids cpu-zen4; do cp "$bins/libggml-$name.so" "$work/peer/"; done
    cp "$bins"/libggml.vulkan.*.so "$bins"/libllama.vulkan.*.so "$bins/libllama-common.so" "$work/peer/"
    git clone -q "$modules/node-llama-cpp/llama/gitRelease.bundle" "$work/source" 2> "$work/log" || { cat "$work/log"; exit 1; }
    # Its sources' llama-bench, linked to the prebuilt libraries.
    # shellcheck disable=SC2046
    g++ -O2 -std=c++17 -I "$work/source/include" -I "$work/source/ggml/include" -I "$work/source/common" -I "$work/source/vendor" \
        $(find "$work/source/tools/llama-bench" -name '*.cpp') -o "$work/peer/llama-bench" \
        -L "$work/peer" -l:libllama-common.so -l:"$(basename "$work"/peer/libllama.vulkan.*.so)" -l:"$(basename "$work"/peer/libggml.vulkan.*.so)" -l:libggml-base.so \
        -Wl,-rpath,'$ORIGIN' -Wl,--allow-shlib-undefined -pthread > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }
    strip "$work/peer/llama-bench"
    tar -C "$work" -czf "$pack/peer.tar.gz" peer
fi
tar -C "$work" -czf "$pack/ours.tar.gz" ours
cd "$root"
du -ch tests/gpu/pack/*
[ "$(du -cb tests/gpu/pack/* | tail -n 1 | cut -f 1)" -lt 50000000 ] || { echo "more than 50 MB" >&2; exit 1; }

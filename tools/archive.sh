#!/bin/sh
# SPDX-License-Identifier: MIT
# archive.sh MODULES OUT.tar.gz: the release archive: what building and using the library needs of this tree, and the shaders as SPIR-V in a table
# (MODULES, the modules.inc that a build has made: BUILD/generated/backend/vulkan/modules.inc), so that no shader compiler is needed
# where it is unpacked. The same tree and table give the same bytes.
set -eu
[ $# -eq 2 ] || { echo "usage: archive.sh MODULES OUT.tar.gz" >&2; exit 2; }
modules=$1
out=$2
root=$(cd "$(dirname "$0")/.." && pwd)
version=$(sed -n 's/^project(llm VERSION \([0-9.]*\).*/\1/p' "$root/CMakeLists.txt")
name=libllm-$version
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/$name/generated/backend/vulkan"
cp "$modules" "$work/$name/generated/backend/vulkan/modules.inc"
# No tests, bindings, hosts with windows and tools of the house: who works on the library has the repository.
(cd "$root" && tar -cf - include src shaders pkgconfig CMakeLists.txt LICENSE README.md CHANGELOG.md docs/*.md \
    examples/CMakeLists.txt examples/README.md examples/01_hello.c examples/libllm examples/box tools/cmake tools/spirv_table.c) | tar -xf - -C "$work/$name"
# shellcheck disable=SC2012
(cd "$work" && tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 --mode=u+rw,go+r,go-w -cf - "$name" | gzip -9n) > "$out.part"
mv "$out.part" "$out"
echo "$out: $(gzip -dc "$out" | wc -c) bytes unpacked, $(wc -c < "$out") packed"

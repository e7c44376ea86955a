#!/bin/sh
# SPDX-License-Identifier: MIT
# test_tool_emulated.sh WORK_DIR DATA_DIR EMULATOR... LIBLLM: the libllm command on another processor: what depends on it. The rest, options and
# messages, is test_tool.sh's, which no emulator need repeat.
set -eu
work=$1 data=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
rm -rf "$work"
mkdir -p "$work"

fail() { echo "FAILED: $*" >&2; exit 1; }

"$@" --version | grep -q '^libllm 0\.1' || fail "--version"

echo "--- the bits of every processor, by every tier and any number of threads"
grep -E '^(f16|q8_0|q5_1|mxfp4|q3_k|q4_k_m)[[:space:]]' "$here/hashes.tsv" > "$work/hashes"
n=0
while read -r type hash; do
    case $((n % 3)) in
    0) options="-t 3 --chunk 7" ;;
    1) options="-t 1 --cpu-mask neon" ;;
    2) options="-t 2 --cpu-mask reference" ;;
    esac
    n=$((n + 1))
    # Options without spaces in them.
    # shellcheck disable=SC2086
    got=$("$@" bench --shape tiny --type "$type" --hash -q $options < /dev/null) || fail "$type $options"
    [ "$got" = "$hash" ] || fail "$type $options: $got, $hash expected"
done < "$work/hashes"
[ "$n" -eq 6 ] || fail "hashes.tsv: $n types"

echo "--- files: made, quantized, read"
"$@" make --shape tiny --type q4_k_m -o "$work/tiny.gguf" -q
[ "$("$@" bench -m "$work/tiny.gguf" --hash -q)" = "$(awk '$1 == "q4_k_m" { print $2 }' "$work/hashes")" ] || fail "a file of weights and the same in memory differ"
"$@" make --shape tiny --type f32 -o "$work/f32.gguf" -q
"$@" quantize "$work/f32.gguf" "$work/one.gguf" q8_0 -q -t 1
"$@" quantize "$work/f32.gguf" "$work/three.gguf" q8_0 -q -t 3
cmp "$work/one.gguf" "$work/three.gguf" || fail "quantize: other bytes with three threads"
"$@" run -m "$work/one.gguf" -p hello -n 5 --temp 0 -q | grep -q '^hello' || fail "a quantized file does not run"

stories=$data/models/stories260K-f32.gguf
if [ -f "$stories" ]; then
    echo "--- a trained model"
    "$@" run -m "$stories" -p "Once upon a time" -n 40 --temp 0 -q > "$work/story"
    cat "$work/story"
    grep -q '^Once upon a time, there was' "$work/story" || fail "it is not the story"
    "$@" run -m "$stories" -p "Once upon a time" -n 40 --temp 0 -q -t 2 --chunk 1 --cpu-mask reference | cmp - "$work/story" || fail "the reference tells another story"
else
    echo "--- a trained model: skipped, $stories is not there"
fi
echo "the command is the same on this processor"

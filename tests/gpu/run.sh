#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh: proof and speed of the Vulkan backend on this machine's GPU, in at most ten minutes, as one Markdown table. tests/gpu/pack.sh made tests/gpu/pack.
#   --tiny        toy shapes, any device, also a processor that plays a GPU: does the script itself work?
#   --minutes N   what has not begun after so many is left out, and said to be (default 9)
#   --out FILE    the table (default gpu.md in $OUT or here)
# What it says is of: copies within the card's memory (gpu_ceilings: read and written bytes), f32 multiply-adds by a shader, decode as the share that
# weights and state read for a token are of copies, prefill as the share that the layers' multiply-adds are of f32. Host CPU: processors' time of all of
# a process' threads a decoded token, sampling the likeliest token and reading logits back included.
set -eu
cd "$(dirname "$0")/../.."
tiny= minutes=9 out=${OUT:-.}/gpu.md
while [ $# -gt 0 ]; do
    case $1 in
    --tiny) tiny=1 ;;
    --minutes) minutes=$2; shift ;;
    --out) out=$2; shift ;;
    *) sed -n 's/^# \{0,1\}//p' "$0" | sed 1d; exit 2 ;;
    esac
    shift
done
started=$(date +%s)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed() { [ $(($(date +%s) - started)) -lt $((minutes * 60)) ]; }
say() { printf '==== %s (%d s)\n' "$*" "$(($(date +%s) - started))" >&2; }

for archive in tests/gpu/pack/*.tar.gz; do tar -C "$work" -xzf "$archive"; done
bin=$work/ours/bin
# The machine's own libraries come first, ours where it has none.
for library in "$work"/ours/lib/*.so.?; do
    ! ldconfig -p 2> /dev/null | grep -q "$(basename "$library") " || rm -f "$library"*
done
LD_LIBRARY_PATH=${LD_LIBRARY_PATH:-}${LD_LIBRARY_PATH:+:}$work/ours/lib
export LD_LIBRARY_PATH LLM_TEST_TREE="$PWD/tests" LLM_TEST_NO_LAYERS=1
# A driver whose description lies where no loader looks, or that brought none.
if [ -z "${VK_DRIVER_FILES:-}" ] && [ -z "$(find /usr/share/vulkan/icd.d /etc/vulkan/icd.d -name '*.json' 2> /dev/null)" ]; then
    if [ -f /usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json ]; then
        VK_DRIVER_FILES=/usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json
    else
        VK_DRIVER_FILES=$work/nvidia.json
        echo '{ "file_format_version": "1.0.0", "ICD": { "library_path": "libGLX_nvidia.so.0", "api_version": "1.3.0" } }' > "$VK_DRIVER_FILES"
    fi
    export VK_DRIVER_FILES VK_ICD_FILENAMES="$VK_DRIVER_FILES"
fi

say "devices and self-tests"
"$bin/libllm" devices -q > "$work/devices" 2> "$work/devices.err" || { cat "$work/devices" "$work/devices.err" >&2; exit 1; }
cat "$work/devices" >&2
if [ -z "$tiny" ] && ! grep -q -E 'discrete GPU|integrated GPU' "$work/devices"; then
    echo "no GPU here (--tiny takes a processor that plays one)" >&2
    exit 1
fi
[ -z "$tiny" ] || export GGML_VK_VISIBLE_DEVICES=0      # llama.cpp takes no processor unless told to
wrong=$(grep -c 'wrong' "$work/devices" || true)
right=$(grep -c ': right' "$work/devices" || true)

say "ceilings"
# shellcheck disable=SC2046
"$bin/gpu_ceilings" $([ -z "$tiny" ] || echo "0 64") > "$work/ceilings" || exit 1
name=$(sed -n 's/^name //p' "$work/ceilings") copy=$(sed -n 's/^copy //p' "$work/ceilings") f32=$(sed -n 's/^f32 //p' "$work/ceilings")

say "golden models"
# proof LOG COMMAND...: passed, FAILED, or what of it there was no time for
proof() {
    log=$1
    shift
    code=0
    timeout 150 "$@" > "$log" 2>&1 || code=$?
    case $code in 0) echo passed ;; 124) echo "not done after 150 seconds" ;; *) echo FAILED ;; esac
}
golden=$(proof "$work/golden" "$bin/test_golden_vulkan" "$([ -n "$tiny" ] && echo llama-q4_0 || echo all)")
tail -n 3 "$work/golden" >&2
models=$(grep -c 'f32 state' "$work/golden" || true)
say "every operation beside the CPU's"
compared="left out"
if [ -z "$tiny" ]; then compared=$(proof "$work/compared" "$bin/test_vulkan"); tail -n 3 "$work/compared" >&2; fi

if [ -n "$tiny" ]; then shapes="tiny" types="q4_0 q8_0" prompt=64 reply=8; else shapes="1b 3b 8b" types="q4_0 q4_k_m q8_0" prompt=512 reply=128; fi
# field NAME FILE: of the results of libllm bench --json, prefill's and then decode's.
field() { tr -d ' ' < "$2" | tr ',{}' '\n\n\n' | sed -n "s/^\"$1\"://p"; }
: > "$work/rows"
for shape in $shapes; do
    for type in $types; do
        if ! passed; then
            echo "| $shape | $type | left out: $minutes minutes have passed | | | | | | | | |" >> "$work/rows"
            continue
        fi
        file=$work/model.gguf
        say "$shape $type: weights"
        "$bin/libllm" make --shape "$shape" --type "$type" -o "$file" -q
        say "$shape $type: ours"
        if ! "$bin/libllm" bench -m "$file" --device vulkan -p "$prompt" -n "$reply" -r 3 -q --json > "$work/ours.json" 2> "$work/ours.err"; then
            tail -n 3 "$work/ours.err" >&2
            echo "| $shape | $type | FAILED: $(tail -n 1 "$work/ours.err" | tr '|' ' ') | | | | | | | | |" >> "$work/rows"
            rm -f "$file"
            continue
        fi
        theirs_prefill=0 theirs_decode=0
        if [ -x "$work/peer/llama-bench" ] && passed; then
            say "$shape $type: llama.cpp"
            (cd "$work/peer" && timeout $([ -n "$tiny" ] && echo 60 || echo 150) ./llama-bench -m "$file" -ngl 99 -p "$prompt" -n "$reply" -r 2 -o json) > "$work/theirs.json" 2> "$work/theirs.err" || tail -n 3 "$work/theirs.err" >&2
            theirs_prefill=$(field avg_ts "$work/theirs.json" | sed -n 1p)
            theirs_decode=$(field avg_ts "$work/theirs.json" | sed -n 2p)
        fi
        rm -f "$file"
        # shellcheck disable=SC2046
        echo "$shape" "$type" "$copy" "$f32" ${theirs_prefill:-0} ${theirs_decode:-0} $(field tokens_per_second "$work/ours.json") $(field work_per_token "$work/ours.json") \
            $(field cpu_seconds_per_token "$work/ours.json") | awk '{
                r = "-"; s = "-"; if ($5 > 0) r = sprintf("%.2f", $7 / $5); if ($6 > 0) s = sprintf("%.2f", $8 / $6);
                printf "| %s | %s | %.1f | %.0f %% | %.1f | %s | %.1f | %.1f %% | %.1f | %s | %.0f |\n", $1, $2, $8, 100 * $8 * $10 / $3, $6, s, $7, 100 * $7 * $9 / $4, $5, r, $12 * 1e6 }' >> "$work/rows"
        tail -n 1 "$work/rows" >&2
    done
done

{
    echo "# $name, $(date -u +%Y-%m-%d)"
    echo
    echo "Self-tests: $right right, $wrong wrong. Golden models: $models, $golden. Every operation beside the CPU's: $compared. Copies $(echo "$copy" | awk '{ printf "%.0f", $1 / 1e9 }') GB/s," \
        "f32 by a shader $(echo "$f32" | awk '{ printf "%.2f", $1 / 1e12 }') TFLOPS. Prompt $prompt, reply $reply tokens, f16 state, random weights. $(($(date +%s) - started)) seconds in all."
    echo
    echo "| shape | type | decode, tokens/s | of copies | llama.cpp | ratio | prefill, tokens/s | of f32 | llama.cpp | ratio | host CPU a token, us |"
    echo "|---|---|---|---|---|---|---|---|---|---|---|"
    cat "$work/rows"
} > "$out"
cat "$out"
[ "$golden" != FAILED ] && [ "$compared" != FAILED ] && [ "$wrong" = 0 ]

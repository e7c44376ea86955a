#!/bin/sh
# SPDX-License-Identifier: MIT
# test_tool.sh WORK_DIR DATA_DIR PYTHON LIBLLM: help, exit codes, messages, text and numbers of the libllm command.
# PYTHON may be empty: JSON is not parsed then. Under an emulator test_tool_emulated.sh stands for it.
set -u
work=$1 data=$2 python=$3
shift 3
all_types="q4_1 q5_0 q5_1 iq4_nl mxfp4 q2_k q3_k q5_k iq4_xs q5_k_m" all_files="q8_0 q4_0 Q4_K_M q4_k_s q5_k_m q6_k iq4_xs f16"
failures=0
rm -rf "$work"
mkdir -p "$work"

fail() { echo "FAILED: $*" >&2; failures=$((failures + 1)); }

# expect CODE ARGUMENTS...: runs the command with input from $work/in; out and err stand in $work.
: > "$work/in"
expect() {
    expected=$1
    shift
    "$@" < "$work/in" > "$work/out" 2> "$work/err"
    code=$?
    if [ "$code" -ne "$expected" ]; then
        fail "exit code $code, expected $expected: $*"
        sed 's/^/    /' "$work/err" >&2
    fi
}
says() { grep -q -e "$2" "$work/$1" || { fail "$1 does not say \"$2\":"; head -c 400 "$work/$1" >&2; }; }
silent() { [ ! -s "$work/$1" ] || { fail "$1 is not empty:"; head -c 400 "$work/$1" >&2; }; }
same() { cmp -s "$1" "$2" || fail "$3"; }
parses() { [ -z "$python" ] || "$python" -c "import json,sys; d=json.load(open(sys.argv[1])); $2" "$1" || fail "JSON: $2"; }

echo "--- help"
expect 0 "$@" --help;               says out 'usage: libllm'; silent err
expect 0 "$@" help;                 says out 'inspect'
expect 0 "$@" --version;            says out '^libllm 0\.1'
for command in chat run inspect bench make tokenize perplexity imatrix quantize devices; do
    expect 0 "$@" $command --help;  says out "usage: libllm $command"; says out '--help'; silent err
    expect 0 "$@" help $command;    says out "usage: libllm $command"
done
expect 0 "$@" run --help;           says out '--cpu-mask'; says out '--top-k'; says out '--repeat-penalty'

echo "--- wrong usage: 2, nothing on standard output, and what to do"
expect 2 "$@";                                      says err 'usage'; silent out
expect 2 "$@" walk;                                 says err 'no command "walk"'; silent out
expect 2 "$@" bench;                                says err '-m FILE'; silent out
expect 2 "$@" run --wings;                          says err '--wings'; says err '--help'
expect 2 "$@" run -Z;                               says err '-Z'
expect 2 "$@" run -m;                               says err 'wants a value'
expect 2 "$@" run --shape tiny -n many;             says err 'predict many'
expect 2 "$@" run --shape tiny -n 5x;               says err 'whole number'
expect 2 "$@" run --shape tiny --temp hot;          says err 'temp hot'
expect 2 "$@" run --shape tiny --top-p 1.5;         says err 'in its range'
expect 2 "$@" run --shape tiny --cpu-mask sse9;     says err 'reference, avx2'
expect 2 "$@" run --shape tiny -p a -f b;           says err 'not both'
expect 2 "$@" run --shape tiny -m b;                says err 'not both'
expect 2 "$@" run --shape tiny a b;                 says err 'quotation'
expect 2 "$@" run --shape huge -p a;                says err 'no shape "huge"'
expect 2 "$@" run --shape tiny --type q9 -p a;      says err 'no type "q9"'
expect 2 "$@" bench --shape tiny -d 1,,2;           says err 'depth'
expect 2 "$@" run --shape tiny --device 12x -p a;   says err '12x'
expect 2 "$@" make --shape tiny;                    says err '-o FILE'

echo "--- failures: 1, and a message that names the file"
expect 1 "$@" run -m "$work/none.gguf" -p a;        says err 'none.gguf'; says err 'LLM_E_'; silent out
echo 'This is not a model.' > "$work/text.gguf"
expect 1 "$@" run -m "$work/text.gguf" -p a;        says err 'text.gguf'; silent out
expect 1 "$@" inspect "$work/text.gguf";            says err 'text.gguf'
expect 1 "$@" run --shape tiny -f "$work/none.txt"; says err 'none.txt'
expect 1 "$@" make --shape tiny -o "$work/none/x";  says err 'none/x'

echo "--- devices: the processor first"
expect 0 "$@" devices -q;                           says out '^  1  '; says out 'processor'; silent err

echo "--- run: text on standard output, numbers on standard error"
base="run --device cpu --shape tiny --type q4_0 -p hello"
expect 0 "$@" $base -n 20 --temp 0;                 says out '^hello'; says err 'tokens/s'; says err 'length'
cp "$work/out" "$work/greedy"
[ "$(wc -c < "$work/greedy")" -gt 30 ] || fail "20 tokens are hardly any text"
expect 0 "$@" $base -n 20 --temp 0 -q;              silent err; same "$work/out" "$work/greedy" "-q changes the text"
expect 0 "$@" $base -n 20 --temp 0 --no-display-prompt -q
{ printf hello; cat "$work/out"; } > "$work/joined"; same "$work/joined" "$work/greedy" "--no-display-prompt changes more than the prompt"
for options in "-t 1" "-t 2" "-t 3" "--chunk 1" "--cpu-mask reference" "--cpu-mask avx2" "--cpu-mask avx512" "-c 64"; do
    expect 0 "$@" $base -n 20 --temp 0 -q $options; same "$work/out" "$work/greedy" "another text with $options"
done
expect 0 "$@" $base -n 30 --seed 7 -q;              cp "$work/out" "$work/seven"
expect 0 "$@" $base -n 30 --seed 7 -q -t 2;         same "$work/out" "$work/seven" "--seed 7 twice: two texts"
expect 0 "$@" $base -n 30 --seed 8 -q;              ! cmp -s "$work/out" "$work/seven" || fail "--seed 8: the text of --seed 7"
expect 0 "$@" $base -n 30;                          says err 'seed [0-9]'
seed=$(sed -n 's/.*seed \([0-9]*\).*/\1/p' "$work/err"); cp "$work/out" "$work/again"
expect 0 "$@" $base -n 30 --seed "$seed" -q;        same "$work/out" "$work/again" "the seed that was told gives another text"
expect 0 "$@" $base -n 0 -q;                        [ "$(cat "$work/out")" = hello ] || fail "-n 0 draws tokens"
expect 0 "$@" $base -n 30 --seed 7 -q --temp 1.2 --top-k 5 --top-p 0.9 --min-p 0.02 --repeat-penalty 1.3 --repeat-last-n -1
echo "--- run: the model in the box, when none is named"
expect 0 "$@" run -p "Once upon a time" -n 30 --temp 0 -q;  cp "$work/out" "$work/box"; says out 'Once upon a time'
[ "$(wc -w < "$work/box")" -gt 20 ] || fail "the model in the box says hardly anything"
expect 0 "$@" run -m "$(dirname "$0")/../../examples/box/box-q8_0.gguf" -p "Once upon a time" -n 30 --temp 0 -q
same "$work/out" "$work/box" "the model in the box by its name says something else"
echo "--- run: ways to sample"
expect 0 "$@" run --help
for option in dynatemp-range dynatemp-exp typical top-nsigma xtc-probability xtc-threshold dry-multiplier dry-base dry-allowed-length dry-penalty-last-n \
              dry-sequence-breaker mirostat mirostat-lr mirostat-ent adaptive-target adaptive-decay samplers; do
    says out "--$option "
done
for options in "--dynatemp-range 0.5 --dynatemp-exp 0.7" "--top-k 0 --typical 0.6" "--top-nsigma 0.7" "--xtc-probability 1 --xtc-threshold 0.01" \
               "--dry-multiplier 5 --dry-allowed-length 1 --dry-sequence-breaker none" "--mirostat 1 --mirostat-ent 2" "--mirostat 2 --mirostat-ent 2" \
               "--adaptive-target 0.1 --adaptive-decay 0.5" "--samplers top-k;temp --top-k 2" "--samplers temperature --temp 3"; do
    expect 0 "$@" $base -n 30 --seed 7 -q $options;      cp "$work/out" "$work/way"
    ! cmp -s "$work/way" "$work/seven" || fail "$options changes nothing"
    expect 0 "$@" $base -n 30 --seed 7 -q -t 2 $options; same "$work/out" "$work/way" "$options: two texts"
done
for options in "--xtc-probability 0" "--typical 1" "--top-nsigma -1" "--dry-multiplier 0" "--mirostat 0" "--adaptive-target -1" "--dry-multiplier 1 --dry-penalty-last-n 0" \
               "--samplers penalties;dry;top_n_sigma;topk;typ-p;nucleus;min_p;xtc;temp"; do
    expect 0 "$@" $base -n 30 --seed 7 -q $options; same "$work/out" "$work/seven" "$options: off, and yet another text"
done
echo "--- run: replies of a given form"
form="run -p Mia --no-display-prompt -q --seed 3 --temp 3 -n 300"
printf '%s' '{"type":"object","properties":{"name":{"type":"string","maxLength":9},"age":{"type":"integer","minimum":7,"maximum":9},"pet":{"enum":["cat","dog",null]}},"required":["name","age","pet"],"additionalProperties":false}' > "$work/person.json"
printf 'root ::= line{2,3}\nline ::= ("red" | "blue") " " [0-9]{2} "\\n"\n' > "$work/lines.gbnf"
printf '{"type":"objekt"}' > "$work/wrong.json"
for seed in 1 2 3; do
    expect 0 "$@" $form --seed $seed --json-schema "$work/person.json"
    parses "$work/out" 'assert list(d) == ["name","age","pet"] and len(d["name"]) <= 9 and d["age"] in (7, 8, 9) and d["pet"] in ("cat", "dog", None)'
    expect 0 "$@" $form --seed $seed --grammar "$work/lines.gbnf"
    [ "$(grep -cE '^(red|blue) [0-9][0-9]$' "$work/out")" -ge 2 ] && [ "$(grep -cvE '^((red|blue) [0-9][0-9])?$' "$work/out")" -eq 0 ] || fail "--grammar: $(cat "$work/out")"
    expect 0 "$@" $form --seed $seed --regex '(yes|no), [a-f]{3,5}!'
    grep -qE '^(yes|no), [a-f]{3,5}!$' "$work/out" || fail "--regex: $(cat "$work/out")"
done
expect 0 "$@" run -p Mia --no-display-prompt --temp 0 -n 300 --regex 'ab{2}c'; says out '^abbc$'; says err 'grammar'
expect 1 "$@" $form --json-schema "$work/wrong.json";   says err 'wrong.json'; says err '"type": expected null'; silent out
expect 1 "$@" $form --json-schema "$work/none.json";    says err 'none.json'
expect 1 "$@" $form --grammar "$work/person.json";      says err 'person.json'
expect 1 "$@" $form --regex '(a';                       says err 'regex'
expect 2 "$@" $form --regex a --grammar "$work/lines.gbnf"; says err 'one of them'
expect 2 "$@" $base --samplers "top_k;wings";       says err 'samplers top_k;wings'
expect 2 "$@" $base --samplers "top_k;top_k";       says err 'each once'
expect 2 "$@" $base --mirostat 3;                   says err 'mirostat 3'
expect 2 "$@" $base --dry-base 0.5;                 says err 'dry-base'
expect 1 "$@" $base --mirostat 2 --adaptive-target 0.5; says err 'mirostat'
expect 0 "$@" $base -c 24 --ignore-eos;             says err 'context full'
expect 1 "$@" run --shape tiny -p "a text of more than sixteen bytes" -c 16; says err '-c N'
word=$(cut -c6- < "$work/greedy" | tr -c 'a-z\n' ' ' | awk '{ for (i = 2; i <= NF; i++) if (length($i) > 3) { print $i; exit } }')
if [ -n "$word" ]; then
    expect 0 "$@" $base -n 20 --temp 0 --stop "$word"; says err 'stop text'
    ! grep -q -e "$word" "$work/out" || fail "--stop $word: it is in the text"
fi
printf 'hello' > "$work/prompt.txt"
expect 0 "$@" run --shape tiny --type q4_0 -f "$work/prompt.txt" -n 20 --temp 0 -q; same "$work/out" "$work/greedy" "-f is not as -p"

echo "--- run: line by line"
printf 'hello\n\nworld\n' > "$work/in"
expect 0 "$@" run --shape tiny --type q4_0 -n 5 --temp 0
[ "$(tr -cd '\n' < "$work/out" | wc -c)" -ge 3 ] || fail "three lines in, fewer replies out"
says err 'tokens/s'
: > "$work/in"
expect 0 "$@" run --shape tiny -n 5 -q;             silent out

echo "--- make, and the same from a file"
expect 0 "$@" make --shape tiny --type q4_k_m -o "$work/tiny.gguf"; says err 'random weights'
expect 0 "$@" bench -m "$work/tiny.gguf" --hash -q; cp "$work/out" "$work/hash"
expect 0 "$@" bench --shape tiny --type q4_k_m --hash -q; same "$work/out" "$work/hash" "a file of weights and the same in memory differ"
expect 0 "$@" bench --shape tiny --type q4_k_m --hash -q --weight-seed 2; ! cmp -s "$work/out" "$work/hash" || fail "--weight-seed changes nothing"

echo "--- packs: made, used, of another model, not to be written"
touch -t 202001010000 "$work/tiny.gguf"
expect 0 "$@" run -m "$work/tiny.gguf" -p hello -n 12 --temp 0 -q; cp "$work/out" "$work/plain"
for turn in made used; do
    expect 0 "$@" run -m "$work/tiny.gguf" --pack "$work/tiny.pack" -p hello -n 12 --temp 0 -q; silent err
    same "$work/out" "$work/plain" "the text with a pack, $turn"
done
expect 0 "$@" inspect -m "$work/tiny.gguf" --pack "$work/tiny.pack";  says out 'mapped, of the pack'
expect 0 "$@" bench -m "$work/tiny.gguf" --pack "$work/tiny.pack" -p 8 -n 2 -r 1 --no-ceilings -t 1
cp "$work/tiny.pack" "$work/old.pack"
expect 0 "$@" run --shape tiny --weight-seed 2 --pack "$work/tiny.pack" -p hello -n 2 --temp 0 -v; says err 'of another model'
! cmp -s "$work/tiny.pack" "$work/old.pack" || fail "the pack of another model was not made anew"
expect 0 "$@" run -m "$work/tiny.gguf" --pack "$work/none/pack" -p hello -n 12 --temp 0;  says err 'could not be made'
same "$work/out" "$work/plain" "the text where no pack can be written"

echo "--- bits: threads, chunks, tiers"
for type in f16 q8_0 q4_0 q4_k q6_k; do
    expect 0 "$@" bench --shape tiny --type $type --hash -q -t 1; cp "$work/out" "$work/hash"
    grep -q -x '[0-9a-f]\{16\}' "$work/hash" || fail "--hash prints no hash"
    for options in "-t 2" "-t 3 --chunk 7" "--chunk 1" "--cpu-mask reference" "--cpu-mask avx2"; do
        expect 0 "$@" bench --shape tiny --type $type --hash -q $options; same "$work/out" "$work/hash" "$type: other bits with $options"
    done
done
for type in $all_types; do
    expect 0 "$@" bench --shape tiny --type $type --hash -q -t 1; cp "$work/out" "$work/hash"
    expect 0 "$@" bench --shape tiny --type $type --hash -q -t 2 --chunk 9 --cpu-mask avx2; same "$work/out" "$work/hash" "$type: other bits on another tier"
done
while read -r type hash; do
    case $type in "#"*) continue ;; esac
    expect 0 "$@" bench --shape tiny --type "$type" --hash -q; says out "^$hash\$"     # those of every machine
done < "$(dirname "$0")/hashes.tsv"
expect 0 "$@" bench --shape tiny --type q5_k_m --hash -q --cpu-mask reference; same "$work/out" "$work/hash" "q5_k_m: other bits of the reference"

echo "--- inspect"
expect 0 "$@" inspect "$work/tiny.gguf";            says out 'architecture'; says out 'llama.block_count = 2'; says out 'blk.1.ffn_down.weight'; says out 'total'
expect 0 "$@" inspect "$work/tiny.gguf" --json
parses "$work/out" "assert d['model']['architecture'] == 'llama' and d['model']['n_layers'] == 2, d['model']"
parses "$work/out" "assert len(d['tensors']) == 20 and any(m['key'] == 'llama.block_count' and m['value'] == 2 for m in d['metadata'])"
parses "$work/out" "e = d['estimate']; assert e['total_bytes'] >= e['weight_bytes'] + e['session_bytes'] > 0, e"
expect 0 "$@" inspect --shape tiny-moe --json --full; parses "$work/out" "assert any(m.get('n') == 4096 and len(m['items']) == 4096 for m in d['metadata'])"

echo "--- tokenize"
expect 0 "$@" tokenize -m "$work/tiny.gguf" -p 'ab' --show-count; says out '"a"'; says out '^2 tokens'
expect 0 "$@" tokenize -m "$work/tiny.gguf" -p 'ab' --json; parses "$work/out" "assert [t['text'] for t in d] == ['a', 'b'], d"
expect 0 "$@" tokenize --shape tiny -p 'ab' --ids -q; cp "$work/out" "$work/ids"; grep -q -x '\[[0-9]*, [0-9]*\]' "$work/ids" || fail "--ids is no list"
printf ab > "$work/in"
expect 0 "$@" tokenize --shape tiny --ids;          same "$work/out" "$work/ids" "standard input gives other tokens than -p"
expect 0 "$@" tokenize --shape tiny --ids -f "$work/in"; same "$work/out" "$work/ids" "-f gives other tokens than -p"
: > "$work/in"
expect 1 "$@" tokenize --shape tiny -f "$work/none.txt"; says err 'none.txt'

echo "--- perplexity"
awk 'BEGIN { for (i = 0; i < 400; i++) printf "%d little words and more ", i * 7919 % 1000 }' > "$work/words.txt"
ppl="perplexity --shape tiny-qwen3 --type f32 --state-type f32"
expect 0 "$@" $ppl -f "$work/words.txt" -c 64 --chunks 20 --save-all-logits "$work/base" --json; says err 'window 20 of 20'; cp "$work/out" "$work/ppl"
parses "$work/ppl" "assert d['windows'] == 20 and d['scored'] == 20 * 31 and 100 < d['perplexity'] and 0 < d['perplexity_error'], d"
expect 0 "$@" $ppl -f "$work/words.txt" -c 64 --chunks 20 --json -q -t 2 --chunk 7; same "$work/out" "$work/ppl" "another perplexity with -t 2 --chunk 7"; silent err
expect 0 "$@" $ppl --kl-divergence-base "$work/base" --kl-divergence --json -q
parses "$work/out" "assert abs(d['kl']) < 1e-6 and d['same_top'] == 100 and abs(d['perplexity_ratio'] - 1) < 1e-4 and d['scored'] == 20 * 31, d"
expect 0 "$@" perplexity --shape tiny-qwen3 --type f32 --weight-seed 2 --kl-divergence-base "$work/base" --kl-divergence --json -q
parses "$work/out" "assert 0.1 < d['kl'] and d['kl_min'] <= d['kl_median'] <= d['kl_max'] and d['same_top'] < 100, d"
expect 0 "$@" perplexity --shape tiny-qwen3 --type q4_0 --kl-divergence-base "$work/base" --kl-divergence -q; says out 'KL divergence, mean'; says out 'perplexity of the base'
expect 0 "$@" $ppl -f "$work/words.txt" -c 64 --ppl-stride 16 --chunks 20 --json -q; parses "$work/out" "assert d['stride'] == 16 and d['scored'] == 20 * 16, d"
head -c 5000 "$work/base" > "$work/half"
expect 1 "$@" $ppl --kl-divergence-base "$work/half" --kl-divergence; says err 'half'; says err 'expected [0-9]* bytes'
expect 1 "$@" $ppl --kl-divergence-base "$work/words.txt" --kl-divergence; says err 'no base file'
{ head -c 12 "$work/base"; printf '\007\000\000\000'; tail -c +17 "$work/base"; } > "$work/other"
expect 1 "$@" $ppl --kl-divergence-base "$work/other" --kl-divergence; says err 'a model with 7 tokens'
expect 1 "$@" $ppl -f "$work/prompt.txt";           says err 'window needs 512'
expect 2 "$@" $ppl;                                 says err '-f FILE'
expect 2 "$@" $ppl --kl-divergence;                 says err 'kl-divergence-base'
expect 2 "$@" $ppl --kl-divergence-base "$work/base"; says err 'save-all-logits'
expect 2 "$@" $ppl -f "$work/words.txt" -c 64 --ppl-stride 65; says err 'stride'
expect 1 "$@" $ppl -f "$work/words.txt" -c 64 --save-all-logits "$work/none/base"; says err 'none/base'

echo "--- imatrix"
expect 0 "$@" imatrix --shape tiny-moe -f "$work/words.txt" -c 64 --chunks 3 -o "$work/moe.imatrix"; says err 'window 3 of 3'; silent out
for text in GGUF imatrix.chunk_count blk.0.ffn_gate_exps.weight.in_sum2 blk.1.ffn_gate_inp.weight.counts; do
    grep -q -a "$text" "$work/moe.imatrix" || fail "the importance matrix has no $text"
done
expect 2 "$@" imatrix --shape tiny -f "$work/words.txt"; says err '-o FILE'
expect 1 "$@" imatrix --shape tiny -f "$work/prompt.txt" -o "$work/x"; says err 'window needs 512'; [ ! -e "$work/x" ] || fail "a failed imatrix leaves a file"
expect 1 "$@" imatrix --shape tiny -f "$work/words.txt" -c 64 --chunks 1 -o "$work/none/x"; says err 'none/x'

echo "--- bench"
expect 0 "$@" bench --shape tiny --type q8_0 --no-ceilings -p 16 -n 4 -d 0,70 -r 1 -t 1,2
says out 'prefill'; says out 'decode'; [ "$(grep -c '^prefill\|^decode' "$work/out")" -ge 8 ] || fail "bench: fewer than 8 rows"
expect 0 "$@" bench --shape tiny --type q4_0 --no-ceilings -p 16 -n 4 -r 1 --json -q
silent err
parses "$work/out" "assert [r['test'] for r in d['results']] == ['prefill', 'decode'] and all(r['tokens_per_second'] > 0 for r in d['results']), d"
expect 0 "$@" bench --shape tiny -p 0 -n 2 -r 1 --sessions 1,3 --no-ceilings --json -q
parses "$work/out" 'assert [(r["sessions"], r["test"]) for r in d["results"]] == [(1, "decode"), (3, "decode")]'

echo "--- quantize: smaller files, whole or not at all"
expect 0 "$@" quantize --help;                      says out 'q4_k_m'; says out '--imatrix'; says out '--pure'
expect 2 "$@" quantize;                             says err 'IN OUT TYPE'
expect 2 "$@" quantize a b;                         says err 'IN OUT TYPE'
expect 2 "$@" quantize a b q9;                      says err 'no type "q9"'
expect 2 "$@" quantize a b q8_0 d;                  says err '"d"'
expect 1 "$@" quantize "$work/none.gguf" "$work/q.gguf" q8_0;   says err 'none.gguf'
expect 1 "$@" quantize "$work/text.gguf" "$work/q.gguf" q8_0;   says err 'text.gguf'
[ ! -e "$work/q.gguf" ] || fail "quantize: a file is left by a failure"
expect 0 "$@" make --shape tiny --type f32 -o "$work/f32.gguf" -q
expect 1 "$@" quantize "$work/f32.gguf" "$work/none/q.gguf" q8_0;   says err 'none/q.gguf'
for type in $all_files; do
    expect 0 "$@" quantize "$work/f32.gguf" "$work/q.gguf" $type -t 1;  says err 'changed their type'; silent out
    expect 0 "$@" run -m "$work/q.gguf" -p hello -n 5 --temp 0 -q;     says out '^hello'
    cp "$work/q.gguf" "$work/q1.gguf"
    expect 0 "$@" quantize "$work/f32.gguf" "$work/q.gguf" $type -t 3 -q; silent err
    same "$work/q.gguf" "$work/q1.gguf" "quantize $type: other bytes with three threads"
done
expect 0 "$@" quantize "$work/f32.gguf" "$work/f16.gguf" f16 -q
expect 0 "$@" quantize "$work/f16.gguf" "$work/q.gguf" iq4_xs --pure -q
expect 0 "$@" inspect "$work/q.gguf";               says out 'token_embd.weight *IQ4_XS'; says out 'general.file_type = 30'
expect 1 "$@" quantize "$work/q.gguf" "$work/q2.gguf" q4_0;     says err 'IQ4_XS already'
[ ! -e "$work/q2.gguf" ] || fail "quantize: a file is left by a refusal"
expect 1 "$@" quantize "$work/f32.gguf" "$work/q.gguf" q4_0 --imatrix "$work/f32.gguf"; says err 'no importance matrix'
tr -dc 'a-z ' < "$0" | head -c 3000 > "$work/quantize.txt"
expect 0 "$@" imatrix -m "$work/f32.gguf" -f "$work/quantize.txt" -c 64 --chunks 4 -o "$work/words.imatrix" -q
expect 0 "$@" quantize "$work/f32.gguf" "$work/q1.gguf" q4_k_m --imatrix "$work/words.imatrix"; says err 'by their importance'
expect 0 "$@" inspect "$work/q1.gguf";              says out 'quantize.imatrix.chunks_count = 4'
expect 0 "$@" quantize "$work/f32.gguf" "$work/q.gguf" q4_k_m -q
! cmp -s "$work/q.gguf" "$work/q1.gguf" || fail "quantize: --imatrix changes nothing"
ls "$work" | grep -q part && fail "quantize: a part of a file is left"

stories=$data/models/stories260K-f32.gguf
if [ -f "$stories" ]; then
    echo "--- a trained model"
    expect 0 "$@" run -m "$stories" -p "Once upon a time" -n 120 --temp 0 -t 1; cp "$work/out" "$work/story"
    says out '^Once upon a time, there was'
    cat "$work/story"
    for options in "-t 2" "--cpu-mask reference" "--cpu-mask avx2" "--chunk 1"; do
        expect 0 "$@" run -m "$stories" -p "Once upon a time" -n 120 --temp 0 $options; same "$work/out" "$work/story" "another story with $options"
    done

    echo "--- perplexity beside transformers in float64 (tools/gen_perplexity.py)"
    grep -v '^#' "$(dirname "$0")/perplexity.tsv" | while read -r name n_ctx windows scored nll perplexity; do
        [ "$windows" -gt 0 ] || continue            # all of the text: minutes, by hand
        "$@" perplexity -m "$data/models/$name" -f "$data/text/wikitext-2-test.txt" --state-type f32 -c "$n_ctx" --chunks "$windows" -q --json > "$work/ppl"
        awk -v n="$scored" -v nll="$nll" -v ppl="$perplexity" -F'[:,]' '
            /"scored"/ { seen = $2 } /"nll"/ { a = $2 } /"perplexity"/ { b = $2 }
            END { exit !(seen == n && a / nll - 1 < 1e-4 && 1 - a / nll < 1e-4 && b / ppl - 1 < 1e-4 && 1 - b / ppl < 1e-4) }' "$work/ppl" ||
            { echo "$name: expected $scored tokens, $nll, $perplexity:"; cat "$work/ppl"; } > "$work/wrong"
    done
    [ ! -f "$work/wrong" ] || fail "$(cat "$work/wrong")"
else
    echo "--- a trained model: skipped, $stories is not there"
fi

[ "$failures" -eq 0 ] || { echo "$failures checks failed" >&2; exit 1; }
echo "the command does what its help says"

# SPDX-License-Identifier: MIT
"""Makes the model in the box with one command: vocabulary, training, export, quantization, evaluation. What is there already is not made again;
training goes on from its checkpoint.

    python3 make.py --run DIR --libllm build/libllm            the real thing: one and a half to two hours of two cores
    python3 make.py --run DIR --libllm build/libllm --tiny     every step in about two minutes, to see that all of them work
"""
import argparse
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TYPES = ["q8_0", "q5_k_m", "q4_k_m", "q4_0"]


def do(*command):
    print("+", " ".join(command), flush=True)
    subprocess.run(command, check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", required=True, help="folder for everything that is made")
    parser.add_argument("--libllm", required=True, help="the program")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--minutes", type=float, default=90, help="train for so long at a stretch; call again to go on")
    args = parser.parse_args()
    os.makedirs(args.run, exist_ok=True)

    def at(name):
        return os.path.join(args.run, name)

    def script(name, *more):
        do(sys.executable, os.path.join(HERE, name), *more)

    tokenizer, final = at("tokenizer.json"), at("final.pt")
    script("corpus.py", "--count", "2000", "--out", at("sample.jsonl"))
    if not os.path.exists(tokenizer):
        script("vocabulary.py", "--out", tokenizer, *(["--documents", "6000"] if args.tiny else []))
    if not os.path.exists(final):
        script("train.py", "--run", args.run, "--tokenizer", tokenizer, "--minutes", str(args.minutes),
               *(["--tokens", "120e3", "--rows", "8", "--layers", "2", "--eval-every", "10"] if args.tiny else ["--compile"]))
    if not os.path.exists(final):
        raise SystemExit("training is not done; the same command goes on")
    files = [at(f"box-{kind}.gguf") for kind in ["f32", *TYPES]]
    script("export.py", "--weights", final, "--tokenizer", tokenizer, "--out", files[0], "--libllm", args.libllm)
    for kind, path in zip(TYPES, files[1:], strict=True):
        do(args.libllm, "quantize", files[0], path, kind)
    script("evaluate.py", "--weights", final, "--tokenizer", tokenizer, "--libllm", args.libllm, "--gguf", *files,
           *(["--each", "2", "--documents", "40"] if args.tiny else ["--wrong"]))


if __name__ == "__main__":
    main()

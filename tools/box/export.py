# SPDX-License-Identifier: MIT
"""Writes the trained model as GGUF (qwen3), and proves it: transformers gives the same logits as our own code for the same weights, and, where a
libllm program is named, it continues several prompts greedily with the same tokens.

    python3 export.py --weights DIR/final.pt --tokenizer tokenizer.json --out box-f32.gguf [--type f32|f16] [--libllm build/libllm]

--weights may also be a checkpoint of train.py.
"""
import argparse
import json
import subprocess

import gguf
import numpy
import torch
from gguf import GGMLQuantizationType, TokenType
from tokenizers import Tokenizer

from model import Model, Shape
from vocabulary import SPECIALS

NAME = "Box"
DESCRIPTION = "A very small model, trained from nothing on generated text: little stories and simple questions, in English."
TEMPLATE = ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
            "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
PROMPTS = ["Once upon a time", "<|im_start|>user\nTell me a story about a fox and a kite.<|im_end|>\n<|im_start|>assistant\n",
           "<|im_start|>user\nMia has a red ball. Tom is in the barn. Where is Tom?<|im_end|>\n<|im_start|>assistant\n",
           "<|im_start|>user\nWhat is 7 plus 8?<|im_end|>\n<|im_start|>assistant\n",
           "<|im_start|>user\nFill in name, age: Ben is a frog and 5 years old.<|im_end|>\n<|im_start|>assistant\n"]
LAYER = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
         "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
         "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}


def load(path):
    """The model of a final.pt or a checkpoint."""
    state = torch.load(path, weights_only=True)
    weights = state["model"]
    shape = Shape(vocab=weights["model.embed_tokens.weight"].shape[0], layers=1 + max(int(n.split(".")[2]) for n in weights if ".layers." in n))
    model = Model(shape)
    model.load_state_dict(weights)
    return model.eval()


@torch.no_grad()
def greedy(model, ids, count, ends, guess=()):
    """The likeliest continuation, up to one of `ends` (which is left out). A guess changes nothing but the time: as much of it as is right takes one
    step."""
    ids, begin, guess = list(ids), len(ids), list(guess)
    while len(ids) < begin + count and len(ids) < model.s.context:
        guess = guess[:model.s.context - len(ids)]
        best = model(torch.tensor([ids + guess]))[0, len(ids) - 1:].argmax(-1).tolist()
        for i, token in enumerate(best):
            if token in ends or len(ids) == begin + count:
                return ids[begin:]
            ids.append(token)
            if i < len(guess) and token != guess[i]:
                break
        guess = []
    return ids[begin:]


def gguf_name(name):
    if ".layers." not in name:
        return {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}[name]
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{LAYER[rest.removesuffix('.weight')]}.weight"


@torch.no_grad()
def load_gguf(path):
    """The model of a file that was made from it, with weights as the file's blocks stand for them."""
    tensors = {t.name: gguf.dequantize(t.data, t.tensor_type) for t in gguf.GGUFReader(path).tensors}
    model = Model(Shape(vocab=len(tensors["token_embd.weight"]), layers=sum(name.endswith(".attn_q.weight") for name in tensors)))
    for name, weights in model.named_parameters():
        weights.copy_(torch.from_numpy(tensors[gguf_name(name)].copy()))
    return model.eval()


def write(model, tokenizer_path, out, kind):
    s = model.s
    with open(tokenizer_path, encoding="utf-8") as file:
        spec = json.load(file)["model"]
    tokens = sorted(spec["vocab"], key=spec["vocab"].get)
    w = gguf.GGUFWriter(out, "qwen3")
    w.add_type("model")
    w.add_name(NAME)
    w.add_description(DESCRIPTION)
    w.add_license("MIT")
    w.add_size_label(f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f}M")
    w.add_languages(["en"])
    w.add_tags(["text-generation"])
    w.add_block_count(s.layers)
    w.add_context_length(s.context)
    w.add_embedding_length(s.embd)
    w.add_feed_forward_length(s.ff)
    w.add_head_count(s.heads)
    w.add_head_count_kv(s.kv_heads)
    w.add_key_length(s.head)
    w.add_value_length(s.head)
    w.add_rope_freq_base(s.theta)
    w.add_layer_norm_rms_eps(s.eps)
    w.add_vocab_size(s.vocab)
    w.add_file_type(gguf.LlamaFileType.ALL_F32 if kind == "f32" else gguf.LlamaFileType.MOSTLY_F16)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("qwen2")
    w.add_token_list(tokens)
    w.add_token_types([TokenType.CONTROL if token in SPECIALS else TokenType.NORMAL for token in tokens])
    w.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in spec["merges"]])
    w.add_eos_token_id(spec["vocab"]["<|endoftext|>"])
    w.add_eot_token_id(spec["vocab"]["<|im_end|>"])
    w.add_pad_token_id(spec["vocab"]["<|endoftext|>"])
    w.add_add_bos_token(False)
    w.add_chat_template(TEMPLATE)
    for name, p in model.state_dict().items():
        data = p.numpy()
        half = kind == "f16" and p.dim() == 2
        w.add_tensor(gguf_name(name), data.astype(numpy.float16) if half else data,
                     raw_dtype=GGMLQuantizationType.F16 if half else GGMLQuantizationType.F32)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


@torch.no_grad()
def check_transformers(model, tokenizer):
    """The largest difference of logits between ours and transformers' model with these weights."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    s = model.s
    config = Qwen3Config(vocab_size=s.vocab, hidden_size=s.embd, intermediate_size=s.ff, num_hidden_layers=s.layers, num_attention_heads=s.heads,
                         num_key_value_heads=s.kv_heads, head_dim=s.head, max_position_embeddings=s.context, rms_norm_eps=s.eps, rope_theta=s.theta,
                         tie_word_embeddings=True, attention_bias=False)
    theirs = Qwen3ForCausalLM(config).eval()
    missing, unexpected = theirs.load_state_dict(model.state_dict(), strict=False)
    if unexpected or set(missing) - {"lm_head.weight"}:
        raise SystemExit(f"transformers: missing {missing}, unexpected {unexpected}")
    theirs.tie_weights()
    worst = 0.0
    for prompt in PROMPTS:
        ids = torch.tensor([tokenizer.encode(prompt).ids])
        worst = max(worst, (theirs(ids).logits - model(ids)).abs().max().item())
    print(f"transformers: logits differ by at most {worst:.2e}")
    if worst > 1e-3:
        raise SystemExit("transformers computes something else")


def libllm_reply(program, model_path, prompt, count, *options):
    """What the program says after the prompt, greedily."""
    result = subprocess.run([program, "run", "-m", model_path, "-p", prompt, "-n", str(count), "--temp", "0", "-q", "-t", "1", "--parse-special", "--no-display-prompt",
                             *options],
                            capture_output=True, check=True)
    return result.stdout.decode("utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--type", choices=["f32", "f16"], default="f32")
    parser.add_argument("--libllm", help="the program, to check the file with it")
    args = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = Tokenizer.from_file(args.tokenizer)
    model = load(args.weights)
    write(model, args.tokenizer, args.out, args.type)
    check_transformers(model, tokenizer)
    ends = {tokenizer.token_to_id("<|endoftext|>"), tokenizer.token_to_id("<|im_end|>")}
    bad = 0
    for prompt in PROMPTS if args.libllm else []:
        ids = tokenizer.encode(prompt).ids
        shown = subprocess.run([args.libllm, "tokenize", "-m", args.out, "-p", prompt, "--ids", "-q"], capture_output=True, check=True, text=True)
        ours = tokenizer.decode(greedy(model, ids, 60, ends))
        theirs = libllm_reply(args.libllm, args.out, prompt, 60, "--state-type", "f32")
        same = json.loads(shown.stdout) == ids and theirs.rstrip("\n") == ours.rstrip("\n")
        bad += not same
        print(("same    " if same else "DIFFERS ") + json.dumps(ours[:70]) + ("" if same else " / " + json.dumps(theirs[:140])))
    if bad and args.type == "f32":
        raise SystemExit(f"{bad} of {len(PROMPTS)} prompts differ")


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: MIT
"""The model in the box: the Qwen3 architecture, small. Parameters have the names that transformers' Qwen3ForCausalLM gives them.

Knows nothing of training. A row may hold several documents: `document` numbers them, and no token sees another document than its own.
"""
import dataclasses

import torch
import torch.nn.functional as F
from torch import nn


@dataclasses.dataclass
class Shape:
    vocab: int = 2048
    embd: int = 256
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    head: int = 64
    ff: int = 768
    context: int = 512
    eps: float = 1e-6
    theta: float = 10000.0


class Norm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x):
        x = x.float()
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


def rotate(x, cos, sin):
    """Rope by halves; x is [rows, heads, tokens, head]."""
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class Attention(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.s = s
        self.q_proj, self.k_proj = nn.Linear(s.embd, s.heads * s.head, bias=False), nn.Linear(s.embd, s.kv_heads * s.head, bias=False)
        self.v_proj, self.o_proj = nn.Linear(s.embd, s.kv_heads * s.head, bias=False), nn.Linear(s.heads * s.head, s.embd, bias=False)
        self.q_norm, self.k_norm = Norm(s.head, s.eps), Norm(s.head, s.eps)

    def forward(self, x, cos, sin, mask):
        s, (rows, tokens, _) = self.s, x.shape
        q = rotate(self.q_norm(self.q_proj(x).view(rows, tokens, s.heads, s.head)).transpose(1, 2), cos, sin)
        k = rotate(self.k_norm(self.k_proj(x).view(rows, tokens, s.kv_heads, s.head)).transpose(1, 2), cos, sin)
        v = self.v_proj(x).view(rows, tokens, s.kv_heads, s.head).transpose(1, 2)
        group = s.heads // s.kv_heads
        k, v = k.to(v.dtype).repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        # Written out: compiled for a CPU this is several times as fast, backwards, as scaled_dot_product_attention with a mask.
        scores = ((q * s.head ** -0.5).to(v.dtype) @ k.transpose(-1, -2)).float() + mask
        out = torch.softmax(scores, -1).to(v.dtype) @ v
        return self.o_proj(out.transpose(1, 2).reshape(rows, tokens, -1))


class Feed(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.gate_proj, self.up_proj = nn.Linear(s.embd, s.ff, bias=False), nn.Linear(s.embd, s.ff, bias=False)
        self.down_proj = nn.Linear(s.ff, s.embd, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.self_attn, self.mlp = Attention(s), Feed(s)
        self.input_layernorm, self.post_attention_layernorm = Norm(s.embd, s.eps), Norm(s.embd, s.eps)

    def forward(self, x, cos, sin, mask):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, mask)
        return x + self.mlp(self.post_attention_layernorm(x))


class Body(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.embed_tokens = nn.Embedding(s.vocab, s.embd)
        self.layers = nn.ModuleList(Layer(s) for _ in range(s.layers))
        self.norm = Norm(s.embd, s.eps)


class Model(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.s, self.model = s, Body(s)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=0.02 / (2 * s.layers) ** 0.5 if "o_proj" in name or "down_proj" in name else 0.02)
        look_up(self)
        angles = torch.outer(torch.arange(s.context, dtype=torch.float64), s.theta ** (-torch.arange(0, s.head, 2, dtype=torch.float64) / s.head))
        self.register_buffer("cos", angles.cos().float(), persistent=False)
        self.register_buffer("sin", angles.sin().float(), persistent=False)

    def forward(self, ids, mask=None):
        """Logits [rows, tokens, vocab]. mask [rows, 1, tokens, tokens], additive, or None for one document a row."""
        tokens = ids.shape[1]
        mask = document_mask(torch.zeros_like(ids)) if mask is None else mask
        x, cos, sin = self.model.embed_tokens(ids), self.cos[:tokens], self.sin[:tokens]
        for layer in self.model.layers:
            x = layer(x, cos, sin, mask)
        return F.linear(self.model.norm(x), self.model.embed_tokens.weight)


def document_mask(document):
    """[rows, tokens] of document numbers to a mask [rows, 1, tokens, tokens], additive: earlier tokens of the same document."""
    tokens = document.shape[1]
    same = (document[:, :, None] == document[:, None, :]) & torch.ones(tokens, tokens, dtype=torch.bool).tril()
    return torch.zeros(same.shape).masked_fill_(~same, float("-inf"))[:, None]


def look_up(model):
    """Lays one circuit into a model that is about to be trained, which else takes most of a short training to form: find where this token, or this
    pair of tokens, was said before, and say what followed (Olsson et al., "In-context Learning and Induction Heads", 2022).

    The embeddings leave the last 3/8 of the residual free and have a constant in item 0. In layer 0, heads 0 and 1 look at distance 1 and 2, by the
    constant alone, and write what was said there into the free part. In layer 1 they compare that with what is said now, in rotary pairs too slow to
    turn much within the context, and add the token that they find to the residual. Nothing is fixed: all of it is trained from there on.
    """
    s, layers = model.s, model.model.layers
    if len(layers) < 2:
        return
    free, half = s.embd * 5 // 8, s.head // 2
    parts = (free, free + s.head), (free + s.head, s.embd)                        # where what was said at distance 1 and 2 is written
    width, begin = 12, half - 12                                                  # items and first pair of a comparison
    said, copied = (nn.init.orthogonal_(torch.empty(s.head, free - 1)) for _ in range(2))
    tokens, pairs = (2 * nn.init.orthogonal_(torch.empty(width, end - first)) for first, end in parts)
    turn = s.theta ** (-2.0 * torch.arange(6) / s.head)
    with torch.no_grad():
        embed = model.model.embed_tokens.weight
        embed[:, 1:free] *= (s.embd / free) ** 0.5
        embed[:, free:], embed[:, 0] = 0, 0.1
        before, find = layers[0].self_attn, layers[1].self_attn
        for attention in (before, find):
            attention.q_norm.weight[:], attention.k_norm.weight[:] = 1.5, 1.5
            attention.k_proj.weight[:s.head], attention.v_proj.weight[:s.head] = 0, 0
            attention.q_proj.weight[:2 * s.head], attention.o_proj.weight[:, :2 * s.head] = 0, 0
        before.k_proj.weight[:6, 0] = 1
        before.v_proj.weight[:s.head, 1:free] = said
        find.k_proj.weight[begin:half, slice(*parts[0])] = tokens
        find.k_proj.weight[begin + half:s.head, slice(*parts[1])] = pairs
        find.v_proj.weight[:s.head, 1:free] = copied
        for head, (first, end) in enumerate(parts):
            at = head * s.head
            before.q_proj.weight[at:at + 6, 0] = torch.cos(-(head + 1) * turn)    # a query turned back by so many steps meets the key there
            before.q_proj.weight[at + half:at + half + 6, 0] = torch.sin(-(head + 1) * turn)
            before.o_proj.weight[first:end, at:at + end - first] = 0.03 * torch.eye(end - first)
            find.q_proj.weight[at + begin:at + half, 1:free] = tokens @ said
            find.o_proj.weight[1:free, at:at + s.head] = 0.1 * copied.T
        find.q_proj.weight[begin + half:s.head, free:free + pairs.shape[1]] = pairs       # head 0 asks for the pair too, head 1 for the token alone

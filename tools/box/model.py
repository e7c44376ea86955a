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

"""The text encoder: a small T5 v1.1 encoder (gated GELU) under transformers' names."""
import math
import torch
import torch.nn as nn
import torch.nn.functional as F
import tokenizer

WIDTH, LAYERS, HEADS, HEAD, INNER = 128, 2, 4, 32, 256
BUCKETS, FARTHEST, EPS = 32, 128, 1e-6


def rms(x, weight):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS) * weight


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x):
        return rms(x, self.weight)


def linear(i, o, deviation):
    m = nn.Linear(i, o, bias=False)
    nn.init.normal_(m.weight, std=deviation)
    return m


class SelfAttention(nn.Module):
    """No scale on the scores: the initialisation has it."""

    def __init__(self, first):
        super().__init__()
        inner = HEADS * HEAD
        self.q = linear(WIDTH, inner, (WIDTH * HEAD) ** -.5)
        self.k, self.v = linear(WIDTH, inner, WIDTH ** -.5), linear(WIDTH, inner, WIDTH ** -.5)
        self.o = linear(inner, WIDTH, inner ** -.5)
        if first:
            self.relative_attention_bias = nn.Embedding(BUCKETS, HEADS)
            nn.init.normal_(self.relative_attention_bias.weight, std=.1)

    def forward(self, x, bias):
        b, n, _ = x.shape
        q, k, v = (m(x).view(b, n, HEADS, HEAD).transpose(1, 2) for m in (self.q, self.k, self.v))
        a = torch.softmax(q @ k.transpose(2, 3) + bias, -1) @ v
        return self.o(a.transpose(1, 2).reshape(b, n, -1))


class DenseReluDense(nn.Module):
    def __init__(self):
        super().__init__()
        self.wi_0, self.wi_1 = (linear(WIDTH, INNER, WIDTH ** -.5) for _ in range(2))
        self.wo = linear(INNER, WIDTH, INNER ** -.5)

    def forward(self, x):
        return self.wo(F.gelu(self.wi_0(x), approximate='tanh') * self.wi_1(x))


class Layer(nn.Module):
    def __init__(self, name, inner):
        super().__init__()
        setattr(self, name, inner)
        self.layer_norm = Norm()


class Block(nn.Module):
    def __init__(self, first):
        super().__init__()
        self.layer = nn.ModuleList([Layer('SelfAttention', SelfAttention(first)),
                                    Layer('DenseReluDense', DenseReluDense())])

    def forward(self, x, bias):
        a, f = self.layer
        x = x + a.SelfAttention(a.layer_norm(x), bias)
        return x + f.DenseReluDense(f.layer_norm(x))


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = nn.ModuleList([Block(i == 0) for i in range(LAYERS)])
        self.final_layer_norm = Norm()


class T5(nn.Module):
    def __init__(self):
        super().__init__()
        self.shared = nn.Embedding(tokenizer.VOCABULARY, WIDTH)
        nn.init.normal_(self.shared.weight, std=1.)
        self.encoder = Encoder()

    def _bias(self, n):
        """Of the distance of two tokens: buckets of one, then logarithmic; [1, heads, n, n]."""
        at = torch.arange(n)
        distance = at[None] - at[:, None]
        far, half = distance.abs(), BUCKETS // 4
        log = torch.log(far.clamp(min=1) / half) / math.log(FARTHEST / half) * half
        bucket = torch.where(far < half, far, half + log.floor().long().clamp(0, half - 1))
        bucket = bucket + torch.where(distance > 0, BUCKETS // 2, 0)
        table = self.encoder.block[0].layer[0].SelfAttention.relative_attention_bias
        return table(bucket).permute(2, 0, 1)[None]

    def forward(self, ids, mask):
        """ids [B,L], mask bool [B,L] -> [B,L,WIDTH]"""
        bias = self._bias(ids.shape[1]) + torch.where(mask, 0., -1e9)[:, None, None, :]
        x = self.shared(ids)
        for block in self.encoder.block:
            x = block(x, bias)
        return self.encoder.final_layer_norm(x)


def batch(prompts):
    """ids and mask of sentences, as long as the longest."""
    ids = [tokenizer.encode(p) for p in prompts]
    n = max(map(len, ids))
    padded = torch.tensor([i + [tokenizer.PAD] * (n - len(i)) for i in ids])
    return padded, torch.arange(n)[None] < torch.tensor([len(i) for i in ids])[:, None]


def config():
    return {'architectures': ['T5EncoderModel'], 'model_type': 't5',
            'vocab_size': tokenizer.VOCABULARY, 'd_model': WIDTH, 'd_kv': HEAD, 'd_ff': INNER,
            'num_layers': LAYERS, 'num_heads': HEADS, 'relative_attention_num_buckets': BUCKETS,
            'relative_attention_max_distance': FARTHEST, 'dropout_rate': 0.0,
            'layer_norm_epsilon': EPS, 'feed_forward_proj': 'gated-gelu',
            'tie_word_embeddings': False, 'is_encoder_decoder': False,
            'pad_token_id': tokenizer.PAD, 'eos_token_id': tokenizer.END}

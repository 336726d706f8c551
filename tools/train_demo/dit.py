"""A small STDiT3 (Open-Sora 1.2) under its authors' names.

Spatial and temporal blocks by turns: attention within a frame, or along time at a place, then to
the caption, then a perceptron, shifted, scaled and gated by the time of the flow."""
import math
import torch
import torch.nn as nn
import torch.nn.functional as F
import text
import tokenizer
import vae

WIDTH, DEPTH, HEADS, CHANNELS = 192, 4, 6, vae.LATENT
INPUT_SIZE = 64  # pixels that positions are scaled for
EPS = 1e-6


def half(x):
    return x.bfloat16()


class Linear(nn.Linear):
    """bfloat16 products of f32 weights."""

    def __init__(self, i, o):
        super().__init__(i, o)
        nn.init.xavier_uniform_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x):
        return F.linear(half(x), half(self.weight), half(self.bias)).float()


def attend(q, k, v, mask=None):
    s = (half(q * q.shape[-1] ** -.5) @ half(k).transpose(-1, -2)).float()
    return (half(torch.softmax(s if mask is None else s + mask, -1)) @ half(v)).float()


class Rms(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return text.rms(x, self.weight)


def rotate(x):
    """RoPE along axis -2, of neighbouring pairs."""
    n, width = x.shape[-2:]
    a = torch.arange(n)[:, None] * 10000 ** (-torch.arange(0, width, 2) / width)
    c, s, even, odd = a.cos(), a.sin(), x[..., 0::2], x[..., 1::2]
    return torch.stack([even * c - odd * s, odd * c + even * s], -1).flatten(-2)


class SelfAttention(nn.Module):
    def __init__(self, temporal):
        super().__init__()
        self.temporal = temporal
        self.qkv, self.proj = Linear(WIDTH, 3 * WIDTH), Linear(WIDTH, WIDTH)
        self.q_norm, self.k_norm = Rms(WIDTH // HEADS), Rms(WIDTH // HEADS)

    def forward(self, x):  # [groups, tokens, WIDTH]
        b, n, _ = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, HEADS, -1).permute(2, 0, 3, 1, 4).unbind(0)
        q, k = self.q_norm(q), self.k_norm(k)
        if self.temporal:
            q, k = rotate(q), rotate(k)
        return self.proj(attend(q, k, v).transpose(1, 2).reshape(b, n, WIDTH))


class CrossAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q_linear, self.kv_linear = Linear(WIDTH, WIDTH), Linear(WIDTH, 2 * WIDTH)
        self.proj = Linear(WIDTH, WIDTH)

    def forward(self, x, y, mask):
        b, n, _ = x.shape
        q = self.q_linear(x).view(b, n, HEADS, -1).transpose(1, 2)
        k, v = self.kv_linear(y).view(b, y.shape[1], 2, HEADS, -1).permute(2, 0, 3, 1, 4).unbind(0)
        return self.proj(attend(q, k, v, mask).transpose(1, 2).reshape(b, n, WIDTH))


class Mlp(nn.Module):
    def __init__(self, i, hidden, o):
        super().__init__()
        self.fc1, self.fc2 = Linear(i, hidden), Linear(hidden, o)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x), approximate='tanh'))


def normed(x, shift, scale):
    return F.layer_norm(x, (x.shape[-1],), eps=EPS) * (1 + scale) + shift


def merge(x, frames):
    """Frames of [B, tokens, WIDTH] two by two, by their mean; the last of an odd number is left out."""
    b, n, _ = x.shape
    x = x.view(b, frames, n // frames, WIDTH)[:, :frames // 2 * 2]
    return ((x[:, 0::2] + x[:, 1::2]) / 2).reshape(b, -1, WIDTH)


def unmerge(x, frames):
    """... and then takes the last pair's."""
    b, pairs = x.shape[0], frames // 2
    x = x.view(b, pairs, -1, WIDTH)
    return x[:, (torch.arange(frames) // 2).clamp(max=pairs - 1)].reshape(b, -1, WIDTH)


class Block(nn.Module):
    def __init__(self, temporal):
        super().__init__()
        self.scale_shift_table = nn.Parameter(torch.randn(6, WIDTH) / WIDTH ** .5)
        self.attn, self.cross_attn = SelfAttention(temporal), CrossAttention()
        self.mlp = Mlp(WIDTH, 4 * WIDTH, WIDTH)
        if temporal:  # starts as a model of pictures
            for m in (self.attn.proj, self.cross_attn.proj, self.mlp.fc2):
                nn.init.zeros_(m.weight)

    def forward(self, x, y, mask, t6, frames, merged=False):
        b, n, _ = x.shape
        places, all_frames = n // frames, frames
        shift1, scale1, gate1, shift2, scale2, gate2 = (
            (self.scale_shift_table[None] + t6).unsqueeze(2).unbind(1))
        a = normed(x, shift1, scale1)
        if merged:  # attention sees frames in twos
            a, frames = merge(a, frames), frames // 2
        n = a.shape[1]
        a = a.view(b, frames, places, WIDTH)
        if self.attn.temporal:
            a = self.attn(a.transpose(1, 2).reshape(b * places, frames, WIDTH))
            a = a.view(b, places, frames, WIDTH).transpose(1, 2).reshape(b, n, WIDTH)
        else:
            a = self.attn(a.reshape(b * frames, places, WIDTH)).view(b, n, WIDTH)
        x = x + gate1 * (unmerge(a, all_frames) if merged else a)
        c = self.cross_attn(merge(x, all_frames) if merged else x, y, mask)
        x = x + (unmerge(c, all_frames) if merged else c)
        return x + gate2 * self.mlp(normed(x, shift2, scale2))


class Embedder(nn.Module):
    """Of a number, by cosines and sines."""

    def __init__(self):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(256, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH))
        for m in (self.mlp[0], self.mlp[2]):
            nn.init.normal_(m.weight, std=.02)

    def forward(self, t):
        a = t[:, None] * torch.exp(-math.log(10000) * torch.arange(128) / 128)
        return self.mlp(torch.cat([a.cos(), a.sin()], 1))


class PatchEmbed(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Conv3d(CHANNELS, WIDTH, (1, 2, 2), (1, 2, 2))
        nn.init.xavier_uniform_(self.proj.weight.view(WIDTH, -1))
        nn.init.zeros_(self.proj.bias)


class Captions(nn.Module):
    def __init__(self):
        super().__init__()
        # What stands for "no caption", cut to the length of the caption it stands for.
        none = torch.randn(tokenizer.MAX_TOKENS, text.WIDTH) / text.WIDTH ** .5
        self.y_embedding = nn.Parameter(none)
        self.y_proj = Mlp(text.WIDTH, WIDTH, WIDTH)


class FinalLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale_shift_table = nn.Parameter(torch.randn(2, WIDTH) / WIDTH ** .5)
        self.linear = Linear(WIDTH, 4 * 2 * CHANNELS)
        nn.init.zeros_(self.linear.weight)


class STDiT3(nn.Module):
    def __init__(self):
        super().__init__()
        self.x_embedder, self.y_embedder = PatchEmbed(), Captions()
        self.t_embedder, self.fps_embedder = Embedder(), Embedder()
        self.t_block = nn.Sequential(nn.SiLU(), nn.Linear(WIDTH, 6 * WIDTH))
        nn.init.normal_(self.t_block[1].weight, std=.02)
        self.spatial_blocks = nn.ModuleList([Block(False) for _ in range(DEPTH)])
        self.temporal_blocks = nn.ModuleList([Block(True) for _ in range(DEPTH)])
        self.final_layer = FinalLayer()

    @staticmethod
    def _positions(rows, columns, pixels):
        """[1, rows columns, WIDTH]: the column's half, then the row's."""
        base, scale = round((rows * columns) ** .5), pixels / INPUT_SIZE
        f = 10000 ** (-2 * torch.arange(WIDTH // 4) / (WIDTH / 2))

        def waves(n):
            a = (torch.arange(n) / scale * (base / n))[:, None] * f
            return torch.cat([a.sin(), a.cos()], 1)
        u = waves(columns)[None].expand(rows, columns, -1)
        v = waves(rows)[:, None].expand(rows, columns, -1)
        return torch.cat([u, v], -1).reshape(1, rows * columns, WIDTH)

    def forward(self, z, t, y, mask, fps, variance=False, merged=False):
        """z [B,C,T,H,W]; t [B] in 0..1000; y [B,L,text.WIDTH] and its mask; fps [B] -> velocity,
        and the variance, which is not trained. merged: attentions see frames two by two (TDTM)."""
        b, c, frames, height, width = z.shape
        rows, columns = height // 2, width // 2
        x = z.view(b, c, frames, rows, 2, columns, 2).permute(0, 2, 3, 5, 1, 4, 6)
        x = F.linear(x.reshape(b, frames * rows * columns, c * 4),
                     self.x_embedder.proj.weight.view(WIDTH, -1), self.x_embedder.proj.bias)
        x = x + self._positions(rows, columns, 8 * (height * width) ** .5).repeat(1, frames, 1)
        time = self.t_embedder(t) + self.fps_embedder(fps)
        t6 = self.t_block(time).view(b, 6, WIDTH)
        y = self.y_embedder.y_proj(y)
        hidden = torch.where(mask, 0., -1e9)[:, None, None, :]
        for s, p in zip(self.spatial_blocks, self.temporal_blocks):
            x = s(x, y, hidden, t6, frames, merged)
            x = p(x, y, hidden, t6, frames, merged)
        table = self.final_layer.scale_shift_table[None] + time[:, None]
        shift, scale = table.unsqueeze(2).unbind(1)
        x = self.final_layer.linear(normed(x, shift, scale))
        x = x.view(b, frames, rows, columns, 2, 2, 2 * c).permute(0, 6, 1, 2, 4, 3, 5)
        x = x.reshape(b, 2 * c, frames, height, width)
        return x if variance else x[:, :c]


def config():
    return {'model_type': 'STDiT3', 'depth': DEPTH, 'hidden_size': WIDTH, 'num_heads': HEADS,
            'patch_size': [1, 2, 2], 'in_channels': CHANNELS, 'caption_channels': text.WIDTH,
            'model_max_length': tokenizer.MAX_TOKENS, 'qk_norm': True, 'pred_sigma': True,
            'mlp_ratio': 4.0, 'class_dropout_prob': .1, 'input_sq_size': INPUT_SIZE}

"""A small OD-VAE 1.2 (Open-Sora-Plan's CausalVAEModel_D4_4x8x8) under its authors' names.

The first frame is a latent of its own, every further four share one; 8x8 pixels make a latent
pixel. Stages follow the authors' module list: 2D blocks on the encoder's two outer levels, causal
3D convolutions elsewhere, a space-time upsampling that keeps the first frame alone. Sizes are small
(16 features where the original has 128), and 8 groups in the norms, since 16 features have no 32.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F

HIDDEN, MULT, LATENT, GROUPS, EPS = 16, (1, 2, 4, 4), 8, 8, 1e-6
WIDTH = [HIDDEN * m for m in MULT]


def half(x):
    return x.bfloat16()


class _RepeatFirst(torch.autograd.Function):
    """Puts n copies of the first frame in front. Its own gradient, since that of slices fills and
    adds whole tensors of zeros, a quarter of a step."""

    @staticmethod
    def forward(ctx, x, n):
        ctx.n = n
        return torch.cat([x[:, :, :1]] * n + [x], 2)

    @staticmethod
    def backward(ctx, g):
        d = g[:, :, ctx.n:].clone()
        d[:, :, 0] += g[:, :, :ctx.n].sum(2)
        return d, None


class CausalConv3d(nn.Module):
    """Sees the past only: the first frame is repeated in front, space is padded with zeros."""

    def __init__(self, i, o, kernel=3, stride=1, pad=None):
        super().__init__()
        kernel = (kernel,) * 3 if isinstance(kernel, int) else kernel
        pad = kernel[2] // 2 if pad is None else pad
        self.conv = nn.Conv3d(i, o, kernel, stride, padding=(0, pad, pad))

    def forward(self, x):
        c = self.conv
        # bfloat16 products, accumulated in f32: twice as fast. The norms between are in f32.
        small = c.in_channels >= 16
        if small:
            x = half(x)
        if c.kernel_size[0] > 1:
            x = _RepeatFirst.apply(x, c.kernel_size[0] - 1)
        if not small:
            return c(x)
        return F.conv3d(x, half(c.weight), half(c.bias), c.stride, c.padding).float()


def norm(width):
    return nn.GroupNorm(GROUPS, width, EPS)


class Resnet(nn.Module):
    def __init__(self, i, o, conv):
        super().__init__()
        self.norm1, self.conv1 = norm(i), conv(i, o, 3)
        self.norm2, self.conv2 = norm(o), conv(o, o, 3)
        if i != o:
            self.nin_shortcut = conv(i, o, 1)

    def forward(self, x):
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return (self.nin_shortcut(x) if hasattr(self, 'nin_shortcut') else x) + h


def resnet2d(i, o):  # of frames folded into the batch: its norms see one frame
    return Resnet(i, o, lambda a, b, k: nn.Conv2d(a, b, k, padding=k // 2))


def resnet3d(i, o):
    return Resnet(i, o, CausalConv3d)


class Attention(nn.Module):
    """Between the pixels of a frame."""

    def __init__(self, width):
        super().__init__()
        self.norm = norm(width)
        self.q, self.k, self.v, self.proj_out = (CausalConv3d(width, width, 1) for _ in range(4))

    def forward(self, x):
        b, c, t, h, w = x.shape
        u = self.norm(x)
        q, k, v = (f(u).permute(0, 2, 3, 4, 1).reshape(b * t, h * w, c)
                   for f in (self.q, self.k, self.v))
        a = torch.softmax(q @ k.transpose(1, 2) * c ** -.5, -1) @ v
        return x + self.proj_out(a.reshape(b, t, h, w, c).permute(0, 4, 1, 2, 3))


class Level(nn.Module):
    pass


class Resample(nn.Module):
    def __init__(self, conv):
        super().__init__()
        self.conv = conv


class Middle(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.block_1, self.block_2 = resnet3d(width, width), resnet3d(width, width)
        self.attn_1 = Attention(width)

    def forward(self, x):
        return self.block_2(self.attn_1(self.block_1(x)))


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv_in = nn.Conv2d(3, HIDDEN, 3, padding=1)
        self.down = nn.ModuleList()
        i = HIDDEN
        for n, o in enumerate(WIDTH):
            level = Level()
            level.block = nn.ModuleList([(resnet2d if n < 2 else resnet3d)(i, o)])
            if n == 0:
                level.downsample = Resample(nn.Conv2d(o, o, 3, 2))
            elif n < 3:
                level.downsample = Resample(CausalConv3d(o, o, 3, 2, pad=0))
            self.down.append(level)
            i = o
        self.mid = Middle(i)
        self.norm_out = norm(i)
        self.conv_out = CausalConv3d(i, 2 * LATENT)

    def forward(self, x):
        b, _, t = x.shape[:3]
        edge = (0, 1, 0, 1)  # right and bottom
        x = self.conv_in(x.transpose(1, 2).flatten(0, 1))
        x = self.down[0].downsample.conv(F.pad(self.down[0].block[0](x), edge))
        x = self.down[1].block[0](x)
        x = x.unflatten(0, (b, t)).transpose(1, 2)
        x = self.down[1].downsample.conv(F.pad(x, edge))
        x = self.down[2].downsample.conv(F.pad(self.down[2].block[0](x), edge))
        x = self.mid(self.down[3].block[0](x))
        return self.conv_out(F.silu(self.norm_out(x)))


def upsample_space_time(x):
    first = F.interpolate(x[:, :, 0], scale_factor=2, mode='bilinear')[:, :, None]
    if x.shape[2] == 1:
        return first
    return torch.cat([first, F.interpolate(x[:, :, 1:], scale_factor=2, mode='trilinear')], 2)


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        i = WIDTH[3]
        self.conv_in = CausalConv3d(LATENT, i)
        self.mid = Middle(i)
        up = [None] * 4
        for n in (3, 2, 1, 0):
            o = WIDTH[n]
            up[n] = Level()
            up[n].block = nn.ModuleList([resnet3d(i, o), resnet3d(o, o)])
            if n:
                up[n].upsample = Resample(CausalConv3d(o, o, 3 if n > 1 else (1, 3, 3)))
            i = o
        self.up = nn.ModuleList(up)
        self.norm_out = norm(i)
        self.conv_out = CausalConv3d(i, 3)

    def forward(self, z):
        x = self.mid(self.conv_in(z))
        for n in (3, 2, 1, 0):
            for block in self.up[n].block:
                x = block(x)
            if n > 1:
                x = self.up[n].upsample.conv(upsample_space_time(x))
            elif n == 1:
                x = self.up[n].upsample.conv(F.interpolate(x, scale_factor=(1, 2, 2)))
        return self.conv_out(F.silu(self.norm_out(x)))


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = Encoder(), Decoder()
        self.quant_conv = CausalConv3d(2 * LATENT, 2 * LATENT, 1)
        self.post_quant_conv = CausalConv3d(LATENT, LATENT, 1)
        with torch.no_grad():  # little noise at the start, else colours are learnt much later
            self.quant_conv.conv.bias[LATENT:] -= 6

    def encode(self, x):
        """[B,3,T,H,W] in -1..1 -> mean and log variance [B,LATENT,1+(T-1)/4,H/8,W/8]."""
        return self.quant_conv(self.encoder(x)).chunk(2, 1)

    def decode(self, z):
        return self.decoder(self.post_quant_conv(z))


def config():
    """config.json of the checkpoint. Latents are normalised by its quant convs (export.py)."""
    return {'_class_name': 'CausalVAEModel', 'hidden_size': HIDDEN, 'hidden_size_mult': list(MULT),
            'z_channels': LATENT, 'embed_dim': LATENT, 'num_res_blocks': 1, 'attn_resolutions': [],
            'dropout': 0.0, 'resolution': 64, 'double_z': True, 'q_conv': 'CausalConv3d',
            'encoder_conv_in': 'Conv2d', 'encoder_conv_out': 'CausalConv3d',
            'encoder_attention': 'AttnBlock3DFix', 'encoder_mid_resnet': 'ResnetBlock3D',
            'encoder_resnet_blocks': ['ResnetBlock2D'] * 2 + ['ResnetBlock3D'] * 2,
            'encoder_spatial_downsample': ['Downsample', 'Spatial2xTime2x3DDownsample',
                                           'Spatial2xTime2x3DDownsample', ''],
            'encoder_temporal_downsample': [''] * 4,
            'decoder_conv_in': 'CausalConv3d', 'decoder_conv_out': 'CausalConv3d',
            'decoder_attention': 'AttnBlock3DFix', 'decoder_mid_resnet': 'ResnetBlock3D',
            'decoder_resnet_blocks': ['ResnetBlock3D'] * 4,
            'decoder_spatial_upsample': ['', 'SpatialUpsample2x', 'Spatial2xTime2x3DUpsample',
                                         'Spatial2xTime2x3DUpsample'],
            'decoder_temporal_upsample': [''] * 4, 'use_quant_layer': True,
            'norm_num_groups': GROUPS, 'norm_eps': EPS, 'scaling_factor': 1.0}

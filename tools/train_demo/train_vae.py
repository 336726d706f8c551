#!/usr/bin/python3
"""Trains the video autoencoder (vae.py).

From small to large, which is essential: single frames cropped around the objects first (many
different objects a step), then short clips, then whole ones. The plan is a table of stages in
steps; the learning rate falls along a cosine over all of them, so a run that was stopped goes on as
if it had not been. A batch depends on the seed and the step only.

    train_vae.py --out run                          everything, or on from run/vae.pt
    train_vae.py --out run --decoder 3000           then the decoder alone, the encoder frozen
                                                    (beside the transformer's training: latents
                                                    stay valid)

Writes run/vae.pt (or run/decoder.pt) each minute and a line of statistics every 50 steps.
"""
import argparse
import math
import os
import numpy as np
import torch
import torch.nn.functional as F

import clips
import optim
import run
import vae

# frames, crop, batch, steps
STAGES = ((1, 32, 32, 900), (5, 32, 8, 2400), (17, 48, 2, 2500), (17, 64, 2, 1200))
DECODER_STAGE = (17, 64, 2)
KL = 5e-4  # its weight: keeps latents in bounds, no more


def stage_at(step):
    for frames, crop, batch, steps in STAGES:
        if step < steps:
            return frames, crop, batch
        step -= steps
    return STAGES[-1][:3]


def make_batch(seed, step, stage):
    """f32 [B,3,T,H,W] in -1..1 and the objects' coverage [B,1,T,H,W]."""
    frames, crop, batch = stage
    rng = np.random.default_rng([seed, step])
    pictures, masks = [], []
    for _ in range(batch):
        first = int(rng.integers(clips.FRAMES - frames + 1))
        f, a = clips.render(clips.random_scene(rng), rng, first, frames)
        if crop < clips.SIZE:  # around a pixel of an object
            ys, xs = np.nonzero(a[rng.integers(frames)] > 128)
            k = rng.integers(len(ys)) if len(ys) else -1
            at = (ys[k], xs[k]) if k >= 0 else (32, 32)
            y, x = (int(np.clip(c - crop // 2 + rng.integers(-crop // 3, crop // 3 + 1), 0,
                                clips.SIZE - crop)) for c in at)
            f, a = f[:, y:y + crop, x:x + crop], a[:, y:y + crop, x:x + crop]
        pictures.append(f)
        masks.append(a)
    x = torch.from_numpy(np.stack(pictures)).permute(0, 4, 1, 2, 3).float() / 127.5 - 1
    return x.contiguous(), torch.from_numpy(np.stack(masks))[:, None].float() / 255


def differences(d):
    """Mean absolute differences along x, y and time: what blur costs."""
    loss = (d[..., 1:] - d[..., :-1]).abs().mean() + (d[..., 1:, :] - d[..., :-1, :]).abs().mean()
    return loss + (d[:, :, 1:] - d[:, :, :-1]).abs().mean() if d.shape[2] > 1 else loss


class Judge:
    """PSNR of held-out and seen clips, whole and around their objects."""

    def __init__(self, count):
        rng = np.random.default_rng(99)
        c = [clips.render(clips.random_scene(rng, held=i % 2 == 0), rng) for i in range(count)]
        x = torch.from_numpy(np.stack([f for f, _ in c])).permute(0, 4, 1, 2, 3)
        self.x = x.float() / 127.5 - 1
        mask = torch.from_numpy(np.stack([a for _, a in c]))[:, None].float() / 255
        self.near = (F.max_pool3d(mask, (1, 5, 5), 1, (0, 2, 2)) > 0).float()

    @torch.no_grad()
    def __call__(self, model):
        psnr, error, means, deviations = [], 0, [], []
        for i in range(0, len(self.x), 4):
            x = self.x[i:i + 4]
            mean, logvar = model.encode(x)
            d = ((model.decode(mean).clamp(-1, 1) - x) / 2) ** 2
            psnr.append(-10 * d.mean((1, 2, 3, 4)).clamp_min(1e-7).log10())
            error += (d * self.near[i:i + 4]).sum().item()
            means.append(mean)
            deviations.append((logvar / 2).exp())
        z = torch.cat(means)
        return (f'PSNR {torch.cat(psnr).mean():.2f} objects '
                f'{-10 * math.log10(error / (3 * self.near.sum().item())):.2f} '
                f'latents {[round(v, 2) for v in z.std((0, 2, 3, 4)).tolist()]} '
                f'+- {torch.cat(deviations).mean():.3f}')


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    run.add_options(p)
    p.add_argument('--seed', type=int, default=1)
    p.add_argument('--lr', type=float, default=4e-3)
    p.add_argument('--decoder', type=int, metavar='STEPS', help='train the decoder alone')
    p.add_argument('--judge-every', type=int, default=500, metavar='STEPS')
    p.add_argument('--judge-clips', type=int, default=24)
    o = p.parse_args()
    r = run.Run(o, 'decoder' if o.decoder else 'vae')
    torch.manual_seed(o.seed)
    model, average = vae.VAE(), vae.VAE()
    total = o.decoder or sum(s[3] for s in STAGES)

    if o.decoder:
        model.load_state_dict(torch.load(os.path.join(o.out, 'vae.pt'))['average'])
        for name, q in model.named_parameters():
            q.requires_grad_('decoder.' in name or 'post_quant' in name)
    average.load_state_dict(model.state_dict())
    learnt = [(n, q) for n, q in model.named_parameters() if q.requires_grad]
    ends = ('encoder.conv_in', 'decoder.conv_in', 'decoder.conv_out')
    inner = [q for n, q in learnt if q.dim() > 1 and not n.startswith(ends)]
    ids = set(map(id, inner))
    rest = [q for _, q in learnt if id(q) not in ids]
    lr = o.lr / 2 if o.decoder else o.lr
    opt = optim.Both(optim.Muon(inner, lr),
                     torch.optim.AdamW(rest, lr, (.9, .98), weight_decay=1e-4))

    step, sums = 0, []
    state = r.load()
    if state:
        model.load_state_dict(state['model'])
        average.load_state_dict(state['average'])
        opt.load_state_dict(state['opt'])
        step = state['step']
        r.log(f'continues at step {step}')
    judge = Judge(o.judge_clips)

    def save():
        r.save({'model': model.state_dict(), 'average': average.state_dict(),
                'opt': opt.state_dict(), 'step': step, 'seed': o.seed})

    while step < total and not r.ending():
        stage = DECODER_STAGE if o.decoder else stage_at(step)
        at = step / total
        opt.set_lr(lr * min(1, (step + 1) / 100) * (.02 + .98 * .5 * (1 + math.cos(math.pi * at))))
        x, mask = make_batch(o.seed + (1000 if o.decoder else 0), step, stage)
        torch.manual_seed(o.seed * 1_000_003 + step)
        with torch.set_grad_enabled(not o.decoder):
            mean, logvar = model.encode(x)
        logvar = logvar.clamp(-20, 6)
        noise = (logvar / 2).exp()
        if o.decoder:  # as inexact as the latents that the transformer will make
            noise = noise + .12 * mean.std((2, 3, 4), keepdim=True) * torch.rand(len(x), 1, 1, 1, 1)
        d = model.decode(mean + torch.randn_like(mean) * noise) - x
        square = 2 - max(0., min(1., (at - .7) / .2))  # less at the end, for sharper edges
        weight = 1 + (8 if stage[0] > 5 else 4) * mask
        picture = (weight * (d.abs() + square * d * d)).mean()
        edges = differences(d)
        kl = .5 * (mean * mean + logvar.exp() - 1 - logvar).mean()
        loss = picture + .5 * edges + KL * min(1, step / 300) * kl
        opt.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_([q for _, q in learnt], 1.)
        step += 1
        if not torch.isfinite(norm):
            r.log(f'{step} NOT FINITE: step left out')
            continue
        opt.step()
        keep = min(.995, step / (step + 20))
        with torch.no_grad():
            for q, a in zip(model.parameters(), average.parameters()):
                a.lerp_(q, 1 - keep)
        sums.append([picture.item(), edges.item(), kl.item(), norm.item()])
        if step % 50 == 0:
            v = np.mean(sums, 0)
            sums = []
            r.log(f'{step}/{total} T {stage[0]} picture {v[0]:.4f} edges {v[1]:.4f} kl {v[2]:.2f} '
                  f'gradient {v[3]:.2f}')
        if r.due():
            save()
        if step % o.judge_every == 0 or step == total:
            r.log(f'{step}/{total} {judge(average)}')
    save()
    r.log(f'stopped at step {step} of {total}')


if __name__ == '__main__':
    main()

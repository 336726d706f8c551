#!/usr/bin/python3
"""Trains the transformer and the text encoder together, by rectified flow on encoded clips.

Needs DIR/latents (encode.py). Prompts are said anew each time a latent is drawn. 10 % of the
captions are replaced by the learnt "no caption", for guidance. The learning rate is constant,
then falls to 5 % over the last 40 % of --steps. --more-steps follow at 35 % that fall to 3 %; in
each fourth of them all clips lie at the begin of a sampling and attentions see their frames two by
two (TDTM): untrained, what moves comes out slower then. A run goes on from DIR/dit.pt.

    train_dit.py --out run --steps 5000

Order of what is learnt: background, colour, then shape; motion last and all of a sudden, after
about 50 000 clips: do not judge it earlier.
"""
import argparse
import os
import numpy as np
import torch
import clips
import dit
import encode
import optim
import run
import text

BATCH = 32
FPS = (8, 12, 16, 24, 24, 24, 30)  # says nothing about these clips, and the model is to know that


class Latents:
    """All shards that are there, normalised by channel."""

    def __init__(self, folder):
        self.folder, self.shards = os.path.join(folder, 'latents'), 0
        normal = np.load(os.path.join(self.folder, 'normal.npz'))
        self.mean, self.deviation = (torch.from_numpy(normal[k]).view(1, -1, 1, 1, 1)
                                     for k in ('mean', 'deviation'))
        self.z, self.scenes = None, []
        self.reload()

    def reload(self):
        found = []
        while os.path.exists(os.path.join(self.folder, f'{self.shards}.npz')):
            shard = np.load(os.path.join(self.folder, f'{self.shards}.npz'))
            found.append((torch.from_numpy(shard['z']).float() - self.mean) / self.deviation)
            first = int(shard['first'])
            self.scenes += [encode.scene_of(int(shard['seed']), first + i)[1]
                            for i in range(len(shard['z']))]
            self.shards += 1
        if found:
            self.z = torch.cat(([] if self.z is None else [self.z]) + found)


def optimiser(model, encoder, lr, lr_rest):
    """Muon for the matrices of blocks and text encoder, AdamW for the rest; the embedding of words,
    which rarely come, three times as fast."""
    named = [*model.named_parameters(),
             *(('text.' + n, q) for n, q in encoder.named_parameters())]
    matrices, parts = [], {}
    for n, q in named:
        inner = any(k in n for k in ('attn', '.mlp.fc', 't_block', 'text.'))
        if q.dim() == 2 and inner and not any(k in n for k in ('shared', 'relative', 'table')):
            matrices.append(q)
            stacked = {'qkv': 3, 'kv_linear': 2, 't_block': 6}
            parts[id(q)] = next((s for k, s in stacked.items() if k in n), 1)
    ids = set(parts) | {id(encoder.shared.weight)}
    rest = [q for _, q in named if id(q) not in ids]
    times = lr_rest / lr
    adam = torch.optim.AdamW([
        dict(params=[q for q in rest if q.dim() > 1], times=times),
        dict(params=[q for q in rest if q.dim() <= 1], times=times, weight_decay=0.),
        dict(params=[encoder.shared.weight], times=3 * times, weight_decay=0.)],
        lr=lr, betas=(.9, .98), weight_decay=.01)
    return optim.Both(optim.Muon(matrices, lr, parts=parts), adam)


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    run.add_options(p)
    p.add_argument('--seed', type=int, default=7)
    p.add_argument('--steps', type=int, default=5000)
    p.add_argument('--more-steps', type=int, default=2600)
    p.add_argument('--lr', type=float, default=2e-3, help='of Muon')
    p.add_argument('--lr-rest', type=float, default=1e-3, help='of AdamW')
    o = p.parse_args()
    r = run.Run(o, 'dit')
    torch.manual_seed(o.seed)
    model, encoder = dit.STDiT3(), text.T5()
    average_model, average_encoder = dit.STDiT3(), text.T5()
    average_model.load_state_dict(model.state_dict())
    average_encoder.load_state_dict(encoder.state_dict())
    learnt = list(model.parameters()) + list(encoder.parameters())
    averages = list(average_model.parameters()) + list(average_encoder.parameters())
    opt = optimiser(model, encoder, o.lr, o.lr_rest)
    step, sums = 0, []
    state = r.load()
    if state:
        for m, k in ((model, 'model'), (encoder, 'encoder'), (average_model, 'average_model'),
                     (average_encoder, 'average_encoder'), (opt, 'opt')):
            m.load_state_dict(state[k])
        step = state['step']
        r.log(f'continues at step {step}')
    data = Latents(o.out)

    def save():
        r.save({'model': model.state_dict(), 'encoder': encoder.state_dict(),
                'average_model': average_model.state_dict(),
                'average_encoder': average_encoder.state_dict(), 'opt': opt.state_dict(),
                'step': step, 'mean': data.mean, 'deviation': data.deviation})

    total = o.steps + o.more_steps
    while step < total and not r.ending():
        at, more = step / o.steps, step >= o.steps
        if more:
            rate = min(1, (step - o.steps + 1) / 200) * (.03 + .32 * (total - step) / o.more_steps)
        else:
            rate = min(1, (step + 1) / 200) * (1 if at < .6 else .05 + .95 * (1 - at) / .4)
        opt.set_lr(o.lr * rate)
        merged = more and step % 4 == 3
        rng = np.random.default_rng([o.seed, step])
        torch.manual_seed(o.seed * 1_000_003 + step)
        pick = rng.integers(0, len(data.scenes), BATCH)
        z = data.z[pick]
        ids, mask = text.batch([clips.describe(data.scenes[i], rng) for i in pick])
        fps = torch.tensor([float(clips.pick(rng, FPS)) for _ in pick])
        t = 1 - .15 * torch.rand(BATCH) if merged else torch.rand(BATCH)
        noise = torch.randn_like(z)
        mixed = torch.lerp(z, noise, t.view(-1, 1, 1, 1, 1))
        y = encoder(ids, mask)
        none = model.y_embedder.y_embedding[None, :ids.shape[1]]
        y = torch.where(torch.rand(BATCH, 1, 1) < .1, none, y)
        loss = ((model(mixed, t * 1000, y, mask, fps, merged=merged) - (z - noise)) ** 2).mean()
        opt.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(learnt, 1.)
        step += 1
        if not torch.isfinite(norm):
            r.log(f'{step} NOT FINITE: step left out')
            continue
        opt.step()
        keep = min(.999, (step + 1) / (step + 30))
        with torch.no_grad():
            torch._foreach_mul_(averages, keep)
            torch._foreach_add_(averages, learnt, alpha=1 - keep)
        if not merged:
            sums.append([loss.item(), norm.item()])
        if step % 100 == 0:
            v = np.mean(sums, 0)
            sums = []
            r.log(f'{step}/{total} clips {step * BATCH} loss {v[0]:.4f} gradient {v[1]:.2f} '
                  f'of {len(data.scenes)}')
            data.reload()
        if r.due():
            save()
    save()
    r.log(f'stopped at step {step} of {total}')


if __name__ == '__main__':
    main()

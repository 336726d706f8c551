#!/usr/bin/python3
"""Makes clips of prompts and lets the probes judge them.

    evaluate.py --out run --count 96 --sheet sheets/demo     accuracy on seen and held-out prompts,
                                                             confusion tables, contact sheets
    evaluate.py --out run --prompt "a red ball rolls to the left" --sheet mine

Sampling is Open-Sora's: rectified flow, times moved towards the clip as for its size, v = without +
guidance (with - without).
"""
import argparse
import os
import numpy as np
import torch
import clips
import dit
import encode
import probes
import text
import vae


# Of the times of 17 frames of 64x64 (512x512 counts 1, a frame 1, 17 frames 5).
SHIFT = 64 / 512 * 5 ** .5


def times(steps):
    t = 1 - np.arange(steps + 1) / steps
    return SHIFT * t / (1 + (SHIFT - 1) * t)


class Generator:
    """The averaged models of a run."""

    def __init__(self, folder):
        state = torch.load(os.path.join(folder, 'dit.pt'))
        self.step = state['step']
        self.mean, self.deviation = state['mean'], state['deviation']
        self.model, self.encoder = dit.STDiT3().eval(), text.T5().eval()
        self.model.load_state_dict(state['average_model'])
        self.encoder.load_state_dict(state['average_encoder'])
        self.vae = encode.load_vae(folder)

    @torch.no_grad()
    def latents(self, prompts, steps, guidance, seed, fps=24.):
        """Normalised latents; noise depends on the seed and the place in the list."""
        n = len(prompts)
        ids, mask = text.batch(prompts)
        y = self.encoder(ids, mask)
        none = self.model.y_embedder.y_embedding[None, :ids.shape[1]].expand(n, -1, -1)
        y, mask = torch.cat([y, none]), torch.cat([mask, mask])
        speed = torch.full((2 * n,), float(fps))
        z = torch.randn(n, vae.LATENT, 5, 8, 8, generator=torch.Generator().manual_seed(seed))
        at = times(steps)
        for i in range(steps):
            t = torch.full((2 * n,), float(1000 * at[i]))
            with_text, without = self.model(torch.cat([z, z]), t, y, mask, speed).chunk(2)
            z = z + (without + guidance * (with_text - without)) * float(at[i] - at[i + 1])
        return z

    @torch.no_grad()
    def clips(self, prompts, steps=30, guidance=4., seed=0, batch=16):
        out = []
        for i in range(0, len(prompts), batch):
            z = self.latents(prompts[i:i + batch], steps, guidance, seed + i)
            z = z * self.deviation + self.mean
            out += [encode.to_pictures(self.vae.decode(z[j:j + 4])) for j in range(0, len(z), 4)]
        return np.concatenate(out)


def both_colours(clip, scene):
    """Of a clip of two objects: are both colours there in most frames?"""
    frames = clip.astype(np.float32)
    for o in scene[0]:
        near = np.sqrt(((frames - np.array(clips.COLORS[o['color']])) ** 2).sum(-1)) < 75
        if (near.sum((1, 2)) >= 12).sum() <= clips.FRAMES // 2:
            return False
    return True


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--out', required=True, metavar='DIR', help='of the run')
    p.add_argument('--count', type=int, default=96, help='prompts of each kind')
    p.add_argument('--steps', type=int, default=30)
    p.add_argument('--guidance', type=float, default=4.)
    p.add_argument('--seed', type=int, default=11)
    p.add_argument('--threads', type=int, default=1)
    p.add_argument('--sheet', metavar='NAME', help='writes NAME-held.png and so on')
    p.add_argument('--tables', metavar='FILE', help='confusion tables of held-out prompts')
    p.add_argument('--prompt', action='append', help='only these')
    o = p.parse_args()
    torch.set_num_threads(o.threads)
    g = Generator(o.out)
    print(f'transformer of {g.step} steps')

    def make(prompts):
        return g.clips(prompts, o.steps, o.guidance, o.seed)

    def sheet(made, prompts, name):
        if o.sheet:
            clips.save_sheet(f'{o.sheet}-{name}.png', made[:24], prompts[:24])

    if o.prompt:
        sheet(make(o.prompt), o.prompt, 'prompts')
        return
    for name, held, free in (('seen', False, False), ('held', True, False),
                             ('synonyms', True, True)):
        scenes, prompts = clips.random_prompts(o.seed, o.count, held, free)
        made, score = make(prompts), probes.Score()
        for clip, scene in zip(made, scenes):
            score.add(clip, scene)
        print(name, score.shares(), '; '.join(score.mistakes()))
        sheet(made, prompts, name)
        if held and not free and o.tables:
            with open(o.tables, 'w') as f:
                f.write('\n\n'.join(score.table(k) for k in probes.KINDS) + '\n')
    rng = np.random.default_rng([o.seed, 2])
    scenes = [clips.random_scene(rng, two=1) for _ in range(24)]
    prompts = [clips.describe(s, rng, canonical=True) for s in scenes]
    made = make(prompts)
    share = np.mean([both_colours(c, s) for c, s in zip(made, scenes)])
    print(f'two objects: both colours {share:.3f}')
    sheet(made, prompts, 'two')


if __name__ == '__main__':
    main()

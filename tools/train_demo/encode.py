#!/usr/bin/python3
"""Encodes training clips: latents of the autoencoder's means, and their scenes.

Shards of 512 clips, DIR/latents/N.npz; several processes may share the work (--part 0/2, 1/2), and
what is there already is kept. Shard 0 also gives the mean and deviation of each channel,
DIR/latents/normal.npz, by which the transformer's latents are normalised.

    encode.py --out run --shards 32
"""
import argparse
import os
import numpy as np
import torch
import clips
import run
import vae

SHARD = 512


def load_vae(folder, decoder=True):
    """The averaged weights, with the decoder that was trained further where there is one."""
    m = vae.VAE()
    m.load_state_dict(torch.load(os.path.join(folder, 'vae.pt'))['average'])
    better = os.path.join(folder, 'decoder.pt')
    if decoder and os.path.exists(better):
        m.load_state_dict(torch.load(better)['average'])
    return m.eval()


def to_tensor(pictures):
    """u8 [B,T,H,W,3] -> f32 [B,3,T,H,W] in -1..1"""
    return (torch.from_numpy(pictures).permute(0, 4, 1, 2, 3).float() / 127.5 - 1).contiguous()


def to_pictures(x):
    """The other way."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 4, 1).numpy()


def scene_of(seed, number):
    """Clip `number` of the training set: its generator and scene. Rendering goes on with the
    generator."""
    rng = np.random.default_rng([seed, number])
    return rng, clips.random_scene(rng)


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    run.add_options(p)
    p.add_argument('--seed', type=int, default=77)
    p.add_argument('--shards', type=int, default=32)
    p.add_argument('--part', default='0/1', metavar='I/N', help='every N-th shard from I on')
    o = p.parse_args()
    part, parts = map(int, o.part.split('/'))
    folder = os.path.join(o.out, 'latents')
    os.makedirs(folder, exist_ok=True)
    r = run.Run(o, f'encode{part}')
    model = load_vae(o.out)
    for shard in range(part, o.shards, parts):
        path = os.path.join(folder, f'{shard}.npz')
        if os.path.exists(path):
            continue
        latents = []
        for first in range(shard * SHARD, (shard + 1) * SHARD, 8):
            batch = []
            for n in range(first, first + 8):
                rng, scene = scene_of(o.seed, n)
                batch.append(clips.render(scene, rng)[0])
            with torch.no_grad():
                latents.append(model.encode(to_tensor(np.stack(batch)))[0].numpy())
            if r.ending():
                r.log(f'stopped in shard {shard}')
                return
        z = np.concatenate(latents)
        if shard == 0:
            run.save_npz(os.path.join(folder, 'normal.npz'), mean=z.mean((0, 2, 3, 4)),
                         deviation=z.std((0, 2, 3, 4)))
        run.save_npz(path, z=z.astype(np.float16), seed=o.seed, first=shard * SHARD)
        r.log(f'shard {shard} of {o.shards}')


if __name__ == '__main__':
    main()

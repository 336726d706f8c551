#!/usr/bin/python3
"""Exact probes: the background, and the colour, shape and motion of the one object of a clip.

No learning: the background is the nearest of the palette at the border, the object what differs
from it, its colour the nearest, its shape the best overlap of what has this colour with drawn ones, its
motion from its centre and area over time. On true clips they are right in nearly all cases (run this file to see).

    probes.py --count 200            accuracy on true clips
    probes.py --count 100 --vae run  and on what the autoencoder makes of them: the ceiling
"""
import argparse
import collections
import numpy as np
import clips

KINDS = ('background', 'color', 'shape', 'motion')
_PALETTE = np.array(list(clips.COLORS.values()), np.float32)
_BORDER = np.ones((clips.SIZE, clips.SIZE), bool)
_BORDER[4:-4, 4:-4] = False
_WINDOW = 41
# angles that tell orientations apart within a shape's symmetry
_SYMMETRY = {'circle': (1, 1), 'ring': (1, 1), 'square': (3, np.pi / 2), 'cross': (3, np.pi / 2),
             'triangle': (4, 2 * np.pi / 3), 'star': (3, 2 * np.pi / 5)}


def _plain(background):
    g = np.linspace(0, 1, clips.SIZE, dtype=np.float32)[:, None, None]
    top, bottom = (np.array(c, np.float32) for c in clips.BACKGROUNDS[background])
    return np.broadcast_to(top * (1 - g) + bottom * g, (clips.SIZE, clips.SIZE, 3))


_PLAIN = {b: _plain(b) for b in clips.BACKGROUNDS}


def _background(frames):
    """Its name, and what every pixel has beyond it."""
    usual = np.median(frames, 0)
    off = {b: np.median(np.abs(usual - p).sum(-1)[_BORDER]) for b, p in _PLAIN.items()}
    name = min(off, key=off.get)
    shade = np.median((usual - _PLAIN[name])[_BORDER], 0)
    return name, frames - _PLAIN[name] - shade


def _matte(beyond, background, color):
    """How much of every pixel is an object of this colour: a blurred edge or hole counts by half."""
    way = color - _PLAIN[background]
    return np.clip((beyond * way).sum(-1) / ((way ** 2).sum(-1) + 1e-6), 0, 1)


def _around(mask, y, x):
    """A window of a mask around a point, bilinear."""
    half = _WINDOW // 2
    padded = np.pad(mask, _WINDOW)
    ys, xs = (c - .5 + _WINDOW + np.arange(-half, half + 1) for c in (y, x))
    y0, x0 = np.floor(ys).astype(int), np.floor(xs).astype(int)
    fy, fx = (ys - y0)[:, None], (xs - x0)[None]
    last = padded.shape[0] - 2
    y0, x0 = np.clip(y0, 0, last)[:, None], np.clip(x0, 0, last)[None]
    return ((padded[y0, x0] * (1 - fx) + padded[y0, x0 + 1] * fx) * (1 - fy) +
            (padded[y0 + 1, x0] * (1 - fx) + padded[y0 + 1, x0 + 1] * fx) * fy)


def _template(shape, angle, area):
    """A shape of an area in the middle of a window, and where its centre of mass is."""
    half = _WINDOW // 2
    y, x = np.mgrid[-half:half + 1, -half:half + 1].astype(np.float32)
    c, s = np.cos(angle), np.sin(angle)
    u, v = c * x + s * y, -s * x + c * y
    unit = np.clip(.5 - clips.distance(shape, u, v, 12.), 0, 1).sum()
    m = np.clip(.5 - clips.distance(shape, u, v, 12 * np.sqrt(max(area, 4) / unit)), 0, 1)
    w = m.sum() + 1e-6
    return m, (m * y).sum() / w, (m * x).sum() / w


def _overlap(a, b):
    return np.minimum(a, b).sum() / (np.maximum(a, b).sum() + 1e-6)


def _shape(masks, area, cy, cx):
    votes = collections.Counter()
    for t in np.argsort(-area)[:9:2]:  # of the largest frames
        if area[t] < 25:
            continue
        best = (0., None)
        for shape, (count, period) in _SYMMETRY.items():
            for k in range(count):
                m, oy, ox = _template(shape, k * period / count, area[t])
                best = max(best, (_overlap(_around(masks[t], cy[t] - oy, cx[t] - ox), m), shape),
                           key=lambda c: c[0])
        votes[best[1]] += best[0]
    return max(votes, key=votes.get) if votes else None


def _motion(masks, area, cy, cx):
    ok = area > max(8, .15 * np.median(area))
    if ok.sum() < 9:
        return None
    t, x, y, a = np.arange(len(area))[ok], cx[ok], cy[ok], area[ok]
    fx, fy = np.polyfit(t, x, 1), np.polyfit(t, y, 1)
    dx, dy = fx[0] * (clips.FRAMES - 1), fy[0] * (clips.FRAMES - 1)
    way, ends = np.hypot(dx, dy), max(2, len(a) // 5)
    ratio = a[-ends:].mean() / a[:ends].mean()
    if way < 9 and not 1 / 1.6 < ratio < 1.6:
        return 'grow' if ratio > 1 else 'shrink'
    if np.hypot((x - np.polyval(fx, t)).std(), (y - np.polyval(fy, t)).std()) > 1.7:
        return 'orbit' if np.ptp(x) > 7 else 'bounce'
    if way > 7:
        return ('right', 'downright', 'down', 'downleft', 'left', 'upleft', 'up',
                'upright')[int(np.round(np.degrees(np.arctan2(dy, dx)) / 45)) % 8]
    seen = [_around(masks[i], cy[i], cx[i]) for i in t[::3]]
    change = np.mean([1 - _overlap(p, q) for p, q in zip(seen, seen[1:])])
    return 'spin' if change > .085 else 'still'


def analyse(clip):
    """u8 [T,64,64,3] -> {background, color, shape, motion}; None where there is no object."""
    frames = clip.astype(np.float32)
    background, beyond = _background(frames)
    far = np.sqrt((beyond ** 2).sum(-1))
    masks = np.clip((far - 25) / 50, 0, 1)
    area = masks.sum((1, 2))
    found = {'background': background, 'color': None, 'shape': None, 'motion': None}
    if area.max() < 12:
        return found
    at = np.arange(clips.SIZE, dtype=np.float32) + .5
    cx = (masks * at).sum((1, 2)) / (area + 1e-6)
    cy = (masks * at[:, None]).sum((1, 2)) / (area + 1e-6)
    core = far > .6 * np.percentile(far[masks > .5], 90) if (masks > .5).any() else masks > 0
    color = np.median(frames[core], 0)
    found['color'] = tuple(clips.COLORS)[int(((_PALETTE - color) ** 2).sum(1).argmin())]
    matte = _matte(beyond, background, color)
    found['shape'] = _shape(matte, matte.sum((1, 2)), cy, cx)
    found['motion'] = _motion(masks, area, cy, cx)
    return found


def truth(scene):
    o = scene[0][0]
    return {'background': scene[1], **{k: o[k] for k in KINDS[1:]}}


class Score:
    """Of many clips: the share that is right by kind, and what is taken for what."""

    def __init__(self):
        self.right, self.count, self.confused = collections.Counter(), 0, collections.Counter()

    def add(self, clip, scene):
        found, wanted = analyse(clip), truth(scene)
        good = [found[k] == wanted[k] for k in KINDS]
        self.count += 1
        self.right['all'] += all(good)
        for k, g in zip(KINDS, good):
            self.right[k] += g
            self.confused[k, wanted[k], found[k]] += 1
        return all(good)

    def shares(self):
        return {k: round(self.right[k] / max(1, self.count), 3) for k in (*KINDS, 'all')}

    def mistakes(self, most=12):
        wrong = {k: n for k, n in self.confused.items() if k[1] != k[2]}
        return [f'{k[0]} {k[1]} -> {k[2]} x{n}'
                for k, n in sorted(wrong.items(), key=lambda i: -i[1])[:most]]

    def table(self, kind):
        """Markdown: wanted in rows, found in columns, in percent of the row."""
        names = {'background': clips.BACKGROUNDS, 'color': clips.COLORS, 'shape': clips.SHAPES,
                 'motion': clips.MOTIONS}[kind]
        names = [*names, None]
        lines = [f'| {kind} | n | ' + ' | '.join(str(n or 'none') for n in names) + ' |',
                 '|' + '---|' * (len(names) + 2)]
        for wanted in names[:-1]:
            row = [self.confused[kind, wanted, f] for f in names]
            if sum(row):
                cells = [f'{100 * c / sum(row):.0f}' if c else '' for c in row]
                lines.append(f'| {wanted} | {sum(row)} | ' + ' | '.join(cells) + ' |')
        return '\n'.join(lines)


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--count', type=int, default=200)
    p.add_argument('--seed', type=int, default=5)
    p.add_argument('--vae', metavar='DIR', help='through the autoencoder of a run')
    o = p.parse_args()
    rng = np.random.default_rng(o.seed)
    score, model = Score(), None
    if o.vae:
        import torch
        import encode
        torch.set_num_threads(1)
        model = encode.load_vae(o.vae)
    for i in range(o.count):
        scene = clips.random_scene(rng, two=0, held=i % 2 == 0)
        clip = clips.render(scene, rng)[0]
        if model:
            with torch.no_grad():
                z = model.encode(encode.to_tensor(clip[None]))[0]
                clip = encode.to_pictures(model.decode(z))[0]
        score.add(clip, scene)
    print(score.shares())
    print('; '.join(score.mistakes()))


if __name__ == '__main__':
    main()

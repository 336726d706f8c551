#!/usr/bin/python3
"""Judges and times the clips that fovea itself makes of held-out prompts.

    measure.py --fovea build/release/fovea --model assets/models/demo --work DIR \\
               --to docs/demo           writes docs/demo.tsv, .svg, .md (confusion tables), .png (sheet)
    measure.py ... --variant "8 steps: --steps 8" --variant "4 bits: --model demo-4bit"
                                        others than the usual ones; the first is what all are compared to
    measure.py --plot docs/demo         draws the .svg anew of the .tsv

A variant is a name and options of `fovea generate`. Accuracy is of --count prompts by the probes
(probes.py); lost and won are those right with the first variant and not with this one, and the other way round;
PSNR is of all frames to the first variant's, and the median of the clips' own; time is the least of --rounds runs over
eight of them with all variants in turn, from the start of the program to its end, with --cpu the processors'. Clips that are there already are not made again.
"""
import argparse
import os
import resource
import subprocess
import time
import numpy as np
import clips
import probes

USUAL = (
    ('30 steps', '--leap never --merge-steps 0'),
    ('leap at 12, merged in 1', '--leap fixed --leap-from 12 --merge-steps 1'),
    ('leap at 12', '--leap fixed --leap-from 12 --merge-steps 0'),
    ('leap at 10, merged in 1', '--leap fixed --leap-from 10 --merge-steps 1'),
    ('12 steps', '--steps 12 --leap never --merge-steps 0'),
)


def read_y4m(path):
    """4:2:0, limited range, BT.709 -> u8 [frames, height, width, 3]."""
    with open(path, 'rb') as f:
        words = f.readline().split()
        w, h = (int(next(x for x in words if x[:1] == k)[1:]) for k in (b'W', b'H'))
        frames = []
        while f.readline():  # FRAME
            data = np.frombuffer(f.read(w * h * 3 // 2), np.uint8).astype(np.float32)
            y = (data[:w * h].reshape(h, w) - 16) / 219
            u, v = ((c.reshape(h // 2, w // 2) - 128) / 224 for c in np.split(data[w * h:], 2))
            u, v = _twice(u), _twice(v)
            frames.append(np.stack([y + 1.5748 * v, y - .187324 * u - .468124 * v, y + 1.8556 * u], -1))
    return np.clip(np.array(frames) * 255 + .5, 0, 255).astype(np.uint8)


def _twice(c):
    """Chroma lies amid four pixels."""
    for axis in (0, 1):
        c = np.moveaxis(c, axis, 0)
        before, after = np.concatenate([c[:1], c[:-1]]), np.concatenate([c[1:], c[-1:]])
        c = np.stack([.75 * c + .25 * before, .75 * c + .25 * after], 1).reshape(-1, *c.shape[1:])
        c = np.moveaxis(c, 0, axis)
    return c


def now(o):
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime if o.cpu else time.time()


def run(o, options, prompts, folder):
    """Makes one clip a prompt; seconds it took."""
    os.makedirs(folder, exist_ok=True)
    listed = os.path.join(folder, 'prompts.txt')
    with open(listed, 'w') as f:
        f.write('\n'.join(prompts) + '\n')
    args = [o.fovea, 'generate', '--prompt-file', listed, '-o', os.path.join(folder, 'clip_%04d.y4m'),
            '--seed', str(o.seed), '--progress', 'none']
    if '--model' not in options:
        args += ['--model', o.model]
    begin = now(o)
    subprocess.run(args + options.split(), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return now(o) - begin


def judged(o, number, options, prompts, scenes):
    folder = os.path.join(o.work, f'{number:02d}')
    if not os.path.exists(os.path.join(folder, f'clip_{len(prompts):04d}.y4m')):
        run(o, options, prompts, folder)
    score, made, right = probes.Score(), [], []
    for i, scene in enumerate(scenes):
        made.append(read_y4m(os.path.join(folder, f'clip_{i + 1:04d}.y4m')))
        right.append(score.add(made[-1], scene))
    return score, made, right


def psnr(clips_a, clips_b):
    """Of all frames; the median of the clips'."""
    errors = [np.mean((a.astype(np.float64) - b) ** 2) for a, b in zip(clips_a, clips_b)]
    return [10 * np.log10(255 ** 2 / e) if e else float('inf') for e in (np.mean(errors), np.median(errors))]


def plot(to):
    """Share of clips that are right in all against the seconds of a clip."""
    with open(to + '.tsv') as f:
        head, *rows = [line.rstrip('\n').split('\t') for line in f]
    points = [(r[0], float(r[2]), 100 * float(r[7])) for r in rows]
    most, low = 1.1 * max(p[1] for p in points), 10 * int(min(p[2] for p in points) / 10)
    out = ['<svg xmlns="http://www.w3.org/2000/svg" width="660" height="420" font-family="sans-serif" '
           'font-size="12"><rect width="660" height="420" fill="white"/>']

    def at(x, y):
        return 60 + 570 * x / most, 370 - 330 * (y - low) / (100 - low)
    for y in range(low, 101, 10):
        a, b = at(0, y), at(most, y)
        out.append(f'<path d="M{a[0]:.0f} {a[1]:.0f}H{b[0]:.0f}" stroke="#ddd"/>'
                   f'<text x="52" y="{a[1] + 4:.0f}" text-anchor="end">{y} %</text>')
    for k in range(5):
        x, y = at(most * k / 4, low)
        out.append(f'<text x="{x:.0f}" y="{y + 18:.0f}" text-anchor="middle">{most * k / 4:.1f}</text>')
    for i, (name, seconds, share) in enumerate(sorted(points, key=lambda p: p[1])):
        x, y = at(seconds, share)
        end = x > 480
        out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#1f63b4"/>'
                   f'<text x="{x + (-8 if end else 8):.1f}" y="{y + (-9 if i % 2 else 15):.1f}"'
                   f'{" text-anchor=" + chr(34) + "end" + chr(34) if end else ""}>{name}</text>')
    out.append(f'<text x="345" y="410" text-anchor="middle">{head[2]} a clip, end to end</text>'
               '<text x="60" y="24">background, colour, shape and motion all right</text></svg>')
    with open(to + '.svg', 'w') as f:
        f.write('\n'.join(out) + '\n')


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--fovea', metavar='BINARY')
    p.add_argument('--model', metavar='DIR')
    p.add_argument('--work', metavar='DIR', help='for clips')
    p.add_argument('--to', metavar='NAME', help='of the results')
    p.add_argument('--count', type=int, default=96, help='prompts')
    p.add_argument('--seed', type=int, default=11)
    p.add_argument('--rounds', type=int, default=3, help='of timing; 0 is none')
    p.add_argument('--cpu', action='store_true', help='times are of processors: of a machine with other work')
    p.add_argument('--variant', action='append', metavar='NAME: OPTIONS')
    p.add_argument('--plot', metavar='NAME')
    o = p.parse_args()
    if o.plot:
        plot(o.plot)
        return
    variants = [tuple(s.strip() for s in v.split(':', 1)) for v in o.variant] if o.variant else USUAL
    scenes, prompts = clips.random_prompts(o.seed, o.count, held=True)
    scores, near, moved, first = [], [], [], None
    for i, (name, options) in enumerate(variants):
        score, made, right = judged(o, i, options, prompts, scenes)
        scores.append(score.shares())
        first = first or (made, right)
        near.append(psnr(made, first[0]))
        moved.append([sum(a > b for a, b in pairs) for pairs in (list(zip(first[1], right)), list(zip(right, first[1])))])
        print(f'{name}: {scores[-1]} lost {moved[-1][0]} won {moved[-1][1]} {"; ".join(score.mistakes(6))}', flush=True)
        if not i and o.to:
            clips.save_sheet(o.to + '.png', made[:24], prompts[:24])
            with open(o.to + '.md', 'w') as f:
                f.write('\n\n'.join(score.table(k) for k in probes.KINDS) + '\n')
    least = [float('nan')] * len(variants)
    for k in range(o.rounds):
        for i, (name, options) in enumerate(variants):
            seconds = run(o, options, prompts[:8], os.path.join(o.work, 'time')) / 8
            least[i] = seconds if k == 0 else min(least[i], seconds)
    lines = ['\t'.join(('variant', 'options', 'CPU seconds' if o.cpu else 'seconds', *(f'{k}' for k in (*probes.KINDS, 'all')), 'faster', 'psnr', 'median psnr', 'lost',
                        'won'))]
    for (name, options), s, t, db, m in zip(variants, scores, least, near, moved):
        lines.append('\t'.join((name, options, f'{t:.3f}', *(f'{s[k]:.3f}' for k in (*probes.KINDS, 'all')),
                                f'{least[0] / t:.2f}', *(f'{v:.2f}' for v in db), *(str(n) for n in m))))
    print('\n'.join(lines))
    if o.to:
        with open(o.to + '.tsv', 'w') as f:
            f.write('\n'.join(lines) + '\n')
        plot(o.to)


if __name__ == '__main__':
    main()

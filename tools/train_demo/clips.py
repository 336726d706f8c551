#!/usr/bin/python3
"""The demo model's world: clips of one or two moving shapes, and sentences that describe them.

A clip is described by a scene: (objects, background). `render` draws it, `describe` puts it into
words of a small grammar with synonyms. Everything is drawn from a numpy generator that the caller
seeds, so a (seed, number) pair is a clip, and training that was stopped goes on with the same data.

Some combinations of words are held out (HELD_COLOR_SHAPE, HELD_SHAPE_MOTION): training never sees
them, evaluation does.

    clips.py --seed 0 --count 12 -o sheet.png       look at some, with their sentences
"""
import argparse
import numpy as np

FRAMES, SIZE = 17, 64
SHAPES = ('circle', 'square', 'triangle', 'star', 'ring', 'cross')
COLORS = {'red': (225, 45, 45), 'green': (50, 190, 70), 'blue': (50, 95, 235),
          'yellow': (245, 220, 50), 'orange': (250, 140, 30), 'purple': (150, 60, 200),
          'cyan': (60, 215, 225), 'white': (245, 245, 245)}
# colours at the top and at the bottom
BACKGROUNDS = {'black': ((12, 12, 14), (12, 12, 14)), 'gray': ((105, 105, 110), (105, 105, 110)),
               'navy': ((18, 28, 82), (18, 28, 82)), 'brown': ((92, 62, 42), (92, 62, 42)),
               'sky': ((66, 120, 190), (190, 222, 240)), 'sunset': ((92, 30, 92), (236, 140, 90))}
CLASHES = {('blue', 'navy'), ('blue', 'sky'), ('cyan', 'sky'), ('white', 'sky'),
           ('purple', 'sunset'), ('orange', 'sunset')}
DIRECTIONS = {'left': (-1, 0), 'right': (1, 0), 'up': (0, -1), 'down': (0, 1),
              'upleft': (-.75, -.75), 'upright': (.75, -.75),
              'downleft': (-.75, .75), 'downright': (.75, .75)}
MOTIONS = (*DIRECTIONS, 'orbit', 'bounce', 'grow', 'shrink', 'spin', 'still')
SPEEDS = ('slow', '', 'fast')
SIZES = {'small': 9., '': 12., 'big': 16.}

# Never seen in training, alone or in a clip of two.
HELD_COLOR_SHAPE = {('red', 'star'), ('green', 'ring'), ('blue', 'triangle'), ('yellow', 'cross'),
                    ('orange', 'square'), ('purple', 'circle'), ('cyan', 'star'),
                    ('white', 'triangle')}
HELD_SHAPE_MOTION = {('square', 'orbit'), ('star', 'left'), ('circle', 'upright'),
                     ('triangle', 'bounce'), ('cross', 'grow'), ('ring', 'down')}


# ---- words --------------------------------------------------------------------------------------
# The first of each list is the canonical way to say it.
WORDS = {
    'shape': {'circle': ('circle', 'ball', 'disc', 'dot'), 'square': ('square', 'square', 'box'),
              'triangle': ('triangle',), 'star': ('star',),
              'ring': ('ring', 'ring', 'donut', 'hoop'),
              'cross': ('cross', 'cross', 'plus')},
    'size': {'small': ('small', 'little', 'tiny'), 'big': ('big', 'large', 'huge')},
    'color': {**{c: (c,) for c in COLORS}, 'purple': ('purple', 'purple', 'violet'),
              'cyan': ('cyan', 'cyan', 'turquoise')},
    'speed': {'slow': ('slowly',), 'fast': ('fast', 'quickly')},
    'direction': {'left': ('left', 'to the left'), 'right': ('right', 'to the right'),
                  'up': ('up', 'upwards'), 'down': ('down', 'downwards'),
                  'upleft': ('up and left', 'diagonally up and left', 'up and to the left'),
                  'upright': ('up and right', 'diagonally up and right', 'up and to the right'),
                  'downleft': ('down and left', 'diagonally down and left', 'down and to the left'),
                  'downright': ('down and right', 'diagonally down and right',
                                'down and to the right')},
    'motion': {'orbit': ('moving in a circle', 'orbiting', 'going around in circles',
                         'moves in a circle', 'orbits'),
               'bounce': ('bouncing', 'bouncing up and down', 'that bounces', 'bounces'),
               'grow': ('growing', 'getting bigger', 'that grows', 'grows', 'gets bigger'),
               'shrink': ('shrinking', 'getting smaller', 'that shrinks', 'shrinks',
                          'gets smaller'),
               'spin': ('spinning', 'rotating', 'turning', 'that spins', 'spins', 'rotates'),
               'still': ('standing still', 'not moving', 'at rest', 'stands still', '')},
    'background': {'black': ('on a black background', 'on black'),
                   'gray': ('on a gray background', 'on grey', 'on a grey background', 'on gray'),
                   'navy': ('on a navy background', 'on a dark blue background', 'on navy'),
                   'brown': ('on a brown background', 'on brown'),
                   'sky': ('in the sky', 'on a sky gradient', 'on a light blue gradient'),
                   'sunset': ('at sunset', 'on a sunset gradient', 'on an orange gradient')},
}
VERBS = ('moving', 'sliding', 'flying', 'drifting', 'rolling', 'going', 'that moves',
         'moves', 'slides', 'flies', 'drifts', 'rolls', 'goes')
OPENINGS = ('', '', '', '', 'a video of ', 'an animation of ', 'a clip of ')
# What Open-Sora appends to prompts; the model learns that it means nothing here.
ENDINGS = ('', '', '', '', '.', ' aesthetic score: 6.5.',
           ' aesthetic score: 6.5. motion score: 5.0.')
LETTERS = 'abcdefghijklmnopqrstuvwxyz'


def pick(rng, options):
    return options[rng.integers(len(options))]


def _say_object(o, choose, rng, canonical):
    words = [choose(WORDS['size'][o['size']])] if o['size'] else []
    words += [choose(WORDS['color'][o['color']]), choose(WORDS['shape'][o['shape']])]
    noun, motion = ' '.join(words), o['motion']
    speed = choose(WORDS['speed'][o['speed']]) if o['speed'] else ''
    if not canonical and not speed and motion in ('spin', 'bounce') and rng.random() < .25:
        return f"a {'spinning' if motion == 'spin' else 'bouncing'} {noun}"
    if motion in DIRECTIONS:
        moves = f"{choose(VERBS)} {choose(WORDS['direction'][motion])}"
    else:
        moves = choose(WORDS['motion'][motion])
    if speed:
        before = not canonical and moves.split()[0].endswith('ing') and rng.random() < .3
        moves = f'{speed} {moves}' if before else f'{moves} {speed}'
    article = 'an' if noun[0] in 'aeiou' else 'a'
    return f'{article} {noun} {moves}'.strip()


def describe(scene, rng, canonical=False):
    """A sentence for a scene: canonical, or with random synonyms, order, opening and ending."""
    objects, background = scene
    choose = (lambda options: options[0]) if canonical else (lambda options: pick(rng, options))
    if canonical:
        order = objects
    else:
        order = [objects[i] for i in rng.permutation(len(objects))]
    text = ' and '.join(_say_object(o, choose, rng, canonical) for o in order)
    where = choose(WORDS['background'][background])
    if canonical:
        return f'{text} {where}'
    if rng.random() < .06:
        where = ''  # then any background is right
    words = f'{pick(rng, OPENINGS)}{text} {where}'.split()
    if rng.random() < .08:  # a word it does not know, which it is to pass over
        word = ''.join(pick(rng, LETTERS) for _ in range(rng.integers(2, 9)))
        words.insert(rng.integers(len(words) + 1), word + pick(rng, ('', '', ',')))
    return ' '.join(words) + pick(rng, ENDINGS)


def all_words():
    """Every word the grammar can say, sorted."""
    words = set('a an and spinning bouncing'.split())
    for kind in WORDS.values():
        for options in kind.values():
            for o in options:
                words |= set(o.split())
    for o in (*VERBS, *OPENINGS, *ENDINGS):
        words |= set(o.split())
    return sorted(words - {'.'})


# ---- scenes -------------------------------------------------------------------------------------

def is_held(o):
    return ((o['color'], o['shape']) in HELD_COLOR_SHAPE or
            (o['shape'], o['motion']) in HELD_SHAPE_MOTION)


def _random_object(rng, background, held):
    while True:
        o = {'shape': pick(rng, SHAPES), 'color': pick(rng, tuple(COLORS)),
             'motion': pick(rng, MOTIONS), 'speed': pick(rng, SPEEDS),
             'size': pick(rng, tuple(SIZES))}
        if o['motion'] == 'spin' and o['shape'] in ('circle', 'ring'):
            continue  # would not be seen
        if o['motion'] in ('grow', 'shrink', 'still'):
            o['speed'] = ''
        if (o['color'], background) not in CLASHES and is_held(o) == held:
            return o


def random_scene(rng, two=.25, held=False):
    """(objects, background). two: the share of scenes of two shapes; held: of held-out pairs."""
    background = pick(rng, tuple(BACKGROUNDS))
    a = _random_object(rng, background, held)
    if rng.random() >= two:
        return [a], background
    b = a
    while b['color'] == a['color']:
        b = _random_object(rng, background, held)
    side = 1 if rng.random() < .5 else -1
    for o, x in ((a, 32 - side * 14.), (b, 32 + side * 14.)):
        o['size'] = '' if o['size'] == 'big' else o['size']
        o['reach'] = .65  # of its motion, so that the two keep apart
        o['centre'] = (x, 32 + rng.uniform(-8, 8))
    return [a, b], background


def random_prompts(seed, count, held=False, free=False):
    """Scenes of one object and a sentence for each: of held-out pairs, with synonyms."""
    rng = np.random.default_rng([seed, held, free])
    scenes = [random_scene(rng, two=0, held=held) for _ in range(count)]
    return scenes, [describe(s, rng, canonical=not free) for s in scenes]


# ---- drawing ------------------------------------------------------------------------------------
_Y, _X = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) + .5


def distance(shape, x, y, r):
    """Signed distance to a shape of size r at the origin (negative inside)."""
    if shape == 'circle':
        return np.sqrt(x * x + y * y) - .92 * r
    if shape == 'square':
        return np.maximum(np.abs(x), np.abs(y)) - .80 * r
    if shape == 'triangle':
        y, k = y - .15 * r, .8660254
        return np.maximum(np.maximum(k * x - .5 * y, -k * x - .5 * y), y) - .56 * r
    if shape == 'ring':
        return np.abs(np.sqrt(x * x + y * y) - .72 * r) - .29 * r
    if shape == 'cross':
        a, b = np.abs(x), np.abs(y)
        return np.minimum(np.maximum(a - .95 * r, b - .33 * r),
                          np.maximum(b - .95 * r, a - .33 * r))
    if shape == 'star':  # folded into one half of one of five points
        outer, inner, w = 1.12 * r, .46 * r, np.pi / 5
        a = np.abs((np.arctan2(x, -y) + w) % (2 * w) - w)
        d = np.sqrt(x * x + y * y)
        ex, ey = inner * np.cos(w) - outer, inner * np.sin(w)
        return ((d * np.cos(a) - outer) * ey - d * np.sin(a) * ex) / np.hypot(ex, ey)
    raise ValueError(shape)


def _path(o, rng):
    """Centre, radius and angle in every frame."""
    t = np.linspace(0, 1, FRAMES, dtype=np.float32)
    zero = np.zeros(FRAMES, np.float32)
    reach = o.get('reach', 1.)
    r = SIZES[o['size']] * rng.uniform(.95, 1.05) + zero
    jitter = rng.uniform(-3, 3, 2)
    cx, cy = (c + j + zero for c, j in zip(o.get('centre', (32., 32.)), jitter))
    angle, motion, speed = zero.copy(), o['motion'], o['speed']
    if motion in DIRECTIONS:
        way = {'slow': 13., '': 20., 'fast': 28.}[speed] * rng.uniform(.93, 1.07) * max(reach, .8)
        dx, dy = DIRECTIONS[motion]
        cx, cy = cx + dx * way * (t - .5), cy + dy * way * (t - .5)
    elif motion == 'orbit':
        turns = {'slow': .6, '': .85, 'fast': 1.2}[speed]
        a = rng.uniform(0, 2 * np.pi) + turns * 2 * np.pi * t
        cx, cy = cx + 13 * reach * np.cos(a), cy + 13 * reach * np.sin(a)
    elif motion == 'bounce':
        times = {'slow': 1, '': 1.5, 'fast': 2}[speed]
        height = 20. * max(reach, .8)
        cy = cy + height / 2 - height * np.abs(np.sin(np.pi * times * t))
    elif motion == 'grow':
        r = r * (.6 + .65 * t)
    elif motion == 'shrink':
        r = r * (1.25 - .65 * t)
    elif motion == 'spin':
        angle = rng.uniform(0, .3) + {'slow': .4, '': .8, 'fast': 1.3}[speed] * np.pi * t
    return cx, cy, r, angle


def render(scene, rng, first=0, count=FRAMES, jitter=True):
    """Frames first .. first+count of a scene: u8 [count,64,64,3], and where its objects are: u8
    [count,64,64]. The generator's use does not depend on the frames asked for."""
    objects, background = scene
    top, bottom = (np.array(c, np.float32) for c in BACKGROUNDS[background])
    shade = rng.uniform(-6, 6, 3) if jitter else 0
    g = np.linspace(0, 1, SIZE, dtype=np.float32)[:, None, None]
    empty = top * (1 - g) + bottom * g + shade
    frames = np.broadcast_to(empty[None], (count, SIZE, SIZE, 3)).copy()
    alpha = np.zeros((count, SIZE, SIZE), np.float32)
    for o in objects:
        cx, cy, r, angle = _path(o, rng)
        color = np.array(COLORS[o['color']], np.float32) + (rng.uniform(-8, 8, 3) if jitter else 0)
        for f in range(count):
            i = first + f
            reach = 1.3 * r[i] + 2
            x0, x1 = max(0, int(cx[i] - reach)), min(SIZE, int(cx[i] + reach) + 2)
            y0, y1 = max(0, int(cy[i] - reach)), min(SIZE, int(cy[i] + reach) + 2)
            if x1 <= x0 or y1 <= y0:
                continue
            x, y = _X[y0:y1, x0:x1] - cx[i], _Y[y0:y1, x0:x1] - cy[i]
            if angle[i]:
                c, s = np.cos(angle[i]), np.sin(angle[i])
                x, y = c * x + s * y, -s * x + c * y
            a = np.clip(.5 - distance(o['shape'], x, y, r[i]), 0, 1)
            part = frames[f, y0:y1, x0:x1]
            part += a[..., None] * (color - part)
            alpha[f, y0:y1, x0:x1] = np.maximum(alpha[f, y0:y1, x0:x1], a)
    return np.clip(frames + .5, 0, 255).astype(np.uint8), (alpha * 255).astype(np.uint8)


def save_sheet(path, clips, titles, columns=2, every=2):
    """A contact sheet: every second frame of each clip in a row, below its sentence."""
    from PIL import Image, ImageDraw
    rows = []
    for clip, title in zip(clips, titles):
        strip = Image.fromarray(np.concatenate(list(clip[::every]), 1))
        row = Image.new('RGB', (strip.width, strip.height + 12), (255, 255, 255))
        row.paste(strip, (0, 12))
        ImageDraw.Draw(row).text((2, 0), title, fill=(0, 0, 0))
        rows.append(np.array(row))
    n = -(-len(rows) // columns)
    rows += [np.full_like(rows[0], 255)] * (n * columns - len(rows))
    Image.fromarray(np.concatenate([np.concatenate(rows[i * n:(i + 1) * n], 0)
                                    for i in range(columns)], 1)).save(path)


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--seed', type=int, default=0)
    p.add_argument('--count', type=int, default=12)
    p.add_argument('--held', action='store_true', help='only held-out combinations')
    p.add_argument('-o', '--out', metavar='PNG', help='contact sheet')
    o = p.parse_args()
    rng = np.random.default_rng(o.seed)
    clips, titles = [], []
    for _ in range(o.count):
        scene = random_scene(rng, held=o.held)
        titles.append(describe(scene, rng))
        clips.append(render(scene, rng)[0])
        print(titles[-1])
    if o.out:
        save_sheet(o.out, clips, titles)


if __name__ == '__main__':
    main()

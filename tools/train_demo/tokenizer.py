#!/usr/bin/python3
"""The demo model's tokenizer: a SentencePiece unigram model of the grammar's words and of letters.

Ids are those of the best segmentation (Viterbi), as SentencePiece and Hugging Face tokenizers find
it. A known word is one piece, "_red"; others fall apart into known pieces and letters. 0 is the
padding, 1 ends a sentence, 2 stands for unknown characters, as in T5.

    tokenizer.py "a red ball rolls to the left"        prints pieces and ids
"""
import argparse
import json
import os
import struct
import clips

PAD, END, UNKNOWN = 0, 1, 2
MAX_TOKENS = 48
SPACE = '▁'
CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,:;!?'\"-"
WORD_SCORE, CHARACTER_SCORE = -4., -10.

PIECES = ([('<pad>', 0.), ('</s>', 0.), ('<unk>', 0.)] +
          [(SPACE + w, WORD_SCORE) for w in clips.all_words() if not w.endswith(('.', ','))] +
          [(SPACE, CHARACTER_SCORE)] + [(c, CHARACTER_SCORE) for c in CHARACTERS])
VOCABULARY = -(-len(PIECES) // 32) * 32  # rows of the embedding; those beyond the pieces are unused
_IDS = {p: i for i, (p, _) in enumerate(PIECES)}
_LONGEST = max(len(p) for p, _ in PIECES)
_UNKNOWN_SCORE = min(s for _, s in PIECES) - 10


def _segment(text):
    """Best-scoring pieces of a normalised text: [(piece, id)]; unknown neighbours are one."""
    best = [(0., 0, None)] + [None] * len(text)
    for end in range(1, len(text) + 1):
        choices = []
        for begin in range(max(0, end - _LONGEST), end):
            i = _IDS.get(text[begin:end], -1)
            if i > UNKNOWN:
                choices.append((best[begin][0] + PIECES[i][1], begin, i))
        choices.append((best[end - 1][0] + _UNKNOWN_SCORE, end - 1, UNKNOWN))
        best[end] = max(choices, key=lambda c: c[0])
    out, end = [], len(text)
    while end:
        _, begin, i = best[end]
        if i == UNKNOWN and out and out[-1][1] == UNKNOWN:
            out[-1] = (text[begin:end] + out[-1][0], i)
        else:
            out.append((text[begin:end], i))
        end = begin
    return out[::-1]


def encode(text):
    """Ids with </s>, at most MAX_TOKENS. Captions come cleaned (lower case), as Open-Sora does."""
    words = text.split()
    pieces = _segment(SPACE + SPACE.join(words)) if words else []
    return [i for _, i in pieces][:MAX_TOKENS - 1] + [END]


# ---- files --------------------------------------------------------------------------------------

def _proto(field, value):
    """A field of a protocol buffer: bytes and strings, floats (fixed32), or integers."""
    def varint(n):
        out = b''
        while True:
            out += bytes([n & 127 | (128 if n > 127 else 0)])
            n >>= 7
            if not n:
                return out
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return varint(field << 3 | 2) + varint(len(value)) + value
    if isinstance(value, float):
        return varint(field << 3 | 5) + struct.pack('<f', value)
    return varint(field << 3) + varint(value & (1 << 64) - 1)


def sentencepiece_model():
    """A spiece.model: pieces, then the trainer's and the normaliser's settings."""
    normal, unknown, control = 1, 2, 3
    out = b''
    for i, (piece, score) in enumerate(PIECES):
        kind = unknown if i == UNKNOWN else control if i < UNKNOWN else normal
        out += _proto(1, _proto(1, piece) + _proto(2, float(score)) + _proto(3, kind))
    trainer = (_proto(3, 1) + _proto(4, len(PIECES)) + _proto(40, UNKNOWN) + _proto(41, -1) +
               _proto(42, END) + _proto(43, PAD))
    trainer += _proto(45, '<unk>') + _proto(47, '</s>') + _proto(48, '<pad>')
    normalizer = _proto(1, 'identity') + _proto(3, 1) + _proto(4, 1) + _proto(5, 1)
    return out + _proto(2, trainer) + _proto(3, normalizer)


def tokenizer_json():
    """The same as Hugging Face's tokenizers write it."""
    special = [{'id': i, 'content': PIECES[i][0], 'single_word': False, 'lstrip': False,
                'rstrip': False, 'normalized': False, 'special': True} for i in range(3)]
    space = {'type': 'Metaspace', 'replacement': SPACE, 'add_prefix_space': True}
    squeeze = [{'type': 'Strip', 'strip_left': True, 'strip_right': True},
               {'type': 'Replace', 'pattern': {'Regex': ' {2,}'}, 'content': SPACE}]
    return {
        'version': '1.0', 'truncation': None, 'padding': None, 'added_tokens': special,
        'normalizer': {'type': 'Sequence', 'normalizers': squeeze},
        'pre_tokenizer': {**space, 'prepend_scheme': 'first'},
        'post_processor': {
            'type': 'TemplateProcessing',
            'single': [{'Sequence': {'id': 'A', 'type_id': 0}},
                       {'SpecialToken': {'id': '</s>', 'type_id': 0}}],
            'pair': [{'Sequence': {'id': 'A', 'type_id': 0}},
                     {'SpecialToken': {'id': '</s>', 'type_id': 0}},
                     {'Sequence': {'id': 'B', 'type_id': 0}},
                     {'SpecialToken': {'id': '</s>', 'type_id': 0}}],
            'special_tokens': {'</s>': {'id': '</s>', 'ids': [END], 'tokens': ['</s>']}}},
        'decoder': {**space, 'prepend_scheme': 'always'},
        'model': {'type': 'Unigram', 'unk_id': UNKNOWN, 'byte_fallback': False,
                  'vocab': [list(p) for p in PIECES]}}


def write(folder):
    with open(os.path.join(folder, 'spiece.model'), 'wb') as f:
        f.write(sentencepiece_model())
    with open(os.path.join(folder, 'tokenizer.json'), 'w', encoding='utf-8') as f:
        json.dump(tokenizer_json(), f, ensure_ascii=False, indent=1)
    with open(os.path.join(folder, 'tokenizer_config.json'), 'w') as f:
        json.dump({'tokenizer_class': 'T5Tokenizer', 'extra_ids': 0}, f, indent=1)


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('text', nargs='*')
    p.add_argument('--write', metavar='DIR', help='writes spiece.model and tokenizer.json')
    o = p.parse_args()
    if o.write:
        write(o.write)
    for text in o.text:
        print(' '.join(str(i) for i in encode(text)), _segment(SPACE + SPACE.join(text.split())))
    print(f'{len(PIECES)} pieces, {VOCABULARY} rows')


if __name__ == '__main__':
    main()

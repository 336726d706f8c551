#!/usr/bin/python3
"""Checks that the networks here are the originals: loads small weights of the originals' code under
their names and compares results (f32) with its own.

    check.py GOLDEN        the folder of opensora12_stdit3, osp_odvae_v12 and t5_encoder
"""
import argparse
import json
import os
import struct
import sys
import numpy as np
import torch
import dit
import text
import tokenizer
import vae


def read_safetensors(path):
    with open(path, 'rb') as f:
        header = json.loads(f.read(struct.unpack('<Q', f.read(8))[0]))
        data = f.read()
    kinds = {'F32': np.float32, 'F16': np.float16, 'I64': np.int64, 'BOOL': bool}
    return {n: torch.from_numpy(np.frombuffer(data[slice(*t['data_offsets'])], kinds[t['dtype']])
                                .reshape(t['shape']).copy())
            for n, t in header.items() if n != '__metadata__'}


def compare(name, got, wanted):
    error = ((got - wanted).abs().max() / wanted.pow(2).mean().sqrt()).item()
    print(f'{name}: largest error {error:.1e} of the rms')
    return error < 1e-4


def set_sizes(module, **sizes):
    for name, value in sizes.items():
        setattr(module, name, value)


def check_vae(folder):
    set_sizes(vae, HIDDEN=8, WIDTH=[8, 8, 16, 16], LATENT=4, GROUPS=4)
    m = vae.VAE()
    m.load_state_dict(read_safetensors(f'{folder}/weights.safetensors'))
    e = read_safetensors(f'{folder}/case_encode_T9.safetensors')
    d = read_safetensors(f'{folder}/case_decode_T3.safetensors')
    mean, logvar = m.encode(e['in.x'])
    return all([compare('OD-VAE mean', mean, e['out.mean']),
                compare('OD-VAE log variance', logvar, e['out.logvar']),
                compare('OD-VAE decoder', m.decode(d['in.z']), d['out.x'])])


def check_text(folder):
    set_sizes(text, WIDTH=48, LAYERS=3, HEADS=3, HEAD=24, INNER=96)
    set_sizes(tokenizer, VOCABULARY=300)
    m = text.T5()
    w = read_safetensors(f'{folder}/weights.safetensors')
    w.pop('encoder.embed_tokens.weight')  # the same as shared.weight
    m.load_state_dict(w)
    c = read_safetensors(f'{folder}/case_masked.safetensors')
    mask = c['in.attention_mask'].bool()
    return compare('T5', m(c['in.input_ids'], mask)[mask], c['out.last_hidden_state'][mask])


def check_dit(folder):
    set_sizes(dit, WIDTH=72, DEPTH=2, HEADS=3, CHANNELS=4, INPUT_SIZE=512)
    set_sizes(text, WIDTH=40)
    set_sizes(tokenizer, MAX_TOKENS=12)
    m = dit.STDiT3()
    w = read_safetensors(f'{folder}/weights.safetensors')
    w.pop('rope.freqs')
    m.load_state_dict(w)
    c = read_safetensors(f'{folder}/case_forward.safetensors')
    # pixels a side, of which positions are scaled; here 8 a latent pixel
    pixels = (c['in.height'][0] * c['in.width'][0]).sqrt().item()
    usual = 8 * (c['in.x'].shape[3] * c['in.x'].shape[4]) ** .5
    dit.INPUT_SIZE *= usual / pixels
    v = m(c['in.x'], c['in.timestep'], c['in.y'][:, 0], c['in.mask'].bool(), c['in.fps'],
          variance=True)
    return compare('STDiT3', v, c['out'])


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('golden')
    o = p.parse_args()
    torch.set_num_threads(1)
    vae.half = dit.half = lambda x: x
    with torch.no_grad():
        good = [check(os.path.join(o.golden, name)) for check, name in (
            (check_vae, 'osp_odvae_v12'), (check_text, 't5_encoder'),
            (check_dit, 'opensora12_stdit3'))]
    sys.exit(not all(good))


if __name__ == '__main__':
    main()

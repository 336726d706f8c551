#!/usr/bin/python3
"""Writes a run as checkpoints in the formats of the originals, f16:

    ASSETS/vae    OD-VAE of Open-Sora-Plan      model.safetensors, config.json
    ASSETS/dit    STDiT3 of Open-Sora 1.2
    ASSETS/text   T5EncoderModel of transformers, with spiece.model and tokenizer.json

    ASSETS/generate.json   what is usual: size, steps, guidance

Latents leave the encoder normalised by channel and enter the decoder so: the mean and deviation are
folded into the autoencoder's two quant convs, which are 1x1x1. So scaling_factor is 1 and nothing
else is to be known about them.

    export.py --out run --to assets/models/demo
    export.py --out run --to assets/models/demo --cases cases
                            also small cases, inputs and results of the exported weights in f32
"""
import argparse
import json
import os
import struct
import numpy as np
import torch
import clips
import dit
import encode
import evaluate
import text
import tokenizer
import vae


def write_safetensors(path, tensors, metadata=None):
    header = {'__metadata__': metadata} if metadata else {}
    at, parts = 0, []
    for name, t in tensors.items():
        a = np.ascontiguousarray(t.detach().cpu().numpy() if isinstance(t, torch.Tensor) else t)
        kind = {'float16': 'F16', 'float32': 'F32', 'int64': 'I64', 'bool': 'BOOL'}[a.dtype.name]
        header[name] = {'dtype': kind, 'shape': list(a.shape), 'data_offsets': [at, at + a.nbytes]}
        at += a.nbytes
        parts.append(a.tobytes())
    text_ = json.dumps(header, separators=(',', ':')).encode()
    text_ += b' ' * (-len(text_) % 8)
    with open(path, 'wb') as f:
        f.write(struct.pack('<Q', len(text_)) + text_)
        for p in parts:
            f.write(p)
    return 8 + len(text_) + at


def fold_normalisation(model, mean, deviation):
    """Makes z' = (z - mean) / deviation the latents of an autoencoder."""
    mean, deviation = mean.flatten(), deviation.flatten()
    q, p, n = model.quant_conv.conv, model.post_quant_conv.conv, vae.LATENT
    with torch.no_grad():
        q.weight[:n] /= deviation.view(-1, 1, 1, 1, 1)
        q.bias[:n] = (q.bias[:n] - mean) / deviation
        q.bias[n:] -= 2 * deviation.log()  # of the variance
        p.bias += (p.weight.flatten(1) @ mean)
        p.weight *= deviation.view(1, -1, 1, 1, 1)
    return model


def halves(module):
    return {n: t.half() for n, t in module.state_dict().items()}


def export(folder, name, tensors, config):
    path = os.path.join(folder, name)
    os.makedirs(path, exist_ok=True)
    size = write_safetensors(os.path.join(path, 'model.safetensors'), tensors, {'format': 'pt'})
    with open(os.path.join(path, 'config.json'), 'w') as f:
        json.dump(config, f, indent=1)
        f.write('\n')
    print(f'{path}: {sum(t.numel() for t in tensors.values())} values, {size / 1e6:.2f} MB')
    return size


def exact(module):
    """A copy whose weights are those of the file and whose products are in f32."""
    module.load_state_dict({n: t.float() for n, t in halves(module).items()})
    return module


def write_cases(folder, model, g):
    """Inputs and results for `fovea check`; cases in the form of the golden ones."""
    os.makedirs(folder, exist_ok=True)
    rng = np.random.default_rng(3)
    scene = clips.random_scene(rng, two=0)
    vae.half = dit.half = lambda x: x  # products in f32 too
    prompt = clips.describe(scene, rng, canonical=True)
    with torch.no_grad():
        x = encode.to_tensor(clips.render(scene, rng)[0][None])
        mean, logvar = exact(model).encode(x)
        write_safetensors(os.path.join(folder, 'case_encode_T17.safetensors'),
                          {'in.x': x, 'out.mean': mean, 'out.logvar': logvar})
        write_safetensors(os.path.join(folder, 'case_decode_T5.safetensors'),
                          {'in.z': mean, 'out.x': model.decode(mean)})
        if g is None:
            return
        ids, mask = text.batch([prompt])
        y = exact(g.encoder)(ids, mask)
        write_safetensors(os.path.join(folder, 'case_text.safetensors'),
                          {'in.input_ids': ids, 'in.attention_mask': mask.long(),
                           'out.last_hidden_state': y},
                          {'prompt': prompt})
        exact(g.model)
        z = torch.randn(1, vae.LATENT, 5, 8, 8, generator=torch.Generator().manual_seed(1))
        t, fps = torch.tensor([600.]), torch.tensor([24.])
        v = g.model(z, t, y, mask, fps, variance=True)
        write_safetensors(os.path.join(folder, 'case_forward.safetensors'), {
            'in.x': z, 'in.timestep': t, 'in.y': y[:, None], 'in.mask': mask.long(),
            'in.fps': fps, 'in.height': torch.tensor([64.]), 'in.width': torch.tensor([64.]),
            'out': v})


def usual():
    """What `fovea generate` takes when it is not told otherwise (docs/GENERATE.md): as evaluate.py samples,
    with the leap that docs/DEMO_MODEL.md found to cost little."""
    return {'name': 'fovea demo', 'steps': 30, 'guidance': 4, 'width': 64, 'height': 64,
            'frames': clips.FRAMES, 'fps': 12, 'clean_captions': True, 'time_transform': True, 'scores': {},
            'leap': 'fixed', 'leap_from': 10, 'merge_steps': 1}


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--out', required=True, metavar='DIR', help='of the run')
    p.add_argument('--to', required=True, metavar='ASSETS')
    p.add_argument('--cases', metavar='DIR')
    p.add_argument('--vae-only', action='store_true', help='before there is a transformer')
    o = p.parse_args()
    torch.set_num_threads(1)
    if o.vae_only:
        g, model = None, encode.load_vae(o.out)
        normal = np.load(os.path.join(o.out, 'latents', 'normal.npz'))
        mean, deviation = (torch.from_numpy(normal[k]) for k in ('mean', 'deviation'))
    else:
        g = evaluate.Generator(o.out)
        model, mean, deviation = g.vae, g.mean, g.deviation
    fold_normalisation(model, mean, deviation)
    size = export(o.to, 'vae', halves(model), vae.config())
    if g:
        size += export(o.to, 'dit', halves(g.model), dit.config())
        size += export(o.to, 'text', halves(g.encoder), text.config())
        tokenizer.write(os.path.join(o.to, 'text'))
        with open(os.path.join(o.to, 'generate.json'), 'w') as f:
            json.dump(usual(), f, indent=1)
            f.write('\n')
    print(f'{size / 1e6:.2f} MB')
    if o.cases:
        write_cases(o.cases, model, g)


if __name__ == '__main__':
    main()

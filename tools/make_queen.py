#!/usr/bin/env python3
"""Makes tests/golden/05_queen/frames: QUEEN's released files of the three golden frames, with
Python's own pickler over stand-ins of torch's, numpy's and QUEEN's classes (standard library).

    python3 tools/make_queen.py tests/golden/05_queen

frames/0001/point_cloud/iteration_500/point_cloud.ply holds the decoded first frame,
frames/NNNN/compressed/point_cloud.pkl the tensors of model_3frames/frameN.safetensors: what
QUEEN's save_compressed_pkl hands to pickle.dump, in its order and protocol.
"""
import collections
import io
import json
import os
import pickle
import struct
import sys

from fake_modules import function, module, put

torch, utils, storages = module("torch"), module("torch._utils"), module("torch.storage")
module("numpy"), module("numpy.core")
multiarray = module("numpy.core.multiarray")
module("utils")
rebuild = function(utils, "_rebuild_tensor_v2")
load_bytes = function(storages, "_load_from_bytes")
reconstruct = function(multiarray, "_reconstruct")
ndarray, dtype = put(sys.modules["numpy"], "ndarray"), put(sys.modules["numpy"], "dtype")
CompressedLatents = put(module("utils.compress_utils"), "CompressedLatents")
STORAGES = {c: put(torch, n) for c, n in {"f": "FloatStorage", "q": "LongStorage",
                                          "i": "IntStorage", "b": "CharStorage"}.items()}
ARGS = ("ldecode_matrix", "latent_norm", "num_layers_dec", "hidden_dim_dec", "activation",
        "use_shift", "ldec_std")
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
next_key = [94035611248976]


class Storage:
    """A TypedStorage: pickled as the bytes of torch.save's older form."""
    def __init__(self, code, values, location):
        self.code, self.values, self.location = code, values, location

    def __reduce__(self):
        out, key = io.BytesIO(), str(next_key[0])
        next_key[0] += 64
        sizes = dict(short=2, int=4, long=4)
        system = dict(protocol_version=PROTOCOL, little_endian=True, type_sizes=sizes)
        for part in (MAGIC, PROTOCOL, system):
            pickle.dump(part, out, protocol=2)
        storage, token = self, object()
        p = pickle.Pickler(out, protocol=2)
        p.persistent_id = lambda o: ("storage", STORAGES[storage.code], key, storage.location,
                                     len(storage.values), None) if o is token else None
        p.dump(token)
        pickle.dump([key], out, protocol=2)
        out.write(struct.pack("<q", len(self.values)))
        out.write(struct.pack(f"<{len(self.values)}{self.code}", *self.values))
        return load_bytes, (out.getvalue(),)


class Tensor:
    def __init__(self, code, values, shape, location="cpu"):
        self.storage, self.shape = Storage(code, values, location), tuple(shape)

    def __reduce__(self):
        stride, n = [], 1
        for s in reversed(self.shape):
            stride.insert(0, n)
            n *= s
        hooks = collections.OrderedDict()
        return rebuild, (self.storage, 0, self.shape, tuple(stride), False, hooks)


class F4:
    def __reduce__(self):
        return dtype, ("f4", False, True), (3, "<", None, None, None, -1, -1, 0)


F4 = F4()


class Array:
    def __init__(self, values):
        self.values = values

    def __reduce__(self):
        data = struct.pack(f"<{len(self.values)}f", *self.values)
        return reconstruct, (ndarray, (0,), b"b"), (1, (len(self.values),), F4, False, data)


def read(path):
    data = open(path, "rb").read()
    n, = struct.unpack("<Q", data[:8])
    out = {}
    for name, t in json.loads(data[8:8 + n]).items():
        if name != "__metadata__":
            a, b = t["data_offsets"]
            code = {"F32": "f", "I32": "i", "U8": "B"}[t["dtype"]]
            count = (b - a) // struct.calcsize(code)
            values = struct.unpack(f"<{count}{code}", data[8 + n + a:8 + n + b])
            out[name] = values, t["shape"]
    return out


def coded(t, name, rows, width):
    o = CompressedLatents()
    o.num_latents, o.latent_dim, o.tail_locs = rows, width, {}
    o.mapping = {v: i for i, v in enumerate(t[f"coded.{name}.symbols"][0])}
    o.byte_stream = bytes(t[f"coded.{name}.bytes"][0])
    o.cdf = Array(t[f"coded.{name}.cdf"][0])
    return o


def frame(t, config, kinds):
    latents, states, args = (collections.OrderedDict() for _ in range(3))
    for i, name in enumerate(config["param_names"]):
        values, shape = t[f"latent.{name}"]
        if name == "xyz":
            index = t["coded.xyz.ungated_indices"][0]
            code = "b" if max(index).bit_length() < 8 else "i"
            latents[name] = {"mapping": Tensor("q", range(shape[0]), shape[:1], "cuda:0"),
                             "ungated_indices": Tensor(code, index, [len(index)], "cuda:0"),
                             "ungated_residuals_compressed": coded(t, name, len(index), 3)}
        elif kinds[name] == "DecoderIdentity":
            latents[name] = Tensor("f", values, shape)
        else:
            latents[name] = coded(t, name, *shape)
            args[name] = {"latent_dim": config["latent_dim"][i],
                          "feature_dim": t[f"decoder.{name}.layers.0.shift"][1][1],
                          **{k: config[k][i] for k in ARGS}}
            states[name] = state = collections.OrderedDict()
            for part in ("div", "layers.0.dft", "layers.0.scale", "layers.0.shift"):
                if f"decoder.{name}.{part}" in t:
                    state[part] = Tensor("f", *t[f"decoder.{name}.{part}"], "cuda:0")
            if f"decoded_att.{name}" in t:
                state["decoded_att"] = Tensor("f", *t[f"decoded_att.{name}"])
    return {"latents": latents, "decoder_state_dict": states, "decoder_args": args,
            "latent_decoders_dict": kinds}


def write_ply(path, t):
    parts = {n: t[f"decoded.{n}"][0] for n in ("xyz", "f_dc", "f_rest", "op", "sc", "rot")}
    n, coefs = t["decoded.f_rest"][1][:2]
    names = (["x", "y", "z", "nx", "ny", "nz"] + [f"f_dc_{i}" for i in range(3)] +
             [f"f_rest_{i}" for i in range(3 * coefs)] + ["opacity"] +
             [f"scale_{i}" for i in range(3)] + [f"rot_{i}" for i in range(4)])
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        lines = ["ply", "format binary_little_endian 1.0", f"element vertex {n}"]
        lines += [f"property float {s}" for s in names]
        lines += ["property int vertex_id", "end_header", ""]
        f.write("\n".join(lines).encode())
        for i in range(n):
            rest = parts["f_rest"][3 * coefs * i:3 * coefs * (i + 1)]
            row = [*parts["xyz"][3 * i:3 * i + 3], 0, 0, 0, *parts["f_dc"][3 * i:3 * i + 3],
                   *(rest[3 * k + c] for c in range(3) for k in range(coefs)), parts["op"][i],
                   *parts["sc"][3 * i:3 * i + 3], *parts["rot"][4 * i:4 * i + 4]]
            f.write(struct.pack(f"<{len(row)}fi", *row, i))


def main(folder):
    model, frames = os.path.join(folder, "model_3frames"), os.path.join(folder, "frames")
    config = json.load(open(os.path.join(model, "config.json")))
    sizes = json.load(open(os.path.join(model, "sizes.json")))
    write_ply(os.path.join(frames, "0001/point_cloud/iteration_500/point_cloud.ply"),
              read(os.path.join(model, "frame1.safetensors")))
    for i in (2, 3):
        path = os.path.join(frames, f"{i:04}/compressed/point_cloud.pkl")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        t = read(os.path.join(model, f"frame{i}.safetensors"))
        with open(path, "wb") as f:
            pickle.dump(frame(t, config, sizes[f"frame{i}"]["decoders"]), f, protocol=4)
        own = sizes[f"frame{i}"]["pkl_bytes"]
        print(f"{path}: {os.path.getsize(path)} bytes; QUEEN's own had {own}")


main(sys.argv[1])

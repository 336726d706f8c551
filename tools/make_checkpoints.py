#!/usr/bin/env python3
"""Makes tests/golden/weights/*.pt: checkpoints as torch.save and torch.jit.save lay them out, with
Python's own pickler over stand-ins of PyTorch's classes (standard library only).

    python3 tools/make_checkpoints.py tests/golden/weights

Element i of a storage with key k is k + i / 8 (integers: k + i), so tests know every value.
"""
import collections
import io
import pickle
import struct
import sys
import zipfile

from fake_modules import function, module, put

torch, utils = module("torch"), module("torch._utils")
module("torch.nn")
storage_module, jit = module("torch.storage"), module("torch.jit._pickle")
module("__torch__")
script = module("__torch__.net")
rebuild, rebuild3 = function(utils, "_rebuild_tensor_v2"), function(utils, "_rebuild_tensor_v3")
parameter = function(utils, "_rebuild_parameter")
intlist, tag = function(jit, "build_intlist"), function(jit, "restore_type_tag")
# name of the storage class -> struct code, whole numbers, dtype
KINDS = {"DoubleStorage": "d", "FloatStorage": "f", "HalfStorage": "e", "BFloat16Storage": "bf",
         "LongStorage": "q", "IntStorage": "i", "ShortStorage": "h", "CharStorage": "b",
         "ByteStorage": "B", "BoolStorage": "?", "UntypedStorage": "f8"}
CLASSES = {k: put(storage_module if k == "UntypedStorage" else torch, k) for k in KINDS}


class Reduced:
    """Pickled as a call."""
    def __init__(self, f, *args):
        self.f, self.args = f, args

    def __reduce__(self):
        return self.f, self.args


class Storage:
    def __init__(self, kind, key, count):
        self.kind, self.key, self.count = kind, key, count

    def data(self):
        code, out = KINDS[self.kind], b""
        for i in range(self.count):
            if code == "bf":
                out += struct.pack("<f", self.key + i / 8)[2:]
            elif code == "f8":  # 1, 2, 4 ... as float8_e5m2
                out += bytes([0x3C + 4 * (i % 4)])
            elif code == "?":
                out += bytes([i % 2])
            else:
                out += struct.pack("<" + code, self.key + (i / 8 if code in "dfe" else i))
        return out


def tensor(storage, offset, shape, stride, f=rebuild):
    return Reduced(f, storage, offset, shape, stride, False, collections.OrderedDict())


def save(path, obj, protocol=2, folder="net", constants=None):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as z:
        def add(name, data):
            z.writestr(zipfile.ZipInfo(f"{folder}/{name}"), data)

        def dump(o, name, where):
            seen = {}

            class P(pickle.Pickler):
                def persistent_id(self, x):
                    if not isinstance(x, Storage):
                        return None
                    seen[x.key] = x
                    return ("storage", CLASSES[x.kind], str(x.key), "cpu", x.count)
            buf = io.BytesIO()
            P(buf, protocol).dump(o)
            add(name, buf.getvalue())
            for key in sorted(seen):
                add(f"{where}/{key}", seen[key].data())
        dump(obj, "data.pkl", "data")
        add("byteorder", "little")
        if constants is not None:
            dump(constants, "constants.pkl", "constants")
        add("version", "3\n")


def every_type():
    d = collections.OrderedDict()
    for key, kind in enumerate(KINDS):
        if kind == "UntypedStorage":
            e5m2 = put(torch, "float8_e5m2")
            d["t.f8"] = Reduced(rebuild3, Storage(kind, key, 6), 0, (6,), (1,), False,
                                collections.OrderedDict(), e5m2)
        else:
            d["t." + kind] = tensor(Storage(kind, key, 6), 0, (2, 3), (3, 1))
    d._metadata = collections.OrderedDict([("", {"version": 1})])
    return d


def views():
    s = Storage("FloatStorage", 7, 24)
    d = collections.OrderedDict()
    d["module.whole"] = tensor(s, 0, (4, 6), (6, 1))
    d["module.transposed"] = tensor(s, 0, (6, 4), (1, 6))
    d["module.slice"] = tensor(s, 8, (2, 3), (6, 2))
    d["module.repeated"] = tensor(s, 5, (3, 2), (0, 1))
    d["module.one"] = tensor(s, 23, (), ())
    d["module.none"] = tensor(s, 0, (0, 4), (4, 1))
    d["module.parameter"] = Reduced(parameter, tensor(s, 6, (6,), (1,)), True,
                                    collections.OrderedDict())
    return d


def nested():
    def inner(key):
        return collections.OrderedDict(
            [("a.weight", tensor(Storage("HalfStorage", key, 4), 0, (2, 2), (2, 1)))])
    return {"epoch": 12, "lr": 0.5, "note": "hello", "flags": [True, None],
            "optimizer": {"state": {0: {"exp_avg": tensor(Storage("FloatStorage", 3, 2), 0,
                                                          (2,), (1,))}}},
            "model": inner(1), "ema": inner(2), "huge": 1 << 40}


def torchscript():
    def obj(name, **attributes):
        cls = getattr(script, name, None) or put(script, name)
        o = cls.__new__(cls)
        o.__dict__.update(attributes)
        return o
    conv = obj("Conv", weight=tensor(Storage("FloatStorage", 0, 8), 0, (2, 4), (4, 1)),
               stride=Reduced(intlist, [1, 1]), training=False)
    net = obj("Net", conv=conv, scale=Reduced(tag, 0.5, "float"),
              layers=[conv, obj("Conv", weight=tensor(Storage("FloatStorage", 1, 2), 0, (2,), (1,)),
                                stride=Reduced(intlist, [2, 2]), training=False)])
    return net, (tensor(Storage("LongStorage", 0, 3), 0, (3,), (1,)), 5)


def main(folder):
    for protocol in (2, 3, 4, 5):
        save(f"{folder}/types_protocol{protocol}.pt", every_type(), protocol)
    save(f"{folder}/views.pth", views())
    save(f"{folder}/nested.ckpt", nested(), folder="archive")
    net, constants = torchscript()
    save(f"{folder}/torchscript.pt", net, constants=constants)
    save(f"{folder}/frozen.pt", type(net).__new__(type(net)), constants=constants)
    save(f"{folder}/tensor.pt", tensor(Storage("BFloat16Storage", 4, 6), 0, (3, 2), (2, 1)))


if __name__ == "__main__":
    main(sys.argv[1])

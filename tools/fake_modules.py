"""Modules, classes and functions that only have names: what a pickle refers to, without what it is
from. Used by make_checkpoints.py and make_queen.py."""

import sys
import types


def module(name):
    sys.modules[name] = m = types.ModuleType(name)
    return m


def put(mod, name, kind=object):
    """A class `name` of module `mod`, picklable by reference."""
    cls = type(name, (kind,), {"__module__": mod.__name__})
    setattr(mod, name, cls)
    return cls


def function(mod, name):
    def f(*args):
        raise RuntimeError("never called")
    f.__module__, f.__name__, f.__qualname__ = mod.__name__, name, name
    setattr(mod, name, f)
    return f

#!/usr/bin/env python3
"""Checks the house: include directions, banned calls in library rooms, every shader listed.

Standard library only; run by the tests (tests/tree.tests.cmake). Prints what is wrong, exits 1.
"""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# room -> prefixes of the quoted includes it may use
ROOMS = {
    "vk/base": ["vk/base/"],
    "vk/nn": ["vk/", "shaders/nn/"],
    "vk": ["vk/"],
    "vae": ["vk/", "vae/"],
    "diffusion": ["vk/", "diffusion/"],
    "quant": ["vk/", "quant/"],
    "gs": ["vk/", "gs/", "shaders/gs/"],
    "neural": ["vk/", "gs/gs.h", "shaders/neural/", "neural/"],
    "app": ["vk/", "gs/gs.h", "neural/neural.h", "vae/vae.h", "diffusion/diffusion.h", "quant/quant.h", "app/"],
}
BANNED = re.compile(r"\b(exit|abort|printf|puts|getenv|perror)\s*\(")
bad = []


def room_of(path):
    return next((r for r in ("vk/base", "vk/nn", "vk", "vae", "diffusion", "quant", "gs", "neural", "app") if path.startswith(r + "/")), None)


for folder, dirs, files in os.walk(ROOT):
    dirs[:] = [d for d in dirs if d not in (".git", "build", "tests", "tools")]
    for name in files:
        path = os.path.relpath(os.path.join(folder, name), ROOT)
        room = room_of(path)
        if not room or not name.endswith((".c", ".h", ".cpp")):
            continue
        text = open(os.path.join(ROOT, path), encoding="utf-8").read()
        for number, line in enumerate(text.split("\n"), 1):
            m = re.match(r'#include "([^"]+)"', line)
            if m and "/" in m.group(1):
                allowed = ROOMS[room]
                if not any(m.group(1).startswith(p) for p in allowed):
                    bad.append(f"{path}:{number}: {room}/ may not include {m.group(1)}")
            if room != "app":
                code = line.split("//")[0]
                if not code.lstrip().startswith("*") and BANNED.search(code):
                    bad.append(f"{path}:{number}: library rooms do not call this: {line.strip()}")

listed = open(os.path.join(ROOT, "shaders/shaders.cmake"), encoding="utf-8").read()
for folder, _, files in os.walk(os.path.join(ROOT, "shaders")):
    for name in files:
        if name.endswith(".comp"):
            shader = os.path.relpath(os.path.join(folder, name), ROOT + "/shaders")[:-5]
            if not re.search(r"fv(_splat|_nn)?_shader\(" + re.escape(shader) + r"[ )\n]", listed):
                bad.append(f"shaders/{shader}.comp: not in shaders/shaders.cmake")

print("\n".join(bad) if bad else "the tree is in order")
sys.exit(1 if bad else 0)

#!/usr/bin/env python3
"""Writes diffusion/unicode_tables.h from Python's own tables: what str and re know of characters.

    tools/make_unicode.py > diffusion/unicode_tables.h

Standard library only. Written once: results of captions must not follow a newer Unicode.
"""
import html.entities
import sys
import unicodedata as u

ALL = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
WORD, DIGIT, SPACE, LETTER, NUMBER, CASED, IGNORED = (1 << i for i in range(7))


def flags(c):
    s = chr(c)
    f = (WORD if s.isalnum() or s == "_" else 0) | (DIGIT if s.isdecimal() else 0)
    f |= SPACE if s.isspace() else 0
    f |= {"L": LETTER, "N": NUMBER}.get(u.category(s)[0], 0)
    # What a final sigma looks at, told by what lower() makes of one.
    if (" " + s + "\u03a3").lower()[-1] == "\u03c2":
        f |= CASED
    elif ("A" + s + "\u03a3").lower()[-1] == "\u03c2":
        f |= IGNORED
    return f


def rows(name, kind, items, per):
    print(f"static const {kind} {name}[] = {{")
    for i in range(0, len(items), per):
        print("    " + " ".join(items[i:i + per]))
    print("};\n")


def runs(pairs):
    """(c, value) in order -> (first, last, value) of equal neighbours."""
    out = []
    for c, v in pairs:
        if out and out[-1][1] == c - 1 and out[-1][2] == v:
            out[-1][1] = c
        else:
            out.append([c, c, v])
    return out


def lower_runs():
    out = []  # first, last, step, delta
    for c in ALL:
        low = chr(c).lower()
        if len(low) != 1 or ord(low) == c:
            continue
        d = ord(low) - c
        if out and out[-1][3] == d and c - out[-1][1] in (1, 2) and out[-1][2] in (0, c - out[-1][1]):
            out[-1][2] = c - out[-1][1]
            out[-1][1] = c
        else:
            out.append([c, c, 0, d])
    return out


def main():
    print(f"/* Written by tools/make_unicode.py; Unicode {u.unidata_version}. */")
    print("#ifndef DIFFUSION_UNICODE_TABLES_H\n#define DIFFUSION_UNICODE_TABLES_H\n")
    print("#include <stdint.h>\n")
    print("struct char_run {\n    uint32_t first, last, value;\n};\n")
    flagged = [(c, flags(c)) for c in ALL]
    rows("char_flags", "struct char_run",
         ["{0x%x,0x%x,%d}," % tuple(r) for r in runs([p for p in flagged if p[1]])], 6)
    rows("char_lower", "struct lower_run {\n    uint32_t first, last, step;\n    int32_t delta;\n}",
         ["{0x%x,0x%x,%d,%d}," % (a, b, s or 1, d) for a, b, s, d in lower_runs()], 5)
    rows("char_class", "struct char_run",
         ["{0x%x,0x%x,%d}," % tuple(r)
          for r in runs([(c, u.combining(chr(c))) for c in ALL if u.combining(chr(c))])], 6)
    parts = []
    for c in ALL:
        d = u.decomposition(chr(c))
        if d and not d.startswith("<"):
            p = [int(x, 16) for x in d.split()] + [0]
            parts.append((c, p[0], p[1]))
    rows("char_parts", "struct char_parts {\n    uint32_t whole, a, b;\n}",
         ["{0x%x,0x%x,0x%x}," % p for p in parts], 5)
    pairs = sorted((a, b, c) for c, a, b in parts
                   if b and u.normalize("NFC", chr(a) + chr(b)) == chr(c))
    rows("char_pairs", "struct char_pair {\n    uint32_t a, b, whole;\n}",
         ["{0x%x,0x%x,0x%x}," % p for p in pairs], 5)
    wide = [(c, [ord(x) for x in u.normalize("NFKC", chr(c))] + [0]) for c in range(0xFF01, 0xFFF0)
            if u.normalize("NFKC", chr(c)) != chr(c)]
    rows("char_width", "struct char_parts", ["{0x%x,0x%x,0x%x}," % (c, v[0], v[1]) for c, v in wide], 5)
    h = html.entities.html5
    names = sorted((k[:-1], [ord(x) for x in v] + [0]) for k, v in h.items() if k.endswith(";"))
    rows("char_names", "struct char_name {\n    const char *name;\n    uint32_t a, b;\n    uint32_t bare;\n}",
         ['{"%s",0x%x,0x%x,%d},' % (k, v[0], v[1], k in h) for k, v in names], 3)
    print("#endif")


if __name__ == "__main__":
    sys.exit(main())

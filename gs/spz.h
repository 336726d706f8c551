/* Private to gs/: the SPZ layout, shared by reader and writer (spz.c, spz_write.c).
 *
 * Versions 1-3 are one gzip stream over
 *   u32 magic, version, count; u8 sh degree, fraction bits, flags, reserved        16 bytes
 *   the six attribute arrays, one after the other
 *   extension records when flag 2 is set
 * Version 4 is
 *   u32 magic, version, count; u8 sh degree, fraction bits, flags, streams;
 *   u32 table offset; u8 reserved[12]                                             32 bytes
 *   extension records up to the table offset when flag 2 is set
 *   table: {u64 compressed, u64 uncompressed} a stream
 *   one ZSTD frame an attribute, empty attributes left out
 * Extension record: u32 type, u32 bytes, payload.
 * Attribute arrays, in this order, little-endian, bytes a point:
 *   position  9  three signed 24-bit fixed-point numbers (6 in version 1: three halfs)
 *   alpha     1  opacity * 255
 *   color     3  (0.15 dc + 0.5) * 255
 *   scale     3  (ln scale + 10) * 16
 *   rotation  4  largest component's index x,y,z,w in bits 30-31, the other three as sign and
 *                9-bit magnitude / (511 sqrt2) (versions 1, 2: 3 bytes, x,y,z * 127.5 + 127.5)
 *   sh        3 per coefficient above band 0, RGB innermost, value * 128 + 128
 * Axes are right-up-back unless an extension says otherwise. */
#ifndef GS_SPZ_H
#define GS_SPZ_H

#include <stddef.h>
#include <stdint.h>

#define SPZ_MAGIC       0x5053474eu /* "NGSP" */
#define SPZ_COLOR_SCALE 0.15f

enum {
    SPZ_LATEST = 4,
    SPZ_HEADER = 16,
    SPZ_HEADER_V4 = 32,
    SPZ_FLAG_ANTIALIASED = 1,
    SPZ_FLAG_EXTENSIONS = 2,
};

enum { SPZ_POSITION, SPZ_ALPHA, SPZ_COLOR, SPZ_SCALE, SPZ_ROTATION, SPZ_SH, SPZ_STREAMS };

/* Bytes a point of each attribute; degree 0..4. */
static inline size_t spz_stride(int stream, uint32_t version, int sh_degree)
{
    switch (stream) {
    case SPZ_POSITION:
        return version == 1 ? 6 : 9;
    case SPZ_ALPHA:
        return 1;
    case SPZ_ROTATION:
        return version < 3 ? 3 : 4;
    case SPZ_SH:
        return 3 * ((size_t)(sh_degree + 1) * (size_t)(sh_degree + 1) - 1);
    default:
        return 3;
    }
}

#endif

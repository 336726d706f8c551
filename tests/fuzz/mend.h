/* Checksums of a ZIP archive put right, or no change to a member would get past them. */
#ifndef MEND_H
#define MEND_H

#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

static inline uint32_t mend_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Entry e of the central directory: the checksum of what it points at, if it is stored. */
static inline void mend_entry(uint8_t *data, size_t size, uint8_t *e)
{
    enum { LOCAL_SIZE = 30 };
    size_t local = mend_u32(e + 42), length = mend_u32(e + 20);
    if (local > size || size - local < LOCAL_SIZE)
        return;
    const uint8_t *l = data + local;
    size_t start = local + LOCAL_SIZE + (size_t)(l[26] | l[27] << 8) + (size_t)(l[28] | l[29] << 8);
    if (start > size || size - start < length)
        return;
    uint32_t crc = (uint32_t)crc32_z(0, data + start, length);
    for (int k = 0; k < 4; k++)
        e[16 + k] = (uint8_t)(crc >> 8 * k);
}

static inline void mend_zip(uint8_t *data, size_t size)
{
    enum { CENTRAL_SIZE = 46 };
    for (size_t at = 0; at + CENTRAL_SIZE <= size; at++)
        if (mend_u32(data + at) == 0x02014b50)
            mend_entry(data, size, data + at);
}

#endif

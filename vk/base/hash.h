/* Numbers that tell data apart, and numbers that look random: neither is meant to withstand an enemy. */
#ifndef FV_HASH_H
#define FV_HASH_H

#include <stddef.h>
#include <stdint.h>

/* FNV-1a. h: FV_HASH_BEGIN, or what came of the bytes before. */
#define FV_HASH_BEGIN UINT64_C(0xcbf29ce484222325)
static inline uint64_t fv_hash(uint64_t h, const void *data, size_t size)
{
    const uint8_t *bytes = (const uint8_t *)data;
    for (size_t i = 0; i < size; i++)
        h = (h ^ bytes[i]) * UINT64_C(0x100000001b3);
    return h;
}

/* The finaliser of SplitMix64 (Steele et al., "Fast splittable pseudorandom number generators", 2014). */
static inline uint64_t fv_mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

#endif

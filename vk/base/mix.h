/* A number that looks random, of any number: the finaliser of SplitMix64 (Steele et al., "Fast splittable
 * pseudorandom number generators", 2014). */
#ifndef FV_MIX_H
#define FV_MIX_H

#include <stdint.h>

static inline uint64_t fv_mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

#endif

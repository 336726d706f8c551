/* Streams made by hand, without a device: numbers that wander. */
#ifndef TEST_STREAM_H
#define TEST_STREAM_H

#include <stddef.h>
#include <stdint.h>

struct test_stream {
    uint32_t count, frames, group; /* Gaussians, frames, of a group */
    uint32_t bases;                /* a base every so many frames; 0: only the first */
    int sh_degree;
    uint64_t seed;
};
/* Writes it; the same numbers give the same bytes. */
void test_stream_write(const char *path, const struct test_stream *t);
/* Numbers to make a base of: places of a grid of 2^bits a side, in Morton order, any of the others. */
struct gs_stream_state;
void test_stream_target(struct gs_stream_state *s, uint32_t count, int degree, unsigned bits);

#endif

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

#endif

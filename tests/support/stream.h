/* Streams made by hand, without a device: numbers that wander. */
#ifndef TEST_STREAM_H
#define TEST_STREAM_H

#include "gs/stream.h"

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
void test_stream_target(struct gs_stream_state *s, uint32_t count, int degree, unsigned bits);

/* A writer's and a reader's group over their bases. */
void test_groups_create(struct gs_stream_group group[2], struct gs_stream_base base[2]);
/* Both hold the same numbers. */
void test_groups_same(const struct gs_stream_group group[2], int degree);
/* With their bases. */
void test_groups_finish(struct gs_stream_group group[2], struct gs_stream_base base[2]);

#endif

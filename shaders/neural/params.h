/* Interface of the kernels that decode anchors, included by C (neural/gpu*.c) and GLSL. */
#ifndef NEURAL_PARAMS_H
#define NEURAL_PARAMS_H

#ifdef VULKAN /* defined by glslc */
#define NL_VEC4(name) vec4 name
#else
#include <stdint.h>
typedef uint32_t uint;
#define NL_VEC4(name) float name[4]
#endif

/* Anchors are looked at in blocks; those of a block that have Gaussians are listed densely. */
#define NL_BLOCK 256
/* Words of a block's list: how many anchors, how many Gaussians, and two an anchor: its Gaussians as
 * bits; which it is | how many Gaussians come before it << 8. Of SAGS, with a Gaussian an anchor: its
 * opacity before tanh; which it is. */
#define NL_LIST (2 + 2 * NL_BLOCK)
/* Where a block's anchors have the i-th of n uvec4 each: the same one of all, then the next. */
#define NL_ROW(anchor, n, i) (((anchor) / NL_BLOCK * (n) + (i)) * NL_BLOCK + (anchor) % NL_BLOCK)
/* uvec4 of an anchor: position, q.x | deviations of offsets, q.y | deviations of Gaussians, q.z | its
 * offsets. */
#define NL_PLACE 3

/* A view, and a part of the anchors. */
struct nl_view_push {
    NL_VEC4(view0); /* rows of world->camera */
    NL_VEC4(view1);
    NL_VEC4(view2);
    NL_VEC4(eye);   /* w: width */
    NL_VEC4(focal); /* fx fy cx cy, pixel (0,0) centred at (0,0) */
    float height;
    uint count; /* anchors of this part */
    uint block; /* index of its first block */
    uint first, room; /* Gaussians that are written: from .. on, so many */
    /* how fast an opacity before tanh can grow: with the direction to the anchor, with its distance */
    float by_turn, by_distance;
};

struct nl_starts_push {
    uint blocks;
    uint room;                   /* Gaussians */
    uint live, need, flags, flag; /* words of ctl, as gs_make has them */
};

struct nl_first_push {
    NL_VEC4(eye);
    uint count; /* rows of this part */
    uint from;  /* first row in the cache and of the places */
};

/* The graph of neighbours: points in cells of 1 / low.w, of which buckets hold those whose coordinates
 * have the same low bits. */
struct nl_graph_push {
    NL_VEC4(low);
    uint count;  /* points */
    uint bits;   /* of x, y << 8, z << 16 */
};
/* Cells that are searched around a point's own, on each side; what a search may look at. */
#define NL_GRAPH_REACH 2
#define NL_GRAPH_MOST 2500u
#define NL_NO_NEIGHBOUR 0xffffffffu
/* Buckets of an invocation's turn of graph_scan. */
#define NL_GRAPH_RUN 16u

#endif

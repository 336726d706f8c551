/* Interface of the splat kernels, included by C (gs/raster*.c) and GLSL: the frame's uniform
 * block, push constants, buffer layouts. Only 32-bit members. */
#ifndef GS_PARAMS_H
#define GS_PARAMS_H

#ifdef VULKAN /* defined by glslc */
#define GS_VEC4(name) vec4 name
#define GS_UVEC4(name) uvec4 name
#else
#include <stdint.h>
typedef uint32_t uint;
#define GS_VEC4(name) float name[4]
#define GS_UVEC4(name) uint32_t name[4]
#endif

/* Gaussians are projected in blocks; the visible ones of a block are stored densely from the
 * block's first slot on, in scene order, so that results do not depend on timing. */
#define GS_BLOCK 128
/* The depth order is cut into this many pieces whose work is summed. */
#define GS_PIECES 1024
/* Lanes that sort, each with a private run of keys. */
#define GS_SORT_LANES 64

/* One camera's frame (uniform block, binding 0). */
struct gs_params {
    GS_VEC4(view0); /* rows of world->camera */
    GS_VEC4(view1);
    GS_VEC4(view2);
    GS_VEC4(eye);      /* camera centre; w: near */
    GS_VEC4(focal);    /* fx fy cx cy, pixel (0,0) centred at (0,0) */
    GS_VEC4(limit);    /* clamp of x/z (min, max) and y/z (min, max) in the Jacobian */
    GS_VEC4(crop_min); /* centres within are drawn; w unused */
    GS_VEC4(crop_max); /* w: squared factor on the standard deviations */
    GS_VEC4(bg);
    GS_UVEC4(size);  /* width, height (pixels of this eye), tiles across, tiles down */
    GS_UVEC4(grid);  /* bins across, output row stride (pixels), output x of this eye, unused */
    GS_UVEC4(depth); /* key base (float bits), key shift, largest key (2^n - 1), unused */
};

/* Counters a frame leaves behind (storage buffer `ctl`), read by the host after it. */
#define GS_CTL_VISIBLE 0 /* slots in use of the current slice */
#define GS_CTL_FLAGS 1
#define GS_CTL_SPANS 2   /* room needed, largest over bands */
#define GS_CTL_ENTRIES 3
#define GS_CTL_PAIRS 4   /* (Gaussian, tile) pairs blended */
#define GS_CTL_SUM 5     /* visible over all slices */
#define GS_CTL_SPAN_SUM 6
#define GS_CTL_ENTRIES_NOW 7 /* of this band (wide) */
#define GS_CTL_SLICE 8   /* first of the slices' key bounds */
#define GS_CTL_WORDS 128
/* Reasons to draw the frame again. */
#define GS_FLAG_SPANS 1u   /* span buffer too small */
#define GS_FLAG_ENTRIES 2u /* bin lists too small */
#define GS_FLAG_LOOP 4u    /* a kernel's loop was cut short by the driver */
#define GS_FLAG_SLICE 8u   /* a depth slice holds more than its capacity */

#define GS_MAX_SLICES 100

struct gs_project_push {
    uint count;     /* Gaussians of this chunk */
    uint block;     /* index of the chunk's first block */
    uint capacity;  /* slots there are; of slices.comp: most a slice may hold */
    uint slice;     /* index, if the scene is cut into slices */
};

struct gs_scan_push {
    uint count;
    uint total_at; /* ctl word that gets the total; ~0 = none */
    uint most;     /* the total is cut to this, and `flag` set in ctl */
    uint flag;
};

struct gs_sort_push {
    uint shift; /* of the digit in the key */
};

struct gs_spans_push {
    uint room;            /* spans */
    uint row0, row1;      /* tile rows of this band [row0, row1) */
    uint lanes;           /* that share the depth order */
};

struct gs_bin_push {
    uint bins;  /* of this band */
    uint lanes;
};

struct gs_blend_push {
    uint row0, rows;  /* tile rows of this band */
    uint step;        /* threads of a CPU driver; see blend.comp */
    uint room;        /* entries */
};

struct gs_pack_push {
    uint width, height; /* of the result */
};

/* ---- QUEEN's frames (gs/queen_gpu.c) ---- */

/* Invocations of a group of queen_*.comp. */
#define GS_QUEEN_GROUP 64

struct gs_queen_layer_push {
    uint rows;
    uint x_stride;       /* words */
    uint stride, offset; /* vec4 from one row of the result to the next; of the first in a row */
};

struct gs_queen_place_push {
    uint rows;
    uint stride, offset; /* floats, of the result */
    uint from_stride, from;
};

struct gs_queen_rows_push {
    uint rows;
};

struct gs_queen_gate_push {
    uint rows;
    float temperature, low, high;
};

struct gs_queen_pack_push {
    uint first, count; /* rows of this chunk in the order of the packed scene */
};

#endif

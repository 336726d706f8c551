/* Private to the recorder (pool.c, rec.c, dispatch.c, trace.c): what ops go through op.h for. */
#ifndef NN_PRIVATE_H
#define NN_PRIVATE_H

#include "vk/nn/op.h"

enum { NN_MAX_DEPTH = 64, NN_MAX_OPS = 16, NN_CHECK_SLOTS = 256 };

/* ---- pool.c: first fit over a few device buffers, decided while recording ----------------- */

struct nn_block {
    uint64_t offset, size; /* in its piece */
    uint32_t depth;        /* of the scope that gives it back */
};

struct nn_piece {
    struct vk_buf buf;       /* zeroed in a dry run */
    uint64_t size, extent;   /* extent: the end of the highest block there ever was */
    struct nn_block *blocks; /* in use, by offset */
    size_t count, room;
};

struct nn_memory {
    struct vk_device *dev; /* NULL: nothing is allocated, only counted */
    bool dry;
    uint64_t hint, limit;
    struct nn_piece **pieces;
    size_t count;
};

void nn_pool_finish(struct nn_memory *p);
void nn_pool_reset(struct nn_memory *p); /* no block is in use; pieces are kept */
int nn_pool_alloc(struct nn_memory *p, uint64_t bytes, uint32_t depth, nn_tensor *t);
/* Gives back all blocks deeper than depth. */
void nn_pool_pop(struct nn_memory *p, uint32_t depth);
/* The block that holds t, or NULL. */
struct nn_block *nn_pool_find(struct nn_memory *p, nn_tensor t, struct nn_piece **piece);
void nn_pool_free(struct nn_memory *p, nn_tensor t);
uint64_t nn_pool_extent(const struct nn_memory *p);
uint64_t nn_pool_reserved(const struct nn_memory *p);

/* ---- recorder ---------------------------------------------------------------------------- */

struct nn_traced {
    char *name;
    nn_tensor shape; /* its values as f32, packed, in buf */
    struct vk_buf buf;
};

struct nn_checked {
    char *name;
    nn_tensor shape;
};

struct nn_rec {
    struct vk_device *dev;
    struct nn_rec_opts opts;
    struct vk_cmd *cmd, *prep; /* the recording; the packing of weights before it */
    bool packing;              /* dispatches go to prep */
    bool prep_open, submitted;
    bool recording;
    uint64_t ticket;
    uint64_t serial; /* of this recording, unique in the process */
    int code;        /* sticky failure */
    char error[1024];
    struct nn_memory pool;
    struct nn_cost cost;
    uint32_t depth;
    char scope_name[NN_MAX_DEPTH][48];
    const char *op[NN_MAX_OPS];
    nn_scope op_scope[NN_MAX_OPS];
    uint32_t op_depth;
    nn_tensor into; /* where the next op's result goes; null = anywhere */
    struct nn_cache *cache, *own_cache;
    struct nn_store *bench_store; /* of nn_bench_input */
    struct nn_traced *traced;
    size_t traced_count, traced_room;
    struct nn_checked *checked;
    size_t checked_count, checked_room;
    struct vk_buf *check_bufs; /* NN_CHECK_SLOTS each */
    size_t check_buf_count;
};

/* True while nothing has failed. */
bool nn_ready(struct nn_rec *r);
/* Stores fv_error() as the failure. */
void nn_fail_code(struct nn_rec *r, int code);

/* cache.c */
void nn_cache_filled(struct nn_cache *c, uint64_t serial);

/* trace.c, check.c */
void nn_trace_reset(struct nn_rec *r);
int nn_trace_report(struct nn_rec *r);
void nn_check_reset(struct nn_rec *r);
int nn_check_report(struct nn_rec *r);

#endif

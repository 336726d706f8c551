/* The pool of activations: a few device buffers ("pieces"), blocks in them by first fit.
 *
 * All of it is decided while recording: the device runs what is recorded in order, with barriers
 * where ranges meet, so a block given back may be handed out at once. The same requests give the
 * same offsets, so a dry run's extent is what a real one needs when its first piece is that large. */
#include "vk/nn/private.h"
#include "vk/base/array.h"

#include <stdlib.h>
#include <string.h>

enum { PIECE_BYTES = 32 << 20 };

static uint64_t round_up(uint64_t bytes)
{
    return (bytes + NN_ALIGN - 1) / NN_ALIGN * NN_ALIGN;
}

void nn_pool_finish(struct nn_memory *p)
{
    for (size_t i = 0; i < p->count; i++) {
        vk_buf_destroy(&p->pieces[i]->buf);
        free(p->pieces[i]->blocks);
        free(p->pieces[i]);
    }
    free(p->pieces);
    p->pieces = NULL;
    p->count = 0;
}

void nn_pool_reset(struct nn_memory *p)
{
    for (size_t i = 0; i < p->count; i++)
        p->pieces[i]->count = p->pieces[i]->extent = 0;
}

uint64_t nn_pool_extent(const struct nn_memory *p)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < p->count; i++)
        sum += p->pieces[i]->extent;
    return sum;
}

uint64_t nn_pool_reserved(const struct nn_memory *p)
{
    uint64_t sum = 0;
    for (size_t i = 0; !p->dry && i < p->count; i++)
        sum += p->pieces[i]->size;
    return sum;
}

static uint64_t piece_size(const struct nn_memory *p, uint64_t bytes)
{
    uint64_t most = p->dev ? nn_tensor_max(p->dev) : UINT64_C(1) << 31;
    uint64_t size = p->dry ? most : PIECE_BYTES, have = nn_pool_reserved(p);
    if (!p->dry && p->hint > have)
        size = p->hint - have;
    else if (!p->dry && have / 4 > size)
        size = have / 4; /* so that there are never many */
    size = size > most ? most : size;
    if (p->limit && !p->dry && have + size > p->limit)
        size = p->limit > have ? p->limit - have : 0;
    return round_up(size > bytes ? size : bytes);
}

static int new_piece(struct nn_memory *p, uint64_t bytes)
{
    struct nn_piece **list = realloc(p->pieces, (p->count + 1) * sizeof *list);
    if (!list)
        return fv_fail(FV_ENOMEM, "out of memory");
    p->pieces = list;
    struct nn_piece *piece = calloc(1, sizeof *piece);
    if (!piece)
        return fv_fail(FV_ENOMEM, "out of memory");
    piece->size = piece_size(p, bytes);
    if (p->limit && !p->dry && nn_pool_reserved(p) + bytes > p->limit) {
        free(piece);
        return fv_fail(FV_EGPUMEM,
                       "%.1f MiB more are needed while %.1f MiB are held; the limit is %.1f MiB "
                       "(allow more memory, or work in smaller tiles)",
                       (double)bytes / 1048576, (double)nn_pool_reserved(p) / 1048576,
                       (double)p->limit / 1048576);
    }
    int rc = 0;
    if (!p->dry) {
        rc = vk_buf_create_large(&piece->buf, p->dev, piece->size, VK_BUF_DEVICE, "activations");
        if (rc == FV_EGPUMEM && piece->size > bytes) { /* what was asked alone may fit */
            piece->size = round_up(bytes);
            rc =
                vk_buf_create_large(&piece->buf, p->dev, piece->size, VK_BUF_DEVICE, "activations");
        }
    }
    if (rc < 0) {
        free(piece);
        return rc;
    }
    p->pieces[p->count++] = piece;
    return 0;
}

/* Index at which a block of size would go and where it would begin; false: no gap is that large. */
static bool find_gap(const struct nn_piece *piece, uint64_t size, size_t *at, uint64_t *offset)
{
    uint64_t end = 0;
    for (size_t i = 0; i <= piece->count; i++) {
        uint64_t next = i < piece->count ? piece->blocks[i].offset : piece->size;
        if (next - end >= size) {
            *at = i;
            *offset = end;
            return true;
        }
        end = i < piece->count ? next + piece->blocks[i].size : end;
    }
    return false;
}

static int insert(struct nn_piece *piece, size_t at, struct nn_block b)
{
    FV_TRY(fv_grow(&piece->blocks, &piece->room, piece->count, sizeof *piece->blocks));
    memmove(piece->blocks + at + 1, piece->blocks + at, (piece->count - at) * sizeof b);
    piece->blocks[at] = b;
    piece->count++;
    if (b.offset + b.size > piece->extent)
        piece->extent = b.offset + b.size;
    return 0;
}

/* In a dry run tensors have no buffer; their piece is told by offsets no buffer reaches. */
static uint64_t dry_base(size_t piece)
{
    return (uint64_t)piece << 40;
}

int nn_pool_alloc(struct nn_memory *p, uint64_t bytes, uint32_t depth, nn_tensor *t)
{
    uint64_t size = round_up(bytes), offset = 0;
    size_t at = 0, i = 0;
    while (i < p->count && !find_gap(p->pieces[i], size, &at, &offset))
        i++;
    if (i == p->count) {
        FV_TRY(new_piece(p, size));
        at = 0;
        offset = 0;
    }
    FV_TRY(insert(p->pieces[i], at, (struct nn_block){offset, size, depth}));
    t->buf = p->dry ? NULL : &p->pieces[i]->buf;
    t->offset = offset + (p->dry ? dry_base(i) : 0);
    return 0;
}

void nn_pool_pop(struct nn_memory *p, uint32_t depth)
{
    for (size_t i = 0; i < p->count; i++) {
        struct nn_piece *piece = p->pieces[i];
        size_t n = 0;
        for (size_t k = 0; k < piece->count; k++)
            if (piece->blocks[k].depth <= depth)
                piece->blocks[n++] = piece->blocks[k];
        piece->count = n;
    }
}

struct nn_block *nn_pool_find(struct nn_memory *p, nn_tensor t, struct nn_piece **out)
{
    for (size_t i = 0; i < p->count; i++) {
        struct nn_piece *piece = p->pieces[i];
        uint64_t at = t.offset;
        if (p->dry ? t.buf || at >> 40 != i : t.buf != &piece->buf)
            continue;
        at -= p->dry ? dry_base(i) : 0;
        for (size_t k = 0; k < piece->count; k++) {
            struct nn_block *b = &piece->blocks[k];
            if (at >= b->offset && at - b->offset < b->size) {
                *out = piece;
                return b;
            }
        }
    }
    return NULL;
}

void nn_pool_free(struct nn_memory *p, nn_tensor t)
{
    struct nn_piece *piece;
    struct nn_block *b = nn_pool_find(p, t, &piece);
    if (!b)
        return;
    size_t k = (size_t)(b - piece->blocks);
    memmove(b, b + 1, (piece->count - k - 1) * sizeof *b);
    piece->count--;
}

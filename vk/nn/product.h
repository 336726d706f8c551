/* Private to vk/nn/: products of matrices whose right operand is in panels of columns,
 * [batch][panel][depth][lane] fours of columns, of 16-bit types for register tiles (nn_in_pairs)
 * [batch][panel][depth / 2][lane][2] (product.c). What a product is made with:
 *
 *     struct nn_tile tile = nn_tile_for(r, rows);        // decides the width of panels
 *     nn_panel_shape(shape, nn_lead(w, 0, 5), tile.lanes);
 *     ... p.b of that shape, filled by nn_pack_panels or a kernel of one's own ...
 *     p.a = nn_dense(r, nn_pad_last(r, x)), p.out = nn_target_for(r, y);
 *     nn_multiply(r, &p, tile);
 *     nn_finish_target(r, y, p.out); */
#ifndef NN_PRODUCT_H
#define NN_PRODUCT_H

#include "vk/nn/op.h"

static inline uint32_t nn_up(uint32_t n, uint32_t to)
{
    return (n + to - 1) / to * to;
}

/* out [batch.., rows, columns] = a [batch.., rows, depth] times the transpose of b [batch..,
 * columns, depth]; three batch axes, given by their strides where operands repeat. */
struct nn_product {
    nn_tensor a, b; /* b: panels */
    nn_tensor add, gate, residual, out;
    uint32_t batch[3], rows, columns, depth; /* columns and depth are multiples of four */
    uint32_t a_batch[3], b_batch[3], add_batch[3], a_row, add_row, gate_run;
    float scale;
    struct nn_activation act;
    struct nn_head_norm heads; /* as nn_linear has it; weights packed */
    uint32_t head_panels;      /* nn_heads_panels, where the kernel is to end with it; gate and residual null */
};

/* A panel is 4 * lanes columns. */
struct nn_tile {
    const char *name;
    uint32_t lanes, rows;
    bool shared; /* tiles in shared memory: no subgroup of a certain size is needed */
};

/* The kernel for so many rows of results. */
struct nn_tile nn_tile_for(const struct nn_rec *r, uint32_t rows);
uint32_t nn_panels_of(uint32_t columns, uint32_t lanes);
bool nn_in_pairs(struct nn_tile tile, enum nn_dtype dtype);
/* [batch, panels, padded depth, 4 lanes] of b [z0, z1, z2, columns, depth]. */
void nn_panel_shape(uint32_t shape[4], nn_tensor b, uint32_t lanes);
/* b, of any strides, into panels. */
void nn_pack_panels(struct nn_rec *r, nn_tensor to, nn_tensor b, struct nn_tile tile);
/* matrix.c: a matrix of codes in panels, [1, panels, depth, 4 lanes]; of the pool, or kept. */
struct nn_matrix;
nn_tensor nn_matrix_panels(struct nn_rec *r, const struct nn_matrix *m, struct nn_tile tile);
/* Of a plain one, whose panels are `plain`, with the low-rank branch added: into `to`. */
void nn_matrix_add_low_rank(struct nn_rec *r, nn_tensor to, nn_tensor plain, const struct nn_matrix *m,
                            struct nn_tile tile);
/* heads.c: whether nn_linear's `heads` are right; how many panels a workgroup makes where the kernel can end
 * with the norm (0: it cannot, or had better not); the norm after the product. */
bool nn_heads_ok(struct nn_rec *r, const struct nn_linear_opts *o, uint32_t columns);
uint32_t nn_heads_panels(struct nn_rec *r, const struct nn_product *p, struct nn_tile tile);
void nn_norm_heads(struct nn_rec *r, const struct nn_product *p);
/* matrix_few.c: whether codes had better be taken as they are, and the product so. */
bool nn_few_rows(const struct nn_rec *r, const struct nn_matrix *w, uint32_t rows);
void nn_multiply_few(struct nn_rec *r, const struct nn_product *p, const struct nn_matrix *w);
/* matrix_int8.c: the product of a and 4-bit codes, a rounded to 8 bits; x: a, without filling. */
void nn_multiply_int8(struct nn_rec *r, const struct nn_product *p, const struct nn_matrix *w, nn_tensor x);
/* Parts such that results fit a binding, and operands where that is possible. */
void nn_multiply(struct nn_rec *r, const struct nn_product *p, struct nn_tile tile);
/* t with zeros after its last axis up to a multiple of four. */
nn_tensor nn_pad_last(struct nn_rec *r, nn_tensor t);
/* Where the kernel writes: y itself, or a padded tensor that nn_finish_target copies from. */
nn_tensor nn_target_for(struct nn_rec *r, nn_tensor y);
void nn_finish_target(struct nn_rec *r, nn_tensor y, nn_tensor target);

#endif

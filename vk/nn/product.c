/* Products of matrices (product.h): shaders/nn/matmul.comp over a right operand that
 * shaders/nn/matmul_pack.comp, or whoever makes it, has brought into panels of columns.
 *
 * Kernels write fours of columns, so rows of results, residuals and gates whose length is no
 * multiple of four go through padded copies; so does a left operand with such rows. */
#include "vk/nn/product.h"
#include "shaders/nn/params.h"
#include "shaders/nn/matmul_params.h"
#include "vk/nn/tune.h"

#include <stdio.h>
#include <string.h>

enum { PACK_GROUP = 64, MAX_GROUPS = 65535 };

/* ---- kernels ----------------------------------------------------------------------------- */

static const struct nn_tile tiles[] = {
    {"4x4", 4, 4, false},    {"4x16", 4, 16, false}, {"8x4", 8, 4, false},
    {"8x24", 8, 24, false},  {"16x4", 16, 4, false}, {"16x32", 16, 32, false},
    {"tiled", 16, 64, true},
};

/* The tile height that makes the least work, a tile costing something beyond its rows (fetching b).
 * Where shared tiles are the choice, register tiles still serve few rows. */
struct nn_tile nn_tile_for(const struct nn_rec *r, uint32_t rows)
{
    const struct nn_tile *best = NULL;
    uint64_t least = UINT64_MAX;
    bool shared = nn_choice_for(r).kernel == NN_KERNEL_SHARED;
    if (rows <= 8 && !nn_kernel_asked(r) && nn_has_lanes(r))
        shared = false;
    for (size_t i = 0; i < sizeof tiles / sizeof *tiles; i++) {
        uint64_t n = (rows + (uint64_t)tiles[i].rows - 1) / tiles[i].rows;
        uint64_t cost = n * (tiles[i].rows + 6);
        bool fits = tiles[i].shared == shared && (shared || tiles[i].lanes == nn_lanes(r));
        if (fits && cost < least) {
            least = cost;
            best = &tiles[i];
        }
    }
    return *best;
}

/* ---- packing ----------------------------------------------------------------------------- */

uint32_t nn_panels_of(uint32_t columns, uint32_t lanes)
{
    return (columns + 4 * lanes - 1) / (4 * lanes);
}

bool nn_in_pairs(struct nn_tile tile, enum nn_dtype dtype)
{
    return !tile.shared && nn_dtype_bytes(dtype) == 2;
}

/* b [z0, z1, z2, columns, depth] of any strides -> to [z, panel, depth, lane, 4]. */
void nn_pack_panels(struct nn_rec *r, nn_tensor to, nn_tensor b, struct nn_tile tile)
{
    uint32_t lanes = tile.lanes;
    uint32_t columns = b.shape[3], depth = b.shape[4], padded = nn_up(depth, 4);
    uint32_t panels = nn_panels_of(columns, lanes);
    uint32_t batches = b.shape[0] * b.shape[1] * b.shape[2], skip = nn_bind_skip(b, 0);
    bool fours = b.stride[3] == 1 && columns % 4 == 0 && skip % 4 == 0 && b.stride[4] % 4 == 0;
    for (uint32_t i = 0; i < 3; i++)
        fours = fours && (b.shape[i] == 1 || b.stride[i] % 4 == 0);
    uint64_t count = (uint64_t)batches * panels * padded * lanes, size = nn_dtype_bytes(to.dtype);
    uint64_t part = nn_storage_max(r) / (4 * size) / NN_ALIGN * NN_ALIGN;
    struct nn_matmul_pack_push push = {.columns = columns,
                                       .depth = depth,
                                       .padded_depth = padded,
                                       .panels = panels,
                                       .batch_shape = {b.shape[1], b.shape[2]},
                                       .batch_stride = {b.stride[0], b.stride[1], b.stride[2]},
                                       .column_stride = b.stride[3],
                                       .depth_stride = b.stride[4],
                                       .base = skip};
    for (uint64_t at = 0; at < count; at += part) {
        uint64_t n = count - at < part ? count - at : part;
        push.first = (uint32_t)at;
        push.count = (uint32_t)n;
        nn_dispatch(r, &(struct nn_call){.shader = "nn/matmul_pack",
                                         .spec = {PACK_GROUP, b.dtype, lanes, fours, nn_in_pairs(tile, b.dtype)},
                                         .nspec = 5,
                                         .bind = {{.t = b, .how = fours ? NN_WORDS4 : NN_WORDS1},
                                                  {to, NN_STORAGE, 4 * at, 4 * n}},
                                         .nbind = 2,
                                         .push = &push,
                                         .push_size = sizeof push,
                                         .groups = (n + PACK_GROUP - 1) / PACK_GROUP,
                                         .bytes = (double)(nn_bytes(b) + 4 * size * count) *
                                                  (double)n / (double)count});
    }
}

/* [batch, panels, padded depth, 4 lanes] */
void nn_panel_shape(uint32_t shape[4], nn_tensor b, uint32_t lanes)
{
    shape[0] = b.shape[0] * b.shape[1] * b.shape[2];
    shape[1] = nn_panels_of(b.shape[3], lanes);
    shape[2] = nn_up(b.shape[4], 4);
    shape[3] = 4 * lanes;
}

/* ---- multiplying ------------------------------------------------------------------------- */

/* What one dispatch does. With one batch of several, or with rows or panels left out, operands are
 * bound from where it begins and their batch strides do not count. */
struct part {
    uint32_t batch, batches, row, rows, panel, panels;
};

static uint64_t batch_offset(const struct nn_product *p, uint32_t batch, const uint32_t *stride)
{
    uint32_t z1 = batch / p->batch[2];
    return (uint64_t)(z1 / p->batch[1]) * stride[0] + (uint64_t)(z1 % p->batch[1]) * stride[1] +
           (uint64_t)(batch % p->batch[2]) * stride[2];
}

/* Bound as far as its own end, so that a part's binding is no longer than it must be. */
static struct nn_binding from(nn_tensor t, enum nn_access how, uint64_t first, uint64_t count)
{
    return (struct nn_binding){t, how, first, nn_is_null(t) ? 0 : count};
}

static void multiply_part(struct nn_rec *r, const struct nn_product *p, struct nn_tile tile,
                          const struct part *d)
{
    char variant[24];
    bool alone = d->batches == 1;
    uint32_t panel_fours = p->depth * tile.lanes;
    uint64_t out = ((uint64_t)d->batch * p->rows + d->row) * p->columns;
    uint64_t outs = (uint64_t)d->batches * d->rows * p->columns;
    uint64_t a = 0, b = 0, add = 0, as = 0, bs = 0, adds = 0;
    if (alone) {
        a = batch_offset(p, d->batch, p->a_batch) + (uint64_t)d->row * p->a_row;
        as = (uint64_t)(d->rows - 1) * p->a_row + p->depth;
        b = 4 * (batch_offset(p, d->batch, p->b_batch) + (uint64_t)d->panel * panel_fours);
        bs = 4ull * d->panels * panel_fours;
        add = batch_offset(p, d->batch, p->add_batch) + (uint64_t)d->row * p->add_row;
        adds = (uint64_t)(d->rows - 1) * p->add_row + p->columns;
    }
    struct nn_matmul_push push = {.rows = d->rows,
                                  .columns = p->columns / 4,
                                  .depth = p->depth / 4,
                                  .row = d->row,
                                  .batch = alone ? 0 : d->batch,
                                  .panel = d->panel,
                                  .batch_shape = {p->batch[1], p->batch[2]},
                                  .a_row = p->a_row,
                                  .add_row = p->add_row,
                                  .gate_run = p->gate_run,
                                  .a_base = nn_bind_skip(p->a, a),
                                  .b_base = nn_bind_skip(p->b, b) / 4,
                                  .scale = p->scale,
                                  .act_a = p->act.a,
                                  .act_b = p->act.b,
                                  .out_base = nn_bind_skip(p->out, out)};
    memcpy(push.a_batch, p->a_batch, sizeof push.a_batch);
    memcpy(push.b_batch, p->b_batch, sizeof push.b_batch);
    memcpy(push.add_batch, p->add_batch, sizeof push.add_batch);
    if (!nn_is_null(p->add))
        push.add_base = nn_bind_skip(p->add, add);
    if (!nn_is_null(p->gate))
        push.gate_base = nn_bind_skip(p->gate, 0);
    if (!nn_is_null(p->residual))
        push.residual_base = nn_bind_skip(p->residual, out);
    bool bf16 = p->b.dtype == NN_BF16, pairs = nn_in_pairs(tile, p->b.dtype);
    uint32_t each = p->head_panels ? p->head_panels : 1; /* panels of a workgroup */
    nn_tensor gate = p->gate, residual = p->residual;
    if (p->head_panels) {
        gate = p->heads.weight[0];
        residual = p->heads.weight[1];
        push.gate_base = nn_bind_skip(gate, 0);
        push.residual_base = nn_is_null(residual) ? 0 : nn_bind_skip(residual, 0);
        push.head_run = p->heads.run / 4;
        push.head_columns = nn_is_null(residual) ? push.head_run : 2 * push.head_run;
        push.head_eps = p->heads.eps;
    }
    snprintf(variant, sizeof variant, "%s%s%s", tile.name, bf16 ? "b" : pairs ? "h" : "",
             p->head_panels ? "_heads" : "");
    double part = (double)d->batches * d->rows;
    nn_dispatch(
        r,
        &(struct nn_call){
            .shader = "nn/matmul",
            .variant = variant,
            .spec = {p->a.dtype, p->b.dtype, p->out.dtype, p->act.act, p->add.dtype, gate.dtype,
                     residual.dtype, pairs && p->depth / 4 % NN_PAIRS_STEP,
                     p->head_panels ? p->heads.weight[0].shape[0] / 4 : 0, each},
            .nspec = p->head_panels ? 10 : 8,
            .subgroup = tile.shared ? 0 : tile.lanes,
            .ssbo = nn_choice_for(r).ssbo,
            .bind = {from(p->a, NN_READ4, a, as),
                     from(p->b, pairs ? NN_READ_UVEC4 : bf16 ? NN_WORDS4 : NN_READ4, b, bs),
                     from(p->add, NN_WORDS4, add, adds), from(gate, NN_WORDS4, 0, 0),
                     p->head_panels ? from(residual, NN_WORDS4, 0, 0) : from(residual, NN_WORDS4, out, outs),
                     from(p->out, NN_STORAGE, out, outs)},
            .nbind = 6,
            .push = &push,
            .push_size = sizeof push,
            .groups = (d->panels + each - 1) / each,
            .groups_y = (d->rows + tile.rows - 1) / tile.rows,
            .groups_z = d->batches,
            .flops =
                2.0 * part * p->columns * p->depth * d->panels / nn_panels_of(p->columns, tile.lanes),
        });
}

void nn_multiply(struct nn_rec *r, const struct nn_product *p, struct nn_tile tile)
{
    uint64_t most = nn_storage_max(r) - NN_ALIGN;
    uint32_t batches = p->batch[0] * p->batch[1] * p->batch[2];
    uint32_t panels = nn_panels_of(p->columns, tile.lanes);
    uint64_t row_bytes = (uint64_t)p->columns * nn_dtype_bytes(p->out.dtype);
    if (!nn_is_null(p->residual) && nn_dtype_bytes(p->residual.dtype) == 4)
        row_bytes = 4ull * p->columns;
    uint64_t panel_bytes = 4ull * p->depth * tile.lanes * nn_dtype_bytes(p->b.dtype);
    uint64_t together = most / (row_bytes * p->rows);
    if (nn_bytes(p->a) > most || nn_bytes(p->b) > most ||
        (!nn_is_null(p->add) && nn_bytes(p->add) > most))
        together = 1;
    struct part d = {.batches = together < 1            ? 1
                                : together > MAX_GROUPS ? MAX_GROUPS
                                                        : (uint32_t)together};
    uint64_t rows = most / row_bytes / tile.rows * tile.rows;
    if (d.batches > 1 || rows > (uint64_t)MAX_GROUPS * tile.rows)
        rows = (uint64_t)MAX_GROUPS * tile.rows;
    uint64_t wide = d.batches > 1 ? panels : most / panel_bytes;
    if (!rows || !wide) {
        nn_fail(r, FV_EUNSUPPORTED, "rows of %u and %u elements are too long for this device",
                p->depth, p->columns);
        return;
    }
    uint32_t step = d.batches;
    for (d.batch = 0; d.batch < batches; d.batch += step)
        for (d.row = 0; d.row < p->rows; d.row += d.rows) {
            d.batches = batches - d.batch < step ? batches - d.batch : step;
            d.rows = p->rows - d.row < rows ? p->rows - d.row : (uint32_t)rows;
            for (d.panel = 0; d.panel < panels; d.panel += d.panels) {
                d.panels = panels - d.panel < wide ? panels - d.panel : (uint32_t)wide;
                multiply_part(r, p, tile, &d);
            }
        }
}

/* ---- operands ---------------------------------------------------------------------------- */

nn_tensor nn_pad_last(struct nn_rec *r, nn_tensor t)
{
    uint32_t none[NN_MAX_RANK] = {0}, after[NN_MAX_RANK] = {0};
    if (nn_failed(r) || nn_is_null(t) || t.shape[t.rank - 1] % 4 == 0)
        return t;
    after[t.rank - 1] = 4 - t.shape[t.rank - 1] % 4;
    return nn_pad(r, t, none, after, NN_PAD_ZERO, 0);
}

nn_tensor nn_target_for(struct nn_rec *r, nn_tensor y)
{
    uint32_t shape[NN_MAX_RANK];
    if (nn_failed(r) || nn_is_null(y) || y.shape[y.rank - 1] % 4 == 0)
        return y;
    memcpy(shape, y.shape, sizeof shape);
    shape[y.rank - 1] = nn_up(shape[y.rank - 1], 4);
    return nn_new(r, y.dtype, y.rank, shape);
}

void nn_finish_target(struct nn_rec *r, nn_tensor y, nn_tensor target)
{
    if (!nn_failed(r) && y.shape[y.rank - 1] % 4)
        nn_copy(r, y, nn_slice(r, target, -1, 0, y.shape[y.rank - 1]));
}

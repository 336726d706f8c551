/* Linear layers and matrix products (nn.h): shaders/nn/matmul.comp over a right operand that
 * shaders/nn/matmul_pack.comp has brought into panels of columns. Weights are packed once
 * (nn_cached), other operands at every run, which costs one pass over them.
 *
 * Kernels write fours of columns, so rows of results, residuals and gates whose length is no
 * multiple of four go through padded copies; so does a left operand with such rows. */
#include "shaders/nn/params.h"
#include "shaders/nn/matmul_params.h"
#include "vk/nn/tune.h"

#include <stdio.h>
#include <string.h>

enum { PACK_GROUP = 64, MAX_GROUPS = 65535, MAX_DEPTH = 65000 * 4 };

/* out [batch.., rows, columns] = a [batch.., rows, depth] times the transpose of b [batch..,
 * columns, depth]; three batch axes, given by their strides where operands repeat. */
struct product {
    nn_tensor a, b; /* b is packed */
    nn_tensor add, gate, residual, out;
    uint32_t batch[3], rows, columns, depth; /* columns and depth are multiples of four */
    uint32_t a_batch[3], b_batch[3], add_batch[3], a_row, add_row, gate_run;
    float scale;
    struct nn_activation act;
};

static uint32_t up(uint32_t n, uint32_t to)
{
    return (n + to - 1) / to * to;
}

/* ---- kernels ----------------------------------------------------------------------------- */

/* A panel is 4 * lanes columns. */
struct tile {
    const char *name;
    uint32_t lanes, rows;
    bool shared; /* tiles in shared memory: no subgroup of a certain size is needed */
};

static const struct tile tiles[] = {
    {"4x4", 4, 4, false},    {"4x16", 4, 16, false}, {"8x4", 8, 4, false},
    {"8x24", 8, 24, false},  {"16x4", 16, 4, false}, {"16x32", 16, 32, false},
    {"tiled", 16, 64, true},
};

/* The tile height that makes the least work, a tile costing something beyond its rows (fetching b).
 * Where shared tiles are the choice, register tiles still serve few rows. */
static struct tile tile_for(const struct nn_rec *r, uint32_t rows)
{
    const struct tile *best = NULL;
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

static uint32_t panels_of(uint32_t columns, uint32_t lanes)
{
    return (columns + 4 * lanes - 1) / (4 * lanes);
}

/* b [z0, z1, z2, columns, depth] of any strides -> to [z, panel, depth, lane, 4]. */
static void pack(struct nn_rec *r, nn_tensor to, nn_tensor b, uint32_t lanes)
{
    uint32_t columns = b.shape[3], depth = b.shape[4], padded = up(depth, 4);
    uint32_t panels = panels_of(columns, lanes);
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
                                         .spec = {PACK_GROUP, b.dtype, lanes, fours},
                                         .nspec = 4,
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
static void packed_shape(uint32_t shape[4], nn_tensor b, uint32_t lanes)
{
    shape[0] = b.shape[0] * b.shape[1] * b.shape[2];
    shape[1] = panels_of(b.shape[3], lanes);
    shape[2] = up(b.shape[4], 4);
    shape[3] = 4 * lanes;
}

/* w [columns, depth]; an axis of length 1 may stand before. */
static nn_tensor five_axes(nn_tensor t)
{
    return nn_lead(t, 0, 5);
}

static nn_tensor pack_weight(struct nn_rec *r, nn_tensor w, uint32_t lanes)
{
    uint32_t shape[4];
    bool fresh;
    nn_tensor five = five_axes(w);
    packed_shape(shape, five, lanes);
    nn_tensor to = nn_cached(r, w, 0x6d6d0000u + lanes, w.dtype, 4, shape, &fresh);
    if (fresh && !nn_failed(r)) {
        pack(r, to, five, lanes);
        nn_cached_end(r);
    }
    return to;
}

/* ---- multiplying ------------------------------------------------------------------------- */

/* What one dispatch does. With one batch of several, or with rows or panels left out, operands are
 * bound from where it begins and their batch strides do not count. */
struct part {
    uint32_t batch, batches, row, rows, panel, panels;
};

static uint64_t batch_offset(const struct product *p, uint32_t batch, const uint32_t *stride)
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

static void multiply_part(struct nn_rec *r, const struct product *p, struct tile tile,
                          const struct part *d)
{
    char variant[16];
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
    bool bf16 = p->b.dtype == NN_BF16;
    snprintf(variant, sizeof variant, "%s%s", tile.name, bf16 ? "b" : "");
    double part = (double)d->batches * d->rows;
    nn_dispatch(
        r,
        &(struct nn_call){
            .shader = "nn/matmul",
            .variant = variant,
            .spec = {p->a.dtype, p->b.dtype, p->out.dtype, p->act.act, p->add.dtype, p->gate.dtype,
                     p->residual.dtype},
            .nspec = 7,
            .subgroup = tile.shared ? 0 : tile.lanes,
            .ssbo = nn_choice_for(r).ssbo,
            .bind = {from(p->a, NN_READ4, a, as), from(p->b, bf16 ? NN_WORDS4 : NN_READ4, b, bs),
                     from(p->add, NN_WORDS4, add, adds), from(p->gate, NN_WORDS4, 0, 0),
                     from(p->residual, NN_WORDS4, out, outs), from(p->out, NN_STORAGE, out, outs)},
            .nbind = 6,
            .push = &push,
            .push_size = sizeof push,
            .groups = d->panels,
            .groups_y = (d->rows + tile.rows - 1) / tile.rows,
            .groups_z = d->batches,
            .flops =
                2.0 * part * p->columns * p->depth * d->panels / panels_of(p->columns, tile.lanes),
        });
}

/* Parts such that results fit a binding, and operands where that is possible. */
static void multiply(struct nn_rec *r, const struct product *p, struct tile tile)
{
    uint64_t most = nn_storage_max(r) - NN_ALIGN;
    uint32_t batches = p->batch[0] * p->batch[1] * p->batch[2];
    uint32_t panels = panels_of(p->columns, tile.lanes);
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

/* t with zeros after its last axis up to a multiple of four. */
static nn_tensor pad_last(struct nn_rec *r, nn_tensor t)
{
    uint32_t none[NN_MAX_RANK] = {0}, after[NN_MAX_RANK] = {0};
    if (nn_failed(r) || nn_is_null(t) || t.shape[t.rank - 1] % 4 == 0)
        return t;
    after[t.rank - 1] = 4 - t.shape[t.rank - 1] % 4;
    return nn_pad(r, t, none, after, NN_PAD_ZERO, 0);
}

/* Where the kernel writes: y itself, or a padded tensor that `finish` copies from. */
static nn_tensor target_for(struct nn_rec *r, nn_tensor y)
{
    uint32_t shape[NN_MAX_RANK];
    if (nn_failed(r) || nn_is_null(y) || y.shape[y.rank - 1] % 4 == 0)
        return y;
    memcpy(shape, y.shape, sizeof shape);
    shape[y.rank - 1] = up(shape[y.rank - 1], 4);
    return nn_new(r, y.dtype, y.rank, shape);
}

static void finish(struct nn_rec *r, nn_tensor y, nn_tensor target)
{
    if (!nn_failed(r) && y.shape[y.rank - 1] % 4)
        nn_copy(r, y, nn_slice(r, target, -1, 0, y.shape[y.rank - 1]));
}

static bool vector_of(struct nn_rec *r, nn_tensor t, const char *name, uint32_t n)
{
    char text[NN_TEXT];
    if (nn_is_null(t) || (t.rank == 1 && t.shape[0] == n))
        return true;
    nn_fail(r, FV_EINVALID, "%s is %s, expected [%u]", name, nn_text(text, t), n);
    return false;
}

/* ---- ops --------------------------------------------------------------------------------- */

static bool linear_shapes(struct nn_rec *r, nn_tensor x, nn_tensor w,
                          const struct nn_linear_opts *o)
{
    char a[NN_TEXT], b[NN_TEXT];
    uint32_t n = w.shape[0], depth = x.shape[x.rank - 1];
    if (w.rank != 2 || w.shape[1] != depth || x.dtype == NN_I32 || w.dtype == NN_I32) {
        nn_fail(r, FV_EINVALID, "x is %s and w %s; expected [..., K] and [N, K]", nn_text(a, x),
                nn_text(b, w));
        return false;
    }
    uint64_t rows = nn_count(x) / depth, gates = nn_count(o->gate);
    nn_tensor y = x;
    y.shape[y.rank - 1] = n;
    if (!nn_is_null(o->residual) && !nn_same_shape(o->residual, y)) {
        nn_fail(r, FV_EINVALID, "residual is %s, the result %s", nn_text(a, o->residual),
                nn_text(b, y));
        return false;
    }
    if (!nn_is_null(o->gate) && (gates % n || rows % (gates / n))) {
        nn_fail(r, FV_EINVALID, "gate is %s for %llu rows of %u", nn_text(a, o->gate),
                (unsigned long long)rows, n);
        return false;
    }
    if (rows > UINT32_MAX || depth > MAX_DEPTH) {
        nn_fail(r, FV_EUNSUPPORTED, "%s is too large", nn_text(a, x));
        return false;
    }
    return vector_of(r, o->bias, "bias", n);
}

nn_tensor nn_linear(struct nn_rec *r, nn_tensor x, nn_tensor w, const struct nn_linear_opts *opts)
{
    struct nn_linear_opts o = opts ? *opts : (struct nn_linear_opts){0};
    if (!nn_op(r, "nn_linear", 2, (nn_tensor[]){x, w}))
        return (nn_tensor){0};
    if (!linear_shapes(r, x, w, &o))
        return nn_op_end(r, (nn_tensor){0});
    uint32_t n = w.shape[0], shape[NN_MAX_RANK];
    uint32_t rows = (uint32_t)(nn_count(x) / x.shape[x.rank - 1]);
    struct tile tile = tile_for(r, rows);
    memcpy(shape, x.shape, sizeof shape);
    shape[x.rank - 1] = n;
    nn_tensor y = nn_out(r, nn_result_dtype(x, o.dtype), x.rank, shape);
    nn_tensor gate = o.gate;
    if (!nn_is_null(gate))
        gate = nn_as(nn_dense_any(r, gate), 2, (uint32_t[]){(uint32_t)(nn_count(gate) / n), n});
    struct product p = {.a = nn_dense(r, pad_last(r, x)),
                        .b = pack_weight(r, w, tile.lanes),
                        .add = nn_dense_any(r, o.bias),
                        .gate = pad_last(r, gate),
                        .residual = nn_dense_any(r, pad_last(r, o.residual)),
                        .out = target_for(r, y),
                        .batch = {1, 1, 1},
                        .rows = rows,
                        .columns = up(n, 4),
                        .depth = up(w.shape[1], 4),
                        .a_row = up(w.shape[1], 4),
                        .scale = 1,
                        .act = o.act};
    p.gate_run = nn_is_null(gate) ? 1 : rows / gate.shape[0];
    if (!nn_failed(r))
        multiply(r, &p, tile);
    finish(r, y, p.out);
    return nn_op_end(r, y);
}

/* Of a batch axis, 0 where the operand repeats; t has five axes and is packed. */
static void batch_strides(uint32_t out[3], nn_tensor t)
{
    for (uint32_t i = 0; i < 3; i++)
        out[i] = t.shape[i] == 1 ? 0 : t.stride[i];
}

static bool matmul_shape(struct nn_rec *r, nn_tensor a, nn_tensor b, uint32_t *rank,
                         uint32_t shape[5])
{
    char s[NN_TEXT], t[NN_TEXT];
    nn_tensor fa = five_axes(a), fb = five_axes(b);
    bool ok = a.rank >= 2 && b.rank >= 2 && fa.shape[4] == fb.shape[4] && a.dtype != NN_I32 &&
              b.dtype != NN_I32;
    uint32_t full[5] = {0, 0, 0, fa.shape[3], fb.shape[3]};
    for (uint32_t i = 0; i < 3; i++) {
        ok = ok && (fa.shape[i] == fb.shape[i] || fa.shape[i] == 1 || fb.shape[i] == 1);
        full[i] = fa.shape[i] == 1 ? fb.shape[i] : fa.shape[i];
    }
    if (!ok) {
        nn_fail(r, FV_EINVALID, "%s times the transpose of %s", nn_text(s, a), nn_text(t, b));
        return false;
    }
    if (fa.shape[4] > MAX_DEPTH) {
        nn_fail(r, FV_EUNSUPPORTED, "a depth of %u is more than %u", fa.shape[4], MAX_DEPTH);
        return false;
    }
    *rank = a.rank > b.rank ? a.rank : b.rank;
    memcpy(shape, full + 5 - *rank, *rank * sizeof *shape);
    return true;
}

/* The addend with whole rows of fours, its other axes as they are. */
static nn_tensor addend(struct nn_rec *r, nn_tensor add, nn_tensor y)
{
    uint32_t shape[NN_MAX_RANK];
    if (nn_is_null(add) || nn_failed(r))
        return (nn_tensor){0};
    nn_expand(r, add, y.rank, y.shape); /* refuses what does not broadcast */
    memcpy(shape, add.shape, sizeof shape);
    shape[add.rank - 1] = y.shape[y.rank - 1];
    add = pad_last(r, nn_expand(r, add, add.rank, shape));
    return nn_failed(r) ? add : five_axes(nn_dense_any(r, add));
}

nn_tensor nn_matmul(struct nn_rec *r, nn_tensor a, nn_tensor b, const struct nn_matmul_opts *opts)
{
    struct nn_matmul_opts o = opts ? *opts : (struct nn_matmul_opts){0};
    uint32_t rank, shape[NN_MAX_RANK], packed[4];
    if (!nn_op(r, "nn_matmul", 2, (nn_tensor[]){a, b}))
        return (nn_tensor){0};
    if (o.trans_a)
        a = nn_transpose(r, a, -1, -2);
    if (!o.trans_b)
        b = nn_transpose(r, b, -1, -2);
    if (nn_failed(r) || !matmul_shape(r, a, b, &rank, shape))
        return nn_op_end(r, (nn_tensor){0});
    nn_tensor y = nn_out(r, nn_result_dtype(a, o.dtype), rank, shape), full = five_axes(y);
    struct tile tile = tile_for(r, full.shape[3]);
    nn_tensor fa = nn_dense(r, pad_last(r, a)), fb = five_axes(b), add = addend(r, o.add, y);
    packed_shape(packed, fb, tile.lanes);
    struct product p = {.b = nn_new(r, b.dtype, 4, packed),
                        .add = add,
                        .out = target_for(r, y),
                        .batch = {full.shape[0], full.shape[1], full.shape[2]},
                        .rows = full.shape[3],
                        .columns = up(full.shape[4], 4),
                        .depth = packed[2],
                        .a_row = packed[2],
                        .gate_run = 1,
                        .scale = o.scale == 0 ? 1 : o.scale};
    if (nn_failed(r))
        return nn_op_end(r, (nn_tensor){0});
    p.a = five_axes(fa);
    batch_strides(p.a_batch, p.a);
    uint32_t step = packed[1] * packed[2] * tile.lanes; /* fours of a batch of b */
    for (uint32_t i = 3; i-- > 0; step *= fb.shape[i])
        p.b_batch[i] = fb.shape[i] == 1 ? 0 : step;
    if (!nn_is_null(add)) {
        batch_strides(p.add_batch, add);
        p.add_row = add.shape[3] == 1 ? 0 : add.stride[3];
    }
    pack(r, p.b, fb, tile.lanes);
    multiply(r, &p, tile);
    finish(r, y, p.out);
    return nn_op_end(r, y);
}

/* p: rows, depth, columns. */
static void bench_linear(struct nn_rec *r, const struct nn_bench_row *row)
{
    const uint32_t *p = row->p;
    nn_linear(r, nn_bench_input(r, NN_F32, 2, p),
              nn_bench_input(r, row->dtype, NN_SHAPE(p[2], p[1])),
              &(struct nn_linear_opts){.bias = nn_bench_input(r, NN_F32, 1, p + 2)});
}

/* p: batches, rows, depth, columns. */
static void bench_matmul(struct nn_rec *r, const struct nn_bench_row *row)
{
    const uint32_t *p = row->p;
    nn_matmul(r, nn_bench_input(r, NN_F32, 3, p),
              nn_bench_input(r, row->dtype, NN_SHAPE(p[0], p[2], p[3])), NULL);
}

const struct nn_bench_row nn_bench_matmul[] = {
    {"linear", "256x1152x1152 f32", bench_linear, {256, 1152, 1152}, NN_F32, true},
    {"linear", "256x1152x4608 f32", bench_linear, {256, 1152, 4608}, NN_F32, true},
    {"linear", "256x4608x1152 f32", bench_linear, {256, 4608, 1152}, NN_F32, true},
    {"linear", "1024x1152x1152 f32", bench_linear, {1024, 1152, 1152}, NN_F32, true},
    {"linear", "1024x1152x4608 f32", bench_linear, {1024, 1152, 4608}, NN_F32, true},
    {"linear", "1024x4608x1152 f32", bench_linear, {1024, 4608, 1152}, NN_F32, true},
    {"linear", "4096x1152x1152 f32", bench_linear, {4096, 1152, 1152}, NN_F32, false},
    {"linear", "4096x1152x4608 f32", bench_linear, {4096, 1152, 4608}, NN_F32, false},
    {"linear", "4096x4608x1152 f32", bench_linear, {4096, 4608, 1152}, NN_F32, false},
    {"linear", "256x1152x1152 f16", bench_linear, {256, 1152, 1152}, NN_F16, false},
    {"linear", "256x1152x4608 f16", bench_linear, {256, 1152, 4608}, NN_F16, false},
    {"linear", "256x4608x1152 f16", bench_linear, {256, 4608, 1152}, NN_F16, false},
    {"linear", "1024x1152x1152 f16", bench_linear, {1024, 1152, 1152}, NN_F16, false},
    {"linear", "1024x1152x4608 f16", bench_linear, {1024, 1152, 4608}, NN_F16, false},
    {"linear", "1024x4608x1152 f16", bench_linear, {1024, 4608, 1152}, NN_F16, false},
    {"linear", "4096x1152x1152 f16", bench_linear, {4096, 1152, 1152}, NN_F16, false},
    {"linear", "4096x1152x4608 f16", bench_linear, {4096, 1152, 4608}, NN_F16, false},
    {"linear", "4096x4608x1152 f16", bench_linear, {4096, 4608, 1152}, NN_F16, false},
    {"linear", "1024x1152x1152 bf16", bench_linear, {1024, 1152, 1152}, NN_BF16, false},
    {"linear", "1x1152x4608 f32", bench_linear, {1, 1152, 4608}, NN_F32, false},
    {"matmul", "4x512x512x512 f32", bench_matmul, {4, 512, 512, 512}, NN_F32, false},
    {0}};

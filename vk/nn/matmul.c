/* Linear layers and matrix products (nn.h) as products of a kind (product.h). Weights are packed
 * once (nn_cached), other operands at every run, which costs one pass over them. */
#include "vk/nn/matrix.h"
#include "vk/nn/product.h"

#include <string.h>

enum { MAX_DEPTH = 65000 * 4 };

/* w [columns, depth]; an axis of length 1 may stand before. */
static nn_tensor five_axes(nn_tensor t)
{
    return nn_lead(t, 0, 5);
}

/* Plain weights are kept in panels, a low-rank branch with them. */
static nn_tensor pack_weight(struct nn_rec *r, const struct nn_matrix *m, struct nn_tile tile)
{
    uint32_t shape[4], lanes = tile.lanes;
    bool fresh, more = !nn_is_null(m->down);
    nn_tensor five = five_axes(m->plain);
    nn_panel_shape(shape, five, lanes);
    uint32_t kind = (more ? 0x6d720000u : 0x6d6d0000u) + 2 * lanes + nn_in_pairs(tile, m->plain.dtype);
    nn_tensor to = nn_cached(r, m->plain, kind, m->plain.dtype, 4, shape, &fresh);
    if (fresh && !nn_failed(r)) {
        nn_tensor panels = more ? nn_new(r, m->plain.dtype, 4, shape) : to;
        nn_pack_panels(r, panels, five, tile);
        if (more)
            nn_matrix_add_low_rank(r, to, panels, m, tile);
        nn_cached_end(r);
    }
    return to;
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

static bool linear_shapes(struct nn_rec *r, nn_tensor x, uint32_t n, uint32_t depth,
                          const struct nn_linear_opts *o)
{
    char a[NN_TEXT], b[NN_TEXT];
    if (x.shape[x.rank - 1] != depth || x.dtype == NN_I32) {
        nn_fail(r, FV_EINVALID, "x is %s and w [%u, %u]; expected [..., K] and [N, K]",
                nn_text(a, x), n, depth);
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
    return vector_of(r, o->bias, "bias", n) && nn_heads_ok(r, o, n);
}

nn_tensor nn_linear(struct nn_rec *r, nn_tensor x, nn_tensor w, const struct nn_linear_opts *o)
{
    char text[NN_TEXT];
    struct nn_matrix m = {.plain = w};
    if (!nn_is_null(w) && (w.rank != 2 || w.dtype == NN_I32))
        return nn_fail(r, FV_EINVALID, "w is %s; expected [..., K] and [N, K]", nn_text(text, w));
    m.rows = w.shape[0];
    m.columns = w.shape[1];
    return nn_linear_matrix(r, x, &m, o);
}

nn_tensor nn_linear_matrix(struct nn_rec *r, nn_tensor x, const struct nn_matrix *w,
                           const struct nn_linear_opts *opts)
{
    struct nn_linear_opts o = opts ? *opts : (struct nn_linear_opts){0};
    bool plain = nn_is_null(w->codes);
    if (!nn_op(r, "nn_linear", 2, (nn_tensor[]){x, plain ? w->plain : w->codes}))
        return (nn_tensor){0};
    if (!linear_shapes(r, x, w->rows, w->columns, &o))
        return nn_op_end(r, (nn_tensor){0});
    uint32_t n = w->rows, depth = w->columns, shape[NN_MAX_RANK];
    uint32_t rows = (uint32_t)(nn_count(x) / depth);
    struct nn_tile tile = nn_tile_for(r, rows);
    memcpy(shape, x.shape, sizeof shape);
    shape[x.rank - 1] = n;
    nn_tensor y = nn_out(r, nn_result_dtype(x, o.dtype), x.rank, shape);
    nn_tensor gate = o.gate;
    if (!nn_is_null(gate))
        gate = nn_as(nn_dense_any(r, gate), 2, (uint32_t[]){(uint32_t)(nn_count(gate) / n), n});
    struct nn_product p = {.a = nn_dense(r, nn_pad_last(r, x)),
                           .add = nn_dense_any(r, o.bias),
                           .gate = nn_pad_last(r, gate),
                           .residual = nn_dense_any(r, nn_pad_last(r, o.residual)),
                           .out = nn_target_for(r, y),
                           .batch = {1, 1, 1},
                           .rows = rows,
                           .columns = nn_up(n, 4),
                           .depth = nn_up(depth, 4),
                           .a_row = nn_up(depth, 4),
                           .scale = 1,
                           .act = o.act,
                           .heads = o.heads};
    bool heads = !nn_is_null(o.heads.weight[0]);
    for (int i = 0; heads && i < 2; i++)
        p.heads.weight[i] = nn_dense_any(r, o.heads.weight[i]);
    p.heads.eps = o.heads.eps == 0 ? 1e-6f : o.heads.eps;
    bool int8 = nn_int8_asked(r) && w->code == NN_CODE_INT4;
    p.gate_run = nn_is_null(gate) ? 1 : rows / gate.shape[0];
    bool few = !int8 && !plain && nn_few_rows(r, w, rows);
    if (!int8 && !few)
        p.b = plain ? pack_weight(r, w, tile) : nn_matrix_panels(r, w, tile);
    if (heads && !int8 && !few && !nn_failed(r))
        p.head_panels = nn_heads_panels(r, &p, tile);
    if (!nn_failed(r) && int8)
        nn_multiply_int8(r, &p, w, x);
    else if (!nn_failed(r) && few)
        nn_multiply_few(r, &p, w);
    else if (!nn_failed(r))
        nn_multiply(r, &p, tile);
    if (heads && !p.head_panels)
        nn_norm_heads(r, &p);
    nn_finish_target(r, y, p.out);
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
    add = nn_pad_last(r, nn_expand(r, add, add.rank, shape));
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
    struct nn_tile tile = nn_tile_for(r, full.shape[3]);
    nn_tensor fa = nn_dense(r, nn_pad_last(r, a)), fb = five_axes(b), add = addend(r, o.add, y);
    nn_panel_shape(packed, fb, tile.lanes);
    struct nn_product p = {.b = nn_new(r, b.dtype, 4, packed),
                        .add = add,
                        .out = nn_target_for(r, y),
                        .batch = {full.shape[0], full.shape[1], full.shape[2]},
                        .rows = full.shape[3],
                        .columns = nn_up(full.shape[4], 4),
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
    nn_pack_panels(r, p.b, fb, tile);
    nn_multiply(r, &p, tile);
    nn_finish_target(r, y, p.out);
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

/* p: rows, depth, width, features of a head; norms by the product (0), by a pass (1), of copies (2), none (3). */
static void bench_heads(struct nn_rec *r, const struct nn_bench_row *row)
{
    const uint32_t *p = row->p;
    nn_tensor w = nn_bench_input(r, NN_F32, 1, p + 3);
    struct nn_linear_opts o = {.bias = nn_bench_input(r, NN_F32, NN_SHAPE(3 * p[2]))};
    if (p[4] < 2)
        o.heads = (struct nn_head_norm){{w, w}, p[2], 0, p[4]};
    nn_tensor weight = nn_bench_input(r, row->dtype, NN_SHAPE(3 * p[2], p[1]));
    nn_tensor y = nn_linear(r, nn_bench_input(r, NN_F32, 2, p), weight, &o);
    for (uint32_t i = 0; i < 2 && p[4] == 2; i++)
        nn_rms_norm(r, nn_reshape(r, nn_slice(r, y, 1, i * p[2], p[2]), 3, (uint32_t[]){p[0], p[2] / p[3], p[3]}),
                    &(struct nn_norm_opts){.weight = w});
}

/* p: batches, rows, depth, columns. */
static void bench_matmul(struct nn_rec *r, const struct nn_bench_row *row)
{
    const uint32_t *p = row->p;
    nn_matmul(r, nn_bench_input(r, NN_F32, 3, p),
              nn_bench_input(r, row->dtype, NN_SHAPE(p[0], p[2], p[3])), NULL);
}

#define HEADS(m, type, name)                                                                                       \
    {"qkv", #m "x1152x3456 " name, bench_heads, {m, 1152, 1152, 72, 3}, type, NN_BENCH_APART},                     \
        {"qkv", #m "x1152x3456 " name " heads", bench_heads, {m, 1152, 1152, 72, 0}, type, NN_BENCH_APART},        \
        {"qkv", #m "x1152x3456 " name " heads apart", bench_heads, {m, 1152, 1152, 72, 1}, type, NN_BENCH_APART},  \
        {"qkv", #m "x1152x3456 " name " heads copied", bench_heads, {m, 1152, 1152, 72, 2}, type, NN_BENCH_APART}

const struct nn_bench_row nn_bench_matmul[] = {
    {"linear", "256x1152x1152 f32", bench_linear, {256, 1152, 1152}, NN_F32, NN_BENCH_GEMM},
    {"linear", "256x1152x4608 f32", bench_linear, {256, 1152, 4608}, NN_F32, NN_BENCH_GEMM},
    {"linear", "256x4608x1152 f32", bench_linear, {256, 4608, 1152}, NN_F32, NN_BENCH_GEMM},
    {"linear", "1024x1152x1152 f32", bench_linear, {1024, 1152, 1152}, NN_F32, NN_BENCH_GEMM},
    {"linear", "1024x1152x4608 f32", bench_linear, {1024, 1152, 4608}, NN_F32, NN_BENCH_GEMM},
    {"linear", "1024x4608x1152 f32", bench_linear, {1024, 4608, 1152}, NN_F32, NN_BENCH_GEMM},
    {"linear", "4096x1152x1152 f32", bench_linear, {4096, 1152, 1152}, NN_F32, 0},
    {"linear", "4096x1152x4608 f32", bench_linear, {4096, 1152, 4608}, NN_F32, 0},
    {"linear", "4096x4608x1152 f32", bench_linear, {4096, 4608, 1152}, NN_F32, 0},
    {"linear", "256x1152x1152 f16", bench_linear, {256, 1152, 1152}, NN_F16, 0},
    {"linear", "256x1152x4608 f16", bench_linear, {256, 1152, 4608}, NN_F16, 0},
    {"linear", "256x4608x1152 f16", bench_linear, {256, 4608, 1152}, NN_F16, 0},
    {"linear", "1024x1152x1152 f16", bench_linear, {1024, 1152, 1152}, NN_F16, 0},
    {"linear", "1024x1152x4608 f16", bench_linear, {1024, 1152, 4608}, NN_F16, 0},
    {"linear", "1024x4608x1152 f16", bench_linear, {1024, 4608, 1152}, NN_F16, 0},
    {"linear", "4096x1152x1152 f16", bench_linear, {4096, 1152, 1152}, NN_F16, 0},
    {"linear", "4096x1152x4608 f16", bench_linear, {4096, 1152, 4608}, NN_F16, 0},
    {"linear", "4096x4608x1152 f16", bench_linear, {4096, 4608, 1152}, NN_F16, 0},
    {"linear", "1024x1152x1152 bf16", bench_linear, {1024, 1152, 1152}, NN_BF16, 0},
    {"linear", "1x1152x4608 f32", bench_linear, {1, 1152, 4608}, NN_F32, 0},
    HEADS(1024, NN_F16, "f16"), HEADS(4096, NN_F16, "f16"), HEADS(4096, NN_F32, "f32"),
    {"matmul", "4x512x512x512 f32", bench_matmul, {4, 512, 512, 512}, NN_F32, 0},
    {0}};

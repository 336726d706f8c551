/* fovea check of the quantiser: layers as deepcompressor quantises them, and Nunchaku's order in
 * memory, through the code fovea quantize runs. */
#include "app/check_nn.h"
#include "quant/quant.h"
#include "vk/base/half.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static float *room(struct check_case *k, size_t count)
{
    return fv_arena_alloc(&k->arena, (count + 1) * sizeof(float));
}

/* The relative 2-norm of the difference to what the file holds under this name. */
static int near(struct check_case *k, const char *name, const float *got, size_t count, double limit)
{
    struct check_array want;
    struct check_norms e = {.limit = limit};
    FV_TRY(check_input(k, name, &want));
    if (want.count != count) {
        check_fact(k->check, name, false, "%zu values, expected %zu", count, want.count);
        return 0;
    }
    check_norms_measure(&e, got, want.data, count);
    check_norms_row(k->check, name, &e);
    return 0;
}

static int same_codes(struct check_case *k, const char *name, const int8_t *got, size_t rows, size_t columns,
                      double least)
{
    struct check_array want;
    struct check_error e;
    FV_TRY(check_input(k, name, &want));
    if (want.count != rows * columns) {
        check_fact(k->check, name, false, "%zu codes, expected %zu", rows * columns, want.count);
        return 0;
    }
    double *a = fv_arena_alloc(&k->arena, (want.count + 1) * sizeof *a),
           *b = fv_arena_alloc(&k->arena, (want.count + 1) * sizeof *b);
    if (!a || !b)
        return FV_ENOMEM;
    for (size_t i = 0; i < want.count; i++) {
        a[i] = got[i];
        b[i] = want.data[i];
    }
    /* Where a value lies between two codes, the last bit of a float decides: one step. */
    check_measure(&e, a, b, NULL, want.count,
                  &(struct check_bounds){.absolute = 0.5, .least_good = least, .most = 1});
    e.width = columns;
    check_row(k->check, name, &e);
    return 0;
}

/* ---- a layer ------------------------------------------------------------------------------ */

enum { TRIED_MAX = 256 };
struct tried {
    struct check_case *k;
    float alpha_beta[TRIED_MAX][2], errors[TRIED_MAX], refined[TRIED_MAX];
    size_t smoothings, refinements, width;
    float *scales; /* [TRIED_MAX][width] */
};

static void on_try(void *ud, int stage, double alpha, double beta, const float *scales, double error)
{
    struct tried *t = ud;
    if (stage == 0 && t->smoothings < TRIED_MAX) {
        memcpy(t->scales + t->smoothings * t->width, scales, t->width * sizeof *scales);
        t->alpha_beta[t->smoothings][0] = (float)alpha;
        t->alpha_beta[t->smoothings][1] = (float)beta;
        t->errors[t->smoothings++] = (float)error;
    } else if (stage == 1 && t->refinements < TRIED_MAX) {
        t->refined[t->refinements++] = (float)error;
    }
}

struct layer_case {
    struct check_array w, x, bias;
    bool has_bias;
    size_t n, k, rows, groups;
    struct qt_layer l;
};

static int compare_search(struct check_case *k, const struct layer_case *c, const struct tried *t)
{
    float *span = room(k, c->k);
    if (!span)
        return FV_ENOMEM;
    qt_column_absmax(span, c->x.data, c->rows, c->k);
    FV_TRY(near(k, "mid.x_absmax_span", span, c->k, 1e-6));
    qt_column_absmax(span, c->w.data, c->n, c->k);
    FV_TRY(near(k, "mid.w_absmax_span", span, c->k, 1e-6));
    FV_TRY(near(k, "mid.smooth_candidate_alpha_beta", t->alpha_beta[0], 2 * t->smoothings, 1e-6));
    FV_TRY(near(k, "mid.smooth_candidate_scales", t->scales, t->smoothings * c->k, 1e-5));
    FV_TRY(near(k, "mid.smooth_candidate_error", t->errors, t->smoothings, 1e-5));
    FV_TRY(near(k, "mid.lowrank_iter_error", t->refined, t->refinements, 1e-5));
    float error = (float)c->l.error, first = (float)c->l.first_error, plain = (float)c->l.plain_error;
    FV_TRY(near(k, "out.err_svdquant_first_svd_only", &first, 1, 1e-5));
    FV_TRY(near(k, "out.err_svdquant_w4a4", &error, 1, 1e-5));
    return near(k, "out.err_rtn_w4a4", &plain, 1, 1e-5);
}

/* The quantised residual alone, as floats. */
static void dequantised(const struct layer_case *c, float *w)
{
    for (size_t r = 0; r < c->n; r++)
        for (size_t i = 0; i < c->k; i++)
            w[r * c->k + i] = (float)c->l.codes[r * c->l.padded + i] * c->l.scales[r * c->groups + i / QT_GROUP];
}

static int compare_layer(struct check_case *k, const struct layer_case *c)
{
    float *product = room(k, c->n * c->k), *want = room(k, c->n * c->k), *held = room(k, c->n * c->k);
    struct check_array up, down;
    if (!product || !want || !held)
        return FV_ENOMEM;
    FV_TRY(check_input(k, "out.lora_up_L1", &up));
    FV_TRY(check_input(k, "out.lora_down_L2", &down));
    if (up.count != c->n * c->l.rank || down.count != c->k * c->l.rank)
        return fv_fail(FV_EFORMAT, "%s: a branch of another size", k->file->name);
    struct qt_strides columns = {c->k, 1}, rows = {c->l.rank, 1};
    FV_TRY(qt_product(want, up.data, rows, down.data, columns, c->n, c->k, c->l.rank, false));
    for (size_t r = 0; r < c->l.rank; r++) /* theirs takes the smoothed x */
        for (size_t i = 0; i < c->k; i++)
            down.data[r * c->k + i] = c->l.down[r * c->k + i] * c->l.smooth[i];
    FV_TRY(qt_product(product, c->l.up, rows, down.data, columns, c->n, c->k, c->l.rank, false));
    struct check_norms e = {.limit = 1e-5};
    check_norms_measure(&e, product, want, c->n * c->k);
    check_norms_row(k->check, "L1 L2", &e);
    dequantised(c, held);
    FV_TRY(near(k, "out.smooth_scale", c->l.smooth, c->k, 1e-5));
    FV_TRY(near(k, "out.residual_scales", c->l.scales, c->n * c->groups, 1e-5));
    FV_TRY(same_codes(k, "out.residual_codes", c->l.codes, c->n, c->k, 0.9999));
    return near(k, "out.residual_dequant", held, c->n * c->k, 1e-4);
}

/* y of our layer and of plain rounding, with activations of 4 bits. */
static int compare_outputs(struct check_case *k, const struct layer_case *c)
{
    size_t xs = c->rows * c->k, ys = c->rows * c->n;
    float *held = room(k, c->n * c->k), *x = room(k, xs), *q = room(k, xs), *scales = room(k, c->rows * c->groups),
          *y = room(k, ys), *mid = room(k, c->rows * c->l.rank), *w_scales = room(k, c->n * c->groups);
    int8_t *codes = fv_arena_alloc(&k->arena, (xs > c->n * c->k ? xs : c->n * c->k) + 1);
    if (!held || !x || !q || !scales || !y || !mid || !codes || !w_scales)
        return FV_ENOMEM;
    FV_TRY(qt_linear(y, c->x.data, c->w.data, c->rows, c->n, c->k));
    for (size_t i = 0; i < ys && c->has_bias; i++)
        y[i] += c->bias.data[i % c->n];
    FV_TRY(near(k, "out.y_ref", y, ys, 1e-5));
    dequantised(c, held);
    for (size_t i = 0; i < xs; i++)
        x[i] = c->x.data[i] / c->l.smooth[i % c->k];
    qt_rows(x, c->rows, c->k, 7, true, false, codes, scales, q);
    FV_TRY(same_codes(k, "out.x_codes", codes, c->rows, c->k, 0.999));
    FV_TRY(near(k, "out.x_scales", scales, c->rows * c->groups, 1e-5));
    FV_TRY(qt_linear(y, q, held, c->rows, c->n, c->k));
    FV_TRY(qt_linear(mid, c->x.data, c->l.down, c->rows, c->l.rank, c->k));
    FV_TRY(qt_product(y, mid, (struct qt_strides){c->l.rank, 1}, c->l.up, (struct qt_strides){1, c->l.rank}, c->rows,
                      c->n, c->l.rank, true));
    for (size_t i = 0; i < ys && c->has_bias; i++)
        y[i] += c->bias.data[i % c->n];
    FV_TRY(near(k, "out.y_svdquant", y, ys, 1e-4));
    qt_rows(c->w.data, c->n, c->k, 7, true, false, codes, w_scales, held);
    FV_TRY(same_codes(k, "out.rtn_weight_codes", codes, c->n, c->k, 0.9999));
    FV_TRY(near(k, "out.rtn_weight_scales", w_scales, c->n * c->groups, 1e-6));
    FV_TRY(qt_linear(y, c->x.data, held, c->rows, c->n, c->k));
    struct check_array want;
    FV_TRY(check_input(k, "out.y_ref", &want));
    double sum = 0;
    for (size_t i = 0; i < ys; i++)
        sum += pow((double)y[i] + (c->has_bias ? (double)c->bias.data[i % c->n] : 0) - (double)want.data[i], 2);
    float error = (float)sum;
    FV_TRY(near(k, "out.err_rtn_w4a16", &error, 1, 1e-5));
    qt_rows(c->x.data, c->rows, c->k, 7, true, false, NULL, NULL, q);
    FV_TRY(qt_linear(y, q, held, c->rows, c->n, c->k));
    for (size_t i = 0; i < ys && c->has_bias; i++)
        y[i] += c->bias.data[i % c->n];
    return near(k, "out.y_rtn_w4a4", y, ys, 1e-5);
}

static int compare_packed(struct check_case *k, size_t n, size_t inputs, size_t rank, const int8_t *codes,
                          const char *const names[5], const float *const parts[4]);

/* Theirs packed: the golden codes, scales ... in f16, in Nunchaku's order. */
static int compare_nunchaku(struct check_case *k, const struct layer_case *c)
{
    static const char *const names[] = {"nunchaku.qweight", "nunchaku.wscales", "nunchaku.bias",
                                        "nunchaku.lora_down", "nunchaku.lora_up"};
    struct check_array codes, scales, up, down, smooth;
    if (!check_has(k, names[0]))
        return 0;
    FV_TRY(check_input(k, "out.residual_codes", &codes));
    FV_TRY(check_input(k, "in.nunchaku_input_scale_fp16", &scales));
    FV_TRY(check_input(k, "out.lora_up_L1", &up));
    FV_TRY(check_input(k, "out.lora_down_L2", &down));
    FV_TRY(check_input(k, "out.smooth_scale", &smooth));
    int8_t *q = fv_arena_alloc(&k->arena, codes.count + 1);
    if (!q || !c->has_bias)
        return q ? fv_fail(FV_EFORMAT, "%s: no in.bias", k->file->name) : FV_ENOMEM;
    for (size_t i = 0; i < codes.count; i++)
        q[i] = (int8_t)codes.data[i];
    for (size_t i = 0; i < down.count; i++) { /* both in f16 before they are divided */
        float s = fv_f16_to_f32(fv_f32_to_f16(smooth.data[i % c->k]));
        down.data[i] = fv_f16_to_f32(fv_f32_to_f16(down.data[i])) / s;
    }
    return compare_packed(k, c->n, c->k, c->l.rank, q, names,
                          (const float *[]){scales.data, c->bias.data, down.data, up.data});
}

static int run_layer(struct check_case *k, void *model)
{
    struct layer_case c = {.n = 0};
    struct tried *t = fv_arena_alloc(&k->arena, sizeof *t);
    double rank, grids;
    (void)model;
    FV_TRY(check_input(k, "in.weight", &c.w));
    FV_TRY(check_input(k, "in.x_calib", &c.x));
    FV_TRY(check_input_number(k, "in.rank", 32, &rank));
    FV_TRY(check_input_number(k, "in.num_grids", 20, &grids));
    c.has_bias = check_has(k, "in.bias");
    if (c.has_bias)
        FV_TRY(check_input(k, "in.bias", &c.bias));
    if (c.w.rank != 2 || c.x.rank != 2 || c.w.shape[1] != c.x.shape[1] || !(rank >= 1 && rank <= 1024) ||
        !(grids >= 1 && grids <= 100) || (c.has_bias && c.bias.count != c.w.shape[0]))
        return fv_fail(FV_EFORMAT, "%s: inputs do not fit each other", k->file->name);
    c.n = c.w.shape[0], c.k = c.w.shape[1], c.rows = c.x.shape[0];
    c.groups = (c.k + QT_GROUP - 1) / QT_GROUP;
    if (!t || !(t->scales = room(k, TRIED_MAX * c.k)))
        return FV_ENOMEM;
    t->width = c.k;
    struct qt_opts o = qt_usual(QT_SVDQUANT);
    o.rank = (unsigned)rank, o.grids = (unsigned)grids;
    o.activations = 4;
    o.plain_smooth = strstr(k->name, "nolrsmooth") != NULL;
    o.exact = true;
    o.search_rows = o.search_outputs = 0;
    o.passes = o.more_passes = 5000, o.tolerance = 1e-15;
    o.on_try = on_try, o.ud = t;
    FV_TRY(qt_quantise(&c.l, k->name, c.w.data, c.n, c.k, &(struct qt_seen){.x = c.x.data, .rows = c.rows}, &o));
    int rc = compare_search(k, &c, t);
    if (rc == 0)
        rc = compare_layer(k, &c);
    if (rc == 0)
        rc = compare_outputs(k, &c);
    if (rc == 0)
        rc = compare_nunchaku(k, &c);
    qt_layer_finish(&c.l);
    k->left_out = true; /* told, each with a bound of its own */
    return rc;
}

/* ---- Nunchaku's order --------------------------------------------------------------------- */

/* A tensor of f16 whose elements are to be at at(i, j) of [rows][columns] values. */
static int compare_order(struct check_case *k, const char *name, const float *values, size_t rows, size_t columns,
                         size_t (*at)(size_t, size_t, size_t), size_t count)
{
    struct check_array want;
    FV_TRY(check_input(k, name, &want));
    size_t bad = want.count != rows * columns;
    for (size_t i = 0; i < rows && want.count == rows * columns; i++)
        for (size_t j = 0; j < columns; j++) {
            float v = fv_f16_to_f32(fv_f32_to_f16(values[i * columns + j]));
            bad += memcmp(&v, &want.data[at(i, j, count)], sizeof v) != 0;
        }
    check_fact(k->check, name, !bad, "%zu of %zu differ", bad, want.count);
    return 0;
}

static int compare_packed(struct check_case *k, size_t n, size_t inputs, size_t rank, const int8_t *codes,
                          const char *const names[5], const float *const parts[4])
{
    const struct nn_file_tensor *packed = nn_file_find(k->file, names[0]);
    if (!packed || packed->bytes != n * inputs / 2 || n % 128 || inputs % 128)
        return fv_fail(FV_EFORMAT, "%s: %s is of another size", k->file->name, names[0]);
    uint8_t *ours = fv_arena_alloc(&k->arena, n * inputs / 2 + 1);
    int8_t *back = fv_arena_alloc(&k->arena, n * inputs + 1);
    float *turned = room(k, rank * inputs);
    if (!ours || !back || !turned)
        return FV_ENOMEM;
    qt_nunchaku_pack_codes(ours, codes, n, inputs);
    check_fact(k->check, names[0], !memcmp(ours, packed->data, n * inputs / 2), "packed here, byte by byte");
    qt_nunchaku_codes(packed->data, back, n, inputs, QT_NUNCHAKU_INT4);
    check_fact(k->check, "codes", !memcmp(back, codes, n * inputs), "of theirs, unpacked here");
    FV_TRY(compare_order(k, names[1], parts[0], n, inputs / QT_GROUP, qt_nunchaku_scale_at, inputs / QT_GROUP));
    FV_TRY(compare_order(k, names[2], parts[1], n, 1, qt_nunchaku_scale_at, 1));
    for (size_t r = 0; r < rank; r++)
        for (size_t i = 0; i < inputs; i++)
            turned[i * rank + r] = parts[2][r * inputs + i];
    FV_TRY(compare_order(k, names[3], turned, inputs, rank, qt_nunchaku_down_at, rank));
    return compare_order(k, names[4], parts[3], n, rank, qt_nunchaku_up_at, rank);
}

static int run_pack(struct check_case *k, void *model)
{
    static const char *const names[] = {"out.qweight", "out.wscales", "out.bias", "out.lora_down", "out.lora_up"};
    struct check_array codes, scales, bias, down, up;
    (void)model;
    FV_TRY(check_input(k, "in.codes", &codes));
    FV_TRY(check_input(k, "in.scales", &scales));
    FV_TRY(check_input(k, "in.bias", &bias));
    FV_TRY(check_input(k, "in.lora_down", &down));
    FV_TRY(check_input(k, "in.lora_up", &up));
    if (codes.rank != 2 || down.rank != 2)
        return fv_fail(FV_EFORMAT, "%s: inputs are of other shapes", k->file->name);
    size_t n = codes.shape[0], inputs = codes.shape[1], rank = down.shape[0];
    int8_t *q = fv_arena_alloc(&k->arena, codes.count + 1);
    if (!q)
        return FV_ENOMEM;
    if (scales.count != n * (inputs / QT_GROUP) || bias.count != n || down.count != rank * inputs ||
        up.count != n * rank || rank % 16)
        return fv_fail(FV_EFORMAT, "%s: inputs do not fit each other", k->file->name);
    for (size_t i = 0; i < codes.count; i++)
        q[i] = (int8_t)codes.data[i];
    FV_TRY(compare_packed(k, n, inputs, rank, q, names,
                          (const float *[]){scales.data, bias.data, down.data, up.data}));
    k->left_out = true;
    return 0;
}

const struct check_arch check_arch_quant[] = {{"svdquant", NULL, run_layer, NULL},
                                              {"nunchaku_pack", NULL, run_pack, NULL},
                                              {NULL, NULL, NULL, NULL}};

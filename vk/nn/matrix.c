/* Matrices of codes (matrix.h): into panels of numbers on the device (shaders/nn/matrix.comp), and
 * decoded on the host. The low-rank branch is added to the numbers, N K R products; multiplying M rows of
 * x by it would take M R (N + K), more from M = N K / (N + K) on, and read x once more. */
#include "vk/nn/matrix.h"
#include "shaders/nn/params.h"
#include "shaders/nn/matmul_params.h"
#include "vk/base/half.h"
#include "vk/nn/product.h"

#include <stdio.h>

_Static_assert(NN_CODED_NONE == NN_CODE_NONE && NN_CODED_INT4 == NN_CODE_INT4 && NN_CODED_NF4 == NN_CODE_NF4 && NN_CODED_INT8 == NN_CODE_INT8,
               "codes have the same numbers in shaders");

const float nn_nf4[16] = {NN_NF4_VALUES};

const char *nn_code_name(enum nn_code code)
{
    static const char *const names[NN_CODES] = {"none", "int4", "nf4", "int8"};
    return names[code];
}

uint32_t nn_code_bits(enum nn_code code)
{
    return code == NN_CODE_INT8 ? 8 : 4;
}

void nn_decode_row(float *out, enum nn_code code, const uint8_t *codes, const uint16_t *scales, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        float scale = fv_f16_to_f32(scales[k / NN_CODE_GROUP]);
        int q = code == NN_CODE_INT8 ? (int8_t)codes[k] : codes[k / 2] >> 4 * (k % 2) & 15;
        out[k] = scale * (code == NN_CODE_NF4 ? nn_nf4[q] : (float)(code == NN_CODE_INT4 ? q - 8 : q));
    }
}

/* Panels [d->panel, + panels) of them. */
static void record_part(struct nn_rec *r, nn_tensor to, nn_tensor plain, const struct nn_matrix *m,
                        struct nn_tile tile, uint32_t panel, uint32_t panels)
{
    uint32_t depth = to.shape[2], lanes = tile.lanes, rank = nn_low_rank(m);
    uint32_t rows = tile.shared ? 32 : 64, eights = rank / 8, held = eights < 4 ? eights : 4; /* of ranks at a time */
    while (held && eights % held)
        held--;
    uint64_t one = (uint64_t)depth * 4 * lanes;
    bool coded = m->code != NN_CODE_NONE;
    struct nn_matrix_push push = {.fours = coded ? m->codes.shape[0] : m->up.shape[0],
                                  .depth = depth,
                                  .groups = coded ? m->scales.shape[1] : 0,
                                  .rank = rank / 4,
                                  .last = m->columns - 1,
                                  .panel = panel};
    char variant[16];
    snprintf(variant, sizeof variant, "%u", lanes);
    nn_dispatch(r, &(struct nn_call){
                       .shader = "nn/matrix",
                       .variant = tile.shared ? "wide" : variant,
                       .spec = {m->code, !nn_is_null(m->smooth), held, to.dtype, plain.dtype, held ? eights / held : 1},
                       .nspec = 6,
                       .subgroup = tile.shared ? 0 : lanes,
                       .bind = {coded ? (struct nn_binding){.t = m->codes, .how = NN_READ_UVEC4}
                                      : (struct nn_binding){plain, NN_WORDS4, panel * one, panels * one},
                                {.t = m->scales, .how = NN_READ4},
                                {.t = m->smooth, .how = NN_READ4},
                                {.t = m->down, .how = NN_READ_UVEC4},
                                {.t = m->up, .how = NN_READ4},
                                {to, NN_STORAGE, panel * one, panels * one}},
                       .nbind = 6,
                       .push = &push,
                       .push_size = sizeof push,
                       .groups = panels,
                       .groups_y = (depth + rows - 1) / rows,
                       .flops = 2.0 * rank * (double)(panels * one),
                       .bytes = (double)(nn_bytes(m->codes) + nn_bytes(m->scales)) * panels / to.shape[1] +
                                (double)(panels * one * nn_dtype_bytes(to.dtype))});
}

static void record(struct nn_rec *r, nn_tensor to, nn_tensor plain, const struct nn_matrix *m, struct nn_tile tile)
{
    uint32_t panels = nn_panels_of(m->rows, tile.lanes);
    uint64_t one = 16ull * nn_up(m->columns, 4) * tile.lanes;
    uint64_t most = nn_storage_max(r) / one;
    if (one % (2 * NN_ALIGN)) /* parts begin at multiples of NN_ALIGN */
        most = most / 32 * 32;
    if (!most)
        nn_fail(r, FV_EUNSUPPORTED, "rows of %u elements are too long for this device", m->columns);
    for (uint32_t at = 0; at < panels && !nn_failed(r);) {
        uint32_t n = panels - at < most ? panels - at : (uint32_t)most;
        record_part(r, to, plain, m, tile, at, n);
        at += n;
    }
}

nn_tensor nn_matrix_panels(struct nn_rec *r, const struct nn_matrix *m, struct nn_tile tile)
{
    const uint32_t shape[] = {1, nn_panels_of(m->rows, tile.lanes), nn_up(m->columns, 4), 4 * tile.lanes};
    uint32_t kind = 0x6d740000u + 2 * tile.lanes + nn_in_pairs(tile, NN_F16);
    bool fresh, keep = nn_expand_asked(r);
    if (!keep) {
        nn_tensor to = nn_new(r, NN_F16, 4, shape);
        record(r, to, (nn_tensor){0}, m, tile);
        return to;
    }
    nn_tensor to = nn_cached(r, m->codes, kind, NN_F16, 4, shape, &fresh);
    if (fresh && !nn_failed(r)) {
        record(r, to, (nn_tensor){0}, m, tile);
        nn_cached_end(r);
    }
    return to;
}

void nn_matrix_add_low_rank(struct nn_rec *r, nn_tensor to, nn_tensor plain, const struct nn_matrix *m,
                            struct nn_tile tile)
{
    record(r, to, plain, m, tile);
}

/* p: rows, inputs, outputs, rank, code. */
static void bench_codes(struct nn_rec *r, const struct nn_bench_row *row)
{
    const uint32_t *p = row->p, fours = (p[2] + 3) / 4, groups = (p[1] + 63) / 64, rank = p[3];
    enum nn_code code = p[4] ? (enum nn_code)p[4] : NN_CODE_INT4;
    struct nn_matrix m = {.rows = p[2],
                          .columns = p[1],
                          .code = code,
                          .codes = nn_bench_input(r, NN_I32, NN_SHAPE(fours, groups * 2 * nn_code_bits(code), 4)),
                          .scales = nn_bench_input(r, NN_F16, NN_SHAPE(fours, groups, 4)),
                          .smooth = nn_bench_input(r, NN_F32, NN_SHAPE((p[1] + 7) / 8 * 8))};
    if (rank) {
        m.down = nn_bench_input(r, NN_F16, NN_SHAPE(p[1], rank));
        m.up = nn_bench_input(r, NN_F16, NN_SHAPE(fours, rank, 4));
    }
    nn_linear_matrix(r, nn_bench_input(r, NN_F32, 2, p), &m,
                     &(struct nn_linear_opts){.bias = nn_bench_input(r, NN_F32, 1, p + 2)});
}

static void bench_plain(struct nn_rec *r, const struct nn_bench_row *row)
{
    const uint32_t *p = row->p;
    nn_linear(r, nn_bench_input(r, NN_F32, 2, p), nn_bench_input(r, row->dtype, NN_SHAPE(p[2], p[1])),
              &(struct nn_linear_opts){.bias = nn_bench_input(r, NN_F32, 1, p + 2)});
}

#define CODES(m, k, n)                                                                             \
    {"codes", #m "x" #k "x" #n " f32", bench_plain, {m, k, n}, NN_F32, NN_BENCH_APART},                     \
        {"codes", #m "x" #k "x" #n " f16", bench_plain, {m, k, n}, NN_F16, NN_BENCH_APART},                 \
        {"codes", #m "x" #k "x" #n " int4", bench_codes, {m, k, n, 0}, NN_I32, NN_BENCH_APART},             \
        {"codes", #m "x" #k "x" #n " int4 r32", bench_codes, {m, k, n, 32}, NN_I32, NN_BENCH_APART},        \
        {"codes", #m "x" #k "x" #n " int4 r32 x8", bench_codes, {m, k, n, 32}, NN_I32, NN_BENCH_APART | NN_BENCH_INT8}

#define OTHER_CODES(m, k, n)                                                                                    \
    {"codes", #m "x" #k "x" #n " nf4", bench_codes, {m, k, n, 0, NN_CODE_NF4}, NN_I32, NN_BENCH_APART},         \
        {"codes", #m "x" #k "x" #n " int8", bench_codes, {m, k, n, 0, NN_CODE_INT8}, NN_I32, NN_BENCH_APART}

/* XL/2's layers at 1024 and 4096 tokens; a small model's; few rows. */
const struct nn_bench_row nn_bench_matrix[] = {
    CODES(1024, 1152, 1152), CODES(1024, 1152, 3456), CODES(1024, 1152, 4608), CODES(1024, 4608, 1152),
    CODES(4096, 1152, 1152), CODES(4096, 1152, 3456), CODES(4096, 1152, 4608), CODES(4096, 4608, 1152),
    CODES(640, 192, 576),    CODES(640, 768, 192),    CODES(300, 4096, 4096),  CODES(1, 1152, 1152),
    CODES(4, 1152, 1152),    CODES(8, 1152, 1152),    CODES(16, 1152, 1152),   CODES(32, 1152, 1152),
    CODES(128, 1152, 1152),  CODES(8, 1152, 4608),    CODES(8, 4608, 1152),    OTHER_CODES(8, 1152, 1152),
    OTHER_CODES(128, 1152, 1152),
    {0}};

/* Softmax along the last axis (nn.h): shaders/nn/softmax.comp. Rows whose length is no multiple of
 * four are padded with -infinity, which adds nothing to the sum. */
#include "shaders/nn/params.h"
#include "vk/nn/op.h"

#include <math.h>
#include <string.h>

/* A lane's loop over its fours must stay far below the 65534 trips that some drivers allow. */
enum { MOST_LANES = 64, MOST_TRIPS = 16384, SHORT = 256, SHORT_CPU = 4096, GROUP = 64 };

/* Merging costs as much as there are lanes, and a CPU driver has few. */
static uint32_t lanes_for(const struct nn_rec *r, uint32_t n)
{
    uint32_t lanes = 8, most = nn_on_cpu(r) && n <= MOST_TRIPS * 16 ? 16 : MOST_LANES;
    while (lanes < most && lanes * 16 < n)
        lanes *= 2;
    return lanes;
}

static void dispatch(struct nn_rec *r, nn_tensor y, nn_tensor x, float scale)
{
    uint32_t n = x.shape[x.rank - 1];
    uint64_t rows = nn_count(x) / n;
    /* rows too short to be shared out, and enough of them; a CPU driver's lanes are few */
    bool is_short = n <= (nn_on_cpu(r) ? SHORT_CPU : SHORT) && rows >= 4 * GROUP;
    uint32_t lanes = is_short ? GROUP : lanes_for(r, n);
    uint64_t part = nn_storage_max(r) / 4 / n / 64 * 64; /* rows; 64 keep parts aligned */
    part = part ? part : 64;
    for (uint64_t at = 0; at < rows; at += part) {
        uint64_t count = rows - at < part ? rows - at : part;
        struct nn_softmax_push push = {(uint32_t)count, n, scale != 0 ? scale : 1};
        nn_dispatch(r, &(struct nn_call){.shader = "nn/softmax",
                                         .spec = {lanes, x.dtype, y.dtype, is_short},
                                         .nspec = 4,
                                         .bind = {{x, NN_WORDS4, at * n, count * n},
                                                  {y, NN_STORAGE, at * n, count * n}},
                                         .nbind = 2,
                                         .push = &push,
                                         .push_size = sizeof push,
                                         .groups = is_short ? (count + GROUP - 1) / GROUP : count,
                                         .flops = 5.0 * (double)(count * n),
                                         .bytes = (double)(count * n) * (nn_dtype_bytes(x.dtype) +
                                                                         nn_dtype_bytes(y.dtype))});
    }
}

nn_tensor nn_softmax(struct nn_rec *r, nn_tensor x, float scale)
{
    char text[NN_TEXT];
    uint32_t none[NN_MAX_RANK] = {0}, after[NN_MAX_RANK] = {0};
    if (!nn_op(r, "nn_softmax", 1, &x))
        return (nn_tensor){0};
    uint32_t n = x.shape[x.rank - 1];
    if (n > MOST_TRIPS * MOST_LANES || x.dtype == NN_I32)
        return nn_op_end(
            r, nn_fail(r, FV_EINVALID, "rows of %s are too long, or indices", nn_text(text, x)));
    after[x.rank - 1] = (4 - n % 4) % 4;
    if (!after[x.rank - 1]) {
        x = nn_dense_any(r, x);
        nn_tensor y = nn_failed(r) ? (nn_tensor){0} : nn_out(r, x.dtype, x.rank, x.shape);
        if (!nn_is_null(y))
            dispatch(r, y, x, scale);
        return nn_op_end(r, y);
    }
    nn_tensor wide = nn_pad(r, x, none, after, NN_PAD_ZERO, scale < 0 ? INFINITY : -INFINITY);
    nn_tensor y = nn_failed(r) ? wide : nn_new(r, x.dtype, wide.rank, wide.shape);
    if (!nn_is_null(y))
        dispatch(r, y, wide, scale);
    return nn_op_end(r, nn_is_null(y) ? y : nn_pack(r, nn_slice(r, y, -1, 0, n)));
}

/* ---- benchmark --------------------------------------------------------------------------- */

static void bench(struct nn_rec *r, const struct nn_bench_row *row)
{
    nn_softmax(r, nn_bench_input(r, row->dtype, 2, row->p), 1);
}

const struct nn_bench_row nn_bench_softmax[] = {
    {"softmax", "4096x1024 f32", bench, {4096, 1024}, NN_F32, 0},
    {"softmax", "16384x60 f32", bench, {16384, 60}, NN_F32, 0},
    {0}};

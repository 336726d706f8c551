/* Linear layers of 4-bit codes whose inputs are rounded to 8 bits while they run (nn_rec_opts.int8):
 * shaders/nn/quantise_rows.comp and matrix_int8.comp. The low-rank branch takes the inputs as they are:
 * its first half is a product of its own, its second is added in the kernel. Rows go in parts, which
 * bounds what the rounded ones take. */
#include "shaders/nn/params.h"
#include "shaders/nn/matmul_params.h"
#include "vk/device.h"
#include "vk/nn/matrix.h"
#include "vk/nn/product.h"
#include "vk/nn/tune.h"

enum { LANES = 16, TILE_ROWS = 16, SHARED_ROWS = 64, MOST_ROWS = 16384 };

/* Tiles in shared memory, where they are the choice and rows fill half of one. */
static bool by_shared_tiles(const struct nn_rec *r, const struct nn_product *p)
{
    bool few = p->rows <= SHARED_ROWS / 2 && !nn_kernel_asked(r);
    return nn_choice_for(r).kernel == NN_KERNEL_SHARED && !few;
}

/* Rows [row, row + n) of a -> numbers i32 [n, groups, 16], scales f32 [n, groups, 4]. */
static void quantise(struct nn_rec *r, const struct nn_product *p, const struct nn_matrix *w, uint32_t row,
                     uint32_t n, nn_tensor numbers, nn_tensor scales)
{
    uint64_t first = (uint64_t)row * p->a_row, count = (uint64_t)n * p->a_row, items;
    struct nn_quantise_rows_push push = {.rows = n,
                                         .fours = p->a_row / 4,
                                         .groups = w->scales.shape[1],
                                         .base = nn_bind_skip(p->a, first) / 4};
    items = (uint64_t)n * push.groups;
    nn_dispatch(r, &(struct nn_call){.shader = "nn/quantise_rows",
                                     .spec = {p->a.dtype, !nn_is_null(w->smooth)},
                                     .nspec = 2,
                                     .bind = {{p->a, NN_READ4, first, count},
                                              {.t = w->smooth, .how = NN_READ4},
                                              {.t = numbers, .how = NN_STORAGE},
                                              {.t = scales, .how = NN_STORAGE}},
                                     .nbind = 4,
                                     .push = &push,
                                     .push_size = sizeof push,
                                     .groups = (items + 63) / 64,
                                     .bytes = (double)(count * nn_dtype_bytes(p->a.dtype) + items * 80)});
}

static void multiply(struct nn_rec *r, const struct nn_product *p, const struct nn_matrix *w, nn_tensor t,
                     uint32_t row, uint32_t n, nn_tensor numbers, nn_tensor scales)
{
    static const char *const variants[2][2] = {{"plain", "dot"}, {"tiled_plain", "tiled_dot"}};
    struct vk_device *dev = nn_device(r);
    bool shared = by_shared_tiles(r, p);
    uint32_t tile = shared ? SHARED_ROWS : TILE_ROWS;
    uint64_t first = (uint64_t)row * p->columns, count = (uint64_t)n * p->columns;
    uint32_t rank = nn_low_rank(w);
    struct nn_matrix_int8_push push = {.rows = n,
                                       .columns = p->columns / 4,
                                       .groups = w->scales.shape[1],
                                       .rank = rank / 4,
                                       .row = row,
                                       .gate_run = p->gate_run,
                                       .t_base = rank ? nn_bind_skip(t, (uint64_t)row * rank) / 4 : 0,
                                       .act_a = p->act.a,
                                       .act_b = p->act.b,
                                       .out_base = nn_bind_skip(p->out, first) / 4};
    if (!nn_is_null(p->add))
        push.add_base = nn_bind_skip(p->add, 0) / 4;
    if (!nn_is_null(p->gate))
        push.gate_base = nn_bind_skip(p->gate, 0) / 4;
    if (!nn_is_null(p->residual))
        push.residual_base = nn_bind_skip(p->residual, first) / 4;
    nn_dispatch(r, &(struct nn_call){
                       .shader = "nn/matrix_int8",
                       .variant = variants[shared][dev && dev->caps.dot8],
                       .spec = {p->out.dtype, p->act.act, rank != 0, p->add.dtype, p->gate.dtype,
                                p->residual.dtype},
                       .nspec = 6,
                       .bind = {{.t = w->codes, .how = NN_READ_UVEC4},
                                {.t = w->scales, .how = NN_READ4},
                                {.t = numbers, .how = NN_READ_UVEC4},
                                {.t = scales, .how = NN_READ4},
                                {t, NN_READ4, (uint64_t)row * rank, (uint64_t)n * rank},
                                {.t = w->up, .how = NN_READ4},
                                {.t = p->add, .how = NN_WORDS4},
                                {.t = p->gate, .how = NN_WORDS4},
                                {p->residual, NN_WORDS4, first, nn_is_null(p->residual) ? 0 : count},
                                {p->out, NN_STORAGE, first, count}},
                       .nbind = 10,
                       .push = &push,
                       .push_size = sizeof push,
                       .groups = (push.columns + LANES - 1) / LANES,
                       .groups_y = (n + tile - 1) / tile,
                       .flops = 2.0 * (double)count * (w->columns + rank),
                       .bytes = (double)(nn_bytes(w->codes) + nn_bytes(numbers))});
}

void nn_multiply_int8(struct nn_rec *r, const struct nn_product *p, const struct nn_matrix *w, nn_tensor x)
{
    uint32_t groups = w->scales.shape[1], most = p->rows < MOST_ROWS ? p->rows : MOST_ROWS;
    uint64_t row_bytes = 4ull * p->columns > 64ull * groups ? 4ull * p->columns : 64ull * groups;
    uint64_t bound = (nn_storage_max(r) - NN_ALIGN) / row_bytes / SHARED_ROWS * SHARED_ROWS;
    nn_tensor t = {0};
    if (bound < most)
        most = (uint32_t)bound;
    if (!most) {
        nn_fail(r, FV_EUNSUPPORTED, "rows of %u elements are too long for this device", p->columns);
        return;
    }
    if (nn_low_rank(w)) /* both packed: the same bits for any number of rows in a part */
        t = nn_matmul(r, nn_reshape(r, x, 2, (uint32_t[]){p->rows, w->columns}), w->down,
                      &(struct nn_matmul_opts){.dtype = NN_F32});
    nn_tensor numbers = nn_new(r, NN_I32, NN_SHAPE(most, groups, 16));
    nn_tensor scales = nn_new(r, NN_F32, NN_SHAPE(most, groups, 4));
    for (uint32_t row = 0; row < p->rows && !nn_failed(r); row += most) {
        uint32_t n = p->rows - row < most ? p->rows - row : most;
        quantise(r, p, w, row, n, numbers, scales);
        multiply(r, p, w, t, row, n, numbers, scales);
    }
}

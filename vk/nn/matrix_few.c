/* Linear layers of codes for few rows (shaders/nn/matrix_few.comp): prompts, times, words one by one. Codes are
 * taken as they are, where otherwise panels of numbers are made of them at every run (matrix.c), which costs as much
 * as some fifty rows. The low-rank branch's first half is a dispatch of its own. Numbers are not rounded to halfs on
 * their way, so results differ from the panels' by that rounding; whether numbers are kept (expand) makes no
 * difference here, lest it change results. */
#include "shaders/nn/params.h"
#include "shaders/nn/matmul_params.h"
#include "vk/nn/matrix.h"
#include "vk/nn/product.h"
#include "vk/nn/tune.h"

#include <stdio.h>

enum { MOST_ROWS = 128, MOST_NF4 = 32 /* whose values are found by fifteen choices, for each tile of rows anew */ };

bool nn_few_rows(const struct nn_rec *r, const struct nn_matrix *w, uint32_t rows)
{
    bool registers = nn_choice_for(r).kernel == NN_KERNEL_REGISTERS ||
                     (rows <= 8 && !nn_kernel_asked(r) && nn_has_lanes(r));
    bool fits = nn_bytes(w->codes) + NN_ALIGN <= nn_storage_max(r);
    uint32_t most = w->code == NN_CODE_NF4 ? MOST_NF4 : MOST_ROWS;
    return w->code != NN_CODE_NONE && rows <= most && registers && fits;
}

static uint32_t tile_of(uint32_t rows)
{
    return rows == 1 ? 1 : rows <= 4 ? 4 : rows <= 8 ? 8 : 16;
}

static void dispatch(struct nn_rec *r, const struct nn_product *p, const struct nn_matrix *w, nn_tensor t, bool down)
{
    char variant[24];
    uint32_t lanes = nn_lanes(r), tile = tile_of(p->rows), rank = nn_low_rank(w);
    uint32_t columns = (down ? rank : p->columns) / 4;
    nn_tensor out = down ? t : p->out, none = {0};
    struct nn_matrix_few_push push = {.rows = p->rows,
                                      .columns = columns,
                                      .fours = p->a_row / 4,
                                      .groups = w->scales.shape[1],
                                      .rank = rank / 4,
                                      .last = w->columns - 1,
                                      .gate_run = p->gate_run,
                                      .x_base = nn_bind_skip(p->a, 0) / 4,
                                      .out_base = nn_bind_skip(out, 0) / 4,
                                      .act_a = p->act.a,
                                      .act_b = p->act.b};
    nn_tensor add = down ? none : p->add, gate = down ? none : p->gate, residual = down ? none : p->residual;
    nn_tensor smooth = down ? none : w->smooth;
    if (!nn_is_null(add))
        push.add_base = nn_bind_skip(add, 0) / 4;
    if (!nn_is_null(gate))
        push.gate_base = nn_bind_skip(gate, 0) / 4;
    if (!nn_is_null(residual))
        push.residual_base = nn_bind_skip(residual, 0) / 4;
    snprintf(variant, sizeof variant, "%ux%u%s", lanes, tile, down ? "_down" : "");
    nn_dispatch(r, &(struct nn_call){
                       .shader = "nn/matrix_few",
                       .variant = variant,
                       .spec = {w->code, p->a.dtype, out.dtype, !nn_is_null(smooth), !down && rank, down ? 0 : p->act.act,
                                add.dtype, gate.dtype, residual.dtype},
                       .nspec = 9,
                       .subgroup = lanes,
                       .ssbo = nn_choice_for(r).ssbo,
                       .bind = {{.t = p->a, .how = NN_READ4},
                                {.t = down ? w->down : w->codes, .how = down ? NN_READ4 : NN_READ_UVEC4},
                                {.t = w->scales, .how = NN_READ4},
                                {.t = smooth, .how = NN_READ4},
                                {.t = down ? none : t, .how = NN_READ4},
                                {.t = w->up, .how = NN_READ4},
                                {.t = add, .how = NN_WORDS4},
                                {.t = gate, .how = NN_WORDS4},
                                {.t = residual, .how = NN_WORDS4},
                                {.t = out, .how = NN_STORAGE}},
                       .nbind = 10,
                       .push = &push,
                       .push_size = sizeof push,
                       .groups = (columns + lanes - 1) / lanes,
                       .groups_y = (p->rows + tile - 1) / tile,
                       .flops = 8.0 * p->rows * columns * (w->columns + (down ? 0 : rank)),
                       .bytes = (double)(down ? nn_bytes(w->down) : nn_bytes(w->codes) + nn_bytes(w->scales))});
}

void nn_multiply_few(struct nn_rec *r, const struct nn_product *p, const struct nn_matrix *w)
{
    uint32_t rank = nn_low_rank(w);
    nn_tensor t = {0};
    if (rank) {
        t = nn_new(r, NN_F32, NN_SHAPE(p->rows, rank));
        dispatch(r, p, w, t, true);
    }
    if (!nn_failed(r))
        dispatch(r, p, w, t, false);
}

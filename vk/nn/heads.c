/* RMS norms of heads at the end of a linear layer (nn_linear's `heads`): by the kernel that multiplies, where
 * whole heads fill few of its panels (shaders/nn/matmul.comp, HEADS), else by a pass over what it has written
 * (shaders/nn/head_norm.comp), else by nn_rms_norm. */
#include "shaders/nn/params.h"
#include "shaders/nn/matmul_params.h"
#include "vk/nn/product.h"

enum { GROUP = 64, MOST_PANELS = 16, MOST_SHARED_PANELS = 4, FEWEST_GROUPS = 64, MOST_TRIPS = 60000 };

static uint32_t gcd(uint32_t a, uint32_t b)
{
    return b ? gcd(b, a % b) : a;
}

bool nn_heads_ok(struct nn_rec *r, const struct nn_linear_opts *o, uint32_t columns)
{
    char a[NN_TEXT], b[NN_TEXT];
    const struct nn_head_norm *h = &o->heads;
    nn_tensor first = h->weight[0], second = h->weight[1];
    if (nn_is_null(first) && nn_is_null(second))
        return true;
    bool two = !nn_is_null(second), ok = first.rank == 1 && first.dtype != NN_I32;
    ok = ok && (!two || (second.rank == 1 && second.dtype != NN_I32 && second.shape[0] == first.shape[0]));
    ok = ok && h->run && h->run % first.shape[0] == 0 && (uint64_t)h->run * (two ? 2 : 1) <= columns;
    if (!ok)
        nn_fail(r, FV_EINVALID, "weights of heads are %s and %s, for %u of %u columns each", nn_text(a, first),
                nn_text(b, second), h->run, columns);
    else if (o->act.act || !nn_is_null(o->gate) || !nn_is_null(o->residual))
        nn_fail(r, FV_EINVALID, "a layer whose heads are normalised has no activation, gate or residual");
    return !nn_failed(r);
}

uint32_t nn_heads_panels(struct nn_rec *r, const struct nn_product *p, struct nn_tile tile)
{
    uint32_t head = p->heads.weight[0].shape[0], rows = (p->rows + tile.rows - 1) / tile.rows;
    if (p->heads.apart || head % 4 || tile.rows < 16 || p->batch[0] * p->batch[1] * p->batch[2] != 1)
        return 0;
    uint32_t n = head / 4 / gcd(head / 4, tile.lanes), panels = nn_panels_of(p->columns, tile.lanes);
    uint64_t most = nn_storage_max(r) - NN_ALIGN;
    /* a workgroup makes its panels one after the other: where there are many cores, enough must be left */
    bool few = tile.shared && !nn_kernel_asked(r) &&
               (n > MOST_SHARED_PANELS || (uint64_t)rows * ((panels + n - 1) / n) < FEWEST_GROUPS);
    bool fits = nn_bytes(p->a) <= most && nn_bytes(p->b) <= most && nn_bytes(p->out) <= most;
    return few || !fits || n > MOST_PANELS || n * (p->depth / 4 + 64) > MOST_TRIPS ? 0 : n;
}

/* Where it lies: rows of p->out, in parts that fit a binding. */
static void in_place(struct nn_rec *r, const struct nn_product *p, uint32_t columns)
{
    nn_tensor w = p->heads.weight[0], w2 = p->heads.weight[1];
    uint64_t most = (nn_storage_max(r) - NN_ALIGN) / ((uint64_t)p->columns * nn_dtype_bytes(p->out.dtype));
    struct nn_head_norm_push push = {.columns = p->columns / 4,
                                     .head_columns = columns / 4,
                                     .head_run = p->heads.run / 4,
                                     .weight_base = nn_bind_skip(w, 0) / 4,
                                     .weight2_base = nn_is_null(w2) ? 0 : nn_bind_skip(w2, 0) / 4,
                                     .eps = p->heads.eps};
    for (uint64_t row = 0; row < p->rows && most; row += most) {
        uint64_t n = p->rows - row < most ? p->rows - row : most, first = row * p->columns, count = n * p->columns;
        push.rows = (uint32_t)n;
        push.base = nn_bind_skip(p->out, first) / 4;
        nn_dispatch(r, &(struct nn_call){.shader = "nn/head_norm",
                                         .spec = {GROUP, w.shape[0] / 4, p->out.dtype, w.dtype, w2.dtype},
                                         .nspec = 5,
                                         .bind = {{p->out, NN_WORDS4, first, count},
                                                  {.t = w, .how = NN_WORDS4},
                                                  {.t = w2, .how = NN_WORDS4},
                                                  {p->out, NN_STORAGE, first, count}},
                                         .nbind = 4,
                                         .push = &push,
                                         .push_size = sizeof push,
                                         .groups = (n * (columns / w.shape[0]) + GROUP - 1) / GROUP,
                                         .flops = 4.0 * (double)n * columns,
                                         .bytes = 2.0 * (double)n * columns * nn_dtype_bytes(p->out.dtype)});
    }
}

void nn_norm_heads(struct nn_rec *r, const struct nn_product *p)
{
    bool two = !nn_is_null(p->heads.weight[1]);
    uint32_t head = p->heads.weight[0].shape[0], run = p->heads.run;
    if (nn_failed(r))
        return;
    if (head % 4 == 0) {
        in_place(r, p, (two ? 2 : 1) * run);
        return;
    }
    nn_tensor rows = nn_as(p->out, 2, (uint32_t[]){p->rows, p->columns});
    for (uint32_t i = 0; i < 1u + two && !nn_failed(r); i++) {
        nn_tensor part = nn_slice(r, rows, 1, i * run, run);
        nn_tensor y = nn_reshape(r, nn_pack(r, part), 3, (uint32_t[]){p->rows, run / head, head});
        y = nn_rms_norm(r, y, &(struct nn_norm_opts){.weight = p->heads.weight[i], .eps = p->heads.eps});
        nn_copy(r, part, nn_reshape(r, y, 2, (uint32_t[]){p->rows, run}));
    }
}

/* Embeddings (nn.h): rows of a table (shaders/nn/embed.comp), sinusoids of a time step
 * (timestep.comp), rotary positions (rope.comp, its angles made here in double). */
#include "shaders/nn/params.h"
#include "vk/nn/op.h"

#include <math.h>
#include <stdlib.h>

enum { GROUP = 64 };

/* ---- rows -------------------------------------------------------------------------------- */

static void rows(struct nn_rec *r, nn_tensor y, nn_tensor ids, nn_tensor table)
{
    uint32_t v = table.shape[0], d = table.shape[1], size = nn_dtype_bytes(table.dtype);
    uint64_t count = nn_count(y), most = nn_storage_max(r) - NN_ALIGN;
    uint64_t part = most / size / d / 64 * 64 * d, table_part = most / size / d;
    bool four = d % 4 == 0;
    if (!part || !table_part || (!four && table_part < v)) {
        nn_fail(r, FV_EUNSUPPORTED, "a table of %u x %u is too large for this device", v, d);
        return;
    }
    for (uint64_t at = 0; at < count; at += part)
        for (uint32_t row = 0; row < v; row += (uint32_t)table_part) {
            uint64_t n = count - at < part ? count - at : part;
            uint32_t left = v - row < table_part ? v - row : (uint32_t)table_part;
            struct nn_embed_push push = {
                .features = d,
                .all_rows = v,
                .row = row,
                .rows = left,
                .base = nn_bind_skip(table, (uint64_t)row * d),
                .id_base = nn_bind_skip(ids, 0),
                .begin = (uint32_t)at,
                .count = (uint32_t)((n + 3) / 4),
                .last = (uint32_t)(count - 1),
            };
            nn_dispatch(r, &(struct nn_call){.shader = "nn/embed",
                                             .spec = {GROUP, four, table.dtype},
                                             .nspec = 3,
                                             .bind = {{ids, NN_WORDS1},
                                                      {table, four ? NN_WORDS4 : NN_WORDS1,
                                                       (uint64_t)row * d, (uint64_t)left * d},
                                                      {y, NN_STORAGE, at, n}},
                                             .nbind = 3,
                                             .push = &push,
                                             .push_size = sizeof push,
                                             .groups = (push.count + GROUP - 1) / GROUP,
                                             .bytes = 2.0 * (double)n * size});
        }
}

nn_tensor nn_embed(struct nn_rec *r, nn_tensor ids, nn_tensor table)
{
    char a[NN_TEXT], b[NN_TEXT];
    uint32_t shape[NN_MAX_RANK] = {0};
    if (!nn_op(r, "nn_embed", 2, (nn_tensor[]){ids, table}))
        return (nn_tensor){0};
    if (ids.dtype != NN_I32 || table.rank != 2 || table.dtype == NN_I32 || ids.rank == NN_MAX_RANK)
        return nn_op_end(
            r, nn_fail(r, FV_EINVALID, "ids %s of a table %s", nn_text(a, ids), nn_text(b, table)));
    for (uint32_t i = 0; i < ids.rank; i++)
        shape[i] = ids.shape[i];
    shape[ids.rank] = table.shape[1];
    ids = nn_dense_any(r, ids);
    if (!nn_is_packed(table) || table.offset % 16)
        table = nn_dense_any(r, table);
    nn_tensor y = nn_failed(r) ? (nn_tensor){0} : nn_out(r, table.dtype, ids.rank + 1, shape);
    if (!nn_is_null(y))
        rows(r, y, ids, table);
    return nn_op_end(r, y);
}

/* ---- time steps -------------------------------------------------------------------------- */

/* exp(-ln(period) j / (n - shift)), each step rounded to f32 as PyTorch's tensors are. */
static float frequency(const struct nn_sinusoid *o, uint32_t j, uint32_t n)
{
    float log_period = -(float)log(o->max_period > 0 ? (double)o->max_period : 10000.0);
    float angle = log_period * (float)j / ((float)n - o->shift);
    return (float)exp((double)angle);
}

nn_tensor nn_timestep(struct nn_rec *r, nn_tensor t, const struct nn_sinusoid *o)
{
    char text[NN_TEXT];
    if (!nn_op(r, "nn_timestep", 1, &t))
        return (nn_tensor){0};
    uint32_t n = o->dim / 2;
    if (t.rank != 1 || t.dtype == NN_I32 || n < 1 || n > 16384 || (float)n - o->shift <= 0)
        return nn_op_end(r, nn_fail(r, FV_EINVALID, "%u features of %s", o->dim, nn_text(text, t)));
    float *f = malloc(n * sizeof *f);
    if (!f)
        return nn_op_end(r, nn_fail(r, FV_ENOMEM, "out of memory"));
    for (uint32_t j = 0; j < n; j++)
        f[j] = frequency(o, j, n);
    nn_tensor table = nn_constant(r, NN_F32, NN_SHAPE(n), f);
    free(f);
    t = nn_dense(r, nn_cast(r, t, NN_F32));
    nn_tensor y = nn_failed(r) ? (nn_tensor){0} : nn_out(r, NN_F32, NN_SHAPE(t.shape[0], o->dim));
    if (nn_is_null(y))
        return nn_op_end(r, y);
    struct nn_timestep_push push = {.dim = o->dim,
                                    .count = (uint32_t)nn_count(y),
                                    .t_base = nn_bind_skip(t, 0),
                                    .sin_first = o->sin_first,
                                    .scale = o->scale != 0 ? o->scale : 1};
    nn_dispatch(r, &(struct nn_call){.shader = "nn/timestep",
                                     .spec = {GROUP},
                                     .nspec = 1,
                                     .bind = {{t, NN_READ1}, {table, NN_READ1}, {y, NN_STORAGE}},
                                     .nbind = 3,
                                     .push = &push,
                                     .push_size = sizeof push,
                                     .groups = (push.count + GROUP - 1) / GROUP,
                                     .bytes = (double)nn_bytes(y)});
    return nn_op_end(r, y);
}

/* ---- rotary positions -------------------------------------------------------------------- */

void nn_rope_table(float *out, const struct nn_rope_axes *o)
{
    uint32_t size[3] = {1, 1, 1};
    for (uint32_t a = 0; a < o->axes; a++)
        size[a] = o->size[a];
    double theta = o->theta > 0 ? o->theta : 10000;
    for (uint32_t t = 0; t < size[0] * size[1] * size[2]; t++) {
        uint32_t at[3] = {t / size[2] / size[1], t / size[2] % size[1], t % size[2]};
        for (uint32_t a = 0; a < o->axes; a++)
            for (uint32_t j = 0; j < o->dim[a] / 2; j++) {
                double step = o->step[a] != 0 ? o->step[a] : 1;
                double angle = (o->first[a] + at[a] * step) * pow(theta, -2.0 * j / o->dim[a]);
                *out++ = (float)cos(angle);
                *out++ = (float)sin(angle);
            }
    }
}

static bool fours(const struct nn_rope_push *p, bool halves)
{
    return p->d % 4 == 0 && p->rotated % 4 == 0 && (!halves || p->rotated % 8 == 0) &&
           p->stride_b % 4 == 0 && p->stride_h % 4 == 0 && p->stride_t % 4 == 0 &&
           p->base % 4 == 0 && p->table_base % 4 == 0;
}

static void rotate(struct nn_rec *r, nn_tensor y, nn_tensor x, nn_tensor table, bool halves)
{
    uint64_t count = nn_count(y), part = nn_storage_max(r) / 4;
    struct nn_rope_push push = {.d = x.shape[3],
                                .rotated = 2 * table.shape[1],
                                .t = x.shape[2],
                                .h = x.shape[1],
                                .stride_b = x.stride[0],
                                .stride_h = x.stride[1],
                                .stride_t = x.stride[2],
                                .base = nn_bind_skip(x, 0),
                                .table_base = nn_bind_skip(table, 0),
                                .last = (uint32_t)(count - 1)};
    bool four = fours(&push, halves);
    enum nn_access how = four ? NN_WORDS4 : NN_WORDS1;
    uint32_t heads = !four || count > part ? 1 : push.h % 4 == 0 ? 4 : push.h % 2 == 0 ? 2 : 1;
    for (uint64_t at = 0; at < count; at += part) {
        uint64_t n = count - at < part ? count - at : part;
        push.begin = (uint32_t)at;
        push.count = (uint32_t)((n + 3) / 4) / heads;
        nn_dispatch(r, &(struct nn_call){.shader = "nn/rope",
                                         .spec = {GROUP, four, halves, x.dtype, table.dtype, heads},
                                         .nspec = 6,
                                         .bind = {{x, how}, {table, how}, {y, NN_STORAGE, at, n}},
                                         .nbind = 3,
                                         .push = &push,
                                         .push_size = sizeof push,
                                         .groups = (push.count + GROUP - 1) / GROUP,
                                         .flops = 3.0 * (double)n,
                                         .bytes = 2.0 * (double)n * nn_dtype_bytes(x.dtype)});
    }
}

nn_tensor nn_rope(struct nn_rec *r, nn_tensor x, nn_tensor table, bool halves)
{
    char a[NN_TEXT], b[NN_TEXT];
    if (!nn_op(r, "nn_rope", 2, (nn_tensor[]){x, table}))
        return (nn_tensor){0};
    bool ok = x.rank == 4 && table.rank == 3 && table.shape[2] == 2 && x.dtype != NN_I32 &&
              table.dtype != NN_I32 && table.shape[0] == x.shape[2] &&
              2 * table.shape[1] <= x.shape[3];
    if (!ok)
        return nn_op_end(
            r, nn_fail(r, FV_EINVALID, "%s by angles %s", nn_text(a, x), nn_text(b, table)));
    if (x.stride[3] != 1 && x.shape[3] != 1)
        x = nn_dense_any(r, x);
    table = nn_dense_any(r, table);
    nn_tensor y = nn_failed(r) ? (nn_tensor){0} : nn_out(r, x.dtype, 4, x.shape);
    if (!nn_is_null(y))
        rotate(r, y, x, table, halves);
    return nn_op_end(r, y);
}

/* ---- benchmark --------------------------------------------------------------------------- */

/* p: tokens, heads, features of a head. */
static void bench_rope(struct nn_rec *r, const struct nn_bench_row *row)
{
    const uint32_t *p = row->p;
    nn_rope(r, nn_bench_input(r, row->dtype, NN_SHAPE(1, p[1], p[0], p[2])),
            nn_bench_input(r, NN_F32, NN_SHAPE(p[0], p[2] / 2, 2)), false);
}

const struct nn_bench_row nn_bench_embed[] = {
    {"rope", "4096 tokens 16x72 f32", bench_rope, {4096, 16, 72}, NN_F32, 0}, {0}};

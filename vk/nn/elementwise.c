/* Elementwise ops with broadcasting (nn.h): shaders/nn/elementwise.comp.
 *
 * The result keeps the memory order of the first operand of full shape that is dense. In that
 * order axes are merged where every operand allows it, so most calls come down to one axis (all
 * operands flat) or two or three (a bias per channel). */
#include "shaders/nn/params.h"
#include "vk/nn/op.h"

#include <string.h>

enum { GROUP = 64, UNROLL = 4, MOST = 3 };

struct plan {
    nn_tensor in[MOST], out;
    uint32_t n;
    uint32_t rank, shape[NN_MAX_RANK], stride[MOST][NN_MAX_RANK]; /* after merging */
    uint32_t mode[MOST], skip[MOST];
};

static bool broadcast_shape(struct nn_rec *r, const struct plan *p, uint32_t *rank, uint32_t *shape)
{
    char a[NN_TEXT], b[NN_TEXT];
    *rank = 0;
    for (uint32_t k = 0; k < p->n; k++)
        *rank = p->in[k].rank > *rank ? p->in[k].rank : *rank;
    for (uint32_t i = 0; i < *rank; i++)
        shape[i] = 1;
    for (uint32_t k = 0; k < p->n; k++)
        for (uint32_t i = 0; i < p->in[k].rank; i++) {
            uint32_t *s = &shape[*rank - p->in[k].rank + i], have = p->in[k].shape[i];
            if (*s != 1 && have != 1 && *s != have) {
                nn_fail(r, FV_EINVALID, "%s and %s do not broadcast", nn_text(a, p->in[0]),
                        nn_text(b, p->in[k]));
                return false;
            }
            *s = have != 1 ? have : *s;
        }
    return true;
}

/* The operand whose order of axes the result takes; NULL: row-major. */
static const nn_tensor *layout_of(const struct plan *p, uint32_t rank, const uint32_t *shape)
{
    for (uint32_t k = 0; k < p->n; k++)
        if (p->in[k].rank == rank && !memcmp(p->in[k].shape, shape, rank * sizeof *shape) &&
            nn_is_dense(p->in[k]))
            return &p->in[k];
    return NULL;
}

/* Axes of the result from slowest to fastest. */
static void axes_by_stride(nn_tensor out, uint32_t *order)
{
    for (uint32_t i = 0; i < out.rank; i++) {
        uint32_t at = i;
        for (; at > 0 && out.stride[order[at - 1]] < out.stride[i]; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
}

static uint32_t operand_stride(nn_tensor t, nn_tensor out, uint32_t axis)
{
    uint32_t lead = out.rank - t.rank;
    return axis < lead || t.shape[axis - lead] == 1 ? 0 : t.stride[axis - lead];
}

static void merge_axes(struct plan *p)
{
    uint32_t order[NN_MAX_RANK];
    axes_by_stride(p->out, order);
    p->rank = 0;
    for (uint32_t i = 0; i < p->out.rank; i++) {
        uint32_t axis = order[i], n = p->out.shape[axis];
        if (n == 1)
            continue;
        bool joins = p->rank > 0;
        for (uint32_t k = 0; k < p->n && joins; k++)
            joins =
                p->stride[k][p->rank - 1] == (uint64_t)operand_stride(p->in[k], p->out, axis) * n;
        uint32_t at = joins ? p->rank - 1 : p->rank++;
        p->shape[at] = joins ? p->shape[at] * n : n;
        for (uint32_t k = 0; k < p->n; k++)
            p->stride[k][at] = operand_stride(p->in[k], p->out, axis);
    }
    if (!p->rank) {
        p->rank = 1;
        p->shape[0] = 1;
        for (uint32_t k = 0; k < p->n; k++)
            p->stride[k][0] = 0;
    }
}

static uint32_t mode_of(const struct plan *p, uint32_t k)
{
    uint32_t inner = p->rank - 1, step = 1;
    bool flat = p->skip[k] % 4 == 0, four = flat && p->shape[inner] % 4 == 0;
    for (uint32_t i = p->rank; i-- > 0; step *= p->shape[i]) {
        flat = flat && p->stride[k][i] == step;
        four = four && (i == inner || p->stride[k][i] % 4 == 0);
    }
    if (flat)
        return NN_EW_FLAT;
    if (p->stride[k][inner] == 0 && (p->shape[inner] % 4 == 0 || p->rank == 1))
        return NN_EW_SPLAT;
    return four && p->stride[k][inner] == 1 ? NN_EW_FOUR : NN_EW_SINGLE;
}

/* Elements of the result that one dispatch may write, a multiple of 1024. */
static uint64_t part_of(struct nn_rec *r, enum nn_dtype d)
{
    return nn_storage_max(r) / nn_dtype_bytes(d) / 1024 * 1024;
}

static void dispatch(struct nn_rec *r, const struct plan *p, const uint32_t *spec,
                     struct nn_elementwise_push *push)
{
    uint64_t count = nn_count(p->out), part = part_of(r, p->out.dtype), bytes = nn_bytes(p->out);
    for (uint32_t k = 0; k < p->n; k++)
        bytes += nn_bytes(p->in[k]);
    for (uint64_t at = 0; at < count; at += part) {
        uint64_t n = count - at < part ? count - at : part;
        struct nn_call c = {.shader = "nn/elementwise",
                            .nspec = 11,
                            .nbind = 4,
                            .push = push,
                            .push_size = sizeof *push,
                            .groups = (n + 4 * GROUP * UNROLL - 1) / (4 * GROUP * UNROLL),
                            .flops = (double)n,
                            .bytes = (double)bytes * (double)n / (double)count};
        memcpy(c.spec, spec, 11 * sizeof *spec);
        for (uint32_t k = 0; k < p->n; k++) {
            bool single = p->mode[k] == NN_EW_SINGLE || p->mode[k] == NN_EW_SPLAT;
            c.bind[k] = (struct nn_binding){.t = p->in[k], .how = single ? NN_WORDS1 : NN_WORDS4};
            if (p->mode[k] == NN_EW_FLAT) {
                c.bind[k].first = at;
                c.bind[k].count = n;
            }
        }
        for (uint32_t k = p->n; k < MOST; k++)
            c.bind[k].how = NN_WORDS4;
        c.bind[3] = (struct nn_binding){.t = p->out, .how = NN_STORAGE, .first = at, .count = n};
        push->begin = (uint32_t)at;
        push->count = (uint32_t)((n + 3) / 4);
        nn_dispatch(r, &c);
    }
}

struct work {
    const char *name;
    uint32_t op;
    struct nn_activation act;
    enum nn_dtype dtype; /* of the result; NN_SAME = the first operand's */
};

static nn_tensor elementwise(struct nn_rec *r, const struct work *w, uint32_t n,
                             const nn_tensor *in)
{
    struct plan p = {.n = n};
    uint32_t rank, shape[NN_MAX_RANK];
    if (!nn_op(r, w->name, n, in))
        return (nn_tensor){0};
    for (uint32_t k = 0; k < n; k++) {
        p.in[k] = in[k];
        if (in[k].dtype == NN_I32)
            return nn_op_end(r, nn_fail(r, FV_EINVALID, "operand %u holds indices", k));
    }
    if (!broadcast_shape(r, &p, &rank, shape))
        return nn_op_end(r, (nn_tensor){0});
    enum nn_dtype dtype = nn_result_dtype(in[0], w->dtype);
    const nn_tensor *layout = layout_of(&p, rank, shape);
    p.out = layout ? nn_out_like(r, dtype, *layout) : nn_out(r, dtype, rank, shape);
    if (nn_is_null(p.out))
        return nn_op_end(r, p.out);
    merge_axes(&p);
    struct nn_elementwise_push push = {.a = w->act.a, .b = w->act.b};
    uint32_t spec[11] = {GROUP,  w->op,  w->act.act, NN_EW_NONE, NN_EW_NONE, NN_EW_NONE,
                         NN_F32, NN_F32, NN_F32,     dtype,      p.rank};
    for (uint32_t k = 0; k < n; k++) {
        p.skip[k] = push.base[k] = nn_bind_skip(p.in[k], 0);
        spec[3 + k] = p.mode[k] = mode_of(&p, k);
        spec[6 + k] = p.in[k].dtype;
        memcpy(push.stride + k * NN_RANK, p.stride[k], sizeof p.stride[k]);
    }
    memcpy(push.shape, p.shape, sizeof push.shape);
    dispatch(r, &p, spec, &push);
    return nn_op_end(r, p.out);
}

static nn_tensor two(struct nn_rec *r, const char *name, uint32_t op, nn_tensor x, nn_tensor y)
{
    return elementwise(r, &(struct work){.name = name, .op = op}, 2, (nn_tensor[]){x, y});
}

static nn_tensor three(struct nn_rec *r, const char *name, uint32_t op, nn_tensor x, nn_tensor y,
                       nn_tensor z)
{
    return elementwise(r, &(struct work){.name = name, .op = op}, 3, (nn_tensor[]){x, y, z});
}

nn_tensor nn_add(struct nn_rec *r, nn_tensor x, nn_tensor y)
{
    return two(r, "nn_add", NN_EW_ADD, x, y);
}

nn_tensor nn_sub(struct nn_rec *r, nn_tensor x, nn_tensor y)
{
    return two(r, "nn_sub", NN_EW_SUB, x, y);
}

nn_tensor nn_mul(struct nn_rec *r, nn_tensor x, nn_tensor y)
{
    return two(r, "nn_mul", NN_EW_MUL, x, y);
}

nn_tensor nn_div(struct nn_rec *r, nn_tensor x, nn_tensor y)
{
    return two(r, "nn_div", NN_EW_DIV, x, y);
}

nn_tensor nn_min(struct nn_rec *r, nn_tensor x, nn_tensor y)
{
    return two(r, "nn_min", NN_EW_MIN, x, y);
}

nn_tensor nn_max(struct nn_rec *r, nn_tensor x, nn_tensor y)
{
    return two(r, "nn_max", NN_EW_MAX, x, y);
}

nn_tensor nn_fma(struct nn_rec *r, nn_tensor x, nn_tensor y, nn_tensor z)
{
    return three(r, "nn_fma", NN_EW_FMA, x, y, z);
}

nn_tensor nn_add_gated(struct nn_rec *r, nn_tensor x, nn_tensor y, nn_tensor gate)
{
    return three(r, "nn_add_gated", NN_EW_GATED, x, y, gate);
}

nn_tensor nn_lerp(struct nn_rec *r, nn_tensor x, nn_tensor y, nn_tensor t)
{
    return three(r, "nn_lerp", NN_EW_LERP, x, y, t);
}

nn_tensor nn_modulate(struct nn_rec *r, nn_tensor x, nn_tensor shift, nn_tensor scale)
{
    return three(r, "nn_modulate", NN_EW_MODULATE, x, shift, scale);
}

nn_tensor nn_scale(struct nn_rec *r, nn_tensor x, float mul, float add)
{
    return elementwise(
        r, &(struct work){.name = "nn_scale", .op = NN_EW_SCALE, .act = {.a = mul, .b = add}}, 1,
        &x);
}

nn_tensor nn_activate(struct nn_rec *r, nn_tensor x, struct nn_activation act)
{
    return elementwise(r, &(struct work){.name = "nn_activate", .op = NN_EW_ACT, .act = act}, 1,
                       &x);
}

nn_tensor nn_exp(struct nn_rec *r, nn_tensor x)
{
    return elementwise(r, &(struct work){.name = "nn_exp", .op = NN_EW_EXP}, 1, &x);
}

nn_tensor nn_sqrt(struct nn_rec *r, nn_tensor x)
{
    return elementwise(r, &(struct work){.name = "nn_sqrt", .op = NN_EW_SQRT}, 1, &x);
}

nn_tensor nn_cast(struct nn_rec *r, nn_tensor x, enum nn_dtype dtype)
{
    if (!nn_op(r, "nn_cast", 1, &x))
        return (nn_tensor){0};
    if (dtype != NN_SAME && dtype != x.dtype)
        x = elementwise(r, &(struct work){.name = "nn_cast", .op = NN_EW_ACT, .dtype = dtype}, 1,
                        &x);
    return nn_op_end(r, x);
}

nn_tensor nn_glu(struct nn_rec *r, nn_tensor x, struct nn_activation act, bool swap)
{
    if (!nn_op(r, "nn_glu", 1, &x))
        return (nn_tensor){0};
    uint32_t n = x.shape[x.rank - 1];
    if (n % 2)
        return nn_op_end(r, nn_fail(r, FV_EINVALID, "%u features are not two halves", n));
    nn_tensor a = nn_slice(r, x, -1, 0, n / 2), b = nn_slice(r, x, -1, n / 2, n / 2);
    nn_tensor y = nn_activate(r, swap ? b : a, act);
    return nn_op_end(r, nn_mul(r, y, swap ? a : b));
}

/* ---- benchmark --------------------------------------------------------------------------- */

/* p: rows, features. */
static void bench_add(struct nn_rec *r, const struct nn_bench_row *row)
{
    const uint32_t *p = row->p;
    nn_add(r, nn_bench_input(r, row->dtype, 2, p), nn_bench_input(r, row->dtype, 2, p));
}

static void bench_gate(struct nn_rec *r, const struct nn_bench_row *row)
{
    const uint32_t *p = row->p;
    nn_add_gated(r, nn_bench_input(r, row->dtype, 2, p), nn_bench_input(r, row->dtype, 2, p),
                 nn_bench_input(r, row->dtype, 1, p + 1));
}

static void bench_channel(struct nn_rec *r, const struct nn_bench_row *row)
{
    const uint32_t *p = row->p;
    nn_add(r, nn_bench_input(r, row->dtype, 4, p),
           nn_bench_input(r, row->dtype, NN_SHAPE(p[1], 1, 1)));
}

static void bench_act(struct nn_rec *r, const struct nn_bench_row *row)
{
    nn_activate(r, nn_bench_input(r, row->dtype, 2, row->p),
                (struct nn_activation){(enum nn_act)row->p[2], 0, 0});
}

static void bench_cast(struct nn_rec *r, const struct nn_bench_row *row)
{
    nn_cast(r, nn_bench_input(r, row->dtype, 2, row->p), row->dtype == NN_F32 ? NN_F16 : NN_F32);
}

const struct nn_bench_row nn_bench_elementwise[] = {
    {"add", "4096x1152 f32", bench_add, {4096, 1152}, NN_F32, 0},
    {"add", "4096x1152 f16", bench_add, {4096, 1152}, NN_F16, 0},
    {"add_gated", "4096x1152 f32", bench_gate, {4096, 1152}, NN_F32, 0},
    {"add per channel", "1x128x256x256 f32", bench_channel, {1, 128, 256, 256}, NN_F32, 0},
    {"silu", "4096x1152 f32", bench_act, {4096, 1152, NN_SILU}, NN_F32, 0},
    {"gelu tanh", "4096x1152 f32", bench_act, {4096, 1152, NN_GELU_TANH}, NN_F32, 0},
    {"cast", "4096x1152 f32 to f16", bench_cast, {4096, 1152}, NN_F32, 0},
    {"cast", "4096x1152 f16 to f32", bench_cast, {4096, 1152}, NN_F16, 0},
    {0}};

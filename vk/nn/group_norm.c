/* Group norm (nn.h): moments of each channel over runs of positions, merged run by run (Chan, Golub
 * and LeVeque 1979) into those of groups; from them a table of mean, factor and addend by channel,
 * which is applied. Every step keeps sums of deviations, never of squares. */
#include "shaders/nn/params.h"
#include "shaders/nn/norm_params.h"
#include "vk/nn/order.h"

#include <string.h>

enum { GROUP = 64, RUN = 256 /* positions a sum runs over in f32 */, MERGED = 64 };

struct units {
    nn_tensor x; /* row-major or channels last, without gaps */
    bool last;
    uint32_t samples, channels, groups;
    uint32_t units;     /* of a sample */
    uint32_t positions; /* of a unit */
    uint32_t kind, run, runs;
};

static uint64_t groups_of(uint64_t items)
{
    return (items + GROUP - 1) / GROUP;
}

/* x's units, x itself brought into one of the two orders. */
static bool units_of(struct nn_rec *r, struct units *u, nn_tensor x, uint32_t groups, uint32_t span)
{
    char text[NN_TEXT];
    u->groups = groups ? groups : 32;
    uint32_t frames = x.rank == 5 ? x.shape[2] : 1;
    span = span ? span : frames;
    if (x.rank < 2 || x.dtype == NN_I32 || x.shape[1] % u->groups || frames % span ||
        x.shape[1] / u->groups > 30000) {
        nn_fail(r, FV_EINVALID, "%s does not part into %u groups and spans of %u frames",
                nn_text(text, x), u->groups, span);
        return false;
    }
    u->last = nn_is_channels_last(x);
    u->x = nn_to_order(r, x, nn_ordered(x, u->last));
    u->samples = x.shape[0];
    u->channels = x.shape[1];
    u->units = frames / span;
    u->positions = (uint32_t)(nn_count(x) / x.shape[0] / x.shape[1] / u->units);
    u->kind = u->last && u->channels % 4 == 0     ? NN_GROUP_CHANNELS
              : !u->last && u->positions % 4 == 0 ? NN_GROUP_POSITIONS
                                                  : NN_GROUP_SINGLE;
    u->run = RUN;
    u->runs = (u->positions + RUN - 1) / RUN;
    return !nn_failed(r);
}

static struct nn_group_push push_of(const struct units *u)
{
    uint32_t all = u->units * u->positions;
    return (struct nn_group_push){
        .channels = u->channels,
        .positions = u->positions,
        .units = u->units,
        .run = u->run,
        .runs = u->runs,
        .stride = {all * u->channels, u->last ? 1 : all, u->last ? u->channels : 1}};
}

/* Moments of every run: [samples * units][runs][2][channels]. */
static nn_tensor moments_of(struct nn_rec *r, const struct units *u)
{
    uint32_t blocks = u->samples * u->units * u->runs;
    nn_tensor m = nn_new(r, NN_F32, 3, (uint32_t[]){blocks, 2, u->channels});
    uint32_t fours = u->kind == NN_GROUP_CHANNELS ? u->channels / 4 : u->channels;
    /* blocks of a binding: of the moments, and of x where it must be a storage buffer */
    uint64_t each = (uint64_t)u->run * u->channels * nn_dtype_bytes(u->x.dtype);
    uint64_t part = (nn_storage_max(r) - 2 * NN_ALIGN) / each;
    bool split = u->kind == NN_GROUP_CHANNELS && part < blocks;
    part = split && part ? part : blocks;
    for (uint64_t at = 0; at < blocks && !nn_is_null(m); at += part) {
        uint64_t n = blocks - at < part ? blocks - at : part;
        uint64_t unit = at / u->runs, first = unit * u->positions + at % u->runs * u->run;
        uint64_t end = (at + n) / u->runs * u->positions + (at + n) % u->runs * u->run;
        struct nn_group_push push = push_of(u);
        first *= split ? u->channels : 0;
        push.begin = (uint32_t)at;
        push.count = (uint32_t)(n * fours);
        push.first = (uint32_t)first;
        push.base[0] = nn_bind_skip(u->x, first);
        nn_dispatch(r, &(struct nn_call){
                           .shader = "nn/group_moments",
                           .spec = {GROUP, u->kind, u->x.dtype},
                           .nspec = 3,
                           .bind = {{u->x, u->kind == NN_GROUP_SINGLE ? NN_WORDS1 : NN_WORDS4,
                                     first, split ? end * u->channels - first : 0},
                                    {m, NN_STORAGE, 0, 0}},
                           .nbind = 2,
                           .push = &push,
                           .push_size = sizeof push,
                           .groups = groups_of(push.count),
                           .flops = 4.0 * (double)nn_count(u->x) * (double)n / blocks,
                           .bytes = (double)nn_bytes(u->x) * (double)n / blocks,
                       });
    }
    return m;
}

/* Runs that the last step merges with all channels of a group: loops of an invocation together stop
 * after 65534 turns on CPU drivers. */
static uint32_t runs_at_once(const struct units *u)
{
    uint32_t most = 30000 / (u->channels / u->groups);
    return most < 1 ? 1 : most < MERGED ? most : MERGED;
}

/* One step of merging: MERGED runs into one, and in the last step the channels of a group.
 * result: what comes of the last step is the op's. */
static nn_tensor merge(struct nn_rec *r, const struct units *u, nn_tensor m, uint32_t run,
                       uint32_t runs, bool result)
{
    bool end = runs <= runs_at_once(u);
    const uint32_t per = end ? runs_at_once(u) : MERGED;
    uint32_t units = u->samples * u->units, many = (runs + per - 1) / per;
    uint32_t stats[] = {u->samples, u->units, u->groups, 3};
    struct nn_merge_push push = {.channels = u->channels,
                                 .positions = u->positions,
                                 .run = run,
                                 .runs = runs,
                                 .per = per,
                                 .group = end ? u->channels / u->groups : 0};
    push.count = units * (end ? u->groups : many * u->channels);
    nn_tensor y = end ? (result ? nn_out : nn_new)(r, NN_F32, 4, stats)
                      : nn_new(r, NN_F32, 3, (uint32_t[]){units * many, 2, u->channels});
    if (!nn_is_null(y))
        nn_dispatch(r, &(struct nn_call){.shader = "nn/group_merge",
                                         .spec = {GROUP},
                                         .nspec = 1,
                                         .bind = {{m, NN_READ1, 0, 0}, {y, NN_STORAGE, 0, 0}},
                                         .nbind = 2,
                                         .push = &push,
                                         .push_size = sizeof push,
                                         .groups = groups_of(push.count),
                                         .bytes = (double)nn_bytes(m)});
    return y;
}

static nn_tensor stats_of(struct nn_rec *r, const struct units *u, bool result)
{
    uint32_t run = u->run, runs = u->runs;
    nn_tensor m = moments_of(r, u);
    while (runs > runs_at_once(u) && !nn_is_null(m)) {
        m = merge(r, u, m, run, runs, false);
        run *= MERGED;
        runs = (runs + MERGED - 1) / MERGED;
    }
    return nn_is_null(m) ? m : merge(r, u, m, run, runs, result);
}

nn_tensor nn_group_stats(struct nn_rec *r, nn_tensor x, uint32_t groups, uint32_t span)
{
    struct units u;
    if (!nn_op(r, "nn_group_stats", 1, &x))
        return (nn_tensor){0};
    if (!units_of(r, &u, x, groups, span))
        return nn_op_end(r, (nn_tensor){0});
    return nn_op_end(r, stats_of(r, &u, true));
}

nn_tensor nn_group_stats_merge(struct nn_rec *r, nn_tensor a, nn_tensor b)
{
    char ta[NN_TEXT], tb[NN_TEXT];
    if (!nn_op(r, "nn_group_stats_merge", 2, (nn_tensor[]){a, b}))
        return (nn_tensor){0};
    if (!nn_same_shape(a, b) || a.dtype != NN_F32 || b.dtype != NN_F32 || a.rank != 4 ||
        a.shape[3] != 3)
        return nn_op_end(r, nn_fail(r, FV_EINVALID, "%s and %s are not statistics of one kind",
                                    nn_text(ta, a), nn_text(tb, b)));
    nn_tensor y = nn_out(r, NN_F32, 4, a.shape);
    a = nn_dense_any(r, a);
    b = nn_dense_any(r, b);
    struct nn_stats_push push = {.count = (uint32_t)(nn_count(a) / 3),
                                 .base = {nn_bind_skip(a, 0), nn_bind_skip(b, 0)}};
    nn_dispatch(r, &(struct nn_call){
                       .shader = "nn/group_stats_merge",
                       .spec = {GROUP},
                       .nspec = 1,
                       .bind = {{a, NN_READ1, 0, 0}, {b, NN_READ1, 0, 0}, {y, NN_STORAGE, 0, 0}},
                       .nbind = 3,
                       .push = &push,
                       .push_size = sizeof push,
                       .groups = groups_of(push.count)});
    return nn_op_end(r, y);
}

/* ---- applying ---------------------------------------------------------------------------- */

static nn_tensor table_of(struct nn_rec *r, const struct units *u, nn_tensor stats,
                          const struct nn_group_norm_opts *o)
{
    uint32_t units = u->samples * u->units;
    nn_tensor weight = nn_is_null(o->weight) ? o->weight : nn_dense_any(r, o->weight);
    nn_tensor bias = nn_is_null(o->bias) ? o->bias : nn_dense_any(r, o->bias);
    nn_tensor table = nn_new(r, NN_F32, 3, (uint32_t[]){units, 3, u->channels});
    struct nn_table_push push = {
        .channels = u->channels,
        .groups = u->groups,
        .count = units * u->channels,
        .base = {nn_bind_skip(stats, 0), nn_bind_skip(weight, 0), nn_bind_skip(bias, 0)},
        .eps = o->eps != 0 ? o->eps : 1e-6f};
    if (nn_failed(r))
        return (nn_tensor){0};
    nn_dispatch(r, &(struct nn_call){.shader = "nn/group_table",
                                     .spec = {GROUP, nn_is_null(weight) ? 0 : weight.dtype,
                                              nn_is_null(bias) ? 0 : bias.dtype},
                                     .nspec = 3,
                                     .bind = {{stats, NN_READ1, 0, 0},
                                              {weight, NN_WORDS1, 0, 0},
                                              {bias, NN_WORDS1, 0, 0},
                                              {table, NN_STORAGE, 0, 0}},
                                     .nbind = 4,
                                     .push = &push,
                                     .push_size = sizeof push,
                                     .groups = groups_of(push.count)});
    return table;
}

/* Elements before block `at` in memory; a block is a run of all channels or of one. */
static uint64_t block_begin(const struct units *u, uint64_t at)
{
    uint64_t wide = u->kind == NN_GROUP_CHANNELS ? u->channels : 1;
    return (at / u->runs * u->positions + at % u->runs * u->run) * wide;
}

static void apply(struct nn_rec *r, const struct units *u, nn_tensor table, nn_tensor out,
                  const struct nn_group_norm_opts *o)
{
    bool single = u->kind == NN_GROUP_SINGLE;
    uint64_t all = nn_count(u->x), size = nn_dtype_bytes(out.dtype);
    uint64_t in_size = nn_dtype_bytes(u->x.dtype);
    uint64_t most = (nn_storage_max(r) - 2 * NN_ALIGN) / (size > in_size ? size : in_size);
    uint64_t blocks = (uint64_t)u->samples * u->units * u->runs, part = most / 1024 * 1024;
    uint64_t fours = u->kind == NN_GROUP_CHANNELS ? u->channels / 4 : 1;
    if (u->kind == NN_GROUP_POSITIONS)
        blocks *= u->channels;
    if (single)
        blocks = all;
    else
        part = most / u->run / (u->kind == NN_GROUP_CHANNELS ? u->channels : 1);
    part = part ? part : 1;
    for (uint64_t at = 0; at < blocks; at += part) {
        uint64_t n = blocks - at < part ? blocks - at : part;
        uint64_t first = single ? at : block_begin(u, at);
        uint64_t count = (single ? at + n : block_begin(u, at + n)) - first;
        struct nn_group_push push = push_of(u);
        push.begin = (uint32_t)at;
        push.count = (uint32_t)(single ? (n + 3) / 4 : n * fours);
        push.first = (uint32_t)first;
        push.base[0] = nn_bind_skip(u->x, first);
        push.base[1] = nn_bind_skip(out, first);
        push.a = o->act.a;
        push.b = o->act.b;
        nn_dispatch(r, &(struct nn_call){
                           .shader = "nn/group_norm",
                           .spec = {GROUP, u->kind, u->x.dtype, out.dtype, o->act.act},
                           .nspec = 5,
                           .bind = {{u->x, single ? NN_WORDS1 : NN_WORDS4, first, count},
                                    {table, NN_READ4, 0, 0},
                                    {table, NN_READ1, 0, 0},
                                    {out, NN_STORAGE, first, count}},
                           .nbind = 4,
                           .push = &push,
                           .push_size = sizeof push,
                           .groups = groups_of(push.count),
                           .flops = 8.0 * (double)count,
                           .bytes = (double)count * (double)(size + in_size),
                       });
    }
}

nn_tensor nn_group_norm(struct nn_rec *r, nn_tensor x, const struct nn_group_norm_opts *o)
{
    static const struct nn_group_norm_opts none = {0};
    struct units u;
    o = o ? o : &none;
    if (!nn_op(r, "nn_group_norm", 1, &x))
        return (nn_tensor){0};
    if (!units_of(r, &u, x, o->groups, o->span) || !nn_fits(r, "weight", o->weight, u.channels) ||
        !nn_fits(r, "bias", o->bias, u.channels) ||
        !nn_fits(r, "stats", o->stats, u.samples * u.units * u.groups * 3))
        return nn_op_end(r, (nn_tensor){0});
    nn_tensor out = nn_out_like(r, nn_result_dtype(x, o->dtype), nn_ordered(x, u.last));
    nn_tensor stats = nn_is_null(o->stats) ? stats_of(r, &u, false) : nn_dense_any(r, o->stats);
    if (nn_failed(r))
        return nn_op_end(r, (nn_tensor){0});
    nn_tensor table = table_of(r, &u, stats, o);
    if (!nn_failed(r))
        apply(r, &u, table, out, o);
    return nn_op_end(r, out);
}

/* ---- benchmark --------------------------------------------------------------------------- */

/* p: C, T, H, W, activation, channels last. */
static void bench_groups(struct nn_rec *r, const struct nn_bench_row *row)
{
    const uint32_t *p = row->p;
    nn_tensor x = p[5] ? nn_bench_input(r, row->dtype, NN_SHAPE(1, p[1], p[2], p[3], p[0]))
                       : nn_bench_input(r, row->dtype, NN_SHAPE(1, p[0], p[1], p[2], p[3]));
    nn_tensor w = nn_bench_input(r, row->dtype, 1, p);
    struct nn_group_norm_opts o = {.weight = w, .bias = w, .act = {(enum nn_act)p[4], 0, 0}};
    if (!nn_failed(r))
        nn_group_norm(r, p[5] ? nn_permute(r, x, NN_ORDER(0, 4, 1, 2, 3)) : x, &o);
}

const struct nn_bench_row nn_bench_group_norm[] = {
    {"group_norm", "128x5x128x128 f32", bench_groups, {128, 5, 128, 128, 0, 1}, NN_F32, 0},
    {"group_norm silu",
     "128x5x128x128 f32",
     bench_groups,
     {128, 5, 128, 128, NN_SILU, 1},
     NN_F32,
     0},
    {"group_norm silu",
     "128x5x128x128 f16",
     bench_groups,
     {128, 5, 128, 128, NN_SILU, 1},
     NN_F16,
     0},
    {"group_norm silu", "512x3x32x32 f32", bench_groups, {512, 3, 32, 32, NN_SILU, 1}, NN_F32, 0},
    {"group_norm row-major",
     "128x5x128x128 f32",
     bench_groups,
     {128, 5, 128, 128, 0, 0},
     NN_F32,
     0},
    {0}};

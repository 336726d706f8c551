/* Sorting, binning and blending for GPUs: thousands of invocations, shared memory, no subgroup
 * operations, so right at any subgroup size.
 *
 *   sort_wide     (depth key, slot) pairs, 6 bits a pass
 *   touch         tiles per Gaussian in depth order; scan; (tile, slot) pairs
 *   sort_wide     stable, by tile: every tile's pairs stay in depth order
 *   tile_ranges   first and end of each tile's pairs
 *   blend_wide    a workgroup a 16x16 tile */
#include "gs/gpu.h"

enum { TILE = 16, GROUP = 256, PER_GROUP = 4096, DIGIT = 6 };

static uint32_t groups_of(uint64_t items, uint32_t per)
{
    return (uint32_t)((items + per - 1) / per);
}

int gs_reserve_wide(struct gs_renderer *r, const struct gs_view *v, struct gs_plan *plan)
{
    uint64_t most = vk_buf_max(r->dev);
    plan->tile_w = plan->tile_h = TILE;
    plan->bin_tiles = 2; /* what an entry takes: one pair, 8 bytes */
    plan->bins_x = groups_of(v->width, TILE);
    plan->rows = groups_of(v->height, TILE);
    plan->bands = r->bands < plan->rows ? r->bands : plan->rows;
    plan->rows_per_band = groups_of(plan->rows, plan->bands);
    uint64_t tiles = (uint64_t)plan->bins_x * plan->rows_per_band;
    uint64_t entries = r->tight ? 64 : 4ull * plan->slots + 131072;
    if (r->entry_room < entries)
        r->entry_room = entries;
    if (r->entry_room > most / 8)
        r->entry_room = most / 8;
    if (r->entry_room > 65535ull * GROUP)
        r->entry_room = 65535ull * GROUP;
    uint64_t items = r->entry_room > plan->slots ? r->entry_room : plan->slots;
    uint64_t digits = 64ull * groups_of(items, PER_GROUP);
    FV_TRY(gs_reserve(r, &r->digit_count, 4 * digits, "digit counts"));
    FV_TRY(gs_reserve(r, &r->digit_start, 4 * (digits + 1), "digit starts"));
    FV_TRY(
        gs_reserve(r, &r->part_sum, 4ull * groups_of(digits + items, PER_GROUP) + 4, "scan parts"));
    FV_TRY(gs_reserve(r, &r->touched, 4ull * plan->slots, "tiles touched"));
    FV_TRY(gs_reserve(r, &r->pair_first, 4ull * (plan->slots + 1), "first pairs"));
    FV_TRY(gs_reserve(r, &r->piece, 8ull * GS_PIECES, "depth histogram"));
    FV_TRY(gs_reserve(r, &r->tile_pair, 8 * r->entry_room, "tile pairs"));
    FV_TRY(gs_reserve(r, &r->tile_pair2, 8 * r->entry_room, "tile pairs"));
    return gs_reserve(r, &r->tile_range, 8 * tiles, "tile ranges");
}

void gs_wide_scan(struct gs_renderer *r, struct vk_cmd *cmd, const struct vk_buf *value,
                  const struct vk_buf *prefix, const struct gs_scan_push *push)
{
    uint32_t groups = groups_of(push->count, PER_GROUP);
    struct gs_pass p = {.r = r,
                        .cmd = cmd,
                        .name = "scan_wide",
                        .bind = {{value, .range = gs_texel_range(r, value, 4ull * push->count, 4), .format = GS_U1},
                                 {&r->part_sum},
                                 {prefix},
                                 {&r->ctl}},
                        .nbind = 4,
                        .push = push,
                        .push_size = sizeof *push};
    p.variant = "reduce";
    gs_dispatch(&p, groups);
    p.variant = "top";
    gs_dispatch(&p, 1);
    p.variant = "add";
    gs_dispatch(&p, groups);
}

/* Sorts pairs by `bits` low bits of the key; the sorted pairs end in *from, or with values
 * only their values in that buffer. room: most pairs there can be; counter: ctl word. */
static void sort(struct gs_renderer *r, struct vk_cmd *cmd, const struct vk_buf **from,
                 const struct vk_buf *other, const struct vk_buf *values, uint32_t bits,
                 uint64_t room, uint32_t counter)
{
    uint32_t groups = groups_of(room, PER_GROUP);
    for (uint32_t shift = 0; shift < bits; shift += DIGIT) {
        struct gs_sort_push push = {shift};
        struct gs_scan_push scan = {64 * groups, ~0u, ~0u, 0};
        bool last = values && shift + DIGIT >= bits;
        struct gs_pass p = {
            .r = r,
            .cmd = cmd,
            .name = "sort_wide",
            .variant = "count",
            .spec = {last, counter},
            .nspec = 2,
            .bind = {{*from, .range = gs_texel_range(r, *from, 8 * room, 8), .format = GS_U2},
                     {&r->ctl},
                     {&r->digit_count}},
            .nbind = 3,
            .push = &push,
            .push_size = sizeof push};
        gs_dispatch(&p, groups);
        gs_wide_scan(r, cmd, &r->digit_count, &r->digit_start, &scan);
        p.variant = "scatter";
        p.bind[2] = (struct vk_bind){&r->digit_start, .format = GS_U1};
        p.bind[3] = (struct vk_bind){other};
        p.bind[4] = (struct vk_bind){values ? values : other};
        p.nbind = 5;
        gs_dispatch(&p, groups);
        const struct vk_buf *swap = *from;
        *from = other;
        other = swap;
    }
}

void gs_wide_sort(struct gs_renderer *r, struct vk_cmd *cmd, const struct gs_plan *plan, bool exact)
{
    const struct vk_buf *from = &r->pair;
    sort(r, cmd, &from, &r->pair2, &r->order, exact ? 30 : 20, plan->slots, GS_CTL_VISIBLE);
}

static void band(struct gs_renderer *r, struct vk_cmd *cmd, const struct gs_view *v,
                 const struct gs_plan *plan, uint32_t slice, uint32_t row0)
{
    uint32_t row1 =
        row0 + plan->rows_per_band < plan->rows ? row0 + plan->rows_per_band : plan->rows;
    uint32_t tiles = plan->bins_x * (row1 - row0), bits = 1;
    struct vk_bind params = {&r->params, v->params_at, sizeof v->params};
    struct gs_spans_push touch = {(uint32_t)r->entry_room, row0, row1, plan->slots};
    struct gs_scan_push scan = {plan->slots, GS_CTL_ENTRIES_NOW, ~0u, 0};
    struct gs_blend_push blend = {row0, row1 - row0, 1, (uint32_t)r->entry_room};
    const struct vk_buf *sorted = &r->tile_pair;
    while (bits < 31 && 1u << bits < tiles)
        bits++;

    vk_cmd_scope(cmd, "spans");
    struct gs_pass p = {.r = r,
                        .cmd = cmd,
                        .name = "touch",
                        .variant = v->exact ? "exact_count" : "packed_count",
                        .bind = {params,
                                 {&r->order, .format = GS_U1},
                                 {&r->rec, .format = GS_F4},
                                 {&r->ctl},
                                 {&r->touched}},
                        .nbind = 5,
                        .push = &touch,
                        .push_size = sizeof touch};
    gs_dispatch(&p, groups_of(plan->slots, GROUP));
    gs_wide_scan(r, cmd, &r->touched, &r->pair_first, &scan);
    p.variant = v->exact ? "exact_emit" : "packed_emit";
    p.bind[4] = (struct vk_bind){&r->pair_first, .format = GS_U1};
    p.bind[5] = (struct vk_bind){&r->tile_pair};
    p.nbind = 6;
    gs_dispatch(&p, groups_of(plan->slots, GROUP));

    vk_cmd_scope(cmd, "lists");
    gs_dispatch(&(struct gs_pass){.r = r,
                                  .cmd = cmd,
                                  .name = "entries",
                                  .plain = true,
                                  .bind = {{&r->ctl}},
                                  .nbind = 1,
                                  .push = &touch,
                                  .push_size = sizeof touch},
                1);
    sort(r, cmd, &sorted, &r->tile_pair2, NULL, bits, r->entry_room, GS_CTL_ENTRIES_NOW);
    vk_cmd_fill(cmd, &r->tile_range, 0, 8ull * tiles, 0);
    gs_dispatch(&(struct gs_pass){.r = r,
                                  .cmd = cmd,
                                  .name = "tile_ranges",
                                  .bind = {{sorted, .format = GS_U2}, {&r->ctl}, {&r->tile_range}},
                                  .nbind = 3},
                groups_of(r->entry_room, GROUP));

    vk_cmd_scope(cmd, "blend");
    gs_dispatch(&(struct gs_pass){.r = r,
                                  .cmd = cmd,
                                  .name = "blend_wide",
                                  .variant = v->exact ? "exact" : "packed",
                                  .spec = {slice == 0, slice + 1 == plan->slices, v->floats},
                                  .nspec = 3,
                                  .bind = {params,
                                           {sorted, .format = GS_U2},
                                           {&r->tile_range},
                                           {&r->rec, .format = GS_F4},
                                           {&r->picture},
                                           {&r->state},
                                           {&r->ctl}},
                                  .nbind = 7,
                                  .push = &blend,
                                  .push_size = sizeof blend},
                tiles);
}

void gs_record_wide(struct gs_renderer *r, struct vk_cmd *cmd, const struct gs_view *v,
                    const struct gs_plan *plan, uint32_t slice)
{
    for (uint32_t row = 0; row < plan->rows; row += plan->rows_per_band)
        band(r, cmd, v, plan, slice, row);
}

/* Sorting, binning and blending with few private lanes: the form for CPU drivers, where wide
 * vectors are cheap and atomics, shared memory and thousands of workgroups are not.
 *
 *   sort_count, scan, sort_scatter   per digit; 64 lanes with private runs and counters
 *   depth_order   records in depth order, work sums
 *   partition     depth order -> runs of equal work
 *   spans         exact ellipse rows -> spans, counters per (lane, bin)
 *   bin_prefix, scan, bin_lists      lists per bin, in depth order
 *   blend         a subgroup a tile; lists per tile made on the way
 *
 * A bin is 8 tiles of SG x 16 pixels side by side. */
#include "gs/gpu.h"

enum { TILE_H = 16, BIN_TILES = 8 };

static uint32_t digit_bits(const struct gs_renderer *r)
{
    /* counters of one subgroup fill the 16 KiB every device has; 32 KiB where it has them */
    uint32_t bits = 10;
    while (bits > 4 && (4u << bits) * r->lanes > r->dev->caps.shared_bytes)
        bits--;
    return bits;
}

int gs_reserve_lanes(struct gs_renderer *r, const struct gs_view *v, struct gs_plan *plan)
{
    uint64_t most = vk_buf_max(r->dev);
    plan->tile_w = r->lanes;
    plan->tile_h = TILE_H;
    plan->bin_tiles = BIN_TILES;
    uint32_t bin_w = plan->tile_w * BIN_TILES;
    plan->bins_x = (v->width + bin_w - 1) / bin_w;
    plan->rows = (v->height + TILE_H - 1) / TILE_H;
    if (v->width > 2048 * plan->tile_w || plan->rows > 1024)
        return fv_fail(FV_EUNSUPPORTED, "%ux%u pixels: this device draws at most %ux%u", v->width,
                       v->height, 2048 * plan->tile_w, 1024 * TILE_H);
    plan->bands = r->bands < plan->rows ? r->bands : plan->rows;
    plan->rows_per_band = (plan->rows + plan->bands - 1) / plan->bands;
    plan->bands = (plan->rows + plan->rows_per_band - 1) / plan->rows_per_band;
    uint64_t bins = (uint64_t)plan->bins_x * plan->rows_per_band;
    /* first guesses; a frame that needs more says how much and is drawn again */
    uint64_t spans = 3ull * plan->slots + 65536, entries = 2ull * plan->slots + 131072;
    if (r->tight)
        spans = entries = 64;
    if (r->span_room < spans)
        r->span_room = spans;
    if (r->entry_room < entries)
        r->entry_room = entries;
    if (r->span_room > most / 8)
        r->span_room = most / 8;
    if ((r->entry_room + bins) * BIN_TILES * 4 > gs_words_max(r))
        r->entry_room = gs_words_max(r) / 4 / BIN_TILES - bins;
    uint32_t digits = (1u << digit_bits(r)) * GS_SORT_LANES;
    FV_TRY(gs_reserve(r, &r->digit_count, 4ull * digits, "digit counts"));
    FV_TRY(gs_reserve(r, &r->digit_start, 4ull * (digits + 1), "digit starts"));
    FV_TRY(gs_reserve(r, &r->sorted, 32ull * plan->slots, "Gaussians in depth order"));
    FV_TRY(gs_reserve(r, &r->piece, 8ull * GS_PIECES, "work of pieces"));
    FV_TRY(gs_reserve(r, &r->piece_prefix, 8ull * (GS_PIECES + 1), "work of pieces"));
    FV_TRY(gs_reserve(r, &r->part, 16ull * r->span_lanes, "lane runs"));
    FV_TRY(gs_reserve(r, &r->span, 8 * r->span_room, "tile-row spans"));
    FV_TRY(gs_reserve(r, &r->bin_count, 4ull * r->span_lanes * bins, "bin counters"));
    FV_TRY(gs_reserve(r, &r->bin_total, 4 * bins, "bin totals"));
    FV_TRY(gs_reserve(r, &r->bin_first, 4 * (bins + 1), "bin starts"));
    FV_TRY(gs_reserve(r, &r->list, 4 * r->entry_room, "bin lists"));
    return gs_reserve_words(r, &r->fine, 4 * (r->entry_room + bins) * BIN_TILES, "tile lists");
}

void gs_lanes_sort(struct gs_renderer *r, struct vk_cmd *cmd, bool exact)
{
    uint32_t digit = digit_bits(r), key_bits = exact ? 30 : 20;
    uint32_t passes = (key_bits + digit - 1) / digit;
    bool narrow = passes == 2 && digit == 10 && !exact;
    const struct vk_buf *from = &r->pair, *to = &r->pair2;
    for (uint32_t i = 0; i < passes; i++) {
        struct gs_sort_push push = {i * digit};
        bool last = i + 1 == passes;
        const char *count = narrow ? i ? "narrow" : "first" : "pairs";
        const char *scatter = narrow ? last ? "narrow_last" : "narrow_first"
                              : last ? "pairs_last"
                                     : "pairs";
        VkFormat format = narrow && i ? GS_U1 : GS_U2;
        struct gs_pass p = {.r = r,
                            .cmd = cmd,
                            .spec = {r->lanes, digit, r->lanes},
                            .nspec = 3,
                            .subgroup = r->lanes,
                            .push = &push,
                            .push_size = sizeof push};
        p.name = "sort_count";
        p.variant = count;
        p.bind[0] = (struct vk_bind){from, .format = format};
        p.bind[1] = (struct vk_bind){&r->ctl};
        p.bind[2] = (struct vk_bind){&r->digit_count};
        p.nbind = 3;
        gs_dispatch(&p, GS_SORT_LANES / r->lanes);
        gs_record_scan(r, cmd, &r->digit_count, &r->digit_start, (1u << digit) * GS_SORT_LANES, ~0u,
                       ~0u, false);
        p.name = "sort_scatter";
        p.variant = scatter;
        p.bind[2] = (struct vk_bind){&r->digit_start, .format = GS_U1};
        p.bind[3] = (struct vk_bind){last ? &r->order : to};
        p.nbind = 4;
        gs_dispatch(&p, GS_SORT_LANES / r->lanes);
        const struct vk_buf *swap = from;
        from = to;
        to = swap;
    }
}

/* Lists of one band of tile rows, then its pixels. */
static void band(struct gs_renderer *r, struct vk_cmd *cmd, const struct gs_view *v,
                 const struct gs_plan *plan, uint32_t slice, uint32_t row0)
{
    uint32_t row1 =
        row0 + plan->rows_per_band < plan->rows ? row0 + plan->rows_per_band : plan->rows;
    uint32_t bins = plan->bins_x * (row1 - row0), lanes = r->lanes, groups = r->span_lanes / lanes;
    struct vk_bind params = {&r->params, v->params_at, sizeof v->params};
    struct gs_spans_push spans = {(uint32_t)r->span_room, row0, row1, r->span_lanes};
    struct gs_spans_push lists = {(uint32_t)r->entry_room, row0, row1, r->span_lanes};
    struct gs_bin_push bin = {bins, r->span_lanes};
    struct gs_blend_push blend = {row0, row1 - row0, r->threads, (uint32_t)r->entry_room};
    const char *kind = v->exact ? "exact" : "packed";

    vk_cmd_scope(cmd, "spans");
    vk_cmd_fill(cmd, &r->bin_count, 0, 4ull * bins * r->span_lanes, 0);
    struct gs_pass p = {.r = r,
                        .cmd = cmd,
                        .subgroup = lanes,
                        .spec = {lanes, 0, 0, 0, plan->tile_w, plan->tile_h, plan->bin_tiles},
                        .nspec = 7};
    p.name = "spans";
    p.variant = kind;
    p.push = &spans;
    p.push_size = sizeof spans;
    p.nbind = 6;
    p.bind[0] = params;
    p.bind[1] = (struct vk_bind){&r->sorted, .format = GS_F4};
    p.bind[2] = (struct vk_bind){&r->part};
    p.bind[3] = (struct vk_bind){&r->span};
    p.bind[4] = (struct vk_bind){&r->bin_count};
    p.bind[5] = (struct vk_bind){&r->ctl};
    gs_dispatch(&p, groups);

    vk_cmd_scope(cmd, "lists");
    gs_dispatch(&(struct gs_pass){.r = r,
                                  .cmd = cmd,
                                  .name = "bin_prefix",
                                  .plain = true,
                                  .spec = {64},
                                  .nspec = 1,
                                  .bind = {{&r->bin_count}, {&r->bin_total}},
                                  .nbind = 2,
                                  .push = &bin,
                                  .push_size = sizeof bin},
                (bins + 63) / 64);
    gs_record_scan(r, cmd, &r->bin_total, &r->bin_first, bins, ~0u, ~0u, false);
    p.name = "bin_lists";
    p.variant = NULL;
    p.push = &lists;
    p.nbind = 7;
    p.bind[1] = (struct vk_bind){&r->part};
    p.bind[2] = (struct vk_bind){&r->span, .format = GS_U2};
    p.bind[3] = (struct vk_bind){&r->bin_count};
    p.bind[4] = (struct vk_bind){&r->bin_first, .format = GS_U1};
    p.bind[5] = (struct vk_bind){&r->list};
    p.bind[6] = (struct vk_bind){&r->ctl};
    gs_dispatch(&p, groups);

    vk_cmd_scope(cmd, "blend");
    p = (struct gs_pass){.r = r,
                         .cmd = cmd,
                         .name = "blend",
                         .subgroup = lanes,
                         .nspec = 12,
                         .push = &blend,
                         .push_size = sizeof blend,
                         .nbind = 8,
                         .bind = {params,
                                  {&r->bin_first, .format = GS_U1},
                                  {&r->list, .format = GS_U1},
                                  {&r->rec, .format = GS_F4},
                                  {&r->fine, .format = GS_U1},
                                  {&r->picture},
                                  {&r->state},
                                  {&r->ctl}}};
    p.spec[8] = slice == 0;
    p.spec[9] = slice + 1 == plan->slices;
    p.spec[10] = v->params.grid[1] % 4 == 0 && v->params.grid[2] % 4 == 0;
    p.spec[11] = v->floats;
    p.variant = v->exact     ? lanes == 4   ? "exact4"
                               : lanes == 8 ? "exact8"
                                            : "exact16"
                : lanes == 4 ? "packed4"
                : lanes == 8 ? "packed8"
                             : "packed16";
    gs_dispatch(&p, bins);
}

void gs_record_lanes(struct gs_renderer *r, struct vk_cmd *cmd, const struct gs_view *v,
                     const struct gs_plan *plan, uint32_t slice)
{
    uint32_t lanes = r->lanes;
    struct gs_spans_push partition = {(uint32_t)r->span_room, 0, plan->rows, r->span_lanes};
    vk_cmd_scope(cmd, "order");
    gs_dispatch(&(struct gs_pass){.r = r,
                                  .cmd = cmd,
                                  .name = "depth_order",
                                  .variant = v->exact ? "exact" : "packed",
                                  .spec = {64},
                                  .nspec = 1,
                                  .bind = {{&r->order, .format = GS_U1},
                                           {&r->rec, .format = GS_F4},
                                           {&r->ctl},
                                           {&r->sorted},
                                           {&r->piece}},
                                  .nbind = 5},
                GS_PIECES / 64);
    gs_dispatch(
        &(struct gs_pass){
            .r = r,
            .cmd = cmd,
            .name = "partition",
            .subgroup = lanes,
            .spec = {lanes},
            .nspec = 1,
            .bind = {{&r->piece, .format = GS_U2}, {&r->ctl}, {&r->piece_prefix}, {&r->part}},
            .nbind = 4,
            .push = &partition,
            .push_size = sizeof partition},
        1);
    for (uint32_t row = 0; row < plan->rows; row += plan->rows_per_band)
        band(r, cmd, v, plan, slice, row);
}

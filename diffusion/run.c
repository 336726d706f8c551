/* Runs of the transformer (diffusion.h): a recording of the figure that is submitted step by step,
 * or several over one pool; and dry ones, for what they cost. */
#include "diffusion/run.h"
#include "vk/base/thread.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* FLOPs of a pair of blocks from which on a step is cut up: a second of a slow processor, some
 * milliseconds of a graphics card, much more than recording takes. */
#define LONG_PIECE 2e10
enum { MOST_TIMES = 20000 };

/* ---- runs -------------------------------------------------------------------------------- */

/* Of a pair's matrices, without attention. */
static double pair_flops(const struct df_run *s)
{
    const struct df_dit_info *i = &s->d->info;
    double tokens = (double)s->size.batch * s->size.frames * s->rows * s->cols;
    return 2 * tokens * 2 * i->width * (6.0 * i->width + 2.0 * i->mlp_width);
}

int df_check_size(const struct df_size *z)
{
    if (!z->batch || !z->frames || !z->height || !z->width || z->batch > 64 || z->frames > 4096 ||
        z->height > 4096 || z->width > 4096)
        return fv_fail(FV_EINVALID, "%u latent clips of %u frames of %ux%u", z->batch, z->frames,
                       z->width, z->height);
    if (!(z->pixel_height > 0) || !(z->pixel_width > 0) || !(z->fps > 0) ||
        !isfinite(z->pixel_height) || !isfinite(z->pixel_width) || !isfinite(z->fps))
        return fv_fail(FV_EINVALID, "a picture of %gx%g at %g frames/s", (double)z->pixel_width,
                       (double)z->pixel_height, (double)z->fps);
    return 0;
}

static int check_sizes(const struct df_size *z, uint32_t tokens, const struct df_run_opts *o)
{
    FV_TRY(df_check_size(z));
    if (!tokens || tokens > 65536)
        return fv_fail(FV_EINVALID, "captions of %u tokens", tokens);
    if (o->time_count > MOST_TIMES)
        return fv_fail(FV_EINVALID, "%u times", o->time_count);
    return 0;
}

/* All but what needs captions or a device. */
static int begin_run(struct df_run **out, struct df_dit *d, const struct df_size *size,
                     const struct df_run_opts *o, bool streamed)
{
    struct df_run *s = *out = calloc(1, sizeof *s);
    if (!s)
        return fv_fail(FV_ENOMEM, "out of memory");
    s->d = d;
    s->size = *size;
    s->masked = o->masked;
    s->known = o->time_count;
    s->streamed = streamed;
    s->named = o->on_trace || o->check;
    s->traced = o->on_trace;
    s->on_progress = o->on_progress;
    s->ud = o->ud;
    s->rows = (size->height + d->info.patch[1] - 1) / d->info.patch[1];
    s->cols = (size->width + d->info.patch[2] - 1) / d->info.patch[2];
    s->times = size->batch * (o->masked ? 2 : 1);
    s->pieces =
        s->streamed || o->cache.threshold > 0 || (o->on_progress && pair_flops(s) > LONG_PIECE);
    s->keys_values = calloc((size_t)2 * d->info.depth + 1, sizeof *s->keys_values);
    s->times_host = calloc(s->times, sizeof *s->times_host);
    s->kept_host = calloc((size_t)size->batch * size->frames, sizeof *s->kept_host);
    s->frame_time_host = calloc((size_t)size->batch * size->frames, sizeof *s->frame_time_host);
    return s->keys_values && s->times_host && s->frame_time_host && s->kept_host
               ? 0
               : fv_fail(FV_ENOMEM, "out of memory");
}

int df_run_create(struct df_run **out, struct df_dit *d, const struct df_size *size,
                  const struct df_text *text, const struct df_run_opts *o)
{
    static const struct df_run_opts usual;
    struct df_captions c = {0};
    *out = NULL;
    o = o ? o : &usual;
    if (!d->dev)
        return fv_fail(FV_EINVALID, "%s was opened without a device", d->path);
    FV_TRY(check_sizes(size, text->tokens, o));
    if (o->time_count && !o->times)
        return fv_fail(FV_EINVALID, "%u times", o->time_count);
    int rc = begin_run(out, d, size, o, d->resident < d->info.depth);
    struct df_run *s = *out;
    if (rc == 0)
        rc = df_pack_captions(s, text, &c);
    if (rc == 0)
        rc = df_make_inputs(s, &c, o);
    if (rc == 0)
        rc = df_project_captions(s, text, &c, o);
    if (rc == 0 && s->cache.on)
        rc = df_keep_first_table(s);
    if (rc == 0)
        rc = nn_rec_create(&s->r, d->dev,
                           &(struct nn_rec_opts){.cache = d->cache,
                                                 .check = o->check,
                                                 .weights_vary = s->streamed,
                                                 .int8 = d->int8,
                                                 .expand = d->expand,
                                                 .on_trace = o->on_trace,
                                                 .ud = o->ud});
    if (rc == 0 && s->known)
        rc = df_make_known(s, o);
    free(c.row);
    free(c.hidden);
    if (rc < 0)
        df_run_destroy(out);
    return rc;
}

void df_run_destroy(struct df_run **r)
{
    if (!*r)
        return;
    nn_rec_destroy(&(*r)->r);
    nn_store_destroy(&(*r)->kept_all.store);
    free((*r)->keys_values);
    free((*r)->times_host);
    free((*r)->frame_time_host);
    free((*r)->known_host);
    free((*r)->rows_host);
    free((*r)->kept_host);
    free(*r);
    *r = NULL;
}

struct nn_cost df_run_cost(const struct df_run *r)
{
    return r->cost;
}

bool df_run_skipped(const struct df_run *r)
{
    return r->cache.skipped;
}

struct df_cached *df_run_cache(struct df_run *r)
{
    return &r->cache;
}

/* ---- steps ------------------------------------------------------------------------------- */

/* What a recording costs, added to the step. */
static void count(struct df_run *s)
{
    struct nn_cost c = nn_cost_of(s->r);
    s->cost.flops += c.flops;
    s->cost.bytes += c.bytes;
    s->cost.dispatches += c.dispatches;
    s->cost.packed_bytes += c.packed_bytes;
    if (c.peak_bytes > s->cost.peak_bytes)
        s->cost.peak_bytes = c.peak_bytes;
}

/* Ends a piece of a step and starts it; with names it is waited for, as traces need. */
static int start_piece(struct df_run *s, bool wait)
{
    FV_TRY(nn_end(s->r));
    count(s);
    if (s->dry)
        return 0;
    return s->named || wait ? nn_run(s->r) : nn_submit(s->r, NULL);
}

static int get_pair(struct df_run *s, uint32_t number, const struct df_pair **out)
{
    if (!s->dry)
        return df_get_pair(s->d, number, out);
    *out = &s->d->plan[number].pair;
    return 0;
}

/* After nn_begin, so with nothing running. */
static int stop_here(struct df_run *s)
{
    nn_end(s->r);
    return fv_fail(FV_ECANCELLED, "cancelled");
}

/* The blocks, a recording a pair. The next is read from the file while one runs. */
static int run_blocks(struct df_run *s, bool last)
{
    const struct df_pair *w;
    uint32_t depth = s->d->info.depth;
    for (uint32_t n = 0; n < depth; n++) {
        FV_TRY(get_pair(s, n, &w)); /* there already, but for the first */
        double start = fv_now();
        nn_begin(s->r); /* waits for the pair before */
        s->d->loading.waited += s->streamed ? fv_now() - start : 0;
        if (!s->dry && s->on_progress &&
            s->on_progress(s->ud, &(struct fv_progress){"step", n, depth}))
            return stop_here(s);
        if (s->cache.on && n == 0)
            nn_copy(s->r, s->cache.residual, s->x);
        nn_copy(s->r, s->x, df_record_pair(s, w, n, s->x, s->blocks_time));
        FV_TRY(start_piece(s, false));
        if (s->streamed && !s->dry && (n + 1 < depth || !last))
            FV_TRY(df_get_pair(s->d, n + 1 < depth ? n + 1 : s->d->resident, &w));
    }
    return 0;
}

/* Several recordings over the same pool. */
static int run_pieces(struct df_run *s, const struct df_step *step)
{
    nn_tensor times, final_time;
    bool compute = true;
    s->cost = (struct nn_cost){0};
    nn_begin(s->r);
    df_record_times(s, &times, &final_time);
    nn_copy(s->r, s->blocks_time, times);
    nn_copy(s->r, s->final_time, final_time);
    nn_copy(s->r, s->x, df_record_patches(s));
    if (s->cache.on)
        df_cache_look(&s->cache, s->r, df_record_block_input(s));
    FV_TRY(start_piece(s, s->cache.on));
    if (s->cache.on)
        FV_TRY(df_cache_decide(&s->cache, step->compute, &compute));
    if (compute)
        FV_TRY(run_blocks(s, step->last));
    nn_begin(s->r);
    if (s->cache.on)
        df_cache_residual(&s->cache, s->r, s->x, compute);
    s->out = df_record_final(s, s->x, s->final_time);
    FV_TRY(start_piece(s, true));
    s->cache.skipped = !compute;
    s->cache.pending = false;
    return 0;
}

static int run_whole(struct df_run *s)
{
    if (!s->recorded || s->recorded_merge != s->merge) {
        s->recorded = false;
        nn_begin(s->r);
        df_record_step(s);
        FV_TRY(nn_end(s->r));
        s->recorded = true;
        s->recorded_merge = s->merge;
        s->cost = (struct nn_cost){0};
        count(s);
    }
    return s->dry ? 0 : nn_run(s->r);
}

int df_run_step(struct df_run *r, const struct df_step *step, float *out)
{
    uint32_t batch = r->size.batch, frames = r->size.frames;
    r->merge = step->merge && frames > 1;
    memcpy(r->times_host, step->time, batch * sizeof *step->time); /* the others stay 0 */
    if (r->known)
        FV_TRY(df_point_at_known(r, step));
    else
        FV_TRY(nn_upload_f32(r->time, r->times_host));
    if (r->masked) {
        for (uint32_t i = 0; i < batch * frames; i++) {
            bool kept = step->kept && step->kept[i];
            r->frame_time_host[i] = (int32_t)(i / frames + (kept ? batch : 0));
            r->kept_host[i] = kept;
        }
        FV_TRY(nn_upload(r->frame_time, r->frame_time_host));
        FV_TRY(nn_upload_f32(r->kept, r->kept_host));
    }
    FV_TRY(nn_upload_f32(r->z, step->z));
    FV_TRY(r->pieces ? run_pieces(r, step) : run_whole(r));
    return nn_fetch_f32(out, r->out);
}

/* ---- dry runs ---------------------------------------------------------------------------- */

/* Captions and two kinds of steps, recorded by a run that has everything but storage. */
static int dry_run(struct df_dry *out, struct df_run *s, const struct df_run_opts *o, bool expand)
{
    const struct df_dit_info *i = &s->d->info;
    struct nn_rec_opts rec = {.dry = true, .weights_vary = s->streamed, .int8 = s->d->int8};
    const struct df_captions none = {0};
    struct df_kept texts = {0};
    nn_tensor states, rows, kept;
    uint32_t batch = s->size.batch;
    FV_TRY(df_make_inputs(s, &none, o));
    FV_TRY(df_keep(&states, &texts, NN_F32, NN_SHAPE(batch, s->tokens, i->text_width), "captions"));
    FV_TRY(df_keep(&rows, &texts, NN_I32, NN_SHAPE(batch, s->tokens), "captions"));
    FV_TRY(df_keep(&kept, &texts, i->dtype, NN_SHAPE(batch, s->tokens, i->width), "captions"));
    FV_TRY(nn_rec_create(&s->r, s->d->dev, &rec));
    FV_TRY(df_record_captions(s, s->r, states, rows, kept));
    out->captions = nn_cost_of(s->r);
    out->captions.peak_bytes += texts.bytes;
    nn_rec_destroy(&s->r);
    rec.expand = expand; /* captions are projected once, so not theirs */
    FV_TRY(nn_rec_create(&s->r, s->d->dev, &rec));
    if (s->known) {
        nn_tensor each;
        FV_TRY(df_keep(&each, &texts, NN_F32, NN_SHAPE(df_known_rows(s)), "times"));
        FV_TRY(df_record_known(s, each, each));
        out->captions.flops += nn_cost_of(s->r).flops;
        out->captions.bytes += nn_cost_of(s->r).bytes;
        out->captions.packed_bytes += nn_cost_of(s->r).packed_bytes;
    }
    FV_TRY(s->pieces ? run_pieces(s, &(struct df_step){.compute = true, .last = true})
                     : run_whole(s));
    out->step = s->cost;
    if (s->cache.on) {
        s->cache.filled = true;
        s->cost = (struct nn_cost){0};
        nn_begin(s->r);
        nn_tensor times, final_time;
        df_record_times(s, &times, &final_time);
        df_cache_look(&s->cache, s->r, df_record_block_input(s));
        df_cache_residual(&s->cache, s->r, df_record_patches(s), false);
        df_record_final(s, s->x, s->final_time);
        FV_TRY(start_piece(s, true));
        out->cached = s->cost;
    }
    out->kept_bytes = s->kept_all.bytes;
    return 0;
}

int df_run_dry(struct df_dry *out, struct df_dit *d, const struct df_size *size, uint32_t tokens,
               const struct df_run_opts *o, bool streamed, bool expand, bool merge)
{
    struct df_run *s;
    *out = (struct df_dry){0};
    FV_TRY(check_sizes(size, tokens, o));
    int rc = begin_run(&s, d, size, o, streamed);
    if (rc == 0) {
        s->dry = true;
        s->merge = merge && size->frames > 1;
        s->tokens = tokens;
        rc = dry_run(out, s, o, expand);
    }
    df_run_destroy(&s);
    return rc;
}

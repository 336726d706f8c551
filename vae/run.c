/* A clip through one half of a model (vae.h): windows of time, tiles of space, passes. */
#include "vae/private.h"
#include "vk/base/thread.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const float spatial_scale = 0.18215f; /* between Open-Sora's two halves, always */

/* ---- the clip, read in order ------------------------------------------------------------- */

struct feed {
    const struct vae_io *io;
    uint32_t at;  /* frames read */
    size_t frame; /* values of one */
    float *spare; /* one frame read ahead */
    bool has_spare, ended;
};

static int read_frames(struct feed *f, uint32_t n, float *out)
{
    if (f->ended || !n)
        return 0;
    int got = f->io->read(f->io->ud, f->at, n, out);
    if (got < 0)
        return got;
    if ((uint32_t)got > n)
        return fv_fail(FV_EINVALID, "the reader gave %d frames for %u", got, n);
    f->at += (uint32_t)got;
    f->ended = (uint32_t)got < n;
    return got;
}

/* Up to n frames; fewer at the end. */
static int take(struct feed *f, uint32_t n, float *out)
{
    uint32_t had = f->has_spare && n;
    if (had)
        memcpy(out, f->spare, f->frame * sizeof *out);
    f->has_spare = f->has_spare && !had;
    int got = read_frames(f, n - had, out + had * f->frame);
    return got < 0 ? got : (int)had + got;
}

/* Whether there is another frame: 1, 0, or a code. */
static int more(struct feed *f)
{
    if (f->has_spare)
        return 1;
    int got = read_frames(f, 1, f->spare);
    f->has_spare = got == 1;
    return got;
}

static void rewind_feed(struct feed *f)
{
    f->at = 0;
    f->has_spare = f->ended = false;
}

/* ---- the job ----------------------------------------------------------------------------- */

struct run {
    struct vae *v;
    enum vae_way way;
    const struct vae_plan *plan;
    const struct vae_io *io;
    struct feed feed;
    struct vae_session session;
    struct vae_piece in, out, part; /* a window; its result; a frame of it */
    struct vae_piece moments, middle;
    float *mean, *logvar;
    size_t room; /* of mean and logvar */
    uint32_t written;
    struct vae_stats *stats;
};

static int write_part(struct run *r, struct vae_part *p)
{
    p->first = r->written;
    r->written += p->count;
    r->stats->frames_out = r->written;
    return p->count ? r->io->write(r->io->ud, p) : 0;
}

/* A value made on the host, for whoever traces: [1, C, T, H, W] like those of the device. */
static int trace(struct run *r, const char *name, const struct vae_piece *p)
{
    size_t plane = (size_t)p->height * p->width, n = plane * p->channels * p->frames;
    nn_tensor shape =
        nn_over(NULL, 0, NN_F32, NN_SHAPE(1, p->channels, p->frames, p->height, p->width));
    if (!r->io->on_trace)
        return 0;
    float *data = malloc(n * sizeof *data);
    if (!data)
        return fv_fail(FV_ENOMEM, "out of memory");
    for (size_t t = 0; t < p->frames; t++)
        for (size_t c = 0; c < p->channels; c++)
            memcpy(data + (c * p->frames + t) * plane, p->data + (t * p->channels + c) * plane,
                   plane * sizeof *data);
    int rc = r->io->on_trace(r->io->ud, name, shape, data);
    free(data);
    return rc;
}

static int make_posterior_room(struct run *r, size_t n)
{
    if (n <= r->room)
        return 0;
    free(r->mean);
    free(r->logvar);
    r->mean = malloc(n * sizeof *r->mean);
    r->logvar = malloc(n * sizeof *r->logvar);
    r->room = r->mean && r->logvar ? n : 0;
    return r->room ? 0 : fv_fail(FV_ENOMEM, "out of memory");
}

/* Moments [T][2 z][h][w] from frame `skip` on -> r->mean (or a sample) and r->logvar [T][z][h][w]. */
static int posterior(struct run *r, const struct vae_piece *m, uint32_t skip, enum vae_noise which,
                     uint32_t index)
{
    size_t plane = (size_t)m->height * m->width, z = m->channels / 2 * plane;
    size_t frames = m->frames - skip, n = frames * z;
    FV_TRY(make_posterior_room(r, n));
    for (size_t t = 0; t < frames; t++) {
        const float *from = m->data + (t + skip) * 2 * z;
        memcpy(r->mean + t * z, from, z * sizeof *from);
        for (size_t i = 0; i < z; i++)
            r->logvar[t * z + i] = fminf(fmaxf(from[z + i], -30), 20);
    }
    if (!r->io->noise || !n)
        return 0;
    float *noise = malloc(n * sizeof *noise);
    int rc = noise ? r->io->noise(r->io->ud, which, index, n, noise)
                   : fv_fail(FV_ENOMEM, "out of memory");
    for (size_t i = 0; i < n && rc >= 0; i++)
        r->mean[i] += expf(0.5f * r->logvar[i]) * noise[i];
    free(noise);
    return rc;
}

/* Frames from `skip` on of a stage's result, to the caller. */
static int deliver(struct run *r, const struct vae_piece *out, uint32_t skip)
{
    struct vae_part p = {.count = out->frames - skip,
                         .channels = out->channels,
                         .height = out->height,
                         .width = out->width};
    size_t frame = (size_t)out->channels * out->height * out->width;
    p.data = out->data + skip * frame;
    if (r->way == VAE_ENCODE && r->v->info.has_variance) {
        FV_TRY(posterior(r, out, skip, VAE_NOISE_LATENT, r->written));
        p.channels /= 2;
        p.data = r->mean;
        p.logvar = r->logvar;
    }
    return write_part(r, &p);
}

static void work_on(struct run *r, double from, double count)
{
    r->session.from = from;
    r->session.to = from + count;
}

/* ---- frames one by one: AutoencoderKL, tiny ---------------------------------------------- */

static int run_frames(struct run *r)
{
    const struct vae_stage *stage = vae_stage_of(r->v, r->way);
    for (;;) {
        int got = take(&r->feed, 1, r->in.data);
        if (got <= 0)
            return got;
        r->stats->frames_in++;
        work_on(r, r->stats->frames_in - 1, 1);
        FV_TRY(vae_tiles_run(&r->session, stage, &r->plan->tiles, &r->in, true, true, &r->out));
        FV_TRY(deliver(r, &r->out, 0));
        FV_TRY(vae_session_tick(&r->session, 1));
    }
}

/* ---- windows: OD-VAE, CV-VAE ------------------------------------------------------------- */

/* Fills up the clip's last window to a whole number of latents with copies of its last frame. */
static int fill_up(struct run *r, struct vae_piece *in)
{
    uint32_t n = r->v->info.time_factor, had = in->frames;
    uint32_t extra = (n - (r->stats->frames_in - 1) % n) % n;
    if (r->way == VAE_DECODE || !extra)
        return 0;
    FV_TRY(vae_piece_resize(in, had + extra, in->channels, in->height, in->width));
    for (uint32_t i = had; i < in->frames; i++)
        memcpy(in->data + i * r->feed.frame, in->data + (had - 1) * r->feed.frame,
               r->feed.frame * sizeof(float));
    return 0;
}

/* Frames into r->in, after `keep` frames of the window before. */
static int fill_window(struct run *r, uint32_t keep, uint32_t most)
{
    struct vae_piece *in = &r->in;
    uint32_t had = in->frames;
    if (keep)
        memmove(in->data, in->data + (had - keep) * r->feed.frame,
                keep * r->feed.frame * sizeof(float));
    uint32_t n = keep;
    do { /* a clip taken whole is as long as it turns out to be */
        uint32_t room = r->plan->window ? most : n + 64;
        in->frames = n; /* what resize has to keep */
        FV_TRY(vae_piece_resize(in, room, in->channels, in->height, in->width));
        int got = take(&r->feed, room - n, in->data + n * r->feed.frame);
        FV_TRY(got);
        n += (uint32_t)got;
        r->stats->frames_in += (uint32_t)got;
    } while (!r->plan->window && !r->feed.ended);
    in->frames = n;
    return 0;
}

static int run_window(struct run *r, bool first, bool last, bool deliver_it)
{
    static const struct vae_tiles none = {0};
    const struct vae_tiles *t = &r->plan->tiles;
    bool carry = r->plan->carry;
    /* Open-Sora-Plan tiles nothing when all of it fits one tile. */
    if (first && last && r->in.height <= t->size && r->in.width <= t->size)
        t = &none;
    FV_TRY(vae_tiles_run(&r->session, vae_stage_of(r->v, r->way), t, &r->in, first, last, &r->out));
    if (!deliver_it)
        return 0;
    return deliver(r, &r->out, first || carry ? 0 : 1);
}

static int run_windows_once(struct run *r, uint32_t pass)
{
    bool last = false, carry = r->plan->carry;
    rewind_feed(&r->feed);
    r->stats->frames_in = 0;
    r->in.frames = 0;
    for (uint32_t i = 0; !last; i++) {
        uint32_t keep = i && !carry ? 1 : 0, before = r->stats->frames_in;
        FV_TRY(fill_window(r, keep, r->plan->window - (i && carry ? 1 : 0)));
        if (r->in.frames == 0)
            return 0;
        int rest = more(&r->feed);
        FV_TRY(rest);
        last = !rest;
        work_on(r, (double)pass * r->io->length + before, r->stats->frames_in - before);
        if (last)
            FV_TRY(fill_up(r, &r->in));
        FV_TRY(run_window(r, i == 0, last, pass + 1 == r->plan->passes));
        FV_TRY(vae_session_tick(&r->session, 1));
    }
    return 0;
}

static int run_windows(struct run *r)
{
    r->session.carry = r->plan->carry;
    for (uint32_t pass = 0; pass < r->plan->passes; pass++) {
        r->session.gather = pass + 1 < r->plan->passes;
        if (pass)
            FV_TRY(vae_session_turn(&r->session));
        FV_TRY(run_windows_once(r, pass));
    }
    return 0;
}

/* ---- Open-Sora: frames, then chunks of their latents ------------------------------------- */

/* The plan's tiles for the half that works on latents. */
static struct vae_tiles temporal_tiles(const struct run *r)
{
    uint32_t f = r->v->info.space_factor;
    struct vae_tiles t = r->plan->tiles;
    if (r->way == VAE_ENCODE) {
        t.size /= f;
        t.step /= f;
    } else {
        t.fade /= f;
        t.keep /= f;
    }
    return t;
}

/* Frame i of a piece as a piece of its own, scaled. */
static int one_frame(struct vae_piece *out, const struct vae_piece *in, uint32_t i, float scale)
{
    size_t n = (size_t)in->channels * in->height * in->width;
    FV_TRY(vae_piece_resize(out, 1, in->channels, in->height, in->width));
    for (size_t k = 0; k < n; k++)
        out->data[k] = in->data[i * n + k] * scale;
    return 0;
}

/* Frames of pixels in r->in -> latents of single frames in r->middle, after `pad` frames of zeros. */
static int encode_frames(struct run *r, uint32_t pad, uint32_t first)
{
    const struct vae_stage *stage = vae_stage_of(r->v, VAE_ENCODE);
    uint32_t frames = r->in.frames;
    for (uint32_t i = 0; i < frames; i++) {
        work_on(r, first + i, 1);
        FV_TRY(one_frame(&r->part, &r->in, i, 1));
        FV_TRY(
            vae_tiles_run(&r->session, stage, &r->plan->tiles, &r->part, true, true, &r->moments));
        FV_TRY(trace(r, "mid.sp_moments", &r->moments));
        FV_TRY(posterior(r, &r->moments, 0, VAE_NOISE_SPATIAL, first + i));
        size_t n = (size_t)r->moments.channels / 2 * r->moments.height * r->moments.width;
        if (i == 0) {
            FV_TRY(vae_piece_resize(&r->middle, pad + frames, r->moments.channels / 2,
                                    r->moments.height, r->moments.width));
            memset(r->middle.data, 0, pad * n * sizeof(float));
        }
        for (size_t k = 0; k < n; k++)
            r->middle.data[(pad + i) * n + k] = r->mean[k] * spatial_scale;
    }
    return 0;
}

/* (z - shift) / scale by channel, or back. */
static void normalise(const struct vae *v, struct vae_piece *z, bool back)
{
    size_t plane = (size_t)z->height * z->width;
    for (size_t p = 0; p < (size_t)z->frames * z->channels; p++) {
        float scale = v->scale[p % z->channels], shift = v->shift[p % z->channels];
        float *x = z->data + p * plane;
        for (size_t i = 0; i < plane; i++)
            x[i] = back ? x[i] * scale + shift : (x[i] - shift) / scale;
    }
}

static int encode_chunk(struct run *r, uint32_t chunk, uint32_t first)
{
    char name[32];
    uint32_t n = r->v->info.time_factor, pad = (n - r->in.frames % n) % n;
    struct vae_tiles tiles = temporal_tiles(r);
    FV_TRY(encode_frames(r, pad, first));
    FV_TRY(vae_tiles_run(&r->session, &vae_temporal_stages[VAE_ENCODE], &tiles, &r->middle, true,
                         true, &r->moments));
    snprintf(name, sizeof name, "mid.tp_moments%u", chunk);
    FV_TRY(trace(r, name, &r->moments));
    FV_TRY(posterior(r, &r->moments, 0, VAE_NOISE_LATENT, r->written));
    struct vae_piece z = {.frames = r->moments.frames,
                          .channels = r->moments.channels / 2,
                          .height = r->moments.height,
                          .width = r->moments.width,
                          .data = r->mean};
    normalise(r->v, &z, false);
    return write_part(r, &(struct vae_part){.count = z.frames,
                                            .channels = z.channels,
                                            .height = z.height,
                                            .width = z.width,
                                            .data = z.data});
}

/* The last `frames` of what a chunk of latents gives: what was put in front is cut off. */
static int decode_chunk(struct run *r, uint32_t frames, uint32_t first)
{
    const struct vae_stage *stage = vae_stage_of(r->v, VAE_DECODE);
    struct vae_tiles tiles = temporal_tiles(r);
    normalise(r->v, &r->in, true);
    FV_TRY(vae_tiles_run(&r->session, &vae_temporal_stages[VAE_DECODE], &tiles, &r->in, true, true,
                         &r->middle));
    frames = frames < r->middle.frames ? frames : r->middle.frames;
    for (uint32_t i = r->middle.frames - frames; i < r->middle.frames; i++) {
        FV_TRY(one_frame(&r->part, &r->middle, i, 1 / spatial_scale));
        FV_TRY(vae_tiles_run(&r->session, stage, &r->plan->tiles, &r->part, true, true, &r->out));
        FV_TRY(deliver(r, &r->out, 0));
        work_on(r, first, r->in.frames);
        FV_TRY(vae_session_tick(&r->session, (double)(i + 1) / r->middle.frames));
    }
    return 0;
}

static int run_opensora(struct run *r)
{
    uint32_t n = r->v->info.time_factor, window = r->plan->window;
    uint32_t frames_of_window = r->v->info.window;
    for (uint32_t chunk = 0;; chunk++) {
        uint32_t first = r->stats->frames_in;
        r->in.frames = 0;
        FV_TRY(fill_window(r, 0, window));
        if (!r->in.frames)
            return 0;
        if (r->way == VAE_ENCODE) {
            FV_TRY(encode_chunk(r, chunk, first));
            continue;
        }
        /* as many frames as are left, at most a chunk's; when that is not known, all a chunk of
         * so many latents can be of */
        uint32_t frames = r->in.frames == window ? frames_of_window : 1 + (r->in.frames - 1) * n;
        if (r->io->frames) {
            uint32_t left = r->io->frames > r->written ? r->io->frames - r->written : 0;
            frames = !window || left < frames_of_window ? left : frames_of_window;
        }
        FV_TRY(decode_chunk(r, frames, first));
    }
}

/* ---- all --------------------------------------------------------------------------------- */

static int check_job(const struct run *r)
{
    const struct vae_info *i = &r->v->info;
    const struct vae_io *io = r->io;
    uint32_t f = r->way == VAE_ENCODE ? i->space_factor : 1;
    if (!r->v->dev)
        return fv_fail(FV_EINVALID, "%s was opened without a device", r->v->path);
    if (r->way == VAE_ENCODE ? !i->has_encoder : !i->has_decoder)
        return fv_fail(FV_EINVALID, "%s holds no %s", r->v->path,
                       r->way == VAE_ENCODE ? "encoder" : "decoder");
    if (!io->height || !io->width || io->height % f || io->width % f || io->height > 16384 ||
        io->width > 16384)
        return fv_fail(FV_EINVALID, "%ux%u: sizes must be multiples of %u, at most 16384",
                       io->width, io->height, f);
    return 0;
}

static int prepare(struct run *r)
{
    uint32_t channels = r->way == VAE_ENCODE ? 3 : r->v->info.channels;
    r->feed.io = r->io;
    r->feed.frame = (size_t)channels * r->io->height * r->io->width;
    r->feed.spare = malloc(r->feed.frame * sizeof(float));
    if (!r->feed.spare)
        return fv_fail(FV_ENOMEM, "out of memory");
    FV_TRY(vae_piece_resize(&r->in, 1, channels, r->io->height, r->io->width));
    FV_TRY(vae_session_open(&r->session, r->v, r->io, r->stats));
    r->session.total = (double)r->io->length * r->plan->passes;
    return 0;
}

int vae_run(struct vae *v, enum vae_way way, const struct vae_plan *p, const struct vae_io *io,
            struct vae_stats *stats)
{
    struct vae_stats own = {0};
    struct run r = {.v = v, .way = way, .plan = p, .io = io, .stats = stats ? stats : &own};
    double start = fv_now();
    uint64_t reserved, used;
    *r.stats = own;
    FV_TRY(check_job(&r));
    int rc = prepare(&r);
    if (rc >= 0)
        rc = v->info.family == VAE_OPENSORA ? run_opensora(&r)
             : v->info.time_factor > 1      ? run_windows(&r)
                                            : run_frames(&r);
    if (rc >= 0 && !r.stats->frames_in)
        rc =
            fv_fail(FV_EFORMAT, "there is no frame to %s", way == VAE_ENCODE ? "encode" : "decode");
    vae_session_close(&r.session);
    free(r.feed.spare);
    free(r.mean);
    free(r.logvar);
    vae_piece_finish(&r.in);
    vae_piece_finish(&r.out);
    vae_piece_finish(&r.part);
    vae_piece_finish(&r.moments);
    vae_piece_finish(&r.middle);
    r.stats->seconds = fv_now() - start;
    vk_mem_usage(v->dev, &reserved, &used, &r.stats->peak_bytes);
    return rc;
}

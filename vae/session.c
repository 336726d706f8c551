/* Pieces of a clip through one network on the device: upload, recording, run, download; what is
 * kept from piece to piece. */
#include "vae/private.h"
#include "vk/base/thread.h"

#include <stdlib.h>
#include <string.h>

/* Where storage-less tensors of a dry run are said to lie: in no piece of the pool. */
#define NOWHERE (UINT64_C(1) << 62)

/* ---- pieces ------------------------------------------------------------------------------ */

int vae_piece_resize(struct vae_piece *p, uint32_t frames, uint32_t channels, uint32_t height,
                     uint32_t width)
{
    size_t n = (size_t)frames * channels * height * width;
    if (n > p->room) {
        float *data = malloc(n * sizeof *data);
        if (!data)
            return fv_fail(FV_ENOMEM, "%u frames of %ux%u: out of memory", frames, width, height);
        if (p->data)
            memcpy(data, p->data, p->room * sizeof *data);
        free(p->data);
        p->data = data;
        p->room = n;
    }
    p->frames = frames;
    p->channels = channels;
    p->height = height;
    p->width = width;
    return 0;
}

void vae_piece_finish(struct vae_piece *p)
{
    free(p->data);
    *p = (struct vae_piece){0};
}

/* ---- tensors that stay ------------------------------------------------------------------- */

nn_tensor vae_keep(struct vae_ctx *c, struct vae_kept *k, uint32_t number, enum nn_dtype dtype,
                   uint32_t rank, const uint32_t *shape)
{
    if (nn_failed(c->r))
        return (nn_tensor){0};
    if (number >= k->room) {
        uint32_t room = number + 64;
        nn_tensor *items = realloc(k->items, room * sizeof *items);
        if (!items)
            return nn_fail(c->r, FV_ENOMEM, "out of memory");
        memset(items + k->room, 0, (room - k->room) * sizeof *items);
        k->items = items;
        k->room = room;
    }
    nn_tensor *t = &k->items[number];
    if (!nn_is_null(*t))
        return *t;
    if (k->store) {
        if (nn_store_tensor(t, k->store, dtype, rank, shape, "kept between pieces") < 0)
            return nn_fail(c->r, FV_EGPUMEM, "%s", fv_error());
    } else {
        *t = nn_over(NULL, NOWHERE, dtype, rank, shape);
    }
    k->bytes += (nn_bytes(*t) + 255) / 256 * 256;
    k->count = number >= k->count ? number + 1 : k->count;
    return *t;
}

void vae_kept_finish(struct vae_kept *k)
{
    nn_store_destroy(&k->store);
    free(k->items);
    *k = (struct vae_kept){0};
}

/* Statistics of nothing, which others are merged into. */
static int empty(struct vae_kept *k)
{
    for (uint32_t i = 0; i < k->count; i++) {
        nn_tensor t = k->items[i];
        float *zeros = calloc(nn_count(t), sizeof *zeros);
        int rc = zeros ? nn_upload_f32(t, zeros) : fv_fail(FV_ENOMEM, "out of memory");
        free(zeros);
        FV_TRY(rc);
    }
    return 0;
}

/* ---- recording --------------------------------------------------------------------------- */

/* x f32 [T, C, H, W] through a stage -> f32 [T', C', H', W'] packed. */
static nn_tensor forward(struct vae_ctx *c, const struct vae *v, const struct vae_stage *stage,
                         nn_tensor x)
{
    nn_tensor h = nn_unsqueeze(c->r, nn_transpose(c->r, x, 0, 1), 0); /* [1, C, T, H, W] */
    h = nn_cast(c->r, nn_channels_last(c->r, h), v->info.dtype);
    h = stage->forward(c, v, h);
    vae_trace(c, stage->name, 0, 0, h);
    h = nn_cast(c->r, h, NN_F32);
    h = nn_transpose(c->r, nn_squeeze(c->r, h, 0), 0, 1);
    return nn_pack(c->r, h);
}

static struct vae_ctx context(struct vae_session *s, struct nn_rec *r,
                              const struct vae_shape *shape)
{
    struct vae_ctx c = {.r = r,
                        .first = shape->first,
                        .last = shape->last,
                        .past = s->carry ? &s->past : NULL,
                        .statistics = s->gather ? &s->statistics[s->bank] : NULL,
                        .fixed = s->fixed ? &s->statistics[!s->bank] : NULL,
                        .named = s->job && (s->job->on_trace || s->job->check),
                        .unfused = s->job && s->job->on_trace};
    return c;
}

static int dry_run(struct vae_session *s, const struct vae_shape *p, struct nn_cost *cost)
{
    struct nn_rec *r = NULL;
    FV_TRY(nn_rec_create(&r, s->v->dev, &(struct nn_rec_opts){.dry = true}));
    nn_begin(r);
    nn_tensor x =
        nn_over(NULL, NOWHERE, NN_F32, NN_SHAPE(p->frames, p->channels, p->height, p->width));
    struct vae_ctx c = context(s, r, p);
    forward(&c, s->v, p->stage, x);
    int rc = nn_end(r);
    *cost = nn_cost_of(r);
    nn_rec_destroy(&r);
    return rc;
}

int vae_session_cost(struct vae *v, const struct vae_shape *shape, bool carry, bool gather,
                     struct nn_cost *cost, uint64_t *bytes)
{
    struct vae_session s = {.v = v, .carry = carry, .gather = gather, .fixed = gather};
    int rc = dry_run(&s, shape, cost);
    *bytes = cost->peak_bytes + cost->packed_bytes + s.past.bytes + s.statistics[0].bytes +
             s.statistics[1].bytes +
             (uint64_t)shape->frames * shape->channels * shape->height * shape->width * 4;
    vae_kept_finish(&s.past);
    vae_kept_finish(&s.statistics[0]);
    vae_kept_finish(&s.statistics[1]);
    return rc;
}

int vae_session_open(struct vae_session *s, struct vae *v, const struct vae_io *job,
                     struct vae_stats *stats)
{
    s->v = v;
    s->job = job;
    s->stats = stats;
    FV_TRY(nn_store_create(&s->io, v->dev));
    FV_TRY(nn_store_create(&s->past.store, v->dev));
    FV_TRY(nn_store_create(&s->statistics[0].store, v->dev));
    return nn_store_create(&s->statistics[1].store, v->dev);
}

void vae_session_close(struct vae_session *s)
{
    nn_rec_destroy(&s->r);
    nn_store_destroy(&s->io);
    vae_kept_finish(&s->past);
    vae_kept_finish(&s->statistics[0]);
    vae_kept_finish(&s->statistics[1]);
}

int vae_session_tick(const struct vae_session *s, double part)
{
    struct fv_progress p = {
        .what = "running", .done = s->from + part * (s->to - s->from), .total = s->total};
    if (!s->job->on_progress || s->job->on_progress(s->job->ud, &p) == 0)
        return 0;
    return fv_fail(FV_ECANCELLED, "cancelled");
}

int vae_session_turn(struct vae_session *s)
{
    s->recorded = false;
    s->fixed = true;
    s->bank = !s->bank;
    return empty(&s->statistics[s->bank]);
}

static int make_room(struct vae_session *s, const struct vae_shape *p)
{
    uint64_t n = (uint64_t)p->frames * p->channels * p->height * p->width;
    uint32_t shape[4] = {p->frames, p->channels, p->height, p->width};
    if (nn_is_null(s->room) || nn_count(s->room) < n) {
        nn_store_destroy(&s->io);
        FV_TRY(nn_store_create(&s->io, s->v->dev));
        FV_TRY(nn_store_tensor(&s->room, s->io, NN_F32, 4, shape, "input"));
    }
    s->in = nn_over(s->room.buf, s->room.offset, NN_F32, 4, shape);
    return 0;
}

static int make_recorder(struct vae_session *s, const struct vae_shape *p)
{
    struct nn_cost cost;
    if (s->r)
        return 0;
    /* The pool at once in the size it needs. Dry statistics would be without storage: left out. */
    struct vae_session plain = {.v = s->v};
    FV_TRY(dry_run(&plain, p, &cost));
    struct nn_rec_opts o = {.pool_bytes = cost.peak_bytes,
                            .cache = s->v->cache,
                            .check = s->job->check,
                            .on_trace = s->job->on_trace,
                            .ud = s->job->ud};
    return nn_rec_create(&s->r, s->v->dev, &o);
}

static int record(struct vae_session *s, const struct vae_shape *p)
{
    uint32_t had = s->statistics[s->bank].count;
    s->recorded = false;
    if (s->r)
        nn_begin(s->r); /* nothing runs that reads the input's storage */
    FV_TRY(make_room(s, p));
    FV_TRY(make_recorder(s, p));
    nn_begin(s->r);
    struct vae_ctx c = context(s, s->r, p);
    s->out = forward(&c, s->v, p->stage, s->in);
    int rc = nn_end(s->r);
    if (rc < 0)
        return fv_wrap(rc, "%s: ", p->stage->name);
    if (s->gather && !had)
        FV_TRY(empty(&s->statistics[s->bank]));
    s->shape = *p;
    s->recorded = true;
    return 0;
}

static bool same_shape(const struct vae_shape *a, const struct vae_shape *b)
{
    return a->stage == b->stage && a->frames == b->frames && a->channels == b->channels &&
           a->height == b->height && a->width == b->width && a->first == b->first &&
           a->last == b->last;
}

int vae_session_run(struct vae_session *s, const struct vae_stage *stage,
                    const struct vae_piece *in, bool first, bool last, struct vae_piece *out)
{
    bool alone = !s->carry; /* then every piece is the first and the last of its own */
    struct vae_shape p = {stage,     in->frames,     in->channels, in->height,
                          in->width, alone || first, alone || last};
    if (!s->recorded || !same_shape(&p, &s->shape))
        FV_TRY(record(s, &p));
    FV_TRY(nn_upload_f32(s->in, in->data));
    double start = fv_now();
    int rc = nn_run(s->r);
    s->stats->device_seconds += fv_now() - start;
    if (rc < 0)
        return fv_wrap(rc, "%s: ", stage->name);
    s->stats->flops += nn_cost_of(s->r).flops;
    const uint32_t *n = s->out.shape;
    FV_TRY(vae_piece_resize(out, n[0], n[1], n[2], n[3]));
    FV_TRY(nn_fetch_f32(out->data, s->out));
    return 0;
}

/* ---- stages ------------------------------------------------------------------------------ */

const struct vae_stage *vae_stage_of(const struct vae *v, enum vae_way way)
{
    static const struct vae_stage flat[2] = {{vae_half_encode, true, false, true, "encoder"},
                                             {vae_half_decode, false, true, true, "decoder"}};
    static const struct vae_stage video[2] = {{vae_half_encode, true, false, false, "encoder"},
                                              {vae_half_decode, false, true, false, "decoder"}};
    static const struct vae_stage tiny[2] = {{vae_tiny_encode, true, false, true, "encoder"},
                                             {vae_tiny_decode, false, true, true, "decoder"}};
    if (v->info.family == VAE_TINY)
        return &tiny[way];
    return v->info.family == VAE_ODVAE || v->info.family == VAE_CVVAE ? &video[way] : &flat[way];
}

const struct vae_stage vae_temporal_stages[2] = {
    {vae_temporal_encode, false, false, false, "temporal encoder"},
    {vae_temporal_decode, false, false, false, "temporal decoder"}};

/* Streams for commands and the viewer (stream_in.h). */
#include "app/stream_in.h"
#include "vk/base/file.h"
#include "vk/base/log.h"
#include "vk/base/thread.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const double look = 0.1;       /* seconds between two looks while waiting */
static const double look_file = 0.02; /* a file tells nobody that it grew */
static const double want_seconds = 10, rate_seconds = 5;

bool stream_in_is(const char *path)
{
    return http_is_url(path) || fv_ends_with(path, ".fvv");
}

/* ---- waiting ---- */

int stream_in_progress(void *ud, const struct fv_progress *now)
{
    struct progress *p = ud;
    const char *unit = p->unit;
    p->unit = NULL; /* bytes are no frames */
    int rc = progress_update(p, now);
    p->unit = unit;
    return rc;
}

/* Until something has come. FV_EAGAIN past `until`, with the text as it was. */
static int pause_until(struct stream_in *in, double until)
{
    double now = fv_now();
    if (app_cancelled())
        return fv_fail(FV_ECANCELLED, "cancelled");
    if (now >= until)
        return FV_EAGAIN;
    if (in->opts.on_wait) {
        struct http_stats s = {0};
        stream_in_stats(in, &s);
        struct fv_progress p = {"loading", (double)s.received, (double)s.size};
        if (in->opts.on_wait(in->opts.wait_ud, &p))
            return fv_fail(FV_ECANCELLED, "cancelled");
    }
    double left = until - now;
    if (in->http)
        http_source_wait(in->http, fmin(left, look));
    else
        usleep((useconds_t)(1e6 * fmin(left, look_file)));
    return 0;
}

/* Repeats a call while what it wants is on its way. */
#define PATIENTLY(in, rc, call)                                                                    \
    do {                                                                                           \
        double until_ = fv_now() + (in)->patience;                                                 \
        while ((rc = (call)) == FV_EAGAIN && (rc = pause_until(in, until_)) == 0)                  \
            ;                                                                                      \
    } while (0)

/* ---- opening ---- */

static int open_stream(struct stream_in *in)
{
    int rc;
    PATIENTLY(in, rc, gs_stream_open_source(&in->stream, &in->source, in->name));
    if (rc < 0)
        gs_stream_close(&in->stream);
    else
        in->info = gs_stream_info(in->stream);
    if (rc == 0) {
        struct gs_stream_keys keys = nl_stream_keys(&in->view);
        gs_stream_set_keys(in->stream, &keys);
    }
    return rc;
}

int stream_in_open(struct stream_in *in, const char *path, const struct scene_opts *opts)
{
    *in = (struct stream_in){.opts = *opts, .patience = INFINITY};
    in->sh = in->sh_most = opts->sh >= 0 ? opts->sh : 3;
    if (http_is_url(path)) {
        const struct http_opts http = {.live = opts->live, .ca_file = getenv("SSL_CERT_FILE")};
        http_url_text(in->name, sizeof in->name, path);
        FV_TRY(http_source_open(&in->http, path, &http));
        in->source = http_source_as(in->http);
    } else {
        snprintf(in->name, sizeof in->name, "%s", path);
        FV_TRY(gs_source_open_file(&in->source, path, opts->live));
    }
    int rc = open_stream(in);
    if (rc < 0)
        stream_in_finish(in);
    return rc;
}

int stream_in_whole(struct stream_in *in)
{
    int rc = 1;
    while (rc > 0 && in->info->growing) {
        PATIENTLY(in, rc, gs_stream_more(in->stream));
        FV_TRY(rc);
    }
    return 0;
}

int stream_in_follow(struct stream_in *in)
{
    return in->info->growing ? gs_stream_more(in->stream) : 0;
}

bool stream_in_changed(struct stream_in *in)
{
    struct http_stats s;
    return stream_in_stats(in, &s) && s.state == HTTP_CHANGED;
}

int stream_in_reopen(struct stream_in *in)
{
    gs_stream_close(&in->stream);
    in->info = NULL;
    in->quality = (struct quality){0};
    in->bad_from = in->bad_to = 0;
    http_source_restart(in->http);
    return open_stream(in);
}

bool stream_in_stats(struct stream_in *in, struct http_stats *out)
{
    if (in->http)
        http_source_stats(in->http, out);
    return in->http != NULL;
}

/* ---- what is loaded ---- */

void stream_in_want(struct stream_in *in, uint32_t frame, uint32_t count, bool loop)
{
    gs_stream_want(in->stream, frame, count, in->sh, loop);
}

/* Seconds that could be played from a frame on without waiting. */
static double seconds_ahead(struct stream_in *in, uint32_t frame)
{
    uint32_t most = in->info->frame_count;
    return gs_stream_ahead(in->stream, frame, most, in->sh) / in->info->fps;
}

/* The base that a frame needs first, and at each degree its bytes. */
static uint32_t base_of(const struct stream_in *in, uint32_t frame, double start[4])
{
    const struct gs_stream_info *i = in->info;
    uint32_t base = i->frame[frame].base < i->frame_count ? i->frame[frame].base : frame;
    for (int d = 0; d < 4; d++)
        start[d] = (double)gs_stream_bytes(in->stream, base, 1, d);
    return base;
}

void stream_in_rates(const struct stream_in *in, uint32_t frame, double rate[4])
{
    const struct gs_stream_info *i = in->info;
    uint32_t n = (uint32_t)ceil(rate_seconds * i->fps), left = i->frame_count - frame;
    double start[4];
    bool begins = base_of(in, frame, start) == frame;
    n = n < left ? n : left;
    for (int d = 0; d < 4; d++) {
        rate[d] = (double)gs_stream_bytes(in->stream, frame, n, d) * i->fps / n;
        if (begins) /* it comes before the play begins */
            rate[d] -= start[d] * i->fps / n;
    }
}

bool stream_in_adapt(struct stream_in *in, uint32_t frame)
{
    struct http_stats s;
    const struct gs_stream_info *i = in->info;
    if (frame >= i->frame_count || !stream_in_stats(in, &s))
        return false;
    uint32_t left = i->frame_count - frame;
    struct quality_now now = {.degree = in->sh,
                              .most = in->sh_most < i->sh_degree ? in->sh_most : i->sh_degree,
                              .bandwidth = s.bandwidth,
                              .ahead = seconds_ahead(in, frame),
                              .left = i->growing ? INFINITY : left / i->fps,
                              .time = fv_now()};
    base_of(in, frame, now.start);
    stream_in_rates(in, frame, now.rate);
    int was = in->sh;
    in->sh = quality_choose(&in->quality, &now);
    if (in->sh != was)
        fv_log(FV_INFO, "%s: SH degree %d from frame %u on, at %.0f kB/s", in->name, in->sh, frame,
               s.bandwidth / 1e3);
    return in->sh != was;
}

/* ---- frames ---- */

int stream_in_decode(struct stream_in *in, uint32_t frame, struct gs_scene *scene)
{
    int rc;
    PATIENTLY(in, rc, gs_stream_decode(in->stream, frame, in->sh, scene));
    return rc;
}

int stream_in_first(struct stream_in *in)
{
    int rc = 0;
    uint32_t frame = 0;
    if (in->adapts && in->http && in->sh_most > 0) {
        /* what comes at any quality comes first, and tells how fast it comes */
        double until = fv_now() + in->patience;
        gs_stream_want(in->stream, 0, 1, 0, false);
        while (rc == 0 && !gs_stream_ahead(in->stream, 0, 1, 0)) {
            struct http_stats s;
            http_source_stats(in->http, &s);
            if (s.state == HTTP_FAILED || s.state == HTTP_CHANGED || s.state == HTTP_IDLE)
                break; /* decoding will say why */
            rc = pause_until(in, until);
        }
        FV_TRY(rc);
        stream_in_adapt(in, 0);
    }
    stream_in_want(in, 0, (uint32_t)ceil(want_seconds * in->info->fps), false);
    while ((rc = stream_in_decode(in, frame, &in->scene)) == FV_EFORMAT) {
        uint32_t next = gs_stream_next_group(in->stream, frame);
        if (next >= in->info->frame_count)
            break;
        frame = next;
    }
    in->first = frame;
    return rc;
}

void stream_in_start(struct stream_in *in, struct vk_device *dev, bool exact)
{
    in->dev = dev;
    in->exact = exact;
}

int stream_in_put(struct stream_in *in, struct stream_slot *slot, uint32_t frame)
{
    int rc;
    PATIENTLY(in, rc, gs_stream_upload(in->stream, frame, in->sh, in->dev, in->exact, &slot->gpu));
    if (rc == 0)
        slot->frame = frame;
    return rc;
}

/* Notes that frames are damaged, and how far. */
static void note_damage(struct stream_in *in, uint32_t frame)
{
    in->bad_from = frame;
    in->bad_to = gs_stream_next_group(in->stream, frame);
    fv_log(FV_WARN, "%s; the frame before it is shown up to frame %u", fv_error(), in->bad_to - 1);
    if (!in->damage[0])
        snprintf(in->damage, sizeof in->damage, "%s", fv_error());
}

/* Puts a frame into a slot; one that is damaged becomes what `last` shows, or the first that was
 * decoded. */
static int put_or_hold(struct stream_in *in, struct stream_slot *slot, struct stream_slot **last,
                       uint32_t frame)
{
    bool known = frame >= in->bad_from && frame < in->bad_to;
    int rc = known ? FV_EFORMAT : stream_in_put(in, slot, frame);
    if (rc == FV_EFORMAT && ((*last)->gpu || in->scene.count)) {
        if (!known)
            note_damage(in, frame);
        in->held++;
        (*last)->frame = frame;
        if ((*last)->gpu)
            return 0;
        rc = stream_in_put(in, slot, in->first);
        slot->frame = frame;
    }
    FV_TRY(rc);
    *last = slot;
    in->turn = (in->turn + 1) % RENDER_IN_FLIGHT;
    return 0;
}

int stream_in_at(struct stream_in *in, double seconds, const struct gs_gpu_scene **out)
{
    /* a millionth later, so that k / fps is frame k */
    double at = floor(seconds * in->info->fps + 1e-6);
    uint32_t frame = (uint32_t)fmod(at > 0 ? at : 0, in->info->frame_count);
    struct stream_slot *last = &in->slot[(in->turn + RENDER_IN_FLIGHT - 1) % RENDER_IN_FLIGHT];
    if (!last->gpu || last->frame != frame) { /* else it is shown again */
        stream_in_want(in, frame, (uint32_t)ceil(want_seconds * in->info->fps), false);
        FV_TRY(put_or_hold(in, &in->slot[in->turn], &last, frame));
    }
    *out = last->gpu;
    return 0;
}

void stream_in_finish(struct stream_in *in)
{
    for (int k = 0; k < RENDER_IN_FLIGHT; k++)
        gs_gpu_scene_destroy(&in->slot[k].gpu);
    gs_scene_finish(&in->scene);
    gs_stream_close(&in->stream);
    http_source_close(&in->http);
    if (in->source.close)
        in->source.close(in->source.ud);
    in->source = (struct gs_source){0};
}

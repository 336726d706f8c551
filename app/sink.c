/* The queue between rendering and files (sink.h): a ring of buffers goes from the free queue
 * through the caller to the full queue, through a worker and back. One worker for streams,
 * whose frames have an order; several for files of their own. */
#include "app/sink.h"
#include "app/image_io.h"
#include "vk/base/file.h"
#include "vk/base/thread.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MOST_WORKERS = 8, SPARE_BUFFERS = 3 };

struct buffer {
    char *path; /* NULL for streams */
    uint32_t width, height;
    size_t size, room;
    uint8_t *bytes;
};

struct sink {
    struct sink_opts opts;
    char *path, *comment;
    struct fv_queue empty, full;
    struct buffer *buffers;
    size_t buffer_count;
    pthread_t workers[MOST_WORKERS];
    size_t worker_count;
    struct video_out *video;
    struct fv_writer stream; /* Y4M, RAW */
    double waited_seconds;
    pthread_mutex_t lock; /* guards the rest */
    int failure;
    char failure_text[512];
    struct sink_stats stats;
};

static bool is_piped(const struct sink *s)
{
    return s->path && !strcmp(s->path, "-");
}

static bool is_files(const struct sink *s)
{
    return s->opts.format == OUTPUT_PNG || s->opts.format == OUTPUT_NPY;
}

/* ---- frames to files -------------------------------------------------------------------- */

static uint32_t channels_of(enum gs_output o)
{
    return o == GS_OUT_RGBA8 ? 4 : o == GS_OUT_RGB_F32 ? 3 : 1;
}

static size_t frame_bytes(enum gs_output output, uint32_t width, uint32_t height)
{
    size_t n = (size_t)width * height;
    switch (output) {
    case GS_OUT_RGB_F32:
        return n * 12;
    case GS_OUT_ALPHA_F32:
    case GS_OUT_DEPTH_F32:
    case GS_OUT_DEPTH_ACC_F32:
        return n * 4;
    default:
        return video_frame_size(output, width, height);
    }
}

/* 8-bit rows for PNG: RGBA loses its alpha (the background is blended in), floats are
 * rounded. In place: every output byte lies at or before its source. */
static uint32_t to_png(enum gs_output output, struct buffer *b)
{
    size_t n = (size_t)b->width * b->height;
    uint8_t *p = b->bytes;
    if (output == GS_OUT_RGBA8) {
        for (size_t i = 0; i < n; i++)
            memmove(p + 3 * i, p + 4 * i, 3);
        return 3;
    }
    uint32_t channels = channels_of(output);
    for (size_t i = 0; i < n * channels; i++) {
        float f;
        memcpy(&f, p + 4 * i, 4);
        p[i] = (uint8_t)(f >= 1 ? 255 : f > 0 ? f * 255.0f + 0.5f : 0);
    }
    return channels;
}

static int write_file(struct sink *s, struct buffer *b)
{
    const struct sink_opts *o = &s->opts;
    if (o->format == OUTPUT_NPY) /* malloc'd memory: aligned for float */
        return image_save_npy(b->path, (const float *)(const void *)b->bytes, b->width, b->height,
                              channels_of(o->output));
    const char *text[] = {"Software", "fovea " FOVEA_VERSION, "Comment", s->comment, NULL};
    uint32_t channels = to_png(o->output, b);
    return image_save_png(b->path, b->bytes, b->width, b->height, channels, text);
}

static int write_stream(struct sink *s, const struct buffer *b)
{
    if (s->video)
        return video_out_write(s->video, b->bytes, b->size);
    if (s->opts.format == OUTPUT_Y4M)
        fv_write(&s->stream, "FRAME\n", 6);
    fv_write(&s->stream, b->bytes, b->size);
    if (!s->stream.failed && !s->stream.path && fflush(s->stream.file))
        s->stream.failed = true;
    if (s->stream.failed)
        return fv_write_failure(s->stream.path ? s->path : NULL, errno);
    return 0;
}

static void note_failure(struct sink *s, int rc)
{
    pthread_mutex_lock(&s->lock);
    if (!s->failure) {
        s->failure = rc;
        snprintf(s->failure_text, sizeof s->failure_text, "%s", fv_error());
    }
    pthread_mutex_unlock(&s->lock);
}

/* The first failure of a worker as this thread's error; 0 when there is none. */
static int failure_of(struct sink *s)
{
    pthread_mutex_lock(&s->lock);
    int rc = s->failure ? fv_fail(s->failure, "%s", s->failure_text) : 0;
    pthread_mutex_unlock(&s->lock);
    return rc;
}

static void *work(void *ud)
{
    struct sink *s = ud;
    struct buffer *b;
    struct stat st;
    while ((b = fv_queue_pop(&s->full))) {
        double start = fv_now();
        if (failure_of(s) >= 0) {
            int rc = b->path ? write_file(s, b) : write_stream(s, b);
            if (rc < 0)
                note_failure(s, rc);
            pthread_mutex_lock(&s->lock);
            s->stats.frames += rc >= 0;
            if (rc >= 0 && b->path && stat(b->path, &st) == 0)
                s->stats.bytes += (uint64_t)st.st_size;
            s->stats.busy_seconds += fv_now() - start;
            pthread_mutex_unlock(&s->lock);
        }
        free(b->path);
        b->path = NULL;
        fv_queue_push(&s->empty, b);
    }
    return NULL;
}

/* ---- opening ---------------------------------------------------------------------------- */

static int open_y4m(struct sink *s)
{
    const struct sink_opts *o = &s->opts;
    const char *chroma = o->output == GS_OUT_YUV444P     ? "C444"
                         : o->output == GS_OUT_YUV420P10 ? "C420p10 XYSCSS=420P10"
                                                         : "C420jpeg"; /* sited in the centre */
    char header[160];
    int n = snprintf(header, sizeof header,
                     "YUV4MPEG2 W%u H%u F%u:%u Ip A1:1 %s "
                     "XCOLORRANGE=LIMITED XFOVEA=BT709\n", /* which video_in.c looks for */
                     o->width, o->height, o->fps_num, o->fps_den, chroma);
    fv_write(&s->stream, header, (size_t)n);
    return 0;
}

static int open_stream(struct sink *s)
{
    const struct sink_opts *o = &s->opts;
    if (o->format == OUTPUT_VIDEO) {
        struct video_opts v = {.path = o->path,
                               .container = o->container,
                               .codec = o->codec,
                               .width = o->width,
                               .height = o->height,
                               .fps_num = o->fps_num,
                               .fps_den = o->fps_den,
                               .format = o->output,
                               .crf = o->crf,
                               .bitrate = o->bitrate,
                               .preset = o->preset,
                               .title = o->title,
                               .comment = o->comment};
        FV_TRY(video_out_open(&s->video, &v));
        snprintf(s->stats.encoder, sizeof s->stats.encoder, "%s", video_out_encoder(s->video));
        return 0;
    }
    if (o->output != GS_OUT_YUV444P && o->output != GS_OUT_RGBA8 && (o->width % 2 || o->height % 2))
        return fv_fail(FV_EINVALID,
                       "%s: 4:2:0 video needs an even size; use %ux%u, or --pix-fmt yuv444p",
                       o->path, (o->width + 1) & ~1u, (o->height + 1) & ~1u);
    FV_TRY(fv_writer_open(&s->stream, o->path));
    return o->format == OUTPUT_Y4M ? open_y4m(s) : 0;
}

static int start_workers(struct sink *s)
{
    size_t want = is_files(s) && !is_piped(s) ? fv_cpu_count() : 1; /* what has an order has one */
    want = want > MOST_WORKERS ? MOST_WORKERS : want;
    s->buffer_count = want + SPARE_BUFFERS;
    FV_TRY(fv_queue_init(&s->empty, s->buffer_count));
    FV_TRY(fv_queue_init(&s->full, s->buffer_count));
    s->buffers = calloc(s->buffer_count, sizeof *s->buffers);
    if (!s->buffers)
        return fv_fail(FV_ENOMEM, "out of memory");
    for (size_t i = 0; i < s->buffer_count; i++)
        fv_queue_push(&s->empty, &s->buffers[i]);
    for (; s->worker_count < want; s->worker_count++)
        if (pthread_create(&s->workers[s->worker_count], NULL, work, s))
            return s->worker_count ? 0 : fv_fail(FV_ENOMEM, "a thread cannot be started");
    return 0;
}

int sink_open(struct sink **out, const struct sink_opts *opts)
{
    *out = NULL;
    struct sink *s = calloc(1, sizeof *s);
    if (!s)
        return fv_fail(FV_ENOMEM, "out of memory");
    pthread_mutex_init(&s->lock, NULL);
    s->opts = *opts;
    s->path = opts->path ? strdup(opts->path) : NULL;
    s->comment = opts->comment ? strdup(opts->comment) : NULL;
    int rc = !is_files(s) ? open_stream(s) : 0;
    if (rc >= 0)
        rc = start_workers(s);
    if (rc < 0) {
        struct sink_stats stats;
        char text[512];
        snprintf(text, sizeof text, "%s", fv_error());
        sink_finish(&s, false, &stats);
        sink_stats_finish(&stats);
        return fv_fail(rc, "%s", text);
    }
    *out = s;
    return 0;
}

static int fill_buffer(struct buffer *b, const char *path, const void *pixels, size_t size)
{
    if (b->room < size) {
        free(b->bytes);
        b->bytes = malloc(size);
        b->room = b->bytes ? size : 0;
    }
    b->path = path ? strdup(path) : NULL;
    b->size = size;
    if (!b->bytes || (path && !b->path))
        return fv_fail(FV_ENOMEM, "out of memory for a frame of %zu bytes", size);
    memcpy(b->bytes, pixels, size);
    return 0;
}

int sink_push(struct sink *s, const char *path, uint32_t width, uint32_t height, const void *pixels,
              size_t size)
{
    const struct sink_opts *o = &s->opts;
    FV_TRY(failure_of(s));
    if (size != frame_bytes(o->output, width, height) ||
        (!is_files(s) && (width != o->width || height != o->height)))
        return fv_fail(FV_EINVALID, "a frame of %ux%u and %zu bytes does not fit here", width,
                       height, size);
    double start = fv_now();
    struct buffer *b = fv_queue_pop(&s->empty);
    s->waited_seconds += fv_now() - start;
    b->width = width;
    b->height = height;
    int rc = fill_buffer(b, is_files(s) ? path : NULL, pixels, size);
    fv_queue_push(rc < 0 ? &s->empty : &s->full, b);
    return rc;
}

/* ---- ending ----------------------------------------------------------------------------- */

/* A Y4M or raw file plays at any length: the rules of video_out_finish. */
static int end_raw(struct sink *s, bool complete)
{
    struct fv_writer *w = &s->stream;
    if (!w->file)
        return 0;
    s->stats.bytes = s->stats.frames * frame_bytes(s->opts.output, s->opts.width, s->opts.height);
    if (w->failed || (!s->stats.frames && w->path))
        return fv_writer_abort(w), 0;
    if (!w->path) {
        return fv_writer_commit(w);
    }
    if (!complete && fv_exists(w->path)) {
        char *partial = video_partial_name(w->path);
        if (!partial)
            return fv_writer_abort(w), fv_fail(FV_ENOMEM, "out of memory");
        free(w->path); /* the writer renames to what path says at commit */
        w->path = partial;
    }
    char *kept = strdup(w->path);
    int rc = fv_writer_commit(w);
    if (rc < 0)
        free(kept);
    else
        s->stats.kept = kept;
    return rc;
}

static int end_stream(struct sink *s, bool complete)
{
    if (!s->video)
        return end_raw(s, complete);
    struct stat st;
    s->stats.bytes = video_out_bytes(s->video); /* of a pipe; a file is asked below */
    int rc = video_out_finish(&s->video, complete, &s->stats.kept);
    if (s->stats.kept && stat(s->stats.kept, &st) == 0)
        s->stats.bytes = (uint64_t)st.st_size;
    return rc;
}

int sink_finish(struct sink **out, bool complete, struct sink_stats *stats)
{
    struct sink *s = *out;
    *out = NULL;
    if (stats)
        *stats = (struct sink_stats){0};
    if (!s)
        return 0;
    if (s->full.items)
        fv_queue_close(&s->full);
    for (size_t i = 0; i < s->worker_count; i++)
        pthread_join(s->workers[i], NULL);
    s->stats.waited_seconds = s->waited_seconds;
    int rc = failure_of(s);
    int end = end_stream(s, complete && rc >= 0);
    if (rc < 0)
        fv_fail(rc, "%s", s->failure_text);
    else
        rc = end;
    if (stats)
        *stats = s->stats;
    else
        free(s->stats.kept);
    for (size_t i = 0; s->buffers && i < s->buffer_count; i++)
        free(s->buffers[i].bytes);
    free(s->buffers);
    fv_queue_finish(&s->empty);
    fv_queue_finish(&s->full);
    pthread_mutex_destroy(&s->lock);
    free(s->path);
    free(s->comment);
    free(s);
    return rc;
}

void sink_stats_finish(struct sink_stats *stats)
{
    free(stats->kept);
    stats->kept = NULL;
}

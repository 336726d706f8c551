/* Where rendered frames go, in threads of its own: video files, Y4M and raw streams, PNG and
 * .npy files. Pushing copies the pixels, so the caller's buffer is free at once and rendering
 * overlaps with encoding.
 *
 *     struct sink *s;
 *     FV_TRY(sink_open(&s, &(struct sink_opts){.format = OUTPUT_PNG, .output = GS_OUT_RGBA8}));
 *     for (...) rc = sink_push(s, "a.png", 640, 360, frame->pixels, frame->size);
 *     rc = sink_finish(&s, rc >= 0, &stats);
 */
#ifndef SINK_H
#define SINK_H

#include "app/output.h"
#include "app/video.h"

struct sink_opts {
    enum output_format format;
    const char *path;       /* of streams; "-" = standard output */
    const char *container;  /* of VIDEO: ".mkv"; NULL = as the path says */
    enum gs_output output;  /* what is pushed: RGBA8 or a float kind for PNG and NPY, YUV for
                                streams (RAW also RGBA8) */
    uint32_t width, height; /* of streams */
    uint32_t fps_num, fps_den;
    enum video_codec codec; /* VIDEO only, as are the next four */
    int crf;
    uint64_t bitrate;
    const char *preset;
    const char *title;
    const char *comment; /* VIDEO and PNG (as text "Comment") */
};

struct sink_stats {
    uint64_t frames;       /* written */
    uint64_t bytes;        /* of the files */
    double busy_seconds;   /* of the sink's threads, in encoding and writing */
    double waited_seconds; /* of the caller, in sink_push for room */
    char encoder[32];      /* "libx264"; "" for other formats */
    char *kept;            /* the stream's file name; NULL if none. Freed by sink_stats_finish */
};

struct sink;

/* Opens streams at once, so that a wrong name or codec fails before anything is drawn. */
int sink_open(struct sink **out, const struct sink_opts *opts);
/* Queues one frame. Waits while the queue is full.
 *
 * path           the file for PNG and NPY ("-" = standard output, behind what is there), ignored by
 *                streams.
 * width, height  may differ from picture to picture for PNG and NPY.
 * Returns the first failure of an earlier frame as soon as there is one. */
int sink_push(struct sink *s, const char *path, uint32_t width, uint32_t height, const void *pixels,
              size_t size);
/* Waits for what is queued, ends the stream (see video_out_finish for `complete`) and frees
 * the sink. stats may be NULL. Returns 0 or the first failure. */
int sink_finish(struct sink **s, bool complete, struct sink_stats *stats);
void sink_stats_finish(struct sink_stats *stats);

#endif

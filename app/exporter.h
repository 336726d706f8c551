/* Exporting: pictures along a camera path to a video or files (`fovea render`), or the scene itself to another
 * format (`fovea convert`, `fovea encode`), as a process of its own (process.h); cancelling leaves a playable
 * video.
 *
 *     struct exporter *e;
 *     FV_TRY(exporter_start(&e, &opts));
 *     while ((rc = exporter_poll(e)) == 0) ... e->done of e->total frames ...
 *     exporter_destroy(&e);
 */
#ifndef APP_EXPORTER_H
#define APP_EXPORTER_H

#include "gs/gs.h"

enum exporter_kind {
    EXPORT_PICTURES, /* a video, numbered pictures: as output's name says */
    EXPORT_SCENE,    /* a scene file */
    EXPORT_STREAM,   /* a moving scene of one file (.splatv) to a stream */
};

struct exporter_opts {
    enum exporter_kind kind;
    const char *scene, *output;
    const char *device;  /* as --device; NULL = best */
    const char *program; /* fovea; NULL = the running program */
    const struct gs_cameras *path; /* NULL: a full turn around the scene */
    uint32_t width, height;
    double fps;
    double seconds; /* of the video; 0 = as long as the path */
    int crf;        /* quality of the video, 1 best to 63; 0 = the codec's usual */
    bool stereo;    /* two eyes side by side, each of width x height */
    uint32_t frame; /* of a stream, that becomes a scene file */
    struct gs_render_opts render; /* mode, bands, background, splat scale and crop are taken over */
};

struct exporter {
    double done, total; /* frames of pictures, else of what the process counts; total 0 until known */
    double fps, eta;    /* frames a second, seconds left; 0 until known */
    char output[1024];
    struct exporter_private *p;
};

/* Returns 0, FV_EIO (temporary file, process), FV_EINVALID (no keys). */
int exporter_start(struct exporter **out, const struct exporter_opts *opts);
/* Never waits. 0: running; 1: the file is complete; negative: failed or cancelled, with text. */
int exporter_poll(struct exporter *e);
/* Asks it to finish what it has; exporter_poll tells when it did. */
void exporter_cancel(struct exporter *e);
/* Cancels, waits a few seconds at most, then ends it. Accepts NULL. */
void exporter_destroy(struct exporter **e);

#endif

/* See exporter.h. */
#include "app/exporter.h"
#include "app/process.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct exporter_private {
    struct process *process;
    char path_file[64];
};

static void crop_arg(struct process_line *a, const struct gs_render_opts *r)
{
    if (r->has_crop)
        process_arg(a, "--crop=%.9g,%.9g,%.9g,%.9g,%.9g,%.9g", r->crop_min[0], r->crop_min[1],
                    r->crop_min[2], r->crop_max[0], r->crop_max[1], r->crop_max[2]);
}

static void picture_args(struct process_line *a, const struct exporter_opts *o, const char *path_file)
{
    const struct gs_render_opts *r = &o->render;
    if (o->path)
        process_arg(a, "--cameras=%s", path_file);
    process_arg(a, "--size=%ux%u", o->width, o->height);
    process_arg(a, "--fps=%.6g", o->fps);
    if (o->seconds > 0)
        process_arg(a, "--seconds=%.9g", o->seconds);
    if (o->crf > 0)
        process_arg(a, "--crf=%d", o->crf);
    if (o->stereo)
        process_arg(a, "--stereo=sbs");
    if (r->mode != GS_MODE_AUTO)
        process_arg(a, "--mode=%s", r->mode == GS_MODE_CLASSIC ? "classic" : "antialiased");
    if (r->has_bg)
        process_arg(a, "--bg=%.4f,%.4f,%.4f", r->bg[0], r->bg[1], r->bg[2]);
    if (r->splat_scale > 0 && r->splat_scale != 1)
        process_arg(a, "--splat-scale=%.4g", r->splat_scale);
    crop_arg(a, r);
}

static void list_args(struct process_line *a, const struct exporter_opts *o, const char *path_file)
{
    static const char *const commands[] = {"render", "convert", "encode"};
    process_arg(a, "%s", commands[o->kind]);
    process_arg(a, "--output=%s", o->output);
    process_arg(a, "--progress=json");
    if (o->device)
        process_arg(a, "--device=%s", o->device);
    if (o->kind == EXPORT_PICTURES)
        picture_args(a, o, path_file);
    if (o->kind == EXPORT_SCENE)
        crop_arg(a, &o->render);
    if (o->kind == EXPORT_SCENE && o->frame)
        process_arg(a, "--frame=%u", o->frame);
    if (o->render.sh_bands)
        process_arg(a, "--sh=%d", o->render.sh_bands - 1);
    process_arg(a, "--");
    process_arg(a, "%s", o->scene);
}

static int write_path(struct exporter_private *p, const struct gs_cameras *path)
{
    strcpy(p->path_file, "/tmp/fovea-path-XXXXXX");
    int fd = mkstemp(p->path_file);
    if (fd < 0) {
        p->path_file[0] = 0;
        return fv_fail(FV_EIO, "/tmp: cannot write the camera path: %s", strerror(errno));
    }
    close(fd);
    return gs_cameras_save_path(path, p->path_file);
}

int exporter_start(struct exporter **out, const struct exporter_opts *opts)
{
    int rc = 0;
    *out = NULL;
    if (opts->kind == EXPORT_PICTURES && opts->path && !opts->path->count)
        return fv_fail(FV_EINVALID, "the camera path has no keys to export: add some first");
    struct exporter *e = calloc(1, sizeof *e);
    struct exporter_private *p = calloc(1, sizeof *p);
    struct process_line *a = calloc(1, sizeof *a);
    if (!e || !p || !a) {
        free(e);
        free(p);
        free(a);
        return fv_fail(FV_ENOMEM, "out of memory for the export");
    }
    e->p = p;
    snprintf(e->output, sizeof e->output, "%s", opts->output);
    if (opts->kind == EXPORT_PICTURES && opts->path)
        FV_GOTO(write_path(p, opts->path));
    list_args(a, opts, p->path_file);
    FV_GOTO(process_start(&p->process, a, &(struct process_opts){.program = opts->program,
                                                                 .what = "export",
                                                                 .work = opts->kind == EXPORT_PICTURES ? "rendering" : NULL}));
    *out = e;
    e = NULL;
done:
    free(a);
    exporter_destroy(&e);
    return rc;
}

int exporter_poll(struct exporter *e)
{
    const struct process *p = e->p->process;
    int rc = process_poll(e->p->process);
    e->done = p->done;
    e->total = p->total;
    e->fps = p->fps;
    e->eta = p->eta;
    return rc == FV_ECANCELLED
               ? fv_fail(FV_ECANCELLED, "The export was cancelled after %.0f frames.", e->done)
               : rc;
}

void exporter_cancel(struct exporter *e)
{
    process_cancel(e->p->process);
}

void exporter_destroy(struct exporter **e)
{
    if (!*e)
        return;
    process_destroy(&(*e)->p->process);
    if ((*e)->p->path_file[0])
        unlink((*e)->p->path_file);
    free((*e)->p);
    free(*e);
    *e = NULL;
}

/* check --arch scaffold, sags: decoded anchors against the authors' code (check.h). A directory is one
 * case: config.json, inputs.safetensors, weights.safetensors, camera.json; outputs.safetensors;
 * intermediate.safetensors of SAGS; render_inria.npy, render_alpha.npy, radii.npy. The twin in double
 * precision and the kernels are judged alike.
 *
 * A SAGS case may leave out its hash grid: its values are then what the maker of such cases took,
 * (i 2654435761 mod 2^32) / 2^32 * 0.2 - 0.1. */
#include "app/check.h"
#include "neural/neural.h"
#include "vk/base/json.h"
#include "vk/base/npy.h"
#include "vk/nn/weights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { HASH_VALUES = 953344 };

struct work {
    struct check *check;
    const char *dir;
    struct vk_device *dev;
    struct nl_model model;
    struct nl_encoded encoded;
    struct nl_gaussians out;
    struct gs_camera camera;
    double eye[3];   /* as the networks saw it */
    uint32_t row;    /* of the appearance embedding */
    uint8_t *visible;
    struct nn_file *inputs, *mid, *outputs;
    struct fv_arena arena;
};

/* float32 of the reference: sums of about a hundred products through three layers. */
static const struct check_bounds values = {.absolute = 2e-5, .relative = 1e-4};
static const struct check_bounds sums = {.absolute = 2e-6, .relative = 2e-6};
static const struct check_bounds same = {0};
/* Pictures of 0.99-clamped float32 rasterisers, as --arch splat. */
static const struct check_bounds picture = {
    .absolute = 1e-4, .least_good = 0.99, .most = 2e-2, .most_mean = 2e-5};
static const struct check_bounds covered = {
    .absolute = 1e-4, .least_good = 0.99, .most = 0.1, .most_mean = 2e-4};

/* ---- rows ---- */

static double *room(struct work *w, size_t n)
{
    return fv_arena_alloc(&w->arena, (n ? n : 1) * sizeof(double));
}

static double *doubles(struct work *w, const float *v, size_t n)
{
    double *out = room(w, n);
    for (size_t i = 0; out && i < n; i++)
        out[i] = (double)v[i];
    return out;
}

/* The values of a tensor, which must have n; NULL where it has not, or is not there. */
static double *tensor(struct work *w, const struct nn_file *f, const char *name, size_t n)
{
    const struct nn_file_tensor *t = f ? nn_file_find(f, name) : NULL;
    if (!t || t->count != n) {
        fv_fail(FV_EFORMAT, t ? "tensor %s has %llu values, expected %zu" : "tensor %s is missing", name,
                t ? (unsigned long long)t->count : 0, n);
        return NULL;
    }
    double *out = room(w, n);
    return out && nn_file_read(t, NN_DATA_F64, 0, n, out) >= 0 ? out : NULL;
}

static void row(struct work *w, const char *label, const double *got, const double *want, size_t n,
                size_t width, const struct check_bounds *b)
{
    struct check_error e;
    if (!got || !want) {
        check_failure(w->check, label);
        return;
    }
    check_measure(&e, got, want, NULL, n, b);
    e.width = width > 1 ? width : 0;
    check_row(w->check, label, &e);
}

static void compare(struct work *w, const struct nn_file *f, const char *name, const float *got,
                    size_t rows, size_t width, const struct check_bounds *b)
{
    row(w, name, doubles(w, got, rows * width), tensor(w, f, name, rows * width), rows * width, width,
        b);
}

/* ---- the case's files ---- */

static int open_file(struct work *w, const char *name, struct nn_file **out)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", w->dir, name);
    return fv_exists(path) ? nn_file_open(out, path, NULL) : 0;
}

static void read_centre(struct work *w, struct fv_json *doc)
{
    gs_camera_centre(&w->camera, w->eye);
    struct fv_node inria = fv_node_get(doc->root, "inria");
    if (inria.item && fv_node_has(inria, "camera_center"))
        fv_json_numbers(doc, fv_json_array(doc, inria, "camera_center"), w->eye, 3);
}

static int read_camera(struct work *w)
{
    struct fv_json doc;
    struct gs_camera *c = &w->camera;
    char path[1024];
    double bg[3];
    snprintf(path, sizeof path, "%s/camera.json", w->dir);
    FV_TRY(fv_json_open(&doc, path));
    c->width = (uint32_t)fv_json_int(&doc, doc.root, "width", 1, 16384);
    c->height = (uint32_t)fv_json_int(&doc, doc.root, "height", 1, 16384);
    c->fx = fv_json_number(&doc, doc.root, "fx");
    c->fy = fv_json_number(&doc, doc.root, "fy");
    c->cx = fv_json_number(&doc, doc.root, "cx");
    c->cy = fv_json_number(&doc, doc.root, "cy");
    fv_json_numbers(&doc, fv_json_array(&doc, doc.root, "viewmat"), c->view, 16);
    w->row = fv_node_has(doc.root, "uid") ? (uint32_t)fv_json_int(&doc, doc.root, "uid", 0, 1 << 20) : 0;
    if (fv_node_has(doc.root, "bg")) {
        fv_json_numbers(&doc, fv_json_array(&doc, doc.root, "bg"), bg, 3);
        c->has_bg = true;
        for (int k = 0; k < 3; k++)
            c->bg[k] = (float)bg[k];
    }
    read_centre(w, &doc);
    int rc = doc.failed ? FV_EFORMAT : 0;
    fv_json_close(&doc);
    return rc;
}

static int open_model(struct work *w)
{
    float *hash = malloc(HASH_VALUES * sizeof *hash);
    if (!hash)
        return fv_fail(FV_ENOMEM, "out of memory");
    for (uint32_t i = 0; i < HASH_VALUES; i++)
        hash[i] = (float)((double)(i * 2654435761u) / 4294967296.0 * 0.2 - 0.1);
    int rc = nl_open(&w->model, w->dir, &(struct nl_open_opts){hash, HASH_VALUES});
    free(hash);
    return rc;
}

/* The mask of the case; all anchors without one. */
static int read_visible(struct work *w)
{
    size_t n = w->model.count;
    const struct nn_file_tensor *t = nn_file_find(w->inputs, "visible_mask");
    w->visible = fv_arena_alloc(&w->arena, n);
    if (!w->visible)
        return FV_ENOMEM;
    memset(w->visible, 1, n);
    double *mask = t ? tensor(w, w->inputs, "visible_mask", n) : NULL;
    for (size_t i = 0; mask && i < n; i++)
        w->visible[i] = mask[i] != 0;
    return t && !mask ? FV_EFORMAT : 0;
}

static int open_case(struct work *w)
{
    FV_TRY(app_device(w->check->app, &w->dev));
    FV_TRY(open_model(w));
    FV_TRY(read_camera(w));
    FV_TRY(open_file(w, "inputs.safetensors", &w->inputs));
    FV_TRY(open_file(w, "intermediate.safetensors", &w->mid));
    FV_TRY(open_file(w, "outputs.safetensors", &w->outputs));
    if (!w->outputs)
        return fv_fail(FV_EFORMAT, "%s: has no outputs.safetensors", w->dir);
    return read_visible(w);
}

/* ---- quantities ---- */

static void check_graph(struct work *w)
{
    const struct nl_model *m = &w->model;
    size_t n = (size_t)m->count * m->neighbours;
    double *got = room(w, n);
    for (size_t i = 0; got && i < n; i++)
        got[i] = m->neighbour[i];
    if (nn_file_find(w->inputs, "neighbors"))
        row(w, "neighbors", got, tensor(w, w->inputs, "neighbors", n), n, m->neighbours, &same);
}

static void check_encoded(struct work *w)
{
    const struct nl_encoded *e = &w->encoded;
    if (w->model.arch != NL_SAGS)
        return;
    check_graph(w);
    if (!w->mid)
        return;
    compare(w, w->mid, "xyz_enc", e->hash, e->count, NL_HASH_WIDTH, &sums);
    compare(w, w->mid, "message_aggr", e->message, e->count, w->model.feature, &sums);
    compare(w, w->mid, "feats_aggr", e->feature, e->count, e->width, &sums);
}

static void check_alive(struct work *w)
{
    const struct nl_gaussians *g = &w->out;
    const struct nl_encoded *e = &w->encoded;
    bool sags = w->model.arch == NL_SAGS;
    size_t n = sags ? w->model.count : g->rows;
    double *alive = room(w, n);
    for (size_t i = 0; alive && i < g->rows; i++)
        alive[sags ? e->index[i] : i] = g->alive[i];
    const char *name = sags ? "combined_mask" : "mask";
    if (nn_file_find(w->outputs, name))
        row(w, name, alive, tensor(w, w->outputs, name, n), n, 1, &same);
    if (nn_file_find(w->outputs, "neural_opacity"))
        compare(w, w->outputs, "neural_opacity", g->raw, g->rows, 1, &values);
}

static void check_gaussians(struct work *w, const struct nl_gaussians *g)
{
    compare(w, w->outputs, "xyz", g->position, g->count, 3, &values);
    compare(w, w->outputs, "color", g->colour, g->count, 3, &values);
    compare(w, w->outputs, "opacity", g->opacity, g->count, 1, &values);
    compare(w, w->outputs, "scaling", g->scale, g->count, 3, &values);
    compare(w, w->outputs, "rotation", g->rotation, g->count, 4, &values);
}

/* ---- pictures ---- */

static double *array(struct work *w, const char *name, size_t n)
{
    char path[1024];
    struct fv_npy a;
    double *out = room(w, n);
    snprintf(path, sizeof path, "%s/%s", w->dir, name);
    if (!out || fv_npy_open(&a, path) < 0)
        return NULL;
    bool fits = a.count == n;
    if (fits)
        fv_npy_get_f64(&a, out);
    else
        fv_fail(FV_EFORMAT, "%s: %zu elements, expected %zu", path, a.count, n);
    fv_npy_close(&a);
    return fits ? out : NULL;
}

static int draw(struct work *w, struct gs_frame *f, const struct gs_gpu_scene *s, const char *name,
                enum gs_output output, const struct check_bounds *b)
{
    char path[1024];
    size_t channels = output == GS_OUT_RGB_F32 ? 3 : 1;
    size_t n = (size_t)w->camera.width * w->camera.height * channels;
    snprintf(path, sizeof path, "%s/%s", w->dir, name);
    if (!fv_exists(path))
        return 0;
    FV_TRY(gs_frame_submit(f, s, &w->camera, &(struct gs_render_opts){.output = output, .exact = true}));
    FV_TRY(gs_frame_wait(f));
    row(w, name, doubles(w, f->pixels, n), array(w, name, n), n, w->camera.width * channels, b);
    return 0;
}

/* Which Gaussians the rasteriser that made the case drew: those with radii. */
static int check_radii(struct work *w, struct gs_renderer *r, const struct gs_gpu_scene *s, size_t n)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/radii.npy", w->dir);
    if (!fv_exists(path))
        return 0;
    struct gs_projection p = {.visible = fv_arena_alloc(&w->arena, n)};
    double *want = array(w, "radii.npy", n), *got = room(w, n);
    if (!p.visible || !want || !got)
        return FV_EFORMAT;
    FV_TRY(gs_project(r, s, &w->camera, &(struct gs_render_opts){.exact = true}, &p));
    size_t missed = 0;
    for (size_t i = 0; i < n; i++)
        missed += p.visible[i] && want[i] <= 0; /* fainter ones have radii there, and are not drawn here */
    check_fact(w->check, "radii.npy", !missed, "%zu Gaussians are drawn that have no radius", missed);
    return 0;
}

static int check_pictures(struct work *w, const struct gs_gpu_scene *s, size_t count)
{
    struct gs_renderer *r = NULL;
    struct gs_frame *f = NULL;
    int rc = gs_renderer_create(&r, w->dev);
    if (rc >= 0)
        rc = gs_frame_create(&f, r);
    if (rc >= 0 && count)
        rc = check_radii(w, r, s, count);
    if (rc >= 0)
        rc = draw(w, f, s, "render_inria.npy", GS_OUT_RGB_F32, &picture);
    if (rc >= 0)
        rc = draw(w, f, s, "render_alpha.npy", GS_OUT_ALPHA_F32, &covered);
    gs_frame_destroy(&f);
    gs_renderer_destroy(&r);
    return rc;
}

static int check_reference(struct work *w)
{
    struct gs_scene scene = {0};
    struct gs_gpu_scene *gpu = NULL;
    check_group(w->check, "reference");
    FV_TRY(nl_encode(&w->model, w->visible, &w->encoded));
    FV_TRY(nl_decode(&w->model, &w->encoded, w->eye, w->row, &w->out));
    check_encoded(w);
    check_alive(w);
    check_gaussians(w, &w->out);
    FV_TRY(nl_bake(&w->out, &scene));
    int rc = gs_gpu_scene_create(&gpu, w->dev, &scene, &(struct gs_upload_opts){.exact = true});
    if (rc >= 0)
        rc = check_pictures(w, gpu, scene.count);
    gs_gpu_scene_destroy(&gpu);
    gs_scene_finish(&scene);
    return rc;
}

/* What the kernels made, as the reference's arrays. */
static int fetch(struct work *w, const struct gs_gpu_scene *s, size_t n, struct nl_gaussians *out)
{
    struct gs_scene scene = {0};
    FV_TRY(gs_gpu_scene_fetch(s, n, &scene));
    *out = (struct nl_gaussians){.count = (uint32_t)n,
                                 .position = fv_arena_alloc(&w->arena, 12 * n),
                                 .colour = fv_arena_alloc(&w->arena, 12 * n),
                                 .opacity = fv_arena_alloc(&w->arena, 4 * n),
                                 .scale = fv_arena_alloc(&w->arena, 12 * n),
                                 .rotation = fv_arena_alloc(&w->arena, 16 * n)};
    bool room = out->position && out->colour && out->opacity && out->scale && out->rotation;
    for (size_t i = 0; room && i < 3 * n; i++) {
        out->position[i] = scene.position[i];
        out->colour[i] = 0.5f + 0.28209479f * scene.sh[i];
        out->scale[i] = expf(scene.scale[i]);
    }
    for (size_t i = 0; room && i < n; i++) {
        out->opacity[i] = 1 / (1 + expf(-scene.opacity[i]));
        memcpy(out->rotation + 4 * i, scene.rotation + 4 * i, 16);
    }
    gs_scene_finish(&scene);
    return room ? 0 : FV_ENOMEM;
}

static int check_made(struct work *w, struct gs_frame *f, const struct gs_gpu_scene *s)
{
    struct nl_gaussians made;
    FV_TRY(gs_frame_submit(f, s, &w->camera,
                           &(struct gs_render_opts){.output = GS_OUT_RGB_F32, .exact = true}));
    FV_TRY(gs_frame_wait(f));
    check_fact(w->check, "count", f->stats.made == w->out.count, "%u Gaussians, expected %u",
               f->stats.made, w->out.count);
    if (f->stats.made != w->out.count)
        return 0;
    FV_TRY(fetch(w, s, f->stats.made, &made));
    check_gaussians(w, &made);
    return 0;
}

/* The kernels, of the anchors the case's mask leaves: Gaussians that are written, or projected at once. */
static int check_device(struct work *w, bool apart)
{
    struct nl_gpu *gpu = NULL;
    struct gs_renderer *r = NULL;
    struct gs_frame *f = NULL;
    int rc = 0;
    check_group(w->check, apart ? "device" : "projected at once");
    FV_GOTO(nl_gpu_create(&gpu, w->dev, &w->model, &w->encoded,
                          &(struct nl_gpu_opts){.exact = true, .all = true, .apart = apart, .camera = w->row}));
    FV_GOTO(gs_renderer_create(&r, w->dev));
    FV_GOTO(gs_frame_create(&f, r));
    if (apart)
        FV_GOTO(check_made(w, f, nl_gpu_scene(gpu)));
    FV_GOTO(draw(w, f, nl_gpu_scene(gpu), "render_inria.npy", GS_OUT_RGB_F32, &picture));
    FV_GOTO(draw(w, f, nl_gpu_scene(gpu), "render_alpha.npy", GS_OUT_ALPHA_F32, &covered));
done:
    gs_frame_destroy(&f);
    gs_renderer_destroy(&r);
    nl_gpu_destroy(&gpu);
    return rc;
}

int check_neural(struct check *c, const char *dir)
{
    struct work w = {.check = c, .dir = dir};
    int rc = open_case(&w);
    if (rc >= 0 && (check_reference(&w) < 0 || check_device(&w, true) < 0 || check_device(&w, false) < 0))
        check_failure(c, "error");
    nn_file_close(&w.inputs);
    nn_file_close(&w.mid);
    nn_file_close(&w.outputs);
    nl_gaussians_finish(&w.out);
    nl_encoded_finish(&w.encoded);
    nl_finish(&w.model);
    fv_arena_finish(&w.arena);
    return rc;
}

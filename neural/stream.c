/* Models as the bases of a stream (neural.h, gs_stream_keys): read, and written with the coarsest steps at
 * which pictures have a wanted quality. What a step of one kind of numbers costs in pictures is measured,
 * c = MSE / step^2; with n of them steps of t sqrt(n / c) spend bits where they help most (gs/stream_tune.c),
 * and one t is searched. */
#include "neural/neural_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading ---- */

static int open_key(void *ud, void **key, const void *data, size_t size, const char *name)
{
    (void)ud;
    struct nl_model *m = malloc(sizeof *m);
    if (!m)
        return fv_fail(FV_ENOMEM, "out of memory");
    int rc = nl_parse(m, data, size, name);
    if (rc < 0)
        free(m);
    else
        *key = m;
    return rc;
}

static int decode_key(void *ud, void *key, struct gs_scene *scene)
{
    const struct nl_stream_view *how = ud;
    return how->bake ? nl_bake_model(key, how->has_eye ? how->eye : NULL, how->camera, scene)
                     : nl_around(key, scene);
}

/* A model on the device, its scene the owner of all. */
static int upload(struct nl_model *m, struct vk_device *dev, bool exact, uint32_t camera,
                  struct gs_gpu_scene **out)
{
    const struct nl_gpu_opts o = {.exact = exact, .camera = camera, .owned = true};
    struct nl_encoded e;
    struct nl_gpu *gpu;
    FV_TRY(nl_encode_gpu(m, dev, &e));
    int rc = nl_gpu_create(&gpu, dev, m, &e, &o);
    if (rc >= 0)
        *out = nl_gpu_scene(gpu);
    nl_encoded_finish(&e);
    return rc;
}

static int upload_key(void *ud, void *key, struct vk_device *dev, bool exact, struct gs_gpu_scene **gpu)
{
    return upload(key, dev, exact, ((const struct nl_stream_view *)ud)->camera, gpu);
}

static void close_key(void *ud, void *key)
{
    (void)ud;
    nl_finish(key);
    free(key);
}

struct gs_stream_keys nl_stream_keys(struct nl_stream_view *how)
{
    return (struct gs_stream_keys){how, open_key, decode_key, upload_key, close_key};
}

/* ---- writing ---- */

struct writer {
    struct vk_device *dev;
    const struct gs_stream_opts *o;
    nl_models_fn *load;
    void *load_ud;
    struct gs_gauge *gauge;
    struct nl_model model; /* the frame at hand */
    bool has_steps;
    double cost[NL_ROUNDED];  /* 0: there are no such numbers, or nobody sees them */
    double count[NL_ROUNDED]; /* numbers */
    double step[NL_ROUNDED], most[NL_ROUNDED];
    double scale; /* found to reach o->psnr */
};

static double deviation(const float *v, size_t n)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)v[i];
        squares += (double)v[i] * (double)v[i];
    }
    return n ? sqrt(fmax(squares / (double)n - sum / (double)n * (sum / (double)n), 0)) : 0;
}

/* How large Gaussians are, about. */
static double usual_size(const struct nl_model *m)
{
    double sum = 0;
    for (size_t i = 0; i < m->count; i++)
        for (size_t k = 3; k < 6; k++)
            sum += (double)m->scaling[6 * i + k];
    return exp(sum / (3 * (double)m->count));
}

/* Steps beyond which nothing is won, which are also those that are tried, halved, to learn what they cost. */
static void begin_steps(struct writer *w)
{
    const struct nl_model *m = &w->model;
    double n = (double)(m->count - m->midpoints);
    uint32_t entries[NL_HASH_LEVELS + 1];
    nl_hash_offsets(entries);
    size_t hash = m->hash ? 2 * (size_t)entries[NL_HASH_LEVELS] : 0;
    const double most[NL_ROUNDED] = {0.5 * usual_size(m), deviation(m->features, (size_t)n * m->feature),
                                     m->offset ? deviation(m->offset, (size_t)n * 3 * m->offsets) : 0,
                                     0.5, 0.5, 2 * deviation(m->hash, hash)};
    const double count[NL_ROUNDED] = {3 * n, n * m->feature, m->offset ? 3 * n * m->offsets : 0,
                                      3 * n, 3 * n, (double)hash};
    memcpy(w->most, most, sizeof most);
    memcpy(w->count, count, sizeof count);
}

static void set_steps(struct writer *w, double scale)
{
    for (int k = 0; k < NL_ROUNDED; k++)
        w->step[k] = w->cost[k] > 0 ? fmin(scale * sqrt(w->count[k] / w->cost[k]), w->most[k]) : w->most[k];
}

/* The error of a model of these steps, as a reader has it. */
static int measure(struct writer *w, const double step[NL_ROUNDED], int first, double *mse, double *ssim,
                   struct gs_stream_key *key)
{
    struct nl_model back;
    struct gs_gpu_scene *gpu = NULL;
    void *data;
    size_t size;
    FV_TRY(nl_pack(&w->model, step, &data, &size));
    int rc = nl_parse(&back, data, size, "packed anchors");
    if (rc >= 0) {
        rc = upload(&back, w->dev, false, 0, &gpu);
        nl_finish(&back);
    }
    if (rc >= 0)
        rc = gs_gauge_error(w->gauge, gpu, first, 2, mse, ssim);
    gs_gpu_scene_destroy(&gpu);
    if (rc >= 0 && key)
        *key = (struct gs_stream_key){.data = data, .size = size, .count = w->model.count};
    else
        free(data);
    return rc < 0 ? rc : 0;
}

static int tell(const struct writer *w, int at, int of)
{
    struct fv_progress p = {"choosing step sizes", at, of};
    if (w->o->on_progress && w->o->on_progress(w->o->ud, &p))
        return fv_fail(FV_ECANCELLED, "cancelled while choosing step sizes");
    return 0;
}

static int measure_costs(struct writer *w)
{
    static const double fine[NL_ROUNDED];
    double none = 0;
    FV_TRY(measure(w, fine, 0, &none, NULL, NULL)); /* halves of networks, what the device makes of it */
    for (int k = 0; k < NL_ROUNDED; k++) {
        double step[NL_ROUNDED] = {0}, mse;
        w->cost[k] = 0;
        if (!(w->count[k] > 0) || !(w->most[k] > 0))
            continue;
        FV_TRY(tell(w, k, NL_ROUNDED));
        step[k] = w->most[k] / 8;
        FV_TRY(measure(w, step, 0, &mse, NULL, NULL));
        w->cost[k] = fmax(mse - none, 1e-10) / (step[k] * step[k]);
    }
    return 0;
}

static int try_scale(void *ud, double scale, double *mse)
{
    struct writer *w = ud;
    FV_TRY(tell(w, NL_ROUNDED, NL_ROUNDED));
    set_steps(w, scale);
    return measure(w, w->step, 0, mse, NULL, NULL);
}

/* Steps for the model at hand. An error in all numbers of a kind is c step^2 = scale^2 n. */
static int find_steps(struct writer *w)
{
    double parts = 0;
    begin_steps(w);
    FV_TRY(measure_costs(w));
    for (int k = 0; k < NL_ROUNDED; k++)
        parts += w->cost[k] > 0 ? w->count[k] : 0;
    FV_TRY(gs_gauge_search(w->o->psnr, parts, try_scale, w, &w->scale));
    set_steps(w, w->scale);
    w->has_steps = true;
    return 0;
}

static int see(struct writer *w)
{
    struct gs_gpu_scene *gpu;
    FV_TRY(upload(&w->model, w->dev, false, 0, &gpu));
    int rc = gs_gauge_see(w->gauge, gpu, 0, 1);
    gs_gpu_scene_destroy(&gpu);
    return rc;
}

static int load(struct writer *w, uint32_t frame)
{
    nl_finish(&w->model);
    return w->load(w->load_ud, frame, &w->model);
}

/* Steps stay until a frame misses its dB by more than that. */
static int write_key(void *ud, uint32_t frame, struct gs_stream_key *out)
{
    static const double off = 0.75;
    struct writer *w = ud;
    double mse, ssim;
    if (frame) /* the first is there */
        FV_TRY(load(w, frame));
    FV_TRY(see(w));
    for (int again = 0; again < 2; again++) {
        if (!w->has_steps)
            FV_TRY(find_steps(w));
        free(out->data);
        *out = (struct gs_stream_key){0};
        FV_TRY(measure(w, w->step, 1, &mse, &ssim, out));
        w->has_steps = again || !frame || fabs(gs_gauge_psnr(mse) - w->o->psnr) < off;
        if (w->has_steps)
            break;
    }
    out->psnr = fmin(gs_gauge_psnr(mse), 100);
    out->ssim = ssim;
    return 0;
}

int nl_stream_encode(struct vk_device *dev, const char *path, uint32_t frame_count, nl_models_fn *model,
                     void *model_ud, const struct gs_stream_opts *opts, struct gs_stream_report *report)
{
    struct gs_stream_opts o = *opts;
    struct writer w = {.dev = dev, .o = &o, .load = model, .load_ud = model_ud};
    struct gs_scene around = {0};
    struct gs_bounds bounds;
    o.psnr = o.psnr > 0 ? o.psnr : 40;
    int rc = load(&w, 0);
    rc = rc == 0 ? nl_around(&w.model, &around) : rc;
    if (rc == 0) {
        gs_scene_bounds(&around, &bounds);
        rc = gs_gauge_create(&w.gauge, dev, o.views, &around, &bounds);
    }
    rc = rc == 0 ? gs_stream_write_keys(path, frame_count, write_key, &w, &around, &o, report) : rc;
    if (rc == 0)
        report->step_scale = w.scale;
    gs_gauge_destroy(&w.gauge);
    gs_scene_finish(&around);
    nl_finish(&w.model);
    return rc;
}

/* Step sizes for a wanted quality (stream.h). Noise of one step in one attribute at a time tells
 * what it costs in rendered error, c = MSE / step^2; with n numbers of it a Gaussian, steps of
 * t sqrt(n / c) spend bits where they help most, and one t is left to search.
 *
 * That is of a base, of which every number costs -log2(step) bits and a constant. What moves costs
 * again in every frame, about as 1 / step: with r bits a Gaussian spent so at a step s until the next
 * base, n + r ln 2 s / step takes the place of n. */
#include "gs/scene.h"
#include "gs/stream.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct gs_tuner {
    struct vk_device *dev;
    struct gs_gauge *gauge; /* even views are tuned on, odd ones reported */
    float *weight; /* [count]: visibility, of the frames seen since the last base */
    size_t count;
    double radius;          /* of the scene tuned on */
    bool has_costs, has_scale;
    double cost[GS_ATTRS];     /* rendered MSE over step^2 */
    double moving[GS_ATTRS];   /* bits a Gaussian of residual frames, times the step they were of */
};

void gs_tuner_destroy(struct gs_tuner **t)
{
    if (!*t)
        return;
    gs_gauge_destroy(&(*t)->gauge);
    free((*t)->weight);
    free(*t);
    *t = NULL;
}

int gs_tuner_create(struct gs_tuner **out, struct vk_device *dev, const struct gs_cameras *views,
                    const struct gs_scene *scene, const struct gs_bounds *bounds)
{
    struct gs_tuner *t = *out = calloc(1, sizeof *t);
    if (!t)
        return fv_fail(FV_ENOMEM, "out of memory");
    t->dev = dev;
    int rc = gs_gauge_create(&t->gauge, dev, views, scene, bounds);
    if (rc < 0)
        gs_tuner_destroy(out);
    return rc;
}

/* Views `first`, first + step, ... of a scene: what others are measured against, or their error. */
static int draw(struct gs_tuner *t, const struct gs_scene *scene, int first, int step, double *mse,
                double *ssim)
{
    struct gs_gpu_scene *gpu;
    FV_TRY(gs_gpu_scene_create(&gpu, t->dev, scene, NULL));
    int rc = mse ? gs_gauge_error(t->gauge, gpu, first, step, mse, ssim)
                 : gs_gauge_see(t->gauge, gpu, first, step);
    gs_gpu_scene_destroy(&gpu);
    return rc;
}

int gs_tuner_compare(struct gs_tuner *t, const struct gs_scene *a, const struct gs_scene *b,
                     double *psnr, double *ssim)
{
    double mse = 0;
    FV_TRY(draw(t, a, 1, GS_GAUGE_VIEWS / 2, NULL, NULL));
    FV_TRY(draw(t, b, 1, GS_GAUGE_VIEWS / 2, &mse, ssim));
    *psnr = gs_gauge_psnr(mse);
    return 0;
}

int gs_tuner_psnr(struct gs_tuner *t, const struct gs_scene *a, const struct gs_scene *b,
                  double *psnr)
{
    double mse = 0;
    FV_TRY(draw(t, a, 1, 2, NULL, NULL));
    FV_TRY(draw(t, b, 1, 2, &mse, NULL));
    *psnr = gs_gauge_psnr(mse);
    return 0;
}

/* ---- grid and levels ---- */

static int by_value(const void *a, const void *b)
{
    const float *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

void gs_tuner_look_anew(struct gs_tuner *t)
{
    free(t->weight);
    t->weight = NULL;
    t->count = 0;
}

int gs_tuner_see(struct gs_tuner *t, const struct gs_scene *scene, const uint32_t *to)
{
    size_t n = scene->count;
    float *now = malloc(n * sizeof *now + 1);
    if (!t->weight) {
        t->weight = calloc(n + 1, sizeof *t->weight);
        t->count = t->weight ? n : 0;
    }
    if (!now || !t->weight) {
        free(now);
        return fv_fail(FV_ENOMEM, "no memory for %zu Gaussians", n);
    }
    int rc = gs_visibility(scene, gs_gauge_cameras(t->gauge), GS_GAUGE_VIEWS, now);
    for (size_t i = 0; i < t->count && rc == 0; i++)
        if (!to || to[i] != GS_NO_ROW)
            t->weight[i] += now[to ? to[i] : i];
    free(now);
    return rc;
}

/* The better a Gaussian is seen, the finer its steps: 2^(-0.6 log2(weight)) in half octaves. The
 * weight is that over its mean (of logarithms; the fifth seen least counts as its best). */
static int find_levels(struct gs_tuner *t, struct gs_stream_base *b)
{
    size_t n = t->count;
    float *sorted = malloc(n * sizeof *sorted + 1);
    if (!sorted)
        return fv_fail(FV_ENOMEM, "no memory for %zu Gaussians", n);
    memcpy(sorted, t->weight, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_value);
    double least = sorted[n / 5] > 1e-9f ? sorted[n / 5] : 1e-9, mean = 0;
    for (size_t i = 0; i < n; i++)
        mean += log2(t->weight[i] > least ? t->weight[i] : least);
    mean /= (double)n;
    for (size_t i = 0; i < n; i++) {
        double level = 3 - 0.6 * (log2(t->weight[i] > 1e-9f ? t->weight[i] : 1e-9) - mean);
        b->level[i] = (uint8_t)lrint(level < 0 ? 0 : level > GS_LEVELS - 1 ? GS_LEVELS - 1 : level);
    }
    free(sorted);
    return 0;
}

static void fit_grid(struct gs_stream_base *b, const struct gs_scene *scene)
{
    float extent = 0, low[3] = {FLT_MAX, FLT_MAX, FLT_MAX}, high[3] = {-FLT_MAX, -FLT_MAX, -FLT_MAX};
    for (size_t i = 0; i < 3 * scene->count; i++) {
        low[i % 3] = fminf(low[i % 3], scene->position[i]);
        high[i % 3] = fmaxf(high[i % 3], scene->position[i]);
    }
    for (int k = 0; k < 3; k++) {
        b->origin[k] = low[k];
        extent = fmaxf(extent, high[k] - low[k]);
    }
    double bits = ceil(log2((double)extent / b->step[GS_POSITION] + 2));
    b->bits = (uint8_t)(bits < 1 ? 1 : bits);
    if (bits > 20) { /* an outlier far off: the grid cannot be finer */
        b->bits = 20;
        b->step[GS_POSITION] = extent / (float)((1 << 20) - 2);
    }
}

/* ---- steps ---- */

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

/* Numbers of an attribute moved by up to half a step. */
static void add_noise(struct gs_stream_state *s, const struct gs_stream_base *b, enum gs_attr a)
{
    uint64_t random = 0x9e3779b97f4a7c15u;
    size_t comps = (size_t)gs_attr_comps(a), skip = a == GS_ROTATION;
    struct gs_steps steps;
    gs_stream_steps(&steps, b, a, false);
    for (uint32_t i = 0; i < s->count; i++) {
        int32_t step = a == GS_POSITION ? GS_POSITION_UNITS : gs_step(&steps, i);
        int32_t *v = s->v[a] + i * comps;
        for (size_t c = skip; c < comps; c++) {
            double part = (double)(next_random(&random) >> 11) / 9007199254740992.0 - 0.5;
            v[c] += (int32_t)lrint(part * step);
        }
        if (skip)
            gs_quat_from_vector(v, (const int32_t[3]){v[1], v[2], v[3]});
    }
}

struct trial {
    struct gs_stream_pose *pose;
    struct gs_stream_state state;
    struct gs_scene scene;
};

static void drop_trial(struct trial *r)
{
    free(r->pose);
    gs_stream_state_finish(&r->state);
    gs_scene_finish(&r->scene);
}

static int start_trial(struct trial *r, const struct gs_scene *scene)
{
    *r = (struct trial){.pose = malloc(scene->count * sizeof *r->pose + 1)};
    int rc = r->pose ? 0 : fv_fail(FV_ENOMEM, "no memory for %zu Gaussians", scene->count);
    rc = rc == 0 ? gs_stream_state_create(&r->state, (uint32_t)scene->count, scene->sh_degree) : rc;
    rc = rc == 0 ? gs_scene_alloc(&r->scene, scene->count, scene->sh_degree) : rc;
    if (rc < 0)
        drop_trial(r);
    r->scene.mode = scene->mode;
    return rc;
}

static bool is_sh(int a)
{
    return a >= GS_SH1;
}

/* Error of noise in one attribute (all SH bands together). */
static int measure_costs(struct gs_tuner *t, struct gs_stream_base *b, const struct gs_scene *scene,
                         struct trial *r)
{
    gs_stream_from_scene(&b->state, b, scene, r->pose);
    gs_stream_find_turn_levels(b);
    for (int a = 0; a < (int)gs_attr_end(scene->sh_degree) && a <= GS_SH1; a++) {
        double mse;
        gs_stream_state_copy(&r->state, &b->state);
        for (int k = a; k == a || (is_sh(a) && k < (int)gs_attr_end(scene->sh_degree)); k++)
            add_noise(&r->state, b, (enum gs_attr)k);
        gs_stream_to_scene(&r->scene, b, &r->state);
        FV_TRY(draw(t, &r->scene, 0, 2, &mse, NULL));
        t->cost[a] = fmax(mse, 1e-9) / ((double)b->step[a] * b->step[a]);
    }
    return 0;
}

/* Numbers a Gaussian that share a cost: all SH bands are one. */
static double numbers_of(const struct gs_stream_base *b, int a)
{
    double n = 0;
    if (!is_sh(a))
        return gs_attr_coded((enum gs_attr)a);
    for (int k = GS_SH1; k < (int)gs_attr_end(b->state.sh_degree); k++)
        n += gs_attr_coded((enum gs_attr)k);
    return n > 0 ? n : 1;
}

/* Steps of one scale t; within what makes sense where little of the scene was seen. */
static void set_steps(const struct gs_tuner *t, struct gs_stream_base *b, double scale)
{
    static const double most[GS_ATTRS] = {HUGE_VAL, 0.5, 2, 0.25, 2, 2, 2, 2};
    for (int a = 0; a < GS_ATTRS; a++) {
        double n = numbers_of(b, a), cost = t->cost[is_sh(a) ? GS_SH1 : a];
        double moving = t->moving[is_sh(a) ? GS_SH1 : a] * log(2);
        double step = cost > 0 ? scale * sqrt(n / cost) : most[a];
        /* step^3 = scale^2 / cost (n step + moving) by Newton's method, from above its one root */
        double c = cost > 0 ? scale * scale / cost : 0;
        double x = fmax(2 * step, cbrt(2 * c * moving));
        for (int k = 0; k < 30 && cost > 0; k++)
            x -= (x * x * x - c * (n * x + moving)) / (3 * x * x - c * n);
        step = cost > 0 ? x : step;
        double limit = a == GS_POSITION ? 0.05 * t->radius : most[a];
        step = step < limit ? step : limit;
        b->step[a] = (float)(step > 1e-3 * limit ? step : 1e-3 * limit);
    }
}

void gs_tuner_weigh(struct gs_tuner *t, const struct gs_stream_base *b, const double bits[GS_ATTRS])
{
    for (int a = 0; a < GS_ATTRS; a++)
        t->moving[a] = 0;
    for (int a = 0; a < (int)gs_attr_end(b->state.sh_degree); a++)
        t->moving[is_sh(a) ? GS_SH1 : a] += bits[a] * (double)b->step[a];
    t->has_scale = false;
}

/* What a base of these steps is seen as. */
static int measure(struct gs_tuner *t, struct gs_stream_base *b, const struct gs_scene *scene,
                   const uint8_t *row_level, struct trial *r, double *mse)
{
    fit_grid(b, scene);
    FV_TRY(gs_stream_make_poses(r->pose, b, scene));
    for (size_t i = 0; i < scene->count; i++)
        b->level[i] = row_level[r->pose[i].row];
    gs_stream_from_scene(&r->state, b, scene, r->pose);
    FV_TRY(gs_stream_quantise_key(b, &r->state));
    gs_stream_to_scene(&r->scene, b, &b->state);
    return draw(t, &r->scene, 0, 2, mse, NULL);
}

struct search {
    struct gs_tuner *t;
    struct gs_stream_base *b;
    const struct gs_scene *scene;
    const uint8_t *row_level;
    struct trial *r;
};

static int try_scale(void *ud, double scale, double *mse)
{
    const struct search *s = ud;
    set_steps(s->t, s->b, scale);
    return measure(s->t, s->b, s->scene, s->row_level, s->r, mse);
}

static int search_scale(struct search *s, double psnr, double *scale)
{
    double parts = 0;
    for (int a = 0; a < (int)gs_attr_end(s->scene->sh_degree); a++)
        parts += gs_attr_coded((enum gs_attr)a);
    FV_TRY(gs_gauge_search(psnr, parts, try_scale, s, scale));
    set_steps(s->t, s->b, *scale);
    return 0;
}

void gs_tuner_forget(struct gs_tuner *t)
{
    t->has_costs = t->has_scale = false;
}

int gs_tuner_find_steps(struct gs_tuner *t, struct gs_stream_base *b, const struct gs_scene *scene,
                        double psnr, double *scale)
{
    struct trial r;
    FV_TRY(find_levels(t, b));
    if (t->has_scale) {
        set_steps(t, b, *scale);
        fit_grid(b, scene);
        return 0;
    }
    struct gs_bounds bounds;
    gs_scene_bounds(scene, &bounds);
    t->radius = bounds.radius > 0 ? bounds.radius : 1;
    /* to begin with; only the order of magnitude matters */
    const float start[GS_ATTRS] = {(float)(4e-4 * t->radius), 0.05f, 0.2f, 0.05f, 0.17f, 0.17f, 0.17f, 0.17f};
    memcpy(b->step, start, sizeof start);
    FV_TRY(start_trial(&r, scene));
    uint8_t *row_level = malloc(scene->count + 1);
    int rc = row_level ? 0 : fv_fail(FV_ENOMEM, "no memory for %zu Gaussians", scene->count);
    if (rc == 0) {
        memcpy(row_level, b->level, scene->count);
        fit_grid(b, scene);
    }
    rc = rc == 0 ? gs_stream_make_poses(r.pose, b, scene) : rc;
    for (size_t i = 0; i < scene->count && rc == 0; i++)
        b->level[i] = row_level[r.pose[i].row];
    rc = rc == 0 ? draw(t, scene, 0, 2, NULL, NULL) : rc;
    rc = rc == 0 && !t->has_costs ? measure_costs(t, b, scene, &r) : rc;
    t->has_costs = rc == 0;
    rc = rc == 0 ? search_scale(&(struct search){t, b, scene, row_level, &r}, psnr, scale) : rc;
    t->has_scale = rc == 0;
    if (rc == 0)
        memcpy(b->level, row_level, scene->count);
    free(row_level);
    drop_trial(&r);
    if (rc == 0)
        fit_grid(b, scene);
    return rc;
}

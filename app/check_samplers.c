/* Cases of samplers without a model: ways along a velocity (schedulers; settings in cases.json
 * beside them) and where to begin (analytic_init). */
#include "app/check_nn.h"
#include "diffusion/diffusion.h"
#include "vk/base/file.h"
#include "vk/base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Analytic-Init ----------------------------------------------------------------------- */

static int begin(struct check_case *k, const struct df_analytic *a, const struct check_array *noise)
{
    struct check_array root;
    double at;
    FV_TRY(check_input(k, "mid.sqrt_alphas_cumprod", &root));
    FV_TRY(check_input_number(k, "in.M", 0, &at));
    if (!(at >= 1 && at <= (double)root.count))
        return fv_fail(FV_EFORMAT, "%s: in.M is %g of %zu", k->file->name, at, root.count);
    double alphas = pow((double)root.data[(size_t)at - 1], 2);
    float *out = fv_arena_alloc(&k->arena, (noise->count + 1) * sizeof *out);
    float *still = fv_arena_alloc(&k->arena, (noise->count + 1) * sizeof *still);
    if (!out || !still)
        return FV_ENOMEM;
    /* mean and deviation, by what noise of 0 and 1 gives */
    memset(out, 0, noise->count * sizeof *out);
    FV_TRY(df_analytic_start(a, DF_ANALYTIC_VP, alphas, out, still, noise->count));
    FV_TRY(check_output(k, "out.mu_p", still, noise->count));
    out[0] = 1;
    float mean = still[0];
    FV_TRY(df_analytic_start(a, DF_ANALYTIC_VP, alphas, out, still, noise->count));
    float sigma = still[0] - mean;
    FV_TRY(check_output(k, "out.sigma_p", &sigma, 1));
    FV_TRY(df_analytic_start(a, DF_ANALYTIC_VP, alphas, noise->data, out, noise->count));
    FV_TRY(check_output(k, "out.init_vp", out, noise->count));
    FV_TRY(df_analytic_start(a, DF_ANALYTIC_VE, 700, noise->data, out, noise->count));
    return check_output(k, "out.init_ve_svd_sigma700", out, noise->count);
}

static int run_analytic(struct check_case *k, void *model)
{
    struct check_array latents, noise;
    struct df_analytic a;
    (void)model;
    FV_TRY(check_input(k, "in.latents", &latents));
    FV_TRY(check_input(k, "in.noise", &noise));
    if (!latents.rank || !latents.shape[0] || !noise.count ||
        latents.count / latents.shape[0] != noise.count)
        return fv_fail(FV_EFORMAT, "%s: in.latents are not of the size of in.noise", k->file->name);
    FV_TRY(df_analytic_estimate(&a, latents.data, latents.shape[0], noise.count));
    float variance = (float)a.variance;
    int rc = check_output(k, "out.expectation_x0", a.mean, a.count);
    if (rc == 0)
        rc = check_output(k, "out.trcov_over_d", &variance, 1);
    if (rc == 0)
        rc = begin(k, &a, &noise);
    df_analytic_finish(&a);
    return rc;
}

/* ---- schedulers --------------------------------------------------------------------------- */

/* Diffusers' schedulers that are for rectified flow. */
static const struct {
    const char *name;
    enum df_method method;
    bool spread; /* over the shares of training, else even; then times are whole */
} classes[] = {{"FlowMatchEulerDiscreteScheduler", DF_EULER, true},
               {"FlowMatchHeunDiscreteScheduler", DF_HEUN, true},
               {"UniPCMultistepScheduler", DF_UNIPC, false},
               {"DPMSolverMultistepScheduler", DF_DPMPP, false}};
enum { CLASSES = sizeof classes / sizeof *classes };

struct way {
    size_t kind;
    struct df_schedule schedule;
};

/* 1: not of rectified flow. */
static int read_way(struct fv_json *doc, struct fv_node n, struct way *w)
{
    struct fv_node init = fv_json_object(doc, n, "init"),
                   more = fv_json_object(doc, n, "set_timesteps_kwargs");
    const char *class = fv_json_string(doc, n, "cls");
    double trained = fv_json_number(doc, init, "num_train_timesteps");
    w->kind = 0;
    if (doc->failed)
        return FV_EFORMAT;
    while (w->kind < CLASSES && strcmp(classes[w->kind].name, class) != 0)
        w->kind++;
    if (w->kind == CLASSES || (!classes[w->kind].spread && !fv_node_has(init, "use_flow_sigmas")))
        return 1;
    double shift = fv_node_has(init, "shift")        ? fv_json_number(doc, init, "shift")
                   : fv_node_has(init, "flow_shift") ? fv_json_number(doc, init, "flow_shift")
                                                     : 1;
    double least = shift / trained / (1 + (shift - 1) / trained), start = 1 - 1 / trained;
    if (fv_node_has(more, "mu"))
        shift = exp(fv_json_number(doc, more, "mu"));
    w->schedule = (struct df_schedule){
        .steps = (uint32_t)fv_json_int(doc, n, "num_inference_steps", 1, 10000),
        .shift = (float)shift};
    if (classes[w->kind].spread)
        w->schedule.least = (float)least;
    else
        w->schedule.start = (float)(shift * start / (1 + (shift - 1) * start));
    return doc->failed ? FV_EFORMAT : 0;
}

static int settings_of(struct check_case *k, struct way *w)
{
    struct fv_json doc;
    char *dir = fv_path_dir(k->file->name), *path = dir ? fv_path_join(dir, "cases.json") : NULL;
    int rc = path ? fv_json_open(&doc, path) : fv_fail(FV_ENOMEM, "out of memory");
    free(path);
    free(dir);
    FV_TRY(rc);
    const char *name = strncmp(k->name, "case_", 5) ? k->name : k->name + 5;
    struct fv_node n = fv_json_object(&doc, doc.root, name);
    rc = doc.failed ? FV_EFORMAT : read_way(&doc, n, w);
    fv_json_close(&doc);
    return rc;
}

static int walk(struct check_case *k, struct df_scheduler *s, const struct way *w,
                const float *times)
{
    struct check_array z, v;
    FV_TRY(check_input(k, "in.sample", &z));
    FV_TRY(check_input(k, "in.model_output_per_step", &v));
    uint32_t n = df_scheduler_evaluations(s);
    if (v.count != n * z.count)
        return fv_fail(FV_EFORMAT, "%s: %zu velocities, expected %u times %zu", k->file->name,
                       v.count, n, z.count);
    for (size_t i = 0; i < v.count; i++)
        v.data[i] = -v.data[i]; /* theirs point to noise */
    for (uint32_t e = 0; e < n; e++) {
        float time = times[df_scheduler_place(s, e)], share = time / 1000;
        FV_TRY(check_output(k, "mid.sigmas", &share, 1));
        time = classes[w->kind].spread ? time : floorf(time);
        FV_TRY(check_output(k, "mid.timesteps", &time, 1));
        if (k->trace)
            FV_TRY(check_output(k, "mid.sample_per_step", z.data, z.count));
        df_scheduler_step(s, e, v.data + e * z.count, z.data);
    }
    float end = 0;
    FV_TRY(check_output(k, "mid.sigmas", &end, 1));
    return check_output(k, "out.prev_sample", z.data, z.count);
}

static int run_scheduler(struct check_case *k, void *model)
{
    struct check_array z;
    struct df_scheduler *s;
    struct way w;
    (void)model;
    int rc = settings_of(k, &w);
    if (rc == 1) {
        check_skip(k->check, "out.prev_sample",
                   "not of rectified flow, which the models here are of");
        k->left_out = true;
        return 0;
    }
    FV_TRY(rc);
    FV_TRY(check_input(k, "in.sample", &z));
    float *times = fv_arena_alloc(&k->arena, 2 * (w.schedule.steps + 1) * sizeof *times);
    if (!times)
        return FV_ENOMEM;
    float *shares = times + w.schedule.steps + 1;
    df_times(&w.schedule, times);
    for (uint32_t i = 0; i < w.schedule.steps; i++)
        shares[i] = times[i] / 1000;
    FV_TRY(df_scheduler_create(&s, classes[w.kind].method, shares, w.schedule.steps, z.count));
    rc = walk(k, s, &w, times);
    df_scheduler_destroy(&s);
    return rc;
}

const struct check_arch check_arch_samplers[] = {
    {"analytic_init", NULL, run_analytic, NULL},
    {"schedulers", NULL, run_scheduler, NULL},
    {NULL, NULL, NULL, NULL}};

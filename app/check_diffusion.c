/* Cases of text encoders (in.input_ids) and diffusion transformers: in.x a forward pass, in.z a sampling, else schedules (with the
 * settings of each in a .json of the same name). */
#include "app/check_nn.h"
#include "diffusion/diffusion.h"
#include "vk/base/file.h"
#include "vk/base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int open_model(void **model, struct vk_device *dev, const char *dir, enum nn_dtype dtype)
{
    struct df_dit *d = NULL;
    int rc = df_dit_open(&d, dev, dir, &(struct df_dit_opts){.dtype = dtype});
    *model = d;
    return rc;
}

static void close_model(void *model)
{
    struct df_dit *d = model;
    df_dit_close(&d);
}

/* ---- inputs ------------------------------------------------------------------------------ */

/* An input of `rank` axes, of which the first may be 1 for all samples. */
static int sized_input(struct check_case *k, const char *name, unsigned rank, struct check_array *out)
{
    FV_TRY(check_input(k, name, out));
    if (out->rank != rank || !out->count)
        return fv_fail(FV_EFORMAT, "%s: %s has %u axes, expected %u", k->file->name, name, out->rank,
                       rank);
    return 0;
}

/* One number a sample: in.height and such hold one for all, or one each. */
static int sample_numbers(struct check_case *k, const char *name, uint32_t batch, float *out)
{
    struct check_array a;
    FV_TRY(sized_input(k, name, 1, &a));
    if (a.count != 1 && a.count != batch)
        return fv_fail(FV_EFORMAT, "%s: %s has %zu values for %u samples", k->file->name, name, a.count,
                       batch);
    for (uint32_t b = 0; b < batch; b++)
        out[b] = a.data[a.count == 1 ? 0 : b];
    return 0;
}

/* Truth values [rows or 1][n]; *out NULL where there are none. */
static int truths(struct check_case *k, const char *name, uint32_t rows, uint32_t n, bool **out)
{
    struct check_array a;
    *out = NULL;
    if (!check_has(k, name))
        return 0;
    FV_TRY(sized_input(k, name, 2, &a));
    if ((a.shape[0] != 1 && a.shape[0] != rows) || a.shape[1] != n)
        return fv_fail(FV_EFORMAT, "%s: %s is not [%u, %u]", k->file->name, name, rows, n);
    *out = fv_arena_alloc(&k->arena, (size_t)rows * n * sizeof **out);
    if (!*out)
        return FV_ENOMEM;
    for (size_t i = 0; i < (size_t)rows * n; i++)
        (*out)[i] = a.data[a.shape[0] == 1 ? i % n : i] != 0;
    return 0;
}

enum { MOST_SAMPLES = 16 };

static int size_of(struct check_case *k, const struct check_array *x, uint32_t channels,
                   struct df_size *size, float fps[MOST_SAMPLES])
{
    float height[MOST_SAMPLES], width[MOST_SAMPLES];
    if (x->shape[0] > MOST_SAMPLES || x->shape[1] != channels)
        return fv_fail(FV_EFORMAT, "%s: %u samples of %u channels", k->file->name, x->shape[0],
                       x->shape[1]);
    *size = (struct df_size){.batch = x->shape[0], .frames = x->shape[2], .height = x->shape[3],
                             .width = x->shape[4]};
    FV_TRY(sample_numbers(k, "in.height", size->batch, height));
    FV_TRY(sample_numbers(k, "in.width", size->batch, width));
    FV_TRY(sample_numbers(k, "in.fps", size->batch, fps));
    size->pixel_height = height[0]; /* positions are the first sample's, as in the authors' code */
    size->pixel_width = width[0];
    size->fps = fps[0];
    return 0;
}

/* ---- a forward pass ---------------------------------------------------------------------- */

static int run_forward(struct check_case *k, struct df_dit *d)
{
    struct check_array x, y;
    struct df_size size;
    struct df_run *run = NULL;
    float fps[MOST_SAMPLES], time[MOST_SAMPLES];
    double at, merged;
    bool *mask, *made;
    FV_TRY(sized_input(k, "in.x", 5, &x));
    FV_TRY(size_of(k, &x, df_dit_info(d)->channels, &size, fps));
    FV_TRY(sample_numbers(k, "in.timestep", size.batch, time));
    FV_TRY(check_input_number(k, "in.step", 0, &at));
    FV_TRY(check_input_number(k, "in.merge_steps", 0, &merged));
    FV_TRY(sized_input(k, "in.y", 4, &y));
    if (y.shape[0] != size.batch || y.shape[3] != df_dit_info(d)->text_width)
        return fv_fail(FV_EFORMAT, "%s: in.y is not [%u, 1, L, %u]", k->file->name, size.batch,
                       df_dit_info(d)->text_width);
    FV_TRY(truths(k, "in.mask", size.batch, y.shape[2], &mask));
    FV_TRY(truths(k, "in.x_mask", size.batch, size.frames, &made));
    for (size_t i = 0; made && i < (size_t)size.batch * size.frames; i++)
        made[i] = !made[i]; /* frames that are kept */
    size_t n = (size_t)size.batch * df_dit_info(d)->out_channels * size.frames * size.height * size.width;
    float *out = fv_arena_alloc(&k->arena, n * sizeof *out);
    if (!out)
        return FV_ENOMEM;
    const struct df_text text = {y.shape[2], y.data, mask};
    const struct df_run_opts opts = {.masked = made != NULL, .fps = fps,
                                     .on_trace = k->trace ? check_trace : NULL, .ud = k};
    FV_TRY(df_run_create(&run, d, &size, &text, &opts));
    const struct df_step step = {.z = x.data, .time = time, .kept = made, .last = true,
                                 .merge = at < merged};
    int rc = df_run_step(run, &step, out);
    df_run_destroy(&run);
    return rc < 0 ? rc : check_output(k, "out", out, n);
}

/* ---- a sampling -------------------------------------------------------------------------- */

struct sampling {
    struct check_case *k;
    struct check_array noise;
};

static int given_noise(void *ud, uint32_t step, size_t n, float *out)
{
    struct sampling *s = ud;
    if ((step + 1) * n > s->noise.count)
        return fv_fail(FV_EFORMAT, "%s: in.noise_per_step ends before step %u", s->k->file->name, step);
    memcpy(out, s->noise.data + step * n, n * sizeof *out);
    return 0;
}

static int on_step(void *ud, uint32_t step, enum df_event what, const float *data, size_t n)
{
    static const char *const names[] = {[DF_INPUT] = "mid.z_per_step",
                                        [DF_OUTPUT] = "mid.model_out_per_step",
                                        [DF_FRAMES] = "mid.x_mask_per_step",
                                        [DF_COSINE] = "mid.mean_cosine_to_prev",
                                        [DF_LEAP] = "mid.leap_flag"};
    struct sampling *s = ud;
    (void)step;
    return s->k->trace ? check_output(s->k, names[what], data, n) : 0;
}

/* Whether the run's times, which the case holds, are those of the settings. */
static bool times_are(const struct df_schedule *s, const struct check_array *want)
{
    float *t = malloc(s->steps * sizeof *t + 1);
    uint32_t samples = want->shape[1];
    bool same = t != NULL;
    if (t)
        df_times(s, t);
    for (uint32_t i = 0; same && i < want->shape[0]; i++)
        same = fabsf(t[i] - want->data[i * samples]) < 0.01f;
    free(t);
    return same;
}

static int run_sampling(struct check_case *k, struct df_dit *d)
{
    struct sampling state = {.k = k};
    struct check_array z, y, times, mask;
    struct df_sampling s = {.on_step = on_step, .ud = &state};
    struct df_sampled done;
    float fps[MOST_SAMPLES], frames[MOST_SAMPLES];
    double guidance, steps, merged, from, gain, patience;
    bool *words;
    FV_TRY(sized_input(k, "in.z", 5, &z));
    FV_TRY(size_of(k, &z, df_dit_info(d)->channels, &s.size, fps));
    FV_TRY(sample_numbers(k, "in.num_frames", s.size.batch, frames));
    FV_TRY(check_input_number(k, "in.cfg_scale", 7, &guidance));
    FV_TRY(sized_input(k, "in.y_emb", 3, &y));
    FV_TRY(sized_input(k, "mid.timesteps", 2, &times));
    if (y.shape[0] != s.size.batch || y.shape[2] != df_dit_info(d)->text_width)
        return fv_fail(FV_EFORMAT, "%s: in.y_emb is not [%u, L, %u]", k->file->name, s.size.batch,
                       df_dit_info(d)->text_width);
    FV_TRY(truths(k, "in.y_mask", s.size.batch, y.shape[1], &words));
    if (check_has(k, "in.mask")) {
        FV_TRY(sized_input(k, "in.mask", 2, &mask));
        FV_TRY(check_input(k, "in.noise_per_step", &state.noise));
        if (mask.shape[0] != s.size.batch || mask.shape[1] != s.size.frames)
            return fv_fail(FV_EFORMAT, "%s: in.mask is not [%u, %u]", k->file->name, s.size.batch,
                           s.size.frames);
        s.frame_mask = mask.data;
        s.noise = given_noise;
    }
    s.text = (struct df_text){y.shape[1], y.data, words};
    s.guidance = (float)guidance;
    FV_TRY(check_input_number(k, "in.num_sampling_steps", times.shape[0], &steps));
    FV_TRY(check_input_number(k, "in.merge_steps", 0, &merged));
    FV_TRY(check_input_number(k, "in.minimum_steps", 0, &from));
    FV_TRY(check_input_number(k, "in.cos_tolerance", 0, &gain));
    FV_TRY(check_input_number(k, "in.tolerance_n", 0, &patience));
    if (!(steps >= times.shape[0] && steps <= 10000 && merged >= 0 && merged <= 10000 && from >= 0 &&
          from <= 10000 && patience >= 0 && patience <= 10000))
        return fv_fail(FV_EFORMAT, "%s: %g steps, %g merged, a leap from %g on", k->file->name, steps,
                       merged, from);
    s.merge_steps = (uint32_t)merged;
    if (check_has(k, "in.tolerance_n"))
        s.leap = (struct df_leap){DF_LEAP_ROWS, (uint32_t)from, (float)gain, (uint32_t)patience};
    s.schedule = (struct df_schedule){.steps = (uint32_t)steps,
                                      .pixel_height = s.size.pixel_height,
                                      .pixel_width = s.size.pixel_width,
                                      .frames = (uint32_t)frames[0]};
    s.schedule.transform = !times_are(&s.schedule, &times); /* a setting of the sampler, not an input */
    size_t room = (size_t)s.schedule.steps * times.shape[1];
    float *t = fv_arena_alloc(&k->arena, room * sizeof *t);
    if (!t)
        return FV_ENOMEM;
    df_times(&s.schedule, t);
    for (size_t i = room; i-- > 0;) /* one a sample */
        t[i] = t[i / times.shape[1]];
    FV_TRY(df_sample(d, &s, z.data, &done));
    FV_TRY(check_output(k, "mid.timesteps", t, (size_t)done.evaluations * times.shape[1]));
    return check_output(k, "out", z.data, z.count);
}

/* ---- schedules --------------------------------------------------------------------------- */

static int run_schedule(struct check_case *k, struct fv_json *doc, struct fv_node n)
{
    char name[48];
    struct df_schedule s = {
        .steps = (uint32_t)fv_json_int(doc, n, "num_sampling_steps", 1, 10000),
        .pixel_height = (float)fv_json_number(doc, n, "height"),
        .pixel_width = (float)fv_json_number(doc, n, "width"),
        .frames = (uint32_t)fv_json_int(doc, n, "num_frames", 1, 1 << 20),
        .transform = fv_json_bool_or(doc, n, "use_timestep_transform", false),
        .whole = fv_json_bool_or(doc, n, "use_discrete_timesteps", false)};
    snprintf(name, sizeof name, "sched%lld.timesteps", fv_json_int(doc, n, "id", 0, 1 << 20));
    if (doc->failed)
        return FV_EFORMAT;
    float *t = fv_arena_alloc(&k->arena, s.steps * sizeof *t);
    if (!t)
        return FV_ENOMEM;
    df_times(&s, t);
    return check_output(k, name, t, s.steps);
}

static int run_schedules(struct check_case *k)
{
    struct fv_json doc;
    size_t stem = strlen(k->file->name) - strlen(".safetensors");
    char *path = malloc(stem + sizeof ".json");
    if (!path)
        return fv_fail(FV_ENOMEM, "out of memory");
    memcpy(path, k->file->name, stem);
    strcpy(path + stem, ".json");
    int rc = fv_json_open(&doc, path);
    free(path);
    FV_TRY(rc);
    for (size_t i = 0; i < fv_node_count(doc.root) && rc >= 0; i++)
        rc = run_schedule(k, &doc, fv_node_at(doc.root, i));
    fv_json_close(&doc);
    return rc;
}

static int run_case(struct check_case *k, void *model)
{
    if (check_has(k, "in.x"))
        return run_forward(k, model);
    if (check_has(k, "in.z"))
        return run_sampling(k, model);
    if (check_has(k, "sched0.timesteps"))
        return run_schedules(k);
    return fv_fail(FV_EFORMAT, "%s: neither in.x nor in.z nor schedules", k->file->name);
}

/* ---- text encoders ----------------------------------------------------------------------- */

static int read_words(struct check_case *k, struct df_encoder_run *run)
{
    struct check_array ids;
    bool *mask;
    FV_TRY(sized_input(k, "in.input_ids", 2, &ids));
    FV_TRY(truths(k, "in.attention_mask", ids.shape[0], ids.shape[1], &mask));
    int32_t *words = fv_arena_alloc(&k->arena, ids.count * sizeof *words);
    if (!words)
        return FV_ENOMEM;
    for (size_t i = 0; i < ids.count; i++)
        words[i] = (int32_t)ids.data[i];
    *run = (struct df_encoder_run){.batch = ids.shape[0], .tokens = ids.shape[1], .ids = words, .mask = mask,
                                   .on_trace = k->trace ? check_trace : NULL, .ud = k};
    return 0;
}

static int open_t5(void **model, struct vk_device *dev, const char *dir, enum nn_dtype dtype)
{
    struct df_t5 *t = NULL;
    int rc = df_t5_open(&t, dev, dir, &(struct df_encoder_opts){.dtype = dtype});
    *model = t;
    return rc;
}

static void close_t5(void *model)
{
    struct df_t5 *t = model;
    df_t5_close(&t);
}

static int run_t5(struct check_case *k, void *model)
{
    struct df_encoder_run run;
    FV_TRY(read_words(k, &run));
    size_t n = (size_t)run.batch * run.tokens * df_t5_info(model)->width;
    float *out = fv_arena_alloc(&k->arena, n * sizeof *out);
    if (!out)
        return FV_ENOMEM;
    FV_TRY(df_t5_encode(model, &run, out));
    return check_output(k, "out.last_hidden_state", out, n);
}

static int open_clip(void **model, struct vk_device *dev, const char *dir, enum nn_dtype dtype)
{
    struct df_clip *t = NULL;
    int rc = df_clip_open(&t, dev, dir, &(struct df_encoder_opts){.dtype = dtype});
    *model = t;
    return rc;
}

static void close_clip(void *model)
{
    struct df_clip *t = model;
    df_clip_close(&t);
}

static int run_clip(struct check_case *k, void *model)
{
    struct df_encoder_run run;
    FV_TRY(read_words(k, &run));
    size_t texts = (size_t)run.batch * df_clip_info(model)->width, n = texts * run.tokens;
    float *out = fv_arena_alloc(&k->arena, n * sizeof *out);
    float *pooled = fv_arena_alloc(&k->arena, texts * sizeof *pooled);
    if (!out || !pooled)
        return FV_ENOMEM;
    FV_TRY(df_clip_encode(model, &run, out, pooled));
    FV_TRY(check_output(k, "out.last_hidden_state", out, n));
    return check_output(k, "out.pooler_output", pooled, texts);
}

const struct check_arch check_arch_diffusion[] = {
    {"opensora12_stdit3", open_model, run_case, close_model},
    {"ondevice_sora", open_model, run_case, close_model},
    {"t5_encoder", open_t5, run_t5, close_t5},
    {"clip_text_gelu", open_clip, run_clip, close_clip},
    {"clip_text_quickgelu", open_clip, run_clip, close_clip},
    {NULL, NULL, NULL, NULL}};

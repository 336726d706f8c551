/* Cases of the autoencoders: in.x is encoded and in.z decoded by the code that clips go through. */
#include "app/check_nn.h"
#include "vae/vae.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int open_model(void **model, struct vk_device *dev, const char *dir, enum nn_dtype dtype)
{
    struct vae *v = NULL;
    int rc = vae_open(&v, dev, dir, &(struct vae_opts){.dtype = dtype});
    *model = v;
    return rc;
}

static void close_model(void *model)
{
    struct vae *v = model;
    vae_close(&v);
}

/* One sample of a batch [B, C, T, H, W] or [B, C, H, W], taken frames first. */
struct clip {
    struct check_case *k;
    const float *data; /* [C][T][H][W] */
    uint32_t channels, frames, height, width;
    uint32_t at;
    uint32_t noises[2]; /* times each kind of noise was asked for */
    uint32_t sample;
    float *result[2]; /* [T'][C'][H'][W'] of mean and logvar, or pixels */
    size_t count;     /* values */
    struct vae_part shape;
};

static int read_frames(void *ud, uint32_t first, uint32_t count, float *out)
{
    struct clip *c = ud;
    size_t plane = (size_t)c->height * c->width;
    uint32_t n = first >= c->frames ? 0 : c->frames - first < count ? c->frames - first : count;
    for (uint32_t t = 0; t < n; t++)
        for (uint32_t ch = 0; ch < c->channels; ch++)
            memcpy(out + (t * c->channels + ch) * plane,
                   c->data + (ch * (size_t)c->frames + first + t) * plane, plane * sizeof *out);
    return (int)n;
}

static int write_part(void *ud, const struct vae_part *p)
{
    struct clip *c = ud;
    size_t n = (size_t)p->count * p->channels * p->height * p->width;
    const float *from[2] = {p->data, p->logvar};
    for (int i = 0; i < 2 && from[i]; i++) {
        float *more = realloc(c->result[i], (c->count + n) * sizeof *more);
        if (!more)
            return fv_fail(FV_ENOMEM, "out of memory");
        c->result[i] = more;
        memcpy(more + c->count, from[i], n * sizeof *more);
    }
    c->count += n;
    c->shape = *p;
    return 0;
}

/* in.noise_spatial [B T, C, h, w] by frames; in.noise_temporal<chunk> [B, C, t, h, w]. */
static int draw(void *ud, enum vae_noise which, uint32_t index, size_t n, float *out)
{
    struct clip *c = ud;
    struct check_array a;
    char name[48] = "in.noise_spatial";
    (void)index;
    uint32_t call = c->noises[which == VAE_NOISE_SPATIAL]++;
    if (which == VAE_NOISE_LATENT)
        snprintf(name, sizeof name, "in.noise_temporal%u", call);
    FV_TRY(check_input(c->k, name, &a));
    size_t at =
        which == VAE_NOISE_SPATIAL ? ((size_t)c->sample * c->frames + call) * n : c->sample * n;
    if (at + n > a.count || a.rank < 4)
        return fv_fail(FV_EFORMAT, "%s: %s holds %zu values, %zu more are needed", c->k->file->name,
                       name, a.count, n);
    uint32_t t = a.rank == 5 ? a.shape[2] : 1, channels = a.shape[1];
    size_t plane = (size_t)a.shape[a.rank - 1] * a.shape[a.rank - 2];
    if (plane * channels * t != n)
        return fv_fail(FV_EFORMAT, "%s: %s has another size than what it is for", c->k->file->name,
                       name);
    for (uint32_t i = 0; i < t; i++)
        for (uint32_t ch = 0; ch < channels; ch++)
            memcpy(out + (i * channels + ch) * plane, a.data + at + (ch * (size_t)t + i) * plane,
                   plane * sizeof *out);
    return 0;
}

/* Frames first back to [C][T][H][W]. */
static int give(struct clip *c, const char *name, const float *frames)
{
    uint32_t channels = c->shape.channels;
    size_t plane = (size_t)c->shape.height * c->shape.width, t = c->count / (channels * plane);
    float *out = malloc(c->count * sizeof *out + 1);
    if (!out)
        return fv_fail(FV_ENOMEM, "out of memory");
    for (size_t i = 0; i < t; i++)
        for (uint32_t ch = 0; ch < channels; ch++)
            memcpy(out + (ch * t + i) * plane, frames + (i * channels + ch) * plane,
                   plane * sizeof *out);
    int rc = check_output(c->k, name, out, c->count);
    free(out);
    return rc;
}

static int trace(void *ud, const char *name, nn_tensor shape, const float *data)
{
    struct clip *c = ud;
    return check_trace(c->k, name, shape, data);
}

/* The call's settings: in.tile_* (Open-Sora-Plan), or "tiled_space" in the name, which CV-VAE's
 * README says stands for tiles of 32 pixels with an overlap of a quarter. */
static int plan_of(struct check_case *k, struct vae *v, enum vae_way way, struct vae_plan *plan)
{
    double n[5];
    static const char *const names[5] = {"in.tile_sample_min_size", "in.tile_latent_min_size",
                                         "in.tile_sample_min_size_t", "in.tile_latent_min_size_t",
                                         "in.tile_overlap_factor"};
    for (int i = 0; i < 5; i++) {
        FV_TRY(check_input_number(k, names[i], 0, &n[i]));
        if (!(n[i] >= 0 && n[i] < 1e6))
            return fv_fail(FV_EFORMAT, "%s: %s is %g", k->file->name, names[i], n[i]);
    }
    struct vae_tiling t = {.tile_sample_min_size = (uint32_t)n[0],
                           .tile_latent_min_size = (uint32_t)n[1],
                           .tile_sample_min_size_t = (uint32_t)n[2],
                           .tile_latent_min_size_t = (uint32_t)n[3],
                           .tile_overlap_factor = n[4]};
    if (check_has(k, names[0]))
        return vae_plan_tiled(plan, v, way, &t);
    if (vae_info(v)->family == VAE_CVVAE && strstr(k->name, "tiled_space")) {
        t = (struct vae_tiling){.tile_sample_min_size = 32, .tile_overlap_factor = 0.25};
        return vae_plan_tiled(plan, v, way, &t);
    }
    return vae_plan_usual(plan, v, way);
}

static int run_sample(struct check_case *k, struct vae *v, enum vae_way way, struct clip *c)
{
    struct vae_plan plan;
    double frames;
    FV_TRY(plan_of(k, v, way, &plan));
    FV_TRY(check_input_number(k, "in.num_frames", 0, &frames));
    if (!(frames >= 0 && frames < 1e6))
        return fv_fail(FV_EFORMAT, "%s: in.num_frames is %g", k->file->name, frames);
    bool sampled = check_has(k, "in.noise_spatial") || check_has(k, "in.noise_temporal0");
    struct vae_io io = {.height = c->height,
                        .width = c->width,
                        .read = read_frames,
                        .write = write_part,
                        .noise = sampled ? draw : NULL,
                        .frames = (uint32_t)frames,
                        .on_trace = k->trace ? trace : NULL,
                        .ud = c};
    FV_TRY(vae_run(v, way, &plan, &io, NULL));
    if (way == VAE_DECODE)
        return give(c, "out.x", c->result[0]);
    if (!c->result[1])
        return give(c, "out.z", c->result[0]);
    FV_TRY(give(c, "out.mean", c->result[0]));
    return give(c, "out.logvar", c->result[1]);
}

static int run_way(struct check_case *k, struct vae *v, enum vae_way way)
{
    struct check_array a;
    const char *name = way == VAE_ENCODE ? "in.x" : "in.z";
    uint32_t want = way == VAE_ENCODE ? 3 : vae_info(v)->channels;
    FV_TRY(check_input(k, name, &a));
    if ((a.rank != 4 && a.rank != 5) || !a.count || a.shape[1] != want)
        return fv_fail(FV_EFORMAT, "%s: %s is not [B, %u, T, H, W] or [B, %u, H, W]", k->file->name,
                       name, want, want);
    uint32_t t = a.rank == 5 ? a.shape[2] : 1, h = a.shape[a.rank - 2], w = a.shape[a.rank - 1];
    int rc = 0;
    for (uint32_t b = 0; b < a.shape[0] && rc >= 0; b++) {
        struct clip c = {.k = k,
                         .data = a.data + (size_t)b * want * t * h * w,
                         .channels = want,
                         .frames = t,
                         .height = h,
                         .width = w,
                         .sample = b};
        rc = run_sample(k, v, way, &c);
        free(c.result[0]);
        free(c.result[1]);
    }
    return rc;
}

static int run_case(struct check_case *k, void *model)
{
    bool encode = check_has(k, "in.x"), decode = check_has(k, "in.z");
    if (!encode && !decode)
        return fv_fail(FV_EFORMAT, "%s: neither in.x nor in.z", k->file->name);
    if (encode)
        FV_TRY(run_way(k, model, VAE_ENCODE));
    return decode ? run_way(k, model, VAE_DECODE) : 0;
}

const struct check_arch check_arch_vaes[] = {
    {"osp_odvae_v11", open_model, run_case, close_model},
    {"osp_odvae_v12", open_model, run_case, close_model},
    {"cvvae", open_model, run_case, close_model},
    {"cvvae_sd3", open_model, run_case, close_model},
    {"opensora12_vae", open_model, run_case, close_model},
    {"sd_autoencoderkl", open_model, run_case, close_model},
    {NULL, NULL, NULL, NULL}};

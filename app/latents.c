/* Latent files (latents.h). */
#include "app/latents.h"
#include "vk/base/file.h"
#include "vk/base/npy.h"
#include "vk/nn/safetensors_write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int latents_append(struct latents *l, const struct vae_part *p)
{
    size_t frame = (size_t)p->channels * p->height * p->width;
    float *more = realloc(l->data, (l->frames + p->count) * frame * sizeof *more);
    if (!more)
        return fv_fail(FV_ENOMEM, "out of memory");
    l->data = more;
    memcpy(more + l->frames * frame, p->data, p->count * frame * sizeof *more);
    l->frames += p->count;
    l->channels = p->channels;
    l->height = p->height;
    l->width = p->width;
    return 0;
}

void latents_finish(struct latents *l)
{
    free(l->data);
    *l = (struct latents){0};
}

/* [T][C][h w] <-> [C][T][h w]: swaps the two outer axes. */
static float *swapped(const float *in, size_t outer, size_t inner, size_t plane)
{
    float *out = malloc(outer * inner * plane * sizeof *out + 1);
    for (size_t i = 0; out && i < outer; i++)
        for (size_t k = 0; k < inner; k++)
            memcpy(out + (k * outer + i) * plane, in + (i * inner + k) * plane,
                   plane * sizeof *out);
    return out;
}

/* ---- writing ----------------------------------------------------------------------------- */

/* One number when all channels share it. */
static void list_text(char *out, size_t size, const float *values, uint32_t n)
{
    bool same = true;
    for (uint32_t i = 1; i < n; i++)
        same = same && values[i] == values[0];
    int at = 0;
    for (uint32_t i = 0; i < (same ? 1 : n) && (size_t)at < size; i++)
        at += snprintf(out + at, size - (size_t)at, "%s%.9g", i ? "," : "", (double)values[i]);
}

int latents_save(const struct latents *l, const char *path, const struct vae_info *info)
{
    char scale[1024], shift[1024], size[32], fps[32], frames[16], factors[32];
    size_t plane = (size_t)l->height * l->width;
    list_text(scale, sizeof scale, info->scale, info->channels);
    list_text(shift, sizeof shift, info->shift, info->channels);
    snprintf(size, sizeof size, "%ux%u", l->source_width, l->source_height);
    snprintf(fps, sizeof fps, "%u/%u", l->fps_num, l->fps_den);
    snprintf(frames, sizeof frames, "%u", l->source_frames);
    snprintf(factors, sizeof factors, "%ux%ux%u", info->time_factor, info->space_factor,
             info->space_factor);
    const struct nn_file_text meta[] = {{"format", "fovea latents"},
                                        {"model", info->arch},
                                        {"scale", scale},
                                        {"shift", shift},
                                        {"scaled", "false"},
                                        {"fps", fps},
                                        {"source_size", size},
                                        {"source_frames", frames},
                                        {"factors", factors},
                                        {"fovea", FOVEA_VERSION}};
    float *data = swapped(l->data, l->frames, l->channels, plane);
    if (!data)
        return fv_fail(FV_ENOMEM, "out of memory");
    struct nn_save_tensor t = {
        "latents", NN_DATA_F32, 5, {1, l->channels, l->frames, l->height, l->width}, data};
    int rc = nn_safetensors_save(path, &t, 1, meta, sizeof meta / sizeof *meta);
    free(data);
    return rc;
}

/* ---- reading ----------------------------------------------------------------------------- */

struct source {
    const char *path, *name;
    unsigned rank;
    uint64_t shape[8];
    uint64_t count;
};

/* Which axes are which: C from the model. *frames_first: [T, C, h, w]. */
static int sizes_of(struct latents *l, const struct source *s, uint32_t channels,
                    bool *frames_first)
{
    unsigned r = s->rank, skip = r == 5 && s->shape[0] == 1;
    char text[160];
    nn_shape_text(text, s->shape, r < NN_FILE_MAX_RANK ? r : NN_FILE_MAX_RANK);
    for (unsigned i = 0; i < r && i < 8; i++)
        if (!s->shape[i] || s->shape[i] > 1 << 20)
            return fv_fail(FV_EFORMAT, "%s: %s is %s", s->path, s->name, text);
    const uint64_t *n = s->shape + skip;
    bool ok = r == 3 || r == 4 || (r == 5 && skip);
    *frames_first = ok && r == 4 && n[0] != channels && n[1] == channels;
    l->channels = ok ? (uint32_t)n[*frames_first] : 0;
    l->frames = !ok || r == 3 ? 1 : (uint32_t)n[*frames_first ? 0 : 1];
    l->height = ok ? (uint32_t)s->shape[r - 2] : 0;
    l->width = ok ? (uint32_t)s->shape[r - 1] : 0;
    if (!ok || l->channels != channels)
        return fv_fail(FV_EINVALID,
                       "%s: %s is %s; this model's latents are [1, %u, T, h, w] (or [%u, T, h, w], "
                       "[T, %u, h, w], [%u, h, w])",
                       s->path, s->name, text, channels, channels, channels, channels);
    return 0;
}

static const struct nn_file_tensor *find_tensor(const struct nn_file *f)
{
    static const char *const names[] = {"latents", "latent", "latent_tensor", "samples",
                                        "z",       "in.z",   "out.z",         "out.mean"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct nn_file_tensor *t = nn_file_find(f, names[i]);
        if (t)
            return t;
    }
    return f->count == 1 ? &f->tensors[0] : NULL;
}

static void read_meta(struct latents *l, const struct nn_file *f)
{
    const char *model = nn_file_meta(f, "model"), *fps = nn_file_meta(f, "fps");
    const char *size = nn_file_meta(f, "source_size"), *n = nn_file_meta(f, "source_frames");
    const char *scaled = nn_file_meta(f, "scaled");
    snprintf(l->model, sizeof l->model, "%s", model ? model : "");
    if (!fps || sscanf(fps, "%u/%u", &l->fps_num, &l->fps_den) != 2 || !l->fps_den)
        l->fps_num = 0, l->fps_den = 1;
    if (!size || sscanf(size, "%ux%u", &l->source_width, &l->source_height) != 2)
        l->source_width = l->source_height = 0;
    if (!n || sscanf(n, "%u", &l->source_frames) != 1)
        l->source_frames = 0;
    l->scaled = scaled && !strcmp(scaled, "true");
}

static int load_file(struct latents *l, const char *path, uint32_t channels, float **data,
                     bool *frames_first)
{
    struct nn_file *f = NULL;
    FV_TRY(nn_file_open(&f, path, NULL));
    const struct nn_file_tensor *t = find_tensor(f);
    int rc =
        t ? 0
          : fv_fail(FV_EFORMAT, "%s: none of its %zu tensors is called latents", path, f->count);
    if (rc >= 0) {
        struct source s = {.path = path, .name = t->name, .rank = t->rank, .count = t->count};
        memcpy(s.shape, t->shape, sizeof s.shape);
        rc = sizes_of(l, &s, channels, frames_first);
    }
    if (rc >= 0) {
        *data = malloc((size_t)t->count * sizeof **data);
        rc = *data ? nn_file_read(t, NN_DATA_F32, 0, t->count, *data)
                   : fv_fail(FV_ENOMEM, "out of memory");
        read_meta(l, f);
    }
    nn_file_close(&f);
    return rc;
}

static int load_npy(struct latents *l, const char *path, uint32_t channels, float **data,
                    bool *frames_first)
{
    struct fv_npy a;
    FV_TRY(fv_npy_open(&a, path));
    struct source s = {.path = path, .name = "the array", .rank = a.rank, .count = a.count};
    for (unsigned i = 0; i < a.rank; i++)
        s.shape[i] = a.dims[i];
    int rc = sizes_of(l, &s, channels, frames_first);
    if (rc >= 0) {
        *data = malloc(a.count * sizeof **data);
        if (*data)
            fv_npy_get_f32(&a, *data);
        else
            rc = fv_fail(FV_ENOMEM, "out of memory");
    }
    l->fps_den = 1;
    fv_npy_close(&a);
    return rc;
}

/* What decodes sensibly: finite, the file's own model, scaled back. */
static int settle(struct latents *l, const char *path, const struct vae_info *info, bool scaled)
{
    size_t plane = (size_t)l->height * l->width;
    size_t n = plane * l->channels * l->frames;
    if (*l->model && strcmp(l->model, info->arch))
        return fv_fail(FV_EINVALID, "%s: these are latents of %s, the model is %s", path, l->model,
                       info->arch);
    for (size_t i = 0; i < n; i++) {
        uint32_t c = (uint32_t)(i / plane % l->channels);
        if (!isfinite(l->data[i]))
            return fv_fail(FV_EFORMAT, "%s: latent %zu is %g", path, i / (plane * l->channels),
                           (double)l->data[i]);
        if (scaled || l->scaled)
            l->data[i] = l->data[i] / info->scale[c] + info->shift[c];
    }
    uint32_t f = info->space_factor;
    if (l->source_width > l->width * f || l->source_height > l->height * f || !l->source_width ||
        !l->source_height) {
        l->source_width = l->width * f;
        l->source_height = l->height * f;
    }
    return 0;
}

int latents_load(struct latents *l, const char *path, const struct vae_info *info, bool scaled)
{
    float *data = NULL;
    bool frames_first = false;
    *l = (struct latents){0};
    int rc = (fv_ends_with(path, ".npy") ? load_npy : load_file)(l, path, info->channels, &data,
                                                                 &frames_first);
    if (rc >= 0 && !frames_first) {
        l->data = swapped(data, l->channels, l->frames, (size_t)l->height * l->width);
        rc = l->data ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    } else if (rc >= 0) {
        l->data = data;
        data = NULL;
    }
    free(data);
    return rc >= 0 ? settle(l, path, info, scaled) : rc;
}

/* Opening a model: its files, config.json, weights onto the device (vae.h). */
#include "vae/private.h"
#include "vk/base/file.h"
#include "vk/base/json.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- config.json ------------------------------------------------------------------------- */

static uint32_t whole(struct fv_json *doc, struct fv_node n, const char *key, uint32_t most)
{
    if (!fv_node_has(n, key) || !fv_node_is_number(fv_node_get(n, key)))
        return 0;
    return (uint32_t)fv_json_int(doc, n, key, 0, most);
}

/* A number, or a list whose first element is taken. */
static float number(struct fv_node n, const char *key)
{
    struct fv_node item = fv_node_get(n, key);
    if (fv_node_is_array(item) && fv_node_count(item))
        item = fv_node_at(item, 0);
    return fv_node_is_number(item) ? (float)fv_node_number(item) : 0;
}

static int read_config(struct vae_config *c, const char *folder)
{
    struct fv_json doc;
    int rc = fv_json_open_in(&doc, folder, "config.json");
    if (rc)
        return rc < 0 ? rc : 0;
    struct fv_node root = doc.root, spatial = fv_node_get(root, "spatial");
    struct fv_node temporal = fv_node_get(root, "temporal");
    c->groups =
        whole(&doc, fv_node_is_object(spatial) ? spatial : root, "norm_num_groups", 1 << 16);
    c->temporal_groups = whole(&doc, temporal, "num_groups", 1 << 16);
    c->eps = number(root, "norm_eps");
    c->scaling_factor = number(root, "scaling_factor");
    c->shift_factor = number(root, "shift_factor");
    c->micro_frames = whole(&doc, root, "micro_frame_size", 1 << 16);
    if (fv_node_has(root, "en_de_n_frames_a_time"))
        c->micro_frames = whole(&doc, root, "en_de_n_frames_a_time", 1 << 16);
    c->no_windows = !c->micro_frames && (fv_node_has(root, "en_de_n_frames_a_time") ||
                                         fv_node_has(root, "micro_frame_size"));
    c->tile_size = whole(&doc, root, "tile_spatial_size", 1 << 16);
    c->tile_overlap = number(root, "tile_overlap_ratio");
    rc = doc.failed ? FV_EFORMAT : 0;
    fv_json_close(&doc);
    return rc;
}

/* ---- files ------------------------------------------------------------------------------- */

struct files {
    struct nn_file *half[2]; /* of encoder and decoder; the second NULL when one holds both */
    char *folder;
};

static bool has_weight_suffix(const char *name)
{
    static const char *const suffixes[] = {".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".gguf"};
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (fv_ends_with(name, suffixes[i]))
            return true;
    return false;
}

/* path with the last "encoder" of its name replaced by "decoder" (or back); NULL when the name has
 * none, or there is no such file. Caller frees. */
static char *other_half(const char *path)
{
    const char *base = fv_path_base(path), *at = strstr(base, "encoder");
    at = at ? at : strstr(base, "decoder");
    char *other = at ? strdup(path) : NULL;
    if (!other)
        return NULL;
    memcpy(other + (at - path), *at == 'e' ? "de" : "en", 2);
    if (fv_exists(other))
        return other;
    free(other);
    return NULL;
}

/* The encoder's file of the one pair in a folder: 1, 0 when there is none, or a code. */
static int pair_in_folder(char **out, const char *folder)
{
    DIR *dir = opendir(folder);
    int found = 0;
    *out = NULL;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (!has_weight_suffix(e->d_name) || !strstr(e->d_name, "encoder"))
            continue;
        char *path = fv_path_join(folder, e->d_name), *other = path ? other_half(path) : NULL;
        if (other && found++)
            free(path);
        else if (other)
            *out = path;
        else
            free(path);
        free(other);
    }
    if (dir)
        closedir(dir);
    if (found < 2)
        return found;
    int rc = fv_fail(FV_EINVALID,
                     "%s: holds %d autoencoders in two files each; name one of the "
                     "files, such as %s",
                     folder, found, fv_path_base(*out));
    free(*out);
    *out = NULL;
    return rc;
}

/* Checkpoints of training hold averaged weights too, which the authors load. */
static int open_weights(struct nn_file **f, const char *path)
{
    struct nn_file_opts ema = {.root = "ema_state_dict"};
    if (fv_ends_with(path, ".ckpt") && nn_file_open(f, path, &ema) >= 0)
        return 0;
    return nn_file_open(f, path, NULL);
}

static int open_files(struct files *f, const char *path)
{
    char *encoder = NULL, *other;
    bool folder = fv_is_dir(path);
    f->folder = folder ? strdup(path) : fv_path_dir(path);
    if (!f->folder)
        return fv_fail(FV_ENOMEM, "out of memory");
    int rc = folder ? pair_in_folder(&encoder, path) : 0;
    if (rc >= 0)
        rc = open_weights(&f->half[0], encoder ? encoder : path);
    other = rc >= 0 && (encoder || !folder) ? other_half(encoder ? encoder : path) : NULL;
    if (other)
        rc = open_weights(&f->half[1], other);
    free(encoder);
    free(other);
    return rc;
}

static void close_files(struct files *f)
{
    nn_file_close(&f->half[0]);
    nn_file_close(&f->half[1]);
    free(f->folder);
}

/* ---- what a diffusion model wants -------------------------------------------------------- */

/* Open-Sora normalises latents itself, by channel; the buffers may be missing. */
static int read_buffer(float *out, const struct nn_file *f, const char *prefix, const char *name,
                       uint32_t channels, const float *usual)
{
    char text[160];
    snprintf(text, sizeof text, "%s%s", prefix, name);
    const struct nn_file_tensor *t = nn_file_find(f, text);
    if (!t && channels != 4)
        return fv_fail(FV_EFORMAT, "%s: %s is missing", f->name, text);
    memcpy(out, usual, 4 * sizeof *out);
    if (!t)
        return 0;
    if (t->count != channels)
        return fv_fail(FV_EFORMAT, "%s: %s has %llu values, expected one for each of %u channels",
                       f->name, text, (unsigned long long)t->count, channels);
    return nn_file_read(t, NN_DATA_F32, 0, channels, out);
}

static int latent_scales(struct vae *v, const struct nn_file *f, const char *prefix)
{
    static const float scale4[4] = {3.85f, 2.32f, 2.33f, 3.06f};
    static const float shift4[4] = {-0.10f, 0.34f, 0.27f, 0.98f};
    const struct vae_config *c = &v->config;
    uint32_t z = v->info.channels;
    if (!z || z > VAE_MAX_CHANNELS)
        return fv_fail(FV_EUNSUPPORTED, "%s: latents of %u channels; at most %d are handled",
                       f->name, z, VAE_MAX_CHANNELS);
    bool own = v->info.family == VAE_OPENSORA || v->info.family == VAE_TINY;
    float scale = c->scaling_factor > 0 ? c->scaling_factor : z == 16 ? 1.5305f : 0.18215f;
    float shift = c->shift_factor != 0 ? c->shift_factor : z == 16 ? 0.0609f : 0;
    for (uint32_t i = 0; i < z; i++) {
        v->info.scale[i] = own ? 1 : scale;
        v->info.shift[i] = own ? 0 : shift;
    }
    if (v->info.family != VAE_OPENSORA)
        return 0;
    FV_TRY(read_buffer(v->scale, f, prefix, "scale", z, scale4));
    FV_TRY(read_buffer(v->shift, f, prefix, "shift", z, shift4));
    for (uint32_t i = 0; i < z; i++)
        if (!(v->scale[i] > 0))
            return fv_fail(FV_EFORMAT, "%s: scale of channel %u is %g", f->name, i,
                           (double)v->scale[i]);
    return 0;
}

/* Numbers of the normalisations with statistics over time, and the sizes of a latent. */
static uint32_t count_norms(const struct vae_half *h)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < h->levels; i++)
        for (uint32_t b = 0; b < h->level[i].blocks; b++)
            n += h->level[i].block[b].norm1.flat ? 0 : 2;
    n += h->mid1.norm1.flat ? 0 : 4;
    n += h->has_attention && !h->attn.norm.flat;
    return n + !h->norm_out.flat;
}

static void describe(struct vae *v, const struct vae_opts *o)
{
    struct vae_info *i = &v->info;
    bool odvae = i->family == VAE_ODVAE, cvvae = i->family == VAE_CVVAE;
    const struct vae_half *e = &v->half[VAE_ENCODE], *d = &v->half[VAE_DECODE];
    uint32_t halvings = 0;
    i->dtype = o->dtype ? o->dtype : NN_F32;
    for (uint32_t k = 0; k < (i->has_encoder ? e : d)->levels; k++)
        halvings += (i->has_encoder ? e : d)->level[k].sample != VAE_SAMPLE_NONE;
    i->space_factor = i->family == VAE_TINY ? 8 : 1u << halvings;
    i->time_factor = odvae || cvvae || i->family == VAE_OPENSORA ? 4 : 1;
    i->has_variance = i->family != VAE_TINY && i->family != VAE_OPENSORA;
    i->carries[VAE_ENCODE] = odvae || cvvae;
    i->carries[VAE_DECODE] = odvae;
    if (odvae || cvvae) {
        i->norms[VAE_ENCODE] = i->has_encoder ? count_norms(e) : 0;
        i->norms[VAE_DECODE] = i->has_decoder ? count_norms(d) : 0;
    }
    uint32_t said = v->config.micro_frames;
    if (cvvae && !v->config.no_windows)
        i->window = (said ? said / 4 * 4 : 16) + 1;
    if (i->family == VAE_OPENSORA && !v->config.no_windows)
        i->window = said ? said : 17;
}

/* ---- loading ----------------------------------------------------------------------------- */

static const char *const ignored[] = {"loss.", "discriminator.", "model_ema.",
                                      "scale", "shift",          NULL};

struct source {
    const struct nn_file *f;
    const char *prefix;
};

static int load_half(struct vae *v, enum vae_way way, const struct source *from,
                     const struct vae_opts *o, const uint64_t *seed)
{
    struct nn_wants *wants = NULL;
    struct nn_weights_report report = {0};
    struct nn_weights_opts w = {.dtype = o->dtype ? o->dtype : NN_F32,
                                .ignore = ignored,
                                .on_progress = o->on_progress,
                                .ud = o->ud,
                                .report = &report};
    uint64_t bytes = 0;
    FV_TRY(nn_wants_create(&wants));
    int rc = vae_build(v, way, wants, from->f, from->prefix);
    if (rc >= 0 && nn_wants_count(wants)) {
        if (!v->dev)
            rc = nn_weights_plan(&bytes, NULL, wants, from->f, &w);
        else if (seed)
            rc = nn_weights_synthetic(&v->weights[way], v->dev, wants, *seed + way, &w);
        else
            rc = nn_weights_load(&v->weights[way], v->dev, wants, from->f, &w);
    }
    v->info.parameters += report.parameters;
    v->info.weight_bytes += v->weights[way] ? v->weights[way]->bytes : bytes;
    nn_weights_report_finish(&report);
    nn_wants_destroy(&wants);
    return rc;
}

static int load(struct vae *v, const struct files *files, const struct vae_opts *o,
                const uint64_t *seed)
{
    struct source from[2];
    for (int i = 0; i < 2; i++) {
        from[i].f = files->half[i] ? files->half[i] : files->half[0];
        FV_TRY(vae_recognise(v, from[i].f, &from[i].prefix));
    }
    for (int way = VAE_ENCODE; way <= VAE_DECODE; way++)
        for (int i = 0; i < (files->half[1] ? 2 : 1) && !o->skip[way]; i++) {
            bool had = way == VAE_ENCODE ? v->info.has_encoder : v->info.has_decoder;
            if (!had)
                FV_TRY(load_half(v, (enum vae_way)way, &from[i], o, seed));
        }
    if (!v->info.has_encoder && !v->info.has_decoder)
        return fv_fail(FV_EFORMAT,
                       "%s: holds neither the encoder nor the decoder that was asked "
                       "for",
                       v->path);
    FV_TRY(latent_scales(v, from[0].f, from[0].prefix));
    describe(v, o);
    return v->dev ? nn_cache_create(&v->cache, v->dev) : 0;
}

static int open_any(struct vae **out, struct vk_device *dev, const char *path,
                    const struct vae_opts *o, const uint64_t *seed)
{
    static const struct vae_opts usual = {0};
    struct files files = {0};
    *out = NULL;
    struct vae *v = calloc(1, sizeof *v);
    if (!v)
        return fv_fail(FV_ENOMEM, "out of memory");
    v->dev = dev;
    snprintf(v->path, sizeof v->path, "%s", path);
    int rc = open_files(&files, path);
    if (rc >= 0)
        rc = read_config(&v->config, files.folder);
    if (rc >= 0)
        rc = load(v, &files, o ? o : &usual, seed);
    close_files(&files);
    if (rc < 0)
        vae_close(&v);
    *out = v;
    return rc;
}

int vae_open(struct vae **out, struct vk_device *dev, const char *path, const struct vae_opts *o)
{
    return open_any(out, dev, path, o, NULL);
}

int vae_open_synthetic(struct vae **out, struct vk_device *dev, const char *path, uint64_t seed,
                       const struct vae_opts *o)
{
    return open_any(out, dev, path, o, &seed);
}

void vae_close(struct vae **out)
{
    struct vae *v = *out;
    *out = NULL;
    if (!v)
        return;
    nn_cache_destroy(&v->cache);
    nn_weights_destroy(&v->weights[0]);
    nn_weights_destroy(&v->weights[1]);
    free(v);
}

const struct vae_info *vae_info(const struct vae *v)
{
    return &v->info;
}

uint32_t vae_latent_count(const struct vae *v, uint32_t frames)
{
    uint32_t n = v->info.time_factor, chunk = v->info.window;
    if (!frames)
        return 0;
    if (v->info.family != VAE_OPENSORA)
        return 1 + (frames - 1 + n - 1) / n;
    if (!chunk)
        return (frames + n - 1) / n;
    return frames / chunk * ((chunk + n - 1) / n) + (frames % chunk + n - 1) / n;
}

uint32_t vae_frame_count(const struct vae *v, uint32_t latents)
{
    uint32_t n = v->info.time_factor, chunk = v->info.window;
    if (!latents)
        return 0;
    if (v->info.family != VAE_OPENSORA || !chunk)
        return 1 + (latents - 1) * n;
    uint32_t each = (chunk + n - 1) / n, rest = latents % each;
    return latents / each * chunk + (rest ? 1 + (rest - 1) * n : 0);
}

/* Which model a file holds, and the structs of its weights, from the names and shapes of its
 * tensors. Everything that distinguishes the models is here: kinds of convolution, of resampling,
 * of statistics. Names are those of the authors' checkpoints:
 *
 *   ldm        encoder.down.L.block.R.norm1 ...  (Stable Diffusion, OD-VAE, CV-VAE)
 *   diffusers  encoder.down_blocks.L.resnets.R.norm1 ...  (AutoencoderKL, CV-VAE for SD 3, the
 *              spatial half of Open-Sora under spatial_vae.module.)
 *   temporal   temporal_vae.encoder.block_res_blocks.L.R.norm1 ...  (Open-Sora)
 *   tiny       0.weight, 1.conv.0.weight ...  (TAESD; diffusers': encoder.layers.0.weight ...) */
#include "vae/private.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What all conversions of a half share. */
struct builder {
    struct vae *v;
    struct nn_wants *wants;
    const struct nn_file *f;
    const char *prefix, *half; /* "encoder." */
    bool diffusers;
    /* of convolutions of rank 5 */
    bool causal;
    enum nn_pad_mode time, space;
    bool flat_attention; /* its norm takes statistics of each frame alone */
    int rc;
};

static const struct nn_file_tensor *find(const struct builder *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static const struct nn_file_tensor *find(const struct builder *b, const char *fmt, ...)
{
    char name[256];
    size_t at = (size_t)snprintf(name, sizeof name, "%s", b->prefix);
    va_list ap;
    va_start(ap, fmt);
    if (at < sizeof name)
        vsnprintf(name + at, sizeof name - at, fmt, ap);
    va_end(ap);
    return nn_file_find(b->f, name);
}

/* ---- recognising ------------------------------------------------------------------------- */

static const char *const prefixes[] = {"", "first_stage_model.", "vae.", "model.", NULL};

static bool any(const struct builder *b, const char *name)
{
    return find(b, "encoder.%s", name) || find(b, "decoder.%s", name);
}

static bool is_tiny(const struct builder *b)
{
    return (find(b, "0.weight") && find(b, "1.conv.0.weight")) ||
           (find(b, "1.weight") && find(b, "3.conv.0.weight")) ||
           find(b, "encoder.layers.1.conv.0.weight") || find(b, "decoder.layers.2.conv.0.weight");
}

static bool has_mix(const struct builder *b)
{
    for (int level = 0; level < VAE_MAX_LEVELS; level++)
        if (find(b, "encoder.down.%d.time_downsample.mix_factor", level) ||
            find(b, "decoder.up.%d.time_upsample.mix_factor", level))
            return true;
    return false;
}

static bool known(struct vae *v, enum vae_family family, const char *arch, const char *name)
{
    v->info.family = family;
    v->info.arch = arch;
    v->info.name = name;
    return true;
}

static bool recognise_under(struct vae *v, const struct builder *b)
{
    if (find(b, "temporal_vae.encoder.conv_in.conv.weight") ||
        find(b, "temporal_vae.decoder.conv1.conv.weight"))
        return known(v, VAE_OPENSORA, "opensora12_vae", "Open-Sora 1.2 VAE");
    if (is_tiny(b))
        return known(v, VAE_TINY, "taesd", "tiny autoencoder (TAESD family)");
    const struct nn_file_tensor *in = find(b, "encoder.conv_in.weight");
    in = in ? in : find(b, "decoder.conv_in.weight");
    if (any(b, "mid.block_1.conv1.conv.weight"))
        return has_mix(b) ? known(v, VAE_ODVAE, "osp_odvae_v11", "OD-VAE 1.1 (Open-Sora-Plan)")
                          : known(v, VAE_ODVAE, "osp_odvae_v12", "OD-VAE 1.2 (Open-Sora-Plan)");
    if (in && in->rank == 5 && any(b, "mid.block_1.conv1.weight"))
        return known(v, VAE_CVVAE, "cvvae", "CV-VAE for SD 2.1");
    if (in && in->rank == 5 && any(b, "mid_block.resnets.0.conv1.weight"))
        return known(v, VAE_CVVAE, "cvvae_sd3", "CV-VAE for SD 3");
    if (in && in->rank == 4 &&
        (any(b, "mid.block_1.conv1.weight") || any(b, "mid_block.resnets.0.conv1.weight")))
        return known(v, VAE_KL, "sd_autoencoderkl", "AutoencoderKL (Stable Diffusion)");
    return false;
}

int vae_recognise(struct vae *v, const struct nn_file *f, const char **prefix)
{
    for (size_t i = 0; prefixes[i]; i++) {
        struct builder b = {.f = f, .prefix = prefixes[i]};
        if (recognise_under(v, &b)) {
            *prefix = prefixes[i];
            return 0;
        }
    }
    return fv_fail(FV_EUNSUPPORTED,
                   "%s: the names of its %zu tensors are of no video autoencoder known here; they "
                   "begin with '%.64s'",
                   f->name, f->count, f->count ? f->tensors[0].name : "");
}

/* ---- single tensors ---------------------------------------------------------------------- */

static bool known_width(struct builder *b, uint32_t width, const char *what)
{
    if (width && width <= 65536)
        return true;
    if (b->rc >= 0)
        b->rc = fv_fail(FV_EFORMAT, "%s: %s%s%s is missing or has no usable size", b->f->name,
                        b->prefix, b->half, what);
    return false;
}

/* The size of an axis of a tensor; 0 when there is none. `name` with or without ".conv". */
static uint32_t axis_of(const struct builder *b, const char *name, unsigned axis)
{
    const struct nn_file_tensor *t = find(b, "%s%s.weight", b->half, name);
    t = t ? t : find(b, "%s%s.conv.weight", b->half, name);
    return t && axis < t->rank && t->shape[axis] <= 65536 ? (uint32_t)t->shape[axis] : 0;
}

static uint32_t rank_of(const struct builder *b, const char *name)
{
    const struct nn_file_tensor *t = find(b, "%s%s.weight", b->half, name);
    t = t ? t : find(b, "%s%s.conv.weight", b->half, name);
    return t ? t->rank : 0;
}

static void want(struct builder *b, nn_tensor *t, const char *name, const char *suffix,
                 unsigned flags, uint32_t rank, const uint32_t *shape)
{
    char text[256];
    /* "conv1.weight", or with the module inside a module "conv1.conv.weight" */
    snprintf(text, sizeof text, "%s%s|%s.conv%s", name, suffix, name, suffix);
    nn_wants_add(b->wants, t, text, flags, rank, shape);
}

enum { NO_BIAS = 1 };

/* A convolution of kernel k in space; kt in time where it is of rank 5 (0: as the file has it). */
static void want_conv(struct builder *b, struct vae_conv *c, const char *name, uint32_t out,
                      uint32_t in, uint32_t kt, uint32_t k, unsigned flags)
{
    uint32_t rank = rank_of(b, name);
    if (!kt)
        kt = axis_of(b, name, 2) == 1 ? 1 : 3;
    c->causal = b->causal;
    c->time = b->time;
    c->space = b->space;
    if (rank == 4) {
        c->space = NN_PAD_ZERO;
        want(b, &c->weight, name, ".weight", 0, NN_SHAPE(out, in, k, k));
    } else {
        want(b, &c->weight, name, ".weight", 0, NN_SHAPE(out, in, kt, k, k));
    }
    if (!(flags & NO_BIAS))
        want(b, &c->bias, name, ".bias", 0, NN_SHAPE(out));
}

static void want_norm(struct builder *b, struct vae_norm *n, const char *name, uint32_t width,
                      bool flat)
{
    char text[256];
    n->flat = flat;
    snprintf(text, sizeof text, "%s.weight", name);
    nn_wants_add(b->wants, &n->weight, text, 0, NN_SHAPE(width));
    snprintf(text, sizeof text, "%s.bias", name);
    nn_wants_add(b->wants, &n->bias, text, 0, NN_SHAPE(width));
}

/* Names inside the prefix of the half: for finding and wanting alike. */
static void want_resnet(struct builder *b, struct vae_resnet *r, const char *at, uint32_t out,
                        uint32_t in, unsigned flags)
{
    char name[160];
    const char *shortcut = b->diffusers ? "conv_shortcut" : "nin_shortcut";
    snprintf(name, sizeof name, "%sconv1", at);
    bool flat = rank_of(b, name) == 4; /* a block of frames alone */
    want_conv(b, &r->conv1, name, out, in, 3, 3, flags);
    snprintf(name, sizeof name, "%snorm1", at);
    want_norm(b, &r->norm1, name, in, flat);
    snprintf(name, sizeof name, "%snorm2", at);
    want_norm(b, &r->norm2, name, out, flat);
    snprintf(name, sizeof name, "%sconv2", at);
    want_conv(b, &r->conv2, name, out, out, 3, 3, flags);
    if (out != in) {
        snprintf(name, sizeof name, "%s%s", at, flags & NO_BIAS ? "conv3" : shortcut);
        want_conv(b, &r->shortcut, name, out, in, 1, 1, flags);
    }
}

static void want_square(struct builder *b, nn_tensor *w, nn_tensor *bias, const char *at,
                        const char *names, uint32_t width, unsigned flags)
{
    char text[400];
    size_t n = 0;
    const char *suffix[2] = {"weight", "bias"};
    for (int i = 0; i < 2; i++) {
        n = 0;
        text[0] = 0;
        for (const char *p = names; *p; p += strcspn(p, "|"), p += *p == '|')
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%s%.*s.%s", n ? "|" : "", at,
                                  (int)strcspn(p, "|"), p, suffix[i]);
        if (i)
            nn_wants_add(b->wants, bias, text, flags, NN_SHAPE(width));
        else
            nn_wants_add(b->wants, w, text, flags | NN_WEIGHT_ONES, NN_SHAPE(width, width));
    }
}

static void want_attention(struct builder *b, struct vae_attention *a, const char *at,
                           uint32_t width)
{
    char name[160];
    bool d = b->diffusers;
    snprintf(name, sizeof name, "%s%s", at, d ? "group_norm" : "norm");
    want_norm(b, &a->norm, name, width, b->flat_attention);
    want_square(b, &a->q, &a->q_bias, at, d ? "to_q|query" : "q|q.conv", width, 0);
    want_square(b, &a->k, &a->k_bias, at, d ? "to_k|key" : "k|k.conv", width, 0);
    want_square(b, &a->v, &a->v_bias, at, d ? "to_v|value" : "v|v.conv", width, 0);
    want_square(b, &a->out, &a->out_bias, at, d ? "to_out.0|proj_attn" : "proj_out|proj_out.conv",
                width, 0);
    if (!find(b, "%s%snorm_t.weight", b->half, at))
        return;
    /* then over time: CV-VAE's decoder */
    snprintf(name, sizeof name, "%snorm_t.weight", at);
    nn_wants_add(b->wants, &a->norm_t, name, 0, NN_SHAPE(width));
    snprintf(name, sizeof name, "%snorm_t.bias", at);
    nn_wants_add(b->wants, &a->norm_t_bias, name, 0, NN_SHAPE(width));
    want_square(b, &a->q_t, &a->q_t_bias, at, "q_t", width, 0);
    want_square(b, &a->k_t, &a->k_t_bias, at, "k_t", width, 0);
    want_square(b, &a->v_t, &a->v_t_bias, at, "v_t", width, 0);
    want_square(b, &a->out_t, &a->out_t_bias, at, "proj_out_t", width, 0);
}

/* ---- resampling -------------------------------------------------------------------------- */

static bool sd3(const struct builder *b)
{
    return b->v->info.family == VAE_CVVAE && b->diffusers;
}

/* Level i of the encoder; which convolution it is, names tell: 2D, causal 3D, and whether time is
 * halved: OD-VAE's 3D ones do, CV-VAE's at even levels. */
static void want_downsample(struct builder *b, struct vae_level *l, uint32_t i, const char *at)
{
    char name[160];
    snprintf(name, sizeof name, b->diffusers ? "%sdownsamplers.0.conv" : "%sdownsample.conv", at);
    uint32_t rank = rank_of(b, name);
    if (rank) {
        l->sample = VAE_SAMPLE_CONV;
        want_conv(b, &l->conv, name, l->width, l->width, 0, 3, 0);
        l->conv.space_stride = 2;
        l->conv.pad_end = !sd3(b);
        bool halves = b->v->info.family == VAE_CVVAE ? i % 2 == 0 : axis_of(b, name, 2) == 3;
        l->conv.time_stride = rank == 5 && halves ? 2 : 1;
    }
    snprintf(name, sizeof name, "%stime_downsample.conv", at);
    if (rank_of(b, name)) {
        want_conv(b, &l->time_conv, name, l->width, l->width, 3, 3, 0);
        snprintf(name, sizeof name, "%stime_downsample.mix_factor", at);
        nn_wants_add(b->wants, &l->mix, name, 0, NN_SHAPE(1));
    }
}

static void want_upsample(struct builder *b, struct vae_level *l, const char *at)
{
    char name[160];
    snprintf(name, sizeof name, b->diffusers ? "%supsamplers.0.conv" : "%supsample.conv", at);
    if (rank_of(b, name)) {
        /* OD-VAE: a kernel of one frame follows nearest neighbours, one of three linear ones. */
        bool shuffle = b->v->info.family == VAE_CVVAE;
        bool linear =
            b->v->info.family == VAE_ODVAE && axis_of(b, name, 2) == 3 && rank_of(b, name) == 5;
        uint32_t times = shuffle && axis_of(b, name, 0) == 2 * l->width ? 2 : 1;
        l->sample = shuffle ? VAE_SAMPLE_SHUFFLE : linear ? VAE_SAMPLE_LINEAR : VAE_SAMPLE_CONV;
        want_conv(b, &l->conv, name, times * l->width, l->width, 0, 3, 0);
        l->conv.upsample = linear ? 1 : 2;
        if (shuffle)
            l->conv.time = NN_PAD_REPLICATE;
    }
    snprintf(name, sizeof name, "%stime_upsample.conv", at);
    if (rank_of(b, name)) {
        want_conv(b, &l->time_conv, name, l->width, l->width, 3, 3, 0);
        snprintf(name, sizeof name, "%stime_upsample.mix_factor", at);
        nn_wants_add(b->wants, &l->mix, name, 0, NN_SHAPE(1));
    }
}

/* ---- halves of the usual form ------------------------------------------------------------ */

static void level_name(char out[64], const struct builder *b, enum vae_way way, uint32_t level)
{
    if (b->diffusers)
        snprintf(out, 64, "%s_blocks.%u.", way == VAE_ENCODE ? "down" : "up", level);
    else
        snprintf(out, 64, "%s.%u.", way == VAE_ENCODE ? "down" : "up", level);
}

static void block_name(char out[96], const struct builder *b, const char *level, uint32_t i)
{
    snprintf(out, 96, "%s%s.%u.", level, b->diffusers ? "resnets" : "block", i);
}

/* Counts one more residual block if it is there under this name, and takes its width. */
static bool another_block(struct builder *b, struct vae_level *l, const char *block)
{
    char name[192];
    snprintf(name, sizeof name, "%sconv1", block);
    uint32_t width = l->blocks < VAE_MAX_BLOCKS ? axis_of(b, name, 0) : 0;
    if (width)
        l->width = width, l->blocks++;
    return width > 0;
}

static void count_levels(struct builder *b, struct vae_half *h, enum vae_way way)
{
    char level[64], block[96];
    for (h->levels = 0; h->levels < VAE_MAX_LEVELS; h->levels++) {
        struct vae_level *l = &h->level[h->levels];
        level_name(level, b, way, h->levels);
        l->blocks = 0;
        do
            block_name(block, b, level, l->blocks);
        while (another_block(b, l, block));
        if (!l->blocks)
            break;
    }
}

static void want_levels(struct builder *b, struct vae_half *h, enum vae_way way, uint32_t in)
{
    char level[64], block[96];
    bool up = way == VAE_DECODE;
    for (uint32_t n = 0; n < h->levels; n++) {
        uint32_t i = up && !h->deepest_first ? h->levels - 1 - n : n;
        struct vae_level *l = &h->level[i];
        level_name(level, b, way, i);
        for (uint32_t k = 0; k < l->blocks; k++) {
            block_name(block, b, level, k);
            want_resnet(b, &l->block[k], block, l->width, k ? l->width : in, 0);
        }
        in = l->width;
        if (up)
            want_upsample(b, l, level);
        else
            want_downsample(b, l, i, level);
    }
}

static void want_half(struct builder *b, struct vae_half *h, enum vae_way way)
{
    bool up = way == VAE_DECODE;
    const char *mid = b->diffusers ? "mid_block." : "mid.";
    const char *mid1 = b->diffusers ? "resnets.0." : "block_1.";
    const char *mid2 = b->diffusers ? "resnets.1." : "block_2.";
    const char *attn = b->diffusers ? "attentions.0." : "attn_1.";
    char name[64];
    h->deepest_first = b->diffusers;
    count_levels(b, h, way);
    if (!known_width(b, h->levels,
                     b->diffusers ? (up ? "up_blocks.0" : "down_blocks.0")
                                  : (up ? "up.0.block.0" : "down.0.block.0")))
        return;
    uint32_t first = axis_of(b, "conv_in", 0), in = axis_of(b, "conv_in", 1);
    uint32_t outermost = up && !h->deepest_first ? 0 : h->levels - 1;
    uint32_t end = h->level[outermost].width, deep = up ? first : end;
    uint32_t out = axis_of(b, "conv_out", 0);
    if (!known_width(b, first, "conv_in.weight") || !known_width(b, in, "conv_in.weight") ||
        !known_width(b, out, "conv_out.weight"))
        return;
    want_conv(b, &h->conv_in, "conv_in", first, up ? in : 3, 3, 3, 0);
    want_levels(b, h, way, first);
    snprintf(name, sizeof name, "%s%s", mid, mid1);
    want_resnet(b, &h->mid1, name, deep, deep, 0);
    snprintf(name, sizeof name, "%s%s", mid, attn);
    h->has_attention =
        find(b, "%s%s%s.weight", b->half, name, b->diffusers ? "group_norm" : "norm");
    if (h->has_attention)
        want_attention(b, &h->attn, name, deep);
    snprintf(name, sizeof name, "%s%s", mid, mid2);
    want_resnet(b, &h->mid2, name, deep, deep, 0);
    bool flat = rank_of(b, "conv_out") == 4;
    want_norm(b, &h->norm_out, b->diffusers ? "conv_norm_out" : "norm_out", end, flat);
    want_conv(b, &h->conv_out, "conv_out", up ? 3 : out, end, 3, 3, 0);
    b->v->info.channels = up ? in : out / 2;
}

/* 1x1 convolutions outside the half: quant_conv, post_quant_conv. */
static void want_quant(struct builder *b, struct vae_half *h, enum vae_way way)
{
    const char *name = way == VAE_ENCODE ? "quant_conv" : "post_quant_conv";
    uint32_t z = b->v->info.channels * (way == VAE_ENCODE ? 2 : 1);
    b->half = "";
    if (rank_of(b, name))
        want_conv(b, &h->quant, name, z, z, 1, 1, 0);
}

static const struct vae_names odvae_names[2] = {
    {NULL, "mid.enc.conv_in", "mid.enc.down%u.block%u", "mid.enc.down%u.downsample",
     "mid.enc.down%u.time_downsample", NULL, "mid.enc.mid.block_1", "mid.enc.mid.attn_1",
     "mid.enc.mid.block_2", "mid.enc.norm_out", "mid.enc.conv_out"},
    {"mid.dec.post_quant", "mid.dec.conv_in", "mid.dec.up%u.block%u", "mid.dec.up%u.upsample",
     "mid.dec.up%u.time_upsample", NULL, "mid.dec.mid.block_1", "mid.dec.mid.attn_1",
     "mid.dec.mid.block_2", "mid.dec.norm_out", NULL}};
static const struct vae_names cvvae_names[2] = {
    {NULL, "mid.encoder.conv_in", "mid.encoder.down.%u.block.%u", "mid.encoder.down.%u.downsample",
     NULL, NULL, "mid.encoder.mid.block_1", "mid.encoder.mid.attn_1", "mid.encoder.mid.block_2",
     "mid.encoder.norm_out", "mid.encoder.conv_out"},
    {NULL, "mid.decoder.conv_in", "mid.decoder.up.%u.block.%u", "mid.decoder.up.%u.upsample", NULL,
     NULL, "mid.decoder.mid.block_1", "mid.decoder.mid.attn_1", "mid.decoder.mid.block_2",
     "mid.decoder.norm_out", NULL}};
static const struct vae_names kl_names[2] = {
    {NULL, "mid.enc.conv_in", NULL, NULL, NULL, "mid.enc.down%u", NULL, "mid.enc.mid.attn",
     "mid.enc.mid", "mid.enc.conv_norm_out", NULL},
    {"mid.dec.post_quant", "mid.dec.conv_in", NULL, NULL, NULL, "mid.dec.up%u", NULL,
     "mid.dec.mid.attn", "mid.dec.mid", "mid.dec.conv_norm_out", NULL}};
static const struct vae_names spatial_names[2] = {
    {NULL, "mid.sp.conv_in", NULL, NULL, NULL, "mid.sp.down%u", NULL, NULL, "mid.sp.mid", NULL,
     NULL},
    {"mid.sp.post_quant", "mid.sp.conv_in", NULL, NULL, NULL, "mid.sp.up%u", NULL, NULL,
     "mid.sp.mid", NULL, NULL}};

static void build_half(struct builder *b, enum vae_way way)
{
    struct vae *v = b->v;
    struct vae_half *h = &v->half[way];
    char push[128];
    b->half = way == VAE_ENCODE ? "encoder." : "decoder.";
    h->groups = v->config.groups ? v->config.groups : 32;
    h->eps = v->config.eps > 0                        ? v->config.eps
             : v->info.family == VAE_CVVAE && !sd3(b) ? 1e-5f
                                                      : 1e-6f;
    h->names = v->info.family == VAE_ODVAE      ? odvae_names[way]
               : v->info.family == VAE_CVVAE    ? cvvae_names[way]
               : v->info.family == VAE_OPENSORA ? spatial_names[way]
                                                : kl_names[way];
    snprintf(push, sizeof push, "%s%s", b->prefix, b->half);
    nn_wants_push(b->wants, "%s", push);
    want_half(b, h, way);
    nn_wants_pop(b->wants);
    if (b->rc < 0)
        return;
    nn_wants_push(b->wants, "%s", b->prefix);
    want_quant(b, h, way);
    nn_wants_pop(b->wants);
}

/* Frames at once, 3D kernels: how each family pads. */
static void pads(struct builder *b, enum vae_way way)
{
    b->flat_attention = b->v->info.family != VAE_ODVAE;
    b->causal = true;
    b->time = NN_PAD_REPLICATE;
    b->space = NN_PAD_ZERO;
    if (b->v->info.family != VAE_CVVAE)
        return;
    b->space = sd3(b) ? NN_PAD_REPLICATE : NN_PAD_ZERO;
    if (way == VAE_DECODE) {
        b->causal = false;
        b->time = b->space;
    }
}

/* ---- Open-Sora's temporal half ----------------------------------------------------------- */

static void want_temporal_levels(struct builder *b, struct vae_temporal *t, enum vae_way way,
                                 uint32_t width)
{
    char name[64];
    for (uint32_t n = 0; n < t->levels; n++) {
        uint32_t i = way == VAE_ENCODE ? n : t->levels - 1 - n;
        struct vae_level *l = &t->level[i];
        for (uint32_t k = 0; k < l->blocks; k++) {
            snprintf(name, sizeof name, "block_res_blocks.%u.%u.", i, k);
            want_resnet(b, &l->block[k], name, l->width, k ? l->width : width, NO_BIAS);
        }
        width = l->width;
        /* after level i in the encoder, before level i - 1 in the decoder */
        uint32_t c = way == VAE_ENCODE ? i : i - 1;
        snprintf(name, sizeof name, "conv_blocks.%u", c);
        if (n + 1 == t->levels || !rank_of(b, name))
            continue;
        t->level[c].sample = VAE_SAMPLE_CONV;
        want_conv(b, &t->level[c].conv, name, way == VAE_ENCODE ? width : 2 * width, width, 3, 3,
                  0);
        t->level[c].conv.time_stride = way == VAE_ENCODE ? 2 : 1;
        t->level[c].conv.pad_less = true;
    }
}

static void build_temporal(struct builder *b, enum vae_way way)
{
    struct vae_temporal *t = &b->v->temporal[way];
    bool up = way == VAE_DECODE;
    const char *in = up ? "conv1" : "conv_in", *out = up ? "conv_out" : "conv2";
    char name[160];
    b->half = up ? "decoder." : "encoder.";
    t->groups = b->v->config.temporal_groups ? b->v->config.temporal_groups : 32;
    t->eps = 1e-5f;
    for (t->levels = 0; t->levels < VAE_MAX_LEVELS; t->levels++) {
        struct vae_level *l = &t->level[t->levels];
        l->blocks = 0;
        do
            snprintf(name, sizeof name, "block_res_blocks.%u.%u.", t->levels, l->blocks);
        while (another_block(b, l, name));
        if (!l->blocks)
            break;
    }
    uint32_t first = axis_of(b, in, 0), z = axis_of(b, in, 1);
    if (!known_width(b, t->levels, "block_res_blocks.0.0") || !known_width(b, first, in) ||
        !known_width(b, z, in) || !known_width(b, axis_of(b, out, 0), out))
        return;
    nn_wants_push(b->wants, "%s%s", b->prefix, b->half);
    want_conv(b, &t->conv_in, in, first, z, 3, 3, up ? 0 : NO_BIAS);
    want_temporal_levels(b, t, way, first);
    uint32_t deep = up ? first : t->level[t->levels - 1].width, end = up ? t->level[0].width : deep;
    for (t->res_count = 0; t->res_count < VAE_MAX_BLOCKS; t->res_count++) {
        snprintf(name, sizeof name, "res_blocks.%u.", t->res_count);
        if (!find(b, "%s%snorm1.weight", b->half, name))
            break;
        want_resnet(b, &t->res[t->res_count], name, deep, deep, NO_BIAS);
    }
    want_norm(b, &t->norm_out, "norm1", end, false);
    want_conv(b, &t->conv_out, out, axis_of(b, out, 0), end, up ? 3 : 1, up ? 3 : 1, 0);
    nn_wants_pop(b->wants);
    uint32_t q = up ? z : axis_of(b, out, 0);
    b->half = "";
    nn_wants_push(b->wants, "%s", b->prefix);
    want_conv(b, &t->quant, up ? "post_quant_conv" : "quant_conv", q, q, 1, 1, 0);
    nn_wants_pop(b->wants);
}

/* ---- tiny -------------------------------------------------------------------------------- */

static void want_pool(struct builder *b, struct vae_tiny_layer *l, uint32_t number, uint32_t width)
{
    char name[64];
    if (!find(b, "%s%u.pool.0.weight", b->half, number))
        return;
    snprintf(name, sizeof name, "%u.pool.0.weight", number);
    nn_wants_add(b->wants, &l->pool_in, name, 0, NN_SHAPE(4 * width, width, 1, 1));
    snprintf(name, sizeof name, "%u.pool.1.weight", number);
    nn_wants_add(b->wants, &l->pool_norm, name, 0, NN_SHAPE(4 * width));
    snprintf(name, sizeof name, "%u.pool.1.bias", number);
    nn_wants_add(b->wants, &l->pool_bias, name, 0, NN_SHAPE(4 * width));
    snprintf(name, sizeof name, "%u.pool.3.weight", number);
    nn_wants_add(b->wants, &l->pool_out, name, 0, NN_SHAPE(width, 4 * width, 1, 1));
}

/* Layers are numbered with the activations and upsamplings between them, which have no tensors: a
 * convolution without a bias changes the size, the last is the one to pixels or latents. */
static void build_tiny(struct builder *b, enum vae_way way)
{
    struct vae_tiny *t = &b->v->tiny[way];
    char name[64];
    uint32_t width = 0;
    bool layers =
        find(b, "%slayers.1.conv.0.weight", way == VAE_ENCODE ? "encoder." : "decoder.") ||
        find(b, "%slayers.2.conv.0.weight", way == VAE_ENCODE ? "encoder." : "decoder.");
    b->half = !layers ? "" : way == VAE_ENCODE ? "encoder.layers." : "decoder.layers.";
    nn_wants_push(b->wants, "%s%s", b->prefix, b->half);
    for (uint32_t i = 0; i < 64 && t->layers < VAE_TINY_LAYERS; i++) {
        struct vae_tiny_layer *l = &t->layer[t->layers];
        snprintf(name, sizeof name, "%u.conv.0", i);
        l->block = rank_of(b, name) != 0;
        if (!l->block)
            snprintf(name, sizeof name, "%u", i);
        uint32_t out = axis_of(b, name, 0), in = axis_of(b, name, 1);
        if (!out)
            continue;
        bool bias = find(b, "%s%s.bias", b->half, name);
        want_conv(b, &l->conv[0], name, out, t->layers ? width : in, 1, 3, bias ? 0 : NO_BIAS);
        if (!t->layers)
            b->v->info.channels = way == VAE_DECODE ? in : b->v->info.channels;
        if (l->block) {
            for (uint32_t k = 1; k < 3; k++) {
                snprintf(name, sizeof name, "%u.conv.%u", i, 2 * k);
                want_conv(b, &l->conv[k], name, out, out, 1, 3, 0);
            }
            snprintf(name, sizeof name, "%u.skip", i);
            if (out != width)
                want_conv(b, &l->skip, name, out, width, 1, 1, NO_BIAS);
            want_pool(b, l, i, width);
        } else if (!bias) {
            l->conv[0].space_stride = way == VAE_ENCODE ? 2 : 1;
            l->conv[0].upsample = way == VAE_DECODE ? 2 : 1;
        } else {
            l->relu = way == VAE_DECODE && !t->layers;
        }
        width = out;
        t->layers++;
    }
    nn_wants_pop(b->wants);
    if (way == VAE_ENCODE)
        b->v->info.channels = width;
    known_width(b, t->layers > 2 ? t->layers : 0, "1.conv.0.weight");
}

/* ---- all --------------------------------------------------------------------------------- */

static bool holds(const struct builder *b, enum vae_way way)
{
    const char *half = way == VAE_ENCODE ? "encoder" : "decoder";
    if (b->v->info.family == VAE_TINY)
        return way == VAE_ENCODE
                   ? find(b, "1.conv.0.weight") || find(b, "encoder.layers.1.conv.0.weight")
                   : (find(b, "3.conv.0.weight") && !find(b, "1.conv.0.weight")) ||
                         find(b, "decoder.layers.2.conv.0.weight");
    if (b->v->info.family == VAE_OPENSORA)
        return find(b, "temporal_vae.%s.block_res_blocks.0.0.norm1.weight", half);
    return find(b, "%s.conv_in.weight", half) || find(b, "%s.conv_in.conv.weight", half);
}

int vae_build(struct vae *v, enum vae_way way, struct nn_wants *w, const struct nn_file *f,
              const char *prefix)
{
    struct builder b = {.v = v, .wants = w, .f = f, .prefix = prefix};
    char inner[128];
    if (!holds(&b, way))
        return 0;
    if (v->info.family == VAE_TINY) {
        build_tiny(&b, way);
    } else if (v->info.family == VAE_OPENSORA) {
        snprintf(inner, sizeof inner, "%sspatial_vae.module.", prefix);
        b.prefix = inner;
        if (!find(&b, "encoder.conv_in.weight") && !find(&b, "decoder.conv_in.weight"))
            snprintf(inner, sizeof inner, "%sspatial_vae.", prefix);
        b.diffusers = true;
        pads(&b, way);
        build_half(&b, way);
        snprintf(inner, sizeof inner, "%stemporal_vae.", prefix);
        b.time = NN_PAD_ZERO;
        if (b.rc >= 0)
            build_temporal(&b, way);
    } else {
        b.half = way == VAE_ENCODE ? "encoder." : "decoder.";
        b.diffusers = find(&b, "%smid_block.resnets.0.conv1.weight", b.half);
        pads(&b, way);
        build_half(&b, way);
    }
    if (b.rc >= 0) {
        v->info.has_encoder |= way == VAE_ENCODE;
        v->info.has_decoder |= way == VAE_DECODE;
    }
    return b.rc;
}

/* Encoder and decoder of the usual form: AutoencoderKL, OD-VAE, CV-VAE and Open-Sora's spatial half
 * differ in the kind of their convolutions and resampling only (open.c sets those).
 *
 *   encoder  conv_in, levels of (residual blocks, downsample), mid (block, attention, block),
 *            norm, SiLU, conv_out, quant_conv -> [mean | logvar]
 *   decoder  post_quant_conv, conv_in, mid, levels of (residual blocks, upsample) from the deepest,
 *            norm, SiLU, conv_out                                                              */
#include "vae/private.h"

static const struct nn_activation identity = {.act = NN_IDENTITY};

/* block_1, attention over the positions of each frame, block_2. */
static nn_tensor middle(struct vae_ctx *c, const struct vae_half *w, nn_tensor h)
{
    h = vae_then(c, h, vae_resnet_block(c, &w->mid1, h));
    vae_trace(c, w->names.mid1, 0, 0, h);
    if (w->has_attention)
        h = vae_then(c, h, vae_attend(c, &w->attn, h));
    vae_trace(c, w->names.attn, 0, 0, h);
    h = vae_then(c, h, vae_resnet_block(c, &w->mid2, h));
    vae_trace(c, w->names.mid2, 0, 0, h);
    return h;
}

nn_tensor vae_half_encode(struct vae_ctx *c, const struct vae *v, nn_tensor x)
{
    const struct vae_half *w = &v->half[VAE_ENCODE];
    nn_tensor none = {0};
    nn_scope s = nn_push_named(c->r, "encoder");
    c->groups = w->groups;
    c->eps = w->eps;

    nn_tensor h = vae_convolve(c, &w->conv_in, x, none, identity); /* [1, width 0, T, H, W] */
    vae_trace(c, w->names.conv_in, 0, 0, h);
    for (uint32_t i = 0; i < w->levels; i++) {
        nn_scope level = nn_push_named(c->r, "level %u", i);
        for (uint32_t b = 0; b < w->level[i].blocks; b++) {
            h = vae_then(c, h, vae_resnet_block(c, &w->level[i].block[b], h));
            vae_trace(c, w->names.block, i, b, h);
        }
        h = vae_downsample(c, &w->level[i], h, &w->names, i);
        vae_trace(c, w->names.level, i, 0, h);
        h = nn_pop_keep(c->r, level, h);
    }
    h = middle(c, w, h); /* [1, width, 1 + (T - 1) / 4, H / 8, W / 8] */

    h = vae_then(c, h, vae_normalise(c, &w->norm_out, h, NN_SILU, w->names.norm_out));
    h = vae_then(c, h, vae_convolve(c, &w->conv_out, h, none, identity)); /* [1, 2 z, ...] */
    vae_trace(c, w->names.conv_out, 0, 0, h);
    if (!nn_is_null(w->quant.weight))
        h = vae_then(c, h, vae_convolve(c, &w->quant, h, none, identity));
    return nn_pop_keep(c->r, s, h);
}

nn_tensor vae_half_decode(struct vae_ctx *c, const struct vae *v, nn_tensor x)
{
    const struct vae_half *w = &v->half[VAE_DECODE];
    nn_tensor none = {0}, h = x;
    nn_scope s = nn_push_named(c->r, "decoder");
    c->groups = w->groups;
    c->eps = w->eps;

    if (!nn_is_null(w->quant.weight))
        h = vae_then(c, h, vae_convolve(c, &w->quant, h, none, identity));
    vae_trace(c, w->names.first, 0, 0, h);
    h = vae_then(c, h, vae_convolve(c, &w->conv_in, h, none, identity)); /* [1, width, t, h, w] */
    vae_trace(c, w->names.conv_in, 0, 0, h);
    h = middle(c, w, h);
    for (uint32_t n = 0; n < w->levels; n++) {
        uint32_t i = w->deepest_first ? n : w->levels - 1 - n;
        nn_scope level = nn_push_named(c->r, "level %u", i);
        for (uint32_t b = 0; b < w->level[i].blocks; b++) {
            h = vae_then(c, h, vae_resnet_block(c, &w->level[i].block[b], h));
            vae_trace(c, w->names.block, i, b, h);
        }
        h = vae_upsample(c, &w->level[i], h, &w->names, i);
        vae_trace(c, w->names.level, i, 0, h);
        h = nn_pop_keep(c->r, level, h);
    }

    h = vae_then(c, h, vae_normalise(c, &w->norm_out, h, NN_SILU, w->names.norm_out));
    h = vae_then(
        c, h,
        vae_convolve(c, &w->conv_out, h, none, identity)); /* [1, 3, 1 + 4 (t - 1), 8 h, 8 w] */
    return nn_pop_keep(c->r, s, h);
}

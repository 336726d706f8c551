/* Open-Sora 1.2's temporal autoencoder over the latents of single frames: causal convolutions with
 * zeros in front, time halved twice by stride and doubled by channels that become frames. Sizes in
 * space stay. Frames are filled up in front (run.c), so T is a multiple of 4 here. */
#include "vae/private.h"

static const struct nn_activation identity = {.act = NN_IDENTITY};
static const struct vae_names names_none = {0};

static void settings(struct vae_ctx *c, const struct vae_temporal *w)
{
    c->groups = w->groups;
    c->eps = w->eps;
}

/* x [1, 4, T, h, w] -> moments [1, 8, T / 4, h, w]. */
nn_tensor vae_temporal_encode(struct vae_ctx *c, const struct vae *v, nn_tensor x)
{
    const struct vae_temporal *w = &v->temporal[VAE_ENCODE];
    nn_tensor none = {0};
    nn_scope s = nn_push_named(c->r, "temporal encoder");
    settings(c, w);

    nn_tensor h = vae_convolve(c, &w->conv_in, x, none, identity);
    vae_trace(c, "mid.tp.conv_in", 0, 0, h);
    for (uint32_t i = 0; i < w->levels; i++) {
        for (uint32_t b = 0; b < w->level[i].blocks; b++) {
            h = vae_then(c, h, vae_resnet_block(c, &w->level[i].block[b], h));
            vae_trace(c, "mid.tp.res%u_%u", i, b, h);
        }
        if (i + 1 < w->levels) {
            h = vae_downsample(c, &w->level[i], h, &names_none, i);
            vae_trace(c, "mid.tp.conv_block%u", i, 0, h);
        }
    }
    for (uint32_t b = 0; b < w->res_count; b++)
        h = vae_then(c, h, vae_resnet_block(c, &w->res[b], h));
    h = vae_then(c, h, vae_normalise(c, &w->norm_out, h, NN_SILU, "mid.tp.norm1"));
    h = vae_then(c, h, vae_convolve(c, &w->conv_out, h, none, identity));
    vae_trace(c, "mid.tp.conv2", 0, 0, h);
    return nn_pop_keep(c->r, s, vae_convolve(c, &w->quant, h, none, identity));
}

/* z [1, 4, t, h, w] -> [1, 4, 4 t, h, w]. */
nn_tensor vae_temporal_decode(struct vae_ctx *c, const struct vae *v, nn_tensor z)
{
    const struct vae_temporal *w = &v->temporal[VAE_DECODE];
    nn_tensor none = {0};
    nn_scope s = nn_push_named(c->r, "temporal decoder");
    settings(c, w);

    nn_tensor h = vae_convolve(c, &w->quant, z, none, identity);
    vae_trace(c, "mid.tp.post_quant", 0, 0, h);
    h = vae_then(c, h, vae_convolve(c, &w->conv_in, h, none, identity));
    vae_trace(c, "mid.tp.conv1", 0, 0, h);
    for (uint32_t b = 0; b < w->res_count; b++)
        h = vae_then(c, h, vae_resnet_block(c, &w->res[b], h));
    for (uint32_t i = w->levels; i-- > 0;) {
        for (uint32_t b = 0; b < w->level[i].blocks; b++) {
            h = vae_then(c, h, vae_resnet_block(c, &w->level[i].block[b], h));
            vae_trace(c, "mid.tp.res%u_%u", i, b, h);
        }
        if (i == 0)
            continue;
        const struct vae_level *below = &w->level[i - 1]; /* conv_blocks[i - 1] */
        if (below->sample != VAE_SAMPLE_NONE)
            h = vae_then(c, h, vae_convolve(c, &below->conv, h, none, identity));
        vae_trace(c, "mid.tp.conv_block%u", i - 1, 0, h);
        if (below->sample != VAE_SAMPLE_NONE && !nn_failed(c->r))
            h = vae_time_shuffle(c, h, 2, false);
    }
    h = vae_then(c, h, vae_normalise(c, &w->norm_out, h, NN_SILU, NULL));
    h = vae_then(c, h, vae_convolve(c, &w->conv_out, h, none, identity));
    vae_trace(c, "mid.tp_decoder_out", 0, 0, h);
    return nn_pop_keep(c->r, s, h);
}

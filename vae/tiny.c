/* The TAESD family: plain convolutions and residual blocks with ReLU, no normalisation but in the
 * blocks with a pool (FLUX.2's). Pixels are 0 .. 1 to them. */
#include "vae/private.h"

static const struct nn_activation identity = {.act = NN_IDENTITY}, relu = {.act = NN_RELU};

/* relu(conv(relu(conv(relu(conv(x))))) + skip(x)), x += pool(x) before where there is one. */
static nn_tensor block(struct vae_ctx *c, const struct vae_tiny_layer *w, nn_tensor x)
{
    nn_scope s = nn_push(c->r);
    nn_tensor none = {0};
    if (!nn_is_null(w->pool_in)) {
        nn_tensor p = nn_conv(c->r, x, w->pool_in, NULL); /* [1, 4 C, ...] */
        p = nn_group_norm(c->r, p,
                          &(struct nn_group_norm_opts){.groups = 4,
                                                       .eps = 1e-5f,
                                                       .span = 1,
                                                       .weight = w->pool_norm,
                                                       .bias = w->pool_bias,
                                                       .act = relu});
        x = nn_conv(c->r, p, w->pool_out, &(struct nn_conv){.residual = x});
    }
    nn_tensor h = vae_convolve(c, &w->conv[0], x, none, relu);
    h = vae_then(c, h, vae_convolve(c, &w->conv[1], h, none, relu));
    nn_tensor skip = x;
    if (!nn_is_null(w->skip.weight))
        skip = vae_convolve(c, &w->skip, x, none, identity);
    h = vae_then(c, h, vae_convolve(c, &w->conv[2], h, skip, identity));
    return nn_pop_keep(c->r, s, nn_activate(c->r, h, relu));
}

static nn_tensor layers(struct vae_ctx *c, const struct vae_tiny *w, nn_tensor h)
{
    for (uint32_t i = 0; i < w->layers; i++) {
        const struct vae_tiny_layer *l = &w->layer[i];
        nn_tensor next =
            l->block ? block(c, l, h)
                     : vae_convolve(c, &l->conv[0], h, (nn_tensor){0}, l->relu ? relu : identity);
        h = vae_then(c, h, next);
    }
    return h;
}

nn_tensor vae_tiny_encode(struct vae_ctx *c, const struct vae *v, nn_tensor x)
{
    nn_scope s = nn_push_named(c->r, "encoder");
    x = nn_scale(c->r, x, 0.5f, 0.5f);
    return nn_pop_keep(c->r, s, layers(c, &v->tiny[VAE_ENCODE], x));
}

nn_tensor vae_tiny_decode(struct vae_ctx *c, const struct vae *v, nn_tensor z)
{
    nn_scope s = nn_push_named(c->r, "decoder");
    z = nn_activate(c->r, z, (struct nn_activation){NN_TANH_SCALE, 3, 0});
    nn_tensor x = layers(c, &v->tiny[VAE_DECODE], z);
    return nn_pop_keep(c->r, s, nn_scale(c->r, x, 2, -1));
}

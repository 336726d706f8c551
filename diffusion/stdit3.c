/* STDiT3 (diffusion.h): a stack of spatial and temporal blocks over the patches of a latent clip.
 *
 *   z --> patches + positions --> [spatial block, temporal block] x depth --> final layer --> v
 *   time, fps --> t: 6 shifts, scales and gates a block        caption --> keys, values a block
 *
 *   block:  x = x + gate1 * attention(norm(x) (1 + scale1) + shift1)     over a frame's tokens, or a
 *           x = x + cross_attention(x, caption)                          place's frames with RoPE
 *           x = x + gate2 * mlp(norm(x) (1 + scale2) + shift2)
 *
 * Tokens are [batch, frame, place]. A time is one a sample; with frames that are kept, one a frame:
 * the sample's or 0. */
#include "diffusion/run.h"

#include <stdio.h>

/* ---- pieces of the figure ---------------------------------------------------------------- */

nn_tensor df_record_mlp(struct nn_rec *r, nn_tensor x, const struct df_mlp *w, enum nn_act act)
{
    nn_tensor h = nn_linear_matrix(r, x, &w->fc1,
                                   &(struct nn_linear_opts){.bias = w->fc1_bias, .act = {act, 0, 0}});
    return nn_linear_matrix(r, h, &w->fc2, &(struct nn_linear_opts){.bias = w->fc2_bias});
}

void df_trace_input(const struct df_run *s, struct nn_rec *r, nn_tensor x, bool temporal, uint32_t number,
                    const char *what)
{
    char name[64];
    if (!s->traced)
        return;
    snprintf(name, sizeof name, "in.%s_blocks.%u.%s", temporal ? "temporal" : "spatial", number, what);
    nn_trace(r, name, x);
}

/* A linear layer of the block that is recorded now. */
static nn_tensor linear(struct df_run *s, nn_tensor x, const struct nn_matrix *w, const char *what,
                        const struct nn_linear_opts *o)
{
    df_trace_input(s, s->r, x, s->temporal, s->number, what);
    return nn_linear_matrix(s->r, x, w, o);
}

/* Shift, scale and gate of one half of a block, [groups, width] each: a row a sample or a frame. */
struct modulation {
    nn_tensor shift, scale, gate;
};

static struct modulation half(struct nn_rec *r, nn_tensor m, uint32_t which)
{
    nn_tensor part[3];
    for (uint32_t k = 0; k < 3; k++)
        part[k] = nn_squeeze(r, nn_slice(r, m, 1, 3 * which + k, 1), 1);
    return (struct modulation){part[0], part[1], part[2]};
}

/* Means of frames 0 and 1, 2 and 3, ...: [batch, T / 2, S, C]; an odd last one is left out. */
static nn_tensor merge(struct df_run *s, nn_tensor x)
{
    uint32_t pairs = x.shape[1] / 2;
    x = nn_slice(s->r, x, 1, 0, 2 * pairs);
    x = nn_reshape(s->r, x, 5, (uint32_t[]){x.shape[0], pairs, 2, x.shape[2], x.shape[3]});
    return nn_squeeze(s->r, nn_mean(s->r, x, 2), 2);
}

/* Frame t from pair t / 2; an odd last one from the last pair. */
static nn_tensor unmerge(struct df_run *s, nn_tensor m)
{
    nn_tensor list[2] = {nn_repeat(s->r, m, 1, 2), nn_slice(s->r, m, 1, m.shape[1] - 1, 1)};
    return s->size.frames % 2 ? nn_concat(s->r, 1, list, 2) : list[0];
}

/* x + gate * linear(h), or all of it by name. h may be of merged frames. */
static nn_tensor add_linear(struct df_run *s, nn_tensor x, nn_tensor h, const struct nn_matrix *w,
                            const char *what, nn_tensor bias, nn_tensor gate, const char *name)
{
    bool merged = !nn_failed(s->r) && h.shape[1] != x.shape[1];
    if (!merged && (!s->named || !name))
        return linear(s, h, w, what,
                      &(struct nn_linear_opts){.bias = bias, .gate = gate, .residual = x});
    nn_tensor y = linear(s, h, w, what, &(struct nn_linear_opts){.bias = bias});
    if (s->named && name)
        nn_trace(s->r, name, y);
    if (merged)
        y = unmerge(s, y);
    if (nn_is_null(gate))
        return nn_add(s->r, x, y);
    uint32_t groups = gate.shape[0], width = gate.shape[1];
    nn_tensor run = nn_reshape(s->r, y, 3, (uint32_t[]){groups, NN_REST, width});
    nn_tensor base = nn_reshape(s->r, x, 3, (uint32_t[]){groups, NN_REST, width});
    run = nn_add_gated(s->r, base, run, nn_unsqueeze(s->r, gate, 1));
    return nn_reshape(s->r, run, x.rank, x.shape);
}

/* Attention among the tokens of each frame: [batch, T S, C]. */
static nn_tensor over_places(struct df_run *s, nn_tensor q, nn_tensor k, nn_tensor v)
{
    nn_tensor part[3] = {q, k, v};
    for (int i = 0; i < 3; i++) { /* [B T, heads, S, head] */
        part[i] = nn_reshape(s->r, part[i], 4,
                             (uint32_t[]){s->size.batch * part[i].shape[1], s->rows * s->cols,
                                          part[i].shape[3], part[i].shape[4]});
        part[i] = nn_transpose(s->r, part[i], 1, 2);
    }
    return nn_attention(s->r, part[0], part[1], part[2], NULL);
}

/* Among the frames of each place of one sample, turned by their number: [S, T, C]. */
static nn_tensor over_frames(struct df_run *s, nn_tensor q, nn_tensor k, nn_tensor v, uint32_t sample)
{
    nn_tensor part[3] = {q, k, v};
    for (int i = 0; i < 3; i++) { /* [T, S, heads, head] -> [S, heads, T, head] */
        part[i] = nn_squeeze(s->r, nn_slice(s->r, part[i], 0, sample, 1), 0);
        part[i] = nn_permute(s->r, part[i], NN_ORDER(1, 2, 0, 3));
        if (i < 2)
            part[i] = nn_rope(s->r, part[i], nn_slice(s->r, s->rope, 0, 0, part[i].shape[2]), false);
    }
    return nn_attention(s->r, part[0], part[1], part[2], NULL);
}

static nn_tensor self_attention(struct df_run *s, const struct df_block *w, nn_tensor a, bool temporal)
{
    uint32_t batch = s->size.batch, frames = a.shape[1], places = s->rows * s->cols;
    uint32_t heads = s->d->info.heads, width = s->d->info.width;
    nn_tensor qkv = linear(s, a, &w->qkv, "attn.qkv",
                           &(struct nn_linear_opts){.bias = w->qkv_bias, .heads = {{w->q_norm, w->k_norm}, width}});
    nn_tensor part[3];
    for (uint32_t i = 0; i < 3; i++)
        part[i] = nn_reshape(s->r, nn_slice(s->r, qkv, -1, i * width, width), 5,
                             (uint32_t[]){batch, frames, places, heads, width / heads});
    if (!temporal)
        return nn_reshape(s->r, over_places(s, part[0], part[1], part[2]), 4,
                          (uint32_t[]){batch, frames, places, width});
    nn_tensor all = nn_new(s->r, a.dtype, NN_SHAPE(batch, frames, places, width));
    for (uint32_t b = 0; b < batch; b++) {
        nn_scope scope = nn_push(s->r);
        nn_tensor y = nn_transpose(s->r, over_frames(s, part[0], part[1], part[2], b), 0, 1);
        nn_copy(s->r, nn_squeeze(s->r, nn_slice(s->r, all, 0, b, 1), 0), y);
        nn_pop(s->r, scope);
    }
    return all;
}

/* Each token looks at its sample's caption: [batch, T S, C]. */
static nn_tensor cross_attention(struct df_run *s, const struct df_block *w, nn_tensor x, nn_tensor kv)
{
    uint32_t batch = s->size.batch, heads = s->d->info.heads, width = s->d->info.width;
    nn_tensor q = linear(s, x, &w->cross_q, "cross_attn.q_linear",
                         &(struct nn_linear_opts){.bias = w->cross_q_bias});
    q = nn_reshape(s->r, q, 4, (uint32_t[]){batch, NN_REST, heads, width / heads});
    nn_tensor k = nn_squeeze(s->r, nn_slice(s->r, kv, 2, 0, 1), 2);
    nn_tensor v = nn_squeeze(s->r, nn_slice(s->r, kv, 2, 1, 1), 2);
    return nn_attention(s->r, nn_transpose(s->r, q, 1, 2), nn_transpose(s->r, k, 1, 2),
                        nn_transpose(s->r, v, 1, 2), &(struct nn_attention_opts){.mask = s->hidden});
}

/* ---- blocks ------------------------------------------------------------------------------ */

static const char *name_of(char text[48], bool temporal, uint32_t number, const char *what)
{
    snprintf(text, 48, "mid.%s%u.%s", temporal ? "temporal" : "spatial", number, what);
    return text;
}

/* x [batch, T, S, C]; t f32 [groups, 6, C]. Gives back x. */
static nn_tensor block(struct df_run *s, const struct df_block *w, uint32_t number, bool temporal,
                       nn_tensor x, nn_tensor t)
{
    nn_tensor kv = s->keys_values[2 * number + temporal];
    struct nn_rec *r = s->r;
    s->temporal = temporal;
    s->number = number;
    nn_scope scope = nn_push_named(r, "%s block %u", temporal ? "temporal" : "spatial", number);
    char text[48];
    nn_trace(r, name_of(text, temporal, number, "in"), x);

    nn_tensor m = nn_add(r, t, nn_expand(r, nn_unsqueeze(r, w->table, 0), t.rank, t.shape));
    struct modulation one = half(r, m, 0), two = half(r, m, 1);
    nn_scope inner = nn_push(r);
    nn_tensor a = nn_layer_norm(r, x, &(struct nn_norm_opts){.shift = one.shift, .scale = one.scale});
    nn_tensor h = self_attention(s, w, s->merge ? merge(s, a) : a, temporal);
    name_of(text, temporal, number, s->merge ? "attn_merged" : "attn");
    if (s->named && temporal) { /* the authors have places before frames here */
        nn_tensor y = nn_linear_matrix(r, h, &w->proj, &(struct nn_linear_opts){.bias = w->proj_bias});
        nn_trace(r, text, nn_transpose(r, y, 1, 2));
    }
    x = add_linear(s, x, h, &w->proj, "attn.proj", w->proj_bias, one.gate, temporal ? NULL : text);
    x = nn_pop_keep(r, inner, x);

    inner = nn_push(r);
    a = s->merge ? merge(s, x) : x;
    h = nn_reshape(r, cross_attention(s, w, a, kv), a.rank, a.shape);
    x = add_linear(s, x, h, &w->cross_proj, "cross_attn.proj", w->cross_proj_bias, (nn_tensor){0},
                   name_of(text, temporal, number, s->merge ? "cross_attn_merged" : "cross_attn"));
    x = nn_pop_keep(r, inner, x);

    inner = nn_push(r);
    a = nn_layer_norm(r, x, &(struct nn_norm_opts){.shift = two.shift, .scale = two.scale});
    h = linear(s, a, &w->mlp.fc1, "mlp.fc1",
               &(struct nn_linear_opts){.bias = w->mlp.fc1_bias, .act = {NN_GELU_TANH, 0, 0}});
    x = add_linear(s, x, h, &w->mlp.fc2, "mlp.fc2", w->mlp.fc2_bias, two.gate,
                   name_of(text, temporal, number, "mlp"));
    x = nn_pop_keep(r, inner, x);
    nn_trace(r, name_of(text, temporal, number, "out"), x);
    return nn_pop_keep(r, scope, x);
}

/* ---- embeddings -------------------------------------------------------------------------- */

/* A number's sinusoid through an embedder: [n] -> [n, C]. */
nn_tensor df_record_number(struct df_run *s, nn_tensor n, const struct df_mlp *w)
{
    nn_tensor e = nn_timestep(s->r, n, &(struct nn_sinusoid){.dim = w->fc1.columns});
    return df_record_mlp(s->r, e, w, NN_SILU);
}

/* Times and frame rates -> time of the final layer and modulation of the blocks, a row each. */
nn_tensor df_record_modulation(struct df_run *s, nn_tensor sum)
{
    nn_tensor t = nn_activate(s->r, sum, (struct nn_activation){NN_SILU, 0, 0});
    return nn_linear(s->r, t, s->d->modulation, &(struct nn_linear_opts){.bias = s->d->modulation_bias});
}

/* Modulation of the blocks, a row a sample or a frame; time of the final layer, a row a time. */
void df_record_times(struct df_run *s, nn_tensor *blocks, nn_tensor *final)
{
    uint32_t batch = s->size.batch, width = s->d->info.width;
    struct nn_rec *r = s->r;
    nn_tensor t;
    if (s->known) {
        t = nn_embed(r, s->block_rows, s->all_blocks);
        *final = nn_embed(r, s->final_rows, s->all_final);
    } else {
        nn_tensor time = df_record_number(s, s->time, &s->d->time), fps = df_record_number(s, s->fps, &s->d->fps);
        nn_trace(r, "mid.t_emb", nn_slice(r, time, 0, 0, batch));
        nn_trace(r, "mid.fps_emb", nn_slice(r, fps, 0, 0, batch));
        *final = nn_add(r, time, fps);
        t = df_record_modulation(s, *final);
        nn_trace(r, "mid.t_mlp", nn_slice(r, t, 0, 0, batch));
        if (s->masked) {
            nn_trace(r, "mid.t_emb#1", nn_slice(r, time, 0, batch, batch));
            nn_trace(r, "mid.t_mlp#1", nn_slice(r, t, 0, batch, batch));
            t = nn_embed(r, s->frame_time, t);
        }
    }
    *blocks = nn_reshape(r, t, 3, (uint32_t[]){NN_REST, 6, width});
}

nn_tensor df_record_patches(struct df_run *s)
{
    const struct df_dit_info *i = &s->d->info;
    struct nn_rec *r = s->r;
    const uint32_t none[5] = {0},
                   end[5] = {0, 0, 0, s->rows * i->patch[1] - s->size.height,
                             s->cols * i->patch[2] - s->size.width};
    nn_tensor x = end[3] || end[4] ? nn_pad(r, s->z, none, end, NN_PAD_ZERO, 0) : s->z;
    x = nn_cast(r, nn_patchify(r, x, i->patch, false), i->dtype);
    nn_tensor w = nn_reshape(r, s->d->patch, 2, (uint32_t[]){i->width, NN_REST});
    x = nn_linear(r, x, w, &(struct nn_linear_opts){.bias = s->d->patch_bias});
    nn_trace(r, "mid.x_embed", x);
    nn_trace(r, "mid.pos_emb", s->positions);
    x = nn_reshape(r, x, 4,
                   (uint32_t[]){s->size.batch, s->size.frames, s->rows * s->cols, i->width});
    return nn_add(r, x, s->positions);
}

static nn_tensor final_norm(struct df_run *s, nn_tensor x, nn_tensor time)
{
    nn_tensor part[2]; /* shift, scale */
    for (uint32_t k = 0; k < 2; k++)
        part[k] = nn_add(s->r, time, nn_slice(s->r, s->d->final_table, 0, k, 1));
    return nn_layer_norm(s->r, x, &(struct nn_norm_opts){.shift = part[0], .scale = part[1]});
}

nn_tensor df_record_final(struct df_run *s, nn_tensor x, nn_tensor time)
{
    const struct df_dit_info *i = &s->d->info;
    struct nn_rec *r = s->r;
    const uint32_t size[3] = {s->size.frames, s->rows * i->patch[1], s->cols * i->patch[2]};
    uint32_t batch = s->size.batch;
    nn_trace(r, "mid.final_layer.in", x);
    x = final_norm(s, x, nn_slice(r, time, 0, 0, batch));
    if (s->masked) /* the authors' code norms once more what it has modulated */
        x = nn_lerp(r, x, final_norm(s, x, nn_slice(r, time, 0, batch, batch)), s->kept);
    x = nn_linear(r, x, s->d->final,
                  &(struct nn_linear_opts){.bias = s->d->final_bias, .dtype = NN_F32});
    nn_trace(r, "mid.final_layer.out", x);
    x = nn_reshape(r, x, 3, (uint32_t[]){s->size.batch, NN_REST, x.shape[x.rank - 1]});
    x = nn_unpatchify(r, x, i->patch, size, true);
    x = nn_slice(r, nn_slice(r, x, 3, 0, s->size.height), 4, 0, s->size.width);
    return nn_pack(r, x);
}

nn_tensor df_record_pair(struct df_run *s, const struct df_pair *w, uint32_t number, nn_tensor x, nn_tensor t)
{
    x = block(s, &w->spatial, number, false, x, t);
    return block(s, &w->temporal, number, true, x, t);
}

void df_record_step(struct df_run *s)
{
    nn_tensor times, final_time;
    df_record_times(s, &times, &final_time);
    nn_tensor x = df_record_patches(s);
    for (uint32_t n = 0; n < s->d->info.depth; n++) { /* in one place, or each pair's tokens would stay */
        nn_scope scope = nn_push(s->r);
        nn_copy(s->r, x, df_record_pair(s, s->dry ? &s->d->plan[n].pair : &s->d->pair[n], n, x, times));
        nn_pop(s->r, scope);
    }
    s->out = df_record_final(s, x, final_time);
}

/* What the first block's attention sees of the tokens: normalised, shifted and scaled. */
nn_tensor df_record_block_input(struct df_run *s)
{
    nn_tensor t = s->blocks_time, table = nn_unsqueeze(s->r, s->first_table, 0);
    nn_tensor m = nn_add(s->r, t, nn_expand(s->r, table, t.rank, t.shape));
    struct modulation one = half(s->r, m, 0);
    return nn_layer_norm(s->r, s->x, &(struct nn_norm_opts){.shift = one.shift, .scale = one.scale});
}

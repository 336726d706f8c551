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
#include "diffusion/private.h"
#include "vk/base/thread.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* FLOPs of a pair of blocks from which on a step is cut up: a second of a slow processor, some
 * milliseconds of a graphics card, much more than recording takes. */
#define LONG_PIECE 2e10
enum { MOST_TIMES = 20000 };

struct df_run {
    struct df_dit *d;
    struct df_size size;
    bool masked, named;  /* frames have times of their own; values are named, so less is fused */
    uint32_t rows, cols; /* of patches */
    uint32_t tokens;     /* of the longest caption */
    uint32_t times;      /* embedded: the samples', then as many 0 */
    struct df_kept kept_all;
    bool dry;             /* nothing is made or run, only counted */
    struct df_pair planned; /* stands for all pairs then */
    nn_tensor z, time, fps, positions, rope; /* inputs of a step */
    nn_tensor frame_time, kept; /* by frame: which time, f32 1 for those of time 0 */
    /* Times that are known beforehand: [known][batch], then 0 for each sample. */
    uint32_t known;
    float *known_host;
    nn_tensor all_blocks, all_final; /* what embed_times makes, a row a time */
    nn_tensor block_rows, final_rows; /* those of this step */
    int32_t *rows_host;
    nn_tensor *keys_values; /* [2 depth]: [batch, tokens, 2, heads, head] of spatial 0, temporal 0 .. */
    nn_tensor hidden;       /* f32 [batch, 1, 1, tokens]: -inf where captions are shorter; or null */
    struct nn_rec *r;
    bool merge;                    /* frames, in this step */
    bool recorded, recorded_merge; /* what r holds */
    nn_tensor out;
    bool streamed; /* blocks do not stay */
    /* Then, and where a step takes long and someone may want to stop it, a step is a recording a pair of
     * blocks; between them live: */
    bool pieces;
    fv_progress_fn on_progress;
    void *ud;
    nn_tensor x, blocks_time, final_time; /* tokens; modulation; time of the final layer */
    struct df_cached cache;
    nn_tensor first_table; /* the first block's, for the cache */
    struct nn_cost cost;
    float *times_host;
    int32_t *frame_time_host;
    float *kept_host;
};

/* ---- pieces of the figure ---------------------------------------------------------------- */

static nn_tensor mlp(struct nn_rec *r, nn_tensor x, const struct df_mlp *w, enum nn_act act)
{
    nn_tensor h = nn_linear(r, x, w->fc1,
                            &(struct nn_linear_opts){.bias = w->fc1_bias, .act = {act, 0, 0}});
    return nn_linear(r, h, w->fc2, &(struct nn_linear_opts){.bias = w->fc2_bias});
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
static nn_tensor add_linear(struct df_run *s, nn_tensor x, nn_tensor h, nn_tensor w, nn_tensor bias,
                            nn_tensor gate, const char *name)
{
    bool merged = !nn_failed(s->r) && h.shape[1] != x.shape[1];
    if (!merged && (!s->named || !name))
        return nn_linear(s->r, h, w,
                         &(struct nn_linear_opts){.bias = bias, .gate = gate, .residual = x});
    nn_tensor y = nn_linear(s->r, h, w, &(struct nn_linear_opts){.bias = bias});
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

/* Heads of q or k, normalised; [batch, frame, place, head, feature]. */
static nn_tensor head_norm(struct df_run *s, nn_tensor heads, nn_tensor weight)
{
    if (nn_is_null(weight))
        return heads;
    return nn_rms_norm(s->r, heads, &(struct nn_norm_opts){.weight = weight});
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
    nn_tensor qkv = nn_linear(s->r, a, w->qkv, &(struct nn_linear_opts){.bias = w->qkv_bias});
    nn_tensor part[3];
    for (uint32_t i = 0; i < 3; i++)
        part[i] = nn_reshape(s->r, nn_slice(s->r, qkv, -1, i * width, width), 5,
                             (uint32_t[]){batch, frames, places, heads, width / heads});
    nn_tensor q = head_norm(s, part[0], w->q_norm), k = head_norm(s, part[1], w->k_norm);
    if (!temporal)
        return nn_reshape(s->r, over_places(s, q, k, part[2]), 4,
                          (uint32_t[]){batch, frames, places, width});
    nn_tensor all = nn_new(s->r, a.dtype, NN_SHAPE(batch, frames, places, width));
    for (uint32_t b = 0; b < batch; b++) {
        nn_scope scope = nn_push(s->r);
        nn_tensor y = nn_transpose(s->r, over_frames(s, q, k, part[2], b), 0, 1);
        nn_copy(s->r, nn_squeeze(s->r, nn_slice(s->r, all, 0, b, 1), 0), y);
        nn_pop(s->r, scope);
    }
    return all;
}

/* Each token looks at its sample's caption: [batch, T S, C]. */
static nn_tensor cross_attention(struct df_run *s, const struct df_block *w, nn_tensor x, nn_tensor kv)
{
    uint32_t batch = s->size.batch, heads = s->d->info.heads, width = s->d->info.width;
    nn_tensor q = nn_linear(s->r, x, w->cross_q, &(struct nn_linear_opts){.bias = w->cross_q_bias});
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
        nn_tensor y = nn_linear(r, h, w->proj, &(struct nn_linear_opts){.bias = w->proj_bias});
        nn_trace(r, text, nn_transpose(r, y, 1, 2));
    }
    x = add_linear(s, x, h, w->proj, w->proj_bias, one.gate, temporal ? NULL : text);
    x = nn_pop_keep(r, inner, x);

    inner = nn_push(r);
    a = s->merge ? merge(s, x) : x;
    h = nn_reshape(r, cross_attention(s, w, a, kv), a.rank, a.shape);
    x = add_linear(s, x, h, w->cross_proj, w->cross_proj_bias, (nn_tensor){0},
                   name_of(text, temporal, number, s->merge ? "cross_attn_merged" : "cross_attn"));
    x = nn_pop_keep(r, inner, x);

    inner = nn_push(r);
    a = nn_layer_norm(r, x, &(struct nn_norm_opts){.shift = two.shift, .scale = two.scale});
    h = nn_linear(r, a, w->mlp.fc1,
                  &(struct nn_linear_opts){.bias = w->mlp.fc1_bias, .act = {NN_GELU_TANH, 0, 0}});
    x = add_linear(s, x, h, w->mlp.fc2, w->mlp.fc2_bias, two.gate,
                   name_of(text, temporal, number, "mlp"));
    x = nn_pop_keep(r, inner, x);
    nn_trace(r, name_of(text, temporal, number, "out"), x);
    return nn_pop_keep(r, scope, x);
}

/* ---- embeddings -------------------------------------------------------------------------- */

/* A number's sinusoid through an embedder: [n] -> [n, C]. */
static nn_tensor embed_number(struct df_run *s, nn_tensor n, const struct df_mlp *w)
{
    nn_tensor e = nn_timestep(s->r, n, &(struct nn_sinusoid){.dim = w->fc1.shape[1]});
    return mlp(s->r, e, w, NN_SILU);
}

/* Times and frame rates -> time of the final layer and modulation of the blocks, a row each. */
static nn_tensor modulate_blocks(struct df_run *s, nn_tensor sum)
{
    nn_tensor t = nn_activate(s->r, sum, (struct nn_activation){NN_SILU, 0, 0});
    return nn_linear(s->r, t, s->d->modulation, &(struct nn_linear_opts){.bias = s->d->modulation_bias});
}

/* Modulation of the blocks, a row a sample or a frame; time of the final layer, a row a time. */
static void embed_times(struct df_run *s, nn_tensor *blocks, nn_tensor *final)
{
    uint32_t batch = s->size.batch, width = s->d->info.width;
    struct nn_rec *r = s->r;
    nn_tensor t;
    if (s->known) {
        t = nn_embed(r, s->block_rows, s->all_blocks);
        *final = nn_embed(r, s->final_rows, s->all_final);
    } else {
        nn_tensor time = embed_number(s, s->time, &s->d->time), fps = embed_number(s, s->fps, &s->d->fps);
        nn_trace(r, "mid.t_emb", nn_slice(r, time, 0, 0, batch));
        nn_trace(r, "mid.fps_emb", nn_slice(r, fps, 0, 0, batch));
        *final = nn_add(r, time, fps);
        t = modulate_blocks(s, *final);
        nn_trace(r, "mid.t_mlp", nn_slice(r, t, 0, 0, batch));
        if (s->masked) {
            nn_trace(r, "mid.t_emb#1", nn_slice(r, time, 0, batch, batch));
            nn_trace(r, "mid.t_mlp#1", nn_slice(r, t, 0, batch, batch));
            t = nn_embed(r, s->frame_time, t);
        }
    }
    *blocks = nn_reshape(r, t, 3, (uint32_t[]){NN_REST, 6, width});
}

static nn_tensor embed_patches(struct df_run *s)
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

static nn_tensor final_layer(struct df_run *s, nn_tensor x, nn_tensor time)
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

static nn_tensor pair(struct df_run *s, const struct df_pair *w, uint32_t number, nn_tensor x, nn_tensor t)
{
    x = block(s, &w->spatial, number, false, x, t);
    return block(s, &w->temporal, number, true, x, t);
}

static void forward(struct df_run *s)
{
    nn_tensor times, final_time;
    embed_times(s, &times, &final_time);
    nn_tensor x = embed_patches(s);
    for (uint32_t n = 0; n < s->d->info.depth; n++) { /* in one place, or each pair's tokens would stay */
        nn_scope scope = nn_push(s->r);
        nn_copy(s->r, x, pair(s, s->dry ? &s->planned : &s->d->pair[n], n, x, times));
        nn_pop(s->r, scope);
    }
    s->out = final_layer(s, x, final_time);
}

/* ---- what does not change from step to step ---------------------------------------------- */

/* Sines and cosines of a patch's column, then of its row (the authors' names are the other way
 * round), scaled as if the picture had the trained size: [S, C]. */
static void fill_positions(const struct df_run *s, float *out)
{
    uint32_t width = s->d->info.width, n = width / 4;
    double base = nearbyint(sqrt((double)s->rows * s->cols));
    double scale = sqrt((double)s->size.pixel_height * (double)s->size.pixel_width) /
                   s->d->info.input_size;
    for (uint32_t y = 0; y < s->rows; y++)
        for (uint32_t x = 0; x < s->cols; x++, out += width) {
            double at[2] = {x / scale * (base / s->cols), y / scale * (base / s->rows)};
            for (uint32_t axis = 0; axis < 2; axis++)
                for (uint32_t j = 0; j < n; j++) {
                    double angle = at[axis] * pow(10000, -(double)j / n);
                    out[axis * 2 * n + j] = (float)sin(angle);
                    out[axis * 2 * n + n + j] = (float)cos(angle);
                }
        }
}

static int upload_constants(struct df_run *s, const float *sample_fps)
{
    uint32_t head = s->d->info.width / s->d->info.heads, places = s->rows * s->cols;
    size_t n = (size_t)places * s->d->info.width, turn = (size_t)s->size.frames * head;
    float *host = malloc((n > turn ? n : turn) * sizeof *host);
    float *fps = malloc(s->times * sizeof *fps);
    int rc = host && fps ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    if (rc == 0) {
        fill_positions(s, host);
        rc = nn_upload_f32(s->positions, host);
    }
    if (rc == 0) {
        nn_rope_table(host, &(struct nn_rope_axes){.axes = 1, .dim = {head}, .size = {s->size.frames}});
        rc = nn_upload_f32(s->rope, host);
    }
    for (uint32_t i = 0; rc == 0 && i < s->times; i++)
        fps[i] = sample_fps ? sample_fps[i % s->size.batch] : s->size.fps;
    if (rc == 0)
        rc = nn_upload_f32(s->fps, fps);
    free(host);
    free(fps);
    return rc;
}

/* Captions without their padding, all as long as the longest: rows of what is projected, and the
 * mask of what is behind a caption's end. */
struct captions {
    int32_t *row;  /* [batch][tokens] */
    float *hidden; /* [batch][tokens], or NULL */
};

static int pack_captions(struct df_run *s, const struct df_text *t, struct captions *c)
{
    uint32_t batch = s->size.batch, least = UINT32_MAX;
    for (uint32_t b = 0; b < batch; b++) {
        uint32_t n = 0;
        for (uint32_t i = 0; i < t->tokens; i++)
            n += !t->mask || t->mask[b * t->tokens + i];
        s->tokens = n > s->tokens ? n : s->tokens;
        least = n < least ? n : least;
    }
    if (!least)
        return fv_fail(FV_EINVALID, "a caption has no token");
    c->row = calloc((size_t)batch * s->tokens, sizeof *c->row);
    c->hidden = least < s->tokens ? malloc((size_t)batch * s->tokens * sizeof *c->hidden) : NULL;
    if (!c->row || (least < s->tokens && !c->hidden))
        return fv_fail(FV_ENOMEM, "out of memory");
    for (uint32_t b = 0; b < batch; b++) {
        uint32_t n = 0;
        for (uint32_t i = 0; i < t->tokens; i++)
            if (!t->mask || t->mask[b * t->tokens + i])
                c->row[b * s->tokens + n++] = (int32_t)(b * t->tokens + i);
        for (uint32_t i = 0; c->hidden && i < s->tokens; i++)
            c->hidden[b * s->tokens + i] = i < n ? 0 : -INFINITY;
    }
    return 0;
}

/* Keys and values of a pair's cross attentions, into storage that stays. */
static void keep_keys_values(struct df_run *s, struct nn_rec *r, const struct df_pair *pair, nn_tensor y,
                             uint32_t number)
{
    const struct df_block *w[2] = {&pair->spatial, &pair->temporal};
    const uint32_t shape[3] = {s->size.batch, s->tokens, 2 * s->d->info.width};
    for (uint32_t k = 0; k < 2; k++) {
        nn_into(r, nn_reshape(r, s->keys_values[2 * number + k], 3, shape));
        nn_linear(r, y, w[k]->cross_kv, &(struct nn_linear_opts){.bias = w[k]->cross_kv_bias});
    }
}

/* The same of blocks that do not stay, a recording each. y: kept between them. */
static int stream_keys_values(struct df_run *s, struct nn_rec *r, nn_tensor y)
{
    for (uint32_t n = s->d->resident; n < s->d->info.depth; n++) {
        const struct df_pair *w;
        FV_TRY(df_get_pair(s->d, n, &w));
        nn_begin(r);
        keep_keys_values(s, r, w, y, n);
        FV_TRY(nn_end(r));
        FV_TRY(nn_run(r));
    }
    return 0;
}

/* Captions as the blocks see them -> kept, and keys and values of the pairs that stay. */
static int record_captions(struct df_run *s, struct nn_rec *r, nn_tensor states, nn_tensor rows, nn_tensor kept)
{
    nn_begin(r);
    nn_tensor y = mlp(r, nn_cast(r, states, s->d->info.dtype), &s->d->text, NN_GELU_TANH);
    nn_trace(r, "mid.y_embed", y);
    y = nn_reshape(r, y, 2, (uint32_t[]){NN_REST, s->d->info.width});
    nn_into(r, kept);
    nn_embed(r, rows, y);
    uint32_t pairs = s->dry ? s->d->info.depth : s->d->resident;
    for (uint32_t n = 0; n < pairs; n++)
        keep_keys_values(s, r, s->dry ? &s->planned : &s->d->pair[n], kept, n);
    return nn_end(r);
}

static int project_captions(struct df_run *s, const struct df_text *t, const struct captions *c,
                            const struct df_run_opts *o)
{
    const struct df_dit_info *i = &s->d->info;
    struct nn_store *store = NULL;
    struct nn_rec *r = NULL;
    nn_tensor states, rows, kept;
    FV_TRY(nn_store_create(&store, s->d->dev));
    int rc = nn_store_tensor(&states, store, NN_F32, NN_SHAPE(s->size.batch, t->tokens, i->text_width),
                             "captions");
    if (rc == 0)
        rc = nn_store_tensor(&rows, store, NN_I32, NN_SHAPE(s->size.batch, s->tokens), "captions");
    if (rc == 0)
        rc = nn_store_tensor(&kept, store, i->dtype, NN_SHAPE(s->size.batch, s->tokens, i->width),
                             "captions");
    if (rc == 0)
        rc = nn_upload_f32(states, t->states);
    if (rc == 0)
        rc = nn_upload(rows, c->row);
    if (rc == 0)
        rc = nn_rec_create(&r, s->d->dev,
                           &(struct nn_rec_opts){.cache = s->d->cache, .check = o->check,
                                                 .weights_vary = s->streamed,
                                                 .on_trace = o->on_trace, .ud = o->ud});
    if (rc == 0)
        rc = record_captions(s, r, states, rows, kept);
    if (rc == 0)
        rc = nn_run(r);
    if (rc == 0)
        rc = stream_keys_values(s, r, kept);
    nn_rec_destroy(&r);
    nn_store_destroy(&store);
    return rc < 0 ? fv_wrap(rc, "captions: ") : 0;
}

/* ---- times that are known beforehand ----------------------------------------------------- */

static uint32_t known_rows(const struct df_run *s)
{
    return (s->known + 1) * s->size.batch;
}

static int keep_known(struct df_run *s, const struct df_run_opts *o)
{
    uint32_t batch = s->size.batch, width = s->d->info.width, rows = known_rows(s);
    uint32_t groups = s->masked ? batch * s->size.frames : batch;
    FV_TRY(df_keep(&s->all_blocks, &s->kept_all, NN_F32, NN_SHAPE(rows, 6 * width), "modulation"));
    FV_TRY(df_keep(&s->all_final, &s->kept_all, NN_F32, NN_SHAPE(rows, width), "modulation"));
    FV_TRY(df_keep(&s->block_rows, &s->kept_all, NN_I32, NN_SHAPE(groups), "times of frames"));
    FV_TRY(df_keep(&s->final_rows, &s->kept_all, NN_I32, NN_SHAPE(s->times), "times"));
    s->known_host = calloc(rows, sizeof *s->known_host);
    s->rows_host = calloc(groups + s->times, sizeof *s->rows_host);
    if (!s->known_host || !s->rows_host)
        return fv_fail(FV_ENOMEM, "out of memory");
    if (o->times)
        memcpy(s->known_host, o->times, (size_t)s->known * batch * sizeof *o->times);
    return 0;
}

/* All times' modulation at once. time, fps: inputs of as many rows. */
static int record_known(struct df_run *s, nn_tensor time, nn_tensor fps)
{
    nn_begin(s->r);
    nn_tensor a = embed_number(s, time, &s->d->time), b = embed_number(s, fps, &s->d->fps);
    nn_into(s->r, s->all_final);
    nn_tensor sum = nn_add(s->r, a, b);
    nn_copy(s->r, s->all_blocks, modulate_blocks(s, sum));
    return nn_end(s->r);
}

static int make_known(struct df_run *s, const struct df_run_opts *o)
{
    struct nn_store *store = NULL;
    nn_tensor time, rate;
    uint32_t rows = known_rows(s);
    float *fps = malloc(rows * sizeof *fps);
    int rc = fps ? nn_store_create(&store, s->d->dev) : fv_fail(FV_ENOMEM, "out of memory");
    for (uint32_t i = 0; i < rows && fps; i++)
        fps[i] = o->fps ? o->fps[i % s->size.batch] : s->size.fps;
    if (rc == 0)
        rc = nn_store_tensor(&time, store, NN_F32, NN_SHAPE(rows), "times");
    if (rc == 0)
        rc = nn_store_tensor(&rate, store, NN_F32, NN_SHAPE(rows), "frame rates");
    if (rc == 0)
        rc = nn_upload_f32(time, s->known_host);
    if (rc == 0)
        rc = nn_upload_f32(rate, fps);
    if (rc == 0)
        rc = record_known(s, time, rate);
    if (rc == 0)
        rc = nn_run(s->r);
    free(fps);
    nn_store_destroy(&store);
    return rc;
}

/* Rows of this step's times, of frames that are kept those of time 0. */
static int point_at_known(struct df_run *s, const struct df_step *step)
{
    uint32_t batch = s->size.batch, frames = s->size.frames, zeros = s->known * batch, at = 0;
    uint32_t groups = s->masked ? batch * frames : batch;
    while (at < s->known && memcmp(s->known_host + at * batch, step->time, batch * sizeof *step->time) != 0)
        at++;
    if (at == s->known)
        return fv_fail(FV_EINVALID, "a step at %g, which is not among the times the run was made for",
                       (double)step->time[0]);
    for (uint32_t i = 0; i < groups; i++) {
        uint32_t sample = s->masked ? i / frames : i;
        bool kept = s->masked && step->kept && step->kept[i];
        s->rows_host[i] = (int32_t)(sample + (kept ? zeros : at * batch));
    }
    for (uint32_t i = 0; i < s->times; i++)
        s->rows_host[groups + i] = (int32_t)(i < batch ? at * batch + i : zeros + i - batch);
    FV_TRY(nn_upload(s->block_rows, s->rows_host));
    return nn_upload(s->final_rows, s->rows_host + groups);
}

/* ---- runs -------------------------------------------------------------------------------- */

static int make_inputs(struct df_run *s, const struct captions *c, const struct df_run_opts *o)
{
    const struct df_dit_info *i = &s->d->info;
    const struct df_size *z = &s->size;
    uint32_t head = i->width / i->heads;
    if (!s->dry)
        FV_TRY(nn_store_create(&s->kept_all.store, s->d->dev));
    FV_TRY(df_keep(&s->z, &s->kept_all, NN_F32,
                           NN_SHAPE(z->batch, i->channels, z->frames, z->height, z->width), "latents"));
    FV_TRY(df_keep(&s->time, &s->kept_all, NN_F32, NN_SHAPE(s->times), "times"));
    FV_TRY(df_keep(&s->fps, &s->kept_all, NN_F32, NN_SHAPE(s->times), "frame rates"));
    FV_TRY(df_keep(&s->positions, &s->kept_all, NN_F32, NN_SHAPE(1, s->rows * s->cols, i->width),
                           "positions"));
    FV_TRY(df_keep(&s->rope, &s->kept_all, NN_F32, NN_SHAPE(z->frames, head / 2, 2), "turns"));
    if (s->masked)
        FV_TRY(df_keep(&s->frame_time, &s->kept_all, NN_I32, NN_SHAPE(z->batch * z->frames),
                               "times of frames"));
    if (s->masked)
        FV_TRY(df_keep(&s->kept, &s->kept_all, NN_F32, NN_SHAPE(z->batch, z->frames, 1, 1),
                               "kept frames"));
    for (uint32_t n = 0; n < 2 * i->depth; n++)
        FV_TRY(df_keep(&s->keys_values[n], &s->kept_all, i->dtype,
                               NN_SHAPE(z->batch, s->tokens, 2, i->heads, head), "keys and values"));
    if (s->pieces) {
        uint32_t groups = s->masked ? z->batch * z->frames : z->batch;
        FV_TRY(df_keep(&s->x, &s->kept_all, i->dtype,
                               NN_SHAPE(z->batch, z->frames, s->rows * s->cols, i->width), "tokens"));
        FV_TRY(df_keep(&s->blocks_time, &s->kept_all, NN_F32, NN_SHAPE(groups, 6, i->width),
                               "modulation"));
        FV_TRY(df_keep(&s->final_time, &s->kept_all, NN_F32, NN_SHAPE(s->times, i->width),
                               "modulation"));
    }
    if (o->cache.threshold > 0) {
        FV_TRY(df_cache_make(&s->cache, &s->kept_all, &o->cache, s->x));
        FV_TRY(df_keep(&s->first_table, &s->kept_all, NN_F32, NN_SHAPE(6, i->width), "first block's table"));
    }
    if (s->known)
        FV_TRY(keep_known(s, o));
    if (s->dry)
        return 0;
    if (c->hidden) {
        FV_TRY(df_keep(&s->hidden, &s->kept_all, NN_F32, NN_SHAPE(z->batch, 1, 1, s->tokens),
                               "ends of captions"));
        FV_TRY(nn_upload_f32(s->hidden, c->hidden));
    }
    return upload_constants(s, o->fps);
}

/* Of a pair's matrices, without attention. */
static double pair_flops(const struct df_run *s)
{
    const struct df_dit_info *i = &s->d->info;
    double tokens = (double)s->size.batch * s->size.frames * s->rows * s->cols;
    return 2 * tokens * 2 * i->width * (6.0 * i->width + 2.0 * i->mlp_width);
}

/* The first block may not stay on the device, its table does. */
static int keep_first_table(struct df_run *s)
{
    const struct df_pair *w;
    FV_TRY(df_get_pair(s->d, 0, &w));
    float *host = malloc(6 * (size_t)s->d->info.width * sizeof *host);
    int rc = host ? nn_fetch_f32(host, w->spatial.table) : fv_fail(FV_ENOMEM, "out of memory");
    if (rc == 0)
        rc = nn_upload_f32(s->first_table, host);
    free(host);
    return rc;
}

static int check_sizes(const struct df_size *z, uint32_t tokens)
{
    if (!z->batch || !z->frames || !z->height || !z->width || z->batch > 64 || z->frames > 4096 ||
        z->height > 4096 || z->width > 4096)
        return fv_fail(FV_EINVALID, "%u latent clips of %u frames of %ux%u", z->batch, z->frames,
                       z->width, z->height);
    if (!(z->pixel_height > 0) || !(z->pixel_width > 0) || !(z->fps > 0) ||
        !isfinite(z->pixel_height) || !isfinite(z->pixel_width) || !isfinite(z->fps))
        return fv_fail(FV_EINVALID, "a picture of %gx%g at %g frames/s", (double)z->pixel_width,
                       (double)z->pixel_height, (double)z->fps);
    if (!tokens || tokens > 65536)
        return fv_fail(FV_EINVALID, "captions of %u tokens", tokens);
    return 0;
}

/* All but what needs captions or a device. */
static int begin_run(struct df_run **out, struct df_dit *d, const struct df_size *size, const struct df_run_opts *o,
                     bool streamed)
{
    struct df_run *s = *out = calloc(1, sizeof *s);
    if (!s)
        return fv_fail(FV_ENOMEM, "out of memory");
    s->d = d;
    s->size = *size;
    s->masked = o->masked;
    s->known = o->time_count;
    s->streamed = streamed;
    s->named = o->on_trace || o->check;
    s->on_progress = o->on_progress;
    s->ud = o->ud;
    s->rows = (size->height + d->info.patch[1] - 1) / d->info.patch[1];
    s->cols = (size->width + d->info.patch[2] - 1) / d->info.patch[2];
    s->times = size->batch * (o->masked ? 2 : 1);
    s->pieces = s->streamed || o->cache.threshold > 0 || (o->on_progress && pair_flops(s) > LONG_PIECE);
    s->keys_values = calloc((size_t)2 * d->info.depth + 1, sizeof *s->keys_values);
    s->times_host = calloc(s->times, sizeof *s->times_host);
    s->kept_host = calloc((size_t)size->batch * size->frames, sizeof *s->kept_host);
    s->frame_time_host = calloc((size_t)size->batch * size->frames, sizeof *s->frame_time_host);
    return s->keys_values && s->times_host && s->frame_time_host && s->kept_host
               ? 0
               : fv_fail(FV_ENOMEM, "out of memory");
}

int df_run_create(struct df_run **out, struct df_dit *d, const struct df_size *size,
                  const struct df_text *text, const struct df_run_opts *o)
{
    static const struct df_run_opts usual;
    struct captions c = {0};
    *out = NULL;
    o = o ? o : &usual;
    if (!d->dev)
        return fv_fail(FV_EINVALID, "%s was opened without a device", d->path);
    FV_TRY(check_sizes(size, text->tokens));
    int rc = begin_run(out, d, size, o, d->resident < d->info.depth);
    struct df_run *s = *out;
    if (rc == 0 && o->time_count && (!o->times || o->time_count > MOST_TIMES))
        rc = fv_fail(FV_EINVALID, "%u times", o->time_count);
    if (rc == 0)
        rc = pack_captions(s, text, &c);
    if (rc == 0)
        rc = make_inputs(s, &c, o);
    if (rc == 0)
        rc = project_captions(s, text, &c, o);
    if (rc == 0 && s->cache.on)
        rc = keep_first_table(s);
    if (rc == 0)
        rc = nn_rec_create(&s->r, d->dev,
                           &(struct nn_rec_opts){.cache = d->cache, .check = o->check,
                                                 .weights_vary = s->streamed,
                                                 .on_trace = o->on_trace, .ud = o->ud});
    if (rc == 0 && s->known)
        rc = make_known(s, o);
    free(c.row);
    free(c.hidden);
    if (rc < 0)
        df_run_destroy(out);
    return rc;
}

void df_run_destroy(struct df_run **r)
{
    if (!*r)
        return;
    nn_rec_destroy(&(*r)->r);
    nn_store_destroy(&(*r)->kept_all.store);
    free((*r)->keys_values);
    free((*r)->times_host);
    free((*r)->frame_time_host);
    free((*r)->known_host);
    free((*r)->rows_host);
    free((*r)->kept_host);
    free(*r);
    *r = NULL;
}

struct nn_cost df_run_cost(const struct df_run *r)
{
    return r->cost;
}

bool df_run_skipped(const struct df_run *r)
{
    return r->cache.skipped;
}

struct df_cached *df_run_cache(struct df_run *r)
{
    return &r->cache;
}

/* ---- steps ------------------------------------------------------------------------------- */

/* What a recording costs, added to the step. */
static void count(struct df_run *s)
{
    struct nn_cost c = nn_cost_of(s->r);
    s->cost.flops += c.flops;
    s->cost.bytes += c.bytes;
    s->cost.dispatches += c.dispatches;
    s->cost.packed_bytes += c.packed_bytes;
    if (c.peak_bytes > s->cost.peak_bytes)
        s->cost.peak_bytes = c.peak_bytes;
}

/* Ends a piece of a step and starts it; with names it is waited for, as traces need. */
static int start_piece(struct df_run *s, bool wait)
{
    FV_TRY(nn_end(s->r));
    count(s);
    if (s->dry)
        return 0;
    return s->named || wait ? nn_run(s->r) : nn_submit(s->r, NULL);
}

/* A pair of blocks: all are alike in a dry run. */
static int get_pair(struct df_run *s, uint32_t number, const struct df_pair **out)
{
    *out = &s->planned;
    return s->dry ? 0 : df_get_pair(s->d, number, out);
}

/* What the first block's attention sees of the tokens: normalised, shifted and scaled. */
static nn_tensor block_input(struct df_run *s)
{
    nn_tensor t = s->blocks_time, table = nn_unsqueeze(s->r, s->first_table, 0);
    nn_tensor m = nn_add(s->r, t, nn_expand(s->r, table, t.rank, t.shape));
    struct modulation one = half(s->r, m, 0);
    return nn_layer_norm(s->r, s->x, &(struct nn_norm_opts){.shift = one.shift, .scale = one.scale});
}

/* After nn_begin, so with nothing running. */
static int stop_here(struct df_run *s)
{
    nn_end(s->r);
    return fv_fail(FV_ECANCELLED, "cancelled");
}

/* The blocks, a recording a pair. The next is read from the file while one runs. */
static int run_blocks(struct df_run *s, bool last)
{
    const struct df_pair *w;
    uint32_t depth = s->d->info.depth;
    for (uint32_t n = 0; n < depth; n++) {
        FV_TRY(get_pair(s, n, &w)); /* there already, but for the first */
        double start = fv_now();
        nn_begin(s->r); /* waits for the pair before */
        s->d->loading.waited += fv_now() - start;
        if (!s->dry && s->on_progress && s->on_progress(s->ud, &(struct fv_progress){"step", n, depth}))
            return stop_here(s);
        if (s->cache.on && n == 0)
            nn_copy(s->r, s->cache.residual, s->x);
        nn_copy(s->r, s->x, pair(s, w, n, s->x, s->blocks_time));
        FV_TRY(start_piece(s, false));
        if (s->streamed && !s->dry && (n + 1 < depth || !last))
            FV_TRY(df_get_pair(s->d, n + 1 < depth ? n + 1 : s->d->resident, &w));
    }
    return 0;
}

/* Several recordings over the same pool. */
static int run_pieces(struct df_run *s, const struct df_step *step)
{
    nn_tensor times, final_time;
    bool compute = true;
    s->cost = (struct nn_cost){0};
    nn_begin(s->r);
    embed_times(s, &times, &final_time);
    nn_copy(s->r, s->blocks_time, times);
    nn_copy(s->r, s->final_time, final_time);
    nn_copy(s->r, s->x, embed_patches(s));
    if (s->cache.on)
        df_cache_look(&s->cache, s->r, block_input(s));
    FV_TRY(start_piece(s, s->cache.on));
    if (s->cache.on)
        FV_TRY(df_cache_decide(&s->cache, step->compute, &compute));
    if (compute)
        FV_TRY(run_blocks(s, step->last));
    nn_begin(s->r);
    if (s->cache.on)
        df_cache_residual(&s->cache, s->r, s->x, compute);
    s->out = final_layer(s, s->x, s->final_time);
    FV_TRY(start_piece(s, true));
    s->cache.skipped = !compute;
    s->cache.pending = false;
    return 0;
}

static int run_whole(struct df_run *s)
{
    if (!s->recorded || s->recorded_merge != s->merge) {
        s->recorded = false;
        nn_begin(s->r);
        forward(s);
        FV_TRY(nn_end(s->r));
        s->recorded = true;
        s->recorded_merge = s->merge;
        s->cost = (struct nn_cost){0};
        count(s);
    }
    return s->dry ? 0 : nn_run(s->r);
}

int df_run_step(struct df_run *r, const struct df_step *step, float *out)
{
    uint32_t batch = r->size.batch, frames = r->size.frames;
    r->merge = step->merge && frames > 1;
    memcpy(r->times_host, step->time, batch * sizeof *step->time); /* the others stay 0 */
    if (r->known)
        FV_TRY(point_at_known(r, step));
    else
        FV_TRY(nn_upload_f32(r->time, r->times_host));
    if (r->masked) {
        for (uint32_t i = 0; i < batch * frames; i++) {
            bool kept = step->kept && step->kept[i];
            r->frame_time_host[i] = (int32_t)(i / frames + (kept ? batch : 0));
            r->kept_host[i] = kept;
        }
        FV_TRY(nn_upload(r->frame_time, r->frame_time_host));
        FV_TRY(nn_upload_f32(r->kept, r->kept_host));
    }
    FV_TRY(nn_upload_f32(r->z, step->z));
    FV_TRY(r->pieces ? run_pieces(r, step) : run_whole(r));
    return nn_fetch_f32(out, r->out);
}

/* ---- dry runs ---------------------------------------------------------------------------- */

/* Captions and two kinds of steps, recorded by a run that has everything but storage. */
static int dry_run(struct df_dry *out, struct df_run *s, const struct df_run_opts *o)
{
    const struct df_dit_info *i = &s->d->info;
    const struct captions none = {0};
    struct df_kept texts = {0};
    nn_tensor states, rows, kept;
    uint32_t batch = s->size.batch;
    FV_TRY(make_inputs(s, &none, o));
    FV_TRY(df_keep(&states, &texts, NN_F32, NN_SHAPE(batch, s->tokens, i->text_width), "captions"));
    FV_TRY(df_keep(&rows, &texts, NN_I32, NN_SHAPE(batch, s->tokens), "captions"));
    FV_TRY(df_keep(&kept, &texts, i->dtype, NN_SHAPE(batch, s->tokens, i->width), "captions"));
    FV_TRY(nn_rec_create(&s->r, s->d->dev, &(struct nn_rec_opts){.dry = true, .weights_vary = s->streamed}));
    FV_TRY(record_captions(s, s->r, states, rows, kept));
    out->captions = nn_cost_of(s->r);
    out->captions.peak_bytes += texts.bytes;
    if (s->known) {
        nn_tensor each;
        FV_TRY(df_keep(&each, &texts, NN_F32, NN_SHAPE(known_rows(s)), "times"));
        FV_TRY(record_known(s, each, each));
        out->captions.flops += nn_cost_of(s->r).flops;
        out->captions.bytes += nn_cost_of(s->r).bytes;
    }
    FV_TRY(s->pieces ? run_pieces(s, &(struct df_step){.compute = true, .last = true}) : run_whole(s));
    out->step = s->cost;
    if (s->cache.on) {
        s->cache.filled = true;
        s->cost = (struct nn_cost){0};
        nn_begin(s->r);
        nn_tensor times, final_time;
        embed_times(s, &times, &final_time);
        df_cache_look(&s->cache, s->r, block_input(s));
        df_cache_residual(&s->cache, s->r, embed_patches(s), false);
        final_layer(s, s->x, s->final_time);
        FV_TRY(start_piece(s, true));
        out->cached = s->cost;
    }
    out->kept_bytes = s->kept_all.bytes;
    return 0;
}

int df_run_dry(struct df_dry *out, struct df_dit *d, const struct df_size *size, uint32_t tokens,
               const struct df_run_opts *o, bool streamed, bool merge)
{
    struct df_run *s;
    uint64_t pair;
    *out = (struct df_dry){0};
    FV_TRY(check_sizes(size, tokens));
    int rc = begin_run(&s, d, size, o, streamed);
    if (rc == 0) {
        s->dry = true;
        s->merge = merge && size->frames > 1;
        s->tokens = tokens;
        rc = df_plan_pair(d, &s->planned, &pair);
    }
    if (rc == 0)
        rc = dry_run(out, s, o);
    df_run_destroy(&s);
    return rc;
}

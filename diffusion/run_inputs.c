/* What does not change from step to step of a run (run.h): positions, keys and values of captions,
 * modulation of times. */
#include "diffusion/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- positions --------------------------------------------------------------------------- */

/* Sines and cosines of a patch's column, then of its row (the authors' names are the other way
 * round), scaled as if the picture had the trained size: [S, C]. */
static void fill_positions(const struct df_run *s, float *out)
{
    uint32_t width = s->d->info.width, n = width / 4;
    double base = nearbyint(sqrt((double)s->rows * s->cols));
    double scale =
        sqrt((double)s->size.pixel_height * (double)s->size.pixel_width) / s->d->info.input_size;
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
        nn_rope_table(host,
                      &(struct nn_rope_axes){.axes = 1, .dim = {head}, .size = {s->size.frames}});
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

int df_pack_captions(struct df_run *s, const struct df_text *t, struct df_captions *c)
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
static void keep_keys_values(struct df_run *s, struct nn_rec *r, const struct df_pair *pair,
                             nn_tensor y, uint32_t number)
{
    const struct df_block *w[2] = {&pair->spatial, &pair->temporal};
    const uint32_t shape[3] = {s->size.batch, s->tokens, 2 * s->d->info.width};
    for (uint32_t k = 0; k < 2; k++) {
        df_trace_input(s, r, y, k == 1, number, "cross_attn.kv_linear");
        nn_into(r, nn_reshape(r, s->keys_values[2 * number + k], 3, shape));
        nn_linear_matrix(r, y, &w[k]->cross_kv, &(struct nn_linear_opts){.bias = w[k]->cross_kv_bias});
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
int df_record_captions(struct df_run *s, struct nn_rec *r, nn_tensor states, nn_tensor rows,
                       nn_tensor kept)
{
    nn_begin(r);
    nn_tensor y = df_record_mlp(r, nn_cast(r, states, s->d->info.dtype), &s->d->text, NN_GELU_TANH);
    nn_trace(r, "mid.y_embed", y);
    y = nn_reshape(r, y, 2, (uint32_t[]){NN_REST, s->d->info.width});
    nn_into(r, kept);
    nn_embed(r, rows, y);
    uint32_t pairs = s->dry ? s->d->info.depth : s->d->resident;
    for (uint32_t n = 0; n < pairs; n++)
        keep_keys_values(s, r, s->dry ? &s->d->plan[n].pair : &s->d->pair[n], kept, n);
    return nn_end(r);
}

int df_project_captions(struct df_run *s, const struct df_text *t, const struct df_captions *c,
                        const struct df_run_opts *o)
{
    const struct df_dit_info *i = &s->d->info;
    struct nn_store *store = NULL;
    struct nn_rec *r = NULL;
    nn_tensor states, rows, kept;
    FV_TRY(nn_store_create(&store, s->d->dev));
    int rc = nn_store_tensor(&states, store, NN_F32,
                             NN_SHAPE(s->size.batch, t->tokens, i->text_width), "captions");
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
                           &(struct nn_rec_opts){.cache = s->d->cache,
                                                 .check = o->check,
                                                 .weights_vary = s->streamed,
                                                 .int8 = s->d->int8,
                                                 .on_trace = o->on_trace,
                                                 .ud = o->ud});
    if (rc == 0)
        rc = df_record_captions(s, r, states, rows, kept);
    if (rc == 0)
        rc = nn_run(r);
    if (rc == 0)
        rc = stream_keys_values(s, r, kept);
    nn_rec_destroy(&r);
    nn_store_destroy(&store);
    return rc < 0 ? fv_wrap(rc, "captions: ") : 0;
}

/* ---- times that are known beforehand ----------------------------------------------------- */

uint32_t df_known_rows(const struct df_run *s)
{
    return (s->known + 1) * s->size.batch;
}

static int keep_known(struct df_run *s, const struct df_run_opts *o)
{
    uint32_t batch = s->size.batch, width = s->d->info.width, rows = df_known_rows(s);
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
int df_record_known(struct df_run *s, nn_tensor time, nn_tensor fps)
{
    nn_begin(s->r);
    nn_tensor a = df_record_number(s, time, &s->d->time), b = df_record_number(s, fps, &s->d->fps);
    nn_into(s->r, s->all_final);
    nn_tensor sum = nn_add(s->r, a, b);
    nn_copy(s->r, s->all_blocks, df_record_modulation(s, sum));
    return nn_end(s->r);
}

int df_make_known(struct df_run *s, const struct df_run_opts *o)
{
    struct nn_store *store = NULL;
    nn_tensor time, rate;
    uint32_t rows = df_known_rows(s);
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
        rc = df_record_known(s, time, rate);
    if (rc == 0)
        rc = nn_run(s->r);
    free(fps);
    nn_store_destroy(&store);
    return rc;
}

/* Rows of this step's times, of frames that are kept those of time 0. */
int df_point_at_known(struct df_run *s, const struct df_step *step)
{
    uint32_t batch = s->size.batch, frames = s->size.frames, zeros = s->known * batch, at = 0;
    uint32_t groups = s->masked ? batch * frames : batch;
    while (at < s->known &&
           memcmp(s->known_host + at * batch, step->time, batch * sizeof *step->time) != 0)
        at++;
    if (at == s->known)
        return fv_fail(FV_EINVALID,
                       "a step at %g, which is not among the times the run was made for",
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

/* ---- tensors ----------------------------------------------------------------------------- */

int df_make_inputs(struct df_run *s, const struct df_captions *c, const struct df_run_opts *o)
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
        FV_TRY(df_keep(&s->first_table, &s->kept_all, NN_F32, NN_SHAPE(6, i->width),
                       "first block's table"));
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

/* The first block may not stay on the device, its table does. */
int df_keep_first_table(struct df_run *s)
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

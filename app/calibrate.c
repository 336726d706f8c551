/* Inputs of linear layers (calibrate.h), seen through the names "in.LAYER" that models give them. */
#include "app/calibrate.h"
#include "vk/base/arena.h"
#include "vk/base/array.h"
#include "vk/base/file.h"
#include "vk/base/hash.h"
#include "vk/nn/safetensors_write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TOKENS = 2048, SHORT_CLIP = 17, LEAST_SIDE = 64, JUDGED = 4 /* each such row is for the figures */ };

/* ---- layers ------------------------------------------------------------------------------- */

int calibration_create(struct calibration *c, size_t rows, uint64_t seed)
{
    *c = (struct calibration){.rows = rows, .seed = seed, .arena = calloc(1, sizeof *c->arena)};
    return c->arena ? 0 : fv_fail(FV_ENOMEM, "out of memory");
}

int calibration_want(struct calibration *c, const char *name, size_t k)
{
    if (fv_grow(&c->layers, &c->room, c->count, sizeof *c->layers) < 0)
        return FV_ENOMEM;
    struct calibrated *l = &c->layers[c->count];
    *l = (struct calibrated){.name = fv_arena_strndup(c->arena, name, strlen(name)), .k = k};
    l->x = malloc(c->rows * k * sizeof *l->x);
    l->absmax = calloc(k, sizeof *l->absmax);
    c->count++;
    return l->name && l->x && l->absmax ? 0 : fv_fail(FV_ENOMEM, "no memory for %zu inputs of %s", c->rows, name);
}

void calibration_finish(struct calibration *c)
{
    for (size_t i = 0; i < c->count; i++) {
        free(c->layers[i].x);
        free(c->layers[i].absmax);
    }
    free(c->layers);
    if (c->arena)
        fv_arena_finish(c->arena);
    free(c->arena);
    *c = (struct calibration){0};
}

/* Files may have something before a layer's name that models do not ("model.", "net."). */
static bool is_named(const char *file, const char *name)
{
    size_t a = strlen(file), b = strlen(name);
    return a >= b && !strcmp(file + a - b, name) && (a == b || file[a - b - 1] == '.');
}

int calibration_get(const struct calibration *c, const char *name, struct qt_seen *out)
{
    for (size_t i = 0; i < c->count; i++) {
        const struct calibrated *l = &c->layers[i];
        if (strcmp(l->name, name) != 0)
            continue;
        if (!l->seen)
            break;
        size_t rows = l->seen < c->rows ? (size_t)l->seen : c->rows, judge = rows / JUDGED;
        *out = (struct qt_seen){.x = l->x, .rows = rows - judge, .absmax = l->absmax,
                                .judge = judge ? l->x + (rows - judge) * l->k : NULL, .judge_rows = judge};
        return 0;
    }
    return fv_fail(FV_EINVALID, "%s: calibration saw no input of it", name);
}

uint64_t calibration_hash(const struct calibration *c)
{
    uint64_t h = fv_hash(FV_HASH_BEGIN, &c->rows, sizeof c->rows);
    for (size_t i = 0; i < c->count; i++) {
        const struct calibrated *l = &c->layers[i];
        h = fv_hash(h, l->name, strlen(l->name) + 1);
        h = fv_hash(h, &l->seen, sizeof l->seen);
        h = fv_hash(h, l->absmax, l->k * sizeof *l->absmax);
        h = fv_hash(h, l->x, l->seen ? l->k * sizeof *l->x : 0);
    }
    return h;
}

/* A place for row number n of all, or none: every row has the same chance to be kept. */
static size_t place_of(const struct calibration *c, size_t layer, uint64_t n)
{
    if (n < c->rows)
        return (size_t)n;
    uint64_t z = fv_mix(c->seed ^ (layer + 1) * 0x9e3779b97f4a7c15 ^ n * 0xbf58476d1ce4e5b9) % (n + 1);
    return z < c->rows ? (size_t)z : SIZE_MAX;
}

static int take_rows(struct calibration *c, size_t layer, const float *data, size_t rows)
{
    struct calibrated *l = &c->layers[layer];
    for (size_t r = 0; r < rows; r++, data += l->k) {
        bool bad = false;
        for (size_t i = 0; i < l->k; i++) {
            float v = fabsf(data[i]);
            bad |= !(v < INFINITY);
            l->absmax[i] = v > l->absmax[i] ? v : l->absmax[i];
        }
        if (bad)
            return fv_fail(FV_EINVALID, "%s: its input in calibration holds NaN or an infinity: weights are damaged, "
                                        "or --dtype is not enough for them", l->name);
        size_t at = place_of(c, layer, l->seen++);
        if (at != SIZE_MAX)
            memcpy(l->x + at * l->k, data, l->k * sizeof *data);
    }
    return 0;
}

/* ---- the file ----------------------------------------------------------------------------- */

/* All that rows depend on, as text. */
static void describe(char out[512], const struct calibration *c, const struct generator_clip *clip,
                     const struct calibration_opts *o, const char *hash)
{
    uint64_t words = FV_HASH_BEGIN, names = FV_HASH_BEGIN;
    for (size_t i = 0; i < c->count; i++)
        names = fv_hash(names, c->layers[i].name, strlen(c->layers[i].name) + 1);
    for (size_t i = 0; o->prompts && o->prompts[i]; i++)
        words = fv_hash(words, o->prompts[i], strlen(o->prompts[i]) + 1);
    snprintf(out, 512, "{\"model\":\"%s\",\"layers\":\"%016llx\",\"rows\":%zu,\"seed\":%llu,\"samples\":%zu,\"steps\":%u,"
                       "\"width\":%u,\"height\":%u,\"frames\":%u,\"prompts\":\"%016llx\"}",
             hash, (unsigned long long)names, c->rows, (unsigned long long)c->seed, o->samples, o->steps, clip->width, clip->height,
             clip->frames, (unsigned long long)words);
}

static int save(const struct calibration *c, const char *path, const char *settings, size_t done, size_t samples)
{
    struct nn_save_tensor *list = calloc(3 * c->count + 1, sizeof *list);
    char (*names)[256] = calloc(3 * c->count + 1, sizeof *names), text[2][32];
    int rc = list && names ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    for (size_t i = 0; i < c->count && rc == 0; i++) {
        const struct calibrated *l = &c->layers[i];
        snprintf(names[3 * i], sizeof *names, "x.%s", l->name);
        snprintf(names[3 * i + 1], sizeof *names, "absmax.%s", l->name);
        snprintf(names[3 * i + 2], sizeof *names, "seen.%s", l->name);
        size_t rows = l->seen < c->rows ? (size_t)l->seen : c->rows;
        list[3 * i] = (struct nn_save_tensor){names[3 * i], NN_DATA_F32, 2, {rows, l->k}, l->x};
        list[3 * i + 1] = (struct nn_save_tensor){names[3 * i + 1], NN_DATA_F32, 1, {l->k}, l->absmax};
        list[3 * i + 2] = (struct nn_save_tensor){names[3 * i + 2], NN_DATA_I64, 1, {1}, &l->seen};
    }
    snprintf(text[0], sizeof text[0], "%zu", done);
    snprintf(text[1], sizeof text[1], "%zu", samples);
    const struct nn_file_text meta[] = {{"fovea.calibration", settings}, {"done", text[0]}, {"samples", text[1]}};
    if (rc == 0)
        rc = nn_safetensors_save(path, list, 3 * c->count, meta, 3);
    free(list);
    free(names);
    return rc;
}

static int read_layer(struct calibrated *l, const struct nn_file *f, size_t rows)
{
    char name[256];
    int64_t seen = 0;
    snprintf(name, sizeof name, "x.%s", l->name);
    const struct nn_file_tensor *x = nn_file_find(f, name);
    snprintf(name, sizeof name, "absmax.%s", l->name);
    const struct nn_file_tensor *most = nn_file_find(f, name);
    snprintf(name, sizeof name, "seen.%s", l->name);
    const struct nn_file_tensor *count = nn_file_find(f, name);
    if (!x || !most || !count)
        return fv_fail(FV_EINVALID, "%s: no inputs of %s", f->name, l->name);
    if (x->rank != 2 || x->shape[1] != l->k || most->count != l->k || count->count != 1)
        return fv_fail(FV_EINVALID, "%s: inputs of %s are of another size", f->name, l->name);
    FV_TRY(nn_file_read(count, NN_DATA_I64, 0, 1, &seen));
    if (seen < 0 || x->shape[0] > rows || x->shape[0] > (uint64_t)seen || (!x->shape[0] && seen))
        return fv_fail(FV_EINVALID, "%s: %llu inputs of %s, %lld of which were seen, for --rows %zu", f->name,
                       (unsigned long long)x->shape[0], l->name, (long long)seen, rows);
    l->seen = x->shape[0] < rows ? x->shape[0] : (uint64_t)seen;
    FV_TRY(nn_file_read(x, NN_DATA_F32, 0, x->count, l->x));
    return nn_file_read(most, NN_DATA_F32, 0, most->count, l->absmax);
}

/* Clips that are in it; 0 when it is of other settings and not finished, or `own`. settings NULL: any. */
static int read_file(struct calibration *c, const char *path, const char *settings, bool own, size_t *done)
{
    struct nn_file *f = NULL;
    FV_TRY(nn_file_open(&f, path, NULL));
    const char *made = nn_file_meta(f, "fovea.calibration"), *count = nn_file_meta(f, "done"),
               *all = nn_file_meta(f, "samples");
    bool whole = made && count && all && !strcmp(count, all);
    int rc = made && count && all ? 0 : fv_fail(FV_EINVALID, "%s: is no calibration", path);
    *done = 0;
    if (rc == 0 && !whole && !settings)
        rc = fv_fail(FV_EINVALID, "%s: is not finished (%s clips of %s)", path, count, all);
    bool take = rc == 0 && ((whole && !own) || !strcmp(made, settings));
    for (size_t i = 0; i < c->count && take && rc == 0; i++)
        rc = read_layer(&c->layers[i], f, c->rows);
    if (take && rc == 0) {
        *done = whole ? SIZE_MAX : strtoul(count, NULL, 10);
        c->resumed = strtoul(count, NULL, 10);
    }
    nn_file_close(&f);
    return rc;
}

int calibration_read(struct calibration *c, const char *path)
{
    size_t done;
    return read_file(c, path, NULL, false, &done);
}

/* ---- prompts ------------------------------------------------------------------------------ */

int calibration_prompt(char out[160], uint64_t i)
{
    static const char *const things[] = {"circle", "square", "triangle", "star", "ring", "cross", "ball", "box"};
    static const char *const colors[] = {"red", "green", "blue", "yellow", "orange", "purple", "cyan", "white"};
    static const char *const ways[] = {"moving to the left",  "moving to the right", "moving up", "bouncing",
                                       "moving in a circle", "growing",             "spinning",  "standing still"};
    static const char *const places[] = {"on a black background", "on a gray background", "in the sky", "at sunset",
                                         "on a brown background", "on a navy background"};
    /* Each part with a step of its own, so that few prompts have much in common. */
    return snprintf(out, 160, "a %s %s %s %s", colors[i * 3 % 8], things[(i * 5 + i / 8) % 8], ways[(i * 7 + i / 3) % 8],
                    places[(i + i / 6) % 6]);
}

/* ---- running ------------------------------------------------------------------------------ */

struct running {
    struct calibration *c;
    struct generator *g;
    const struct calibration_opts *o;
    struct generator_clip clip;
    size_t clips;  /* done */
    double inside; /* of the clip being made, 0 to 1 */
};

static int on_trace(void *ud, const char *name, nn_tensor shape, const float *data)
{
    struct running *r = ud;
    if (strncmp(name, "in.", 3) != 0)
        return 0;
    for (size_t i = 0; i < r->c->count; i++) {
        const struct calibrated *l = &r->c->layers[i];
        if (!is_named(l->name, name + 3))
            continue;
        if (!shape.rank || shape.shape[shape.rank - 1] != l->k)
            return fv_fail(FV_EINVALID, "%s: its input has %u features, its weight takes %zu", l->name,
                           shape.rank ? shape.shape[shape.rank - 1] : 1, l->k);
        return take_rows(r->c, i, data, (size_t)nn_count(shape) / l->k);
    }
    return 0; /* a layer that stays as it is */
}

static int on_progress(void *ud, const struct fv_progress *p)
{
    struct running *r = ud;
    if (!strcmp(p->what, generator_stage_names[STAGE_SAMPLE]) && p->total > 0)
        r->inside = p->done / p->total;
    struct fv_progress mine = {"calibrating", (double)r->clips + r->inside, (double)r->o->samples};
    return r->o->on_progress ? r->o->on_progress(r->o->ud, &mine) : 0;
}

/* The model's usual clip, made smaller until it is some thousand tokens: what goes into layers depends little
 * on how many there are. */
static struct generator_clip clip_of(const struct generator *g, const struct model_usual *u,
                                     const struct calibration_opts *o)
{
    struct df_packing p = generator_packing(g);
    struct generator_clip c = {.width = o->width ? o->width : u->width,
                               .height = o->height ? o->height : u->height,
                               .frames = o->frames ? o->frames : u->frames,
                               .fps = (float)u->fps,
                               .steps = o->steps,
                               .guidance = (float)u->guidance,
                               .transform = u->transform};
    const uint32_t *patch = generator_dit(g)->patch;
    if (o->width || o->frames)
        return c;
    for (;;) {
        double tokens = (double)df_latent_frames(&p, c.frames) / patch[0] * (c.width / p.space / patch[2]) *
                        (c.height / p.space / patch[1]);
        if (tokens <= MOST_TOKENS)
            return c;
        if (c.frames > SHORT_CLIP) {
            c.frames = SHORT_CLIP;
        } else if (c.width >= 2 * LEAST_SIDE && c.height >= 2 * LEAST_SIDE) {
            c.width = (c.width / 2 + 15) / 16 * 16;
            c.height = (c.height / 2 + 15) / 16 * 16;
        } else {
            return c;
        }
    }
}

static int one_clip(struct running *r, const struct model_in *m, size_t i)
{
    struct generator_text text = {0};
    char own[160], *caption = NULL;
    size_t prompts = 0;
    while (r->o->prompts && r->o->prompts[prompts])
        prompts++;
    calibration_prompt(own, i);
    r->clip.seed = r->c->seed + i;
    float *z = malloc(generator_count(r->g, &r->clip) * sizeof *z);
    int rc = z ? generator_caption(r->g, &caption, prompts ? r->o->prompts[i % prompts] : own, &m->usual.scores)
               : fv_fail(FV_ENOMEM, "out of memory");
    if (rc == 0)
        rc = generator_encode(r->g, (const char *const[]){caption}, 1, &text);
    if (rc == 0) {
        generator_noise(r->g, &r->clip, 0, z);
        rc = generator_sample(r->g, &r->clip, &(struct generator_run){.text = &text}, z);
    }
    generator_text_finish(&text);
    free(caption);
    free(z);
    return rc;
}

static int run_clips(struct running *r, const struct model_in *m, const char *path)
{
    struct generator_cost cost;
    char hash[17], settings[512];
    size_t done = 0;
    r->clip = clip_of(r->g, &m->usual, r->o);
    FV_TRY(generator_size(r->g, &r->clip));
    FV_TRY(generator_plan(r->g, &r->clip, r->o->memory, false, &cost));
    FV_TRY(model_in_hash(m, hash));
    describe(settings, r->c, &r->clip, r->o, hash);
    fv_remove_torn(path);
    if (fv_exists(path))
        FV_TRY(read_file(r->c, path, settings, r->o->own, &done));
    for (size_t i = done; i < r->o->samples; i++) {
        r->clips = i;
        r->inside = 0;
        FV_TRY(one_clip(r, m, i));
        FV_TRY(save(r->c, path, settings, i + 1, r->o->samples));
    }
    return 0;
}

int calibration_run(struct calibration *c, const struct model_in *m, struct vk_device *dev,
                    const struct calibration_opts *o, const char *path)
{
    struct running r = {.c = c, .o = o};
    const struct generator_opts g = {.dtype = o->dtype, .stay = true, .on_progress = on_progress, .on_trace = on_trace, .ud = &r};
    FV_TRY(generator_open(&r.g, m, &g));
    generator_use(r.g, dev);
    int rc = run_clips(&r, m, path);
    generator_close(&r.g);
    return rc;
}

/* One clip, from texts to frames (generate_clip.h).
 *
 * A checkpoint is a safetensors file: `state` is what df_sampler_save gives of the round at work, `done` the
 * latents of those before it, metadata `settings` what it all depends on. */
#include "app/generate_clip.h"
#include "app/clip.h"
#include "app/image_io.h"
#include "vk/base/file.h"
#include "vk/base/log.h"
#include "vk/base/thread.h"
#include "vk/nn/safetensors_write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_REFERENCES = 16, USUAL_REPEAT = 5, PREVIEW_FRAMES = 3 };
static const double save_seconds = 20; /* between two checkpoints: what a crash may cost */

struct generate_clip_private {
    struct generate_clip *c;
    size_t n, frame; /* numbers of a round's latents, of a frame */
    uint32_t width, height;
    struct df_reference references[MOST_REFERENCES + 1]; /* behind those given: what came before */
    size_t reference_count;
    struct df_mask_rule *rules;
    size_t rule_count;
    float *mask;  /* [T] */
    float *tail;  /* last frames of what came before, of the clip's size: a ring */
    uint32_t tail_room, tail_count;
    uint32_t round, drop, skipped; /* frames of this round that repeat, of them left out so far */
    void *state;  /* of the checkpoint; taken by the round it is of */
    size_t state_bytes;
    uint32_t state_round;
    double saved_at;
    bool saved;
    float *guess; /* for previews */
    struct clip_out preview;
    float *strip;
    uint32_t strip_at;
};

/* ---- lengths ----------------------------------------------------------------------------- */

static uint32_t repeat_of(const struct generate_clip *c)
{
    uint32_t frames = c->clip.size.frames;
    if (c->repeat)
        return c->repeat;
    return generator_packing(c->g).group ? USUAL_REPEAT : frames / 2 < USUAL_REPEAT ? frames / 2 : USUAL_REPEAT;
}

static int round_of(const struct generate_clip *c, uint32_t round, uint32_t reference, struct df_round *out)
{
    const struct df_packing p = generator_packing(c->g);
    int rc = df_round_of(out, &p, c->clip.frames, repeat_of(c), round, reference, 0);
    if (rc < 0)
        return fv_wrap(rc, "rounds of %u frames: ", c->clip.frames);
    out->rule.from = 0; /* only what is repeated is encoded: groups do not see those before */
    return 0;
}

int generate_clip_frames(const struct generate_clip *c, uint32_t *frames)
{
    struct df_round r = {.drop = 0};
    if (c->rounds > 1 || c->extend)
        FV_TRY(round_of(c, 1, 0, &r));
    *frames = c->clip.frames + (c->rounds - 1) * (c->clip.frames - r.drop) - (c->extend ? r.drop : 0);
    return 0;
}

/* ---- pictures of the clip's size --------------------------------------------------------- */

/* The middle of a picture, as large as fits the clip's shape; means of what a pixel covers where it gets
 * smaller, between the nearest where it gets larger. */
static void cover(const struct generate_clip_private *p, const struct image *i, float *planes)
{
    double sx = (double)i->width / p->width, sy = (double)i->height / p->height, s = sx < sy ? sx : sy;
    double x0 = (i->width - s * p->width) / 2, y0 = (i->height - s * p->height) / 2, reach = fmax(s, 1) / 2;
    for (uint32_t y = 0; y < p->height; y++)
        for (uint32_t x = 0; x < p->width; x++) {
            double cx = x0 + (x + 0.5) * s - 0.5, cy = y0 + (y + 0.5) * s - 0.5, sum = 0, rgb[3] = {0};
            long left = lround(ceil(cx - reach - 0.5)), right = lround(floor(cx + reach + 0.5));
            long top = lround(ceil(cy - reach - 0.5)), bottom = lround(floor(cy + reach + 0.5));
            for (long v = top; v <= bottom; v++)
                for (long u = left; u <= right; u++) {
                    double w = fmin(1, fmax(0, reach + 0.5 - fabs((double)u - cx))) *
                               fmin(1, fmax(0, reach + 0.5 - fabs((double)v - cy)));
                    long px = u < 0 ? 0 : u >= (long)i->width ? (long)i->width - 1 : u;
                    long py = v < 0 ? 0 : v >= (long)i->height ? (long)i->height - 1 : v;
                    const float *at = i->data + ((size_t)py * i->width + (size_t)px) * i->channels;
                    for (int c = 0; c < 3; c++)
                        rgb[c] += w * (double)at[i->channels == 3 ? c : 0];
                    sum += w;
                }
            for (int c = 0; c < 3; c++)
                planes[((size_t)c * p->height + y) * p->width + x] = (float)(rgb[c] / sum * 2 - 1);
        }
}

/* A file's frames in order, brought to size; for generator_reference. */
struct file_frames {
    const struct generate_clip_private *p;
    struct frames_in in;
    uint32_t at;
};

static int read_file(void *ud, uint32_t first, uint32_t count, float *planes)
{
    struct file_frames *f = ud;
    uint32_t n = 0;
    for (; first == f->at && n < count; n++, f->at++, first++) {
        int rc = frames_in_next(&f->in);
        FV_TRY(rc);
        if (rc == 0)
            break;
        cover(f->p, &f->in.frame, planes + n * f->p->frame);
    }
    return (int)n;
}

static int add_reference(struct generate_clip_private *p, float *latents, uint32_t frames)
{
    if (p->reference_count == MOST_REFERENCES) {
        free(latents);
        return fv_fail(FV_EINVALID, "more than %d given pictures and videos", MOST_REFERENCES);
    }
    p->references[p->reference_count++] = (struct df_reference){latents, frames};
    return 0;
}

static int encode_file(struct generate_clip_private *p, const char *path)
{
    struct file_frames f = {.p = p};
    float *latents = NULL;
    uint32_t frames = 0;
    FV_TRY(frames_in_open(&f.in, path));
    int rc = generator_reference(p->c->g, &p->c->clip, read_file, &f, &latents, &frames);
    frames_in_finish(&f.in);
    return rc < 0 ? fv_wrap(rc, "%s: ", path) : add_reference(p, latents, frames);
}

static int encode_files(struct generate_clip_private *p)
{
    const char *at = p->c->references;
    while (at && *at) {
        size_t n = strcspn(at, ";");
        char *path = strndup(at, n);
        int rc = path ? encode_file(p, path) : fv_fail(FV_ENOMEM, "out of memory");
        free(path);
        FV_TRY(rc);
        at += n + (at[n] == ';');
    }
    return 0;
}

/* ---- what a round begins with ------------------------------------------------------------ */

static void keep_tail(struct generate_clip_private *p, const float *planes)
{
    if (p->tail_room)
        memcpy(p->tail + (p->tail_count++ % p->tail_room) * p->frame, planes, p->frame * sizeof *planes);
}

static int read_tail(void *ud, uint32_t first, uint32_t count, float *planes)
{
    const struct generate_clip_private *p = ud;
    uint32_t n = 0;
    for (; n < count && first + n < p->tail_room; n++)
        memcpy(planes + n * p->frame, p->tail + ((p->tail_count + first + n) % p->tail_room) * p->frame,
               p->frame * sizeof *planes);
    return (int)n;
}

/* The last frames of what came before become a reference, and a rule says where they go. */
static int follow(struct generate_clip_private *p, uint32_t round, struct df_mask_rule *rule)
{
    struct df_round r;
    float *latents = NULL;
    uint32_t frames = 0;
    FV_TRY(round_of(p->c, round, (uint32_t)p->reference_count, &r));
    if (p->tail_count < p->tail_room)
        return fv_fail(FV_EINVALID, "--extend %s: has %u frames; its last %u are what the clip goes on from",
                       p->c->extend, p->tail_count, p->tail_room);
    FV_TRY(generator_reference(p->c->g, &p->c->clip, read_tail, p, &latents, &frames));
    struct df_reference *tail = &p->references[p->reference_count];
    free((float *)tail->latents);
    *tail = (struct df_reference){latents, frames};
    *rule = r.rule;
    return 0;
}

/* The video that is gone on from, written out first. */
static int read_extend(struct generate_clip_private *p)
{
    struct file_frames f = {.p = p};
    float *planes = malloc(p->frame * sizeof *planes);
    if (!planes)
        return fv_fail(FV_ENOMEM, "out of memory");
    int rc = frames_in_open(&f.in, p->c->extend);
    while (rc >= 0 && (rc = read_file(&f, f.at, 1, planes)) > 0) {
        keep_tail(p, planes);
        p->c->frames++;
        if (p->c->write)
            rc = p->c->write(p->c->ud, planes, p->height, p->width);
    }
    frames_in_finish(&f.in);
    free(planes);
    return rc;
}

static int give_frames(struct generate_clip_private *p, uint32_t round, float *z, bool *given)
{
    struct generate_clip *c = p->c;
    const struct df_packing packing = generator_packing(c->g);
    struct df_mask_rule follows = {0}, *rules;
    uint32_t align = packing.group ? (packing.group + packing.time - 1) / packing.time : 0;
    bool after = round || c->extend;
    size_t used = 0;
    if (after)
        FV_TRY(follow(p, round, &follows));
    rules = malloc((p->rule_count + 1) * sizeof *rules);
    if (!rules)
        return fv_fail(FV_ENOMEM, "out of memory");
    if (p->rule_count)
        memcpy(rules, p->rules, p->rule_count * sizeof *rules);
    rules[p->rule_count] = follows;
    int rc = df_give_frames(rules, p->rule_count + after, round, align, p->references,
                            p->reference_count + after, &c->clip.size, generator_dit(c->g)->channels, z, p->mask, &used);
    free(rules);
    *given = used > 0;
    return rc;
}

/* ---- checkpoints ------------------------------------------------------------------------- */

static int save_checkpoint(struct generate_clip_private *p, const struct df_sampler *k)
{
    struct generate_clip *c = p->c;
    void *state = NULL;
    size_t bytes = 0;
    char round[16], seed[24];
    FV_TRY(df_sampler_save(k, &state, &bytes));
    snprintf(round, sizeof round, "%u", p->round);
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)c->first_seed);
    const struct nn_file_text meta[] = {
        {"format", "fovea generate checkpoint"}, {"settings", c->settings}, {"round", round}, {"seed", seed}};
    const struct nn_save_tensor list[] = {{"state", NN_DATA_U8, 1, {bytes}, state},
                                          {"done", NN_DATA_F32, 2, {p->round, p->n}, c->latents}};
    int rc = nn_safetensors_save(c->checkpoint, list, p->round ? 2 : 1, meta, 4);
    free(state);
    p->saved_at = fv_now();
    p->saved = p->saved || rc == 0;
    return rc;
}

static int open_checkpoint(struct nn_file **f, const char *path)
{
    FV_TRY(nn_file_open(f, path, NULL));
    const char *format = nn_file_meta(*f, "format");
    if (format && !strcmp(format, "fovea generate checkpoint") && nn_file_meta(*f, "settings") &&
        nn_file_meta(*f, "round") && nn_file_meta(*f, "seed"))
        return 0;
    nn_file_close(f);
    return fv_fail(FV_EFORMAT, "--checkpoint %s: is there and is none of fovea generate", path);
}

int generate_checkpoint_settings(char **settings, uint64_t *seed, const char *path)
{
    struct nn_file *f = NULL;
    *settings = NULL;
    if (!fv_exists(path))
        return 1;
    FV_TRY(open_checkpoint(&f, path));
    *settings = strdup(nn_file_meta(f, "settings"));
    *seed = strtoull(nn_file_meta(f, "seed"), NULL, 10);
    nn_file_close(&f);
    return *settings ? 0 : fv_fail(FV_ENOMEM, "out of memory");
}

static int read_checkpoint(struct generate_clip_private *p, const struct nn_file *f)
{
    struct generate_clip *c = p->c;
    const struct nn_file_tensor *state = nn_file_find(f, "state"), *done = nn_file_find(f, "done");
    char *end;
    unsigned long round = strtoul(nn_file_meta(f, "round"), &end, 10);
    if (!state || state->type != NN_DATA_U8 || *end || round >= c->rounds ||
        (round && (!done || done->type != NN_DATA_F32 || done->count != round * p->n)))
        return fv_fail(FV_EFORMAT, "--checkpoint %s: is damaged; delete it to begin anew", c->checkpoint);
    p->state = malloc((size_t)state->count + 1);
    if (!p->state)
        return fv_fail(FV_ENOMEM, "out of memory");
    memcpy(p->state, state->data, (size_t)state->count); /* plain bytes without gaps */
    p->state_bytes = (size_t)state->count;
    p->state_round = (uint32_t)round;
    return round ? nn_file_read(done, NN_DATA_F32, 0, done->count, c->latents) : 0;
}

static int take_up(struct generate_clip_private *p)
{
    struct nn_file *f = NULL;
    if (!p->c->checkpoint || !fv_exists(p->c->checkpoint))
        return 0;
    FV_TRY(open_checkpoint(&f, p->c->checkpoint));
    int rc = strcmp(nn_file_meta(f, "settings"), p->c->settings)
                 ? 0 /* of another clip of the same run */
                 : read_checkpoint(p, f);
    nn_file_close(&f);
    return rc;
}

/* ---- previews ---------------------------------------------------------------------------- */

static int add_to_strip(void *ud, const float *planes, uint32_t height, uint32_t width)
{
    struct generate_clip_private *p = ud;
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++)
            for (uint32_t c = 0; c < 3; c++)
                p->strip[((size_t)y * width * PREVIEW_FRAMES + p->strip_at * width + x) * 3 + c] =
                    planes[((size_t)c * height + y) * width + x];
    p->strip_at++;
    return 0;
}

/* First, middle and last latent, each decoded as a picture of its own. */
static int preview_strip(struct generate_clip_private *p)
{
    const struct generate_clip *c = p->c;
    struct generator_clip one = c->clip;
    uint32_t frames = c->clip.size.frames, channels = generator_dit(c->g)->channels;
    size_t plane = (size_t)c->clip.size.height * c->clip.size.width, n = (size_t)3 * PREVIEW_FRAMES * p->width * p->height;
    float *z = malloc(channels * plane * sizeof *z);
    uint8_t *pixels = malloc(n);
    p->strip = calloc(n, sizeof *p->strip);
    int rc = z && pixels && p->strip ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    one.frames = one.size.frames = 1;
    p->strip_at = 0;
    for (uint32_t i = 0; i < PREVIEW_FRAMES && rc >= 0; i++) {
        uint32_t t = (frames - 1) * i / (PREVIEW_FRAMES - 1);
        for (uint32_t ch = 0; ch < channels; ch++)
            memcpy(z + ch * plane, p->guess + (ch * (size_t)frames + t) * plane, plane * sizeof *z);
        rc = generator_preview(c->g, &one, z, add_to_strip, p);
    }
    for (size_t i = 0; i < n && rc >= 0; i++)
        pixels[i] = (uint8_t)(fminf(fmaxf(p->strip[i] * 0.5f + 0.5f, 0), 1) * 255 + 0.5f);
    if (rc >= 0)
        rc = image_save_png(c->preview, pixels, p->width * PREVIEW_FRAMES, p->height, 3, NULL);
    free(p->strip);
    p->strip = NULL;
    free(pixels);
    free(z);
    return rc;
}

static int preview_frame(void *ud, const float *planes, uint32_t height, uint32_t width)
{
    struct generate_clip_private *p = ud;
    return clip_out_write(&p->preview, planes, height, width);
}

static int preview_video(struct generate_clip_private *p)
{
    const struct clip_out_opts o = {.path = p->c->preview,
                                    .width = p->width,
                                    .height = p->height,
                                    .fps_num = (uint32_t)lroundf(p->c->clip.fps * 1000),
                                    .fps_den = 1000,
                                    .crf = -1};
    int rc = clip_out_open(&p->preview, &o);
    if (rc >= 0)
        rc = generator_preview(p->c->g, &p->c->clip, p->guess, preview_frame, p);
    int end = clip_out_finish(&p->preview, rc >= 0, NULL);
    return rc < 0 ? rc : end;
}

/* What is wrong with a preview does not end the clip. */
static int show_preview(struct generate_clip_private *p, const struct df_sampler *k)
{
    const struct generate_clip *c = p->c;
    if (!p->guess)
        p->guess = malloc(p->n * sizeof *p->guess);
    if (!p->guess)
        return fv_fail(FV_ENOMEM, "out of memory");
    df_sampler_guess(k, p->guess);
    int rc = fv_ends_with(c->preview, ".png") ? preview_strip(p) : preview_video(p);
    if (rc == FV_ECANCELLED || rc == FV_EDEVICE)
        return rc;
    if (rc < 0)
        fv_log(FV_WARN, "--preview: %s", fv_error());
    return 0;
}

/* ---- rounds ------------------------------------------------------------------------------ */

static int on_step(void *ud, struct df_sampler *k, int rc)
{
    struct generate_clip_private *p = ud;
    const struct generate_clip *c = p->c;
    bool due = rc != 0 || fv_now() - p->saved_at > save_seconds;
    char cause[512];
    snprintf(cause, sizeof cause, "%s", fv_error());
    if (c->checkpoint && due) {
        int saved = save_checkpoint(p, k);
        if (saved < 0)
            return rc < 0 ? fv_fail(rc, "%s; nor can it be written down: %s", cause, fv_error()) : saved;
        if (rc < 0)
            fv_fail(rc, "%s", cause);
    }
    if (rc == 0 && c->preview && df_sampler_at(k) % c->preview_every == 0)
        return show_preview(p, k);
    return 0;
}

/* Noise, or what is nearest to training at a share of noise below 1. */
static int start(struct generate_clip_private *p, uint32_t round, float *z)
{
    const struct generate_clip *c = p->c;
    struct df_analytic a;
    generator_noise(c->g, &c->clip, round, z);
    if (!c->analytic)
        return 0;
    FV_TRY(df_analytic_read(&a, c->analytic));
    int rc = df_analytic_start(&a, DF_ANALYTIC_FLOW, (double)c->clip.start, z, z, p->n);
    df_analytic_finish(&a);
    return rc < 0 ? fv_wrap(rc, "--analytic-init %s: ", c->analytic) : 0;
}

static int sample_round(struct generate_clip_private *p, uint32_t round, float *z)
{
    struct generate_clip *c = p->c;
    bool given = false, resumes = p->state && p->state_round == round;
    if (p->state && round < p->state_round) { /* made before */
        memcpy(z, c->latents + round * p->n, p->n * sizeof *z);
        return 0;
    }
    FV_TRY(start(p, round, z));
    FV_TRY(give_frames(p, round, z, &given));
    const struct generator_run r = {.text = c->texts[round],
                                    .without = c->without,
                                    .frame_mask = given ? p->mask : NULL,
                                    .round = round,
                                    .state = resumes ? p->state : NULL,
                                    .state_bytes = p->state_bytes,
                                    .on_step = on_step,
                                    .ud = p};
    p->saved_at = fv_now();
    FV_TRY(generator_sample(c->g, &c->clip, &r, z));
    memcpy(c->latents + round * p->n, z, p->n * sizeof *z);
    return 0;
}

/* Frames of a round, without those that repeat the one before. */
static int take_frame(void *ud, const float *planes, uint32_t height, uint32_t width)
{
    struct generate_clip_private *p = ud;
    keep_tail(p, planes);
    if (p->skipped < p->drop)
        return p->skipped++, 0;
    p->c->frames++;
    return p->c->write ? p->c->write(p->c->ud, planes, height, width) : 0;
}

static int make_rounds(struct generate_clip_private *p)
{
    struct generate_clip *c = p->c;
    float *z = malloc(p->n * sizeof *z);
    int rc = z ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    for (uint32_t round = 0; round < c->rounds && rc >= 0; round++) {
        p->round = c->round = round;
        p->skipped = 0;
        p->drop = round || c->extend ? p->tail_room : 0;
        rc = sample_round(p, round, z);
        if (rc >= 0 && (c->write || round + 1 < c->rounds))
            rc = generator_decode(c->g, &c->clip, z, take_frame, p);
    }
    free(z);
    return rc;
}

static int begin(struct generate_clip_private *p)
{
    struct generate_clip *c = p->c;
    struct df_round r;
    p->n = generator_count(c->g, &c->clip);
    generator_picture(c->g, &c->clip, &p->width, &p->height);
    p->frame = (size_t)3 * p->width * p->height;
    c->latents = malloc(c->rounds * p->n * sizeof *c->latents);
    p->mask = malloc(c->clip.size.frames * sizeof *p->mask);
    if (!c->latents || !p->mask)
        return fv_fail(FV_ENOMEM, "out of memory");
    if (c->rounds > 1 || c->extend) {
        FV_TRY(round_of(c, 1, 0, &r));
        p->tail_room = r.drop;
        p->tail = malloc(r.drop * p->frame * sizeof *p->tail);
        if (!p->tail)
            return fv_fail(FV_ENOMEM, "out of memory");
    }
    if (c->strategy)
        FV_TRY(df_parse_mask_strategy(&p->rules, &p->rule_count, c->strategy));
    FV_TRY(take_up(p));
    FV_TRY(encode_files(p));
    return c->extend ? read_extend(p) : 0;
}

int generate_clip_make(struct generate_clip *c)
{
    struct generate_clip_private *p = c->p = calloc(1, sizeof *p);
    if (!p)
        return fv_fail(FV_ENOMEM, "out of memory");
    p->c = c;
    FV_TRY(begin(p));
    int rc = make_rounds(p);
    char cause[512];
    snprintf(cause, sizeof cause, "%s", fv_error());
    if (rc < 0 && p->saved)
        return fv_fail(rc, "%s; %s holds what was done, the same command goes on from there", cause, c->checkpoint);
    if (rc == FV_ECANCELLED && !c->checkpoint)
        return fv_fail(rc, "%s; with --checkpoint FILE the same command would go on from there", cause);
    return rc;
}

void generate_clip_finish(struct generate_clip *c)
{
    struct generate_clip_private *p = c->p;
    free(c->latents);
    c->latents = NULL;
    if (!p)
        return;
    for (size_t i = 0; i <= MOST_REFERENCES; i++)
        free((float *)p->references[i].latents);
    free(p->rules);
    free(p->mask);
    free(p->tail);
    free(p->state);
    free(p->guess);
    free(p);
    c->p = NULL;
}

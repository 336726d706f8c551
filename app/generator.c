/* Text to video, a stage at a time (generator.h). */
#include "app/generator_private.h"
#include "app/latents.h"
#include "vk/base/thread.h"
#include "vk/device.h"
#include "vk/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PROMPT = 16384 /* bytes: far more than any encoder reads */ };

const char *const generator_stage_names[STAGES] = {"text", "encoding", "sampling", "decoding"};

/* ---- opening ----------------------------------------------------------------------------- */

static int look_at_parts(struct generator *g)
{
    FV_TRY(df_dit_open(&g->dit, NULL, g->m->dit,
                       &(struct df_dit_opts){.lora = g->o.lora, .lora_count = g->o.lora_count}));
    g->dit_info = *df_dit_info(g->dit);
    df_dit_close(&g->dit);
    FV_TRY(df_t5_open(&g->t5, NULL, g->m->text, NULL));
    g->t5_info = *df_t5_info(g->t5);
    df_t5_close(&g->t5);
    FV_TRY(vae_open(&g->vae, NULL, g->m->vae, NULL));
    g->vae_info = *vae_info(g->vae);
    vae_close(&g->vae);
    return df_tokenizer_open(&g->tokenizer, g->m->tokenizer);
}

static int fits(const struct generator *g)
{
    const struct model_in *m = g->m;
    uint32_t words = df_tokenizer_info(g->tokenizer)->words;
    if (!g->vae_info.has_decoder)
        return fv_fail(FV_EINVALID, "%s: an encoder only; pictures need its decoder", m->vae);
    if (g->dit_info.text_width != g->t5_info.width)
        return fv_fail(FV_EINVALID, "%s gives %u features a word, %s takes %u: not of one model", m->text,
                       g->t5_info.width, m->dit, g->dit_info.text_width);
    if (g->dit_info.channels != g->vae_info.channels)
        return fv_fail(FV_EINVALID, "%s makes latents of %u channels, %s takes %u: not of one model", m->dit,
                       g->dit_info.channels, m->vae, g->vae_info.channels);
    if (words > g->t5_info.words)
        return fv_fail(FV_EINVALID, "%s has %u words, %s knows %u: not of one model", m->tokenizer, words, m->text,
                       g->t5_info.words);
    return 0;
}

int generator_open(struct generator **out, const struct model_in *m, const struct generator_opts *o)
{
    struct generator *g = *out = calloc(1, sizeof *g);
    if (!g)
        return fv_fail(FV_ENOMEM, "out of memory");
    g->m = m;
    g->o = *o;
    int rc = look_at_parts(g);
    if (rc >= 0)
        rc = fits(g);
    g->packing = (struct df_packing){.group = g->vae_info.family == VAE_OPENSORA ? g->vae_info.window : 0,
                                     .time = g->vae_info.time_factor,
                                     .space = g->vae_info.space_factor};
    if (rc < 0)
        generator_close(out);
    return rc;
}

void generator_close(struct generator **g)
{
    if (!*g)
        return;
    df_tokenizer_close(&(*g)->tokenizer);
    df_t5_close(&(*g)->t5);
    df_dit_close(&(*g)->dit);
    vae_close(&(*g)->vae);
    free(*g);
    *g = NULL;
}

void generator_renew(struct generator *g, const struct generator_opts *o)
{
    g->o = *o;
    g->stats = (struct generator_stats){0};
}

void generator_use(struct generator *g, struct vk_device *dev)
{
    g->dev = dev;
}

const struct df_dit_info *generator_dit(const struct generator *g)
{
    return &g->dit_info;
}

const struct df_t5_info *generator_t5(const struct generator *g)
{
    return &g->t5_info;
}

const struct vae_info *generator_vae(const struct generator *g)
{
    return &g->vae_info;
}

struct df_packing generator_packing(const struct generator *g)
{
    return g->packing;
}

const struct generator_stats *generator_stats(const struct generator *g)
{
    return &g->stats;
}

/* ---- stages ------------------------------------------------------------------------------ */

static int on_progress(void *ud, const struct fv_progress *p)
{
    struct generator *g = ud;
    struct fv_progress mine = {g->what, p->done, p->total};
    return g->o.on_progress ? g->o.on_progress(g->o.ud, &mine) : 0;
}

static int pass_trace(void *ud, const char *name, nn_tensor shape, const float *data)
{
    const struct generator *g = ud;
    return g->o.on_trace(g->o.ud, name, shape, data);
}

static double begin(struct generator *g, const char *what)
{
    vk_mem_restart_peak(g->dev);
    g->what = what;
    return fv_now();
}

static void end(struct generator *g, enum generator_stage stage, double start)
{
    uint64_t peak;
    vk_mem_usage(g->dev, NULL, NULL, &peak);
    g->stats.seconds[stage] += fv_now() - start;
    if (peak > g->stats.peak_bytes[stage])
        g->stats.peak_bytes[stage] = peak;
}

/* First number that is none, or n. */
static size_t not_finite(const float *v, size_t n)
{
    size_t i = 0;
    while (i < n && isfinite(v[i]))
        i++;
    return i;
}

static const char *dtype_hint(const struct generator *g)
{
    return g->o.dtype == NN_F16 ? ", or --dtype f16 is not enough for them: try bf16 or f32" : "";
}

/* ---- text -------------------------------------------------------------------------------- */

static int clean(const struct generator *g, char **out, const char *text)
{
    return g->m->usual.clean ? df_clean_caption(out, text, false) : df_plain_caption(out, text);
}

int generator_caption(const struct generator *g, char **out, const char *prompt, const struct df_scores *s)
{
    char *scored, *plain;
    *out = NULL;
    size_t n = strlen(prompt);
    if (n > MOST_PROMPT)
        return fv_fail(FV_EINVALID, "the prompt has %zu bytes, more than %d; the model reads %u words of it", n,
                       MOST_PROMPT, g->dit_info.text_tokens);
    FV_TRY(clean(g, &plain, prompt));
    bool empty = !*plain;
    free(plain);
    if (empty && strspn(prompt, " \t\r\n") == n)
        return fv_fail(FV_EINVALID, "the prompt is empty");
    if (empty)
        return fv_fail(FV_EINVALID, "nothing is left of the prompt \"%.60s\" when it is cleaned of signs", prompt);
    FV_TRY(df_append_scores(&scored, prompt, s));
    int rc = clean(g, out, scored);
    free(scored);
    return rc;
}

static int encode_one(struct generator *g, const char *caption, struct generator_text *t)
{
    uint32_t most = g->dit_info.text_tokens;
    size_t n = (size_t)most * g->dit_info.text_width;
    t->states = calloc(n, sizeof *t->states);
    t->mask = calloc(most, sizeof *t->mask);
    t->ids = calloc(most, sizeof *t->ids);
    if (!t->states || !t->mask || !t->ids)
        return fv_fail(FV_ENOMEM, "out of memory");
    FV_TRY(df_tokenizer_encode(g->tokenizer, caption, false, most, t->ids, t->mask, &t->left_out));
    while (t->words < most && t->mask[t->words])
        t->words++;
    const struct df_encoder_run run = {.batch = 1,
                                       .tokens = g->o.padding ? most : t->words,
                                       .ids = t->ids,
                                       .mask = g->o.padding ? t->mask : NULL,
                                       .on_trace = g->o.on_trace ? pass_trace : NULL,
                                       .on_progress = on_progress,
                                       .ud = g};
    FV_TRY(df_t5_encode(g->t5, &run, t->states));
    size_t bad = not_finite(t->states, (size_t)t->words * g->dit_info.text_width);
    if (bad < (size_t)t->words * g->dit_info.text_width)
        return fv_fail(FV_EINVALID, "the text encoder gave %g for word %zu: weights of %s are damaged%s",
                       (double)t->states[bad], bad / g->dit_info.text_width, g->m->text, dtype_hint(g));
    return 0;
}

int generator_encode(struct generator *g, const char *const *captions, size_t count, struct generator_text *out)
{
    double start = begin(g, generator_stage_names[STAGE_TEXT]);
    memset(out, 0, count * sizeof *out);
    int rc = df_t5_open(&g->t5, g->dev, g->m->text, &(struct df_encoder_opts){.dtype = g->o.dtype});
    g->stats.load_seconds[STAGE_TEXT] += fv_now() - start;
    for (size_t i = 0; i < count && rc >= 0; i++)
        rc = encode_one(g, captions[i], &out[i]);
    df_t5_close(&g->t5);
    end(g, STAGE_TEXT, start);
    return rc;
}

void generator_text_finish(struct generator_text *t)
{
    free(t->states);
    free(t->mask);
    free(t->ids);
    *t = (struct generator_text){0};
}

/* ---- latents ----------------------------------------------------------------------------- */

int generator_size(const struct generator *g, struct generator_clip *clip)
{
    const struct df_clip_size c = {clip->width, clip->height, clip->frames, clip->fps};
    if (g->packing.time == 1 && clip->frames > 1)
        return fv_fail(FV_EINVALID, "%s is of single pictures: --frames 1", g->m->vae);
    return df_size_of(&clip->size, &g->packing, &c);
}

size_t generator_count(const struct generator *g, const struct generator_clip *clip)
{
    return (size_t)g->dit_info.channels * clip->size.frames * clip->size.height * clip->size.width;
}

/* Counts of numbers that one seed has room for: latents of 1 << 18 rounds; of each round and step the
 * noise of frames that begin to change. */
static const uint64_t round_noise = UINT64_C(1) << 44, frame_noise = UINT64_C(1) << 62, step_noise = UINT64_C(1) << 36;
enum { MOST_STEPS = 16384 };

void generator_noise(const struct generator *g, const struct generator_clip *clip, uint32_t round, float *z)
{
    nn_normal(z, clip->seed, round * round_noise, generator_count(g, clip));
}

static int open_dit(struct generator *g)
{
    double start = fv_now();
    if (!g->o.stay)
        vae_close(&g->vae);
    if (g->dit)
        return 0;
    const struct df_dit_opts o = {.dtype = g->o.dtype, .weight_memory = g->weight_memory, .int8 = g->o.int8,
                                  .expand = g->expand, .lora = g->o.lora, .lora_count = g->o.lora_count, .on_progress = on_progress, .ud = g};
    g->what = "loading";
    int rc = df_dit_open(&g->dit, g->dev, g->m->dit, &o);
    g->stats.load_seconds[STAGE_SAMPLE] += fv_now() - start;
    return rc;
}

/* Sums over the models that were opened one after the other. */
static void add_loading(struct generator *g)
{
    struct df_loading now = df_dit_loading(g->dit), *sum = &g->stats.loading;
    const struct df_loading *was = &g->loading_before;
    sum->resident = now.resident;
    sum->pair_bytes = now.pair_bytes;
    sum->pairs += now.pairs - was->pairs;
    sum->bytes += now.bytes - was->bytes;
    sum->seconds += now.seconds - was->seconds;
    sum->waited += now.waited - was->waited;
    g->loading_before = now;
}

static void close_dit(struct generator *g)
{
    df_dit_close(&g->dit);
    g->loading_before = (struct df_loading){0};
}

struct df_schedule generator_schedule(const struct generator_clip *clip)
{
    return (struct df_schedule){.steps = clip->steps,
                                .start = clip->start,
                                .shift = clip->shift,
                                .transform = clip->transform && clip->shift <= 0,
                                .pixel_height = clip->size.pixel_height,
                                .pixel_width = clip->size.pixel_width,
                                .frames = clip->frames};
}

struct df_sampling generator_sampling(const struct generator *g, const struct generator_clip *clip)
{
    return (struct df_sampling){.size = clip->size,
                                .text = {.tokens = g->dit_info.text_tokens},
                                .schedule = generator_schedule(clip),
                                .method = clip->method,
                                .guidance = clip->guidance,
                                .merge_steps = clip->merge_steps,
                                .leap = clip->leap,
                                .cache = clip->cache,
                                .renorm = clip->renorm};
}

struct sampling {
    struct generator *g;
    const struct generator_clip *clip;
    const struct generator_run *r;
};

static int draw(void *ud, uint32_t step, size_t n, float *out)
{
    const struct sampling *s = ud;
    nn_normal(out, s->clip->seed, frame_noise + ((uint64_t)s->r->round * MOST_STEPS + step) * step_noise, n);
    return 0;
}

static int sample_progress(void *ud, const struct fv_progress *p)
{
    const struct sampling *s = ud;
    return on_progress(s->g, p);
}

static int sample_trace(void *ud, const char *name, nn_tensor shape, const float *data)
{
    const struct sampling *s = ud;
    return pass_trace(s->g, name, shape, data);
}

static int take_steps(struct generator *g, struct sampling *s, float *z, struct df_sampled *done)
{
    const struct generator_clip *clip = s->clip;
    const struct generator_run *r = s->r;
    struct df_sampler *k = NULL;
    struct df_sampling what = generator_sampling(g, clip);
    what.text = (struct df_text){g->dit_info.text_tokens, r->text->states, r->text->mask};
    what.frame_mask = r->frame_mask;
    what.replace = r->frame_mask && clip->replace;
    what.joint = r->frame_mask && clip->joint;
    what.noise = draw;
    what.on_progress = sample_progress;
    what.on_trace = g->o.on_trace ? sample_trace : NULL;
    what.ud = s;
    if (r->without)
        what.without = (struct df_text){g->dit_info.text_tokens, r->without->states, r->without->mask};
    int rc = df_sampler_create(&k, g->dit, &what, z);
    if (rc == 0 && r->state)
        rc = df_sampler_restore(k, r->state, r->state_bytes);
    struct df_sampled before = k ? df_sampler_done(k) : (struct df_sampled){0};
    while (rc == 0) {
        rc = df_sampler_step(k);
        int more = r->on_step ? r->on_step(r->ud, k, rc) : 0;
        rc = rc >= 0 && more < 0 ? more : rc;
    }
    if (k) {
        df_sampler_latents(k, z);
        *done = df_sampler_done(k);
        done->evaluations -= before.evaluations;
        done->merged -= before.merged;
        done->skipped -= before.skipped;
        done->flops -= before.flops;
        uint32_t all = clip->method == DF_HEUN ? 2 * clip->steps - 1 : clip->steps;
        g->stats.planned += rc == 1 ? all - before.evaluations - before.skipped : done->evaluations + done->skipped;
    }
    df_sampler_destroy(&k);
    return rc < 0 ? rc : 0;
}

int generator_sample(struct generator *g, const struct generator_clip *clip, const struct generator_run *r,
                     float *z)
{
    struct sampling s = {g, clip, r};
    struct df_sampled done = {0};
    double start = begin(g, "loading");
    int rc = open_dit(g);
    g->what = generator_stage_names[STAGE_SAMPLE];
    if (rc >= 0)
        rc = take_steps(g, &s, z, &done);
    if (g->dit)
        add_loading(g);
    g->stats.sampled.evaluations += done.evaluations;
    g->stats.sampled.merged += done.merged;
    g->stats.sampled.skipped += done.skipped;
    g->stats.sampled.flops += done.flops;
    size_t n = generator_count(g, clip), bad = rc >= 0 ? not_finite(z, n) : n;
    if (bad < n)
        rc = fv_fail(FV_EINVALID, "the transformer's latents hold %g: weights of %s are damaged%s", (double)z[bad],
                     g->m->dit, dtype_hint(g));
    if (!g->o.stay || rc < 0)
        close_dit(g);
    end(g, STAGE_SAMPLE, start);
    return rc;
}

/* ---- frames ------------------------------------------------------------------------------ */

struct decoding {
    struct generator *g;
    const struct generator_clip *clip;
    const float *z;
    uint32_t written;
    int (*write)(void *ud, const float *planes, uint32_t height, uint32_t width);
    void *ud;
};

uint32_t generator_latents(const struct generator *g, const struct generator_clip *clip, const float *z,
                           uint32_t first, uint32_t count, float *out)
{
    const struct vae_info *v = &g->vae_info;
    uint32_t frames = clip->size.frames;
    size_t plane = (size_t)clip->size.height * clip->size.width;
    count = first >= frames ? 0 : frames - first < count ? frames - first : count;
    for (uint32_t t = 0; t < count; t++)
        for (uint32_t c = 0; c < v->channels; c++) {
            const float *in = z + ((size_t)c * frames + first + t) * plane;
            for (size_t i = 0; i < plane; i++)
                *out++ = in[i] / v->scale[c] + v->shift[c];
        }
    return count;
}

static int read_latents(void *ud, uint32_t first, uint32_t count, float *out)
{
    const struct decoding *d = ud;
    return (int)generator_latents(d->g, d->clip, d->z, first, count, out);
}

static int write_frames(void *ud, const struct vae_part *p)
{
    struct decoding *d = ud;
    size_t frame = (size_t)3 * p->height * p->width;
    for (uint32_t i = 0; i < p->count && d->written < d->clip->frames; i++, d->written++)
        FV_TRY(d->write(d->ud, p->data + i * frame, p->height, p->width));
    return 0;
}

static int decode_progress(void *ud, const struct fv_progress *p)
{
    struct decoding *d = ud;
    return on_progress(d->g, p);
}

/* With the transformer beside it or not. encoder: with that too. */
static int open_vae(struct generator *g, bool encoder, bool beside)
{
    double start = fv_now();
    if (!g->o.stay && !beside)
        close_dit(g);
    if (g->vae && (!encoder || g->vae_encodes))
        return 0;
    vae_close(&g->vae);
    const struct vae_opts o = {
        .dtype = g->o.dtype, .skip = {[VAE_ENCODE] = !encoder}, .on_progress = on_progress, .ud = g};
    const char *what = g->what;
    g->what = "loading";
    int rc = vae_open(&g->vae, g->dev, g->m->vae, &o);
    g->what = what;
    g->vae_encodes = encoder;
    g->stats.load_seconds[encoder ? STAGE_ENCODE : STAGE_DECODE] += fv_now() - start;
    return rc;
}

/* What the autoencoder may take: all, but for a transformer that stays. */
static uint64_t vae_memory(const struct generator *g)
{
    uint64_t used = 0, all = generator_vae_memory(g->memory);
    if (all && g->dit)
        vk_mem_usage(g->dev, NULL, &used, NULL);
    return used < all ? all - used : all ? 1 : 0;
}

static int decode(struct decoding *d, struct vae_stats *done)
{
    const struct df_size *size = &d->clip->size;
    struct vae_plan plan;
    const struct vae_io io = {.height = size->height,
                              .width = size->width,
                              .length = size->frames,
                              .frames = d->clip->frames,
                              .read = read_latents,
                              .write = write_frames,
                              .check = true,
                              .on_progress = decode_progress,
                              .ud = d};
    const struct vae_plan_opts how = {.memory = vae_memory(d->g)};
    FV_TRY(vae_plan_make(&plan, d->g->vae, VAE_DECODE, size->height, size->width, &how));
    return vae_run(d->g->vae, VAE_DECODE, &plan, &io, done);
}

int generator_decode(struct generator *g, const struct generator_clip *clip, const float *z,
                     int (*write)(void *ud, const float *planes, uint32_t height, uint32_t width), void *ud)
{
    struct decoding d = {.g = g, .clip = clip, .z = z, .write = write, .ud = ud};
    struct vae_stats done = {0};
    double start = begin(g, generator_stage_names[STAGE_DECODE]);
    int rc = open_vae(g, false, false);
    if (rc >= 0)
        rc = decode(&d, &done);
    g->stats.decode_flops += done.flops;
    if (!g->o.stay || rc < 0)
        vae_close(&g->vae);
    end(g, STAGE_DECODE, start);
    return rc;
}

int generator_preview(struct generator *g, const struct generator_clip *clip, const float *z,
                      int (*write)(void *ud, const float *planes, uint32_t height, uint32_t width), void *ud)
{
    struct decoding d = {.g = g, .clip = clip, .z = z, .write = write, .ud = ud};
    g->what = "preview";
    int rc = open_vae(g, false, true);
    if (rc >= 0)
        rc = decode(&d, NULL);
    if (!g->o.stay || rc < 0)
        vae_close(&g->vae);
    g->what = generator_stage_names[STAGE_SAMPLE];
    return rc;
}

/* ---- given frames ------------------------------------------------------------------------ */

struct encoding {
    struct generator *g;
    int (*read)(void *ud, uint32_t first, uint32_t count, float *planes);
    void *ud;
    struct latents latents;
};

static int read_frames(void *ud, uint32_t first, uint32_t count, float *out)
{
    const struct encoding *e = ud;
    return e->read(e->ud, first, count, out);
}

static int keep_latents(void *ud, const struct vae_part *p)
{
    struct encoding *e = ud;
    return latents_append(&e->latents, p);
}

static int encode_progress(void *ud, const struct fv_progress *p)
{
    const struct encoding *e = ud;
    return on_progress(e->g, p);
}

/* [T][C] planes to [C][T], as the transformer has them. */
static float *as_model(const struct generator *g, const struct generator_clip *clip, const struct latents *l)
{
    const struct vae_info *v = &g->vae_info;
    size_t plane = (size_t)clip->size.height * clip->size.width;
    float *out = malloc(l->frames * v->channels * plane * sizeof *out + 1), *to = out;
    for (uint32_t c = 0; out && c < v->channels; c++)
        for (uint32_t t = 0; t < l->frames; t++)
            for (size_t i = 0; i < plane; i++)
                *to++ = (l->data[((size_t)t * v->channels + c) * plane + i] - v->shift[c]) * v->scale[c];
    return out;
}

int generator_reference(struct generator *g, const struct generator_clip *clip,
                        int (*read)(void *ud, uint32_t first, uint32_t count, float *planes), void *ud,
                        float **latents, uint32_t *frames)
{
    struct encoding e = {.g = g, .read = read, .ud = ud};
    struct vae_plan plan;
    double start = begin(g, generator_stage_names[STAGE_ENCODE]);
    struct vae_io io = {.read = read_frames,
                        .write = keep_latents,
                        .check = true,
                        .on_progress = encode_progress,
                        .ud = &e};
    *latents = NULL;
    generator_picture(g, clip, &io.width, &io.height);
    int rc = g->vae_info.has_encoder
                 ? 0
                 : fv_fail(FV_EINVALID, "%s: a decoder only; given pictures need its encoder", g->m->vae);
    if (rc >= 0)
        rc = open_vae(g, true, false);
    if (rc >= 0)
        rc = vae_plan_make(&plan, g->vae, VAE_ENCODE, io.height, io.width,
                           &(struct vae_plan_opts){.memory = vae_memory(g)});
    if (rc >= 0)
        rc = vae_run(g->vae, VAE_ENCODE, &plan, &io, NULL);
    if (rc >= 0 && !(*latents = as_model(g, clip, &e.latents)))
        rc = fv_fail(FV_ENOMEM, "out of memory");
    *frames = e.latents.frames;
    latents_finish(&e.latents);
    if (!g->o.stay || rc < 0)
        vae_close(&g->vae);
    end(g, STAGE_ENCODE, start);
    return rc;
}

void generator_picture(const struct generator *g, const struct generator_clip *clip, uint32_t *width,
                       uint32_t *height)
{
    *width = clip->size.width * g->packing.space;
    *height = clip->size.height * g->packing.space;
}

/* Cases from a prompt to frames (opensora12_e2e), through the code of `fovea generate`: in.z is the noise, a
 * .json of the case's name has prompt and sizes. The models are those of the folders beside. */
#include "app/check_nn.h"
#include "app/generator.h"
#include "vk/base/file.h"
#include "vk/base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct model {
    struct model_in in;
    struct generator *g;
};

static void close_model(void *model)
{
    struct model *m = model;
    generator_close(&m->g);
    model_in_finish(&m->in);
    free(m);
}

static int open_model(void **out, struct vk_device *dev, const char *dir, enum nn_dtype dtype)
{
    static const char *const names[] = {"../opensora12_stdit3", "t5_weights.safetensors",
                                        "../tokenizer_sentencepiece/test_sentencepiece.model", "../opensora12_vae"};
    struct model *m = calloc(1, sizeof *m);
    char *paths[4] = {NULL};
    int rc = m ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    for (int i = 0; i < 4 && rc == 0; i++)
        if (!(paths[i] = fv_path_join(dir, names[i])))
            rc = fv_fail(FV_ENOMEM, "out of memory");
    const struct model_paths p = {.dit = paths[0], .text = paths[1], .tokenizer = paths[2], .vae = paths[3]};
    if (rc == 0)
        rc = model_in_find(&m->in, &p);
    if (rc == 0)
        rc = generator_open(&m->g, &m->in, &(struct generator_opts){.dtype = dtype, .padding = true, .stay = true});
    if (rc == 0)
        generator_use(m->g, dev);
    for (int i = 0; i < 4; i++)
        free(paths[i]);
    if (rc < 0 && m)
        close_model(m);
    *out = rc < 0 ? NULL : m;
    return rc;
}

/* Whole numbers, to be compared as others are. */
static int give_words(struct check_case *k, const struct generator_text *t, uint32_t n)
{
    float *ids = fv_arena_alloc(&k->arena, n * sizeof *ids + 1), *mask = fv_arena_alloc(&k->arena, n * sizeof *mask + 1);
    if (!ids || !mask)
        return FV_ENOMEM;
    for (uint32_t i = 0; i < n; i++) {
        ids[i] = (float)t->ids[i];
        mask[i] = t->mask[i];
    }
    FV_TRY(check_output(k, "mid.input_ids", ids, n));
    return check_output(k, "mid.attention_mask", mask, n);
}

static int read_case(struct check_case *k, struct fv_json *doc, struct generator_clip *c)
{
    double size[2];
    fv_json_numbers(doc, fv_json_array(doc, doc->root, "image_size"), size, 2);
    *c = (struct generator_clip){.frames = (uint32_t)fv_json_int(doc, doc->root, "num_frames", 1, 1 << 20),
                                 .fps = (float)fv_json_number(doc, doc->root, "fps"),
                                 .steps = (uint32_t)fv_json_int(doc, doc->root, "steps", 1, 10000),
                                 .guidance = (float)fv_json_number(doc, doc->root, "cfg_scale"),
                                 .transform = true};
    if (doc->failed || !(size[0] >= 1 && size[0] < 1e5 && size[1] >= 1 && size[1] < 1e5))
        return doc->failed ? FV_EFORMAT : fv_fail(FV_EFORMAT, "%s: image_size %gx%g", k->name, size[0], size[1]);
    c->height = (uint32_t)size[0];
    c->width = (uint32_t)size[1];
    return 0;
}

struct frames {
    float *x; /* [3][T][H][W] */
    uint32_t count, written;
};

static int keep_frame(void *ud, const float *planes, uint32_t height, uint32_t width)
{
    struct frames *f = ud;
    size_t plane = (size_t)height * width;
    for (uint32_t c = 0; c < 3; c++)
        memcpy(f->x + ((size_t)c * f->count + f->written) * plane, planes + c * plane, plane * sizeof *f->x);
    f->written++;
    return 0;
}

static int decode(struct check_case *k, struct model *m, const struct generator_clip *c, const float *z)
{
    uint32_t width, height;
    generator_picture(m->g, c, &width, &height);
    size_t n = (size_t)3 * c->frames * height * width;
    struct frames f = {.x = fv_arena_alloc(&k->arena, n * sizeof *f.x + 1), .count = c->frames};
    if (!f.x)
        return FV_ENOMEM;
    FV_TRY(generator_decode(m->g, c, z, keep_frame, &f));
    return check_output(k, "out.x", f.x, f.written == c->frames ? n : 0);
}

static int run_latents(struct check_case *k, struct model *m, struct generator_clip *c,
                       const struct generator_text *text)
{
    struct check_array z;
    float *times = fv_arena_alloc(&k->arena, c->steps * sizeof *times);
    FV_TRY(generator_size(m->g, c));
    const struct df_schedule s = generator_schedule(c);
    FV_TRY(check_input(k, "in.z", &z));
    if (!times)
        return FV_ENOMEM;
    if (z.count != generator_count(m->g, c))
        return fv_fail(FV_EFORMAT, "%s: in.z has %zu values, expected %zu", k->file->name, z.count,
                       generator_count(m->g, c));
    df_times(&s, times);
    FV_TRY(check_output(k, "mid.timesteps", times, c->steps));
    FV_TRY(generator_sample(m->g, c, &(struct generator_run){.text = text}, z.data));
    FV_TRY(check_output(k, "mid.latents", z.data, z.count));
    return decode(k, m, c, z.data);
}

static int run_doc(struct check_case *k, struct model *m, struct fv_json *doc)
{
    const struct df_dit_info *d = generator_dit(m->g);
    struct generator_clip c;
    struct generator_text text;
    char *caption;
    FV_TRY(read_case(k, doc, &c));
    FV_TRY(generator_caption(m->g, &caption, fv_json_string(doc, doc->root, "prompt"), &(struct df_scores){6.5, NAN, NULL}));
    const char *want = fv_json_string(doc, doc->root, "after_preprocessing");
    check_fact(k->check, "caption", !strcmp(caption, want), "\"%s\"", caption);
    int rc = generator_encode(m->g, (const char *const[]){caption}, 1, &text);
    free(caption);
    if (rc == 0)
        rc = give_words(k, &text, d->text_tokens);
    if (rc == 0)
        rc = check_output(k, "mid.y_emb", text.states, (size_t)d->text_tokens * d->text_width);
    if (rc == 0)
        rc = run_latents(k, m, &c, &text);
    generator_text_finish(&text);
    return rc;
}

static int run_case(struct check_case *k, void *model)
{
    struct fv_json doc;
    int stem = (int)(strlen(k->file->name) - strlen(".safetensors"));
    char *path = NULL;
    if (asprintf(&path, "%.*s.json", stem, k->file->name) < 0)
        return fv_fail(FV_ENOMEM, "out of memory");
    int rc = fv_json_open(&doc, path);
    free(path);
    FV_TRY(rc);
    rc = run_doc(k, model, &doc);
    fv_json_close(&doc);
    return rc;
}

const struct check_arch check_arch_generate[] = {{"opensora12_e2e", open_model, run_case, close_model},
                                                 {NULL, NULL, NULL, NULL}};

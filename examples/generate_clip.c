/* Makes a clip of a sentence and writes it as raw video (YUV4MPEG2), which players and ffmpeg read.
 *
 *     generate_clip /usr/share/fovea/models/demo "a red ball rolls to the left" ball.y4m
 *     ffmpeg -i ball.y4m ball.mp4
 *
 * The four parts of a text-to-video model, one after the other: words to states (tokenizer, T5), noise
 * to latents under their guidance (the transformer and its sampler), latents to frames (autoencoder).
 * Only one of them is on the device at a time. */
#include "diffusion/diffusion.h"
#include "vae/vae.h"
#include "vk/base/file.h"
#include "vk/device.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* What the bundled model was trained for. */
enum { WIDTH = 64, HEIGHT = 64, FRAMES = 17, FPS = 12, STEPS = 12, SEED = 1 };

struct clip {
    struct df_size size; /* of the latents */
    float *states, *z;   /* [tokens][text_width] of the sentence; [channels][T][H][W] */
    bool *mask;
    uint32_t tokens;
    struct vae_info vae;
    struct fv_writer out;
};

static const char *part(const char *model, const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", model, name);
    return path;
}

/* How large the latents are follows from the autoencoder, how many words are read from the transformer:
 * both are opened without a device, for information. */
static int measure(struct clip *c, const char *model)
{
    struct vae *vae = NULL;
    struct df_dit *dit = NULL;
    int rc = vae_open(&vae, NULL, part(model, "vae"), NULL);
    if (rc >= 0)
        rc = df_dit_open(&dit, NULL, part(model, "dit"), NULL);
    if (rc >= 0) {
        c->vae = *vae_info(vae);
        c->tokens = df_dit_info(dit)->text_tokens;
        const struct df_packing packing = {.time = c->vae.time_factor, .space = c->vae.space_factor};
        const struct df_clip_size size = {WIDTH, HEIGHT, FRAMES, FPS};
        rc = df_size_of(&c->size, &packing, &size);
        c->states = calloc((size_t)c->tokens * df_dit_info(dit)->text_width, sizeof *c->states);
        c->mask = calloc(c->tokens, sizeof *c->mask);
        c->z = malloc((size_t)c->vae.channels * c->size.frames * c->size.height * c->size.width * sizeof *c->z);
        if (!c->states || !c->mask || !c->z)
            rc = fv_fail(FV_ENOMEM, "out of memory");
    }
    df_dit_close(&dit);
    vae_close(&vae);
    return rc;
}

static int read_words(struct clip *c, struct vk_device *dev, const char *model, const char *prompt)
{
    struct df_tokenizer *tokenizer = NULL;
    struct df_t5 *t5 = NULL;
    char *caption = NULL;
    int32_t *ids = calloc(c->tokens, sizeof *ids);
    uint32_t words = 0;
    int rc = ids ? df_clean_caption(&caption, prompt, false) : fv_fail(FV_ENOMEM, "out of memory");
    if (rc >= 0)
        rc = df_tokenizer_open(&tokenizer, part(model, "text"));
    if (rc >= 0)
        rc = df_tokenizer_encode(tokenizer, caption, false, c->tokens, ids, c->mask, NULL);
    while (words < c->tokens && c->mask[words])
        words++;
    if (rc >= 0)
        rc = df_t5_open(&t5, dev, part(model, "text"), NULL);
    if (rc >= 0)
        rc = df_t5_encode(t5, &(struct df_encoder_run){.batch = 1, .tokens = words, .ids = ids}, c->states);
    df_t5_close(&t5);
    df_tokenizer_close(&tokenizer);
    free(caption);
    free(ids);
    return rc;
}

static int sample(struct clip *c, struct vk_device *dev, const char *model)
{
    struct df_dit *dit = NULL;
    const struct df_sampling s = {.size = c->size,
                                  .text = {c->tokens, c->states, c->mask},
                                  .guidance = 4,
                                  .schedule = {.steps = STEPS,
                                               .transform = true,
                                               .pixel_height = c->size.pixel_height,
                                               .pixel_width = c->size.pixel_width,
                                               .frames = FRAMES}};
    size_t n = (size_t)c->vae.channels * c->size.frames * c->size.height * c->size.width;
    nn_normal(c->z, SEED, 0, n); /* the same noise on every device */
    int rc = df_dit_open(&dit, dev, part(model, "dit"), NULL);
    if (rc >= 0)
        rc = df_sample(dit, &s, c->z, NULL);
    df_dit_close(&dit);
    return rc;
}

/* The autoencoder reads frames first, [T][C][H][W], in its own scale. */
static int give_latents(void *ud, uint32_t first, uint32_t count, float *out)
{
    const struct clip *c = ud;
    const struct vae_info *v = &c->vae;
    size_t plane = (size_t)c->size.height * c->size.width;
    count = first + count > c->size.frames ? c->size.frames - first : count;
    for (uint32_t t = first; t < first + count; t++)
        for (uint32_t k = 0; k < v->channels; k++)
            for (size_t i = 0; i < plane; i++)
                *out++ = c->z[((size_t)k * c->size.frames + t) * plane + i] / v->scale[k] + v->shift[k];
    return (int)count;
}

/* BT.709 of full range, no chroma left out: C444. */
static int take_frames(void *ud, const struct vae_part *p)
{
    struct clip *c = ud;
    size_t n = (size_t)p->height * p->width;
    for (uint32_t f = 0; f < p->count && p->first + f < FRAMES; f++) {
        const float *rgb = p->data + f * 3 * n;
        fv_write(&c->out, "FRAME\n", 6);
        for (int plane = 0; plane < 3; plane++)
            for (size_t i = 0; i < n; i++) {
                float r = rgb[i], g = rgb[n + i], b = rgb[2 * n + i]; /* -1 .. 1 */
                float y = 0.2126f * r + 0.7152f * g + 0.0722f * b;
                float v = plane == 0 ? y : plane == 1 ? (b - y) / 1.8556f : (r - y) / 1.5748f;
                fv_write(&c->out, &(unsigned char){(unsigned char)fminf(fmaxf(v * 127.5f + 128, 0), 255)}, 1);
            }
    }
    return 0;
}

static int decode(struct clip *c, struct vk_device *dev, const char *model, const char *path)
{
    struct vae *vae = NULL;
    struct vae_plan plan;
    const struct vae_io io = {.height = c->size.height,
                              .width = c->size.width,
                              .length = c->size.frames,
                              .frames = FRAMES,
                              .read = give_latents,
                              .write = take_frames,
                              .ud = c};
    char header[80];
    int n = snprintf(header, sizeof header, "YUV4MPEG2 W%d H%d F%d:1 Ip A1:1 C444 XCOLORRANGE=FULL\n", WIDTH, HEIGHT,
                     FPS);
    int rc = vae_open(&vae, dev, part(model, "vae"), &(struct vae_opts){.skip = {[VAE_ENCODE] = true}});
    if (rc >= 0)
        rc = vae_plan_make(&plan, vae, VAE_DECODE, c->size.height, c->size.width, NULL);
    if (rc >= 0)
        rc = fv_writer_open(&c->out, path);
    if (rc >= 0) {
        fv_write(&c->out, header, (size_t)n);
        rc = vae_run(vae, VAE_DECODE, &plan, &io, NULL);
        if (rc >= 0)
            rc = fv_writer_commit(&c->out);
        fv_writer_abort(&c->out); /* does nothing to what was committed */
    }
    vae_close(&vae);
    return rc;
}

int main(int argc, char **argv)
{
    struct clip c = {.tokens = 0};
    struct vk_device *dev = NULL;
    if (argc != 4) {
        fputs("usage: generate_clip MODEL_DIR PROMPT OUT.y4m\n", stderr);
        return 2;
    }
    int rc = measure(&c, argv[1]);
    if (rc >= 0)
        rc = vk_device_create(&dev, &(struct vk_device_opts){.select = NULL});
    if (rc >= 0)
        rc = read_words(&c, dev, argv[1], argv[2]);
    if (rc >= 0)
        rc = sample(&c, dev, argv[1]);
    if (rc >= 0)
        rc = decode(&c, dev, argv[1], argv[3]);
    if (rc >= 0)
        printf("%s: %d frames of %dx%d\n", argv[3], FRAMES, WIDTH, HEIGHT);
    else
        fprintf(stderr, "generate_clip: %s\n", fv_error());
    free(c.states);
    free(c.mask);
    free(c.z);
    vk_device_destroy(&dev);
    return rc < 0;
}

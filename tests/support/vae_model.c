#include "support/vae_model.h"
#include "support/test.h"

#include <stdarg.h>
#include <sys/stat.h>

enum { WIDTH = 8, WIDE = 16 };

static char *text(const char *fmt, va_list ap)
{
    char *out = NULL;
    assert_true(vasprintf(&out, fmt, ap) >= 0);
    return out;
}

static void add(struct test_model *m, const uint64_t *shape, unsigned rank, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Matrices and kernels of variance 1 / fan-in, weights of norms about 1, biases about 0. */
static void add(struct test_model *m, const uint64_t *shape, unsigned rank, const char *fmt, ...)
{
    if (m->count == m->room) {
        m->room = m->room ? 2 * m->room : 128;
        m->list = realloc(m->list, m->room * sizeof *m->list);
        assert_non_null(m->list);
    }
    struct nn_save_tensor *t = &m->list[m->count++];
    *t = (struct nn_save_tensor){.type = NN_DATA_F32, .rank = rank};
    va_list ap;
    va_start(ap, fmt);
    t->name = text(fmt, ap);
    va_end(ap);
    size_t n = 1;
    for (unsigned i = 0; i < rank; i++) {
        t->shape[i] = shape[i];
        n *= shape[i];
    }
    bool norm = rank == 1 && strstr(t->name, "norm") && strstr(t->name, ".weight");
    double spread = rank > 1 ? sqrt(3.0 * (double)shape[0] / (double)n) : 0.2;
    float *data = malloc(n * sizeof *data);
    assert_non_null(data);
    for (size_t i = 0; i < n; i++)
        data[i] = (float)(test_uniform(&m->seed, -spread, spread) + (norm ? 1 : 0));
    t->data = data;
}

#define S(...)                                                                                     \
    (uint64_t[]){__VA_ARGS__}, (unsigned)(sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

/* kt 0: a convolution of frames alone. */
static void conv(struct test_model *m, const char *name, uint64_t out, uint64_t in, uint64_t kt,
                 uint64_t k, bool bias)
{
    if (kt)
        add(m, S(out, in, kt, k, k), "%s.weight", name);
    else
        add(m, S(out, in, k, k), "%s.weight", name);
    if (bias)
        add(m, S(out), "%s.bias", name);
}

static void norm(struct test_model *m, const char *name, uint64_t width)
{
    add(m, S(width), "%s.weight", name);
    add(m, S(width), "%s.bias", name);
}

/* How a family writes its residual blocks and attention. */
struct style {
    bool diffusers, inner; /* inner: conv1.conv of 3D ones */
    bool half;             /* the second convolution of frames alone */
    bool flat;             /* all of frames alone */
    bool bare;             /* no biases, conv3 */
};

static void resnet(struct test_model *m, const struct style *s, const char *at, uint64_t out,
                   uint64_t in, bool flat)
{
    char name[128];
    const char *inner = s->inner && !flat ? ".conv" : "";
    snprintf(name, sizeof name, "%s.norm1", at);
    norm(m, name, in);
    snprintf(name, sizeof name, "%s.conv1%s", at, inner);
    conv(m, name, out, in, flat ? 0 : 3, 3, !s->bare);
    snprintf(name, sizeof name, "%s.norm2", at);
    norm(m, name, out);
    snprintf(name, sizeof name, "%s.conv2%s", at, inner);
    conv(m, name, out, out, flat || s->half ? 0 : 3, 3, !s->bare);
    if (out == in)
        return;
    snprintf(name, sizeof name, "%s.%s%s", at,
             s->bare        ? "conv3"
             : s->diffusers ? "conv_shortcut"
                            : "nin_shortcut",
             inner);
    conv(m, name, out, in, flat || (s->half && s->diffusers) ? 0 : 1, 1, !s->bare);
}

static void attention(struct test_model *m, const struct style *s, const char *at, bool inner)
{
    static const char *const ldm[] = {"q", "k", "v", "proj_out"};
    static const char *const diffusers[] = {"to_q", "to_k", "to_v", "to_out.0"};
    char name[256];
    snprintf(name, sizeof name, "%.100s.%s", at, s->diffusers ? "group_norm" : "norm");
    norm(m, name, WIDE);
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%.100s.%s%s", at, s->diffusers ? diffusers[i] : ldm[i],
                 inner ? ".conv" : "");
        if (s->diffusers)
            add(m, S(WIDE, WIDE), "%s.weight", name);
        else
            conv(m, name, WIDE, WIDE, inner ? 1 : 0, 1, false);
        add(m, S(WIDE), "%s.bias", name);
    }
}

static void middle(struct test_model *m, const struct style *s, const char *half)
{
    char name[128];
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, s->diffusers ? "%s.mid_block.resnets.%d" : "%s.mid.block_%d",
                 half, s->diffusers ? i : i + 1);
        resnet(m, s, name, WIDE, WIDE, s->flat);
    }
    snprintf(name, sizeof name, s->diffusers ? "%s.mid_block.attentions.0" : "%s.mid.attn_1", half);
    attention(m, s, name, s->inner);
    snprintf(name, sizeof name, "%s.%s", half, s->diffusers ? "conv_norm_out" : "norm_out");
    norm(m, name, half[0] == 'e' || strstr(half, ".encoder") ? WIDE : WIDTH);
}

/* Four levels; their widths, outermost first. */
static const uint64_t widths[4] = {WIDTH, WIDTH, WIDE, WIDE};

static void resample(struct test_model *m, enum test_vae kind, const char *half, int level, bool up)
{
    char name[128];
    uint64_t w = widths[level];
    bool diffusers = kind == TEST_KL || kind == TEST_CVVAE_SD3 || kind == TEST_OPENSORA;
    int number = up && diffusers ? 3 - level : level;
    snprintf(name, sizeof name,
             diffusers ? up ? "%s.up_blocks.%d.upsamplers.0.conv"
                            : "%s.down_blocks.%d.downsamplers.0.conv"
             : up      ? "%s.up.%d.upsample.conv"
                       : "%s.down.%d.downsample.conv",
             half, number);
    bool odvae = kind == TEST_ODVAE_11 || kind == TEST_ODVAE_12;
    bool cvvae = kind == TEST_CVVAE || kind == TEST_CVVAE_SD3;
    bool both = kind == TEST_ODVAE_12 && (up ? level > 1 : level > 0); /* space and time */
    uint64_t times = cvvae && up && level % 2 ? 2 : 1;
    if (odvae && (up || both))
        strcat(name, ".conv");
    conv(m, name, times * w, w, cvvae || both ? 3 : odvae && up ? 1 : 0, 3, true);
    if (kind != TEST_ODVAE_11 || (up ? level < 2 : level < 1))
        return;
    snprintf(name, sizeof name, up ? "%s.up.%d.time_upsample" : "%s.down.%d.time_downsample", half,
             level);
    add(m, S(1), "%s.mix_factor", name);
    strcat(name, up ? ".conv.conv" : ".conv");
    conv(m, name, w, w, 3, 3, true);
}

static void half_of(struct test_model *m, enum test_vae kind, const struct style *s,
                    const char *half, bool up, uint64_t z)
{
    char name[128];
    bool odvae = s->inner;
    uint64_t in = up ? WIDE : WIDTH, kt = s->flat || (odvae && !up) ? 0 : 3;
    snprintf(name, sizeof name, "%s.conv_in%s", half, odvae && up ? ".conv" : "");
    conv(m, name, in, up ? z : 3, kt, 3, true);
    for (int n = 0; n < 4; n++) {
        int level = up ? 3 - n : n;
        for (int b = 0; b < (up ? 2 : 1); b++) {
            if (s->diffusers)
                snprintf(name, sizeof name, "%s.%s_blocks.%d.resnets.%d", half, up ? "up" : "down",
                         n, b);
            else
                snprintf(name, sizeof name, "%s.%s.%d.block.%d", half, up ? "up" : "down", level,
                         b);
            resnet(m, s, name, widths[level], b ? widths[level] : in,
                   s->flat || (odvae && !up && level < 2));
        }
        in = widths[level];
        if (up ? level > 0 : level < 3)
            resample(m, kind, half, level, up);
    }
    middle(m, s, half);
    snprintf(name, sizeof name, "%s.conv_out%s", half, odvae ? ".conv" : "");
    conv(m, name, up ? 3 : 2 * z, up ? WIDTH : WIDE, s->flat ? 0 : 3, 3, true);
}

static void temporal(struct test_model *m, bool up)
{
    static const uint64_t width[3] = {WIDTH, WIDTH, WIDE};
    const struct style s = {.inner = true, .bare = true};
    const char *half = up ? "temporal_vae.decoder" : "temporal_vae.encoder";
    char name[128];
    uint64_t in = up ? WIDE : WIDTH;
    snprintf(name, sizeof name, "%s.%s.conv", half, up ? "conv1" : "conv_in");
    conv(m, name, in, 4, 3, 3, up);
    for (int n = 0; n < 3; n++) {
        int level = up ? 2 - n : n, block = up ? level - 1 : level;
        snprintf(name, sizeof name, "%s.block_res_blocks.%d.0", half, level);
        resnet(m, &s, name, width[level], in, false);
        in = width[level];
        snprintf(name, sizeof name, "%s.conv_blocks.%d.conv", half, block);
        if (n < 2)
            conv(m, name, (up ? 2 : 1) * in, in, 3, 3, true);
    }
    snprintf(name, sizeof name, "%s.res_blocks.0", half);
    resnet(m, &s, name, WIDE, WIDE, false);
    snprintf(name, sizeof name, "%s.norm1", half);
    norm(m, name, up ? WIDTH : WIDE);
    snprintf(name, sizeof name, "%s.%s.conv", half, up ? "conv_out" : "conv2");
    conv(m, name, up ? 4 : 8, up ? WIDTH : WIDE, up ? 3 : 1, up ? 3 : 1, true);
}

static void tiny_layers(struct test_model *m, bool up)
{
    const char *half = up ? "decoder.layers" : "encoder.layers";
    char name[64];
    /* block, then three times (a convolution that changes the size, three blocks); or reversed */
    int at = up ? 1 : 0;
    snprintf(name, sizeof name, "%s.%d", half, up ? 0 : at);
    conv(m, name, WIDTH, up ? 4 : 3, 0, 3, true);
    at = up ? 2 : 1;
    for (int stage = 0; stage < 4; stage++) {
        int blocks = (up ? stage == 3 : stage == 0) ? 1 : 3;
        if (!up && stage) {
            snprintf(name, sizeof name, "%s.%d", half, at++);
            conv(m, name, WIDTH, WIDTH, 0, 3, false);
        }
        for (int b = 0; b < blocks; b++, at++)
            for (int k = 0; k < 5; k += 2) {
                snprintf(name, sizeof name, "%s.%d.conv.%d", half, at, k);
                conv(m, name, WIDTH, WIDTH, 0, 3, true);
            }
        if (up && stage < 3) {
            at++; /* the upsampling has no tensors */
            snprintf(name, sizeof name, "%s.%d", half, at++);
            conv(m, name, WIDTH, WIDTH, 0, 3, false);
        }
    }
    snprintf(name, sizeof name, "%s.%d", half, at);
    conv(m, name, up ? 3 : 4, WIDTH, 0, 3, true);
}

void test_model_make(struct test_model *m, enum test_vae kind)
{
    *m = (struct test_model){.seed = 7 + (uint64_t)kind};
    bool odvae = kind == TEST_ODVAE_11 || kind == TEST_ODVAE_12;
    bool cvvae = kind == TEST_CVVAE || kind == TEST_CVVAE_SD3;
    struct style s = {.diffusers =
                          kind == TEST_KL || kind == TEST_CVVAE_SD3 || kind == TEST_OPENSORA,
                      .inner = odvae,
                      .half = cvvae,
                      .flat = !odvae && !cvvae};
    uint64_t z = kind == TEST_CVVAE_SD3 ? 16 : 4;
    if (kind == TEST_TINY_DIFFUSERS) {
        tiny_layers(m, false);
        tiny_layers(m, true);
        return;
    }
    const char *prefix = kind == TEST_OPENSORA ? "spatial_vae.module." : "";
    char name[64];
    for (int up = 0; up < 2; up++) {
        snprintf(name, sizeof name, "%s%s", prefix, up ? "decoder" : "encoder");
        half_of(m, kind, &s, name, up, z);
        snprintf(name, sizeof name, "%s%s%s", prefix, up ? "post_quant_conv" : "quant_conv",
                 odvae ? ".conv" : "");
        if (!cvvae)
            conv(m, name, up ? z : 2 * z, up ? z : 2 * z, odvae ? 1 : 0, 1, true);
    }
    if (kind != TEST_OPENSORA)
        return;
    temporal(m, false);
    temporal(m, true);
    conv(m, "temporal_vae.quant_conv.conv", 8, 8, 1, 1, true);
    conv(m, "temporal_vae.post_quant_conv.conv", 4, 4, 1, 1, true);
}

struct nn_save_tensor *test_model_find(struct test_model *m, const char *name)
{
    for (size_t i = 0; i < m->count; i++)
        if (!strcmp(m->list[i].name, name))
            return &m->list[i];
    fail_msg("the model has no %s", name);
    return NULL;
}

void test_model_drop(struct test_model *m, const char *name)
{
    struct nn_save_tensor *t = test_model_find(m, name);
    free((char *)t->name);
    free((void *)t->data);
    *t = m->list[--m->count];
}

void test_model_add(struct test_model *m, const char *name, unsigned rank, const uint64_t *shape)
{
    add(m, shape, rank, "%s", name);
}

void test_model_write(const struct test_model *m, const char *dir)
{
    static const char config[] =
        "{\"norm_num_groups\": 4, \"temporal\": {\"num_groups\": 4}, \"micro_frame_size\": 17,"
        " \"spatial\": {\"norm_num_groups\": 4}}";
    char path[1024];
    mkdir(dir, 0777);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    assert_ok(nn_safetensors_save(path, m->list, m->count, &m->meta, m->meta.key != NULL));
    snprintf(path, sizeof path, "%s/config.json", dir);
    test_write_file(path, config, strlen(config));
}

void test_model_finish(struct test_model *m)
{
    for (size_t i = 0; i < m->count; i++) {
        free((char *)m->list[i].name);
        free((void *)m->list[i].data);
    }
    free(m->list);
    *m = (struct test_model){0};
}

const char *test_vae_folder(enum test_vae kind)
{
    static char dir[1024];
    char name[32];
    struct test_model m;
    snprintf(name, sizeof name, "vae%d", (int)kind);
    snprintf(dir, sizeof dir, "%s", test_tmp_path(name));
    test_model_make(&m, kind);
    test_model_write(&m, dir);
    test_model_finish(&m);
    return dir;
}

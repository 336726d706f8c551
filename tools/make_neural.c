/* Makes training folders of random anchors, as Scaffold-GS and SAGS leave them: for docs/SPEED.md and the
 * tests.
 *
 *     make_neural scaffold|bank|sags OUT COUNT [dense]
 *
 * OUT/point_cloud/iteration_30000/point_cloud.ply and beside it opacity_mlp.pt, cov_mlp.pt, color_mlp.pt
 * (bank: and feature_bank_mlp.pt, embedding_appearance.pt, all with distance inputs), or checkpoint.pth
 * of tiny-cuda-nn's parameters. Anchors lie on a floor and on spheres over it; about half of their
 * Gaussians live; dense: nearly all of them, and they are large enough to hide what is behind, as after
 * training. */
#include "neural/neural.h"
#include "vk/base/zip.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FEATURE = 32, OFFSETS = 10, HIDDEN = 32, CAMERAS = 4, APPEARANCE = 16 };

static uint64_t seed = 1;
static bool dense;

static double uniform(double a, double b)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return a + (b - a) * ((double)(seed >> 33) / 2147483648.0);
}

/* Of about the normal distribution. */
static double normal(double deviation)
{
    double sum = 0;
    for (int i = 0; i < 12; i++)
        sum += uniform(-0.5, 0.5);
    return sum * deviation;
}

static void fail(const char *what)
{
    fprintf(stderr, "make_neural: %s: %s\n", what, fv_error());
    exit(1);
}

/* ---- pickles of tensors ---- */

struct tensor {
    const char *group, *name; /* group "": none */
    uint32_t rows, columns;   /* columns 0: one dimension */
    float *data;
};

struct archive {
    struct fv_writer w;
    struct fv_zip_writer zip;
    char *text;
    size_t size;
    FILE *pickle;
};

static void text(FILE *f, const char *s)
{
    uint32_t n = (uint32_t)strlen(s);
    fputc('X', f);
    fwrite(&n, 4, 1, f);
    fwrite(s, 1, n, f);
}

static void integer(FILE *f, uint32_t v)
{
    fputc('J', f);
    fwrite(&v, 4, 1, f);
}

static void put_tensor(FILE *f, const struct tensor *t, unsigned key)
{
    char name[16];
    snprintf(name, sizeof name, "%u", key);
    fputs("ctorch._utils\n_rebuild_tensor_v2\n((", f);
    text(f, "storage");
    fputs("ctorch\nFloatStorage\n", f);
    text(f, name);
    text(f, "cpu");
    integer(f, t->rows * (t->columns ? t->columns : 1));
    fputs("tQ", f);
    integer(f, 0);
    fputc('(', f);
    integer(f, t->rows);
    if (t->columns)
        integer(f, t->columns);
    fputs("t(", f);
    integer(f, t->columns ? t->columns : 1);
    if (t->columns)
        integer(f, 1);
    fputs("t\x89" "ccollections\nOrderedDict\n)RtR", f);
}

/* A dict of tensors, or of dicts of them: those of a group follow one another. */
static void save(const char *path, const struct tensor *t, size_t n)
{
    struct archive a = {0};
    a.pickle = open_memstream(&a.text, &a.size);
    fputs("\x80\x02}(", a.pickle);
    for (size_t i = 0; i < n; i++) {
        bool first = !i || strcmp(t[i].group, t[i - 1].group);
        if (*t[i].group && first) {
            text(a.pickle, t[i].group);
            fputs("}(", a.pickle);
        }
        text(a.pickle, t[i].name);
        put_tensor(a.pickle, &t[i], (unsigned)i);
        if (*t[i].group && (i + 1 == n || strcmp(t[i].group, t[i + 1].group)))
            fputc('u', a.pickle);
    }
    fputs("u.", a.pickle);
    fclose(a.pickle);
    if (fv_writer_open(&a.w, path) < 0)
        fail(path);
    a.zip.w = &a.w;
    int rc = fv_zip_add(&a.zip, "archive/data.pkl", a.text, a.size);
    for (size_t i = 0; rc >= 0 && i < n; i++) {
        char name[40];
        snprintf(name, sizeof name, "archive/data/%zu", i);
        rc = fv_zip_add(&a.zip, name, t[i].data,
                        4ull * t[i].rows * (t[i].columns ? t[i].columns : 1));
    }
    if (rc < 0 || fv_zip_end(&a.zip) < 0 || fv_writer_commit(&a.w) < 0)
        fail(path);
    fv_zip_writer_free(&a.zip);
    free(a.text);
}

/* ---- networks ---- */

/* As torch.nn.Linear begins: within 1 / sqrt(columns), times gain. */
static struct tensor random_tensor(const char *group, const char *name, uint32_t rows, uint32_t columns,
                                   double gain)
{
    size_t n = (size_t)rows * (columns ? columns : 1);
    struct tensor t = {group, name, rows, columns, malloc(n * sizeof *t.data)};
    double most = gain / sqrt(columns ? columns : rows);
    if (!t.data)
        exit(1);
    for (size_t i = 0; i < n; i++)
        t.data[i] = (float)uniform(-most, most);
    return t;
}

static void linear(const char *dir, const char *file, uint32_t in, uint32_t out, double gain, double bias)
{
    char path[1024];
    struct tensor t[] = {random_tensor("", "0.weight", HIDDEN, in, 2), random_tensor("", "0.bias", HIDDEN, 0, 1),
                         random_tensor("", "2.weight", out, HIDDEN, gain),
                         random_tensor("", "2.bias", out, 0, 0.2)};
    snprintf(path, sizeof path, "%s/%s", dir, file);
    for (uint32_t i = 0; i < out; i++)
        t[3].data[i] += (float)bias;
    save(path, t, 4);
    for (int i = 0; i < 4; i++)
        free(t[i].data);
}

static void scaffold_networks(const char *dir, bool bank)
{
    uint32_t in = FEATURE + 3 + bank;
    linear(dir, "opacity_mlp.pt", in, OFFSETS, 2, dense ? 1 : 0);
    linear(dir, "cov_mlp.pt", in, 7 * OFFSETS, 3, 0);
    linear(dir, "color_mlp.pt", in + (bank ? APPEARANCE : 0), 3 * OFFSETS, 4, 0);
    if (!bank)
        return;
    char path[1024];
    struct tensor t = random_tensor("embedding", "weight", CAMERAS, APPEARANCE, 2);
    snprintf(path, sizeof path, "%s/embedding_appearance.pt", dir);
    save(path, &t, 1);
    free(t.data);
    linear(dir, "feature_bank_mlp.pt", NL_VIEW, 3, 2, 0);
}

/* tiny-cuda-nn's parameters in one row: matrices of 112 (96 for offsets), 32 and 32 (64) columns. */
static void sags_networks(const char *dir)
{
    enum { HASH = 953344, IN = NL_HASH_WIDTH + 2 * FEATURE, DEEP = 32 * 112 + 32 * 32 + 16 * 32 };
    char path[1024];
    struct tensor t[] = {random_tensor("mlp_opacity", "params", DEEP, 0, 12),
                         random_tensor("mlp_color", "params", DEEP, 0, 16),
                         random_tensor("mlp_cov", "params", DEEP, 0, 16),
                         random_tensor("mlp_offsets", "params", 64 * IN + 16 * 64, 0, 12),
                         random_tensor("hash_grid", "params", HASH, 0, 200),
                         random_tensor("affine_layer", "affine_alpha", 1, IN, 1),
                         random_tensor("affine_layer", "affine_beta", 1, IN, 1)};
    /* what is the same for all points would let all live or none */
    for (int i = 0; i < IN; i++) {
        t[5].data[i] = i < NL_HASH_WIDTH + FEATURE ? 1 + 2 * (i >= NL_HASH_WIDTH) : 0.05f;
        t[6].data[i] *= 0.2f;
    }
    for (int row = 0; row < 32; row++) /* nor the padding and the distance */
        for (int i = IN; i < 112; i++)
            t[0].data[112 * row + i] *= 0.1f;
    for (int i = 0; dense && i < 32; i++) /* of hidden units that are never below 0 */
        t[0].data[32 * 112 + 32 * 32 + i] = fabsf(t[0].data[32 * 112 + 32 * 32 + i]) * (i % 8 ? 1 : -1);
    snprintf(path, sizeof path, "%s/checkpoint.pth", dir);
    save(path, t, 7);
    for (int i = 0; i < 7; i++)
        free(t[i].data);
}

/* ---- anchors ---- */

/* Every third SAGS point, at the end, is half way between two near ones, as densification leaves them. */
static void half_way(float p[3], const float *all, unsigned i, unsigned base)
{
    const float *a = all + 6 * (size_t)((i - base) % (base / 2)), *b = a + 3;
    for (int k = 0; k < 3; k++)
        p[k] = 0.5f * (a[k] + b[k]);
}

static void place(float p[3])
{
    double u = uniform(0, 6.2831853), z = uniform(-1, 1), r = sqrt(1 - z * z);
    int ball = (int)uniform(0, 8);
    if (ball > 4) { /* y points down */
        p[0] = (float)uniform(-2.5, 2.5), p[1] = (float)normal(0.01), p[2] = (float)uniform(-2.5, 2.5);
        return;
    }
    double size = 0.35 + 0.1 * ball;
    p[0] = (float)(1.5 * cos(1.3 * ball) + size * r * cos(u));
    p[1] = (float)(-size + size * z);
    p[2] = (float)(1.5 * sin(1.3 * ball) + size * r * sin(u));
}

static void header(struct fv_writer *w, bool sags, unsigned count)
{
    fprintf(w->file, "ply\nformat binary_little_endian 1.0\nelement vertex %u\n", count);
    const char *first[] = {"x", "y", "z", "nx", "ny", "nz"};
    for (int i = 0; i < 6; i++)
        fprintf(w->file, "property float %s\n", first[i]);
    for (int i = 0; !sags && i < 3 * OFFSETS; i++)
        fprintf(w->file, "property float f_offset_%d\n", i);
    for (int i = 0; i < FEATURE; i++)
        fprintf(w->file, "property float %s_%d\n", sags ? "feats" : "f_anchor_feat", i);
    fprintf(w->file, "property float opacity\n");
    for (int i = 0; i < 6; i++)
        fprintf(w->file, "property float scale_%d\n", i);
    for (int i = 0; i < 4; i++)
        fprintf(w->file, "property float rot_%d\n", i);
    fprintf(w->file, "end_header\n");
}

static void anchors(const char *dir, bool sags, unsigned count)
{
    char path[1024];
    struct fv_writer w;
    snprintf(path, sizeof path, "%s/point_cloud.ply", dir);
    if (fv_writer_open(&w, path) < 0)
        fail(path);
    header(&w, sags, count);
    unsigned base = sags && count >= 6 ? count / 3 * 2 : count;
    float *all = calloc(count, 3 * sizeof *all);
    if (!all)
        exit(1);
    double size = log((dense ? 10 : 4) / sqrt(count) / (sags ? 1 : 2)); /* so that they cover what they lie on */
    for (unsigned i = 0; i < count; i++) {
        float row[6 + 3 * OFFSETS + FEATURE + 11] = {0};
        size_t n = 6;
        if (i >= base) {
            half_way(row, all, i, base);
        } else if (sags && i % 2) {
            for (int k = 0; k < 3; k++) /* beside the point before */
                row[k] = all[3 * (i - 1) + (unsigned)k] + (float)normal(0.6 / sqrt(count));
        } else {
            place(row);
        }
        memcpy(all + 3 * (size_t)i, row, 3 * sizeof *all);
        for (int k = 0; !sags && k < 3 * OFFSETS; k++)
            row[n++] = (float)normal(1);
        for (int k = 0; k < FEATURE; k++)
            row[n++] = (float)normal(1);
        n++;
        for (int k = 0; k < 6; k++)
            row[n++] = (float)(size + normal(0.2));
        row[n] = 1;
        fv_write(&w, row, (n + 4) * sizeof *row);
    }
    free(all);
    if (fv_writer_commit(&w) < 0)
        fail(path);
}

int main(int argc, char **argv)
{
    static const char *const below[] = {"", "/point_cloud", "/point_cloud/iteration_30000"};
    char dir[900];
    bool sags = argc > 1 && !strcmp(argv[1], "sags");
    bool bank = argc > 1 && !strcmp(argv[1], "bank");
    unsigned count = argc >= 4 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;
    dense = argc == 5 && !strcmp(argv[4], "dense");
    if (!count || count > 10000000 || (!sags && !bank && strcmp(argv[1], "scaffold")) ||
        argc != 4 + dense) {
        fprintf(stderr, "usage: make_neural scaffold|bank|sags OUT COUNT [dense]\n");
        return 2;
    }
    for (int i = 0; i < 3; i++) {
        snprintf(dir, sizeof dir, "%.800s%s", argv[2], below[i]);
        mkdir(dir, 0777);
    }
    anchors(dir, sags, count);
    if (sags)
        sags_networks(dir);
    else
        scaffold_networks(dir, bank);
    return 0;
}

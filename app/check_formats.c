/* check --arch formats: readers and writers (check.h). A case holds scene.ply, encoded files
 * and decoded_X.ply, what the reference decoder makes of the encoded file X, in file order.
 *
 * Readers: our decoding of each encoded file against decoded_X.ply, row by row. Writers: each
 * format we write, from scene.ply, read back: within the format's quantisation step of
 * scene.ply, and written and read once more without a change. */
#include "app/check.h"
#include "app/scene_in.h"
#include "gs/gs.h"
#include "vk/base/file.h"

#include <ctype.h>
#include <dirent.h>
#include <ftw.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_TOKENS = 16 };

/* ---- which decoded file belongs to which encoded one ------------------------------------ */

/* A name's parts between '_' and '.', without "decoded" and the suffix of a .ply. */
struct tokens {
    char text[256];
    const char *part[MOST_TOKENS];
    size_t count;
};

static void split(struct tokens *t, const char *name)
{
    char *save = NULL;
    t->count = 0;
    snprintf(t->text, sizeof t->text, "%s", name);
    for (char *p = strtok_r(t->text, "_.", &save); p && t->count < MOST_TOKENS;
         p = strtok_r(NULL, "_.", &save))
        if (strcmp(p, "decoded") && strcmp(p, "ply"))
            t->part[t->count++] = p;
}

static bool has(const struct tokens *t, const char *part)
{
    for (size_t i = 0; i < t->count; i++)
        if (!strcmp(t->part[i], part))
            return true;
    return false;
}

/* "raw", and "to" with the axes after it, say how the file was decoded, not which it is. */
static bool is_manner(const char *part)
{
    return !strcmp(part, "raw") || !strcmp(part, "to");
}

/* 0 when the decoded file cannot come from the encoded one, else higher for a better match:
 * all its parts are in the encoded name, which has the fewest others. */
static size_t match(const struct tokens *decoded, const struct tokens *encoded)
{
    size_t common = 0;
    for (size_t i = 0; i < decoded->count; i++) {
        if (is_manner(decoded->part[i]))
            continue;
        if (!has(encoded, decoded->part[i]))
            return 0;
        common++;
    }
    return common ? 100 * common + MOST_TOKENS - encoded->count : 0;
}

static bool is_encoded(const char *dir, const char *name)
{
    static const char *const suffixes[] = {
        ".compressed.ply", ".splat", ".ksplat", ".spz", ".sog", ".glb", ".gltf"};
    char path[1024];
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (fv_ends_with(name, suffixes[i]))
            return true;
    snprintf(path, sizeof path, "%s/%s/meta.json", dir, name);
    return name[0] != '.' && fv_exists(path);
}

/* ---- readers ---------------------------------------------------------------------------- */

/* Rounding of float32 and of the decoders' own formulas; a format's steps are far larger.
 * Positions are relative to the scene's size. */
static struct gs_scene_diff read_bounds(const struct gs_scene *s)
{
    struct gs_bounds b;
    gs_scene_bounds(s, &b);
    double size = 0;
    for (int k = 0; k < 3; k++)
        size = fmax(size, fmax(fabs((double)b.min[k]), fabs((double)b.max[k])));
    return (struct gs_scene_diff){.position = 1e-6 * fmax(size, 1),
                                  .alpha = 1e-5,
                                  .scale = 1e-5,
                                  .rotation = 1e-4,
                                  .dc = 1e-5,
                                  .rest = 1e-5};
}

static void report(struct check *c, const char *what, const struct gs_scene *got,
                   const struct gs_scene *want, const struct gs_scene_diff *bounds,
                   const char *remark)
{
    struct gs_scene_diff d;
    if (gs_scene_compare(got, want, bounds, &d) < 0) {
        check_failure(c, what);
        return;
    }
    char where[64] = "";
    if (d.first_bad != SIZE_MAX)
        snprintf(where, sizeof where, "; first out of tolerance: row %zu, %s", d.first_bad,
                 d.first_bad_what);
    check_fact(c, what, d.first_bad == SIZE_MAX,
               "%zu rows; max: position %.3g alpha %.3g scale %.3g rotation %.3g f_dc %.3g "
               "f_rest %.3g%s%s",
               got->count, d.position, d.alpha, d.scale, d.rotation, d.dc, d.rest, remark, where);
}

/* .spz does not always say whose axes it holds, and neither do these files: "raw" and "to" in
 * the decoded name do, otherwise the nearer reading is taken and named. */
static int load_like(struct gs_scene *out, const char *path, const struct tokens *decoded,
                     const struct gs_scene *want, const char **remark)
{
    struct gs_load_opts turned = {0}, raw = {.spz_raw_axes = true};
    *remark = "";
    if (!fv_ends_with(path, ".spz") || has(decoded, "to"))
        return gs_scene_load(out, path, &turned);
    if (has(decoded, "raw"))
        return gs_scene_load(out, path, &raw);
    struct gs_scene_diff a, b;
    struct gs_scene as_stored;
    FV_TRY(gs_scene_load(out, path, &turned));
    int rc = gs_scene_load(&as_stored, path, &raw);
    if (rc < 0)
        return gs_scene_finish(out), rc;
    if (gs_scene_compare(out, want, NULL, &a) >= 0 &&
        gs_scene_compare(&as_stored, want, NULL, &b) >= 0 && b.position < a.position) {
        struct gs_scene other = *out;
        *out = as_stored;
        as_stored = other;
        *remark = " (axes as stored)";
    }
    gs_scene_finish(&as_stored);
    return 0;
}

static void check_reader(struct check *c, const char *dir, const char *encoded, const char *decoded)
{
    char path[1024], label[256];
    struct gs_scene got = {0}, want = {0};
    struct tokens t;
    const char *remark;
    snprintf(label, sizeof label, "%s = %s", encoded, decoded);
    check_group(c, "read");
    split(&t, decoded);
    snprintf(path, sizeof path, "%s/%s", dir, decoded);
    int rc = gs_scene_load(&want, path, NULL);
    snprintf(path, sizeof path, "%s/%s", dir, encoded);
    if (rc >= 0)
        rc = load_like(&got, path, &t, &want, &remark);
    if (rc < 0) {
        check_failure(c, label);
    } else {
        struct gs_scene_diff bounds = read_bounds(&want);
        report(c, label, &got, &want, &bounds, remark);
    }
    gs_scene_finish(&got);
    gs_scene_finish(&want);
}

/* ---- writers ---------------------------------------------------------------------------- */

/* Half a step of each quantisation, with a tenth more for rounding; 0 = exact, -1 = depends on
 * the scene: write_bounds. SPZ 2 keeps x, y, z of a rotation in 8 bits; w is the root of what
 * they leave: near zero its error is the root of theirs, at most sqrt(2 * sqrt(3) / 255). */
#define SPZ_STEP(rotation_)                                                                        \
    {                                                                                              \
        .position = 0.55 / 4096, .alpha = 0.55 / 255, .scale = 0.55 / 16, .rotation = (rotation_), \
        .dc = 0.55 / 255 / 0.15, .rest = 0.55 * 16 / 128                                           \
    }
static const struct writer {
    const char *suffix;
    int spz_version;
    struct gs_scene_diff step;
    int sh_degree; /* highest that is written */
    bool codebook; /* values are clustered: no step bounds them one by one */
} writers[] = {
    {".ply", 0, {.position = 0}, 3, false},
    {".glb", 0, {.position = 0, .alpha = 1e-6, .scale = 1e-5, .rotation = 1e-5}, 3, false},
    {".splat",
     0,
     {.alpha = 0.55 / 255, .scale = 1e-5, .rotation = 1.1 / 128, .dc = 0.55 / 255 / 0.28209479},
     0,
     false},
    {".compressed.ply",
     0,
     {.position = -1,
      .alpha = 0.55 / 255,
      .scale = -1,
      .rotation = 2.0 / 1023,
      .dc = -1,
      .rest = 4.5 / 255 * 1.1},
     3,
     false},
    {".spz", 2, SPZ_STEP(0.12), 3, false},
    {".spz", 3, SPZ_STEP(2.0 / 511), 3, false},
    {".spz", 4, SPZ_STEP(2.0 / 511), 3, false},
    {".sog", 0, {.position = -1, .alpha = 0.55 / 255, .rotation = 2.0 / 255}, 3, true},
};

static double span(const float *v, size_t n, size_t stride)
{
    double low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        low = fmin(low, (double)v[i * stride]);
        high = fmax(high, (double)v[i * stride]);
    }
    return n ? high - low : 0;
}

/* Steps that follow the scene's own ranges. Chunks of 256 Gaussians have smaller ranges than
 * the whole; .sog keeps positions on a logarithmic scale of 16 bits, coarsest far out, and
 * scales and colours in codebooks of 256, for which a 1/128 of the range is allowed. */
static struct gs_scene_diff write_bounds(const struct writer *w, const struct gs_scene *s)
{
    struct gs_scene_diff d = w->step;
    size_t n = 3 * (size_t)gs_sh_coefs(s->sh_degree);
    double position = 0, farthest = 0, scale = 0, dc = 0;
    for (size_t k = 0; k < 3; k++) {
        position = fmax(position, span(s->position + k, s->count, 3));
        scale = fmax(scale, span(s->scale + k, s->count, 3));
        dc = fmax(dc, span(s->sh + k, s->count, n));
        for (size_t i = 0; i < s->count; i++)
            farthest = fmax(farthest, fabs((double)s->position[3 * i + k]));
    }
    if (w->codebook) {
        d.position = 1.1 * (1 + farthest) * 2 * log1p(farthest) / 65535;
        d.scale = scale / 128;
        d.dc = dc / 128;
        d.rest = span(s->sh + 3, s->count * n > 3 ? s->count * n - 3 : 0, 1) / 4;
    } else if (d.position < 0) {
        d.position = 0.55 * position / 1023;
        d.scale = 0.55 * scale / 1023;
        d.dc = 0.55 * dc / 255;
    }
    return d;
}

static int by_x(const void *a, const void *b, void *ud)
{
    const struct gs_scene *s = ud;
    float x = s->position[3 * *(const uint32_t *)a], y = s->position[3 * *(const uint32_t *)b];
    return (x > y) - (x < y);
}

/* How unlike two rows are, in steps. */
static double unlike(const struct gs_scene *a, size_t i, const struct gs_scene *b, size_t j,
                     double position)
{
    size_t na = 3 * (size_t)gs_sh_coefs(a->sh_degree), nb = 3 * (size_t)gs_sh_coefs(b->sh_degree);
    double sum = 0;
    for (int k = 0; k < 3; k++) {
        sum += fabs((double)a->position[3 * i + k] - (double)b->position[3 * j + k]) / position;
        sum += fabs((double)a->scale[3 * i + k] - (double)b->scale[3 * j + k]);
        sum += fabs((double)a->sh[na * i + k] - (double)b->sh[nb * j + k]);
    }
    return sum;
}

/* New row i = old row order[i]. */
static int permute(struct gs_scene *s, const uint32_t *order)
{
    struct gs_scene p;
    size_t n = 3 * (size_t)gs_sh_coefs(s->sh_degree);
    FV_TRY(gs_scene_alloc(&p, s->count, s->sh_degree));
    for (size_t i = 0; i < s->count; i++) {
        size_t j = order[i];
        memcpy(p.position + 3 * i, s->position + 3 * j, 3 * sizeof(float));
        memcpy(p.scale + 3 * i, s->scale + 3 * j, 3 * sizeof(float));
        memcpy(p.rotation + 4 * i, s->rotation + 4 * j, 4 * sizeof(float));
        memcpy(p.sh + n * i, s->sh + n * j, n * sizeof(float));
        p.opacity[i] = s->opacity[j];
    }
    gs_scene_finish(s);
    *s = p;
    return 0;
}

/* Writers sort Gaussians as they like. Puts the rows of b in the order of a: the nearest row
 * that is not taken. FV_EINVALID when a row has none within reach. */
static int reorder_like(struct gs_scene *b, const struct gs_scene *a, double reach)
{
    size_t n = a->count;
    uint32_t *sorted = malloc(n * sizeof *sorted), *order = malloc(n * sizeof *order);
    bool *taken = calloc(n, 1);
    int rc = sorted && order && taken ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    for (size_t i = 0; rc >= 0 && i < n; i++)
        sorted[i] = (uint32_t)i;
    if (rc >= 0)
        qsort_r(sorted, n, sizeof *sorted, by_x, b);
    for (size_t i = 0; rc >= 0 && i < n; i++) {
        double x = (double)a->position[3 * i], best = INFINITY;
        size_t low = 0, high = n, at = n;
        while (low < high) {
            size_t mid = (low + high) / 2;
            if ((double)b->position[3 * sorted[mid]] < x - reach)
                low = mid + 1;
            else
                high = mid;
        }
        for (; low < n && (double)b->position[3 * sorted[low]] <= x + reach; low++) {
            double d = taken[low] ? INFINITY : unlike(a, i, b, sorted[low], reach);
            if (d < best) {
                best = d;
                at = low;
            }
        }
        if (at == n) {
            rc = fv_fail(FV_EINVALID, "row %zu has no counterpart within %.3g of its x", i, reach);
        } else {
            taken[at] = true;
            order[i] = sorted[at];
        }
    }
    if (rc >= 0)
        rc = permute(b, order);
    free(sorted);
    free(order);
    free(taken);
    return rc;
}

/* A small step so that rows are found at all where the format is exact. */
static double reach_of(const struct gs_scene_diff *d)
{
    return fmax(1.01 * d->position, 1e-6);
}

static int write_and_read(struct gs_scene *out, const struct gs_scene *s, const struct writer *w,
                          const char *path)
{
    FV_TRY(gs_scene_save(s, path, &(struct gs_save_opts){.spz_version = w->spz_version}));
    return gs_scene_load(out, path, NULL);
}

static void check_writer(struct check *c, const struct gs_scene *scene, const struct writer *w,
                         const char *folder)
{
    char path[1024], label[64];
    struct gs_scene once = {0}, twice = {0}, copy = {0};
    snprintf(label, sizeof label, w->spz_version ? "%s v%d" : "%s", w->suffix, w->spz_version);
    snprintf(path, sizeof path, "%s/a%s", folder, w->suffix);
    int rc = gs_scene_append(&copy, scene);
    if (rc >= 0 && copy.sh_degree > w->sh_degree)
        rc = gs_scene_cut_sh(&copy, w->sh_degree);
    struct gs_scene_diff bounds = {0};
    if (rc >= 0) {
        bounds = write_bounds(w, &copy);
        rc = write_and_read(&once, &copy, w, path);
    }
    if (rc >= 0 && once.count != copy.count)
        rc = fv_fail(FV_EINVALID, "%zu Gaussians came back of %zu", once.count, copy.count);
    if (rc >= 0)
        rc = write_and_read(&twice, &once, w, path);
    if (rc >= 0 && twice.count != once.count)
        rc = fv_fail(FV_EINVALID, "%zu Gaussians came back of %zu the second time", twice.count,
                     once.count);
    if (rc >= 0)
        rc = reorder_like(&twice, &once, reach_of(&bounds));
    if (rc >= 0) {
        /* equal but for rounding in log, exp and normalisation */
        struct gs_scene_diff same = read_bounds(&once);
        char second[80];
        snprintf(second, sizeof second, "%s, second trip", label);
        if ((rc = reorder_like(&once, &copy, reach_of(&bounds))) >= 0)
            report(c, label, &once, &copy, &bounds, "");
        if (rc >= 0 && (rc = reorder_like(&twice, &once, reach_of(&bounds))) >= 0)
            report(c, second, &twice, &once, &same, "");
    }
    if (rc < 0)
        check_failure(c, label);
    gs_scene_finish(&once);
    gs_scene_finish(&twice);
    gs_scene_finish(&copy);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static int check_writers(struct check *c, const char *dir)
{
    char path[1024], folder[256];
    struct gs_scene scene;
    const char *tmp = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/scene.ply", dir);
    FV_TRY(gs_scene_load(&scene, path, NULL));
    snprintf(folder, sizeof folder, "%s/fovea-check-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    check_group(c, "write");
    if (!mkdtemp(folder)) {
        gs_scene_finish(&scene);
        return fv_fail(FV_EIO, "%s: a temporary folder cannot be made", folder);
    }
    for (size_t i = 0; i < sizeof writers / sizeof *writers && !app_cancelled(); i++)
        check_writer(c, &scene, &writers[i], folder);
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    gs_scene_finish(&scene);
    return 0;
}

/* ---- a case ----------------------------------------------------------------------------- */

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static const char *best_encoded(const char *dir, struct dirent **entries, int n,
                                const char *decoded)
{
    struct tokens d, e;
    const char *best = NULL;
    size_t most = 0;
    split(&d, decoded);
    for (int i = 0; i < n; i++) {
        if (!is_encoded(dir, entries[i]->d_name))
            continue;
        split(&e, entries[i]->d_name);
        size_t m = match(&d, &e);
        if (m > most) {
            most = m;
            best = entries[i]->d_name;
        }
    }
    return best;
}

int check_formats(struct check *c, const char *dir)
{
    struct dirent **entries = NULL;
    int n = scandir(dir, &entries, NULL, by_name);
    bool has_decoded_of_glb = false;
    for (int i = 0; i < n && !app_cancelled(); i++) {
        const char *name = entries[i]->d_name;
        if (strncmp(name, "decoded_", 8) || !fv_ends_with(name, ".ply"))
            continue;
        const char *encoded = best_encoded(dir, entries, n, name);
        check_group(c, "read");
        if (encoded)
            check_reader(c, dir, encoded, name);
        else
            check_skip(c, name, "its encoded file is not here");
        has_decoded_of_glb = has_decoded_of_glb || (encoded && fv_ends_with(encoded, ".glb"));
    }
    /* .glb keeps floats: without a decoded file the scene itself is the reference */
    for (int i = 0; i < n && !has_decoded_of_glb; i++)
        if (fv_ends_with(entries[i]->d_name, ".glb"))
            check_reader(c, dir, entries[i]->d_name, "scene.ply");
    for (int i = 0; i < n; i++)
        free(entries[i]);
    free(entries);
    return check_writers(c, dir);
}

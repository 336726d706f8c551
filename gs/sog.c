/* SOG reader, versions 1 and 2, bundle and folder (layout in sog.h; the format is PlayCanvas's,
 * as read and written by their splat-transform). Both versions become one set of lookup tables
 * first: 256 values for each byte of each image. */
#include "gs/sog.h"
#include "gs/webp.h"
#include "vk/base/json.h"
#include "vk/base/thread.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_IMAGE = 1 << 30, /* bytes of one WebP file */
    /* As in spz.c: any file may claim POINTS_FREE Gaussians, and so many more a byte of its
     * positions. */
    POINTS_FREE = 1 << 20,
    POINTS_PER_BYTE = 16,
};

enum { MEANS_L, MEANS_U, QUATS, SCALES, SH0, CENTROIDS, LABELS, IMAGES };

struct sog {
    const struct sog_source *from;
    struct fv_json doc;
    bool v1;
    size_t count, palette;
    int bands;
    enum gs_mode mode;
    double min[3], max[3];
    float scale[3][256], dc[3][256], logit[256], rest[256];
    char *file[IMAGES];
    struct gs_image image[IMAGES];
};

/* ---- meta.json ---- */

static void fill_linear(float table[256], double low, double high)
{
    for (int i = 0; i < 256; i++)
        table[i] = (float)(low + (high - low) * (i / 255.0));
}

/* "codebook": up to 256 numbers; missing ones repeat the last. */
static void read_codebook(struct sog *s, struct fv_node part, float table[256])
{
    double values[256] = {0};
    struct fv_node book = fv_json_array(&s->doc, part, "codebook");
    size_t n = fv_node_count(book);
    if (!n || n > 256)
        fv_json_fail(&s->doc, book, "has %zu values; a codebook has 256", n);
    if (s->doc.failed)
        return;
    fv_json_numbers(&s->doc, book, values, n);
    for (size_t i = 0; i < 256; i++)
        table[i] = (float)values[i < n ? i : n ? n - 1 : 0];
}

static void read_range(struct sog *s, struct fv_node part, double *min, double *max, size_t n)
{
    fv_json_numbers(&s->doc, fv_json_array(&s->doc, part, "mins"), min, n);
    fv_json_numbers(&s->doc, fv_json_array(&s->doc, part, "maxs"), max, n);
}

/* files[at] of a part becomes the name of an image. */
static int read_file_name(struct sog *s, struct fv_node part, size_t at, int image)
{
    struct fv_node files = fv_json_array(&s->doc, part, "files");
    if (s->doc.failed)
        return FV_EFORMAT;
    struct fv_node n = fv_node_at(files, at);
    if (!fv_node_is_string(n))
        return fv_json_fail(&s->doc, files, "names %zu files, one more is needed",
                            fv_node_count(files));
    const char *name = fv_node_string(n);
    if (!gs_path_is_inside(name))
        return fv_json_fail(&s->doc, n, "'%.64s' is not a file beside meta.json", name);
    s->file[image] = strdup(name);
    return s->file[image] ? 0 : fv_fail(FV_ENOMEM, "%s: out of memory", s->from->name);
}

static int read_tables_v1(struct sog *s, struct fv_node scales, struct fv_node sh0,
                          struct fv_node rest)
{
    double min[4], max[4];
    read_range(s, scales, min, max, 3);
    for (int k = 0; k < 3; k++)
        fill_linear(s->scale[k], min[k], max[k]);
    read_range(s, sh0, min, max, 4);
    for (int k = 0; k < 3; k++)
        fill_linear(s->dc[k], min[k], max[k]);
    fill_linear(s->logit, min[3], max[3]);
    if (rest.item)
        fill_linear(s->rest, fv_json_number(&s->doc, rest, "mins"),
                    fv_json_number(&s->doc, rest, "maxs"));
    return s->doc.failed ? FV_EFORMAT : 0;
}

static int read_tables_v2(struct sog *s, struct fv_node scales, struct fv_node sh0,
                          struct fv_node rest)
{
    read_codebook(s, scales, s->scale[0]);
    read_codebook(s, sh0, s->dc[0]);
    for (int k = 1; k < 3; k++) {
        memcpy(s->scale[k], s->scale[0], sizeof s->scale[0]);
        memcpy(s->dc[k], s->dc[0], sizeof s->dc[0]);
    }
    for (int i = 0; i < 256; i++)
        s->logit[i] = (float)gs_logit(i / 255.0);
    if (rest.item) {
        read_codebook(s, rest, s->rest);
        s->bands = (int)fv_json_int(&s->doc, rest, "bands", 1, 3);
        s->palette = (size_t)fv_json_int(&s->doc, rest, "count", 1, SOG_MAX_PALETTE);
    }
    return s->doc.failed ? FV_EFORMAT : 0;
}

static int read_meta(struct sog *s)
{
    struct fv_json *doc = &s->doc;
    struct fv_node root = doc->root;
    s->v1 = !fv_node_has(root, "version");
    if (!s->v1 && fv_json_int(doc, root, "version", 0, 1000000) != 2 && !doc->failed)
        return fv_fail(FV_EUNSUPPORTED, "%s: SOG version %lld; versions 1 and 2 are read",
                       s->from->name, fv_json_int(doc, root, "version", 0, 1000000));
    struct fv_node means = fv_json_object(doc, root, "means");
    struct fv_node scales = fv_json_object(doc, root, "scales");
    struct fv_node quats = fv_json_object(doc, root, "quats");
    struct fv_node sh0 = fv_json_object(doc, root, "sh0");
    struct fv_node rest = {0};
    if (fv_node_has(root, "shN"))
        rest = fv_json_object(doc, root, "shN");
    if (s->v1) {
        struct fv_node shape = fv_json_array(doc, means, "shape");
        double rows_columns[2] = {0};
        fv_json_numbers(doc, shape, rows_columns, 2);
        if (doc->failed || !(rows_columns[0] >= 0 && rows_columns[0] <= UINT32_MAX))
            return fv_json_fail(doc, shape, "%g Gaussians", rows_columns[0]);
        s->count = (size_t)rows_columns[0];
    } else {
        s->count = (size_t)fv_json_int(doc, root, "count", 0, UINT32_MAX);
        const char *model = fv_json_string_or(doc, root, "model", "");
        s->mode = !strcmp(model, "antialiased") ? GS_MODE_ANTIALIASED : GS_MODE_AUTO;
    }
    read_range(s, means, s->min, s->max, 3);
    FV_TRY(s->v1 ? read_tables_v1(s, scales, sh0, rest) : read_tables_v2(s, scales, sh0, rest));
    FV_TRY(read_file_name(s, means, 0, MEANS_L));
    FV_TRY(read_file_name(s, means, 1, MEANS_U));
    FV_TRY(read_file_name(s, quats, 0, QUATS));
    FV_TRY(read_file_name(s, scales, 0, SCALES));
    FV_TRY(read_file_name(s, sh0, 0, SH0));
    if (rest.item) {
        FV_TRY(read_file_name(s, rest, 0, CENTROIDS));
        FV_TRY(read_file_name(s, rest, 1, LABELS));
    }
    return 0;
}

/* ---- images ---- */

int sog_get(struct gs_blob *out, const struct sog_source *from, const char *file, size_t most)
{
    *out = (struct gs_blob){0};
    char *path = from->zip && !*from->dir ? strdup(file) : fv_path_join(from->dir, file);
    int rc = path ? 0 : fv_fail(FV_ENOMEM, "%s: out of memory", from->name);
    if (path && from->zip) {
        const struct fv_zip_member *m = fv_zip_find(from->zip, path);
        rc = m ? gs_blob_unzip(out, from->zip, m, most)
               : fv_fail(FV_EFORMAT, "%s: has no member '%.64s'", from->name, path);
    } else if (path) {
        rc = gs_blob_open(out, path);
        if (rc == 0 && out->size > most) {
            gs_blob_free(out);
            rc =
                fv_fail(FV_EFORMAT, "%s: is larger than the %zu bytes that make sense", path, most);
        }
    }
    free(path);
    return rc;
}

static int read_images(void *ud, size_t begin, size_t end)
{
    struct sog *s = ud;
    for (size_t i = begin; i < end; i++) {
        struct gs_blob blob;
        if (!s->file[i])
            continue;
        FV_TRY(sog_get(&blob, s->from, s->file[i], MAX_IMAGE));
        uint64_t most = 2 * (uint64_t)s->count + 4096;
        char name[512];
        int rc = 0;
        snprintf(name, sizeof name, "%s: %s", s->from->name, s->file[i]);
        if (i == CENTROIDS)
            most = SOG_MAX_PALETTE * 15;
        else if (s->count > POINTS_FREE && (s->count - POINTS_FREE) / POINTS_PER_BYTE > blob.size)
            rc = fv_fail(FV_EFORMAT, "%s: count %zu is more than %zu bytes can hold", name,
                         s->count, blob.size);
        if (rc == 0)
            rc = gs_webp_read(&s->image[i], blob.data, blob.size, most, name);
        gs_blob_free(&blob);
        FV_TRY(rc);
        const struct gs_image *im = &s->image[i];
        if (i != CENTROIDS && (uint64_t)im->width * im->height < s->count)
            return fv_fail(FV_EFORMAT, "%s: is %ux%u, too few texels for %zu Gaussians", name,
                           im->width, im->height, s->count);
    }
    return 0;
}

/* Palette size and, in version 1, the number of bands follow from the centroids' picture. */
static int check_palette(struct sog *s)
{
    const struct gs_image *im = &s->image[CENTROIDS];
    if (!s->file[CENTROIDS])
        return 0;
    if (s->v1)
        for (int b = 1; b <= 3; b++)
            if (im->width == (uint32_t)(SOG_PALETTE_ROW * (gs_sh_coefs(b) - 1)))
                s->bands = b;
    if (!s->bands || im->width != (uint32_t)(SOG_PALETTE_ROW * (gs_sh_coefs(s->bands) - 1)))
        return fv_fail(FV_EFORMAT,
                       "%s: %s: is %u wide; %d for each of 3, 8 or 15 coefficients is "
                       "needed",
                       s->from->name, s->file[CENTROIDS], im->width, SOG_PALETTE_ROW);
    size_t entries = (size_t)im->height * SOG_PALETTE_ROW;
    if (s->v1)
        s->palette = entries;
    if (s->palette > entries)
        return fv_fail(FV_EFORMAT, "%s: %s: has %zu entries where shN.count says %zu",
                       s->from->name, s->file[CENTROIDS], entries, s->palette);
    return 0;
}

/* ---- decoding ---- */

struct decode {
    const struct sog *f;
    struct gs_scene *s;
};

static void decode_rotation(const uint8_t *texel, float *out)
{
    int largest = texel[3] - 252;
    if (largest < 0) {
        out[0] = 1; /* what other readers make of a texel without an index */
        out[1] = out[2] = out[3] = 0;
        return;
    }
    double left = 1;
    for (int k = 0, c = 0; k < 4; k++) {
        if (k == largest)
            continue;
        double v = (texel[c++] / 255.0 * 2 - 1) * M_SQRT1_2;
        out[k] = (float)v;
        left -= v * v;
    }
    out[largest] = (float)sqrt(left > 0 ? left : 0);
}

static int decode_rest(const struct sog *f, struct gs_scene *s, size_t i)
{
    const struct gs_image *palette = &f->image[CENTROIDS];
    size_t coefs = (size_t)gs_sh_coefs(s->sh_degree);
    const uint8_t *texel = f->image[LABELS].rgba + 4 * i;
    size_t label = texel[0] | (size_t)texel[1] << 8;
    if (label >= f->palette)
        return fv_fail(FV_EFORMAT, "%s: %s: Gaussian %zu has label %zu of a palette of %zu",
                       f->from->name, f->file[LABELS], i, label, f->palette);
    const uint8_t *entry = palette->rgba + 4 * (label / SOG_PALETTE_ROW * palette->width +
                                                label % SOG_PALETTE_ROW * (coefs - 1));
    float *sh = s->sh + (i * coefs + 1) * 3;
    for (size_t k = 0; k + 1 < coefs; k++, entry += 4)
        for (size_t ch = 0; ch < 3; ch++)
            *sh++ = f->rest[entry[ch]];
    return 0;
}

static int decode_points(void *ud, size_t begin, size_t end)
{
    const struct decode *d = ud;
    const struct sog *f = d->f;
    struct gs_scene *s = d->s;
    size_t coefs = (size_t)gs_sh_coefs(s->sh_degree);
    for (size_t i = begin; i < end; i++) {
        const uint8_t *low = f->image[MEANS_L].rgba + 4 * i, *high = f->image[MEANS_U].rgba + 4 * i;
        const uint8_t *scale = f->image[SCALES].rgba + 4 * i, *dc = f->image[SH0].rgba + 4 * i;
        for (size_t k = 0; k < 3; k++) {
            double n = f->min[k] + (f->max[k] - f->min[k]) * ((low[k] | high[k] << 8) / 65535.0);
            s->position[3 * i + k] = (float)copysign(exp(fabs(n)) - 1, n);
            s->scale[3 * i + k] = f->scale[k][scale[k]];
            s->sh[i * coefs * 3 + k] = f->dc[k][dc[k]];
        }
        s->opacity[i] = f->logit[dc[3]];
        decode_rotation(f->image[QUATS].rgba + 4 * i, s->rotation + 4 * i);
        if (s->sh_degree)
            FV_TRY(decode_rest(f, s, i));
    }
    return 0;
}

int sog_read(struct gs_scene *out, const struct sog_source *from, const struct gs_blob *meta,
             const struct gs_load_opts *opts)
{
    struct sog s = {.from = from};
    *out = (struct gs_scene){0};
    FV_TRY(fv_json_parse(&s.doc, (const char *)meta->data, meta->size, from->name));
    int rc = read_meta(&s);
    if (rc == 0)
        rc = fv_parallel(IMAGES, 1, read_images, &s);
    if (rc == 0)
        rc = check_palette(&s);
    if (rc == 0)
        rc = gs_scene_alloc(out, s.count, s.bands);
    if (rc == 0) {
        struct decode d = {&s, out};
        out->mode = s.mode;
        snprintf(out->detail, sizeof out->detail, "sog v%d", s.v1 ? 1 : 2);
        rc = gs_for_rows(s.count, decode_points, &d, "reading", opts ? opts->on_progress : NULL,
                         opts ? opts->ud : NULL);
        if (rc < 0)
            gs_scene_finish(out);
    }
    for (int i = 0; i < IMAGES; i++) {
        free(s.file[i]);
        gs_image_free(&s.image[i]);
    }
    fv_json_close(&s.doc);
    return rc;
}

/* ---- bundles and folders ---- */

/* meta.json at the top of the archive, or in the one folder that has it. dir gets "" or that
 * folder's name; caller frees it. */
static const struct fv_zip_member *find_meta(const struct fv_zip *zip, char **dir)
{
    for (size_t i = 0; i < zip->count; i++) {
        const char *name = zip->members[i].name, *base = fv_path_base(name);
        if (!strcmp(base, "meta.json")) {
            *dir = base == name ? strdup("") : fv_path_dir(name);
            return *dir ? &zip->members[i] : NULL;
        }
    }
    return NULL;
}

int gs_read_sog(struct gs_scene *out, const uint8_t *data, size_t size, const char *name,
                const struct gs_load_opts *opts)
{
    struct fv_zip zip;
    struct gs_blob meta = {0};
    char *dir = NULL;
    *out = (struct gs_scene){0};
    FV_TRY(fv_zip_open(&zip, data, size, name));
    const struct fv_zip_member *m = find_meta(&zip, &dir);
    int rc =
        m ? gs_blob_unzip(&meta, &zip, m, SOG_MAX_META)
          : fv_fail(FV_EFORMAT, "%s: is a zip archive without a meta.json; not a SOG scene", name);
    if (rc == 0) {
        struct sog_source from = {.name = name, .zip = &zip, .dir = dir};
        rc = sog_read(out, &from, &meta, opts);
    }
    gs_blob_free(&meta);
    fv_zip_close(&zip);
    free(dir);
    return rc;
}

/* A level-of-detail index has a tree of levels, a plain meta.json has positions. */
static bool is_lod_meta(const struct gs_blob *meta)
{
    struct fv_json doc;
    if (fv_json_parse(&doc, (const char *)meta->data, meta->size, "") < 0)
        return false; /* the reader will say why */
    bool yes = fv_node_has(doc.root, "tree") && !fv_node_has(doc.root, "means");
    fv_json_close(&doc);
    return yes;
}

int gs_read_sog_path(struct gs_scene *out, const char *path, const struct gs_load_opts *opts)
{
    struct gs_blob file;
    *out = (struct gs_scene){0};
    FV_TRY(gs_blob_open(&file, path));
    int rc;
    if (file.size >= 4 && !memcmp(file.data, "PK\3\4", 4)) {
        rc = gs_read_sog(out, file.data, file.size, path, opts);
    } else if (!gs_begins_as_json(file.data, file.size)) {
        rc = fv_fail(FV_EFORMAT, "%s: is neither a SOG bundle (a zip archive) nor a meta.json",
                     path);
    } else if (file.size > SOG_MAX_META) {
        rc = fv_fail(FV_EFORMAT, "%s: %zu bytes are too many for a meta.json", path, file.size);
    } else if (is_lod_meta(&file)) {
        rc = sog_read_lod(out, path, opts);
    } else {
        char *dir = fv_path_dir(path);
        struct sog_source from = {.name = path, .dir = dir};
        rc =
            dir ? sog_read(out, &from, &file, opts) : fv_fail(FV_ENOMEM, "%s: out of memory", path);
        free(dir);
    }
    gs_blob_free(&file);
    return rc;
}

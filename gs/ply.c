/* The .ply of 3D Gaussian splatting, read and written.
 *
 * As trained by Kerbl et al. 2023: element vertex with the float properties
 *     x y z  nx ny nz  f_dc_0..2  f_rest_0..3K-1  opacity  scale_0..2  rot_0..3
 * opacity as logit, scale as natural log, rotation w,x,y,z of any length, f_rest channel-major
 * (all red coefficients, then green, then blue; K = 0, 3, 8, 15). Properties are found by
 * name, of any number type and in any order, binary of either byte order or text.
 *
 * Variants that are understood:
 *   scale_2 missing             2D Gaussian splatting (Huang et al. 2024): flat discs; the
 *                               third deviation is taken as 1e-6
 *   red green blue, no f_dc     colours, 0..255 as uchar, 0..65535 as ushort, 0..1 as float
 *   filter_3D                   Mip-Splatting (Yu et al. 2024), sections 4.1: the 3D
 *                               smoothing filter is folded into scale and opacity
 *   72 f_rest                   SH degree 4, cut to 3 */
#include "gs/ply_header.h"
#include "gs/scene.h"
#include "vk/base/log.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>

/* Where a number goes; the order also serves the writer. */
enum slot {
    X,
    DC = X + 3,
    REST = DC + 3,
    OPACITY = REST + 72,
    SCALE,
    ROT = SCALE + 3,
    RGB = ROT + 4,
    FILTER = RGB + 3,
    SLOTS
};

#define FLAT_LOG_SCALE (-13.8155106f) /* ln 1e-6 */

struct reader {
    const char *name;
    const uint8_t *data;
    size_t size, body; /* body: offset of the first vertex row */
    struct gs_ply_header header;
    const struct gs_ply_element *vertex;
    const struct gs_ply_property *slot[SLOTS]; /* NULL = not in the file */
    int16_t *slot_of;                          /* [property_count] slot, -1 = unused */
    int rest;                                  /* f_rest properties per channel */
    bool rgb, flat, filter;
    uint32_t sh_offset[48]; /* fast path: where in the row each of the scene's sh floats is */
    struct gs_scene *scene;
    const struct gs_load_opts *opts; /* NULL = defaults */
};

/* ---- what is in the file ---------------------------------------------------------------- */

static void name_slot(char out[24], int s)
{
    static const struct {
        int first, count;
        const char *names;
    } groups[] = {{X, 3, "x y z"},
                  {DC, 3, "f_dc_"},
                  {REST, 72, "f_rest_"},
                  {OPACITY, 1, "opacity"},
                  {SCALE, 3, "scale_"},
                  {ROT, 4, "rot_"},
                  {RGB, 3, "red green blue"},
                  {FILTER, 1, "filter_3D"}};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        int k = s - groups[i].first;
        const char *n = groups[i].names;
        if (k < 0 || k >= groups[i].count)
            continue;
        for (int word = k; strchr(n, ' ') && word > 0; word--)
            n = strchr(n, ' ') + 1;
        if (n[strlen(n) - 1] == '_')
            snprintf(out, 24, "%s%d", n, k);
        else
            snprintf(out, 24, "%.*s", (int)strcspn(n, " "), n);
        return;
    }
}

static int map_slots(struct reader *r)
{
    size_t n = r->vertex->property_count;
    r->slot_of = fv_arena_alloc(&r->header.arena, (n ? n : 1) * sizeof *r->slot_of);
    if (!r->slot_of)
        return FV_ENOMEM;
    for (size_t i = 0; i < n; i++)
        r->slot_of[i] = -1;
    for (int s = 0; s < SLOTS; s++) {
        char name[24];
        name_slot(name, s);
        const struct gs_ply_property *p = gs_ply_property(r->vertex, name);
        if (p && p->is_list)
            return fv_fail(FV_EFORMAT, "%s: property %s is a list, not a number", r->name, name);
        r->slot[s] = p;
        if (p)
            r->slot_of[p - r->vertex->properties] = (int16_t)s;
    }
    return 0;
}

static int require(const struct reader *r, int first, int count)
{
    for (int s = first; s < first + count; s++)
        if (!r->slot[s]) {
            char name[24];
            name_slot(name, s);
            return fv_fail(FV_EFORMAT, "%s: property %s is missing from element vertex", r->name,
                           name);
        }
    return 0;
}

static int find_rest(struct reader *r, int *degree)
{
    int found = 0;
    for (int s = REST; s < REST + 72; s++)
        found += r->slot[s] != NULL;
    FV_TRY(require(r, REST, found)); /* no gaps */
    for (*degree = 0; *degree <= 4; ++*degree)
        if (found == 3 * (gs_sh_coefs(*degree) - 1)) {
            r->rest = found / 3;
            if (*degree == 4) {
                *degree = 3;
                fv_log(FV_WARN, "%s: SH degree 4 cut to 3", r->name);
            }
            return 0;
        }
    return fv_fail(FV_EFORMAT,
                   "%s: %d f_rest properties: SH degrees 0 to 4 have 0, 9, 24, 45 or 72", r->name,
                   found);
}

static int find_properties(struct reader *r, int *degree)
{
    FV_TRY(map_slots(r));
    FV_TRY(require(r, X, 3));
    if (!r->slot[SCALE] && !r->slot[ROT] && !r->slot[OPACITY])
        return fv_fail(FV_EUNSUPPORTED,
                       "%s: is a point cloud without scale, rot and opacity, not a splat scene; "
                       "train Gaussians from it first",
                       r->name);
    r->flat = r->slot[SCALE] && r->slot[SCALE + 1] && !r->slot[SCALE + 2];
    FV_TRY(require(r, SCALE, r->flat ? 2 : 3));
    FV_TRY(require(r, ROT, 4));
    FV_TRY(require(r, OPACITY, 1));
    r->rgb = !r->slot[DC] && r->slot[RGB];
    FV_TRY(require(r, r->rgb ? RGB : DC, 3));
    r->filter = r->slot[FILTER] != NULL;
    return find_rest(r, degree);
}

/* ---- rows ------------------------------------------------------------------------------- */

static float colour_unit(const struct gs_ply_property *p)
{
    switch (p->type) {
    case GS_PLY_F32:
    case GS_PLY_F64:
        return 1.0f;
    case GS_PLY_I16:
    case GS_PLY_U16:
        return 65535.0f;
    default:
        return 255.0f;
    }
}

/* Mip-Splatting: s'^2 = s^2 + f^2; opacity' = opacity * prod(s) / prod(s'). */
static void fold_filter(float *scale, float *logit, double f)
{
    double loss = 0;
    for (int k = 0; k < 3; k++) {
        double s = scale[k], wide = 0.5 * log(exp(2 * s) + f * f);
        loss += s - wide;
        scale[k] = (float)wide;
    }
    *logit = (float)gs_logit(exp(loss) * gs_sigmoid(*logit));
}

static void store_row(const struct reader *r, size_t i, const float *v)
{
    struct gs_scene *s = r->scene;
    int coefs = gs_sh_coefs(s->sh_degree);
    float *sh = s->sh + i * (size_t)coefs * 3;
    memcpy(s->position + 3 * i, v + X, 3 * sizeof *v);
    memcpy(s->scale + 3 * i, v + SCALE, 3 * sizeof *v);
    memcpy(s->rotation + 4 * i, v + ROT, 4 * sizeof *v);
    s->opacity[i] = v[OPACITY];
    for (int c = 0; c < 3; c++) {
        sh[c] = v[DC + c];
        if (r->rgb)
            sh[c] = (v[RGB + c] / colour_unit(r->slot[RGB + c]) - 0.5f) / GS_SH_C0;
        for (int k = 1; k < coefs; k++)
            sh[3 * k + c] = v[REST + c * r->rest + k - 1];
    }
    if (r->flat)
        s->scale[3 * i + 2] = FLAT_LOG_SCALE;
    if (r->filter)
        fold_filter(s->scale + 3 * i, s->opacity + i, (double)v[FILTER]);
}

/* Rows of the usual file: little-endian floats. Plain loads and stores, no conversion. */
static int copy_rows(void *ud, size_t begin, size_t end)
{
    const struct reader *r = ud;
    struct gs_scene *s = r->scene;
    size_t sh_count = 3 * (size_t)gs_sh_coefs(s->sh_degree), stride = r->vertex->row_size;
    uint32_t at[SLOTS];
    for (int k = 0; k < SLOTS; k++)
        at[k] = r->slot[k] ? (uint32_t)r->slot[k]->offset : 0;
    for (size_t i = begin; i < end; i++) {
        const uint8_t *row = r->data + r->body + i * stride;
        float *sh = s->sh + i * sh_count;
        for (int k = 0; k < 3; k++)
            memcpy(s->position + 3 * i + k, row + at[X + k], 4);
        for (int k = 0; k < 3; k++)
            memcpy(s->scale + 3 * i + k, row + at[SCALE + k], 4);
        for (int k = 0; k < 4; k++)
            memcpy(s->rotation + 4 * i + k, row + at[ROT + k], 4);
        memcpy(s->opacity + i, row + at[OPACITY], 4);
        for (size_t k = 0; k < sh_count; k++)
            memcpy(sh + k, row + r->sh_offset[k], 4);
    }
    return 0;
}

static bool can_copy(struct reader *r)
{
    if (r->header.encoding != GS_PLY_LITTLE || r->vertex->has_list || r->rgb || r->flat ||
        r->filter)
        return false;
    for (int s = 0; s < RGB; s++)
        if (r->slot[s] && r->slot[s]->type != GS_PLY_F32)
            return false;
    for (int k = 0; k < gs_sh_coefs(r->scene->sh_degree); k++)
        for (int c = 0; c < 3; c++)
            r->sh_offset[3 * k + c] =
                (uint32_t)r->slot[k ? REST + c * r->rest + k - 1 : DC + c]->offset;
    return true;
}

/* Rows of fixed size and any number types. */
static int convert_rows(void *ud, size_t begin, size_t end)
{
    const struct reader *r = ud;
    bool big = r->header.encoding == GS_PLY_BIG;
    float v[SLOTS] = {0};
    for (size_t i = begin; i < end; i++) {
        const uint8_t *row = r->data + r->body + i * r->vertex->row_size;
        for (int s = 0; s < SLOTS; s++)
            if (r->slot[s])
                v[s] = (float)gs_ply_number(row + r->slot[s]->offset, r->slot[s]->type, big);
        store_row(r, i, v);
    }
    return 0;
}

static int row_error(const struct reader *r, size_t row, const struct gs_ply_property *p,
                     const char *what)
{
    return fv_fail(FV_EFORMAT, "%s: row %zu: property %.40s: %s", r->name, row, p->name, what);
}

/* For rows that can only be read one after the other. */
static int tell_progress(const struct reader *r, size_t row)
{
    const struct gs_load_opts *o = r->opts;
    struct fv_progress p = {"reading", (double)row, (double)r->scene->count};
    if (row % (1 << 16) || !o || !o->on_progress || !o->on_progress(o->ud, &p))
        return 0;
    return fv_fail(FV_ECANCELLED, "reading was cancelled");
}

/* Rows with lists, one after the other. */
static int walk_rows(struct reader *r)
{
    bool big = r->header.encoding == GS_PLY_BIG;
    size_t at = r->body;
    float v[SLOTS] = {0};
    for (size_t i = 0; i < r->scene->count; i++) {
        FV_TRY(tell_progress(r, i));
        for (size_t k = 0; k < r->vertex->property_count; k++) {
            const struct gs_ply_property *p = &r->vertex->properties[k];
            enum gs_ply_type head = p->is_list ? p->count_type : p->type;
            size_t left = r->size - at, n = gs_ply_type_size(head);
            if (left < n)
                return row_error(r, i, p, "the file is cut short here");
            double number = gs_ply_number(r->data + at, head, big);
            at += n;
            left -= n;
            if (p->is_list) {
                size_t item = gs_ply_type_size(p->type);
                if (!(number >= 0 && number <= (double)(left / item)))
                    return row_error(r, i, p, "the list is longer than the file");
                at += (size_t)number * item;
            } else if (r->slot_of[k] >= 0) {
                v[r->slot_of[k]] = (float)number;
            }
        }
        store_row(r, i, v);
    }
    return 0;
}

/* ---- text ------------------------------------------------------------------------------- */

/* Numbers of up to 19 digits and small exponents are exact as mantissa * or / 10^k in double
 * (Clinger 1990); the rest, nan and inf go to the C library. */
static bool parse_number(const uint8_t *w, size_t n, locale_t c_locale, double *out)
{
    static const double ten[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                 1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    uint64_t mantissa = 0;
    size_t i = n && (w[0] == '-' || w[0] == '+'), digits = 0;
    int exponent = 0;
    for (bool point = false; i < n && digits < 19; i++) {
        if (w[i] == '.' && !point) {
            point = true;
        } else if (w[i] >= '0' && w[i] <= '9') {
            mantissa = mantissa * 10 + (uint64_t)(w[i] - '0');
            digits++;
            exponent -= point;
        } else {
            break;
        }
    }
    if (digits && i + 1 < n && i + 5 > n && (w[i] | 32) == 'e') {
        bool minus = w[i + 1] == '-';
        size_t k = i + 1 + (minus || w[i + 1] == '+');
        int e = 0;
        for (; k < n && w[k] >= '0' && w[k] <= '9'; k++)
            e = e * 10 + w[k] - '0';
        if (k == n && w[n - 1] >= '0' && w[n - 1] <= '9') {
            exponent += minus ? -e : e;
            i = n;
        }
    }
    if (digits && i == n && mantissa >> 53 == 0 && exponent >= -22 && exponent <= 22) {
        double d = (double)mantissa;
        d = exponent < 0 ? d / ten[-exponent] : d * ten[exponent];
        *out = w[0] == '-' ? -d : d;
        return true;
    }
    char text[64], *end;
    if (!n || n >= sizeof text)
        return false;
    memcpy(text, w, n);
    text[n] = 0;
    *out = strtod_l(text, &end, c_locale);
    return *end == 0;
}

static int read_words(struct reader *r, locale_t c_locale)
{
    size_t at = r->body;
    float v[SLOTS] = {0};
    for (size_t i = 0; i < r->scene->count; i++) {
        FV_TRY(tell_progress(r, i));
        for (size_t k = 0; k < r->vertex->property_count; k++) {
            const struct gs_ply_property *p = &r->vertex->properties[k];
            size_t length;
            double number;
            const uint8_t *w = gs_ply_word(r->data, r->size, &at, &length);
            if (!w)
                return row_error(r, i, p, "the file is cut short here");
            if (!parse_number(w, length, c_locale, &number))
                return row_error(r, i, p, "is not a number");
            for (; p->is_list && number >= 1; number--)
                if (!gs_ply_word(r->data, r->size, &at, &length))
                    return row_error(r, i, p, "the list is longer than the file");
            if (!p->is_list && r->slot_of[k] >= 0)
                v[r->slot_of[k]] = (float)number;
        }
        store_row(r, i, v);
    }
    return 0;
}

/* ---- reading ---------------------------------------------------------------------------- */

static int read_rows(struct reader *r)
{
    if (r->header.encoding == GS_PLY_ASCII) {
        locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
        if (!c_locale)
            return fv_fail(FV_ENOMEM, "out of memory");
        int rc = read_words(r, c_locale);
        freelocale(c_locale);
        return rc;
    }
    if (r->vertex->has_list)
        return walk_rows(r);
    return gs_for_rows(r->scene->count, can_copy(r) ? copy_rows : convert_rows, r, "reading",
                       r->opts ? r->opts->on_progress : NULL, r->opts ? r->opts->ud : NULL);
}

static int read_scene(struct reader *r)
{
    int degree = 0;
    r->vertex = gs_ply_element(&r->header, "vertex");
    if (!r->vertex)
        return fv_fail(FV_EFORMAT, "%s: has no element vertex", r->name);
    FV_TRY(find_properties(r, &degree));
    FV_TRY(gs_ply_locate(&r->header, r->vertex, r->data, r->size, r->name, &r->body));
    if (!r->vertex->count)
        return fv_fail(FV_EFORMAT, "%s: vertex count 0: the scene is empty", r->name);
    FV_TRY(gs_scene_alloc(r->scene, (size_t)r->vertex->count, degree));
    FV_TRY(read_rows(r));
    /* Mip-Splatting renders what it trained with its filter with the compensated opacity */
    r->scene->mode = r->header.mode;
    if (r->filter && r->header.mode == GS_MODE_AUTO)
        r->scene->mode = GS_MODE_ANTIALIASED;
    memcpy(r->scene->up, r->header.up, sizeof r->scene->up);
    static const char *const encodings[] = {"binary", "big-endian", "ascii"};
    snprintf(r->scene->detail, sizeof r->scene->detail, "ply %s%s%s%s",
             encodings[r->header.encoding], r->flat ? ", 2D Gaussians" : "",
             r->rgb ? ", colours" : "", r->filter ? ", 3D filter" : "");
    return 0;
}

int gs_read_ply(struct gs_scene *out, const uint8_t *data, size_t size, const char *name,
                const struct gs_load_opts *opts)
{
    struct reader r = {.name = name, .data = data, .size = size, .scene = out, .opts = opts};
    *out = (struct gs_scene){0};
    FV_TRY(gs_ply_header_parse(&r.header, data, size, name));
    int rc = read_scene(&r);
    gs_ply_header_finish(&r.header);
    if (rc < 0)
        gs_scene_finish(out);
    return rc;
}

/* ---- writing ---------------------------------------------------------------------------- */

void gs_ply_write_comments(struct fv_writer *w, const struct gs_scene *s)
{
    /* both dialects: Brush's, which most viewers read, and Postshot's */
    if (s->mode != GS_MODE_AUTO)
        fprintf(w->file, "comment SplatRenderMode: %s\ncomment antialiased %d\n",
                s->mode == GS_MODE_ANTIALIASED ? "mip" : "default", s->mode == GS_MODE_ANTIALIASED);
    if (s->up[0] != 0 || s->up[1] != 0 || s->up[2] != 0)
        fprintf(w->file, "comment Vertical axis: %.9g %.9g %.9g\n", (double)s->up[0],
                (double)s->up[1], (double)s->up[2]);
}

static void write_header(struct fv_writer *w, const struct gs_scene *s, int rest)
{
    fprintf(w->file, "ply\nformat binary_little_endian 1.0\ncomment written by fovea\n");
    gs_ply_write_comments(w, s);
    fprintf(w->file, "element vertex %zu\n", s->count);
    for (const char *p = "xyz"; *p; p++)
        fprintf(w->file, "property float %c\n", *p);
    for (const char *p = "xyz"; *p; p++)
        fprintf(w->file, "property float n%c\n", *p);
    for (int i = 0; i < 3; i++)
        fprintf(w->file, "property float f_dc_%d\n", i);
    for (int i = 0; i < 3 * rest; i++)
        fprintf(w->file, "property float f_rest_%d\n", i);
    fprintf(w->file, "property float opacity\n");
    for (int i = 0; i < 3; i++)
        fprintf(w->file, "property float scale_%d\n", i);
    for (int i = 0; i < 4; i++)
        fprintf(w->file, "property float rot_%d\n", i);
    fprintf(w->file, "end_header\n");
}

/* One row of 17 + 3 rest floats. */
static float *fill_row(float *v, const struct gs_scene *s, size_t i, int rest)
{
    const float *sh = s->sh + i * 3 * (size_t)(rest + 1);
    memcpy(v, s->position + 3 * i, 3 * sizeof *v);
    v[3] = v[4] = v[5] = 0; /* normals, by tradition */
    memcpy(v + 6, sh, 3 * sizeof *v);
    v += 9;
    for (int c = 0; c < 3; c++)
        for (int k = 1; k <= rest; k++)
            *v++ = sh[3 * k + c];
    *v++ = s->opacity[i];
    memcpy(v, s->scale + 3 * i, 3 * sizeof *v);
    memcpy(v + 3, s->rotation + 4 * i, 4 * sizeof *v);
    return v + 7;
}

int gs_write_ply(const struct gs_scene *s, struct fv_writer *w, const struct gs_save_opts *opts)
{
    enum { BLOCK = 4096 };
    int rest = gs_sh_coefs(s->sh_degree) - 1;
    size_t width = 17 + 3 * (size_t)rest;
    float *rows = malloc(BLOCK * width * sizeof *rows);
    if (!rows)
        return fv_fail(FV_ENOMEM, "out of memory");
    write_header(w, s, rest);
    int rc = 0;
    for (size_t i = 0; i < s->count && rc == 0; i += BLOCK) {
        size_t n = s->count - i < BLOCK ? s->count - i : BLOCK;
        float *v = rows;
        for (size_t k = 0; k < n; k++)
            v = fill_row(v, s, i + k, rest);
        fv_write(w, rows, n * width * sizeof *rows);
        struct fv_progress p = {"writing", (double)(i + n), (double)s->count};
        if (opts && opts->on_progress && opts->on_progress(opts->ud, &p))
            rc = fv_fail(FV_ECANCELLED, "cancelled");
    }
    free(rows);
    return rc;
}

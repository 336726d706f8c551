/* COLMAP sparse models. Binary, little-endian:
 *
 *     cameras.bin  u64 n, n x {i32 id, i32 model, u64 width, u64 height, f64 params[]}
 *     images.bin   u64 n, n x {i32 id, f64 qw qx qy qz, f64 tx ty tz, i32 camera_id,
 *                              name NUL, u64 points, points x {f64 x, f64 y, i64 point3D}}
 *
 * Text: the same fields in a line, an image in two (the second, which may be empty, lists its
 * points); lines that start with # are comments. q and t are world->camera; the pixel (0,0) has
 * its centre at (0.5, 0.5), as here. Cameras come out sorted by image name. */
#include "gs/camera.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* By COLMAP's model number. */
static const struct {
    const char *name;
    int params;
} models[] = {
    {"SIMPLE_PINHOLE", 3},
    {"PINHOLE", 4},
    {"SIMPLE_RADIAL", 4},
    {"RADIAL", 5},
    {"OPENCV", 8},
    {"OPENCV_FISHEYE", 8},
    {"FULL_OPENCV", 12},
    {"FOV", 5},
    {"SIMPLE_RADIAL_FISHEYE", 4},
    {"RADIAL_FISHEYE", 5},
    {"THIN_PRISM_FISHEYE", 12},
};
enum { MODELS = sizeof models / sizeof *models, MAX_PARAMS = 12 };

struct lens {
    int32_t id;
    int model;
    uint64_t width, height;
    double params[MAX_PARAMS];
};

struct lenses {
    struct lens *items;
    size_t count;
};

static int add_lens(struct lenses *l, const struct lens *item)
{
    if (!(l->count & (l->count - 1))) {
        struct lens *items = reallocarray(l->items, l->count ? 2 * l->count : 1, sizeof *items);
        if (!items)
            return fv_fail(FV_ENOMEM, "out of memory for %zu cameras", l->count);
        l->items = items;
    }
    l->items[l->count++] = *item;
    return 0;
}

static int by_id(const void *pa, const void *pb)
{
    const struct lens *a = pa, *b = pb;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* An image's pose with the lens it names. */
static int add_image(struct gs_cameras *out, const struct lenses *lenses, const struct gs_colmap *m,
                     int32_t camera_id, const double q[4], const double t[3], const char *name)
{
    struct lens key = {.id = camera_id};
    const struct lens *lens =
        lenses->count ? bsearch(&key, lenses->items, lenses->count, sizeof *lenses->items, by_id)
                      : NULL;
    if (!lens)
        return fv_fail(FV_EFORMAT, "%s: image %.200s names camera %d, which %s does not have",
                       m->images_name, name, camera_id, m->cameras_name);
    if (lens->model > 1)
        return fv_fail(FV_EUNSUPPORTED,
                       "%s: camera %d has the model %s, which needs undistortion; run `colmap "
                       "image_undistorter` and use the sparse folder of its output",
                       m->cameras_name, camera_id, models[lens->model].name);
    if (!lens->width || !lens->height || lens->width > GS_CAMERA_MAX_SIZE ||
        lens->height > GS_CAMERA_MAX_SIZE)
        return fv_fail(FV_EFORMAT, "%s: camera %d: width or height is not in 1..65536",
                       m->cameras_name, camera_id);
    struct gs_camera *c = gs_cameras_push(out);
    double r[9];
    if (!c)
        return FV_ENOMEM;
    gs_camera_set_name(c, name);
    c->width = (uint32_t)lens->width;
    c->height = (uint32_t)lens->height;
    const double *p = lens->params;
    bool one_focal = lens->model == 0;
    c->fx = p[0];
    c->fy = one_focal ? p[0] : p[1];
    c->cx = one_focal ? p[1] : p[2];
    c->cy = one_focal ? p[2] : p[3];
    if (!gs_quaternion_matrix(q, r))
        return fv_fail(FV_EFORMAT, "%s: image %.200s: rotation is zero or not finite",
                       m->images_name, name);
    for (int i = 0; i < 3; i++) {
        memcpy(c->view + 4 * i, r + 3 * i, 3 * sizeof *r);
        c->view[4 * i + 3] = t[i];
    }
    c->view[15] = 1;
    return 0;
}

static int read_cameras_bin(struct lenses *out, const struct gs_colmap *m)
{
    struct fv_cursor c = fv_cursor_over(m->cameras, m->cameras_size);
    uint64_t count = fv_get_u64(&c);
    if (c.failed || count > fv_cursor_left(&c) / 24)
        return fv_fail(FV_EFORMAT, "%s: too short for the %llu cameras it counts", m->cameras_name,
                       (unsigned long long)count);
    for (uint64_t i = 0; i < count; i++) {
        struct lens l = {0};
        l.id = (int32_t)fv_get_u32(&c);
        l.model = (int32_t)fv_get_u32(&c);
        l.width = fv_get_u64(&c);
        l.height = fv_get_u64(&c);
        if (!c.failed && (l.model < 0 || l.model >= MODELS))
            return fv_fail(FV_EUNSUPPORTED, "%s: camera %d has the unknown model number %d",
                           m->cameras_name, l.id, l.model);
        for (int k = 0; !c.failed && k < models[l.model].params; k++)
            l.params[k] = fv_get_f64(&c);
        if (c.failed)
            return fv_fail(FV_EFORMAT, "%s: ends in camera %llu of %llu", m->cameras_name,
                           (unsigned long long)i, (unsigned long long)count);
        FV_TRY(add_lens(out, &l));
    }
    return 0;
}

static int read_images_bin(struct gs_cameras *out, const struct lenses *lenses,
                           const struct gs_colmap *m)
{
    struct fv_cursor c = fv_cursor_over(m->images, m->images_size);
    uint64_t count = fv_get_u64(&c);
    enum { LEAST = 4 + 7 * 8 + 4 + 1 + 8 };
    if (c.failed || count > fv_cursor_left(&c) / LEAST)
        return fv_fail(FV_EFORMAT, "%s: too short for the %llu images it counts", m->images_name,
                       (unsigned long long)count);
    for (uint64_t i = 0; i < count; i++) {
        double q[4], t[3];
        fv_get_u32(&c); /* image id */
        for (int k = 0; k < 4; k++)
            q[k] = fv_get_f64(&c);
        for (int k = 0; k < 3; k++)
            t[k] = fv_get_f64(&c);
        int32_t camera_id = (int32_t)fv_get_u32(&c);
        const char *name = (const char *)c.data + c.at;
        const char *end = c.failed ? NULL : memchr(name, 0, fv_cursor_left(&c));
        if (end)
            fv_get_bytes(&c, (size_t)(end - name) + 1);
        uint64_t points = fv_get_u64(&c);
        if (!end || c.failed || points > fv_cursor_left(&c) / 24)
            return fv_fail(FV_EFORMAT, "%s: ends in image %llu of %llu", m->images_name,
                           (unsigned long long)i, (unsigned long long)count);
        fv_get_bytes(&c, (size_t)points * 24);
        FV_TRY(add_image(out, lenses, m, camera_id, q, t, name));
    }
    return 0;
}

/* Lines of a text model, copied one at a time so that they end in NUL. */
struct lines {
    const char *at, *end;
    char *line; /* realloc'd */
    size_t number;
};

/* false at the end, or out of memory (then line is NULL). */
static bool next_line(struct lines *l)
{
    if (l->at >= l->end)
        return false;
    const char *stop = memchr(l->at, '\n', (size_t)(l->end - l->at));
    size_t n = (size_t)((stop ? stop : l->end) - l->at);
    char *line = realloc(l->line, n + 1);
    if (!line) {
        free(l->line);
        l->line = NULL;
        return false;
    }
    memcpy(line, l->at, n);
    while (n && strchr(" \t\r", line[n - 1]))
        n--;
    line[n] = 0;
    l->line = line;
    l->at = stop ? stop + 1 : l->end;
    l->number++;
    return true;
}

/* Reads numbers separated by blanks; the rest of the line in *at. */
static bool take_numbers(const char **at, double *out, int n)
{
    for (int i = 0; i < n; i++) {
        char *end;
        out[i] = strtod(*at, &end);
        if (end == *at)
            return false;
        *at = end;
    }
    return true;
}

static bool take_int(const char **at, int32_t *out)
{
    char *end;
    errno = 0;
    long long v = strtoll(*at, &end, 10);
    if (end == *at || errno || v < INT32_MIN || v > INT32_MAX)
        return false;
    *out = (int32_t)v;
    *at = end;
    return true;
}

static int read_camera_line(struct lenses *out, const char *line, const struct gs_colmap *m,
                            size_t number)
{
    struct lens l = {0};
    double size[2];
    if (!take_int(&line, &l.id))
        return fv_fail(FV_EFORMAT, "%s: line %zu: no camera id", m->cameras_name, number);
    line += strspn(line, " \t");
    size_t word = strcspn(line, " \t");
    while (l.model < MODELS &&
           (strlen(models[l.model].name) != word || memcmp(models[l.model].name, line, word)))
        l.model++;
    if (l.model == MODELS)
        return fv_fail(FV_EUNSUPPORTED, "%s: line %zu: camera %d has the unknown model \"%.32s\"",
                       m->cameras_name, number, l.id, line);
    line += word;
    if (!take_numbers(&line, size, 2) || !take_numbers(&line, l.params, models[l.model].params))
        return fv_fail(FV_EFORMAT, "%s: line %zu: expected width, height and %d parameters of %s",
                       m->cameras_name, number, models[l.model].params, models[l.model].name);
    for (int k = 0; k < 2; k++)
        if (!(size[k] >= 1) || size[k] > GS_CAMERA_MAX_SIZE)
            return fv_fail(FV_EFORMAT, "%s: camera %d: width or height is not in 1..65536",
                           m->cameras_name, l.id);
    l.width = (uint64_t)size[0];
    l.height = (uint64_t)size[1];
    return add_lens(out, &l);
}

static int read_cameras_txt(struct lenses *out, const struct gs_colmap *m)
{
    const char *text = m->cameras;
    struct lines l = {.at = text, .end = text + m->cameras_size};
    int rc = 0;
    while (rc >= 0 && next_line(&l))
        if (*l.line && *l.line != '#')
            rc = read_camera_line(out, l.line, m, l.number);
    if (rc >= 0 && l.number && !l.line)
        rc = fv_fail(FV_ENOMEM, "out of memory");
    free(l.line);
    return rc;
}

static int read_image_line(struct gs_cameras *out, const struct lenses *lenses,
                           const struct gs_colmap *m, const char *line, size_t number)
{
    int32_t id, camera_id;
    double v[7];
    if (!take_int(&line, &id) || !take_numbers(&line, v, 7) || !take_int(&line, &camera_id))
        return fv_fail(FV_EFORMAT,
                       "%s: line %zu: expected image id, 4 + 3 numbers of the pose, camera id and "
                       "name",
                       m->images_name, number);
    line += strspn(line, " \t");
    if (!*line)
        return fv_fail(FV_EFORMAT, "%s: line %zu: image %d has no name", m->images_name, number,
                       id);
    return add_image(out, lenses, m, camera_id, v, v + 4, line);
}

static int read_images_txt(struct gs_cameras *out, const struct lenses *lenses,
                           const struct gs_colmap *m)
{
    const char *text = m->images;
    struct lines l = {.at = text, .end = text + m->images_size};
    int rc = 0;
    while (rc >= 0 && next_line(&l)) {
        if (!*l.line || *l.line == '#')
            continue;
        rc = read_image_line(out, lenses, m, l.line, l.number);
        next_line(&l); /* its points, perhaps none */
    }
    if (rc >= 0 && l.number && !l.line)
        rc = fv_fail(FV_ENOMEM, "out of memory");
    free(l.line);
    return rc;
}

static int by_name(const void *pa, const void *pb)
{
    const struct gs_camera *a = pa, *b = pb;
    return strcmp(a->name, b->name);
}

int gs_cameras_parse_colmap(struct gs_cameras *out, const struct gs_colmap *m)
{
    struct lenses lenses = {0};
    out->format = GS_CAMERAS_COLMAP;
    int rc = m->binary ? read_cameras_bin(&lenses, m) : read_cameras_txt(&lenses, m);
    if (rc >= 0) {
        if (lenses.count)
            qsort(lenses.items, lenses.count, sizeof *lenses.items, by_id);
        rc = m->binary ? read_images_bin(out, &lenses, m) : read_images_txt(out, &lenses, m);
    }
    if (rc >= 0 && out->count)
        qsort(out->items, out->count, sizeof *out->items, by_name);
    free(lenses.items);
    return rc;
}

static bool has_pair(const char *dir, const char *cameras, const char *images)
{
    char *a = fv_path_join(dir, cameras), *b = fv_path_join(dir, images);
    bool found = a && b && fv_exists(a) && fv_exists(b);
    free(a);
    free(b);
    return found;
}

bool gs_is_colmap_dir(const char *dir)
{
    return has_pair(dir, "cameras.bin", "images.bin") || has_pair(dir, "cameras.txt", "images.txt");
}

int gs_cameras_open_colmap(struct gs_cameras *out, const char *dir)
{
    /* with half a model only, the message names the other half of the same kind */
    bool binary = has_pair(dir, "cameras.bin", "images.bin"),
         text = has_pair(dir, "cameras.txt", "images.txt"),
         half = has_pair(dir, "cameras.bin", "") || has_pair(dir, "images.bin", "");
    struct gs_colmap m = {.binary = binary || (!text && half)};
    struct fv_map cameras = {0}, images = {0};
    char *cameras_name = fv_path_join(dir, m.binary ? "cameras.bin" : "cameras.txt");
    char *images_name = fv_path_join(dir, m.binary ? "images.bin" : "images.txt");
    int rc = 0;
    if (!cameras_name || !images_name)
        FV_GOTO(fv_fail(FV_ENOMEM, "out of memory"));
    FV_GOTO(fv_map_open(&cameras, cameras_name));
    FV_GOTO(fv_map_open(&images, images_name));
    m.cameras = cameras.data;
    m.cameras_size = cameras.size;
    m.cameras_name = cameras_name;
    m.images = images.data;
    m.images_size = images.size;
    m.images_name = images_name;
    rc = gs_cameras_parse_colmap(out, &m);
done:
    fv_map_close(&cameras);
    fv_map_close(&images);
    free(cameras_name);
    free(images_name);
    return rc;
}

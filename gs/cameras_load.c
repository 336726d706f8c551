/* Camera files: which form it is, by content and folder layout, and what all readers share.
 *
 * A file: COLMAP by its name (cameras.bin ...), .npy by its first bytes, JSON by its keys
 * (an object with "keyframes" is a path, with "frames" transforms.json; a list of objects with
 * "viewmat" is the plain list, with "rotation" INRIA's), else lines of numbers.
 * A folder: a COLMAP model in it, in sparse/0 or in sparse; else transforms.json,
 * transforms_train.json, cameras.json, poses_bounds.npy, in this order. */
#include "gs/camera.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct gs_camera *gs_cameras_push(struct gs_cameras *c)
{
    if (!(c->count & (c->count - 1))) { /* room is the next power of two */
        size_t room = c->count ? 2 * c->count : 1;
        struct gs_camera *items = reallocarray(c->items, room, sizeof *items);
        if (!items) {
            fv_fail(FV_ENOMEM, "out of memory for %zu cameras", room);
            return NULL;
        }
        c->items = items;
    }
    struct gs_camera *item = &c->items[c->count++];
    *item = (struct gs_camera){0};
    return item;
}

void gs_cameras_finish(struct gs_cameras *c)
{
    free(c->items);
    *c = (struct gs_cameras){0};
}

void gs_camera_set_name(struct gs_camera *c, const char *name)
{
    snprintf(c->name, sizeof c->name, "%s", name);
}

void gs_camera_default_size(const struct gs_camera_hints *hints, struct gs_camera *c)
{
    bool given = hints->width && hints->height;
    c->width = given ? hints->width : GS_CAMERA_WIDTH;
    c->height = given ? hints->height : GS_CAMERA_HEIGHT;
}

bool gs_camera_infer_size(const struct gs_camera_hints *hints, double cx, double cy,
                          struct gs_camera *c)
{
    double w = round(2 * cx), h = round(2 * cy), most = GS_CAMERA_MAX_SIZE;
    if (w >= 1 && h >= 1 && w <= most && h <= most) {
        c->width = (uint32_t)w;
        c->height = (uint32_t)h;
        return true;
    }
    c->width = hints->width;
    c->height = hints->height;
    return c->width && c->height;
}

void gs_json_camera_size(struct fv_json *doc, struct fv_node object,
                         const struct gs_camera_hints *hints, struct gs_camera *c)
{
    if (fv_node_has(object, "width") || fv_node_has(object, "height")) {
        c->width = (uint32_t)fv_json_int(doc, object, "width", 1, GS_CAMERA_MAX_SIZE);
        c->height = (uint32_t)fv_json_int(doc, object, "height", 1, GS_CAMERA_MAX_SIZE);
    } else if (!gs_camera_infer_size(hints, fv_json_number_or(doc, object, "cx", 0),
                                     fv_json_number_or(doc, object, "cy", 0), c)) {
        fv_json_fail(doc, object,
                     "no width and height for its focal length in pixels; give the picture size "
                     "with --size WxH");
    }
}

void gs_json_camera_name(const struct gs_cameras *c, struct fv_json *doc, struct fv_node object,
                         const char *key)
{
    char index[32];
    snprintf(index, sizeof index, "%zu", c->count - 1);
    gs_camera_set_name(&c->items[c->count - 1], fv_json_string_or(doc, object, key, index));
}

int gs_json_each_camera(struct gs_cameras *out, struct fv_json *doc, struct fv_node array,
                        gs_read_camera_fn *read, const struct gs_camera_hints *hints)
{
    size_t count = fv_node_count(array);
    struct fv_node n = fv_node_at(array, 0);
    for (size_t i = 0; i < count; i++, n = fv_node_next(n, i))
        FV_TRY(read(out, doc, n, hints));
    return 0;
}

static int read_json(struct gs_cameras *out, struct fv_json *doc,
                     const struct gs_camera_hints *hints)
{
    struct fv_node root = doc->root, first = fv_node_at(root, 0);
    if (fv_node_is_object(root) && fv_node_has(root, "keyframes")) {
        out->format = GS_CAMERAS_PATH;
        return gs_cameras_read_path(out, doc, hints);
    }
    if (fv_node_is_object(root) && fv_node_has(root, "frames")) {
        out->format = GS_CAMERAS_TRANSFORMS;
        return gs_cameras_read_transforms(out, doc, hints);
    }
    if (fv_node_is_array(root) && fv_node_has(first, "viewmat")) {
        out->format = GS_CAMERAS_LIST;
        return gs_cameras_read_list(out, doc, hints);
    }
    if (fv_node_is_array(root) && fv_node_has(first, "rotation")) {
        out->format = GS_CAMERAS_INRIA;
        return gs_cameras_read_inria(out, doc, hints);
    }
    return fv_json_fail(doc, root,
                        "no cameras in this JSON: expected a list of objects with viewmat or "
                        "rotation, or an object with frames or keyframes");
}

static int check_all(const struct gs_cameras *c, const char *name)
{
    if (!c->count)
        return fv_fail(FV_EFORMAT, "%s: no cameras in it", name);
    for (size_t i = 0; i < c->count; i++) {
        const char *problem = gs_camera_problem(&c->items[i]);
        if (problem)
            return fv_fail(FV_EFORMAT, "%s: camera %zu (%s): %s", name, i, c->items[i].name,
                           problem);
    }
    return 0;
}

static int parse(struct gs_cameras *out, const void *data, size_t size, const char *name,
                 const struct gs_camera_hints *hints)
{
    const char *text = data;
    if (size >= 6 && !memcmp(text, "\x93NUMPY", 6))
        return gs_cameras_parse_llff(out, data, size, name, hints);
    size_t at = size >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0;
    while (at < size && strchr(" \t\r\n", text[at]) && text[at])
        at++;
    if (at == size)
        return fv_fail(FV_EFORMAT, "%s: empty file", name);
    if (text[at] != '{' && text[at] != '[')
        return gs_cameras_parse_lines(out, text, size, name, hints);
    struct fv_json doc;
    FV_TRY(fv_json_parse(&doc, text, size, name));
    int rc = read_json(out, &doc, hints);
    if (rc >= 0 && doc.failed)
        rc = FV_EFORMAT; /* the text is in fv_error */
    fv_json_close(&doc);
    return rc;
}

/* What a reader returned, once its cameras have been checked; frees them on failure. */
static int checked(struct gs_cameras *out, int rc, const char *name)
{
    if (rc >= 0)
        rc = check_all(out, name);
    if (rc < 0)
        gs_cameras_finish(out);
    return rc;
}

int gs_cameras_parse(struct gs_cameras *out, const void *data, size_t size, const char *name,
                     const struct gs_camera_hints *hints)
{
    *out = (struct gs_cameras){0};
    return checked(out, parse(out, data, size, name, hints), name);
}

static int load_file(struct gs_cameras *out, const char *path, const struct gs_cameras_opts *o)
{
    struct fv_map map;
    FV_TRY(fv_map_open(&map, path));
    char *dir = fv_path_dir(path);
    struct gs_camera_hints hints = {.dir = dir, .width = o->width, .height = o->height};
    int rc = dir ? gs_cameras_parse(out, map.data, map.size, path, &hints)
                 : fv_fail(FV_ENOMEM, "out of memory");
    free(dir);
    fv_map_close(&map);
    return rc;
}

static int load_colmap(struct gs_cameras *out, const char *dir)
{
    return checked(out, gs_cameras_open_colmap(out, dir), dir);
}

static int load_dir(struct gs_cameras *out, const char *path, const struct gs_cameras_opts *o)
{
    static const char *const models[] = {"", "sparse/0", "sparse"};
    static const char *const files[] = {"transforms.json", "transforms_train.json", "cameras.json",
                                        "poses_bounds.npy"};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char *dir = fv_path_join(path, models[i]);
        if (!dir)
            return fv_fail(FV_ENOMEM, "out of memory");
        bool found = gs_is_colmap_dir(dir);
        int rc = found ? load_colmap(out, dir) : 0;
        free(dir);
        if (found)
            return rc;
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *file = fv_path_join(path, files[i]);
        if (!file)
            return fv_fail(FV_ENOMEM, "out of memory");
        bool found = fv_exists(file);
        int rc = found ? load_file(out, file, o) : 0;
        free(file);
        if (found)
            return rc;
    }
    return fv_fail(FV_EFORMAT,
                   "%s: no cameras in this folder; expected a COLMAP model (cameras and images, "
                   ".bin or .txt, here or in sparse/0), transforms.json, cameras.json or "
                   "poses_bounds.npy",
                   path);
}

static bool is_colmap_file(const char *path)
{
    static const char *const names[] = {"cameras.bin", "images.bin", "cameras.txt", "images.txt"};
    const char *base = fv_path_base(path);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(base, names[i]))
            return true;
    return false;
}

int gs_cameras_load(struct gs_cameras *out, const char *path, const struct gs_cameras_opts *opts)
{
    const struct gs_cameras_opts none = {0}, *o = opts ? opts : &none;
    *out = (struct gs_cameras){0};
    if (fv_is_dir(path))
        return load_dir(out, path, o);
    if (!is_colmap_file(path) || !fv_exists(path))
        return load_file(out, path, o);
    char *dir = fv_path_dir(path);
    int rc = dir ? load_colmap(out, dir) : fv_fail(FV_ENOMEM, "out of memory");
    free(dir);
    return rc;
}

/* The part of a name that image folders and extensions do not change: "train/r_0.png" -> "r_0". */
static size_t stem(const char *name, const char **start)
{
    *start = fv_path_base(name);
    const char *dot = strrchr(*start, '.');
    return dot && dot > *start ? (size_t)(dot - *start) : strlen(*start);
}

int gs_cameras_find(const struct gs_cameras *c, const char *name_or_index)
{
    const char *want, *have;
    for (size_t i = 0; i < c->count; i++)
        if (!strcmp(c->items[i].name, name_or_index))
            return (int)i;
    char *end;
    errno = 0;
    long index = strtol(name_or_index, &end, 10);
    if (end > name_or_index && !*end && !errno && index >= 0 && (size_t)index < c->count)
        return (int)index;
    size_t length = stem(name_or_index, &want);
    for (size_t i = 0; i < c->count; i++)
        if (stem(c->items[i].name, &have) == length && !memcmp(want, have, length))
            return (int)i;
    if (!c->count)
        return fv_fail(FV_EINVALID, "no camera \"%s\": there are none", name_or_index);
    return fv_fail(FV_EINVALID, "no camera \"%s\": there are %zu, 0 (%s) to %zu (%s)",
                   name_or_index, c->count, c->items[0].name, c->count - 1,
                   c->items[c->count - 1].name);
}

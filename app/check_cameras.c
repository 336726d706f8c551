/* check --arch cameras: camera readers against matrices of the reference readers (check.h).
 *
 * A directory with expected.json and a COLMAP model (cameras_sorted_by_name; its binary and its
 * text form are read apart), transforms_NAME.json (an array NAME of cameras for each), or
 * poses_bounds.npy (cameras, at the picture size image_wh). A directory of such directories is
 * checked one by one. Expected cameras are INRIA's: world_view_transform is transposed, the
 * principal point is not looked at. */
#include "app/check.h"
#include "gs/gs.h"
#include "vk/base/file.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Matrices there are float32 of double arithmetic. */
static const struct check_bounds bounds = {.absolute = 2e-6, .relative = 1e-5};

struct want {
    const char *name; /* "" = not given */
    double size[2], fov[2], view[16], centre[3], range[2];
    bool has_centre, has_range;
};

static void read_want(struct want *w, struct fv_json *doc, struct fv_node n)
{
    double transposed[16];
    *w = (struct want){.name = fv_json_string_or(doc, n, "image_name", "")};
    w->size[0] = fv_json_number(doc, n, "width");
    w->size[1] = fv_json_number(doc, n, "height");
    w->fov[0] = fv_json_number(doc, n, "FovX");
    w->fov[1] = fv_json_number(doc, n, "FovY");
    fv_json_numbers(doc, fv_json_array(doc, n, "world_view_transform"), transposed, 16);
    for (int i = 0; i < 16; i++)
        w->view[i] = transposed[i % 4 * 4 + i / 4];
    w->has_centre = fv_node_has(n, "camera_center");
    if (w->has_centre)
        fv_json_numbers(doc, fv_json_array(doc, n, "camera_center"), w->centre, 3);
    w->has_range = fv_node_has(n, "znear");
    w->range[0] = fv_json_number_or(doc, n, "znear", 0);
    w->range[1] = fv_json_number_or(doc, n, "zfar", 0);
}

/* File name without folder and suffix: how the expected names are written. */
static bool same_stem(const char *ours, const char *want)
{
    const char *base = fv_path_base(ours), *dot = strrchr(base, '.');
    size_t n = dot && dot > base ? (size_t)(dot - base) : strlen(base);
    return (strlen(want) == n && !strncmp(base, want, n)) || !strcmp(base, want);
}

static void row(struct check *c, const char *quantity, const double *got, const double *want,
                size_t n, size_t width)
{
    struct check_error e;
    check_measure(&e, got, want, NULL, n, &bounds);
    e.width = width;
    check_row(c, quantity, &e);
}

/* All cameras of a list in one row a quantity: the index tells which is off. */
struct columns {
    double *got, *want;
};

static int compare_cameras(struct check *c, const struct gs_cameras *ours, struct fv_json *doc,
                           struct fv_node list)
{
    size_t n = fv_node_count(list);
    check_fact(c, "count", ours->count == n, "%zu cameras, expected %zu", ours->count, n);
    if (ours->count != n || !n)
        return 0;
    enum { SIZE, FOV, VIEW, CENTRE, RANGE, KINDS };
    static const size_t width[KINDS] = {2, 2, 16, 3, 2};
    struct columns col[KINDS] = {{0}};
    bool names = true, centre = true, range = true;
    int rc = 0;
    for (int k = 0; k < KINDS; k++) {
        col[k].got = calloc(n * width[k], sizeof(double));
        col[k].want = calloc(n * width[k], sizeof(double));
        if (!col[k].got || !col[k].want)
            rc = fv_fail(FV_ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < n && rc >= 0; i++) {
        struct want w;
        const struct gs_camera *o = &ours->items[i];
        read_want(&w, doc, fv_node_at(list, i));
        const double size[2] = {o->width, o->height};
        const double fov[2] = {2 * atan(o->width / (2 * o->fx)), 2 * atan(o->height / (2 * o->fy))};
        const double near_far[2] = {o->near, o->far};
        double at[3];
        gs_camera_centre(o, at);
        const double *got[KINDS] = {size, fov, o->view, at, near_far};
        const double *want[KINDS] = {w.size, w.fov, w.view, w.centre, w.range};
        for (int k = 0; k < KINDS; k++) {
            memcpy(col[k].got + i * width[k], got[k], width[k] * sizeof(double));
            memcpy(col[k].want + i * width[k], want[k], width[k] * sizeof(double));
        }
        names = names && (!*w.name || same_stem(o->name, w.name));
        centre = centre && w.has_centre;
        range = range && w.has_range;
    }
    if (rc >= 0 && !doc->failed) {
        check_fact(c, "names", names, names ? "as expected, in this order" : "differ");
        row(c, "size", col[SIZE].got, col[SIZE].want, 2 * n, 2);
        row(c, "field of view", col[FOV].got, col[FOV].want, 2 * n, 2);
        row(c, "world to camera", col[VIEW].got, col[VIEW].want, 16 * n, 16);
        if (centre)
            row(c, "camera centre", col[CENTRE].got, col[CENTRE].want, 3 * n, 3);
        if (range)
            row(c, "near, far", col[RANGE].got, col[RANGE].want, 2 * n, 2);
    }
    for (int k = 0; k < KINDS; k++) {
        free(col[k].got);
        free(col[k].want);
    }
    return rc < 0 ? rc : doc->failed ? FV_EFORMAT : 0;
}

/* Loads path, brings it to a picture size if there is one, compares. Failures are rows. */
static void compare_file(struct check *c, const char *path, struct fv_json *doc,
                         struct fv_node list, const double *size)
{
    struct gs_cameras cameras;
    int rc = gs_cameras_load(&cameras, path, NULL);
    if (rc >= 0) {
        for (size_t i = 0; size && i < cameras.count; i++)
            gs_camera_resize(&cameras.items[i], (uint32_t)size[0], (uint32_t)size[1]);
        rc = compare_cameras(c, &cameras, doc, list);
        gs_cameras_finish(&cameras);
    }
    if (rc < 0)
        check_failure(c, "error");
}

/* ---- the three kinds -------------------------------------------------------------------- */

/* One form of the model, alone in a temporary folder of links: a folder with both is read in
 * its binary form. */
static void check_colmap_form(struct check *c, const char *model, const char *suffix,
                              struct fv_json *doc, struct fv_node list)
{
    static const char *const names[] = {"cameras", "images", "points3D"};
    const char *tmp = getenv("TMPDIR");
    char folder[256], from[1024], to[512], *real = realpath(model, NULL);
    snprintf(from, sizeof from, "%s/cameras.%s", model, suffix);
    if (!real || !fv_exists(from)) {
        free(real);
        return;
    }
    snprintf(folder, sizeof folder, "%s/fovea-check-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    check_group(c, "COLMAP, .%s", suffix);
    if (!mkdtemp(folder)) {
        check_fact(c, "error", false, "%s: a temporary folder cannot be made", folder);
        free(real);
        return;
    }
    for (int i = 0; i < 3; i++) {
        snprintf(from, sizeof from, "%.800s/%s.%s", real, names[i], suffix);
        snprintf(to, sizeof to, "%s/%s.%s", folder, names[i], suffix);
        if (symlink(from, to) < 0)
            check_fact(c, "error", false, "%s: cannot be linked", to);
    }
    compare_file(c, folder, doc, list, NULL);
    for (int i = 0; i < 3; i++) {
        snprintf(to, sizeof to, "%s/%s.%s", folder, names[i], suffix);
        unlink(to);
    }
    rmdir(folder);
    free(real);
}

static void check_colmap(struct check *c, const char *dir, struct fv_json *doc)
{
    struct fv_node list = fv_json_array(doc, doc->root, "cameras_sorted_by_name");
    char model[600];
    snprintf(model, sizeof model, "%.500s/sparse/0", dir);
    if (!fv_is_dir(model))
        snprintf(model, sizeof model, "%.500s", dir);
    check_group(c, "COLMAP folder");
    compare_file(c, dir, doc, list, NULL);
    check_colmap_form(c, model, "bin", doc, list);
    check_colmap_form(c, model, "txt", doc, list);
}

/* transforms_NAME.json for every array of cameras NAME. */
static void check_transforms(struct check *c, const char *dir, struct fv_json *doc)
{
    char path[1024];
    for (const cJSON *e = doc->root.item->child; e; e = e->next) {
        struct fv_node list = fv_node_get(doc->root, e->string);
        snprintf(path, sizeof path, "%s/transforms_%s.json", dir, e->string);
        if (!fv_node_is_array(list) || !fv_exists(path))
            continue;
        check_group(c, "%s", fv_path_base(path));
        compare_file(c, path, doc, list, NULL);
    }
}

static void check_poses(struct check *c, const char *dir, struct fv_json *doc)
{
    char path[1024];
    double size[2] = {0};
    fv_json_numbers(doc, fv_json_array(doc, doc->root, "image_wh"), size, 2);
    struct fv_node list = fv_json_array(doc, doc->root, "cameras");
    snprintf(path, sizeof path, "%s/poses_bounds.npy", dir);
    check_group(c, "poses_bounds.npy");
    if (doc->failed || size[0] < 1 || size[1] < 1 || size[0] > 65535 || size[1] > 65535)
        check_fact(c, "expected.json", false, "image_wh or cameras are missing");
    else
        compare_file(c, path, doc, list, size);
    for (const cJSON *e = doc->root.item->child; e; e = e->next)
        if (!strncmp(e->string, "spiral", 6))
            check_skip(c, e->string, "a viewer's path, not a reader's output");
}

static int check_one(struct check *c, const char *dir)
{
    char path[1024];
    struct fv_json doc;
    snprintf(path, sizeof path, "%s/expected.json", dir);
    FV_TRY(fv_json_open(&doc, path));
    snprintf(path, sizeof path, "%s/poses_bounds.npy", dir);
    if (fv_node_has(doc.root, "cameras_sorted_by_name"))
        check_colmap(c, dir, &doc);
    else if (fv_exists(path))
        check_poses(c, dir, &doc);
    else
        check_transforms(c, dir, &doc);
    if (doc.failed)
        check_failure(c, "expected.json");
    fv_json_close(&doc);
    return 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

int check_cameras(struct check *c, const char *dir)
{
    char path[1024];
    struct dirent **entries = NULL;
    snprintf(path, sizeof path, "%s/expected.json", dir);
    if (fv_exists(path))
        return check_one(c, dir);
    int n = scandir(dir, &entries, NULL, by_name), rc = 0;
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%s/expected.json", dir, entries[i]->d_name);
        if (rc >= 0 && entries[i]->d_name[0] != '.' && fv_exists(path)) {
            *strrchr(path, '/') = 0;
            check_place(c, path);
            rc = check_one(c, path);
        }
        free(entries[i]);
    }
    free(entries);
    return rc;
}

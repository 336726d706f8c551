/* The plain lists: JSON [{name, width, height, fx, fy, cx, cy, viewmat[4][4], bg, near, far}],
 * read and written, and lines of 13 numbers as OpenSplat's test renders use them:
 *
 *     eye x y z   R (9, row-major, world->camera)   horizontal field of view in radians
 */
#include "gs/camera.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_NUMBERS = 13 };

static int read_camera(struct gs_cameras *out, struct fv_json *doc, struct fv_node n,
                       const struct gs_camera_hints *hints)
{
    struct gs_camera *c = gs_cameras_push(out);
    if (!c)
        return FV_ENOMEM;
    gs_json_camera_name(out, doc, n, "name");
    gs_json_camera_size(doc, n, hints, c);
    c->fx = fv_json_number(doc, n, "fx");
    c->fy = fv_json_number_or(doc, n, "fy", c->fx);
    c->cx = fv_json_number_or(doc, n, "cx", c->width / 2.0);
    c->cy = fv_json_number_or(doc, n, "cy", c->height / 2.0);
    c->near = fv_json_number_or(doc, n, "near", 0);
    c->far = fv_json_number_or(doc, n, "far", 0);
    fv_json_numbers(doc, fv_node_get(n, "viewmat"), c->view, 16);
    if (fv_node_has(n, "bg")) {
        double bg[3];
        fv_json_numbers(doc, fv_node_get(n, "bg"), bg, 3);
        c->has_bg = true;
        for (int k = 0; k < 3; k++)
            c->bg[k] = (float)bg[k];
    }
    return doc->failed ? FV_EFORMAT : 0;
}

int gs_cameras_read_list(struct gs_cameras *out, struct fv_json *doc,
                         const struct gs_camera_hints *hints)
{
    return gs_json_each_camera(out, doc, doc->root, read_camera, hints);
}

int gs_camera_of_json(struct gs_camera *out, const struct cJSON *object)
{
    struct fv_json doc = {.name = "camera", .root = {.item = (struct cJSON *)(uintptr_t)object}};
    struct gs_cameras one = {0};
    const struct gs_camera_hints hints = {0};
    int rc = fv_node_is_object(doc.root) ? read_camera(&one, &doc, doc.root, &hints)
                                         : fv_fail(FV_EFORMAT, "a camera is an object");
    if (rc >= 0)
        *out = one.items[0];
    gs_cameras_finish(&one);
    return rc;
}

/* Up to room numbers of one line, any blanks or commas between; -1 when there is other text. */
static int line_numbers(const char *line, double *out, int room)
{
    int n = 0;
    for (;;) {
        line += strspn(line, " \t\r,");
        if (!*line)
            return n;
        char *end;
        double v = strtod(line, &end);
        if (end == line || n == room)
            return -1;
        out[n++] = v;
        line = end;
    }
}

static int read_line(struct gs_cameras *out, const double v[LINE_NUMBERS],
                     const struct gs_camera_hints *hints)
{
    struct gs_camera *c = gs_cameras_push(out);
    if (!c)
        return FV_ENOMEM;
    snprintf(c->name, sizeof c->name, "%zu", out->count - 1);
    gs_camera_default_size(hints, c);
    c->fx = c->fy = gs_focal_of_angle(v[12], c->width);
    c->cx = c->width / 2.0;
    c->cy = c->height / 2.0;
    for (int r = 0; r < 3; r++) {
        const double *row = v + 3 + 3 * r;
        memcpy(c->view + 4 * r, row, 3 * sizeof *row);
        c->view[4 * r + 3] = -(row[0] * v[0] + row[1] * v[1] + row[2] * v[2]);
    }
    c->view[15] = 1;
    return 0;
}

int gs_cameras_parse_lines(struct gs_cameras *out, const char *text, size_t size, const char *name,
                           const struct gs_camera_hints *hints)
{
    char line[1024];
    size_t at = 0, number = 0;
    out->format = GS_CAMERAS_LIST;
    while (at < size) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t length = end ? (size_t)(end - (text + at)) : size - at;
        number++;
        double v[LINE_NUMBERS];
        int n = -1;
        if (length < sizeof line && !memchr(text + at, 0, length)) {
            memcpy(line, text + at, length);
            line[length] = 0;
            line[strcspn(line, "#")] = 0;
            n = line_numbers(line, v, LINE_NUMBERS);
        }
        at += length + 1;
        if (!n)
            continue;
        if (n != LINE_NUMBERS && !out->count)
            return fv_fail(FV_EFORMAT,
                           "%s: not a camera file: neither JSON, COLMAP nor .npy, and line %zu is "
                           "not 13 numbers (eye, rotation, field of view)",
                           name, number);
        if (n != LINE_NUMBERS)
            return fv_fail(FV_EFORMAT, "%s: line %zu is not 13 numbers", name, number);
        if (!(v[12] > 0) || !(v[12] < 3.14))
            return fv_fail(FV_EFORMAT, "%s: line %zu: field of view is not in 0..pi radians", name,
                           number);
        FV_TRY(read_line(out, v, hints));
    }
    return 0;
}

cJSON *gs_camera_json(const struct gs_camera *c)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "name", c->name);
    cJSON_AddNumberToObject(o, "width", c->width);
    cJSON_AddNumberToObject(o, "height", c->height);
    cJSON_AddNumberToObject(o, "fx", c->fx);
    cJSON_AddNumberToObject(o, "fy", c->fy);
    cJSON_AddNumberToObject(o, "cx", c->cx);
    cJSON_AddNumberToObject(o, "cy", c->cy);
    cJSON *rows = cJSON_AddArrayToObject(o, "viewmat");
    for (int r = 0; r < 4; r++)
        cJSON_AddItemToArray(rows, cJSON_CreateDoubleArray(c->view + 4 * r, 4));
    if (c->has_bg)
        cJSON_AddItemToObject(o, "bg", cJSON_CreateFloatArray(c->bg, 3));
    if (c->near > 0)
        cJSON_AddNumberToObject(o, "near", c->near);
    if (c->far > 0)
        cJSON_AddNumberToObject(o, "far", c->far);
    return o;
}

int gs_json_write(cJSON *root, const char *path)
{
    struct fv_writer w;
    char *text = root ? cJSON_Print(root) : NULL;
    cJSON_Delete(root);
    if (!text)
        return fv_fail(FV_ENOMEM, "out of memory");
    int rc = fv_writer_open(&w, path);
    if (rc >= 0) {
        fv_write(&w, text, strlen(text));
        fv_write(&w, "\n", 1);
        rc = fv_writer_commit(&w);
    }
    cJSON_free(text);
    return rc;
}

int gs_cameras_save_list(const struct gs_cameras *c, const char *path)
{
    cJSON *root = cJSON_CreateArray();
    for (size_t i = 0; root && i < c->count; i++) {
        cJSON *o = gs_camera_json(&c->items[i]);
        if (!o || !cJSON_AddItemToArray(root, o)) {
            cJSON_Delete(root);
            return fv_fail(FV_ENOMEM, "out of memory");
        }
    }
    return gs_json_write(root, path);
}

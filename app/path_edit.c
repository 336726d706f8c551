/* See path_edit.h. */
#include "app/path_edit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double same_time = 1e-3, usual_step = 2;

static int check_time(double time)
{
    if (time >= 0 && isfinite(time))
        return 0;
    return fv_fail(FV_EINVALID, "a key's time must be a number of seconds from 0");
}

/* First key not before time. */
static size_t place_of(const struct gs_cameras *path, double time)
{
    size_t i = 0;
    while (i < path->count && path->items[i].time < time)
        i++;
    return i;
}

int path_add(struct gs_cameras *path, const struct gs_camera *key, double time)
{
    FV_TRY(check_time(time));
    for (size_t i = 0; i < path->count; i++)
        if (fabs(path->items[i].time - time) < same_time) {
            double kept = path->items[i].time;
            path->items[i] = *key;
            path->items[i].time = kept;
            return (int)i;
        }
    struct gs_camera *items = realloc(path->items, (path->count + 1) * sizeof *items);
    if (!items)
        return fv_fail(FV_ENOMEM, "out of memory for a camera path of %zu keys", path->count + 1);
    path->items = items;
    size_t at = place_of(path, time);
    memmove(items + at + 1, items + at, (path->count - at) * sizeof *items);
    items[at] = *key;
    items[at].time = time;
    path->count++;
    return (int)at;
}

void path_remove(struct gs_cameras *path, size_t i)
{
    memmove(path->items + i, path->items + i + 1, (path->count - i - 1) * sizeof *path->items);
    path->count--;
}

int path_retime(struct gs_cameras *path, size_t i, double time)
{
    FV_TRY(check_time(time));
    struct gs_camera key = path->items[i];
    path_remove(path, i);
    for (size_t k = 0; k < path->count; k++)
        if (fabs(path->items[k].time - time) < same_time)
            time = path->items[k].time + 2 * same_time;
    size_t at = place_of(path, time);
    memmove(path->items + at + 1, path->items + at, (path->count - at) * sizeof key);
    path->items[at] = key;
    path->items[at].time = time;
    path->count++;
    return (int)at;
}

void path_swap(struct gs_cameras *path, size_t i, size_t j)
{
    struct gs_camera a = path->items[i], b = path->items[j];
    double ta = a.time, tb = b.time;
    path->items[i] = b;
    path->items[i].time = ta;
    path->items[j] = a;
    path->items[j].time = tb;
}

double path_next_time(const struct gs_cameras *path)
{
    return path->count ? path->items[path->count - 1].time + usual_step : 0;
}

double path_end(const struct gs_cameras *path)
{
    return path->count ? path->items[0].time + gs_cameras_duration(path) : 0;
}

/* --- curves --- */

/* The angle nearest the one before that is the same. */
static double unwound(double angle, double before)
{
    return angle - 360 * round((angle - before) / 360);
}

int path_curves(const struct gs_cameras *path, double end, int count, float *out[PATH_CURVES])
{
    const double degrees = 180 / 3.14159265358979323846;
    double before[3] = {0};
    for (int i = 0; i < count; i++) {
        struct gs_camera c;
        double eye[3];
        FV_TRY(gs_cameras_eval(path, end * i / (count - 1), &c));
        const double *v = c.view;
        gs_camera_centre(&c, eye);
        for (int k = 0; k < 3; k++)
            out[PATH_X + k][i] = (float)eye[k];
        const double angles[3] = {atan2(v[8], v[10]) * degrees, asin(fmin(fmax(-v[9], -1), 1)) * degrees,
                                  atan2(v[1], v[5]) * degrees};
        for (int k = 0; k < 3; k++) {
            before[k] = i ? unwound(angles[k], before[k]) : angles[k];
            out[PATH_YAW + k][i] = (float)before[k];
        }
        out[PATH_FOV][i] = (float)(2 * atan(c.height / 2.0 / c.fy) * degrees);
    }
    return 0;
}

/* --- what was --- */

static int copy(struct gs_cameras *out, const struct gs_cameras *from)
{
    *out = *from;
    out->items = malloc((from->count ? from->count : 1) * sizeof *out->items);
    if (!out->items)
        return fv_fail(FV_ENOMEM, "out of memory for a camera path of %zu keys", from->count);
    if (from->count)
        memcpy(out->items, from->items, from->count * sizeof *out->items);
    return 0;
}

int path_keep(struct path_history *h, const struct gs_cameras *path)
{
    struct gs_cameras now;
    FV_TRY(copy(&now, path));
    for (; h->redos > 0; h->redos--)
        gs_cameras_finish(&h->kept[h->undos + h->redos - 1]);
    if (h->undos == PATH_EDITS) {
        gs_cameras_finish(&h->kept[0]);
        memmove(h->kept, h->kept + 1, (PATH_EDITS - 1) * sizeof now);
        h->undos--;
    }
    h->kept[h->undos++] = now;
    return 0;
}

/* The path and the one kept there change places. */
static void exchange(struct gs_cameras *kept, struct gs_cameras *path)
{
    struct gs_cameras was = *kept;
    *kept = *path;
    *path = was;
}

bool path_undo(struct path_history *h, struct gs_cameras *path)
{
    if (!h->undos)
        return false;
    exchange(&h->kept[--h->undos], path);
    h->redos++;
    return true;
}

bool path_redo(struct path_history *h, struct gs_cameras *path)
{
    if (!h->redos)
        return false;
    exchange(&h->kept[h->undos++], path);
    h->redos--;
    return true;
}

void path_forget(struct path_history *h)
{
    for (int i = 0; i < h->undos + h->redos; i++)
        gs_cameras_finish(&h->kept[i]);
    h->undos = h->redos = 0;
}

int path_from_cameras(struct gs_cameras *out, const struct gs_cameras *from)
{
    *out =
        (struct gs_cameras){.is_path = true, .loop = from->is_path && from->loop, .fps = from->fps};
    for (size_t i = 0; i < from->count; i++) {
        double time = from->is_path ? from->items[i].time : (double)i * usual_step;
        int rc = path_add(out, &from->items[i], time);
        if (rc < 0) {
            gs_cameras_finish(out);
            return rc;
        }
    }
    return 0;
}

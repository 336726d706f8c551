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

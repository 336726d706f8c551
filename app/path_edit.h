/* Editing a camera path in memory: keyframes in order of time (gs/gs.h, gs_cameras).
 *
 *     struct gs_cameras path = {.is_path = true};
 *     FV_TRY(path_add(&path, &camera, path_next_time(&path)));
 *     gs_cameras_eval(&path, t, &camera);
 *     gs_cameras_finish(&path);
 */
#ifndef APP_PATH_EDIT_H
#define APP_PATH_EDIT_H

#include "gs/gs.h"

/* Inserts a key; one at the same time (within a millisecond) is replaced. Returns its index,
 * FV_EINVALID for a negative or non-finite time, FV_ENOMEM. */
int path_add(struct gs_cameras *path, const struct gs_camera *key, double time);
void path_remove(struct gs_cameras *path, size_t i);
/* Moves key i to another time, not onto another key: then just after it. Returns its new index
 * or FV_EINVALID. */
int path_retime(struct gs_cameras *path, size_t i, double time);
/* Exchanges the views of two keys; the times stay in order. */
void path_swap(struct gs_cameras *path, size_t i, size_t j);
/* Two seconds after the last key; 0 when there is none. */
double path_next_time(const struct gs_cameras *path);
/* Time of the end: of the last key, or of a loop when it is back at the first. 0 when there is none. */
double path_end(const struct gs_cameras *path);

/* What an editor draws of a path. */
enum path_curve { PATH_X, PATH_Y, PATH_Z, PATH_YAW, PATH_PITCH, PATH_ROLL, PATH_FOV, PATH_CURVES };
/* Samples at even times from 0 to `end`, both included; at least 2. Places in world units; angles in degrees of the
 * way the camera looks, seen along the axes of the scene as trained (y down): to the right, up, and clockwise,
 * without jumps of a whole turn; vertical field of view. Returns 0 or FV_EINVALID (no keys). */
int path_curves(const struct gs_cameras *path, double end, int count, float *out[PATH_CURVES]);

/* Paths as they were before each edit, the last PATH_EDITS of them. Zeroed it holds none. */
enum { PATH_EDITS = 32 };
struct path_history {
    struct gs_cameras kept[PATH_EDITS];
    int undos, redos; /* before the path there is, after it; together at most PATH_EDITS */
};
/* Before an edit; what was undone is forgotten. FV_ENOMEM: it will not be undone. */
int path_keep(struct path_history *h, const struct gs_cameras *path);
/* The path becomes what it was before the last edit, or after the last one undone. False: there is none. */
bool path_undo(struct path_history *h, struct gs_cameras *path);
bool path_redo(struct path_history *h, struct gs_cameras *path);
void path_forget(struct path_history *h);

/* Makes a path of any cameras: plain lists get two seconds between their cameras. */
int path_from_cameras(struct gs_cameras *out, const struct gs_cameras *from);

#endif

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
/* Makes a path of any cameras: plain lists get two seconds between their cameras. */
int path_from_cameras(struct gs_cameras *out, const struct gs_cameras *from);

#endif

/* Frames of a stream to be drawn small, for its timeline: at most THUMBS_MOST starts of groups, evenly
 * spread, decoded one after the other beside everything else, by a reader of their own.
 *
 *     FV_TRY(thumbs_start(&t, dev, "talk.fvv", window_wake));
 *     if ((scene = thumbs_next(t, &frame))) ... draw it ...; thumbs_done(t);
 *     thumbs_stop(&t);
 */
#ifndef APP_THUMBS_H
#define APP_THUMBS_H

#include "gs/gs.h"

enum { THUMBS_MOST = 16 };

struct thumbs;

/* wake is called from the thread when there is a scene to draw. */
int thumbs_start(struct thumbs **out, struct vk_device *dev, const char *path, void (*wake)(void));
/* Nothing may be drawing its scene. Accepts NULL. */
void thumbs_stop(struct thumbs **t);
/* The scene to draw now, borrowed until thumbs_done; NULL while there is none. */
const struct gs_gpu_scene *thumbs_next(struct thumbs *t, uint32_t *frame);
void thumbs_done(struct thumbs *t);

#endif

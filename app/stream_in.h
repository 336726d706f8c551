/* A stream as a scene that moves: which of its frames is shown when, decoded and on the device.
 *
 *     if (stream_in_is(path)) {
 *         FV_TRY(stream_in_open(&in, path, &opts));
 *         FV_TRY(stream_in_start(&in, dev, exact));
 *         FV_TRY(stream_in_at(&in, seconds, &gpu));    // good for RENDER_IN_FLIGHT calls
 *     }
 *     stream_in_finish(&in);
 */
#ifndef STREAM_IN_H
#define STREAM_IN_H

#include "app/render_loop.h"
#include "app/scene_in.h"

/* A frame on the device; zeroed it holds none. */
struct stream_slot {
    struct gs_gpu_scene *gpu;
    uint32_t frame; /* that gpu holds */
};

struct stream_in {
    struct gs_stream *stream;
    const struct gs_stream_info *info;
    int sh; /* highest degree decoded; may change between frames */
    struct gs_scene scene;
    struct vk_device *dev;
    bool exact;
    struct stream_slot slot[RENDER_IN_FLIGHT]; /* of stream_in_at, used in turn */
    unsigned turn;
};

/* By its name. */
bool stream_in_is(const char *path);
int stream_in_open(struct stream_in *in, const char *path, const struct scene_opts *opts);
/* Decodes the first frame into in->scene; for bounds and the up axis. */
int stream_in_first(struct stream_in *in);
void stream_in_start(struct stream_in *in, struct vk_device *dev, bool exact);
/* Decodes a frame into a slot, in the place of what it holds where it fits there; nothing that draws
 * it may be in flight. On failure the slot holds what it held, or nothing. */
int stream_in_put(struct stream_in *in, struct stream_slot *slot, uint32_t frame);
/* The frame that is shown `seconds` into the stream, which starts again after its last one. */
int stream_in_at(struct stream_in *in, double seconds, const struct gs_gpu_scene **out);
void stream_in_finish(struct stream_in *in);

#endif

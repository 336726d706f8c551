/* Private to gs/stream_*.c: frames of a stream in the renderer's buffers.
 *
 * A device scene is told by when it was last brought up to date: of each Gaussian the group knows when
 * it changed (stream.h), so only these are written. CPU drivers' buffers are written by the host; for
 * others the integers are kept on the device too, where kernels move what is rigid, take over what
 * changed otherwise, and pack. Both make the same bits. */
#ifndef GS_STREAM_GPU_H
#define GS_STREAM_GPU_H

#include "gs/gpu.h"
#include "gs/stream.h"
#include "shaders/gs/stream_params.h"

/* What turns integers into floats. */
struct gs_stream_packing {
    float origin[3];
    float unit[GS_ATTRS];
};
void gs_packing_of(struct gs_stream_packing *out, const struct gs_stream_base *b);

/* A Gaussian as gpu_scene.c packs them; sh: stride vec4. */
void gs_stream_pack_geometry(uint32_t geo[8], const struct gs_stream_packing *p,
                             const struct gs_stream_state *s, size_t i);
void gs_stream_pack_colours(uint32_t sh[], uint32_t stride, const struct gs_stream_packing *p,
                            const struct gs_stream_state *s, size_t i);

/* Whether the host can write these buffers and should. */
bool gs_stream_host_packs(const struct gs_gpu_scene *to);
/* What changed after `since`, by the host; nothing that draws it may be in flight. */
int gs_stream_pack(struct gs_gpu_scene *to, const struct gs_stream_packing *p,
                   const struct gs_stream_group *g, uint32_t since);

/* The same by the device, in the order of its queue. */
struct gs_stream_gpu;
int gs_stream_gpu_create(struct gs_stream_gpu **out, struct vk_device *dev);
void gs_stream_gpu_destroy(struct gs_stream_gpu **d);
int gs_stream_gpu_pack(struct gs_stream_gpu *d, struct gs_gpu_scene *to,
                       const struct gs_stream_packing *p, const struct gs_stream_group *g,
                       uint32_t since);

/* Tests: who packs, whatever the device; by itself again. */
enum gs_stream_packer { GS_PACKER_ANY, GS_PACKER_HOST, GS_PACKER_DEVICE };
void gs_stream_set_packer(struct gs_stream *s, enum gs_stream_packer packer);

#endif

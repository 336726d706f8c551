/* Streams for commands (stream_in.h). */
#include "app/stream_in.h"
#include "vk/base/file.h"

#include <math.h>

bool stream_in_is(const char *path)
{
    return fv_ends_with(path, ".fvv");
}

int stream_in_open(struct stream_in *in, const char *path, const struct scene_opts *opts)
{
    *in = (struct stream_in){.sh = opts->sh >= 0 ? opts->sh : 3};
    FV_TRY(gs_stream_open(&in->stream, path));
    in->info = gs_stream_info(in->stream);
    return 0;
}

int stream_in_first(struct stream_in *in)
{
    return gs_stream_decode(in->stream, 0, in->sh, &in->scene);
}

void stream_in_start(struct stream_in *in, struct vk_device *dev, bool exact)
{
    in->dev = dev;
    in->exact = exact;
}

int stream_in_put(struct stream_in *in, struct stream_slot *slot, uint32_t frame)
{
    const struct gs_upload_opts opts = {.exact = in->exact, .in_order = true};
    FV_TRY(gs_stream_decode(in->stream, frame, in->sh, &in->scene));
    slot->frame = frame;
    if (slot->gpu && gs_gpu_scene_update(slot->gpu, &in->scene) == 0)
        return 0;
    gs_gpu_scene_destroy(&slot->gpu);
    return gs_gpu_scene_create(&slot->gpu, in->dev, &in->scene, &opts);
}

int stream_in_at(struct stream_in *in, double seconds, const struct gs_gpu_scene **out)
{
    /* a millionth later, so that k / fps is frame k */
    double at = floor(seconds * in->info->fps + 1e-6);
    uint32_t frame = (uint32_t)fmod(at > 0 ? at : 0, in->info->frame_count);
    struct stream_slot *last = &in->slot[(in->turn + RENDER_IN_FLIGHT - 1) % RENDER_IN_FLIGHT];
    if (!last->gpu || last->frame != frame) { /* else it is shown again */
        last = &in->slot[in->turn];
        FV_TRY(stream_in_put(in, last, frame));
        in->turn = (in->turn + 1) % RENDER_IN_FLIGHT;
    }
    *out = last->gpu;
    return 0;
}

void stream_in_finish(struct stream_in *in)
{
    for (int k = 0; k < RENDER_IN_FLIGHT; k++)
        gs_gpu_scene_destroy(&in->slot[k].gpu);
    gs_scene_finish(&in->scene);
    gs_stream_close(&in->stream);
}

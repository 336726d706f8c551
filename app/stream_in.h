/* A stream as a scene that moves, from a file or a web server: which of its frames is shown when,
 * decoded and on the device.
 *
 *     if (stream_in_is(path)) {
 *         FV_TRY(stream_in_open(&in, path, &opts));
 *         stream_in_start(&in, dev, exact);
 *         FV_TRY(stream_in_at(&in, seconds, &gpu));    // good for RENDER_IN_FLIGHT calls
 *     }
 *     stream_in_finish(&in);
 *
 * A player does not want to wait: it sets in.patience to a few hundredths of a second, takes FV_EAGAIN
 * of stream_in_put as "not there yet, ask again", calls stream_in_want with what it will show next,
 * stream_in_adapt before a group's first frame, stream_in_follow to learn of new frames of a stream
 * that is still written, and shows stream_in_stats. */
#ifndef STREAM_IN_H
#define STREAM_IN_H

#include "app/http_source.h"
#include "app/quality.h"
#include "app/render_loop.h"
#include "app/scene_in.h"
#include "neural/neural.h"

/* A frame on the device; zeroed it holds none. */
struct stream_slot {
    struct gs_gpu_scene *gpu;
    uint32_t frame; /* that gpu holds */
};

struct stream_in {
    struct scene_opts opts;
    char name[512]; /* for messages: without passwords */
    struct gs_stream *stream;
    const struct gs_stream_info *info;
    struct gs_source source; /* of the stream */
    struct http_source *http; /* of a URL, else NULL */
    double patience;          /* seconds that calls wait for bytes; default for ever, until Ctrl-C */
    bool adapts; /* stream_in_first chooses in->sh, too */
    int sh;      /* highest degree decoded; may change between frames */
    int sh_most; /* the most that is asked for */
    struct quality quality;
    struct nl_stream_view view; /* of frames that are models of anchors; may be set once it is open */
    struct gs_scene scene;
    uint32_t first; /* the frame it is of */
    struct vk_device *dev;
    bool exact;
    struct stream_slot slot[RENDER_IN_FLIGHT]; /* of stream_in_at, used in turn */
    unsigned turn;
    uint32_t held;    /* calls of stream_in_at that showed an earlier frame in place of a damaged one */
    uint32_t bad_from, bad_to; /* such frames, the last found, */
    char damage[512]; /* and why, the first time */
};

/* An on_wait over a struct progress. */
int stream_in_progress(void *ud, const struct fv_progress *now);
/* By its name: .fvv, or a URL. */
bool stream_in_is(const char *path);
/* Waits for the list of frames, or of a stream that is still written for the first frame. */
int stream_in_open(struct stream_in *in, const char *path, const struct scene_opts *opts);
/* Waits for the whole list: of one without an index for its end. */
int stream_in_whole(struct stream_in *in);
/* Decodes the first frame that is whole into in->scene; for bounds and the up axis. */
int stream_in_first(struct stream_in *in);
void stream_in_start(struct stream_in *in, struct vk_device *dev, bool exact);
/* gs_stream_decode with patience. FV_EAGAIN when it ran out, FV_ECANCELLED after Ctrl-C. */
int stream_in_decode(struct stream_in *in, uint32_t frame, struct gs_scene *scene);
/* Decodes a frame into a slot, in the place of what it holds where it fits there; nothing that draws
 * it may be in flight. On failure the slot holds what it held, or nothing. */
int stream_in_put(struct stream_in *in, struct stream_slot *slot, uint32_t frame);
/* The frame that is shown `seconds` into the stream, which starts again after its last one. A damaged
 * one shows the one before it: in->held counts, in->damage tells. */
int stream_in_at(struct stream_in *in, double seconds, const struct gs_gpu_scene **out);
/* Says which frames are wanted next, so that they are loaded. */
void stream_in_want(struct stream_in *in, uint32_t frame, uint32_t count, bool loop);
/* Chooses in->sh by what the network brings, for a frame that enters a group. True: it changed. */
bool stream_in_adapt(struct stream_in *in, uint32_t frame);
/* Bytes a second that playing from a frame on takes at each degree, by the frames of the next seconds; without the
 * base that must come first. */
void stream_in_rates(const struct stream_in *in, uint32_t frame, double rate[4]);
/* Looks for new frames of a stream that has no index yet, without waiting: 1 there are some, 0 it has
 * ended, FV_EAGAIN, FV_EIO. */
int stream_in_follow(struct stream_in *in);
/* The file has changed on the server: opens it anew, from the device's side as it was. */
int stream_in_reopen(struct stream_in *in);
bool stream_in_changed(struct stream_in *in);
/* False of a file. From any thread. */
bool stream_in_stats(struct stream_in *in, struct http_stats *out);
void stream_in_finish(struct stream_in *in);

#endif

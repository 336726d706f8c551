/* Clips for video models: frames of a video, picture or folder as planes of -1 .. 1 in a size the
 * model takes, and back to a file.
 *
 *     struct clip_in in;
 *     FV_TRY(clip_in_open(&in, "a.mp4", 8, 0));            // sizes filled up to multiples of 8
 *     int n = clip_in_read(&in, first, count, planes);     // [count][3][in.height][in.width]
 */
#ifndef CLIP_H
#define CLIP_H

#include "app/frames_in.h"
#include "app/output.h"
#include "app/sink.h"

struct clip_in {
    const char *path;
    struct frames_in frames;
    uint32_t source_width, source_height; /* of the file */
    uint32_t width, height;               /* filled up at the right and bottom */
    uint32_t fps_num, fps_den;            /* 0/1 when the source has no rate */
    uint32_t length; /* frames as the container says, at most `most`; 0 = unknown */
    uint32_t most, at;
};

/* multiple: of the sizes; most: frames to read at most, 0 = all. */
int clip_in_open(struct clip_in *c, const char *path, uint32_t multiple, uint32_t most);
/* Frames from `first` on: in order, or from 0 again. Returns how many, or a code. */
int clip_in_read(struct clip_in *c, uint32_t first, uint32_t count, float *planes);
void clip_in_finish(struct clip_in *c);

struct clip_out_opts {
    const char *path;
    enum output_format format;
    uint32_t width, height; /* of the file; the planes may be larger, the rest is cut off */
    uint32_t fps_num, fps_den;
    enum video_codec codec;
    int crf;
    const char *title, *comment;
};
struct clip_out {
    struct output output;
    struct sink *sink;
    struct clip_out_opts opts;
    enum gs_output kind;
    void *frame;
    float *rgb; /* [height][width][3] of the last frame, 0 .. 1 */
    size_t count;
};
/* path NULL: frames are only converted (rgb). */
int clip_out_open(struct clip_out *c, const struct clip_out_opts *o);
/* One frame [3][height][width], clamped. */
int clip_out_write(struct clip_out *c, const float *planes, uint32_t height, uint32_t width);
/* See sink_finish; stats may be NULL. */
int clip_out_finish(struct clip_out *c, bool complete, struct sink_stats *stats);

/* RGB 0 .. 1, [height][width][3] -> 8-bit planes of BT.709, limited range: 4:2:0 with chroma of the
 * mean of each 2x2 (even sizes), or 4:4:4. */
void clip_rgb_to_yuv(uint8_t *out, const float *rgb, uint32_t width, uint32_t height, bool half);

#endif

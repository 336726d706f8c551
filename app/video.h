/* Video files by libav: an encoder with muxer (video_out.c) and a decoder (video_in.c).
 *
 *     struct video_out *v;
 *     FV_TRY(video_out_open(&v, &(struct video_opts){.path = "a.mp4", .width = 640,
 *                           .height = 360, .format = GS_OUT_YUV420P, .fps_num = 30,
 *                           .fps_den = 1, .crf = -1}));
 *     for (...) rc = video_out_write(v, planes, size);
 *     rc = video_out_finish(&v, true, &kept);
 *
 * The file is written beside the target and takes its name when complete. Colours are BT.709,
 * limited range, and tagged so.
 */
#ifndef VIDEO_H
#define VIDEO_H

#include "gs/gs.h"

enum video_codec { VIDEO_AUTO, VIDEO_H264, VIDEO_HEVC, VIDEO_AV1, VIDEO_VP9 };
extern const char *const video_codec_names[]; /* "auto", "h264" ..., NULL */

struct video_opts {
    const char *path;       /* .mp4 .mkv .webm .mov; the suffix chooses the container; "-" =
                                standard output, MP4 in fragments */
    const char *container;  /* ".mkv" in place of the path's suffix; NULL = that */
    enum video_codec codec; /* AUTO: VP9 in .webm, else H.264 */
    uint32_t width, height; /* even when 4:2:0 */
    uint32_t fps_num, fps_den;
    enum gs_output format;       /* of the frames: GS_OUT_YUV420P, _YUV444P or _YUV420P10 */
    int crf;                     /* constant quality, 0 best; -1 = the codec's usual */
    uint64_t bitrate;            /* bits a second instead of a quality; 0 = by quality */
    const char *preset;          /* the encoder's own word or number for speed; NULL = usual */
    const char *title, *comment; /* container metadata; NULL = none */
};

struct video_out;

/* True for the suffixes above. */
bool video_is_container(const char *path);
/* dir/NAME.partial.EXT for dir/NAME.EXT; caller frees. */
char *video_partial_name(const char *path);
/* Bytes of one frame in one of the YUV formats (or RGBA8). */
size_t video_frame_size(enum gs_output format, uint32_t width, uint32_t height);

/* Opens encoder and file; nothing with the target's name is touched.
 * Returns 0, FV_EUNSUPPORTED (codec not in this libav, or not for this container), FV_EINVALID,
 * FV_EIO, FV_ENOMEM. */
int video_out_open(struct video_out **out, const struct video_opts *opts);
/* Encodes one frame: planes one after the other, no padding; copied. After a failure (disk
 * full, encoder error) call video_out_finish(complete = false). */
int video_out_write(struct video_out *v, const void *planes, size_t size);
/* Ends the file so that it plays, and frees v.
 *
 * complete  all frames were written: the target is replaced. Otherwise what there is takes the
 *           target's name only if that is free, else NAME.partial.EXT.
 * kept      name of the file that is there now, for the caller to free; NULL when nothing was
 *           kept (no frame, or it could not be ended).
 * Returns 0 or the failure of ending the file. */
int video_out_finish(struct video_out **v, bool complete, char **kept);
/* Frames given and bytes written so far. */
uint64_t video_out_frames(const struct video_out *v);
uint64_t video_out_bytes(const struct video_out *v);
/* "libx264": the encoder in use; borrowed. */
const char *video_out_encoder(const struct video_out *v);

/* ---- reading ---- */

struct video_info {
    char codec[32], pixel_format[32], container[64];
    uint32_t width, height;
    uint32_t fps_num, fps_den;
    double seconds;  /* 0 = unknown */
    uint64_t frames; /* as the container says; 0 = unknown */
    char primaries[24], transfer[24], matrix[24], range[16]; /* "bt709", "tv" ... */
    char *title, *comment; /* NULL when absent; freed by video_in_close */
};

struct video_in;

int video_in_open(struct video_in **out, const char *path);
const struct video_info *video_in_info(const struct video_in *v);
/* The next frame as RGB in 0..1, [height][width][3], through the matrix and range the file is
 * tagged with. Returns 1, 0 at the end, or FV_EFORMAT, FV_EIO. */
int video_in_read(struct video_in *v, float *rgb);
void video_in_close(struct video_in **v);

/* Sends libav's messages to the log instead of standard error; called by both opens. */
void video_quiet_libav(void);
/* The last error line libav wrote, "" if none; for messages. Copied into out. */
void video_last_libav_error(char *out, size_t size);

#endif

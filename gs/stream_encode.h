/* Private to gs/stream_encode*.c: the writer of .fvv files. stream_encode.c decides what frames are and
 * which steps bases have; stream_encode_frame.c makes the sections of the others. */
#ifndef GS_STREAM_ENCODE_H
#define GS_STREAM_ENCODE_H

#include "gs/scene.h"
#include "gs/stream_file.h"
#include "gs/stream_queen.h"

enum { GS_ENCODE_SIZES = 64, GS_ENCODE_SAMPLES = 96 };

struct gs_encoder {
    const struct gs_stream_opts *o;
    struct gs_stream_report *report;
    gs_frames_fn *load;
    void *load_ud;
    uint32_t frame_count, group_frames, clusters;
    struct gs_tuner *tuner;
    struct gs_bounds bounds; /* of the widest frame looked at */
    bool has_bounds, has_header;
    struct vk_device *dev;
    struct gs_stream_out out;

    struct gs_scene scene; /* the frame at hand */
    struct gs_scene last;  /* that before it, while they are compared */
    struct gs_stream_base base;
    struct gs_stream_group group;
    bool queen; /* the model: in place of the group */
    struct gs_queen_track fitted;
    uint8_t *level;              /* [2][fitted.scene.count]: levels, those of rotations */
    struct gs_stream_pose *pose; /* of the base */
    struct gs_track track;
    /* positions [count][3] of the base's rows in its frame and in some of those that it may serve; steps
     * of a basis of them, in sixteenths of residuals' (0: none) */
    float *sample[GS_ENCODE_SAMPLES + 1];
    uint32_t samples;
    uint8_t fine;
    float size_level[GS_ENCODE_SIZES]; /* mean level of the base's Gaussians of a size */
    double psnr_sum;
    double aim; /* dB asked of bases, for frames that build on them to reach o->psnr */
    double slope; /* of bytes by steps, both in logarithms */
    struct {      /* the last base */
        uint32_t frame;
        uint64_t begin; /* in the file */
        double bytes;
    } since;
};

/* Frames that may follow each other without a base, looked at before they are encoded. */
struct gs_encode_group {
    uint32_t frames;
    uint32_t **to;       /* [frames]: rows of the frame before; NULL: the same */
    int32_t **positions; /* [frames]: of the base's Gaussians that are in the first, in units */
};

/* ---- stream_encode.c ---- */

/* Reads a frame: the scene at hand. */
int gs_encode_load(struct gs_encoder *e, uint32_t frame);
/* FV_ECANCELLED. */
int gs_encode_tell(struct gs_encoder *e, const char *what, uint32_t frame);

/* ---- stream_encode_frame.c ---- */

/* Rows of the last scene in the one at hand; NULL: the same. The caller's to free. */
int gs_encode_match(struct gs_encoder *e, uint32_t **to);
/* Births get the level that those of their size have in the base: of the scene at hand. */
void gs_encode_learn_levels(struct gs_encoder *e);
/* The frames [begin, end), or fewer: SH of another degree need a base. The scene at hand is the
 * frame before them. To be dropped also when it fails. */
int gs_encode_look(struct gs_encoder *e, struct gs_encode_group *g, uint32_t begin, uint32_t end);
void gs_encode_drop_group(struct gs_encode_group *g);
/* The sections of frame k of a group, the scene at hand; *base: it should better be one. */
int gs_encode_sections(struct gs_encoder *e, const struct gs_encode_group *g, uint32_t k,
                       struct gs_section sections[GS_SECTIONS], bool *base);

#endif

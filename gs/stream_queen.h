/* Private to gs/stream_*.c: the QUEEN model in streams (docs/STREAM.md, "Streams of the QUEEN
 * model").
 *
 * The state is a scene of float32 values. A frame is a gs_queen_frame, applied by gs_queen_apply:
 * sums and products in a fixed order that nothing fuses, so every machine carries on the same bits
 * (of decoders without sigmoid and tanh, which are the C library's). Writer and reader each keep a
 * track; what is written is read by the same code.
 *
 *     gs_queen_track_create(&t, &scene, NULL);      // takes the scene
 *     gs_queen_track_write(&t, &frame, 10000, s);   // the track is at the frame
 *     gs_queen_track_begin(&t);                     // back to the base
 *     gs_queen_track_read(&t, s); */
#ifndef GS_STREAM_QUEEN_H
#define GS_STREAM_QUEEN_H

#include "gs/queen_private.h"
#include "gs/stream.h"

/* Integers of an attribute that frames hold, and what their coding learns; by what it is known from
 * frame to frame. */
enum {
    GS_QUEEN_SLICE = 16, /* integers that are coded as symbols of one row */
    GS_QUEEN_SLICES = GS_QUEEN_MAX_LATENTS / GS_QUEEN_SLICE,
};
struct gs_queen_part {
    uint32_t width; /* integers a Gaussian has; 0: none in the frame before */
    struct gs_symbol_models *models[GS_QUEEN_SLICES];
    struct gs_active active[GS_QUEEN_SLICES]; /* which rows have any */
    int32_t *symbol;                 /* [count][width] as coded */
    int32_t *latent;                 /* [count][width] the integers */
    struct gs_queen_decoder decoder; /* the last one; its floats are in: */
    float *floats;
};
enum { GS_QUEEN_POSITION = GS_QUEEN_ATTRIBUTES, GS_QUEEN_PARTS };

struct gs_queen_track {
    struct gs_scene base, scene; /* as the base holds it; of the frame coded last */
    uint32_t (*base_near)[GS_NEAR], (*near)[GS_NEAR]; /* earlier rows that are like a row */
    struct gs_queen_part part[GS_QUEEN_PARTS];
};
/* Takes the scene, also when it fails, and near (of the base's rows; NULL: the rows before). */
int gs_queen_track_create(struct gs_queen_track *t, struct gs_scene *base,
                          uint32_t (*near)[GS_NEAR]);
void gs_queen_track_finish(struct gs_queen_track *t);
/* To the base, for the first frame of a group. */
int gs_queen_track_begin(struct gs_queen_track *t);
/* Codes a frame that follows the one coded last, and applies it. Moves are integers over `per`
 * (QUEEN's own: over 10000); those that are not are coded as floats, as is all that does not fit
 * integers of a stream. FV_EINVALID: the frame does not fit the scene. */
int gs_queen_track_write(struct gs_queen_track *t, const struct gs_queen_frame *f, float per,
                         struct gs_section out[GS_SECTIONS]);
/* FV_EFORMAT; the track then is of no frame until it begins anew. */
int gs_queen_track_read(struct gs_queen_track *t, const struct gs_section in[GS_SECTIONS]);

/* Bases, of floats or of the direct model's integers. */
int gs_queen_write_floats(const struct gs_scene *s, struct gs_section out[GS_SECTIONS]);
int gs_queen_read_floats(struct gs_scene *s, const struct gs_section in[GS_SECTIONS]);
/* The track of a base of integers: as gs_stream_to_scene, but logits are the same bits on every
 * machine. */
int gs_queen_track_of(struct gs_queen_track *t, const struct gs_stream_base *b);

/* What a frame is to come near to. */
struct gs_queen_target {
    const struct gs_scene *scene; /* in the stream's order, axes named as in its base */
    const uint32_t *parent;       /* [scene->count] rows of the frame before; NULL: the same */
    const struct gs_stream_base *base;       /* its steps */
    const uint8_t *level, *turn_level;       /* [scene->count] */
    uint32_t latents; /* a Gaussian may have of an attribute; 0: as many as are of use */
    bool dft;         /* decoders of fixed directions, scaled */
};
/* Fits a frame to it, codes and applies it. stream_queen_fit.c */
int gs_queen_fit(struct gs_queen_track *t, const struct gs_queen_target *target,
                 struct gs_section out[GS_SECTIONS]);

/* Section of a part; its floats in a scene. */
int gs_queen_section(int part);
float *gs_queen_scene_part(const struct gs_scene *s, int part, size_t *stride, uint32_t *width);
/* Rows before: the two last ones, which the order of the stream puts near. */
void gs_queen_near_before(uint32_t (*near)[GS_NEAR], uint32_t count);
/* A copy of a scene; out is zeroed or was one. */
int gs_queen_copy_scene(struct gs_scene *out, const struct gs_scene *s);
/* The same into a scene of its count and at most its degree. */
void gs_queen_fill_scene(struct gs_scene *out, const struct gs_scene *s);

#endif

/* Private to gs/stream_key.c and gs/stream_key_read.c: parts of base keys. */
#ifndef GS_STREAM_KEY_H
#define GS_STREAM_KEY_H

#include "gs/stream.h"

/* One attribute of a key. */
struct gs_plane {
    const struct gs_stream_base *b;
    enum gs_attr a;
    size_t comps;  /* coded ones; those of a rotation follow its w */
    size_t stride; /* of the state */
    int32_t *mean; /* [comps] */
    struct gs_symbol_models *models;
    int32_t gain;
    int32_t *q;    /* symbols of a Gaussian each q_stride; reading, where `rec` is */
    size_t q_stride;
    int32_t *rec;  /* of the state, at the first coded one */
};

/* q: NULL, or [count][comps] of its own. */
struct gs_plane gs_plane_of(const struct gs_stream_base *b, enum gs_attr a, struct gs_key_models *m,
                            int32_t *q);
/* Gain and means, of models that know nothing; symbols follow. */
void gs_code_plane_head(struct gs_coder *c, struct gs_plane *p);
struct gs_symbols gs_plane_symbols(const struct gs_plane *p);
/* Symbols to state, of Gaussians [begin, end), in order from the first on. With a target (its first
 * coded component), symbols are found on the way. */
void gs_plane_values(const struct gs_plane *p, const int32_t *target, uint32_t begin, uint32_t end);

/* Of Gaussians [begin, end), in order from the first on: levels; places of Morton codes. */
int gs_code_levels(struct gs_coder *c, struct gs_stream_base *b,
                   struct gs_bit (*models)[GS_NUMBER_MODELS], uint32_t begin, uint32_t end);
void gs_key_place(struct gs_stream_base *b, const uint64_t *code, uint32_t begin, uint32_t end);

#endif

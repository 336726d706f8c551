/* Private to neural/. */
#ifndef NEURAL_PRIVATE_H
#define NEURAL_PRIVATE_H

#include "neural/neural.h"

#define NL_FORMAT "fovea.neural"
/* Zeroed room in the model's arena; NULL (and a text) when there is none. */
void *nl_room(struct fv_arena *a, size_t count, size_t size);
/* Gives midpoints their place, scaling and turn, in arrays with room for them: half way between. */
void nl_place_midpoints(struct nl_model *m);
/* Everything that must hold of a model: sizes that fit, values that are finite. name: for messages. */
int nl_check(const struct nl_model *m, const char *name);
/* Inputs of a network besides the view's: of the feature (what is encoded). */
uint32_t nl_encoded_width(const struct nl_model *m);
/* First entry of each level of the hash grid, in entries; the last is their number. */
void nl_hash_offsets(uint32_t out[NL_HASH_LEVELS + 1]);
/* What the networks see of an anchor: direction, distance. */
void nl_view_of(double out[NL_VIEW], const float *position, const double eye[3]);
/* Of each level: the hash grid's scale, resolution, first entry, entries. */
struct nl_level {
    float scale;
    uint32_t resolution, first, entries;
};
void nl_hash_level(int level, struct nl_level *out);
/* Rows of neighbours that nobody has found yet: NL_NO_NEIGHBOUR. */
int nl_graph_room(const struct nl_model *m, struct fv_arena *a, uint32_t **out);
/* Finds the neighbours of rows that have none yet. */
int nl_graph_rest(const struct nl_model *m, uint32_t *out);
/* Greatest of each number of the features; out [feature]. */
void nl_greatest(const struct nl_model *m, const struct nl_encoded *e, uint32_t count, float *out);
/* SAGS-Lite: rows of midpoints, of those they lie between. */
void nl_between(const struct nl_model *m, struct nl_encoded *e);
/* Runs a network; in [layer[0].in]. */
void nl_run(const struct nl_mlp *n, const double *in, double *out);

#endif

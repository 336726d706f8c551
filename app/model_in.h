/* Models of text to video in folders: where their parts are, and what is usual for them.
 *
 *     struct model_in m;
 *     FV_TRY(model_in_find(&m, &(struct model_paths){.model = "models/demo"}));
 *     ... df_dit_open(&dit, dev, m.dit, ...) ...
 *     model_in_finish(&m);
 *
 * docs/GENERATE.md has the names that are looked for. */
#ifndef MODEL_IN_H
#define MODEL_IN_H

#include "diffusion/diffusion.h"

/* What the user gave; NULL: not. */
struct model_paths {
    const char *model; /* a folder of all parts; NULL with none of the others: the bundled one */
    const char *dit, *text, *tokenizer, *vae;
};

/* --leap and "leap" of files: the model's own, then those of enum df_leap_by. */
enum leap_choice { LEAP_MODEL, LEAP_NEVER, LEAP_FIXED, LEAP_ROWS, LEAP_WHOLE, LEAP_COUNT };
extern const char *const leap_choices[LEAP_COUNT + 1];

/* generate.json of the model's folder; without it what Open-Sora 1.2 was published with. */
struct model_usual {
    char name[64];
    uint32_t steps, width, height, frames;
    double guidance, fps;
    bool clean;     /* captions are cleaned as Open-Sora's were in training */
    bool transform; /* times move towards noise with size and length */
    struct df_scores scores;
    struct df_leap leap;
    uint32_t merge_steps;
};

struct model_in {
    char *model; /* the folder; NULL when all parts were named one by one */
    char *dit, *text, *tokenizer, *vae;
    struct model_usual usual;
    char camera[64]; /* of usual.scores */
};

/* Returns 0, FV_EIO (no such folder; a part is missing: the text says which and what would name it),
 * FV_EFORMAT (generate.json), FV_ENOMEM. */
int model_in_find(struct model_in *m, const struct model_paths *p);
void model_in_finish(struct model_in *m);
/* 64 bits of the model's files as text: name-independent, of every byte of files up to 64 MB and of
 * their sizes, first and last and 62 places between of larger ones. */
int model_in_hash(const struct model_in *m, char out[17]);
/* And of n more weight files. */
int model_in_hash_with(const struct model_in *m, const char *const *more, size_t n, char out[17]);
/* The same of one file, stirred into a number. */
int model_in_stir(uint64_t *h, const char *path);
/* Whether a folder looks like one of a whole model. */
bool model_in_is(const char *path);

#endif

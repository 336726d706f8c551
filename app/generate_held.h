/* A model of `fovea generate` with all that clips share: its parts, low-rank changes, the hash of its files, states
 * of captions. Jobs of a batch hand it on.
 *
 *     struct generate_held *h;
 *     FV_TRY(generate_hold(&h, app->keep, &paths, lora, &opts));
 *     ... h->g, h->model.usual ...
 *     FV_TRY(generate_held_texts(h, captions, count, texts));       // encodes what was not yet
 *     generate_release(&h, app->keep, rc >= 0);
 */
#ifndef GENERATE_HELD_H
#define GENERATE_HELD_H

#include "app/generator.h"
#include "app/keep.h"

enum { MOST_LORAS = 8 };

struct generate_held {
    struct model_in model;
    struct generator *g;
    char hash[17]; /* "" until it is asked for */
    struct nn_lora *lora[MOST_LORAS];
    char *lora_path[MOST_LORAS];
    size_t lora_count;
    uint64_t key;
    double speed; /* generate_measure's; 0: not measured */
    char **captions; /* encoded ones, with their states */
    struct generator_text *texts;
    size_t count, room, text_room;
};

/* lora: "a.safetensors:0.8;b.safetensors", NULL: none. o is without them. Returns what model_in_find, nn_lora_open
 * and generator_open do. */
int generate_hold(struct generate_held **out, struct keep *keep, const struct model_paths *paths, const char *lora,
                  const struct generator_opts *o);
/* good: the next job of a batch may have it. Accepts a NULL in *h. */
void generate_release(struct generate_held **h, struct keep *keep, bool good);
/* Fills h->hash. */
int generate_held_hash(struct generate_held *h);
/* Whether its states are there. */
bool generate_held_knows(const struct generate_held *h, const char *caption);
/* States of captions in order: borrowed until the next call. Each different one is encoded once. */
int generate_held_texts(struct generate_held *h, const char *const *captions, size_t count,
                        struct generator_text *out);

#endif

/* What a worker of `fovea batch` keeps open between jobs: a model, a scene. Commands take what an earlier job left
 * and give it back; alone, without a batch, they open and close.
 *
 *     struct held *h = keep_take(app->keep, KEEP_GENERATOR, key);
 *     if (!h) ... open ...
 *     ...
 *     keep_give(app->keep, KEEP_GENERATOR, key, h, close_held);    // closed at once when keep is NULL
 */
#ifndef KEEP_H
#define KEEP_H

#include "app/batch_jobs.h"

struct keep;

enum keep_kind { KEEP_GENERATOR, KEEP_SCENE, KEEP_KINDS };

struct keep *keep_create(const struct batch_jobs *jobs);
void keep_destroy(struct keep **k);
/* Closes all there is. Accepts NULL. */
void keep_clear(struct keep *k);
/* Job `number` is next: what another model's jobs left is closed. */
void keep_for(struct keep *k, size_t number);

/* The caller's then; NULL if there is none with this key. */
void *keep_take(struct keep *k, enum keep_kind kind, uint64_t key);
void keep_give(struct keep *k, enum keep_kind kind, uint64_t key, void *thing, void (*close)(void *));
/* Jobs of the same model that come after the present one, as far as is known: *at begins with 0. NULL: no more. */
const struct batch_job *keep_coming(const struct keep *k, size_t *at);

#endif

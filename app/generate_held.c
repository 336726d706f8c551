/* See generate_held.h. */
#include "app/generate_held.h"
#include "app/cmd.h"
#include "vk/base/array.h"
#include "vk/base/hash.h"
#include "vk/nn/lora.h"

#include <stdlib.h>
#include <string.h>

/* Of host memory: states that are kept for later jobs. */
static const size_t most_bytes = (size_t)512 << 20;

/* A number behind the last colon is a scale. */
static int open_loras(struct generate_held *h, const char *list)
{
    for (const char *at = list; at && *at; at += *at == ';') {
        size_t n = strcspn(at, ";");
        if (h->lora_count == MOST_LORAS)
            return fv_fail(CMD_USAGE, "--lora: more than %d files", MOST_LORAS);
        char *path = h->lora_path[h->lora_count] = strndup(at, n), *colon = path ? strrchr(path, ':') : NULL, *end;
        if (!path)
            return fv_fail(FV_ENOMEM, "out of memory");
        float scale = colon && colon[1] ? strtof(colon + 1, &end) : 1;
        if (colon && colon[1] && !*end)
            *colon = 0;
        else
            scale = 1;
        FV_TRY(nn_lora_open(&h->lora[h->lora_count++], path, scale));
        at += n;
    }
    return 0;
}

static void drop_texts(struct generate_held *h)
{
    for (size_t i = 0; i < h->count; i++) {
        free(h->captions[i]);
        generator_text_finish(&h->texts[i]);
    }
    h->count = 0;
}

static void close_held(void *thing)
{
    struct generate_held *h = thing;
    drop_texts(h);
    free(h->captions);
    free(h->texts);
    generator_close(&h->g);
    for (size_t i = 0; i < MOST_LORAS; i++) {
        nn_lora_close(&h->lora[i]);
        free(h->lora_path[i]);
    }
    model_in_finish(&h->model);
    free(h);
}

static uint64_t key_of(const struct model_paths *p, const char *lora, const struct generator_opts *o)
{
    const char *texts[] = {p->model, p->dit, p->text, p->tokenizer, p->vae, lora};
    const int numbers[] = {(int)o->dtype, o->int8};
    uint64_t h = fv_hash(FV_HASH_BEGIN, numbers, sizeof numbers);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        h = fv_hash(h, texts[i] ? texts[i] : "", texts[i] ? strlen(texts[i]) + 1 : 1);
    return h;
}

int generate_hold(struct generate_held **out, struct keep *keep, const struct model_paths *paths, const char *lora,
                  const struct generator_opts *o)
{
    uint64_t key = key_of(paths, lora, o);
    struct generate_held *h = *out = keep_take(keep, KEEP_GENERATOR, key);
    struct generator_opts all = *o;
    if (h) {
        all.lora = h->lora;
        all.lora_count = h->lora_count;
        generator_renew(h->g, &all);
        return 0;
    }
    h = *out = calloc(1, sizeof *h);
    if (!h)
        return fv_fail(FV_ENOMEM, "out of memory");
    h->key = key;
    FV_TRY(model_in_find(&h->model, paths));
    FV_TRY(open_loras(h, lora));
    all.lora = h->lora;
    all.lora_count = h->lora_count;
    return generator_open(&h->g, &h->model, &all);
}

void generate_release(struct generate_held **h, struct keep *keep, bool good)
{
    if (*h && good)
        keep_give(keep, KEEP_GENERATOR, (*h)->key, *h, close_held);
    else if (*h)
        close_held(*h);
    *h = NULL;
}

int generate_held_hash(struct generate_held *h)
{
    return *h->hash ? 0 : model_in_hash_with(&h->model, (const char *const *)h->lora_path, h->lora_count, h->hash);
}

/* ---- captions ---------------------------------------------------------------------------- */

static size_t find(const struct generate_held *h, const char *caption)
{
    size_t i = 0;
    while (i < h->count && strcmp(h->captions[i], caption))
        i++;
    return i;
}

bool generate_held_knows(const struct generate_held *h, const char *caption)
{
    return find(h, caption) < h->count;
}

static int make_room(struct generate_held *h, size_t more)
{
    const struct df_dit_info *d = generator_dit(h->g);
    size_t each = (size_t)d->text_tokens * d->text_width * sizeof(float);
    if (h->count && (h->count + more) * each > most_bytes)
        drop_texts(h);
    for (size_t n = 0; n <= more; n++) {
        FV_TRY(fv_grow(&h->captions, &h->room, h->count + n, sizeof *h->captions));
        FV_TRY(fv_grow(&h->texts, &h->text_room, h->count + n, sizeof *h->texts));
    }
    return 0;
}

int generate_held_texts(struct generate_held *h, const char *const *captions, size_t count,
                        struct generator_text *out)
{
    FV_TRY(make_room(h, count));
    size_t first = h->count, n = first;
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        size_t k = 0;
        while (k < n && strcmp(h->captions[k], captions[i]))
            k++;
        if (k < n)
            continue;
        h->captions[n] = strdup(captions[i]);
        rc = h->captions[n] ? 0 : fv_fail(FV_ENOMEM, "out of memory");
        n += rc == 0;
    }
    memset(h->texts + first, 0, (n - first) * sizeof *h->texts);
    if (rc == 0 && n > first)
        rc = generator_encode(h->g, (const char *const *)h->captions + first, n - first, h->texts + first);
    h->count = n;
    if (rc < 0) { /* what was not reached is nothing to keep */
        while (h->count > first) {
            free(h->captions[--h->count]);
            generator_text_finish(&h->texts[h->count]);
        }
        return rc;
    }
    for (size_t i = 0; i < count; i++)
        out[i] = h->texts[find(h, captions[i])];
    return 0;
}

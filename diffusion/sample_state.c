/* Samplings written down between two steps, and taken up again (diffusion.h): a head with the
 * settings in words, the place, then arrays. Numbers are the machine's own, so that what goes on is
 * the same to the bit. */
#include "diffusion/sample.h"
#include "diffusion/private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION = 1, SETTINGS = 1024 };

struct head {
    char magic[8];
    uint32_t version, head_bytes;
    uint64_t bytes; /* of all */
    char settings[SETTINGS];
    struct df_place at;
};

static const char magic[8] = {'D', 'F', 'S', 'A', 'M', 'P', 'L', 'E'};

/* What must be the same for a sampling to go on; the rest (captions, given frames) is the caller's.
 */
static void describe(const struct df_sampler *k, char out[SETTINGS])
{
    const struct df_sampling *s = &k->s;
    const struct df_schedule *t = &s->schedule;
    char size[256], way[256];
    snprintf(size, sizeof size,
             "%u clips of %u latents of %ux%u, %u channels, %gx%g pixels at %g frames/s",
             s->size.batch, s->size.frames, s->size.width, s->size.height,
             df_dit_info(k->d)->channels, (double)s->size.pixel_width, (double)s->size.pixel_height,
             (double)s->size.fps);
    snprintf(way, sizeof way,
             "way %d of %u steps from %.9g to %.9g moved by %.9g%s%s of %gx%g, %u frames",
             (int)s->method, t->steps, (double)t->start, (double)t->least, (double)t->shift,
             t->transform ? " moved" : "", t->whole ? " rounded" : "", (double)t->pixel_width,
             (double)t->pixel_height, t->frames);
    snprintf(
        out, SETTINGS,
        "%s; %s; guidance %.9g%s, renorm %.9g%s; %u steps merged; leap %d from %u, %.9g, %u; cache "
        "%.9g in %s; %s frames",
        size, way, (double)s->guidance, s->joint ? " jointly" : "", (double)s->renorm,
        s->replace ? ", replaced" : "", s->merge_steps, (int)s->leap.by, s->leap.from,
        (double)s->leap.gain, s->leap.patience, (double)s->cache.threshold,
        nn_dtype_name(df_dit_info(k->d)->dtype), s->frame_mask ? "some" : "all");
    size_t at = strlen(out);
    for (int i = 0; i < DF_POWERS && s->cache.polynomial; i++)
        at += (size_t)snprintf(out + at, SETTINGS - at, "%s%.17g", i ? ", " : "; cache by ",
                               s->cache.polynomial[i]);
}

/* The arrays of a state, in order. */
struct part {
    void *data;
    size_t bytes;
};
enum { PARTS = 4 };

static void parts_of(const struct df_sampler *k, struct part out[PARTS])
{
    float *memory;
    size_t remembered = df_scheduler_memory(k->way, &memory);
    const struct part all[PARTS] = {{k->z, k->parts * k->all * sizeof *k->z},
                                    {k->last, k->parts * k->all * sizeof *k->last},
                                    {memory, remembered * sizeof *memory},
                                    {k->noised, (size_t)k->s.size.batch * k->s.size.frames}};
    memcpy(out, all, sizeof all);
}

static uint64_t total(const struct df_sampler *k, const struct part *part)
{
    uint64_t sum = sizeof(struct head) + df_cache_bytes(df_run_cache(k->run));
    for (int i = 0; i < PARTS; i++)
        sum += part[i].bytes;
    return sum;
}

int df_sampler_save(const struct df_sampler *k, void **out, size_t *bytes)
{
    struct part part[PARTS];
    struct head h;
    parts_of(k, part);
    *bytes = total(k, part);
    char *to = *out = malloc(*bytes);
    if (!to)
        return fv_fail(FV_ENOMEM, "out of memory");
    memset(&h, 0, sizeof h);
    memcpy(h.magic, magic, sizeof magic);
    h.version = VERSION;
    h.head_bytes = sizeof h;
    h.bytes = *bytes;
    describe(k, h.settings);
    h.at = k->at;
    memcpy(to, &h, sizeof h);
    to += sizeof h;
    for (int i = 0; i < PARTS; i++) {
        if (part[i].bytes)
            memcpy(to, part[i].data, part[i].bytes);
        to += part[i].bytes;
    }
    int rc = df_cache_save(df_run_cache(k->run), to);
    if (rc < 0) {
        free(*out);
        *out = NULL;
    }
    return rc;
}

int df_sampler_restore(struct df_sampler *k, const void *state, size_t bytes)
{
    struct part part[PARTS];
    struct head h;
    char settings[SETTINGS];
    const char *from = state;
    if (bytes < sizeof h || memcmp(from, magic, sizeof magic) != 0)
        return fv_fail(FV_EFORMAT, "this is no sampling that was interrupted");
    memcpy(&h, from, sizeof h);
    if (h.version != VERSION || h.head_bytes != sizeof h)
        return fv_fail(FV_EUNSUPPORTED,
                       "the sampling was interrupted under another version of this program");
    h.settings[sizeof h.settings - 1] = 0;
    describe(k, settings);
    if (strcmp(settings, h.settings) != 0)
        return fv_fail(FV_EINVALID, "the sampling was interrupted with other settings: %s; not: %s",
                       h.settings, settings);
    parts_of(k, part);
    if (h.bytes != bytes || bytes != total(k, part) || h.at.ended > 1 ||
        h.at.step >= k->evaluations + h.at.ended)
        return fv_fail(FV_EFORMAT,
                       "the sampling that was interrupted is damaged: %zu bytes, expected %llu",
                       bytes, (unsigned long long)total(k, part));
    from += sizeof h;
    FV_TRY(df_cache_restore(df_run_cache(k->run),
                            from + bytes - sizeof h - df_cache_bytes(df_run_cache(k->run))));
    for (int i = 0; i < PARTS; i++) {
        if (part[i].bytes)
            memcpy(part[i].data, from, part[i].bytes);
        from += part[i].bytes;
    }
    unsigned char *flag = (unsigned char *)k->noised;
    for (size_t i = 0; i < part[PARTS - 1].bytes; i++) {
        flag[i] = flag[i] != 0;
        k->active[i] = flag[i];
    }
    k->at = h.at;
    return 0;
}

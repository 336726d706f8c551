/* .splat: 32 bytes a Gaussian, no header (format of antimatter15/splat).
 *
 *      0  3 x f32  position
 *     12  3 x f32  standard deviation
 *     24  4 x u8   R, G, B, alpha, each 0..255
 *     28  4 x u8   quaternion w,x,y,z
 *
 * Quaternion bytes: the first encoder truncates 128 q + 128, so the middle of the step of byte
 * b is (b - 127.5) / 128; PlayCanvas reads the same direction, viewers that read (b - 128) / 128
 * are half a step off. Written bytes are the nearest for that reading.
 *
 * There is nothing to tell the up axis or the mode, and no SH. Files are sorted by falling
 * size times alpha, so that viewers show the large Gaussians of a partial download. */
#include "gs/scene.h"
#include "vk/base/log.h"

#include <stdlib.h>
#include <string.h>

enum { ROW = 32 };

struct reader {
    struct gs_scene *s;
    const uint8_t *data;
};

static int read_rows(void *ud, size_t begin, size_t end)
{
    const struct reader *r = ud;
    struct gs_scene *s = r->s;
    for (size_t i = begin; i < end; i++) {
        const uint8_t *row = r->data + i * ROW;
        float linear[3];
        memcpy(s->position + 3 * i, row, 12);
        memcpy(linear, row + 12, 12);
        for (int k = 0; k < 3; k++) {
            s->scale[3 * i + k] = (float)log((double)linear[k]);
            s->sh[3 * i + k] = (float)((row[24 + k] / 255.0 - 0.5) / (double)GS_SH_C0);
        }
        s->opacity[i] = (float)gs_logit(row[27] / 255.0);
        /* not normalised: so a rewrite finds the same bytes again */
        for (int k = 0; k < 4; k++)
            s->rotation[4 * i + k] = (float)((row[28 + k] - 127.5) / 127.5);
    }
    return 0;
}

int gs_read_splat(struct gs_scene *out, const uint8_t *data, size_t size, const char *name,
                  const struct gs_load_opts *opts)
{
    struct reader r = {.s = out, .data = data};
    if (size % ROW)
        return fv_fail(FV_EFORMAT,
                       "%s: its %zu bytes are not a multiple of %d: cut short, or not a .splat",
                       name, size, ROW);
    FV_TRY(gs_scene_alloc(out, size / ROW, 0));
    int rc = gs_for_rows(out->count, read_rows, &r, "reading", opts ? opts->on_progress : NULL,
                         opts ? opts->ud : NULL);
    strcpy(out->detail, "splat");
    if (rc < 0)
        gs_scene_finish(out);
    return rc;
}

/* ---- writing ---------------------------------------------------------------------------- */

struct keyed {
    double key;
    size_t row;
};

struct writer {
    const struct gs_scene *s;
    uint8_t *rows;
    struct keyed *keys;
};

/* A quaternion that already is on the byte grid, as .splat files have them, stays as it is:
 * normalising would move it to a neighbour at every rewrite. */
static void quantise_rotation(uint8_t out[4], const float q[4])
{
    double norm = 0;
    bool on_grid = true;
    for (int k = 0; k < 4; k++) {
        double v = 127.5 * (double)q[k] + 127.5;
        norm += (double)q[k] * (double)q[k];
        on_grid &= fabs(v - rint(v)) < 1e-4;
    }
    norm = sqrt(norm);
    if (on_grid && fabs(norm - 1) < 2 / 127.5)
        norm = 1;
    for (int k = 0; k < 4; k++)
        out[k] = (uint8_t)gs_quantise(0.5 + 0.5 * (double)q[k] / norm, 255);
}

static int write_rows(void *ud, size_t begin, size_t end)
{
    const struct writer *w = ud;
    const struct gs_scene *s = w->s;
    size_t coefs = (size_t)gs_sh_coefs(s->sh_degree);
    for (size_t i = begin; i < end; i++) {
        uint8_t *row = w->rows + i * ROW;
        const float *sh = s->sh + 3 * i * coefs;
        float linear[3];
        double logs = 0;
        for (int k = 0; k < 3; k++) {
            linear[k] = (float)exp(fmin((double)s->scale[3 * i + k], 88));
            logs += (double)(float)log((double)linear[k]);
            row[24 + k] = (uint8_t)gs_quantise(0.5 + (double)GS_SH_C0 * (double)sh[k], 255);
        }
        memcpy(row, s->position + 3 * i, 12);
        memcpy(row + 12, linear, 12);
        row[27] = (uint8_t)gs_quantise(gs_sigmoid((double)s->opacity[i]), 255);
        quantise_rotation(row + 28, s->rotation + 4 * i);
        /* from what a reader will see, so that sorting again changes nothing */
        w->keys[i] = (struct keyed){exp(logs) * row[27], i};
    }
    return 0;
}

static int by_falling_key(const void *a, const void *b)
{
    const struct keyed *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? 1 : -1;
    return x->row < y->row ? -1 : x->row > y->row;
}

int gs_write_splat(const struct gs_scene *s, struct fv_writer *out, const struct gs_save_opts *opts)
{
    struct writer w = {.s = s};
    size_t n = s->count ? s->count : 1;
    int rc = 0;
    w.rows = malloc(n * ROW);
    w.keys = malloc(n * sizeof *w.keys);
    if (!w.rows || !w.keys) {
        rc = fv_fail(FV_ENOMEM, "out of memory");
        goto done;
    }
    if (s->sh_degree)
        fv_log(FV_WARN, ".splat has no SH: view-dependent colour is lost");
    FV_GOTO(gs_for_rows(s->count, write_rows, &w, "writing", opts ? opts->on_progress : NULL,
                        opts ? opts->ud : NULL));
    qsort(w.keys, s->count, sizeof *w.keys, by_falling_key);
    for (size_t i = 0; i < s->count; i++)
        fv_write(out, w.rows + w.keys[i].row * ROW, ROW);
done:
    free(w.rows);
    free(w.keys);
    return rc;
}

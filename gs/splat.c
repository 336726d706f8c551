/* .splat: 32 bytes a Gaussian, no header (format of antimatter15/splat).
 *
 *      0  3 x f32  position
 *     12  3 x f32  standard deviation
 *     24  4 x u8   R, G, B, alpha, each 0..255
 *     28  4 x u8   quaternion w,x,y,z
 *
 * Quaternion bytes are 128 q + 128: rounded by web converters, truncated by the first encoder
 * (convert.py of antimatter15/splat), so that a byte b means (b - 128) / 128 or, the middle of
 * its step, (b - 127.5) / 128. The file does not say which, but shows it: quaternions are of
 * length 1, and read the right way their lengths scatter by the rounding alone, a variance of a
 * twelfth of a step squared; half a step off in every component makes that four times as much.
 * Viewers read (b - 128) / 128 and PlayCanvas (b - 127.5) / 127.5 whatever the file holds.
 * Rounded bytes are written, or a truncated file's own again.
 *
 * There is nothing to tell the up axis or the mode, and no SH. Files are sorted by falling
 * size times alpha, so that viewers show the large Gaussians of a partial download. */
#include "gs/scene.h"
#include "vk/base/log.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROW = 32,
    LEAST_ROWS = 32,    /* fewer are taken as rounded */
    MOST_ROWS = 100000, /* looked at, to tell rounded from truncated */
};

struct reader {
    struct gs_scene *s;
    const uint8_t *data;
    float zero; /* byte of a component 0: 128, or 127.5 when truncated */
};

/* Variance of the quaternions' lengths, in steps squared; 0 when there are too few to tell.
 * Bytes at the ends may have been clamped. */
static double length_variance(const uint8_t *data, size_t count, double zero)
{
    size_t step = count / MOST_ROWS + 1, n = 0;
    double sum = 0, squares = 0;
    for (size_t i = 0; i < count; i += step) {
        const uint8_t *q = data + ROW * i + 28;
        double square = 0;
        bool clamped = false;
        for (int k = 0; k < 4; k++) {
            square += (q[k] - zero) * (q[k] - zero);
            clamped |= q[k] == 0 || q[k] == 255;
        }
        if (clamped)
            continue;
        double length = sqrt(square) - 128; /* near 0, so that the sums stay exact */
        sum += length;
        squares += length * length;
        n++;
    }
    return n < LEAST_ROWS ? 0 : fmax(squares / (double)n - sum * sum / ((double)n * (double)n), 0);
}

static bool is_truncated(const uint8_t *data, size_t count)
{
    return length_variance(data, count, 128) > 1.25 * length_variance(data, count, 127.5) + 1e-3;
}

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
            s->rotation[4 * i + k] = ((float)row[28 + k] - r->zero) / 128;
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
    bool truncated = is_truncated(data, size / ROW);
    r.zero = truncated ? 127.5f : 128;
    FV_TRY(gs_scene_alloc(out, size / ROW, 0));
    int rc = gs_for_rows(out->count, read_rows, &r, "reading", opts ? opts->on_progress : NULL,
                         opts ? opts->ud : NULL);
    strcpy(out->detail, truncated ? "splat, truncated rotations" : "splat");
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
    bool truncated;
};

/* Whether the quaternion is what some bytes mean, rounded or truncated; floats hold it exactly. */
static bool on_grid(const float q[4], bool truncated, uint8_t out[4])
{
    for (int k = 0; k < 4; k++) {
        double v = 256 * (double)q[k] + (truncated ? 255 : 256);
        if (!(v >= 0 && v <= 510) || v != 2 * floor(v / 2))
            return false;
        out[k] = (uint8_t)(v / 2);
    }
    return true;
}

/* Bytes of a .splat stay as they are: normalising would move them at every rewrite. */
static void quantise_rotation(uint8_t out[4], const float q[4], bool truncated)
{
    double norm = 0;
    if (on_grid(q, truncated, out))
        return;
    for (int k = 0; k < 4; k++)
        norm += (double)q[k] * (double)q[k];
    norm = sqrt(norm);
    for (int k = 0; k < 4; k++)
        out[k] = (uint8_t)gs_quantise((128 * (double)q[k] / norm + 128) / 255, 255);
}

/* All rotations are those of a truncated file, as scenes read from one have them. */
static bool all_truncated(const struct gs_scene *s)
{
    uint8_t bytes[4];
    size_t i = 0;
    while (i < s->count && on_grid(s->rotation + 4 * i, true, bytes))
        i++;
    return i == s->count;
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
        quantise_rotation(row + 28, s->rotation + 4 * i, w->truncated);
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
    struct writer w = {.s = s, .truncated = all_truncated(s)};
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

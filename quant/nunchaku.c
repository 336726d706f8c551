/* Nunchaku's order in memory: tensors as its matrix units read them. DIFFUSION.md of the design has
 * how the places were found; docs/QUANT.md has them in a table. */
#include "quant/private.h"
#include "vk/base/file.h"
#include "vk/nn/weights.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* n = 128 nt + 16 p + 8 s + l, k = 64 kt + 32 u + 8 m + r: nibble r of this 32-bit word. */
static size_t word_of(size_t n, size_t k, size_t inputs)
{
    size_t nt = n / 128, p = n / 16 % 8, s = n / 8 % 2, l = n % 8;
    size_t kt = k / 64, u = k / 32 % 2, m = k / 8 % 4;
    return ((((nt * (inputs / 64) + kt) * 8 + p) * 8 + l) * 4 + m) * 4 + 2 * s + u;
}

void qt_nunchaku_codes(const uint8_t *words, int8_t *codes, size_t n, size_t k, enum qt_nunchaku_part part)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < k; j++) {
            int v = words[word_of(i, j, k) * 4 + j % 8 / 2] >> (j % 2 * 4) & 15;
            codes[i * k + j] = (int8_t)(part == QT_NUNCHAKU_INT4 && v > 7 ? v - 16 : v);
        }
}

void qt_nunchaku_pack_codes(uint8_t *words, const int8_t *codes, size_t n, size_t k)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < k; j += 2) {
            int low = codes[i * k + j] & 15, high = codes[i * k + j + 1] & 15;
            words[word_of(i, j, k) * 4 + j % 8 / 2] = (uint8_t)(low | high << 4);
        }
}

size_t qt_nunchaku_scale_at(size_t n, size_t g, size_t groups)
{
    size_t a = n / 16 % 8, b = n / 8 % 2, c = n / 2 % 4, d = n % 2;
    return (n / 128 * groups + g) * 128 + 16 * a + 4 * c + 2 * b + d;
}

size_t qt_nunchaku_fp4_scale_at(size_t n, size_t g, size_t groups)
{
    size_t p = n / 32 % 4, q = n / 8 % 4, e = n % 8;
    return ((((n / 128 * (groups / 4) + g / 4) * 8 + e) * 4 + q) * 4 + p) * 4 + g % 4;
}

/* 16 x 16 tiles: eight rows of four pairs, for each half of the rows and of the columns. */
static size_t inner(size_t row, size_t column)
{
    size_t s = row / 8 % 2, l = row % 8, u = column / 8 % 2, m = column / 2 % 4, e = column % 2;
    return ((l * 4 + m) * 2 + s) * 4 + 2 * u + e;
}

size_t qt_nunchaku_up_at(size_t n, size_t r, size_t rank)
{
    return (n / 16 * (rank / 16) + r / 16) * 256 + inner(n, r);
}

size_t qt_nunchaku_down_at(size_t k, size_t r, size_t rank)
{
    return (k / 16 * (rank / 16) + r / 16) * 256 + inner(r, k);
}

float qt_fp4(int code)
{
    static const float values[8] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
    return code & 8 ? -values[code & 7] : values[code & 7];
}

/* ---- layers of files ---------------------------------------------------------------------- */

enum { TILE = 128, FP4_GROUP = 16, RANK_TILE = 16 };
#define SHIFT 0.171875

static const struct nn_file_tensor *part_of(const struct nn_file *f, const char *name, const char *a, const char *b)
{
    const char *suffixes[] = {a, b};
    char full[640];
    for (int i = 0; i < 2; i++) {
        if (!suffixes[i])
            continue;
        snprintf(full, sizeof full, "%s.%s", name, suffixes[i]);
        const struct nn_file_tensor *t = nn_file_find(f, full);
        if (t)
            return t;
    }
    return NULL;
}

static int misfit(const struct nn_file *f, const struct nn_file_tensor *t, const char *why)
{
    char text[160];
    nn_shape_text(text, t->shape, t->rank);
    return fv_fail(FV_EFORMAT, "%s: %s %s of %s: %s", f->name, t->name, text, nn_data_name(t->type), why);
}

static int check_part(const struct nn_file *f, const struct nn_file_tensor *t, uint64_t count)
{
    if (t && (t->count != count || t->type >= NN_DATA_Q4_0 || nn_data_is_integer(t->type) || !t->contiguous))
        return misfit(f, t, "not of its layer's size");
    return 0;
}

int qt_nunchaku_find(struct qt_nunchaku *out, const struct nn_file *f, const char *name)
{
    struct qt_nunchaku l = {.codes = part_of(f, name, "qweight", NULL), .scales = part_of(f, name, "wscales", NULL)};
    if (!l.codes || !l.scales || part_of(f, name, "wzeros", NULL))
        return 1;
    l.bias = part_of(f, name, "bias", NULL);
    l.smooth = part_of(f, name, "smooth", "smooth_factor");
    l.down = part_of(f, name, "lora_down", "proj_down");
    l.up = part_of(f, name, "lora_up", "proj_up");
    l.whole = part_of(f, name, "wtscale", NULL);
    l.rows = part_of(f, name, "wcscales", NULL);
    l.fp4 = l.scales->type == NN_DATA_F8_E4M3;
    if (l.codes->rank != 2 || (l.codes->type != NN_DATA_I8 && l.codes->type != NN_DATA_U8) || !l.codes->contiguous)
        return misfit(f, l.codes, "expected bytes of codes [outputs, inputs / 2]");
    l.n = l.codes->shape[0];
    l.k = 2 * l.codes->shape[1];
    if (!l.n || !l.k || l.n % TILE || l.k % TILE)
        return misfit(f, l.codes, "outputs and inputs are to be multiples of 128");
    FV_TRY(check_part(f, l.scales, l.n * (l.k / (l.fp4 ? FP4_GROUP : QT_GROUP))));
    FV_TRY(check_part(f, l.bias, l.n));
    FV_TRY(check_part(f, l.smooth, l.k));
    FV_TRY(check_part(f, l.whole, 1));
    FV_TRY(check_part(f, l.rows, l.n));
    if ((l.up && l.up->rank != 2) || !l.up != !l.down)
        return misfit(f, l.up ? l.up : l.down, "expected a pair of matrices");
    if (l.up) {
        if (l.up->shape[1] > 4096 || l.up->shape[1] % RANK_TILE)
            return misfit(f, l.up, "its rank is to be a multiple of 16, up to 4096");
        l.rank = (unsigned)l.up->shape[1];
        FV_TRY(check_part(f, l.up, l.n * l.rank));
        FV_TRY(check_part(f, l.down, l.k * l.rank));
    }
    l.shift = !l.fp4 && fv_ends_with(name, "fc2");
    *out = l;
    return 0;
}

/* Values of a tensor, which are finite; NULL with *rc 0 when there is no tensor. */
static float *floats(const struct nn_file_tensor *t, int *rc)
{
    if (!t || *rc < 0)
        return NULL;
    float *x = qt_room(t->count, 1, sizeof *x);
    *rc = x ? nn_file_read(t, NN_DATA_F32, 0, t->count, x) : FV_ENOMEM;
    for (uint64_t i = 0; i < t->count && *rc == 0; i++)
        if (!isfinite(x[i]))
            *rc = fv_fail(FV_EFORMAT, "%s holds %g", t->name, (double)x[i]);
    return x;
}

/* out[i] = packed[at(i, 0, 1)] */
static void unpack_vector(float *out, const float *packed, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = packed[qt_nunchaku_scale_at(i, 0, 1)];
}

/* Of FP4: the matrix, then codes of ours. */
static int round_anew(struct qt_layer *out, const struct qt_nunchaku *l, const float *scales, bool eight)
{
    int rc = 0;
    float *whole = floats(l->whole, &rc), *rows = floats(l->rows, &rc);
    float *w = rc == 0 ? qt_room(l->n, l->k, sizeof *w) : NULL;
    size_t groups = l->k / FP4_GROUP;
    rc = rc == 0 && !w ? FV_ENOMEM : rc;
    for (size_t i = 0; i < l->n && rc == 0; i++) {
        float by = (whole ? whole[0] : 1) * (rows ? rows[qt_nunchaku_scale_at(i, 0, 1)] : 1);
        for (size_t j = 0; j < l->k; j++)
            w[i * l->k + j] = qt_fp4(out->codes[i * l->k + j] & 15) *
                              scales[qt_nunchaku_fp4_scale_at(i, j / FP4_GROUP, groups)] * by;
    }
    if (rc == 0)
        qt_rows(w, l->n, l->k, eight ? 127 : 7, true, true, out->codes, out->scales, NULL);
    for (size_t i = 0; i < l->n * (l->k / QT_GROUP) && rc == 0; i++)
        if (!isfinite(out->scales[i]))
            rc = fv_fail(FV_EFORMAT, "%s: weights beyond what scales in f16 hold", l->codes->name);
    free(whole);
    free(rows);
    free(w);
    return rc;
}

static int read_codes(struct qt_layer *out, const struct qt_nunchaku *l, bool eight)
{
    int rc = 0;
    size_t groups = l->k / QT_GROUP;
    float *scales = floats(l->scales, &rc);
    if (rc == 0) {
        qt_nunchaku_codes(l->codes->data, out->codes, l->n, l->k, l->fp4 ? QT_NUNCHAKU_FP4 : QT_NUNCHAKU_INT4);
        if (l->fp4)
            rc = round_anew(out, l, scales, eight);
        for (size_t i = 0; i < l->n && !l->fp4; i++)
            for (size_t g = 0; g < groups; g++)
                out->scales[i * groups + g] = scales[qt_nunchaku_scale_at(i, g, groups)];
    }
    free(scales);
    return rc;
}

static int read_branch(struct qt_layer *out, const struct qt_nunchaku *l)
{
    int rc = 0;
    float *up = floats(l->up, &rc), *down = floats(l->down, &rc);
    for (size_t i = 0; i < l->n && rc == 0 && l->rank; i++)
        for (size_t r = 0; r < l->rank; r++)
            out->up[i * l->rank + r] = up[qt_nunchaku_up_at(i, r, l->rank)];
    for (size_t i = 0; i < l->k && rc == 0 && l->rank; i++)
        for (size_t r = 0; r < l->rank; r++)
            out->down[r * l->k + i] = down[qt_nunchaku_down_at(i, r, l->rank)];
    free(up);
    free(down);
    return rc;
}

int qt_nunchaku_read(struct qt_layer *out, float *bias, const struct qt_nunchaku *l, bool eight)
{
    int rc = 0;
    size_t groups = l->k / QT_GROUP;
    *out = (struct qt_layer){.method = eight && l->fp4 ? QT_RTN8 : QT_SVDQUANT, .n = l->n, .k = l->k, .padded = l->k,
                             .rank = l->rank};
    out->codes = qt_room(l->n, l->k, 1);
    out->scales = qt_room(l->n, groups, sizeof *out->scales);
    out->smooth = qt_room(l->k, 1, sizeof *out->smooth);
    out->down = qt_room(l->rank, l->k, sizeof *out->down);
    out->up = qt_room(l->n, l->rank, sizeof *out->up);
    if (!out->codes || !out->scales || !out->smooth || !out->down || !out->up)
        rc = FV_ENOMEM;
    float *packed = floats(l->bias, &rc), *smooth = floats(l->smooth, &rc);
    for (size_t i = 0; i < l->k && rc == 0; i++)
        out->smooth[i] = smooth && smooth[qt_nunchaku_scale_at(i, 0, 1)] != 0 ? smooth[qt_nunchaku_scale_at(i, 0, 1)] : 1;
    if (rc == 0)
        rc = read_codes(out, l, eight);
    if (rc == 0)
        rc = read_branch(out, l);
    if (rc == 0 && packed)
        unpack_vector(bias, packed, l->n);
    for (size_t i = 0; i < l->n && rc == 0 && !packed; i++)
        bias[i] = 0;
    for (size_t i = 0; i < l->n && rc == 0 && l->shift; i++) {
        double sum = 0; /* what the codes make of the shift is in their bias */
        for (size_t j = 0; j < l->k; j++)
            sum += (double)out->codes[i * l->k + j] * (double)out->scales[i * groups + j / QT_GROUP] /
                   (double)out->smooth[j];
        bias[i] += (float)(SHIFT * sum);
    }
    free(packed);
    free(smooth);
    if (rc < 0)
        qt_layer_finish(out);
    return rc;
}

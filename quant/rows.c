/* Rounding rows in groups, spans of channels, random numbers and room. */
#include "quant/private.h"
#include "vk/base/half.h"
#include "vk/base/thread.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const qt_method_names[] = {"svdquant", "rtn4", "rtn8", "nf4", NULL};

void *qt_room(size_t rows, size_t columns, size_t size)
{
    void *p = rows && columns > (SIZE_MAX - 1) / size / rows ? NULL : malloc(rows * columns * size + 1);
    if (!p)
        fv_fail(FV_ENOMEM, "out of memory");
    return p;
}

double qt_distance(const float *a, const float *b, size_t count)
{
    double part[8] = {0};
    for (size_t i = 0; i < count; i++) {
        double d = (double)a[i] - (b ? (double)b[i] : 0);
        part[i % 8] += d * d;
    }
    return (part[0] + part[4]) + (part[1] + part[5]) + (part[2] + part[6]) + (part[3] + part[7]);
}

/* To the nearest whole number, halves to even, for |x| < 2^22. */
static inline float nearest_whole(float x)
{
    return (x + 12582912.f) - 12582912.f;
}

struct rows_work {
    const float *x;
    size_t k, groups;
    int levels;
    bool has_sign, half;
    int8_t *codes;
    float *scales, *nearest;
};

static float scale_of(const struct rows_work *w, float most)
{
    float scale = most / (float)w->levels;
    if (w->half) {
        scale = fv_f16_to_f32(fv_f32_to_f16(scale));
        if (scale == 0 && most > 0)
            scale = 0x1p-24f; /* f16's smallest */
    }
    return scale;
}

static void one_group(const struct rows_work *w, const float *x, size_t have, size_t row, size_t g)
{
    float most = 0, q[QT_GROUP] = {0}, low = w->has_sign ? -(float)w->levels : 0, high = (float)w->levels;
    for (size_t i = 0; i < have; i++)
        most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    float scale = scale_of(w, most), by = scale > 0 ? scale : 1;
    for (size_t i = 0; i < have; i++) {
        float v = x[i] / by;
        v = v < low ? low : v > high ? high : v;
        q[i] = nearest_whole(v);
    }
    size_t padded = w->groups * QT_GROUP;
    if (w->codes)
        for (size_t i = 0; i < QT_GROUP; i++)
            w->codes[row * padded + g * QT_GROUP + i] = (int8_t)q[i];
    if (w->scales)
        w->scales[row * w->groups + g] = by == scale ? scale : w->half ? 0 : 1;
    if (w->nearest)
        for (size_t i = 0; i < have; i++)
            w->nearest[row * w->k + g * QT_GROUP + i] = q[i] * by;
}

static int some_rows(void *ud, size_t begin, size_t end)
{
    const struct rows_work *w = ud;
    for (size_t r = begin; r < end; r++)
        for (size_t g = 0; g < w->groups; g++) {
            size_t at = g * QT_GROUP, have = w->k - at < QT_GROUP ? w->k - at : QT_GROUP;
            one_group(w, w->x + r * w->k + at, have, r, g);
        }
    return 0;
}

void qt_rows(const float *x, size_t rows, size_t k, int levels, bool has_sign, bool half, int8_t *codes,
             float *scales, float *nearest)
{
    struct rows_work w = {x, k, (k + QT_GROUP - 1) / QT_GROUP, levels, has_sign, half,
                          codes, scales, nearest};
    fv_parallel(rows, 16, some_rows, &w);
}

void qt_column_absmax(float *out, const float *x, size_t rows, size_t k)
{
    memset(out, 0, k * sizeof *out);
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < k; i++) {
            float v = fabsf(x[r * k + i]);
            out[i] = v > out[i] ? v : out[i];
        }
}

void qt_smooth_scale(float *out, const float *x_absmax, const float *w_absmax, size_t k, double alpha,
                     double beta)
{
    bool finite = true;
    for (size_t i = 0; i < k; i++) {
        float s = alpha > 0 ? powf(x_absmax[i], (float)alpha) : 1;
        if (beta > 0)
            s /= powf(w_absmax[i], (float)beta);
        if (x_absmax[i] == 0 || (beta > 0 && w_absmax[i] == 0) || s == 0)
            s = 1; /* nothing goes through here */
        finite = finite && isfinite(s);
        out[i] = s;
    }
    for (size_t i = 0; i < k && !finite; i++)
        out[i] = 1;
}

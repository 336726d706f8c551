/* PSNR and SSIM of pictures (gs.h). SSIM follows Wang, Bovik, Sheikh and Simoncelli 2004:
 * 11x11 Gaussian window of sigma 1.5, K1 = 0.01, K2 = 0.03, range 1. The mean is over windows
 * that lie inside the picture, as in the paper; the map also has the borders, with the window
 * cut off there and its weights made to sum to one again. */
#include "gs/gs.h"
#include "vk/base/thread.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RADIUS = 5, TAPS = 2 * RADIUS + 1, MOMENTS = 5 };

double gs_psnr(const float *a, const float *b, size_t samples)
{
    double sum = 0;
    for (size_t i = 0; i < samples; i++) {
        double d = (double)a[i] - (double)b[i];
        sum += d * d;
    }
    if (!samples || sum == 0)
        return INFINITY;
    return -10 * log10(sum / (double)samples);
}

struct ssim {
    const float *a, *b;
    size_t w, h, channels;
    float *map;
    double *row_sums; /* [h] of the windows counted */
    double taps[TAPS];
};

/* Weighted sums over the window's rows of a, b, aa, bb, ab at every column of one channel. */
static void vertical(const struct ssim *s, size_t y, size_t c, double *out)
{
    size_t from = y < RADIUS ? 0 : y - RADIUS, to = y + RADIUS < s->h ? y + RADIUS : s->h - 1;
    double total = 0;
    memset(out, 0, MOMENTS * s->w * sizeof *out);
    for (size_t j = from; j <= to; j++)
        total += s->taps[j + RADIUS - y];
    for (size_t j = from; j <= to; j++) {
        double weight = s->taps[j + RADIUS - y] / total;
        const float *pa = s->a + j * s->w * s->channels + c;
        const float *pb = s->b + j * s->w * s->channels + c;
        for (size_t x = 0; x < s->w; x++) {
            double u = (double)pa[x * s->channels], v = (double)pb[x * s->channels];
            double *m = out + MOMENTS * x;
            m[0] += weight * u;
            m[1] += weight * v;
            m[2] += weight * u * u;
            m[3] += weight * v * v;
            m[4] += weight * u * v;
        }
    }
}

static double at_pixel(const struct ssim *s, const double *columns, size_t x)
{
    size_t from = x < RADIUS ? 0 : x - RADIUS, to = x + RADIUS < s->w ? x + RADIUS : s->w - 1;
    double m[MOMENTS] = {0}, total = 0;
    for (size_t i = from; i <= to; i++) {
        double weight = s->taps[i + RADIUS - x];
        total += weight;
        for (int k = 0; k < MOMENTS; k++)
            m[k] += weight * columns[MOMENTS * i + (size_t)k];
    }
    for (int k = 0; k < MOMENTS; k++)
        m[k] /= total;
    const double c1 = 0.01 * 0.01, c2 = 0.03 * 0.03;
    double va = m[2] - m[0] * m[0], vb = m[3] - m[1] * m[1], ab = m[4] - m[0] * m[1];
    return (2 * m[0] * m[1] + c1) * (2 * ab + c2) /
           ((m[0] * m[0] + m[1] * m[1] + c1) * (va + vb + c2));
}

static bool counts(size_t at, size_t size)
{
    return size < TAPS || (at >= RADIUS && at + RADIUS < size);
}

static int rows(void *ud, size_t begin, size_t end)
{
    const struct ssim *s = ud;
    double *columns = malloc(MOMENTS * s->w * sizeof *columns);
    if (!columns)
        return fv_fail(FV_ENOMEM, "out of memory");
    for (size_t y = begin; y < end; y++) {
        double sum = 0;
        if (s->map)
            memset(s->map + y * s->w, 0, s->w * sizeof *s->map);
        for (size_t c = 0; c < s->channels; c++) {
            vertical(s, y, c, columns);
            for (size_t x = 0; x < s->w; x++) {
                double v = at_pixel(s, columns, x);
                sum += counts(x, s->w) ? v : 0;
                if (s->map)
                    s->map[y * s->w + x] += (float)(v / (double)s->channels);
            }
        }
        s->row_sums[y] = counts(y, s->h) ? sum : 0;
    }
    free(columns);
    return 0;
}

int gs_ssim(double *out, const float *a, const float *b, uint32_t w, uint32_t h, uint32_t channels,
            float *map)
{
    if (!w || !h || !channels)
        return fv_fail(FV_EINVALID, "SSIM of an empty picture");
    struct ssim s = {.a = a, .b = b, .w = w, .h = h, .channels = channels, .map = map};
    for (int i = 0; i < TAPS; i++)
        s.taps[i] = exp(-(i - RADIUS) * (i - RADIUS) / (2 * 1.5 * 1.5));
    s.row_sums = calloc(h, sizeof *s.row_sums);
    if (!s.row_sums)
        return fv_fail(FV_ENOMEM, "out of memory");
    int rc = fv_parallel(h, 16, rows, &s);
    double sum = 0; /* in row order: the same whatever the threads do */
    for (size_t y = 0; y < h; y++)
        sum += s.row_sums[y];
    free(s.row_sums);
    double nx = w < TAPS ? w : w - 2 * RADIUS, ny = h < TAPS ? h : h - 2 * RADIUS;
    *out = sum / (nx * ny * channels);
    return rc;
}

/* Picture comparison: PSNR, and SSIM after Wang, Bovik, Sheikh, Simoncelli 2004:
 *
 *     ssim = (2 ma mb + C1)(2 cov + C2) / ((ma^2 + mb^2 + C1)(va + vb + C2))
 *
 * C1 = 0.01^2, C2 = 0.03^2 for values in 0..1; means, variances and covariance under an 11x11
 * Gaussian window of sigma 1.5 whose weights sum to 1 (no sample correction).
 *
 * At the borders the picture is mirrored, edge pixel repeated (c b a | a b c), so that every
 * pixel has a value in the map. The mean is taken, as in Wang's code, over the pixels whose
 * window lies inside the picture (5 from every edge); over all when the picture is smaller than
 * the window. This is what scikit-image gives with gaussian_weights=True, sigma=1.5,
 * use_sample_covariance=False. INRIA's and most splatting papers' figures come from a zero-padded
 * window over all pixels; they are up to a few thousandths apart. */
#include "gs/gs.h"
#include "vk/base/thread.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { HALF = 5, TAPS = 2 * HALF + 1, FIELDS = 5 /* a, b, aa, bb, ab */ };

double gs_psnr(const float *a, const float *b, size_t samples)
{
    double sum = 0;
    for (size_t i = 0; i < samples; i++) {
        double d = (double)a[i] - b[i];
        sum += d * d;
    }
    return sum == 0 ? INFINITY : 10 * log10((double)samples / sum);
}

struct comparison {
    const float *a, *b;
    size_t w, h, channels;
    float *map;
    double weight[TAPS];
    double *row_sums; /* [h] of the counted pixels of a row */
    size_t border;    /* pixels at each edge that do not count */
};

/* Index i of a line of n mirrored beyond its ends. */
static size_t mirror(ptrdiff_t i, size_t n)
{
    ptrdiff_t period = 2 * (ptrdiff_t)n;
    i = (i % period + period) % period;
    return (size_t)(i < (ptrdiff_t)n ? i : period - 1 - i);
}

/* Window sums down the columns at row y: field f at out[f * stride + HALF * channels ...]. */
static void filter_columns(const struct comparison *c, size_t y, double *out, size_t stride)
{
    size_t n = c->w * c->channels, margin = HALF * c->channels;
    memset(out, 0, FIELDS * stride * sizeof *out);
    double *restrict sa = out + margin, *restrict sb = sa + stride, *restrict saa = sb + stride,
                     *restrict sbb = saa + stride, *restrict sab = sbb + stride;
    for (int k = 0; k < TAPS; k++) {
        size_t row = mirror((ptrdiff_t)y + k - HALF, c->h) * n;
        const float *restrict a = c->a + row, *restrict b = c->b + row;
        double weight = c->weight[k];
        for (size_t i = 0; i < n; i++) {
            double va = a[i], vb = b[i], wa = weight * va, wb = weight * vb;
            sa[i] += wa;
            sb[i] += wb;
            saa[i] += wa * va;
            sbb[i] += wb * vb;
            sab[i] += wa * vb;
        }
    }
    for (int f = 0; f < FIELDS; f++) { /* mirrored margins for the pass along the row */
        double *line = out + (size_t)f * stride + margin;
        for (ptrdiff_t x = -HALF; x < 0; x++)
            for (size_t ch = 0; ch < c->channels; ch++) {
                ptrdiff_t right = (ptrdiff_t)c->w - 1 - x;
                size_t step = c->channels;
                line[x * (ptrdiff_t)step + (ptrdiff_t)ch] = line[mirror(x, c->w) * step + ch];
                line[(size_t)right * step + ch] = line[mirror(right, c->w) * step + ch];
            }
    }
}

/* The same along the row: out[f * n + i], without margins. */
static void filter_row(const struct comparison *c, const double *in, size_t stride, double *out)
{
    size_t n = c->w * c->channels;
    for (int f = 0; f < FIELDS; f++) {
        double *restrict to = out + (size_t)f * n;
        memset(to, 0, n * sizeof *to);
        for (size_t k = 0; k < TAPS; k++) {
            const double *restrict from = in + (size_t)f * stride + k * c->channels;
            for (size_t i = 0; i < n; i++)
                to[i] += c->weight[k] * from[i];
        }
    }
}

/* Replaces the mean of a by the SSIM, sample by sample. */
static void finish_row(const struct comparison *c, double *s)
{
    const double c1 = 0.01 * 0.01, c2 = 0.03 * 0.03;
    size_t n = c->w * c->channels;
    for (size_t i = 0; i < n; i++) {
        double ma = s[i], mb = s[n + i];
        double va = s[2 * n + i] - ma * ma, vb = s[3 * n + i] - mb * mb;
        double cov = s[4 * n + i] - ma * mb;
        s[i] = (2 * ma * mb + c1) * (2 * cov + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2));
    }
}

static int compare_rows(void *ud, size_t begin, size_t end)
{
    const struct comparison *c = ud;
    size_t n = c->w * c->channels, stride = n + 2 * HALF * c->channels;
    double *columns = malloc(FIELDS * stride * sizeof *columns);
    double *sums = malloc(FIELDS * n * sizeof *sums);
    int rc = columns && sums ? 0 : fv_fail(FV_ENOMEM, "out of memory for SSIM");
    for (size_t y = begin; !rc && y < end; y++) {
        filter_columns(c, y, columns, stride);
        filter_row(c, columns, stride, sums);
        finish_row(c, sums);
        c->row_sums[y] = 0;
        bool counts = y >= c->border && y < c->h - c->border;
        for (size_t x = 0; x < c->w; x++) {
            double pixel = 0;
            for (size_t ch = 0; ch < c->channels; ch++)
                pixel += sums[x * c->channels + ch];
            if (c->map)
                c->map[y * c->w + x] = (float)(pixel / (double)c->channels);
            if (counts && x >= c->border && x < c->w - c->border)
                c->row_sums[y] += pixel;
        }
    }
    free(columns);
    free(sums);
    return rc;
}

int gs_ssim(double *out, const float *a, const float *b, uint32_t w, uint32_t h, uint32_t channels,
            float *map)
{
    *out = 0;
    if (!w || !h || !channels)
        return fv_fail(FV_EINVALID, "SSIM of a picture of size %ux%u with %u channels", w, h,
                       channels);
    struct comparison c = {.a = a, .b = b, .w = w, .h = h, .channels = channels, .map = map};
    c.border = w >= TAPS && h >= TAPS ? HALF : 0;
    double total = 0;
    for (int k = 0; k < TAPS; k++)
        total += c.weight[k] = exp(-(k - HALF) * (k - HALF) / (2 * 1.5 * 1.5));
    for (int k = 0; k < TAPS; k++)
        c.weight[k] /= total;
    c.row_sums = malloc(h * sizeof *c.row_sums);
    if (!c.row_sums)
        return fv_fail(FV_ENOMEM, "out of memory for SSIM");
    int rc = fv_parallel(h, 16, compare_rows, &c);
    for (size_t y = 0; rc >= 0 && y < h; y++)
        *out += c.row_sums[y];
    *out /= (double)(w - 2 * c.border) * (double)(h - 2 * c.border) * channels;
    free(c.row_sums);
    return rc;
}

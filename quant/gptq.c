/* GPTQ, arXiv 2210.17323: the error of rounding a weight is made up for by those of its row that are
 * not rounded yet, in order of how strongly their inputs vary. */
#include "quant/private.h"
#include "vk/base/thread.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 128, TRIES = 250, SIDE = 8 };
static const double damp = 0.01;

/* Upper R with m = R R^T in place of m (lower part zero). False where m is not positive. From the last
 * column on, in blocks: the rest is brought up to date by a product. */
static int factor(double *m, size_t k, bool *positive)
{
    *positive = true;
    for (size_t end = k; end;) {
        size_t begin = end > BLOCK ? end - BLOCK : 0;
        for (size_t j = end; j-- > begin;) {
            double d = m[j * k + j];
            for (size_t c = j + 1; c < end; c++)
                d -= m[j * k + c] * m[j * k + c];
            if (!(d > 0)) {
                *positive = false;
                return 0;
            }
            d = m[j * k + j] = sqrt(d);
            for (size_t i = 0; i < j; i++) {
                double v = m[i * k + j];
                for (size_t c = j + 1; c < end; c++)
                    v -= m[i * k + c] * m[j * k + c];
                m[i * k + j] = v / d;
            }
        }
        size_t wide = end - begin;
        if (begin) {
            double *part = qt_room(begin, begin, sizeof *part);
            int rc = part ? qt_product_f64(part, m + begin, (struct qt_strides){k, 1}, m + begin,
                                           (struct qt_strides){1, k}, begin, begin, wide, false)
                          : FV_ENOMEM;
            for (size_t i = 0; i < begin && rc == 0; i++)
                for (size_t j = 0; j < begin; j++)
                    m[i * k + j] -= part[i * begin + j];
            free(part);
            FV_TRY(rc);
        }
        end = begin;
    }
    for (size_t i = 0; i < k; i++)
        memset(m + i * k, 0, i * sizeof *m);
    return 0;
}

struct inversion {
    const double *r;
    double *u;
    size_t k;
};

/* Columns of the inverse of upper R, SIDE of them at once so that R is read once for all: R u = e_j, from
 * the diagonal up. u is kept by columns. */
static int invert_columns(void *ud, size_t begin, size_t end)
{
    const struct inversion *v = ud;
    size_t k = v->k;
    double (*u)[SIDE] = qt_room(k, SIDE, sizeof(double));
    if (!u)
        return FV_ENOMEM;
    for (size_t j = begin * SIDE; j < end * SIDE && j < k; j += SIDE) {
        size_t wide = k - j < SIDE ? k - j : SIDE, last = j + wide - 1;
        for (size_t i = last + 1; i-- > 0;) {
            double sum[2][SIDE] = {0}; /* two chains of additions */
            const double *r = v->r + i * k;
            for (size_t c = i + 1; c <= last; c++)
                for (size_t s = 0; s < SIDE; s++)
                    sum[c & 1][s] += r[c] * u[c][s];
            for (size_t s = 0; s < SIDE; s++)
                u[i][s] = ((i == j + s) - (sum[0][s] + sum[1][s])) / r[i];
        }
        for (size_t s = 0; s < wide; s++)
            for (size_t i = 0; i < k; i++)
                v->u[(j + s) * k + i] = i <= j + s ? u[i][s] : 0;
    }
    free(u);
    return 0;
}

struct order {
    const double *gram;
    size_t k;
};
static int by_variance(const void *a, const void *b, void *ud)
{
    const struct order *o = ud;
    uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    double x = o->gram[i * o->k + i], y = o->gram[j * o->k + j];
    return x < y ? 1 : x > y ? -1 : i < j ? -1 : i > j;
}

struct spread {
    float *w, *nearest;
    const float *scales;
    const float *u; /* [k][k], in order */
    const uint32_t *order;
    size_t k;
    int levels;
    int8_t *codes;
};

static int some_rows(void *ud, size_t begin, size_t end)
{
    const struct spread *s = ud;
    size_t k = s->k, groups = (k + QT_GROUP - 1) / QT_GROUP, padded = groups * QT_GROUP;
    float *w = qt_room(end - begin, k, sizeof *w);
    if (!w)
        return FV_ENOMEM;
    for (size_t r = begin; r < end; r++)
        for (size_t c = 0; c < k; c++)
            w[(r - begin) * k + c] = s->w[r * k + s->order[c]];
    for (size_t c = 0; c < k; c++) {
        const float *u = s->u + c * k;
        size_t at = s->order[c];
        for (size_t r = begin; r < end; r++) {
            float *row = w + (r - begin) * k, scale = s->scales[r * groups + at / QT_GROUP];
            float q = scale > 0 ? rintf(row[c] / scale) : 0, most = (float)s->levels;
            q = q > most ? most : q < -most ? -most : q;
            s->codes[r * padded + at] = (int8_t)q;
            s->nearest[r * k + at] = q * scale;
            float error = (row[c] - q * scale) / u[c];
            for (size_t i = c; i < k; i++)
                row[i] -= error * u[i];
        }
    }
    free(w);
    return 0;
}

/* Channels that never carry anything, and the damping. */
static void prepare(double *gram, size_t k)
{
    double mean = 0;
    for (size_t i = 0; i < k; i++) {
        if (gram[i * k + i] == 0)
            gram[i * k + i] = 1;
        mean += gram[i * k + i] / (double)k;
    }
    for (size_t i = 0; i < k; i++)
        gram[i * k + i] += damp * mean;
}

static void reorder(double *to, const double *from, const uint32_t *order, size_t k)
{
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < k; j++)
            to[i * k + j] = from[order[i] * k + order[j]];
}

/* Upper U with gram^-1 = U^T U, as float, rows in order. */
static int inverse_factor(float *out, double *gram, double *work, const uint32_t *order, size_t k)
{
    bool positive = false;
    double more = 0, mean = 0;
    for (size_t i = 0; i < k; i++)
        mean += gram[i * k + i] / (double)k;
    for (int i = 0; i < TRIES && !positive; i++) {
        reorder(work, gram, order, k);
        for (size_t j = 0; j < k; j++)
            work[j * k + j] += more;
        FV_TRY(factor(work, k, &positive));
        more += damp / 10 * mean;
    }
    if (!positive)
        return fv_fail(FV_EINVALID, "what calibration saw cannot be inverted: more samples, or --gptq none");
    struct inversion v = {work, gram, k};
    FV_TRY(fv_parallel((k + SIDE - 1) / SIDE, 1, invert_columns, &v));
    for (size_t j = 0; j < k; j++)
        for (size_t i = 0; i < k; i++)
            out[i * k + j] = (float)gram[j * k + i];
    return 0;
}

int qt_gptq_begin(struct qt_gptq *g, double *gram, size_t k)
{
    *g = (struct qt_gptq){.k = k, .u = qt_room(k, k, sizeof *g->u), .order = qt_room(k, 1, sizeof *g->order)};
    double *work = qt_room(k, k, sizeof *work);
    int rc = work && g->u && g->order ? 0 : FV_ENOMEM;
    if (rc == 0) {
        for (size_t i = 0; i < k; i++)
            g->order[i] = (uint32_t)i;
        prepare(gram, k);
        qsort_r(g->order, k, sizeof *g->order, by_variance, &(struct order){gram, k});
        rc = inverse_factor(g->u, gram, work, g->order, k);
    }
    free(work);
    return rc;
}

void qt_gptq_finish(struct qt_gptq *g)
{
    free(g->u);
    free(g->order);
    *g = (struct qt_gptq){0};
}

int qt_gptq_round(const struct qt_gptq *g, float *w, size_t n, const float *scales, int levels, int8_t *codes,
                  float *nearest)
{
    return fv_parallel(n, 16, some_rows, &(struct spread){w, nearest, scales, g->u, g->order, g->k, levels, codes});
}

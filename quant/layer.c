/* One linear layer: smoothing, branch, residual, codes. arXiv 2411.05007, section 4. */
#include "quant/private.h"
#include "vk/base/half.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FITS = 2 }; /* of the branch to codes that GPTQ made: more gain a fiftieth */

struct search {
    const struct qt_opts *o;
    size_t n, k, rows;
    const float *w, *x;
    float *scale;               /* [k] of the candidate */
    float *smoothed, *residual; /* [n][k] */
    float *held;                /* [n][k] what the codes of the residual stand for */
    float *xs, *xq;             /* [rows][k] smoothed, and as the quantised branch sees it */
    float *want, *y;            /* [rows][n] */
    float *mid;                 /* [rows][rank] */
    float *up, *down;           /* of the smoothed W */
    struct qt_basis basis;
};

struct qt_opts qt_usual(enum qt_method method)
{
    return (struct qt_opts){.method = method,
                            .rank = method == QT_SVDQUANT ? 32 : 0,
                            .grids = 10,
                            .iterations = 100,
                            .activations = 8,
                            .passes = 3,
                            .more_passes = 1,
                            .tolerance = 0.02,
                            .search_rows = 128,
                            .search_outputs = 512,
                            .seed = 1};
}

static void search_finish(struct search *s)
{
    float **rooms[] = {&s->scale, &s->smoothed, &s->residual, &s->held, &s->xs, &s->xq,
                       &s->want,  &s->y,        &s->mid,      &s->up,   &s->down};
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++)
        free(*rooms[i]);
    qt_basis_finish(&s->basis);
}

static int search_create(struct search *s, const float *w, size_t n, size_t k, const struct qt_seen *seen,
                         const struct qt_opts *o)
{
    size_t rows = seen ? seen->rows : 0;
    *s = (struct search){.o = o, .n = n, .k = k, .rows = rows, .w = w, .x = rows ? seen->x : NULL};
    struct {
        float **at;
        size_t rows, columns;
    } rooms[] = {{&s->scale, k, 1},   {&s->smoothed, n, k}, {&s->residual, n, k}, {&s->held, n, k},
                 {&s->xs, rows, k},   {&s->xq, rows, k},    {&s->want, rows, n},  {&s->y, rows, n},
                 {&s->mid, rows, o->rank}, {&s->up, n, o->rank}, {&s->down, o->rank, k}};
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++) {
        *rooms[i].at = qt_room(rooms[i].rows, rooms[i].columns, sizeof(float));
        if (!*rooms[i].at)
            return FV_ENOMEM;
    }
    for (size_t i = 0; i < k; i++)
        s->scale[i] = 1;
    return qt_linear(s->want, s->x, w, rows, n, k);
}

/* The activations as `activations` bits leave them: those of the candidate's smoothing. */
static void smooth_activations(struct search *s)
{
    for (size_t r = 0; r < s->rows; r++)
        for (size_t i = 0; i < s->k; i++)
            s->xs[r * s->k + i] = s->x[r * s->k + i] / s->scale[i];
    bool shifted = s->o->activations == 4 && s->o->shift > 0;
    for (size_t r = 0; r < s->rows; r++)
        for (size_t i = 0; i < s->k; i++)
            s->xq[r * s->k + i] = shifted ? (s->x[r * s->k + i] + (float)s->o->shift) / s->scale[i]
                                          : s->xs[r * s->k + i];
    if (s->o->activations < 16)
        qt_rows(s->xq, s->rows, s->k, s->o->activations == 8 ? 127 : shifted ? 15 : 7, !shifted, false,
                NULL, NULL, s->xq);
    /* The shift goes away again in the bias: the codes' product with it. */
    for (size_t r = 0; r < s->rows && shifted; r++)
        for (size_t i = 0; i < s->k; i++)
            s->xq[r * s->k + i] -= (float)s->o->shift / s->scale[i];
}

static void smooth_weights(struct search *s)
{
    for (size_t r = 0; r < s->n; r++)
        for (size_t i = 0; i < s->k; i++)
            s->smoothed[r * s->k + i] = s->w[r * s->k + i] * s->scale[i];
}

/* residual = smoothed - up down. */
static int take_branch(struct search *s, const float *up, const float *down)
{
    size_t r = s->o->rank;
    FV_TRY(qt_product(s->residual, up, (struct qt_strides){r, 1}, down, (struct qt_strides){s->k, 1}, s->n,
                      s->k, r, false));
    for (size_t i = 0; i < s->n * s->k; i++)
        s->residual[i] = s->smoothed[i] - s->residual[i];
    return 0;
}

/* The branch that is nearest to what `held` leaves of the smoothed W (NULL: to all of it), the
 * residual and what its codes stand for. */
static int split(struct search *s, const float *held)
{
    for (size_t i = 0; i < s->n * s->k; i++)
        s->residual[i] = s->smoothed[i] - (held ? held[i] : 0);
    if (s->o->rank) {
        FV_TRY(qt_low_rank(s->up, s->down, s->residual, s->n, s->k, s->o->rank, &s->basis, s->o));
        FV_TRY(take_branch(s, s->up, s->down));
    }
    qt_rows(s->residual, s->n, s->k, 7, true, !s->o->exact, NULL, NULL, s->held);
    return 0;
}

/* Of the layer with a quantised part and (with rank) a branch that takes the smoothed x. */
static int error_of(struct search *s, const float *held, const float *up, const float *down, unsigned rank,
                    double *error)
{
    FV_TRY(qt_linear(s->y, s->xq, held, s->rows, s->n, s->k));
    if (rank) {
        FV_TRY(qt_linear(s->mid, s->xs, down, s->rows, rank, s->k));
        FV_TRY(qt_product(s->y, s->mid, (struct qt_strides){rank, 1}, up, (struct qt_strides){1, rank},
                          s->rows, s->n, rank, true));
    }
    *error = qt_distance(s->y, s->want, s->rows * s->n);
    return 0;
}

/* ---- smoothing --------------------------------------------------------------------------- */

static int try_smoothing(struct search *s, double *error)
{
    smooth_weights(s);
    smooth_activations(s);
    if (s->o->plain_smooth || !s->o->rank) {
        qt_rows(s->smoothed, s->n, s->k, 7, true, !s->o->exact, NULL, NULL, s->held);
        return error_of(s, s->held, NULL, NULL, 0, error);
    }
    FV_TRY(split(s, NULL));
    return error_of(s, s->held, s->up, s->down, s->o->rank, error);
}

/* None, then alpha with beta 0, then with beta 1 - alpha; of equal ones the last. */
static int choose_smoothing(struct search *s, struct qt_layer *l, const float *x_absmax, const float *w_absmax)
{
    float *best = qt_room(s->k, 1, sizeof *best);
    double least = INFINITY;
    unsigned steps = s->o->grids > 1 ? s->o->grids - 1 : 0;
    int rc = best ? 0 : FV_ENOMEM;
    for (unsigned i = 0; i < 1 + 2 * steps && rc == 0; i++) {
        double alpha = i ? (double)((i - 1) % steps + 1) / (steps + 1) : 0, error;
        double beta = i > steps ? 1 - alpha : 0;
        qt_smooth_scale(s->scale, x_absmax, w_absmax, s->k, alpha, beta);
        rc = try_smoothing(s, &error);
        if (rc == 0 && s->o->on_try)
            s->o->on_try(s->o->ud, 0, alpha, beta, s->scale, error);
        if (rc == 0 && error <= least) {
            least = error;
            l->alpha = alpha;
            l->beta = beta;
            memcpy(best, s->scale, s->k * sizeof *best);
        }
    }
    if (rc == 0)
        memcpy(s->scale, best, s->k * sizeof *best);
    free(best);
    return rc;
}

/* The same by some of the outputs, spread evenly, and of the rows: which smoothing is best shows in them
 * as well. */
static int choose_by_some(struct search *s, struct qt_layer *l, const float *x_absmax, const float *w_absmax)
{
    size_t n = s->o->search_outputs, rows = s->o->search_rows, least = 2 * ((size_t)s->o->rank + QT_OVERSAMPLE);
    n = !n || n > s->n ? s->n : n;
    n = n < least ? least < s->n ? least : s->n : n;
    rows = !rows || rows > s->rows ? s->rows : rows;
    if (n == s->n && rows == s->rows)
        return choose_smoothing(s, l, x_absmax, w_absmax);
    struct search t = {0};
    float *w = qt_room(n, s->k, sizeof *w);
    for (size_t i = 0; w && i < n; i++)
        memcpy(w + i * s->k, s->w + i * s->n / n * s->k, s->k * sizeof *w);
    int rc = w ? search_create(&t, w, n, s->k, &(struct qt_seen){.x = s->x, .rows = rows}, s->o) : FV_ENOMEM;
    t.basis = s->basis;
    if (rc == 0)
        rc = choose_smoothing(&t, l, x_absmax, w_absmax);
    s->basis = t.basis;
    t.basis = (struct qt_basis){0};
    if (rc == 0)
        memcpy(s->scale, t.scale, s->k * sizeof *s->scale);
    search_finish(&t);
    free(w);
    return rc;
}

/* ---- branch and residual ------------------------------------------------------------------ */

/* Leaves the best branch in up and down. */
static int refine(struct search *s, struct qt_layer *l)
{
    size_t all = s->rows, some = s->o->search_rows && s->o->search_rows < all ? s->o->search_rows : all;
    size_t nr = s->n * s->o->rank, rk = s->o->rank * s->k;
    float *up = qt_room(s->n, s->o->rank, sizeof *up), *down = qt_room(s->o->rank, s->k, sizeof *down);
    double least = INFINITY, error;
    int rc = up && down ? 0 : FV_ENOMEM;
    s->rows = some;
    for (unsigned i = 0; i < (s->o->iterations ? s->o->iterations : 1) && rc == 0; i++) {
        rc = split(s, i ? s->held : NULL);
        if (rc == 0)
            rc = error_of(s, s->held, s->up, s->down, s->o->rank, &error);
        if (rc < 0)
            break;
        if (s->o->on_try)
            s->o->on_try(s->o->ud, 1, l->alpha, l->beta, s->scale, error);
        if (i == 0)
            l->first_error = error;
        if (error > least)
            break;
        least = error;
        l->refined = i;
        memcpy(up, s->up, nr * sizeof *up);
        memcpy(down, s->down, rk * sizeof *down);
    }
    if (rc == 0) {
        memcpy(s->up, up, nr * sizeof *up);
        memcpy(s->down, down, rk * sizeof *down);
    }
    double part = qt_distance(s->want, NULL, some * s->n);
    s->rows = all;
    if (some < all && part > 0) /* as if of all */
        l->first_error *= l->signal / part;
    free(up);
    free(down);
    return rc;
}

static double mean_range(const float *w, size_t n, size_t k)
{
    double sum = 0;
    size_t groups = (k + QT_GROUP - 1) / QT_GROUP;
    for (size_t r = 0; r < n; r++)
        for (size_t g = 0; g < groups; g++) {
            float most = 0;
            for (size_t i = g * QT_GROUP; i < k && i < (g + 1) * QT_GROUP; i++)
                most = fmaxf(most, fabsf(w[r * k + i]));
            sum += most;
        }
    return sum / (double)(n * groups);
}

/* The factors as f16 holds them, each pair brought to the same size first: l->down takes the raw x.
 * s->down becomes what that is for the smoothed one. */
static int store_branch(struct search *s, struct qt_layer *l, const char *name)
{
    unsigned rank = s->o->rank;
    for (unsigned r = 0; r < rank; r++) {
        double up = 0, down = 0;
        for (size_t i = 0; i < s->n; i++)
            up = fmax(up, fabs((double)s->up[i * rank + r]));
        for (size_t i = 0; i < s->k; i++)
            down = fmax(down, fabs((double)s->down[r * s->k + i] / (double)s->scale[i]));
        double by = !s->o->exact && up > 0 && down > 0 ? sqrt(down / up) : 1;
        for (size_t i = 0; i < s->n; i++) {
            float v = (float)((double)s->up[i * rank + r] * by);
            l->up[i * rank + r] = s->o->exact ? v : fv_f16_to_f32(fv_f32_to_f16(v));
            if (!isfinite(l->up[i * rank + r]))
                return fv_fail(FV_EINVALID, "%s: its low-rank branch is beyond what f16 holds", name);
            s->up[i * rank + r] = l->up[i * rank + r];
        }
        for (size_t i = 0; i < s->k; i++) {
            float v = (float)((double)s->down[r * s->k + i] / by / (double)s->scale[i]);
            l->down[r * s->k + i] = s->o->exact ? v : fv_f16_to_f32(fv_f32_to_f16(v));
            if (!s->o->exact)
                s->down[r * s->k + i] = l->down[r * s->k + i] * s->scale[i];
        }
    }
    return 0;
}

/* Codes and scales of the residual. */
static int round_residual(struct search *s, struct qt_layer *l, const struct qt_gptq *g)
{
    qt_rows(s->residual, s->n, s->k, 7, true, !s->o->exact, l->codes, l->scales, s->held);
    return g ? qt_gptq_round(g, s->residual, s->n, l->scales, 7, l->codes, s->held) : 0;
}

/* Correlations of few rows are mostly chance: they count by as much as there are rows to tell them. */
static double trust(const struct search *s)
{
    return (double)s->rows / (double)(s->rows + s->k);
}

/* Sums of products of the smoothed inputs. */
static double *gram_of(const struct search *s)
{
    double *gram = qt_room(s->k, s->k, sizeof *gram), *x = qt_room(s->rows, s->k, sizeof *x);
    int rc = gram && x ? 0 : FV_ENOMEM;
    for (size_t i = 0; i < s->rows * s->k && rc == 0; i++)
        x[i] = s->xs[i];
    if (rc == 0)
        rc = qt_product_f64(gram, x, (struct qt_strides){1, s->k}, x, (struct qt_strides){s->k, 1}, s->k, s->k, s->rows,
                            false);
    for (size_t i = 0; i < s->k * s->k && rc == 0; i++)
        gram[i] *= i / s->k == i % s->k ? 1 : trust(s);
    free(x);
    if (rc < 0) {
        free(gram);
        gram = NULL;
    }
    return gram;
}

/* The branch whose output is nearest to what the codes leave of the layer's: E = smoothed - held, min |(E - up
 * down) G^1/2|, G the gram. With up's columns orthonormal down is up^T E, and they are the first directions
 * of E G^1/2 from the left; of (E x^T, E diag) likewise, whose products with themselves are the same. */
static int fit_branch(struct search *s)
{
    size_t n = s->n, k = s->k, rows = s->rows + k, rank = s->o->rank;
    float *seen = qt_room(rows, n, sizeof *seen), *left = qt_room(rows, rank, sizeof *left);
    float *turned = qt_room(rank, n, sizeof *turned);
    struct qt_basis basis = {0};
    int rc = seen && left && turned ? qt_basis_create(&basis, (unsigned)rank, rows, n) : FV_ENOMEM;
    for (size_t i = 0; i < n * k; i++)
        s->residual[i] = s->smoothed[i] - s->held[i];
    if (rc == 0)
        rc = qt_linear(seen, s->xs, s->residual, s->rows, n, k);
    if (rc == 0) {
        float part = (float)sqrt(trust(s));
        for (size_t i = 0; i < s->rows * n; i++)
            seen[i] *= part;
        for (size_t i = 0; i < k; i++) {
            double sum = 0;
            for (size_t r = 0; r < s->rows; r++)
                sum += (double)s->xs[r * k + i] * (double)s->xs[r * k + i];
            float by = (float)sqrt((1 - trust(s)) * sum);
            for (size_t j = 0; j < n; j++)
                seen[(s->rows + i) * n + j] = by * s->residual[j * k + i];
        }
        rc = qt_low_rank(left, turned, seen, rows, n, (unsigned)rank, &basis, s->o);
    }
    for (size_t i = 0; i < n && rc == 0; i++)
        for (size_t r = 0; r < rank; r++)
            s->up[i * rank + r] = turned[r * n + i];
    if (rc == 0)
        rc = qt_product(s->down, turned, (struct qt_strides){n, 1}, s->residual, (struct qt_strides){k, 1}, rank, k, n,
                        false);
    qt_basis_finish(&basis);
    free(turned);
    free(left);
    free(seen);
    return rc;
}

/* Codes by GPTQ and a branch fitted to them, twice. */
static int move_errors(struct search *s, struct qt_layer *l, const char *name)
{
    struct qt_gptq g = {0};
    double *gram = gram_of(s);
    int rc = gram ? qt_gptq_begin(&g, gram, s->k) : FV_ENOMEM;
    free(gram);
    for (int i = 0; i < (s->o->rank ? FITS : 1) && rc == 0; i++) {
        rc = i ? take_branch(s, s->up, s->down) : 0;
        if (rc == 0)
            rc = round_residual(s, l, &g);
        if (rc == 0 && s->o->rank)
            rc = fit_branch(s);
        if (rc == 0 && s->o->rank)
            rc = store_branch(s, l, name);
    }
    qt_gptq_finish(&g);
    return rc;
}

static int svdquant(struct search *s, struct qt_layer *l, const char *name, const struct qt_seen *seen)
{
    float *absmax = qt_room(2, s->k, sizeof *absmax);
    if (!absmax)
        return FV_ENOMEM;
    qt_column_absmax(absmax, s->x, s->rows, s->k);
    for (size_t i = 0; seen->absmax && i < s->k; i++)
        absmax[i] = fmaxf(absmax[i], seen->absmax[i]);
    qt_column_absmax(absmax + s->k, s->w, s->n, s->k);
    int rc = choose_by_some(s, l, absmax, absmax + s->k);
    free(absmax);
    FV_TRY(rc);
    smooth_weights(s);
    smooth_activations(s);
    l->range = mean_range(s->smoothed, s->n, s->k);
    if (s->o->rank) {
        FV_TRY(refine(s, l));
        FV_TRY(store_branch(s, l, name));
        FV_TRY(take_branch(s, s->up, s->down));
    } else {
        memcpy(s->residual, s->smoothed, s->n * s->k * sizeof *s->residual);
    }
    l->range_left = mean_range(s->residual, s->n, s->k);
    FV_TRY(s->o->gptq ? move_errors(s, l, name) : round_residual(s, l, NULL));
    memcpy(l->smooth, s->scale, s->k * sizeof *l->smooth);
    return error_of(s, s->held, s->up, s->down, s->o->rank, &l->error);
}

/* ---- baselines ---------------------------------------------------------------------------- */

static int nf4_code(float v)
{
    int at = 0;
    while (at < 15 && v > (nn_nf4[at] + nn_nf4[at + 1]) / 2)
        at++;
    return at;
}

static void nf4(struct search *s, struct qt_layer *l)
{
    size_t groups = l->padded / QT_GROUP;
    /* With one level the scale is the group's largest. */
    qt_rows(s->w, s->n, s->k, 1, true, true, NULL, l->scales, NULL);
    memset(l->codes, 7, l->n * l->padded);
    for (size_t r = 0; r < s->n; r++)
        for (size_t i = 0; i < s->k; i++) {
            float scale = l->scales[r * groups + i / QT_GROUP];
            int code = scale > 0 ? nf4_code(s->w[r * s->k + i] / scale) : 7;
            l->codes[r * l->padded + i] = (int8_t)code;
            s->held[r * s->k + i] = nn_nf4[code] * scale;
        }
}

static int baseline(struct search *s, struct qt_layer *l)
{
    smooth_activations(s);
    if (s->o->method == QT_NF4)
        nf4(s, l);
    else
        qt_rows(s->w, s->n, s->k, s->o->method == QT_RTN8 ? 127 : 7, true, true, l->codes, l->scales, s->held);
    l->range = l->range_left = mean_range(s->w, s->n, s->k);
    return error_of(s, s->held, NULL, NULL, 0, &l->error);
}

/* What plain rounding to 4 bits would cost, to compare with. */
static int plain_rounding(struct search *s, struct qt_layer *l)
{
    smooth_activations(s);
    qt_rows(s->w, s->n, s->k, 7, true, !s->o->exact, NULL, NULL, s->held);
    return error_of(s, s->held, NULL, NULL, 0, &l->plain_error);
}

/* What was found, on other rows. s->held and the branch are those of the end. */
static int judge(struct search *s, struct qt_layer *l, const struct qt_seen *seen)
{
    l->judged_signal = l->signal;
    l->judged_plain = l->plain_error;
    l->judged_error = l->error;
    if (!s->rows || !seen->judge || !seen->judge_rows)
        return 0;
    float *scale = s->scale, *held = s->held, *ones = qt_room(s->k, 1, sizeof *ones), *plain = s->residual;
    struct qt_layer p = {.plain_error = 0};
    int rc = ones ? 0 : FV_ENOMEM;
    s->x = seen->judge;
    s->rows = seen->judge_rows;
    free(s->xs), free(s->xq), free(s->want), free(s->y), free(s->mid);
    s->xs = qt_room(s->rows, s->k, sizeof *s->xs);
    s->xq = qt_room(s->rows, s->k, sizeof *s->xq);
    s->want = qt_room(s->rows, s->n, sizeof *s->want);
    s->y = qt_room(s->rows, s->n, sizeof *s->y);
    s->mid = qt_room(s->rows, s->o->rank, sizeof *s->mid);
    rc = rc == 0 && s->xs && s->xq && s->want && s->y && s->mid ? 0 : FV_ENOMEM;
    if (rc == 0)
        rc = qt_linear(s->want, s->x, s->w, s->rows, s->n, s->k);
    if (rc == 0) {
        l->judged_signal = qt_distance(s->want, NULL, s->rows * s->n);
        smooth_activations(s);
        rc = error_of(s, held, s->up, s->down, s->o->rank, &l->judged_error);
    }
    for (size_t i = 0; i < s->k && rc == 0; i++)
        ones[i] = 1;
    s->scale = ones;
    s->held = plain; /* what is in it is needed no more */
    if (rc == 0)
        rc = plain_rounding(s, &p);
    l->judged_plain = p.plain_error;
    s->scale = scale;
    s->held = held;
    free(ones);
    return rc;
}

/* ---- a layer ------------------------------------------------------------------------------ */

static int check_finite(const char *name, const char *what, const float *x, size_t rows, size_t columns)
{
    for (size_t i = 0; i < rows * columns; i++)
        if (!isfinite(x[i]))
            return fv_fail(FV_EINVALID, "%s: its %s holds %s, at [%zu, %zu]", name, what,
                           isnan(x[i]) ? "NaN" : "an infinity", i / columns, i % columns);
    return 0;
}

/* f16 ends at 65504: scales of the residual are at most the plain ones in all but odd cases. */
static int check_scales(const struct qt_layer *l, const char *name)
{
    size_t groups = l->padded / QT_GROUP;
    for (size_t i = 0; i < l->n * groups; i++)
        if (!isfinite(l->scales[i]))
            return fv_fail(FV_EINVALID, "%s: weights of row %zu are too large for scales in f16", name,
                           i / groups);
    return 0;
}

static int layer_create(struct qt_layer *l, size_t n, size_t k, const struct qt_opts *o)
{
    size_t padded = (k + QT_GROUP - 1) / QT_GROUP * QT_GROUP;
    *l = (struct qt_layer){.method = o->method, .n = n, .k = k, .padded = padded, .rank = o->rank};
    l->codes = qt_room(n, padded, 1);
    l->scales = qt_room(n, padded / QT_GROUP, sizeof *l->scales);
    if (!l->codes || !l->scales)
        return FV_ENOMEM;
    if (o->method == QT_SVDQUANT && !(l->smooth = qt_room(k, 1, sizeof *l->smooth)))
        return FV_ENOMEM;
    if (o->rank)
        l->down = qt_room(o->rank, k, sizeof *l->down), l->up = qt_room(n, o->rank, sizeof *l->up);
    return o->rank && (!l->down || !l->up) ? FV_ENOMEM : 0;
}

int qt_quantise(struct qt_layer *out, const char *name, const float *w, size_t n, size_t k,
                const struct qt_seen *seen, const struct qt_opts *given)
{
    struct qt_opts o = *given;
    struct search s = {0};
    *out = (struct qt_layer){0};
    o.rank = o.method == QT_SVDQUANT ? o.rank : 0;
    if (!n || !k)
        return fv_fail(FV_EINVALID, "%s: has no elements", name);
    if (o.method == QT_SVDQUANT && (!seen || !seen->rows))
        return fv_fail(FV_EINVALID, "%s: calibration saw no input of it", name);
    FV_TRY(check_finite(name, "weight", w, n, k));
    if (seen && seen->rows)
        FV_TRY(check_finite(name, "input in calibration", seen->x, seen->rows, k));
    int rc = layer_create(out, n, k, &o);
    if (rc == 0)
        rc = search_create(&s, w, n, k, seen, &o);
    if (rc == 0 && o.rank)
        rc = qt_basis_create(&s.basis, o.rank, n, k);
    if (rc == 0) {
        out->signal = qt_distance(s.want, NULL, s.rows * n);
        rc = plain_rounding(&s, out);
    }
    if (rc == 0)
        rc = o.method == QT_SVDQUANT ? svdquant(&s, out, name, seen) : baseline(&s, out);
    if (rc == 0)
        rc = check_scales(out, name);
    if (rc == 0)
        rc = judge(&s, out, seen);
    search_finish(&s);
    if (rc < 0)
        qt_layer_finish(out);
    return rc;
}

void qt_layer_finish(struct qt_layer *l)
{
    free(l->codes);
    free(l->scales);
    free(l->smooth);
    free(l->down);
    free(l->up);
    *l = (struct qt_layer){0};
}

void qt_layer_matrix(const struct qt_layer *l, float *w)
{
    size_t groups = l->padded / QT_GROUP;
    for (size_t r = 0; r < l->n; r++)
        for (size_t i = 0; i < l->k; i++) {
            int code = l->codes[r * l->padded + i];
            float v = (l->method == QT_NF4 ? nn_nf4[code & 15] : (float)code) * l->scales[r * groups + i / QT_GROUP];
            double sum = l->smooth ? (double)v / (double)l->smooth[i] : (double)v;
            for (unsigned j = 0; j < l->rank; j++)
                sum += (double)l->up[r * l->rank + j] * (double)l->down[j * l->k + i];
            w[r * l->k + i] = (float)sum;
        }
}

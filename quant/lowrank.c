/* Truncated singular value decomposition by subspace iteration with Rayleigh-Ritz: arXiv 0909.4061,
 * algorithm 4.4. All in double; products are threaded, the rest is of the subspace's size. */
#include "quant/private.h"
#include "vk/base/eigen.h"
#include "vk/base/hash.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

double qt_random(uint64_t seed, uint64_t at)
{
    uint64_t z = fv_mix(seed * 0xd1342543de82ef95 + (at + 1) * 0x9e3779b97f4a7c15);
    return (double)(z >> 11) * 0x1p-52 - 1;
}

int qt_basis_create(struct qt_basis *b, unsigned rank, size_t n, size_t k)
{
    size_t most = n < k ? n : k, want = (size_t)rank + QT_OVERSAMPLE;
    *b = (struct qt_basis){.count = (unsigned)(want < most ? want : most), .k = k};
    b->rows = qt_room(b->count, k, sizeof *b->rows);
    return b->rows ? 0 : FV_ENOMEM;
}

static void swap_rows(double *v, size_t n, size_t a, size_t b)
{
    for (size_t i = 0; i < n; i++) {
        double t = v[a * n + i];
        v[a * n + i] = v[b * n + i];
        v[b * n + i] = t;
    }
}

/* Eigenvectors of the symmetric s as rows of v, values from the largest down. */
static void eigen(double *s, double *v, double *values, size_t n)
{
    fv_eigen(s, v, n, n);
    for (size_t i = 0; i < n; i++) {
        values[i] = s[i * n + i];
        for (size_t j = 0; j < i; j++) {
            double t = v[i * n + j];
            v[i * n + j] = v[j * n + i], v[j * n + i] = t;
        }
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 1; j < n; j++)
            if (values[j] > values[i]) {
                double t = values[i];
                values[i] = values[j], values[j] = t;
                swap_rows(v, n, i, j);
            }
}

/* What the iteration works in; l: rows of the basis. */
struct qt_space {
    size_t n, k, l;
    double *a;                    /* [n][k] */
    double *left, *right, *turned; /* [l][n], [l][k], [l][the longer] */
    double *gram, *vectors, *values;
};

static void space_free(struct qt_space *s)
{
    double *rooms[] = {s->a, s->left, s->right, s->turned, s->gram, s->vectors, s->values};
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++)
        free(rooms[i]);
    free(s);
}

/* For matrices of n rows; similar ones follow each other, so it is kept. */
static int space_for(struct qt_basis *b, size_t n)
{
    size_t k = b->k, l = b->count;
    if (b->space && b->space->n == n)
        return 0;
    if (b->space)
        space_free(b->space);
    struct qt_space *s = b->space = calloc(1, sizeof *s);
    if (!s)
        return fv_fail(FV_ENOMEM, "out of memory");
    *s = (struct qt_space){.n = n, .k = k, .l = l};
    s->a = qt_room(n, k, sizeof *s->a);
    s->left = qt_room(l, n, sizeof *s->left);
    s->right = qt_room(l, k, sizeof *s->right);
    s->turned = qt_room(l, n > k ? n : k, sizeof *s->turned);
    s->gram = qt_room(l, l, sizeof *s->gram);
    s->vectors = qt_room(l, l, sizeof *s->vectors);
    s->values = qt_room(l, 1, sizeof *s->values);
    if (s->a && s->left && s->right && s->turned && s->gram && s->vectors && s->values)
        return 0;
    space_free(s);
    b->space = NULL;
    return FV_ENOMEM;
}

void qt_basis_finish(struct qt_basis *b)
{
    if (b->space)
        space_free(b->space);
    free(b->rows);
    *b = (struct qt_basis){0};
}

/* rows [l][width] times their own lengths and directions: eigen of rows rows^T, then rows = V rows,
 * each divided by its length unless `keep`. Rows without length are zero. */
static int turn(struct qt_space *s, double *rows, size_t width, bool keep)
{
    size_t l = s->l;
    FV_TRY(qt_product_f64(s->gram, rows, (struct qt_strides){width, 1}, rows,
                          (struct qt_strides){1, width}, l, l, width, false));
    eigen(s->gram, s->vectors, s->values, l);
    FV_TRY(qt_product_f64(s->turned, s->vectors, (struct qt_strides){l, 1}, rows,
                          (struct qt_strides){width, 1}, l, width, l, false));
    for (size_t i = 0; i < l; i++) {
        bool none = !(s->values[i] > 1e-28 * s->values[0]);
        double by = none ? 0 : keep ? 1 : 1 / sqrt(s->values[i]);
        for (size_t j = 0; j < width; j++)
            rows[i * width + j] = s->turned[i * width + j] * by;
    }
    return 0;
}

/* Twice, since the first time directions of little length are only roughly right. */
static int make_orthonormal(struct qt_space *s, double *rows, size_t width)
{
    FV_TRY(turn(s, rows, width, false));
    return turn(s, rows, width, false);
}

static void fill(struct qt_basis *b, uint64_t seed)
{
    for (size_t i = 0; i < b->count * b->k; i++)
        b->rows[i] = qt_random(seed, i);
}

/* One pass: left = orthonormal (basis a^T), right = left a, its gram's eigenvectors and values. */
static int pass(struct qt_space *s, struct qt_basis *b)
{
    size_t n = s->n, k = s->k, l = s->l;
    FV_TRY(qt_product_f64(s->left, b->rows, (struct qt_strides){k, 1}, s->a, (struct qt_strides){1, k},
                          l, n, k, false));
    FV_TRY(make_orthonormal(s, s->left, n));
    FV_TRY(qt_product_f64(s->right, s->left, (struct qt_strides){n, 1}, s->a, (struct qt_strides){k, 1},
                          l, k, n, false));
    FV_TRY(turn(s, s->right, k, true)); /* now rows are sigma times right singular vectors */
    /* left turns with it: rows of V left */
    FV_TRY(qt_product_f64(s->turned, s->vectors, (struct qt_strides){l, 1}, s->left,
                          (struct qt_strides){n, 1}, l, n, l, false));
    memcpy(s->left, s->turned, l * n * sizeof *s->left);
    for (size_t i = 0; i < l; i++) {
        double sigma = sqrt(fmax(s->values[i], 0)), by = sigma > 0 ? 1 / sigma : 0;
        for (size_t j = 0; j < k; j++)
            b->rows[i * k + j] = s->right[i * k + j] * by;
    }
    return 0;
}

static int iterate(struct qt_space *s, struct qt_basis *b, unsigned rank, unsigned passes, double tolerance)
{
    double all = 0, held = 0, before = -1;
    for (size_t i = 0; i < s->n * s->k; i++)
        all += s->a[i] * s->a[i];
    for (unsigned p = 0; p < (passes ? passes : 1); p++) {
        FV_TRY(pass(s, b));
        held = 0;
        for (size_t i = 0; i < s->l && i < rank; i++)
            held += s->values[i];
        if (before >= 0 && held - before <= tolerance * fmax(all - held, 1e-14 * all))
            break;
        before = held;
    }
    return 0;
}

int qt_low_rank(float *up, float *down, const float *a, size_t n, size_t k, unsigned rank,
                struct qt_basis *b, const struct qt_opts *o)
{
    unsigned passes = b->started ? o->more_passes : o->passes;
    FV_TRY(space_for(b, n));
    struct qt_space *s = b->space;
    for (size_t i = 0; i < n * k; i++)
        s->a[i] = a[i];
    if (!b->started)
        fill(b, o->seed);
    b->started = true;
    FV_TRY(iterate(s, b, rank, passes, o->tolerance));
    for (size_t r = 0; r < rank; r++) {
        double sigma = r < s->l ? sqrt(fmax(s->values[r], 0)) : 0;
        for (size_t j = 0; j < k; j++)
            down[r * k + j] = r < s->l ? (float)b->rows[r * k + j] : 0;
        for (size_t i = 0; i < n; i++)
            up[i * rank + r] = r < s->l ? (float)(sigma * s->left[r * n + i]) : 0;
    }
    return 0;
}

/* Products of matrices: blocks of the result on all processors, from panels in the order a small
 * kernel of registers reads them. Sums go along k in the same order everywhere. */
#include "quant/quant.h"
#include "vk/base/thread.h"

#include <stdlib.h>
#include <string.h>

enum { MR = 6, MC = 96, NC = 256, KC = 256 };

/* The widest vectors the processor has; they do not change the sums (no fused multiply-add). */
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__clang__) && !defined(__SANITIZE_THREAD__)
#define CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define CLONES
#endif

typedef float floats __attribute__((vector_size(64)));
typedef double doubles __attribute__((vector_size(64)));

#define T float
#define VECTOR floats
#define LANES 16
#define NAME(x) x##_f32
#include "quant/product_body.h"
#undef T
#undef VECTOR
#undef LANES
#undef NAME

#define T double
#define VECTOR doubles
#define LANES 8
#define NAME(x) x##_f64
#include "quant/product_body.h"

static size_t blocks_of(size_t m, size_t n)
{
    return (m + MC - 1) / MC * ((n + NC - 1) / NC);
}

int qt_product(float *c, const float *a, struct qt_strides sa, const float *b, struct qt_strides sb,
               size_t m, size_t n, size_t k, bool add)
{
    struct work_f32 w = {c, a, b, sa, sb, m, n, k, (n + NC - 1) / NC, add};
    if (!k && !add)
        memset(c, 0, m * n * sizeof *c);
    return fv_parallel(blocks_of(m, n), 1, blocks_f32, &w);
}

int qt_product_f64(double *c, const double *a, struct qt_strides sa, const double *b,
                   struct qt_strides sb, size_t m, size_t n, size_t k, bool add)
{
    struct work_f64 w = {c, a, b, sa, sb, m, n, k, (n + NC - 1) / NC, add};
    if (!k && !add)
        memset(c, 0, m * n * sizeof *c);
    return fv_parallel(blocks_of(m, n), 1, blocks_f64, &w);
}

int qt_linear(float *y, const float *x, const float *w, size_t rows, size_t n, size_t k)
{
    return qt_product(y, x, (struct qt_strides){k, 1}, w, (struct qt_strides){1, k}, rows, n, k, false);
}

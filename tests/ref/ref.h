/* Slow, obvious twins of the tensor ops in double precision, over packed host tensors.
 *
 *     struct ref x = ref_random(1, NN_SHAPE(2, 3, 4));
 *     struct ref y = ref_add(x, x);
 *     ref_free(&x);
 */
#ifndef REF_H
#define REF_H

#include <stddef.h>
#include <stdint.h>

struct ref {
    uint32_t rank, shape[5];
    double *v; /* row-major */
};

struct ref ref_new(uint32_t rank, const uint32_t *shape); /* zeroed */
void ref_free(struct ref *t);
size_t ref_count(const struct ref *t);
/* Uniform in [-1, 1), the same for the same seed. */
struct ref ref_random(uint64_t seed, uint32_t rank, const uint32_t *shape);
struct ref ref_clone(const struct ref *t);
/* Element at an index of t->rank entries. */
double *ref_at(const struct ref *t, const uint32_t *index);
/* Index of the next element, row-major; 0 after the last. */
int ref_next(const struct ref *t, uint32_t *index);
/* Flat place of a broadcast operand's element for an index of the result. */
double ref_broadcast(const struct ref *t, uint32_t rank, const uint32_t *index);

/* layout.c */
struct ref ref_permute(const struct ref *t, const int *order);
struct ref ref_slice(const struct ref *t, uint32_t axis, uint32_t first, uint32_t count);
struct ref ref_concat(uint32_t axis, const struct ref *list, uint32_t n);
struct ref ref_repeat(const struct ref *t, uint32_t axis, uint32_t times);
/* mode: 0 value, 1 replicate, 2 reflect */
struct ref ref_pad(const struct ref *t, const uint32_t *before, const uint32_t *after, int mode,
                   double value);
/* [N, C fT fH fW, T, H, W] -> [N, C, T fT, H fH, W fW] */
struct ref ref_depth_to_space(const struct ref *t, const uint32_t f[3], int c_last);
/* [N, C, T, H, W] -> [N, tokens, features] */
struct ref ref_patchify(const struct ref *t, const uint32_t p[3], int c_last);

/* elementwise.c: op is NN_EW_* of shaders/nn/params.h, act NN_ACT_* */
double ref_act(uint32_t act, double x, double a, double b);
struct ref ref_elementwise(uint32_t op, uint32_t act, double a, double b, uint32_t n,
                           const struct ref *operands);

/* linear.c: operands of rank 0 are absent; batch and other options as in nn.h. */
struct ref_linear {
    struct ref bias, gate, residual;
    uint32_t act; /* NN_ACT_* */
    double a, b;
};
struct ref ref_linear(const struct ref *x, const struct ref *w, const struct ref_linear *o);
void ref_linear_free(struct ref_linear *o);
struct ref_matmul {
    int trans_a, trans_b;
    double scale;
    struct ref add;
};
struct ref ref_matmul(const struct ref *a, const struct ref *b, const struct ref_matmul *o);
struct ref_attention {
    double scale;
    struct ref mask;
    int causal, heads_apart;
    uint32_t block, window;
};
struct ref ref_attention(const struct ref *q, const struct ref *k, const struct ref *v,
                         const struct ref_attention *o);

/* matrix.c: the numbers of a matrix of codes as a file has it: 1 int4, 2 nf4, 3 int8; rows filled up to
 * 64 codes. smooth may be NULL, rank 0. */
struct ref_codes {
    int kind;
    uint32_t rows, columns, rank;
    const unsigned char *codes;
    const double *scales, *smooth, *down, *up;
};
struct ref ref_matrix(const struct ref_codes *m);

/* sampling.c: [N, C, T, H, W] or fewer axes of space */
struct ref ref_upsample(const struct ref *t, const uint32_t f[3], int linear);
struct ref ref_avg_pool(const struct ref *t, const uint32_t kernel[3], const uint32_t stride[3],
                        uint32_t pad[3][2], const int mode[3]); /* rank 5 */
struct ref ref_mean(const struct ref *t, uint32_t axis);
struct ref ref_softmax(const struct ref *t, double scale);

/* embed.c */
struct ref ref_embed(const struct ref *ids, const struct ref *table);
struct ref ref_timestep(const struct ref *t, uint32_t dim, double period, int sin_first,
                        double shift, double scale);
/* angles: [T, R / 2], radians */
struct ref ref_rope(const struct ref *x, const struct ref *angles, int halves);

#endif

/* Matrix products and attention in double (ref.h). */
#include "ref/ref.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct ref ref_linear(const struct ref *x, const struct ref *w, const struct ref_linear *o)
{
    uint32_t n = w->shape[0], depth = w->shape[1], shape[5];
    size_t rows = ref_count(x) / depth;
    size_t run = o->gate.rank ? rows / (ref_count(&o->gate) / n) : 1;
    memcpy(shape, x->shape, sizeof shape);
    shape[x->rank - 1] = n;
    struct ref y = ref_new(x->rank, shape);
    for (size_t m = 0; m < rows; m++)
        for (size_t j = 0; j < n; j++) {
            double v = o->bias.rank ? o->bias.v[j] : 0;
            for (size_t k = 0; k < depth; k++)
                v += x->v[m * depth + k] * w->v[j * depth + k];
            v = ref_act(o->act, v, o->a, o->b);
            if (o->gate.rank)
                v *= o->gate.v[m / run * n + j];
            y.v[m * n + j] = v + (o->residual.rank ? o->residual.v[m * n + j] : 0);
        }
    return y;
}

void ref_linear_free(struct ref_linear *o)
{
    ref_free(&o->bias);
    ref_free(&o->gate);
    ref_free(&o->residual);
}

/* Size of an axis counted from the last, 1 where there is none. */
static uint32_t axis(const struct ref *t, uint32_t from_last)
{
    return from_last < t->rank ? t->shape[t->rank - 1 - from_last] : 1;
}

struct ref ref_matmul(const struct ref *a, const struct ref *b, const struct ref_matmul *o)
{
    uint32_t rank = a->rank > b->rank ? a->rank : b->rank, shape[5], i[5] = {0};
    uint32_t depth = axis(a, o->trans_a ? 1 : 0);
    for (uint32_t k = 0; k < rank; k++) {
        uint32_t x = axis(a, rank - 1 - k), y = axis(b, rank - 1 - k);
        shape[k] = x > y ? x : y;
    }
    shape[rank - 2] = axis(a, o->trans_a ? 0 : 1);
    shape[rank - 1] = axis(b, o->trans_b ? 1 : 0);
    struct ref y = ref_new(rank, shape);
    do {
        double v = 0;
        for (uint32_t k = 0; k < depth; k++) {
            uint32_t at_a[5], at_b[5];
            memcpy(at_a, i, sizeof at_a);
            memcpy(at_b, i, sizeof at_b);
            at_a[rank - 1] = o->trans_a ? i[rank - 2] : k;
            at_a[rank - 2] = o->trans_a ? k : i[rank - 2];
            at_b[rank - 1] = o->trans_b ? k : i[rank - 1];
            at_b[rank - 2] = o->trans_b ? i[rank - 1] : k;
            v += ref_broadcast(a, rank, at_a) * ref_broadcast(b, rank, at_b);
        }
        *ref_at(&y, i) = v * (o->scale == 0 ? 1 : o->scale) +
                         (o->add.rank ? ref_broadcast(&o->add, rank, i) : 0);
    } while (ref_next(&y, i));
    return y;
}

/* Whether query t may see key s. */
static int sees(const struct ref_attention *o, uint32_t t, uint32_t s, uint32_t queries,
                uint32_t keys)
{
    double block = o->block ? o->block : 1;
    double q = floor((t + (o->causal ? (double)keys - queries : 0)) / block), k = floor(s / block);
    return !(o->causal && k > q) && !(o->window && fabs(k - q) > o->window);
}

static void attend(const struct ref *q, const struct ref *k, const struct ref *v,
                   const struct ref_attention *o, const uint32_t at[3], double *score, double *out)
{
    uint32_t keys = k->shape[2], d = q->shape[3], e = v->shape[3];
    uint32_t head = at[1] / (q->shape[1] / k->shape[1]),
             v_head = at[1] / (q->shape[1] / v->shape[1]);
    double most = -INFINITY, sum = 0, scale = o->scale == 0 ? 1 / sqrt(d) : o->scale;
    for (uint32_t s = 0; s < keys; s++) {
        double x = 0;
        for (uint32_t c = 0; c < d; c++)
            x += *ref_at(q, (uint32_t[]){at[0], at[1], at[2], c}) *
                 *ref_at(k, (uint32_t[]){at[0], head, s, c});
        x *= scale;
        if (o->mask.rank)
            x += ref_broadcast(&o->mask, 4, (uint32_t[]){at[0], at[1], at[2], s});
        score[s] = sees(o, at[2], s, q->shape[2], keys) ? x : -INFINITY;
        most = score[s] > most ? score[s] : most;
    }
    memset(out, 0, e * sizeof *out);
    for (uint32_t s = 0; s < keys && most > -INFINITY; s++) {
        double p = exp(score[s] - most);
        sum += p;
        for (uint32_t c = 0; c < e; c++)
            out[c] += p * *ref_at(v, (uint32_t[]){at[0], v_head, s, c});
    }
    for (uint32_t c = 0; c < e && sum > 0; c++)
        out[c] /= sum;
}

struct ref ref_attention(const struct ref *q, const struct ref *k, const struct ref *v,
                         const struct ref_attention *o)
{
    uint32_t shape[4] = {q->shape[0], q->shape[1], q->shape[2], v->shape[3]}, i[5] = {0};
    struct ref y = ref_new(4, shape);
    double *score = malloc(k->shape[2] * sizeof *score), *out = malloc(shape[3] * sizeof *out);
    do {
        attend(q, k, v, o, i, score, out);
        memcpy(ref_at(&y, i), out, shape[3] * sizeof *out);
        i[3] = shape[3] - 1;
    } while (ref_next(&y, i));
    free(score);
    free(out);
    if (o->heads_apart)
        return y;
    struct ref rows = ref_permute(&y, (int[]){0, 2, 1, 3});
    rows.rank = 3;
    rows.shape[2] *= rows.shape[3];
    ref_free(&y);
    return rows;
}

/* Tensors for tests (tensors.h). */
#include "support/tensors.h"
#include "vk/base/half.h"

void tensors_begin_with(struct tensors *t, const struct nn_rec_opts *o)
{
    assert_ok(nn_store_create(&t->store, test_device()));
    assert_ok(nn_rec_create(&t->r, test_device(), o));
    nn_begin(t->r);
}

void tensors_begin(struct tensors *t)
{
    tensors_begin_with(t, NULL);
}

void tensors_end(struct tensors *t)
{
    nn_rec_destroy(&t->r);
    nn_store_destroy(&t->store);
}

static double rounded(double v, enum nn_dtype d)
{
    if (d == NN_F16)
        return (double)fv_f16_to_f32(fv_f32_to_f16((float)v));
    if (d == NN_BF16)
        return (double)fv_bf16_to_f32(fv_f32_to_bf16((float)v));
    return d == NN_I32 ? rint(v) : (double)(float)v;
}

static void upload(nn_tensor t, const double *v, size_t n)
{
    float *f = malloc(4 * n);
    for (size_t i = 0; i < n; i++) {
        f[i] = (float)v[i];
        if (t.dtype == NN_I32)
            memcpy(&f[i], &(int32_t){(int32_t)v[i]}, 4);
    }
    if (t.dtype == NN_I32)
        assert_ok(nn_upload(t, f));
    else
        assert_ok(nn_upload_f32(t, f));
    free(f);
}

nn_tensor tensors_put(struct tensors *t, struct ref *x, enum nn_dtype d)
{
    nn_tensor out;
    size_t n = ref_count(x);
    for (size_t i = 0; i < n; i++)
        x->v[i] = rounded(x->v[i], d);
    assert_ok(nn_store_tensor(&out, t->store, d, x->rank, x->shape, "test"));
    upload(out, x->v, n);
    return out;
}

nn_tensor tensors_put_strided(struct tensors *t, struct ref *x, enum nn_dtype d)
{
    uint32_t shape[5], i[5] = {0}, to[5];
    for (uint32_t k = 0; k < x->rank; k++)
        shape[k] = x->shape[k] + 1 + k % 2;
    struct ref wide = ref_random(99, x->rank, shape);
    do {
        for (uint32_t k = 0; k < x->rank; k++)
            to[k] = i[k] + 1;
        *ref_at(x, i) = rounded(*ref_at(x, i), d);
        *ref_at(&wide, to) = *ref_at(x, i);
    } while (ref_next(x, i));
    nn_tensor out = tensors_put(t, &wide, d);
    for (uint32_t k = 0; k < x->rank; k++)
        out = nn_slice(t->r, out, (int)k, 1, x->shape[k]);
    ref_free(&wide);
    return out;
}

struct ref tensors_get(struct tensors *t, nn_tensor y)
{
    struct ref out = {0};
    if (nn_is_null(y)) {
        assert_ok(nn_end(t->r));
        fail_msg("a null tensor without a failure");
    }
    nn_tensor flat = y.dtype == NN_I32 ? nn_pack(t->r, y) : nn_pack(t->r, nn_cast(t->r, y, NN_F32));
    assert_ok(nn_end(t->r));
    assert_ok(nn_run(t->r));
    out = ref_new(y.rank, y.shape);
    size_t n = ref_count(&out);
    float *f = malloc(4 * n);
    assert_ok(nn_fetch(f, flat));
    for (size_t i = 0; i < n; i++) {
        int32_t whole;
        memcpy(&whole, &f[i], 4);
        out.v[i] = y.dtype == NN_I32 ? (double)whole : (double)f[i];
    }
    free(f);
    nn_begin(t->r);
    return out;
}

void tensors_expect(struct tensors *t, nn_tensor y, const struct ref *want, double tol,
                    const char *what)
{
    double step = y.dtype == NN_F16 ? 0x1p-11 : y.dtype == NN_BF16 ? 0x1p-8 : 0, rms = 0;
    struct ref got = tensors_get(t, y);
    size_t n = ref_count(&got);
    if (got.rank != want->rank || memcmp(got.shape, want->shape, got.rank * sizeof *got.shape))
        fail_msg("%s: rank %u, expected %u, or other sizes", what, got.rank, want->rank);
    for (size_t i = 0; i < n; i++)
        rms += want->v[i] * want->v[i];
    rms = sqrt(rms / (double)n);
    for (size_t i = 0; i < n; i++) {
        double room = tol * ((rms > 0 ? rms : 1) + fabs(want->v[i])) + step * fabs(want->v[i]) +
                      (step ? 0x1p-25 : 0);
        bool same = got.v[i] == want->v[i] || fabs(got.v[i] - want->v[i]) <= room ||
                    (isnan(got.v[i]) && isnan(want->v[i]));
        if (!same)
            fail_msg("%s: [%zu of %zu] = %.9g, expected %.9g +- %.3g", what, i, n, got.v[i],
                     want->v[i], room);
    }
    ref_free(&got);
}

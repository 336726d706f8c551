/* The recorder: pool and scopes, dry runs, running again, traces, checks, nn_into, limits. */
#include "support/tensors.h"
#include "vk/nn/op.h"

/* Three temporaries of 1 MiB in a scope, one result. */
static nn_tensor work(struct nn_rec *r, nn_tensor x)
{
    nn_scope s = nn_push(r);
    nn_tensor a = nn_scale(r, x, 2, 0);
    nn_tensor b = nn_scale(r, a, 1, 1);
    nn_tensor c = nn_mul(r, a, b);
    return nn_pop_keep(r, s, c);
}

static void dry_runs_tell_what_real_ones_need(void **state)
{
    struct nn_rec *dry;
    struct tensors t;
    (void)state;
    assert_ok(nn_rec_create(&dry, NULL, &(struct nn_rec_opts){.dry = true}));
    nn_begin(dry);
    nn_tensor x = nn_over(NULL, 0, NN_F32, NN_SHAPE(1 << 18));
    for (int i = 0; i < 4; i++) {
        nn_tensor y = work(dry, x);
        nn_free(dry, x);
        x = y;
    }
    assert_ok(nn_end(dry));
    struct nn_cost cost = nn_cost_of(dry);
    assert_int_equal(cost.peak_bytes, 4 << 20); /* x and three temporaries */
    assert_int_equal(cost.dispatches, 12);
    assert_near(cost.flops, 12 * (1 << 18), 0);
    assert_near(cost.bytes, 4.0 * (1 << 20) * (2 + 2 + 3), 0);
    assert_fails(nn_run(dry), FV_EINVALID, "nothing recorded");
    nn_rec_destroy(&dry);

    tensors_begin_with(
        &t, &(struct nn_rec_opts){.pool_bytes = cost.peak_bytes, .memory_limit = cost.peak_bytes});
    nn_tensor y = nn_new(t.r, NN_F32, NN_SHAPE(1 << 18));
    nn_zero(t.r, y);
    nn_begin(t.r); /* the space of y is there again */
    assert_ok(nn_store_tensor(&y, t.store, NN_F32, NN_SHAPE(1 << 18), "x"));
    for (int i = 0; i < 4; i++) {
        nn_tensor z = work(t.r, y);
        nn_free(t.r, y);
        y = z;
    }
    assert_ok(nn_end(t.r));
    assert_int_equal(nn_pool_bytes(t.r), cost.peak_bytes);
    assert_int_equal(nn_cost_of(t.r).peak_bytes, cost.peak_bytes);
    tensors_end(&t);
}

static void memory_limits_are_told(void **state)
{
    struct tensors t;
    (void)state;
    tensors_begin_with(&t, &(struct nn_rec_opts){.memory_limit = 3 << 20});
    nn_new(t.r, NN_F32, NN_SHAPE(1 << 18));
    nn_new(t.r, NN_F32, NN_SHAPE(1 << 19));
    assert_ok(nn_end(t.r));
    nn_begin(t.r);
    nn_new(t.r, NN_F32, NN_SHAPE(1 << 19));
    nn_new(t.r, NN_F32, NN_SHAPE(1 << 19));
    assert_fails(nn_end(t.r), FV_EGPUMEM, "the limit is 3.0 MiB");
    nn_begin(t.r);
    nn_new(t.r, NN_F32, NN_SHAPE(0x3fffffff));
    assert_fails(nn_end(t.r), FV_EGPUMEM, "a tensor on this device has at most");
    nn_begin(t.r);
    nn_new(t.r, NN_F32, NN_SHAPE(1 << 16, 1 << 16));
    assert_fails(nn_end(t.r), FV_EINVALID, "more than 2^31 - 1 elements");
    tensors_end(&t);
}

static void scopes_give_back_and_keep(void **state)
{
    struct tensors t;
    (void)state;
    tensors_begin(&t);
    nn_scope s = nn_push(t.r);
    nn_tensor a = nn_new(t.r, NN_F32, NN_SHAPE(1000)), b = nn_new(t.r, NN_F32, NN_SHAPE(1000));
    nn_tensor c = nn_new(t.r, NN_F32, NN_SHAPE(1000));
    nn_keep(t.r, s, nn_slice(t.r, b, 0, 500, 10)); /* a view keeps all of it */
    nn_pop(t.r, s);
    nn_tensor d = nn_new(t.r, NN_F32, NN_SHAPE(1000)), e = nn_new(t.r, NN_F32, NN_SHAPE(1000));
    assert_int_equal(d.offset, a.offset);
    assert_int_equal(e.offset, c.offset);
    nn_free(t.r, d);
    nn_tensor f = nn_new(t.r, NN_F32, NN_SHAPE(10));
    assert_int_equal(f.offset, a.offset);
    nn_pop(t.r, s);
    assert_fails(nn_end(t.r), FV_EINVALID, "popped twice");
    tensors_end(&t);
}

static void recorded_once_run_often(void **state)
{
    struct tensors t;
    float in[8] = {0}, out[8];
    nn_tensor x, sum;
    (void)state;
    tensors_begin(&t);
    assert_ok(nn_store_tensor(&x, t.store, NN_F32, NN_SHAPE(8), "x"));
    assert_ok(nn_store_tensor(&sum, t.store, NN_F32, NN_SHAPE(8), "sum"));
    assert_ok(nn_upload(sum, in));
    nn_copy(t.r, sum, nn_add(t.r, sum, x));
    assert_ok(nn_end(t.r));
    for (int i = 1; i <= 4; i++) {
        for (int k = 0; k < 8; k++)
            in[k] = (float)(i * k);
        assert_ok(nn_upload(x, in));
        assert_ok(nn_run(t.r));
    }
    assert_ok(nn_fetch(out, sum));
    for (int k = 0; k < 8; k++)
        assert_near((double)out[k], 10 * k, 0);
    tensors_end(&t);
}

static void results_go_into_what_is_asked(void **state)
{
    struct tensors t;
    struct ref x = ref_random(1, NN_SHAPE(2, 6)), zero = ref_new(NN_SHAPE(4, 6));
    (void)state;
    tensors_begin(&t);
    nn_tensor in = tensors_put(&t, &x, NN_F32), big = tensors_put(&t, &zero, NN_F32);
    nn_tensor rows = nn_slice(t.r, big, 0, 2, 2); /* not aligned: by a copy */
    nn_into(t.r, rows);
    nn_tensor y = nn_scale(t.r, in, 2, 0);
    assert_int_equal(y.offset, rows.offset);
    assert_ptr_equal(y.buf, rows.buf);
    for (int i = 0; i < 12; i++)
        zero.v[12 + i] = 2 * x.v[i];
    tensors_expect(&t, big, &zero, 0, "into rows");
    nn_into(t.r, big); /* aligned: in place */
    nn_scale(t.r, big, 3, 0);
    for (int i = 0; i < 24; i++)
        zero.v[i] = (double)(float)(3 * zero.v[i]);
    tensors_expect(&t, big, &zero, 1e-7, "into itself");
    nn_into(t.r, big);
    nn_scale(t.r, in, 1, 0);
    assert_fails(nn_end(t.r), FV_EINVALID, "the result is f32 [2, 6], nn_into wants f32 [4, 6]");
    ref_free(&x);
    ref_free(&zero);
    tensors_end(&t);
}

static int keep_trace(void *ud, const char *name, nn_tensor shape, const float *data)
{
    char *log = ud;
    size_t at = strlen(log);
    snprintf(log + at, 400 - at, "%s [%u, %u] %g %g; ", name, shape.shape[0], shape.shape[1],
             (double)data[0], (double)data[1]);
    return strcmp(name, "stop") ? 0 : fv_fail(FV_ECANCELLED, "stopped");
}

static void traces_see_values_on_the_way(void **state)
{
    struct tensors t;
    char log[400] = "";
    struct ref x = ref_new(NN_SHAPE(2, 2));
    (void)state;
    tensors_begin_with(&t, &(struct nn_rec_opts){.on_trace = keep_trace, .ud = log});
    x.v[1] = 3;
    nn_tensor in = tensors_put(&t, &x, NN_F16);
    nn_scope s = nn_push(t.r);
    nn_tensor y = nn_trace(t.r, "mid.a", nn_scale(t.r, in, 1, 1));
    nn_tensor z = nn_trace(t.r, "mid.b", nn_transpose(t.r, nn_mul(t.r, y, y), 0, 1));
    nn_pop(t.r, s);
    nn_tensor w = nn_scale(t.r, in, 0, 9); /* over the same space */
    assert_ok(nn_end(t.r));
    assert_ok(nn_run(t.r));
    assert_string_equal(log, "mid.a [2, 2] 1 4; mid.b [2, 2] 1 1; ");
    nn_begin(t.r);
    nn_trace(t.r, "stop", nn_scale(t.r, in, 1, 1));
    assert_ok(nn_end(t.r));
    assert_fails(nn_run(t.r), FV_ECANCELLED, "stopped");
    (void)z, (void)w;
    ref_free(&x);
    tensors_end(&t);
}

static void nan_and_infinity_are_found_and_named(void **state)
{
    static const enum nn_dtype types[] = {NN_F32, NN_F16, NN_BF16};
    struct tensors t;
    struct ref x = ref_random(1, NN_SHAPE(50, 401));
    (void)state;
    tensors_begin_with(&t, &(struct nn_rec_opts){.check = true});
    for (int k = 0; k < 3; k++) {
        nn_tensor in = tensors_put(&t, &x, types[k]);
        nn_trace(t.r, "clean", in);
        assert_ok(nn_end(t.r));
        assert_ok(nn_run(t.r));
        struct ref bad = ref_clone(&x);
        bad.v[4001] = INFINITY;
        bad.v[4002] = NAN;
        bad.v[20049] = -NAN;
        nn_begin(t.r);
        nn_trace(t.r, "before", in);
        nn_trace(t.r, "layer 3", nn_transpose(t.r, tensors_put_strided(&t, &bad, types[k]), 0, 1));
        nn_check(t.r, "after", tensors_put(&t, &bad, types[k]));
        assert_ok(nn_end(t.r));
        /* row 9 column 392, [10][393], so first at 392 * 50 + 9 of the transposed */
        assert_fails(nn_run(t.r), FV_EINVALID, "\"layer 3\", ");
        struct nn_check_result c[4];
        assert_int_equal(nn_checks(t.r, c, 4), 3);
        assert_string_equal(c[0].name, "before");
        assert_true(c[0].first == UINT64_MAX);
        assert_int_equal(c[1].nans, 2);
        assert_int_equal(c[1].infs, 1);
        assert_int_equal(c[1].first, 392 * 50 + 9);
        assert_int_equal(c[2].first, 4001);
        ref_free(&bad);
        nn_begin(t.r);
    }
    ref_free(&x);
    tensors_end(&t);
}

/* A packed weight: the transpose. */
static nn_tensor transposed(struct nn_rec *r, nn_tensor w, bool *fresh)
{
    nn_tensor p = nn_cached(r, w, 1, w.dtype, NN_SHAPE(w.shape[1], w.shape[0]), fresh);
    if (*fresh) {
        nn_copy(r, p, nn_transpose(r, w, 0, 1));
        nn_cached_end(r);
    }
    return p;
}

static void weights_are_packed_once(void **state)
{
    struct nn_cache *cache;
    struct tensors t;
    struct ref x = ref_random(1, NN_SHAPE(3, 5));
    bool fresh;
    (void)state;
    assert_ok(nn_cache_create(&cache, test_device()));
    tensors_begin_with(&t, &(struct nn_rec_opts){.cache = cache});
    nn_tensor w = tensors_put(&t, &x, NN_F32);
    transposed(t.r, w, &fresh);
    assert_true(fresh);
    transposed(t.r, w, &fresh);
    assert_false(fresh);
    nn_begin(t.r); /* thrown away: not filled */
    nn_tensor p = transposed(t.r, w, &fresh);
    assert_true(fresh);
    struct ref want = ref_permute(&x, NN_ORDER(1, 0));
    tensors_expect(&t, nn_scale(t.r, p, 1, 0), &want, 0, "packed");
    p = transposed(t.r, w, &fresh);
    assert_false(fresh);
    assert_int_equal(nn_cost_of(t.r).packed_bytes, 60);
    tensors_expect(&t, nn_scale(t.r, p, 1, 0), &want, 0, "packed before");
    /* made by the recording itself: packed whenever it runs */
    p = transposed(t.r, nn_scale(t.r, w, 1, 0), &fresh);
    assert_true(fresh);
    tensors_expect(&t, nn_scale(t.r, p, 1, 0), &want, 0, "packed here");
    ref_free(&want);
    ref_free(&x);
    tensors_end(&t);
    nn_cache_destroy(&cache);
}

static void profiles_tell_time_by_op(void **state)
{
    struct tensors t;
    struct nn_op_time times[8];
    (void)state;
    tensors_begin_with(&t, &(struct nn_rec_opts){.profile = true});
    nn_tensor x = nn_new(t.r, NN_F32, NN_SHAPE(100000));
    nn_zero(t.r, x);
    nn_glu(t.r, nn_scale(t.r, x, 1, 1), (struct nn_activation){NN_SILU}, false);
    nn_scale(t.r, x, 1, 1);
    assert_ok(nn_end(t.r));
    assert_ok(nn_run(t.r));
    assert_int_equal(nn_times(t.r, times, 8), 3);
    assert_string_equal(times[0].op, "nn_zero");
    assert_string_equal(times[1].op, "nn_scale");
    assert_string_equal(times[2].op, "nn_glu");
    if (test_device()->caps.timestamps)
        assert_true(times[1].ms > 0);
    tensors_end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dry_runs_tell_what_real_ones_need),
        cmocka_unit_test(memory_limits_are_told),
        cmocka_unit_test(scopes_give_back_and_keep),
        cmocka_unit_test(recorded_once_run_often),
        cmocka_unit_test(results_go_into_what_is_asked),
        cmocka_unit_test(traces_see_values_on_the_way),
        cmocka_unit_test(nan_and_infinity_are_found_and_named),
        cmocka_unit_test(weights_are_packed_once),
        cmocka_unit_test(profiles_tell_time_by_op),
    };
    test_device();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_done();
    return failed;
}

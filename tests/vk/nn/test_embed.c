/* Rows of tables, sinusoids, rotary positions against their references. */
#include "support/tensors.h"

static const enum nn_dtype types[] = {NN_F32, NN_F16, NN_BF16};

static void rows_of_a_table(void **state)
{
    static const uint32_t sizes[][3] = {{5, 10, 8}, {1, 1, 1}, {7, 12, 3}, {300, 77, 72}};
    struct tensors t;
    (void)state;
    tensors_begin(&t);
    for (size_t i = 0; i < 4; i++)
        for (int k = 0; k < 3; k++) {
            struct ref ids = ref_new(NN_SHAPE(1, sizes[i][0]));
            struct ref table = ref_random(i, NN_SHAPE(sizes[i][1], sizes[i][2]));
            for (uint32_t n = 0; n < sizes[i][0]; n++)
                ids.v[n] = (n * 7919) % sizes[i][1];
            if (i == 0) {
                ids.v[1] = -1;
                ids.v[3] = 10;
            }
            nn_tensor a = tensors_put(&t, &ids, NN_I32), b = tensors_put(&t, &table, types[k]);
            struct ref want = ref_embed(&ids, &table);
            tensors_expect(&t, nn_embed(t.r, a, b), &want, 0, "embed");
            ref_free(&want);
            ref_free(&ids);
            ref_free(&table);
        }
    tensors_end(&t);
}

static void sinusoids_of_time_steps(void **state)
{
    static const struct nn_sinusoid rows[] = {{.dim = 256},
                                              {.dim = 8, .sin_first = true},
                                              {.dim = 7},
                                              {.dim = 320, .shift = 1},
                                              {.dim = 256, .max_period = 100, .scale = 1000}};
    struct tensors t;
    (void)state;
    tensors_begin(&t);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ref at = ref_new(NN_SHAPE(6));
        const double v[] = {0, 1, 0.5, 967.37, 999, 24};
        double scale = rows[i].scale != 0 ? (double)rows[i].scale : 1;
        for (int k = 0; k < 6; k++)
            at.v[k] = v[k] / scale;
        nn_tensor in = tensors_put(&t, &at, NN_F32);
        struct ref want = ref_timestep(&at, rows[i].dim,
                                       rows[i].max_period > 0 ? (double)rows[i].max_period : 10000,
                                       rows[i].sin_first, (double)rows[i].shift, scale);
        /* angles up to 1000 are rounded to f32: 3e-5, and their frequencies by as much */
        tensors_expect(&t, nn_timestep(t.r, in, &rows[i]), &want, 1.5e-4, "timestep");
        ref_free(&want);
        ref_free(&at);
    }
    tensors_end(&t);
}

static struct ref angles_of(const struct nn_rope_axes *o, uint32_t tokens, uint32_t pairs)
{
    struct ref a = ref_new(NN_SHAPE(tokens, pairs));
    for (uint32_t t = 0; t < tokens; t++) {
        uint32_t left = t, place[3], at = 0;
        for (uint32_t k = o->axes; k-- > 0; left /= o->size[k])
            place[k] = left % o->size[k];
        for (uint32_t k = 0; k < o->axes; k++)
            for (uint32_t j = 0; j < o->dim[k]; j += 2)
                a.v[t * pairs + at++] =
                    (o->first[k] + place[k] * (o->step[k] != 0 ? o->step[k] : 1)) *
                    pow(o->theta > 0 ? o->theta : 10000, -(double)j / o->dim[k]);
    }
    return a;
}

static void rotary_positions(void **state)
{
    static const struct {
        uint32_t b, h, d;
        struct nn_rope_axes axes;
    } rows[] = {
        {2, 3, 72, {.axes = 1, .dim = {72}, .size = {5}}},
        {1, 2, 10, {.axes = 1, .dim = {6}, .size = {7}, .first = {3}}},
        {1, 2, 24, {.axes = 2, .dim = {8, 8}, .size = {3, 4}, .theta = 100}},
        {1, 4, 64, {.axes = 3, .dim = {16, 24, 24}, .size = {2, 3, 2}, .step = {0.5, 1, 2}}},
        {2, 8, 32, {.axes = 1, .dim = {24}, .size = {6}}},
    };
    struct tensors t;
    (void)state;
    tensors_begin(&t);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int k = 0; k < 12; k++) {
            uint32_t tokens = 1, pairs = 0;
            const struct nn_rope_axes *o = &rows[i].axes;
            for (uint32_t a = 0; a < o->axes; a++) {
                tokens *= o->size[a];
                pairs += o->dim[a] / 2;
            }
            struct ref x = ref_random(i, NN_SHAPE(rows[i].b, rows[i].h, tokens, rows[i].d));
            struct ref angles = angles_of(o, tokens, pairs);
            float *table = malloc(8 * tokens * pairs);
            nn_tensor in, angle;
            nn_rope_table(table, o);
            assert_ok(nn_store_tensor(&angle, t.store, NN_F32, NN_SHAPE(tokens, pairs, 2), "t"));
            assert_ok(nn_upload(angle, table));
            if (k % 4 == 3) { /* as it comes from a projection */
                int order[] = {0, 2, 1, 3};
                struct ref swapped = ref_permute(&x, order);
                in = nn_permute(t.r, tensors_put(&t, &swapped, types[k / 4]), order);
                ref_free(&x);
                x = ref_permute(&swapped, order);
                ref_free(&swapped);
            } else {
                in = k % 4 == 2 ? tensors_put_strided(&t, &x, types[k / 4])
                                : tensors_put(&t, &x, types[k / 4]);
            }
            struct ref want = ref_rope(&x, &angles, k % 2);
            tensors_expect(&t, nn_rope(t.r, in, angle, k % 2), &want, 4e-7, "rope");
            free(table);
            ref_free(&angles);
            ref_free(&want);
            ref_free(&x);
        }
    tensors_end(&t);
}

static void rejects_wrong_arguments(void **state)
{
    struct tensors t;
    struct ref x = ref_random(1, NN_SHAPE(1, 2, 3, 4)), y = ref_random(1, NN_SHAPE(4, 2, 2));
    (void)state;
    tensors_begin(&t);
    nn_tensor a = tensors_put(&t, &x, NN_F32), b = tensors_put(&t, &y, NN_F32);
    nn_embed(t.r, a, b);
    assert_fails(nn_end(t.r), FV_EINVALID,
                 "nn_embed: ids f32 [1, 2, 3, 4] of a table f32 [4, 2, 2]");
    nn_begin(t.r);
    nn_rope(t.r, a, b, false);
    assert_fails(nn_end(t.r), FV_EINVALID, "nn_rope: f32 [1, 2, 3, 4] by angles f32 [4, 2, 2]");
    nn_begin(t.r);
    nn_timestep(t.r, a, &(struct nn_sinusoid){.dim = 8});
    assert_fails(nn_end(t.r), FV_EINVALID, "8 features of");
    ref_free(&x);
    ref_free(&y);
    tensors_end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_a_table),
        cmocka_unit_test(sinusoids_of_time_steps),
        cmocka_unit_test(rotary_positions),
        cmocka_unit_test(rejects_wrong_arguments),
    };
    test_device();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_done();
    return failed;
}

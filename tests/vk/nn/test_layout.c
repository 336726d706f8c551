/* Views, copies, permutations, concatenation, padding, patches against their references. */
#include "support/tensors.h"
#include "vk/device.h"

static const enum nn_dtype types[] = {NN_F32, NN_F16, NN_BF16};

struct order_row {
    uint32_t rank, shape[5];
    int order[5];
};

static const struct order_row orders[] = {
    {2, {7, 9}, {1, 0}},
    {2, {64, 128}, {1, 0}},
    {3, {3, 4, 5}, {2, 0, 1}},
    {4, {2, 16, 8, 12}, {0, 2, 3, 1}},
    {4, {2, 5, 3, 7}, {0, 2, 3, 1}},
    {4, {1, 6, 3, 72}, {0, 2, 1, 3}},
    {5, {2, 3, 4, 5, 6}, {4, 2, 0, 3, 1}},
    {5, {1, 8, 3, 4, 4}, {0, 2, 3, 4, 1}},
};

static void permutes(const struct nn_rec_opts *o)
{
    struct tensors t;
    tensors_begin_with(&t, o);
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
        for (int k = 0; k < 6; k++) {
            struct ref x = ref_random(i + 1, orders[i].rank, orders[i].shape);
            nn_tensor in =
                k < 3 ? tensors_put(&t, &x, types[k]) : tensors_put_strided(&t, &x, types[k - 3]);
            struct ref want = ref_permute(&x, orders[i].order);
            nn_tensor y = nn_pack(t.r, nn_permute(t.r, in, orders[i].order));
            assert_true(nn_is_packed(y));
            tensors_expect(&t, y, &want, 0, "permute");
            ref_free(&want);
            ref_free(&x);
        }
    tensors_end(&t);
}

static void permutations(void **state)
{
    (void)state;
    permutes(NULL);
}

static void permutations_through_storage_buffers(void **state)
{
    (void)state;
    permutes(&(struct nn_rec_opts){.ssbo = true});
}

static void reshapes_are_views_where_they_can_be(void **state)
{
    struct tensors t;
    struct ref x = ref_random(1, NN_SHAPE(4, 6, 10));
    (void)state;
    tensors_begin(&t);
    nn_tensor in = tensors_put(&t, &x, NN_F32);
    nn_tensor y = nn_reshape(t.r, in, NN_SHAPE(2, 2, NN_REST, 5));
    assert_int_equal(y.shape[2], 12);
    assert_int_equal(y.offset, in.offset);
    assert_ptr_equal(y.buf, in.buf);
    /* an axis split within a permuted tensor is a view, joined across it is not */
    nn_tensor p = nn_permute(t.r, in, NN_ORDER(2, 0, 1));
    y = nn_reshape(t.r, p, NN_SHAPE(5, 2, 4, 3, 2));
    assert_ptr_equal(y.buf, in.buf);
    int order[] = {2, 0, 1};
    struct ref want = ref_permute(&x, order), copy;
    copy = (struct ref){.rank = 5, .shape = {5, 2, 4, 3, 2}, .v = want.v};
    tensors_expect(&t, y, &copy, 0, "split view");
    p = nn_permute(t.r, in, NN_ORDER(2, 0, 1));
    y = nn_reshape(t.r, p, NN_SHAPE(240));
    assert_true(y.buf != in.buf);
    copy = (struct ref){.rank = 1, .shape = {240}, .v = want.v};
    tensors_expect(&t, y, &copy, 0, "joined copy");
    nn_tensor one = nn_reshape(t.r, nn_slice(t.r, in, 1, 2, 1), NN_SHAPE(4, 10));
    assert_ptr_equal(one.buf, in.buf);
    assert_int_equal(one.stride[0], 60);
    ref_free(&want);
    ref_free(&x);
    tensors_end(&t);
}

static void slices_steps_and_expansions(void **state)
{
    struct tensors t;
    struct ref x = ref_random(3, NN_SHAPE(3, 8, 5));
    (void)state;
    tensors_begin(&t);
    nn_tensor in = tensors_put(&t, &x, NN_F16);
    struct ref want = ref_slice(&x, 1, 2, 3);
    tensors_expect(&t, nn_slice(t.r, in, -2, 2, 3), &want, 0, "slice");
    ref_free(&want);
    nn_tensor y = nn_slice_step(t.r, in, 1, 1, 3); /* 1, 4, 7 */
    assert_int_equal(y.shape[1], 3);
    struct ref part[3] = {ref_slice(&x, 1, 1, 1), ref_slice(&x, 1, 4, 1), ref_slice(&x, 1, 7, 1)};
    want = ref_concat(1, part, 3);
    tensors_expect(&t, y, &want, 0, "steps");
    ref_free(&want);
    want = ref_repeat(&part[0], 1, 4);
    y = nn_expand(t.r, nn_slice(t.r, in, 1, 1, 1), NN_SHAPE(3, 4, 5));
    assert_int_equal(y.stride[1], 0);
    tensors_expect(&t, y, &want, 0, "expand");
    for (int i = 0; i < 3; i++)
        ref_free(&part[i]);
    ref_free(&want);
    ref_free(&x);
    tensors_end(&t);
}

static void concatenation(void **state)
{
    static const uint32_t lengths[][3] = {{1, 2, 3}, {4, 8, 4}, {5, 1, 1}};
    struct tensors t;
    (void)state;
    tensors_begin(&t);
    for (uint32_t axis = 0; axis < 3; axis++)
        for (int k = 0; k < 3; k++)
            for (int row = 0; row < 3; row++) {
                struct ref x[3];
                nn_tensor in[3];
                for (int i = 0; i < 3; i++) {
                    uint32_t shape[3] = {3, 4, 5};
                    shape[axis] = lengths[row][i];
                    x[i] = ref_random((uint64_t)i + 1, 3, shape);
                    in[i] = i == 1 ? tensors_put_strided(&t, &x[i], types[k])
                                   : tensors_put(&t, &x[i], types[k]);
                }
                struct ref want = ref_concat(axis, x, 3);
                tensors_expect(&t, nn_concat(t.r, (int)axis - 3, in, 3), &want, 0, "concat");
                for (int i = 0; i < 3; i++)
                    ref_free(&x[i]);
                ref_free(&want);
            }
    tensors_end(&t);
}

static void padding_by_value_edge_and_mirror(void **state)
{
    static const struct {
        uint32_t rank, shape[5], before[5], after[5];
    } pads[] = {{1, {5}, {2}, {4}},
                {2, {4, 3}, {0, 1}, {1, 2}},
                {4, {2, 3, 4, 5}, {0, 0, 1, 2}, {0, 0, 2, 1}},
                {5, {1, 2, 3, 4, 5}, {0, 0, 2, 1, 1}, {0, 0, 0, 1, 1}},
                {4, {2, 3, 4, 5}, {0, 1, 0, 0}, {0, 2, 0, 0}},
                {5, {2, 3, 2, 2, 3}, {0, 0, 0, 0, 2}, {0, 0, 0, 0, 0}},
                {3, {2, 3, 5}, {1, 0, 1}, {0, 0, 0}},
                {2, {3, 6}, {0, 0}, {0, 0}}};
    struct tensors t;
    (void)state;
    tensors_begin(&t);
    for (size_t i = 0; i < sizeof pads / sizeof *pads; i++)
        for (int k = 0; k < 3; k++)
            for (int mode = NN_PAD_ZERO; mode <= NN_PAD_REFLECT; mode++) {
                struct ref x = ref_random(i, pads[i].rank, pads[i].shape);
                nn_tensor in = tensors_put_strided(&t, &x, types[k]);
                struct ref want = ref_pad(&x, pads[i].before, pads[i].after, mode, -1.5);
                tensors_expect(
                    &t,
                    nn_pad(t.r, in, pads[i].before, pads[i].after, (enum nn_pad_mode)mode, -1.5f),
                    &want, 0, "pad");
                ref_free(&want);
                ref_free(&x);
            }
    tensors_end(&t);
}

static void depth_to_space_and_back(void **state)
{
    static const uint32_t factors[][3] = {{1, 2, 2}, {2, 1, 1}, {2, 3, 2}};
    struct tensors t;
    (void)state;
    tensors_begin(&t);
    for (size_t i = 0; i < 3; i++)
        for (int c_last = 0; c_last < 2; c_last++) {
            const uint32_t *f = factors[i];
            struct ref x = ref_random(i, NN_SHAPE(2, 3 * f[0] * f[1] * f[2], 3, 2, 5));
            nn_tensor in = tensors_put(&t, &x, types[i]);
            struct ref want = ref_depth_to_space(&x, f, c_last);
            nn_tensor y = nn_depth_to_space(t.r, in, f, c_last);
            tensors_expect(&t, y, &want, 0, "depth to space");
            y = nn_space_to_depth(t.r, nn_depth_to_space(t.r, in, f, c_last), f, c_last);
            tensors_expect(&t, y, &x, 0, "and back");
            ref_free(&want);
            ref_free(&x);
        }
    struct ref x = ref_random(9, NN_SHAPE(1, 4, 3, 5)), want;
    struct ref video = {.rank = 5, .shape = {1, 4, 1, 3, 5}, .v = x.v};
    nn_tensor in = tensors_put(&t, &x, NN_F32);
    want = ref_depth_to_space(&video, (uint32_t[]){1, 2, 2}, 0);
    want.rank = 4;
    want.shape[2] = 6;
    want.shape[3] = 10;
    tensors_expect(&t, nn_depth_to_space(t.r, in, (uint32_t[]){1, 2, 2}, false), &want, 0, "image");
    ref_free(&want);
    ref_free(&x);
    tensors_end(&t);
}

static void patches_and_back(void **state)
{
    static const uint32_t size[][3] = {{1, 2, 2}, {2, 2, 1}, {1, 1, 1}};
    struct tensors t;
    (void)state;
    tensors_begin(&t);
    for (int i = 0; i < 3; i++)
        for (int c_last = 0; c_last < 2; c_last++) {
            struct ref x = ref_random(4, NN_SHAPE(2, 3, 2, 4, 6));
            nn_tensor in = tensors_put(&t, &x, types[i]);
            struct ref want = ref_patchify(&x, size[i], c_last);
            tensors_expect(&t, nn_patchify(t.r, in, size[i], c_last), &want, 0, "patchify");
            nn_tensor y = nn_unpatchify(t.r, nn_patchify(t.r, in, size[i], c_last), size[i],
                                        (uint32_t[]){2, 4, 6}, c_last);
            tensors_expect(&t, y, &x, 0, "unpatchify");
            ref_free(&want);
            ref_free(&x);
        }
    tensors_end(&t);
}

static void repeats_zeros_and_copies_into_views(void **state)
{
    struct tensors t;
    struct ref x = ref_random(4, NN_SHAPE(3, 5)), zero = ref_new(NN_SHAPE(3, 5));
    (void)state;
    tensors_begin(&t);
    for (int k = 0; k < 3; k++) {
        nn_tensor in = tensors_put(&t, &x, types[k]);
        struct ref want = ref_repeat(&x, 1, 3);
        tensors_expect(&t, nn_repeat(t.r, in, 1, 3), &want, 0, "repeat");
        ref_free(&want);
        nn_tensor dst = tensors_put_strided(&t, &zero, types[k]);
        nn_copy(t.r, dst, in);
        tensors_expect(&t, dst, &x, 0, "copy into a view");
        nn_zero(t.r, nn_slice(t.r, dst, 1, 1, 3));
        memset(zero.v, 0, 15 * sizeof *zero.v);
        for (int i = 0; i < 15; i++)
            zero.v[i] = i % 5 < 1 || i % 5 > 3 ? x.v[i] : 0;
        tensors_expect(&t, dst, &zero, 0, "zeros in a view");
    }
    ref_free(&x);
    ref_free(&zero);
    tensors_end(&t);
}

static void transposes_more_than_one_binding(void **state)
{
    struct tensors t;
    const uint32_t rows = 6000, columns = 6007;
    float *f = malloc(4ull * rows * columns);
    nn_tensor x;
    (void)state;
    if (test_device()->caps.max_storage_range >= 4ull * rows * columns) {
        free(f);
        skip(); /* one binding takes it */
    }
    tensors_begin(&t);
    for (uint32_t i = 0; i < rows * columns; i++)
        f[i] = (float)(i % 16777213);
    assert_ok(nn_store_tensor(&x, t.store, NN_F32, NN_SHAPE(rows, columns), "large"));
    assert_ok(nn_upload(x, f));
    nn_tensor y = nn_pack(t.r, nn_transpose(t.r, x, 0, 1));
    assert_ok(nn_end(t.r));
    assert_ok(nn_run(t.r));
    memset(f, 0, 4ull * rows * columns);
    assert_ok(nn_fetch(f, y));
    for (uint32_t c = 0; c < columns; c++)
        for (uint32_t i = 0; i < rows; i++)
            if (f[(size_t)c * rows + i] != (float)((i * columns + c) % 16777213))
                fail_msg("[%u][%u] = %g", c, i, (double)f[(size_t)c * rows + i]);
    free(f);
    tensors_end(&t);
}

static void rejects_wrong_arguments(void **state)
{
    struct tensors t;
    struct ref x = ref_random(1, NN_SHAPE(2, 3)), z = ref_random(1, NN_SHAPE(3, 3));
    (void)state;
    tensors_begin(&t);
    nn_tensor in = tensors_put(&t, &x, NN_F32), other = tensors_put(&t, &z, NN_F32);
#define REJECT(call, text)                                                                         \
    (void)(call);                                                                                  \
    assert_fails(nn_end(t.r), FV_EINVALID, text);                                                  \
    nn_begin(t.r)
    REJECT(nn_reshape(t.r, in, NN_SHAPE(4, 2)), "reshape of f32 [2, 3] to f32 [4, 2]");
    REJECT(nn_reshape(t.r, in, NN_SHAPE(NN_REST, 4)), "reshape of f32 [2, 3]");
    REJECT(nn_slice(t.r, in, 1, 2, 2), "slice: 2 from 2 on of axis 1");
    REJECT(nn_slice(t.r, in, 2, 0, 1), "axis 2 of f32 [2, 3]");
    REJECT(nn_permute(t.r, in, NN_ORDER(1, 1)), "axis twice");
    REJECT(nn_concat(t.r, 1, ((nn_tensor[]){in, other}), 2), "f32 [2, 3] and f32 [3, 3]");
    REJECT(nn_expand(t.r, in, NN_SHAPE(2, 4)), "does not repeat");
    REJECT(nn_squeeze(t.r, in, 0), "squeeze");
    REJECT(nn_patchify(t.r, in, (uint32_t[]){1, 2, 2}, false), "is not [N, C, T, H, W]");
    REJECT(nn_pad(t.r, in, (uint32_t[]){0, 3}, (uint32_t[]){0, 0}, NN_PAD_REFLECT, 0), "mirrored");
    REJECT((nn_push(t.r), in), "pushed and not popped");
    ref_free(&x);
    ref_free(&z);
    tensors_end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(permutations),
        cmocka_unit_test(permutations_through_storage_buffers),
        cmocka_unit_test(reshapes_are_views_where_they_can_be),
        cmocka_unit_test(slices_steps_and_expansions),
        cmocka_unit_test(concatenation),
        cmocka_unit_test(padding_by_value_edge_and_mirror),
        cmocka_unit_test(depth_to_space_and_back),
        cmocka_unit_test(patches_and_back),
        cmocka_unit_test(repeats_zeros_and_copies_into_views),
        cmocka_unit_test(transposes_more_than_one_binding),
        cmocka_unit_test(rejects_wrong_arguments),
    };
    test_device();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_done();
    return failed;
}

/* Attention against its reference: self and cross, masks, causal and windowed, shared heads, sizes
 * of heads, views, long sequences. */
#include "support/tensors.h"
#include "vk/device.h"

struct row {
    const char *name;
    uint32_t b, h, hk, t, s, d, e;
    uint32_t mask[4]; /* its shape; 0: none */
    int causal;
    uint32_t block, window;
    int apart;
};

static const struct row rows[] = {
    {"one", 1, 1, 1, 1, 1, 16, 16, {0}, 0, 0, 0, 0},
    {"self", 2, 3, 3, 33, 33, 72, 72, {0}, 0, 0, 0, 0},
    {"cross", 1, 2, 2, 40, 77, 64, 64, {0}, 0, 0, 0, 1},
    {"odd heads", 2, 2, 2, 19, 21, 10, 7, {0}, 0, 0, 0, 0},
    {"odd heads apart", 2, 2, 2, 19, 21, 10, 7, {0}, 0, 0, 0, 1},
    {"widest", 1, 1, 1, 18, 50, 128, 128, {0}, 0, 0, 0, 0},
    {"other width of v", 1, 2, 2, 20, 30, 16, 40, {0}, 0, 0, 0, 0},
    {"shared heads", 1, 6, 2, 20, 30, 16, 16, {0}, 0, 0, 0, 0},
    {"one head for all", 2, 4, 1, 5, 9, 16, 16, {0}, 0, 0, 0, 0},
    {"mask of keys", 2, 2, 2, 17, 25, 16, 16, {2, 1, 1, 25}, 0, 0, 0, 0},
    {"mask of pairs", 2, 2, 2, 17, 24, 16, 16, {1, 1, 17, 24}, 0, 0, 0, 0},
    {"mask of all", 2, 2, 2, 17, 23, 16, 16, {2, 2, 17, 23}, 0, 0, 0, 0},
    {"mask of queries", 1, 2, 2, 17, 23, 16, 16, {1, 2, 17, 1}, 0, 0, 0, 0},
    {"causal", 1, 2, 2, 70, 70, 16, 16, {0}, 1, 0, 0, 0},
    {"causal, more keys", 1, 1, 1, 20, 45, 16, 16, {0}, 1, 0, 0, 0},
    {"causal, more queries", 1, 1, 1, 45, 20, 16, 16, {0}, 1, 0, 0, 0},
    {"causal in blocks", 1, 1, 1, 60, 60, 16, 16, {0}, 1, 12, 0, 0},
    {"window", 1, 1, 1, 90, 90, 16, 16, {0}, 0, 0, 5, 0},
    {"window of blocks", 1, 1, 1, 90, 90, 16, 16, {0}, 0, 9, 2, 0},
    {"wide", 1, 2, 1, 70, 45, 132, 200, {0}, 0, 0, 0, 0},
    {"wide, causal", 2, 2, 2, 30, 33, 160, 160, {0}, 1, 4, 2, 1},
    {"wide, mask", 2, 2, 2, 17, 25, 136, 16, {2, 1, 17, 25}, 0, 0, 0, 0},
    {"causal window, mask", 1, 2, 2, 64, 64, 16, 16, {1, 1, 64, 64}, 1, 0, 20, 0},
};

static nn_tensor put(struct tensors *t, struct ref *x, enum nn_dtype d, bool strided)
{
    return strided ? tensors_put_strided(t, x, d) : tensors_put(t, x, d);
}

/* Additive, every fifth key hidden, and from the first row all. */
static struct ref random_mask(const uint32_t *shape)
{
    struct ref m = ref_random(4, 4, shape);
    size_t n = ref_count(&m);
    for (size_t i = 0; i < n; i++)
        m.v[i] = i % 5 == 2 || i < shape[3] ? -INFINITY : 2 * m.v[i];
    return m;
}

static void check(struct tensors *t, const struct row *w, const enum nn_dtype d[3], bool strided)
{
    char what[96];
    struct ref q = ref_random(1, NN_SHAPE(w->b, w->h, w->t, w->d));
    struct ref k = ref_random(2, NN_SHAPE(w->b, w->hk, w->s, w->d));
    struct ref v = ref_random(3, NN_SHAPE(w->b, w->hk, w->s, w->e));
    struct ref_attention o = {.causal = w->causal,
                              .block = w->block,
                              .window = w->window,
                              .heads_apart = w->apart,
                              .scale = 1.5 / sqrt(w->d)};
    struct nn_attention_opts n = {.causal = w->causal,
                                  .block = w->block,
                                  .window = w->window,
                                  .heads_apart = w->apart,
                                  .scale = (float)o.scale};
    nn_tensor tq = put(t, &q, d[0], strided), tk = put(t, &k, d[1], strided);
    nn_tensor tv = put(t, &v, d[2], strided);
    if (w->mask[0]) {
        o.mask = random_mask(w->mask);
        n.mask = put(t, &o.mask, d[2], strided);
    }
    struct ref want = ref_attention(&q, &k, &v, &o);
    snprintf(what, sizeof what, "%s, %s %s %s%s", w->name, nn_dtype_name(d[0]), nn_dtype_name(d[1]),
             nn_dtype_name(d[2]), strided ? ", strided" : "");
    tensors_expect(t, nn_attention(t->r, tq, tk, tv, &n), &want, 4e-6, what);
    ref_free(&q);
    ref_free(&k);
    ref_free(&v);
    ref_free(&o.mask);
    ref_free(&want);
}

/* Every `step`th row; f16 and mixed types only now and then, since they are other kernels. */
static void table(const struct nn_rec_opts *opts, size_t step)
{
    struct tensors t;
    static const enum nn_dtype types[][3] = {
        {NN_F32, NN_F32, NN_F32}, {NN_F16, NN_F16, NN_F16}, {NN_F32, NN_F16, NN_BF16}};
    tensors_begin_with(&t, opts);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i += step) {
        check(&t, &rows[i], types[0], i % 2);
        for (size_t d = 1; d < 3; d++)
            if (i % 7 == d)
                check(&t, &rows[i], types[d], !(i % 2));
    }
    tensors_end(&t);
}

static void attention(void **state)
{
    (void)state;
    table(NULL, 1);
}

static void attention_through_storage_buffers(void **state)
{
    (void)state;
    table(&(struct nn_rec_opts){.ssbo = true}, 1);
}

static void attention_through_shared_memory(void **state)
{
    (void)state;
    table(&(struct nn_rec_opts){.kernel = NN_KERNEL_SHARED}, 1);
}

static void attention_through_shared_memory_and_storage_buffers(void **state)
{
    (void)state;
    table(&(struct nn_rec_opts){.kernel = NN_KERNEL_SHARED, .ssbo = true}, 5);
}

/* What a device says of itself that has no subgroups but of so many lanes, as most GPUs. */
static void no_subgroup_of_few_lanes_is_needed(void **state)
{
    struct vk_device *dev = test_device();
    struct vk_caps caps = dev->caps;
    (void)state;
    for (uint32_t lanes = 32; lanes <= 64; lanes *= 2) {
        dev->caps.subgroup_size = dev->caps.subgroup_min = dev->caps.subgroup_max = lanes;
        dev->caps.subgroup_control = false;
        table(NULL, 6);
    }
    dev->caps = caps;
}

/* [B, T, 3, H, D] as a projection leaves it, read in place: nothing but the one kernel runs. */
static void heads_of_a_projection_are_read_in_place(void **state)
{
    struct tensors t;
    struct ref qkv = ref_random(1, NN_SHAPE(2, 21, 3, 2, 16)), part[3];
    struct ref_attention o = {0};
    nn_tensor x[3];
    (void)state;
    tensors_begin(&t);
    nn_tensor all = tensors_put(&t, &qkv, NN_F32);
    for (uint32_t i = 0; i < 3; i++) {
        struct ref one = ref_slice(&qkv, 2, i, 1);
        one.rank = 4;
        one.shape[2] = 2;
        one.shape[3] = 16;
        part[i] = ref_permute(&one, (int[]){0, 2, 1, 3});
        ref_free(&one);
        x[i] =
            nn_permute(t.r, nn_squeeze(t.r, nn_slice(t.r, all, 2, i, 1), 2), NN_ORDER(0, 2, 1, 3));
    }
    uint32_t before = nn_cost_of(t.r).dispatches;
    nn_tensor y = nn_attention(t.r, x[0], x[1], x[2], NULL);
    assert_int_equal(nn_cost_of(t.r).dispatches, before + 1);
    struct ref want = ref_attention(&part[0], &part[1], &part[2], &o);
    tensors_expect(&t, y, &want, 2e-6, "in place");
    for (uint32_t i = 0; i < 3; i++)
        ref_free(&part[i]);
    ref_free(&qkv);
    ref_free(&want);
    tensors_end(&t);
}

/* More turns of the kernel's loops than a driver counts in 16 bits, were they nested. */
static void many_keys(const struct nn_rec_opts *opts)
{
    struct tensors t;
    struct ref q = ref_random(1, NN_SHAPE(1, 1, 3, 16)),
               k = ref_random(2, NN_SHAPE(1, 1, 140001, 16));
    struct ref v = ref_random(3, NN_SHAPE(1, 1, 140001, 16));
    struct ref_attention o = {0};
    tensors_begin_with(&t, opts);
    for (uint32_t c = 0; c < 16; c++) /* what the last key says is heard */
        v.v[140000 * 16 + c] = 1e5;
    nn_tensor tq = tensors_put(&t, &q, NN_F32), tk = tensors_put(&t, &k, NN_F32);
    nn_tensor tv = tensors_put(&t, &v, NN_F32);
    struct ref want = ref_attention(&q, &k, &v, &o);
    tensors_expect(&t, nn_attention(t.r, tq, tk, tv, NULL), &want, 2e-5, "140001 keys");
    ref_free(&q);
    ref_free(&k);
    ref_free(&v);
    ref_free(&want);
    tensors_end(&t);
}

static void many_thousand_keys(void **state)
{
    (void)state;
    many_keys(NULL);
    many_keys(&(struct nn_rec_opts){.kernel = NN_KERNEL_SHARED});
}

static void fails(const uint32_t *sq, const uint32_t *sk, const uint32_t *sv, const uint32_t *sm,
                  const char *text)
{
    struct tensors t;
    struct ref q = ref_random(1, 4, sq), k = ref_random(2, 4, sk), v = ref_random(3, 4, sv);
    struct ref m = ref_random(4, 2, sm);
    tensors_begin(&t);
    nn_tensor y = nn_attention(t.r, tensors_put(&t, &q, NN_F32), tensors_put(&t, &k, NN_F32),
                               tensors_put(&t, &v, NN_F32),
                               &(struct nn_attention_opts){.mask = tensors_put(&t, &m, NN_F32)});
    assert_true(nn_is_null(y));
    assert_fails(nn_end(t.r), FV_EINVALID, text);
    ref_free(&q);
    ref_free(&k);
    ref_free(&v);
    ref_free(&m);
    tensors_end(&t);
}

static void rejects_shapes(void **state)
{
    static const uint32_t q[] = {1, 4, 5, 8}, k[] = {1, 4, 6, 8}, odd[] = {1, 3, 6, 8};
    static const uint32_t wide[] = {1, 4, 6, 12}, longer[] = {1, 4, 7, 8}, m[] = {5, 6},
                          m2[] = {5, 5};
    (void)state;
    fails(q, wide, k, m, "q is f32 [1, 4, 5, 8], k f32 [1, 4, 6, 12]");
    fails(q, k, longer, m, "v f32 [1, 4, 7, 8]");
    fails(q, odd, k, m, "k f32 [1, 3, 6, 8]");
    fails(q, k, k, m2, "[5, 5]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention),
        cmocka_unit_test(attention_through_storage_buffers),
        cmocka_unit_test(attention_through_shared_memory),
        cmocka_unit_test(attention_through_shared_memory_and_storage_buffers),
        cmocka_unit_test(no_subgroup_of_few_lanes_is_needed),
        cmocka_unit_test(heads_of_a_projection_are_read_in_place),
        cmocka_unit_test(many_thousand_keys),
        cmocka_unit_test(rejects_shapes),
    };
    test_device();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_done();
    return failed;
}

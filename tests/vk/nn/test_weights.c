/* vk/nn/wants.c, weights_plan.c, weights.c: tables against files, on the device and in dry form. */
#include "support/scene.h"
#include "support/test.h"
#include "vk/base/half.h"
#include "vk/nn/wants.h"
#include "vk/xfer.h"

enum { BLOCKS = 3, DIM = 20 };

struct block {
    nn_tensor q, bias, extra;
};

struct model {
    nn_tensor in, scale;
    struct block block[BLOCKS];
};

static const struct nn_weight_row rows[] = {
    {offsetof(struct block, q), "q.weight|to_q.weight", {NN_DIM(0), NN_DIM(1)}},
    {offsetof(struct block, bias), "q.bias", {NN_DIM(0)}},
    {offsetof(struct block, extra), "extra", {2, 2}, .flags = NN_WEIGHT_OPTIONAL},
};
static const struct nn_weight_row numbered[] = {
    {offsetof(struct block, q), "blocks.%d.q.weight", {NN_DIM(0), NN_DIM(1)}},
    {offsetof(struct block, bias), "blocks.%d.q.bias", {NN_DIM(0)}},
};

static struct nn_wants *want_model(struct model *m)
{
    struct nn_wants *w;
    assert_ok(nn_wants_create(&w));
    nn_wants_add(w, &m->in, "in.weight", NN_WEIGHT_ONES, NN_SHAPE(DIM, 3));
    nn_wants_add(w, &m->scale, "scale", 0, NN_SHAPE(1));
    for (int i = 0; i < BLOCKS; i++) {
        nn_wants_push(w, "blocks.%d.", i);
        nn_wants_rows(w, &m->block[i], rows, 3, (uint32_t[]){DIM, 2 * DIM});
        nn_wants_pop(w);
    }
    return w;
}

/* ---- files ---- */

struct entry {
    const char *name, *type, *shape;
    uint32_t count, size;
};

/* Element k of entry e is e + k / 64. */
static float value(size_t e, size_t k)
{
    return (float)e + (float)k / 64;
}

static struct test_bytes build(const struct entry *list, size_t n)
{
    struct test_bytes head = {0}, body = {0}, b = {0};
    for (size_t e = 0; e < n; e++) {
        size_t begin = body.size;
        for (size_t k = 0; k < list[e].count; k++) {
            float v = value(e, k);
            if (list[e].size == 4)
                test_put(&body, &v, 4);
            else
                test_put(&body, &(uint16_t){fv_f32_to_f16(v)}, 2);
        }
        test_putf(&head, "%c\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
                  e ? ',' : '{', list[e].name, list[e].type, list[e].shape, begin, body.size);
    }
    test_putf(&head, "}");
    test_put(&b, &(uint64_t){head.size}, 8);
    test_put(&b, head.data, head.size);
    test_put(&b, body.data, body.size);
    test_bytes_free(&head);
    test_bytes_free(&body);
    return b;
}

static const struct entry good[] = {
    {"in.weight", "F16", "20,3,1,1", 60, 2},       {"scale", "F32", "", 1, 4},
    {"blocks.0.q.weight", "F16", "20,40", 800, 2}, {"blocks.0.q.bias", "F16", "20", 20, 2},
    {"blocks.0.extra", "F32", "2,2", 4, 4},        {"blocks.1.to_q.weight", "F32", "20,40", 800, 4},
    {"blocks.1.q.bias", "F32", "20", 20, 4},       {"blocks.2.q.weight", "F16", "20,40", 800, 2},
    {"blocks.2.q.bias", "F16", "20", 20, 2},
};
enum { GOOD = sizeof good / sizeof *good };

static struct nn_file *file_of(const struct entry *list, size_t n, struct test_bytes *b)
{
    struct nn_file *f;
    *b = build(list, n);
    assert_ok(nn_file_parse(&f, b->data, b->size, "m.safetensors", NULL));
    return f;
}

static void assert_holds(nn_tensor t, size_t e)
{
    size_t n = nn_count(t);
    uint32_t raw[2048];
    assert_true(n > 0 && n <= 2048 && t.offset % 256 == 0);
    assert_ok(vk_download(raw, t.buf, t.offset, nn_bytes(t)));
    for (size_t k = 0; k < n; k++) {
        uint16_t h;
        memcpy(&h, (char *)raw + 2 * k, 2);
        float v = t.dtype == NN_F32   ? fv_bits_f32(raw[k])
                  : t.dtype == NN_F16 ? fv_f16_to_f32(h)
                                      : fv_bf16_to_f32(h);
        assert_near(v, value(e, k), t.dtype == NN_BF16 ? 0.0625 : t.dtype == NN_F16 ? 0.005 : 0);
    }
}

/* ---- on the device ---- */

static void check_model(const struct model *m)
{
    static const int at[BLOCKS] = {2, 5, 7};
    assert_holds(m->in, 0);
    assert_int_equal(m->in.rank, 2);
    assert_holds(m->scale, 1);
    for (int i = 0; i < BLOCKS; i++) {
        assert_holds(m->block[i].q, at[i]);
        assert_holds(m->block[i].bias, i ? at[i] + 1 : 3);
        assert_int_equal(m->block[i].bias.dtype, NN_F32);
        assert_int_equal(nn_is_null(m->block[i].extra), i > 0);
    }
    assert_holds(m->block[0].extra, 4);
}

static void loads_in_every_dtype(void **state)
{
    (void)state;
    static const enum nn_dtype dtypes[] = {NN_SAME, NN_F32, NN_F16, NN_BF16};
    struct model m;
    struct test_bytes b;
    struct nn_file *f = file_of(good, GOOD, &b);
    struct nn_wants *w = want_model(&m);
    for (int staged = 0; staged < 2; staged++) {
        vk_xfer_force_staging(test_device(), staged);
        for (size_t i = 0; i < 4; i++) {
            struct nn_weights *weights;
            struct nn_weights_report r;
            assert_ok(nn_weights_load(
                &weights, test_device(), w, f,
                &(struct nn_weights_opts){.dtype = dtypes[i], .report = &r, .strict = true}));
            check_model(&m);
            assert_int_equal(m.block[0].q.dtype, dtypes[i] ? dtypes[i] : NN_F16);
            assert_int_equal(m.block[1].q.dtype, dtypes[i] ? dtypes[i] : NN_F32);
            assert_int_equal(r.parameters, 60 + 1 + 3 * 820 + 4);
            assert_int_equal(r.missing_count + r.unknown_count, 0);
            assert_true(r.device_bytes == weights->bytes && r.seconds >= 0);
            assert_int_equal(weights->slab_count, 1);
            nn_weights_report_finish(&r);
            nn_weights_destroy(&weights);
        }
    }
    vk_xfer_force_staging(test_device(), false);
    nn_wants_destroy(&w);
    nn_file_close(&f);
    test_bytes_free(&b);
}

/* A tensor of several windows and pieces, in a file of its own. */
static void streams_large_tensors(void **state)
{
    (void)state;
    enum { ROWS = 3001, COLS = 3000 };
    struct test_bytes b = {0};
    struct nn_file *f;
    struct nn_weights *weights;
    struct nn_wants *w;
    nn_tensor t, u;
    char header[200];
    size_t n = (size_t)ROWS * COLS;
    snprintf(header, sizeof header,
             "{\"a\":{\"dtype\":\"U8\",\"shape\":[5],\"data_offsets\":[0,5]},"
             "\"b\":{\"dtype\":\"F32\",\"shape\":[%d,%d],\"data_offsets\":[5,%zu]}}",
             ROWS, COLS, 5 + 4 * n);
    test_put(&b, &(uint64_t){strlen(header)}, 8);
    test_put(&b, header, strlen(header));
    test_put(&b, "\1\2\3\4\5", 5); /* so that b is misaligned */
    float *v = malloc(4 * n), *got = malloc(4 * n);
    for (size_t i = 0; i < n; i++)
        v[i] = (float)(i % 100003);
    test_put(&b, v, 4 * n);
    assert_ok(nn_file_parse(&f, b.data, b.size, "m.safetensors", NULL));
    assert_ok(nn_wants_create(&w));
    nn_wants_add(w, &t, "a", 0, NN_SHAPE(5));
    nn_wants_add(w, &u, "b", 0, NN_SHAPE(ROWS, COLS));
    for (int staged = 0; staged < 2; staged++) {
        vk_xfer_force_staging(test_device(), staged);
        assert_ok(nn_weights_load(&weights, test_device(), w, f, NULL));
        assert_ok(vk_download(got, u.buf, u.offset, 4 * n));
        assert_memory_equal(got, v, 4 * n);
        nn_weights_destroy(&weights);
    }
    vk_xfer_force_staging(test_device(), false);
    free(v);
    free(got);
    nn_wants_destroy(&w);
    nn_file_close(&f);
    test_bytes_free(&b);
}

static void shares_what_is_wanted_twice(void **state)
{
    (void)state;
    nn_tensor a, b2, c;
    struct test_bytes b;
    struct nn_file *f = file_of(good, GOOD, &b);
    struct nn_wants *w;
    struct nn_weights *weights;
    static const struct nn_weight_row as_f32 = {0, "blocks.0.q.weight", {20, 40}, .dtype = NN_F32};
    assert_ok(nn_wants_create(&w));
    nn_wants_add(w, &a, "blocks.0.q.weight", 0, NN_SHAPE(20, 40));
    nn_wants_add(w, &b2, "blocks.0.q.weight", 0, NN_SHAPE(20, 40));
    nn_wants_rows(w, &c, &as_f32, 1, NULL);
    assert_ok(nn_weights_load(&weights, test_device(), w, f, NULL));
    assert_true(a.offset == b2.offset && c.offset != a.offset && c.dtype == NN_F32);
    assert_holds(b2, 2);
    assert_holds(c, 2);
    nn_weights_destroy(&weights);
    nn_wants_destroy(&w);
    nn_file_close(&f);
    test_bytes_free(&b);
}

static void transpose_shape(nn_tensor *t)
{
    uint32_t a = t->shape[0];
    t->shape[0] = t->shape[1];
    t->shape[1] = a + 1; /* padded */
}

static void transpose_pack(void *out, nn_tensor to, const void *in, nn_tensor from)
{
    const float *x = in;
    float *y = out;
    for (uint32_t i = 0; i < from.shape[0]; i++)
        for (uint32_t k = 0; k < from.shape[1]; k++)
            y[k * to.shape[1] + i] = x[i * from.shape[1] + k];
}

static void applies_layouts(void **state)
{
    (void)state;
    static const struct nn_weight_layout layout = {transpose_shape, transpose_pack};
    static const struct nn_weight_row row = {
        0, "blocks.1.to_q.weight", {20, 40}, .layout = &layout};
    struct test_bytes b;
    struct nn_file *f = file_of(good, GOOD, &b);
    struct nn_wants *w;
    struct nn_weights *weights;
    nn_tensor t;
    float got[40 * 21];
    assert_ok(nn_wants_create(&w));
    nn_wants_rows(w, &t, &row, 1, NULL);
    assert_ok(nn_weights_load(&weights, test_device(), w, f, NULL));
    assert_int_equal(t.shape[0], 40);
    assert_int_equal(t.shape[1], 21);
    assert_ok(vk_download(got, t.buf, t.offset, sizeof got));
    for (int k = 0; k < 40; k++)
        for (int i = 0; i < 21; i++)
            assert_true(got[k * 21 + i] == (i == 20 ? 0 : value(5, (size_t)i * 40 + (size_t)k)));
    nn_weights_destroy(&weights);
    nn_wants_destroy(&w);
    nn_file_close(&f);
    test_bytes_free(&b);
}

static void refills_block_by_block(void **state)
{
    (void)state;
    struct test_bytes b;
    struct nn_file *f = file_of(good, GOOD, &b);
    struct nn_weights *weights = NULL;
    struct block block;
    static const struct nn_weight_row just_q[] = {
        {offsetof(struct block, q), "q.weight|to_q.weight", {20, 40}}};
    for (int i = 0; i < BLOCKS; i++) {
        struct nn_wants *w;
        struct nn_weights_opts opts = {.dtype = NN_F32};
        assert_ok(nn_wants_create(&w));
        nn_wants_push(w, "blocks.%d.", i);
        nn_wants_rows(w, &block, just_q, 1, NULL);
        if (!i)
            assert_ok(nn_weights_load(&weights, test_device(), w, f, &opts));
        else
            assert_ok(nn_weights_refill(weights, w, f, &opts));
        assert_holds(block.q, (size_t[]){2, 5, 7}[i]);
        nn_wants_destroy(&w);
    }
    struct model m;
    struct nn_wants *w = want_model(&m);
    assert_fails(nn_weights_refill(weights, w, f, NULL), FV_EINVALID, "other than the");
    assert_true(nn_is_null(m.in));
    nn_wants_destroy(&w);
    nn_weights_destroy(&weights);
    nn_file_close(&f);
    test_bytes_free(&b);
}

static void makes_up_contents(void **state)
{
    (void)state;
    struct block block[BLOCKS], again;
    struct nn_wants *w;
    struct nn_weights *weights, *second;
    float a[800], c[800], bias[20];
    double sum = 0, squares = 0;
    assert_ok(nn_wants_create(&w));
    nn_wants_blocks(w, block, sizeof *block, 0, BLOCKS, numbered, 2, (uint32_t[]){20, 40});
    assert_int_equal(nn_wants_count(w), 6);
    assert_ok(nn_weights_synthetic(&weights, test_device(), w, 7, NULL));
    nn_wants_destroy(&w);
    assert_ok(nn_wants_create(&w));
    nn_wants_blocks(w, &again, sizeof again, 2, 1, numbered, 2, (uint32_t[]){20, 40});
    assert_ok(nn_weights_synthetic(&second, test_device(), w, 7, NULL));
    nn_wants_destroy(&w);
    assert_ok(vk_download(a, block[2].q.buf, block[2].q.offset, sizeof a));
    assert_ok(vk_download(c, again.q.buf, again.q.offset, sizeof c));
    assert_memory_equal(a, c, sizeof a); /* by name, whatever else is in the list */
    assert_ok(vk_download(c, block[1].q.buf, block[1].q.offset, sizeof c));
    assert_memory_not_equal(a, c, sizeof a);
    for (int i = 0; i < 800; i++) {
        sum += (double)a[i];
        squares += (double)a[i] * (double)a[i];
    }
    assert_near(sum / 800, 0, 0.02);
    assert_near(squares / 800 * 40, 1, 0.15); /* fan in 40 */
    assert_ok(vk_download(bias, again.bias.buf, again.bias.offset, sizeof bias));
    for (int i = 0; i < 20; i++)
        assert_true(fabsf(bias[i]) < 0.1f);
    nn_weights_destroy(&weights);
    nn_weights_destroy(&second);
}

/* ---- without one ---- */

static int plan(const struct nn_wants *w, const struct nn_file *f,
                const struct nn_weights_opts *opts)
{
    uint64_t bytes;
    return nn_weights_plan(&bytes, NULL, w, f, opts);
}

static void plans_dry_runs(void **state)
{
    (void)state;
    struct model m;
    struct nn_wants *w = want_model(&m);
    uint64_t bytes;
    assert_ok(nn_weights_plan(&bytes, NULL, w, NULL, &(struct nn_weights_opts){.dtype = NN_F16}));
    assert_true(!m.in.buf && m.in.dtype == NN_F16 && m.in.shape[1] == 3);
    assert_int_equal(m.block[2].extra.rank, 2);
    assert_int_equal(bytes, 256 + 256 + 3 * (1792 + 256 + 256));
    nn_wants_destroy(&w);
}

/* In order, as many to a slab as fit; what is larger than a slab has one to itself. */
static void splits_slabs(void **state)
{
    (void)state;
    static const uint32_t kilobytes[] = {1, 2, 9, 1, 4, 3, 1};
    static const struct {
        uint32_t slab, offset;
    } expected[] = {{0, 0}, {0, 1024}, {1, 0}, {2, 0}, {3, 0}, {4, 0}, {4, 3072}};
    struct nn_weights_opts opts = {.dtype = NN_F32};
    struct nn_wants *w;
    struct nn_plan p;
    nn_tensor t[7];
    assert_ok(nn_wants_create(&w));
    for (int i = 0; i < 7; i++)
        nn_wants_add(w, &t[i], "t", 0, NN_SHAPE(256 * kilobytes[i]));
    assert_ok(nn_plan_make(&p, w, NULL, 4096, &opts));
    for (int i = 0; i < 7; i++) {
        assert_int_equal(p.places[i].slab, expected[i].slab);
        assert_int_equal(p.places[i].offset, expected[i].offset);
    }
    assert_int_equal(p.slab_count, 5);
    assert_int_equal(p.slab_bytes[1], 9 << 10);
    assert_int_equal(p.bytes, 21 << 10);
    nn_plan_finish(&p);
    nn_wants_destroy(&w);
}

/* Changes one entry of the good file. */
static void refuse(size_t i, struct entry e, const char *part)
{
    struct entry list[GOOD];
    struct test_bytes b;
    struct model m;
    memcpy(list, good, sizeof good);
    list[i] = e;
    struct nn_file *f = file_of(list, GOOD, &b);
    struct nn_wants *w = want_model(&m);
    assert_fails(plan(w, f, NULL), FV_EFORMAT, part);
    assert_non_null(strstr(fv_error(), "m.safetensors"));
    assert_true(nn_is_null(m.in) && nn_is_null(m.block[1].q));
    nn_wants_destroy(&w);
    nn_file_close(&f);
    test_bytes_free(&b);
}

static void rejects_wrong_shapes(void **state)
{
    (void)state;
    refuse(2, (struct entry){"blocks.0.q.weight", "F16", "40,20", 800, 2},
           "tensor 'blocks.0.q.weight' has the shape [40, 20], expected [20, 40]");
    refuse(2, (struct entry){"blocks.0.q.weight", "F16", "20,40,1", 800, 2}, "[20, 40, 1]");
    refuse(0, (struct entry){"in.weight", "F16", "3,1,20", 60, 2}, "[3, 1, 20]");
    refuse(1, (struct entry){"scale", "F32", "2", 2, 4}, "has the shape [2], expected [1]");
}

static void rejects_missing_tensors(void **state)
{
    (void)state;
    struct model m;
    struct test_bytes b;
    struct nn_weights_report r;
    refuse(2, (struct entry){"other", "F16", "20,40", 800, 2},
           "1 of 11 tensors are missing: 'blocks.0.q.weight'");
    struct nn_file *f = file_of(good, 2, &b);
    struct nn_wants *w = want_model(&m);
    assert_fails(plan(w, f, &(struct nn_weights_opts){.report = &r}), FV_EFORMAT,
                 "6 of 11 tensors are missing: 'blocks.0.q.weight', 'blocks.0.q.bias', 'blocks.1");
    assert_int_equal(r.missing_count, 6);
    assert_string_equal(r.missing[5], "blocks.2.q.bias");
    nn_weights_report_finish(&r);
    nn_wants_destroy(&w);
    nn_file_close(&f);
    test_bytes_free(&b);
}

static void lists_unknown_tensors(void **state)
{
    (void)state;
    struct block block;
    struct test_bytes b;
    struct nn_weights_report r;
    struct nn_file *f = file_of(good, GOOD, &b);
    struct nn_wants *w;
    assert_ok(nn_wants_create(&w));
    nn_wants_push(w, "blocks.0.");
    nn_wants_rows(w, &block, rows, 3, (uint32_t[]){20, 40});
    static const char *const ignore[] = {"blocks.1.", "scale", NULL};
    assert_ok(plan(w, f, &(struct nn_weights_opts){.report = &r, .ignore = ignore}));
    assert_int_equal(r.unknown_count, 3);
    assert_string_equal(r.unknown[0], "in.weight");
    nn_weights_report_finish(&r);
    assert_fails(plan(w, f, &(struct nn_weights_opts){.strict = true}), FV_EFORMAT,
                 "6 tensors are not known to this model: 'in.weight', 'scale'");
    nn_wants_destroy(&w);
    nn_file_close(&f);
    test_bytes_free(&b);
}

static void finds_the_prefix(void **state)
{
    (void)state;
    static const struct entry list[] = {{"q.bias", "F32", "20", 20, 4},
                                        {"vae.q.weight", "F32", "20,40", 800, 4},
                                        {"vae.q.bias", "F32", "20", 20, 4},
                                        {"vae.more", "F32", "1", 1, 4}};
    static const char *const prefixes[] = {"", "model.", "vae.", NULL};
    struct block block;
    struct test_bytes b;
    struct nn_weights_report r;
    struct nn_file *f = file_of(list, 4, &b);
    struct nn_wants *w;
    assert_ok(nn_wants_create(&w));
    nn_wants_rows(w, &block, rows, 3, (uint32_t[]){20, 40});
    assert_ok(plan(w, f, &(struct nn_weights_opts){.prefixes = prefixes, .report = &r}));
    assert_string_equal(r.prefix, "vae.");
    assert_int_equal(r.unknown_count, 1);
    assert_string_equal(r.unknown[0], "vae.more");
    nn_weights_report_finish(&r);
    assert_fails(plan(w, f, &(struct nn_weights_opts){.prefixes = prefixes + 1, .strict = true}),
                 FV_EFORMAT, "'vae.more'");
    assert_fails(plan(w, f, &(struct nn_weights_opts){.prefixes = (const char *[]){"x.", NULL}}),
                 FV_EFORMAT, "missing under 'x.'");
    nn_wants_destroy(&w);
    nn_file_close(&f);
    test_bytes_free(&b);
}

static void tries_alternative_names(void **state)
{
    (void)state;
    struct block block;
    struct test_bytes b;
    struct nn_file *f = file_of(good, GOOD, &b);
    struct nn_wants *w;
    assert_ok(nn_wants_create(&w));
    nn_wants_push(w, "layers.1.|blocks.%d.", 1);
    nn_wants_push(w, "attn.|");
    nn_wants_rows(w, &block, rows, 3, (uint32_t[]){20, 40});
    assert_ok(plan(w, f, NULL));
    nn_wants_push(w, "a|b|c|d|e");
    nn_wants_rows(w, &block, rows, 1, (uint32_t[]){20, 40});
    assert_fails(plan(w, f, NULL), FV_EINVALID, "more than 16 names");
    nn_wants_destroy(&w);
    nn_file_close(&f);
    test_bytes_free(&b);
}

static void rejects_bad_tables(void **state)
{
    (void)state;
    static const uint32_t none[2];
    struct nn_wants *w;
    nn_tensor t;
    assert_ok(nn_wants_create(&w));
    nn_wants_add(w, &t, "a", 0, 2, none);
    assert_fails(plan(w, NULL, NULL), FV_EINVALID, "'a': axis 0 has no length");
    nn_wants_destroy(&w);
    assert_ok(nn_wants_create(&w));
    nn_wants_add(w, &t, "a", 0, 0, none);
    assert_fails(plan(w, NULL, NULL), FV_EINVALID, "rank 0");
    nn_wants_destroy(&w);
}

/* ---- values ---- */

static int load_values(const float *v, const struct nn_weights_opts *opts)
{
    struct test_bytes b = {0};
    struct nn_file *f;
    struct nn_wants *w;
    struct nn_weights *weights;
    nn_tensor t;
    const char *header = "{\"t\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}}";
    test_put(&b, &(uint64_t){strlen(header)}, 8);
    test_put(&b, header, strlen(header));
    test_put(&b, v, 24);
    assert_ok(nn_file_parse(&f, b.data, b.size, "m.safetensors", NULL));
    assert_ok(nn_wants_create(&w));
    nn_wants_add(w, &t, "t", 0, NN_SHAPE(2, 3));
    int rc = nn_weights_load(&weights, test_device(), w, f, opts);
    assert_int_equal(rc < 0, weights == NULL);
    assert_int_equal(rc < 0, nn_is_null(t));
    nn_weights_destroy(&weights);
    nn_wants_destroy(&w);
    nn_file_close(&f);
    test_bytes_free(&b);
    return rc;
}

static void names_bad_values(void **state)
{
    (void)state;
    struct nn_weights_opts f16 = {.dtype = NN_F16}, any = {.allow_bad = true};
    for (int staged = 0; staged < 2; staged++) {
        vk_xfer_force_staging(test_device(), staged);
        assert_fails(load_values((float[]){0, 1, 2, 3, NAN, 5}, NULL), FV_EFORMAT,
                     "tensor 't' holds NaN at [1, 1]");
        assert_fails(load_values((float[]){0, 1, -INFINITY, 3, 4, 5}, NULL), FV_EFORMAT,
                     "holds an infinity at [0, 2]");
        assert_fails(load_values((float[]){0, 1, 2, 70000, 4, 5}, &f16), FV_EFORMAT,
                     "holds 70000 at [1, 0], too large for f16");
        assert_ok(load_values((float[]){0, 1, 2, 70000, 4, 5}, NULL));
        assert_ok(load_values((float[]){0, 1, NAN, 3, 4, 5}, &any));
    }
    vk_xfer_force_staging(test_device(), false);
}

static int stop(void *ud, const struct fv_progress *p)
{
    assert_string_equal(p->what, "loading weights");
    assert_true(p->total == 256 && p->done <= p->total);
    return --*(int *)ud <= 0;
}

static void reports_progress_and_cancels(void **state)
{
    (void)state;
    float v[6] = {0};
    int calls = 10;
    struct nn_weights_opts opts = {.on_progress = stop, .ud = &calls};
    assert_ok(load_values(v, &opts));
    assert_int_equal(calls, 8);
    calls = 1;
    assert_fails(load_values(v, &opts), FV_ECANCELLED, "cancelled");
    calls = 2;
    assert_fails(load_values(v, &opts), FV_ECANCELLED, "cancelled");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_dry_runs),
        cmocka_unit_test(splits_slabs),
        cmocka_unit_test(rejects_wrong_shapes),
        cmocka_unit_test(rejects_missing_tensors),
        cmocka_unit_test(lists_unknown_tensors),
        cmocka_unit_test(finds_the_prefix),
        cmocka_unit_test(tries_alternative_names),
        cmocka_unit_test(rejects_bad_tables),
        cmocka_unit_test(loads_in_every_dtype),
        cmocka_unit_test(streams_large_tensors),
        cmocka_unit_test(shares_what_is_wanted_twice),
        cmocka_unit_test(applies_layouts),
        cmocka_unit_test(refills_block_by_block),
        cmocka_unit_test(makes_up_contents),
        cmocka_unit_test(names_bad_values),
        cmocka_unit_test(reports_progress_and_cancels),
    };
    return cmocka_run_group_tests(tests, NULL, test_device_teardown);
}

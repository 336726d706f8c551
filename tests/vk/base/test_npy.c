/* .npy reading of every type and version, writing, and malformed headers by name. */
#include "support/test.h"
#include "vk/base/npy.h"

/* A version-1 (or major) file with this dict and body; static storage. */
static const void *file(int major, const char *dict, const void *body, size_t body_size,
                        size_t *size)
{
    static uint8_t out[4096];
    size_t n = strlen(dict), at = 0;
    memcpy(out, "\x93NUMPY", 6);
    out[6] = (uint8_t)major;
    out[7] = 0;
    at = 8;
    for (int i = 0; i < (major == 1 ? 2 : 4); i++)
        out[at++] = (uint8_t)(n >> (8 * i));
    memcpy(out + at, dict, n);
    at += n;
    memcpy(out + at, body, body_size);
    *size = at + body_size;
    return out;
}

static void reads_every_type(void **state)
{
    (void)state;
    const float f4[2] = {1.5f, -2};
    const double f8[2] = {1.5, -2};
    const int32_t i4[2] = {7, -2};
    const int64_t i8[2] = {1ll << 40, -2};
    const uint8_t u1[2] = {7, 255};
    const uint16_t u2[2] = {7, 65535};
    const uint32_t u4[2] = {7, 4294967295u};
    const struct {
        const char *descr;
        const void *body;
        size_t size;
        double a, b;
    } rows[] = {{"<f4", f4, 8, 1.5, -2},        {"<f8", f8, 16, 1.5, -2},
                {"<i4", i4, 8, 7, -2},          {"<i8", i8, 16, 1099511627776.0, -2},
                {"|u1", u1, 2, 7, 255},         {"<u2", u2, 4, 7, 65535},
                {"<u4", u4, 8, 7, 4294967295.0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (int major = 1; major <= 3; major++) {
            char dict[128];
            size_t size;
            double d[2];
            float f[2];
            struct fv_npy a;
            snprintf(dict, sizeof dict,
                     "{'descr': '%s', 'fortran_order': False, 'shape': (2,), }  \n", rows[i].descr);
            const void *p = file(major, dict, rows[i].body, rows[i].size, &size);
            assert_ok(fv_npy_parse(&a, p, size, "a.npy"));
            assert_int_equal(a.rank, 1);
            assert_int_equal(a.count, 2);
            fv_npy_get_f64(&a, d);
            fv_npy_get_f32(&a, f);
            assert_true(d[0] == rows[i].a && d[1] == rows[i].b);
            assert_true(f[0] == (float)rows[i].a && f[1] == (float)rows[i].b);
            assert_fails(fv_npy_parse(&a, p, size - 1, "a.npy"), FV_EFORMAT, "a.npy: .npy shape");
            assert_null(a.data);
        }
    }
}

static void reads_scalars_and_empty(void **state)
{
    (void)state;
    float one = 3, got;
    size_t size;
    struct fv_npy a;
    const void *p =
        file(1, "{\"shape\":(),\"fortran_order\":False,\"descr\":\"<f4\"}", &one, 4, &size);
    assert_ok(fv_npy_parse(&a, p, size, "s"));
    assert_int_equal(a.rank, 0);
    assert_int_equal(a.count, 1);
    fv_npy_get_f32(&a, &got);
    assert_true(got == 3);
    p = file(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (0, 17)}", "", 0, &size);
    assert_ok(fv_npy_parse(&a, p, size, "e"));
    assert_int_equal(a.count, 0);
    fv_npy_get_f32(&a, NULL);
}

static void rejects_bad_headers(void **state)
{
    (void)state;
    static const struct {
        const char *dict;
        int code;
        const char *part;
    } rows[] = {
        {"", FV_EFORMAT, "header is not"},
        {"{", FV_EFORMAT, "header is not"},
        {"{}", FV_EFORMAT, "header is not"},
        {"{'descr': '<f4'", FV_EFORMAT, "header is not"},
        {"{'descr': '<f4', 'shape': (1,)}", FV_EFORMAT, "header is not"},
        {"{'descr': '<f4', 'fortran_order': False}", FV_EFORMAT, "header is not"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1", FV_EFORMAT, "header is not"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", FV_EFORMAT, "header is not"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (L,)}", FV_EFORMAT, "header is not"},
        {"{'descr': '<f4', 'fortran_order': Maybe, 'shape': (1,)}", FV_EFORMAT, "header is not"},
        {"{'descr': 'a long type name', 'fortran_order': False, 'shape': (1,)}", FV_EFORMAT,
         "header is not"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", FV_EFORMAT,
         "header is not"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}", FV_EFORMAT,
         "header is not"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", FV_EFORMAT,
         "header is not"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", FV_EFORMAT,
         "larger than memory"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387905,)}", FV_EFORMAT,
         "asks for"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", FV_EFORMAT, "asks for 3"},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (1,)}", FV_EUNSUPPORTED, "fortran"},
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (1,)}", FV_EUNSUPPORTED, "'>f4'"},
        {"{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}", FV_EUNSUPPORTED, "'<c8'"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t size;
        struct fv_npy a;
        const void *p = file(1, rows[i].dict, "01234567", 8, &size);
        assert_fails(fv_npy_parse(&a, p, size, "bad.npy"), rows[i].code, rows[i].part);
    }
}

static void rejects_truncation_everywhere(void **state)
{
    (void)state;
    size_t size;
    struct fv_npy a;
    float one = 1;
    const void *p =
        file(2, "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", &one, 4, &size);
    assert_ok(fv_npy_parse(&a, p, size, "t"));
    for (size_t n = 0; n < size; n++)
        assert_true(fv_npy_parse(&a, p, n, "t") < 0);
    assert_fails(fv_npy_parse(&a, p, 5, "t"), FV_EFORMAT, "not a .npy");
    assert_fails(fv_npy_parse(&a, p, 14, "t"), FV_EFORMAT, "cut short");
    p = file(9, "{}", "", 0, &size);
    assert_fails(fv_npy_parse(&a, p, size, "t"), FV_EUNSUPPORTED, "version 9");
}

static void writes_what_it_reads(void **state)
{
    (void)state;
    float data[24], back[24];
    const size_t dims[3] = {2, 3, 4};
    const char *path = test_tmp_path("a.npy");
    struct fv_writer w;
    struct fv_npy a;
    for (int i = 0; i < 24; i++)
        data[i] = (float)i / 7;
    for (unsigned rank = 1; rank <= 3; rank++) {
        assert_ok(fv_writer_open(&w, path));
        fv_npy_write(&w, data, dims, rank);
        assert_ok(fv_writer_commit(&w));
        assert_ok(fv_npy_open(&a, path));
        assert_int_equal(a.rank, rank);
        assert_memory_equal(a.dims, dims, rank * sizeof *dims);
        assert_int_equal((size_t)(a.data - a.map.data) % 64, 0);
        fv_npy_get_f32(&a, back);
        assert_memory_equal(back, data, a.count * sizeof *data);
        fv_npy_close(&a);
    }
    assert_fails(fv_npy_open(&a, test_tmp_path("none.npy")), FV_EIO, "none.npy");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_type),     cmocka_unit_test(reads_scalars_and_empty),
        cmocka_unit_test(rejects_bad_headers),  cmocka_unit_test(rejects_truncation_everywhere),
        cmocka_unit_test(writes_what_it_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

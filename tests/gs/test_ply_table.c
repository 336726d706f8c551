/* Columns of a .ply whatever its encoding. */
#include "support/scene.h"

static void reads_columns(void **state)
{
    (void)state;
    static const char *const formats[] = {"binary_little_endian", "binary_big_endian", "ascii"};
    struct gs_scene s = test_scene(20, 1, 5);
    for (int i = 0; i < 3; i++) {
        struct gs_ply_table *t;
        float v[40];
        struct test_bytes b = test_ply_build(&s, &(struct test_ply){.format = formats[i]});
        assert_ok(gs_ply_table_open(&t, b.data, b.size, "a.ply"));
        assert_int_equal(gs_ply_table_rows(t), 20);
        assert_int_equal(gs_ply_table_numbered(t, "f_rest_"), 9);
        assert_int_equal(gs_ply_table_numbered(t, "nothing_"), 0);
        assert_ok(gs_ply_table_read(t, "scale_1", v, 2));
        for (size_t k = 0; k < 20; k++)
            assert_near((double)v[2 * k], (double)s.scale[3 * k + 1], 1e-5);
        assert_fails(gs_ply_table_read(t, "feats_0", v, 1), FV_EFORMAT, "feats_0 is missing");
        gs_ply_table_close(&t);
        int rc = gs_ply_table_open(&t, b.data, b.size - b.size / 4, "a.ply");
        if (i == 2 && rc == 0) { /* text is only read when it is asked for */
            assert_fails(gs_ply_table_read(t, "x", v, 1), FV_EFORMAT, "cut short");
            gs_ply_table_close(&t);
        } else {
            assert_int_equal(rc, FV_EFORMAT);
        }
        assert_null(t);
        test_bytes_free(&b);
    }
    gs_scene_finish(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads_columns)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The programs of examples/, built against the shared library: what they write is what it is of. */
#include "support/test.h"

#ifndef FOVEA_EXAMPLES /* the folder they are built in */
#define FOVEA_EXAMPLES "."
#endif

static int run(char **out, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int status = test_line(out, FOVEA_EXAMPLES "/", fmt, ap);
    va_end(ap);
    return status;
}

static void a_scene_becomes_a_picture(void **state)
{
    (void)state;
    size_t size, lit = 0;
    TEST_ENDS_BY(run, 0, "31000 Gaussians", "render_scene %s %s", test_source("assets/scenes/playbot.sog"),
                 test_tmp_path("a.ppm"));
    unsigned char *ppm = test_read_file(test_tmp_path("a.ppm"), &size);
    assert_int_equal(size, 15 + 640 * 360 * 3);
    assert_memory_equal(ppm, "P6\n640 360\n255\n", 15);
    for (size_t i = 15; i < size; i++)
        lit += ppm[i] > 32;
    assert_true(lit > size / 50 && lit < size / 2); /* a robot before black */
    free(ppm);
    TEST_ENDS_BY(run, 1, "render_scene: none.ply: No such file", "render_scene none.ply %s", test_tmp_path("b.ppm"));
    TEST_ENDS_BY(run, 2, "", "render_scene");
}

static void a_stream_is_decoded(void **state)
{
    (void)state;
    const char *head = test_source("assets/streams/head.fvv");
    TEST_ENDS_BY(run, 0, "", "decode_stream %s 30 %s", head, test_tmp_path("30.spz"));
    TEST_RUNS("convert %s -o %s -q", test_tmp_path("30.spz"), test_tmp_path("30.ply"));
    TEST_ENDS_BY(run, 1, "99999", "decode_stream %s 99999 %s", head, test_tmp_path("x.ply"));
    TEST_ENDS_BY(run, 0, "973 frames, 30 a second\n   0  whole     135459 bytes  20018 Gaussians around",
                 "decode_stream %s | head -3", head);
}

static void a_sentence_becomes_a_clip(void **state)
{
    (void)state;
    size_t size;
    TEST_ENDS_BY(run, 0, "", "generate_clip %s \"a red ball on black\" %s", test_source("assets/models/demo"),
                 test_tmp_path("c.y4m"));
    unsigned char *y4m = test_read_file(test_tmp_path("c.y4m"), &size);
    const size_t plane = 64 * 64, frame = 6 + 3 * plane;
    size_t header = size - 17 * frame, red = 0;
    assert_true(header > 20 && header < 100 && y4m[header - 1] == '\n');
    const unsigned char *v = y4m + header + 8 * frame + 6 + 2 * plane; /* Cr in the middle of the clip */
    for (size_t i = 0; i < plane; i++)
        red += v[i] > 160;
    if (red < plane / 100 || red > plane / 3)
        fail_msg("%zu of %zu pixels are red", red, plane);
    free(y4m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scene_becomes_a_picture),
        cmocka_unit_test(a_stream_is_decoded),
        cmocka_unit_test(a_sentence_becomes_a_clip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

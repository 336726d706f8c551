/* diffusion/sizes.c: names of sizes, latents of clips, what is not possible. */
#include "diffusion/diffusion.h"
#include "support/test.h"

#include <math.h>

static const char *const names[] = {"3:8",  "9:21", "12:25", "1:2", "9:17", "27:50",
                                    "9:16", "5:8",  "2:3",   "3:4", "1:1",  "4:3",
                                    "3:2",  "16:9", "17:9",  "2:1", "50:27"};
enum { NAMES = sizeof names / sizeof *names };

static void pictures_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *size, *aspect;
        uint32_t height, width;
    } rows[] = {
        {"144p", "9:16", 144, 256},  {"144p", "4:3", 221, 165},     {"144p", "9:21", 125, 291},
        {"240p", NULL, 240, 426},    {"240p", "0.56", 240, 426},    {"240p", "", 240, 426},
        {"240p", "2:3", 262, 393},   {"240p", "16:9", 426, 240},    {"240P", "1:1", 320, 320},
        {"360p", "9:21", 314, 732},  {"360p", "3:4", 416, 554},     {"480p", "4:3", 740, 555},
        {"480p", "3:2", 784, 522},   {"720p", "9:16", 720, 1280},   {"720p", "3:2", 1176, 784},
        {"720p", "0.43", 628, 1466}, {"1080p", "9:16", 1080, 1920}, {"4k", "9:16", 2160, 3840},
        {"96x64", NULL, 64, 96},     {"97x65", "", 65, 97},         {"640X360", NULL, 360, 640}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint32_t w = 0, h = 0;
        assert_ok(df_picture_size(&w, &h, rows[i].size, rows[i].aspect));
        assert_int_equal(h, rows[i].height);
        assert_int_equal(w, rows[i].width);
    }
}

/* Every size of the tables against the rule: the area, the aspect, each within what rounding to
 * even numbers gives (and what the authors had by hand). */
static void tables_are_by_the_rule(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double area;
    } sizes[] = {{"144p", 36864},  {"240p", 102240},   {"360p", 230400}, {"480p", 409920},
                 {"720p", 921600}, {"1080p", 2073600}, {"2k", 3686400},  {"4k", 8294400}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (size_t a = 0; a < NAMES; a++) {
            uint32_t w, h;
            double up, across;
            assert_int_equal(sscanf(names[a], "%lf:%lf", &up, &across), 2);
            double aspect = a == NAMES - 1 ? 25.0 / 12 : up / across;
            assert_ok(df_picture_size(&w, &h, sizes[s].name, names[a]));
            assert_near(h, sqrt(sizes[s].area * aspect), 2.01);
            assert_near(w, h / aspect, 5.01);
        }
}

static void refuses_pictures(void **state)
{
    (void)state;
    static const struct {
        const char *size, *aspect, *part;
    } rows[] = {{"", NULL, "144p"},
                {"250p", NULL, "250p"},
                {"240p", "16:10", "16:10"},
                {"240p", "0.561", "0.561"},
                {"0x64", NULL, "8 to 32768"},
                {"64x-64", NULL, "8 to 32768"},
                {"64x64x3", NULL, "WIDTHx"},
                {"64x", NULL, "WIDTHx"},
                {"64x64", "1:1", "1:1"},
                {"64 64", NULL, "WIDTHx"},
                {"99999999999999999999x64", NULL, "8 to 32768"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint32_t w, h;
        assert_fails(df_picture_size(&w, &h, rows[i].size, rows[i].aspect), FV_EINVALID,
                     rows[i].part);
    }
}

static void frames_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t frames;
    } rows[] = {{"1x", 51},   {"2x", 102},  {"16x", 816}, {"2s", 51}, {"4s", 102},     {"8s", 204},
                {"16s", 408}, {"32s", 816}, {"1", 1},     {"17", 17}, {"16384", 16384}};
    static const char *const bad[] = {"",   "0",     "3x",  "3s", "1s",  "32x",
                                      "-1", "16385", "17f", "x",  " 17", "99999999999999999999999"};
    uint32_t n = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_ok(df_frame_count(&n, rows[i].text));
        assert_int_equal(n, rows[i].frames);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_fails(df_frame_count(&n, bad[i]), FV_EINVALID, "2s");
}

static void latents_of_clips(void **state)
{
    (void)state;
    static const struct df_packing groups = {17, 4, 8}, causal = {0, 4, 8}, single = {0, 1, 8};
    static const struct {
        const struct df_packing *p;
        uint32_t frames, latents, whole;
    } rows[] = {{&groups, 1, 1, 1},      {&groups, 51, 15, 51}, {&groups, 68, 20, 68},
                {&groups, 102, 30, 102}, {&groups, 18, 6, 34},  {&groups, 21, 6, 34},
                {&groups, 22, 7, 34},    {&groups, 16, 4, 17},  {&causal, 1, 1, 1},
                {&causal, 17, 5, 17},    {&causal, 16, 5, 17},  {&causal, 18, 6, 21},
                {&causal, 2, 2, 5},      {&single, 7, 7, 7},    {&groups, 0, 0, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(df_latent_frames(rows[i].p, rows[i].frames), rows[i].latents);
        assert_int_equal(df_whole_frames(rows[i].p, rows[i].frames), rows[i].whole);
    }
    for (uint32_t n = 1; n < 200; n++) { /* the next whole one has no fewer latents, and is whole */
        uint32_t whole = df_whole_frames(&groups, n);
        assert_true(whole >= n && df_latent_frames(&groups, whole) >= df_latent_frames(&groups, n));
        assert_int_equal(df_whole_frames(&groups, whole), whole);
    }
}

static void sizes_of_clips(void **state)
{
    (void)state;
    static const struct df_packing groups = {17, 4, 8};
    struct df_size s;
    assert_ok(df_size_of(&s, &groups, &(struct df_clip_size){854, 480, 51, 24}));
    assert_int_equal(s.width, 106);
    assert_int_equal(s.height, 60);
    assert_int_equal(s.frames, 15);
    assert_int_equal(s.batch, 1);
    assert_true(s.pixel_width == 854 && s.pixel_height == 480 && s.fps == 24);
    assert_ok(df_size_of(&s, &groups, &(struct df_clip_size){256, 256, 1, 24}));
    assert_true(s.fps == 120);
    static const struct {
        struct df_clip_size c;
        const char *part;
    } rows[] = {{{7, 64, 17, 24}, "8 to"},     {{64, 40000, 17, 24}, "64x40000"},
                {{64, 64, 0, 24}, "0 frames"}, {{64, 64, 16385, 24}, "16384"},
                {{64, 64, 17, 0}, "a second"}, {{64, 64, 17, NAN}, "a second"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_fails(df_size_of(&s, &groups, &rows[i].c), FV_EINVALID, rows[i].part);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_by_name), cmocka_unit_test(tables_are_by_the_rule),
        cmocka_unit_test(refuses_pictures), cmocka_unit_test(frames_by_name),
        cmocka_unit_test(latents_of_clips), cmocka_unit_test(sizes_of_clips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

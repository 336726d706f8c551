/* The real binary: texts, exit statuses, every command once, failures that must not cost a
 * good file, Ctrl-C. What needs a Vulkan device is in test_cli_render.c. */
#include "support/test.h"
#include "app/image_io.h"
#include "vk/base/file.h"

#include <cjson/cJSON.h>
#include <sys/stat.h>
#include <unistd.h>

static size_t lines(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

/* Runs and expects a status, and a single line on both streams together that has part. */
#define FAILS(status, part, ...)                                                                   \
    do {                                                                                           \
        char *out_;                                                                                \
        int got_ = test_fovea(&out_, __VA_ARGS__);                                                 \
        if (got_ != (status) || lines(out_) != 1 || !strstr(out_, part) ||                         \
            strncmp(out_, "fovea: ", 7))                                                           \
            fail_msg("status %d (expected %d), output \"%s\", expected \"...%s...\"", got_,        \
                     status, out_, part);                                                          \
        free(out_);                                                                                \
    } while (0)

static char *succeeds(const char *what)
{
    char **text = calloc(1, sizeof *text), *out;
    int rc = test_fovea(text, "%s", what);
    out = *text;
    free(text); /* on the heap: gcc 12 takes the address of a local for the result */
    if (rc)
        fail_msg("fovea %s: status %d: %s", what, rc, out);
    return out;
}

static const char *scene(void)
{
    const char *path = test_golden("01_forward/edge_sh1/scene.ply");
    if (!path)
        skip();
    return path;
}

static void overview_fits_a_screen_and_starts_with_an_example(void **state)
{
    (void)state;
    char *out = succeeds("--help"), *first = strchr(out, '\n') + 2, *without;
    assert_true(lines(out) <= 30);
    for (char *l = out; *l; l = strchr(l, '\n') + 1)
        assert_true(strcspn(l, "\n") <= 80);
    assert_int_equal(strncmp(first, "  fovea render scene.ply -o scene.mp4", 37), 0);
    assert_int_equal(test_fovea(&without, " "), 0);
    free(without);
    assert_int_equal(test_fovea(&without, "help --help"), 0);
    assert_string_equal(out, without);
    free(without);
    free(out);
}

static void version_names_libraries_and_licences(void **state)
{
    (void)state;
    char *out = succeeds("--version");
    assert_int_equal(strncmp(out, "fovea ", 6), 0);
    static const char *const parts[] = {"libavcodec", "GPL", "libcurl", "SentencePiece"};
    for (int k = 0; k < 4; k++)
        if (!strstr(out, parts[k]))
            fail_msg("%s is not in %s", parts[k], out);
    free(out);
}

static void man_page_and_completions_know_every_option(void **state)
{
    (void)state;
    char *man = succeeds("help --man"), *help = succeeds("help render");
    char *shells[3] = {succeeds("help --completion bash"), succeeds("help --completion zsh"),
                       succeeds("help --completion fish")};
    assert_int_equal(strncmp(man, ".TH FOVEA 1", 11), 0);
    int options = 0;
    for (char *l = help; (l = strstr(l, " --")); l++) {
        char name[64], escaped[128] = "";
        if (sscanf(l, " --%60[a-z-]", name) != 1 || !strcmp(name, "help"))
            continue;
        for (char *c = name; *c; c++)
            snprintf(escaped + strlen(escaped), sizeof escaped - strlen(escaped),
                     *c == '-' ? "\\-" : "%c", *c);
        if (!strstr(man, escaped))
            fail_msg("--%s is not in the man page", name);
        for (int s = 0; s < 3; s++)
            if (!strstr(shells[s], name))
                fail_msg("--%s is not in completion %d", name, s);
        options++;
    }
    assert_true(options > 30);
    test_write_file(test_tmp_path("comp"), shells[0], strlen(shells[0]));
    char command[200];
    snprintf(command, sizeof command, "bash -n %s", test_tmp_path("comp"));
    assert_int_equal(system(command), 0);
    for (int s = 0; s < 3; s++)
        free(shells[s]);
    free(man);
    free(help);
    FAILS(2, "choose one of bash, zsh, fish", "help --completion tcsh");
}

static void wrong_command_lines_exit_2(void **state)
{
    (void)state;
    FAILS(2, "did you mean fovea render?", "rendr");
    FAILS(2, "no command or file", "zzzzzz");
    FAILS(2, "did you mean --frames?", "render a.ply -o b.mp4 --frmes 3");
    FAILS(2, "needs a scene file: fovea render SCENE -o OUT", "render -o b.mp4");
    FAILS(2, "needs -o OUT", "render a.ply");
    FAILS(2, "one argument too many", "render a.ply b.ply -o c.mp4");
    FAILS(2, "--frames needs a value", "render a.ply --frames");
    FAILS(2, "do not go together", "render a.ply -o b.mp4 --orbit --cameras c.json");
    FAILS(2, "numbered name", "render a.ply -o b.png --frames 10");
    FAILS(2, "needs --cameras", "render a.ply -o b.png --camera 1");
    FAILS(2, "mp4, mkv, webm, y4m, raw", "render a.ply -o -");
    FAILS(2, "write .npy", "render a.ply -o b.png --aov depth");
    FAILS(2, "needs -o OUT", "convert a.ply");
    FAILS(2, "--rotate:", "convert a.ply -o b.ply --rotate w:90");
    FAILS(2, "needs directories", "check --arch splat");
    FAILS(2, "--arch: no", "check --arch nothing x");
    FAILS(2, "no benchmark", "bench opera");
    FAILS(2, "--rotate:", "convert a.ply -o b.ply --rotate 0,0,0,0");
}

static void missing_files_exit_1_with_one_line(void **state)
{
    (void)state;
    FAILS(1, "none.ply: No such file", "info none.ply");
    FAILS(1, "none.ply: No such file", "convert none.ply -o %s", test_tmp_path("x.ply"));
    FAILS(1, "none.png: No such file", "compare none.png none.png");
    FAILS(1, "none.mp4: No such file", "compare none.mp4 none.mp4");
    FAILS(1, "is a scene, and what is compared", "compare a.ply none.mp4");
    FAILS(1, "none: no such directory", "check --arch splat none");
    FAILS(1, "none.ply: No such file", "render none.ply -o %s", test_tmp_path("x.mp4"));
    FAILS(1, "none.json: No such file", "render %s -c none.json -o %s", scene(),
          test_tmp_path("x.mp4"));
    FAILS(1, "nodir cannot be written to: No such file", "render none.ply -o %s/a.png",
          test_tmp_path("nodir"));
    FAILS(1, "cannot be made: No such file", "render none.ply -o %s/", test_tmp_path("no/dir"));
    FAILS(1, "nothing in it to check", "check --arch cameras %s", test_tmp());
    assert_false(fv_exists(test_tmp_path("x.mp4")));
}

static void bad_sizes_are_refused_before_loading(void **state)
{
    (void)state;
    FAILS(1, "--size: 0x10 is not a picture size", "render none.ply -o a.mp4 --size 0x10");
    FAILS(1, "--size: 100000x100", "render none.ply -o a.png --size 100000x100");
    FAILS(1, "use 102x100", "render none.ply -o %s --size 101x100", test_tmp_path("a.mp4"));
    assert_false(fv_exists(test_tmp_path("a.mp4")));
}

static double number_of(const char *json, const char *key)
{
    cJSON *doc = cJSON_Parse(json), *n = cJSON_GetObjectItem(doc, key);
    if (!cJSON_IsNumber(n))
        fail_msg("no number \"%s\" in %s", key, json);
    double v = n->valuedouble;
    cJSON_Delete(doc);
    return v;
}

static void info_tells_what_it_is(void **state)
{
    (void)state;
    char line[1024];
    snprintf(line, sizeof line, "info --json %s", scene());
    char *out = succeeds(line);
    assert_near(number_of(out, "gaussians"), 52, 0);
    assert_near(number_of(out, "sh_degree"), 1, 0);
    assert_near(number_of(out, "bytes"), 6036, 0);
    assert_non_null(strstr(out, "\"kind\":\t\"scene\""));
    free(out);
    const char *cameras = test_golden("01_forward/edge_sh1/cameras.json");
    snprintf(line, sizeof line, "info %s %s", scene(), cameras);
    out = succeeds(line);
    assert_non_null(strstr(out, "52\n"));
    assert_non_null(strstr(out, "camera list"));
    free(out);
    FAILS(1, "empty", "info %s",
          (test_write_file(test_tmp_path("e.ply"), "", 0), test_tmp_path("e.ply")));
}

static void convert_edits_and_round_trips(void **state)
{
    (void)state;
    char line[2048];
    char *out;
    snprintf(line, sizeof line, "convert %s %s -o %s --sh 0", scene(), scene(),
             test_tmp_path("two.ply"));
    out = succeeds(line);
    assert_non_null(strstr(out, "104 Gaussians, SH 0"));
    free(out);
    snprintf(line, sizeof line, "convert %s -o %s -q", test_tmp_path("two.ply"),
             test_tmp_path("two.compressed.ply"));
    out = succeeds(line);
    assert_string_equal(out, "");
    free(out);
    snprintf(line, sizeof line, "info --json %s", test_tmp_path("two.compressed.ply"));
    out = succeeds(line);
    assert_near(number_of(out, "gaussians"), 104, 0);
    free(out);
    snprintf(line, sizeof line, "convert %s -o %s --rotate x:90 --scale 2 --translate 1,2,3",
             scene(), test_tmp_path("moved.ply"));
    free(succeeds(line));
    snprintf(line, sizeof line, "convert %s -o %s --translate=-1,-2,-3", test_tmp_path("moved.ply"),
             test_tmp_path("moved.ply"));
    free(succeeds(line));
    snprintf(line, sizeof line, "convert %s -o %s --rotate 0.70710678,-0.70710678,0,0 --scale 0.5",
             test_tmp_path("moved.ply"), test_tmp_path("back.ply"));
    free(succeeds(line));
    char *a, *b;
    snprintf(line, sizeof line, "info --json %s", scene());
    a = succeeds(line);
    snprintf(line, sizeof line, "info --json %s", test_tmp_path("back.ply"));
    b = succeeds(line);
    assert_near(number_of(b, "radius"), number_of(a, "radius"), 1e-4 * number_of(a, "radius"));
    free(a);
    free(b);
    FAILS(1, "no Gaussians are left", "convert %s -o %s --crop 900,900,900,901,901,901", scene(),
          test_tmp_path("none.ply"));
    assert_false(fv_exists(test_tmp_path("none.ply")));
}

static void failed_convert_keeps_the_old_file(void **state)
{
    (void)state;
    const char *old = test_tmp_path("old.ply");
    size_t size;
    test_write_file(old, "precious", 8);
    FAILS(1, "none.ply", "convert none.ply -o %s", old);
    FAILS(1, "no Gaussians", "convert %s -o %s --crop 900,900,900,901,901,901", scene(), old);
    char *out, command[1024];
    /* 1 KiB is less than the scene: a write error in the middle */
    snprintf(command, sizeof command, "ulimit -f 1; '%s' convert %s -o %s 2>&1", FOVEA_BINARY,
             scene(), old);
    assert_int_not_equal(test_shell(&out, command), 0);
    assert_non_null(strstr(out, "old.ply"));
    free(out);
    free(test_read_file(old, &size));
    assert_int_equal(size, 8);
}

static void compare_measures_pictures(void **state)
{
    (void)state;
    float a[32 * 32], b[32 * 32];
    char line[1024];
    for (int i = 0; i < 32 * 32; i++) {
        a[i] = 0.5f;
        b[i] = 0.51f;
    }
    assert_ok(image_save_npy(test_tmp_path("a.npy"), a, 32, 32, 1));
    assert_ok(image_save_npy(test_tmp_path("b.npy"), b, 32, 32, 1));
    snprintf(line, sizeof line, "compare %s %s --csv --heatmap %s --plot %s",
             test_tmp_path("a.npy"), test_tmp_path("b.npy"), test_tmp_path("h.png"),
             test_tmp_path("p.png"));
    char *out = succeeds(line);
    assert_non_null(strstr(out, "0,40.0000,"));
    free(out);
    assert_true(fv_exists(test_tmp_path("h.png")) && fv_exists(test_tmp_path("p.png")));
    snprintf(line, sizeof line, "compare %s %s --json", test_tmp_path("a.npy"),
             test_tmp_path("a.npy"));
    out = succeeds(line);
    assert_non_null(strstr(out, "\"psnr\":\tnull"));
    free(out);
    for (int i = 0; i < 32 * 32; i++) /* half of it black in a: that half does not count */
        if (i % 2) {
            a[i] = 0;
            b[i] = 0.3f;
        }
    assert_ok(image_save_npy(test_tmp_path("c.npy"), a, 32, 32, 1));
    assert_ok(image_save_npy(test_tmp_path("d.npy"), b, 32, 32, 1));
    snprintf(line, sizeof line, "compare %s %s --csv --covered", test_tmp_path("c.npy"),
             test_tmp_path("d.npy"));
    out = succeeds(line);
    assert_non_null(strstr(out, "0,40.0000,"));
    free(out);
    assert_ok(image_save_npy(test_tmp_path("small.npy"), a, 16, 16, 1));
    FAILS(1, "sizes must be equal", "compare %s %s", test_tmp_path("a.npy"),
          test_tmp_path("small.npy"));
    char *text;
    assert_int_equal(test_fovea(&text, "compare %s %s --min-psnr 41", test_tmp_path("a.npy"),
                                test_tmp_path("b.npy")),
                     1);
    assert_non_null(strstr(text, "is below 41"));
    free(text);
}

static void folders_are_compared_in_order(void **state)
{
    (void)state;
    float a[64] = {0};
    char line[1024], name[64];
    for (int f = 0; f < 2; f++) {
        snprintf(name, sizeof name, "dir%d", f);
        mkdir(test_tmp_path(name), 0777);
        for (int i = 0; i < 3; i++) {
            snprintf(name, sizeof name, "dir%d/%d.npy", f, i);
            a[0] = (float)(i * f);
            assert_ok(image_save_npy(test_tmp_path(name), a, 8, 8, 1));
        }
    }
    snprintf(line, sizeof line, "compare %s %s --csv", test_tmp_path("dir0"),
             test_tmp_path("dir1"));
    char *out = succeeds(line);
    assert_non_null(strstr(out, "\n0,inf,"));
    assert_non_null(strstr(out, "\n1,18.0618,"));
    assert_non_null(strstr(out, "\n2,12.0412,"));
    free(out);
    snprintf(name, sizeof name, "dir1/2.npy");
    unlink(test_tmp_path(name));
    FAILS(1, "ends after 2 frames", "compare %s %s", test_tmp_path("dir0"), test_tmp_path("dir1"));
}

static void check_holds_cameras_and_finds_a_change(void **state)
{
    (void)state;
    const char *dir = test_golden("06_cameras/transforms");
    char command[1024], *out;
    if (!dir)
        skip();
    snprintf(command, sizeof command, "check --arch cameras %s", dir);
    out = succeeds(command);
    assert_non_null(strstr(out, " 0 do not"));
    free(out);
    snprintf(command, sizeof command, "cp -r %s %s && chmod -R u+w %s", dir,
             test_tmp_path("changed"), test_tmp_path("changed"));
    assert_int_equal(system(command), 0);
    size_t size;
    char *text = test_read_file(test_tmp_path("changed/transforms_train.json"), &size);
    char *digit = strstr(text, "-1.45286161");
    assert_non_null(digit);
    digit[3] = '7';
    test_write_file(test_tmp_path("changed/transforms_train.json"), text, size);
    free(text);
    assert_int_equal(test_fovea(&out, "check --arch cameras %s", test_tmp_path("changed")), 1);
    assert_non_null(strstr(out, "FAIL"));
    assert_non_null(strstr(out, "first ["));
    free(out);
}

static void check_holds_formats(void **state)
{
    (void)state;
    const char *dir = test_golden("03_formats/garden150_sh1");
    char line[600], *out;
    if (!dir)
        skip();
    snprintf(line, sizeof line, "check --arch formats %s", dir);
    out = succeeds(line);
    assert_non_null(strstr(out, " 0 do not"));
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(overview_fits_a_screen_and_starts_with_an_example),
        cmocka_unit_test(version_names_libraries_and_licences),
        cmocka_unit_test(man_page_and_completions_know_every_option),
        cmocka_unit_test(wrong_command_lines_exit_2),
        cmocka_unit_test(missing_files_exit_1_with_one_line),
        cmocka_unit_test(bad_sizes_are_refused_before_loading),
        cmocka_unit_test(info_tells_what_it_is),
        cmocka_unit_test(convert_edits_and_round_trips),
        cmocka_unit_test(failed_convert_keeps_the_old_file),
        cmocka_unit_test(compare_measures_pictures),
        cmocka_unit_test(folders_are_compared_in_order),
        cmocka_unit_test(check_holds_cameras_and_finds_a_change),
        cmocka_unit_test(check_holds_formats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

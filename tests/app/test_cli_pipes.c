/* The real binary in pipelines: scenes, pictures, video and cameras through standard input, all kinds
 * of results through standard output, to and from the ffmpeg program; closed and full outputs. */
#include "support/test.h"
#include "app/pipe_in.h"
#include "vk/base/file.h"

#include <cjson/cJSON.h>
#include <glob.h>
#include <unistd.h>

static const char *scene(void)
{
    const char *path = test_golden("01_forward/tiny50_sh3/scene.ply");
    if (!path)
        skip();
    return path;
}

/* A line for the shell: fovea by its name, the rest as written. Returns the last program's status;
 * *out: what it printed, caller frees. */
static int shell(char **out, const char *fmt, ...)
{
    char line[4096], *all;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    assert_true(asprintf(&all, "bash -o pipefail -c 'fovea() { \"%s\" \"$@\"; }; %s' 2>&1", FOVEA_BINARY, line) > 0);
    int status = test_shell(out, all);
    free(all);
    return status;
}

#define RUNS(...)               TEST_ENDS_BY(shell, 0, "", __VA_ARGS__)
#define SAYS(status, part, ...) TEST_ENDS_BY(shell, status, part, __VA_ARGS__)

/* What is kept of standard input is gone afterwards. */
static void nothing_is_left(void)
{
    glob_t g;
    char pattern[600];
    snprintf(pattern, sizeof pattern, "%s/fovea-*", test_tmp());
    int rc = glob(pattern, 0, NULL, &g);
    if (rc == 0)
        fail_msg("%s is left", g.gl_pathv[0]);
}

static void what_bytes_are(void **state)
{
    (void)state;
    static const struct {
        const char *begin;
        size_t known, size;
        const char *suffix;
    } rows[] = {
        {"ply\nformat", 10, 100, ".ply"},
        {"ply\r\nformat", 11, 100, ".ply"},
        {"plywood", 7, 7, ".txt"},
        {"NGSP\1\0\0\0", 8, 8, ".spz"},
        {"\x1f\x8b\x08\0", 4, 64, ".spz"},
        {"fvv\x1a\1\0\0\0", 8, 64, ".fvv"},
        {"glTF\2\0\0\0", 8, 64, ".glb"},
        {"YUV4MPEG2 W4 H4\n", 16, 64, ".y4m"},
        {"\0\0\0\x20" "ftypisom", 12, 64, ".mp4"},
        {"\x1a\x45\xdf\xa3\1", 5, 64, ".mkv"},
        {"RIFF\1\2\3\4AVI LIST", 16, 64, ".avi"},
        {"\x89PNG\r\n\x1a\n", 8, 64, ".png"},
        {"\xff\xd8\xff\xe0", 4, 64, ".jpg"},
        {"\x93NUMPY\1\0", 8, 64, ".npy"},
        {"GGUF\3\0\0\0", 8, 64, ".gguf"},
        {"\x40\0\0\0\0\0\0\0{\"a\":1}", 15, 96, ".safetensors"},
        {"PK\3\4\24\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x09\0\0\0meta.json", 39, 100, ".sog"},
        {"PK\3\4\24\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\0\0\0archive/data.pkl", 46, 100, ".pt"},
        {"  {\"frames\": []}", 16, 16, ".json"},
        {"[1, 2]", 6, 6, ".json"},
        {"a red ball\n", 11, 11, ".txt"},
        {"\0\0\x80\x3f\1\2\3\4", 8, 64, ".splat"},
        {"\0\0\x80\x3f\1\2\3\4", 8, 65, ""},
        {"\0\0\x80\x3f\1\2\3\4", 8, 0, ""},
        {"", 0, 0, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(pipe_in_suffix(rows[i].begin, rows[i].known, rows[i].size), rows[i].suffix))
            fail_msg("row %zu: \"%s\", expected \"%s\"", i,
                     pipe_in_suffix(rows[i].begin, rows[i].known, rows[i].size), rows[i].suffix);
}

/* Every format that is written goes out and in again, told by its bytes alone. */
static void scenes_go_through_pipes(void **state)
{
    (void)state;
    static const char *const formats[] = {"ply", "compressed.ply", "splat", "spz", "sog", "glb"};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        SAYS(0, "\"gaussians\":\t50",
             "fovea convert %s -o - -f %s | cat | fovea convert - --json -o %s", scene(), formats[i], test_tmp_path("o.ply"));
    RUNS("fovea convert %s -o %s -q", scene(), test_tmp_path("a.ply"));
    RUNS("fovea convert - -o - -f ply < %s | cmp - %s", scene(), test_tmp_path("a.ply"));
    SAYS(0, "\"file\":\t\"standard input\"", "fovea info --json - < %s", scene());
    SAYS(0, "standard input\n", "fovea info - < %s", scene());
    SAYS(2, "say what goes to standard output", "fovea convert %s -o -", scene());
    SAYS(2, "do not go together", "fovea convert %s -o - -f ply --json", scene());
    nothing_is_left();
}

static void wrong_input_is_told_of(void **state)
{
    (void)state;
    SAYS(1, "fovea: info: standard input is empty", "fovea info - < /dev/null");
    SAYS(1, "fovea: info: standard input: neither its name nor", "printf \"\\1\\2\\3\" | fovea info -");
    SAYS(1, "standard input: ", "head -c 500 %s | fovea convert - -o %s", scene(), test_tmp_path("x.ply"));
    SAYS(1, "can be read only once", "fovea convert - - -o %s < %s", test_tmp_path("x.ply"), scene());
    SAYS(1, "cannot be kept in /nowhere", "TMPDIR=/nowhere fovea info - < %s", scene());
    SAYS(1, "fovea: info: standard input", "fovea info - <&-");
    assert_false(fv_exists(test_tmp_path("x.ply")));
    nothing_is_left();
}

static void closed_and_full_outputs(void **state)
{
    (void)state;
    static const char *const commands[] = {"info --json %s", "help render", "convert %s -o - -f ply"};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        char line[600];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(line, sizeof line, commands[i], scene());
#pragma GCC diagnostic pop
        SAYS(1, "standard output: write failed: the disk is full", "fovea %s > /dev/full", line);
        SAYS(1, "standard output is closed", "fovea %s >&-", line);
        /* the reader is gone before anything is written */
        SAYS(1, "standard output was closed by the program that reads it",
             "{ sleep 0.3; fovea %s; } | true", line);
    }
    /* files that are opened do not take the place of standard streams that are closed */
    RUNS("fovea convert %s -q -o %s >&- 2>&- <&-", scene(), test_tmp_path("b.ply"));
    RUNS("cmp %s %s", test_tmp_path("a.ply"), test_tmp_path("b.ply"));
}

static void nothing_is_coloured_in_a_pipe(void **state)
{
    (void)state;
    char *out;
    const char *dir = test_golden("06_cameras/transforms");
    if (!dir)
        skip();
    assert_int_equal(shell(&out, "fovea check --arch cameras %s", dir), 0);
    assert_non_null(strstr(out, "ok"));
    assert_null(strchr(out, '\033'));
    free(out);
    /* and on a terminal, unless it is not wanted */
    assert_int_equal(shell(&out, "script -qec \"\\\"%s\\\" check --arch cameras %s\" /dev/null", FOVEA_BINARY, dir), 0);
    assert_non_null(strchr(out, '\033'));
    free(out);
    static const char *const plain[] = {"NO_COLOR=1", "TERM=dumb"};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(shell(&out, "%s script -qec \"\\\"%s\\\" check --arch cameras %s\" /dev/null", plain[i],
                               FOVEA_BINARY, dir), 0);
        assert_null(strchr(out, '\033'));
        free(out);
    }
}

/* Every library the binary asks for, by its own list, is named with its licence. */
static void version_names_every_library(void **state)
{
    (void)state;
    static const char *const names[][2] = {
        {"libvulkan.so", "Vulkan loader"}, {"libcjson.so", "cJSON"}, {"libzstd.so", "zstd"}, {"libz.so", "zlib"},
        {"libsentencepiece.so", "SentencePiece"}, {"libstdc++.so", "libstdc++"}, {"libgcc_s.so", "libgcc"},
        {"libavformat.so", "libavformat"}, {"libavcodec.so", "libavcodec"}, {"libavutil.so", "libavutil"},
        {"libswscale.so", "libswscale"}, {"libwebp.so", "libwebp"}, {"libcurl.so", "libcurl"},
        {"libglfw.so", "GLFW"}, {"libstb.so", "stb"}, {"libimgui.so", "Dear ImGui"}, {"libm.so", "glibc"},
        {"libc.so", "glibc"}, {"ld-linux", "glibc"}, {"libshaderc", "libshaderc"}, {"libasan.so", "GCC"},
        {"libubsan.so", "GCC"}, {"libtsan.so", "GCC"}};
    char *needed, *version, *save = NULL;
    int count = 0;
    assert_int_equal(shell(&version, "fovea --version"), 0);
    assert_int_equal(shell(&needed, "readelf -d \"%s\" | sed -n \"s/.*(NEEDED).*\\[\\(.*\\)\\]/\\1/p\"", FOVEA_BINARY), 0);
    for (char *so = strtok_r(needed, "\n", &save); so; so = strtok_r(NULL, "\n", &save), count++) {
        size_t k = 0, n = sizeof names / sizeof *names;
        while (k < n && strncmp(so, names[k][0], strlen(names[k][0])))
            k++;
        if (k == n)
            fail_msg("%s: of no library that --version knows", so);
        if (!strstr(version, names[k][1]))
            fail_msg("%s: %s is not in %s", so, names[k][1], version);
    }
    assert_true(count > 8);
    free(needed);
    free(version);
}

/* Nothing but results, and of those what was asked for. */
static void quiet_and_verbose(void **state)
{
    (void)state;
    char *out;
    assert_int_equal(shell(&out, "fovea convert -q %s -o %s", scene(), test_tmp_path("q.ply")), 0);
    assert_string_equal(out, "");
    free(out);
    assert_int_equal(shell(&out, "fovea --quiet encode %s %s -n 1 -o %s", scene(), scene(), test_tmp_path("q.fvv")), 0);
    assert_string_equal(out, "");
    free(out);
    SAYS(0, "\n  Gaussians      50\n", "fovea info -q %s", scene());
    assert_int_equal(shell(&out, "fovea -v info %s 2>&1 >/dev/null", scene()), 0);
    assert_int_equal(strncmp(out, "fovea: device ", 14), 0);
    free(out);
}

static void json_summaries(void **state)
{
    (void)state;
    char *out;
    assert_int_equal(shell(&out, "fovea convert %s -o %s --json", scene(), test_tmp_path("c.spz")), 0);
    cJSON *o = cJSON_Parse(out);
    free(out);
    assert_non_null(o);
    assert_near(cJSON_GetNumberValue(cJSON_GetObjectItem(o, "gaussians")), 50, 0);
    assert_true(cJSON_GetNumberValue(cJSON_GetObjectItem(o, "bytes")) > 100);
    cJSON_Delete(o);
}

/* ---- with a device ------------------------------------------------------------------------ */

#define RENDER "fovea %s render %s -s 64x48 -n 4 "

/* Every container plays from a pipe, in ffmpeg and in fovea. */
static void video_goes_out(void **state)
{
    (void)state;
    static const char *const formats[] = {"mp4", "mkv", "y4m"};
    RUNS(RENDER "-q -o %s", test_device_option(), scene(), test_tmp_path("r.mp4"));
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        SAYS(0, "nb_read_frames=4",
             RENDER "-o - -f %s | ffprobe -v error -count_frames -show_entries stream=nb_read_frames -of default=nw=1 -",
             test_device_option(), scene(), formats[i]);
        /* MP4 and Matroska hold the same packets; raw video what they were made of */
        RUNS(RENDER "-o - -f %s | fovea compare - %s --min-psnr %d", test_device_option(), scene(), formats[i],
             test_tmp_path("r.mp4"), strcmp(formats[i], "y4m") ? 99 : 30);
    }
    /* its colours are those of the pictures: the matrix is marked */
    RUNS(RENDER "-q -o %s/pictures/", test_device_option(), scene(), test_tmp());
    RUNS(RENDER "-o - -f y4m --pix-fmt yuv444p | fovea compare - %s/pictures --min-psnr 45", test_device_option(),
         scene(), test_tmp());
    SAYS(0, "nb_read_frames=4",
         RENDER "-o - -f png | ffprobe -v error -f png_pipe -count_frames -show_entries "
                "stream=nb_read_frames -of default=nw=1 -", test_device_option(), scene());
    SAYS(0, "49152\n", RENDER "-o - -f raw --pix-fmt rgba | wc -c", test_device_option(), scene());
    SAYS(2, "say what goes to standard output", RENDER "-o -", test_device_option(), scene());
    SAYS(1, "standard output was closed by the program that reads it", RENDER "-o - -f mkv | true",
         test_device_option(), scene());
    nothing_is_left();
}

/* And from ffmpeg; cameras, too. */
static void video_comes_in(void **state)
{
    (void)state;
    RUNS(RENDER "-q -o %s", test_device_option(), scene(), test_tmp_path("r.mp4"));
    /* without the matrix, which small pictures usually have another of, and with it */
    RUNS("ffmpeg -v error -i %s -f yuv4mpegpipe - | fovea compare - %s --min-psnr 30", test_tmp_path("r.mp4"),
         test_tmp_path("r.mp4"));
    RUNS("ffmpeg -v error -i %s -c:v ffv1 -f matroska - | fovea compare - %s --min-psnr 99", test_tmp_path("r.mp4"),
         test_tmp_path("r.mp4"));
    RUNS("ffmpeg -v error -i %s -c copy -f matroska - | fovea compare %s - --min-psnr 99", test_tmp_path("r.mp4"),
         test_tmp_path("r.mp4"));
    SAYS(0, "\"kind\":\t\"video\"", "ffmpeg -v error -i %s -f yuv4mpegpipe - | fovea info --json -",
         test_tmp_path("r.mp4"));
    SAYS(0, "\"kind\":\t\"video\"", "cat %s | fovea info --json -", test_tmp_path("r.mp4"));
    SAYS(0, "\"kind\":\t\"picture\"",
         "ffmpeg -v error -i %s -frames:v 1 -f image2pipe -c:v png - | fovea info --json -", test_tmp_path("r.mp4"));
    const char *cameras = test_golden("01_forward/tiny50_sh3/cameras.json");
    RUNS("fovea %s render %s -c %s --camera 0 -o %s -q", test_device_option(), scene(), cameras, test_tmp_path("1.png"));
    RUNS("fovea %s render %s -c - --camera 0 -o - -f png < %s | fovea compare - %s --min-psnr 99", test_device_option(), scene(), cameras,
         test_tmp_path("1.png"));
    RUNS("fovea %s render - -c %s --camera 0 -o %s -q < %s", test_device_option(), cameras, test_tmp_path("2.png"),
         scene());
    RUNS("fovea compare %s %s --min-psnr 99", test_tmp_path("1.png"), test_tmp_path("2.png"));
    nothing_is_left();
}

static void render_tells_in_json(void **state)
{
    (void)state;
    char *out;
    assert_int_equal(shell(&out, RENDER "--json -o %s", test_device_option(), scene(), test_tmp_path("j.mp4")), 0);
    cJSON *o = cJSON_Parse(out);
    if (!o)
        fail_msg("no JSON: %s", out);
    free(out);
    assert_near(cJSON_GetNumberValue(cJSON_GetObjectItem(o, "frames")), 4, 0);
    assert_near(cJSON_GetNumberValue(cJSON_GetObjectItem(o, "width")), 64, 0);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(o, "output")), test_tmp_path("j.mp4"));
    cJSON_Delete(o);
}

static int setup(void **state)
{
    (void)state;
    return setenv("TMPDIR", test_tmp(), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_bytes_are),
        cmocka_unit_test(scenes_go_through_pipes),
        cmocka_unit_test(wrong_input_is_told_of),
        cmocka_unit_test(closed_and_full_outputs),
        cmocka_unit_test(nothing_is_coloured_in_a_pipe),
        cmocka_unit_test(version_names_every_library),
        cmocka_unit_test(quiet_and_verbose),
        cmocka_unit_test(json_summaries),
        cmocka_unit_test(video_goes_out),
        cmocka_unit_test(video_comes_in),
        cmocka_unit_test(render_tells_in_json),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}

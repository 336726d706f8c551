/* How the viewer's panels look: each is brought onto the screen by real input, with one and with two pixels a point.
 * Nothing may reach out of the window, lie over something else or have too little room for its text, at either; the
 * places of all widgets and the panels themselves, made small, are compared with tests/app/panels/NAME.txt and .png.
 * Renewed, when panels are meant to have changed, by
 *
 *     scripts/screenshots references        # app_test_viewer_panels references FOLDER
 *
 * after a look at the pictures. `pictures FOLDER` makes those of docs/pictures, with what fovea brings along in
 * place of small files. Skipped where Xvfb or xdotool are not installed. */
#include "support/test.h"
#include "support/xserver.h"
#include "viewer_rig.h"
#include "vk/base/file.h"
#include "vk/base/thread.h"

#include <sys/stat.h>
#include <unistd.h>

/* Points. A block of the small picture is as large as the panels' margins; it is told from another by LEVELS of 255
 * a pixel a point, as the references are of one and letters are finer with two. WANDER is what rounding them moves. */
enum { BLOCK = 8, LEVELS = 12, WANDER = 3 };
static const double most_blocks = 0.003; /* may differ, and two: corners */

static int scale;            /* pixels a point */
static int wide = 960, high = 1100; /* of the window: all sections have room */
static const char *pictures; /* a folder: pictures of the documentation are made; NULL: what is there is compared */
static const char *references;
static char scene[256], second[256], stream[256], clip[256]; /* second: to compare with the scene */
static char cameras[256], stream_cameras[256]; /* "": none */

/* --- what is on the screen --- */

struct box {
    char name[120]; /* "panel Scene", "Scene/File", "value Scene/Format" */
    double at[4];   /* points */
};
struct layout {
    struct box *box;
    size_t count;
};

static void read_layout(struct layout *l, const char *path, int pixels)
{
    char *text = test_read_file(path, NULL), *line = text, *end;
    *l = (struct layout){0};
    for (; (end = strchr(line, '\n')); line = end + 1) {
        struct box b;
        char kind[16] = "", name[100];
        *end = 0;
        if (!strncmp(line, "says ", 5) || !strncmp(line, "clicks ", 7))
            continue;
        if (sscanf(line, "%lf %lf %lf %lf %99[^\n]", &b.at[0], &b.at[1], &b.at[2], &b.at[3], name) != 5 &&
            sscanf(line, "%15s %lf %lf %lf %lf %99[^\n]", kind, &b.at[0], &b.at[1], &b.at[2], &b.at[3], name) != 6)
            fail_msg("%s: \"%s\"", path, line);
        if (!strcmp(kind, "typing"))
            continue;
        for (int k = 0; k < 4; k++)
            b.at[k] /= pixels;
        snprintf(b.name, sizeof b.name, "%s%s%s", kind, *kind ? " " : "", name);
        l->box = realloc(l->box, sizeof *l->box * (l->count + 1));
        assert_non_null(l->box);
        l->box[l->count++] = b;
    }
    free(text);
}

static bool is_kind(const struct box *b, const char *kind)
{
    return !strncmp(b->name, kind, strlen(kind));
}

/* Of the panel's own widgets, but marks on a timeline, which lie over it. */
static bool is_widget(const struct box *b)
{
    return !is_kind(b, "panel ") && !is_kind(b, "value ") && !is_kind(b, "cut ") && !strstr(b->name, "/##key");
}

static bool same_panel(const struct box *a, const struct box *b)
{
    size_t n = strcspn(a->name, "/");
    return !strncmp(a->name, b->name, n + 1);
}

static double overlap(const struct box *a, const struct box *b)
{
    double across = fmin(a->at[2], b->at[2]) - fmax(a->at[0], b->at[0]);
    return fmin(across, fmin(a->at[3], b->at[3]) - fmax(a->at[1], b->at[1]));
}

/* Whether it is one of the names, or a part of a panel that is. */
static bool varies(const struct box *b, const char *names)
{
    for (; *names; names += strcspn(names, "\n"), names += *names == '\n') {
        size_t n = strcspn(names, "\n");
        if (!strncmp(b->name, names, n) && !b->name[n])
            return true;
    }
    return false;
}

/* What holds of every window: all is inside, has room, and lies beside one another. */
static void tidy(const struct layout *l, const char *what, const char *above)
{
    for (size_t i = 0; i < l->count; i++) {
        const struct box *a = &l->box[i];
        if (is_kind(a, "cut "))
            fail_msg("%s at %dx: no room for the text of \"%s\"", what, scale, a->name + 4);
        if (a->at[0] < 0 || a->at[1] < 0 || a->at[2] > wide || a->at[3] > high)
            fail_msg("%s at %dx: \"%s\" reaches out of the window", what, scale, a->name);
        for (size_t k = 0; k < i; k++) {
            const struct box *b = &l->box[k];
            bool meet = is_widget(a)           ? is_widget(b) && same_panel(a, b)
                        : is_kind(a, "panel ") ? is_kind(b, "panel ") && !varies(a, above) && !varies(b, above)
                                               : false;
            if (meet && overlap(a, b) > 1)
                fail_msg("%s at %dx: \"%s\" and \"%s\" lie over each other", what, scale, a->name, b->name);
        }
    }
}

static void compare_layouts(const struct layout *was, const struct layout *is, const char *what, const char *other)
{
    size_t i = 0, k = 0;
    while (i < was->count || k < is->count) {
        const struct box *a = &was->box[i], *b = &is->box[k];
        if (i < was->count && varies(a, other)) {
            i++;
            continue;
        }
        if (k < is->count && varies(b, other)) {
            k++;
            continue;
        }
        if (i == was->count || k == is->count || strcmp(a->name, b->name))
            fail_msg("%s at %dx: \"%s\" is where \"%s\" was", what, scale, k < is->count ? b->name : "nothing",
                     i < was->count ? a->name : "nothing");
        for (int c = 0; c < 4; c++)
            if (fabs(a->at[c] - b->at[c]) > WANDER)
                fail_msg("%s at %dx: \"%s\" is at %.1f %.1f %.1f %.1f, not %.1f %.1f %.1f %.1f", what, scale, b->name,
                         b->at[0], b->at[1], b->at[2], b->at[3], a->at[0], a->at[1], a->at[2], a->at[3]);
        i++, k++;
    }
}

/* A byte a block: 1 where a panel is that is the same each time. */
static uint8_t *compared_blocks(const struct layout *l, const char *other)
{
    int columns = wide / BLOCK, rows = high / BLOCK;
    uint8_t *out = calloc((size_t)columns * (size_t)rows, 1);
    assert_non_null(out);
    for (int pass = 0; pass < 2; pass++) /* panels, what is not of them */
        for (size_t i = 0; i < l->count; i++) {
            const struct box *b = &l->box[i];
            if (pass ? !varies(b, other) : !is_kind(b, "panel "))
                continue;
            int x0 = (int)(pass ? floor(b->at[0] / BLOCK) : ceil(b->at[0] / BLOCK));
            int x1 = (int)(pass ? ceil(b->at[2] / BLOCK) : floor(b->at[2] / BLOCK));
            int y0 = (int)(pass ? floor(b->at[1] / BLOCK) : ceil(b->at[1] / BLOCK));
            int y1 = (int)(pass ? ceil(b->at[3] / BLOCK) : floor(b->at[3] / BLOCK));
            for (int y = y0 < 0 ? 0 : y0; y < y1 && y < rows; y++)
                for (int x = x0 < 0 ? 0 : x0; x < x1 && x < columns; x++)
                    out[y * columns + x] = !pass;
        }
    return out;
}

/* --- a picture of one state --- */

/* other: names of what is different each time, a line each; NULL: nothing is compared, only tidy. above: panels
 * that lie over others. */
static void take(const char *what, const char *other, const char *above)
{
    char name[300], widgets[256];
    int columns = wide / BLOCK, rows = high / BLOCK;
    size_t count = (size_t)columns * (size_t)rows, compared = 0, differ = 0;
    struct image now = grab_still(wide * scale, high * scale);
    struct layout is, was;
    snprintf(widgets, sizeof widgets, "%s", test_tmp_path("widgets"));
    read_layout(&is, widgets, scale);
    tidy(&is, what, above);
    if (pictures) {
        snprintf(name, sizeof name, "%s/%s%s.png", pictures, what, scale > 1 ? "-2x" : "");
        uint8_t *full = malloc((size_t)3 * now.width * now.height);
        assert_non_null(full);
        for (size_t i = 0; i < (size_t)3 * now.width * now.height; i++)
            full[i] = (uint8_t)(now.data[i] * 255 + 0.5f);
        assert_ok(image_save_png(name, full, now.width, now.height, 3, NULL));
        free(full);
    }
    if (pictures || !other)
        goto done;
    uint8_t *small = calloc(3, count), *blocks = compared_blocks(&is, other);
    assert_non_null(small);
    struct image_part all = {now.data, now.width, now.height, now.width, 3};
    image_shrink(&all, small, (uint32_t)columns, (uint32_t)rows, 3, 3 * (size_t)columns);
    for (size_t i = 0; i < count; i++)
        if (!blocks[i])
            memset(small + 3 * i, 0, 3);
    if (references) {
        snprintf(name, sizeof name, "%s/%s.png", references, what);
        assert_ok(image_save_png(name, small, (uint32_t)columns, (uint32_t)rows, 3, NULL));
        snprintf(name, sizeof name, "grep -v '^says ' '%s' >'%s/%s.txt'", widgets, references, what);
        assert_int_equal(test_shell(NULL, name), 0);
    } else if (!references) {
        snprintf(name, sizeof name, "tests/app/panels/%s.txt", what);
        read_layout(&was, test_source(name), 1);
        compare_layouts(&was, &is, what, other);
        snprintf(name, sizeof name, "tests/app/panels/%s.png", what);
        struct image old = load(test_source(name));
        uint8_t *then = compared_blocks(&was, other);
        assert_int_equal(old.width, columns);
        assert_int_equal(old.height, rows);
        size_t first = 0;
        for (size_t i = 0; i < count; i++) {
            double off = 0;
            for (int c = 0; c < 3; c++)
                off = fmax(off, fabs(old.data[3 * i + (size_t)c] * 255 - small[3 * i + (size_t)c]));
            blocks[i] &= then[i]; /* what is other each time has other lengths */
            compared += blocks[i];
            first = blocks[i] && off > LEVELS * scale && !differ ? i : first;
            differ += blocks[i] && off > LEVELS * scale;
        }
        print_message("%s at %dx: %zu of %zu blocks differ\n", what, scale, differ, compared);
        if (differ > 2 + most_blocks * (double)compared)
            fail_msg("%s at %dx: %zu of %zu blocks of the panels look different, the first at %zu, %zu points", what, scale,
                     differ, compared, first % (size_t)columns * BLOCK, first / (size_t)columns * BLOCK);
        image_finish(&old);
        free(then);
        free(was.box);
    }
    free(small);
    free(blocks);
done:
    free(is.box);
    image_finish(&now);
}

/* --- the states --- */

static struct viewer open_window(const char *file, const char *with, const char *more)
{
    char size[32];
    int n = 0;
    const char *extra[8] = {NULL};
    snprintf(size, sizeof size, "--size=%dx%d", wide * scale, high * scale);
    extra[n++] = size;
    if (*with) {
        extra[n++] = "--cameras";
        extra[n++] = with;
    }
    for (; more && *more; more += strlen(more) + 1)
        extra[n++] = more;
    return start(file, extra);
}

/* Input with a place in points. */
static void point(const char *format, int x, int y)
{
    char input[200];
    snprintf(input, sizeof input, format, x * scale, y * scale);
    xserver_input(input);
}

/* The mouse where it shows nothing about what is under it, and the notice of a key gone. */
static void rest(void)
{
    point("mousemove %d %d sleep 0.3", wide / 2, high * 2 / 5);
    wait_for_no_widget("panel notice");
}

static void without_a_scene(void **state)
{
    (void)state;
    char text[900];
    int box[4];
    mkdir(test_tmp_path("config"), 0777);
    mkdir(test_tmp_path("config/fovea"), 0777);
    snprintf(text, sizeof text, "{\"recent\":[\"%s\",\"%s\"],\"clips\":[\"%s\"]}", scene, stream, clip);
    test_write_file(test_tmp_path("config/fovea/viewer.json"), text, strlen(text));
    struct viewer v = open_window(NULL, "", NULL);
    wait_for_widget("welcome/File or URL", box);
    rest();
    take("home", "", "");
    type_into("File or URL", "absent.spz");
    xserver_input("key Return");
    wait_for_widget("That did not work/OK", box);
    rest();
    take("error", "", "");
    click("That did not work/OK");
    click("welcome/Generate a clip");
    wait_for_widget("Generate a clip/clip 1", box);
    type_into("##prompt", "a red ball rolls to the left");
    type_into("Seed", "1");
    xserver_input("key Return");
    if (pictures) { /* so that the clips are seen */
        click("Generate a clip/Clip");
        usleep(500000);
    }
    click_times("clip 1", 2);
    wait_for_widget("clip/##timeline", box);
    rest();
    xserver_input("sleep 1 key Home sleep 0.3");
    for (int i = 0; pictures && i < 8; i++)
        xserver_input("key Right sleep 0.1");
    usleep(1500000); /* costs are counted */
    take("generate", "Generate a clip/Save in\nvalue Generate a clip/Takes", "");
    assert_int_equal(quit(&v), 0);
}

static const char machine[] = "panel status\nvalue Scene/On device"; /* what it tells is of it */

static void with_a_scene(void **state)
{
    (void)state;
    int box[4];
    struct viewer v = open_window(scene, cameras, NULL);
    wait_for_widget("Scene/File", box);
    point("mousemove %d %d sleep 2", wide / 2, high / 3);
    if (!pictures) {
        click("Open");
        wait_for_widget("Scene/File or URL", box);
        click("Crop box");
        wait_for_widget("Scene/Cut to box", box);
        click("Comparison");
        wait_for_widget("Scene/Second file", box);
    }
    click("Bookmarks");
    wait_for_widget("Camera path/Add bookmark", box);
    rest();
    xserver_input("key b sleep 0.2 key k");
    point("mousemove %d %d mousedown 1 sleep 0.1", wide / 2, high / 2);
    point("mousemove %d %d sleep 0.1 mouseup 1 sleep 0.3 key k sleep 0.3", wide / 2 + 90, high / 2 + 30);
    click("View 1");
    wait_for_widget("Camera path/Name", box);
    rest();
    take("statistics", NULL, "");
    if (!pictures) {
        click("Statistics");
        wait_for_no_widget("Scene/Profile");
    }
    rest();
    take("scene", machine, "");
    xserver_input("key n");
    wait_for_widget("path/##axis", box);
    rest();
    take("path", machine, "");
    xserver_input("key n");
    wait_for_no_widget("path/##axis");
    xserver_input("key h");
    wait_for_widget("panel Keys", box);
    take("help", machine, "panel Keys");
    xserver_input("key Escape");
    wait_for_no_widget("panel Keys");
    click("Camera path/Export");
    wait_for_widget("Export/Quality", box);
    rest();
    take("export", machine, "");
    click("Export/Scene");
    wait_for_no_widget("Export/Quality");
    rest();
    take("convert", machine, "");
    if (pictures)
        click("Comparison");
    type_into("Second file", second);
    xserver_input("key Return");
    wait_for_widget("Stop comparing", box);
    rest();
    take("compare", "panel status\nvalue Scene/On device\nvalue Scene/PSNR", "");
    assert_int_equal(quit(&v), 0);
}

/* One panel holds all of it, and scrolls. */
static void in_a_small_window(void **state)
{
    (void)state;
    static const char *const tabs[] = {"Camera", "Export", "Generate", "Scene"},
                      *const first[] = {"Scene/Add key", "Scene/Width", "Scene/##prompt", "Scene/File"};
    char name[32];
    int box[4], was_wide = wide, was_high = high;
    wide = 640, high = 480;
    struct viewer v = open_window(scene, cameras, NULL);
    wait_for_widget("Scene/File", box);
    for (size_t i = 0; i < sizeof tabs / sizeof *tabs; i++) {
        snprintf(name, sizeof name, "Scene/%s", tabs[i]);
        click(name);
        wait_for_widget(first[i], box);
        point("mousemove %d %d sleep 0.5", wide - 100, high / 2);
        snprintf(name, sizeof name, "small-%s", tabs[i]);
        take(name, NULL, "");
    }
    assert_int_equal(quit(&v), 0);
    wide = was_wide, high = was_high;
}

static void with_a_stream(void **state)
{
    (void)state;
    int box[4];
    struct viewer v = open_window(stream, stream_cameras, pictures ? "--paused\0--at\0" "20\0" : "--paused\0--at\0" "0.4\0");
    wait_for_widget("stream/##timeline", box);
    point("mousemove %d %d sleep 2", wide / 2, high / 3);
    if (pictures) {
        sleep(20); /* until it has its thumbnails */
    } else {
        click("Statistics");
        wait_for_no_widget("Scene/Profile");
    }
    rest();
    take("stream", machine, "");
    assert_int_equal(quit(&v), 0);
}

static int make_files(void)
{
    snprintf(second, sizeof second, "%s", test_tmp_path("smaller.spz"));
    if (pictures) {
        snprintf(scene, sizeof scene, "%s", test_source("assets/scenes/playbot.sog"));
        snprintf(stream, sizeof stream, "%s", test_source("assets/streams/head.fvv"));
        snprintf(stream_cameras, sizeof stream_cameras, "%s", test_source("assets/streams/head.path.json"));
        snprintf(clip, sizeof clip, "%s", test_tmp_path("a-red-ball-rolls-001.mp4"));
        TEST_RUNS("generate 'a red ball rolls to the left' -o '%s' --seed 1 -q", clip);
        TEST_RUNS("convert '%s' -o '%s' --sh 0 --min-opacity 0.2 -q", scene, second);
        return 0;
    }
    snprintf(scene, sizeof scene, "%s", test_source("tests/golden/01_forward/tiny50_sh3/scene.ply"));
    snprintf(cameras, sizeof cameras, "%s", test_source("tests/golden/01_forward/tiny50_sh3/cameras.json"));
    snprintf(stream, sizeof stream, "%s", test_tmp_path("talk.fvv"));
    snprintf(clip, sizeof clip, "%s", test_tmp_path("a-red-ball-rolls-001.mp4"));
    TEST_RUNS("convert '%s' -o '%s' --sh 0 -q", scene, second);
    make_stream("talk.fvv", scene, 6, 3, 5, 3);
    TEST_RUNS("generate 'a red ball rolls to the left' -o '%s' --seed 1 --steps 1 --frames 5 -q", clip);
    return 0;
}

static int start_server(void **state)
{
    (void)state;
    setenv("XDG_CACHE_HOME", test_tmp(), 1);
    setenv("HOME", pictures ? "/home/ada" : test_tmp(), 1); /* where clips would go is shown */
    if (!scene[0])
        make_files();
    return xserver_start_scaled(wide * scale, high * scale, scale);
}

int main(int argc, char **argv)
{
    test_device(); /* skips when there is none */
    test_device_done();
    bool all = argc == 2 && !strcmp(argv[1], "all");
    if (argc > 2)
        *(strcmp(argv[1], "pictures") ? &references : &pictures) = argv[2];
    if (pictures)
        wide = 1280, high = 720;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_scene),
        cmocka_unit_test(with_a_scene),
        cmocka_unit_test(in_a_small_window),
        cmocka_unit_test(with_a_stream),
    };
    const struct CMUnitTest some[] = { /* the others take a minute more */
        cmocka_unit_test(without_a_scene),
        cmocka_unit_test(in_a_small_window),
    };
    scale = 1;
    int rc = RUN_IN_WINDOWS(tests, start_server, windows_end);
    if (rc || references)
        return rc;
    scale = 2;
    return all || pictures ? RUN_IN_WINDOWS(tests, start_server, windows_end) : RUN_IN_WINDOWS(some, start_server, windows_end);
}

/* Option tables: values from argv, from JSON, suggestions, texts. */
#include "support/test.h"
#include "app/opt.h"

struct values {
    bool exact, loud;
    int frames;
    double scale;
    const char *output;
    int mode;
    struct opt_size size;
    struct opt_vec3 at, bg;
    struct opt_box crop;
    uint64_t bitrate;
    struct opt_rate fps;
};

static const char *const modes[] = {"auto", "classic", "antialiased", NULL};
#define AT(m) offsetof(struct values, m)
static const struct opt opts[] = {
    {.type = OPT_GROUP, .help = "Picture"},
    {"exact", 'e', OPT_FLAG, AT(exact), .help = "exact"},
    {"loud", 'l', OPT_FLAG, AT(loud), .help = "loud"},
    {"frames", 'n', OPT_INT, AT(frames), .def = "7", .help = "frames", .min = 1, .max = 100},
    {"scale", 0, OPT_FLOAT, AT(scale), .def = "1", .help = "scale"},
    {"output", 'o', OPT_STRING, AT(output), .help = "output"},
    {"mode", 0, OPT_ENUM, AT(mode), .help = "mode", .choices = modes},
    {"size", 0, OPT_SIZE, AT(size), .help = "size"},
    {"at", 0, OPT_VEC3, AT(at), .help = "at"},
    {"bg", 0, OPT_COLOR, AT(bg), .help = "bg"},
    {"crop", 0, OPT_BOX, AT(crop), .help = "crop"},
    {"bitrate", 0, OPT_BYTES, AT(bitrate), .help = "bitrate"},
    {"fps", 0, OPT_RATE, AT(fps), .def = "30", .help = "fps"},
    {0}};

static struct fv_arena arena;
static struct values v;
static struct opt_args args;

static int parse(int argc, char **argv)
{
    memset(&v, 0, sizeof v);
    assert_ok(opt_defaults(opts, &v));
    return opt_parse(&(struct opt_set){opts, &v}, 1, &args, argc, argv, &arena);
}
#define PARSE(...)                                                                                 \
    parse((int)(sizeof((char *[]){__VA_ARGS__}) / sizeof(char *)), (char *[]){__VA_ARGS__})

static void defaults_are_filled(void **state)
{
    (void)state;
    assert_ok(PARSE("a"));
    assert_int_equal(v.frames, 7);
    assert_near(v.scale, 1, 0);
    assert_null(v.output);
    assert_int_equal(v.fps.num, 30);
    assert_int_equal(v.fps.den, 1);
    assert_false(v.size.set);
}

static void gnu_forms_are_read(void **state)
{
    (void)state;
    assert_ok(PARSE("in", "--frames=9", "--output", "x", "-el", "--mode=classic", "b"));
    assert_int_equal(v.frames, 9);
    assert_string_equal(v.output, "x");
    assert_true(v.exact && v.loud);
    assert_int_equal(v.mode, 1);
    assert_int_equal(args.count, 2);
    assert_string_equal(args.items[1], "b");
    assert_ok(PARSE("-ofile", "-n", "3", "-", "--", "--frames"));
    assert_string_equal(v.output, "file");
    assert_int_equal(v.frames, 3);
    assert_int_equal(args.count, 2);
    assert_string_equal(args.items[0], "-");
    assert_string_equal(args.items[1], "--frames");
    assert_ok(PARSE("-o", "-", "--at", "-1,0,2.5"));
    assert_string_equal(v.output, "-");
    assert_near(v.at.v[0], -1, 0);
}

static void typed_values_are_read(void **state)
{
    (void)state;
    assert_ok(
        PARSE("--size=1280x720", "--bg", "#3366ff", "--crop", "1,2,3,-1,5,0", "--bitrate", "8M"));
    assert_int_equal(v.size.width, 1280);
    assert_int_equal(v.size.height, 720);
    assert_near(v.bg.v[0], 0.2, 1e-6);
    assert_near(v.bg.v[2], 1, 0);
    assert_near(v.crop.min[0], -1, 0);
    assert_near(v.crop.max[2], 3, 0);
    assert_int_equal(v.bitrate, 8000000);
    assert_ok(PARSE("--bg=00ff00"));
    assert_near(v.bg.v[1], 1, 0);
    assert_near(v.bg.v[0], 0, 0);
    assert_ok(PARSE("--bitrate=64Ki", "--bg=0.25,0.5,1", "--fps=29.97", "--size", "0x7"));
    assert_int_equal(v.bitrate, 65536);
    assert_near(v.bg.v[1], 0.5, 0);
    assert_int_equal(v.fps.num, 30000);
    assert_int_equal(v.fps.den, 1001);
    assert_int_equal(v.size.width, 0);
    assert_ok(PARSE("--fps=24000/1001"));
    assert_int_equal(v.fps.num, 24000);
    assert_ok(PARSE("--fps=12.5"));
    assert_int_equal(v.fps.num, 12500);
    assert_int_equal(v.fps.den, 1000);
    assert_ok(PARSE("--fps=23.976"));
    assert_int_equal(v.fps.num, 24000);
    assert_int_equal(v.fps.den, 1001);
}

static void rejects_bad_values(void **state)
{
    (void)state;
    assert_fails(PARSE("--frames=x"), FV_EINVALID, "--frames: \"x\" is not a whole number");
    assert_fails(PARSE("--frames=1.5"), FV_EINVALID, "whole number");
    assert_fails(PARSE("--frames=101"), FV_EINVALID, "1..100");
    assert_fails(PARSE("--frames="), FV_EINVALID, "whole number");
    assert_fails(PARSE("--frames"), FV_EINVALID, "--frames needs a value");
    assert_fails(PARSE("--exact=1"), FV_EINVALID, "takes no value");
    assert_fails(PARSE("--scale=nan"), FV_EINVALID, "is not a number");
    assert_fails(PARSE("--scale=1e999"), FV_EINVALID, "is not a number");
    assert_fails(PARSE("--size=100"), FV_EINVALID, "1280x720");
    assert_fails(PARSE("--size=-1x5"), FV_EINVALID, "1280x720");
    assert_fails(PARSE("--size=1x5x6"), FV_EINVALID, "1280x720");
    assert_fails(PARSE("--bg=#12345"), FV_EINVALID, "colour");
    assert_fails(PARSE("--bg=255,0,0"), FV_EINVALID, "from 0 to 1");
    assert_fails(PARSE("--at=1,2"), FV_EINVALID, "three numbers");
    assert_fails(PARSE("--crop=1,2,3,4,5"), FV_EINVALID, "box");
    assert_fails(PARSE("--bitrate=5X"), FV_EINVALID, "amount");
    assert_fails(PARSE("--fps=0"), FV_EINVALID, "rate");
    assert_fails(PARSE("--fps=1/0"), FV_EINVALID, "rate");
    assert_fails(PARSE("-z"), FV_EINVALID, "unknown option -z");
    assert_fails(PARSE("-o"), FV_EINVALID, "-o needs a value");
}

static void suggests_near_names(void **state)
{
    (void)state;
    assert_fails(PARSE("--frmaes=1"), FV_EINVALID, "did you mean --frames?");
    assert_fails(PARSE("--out=1"), FV_EINVALID, "did you mean --output?");
    assert_fails(PARSE("--mode=clasic"), FV_EINVALID, "did you mean classic?");
    assert_fails(PARSE("--mode=purple"), FV_EINVALID, "choose one of auto, classic, antialiased");
    assert_fails(PARSE("--zzzzzz"), FV_EINVALID, "unknown option --zzzzzz");
    assert_null(strstr(fv_error(), "mean"));
}

static int parse_json(const char *text)
{
    struct fv_json doc;
    memset(&v, 0, sizeof v);
    assert_ok(opt_defaults(opts, &v));
    assert_ok(fv_json_parse(&doc, text, strlen(text), "job.json"));
    int rc = opt_from_json(&(struct opt_set){opts, &v}, 1, &args, &doc, doc.root, &arena);
    fv_json_close(&doc);
    return rc;
}

static void json_is_read_like_argv(void **state)
{
    (void)state;
    assert_ok(parse_json("{\"args\":[\"a.ply\",\"b.ply\"],\"frames\":12,\"exact\":true,"
                         "\"at\":[1,2,-3],\"size\":\"640x480\",\"mode\":\"antialiased\","
                         "\"output\":\"o.mp4\",\"fps\":29.97}"));
    assert_int_equal(args.count, 2);
    assert_string_equal(args.items[1], "b.ply");
    assert_int_equal(v.frames, 12);
    assert_true(v.exact);
    assert_near(v.at.v[2], -3, 0);
    assert_int_equal(v.size.width, 640);
    assert_int_equal(v.mode, 2);
    assert_string_equal(v.output, "o.mp4");
    assert_int_equal(v.fps.den, 1001);
}

static void json_errors_name_the_place(void **state)
{
    (void)state;
    assert_fails(parse_json("{\"frames\":\"x\"}"), FV_EINVALID, "job.json: frames: --frames:");
    assert_fails(parse_json("{\"farmes\":1}"), FV_EINVALID, "did you mean --frames?");
    assert_fails(parse_json("{\"exact\":1}"), FV_EFORMAT, "expected true or false");
    assert_fails(parse_json("{\"at\":[1,\"x\",2]}"), FV_EFORMAT, "job.json: at: expected");
    assert_fails(parse_json("[1]"), FV_EFORMAT, "expected an object");
    assert_fails(parse_json("{\"args\":[1]}"), FV_EFORMAT, "args[0]");
}

static void changed_options_become_json(void **state)
{
    (void)state;
    assert_ok(PARSE("--frames=7"));
    char *text = opt_to_json(opts, &v);
    assert_string_equal(text, "{}");
    free(text);
    assert_ok(
        PARSE("-e", "--frames=8", "--fps=25", "--bg=#ff0000", "-oa\"b", "--crop=0,0,0,1,2,3"));
    text = opt_to_json(opts, &v);
    assert_string_equal(text, "{\"exact\":true,\"frames\":8,\"output\":\"a\\\"b\",\"bg\":\"1,0,0\","
                              "\"crop\":\"0,0,0,1,2,3\",\"fps\":\"25\"}");
    struct values was = v;
    assert_ok(parse_json(text));
    assert_int_equal(v.frames, was.frames);
    assert_memory_equal(&v.crop, &was.crop, sizeof v.crop);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_filled),        cmocka_unit_test(gnu_forms_are_read),
        cmocka_unit_test(typed_values_are_read),      cmocka_unit_test(rejects_bad_values),
        cmocka_unit_test(suggests_near_names),        cmocka_unit_test(json_is_read_like_argv),
        cmocka_unit_test(json_errors_name_the_place), cmocka_unit_test(changed_options_become_json),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    fv_arena_finish(&arena);
    return rc;
}

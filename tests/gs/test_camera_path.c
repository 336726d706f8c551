/* Camera paths: reading, writing, and that interpolation passes through the keys smoothly. */
#include "support/test.h"
#include "gs/camera.h"

static const struct gs_camera_hints no_hints;

static void load(struct gs_cameras *c, const char *text)
{
    assert_ok(gs_cameras_parse(c, text, strlen(text), "path.json", &no_hints));
    assert_true(c->is_path);
    assert_int_equal(c->format, GS_CAMERAS_PATH);
}

static const char four[] =
    "{\"width\": 640, \"height\": 360, \"fps\": 30, \"loop\": false, \"bg\": [1, 0, 0.5],"
    "\"keyframes\": ["
    "{\"time\": 0, \"position\": [0,0,0], \"rotation\": [1,0,0,0], \"fx\": 300},"
    "{\"time\": 1, \"position\": [1,0,0.5], \"rotation\": [0.9,0,0.4,0.1], \"fx\": 300, \"fy\": "
    "310},"
    "{\"time\": 3, \"position\": [1.5,2,0], \"rotation\": [0.5,0.1,0.8,0], \"fx\": 600, \"cx\": "
    "300},"
    "{\"time\": 4.5, \"name\": \"end\", \"position\": [5,2,1], \"rotation\": [-0.1,0,-0.9,0.2],"
    " \"fov\": 40}]}";

static void reads_keyframes(void **state)
{
    (void)state;
    struct gs_cameras c;
    load(&c, four);
    assert_int_equal(c.count, 4);
    assert_near(c.fps, 30, 0);
    assert_false(c.loop);
    assert_near(gs_cameras_duration(&c), 4.5, 0);
    assert_near(c.items[0].fy, 300, 0);
    assert_near(c.items[1].fy, 310, 0);
    assert_near(c.items[2].cx, 300, 0);
    assert_near(c.items[2].cy, 180, 0);
    assert_near(c.items[3].fy, 180 / tan(20 * 3.14159265358979323846 / 180), 1e-9);
    assert_string_equal(c.items[2].name, "2");
    assert_string_equal(c.items[3].name, "end");
    assert_true(c.items[3].has_bg && c.items[3].bg[2] == 0.5f);
    gs_cameras_finish(&c);
}

static void reads_look_at_and_defaults(void **state)
{
    (void)state;
    struct gs_cameras c;
    double centre[3];
    load(&c, "{\"keyframes\": [{\"position\": [0,0,-5], \"look_at\": [0,0,0]},"
             "{\"position\": [5,0,0], \"look_at\": [0,0,0], \"up\": [0,0,1]}]}");
    assert_int_equal(c.items[0].width, 1280);
    assert_int_equal(c.items[0].height, 720);
    assert_near(c.items[0].fy, 360 / tan(25 * 3.14159265358979323846 / 180), 1e-9);
    assert_near(c.items[1].time, 1, 0);
    assert_true(c.fps == 0 && !c.loop && !c.items[0].has_bg);
    const double straight[12] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 5};
    for (int k = 0; k < 12; k++)
        assert_near(c.items[0].view[k], straight[k], 1e-12);
    gs_camera_centre(&c.items[1], centre);
    assert_near(centre[0], 5, 1e-12);
    assert_near(c.items[1].view[4 + 2], -1, 1e-12); /* the image's down is world -z */
    gs_cameras_finish(&c);
    struct gs_camera_hints small = {.width = 64, .height = 32};
    const char *one = "{\"keyframes\": [{\"position\": [0,0,0], \"look_at\": [0,0,1]}]}";
    assert_ok(gs_cameras_parse(&c, one, strlen(one), "p", &small));
    assert_int_equal(c.items[0].width, 64);
    gs_cameras_finish(&c);
}

static double pose_distance(const struct gs_camera *a, const struct gs_camera *b)
{
    double d = 0;
    for (int k = 0; k < 16; k++)
        d = fmax(d, fabs(a->view[k] - b->view[k]));
    d = fmax(d, fabs(a->fx - b->fx) / a->fx);
    d = fmax(d, fabs(a->fy - b->fy) / a->fy);
    d = fmax(d, fabs(a->cx - b->cx) / a->width);
    return fmax(d, fabs(a->cy - b->cy) / a->height);
}

static struct gs_camera at(const struct gs_cameras *c, double time)
{
    struct gs_camera out;
    assert_ok(gs_cameras_eval(c, time, &out));
    if (gs_camera_problem(&out))
        fail_msg("at %g: %s", time, gs_camera_problem(&out));
    return out;
}

/* The rate of change of the view matrix, lens and all, just before and after a moment. */
static double speed_jump(const struct gs_cameras *c, double time, double *speed)
{
    const double h = 1e-5;
    struct gs_camera a = at(c, time - h), b = at(c, time), d = at(c, time + h);
    double jump = 0;
    *speed = pose_distance(&a, &d) / (2 * h);
    for (int k = 0; k < 16; k++)
        jump = fmax(jump, fabs((b.view[k] - a.view[k]) - (d.view[k] - b.view[k])) / h);
    return fmax(jump, fabs((b.fx - a.fx) - (d.fx - b.fx)) / a.fx / h);
}

static void check_smooth(const struct gs_cameras *c, double begin, double end)
{
    for (size_t i = 0; i < c->count; i++) {
        struct gs_camera got = at(c, c->items[i].time);
        assert_true(pose_distance(&got, &c->items[i]) < 1e-9);
    }
    double step = (end - begin) / 400, speed, most = 0;
    for (double t = begin + step; t < end - step / 2; t += step) {
        struct gs_camera a = at(c, t - step), b = at(c, t);
        most = fmax(most, pose_distance(&a, &b) / step);
    }
    for (size_t i = 0; i <= c->count; i++) { /* the first key again when it loops */
        double t = i < c->count ? c->items[i].time : end;
        if (t > begin && (t < end || c->loop)) {
            assert_true(speed_jump(c, t, &speed) < 2e-3 * fmax(most, 1));
            assert_true(speed <= 1.5 * most + 1e-6);
        }
    }
}

/* Of what is not interpolated a key's own is there from it on, at the last key, too. */
static void what_does_not_move_is_the_last_keys(void **state)
{
    (void)state;
    struct gs_cameras c;
    struct gs_camera out;
    load(&c, four);
    assert_ok(gs_cameras_eval(&c, 4.4, &out));
    assert_string_equal(out.name, "2");
    assert_ok(gs_cameras_eval(&c, 4.5, &out));
    assert_string_equal(out.name, "end");
    assert_true(out.has_bg == c.items[3].has_bg && out.bg[2] == c.items[3].bg[2]);
    gs_cameras_finish(&c);
}

static void passes_through_keys_smoothly(void **state)
{
    (void)state;
    struct gs_cameras c;
    load(&c, four);
    check_smooth(&c, 0, 4.5);
    /* clamped outside */
    struct gs_camera before = at(&c, -7), after = at(&c, 99);
    assert_true(pose_distance(&before, &c.items[0]) < 1e-9);
    assert_true(pose_distance(&after, &c.items[3]) < 1e-9);
    assert_near(before.time, 0, 0);
    assert_near(after.time, 4.5, 0);
    gs_cameras_finish(&c);
}

static void random_paths_are_smooth(void **state)
{
    (void)state;
    uint64_t seed = 3;
    for (int round = 0; round < 40; round++) {
        struct gs_cameras c = {.is_path = true, .loop = round & 1};
        double time = test_uniform(&seed, -1, 1), mean = 0;
        size_t n = 2 + test_rand(&seed) % 6;
        for (size_t i = 0; i < n; i++) {
            struct gs_camera *k = gs_cameras_push(&c);
            double eye[3], target[3], up[3] = {0, -1, 0};
            *k = (struct gs_camera){.width = 640, .height = 360, .time = time};
            k->fx = k->fy = test_uniform(&seed, 200, 900);
            k->cx = test_uniform(&seed, 280, 360);
            k->cy = 180;
            for (int a = 0; a < 3; a++) {
                eye[a] = test_uniform(&seed, -4, 4);
                target[a] = eye[a] + test_uniform(&seed, -1, 1);
            }
            gs_camera_look_at(k, eye, target, up);
            time += test_uniform(&seed, 0.5, 2);
        }
        double begin = c.items[0].time, span = c.items[n - 1].time - begin;
        mean = span / (double)(n - 1);
        assert_near(gs_cameras_duration(&c), c.loop ? span + mean : span, 1e-9);
        check_smooth(&c, begin, begin + gs_cameras_duration(&c));
        gs_cameras_finish(&c);
    }
}

static void loops_wrap(void **state)
{
    (void)state;
    struct gs_cameras c;
    load(&c, "{\"loop\": true, \"keyframes\": ["
             "{\"time\": 2, \"position\": [0,0,0], \"rotation\": [1,0,0,0]},"
             "{\"time\": 3, \"position\": [1,0,0], \"rotation\": [0.7,0,0.7,0]},"
             "{\"time\": 4, \"position\": [0,1,0], \"rotation\": [0,0,1,0]}]}");
    assert_near(gs_cameras_duration(&c), 3, 1e-12);
    for (int turn = -2; turn <= 2; turn++)
        for (double t = 2; t < 5; t += 0.37) {
            struct gs_camera a = at(&c, t), b = at(&c, t + 3 * turn);
            assert_true(pose_distance(&a, &b) < 1e-9);
            assert_near(a.time, t, 1e-9);
        }
    gs_cameras_finish(&c);
}

static void two_keys_go_straight(void **state)
{
    (void)state;
    struct gs_cameras c;
    load(&c, "{\"keyframes\": [{\"time\": 0, \"position\": [0,0,0], \"rotation\": [1,0,0,0],"
             "\"fx\": 100}, {\"time\": 2, \"position\": [4,2,0], \"rotation\": [0.6,0.8,0,0],"
             "\"fx\": 400}]}");
    for (double t = 0; t <= 2; t += 0.25) {
        struct gs_camera a = at(&c, t);
        double p[3], q[4];
        gs_camera_centre(&a, p);
        gs_camera_rotation(&a, q);
        assert_near(p[0], 2 * t, 1e-9);
        assert_near(p[1], t, 1e-9);
        assert_near(acos(q[0]), acos(0.6) * t / 2, 1e-9);
        assert_near(a.fx, 100 * pow(4, t / 2), 1e-6);
    }
    gs_cameras_finish(&c);
}

static void equal_keys_hold_still(void **state)
{
    (void)state;
    struct gs_cameras c;
    load(&c, "{\"keyframes\": ["
             "{\"time\": 0, \"position\": [0,0,0], \"rotation\": [1,0,0,0]},"
             "{\"time\": 1, \"position\": [1,0,0], \"rotation\": [1,0,0,0]},"
             "{\"time\": 2, \"position\": [1,0,0], \"rotation\": [1,0,0,0]},"
             "{\"time\": 3, \"position\": [1,1,0], \"rotation\": [1,0,0,0]}]}");
    for (double t = 1; t <= 2; t += 0.05) {
        struct gs_camera a = at(&c, t);
        assert_true(pose_distance(&a, &c.items[1]) < 1e-5);
    }
    check_smooth(&c, 0, 3);
    for (size_t i = 1; i < 4; i++) /* all equal */
        memcpy(c.items[i].view, c.items[0].view, sizeof c.items[0].view);
    struct gs_camera a = at(&c, 1.7);
    assert_true(pose_distance(&a, &c.items[0]) < 1e-12);
    gs_cameras_finish(&c);
}

/* Points a curve with uniform knots overshoots: three close keys after a far one. */
static void does_not_overshoot(void **state)
{
    (void)state;
    struct gs_cameras c;
    load(&c, "{\"keyframes\": ["
             "{\"time\": 0, \"position\": [0,0,0], \"rotation\": [1,0,0,0]},"
             "{\"time\": 1, \"position\": [10,0,0], \"rotation\": [1,0,0,0]},"
             "{\"time\": 2, \"position\": [10.1,0.1,0], \"rotation\": [1,0,0,0]},"
             "{\"time\": 3, \"position\": [10,0.2,0], \"rotation\": [1,0,0,0]}]}");
    for (double t = 0; t <= 3; t += 0.01) {
        struct gs_camera a = at(&c, t);
        double p[3];
        gs_camera_centre(&a, p);
        assert_true(p[0] < 10.2 && p[1] > -0.2 && p[1] < 0.3);
    }
    gs_cameras_finish(&c);
}

static void writes_what_it_reads(void **state)
{
    (void)state;
    struct gs_cameras c, back;
    const char *file = test_tmp_path("path.json");
    load(&c, four);
    c.loop = true;
    assert_ok(gs_cameras_save_path(&c, file));
    assert_ok(gs_cameras_load(&back, file, NULL));
    assert_int_equal(back.count, c.count);
    assert_true(back.is_path && back.loop && back.fps == 30);
    for (size_t i = 0; i < c.count; i++) {
        assert_true(pose_distance(&c.items[i], &back.items[i]) < 1e-12);
        assert_near(back.items[i].time, c.items[i].time, 0);
        assert_string_equal(back.items[i].name, c.items[i].name);
        assert_true(back.items[i].has_bg && back.items[i].bg[0] == 1);
    }
    gs_cameras_finish(&back);
    gs_cameras_finish(&c);
}

static void a_list_becomes_a_path(void **state)
{
    (void)state;
    struct gs_cameras c, back;
    const char *list = "[{\"width\": 64, \"height\": 48, \"fx\": 50,"
                       "\"viewmat\": [[1,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]]},"
                       "{\"width\": 128, \"height\": 96, \"fx\": 100,"
                       "\"viewmat\": [[1,0,0,-1],[0,1,0,0],[0,0,1,0],[0,0,0,1]]}]";
    assert_ok(gs_cameras_parse(&c, list, strlen(list), "l", &no_hints));
    assert_near(gs_cameras_duration(&c), 1, 0);
    struct gs_camera middle = at(&c, 0.5);
    double p[3];
    gs_camera_centre(&middle, p);
    assert_near(p[0], 0.5, 1e-9);
    assert_int_equal(middle.width, 64);
    assert_near(middle.fx, 50, 1e-9); /* the second has the same view at twice the size */
    assert_ok(gs_cameras_save_path(&c, test_tmp_path("l.json")));
    assert_ok(gs_cameras_load(&back, test_tmp_path("l.json"), NULL));
    assert_int_equal(back.items[1].width, 64);
    assert_near(back.items[1].time, 1, 0);
    gs_cameras_finish(&back);
    gs_cameras_finish(&c);
}

#define KEYS(k) "{\"keyframes\": [" k "]}"
#define KEY(k)  KEYS("{\"position\": [0,0,0], " k "}")
#define GOOD    "{\"time\": 5, \"position\": [0,0,0], \"rotation\": [1,0,0,0]}"

static void rejects_bad_paths(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
    } rows[] = {
        {"{\"keyframes\": 1}", "keyframes: expected a list"},
        {"{\"keyframes\": []}", "no cameras in it"},
        {KEYS("3"), "keyframes[0].position: expected a list of 3 numbers"},
        {KEYS("{}"), "keyframes[0].position: expected a list of 3 numbers, found nothing"},
        {KEY("\"fx\": 1"), "keyframes[0]: expected rotation (w, x, y, z) or look_at"},
        {KEY("\"rotation\": [0,0,0,0]"), "the quaternion is zero"},
        {KEY("\"rotation\": [1,0,0]"), "keyframes[0].rotation: expected 4 numbers, found 3"},
        {KEY("\"rotation\": [[1,0,0],[0,1,0],[0,0,1]]"), "expected 4 numbers, found 9"},
        {KEY("\"look_at\": \"origin\""), "keyframes[0].look_at"},
        {KEY("\"look_at\": [0,0,1], \"up\": [1]"), "keyframes[0].up"},
        {KEY("\"look_at\": [0,0,1], \"fov\": 0"), "keyframes[0].fov: expected degrees"},
        {KEY("\"look_at\": [0,0,1], \"fov\": 180"), "keyframes[0].fov: expected degrees"},
        {KEY("\"look_at\": [0,0,1], \"fov\": \"wide\""), "keyframes[0].fov: expected a number"},
        {KEY("\"look_at\": [0,0,1], \"fx\": -1"), "focal length"},
        {KEY("\"look_at\": [0,0,1], \"cx\": null"), "keyframes[0].cx: expected a number"},
        {KEY("\"look_at\": [0,0,1], \"name\": 4"), "keyframes[0].name: expected text"},
        {KEYS(GOOD "," GOOD), "keyframes[1].time: 5 is not after the keyframe before (5)"},
        {"{\"width\": 0, \"height\": 3, \"keyframes\": [" GOOD "]}", "width"},
        {"{\"width\": 64, \"keyframes\": [" GOOD "]}", "height: expected a number, found nothing"},
        {"{\"fps\": -1, \"keyframes\": [" GOOD "]}", "fps"},
        {"{\"loop\": 1, \"keyframes\": [" GOOD "]}", "loop: expected true or false"},
        {"{\"bg\": 1, \"keyframes\": [" GOOD "]}", "bg"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct gs_cameras c;
        assert_fails(gs_cameras_parse(&c, rows[i].text, strlen(rows[i].text), "bad", &no_hints),
                     FV_EFORMAT, rows[i].part);
        assert_null(c.items);
    }
}

static void rejects_bad_calls(void **state)
{
    (void)state;
    struct gs_cameras none = {.is_path = true}, c;
    struct gs_camera out;
    assert_fails(gs_cameras_eval(&none, 0, &out), FV_EINVALID, "no keyframes");
    assert_near(gs_cameras_duration(&none), 0, 0);
    assert_fails(gs_cameras_save_path(&none, test_tmp_path("x")), FV_EINVALID, "at least one");
    load(&c, four);
    assert_fails(gs_cameras_eval(&c, NAN, &out), FV_EINVALID, "not finite");
    c.items[2].time = c.items[1].time;
    assert_fails(gs_cameras_save_path(&c, test_tmp_path("x")), FV_EINVALID, "keyframe 2 is not");
    at(&c, 1.2); /* equal times still give a camera */
    assert_fails(gs_cameras_save_list(&c, test_tmp_path("no/dir")), FV_EIO, "no/dir");
    c.count = 1;
    out = at(&c, 3);
    assert_true(pose_distance(&out, &c.items[0]) == 0);
    gs_cameras_finish(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_keyframes),
        cmocka_unit_test(reads_look_at_and_defaults),
        cmocka_unit_test(what_does_not_move_is_the_last_keys),
        cmocka_unit_test(passes_through_keys_smoothly),
        cmocka_unit_test(random_paths_are_smooth),
        cmocka_unit_test(loops_wrap),
        cmocka_unit_test(two_keys_go_straight),
        cmocka_unit_test(equal_keys_hold_still),
        cmocka_unit_test(does_not_overshoot),
        cmocka_unit_test(writes_what_it_reads),
        cmocka_unit_test(a_list_becomes_a_path),
        cmocka_unit_test(rejects_bad_paths),
        cmocka_unit_test(rejects_bad_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

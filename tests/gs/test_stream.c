/* Streams as files: what is encoded decodes, from any frame; damaged and cut ones. */
#include "support/test.h"

#include "gs/scene.h"
#include "gs/stream_file.h"
#include "vk/device.h"

enum { COUNT = 600, FRAMES = 14, GROUP = 5 };

static struct vk_device *dev;
static const char *path;

/* A cloud of which a third turns about an axis, a third fades, a third stays. */
static int moving(void *ud, uint32_t frame, struct gs_scene *s)
{
    const int *kind = ud; /* 1: the count changes at frame 8; 2: nothing carries over */
    size_t count = kind && *kind == 1 && frame >= 8 ? COUNT + 40 : COUNT;
    uint64_t seed = kind && *kind == 2 ? 100 + frame : 1;
    FV_TRY(gs_scene_alloc(s, count, 1));
    s->mode = GS_MODE_CLASSIC;
    s->up[1] = -1;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < 3; k++) {
            s->position[3 * i + k] = (float)test_uniform(&seed, -1, 1);
            s->scale[3 * i + k] = (float)test_uniform(&seed, -3.5, -2);
        }
        for (size_t k = 0; k < 4; k++)
            s->rotation[4 * i + k] = (float)test_uniform(&seed, -1, 1);
        s->opacity[i] = (float)test_uniform(&seed, 0, 3);
        for (size_t k = 0; k < 12; k++)
            s->sh[12 * i + k] = (float)test_uniform(&seed, -0.4, 0.9);
        double a = 0.04 * frame;
        float *p = s->position + 3 * i;
        if (i % 3 == 0) {
            p[0] = p[0] * 0.3f + 2;
            float x = p[0];
            p[0] = (float)(x * cos(a) - p[1] * sin(a));
            p[1] = (float)(x * sin(a) + p[1] * cos(a));
        } else if (i % 3 == 1) {
            s->opacity[i] -= 0.2f * (float)frame;
        }
    }
    return 0;
}

static void encode(int kind, struct gs_stream_report *report)
{
    const struct gs_stream_opts o = {.psnr = 38, .group = GROUP, .fps = 25};
    assert_ok(gs_stream_encode(dev, path, FRAMES, moving, &kind, &o, report));
}

static int set_up(void **state)
{
    (void)state;
    static char name[256];
    dev = test_device();
    snprintf(name, sizeof name, "%s", test_tmp_path("a.fvv"));
    path = name;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_device_done();
    return 0;
}

static double distance(const struct gs_scene *a, size_t i, const struct gs_scene *b, size_t j)
{
    double sum = 0;
    for (size_t k = 0; k < 3; k++) {
        double d = a->position[3 * i + k] - b->position[3 * j + k];
        sum += d * d;
    }
    return sqrt(sum);
}

/* Root mean square of the distance of every Gaussian to the nearest of the input. */
static double position_error(const struct gs_scene *a, const struct gs_scene *b)
{
    double sum = 0;
    for (size_t i = 0; i < a->count; i++) {
        double least = HUGE_VAL;
        for (size_t j = 0; j < b->count; j++)
            least = fmin(least, distance(a, i, b, j));
        sum += least * least;
    }
    return sqrt(sum / (double)a->count);
}

static void what_is_encoded_decodes(void **state)
{
    (void)state;
    struct gs_stream_report r;
    struct gs_stream *s;
    struct gs_scene scene = {0}, input = {0};
    encode(0, &r);
    assert_int_equal(r.bases, 1);
    assert_int_equal(r.entries, 2);
    assert_int_equal(r.residuals, FRAMES - 3);
    assert_near(r.psnr, 38, 1.5);
    assert_ok(gs_stream_open(&s, path));
    const struct gs_stream_info *i = gs_stream_info(s);
    assert_int_equal(i->frame_count, FRAMES);
    assert_int_equal(i->count, COUNT);
    assert_int_equal(i->sh_degree, 1);
    assert_near(i->fps, 25, 0);
    assert_near(i->up[1], -1, 0);
    assert_int_equal(i->mode, GS_MODE_CLASSIC);
    assert_true(i->complete);
    assert_int_equal(i->bytes, r.bytes);
    double error[FRAMES];
    for (uint32_t f = 0; f < FRAMES; f++) {
        assert_int_equal(i->frame[f].kind, f == 0           ? GS_FRAME_BASE
                                           : f % GROUP == 0 ? GS_FRAME_ENTRY
                                                            : GS_FRAME_RESIDUAL);
        assert_int_equal(i->frame[f].entry, f / GROUP * GROUP);
        assert_ok(gs_stream_decode(s, f, 3, &scene));
        assert_ok(moving(NULL, f, &input));
        assert_int_equal(scene.count, COUNT);
        assert_false(gs_scene_has_bad(&scene));
        error[f] = position_error(&scene, &input);
        gs_scene_finish(&input);
        if (error[f] > 2 * error[0] + 1e-6) /* nothing drifts */
            fail_msg("frame %u: positions are off by %g, by %g in the base", f, error[f], error[0]);
    }
    assert_true(error[0] > 0 && error[0] < 0.02);
    /* residuals are what makes a stream small */
    assert_true(r.residual_bytes / r.residuals < r.base_bytes / 4);
    gs_scene_finish(&scene);
    gs_stream_close(&s);
}

static void copy(struct gs_scene *to, const struct gs_scene *from)
{
    size_t n = from->count, sh = n * 3 * (size_t)gs_sh_coefs(from->sh_degree);
    assert_ok(gs_scene_alloc(to, n, from->sh_degree));
    memcpy(to->position, from->position, n * 12);
    memcpy(to->scale, from->scale, n * 12);
    memcpy(to->rotation, from->rotation, n * 16);
    memcpy(to->opacity, from->opacity, n * 4);
    memcpy(to->sh, from->sh, sh * 4);
}

static bool same(const struct gs_scene *a, const struct gs_scene *b)
{
    size_t n = a->count, sh = n * 3 * (size_t)gs_sh_coefs(a->sh_degree);
    return n == b->count && a->sh_degree == b->sh_degree &&
           !memcmp(a->position, b->position, n * 12) && !memcmp(a->scale, b->scale, n * 12) &&
           !memcmp(a->rotation, b->rotation, n * 16) && !memcmp(a->opacity, b->opacity, n * 4) &&
           !memcmp(a->sh, b->sh, sh * 4);
}

/* A stream that is whole: its bytes, its frames decoded in their order. */
struct original {
    uint8_t *bytes;
    size_t size;
    struct gs_stream_frame list[FRAMES];
    struct gs_scene all[FRAMES];
};

static struct original encode_whole(int kind, struct gs_stream_report *r)
{
    struct original o;
    struct gs_stream *s;
    struct gs_scene scene = {0};
    encode(kind, r);
    o.bytes = test_read_file(path, &o.size);
    assert_ok(gs_stream_open(&s, path));
    memcpy(o.list, gs_stream_info(s)->frame, sizeof o.list);
    for (uint32_t f = 0; f < FRAMES; f++) {
        assert_ok(gs_stream_decode(s, f, 3, &scene));
        copy(&o.all[f], &scene);
    }
    gs_scene_finish(&scene);
    gs_stream_close(&s);
    return o;
}

static void drop(struct original *o)
{
    free(o->bytes);
    for (int f = 0; f < FRAMES; f++)
        gs_scene_finish(&o->all[f]);
}

/* Frames that end before byte `at`. */
static uint32_t frames_before(const struct original *o, size_t at)
{
    uint32_t n = 0;
    while (n < FRAMES && o->list[n].offset + o->list[n].size <= at)
        n++;
    return n;
}

static void seeking_gives_the_same_bytes(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        struct gs_stream_report r;
        struct gs_stream *s;
        struct gs_scene scene = {0};
        uint64_t seed = 4;
        struct original o = encode_whole(kind, &r);
        if (kind == 1) /* at the change; groups go on counting from the start */
            assert_int_equal(r.bases, 2);
        if (kind == 2)
            assert_true(r.bases > FRAMES / 2);
        assert_ok(gs_stream_open(&s, path));
        for (int k = 0; k < 40; k++) {
            uint32_t f = test_rand(&seed) % FRAMES;
            assert_ok(gs_stream_decode(s, f, 3, &scene));
            if (!same(&scene, &o.all[f]))
                fail_msg("kind %d: frame %u differs after seeking", kind, f);
        }
        assert_fails(gs_stream_decode(s, FRAMES, 3, &scene), FV_EINVALID, "frame 14 of 14");
        /* without SH: the rest is the same */
        assert_ok(gs_stream_decode(s, 7, 0, &scene));
        assert_int_equal(scene.sh_degree, 0);
        assert_memory_equal(scene.position, o.all[7].position, scene.count * 12);
        assert_memory_equal(scene.opacity, o.all[7].opacity, scene.count * 4);
        gs_stream_close(&s);
        gs_scene_finish(&scene);
        drop(&o);
    }
}

/* A stream cut at any byte has the frames before the cut. */
static void cut_anywhere(void **state)
{
    (void)state;
    struct gs_stream_report r;
    struct gs_scene scene = {0};
    struct gs_stream *s;
    struct original o = encode_whole(0, &r);
    const char *cut = test_tmp_path("cut.fvv");
    uint32_t least = 0;
    for (size_t n = 0; n < o.size; n += n < 100 ? 1 : 37) {
        uint32_t whole = frames_before(&o, n);
        test_write_file(cut, o.bytes, n);
        if (gs_stream_open(&s, cut) < 0) {
            assert_int_equal(whole, 0);
            continue;
        }
        const struct gs_stream_info *i = gs_stream_info(s);
        assert_false(i->complete);
        /* its SH may be cut off the last one */
        assert_true(i->frame_count == whole || i->frame_count == whole + 1);
        assert_true(i->frame_count >= least);
        least = i->frame_count;
        if (whole) {
            assert_ok(gs_stream_decode(s, whole - 1, 3, &scene));
            assert_true(same(&scene, &o.all[whole - 1]));
        }
        gs_stream_close(&s);
    }
    assert_int_equal(least, FRAMES);
    gs_scene_finish(&scene);
    drop(&o);
}

/* A flipped bit is noticed wherever it is, and the frames of other groups still decode. */
static void flipped_bits(void **state)
{
    (void)state;
    struct gs_stream_report r;
    struct gs_scene scene = {0};
    struct gs_stream *s;
    struct original o = encode_whole(0, &r);
    const char *bad = test_tmp_path("bad.fvv");
    for (size_t at = 0; at < o.size; at += at < 60 || at + 60 > o.size ? 1 : 53) {
        o.bytes[at] ^= (uint8_t)(1 << at % 8);
        test_write_file(bad, o.bytes, o.size);
        o.bytes[at] ^= (uint8_t)(1 << at % 8);
        uint32_t hit = frames_before(&o, at);
        bool in_frames = at >= o.list[0].offset && hit < FRAMES;
        if (gs_stream_open(&s, bad) < 0) {
            assert_true(at < o.list[0].offset || hit == 0); /* header, or the only base */
            continue;
        }
        for (uint32_t f = 0; f < FRAMES; f++) {
            bool needs = in_frames && (hit == 0 || (hit / GROUP == f / GROUP && f >= hit));
            int rc = gs_stream_decode(s, f, 3, &scene);
            if (needs ? rc == 0 || !strstr(fv_error(), "frame ") : rc < 0 || !same(&scene, &o.all[f]))
                fail_msg("byte %zu (frame %u): frame %u: %d %s", at, hit, f, rc,
                         rc < 0 ? fv_error() : "decoded");
        }
        gs_stream_close(&s);
    }
    gs_scene_finish(&scene);
    drop(&o);
}

static int stop_at_7(void *ud, const struct fv_progress *p)
{
    (void)ud;
    return !strcmp(p->what, "encoding") && p->done >= 7;
}

static int broken_at_3(void *ud, uint32_t frame, struct gs_scene *s)
{
    return frame == 3 ? fv_fail(FV_EIO, "frame 3 is lost") : moving(ud, frame, s);
}

static void what_cannot_be_encoded(void **state)
{
    (void)state;
    struct gs_stream *s;
    struct gs_stream_opts o = {.psnr = 30, .group = GROUP, .on_progress = stop_at_7};
    const char *out = test_tmp_path("b.fvv");
    /* cancelled: what there is plays */
    assert_fails(gs_stream_encode(dev, out, FRAMES, moving, NULL, &o, NULL), FV_ECANCELLED,
                 "cancelled");
    assert_ok(gs_stream_open(&s, out));
    assert_int_equal(gs_stream_info(s)->frame_count, 7);
    assert_true(gs_stream_info(s)->complete);
    gs_stream_close(&s);
    /* a frame that fails: the old file stays */
    o.on_progress = NULL;
    test_write_file(out, "old", 3);
    assert_fails(gs_stream_encode(dev, out, FRAMES, broken_at_3, NULL, &o, NULL), FV_EIO, "is lost");
    size_t size;
    free(test_read_file(out, &size));
    assert_int_equal(size, 3);
    assert_fails(gs_stream_open(&s, out), FV_EFORMAT, "not a stream");
    o.group = 5000;
    assert_fails(gs_stream_encode(dev, out, FRAMES, moving, NULL, &o, NULL), FV_EINVALID, "groups");
    assert_fails(gs_stream_encode(dev, out, 0, moving, NULL, NULL, NULL), FV_EINVALID, "0 frames");
    assert_fails(gs_stream_open(&s, test_tmp_path("none.fvv")), FV_EIO, "none.fvv");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_encoded_decodes), cmocka_unit_test(seeking_gives_the_same_bytes),
        cmocka_unit_test(cut_anywhere),            cmocka_unit_test(flipped_bits),
        cmocka_unit_test(what_cannot_be_encoded),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

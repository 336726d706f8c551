/* Streams as files: what is encoded decodes, from any frame; damaged and cut ones. */
#include "support/scene.h"

#include "gs/scene.h"
#include "gs/stream_file.h"
#include "vk/device.h"

enum { COUNT = 600, FRAMES = 14, GROUP = 5 };

static struct vk_device *dev;
static const char *path;

enum kind {
    KEPT,
    GROWING,  /* 40 more from frame 8 on */
    CHANGED,  /* another cloud from frame 8 on */
    REBORN,   /* nothing carries over */
    SHUFFLED, /* rows in another order each frame */
    CHURNING, /* shuffled, and each frame one in a hundred ends and another begins */
    MORPHING, /* places are mixtures of two shapes, nothing else changes */
    KINDS
};

static void shuffle(struct gs_scene *s, uint64_t seed)
{
    uint32_t *order = malloc(s->count * sizeof *order);
    for (uint32_t i = 0; i < s->count; i++)
        order[i] = i;
    for (size_t i = s->count - 1; i > 0; i--) {
        size_t k = test_rand(&seed) % (i + 1);
        uint32_t swap = order[i];
        order[i] = order[k];
        order[k] = swap;
    }
    assert_ok(gs_scene_reorder(s, order));
    free(order);
}

/* Row i is another Gaussian each time frame + 17 i passes a multiple of 100. */
static void churn(struct gs_scene *s, uint32_t frame)
{
    for (size_t i = 0; i < s->count; i++) {
        uint64_t seed = 1000 * i + (frame + 17 * i) / 100 - 17 * i / 100;
        if (seed == 1000 * i)
            continue;
        for (size_t k = 0; k < 3; k++)
            s->position[3 * i + k] = (float)test_uniform(&seed, -1, 1);
        for (size_t k = 0; k < 12; k++)
            s->sh[12 * i + k] = (float)test_uniform(&seed, -0.4, 0.9);
        s->opacity[i] = (float)test_uniform(&seed, 0, 3);
    }
}

static void morph(struct gs_scene *s, uint32_t frame)
{
    double by[2] = {0.3 * sin(0.5 * frame), 0.3 - 0.3 * cos(0.8 * frame)};
    for (size_t i = 0; i < s->count; i++) {
        float *p = s->position + 3 * i;
        double a = p[0] > 0 ? by[0] * p[0] * p[0] : 0, b = p[1] > 0.2f ? by[1] * (p[1] - 0.2) : 0;
        p[1] += (float)a;
        p[2] += (float)b;
    }
}

/* A cloud of which a third turns about an axis, a third fades, a third stays. */
static int moving(void *ud, uint32_t frame, struct gs_scene *s)
{
    const int *kind = ud;
    size_t count = kind && *kind == GROWING && frame >= 8 ? COUNT + 40 : COUNT;
    bool other = kind && *kind == CHANGED && frame >= 8;
    uint64_t seed = kind && *kind == REBORN ? 100 + frame : other ? 2 : 1;
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
        if (kind && *kind == MORPHING)
            continue;
        if (i % 3 == 0) {
            p[0] = p[0] * 0.3f + 2;
            float x = p[0];
            p[0] = (float)(x * cos(a) - p[1] * sin(a));
            p[1] = (float)(x * sin(a) + p[1] * cos(a));
        } else if (i % 3 == 1) {
            s->opacity[i] -= 0.2f * (float)frame;
        }
    }
    if (kind && *kind == CHURNING)
        churn(s, frame);
    if (kind && *kind == MORPHING)
        morph(s, frame);
    if (kind && (*kind == SHUFFLED || *kind == CHURNING))
        shuffle(s, 7 + frame);
    return 0;
}

static struct gs_camera start_camera(void)
{
    struct gs_camera c = {.width = 64, .height = 48, .fx = 70, .fy = 70, .cx = 32, .cy = 24};
    gs_camera_look_at(&c, (const double[3]){1, -2, -5}, (const double[3]){0}, (const double[3]){0, -1, 0});
    return c;
}

static void encode(int kind, struct gs_stream_report *report)
{
    const struct gs_camera start = start_camera();
    const struct gs_stream_opts o = {.psnr = 38, .group = GROUP, .fps = 25, .start = &start};
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
    encode(KEPT, &r);
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
    const struct gs_camera start = start_camera();
    assert_true(i->has_start);
    assert_int_equal(i->start.width, 64);
    assert_near(i->start.fx, 70, 1e-4);
    for (int k = 0; k < 12; k++)
        assert_near(i->start.view[k], start.view[k], 1e-4);
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
        test_scene_copy(&o.all[f], &scene);
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
    for (int kind = 0; kind < KINDS; kind++) {
        struct gs_stream_report r;
        struct gs_stream *s;
        struct gs_scene scene = {0};
        uint64_t seed = 4;
        struct original o = encode_whole(kind, &r);
        assert_true(kind == REBORN ? r.bases > FRAMES / 2 : r.bases == (kind == CHANGED ? 2 : 1));
        for (uint32_t f = 0; f < FRAMES; f++)
            assert_int_equal(o.all[f].count, kind == GROWING && f >= 8 ? COUNT + 40 : COUNT);
        assert_ok(gs_stream_open(&s, path));
        for (int k = 0; k < 40; k++) {
            uint32_t f = test_rand(&seed) % FRAMES;
            assert_ok(gs_stream_decode(s, f, 3, &scene));
            if (!test_scene_equal(&scene, &o.all[f]))
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
    struct original o = encode_whole(GROWING, &r);
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
        assert_true(!i->complete || whole == FRAMES); /* the index, without what leads to it */
        assert_false(i->growing);
        /* its SH may be cut off the last one */
        assert_true(i->frame_count == whole || i->frame_count == whole + 1);
        assert_true(i->frame_count >= least);
        least = i->frame_count;
        if (whole) {
            assert_ok(gs_stream_decode(s, whole - 1, 3, &scene));
            assert_true(test_scene_equal(&scene, &o.all[whole - 1]));
        }
        gs_stream_close(&s);
    }
    assert_int_equal(least, FRAMES);
    gs_scene_finish(&scene);
    drop(&o);
}

/* What holds byte `at` of a frame, in the words of an error; by the chunks as they were. */
static void part_at(char out[96], const uint8_t *bytes, const struct gs_stream_frame *f, size_t at)
{
    static const char *const names[] = {"",          "positions", "rotations", "scales",
                                        "opacities", "colours",   "deaths",    "births"};
    struct fv_cursor c = fv_cursor_over(bytes + f->offset, f->size), own;
    struct gs_stream_chunk chunk;
    bool whole, cut;
    size_t start;
    do {
        start = (size_t)f->offset + c.at;
        assert_true(gs_get_chunk(&c, &chunk, &whole, &cut) && whole);
    } while (at >= start + GS_CHUNK_HEAD + chunk.size);
    bool basis = chunk.kind == GS_CHUNK_BASE && gs_base_kind(&chunk) == GS_BASE_BASIS;
    int place = gs_chunk_place(chunk.kind), sections = chunk.kind == GS_CHUNK_BASE ? 6 + basis : 8;
    const char *name = chunk.kind == GS_CHUNK_BASE ? "levels" : "model";
    own = fv_cursor_over(chunk.data, chunk.size);
    if (at < start + 8) {
        snprintf(out, 96, "the head of ");
    } else if (at < start + GS_CHUNK_HEAD) {
        snprintf(out, 96, "the sum of %s", place ? "SH band" : "geometry and colours");
    } else if (place) {
        snprintf(out, 96, "SH band %d%s damaged at byte %zu", (place + 1) / 2,
                 place % 2 ? " of births" : "", at);
    } else {
        size_t left = at - start - GS_CHUNK_HEAD, head = chunk.kind == GS_CHUNK_BASE ? 52 : 1, size[8];
        (void)fv_get_bytes(&own, head);
        for (int k = 0; k < sections; k++)
            size[k] = (size_t)gs_get_varint(&own);
        if (left < head)
            name = chunk.kind == GS_CHUNK_BASE ? "count, grid or steps" : "the list of its SH bands";
        else if (left < own.at)
            name = "the sizes of its sections";
        else
            for (int k = 0, n = (int)(left - own.at); n >= (int)size[k]; n -= (int)size[k], k++)
                name = basis && k + 1 == 6 ? "basis" : names[k + 1];
        snprintf(out, 96, "%s damaged at byte %zu", name, at);
    }
}

/* A flipped bit is noticed wherever it is, its frame and section are told, and the frames of other
 * groups still decode. */
static void flip_bits(const struct original *o, size_t size, const char *what)
{
    struct gs_scene scene = {0};
    struct gs_stream *s;
    const char *bad = test_tmp_path("bad.fvv");
    for (size_t at = 0; at < size; at += at < 60 || at + 60 > size ? 1 : 71) {
        o->bytes[at] ^= (uint8_t)(1 << at % 8);
        test_write_file(bad, o->bytes, size);
        o->bytes[at] ^= (uint8_t)(1 << at % 8);
        uint32_t hit = frames_before(o, at);
        bool in_frames = at >= o->list[0].offset && hit < FRAMES, told = false;
        if (gs_stream_open(&s, bad) < 0) { /* prefix, or the only base */
            if (at >= 8 && (!in_frames || hit != 0))
                fail_msg("%s: byte %zu: %s", what, at, fv_error());
            continue;
        }
        const struct gs_stream_info *i = gs_stream_info(s);
        if (i->frame_count != FRAMES && !(in_frames && hit + 1 == FRAMES))
            fail_msg("%s: byte %zu: %u frames", what, at, i->frame_count);
        for (uint32_t f = 0; f < i->frame_count; f++) {
            bool needs = in_frames && (hit == 0 || (hit / GROUP == f / GROUP && f >= hit));
            int rc = gs_stream_decode(s, f, 3, &scene);
            if (needs ? rc == 0 || !strstr(fv_error(), "frame ")
                      : rc < 0 || !test_scene_equal(&scene, &o->all[f]))
                fail_msg("%s: byte %zu (frame %u): frame %u: %d %s", what, at, hit, f, rc,
                         rc < 0 ? fv_error() : "decoded");
            rc = gs_stream_verify(s, f);
            if ((rc < 0) != (in_frames && f == hit))
                fail_msg("%s: byte %zu (frame %u): frame %u verified: %d", what, at, hit, f, rc);
            char part[96];
            if (rc < 0) {
                part_at(part, o->bytes, &o->list[hit], at);
                /* behind the last head there is no other that tells where it is wrong */
                bool last = hit + 1 == FRAMES && !strcmp(part, "the head of ");
                if (!strstr(fv_error(), last ? "SH band" : part) && !strstr(fv_error(), part))
                    fail_msg("%s: byte %zu: %s, not %s", what, at, fv_error(), part);
            }
            told = told || rc < 0;
        }
        if (!told && !*i->damage)
            fail_msg("%s: byte %zu: nobody noticed", what, at);
        assert_int_equal(gs_stream_next_group(s, 1), GROUP);
        gs_stream_close(&s);
    }
    gs_scene_finish(&scene);
}

static void flipped_bits(void **state)
{
    (void)state;
    struct gs_stream_report r;
    struct original o = encode_whole(CHURNING, &r);
    const struct gs_stream_frame *last = &o.list[FRAMES - 1];
    flip_bits(&o, o.size, "whole");
    flip_bits(&o, (size_t)last->offset + last->size, "without an index");
    drop(&o);
}

/* Two frames and more gone from a stream without an index: what may have been a base is not
 * decoded on, another base is. */
static void holes(void **state)
{
    (void)state;
    struct gs_stream_report r;
    struct gs_stream *s;
    struct gs_scene scene = {0};
    for (int kind = 0; kind < 2; kind++) {
        struct original o = encode_whole(kind ? CHANGED : KEPT, &r);
        const struct gs_stream_frame *from = &o.list[3], *to = &o.list[5], *last = &o.list[FRAMES - 1];
        memset(o.bytes + from->offset + 2, 0xa5, (size_t)(to->offset - from->offset) + 40);
        test_write_file(test_tmp_path("hole.fvv"), o.bytes, (size_t)last->offset + last->size);
        assert_ok(gs_stream_open(&s, test_tmp_path("hole.fvv")));
        assert_int_equal(gs_stream_info(s)->frame_count, FRAMES);
        for (uint32_t f = 0; f < FRAMES; f++) {
            int rc = gs_stream_decode(s, f, 3, &scene);
            bool good = f < 3 || (kind == 1 && f >= 8); /* frame 8 is a base */
            if (good ? rc < 0 || !test_scene_equal(&scene, &o.all[f]) : rc != FV_EFORMAT)
                fail_msg("kind %d: frame %u: %d %s", kind, f, rc, rc < 0 ? fv_error() : "");
        }
        assert_int_equal(gs_stream_next_group(s, 3), kind == 1 ? 8 : FRAMES);
        gs_stream_close(&s);
        drop(&o);
    }
    gs_scene_finish(&scene);
}

/* All Gaussians anew each frame, so that each is a base; few of them at first. */
static int few_then_many(void *ud, uint32_t frame, struct gs_scene *s)
{
    int kind = REBORN;
    (void)ud;
    FV_TRY(moving(&kind, frame, s));
    if (frame < 3)
        s->count = 150;
    return 0;
}

/* Bytes that are asked for are those of the whole file, however unlike its bases are. */
static void a_size_is_kept_to(void **state)
{
    (void)state;
    enum { ALL = 10 };
    const struct gs_stream_opts o = {.frame_bytes = 5000, .group = GROUP};
    struct gs_stream_report r;
    assert_ok(gs_stream_encode(dev, path, ALL, few_then_many, NULL, &o, &r));
    assert_int_equal(r.bases, ALL);
    assert_near((double)r.bytes / ALL, 5000, 0.1 * 5000);
}

/* ---- bytes from elsewhere ---- */

/* Bytes that come a few at a time, and what was asked for. */
struct slow {
    const uint8_t *bytes;
    size_t size, there;
    bool in_order, grows, knows_size;
    uint64_t furthest;
    struct gs_range wanted[8];
    size_t wanted_count;
};

static int slow_info(void *ud, struct gs_source_info *out)
{
    struct slow *w = ud;
    if (!w->there)
        return fv_fail(FV_EAGAIN, "wait");
    *out = (struct gs_source_info){w->knows_size ? w->size : UINT64_MAX, w->grows, w->in_order};
    return 0;
}

static int slow_read(void *ud, uint64_t offset, void *dst, size_t size, size_t *got)
{
    struct slow *w = ud;
    *got = 0;
    w->furthest = offset + size > w->furthest ? offset + size : w->furthest;
    if (offset + size > w->there && (w->there < w->size || w->grows))
        return fv_fail(FV_EAGAIN, "wait");
    if (offset < w->there) {
        *got = size < w->there - offset ? size : (size_t)(w->there - offset);
        memcpy(dst, w->bytes + offset, *got);
    }
    return 0;
}

static void slow_want(void *ud, const struct gs_range *ranges, size_t count)
{
    struct slow *w = ud;
    w->wanted_count = count;
    for (size_t k = 0; k < count && k < 8; k++)
        w->wanted[k] = ranges[k];
}

static uint64_t slow_have(void *ud, uint64_t offset)
{
    struct slow *w = ud;
    return offset < w->there ? w->there - offset : 0;
}

static struct gs_source slow_source(struct slow *w)
{
    return (struct gs_source){w, slow_info, slow_read, slow_want, slow_have, NULL};
}

/* Repeats a call until it stops saying that something has to come, which then comes. */
#define COME(w, rc, call)                                                                          \
    while ((rc = (call)) == FV_EAGAIN) {                                                           \
        assert_true((w)->there < (w)->size || (w)->grows);                                         \
        (w)->there = (w)->there + 97 < (w)->size ? (w)->there + 97 : (w)->size;                    \
        if ((w)->there == (w)->size)                                                               \
            (w)->grows = false;                                                                    \
    }

static void bytes_that_come_slowly(void **state)
{
    (void)state;
    struct gs_stream_report r;
    struct gs_scene scene = {0};
    struct original o = encode_whole(CHANGED, &r);
    /* with and without a known size, the last without an index, growing as it is written */
    for (int kind = 0; kind < 4; kind++) {
        size_t size = kind < 3 ? o.size : (size_t)o.list[FRAMES - 1].offset + o.list[FRAMES - 1].size;
        struct slow w = {o.bytes, size, .in_order = kind > 0, .knows_size = kind < 2,
                         .grows = kind == 3};
        struct gs_source source = slow_source(&w);
        struct gs_stream *s = NULL;
        int rc;
        COME(&w, rc, gs_stream_open_source(&s, &source, "slow"));
        assert_int_equal(rc, 0);
        const struct gs_stream_info *i = gs_stream_info(s);
        assert_int_equal(i->complete, kind == 0);
        assert_int_equal(i->growing, kind > 0);
        if (kind > 0) /* it begins long before the end is there */
            assert_true(w.there < o.size / 2 && i->frame_count == 1);
        for (uint32_t f = 0; f < FRAMES; f++) {
            if (f == i->frame_count) {
                COME(&w, rc, gs_stream_more(s));
                assert_int_equal(rc, 1);
                assert_true(kind == 0 || w.furthest <= w.there + (1 << 20));
            }
            assert_in_range(f, 0, i->frame_count - 1);
            COME(&w, rc, gs_stream_decode(s, f, 3, &scene));
            if (rc < 0 || !test_scene_equal(&scene, &o.all[f]))
                fail_msg("kind %d: frame %u: %s", kind, f, rc < 0 ? fv_error() : "differs");
        }
        if (kind > 0) {
            COME(&w, rc, gs_stream_more(s));
            assert_int_equal(rc, 0);
        }
        assert_false(i->growing);
        assert_int_equal(i->frame_count, FRAMES);
        assert_int_equal(i->complete, kind < 3);
        assert_string_equal(i->damage, "");
        gs_stream_close(&s);
    }
    gs_scene_finish(&scene);
    drop(&o);
}

/* What decoding will read is told before, without the bands that are not wanted. */
static void what_is_wanted(void **state)
{
    (void)state;
    struct gs_stream_report r;
    struct gs_scene scene = {0};
    struct original o = encode_whole(KEPT, &r);
    struct slow w = {o.bytes, o.size, o.size, .knows_size = true};
    struct gs_source source = slow_source(&w);
    struct gs_stream *s = NULL;
    assert_ok(gs_stream_open_source(&s, &source, "slow"));
    const struct gs_stream_frame *f = gs_stream_info(s)->frame;
    assert_true(f[0].part[1] > 12 && f[0].part[0] + f[0].part[1] == f[0].size);
    gs_stream_want(s, 6, 2, 1, false); /* the base; then from the entry at 5 on */
    assert_int_equal(w.wanted_count, 2);
    assert_int_equal(w.wanted[0].offset, f[0].offset);
    assert_int_equal(w.wanted[0].size, f[0].size);
    assert_int_equal(w.wanted[1].offset, f[5].offset);
    assert_int_equal(w.wanted[1].size, f[5].size + f[6].size + f[7].size);
    gs_stream_want(s, 6, 1, 0, false);
    assert_int_equal(w.wanted[0].size, f[0].part[0]);
    assert_ok(gs_stream_decode(s, 6, 1, &scene)); /* then neither base nor what was decoded */
    gs_stream_want(s, 7, 1, 1, false);
    assert_int_equal(w.wanted_count, 1);
    assert_int_equal(w.wanted[0].offset, f[7].offset);
    gs_stream_want(s, FRAMES - 1, 3, 1, true); /* the last one, and from the first on */
    assert_int_equal(w.wanted_count, 2);
    assert_int_equal(w.wanted[1].offset, f[1].offset);
    /* without the band nothing of it is read */
    w.there = (size_t)f[0].offset + f[0].part[0];
    assert_ok(gs_stream_decode(s, 0, 0, &scene));
    assert_int_equal(gs_stream_decode(s, 0, 1, &scene), FV_EAGAIN);
    w.there = (size_t)f[4].offset + 3;
    assert_int_equal(gs_stream_ahead(s, 0, 100, 1), 4);
    assert_int_equal(gs_stream_ahead(s, 2, 1, 1), 1);
    assert_int_equal(gs_stream_ahead(s, 5, 9, 1), 0);
    assert_int_equal(gs_stream_bytes(s, 12, 9, 1), f[12].size + f[13].size);
    gs_stream_close(&s);
    gs_scene_finish(&scene);
    drop(&o);
}

static void files_that_grow(void **state)
{
    (void)state;
    struct gs_stream_report r;
    struct gs_source source;
    struct gs_stream *s = NULL;
    struct original o = encode_whole(KEPT, &r);
    const char *name = test_tmp_path("grows.fvv");
    size_t cut = (size_t)o.list[2].offset + 5;
    test_write_file(name, o.bytes, cut);
    assert_ok(gs_source_open_file(&source, name, 0.3));
    assert_ok(gs_stream_open_source(&s, &source, name));
    while (gs_stream_more(s) > 0)
        ;
    assert_int_equal(gs_stream_more(s), FV_EAGAIN);
    assert_int_equal(gs_stream_info(s)->frame_count, 1); /* 1 is whole only when 2 begins */
    FILE *f = fopen(name, "ab");
    fwrite(o.bytes + cut, 1, o.list[5].offset + 20 - cut, f);
    fclose(f);
    assert_ok(gs_stream_more(s));
    assert_true(gs_stream_info(s)->growing);
    int rc;
    while ((rc = gs_stream_more(s)) == FV_EAGAIN || rc > 0)
        ; /* nothing more comes for 0.3 s */
    assert_int_equal(rc, 0);
    assert_int_equal(gs_stream_info(s)->frame_count, 5);
    assert_false(gs_stream_info(s)->growing);
    assert_non_null(strstr(gs_stream_info(s)->damage, "frame 5"));
    gs_stream_close(&s);
    source.close(source.ud);
    drop(&o);
}

/* Order costs next to nothing; Gaussians that begin cost what they cost in a base. */
static void order_and_births_are_cheap(void **state)
{
    (void)state;
    struct gs_stream_report r[KINDS];
    const struct gs_stream_opts o = {.psnr = 38, .group = GROUP, .live = true}; /* without a basis */
    for (int kind = 0; kind < KINDS; kind++)
        if (kind != REBORN && kind != CHANGED)
            assert_ok(gs_stream_encode(dev, path, FRAMES, moving, &kind, &o, &r[kind]));
    double base = (double)r[KEPT].base_bytes / COUNT;
    uint64_t kept = r[KEPT].entry_bytes + r[KEPT].residual_bytes;
    uint64_t shuffled = r[SHUFFLED].entry_bytes + r[SHUFFLED].residual_bytes;
    uint64_t churning = r[CHURNING].entry_bytes + r[CHURNING].residual_bytes;
    /* six begin a frame; entries at 5 and 10 have them all */
    double births = 6 * (FRAMES - 1) + 6 * (4 + 9);
    if (shuffled > kept + kept / 50)
        fail_msg("%u bytes kept, %u shuffled", (unsigned)kept, (unsigned)shuffled);
    if ((double)churning > 1.1 * (double)kept + 1.5 * base * births)
        fail_msg("%u bytes kept, %u churning: %.1f a birth, %.1f in a base", (unsigned)kept,
                 (unsigned)churning, (double)(churning - kept) / births, base);
    assert_int_equal(r[KEPT].section_bytes[9] + r[KEPT].section_bytes[10], 0);
    assert_true(r[CHURNING].section_bytes[9] > 0);
    assert_true(r[CHURNING].section_bytes[10] > r[GROWING].section_bytes[10]);
}

/* Mixtures of shapes are told from what moves otherwise; then the file says that it needs a reader that
 * knows of them, and only then. */
static void shapes_are_found(void **state)
{
    (void)state;
    for (int live = 0; live < 2; live++) {
        int kind = MORPHING;
        size_t size;
        struct gs_stream_report r;
        const struct gs_stream_opts o = {.psnr = 38, .group = GROUP, .live = live};
        assert_ok(gs_stream_encode(dev, path, FRAMES, moving, &kind, &o, &r));
        uint8_t *bytes = test_read_file(path, &size);
        assert_int_equal(bytes[4], live ? GS_STREAM_VERSION : GS_STREAM_VERSION_BASIS);
        assert_true((r.section_bytes[11] > 0) == !live); /* frames to come are not looked at */
        free(bytes);
    }
    struct gs_stream_report r;
    struct original o = encode_whole(CHURNING, &r);
    assert_int_equal(o.bytes[4], GS_STREAM_VERSION);
    assert_int_equal(r.section_bytes[11], 0);
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

static uint32_t encoded; /* frames, as the progress says */

static int note_encoded(void *ud, const struct fv_progress *p)
{
    (void)ud;
    encoded = strcmp(p->what, "encoding") ? encoded : (uint32_t)p->done;
    return 0;
}

static int broken_after_5(void *ud, uint32_t frame, struct gs_scene *s)
{
    return encoded >= 5 ? fv_fail(FV_EIO, "frame %u is lost", frame) : moving(ud, frame, s);
}

/* Another reader, while it is written. */
static int read_meanwhile(void *ud, const struct fv_progress *p)
{
    uint32_t *most = ud;
    struct gs_stream *s;
    if (strcmp(p->what, "encoding") || p->done < 1 || p->done >= FRAMES)
        return 0;
    assert_ok(gs_stream_open(&s, test_tmp_path("live.fvv")));
    *most = gs_stream_info(s)->frame_count;
    assert_true(*most + 1 >= (uint32_t)p->done);
    assert_false(gs_stream_info(s)->complete);
    gs_stream_close(&s);
    return 0;
}

static void read_while_written(void **state)
{
    (void)state;
    uint32_t most = 0;
    struct gs_stream *s;
    struct gs_stream_opts o = {.psnr = 30, .group = GROUP, .live = true, .ud = &most,
                               .on_progress = read_meanwhile};
    const char *out = test_tmp_path("live.fvv");
    assert_ok(gs_stream_encode(dev, out, FRAMES, moving, NULL, &o, NULL));
    assert_true(most >= FRAMES - 2);
    assert_ok(gs_stream_open(&s, out));
    assert_true(gs_stream_info(s)->complete && gs_stream_info(s)->frame_count == FRAMES);
    gs_stream_close(&s);
    /* what there is when it fails is whole */
    o.on_progress = note_encoded;
    encoded = 0;
    assert_fails(gs_stream_encode(dev, out, FRAMES, broken_after_5, NULL, &o, NULL), FV_EIO, "is lost");
    assert_ok(gs_stream_open(&s, out));
    assert_true(gs_stream_info(s)->complete && gs_stream_info(s)->frame_count >= 3);
    gs_stream_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_encoded_decodes), cmocka_unit_test(seeking_gives_the_same_bytes),
        cmocka_unit_test(order_and_births_are_cheap), cmocka_unit_test(shapes_are_found),
        cmocka_unit_test(cut_anywhere),            cmocka_unit_test(flipped_bits),
        cmocka_unit_test(a_size_is_kept_to),
        cmocka_unit_test(what_cannot_be_encoded), cmocka_unit_test(holes),
        cmocka_unit_test(bytes_that_come_slowly),  cmocka_unit_test(what_is_wanted),
        cmocka_unit_test(files_that_grow),         cmocka_unit_test(read_while_written),
    };
    return cmocka_run_group_tests(tests, set_up, test_device_teardown);
}

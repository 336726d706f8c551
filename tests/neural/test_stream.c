/* Streams whose frames are models of anchors: written, read, drawn; with frames of other kinds between. */
#include "gs/stream_file.h"
#include "neural/neural.h"
#include "support/neural.h"
#include "support/stream.h"
#include "support/test.h"
#include "vk/mem.h"

enum { FRAMES = 3, WIDTH = 96, HEIGHT = 64, NUMBERS = 3 * WIDTH * HEIGHT };

static char folder[FRAMES][256], stream[256];
static struct gs_camera camera;
static const double dB = 38;

static int open_frame(void *ud, uint32_t frame, struct nl_model *out)
{
    (void)ud;
    return nl_open(out, folder[frame], NULL);
}

static struct gs_stream_coded coded[FRAMES];
static uint32_t coded_count;

static void note(void *ud, const struct gs_stream_coded *frame)
{
    (void)ud;
    coded[coded_count++ % FRAMES] = *frame;
}

static int write_stream(void **state)
{
    (void)state;
    static const char *const kinds[FRAMES] = {"scaffold", "sags", "bank"};
    struct gs_camera views[8];
    const struct gs_cameras all = {.items = views, .count = 8};
    struct gs_stream_report report;
    camera = (struct gs_camera){.width = WIDTH, .height = HEIGHT, .fx = 90, .fy = 90, .cx = 48, .cy = 32};
    for (int k = 0; k < 8; k++) {
        views[k] = camera;
        gs_camera_look_at(&views[k], (const double[]){4 * cos(k), -1.2, 4 * sin(k)}, (const double[]){0.3, -0.3, 0},
                          (const double[]){0, -1, 0});
    }
    camera = views[1];
    for (int f = 0; f < FRAMES; f++)
        snprintf(folder[f], sizeof folder[f], "%s", test_neural(kinds[f], 500 + 20 * (unsigned)f));
    snprintf(stream, sizeof stream, "%s", test_tmp_path("anchors.fvv"));
    assert_ok(nl_stream_encode(test_device(), stream, FRAMES, open_frame, NULL,
                               &(struct gs_stream_opts){.psnr = dB, .fps = 5, .views = &all, .on_frame = note}, &report));
    assert_int_equal(report.bases, FRAMES);
    assert_int_equal(report.entries + report.residuals, 0);
    assert_int_equal(coded_count, FRAMES);
    return 0;
}

static struct nl_stream_view how;

static struct gs_stream *open_stream(const char *path)
{
    struct gs_stream *s;
    struct gs_stream_keys keys = nl_stream_keys(&how);
    assert_ok(gs_stream_open(&s, path));
    gs_stream_set_keys(s, &keys);
    return s;
}

static void draw(const struct gs_gpu_scene *gpu, float out[NUMBERS])
{
    struct gs_renderer *r;
    struct gs_frame *f;
    assert_ok(gs_renderer_create(&r, test_device()));
    assert_ok(gs_frame_create(&f, r));
    assert_ok(gs_frame_submit(f, gpu, &camera, &(struct gs_render_opts){.output = GS_OUT_RGB_F32, .has_bg = true}));
    assert_ok(gs_frame_wait(f));
    memcpy(out, f->pixels, NUMBERS * sizeof *out);
    gs_frame_destroy(&f);
    gs_renderer_destroy(&r);
}

/* What the folder of a frame looks like. */
static void draw_folder(uint32_t frame, float out[NUMBERS])
{
    struct nl_model m;
    struct nl_encoded e;
    struct nl_gpu *gpu;
    assert_ok(nl_open(&m, folder[frame], NULL));
    assert_ok(nl_encode(&m, NULL, &e));
    assert_ok(nl_gpu_create(&gpu, test_device(), &m, &e, NULL));
    draw(nl_gpu_scene(gpu), out);
    nl_gpu_destroy(&gpu);
    nl_encoded_finish(&e);
    nl_finish(&m);
}

static void frames_look_like_their_models(void **state)
{
    (void)state;
    static const uint32_t order[] = {0, 1, 2, 1};
    static float want[NUMBERS], got[NUMBERS];
    uint64_t reserved, before, used, peak;
    vk_mem_usage(test_device(), &reserved, &before, &peak);
    struct gs_stream *s = open_stream(stream);
    struct gs_gpu_scene *gpu = NULL;
    const struct gs_stream_info *i = gs_stream_info(s);
    assert_true(i->model == GS_STREAM_ANCHORS && i->complete && i->frame_count == FRAMES && i->count == 500);
    for (size_t k = 0; k < sizeof order / sizeof *order; k++) {
        assert_ok(gs_stream_upload(s, order[k], 3, test_device(), k == 3, &gpu));
        assert_true(gs_gpu_scene_held(gpu) > 500 * 48);
        const struct gs_gpu_scene *was = gpu;
        assert_ok(gs_stream_upload(s, order[k], 3, test_device(), k == 3, &gpu));
        assert_ptr_equal(gpu, was); /* it is there */
        draw(gpu, got);
        draw_folder(order[k], want);
        double psnr = gs_psnr(got, want, NUMBERS);
        if (!(psnr > dB - 2.5) || !(coded[order[k]].psnr > dB - 2.5) || coded[order[k]].psnr > dB + 3)
            fail_msg("frame %u: %.2f dB, reported %.2f", order[k], psnr, coded[order[k]].psnr);
    }
    gs_stream_close(&s);
    draw(gpu, got); /* needs no stream */
    assert_true(gs_psnr(got, want, NUMBERS) > dB - 2.5);
    gs_gpu_scene_destroy(&gpu);
    vk_mem_usage(test_device(), &reserved, &used, &peak);
    assert_int_equal(used, before);
}

static void decodes_anchors_or_gaussians(void **state)
{
    (void)state;
    struct gs_stream *s = open_stream(stream);
    struct gs_scene scene = {0};
    assert_ok(gs_stream_decode(s, 1, 3, &scene));
    assert_int_equal(scene.count, 520);
    how.bake = true;
    assert_ok(gs_stream_decode(s, 0, 3, &scene));
    assert_true(scene.count > 1000 && scene.count < 5000); /* about half of them live */
    how.camera = 4;
    assert_fails(gs_stream_decode(s, 2, 3, &scene), FV_EINVALID, "appearance 4: the model has 4");
    how.camera = 3;
    assert_ok(gs_stream_decode(s, 2, 3, &scene));
    how = (struct nl_stream_view){0};
    gs_scene_finish(&scene);
    gs_stream_close(&s);
    assert_ok(gs_stream_open(&s, stream));
    assert_fails(gs_stream_decode(s, 1, 3, &scene), FV_EUNSUPPORTED, "anchors.fvv: frame 1 is a model of anchors");
    gs_stream_close(&s);
}

/* A device scene takes in frames of any kind of stream. */
static void goes_from_gaussians_to_anchors_and_back(void **state)
{
    (void)state;
    static float want[NUMBERS], got[NUMBERS];
    const char *gaussians = test_tmp_path("gaussians.fvv");
    struct gs_stream *a = open_stream(stream), *g;
    struct gs_gpu_scene *gpu = NULL, *own = NULL;
    test_stream_write(gaussians, &(struct test_stream){300, 1, 1, 0, 0, 3});
    assert_ok(gs_stream_open(&g, gaussians));
    for (int exact = 0; exact < 2; exact++) {
        assert_ok(gs_stream_upload(g, 0, 3, test_device(), exact, &own));
        draw(own, want);
        gs_gpu_scene_destroy(&own);
        for (int k = 0; k < 3; k++) {
            assert_ok(gs_stream_upload(k % 2 ? a : g, 0, 3, test_device(), exact, &gpu));
            draw(gpu, got);
            assert_int_equal(!memcmp(got, want, sizeof got), k != 1);
        }
        gs_gpu_scene_destroy(&gpu);
    }
    gs_stream_close(&a);
    gs_stream_close(&g);
}

static void damage_is_told(void **state)
{
    (void)state;
    struct gs_stream *s = open_stream(stream);
    struct gs_scene scene = {0};
    size_t size;
    uint64_t at = gs_stream_info(s)->frame[1].offset + GS_CHUNK_HEAD, next = gs_stream_info(s)->frame[2].offset;
    gs_stream_close(&s);
    uint8_t *bytes = test_read_file(stream, &size);
    const char *bad = test_tmp_path("bad.fvv");
    bytes[at + 5000] ^= 16;
    test_write_file(bad, bytes, size);
    s = open_stream(bad);
    assert_fails(gs_stream_decode(s, 1, 3, &scene), FV_EFORMAT, "frame 1: ");
    assert_non_null(strstr(fv_error(), "damaged"));
    assert_int_equal(gs_stream_next_group(s, 1), 2);
    assert_ok(gs_stream_decode(s, 2, 3, &scene));
    gs_stream_close(&s);
    bytes[at + 5000] ^= 16;
    test_write_file(bad, bytes, next - 7); /* cut within the second frame */
    s = open_stream(bad);
    assert_int_equal(gs_stream_info(s)->frame_count, 1);
    assert_ok(gs_stream_decode(s, 0, 3, &scene));
    gs_stream_close(&s);
    gs_scene_finish(&scene);
    free(bytes);
}

/* Bases that are whole but hold what they should not. */
static void refuses_what_is_no_model(void **state)
{
    (void)state;
    static const struct {
        uint32_t size;
        const char *packed, *part;
    } rows[] = {
        {0, "", "0 bytes of anchors"},
        {1u << 31, "none", "2147483648 bytes of anchors"},
        {1u << 28, "none", "bytes of anchors in 16"},
        {100, "none", "its anchors are damaged"},
        {0, NULL, "nothing.fvv: frame 0"}, /* zeros */
    };
    const char *path = test_tmp_path("nothing.fvv");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        static const uint8_t zeros[4000];
        struct gs_stream_out out;
        struct gs_stream_report report = {0};
        struct gs_section none[GS_SECTIONS] = {0};
        struct gs_scene about = {0}, scene = {0};
        struct gs_bytes chunks = {0}, body = {0};
        assert_ok(gs_stream_out_open(&out, path, false));
        out.version = GS_STREAM_VERSION_ANCHORS;
        assert_ok(gs_stream_out_header(&out, &about, 30, 1, NULL));
        gs_bytes_u32(&body, 20);
        gs_bytes_u32(&body, GS_BASE_ANCHORS << 24);
        gs_bytes_u32(&body, rows[i].size);
        if (rows[i].packed)
            gs_bytes_put(&body, rows[i].packed, strlen(rows[i].packed));
        if (rows[i].packed)
            gs_bytes_chunk(&chunks, GS_CHUNK_BASE, 0, body.data, body.size);
        else
            assert_ok(gs_put_anchors(&chunks, 0, 20, zeros, sizeof zeros));
        assert_ok(gs_stream_out_frame(&out, GS_FRAME_BASE, &chunks, none, &report));
        assert_ok(gs_stream_out_end(&out, 0));
        free(body.data);
        struct gs_stream *s = open_stream(path);
        assert_fails(gs_stream_decode(s, 0, 3, &scene), FV_EFORMAT, rows[i].part);
        gs_stream_close(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_look_like_their_models),
        cmocka_unit_test(decodes_anchors_or_gaussians),
        cmocka_unit_test(goes_from_gaussians_to_anchors_and_back),
        cmocka_unit_test(damage_is_told),
        cmocka_unit_test(refuses_what_is_no_model),
    };
    return cmocka_run_group_tests(tests, write_stream, test_device_teardown);
}

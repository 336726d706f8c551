/* Frames of streams in the renderer's buffers: what is written where something changed is what writing
 * everything gives, by the host and by kernels to the bit, and is what the floats say. */
#include "support/test.h"

#include "gs/scene.h"
#include "gs/stream_gpu.h"
#include "vk/base/half.h"
#include "vk/device.h"
#include "vk/xfer.h"

enum { COUNT = 900, FRAMES = 12, GROUP = 5, SLOTS = 3 };

static struct vk_device *dev;

/* A third turns about an axis, a third fades and changes colour, a third stays; from frame 7 on there
 * are some more, from frame 9 on some less. */
static int moving(void *ud, uint32_t frame, struct gs_scene *s)
{
    size_t first = frame >= 9 ? 30 : 0, last = frame >= 7 ? COUNT + 40 : COUNT;
    uint64_t seed = 1;
    int degree = *(const int *)ud, coefs = gs_sh_coefs(degree);
    FV_TRY(gs_scene_alloc(s, last - first, degree));
    s->mode = GS_MODE_CLASSIC;
    for (size_t row = 0; row < last; row++) {
        size_t i = row < first ? 0 : row - first; /* what is not there any more is overwritten */
        float *p = s->position + 3 * i, *sh = s->sh + 3 * (size_t)coefs * i;
        for (size_t k = 0; k < 3; k++) {
            p[k] = (float)test_uniform(&seed, -1, 1);
            s->scale[3 * i + k] = (float)test_uniform(&seed, -3.5, -2);
        }
        for (size_t k = 0; k < 4; k++)
            s->rotation[4 * i + k] = (float)test_uniform(&seed, -1, 1);
        s->opacity[i] = (float)test_uniform(&seed, -1, 3);
        for (int k = 0; k < 3 * coefs; k++)
            sh[k] = (float)test_uniform(&seed, -0.4, 0.9);
        double a = 0.04 * frame;
        if (row % 3 == 0) {
            p[0] = p[0] * 0.3f + 2;
            float x = p[0];
            p[0] = (float)(x * cos(a) - p[1] * sin(a));
            p[1] = (float)(x * sin(a) + p[1] * cos(a));
        } else if (row % 3 == 1) {
            s->opacity[i] -= 0.2f * (float)frame;
            sh[0] += 0.1f * (float)frame;
        }
    }
    return 0;
}

/* All bytes of a scene on the device, its Gaussians' geometry, then their SH; caller frees. */
static uint8_t *bytes_of(const struct gs_gpu_scene *g, size_t *size)
{
    size_t row = 16 * (size_t)g->sh_stride, at = 0;
    *size = g->count * (32 + row);
    uint8_t *out = malloc(*size);
    for (int sh = 0; sh < 2; sh++)
        for (uint32_t c = 0; c < g->chunk_count; c++) {
            const struct gs_chunk *k = &g->chunks[c];
            size_t n = k->count * (sh ? row : 32);
            assert_ok(vk_download(out + at, sh ? &k->sh : &k->geo, 0, n));
            at += n;
        }
    assert_int_equal(at, *size);
    return out;
}

static void assert_same(const struct gs_gpu_scene *a, const struct gs_gpu_scene *b, const char *who,
                        uint32_t frame)
{
    size_t size[2];
    uint8_t *bytes[2] = {bytes_of(a, &size[0]), bytes_of(b, &size[1])};
    assert_int_equal(a->count, b->count);
    assert_int_equal(size[0], size[1]);
    assert_true(a->radius == b->radius && a->reach == b->reach);
    for (size_t i = 0; i < size[0]; i++)
        if (bytes[0][i] != bytes[1][i])
            fail_msg("%s, frame %u: byte %zu of %zu differs", who, frame, i, size[0]);
    free(bytes[0]);
    free(bytes[1]);
}

/* What is packed against the floats of gs_stream_decode. */
static void assert_is_scene(const struct gs_gpu_scene *g, const struct gs_scene *s)
{
    size_t size, coefs = 3 * (size_t)gs_sh_coefs(s->sh_degree);
    uint8_t *bytes = bytes_of(g, &size);
    assert_int_equal(g->count, s->count);
    for (size_t i = 0; i < s->count; i++) {
        float geo[4];
        uint32_t word[4];
        double norm = 0;
        memcpy(geo, bytes + 32 * i, 16);
        memcpy(word, bytes + 32 * i + 16, 16);
        for (size_t k = 0; k < 3; k++)
            assert_near(geo[k], s->position[3 * i + k], 1e-6);
        assert_near(geo[3], gs_sigmoid(s->opacity[i]), 1e-5);
        uint64_t scales = word[0] | (uint64_t)word[1] << 32;
        for (size_t k = 0; k < 3; k++)
            assert_near((double)(scales >> (21 * k) & 0x1fffff) * (60 / 2097151.0) - 30,
                        s->scale[3 * i + k] * 1.4426950408889634, 6e-5);
        for (size_t k = 0; k < 4; k++)
            norm += (double)s->rotation[4 * i + k] * s->rotation[4 * i + k];
        for (size_t k = 0; k < 4; k++)
            assert_near((int16_t)(word[2 + k / 2] >> (16 * (k % 2))) / 32767.0,
                        s->rotation[4 * i + k] / sqrt(norm), 4e-5);
        for (size_t k = 0; k < coefs; k++) {
            uint16_t h;
            memcpy(&h, bytes + 32 * g->count + 16 * (size_t)g->sh_stride * i + 2 * k, 2);
            assert_near(fv_f16_to_f32(h), s->sh[coefs * i + k], 1e-3);
        }
    }
    free(bytes);
}

static void changes_give_what_everything_gives(void **state)
{
    (void)state;
    /* forward, again, back, over a group's start, to the base */
    static const uint32_t visit[] = {0, 1, 2, 3, 4, 4, 2, 3, 5, 6, 7, 8, 9, 10, 11, 1, 8, 9, 0, 6, 7};
    for (int degree = 0; degree <= 3; degree += degree ? 2 : 1) {
        const char *path = test_tmp_path("moving.fvv");
        struct gs_stream_report report = {0};
        const struct gs_stream_opts o = {.psnr = 36, .group = GROUP};
        assert_ok(gs_stream_encode(dev, path, FRAMES, moving, &degree, &o, &report));
        struct gs_stream *host, *kernels, *anew;
        struct gs_gpu_scene *slot[2][SLOTS] = {{NULL}}, *fresh;
        struct gs_scene floats = {0};
        assert_ok(gs_stream_open(&host, path));
        assert_ok(gs_stream_open(&kernels, path));
        assert_ok(gs_stream_open(&anew, path));
        gs_stream_set_packer(host, GS_PACKER_HOST);
        gs_stream_set_packer(kernels, GS_PACKER_DEVICE);
        gs_stream_set_packer(anew, GS_PACKER_HOST);
        for (size_t k = 0; k < sizeof visit / sizeof *visit; k++) {
            uint32_t f = visit[k];
            struct gs_gpu_scene **a = &slot[0][k % SLOTS], **b = &slot[1][k % SLOTS];
            assert_ok(gs_stream_upload(host, f, 3, dev, false, a));
            assert_ok(gs_stream_upload(kernels, f, 3, dev, false, b));
            fresh = NULL;
            assert_ok(gs_stream_upload(anew, f, 3, dev, false, &fresh));
            assert_same(*a, fresh, "the host", f);
            assert_same(*b, fresh, "kernels", f);
            assert_ok(gs_stream_decode(anew, f, 3, &floats));
            assert_is_scene(fresh, &floats);
            gs_gpu_scene_destroy(&fresh);
        }
        /* fewer bands, floats in the same place, another stream in it */
        assert_ok(gs_stream_upload(host, 3, 0, dev, false, &slot[0][0]));
        assert_int_equal(slot[0][0]->sh_degree, 0);
        assert_ok(gs_stream_upload(host, 3, 3, dev, true, &slot[0][1]));
        assert_true(slot[0][1]->exact);
        assert_ok(gs_stream_upload(kernels, 3, 3, dev, false, &slot[0][1]));
        assert_ok(gs_stream_upload(kernels, 3, 3, dev, false, &slot[1][0]));
        assert_same(slot[0][1], slot[1][0], "after floats", 3);
        assert_fails(gs_stream_upload(host, FRAMES, 3, dev, false, &slot[0][2]), FV_EINVALID, "frame");
        assert_non_null(slot[0][2]); /* as it was */
        for (int k = 0; k < 2 * SLOTS; k++)
            gs_gpu_scene_destroy(&slot[k / SLOTS][k % SLOTS]);
        gs_scene_finish(&floats);
        gs_stream_close(&host);
        gs_stream_close(&kernels);
        gs_stream_close(&anew);
    }
}

static int set_up(void **state)
{
    (void)state;
    dev = test_device();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_give_what_everything_gives),
    };
    return cmocka_run_group_tests(tests, set_up, test_device_teardown);
}

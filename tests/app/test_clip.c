/* app/clip.c, latents.c: sizes, colours, latent files. */
#include "support/test.h"
#include "app/clip.h"
#include "app/latents.h"
#include "app/video.h"
#include "vk/nn/safetensors_write.h"

enum { W = 10, H = 6 };

/* Frame f: red is f, green the column, blue the row, of 255. */
static void write_frames(const char *dir, int count)
{
    char path[1024];
    uint8_t rgb[W * H * 3];
    char command[1100];
    snprintf(command, sizeof command, "mkdir -p %s", dir);
    assert_int_equal(system(command), 0);
    for (int f = 0; f < count; f++) {
        for (int i = 0; i < W * H; i++) {
            rgb[3 * i] = (uint8_t)f;
            rgb[3 * i + 1] = (uint8_t)(i % W);
            rgb[3 * i + 2] = (uint8_t)(i / W);
        }
        snprintf(path, sizeof path, "%s/f%03d.png", dir, f);
        assert_ok(image_save_png(path, rgb, W, H, 3, NULL));
    }
}

static int value(float v)
{
    return (int)lrintf((v * 0.5f + 0.5f) * 255);
}

static void fills_up_sizes_and_rewinds(void **state)
{
    struct clip_in c;
    (void)state;
    write_frames(test_tmp_path("frames"), 4);
    assert_ok(clip_in_open(&c, test_tmp_path("frames"), 8, 3));
    assert_int_equal(c.width, 16);
    assert_int_equal(c.height, 8);
    assert_int_equal(c.length, 3);
    float *p = malloc(sizeof(float) * 4 * 3 * 16 * 8);
    assert_int_equal(clip_in_read(&c, 0, 2, p), 2);
    assert_int_equal(value(p[0]), 0);
    assert_int_equal(value(p[3 * 128]), 1);               /* frame 1, red */
    assert_int_equal(value(p[128 + 16 * 2 + 15]), W - 1); /* green: last column repeated */
    assert_int_equal(value(p[256 + 16 * 7 + 3]), H - 1);  /* blue: last row repeated */
    assert_int_equal(clip_in_read(&c, 2, 4, p), 1);       /* no more than asked for */
    assert_int_equal(value(p[0]), 2);
    assert_int_equal(clip_in_read(&c, 0, 1, p), 1);
    assert_int_equal(value(p[0]), 0);
    free(p);
    clip_in_finish(&c);
}

/* Colours come back through a video as they were: BT.709, limited range, tagged so. */
static void colours_survive_a_video(void **state)
{
    static const float colours[4][3] = {
        {1, 0, 0}, {0.1f, 0.8f, 0.2f}, {0.25f, 0.25f, 0.9f}, {0.5f, 0.5f, 0.5f}};
    struct clip_out out;
    struct video_in *in;
    enum { SIDE = 64 };
    static float planes[3 * SIDE * SIDE], rgb[SIDE * SIDE * 3];
    (void)state;
    struct clip_out_opts o = {.path = test_tmp_path("colours.mp4"),
                              .width = SIDE,
                              .height = SIDE,
                              .fps_num = 25,
                              .fps_den = 1,
                              .crf = 4};
    assert_ok(clip_out_open(&out, &o));
    for (int k = 0; k < 4; k++) {
        for (int i = 0; i < 3 * SIDE * SIDE; i++)
            planes[i] = colours[k][i / (SIDE * SIDE)] * 2 - 1;
        assert_ok(clip_out_write(&out, planes, SIDE, SIDE));
    }
    assert_ok(clip_out_finish(&out, true, NULL));
    assert_ok(video_in_open(&in, o.path));
    assert_string_equal(video_in_info(in)->matrix, "bt709");
    for (int k = 0; k < 4; k++) {
        assert_int_equal(video_in_read(in, rgb), 1);
        for (int c = 0; c < 3; c++)
            assert_near(rgb[3 * (SIDE * SIDE / 2 + SIDE / 2) + c], colours[k][c], 0.02);
    }
    video_in_close(&in);
}

static void planes_of_yuv(void **state)
{
    static const float rgb[4 * 3] = {1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0};
    uint8_t out[12];
    (void)state;
    clip_rgb_to_yuv(out, rgb, 2, 2, true);
    static const uint8_t want[6] = {235, 16, 235, 16, 128, 128};
    assert_memory_equal(out, want, 6);
    clip_rgb_to_yuv(out, (const float[]){0, 0, 1, 1, 0, 0}, 2, 1, false);
    static const uint8_t blue_red[6] = {32, 63, 240, 102, 118, 240};
    assert_memory_equal(out, blue_red, 6);
}

/* ---- latents ----------------------------------------------------------------------------- */

static struct vae_info info_of(void)
{
    struct vae_info i = {
        .arch = "osp_odvae_v12", .channels = 4, .time_factor = 4, .space_factor = 8};
    for (int c = 0; c < 4; c++)
        i.scale[c] = 0.5f;
    return i;
}

static void latents_keep_their_story(void **state)
{
    struct vae_info info = info_of();
    struct latents l = {0}, back;
    float data[2 * 4 * 2 * 3];
    const char *path = test_tmp_path("l.safetensors");
    (void)state;
    for (int i = 0; i < 48; i++)
        data[i] = (float)i;
    struct vae_part p = {.count = 2, .channels = 4, .height = 2, .width = 3, .data = data};
    assert_ok(latents_append(&l, &p));
    assert_ok(latents_append(&l, &p));
    l.source_width = 21;
    l.source_height = 15;
    l.source_frames = 13;
    l.fps_num = 30000;
    l.fps_den = 1001;
    assert_ok(latents_save(&l, path, &info));
    assert_ok(latents_load(&back, path, &info, false));
    assert_int_equal(back.frames, 4);
    assert_int_equal(back.source_width, 21);
    assert_int_equal(back.source_frames, 13);
    assert_int_equal(back.fps_den, 1001);
    assert_memory_equal(back.data, l.data, 4 * 24 * sizeof(float));
    latents_finish(&back);
    assert_ok(latents_load(&back, path, &info, true)); /* taken as a diffusion model's */
    assert_true(back.data[3] == l.data[3] / 0.5f);
    latents_finish(&back);
    info.arch = "cvvae";
    assert_fails(latents_load(&back, path, &info, false), FV_EINVALID, "osp_odvae_v12");
    latents_finish(&back);
    info.channels = 16;
    assert_fails(latents_load(&back, path, &info, false), FV_EINVALID, "[1, 4, 4, 2, 3]");
    latents_finish(&back);
    latents_finish(&l);
}

static void rejects_latents_that_are_not_finite(void **state)
{
    struct vae_info info = info_of();
    struct latents back;
    float data[16] = {[5] = NAN};
    struct nn_save_tensor t = {"z", NN_DATA_F32, 4, {4, 1, 2, 2}, data};
    const char *path = test_tmp_path("nan.safetensors");
    (void)state;
    assert_ok(nn_safetensors_save(path, &t, 1, NULL, 0));
    assert_fails(latents_load(&back, path, &info, false), FV_EFORMAT, "latent 0 is");
    latents_finish(&back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fills_up_sizes_and_rewinds),
        cmocka_unit_test(colours_survive_a_video),
        cmocka_unit_test(planes_of_yuv),
        cmocka_unit_test(latents_keep_their_story),
        cmocka_unit_test(rejects_latents_that_are_not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

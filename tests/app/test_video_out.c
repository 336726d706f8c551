/* Video out: encoded, decoded back by libav and compared; tags; cancelling; failures. */
#include "support/test.h"
#include "app/video.h"
#include "vk/base/file.h"

#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { W = 192, H = 108, FRAMES = 12 };

static float picture[H][W][3];
static bool noisy; /* for files that must grow */

/* A smooth moving picture with a sharp edge. */
static void draw(int t)
{
    uint64_t seed = (uint64_t)t;
    for (int y = 0; y < H; y++) {
        for (int x = 0; x < W; x++) {
            double u = (double)(x + 3 * t) / W, w = (double)y / H;
            picture[y][x][0] = (float)(0.5 + 0.4 * sin(6.28 * u));
            picture[y][x][1] = (float)(0.2 + 0.6 * w);
            picture[y][x][2] = x > W / 2 + t ? 0.8f : 0.3f;
            for (int c = 0; noisy && c < 3; c++)
                picture[y][x][c] = (float)test_uniform(&seed, 0, 1);
        }
    }
}

/* BT.709 limited range, the straightforward way: the twin of what the renderer does. */
static void to_yuv(void *out, enum gs_output format)
{
    int bits = format == GS_OUT_YUV420P10 ? 10 : 8, step = format == GS_OUT_YUV444P ? 1 : 2;
    double scale = bits == 10 ? 4 : 1;
    size_t at = 0;
    for (int p = 0; p < 3; p++) {
        int s = p ? step : 1;
        for (int y = 0; y < H; y += s) {
            for (int x = 0; x < W; x += s) {
                double c[3] = {0};
                for (int j = 0; j < s * s; j++)
                    for (int k = 0; k < 3; k++)
                        c[k] += picture[y + j / s][x + j % s][k] / (s * s);
                double luma = 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2];
                double v = p == 0   ? 16 + 219 * luma
                           : p == 1 ? 128 + 224 * (c[2] - luma) / 1.8556
                                    : 128 + 224 * (c[0] - luma) / 1.5748;
                long code = lround(v * scale);
                if (bits == 10) {
                    uint16_t c16 = (uint16_t)code;
                    memcpy((char *)out + 2 * at++, &c16, 2);
                } else {
                    ((uint8_t *)out)[at++] = (uint8_t)code;
                }
            }
        }
    }
}

static struct video_opts opts_for(const char *path)
{
    return (struct video_opts){.path = path,
                               .width = W,
                               .height = H,
                               .fps_num = 30000,
                               .fps_den = 1001,
                               .format = GS_OUT_YUV420P,
                               .crf = -1,
                               .title = "a title",
                               .comment = "{\"frames\":12}"};
}

static int write_frames(struct video_out *v, enum gs_output format, int n)
{
    uint8_t *planes = malloc(video_frame_size(format, W, H));
    int rc = 0;
    for (int i = 0; i < n && rc >= 0; i++) {
        draw(i);
        to_yuv(planes, format);
        rc = video_out_write(v, planes, video_frame_size(format, W, H));
    }
    free(planes);
    return rc;
}

/* Decodes the file and compares every frame; returns how many there were. */
static int decode(const char *path, double least_psnr)
{
    struct video_in *in;
    float *rgb = malloc(sizeof picture);
    int n = 0, rc;
    assert_ok(video_in_open(&in, path));
    while ((rc = video_in_read(in, rgb)) == 1) {
        double sum = 0;
        draw(n++);
        for (size_t i = 0; i < sizeof picture / sizeof(float); i++) {
            double d = rgb[i] - ((float *)picture)[i];
            sum += d * d;
        }
        double psnr = -10 * log10(sum / (sizeof picture / sizeof(float)));
        if (psnr < least_psnr)
            fail_msg("%s: frame %d: %.1f dB", path, n - 1, psnr);
    }
    assert_ok(rc);
    video_in_close(&in);
    free(rgb);
    return n;
}

static void round_trip(const char *name, enum video_codec codec, enum gs_output format,
                       const char *codec_name)
{
    const char *path = test_tmp_path(name);
    struct video_opts o = opts_for(path);
    struct video_out *v;
    char *kept;
    o.codec = codec;
    o.format = format;
    bool x26x = strcmp(codec_name, "h264") == 0 || strcmp(codec_name, "hevc") == 0;
    o.preset = x26x ? "ultrafast" : strcmp(codec_name, "vp9") ? NULL : "8";
    o.crf = x26x ? 12 : 10;
    assert_ok(video_out_open(&v, &o));
    assert_false(fv_exists(path));
    assert_ok(write_frames(v, format, FRAMES));
    assert_ok(video_out_finish(&v, true, &kept));
    assert_string_equal(kept, path);
    free(kept);
    /* 4:2:0 loses the edge's colour: 38 dB; 4:4:4 does not */
    assert_int_equal(decode(path, format == GS_OUT_YUV444P ? 42 : 38), FRAMES);
    struct video_in *in;
    assert_ok(video_in_open(&in, path));
    const struct video_info *i = video_in_info(in);
    assert_string_equal(i->codec, codec_name);
    assert_string_equal(i->matrix, "bt709");
    assert_string_equal(i->primaries, "bt709");
    assert_string_equal(i->transfer, "bt709");
    assert_string_equal(i->range, "tv");
    assert_int_equal(i->width, W);
    assert_near((double)i->fps_num / i->fps_den, 30000.0 / 1001, 0.01);
    assert_string_equal(i->title, "a title");
    assert_string_equal(i->comment, "{\"frames\":12}");
    video_in_close(&in);
}

static void h264_in_every_container(void **state)
{
    (void)state;
    round_trip("a.mp4", VIDEO_AUTO, GS_OUT_YUV420P, "h264");
    round_trip("a.mkv", VIDEO_H264, GS_OUT_YUV420P, "h264");
    round_trip("a.mov", VIDEO_H264, GS_OUT_YUV420P, "h264");
}

static void h264_in_444_and_10_bits(void **state)
{
    (void)state;
    round_trip("444.mp4", VIDEO_H264, GS_OUT_YUV444P, "h264");
    round_trip("10.mp4", VIDEO_H264, GS_OUT_YUV420P10, "h264");
}

static void hevc_vp9_and_av1(void **state)
{
    (void)state;
    round_trip("hevc.mp4", VIDEO_HEVC, GS_OUT_YUV420P, "hevc");
    round_trip("hevc10.mkv", VIDEO_HEVC, GS_OUT_YUV420P10, "hevc");
    round_trip("auto.webm", VIDEO_AUTO, GS_OUT_YUV420P, "vp9");
    round_trip("av1.mp4", VIDEO_AV1, GS_OUT_YUV420P, "av1");
    round_trip("av1.webm", VIDEO_AV1, GS_OUT_YUV420P10, "av1");
}

static void index_comes_first(void **state)
{
    (void)state;
    const char *path = test_tmp_path("fast.mp4");
    struct video_opts o = opts_for(path);
    struct video_out *v;
    char *kept;
    size_t size;
    assert_ok(video_out_open(&v, &o));
    assert_ok(write_frames(v, o.format, 3));
    assert_ok(video_out_finish(&v, true, &kept));
    free(kept);
    char *data = test_read_file(path, &size);
    char *moov = memmem(data, size, "moov", 4), *mdat = memmem(data, size, "mdat", 4);
    assert_non_null(moov);
    assert_non_null(mdat);
    assert_true(moov < mdat);
    free(data);
}

static void cancelled_file_plays_under_its_name(void **state)
{
    (void)state;
    const char *path = test_tmp_path("cancel.mp4");
    struct video_opts o = opts_for(path);
    struct video_out *v;
    char *kept;
    assert_ok(video_out_open(&v, &o));
    assert_ok(write_frames(v, o.format, 5));
    assert_ok(video_out_finish(&v, false, &kept));
    assert_string_equal(kept, path);
    assert_int_equal(decode(kept, 30), 5);
    free(kept);
}

static void cancelled_file_leaves_the_old_one(void **state)
{
    (void)state;
    const char *path = test_tmp_path("old.mkv");
    struct video_opts o = opts_for(path);
    struct video_out *v;
    char *kept;
    test_write_file(path, "precious", 8);
    assert_ok(video_out_open(&v, &o));
    assert_ok(write_frames(v, o.format, 4));
    assert_ok(video_out_finish(&v, false, &kept));
    assert_string_equal(kept, test_tmp_path("old.partial.mkv"));
    assert_int_equal(decode(kept, 30), 4);
    free(kept);
    size_t size;
    char *data = test_read_file(path, &size);
    assert_int_equal(size, 8);
    assert_memory_equal(data, "precious", 8);
    free(data);
}

static int count_files(void)
{
    char command[256];
    snprintf(command, sizeof command, "ls -A '%s' | wc -l", test_tmp());
    FILE *p = popen(command, "r");
    int n = -1;
    if (fscanf(p, "%d", &n) != 1)
        n = -1;
    pclose(p);
    return n;
}

static void no_frame_leaves_nothing(void **state)
{
    (void)state;
    const char *path = test_tmp_path("none.mp4");
    struct video_opts o = opts_for(path);
    struct video_out *v;
    char *kept;
    int before = count_files();
    assert_ok(video_out_open(&v, &o));
    assert_ok(video_out_finish(&v, false, &kept));
    assert_null(kept);
    assert_int_equal(count_files(), before);
}

static void rejects_bad_options(void **state)
{
    (void)state;
    struct video_out *v;
    struct video_opts o = opts_for(test_tmp_path("x.mp4"));
    int before = count_files();
    o.width = 191;
    assert_fails(video_out_open(&v, &o), FV_EINVALID, "use 192x108");
    o.width = 0;
    assert_fails(video_out_open(&v, &o), FV_EINVALID, "0x108");
    o.width = W;
    o.preset = "no-such-preset";
    assert_fails(video_out_open(&v, &o), FV_EINVALID, "no h264 preset \"no-such-preset\"");
    o.preset = "ultrafst";
    assert_fails(video_out_open(&v, &o), FV_EINVALID, "did you mean ultrafast?");
    o.preset = NULL;
    o.fps_den = 0;
    assert_fails(video_out_open(&v, &o), FV_EINVALID, "frame rate");
    o = opts_for(test_tmp_path("x.webm"));
    o.codec = VIDEO_H264;
    assert_fails(video_out_open(&v, &o), FV_EUNSUPPORTED, "h264 does not go into .webm");
    o = opts_for(test_tmp_path("x.avi"));
    assert_fails(video_out_open(&v, &o), FV_EUNSUPPORTED, "name it .mp4");
    o = opts_for(test_tmp_path("no/such/x.mp4"));
    assert_fails(video_out_open(&v, &o), FV_EIO, "No such file");
    o = opts_for(test_tmp_path("dir.mp4"));
    assert_int_equal(mkdir(o.path, 0777), 0);
    assert_fails(video_out_open(&v, &o), FV_EIO, "is a directory");
    assert_int_equal(rmdir(o.path), 0);
    assert_int_equal(count_files(), before);
}

static void rejects_wrong_frame_size(void **state)
{
    (void)state;
    struct video_opts o = opts_for(test_tmp_path("wrong.mp4"));
    struct video_out *v;
    char *kept;
    assert_ok(video_out_open(&v, &o));
    assert_fails(video_out_write(v, picture, 100), FV_EINVALID, "100 bytes");
    assert_ok(video_out_finish(&v, false, &kept));
    assert_null(kept);
}

/* A size limit stands for every write error that no reserve helps against. */
static void write_error_keeps_the_old_file(void **state)
{
    (void)state;
    const char *path = test_tmp_path("limit.mp4");
    struct video_opts o = opts_for(path);
    struct video_out *v;
    struct rlimit was, small = {100 << 10, RLIM_INFINITY};
    char *kept;
    o.crf = 0;
    noisy = true;
    test_write_file(path, "precious", 8);
    int before = count_files();
    assert_ok(video_out_open(&v, &o));
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &was);
    small.rlim_max = was.rlim_max;
    setrlimit(RLIMIT_FSIZE, &small);
    int rc = write_frames(v, o.format, 300);
    char text[256];
    snprintf(text, sizeof text, "%s", fv_error());
    int end = video_out_finish(&v, false, &kept);
    setrlimit(RLIMIT_FSIZE, &was);
    noisy = false;
    assert_int_equal(rc, FV_EIO);
    assert_non_null(strstr(text, "write failed: File too large"));
    assert_true(end < 0);
    assert_null(kept);
    assert_int_equal(count_files(), before);
    size_t size;
    free(test_read_file(path, &size));
    assert_int_equal(size, 8);
}

/* On a full disk the reserve lets the file be ended: what was written plays. */
static void full_disk_leaves_a_playable_file(void **state)
{
    (void)state;
    const char *dir = test_tmp_path("disk");
    mkdir(dir, 0777);
    if (mount("tmpfs", dir, "tmpfs", 0, "size=3m") < 0) {
        print_message("no right to mount a small disk: skipped\n");
        skip();
    }
    struct video_opts o = opts_for(test_tmp_path("disk/full.mp4"));
    struct video_out *v;
    char *kept;
    o.crf = 0;
    assert_ok(video_out_open(&v, &o));
    noisy = true;
    int rc = write_frames(v, o.format, 1000);
    char text[256];
    snprintf(text, sizeof text, "%s", fv_error());
    int end = video_out_finish(&v, false, &kept);
    int frames = kept ? decode(kept, 10) : 0; /* averaged chroma of noise is far from it */
    noisy = false;
    free(kept);
    umount(dir);
    rmdir(dir);
    assert_int_equal(rc, FV_EIO);
    assert_non_null(strstr(text, "the disk is full"));
    assert_ok(end);
    assert_in_range(frames, 10, 999);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(h264_in_every_container),
        cmocka_unit_test(h264_in_444_and_10_bits),
        cmocka_unit_test(hevc_vp9_and_av1),
        cmocka_unit_test(index_comes_first),
        cmocka_unit_test(cancelled_file_plays_under_its_name),
        cmocka_unit_test(cancelled_file_leaves_the_old_one),
        cmocka_unit_test(no_frame_leaves_nothing),
        cmocka_unit_test(rejects_bad_options),
        cmocka_unit_test(rejects_wrong_frame_size),
        cmocka_unit_test(write_error_keeps_the_old_file),
        cmocka_unit_test(full_disk_leaves_a_playable_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

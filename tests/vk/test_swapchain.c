/* Presenting to a real window: vk/swapchain.h, through app/window.h on an X server of the
 * test's own. What the screen shows is compared with the picture given. */
#include "app/image_io.h"
#include "app/window.h"
#include "support/test.h"
#include "support/xserver.h"
#include "vk/base/log.h"
#include "vk/base/thread.h"
#include "vk/swapchain.h"

#include <unistd.h>

enum { WIDTH = 320, HEIGHT = 200 };

static struct window *window;
static struct vk_device *dev;
static VkSurfaceKHR surface;
static struct vk_swapchain *swapchain;
static struct vk_buf picture; /* WIDTH x HEIGHT, in the swapchain's order */

static void print_log(void *ud, enum fv_level level, const char *text)
{
    (void)ud, (void)level;
    fprintf(stderr, "%s\n", text);
}

static void colour_at(int x, int y, uint8_t out[4])
{
    out[0] = (uint8_t)(x * 255 / (WIDTH - 1));
    out[1] = (uint8_t)(y * 255 / (HEIGHT - 1));
    out[2] = (uint8_t)((x / 16 + y / 16) % 2 * 200);
    out[3] = (uint8_t)x; /* not to be used */
}

static int open_all(void **state)
{
    (void)state;
    assert_int_equal(xserver_start(640, 480), 0);
    assert_ok(window_create(
        &window, &(struct window_opts){.title = "test", .width = WIDTH, .height = HEIGHT}));
    struct vk_device_opts opts = {.select = getenv("FOVEA_DEVICE"),
                                  .validation = getenv("FOVEA_TEST_VALIDATION") != NULL,
                                  .swapchain = true};
    opts.instance_extensions = window_extensions(&opts.instance_extension_count);
    assert_ok(vk_device_create(&dev, &opts));
    assert_ok(window_surface(window, dev, &surface));
    assert_ok(vk_swapchain_create(&swapchain, dev, surface));
    assert_ok(vk_buf_create(&picture, dev, 4 * WIDTH * HEIGHT, VK_BUF_UPLOAD, "picture"));
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++) {
            uint8_t c[4], *out = (uint8_t *)picture.map + 4 * (y * WIDTH + x);
            colour_at(x, y, c);
            for (int k = 0; k < 4; k++)
                out[k] = c[swapchain->bgra && k < 3 ? 2 - k : k];
        }
    assert_ok(vk_buf_flush(&picture, 0, picture.size));
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    vk_swapchain_destroy(&swapchain);
    assert_null(swapchain);
    vk_buf_destroy(&picture);
    vkDestroySurfaceKHR(dev->instance, surface, NULL);
    unsigned errors = atomic_load(&dev->validation_errors);
    vk_device_destroy(&dev);
    window_destroy(&window);
    xserver_stop();
    assert_int_equal(errors, 0);
    return 0;
}

/* Until there is an image to draw on. */
static void begin(void)
{
    for (double until = fv_now() + 30; fv_now() < until;) {
        window_wait(window, 0);
        int ready =
            vk_swapchain_begin(swapchain, (uint32_t)window->width, (uint32_t)window->height);
        assert_ok(ready);
        if (ready)
            return;
    }
    fail_msg("no image to draw on");
}

/* pixels NULL: cleared. */
static void show(const struct vk_buf *pixels, bool changed, const float *clear)
{
    begin();
    if (pixels)
        vk_swapchain_picture(swapchain, pixels, WIDTH, HEIGHT, changed);
    else
        vk_swapchain_clear(swapchain, clear);
    assert_non_null(vk_swapchain_overlay_begin(swapchain));
    vk_swapchain_overlay_end(swapchain);
    assert_ok(vk_swapchain_end(swapchain));
}

/* Shows and grabs until the screen agrees, since presenting takes its time. changed: of the first
 * of the images; later ones are of the same picture. */
static void expect_of(const struct vk_buf *pixels, bool changed, const float *clear, double bound,
                      void (*wanted)(int x, int y, uint8_t out[4]))
{
    double off = 256;
    for (double until = fv_now() + 30; off > bound; changed = false) {
        if (fv_now() > until)
            fail_msg("the window is off by %.0f of 255", off);
        show(pixels, changed, clear);
        struct image i;
        assert_ok(image_load(&i, xserver_grab(window->width, window->height)));
        off = 0;
        for (int y = 0; y < window->height; y++)
            for (int x = 0; x < window->width; x++) {
                uint8_t c[4];
                wanted(x, y, c);
                for (int k = 0; k < 3; k++)
                    off = fmax(off, fabs(i.data[(y * window->width + x) * 3 + k] * 255 - c[k]));
            }
        image_finish(&i);
    }
}

static void expect(const struct vk_buf *pixels, const float *clear, double bound,
                   void (*wanted)(int x, int y, uint8_t out[4]))
{
    expect_of(pixels, true, clear, bound, wanted);
}

static void plain(int x, int y, uint8_t out[4])
{
    (void)x, (void)y;
    out[0] = 51, out[1] = 102, out[2] = 204;
}

static void doubled(int x, int y, uint8_t out[4])
{
    colour_at(x / 2, y / 2, out);
    out[2] = 0;
}

static void shows_the_picture_pixel_by_pixel(void **state)
{
    (void)state;
    assert_true(swapchain->format != VK_FORMAT_UNDEFINED);
    expect(&picture, NULL, 0, colour_at);
    assert_int_equal(swapchain->width, WIDTH);
    assert_true(swapchain->image_count >= 2);
}

static void clears_without_a_picture(void **state)
{
    (void)state;
    expect(NULL, (const float[3]){0.2f, 0.4f, 0.8f}, 1, plain);
}

static void scales_to_a_window_that_grows(void **state)
{
    (void)state;
    struct vk_buf smooth;
    assert_ok(vk_buf_create(&smooth, dev, picture.size, VK_BUF_UPLOAD, "smooth"));
    memcpy(smooth.map, picture.map, picture.size);
    for (int i = 0; i < WIDTH * HEIGHT; i++)
        ((uint8_t *)smooth.map)[4 * i + (swapchain->bgra ? 0 : 2)] = 0;
    assert_ok(vk_buf_flush(&smooth, 0, smooth.size));
    xserver_input("search --name '^test$' windowsize 640 400");
    for (double until = fv_now() + 30; window->width != 640 && fv_now() < until;)
        window_wait(window, 0.1);
    assert_int_equal(window->width, 640);
    expect(&smooth, NULL, 3, doubled);
    assert_int_equal(swapchain->width, 640);
    assert_ok(vk_buf_settle(&smooth));
    memset(smooth.map, 0, smooth.size); /* the same picture is not read and scaled again */
    assert_ok(vk_buf_flush(&smooth, 0, smooth.size));
    for (int i = 0; i < 4; i++) { /* in all of the window's images */
        show(&smooth, false, NULL);
        expect_of(&smooth, false, NULL, 3, doubled);
    }
    xserver_input("search --name '^test$' windowsize 320 200");
    for (double until = fv_now() + 30; window->width != WIDTH && fv_now() < until;)
        window_wait(window, 0.1);
    expect(&picture, NULL, 0, colour_at);
    assert_ok(vk_buf_settle(&smooth));
    vk_buf_destroy(&smooth);
}

static void minimised_windows_have_no_image(void **state)
{
    (void)state;
    assert_int_equal(vk_swapchain_begin(swapchain, 0, 0), 0);
    assert_int_equal(vk_swapchain_begin(swapchain, 0, HEIGHT), 0);
    expect(&picture, NULL, 0, colour_at);
}

static void recovers_from_a_failed_frame(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        begin();
        vk_swapchain_picture(swapchain, &picture, WIDTH * 2, HEIGHT, true);
        assert_null(vk_swapchain_overlay_begin(swapchain));
        vk_swapchain_overlay_end(swapchain);
        assert_fails(vk_swapchain_end(swapchain), FV_EINVALID, "640x200");
    }
    expect(&picture, NULL, 0, colour_at);
}

int main(void)
{
    if (!xserver_available()) {
        fprintf(stderr, "Xvfb or xdotool is not installed: skipped\n");
        return 77;
    }
    test_device(); /* skips when there is none */
    test_device_done();
    fv_log_sink(print_log, NULL, FV_WARN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_the_picture_pixel_by_pixel),
        cmocka_unit_test(clears_without_a_picture),
        cmocka_unit_test(scales_to_a_window_that_grows),
        cmocka_unit_test(minimised_windows_have_no_image),
        cmocka_unit_test(recovers_from_a_failed_frame),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}

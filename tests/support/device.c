/* The shared device of tests/support/test.h; apart from test.c so that tests without a device
 * link no device code. */
#include "support/test.h"
#include "vk/base/log.h"
#include "vk/device.h"

static struct vk_device *device;

/* With validation on every message is shown, also those of destroying the device. */
static void show(void *ud, enum fv_level level, const char *text)
{
    (void)level;
    fprintf(stderr, "%s\n", text);
    if (!strncmp(text, "validation:", 11))
        ++*(unsigned *)ud;
}

static unsigned shown;

struct vk_device *test_device(void)
{
    if (device)
        return device;
    struct vk_device_opts opts = {.select = getenv("FOVEA_DEVICE"),
                                  .validation = getenv("FOVEA_TEST_VALIDATION") != NULL};
    size_t count = 0;
    if (opts.validation)
        fv_log_sink(show, &shown, FV_WARN);
    if (vk_device_list(NULL, 0, &count) < 0 || !count) {
        fprintf(stderr, "no Vulkan device: skipped\n");
        exit(77);
    }
    if (vk_device_create(&device, &opts) < 0) {
        fprintf(stderr, "%s\n", fv_error());
        exit(1);
    }
    return device;
}

void test_device_done(void)
{
    if (!device)
        return;
    unsigned errors = atomic_load(&device->validation_errors);
    vk_device_destroy(&device);
    if (errors || shown) {
        fprintf(stderr, "%u validation errors, %u messages\n", errors, shown);
        exit(1);
    }
}

int test_device_teardown(void **state)
{
    (void)state;
    test_device_done();
    return 0;
}

/* The shared device of tests/support/test.h; apart from test.c so that tests without a device
 * link no device code. */
#include "support/test.h"
#include "vk/device.h"

static struct vk_device *device;

struct vk_device *test_device(void)
{
    if (device)
        return device;
    struct vk_device_opts opts = {.select = getenv("FOVEA_DEVICE"),
                                  .validation = getenv("FOVEA_TEST_VALIDATION") != NULL};
    size_t count = 0;
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
    assert_int_equal(errors, 0);
}

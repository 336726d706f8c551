/* Listing, choosing and losing devices (vk/device.c, queue.c). */
#include "support/test.h"
#include "vk/base/log.h"
#include "vk/cmd.h"
#include "vk/private.h"
#include "vk/xfer.h"

#include <ctype.h>

static int create(struct vk_device **dev, const char *select)
{
    return vk_device_create(dev, &(struct vk_device_opts){.select = select});
}

static struct vk_caps first(void)
{
    struct vk_caps caps;
    size_t count;
    assert_ok(vk_device_list(&caps, 1, &count));
    assert_true(count >= 1);
    return caps;
}

/* An environment variable for the length of a call of fn. */
static void with_env(const char *name, const char *value, void (*fn)(void))
{
    char *old = getenv(name) ? strdup(getenv(name)) : NULL;
    setenv(name, value, 1);
    fn();
    if (old)
        setenv(name, old, 1);
    else
        unsetenv(name);
    free(old);
}

static void lists_devices(void **state)
{
    struct vk_caps caps = first();
    size_t count;
    (void)state;
    assert_ok(vk_device_list(NULL, 0, &count));
    assert_true(count >= 1);
    assert_true(*caps.name && *caps.driver);
    assert_true(caps.api_version >= VK_API_VERSION_1_3);
}

static void capabilities_are_filled(void **state)
{
    struct vk_device *dev = test_device();
    const struct vk_caps *c = &dev->caps;
    (void)state;
    assert_true(c->subgroup_size >= 4 && c->subgroup_size <= 128);
    assert_true(c->subgroup_min <= c->subgroup_size && c->subgroup_size <= c->subgroup_max);
    assert_true(c->subgroup_ops & VK_SUBGROUP_FEATURE_BASIC_BIT);
    assert_true(c->max_invocations >= 128 && c->shared_bytes >= 16384);
    assert_true(c->max_storage_range >= 1 << 27 && c->max_allocation >= 1 << 30);
    assert_true(c->max_texel_elements >= 65536 && c->max_push_bytes >= 128);
    assert_true(c->storage_align && c->storage_align <= 256 && c->texel_align <= 256);
    assert_true(c->heap_bytes && c->budget_bytes && c->budget_bytes <= c->heap_bytes);
    assert_true(c->timestamps && c->timestamp_ns > 0);
    assert_int_equal(c->is_cpu, c->type == VK_PHYSICAL_DEVICE_TYPE_CPU);
    if (c->is_cpu)
        assert_true(c->unified);
    for (int i = 0; i < 3; i++)
        assert_true(c->max_group_size[i] >= 64 && c->max_group_count[i] >= 65535);
    assert_true(vk_buf_max(dev) % 256 == 0 && vk_buf_max(dev) <= c->max_storage_range);
}

static void chooses_by_index_name_and_cpu(void **state)
{
    struct vk_caps caps = first();
    struct vk_device *dev;
    char part[8];
    (void)state;
    assert_ok(create(&dev, "0"));
    assert_string_equal(dev->caps.name, caps.name);
    vk_device_destroy(&dev);
    assert_null(dev);
    snprintf(part, sizeof part, "%.7s", caps.name);
    for (char *p = part; *p; p++)
        *p = (char)toupper(*p);
    assert_ok(create(&dev, part));
    assert_non_null(strcasestr(dev->caps.name, part));
    vk_device_destroy(&dev);
    if (caps.is_cpu) {
        assert_ok(create(&dev, "CPU"));
        assert_true(dev->caps.is_cpu);
        vk_device_destroy(&dev);
    }
    assert_ok(create(&dev, ""));
    vk_device_destroy(&dev);
    assert_ok(vk_device_create(&dev, NULL));
    vk_device_destroy(&dev);
    vk_device_destroy(&dev); /* safe on NULL */
}

static void rejects_unknown_names_with_a_list(void **state)
{
    struct vk_caps caps = first();
    struct vk_device *dev = (struct vk_device *)1;
    (void)state;
    assert_fails(create(&dev, "no such card"), FV_EDEVICE, "no such card");
    assert_null(dev);
    assert_non_null(strstr(fv_error(), caps.name));
    assert_non_null(strstr(fv_error(), "0: "));
    assert_fails(create(&dev, "999"), FV_EDEVICE, "999");
    assert_fails(create(&dev, "99999999999999999999"), FV_EDEVICE, "available");
}

static void without_drivers(void)
{
    struct vk_device *dev;
    size_t count = 7;
    assert_ok(vk_device_list(NULL, 0, &count));
    assert_int_equal(count, 0);
    assert_fails(create(&dev, NULL), FV_EDEVICE, "mesa-vulkan-drivers");
    assert_fails(create(&dev, "cpu"), FV_EDEVICE, "no Vulkan device");
}

static void no_driver_tells_what_to_do(void **state)
{
    (void)state;
    with_env("VK_DRIVER_FILES", "/nonexistent", without_drivers);
}

static void without_layers(void)
{
    struct vk_device *dev;
    assert_fails(vk_device_create(&dev, &(struct vk_device_opts){.validation = true}), FV_EDEVICE,
                 "vulkan-validationlayers");
}

static void no_validation_layer_tells_what_to_do(void **state)
{
    (void)state;
    with_env("VK_LAYER_PATH", "/nonexistent", without_layers);
}

static void rejects_missing_instance_extensions(void **state)
{
    const char *names[31];
    struct vk_device *dev;
    (void)state;
    for (int i = 0; i < 31; i++)
        names[i] = "VK_FOVEA_no_such_extension";
    struct vk_device_opts opts = {.instance_extensions = names, .instance_extension_count = 1};
    assert_fails(vk_device_create(&dev, &opts), FV_EDEVICE, "instance extension");
    opts.instance_extension_count = 31;
    assert_fails(vk_device_create(&dev, &opts), FV_EINVALID, "30");
}

#ifndef FOVEA_HOT_RELOAD
static void rejects_a_shader_directory_in_this_build(void **state)
{
    struct vk_device *dev;
    (void)state;
    assert_fails(vk_device_create(&dev, &(struct vk_device_opts){.shader_dir = "shaders"}),
                 FV_EUNSUPPORTED, "FOVEA_HOT_RELOAD");
}
#endif

static void two_devices_at_once(void **state)
{
    struct vk_device *a, *b;
    struct vk_buf x, y;
    uint32_t out = 0, in = 77;
    (void)state;
    assert_ok(create(&a, NULL));
    assert_ok(create(&b, NULL));
    assert_ok(vk_buf_create(&x, a, 4, VK_BUF_DEVICE, "x"));
    assert_ok(vk_buf_create(&y, b, 4, VK_BUF_DEVICE, "y"));
    assert_ok(vk_upload(&x, 0, &in, 4));
    in = 78;
    assert_ok(vk_upload(&y, 0, &in, 4));
    assert_ok(vk_download(&out, &x, 0, 4));
    assert_int_equal(out, 77);
    vk_buf_destroy(&x);
    vk_buf_destroy(&y);
    vk_device_destroy(&b);
    vk_device_destroy(&a);
}

/* No driver here loses a device on demand; what follows the result is ours to test. */
static void a_lost_device_fails_everything_at_once(void **state)
{
    struct vk_device *dev;
    struct vk_buf b = {0}, c;
    struct vk_cmd *cmd, *other;
    const struct vk_pipe *pipe;
    struct vk_upload_window w;
    uint32_t word = 1;
    uint64_t ticket;
    (void)state;
    assert_ok(create(&dev, NULL));
    assert_ok(vk_buf_create(&b, dev, 64, VK_BUF_DEVICE, "b"));
    assert_ok(vk_cmd_create(&cmd, dev));
    vk_cmd_begin(cmd);
    vk_cmd_fill(cmd, &b, 0, 64, 1);
    assert_fails(vk_check(dev, VK_ERROR_DEVICE_LOST, "vkQueueSubmit2(queue)"), FV_EDEVICE,
                 "device lost");
    assert_int_equal(atomic_load(&dev->failed), 1);
    assert_non_null(strstr(fv_error(), dev->caps.name));
    assert_fails(vk_cmd_submit(cmd, &ticket), FV_EDEVICE, "device lost");
    vk_cmd_begin(cmd);
    assert_fails(vk_cmd_submit(cmd, NULL), FV_EDEVICE, "device lost");
    assert_fails(vk_wait(dev, 1), FV_EDEVICE, "device lost");
    assert_true(vk_done(dev, 1000)); /* nobody is to spin on it */
    assert_fails(vk_upload(&b, 0, &word, 4), FV_EDEVICE, "device lost");
    assert_fails(vk_upload_begin(&w, &b, 0, 4), FV_EDEVICE, "device lost");
    assert_fails(vk_download(&word, &b, 0, 4), FV_EDEVICE, "device lost");
    assert_fails(vk_buf_create(&c, dev, 4, VK_BUF_DEVICE, "c"), FV_EDEVICE, "device lost");
    assert_fails(vk_buf_flush(&b, 0, 4), FV_EDEVICE, "device lost");
    assert_fails(vk_cmd_create(&other, dev), FV_EDEVICE, "device lost");
    assert_null(other);
    assert_fails(vk_pipe_get(&pipe, dev, "vk/probe", NULL, 0, 0), FV_EDEVICE, "device lost");
    vk_cmd_destroy(&cmd);
    vk_buf_destroy(&b);
    vk_device_destroy(&dev);
}

static void results_become_codes_and_sentences(void **state)
{
    static const struct {
        VkResult r;
        int code;
        const char *text;
    } cases[] = {{VK_SUCCESS, 0, ""},
                 {VK_NOT_READY, 0, ""},
                 {VK_ERROR_OUT_OF_HOST_MEMORY, FV_ENOMEM, "vkFoo: out of memory"},
                 {VK_ERROR_OUT_OF_DEVICE_MEMORY, FV_EGPUMEM, "vkFoo: out of device memory"},
                 {VK_ERROR_OUT_OF_POOL_MEMORY, FV_EGPUMEM, "vkFoo"},
                 {VK_ERROR_INITIALIZATION_FAILED, FV_EDEVICE, "vkFoo: initialisation"},
                 {VK_ERROR_UNKNOWN, FV_EDEVICE, "VkResult -13"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fv_fail(0, "%s", "");
        assert_fails(vk_check(test_device(), cases[i].r, "vkFoo(a, b)"), cases[i].code,
                     cases[i].text);
    }
}

/* Two fills of one buffer without a barrier between: proof that a clean run of the other tests
 * means something. */
static void validation_sees_a_missing_barrier(void **state)
{
    struct vk_device *dev;
    struct vk_buf b;
    struct vk_cmd *cmd;
    (void)state;
    if (vk_device_create(&dev, &(struct vk_device_opts){.validation = true}) < 0)
        skip();
    fv_log_sink(NULL, NULL, FV_WARN);
    assert_ok(vk_buf_create(&b, dev, 4096, VK_BUF_DEVICE, "b"));
    assert_ok(vk_cmd_create(&cmd, dev));
    vk_cmd_begin(cmd);
    VkCommandBuffer raw = vk_cmd_raw_begin(cmd);
    vkCmdFillBuffer(raw, b.handle, 0, 4096, 1);
    assert_int_equal(atomic_load(&dev->validation_errors), 0);
    vkCmdFillBuffer(raw, b.handle, 0, 4096, 2);
    vk_cmd_raw_end(cmd);
    assert_ok(vk_cmd_submit(cmd, NULL));
    assert_int_equal(atomic_load(&dev->validation_errors), 1);
    vk_cmd_destroy(&cmd);
    vk_buf_destroy(&b);
    vk_device_destroy(&dev);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(capabilities_are_filled),
        cmocka_unit_test(results_become_codes_and_sentences),
        cmocka_unit_test(lists_devices),
        cmocka_unit_test(chooses_by_index_name_and_cpu),
        cmocka_unit_test(rejects_unknown_names_with_a_list),
        cmocka_unit_test(no_driver_tells_what_to_do),
        cmocka_unit_test(no_validation_layer_tells_what_to_do),
        cmocka_unit_test(rejects_missing_instance_extensions),
#ifndef FOVEA_HOT_RELOAD
        cmocka_unit_test(rejects_a_shader_directory_in_this_build),
#endif
        cmocka_unit_test(two_devices_at_once),
        cmocka_unit_test(a_lost_device_fails_everything_at_once),
        cmocka_unit_test(validation_sees_a_missing_barrier),
    };
    test_device(); /* skips all when there is none */
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_done();
    return failed;
}

/* The choice of kernels (vk/nn/tune.c): what is measured, what is remembered, what it does. That
 * all kernels give the same results is tested by test_matmul.c and test_conv.c. */
#include "support/test.h"
#include "vk/device.h"
#include "vk/disk.h"
#include "vk/nn/nn.h"
#include "vk/nn/tune.h"

static struct vk_device *open_with(const char *dir)
{
    struct vk_device *dev;
    assert_ok(vk_device_create(
        &dev, &(struct vk_device_opts){.select = getenv("FOVEA_DEVICE"), .cache_dir = dir}));
    return dev;
}

static struct nn_choice choice(struct vk_device *dev, const struct nn_rec_opts *o)
{
    struct nn_rec *r;
    assert_ok(nn_rec_create(&r, dev, o));
    struct nn_choice c = nn_choice_for(r);
    nn_rec_destroy(&r);
    return c;
}

static void expect(struct vk_device *dev, enum nn_kernel kernel, bool ssbo)
{
    struct nn_choice c = choice(dev, NULL);
    assert_int_equal(c.kernel, kernel);
    assert_int_equal(c.ssbo, ssbo);
}

static const char *kind_of(const struct vk_device *dev)
{
    static char kind[24];
    snprintf(kind, sizeof kind, "kernel-%u", dev->caps.subgroup_size);
    return kind;
}

static void without_it_the_usual(void **state)
{
    struct vk_device *dev = open_with(NULL);
    (void)state;
    if (dev->caps.is_cpu)
        expect(dev, NN_KERNEL_REGISTERS, false);
    struct nn_choice c = choice(dev, &(struct nn_rec_opts){.kernel = NN_KERNEL_SHARED});
    assert_int_equal(c.kernel, NN_KERNEL_SHARED);
    assert_true(choice(dev, &(struct nn_rec_opts){.ssbo = true}).ssbo);
    vk_device_destroy(&dev);
}

static bool remembered(const struct vk_device *dev, uint32_t file[2])
{
    uint8_t *data;
    size_t size;
    if (vk_disk_read(dev, kind_of(dev), &data, &size) != 1)
        return false;
    assert_int_equal(size, 8);
    memcpy(file, data, 8);
    free(data);
    return true;
}

/* On a CPU no time is ever so far off that shared memory wins. */
static void it_measures_and_remembers(void **state)
{
    struct vk_device *dev = open_with(test_tmp_path("measured"));
    uint32_t file[2];
    (void)state;
    assert_ok(nn_tune_within(dev, INFINITY));
    if (dev->caps.is_cpu)
        assert_int_equal(choice(dev, NULL).kernel, NN_KERNEL_REGISTERS);
    assert_true(remembered(dev, file));
    assert_int_equal(file[0], nn_tune_kernels());
    assert_int_equal(file[1], atomic_load(&dev->kernel_choice));
    vk_device_destroy(&dev);
}

/* Without time for a second kernel the first is taken, for this run alone. */
static void a_slow_compiler_compiles_one(void **state)
{
    struct vk_device *dev = open_with(test_tmp_path("slow"));
    uint32_t file[2];
    (void)state;
    assert_ok(nn_tune_within(dev, 0));
    expect(dev, dev->caps.is_cpu ? NN_KERNEL_REGISTERS : NN_KERNEL_SHARED, false);
    assert_false(remembered(dev, file));
    vk_device_destroy(&dev);
}

/* What stands in the file is believed: a choice no CPU would come to. */
static void a_second_run_reads_the_cache(void **state)
{
    struct vk_device *dev = open_with(test_tmp_path("second"));
    uint32_t file[2] = {nn_tune_kernels(), (unsigned)NN_KERNEL_SHARED << 1 | 1};
    (void)state;
    vk_disk_write(dev, kind_of(dev), file, sizeof file);
    assert_ok(nn_tune(dev));
    expect(dev, NN_KERNEL_SHARED, true);
    vk_device_destroy(&dev);
}

/* Files that are whole but not of these kernels, or hold no choice, the first of them up to its
 * replacement; damaged ones never come here (test_disk.c). */
static void other_files_are_not_believed(void **state)
{
    const uint32_t shared = (unsigned)NN_KERNEL_SHARED << 1 | 1;
    const struct {
        uint32_t words[3];
        size_t size;
    } table[] = {{{nn_tune_kernels() ^ 1, shared}, 8},  {{nn_tune_kernels(), 0}, 8},
                 {{nn_tune_kernels(), UINT32_MAX}, 8},  {{nn_tune_kernels(), shared}, 7},
                 {{nn_tune_kernels(), shared, 0}, 12}, {{0}, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct vk_device *dev = open_with(test_tmp_path("others"));
        uint32_t file[2];
        vk_disk_write(dev, kind_of(dev), table[i].words, table[i].size);
        assert_ok(nn_tune_within(dev, i ? 0 : INFINITY));
        if (i == 0) {
            assert_true(remembered(dev, file));
            assert_int_equal(file[0], nn_tune_kernels());
            assert_int_equal(file[1], atomic_load(&dev->kernel_choice));
        }
        if (dev->caps.is_cpu)
            assert_int_equal(choice(dev, NULL).kernel, NN_KERNEL_REGISTERS);
        vk_device_destroy(&dev);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_it_the_usual),
        cmocka_unit_test(it_measures_and_remembers),
        cmocka_unit_test(a_slow_compiler_compiles_one),
        cmocka_unit_test(a_second_run_reads_the_cache),
        cmocka_unit_test(other_files_are_not_believed),
    };
    test_device(); /* skips without one */
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_done();
    return rc;
}

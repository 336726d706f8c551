/* Files of a device in its cache directory (vk/disk.c). */
#include "support/test.h"
#include "vk/device.h"
#include "vk/disk.h"

#include <dirent.h>

static struct vk_device *open_with(const char *dir)
{
    struct vk_device *dev;
    assert_ok(vk_device_create(
        &dev, &(struct vk_device_opts){.select = getenv("FOVEA_DEVICE"), .cache_dir = dir}));
    return dev;
}

static void expect(const struct vk_device *dev, const char *kind, const char *text)
{
    uint8_t *data;
    size_t size;
    int found = vk_disk_read(dev, kind, &data, &size);
    assert_int_equal(found, text != NULL);
    if (text) {
        assert_int_equal(size, strlen(text));
        assert_memory_equal(data, text, size);
    } else {
        assert_null(data);
        assert_int_equal(size, 0);
    }
    free(data);
}

static void kinds_are_apart(void **state)
{
    const char *dir = test_tmp_path("kinds/of"); /* made when written */
    (void)state;
    for (int round = 0; round < 2; round++) {
        struct vk_device *dev = open_with(dir);
        expect(dev, "a", round ? "one" : NULL);
        expect(dev, "b", round ? "" : NULL);
        expect(dev, "c", NULL);
        vk_disk_write(dev, "a", "three", 5);
        vk_disk_write(dev, "a", "one", 3);
        vk_disk_write(dev, "b", "", 0);
        expect(dev, "a", "one");
        vk_device_destroy(&dev);
    }
}

/* The file of a kind. */
static const char *file_of(const char *dir, const char *kind)
{
    DIR *d = opendir(dir);
    static char path[600];
    *path = 0;
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        if (!strncmp(e->d_name, kind, strlen(kind)) && e->d_name[strlen(kind)] == '-')
            snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
    closedir(d);
    assert_true(*path);
    return path;
}

/* Whatever byte is another, and wherever the file ends. */
static void damaged_files_are_none(void **state)
{
    const char *dir = test_tmp_path("damaged");
    size_t size;
    (void)state;
    struct vk_device *dev = open_with(dir);
    vk_disk_write(dev, "a", "contents", 8);
    const char *path = file_of(dir, "a");
    unsigned char *bytes = test_read_file(path, &size);
    for (size_t i = 0; i < size; i++) {
        bytes[i] ^= 1;
        test_write_file(path, bytes, size);
        expect(dev, "a", NULL);
        bytes[i] ^= 1;
        test_write_file(path, bytes, i);
        expect(dev, "a", NULL);
    }
    test_write_file(path, bytes, size);
    expect(dev, "a", "contents");
    free(bytes);
    vk_device_destroy(&dev);
}

static void nothing_without_a_directory(void **state)
{
    (void)state;
    struct vk_device *dev = open_with(NULL);
    vk_disk_write(dev, "a", "contents", 8);
    expect(dev, "a", NULL);
    vk_device_destroy(&dev);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_are_apart),
        cmocka_unit_test(damaged_files_are_none),
        cmocka_unit_test(nothing_without_a_directory),
    };
    test_device(); /* skips without one */
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_done();
    return rc;
}

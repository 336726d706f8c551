/* Transfers (vk/xfer.c): directly and through staging, which must give the same. */
#include "support/test.h"
#include "vk/base/thread.h"
#include "vk/cmd.h"
#include "vk/private.h"
#include "vk/xfer.h"

static unsigned char *pattern(size_t n, uint64_t seed)
{
    unsigned char *p = malloc(n + 1);
    for (size_t i = 0; i < n; i++)
        p[i] = (unsigned char)test_rand(&seed);
    return p;
}

/* size bytes to offset of a buffer and back, with the bytes around them untouched. */
static void round_trip(uint64_t size, uint64_t offset)
{
    struct vk_device *dev = test_device();
    struct vk_buf b;
    uint64_t whole = offset + size + 5;
    unsigned char *data = pattern(size, size + offset), *all = malloc(whole);
    assert_ok(vk_buf_create(&b, dev, whole, VK_BUF_DEVICE, "b"));
    memset(all, 0xee, whole);
    assert_ok(vk_upload(&b, 0, all, whole));
    assert_ok(vk_upload(&b, offset, data, size));
    memset(all, 0, whole);
    assert_ok(vk_download(all, &b, 0, whole));
    assert_memory_equal(all + offset, data, size);
    for (uint64_t i = 0; i < whole; i++)
        if (i < offset || i >= offset + size)
            assert_int_equal(all[i], 0xee);
    memset(all, 0, size);
    assert_ok(vk_download(all, &b, offset, size));
    assert_memory_equal(all, data, size);
    vk_buf_destroy(&b);
    free(data);
    free(all);
}

static void round_trips(void **state)
{
    static const uint64_t cases[][2] = {{1, 0},
                                        {1, 3},
                                        {2, 1},
                                        {4, 0},
                                        {7, 13},
                                        {4096, 256},
                                        {65537, 1},
                                        {3 << 20, 100},
                                        {16 << 20, 0},
                                        {(16 << 20) + 1, 7},
                                        {(40 << 20) + 3, 5}};
    (void)state;
    for (int staged = 0; staged < 2; staged++) {
        vk_xfer_force_staging(test_device(), staged);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
            round_trip(cases[i][0], cases[i][1]);
    }
    vk_xfer_force_staging(test_device(), false);
}

static void nothing_is_allowed(void **state)
{
    struct vk_buf b;
    char byte = 0;
    (void)state;
    assert_ok(vk_buf_create(&b, test_device(), 4, VK_BUF_DEVICE, "b"));
    assert_ok(vk_upload(&b, 4, &byte, 0));
    assert_ok(vk_download(&byte, &b, 4, 0));
    vk_buf_destroy(&b);
}

static void rejects_ranges_outside(void **state)
{
    struct vk_buf b, none = {0};
    struct vk_upload_window w;
    char bytes[8] = {0};
    (void)state;
    assert_ok(vk_buf_create(&b, test_device(), 4, VK_BUF_DEVICE, "b"));
    assert_fails(vk_upload(&b, 0, bytes, 5), FV_EINVALID, "upload: range 0+5 is outside");
    assert_fails(vk_upload(&b, 5, bytes, 0), FV_EINVALID, "outside");
    assert_fails(vk_upload(&b, UINT64_MAX, bytes, 2), FV_EINVALID, "outside");
    assert_fails(vk_download(bytes, &b, 1, 4), FV_EINVALID, "download: range 1+4");
    assert_fails(vk_upload_begin(&w, &b, 1, 4), FV_EINVALID, "outside");
    assert_fails(vk_upload_begin(&w, &b, 1, 0), FV_EINVALID, "0 bytes");
    assert_fails(vk_upload(&none, 0, bytes, 1), FV_EINVALID, "no buffer");
    assert_fails(vk_download(bytes, &none, 0, 1), FV_EINVALID, "no buffer");
    vk_buf_destroy(&b);
}

static void windows_cover_a_large_upload(void **state)
{
    struct vk_device *dev = test_device();
    uint64_t size = (50 << 20) + 11;
    unsigned char *data = pattern(size, 4), *back = malloc(size);
    struct vk_buf b;
    (void)state;
    assert_ok(vk_buf_create(&b, dev, size, VK_BUF_DEVICE, "b"));
    for (int staged = 0; staged < 2; staged++) {
        int windows = 0;
        vk_xfer_force_staging(dev, staged);
        memset(data, staged, 100);
        for (uint64_t at = 0; at < size;) {
            struct vk_upload_window w;
            assert_ok(vk_upload_begin(&w, &b, at, size - at));
            assert_true(w.size >= 1 && w.size <= size - at);
            memcpy(w.data, data + at, w.size);
            at += w.size;
            windows++;
            assert_ok(vk_upload_commit(&w));
        }
        if (staged)
            assert_true(windows > 2); /* more than there are slots */
        memset(back, 0, size);
        assert_ok(vk_download(back, &b, 0, size));
        assert_memory_equal(back, data, size);
    }
    vk_xfer_force_staging(dev, false);
    vk_buf_destroy(&b);
    free(data);
    free(back);
}

static void a_window_may_be_given_back_unsent(void **state)
{
    struct vk_device *dev = test_device();
    struct vk_buf b;
    uint32_t word = 5, back = 0;
    (void)state;
    vk_xfer_force_staging(dev, true);
    assert_ok(vk_buf_create(&b, dev, 4, VK_BUF_DEVICE, "b"));
    assert_ok(vk_upload(&b, 0, &word, 4));
    for (int i = 0; i < 5; i++) {
        struct vk_upload_window w;
        assert_ok(vk_upload_begin(&w, &b, 0, 4));
        memset(w.data, 0, 4);
        w.size = 0;
        assert_ok(vk_upload_commit(&w));
        assert_ok(vk_upload_commit(&w)); /* a finished window is nothing */
    }
    assert_ok(vk_download(&back, &b, 0, 4));
    assert_int_equal(back, 5);
    struct vk_upload_window w;
    assert_ok(vk_upload_begin(&w, &b, 0, 4));
    w.size = 1u << 30;
    assert_fails(vk_upload_commit(&w), FV_EINVALID, "larger");
    vk_buf_destroy(&b);
    vk_xfer_force_staging(dev, false);
}

/* What a card without a window onto its memory does. */
static void buffers_without_a_map_are_staged(void **state)
{
    enum { SIZE = 40 << 20 }; /* a slab of its own, which staging does not come to share */
    struct vk_device *dev;
    unsigned char *data = pattern(SIZE, 8), *back = malloc(SIZE);
    struct vk_buf b;
    (void)state;
    assert_ok(vk_device_create(&dev, &(struct vk_device_opts){.select = getenv("FOVEA_DEVICE")}));
    VkPhysicalDeviceMemoryProperties real = dev->p->memory;
    for (uint32_t i = 0; i < VK_MAX_MEMORY_TYPES; i++)
        dev->p->memory.memoryTypes[i].propertyFlags &=
            ~(uint32_t)VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT;
    assert_ok(vk_buf_create(&b, dev, SIZE, VK_BUF_DEVICE, "b"));
    dev->p->memory = real;
    assert_null(b.map);
    assert_ok(vk_buf_flush(&b, 0, SIZE));
    assert_ok(vk_upload(&b, 0, data, SIZE));
    assert_ok(vk_download(back, &b, 0, SIZE));
    assert_memory_equal(back, data, SIZE);
    vk_buf_destroy(&b);
    vk_device_destroy(&dev);
    free(data);
    free(back);
}

/* A direct copy waits for what the queue has still to do with the buffer. */
static void transfers_come_after_earlier_submissions(void **state)
{
    struct vk_device *dev = test_device();
    enum { WORDS = 4 << 20 };
    uint32_t *back = malloc(4 * WORDS), mine = 0xabcd;
    struct vk_buf b;
    struct vk_cmd *cmd;
    (void)state;
    assert_ok(vk_cmd_create(&cmd, dev));
    assert_ok(vk_buf_create(&b, dev, 4 * WORDS, VK_BUF_DEVICE, "b"));
    for (int staged = 0; staged < 2; staged++) {
        vk_xfer_force_staging(dev, staged);
        vk_cmd_begin(cmd);
        for (uint32_t i = 1; i <= 10; i++)
            vk_cmd_fill(cmd, &b, 0, b.size, i);
        assert_ok(vk_cmd_submit(cmd, NULL));
        assert_ok(vk_upload(&b, 4 * (WORDS - 1), &mine, 4));
        assert_ok(vk_download(back, &b, 0, 4 * WORDS));
        assert_int_equal(back[WORDS - 1], 0xabcd);
        for (int i = 0; i < WORDS - 1; i++)
            assert_int_equal(back[i], 10);
    }
    vk_xfer_force_staging(dev, false);
    vk_cmd_destroy(&cmd);
    vk_buf_destroy(&b);
    free(back);
}

static void a_failed_allocation_leaves_staging_usable(void **state)
{
    struct vk_device *dev;
    struct vk_buf b;
    uint32_t word = 3, back = 0;
    (void)state;
    assert_ok(vk_device_create(&dev, &(struct vk_device_opts){.select = getenv("FOVEA_DEVICE")}));
    vk_xfer_force_staging(dev, true);
    assert_ok(vk_buf_create(&b, dev, 4, VK_BUF_DEVICE, "b"));
    for (int i = 0; i < 4; i++) { /* more often than there are slots */
        vk_mem_test_fail_after(dev, 0);
        assert_fails(vk_upload(&b, 0, &word, 4), FV_EGPUMEM, "staging");
        vk_mem_test_fail_after(dev, 0);
        assert_fails(vk_download(&back, &b, 0, 4), FV_EGPUMEM, "staging");
    }
    assert_ok(vk_upload(&b, 0, &word, 4));
    assert_ok(vk_download(&back, &b, 0, 4));
    assert_int_equal(back, 3);
    vk_buf_destroy(&b);
    vk_device_destroy(&dev);
}

static int transfer_piece(void *ud, size_t begin, size_t end)
{
    struct vk_device *dev = ud;
    for (size_t i = begin; i < end; i++) {
        size_t n = 200000 + 1000 * i;
        unsigned char *data = pattern(n, i), *back = malloc(n);
        struct vk_buf b;
        int rc = vk_buf_create(&b, dev, n, VK_BUF_DEVICE, "piece");
        for (int k = 0; k < 5 && !rc; k++) {
            data[k] ^= 1;
            rc = vk_upload(&b, 0, data, n);
            if (!rc)
                rc = vk_download(back, &b, 0, n);
            if (!rc && memcmp(data, back, n))
                rc = fv_fail(FV_EINVALID, "piece %zu differs", i);
        }
        vk_buf_destroy(&b);
        free(data);
        free(back);
        FV_TRY(rc);
    }
    return 0;
}

static void threads_share_the_ring(void **state)
{
    struct vk_device *dev = test_device();
    (void)state;
    for (int staged = 0; staged < 2; staged++) {
        vk_xfer_force_staging(dev, staged);
        assert_ok(fv_parallel(16, 1, transfer_piece, dev));
    }
    vk_xfer_force_staging(dev, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),
        cmocka_unit_test(nothing_is_allowed),
        cmocka_unit_test(rejects_ranges_outside),
        cmocka_unit_test(windows_cover_a_large_upload),
        cmocka_unit_test(a_window_may_be_given_back_unsent),
        cmocka_unit_test(buffers_without_a_map_are_staged),
        cmocka_unit_test(transfers_come_after_earlier_submissions),
        cmocka_unit_test(a_failed_allocation_leaves_staging_usable),
        cmocka_unit_test(threads_share_the_ring),
    };
    test_device();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_done();
    return failed;
}

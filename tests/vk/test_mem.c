/* Slabs and buffers (vk/mem.c). */
#include "support/test.h"
#include "vk/base/thread.h"
#include "vk/cmd.h"
#include "vk/private.h"
#include "vk/xfer.h"

static uint64_t used(void)
{
    uint64_t reserved, bytes, peak;
    vk_mem_usage(test_device(), &reserved, &bytes, &peak);
    assert_true(bytes <= reserved && bytes <= peak);
    return bytes;
}

static uint64_t reserved(void)
{
    uint64_t bytes;
    vk_mem_usage(test_device(), &bytes, NULL, NULL);
    return bytes;
}

static void creates_every_kind(void **state)
{
    static const enum vk_buf_kind kinds[] = {VK_BUF_DEVICE, VK_BUF_UPLOAD, VK_BUF_READBACK};
    static const uint64_t sizes[] = {1, 3, 4, 255, 256, 65537, 5 << 20};
    struct vk_device *dev = test_device();
    uint64_t before = used();
    (void)state;
    for (int k = 0; k < 3; k++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            struct vk_buf b;
            assert_ok(vk_buf_create(&b, dev, sizes[i], kinds[k], "b"));
            assert_int_equal(b.size, sizes[i]);
            assert_int_equal(b.kind, kinds[k]);
            if (kinds[k] != VK_BUF_DEVICE || dev->caps.unified) {
                assert_non_null(b.map);
                memset(b.map, 0x5a, sizes[i]);
            }
            assert_ok(vk_buf_flush(&b, 0, sizes[i]));
            assert_ok(vk_buf_invalidate(&b, 0, sizes[i]));
            assert_true(used() >= before + sizes[i]);
            vk_buf_destroy(&b);
            assert_null(b.p);
            vk_buf_destroy(&b); /* safe on a zeroed one */
        }
    assert_int_equal(used(), before);
}

static void rejects_bad_sizes(void **state)
{
    struct vk_device *dev = test_device();
    struct vk_buf b;
    uint64_t max = vk_buf_max(dev);
    (void)state;
    assert_true(max <= dev->caps.max_storage_range && max <= dev->caps.max_allocation);
    assert_fails(vk_buf_create(&b, dev, 0, VK_BUF_DEVICE, "none"), FV_EINVALID, "\"none\"");
    assert_null(b.p);
    assert_fails(vk_buf_create(&b, dev, max + 1, VK_BUF_DEVICE, "huge"), FV_EINVALID, "\"huge\"");
    assert_fails(vk_buf_create(&b, dev, UINT64_MAX, VK_BUF_DEVICE, "huge"), FV_EINVALID, "limit");
    assert_ok(vk_buf_create(&b, dev, max, VK_BUF_DEVICE, "largest"));
    vk_buf_destroy(&b);
}

static void large_buffers_exceed_a_binding(void **state)
{
    struct vk_device *dev = test_device();
    uint64_t range = vk_buf_max(dev), most = vk_buf_max_large(dev);
    struct vk_buf b;
    (void)state;
    assert_true(most >= range);
    assert_fails(vk_buf_create_large(&b, dev, most + 256, VK_BUF_DEVICE, "too large"), FV_EINVALID,
                 "above this device's limit");
    if (most < range + 256) {
        fprintf(stderr, "bindings are as large as buffers here\n");
        return;
    }
    assert_fails(vk_buf_create(&b, dev, range + 256, VK_BUF_DEVICE, "b"), FV_EINVALID,
                 "above this device's limit");
    assert_ok(vk_buf_create_large(&b, dev, range + 256, VK_BUF_DEVICE, "b"));
    assert_int_equal(b.size, range + 256);
    vk_buf_destroy(&b);
}

static void rejects_ranges_outside(void **state)
{
    struct vk_buf b;
    (void)state;
    assert_ok(vk_buf_create(&b, test_device(), 100, VK_BUF_UPLOAD, "b"));
    assert_ok(vk_buf_flush(&b, 100, 0));
    assert_fails(vk_buf_flush(&b, 0, 101), FV_EINVALID, "outside buffer \"b\" of 100");
    assert_fails(vk_buf_flush(&b, UINT64_MAX, 2), FV_EINVALID, "outside");
    assert_fails(vk_buf_invalidate(&b, 50, UINT64_MAX), FV_EINVALID, "outside");
    vk_buf_destroy(&b);
    assert_fails(vk_buf_flush(&b, 0, 0), FV_EINVALID, "no buffer");
}

/* Buffers of random sizes come and go; each keeps its own bytes. */
static int churn(struct vk_device *dev, uint64_t seed, int rounds)
{
    enum { N = 64 };
    struct vk_buf bufs[N] = {0};
    int bad = 0;
    for (int round = 0; round < rounds; round++) {
        uint32_t i = test_rand(&seed) % N;
        unsigned char tag = (unsigned char)(i + seed % 7);
        if (bufs[i].p) {
            unsigned char *p = bufs[i].map;
            for (uint64_t k = 1; k < bufs[i].size; k++)
                bad += p[k] != p[0];
            vk_buf_destroy(&bufs[i]);
            continue;
        }
        uint64_t size = 1 + (uint64_t)test_rand(&seed) % (1u << test_rand(&seed) % 20);
        FV_TRY(
            vk_buf_create(&bufs[i], dev, size, i % 2 ? VK_BUF_UPLOAD : VK_BUF_READBACK, "churn"));
        memset(bufs[i].map, tag, size);
    }
    for (int i = 0; i < N; i++)
        vk_buf_destroy(&bufs[i]);
    return bad;
}

static void buffers_never_overlap(void **state)
{
    (void)state;
    assert_int_equal(churn(test_device(), 3, 4000), 0);
}

static int churn_piece(void *ud, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++) {
        int bad = churn(ud, 100 + i, 1000);
        if (bad)
            return bad < 0 ? bad : fv_fail(FV_EINVALID, "%d bytes overwritten", bad);
    }
    return 0;
}

static void threads_share_the_allocator(void **state)
{
    struct vk_device *dev = test_device();
    uint64_t before = used();
    (void)state;
    assert_ok(fv_parallel(8, 1, churn_piece, dev));
    assert_int_equal(used(), before);
}

static void small_buffers_share_a_slab_and_empty_slabs_go(void **state)
{
    enum { N = 100 };
    struct vk_device *dev = test_device();
    struct vk_buf bufs[N];
    uint64_t at_start = reserved(), in_use = used();
    (void)state;
    for (int i = 0; i < N; i++)
        assert_ok(vk_buf_create(&bufs[i], dev, 10000, VK_BUF_DEVICE, "small"));
    for (int i = 1; i < N; i++)
        assert_ptr_equal(bufs[i].p->slab, bufs[0].p->slab);
    assert_true(reserved() > at_start && used() >= in_use + N * 10000);
    for (int i = 0; i < N; i++) /* in an order that leaves holes first */
        vk_buf_destroy(&bufs[i * 37 % N]);
    assert_int_equal(reserved(), at_start);
    assert_int_equal(used(), in_use);
}

static void holes_are_used_again(void **state)
{
    struct vk_device *dev = test_device();
    struct vk_buf a, b, c, d;
    (void)state;
    assert_ok(vk_buf_create(&a, dev, 4096, VK_BUF_DEVICE, "a"));
    assert_ok(vk_buf_create(&b, dev, 4096, VK_BUF_DEVICE, "b"));
    assert_ok(vk_buf_create(&c, dev, 4096, VK_BUF_DEVICE, "c"));
    uint64_t hole = b.p->offset;
    vk_buf_destroy(&b);
    assert_ok(vk_buf_create(&d, dev, 4096, VK_BUF_DEVICE, "d"));
    assert_int_equal(d.p->offset, hole);
    vk_buf_destroy(&a);
    vk_buf_destroy(&c);
    vk_buf_destroy(&d);
}

static void large_buffers_get_slabs_of_their_size(void **state)
{
    struct vk_device *dev = test_device();
    uint64_t before = reserved(), size = vk_buf_max(dev) / 2 + 256;
    struct vk_buf b;
    (void)state;
    assert_ok(vk_buf_create(&b, dev, size, VK_BUF_DEVICE, "large"));
    assert_true(reserved() - before < size + 65536);
    vk_buf_destroy(&b);
    assert_int_equal(reserved(), before);
}

static void no_slab_exceeds_the_allocation_limit(void **state)
{
    struct vk_device *dev = test_device();
    uint64_t limit = dev->caps.max_allocation, before = reserved();
    struct vk_buf b;
    (void)state;
    dev->caps.max_allocation = 1 << 20; /* as if the device had less */
    assert_true(vk_buf_max(dev) <= 1 << 20);
    assert_ok(vk_buf_create(&b, dev, 1000, VK_BUF_DEVICE, "b"));
    assert_true(reserved() - before <= 1 << 20);
    vk_buf_destroy(&b);
    dev->caps.max_allocation = limit;
}

static void a_full_device_is_told_with_numbers(void **state)
{
    struct vk_device *dev = test_device();
    struct vk_buf b;
    uint64_t before = used();
    (void)state;
    vk_mem_test_fail_after(dev, 1);
    assert_ok(vk_buf_create(&b, dev, 1000, VK_BUF_DEVICE, "fits"));
    vk_buf_destroy(&b);
    assert_fails(vk_buf_create(&b, dev, 5 << 20, VK_BUF_DEVICE, "geometry"), FV_EGPUMEM,
                 "5.0 MiB for \"geometry\"");
    assert_null(b.p);
    assert_non_null(strstr(fv_error(), "in use"));
    assert_non_null(strstr(fv_error(), dev->caps.name));
    assert_non_null(strstr(fv_error(), "close other programs"));
    assert_ok(vk_buf_create(&b, dev, 1000, VK_BUF_DEVICE, "fits again"));
    vk_buf_destroy(&b);
    vk_mem_test_fail_after(dev, -1);
    assert_int_equal(used(), before);
}

static void a_request_above_the_heap_is_refused(void **state)
{
    struct vk_device *dev = test_device();
    VkPhysicalDeviceMemoryProperties real = dev->p->memory;
    struct vk_buf b;
    (void)state;
    for (uint32_t i = 0; i < VK_MAX_MEMORY_HEAPS; i++)
        dev->p->memory.memoryHeaps[i].size = 1 << 20;
    assert_fails(vk_buf_create(&b, dev, 2 << 20, VK_BUF_DEVICE, "b"), FV_EGPUMEM, "\"b\"");
    assert_ok(vk_buf_create(&b, dev, 1000, VK_BUF_DEVICE, "b")); /* smaller slabs, then */
    vk_buf_destroy(&b);
    dev->p->memory = real;
}

/* No driver here has memory that is not coherent; with the flag hidden the code treats it so,
 * and the validation layer checks the ranges it flushes. */
static void flushes_whole_atoms(void **state)
{
    struct vk_device *dev = test_device();
    VkPhysicalDeviceMemoryProperties real = dev->p->memory;
    uint64_t atom = dev->caps.atom_size, seed = 9;
    struct vk_buf bufs[16];
    (void)state;
    for (uint32_t i = 0; i < VK_MAX_MEMORY_TYPES; i++)
        dev->p->memory.memoryTypes[i].propertyFlags &=
            ~(uint32_t)VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    for (int i = 0; i < 16; i++) {
        assert_ok(vk_buf_create(&bufs[i], dev, 1 + test_rand(&seed) % 3000,
                                i % 2 ? VK_BUF_UPLOAD : VK_BUF_READBACK, "b"));
        assert_false(bufs[i].coherent);
        assert_int_equal(bufs[i].p->offset % atom, 0);
        assert_int_equal(bufs[i].p->alloc_size % atom, 0);
    }
    for (int i = 0; i < 500; i++) {
        struct vk_buf *b = &bufs[i % 16];
        uint64_t at = test_rand(&seed) % b->size, n = test_rand(&seed) % (b->size - at + 1);
        assert_ok(vk_buf_flush(b, at, n));
        assert_ok(vk_buf_invalidate(b, at, n));
    }
    for (int i = 0; i < 16; i++)
        vk_buf_destroy(&bufs[i]);
    dev->p->memory = real;
}

static void destroying_waits_for_the_device(void **state)
{
    struct vk_device *dev = test_device();
    struct vk_buf b;
    struct vk_cmd *cmd;
    uint64_t ticket;
    (void)state;
    assert_ok(vk_cmd_create(&cmd, dev));
    assert_ok(vk_buf_create(&b, dev, 16 << 20, VK_BUF_DEVICE, "b"));
    vk_cmd_begin(cmd);
    for (uint32_t i = 0; i < 20; i++)
        vk_cmd_fill(cmd, &b, 0, b.size, i);
    assert_ok(vk_cmd_submit(cmd, &ticket));
    vk_buf_destroy(&b); /* the validation layer would object if it did not */
    assert_true(vk_done(dev, ticket));
    vk_cmd_destroy(&cmd);
}

static void views_are_made_once(void **state)
{
    struct vk_device *dev = test_device();
    struct vk_buf b;
    VkBufferView a, c, d, e;
    (void)state;
    assert_ok(vk_buf_create(&b, dev, 4096, VK_BUF_DEVICE, "b"));
    assert_ok(vk_buf_view(&a, &b, VK_FORMAT_R32_UINT, 0, 4096));
    assert_ok(vk_buf_view(&c, &b, VK_FORMAT_R32_UINT, 0, 4096));
    assert_ok(vk_buf_view(&d, &b, VK_FORMAT_R32_SFLOAT, 0, 4096));
    assert_ok(vk_buf_view(&e, &b, VK_FORMAT_R32_UINT, 1024, 1024));
    assert_true(a == c && a != d && a != e && d != e);
    assert_fails(vk_buf_view(&a, &b, VK_FORMAT_D16_UNORM, 0, 2), FV_EUNSUPPORTED, "VkFormat");
    vk_buf_destroy(&b);
}

static void texel_sizes(void **state)
{
    static const struct {
        VkFormat format;
        uint32_t bytes;
    } cases[] = {{VK_FORMAT_UNDEFINED, 0},
                 {VK_FORMAT_R4G4_UNORM_PACK8, 0},
                 {VK_FORMAT_R8_UINT, 1},
                 {VK_FORMAT_R8G8_UNORM, 2},
                 {VK_FORMAT_R8G8B8_UNORM, 0},
                 {VK_FORMAT_R8G8B8A8_UINT, 4},
                 {VK_FORMAT_A2B10G10R10_UNORM_PACK32, 4},
                 {VK_FORMAT_R16_SFLOAT, 2},
                 {VK_FORMAT_R16G16_SFLOAT, 4},
                 {VK_FORMAT_R16G16B16_SFLOAT, 0},
                 {VK_FORMAT_R16G16B16A16_SFLOAT, 8},
                 {VK_FORMAT_R32_SFLOAT, 4},
                 {VK_FORMAT_R32G32_UINT, 8},
                 {VK_FORMAT_R32G32B32_SFLOAT, 0},
                 {VK_FORMAT_R32G32B32A32_SFLOAT, 16},
                 {VK_FORMAT_R64_UINT, 0},
                 {VK_FORMAT_D32_SFLOAT, 0},
                 {VK_FORMAT_BC1_RGB_UNORM_BLOCK, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(vk_format_bytes(cases[i].format), cases[i].bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(creates_every_kind),
        cmocka_unit_test(rejects_bad_sizes),
        cmocka_unit_test(large_buffers_exceed_a_binding),
        cmocka_unit_test(rejects_ranges_outside),
        cmocka_unit_test(buffers_never_overlap),
        cmocka_unit_test(threads_share_the_allocator),
        cmocka_unit_test(small_buffers_share_a_slab_and_empty_slabs_go),
        cmocka_unit_test(holes_are_used_again),
        cmocka_unit_test(large_buffers_get_slabs_of_their_size),
        cmocka_unit_test(no_slab_exceeds_the_allocation_limit),
        cmocka_unit_test(a_full_device_is_told_with_numbers),
        cmocka_unit_test(a_request_above_the_heap_is_refused),
        cmocka_unit_test(flushes_whole_atoms),
        cmocka_unit_test(destroying_waits_for_the_device),
        cmocka_unit_test(views_are_made_once),
        cmocka_unit_test(texel_sizes),
    };
    test_device();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_done();
    return failed;
}

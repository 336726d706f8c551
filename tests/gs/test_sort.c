/* The prefix sums and radix sorts of both designs against plain C. */
#include "support/test.h"

#include "gs/gpu.h"
#include "vk/xfer.h"

static struct vk_device *dev;
static struct gs_renderer *r;

static void run(struct vk_cmd *cmd)
{
    uint64_t ticket;
    assert_ok(vk_cmd_submit(cmd, &ticket));
    assert_ok(vk_wait(dev, ticket));
}

static void scans(void **state)
{
    (void)state;
    static const uint32_t counts[] = {1, 7, 8, 63, 255, 256, 4095, 4096, 4097, 70001, 300000};
    struct vk_cmd *cmd;
    uint64_t seed = 1;
    assert_ok(vk_cmd_create(&cmd, dev));
    for (size_t t = 0; t < sizeof counts / sizeof *counts; t++)
        for (int wide = !r->lanes; wide < 2; wide++) {
            uint32_t n = counts[t], sum = 0, ctl[GS_CTL_WORDS];
            struct vk_buf value, prefix;
            uint32_t *in = malloc(4 * (size_t)n), *out = malloc(4 * ((size_t)n + 1));
            for (uint32_t i = 0; i < n; i++)
                in[i] = test_rand(&seed) % 5;
            assert_ok(vk_buf_create(&value, dev, 4ull * n, VK_BUF_DEVICE, "value"));
            assert_ok(vk_buf_create(&prefix, dev, 4ull * (n + 1), VK_BUF_DEVICE, "prefix"));
            assert_ok(vk_upload(&value, 0, in, 4ull * n));
            vk_cmd_begin(cmd);
            vk_cmd_fill(cmd, &r->ctl, 0, 4 * GS_CTL_WORDS, 0);
            gs_record_scan(r, cmd, &value, &prefix, n, GS_CTL_VISIBLE, n / 2, wide);
            run(cmd);
            assert_ok(vk_download(out, &prefix, 0, 4ull * (n + 1)));
            assert_ok(vk_download(ctl, &r->ctl, 0, sizeof ctl));
            for (uint32_t i = 0; i <= n; i++) {
                if (out[i] != sum)
                    fail_msg("wide %d, %u values: prefix[%u] = %u, expected %u", wide, n, i, out[i],
                             sum);
                sum += i < n ? in[i] : 0;
            }
            assert_int_equal(ctl[GS_CTL_VISIBLE], sum < n / 2 ? sum : n / 2);
            assert_int_equal(ctl[GS_CTL_FLAGS], sum > n / 2 ? GS_FLAG_SLICE : 0);
            vk_buf_destroy(&value);
            vk_buf_destroy(&prefix);
            free(in);
            free(out);
        }
    vk_cmd_destroy(&cmd);
}

static const uint32_t *sort_key;
static int by_key(const void *a, const void *b)
{
    uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    if (sort_key[2 * i] != sort_key[2 * j])
        return sort_key[2 * i] < sort_key[2 * j] ? -1 : 1;
    return i < j ? -1 : i > j;
}

/* Stable: equal keys keep their order. */
static void sorts(void **state)
{
    (void)state;
    static const uint32_t counts[] = {0, 1, 5, 300, 4096, 5000, 66666};
    struct vk_cmd *cmd;
    uint64_t seed = 3;
    assert_ok(vk_cmd_create(&cmd, dev));
    for (size_t t = 0; t < sizeof counts / sizeof *counts; t++)
        for (int form = 0; form < 4; form++) {
            bool wide = form & 1, exact = form & 2;
            uint32_t n = counts[t], bits = exact ? 30 : 20;
            struct gs_plan plan = {.slots = 70016};
            if (!wide && !r->lanes)
                continue;
            uint32_t *pair = malloc(8ull * (n + 1)), *want = malloc(4ull * (n + 1)),
                     *got = malloc(4ull * (n + 1));
            for (uint32_t i = 0; i < n; i++) {
                pair[2 * i] = test_rand(&seed) & ((1u << bits) - 1);
                if (i % 3 == 0)
                    pair[2 * i] &= 0xff;
                pair[2 * i + 1] = want[i] = i;
            }
            sort_key = pair;
            qsort(want, n, 4, by_key);
            if (n)
                assert_ok(vk_upload(&r->pair, 0, pair, 8ull * n));
            assert_ok(vk_upload(&r->ctl, 4 * GS_CTL_VISIBLE, &n, 4));
            vk_cmd_begin(cmd);
            gs_record_depth_sort(r, cmd, &plan, exact, wide);
            run(cmd);
            if (n)
                assert_ok(vk_download(got, &r->order, 0, 4ull * n));
            for (uint32_t i = 0; i < n; i++)
                if (got[i] != want[i])
                    fail_msg("wide %d exact %d, %u pairs: order[%u] = %u, expected %u", wide, exact,
                             n, i, got[i], want[i]);
            free(pair);
            free(want);
            free(got);
        }
    vk_cmd_destroy(&cmd);
}

static int setup(void **state)
{
    (void)state;
    dev = test_device();
    struct gs_view v = {.width = 64, .height = 64};
    struct gs_gpu_scene s = {.count = 70000, .block_count = 547};
    int rc = gs_renderer_create(&r, dev);
    for (int wide = 0; wide < 2 && !rc; wide++) {
        struct gs_plan plan = {.wide = wide, .pixels = 64 * 64};
        if (wide || r->lanes)
            rc = gs_raster_reserve(r, &s, &v, &plan);
    }
    if (!rc) /* part sums of the longest scan below */
        rc = gs_reserve(r, &r->part_sum, 4096, "scan parts");
    return rc;
}

static int teardown(void **state)
{
    (void)state;
    gs_renderer_destroy(&r);
    test_device_done();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scans),
        cmocka_unit_test(sorts),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

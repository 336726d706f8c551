/* Named passes (vk/prof.c). */
#include "vk/probe.h"
#include "vk/base/thread.h"

static void record_passes(struct vk_cmd *cmd, const struct vk_buf *a, const struct vk_buf *b)
{
    vk_cmd_begin(cmd);
    vk_cmd_fill(cmd, b, 0, b->size, 0);
    for (int i = 0; i < 3; i++) {
        vk_cmd_scope(cmd, "clear");
        vk_cmd_fill(cmd, b, 0, b->size, 0);
        vk_cmd_scope(cmd, "work");
        for (int k = 0; k < 20; k++)
            probe(cmd, a, b, N, 1);
    }
    vk_cmd_scope(cmd, "empty");
}

static void passes_are_timed(void **state)
{
    struct vk_buf a = new_buf(4 * N, "a"), b = new_buf(4 * N, "b");
    static float ones[N], want[N];
    struct vk_cmd *cmd = new_cmd();
    struct vk_pass_time t[8];
    (void)state;
    for (int i = 0; i < N; i++)
        ones[i] = 1, want[i] = 20;
    assert_ok(vk_upload(&a, 0, ones, sizeof ones));
    for (int split = 0; split < 2; split++) {
        vk_cmd_split(cmd, split);
        record_passes(cmd, &a, &b);
        assert_int_equal(vk_cmd_times(cmd, t, 8), 0); /* nothing before it is done */
        double began = fv_now();
        finish(cmd);
        double wall = 1e3 * (fv_now() - began);
        assert_int_equal(vk_cmd_times(cmd, t, 8), 3);
        assert_string_equal(t[0].name, "clear");
        assert_string_equal(t[1].name, "work");
        assert_string_equal(t[2].name, "empty");
        assert_true(t[1].gpu_ms > 0 && t[1].gpu_ms > t[2].gpu_ms);
        for (int i = 0; i < 3; i++) {
            assert_true(t[i].gpu_ms >= 0 && t[i].gpu_ms < 10000);
            if (split)
                assert_true(t[i].wall_ms > 0 && t[i].cpu_ms > 0 && t[i].wall_ms >= t[i].gpu_ms);
            else
                assert_true(t[i].wall_ms == 0 && t[i].cpu_ms == 0 && t[i].gpu_ms <= wall);
        }
        expect_floats(&b, want, N);
        assert_int_equal(vk_cmd_times(cmd, t, 1), 1); /* room for one */
        assert_string_equal(t[0].name, "clear");
    }
    vk_cmd_destroy(&cmd);
    vk_buf_destroy(&a);
    vk_buf_destroy(&b);
}

static void many_passes(void **state)
{
    struct vk_buf b = new_buf(4096, "b");
    struct vk_cmd *cmd = new_cmd();
    struct vk_pass_time t[4];
    (void)state;
    for (int round = 0; round < 3; round++) {
        vk_cmd_begin(cmd);
        for (int i = 0; i < 300; i++) { /* more timestamps than a pool holds */
            vk_cmd_scope(cmd, i % 2 ? "odd" : "even");
            vk_cmd_fill(cmd, &b, 0, 4096, 1);
        }
        finish(cmd);
        assert_int_equal(vk_cmd_times(cmd, t, 4), 2);
        assert_true(t[0].gpu_ms > 0 && t[1].gpu_ms > 0);
    }
    vk_cmd_destroy(&cmd);
    vk_buf_destroy(&b);
}

static void without_timestamps_passes_take_no_time(void **state)
{
    struct vk_device *dev = test_device();
    struct vk_buf b = new_buf(4096, "b");
    struct vk_cmd *cmd = new_cmd();
    struct vk_pass_time t[4];
    bool had = dev->caps.timestamps;
    (void)state;
    dev->caps.timestamps = false;
    vk_cmd_scope(cmd, "fill");
    vk_cmd_fill(cmd, &b, 0, 4096, 1);
    finish(cmd);
    assert_int_equal(vk_cmd_times(cmd, t, 4), 1);
    assert_true(t[0].gpu_ms == 0);
    dev->caps.timestamps = had;
    vk_cmd_destroy(&cmd);
    vk_buf_destroy(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passes_are_timed),
        cmocka_unit_test(many_passes),
        cmocka_unit_test(without_timestamps_passes_take_no_time),
    };
    test_device();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_done();
    return failed;
}

/* Recording and submission (vk/cmd.c, hazard.c, prof.c, queue.c). */
#include "support/test.h"
#include "vk/cmd.h"
#include "vk/xfer.h"

struct push {
    uint32_t count;
    float scale;
};

static const struct vk_pipe *probe(struct vk_device *dev)
{
    const struct vk_pipe *pipe;
    assert_ok(vk_pipe_get(&pipe, dev, "vk/probe", (uint32_t[]){64}, 1, 0));
    return pipe;
}

/* out = a * scale + out, a hundred times in a row: every dispatch depends on the one before. */
static void chain_of_dispatches(void **state)
{
    struct vk_device *dev = test_device();
    enum { N = 10000, STEPS = 100 };
    static float data[N], result[N];
    struct vk_buf a, b;
    struct vk_cmd *cmd;
    (void)state;
    for (int i = 0; i < N; i++)
        data[i] = (float)(i % 7);
    assert_ok(vk_buf_create(&a, dev, sizeof data, VK_BUF_DEVICE, "a"));
    assert_ok(vk_buf_create(&b, dev, sizeof data, VK_BUF_DEVICE, "b"));
    assert_ok(vk_upload(&a, 0, data, sizeof data));
    assert_ok(vk_cmd_create(&cmd, dev));
    const struct vk_pipe *pipe = probe(dev);
    vk_cmd_begin(cmd);
    vk_cmd_fill(cmd, &b, 0, sizeof data, 0);
    for (int i = 0; i < STEPS; i++)
        vk_cmd_dispatch(cmd, pipe, (struct vk_bind[]){{.buf = &a}, {.buf = &b}}, 2,
                        &(struct push){N, 1}, 8, (N + 63) / 64, 1, 1);
    uint64_t ticket;
    assert_ok(vk_cmd_submit(cmd, &ticket));
    assert_ok(vk_wait(dev, ticket));
    assert_true(vk_done(dev, ticket));
    assert_ok(vk_download(result, &b, 0, sizeof result));
    for (int i = 0; i < N; i++)
        assert_true(result[i] == (float)STEPS * data[i]);
    vk_cmd_destroy(&cmd);
    vk_buf_destroy(&a);
    vk_buf_destroy(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chain_of_dispatches),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_done();
    return failed;
}

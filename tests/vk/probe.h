/* What the tests of recording share: vk/probe and small helpers around it. */
#ifndef TESTS_VK_PROBE_H
#define TESTS_VK_PROBE_H

#include "support/test.h"
#include "vk/cmd_private.h"
#include "vk/xfer.h"

enum { N = 10000 };

struct probe_push {
    uint32_t count;
    float scale;
};

static inline const struct vk_pipe *pipe_of(const char *name)
{
    const struct vk_pipe *pipe;
    assert_ok(vk_pipe_get(&pipe, test_device(), name, (uint32_t[]){64}, 1, 0));
    return pipe;
}

static inline struct vk_cmd *new_cmd(void)
{
    struct vk_cmd *cmd;
    assert_ok(vk_cmd_create(&cmd, test_device()));
    vk_cmd_begin(cmd);
    return cmd;
}

static inline struct vk_buf new_buf(uint64_t size, const char *label)
{
    struct vk_buf b;
    assert_ok(vk_buf_create(&b, test_device(), size, VK_BUF_DEVICE, label));
    return b;
}

static inline void finish(struct vk_cmd *cmd)
{
    uint64_t ticket = 0;
    assert_ok(vk_cmd_submit(cmd, &ticket));
    assert_true(ticket > 0);
    assert_ok(vk_wait(test_device(), ticket));
    assert_true(vk_done(test_device(), ticket));
}

/* out += a * scale over n floats. */
static inline void probe(struct vk_cmd *cmd, const struct vk_buf *a, const struct vk_buf *out,
                         uint32_t n, float scale)
{
    vk_cmd_dispatch(cmd, pipe_of("vk/probe"), (struct vk_bind[]){{.buf = a}, {.buf = out}}, 2,
                    &(struct probe_push){n, scale}, sizeof(struct probe_push), (n + 63) / 64, 1, 1);
}

static inline void expect_floats(const struct vk_buf *b, const float *want, size_t n)
{
    float *got = malloc(4 * n);
    assert_ok(vk_download(got, b, 0, 4 * n));
    for (size_t i = 0; i < n; i++)
        if (got[i] != want[i])
            fail_msg("[%zu] = %g, expected %g", i, (double)got[i], (double)want[i]);
    free(got);
}

static inline void expect_word(const struct vk_buf *b, uint64_t offset, uint32_t want)
{
    uint32_t got;
    assert_ok(vk_download(&got, b, offset, 4));
    if (got != want)
        fail_msg("word at %llu = %u, expected %u", (unsigned long long)offset, got, want);
}

#endif

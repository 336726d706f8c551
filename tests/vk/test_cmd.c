/* Recording and submission (vk/cmd.c, queue.c). */
#include "vk/probe.h"
#include "vk/base/thread.h"

/* --- kinds of binding --- */

static void texels_and_uniforms(void **state)
{
    enum { COUNT = 1000, FIRST = 64 }; /* 64 texels = 1024 bytes: aligned everywhere */
    static uint32_t words[4 * COUNT], got[COUNT];
    struct vk_buf t = new_buf(sizeof words, "texels"), out = new_buf(sizeof got, "out");
    struct vk_buf params = new_buf(8, "params");
    struct vk_cmd *cmd = new_cmd();
    (void)state;
    for (uint32_t i = 0; i < 4 * COUNT; i++)
        words[i] = i;
    assert_ok(vk_upload(&t, 0, words, sizeof words));
    for (int part = 0; part < 2; part++) {
        uint32_t first = part ? FIRST : 0, n = part ? 500 : COUNT;
        vk_cmd_begin(cmd);
        vk_cmd_fill(cmd, &out, 0, out.size, 0);
        vk_cmd_update(cmd, &params, 0, (uint32_t[]){n, 7}, 8);
        struct vk_bind binds[] = {{.buf = &t,
                                   .offset = 16 * first,
                                   .range = part ? 16 * n : 0,
                                   .format = VK_FORMAT_R32G32B32A32_UINT},
                                  {.buf = &out},
                                  {.buf = &params},
                                  {.buf = NULL}}; /* binding 3 was optimised away */
        vk_cmd_dispatch(cmd, pipe_of("vk/probe_texel"), binds, 4, NULL, 0, (n + 63) / 64, 1, 1);
        finish(cmd);
        assert_ok(vk_download(got, &out, 0, sizeof got));
        for (uint32_t i = 0; i < COUNT; i++)
            assert_int_equal(got[i], i < n ? 16 * (first + i) + 6 + 7 : 0);
    }
    vk_cmd_destroy(&cmd);
    vk_buf_destroy(&t);
    vk_buf_destroy(&out);
    vk_buf_destroy(&params);
}

static void storage_texels(void **state)
{
    uint32_t words[64], got[64];
    struct vk_buf t, plain = new_buf(sizeof words, "plain");
    struct vk_cmd *cmd = new_cmd();
    (void)state;
    assert_ok(vk_buf_create(&t, test_device(), sizeof words, VK_BUF_TEXELS, "texels"));
    for (uint32_t i = 0; i < 64; i++)
        words[i] = i;
    assert_ok(vk_upload(&t, 0, words, sizeof words));
    vk_cmd_begin(cmd);
    for (int times = 0; times < 2; times++) /* the second reads what the first wrote */
        vk_cmd_dispatch(cmd, pipe_of("vk/probe_image"),
                        &(struct vk_bind){.buf = &t, .format = VK_FORMAT_R32_UINT}, 1, NULL, 0, 1,
                        1, 1);
    finish(cmd);
    assert_ok(vk_download(got, &t, 0, sizeof got));
    for (uint32_t i = 0; i < 64; i++)
        assert_int_equal(got[i], 16 * i);
    vk_cmd_begin(cmd);
    vk_cmd_dispatch(cmd, pipe_of("vk/probe_image"),
                    &(struct vk_bind){.buf = &plain, .format = VK_FORMAT_R32_UINT}, 1, NULL, 0, 1,
                    1, 1);
    assert_fails(vk_cmd_submit(cmd, NULL), FV_EINVALID, "not made for texels");
    vk_cmd_destroy(&cmd);
    vk_buf_destroy(&t);
    vk_buf_destroy(&plain);
}

/* Formats of fewer bytes, on buffers whose size is no multiple of a texel. */
static void texel_formats(void **state)
{
    static const struct {
        VkFormat format;
        uint64_t size;
        uint32_t count, first, last; /* sums of the components of the first and last texel */
    } cases[] = {{VK_FORMAT_R8_UINT, 5, 5, 1, 5},
                 {VK_FORMAT_R8G8B8A8_UINT, 8, 2, 10, 26},
                 {VK_FORMAT_R16G16_UINT, 8, 2, 0x201 + 0x403, 0x605 + 0x807},
                 {VK_FORMAT_R32G32_UINT, 16, 2, 0x04030201 + 0x08070605, 0x0c0b0a09 + 0x100f0e0d}};
    uint8_t bytes[16];
    (void)state;
    for (int i = 0; i < 16; i++)
        bytes[i] = (uint8_t)(i + 1);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct vk_buf t = new_buf(cases[k].size, "texels"), out = new_buf(64, "out");
        struct vk_buf params = new_buf(8, "params");
        struct vk_cmd *cmd = new_cmd();
        uint32_t one = VK_FORMAT_R8_UINT == cases[k].format ||
                       VK_FORMAT_R16G16_UINT == cases[k].format ||
                       VK_FORMAT_R32G32_UINT == cases[k].format; /* alpha reads as 1 */
        assert_ok(vk_upload(&t, 0, bytes, cases[k].size));
        vk_cmd_update(cmd, &params, 0, (uint32_t[]){cases[k].count, 0}, 8);
        struct vk_bind binds[] = {
            {.buf = &t, .format = cases[k].format}, {.buf = &out}, {.buf = &params}};
        vk_cmd_dispatch(cmd, pipe_of("vk/probe_texel"), binds, 3, NULL, 0, 1, 1, 1);
        finish(cmd);
        expect_word(&out, 0, cases[k].first + one);
        expect_word(&out, 4 * (cases[k].count - 1), cases[k].last + one);
        vk_cmd_destroy(&cmd);
        vk_buf_destroy(&t);
        vk_buf_destroy(&out);
        vk_buf_destroy(&params);
    }
}

static void indirect_arguments(void **state)
{
    struct vk_buf a = new_buf(4 * N, "a"), b = new_buf(4 * N, "b"), args = new_buf(256, "args");
    struct vk_bind binds[] = {{.buf = &a}, {.buf = &b}};
    static float ones[N], want[N];
    struct vk_cmd *cmd = new_cmd();
    struct probe_push push = {N, 1};
    uint32_t groups = 5;
    (void)state;
    for (int i = 0; i < N; i++)
        ones[i] = 1;
    assert_ok(vk_upload(&a, 0, ones, sizeof ones));
    vk_cmd_fill(cmd, &b, 0, b.size, 0);
    vk_cmd_update(cmd, &args, 16, (uint32_t[]){3, 1, 1}, 12); /* transfer, then indirect */
    vk_cmd_dispatch_indirect(cmd, pipe_of("vk/probe"), binds, 2, &push, sizeof push, &args, 16);
    vk_cmd_dispatch(cmd, pipe_of("vk/probe_args"), (struct vk_bind[]){{.buf = &args}}, 1, &groups,
                    sizeof groups, 1, 1, 1); /* compute, then indirect */
    vk_cmd_dispatch_indirect(cmd, pipe_of("vk/probe"), binds, 2, &push, sizeof push, &args, 0);
    vk_cmd_fill(cmd, &args, 0, 12, 0); /* the write waits for the read; then no groups at all */
    vk_cmd_dispatch_indirect(cmd, pipe_of("vk/probe"), binds, 2, &push, sizeof push, &args, 0);
    finish(cmd);
    for (int i = 0; i < N; i++)
        want[i] = (float)((i < 3 * 64) + (i < 5 * 64));
    expect_floats(&b, want, N);
    vk_cmd_destroy(&cmd);
    vk_buf_destroy(&a);
    vk_buf_destroy(&b);
    vk_buf_destroy(&args);
}

static void large_fill_and_copy(void **state)
{
    struct vk_device *dev = test_device();
    uint64_t size = vk_buf_max(dev) < 100 << 20 ? vk_buf_max(dev) : 100 << 20;
    struct vk_buf a = new_buf(size, "a"), b = new_buf(size, "b");
    struct vk_cmd *cmd = new_cmd();
    (void)state;
    vk_cmd_fill(cmd, &a, 0, size, 0x01020304);
    vk_cmd_fill(cmd, &a, size / 2, 4, 9);
    vk_cmd_copy(cmd, &b, 4, &a, 0, size - 4);
    vk_cmd_copy(cmd, &b, 1, &a, 0, 3); /* bytes, unaligned */
    finish(cmd);
    expect_word(&b, 4, 0x01020304);
    expect_word(&b, size / 2 + 4, 9);
    expect_word(&b, size - 4, 0x01020304);
    expect_word(&b, 1, 0x04020304);
    vk_cmd_destroy(&cmd);
    vk_buf_destroy(&a);
    vk_buf_destroy(&b);
}

/* Readback without staging: host-visible after the wait, in READBACK memory. */
static void readback_buffers(void **state)
{
    struct vk_device *dev = test_device();
    struct vk_buf a = new_buf(4096, "a"), host, up;
    struct vk_cmd *cmd = new_cmd();
    (void)state;
    assert_ok(vk_buf_create(&host, dev, 4096, VK_BUF_READBACK, "host"));
    assert_ok(vk_buf_create(&up, dev, 4096, VK_BUF_UPLOAD, "up"));
    memset(host.map, 0, 4096);
    memset(up.map, 0x33, 4096);
    assert_ok(vk_buf_flush(&up, 0, 4096));
    vk_cmd_copy(cmd, &a, 0, &up, 0, 4096);
    vk_cmd_fill(cmd, &a, 0, 4, 1);
    vk_cmd_copy(cmd, &host, 0, &a, 0, 4096);
    finish(cmd);
    assert_ok(vk_buf_invalidate(&host, 0, 4096));
    assert_int_equal(*(uint32_t *)host.map, 1);
    assert_int_equal(((unsigned char *)host.map)[4095], 0x33);
    vk_cmd_destroy(&cmd);
    vk_buf_destroy(&a);
    vk_buf_destroy(&host);
    vk_buf_destroy(&up);
}

static void raw_commands_are_fenced(void **state)
{
    struct vk_buf a = new_buf(4096, "a"), b = new_buf(4096, "b");
    struct vk_cmd *cmd = new_cmd();
    (void)state;
    vk_cmd_fill(cmd, &a, 0, 4096, 5);
    VkCommandBuffer raw = vk_cmd_raw_begin(cmd);
    assert_true(raw != VK_NULL_HANDLE);
    vkCmdCopyBuffer(raw, a.handle, b.handle, 1, &(VkBufferCopy){.size = 4096});
    vk_cmd_raw_end(cmd);
    vk_cmd_copy(cmd, &a, 0, &b, 4, 4);
    vk_cmd_fill(cmd, &b, 0, 4, 6);
    finish(cmd);
    expect_word(&a, 0, 5);
    expect_word(&b, 0, 6);
    expect_word(&b, 4092, 5);
    vk_cmd_begin(cmd);
    vk_cmd_raw_begin(cmd);
    vk_cmd_fill(cmd, &a, 0, 4, 1);
    vk_cmd_raw_end(cmd);
    assert_fails(vk_cmd_submit(cmd, NULL), FV_EINVALID, "vk_cmd_raw_end");
    vk_cmd_destroy(&cmd);
    vk_buf_destroy(&a);
    vk_buf_destroy(&b);
}

static void many_dispatches_in_one_recording(void **state)
{
    struct vk_buf a = new_buf(4 * 64, "a"), b = new_buf(4 * 64, "b");
    struct vk_cmd *cmd = new_cmd();
    float ones[64], want[64];
    (void)state;
    for (int i = 0; i < 64; i++)
        ones[i] = 1, want[i] = 3000;
    assert_ok(vk_upload(&a, 0, ones, sizeof ones));
    for (int round = 0; round < 2; round++) { /* the pools are used again */
        vk_cmd_begin(cmd);
        vk_cmd_fill(cmd, &b, 0, b.size, 0);
        for (int i = 0; i < 3000; i++)
            probe(cmd, &a, &b, 64, 1);
        finish(cmd);
        expect_floats(&b, want, 64);
    }
    assert_true(cmd->set_pools > 1 && cmd->set_pools < VK_DESCRIPTOR_POOLS);
    vk_cmd_destroy(&cmd);
    vk_buf_destroy(&a);
    vk_buf_destroy(&b);
}

/* --- failures --- */

struct fixture {
    struct vk_cmd *cmd;
    struct vk_buf a, b;
    const struct vk_pipe *probe, *texel;
    struct probe_push push;
};

static void dispatch(struct fixture *f, struct vk_bind first, struct vk_bind second)
{
    vk_cmd_dispatch(f->cmd, f->probe, (struct vk_bind[]){first, second}, 2, &f->push, 8, 1, 1, 1);
}

static void texel(struct fixture *f, VkFormat format, uint64_t offset, uint64_t range)
{
    struct vk_bind binds[] = {{.buf = &f->a, .offset = offset, .range = range, .format = format},
                              {.buf = &f->b},
                              {.buf = &f->b, .offset = 256}};
    vk_cmd_dispatch(f->cmd, f->texel, binds, 3, NULL, 0, 1, 1, 1);
}

static void bad_no_buffer(struct fixture *f)
{
    dispatch(f, (struct vk_bind){.buf = &f->a}, (struct vk_bind){.buf = NULL});
}
static void bad_destroyed_buffer(struct fixture *f)
{
    static const struct vk_buf gone;
    dispatch(f, (struct vk_bind){.buf = &gone}, (struct vk_bind){.buf = &f->b});
}
static void bad_range(struct fixture *f)
{
    dispatch(f, (struct vk_bind){.buf = &f->a, .offset = 256, .range = 4096},
             (struct vk_bind){.buf = &f->b});
}
static void bad_end(struct fixture *f)
{
    dispatch(f, (struct vk_bind){.buf = &f->a, .offset = 4096}, (struct vk_bind){.buf = &f->b});
}
static void bad_offset(struct fixture *f)
{
    dispatch(f, (struct vk_bind){.buf = &f->a, .offset = 4}, (struct vk_bind){.buf = &f->b});
}
static void bad_count(struct fixture *f)
{
    vk_cmd_dispatch(f->cmd, f->probe, (struct vk_bind[]){{.buf = &f->a}}, 1, &f->push, 8, 1, 1, 1);
}
static void bad_push(struct fixture *f)
{
    vk_cmd_dispatch(f->cmd, f->probe, (struct vk_bind[]){{.buf = &f->a}, {.buf = &f->b}}, 2,
                    &f->push, 4, 1, 1, 1);
}
static void bad_push_large(struct fixture *f)
{
    char push[64] = {0};
    vk_cmd_dispatch(f->cmd, f->probe, (struct vk_bind[]){{.buf = &f->a}, {.buf = &f->b}}, 2, push,
                    64, 1, 1, 1);
}
static void bad_groups(struct fixture *f)
{
    vk_cmd_dispatch(f->cmd, f->probe, (struct vk_bind[]){{.buf = &f->a}, {.buf = &f->b}}, 2,
                    &f->push, 8, UINT32_MAX, 1, 1);
}
static void bad_pipe(struct fixture *f)
{
    vk_cmd_dispatch(f->cmd, NULL, NULL, 0, NULL, 0, 1, 1, 1);
}
static void bad_format(struct fixture *f)
{
    texel(f, VK_FORMAT_BC1_RGB_UNORM_BLOCK, 0, 0);
}
static void bad_format_missing(struct fixture *f)
{
    texel(f, VK_FORMAT_UNDEFINED, 0, 0);
}
static void bad_texel_offset(struct fixture *f)
{
    texel(f, VK_FORMAT_R32_UINT, 4, 0);
}
static void bad_texel_range(struct fixture *f)
{
    texel(f, VK_FORMAT_R32G32B32A32_UINT, 0, 24);
}
static void bad_texel_count(struct fixture *f)
{
    uint32_t limit = f->cmd->dev->caps.max_texel_elements;
    f->cmd->dev->caps.max_texel_elements = 1000;
    texel(f, VK_FORMAT_R32_UINT, 0, 0);
    f->cmd->dev->caps.max_texel_elements = limit;
}
static void bad_fill(struct fixture *f)
{
    vk_cmd_fill(f->cmd, &f->a, 2, 4, 0);
}
static void bad_fill_range(struct fixture *f)
{
    vk_cmd_fill(f->cmd, &f->a, 4096, 4, 0);
}
static void bad_update(struct fixture *f)
{
    static char data[70000];
    struct vk_buf big = new_buf(70000, "big");
    vk_cmd_update(f->cmd, &big, 0, data, 70000);
    vk_buf_destroy(&big);
}
static void bad_copy(struct fixture *f)
{
    vk_cmd_copy(f->cmd, &f->a, 0, &f->b, 4000, 97);
}
static void bad_copy_overlap(struct fixture *f)
{
    vk_cmd_copy(f->cmd, &f->a, 8, &f->a, 0, 12);
}
static void bad_indirect(struct fixture *f)
{
    vk_cmd_dispatch_indirect(f->cmd, f->probe, (struct vk_bind[]){{.buf = &f->a}, {.buf = &f->b}},
                             2, &f->push, 8, &f->a, 4088);
}
static void bad_by_caller(struct fixture *f)
{
    vk_cmd_fail(f->cmd, fv_fail(FV_EFORMAT, "the caller's own"));
}

static void failures_stick_with_a_sentence(void **state)
{
    static const struct {
        void (*call)(struct fixture *f);
        int code;
        const char *text;
    } cases[] = {
        {bad_no_buffer, FV_EINVALID, "shader \"vk/probe\", binding 1: no buffer"},
        {bad_destroyed_buffer, FV_EINVALID, "binding 0: no buffer"},
        {bad_range, FV_EINVALID, "range 256+4096 is outside buffer \"a\" of 4096"},
        {bad_end, FV_EINVALID, "bound at its end"},
        {bad_offset, FV_EINVALID, "offset 4 of buffer \"a\""},
        {bad_count, FV_EINVALID, "shader \"vk/probe\": 1 bindings given, it has 2"},
        {bad_push, FV_EINVALID, "4 bytes of push constants given, it has 8"},
        {bad_push_large, FV_EINVALID, "64 bytes of push constants"},
        {bad_groups, FV_EINVALID, "4294967295 x 1 x 1 workgroups"},
        {bad_pipe, FV_EINVALID, "without a pipeline"},
        {bad_format, FV_EINVALID, "VkFormat 131"},
        {bad_format_missing, FV_EINVALID, "not a texel format"},
        {bad_texel_offset, FV_EINVALID, "texel range 4+"},
        {bad_texel_range, FV_EINVALID, "0+24"},
        {bad_texel_count, FV_EINVALID, "maxTexelBufferElements"},
        {bad_fill, FV_EINVALID, "fill: range 2+4 of buffer \"a\" is not in multiples of 4"},
        {bad_fill_range, FV_EINVALID, "fill: range 4096+4 is outside"},
        {bad_update, FV_EINVALID, "update of 70000 bytes"},
        {bad_copy, FV_EINVALID, "copy from: range 4000+97"},
        {bad_copy_overlap, FV_EINVALID, "overlaps itself"},
        {bad_indirect, FV_EINVALID, "indirect dispatch: range 4088+12"},
        {bad_by_caller, FV_EFORMAT, "the caller's own"},
    };
    struct fixture f = {.cmd = new_cmd(),
                        .a = new_buf(4096, "a"),
                        .b = new_buf(4096, "b"),
                        .probe = pipe_of("vk/probe"),
                        .texel = pipe_of("vk/probe_texel"),
                        .push = {1, 1}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t ticket = 1;
        vk_cmd_begin(f.cmd);
        cases[i].call(&f);
        bad_pipe(&f); /* the first failure stays */
        vk_cmd_scope(f.cmd, "scope");
        vk_cmd_fill(f.cmd, &f.a, 0, 4, 1);
        assert_null(vk_cmd_raw_begin(f.cmd));
        vk_cmd_raw_end(f.cmd);
        assert_fails(vk_cmd_submit(f.cmd, &ticket), cases[i].code, cases[i].text);
        assert_int_equal(ticket, 0);
        assert_int_equal(vk_cmd_times(f.cmd, NULL, 0), 0);
    }
    vk_cmd_begin(f.cmd); /* and is gone with the next recording */
    vk_cmd_fill(f.cmd, &f.a, 0, 4, 42);
    finish(f.cmd);
    expect_word(&f.a, 0, 42);
    vk_cmd_destroy(&f.cmd);
    vk_buf_destroy(&f.a);
    vk_buf_destroy(&f.b);
}

static void rejects_buffers_of_another_device(void **state)
{
    struct vk_device *other;
    struct vk_buf b;
    struct vk_cmd *cmd = new_cmd();
    (void)state;
    assert_ok(vk_device_create(&other, &(struct vk_device_opts){.select = getenv("FOVEA_DEVICE")}));
    assert_ok(vk_buf_create(&b, other, 64, VK_BUF_DEVICE, "foreign"));
    vk_cmd_fill(cmd, &b, 0, 64, 0);
    assert_fails(vk_cmd_submit(cmd, NULL), FV_EINVALID, "\"foreign\" is of another device");
    vk_buf_destroy(&b);
    vk_device_destroy(&other);
    vk_cmd_destroy(&cmd);
}

static void rejects_commands_outside_a_recording(void **state)
{
    struct vk_buf a = new_buf(64, "a");
    struct vk_cmd *cmd;
    (void)state;
    assert_ok(vk_cmd_create(&cmd, test_device()));
    vk_cmd_fill(cmd, &a, 0, 64, 0);
    assert_fails(vk_cmd_submit(cmd, NULL), FV_EINVALID, "before vk_cmd_begin");
    vk_cmd_begin(cmd);
    finish(cmd); /* an empty recording is fine */
    assert_fails(vk_cmd_submit(cmd, NULL), FV_EINVALID, "before vk_cmd_begin");
    vk_cmd_begin(cmd);
    vk_cmd_fill(cmd, &a, 0, 64, 0);
    vk_cmd_begin(cmd); /* an unfinished one is dropped */
    finish(cmd);
    vk_cmd_destroy(&cmd);
    vk_cmd_destroy(&cmd);
    vk_buf_destroy(&a);
}

static void nothing_is_done_for_nothing(void **state)
{
    struct vk_buf a = new_buf(64, "a"), b = new_buf(64, "b");
    struct vk_cmd *cmd = new_cmd();
    (void)state;
    vk_cmd_fill(cmd, &a, 64, 0, 1);
    vk_cmd_update(cmd, &a, 0, NULL, 0);
    vk_cmd_copy(cmd, &a, 0, &b, 64, 0);
    vk_cmd_dispatch(cmd, pipe_of("vk/probe"), NULL, 0, NULL, 0, 0, 1, 1); /* no groups */
    assert_int_equal(cmd->hazards.count, 0);
    finish(cmd);
    vk_cmd_destroy(&cmd);
    vk_buf_destroy(&a);
    vk_buf_destroy(&b);
}

/* --- tickets --- */

static void tickets_rise_and_finish_in_order(void **state)
{
    struct vk_device *dev = test_device();
    struct vk_buf a = new_buf(8 << 20, "a");
    struct vk_cmd *cmds[4];
    uint64_t tickets[4], last = 0;
    (void)state;
    for (int k = 0; k < 4; k++) {
        cmds[k] = new_cmd();
        vk_cmd_fill(cmds[k], &a, 0, a.size, (uint32_t)k);
        assert_ok(vk_cmd_submit(cmds[k], &tickets[k]));
        assert_true(tickets[k] > last);
        last = tickets[k];
    }
    assert_ok(vk_wait(dev, tickets[2]));
    assert_true(vk_done(dev, tickets[0]) && vk_done(dev, tickets[1]));
    assert_ok(vk_wait(dev, tickets[0])); /* again, and out of order */
    assert_ok(vk_wait(dev, tickets[3]));
    assert_ok(vk_wait(dev, 0));
    assert_fails(vk_wait(dev, last + 1), FV_EINVALID, "never given out");
    assert_false(vk_done(dev, last + 1));
    for (int k = 0; k < 4; k++)
        vk_cmd_destroy(&cmds[k]);
    vk_buf_destroy(&a);
}

static int submit_piece(void *ud, size_t begin, size_t end)
{
    struct vk_device *dev = ud;
    const struct vk_pipe *pipe;
    struct vk_cmd *cmd;
    FV_TRY(vk_pipe_get(&pipe, dev, "vk/probe", (uint32_t[]){64}, 1, 0));
    FV_TRY(vk_cmd_create(&cmd, dev));
    for (size_t i = begin; i < end; i++) {
        struct vk_buf a, b;
        float ones[64], got[64];
        uint64_t ticket;
        for (int k = 0; k < 64; k++)
            ones[k] = (float)i;
        int rc = vk_buf_create(&a, dev, 256, VK_BUF_DEVICE, "a");
        if (!rc)
            rc = vk_buf_create(&b, dev, 256, VK_BUF_DEVICE, "b");
        if (!rc)
            rc = vk_upload(&a, 0, ones, 256);
        vk_cmd_begin(cmd);
        vk_cmd_fail(cmd, rc);
        vk_cmd_fill(cmd, &b, 0, 256, 0);
        for (int k = 0; k < 5; k++)
            vk_cmd_dispatch(cmd, pipe, (struct vk_bind[]){{.buf = &a}, {.buf = &b}}, 2,
                            &(struct probe_push){64, 1}, 8, 1, 1, 1);
        FV_TRY(vk_cmd_submit(cmd, &ticket));
        FV_TRY(vk_wait(dev, ticket));
        FV_TRY(vk_download(got, &b, 0, 256));
        if (got[63] != 5 * (float)i)
            return fv_fail(FV_EINVALID, "thread's result %g", (double)got[63]);
        vk_buf_destroy(&a);
        vk_buf_destroy(&b);
    }
    vk_cmd_destroy(&cmd);
    return 0;
}

static void threads_record_and_submit(void **state)
{
    (void)state;
    assert_ok(fv_parallel(60, 6, submit_piece, test_device()));
}

static void recordings_are_submitted_again(void **state)
{
    float one[8] = {1, 1, 1, 1, 1, 1, 1, 1}, want[8];
    struct vk_buf a = new_buf(32, "a"), sum = new_buf(32, "sum");
    struct vk_cmd *cmd = new_cmd();
    uint64_t ticket, before = 0;
    (void)state;
    finish(cmd);
    assert_fails(vk_cmd_submit_again(cmd, &ticket), FV_EINVALID, "submitted again");
    assert_ok(vk_upload(&a, 0, one, sizeof one));
    vk_cmd_reusable(cmd, true);
    vk_cmd_begin(cmd);
    assert_fails(vk_cmd_submit_again(cmd, &ticket), FV_EINVALID, "submitted again");
    vk_cmd_fill(cmd, &sum, 0, 32, 0);
    vk_cmd_begin(cmd);
    probe(cmd, &a, &sum, 8, 2);
    assert_ok(vk_upload(&sum, 0, (float[8]){0}, 32));
    finish(cmd);
    for (int i = 0; i < 3; i++) {
        assert_ok(vk_cmd_submit_again(cmd, &ticket));
        assert_true(ticket > before);
        before = ticket;
    }
    assert_ok(vk_wait(test_device(), ticket));
    for (int i = 0; i < 8; i++)
        want[i] = 8;
    expect_floats(&sum, want, 8);
    vk_cmd_begin(cmd);
    vk_cmd_fill(cmd, &sum, 0, 64, 0);
    assert_fails(vk_cmd_status(cmd), FV_EINVALID, "outside buffer");
    assert_fails(vk_cmd_submit_again(cmd, &ticket), FV_EINVALID, "outside buffer");
    vk_cmd_destroy(&cmd);
    vk_buf_destroy(&a);
    vk_buf_destroy(&sum);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texels_and_uniforms),
        cmocka_unit_test(storage_texels),
        cmocka_unit_test(texel_formats),
        cmocka_unit_test(indirect_arguments),
        cmocka_unit_test(large_fill_and_copy),
        cmocka_unit_test(readback_buffers),
        cmocka_unit_test(raw_commands_are_fenced),
        cmocka_unit_test(many_dispatches_in_one_recording),
        cmocka_unit_test(failures_stick_with_a_sentence),
        cmocka_unit_test(rejects_buffers_of_another_device),
        cmocka_unit_test(rejects_commands_outside_a_recording),
        cmocka_unit_test(nothing_is_done_for_nothing),
        cmocka_unit_test(tickets_rise_and_finish_in_order),
        cmocka_unit_test(threads_record_and_submit),
        cmocka_unit_test(recordings_are_submitted_again),
    };
    test_device();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_done();
    return failed;
}

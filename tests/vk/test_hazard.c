/* Barriers (vk/hazard.c). With FOVEA_TEST_VALIDATION the synchronisation validation watches every
 * one; without it the results still tell. */
#include "vk/probe.h"

/* Every dispatch depends on the one before: read after write, and write after read. */
static void chain_of_dispatches(void **state)
{
    struct vk_buf a = new_buf(4 * N, "a"), b = new_buf(4 * N, "b"), c = new_buf(4 * N, "c");
    static float x[N], y[N], z[N];
    struct vk_cmd *cmd = new_cmd();
    (void)state;
    for (int i = 0; i < N; i++)
        x[i] = (float)(i % 7 + 1), y[i] = z[i] = 0;
    assert_ok(vk_upload(&a, 0, x, sizeof x));
    vk_cmd_fill(cmd, &b, 0, b.size, 0);
    vk_cmd_fill(cmd, &c, 0, c.size, 0);
    for (int step = 0; step < 40; step++) {
        probe(cmd, &a, &b, N, 1);
        probe(cmd, &b, &c, N, 0.5f);
        if (step % 4 == 3) {
            vk_cmd_copy(cmd, &b, 0, &a, 0, a.size); /* write after read and after write */
            probe(cmd, &c, &a, N, -0.0078125f);
        }
        for (int i = 0; i < N; i++) {
            y[i] = x[i] * 1 + y[i];
            z[i] = y[i] * 0.5f + z[i];
            if (step % 4 == 3) {
                y[i] = x[i];
                x[i] = z[i] * -0.0078125f + x[i];
            }
        }
    }
    finish(cmd);
    expect_floats(&a, x, N);
    expect_floats(&b, y, N);
    expect_floats(&c, z, N);
    vk_cmd_destroy(&cmd);
    vk_buf_destroy(&a);
    vk_buf_destroy(&b);
    vk_buf_destroy(&c);
}

/* Fills, copies, updates and dispatches over overlapping ranges, against the same on the CPU. */
static void random_transfers_and_dispatches(void **state)
{
    enum { WORDS = 3000, BUFS = 3 };
    static uint32_t want[BUFS][WORDS], got[WORDS];
    struct vk_buf bufs[BUFS];
    struct vk_cmd *cmd = new_cmd();
    uint64_t seed = 11;
    (void)state;
    for (int k = 0; k < BUFS; k++) {
        bufs[k] = new_buf(4 * WORDS, "b");
        memset(want[k], 0, sizeof want[k]);
        vk_cmd_fill(cmd, &bufs[k], 0, 4 * WORDS, 0);
    }
    for (int step = 0; step < 600; step++) {
        uint32_t k = test_rand(&seed) % BUFS, j = (k + 1 + test_rand(&seed) % (BUFS - 1)) % BUFS;
        uint32_t n = 1 + test_rand(&seed) % 200, at = test_rand(&seed) % (WORDS - n);
        uint32_t from = test_rand(&seed) % (WORDS - n), value = test_rand(&seed) % 5, data[200];
        switch (test_rand(&seed) % 4) {
        case 0:
            vk_cmd_fill(cmd, &bufs[k], 4 * at, 4 * n, value);
            for (uint32_t i = 0; i < n; i++)
                want[k][at + i] = value;
            break;
        case 1:
            vk_cmd_copy(cmd, &bufs[k], 4 * at, &bufs[j], 4 * from, 4 * n);
            memcpy(want[k] + at, want[j] + from, 4 * n);
            break;
        case 2:
            for (uint32_t i = 0; i < n; i++)
                data[i] = test_rand(&seed) % 100;
            vk_cmd_update(cmd, &bufs[k], 4 * at, data, 4 * n);
            memcpy(want[k] + at, data, 4 * n);
            break;
        default: /* words as denormal floats would be flushed: only 0 * scale + 0 */
            vk_cmd_fill(cmd, &bufs[j], 0, 4 * WORDS, 0);
            vk_cmd_fill(cmd, &bufs[k], 0, 4 * WORDS, 0x3f800000); /* 1.0f */
            probe(cmd, &bufs[k], &bufs[j], WORDS, 2);
            for (uint32_t i = 0; i < WORDS; i++) {
                want[k][i] = 0x3f800000;
                want[j][i] = 0x40000000;
            }
        }
    }
    finish(cmd);
    for (int k = 0; k < BUFS; k++) {
        assert_ok(vk_download(got, &bufs[k], 0, 4 * WORDS));
        assert_memory_equal(got, want[k], 4 * WORDS);
        vk_buf_destroy(&bufs[k]);
    }
    vk_cmd_destroy(&cmd);
}

static void barriers_only_where_needed(void **state)
{
    struct vk_buf a = new_buf(4096, "a"), b = new_buf(4096, "b");
    struct vk_cmd *cmd = new_cmd();
    const struct vk_hazards *h = &cmd->hazards;
    (void)state;
    vk_cmd_fill(cmd, &a, 0, 1024, 1);
    vk_cmd_fill(cmd, &a, 1024, 1024, 2); /* beside it: no barrier, both are listed */
    assert_int_equal(h->count, 2);
    vk_cmd_copy(cmd, &b, 0, &a, 2048, 512);
    assert_int_equal(h->count, 4);
    vk_cmd_copy(cmd, &b, 512, &a, 2048, 512); /* reading twice is no conflict */
    assert_int_equal(h->count, 5);
    vk_cmd_copy(cmd, &b, 1024, &a, 1020, 8); /* read after write */
    assert_int_equal(h->count, 2);
    vk_cmd_fill(cmd, &a, 1024, 4, 0); /* write after read */
    assert_int_equal(h->count, 1);
    vk_cmd_fill(cmd, &a, 1024, 4, 0); /* write after write */
    assert_int_equal(h->count, 1);
    for (uint32_t i = 0; i < 1024; i++) /* more accesses than are listed */
        vk_cmd_fill(cmd, &b, 4 * i, 4, i);
    assert_true(h->count <= VK_MAX_ACCESSES);
    finish(cmd);
    expect_word(&b, 4092, 1023);
    vk_cmd_destroy(&cmd);
    vk_buf_destroy(&a);
    vk_buf_destroy(&b);
}

static void recordings_follow_one_another(void **state)
{
    struct vk_buf a = new_buf(4 * N, "a"), b = new_buf(4 * N, "b");
    static float ones[N], want[N];
    struct vk_cmd *cmds[3];
    (void)state;
    for (int i = 0; i < N; i++)
        ones[i] = 1, want[i] = 31;
    assert_ok(vk_upload(&a, 0, ones, sizeof ones));
    for (int k = 0; k < 3; k++)
        cmds[k] = new_cmd();
    vk_cmd_fill(cmds[0], &b, 0, b.size, 0);
    for (int round = 0; round < 31; round++) {
        struct vk_cmd *cmd = cmds[round % 3];
        if (round)
            vk_cmd_begin(cmd);
        if (!round)
            assert_ok(vk_cmd_submit(cmd, NULL));
        if (!round)
            vk_cmd_begin(cmd);
        probe(cmd, &a, &b, N, 1);
        assert_ok(vk_cmd_submit(cmd, NULL)); /* nobody waits in between */
    }
    expect_floats(&b, want, N);
    for (int k = 0; k < 3; k++)
        vk_cmd_destroy(&cmds[k]);
    vk_buf_destroy(&a);
    vk_buf_destroy(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chain_of_dispatches),
        cmocka_unit_test(random_transfers_and_dispatches),
        cmocka_unit_test(barriers_only_where_needed),
        cmocka_unit_test(recordings_follow_one_another),
    };
    test_device();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_done();
    return failed;
}

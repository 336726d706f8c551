/* Bytes of a file in memory, against the file. */
#include "support/test.h"

#include "app/blocks.h"

enum { SIZE = 40 * BLOCK_SIZE + 77 };

static uint8_t file[SIZE];

static void what_is_put_is_got(void **state)
{
    (void)state;
    struct blocks b = {.room = 1 << 30};
    uint64_t seed = 3;
    uint8_t out[3 * BLOCK_SIZE];
    for (size_t k = 0; k < SIZE; k++)
        file[k] = (uint8_t)test_rand(&seed);
    for (int k = 0; k < 400; k++) {
        uint64_t at = blocks_hole(&b, test_rand(&seed) % SIZE);
        if (at >= SIZE)
            continue;
        size_t n = test_rand(&seed) % (2 * BLOCK_SIZE);
        n = n < SIZE - at ? n : SIZE - at;
        assert_ok(blocks_put(&b, at, file + at, n));
        assert_true(blocks_have(&b, at, n) == n);
        at = test_rand(&seed) % SIZE;
        uint64_t have = blocks_have(&b, at, sizeof out);
        assert_int_equal(blocks_get(&b, at, out, sizeof out), have);
        assert_memory_equal(out, file + at, have);
    }
    assert_int_equal(blocks_have(&b, SIZE, 9), 0);
    /* far into a large file */
    uint64_t far = (uint64_t)BLOCK_SIZE << 20;
    assert_ok(blocks_put(&b, far, file, 100));
    assert_int_equal(blocks_have(&b, far + 10, 1000), 90);
    assert_int_equal(blocks_hole(&b, far + 10), far + 100);
    assert_int_equal(blocks_hole(&b, far + BLOCK_SIZE + 5), far + BLOCK_SIZE);
    /* farther than there are files, whatever a server says */
    assert_int_equal(blocks_put(&b, (uint64_t)BLOCK_SIZE << 40, file, 1), FV_ENOMEM);
    assert_int_equal(blocks_put(&b, UINT64_MAX / BLOCK_SIZE * BLOCK_SIZE, file, 1), FV_ENOMEM);
    blocks_clear(&b);
    assert_int_equal(b.kept, 0);
    assert_int_equal(blocks_have(&b, 0, 10), 0);
}

static void the_oldest_go_first(void **state)
{
    (void)state;
    struct blocks b = {.room = 5 * (BLOCK_SIZE + 64)};
    uint8_t byte;
    for (uint64_t k = 0; k < 5; k++)
        assert_ok(blocks_put(&b, k * BLOCK_SIZE, file, BLOCK_SIZE));
    assert_int_equal(blocks_get(&b, 0, &byte, 1), 1); /* used */
    assert_ok(blocks_put(&b, 9 * BLOCK_SIZE, file, BLOCK_SIZE));
    assert_true(b.kept <= b.room);
    static const uint64_t there[] = {0, 2, 3, 4, 9};
    for (int k = 0; k < 5; k++)
        assert_int_equal(blocks_have(&b, there[k] * BLOCK_SIZE, 1), 1);
    assert_int_equal(blocks_have(&b, BLOCK_SIZE, 1), 0);
    /* what goes on in a block that is gone is left out */
    assert_ok(blocks_put(&b, BLOCK_SIZE + 100, file, 50));
    assert_int_equal(blocks_have(&b, BLOCK_SIZE + 100, 1), 0);
    blocks_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_is_got),
        cmocka_unit_test(the_oldest_go_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What every test includes: cmocka, and helpers for devices, files and numbers. */
#ifndef TEST_H
#define TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vk/base/err.h"

struct vk_device;

/* assert_ok(call): 0 or positive, else fails with fv_error(). */
#define assert_ok(x)                                                                               \
    do {                                                                                           \
        int rc_ = (x);                                                                             \
        if (rc_ < 0)                                                                               \
            fail_msg("%s: %s", #x, fv_error());                                                    \
    } while (0)
/* The call fails with this code and its text contains part. */
#define assert_fails(x, code, part)                                                                \
    do {                                                                                           \
        int rc_ = (x);                                                                             \
        if (rc_ != (code) || !strstr(fv_error(), part))                                            \
            fail_msg("%s: returned %d \"%s\", expected %d \"...%s...\"", #x, rc_, fv_error(),      \
                     code, part);                                                                  \
    } while (0)
#define assert_near(a, b, eps)                                                                     \
    do {                                                                                           \
        double a_ = (a), b_ = (b);                                                                 \
        if (!(fabs(a_ - b_) <= (eps)))                                                             \
            fail_msg("%s = %.9g, expected %.9g +- %g", #a, a_, b_, (double)(eps));                 \
    } while (0)

/* A device shared by the tests of one executable, with validation when FOVEA_TEST_VALIDATION
 * is set; exits with 77 (skipped) when there is none. Fails the test on validation messages
 * at test_device_done(). */
struct vk_device *test_device(void);
void test_device_done(void);
/* The same as a teardown of cmocka. */
int test_device_teardown(void **state);

/* A path below the golden directory: $FOVEA_GOLDEN, else tests/golden in the source tree,
 * else ../shared/golden/gs beside it. NULL when the file is in none. Static storage. */
const char *test_golden(const char *name);
/* A path below $FOVEA_SHARED, else ../shared beside the source tree. NULL when the file is not
 * there: the test skips that case. Static storage, eight in turn. */
const char *test_shared(const char *name);
/* A path in the source tree. Static storage, eight in turn. */
const char *test_source(const char *name);
/* A fresh temporary directory, removed at exit. Static storage. */
const char *test_tmp(void);
/* test_tmp()/name. Static storage, eight in turn. */
const char *test_tmp_path(const char *name);
void test_write_file(const char *path, const void *data, size_t size);
void *test_read_file(const char *path, size_t *size); /* caller frees */
bool test_same_files(const char *a, const char *b);

/* Runs a line by the shell. Returns the exit status, 128 and more of a signal; what it prints in *out when not
 * NULL, caller frees. */
int test_shell(char **out, const char *command);
/* `before` and the text right behind it as such a line, whose errors go into its output. */
int test_line(char **out, const char *before, const char *fmt, va_list args);
/* Runs the real binary through the shell: "fovea " + args. Returns the exit status; output
 * (stdout and stderr together) in *out when not NULL, caller frees. */
int test_fovea(char **out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Its --device, where FOVEA_DEVICE chooses one. Static storage. */
const char *test_device_option(void);

/* `by`, test_fovea or the like, ends with this status and a text that has part. */
#define TEST_ENDS_BY(by, status, part, ...)                                                        \
    do {                                                                                           \
        char *out_;                                                                                \
        int got_ = by(&out_, __VA_ARGS__);                                                         \
        if (got_ != (status) || !strstr(out_, part))                                               \
            fail_msg("status %d (expected %d), output \"%s\", expected \"...%s...\"", got_,        \
                     status, out_, part);                                                          \
        free(out_);                                                                                \
    } while (0)
/* fovea ends well; it says part; it ends with a status and says part. */
#define TEST_RUNS(...)               TEST_ENDS_BY(test_fovea, 0, "", __VA_ARGS__)
#define TEST_SAYS(part, ...)         TEST_ENDS_BY(test_fovea, 0, part, __VA_ARGS__)
#define TEST_FAILS(status, part, ...) TEST_ENDS_BY(test_fovea, status, part, __VA_ARGS__)

/* Keeps this process on one processor, so that parallel loops run on one thread; false undoes it. */
void test_one_cpu(bool on);

/* Small deterministic generator for test data. */
static inline uint32_t test_rand(uint64_t *s)
{
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*s >> 33);
}
static inline double test_uniform(uint64_t *s, double a, double b)
{
    return a + (b - a) * (test_rand(s) / 2147483648.0);
}

#endif

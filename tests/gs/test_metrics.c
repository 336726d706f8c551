/* PSNR and SSIM against the definition written out naively, and known properties. */
#include "support/test.h"
#include "gs/gs.h"
#include "vk/base/thread.h"

static float *noise(size_t n, uint64_t seed)
{
    float *p = malloc(n * sizeof *p);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++)
        p[i] = (float)test_uniform(&seed, 0, 1);
    return p;
}

static int mirrored(int i, int n)
{
    while (i < 0 || i >= n)
        i = i < 0 ? -1 - i : 2 * n - 1 - i;
    return i;
}

/* The 121 products of one pixel and channel. */
static double naive_pixel(const float *a, const float *b, int w, int h, int channels, int x, int y,
                          int ch)
{
    double sum = 0, ma = 0, mb = 0, va = 0, vb = 0, cov = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int j = -5; j <= 5; j++)
            for (int i = -5; i <= 5; i++) {
                size_t at = ((size_t)mirrored(y + j, h) * (size_t)w + (size_t)mirrored(x + i, w)) *
                                (size_t)channels +
                            (size_t)ch;
                double g = exp(-(i * i + j * j) / (2 * 1.5 * 1.5));
                if (pass == 0) {
                    sum += g;
                    ma += g * a[at];
                    mb += g * b[at];
                } else {
                    va += g * (a[at] - ma) * (a[at] - ma);
                    vb += g * (b[at] - mb) * (b[at] - mb);
                    cov += g * (a[at] - ma) * (b[at] - mb);
                }
                if (pass == 0 && i == 5 && j == 5) {
                    ma /= sum;
                    mb /= sum;
                }
            }
    va /= sum;
    vb /= sum;
    cov /= sum;
    return (2 * ma * mb + 1e-4) * (2 * cov + 9e-4) /
           ((ma * ma + mb * mb + 1e-4) * (va + vb + 9e-4));
}

static double naive_ssim(const float *a, const float *b, int w, int h, int channels, double *map)
{
    int border = w >= 11 && h >= 11 ? 5 : 0, count = 0;
    double sum = 0;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            double pixel = 0;
            for (int ch = 0; ch < channels; ch++)
                pixel += naive_pixel(a, b, w, h, channels, x, y, ch) / channels;
            map[y * w + x] = pixel;
            if (x >= border && y >= border && x < w - border && y < h - border) {
                sum += pixel;
                count++;
            }
        }
    return sum / count;
}

static void ssim_is_its_definition(void **state)
{
    (void)state;
    static const int sizes[][3] = {{40, 30, 3}, {11, 11, 1}, {12, 25, 4}, {10, 40, 3},
                                   {3, 2, 3},   {1, 1, 1},   {17, 1, 2},  {64, 33, 1}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int w = sizes[i][0], h = sizes[i][1], ch = sizes[i][2];
        size_t n = (size_t)(w * h * ch);
        float *a = noise(n, 1 + i), *b = noise(n, 100 + i);
        float *map = malloc((size_t)(w * h) * sizeof *map);
        double *want_map = malloc((size_t)(w * h) * sizeof *want_map), got;
        for (size_t k = 0; k < n; k++) /* related pictures, so that the covariance matters */
            b[k] = 0.7f * a[k] + 0.3f * b[k];
        double want = naive_ssim(a, b, w, h, ch, want_map);
        assert_ok(gs_ssim(&got, a, b, (uint32_t)w, (uint32_t)h, (uint32_t)ch, map));
        assert_near(got, want, 1e-9);
        for (int k = 0; k < w * h; k++)
            assert_near(map[k], want_map[k], 1e-6);
        assert_ok(gs_ssim(&got, a, b, (uint32_t)w, (uint32_t)h, (uint32_t)ch, NULL));
        assert_near(got, want, 1e-9);
        free(a);
        free(b);
        free(map);
        free(want_map);
    }
}

static void ssim_knows_equal_and_opposite(void **state)
{
    (void)state;
    size_t n = 50 * 40 * 3;
    float *a = noise(n, 5), *b = noise(n, 6);
    double s;
    assert_ok(gs_ssim(&s, a, a, 50, 40, 3, NULL));
    assert_near(s, 1, 1e-12);
    for (size_t i = 0; i < n; i++)
        b[i] = 1 - a[i];
    assert_ok(gs_ssim(&s, a, b, 50, 40, 3, NULL));
    assert_true(s < -0.8);
    /* flat pictures: only the means differ */
    for (size_t i = 0; i < n; i++) {
        a[i] = 0.25f;
        b[i] = 0.75f;
    }
    assert_ok(gs_ssim(&s, a, b, 50, 40, 3, NULL));
    assert_near(s, (2 * 0.25 * 0.75 + 1e-4) / (0.25 * 0.25 + 0.75 * 0.75 + 1e-4), 1e-9);
    assert_fails(gs_ssim(&s, a, b, 0, 40, 3, NULL), FV_EINVALID, "0x40");
    free(a);
    free(b);
}

static void ssim_is_quick(void **state)
{
    (void)state;
    size_t n = 1920 * 1080 * 3;
    float *a = noise(n, 7), *b = noise(n, 8);
    double s, cpu = fv_cpu_time();
    assert_ok(gs_ssim(&s, a, b, 1920, 1080, 3, NULL));
    cpu = fv_cpu_time() - cpu;
    print_message("SSIM of 1920x1080: %.0f ms of CPU\n", 1000 * cpu);
    assert_true(cpu < 10); /* of any build; a naive window takes a minute */
    free(a);
    free(b);
}

static void psnr_is_its_definition(void **state)
{
    (void)state;
    float a[4] = {0, 0.5f, 1, 0.25f}, b[4] = {0, 0.5f, 0.5f, 0.25f};
    assert_true(isinf(gs_psnr(a, a, 4)));
    assert_near(gs_psnr(a, b, 4), 10 * log10(4 / 0.25), 1e-12);
    for (int i = 0; i < 4; i++)
        b[i] = a[i] + 0.1f;
    assert_near(gs_psnr(a, b, 4), 20, 1e-5);
    b[0] = NAN;
    assert_true(isnan(gs_psnr(a, b, 4)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ssim_is_its_definition),
        cmocka_unit_test(ssim_knows_equal_and_opposite),
        cmocka_unit_test(ssim_is_quick),
        cmocka_unit_test(psnr_is_its_definition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* PSNR and SSIM against values worked out by hand and against the formula, window by window. */
#include "support/test.h"
#include "gs/gs.h"

enum { W = 37, H = 23, N = W * H * 3 };
static float a[N], b[N];

static void fill(void)
{
    uint64_t seed = 5;
    for (int i = 0; i < N; i++) {
        a[i] = (float)test_uniform(&seed, 0, 1);
        b[i] = a[i] + (float)test_uniform(&seed, -0.1, 0.1);
    }
}

static void psnr_of_known_errors(void **state)
{
    (void)state;
    fill();
    assert_true(isinf(gs_psnr(a, a, N)));
    for (int i = 0; i < N; i++)
        b[i] = a[i] + 0.1f;
    assert_near(gs_psnr(a, b, N), 20, 1e-4);
    for (int i = 0; i < N; i++)
        b[i] = a[i] + (i % 4 ? 0 : 0.02f);
    assert_near(gs_psnr(a, b, N), -10 * log10(0.02 * 0.02 * ((N + 3) / 4) / N), 1e-3);
}

/* The definition, with a full two-dimensional window at one place. */
static double window(int x0, int y0, int c)
{
    double m[5] = {0}, total = 0;
    for (int y = -5; y <= 5; y++) {
        for (int x = -5; x <= 5; x++) {
            double g = exp(-(x * x + y * y) / 4.5);
            int i = ((y0 + y) * W + x0 + x) * 3 + c;
            double u = a[i], v = b[i];
            total += g;
            m[0] += g * u;
            m[1] += g * v;
            m[2] += g * u * u;
            m[3] += g * v * v;
            m[4] += g * u * v;
        }
    }
    for (int k = 0; k < 5; k++)
        m[k] /= total;
    double sa = m[2] - m[0] * m[0], sb = m[3] - m[1] * m[1], ab = m[4] - m[0] * m[1];
    return (2 * m[0] * m[1] + 1e-4) * (2 * ab + 9e-4) /
           ((m[0] * m[0] + m[1] * m[1] + 1e-4) * (sa + sb + 9e-4));
}

static void ssim_follows_the_definition(void **state)
{
    (void)state;
    static float map[W * H];
    double ssim, sum = 0;
    fill();
    assert_ok(gs_ssim(&ssim, a, b, W, H, 3, map));
    for (int y = 5; y < H - 5; y++)
        for (int x = 5; x < W - 5; x++)
            for (int c = 0; c < 3; c++)
                sum += window(x, y, c);
    assert_near(ssim, sum / (3 * (W - 10) * (H - 10)), 1e-9);
    assert_near(map[11 * W + 18], (window(18, 11, 0) + window(18, 11, 1) + window(18, 11, 2)) / 3,
                1e-6);
    assert_in_range((int)(1000 * ssim), 800, 999);
}

static void ssim_of_equal_pictures_is_one(void **state)
{
    (void)state;
    double ssim;
    fill();
    assert_ok(gs_ssim(&ssim, a, a, W, H, 3, NULL));
    assert_near(ssim, 1, 1e-12);
    assert_ok(gs_ssim(&ssim, a, a, 3, 2, 1, NULL));
    assert_near(ssim, 1, 1e-12);
    assert_fails(gs_ssim(&ssim, a, a, 0, 2, 1, NULL), FV_EINVALID, "empty");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(psnr_of_known_errors),
        cmocka_unit_test(ssim_follows_the_definition),
        cmocka_unit_test(ssim_of_equal_pictures_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

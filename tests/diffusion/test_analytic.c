/* diffusion/analytic.c: means of latents, files of them, where samplings begin. */
#include "diffusion/diffusion.h"
#include "support/test.h"
#include "vk/nn/nn.h"
#include "vk/nn/safetensors_write.h"

#include <math.h>

enum { N = 4000, SAMPLES = 3 };

static void of_latents(void **state)
{
    (void)state;
    static const float latents[2][2] = {{1, 10}, {3, 16}};
    struct df_analytic a;
    assert_ok(df_analytic_estimate(&a, &latents[0][0], 2, 2));
    assert_near(a.mean[0], 2, 0);
    assert_near(a.mean[1], 13, 0);
    assert_near(a.variance, (1 + 9) / 2.0, 1e-12);
    df_analytic_finish(&a);
    assert_fails(df_analytic_estimate(&a, &latents[0][0], 0, 2), FV_EINVALID, "0 latents");
}

/* Whatever the way, the start has the mean and variance that data with noise have there. */
static void starts_as_data_do(void **state)
{
    (void)state;
    static const struct {
        enum df_analytic_way way;
        double at, keep, noise;
    } rows[] = {{DF_ANALYTIC_FLOW, 0.9, 0.1, 0.9},
                {DF_ANALYTIC_FLOW, 0.5, 0.5, 0.5},
                {DF_ANALYTIC_VP, 0.25, 0.5, 0.8660254},
                {DF_ANALYTIC_VE, 2, 1, 2}};
    float *mean = calloc(N, sizeof *mean), *noise = calloc(N, sizeof *noise),
          *out = calloc(N, sizeof *out);
    struct df_analytic a = {N, mean, 4};
    assert_true(mean && noise && out);
    nn_normal(noise, 3, 0, N);
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        double sum = 0, squares = 0;
        for (int i = 0; i < N; i++)
            mean[i] = 10;
        assert_ok(df_analytic_start(&a, rows[row].way, rows[row].at, noise, out, N));
        for (int i = 0; i < N; i++) {
            sum += (double)out[i] / N;
            squares += (double)out[i] * (double)out[i] / N;
        }
        double var = rows[row].noise * rows[row].noise + rows[row].keep * rows[row].keep * 4;
        assert_near(sum, rows[row].keep * 10, 0.06 * sqrt(var));
        assert_near((squares - sum * sum) / var, 1, 0.06);
    }
    assert_fails(df_analytic_start(&a, DF_ANALYTIC_FLOW, 0.9, noise, out, N - 1), FV_EINVALID,
                 "another size");
    assert_fails(df_analytic_start(&a, DF_ANALYTIC_FLOW, 1.1, noise, out, N), FV_EINVALID, "1.1");
    assert_fails(df_analytic_start(&a, DF_ANALYTIC_VE, NAN, noise, out, N), FV_EINVALID, "nan");
    free(mean);
    free(noise);
    free(out);
}

static void files(void **state)
{
    (void)state;
    static const uint64_t shape[5] = {1, 2, 1, 2, 3};
    static const char *const names[][2] = {{"Expectation_X0", "Tr_Cov_d"},
                                           {"Expectation_x_0", "trCov_d"}};
    float mean[12], variance = 0.5f, two[2] = {1, 2}, bad = NAN;
    const char *path = test_tmp_path("mean.safetensors");
    struct df_analytic a;
    for (int i = 0; i < 12; i++)
        mean[i] = (float)i;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct nn_save_tensor list[2] = {{names[i][0], NN_DATA_F32, 5, {1, 2, 1, 2, 3}, mean},
                                               {names[i][1], NN_DATA_F32, 0, {0}, &variance}};
        assert_ok(nn_safetensors_save(path, list, 2, NULL, 0));
        assert_ok(df_analytic_read(&a, path));
        assert_int_equal(a.count, 12);
        assert_memory_equal(a.mean, mean, sizeof mean);
        assert_near(a.variance, 0.5, 0);
        df_analytic_finish(&a);
    }
    a = (struct df_analytic){12, mean, 0.25};
    assert_ok(df_analytic_write(&a, path, 5, shape));
    assert_fails(df_analytic_write(&a, path, 4, shape), FV_EINVALID, "as 4");
    assert_ok(df_analytic_read(&a, path));
    assert_memory_equal(a.mean, mean, sizeof mean);
    assert_near(a.variance, 0.25, 0);
    df_analytic_finish(&a);
    static const char *const parts[] = {"no Expectation_X0", "2 numbers", "nan", "not finite"};
    struct nn_save_tensor list[2] = {{"Expectation_X0", NN_DATA_F32, 1, {12}, mean},
                                     {"other", NN_DATA_F32, 1, {1}, &variance}};
    for (int i = 0; i < 4; i++) {
        if (i == 1)
            list[1] = (struct nn_save_tensor){"Tr_Cov_d", NN_DATA_F32, 1, {2}, two};
        if (i == 2)
            list[1] = (struct nn_save_tensor){"Tr_Cov_d", NN_DATA_F32, 1, {1}, &bad};
        if (i == 3) {
            list[1].data = &variance;
            mean[3] = INFINITY;
        }
        assert_ok(nn_safetensors_save(path, list, 2, NULL, 0));
        assert_fails(df_analytic_read(&a, path), FV_EFORMAT, parts[i]);
        assert_null(a.mean);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_latents),
        cmocka_unit_test(starts_as_data_do),
        cmocka_unit_test(files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

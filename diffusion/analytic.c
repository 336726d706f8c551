/* Where a sampling begins that is not to copy its image (diffusion.h): Analytic-Init of Zhao et
 * al., "Identifying and Solving Conditional Image Leakage in Image-to-Video Diffusion Model"
 * (2024), section 4.1. A sampling that begins a little before all is noise begins with the normal
 * distribution that is nearest to what training had there: mean and variance follow from those of
 * the data. */
#include "diffusion/diffusion.h"
#include "vk/nn/safetensors_write.h"

#include <math.h>
#include <stdlib.h>

/* Names of the authors' files. */
static const struct {
    const char *mean, *variance;
} names[] = {{"Expectation_X0", "Tr_Cov_d"},
             {"Expectation_x_0", "trCov_d"},
             {"expectation_x0", "trcov_d"},
             {"expectation_x0", "trcov_over_d"}};

static int make(struct df_analytic *out, size_t n)
{
    *out = (struct df_analytic){.count = n, .mean = calloc(n + 1, sizeof *out->mean)};
    return out->mean ? 0 : fv_fail(FV_ENOMEM, "out of memory");
}

void df_analytic_finish(struct df_analytic *a)
{
    free(a->mean);
    *a = (struct df_analytic){0};
}

int df_analytic_estimate(struct df_analytic *out, const float *latents, size_t samples, size_t n)
{
    double sum = 0;
    if (!samples || !n)
        return fv_fail(FV_EINVALID, "a mean of %zu latents of %zu numbers", samples, n);
    FV_TRY(make(out, n));
    for (size_t i = 0; i < n; i++) {
        double mean = 0;
        for (size_t s = 0; s < samples; s++)
            mean += (double)latents[s * n + i] / (double)samples;
        for (size_t s = 0; s < samples; s++) {
            double d = (double)latents[s * n + i] - mean;
            sum += d * d / (double)samples;
        }
        out->mean[i] = (float)mean;
    }
    out->variance = sum / (double)n;
    return 0;
}

static int read_file(struct df_analytic *out, const struct nn_file *f)
{
    const struct nn_file_tensor *mean = NULL, *variance = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names && (!mean || !variance); i++) {
        mean = nn_file_find(f, names[i].mean);
        variance = nn_file_find(f, names[i].variance);
    }
    if (!mean || !variance)
        return fv_fail(FV_EFORMAT, "%s: no Expectation_X0 and Tr_Cov_d in it", f->name);
    if (variance->count != 1 || mean->count > SIZE_MAX / sizeof(double) - 1)
        return fv_fail(FV_EFORMAT, "%s: %s has %llu numbers, expected one", f->name, variance->name,
                       (unsigned long long)variance->count);
    FV_TRY(make(out, (size_t)mean->count));
    FV_TRY(nn_file_read(mean, NN_DATA_F32, 0, mean->count, out->mean));
    FV_TRY(nn_file_read(variance, NN_DATA_F64, 0, 1, &out->variance));
    for (size_t i = 0; i < out->count; i++)
        if (!isfinite(out->mean[i]))
            return fv_fail(FV_EFORMAT, "%s: %s is not finite", f->name, mean->name);
    if (!(out->variance >= 0) || !isfinite(out->variance))
        return fv_fail(FV_EFORMAT, "%s: %s is %g", f->name, variance->name, out->variance);
    return 0;
}

int df_analytic_read(struct df_analytic *out, const char *path)
{
    struct nn_file *f;
    *out = (struct df_analytic){0};
    FV_TRY(nn_file_open(&f, path, NULL));
    int rc = read_file(out, f);
    nn_file_close(&f);
    if (rc < 0)
        df_analytic_finish(out);
    return rc < 0 ? rc : 0;
}

int df_analytic_write(const struct df_analytic *a, const char *path, unsigned rank,
                      const uint64_t *shape)
{
    float variance = (float)a->variance;
    struct nn_save_tensor list[2] = {
        {.name = names[0].mean, .type = NN_DATA_F32, .rank = rank, .data = a->mean},
        {.name = names[0].variance,
         .type = NN_DATA_F32,
         .rank = 1,
         .shape = {1},
         .data = &variance}};
    uint64_t count = 1;
    if (rank > NN_FILE_MAX_RANK)
        return fv_fail(FV_EINVALID, "%u axes", rank);
    for (unsigned i = 0; i < rank; i++) {
        list[0].shape[i] = shape[i];
        count *= shape[i];
    }
    if (count != a->count)
        return fv_fail(FV_EINVALID, "a mean of %zu numbers as %llu", a->count,
                       (unsigned long long)count);
    return nn_safetensors_save(path, list, 2, NULL, 0);
}

int df_analytic_start(const struct df_analytic *a, enum df_analytic_way way, double at,
                      const float *noise, float *out, size_t n)
{
    double mean = way == DF_ANALYTIC_FLOW ? 1 - at : way == DF_ANALYTIC_VP ? sqrt(at) : 1;
    double rest = way == DF_ANALYTIC_VP ? 1 - at : at * at; /* variance of the noise itself */
    bool within = way == DF_ANALYTIC_VE ? at > 0 && isfinite(at) : at >= 0 && at <= 1;
    if (!within)
        return fv_fail(FV_EINVALID, "a sampling that begins at %g", at);
    if (n != a->count)
        return fv_fail(
            FV_EINVALID,
            "the mean of the data has %zu numbers, these latents have %zu: it is of another "
            "size or model",
            a->count, n);
    double sigma = sqrt(rest + mean * mean * a->variance);
    for (size_t i = 0; i < n; i++)
        out[i] = (float)(mean * (double)a->mean[i] + sigma * (double)noise[i]);
    return 0;
}

/* Layer errors of the ways to quantise, on random layers of STDiT3-XL/2's shapes with outliers: docs/QUANT.md
 * has the table.
 *
 *     cmake --build build/release --target quant_fidelity
 *     build/release/quant_fidelity [--gptq] [SCALE]        SCALE 4: all sizes divided by 4
 *
 * Weights are normal of variance 1 / inputs, one in 5000 twelve times as large; of the inputs one channel in
 * 64 is 20 times the others. Errors are relative 2-norms of outputs over rows that nothing was fitted to. */
#include "quant/quant.h"
#include "vk/base/thread.h"
#include "vk/nn/nn.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 128, JUDGED = 64 };

static const struct {
    const char *name;
    size_t n, k;
} shapes[] = {{"attn.qkv", 3456, 1152},           {"attn.proj, cross q", 1152, 1152},
              {"cross_attn.kv_linear", 2304, 1152}, {"mlp.fc1", 4608, 1152},
              {"mlp.fc2", 1152, 4608}};

static float *normals(size_t count, double by, uint64_t seed)
{
    float *x = malloc(count * sizeof *x);
    if (!x)
        return NULL;
    nn_normal(x, seed, 0, count);
    for (size_t i = 0; i < count; i++)
        x[i] *= (float)by;
    return x;
}

static int one(const char *name, size_t n, size_t k, bool gptq)
{
    static const enum qt_method methods[] = {QT_RTN4, QT_NF4, QT_RTN8, QT_SVDQUANT, QT_SVDQUANT};
    size_t rows = ROWS + JUDGED;
    float *w = normals(n * k, 1 / sqrt((double)k), n * 7919 + k), *x = normals(rows * k, 1, n + k);
    double seconds = 0;
    int rc = w && x ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    for (size_t i = 0; i < n * k && rc == 0; i += 5000)
        w[i + i / 5000 % 64 < n * k ? i + i / 5000 % 64 : i] *= 12;
    for (size_t i = 0; i < rows * k && rc == 0; i++)
        x[i] *= i % k % 64 == 5 ? 20 : 1;
    printf("%-22s %4zux%-5zu", name, n, k);
    for (size_t m = 0; m < sizeof methods / sizeof *methods && rc == 0; m++) {
        struct qt_opts o = qt_usual(methods[m]);
        struct qt_layer l;
        double start = fv_now();
        o.activations = m == 4 ? 8 : 16;
        o.gptq = gptq && methods[m] == QT_SVDQUANT;
        rc = qt_quantise(&l, name, w, n, k,
                         &(struct qt_seen){.x = x, .rows = ROWS, .judge = x + ROWS * k, .judge_rows = JUDGED}, &o);
        seconds = fv_now() - start;
        if (rc == 0)
            printf("  %.4f", sqrt(l.judged_error / l.judged_signal));
        fflush(stdout);
        qt_layer_finish(&l);
    }
    if (rc == 0)
        printf("  %6.2f\n", seconds);
    free(w);
    free(x);
    return rc;
}

int main(int argc, char **argv)
{
    size_t by = argc > 1 && atoi(argv[argc - 1]) > 0 ? (size_t)atoi(argv[argc - 1]) : 1;
    bool gptq = argc > 1 && !strcmp(argv[1], "--gptq");
    printf("%-22s %-10s  %6s  %6s  %6s  %6s  %6s  %6s\n", "layer", "", "rtn4", "nf4", "rtn8", "svd16", "svd8",
           "s/layer");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (one(shapes[i].name, shapes[i].n / by, shapes[i].k / by, gptq) < 0)
            return fprintf(stderr, "quant_fidelity: %s\n", fv_error()), 1;
    return 0;
}

/* What one core of this machine can do at most: the ceilings of the floors in docs/SPEED.md.
 *
 *     cc -O3 -march=native -o /tmp/ceiling tools/ceiling.c && /tmp/ceiling
 *
 * Prints bytes per second of a copy of 512 MiB (read + written), and 32-byte vector operations per
 * second of independent multiplications and additions, half of each, all in registers. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef float vec __attribute__((vector_size(32)));

enum { RUNS = 5, CHAINS = 12 };
static const size_t BYTES = (size_t)512 << 20;
static const long TURNS = 20000000;

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double copy_seconds(char *to, const char *from)
{
    double start = cpu_seconds();
    memcpy(to, from, BYTES);
    return cpu_seconds() - start;
}

static double vector_seconds(vec chain[CHAINS], float factor, float term)
{
    double start = cpu_seconds();
    vec x[CHAINS];
    memcpy(x, chain, sizeof x);
    for (long i = 0; i < TURNS; i++) {
#pragma GCC unroll 6
        for (int k = 0; k < CHAINS / 2; k++) {
            x[k] *= factor;
            x[CHAINS / 2 + k] += term;
        }
        __asm__ volatile("" ::: "memory"); /* as many turns as written, not fewer and longer */
    }
    memcpy(chain, x, sizeof x);
    return cpu_seconds() - start;
}

int main(int argc, char **argv)
{
    (void)argv;
    char *a = malloc(BYTES), *b = malloc(BYTES);
    if (!a || !b) {
        fprintf(stderr, "ceiling: no memory for two buffers of 512 MiB\n");
        return 1;
    }
    memset(a, 1, BYTES);
    memset(b, 2, BYTES);
    vec chain[CHAINS];
    for (int k = 0; k < CHAINS; k++)
        for (int l = 0; l < 8; l++)
            chain[k][l] = 1.f + 1e-3f * (float)(k + argc);
    double copy = 1e9, ops = 1e9;
    for (int run = 0; run < RUNS; run++) {
        double c = copy_seconds(run % 2 ? a : b, run % 2 ? b : a);
        double o = vector_seconds(chain, 0.9999f, 1e-5f);
        copy = c < copy ? c : copy;
        ops = o < ops ? o : ops;
    }
    float sum = 0;
    for (int k = 0; k < CHAINS; k++)
        sum += chain[k][argc % 8];
    printf("copy %.1f GB/s, vector operations %.2f G/s (checks %.3f, %d)\n",
           2e-9 * (double)BYTES / copy, 1e-9 * CHAINS * (double)TURNS / ops, (double)sum, b[argc]);
    free(a);
    free(b);
    return 0;
}

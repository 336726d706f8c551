/* Speed of ops (bench.h). Rows come from tables beside the ops (op.h, struct nn_bench_row).
 *
 * A row is recorded as often as makes a run of some 20 ms, since a submission and the waking of a
 * CPU driver's threads cost up to 0.1 ms; the fastest run of all rounds counts. */
#include "vk/nn/bench.h"
#include "vk/base/thread.h"
#include "vk/nn/private.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const struct nn_bench_row nn_bench_matmul[], nn_bench_matrix[], nn_bench_attention[];
extern const struct nn_bench_row nn_bench_elementwise[], nn_bench_softmax[], nn_bench_embed[],
    nn_bench_resample[], nn_bench_layout[];
extern const struct nn_bench_row nn_bench_conv[], nn_bench_norm[], nn_bench_group_norm[];

/* Each ends with a row without a name. */
static const struct nn_bench_row *const tables[] = {
    nn_bench_matmul, nn_bench_matrix, nn_bench_attention, nn_bench_elementwise, nn_bench_softmax,
    nn_bench_embed,  nn_bench_resample,  nn_bench_layout,      nn_bench_conv,
    nn_bench_norm,   nn_bench_group_norm};

enum { MOST_ROWS = 256, MOST_REPEATS = 256 };
static const double run_seconds = 0.02;

struct measured {
    const struct nn_bench_row *row;
    double seconds, cpu; /* of one; INFINITY: not yet */
    uint32_t repeats;
    struct nn_cost cost; /* of one */
};

nn_tensor nn_bench_input(struct nn_rec *r, enum nn_dtype dtype, uint32_t rank,
                         const uint32_t *shape)
{
    nn_tensor t = nn_over(NULL, 0, dtype, rank, shape);
    if (!nn_ready(r) || r->opts.dry)
        return nn_failed(r) ? (nn_tensor){0} : t;
    int rc = nn_store_tensor(&t, r->bench_store, dtype, rank, shape, "benchmark");
    size_t n = nn_count(t);
    float *f = rc < 0 ? NULL : malloc(4 * n);
    if (rc >= 0 && !f)
        rc = fv_fail(FV_ENOMEM, "out of memory");
    if (rc >= 0) {
        uint32_t s = 1;
        for (size_t i = 0; i < n; i++) {
            s = s * 1664525 + 1013904223;
            f[i] = dtype == NN_I32 ? 0 : (float)(int32_t)s * 0x1p-32f;
        }
        rc = dtype == NN_I32 ? nn_upload(t, f) : nn_upload_f32(t, f);
    }
    free(f);
    nn_fail_code(r, rc);
    return rc < 0 ? (nn_tensor){0} : t;
}

static int record(struct nn_rec *r, const struct nn_bench_row *row, uint32_t repeats,
                  struct nn_cost *cost)
{
    nn_begin(r);
    for (uint32_t i = 0; i < repeats; i++) {
        nn_scope s = nn_push(r);
        row->record(r, row);
        if (s.depth < r->depth)
            nn_pop(r, s);
    }
    FV_TRY(nn_end(r));
    *cost = nn_cost_of(r);
    cost->flops /= repeats;
    cost->bytes /= repeats;
    cost->dispatches /= repeats;
    return 0;
}

static int timed(struct nn_rec *r, double *seconds, double *cpu)
{
    double t = fv_now(), c = fv_cpu_time();
    FV_TRY(nn_run(r));
    *seconds = fv_now() - t;
    *cpu = fv_cpu_time() - c;
    return 0;
}

/* Finds how many repeats make a run long enough, then runs for `seconds`. Inputs are made anew for
 * every row, so that memory is bounded by the largest. */
static int measure(struct measured *m, struct vk_device *dev, const struct nn_bench_opts *o,
                   double seconds)
{
    struct nn_rec *r = NULL;
    struct nn_store *store = NULL;
    double t, cpu, spent = 0;
    int rc = nn_store_create(&store, dev);
    if (rc >= 0)
        rc = nn_rec_create(&r, dev, &(struct nn_rec_opts){.ssbo = o->ssbo, .int8 = m->row->how & NN_BENCH_INT8});
    if (rc < 0)
        goto done;
    r->bench_store = store;
    if (!m->repeats) {
        FV_GOTO(record(r, m->row, 1, &m->cost));
        FV_GOTO(timed(r, &t, &cpu)); /* pipelines are made, weights packed */
        FV_GOTO(timed(r, &t, &cpu));
        double n = ceil(run_seconds / fmax(t, 1e-6));
        m->repeats = n < 1 ? 1 : n > MOST_REPEATS ? MOST_REPEATS : (uint32_t)n;
    }
    nn_store_destroy(&store);
    FV_GOTO(nn_store_create(&store, dev));
    r->bench_store = store;
    FV_GOTO(record(r, m->row, m->repeats, &m->cost));
    FV_GOTO(timed(r, &t, &cpu));
    for (int i = 0; i < 3 || spent < seconds; i++) {
        FV_GOTO(timed(r, &t, &cpu));
        spent += t;
        m->seconds = fmin(m->seconds, t / m->repeats);
        m->cpu = fmin(m->cpu, cpu / m->repeats);
    }
done:
    nn_rec_destroy(&r);
    nn_store_destroy(&store);
    return rc < 0 ? fv_wrap(rc, "%s %s: ", m->row->op, m->row->size) : 0;
}

static void record_copy(struct nn_rec *r, const struct nn_bench_row *row)
{
    nn_scale(r, nn_bench_input(r, NN_F32, NN_SHAPE(row->p[0])), 1, 0);
}
static const struct nn_bench_row copy_row = {
    .op = "copy", .size = "64 MiB", .record = record_copy, .p = {16 << 20}};

static bool wanted(const struct nn_bench_row *row, const struct nn_bench_opts *o)
{
    char name[160];
    bool any = !o->filter_count && !(row->how & NN_BENCH_APART);
    snprintf(name, sizeof name, "%s %s", row->op, row->size);
    for (size_t i = 0; i < o->filter_count; i++)
        any = any || strstr(name, o->filters[i]);
    return any;
}

/* Rows that are wanted, and those that the ceiling is measured by. */
static size_t choose(struct measured *list, const struct nn_bench_opts *o)
{
    size_t n = 0;
    if (!o->alone)
        list[n++] = (struct measured){.row = &copy_row, .seconds = INFINITY, .cpu = INFINITY};
    for (size_t k = 0; k < sizeof tables / sizeof *tables; k++)
        for (const struct nn_bench_row *row = tables[k]; row->op && n < MOST_ROWS; row++)
            if ((row->how & NN_BENCH_GEMM && !o->alone) || wanted(row, o))
                list[n++] = (struct measured){.row = row, .seconds = INFINITY, .cpu = INFINITY};
    return n;
}

/* The time that ratios are of. */
static double time_of(const struct measured *m, const struct vk_device *dev)
{
    return dev->caps.is_cpu && m->cpu > 0 ? m->cpu : m->seconds;
}

/* The row of the fastest matrix product, or NULL. */
static const struct measured *fastest(const struct measured *list, size_t n,
                                      const struct vk_device *dev)
{
    const struct measured *best = NULL;
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        double rate = list[i].cost.flops / time_of(&list[i], dev);
        if (list[i].row->how & NN_BENCH_GEMM && rate > most) {
            most = rate;
            best = &list[i];
        }
    }
    return best;
}

static struct nn_bench_result result_of(const struct measured *m, const struct measured *copy,
                                        const struct measured *gemm, const struct vk_device *dev)
{
    double t = time_of(m, dev);
    return (struct nn_bench_result){
        .op = m->row->op,
        .size = m->row->size,
        .seconds = m->seconds,
        .cpu_seconds = m->cpu,
        .flops = m->cost.flops,
        .bytes = m->cost.bytes,
        .dispatches = m->cost.dispatches,
        .of_arithmetic = gemm ? m->cost.flops / t * time_of(gemm, dev) / gemm->cost.flops : 0,
        .of_streaming =
            copy ? m->cost.bytes / t * time_of(copy, dev) / copy->cost.bytes : 0};
}

int nn_bench(struct nn_bench_result *out, size_t room, size_t *count, struct nn_bench_ceiling *top,
             struct vk_device *dev, const struct nn_bench_opts *o)
{
    struct measured *list = calloc(MOST_ROWS, sizeof *list);
    uint32_t rounds = o->rounds ? o->rounds : 3;
    int rc = list ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    *count = 0;
    size_t n = list ? choose(list, o) : 0;
    for (uint32_t round = 0; round < rounds; round++)
        for (size_t i = 0; i < n; i++) {
            struct fv_progress p = {"measuring", (double)(round * n + i), (double)(rounds * n)};
            if (o->on_progress && o->on_progress(o->ud, &p))
                FV_GOTO(fv_fail(FV_ECANCELLED, "cancelled"));
            FV_GOTO(measure(&list[i], dev, o, o->seconds > 0 ? o->seconds : 0.15));
        }
    if (n) {
        const struct measured *gemm = o->alone ? NULL : fastest(list, n, dev);
        const struct measured *copy = o->alone ? NULL : &list[0];
        top->bytes = copy ? copy->cost.bytes / copy->seconds : 0;
        top->flops = gemm ? gemm->cost.flops / gemm->seconds : 0;
        top->flops_op = gemm ? gemm->row->size : NULL;
        for (size_t i = 0; i < n; i++)
            if (wanted(list[i].row, o) && (*count)++ < room)
                out[*count - 1] = result_of(&list[i], copy, gemm, dev);
    }
done:
    free(list);
    return rc;
}

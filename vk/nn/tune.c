/* The choice of kernels for products (nn.h, tune.h): register tiles and subgroup shuffles or tiles
 * in shared memory, read through texel or storage buffers. nn_tune measures one linear layer under
 * each and lets convolutions follow, whose kernels are made of the same loops; the device's cache
 * directory remembers (vk/disk.h).
 *
 * The usual choice is measured first; the others only as long as time is left for another like
 * the last: a driver that takes seconds to compile the first kernel is asked for no second one.
 * What was cut short is not remembered: with the first kernels in the driver's own cache the next
 * run comes further. */
#include "vk/nn/tune.h"
#include "vk/base/log.h"
#include "vk/base/thread.h"
#include "vk/disk.h"
#include "vk/nn/private.h"
#include "vk/shader_table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 96, DEPTH = 256, COLUMNS = 512, RUNS = 4 };
static const double usual_budget = 0.8; /* seconds */
static const double margin = 0.9; /* of the best time: less is noise */

static const char *const kernel_names[] = {"", "registers", "shared memory"};

/* ---- the choice -------------------------------------------------------------------------- */

/* In vk_device.kernel_choice: 0 = none made yet. */
static unsigned encode(struct nn_choice c)
{
    return (unsigned)c.kernel << 1 | c.ssbo;
}

static bool decode(struct nn_choice *c, unsigned n)
{
    *c = (struct nn_choice){(enum nn_kernel)(n >> 1), n & 1};
    return n >> 1 == NN_KERNEL_REGISTERS || n >> 1 == NN_KERNEL_SHARED;
}

/* Register tiles where a subgroup is the machine's vector; shared memory on GPUs. */
static struct nn_choice usual(bool cpu)
{
    return (struct nn_choice){cpu ? NN_KERNEL_REGISTERS : NN_KERNEL_SHARED, false};
}

bool nn_has_lanes(const struct nn_rec *r)
{
    uint32_t lanes = nn_lanes(r);
    const struct vk_caps *c = r->dev ? &r->dev->caps : NULL;
    return !c || lanes == c->subgroup_size ||
           (c->subgroup_control && lanes >= c->subgroup_min && lanes <= c->subgroup_max);
}

struct nn_choice nn_choice_for(const struct nn_rec *r)
{
    struct nn_choice c;
    if (!r->dev || !decode(&c, atomic_load(&r->dev->kernel_choice)))
        c = usual(nn_on_cpu(r));
    if (r->opts.kernel)
        c.kernel = r->opts.kernel;
    if (!nn_has_lanes(r))
        c.kernel = NN_KERNEL_SHARED;
    c.ssbo = c.ssbo || r->opts.ssbo;
    return c;
}

/* ---- measuring --------------------------------------------------------------------------- */

/* Seconds since a moment. CPU drivers by the process's time, where that is less: other work on the
 * machine counts not. */
struct moment {
    double wall, cpu;
};

static struct moment now(void)
{
    return (struct moment){fv_now(), fv_cpu_time()};
}

static double since(struct moment m, const struct vk_device *dev)
{
    double wall = fv_now() - m.wall, cpu = fv_cpu_time() - m.cpu;
    return dev->caps.is_cpu && cpu > 0 && cpu < wall ? cpu : wall;
}

/* Seconds of a layer under one choice; INFINITY where the device cannot run it. */
static int measure(double *seconds, struct vk_device *dev, nn_tensor x, nn_tensor w, nn_tensor bias,
                   struct nn_choice c)
{
    struct nn_rec *r = NULL;
    int rc = nn_rec_create(&r, dev, &(struct nn_rec_opts){.kernel = c.kernel, .ssbo = c.ssbo});
    /* a GPU needs some, lest its submission be all that is measured */
    int layers = dev->caps.is_cpu ? 1 : 32;
    *seconds = INFINITY;
    FV_TRY(rc);
    nn_begin(r);
    for (int i = 0; i < layers; i++) {
        nn_scope s = nn_push(r);
        nn_linear(r, x, w, &(struct nn_linear_opts){.bias = bias});
        nn_pop(r, s);
    }
    rc = nn_end(r);
    for (int i = 0; i < RUNS && rc >= 0; i++) { /* the first compiles and packs */
        struct moment begun = now();
        rc = nn_run(r);
        if (i > 0)
            *seconds = fmin(*seconds, since(begun, dev) / layers);
    }
    nn_rec_destroy(&r);
    if (rc == FV_EDEVICE && !atomic_load(&dev->failed)) { /* a limit of the device, not its loss */
        *seconds = INFINITY;
        rc = 0;
    }
    return rc;
}

static int operands(nn_tensor *x, nn_tensor *w, nn_tensor *bias, struct nn_store *s)
{
    void *zeros = calloc(4, DEPTH * COLUMNS);
    int rc = zeros ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    if (!rc)
        rc = nn_store_tensor(x, s, NN_F32, NN_SHAPE(ROWS, DEPTH), "tuning");
    if (!rc)
        rc = nn_store_tensor(w, s, NN_F32, NN_SHAPE(COLUMNS, DEPTH), "tuning");
    if (!rc)
        rc = nn_store_tensor(bias, s, NN_F32, NN_SHAPE(COLUMNS), "tuning");
    if (!rc)
        rc = nn_upload(*x, zeros);
    if (!rc)
        rc = nn_upload(*w, zeros);
    if (!rc)
        rc = nn_upload(*bias, zeros);
    free(zeros);
    return rc;
}

/* First how the usual kernel reads best, then whether the other one, reading so, is faster. whole:
 * there was time for all of it. */
static int choose(struct nn_choice *best, bool *whole, struct vk_device *dev, double budget)
{
    struct nn_store *s = NULL;
    nn_tensor x, w, bias;
    double least = INFINITY, t = 0, spent = 0, last = 0;
    int rc = nn_store_create(&s, dev), i;
    if (rc >= 0)
        rc = operands(&x, &w, &bias, s);
    *best = usual(dev->caps.is_cpu);
    for (i = 0; i < 3 && rc >= 0 && spent + last <= budget; i++) {
        struct nn_choice c = *best;
        struct moment begun = now();
        if (i == 1)
            c.ssbo = !c.ssbo;
        if (i == 2)
            c.kernel = c.kernel == NN_KERNEL_SHARED ? NN_KERNEL_REGISTERS : NN_KERNEL_SHARED;
        rc = measure(&t, dev, x, w, bias, c);
        last = since(begun, dev);
        spent += last;
        fv_log(FV_DEBUG, "products by %s through %s buffers: %.3f ms, measured in %.0f ms",
               kernel_names[c.kernel], c.ssbo ? "storage" : "texel", 1e3 * t, 1e3 * last);
        if (i == 0 || t < margin * least) {
            *best = c;
            least = t;
        }
    }
    *whole = i == 3;
    nn_store_destroy(&s);
    return rc;
}

/* ---- remembering ------------------------------------------------------------------------- */

/* What was chosen from: another build's kernels are measured anew. */
uint32_t nn_tune_kernels(void)
{
    uint32_t h = 2166136261u;
    for (unsigned i = 0; i < vk_shader_count; i++) {
        const struct vk_shader *s = &vk_shader_table[i];
        if (strncmp(s->name, "nn/matmul.", 10))
            continue;
        for (const char *p = s->name; *p; p++)
            h = (h ^ (unsigned char)*p) * 16777619u;
        for (unsigned k = 0; k < s->packed_size; k++)
            h = (h ^ ((const uint8_t *)s->packed)[k]) * 16777619u;
    }
    return h;
}

int nn_tune_within(struct vk_device *dev, double seconds)
{
    struct nn_choice c;
    uint32_t file[2] = {nn_tune_kernels(), 0};
    uint8_t *data;
    size_t size;
    char kind[24];
    if (atomic_load(&dev->kernel_choice))
        return 0;
    /* lavapipe's vectors can be of several widths */
    snprintf(kind, sizeof kind, "kernel-%u", dev->caps.subgroup_size);
    int found = vk_disk_read(dev, kind, &data, &size);
    FV_TRY(found);
    bool known = found && size == sizeof file && !memcmp(data, file, 4);
    if (known)
        memcpy(file, data, sizeof file);
    free(data);
    known = known && decode(&c, file[1]);
    if (found && !known)
        vk_disk_refuse(dev, kind);
    if (!known) {
        bool whole;
        FV_TRY(choose(&c, &whole, dev, seconds));
        file[1] = encode(c);
        if (whole)
            vk_disk_write(dev, kind, file, sizeof file);
    }
    atomic_store(&dev->kernel_choice, encode(c));
    fv_log(FV_DEBUG, "products by %s through %s buffers (%s)", kernel_names[c.kernel],
           c.ssbo ? "storage" : "texel", known ? "remembered" : "measured");
    return 0;
}

int nn_tune(struct vk_device *dev)
{
    return nn_tune_within(dev, usual_budget);
}

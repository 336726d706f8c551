/* fovea bench queen (bench_queen.h): a scene followed by random frames of QUEEN's shapes, one latent
 * in ten other than 0, one Gaussian in fifty moving. Figures are of decoding the coded integers
 * (one thread), of the update on the device (upload, kernels and packing, one frame at a time), and
 * of the update's CPU twin. */
#include "app/bench_queen.h"
#include "app/spread.h"
#include "app/text.h"
#include "gs/gs.h"
#include "vk/base/arena.h"
#include "vk/base/thread.h"
#include "vk/device.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct made {
    struct fv_arena arena;
    struct gs_queen_frame frame;
    struct gs_queen_coded coded[GS_QUEEN_ATTRIBUTES];
    uint64_t seed;
};

struct figures {
    size_t gaussians, bytes; /* of the coded integers */
    double decode_ms, update_ms, update_cpu_ms, reference_ms;
};

static uint32_t draw(struct made *m)
{
    m->seed = m->seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(m->seed >> 33);
}

static float *small(struct made *m, size_t n)
{
    float *v = fv_arena_alloc(&m->arena, n * sizeof *v);
    for (size_t i = 0; v && i < n; i++)
        v[i] = ((float)draw(m) / 2147483648.0f - 0.5f) * 1e-3f;
    return v;
}

static int make_change(struct made *m, int a, int sh_degree)
{
    static const uint32_t latents[GS_QUEEN_ATTRIBUTES] = {8, 4, 8, 6, 3};
    struct gs_queen_change *c = &m->frame.change[a];
    uint32_t width = gs_queen_width((enum gs_queen_attribute)a, sh_degree), in = latents[a];
    if (a == GS_QUEEN_REST && sh_degree == 3)
        in = 12;
    if (!width)
        return 0;
    size_t n = (size_t)m->frame.count * in;
    int32_t *v = fv_arena_alloc(&m->arena, n * sizeof *v);
    float *floats = malloc(n * sizeof *floats);
    struct gs_queen_layer *l = &c->decoder.layer[0];
    *l = (struct gs_queen_layer){in, width, small(m, (size_t)in * width), NULL, small(m, width)};
    c->kind = a == GS_QUEEN_REST ? GS_QUEEN_ABSOLUTE : GS_QUEEN_RESIDUAL;
    c->decoder.layer_count = 1;
    c->latent = v;
    int rc = v && floats && l->w && l->shift ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    for (size_t i = 0; rc >= 0 && i < n; i++) {
        v[i] = draw(m) % 10 ? 0 : (int32_t)(draw(m) % 15) - 7;
        floats[i] = (float)v[i];
    }
    if (rc >= 0)
        rc = gs_queen_compress(&m->coded[a], floats, m->frame.count, in, 1);
    free(floats);
    return rc;
}

static int make_frame(struct made *m, const struct gs_scene *s)
{
    m->frame.count = (uint32_t)s->count;
    uint32_t *row = fv_arena_alloc(&m->arena, (s->count / 50 + 1) * sizeof *row);
    float *by = small(m, 3 * (s->count / 50 + 1));
    if (!row || !by)
        return FV_ENOMEM;
    for (size_t i = 0; i < s->count / 50; i++)
        row[m->frame.moved++] = (uint32_t)(50 * i);
    m->frame.moved_row = row;
    m->frame.moved_by = by;
    for (int a = 0; a < GS_QUEEN_ATTRIBUTES; a++)
        FV_TRY(make_change(m, a, s->sh_degree));
    return 0;
}

static int decode(const struct made *m, double *ms, size_t n)
{
    int rc = 0;
    for (size_t i = 0; rc >= 0 && i < n; i++) {
        double start = fv_cpu_time();
        for (int a = 0; rc >= 0 && a < GS_QUEEN_ATTRIBUTES; a++) {
            const struct gs_queen_coded *c = &m->coded[a];
            int32_t *out = malloc(((size_t)c->rows * c->width + 1) * sizeof *out);
            rc = out ? gs_queen_uncompress(c, out) : fv_fail(FV_ENOMEM, "out of memory");
            free(out);
        }
        ms[i] = 1e3 * (fv_cpu_time() - start);
    }
    return rc;
}

static int measure(struct app *app, struct gs_scene *s, const struct made *m, size_t n,
                   struct figures *f)
{
    struct vk_device *dev;
    struct gs_queen *q = NULL;
    double *wall = malloc(2 * n * sizeof *wall), *cpu = wall + n, start;
    int rc = wall ? app_device(app, &dev) : fv_fail(FV_ENOMEM, "out of memory");
    if (rc >= 0)
        rc = decode(m, wall, n);
    f->decode_ms = rc >= 0 ? spread_of(wall, n).median : 0;
    if (rc >= 0)
        rc = gs_queen_create(&q, dev, s, NULL);
    for (size_t i = 0; rc >= 0 && i < n + 2; i++) { /* two to warm up */
        double start_cpu = fv_cpu_time();
        start = fv_now();
        rc = gs_queen_advance(q, &m->frame);
        if (rc >= 0)
            rc = gs_queen_wait(q);
        wall[i < 2 ? 0 : i - 2] = 1e3 * (fv_now() - start);
        cpu[i < 2 ? 0 : i - 2] = 1e3 * (fv_cpu_time() - start_cpu);
    }
    f->update_ms = rc >= 0 ? spread_of(wall, n).median : 0;
    f->update_cpu_ms = rc >= 0 ? spread_of(cpu, n).median : 0;
    start = fv_now();
    if (rc >= 0)
        rc = gs_queen_apply(s, NULL, &m->frame);
    f->reference_ms = 1e3 * (fv_now() - start);
    gs_queen_destroy(&q);
    free(wall);
    return rc;
}

static void print(const struct bench_queen *o, const struct figures *f)
{
    if (o->json) {
        cJSON *r = cJSON_CreateObject();
        cJSON_AddStringToObject(r, "scene", o->scene);
        cJSON_AddNumberToObject(r, "gaussians", (double)f->gaussians);
        cJSON_AddNumberToObject(r, "coded_bytes", (double)f->bytes);
        cJSON_AddNumberToObject(r, "decode_ms", f->decode_ms);
        cJSON_AddNumberToObject(r, "update_wall_ms", f->update_ms);
        cJSON_AddNumberToObject(r, "update_cpu_ms", f->update_cpu_ms);
        cJSON_AddNumberToObject(r, "reference_ms", f->reference_ms);
        print_cjson(r);
        return;
    }
    char count[32], bytes[32];
    count_text(count, f->gaussians);
    bytes_text(bytes, f->bytes);
    printf("%s: %s Gaussians, latents of a frame in %s\n", o->scene, count, bytes);
    printf("  decode coded integers  %8.2f ms of CPU time\n", f->decode_ms);
    printf("  update on the device   %8.2f ms, %.2f of CPU time\n", f->update_ms, f->update_cpu_ms);
    printf("  update on the CPU      %8.2f ms\n", f->reference_ms);
}

int bench_queen(struct app *app, const struct bench_queen *o)
{
    struct gs_scene s;
    struct made m = {.seed = 1};
    struct figures f = {0};
    FV_TRY(gs_scene_load(&s, o->scene, NULL));
    f.gaussians = s.count;
    int rc = make_frame(&m, &s);
    for (int a = 0; a < GS_QUEEN_ATTRIBUTES; a++)
        f.bytes += m.coded[a].size;
    if (rc >= 0)
        rc = measure(app, &s, &m, o->frames ? (size_t)o->frames : 30, &f);
    if (rc >= 0)
        print(o, &f);
    for (int a = 0; a < GS_QUEEN_ATTRIBUTES; a++)
        gs_queen_coded_finish(&m.coded[a]);
    fv_arena_finish(&m.arena);
    gs_scene_finish(&s);
    return rc;
}

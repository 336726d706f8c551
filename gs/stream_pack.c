/* From a stream's integers to the renderer's packed Gaussians (gpu_scene.c), without a scene of floats
 * between. Floats are added and multiplied one after the other, rounded each, so that stream_pack.comp
 * makes the same bits. */
#include "gs/stream_gpu.h"
#include "vk/base/half.h"
#include "vk/base/thread.h"

#include <math.h>
#include <string.h>

void gs_packing_of(struct gs_stream_packing *out, const struct gs_stream_base *b)
{
    memcpy(out->origin, b->origin, sizeof out->origin);
    for (int a = 0; a < GS_ATTRS; a++)
        out->unit[a] = b->step[a] / (a == GS_POSITION ? GS_POSITION_UNITS : GS_UNITS);
}

static float within(float v, float least, float most)
{
    return v < least ? least : v > most ? most : v;
}

/* log2 of a standard deviation in 21 bits over [-30,30] */
static uint32_t scale_code(float ln)
{
    float code = (ln * GS_PACK_LOG2E + 30) * GS_PACK_SCALE;
    return (uint32_t)(within(code, 0, 2097151) + 0.5f);
}

static uint32_t snorm16(float v)
{
    return (uint32_t)(int32_t)floorf(within(v, -32767, 32767) + 0.5f) & 0xffff;
}

void gs_stream_pack_geometry(uint32_t geo[8], const struct gs_stream_packing *p,
                             const struct gs_stream_state *s, size_t i)
{
    const int32_t *position = s->v[GS_POSITION] + 3 * i, *scale = s->v[GS_SCALE] + 3 * i;
    const int32_t *rotation = s->v[GS_ROTATION] + 4 * i;
    for (int k = 0; k < 3; k++)
        geo[k] = fv_f32_bits(p->origin[k] + (float)position[k] * p->unit[GS_POSITION]);
    geo[3] = fv_f32_bits(within((float)s->v[GS_OPACITY][i] * p->unit[GS_OPACITY], GS_PACK_ALPHA,
                                1 - GS_PACK_ALPHA));
    float v[3], q[4], square = 0;
    uint32_t c[3];
    for (int k = 0; k < 3; k++)
        v[k] = (float)scale[k] * p->unit[GS_SCALE];
    c[0] = scale_code((GS_PACK_3 * v[0] + GS_PACK_2 * v[1]) + GS_PACK_6 * v[2]);
    c[1] = scale_code((GS_PACK_3 * v[0] - GS_PACK_2 * v[1]) + GS_PACK_6 * v[2]);
    c[2] = scale_code(GS_PACK_3 * v[0] - GS_PACK_66 * v[2]);
    geo[4] = c[0] | c[1] << 21;
    geo[5] = c[1] >> 11 | c[2] << 10;
    /* to length 1 from very near it, as all states are: a step of Newton's */
    for (int k = 0; k < 4; k++) {
        q[k] = (float)rotation[k] * (1.f / GS_ROTATION_ONE);
        square += q[k] * q[k];
    }
    float to_one = (1.5f - 0.5f * square) * 32767;
    geo[6] = snorm16(q[0] * to_one) | snorm16(q[1] * to_one) << 16;
    geo[7] = snorm16(q[2] * to_one) | snorm16(q[3] * to_one) << 16;
}

void gs_stream_pack_colours(uint32_t sh[], uint32_t stride, const struct gs_stream_packing *p,
                            const struct gs_stream_state *s, size_t i)
{
    float rgb[48] = {0};
    uint16_t h[48];
    size_t values = 0;
    for (int a = GS_COLOUR; a < (int)gs_attr_end(s->sh_degree); a++) {
        size_t comps = (size_t)gs_attr_comps((enum gs_attr)a);
        const int32_t *v = s->v[a] + comps * i;
        for (size_t k = 0; k < comps; k += 3, values += 3) {
            float y = (float)v[k] * p->unit[a], c = (float)v[k + 1] * p->unit[a];
            float d = (float)v[k + 2] * p->unit[a];
            rgb[values] = (GS_PACK_3 * y + GS_PACK_2 * c) + GS_PACK_6 * d;
            rgb[values + 1] = GS_PACK_3 * y - GS_PACK_66 * d;
            rgb[values + 2] = (GS_PACK_3 * y - GS_PACK_2 * c) + GS_PACK_6 * d;
        }
    }
    fv_f32_to_f16_array(h, rgb, 8 * (size_t)stride);
    memcpy(sh, h, 16 * (size_t)stride);
}

/* ---- into memory of the device ---- */

struct packing_rows {
    const struct gs_stream_packing *p;
    const struct gs_stream_group *g;
    const struct gs_gpu_scene *to;
    uint32_t since;
};

static int pack_rows(void *ud, size_t begin, size_t end)
{
    const struct packing_rows *r = ud;
    const struct gs_gpu_scene *to = r->to;
    uint32_t geo[8], sh[24];
    uint32_t c = 0;
    size_t first = 0; /* of the chunk */
    for (size_t i = begin; i < end; i++) {
        bool geometry = r->g->touched[GS_GEOMETRY][i] > r->since;
        bool colours = r->g->touched[GS_COLOURS][i] > r->since;
        if (!geometry && !colours)
            continue;
        while (i - first >= to->chunks[c].count)
            first += to->chunks[c++].count;
        if (geometry) {
            gs_stream_pack_geometry(geo, r->p, &r->g->state, i);
            memcpy((uint8_t *)to->chunks[c].geo.map + 32 * (i - first), geo, 32);
        }
        if (colours) {
            size_t row = 16 * (size_t)to->sh_stride;
            gs_stream_pack_colours(sh, to->sh_stride, r->p, &r->g->state, i);
            memcpy((uint8_t *)to->chunks[c].sh.map + row * (i - first), sh, row);
        }
    }
    return 0;
}

bool gs_stream_host_packs(const struct gs_gpu_scene *to)
{
    bool can = to->dev->caps.is_cpu;
    for (uint32_t c = 0; c < to->chunk_count; c++) {
        const struct gs_chunk *k = &to->chunks[c];
        can = can && k->geo.map && k->geo.coherent && k->sh.map && k->sh.coherent;
    }
    return can;
}

int gs_stream_pack(struct gs_gpu_scene *to, const struct gs_stream_packing *p,
                   const struct gs_stream_group *g, uint32_t since)
{
    return fv_parallel(g->state.count, 1 << 15, pack_rows, &(struct packing_rows){p, g, to, since});
}

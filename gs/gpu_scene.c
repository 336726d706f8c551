/* Gaussians on the device (gs.h): packed or float32, in chunks no larger than a binding.
 *
 * packed, per Gaussian:  geo 32 B  x y z opacity (f32) | log2 of the standard deviations, 21 bits
 *                        each over [-30,30], low bits first | quaternion w,x,y,z, 4 x snorm16
 *                        sh  (degree+1)^2 * 3 halfs, coefficient-major, padded to 16 B
 * exact:                 geo 48 B  x y z opacity | w x y z | sx sy sz 0
 *                        sh  the same as float32
 * Packed scenes are stored along a Morton curve so that neighbours in memory are neighbours in
 * the picture; exact ones keep the file's order, which decides ties of depth. */
#include "gs/gpu.h"
#include "gs/scene.h"
#include "vk/base/half.h"
#include "vk/base/thread.h"
#include "vk/xfer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_PER_UPLOAD = 1 << 17 };

uint32_t gs_sh_stride(int degree, bool exact)
{
    uint32_t values = 3 * (uint32_t)gs_sh_coefs(degree);
    return exact ? (values + 3) / 4 : (values + 7) / 8;
}

uint64_t gs_gpu_scene_bytes(size_t count, int sh_degree, bool exact)
{
    return (uint64_t)count * ((exact ? 48 : 32) + 16 * gs_sh_stride(sh_degree, exact));
}

struct packing {
    const struct gs_scene *s;
    const uint32_t *order; /* NULL = as they are */
    size_t first;
    uint32_t stride;
    uint8_t *geo, *sh;
};

static float sigmoid(float x)
{
    return (float)(1 / (1 + exp(-(double)x)));
}

static void normalised(float out[4], const float q[4])
{
    double n = 0;
    for (int i = 0; i < 4; i++)
        n += (double)q[i] * q[i];
    n = n > 0 ? 1 / sqrt(n) : 0;
    for (int i = 0; i < 4; i++)
        out[i] = (float)(q[i] * n);
}

static uint32_t scale_code(float ln)
{
    double log2_s = ln * 1.4426950408889634, code = (log2_s + 30) * (2097151.0 / 60);
    return !(code > 0) ? 0 : code > 2097151 ? 2097151 : (uint32_t)(code + 0.5);
}

static uint32_t snorm16(float v)
{
    return (uint32_t)lrintf(v * 32767) & 0xffff;
}

static int pack_rows(void *ud, size_t begin, size_t end)
{
    const struct packing *p = ud;
    const struct gs_scene *s = p->s;
    size_t values = 3 * (size_t)gs_sh_coefs(s->sh_degree);
    for (size_t i = begin; i < end; i++) {
        size_t row = p->order ? p->order[p->first + i] : p->first + i;
        uint32_t g[8];
        float q[4];
        uint64_t c[3];
        normalised(q, s->rotation + 4 * row);
        memcpy(g, s->position + 3 * row, 12);
        g[3] = fv_f32_bits(sigmoid(s->opacity[row]));
        for (int k = 0; k < 3; k++)
            c[k] = scale_code(s->scale[3 * row + k]);
        uint64_t scales = c[0] | c[1] << 21 | c[2] << 42;
        g[4] = (uint32_t)scales;
        g[5] = (uint32_t)(scales >> 32);
        g[6] = snorm16(q[0]) | snorm16(q[1]) << 16;
        g[7] = snorm16(q[2]) | snorm16(q[3]) << 16;
        memcpy(p->geo + 32 * i, g, 32);
        uint8_t *sh = p->sh + 16 * (size_t)p->stride * i;
        uint16_t h[48] = {0};
        fv_f32_to_f16_array(h, s->sh + values * row, values);
        memcpy(sh, h, 16 * (size_t)p->stride);
    }
    return 0;
}

static int exact_rows(void *ud, size_t begin, size_t end)
{
    const struct packing *p = ud;
    const struct gs_scene *s = p->s;
    size_t values = 3 * (size_t)gs_sh_coefs(s->sh_degree);
    for (size_t i = begin; i < end; i++) {
        size_t row = p->first + i;
        float g[12] = {0}, sh[48] = {0};
        memcpy(g, s->position + 3 * row, 12);
        g[3] = sigmoid(s->opacity[row]);
        normalised(g + 4, s->rotation + 4 * row);
        for (int k = 0; k < 3; k++)
            g[8 + k] = (float)exp(s->scale[3 * row + k]);
        memcpy(p->geo + 48 * i, g, 48);
        memcpy(sh, s->sh + values * row, values * sizeof(float));
        memcpy(p->sh + 16 * (size_t)p->stride * i, sh, 16 * (size_t)p->stride);
    }
    return 0;
}

/* Writes rows [first, first+n) of the chunk, straight into mapped device memory where that is
 * possible, else through a host buffer. */
static int send_rows(const struct gs_chunk *c, struct packing *p, size_t at, size_t n, bool exact,
                     uint8_t *room)
{
    size_t geo_row = exact ? 48 : 32, sh_row = 16 * (size_t)p->stride;
    bool direct = c->geo.map && c->geo.coherent && c->sh.map && c->sh.coherent;
    p->geo = direct ? (uint8_t *)c->geo.map + at * geo_row : room;
    p->sh = direct ? (uint8_t *)c->sh.map + at * sh_row : room + n * geo_row;
    FV_TRY(fv_parallel(n, 8192, exact ? exact_rows : pack_rows, p));
    if (direct)
        return 0;
    FV_TRY(vk_upload(&c->geo, at * geo_row, p->geo, n * geo_row));
    return vk_upload(&c->sh, at * sh_row, p->sh, n * sh_row);
}

static int fill(struct gs_gpu_scene *out, const struct gs_scene *s, const uint32_t *order,
                const struct gs_upload_opts *o)
{
    size_t first = 0, geo_row = out->exact ? 48 : 32;
    uint8_t *room = malloc(ROWS_PER_UPLOAD * (geo_row + 16 * (size_t)out->sh_stride));
    int rc = room ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    for (uint32_t c = 0; !rc && c < out->chunk_count; c++) {
        const struct gs_chunk *chunk = &out->chunks[c];
        for (size_t at = 0; at < chunk->count; at += ROWS_PER_UPLOAD) {
            size_t n = chunk->count - at < ROWS_PER_UPLOAD ? chunk->count - at : ROWS_PER_UPLOAD;
            struct packing p = {s, order, first + at, out->sh_stride, NULL, NULL};
            FV_GOTO(send_rows(chunk, &p, at, n, out->exact, room));
            struct fv_progress progress = {"uploading", (double)(first + at + n), (double)s->count};
            if (o->on_progress && o->on_progress(o->ud, &progress))
                FV_GOTO(fv_fail(FV_ECANCELLED, "cancelled"));
        }
        first += chunk->count;
    }
done:
    free(room);
    return rc;
}

static int ascending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

/* How far the depth key has to reach: a far outlier must not coarsen everybody's depth. */
static float reach_of(const struct gs_scene *s, const float centre[3])
{
    enum { MOST = 20000 };
    size_t step = s->count / MOST + 1, n = 0;
    float *d = malloc((s->count / step + 1) * sizeof *d), reach = 0;
    if (!d)
        return 0;
    for (size_t i = 0; i < s->count; i += step) {
        double sum = 0;
        for (int k = 0; k < 3; k++) {
            double v = (double)s->position[3 * i + k] - centre[k];
            sum += v * v;
        }
        d[n++] = (float)sqrt(sum);
    }
    qsort(d, n, sizeof *d, ascending);
    if (n)
        reach = d[(size_t)((double)(n - 1) * 0.999)];
    free(d);
    return reach;
}

/* Gaussians a chunk may hold. */
static uint64_t chunk_room(const struct gs_gpu_scene *g)
{
    uint64_t row = 16 * (uint64_t)(g->sh_stride > 3 ? g->sh_stride : 3);
    uint64_t room = vk_buf_max(g->dev) / row;
    uint64_t texels = g->dev->caps.max_texel_elements / (row / 16);
    if (texels >= 1u << 20 && room > texels)
        room = texels;
    if (room > 1u << 22) /* keeps group counts below the guaranteed 65535 */
        room = 1u << 22;
    return room / GS_BLOCK * GS_BLOCK;
}

static int make_room(struct gs_gpu_scene *g, struct gs_chunk *c, uint64_t room)
{
    uint64_t geo_row = g->exact ? 48 : 32;
    if (c->room >= c->count)
        return 0;
    c->room = 0;
    vk_buf_destroy(&c->geo);
    vk_buf_destroy(&c->sh);
    FV_TRY(vk_buf_create(&c->geo, g->dev, room * geo_row, VK_BUF_DEVICE, "Gaussians"));
    FV_TRY(vk_buf_create(&c->sh, g->dev, room * 16 * g->sh_stride, VK_BUF_DEVICE,
                         "spherical harmonics"));
    c->room = (uint32_t)room;
    return 0;
}

/* Chunks for so many, each with `slack` of its Gaussians as room for more. */
static int lay_out(struct gs_gpu_scene *g, size_t count, double slack)
{
    uint64_t room = chunk_room(g);
    uint32_t chunks = (uint32_t)((count + room - 1) / room);
    g->count = g->block_count = 0;
    for (uint32_t c = chunks; c < g->chunk_count; c++) {
        vk_buf_destroy(&g->chunks[c].geo);
        vk_buf_destroy(&g->chunks[c].sh);
    }
    g->chunk_count = chunks < g->chunk_count ? chunks : g->chunk_count;
    struct gs_chunk *list = realloc(g->chunks, (chunks ? chunks : 1) * sizeof *list);
    if (!list)
        return fv_fail(FV_ENOMEM, "out of memory");
    g->chunks = list;
    memset(list + g->chunk_count, 0, (chunks - g->chunk_count) * sizeof *list);
    g->chunk_count = chunks;
    for (uint32_t c = 0; c < chunks; c++) {
        size_t left = count - (size_t)c * room;
        uint64_t wanted = (uint64_t)((double)left * (1 + slack));
        list[c].count = (uint32_t)(left < room ? left : room);
        list[c].block = g->block_count;
        g->block_count += (list[c].count + GS_BLOCK - 1) / GS_BLOCK;
        if (!g->made || !g->made->bare)
            FV_TRY(make_room(g, &list[c], wanted < room ? wanted : room));
    }
    g->count = count;
    return 0;
}

/* Where it is and how far it reaches. */
void gs_gpu_scene_place(struct gs_gpu_scene *g, const struct gs_scene *s)
{
    struct gs_bounds bounds;
    gs_scene_bounds(s, &bounds);
    memcpy(g->centre, bounds.centre, sizeof g->centre);
    g->radius = bounds.radius;
    g->reach = reach_of(s, g->centre);
}

/* Without Gaussians yet. */
static int create_empty(struct gs_gpu_scene **out, struct vk_device *dev, const struct gs_scene *s, bool exact)
{
    *out = NULL;
    if (s->count > 1u << 30)
        return fv_fail(FV_EUNSUPPORTED, "%zu Gaussians: at most 2^30 can be drawn", s->count);
    struct gs_gpu_scene *g = calloc(1, sizeof *g);
    if (!g)
        return fv_fail(FV_ENOMEM, "out of memory");
    g->dev = dev;
    g->exact = exact;
    g->mode = s->mode;
    g->sh_degree = (uint32_t)s->sh_degree;
    g->sh_stride = gs_sh_stride(s->sh_degree, exact);
    gs_gpu_scene_place(g, s);
    *out = g;
    return 0;
}

int gs_gpu_scene_make(struct gs_gpu_scene **out, struct vk_device *dev, const struct gs_scene *s,
                      bool exact)
{
    FV_TRY(create_empty(out, dev, s, exact));
    int rc = lay_out(*out, s->count, 0);
    if (rc < 0)
        gs_gpu_scene_destroy(out);
    return rc;
}

int gs_gpu_scene_resize(struct gs_gpu_scene *g, size_t count)
{
    if (count > 1u << 30)
        return fv_fail(FV_EUNSUPPORTED, "%zu Gaussians: at most 2^30 can be drawn", count);
    int rc = lay_out(g, count, 0.125);
    if (rc < 0) {
        g->count = g->block_count = 0;
        for (uint32_t c = 0; c < g->chunk_count; c++)
            g->chunks[c].count = g->chunks[c].block = 0;
    }
    return rc;
}

int gs_gpu_scene_unfold(struct gs_made *m)
{
    if (!m->bare)
        return 0;
    for (uint32_t c = 0; c < m->scene->chunk_count; c++)
        FV_TRY(make_room(m->scene, &m->scene->chunks[c], m->scene->chunks[c].count));
    m->bare = false;
    return 0;
}

int gs_gpu_scene_create(struct gs_gpu_scene **out, struct vk_device *dev, const struct gs_scene *s,
                        const struct gs_upload_opts *opts)
{
    const struct gs_upload_opts none = {0}, *o = opts ? opts : &none;
    struct gs_gpu_scene *g;
    uint32_t *order = NULL;
    int rc = 0;
    *out = NULL;
    FV_TRY(gs_gpu_scene_make(&g, dev, s, o->exact));
    g->in_order = o->exact || o->in_order;
    if (!g->in_order && s->count) {
        order = malloc(s->count * sizeof *order);
        if (!order)
            FV_GOTO(fv_fail(FV_ENOMEM, "out of memory"));
        FV_GOTO(gs_scene_morton(s, order));
    }
    FV_GOTO(fill(g, s, order, o));
    *out = g;
    g = NULL;
done:
    free(order);
    gs_gpu_scene_destroy(&g);
    return rc;
}

int gs_gpu_scene_create_made(struct gs_gpu_scene **out, struct vk_device *dev,
                             const struct gs_scene *around, size_t room, bool exact,
                             const struct gs_maker *maker)
{
    struct gs_scene flat = *around;
    flat.sh_degree = 0;
    FV_TRY(create_empty(out, dev, &flat, exact));
    struct gs_gpu_scene *g = *out;
    int rc = 0;
    g->made = calloc(1, sizeof *g->made);
    if (!g->made)
        FV_GOTO(fv_fail(FV_ENOMEM, "out of memory"));
    *g->made = (struct gs_made){.maker = *maker, .scene = g, .version = 1, .bare = maker->first != NULL};
    g->made->maker.finish = NULL; /* until all went well */
    FV_GOTO(gs_gpu_scene_resize(g, room ? room : 1));
    g->made->maker.finish = maker->finish;
    return 0;
done:
    gs_gpu_scene_destroy(out);
    return rc;
}

uint64_t gs_gpu_scene_held(const struct gs_gpu_scene *g)
{
    const struct gs_maker *maker = g->made ? &g->made->maker : NULL;
    uint64_t sum = maker && maker->bytes ? maker->bytes(maker->ud) : 0;
    for (uint32_t c = 0; c < g->chunk_count; c++)
        sum += g->chunks[c].geo.size + g->chunks[c].sh.size;
    return sum;
}

/* Rows of a chunk of float32 attributes. */
static void fetch_rows(struct gs_scene *out, size_t at, size_t n, const float *geo, const float *sh)
{
    for (size_t i = 0; i < n; i++, geo += 12, sh += 4) {
        memcpy(out->position + 3 * (at + i), geo, 12);
        out->opacity[at + i] = (float)gs_logit((double)geo[3]);
        memcpy(out->rotation + 4 * (at + i), geo + 4, 16);
        memcpy(out->sh + 3 * (at + i), sh, 12);
        for (int k = 0; k < 3; k++)
            out->scale[3 * (at + i) + (size_t)k] = logf(geo[8 + k]);
    }
}

int gs_gpu_scene_fetch(const struct gs_gpu_scene *g, size_t count, struct gs_scene *out)
{
    if (!g->exact || g->sh_degree || count > g->count || (g->made && g->made->bare))
        return fv_fail(FV_EINVALID, "only exact scenes without harmonics are fetched, whose Gaussians are written");
    FV_TRY(gs_scene_alloc(out, count, 0));
    size_t at = 0;
    int rc = 0;
    for (uint32_t c = 0; rc >= 0 && c < g->chunk_count && at < count; c++) {
        size_t n = count - at < g->chunks[c].count ? count - at : g->chunks[c].count;
        float *geo = malloc(n * 64);
        rc = geo ? vk_download(geo, &g->chunks[c].geo, 0, n * 48) : fv_fail(FV_ENOMEM, "out of memory");
        if (rc >= 0)
            rc = vk_download(geo + 12 * n, &g->chunks[c].sh, 0, n * 16);
        if (rc >= 0)
            fetch_rows(out, at, n, geo, geo + 12 * n);
        free(geo);
        at += n;
    }
    if (rc < 0)
        gs_scene_finish(out);
    return rc;
}

int gs_gpu_scene_update(struct gs_gpu_scene *g, const struct gs_scene *s)
{
    static const struct gs_upload_opts quiet = {0};
    if (!g->in_order || s->count != g->count || (uint32_t)s->sh_degree != g->sh_degree)
        return fv_fail(FV_EINVALID, "%zu Gaussians with SH %d do not replace %zu with SH %u%s",
                       s->count, s->sh_degree, g->count, g->sh_degree,
                       g->in_order ? "" : " that are in an order of their own");
    gs_gpu_scene_place(g, s);
    g->stream_group = 0;
    return fill(g, s, NULL, &quiet);
}

void gs_gpu_scene_destroy(struct gs_gpu_scene **s)
{
    if (!*s)
        return;
    for (uint32_t c = 0; (*s)->chunks && c < (*s)->chunk_count; c++) {
        vk_buf_destroy(&(*s)->chunks[c].geo);
        vk_buf_destroy(&(*s)->chunks[c].sh);
    }
    struct gs_maker maker = (*s)->made ? (*s)->made->maker : (struct gs_maker){0};
    free((*s)->chunks);
    free((*s)->made);
    free(*s);
    *s = NULL;
    if (maker.finish)
        maker.finish(maker.ud);
}

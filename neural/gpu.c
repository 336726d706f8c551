/* A model on the device: what no view changes, once (neural.h).
 *
 * An anchor takes, besides its features where a feature bank needs them for every view,
 *   place  its position, deviations and turn (48 bytes), its offsets as halves
 *   cache  sums of the networks' first layers over its feature (SAGS: what is encoded), as halves
 *   raw    its opacities of the view (SAGS' are in the list)
 *   dead   SAGS: the eye that it had no Gaussian for, and how far it was from one (16 bytes)
 * and as float32 with exact. Anchors lie along a Morton curve, with exact in the model's order. */
#include "neural/gpu.h"
#include "vk/base/half.h"
#include "vk/xfer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_PER_UPLOAD = 1 << 14, MAX_SEGMENT = 1 << 19, MAX_QUADS = 32 };

static int upload(struct vk_buf *b, struct vk_device *dev, const float *data, size_t floats,
                  const char *label)
{
    FV_TRY(vk_buf_create(b, dev, floats * sizeof *data, VK_BUF_DEVICE, label));
    return vk_upload(b, 0, data, floats * sizeof *data);
}

/* ---- what kernels can do ---- */

static int measure(struct nl_gpu *g, const struct nl_model *m)
{
    uint32_t layers = m->arch == NL_SAGS ? 3 : 2, width = nl_encoded_width(m), most = 0;
    g->arch = m->arch;
    g->offsets = m->offsets;
    g->bank = m->bank.layers > 0;
    g->feature_quads = (width + 3) / 4;
    for (int i = 0; i < NL_NETS; i++) {
        if (m->net[i].layers != layers)
            return fv_fail(FV_EUNSUPPORTED, "networks of %u layers; the kernels' have %u",
                           m->net[i].layers, layers);
        for (uint32_t l = 0; l + 1 < layers; l++)
            most = m->net[i].layer[l].out > most ? m->net[i].layer[l].out : most;
    }
    g->hidden = (most + 31) / 32 * 32;
    if (g->hidden > NL_MAX_HIDDEN)
        return fv_fail(FV_EUNSUPPORTED, "networks of %u hidden units; the kernels take %d", most,
                       NL_MAX_HIDDEN);
    if (g->feature_quads > MAX_QUADS)
        return fv_fail(FV_EUNSUPPORTED, "features of %u numbers; the kernels take %d", width,
                       4 * MAX_QUADS);
    if (g->bank && m->bank.layers != 2)
        return fv_fail(FV_EUNSUPPORTED, "a feature bank of %u layers; the kernels' has 2", m->bank.layers);
    g->bank_hidden = g->bank ? m->bank.layer[0].out : 0;
    uint32_t per = g->exact ? 4 : 8;
    g->stride = NL_PLACE + (3 * g->offsets + per - 1) / per;
    return 0;
}

static uint32_t cache_words(const struct nl_gpu *g)
{
    return 3 * g->hidden / (g->exact ? 1 : 2);
}

/* Anchors of a segment. */
static uint32_t segment_room(const struct nl_gpu *g)
{
    uint64_t row = 16ull * g->stride > 4ull * cache_words(g) ? 16ull * g->stride : 4ull * cache_words(g);
    row = g->bank && 16ull * g->feature_quads > row ? 16ull * g->feature_quads : row;
    uint64_t room = vk_buf_max(g->dev) / row, texels = g->dev->caps.max_texel_elements / (row / 16);
    if (texels >= 1u << 16 && room > texels)
        room = texels;
    room = room > MAX_SEGMENT ? MAX_SEGMENT : room;
    return (uint32_t)(room / NL_BLOCK * NL_BLOCK);
}

/* ---- anchors ---- */

struct filling {
    const struct nl_model *m;
    const struct nl_encoded *e;
    const uint32_t *order; /* rows of e */
    float *move;           /* SAGS: [3][width + 1], the offset network as one matrix */
};

/* A network without anything between its layers is one matrix. */
static int collapse(struct filling *f)
{
    const struct nl_mlp *n = &f->m->move;
    uint32_t width = f->e->width;
    if (!n->layers)
        return 0;
    f->move = malloc(3 * (size_t)(width + 1) * sizeof *f->move);
    if (!f->move)
        return fv_fail(FV_ENOMEM, "out of memory");
    double zero[3], out[3], in[NL_HASH_WIDTH + 2 * NL_MAX_FEATURE] = {0};
    nl_run(n, in, zero);
    for (uint32_t c = 0; c <= width; c++) {
        if (c < width)
            in[c] = 1;
        nl_run(n, in, out);
        in[c < width ? c : 0] = 0;
        for (uint32_t a = 0; a < 3; a++)
            f->move[a * (width + 1) + c] = (float)(c < width ? out[a] - zero[a] : zero[a]);
    }
    return 0;
}

static float offset_value(const struct filling *f, uint32_t row, uint32_t i, uint32_t n)
{
    const struct nl_model *m = f->m;
    if (m->offset)
        return m->offset[3 * (size_t)m->offsets * i + n];
    const float *w = f->move + n * (f->e->width + 1), *x = f->e->feature + (size_t)row * f->e->width;
    double sum = (double)w[f->e->width];
    for (uint32_t c = 0; c < f->e->width; c++)
        sum += (double)w[c] * (double)x[c];
    return (float)sum;
}

/* An anchor's uvec4, NL_BLOCK apart. */
static void place_row(const struct nl_gpu *g, const struct filling *f, uint32_t row, uint32_t *out)
{
    enum { APART = 4 * NL_BLOCK };
    uint32_t i = f->e->index[row];
    const float *l = f->m->scaling + 6 * (size_t)i, *r = f->m->rotation + 4 * (size_t)i;
    double norm = 0;
    for (int k = 0; k < 4; k++)
        norm += (double)r[k] * (double)r[k];
    norm = norm > 0 ? 1 / sqrt(norm) * (r[0] < 0 ? -1 : 1) : 0;
    for (size_t k = 0; k < 3; k++) {
        out[k] = fv_f32_bits(f->m->position[3 * (size_t)i + k]);
        out[APART + k] = fv_f32_bits((float)exp((double)l[k]));
        out[2 * APART + k] = fv_f32_bits((float)exp((double)l[3 + k]));
        out[APART * k + 3] = fv_f32_bits((float)(r[1 + k] * norm));
    }
    uint32_t per = g->exact ? 4 : 8;
    for (uint32_t n = 0; n < 3 * g->offsets; n++) {
        float v = offset_value(f, row, i, n);
        uint32_t *to = out + APART * (NL_PLACE + n / per) + n % per * 4 / per;
        if (g->exact)
            *to = fv_f32_bits(v);
        else
            *to |= (uint32_t)fv_f32_to_f16(v) << 16 * (n & 1);
    }
}

static int send_places(const struct nl_gpu *g, const struct filling *f, const struct nl_segment *s,
                       uint32_t first)
{
    uint32_t words = 4 * g->stride;
    uint32_t *room = malloc(4ull * words * ROWS_PER_UPLOAD);
    int rc = room ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    for (uint32_t at = 0; rc >= 0 && at < s->count; at += ROWS_PER_UPLOAD) {
        uint32_t n = s->count - at < ROWS_PER_UPLOAD ? s->count - at : ROWS_PER_UPLOAD;
        uint32_t padded = (n + NL_BLOCK - 1) / NL_BLOCK * NL_BLOCK;
        memset(room, 0, 4ull * words * padded);
        for (uint32_t i = 0; i < n; i++)
            place_row(g, f, f->order[first + at + i], room + 4 * NL_ROW((size_t)i, g->stride, 0));
        rc = vk_upload(&s->place, 4ull * words * at, room, 4ull * words * padded);
    }
    free(room);
    return rc;
}

/* Features of rows [at, at + n) of a segment, padded, at `to` of a buffer. */
static int send_features(const struct nl_gpu *g, const struct filling *f, const struct vk_buf *buf,
                         uint64_t to, uint32_t row, uint32_t n, float *room)
{
    size_t width = f->e->width, padded = 4 * (size_t)g->feature_quads;
    memset(room, 0, n * padded * sizeof *room);
    for (uint32_t i = 0; i < n; i++)
        memcpy(room + i * padded, f->e->feature + f->order[row + i] * width, width * sizeof *room);
    return vk_upload(buf, to * padded * sizeof *room, room, n * padded * sizeof *room);
}

/* The first layers' sums of a segment, piece by piece; with a bank only features are sent. */
static int fill_cache(const struct nl_gpu *g, const struct filling *f, const struct nl_segment *s,
                      uint32_t first, struct vk_cmd *cmd)
{
    static const double nowhere[3] = {0};
    size_t bytes = 16ull * g->feature_quads * ROWS_PER_UPLOAD;
    bool tex = g->dev->caps.max_texel_elements >= 1u << 24;
    struct vk_buf piece = {0};
    float *room = malloc(bytes);
    int rc = room ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    if (rc >= 0 && !g->bank)
        rc = vk_buf_create(&piece, g->dev, bytes, VK_BUF_DEVICE, "features");
    for (uint32_t at = 0; rc >= 0 && at < s->count; at += ROWS_PER_UPLOAD) {
        uint32_t n = s->count - at < ROWS_PER_UPLOAD ? s->count - at : ROWS_PER_UPLOAD;
        uint64_t ticket;
        FV_GOTO(send_features(g, f, g->bank ? &s->feature : &piece, g->bank ? at : 0, first + at, n, room));
        if (g->bank)
            continue;
        vk_cmd_begin(cmd);
        if (g->arch == NL_SAGS)
            vk_cmd_fill(cmd, &s->dead, 0, s->dead.size, 0);
        nl_record_first(g, cmd, s, &piece, at, n, 0, tex, nowhere);
        FV_GOTO(vk_cmd_submit(cmd, &ticket));
        FV_GOTO(vk_wait(g->dev, ticket));
    }
done:
    vk_buf_destroy(&piece);
    free(room);
    return rc;
}

static int make_segment(struct nl_gpu *g, struct nl_segment *s)
{
    uint64_t n = ((uint64_t)s->count + NL_BLOCK - 1) / NL_BLOCK * NL_BLOCK;
    FV_TRY(vk_buf_create(&s->place, g->dev, 16ull * g->stride * n, VK_BUF_DEVICE, "anchors"));
    FV_TRY(vk_buf_create(&s->cache, g->dev, 4ull * cache_words(g) * n, VK_BUF_DEVICE, "sums of features"));
    if (g->bank)
        FV_TRY(vk_buf_create(&s->feature, g->dev, 16ull * g->feature_quads * n, VK_BUF_DEVICE, "features"));
    if (g->arch == NL_SAGS) /* opacities are in the list */
        return vk_buf_create(&s->dead, g->dev, 16 * n, VK_BUF_DEVICE, "dead points");
    return vk_buf_create(&s->raw, g->dev, 4 * n * g->offsets, VK_BUF_DEVICE, "opacities");
}

static int fill(struct nl_gpu *g, struct filling *f)
{
    uint32_t room = segment_room(g), first = 0;
    struct vk_cmd *cmd = NULL;
    int rc = 0;
    if (!room)
        return fv_fail(FV_EUNSUPPORTED, "the device's buffers hold no block of anchors");
    g->segment = calloc((g->count + room - 1) / room, sizeof *g->segment);
    if (!g->segment)
        return fv_fail(FV_ENOMEM, "out of memory");
    FV_TRY(vk_cmd_create(&cmd, g->dev));
    while (first < g->count) {
        struct nl_segment *s = &g->segment[g->segments++];
        s->count = g->count - first < room ? g->count - first : room;
        s->block = g->blocks;
        g->blocks += (s->count + NL_BLOCK - 1) / NL_BLOCK;
        FV_GOTO(make_segment(g, s));
        FV_GOTO(send_places(g, f, s, first));
        FV_GOTO(fill_cache(g, f, s, first, cmd));
        first += s->count;
    }
done:
    vk_cmd_destroy(&cmd);
    return rc;
}

/* ---- the whole ---- */

static int send_networks(struct nl_gpu *g, const struct nl_model *m, uint32_t camera)
{
    float *data = NULL;
    size_t n;
    int rc = nl_pack_net(m, g, &data, &n);
    if (rc >= 0)
        rc = upload(&g->net, g->dev, data, n, "networks");
    free(data);
    data = NULL;
    if (rc >= 0)
        rc = nl_pack_first(m, g, camera, &data, &n);
    if (rc >= 0)
        rc = upload(&g->first, g->dev, data, n, "first layers");
    free(data);
    return rc;
}

/* The order of anchors on the device, as rows of e. */
static int order_of(const struct nl_gpu *g, const struct gs_scene *around, uint32_t *order)
{
    for (uint32_t i = 0; i < g->count; i++)
        order[i] = i;
    return g->exact ? 0 : gs_scene_morton(around, order);
}

static void finish_owned(void *ud)
{
    struct nl_gpu *g = ud;
    g->scene = NULL;
    nl_gpu_destroy(&g);
}

static uint64_t bytes_of(void *ud)
{
    return nl_gpu_bytes(ud);
}

static int create(struct nl_gpu *g, const struct nl_model *m, const struct nl_encoded *e,
                  const struct nl_gpu_opts *o)
{
    struct filling f = {.m = m, .e = e};
    struct gs_scene around = {.count = e->count, .sh_degree = 0};
    uint32_t *order = malloc(e->count * sizeof *order);
    around.position = malloc(3 * (size_t)e->count * sizeof(float));
    struct gs_maker maker = {g, nl_record_view, o->owned ? finish_owned : NULL, bytes_of, NULL, 0};
    int rc = order && around.position ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    for (uint32_t i = 0; rc >= 0 && i < e->count; i++)
        memcpy(around.position + 3 * (size_t)i, m->position + 3 * (size_t)e->index[i], 3 * sizeof(float));
    if (rc >= 0)
        rc = measure(g, m);
    if (rc >= 0)
        rc = send_networks(g, m, o->camera);
    if (rc >= 0 && g->arch == NL_SAGS)
        nl_opacity_growth(m, &g->by_turn, &g->by_distance);
    if (rc >= 0)
        rc = order_of(g, &around, order);
    f.order = order;
    if (rc >= 0)
        rc = collapse(&f);
    if (rc >= 0)
        rc = fill(g, &f);
    if (rc >= 0)
        rc = vk_buf_create(&g->list, g->dev, 4ull * NL_LIST * g->blocks, VK_BUF_DEVICE, "living anchors");
    if (rc >= 0)
        rc = vk_buf_create(&g->start, g->dev, 4ull * (g->blocks + 1), VK_BUF_DEVICE, "first Gaussians");
    maker.first = o->apart ? NULL : &g->start;
    maker.blocks = g->blocks;
    if (rc >= 0)
        rc = gs_gpu_scene_create_made(&g->scene, g->dev, &around,
                                      (size_t)e->count * (m->offsets + 1) / 4 + 1, g->exact, &maker);
    free(f.move);
    free(around.position);
    free(order);
    return rc;
}

int nl_gpu_create(struct nl_gpu **out, struct vk_device *dev, const struct nl_model *m,
                  const struct nl_encoded *e, const struct nl_gpu_opts *opts)
{
    static const struct nl_gpu_opts none = {0};
    const struct nl_gpu_opts *o = opts ? opts : &none;
    *out = NULL;
    if (m->appearance && o->camera >= m->cameras)
        return fv_fail(FV_EINVALID, "appearance %u: the model has %u", o->camera, m->cameras);
    if (!e->count)
        return fv_fail(FV_EINVALID, "no anchors are looked at");
    struct nl_gpu *g = *out = calloc(1, sizeof *g);
    if (!g)
        return fv_fail(FV_ENOMEM, "out of memory");
    g->dev = dev;
    g->exact = o->exact;
    g->all = o->all;
    g->count = e->count;
    int rc = create(g, m, e, o);
    if (rc < 0)
        nl_gpu_destroy(out);
    return rc;
}

void nl_gpu_destroy(struct nl_gpu **out)
{
    struct nl_gpu *g = *out;
    if (!g)
        return;
    gs_gpu_scene_destroy(&g->scene);
    for (uint32_t i = 0; i < g->segments; i++) {
        vk_buf_destroy(&g->segment[i].place);
        vk_buf_destroy(&g->segment[i].cache);
        vk_buf_destroy(&g->segment[i].raw);
        vk_buf_destroy(&g->segment[i].dead);
        vk_buf_destroy(&g->segment[i].feature);
    }
    free(g->segment);
    vk_buf_destroy(&g->net);
    vk_buf_destroy(&g->first);
    vk_buf_destroy(&g->list);
    vk_buf_destroy(&g->start);
    free(g);
    *out = NULL;
}

struct gs_gpu_scene *nl_gpu_scene(const struct nl_gpu *g)
{
    return g->scene;
}

uint64_t nl_gpu_decodes(const struct nl_gpu *g)
{
    return g->decodes;
}

uint64_t nl_gpu_bytes(const struct nl_gpu *g)
{
    uint64_t sum = g->net.size + g->first.size + g->list.size + g->start.size;
    for (uint32_t i = 0; i < g->segments; i++) {
        const struct nl_segment *s = &g->segment[i];
        sum += s->place.size + s->cache.size + s->raw.size + s->dead.size + s->feature.size;
    }
    return sum;
}

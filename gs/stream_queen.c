/* Frames of the QUEEN model, coded (stream_queen.h). One function a syntax serves both directions,
 * as in range_coder.h. */
#include "gs/stream_queen.h"
#include "gs/scene.h"
#include "vk/base/thread.h"

#include <stdlib.h>
#include <string.h>

int gs_queen_section(int part)
{
    static const enum gs_attr of[GS_QUEEN_PARTS] = {[GS_QUEEN_DC] = GS_COLOUR,
                                                    [GS_QUEEN_REST] = GS_SH1,
                                                    [GS_QUEEN_SCALE] = GS_SCALE,
                                                    [GS_QUEEN_ROTATION] = GS_ROTATION,
                                                    [GS_QUEEN_OPACITY] = GS_OPACITY,
                                                    [GS_QUEEN_POSITION] = GS_POSITION};
    return GS_SECTION_ATTRS + (int)of[part];
}

static const char *part_name(int part)
{
    return part == GS_QUEEN_POSITION ? "xyz"
                                     : gs_queen_attribute_name((enum gs_queen_attribute)part);
}

static int no_memory(const char *what)
{
    return fv_fail(FV_ENOMEM, "no memory for %s", what);
}

/* ---- whole 32-bit numbers ---- */

struct wide_models {
    struct gs_bit length[9][64]; /* by length of the one before */
    struct gs_bit top[33][8];
};

static void reset_wide(struct wide_models *m)
{
    gs_bits_reset(&m->length[0][0], sizeof m->length / sizeof(struct gs_bit));
    gs_bits_reset(&m->top[0][0], sizeof m->top / sizeof(struct gs_bit));
}

/* Up to 8 bits of probability 1/2 at once. */
static uint32_t code_even_bits(struct gs_coder *c, unsigned bits, uint32_t v)
{
    c->range >>= bits;
    if (!c->writing) {
        v = c->code / c->range;
        v = v < 1u << bits ? v : (1u << bits) - 1;
    }
    c->low += (uint64_t)c->range * v;
    c->code -= c->range * v;
    while (c->range < 1u << 24)
        gs_coder_shift(c, c->writing);
    return v;
}

/* Its length, three more bits, the rest as they are. */
static uint32_t code_wide(struct gs_coder *c, struct wide_models *m, unsigned *last, uint32_t v)
{
    uint32_t length = 0, read = 0;
    for (uint32_t x = v; x; x >>= 1)
        length++;
    struct gs_bit *tree = m->length[*last / 4];
    for (uint32_t node = 1, k = 0; k < 6; k++) {
        bool bit = gs_code_bit(c, &tree[node], length >> (5 - k) & 1);
        node = node * 2 + bit;
        read = node & 63;
    }
    length = read > 32 ? 32 : read;
    *last = length;
    if (length < 2)
        return length;
    uint32_t out = 1, left = length - 1, prefix = 1;
    for (; left && prefix < 8; left--) {
        bool bit = gs_code_bit(c, &m->top[length][prefix], v >> (left - 1) & 1);
        prefix = prefix * 2 + bit;
        out = out * 2 + bit;
    }
    while (left) {
        unsigned n = left < 8 ? left : 8;
        left -= n;
        out = out << n | code_even_bits(c, n, v >> left & ((1u << n) - 1));
    }
    return out;
}

static uint32_t zigzag(uint32_t difference)
{
    return difference << 1 ^ (difference >> 31 ? ~0u : 0);
}

static uint32_t unzigzag(uint32_t z)
{
    return z >> 1 ^ (z & 1 ? ~0u : 0);
}

/* Floats as integers in the floats' order. */
static uint32_t ordered(float v)
{
    uint32_t u;
    memcpy(&u, &v, 4);
    return u >> 31 ? ~u : u | 1u << 31;
}

static float unordered(uint32_t u)
{
    float v;
    u = u >> 31 ? u & ~(1u << 31) : ~u;
    memcpy(&v, &u, 4);
    return v;
}

/* All 32 bits of a float, by what it differs from one that is near. */
static float code_float(struct gs_coder *c, struct wide_models *m, unsigned *last, float near,
                        float v)
{
    uint32_t z = code_wide(c, m, last, zigzag(ordered(v) - ordered(near)));
    return unordered(ordered(near) + unzigzag(z));
}

/* ---- planes of floats ---- */

/* Floats of one attribute of every Gaussian. */
struct plane {
    float *at;      /* of row 0; written or read */
    size_t stride;
    uint32_t width, count;
    /* what a row is near to: one of other floats, plus a shift; or without them the row before */
    const float *from;
    size_t from_stride;
    const uint32_t *parent; /* NULL: the same row */
};

static const float *from_row(const struct plane *p, uint32_t i)
{
    return p->from + (p->parent ? p->parent[i] : i) * p->from_stride;
}

static int by_value(const void *a, const void *b)
{
    const float *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* By how much most rows differ: that of the middle one of a few thousand. */
static float usual_shift(const struct plane *p, uint32_t k)
{
    enum { LOOKS = 4096 };
    float d[LOOKS];
    uint32_t n = p->count < LOOKS ? p->count : LOOKS;
    for (uint32_t j = 0; j < n; j++) {
        uint32_t i = (uint32_t)((uint64_t)p->count * j / n);
        float v = p->at[i * p->stride + k] - from_row(p, i)[k];
        d[j] = isfinite(v) ? v : 0;
    }
    qsort(d, n, sizeof *d, by_value);
    return d[n / 2] + 0.0f; /* no -0: it would tell the two zeros apart */
}

static int code_plane(struct gs_coder *c, const struct plane *p)
{
    struct wide_models *m = malloc((p->width + 1) * sizeof *m);
    float shift[GS_QUEEN_MAX_WIDTH] = {0}, near[GS_QUEEN_MAX_WIDTH] = {0};
    unsigned last[GS_QUEEN_MAX_WIDTH] = {0}, none = 0;
    if (!m)
        return no_memory("a plane of floats");
    for (uint32_t k = 0; k <= p->width; k++)
        reset_wide(&m[k]);
    for (uint32_t k = 0; p->from && k < p->width; k++)
        shift[k] = code_float(c, &m[p->width], &none, 0, c->writing ? usual_shift(p, k) : 0);
    for (uint32_t i = 0; i < p->count; i++) {
        float *v = p->at + i * p->stride;
        for (uint32_t k = 0; k < p->width; k++) {
            if (p->from)
                near[k] = from_row(p, i)[k] + shift[k];
            v[k] = near[k] = code_float(c, &m[k], &last[k], near[k], c->writing ? v[k] : 0);
        }
    }
    free(m);
    return 0;
}

/* ---- decoders ---- */

/* All about a decoder but its floats. */
struct shape {
    uint32_t layers, div, in;
    struct {
        uint32_t out, activation, scale, shift;
    } layer[GS_QUEEN_MAX_LAYERS];
};

static struct shape shape_of(const struct gs_queen_decoder *d)
{
    struct shape s = {d->layer_count, d->div != NULL, d->layer[0].in, {{0}}};
    for (uint32_t i = 0; i < d->layer_count && i < GS_QUEEN_MAX_LAYERS; i++) {
        const struct gs_queen_layer *l = &d->layer[i];
        s.layer[i].out = l->out;
        s.layer[i].activation = (uint32_t)l->activation;
        s.layer[i].scale = l->scale != NULL;
        s.layer[i].shift = l->shift != NULL;
    }
    return s;
}

static void code_shape(struct gs_coder *c, struct shape *s)
{
    s->layers = gs_code_plain(c, 2, s->layers - 1) + 1;
    s->div = gs_code_plain(c, 1, s->div);
    s->in = gs_code_plain(c, 6, s->in - 1) + 1;
    for (uint32_t i = 0; i < s->layers; i++) {
        s->layer[i].out = gs_code_plain(c, 8, s->layer[i].out - 1) + 1;
        s->layer[i].activation = gs_code_plain(c, 2, s->layer[i].activation);
        s->layer[i].scale = gs_code_plain(c, 1, s->layer[i].scale);
        s->layer[i].shift = gs_code_plain(c, 1, s->layer[i].shift);
    }
}

static size_t count_floats(const struct shape *s)
{
    size_t n = s->div ? s->in : 0;
    uint32_t in = s->in;
    for (uint32_t i = 0; i < s->layers; i++) {
        n += (size_t)(in + s->layer[i].scale + s->layer[i].shift) * s->layer[i].out;
        in = s->layer[i].out;
    }
    return n;
}

/* A decoder of a shape over its floats. */
static void lay_out(struct gs_queen_decoder *d, const struct shape *s, const float *floats)
{
    size_t at = 0;
    uint32_t in = s->in;
    *d = (struct gs_queen_decoder){.layer_count = s->layers};
    if (s->div) {
        d->div = floats + at;
        at += in;
    }
    for (uint32_t i = 0; i < s->layers; i++) {
        struct gs_queen_layer *l = &d->layer[i];
        *l = (struct gs_queen_layer){.in = in, .out = s->layer[i].out};
        l->activation = (enum gs_queen_activation)s->layer[i].activation;
        l->w = floats + at;
        at += (size_t)in * l->out;
        l->scale = s->layer[i].scale ? floats + at : NULL;
        at += s->layer[i].scale ? l->out : 0;
        l->shift = s->layer[i].shift ? floats + at : NULL;
        at += s->layer[i].shift ? l->out : 0;
        in = l->out;
    }
}

static void gather_floats(float *out, const struct gs_queen_decoder *d)
{
    if (d->div)
        memcpy(out, d->div, d->layer[0].in * sizeof *out);
    out += d->div ? d->layer[0].in : 0;
    for (uint32_t i = 0; i < d->layer_count; i++) {
        const struct gs_queen_layer *l = &d->layer[i];
        const float *const from[3] = {l->w, l->scale, l->shift};
        const size_t n[3] = {(size_t)l->in * l->out, l->out, l->out};
        for (int k = 0; k < 3; k++) {
            if (!from[k])
                continue;
            memcpy(out, from[k], n[k] * sizeof *out);
            out += n[k];
        }
    }
}

/* cos(x) by sums and products only, as plain_log. */
static double plain_cos(double x)
{
    double r = fmod(x, 6.28318530717958647692), rr = r * r, sum = 0;
    for (int k = 44; k >= 2; k -= 2)
        sum = 1 - rr / (k * (k - 1)) * (k == 44 ? 1 : sum);
    return sum;
}

/* What a new decoder's floats are near: a layer that scales is mostly QUEEN's dft, of which the C
 * libraries' own last bits differ. */
static void expect_floats(float *near, const struct shape *s)
{
    size_t at = s->div ? s->in : 0;
    uint32_t in = s->in;
    for (uint32_t i = 0; i < s->layers; i++) {
        uint32_t out = s->layer[i].out;
        for (uint32_t a = 0; a < in && s->layer[i].scale; a++)
            for (uint32_t b = 0; b < out; b++)
                near[at + a * out + b] =
                    (float)(plain_cos(3.14159265358979323846 / out * (a + 0.5) * b) *
                            (b ? 1.41421356237309504880 : 1) / sqrt(out));
        at += (size_t)in * out + (s->layer[i].scale + s->layer[i].shift) * out;
        in = out;
    }
}

/* part's decoder becomes d, or the one that is read. Each float differs little from the one in its
 * place in the decoder before, or not at all. */
static int code_decoder(struct gs_coder *c, struct gs_queen_part *part,
                        const struct gs_queen_decoder *d)
{
    struct shape before = shape_of(&part->decoder), shape = d ? shape_of(d) : before;
    struct wide_models m;
    unsigned last = 0;
    bool same = d && part->floats && !memcmp(&shape, &before, sizeof shape);
    same = gs_code_even(c, same) && part->floats;
    if (!same)
        code_shape(c, &shape);
    size_t n = count_floats(&shape);
    float *floats = calloc(2 * n, sizeof *floats), *near = floats + n;
    if (!floats)
        return no_memory("a decoder");
    if (same)
        memcpy(near, part->floats, n * sizeof *near);
    else
        expect_floats(near, &shape);
    if (d)
        gather_floats(floats, d);
    bool equal = d && same && !memcmp(floats, part->floats, n * sizeof *floats);
    if (gs_code_even(c, equal) && same) {
        free(floats);
        return 0;
    }
    reset_wide(&m);
    for (size_t i = 0; i < n; i++)
        floats[i] = code_float(c, &m, &last, near[i], floats[i]);
    free(part->floats);
    part->floats = floats;
    lay_out(&part->decoder, &shape, floats);
    return 0;
}

/* ---- integers ---- */

/* How much of what its near ones have a Gaussian is expected to have, in sixteenths. */
static const int32_t gains[] = {0, 8, 13, 16};
enum { GAINS = sizeof gains / sizeof *gains };

struct integers {
    uint32_t count, width;
    const uint32_t (*near)[GS_NEAR];
    const int32_t *from; /* what they are counted from, row by row; NULL: 0 */
    int32_t gain;
};

static int32_t expect(const struct integers *s, const int32_t *part, uint32_t i, uint32_t k)
{
    const uint32_t *near = s->near[i];
    int64_t sum = 0, found = 0;
    for (; found < GS_NEAR && near[found] != ~0u; found++)
        sum += part[(size_t)near[found] * s->width + k];
    return (int32_t)(found ? s->gain * sum / (16 * found) : 0);
}

/* Symbols of integers. False if one is beyond a symbol. */
static bool find_symbols(const struct integers *s, const int32_t *v, int32_t *part, int32_t *q)
{
    size_t n = (size_t)s->count * s->width;
    for (size_t i = 0; i < n; i++) {
        int64_t d = v[i] - (int64_t)(s->from ? s->from[i] : 0);
        if (d < -GS_STREAM_LIMIT || d > GS_STREAM_LIMIT)
            return false;
        part[i] = (int32_t)d;
    }
    for (uint32_t i = 0; i < s->count; i++)
        for (uint32_t k = 0; k < s->width; k++) {
            size_t at = (size_t)i * s->width + k;
            q[at] = part[at] - (s->gain ? expect(s, part, i, k) : 0);
            if (q[at] < -GS_NUMBER_MAX || q[at] > GS_NUMBER_MAX)
                return false;
        }
    return true;
}

/* And back, in the place of v. */
static void find_integers(const struct integers *s, const int32_t *q, int32_t *v)
{
    for (uint32_t i = 0; i < s->count; i++)
        for (uint32_t k = 0; k < s->width; k++) {
            size_t at = (size_t)i * s->width + k;
            v[at] = gs_stream_limited((int64_t)q[at] + (s->gain ? expect(s, v, i, k) : 0));
        }
    size_t n = (size_t)s->count * s->width;
    for (size_t i = 0; s->from && i < n; i++)
        v[i] = gs_stream_limited((int64_t)v[i] + s->from[i]);
}

/* About the bits that symbols take. */
static uint64_t cost(const int32_t *q, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t size = q[i] < 0 ? 0u - (uint32_t)q[i] : (uint32_t)q[i];
        sum += size ? 4 : 0;
        for (; size > 1; size >>= 1)
            sum += 2;
    }
    return sum;
}

/* The choice of origin and gain that makes the fewest bits; its symbols in q, room in part. */
static bool choose(struct integers *s, const int32_t *from, const int32_t *v, int32_t *part,
                   int32_t *q)
{
    struct integers best = *s;
    uint64_t least = UINT64_MAX;
    size_t n = (size_t)s->count * s->width;
    for (int k = 0; k < 2 * GAINS; k++) {
        s->from = k < GAINS ? NULL : from;
        s->gain = gains[k % GAINS];
        if ((k >= GAINS && !from) || !find_symbols(s, v, part, q))
            continue;
        uint64_t now = cost(q, n);
        if (now < least) {
            least = now;
            best = *s;
        }
        if (k % GAINS == 1 && now > least + least / 8)
            k = (k / GAINS + 1) * GAINS - 1; /* neighbours tell nothing here */
    }
    *s = best;
    return least < UINT64_MAX && find_symbols(s, v, part, q);
}

static uint32_t slices(uint32_t width)
{
    return (width + GS_QUEEN_SLICE - 1) / GS_QUEEN_SLICE;
}

static uint32_t slice_width(uint32_t width, uint32_t slice)
{
    uint32_t left = width - slice * GS_QUEEN_SLICE;
    return left < GS_QUEEN_SLICE ? left : GS_QUEEN_SLICE;
}

static void drop_integers(struct gs_queen_part *p)
{
    for (int k = 0; k < GS_QUEEN_SLICES; k++) {
        free(p->models[k]);
        p->models[k] = NULL;
        gs_active_finish(&p->active[k]);
    }
    free(p->symbol);
    free(p->latent);
    p->symbol = p->latent = NULL;
    p->width = 0;
}

static int make_models(struct gs_queen_part *p, uint32_t width)
{
    drop_integers(p);
    for (uint32_t k = 0; k < slices(width); k++) {
        p->models[k] = gs_symbol_models_create((int)slice_width(width, k));
        if (!p->models[k])
            return no_memory("a frame's integers");
    }
    return 0;
}

/* Symbols q, slice by slice; what was active before becomes what is. */
static int code_slices(struct gs_coder *c, struct gs_queen_part *p, const struct integers *s,
                       int32_t *q, bool had)
{
    for (uint32_t k = 0; k < slices(s->width); k++) {
        struct gs_active active;
        FV_TRY(gs_active_create(&active, s->count));
        gs_code_symbols(c, p->models[k],
                        &(struct gs_symbols){
                            .count = s->count,
                            .comps = (int)slice_width(s->width, k),
                            .stride = s->width,
                            .q = q + k * GS_QUEEN_SLICE,
                            .before = had ? p->symbol + k * GS_QUEEN_SLICE : NULL,
                            .near = s->near,
                            .active = &active,
                            .active_before = had ? &p->active[k] : NULL,
                        });
        gs_active_finish(&p->active[k]);
        p->active[k] = active;
    }
    return 0;
}

/* width integers of each of count Gaussians: v, or what is read; they become part's. *fits: whether
 * they can be symbols; if not, nothing was written. */
static int code_integers(struct gs_coder *c, struct gs_queen_part *p, uint32_t count, uint32_t width,
                         const uint32_t (*near)[GS_NEAR], const int32_t *v, bool *fits)
{
    size_t n = (size_t)count * width;
    struct integers s = {count, width, near, NULL, 0};
    bool had = p->width == width;
    unsigned gain = 0;
    *fits = true;
    if (!had)
        FV_TRY(make_models(p, width));
    int32_t *q = calloc(n + 1, sizeof *q), *latent = malloc((n + 1) * sizeof *latent);
    int rc = q && latent ? 0 : no_memory("a frame's integers");
    if (rc == 0 && c->writing)
        *fits = choose(&s, had ? p->latent : NULL, v, latent, q);
    if (rc == 0 && *fits) {
        for (unsigned k = 0; k < GAINS; k++)
            gain = gains[k] == s.gain ? k : gain;
        bool counted = gs_code_even(c, s.from != NULL);
        s.from = counted && had ? p->latent : NULL;
        s.gain = gains[gs_code_plain(c, 2, gain)];
        rc = code_slices(c, p, &s, q, had);
    }
    if (rc < 0 || !*fits) {
        free(q);
        free(latent);
        if (!had)
            drop_integers(p);
        return rc;
    }
    find_integers(&s, q, latent);
    free(p->symbol);
    free(p->latent);
    p->width = width;
    p->symbol = q;
    p->latent = latent;
    return 0;
}

/* ---- tracks ---- */

void gs_queen_fill_scene(struct gs_scene *out, const struct gs_scene *s)
{
    size_t n = s->count, from = 3 * (size_t)gs_sh_coefs(s->sh_degree);
    size_t to = 3 * (size_t)gs_sh_coefs(out->sh_degree);
    memcpy(out->position, s->position, 3 * n * sizeof(float));
    memcpy(out->scale, s->scale, 3 * n * sizeof(float));
    memcpy(out->rotation, s->rotation, 4 * n * sizeof(float));
    memcpy(out->opacity, s->opacity, n * sizeof(float));
    if (from == to)
        memcpy(out->sh, s->sh, n * to * sizeof(float));
    for (size_t i = 0; from != to && i < n; i++)
        memcpy(out->sh + i * to, s->sh + i * from, to * sizeof(float));
}

int gs_queen_copy_scene(struct gs_scene *out, const struct gs_scene *s)
{
    if (!out->position || out->count != s->count || out->sh_degree != s->sh_degree) {
        gs_scene_finish(out);
        FV_TRY(gs_scene_alloc(out, s->count, s->sh_degree));
    }
    out->mode = s->mode;
    memcpy(out->up, s->up, sizeof out->up);
    gs_queen_fill_scene(out, s);
    return 0;
}

void gs_queen_near_before(uint32_t (*near)[GS_NEAR], uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < GS_NEAR; k++)
            near[i][k] = k < 2 && k < i ? i - 1 - k : ~0u;
}

int gs_queen_track_create(struct gs_queen_track *t, struct gs_scene *base,
                          uint32_t (*near)[GS_NEAR])
{
    *t = (struct gs_queen_track){.base = *base, .base_near = near};
    *base = (struct gs_scene){0};
    int rc = 0;
    if (!near) {
        t->base_near = malloc(t->base.count * sizeof *t->base_near + 1);
        if (!t->base_near)
            rc = no_memory("a stream");
        else
            gs_queen_near_before(t->base_near, (uint32_t)t->base.count);
    }
    rc = rc == 0 ? gs_queen_track_begin(t) : rc;
    if (rc < 0)
        gs_queen_track_finish(t);
    return rc;
}

void gs_queen_track_finish(struct gs_queen_track *t)
{
    for (int k = 0; k < GS_QUEEN_PARTS; k++) {
        drop_integers(&t->part[k]);
        free(t->part[k].floats);
    }
    free(t->base_near);
    free(t->near);
    gs_scene_finish(&t->base);
    gs_scene_finish(&t->scene);
    *t = (struct gs_queen_track){0};
}

int gs_queen_track_begin(struct gs_queen_track *t)
{
    for (int k = 0; k < GS_QUEEN_PARTS; k++) {
        drop_integers(&t->part[k]);
        free(t->part[k].floats);
        t->part[k] = (struct gs_queen_part){0};
    }
    uint32_t (*near)[GS_NEAR] = realloc(t->near, t->base.count * sizeof *near + 1);
    if (!near)
        return no_memory("a stream");
    t->near = near;
    memcpy(near, t->base_near, t->base.count * sizeof *near);
    return gs_queen_copy_scene(&t->scene, &t->base);
}

/* ---- rows ---- */

static int gather_integers(int32_t **v, const uint32_t *parent, uint32_t count, size_t width)
{
    int32_t *out = malloc((count * width + 1) * sizeof *out);
    if (!out)
        return no_memory("a frame's integers");
    for (uint32_t i = 0; i < count; i++)
        memcpy(out + i * width, *v + parent[i] * width, width * sizeof *out);
    free(*v);
    *v = out;
    return 0;
}

/* What parts know goes with the rows. */
static int move_rows(struct gs_queen_track *t, const uint32_t *parent, uint32_t count)
{
    for (int k = 0; k < GS_QUEEN_PARTS; k++) {
        struct gs_queen_part *p = &t->part[k];
        if (!p->width)
            continue;
        FV_TRY(gather_integers(&p->symbol, parent, count, p->width));
        FV_TRY(gather_integers(&p->latent, parent, count, p->width));
        for (uint32_t slice = 0; slice < slices(p->width); slice++) {
            gs_active_finish(&p->active[slice]);
            FV_TRY(gs_active_create(&p->active[slice], count));
            gs_symbols_find_active(&(struct gs_symbols){.count = count,
                                                        .comps = (int)slice_width(p->width, slice),
                                                        .stride = p->width,
                                                        .q = p->symbol + slice * GS_QUEEN_SLICE,
                                                        .active = &p->active[slice]});
        }
    }
    uint32_t (*near)[GS_NEAR] = realloc(t->near, count * sizeof *near + 1);
    if (!near)
        return no_memory("a stream");
    t->near = near;
    gs_queen_near_before(near, count);
    return 0;
}

/* How many rows, and whose each was. Most follow their last one's. */
enum { ROWS_A_BYTE = 64 }; /* a section may ask for so many new ones */

static int code_rows(struct gs_coder *c, uint32_t before, size_t size, uint32_t *count,
                     uint32_t **parent)
{
    struct gs_bit follows[2] = {GS_BIT_EVEN, GS_BIT_EVEN};
    struct wide_models m;
    unsigned last = 0;
    bool followed = true;
    reset_wide(&m);
    *count = code_wide(c, &m, &last, *count);
    if (!c->writing) {
        if (!*count || *count > GS_STREAM_MAX_COUNT ||
            (*count > before && (*count - before) / ROWS_A_BYTE > size))
            return fv_fail(FV_EFORMAT, "rows: %u Gaussians after %u, in %zu bytes", *count, before,
                           size);
        *parent = malloc(*count * sizeof **parent);
        if (!*parent)
            return no_memory("a frame's rows");
    }
    for (uint32_t i = 0, next = 0; i < *count; i++) {
        uint32_t is = c->writing ? (*parent)[i] : 0;
        followed = gs_code_bit(c, &follows[followed], is == next);
        if (!followed)
            next += unzigzag(code_wide(c, &m, &last, zigzag(is - next)));
        if (next >= before)
            return fv_fail(FV_EFORMAT, "rows: Gaussian %u was %u of %u", i, next, before);
        (*parent)[i] = next++;
    }
    return 0;
}

/* ---- writing ---- */

struct writing {
    struct gs_queen_track *t; /* at the frame before; its parts' rows are the frame's */
    const struct gs_queen_frame *f;
    const struct gs_scene *next; /* the frame */
    struct gs_section *out;
    float per;
};

float *gs_queen_scene_part(const struct gs_scene *s, int part, size_t *stride, uint32_t *width)
{
    if (part == GS_QUEEN_POSITION) {
        *stride = *width = 3;
        return s->position;
    }
    *width = gs_queen_width((enum gs_queen_attribute)part, s->sh_degree);
    return gs_queen_place(s, (enum gs_queen_attribute)part, stride);
}

/* The values themselves, by those of the parents. */
static int write_values(struct gs_coder *c, const struct writing *w, int part)
{
    struct plane p = {.count = w->f->count, .parent = w->f->parent};
    p.at = gs_queen_scene_part(w->next, part, &p.stride, &p.width);
    p.from = gs_queen_scene_part(&w->t->scene, part, &p.from_stride, &p.width);
    gs_code_plain(c, 2, GS_QUEEN_PLAIN);
    return code_plane(c, &p);
}

/* Moves of all rows as integers. False if they are not. */
static bool moves_of(const struct writing *w, int32_t *out)
{
    const struct gs_queen_frame *f = w->f;
    memset(out, 0, 3 * (size_t)f->count * sizeof *out);
    for (size_t i = 0; i < 3 * (size_t)f->moved; i++) {
        double r = rint((double)f->moved_by[i] * (double)w->per);
        if (!(fabs(r) <= GS_NUMBER_MAX) || (float)r / w->per != f->moved_by[i])
            return false;
        out[3 * (size_t)f->moved_row[i / 3] + i % 3] = (int32_t)r;
    }
    return true;
}

static int write_moves(struct gs_coder *c, const struct writing *w, bool *fits)
{
    int32_t *v = malloc((3 * (size_t)w->f->count + 1) * sizeof *v);
    if (!v)
        return no_memory("a frame's positions");
    *fits = moves_of(w, v);
    int rc = 0;
    if (*fits) {
        uint32_t bits;
        memcpy(&bits, &w->per, 4);
        gs_code_plain(c, 2, GS_QUEEN_RESIDUAL);
        gs_code_plain(c, 32, bits);
        rc = code_integers(c, &w->t->part[GS_QUEEN_POSITION], w->f->count, 3,
                           (const uint32_t(*)[GS_NEAR])w->t->near, v, fits);
    }
    free(v);
    return rc;
}

/* Latents and what decodes them. Those that add up are written as their sums. */
static int write_latents(struct gs_coder *c, const struct writing *w, int part, bool *fits)
{
    const struct gs_queen_change *change = &w->f->change[part];
    struct gs_queen_part *p = &w->t->part[part];
    uint32_t width = gs_queen_latent_width(change), count = w->f->count;
    int32_t *sums = NULL;
    gs_code_plain(c, 2, change->kind);
    FV_TRY(code_decoder(c, p, &change->decoder));
    if (change->accumulate && p->width == width) {
        sums = malloc((size_t)count * width * sizeof *sums);
        if (!sums)
            return no_memory("a frame's latents");
        for (size_t i = 0; i < (size_t)count * width; i++)
            sums[i] = (int32_t)((uint32_t)change->latent[i] + (uint32_t)p->latent[i]);
    }
    int rc = code_integers(c, p, count, width, (const uint32_t(*)[GS_NEAR])w->t->near,
                           sums ? sums : change->latent, fits);
    free(sums);
    return rc;
}

static bool same_values(const struct writing *w, int part)
{
    size_t stride, from_stride;
    uint32_t width;
    const float *at = gs_queen_scene_part(w->next, part, &stride, &width);
    const float *from = gs_queen_scene_part(&w->t->scene, part, &from_stride, &width);
    for (uint32_t i = 0; i < w->f->count; i++)
        if (memcmp(at + i * stride, from + (w->f->parent ? w->f->parent[i] : i) * from_stride,
                   width * sizeof *at) != 0)
            return false;
    return true;
}

static int write_part(const struct writing *w, int part)
{
    struct gs_coder c;
    bool position = part == GS_QUEEN_POSITION, fits = true;
    enum gs_queen_kind kind = position ? (w->f->position ? GS_QUEEN_PLAIN : GS_QUEEN_RESIDUAL)
                                       : w->f->change[part].kind;
    bool integers = kind == GS_QUEEN_ABSOLUTE || kind == GS_QUEEN_RESIDUAL;
    if (kind == GS_QUEEN_KEPT || (kind == GS_QUEEN_PLAIN && same_values(w, part)) ||
        (position && kind == GS_QUEEN_RESIDUAL && !w->f->moved)) {
        drop_integers(&w->t->part[part]);
        return 0;
    }
    gs_coder_write(&c);
    int rc = 0;
    if (integers)
        rc = position ? write_moves(&c, w, &fits) : write_latents(&c, w, part, &fits);
    if (rc == 0 && !fits) { /* from the start */
        gs_coder_drop(&c);
        gs_coder_write(&c);
        free(w->t->part[part].floats);
        w->t->part[part].floats = NULL;
        w->t->part[part].decoder = (struct gs_queen_decoder){0};
    }
    if (rc == 0 && (!integers || !fits)) {
        drop_integers(&w->t->part[part]);
        rc = write_values(&c, w, part);
    }
    if (rc == 0)
        return gs_section_finish(&c, &w->out[gs_queen_section(part)], 1);
    gs_coder_drop(&c);
    return rc;
}

static int write_rows(const struct writing *w)
{
    struct gs_coder c;
    uint32_t count = w->f->count, before = (uint32_t)w->t->scene.count;
    uint32_t *parent = malloc(count * sizeof *parent);
    if (!parent)
        return no_memory("a frame's rows");
    memcpy(parent, w->f->parent, count * sizeof *parent);
    gs_coder_write(&c);
    int rc = code_rows(&c, before, 0, &count, &parent);
    free(parent);
    if (rc == 0)
        return gs_section_finish(&c, &w->out[GS_SECTION_MODEL],
                           count > before ? (count - before) / ROWS_A_BYTE + 1 : 1);
    gs_coder_drop(&c);
    return rc;
}

int gs_queen_track_write(struct gs_queen_track *t, const struct gs_queen_frame *frame, float per,
                         struct gs_section out[GS_SECTIONS])
{
    struct gs_queen_frame f = *frame;
    struct gs_queen_latents sums = {0};
    struct gs_scene next = {0};
    struct writing w = {t, &f, &next, out, per};
    memset(out, 0, GS_SECTIONS * sizeof *out);
    int rc = gs_queen_check_frame(&f, t->scene.count, t->scene.sh_degree);
    if (rc < 0)
        return rc;
    if (f.count > GS_STREAM_MAX_COUNT)
        return fv_fail(FV_EUNSUPPORTED, "%u Gaussians, a stream holds at most %u", f.count,
                       GS_STREAM_MAX_COUNT);
    bool same = gs_queen_same_rows(&f, t->scene.count);
    f.parent = same ? NULL : f.parent;
    /* what gs_queen_apply adds to latents that add up: the parts', as they were before the frame */
    for (int a = 0; a < GS_QUEEN_ATTRIBUTES; a++)
        if (t->part[a].width) {
            sums.width[a] = t->part[a].width;
            size_t bytes = t->scene.count * sums.width[a] * sizeof *sums.latent[a];
            sums.latent[a] = malloc(bytes + 1);
            if (!sums.latent[a])
                FV_GOTO(no_memory("a frame's latents"));
            memcpy(sums.latent[a], t->part[a].latent, bytes);
        }
    FV_GOTO(gs_queen_copy_scene(&next, &t->scene));
    FV_GOTO(gs_queen_apply(&next, &sums, &f));
    if (!same) {
        FV_GOTO(move_rows(t, f.parent, f.count));
        FV_GOTO(write_rows(&w));
    }
    for (int part = 0; part < GS_QUEEN_PARTS; part++)
        if (part != GS_QUEEN_REST || t->scene.sh_degree)
            FV_GOTO(write_part(&w, part));
    gs_scene_finish(&t->scene);
    t->scene = next;
    next = (struct gs_scene){0};
done:
    gs_scene_finish(&next);
    gs_queen_latents_finish(&sums);
    if (rc < 0)
        gs_sections_free(out);
    return rc;
}

/* ---- reading ---- */

struct reading {
    struct gs_queen_track *t;
    const struct gs_section *in;
    struct gs_queen_frame f;
    float *values[GS_QUEEN_PARTS]; /* of f, where they are read */
    float per;
};

static int read_values(struct reading *r, struct gs_coder *c, int part)
{
    struct plane p = {.count = r->f.count, .parent = r->f.parent};
    p.from = gs_queen_scene_part(&r->t->scene, part, &p.from_stride, &p.width);
    p.stride = p.width;
    p.at = r->values[part] = malloc((size_t)p.count * p.width * sizeof *p.at + 1);
    if (!p.at)
        return no_memory("a frame's values");
    FV_TRY(code_plane(c, &p));
    if (part == GS_QUEEN_POSITION) {
        r->f.position = p.at;
    } else {
        r->f.change[part].values = p.at;
        r->f.change[part].width = p.width;
    }
    return 0;
}

static int read_latents(struct reading *r, struct gs_coder *c, int part)
{
    struct gs_queen_part *p = &r->t->part[part];
    struct gs_queen_change *change = &r->f.change[part];
    bool fits;
    FV_TRY(code_decoder(c, p, NULL));
    int rc = gs_queen_check_decoder(&p->decoder, 0,
                                    gs_queen_width((enum gs_queen_attribute)part,
                                                   r->t->scene.sh_degree));
    if (rc < 0)
        return fv_wrap(FV_EFORMAT, "%s: ", part_name(part));
    change->decoder = p->decoder;
    FV_TRY(code_integers(c, p, r->f.count, p->decoder.layer[0].in,
                         (const uint32_t(*)[GS_NEAR])r->t->near, NULL, &fits));
    change->latent = p->latent;
    return 0;
}

static int read_moves(struct reading *r, struct gs_coder *c)
{
    bool fits;
    uint32_t bits = gs_code_plain(c, 32, 0);
    memcpy(&r->per, &bits, 4);
    if (!(r->per >= 1e-12f && r->per <= 1e12f))
        return fv_fail(FV_EFORMAT, "xyz: moves in units of 1 / %g", (double)r->per);
    return code_integers(c, &r->t->part[GS_QUEEN_POSITION], r->f.count, 3,
                         (const uint32_t(*)[GS_NEAR])r->t->near, NULL, &fits);
}

static int read_part(struct reading *r, int part)
{
    const struct gs_section *s = &r->in[gs_queen_section(part)];
    bool position = part == GS_QUEEN_POSITION;
    struct gs_coder c;
    if (part == GS_QUEEN_REST && !r->t->scene.sh_degree)
        return 0;
    enum gs_queen_kind kind = GS_QUEEN_KEPT;
    if (s->size) {
        gs_coder_read(&c, s->bytes, s->size);
        kind = (enum gs_queen_kind)gs_code_plain(&c, 2, 0);
    }
    if (!position)
        r->f.change[part].kind = kind;
    if (kind == GS_QUEEN_KEPT || kind == GS_QUEEN_PLAIN)
        drop_integers(&r->t->part[part]);
    if (kind == GS_QUEEN_KEPT)
        return 0;
    return kind == GS_QUEEN_PLAIN ? read_values(r, &c, part)
           : position             ? read_moves(r, &c)
                                  : read_latents(r, &c, part);
}

static int read_parts(void *ud, size_t begin, size_t end)
{
    for (size_t k = begin; k < end; k++)
        FV_TRY(read_part(ud, (int)k));
    return 0;
}

static int read_rows(struct reading *r, uint32_t **parent)
{
    const struct gs_section *s = &r->in[GS_SECTION_MODEL];
    struct gs_coder c;
    r->f.count = (uint32_t)r->t->scene.count;
    if (!s->size)
        return 0;
    gs_coder_read(&c, s->bytes, s->size);
    FV_TRY(code_rows(&c, r->f.count, s->size, &r->f.count, parent));
    r->f.parent = *parent;
    return move_rows(r->t, *parent, r->f.count);
}

/* Moves of all rows as a list of those that move: row[count], by[count][3]. */
static void list_moves(struct reading *r, uint32_t *row, float *by)
{
    const int32_t *v = r->t->part[GS_QUEEN_POSITION].latent;
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->f.count; i++, v += 3) {
        if (!(v[0] | v[1] | v[2]))
            continue;
        for (int k = 0; k < 3; k++)
            by[3 * (size_t)n + (size_t)k] = (float)v[k] / r->per;
        row[n++] = i;
    }
    r->f.moved = n;
    r->f.moved_row = row;
    r->f.moved_by = by;
}

int gs_queen_track_read(struct gs_queen_track *t, const struct gs_section in[GS_SECTIONS])
{
    struct reading r = {.t = t, .in = in};
    uint32_t *parent = NULL, *row = NULL;
    float *by = NULL;
    int rc = read_rows(&r, &parent);
    if (rc == 0)
        rc = fv_parallel(GS_QUEEN_PARTS, 1, read_parts, &r);
    if (rc == 0 && !r.f.position && t->part[GS_QUEEN_POSITION].width) {
        row = malloc(r.f.count * sizeof *row);
        by = malloc(3 * (size_t)r.f.count * sizeof *by);
        if (row && by)
            list_moves(&r, row, by);
        else
            rc = no_memory("a frame's positions");
    }
    if (rc == 0)
        rc = gs_queen_apply(&t->scene, NULL, &r.f);
    if (rc == 0 && gs_scene_has_bad(&t->scene))
        rc = fv_fail(FV_EFORMAT, "its decoders make values that are none");
    free(parent);
    free(row);
    free(by);
    for (int k = 0; k < GS_QUEEN_PARTS; k++)
        free(r.values[k]);
    return rc == FV_EINVALID ? FV_EFORMAT : rc;
}

/* ---- bases ---- */

static struct plane base_plane(const struct gs_scene *s, int part)
{
    struct plane p = {.count = (uint32_t)s->count};
    p.at = gs_queen_scene_part(s, part, &p.stride, &p.width);
    return p;
}

int gs_queen_write_floats(const struct gs_scene *s, struct gs_section out[GS_SECTIONS])
{
    memset(out, 0, GS_SECTIONS * sizeof *out);
    for (int part = 0; part < GS_QUEEN_PARTS; part++) {
        struct plane p = base_plane(s, part);
        struct gs_coder c;
        if (!p.width)
            continue;
        gs_coder_write(&c);
        int rc = code_plane(&c, &p);
        if (rc == 0)
            rc = gs_section_finish(&c, &out[gs_queen_section(part)], 1);
        else
            gs_coder_drop(&c);
        if (rc < 0) {
            gs_sections_free(out);
            return rc;
        }
    }
    return 0;
}

struct base_reading {
    struct gs_scene *s;
    const struct gs_section *in;
};

static int read_planes(void *ud, size_t begin, size_t end)
{
    struct base_reading *r = ud;
    for (size_t k = begin; k < end; k++) {
        struct plane p = base_plane(r->s, (int)k);
        const struct gs_section *s = &r->in[gs_queen_section((int)k)];
        struct gs_coder c;
        if (!p.width)
            continue;
        gs_coder_read(&c, s->bytes, s->size);
        FV_TRY(code_plane(&c, &p));
    }
    return 0;
}

int gs_queen_read_floats(struct gs_scene *s, const struct gs_section in[GS_SECTIONS])
{
    FV_TRY(fv_parallel(GS_QUEEN_PARTS, 1, read_planes, &(struct base_reading){s, in}));
    return gs_scene_has_bad(s) ? fv_fail(FV_EFORMAT, "its base holds values that are none") : 0;
}

/* log(x) of a normal x > 0 by sums and products only: the C libraries' differ in their last bits.
 * 2 artanh((m - 1) / (m + 1)), m within sqrt(1/2) and sqrt(2). */
static double plain_log(double x)
{
    const double ln2 = 0.69314718055994530942;
    int e;
    double m = frexp(x, &e);
    if (m < 0.70710678118654752440) {
        m *= 2;
        e--;
    }
    double z = (m - 1) / (m + 1), zz = z * z, sum = 0;
    for (int k = 21; k >= 1; k -= 2)
        sum = sum * zz + 1.0 / k;
    return e * ln2 + 2 * z * sum;
}

int gs_queen_track_of(struct gs_queen_track *t, const struct gs_stream_base *b)
{
    const float least = 1 / 1024.f, unit = b->step[GS_OPACITY] / GS_UNITS;
    struct gs_scene scene = {0};
    FV_TRY(gs_scene_alloc(&scene, b->state.count, b->state.sh_degree));
    gs_stream_to_scene(&scene, b, &b->state);
    for (size_t i = 0; i < scene.count; i++) {
        float alpha = (float)b->state.v[GS_OPACITY][i] * unit;
        alpha = alpha < least ? least : alpha > 1 - least ? 1 - least : alpha;
        scene.opacity[i] = (float)plain_log((double)alpha / (1 - (double)alpha));
    }
    uint32_t (*near)[GS_NEAR] = malloc(scene.count * sizeof *near + 1);
    if (!near) {
        gs_scene_finish(&scene);
        return no_memory("a stream");
    }
    memcpy(near, b->near, scene.count * sizeof *near);
    return gs_queen_track_create(t, &scene, near);
}

/* What frames of the QUEEN model are made of, coded (stream_queen_code.h). */
#include "gs/stream_queen_code.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- whole 32-bit numbers ---- */

void gs_wide_reset(struct gs_wide_models *m)
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
uint32_t gs_code_wide(struct gs_coder *c, struct gs_wide_models *m, unsigned *last, uint32_t v)
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
static float code_float(struct gs_coder *c, struct gs_wide_models *m, unsigned *last, float near,
                        float v)
{
    uint32_t z = gs_code_wide(c, m, last, gs_zigzag(ordered(v) - ordered(near)));
    return unordered(ordered(near) + gs_unzigzag(z));
}

/* ---- planes of floats ---- */

static const float *from_row(const struct gs_queen_plane *p, uint32_t i)
{
    return p->from + (p->parent ? p->parent[i] : i) * p->from_stride;
}

static int by_value(const void *a, const void *b)
{
    const float *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* By how much most rows differ: that of the middle one of a few thousand. */
static float usual_shift(const struct gs_queen_plane *p, uint32_t k)
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

int gs_queen_code_plane(struct gs_coder *c, const struct gs_queen_plane *p)
{
    struct gs_wide_models *m = malloc((p->width + 1) * sizeof *m);
    float shift[GS_QUEEN_MAX_WIDTH] = {0}, near[GS_QUEEN_MAX_WIDTH] = {0};
    unsigned last[GS_QUEEN_MAX_WIDTH] = {0}, none = 0;
    if (!m)
        return fv_fail(FV_ENOMEM, "no memory for a plane of floats");
    for (uint32_t k = 0; k <= p->width; k++)
        gs_wide_reset(&m[k]);
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

/* Each float differs little from the one in its place in the decoder before, or not at all. */
int gs_queen_code_decoder(struct gs_coder *c, struct gs_queen_part *part,
                          const struct gs_queen_decoder *d)
{
    struct shape before = shape_of(&part->decoder), shape = d ? shape_of(d) : before;
    struct gs_wide_models m;
    unsigned last = 0;
    bool same = d && part->floats && !memcmp(&shape, &before, sizeof shape);
    same = gs_code_even(c, same) && part->floats;
    if (!same)
        code_shape(c, &shape);
    size_t n = count_floats(&shape);
    float *floats = calloc(2 * n, sizeof *floats), *near = floats + n;
    if (!floats)
        return fv_fail(FV_ENOMEM, "no memory for a decoder");
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
    gs_wide_reset(&m);
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

void gs_queen_drop_integers(struct gs_queen_part *p)
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
    gs_queen_drop_integers(p);
    for (uint32_t k = 0; k < slices(width); k++) {
        p->models[k] = gs_symbol_models_create((int)slice_width(width, k));
        if (!p->models[k])
            return fv_fail(FV_ENOMEM, "no memory for a frame's integers");
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

int gs_queen_code_integers(struct gs_coder *c, struct gs_queen_part *p, uint32_t count,
                           uint32_t width, const uint32_t (*near)[GS_NEAR], const int32_t *v,
                           bool *fits)
{
    size_t n = (size_t)count * width;
    struct integers s = {count, width, near, NULL, 0};
    bool had = p->width == width;
    unsigned gain = 0;
    *fits = true;
    if (!had)
        FV_TRY(make_models(p, width));
    int32_t *q = calloc(n + 1, sizeof *q), *latent = malloc((n + 1) * sizeof *latent);
    int rc = q && latent ? 0 : fv_fail(FV_ENOMEM, "no memory for a frame's integers");
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
            gs_queen_drop_integers(p);
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

static int gather_integers(int32_t **v, const uint32_t *parent, uint32_t count, size_t width)
{
    int32_t *out = malloc((count * width + 1) * sizeof *out);
    if (!out)
        return fv_fail(FV_ENOMEM, "no memory for a frame's integers");
    for (uint32_t i = 0; i < count; i++)
        memcpy(out + i * width, *v + parent[i] * width, width * sizeof *out);
    free(*v);
    *v = out;
    return 0;
}

int gs_queen_move_integers(struct gs_queen_part *p, const uint32_t *parent, uint32_t count)
{
    if (!p->width)
        return 0;
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
    return 0;
}

/* QUEEN's entropy coding (queen.h): torchac's range coder, bit for bit, and the histogram around
 * it.
 *
 * The coder keeps an interval [low, high] of 32 bits; a symbol of cumulative counts [c0, c1) of
 * 2^16 makes it [low + span c0 / 2^16, low + span c1 / 2^16 - 1]. Leading bits that low and high
 * share are sent; where low begins with 01 and high with 10 the second bits are dropped and
 * counted: the next bit sent is followed by as many of its opposite (Witten, Neal, Cleary 1987).
 * Counts: round(cdf * (2^16 - symbols)) + index, so none is empty. */
#include "gs/gs.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SYMBOLS = 32768 };

/* ---- numbers ---- */

void gs_queen_round(int32_t *out, const float *latent, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float r = rintf(latent[i]);
        out[i] = r >= 0x1p31f ? INT32_MAX : r >= -0x1p31f ? (int32_t)r : isnan(r) ? 0 : INT32_MIN;
    }
}

/* Cumulative counts c[symbols + 1]. */
static int count_up(const struct gs_queen_coded *in, uint32_t *c)
{
    float most = (float)(65536 - in->symbols);
    for (uint32_t i = 0; i <= in->symbols; i++) {
        if (!(in->cdf[i] >= 0 && in->cdf[i] <= 1))
            return fv_fail(FV_EFORMAT, "value %u of the distribution is not within 0 and 1", i);
        c[i] = (uint32_t)rintf(in->cdf[i] * most) + i;
        if (i && c[i] <= c[i - 1])
            return fv_fail(FV_EFORMAT, "the distribution falls at symbol %u", i);
    }
    if (c[0] || c[in->symbols] != 65536)
        return fv_fail(FV_EFORMAT, "the distribution does not reach from 0 to 1");
    return 0;
}

/* ---- decoding ---- */

struct bits_in {
    const uint8_t *bytes;
    size_t size, at; /* at: bytes taken, also beyond the end, where they are 0 */
    uint64_t window; /* the next bits, topmost first */
    unsigned left;   /* how many of them are there */
};

/* The next n <= 32 bits. */
static uint32_t take(struct bits_in *in, unsigned n)
{
    for (; in->left < n; in->left += 8, in->at++) {
        uint64_t byte = in->at < in->size ? in->bytes[in->at] : 0;
        in->window |= byte << (56 - in->left);
    }
    uint32_t v = (uint32_t)(in->window >> 32) >> (32 - n);
    in->window <<= n;
    in->left -= n;
    return v;
}

/* Leading bits in common, and then those in the way of one more. */
static unsigned shared_bits(uint32_t low, uint32_t high)
{
    return (unsigned)__builtin_clz(low ^ high); /* low < high */
}
static unsigned straddling_bits(uint32_t low, uint32_t high)
{
    uint32_t other = ~(low << 1) | high << 1;
    return other ? (unsigned)__builtin_clz(other) : 31;
}

static int decode(const struct gs_queen_coded *c, const uint32_t *count, const uint16_t *symbol_of,
                  int32_t *out)
{
    struct bits_in in = {.bytes = c->bytes, .size = c->size};
    uint32_t low = 0, high = UINT32_MAX, value = take(&in, 32), mode = 0;
    size_t n = (size_t)c->rows * c->width;
    for (uint32_t s = 1; s < c->symbols; s++)
        mode = count[s + 1] - count[s] > count[mode + 1] - count[mode] ? s : mode;
    for (size_t i = 0; i < n; i++) {
        uint64_t span = (uint64_t)high - low + 1, at = value - low;
        uint64_t begin = span * count[mode] >> 16, end = span * count[mode + 1] >> 16;
        uint32_t s = mode;
        if (at < begin || at >= end) { /* the commonest symbol is found without a division */
            s = symbol_of[((at + 1) * 65536 - 1) / span];
            begin = span * count[s] >> 16;
            end = span * count[s + 1] >> 16;
        }
        out[i] = c->value[s];
        high = low + (uint32_t)end - 1;
        low += (uint32_t)begin;
        unsigned same = shared_bits(low, high);
        if (same) {
            low <<= same;
            high = high << same | ((1u << same) - 1);
            value = value << same | take(&in, same);
        }
        unsigned more = straddling_bits(low, high);
        if (more) {
            low = low << more & 0x7fffffff;
            high = high << more | 0x80000000 | ((1u << more) - 1);
            value = (value << more ^ 0x80000000) | take(&in, more);
        }
    }
    /* a writer ends with two bits more than were shifted */
    return 8 * in.at - in.left <= 8 * c->size + 30
               ? 0
               : fv_fail(FV_EFORMAT, "the coded bytes are cut short");
}

static int read_tails(const struct gs_queen_coded *c, int32_t *out)
{
    for (size_t i = 0; i < c->tails; i++) {
        if (c->tail[i].at >= (size_t)c->rows * c->width)
            return fv_fail(FV_EFORMAT, "rare value %zu is at %u of %zu", i, c->tail[i].at,
                           (size_t)c->rows * c->width);
        out[c->tail[i].at] = c->tail[i].value;
    }
    return 0;
}

int gs_queen_uncompress(const struct gs_queen_coded *c, int32_t *out)
{
    if (!c->rows || !c->width)
        return 0;
    if (!c->symbols || c->symbols > MOST_SYMBOLS)
        return fv_fail(FV_EFORMAT, "%u different values, expected 1 to %d", c->symbols,
                       MOST_SYMBOLS);
    uint32_t *count = malloc((c->symbols + 1) * sizeof *count);
    uint16_t *symbol_of = malloc(65536 * sizeof *symbol_of);
    int rc = count && symbol_of ? count_up(c, count) : fv_fail(FV_ENOMEM, "out of memory");
    if (rc >= 0) {
        for (uint32_t s = 0; s < c->symbols; s++)
            for (uint32_t i = count[s]; i < count[s + 1]; i++)
                symbol_of[i] = (uint16_t)s;
        rc = decode(c, count, symbol_of, out);
    }
    if (rc >= 0)
        rc = read_tails(c, out);
    free(count);
    free(symbol_of);
    return rc;
}

/* ---- encoding ---- */

struct bits_out {
    uint8_t *bytes;
    size_t size, room; /* size in bits */
    size_t pending;
    bool failed;
};

static void put_bit(struct bits_out *o, unsigned bit)
{
    if (o->size / 8 >= o->room) {
        size_t room = o->room ? 2 * o->room : 256;
        uint8_t *more = realloc(o->bytes, room);
        if (!more) {
            o->failed = true;
            return;
        }
        memset(more + o->room, 0, room - o->room);
        o->bytes = more;
        o->room = room;
    }
    o->bytes[o->size / 8] |= (uint8_t)(bit << (7 - o->size % 8));
    o->size++;
}

static void put_with_pending(struct bits_out *o, unsigned bit)
{
    put_bit(o, bit);
    for (; o->pending && !o->failed; o->pending--)
        put_bit(o, !bit);
}

static void encode(struct bits_out *o, const uint32_t *count, const uint16_t *symbol, size_t n)
{
    uint32_t low = 0, high = UINT32_MAX;
    for (size_t i = 0; i < n && !o->failed; i++) {
        uint64_t span = (uint64_t)high - low + 1;
        high = low + (uint32_t)(span * count[symbol[i] + 1] >> 16) - 1;
        low += (uint32_t)(span * count[symbol[i]] >> 16);
        for (unsigned same = shared_bits(low, high); same; same--) {
            put_with_pending(o, low >> 31);
            low <<= 1;
            high = high << 1 | 1;
        }
        unsigned more = straddling_bits(low, high);
        low = more ? low << more & 0x7fffffff : low;
        high = more ? high << more | 0x80000000 | ((1u << more) - 1) : high;
        o->pending += more;
    }
    o->pending++;
    put_with_pending(o, low >= 0x40000000);
}

static int ascending(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* Different values of v, ascending, and how often each is there; both malloc'd. */
static int histogram(const int32_t *v, size_t n, int32_t **values, uint32_t **counts, size_t *found)
{
    int32_t *sorted = malloc((n ? n : 1) * sizeof *sorted);
    uint32_t *count = malloc((n ? n : 1) * sizeof *count);
    *values = sorted;
    *counts = count;
    *found = 0;
    if (!sorted || !count)
        return fv_fail(FV_ENOMEM, "out of memory");
    memcpy(sorted, v, n * sizeof *v);
    qsort(sorted, n, sizeof *sorted, ascending);
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        if (!m || sorted[i] != sorted[m - 1]) {
            sorted[m] = sorted[i];
            count[m++] = 0;
        }
        count[m - 1]++;
    }
    *found = m;
    return 0;
}

static size_t find(const int32_t *values, size_t n, int32_t v)
{
    size_t low = 0, high = n;
    while (low + 1 < high) {
        size_t middle = (low + high) / 2;
        if (values[middle] <= v)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* What gs_queen_compress allocates; c->memory. */
struct coded_memory {
    int32_t *ints, *values;
    uint32_t *counts, *count_up;
    uint16_t *symbols;
    float *cdf;
    struct gs_queen_tail *tails;
    struct bits_out out;
};

/* Values of a ten-thousandth and less become the commonest one, and are listed. */
static int take_tails(struct gs_queen_coded *c, struct coded_memory *m, size_t found)
{
    size_t n = (size_t)c->rows * c->width, mode = 0, rare = 0, at = 0;
    for (size_t i = 1; i < found; i++)
        mode = m->counts[i] > m->counts[mode] ? i : mode;
    for (size_t i = 0; i < found; i++)
        if (i != mode && (float)m->counts[i] / (float)n <= 1e-4f)
            rare += m->counts[i];
    m->tails = malloc((rare ? rare : 1) * sizeof *m->tails);
    if (!m->tails)
        return fv_fail(FV_ENOMEM, "out of memory");
    /* in the order of values, as QUEEN lists them: room for each is counted up */
    size_t *first = calloc(found + 1, sizeof *first);
    if (!first)
        return fv_fail(FV_ENOMEM, "out of memory");
    for (size_t i = 0; i < found; i++) {
        bool tail = i != mode && (float)m->counts[i] / (float)n <= 1e-4f;
        first[i] = tail ? at : SIZE_MAX;
        at += tail ? m->counts[i] : 0;
    }
    for (size_t i = 0; i < n; i++) {
        size_t k = find(m->values, found, m->ints[i]);
        if (first[k] == SIZE_MAX)
            continue;
        m->tails[first[k]++] = (struct gs_queen_tail){m->ints[i], (uint32_t)i};
        m->ints[i] = m->values[mode];
    }
    free(first);
    c->tail = m->tails;
    c->tails = rare;
    return 0;
}

/* Sums in double, each rounded to float, then divided by the last: as torch does on a CPU. */
static int make_cdf(struct gs_queen_coded *c, struct coded_memory *m)
{
    size_t n = (size_t)c->rows * c->width;
    double sum = 0;
    m->cdf = malloc((c->symbols + 1) * sizeof *m->cdf);
    m->count_up = malloc((c->symbols + 1) * sizeof *m->count_up);
    if (!m->cdf || !m->count_up)
        return fv_fail(FV_ENOMEM, "out of memory");
    m->cdf[0] = 0;
    for (uint32_t i = 0; i < c->symbols; i++) {
        sum += (double)((float)m->counts[i] / (float)n);
        m->cdf[i + 1] = (float)sum;
    }
    for (uint32_t i = 0; i <= c->symbols; i++)
        m->cdf[i] /= m->cdf[c->symbols];
    c->cdf = m->cdf;
    return count_up(c, m->count_up);
}

static int compress(struct gs_queen_coded *c, struct coded_memory *m, const float *values,
                    float scale)
{
    size_t n = (size_t)c->rows * c->width, found;
    m->ints = malloc((n ? n : 1) * sizeof *m->ints);
    m->symbols = malloc((n ? n : 1) * sizeof *m->symbols);
    if (!m->ints || !m->symbols)
        return fv_fail(FV_ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        float scaled = values[i] * scale;
        gs_queen_round(m->ints + i, &scaled, 1);
    }
    FV_TRY(histogram(m->ints, n, &m->values, &m->counts, &found));
    FV_TRY(take_tails(c, m, found));
    free(m->values);
    free(m->counts);
    FV_TRY(histogram(m->ints, n, &m->values, &m->counts, &found));
    if (found > MOST_SYMBOLS)
        return fv_fail(FV_EUNSUPPORTED, "%zu different values; QUEEN codes at most %d", found,
                       MOST_SYMBOLS);
    c->symbols = (uint32_t)found;
    c->value = m->values;
    if (!n)
        return 0;
    FV_TRY(make_cdf(c, m));
    for (size_t i = 0; i < n; i++)
        m->symbols[i] = (uint16_t)find(m->values, found, m->ints[i]);
    encode(&m->out, m->count_up, m->symbols, n);
    c->bytes = m->out.bytes;
    c->size = (m->out.size + 7) / 8;
    return m->out.failed ? fv_fail(FV_ENOMEM, "out of memory") : 0;
}

int gs_queen_compress(struct gs_queen_coded *out, const float *values, uint32_t rows,
                      uint32_t width, float scale)
{
    *out = (struct gs_queen_coded){.rows = rows, .width = width};
    if (width && rows > UINT32_MAX / width)
        return fv_fail(FV_EUNSUPPORTED, "%u rows of %u values are too many", rows, width);
    struct coded_memory *m = out->memory = calloc(1, sizeof *m);
    int rc = m ? compress(out, m, values, scale) : fv_fail(FV_ENOMEM, "out of memory");
    if (rc < 0)
        gs_queen_coded_finish(out);
    return rc;
}

void gs_queen_coded_finish(struct gs_queen_coded *c)
{
    struct coded_memory *m = c->memory;
    if (m) {
        free(m->ints);
        free(m->values);
        free(m->counts);
        free(m->count_up);
        free(m->symbols);
        free(m->cdf);
        free(m->tails);
        free(m->out.bytes);
        free(m);
    }
    *c = (struct gs_queen_coded){0};
}

/* ---- figures ---- */

int gs_queen_entropy(double *bits, const int32_t *v, size_t n, size_t stride)
{
    int32_t *picked = malloc((n ? n : 1) * sizeof *picked), *values = NULL;
    uint32_t *counts = NULL;
    size_t found = 0;
    int rc = picked ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    for (size_t i = 0; picked && i < n; i++)
        picked[i] = v[i * stride];
    if (rc >= 0)
        rc = histogram(picked, n, &values, &counts, &found);
    *bits = 0;
    for (size_t i = 0; i < found; i++)
        *bits -= counts[i] * log2((double)counts[i] / (double)n);
    free(picked);
    free(values);
    free(counts);
    return rc;
}

static double softplus(double x)
{
    return fmax(x, 0) + log1p(exp(-fabs(x)));
}

double gs_queen_estimate_cdf(const struct gs_queen_estimator *e, uint32_t channel, double x)
{
    for (uint32_t l = 0; l < e->layers; l++) {
        x = x * softplus((double)e->h[l][channel]) + (double)e->b[l][channel];
        if (l + 1 < e->layers)
            x += tanh(x) * tanh((double)e->a[l][channel]);
    }
    return 1 / (1 + exp(-x));
}

double gs_queen_estimate_bits(const struct gs_queen_estimator *e, const float *latent,
                              const float *noise, size_t rows)
{
    double sum = 0;
    for (size_t i = 0; i < rows * e->channels; i++) {
        uint32_t c = (uint32_t)(i % e->channels);
        double x = noise ? (double)(latent[i] + noise[i]) : (double)rintf(latent[i]);
        double p = gs_queen_estimate_cdf(e, c, x + 0.5) - gs_queen_estimate_cdf(e, c, x - 0.5);
        sum += fmin(fmax(-log2(p + 1e-10), 0), 50);
    }
    return sum;
}

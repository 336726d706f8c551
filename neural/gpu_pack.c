/* Networks in the order their kernels read them. */
#include "neural/gpu.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct writer {
    float *at;
    uint32_t hidden; /* padded */
};

/* A row of weights from column `from` on, n of them, padded to `room`. */
static void put_row(struct writer *w, const struct nl_layer *l, uint32_t row, uint32_t from, uint32_t n,
                    uint32_t room)
{
    for (uint32_t i = 0; i < room; i++)
        *w->at++ = row < l->out && i < n ? l->w[(size_t)row * l->in + from + i] : 0;
}

static void put_biases(struct writer *w, const struct nl_layer *l, uint32_t from, uint32_t n, uint32_t room)
{
    for (uint32_t i = 0; i < room; i++)
        *w->at++ = i < n && from + i < l->out ? l->b[from + i] : 0;
}

/* The rows of the view: direction, distance. */
static void put_view(struct writer *w, const struct nl_model *m, enum nl_net net)
{
    uint32_t width = nl_encoded_width(m), n = 3u + m->distance[net];
    for (uint32_t i = 0; i < w->hidden; i++)
        put_row(w, &m->net[net].layer[0], i, width, n, NL_VIEW);
}

/* Scaffold-GS: each Gaussian's rows of the last layer, then their biases. */
static void put_outputs(struct writer *w, const struct nl_layer *l, uint32_t offsets, uint32_t per)
{
    for (uint32_t k = 0; k < offsets; k++) {
        for (uint32_t r = 0; r < per; r++)
            put_row(w, l, k * per + r, 0, l->in, w->hidden);
        put_biases(w, l, k * per, per, (per + 3) / 4 * 4);
    }
}

/* SAGS: the second layer, then for each of its units a column of the last and its own bias. */
static void put_deep(struct writer *w, const struct nl_mlp *n)
{
    const struct nl_layer *mid = &n->layer[1], *last = &n->layer[2];
    uint32_t columns = (last->out + 4) / 4 * 4;
    for (uint32_t i = 0; i < w->hidden; i++)
        put_row(w, mid, i, 0, mid->in, w->hidden);
    for (uint32_t i = 0; i < w->hidden; i++) {
        for (uint32_t c = 0; c + 1 < columns; c++)
            *w->at++ = c < last->out && i < last->in ? last->w[(size_t)c * last->in + i] : 0;
        *w->at++ = i < mid->out ? mid->b[i] : 0;
    }
    put_biases(w, last, 0, last->out, columns);
}

int nl_pack_net(const struct nl_model *m, struct nl_gpu *g, float **out, size_t *floats)
{
    static const uint32_t per[NL_NETS] = {1, 7, 3};
    size_t h = g->hidden, most = 0;
    for (int i = 0; i < NL_NETS; i++) {
        size_t columns = per[i] == 7 ? 8 : 4;
        most += 4 * h + (m->arch == NL_SAGS ? h * h + (h + 1) * columns : m->offsets * (per[i] * h + columns));
    }
    *out = malloc(most * sizeof **out);
    if (!*out)
        return fv_fail(FV_ENOMEM, "out of memory");
    struct writer w = {*out, g->hidden};
    for (int i = 0; i < NL_NETS; i++) {
        uint32_t at = (uint32_t)(w.at - *out) / 4;
        g->net1 = i == 1 ? at : g->net1;
        g->net2 = i == 2 ? at : g->net2;
        put_view(&w, m, (enum nl_net)i);
        if (m->arch == NL_SAGS)
            put_deep(&w, &m->net[i]);
        else
            put_outputs(&w, &m->net[i].layer[1], m->offsets, per[i]);
    }
    *floats = (size_t)(w.at - *out);
    return 0;
}

/* How much a hidden unit of the first layer changes the opacity at most: ReLU passes all of a unit's change, or
 * none. */
static double pull(const struct nl_mlp *n, uint32_t unit)
{
    const struct nl_layer *mid = &n->layer[1], *last = &n->layer[2];
    double up = 0, down = 0;
    for (uint32_t i = 0; i < mid->out; i++) {
        double v = (double)last->w[i] * (double)mid->w[(size_t)i * mid->in + unit];
        up += v > 0 ? v : 0;
        down -= v < 0 ? v : 0;
    }
    return up > down ? up : down;
}

void nl_opacity_growth(const struct nl_model *m, float *by_turn, float *by_distance)
{
    const struct nl_mlp *n = &m->net[NL_OPACITY];
    const struct nl_layer *first = &n->layer[0];
    double turn = 0, distance = 0;
    for (uint32_t j = 0; j < first->out; j++) {
        const float *v = first->w + (size_t)j * first->in + nl_encoded_width(m);
        double by = pull(n, j);
        turn += by * sqrt((double)v[0] * (double)v[0] + (double)v[1] * (double)v[1] + (double)v[2] * (double)v[2]);
        distance += m->distance[NL_OPACITY] ? by * fabs((double)v[3]) : 0;
    }
    *by_turn = (float)(1.001 * turn);
    *by_distance = (float)(1.001 * distance);
}

/* A first layer's bias with what the appearance adds to it. */
static float bias_of(const struct nl_model *m, int net, uint32_t row, uint32_t camera)
{
    const struct nl_layer *l = &m->net[net].layer[0];
    if (row >= l->out)
        return 0;
    double sum = (double)l->b[row];
    uint32_t from = nl_encoded_width(m) + 3u + m->distance[net];
    for (uint32_t c = 0; net == NL_COLOUR && c < m->appearance; c++)
        sum += (double)l->w[(size_t)row * l->in + from + c] *
               (double)m->embedding[(size_t)camera * m->appearance + c];
    return (float)sum;
}

int nl_pack_first(const struct nl_model *m, const struct nl_gpu *g, uint32_t camera, float **out,
                  size_t *floats)
{
    uint32_t width = nl_encoded_width(m), room = 4 * g->feature_quads;
    size_t most = 3ull * g->hidden * (room + 4) + 8ull * g->bank_hidden + 4;
    *out = calloc(most, sizeof **out);
    if (!*out)
        return fv_fail(FV_ENOMEM, "out of memory");
    struct writer w = {*out, g->hidden};
    for (int n = 0; n < NL_NETS; n++)
        for (uint32_t i = 0; i < g->hidden; i++) {
            put_row(&w, &m->net[n].layer[0], i, 0, width, room);
            *w.at = bias_of(m, n, i, camera);
            w.at += 4;
        }
    for (uint32_t i = 0; i < g->bank_hidden; i++) {
        const struct nl_layer *a = &m->bank.layer[0], *b = &m->bank.layer[1];
        put_row(&w, a, i, 0, NL_VIEW, NL_VIEW);
        for (uint32_t c = 0; c < 3; c++)
            *w.at++ = b->w[(size_t)c * b->in + i];
        *w.at++ = a->b[i];
    }
    if (g->bank_hidden)
        put_biases(&w, &m->bank.layer[1], 0, 3, 4);
    *floats = most;
    return 0;
}

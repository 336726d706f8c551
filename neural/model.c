/* A model's parts and what must hold of them (neural.h). */
#include "neural/neural_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *nl_arch_name(enum nl_arch a)
{
    return a == NL_SAGS ? "sags" : "scaffold";
}

void *nl_room(struct fv_arena *a, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        fv_fail(FV_ENOMEM, "%zu values are more than memory holds", count);
        return NULL;
    }
    return fv_arena_alloc(a, bytes ? bytes : 1);
}

void nl_finish(struct nl_model *m)
{
    fv_arena_finish(&m->arena);
    *m = (struct nl_model){0};
}

uint32_t nl_encoded_width(const struct nl_model *m)
{
    return m->arch == NL_SAGS ? NL_HASH_WIDTH + 2 * m->feature : m->feature;
}

/* ---- checks ---- */

static const char *const net_names[NL_NETS] = {"opacity", "covariance", "colour"};
static const uint32_t net_outputs[NL_NETS] = {1, 7, 3}; /* of a Gaussian */

static int check_finite(const float *v, size_t n, const char *name, const char *what)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(v[i]))
            return fv_fail(FV_EFORMAT, "%s: %s: value %zu is not finite", name, what, i);
    return 0;
}

static int check_mlp(const struct nl_mlp *n, uint32_t in, uint32_t out, const char *name,
                     const char *what)
{
    if (!n->layers)
        return fv_fail(FV_EFORMAT, "%s: the %s network is missing", name, what);
    for (uint32_t i = 0; i < n->layers; i++) {
        const struct nl_layer *l = &n->layer[i];
        if (l->in != in)
            return fv_fail(FV_EFORMAT, "%s: the %s network's layer %u has %u inputs, expected %u",
                           name, what, i, l->in, in);
        FV_TRY(check_finite(l->w, (size_t)l->in * l->out, name, what));
        FV_TRY(check_finite(l->b, l->out, name, what));
        in = l->out;
    }
    if (in != out)
        return fv_fail(FV_EFORMAT, "%s: the %s network has %u outputs, expected %u", name, what, in,
                       out);
    return 0;
}

static int check_nets(const struct nl_model *m, const char *name)
{
    for (int i = 0; i < NL_NETS; i++) {
        uint32_t in = nl_encoded_width(m) + 3 + m->distance[i];
        if (i == NL_COLOUR)
            in += m->appearance;
        char what[64];
        snprintf(what, sizeof what, "%s (k = %u)", net_names[i], m->offsets);
        FV_TRY(check_mlp(&m->net[i], in, net_outputs[i] * m->offsets, name,
                         m->arch == NL_SAGS ? net_names[i] : what));
    }
    if (m->arch == NL_SAGS)
        return check_mlp(&m->move, nl_encoded_width(m), 3, name, "offset");
    if (!m->bank.layers)
        return 0;
    if (m->feature % 4)
        return fv_fail(FV_EFORMAT, "%s: features of %u numbers have no bank: 4 does not divide them",
                       name, m->feature);
    return check_mlp(&m->bank, NL_VIEW, 3, name, "feature bank");
}

int nl_check(const struct nl_model *m, const char *name)
{
    size_t n = m->count;
    if (!n)
        return fv_fail(FV_EFORMAT, "%s: has no anchors", name);
    if (n > 1u << 26)
        return fv_fail(FV_EUNSUPPORTED, "%s: %zu anchors; at most 2^26 are read", name, n);
    if (!m->feature || m->feature > NL_MAX_FEATURE)
        return fv_fail(FV_EFORMAT, "%s: features of %u numbers; 1 to %d are read", name, m->feature,
                       NL_MAX_FEATURE);
    if (!m->offsets || m->offsets > NL_MAX_OFFSETS)
        return fv_fail(FV_EFORMAT, "%s: %u Gaussians an anchor; 1 to %d are read", name, m->offsets,
                       NL_MAX_OFFSETS);
    FV_TRY(check_finite(m->position, 3 * n, name, "positions"));
    FV_TRY(check_finite(m->features, (size_t)m->feature * (n - m->midpoints), name, "features"));
    FV_TRY(check_finite(m->scaling, 6 * n, name, "scalings"));
    FV_TRY(check_finite(m->rotation, 4 * n, name, "rotations"));
    FV_TRY(check_nets(m, name));
    FV_TRY(check_finite(m->embedding, (size_t)m->appearance * m->cameras, name,
                        "appearance embedding"));
    if (m->arch == NL_SCAFFOLD)
        return check_finite(m->offset, 3 * (size_t)m->offsets * n, name, "offsets");
    uint32_t entries[NL_HASH_LEVELS + 1], width = nl_encoded_width(m);
    nl_hash_offsets(entries);
    if (!m->neighbours || m->neighbours > 64)
        return fv_fail(FV_EFORMAT, "%s: graphs of %u neighbours; 1 to 64 are read", name,
                       m->neighbours);
    FV_TRY(check_finite(m->hash, 2 * (size_t)entries[NL_HASH_LEVELS], name, "hash grid"));
    FV_TRY(check_finite(m->alpha, width, name, "affine_alpha"));
    return check_finite(m->beta, width, name, "affine_beta");
}

/* ---- sizes ---- */

static uint64_t mlp_bytes(const struct nl_mlp *n)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n->layers; i++)
        sum += 4 * (uint64_t)n->layer[i].out * (n->layer[i].in + 1);
    return sum;
}

void nl_parts(const struct nl_model *m, struct nl_part out[NL_PARTS])
{
    uint32_t entries[NL_HASH_LEVELS + 1];
    uint64_t n = 4 * (uint64_t)(m->count - m->midpoints), nets = 0;
    nl_hash_offsets(entries);
    for (int i = 0; i < NL_NETS; i++)
        nets += mlp_bytes(&m->net[i]);
    const struct nl_part all[] = {
        {"positions", 3 * n},
        {"features", m->feature * n},
        {"offsets", m->offset ? 3 * m->offsets * n : 0},
        {"scalings", 6 * n},
        {"rotations", 4 * n},
        {"midpoints", 8 * (uint64_t)m->midpoints},
        {"networks", nets},
        {"feature bank", mlp_bytes(&m->bank)},
        {"offset network", mlp_bytes(&m->move)},
        {"appearance", 4 * (uint64_t)m->appearance * m->cameras},
        {"hash grid", m->hash ? 8 * (uint64_t)entries[NL_HASH_LEVELS] : 0},
        {"affine layer", m->alpha ? 8 * (uint64_t)nl_encoded_width(m) : 0},
    };
    size_t k = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].bytes)
            out[k++] = all[i];
    out[k] = (struct nl_part){NULL, 0};
}

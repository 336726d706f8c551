/* SAGS-Lite (SAGS, sec. 3.5): midpoints without features of their own. The paper's densification puts a
 * point half way between two neighbours, and points do not move in training: those that still lie there
 * are found again. No code of it was released; docs/NEURAL.md has the reading that is taken. */
#include "neural/neural_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void nl_place_midpoints(struct nl_model *m)
{
    struct {
        float *v;
        size_t width;
    } all[] = {{m->position, 3}, {m->scaling, 6}, {m->rotation, 4}};
    size_t points = m->count - m->midpoints;
    for (size_t i = 0; i < 3; i++)
        for (size_t k = 0; k < m->midpoints; k++) {
            const float *a = all[i].v + all[i].width * m->pair[2 * k],
                        *b = all[i].v + all[i].width * m->pair[2 * k + 1];
            float *out = all[i].v + all[i].width * (points + k);
            for (size_t c = 0; c < all[i].width; c++)
                out[c] = 0.5f * (a[c] + b[c]);
        }
}

enum use { FREE, END, MIDPOINT };

/* Whether t lies between a and b but for rounding. */
static bool is_between(const float *t, const float *a, const float *b)
{
    for (int k = 0; k < 3; k++) {
        double off = (double)t[k] - 0.5 * ((double)a[k] + (double)b[k]);
        if (fabs(off) > 2e-7 * (fabs((double)a[k]) + fabs((double)b[k])) + 1e-30)
            return false;
    }
    return memcmp(a, b, 3 * sizeof *a) != 0;
}

/* Two neighbours of t that may be ends, and between which it lies. */
static bool find_pair(const struct nl_model *m, uint32_t t, const uint8_t *use, uint32_t out[2])
{
    const uint32_t *list = m->neighbour + (size_t)m->neighbours * t;
    for (uint32_t i = 1; i < m->neighbours; i++)
        for (uint32_t j = i + 1; j < m->neighbours; j++)
            if (use[list[i]] != MIDPOINT && use[list[j]] != MIDPOINT &&
                is_between(m->position + 3 * (size_t)t, m->position + 3 * (size_t)list[i],
                           m->position + 3 * (size_t)list[j])) {
                out[0] = list[i];
                out[1] = list[j];
                return true;
            }
    return false;
}

/* Rows that stay move to the front; the midpoints' are made anew. */
static void move_rows(struct nl_model *m, const uint8_t *use, uint32_t *place)
{
    struct {
        float *v;
        size_t width;
    } all[] = {{m->position, 3}, {m->scaling, 6}, {m->rotation, 4}, {m->features, m->feature}};
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        if (use[i] == MIDPOINT)
            continue;
        for (size_t k = 0; k < 4; k++)
            memmove(all[k].v + all[k].width * n, all[k].v + all[k].width * i,
                    all[k].width * sizeof(float));
        place[i] = n++;
    }
    for (uint32_t k = 0; k < 2 * m->midpoints; k++)
        m->pair[k] = place[m->pair[k]];
    nl_place_midpoints(m);
}

int nl_make_lite(struct nl_model *m)
{
    if (m->arch != NL_SAGS)
        return fv_fail(FV_EINVALID, "only SAGS has a lite form");
    if (m->midpoints)
        return (int)m->midpoints;
    FV_TRY(nl_graph(m));
    uint8_t *use = calloc(m->count, 1);
    uint32_t *place = malloc(m->count * sizeof *place);
    m->pair = nl_room(&m->arena, 2 * (size_t)m->count, sizeof *m->pair);
    int rc = use && place && m->pair ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    for (uint32_t t = m->count; rc == 0 && t--;) { /* densification adds at the end */
        uint32_t *pair = m->pair + 2 * (size_t)m->midpoints;
        if (use[t] != FREE || !find_pair(m, t, use, pair))
            continue;
        use[t] = MIDPOINT;
        use[pair[0]] = use[pair[1]] = END;
        m->midpoints++;
    }
    if (rc == 0) {
        move_rows(m, use, place);
        m->neighbour = NULL; /* of the points that are left */
    }
    free(use);
    free(place);
    return rc < 0 ? rc : (int)m->midpoints;
}

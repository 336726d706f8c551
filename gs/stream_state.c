/* The integers of a stream: their arithmetic, and their way from scenes and back (stream.h). */
#include "gs/stream.h"
#include "gs/scene.h"
#include "vk/base/array.h"
#include "vk/base/thread.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int gs_stream_state_create(struct gs_stream_state *s, uint32_t count, int sh_degree)
{
    *s = (struct gs_stream_state){.count = count, .sh_degree = sh_degree};
    for (int a = 0; a < (int)gs_attr_end(sh_degree); a++) {
        s->v[a] = fv_alloc_large(((size_t)count * (size_t)gs_attr_comps(a) + 1) * sizeof *s->v[a]);
        if (!s->v[a]) {
            gs_stream_state_finish(s);
            return fv_fail(FV_ENOMEM, "no memory for %u Gaussians", count);
        }
    }
    return 0;
}

void gs_stream_state_finish(struct gs_stream_state *s)
{
    for (int a = 0; a < GS_ATTRS; a++)
        free(s->v[a]);
    *s = (struct gs_stream_state){0};
}

void gs_stream_state_copy(struct gs_stream_state *to, const struct gs_stream_state *from)
{
    for (int a = 0; a < (int)gs_attr_end(from->sh_degree); a++)
        memcpy(to->v[a], from->v[a],
               (size_t)from->count * (size_t)gs_attr_comps(a) * sizeof *to->v[a]);
}

int gs_stream_rows_create(struct gs_stream_base *b, uint32_t count, int sh_degree)
{
    *b = (struct gs_stream_base){.coarser = 5};
    FV_TRY(gs_stream_state_create(&b->state, count, sh_degree));
    b->level = calloc((size_t)count + 1, 1);
    b->turn_level = calloc((size_t)count + 1, 1);
    b->near = calloc((size_t)count + 1, sizeof *b->near);
    if (b->level && b->turn_level && b->near)
        return 0;
    gs_stream_base_finish(b);
    return fv_fail(FV_ENOMEM, "no memory for %u Gaussians", count);
}

int gs_stream_base_create(struct gs_stream_base *b, uint32_t count, int sh_degree)
{
    FV_TRY(gs_stream_rows_create(b, count, sh_degree));
    int rc = gs_key_models_create(&b->learned, sh_degree);
    if (rc < 0)
        gs_stream_base_finish(b);
    return rc;
}

void gs_stream_base_finish(struct gs_stream_base *b)
{
    gs_stream_state_finish(&b->state);
    free(b->level);
    free(b->turn_level);
    free(b->near);
    gs_key_models_destroy(&b->learned);
    gs_stream_basis_destroy(&b->basis);
    *b = (struct gs_stream_base){0};
}

/* ---- steps ---- */

/* 16 * 2^((level - 3) / 2) */
static const int32_t level_step[GS_LEVELS] = {6, 8, 11, 16, 23, 32, 45, 64, 91, 128};

static int clamp(int v, int least, int most)
{
    return v < least ? least : v > most ? most : v;
}

static int32_t step_of(const struct gs_stream_base *b, enum gs_attr a, int level)
{
    if (a == GS_POSITION)
        return GS_POSITION_UNITS * level_step[clamp(level, 3, 7)] / GS_UNITS;
    if (a != GS_ROTATION)
        return level_step[a == GS_SCALE || a == GS_OPACITY ? clamp(level, 1, 6) : level];
    int32_t whole = (int32_t)lrintf(b->step[a] * GS_ROTATION_ONE);
    int32_t step = whole * level_step[level] / GS_UNITS;
    return step < 1 ? 1 : step;
}

void gs_stream_steps(struct gs_steps *out, const struct gs_stream_base *b, enum gs_attr a,
                     bool residual)
{
    out->level = a == GS_ROTATION ? b->turn_level : b->level;
    for (int level = 0; level < GS_LEVELS; level++) {
        int32_t step = step_of(b, a, level);
        out->by_level[level] = residual ? step * b->coarser / 4 : step;
    }
}

int32_t gs_stream_step(const struct gs_stream_base *b, enum gs_attr a, uint32_t i, bool residual)
{
    int32_t step = step_of(b, a, (a == GS_ROTATION ? b->turn_level : b->level)[i]);
    return residual ? step * b->coarser / 4 : step;
}

/* A round Gaussian shows little of how it is turned: up to three half octaves coarser, two finer
 * for one that is long. Half octaves of (1.5 / log ratio of the axes)^0.6. */
void gs_stream_find_turn_levels_of(struct gs_stream_base *b, uint32_t begin, uint32_t end)
{
    /* half way, in half octaves: 1.5 * 2^(1.25, 0.4167, -0.4167, -1.25, -2.0833) */
    static const double least_log[5] = {3.567621, 2.002312, 1.123701, 0.630672, 0.353964};
    int64_t least[5]; /* of the ratio in 2^-10 units of scale */
    for (int k = 0; k < 5; k++)
        least[k] = (int64_t)(least_log[k] * (1024.0 * GS_UNITS) / (double)b->step[GS_SCALE]);
    for (uint32_t i = begin; i < end; i++) {
        const int32_t *s = b->state.v[GS_SCALE] + 3 * (size_t)i;
        int64_t d[3] = {1448ll * s[1], 724ll * s[1] + 1254ll * s[2], 1254ll * s[2] - 724ll * s[1]};
        int64_t ratio = 0;
        for (int k = 0; k < 3; k++) {
            int64_t size = d[k] < 0 ? -d[k] : d[k];
            ratio = size > ratio ? size : ratio;
        }
        int coarser = -2;
        while (coarser < 3 && ratio < least[coarser + 2])
            coarser++;
        b->turn_level[i] = (uint8_t)clamp(b->level[i] + coarser, 0, GS_LEVELS - 1);
    }
}

void gs_stream_find_turn_levels(struct gs_stream_base *b)
{
    gs_stream_find_turn_levels_of(b, 0, b->state.count);
}

/* Squares of distances to the last Gaussians, the last one's last; a double holds those of a grid. */
static void distances(double out[GS_NEAR_WINDOW], const double *x, const double *y, const double *z)
{
    const double *from[3] = {x - GS_NEAR_WINDOW, y - GS_NEAR_WINDOW, z - GS_NEAR_WINDOW};
    for (int k = 0; k < GS_NEAR_WINDOW; k++) {
        double dx = from[0][k] - x[0], dy = from[1][k] - y[0], dz = from[2][k] - z[0];
        out[k] = dx * dx + dy * dy + dz * dz;
    }
}

static void nearest_of(uint32_t near[GS_NEAR], const double distance[GS_NEAR_WINDOW], uint32_t i)
{
    enum { FEW = 4 }; /* most are too far: looked at together */
    double least[GS_NEAR] = {HUGE_VAL, HUGE_VAL, HUGE_VAL, HUGE_VAL};
    uint32_t window = i < GS_NEAR_WINDOW ? i : GS_NEAR_WINDOW;
    for (int k = 0; k < GS_NEAR; k++)
        near[k] = ~0u;
    for (uint32_t begin = 0; begin < window; begin += FEW) {
        const double *d = distance + GS_NEAR_WINDOW - FEW - begin;
        double a = d[0] < d[1] ? d[0] : d[1], b = d[2] < d[3] ? d[2] : d[3];
        if ((a < b ? a : b) >= least[GS_NEAR - 1])
            continue;
        for (uint32_t back = begin; back < begin + FEW && back < window; back++) {
            double v = distance[GS_NEAR_WINDOW - 1 - back];
            int at = GS_NEAR - 1;
            if (v >= least[at])
                continue;
            for (; at > 0 && least[at - 1] > v; at--) {
                least[at] = least[at - 1];
                near[at] = near[at - 1];
            }
            least[at] = v;
            near[at] = i - 1 - back;
        }
    }
}

void gs_stream_find_near_of(struct gs_stream_base *b, uint32_t begin, uint32_t end)
{
    const int32_t *p = b->state.v[GS_POSITION];
    double axis[3][GS_NEAR_WINDOW + GS_NEAR_PIECE] = {0}, distance[GS_NEAR_WINDOW];
    size_t from = begin < GS_NEAR_WINDOW ? 0 : begin - GS_NEAR_WINDOW;
    size_t shift = GS_NEAR_WINDOW - (size_t)begin; /* of a Gaussian to its place; may wrap */
    for (size_t i = from; i < end; i++)
        for (size_t k = 0; k < 3; k++)
            axis[k][i + shift] = p[3 * i + k];
    for (size_t i = begin; i < end; i++) {
        distances(distance, axis[0] + i + shift, axis[1] + i + shift, axis[2] + i + shift);
        nearest_of(b->near[i], distance, (uint32_t)i);
    }
}

static int find_near(void *ud, size_t begin, size_t end)
{
    for (size_t at = begin; at < end; at += GS_NEAR_PIECE)
        gs_stream_find_near_of(ud, (uint32_t)at,
                               (uint32_t)(end - at < GS_NEAR_PIECE ? end : at + GS_NEAR_PIECE));
    return 0;
}

/* The nearest of the last Gaussians along the curve: about as good as the nearest of all. */
void gs_stream_find_near(struct gs_stream_base *b)
{
    fv_parallel(b->state.count, GS_NEAR_PIECE, find_near, b);
}

/* ---- rotations and rigid motions ---- */

static uint64_t root(uint64_t v)
{
    uint64_t r = (uint64_t)sqrt((double)v); /* at most one off */
    while (r * r > v)
        r--;
    while ((r + 1) * (r + 1) <= v)
        r++;
    return r;
}

/* Back to length 1 from near it: one step of Newton's. */
static void normalise(int32_t q[4])
{
    int32_t square = 0;
    for (int k = 0; k < 4; k++)
        square += q[k] * q[k];
    int32_t excess = (square >> 14) - GS_ROTATION_ONE;
    for (int k = 0; k < 4; k++)
        q[k] -= (q[k] * excess + (1 << 14)) >> 15;
}

void gs_quat_mul(int32_t out[4], const int32_t a[4], const int32_t b[4])
{
    const int32_t r[4] = {
        a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3],
        a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2],
        a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1],
        a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0],
    };
    for (int k = 0; k < 4; k++)
        out[k] = (r[k] + (1 << 13)) >> 14;
    normalise(out);
}

void gs_quat_from_vector(int32_t out[4], const int32_t v[3])
{
    const int64_t one = (int64_t)GS_ROTATION_ONE * GS_ROTATION_ONE;
    int64_t square = 0;
    for (int k = 0; k < 3; k++)
        square += (int64_t)v[k] * v[k];
    if (square > one - one / 64) { /* only what a damaged or a clumsy stream holds: half a turn */
        int64_t length = (int64_t)root((uint64_t)square);
        for (int k = 0; k < 3; k++)
            out[k + 1] = (int32_t)(v[k] * (int64_t)(GS_ROTATION_ONE - 160) / length);
        square = 0;
        for (int k = 1; k < 4; k++)
            square += (int64_t)out[k] * out[k];
    } else {
        memcpy(out + 1, v, 3 * sizeof *v);
    }
    out[0] = (int32_t)root((uint64_t)(one - square));
}

bool gs_rigid_matrix(struct gs_rigid_matrix *m, const struct gs_rigid *r)
{
    const int64_t one = (int64_t)1 << 30;
    int64_t q[4], square = 0;
    for (int k = 0; k < 3; k++) {
        if (r->turn[k] < 0 ? r->turn[k] < -(GS_RIGID_TURN_MAX >> r->shift)
                           : r->turn[k] > GS_RIGID_TURN_MAX >> r->shift)
            return false;
        q[k + 1] = (int64_t)r->turn[k] * ((int64_t)1 << r->shift);
        square += q[k + 1] * q[k + 1];
    }
    if (square >= one * one)
        return false;
    q[0] = (int64_t)root((uint64_t)(one * one - square));
    int64_t w = q[0], x = q[1], y = q[2], z = q[3];
    const int64_t d[9] = {
        -(y * y + z * z), x * y - w * z,    x * z + w * y,
        x * y + w * z,    -(x * x + z * z), y * z - w * x,
        x * z - w * y,    y * z + w * x,    -(x * x + y * y),
    };
    for (int k = 0; k < 9; k++)
        m->less_one[k] = (int32_t)((d[k] + (1 << 28)) >> 29);
    for (int k = 0; k < 4; k++)
        m->turn[k] = (int32_t)((q[k] + (1 << 15)) >> 16);
    return true;
}

/* (a * b) / 2^30, rounded */
static int32_t mul30(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b + (1 << 29)) >> 30);
}

void gs_rigid_apply(const struct gs_rigid_matrix *m, const struct gs_rigid *r, int32_t position[3],
                    int32_t rotation[4])
{
    int32_t d[3], turned[4];
    for (int k = 0; k < 3; k++)
        d[k] = position[k] - r->centre[k];
    for (int k = 0; k < 3; k++)
        position[k] = gs_stream_limited(
            (int64_t)position[k] + r->move[k] + mul30(m->less_one[3 * k], d[0]) +
            mul30(m->less_one[3 * k + 1], d[1]) + mul30(m->less_one[3 * k + 2], d[2]));
    gs_quat_mul(turned, m->turn, rotation);
    memcpy(rotation, turned, sizeof turned);
}

/* ---- scenes ---- */

/* Orthonormal: luma, red - blue, green against both. */
static const float ycc[3][3] = {{0.57735027f, 0.57735027f, 0.57735027f},
                                {0.70710678f, 0, -0.70710678f},
                                {0.40824829f, -0.81649658f, 0.40824829f}};
/* Orthonormal: sum and differences of scales. */
static const float sums[3][3] = {{0.57735027f, 0.57735027f, 0.57735027f},
                                 {0.70710678f, -0.70710678f, 0},
                                 {0.40824829f, 0.40824829f, -0.81649658f}};

static void into(float out[3], const float m[3][3], const float v[3])
{
    for (int r = 0; r < 3; r++)
        out[r] = m[r][0] * v[0] + m[r][1] * v[1] + m[r][2] * v[2];
}

static void back(float out[3], const float m[3][3], const float v[3])
{
    for (int c = 0; c < 3; c++)
        out[c] = m[0][c] * v[0] + m[1][c] * v[1] + m[2][c] * v[2];
}

/* Within what symbols and their sums hold. */
static int32_t to_units(double v, double unit)
{
    double u = v / unit;
    return u > GS_STREAM_LIMIT    ? GS_STREAM_LIMIT
           : u < -GS_STREAM_LIMIT ? -GS_STREAM_LIMIT
                                  : (int32_t)lrint(u);
}

static int32_t position_units(float v, const struct gs_stream_base *b, size_t axis)
{
    return to_units((double)v - b->origin[axis], (double)b->step[GS_POSITION] / GS_POSITION_UNITS);
}

static void quat_product(float out[4], const float a[4], const float b[4])
{
    out[0] = a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3];
    out[1] = a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2];
    out[2] = a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1];
    out[3] = a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0];
}

/* The turn that brings axes p[0], p[1], p[2] to x, y, z. */
static void axes_turn(float out[4], const uint8_t p[3])
{
    const float h = 0.70710678f;
    static const struct {
        uint8_t axis[3];
        int8_t q[4];
        bool half;
    } turns[6] = {{{0, 1, 2}, {1, 0, 0, 0}, false},  {{1, 2, 0}, {1, 1, 1, 1}, true},
                  {{2, 0, 1}, {1, -1, -1, -1}, true}, {{1, 0, 2}, {0, 1, 1, 0}, false},
                  {{0, 2, 1}, {1, 1, 0, 0}, false},  {{2, 1, 0}, {1, 0, -1, 0}, false}};
    for (int t = 0; t < 6; t++)
        if (!memcmp(turns[t].axis, p, 3))
            for (int k = 0; k < 4; k++)
                out[k] = (float)turns[t].q[k] * (turns[t].half ? 0.5f : t ? h : 1);
}

static void unit_quat(float out[4], const float q[4])
{
    double square = 0;
    for (int k = 0; k < 4; k++)
        square += (double)q[k] * q[k];
    for (int k = 0; k < 4; k++)
        out[k] = (float)(q[k] / sqrt(square));
}

/* q turned to the axes of a pose. */
static void posed(float out[4], const float q[4], const struct gs_stream_pose *pose)
{
    static const float same[4][4] = {
        {1, 0, 0, 0}, {0, -1, 0, 0}, {0, 0, -1, 0}, {0, 0, 0, -1}};
    float unit[4], axes[4], sorted[4];
    unit_quat(unit, q);
    axes_turn(axes, pose->axis);
    quat_product(sorted, unit, axes);
    quat_product(out, sorted, same[pose->turn]);
}

uint64_t gs_stream_morton(const int32_t grid[3])
{
    uint64_t code = 0;
    for (int k = 0; k < 3; k++)
        code |= gs_morton_spread((uint64_t)grid[k] & 0x1fffff) << k;
    return code;
}

void gs_stream_morton_grid(int32_t grid[3], uint64_t code)
{
    for (int k = 0; k < 3; k++) {
        uint64_t v = code >> k & 0x1249249249249249u;
        v = (v | v >> 2) & 0x10c30c30c30c30c3u;
        v = (v | v >> 4) & 0x100f00f00f00f00fu;
        v = (v | v >> 8) & 0x1f0000ff0000ffu;
        v = (v | v >> 16) & 0x1f00000000ffffu;
        v = (v | v >> 32) & 0x1fffffu;
        grid[k] = (int32_t)v;
    }
}

struct place {
    uint64_t code;
    uint32_t row;
};

static int by_place(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    return x->code != y->code ? (x->code < y->code ? -1 : 1) : (x->row > y->row) - (x->row < y->row);
}

void gs_stream_name_axes(struct gs_stream_pose *p, const struct gs_scene *scene)
{
    const float *scale = scene->scale + 3 * (size_t)p->row;
    *p = (struct gs_stream_pose){.row = p->row, .axis = {0, 1, 2}};
    for (int n = 0; n < 3; n++) /* by size, stable */
        for (int k = 0; k < 2; k++)
            if (scale[p->axis[k + 1]] > scale[p->axis[k]]) {
                uint8_t swap = p->axis[k];
                p->axis[k] = p->axis[k + 1];
                p->axis[k + 1] = swap;
            }
    float q[4];
    posed(q, scene->rotation + 4 * (size_t)p->row, p);
    for (uint8_t k = 1; k < 4; k++)
        if (fabsf(q[k]) > fabsf(q[p->turn]))
            p->turn = k;
}

int gs_stream_make_poses(struct gs_stream_pose *pose, const struct gs_stream_base *b,
                         const struct gs_scene *scene)
{
    struct place *place = malloc(scene->count * sizeof *place + 1);
    if (!place)
        return fv_fail(FV_ENOMEM, "no memory for the order of %zu Gaussians", scene->count);
    for (size_t i = 0; i < scene->count; i++) {
        int32_t grid[3];
        for (size_t k = 0; k < 3; k++)
            grid[k] = gs_stream_grid(position_units(scene->position[3 * i + k], b, k));
        place[i] = (struct place){gs_stream_morton(grid), (uint32_t)i};
    }
    qsort(place, scene->count, sizeof *place, by_place);
    for (size_t i = 0; i < scene->count; i++) {
        pose[i].row = place[i].row;
        gs_stream_name_axes(&pose[i], scene);
    }
    free(place);
    return 0;
}

/* Colour coefficients [from, to) of a row of SH. */
static void sh_units(int32_t *out, const float *sh, int from, int to, double unit)
{
    for (int c = from; c < to; c++) {
        float v[3];
        into(v, ycc, sh + 3 * c);
        for (int k = 0; k < 3; k++)
            *out++ = to_units(v[k], unit);
    }
}

void gs_stream_positions(int32_t *out, const struct gs_stream_base *b, const struct gs_scene *scene,
                         const uint32_t *row, uint32_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < 3 && row[i] != GS_NO_ROW; k++)
            out[3 * i + k] = position_units(scene->position[3 * (size_t)row[i] + k], b, k);
}

void gs_stream_from_scene(struct gs_stream_state *out, const struct gs_stream_base *b,
                          const struct gs_scene *scene, const struct gs_stream_pose *pose)
{
    int coefs = gs_sh_coefs(scene->sh_degree);
    /* a smaller deviation than this cannot be seen */
    float least = logf(b->step[GS_POSITION]) - 3;
    for (uint32_t i = 0; i < out->count; i++) {
        size_t at = i, row = pose[i].row;
        float log_scale[3], s[3], q[4];
        for (size_t k = 0; k < 3; k++) {
            out->v[GS_POSITION][3 * at + k] =
                position_units(scene->position[3 * row + k], b, k);
            float v = scene->scale[3 * row + pose[i].axis[k]];
            log_scale[k] = v > least ? v : least;
        }
        into(s, sums, log_scale);
        for (size_t k = 0; k < 3; k++)
            out->v[GS_SCALE][3 * at + k] = to_units(s[k], (double)b->step[GS_SCALE] / GS_UNITS);
        posed(q, scene->rotation + 4 * row, &pose[i]);
        for (size_t k = 0; k < 4; k++)
            out->v[GS_ROTATION][4 * at + k] =
                (int32_t)lrintf((q[0] < 0 ? -q[k] : q[k]) * GS_ROTATION_ONE);
        out->v[GS_OPACITY][at] =
            to_units(gs_sigmoid(scene->opacity[row]), (double)b->step[GS_OPACITY] / GS_UNITS);
        const float *sh = scene->sh + row * (size_t)coefs * 3;
        sh_units(out->v[GS_COLOUR] + 3 * at, sh, 0, 1, (double)b->step[GS_COLOUR] / GS_UNITS);
        for (int band = 1; band <= out->sh_degree; band++) {
            enum gs_attr a = (enum gs_attr)(GS_SH1 + band - 1);
            sh_units(out->v[a] + (size_t)gs_attr_comps(a) * at, sh, band * band,
                     (band + 1) * (band + 1), (double)b->step[a] / GS_UNITS);
        }
    }
}

static void sh_values(float *sh, const int32_t *v, int from, int to, float unit)
{
    for (int c = from; c < to; c++, v += 3)
        back(sh + 3 * c, ycc,
             (const float[3]){(float)v[0] * unit, (float)v[1] * unit, (float)v[2] * unit});
}

struct to_scene {
    struct gs_scene *scene;
    const struct gs_stream_base *b;
    const struct gs_stream_state *s;
};

static int to_scene(void *ud, size_t begin, size_t end)
{
    const struct to_scene *t = ud;
    struct gs_scene *scene = t->scene;
    const struct gs_stream_base *b = t->b;
    const struct gs_stream_state *s = t->s;
    const float least_alpha = 1 / 1024.f;
    size_t coefs = (size_t)gs_sh_coefs(scene->sh_degree);
    float unit[GS_ATTRS];
    for (int a = 0; a < GS_ATTRS; a++)
        unit[a] = b->step[a] / (a == GS_POSITION ? GS_POSITION_UNITS : GS_UNITS);
    for (size_t i = begin; i < end; i++) {
        const int32_t *scale = s->v[GS_SCALE] + 3 * i;
        for (size_t k = 0; k < 3; k++)
            scene->position[3 * i + k] =
                b->origin[k] + (float)s->v[GS_POSITION][3 * i + k] * unit[GS_POSITION];
        back(scene->scale + 3 * i, sums,
             (const float[3]){(float)scale[0] * unit[GS_SCALE], (float)scale[1] * unit[GS_SCALE],
                              (float)scale[2] * unit[GS_SCALE]});
        for (size_t k = 0; k < 4; k++)
            scene->rotation[4 * i + k] =
                (float)s->v[GS_ROTATION][4 * i + k] * (1.f / GS_ROTATION_ONE);
        float alpha = (float)s->v[GS_OPACITY][i] * unit[GS_OPACITY];
        alpha = alpha < least_alpha ? least_alpha : alpha > 1 - least_alpha ? 1 - least_alpha : alpha;
        scene->opacity[i] = logf(alpha / (1 - alpha));
        float *sh = scene->sh + i * coefs * 3;
        sh_values(sh, s->v[GS_COLOUR] + 3 * i, 0, 1, unit[GS_COLOUR]);
        for (int band = 1; band <= scene->sh_degree; band++) {
            enum gs_attr a = (enum gs_attr)(GS_SH1 + band - 1);
            if (band <= s->sh_degree)
                sh_values(sh, s->v[a] + (size_t)gs_attr_comps(a) * i, band * band,
                          (band + 1) * (band + 1), unit[a]);
            else
                memset(sh + 3 * band * band, 0, (size_t)gs_attr_comps(a) * sizeof *sh);
        }
    }
    return 0;
}

void gs_stream_to_scene(struct gs_scene *scene, const struct gs_stream_base *b,
                        const struct gs_stream_state *s)
{
    fv_parallel(s->count, 8192, to_scene, &(struct to_scene){scene, b, s});
}

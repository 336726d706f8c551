/* The host scene's storage, and rows no renderer can use (gs.h, scene.h). */
#include "gs/scene.h"
#include "vk/base/thread.h"

#include <float.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Large arrays sit on huge pages where the system grants them: at a million Gaussians the
 * page faults of small ones take longer than reading the file. */
static float *alloc_floats(size_t n)
{
    enum { HUGE = 2 << 20 };
    size_t size = n * sizeof(float);
    if (size < 2 * HUGE)
        return malloc(size);
    size = (size + HUGE - 1) & ~(size_t)(HUGE - 1);
    float *p = aligned_alloc(HUGE, size);
    if (p)
        madvise(p, size, MADV_HUGEPAGE);
    return p;
}

int gs_scene_alloc(struct gs_scene *out, size_t count, int sh_degree)
{
    size_t coefs = (size_t)gs_sh_coefs(sh_degree);
    *out = (struct gs_scene){.count = count, .sh_degree = sh_degree};
    size_t n = count ? count : 1;
    if (n > SIZE_MAX / 2 / (coefs * 3 * sizeof(float)))
        return fv_fail(FV_ENOMEM, "%zu Gaussians do not fit in memory", count);
    out->position = alloc_floats(n * 3);
    out->scale = alloc_floats(n * 3);
    out->rotation = alloc_floats(n * 4);
    out->opacity = alloc_floats(n);
    out->sh = alloc_floats(n * coefs * 3);
    if (!out->position || !out->scale || !out->rotation || !out->opacity || !out->sh) {
        gs_scene_finish(out);
        return fv_fail(FV_ENOMEM, "out of memory for %zu Gaussians", count);
    }
    return 0;
}

void gs_scene_finish(struct gs_scene *s)
{
    free(s->position);
    free(s->scale);
    free(s->rotation);
    free(s->opacity);
    free(s->sh);
    *s = (struct gs_scene){0};
}

struct piece {
    int (*fn)(void *ud, size_t begin, size_t end);
    void *ud;
    size_t first;
};

static int run_piece(void *ud, size_t begin, size_t end)
{
    struct piece *p = ud;
    return p->fn(p->ud, p->first + begin, p->first + end);
}

int gs_for_rows(size_t count, int (*fn)(void *ud, size_t begin, size_t end), void *ud,
                const char *what, fv_progress_fn on_progress, void *progress_ud)
{
    enum { PIECE = 1 << 18, GRAIN = 512 };
    struct piece piece = {.fn = fn, .ud = ud};
    for (; piece.first < count; piece.first += PIECE) {
        size_t n = count - piece.first < PIECE ? count - piece.first : PIECE;
        FV_TRY(fv_parallel(n, GRAIN, run_piece, &piece));
        struct fv_progress p = {what, (double)(piece.first + n), (double)count};
        if (on_progress && on_progress(progress_ud, &p))
            return fv_fail(FV_ECANCELLED, "%s was cancelled", what);
    }
    return 0;
}

/* NaN and infinities have all exponent bits set. */
static bool finite_bits(const float *v, size_t n)
{
    uint32_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, v + i, 4);
        bad |= (u & 0x7f800000) == 0x7f800000;
    }
    return !bad;
}

static bool row_is_good(const struct gs_scene *s, size_t i)
{
    size_t n = 3 * (size_t)gs_sh_coefs(s->sh_degree);
    const float *q = s->rotation + 4 * i, *scale = s->scale + 3 * i;
    float norm = q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3];
    return norm >= FLT_MIN && norm <= FLT_MAX && finite_bits(s->position + 3 * i, 3) &&
           finite_bits(s->sh + n * i, n) && !isnan(s->opacity[i]) && scale[0] <= FLT_MAX &&
           scale[1] <= FLT_MAX && scale[2] <= FLT_MAX;
}

struct scan {
    const struct gs_scene *s;
    atomic_bool found;
};

static int scan_rows(void *ud, size_t begin, size_t end)
{
    struct scan *scan = ud;
    for (size_t i = begin; i < end && !atomic_load_explicit(&scan->found, memory_order_relaxed);
         i++)
        if (!row_is_good(scan->s, i))
            atomic_store(&scan->found, true);
    return 0;
}

bool gs_scene_has_bad(const struct gs_scene *s)
{
    struct scan scan = {.s = s};
    fv_parallel(s->count, 1 << 12, scan_rows, &scan);
    return scan.found;
}

void gs_scene_drop_bad(struct gs_scene *s)
{
    size_t kept = 0;
    if (!gs_scene_has_bad(s))
        return;
    for (size_t i = 0; i < s->count; i++)
        if (row_is_good(s, i))
            gs_scene_move_row(s, kept++, i);
    s->dropped += s->count - kept;
    s->count = kept;
}

void gs_scene_move_row(struct gs_scene *s, size_t to, size_t from)
{
    size_t n = 3 * (size_t)gs_sh_coefs(s->sh_degree);
    if (to == from)
        return;
    memcpy(s->position + 3 * to, s->position + 3 * from, 3 * sizeof(float));
    memcpy(s->scale + 3 * to, s->scale + 3 * from, 3 * sizeof(float));
    memcpy(s->rotation + 4 * to, s->rotation + 4 * from, 4 * sizeof(float));
    s->opacity[to] = s->opacity[from];
    memcpy(s->sh + n * to, s->sh + n * from, n * sizeof(float));
}

float gs_sh_flip_sign(int k, float sx, float sy, float sz)
{
    /* axes that occur with odd power in Y_k: bit 0 x, 1 y, 2 z */
    static const uint8_t odd[16] = {0, 2, 4, 1, 3, 6, 0, 5, 0, 2, 7, 2, 4, 1, 4, 1};
    return (odd[k] & 1 ? sx : 1) * (odd[k] & 2 ? sy : 1) * (odd[k] & 4 ? sz : 1);
}

/* ---- comparison ------------------------------------------------------------------------- */

/* Equal infinities do not differ; NaN always does. */
static double difference(double a, double b)
{
    double d = a == b ? 0 : fabs(a - b);
    return isnan(d) ? INFINITY : d;
}

static double greatest(const float *a, const float *b, size_t n)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++)
        worst = fmax(worst, difference((double)a[i], (double)b[i]));
    return worst;
}

/* Between the unit quaternions, up to sign. */
static double rotation_difference(const float *a, const float *b)
{
    double na = 0, nb = 0, dot = 0, worst = 0;
    for (int k = 0; k < 4; k++) {
        na += (double)a[k] * (double)a[k];
        nb += (double)b[k] * (double)b[k];
        dot += (double)a[k] * (double)b[k];
    }
    for (int k = 0; k < 4; k++)
        worst = fmax(worst, difference((double)a[k] / sqrt(na),
                                       (double)b[k] / sqrt(nb) * (dot < 0 ? -1 : 1)));
    return worst;
}

int gs_scene_compare(const struct gs_scene *a, const struct gs_scene *b,
                     const struct gs_scene_diff *tolerance, struct gs_scene_diff *out)
{
    *out = (struct gs_scene_diff){.first_bad = SIZE_MAX};
    if (a->count != b->count)
        return fv_fail(FV_EINVALID, "%zu Gaussians against %zu", a->count, b->count);
    if (a->sh_degree != b->sh_degree)
        return fv_fail(FV_EINVALID, "SH degree %d against %d", a->sh_degree, b->sh_degree);
    size_t n = 3 * (size_t)gs_sh_coefs(a->sh_degree);
    for (size_t i = 0; i < a->count; i++) {
        double row[6] = {
            greatest(a->position + 3 * i, b->position + 3 * i, 3),
            difference(gs_sigmoid((double)a->opacity[i]), gs_sigmoid((double)b->opacity[i])),
            greatest(a->scale + 3 * i, b->scale + 3 * i, 3),
            rotation_difference(a->rotation + 4 * i, b->rotation + 4 * i),
            greatest(a->sh + n * i, b->sh + n * i, 3),
            greatest(a->sh + n * i + 3, b->sh + n * i + 3, n - 3)};
        double *worst[6] = {&out->position, &out->alpha, &out->scale,
                            &out->rotation, &out->dc,    &out->rest};
        const double bound[6] = {
            tolerance ? tolerance->position : INFINITY, tolerance ? tolerance->alpha : INFINITY,
            tolerance ? tolerance->scale : INFINITY,    tolerance ? tolerance->rotation : INFINITY,
            tolerance ? tolerance->dc : INFINITY,       tolerance ? tolerance->rest : INFINITY};
        static const char *const names[6] = {"position", "alpha", "scale",
                                             "rotation", "f_dc",  "f_rest"};
        for (int k = 0; k < 6; k++) {
            *worst[k] = fmax(*worst[k], row[k]);
            if (row[k] > bound[k] && out->first_bad == SIZE_MAX) {
                out->first_bad = i;
                out->first_bad_what = names[k];
            }
        }
    }
    return 0;
}

uint64_t gs_new_id(void)
{
    static atomic_ullong ids;
    return atomic_fetch_add(&ids, 1) + 1;
}

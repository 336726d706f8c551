/* QUEEN's frames on the CPU (queen.h): decoders, gates, and the frame after a scene. Plain loops in
 * a fixed order, the twins of shaders/gs/queen_*.comp: without sigmoid or tanh their results are
 * equal bit for bit. */
#include "gs/queen_private.h"
#include "vk/base/thread.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- what fits ---- */

const char *gs_queen_attribute_name(enum gs_queen_attribute a)
{
    static const char *const names[GS_QUEEN_ATTRIBUTES] = {"f_dc", "f_rest", "sc", "rot", "op"};
    return (unsigned)a < GS_QUEEN_ATTRIBUTES ? names[a] : "?";
}

uint32_t gs_queen_width(enum gs_queen_attribute a, int sh_degree)
{
    uint32_t rest = 3 * ((uint32_t)gs_sh_coefs(sh_degree) - 1);
    return a == GS_QUEEN_REST ? rest : a == GS_QUEEN_ROTATION ? 4 : a == GS_QUEEN_OPACITY ? 1 : 3;
}

uint32_t gs_queen_latent_width(const struct gs_queen_change *c)
{
    bool decoded = c->kind == GS_QUEEN_ABSOLUTE || c->kind == GS_QUEEN_RESIDUAL;
    return decoded ? c->decoder.layer[0].in : 0;
}

int gs_queen_check_decoder(const struct gs_queen_decoder *d, uint32_t latents, uint32_t width)
{
    uint32_t in = d->layer[0].in;
    if (!d->layer_count || d->layer_count > GS_QUEEN_MAX_LAYERS)
        return fv_fail(FV_EINVALID, "a decoder of %u layers; 1 to %d are possible", d->layer_count,
                       GS_QUEEN_MAX_LAYERS);
    if (!in || in > GS_QUEEN_MAX_LATENTS || (latents && in != latents))
        return fv_fail(FV_EINVALID,
                       "a decoder of %u latents; %u are there, at most %d are possible", in,
                       latents, GS_QUEEN_MAX_LATENTS);
    for (uint32_t i = 0; i < d->layer_count; i++) {
        const struct gs_queen_layer *l = &d->layer[i];
        if (l->in != in || !l->out || l->out > GS_QUEEN_MAX_WIDTH || !l->w ||
            (unsigned)l->activation > GS_QUEEN_TANH)
            return fv_fail(FV_EINVALID, "layer %u of a decoder is of %u x %u, after %u", i, l->in,
                           l->out, in);
        in = l->out;
    }
    if (in != width)
        return fv_fail(FV_EINVALID, "a decoder makes %u values, expected %u", in, width);
    return 0;
}

static int check_change(const struct gs_queen_change *c, uint32_t width)
{
    switch (c->kind) {
    case GS_QUEEN_KEPT:
        return 0;
    case GS_QUEEN_PLAIN:
        return c->values && width && c->width == width
                   ? 0
                   : fv_fail(FV_EINVALID, "%u values a Gaussian, expected %u", c->width, width);
    case GS_QUEEN_ABSOLUTE:
    case GS_QUEEN_RESIDUAL:
        if (!c->latent || !width)
            return fv_fail(FV_EINVALID, "no latents");
        return gs_queen_check_decoder(&c->decoder, 0, width);
    }
    return fv_fail(FV_EINVALID, "a change of kind %d", (int)c->kind);
}

bool gs_queen_same_rows(const struct gs_queen_frame *f, size_t before)
{
    if (f->count != before)
        return false;
    for (uint32_t i = 0; f->parent && i < f->count; i++)
        if (f->parent[i] != i)
            return false;
    return true;
}

int gs_queen_check_frame(const struct gs_queen_frame *f, size_t before, int sh_degree)
{
    if (!f->count)
        return fv_fail(FV_EINVALID, "the frame has no Gaussians");
    if (!f->parent && f->count != before)
        return fv_fail(FV_EINVALID,
                       "the frame has %u Gaussians, the one before %zu, and says not "
                       "which come from which",
                       f->count, before);
    for (uint32_t i = 0; f->parent && i < f->count; i++)
        if (f->parent[i] >= before)
            return fv_fail(FV_EINVALID, "Gaussian %u comes from %u of the %zu before", i,
                           f->parent[i], before);
    for (uint32_t i = 0; i < f->moved; i++)
        if (f->moved_row[i] >= f->count || (i && f->moved_row[i] <= f->moved_row[i - 1]))
            return fv_fail(FV_EINVALID, "moved Gaussian %u is row %u of %u, or out of order", i,
                           f->moved_row[i], f->count);
    for (int a = 0; a < GS_QUEEN_ATTRIBUTES; a++) {
        int rc = check_change(&f->change[a], gs_queen_width((enum gs_queen_attribute)a, sh_degree));
        if (rc < 0)
            return fv_wrap(rc, "%s: ", gs_queen_attribute_name((enum gs_queen_attribute)a));
    }
    return 0;
}

/* ---- decoders ---- */

void gs_queen_dft(float *w, uint32_t in, uint32_t out)
{
    const double pi = 3.14159265358979323846;
    for (uint32_t i = 0; i < in; i++)
        for (uint32_t j = 0; j < out; j++) {
            double c = cos(pi / out * (i + 0.5) * j) / sqrt(out);
            w[i * out + j] = (float)(j ? c * sqrt(2) : c);
        }
}

static float activate(enum gs_queen_activation a, float v)
{
    return a == GS_QUEEN_RELU      ? (v > 0 ? v : 0)
           : a == GS_QUEEN_SIGMOID ? 1 / (1 + expf(-v))
           : a == GS_QUEEN_TANH    ? tanhf(v)
                                   : v;
}

static void run_layer(const struct gs_queen_layer *l, const float *x, float *y)
{
    for (uint32_t j = 0; j < l->out; j++) {
        float sum = 0;
        for (uint32_t i = 0; i < l->in; i++)
            sum += x[i] * l->w[i * l->out + j];
        if (l->scale)
            sum *= l->scale[j];
        if (l->shift)
            sum += l->shift[j];
        y[j] = activate(l->activation, sum);
    }
}

/* What a decoder that was checked makes of one row of latents; a and b are room. */
static const float *run(const struct gs_queen_decoder *d, const int32_t *latent,
                        float a[GS_QUEEN_MAX_WIDTH], float b[GS_QUEEN_MAX_WIDTH])
{
    float *x = a, *y = b;
    for (uint32_t i = 0; i < d->layer[0].in; i++)
        x[i] = (float)latent[i] / (d->div ? d->div[i] : 1);
    for (uint32_t l = 0; l < d->layer_count; l++) {
        run_layer(&d->layer[l], x, y);
        float *t = x;
        x = y;
        y = t;
    }
    return x;
}

int gs_queen_decode_reference(const struct gs_queen_decoder *d, const int32_t *latent, size_t rows,
                              const float *base, float *out)
{
    uint32_t count = d->layer_count, in = d->layer[0].in;
    uint32_t width = d->layer[count && count <= GS_QUEEN_MAX_LAYERS ? count - 1 : 0].out;
    FV_TRY(gs_queen_check_decoder(d, 0, width));
    for (size_t r = 0; r < rows; r++) {
        float a[GS_QUEEN_MAX_WIDTH], b[GS_QUEEN_MAX_WIDTH];
        const float *x = run(d, latent + r * in, a, b);
        for (uint32_t j = 0; j < width; j++)
            out[r * width + j] = base ? x[j] + base[r * width + j] : x[j];
    }
    return 0;
}

/* ---- gates ---- */

float gs_queen_gate_start(const struct gs_queen_gate *g, float probability)
{
    const double epsilon = 1e-6;
    double p = fmin(fmax((double)probability, epsilon), 1 - epsilon);
    double a = log(p / (1 - p)) + (double)g->temperature * log(-(double)g->low / (double)g->high);
    return (float)fmin(fmax(a, log(1e-3)), log(1e3));
}

void gs_queen_gate_reference(const struct gs_queen_gate *g, const float *log_alpha, size_t rows,
                             const float *before, const float *free, float *z, float *xyz)
{
    for (size_t i = 0; i < rows; i++) {
        float s = 1 / (1 + expf(-log_alpha[i] / g->temperature));
        float v = fminf(fmaxf(s * (g->high - g->low) + g->low, 0), 1);
        if (z)
            z[i] = v;
        for (int k = 0; xyz && k < 3; k++)
            xyz[3 * i + k] = before[3 * i + k] + v * (free[3 * i + k] - before[3 * i + k]);
    }
}

/* ---- frames ---- */

static void copy_rows(float *out, const float *in, const struct gs_queen_frame *f, size_t width)
{
    for (uint32_t i = 0; i < f->count; i++)
        memcpy(out + i * width, in + (f->parent ? f->parent[i] : i) * width, width * sizeof *in);
}

/* The arrays of the frame's rows as their parents have them. */
static int gather(struct gs_scene *next, const struct gs_scene *s, const struct gs_queen_frame *f)
{
    FV_TRY(gs_scene_alloc(next, f->count, s->sh_degree));
    next->mode = s->mode;
    next->format = s->format;
    memcpy(next->up, s->up, sizeof s->up);
    memcpy(next->detail, s->detail, sizeof s->detail);
    copy_rows(next->position, s->position, f, 3);
    copy_rows(next->scale, s->scale, f, 3);
    copy_rows(next->rotation, s->rotation, f, 4);
    copy_rows(next->opacity, s->opacity, f, 1);
    copy_rows(next->sh, s->sh, f, 3 * (size_t)gs_sh_coefs(s->sh_degree));
    return 0;
}

float *gs_queen_place(const struct gs_scene *s, enum gs_queen_attribute a, size_t *stride)
{
    *stride = 3 * (size_t)gs_sh_coefs(s->sh_degree);
    if (a == GS_QUEEN_DC || a == GS_QUEEN_REST)
        return s->sh + (a == GS_QUEEN_REST ? 3 : 0);
    *stride = gs_queen_width(a, 0);
    return a == GS_QUEEN_SCALE ? s->scale : a == GS_QUEEN_ROTATION ? s->rotation : s->opacity;
}

/* The latents a decoder gets; *summed is malloc'd where they are sums, and then kept. */
static int sum_latents(const struct gs_queen_change *c, const struct gs_queen_frame *f,
                       const int32_t *before, uint32_t before_width, int32_t **summed)
{
    uint32_t width = gs_queen_latent_width(c);
    *summed = malloc((size_t)f->count * width * sizeof **summed);
    if (!*summed)
        return fv_fail(FV_ENOMEM, "out of memory");
    for (uint32_t i = 0; i < f->count; i++)
        for (uint32_t k = 0; k < width; k++) {
            uint32_t sum = (uint32_t)c->latent[i * width + k]; /* wraps, as on the device */
            if (c->accumulate && before && before_width == width)
                sum += (uint32_t)before[(f->parent ? f->parent[i] : i) * (size_t)width + k];
            (*summed)[i * (size_t)width + k] = (int32_t)sum;
        }
    return 0;
}

struct changing {
    const struct gs_queen_change *change;
    const int32_t *latent;
    float *at; /* of row 0 */
    size_t stride, width;
    const float *still; /* what latents of 0 become: most rows have no others */
};

static int change_rows(void *ud, size_t begin, size_t end)
{
    const struct changing *g = ud;
    const struct gs_queen_change *c = g->change;
    float a[GS_QUEEN_MAX_WIDTH], b[GS_QUEEN_MAX_WIDTH];
    uint32_t latents = gs_queen_latent_width(c);
    for (size_t i = begin; i < end; i++) {
        const int32_t *latent = g->latent + i * latents;
        int32_t some = 0;
        for (uint32_t k = 0; k < latents; k++)
            some |= latent[k];
        const float *x = some ? run(&c->decoder, latent, a, b) : g->still;
        float *at = g->at + i * g->stride;
        for (size_t j = 0; j < g->width; j++)
            at[j] = c->kind == GS_QUEEN_RESIDUAL ? x[j] + at[j] : x[j];
    }
    return 0;
}

static void change(const struct gs_scene *s, enum gs_queen_attribute a,
                   const struct gs_queen_change *c, const int32_t *latent, uint32_t count)
{
    static const int32_t none[GS_QUEEN_MAX_LATENTS];
    float x[GS_QUEEN_MAX_WIDTH], y[GS_QUEEN_MAX_WIDTH];
    struct changing g = {.change = c, .latent = latent, .width = gs_queen_width(a, s->sh_degree)};
    g.at = gs_queen_place(s, a, &g.stride);
    for (uint32_t i = 0; c->kind == GS_QUEEN_PLAIN && i < count; i++)
        memcpy(g.at + i * g.stride, c->values + i * g.width, g.width * sizeof *g.at);
    if (!gs_queen_latent_width(c))
        return;
    g.still = run(&c->decoder, none, x, y);
    fv_parallel(count, 1 << 13, change_rows, &g);
}

static void move(struct gs_scene *s, const struct gs_queen_frame *f)
{
    if (f->position)
        memcpy(s->position, f->position, f->count * 3 * sizeof(float));
    for (uint32_t i = 0; i < f->moved; i++)
        for (int k = 0; k < 3; k++)
            s->position[3 * (size_t)f->moved_row[i] + k] += f->moved_by[3 * i + k];
}

int gs_queen_apply(struct gs_scene *s, struct gs_queen_latents *latents,
                   const struct gs_queen_frame *f)
{
    struct gs_scene next = {0};
    struct gs_queen_latents kept = {0};
    int rc = gs_queen_check_frame(f, s->count, s->sh_degree);
    if (rc < 0)
        return rc;
    bool same = gs_queen_same_rows(f, s->count);
    for (int a = 0; a < GS_QUEEN_ATTRIBUTES; a++) {
        const struct gs_queen_change *c = &f->change[a];
        kept.width[a] = gs_queen_latent_width(c);
        if (kept.width[a] && latents)
            FV_GOTO(sum_latents(c, f, latents->latent[a], latents->width[a], &kept.latent[a]));
    }
    if (!same)
        FV_GOTO(gather(&next, s, f));
    struct gs_scene *to = same ? s : &next; /* from here on nothing fails */
    move(to, f);
    for (int a = 0; a < GS_QUEEN_ATTRIBUTES; a++)
        change(to, (enum gs_queen_attribute)a, &f->change[a],
               kept.latent[a] ? kept.latent[a] : f->change[a].latent, f->count);
    if (!same) {
        gs_scene_finish(s);
        *s = next;
        next = (struct gs_scene){0};
    }
    if (latents) {
        struct gs_queen_latents old = *latents;
        *latents = kept;
        kept = old;
    }
done:
    gs_scene_finish(&next);
    gs_queen_latents_finish(&kept);
    return rc;
}

void gs_queen_latents_finish(struct gs_queen_latents *l)
{
    for (int a = 0; a < GS_QUEEN_ATTRIBUTES; a++)
        free(l->latent[a]);
    *l = (struct gs_queen_latents){0};
}

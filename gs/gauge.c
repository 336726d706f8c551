/* Views of a scene that other forms of it are measured against, and the search for the coarsest form that
 * reaches a wanted quality (gs.h). */
#include "gs/gs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 400, HEIGHT = 300 /* of pictures: at most that area */, SEARCH_ROUNDS = 7 };

struct gs_gauge {
    struct gs_renderer *renderer;
    struct gs_frame *frame;
    struct gs_camera camera[GS_GAUGE_VIEWS];
    float *seen[GS_GAUGE_VIEWS]; /* pictures of the scene itself */
};

void gs_gauge_destroy(struct gs_gauge **g)
{
    if (!*g)
        return;
    for (int k = 0; k < GS_GAUGE_VIEWS; k++)
        free((*g)->seen[k]);
    gs_frame_destroy(&(*g)->frame);
    gs_renderer_destroy(&(*g)->renderer);
    free(*g);
    *g = NULL;
}

/* Of a camera's picture. */
static size_t numbers(const struct gs_camera *c)
{
    return (size_t)c->width * c->height * 3;
}

static void place_camera(struct gs_camera *c, int k, const struct gs_cameras *views,
                         const struct gs_scene *scene, const struct gs_bounds *bounds)
{
    if (!views || !views->count) {
        /* not at right angles to axes: along them lie Gaussians of one depth, whose order means
         * nothing but is seen */
        gs_camera_orbit(c, scene, bounds, WIDTH, HEIGHT, (k + 0.37) / GS_GAUGE_VIEWS);
        return;
    }
    *c = views->items[(size_t)k * views->count / GS_GAUGE_VIEWS];
    double part = sqrt((double)WIDTH * HEIGHT / ((double)c->width * c->height));
    if (part < 1)
        gs_camera_resize(c, (uint32_t)fmax(1, c->width * part), (uint32_t)fmax(1, c->height * part));
}

int gs_gauge_create(struct gs_gauge **out, struct vk_device *dev, const struct gs_cameras *views,
                    const struct gs_scene *scene, const struct gs_bounds *bounds)
{
    struct gs_gauge *g = *out = calloc(1, sizeof *g);
    if (!g)
        return fv_fail(FV_ENOMEM, "out of memory");
    int rc = 0;
    for (int k = 0; k < GS_GAUGE_VIEWS && rc == 0; k++) {
        place_camera(&g->camera[k], k, views, scene, bounds);
        g->seen[k] = malloc(numbers(&g->camera[k]) * sizeof *g->seen[k]);
        rc = g->seen[k] ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    }
    rc = rc == 0 ? gs_renderer_create(&g->renderer, dev) : rc;
    rc = rc == 0 ? gs_frame_create(&g->frame, g->renderer) : rc;
    if (rc < 0)
        gs_gauge_destroy(out);
    return rc;
}

const struct gs_camera *gs_gauge_cameras(const struct gs_gauge *g)
{
    return g->camera;
}

static int draw(struct gs_gauge *g, const struct gs_gpu_scene *s, int k)
{
    static const struct gs_render_opts opts = {.output = GS_OUT_RGB_F32, .has_bg = true};
    FV_TRY(gs_frame_submit(g->frame, s, &g->camera[k], &opts));
    return gs_frame_wait(g->frame);
}

int gs_gauge_see(struct gs_gauge *g, const struct gs_gpu_scene *s, int first, int step)
{
    for (int k = first; k < GS_GAUGE_VIEWS; k += step) {
        FV_TRY(draw(g, s, k));
        memcpy(g->seen[k], g->frame->pixels, numbers(&g->camera[k]) * sizeof *g->seen[k]);
    }
    return 0;
}

int gs_gauge_error(struct gs_gauge *g, const struct gs_gpu_scene *s, int first, int step, double *mse,
                   double *ssim)
{
    double sum = 0, ssim_sum = 0;
    size_t covered = 0;
    int views = 0;
    for (int k = first; k < GS_GAUGE_VIEWS; k += step, views++) {
        const struct gs_camera *camera = &g->camera[k];
        FV_TRY(draw(g, s, k));
        const float *now = g->frame->pixels;
        for (size_t i = 0; i < numbers(camera); i += 3) {
            const float *was = g->seen[k] + i;
            if (!(fmaxf(was[0], fmaxf(was[1], was[2])) > 1 / 255.f))
                continue; /* not covered */
            covered += 3;
            for (size_t c = 0; c < 3; c++)
                sum += (double)(now[i + c] - was[c]) * (now[i + c] - was[c]);
        }
        double one = 0;
        if (ssim)
            FV_TRY(gs_ssim(&one, now, g->seen[k], camera->width, camera->height, 3, NULL));
        ssim_sum += one;
    }
    *mse = covered ? sum / (double)covered : 0;
    if (ssim)
        *ssim = ssim_sum / views;
    return 0;
}

double gs_gauge_psnr(double mse)
{
    return mse > 0 ? -10 * log10(mse) : HUGE_VAL;
}

/* A secant search in logarithms. */
int gs_gauge_search(double psnr, double parts, gs_gauge_fn *measure, void *ud, double *scale)
{
    double wanted = -psnr / 10 * log(10), slope = 2;
    double at = 0.5 * (wanted - log(parts)), last_at = 0, last = 0, best = at, least = HUGE_VAL;
    for (int round = 0; round < SEARCH_ROUNDS; round++) {
        double mse;
        FV_TRY(measure(ud, exp(at), &mse));
        double now = log(fmax(mse, 1e-15));
        if (round && fabs(at - last_at) > 1e-6)
            slope = fmin(fmax((now - last) / (at - last_at), 0.7), 3);
        if (fabs(now - wanted) < least) { /* the error of few large Gaussians is no smooth function */
            least = fabs(now - wanted);
            best = at;
        }
        if (least < 0.007) /* 0.03 dB */
            break;
        last_at = at;
        last = now;
        at += (wanted - now) / slope;
    }
    *scale = exp(best);
    return 0;
}

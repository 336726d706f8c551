/* A moving scene made of a still one: what docs/SPEED.md measures streams with.
 *
 *     cmake --build build/release --target make_motion
 *     build/release/make_motion playbot/2_0/meta.json frames 300 [jitter]
 *
 * Writes frames/frame_000.ply and so on, and cameras around them: views.json to tune by, held.json to
 * measure by. Made for a figure about 1 unit high, y down, that hovers over
 * a floor: two hands that turn and drift rigidly, a body that bends below the middle, a pulse of colour
 * on the floor under it, and one Gaussian in fifty at the rim that fades in and out. The input's values
 * are spread within the cells of its quantiser. With jitter, half of what moves and one in fifty of all
 * wander a little each frame, as training leaves them. */
#include "tools/motion.h"

#include <sys/stat.h>

enum part { STILL, LEFT, RIGHT, BODY, FLOOR, FADING };

struct motion {
    struct gs_scene still;
    unsigned char *part;
    int *birth, *life;
    double pivot[2][3]; /* of the hands */
    double *wander;     /* [count][7]: position, log scale, opacity, of jitter */
    unsigned long long random;
};

static double uniform(struct motion *m)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return (double)(m->random >> 11) / 9007199254740992.0;
}

static double normal(struct motion *m)
{
    double sum = -6;
    for (int i = 0; i < 12; i++)
        sum += uniform(m);
    return sum;
}

static double smooth(double x)
{
    x = x < 0 ? 0 : x > 1 ? 1 : x;
    return x * x * (3 - 2 * x);
}

static enum part part_of(struct motion *m, const float p[3])
{
    double r = hypot(p[0], p[2]);
    bool hand = p[1] < -0.28f && p[1] > -0.62f && fabsf(p[2]) < 0.5f;
    if (hand && (p[0] < -0.27f || p[0] > 0.27f))
        return p[0] < 0 ? LEFT : RIGHT;
    if (p[1] > -0.45f && p[1] < -0.06f && r < 0.3)
        return BODY;
    if (p[1] > -0.06f && r < 0.35)
        return FLOOR;
    return p[1] > -0.12f && r > 0.3 && uniform(m) < 0.05 ? FADING : STILL;
}

static void find_parts(struct motion *m, int frames)
{
    const struct gs_scene *s = &m->still;
    size_t sh = 3 * (size_t)gs_sh_coefs(s->sh_degree);
    double members[2] = {0};
    for (size_t i = 0; i < s->count; i++) {
        for (size_t k = 0; k < 3; k++) {
            s->position[3 * i + k] += (float)(3e-5 * (uniform(m) - 0.5));
            s->scale[3 * i + k] += (float)(0.03 * (uniform(m) - 0.5));
        }
        for (size_t k = 0; k < 4; k++)
            s->rotation[4 * i + k] += (float)(0.005 * (uniform(m) - 0.5));
        s->opacity[i] += (float)(0.02 * (uniform(m) - 0.5));
        for (size_t k = 0; k < sh; k++)
            s->sh[sh * i + k] += (float)(0.01 * (uniform(m) - 0.5));
        m->part[i] = part_of(m, s->position + 3 * i);
        m->birth[i] = (int)(uniform(m) * (frames > 20 ? frames - 20 : 1));
        m->life[i] = 20 + (int)(100 * uniform(m));
        if (m->part[i] == LEFT || m->part[i] == RIGHT) {
            int hand = m->part[i] == RIGHT;
            members[hand]++;
            for (size_t k = 0; k < 3; k++)
                m->pivot[hand][k] += s->position[3 * i + k];
        }
    }
    for (int k = 0; k < 6; k++)
        m->pivot[k / 3][k % 3] /= members[k / 3] > 0 ? members[k / 3] : 1;
}

static void move(const struct motion *m, struct gs_scene *s, size_t i, int t)
{
    float *p = s->position + 3 * i, *q = s->rotation + 4 * i;
    float *sh = s->sh + i * 3 * (size_t)gs_sh_coefs(s->sh_degree);
    const double c0 = 0.28209479177387814, none[3] = {0};
    switch ((enum part)m->part[i]) {
    case LEFT:
    case RIGHT: {
        int hand = m->part[i] == RIGHT, sign = hand ? -1 : 1;
        double a = 0.25 * sign * sin(0.11 * t + sign), b = 0.175 * sin(0.07 * t), both[4];
        const double to[3] = {0.03 * sin(0.09 * t), 0.08 * sin(0.13 * t + sign) - 0.02,
                              0.05 * sin(0.05 * t)};
        product(both, (const double[4]){cos(a), 0, 0, sin(a)}, (const double[4]){cos(b), 0, sin(b), 0});
        turn(p, q, both, m->pivot[hand], to);
        break;
    }
    case BODY: {
        double a = 0.175 * sin(0.08 * t) * smooth((p[1] + 0.45) / 0.4);
        turn(p, q, (const double[4]){cos(a), 0, 0, sin(a)}, (const double[3]){0, -0.45, p[2]}, none);
        break;
    }
    case FLOOR: {
        double near = 1 - hypot(p[0], p[2]) / 0.35, a = 0.35 * sin(0.1 * t) * (near > 0 ? near : 0);
        const double tint[3] = {0.1, 0.6, 0.6};
        for (int k = 0; k < 3; k++)
            sh[k] += (float)(a * tint[k] * (0.5 + sh[k] * c0) / c0);
        break;
    }
    case FADING: {
        double in = smooth((t - m->birth[i]) / 8.0), out = smooth((m->birth[i] + m->life[i] - t) / 8.0);
        double e = in < out ? in : out;
        s->opacity[i] = (float)(log(1e-3 + (1 - 1e-3) * e) + fmin(s->opacity[i], 4) * e - (1 - e) * 3);
        break;
    }
    case STILL:
        break;
    }
}

static void jitter(struct motion *m, struct gs_scene *s)
{
    for (size_t i = 0; i < s->count; i++) {
        bool moves = m->part[i] != STILL && m->part[i] != FADING;
        double *w = m->wander + 7 * i;
        if (uniform(m) < (moves ? 0.5 : 0.02))
            for (int k = 0; k < 7; k++) {
                double size = k < 3 ? 0.06 * exp(m->still.scale[3 * i + (size_t)k]) : k < 6 ? 0.015 : 0.06;
                w[k] = 0.9 * w[k] + size * normal(m);
            }
        for (size_t k = 0; k < 3; k++) {
            s->position[3 * i + k] += (float)w[k];
            s->scale[3 * i + k] += (float)w[3 + k];
        }
        s->opacity[i] += (float)w[6];
    }
}

int main(int argc, char **argv)
{
    struct motion m = {.random = 88172645463325252ull};
    int frames = argc > 3 ? atoi(argv[3]) : 0;
    if (frames < 1 || gs_scene_load(&m.still, argv[1], NULL) < 0) {
        fprintf(stderr, "make_motion: %s\n", frames < 1 ? "needs SCENE FOLDER FRAMES" : fv_error());
        return 1;
    }
    size_t n = m.still.count, sh = 3 * n * (size_t)gs_sh_coefs(m.still.sh_degree);
    m.part = calloc(n, 1);
    m.birth = calloc(n, sizeof *m.birth);
    m.life = calloc(n, sizeof *m.life);
    m.wander = calloc(7 * n, sizeof *m.wander);
    if (!m.part || !m.birth || !m.life || !m.wander)
        return 1;
    find_parts(&m, frames);
    static const double views[][2] = {{0.1, 0.25}, {0.9, 0.25}, {1.7, 0.25}, {2.5, 0.25},
                                      {3.3, 0.25}, {4.1, 0.25}, {4.9, 0.25}, {5.7, 0.25}};
    static const double held[][2] = {{2.9, 0.15}, {4.3, 0.3}, {0.6, 0.2}};
    const struct ring ring = {.target = {0, -0.33, 0}, .up = {0, -1, 0}, .distance = 1.9,
                              .degrees = 45, .width = 400, .height = 300};
    mkdir(argv[2], 0777);
    if (write_cameras(argv[2], "views.json", &ring, views, 8) < 0 ||
        write_cameras(argv[2], "held.json", &ring, held, 3) < 0) {
        fprintf(stderr, "make_motion: %s\n", fv_error());
        return 1;
    }
    for (int t = 0; t < frames; t++) {
        struct gs_scene s;
        char path[512];
        if (gs_scene_alloc(&s, n, m.still.sh_degree) < 0)
            return 1;
        memcpy(s.position, m.still.position, 12 * n);
        memcpy(s.scale, m.still.scale, 12 * n);
        memcpy(s.rotation, m.still.rotation, 16 * n);
        memcpy(s.opacity, m.still.opacity, 4 * n);
        memcpy(s.sh, m.still.sh, 4 * sh);
        for (size_t i = 0; i < n; i++)
            move(&m, &s, i, t);
        if (argc > 4)
            jitter(&m, &s);
        snprintf(path, sizeof path, "%s/frame_%03d.ply", argv[2], t);
        int rc = gs_scene_save(&s, path, NULL);
        gs_scene_finish(&s);
        if (rc < 0) {
            fprintf(stderr, "make_motion: %s\n", fv_error());
            return 1;
        }
    }
    return 0;
}

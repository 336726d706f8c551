/* Streams of the QUEEN model: what is written is read, bit for bit; QUEEN's own files as streams. */
#include "support/queen.h"

#include "gs/scene.h"
#include "gs/stream_file.h"
#include "gs/stream_queen.h"

#include <zlib.h>

enum { MOST = 8 };

/* ---- scenes as sets of rows ---- */

static size_t row_floats(const struct gs_scene *s)
{
    return 11 + 3 * (size_t)gs_sh_coefs(s->sh_degree);
}

static size_t compared;

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, compared);
}

/* Every Gaussian's floats, in an order that does not depend on the scene's. */
static float *sorted_rows(const struct gs_scene *s)
{
    size_t n = row_floats(s), sh = n - 11;
    float *out = malloc(s->count * n * sizeof *out + 1);
    assert_non_null(out);
    for (size_t i = 0; i < s->count; i++) {
        float *r = out + i * n;
        memcpy(r, s->position + 3 * i, 12);
        memcpy(r + 3, s->scale + 3 * i, 12);
        memcpy(r + 6, s->rotation + 4 * i, 16);
        r[10] = s->opacity[i];
        memcpy(r + 11, s->sh + sh * i, 4 * sh);
    }
    compared = 4 * n;
    qsort(out, s->count, compared, by_bytes);
    return out;
}

static bool same_rows(const struct gs_scene *a, const struct gs_scene *b)
{
    if (a->count != b->count || a->sh_degree != b->sh_degree)
        return false;
    float *x = sorted_rows(a), *y = sorted_rows(b);
    bool same = !memcmp(x, y, a->count * row_floats(a) * sizeof *x);
    free(x);
    free(y);
    return same;
}

/* ---- writer and reader ---- */

/* One group after another of the same frames through a writer's and a reader's track. */
static void what_is_written_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        struct test_queen t[3];
        int plain; /* part whose section is floats, in every frame; -1 */
    } rows[] = {
        {"QUEEN's kinds", {{.count = 90}, {.count = 90, .seed = 1}, {.count = 90, .seed = 2}}, -1},
        {"rows come and go",
         {{.before = 90, .count = 120}, {.before = 120, .count = 70}, {.before = 70, .count = 71}},
         -1},
        {"sums of latents",
         {{.count = 90, .kinds = "RARRA"},
          {.before = 90, .count = 95, .kinds = "RARRA"},
          {.before = 95, .count = 95, .kinds = "RARRA", .seed = 3}},
         -1},
        {"plain and kept",
         {{.count = 90, .kinds = "pkpkr"},
          {.count = 90, .kinds = "kpapk", .seed = 5},
          {.count = 90, .kinds = "kkkkk", .seed = 6}},
         -1},
        {"all positions", {{.count = 90, .positions = true}, {.count = 90}, {.count = 90}}, -1},
        {"deep decoders",
         {{.count = 90, .hidden = 2, .activation = GS_QUEEN_RELU, .divide = true},
          {.count = 90, .hidden = 1, .dft = true, .seed = 2},
          {.count = 90, .dft = true, .seed = 3}},
         -1},
        {"no SH above colour",
         {{.count = 40, .sh_degree = -1}, {.count = 40, .sh_degree = -1}, {.before = 40, .count = 44, .sh_degree = -1}},
         -1},
    };
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        int degree = rows[k].t[0].sh_degree < 0 ? 0 : 2;
        uint32_t first = rows[k].t[0].before ? rows[k].t[0].before : rows[k].t[0].count;
        struct gs_scene base = test_scene(first, degree, 9), other = {0};
        struct gs_queen_track w, r;
        assert_ok(gs_queen_copy_scene(&other, &base));
        assert_ok(gs_queen_track_create(&w, &base, NULL));
        assert_ok(gs_queen_track_create(&r, &other, NULL));
        for (int round = 0; round < 6; round++) {
            struct test_queen t = rows[k].t[round % 3];
            struct gs_section sections[GS_SECTIONS];
            t.sh_degree = degree;
            struct gs_queen_frame f = test_queen_frame(&t);
            if (round % 3 == 0) {
                assert_ok(gs_queen_track_begin(&w));
                assert_ok(gs_queen_track_begin(&r));
            }
            /* what it is to be */
            struct gs_queen_latents sums = {0};
            struct gs_scene want = {0};
            assert_ok(gs_queen_copy_scene(&want, &w.scene));
            for (int a = 0; a < GS_QUEEN_ATTRIBUTES; a++) {
                sums.latent[a] = w.part[a].latent;
                sums.width[a] = w.part[a].width;
            }
            struct gs_queen_latents borrowed = sums, made = sums;
            for (int a = 0; a < GS_QUEEN_ATTRIBUTES; a++)
                if (borrowed.latent[a]) {
                    size_t n = want.count * borrowed.width[a] * sizeof(int32_t);
                    made.latent[a] = malloc(n);
                    memcpy(made.latent[a], borrowed.latent[a], n);
                }
            assert_ok(gs_queen_apply(&want, &made, &f));
            gs_queen_latents_finish(&made);
            assert_ok(gs_queen_track_write(&w, &f, 10000, sections));
            assert_ok(gs_queen_track_read(&r, sections));
            if (!test_scene_equal(&w.scene, &want) || !test_scene_equal(&r.scene, &want))
                fail_msg("%s: frame %d: %s differs", rows[k].what, round,
                         test_scene_equal(&w.scene, &want) ? "what is read" : "what is written");
            gs_sections_free(sections);
            gs_queen_frame_finish(&f);
            gs_scene_finish(&want);
        }
        gs_queen_track_finish(&w);
        gs_queen_track_finish(&r);
    }
}

/* Moves in QUEEN's units take a few bits, others 32; latents beyond symbols become floats. */
static void what_does_not_fit_becomes_floats(void **state)
{
    (void)state;
    enum { N = 500 };
    size_t size[3];
    for (int k = 0; k < 3; k++) { /* moves of any size, QUEEN's, and one vast latent */
        struct gs_scene base = test_scene(N, 0, 9), other = {0};
        struct gs_queen_track w, r;
        struct gs_section sections[GS_SECTIONS];
        struct gs_queen_frame f = test_queen_frame(&(struct test_queen){.count = N, .kinds = "rkkkk"});
        float by[3 * N];
        int32_t latent[8 * N];
        for (size_t i = 0; i < 3 * f.moved; i++)
            by[i] = k ? (float)(int)(i % 9) / 10000 : f.moved_by[i];
        for (size_t i = 0; i < 8 * N; i++)
            latent[i] = k == 2 && i == 77 ? 1 << 30 : i % 50 == 3;
        f.moved_by = by;
        f.change[GS_QUEEN_DC].latent = latent;
        assert_ok(gs_queen_copy_scene(&other, &base));
        assert_ok(gs_queen_track_create(&w, &base, NULL));
        assert_ok(gs_queen_track_create(&r, &other, NULL));
        for (int again = 0; again < 2; again++) { /* the next frame finds what is left by the first */
            assert_ok(gs_queen_track_write(&w, &f, 10000, sections));
            assert_ok(gs_queen_track_read(&r, sections));
            assert_true(test_scene_equal(&w.scene, &r.scene));
            size[k] = sections[gs_queen_section(GS_QUEEN_POSITION)].size;
            gs_sections_free(sections);
        }
        gs_queen_frame_finish(&f);
        gs_queen_track_finish(&w);
        gs_queen_track_finish(&r);
    }
    assert_true(size[0] > 3 * size[1]);
}

/* The state is the same bits wherever it is computed: by other compilers, at other levels. */
static void the_state_is_these_bits(void **state)
{
    (void)state;
    enum { N = 300 };
    struct gs_stream_base b;
    struct gs_queen_track t;
    uint64_t seed = 3;
    assert_ok(gs_stream_base_create(&b, N, 1));
    for (int a = 0; a < GS_ATTRS; a++)
        b.step[a] = 0.0371f * (float)(a + 1);
    for (int a = 0; a < (int)gs_attr_end(1); a++)
        for (int i = 0; i < N * gs_attr_comps((enum gs_attr)a); i++)
            b.state.v[a][i] = (int32_t)(test_rand(&seed) % 400) + 1;
    gs_stream_find_near(&b);
    assert_ok(gs_queen_track_of(&t, &b));
    gs_stream_base_finish(&b);
    for (uint64_t k = 0; k < 40; k++) {
        struct gs_section sections[GS_SECTIONS];
        struct gs_queen_frame f = test_queen_frame(
            &(struct test_queen){.count = N, .sh_degree = 1, .hidden = (uint32_t)(k % 2), .seed = k});
        assert_ok(gs_queen_track_write(&t, &f, 10000, sections));
        gs_sections_free(sections);
        gs_queen_frame_finish(&f);
    }
    const struct {
        const char *what;
        const float *v;
        size_t n;
        unsigned long crc;
    } rows[] = {{"positions", t.scene.position, 3 * N, 0x9678c213},
                {"scales", t.scene.scale, 3 * N, 0xe761ad6e},
                {"rotations", t.scene.rotation, 4 * N, 0x1abffea8},
                {"opacities", t.scene.opacity, N, 0xa7a60eee},
                {"SH", t.scene.sh, 12 * N, 0x46092077}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        unsigned long crc = crc32_z(0, (const void *)rows[k].v, rows[k].n * sizeof(float));
        if (crc != rows[k].crc)
            fail_msg("%s: %#lx, expected %#lx", rows[k].what, crc, rows[k].crc);
    }
    gs_queen_track_finish(&t);
}

/* ---- fitting ---- */

enum { FITTED = 600 };
static const struct gs_stream_base *fit_base(struct gs_stream_base *b)
{
    uint64_t seed = 3;
    assert_ok(gs_stream_base_create(b, FITTED, 1));
    for (int a = 0; a < GS_ATTRS; a++)
        b->step[a] = 0.01f;
    for (int a = 0; a < (int)gs_attr_end(1); a++)
        for (int i = 0; i < FITTED * gs_attr_comps((enum gs_attr)a); i++)
            b->state.v[a][i] = (int32_t)(test_rand(&seed) % 800) + 200;
    memset(b->level, 3, FITTED);
    memset(b->turn_level, 3, FITTED);
    gs_stream_find_near(b);
    return b;
}

/* A tenth of the rows moves, changes colour towards one side, turns, fades, by amounts that grow. */
static void change_some(struct gs_scene *s, float by)
{
    for (size_t i = 0; i < FITTED; i += 10) {
        float a = by * (float)(1 + i % 7);
        for (size_t k = 0; k < 3; k++) {
            s->position[3 * i + k] += a * (float)(k + 1);
            s->sh[12 * i + k] += a * (k == 1 ? -0.5f : 1);
            s->scale[3 * i + k] += a;
        }
        s->rotation[4 * i + i / 10 % 4] += a;
        s->opacity[i] -= a;
    }
}

static double worst_difference(const float *a, const float *b, size_t n)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++)
        worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
    return worst;
}

static void what_changes_is_fitted(void **state)
{
    (void)state;
    for (int dft = 0; dft < 2; dft++) {
        struct gs_stream_base b;
        struct gs_queen_track w, r;
        struct gs_scene first = {0}, target = {0};
        assert_ok(gs_queen_track_of(&w, fit_base(&b)));
        assert_ok(gs_queen_track_of(&r, &b));
        assert_ok(gs_queen_copy_scene(&first, &w.scene));
        assert_ok(gs_queen_copy_scene(&target, &w.scene));
        for (int frame = 0; frame < 5; frame++) {
            struct gs_section sections[GS_SECTIONS];
            change_some(&target, 0.02f);
            const struct gs_queen_target to = {.scene = &target,
                                               .base = &b,
                                               .level = b.level,
                                               .turn_level = b.turn_level,
                                               .dft = dft};
            assert_ok(gs_queen_fit(&w, &to, sections));
            assert_ok(gs_queen_track_read(&r, sections));
            assert_true(test_scene_equal(&w.scene, &r.scene));
            /* nothing drifts: no frame is off by more than about its step, 0.0125 */
            assert_true(worst_difference(w.scene.position, target.position, 3 * FITTED) < 0.013);
            assert_true(worst_difference(w.scene.sh, target.sh, 12 * FITTED) < 0.016);
            assert_true(worst_difference(w.scene.scale, target.scale, 3 * FITTED) < 0.016);
            assert_true(worst_difference(w.scene.rotation, target.rotation, 4 * FITTED) < 0.02);
            for (size_t i = 0; i < FITTED; i++)
                assert_near(gs_sigmoid(w.scene.opacity[i]), gs_sigmoid(target.opacity[i]), 0.016);
            /* gates: who stays has the bits it had; f_rest is not even named */
            for (size_t i = 0; i < FITTED; i++)
                if (i % 10 && (memcmp(w.scene.position + 3 * i, first.position + 3 * i, 12) ||
                               memcmp(w.scene.sh + 12 * i, first.sh + 12 * i, 48)))
                    fail_msg("frame %d: Gaussian %zu moved", frame, i);
            assert_int_equal(sections[gs_queen_section(GS_QUEEN_REST)].size, 0);
            const struct gs_queen_layer *l = &w.part[GS_QUEEN_DC].decoder.layer[0];
            if (dft) {
                float basis[9];
                gs_queen_dft(basis, 3, 3);
                assert_non_null(l->scale);
                assert_memory_equal(l->w, basis, sizeof basis);
            } else { /* colours change along one line: it is found */
                assert_int_equal(l->in, 1);
                assert_near(l->w[1] / l->w[0], -0.5, 0.02);
                assert_near(l->w[2] / l->w[0], 1, 0.02);
            }
            gs_sections_free(sections);
        }
        gs_scene_finish(&first);
        gs_scene_finish(&target);
        gs_queen_track_finish(&w);
        gs_queen_track_finish(&r);
        gs_stream_base_finish(&b);
    }
}

/* Fewer latents than numbers: what they do not reach stays for the next frame, nothing runs away. */
static void few_latents_are_enough_for_some(void **state)
{
    (void)state;
    struct gs_stream_base b;
    struct gs_queen_track w;
    struct gs_scene target = {0};
    uint32_t parent[FITTED + 20];
    uint8_t level[FITTED + 20];
    assert_ok(gs_queen_track_of(&w, fit_base(&b)));
    memset(level, 3, sizeof level);
    for (uint32_t k = 0; k < 4; k++) { /* rows go and come, too */
        struct gs_section sections[GS_SECTIONS];
        uint32_t count = (uint32_t)w.scene.count + (k % 2 ? 20 : -(uint32_t)15);
        assert_ok(gs_scene_alloc(&target, count, 1));
        for (uint32_t i = 0; i < count; i++) {
            parent[i] = i < w.scene.count ? i : i % 9;
            size_t p = parent[i];
            memcpy(target.position + 3 * (size_t)i, w.scene.position + 3 * p, 12);
            memcpy(target.scale + 3 * (size_t)i, w.scene.scale + 3 * p, 12);
            memcpy(target.rotation + 4 * (size_t)i, w.scene.rotation + 4 * p, 16);
            target.opacity[i] = w.scene.opacity[p];
            memcpy(target.sh + 12 * (size_t)i, w.scene.sh + 12 * p, 48);
            if (i >= w.scene.count)
                for (size_t c = 0; c < 3; c++)
                    target.position[3 * (size_t)i + c] += 0.3f * (float)(c + i % 5);
        }
        for (size_t i = 0; i < count; i += 3) {
            target.sh[12 * i] += 0.3f;
            target.sh[12 * i + 1] += i % 2 ? 0.04f : -0.04f;
            target.sh[12 * i + 7] += 0.2f;
        }
        assert_ok(gs_queen_fit(&w,
                               &(struct gs_queen_target){.scene = &target,
                                                         .parent = parent,
                                                         .base = &b,
                                                         .level = level,
                                                         .turn_level = level,
                                                         .latents = 1},
                               sections));
        assert_int_equal(w.scene.count, count);
        assert_int_equal(w.part[GS_QUEEN_DC].width, 1);
        assert_int_equal(w.part[GS_QUEEN_REST].width, 1);
        assert_true(worst_difference(w.scene.position, target.position, 3 * (size_t)count) < 0.013);
        assert_true(worst_difference(w.scene.sh, target.sh, 12 * (size_t)count) < 0.06);
        gs_sections_free(sections);
        gs_scene_finish(&target);
    }
    gs_queen_track_finish(&w);
    gs_stream_base_finish(&b);
}

/* ---- QUEEN's files ---- */

struct model {
    struct gs_queen_files files;
    struct gs_scene want[MOST]; /* the frames as gs_queen_apply has them */
};

static void evaluate(struct model *m)
{
    struct gs_scene s;
    struct gs_queen_latents sums = {0};
    assert_ok(gs_scene_load(&s, m->files.frames[0], NULL));
    for (size_t k = 0; k < m->files.count; k++) {
        struct gs_queen_frame f;
        if (k) {
            assert_ok(gs_queen_read(&f, m->files.frames[k]));
            assert_ok(gs_queen_apply(&s, &sums, &f));
            gs_queen_frame_finish(&f);
        }
        assert_ok(gs_queen_copy_scene(&m->want[k], &s));
    }
    gs_scene_finish(&s);
    gs_queen_latents_finish(&sums);
}

static void drop(struct model *m)
{
    gs_queen_files_finish(&m->files);
    for (int k = 0; k < MOST; k++)
        gs_scene_finish(&m->want[k]);
}

/* A scene and frames after it, written as QUEEN writes them. Rows beyond `before` are clones. */
static struct model made_model(const struct test_queen *t, size_t frames)
{
    struct model m = {0};
    char name[64];
    uint32_t first = t[0].before ? t[0].before : t[0].count;
    struct gs_scene s = test_scene(first, t[0].sh_degree, 4);
    m.files.frames = calloc(frames + 1, sizeof *m.files.frames);
    m.files.count = frames + 1;
    m.files.frames[0] = strdup(test_tmp_path("first.ply"));
    assert_ok(gs_scene_save(&s, m.files.frames[0], NULL));
    gs_scene_finish(&s);
    for (size_t k = 1; k <= frames; k++) {
        struct gs_queen_frame f = test_queen_frame(&t[k - 1]);
        struct test_bytes b = test_queen_pickle(&f);
        snprintf(name, sizeof name, "%zu.pkl", k);
        m.files.frames[k] = strdup(test_tmp_path(name));
        test_write_file(m.files.frames[k], b.data, b.size);
        test_bytes_free(&b);
        gs_queen_frame_finish(&f);
    }
    evaluate(&m);
    return m;
}

static void assert_plays(const struct model *m, uint32_t group, const char *what)
{
    const char *path = test_tmp_path("q.fvv");
    const struct gs_stream_opts o = {.group = group, .fps = 24};
    struct gs_stream_report r;
    struct gs_stream *s;
    struct gs_scene scene = {0}, all[MOST] = {{0}};
    uint32_t n = (uint32_t)m->files.count;
    assert_ok(gs_stream_import_queen(path, &m->files, n, &o, &r));
    assert_ok(gs_stream_open(&s, path));
    const struct gs_stream_info *i = gs_stream_info(s);
    assert_int_equal(i->model, GS_STREAM_QUEEN);
    assert_int_equal(i->frame_count, n);
    assert_int_equal(i->count, m->want[0].count);
    assert_int_equal(i->sh_degree, m->want[0].sh_degree);
    assert_int_equal(r.bases + r.entries + r.residuals, n);
    for (uint32_t f = 0; f < n; f++) {
        assert_true((i->frame[f].kind != GS_FRAME_RESIDUAL) == (f % group == 0));
        assert_ok(gs_stream_decode(s, f, 3, &scene));
        if (!same_rows(&scene, &m->want[f]))
            fail_msg("%s, groups of %u: frame %u is not that of the files", what, group, f);
        assert_ok(gs_queen_copy_scene(&all[f], &scene));
    }
    uint64_t seed = 1;
    for (int k = 0; k < 30; k++) { /* seeking, with fewer bands in between */
        uint32_t f = test_rand(&seed) % n;
        int degree = (int)(test_rand(&seed) % 4);
        assert_ok(gs_stream_decode(s, f, degree, &scene));
        int most = degree < all[f].sh_degree ? degree : all[f].sh_degree;
        struct gs_scene cut = {0};
        assert_ok(gs_queen_copy_scene(&cut, &all[f]));
        assert_ok(gs_scene_cut_sh(&cut, most));
        if (!test_scene_equal(&scene, &cut))
            fail_msg("%s, groups of %u: frame %u at SH %d differs after seeking", what, group, f, degree);
        gs_scene_finish(&cut);
    }
    for (uint32_t f = 0; f < n; f++)
        gs_scene_finish(&all[f]);
    gs_scene_finish(&scene);
    gs_stream_close(&s);
}

static void the_reference_as_a_stream(void **state)
{
    (void)state;
    struct model m = {0};
    const char *folder = test_golden("05_queen");
    assert_non_null(folder);
    assert_ok(gs_queen_find(&m.files, folder));
    evaluate(&m);
    for (uint32_t group = 1; group <= 4; group++)
        assert_plays(&m, group, "reference");
    drop(&m);
}

static const struct test_queen turnover[] = {
    {.before = 200, .count = 260, .sh_degree = 2},
    {.before = 260, .count = 260, .sh_degree = 2, .seed = 1},
    {.before = 260, .count = 180, .sh_degree = 2, .seed = 2},
    {.before = 180, .count = 181, .sh_degree = 2, .kinds = "apprr", .seed = 3},
    {.before = 181, .count = 181, .sh_degree = 2, .kinds = "rarrp", .seed = 4},
    {.before = 181, .count = 190, .sh_degree = 2, .positions = false, .dft = true, .seed = 5},
};

static void files_as_a_stream(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        struct test_queen t[6];
    } rows[] = {
        {"SH 3",
         {{.count = 150, .sh_degree = 3},
          {.count = 150, .sh_degree = 3, .hidden = 1, .activation = GS_QUEEN_RELU},
          {.count = 150, .sh_degree = 3, .divide = true},
          {.count = 150, .sh_degree = 3, .positions = true, .seed = 5},
          {.count = 150, .sh_degree = 3, .seed = 6},
          {.count = 150, .sh_degree = 3, .seed = 7}}},
        {"SH 0",
         {{.before = 70, .count = 80},
          {.before = 80, .count = 80},
          {.before = 80, .count = 81},
          {.before = 81, .count = 40},
          {.count = 40, .seed = 4},
          {.count = 40, .seed = 5}}},
    };
    struct model m = made_model(turnover, 6);
    for (uint32_t group = 1; group <= 7; group += 3)
        assert_plays(&m, group, "turnover");
    drop(&m);
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        m = made_model(rows[k].t, 6);
        assert_plays(&m, 3, rows[k].what);
        drop(&m);
    }
}

/* A flipped byte is noticed, and other groups still play. */
static void flipped_bytes(void **state)
{
    (void)state;
    enum { GROUP = 3 };
    struct model m = made_model(turnover, 6);
    const struct gs_stream_opts o = {.group = GROUP};
    struct gs_stream *s;
    struct gs_scene scene = {0};
    struct gs_stream_frame list[MOST];
    size_t size;
    uint32_t n = (uint32_t)m.files.count;
    const char *path = test_tmp_path("q.fvv"), *bad = test_tmp_path("bad.fvv");
    assert_ok(gs_stream_import_queen(path, &m.files, n, &o, NULL));
    char *bytes = test_read_file(path, &size);
    assert_ok(gs_stream_open(&s, path));
    memcpy(list, gs_stream_info(s)->frame, n * sizeof *list);
    gs_stream_close(&s);
    for (size_t at = list[0].offset; at < list[n - 1].offset + list[n - 1].size; at += 211) {
        uint32_t hit = 0;
        while (list[hit].offset + list[hit].size <= at)
            hit++;
        bytes[at] ^= 4;
        test_write_file(bad, bytes, size);
        bytes[at] ^= 4;
        if (gs_stream_open(&s, bad) < 0) {
            assert_int_equal(hit, 0);
            continue;
        }
        for (uint32_t f = 0; f < n; f++) {
            bool needs = list[hit].kind == GS_FRAME_BASE ? list[f].base == hit
                                                         : list[f].entry == list[hit].entry && f >= hit;
            int rc = gs_stream_decode(s, f, 3, &scene);
            if (needs ? rc != FV_EFORMAT || !strstr(fv_error(), "frame ") : rc < 0)
                fail_msg("byte %zu (frame %u): frame %u: %d %s", at, hit, f, rc, fv_error());
        }
        gs_stream_close(&s);
    }
    free(bytes);
    gs_scene_finish(&scene);
    drop(&m);
}

static void what_cannot_be_imported(void **state)
{
    (void)state;
    const char *path = test_tmp_path("x.fvv");
    struct model m = made_model(turnover, 6);
    assert_fails(gs_stream_import_queen(path, &m.files, 8, NULL, NULL), FV_EINVALID, "8 frames of 7");
    test_write_file(m.files.frames[5], "junk", 4);
    assert_fails(gs_stream_import_queen(path, &m.files, 7, NULL, NULL), FV_EFORMAT, "5.pkl");
    assert_false(fv_exists(path));
    /* a frame that does not follow */
    free(m.files.frames[4]);
    m.files.frames[4] = strdup(m.files.frames[2]);
    assert_fails(gs_stream_import_queen(path, &m.files, 7, NULL, NULL), FV_EFORMAT,
                 "2.pkl: Gaussian 180 comes from 180 of the 180 before");
    drop(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read), cmocka_unit_test(what_does_not_fit_becomes_floats),
        cmocka_unit_test(the_state_is_these_bits), cmocka_unit_test(the_reference_as_a_stream),
        cmocka_unit_test(what_changes_is_fitted),  cmocka_unit_test(few_latents_are_enough_for_some),
        cmocka_unit_test(files_as_a_stream),       cmocka_unit_test(flipped_bytes),
        cmocka_unit_test(what_cannot_be_imported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

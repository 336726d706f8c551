/* gs/queen_read.c: QUEEN's pickles, made here (support/queen.c) and by QUEEN's way of writing them
 * (tests/golden/05_queen/frames), and ones that are not to be believed. */
#include "support/queen.h"
#include "vk/nn/weights.h"

#include <errno.h>
#include <sys/stat.h>

static void assert_same_decoder(const struct gs_queen_decoder *a, const struct gs_queen_decoder *b)
{
    assert_int_equal(a->layer_count, b->layer_count);
    assert_int_equal(!a->div, !b->div);
    if (b->div)
        assert_memory_equal(a->div, b->div, b->layer[0].in * sizeof(float));
    for (uint32_t i = 0; i < b->layer_count; i++) {
        const struct gs_queen_layer *x = &a->layer[i], *y = &b->layer[i];
        assert_int_equal(x->in, y->in);
        assert_int_equal(x->out, y->out);
        assert_int_equal(x->activation, y->activation);
        assert_memory_equal(x->w, y->w, (size_t)y->in * y->out * sizeof(float));
        assert_int_equal(!x->scale, !y->scale);
        if (y->scale)
            assert_memory_equal(x->scale, y->scale, y->out * sizeof(float));
        assert_memory_equal(x->shift, y->shift, y->out * sizeof(float));
    }
}

static void assert_same_frame(const struct gs_queen_frame *a, const struct gs_queen_frame *b)
{
    assert_int_equal(a->count, b->count);
    for (uint32_t i = 0; i < b->count && !b->position; i++)
        assert_int_equal(a->parent[i], b->parent ? b->parent[i] : i);
    if (b->position)
        assert_memory_equal(a->position, b->position, b->count * 3 * sizeof(float));
    assert_int_equal(a->moved, b->moved);
    for (uint32_t i = 0; i < b->moved; i++) {
        assert_int_equal(a->moved_row[i], b->moved_row[i]);
        for (uint32_t k = 3 * i; k < 3 * i + 3; k++)
            assert_near((double)a->moved_by[k], (double)b->moved_by[k], 0.5001e-4);
    }
    for (int k = 0; k < GS_QUEEN_ATTRIBUTES; k++) {
        const struct gs_queen_change *x = &a->change[k], *y = &b->change[k];
        assert_int_equal(x->kind, y->kind);
        assert_int_equal(x->width, y->width);
        if (y->kind == GS_QUEEN_PLAIN)
            assert_memory_equal(x->values, y->values, (size_t)b->count * y->width * sizeof(float));
        if (y->kind < GS_QUEEN_ABSOLUTE)
            continue;
        assert_same_decoder(&x->decoder, &y->decoder);
        assert_memory_equal(x->latent, y->latent,
                            (size_t)b->count * y->decoder.layer[0].in * sizeof(int32_t));
    }
}

static void reads_what_was_written(void **state)
{
    (void)state;
    static const struct test_queen rows[] = {
        {.count = 40, .sh_degree = 2},
        {.before = 30, .count = 40, .sh_degree = 2, .dft = true},
        {.before = 30, .count = 1, .sh_degree = 3, .divide = true},
        {.count = 40, .sh_degree = 1, .kinds = "ppppp", .positions = true},
        {.count = 40, .sh_degree = 0, .kinds = "pkppp", .positions = true},
        {.count = 40, .sh_degree = 3, .kinds = "papar", .positions = true},
        {.count = 40,
         .sh_degree = 2,
         .hidden = 2,
         .activation = GS_QUEEN_RELU,
         .final_activation = GS_QUEEN_TANH},
        {.before = 20000, .count = 20100, .sh_degree = 2}, /* with rare values */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct gs_queen_frame want = test_queen_frame(&rows[i]), got;
        struct test_bytes b = test_queen_pickle(&want);
        assert_ok(gs_queen_parse(&got, test_bytes_exact(&b), b.size, "a.pkl"));
        assert_same_frame(&got, &want);
        gs_queen_frame_finish(&got);
        gs_queen_frame_finish(&want);
        test_bytes_free(&b);
    }
}

/* ---- QUEEN's own way of writing ---- */

static void assert_decoded(const struct gs_scene *s, unsigned frame)
{
    char name[64];
    struct nn_file *f;
    size_t n = s->count, sh = 3 * (size_t)gs_sh_coefs(s->sh_degree);
    snprintf(name, sizeof name, "05_queen/model_3frames/frame%u.safetensors", frame);
    const char *path = test_golden(name);
    assert_non_null(path);
    assert_ok(nn_file_open(&f, path, NULL));
    const struct {
        const char *name;
        const float *got;
        size_t width, stride;
        double tolerance;
    } rows[] = {{"decoded.xyz", s->position, 3, 3, 0.5001e-4 * (frame - 1) + 1e-6},
                {"decoded.f_dc", s->sh, 3, sh, 1e-6},
                {"decoded.f_rest", s->sh + 3, sh - 3, sh, 1e-6},
                {"decoded.sc", s->scale, 3, 3, 1e-6},
                {"decoded.rot", s->rotation, 4, 4, 1e-6},
                {"decoded.op", s->opacity, 1, 1, 1e-6}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct nn_file_tensor *t = nn_file_find(f, rows[i].name);
        assert_non_null(t);
        assert_int_equal(t->count, n * rows[i].width);
        float *want = malloc(t->count * sizeof *want);
        assert_ok(nn_file_read(t, NN_DATA_F32, 0, t->count, want));
        for (size_t k = 0; k < t->count; k++) {
            size_t at = k / rows[i].width * rows[i].stride + k % rows[i].width;
            double d = fabs((double)rows[i].got[at] - (double)want[k]);
            if (!(d <= rows[i].tolerance * fmax(1, fabs((double)want[k]))))
                fail_msg("frame %u: %s[%zu] differs by %g", frame, rows[i].name, k, d);
        }
        free(want);
    }
    nn_file_close(&f);
}

static void plays_a_folder_of_queens(void **state)
{
    (void)state;
    struct gs_scene s;
    struct gs_queen_files files;
    const char *folder = test_golden("05_queen");
    assert_non_null(folder);
    assert_ok(gs_queen_find(&files, folder));
    assert_int_equal(files.count, 3);
    assert_ok(gs_scene_load(&s, files.frames[0], NULL));
    assert_int_equal(s.count, 120);
    assert_int_equal(s.sh_degree, 2);
    assert_decoded(&s, 1);
    for (unsigned frame = 2; frame <= 3; frame++) {
        struct gs_queen_frame f;
        assert_ok(gs_queen_read(&f, files.frames[frame - 1]));
        assert_int_equal(f.moved, 60);
        assert_int_equal(f.change[GS_QUEEN_REST].kind, GS_QUEEN_ABSOLUTE);
        assert_int_equal(f.change[GS_QUEEN_DC].kind, GS_QUEEN_RESIDUAL);
        assert_ok(gs_queen_apply(&s, NULL, &f));
        gs_queen_frame_finish(&f);
        assert_decoded(&s, frame);
    }
    gs_queen_files_finish(&files);
    gs_scene_finish(&s);
}

static void make_folder(const char *path)
{
    if (mkdir(path, 0777) && errno != EEXIST)
        fail_msg("cannot make %s", path);
}

/* Folders of these names, each with a file where the pickle is to be if `pickle` is set. */
static const char *folder_of(const char *name, const char *const *frames, bool pickle)
{
    const char *folder = test_tmp_path(name);
    char path[512];
    make_folder(folder);
    for (; *frames; frames++) {
        snprintf(path, sizeof path, "%s/%s", folder, *frames);
        make_folder(path);
        strcat(path, "/compressed");
        make_folder(path);
        strcat(path, "/point_cloud.pkl");
        if (pickle)
            test_write_file(path, "", 0);
    }
    return folder;
}

static void finds_frames(void **state)
{
    (void)state;
    struct gs_queen_files f;
    const char *folder =
        folder_of("good", (const char *[]){"0010", "0009", "0011", "notes", "12a", NULL}, true);
    assert_ok(gs_queen_find(&f, folder));
    assert_int_equal(f.count, 3);
    assert_non_null(strstr(f.frames[0], "good/0009"));
    assert_non_null(strstr(f.frames[2], "0011/compressed/point_cloud.pkl"));
    gs_queen_files_finish(&f);
    assert_null(f.frames);
    folder = folder_of("gap", (const char *[]){"0001", "0002", "0004", NULL}, true);
    assert_fails(gs_queen_find(&f, folder), FV_EFORMAT, "0004: comes after frame 2");
    assert_null(f.frames);
    folder = folder_of("bare", (const char *[]){"0001", "0002", NULL}, false);
    assert_fails(gs_queen_find(&f, folder), FV_EIO, "0002/compressed/point_cloud.pkl: no such");
    folder = folder_of("none", (const char *[]){"notes", NULL}, false);
    assert_fails(gs_queen_find(&f, folder), FV_EFORMAT, "no numbered frames");
    assert_fails(gs_queen_find(&f, test_tmp_path("nowhere")), FV_EIO, "no such folder");
}

/* ---- not to be believed ---- */

static struct test_bytes good_pickle(void)
{
    struct gs_queen_frame f = test_queen_frame(
        &(struct test_queen){.before = 9, .count = 8, .sh_degree = 1, .dft = true});
    struct test_bytes b = test_queen_pickle(&f);
    gs_queen_frame_finish(&f);
    return b;
}

/* The first (or nth) place of some bytes, which must be there. */
static uint8_t *find(const struct test_bytes *b, const char *what, size_t size, unsigned nth)
{
    for (size_t i = 0; i + size <= b->size; i++)
        if (!memcmp(b->data + i, what, size) && !nth--)
            return b->data + i;
    fail_msg("\"%s\" is not in the pickle", what);
    return NULL;
}

static void refuses_changed_pickles(void **state)
{
    (void)state;
    /* `from` becomes `to`, of the same length, at its nth place */
    static const struct {
        const char *from, *to;
        unsigned nth;
        int code;
        const char *part;
    } rows[] = {
        {"utils.compress_utils", "utils.compress_utilz", 0, FV_EUNSUPPORTED,
         "asks for utils.compress_utilz.CompressedLatents, which is not needed"},
        {"collections\nOrderedDict", "subprocess \nOrderedDict", 0, FV_EUNSUPPORTED, "asks for"},
        {"torch.storage\n_load_from_bytes", "torch.storage\n_exec_from_bytes", 0, FV_EUNSUPPORTED,
         "asks for torch.storage._exec_from_bytes"},
        {"latents", "latentz", 0, FV_EFORMAT, "xyz: no latents of a QUEEN frame"},
        {"mapping", "mappinz", 0, FV_EFORMAT, "xyz.mapping: no tensor"},
        {"ungated_indices", "ungated_indicez", 0, FV_EFORMAT, "xyz.ungated_indices: no tensor"},
        {"ungated_residuals_compressed", "ungated_residuals_compressez", 0, FV_EFORMAT,
         "xyz.ungated_residuals_compressed: is missing"},
        {"num_latents", "num_latentz", 0, FV_EFORMAT, "num_latents is no count"},
        {"latent_dim", "latent_din", 0, FV_EFORMAT, "latent_dim is no count"},
        {"byte_stream", "byte_streaz", 0, FV_EFORMAT, "no byte_stream"},
        {"cdf", "cdg", 0, FV_EFORMAT, "no tensor"},
        {"tail_locs", "tail_locz", 0, FV_EFORMAT, "tail_locs is no dict"},
        {"f_rest", "f_resz", 0, FV_EFORMAT, "f_rest: is missing from latents"},
        {"decoder_state_dict", "decoder_state_dicz", 0, FV_EFORMAT, "no decoder_state_dict"},
        {"latent_decoders_dict", "latent_decoders_dicz", 0, FV_EFORMAT, "names no decoder"},
        {"layers.0.scale", "layers.1.scale", 0, FV_EFORMAT, "f_dc layers.0.scale: no tensor"},
        {"LatentDecoder", "LatentDecodez", 0, FV_EFORMAT, "names no decoder for it"},
        {"X\4\0\0\0none", "X\4\0\0\0norm", 0, FV_EUNSUPPORTED, "activation 'norm'"},
        {"LongStorage", "HalfStorage", 0, FV_EFORMAT, "xyz.mapping: element"},
        {"X\2\0\0\0f4", "X\2\0\0\0>4", 0, FV_EFORMAT, "not numbers"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct test_bytes b = good_pickle();
        struct gs_queen_frame f;
        const char *nul = memchr(rows[i].from, 0, 3); /* X and a length: of 9 or 7 bytes */
        size_t n = nul ? 5 + (size_t)rows[i].from[1] : strlen(rows[i].from);
        memcpy(find(&b, rows[i].from, n, rows[i].nth), rows[i].to, n);
        int rc = gs_queen_parse(&f, test_bytes_exact(&b), b.size, "a.pkl");
        if (rc != rows[i].code || !strstr(fv_error(), rows[i].part) ||
            !strstr(fv_error(), "a.pkl: "))
            fail_msg("row %zu: %d %s", i, rc, rc < 0 ? fv_error() : "was read");
        assert_null(f.memory);
        test_bytes_free(&b);
    }
}

static void refuses_truncated_pickles(void **state)
{
    (void)state;
    struct test_bytes b = good_pickle();
    for (size_t n = 0; n < b.size; n += n < 300 || n + 300 > b.size ? 1 : 17) {
        struct gs_queen_frame f;
        uint8_t *copy = malloc(n + 1);
        memcpy(copy, b.data, n);
        assert_true(gs_queen_parse(&f, copy, n, "a.pkl") < 0);
        free(copy);
    }
    test_bytes_free(&b);
    struct gs_queen_frame f;
    assert_fails(gs_queen_read(&f, test_tmp_path("none.pkl")), FV_EIO, "none.pkl");
}

/* Every byte changed in turn: refused, or a frame that can be used. */
static void survives_changed_bytes(void **state)
{
    (void)state;
    struct test_bytes b = good_pickle();
    uint64_t seed = 1;
    for (size_t i = 0; i < b.size; i += 1 + test_rand(&seed) % 5) {
        struct gs_queen_frame f;
        struct gs_scene s = test_scene(9, 1, 2);
        uint8_t was = b.data[i];
        b.data[i] ^= (uint8_t)(1u << test_rand(&seed) % 8);
        if (gs_queen_parse(&f, b.data, b.size, "a.pkl") >= 0) {
            if (gs_queen_apply(&s, NULL, &f) >= 0)
                assert_int_equal(s.count, f.count);
            gs_queen_frame_finish(&f);
        }
        b.data[i] = was;
        gs_scene_finish(&s);
    }
    test_bytes_free(&b);
}

/* A few kilobytes that claim to hold 2^31 Gaussians. */
static void refuses_huge_counts(void **state)
{
    (void)state;
    struct test_bytes b = good_pickle();
    struct gs_queen_frame f;
    uint8_t *at = find(&b, "num_latents", 11, 1);
    memcpy(at + 12, "\xff\xff\xff\x7f", 4);
    assert_fails(gs_queen_parse(&f, b.data, b.size, "a.pkl"), FV_EFORMAT,
                 "f_dc: 2147483647 rows of latents for 8 Gaussians");
    test_bytes_free(&b);
    b = good_pickle();
    at = find(&b, "latent_dim", 10, 1);
    memcpy(at + 11, "\xff\xff\xff\x7f", 4);
    assert_fails(gs_queen_parse(&f, b.data, b.size, "a.pkl"), FV_EFORMAT,
                 "f_dc: 2147483647 latents a Gaussian; 1 to 64 are read");
    test_bytes_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_was_written),
        cmocka_unit_test(plays_a_folder_of_queens),
        cmocka_unit_test(finds_frames),
        cmocka_unit_test(refuses_changed_pickles),
        cmocka_unit_test(refuses_truncated_pickles),
        cmocka_unit_test(survives_changed_bytes),
        cmocka_unit_test(refuses_huge_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

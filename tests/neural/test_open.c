/* Reading anchors: training folders, the one-file form, and folders with something wrong. */
#include "neural/neural.h"
#include "support/neural.h"
#include "support/test.h"

#include <unistd.h>

static const char *const kinds[] = {"scaffold", "bank", "sags"};

static const char *make(const char *kind, unsigned count)
{
    return test_neural(kind, count);
}

static void opens_training_folders(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct nl_model m;
        const char *folder = make(kinds[i], 40);
        assert_true(nl_is(folder));
        assert_ok(nl_open(&m, folder, NULL));
        assert_int_equal(m.arch, i == 2 ? NL_SAGS : NL_SCAFFOLD);
        assert_int_equal(m.count, 40);
        assert_int_equal(m.feature, 32);
        assert_int_equal(m.offsets, i == 2 ? 1 : 10);
        assert_int_equal(m.bank.layers, i == 1 ? 2 : 0);
        assert_int_equal(m.appearance, i == 1 ? 16 : 0);
        assert_int_equal(m.cameras, i == 1 ? 4 : 0);
        assert_int_equal(m.distance[NL_COLOUR], i > 0);
        assert_int_equal(m.net[NL_COVARIANCE].layers, i == 2 ? 3 : 2);
        assert_int_equal(m.neighbours, i == 2 ? 10 : 0);
        nl_finish(&m);
    }
}

static void same_values(const float *a, const float *b, size_t n)
{
    if (a || b)
        assert_memory_equal(a, b, n * sizeof *a);
}

static void same_mlp(const struct nl_mlp *a, const struct nl_mlp *b)
{
    assert_int_equal(a->layers, b->layers);
    assert_int_equal(a->linear, b->linear);
    for (uint32_t i = 0; i < a->layers; i++) {
        assert_int_equal(a->layer[i].in, b->layer[i].in);
        assert_int_equal(a->layer[i].out, b->layer[i].out);
        same_values(a->layer[i].w, b->layer[i].w, (size_t)a->layer[i].in * a->layer[i].out);
        same_values(a->layer[i].b, b->layer[i].b, a->layer[i].out);
    }
}

static void one_file_holds_all(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct nl_model a, b;
        const char *file = test_tmp_path("one.safetensors");
        assert_ok(nl_open(&a, make(kinds[i], 33), NULL));
        assert_ok(nl_save(&a, file));
        assert_true(nl_is(file));
        assert_ok(nl_open(&b, file, NULL));
        assert_int_equal(a.arch, b.arch);
        assert_int_equal(a.count, b.count);
        assert_int_equal(a.offsets, b.offsets);
        assert_int_equal(a.neighbours, b.neighbours);
        assert_memory_equal(a.distance, b.distance, sizeof a.distance);
        same_values(a.position, b.position, 3u * a.count);
        same_values(a.features, b.features, a.feature * a.count);
        same_values(a.offset, b.offset, 3u * a.offsets * a.count);
        same_values(a.scaling, b.scaling, 6u * a.count);
        same_values(a.rotation, b.rotation, 4u * a.count);
        same_values(a.embedding, b.embedding, a.appearance * a.cameras);
        same_values(a.hash, b.hash, 953344);
        same_values(a.alpha, b.alpha, 96);
        same_values(a.beta, b.beta, 96);
        for (int n = 0; n < NL_NETS; n++)
            same_mlp(&a.net[n], &b.net[n]);
        same_mlp(&a.bank, &b.bank);
        same_mlp(&a.move, &b.move);
        nl_finish(&a);
        nl_finish(&b);
    }
}

/* f_offset_ are all x, then all y, then all z: looked up in the file's bytes. */
static void offsets_are_turned(void **state)
{
    (void)state;
    struct nl_model m;
    char path[512];
    size_t size;
    const char *folder = make("scaffold", 3);
    snprintf(path, sizeof path, "%s/point_cloud.ply", test_neural_files(folder));
    char *bytes = test_read_file(path, &size);
    const char *body = strstr(bytes, "end_header\n") + 11;
    float row[6 + 30 + 32 + 11];
    assert_ok(nl_open(&m, folder, NULL));
    memcpy(row, body + sizeof row, sizeof row);
    for (int k = 0; k < 10; k++)
        for (int a = 0; a < 3; a++)
            assert_true(m.offset[3 * (10 + k) + a] == row[6 + 10 * a + k]);
    assert_true(m.features[32] == row[36] && m.scaling[6] == row[69]);
    free(bytes);
    nl_finish(&m);
}

/* What densification put half way is found again, kept as pairs, and decoded as their mean. */
static void midpoints_are_found(void **state)
{
    (void)state;
    struct nl_model m, back;
    struct nl_encoded e;
    const char *file = test_tmp_path("lite.safetensors");
    assert_ok(nl_open(&m, make("sags", 300), NULL));
    float *before = malloc(3 * 300 * sizeof *before);
    memcpy(before, m.position, 3 * 300 * sizeof *before);
    assert_int_equal(nl_make_lite(&m), 100);
    assert_int_equal(nl_make_lite(&m), 100); /* again: as it is */
    assert_int_equal(m.count, 300);
    for (size_t k = 0; k < 3 * 300; k++) /* the tool's midpoints are the last, in order */
        assert_near((double)m.position[k], (double)before[k < 600 ? k : 600 + 3 * (99 - (k - 600) / 3) + k % 3], 1e-6);
    assert_ok(nl_save(&m, file));
    assert_ok(nl_open(&back, file, NULL));
    assert_int_equal(back.count, 300);
    assert_int_equal(back.midpoints, 100);
    same_values(m.position, back.position, 900);
    same_values(m.scaling, back.scaling, 1800);
    assert_ok(nl_encode(&back, NULL, &e));
    for (uint32_t k = 0; k < 100; k++)
        for (uint32_t c = 0; c < e.width; c++) {
            double want = 0.5 * ((double)e.feature[back.pair[2 * k] * e.width + c] +
                                 (double)e.feature[back.pair[2 * k + 1] * e.width + c]);
            assert_near((double)e.feature[(200 + k) * e.width + c], want, 1e-6 * (1 + fabs(want)));
        }
    nl_encoded_finish(&e);
    uint8_t some[300] = {1};
    assert_fails(nl_encode(&back, some, &e), FV_EUNSUPPORTED, "midpoints need all points");
    struct nl_part part[NL_PARTS];
    nl_parts(&back, part);
    assert_string_equal(part[0].name, "positions");
    assert_int_equal(part[0].bytes, 200 * 12);
    nl_finish(&m);
    nl_finish(&back);
    free(before);
    assert_ok(nl_open(&m, make("scaffold", 5), NULL));
    assert_fails(nl_make_lite(&m), FV_EINVALID, "only SAGS");
    nl_finish(&m);
}

/* ---- what is wrong ---- */

static void run(const char *fmt, const char *dir)
{
    char command[1024];
    snprintf(command, sizeof command, "cd '%s' && %s", dir, fmt);
    assert_int_equal(system(command), 0);
}

static void says_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *kind, *damage, *part;
        int code;
    } rows[] = {
        {"scaffold", "rm opacity_mlp.pt", "the network mlp_opacity is missing", FV_EFORMAT},
        {"scaffold", "rm *.pt", "no networks are beside it", FV_EFORMAT},
        {"scaffold", "cp color_mlp.pt cov_mlp.pt", "network has 30 outputs, expected 70", FV_EFORMAT},
        {"bank", "rm embedding_appearance.pt", "has 52 inputs, expected", FV_EFORMAT},
        {"bank", "cp opacity_mlp.pt feature_bank_mlp.pt", "feature bank network's layer 0 has 36", FV_EFORMAT},
        {"scaffold", "cp opacity_mlp.pt feature_bank_mlp.pt", "feature bank", FV_EFORMAT},
        {"sags", "rm checkpoint.pth", "no networks are beside it", FV_EFORMAT},
        {"sags", "head -c 3000 checkpoint.pth > x && mv x checkpoint.pth", "checkpoint.pth", FV_EFORMAT},
        {"scaffold", "sed -i s/f_offset_29/g_offset_29/ point_cloud.ply", "29 f_offset", FV_EFORMAT},
        {"scaffold", "sed -i s/f_offset_27/g_offset_27/ point_cloud.ply", "outputs, expected", FV_EFORMAT},
        {"scaffold", "sed -i s/scale_5/scala_5/ point_cloud.ply", "property scale_5 is missing", FV_EFORMAT},
        {"scaffold", "truncate -s -9 point_cloud.ply", "point_cloud.ply", FV_EFORMAT},
        {"scaffold", "truncate -s -4 point_cloud.ply && printf '\\000\\000\\300\\177' >> point_cloud.ply",
         "property rot_3 is not finite", FV_EFORMAT},
        {"scaffold", "sed -i 's/vertex 5$/vertex 0/' point_cloud.ply", "no anchors", FV_EFORMAT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct nl_model m;
        const char *folder = make(rows[i].kind, 5);
        run(rows[i].damage, test_neural_files(folder));
        int rc = nl_open(&m, folder, NULL);
        if (rc != rows[i].code || !strstr(fv_error(), rows[i].part) || m.count)
            fail_msg("%s: %d \"%s\", expected \"%s\"", rows[i].damage, rc, fv_error(), rows[i].part);
    }
    struct nl_model m;
    assert_false(nl_is(test_tmp()));
    assert_fails(nl_open(&m, test_tmp(), NULL), FV_EIO, "has no anchors");
}

/* A config.json that says other sizes than the tensors have. */
static void config_must_agree(void **state)
{
    (void)state;
    struct nl_model m;
    const char *dir = test_tmp_path("pair");
    char path[300], one[512];
    assert_ok(nl_open(&m, make("scaffold", 5), NULL));
    snprintf(path, sizeof path, "%s", dir);
    run("mkdir -p pair", test_tmp());
    snprintf(one, sizeof one, "%s/inputs.safetensors", path);
    assert_ok(nl_save(&m, one));
    run("cp inputs.safetensors weights.safetensors", path);
    nl_finish(&m);
    snprintf(one, sizeof one, "%s/config.json", path);
    test_write_file(one, "{\"n_offsets\": 5}", 16);
    assert_fails(nl_open(&m, path, NULL), FV_EFORMAT, "n_offsets 5, anchors have 10");
    test_write_file(one, "{\"feat_dim\": 16}", 16);
    assert_fails(nl_open(&m, path, NULL), FV_EFORMAT, "feat_dim 16, features have 32");
    test_write_file(one, "{\"n_offsets\":10}", 16);
    assert_ok(nl_open(&m, path, NULL));
    nl_finish(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_training_folders), cmocka_unit_test(one_file_holds_all),
        cmocka_unit_test(offsets_are_turned),     cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(config_must_agree),
        cmocka_unit_test(midpoints_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

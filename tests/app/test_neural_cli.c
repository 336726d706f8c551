/* fovea check, render, convert and info over anchors. */
#include "support/neural.h"
#include "support/nginx.h"
#include "support/test.h"

static const char *copy_of(const char *name)
{
    char command[1500], from[512];
    const char *dir = test_golden(name), *to = test_tmp_path("case");
    if (!dir)
        skip();
    snprintf(from, sizeof from, "%s", dir);
    snprintf(command, sizeof command, "rm -rf '%s' && cp -r '%s' '%s' && chmod -R u+w '%s'", to, from, to, to);
    assert_int_equal(system(command), 0);
    return to;
}

static void reference_cases_hold(void **state)
{
    (void)state;
    static const char *const cases[][2] = {{"scaffold", "04_scaffold_sags/scaffold_base"},
                                           {"scaffold", "04_scaffold_sags/scaffold_bank_app_dist"},
                                           {"sags", "04_scaffold_sags/sags"},
                                           {"sags", "04_scaffold_sags/sags_partial"}};
    size_t found = 0;
    for (size_t i = 0; i < 4; i++) {
        const char *dir = test_golden(cases[i][1]);
        if (!dir)
            continue;
        found++;
        TEST_RUNS("%s check --arch %s '%s'", test_device_option(), cases[i][0], dir);
    }
    if (!found)
        skip();
}

/* One value of a weight, of an input or of what is expected is another. */
static void finds_changes(void **state)
{
    (void)state;
    static const struct {
        const char *file, *tensor, *part;
    } rows[] = {
        {"weights.safetensors", "\"mlp_cov.0.weight\"", "scaling"},
        {"inputs.safetensors", "\"anchor\"", "xyz"},
        {"outputs.safetensors", "\"color\"", "color"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char path[512], *out;
        size_t size;
        const char *dir = copy_of("04_scaffold_sags/scaffold_base");
        snprintf(path, sizeof path, "%s/%s", dir, rows[i].file);
        char *bytes = test_read_file(path, &size);
        uint64_t header;
        memcpy(&header, bytes, 8);
        char *offsets = strstr(strstr(bytes + 8, rows[i].tensor), "data_offsets");
        assert_non_null(offsets);
        size_t at = 8 + header + strtoul(strchr(offsets, '[') + 1, NULL, 10);
        bytes[at + 3] ^= 0x08; /* the first value's exponent */
        test_write_file(path, bytes, size);
        free(bytes);
        int rc = test_fovea(&out, "%s check --arch scaffold '%s'", test_device_option(), dir);
        if (rc != 1 || !strstr(out, "FAIL") || !strstr(out, rows[i].part))
            fail_msg("%s: %d\n%s", rows[i].file, rc, out);
        free(out);
    }
}

/* A file of one camera. */
static void write_camera(char path[512])
{
    static const char camera[] = "[{\"width\":96,\"height\":64,\"fx\":90,\"fy\":90,\"cx\":48,\"cy\":32,"
                                 "\"viewmat\":[[1,0,0,0],[0,1,0,1],[0,0,1,4],[0,0,0,1]]}]";
    snprintf(path, 512, "%s", test_tmp_path("from.json"));
    test_write_file(path, camera, sizeof camera - 1);
}

static void a_folder_is_a_scene(void **state)
{
    (void)state;
    static const char *const kinds[] = {"scaffold", "bank", "sags"};
    char from[512];
    write_camera(from);
    for (int i = 0; i < 3; i++) {
        const char *folder = test_neural(kinds[i], 600);
        const char *one = test_tmp_path("one.safetensors"), *png = test_tmp_path("a.png"),
                   *other = test_tmp_path("b.png"), *ply = test_tmp_path("baked.ply"),
                   *spz = test_tmp_path("baked.spz");
        char *out;
        TEST_RUNS("%s render '%s' -c '%s' -o '%s'", test_device_option(), folder, from, png);
        TEST_RUNS("convert '%s' -o '%s'", folder, one);
        TEST_RUNS("%s render '%s' -c '%s' -o '%s'", test_device_option(), one, from, other);
        TEST_RUNS("compare '%s' '%s' --min-psnr 90", png, other); /* the same picture */
        TEST_RUNS("convert '%s' --eye 0,-1,-4 -o '%s'", folder, ply);
        TEST_RUNS("convert '%s' -o '%s'", one, spz);
        TEST_RUNS("%s render '%s' -c '%s' -o '%s'", test_device_option(), ply, from, other);
        TEST_RUNS("compare '%s' '%s' --min-psnr 40", png, other); /* from where it was baked for */
        TEST_RUNS("%s render '%s' --size 64x48 -o '%s'", test_device_option(), folder, png);
        assert_int_equal(test_fovea(&out, "info --json '%s'", folder), 0);
        assert_non_null(strstr(out, "\"anchors\":"));
        assert_non_null(strstr(out, i == 2 ? "\"hash_grid_bytes\":\t3813376" : "\"offsets_bytes\":\t72000"));
        free(out);
    }
}

/* Every frame that is measured, and every profiled one, decodes its view. */
static void bench_decodes_each_frame(void **state)
{
    (void)state;
    char *out;
    assert_int_equal(test_fovea(&out, "bench render '%s' -n 3 -s 96x64 --json", test_neural("sags", 600)), 0);
    assert_non_null(strstr(out, "\"anchors\":\t600"));
    assert_null(strstr(out, "\"gaussians\":\t0"));
    const char *at = strstr(out, "\"opacities_gpu_ms\":\t");
    assert_non_null(at);
    assert_true(strtod(strchr(at, '\t') + 1, NULL) > 0);
    free(out);
}

/* Anchors as frames of a stream, from the disk and from a web server. */
static void anchors_are_frames_of_a_stream(void **state)
{
    (void)state;
    struct test_nginx server = {.locations = "location /slow/ { alias %s/; limit_rate 60k; }"};
    char from[512], scaffold[512], bank[512], stream[512], *out;
    write_camera(from);
    bool served = test_shell(NULL, "command -v nginx") == 0;
    if (served)
        test_nginx_start(&server);
    snprintf(scaffold, sizeof scaffold, "%s", test_neural("scaffold", 500));
    snprintf(bank, sizeof bank, "%s", test_neural("bank", 400));
    snprintf(stream, sizeof stream, "%s/a.fvv", served ? server.root : test_tmp());
    TEST_RUNS("%s encode '%s' '%s' -o '%s' -c '%s' --psnr 42 --fps 4 -q", test_device_option(), scaffold, bank,
              stream, from);
    assert_int_equal(test_fovea(&out, "info --json '%s'", stream), 0);
    assert_non_null(strstr(out, "\"model\":\t\"anchors\""));
    assert_non_null(strstr(out, "\"anchors\":\t500"));
    assert_non_null(strstr(out, "\"frames\":\t2"));
    free(out);
    const char *all = test_tmp_path("s%d.png"), *one = test_tmp_path("one.png"), *spz = test_tmp_path("one.spz");
    TEST_RUNS("%s render '%s' -c '%s' --frames 2 -o '%s'", test_device_option(), stream, from, all);
    TEST_RUNS("%s render '%s' -c '%s' -o '%s'", test_device_option(), bank, from, one);
    TEST_RUNS("compare '%s' '%s' --min-psnr 39", test_tmp_path("s1.png"), one);
    TEST_RUNS("%s view '%s' -c '%s' --at 0.3 --headless --size 96x64 --screenshot '%s'", test_device_option(), stream,
              from, one);
    TEST_RUNS("compare '%s' '%s' --min-psnr 60", test_tmp_path("s1.png"), one);
    /* the light of another picture, of the folder and the stream */
    const char *two = test_tmp_path("two.png"), *streamed = test_tmp_path("s1.png");
    TEST_RUNS("%s render '%s' -c '%s' --appearance 3 -o '%s'", test_device_option(), bank, from, one);
    TEST_FAILS(1, "", "compare '%s' '%s' --min-psnr 36", streamed, one);
    for (int k = 0; k < 2; k++) {
        TEST_RUNS("%s view '%s' -c '%s' --at 0.3 --appearance 3 --headless --size 96x64 --screenshot '%s'",
                  test_device_option(), k ? stream : bank, from, two);
        TEST_RUNS("compare '%s' '%s' --min-psnr %d", two, one, k ? 36 : 60);
    }
    TEST_RUNS("convert '%s' --frame 1 --eye 0,-1,-4 -o '%s'", stream, spz);
    TEST_RUNS("%s render '%s' -c '%s' -o '%s'", test_device_option(), spz, from, one);
    TEST_RUNS("compare '%s' '%s' --min-psnr 39", test_tmp_path("s1.png"), one);
    TEST_FAILS(1, "appearance 4: the model has 4", "convert '%s' --frame 1 --appearance 4 -o '%s'", stream, spz);
    TEST_SAYS("playing", "bench stream '%s' --size 96x64", stream);
    TEST_FAILS(2, "do not go into one stream", "encode '%s' '%s' -o '%s'", scaffold, spz, test_tmp_path("x.fvv"));
    TEST_FAILS(2, "stay anchors", "encode '%s' --model queen -o '%s'", scaffold, test_tmp_path("x.fvv"));
    TEST_FAILS(2, "no --target-kb", "encode '%s' --target-kb-per-frame 9 -o '%s'", scaffold, test_tmp_path("x.fvv"));
    if (!served)
        return;
    TEST_RUNS("%s render '%s' -c '%s' --frames 2 -o '%s'", test_device_option(), test_nginx_url(&server, "slow/a.fvv"),
              from, test_tmp_path("n%d.png"));
    assert_true(test_same_files(test_tmp_path("n1.png"), test_tmp_path("s1.png")));
    test_nginx_stop(&server, false);
}

static void says_what_cannot_be(void **state)
{
    (void)state;
    const char *folder = test_neural("bank", 20);
    const char *png = test_tmp_path("c.png");
    TEST_FAILS(1, "appearance 4: the model has 4", "%s render '%s' --appearance 4 -o '%s'", test_device_option(),
               folder, png);
    TEST_FAILS(1, "only SAGS has a lite form", "convert '%s' --lite -o '%s'", folder, test_tmp_path("x.safetensors"));
    TEST_FAILS(2, "it is for .safetensors", "convert '%s' --lite -o '%s'", folder, test_tmp_path("x.ply"));
    TEST_FAILS(2, "no edits", "convert '%s' --scale 2 -o '%s'", folder, test_tmp_path("x.safetensors"));
    TEST_FAILS(2, "one scene of anchors", "convert '%s' '%s' -o '%s'", folder, folder,
               test_tmp_path("x.safetensors"));
    TEST_FAILS(1, "nothing.ply", "convert '%s' -o '%s'", test_tmp_path("nothing.ply"), test_tmp_path("x.ply"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_cases_hold),
        cmocka_unit_test(finds_changes),
        cmocka_unit_test(a_folder_is_a_scene),
        cmocka_unit_test(bench_decodes_each_frame),
        cmocka_unit_test(anchors_are_frames_of_a_stream),
        cmocka_unit_test(says_what_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

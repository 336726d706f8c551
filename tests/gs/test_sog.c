/* gs/sog.c, gs/lod.c, gs/sog_write.c, gs/webp.c: SOG bundles, folders, levels of detail. */
#include "support/scene.h"
#include "gs/scene.h"
#include "gs/sog.h"
#include "gs/webp.h"
#include "vk/base/file.h"

#include <sys/stat.h>

/* ---- files ------------------------------------------------------------------------------ */

static struct test_bytes saved(const struct gs_scene *s, const char *name)
{
    struct test_bytes b = {0};
    size_t size;
    assert_ok(gs_scene_save(s, test_tmp_path(name), NULL));
    void *data = test_read_file(test_tmp_path(name), &size);
    test_put(&b, data, size);
    free(data);
    return b;
}

static struct gs_scene loaded(const char *path, const struct gs_load_opts *opts)
{
    struct gs_scene s;
    assert_ok(gs_scene_load(&s, path, opts));
    return s;
}

/* Unpacks a bundle of s into the folder `name` of the test's own; returns its path. */
static const char *unpacked(const struct gs_scene *s, const char *name)
{
    const char *dir = test_tmp_path(name);
    struct test_bytes b = saved(s, "unpack.sog");
    struct fv_zip zip;
    mkdir(dir, 0700);
    assert_ok(fv_zip_open(&zip, b.data, b.size, "unpack.sog"));
    for (size_t i = 0; i < zip.count; i++) {
        struct gs_blob blob;
        char *path = fv_path_join(dir, zip.members[i].name);
        assert_ok(gs_blob_unzip(&blob, &zip, &zip.members[i], SIZE_MAX));
        test_write_file(path, blob.data, blob.size);
        gs_blob_free(&blob);
        free(path);
    }
    fv_zip_close(&zip);
    test_bytes_free(&b);
    return dir;
}

static char *file_in(const char *dir, const char *name)
{
    return fv_path_join(dir, name);
}

/* dir/name with the first `from` replaced by `to`. */
static void edit(const char *dir, const char *name, const char *from, const char *to)
{
    size_t size;
    char *path = file_in(dir, name);
    char *text = test_read_file(path, &size);
    text = realloc(text, size + 1);
    text[size] = 0;
    char *at = strstr(text, from);
    assert_non_null(at);
    struct test_bytes b = {0};
    test_put(&b, text, (size_t)(at - text));
    test_put(&b, to, strlen(to));
    test_put(&b, at + strlen(from), strlen(at + strlen(from)));
    test_write_file(path, b.data, b.size);
    test_bytes_free(&b);
    free(text);
    free(path);
}

static void write_image(const char *dir, const char *name, uint32_t width, uint32_t height,
                        const uint8_t texel[4])
{
    struct gs_image im = {width, height, malloc((size_t)width * height * 4)};
    uint8_t *out;
    size_t size;
    for (size_t i = 0; i < (size_t)width * height; i++)
        memcpy(im.rgba + 4 * i, texel, 4);
    assert_ok(gs_webp_write(&out, &size, &im));
    char *path = file_in(dir, name);
    test_write_file(path, out, size);
    free(path);
    free(out);
    gs_image_free(&im);
}

/* ---- reading ---------------------------------------------------------------------------- */

static const struct gs_scene_diff golden = {.alpha = 2e-6, .rotation = 1e-6, .position = 1e-6};

static void matches_golden(void **state)
{
    (void)state;
    int found = test_golden_cases("st.sog", "decoded_st_sog.ply", &golden);
    found += test_golden_decodes("garden500_sh3", "st_meta", "decoded_st_meta.ply", &golden);
    found +=
        test_golden_decodes("garden500_sh3", "st_meta/meta.json", "decoded_st_meta.ply", &golden);
    assert_true(found > 0);
}

static void folder_and_bundle_are_the_same(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(700, 2, 6);
    const char *dir = unpacked(&s, "same");
    char *meta = file_in(dir, "meta.json");
    struct gs_scene a = loaded(dir, NULL), b = loaded(meta, NULL);
    struct gs_scene c = loaded(test_tmp_path("unpack.sog"), NULL);
    assert_same_scene(&a, &b);
    assert_same_scene(&a, &c);
    assert_string_equal(a.detail, "sog v2");
    free(meta);
    gs_scene_finish(&a);
    gs_scene_finish(&b);
    gs_scene_finish(&c);
    gs_scene_finish(&s);
}

/* A bundle whose files lie in a folder of the archive. */
static void bundle_may_have_a_folder(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(100, 1, 8);
    struct test_bytes b = saved(&s, "flat.sog");
    const char *path = test_tmp_path("deep.sog");
    struct fv_zip zip;
    struct fv_writer w;
    struct fv_zip_writer out = {0};
    assert_ok(fv_zip_open(&zip, b.data, b.size, "flat.sog"));
    assert_ok(fv_writer_open(&w, path));
    out.w = &w;
    for (size_t i = 0; i < zip.count; i++) {
        char name[64];
        snprintf(name, sizeof name, "scene/%s", zip.members[i].name);
        assert_ok(fv_zip_add(&out, name, zip.members[i].packed, zip.members[i].size));
    }
    assert_ok(fv_zip_end(&out));
    fv_zip_writer_free(&out);
    assert_ok(fv_writer_commit(&w));
    struct gs_scene flat = loaded(test_tmp_path("flat.sog"), NULL), deep = loaded(path, NULL);
    assert_same_scene(&flat, &deep);
    gs_scene_finish(&flat);
    gs_scene_finish(&deep);
    gs_scene_finish(&s);
    fv_zip_close(&zip);
    test_bytes_free(&b);
}

/* Version 1, by hand: every value follows from one texel. */
static void reads_version_1(void **state)
{
    (void)state;
    const char *dir = test_tmp_path("v1");
    mkdir(dir, 0700);
    write_image(dir, "l.webp", 4, 4, (uint8_t[]){0xff, 0x00, 0x00, 255});
    write_image(dir, "u.webp", 4, 4, (uint8_t[]){0xff, 0x00, 0x80, 255});
    write_image(dir, "q.webp", 4, 4, (uint8_t[]){255, 0, 128, 254}); /* y left out */
    write_image(dir, "s.webp", 4, 4, (uint8_t[]){0, 255, 51, 255});
    write_image(dir, "c.webp", 4, 4, (uint8_t[]){0, 255, 51, 102});
    write_image(dir, "p.webp", 192, 1, (uint8_t[]){0, 255, 51, 255});
    write_image(dir, "n.webp", 4, 4, (uint8_t[]){63, 0, 0, 255});
    static const char meta[] =
        "{\"means\":{\"shape\":[5,3],\"mins\":[-1,-2,0],\"maxs\":[1,2,1],\"files\":[\"l.webp\","
        "\"u.webp\"]},\"scales\":{\"mins\":[-5,-5,-5],\"maxs\":[0,1,0],\"files\":[\"s.webp\"]},"
        "\"quats\":{\"files\":[\"q.webp\"]},\"sh0\":{\"mins\":[-1,-1,-1,-10],\"maxs\":[1,2,4,15],"
        "\"files\":[\"c.webp\"]},\"shN\":{\"mins\":-2,\"maxs\":3,\"files\":[\"p.webp\","
        "\"n.webp\"]}}";
    char *path = file_in(dir, "meta.json");
    test_write_file(path, meta, sizeof meta - 1);
    struct gs_scene s = loaded(dir, NULL);
    assert_int_equal(s.count, 5);
    assert_int_equal(s.sh_degree, 1);
    assert_string_equal(s.detail, "sog v1");
    assert_near(s.position[12], exp(1) - 1, 1e-6);
    assert_near(s.position[13], 1 - exp(2), 1e-6);
    assert_near(s.position[14], exp(0x8000 / 65535.0) - 1, 1e-6);
    assert_near(s.rotation[16], M_SQRT1_2, 1e-6);
    assert_near(s.rotation[17], -M_SQRT1_2, 1e-6);
    assert_near(s.rotation[18], 0, 3e-4); /* 1 - 1/2 - 1/2 - (1/255)^2/2, cut at 0 */
    assert_near(s.rotation[19], M_SQRT1_2 / 255, 1e-6);
    assert_near(s.scale[12], -5, 0);
    assert_near(s.scale[13], 1, 0);
    assert_near(s.scale[14], -4, 1e-6);
    assert_near(s.sh[4 * 12 + 2], 0, 1e-6);
    assert_near(s.opacity[4], 0, 1e-6);
    for (int k = 1; k < 4; k++) {
        assert_near(s.sh[4 * 12 + 3 * k], -2, 0);
        assert_near(s.sh[4 * 12 + 3 * k + 1], 3, 0);
        assert_near(s.sh[4 * 12 + 3 * k + 2], -1, 1e-6);
    }
    gs_scene_finish(&s);
    write_image(dir, "p.webp", 200, 1, (uint8_t[]){0, 255, 51, 255});
    assert_fails(gs_scene_load(&s, dir, NULL), FV_EFORMAT, "p.webp: is 200 wide");
    write_image(dir, "p.webp", 192, 1, (uint8_t[]){0, 255, 51, 255});
    write_image(dir, "n.webp", 4, 4, (uint8_t[]){64, 0, 0, 255});
    assert_fails(gs_scene_load(&s, dir, NULL), FV_EFORMAT, "label 64 of a palette of 64");
    free(path);
}

static void texel_without_index_is_no_rotation(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(16, 0, 6);
    const char *dir = unpacked(&s, "noturn");
    write_image(dir, "quats.webp", 4, 4, (uint8_t[]){1, 2, 3, 251});
    struct gs_scene got = loaded(dir, NULL);
    assert_near(got.rotation[0], 1, 0);
    assert_near(got.rotation[1], 0, 0);
    gs_scene_finish(&got);
    gs_scene_finish(&s);
}

/* ---- damage ----------------------------------------------------------------------------- */

#define TEN  "1,2,3,4,5,6,7,8,9,10,"
#define MANY TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static void rejects_bad_meta(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *part;
        int code;
    } cases[] = {
        {"{\"version\"", "{{\"version\"", "not valid JSON", FV_EFORMAT},
        {"{\"version\"", "[{\"version\"", "neither a SOG bundle", FV_EFORMAT},
        {"\"version\":2", "\"version\":3", "SOG version 3", FV_EUNSUPPORTED},
        {"\"version\":2", "\"version\":\"2\"", "version: expected a number", FV_EFORMAT},
        {"\"count\":300", "\"count\":301", "", FV_EFORMAT},
        {"\"count\":300", "\"count\":-1", "count: expected a whole number", FV_EFORMAT},
        {"\"count\":300", "\"count\":1e300", "count: expected a whole number", FV_EFORMAT},
        {"\"count\":300", "\"count\":4294967295", "count 4294967295 is more than", FV_EFORMAT},
        {"\"count\":300", "\"count\":1000000", "too few texels for 1000000", FV_EFORMAT},
        {"\"count\":300", "\"count\":0", "count 0", FV_EFORMAT},
        {"\"means\"", "\"meens\"", "means: expected an object, found nothing", FV_EFORMAT},
        {"\"mins\":[", "\"mins\":[1,", "means.mins: expected 3 numbers, found 4", FV_EFORMAT},
        {"\"mins\":[", "\"mins\":[null,", "expected", FV_EFORMAT},
        {"\"maxs\":[", "\"maxs\":[1e999,", "expected", FV_EFORMAT},
        {"\"codebook\":[", "\"codebook\":[1,2,", "has 258 values", FV_EFORMAT},
        {"\"codebook\":[", "\"codebook\":[],\"x\":[", "has 0 values", FV_EFORMAT},
        {"\"count\":300", "\"count\":-1,\"scales\":{\"codebook\":[" MANY MANY MANY MANY "0]}",
         "count: expected", FV_EFORMAT}, /* a second mistake after the first */
        {"\"codebook\":[", "\"codebook\":[null],\"x\":[", "expected a number", FV_EFORMAT},
        {"\"bands\":2", "\"bands\":3", "is 512 wide", FV_EFORMAT},
        {"\"bands\":2", "\"bands\":0", "shN.bands", FV_EFORMAT},
        {"\"shN\":{\"count\":256", "\"shN\":{\"count\":257", "shN.count says 257", FV_EFORMAT},
        {"\"shN\":{\"count\":256", "\"shN\":{\"count\":2", "of a palette of 2", FV_EFORMAT},
        {"\"shN\":{\"count\":256", "\"shN\":{\"count\":65537", "shN.count", FV_EFORMAT},
        {"\"means_u.webp\"", "\"../means_u.webp\"", "not a file beside", FV_EFORMAT},
        {"\"means_u.webp\"", "\"/etc/passwd\"", "not a file beside", FV_EFORMAT},
        {"\"means_u.webp\"", "7", "means.files", FV_EFORMAT},
        {",\"means_u.webp\"", "", "means.files", FV_EFORMAT},
        {"\"means_u.webp\"", "\"none.webp\"", "none.webp", FV_EIO},
        {"\"means_u.webp\"", "\"meta.json\"", "not a WebP", FV_EFORMAT},
    };
    struct gs_scene s = test_scene(300, 2, 1), got;
    char saved_meta[1 << 15];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *dir = unpacked(&s, "bad");
        edit(dir, "meta.json", cases[i].from, cases[i].to);
        int rc = gs_scene_load(&got, dir, NULL);
        if (!*cases[i].part) { /* 301 Gaussians: the images are a little larger than needed */
            assert_ok(rc);
            gs_scene_finish(&got);
            continue;
        }
        snprintf(saved_meta, sizeof saved_meta, "%s", fv_error());
        if (rc != cases[i].code || !strstr(saved_meta, cases[i].part))
            fail_msg("%s -> %s: %d %s, expected %s", cases[i].from, cases[i].to, rc, saved_meta,
                     cases[i].part);
        assert_null(got.position);
    }
    gs_scene_finish(&s);
}

static void rejects_images_of_the_wrong_size(void **state)
{
    (void)state;
    static const char *const images[] = {"means_l.webp", "means_u.webp", "quats.webp",
                                         "scales.webp",  "sh0.webp",     "shN_labels.webp"};
    struct gs_scene s = test_scene(300, 1, 1), got;
    for (size_t i = 0; i < 6; i++) {
        const char *dir = unpacked(&s, "size");
        write_image(dir, images[i], 13, 23, (uint8_t[]){0, 0, 0, 255});
        assert_fails(gs_scene_load(&got, dir, NULL), FV_EFORMAT, "is 13x23, too few texels");
        assert_non_null(strstr(fv_error(), images[i]));
        write_image(dir, images[i], 1000, 100, (uint8_t[]){0, 0, 0, 255});
        assert_fails(gs_scene_load(&got, dir, NULL), FV_EFORMAT, "more texels than");
    }
    const char *dir = unpacked(&s, "size");
    write_image(dir, "shN_centroids.webp", 192, 16383, (uint8_t[]){0, 0, 0, 255});
    assert_fails(gs_scene_load(&got, dir, NULL), FV_EFORMAT, "more texels than");
    gs_scene_finish(&s);
}

static void rejects_truncated_images(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(64, 0, 1), got;
    for (size_t cut = 1; cut < 8; cut++) {
        const char *dir = unpacked(&s, "cut");
        char *path = file_in(dir, "scales.webp");
        size_t size;
        void *data = test_read_file(path, &size);
        test_write_file(path, data, size * (8 - cut) / 8);
        assert_fails(gs_scene_load(&got, dir, NULL), FV_EFORMAT, "scales.webp");
        free(data);
        free(path);
    }
    gs_scene_finish(&s);
}

static void rejects_other_zips(void **state)
{
    (void)state;
    const char *path = test_tmp_path("other.sog");
    struct fv_writer w;
    struct fv_zip_writer z = {0};
    struct gs_scene s;
    assert_ok(fv_writer_open(&w, path));
    z.w = &w;
    assert_ok(fv_zip_add(&z, "readme.txt", "hello", 5));
    assert_ok(fv_zip_end(&z));
    fv_zip_writer_free(&z);
    assert_ok(fv_writer_commit(&w));
    assert_fails(gs_scene_load(&s, path, NULL), FV_EFORMAT, "without a meta.json");
}

static void rejects_damaged_bundles(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(50, 1, 3), got;
    struct test_bytes b = saved(&s, "damaged.sog");
    uint64_t seed = 4;
    for (size_t n = 0; n < b.size; n += 97)
        assert_int_equal(gs_read_sog(&got, b.data, n, "a.sog", NULL), FV_EFORMAT);
    for (int i = 0; i < 300; i++) {
        size_t at = test_rand(&seed) % b.size;
        uint8_t was = b.data[at];
        b.data[at] ^= (uint8_t)(1 + test_rand(&seed) % 255);
        if (gs_read_sog(&got, b.data, b.size, "a.sog", NULL) == 0)
            gs_scene_finish(&got);
        b.data[at] = was;
    }
    test_bytes_free(&b);
    gs_scene_finish(&s);
}

/* ---- levels of detail ------------------------------------------------------------------- */

/* A level-of-detail folder: three files of 40, 20 and 10 Gaussians for levels 0 to 2. */
static const char *lod_folder(const char *name, const char *index)
{
    static const char *const parts[] = {"0", "1", "2"};
    static char inner[64];
    mkdir(test_tmp_path(name), 0700);
    for (size_t i = 0; i < 3; i++) {
        struct gs_scene s = test_scene(40u >> i, (int)i, 100 + i);
        snprintf(inner, sizeof inner, "%s/%s", name, parts[i]);
        unpacked(&s, inner);
        gs_scene_finish(&s);
    }
    struct gs_scene sky = test_scene(7, 0, 200);
    snprintf(inner, sizeof inner, "%s/sky.sog", name);
    struct test_bytes b = saved(&sky, inner);
    test_bytes_free(&b);
    gs_scene_finish(&sky);
    char *path = file_in(test_tmp_path(name), "lod-meta.json");
    test_write_file(path, index, strlen(index));
    free(path);
    return test_tmp_path(name);
}

#define FILES "\"filenames\":[\"0/meta.json\",\"1/meta.json\",\"2/meta.json\"],"
/* Two leaves; the second has no level 1. */
#define TREE                                                                                       \
    "\"tree\":{\"children\":[{\"lods\":{\"0\":{\"file\":0,\"offset\":0,\"count\":25},"             \
    "\"1\":{\"file\":1,\"offset\":5,\"count\":12},\"2\":{\"file\":2,\"offset\":0,\"count\":4}}},"  \
    "{\"children\":[{\"lods\":{\"2\":{\"file\":2,\"offset\":4,\"count\":6},"                       \
    "\"0\":{\"file\":0,\"offset\":25,\"count\":15}}}]}]}"

static void assert_rows(const struct gs_scene *s, size_t at, const char *path, size_t from,
                        size_t n)
{
    struct gs_scene whole = loaded(path, NULL);
    for (size_t i = 0; i < 3 * n; i++)
        assert_near(s->position[3 * at + i], whole.position[3 * from + i], 0);
    gs_scene_finish(&whole);
}

static void gathers_a_level_from_leaves(void **state)
{
    (void)state;
    const char *dir =
        lod_folder("lod", "{\"version\":1,\"lodLevels\":3,\"environment\":null," FILES TREE "}");
    char *zero = file_in(dir, "0"), *one = file_in(dir, "1"), *two = file_in(dir, "2");
    struct gs_scene s = loaded(dir, NULL);
    assert_int_equal(s.count, 40);
    assert_rows(&s, 0, zero, 0, 40);
    assert_string_equal(s.detail, "sog, level 0 of 0..2");
    gs_scene_finish(&s);
    s = loaded(dir, &(struct gs_load_opts){.lod = 1}); /* the second leaf: next finer */
    assert_int_equal(s.count, 27);
    assert_int_equal(s.sh_degree, 1);
    assert_rows(&s, 0, zero, 25, 15);
    assert_rows(&s, 15, one, 5, 12);
    gs_scene_finish(&s);
    s = loaded(dir, &(struct gs_load_opts){.lod = 2});
    assert_int_equal(s.count, 10);
    assert_rows(&s, 0, two, 0, 10);
    gs_scene_finish(&s);
    assert_fails(gs_scene_load(&s, dir, &(struct gs_load_opts){.lod = 3}), FV_EINVALID,
                 "has no level 3; its levels are 0 (finest) to 2");
    assert_fails(gs_scene_load(&s, dir, &(struct gs_load_opts){.lod = -1}), FV_EINVALID,
                 "has no level -1");
    free(zero);
    free(one);
    free(two);
}

static void environment_belongs_to_every_level(void **state)
{
    (void)state;
    const char *dir =
        lod_folder("sky", "{\"lodLevels\":3,\"environment\":\"sky.sog\"," FILES TREE "}");
    char *sky = file_in(dir, "sky.sog");
    for (int level = 0; level < 3; level++) {
        struct gs_scene s = loaded(dir, &(struct gs_load_opts){.lod = level});
        const size_t counts[] = {47, 34, 17};
        assert_int_equal(s.count, counts[level]);
        assert_rows(&s, s.count - 7, sky, 0, 7);
        gs_scene_finish(&s);
    }
    free(sky);
}

static void leaf_without_finer_gives_coarser(void **state)
{
    (void)state;
    const char *dir =
        lod_folder("coarse", "{\"lodLevels\":3," FILES
                             "\"tree\":{\"lods\":{\"2\":{\"file\":2,\"offset\":0,\"count\":4}}}}");
    struct gs_scene s = loaded(dir, NULL);
    assert_int_equal(s.count, 4);
    gs_scene_finish(&s);
}

static void rejects_bad_lod_index(void **state)
{
    (void)state;
    static const struct {
        const char *index, *part;
        int code;
    } cases[] = {
        {"{\"version\":2,\"lodLevels\":3," FILES TREE "}", "version 2", FV_EUNSUPPORTED},
        {"{\"lodLevels\":0," FILES TREE "}", "lodLevels", FV_EFORMAT},
        {"{" FILES TREE "}", "lodLevels", FV_EFORMAT},
        {"{\"lodLevels\":3," TREE "}", "filenames", FV_EFORMAT},
        {"{\"lodLevels\":3,\"filenames\":[]," TREE "}", "file", FV_EFORMAT},
        {"{\"lodLevels\":3," FILES "\"tree\":{\"children\":[7]}}", "expected an object",
         FV_EFORMAT},
        {"{\"lodLevels\":3," FILES "\"tree\":{\"children\":7}}", "expected a list", FV_EFORMAT},
        {"{\"lodLevels\":3," FILES "\"tree\":{}}", "no leaf has a Gaussian", FV_EFORMAT},
        {"{\"lodLevels\":3," FILES
         "\"tree\":{\"lods\":{\"0\":{\"file\":0,\"offset\":6,\"count\":0}}}}",
         "no leaf has a Gaussian", FV_EFORMAT},
        {"{\"lodLevels\":3," FILES
         "\"tree\":{\"lods\":{\"0\":{\"file\":3,\"offset\":0,\"count\":1}}}}",
         "file", FV_EFORMAT},
        {"{\"lodLevels\":3," FILES
         "\"tree\":{\"lods\":{\"0\":{\"file\":0,\"offset\":0,\"count\":41}}}}",
         "takes Gaussians 0 to 41 of file 0, which has 40", FV_EFORMAT},
        {"{\"lodLevels\":3," FILES
         "\"tree\":{\"lods\":{\"0\":{\"file\":0,\"offset\":4294967295,\"count\":1}}}}",
         "which has 40", FV_EFORMAT},
        {"{\"lodLevels\":3," FILES
         "\"tree\":{\"children\":[{\"lods\":{\"0\":{\"file\":0,\"offset\":0,\"count\":30}}},"
         "{\"lods\":{\"0\":{\"file\":0,\"offset\":29,\"count\":2}}}]}}",
         "two leaves share Gaussian 29", FV_EFORMAT},
        {"{\"lodLevels\":1,\"filenames\":[\"../lod/0/meta.json\"],"
         "\"tree\":{\"lods\":{\"0\":{\"file\":0,\"offset\":0,\"count\":1}}}}",
         "not a file below", FV_EFORMAT},
        {"{\"lodLevels\":1,\"filenames\":[\"lod-meta.json\"],"
         "\"tree\":{\"lods\":{\"0\":{\"file\":0,\"offset\":0,\"count\":1}}}}",
         "where a scene belongs", FV_EFORMAT},
        {"{\"lodLevels\":1,\"filenames\":[5],"
         "\"tree\":{\"lods\":{\"0\":{\"file\":0,\"offset\":0,\"count\":1}}}}",
         "not a file below", FV_EFORMAT},
        {"{\"lodLevels\":1,\"filenames\":[\"none/meta.json\"],"
         "\"tree\":{\"lods\":{\"0\":{\"file\":0,\"offset\":0,\"count\":1}}}}",
         "No such file", FV_EIO},
        {"{\"lodLevels\":3,\"environment\":\"/sky.sog\"," FILES TREE "}", "not a file below",
         FV_EFORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct gs_scene s;
        const char *dir = lod_folder("badlod", cases[i].index);
        assert_fails(gs_scene_load(&s, dir, NULL), cases[i].code, cases[i].part);
        assert_null(s.position);
    }
}

/* ---- writing ---------------------------------------------------------------------------- */

static void second_trip_changes_nothing(void **state)
{
    (void)state;
    const struct gs_scene_diff nothing = {.position = 1e-6}; /* ranges are rounded again */
    for (int degree = 0; degree <= 3; degree++) {
        struct gs_scene s = test_scene(3000, degree, (uint64_t)degree), once, twice;
        s.mode = degree & 1 ? GS_MODE_ANTIALIASED : GS_MODE_AUTO;
        const char *path = test_tmp_path("trip.sog");
        assert_ok(gs_scene_save(&s, path, NULL));
        once = loaded(path, NULL);
        assert_ok(gs_scene_save(&once, path, NULL));
        twice = loaded(path, NULL);
        assert_near_scene(&twice, &once, &nothing);
        assert_int_equal(twice.mode, s.mode);
        gs_scene_finish(&s);
        gs_scene_finish(&once);
        gs_scene_finish(&twice);
    }
}

/* order[i]: the row of `from` nearest to row i of `to`. */
static void find_rows(uint32_t *order, const struct gs_scene *to, const struct gs_scene *from)
{
    for (size_t i = 0; i < to->count; i++) {
        double least = INFINITY;
        for (size_t k = 0; k < from->count; k++) {
            double d = 0;
            for (size_t a = 0; a < 3; a++)
                d += pow((double)(to->position[3 * i + a] - from->position[3 * k + a]), 2);
            if (d < least) {
                least = d;
                order[i] = (uint32_t)k;
            }
        }
    }
}

/* Rows come back in another order, each within the steps of its attribute. */
static void first_trip_stays_within_steps(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(2000, 1, 44);
    struct test_bytes b = saved(&s, "steps.sog");
    struct gs_scene got = loaded(test_tmp_path("steps.sog"), NULL);
    uint32_t *order = malloc(s.count * sizeof *order);
    find_rows(order, &got, &s);
    assert_ok(gs_scene_reorder(&s, order));
    /* ln(1+3) over 65535 steps, times 1+3; values spread evenly over 8 and 3 in 256 steps, whose
       best book is even but for its ends; rest: 1024 clusters of 2000 */
    const struct gs_scene_diff steps = {.position = 4 * 2 * 1.3863 / 65535,
                                        .alpha = 0.51 / 255,
                                        .scale = 2 * 8.0 / 256,
                                        .rotation = 2.0 / 255,
                                        .dc = 2 * 3.0 / 256,
                                        .rest = 2};
    assert_near_scene(&got, &s, &steps);
    free(order);
    test_bytes_free(&b);
    gs_scene_finish(&got);
    gs_scene_finish(&s);
}

static void special_scenes_survive(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(3, 1, 1), got;
    for (int k = 0; k < 3; k++) { /* one place, one colour */
        memcpy(s.position + 3 * k, (float[]){0.5f, -2, 0}, 12);
        memcpy(s.sh + 12 * k, s.sh, 48);
    }
    s.opacity[0] = INFINITY;
    s.opacity[1] = -INFINITY;
    s.scale[4] = -INFINITY;
    struct test_bytes b = saved(&s, "special.sog");
    got = loaded(test_tmp_path("special.sog"), NULL);
    assert_int_equal(got.count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_near(got.position[3 * i], 0.5, 1e-7);
        assert_near(got.position[3 * i + 1], -2, 1e-6);
        assert_near(got.position[3 * i + 2], 0, 0);
        for (size_t k = 0; k < 12; k++)
            assert_near(got.sh[12 * i + k], s.sh[k], 1e-7);
    }
    double least = 0;
    for (size_t i = 0; i < 9; i++)
        least = fmin(least, (double)got.scale[i]);
    assert_true(least < -20); /* as good as flat */
    test_bytes_free(&b);
    gs_scene_finish(&s);
    gs_scene_finish(&got);
    s = test_scene(1, 3, 2);
    b = saved(&s, "one.sog");
    got = loaded(test_tmp_path("one.sog"), NULL);
    for (size_t k = 0; k < 48; k++)
        assert_near(got.sh[k], s.sh[k], 1e-7);
    test_bytes_free(&b);
    gs_scene_finish(&s);
    gs_scene_finish(&got);
}

static void same_bytes_for_one_thread(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(4000, 3, 5);
    struct test_bytes many = saved(&s, "many.sog");
    test_one_cpu(true);
    struct test_bytes one = saved(&s, "one.sog");
    test_one_cpu(false);
    assert_int_equal(one.size, many.size);
    assert_memory_equal(one.data, many.data, one.size);
    test_bytes_free(&one);
    test_bytes_free(&many);
    gs_scene_finish(&s);
}

static int stop_at(void *ud, const struct fv_progress *p)
{
    int *left = ud;
    assert_true(*p->what && p->done <= p->total);
    return (*left)-- == 0;
}

static void can_be_cancelled(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(500, 2, 5);
    const char *path = test_tmp_path("cancelled.sog");
    for (int i = 0; i < 8; i++) {
        int left = i;
        assert_fails(
            gs_scene_save(&s, path, &(struct gs_save_opts){.on_progress = stop_at, .ud = &left}),
            FV_ECANCELLED, "cancelled");
        assert_false(fv_exists(path));
    }
    gs_scene_finish(&s);
}

static void refuses_empty_scene(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(1, 0, 5);
    s.count = 0;
    assert_fails(gs_scene_save(&s, test_tmp_path("none.sog"), NULL), FV_EINVALID, "0 Gaussians");
    gs_scene_finish(&s);
}

/* ---- images ----------------------------------------------------------------------------- */

static void webp_keeps_colours_under_alpha_0(void **state)
{
    (void)state;
    struct gs_image im = {17, 5, malloc(17 * 5 * 4)}, got;
    uint64_t seed = 12;
    uint8_t *out;
    size_t size;
    for (int i = 0; i < 17 * 5 * 4; i++)
        im.rgba[i] = i % 4 == 3 && i % 8 == 3 ? 0 : (uint8_t)test_rand(&seed);
    assert_ok(gs_webp_write(&out, &size, &im));
    assert_ok(gs_webp_read(&got, out, size, 17 * 5, "a.webp"));
    assert_int_equal(got.width, 17);
    assert_int_equal(got.height, 5);
    assert_memory_equal(got.rgba, im.rgba, 17 * 5 * 4);
    gs_image_free(&got);
    assert_fails(gs_webp_read(&got, out, size, 17 * 5 - 1, "a.webp"), FV_EFORMAT,
                 "a.webp: is 17x5, more texels");
    assert_fails(gs_webp_read(&got, out, 0, 100, "a.webp"), FV_EFORMAT, "not a WebP");
    for (size_t n = 1; n < size; n++)
        assert_int_equal(gs_webp_read(&got, out, n, 1000, "a.webp"), FV_EFORMAT);
    free(out);
    im.width = GS_WEBP_MAX_SIDE + 1;
    assert_fails(gs_webp_write(&out, &size, &im), FV_EINVALID, "16384x5");
    gs_image_free(&im);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_golden),
        cmocka_unit_test(folder_and_bundle_are_the_same),
        cmocka_unit_test(bundle_may_have_a_folder),
        cmocka_unit_test(reads_version_1),
        cmocka_unit_test(texel_without_index_is_no_rotation),
        cmocka_unit_test(rejects_bad_meta),
        cmocka_unit_test(rejects_images_of_the_wrong_size),
        cmocka_unit_test(rejects_truncated_images),
        cmocka_unit_test(rejects_other_zips),
        cmocka_unit_test(rejects_damaged_bundles),
        cmocka_unit_test(gathers_a_level_from_leaves),
        cmocka_unit_test(environment_belongs_to_every_level),
        cmocka_unit_test(leaf_without_finer_gives_coarser),
        cmocka_unit_test(rejects_bad_lod_index),
        cmocka_unit_test(second_trip_changes_nothing),
        cmocka_unit_test(first_trip_stays_within_steps),
        cmocka_unit_test(special_scenes_survive),
        cmocka_unit_test(same_bytes_for_one_thread),
        cmocka_unit_test(can_be_cancelled),
        cmocka_unit_test(refuses_empty_scene),
        cmocka_unit_test(webp_keeps_colours_under_alpha_0),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

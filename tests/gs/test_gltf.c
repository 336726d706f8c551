/* gs/gltf.c, gs/gltf_doc.c, gs/gltf_write.c: KHR_gaussian_splatting in .glb and .gltf. */
#include "support/scene.h"
#include "gs/scene.h"
#include "vk/base/file.h"

#include <sys/stat.h>

/* ---- building files --------------------------------------------------------------------- */

static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void put_base64(struct test_bytes *b, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i += 3) {
        uint32_t v = (uint32_t)data[i] << 16;
        v |= i + 1 < size ? (uint32_t)data[i + 1] << 8 : 0;
        v |= i + 2 < size ? data[i + 2] : 0;
        test_putf(b, "%c%c%c%c", base64[v >> 18], base64[v >> 12 & 63],
                  i + 1 < size ? base64[v >> 6 & 63] : '=', i + 2 < size ? base64[v & 63] : '=');
    }
}

static void put32(struct test_bytes *b, uint32_t v)
{
    test_put(b, (uint8_t[]){(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)},
             4);
}

static struct test_bytes glb(const char *json, const struct test_bytes *bin)
{
    struct test_bytes b = {0};
    size_t n = strlen(json), padded = (n + 3) / 4 * 4, bytes = bin ? (bin->size + 3) / 4 * 4 : 0;
    test_put(&b, "glTF", 4);
    put32(&b, 2);
    put32(&b, (uint32_t)(12 + 8 + padded + (bin ? 8 + bytes : 0)));
    put32(&b, (uint32_t)padded);
    test_put(&b, "JSON", 4);
    test_put(&b, json, n);
    test_put(&b, "   ", padded - n);
    if (bin) {
        put32(&b, (uint32_t)bytes);
        test_put(&b, "BIN\0", 4);
        test_put(&b, bin->data, bin->size);
        test_put(&b, "\0\0\0", bytes - bin->size);
    }
    return b;
}

/* Two Gaussians: position, rotation x,y,z,w, linear scale, opacity, band 0; 56 floats apart
 * enough to read by eye. */
static const float floats[2 * (3 + 4 + 3 + 1 + 3)] = {
    1,   2,    3,   4,    5,    6,             /* position, from byte 0 */
    0,   0,    0,   1,    .5f,  .5f, .5f, .5f, /* rotation, 24 */
    1,   2,    4,   .5f,  .25f, 1,             /* scale, 56 */
    .5f, .75f,                                 /* opacity, 80 */
    .1f, .2f,  .3f, -.1f, -.2f, -.3f           /* band 0, 88; ends at 112 */
};

#define EXT                                                                                        \
    "\"extensions\":{\"KHR_gaussian_splatting\":{\"kernel\":\"ellipse\","                          \
    "\"colorSpace\":\"srgb_rec709_display\"}}"
#define ATTRIBUTES                                                                                 \
    "\"attributes\":{\"POSITION\":0,\"KHR_gaussian_splatting:ROTATION\":1,"                        \
    "\"KHR_gaussian_splatting:SCALE\":2,\"KHR_gaussian_splatting:OPACITY\":3,"                     \
    "\"KHR_gaussian_splatting:SH_DEGREE_0_COEF_0\":4}"
#define MESHES "\"meshes\":[{\"primitives\":[{\"mode\":0," ATTRIBUTES "," EXT "}]}],"
#define VIEWS                                                                                      \
    "\"bufferViews\":[{\"buffer\":0,\"byteLength\":24},"                                           \
    "{\"buffer\":0,\"byteOffset\":24,\"byteLength\":32},"                                          \
    "{\"buffer\":0,\"byteOffset\":56,\"byteLength\":24},"                                          \
    "{\"buffer\":0,\"byteOffset\":80,\"byteLength\":8},"                                           \
    "{\"buffer\":0,\"byteOffset\":88,\"byteLength\":24}],"
#define ACCESSORS                                                                                  \
    "\"accessors\":[{\"bufferView\":0,\"componentType\":5126,\"count\":2,\"type\":\"VEC3\"},"      \
    "{\"bufferView\":1,\"componentType\":5126,\"count\":2,\"type\":\"VEC4\"},"                     \
    "{\"bufferView\":2,\"componentType\":5126,\"count\":2,\"type\":\"VEC3\"},"                     \
    "{\"bufferView\":3,\"componentType\":5126,\"count\":2,\"type\":\"SCALAR\"},"                   \
    "{\"bufferView\":4,\"componentType\":5126,\"count\":2,\"type\":\"VEC3\"}],"
#define HEAD   "{\"asset\":{\"version\":\"2.0\"},\"scene\":0,\"scenes\":[{\"nodes\":[0]}],"
#define NODES  "\"nodes\":[{\"mesh\":0}],"
#define BUFFER "\"buffers\":[{\"byteLength\":112}]}"

static const char whole[] = HEAD NODES MESHES ACCESSORS VIEWS BUFFER;

static struct test_bytes binary(void)
{
    struct test_bytes b = {0};
    test_put(&b, floats, sizeof floats);
    return b;
}

/* The document with the first `from` (and what `also` names) replaced. */
static char *edited(const char *from, const char *to)
{
    const char *at = strstr(whole, from);
    char *out = malloc(sizeof whole + strlen(to));
    assert_non_null(at);
    sprintf(out, "%.*s%s%s", (int)(at - whole), whole, to, at + strlen(from));
    return out;
}

static int parse(struct gs_scene *s, const char *json)
{
    struct test_bytes bin = binary(), b = glb(json, &bin);
    int rc = gs_scene_parse(s, b.data, b.size, "a.glb", NULL);
    test_bytes_free(&bin);
    test_bytes_free(&b);
    return rc;
}

static struct gs_scene parsed(const char *from, const char *to)
{
    struct gs_scene s;
    char *json = edited(from, to);
    assert_ok(parse(&s, json));
    free(json);
    return s;
}

/* ---- reading ---------------------------------------------------------------------------- */

static void reads_floats(void **state)
{
    (void)state;
    struct gs_scene s = parsed("\"mode\":0", "\"mode\":0");
    assert_int_equal(s.count, 2);
    assert_int_equal(s.sh_degree, 0);
    assert_string_equal(s.detail, "gltf, 1 primitive");
    const float position[] = {-1, -2, 3, -4, -5, 6}, dc[] = {.1f, .2f, .3f, -.1f, -.2f, -.3f};
    for (int k = 0; k < 6; k++) {
        assert_near(s.position[k], position[k], 0);
        assert_near(s.scale[k], log((double)floats[14 + k]), 1e-7);
        assert_near(s.sh[k], dc[k], 0);
    }
    assert_near(s.opacity[0], 0, 0);
    assert_near(s.opacity[1], log(3), 1e-6);
    const float rotation[] = {0, 0, 0, -1, .5f, .5f, -.5f, -.5f}; /* half a turn about z first */
    for (int k = 0; k < 8; k++)
        assert_near(s.rotation[k], rotation[k], 0);
    gs_scene_finish(&s);
}

#define SPARSE_OF(count, indices, type, values)                                                    \
    "\"sparse\":{\"count\":" #count ",\"indices\":{\"bufferView\":" #indices                            \
    ",\"componentType\":" #type "},\"values\":{\"bufferView\":" #values "}},"

/* The first position from the scales' bytes; the index is the rotation's first number, 0. */
static void sparse_accessors(void **state)
{
    (void)state;
    static const char *const to[] = {"\"accessors\":[{" SPARSE_OF(1, 1, 5125, 2) "\"bufferView\":0,",
                                     "\"accessors\":[{" SPARSE_OF(1, 1, 5125, 2)};
    for (int without = 0; without < 2; without++) {
        struct gs_scene s = parsed("\"accessors\":[{\"bufferView\":0,", to[without]);
        const float sign[] = {-1, -1, 1}; /* axes of glTF */
        for (int k = 0; k < 3; k++) {
            assert_near(s.position[k], sign[k] * floats[14 + k], 0);
            assert_near(s.position[3 + k], without ? 0 : sign[k] * floats[3 + k], 0);
        }
        gs_scene_finish(&s);
    }
}

static void matches_golden(void **state)
{
    (void)state;
    const struct gs_scene_diff exact = {.alpha = 1e-6, .scale = 1e-6, .rotation = 1e-6};
    if (!test_golden_decodes("garden500_sh3", "st.glb", "scene.ply", &exact))
        skip();
}

static void interleaved_attributes(void **state)
{
    (void)state;
    /* position and scale side by side in rows of 24 bytes */
    float rows[12] = {1, 2, 3, .1f, .2f, .3f, 4, 5, 6, .4f, .5f, .6f};
    struct test_bytes bin = binary();
    test_put(&bin, rows, sizeof rows);
    const char *json = HEAD NODES MESHES
        "\"accessors\":[{\"bufferView\":5,\"componentType\":5126,\"count\":2,\"type\":\"VEC3\"},"
        "{\"bufferView\":1,\"componentType\":5126,\"count\":2,\"type\":\"VEC4\"},"
        "{\"bufferView\":5,\"byteOffset\":12,\"componentType\":5126,\"count\":2,\"type\":\"VEC3\"},"
        "{\"bufferView\":3,\"componentType\":5126,\"count\":2,\"type\":\"SCALAR\"},"
        "{\"bufferView\":4,\"componentType\":5126,\"count\":2,\"type\":\"VEC3\"}],"
        "\"bufferViews\":[{\"buffer\":0,\"byteLength\":24},"
        "{\"buffer\":0,\"byteOffset\":24,\"byteLength\":32},"
        "{\"buffer\":0,\"byteOffset\":56,\"byteLength\":24},"
        "{\"buffer\":0,\"byteOffset\":80,\"byteLength\":8},"
        "{\"buffer\":0,\"byteOffset\":88,\"byteLength\":24},"
        "{\"buffer\":0,\"byteOffset\":112,\"byteStride\":24,\"byteLength\":48}],"
        "\"buffers\":[{\"byteLength\":160}]}";
    struct test_bytes b = glb(json, &bin);
    struct gs_scene s;
    assert_ok(gs_scene_parse(&s, b.data, b.size, "a.glb", NULL));
    assert_near(s.position[3], -4, 0);
    assert_near(s.scale[5], log(0.6), 1e-6);
    gs_scene_finish(&s);
    test_bytes_free(&b);
    test_bytes_free(&bin);
}

/* Every integer type, normalised and not, as SCALE of one Gaussian. */
static void integer_components(void **state)
{
    (void)state;
    static const struct {
        int type, normalized;
        uint8_t bytes[12];
        double want[3]; /* linear */
    } cases[] = {
        {5121, 0, {1, 2, 255}, {1, 2, 255}},
        {5121, 1, {51, 255, 102}, {0.2, 1, 0.4}},
        {5120, 0, {1, 2, 127}, {1, 2, 127}},
        {5120, 1, {127, 0x40, 1}, {1, 64.0 / 127, 1.0 / 127}},
        {5123, 0, {1, 0, 0, 1, 0xff, 0xff}, {1, 256, 65535}},
        {5123, 1, {0xff, 0xff, 0x33, 0x33, 1, 0}, {1, 0.2, 1 / 65535.0}},
        {5122, 0, {1, 0, 0, 1, 0xff, 0x7f}, {1, 256, 32767}},
        {5122, 1, {0xff, 0x7f, 1, 0, 0, 0x40}, {1, 1 / 32767.0, 16384 / 32767.0}},
        {5125, 0, {1, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0}, {1, 65536, 2}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char json[2048];
        struct test_bytes bin = binary();
        test_put(&bin, cases[i].bytes, 12);
        snprintf(
            json, sizeof json,
            HEAD NODES MESHES
            "\"accessors\":[{\"bufferView\":0,\"componentType\":5126,\"count\":1,\"type\":"
            "\"VEC3\"},{\"bufferView\":1,\"componentType\":5126,\"count\":1,\"type\":\"VEC4\"},"
            "{\"bufferView\":2,\"componentType\":%d,\"normalized\":%s,\"count\":1,\"type\":"
            "\"VEC3\"},{\"bufferView\":3,\"componentType\":5126,\"count\":1,\"type\":"
            "\"SCALAR\"},{\"bufferView\":4,\"componentType\":5126,\"count\":1,\"type\":\"VEC3\""
            "}],\"bufferViews\":[{\"buffer\":0,\"byteLength\":24},"
            "{\"buffer\":0,\"byteOffset\":24,\"byteLength\":32},"
            "{\"buffer\":0,\"byteOffset\":112,\"byteLength\":12},"
            "{\"buffer\":0,\"byteOffset\":80,\"byteLength\":8},"
            "{\"buffer\":0,\"byteOffset\":88,\"byteLength\":24}],"
            "\"buffers\":[{\"byteLength\":124}]}",
            cases[i].type, cases[i].normalized ? "true" : "false");
        struct test_bytes b = glb(json, &bin);
        struct gs_scene s;
        assert_ok(gs_scene_parse(&s, b.data, b.size, "a.glb", NULL));
        for (int k = 0; k < 3; k++)
            assert_near(s.scale[k], log(cases[i].want[k]), 2e-6);
        gs_scene_finish(&s);
        test_bytes_free(&b);
        test_bytes_free(&bin);
    }
}

/* Drafts stored ln scale; nothing linear is negative. */
static void logarithmic_scales_of_drafts(void **state)
{
    (void)state;
    struct gs_scene s = parsed("\"bufferView\":2,", "\"bufferView\":4,"); /* band 0 as scale */
    assert_near(s.scale[0], 0.1, 1e-7);
    assert_near(s.scale[5], -0.3, 1e-7);
    assert_non_null(strstr(s.detail, "ln scales"));
    gs_scene_finish(&s);
}

static void linear_colours_are_said(void **state)
{
    (void)state;
    struct gs_scene s = parsed("srgb_rec709_display", "lin_rec709_display");
    assert_non_null(strstr(s.detail, "linear colours"));
    gs_scene_finish(&s);
}

static void opacity_is_clamped(void **state)
{
    (void)state;
    struct gs_scene s =
        parsed("\"bufferView\":3,", "\"bufferView\":2,"); /* scale 1, 2 as opacity */
    assert_true(s.opacity[0] == INFINITY && s.opacity[1] == INFINITY);
    gs_scene_finish(&s);
}

static void reads_conformance_matrix_values(void **state)
{
    (void)state;
    struct gs_scene s;
    char *path =
        fv_path_join(test_source("../shared/data/splats/khr"), "khr_conformance_matrix.glb");
    if (!fv_exists(path)) {
        free(path);
        skip();
    }
    assert_ok(gs_scene_load(&s, path, NULL));
    assert_int_equal(s.count, 15);
    assert_int_equal(s.sh_degree, 3);
    for (size_t i = 0; i < 15; i++) {
        assert_near(s.position[3 * i], -1, 0);
        assert_near(s.position[3 * i + 1], -2, 0);
        assert_near(s.position[3 * i + 2], 3, 0);
        assert_near(s.rotation[4 * i + 2], -1, 0);
        assert_near(s.sh[48 * i], 0.1, 1e-7);
    }
    assert_near(s.scale[3 * 4 + 1], -2, 0); /* signed bytes */
    assert_near(s.scale[3 * 7 + 2], -1, 0); /* signed shorts, normalised */
    assert_near(s.opacity[9], log(64.0 / 191), 1e-6);
    assert_near(s.sh[48 * 14 + 45], -15.1, 1e-5);
    gs_scene_finish(&s);
    free(path);
}

/* ---- files beside files ----------------------------------------------------------------- */

static void reads_gltf_with_data_uri(void **state)
{
    (void)state;
    struct test_bytes uri = {0};
    test_putf(&uri,
              "\"buffers\":[{\"byteLength\":112,\"uri\":\"data:application/gltf-buffer;base64,");
    put_base64(&uri, (const uint8_t *)floats, sizeof floats);
    test_put(&uri, "\"}]}", 5);
    char *json = edited(BUFFER, (char *)uri.data);
    struct gs_scene s, t = parsed("\"mode\":0", "\"mode\":0");
    assert_ok(gs_scene_parse(&s, json, strlen(json), "a.gltf", NULL));
    assert_same_scene(&s, &t);
    gs_scene_finish(&s);
    gs_scene_finish(&t);
    char *bad = strstr(json, "base64,");
    bad[10] = '!';
    assert_fails(gs_scene_parse(&s, json, strlen(json), "a.gltf", NULL), FV_EFORMAT, "not base64");
    bad[0] = 'c';
    assert_fails(gs_scene_parse(&s, json, strlen(json), "a.gltf", NULL), FV_EUNSUPPORTED,
                 "not base64");
    free(json);
    test_bytes_free(&uri);
}

static void reads_gltf_with_a_file_beside_it(void **state)
{
    (void)state;
    char *json = edited("\"byteLength\":112}", "\"byteLength\":112,\"uri\":\"my%20scene.bin\"}");
    struct gs_scene s, t = parsed("\"mode\":0", "\"mode\":0");
    const char *path = test_tmp_path("beside.gltf");
    test_write_file(path, json, strlen(json));
    assert_fails(gs_scene_load(&s, path, NULL), FV_EIO, "my scene.bin");
    test_write_file(test_tmp_path("my scene.bin"), floats, sizeof floats);
    assert_ok(gs_scene_load(&s, path, NULL));
    assert_same_scene(&s, &t);
    gs_scene_finish(&s);
    assert_fails(gs_scene_parse(&s, json, strlen(json), "a.gltf", NULL), FV_EUNSUPPORTED,
                 "open the scene by its path");
    test_write_file(test_tmp_path("my scene.bin"), floats, sizeof floats - 1);
    assert_fails(gs_scene_load(&s, path, NULL), FV_EFORMAT, "has 111 bytes where byteLength says");
    free(json);
    json = edited("\"byteLength\":112}", "\"byteLength\":112,\"uri\":\"../x.bin\"}");
    test_write_file(path, json, strlen(json));
    assert_fails(gs_scene_load(&s, path, NULL), FV_EFORMAT, "not a file below");
    free(json);
    gs_scene_finish(&t);
}

/* ---- nodes ------------------------------------------------------------------------------ */

static void covariance(const struct gs_scene *s, size_t i, double out[9])
{
    const float *q = s->rotation + 4 * i;
    double n = 0;
    for (int k = 0; k < 4; k++)
        n += (double)q[k] * (double)q[k];
    double w = q[0] / sqrt(n), x = q[1] / sqrt(n), y = q[2] / sqrt(n), z = q[3] / sqrt(n);
    double r[9] = {1 - 2 * (y * y + z * z), 2 * (x * y - w * z),     2 * (x * z + w * y),
                   2 * (x * y + w * z),     1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
                   2 * (x * z - w * y),     2 * (y * z + w * x),     1 - 2 * (x * x + y * y)};
    for (int k = 0; k < 9; k++) {
        out[k] = 0;
        for (size_t j = 0; j < 3; j++)
            out[k] += r[3 * (size_t)(k / 3) + j] * r[3 * (size_t)(k % 3) + j] *
                      exp(2 * (double)s->scale[3 * i + j]);
    }
}

/* The scene behind the node equals the scene without it under M (row-major 3x4, the file's
 * axes): positions M p, covariances M C M^T. */
static void assert_moved(const char *node, const double m[12])
{
    char json[128];
    struct gs_scene plain = parsed("\"mode\":0", "\"mode\":0");
    snprintf(json, sizeof json, "\"nodes\":[%s],", node);
    struct gs_scene s = parsed(NODES, json);
    static const double turn[3] = {-1, -1, 1};
    for (size_t i = 0; i < 2; i++) {
        double c[9], got[9];
        covariance(&plain, i, c);
        covariance(&s, i, got);
        for (int a = 0; a < 3; a++) {
            double p = m[4 * a + 3] * turn[a];
            for (int k = 0; k < 3; k++)
                p += turn[a] * m[4 * a + k] * turn[k] * (double)plain.position[3 * i + (size_t)k];
            assert_near(s.position[3 * i + (size_t)a], p, 1e-5);
            for (int b = 0; b < 3; b++) {
                double v = 0;
                for (int k = 0; k < 9; k++)
                    v += turn[a] * m[4 * a + k / 3] * turn[k / 3] * c[k] * turn[k % 3] *
                         m[4 * b + k % 3] * turn[b];
                assert_near(got[3 * a + b], v, 1e-4);
            }
        }
    }
    gs_scene_finish(&plain);
    gs_scene_finish(&s);
}

static void node_transforms(void **state)
{
    (void)state;
    assert_moved("{\"mesh\":0,\"translation\":[1,2,3]}",
                 (double[]){1, 0, 0, 1, 0, 1, 0, 2, 0, 0, 1, 3});
    /* a third of a turn about (1,1,1): x -> y -> z -> x */
    assert_moved("{\"mesh\":0,\"rotation\":[0.5,0.5,0.5,0.5]}",
                 (double[]){0, 0, 1, 0, 1, 0, 0, 0, 0, 1, 0, 0});
    assert_moved("{\"mesh\":0,\"scale\":[2,2,2]}", (double[]){2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 0});
    assert_moved("{\"mesh\":0,\"translation\":[1,2,3],\"rotation\":[0.5,0.5,0.5,0.5],"
                 "\"scale\":[3,3,3]}",
                 (double[]){0, 0, 3, 1, 3, 0, 0, 2, 0, 3, 0, 3});
    assert_moved("{\"mesh\":0,\"matrix\":[0,2,0,0,0,0,2,0,2,0,0,0,7,8,9,1]}",
                 (double[]){0, 0, 2, 7, 2, 0, 0, 8, 0, 2, 0, 9});
}

static void stretched_nodes(void **state)
{
    (void)state;
    assert_moved("{\"mesh\":0,\"scale\":[1,2,3]}", (double[]){1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 3, 0});
    assert_moved("{\"mesh\":0,\"scale\":[0.01,1,1]}",
                 (double[]){0.01, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0});
    assert_moved("{\"mesh\":0,\"translation\":[1,2,3],\"rotation\":[0.5,0.5,0.5,0.5],"
                 "\"scale\":[3,1,2]}",
                 (double[]){0, 0, 2, 1, 3, 0, 0, 2, 0, 1, 0, 3});
}

static void stretches_flat_gaussians(void **state)
{
    (void)state;
    struct gs_scene s;
    struct test_bytes bin = binary();
    float *f = (float *)(void *)bin.data;
    f[14] = f[15] = f[17] = 0; /* a needle and a disc */
    char *json = edited(NODES, "\"nodes\":[{\"mesh\":0,\"scale\":[1,2,3]}],");
    struct test_bytes b = glb(json, &bin);
    assert_ok(gs_scene_parse(&s, b.data, b.size, "a.glb", NULL));
    assert_int_equal(s.count, 2);
    int flat = 0;
    double c[9];
    for (int k = 0; k < 6; k++)
        flat += s.scale[k] < -15;
    assert_int_equal(flat, 3);
    covariance(&s, 0, c); /* the needle lay along z, 4 long */
    assert_near(c[8], 144, 1e-3);
    assert_near(c[0], 0, 1e-6);
    free(json);
    gs_scene_finish(&s);
    test_bytes_free(&b);
    test_bytes_free(&bin);
}

static void parents_apply_and_instances_repeat(void **state)
{
    (void)state;
    struct gs_scene s = parsed(
        NODES, "\"nodes\":[{\"children\":[1,2],\"scale\":[2,2,2]},"
               "{\"mesh\":0,\"translation\":[1,0,0]},{\"mesh\":0,\"translation\":[0,0,5]}],");
    assert_int_equal(s.count, 4);
    assert_near(s.position[0], -4, 1e-6);
    assert_near(s.position[2], 6, 1e-6);
    assert_near(s.position[6], -2, 1e-6);
    assert_near(s.position[8], 16, 1e-6);
    assert_near(s.scale[0], log(2), 1e-6);
    assert_string_equal(s.detail, "gltf, 2 primitives");
    gs_scene_finish(&s);
}

static void document_without_scenes_shows_its_roots(void **state)
{
    (void)state;
    struct gs_scene s = parsed("\"scene\":0,\"scenes\":[{\"nodes\":[0]}],\"nodes\":[{\"mesh\":0}]",
                               "\"nodes\":[{\"mesh\":0},{\"children\":[0]},{\"mesh\":0}]");
    assert_int_equal(s.count, 4);
    gs_scene_finish(&s);
}

static void primitives_of_other_degrees_merge(void **state)
{
    (void)state;
    struct gs_scene s =
        parsed("\"primitives\":[",
               "\"primitives\":[{\"mode\":4,\"attributes\":{\"POSITION\":0}},"
               "{\"mode\":0,\"attributes\":{\"POSITION\":0,\"KHR_gaussian_splatting:ROTATION\":1,"
               "\"KHR_gaussian_splatting:SCALE\":2,\"KHR_gaussian_splatting:OPACITY\":3,"
               "\"KHR_gaussian_splatting:SH_DEGREE_0_COEF_0\":4,"
               "\"KHR_gaussian_splatting:SH_DEGREE_1_COEF_0\":0,"
               "\"KHR_gaussian_splatting:SH_DEGREE_1_COEF_1\":2,"
               "\"KHR_gaussian_splatting:SH_DEGREE_1_COEF_2\":4}," EXT "},");
    assert_int_equal(s.count, 4);
    assert_int_equal(s.sh_degree, 1);
    assert_near(s.sh[3], -1, 0); /* -y, turned */
    assert_near(s.sh[6], 1, 0);  /* z, not */
    assert_near(s.sh[9], -.1, 1e-7);
    for (int k = 3; k < 12; k++)
        assert_near(s.sh[24 + k], 0, 0);
    assert_near(s.sh[24], .1, 1e-7);
    gs_scene_finish(&s);
}

/* ---- damage ----------------------------------------------------------------------------- */

static void rejects_bad_documents(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *part;
        int code;
    } cases[] = {
        {"{\"asset\"", "{{\"asset\"", "not valid JSON", FV_EFORMAT},
        {"{\"asset\"", "[{\"asset\"", "not valid JSON", FV_EFORMAT},
        {"\"nodes\":[0]", "\"nodes\":[1]", "expected the number of one of 1 nodes", FV_EFORMAT},
        {"\"nodes\":[0]", "\"nodes\":[0.5]", "expected the number", FV_EFORMAT},
        {"\"nodes\":[0]", "\"nodes\":[-1]", "expected the number", FV_EFORMAT},
        {"\"nodes\":[0]", "\"nodes\":[\"0\"]", "expected the number", FV_EFORMAT},
        {"\"nodes\":[0]", "\"nodes\":[1e999]", "expected the number", FV_EFORMAT},
        {"\"nodes\":[0]", "\"nodes\":[0,0]", "two parents", FV_EFORMAT},
        {"\"nodes\":[0]", "\"nodes\":[]", "has no KHR_gaussian_splatting primitive", FV_EFORMAT},
        {"\"scene\":0", "\"scene\":1", "scene: expected a whole number", FV_EFORMAT},
        {"{\"mesh\":0}", "{\"mesh\":1}", "mesh: expected a whole number", FV_EFORMAT},
        {"{\"mesh\":0}", "7", "expected an object", FV_EFORMAT},
        {"{\"mesh\":0}", "{\"mesh\":0,\"children\":[0]}", "its own ancestor", FV_EFORMAT},
        {"{\"mesh\":0}", "{\"mesh\":0,\"rotation\":[0,0,0,0]}", "not a quaternion", FV_EFORMAT},
        {"{\"mesh\":0}", "{\"mesh\":0,\"rotation\":[0,0,1]}", "expected 4 numbers", FV_EFORMAT},
        {"{\"mesh\":0}", "{\"mesh\":0,\"matrix\":[1,2]}", "expected 16 numbers", FV_EFORMAT},
        {"{\"mesh\":0}", "{\"mesh\":0,\"scale\":[1,1,-1]}", "mirrors", FV_EUNSUPPORTED},
        {"{\"mesh\":0}", "{\"mesh\":0,\"scale\":[1,1,0]}", "flattens", FV_EUNSUPPORTED},
        {"{\"mesh\":0}", "{\"mesh\":0,\"matrix\":[1,1,0,0,0,1,0,0,0,0,1,0,0,0,0,1]}", "shears",
         FV_EUNSUPPORTED},
        {"\"primitives\":[", "\"primitives\":7,\"x\":[", "expected a list", FV_EFORMAT},
        {"\"mode\":0,", "", "mode 4; Gaussians are POINTS", FV_EFORMAT},
        {"\"mode\":0,", "\"mode\":1,", "mode 1", FV_EFORMAT},
        {"\"POSITION\":0", "\"POSITION\":5", "accessor 5 of 5", FV_EFORMAT},
        {"\"POSITION\":0", "\"POSITION\":-1", "POSITION: expected a whole number", FV_EFORMAT},
        {"\"POSITION\":0", "\"POSITION\":1", "POSITION is a VEC4; it must be VEC3", FV_EFORMAT},
        {"\"POSITION\":0", "\"P\":0", "has no POSITION", FV_EFORMAT},
        {"splatting:ROTATION", "splatting:ROTATED", "has no KHR_gaussian_splatting:ROTATION",
         FV_EFORMAT},
        {"splatting:SCALE", "splatting:SCALED", "has no KHR_gaussian_splatting:SCALE", FV_EFORMAT},
        {"splatting:OPACITY", "splatting:O", "has no KHR_gaussian_splatting:OPACITY", FV_EFORMAT},
        {"splatting:SH_DEGREE_0_COEF_0", "splatting:SH",
         "has no KHR_gaussian_splatting:SH_DEGREE_0", FV_EFORMAT},
        {"\"POSITION\":0", "\"POSITION\":0,\"KHR_gaussian_splatting:SH_DEGREE_1_COEF_0\":0",
         "SH degree 1 has 1 of its 3", FV_EFORMAT},
        {"\"kernel\":\"ellipse\"", "\"kernel\":\"cube\"", "kernel 'cube'", FV_EUNSUPPORTED},
        {"\"kernel\":\"ellipse\"", "\"kernel\":\"ellipse\",\"projection\":\"fisheye\"",
         "projection 'fisheye'", FV_EUNSUPPORTED},
        {"\"kernel\":\"ellipse\"",
         "\"extensions\":{\"KHR_gaussian_splatting_compression_spz_2\":{}}", "compression_spz_2",
         FV_EUNSUPPORTED},
        {"\"accessors\"", "\"extensionsRequired\":[\"EXT_meshopt_compression\"],\"accessors\"",
         "EXT_meshopt_compression", FV_EUNSUPPORTED},
        {"\"count\":2", "\"count\":3", "3 elements of 12 bytes do not fit", FV_EFORMAT},
        {"\"count\":2", "\"count\":1", "attributes differ in count", FV_EFORMAT},
        {"\"count\":2", "\"count\":0", "count: expected a whole number", FV_EFORMAT},
        {"\"count\":2", "\"count\":4294967295", "do not fit", FV_EFORMAT},
        {"\"count\":2", "\"count\":1e300", "count: expected a whole number", FV_EFORMAT},
        {"\"count\":2", "\"sparse\":{},\"count\":2", "sparse.count", FV_EFORMAT},
        {"\"count\":2", SPARSE_OF(2, 1, 5125, 3) "\"count\":2", "do not fit in bufferView 3",
         FV_EFORMAT},
        {"\"count\":2", SPARSE_OF(3, 1, 5125, 2) "\"count\":2", "whole number in 1..2", FV_EFORMAT},
        {"\"count\":2", SPARSE_OF(1, 1, 5126, 2) "\"count\":2", "none of an index", FV_EFORMAT},
        {"\"count\":2", SPARSE_OF(1, 0, 5125, 2) "\"count\":2", "of 2 elements", FV_EFORMAT},
        {"{\"bufferView\":0,\"componentType\":5126,\"count\":2",
         "{" SPARSE_OF(1, 1, 5125, 2) "\"componentType\":5126,\"count\":4294967295",
         "4294967295 elements of a file", FV_EFORMAT},
        {"\"componentType\":5126", "\"componentType\":5124", "component type 5124", FV_EFORMAT},
        {"\"componentType\":5126", "\"byteOffset\":4,\"componentType\":5126", "do not fit",
         FV_EFORMAT},
        {"\"componentType\":5126", "\"byteOffset\":1000000000000,\"componentType\":5126",
         "do not fit", FV_EFORMAT},
        {"{\"bufferView\":0,", "{", "has no bufferView", FV_EUNSUPPORTED},
        {"\"bufferView\":0", "\"bufferView\":5", "bufferView: expected a whole number", FV_EFORMAT},
        {"{\"buffer\":0,", "{\"buffer\":1,", "buffer: expected a whole number", FV_EFORMAT},
        {"\"byteLength\":24}", "\"byteLength\":113}", "bytes 0 to 113 of a buffer of 112",
         FV_EFORMAT},
        {"\"byteLength\":24}", "\"byteOffset\":1099511627776,\"byteLength\":24}",
         "of a buffer of 112", FV_EFORMAT},
        {"\"byteLength\":24}", "\"byteStride\":8,\"byteLength\":24}", "byteStride", FV_EFORMAT},
        {"\"byteLength\":24}", "\"byteStride\":16,\"byteLength\":24}", "do not fit", FV_EFORMAT},
        {"\"byteLength\":112", "\"byteLength\":116", "where byteLength says 116", FV_EFORMAT},
        {"\"byteLength\":112", "\"byteLength\":\"112\"", "byteLength", FV_EFORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct gs_scene s;
        char *json = edited(cases[i].from, cases[i].to);
        int rc = parse(&s, json);
        if (rc != cases[i].code || !strstr(fv_error(), cases[i].part) ||
            !strstr(fv_error(), "a.glb"))
            fail_msg("%s -> %s: %d \"%s\", expected \"%s\"", cases[i].from, cases[i].to, rc,
                     fv_error(), cases[i].part);
        assert_null(s.position);
        free(json);
    }
}

/* Nodes that show one mesh again and again must not multiply memory without end. */
static void rejects_instance_bombs(void **state)
{
    (void)state;
    enum { NODE_COUNT = 3000, POINTS = 2000 };
    struct test_bytes json = {0}, bin = {0};
    struct gs_scene s;
    float zero[4] = {0};
    for (int i = 0; i < POINTS; i++)
        test_put(&bin, zero, 16);
    test_putf(&json, "{\"scenes\":[{\"nodes\":[0");
    for (int i = 1; i < NODE_COUNT; i++)
        test_putf(&json, ",%d", i);
    test_putf(&json, "]}],\"nodes\":[{\"mesh\":0}");
    for (int i = 1; i < NODE_COUNT; i++)
        test_putf(&json, ",{\"mesh\":0}");
    test_putf(&json, "]," MESHES "\"accessors\":[");
    for (int i = 0; i < 5; i++)
        test_putf(&json, "%s{\"bufferView\":0,\"componentType\":5126,\"count\":%d,\"type\":\"%s\"}",
                  i ? "," : "", POINTS,
                  i == 1   ? "VEC4"
                  : i == 3 ? "SCALAR"
                           : "VEC3");
    test_putf(&json,
              "],\"bufferViews\":[{\"buffer\":0,\"byteLength\":%d}],"
              "\"buffers\":[{\"byteLength\":%d}]}",
              16 * POINTS, 16 * POINTS);
    test_put(&json, "", 1);
    struct test_bytes b = glb((char *)json.data, &bin);
    assert_fails(gs_scene_parse(&s, b.data, b.size, "a.glb", NULL), FV_EFORMAT, "too many for");
    test_bytes_free(&b);
    test_bytes_free(&bin);
    test_bytes_free(&json);
}

static void rejects_deep_nodes(void **state)
{
    (void)state;
    struct test_bytes json = {0};
    struct gs_scene s;
    test_putf(&json, "\"nodes\":[");
    for (int i = 1; i < 300; i++)
        test_putf(&json, "{\"children\":[%d]},", i);
    test_put(&json, "{\"mesh\":0}],", 13);
    char *text = edited(NODES, (char *)json.data);
    assert_fails(parse(&s, text), FV_EFORMAT, "more than 128 levels down");
    free(text);
    test_bytes_free(&json);
}

static void rejects_damaged_containers(void **state)
{
    (void)state;
    struct test_bytes bin = binary(), b = glb(whole, &bin);
    struct gs_scene s;
    for (size_t n = 1; n < b.size; n++) {
        uint8_t *copy = malloc(n);
        memcpy(copy, b.data, n);
        assert_int_equal(gs_read_glb(&s, copy, n, "a.glb", NULL), FV_EFORMAT);
        free(copy);
    }
    assert_fails(gs_read_glb(&s, b.data + 1, b.size - 1, "a.glb", NULL), FV_EFORMAT,
                 "neither a .glb (magic glTF) nor");
    b.data[4] = 1;
    assert_fails(gs_read_glb(&s, b.data, b.size, "a.glb", NULL), FV_EUNSUPPORTED, "version 1");
    b.data[4] = 2;
    b.data[16] = 'X';
    assert_fails(gs_read_glb(&s, b.data, b.size, "a.glb", NULL), FV_EFORMAT, "no JSON chunk");
    b.data[16] = 'J';
    b.data[15] = 0x7f;
    assert_fails(gs_read_glb(&s, b.data, b.size, "a.glb", NULL), FV_EFORMAT,
                 "ends beyond the file");
    test_bytes_free(&b);
    b = glb(whole, NULL);
    assert_fails(gs_read_glb(&s, b.data, b.size, "a.glb", NULL), FV_EFORMAT,
                 "has 0 bytes where byteLength says 112");
    test_bytes_free(&b);
    test_bytes_free(&bin);
}

/* ---- writing ---------------------------------------------------------------------------- */

static void round_trip_is_identity(void **state)
{
    (void)state;
    const struct gs_scene_diff rounding = {.alpha = 1e-6, .scale = 2e-6, .rotation = 0};
    for (int degree = 0; degree <= 3; degree++) {
        struct gs_scene s = test_scene(1500, degree, (uint64_t)degree + 50), once, twice;
        const char *path = test_tmp_path("trip.glb");
        assert_ok(gs_scene_save(&s, path, NULL));
        assert_ok(gs_scene_load(&once, path, NULL));
        assert_near_scene(&once, &s, &rounding);
        for (size_t i = 0; i < 4 * s.count; i++) /* not only the same turn */
            assert_near(once.rotation[i], s.rotation[i], 0);
        assert_ok(gs_scene_save(&once, path, NULL));
        assert_ok(gs_scene_load(&twice, path, NULL));
        assert_near_scene(&twice, &once, &rounding);
        gs_scene_finish(&s);
        gs_scene_finish(&once);
        gs_scene_finish(&twice);
    }
}

/* Reads an attribute of st.glb and of ours through the same reader: equal to the last bit means
 * equal files but for JSON; splat-transform wrote it from the same scene. */
static void writes_the_numbers_of_the_reference(void **state)
{
    (void)state;
    struct gs_scene s, ours, theirs;
    if (!test_golden("03_formats/garden500_sh3/st.glb"))
        skip();
    const char *path = test_tmp_path("ours.glb");
    assert_ok(gs_scene_load(&s, test_golden("03_formats/garden500_sh3/scene.ply"), NULL));
    assert_ok(gs_scene_save(&s, path, NULL));
    assert_ok(gs_scene_load(&ours, path, NULL));
    assert_ok(gs_scene_load(&theirs, test_golden("03_formats/garden500_sh3/st.glb"), NULL));
    const struct gs_scene_diff rounding = {.alpha = 1e-7, .scale = 3e-7};
    assert_near_scene(&ours, &theirs, &rounding);
    gs_scene_finish(&s);
    gs_scene_finish(&ours);
    gs_scene_finish(&theirs);
}

static void writes_a_valid_container(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(3, 1, 9);
    s.sh[0] = s.sh[1] = s.sh[2] = 0;
    s.opacity[0] = INFINITY;
    const char *path = test_tmp_path("valid.glb");
    size_t size;
    assert_ok(gs_scene_save(&s, path, NULL));
    uint8_t *b = test_read_file(path, &size);
    uint32_t total, json, bin;
    memcpy(&total, b + 8, 4);
    memcpy(&json, b + 12, 4);
    memcpy(&bin, b + 20 + json, 4);
    assert_int_equal(total, size);
    assert_int_equal(json % 4, 0);
    assert_int_equal(28 + json + bin, size);
    assert_int_equal(bin, 3 * (12 + 4 + 16 + 12 + 4 + 4 * 12));
    assert_memory_equal(b + 24 + json, "BIN", 4);
    /* COLOR_0 is linear: 0.5 is byte 55; alpha 1 */
    assert_memory_equal(b + 28 + json + 36, "\x37\x37\x37\xff", 4);
    free(b);
    gs_scene_finish(&s);
}

static void refuses_empty_and_huge_scenes(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(1, 3, 9);
    s.count = 0;
    assert_fails(gs_scene_save(&s, test_tmp_path("no.glb"), NULL), FV_EINVALID, "0 Gaussians");
    struct fv_writer w;
    assert_ok(fv_writer_open(&w, test_tmp_path("no.glb")));
    s.count = 20000000; /* refused before a row is touched */
    assert_fails(gs_write_glb(&s, &w, NULL), FV_EINVALID, "20000000 Gaussians");
    fv_writer_abort(&w);
    s.count = 1;
    gs_scene_finish(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_floats),
        cmocka_unit_test(sparse_accessors),
        cmocka_unit_test(matches_golden),
        cmocka_unit_test(interleaved_attributes),
        cmocka_unit_test(integer_components),
        cmocka_unit_test(logarithmic_scales_of_drafts),
        cmocka_unit_test(linear_colours_are_said),
        cmocka_unit_test(opacity_is_clamped),
        cmocka_unit_test(reads_conformance_matrix_values),
        cmocka_unit_test(reads_gltf_with_data_uri),
        cmocka_unit_test(reads_gltf_with_a_file_beside_it),
        cmocka_unit_test(node_transforms),
        cmocka_unit_test(stretched_nodes),
        cmocka_unit_test(stretches_flat_gaussians),
        cmocka_unit_test(parents_apply_and_instances_repeat),
        cmocka_unit_test(document_without_scenes_shows_its_roots),
        cmocka_unit_test(primitives_of_other_degrees_merge),
        cmocka_unit_test(rejects_bad_documents),
        cmocka_unit_test(rejects_instance_bombs),
        cmocka_unit_test(rejects_deep_nodes),
        cmocka_unit_test(rejects_damaged_containers),
        cmocka_unit_test(round_trip_is_identity),
        cmocka_unit_test(writes_the_numbers_of_the_reference),
        cmocka_unit_test(writes_a_valid_container),
        cmocka_unit_test(refuses_empty_and_huge_scenes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

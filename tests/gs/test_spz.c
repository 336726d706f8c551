/* gs/spz.c, gs/spz_write.c: SPZ 1 to 4. */
#include "support/scene.h"
#include "gs/scene.h"
#include "gs/spz.h"

#include <zlib.h>
#include <zstd.h>

/* ---- building files --------------------------------------------------------------------- */

static void put32(struct test_bytes *b, uint32_t v)
{
    test_put(b, (uint8_t[]){(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)},
             4);
}

static void put64(struct test_bytes *b, uint64_t v)
{
    put32(b, (uint32_t)v);
    put32(b, (uint32_t)(v >> 32));
}

struct header {
    uint32_t version, count, degree, fraction_bits, flags;
};

static void put_header(struct test_bytes *b, const struct header *h, uint8_t last)
{
    put32(b, SPZ_MAGIC);
    put32(b, h->version);
    put32(b, h->count);
    test_put(b, (uint8_t[]){(uint8_t)h->degree, (uint8_t)h->fraction_bits, (uint8_t)h->flags, last},
             4);
}

/* size bytes of an attribute; `fill` in each. */
static void put_fill(struct test_bytes *b, size_t size, uint8_t fill)
{
    for (size_t i = 0; i < size; i++)
        test_put(b, &fill, 1);
}

static struct test_bytes gzip(const struct test_bytes *plain)
{
    struct test_bytes b = {0};
    uLong room = compressBound((uLong)plain->size) + 64;
    uint8_t *out = malloc(room);
    z_stream z = {.next_in = plain->data,
                  .avail_in = (uInt)plain->size,
                  .next_out = out,
                  .avail_out = (uInt)room};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    test_put(&b, out, room - z.avail_out);
    deflateEnd(&z);
    free(out);
    return b;
}

static struct test_bytes gunzip(const uint8_t *data, size_t size)
{
    struct test_bytes b = {0};
    uint8_t out[4096];
    int rc = Z_OK;
    z_stream z = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)size};
    assert_int_equal(inflateInit2(&z, 16 + MAX_WBITS), Z_OK);
    while (rc == Z_OK) {
        z.next_out = out;
        z.avail_out = sizeof out;
        rc = inflate(&z, Z_NO_FLUSH);
        test_put(&b, out, sizeof out - z.avail_out);
    }
    assert_int_equal(rc, Z_STREAM_END);
    inflateEnd(&z);
    return b;
}

/* A version 1-3 file with every attribute byte `fill`, `missing` bytes short, then `tail`. */
static struct test_bytes legacy(const struct header *h, uint8_t fill, size_t missing,
                                const struct test_bytes *tail)
{
    struct test_bytes plain = {0};
    put_header(&plain, h, 0);
    size_t need = 0;
    for (int k = 0; k < SPZ_STREAMS; k++)
        need += h->count * spz_stride(k, h->version, (int)h->degree);
    put_fill(&plain, need - missing, fill);
    if (tail)
        test_put(&plain, tail->data, tail->size);
    struct test_bytes b = gzip(&plain);
    test_bytes_free(&plain);
    return b;
}

/* What a version 4 file may have wrong. */
struct lies {
    int streams;          /* added to their number */
    int unpacked, packed; /* added to sizes of stream 0 in the table */
    int content;          /* bytes more in stream 0 than the count needs */
    uint32_t table;       /* its offset; 0 = the right one */
    const struct test_bytes *extensions;
    bool garbage; /* stream 0 is no ZSTD */
};

static struct test_bytes version4(const struct header *h, const struct lies *lies)
{
    struct test_bytes b = {0}, table = {0}, body = {0};
    int streams = h->degree ? SPZ_STREAMS : SPZ_STREAMS - 1;
    for (int k = 0; k < streams; k++) {
        size_t size = h->count * spz_stride(k, 4, (int)h->degree), extra = 0;
        if (k == 0 && lies->content)
            extra = (size_t)lies->content;
        uint8_t *raw = calloc(1, size + extra), *packed = malloc(ZSTD_compressBound(size + extra));
        size_t n = ZSTD_compress(packed, ZSTD_compressBound(size + extra), raw, size + extra, 1);
        if (k == 0 && lies->garbage)
            memset(packed, 'x', n);
        put64(&table, n + (uint64_t)(k ? 0 : lies->packed));
        put64(&table, size + (uint64_t)(k ? 0 : lies->unpacked));
        test_put(&body, packed, n);
        free(raw);
        free(packed);
    }
    uint32_t ext = lies->extensions ? (uint32_t)lies->extensions->size : 0;
    put_header(&b, h, (uint8_t)(streams + lies->streams));
    put32(&b, lies->table ? lies->table : SPZ_HEADER_V4 + ext);
    put_fill(&b, 12, 0);
    if (ext)
        test_put(&b, lies->extensions->data, ext);
    test_put(&b, table.data, table.size);
    test_put(&b, body.data, body.size);
    test_bytes_free(&table);
    test_bytes_free(&body);
    return b;
}

static void refuse(struct test_bytes b, int code, const char *part)
{
    struct gs_scene s;
    assert_fails(gs_read_spz(&s, b.data, b.size, "bad.spz", NULL), code, part);
    assert_non_null(strstr(fv_error(), "bad.spz"));
    assert_null(s.position);
    test_bytes_free(&b);
}

static struct gs_scene read_bytes(struct test_bytes b, const struct gs_load_opts *opts)
{
    struct gs_scene s;
    assert_ok(gs_read_spz(&s, b.data, b.size, "a.spz", opts));
    test_bytes_free(&b);
    return s;
}

static const struct header three = {3, 2, 0, 12, 0};

/* ---- decoding --------------------------------------------------------------------------- */

static void decodes_known_bytes(void **state)
{
    (void)state;
    for (uint32_t version = 1; version <= 3; version++) {
        struct test_bytes plain = {0};
        put_header(&plain, &(struct header){version, 1, 1, 8, 0}, 0);
        if (version == 1) /* halfs 1, -2, 0.5 */
            test_put(&plain, "\x00\x3c\x00\xc0\x00\x38", 6);
        else /* 256, -512, 128 of 256ths */
            test_put(&plain, "\x00\x01\x00\x00\xfe\xff\x80\x00\x00", 9);
        test_put(&plain, "\x80\xff\x00\x80\xa0\x00\xff", 7); /* alpha; color; scale */
        if (version < 3)                                     /* x,y,z = 0, about 0.6, 0 */
            test_put(&plain, "\x80\xcc\x7f", 3);
        else /* largest y: x,z,w = 0, -1/sqrt2 * 255/511, 1/sqrt2 * 511/511 */
            put32(&plain, 1u << 30 | (512u | 255u) << 10 | 511u);
        test_put(&plain, "\x80\xc0\x40\xff\x00\x80\x80\x90\x70", 9);
        struct test_bytes b = gzip(&plain);
        test_bytes_free(&plain);
        struct gs_scene s = read_bytes(b, NULL);
        assert_int_equal(s.sh_degree, 1);
        assert_near(s.position[0], 1, 0);
        assert_near(s.position[1], 2, 0);
        assert_near(s.position[2], -0.5, 0);
        assert_near(s.opacity[0], log(128.0 / 127), 1e-6);
        assert_near(s.sh[0], 0.5 / 0.15, 1e-6);
        assert_near(s.sh[1], -0.5 / 0.15, 1e-6);
        assert_near(s.scale[0], 0, 0);
        assert_near(s.scale[1], -10, 0);
        assert_near(s.scale[2], 15.9375 - 10, 0);
        const float *q = s.rotation;
        if (version < 3) {
            assert_near(q[2], -0.6, 1e-6);
            assert_near(q[0], 0.8, 1e-4);
        } else {
            assert_near(q[0], M_SQRT1_2, 1e-6);
            assert_near(q[1], 0, 0);
            assert_near(q[3], M_SQRT1_2 * 255 / 511, 1e-6); /* z stays negative: x,y flip pair */
            assert_near(q[0] * q[0] + q[2] * q[2] + q[3] * q[3], 1, 1e-6);
        }
        /* band 1: -y, z, -x; y and z change sign */
        assert_near(s.sh[3], 0, 0);
        assert_near(s.sh[4], -0.5, 0);
        assert_near(s.sh[5], 0.5, 0);
        assert_near(s.sh[6], -127.0 / 128, 0);
        assert_near(s.sh[10], 0.125, 0);
        gs_scene_finish(&s);
    }
}

static void matches_golden(void **state)
{
    (void)state;
    /* rotations of version 2: w comes out of a difference, the reference computes in floats */
    const struct gs_scene_diff exact = {.alpha = 1e-6, .rotation = 1e-6};
    int found = test_golden_cases("st_v3.spz", "decoded_st_spz_v3.ply", &exact);
    found += test_golden_cases("st_v4.spz", "decoded_st_spz_v4.ply", &exact);
    found += test_golden_decodes("garden500_sh3", "niantic_v3_rdf.spz",
                                 "decoded_niantic_v3_rdf_to_rdf.ply", &exact);
    assert_true(found > 0);
}

/* These were made and decoded with coordinates as they were. */
static void matches_golden_with_raw_axes(void **state)
{
    (void)state;
    static const struct {
        const char *folder, *encoded, *decoded;
    } cases[] = {
        {"garden150_sh0", "niantic_v3.spz", "decoded_niantic_v3.ply"},
        {"garden150_sh1", "niantic_v3.spz", "decoded_niantic_v3.ply"},
        {"garden150_sh2", "niantic_v3.spz", "decoded_niantic_v3.ply"},
        {"garden500_sh3", "niantic_v2.spz", "decoded_niantic_v2.ply"},
        {"garden500_sh3", "niantic_v3.spz", "decoded_niantic_v3.ply"},
        {"garden500_sh3", "niantic_v4.spz", "decoded_niantic_v4.ply"},
        {"garden500_sh3", "niantic_v3_rdf.spz", "decoded_niantic_v3_rdf_raw.ply"},
    };
    const struct gs_scene_diff exact = {.alpha = 1e-6, .rotation = 1e-6};
    const struct gs_load_opts raw = {.spz_raw_axes = true};
    int found = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char a[256], b[256];
        struct gs_scene x, y;
        snprintf(a, sizeof a, "03_formats/%s/%s", cases[i].folder, cases[i].encoded);
        snprintf(b, sizeof b, "03_formats/%s/%s", cases[i].folder, cases[i].decoded);
        if (!test_golden(a) || !test_golden(b))
            continue;
        assert_ok(gs_scene_load(&x, test_golden(a), &raw));
        assert_ok(gs_scene_load(&y, test_golden(b), NULL));
        assert_near_scene(&x, &y, &exact);
        gs_scene_finish(&x);
        gs_scene_finish(&y);
        found++;
    }
    assert_true(found > 0);
}

static void reads_arrays_that_are_not_compressed(void **state)
{
    (void)state;
    struct test_bytes packed = legacy(&three, 0x33, 0, NULL);
    struct test_bytes plain = gunzip(packed.data, packed.size);
    struct gs_scene a = read_bytes(packed, NULL), b = read_bytes(plain, NULL);
    assert_same_scene(&a, &b);
    gs_scene_finish(&a);
    gs_scene_finish(&b);
}

static void fourth_band_is_left_out(void **state)
{
    (void)state;
    struct gs_scene s = read_bytes(legacy(&(struct header){3, 3, 4, 12, 0}, 0xa0, 0, NULL), NULL);
    assert_int_equal(s.sh_degree, 3);
    assert_non_null(strstr(s.detail, "SH cut from 4"));
    for (int k = 1; k < 16; k++)
        assert_near(fabs((double)s.sh[(2 * 16 + k) * 3]), 0.25, 0);
    gs_scene_finish(&s);
}

static void flag_becomes_the_mode(void **state)
{
    (void)state;
    struct gs_scene s =
        read_bytes(legacy(&(struct header){2, 1, 0, 12, SPZ_FLAG_ANTIALIASED}, 1, 0, NULL), NULL);
    assert_int_equal(s.mode, GS_MODE_ANTIALIASED);
    gs_scene_finish(&s);
    s = read_bytes(legacy(&three, 1, 0, NULL), NULL);
    assert_int_equal(s.mode, GS_MODE_AUTO);
    gs_scene_finish(&s);
}

/* ---- extensions ------------------------------------------------------------------------- */

static struct test_bytes extension(uint32_t type, uint32_t length, const void *payload, size_t have)
{
    struct test_bytes b = {0};
    put32(&b, type);
    put32(&b, length);
    test_put(&b, payload, have);
    return b;
}

/* Bytes of a saved scene; version 4 gets an extension record put before the table. */
static struct test_bytes saved(const struct gs_scene *s, int version, const struct test_bytes *ext)
{
    const char *path = test_tmp_path("axes.spz");
    struct test_bytes b = {0};
    size_t size;
    assert_ok(gs_scene_save(s, path, &(struct gs_save_opts){.spz_version = version}));
    uint8_t *data = test_read_file(path, &size);
    if (ext) {
        data[14] |= SPZ_FLAG_EXTENSIONS;
        data[16] = (uint8_t)(SPZ_HEADER_V4 + ext->size);
        test_put(&b, data, SPZ_HEADER_V4);
        test_put(&b, ext->data, ext->size);
        test_put(&b, data + SPZ_HEADER_V4, size - SPZ_HEADER_V4);
    } else {
        test_put(&b, data, size);
    }
    free(data);
    return b;
}

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
    for (int a = 0; a < 3; a++)
        for (int b = 0; b < 3; b++) {
            out[3 * a + b] = 0;
            for (int k = 0; k < 3; k++)
                out[3 * a + b] +=
                    r[3 * a + k] * r[3 * b + k] * exp(2 * (double)s->scale[3 * i + (size_t)k]);
        }
}

/* Red of Gaussian i seen along d: the real spherical harmonics, from the formula. */
static double red(const struct gs_scene *s, size_t i, const double d[3])
{
    double x = d[0], y = d[1], z = d[2], xx = x * x, yy = y * y, zz = z * z;
    const double basis[16] = {0.28209479177387814,
                              -0.4886025119029199 * y,
                              0.4886025119029199 * z,
                              -0.4886025119029199 * x,
                              1.0925484305920792 * x * y,
                              -1.0925484305920792 * y * z,
                              0.31539156525252005 * (2 * zz - xx - yy),
                              -1.0925484305920792 * x * z,
                              0.5462742152960396 * (xx - yy),
                              -0.5900435899266435 * y * (3 * xx - yy),
                              2.890611442640554 * x * y * z,
                              -0.4570457994644658 * y * (4 * zz - xx - yy),
                              0.3731763325901154 * z * (2 * zz - 3 * xx - 3 * yy),
                              -0.4570457994644658 * x * (4 * zz - xx - yy),
                              1.445305721320277 * z * (xx - yy),
                              -0.5900435899266435 * x * (xx - 3 * yy)};
    double sum = 0;
    for (int k = 0; k < gs_sh_coefs(s->sh_degree); k++)
        sum += basis[k] * (double)s->sh[(i * (size_t)gs_sh_coefs(s->sh_degree) + (size_t)k) * 3];
    return sum;
}

/* Every coordinate system of the extension: stored numbers p and the same scene in the .ply's
 * frame must be related by the axes' names, for positions, covariances and colours alike. */
static void turns_every_coordinate_system(void **state)
{
    (void)state;
    static const char *const names[17] = {"RUB", "LDB", "RDB", "LUB", "RUB", "LDF",
                                          "RDF", "LUF", "RUF", "LFD", "RFD", "LFU",
                                          "RFU", "LBD", "RBD", "LBU", "RBU"};
    static const char ahead[] = "RDF", behind[] = "LUB";
    struct gs_scene s = test_scene(20, 3, 11);
    for (uint32_t axes = 0; axes <= 16; axes++) {
        uint8_t payload[4] = {(uint8_t)axes};
        struct test_bytes ext = extension(0xADBE0003u, 4, payload, 4);
        struct gs_scene stored =
            read_bytes(saved(&s, 4, &ext), &(struct gs_load_opts){.spz_raw_axes = true});
        struct gs_scene got = read_bytes(saved(&s, 4, &ext), NULL);
        test_bytes_free(&ext);
        double m[9] = {0}; /* stored axis k points along +-(right, down, forward) */
        for (int k = 0; k < 3; k++)
            for (int a = 0; a < 3; a++)
                m[3 * a + k] = names[axes][k] == ahead[a]    ? 1
                               : names[axes][k] == behind[a] ? -1
                                                             : 0;
        for (size_t i = 0; i < s.count; i++) {
            double c[9], want[9], d[3] = {0.48, 0.6, 0.64}, turned[3] = {0};
            covariance(&stored, i, c);
            covariance(&got, i, want);
            for (int a = 0; a < 3; a++) {
                double p = 0;
                for (int k = 0; k < 3; k++) {
                    p += m[3 * a + k] * (double)stored.position[3 * i + (size_t)k];
                    turned[a] += m[3 * a + k] * d[k];
                }
                assert_near(got.position[3 * i + (size_t)a], p, 1e-6);
                for (int b = 0; b < 3; b++) {
                    double v = 0;
                    for (int k = 0; k < 9; k++)
                        v += m[3 * a + k / 3] * c[k] * m[3 * b + k % 3];
                    assert_near(want[3 * a + b], v, 1e-6);
                }
            }
            assert_near(red(&got, i, turned), red(&stored, i, d), 1e-5);
        }
        gs_scene_finish(&stored);
        gs_scene_finish(&got);
    }
    gs_scene_finish(&s);
}

static void skips_other_extensions(void **state)
{
    (void)state;
    struct test_bytes records = {0}, e = extension(0x12340001u, 3, "abc", 3);
    test_put(&records, e.data, e.size);
    test_bytes_free(&e);
    e = extension(0xADBE0002u, 12, "............", 12);
    test_put(&records, e.data, e.size);
    test_bytes_free(&e);
    e = extension(0xADBE0003u, 4, "\6\0\0\0", 4); /* right-down-forward */
    test_put(&records, e.data, e.size);
    test_bytes_free(&e);
    struct header h = {3, 2, 0, 12, SPZ_FLAG_EXTENSIONS};
    struct gs_scene s = read_bytes(legacy(&h, 0x11, 0, &records), NULL);
    assert_true(s.position[1] > 0 && s.position[2] > 0); /* not turned */
    gs_scene_finish(&s);
    h.version = 4;
    s = read_bytes(version4(&h, &(struct lies){.extensions = &records}), NULL);
    assert_int_equal(s.count, 2);
    gs_scene_finish(&s);
    test_bytes_free(&records);
}

static void rejects_bad_extensions(void **state)
{
    (void)state;
    static const struct {
        uint32_t type, length;
        const char *payload;
        size_t have;
        int code;
        const char *part;
    } cases[] = {
        {0x12340001u, 100, "abc", 3, FV_EFORMAT, "cut short"},
        {0x12340001u, UINT32_MAX, "abc", 3, FV_EFORMAT, "cut short"},
        {0xADBE0002u, 4, "abcd", 4, FV_EFORMAT, "safe-orbit"},
        {0xADBE0003u, 4, "\x11\0\0\0", 4, FV_EUNSUPPORTED, "says 17"},
        {0xADBE0003u, 2, "\1\0", 2, FV_EUNSUPPORTED, "coordinate-system"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct test_bytes e =
            extension(cases[i].type, cases[i].length, cases[i].payload, cases[i].have);
        struct header h = {3, 2, 0, 12, SPZ_FLAG_EXTENSIONS};
        refuse(legacy(&h, 0, 0, &e), cases[i].code, cases[i].part);
        h.version = 4;
        refuse(version4(&h, &(struct lies){.extensions = &e}), cases[i].code, cases[i].part);
        test_bytes_free(&e);
    }
}

/* ---- damage ----------------------------------------------------------------------------- */

static void rejects_bad_headers(void **state)
{
    (void)state;
    struct header h = three;
    refuse(legacy(&(struct header){0, 1, 0, 12, 0}, 0, 0, NULL), FV_EUNSUPPORTED, "version 0");
    refuse(legacy(&(struct header){4, 1, 0, 12, 0}, 0, 0, NULL), FV_EFORMAT, "inside gzip");
    refuse(version4(&(struct header){5, 1, 0, 12, 0}, &(struct lies){0}), FV_EUNSUPPORTED,
           "version 5");
    h.degree = 5;
    refuse(legacy(&h, 0, 0, NULL), FV_EFORMAT, "SH degree 5");
    h = three;
    h.fraction_bits = 25;
    refuse(legacy(&h, 0, 0, NULL), FV_EFORMAT, "25 fraction bits");
    h = three;
    h.count = 0;
    refuse(legacy(&h, 0, 0, NULL), FV_EFORMAT, "point count is 0");
    struct test_bytes plain = {0}, b;
    test_putf(&plain, "this is not what you think it is");
    b = gzip(&plain);
    refuse(b, FV_EFORMAT, "magic");
    refuse(plain, FV_EFORMAT, "magic");
}

static void rejects_truncated_gzip(void **state)
{
    (void)state;
    struct test_bytes b = legacy(&(struct header){3, 50, 1, 12, 0}, 0x5a, 0, NULL);
    for (size_t n = 0; n < b.size; n++) {
        uint8_t *copy = malloc(n ? n : 1);
        struct gs_scene s;
        memcpy(copy, b.data, n);
        assert_fails(gs_read_spz(&s, copy, n, "a.spz", NULL), FV_EFORMAT, "cut short");
        free(copy);
    }
    test_bytes_free(&b);
}

static void rejects_damaged_gzip(void **state)
{
    (void)state;
    struct test_bytes b = legacy(&(struct header){3, 50, 1, 12, 0}, 0x5a, 0, NULL);
    b.data[b.size - 6] ^= 1; /* the checksum */
    refuse(b, FV_EFORMAT, "damaged");
}

static void rejects_fewer_points_than_counted(void **state)
{
    (void)state;
    refuse(legacy(&three, 0, 1, NULL), FV_EFORMAT, "is cut short: 2 points take 40");
    struct test_bytes plain = {0};
    put_header(&plain, &(struct header){3, 1000000, 3, 12, 0}, 0);
    refuse(gzip(&plain), FV_EFORMAT, "1000000 points take");
    test_bytes_free(&plain);
}

static void rejects_counts_no_file_can_hold(void **state)
{
    (void)state;
    struct test_bytes plain = {0};
    put_header(&plain, &(struct header){2, UINT32_MAX, 3, 12, 0}, 0);
    put_fill(&plain, 1000, 0);
    refuse(gzip(&plain), FV_EFORMAT, "point count 4294967295 is more than");
    test_bytes_free(&plain);
    put_header(&plain, &(struct header){4, 0x7fffffff, 3, 12, 0}, 6);
    put_fill(&plain, 100, 0);
    refuse(plain, FV_EFORMAT, "point count 2147483647 is more than");
}

/* 100 MB of zeros behind a header of one point. */
static void rejects_gzip_bomb(void **state)
{
    (void)state;
    struct test_bytes plain = {0};
    plain.data = calloc(1, 100 << 20);
    plain.size = 100 << 20;
    struct test_bytes head = {0};
    put_header(&head, &(struct header){3, 1, 0, 12, 0}, 0);
    memcpy(plain.data, head.data, head.size);
    refuse(gzip(&plain), FV_EFORMAT, "bytes follow the 1 points");
    test_bytes_free(&head);
    test_bytes_free(&plain);
}

static void rejects_table_of_streams_that_lies(void **state)
{
    (void)state;
    struct header h = {4, 100, 1, 12, 0};
    const struct {
        struct lies lies;
        const char *part;
    } cases[] = {
        {{.streams = 1}, "7 streams; SH degree 1 has 6"},
        {{.streams = -1}, "5 streams; SH degree 1 has 6"},
        {{.unpacked = 1}, "stream 0 of 901 bytes"},
        {{.unpacked = -900}, "stream 0 of 0 bytes"},
        {{.packed = 100000}, "ends beyond the file"},
        {{.packed = -1}, "stream "},
        {{.content = 9}, "not a ZSTD frame of 900"},
        {{.garbage = true}, "not a ZSTD frame"},
        {{.table = 31}, "table of streams at byte 31"},
        {{.table = 0x7fffffff}, "table of streams at byte 2147483647"},
        {{.table = 33}, "stream 0 of"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuse(version4(&h, &cases[i].lies), FV_EFORMAT, cases[i].part);
}

static void rejects_truncated_version_4(void **state)
{
    (void)state;
    struct test_bytes b = version4(&(struct header){4, 20, 2, 12, 0}, &(struct lies){0});
    for (size_t n = 0; n < b.size; n++) {
        uint8_t *copy = malloc(n ? n : 1);
        struct gs_scene s;
        memcpy(copy, b.data, n);
        assert_int_equal(gs_read_spz(&s, copy, n, "a.spz", NULL), FV_EFORMAT);
        free(copy);
    }
    test_bytes_free(&b);
}

/* ---- writing ---------------------------------------------------------------------------- */

static struct gs_scene golden_scene(const char *folder)
{
    char path[128];
    struct gs_scene s = {0};
    snprintf(path, sizeof path, "03_formats/%s/scene.ply", folder);
    if (test_golden(path))
        assert_ok(gs_scene_load(&s, test_golden(path), NULL));
    return s;
}

/* splat-transform wrote these from the same scene with Niantic's library. */
static void writes_the_bytes_of_the_reference(void **state)
{
    (void)state;
    static const char *const folders[] = {"garden150_sh0", "garden150_sh1", "garden150_sh2",
                                          "garden500_sh3"};
    int found = 0;
    for (size_t i = 0; i < 4; i++) {
        struct gs_scene s = golden_scene(folders[i]);
        char path[128];
        size_t size;
        snprintf(path, sizeof path, "03_formats/%s/st_v3.spz", folders[i]);
        if (!s.count || !test_golden(path)) {
            gs_scene_finish(&s);
            continue;
        }
        struct test_bytes ours = saved(&s, 3, NULL), got = gunzip(ours.data, ours.size);
        uint8_t *theirs = test_read_file(test_golden(path), &size);
        struct test_bytes want = gunzip(theirs, size);
        assert_int_equal(got.size, want.size);
        assert_memory_equal(got.data, want.data, want.size);
        free(theirs);
        test_bytes_free(&ours);
        test_bytes_free(&got);
        test_bytes_free(&want);
        gs_scene_finish(&s);
        found++;
    }
    assert_true(found > 0);
}

static void second_trip_changes_nothing(void **state)
{
    (void)state;
    const struct gs_scene_diff nothing = {0};
    for (int version = 2; version <= 4; version++)
        for (int degree = 0; degree <= 3; degree++) {
            struct gs_scene s = test_scene(3000, degree, (uint64_t)(10 * version + degree));
            s.mode = degree & 1 ? GS_MODE_ANTIALIASED : GS_MODE_AUTO;
            struct gs_scene once = read_bytes(saved(&s, version, NULL), NULL);
            struct gs_scene twice = read_bytes(saved(&once, version, NULL), NULL);
            assert_near_scene(&twice, &once, &nothing);
            assert_int_equal(twice.mode, s.mode);
            const struct gs_scene_diff step = {.position = 0.51 / 4096,
                                               .alpha = 0.51 / 255,
                                               .scale = 0.51 / 16,
                                               .rotation = version == 2 ? 0.06 : 2.0 / 511,
                                               .dc = 0.51 / 255 / 0.15,
                                               .rest = 1}; /* stored within -1..1 */
            assert_near_scene(&once, &s, &step);
            gs_scene_finish(&twice);
            gs_scene_finish(&once);
            gs_scene_finish(&s);
        }
}

static void large_scenes_get_fewer_fraction_bits(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(10, 0, 4);
    s.position[7] = -123456;
    struct gs_scene got = read_bytes(saved(&s, 3, NULL), NULL);
    assert_near(got.position[7], -123456, 1.0 / 64);
    gs_scene_finish(&got);
    s.position[7] = 9e6f;
    assert_fails(gs_scene_save(&s, test_tmp_path("far.spz"), NULL), FV_EUNSUPPORTED,
                 "positions reach 9e+06");
    gs_scene_finish(&s);
}

static void extremes_are_clamped(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(2, 1, 4);
    s.opacity[0] = INFINITY;
    s.opacity[1] = -INFINITY;
    s.scale[0] = -INFINITY;
    s.scale[1] = 100;
    s.sh[0] = 1e30f;
    s.sh[1] = -1e30f;
    s.sh[3] = 1e30f;
    struct gs_scene got = read_bytes(saved(&s, 3, NULL), NULL);
    assert_true(got.opacity[0] == INFINITY && got.opacity[1] == -INFINITY);
    assert_near(got.scale[0], -10, 0);
    assert_near(got.scale[1], 5.9375, 0);
    assert_near(got.sh[0], 0.5 / 0.15, 1e-6);
    assert_near(got.sh[1], -0.5 / 0.15, 1e-6);
    assert_true(fabsf(got.sh[3]) >= 0.9f);
    gs_scene_finish(&got);
    gs_scene_finish(&s);
}

static void refuses_what_it_cannot_write(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(1, 0, 4);
    const char *path = test_tmp_path("no.spz");
    assert_fails(gs_scene_save(&s, path, &(struct gs_save_opts){.spz_version = 1}), FV_EINVALID,
                 "SPZ version 1");
    assert_fails(gs_scene_save(&s, path, &(struct gs_save_opts){.spz_version = 5}), FV_EINVALID,
                 "SPZ version 5");
    s.count = 0;
    assert_fails(gs_scene_save(&s, path, NULL), FV_EINVALID, "0 Gaussians");
    gs_scene_finish(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_known_bytes),
        cmocka_unit_test(matches_golden),
        cmocka_unit_test(matches_golden_with_raw_axes),
        cmocka_unit_test(reads_arrays_that_are_not_compressed),
        cmocka_unit_test(fourth_band_is_left_out),
        cmocka_unit_test(flag_becomes_the_mode),
        cmocka_unit_test(turns_every_coordinate_system),
        cmocka_unit_test(skips_other_extensions),
        cmocka_unit_test(rejects_bad_extensions),
        cmocka_unit_test(rejects_bad_headers),
        cmocka_unit_test(rejects_truncated_gzip),
        cmocka_unit_test(rejects_damaged_gzip),
        cmocka_unit_test(rejects_fewer_points_than_counted),
        cmocka_unit_test(rejects_counts_no_file_can_hold),
        cmocka_unit_test(rejects_gzip_bomb),
        cmocka_unit_test(rejects_table_of_streams_that_lies),
        cmocka_unit_test(rejects_truncated_version_4),
        cmocka_unit_test(writes_the_bytes_of_the_reference),
        cmocka_unit_test(second_trip_changes_nothing),
        cmocka_unit_test(large_scenes_get_fewer_fraction_bits),
        cmocka_unit_test(extremes_are_clamped),
        cmocka_unit_test(refuses_what_it_cannot_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

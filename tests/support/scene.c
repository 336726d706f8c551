/* Helpers of tests/support/scene.h. */
#include "support/scene.h"

void test_put(struct test_bytes *b, const void *data, size_t size)
{
    if (b->size + size + 1 > b->room) {
        b->room = 2 * (b->size + size + 1);
        b->data = realloc(b->data, b->room);
        assert_non_null(b->data);
    }
    if (size)
        memcpy(b->data + b->size, data, size);
    b->size += size;
}

void test_putf(struct test_bytes *b, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    assert_true(n >= 0 && n < (int)sizeof text);
    test_put(b, text, (size_t)n);
}

void test_bytes_free(struct test_bytes *b)
{
    free(b->data);
    *b = (struct test_bytes){0};
}

const uint8_t *test_bytes_exact(const struct test_bytes *b)
{
    static uint8_t *copy;
    free(copy);
    copy = malloc(b->size ? b->size : 1);
    assert_non_null(copy);
    if (b->size)
        memcpy(copy, b->data, b->size);
    return copy;
}

struct gs_scene test_scene(size_t count, int sh_degree, uint64_t seed)
{
    struct gs_scene s;
    assert_ok(gs_scene_alloc(&s, count, sh_degree));
    size_t coefs = (size_t)gs_sh_coefs(sh_degree);
    for (size_t i = 0; i < count; i++) {
        for (int k = 0; k < 3; k++) {
            s.position[3 * i + k] = (float)test_uniform(&seed, -3, 3);
            s.scale[3 * i + k] = (float)test_uniform(&seed, -8, 0);
        }
        for (int k = 0; k < 4; k++)
            s.rotation[4 * i + k] = (float)test_uniform(&seed, -2, 2);
        s.opacity[i] = (float)test_uniform(&seed, -6, 6);
        for (size_t k = 0; k < 3 * coefs; k++)
            s.sh[i * 3 * coefs + k] = (float)test_uniform(&seed, -1.5, 1.5);
    }
    return s;
}

static void assert_same_floats(const char *what, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(a + i, b + i, sizeof *a))
            fail_msg("%s[%zu]: %.9g, expected %.9g", what, i, (double)a[i], (double)b[i]);
}

void test_scene_copy(struct gs_scene *to, const struct gs_scene *from)
{
    size_t n = from->count, sh = n * 3 * (size_t)gs_sh_coefs(from->sh_degree);
    assert_ok(gs_scene_alloc(to, n, from->sh_degree));
    memcpy(to->position, from->position, n * 12);
    memcpy(to->scale, from->scale, n * 12);
    memcpy(to->rotation, from->rotation, n * 16);
    memcpy(to->opacity, from->opacity, n * 4);
    memcpy(to->sh, from->sh, sh * 4);
}

bool test_scene_equal(const struct gs_scene *a, const struct gs_scene *b)
{
    size_t n = a->count, sh = n * 3 * (size_t)gs_sh_coefs(a->sh_degree);
    return n == b->count && a->sh_degree == b->sh_degree &&
           !memcmp(a->position, b->position, n * 12) && !memcmp(a->scale, b->scale, n * 12) &&
           !memcmp(a->rotation, b->rotation, n * 16) && !memcmp(a->opacity, b->opacity, n * 4) &&
           !memcmp(a->sh, b->sh, sh * 4);
}

void assert_same_scene(const struct gs_scene *a, const struct gs_scene *b)
{
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->sh_degree, b->sh_degree);
    assert_same_floats("position", a->position, b->position, 3 * a->count);
    assert_same_floats("scale", a->scale, b->scale, 3 * a->count);
    assert_same_floats("rotation", a->rotation, b->rotation, 4 * a->count);
    assert_same_floats("opacity", a->opacity, b->opacity, a->count);
    assert_same_floats("sh", a->sh, b->sh, 3 * a->count * (size_t)gs_sh_coefs(a->sh_degree));
}

void assert_near_scene(const struct gs_scene *a, const struct gs_scene *b,
                       const struct gs_scene_diff *tolerance)
{
    struct gs_scene_diff d;
    assert_ok(gs_scene_compare(a, b, tolerance, &d));
    if (d.first_bad != SIZE_MAX)
        fail_msg("row %zu: %s; greatest differences: position %g alpha %g scale %g rotation %g "
                 "dc %g rest %g",
                 d.first_bad, d.first_bad_what, d.position, d.alpha, d.scale, d.rotation, d.dc,
                 d.rest);
}

bool test_golden_decodes(const char *folder, const char *encoded, const char *decoded,
                         const struct gs_scene_diff *tolerance)
{
    char a[256], b[256];
    struct gs_scene x, y;
    snprintf(a, sizeof a, "03_formats/%s/%s", folder, encoded);
    snprintf(b, sizeof b, "03_formats/%s/%s", folder, decoded);
    if (!test_golden(a) || !test_golden(b))
        return false;
    assert_ok(gs_scene_load(&x, test_golden(a), NULL));
    assert_ok(gs_scene_load(&y, test_golden(b), NULL));
    assert_near_scene(&x, &y, tolerance);
    gs_scene_finish(&x);
    gs_scene_finish(&y);
    return true;
}

int test_golden_cases(const char *encoded, const char *decoded,
                      const struct gs_scene_diff *tolerance)
{
    static const char *const cases[] = {"garden150_sh0", "garden150_sh1", "garden150_sh2",
                                        "garden500_sh3"};
    int found = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        found += test_golden_decodes(cases[i], encoded, decoded, tolerance);
    return found;
}

void test_save_load(struct gs_scene *out, const struct gs_scene *s, const char *name)
{
    struct gs_scene twice;
    size_t a, b;
    const char *path = test_tmp_path(name);
    assert_ok(gs_scene_save(s, path, NULL));
    assert_ok(gs_scene_load(out, path, NULL));
    void *first = test_read_file(path, &a);
    assert_ok(gs_scene_save(out, path, NULL));
    assert_ok(gs_scene_load(&twice, path, NULL));
    assert_same_scene(&twice, out);
    gs_scene_finish(&twice);
    void *second = test_read_file(path, &b);
    assert_int_equal(a, b);
    assert_memory_equal(first, second, a);
    free(first);
    free(second);
}

/* ---- .ply ------------------------------------------------------------------------------- */

struct column {
    char name[32];
    char type;
};

static const char *type_name(char type, bool long_names)
{
    static const struct {
        char type;
        const char *name, *other;
    } types[] = {{'b', "char", "int8"},     {'B', "uchar", "uint8"},   {'h', "short", "int16"},
                 {'H', "ushort", "uint16"}, {'i', "int", "int32"},     {'I', "uint", "uint32"},
                 {'f', "float", "float32"}, {'d', "double", "float64"}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].type == type)
            return long_names ? types[i].other : types[i].name;
    fail_msg("no type '%c'", type);
    return NULL;
}

static double value_of(const struct gs_scene *s, size_t i, const char *name)
{
    int k = 0, coefs = gs_sh_coefs(s->sh_degree);
    const float *sh = s->sh + i * 3 * (size_t)coefs;
    if (name[0] && !name[1] && name[0] >= 'x' && name[0] <= 'z')
        return (double)s->position[3 * i + (size_t)(name[0] - 'x')];
    if (!strcmp(name, "opacity"))
        return (double)s->opacity[i];
    if (!strcmp(name, "filter_3D"))
        return 0.01;
    if (!strcmp(name, "red") || !strcmp(name, "green") || !strcmp(name, "blue"))
        return (double)i;
    if (name[0] == 'n' && strchr("xyz", name[1]))
        return 0;
    if (sscanf(name, "scale_%d", &k) == 1)
        return (double)s->scale[3 * i + (size_t)k];
    if (sscanf(name, "rot_%d", &k) == 1)
        return (double)s->rotation[4 * i + (size_t)k];
    if (sscanf(name, "f_dc_%d", &k) == 1)
        return (double)sh[k];
    if (sscanf(name, "f_rest_%d", &k) == 1 && coefs > 1)
        return (double)sh[3 * (k % (coefs - 1) + 1) + k / (coefs - 1)];
    return 1;
}

static size_t list_columns(struct column *out, const struct gs_scene *s,
                           const struct test_ply *spec)
{
    char usual[4096] = "x:f y:f z:f ";
    const char *text = spec->columns;
    size_t n = 0;
    if (!text) {
        char *p = usual + strlen(usual);
        if (!spec->no_normals)
            p += sprintf(p, "nx:f ny:f nz:f ");
        p += sprintf(p, "f_dc_0:f f_dc_1:f f_dc_2:f ");
        for (int k = 0; k < 3 * (gs_sh_coefs(s->sh_degree) - 1); k++)
            p += sprintf(p, "f_rest_%d:f ", k);
        sprintf(p, "opacity:f scale_0:f scale_1:f scale_2:f rot_0:f rot_1:f rot_2:f rot_3:f");
        text = usual;
    }
    for (int used; sscanf(text, " %31[^:]:%c%n", out[n].name, &out[n].type, &used) == 2;
         text += used)
        n++;
    for (size_t i = 0; spec->reversed && i < n / 2; i++) {
        struct column t = out[i];
        out[i] = out[n - 1 - i];
        out[n - 1 - i] = t;
    }
    return n;
}

static void put_number(struct test_bytes *b, char type, double v, bool big)
{
    uint8_t raw[8], turned[8];
    size_t n = strchr("bB", type) ? 1 : strchr("hH", type) ? 2 : type == 'd' ? 8 : 4;
    float f = (float)v;
    int64_t whole = type == 'f' || type == 'd' ? 0 : (int64_t)v;
    memcpy(raw, type == 'd' ? (void *)&v : type == 'f' ? (void *)&f : (void *)&whole, n);
    for (size_t i = 0; i < n; i++)
        turned[i] = raw[n - 1 - i];
    test_put(b, big ? turned : raw, n);
}

struct test_bytes test_ply_build(const struct gs_scene *s, const struct test_ply *spec)
{
    struct test_bytes b = {0};
    struct column columns[128];
    size_t n = list_columns(columns, s, spec);
    const char *format = spec->format ? spec->format : "binary_little_endian";
    const char *end = spec->crlf ? "\r\n" : "\n";
    bool text = !strcmp(format, "ascii"), big = !strcmp(format, "binary_big_endian");
    test_putf(&b, "ply%sformat %s 1.0%s%s", end, format, end, spec->header ? spec->header : "");
    if (spec->count)
        test_putf(&b, "element vertex %s%s", spec->count, end);
    else
        test_putf(&b, "element vertex %zu%s", s->count, end);
    for (size_t i = 0; i < n; i++)
        if (columns[i].type == 'l')
            test_putf(&b, "property list uchar uchar %s%s", columns[i].name, end);
        else
            test_putf(&b, "property %s %s%s", type_name(columns[i].type, spec->long_names),
                      columns[i].name, end);
    test_putf(&b, "end_header%s", end);
    test_put(&b, spec->prefix, spec->prefix_size);
    for (size_t r = 0; r < s->count; r++) {
        for (size_t i = 0; i < n; i++)
            if (columns[i].type == 'l' && text)
                test_putf(&b, "3 1 2 3 ");
            else if (columns[i].type == 'l')
                test_put(&b, "\3\1\2\3", 4);
            else if (text)
                test_putf(&b, "%.9g ", value_of(s, r, columns[i].name));
            else
                put_number(&b, columns[i].type, value_of(s, r, columns[i].name), big);
        if (text)
            test_putf(&b, "%s", end);
    }
    return b;
}

size_t test_ply_body(const struct test_bytes *b)
{
    static const char end[] = "end_header\n";
    for (size_t i = 0; i + sizeof end - 1 <= b->size; i++)
        if (!memcmp(b->data + i, end, sizeof end - 1))
            return i + sizeof end - 1;
    fail_msg("no end_header");
    return 0;
}

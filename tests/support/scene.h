/* Scenes for tests, and files built byte by byte. */
#ifndef TEST_SCENE_H
#define TEST_SCENE_H

#include "support/test.h"
#include "gs/gs.h"

/* A growing byte string. */
struct test_bytes {
    uint8_t *data;
    size_t size, room;
};
void test_put(struct test_bytes *b, const void *data, size_t size);
void test_putf(struct test_bytes *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void test_bytes_free(struct test_bytes *b);
/* A copy of exactly their size, so that a sanitizer sees one byte too far; valid until the next. */
const uint8_t *test_bytes_exact(const struct test_bytes *b);

/* count Gaussians of plausible random values; the caller finishes it. */
struct gs_scene test_scene(size_t count, int sh_degree, uint64_t seed);
/* A copy of its arrays; the caller finishes it. */
void test_scene_copy(struct gs_scene *to, const struct gs_scene *from);
/* All arrays equal bit by bit; and the same, asserted. */
bool test_scene_equal(const struct gs_scene *a, const struct gs_scene *b);
void assert_same_scene(const struct gs_scene *a, const struct gs_scene *b);

/* Loads golden files case/encoded and case/decoded and compares them row by row within
 * tolerance; false when they are not there. */
bool test_golden_decodes(const char *folder, const char *encoded, const char *decoded,
                         const struct gs_scene_diff *tolerance);
/* The same in every case folder of 03_formats; the number of cases that were there. */
int test_golden_cases(const char *encoded, const char *decoded,
                      const struct gs_scene_diff *tolerance);
/* a equals b within tolerance; says which row does not. */
void assert_near_scene(const struct gs_scene *a, const struct gs_scene *b,
                       const struct gs_scene_diff *tolerance);
/* Saves s as `name` in the test's folder, loads it into *out; then saves and loads that again,
 * which must give the same scene bit by bit, and the same bytes. */
void test_save_load(struct gs_scene *out, const struct gs_scene *s, const char *name);

/* A .ply of the scene with the columns of a list such as "x:d y:d z:d f_dc_0:f ...": names as
 * in the format, then the type: b B h H i I f d (as in Python's struct), or "name:l" for a list
 * of three uchar. "" stands for the usual layout of the scene's degree. Unknown names hold 1,
 * red, green and blue the row number, filter_3D 0.01. */
struct test_ply {
    const char *format;  /* NULL = binary_little_endian */
    const char *columns; /* NULL = usual */
    const char *header;  /* put before "element vertex" */
    const void *prefix;  /* bytes before the rows */
    size_t prefix_size;
    const char *count; /* in place of the scene's count */
    bool crlf, no_normals, reversed, long_names;
};
struct test_bytes test_ply_build(const struct gs_scene *s, const struct test_ply *spec);
/* Offset of the first byte after the header. */
size_t test_ply_body(const struct test_bytes *b);

#endif

/* The header of a .ply file, for both kinds of splat .ply (ply.c, compressed_ply.c).
 *
 *     struct gs_ply_header h;
 *     FV_TRY(gs_ply_header_parse(&h, data, size, name));
 *     const struct gs_ply_element *v = gs_ply_element(&h, "vertex");
 *     ...
 *     gs_ply_header_finish(&h);
 *
 * Counts come from the file: they say nothing about how many bytes follow until
 * gs_ply_locate has compared them with the file's size. */
#ifndef GS_PLY_HEADER_H
#define GS_PLY_HEADER_H

#include "gs/gs.h"
#include "vk/base/arena.h"

enum gs_ply_encoding { GS_PLY_LITTLE, GS_PLY_BIG, GS_PLY_ASCII };
enum gs_ply_type {
    GS_PLY_I8,
    GS_PLY_U8,
    GS_PLY_I16,
    GS_PLY_U16,
    GS_PLY_I32,
    GS_PLY_U32,
    GS_PLY_F32,
    GS_PLY_F64
};

struct gs_ply_property {
    const char *name; /* printable */
    enum gs_ply_type type;
    bool is_list;
    enum gs_ply_type count_type; /* of a list */
    size_t offset;               /* in the row; meaningful when the element has no list */
};

struct gs_ply_element {
    const char *name;
    uint64_t count;
    struct gs_ply_property *properties;
    size_t property_count;
    bool has_list;
    size_t row_size; /* bytes of a row in binary, each list counted as empty */
};

struct gs_ply_header {
    enum gs_ply_encoding encoding;
    struct gs_ply_element *elements;
    size_t element_count;
    size_t body;       /* offset of the first byte after the header */
    enum gs_mode mode; /* from comments; AUTO if they say nothing */
    float up[3];       /* likewise; zeros */
    struct fv_arena arena;
};

int gs_ply_header_parse(struct gs_ply_header *out, const uint8_t *data, size_t size,
                        const char *name);
void gs_ply_header_finish(struct gs_ply_header *h);

/* NULL when there is none of that name. */
const struct gs_ply_element *gs_ply_element(const struct gs_ply_header *h, const char *name);
const struct gs_ply_property *gs_ply_property(const struct gs_ply_element *e, const char *name);

/* Offset of the first byte of an element's rows; skips the elements before it. Fails when the
 * file cannot hold e->count rows (a lower bound where rows have lists or are text). */
int gs_ply_locate(const struct gs_ply_header *h, const struct gs_ply_element *e,
                  const uint8_t *data, size_t size, const char *name, size_t *offset);

size_t gs_ply_type_size(enum gs_ply_type t);
/* One binary number, unaligned. */
double gs_ply_number(const uint8_t *p, enum gs_ply_type t, bool big_endian);

/* The next blank-separated word of a text body from *at; NULL at the end. */
const uint8_t *gs_ply_word(const uint8_t *data, size_t size, size_t *at, size_t *length);

#endif

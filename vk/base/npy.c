/* .npy (npy.h). Layout:
 *
 *     "\x93NUMPY"  u8 major  u8 minor  header length (u16 in version 1, u32 in 2 and 3)
 *     header: a Python dict literal, padded with spaces and a newline,
 *             {'descr': '<f4', 'fortran_order': False, 'shape': (64, 80, 3), }
 *     elements
 */
#include "vk/base/npy.h"
#include "vk/base/err.h"

#include <string.h>

struct header {
    char descr[8];
    int fortran; /* -1 = not seen */
    bool has_shape;
};

/* The dict literal, read left to right. */
struct text {
    const char *at, *end;
};

static void skip_blanks(struct text *t)
{
    while (t->at < t->end && strchr(" \t\r\n", *t->at) && *t->at)
        t->at++;
}

static bool take(struct text *t, char c)
{
    skip_blanks(t);
    if (t->at >= t->end || *t->at != c)
        return false;
    t->at++;
    return true;
}

static bool take_word(struct text *t, const char *word)
{
    size_t n = strlen(word);
    skip_blanks(t);
    if ((size_t)(t->end - t->at) < n || memcmp(t->at, word, n))
        return false;
    t->at += n;
    return true;
}

/* A quoted string of at most room-1 characters. */
static bool take_string(struct text *t, char *out, size_t room)
{
    skip_blanks(t);
    if (t->at >= t->end || (*t->at != '\'' && *t->at != '"'))
        return false;
    char quote = *t->at++;
    size_t n = 0;
    while (t->at < t->end && *t->at != quote) {
        if (n + 1 >= room)
            return false;
        out[n++] = *t->at++;
    }
    out[n] = 0;
    return take(t, quote);
}

static bool take_size(struct text *t, size_t *out)
{
    skip_blanks(t);
    const char *start = t->at;
    size_t v = 0;
    while (t->at < t->end && *t->at >= '0' && *t->at <= '9') {
        size_t digit = (size_t)(*t->at++ - '0');
        if (v > (SIZE_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    if (t->at < t->end && *t->at == 'L') /* written by Python 2 */
        t->at++;
    *out = v;
    return t->at > start && *start != 'L';
}

static bool take_shape(struct text *t, struct fv_npy *a)
{
    if (!take(t, '('))
        return false;
    a->rank = 0;
    while (!take(t, ')')) {
        if (a->rank == FV_NPY_MAX_RANK || !take_size(t, &a->dims[a->rank]))
            return false;
        a->rank++;
        if (!take(t, ',')) {
            if (!take(t, ')'))
                return false;
            break;
        }
    }
    return true;
}

static bool parse_dict(struct text *t, struct header *h, struct fv_npy *a)
{
    if (!take(t, '{'))
        return false;
    while (!take(t, '}')) {
        char key[24];
        if (!take_string(t, key, sizeof key) || !take(t, ':'))
            return false;
        if (!strcmp(key, "descr")) {
            if (!take_string(t, h->descr, sizeof h->descr))
                return false;
        } else if (!strcmp(key, "fortran_order")) {
            h->fortran = take_word(t, "True");
            if (!h->fortran && !take_word(t, "False"))
                return false;
        } else if (!strcmp(key, "shape")) {
            if (!take_shape(t, a))
                return false;
            h->has_shape = true;
        } else {
            return false;
        }
        if (!take(t, ',')) {
            if (!take(t, '}'))
                return false;
            break;
        }
    }
    return h->descr[0] && h->fortran >= 0 && h->has_shape;
}

static const struct {
    const char *descr;
    enum fv_npy_type type;
} types[] = {
    {"<f4", FV_NPY_F32}, {"<f8", FV_NPY_F64}, {"<i4", FV_NPY_I32}, {"<i8", FV_NPY_I64},
    {"|u1", FV_NPY_U8},  {"|b1", FV_NPY_U8},  {"<u2", FV_NPY_U16}, {"<u4", FV_NPY_U32},
};

static size_t element_size(enum fv_npy_type type)
{
    static const uint8_t sizes[] = {
        [FV_NPY_F32] = 4, [FV_NPY_F64] = 8, [FV_NPY_I32] = 4, [FV_NPY_I64] = 8,
        [FV_NPY_U8] = 1,  [FV_NPY_U16] = 2, [FV_NPY_U32] = 4};
    return sizes[type];
}

static int check_header(const struct header *h, struct fv_npy *a, const char *name)
{
    size_t i = 0, n = sizeof types / sizeof *types;
    while (i < n && strcmp(types[i].descr, h->descr))
        i++;
    if (i == n)
        return fv_fail(FV_EUNSUPPORTED,
                       "%s: .npy descr '%s' is not supported; save it as little-endian float32 "
                       "(astype('<f4'))",
                       name, h->descr);
    if (h->fortran)
        return fv_fail(FV_EUNSUPPORTED,
                       "%s: .npy fortran_order is True; save it in C order (ascontiguousarray)",
                       name);
    a->type = types[i].type;
    a->count = 1;
    for (unsigned d = 0; d < a->rank; d++)
        if (__builtin_mul_overflow(a->count, a->dims[d], &a->count))
            return fv_fail(FV_EFORMAT, "%s: .npy shape is larger than memory", name);
    return 0;
}

static int parse(struct fv_npy *a, const void *data, size_t size, const char *name)
{
    struct fv_cursor c = fv_cursor_over(data, size);
    const uint8_t *magic = fv_get_bytes(&c, 6);
    if (!magic || memcmp(magic, "\x93NUMPY", 6))
        return fv_fail(FV_EFORMAT, "%s: not a .npy file (wrong first bytes)", name);
    uint8_t major = fv_get_u8(&c), minor = fv_get_u8(&c);
    if (major < 1 || major > 3)
        return fv_fail(FV_EUNSUPPORTED, "%s: .npy version %u.%u is not supported", name, major,
                       minor);
    size_t length = major == 1 ? fv_get_u16(&c) : fv_get_u32(&c);
    const char *text = (const char *)fv_get_bytes(&c, length);
    if (!text)
        return fv_fail(FV_EFORMAT, "%s: .npy header is cut short", name);
    struct header h = {.fortran = -1};
    struct text t = {text, text + length};
    if (!parse_dict(&t, &h, a))
        return fv_fail(FV_EFORMAT, "%s: .npy header is not {descr, fortran_order, shape}", name);
    FV_TRY(check_header(&h, a, name));
    size_t left = fv_cursor_left(&c);
    if (a->count > left / element_size(a->type))
        return fv_fail(FV_EFORMAT,
                       "%s: .npy shape asks for %zu values of %zu bytes, the file has %zu bytes",
                       name, a->count, element_size(a->type), left);
    a->data = fv_get_bytes(&c, a->count * element_size(a->type));
    return 0;
}

int fv_npy_parse(struct fv_npy *out, const void *data, size_t size, const char *name)
{
    *out = (struct fv_npy){0};
    int rc = parse(out, data, size, name);
    if (rc < 0)
        *out = (struct fv_npy){0};
    return rc;
}

int fv_npy_open(struct fv_npy *out, const char *path)
{
    struct fv_map map;
    *out = (struct fv_npy){0};
    FV_TRY(fv_map_open(&map, path));
    int rc = fv_npy_parse(out, map.data, map.size, path);
    if (rc < 0)
        fv_map_close(&map);
    else
        out->map = map;
    return rc;
}

void fv_npy_close(struct fv_npy *a)
{
    fv_map_close(&a->map);
    *a = (struct fv_npy){0};
}

static double element(const struct fv_npy *a, size_t i)
{
    struct fv_cursor c = fv_cursor_over(a->data + i * element_size(a->type), 8);
    switch (a->type) {
    case FV_NPY_F32:
        return (double)fv_get_f32(&c);
    case FV_NPY_F64:
        return fv_get_f64(&c);
    case FV_NPY_I32:
        return (int32_t)fv_get_u32(&c);
    case FV_NPY_U32:
        return fv_get_u32(&c);
    case FV_NPY_I64:
        return (double)(int64_t)fv_get_u64(&c);
    case FV_NPY_U8:
        return fv_get_u8(&c);
    case FV_NPY_U16:
        return fv_get_u16(&c);
    }
    return 0;
}

void fv_npy_get_f32(const struct fv_npy *a, float *out)
{
    if (a->type == FV_NPY_F32 && a->count) {
        memcpy(out, a->data, a->count * sizeof *out);
        return;
    }
    for (size_t i = 0; i < a->count; i++)
        out[i] = (float)element(a, i);
}

void fv_npy_get_f64(const struct fv_npy *a, double *out)
{
    for (size_t i = 0; i < a->count; i++)
        out[i] = element(a, i);
}

void fv_npy_write_header(struct fv_writer *w, const size_t *dims, unsigned rank)
{
    char shape[FV_NPY_MAX_RANK * 24] = "", dict[320];
    size_t at = 0;
    for (unsigned d = 0; d < rank; d++)
        at += (size_t)snprintf(shape + at, sizeof shape - at, "%s%zu", d ? ", " : "", dims[d]);
    int n =
        snprintf(dict, sizeof dict, "{'descr': '<f4', 'fortran_order': False, 'shape': (%s%s), }",
                 shape, rank == 1 ? "," : "");
    /* the elements start at a multiple of 64 bytes; the last header byte is a newline */
    size_t length = ((10 + (size_t)n + 1 + 63) & ~(size_t)63) - 10;
    memset(dict + n, ' ', length - (size_t)n);
    dict[length - 1] = '\n';
    uint8_t start[10] = {
        0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (uint8_t)length, (uint8_t)(length >> 8)};
    fv_write(w, start, sizeof start);
    fv_write(w, dict, length);
}

void fv_npy_write(struct fv_writer *w, const float *data, const size_t *dims, unsigned rank)
{
    size_t count = 1;
    for (unsigned d = 0; d < rank; d++)
        count *= dims[d];
    fv_npy_write_header(w, dims, rank);
    fv_write(w, data, count * sizeof *data);
}

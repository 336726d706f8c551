/* The .ply header and where each element's rows begin (ply_header.h).
 *
 *     ply
 *     format binary_little_endian 1.0
 *     comment SplatRenderMode: mip
 *     element vertex 1000
 *     property float x
 *     property list uchar int vertex_indices
 *     end_header
 *     ...rows
 *
 * Lines end in LF or CR LF. */
#include "gs/ply_header.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_HEADER = 1 << 20, MAX_ARENA = 64 << 20, MAX_WORDS = 8, MAX_ELEMENTS = 1000 };

static const struct {
    const char *name, *other;
    size_t size;
} types[] = {
    [GS_PLY_I8] = {"char", "int8", 1},      [GS_PLY_U8] = {"uchar", "uint8", 1},
    [GS_PLY_I16] = {"short", "int16", 2},   [GS_PLY_U16] = {"ushort", "uint16", 2},
    [GS_PLY_I32] = {"int", "int32", 4},     [GS_PLY_U32] = {"uint", "uint32", 4},
    [GS_PLY_F32] = {"float", "float32", 4}, [GS_PLY_F64] = {"double", "float64", 8},
};

/* A header line cut into words; the words point into text and are NUL-terminated. */
struct line {
    char text[512];
    char *word[MAX_WORDS];
    size_t words;
};

/* Takes the line at *at; false when no line feed follows. Bytes that would upset a terminal
 * become '?', so that any word may be quoted in a message. */
static bool next_line(struct line *l, const uint8_t *data, size_t size, size_t *at)
{
    const uint8_t *end = memchr(data + *at, '\n', size - *at);
    if (!end)
        return false;
    size_t n = (size_t)(end - data) - *at;
    const uint8_t *from = data + *at;
    *at += n + 1;
    if (n && from[n - 1] == '\r')
        n--;
    if (n > sizeof l->text - 1)
        n = sizeof l->text - 1;
    for (size_t i = 0; i < n; i++)
        l->text[i] = (char)(from[i] == '\t' ? ' ' : from[i] < 32 || from[i] > 126 ? '?' : from[i]);
    l->text[n] = 0;
    l->words = 0;
    for (char *p = l->text; l->words < MAX_WORDS;) {
        while (*p == ' ')
            *p++ = 0;
        if (!*p)
            break;
        l->word[l->words++] = p;
        p += strcspn(p, " ");
    }
    return true;
}

static bool parse_type(const char *word, enum gs_ply_type *out)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(word, types[i].name) || !strcmp(word, types[i].other)) {
            *out = (enum gs_ply_type)i;
            return true;
        }
    return false;
}

static bool starts_with_words(const struct line *l, size_t first, const char *a, const char *b)
{
    return l->words > first && !strcasecmp(l->word[first], a) &&
           (!b || (l->words > first + 1 && !strcasecmp(l->word[first + 1], b)));
}

/* "Vertical axis: y" is Brush's; in its y-down world the letters y and z mean -y and -z. */
static void parse_up(const struct line *l, float up[3])
{
    const char *w = l->words > 3 ? l->word[3] : "";
    if (l->words >= 6) {
        float v[3], n = 0;
        for (int i = 0; i < 3; i++) {
            v[i] = strtof(l->word[3 + i], NULL);
            n += v[i] * v[i];
        }
        if (n > 0 && isfinite(n))
            for (int i = 0; i < 3; i++)
                up[i] = v[i] / sqrtf(n);
    } else if (strlen(w) == 1 && strchr("xyzXYZ", *w)) {
        int axis = (*w | 32) - 'x';
        memset(up, 0, 3 * sizeof *up);
        up[axis] = axis ? -1.0f : 1.0f;
    }
}

static void parse_comment(struct gs_ply_header *h, const struct line *l)
{
    if (starts_with_words(l, 1, "SplatRenderMode:", NULL) && l->words > 2)
        h->mode = strcasecmp(l->word[2], "mip") ? GS_MODE_CLASSIC : GS_MODE_ANTIALIASED;
    else if (starts_with_words(l, 1, "antialiased", NULL) && l->words > 2)
        h->mode = strcmp(l->word[2], "1") ? GS_MODE_CLASSIC : GS_MODE_ANTIALIASED;
    else if (starts_with_words(l, 1, "Vertical", "axis:"))
        parse_up(l, h->up);
}

static int parse_format(struct gs_ply_header *h, const struct line *l, const char *name)
{
    const char *f = l->words > 1 ? l->word[1] : "";
    if (!strcmp(f, "binary_little_endian"))
        h->encoding = GS_PLY_LITTLE;
    else if (!strcmp(f, "binary_big_endian"))
        h->encoding = GS_PLY_BIG;
    else if (!strcmp(f, "ascii"))
        h->encoding = GS_PLY_ASCII;
    else
        return fv_fail(FV_EFORMAT,
                       "%s: format \"%.40s\" is none of ascii, binary_little_endian "
                       "and binary_big_endian",
                       name, f);
    return 0;
}

static int parse_element(struct gs_ply_header *h, const struct line *l, const char *name)
{
    if (l->words < 3)
        return fv_fail(FV_EFORMAT, "%s: an element line without name and count", name);
    const char *count = l->word[2];
    size_t digits = strspn(count, "0123456789");
    if (!digits || count[digits] || digits > 18)
        return fv_fail(FV_EFORMAT, "%s: %.40s count %.40s is not a number of rows", name,
                       l->word[1], count);
    if (gs_ply_element(h, l->word[1]))
        return fv_fail(FV_EFORMAT, "%s: element %.40s appears twice", name, l->word[1]);
    struct gs_ply_element *e = &h->elements[h->element_count];
    e->name = fv_arena_strndup(&h->arena, l->word[1], strlen(l->word[1]));
    if (!e->name)
        return FV_ENOMEM;
    e->count = strtoull(count, NULL, 10);
    /* the first element's properties start the shared array */
    if (h->element_count)
        e->properties = e[-1].properties + e[-1].property_count;
    h->element_count++;
    return 0;
}

static int parse_property(struct gs_ply_header *h, const struct line *l, const char *name)
{
    if (!h->element_count)
        return fv_fail(FV_EFORMAT, "%s: a property line before any element line", name);
    struct gs_ply_element *e = &h->elements[h->element_count - 1];
    struct gs_ply_property *p = &e->properties[e->property_count];
    bool list = l->words > 1 && !strcmp(l->word[1], "list");
    if (l->words < (list ? 5u : 3u))
        return fv_fail(FV_EFORMAT, "%s: a property line of element %.40s lacks type or name", name,
                       e->name);
    const char *type = l->word[list ? 3 : 1], *id = l->word[list ? 4 : 2];
    if (!parse_type(type, &p->type) || (list && !parse_type(l->word[2], &p->count_type)))
        return fv_fail(FV_EFORMAT, "%s: property %.40s has the unknown type \"%.40s\"", name, id,
                       parse_type(type, &p->type) ? l->word[2] : type);
    if (list && p->count_type >= GS_PLY_F32)
        return fv_fail(FV_EFORMAT, "%s: the length of list %.40s is not a whole number", name, id);
    p->name = fv_arena_strndup(&h->arena, id, strlen(id));
    if (!p->name)
        return FV_ENOMEM;
    p->is_list = list;
    p->offset = e->row_size;
    e->row_size += types[list ? p->count_type : p->type].size;
    e->has_list |= list;
    e->property_count++;
    return 0;
}

/* Room for as many elements and properties as there are such lines. */
static int reserve(struct gs_ply_header *h, const uint8_t *data, size_t size, const char *name)
{
    size_t elements = 0, properties = 0, at = 0;
    struct line l;
    while (next_line(&l, data, size, &at) && !starts_with_words(&l, 0, "end_header", NULL)) {
        elements += starts_with_words(&l, 0, "element", NULL);
        properties += starts_with_words(&l, 0, "property", NULL);
    }
    if (elements > MAX_ELEMENTS)
        return fv_fail(FV_EFORMAT, "%s: the header lists %zu elements, more than %d", name,
                       elements, MAX_ELEMENTS);
    h->elements = fv_arena_alloc(&h->arena, (elements + 1) * sizeof *h->elements);
    struct gs_ply_property *p = fv_arena_alloc(&h->arena, (properties + 1) * sizeof *p);
    if (!h->elements || !p)
        return FV_ENOMEM;
    h->elements[0].properties = p;
    return 0;
}

static int parse_lines(struct gs_ply_header *h, const uint8_t *data, size_t size, const char *name)
{
    size_t at = 0;
    bool has_format = false;
    struct line l;
    while (next_line(&l, data, size, &at)) {
        const char *w = l.words ? l.word[0] : "";
        if (!strcmp(w, "end_header")) {
            h->body = at;
            return has_format ? 0 : fv_fail(FV_EFORMAT, "%s: the header has no format line", name);
        }
        if (!strcmp(w, "comment") || !strcmp(w, "obj_info")) {
            parse_comment(h, &l);
        } else if (!strcmp(w, "format")) {
            FV_TRY(parse_format(h, &l, name));
            has_format = true;
        } else if (!strcmp(w, "element")) {
            FV_TRY(parse_element(h, &l, name));
        } else if (!strcmp(w, "property")) {
            FV_TRY(parse_property(h, &l, name));
        } else if (*w && strcmp(w, "ply")) {
            return fv_fail(FV_EFORMAT, "%s: header line \"%.40s\" is not part of a .ply", name, w);
        }
    }
    return fv_fail(FV_EFORMAT, "%s: the header has no end_header line: the file is cut short",
                   name);
}

int gs_ply_header_parse(struct gs_ply_header *out, const uint8_t *data, size_t size,
                        const char *name)
{
    *out = (struct gs_ply_header){.arena.cap = MAX_ARENA};
    if (size < 4 || memcmp(data, "ply", 3) || (data[3] != '\n' && data[3] != '\r'))
        return fv_fail(FV_EFORMAT, "%s: is not a .ply: it does not begin with \"ply\"", name);
    size_t limit = size < MAX_HEADER ? size : MAX_HEADER;
    int rc = reserve(out, data, limit, name);
    if (rc == 0)
        rc = parse_lines(out, data, limit, name);
    if (rc < 0)
        gs_ply_header_finish(out);
    return rc;
}

void gs_ply_header_finish(struct gs_ply_header *h)
{
    fv_arena_finish(&h->arena);
    *h = (struct gs_ply_header){0};
}

const struct gs_ply_element *gs_ply_element(const struct gs_ply_header *h, const char *name)
{
    for (size_t i = 0; i < h->element_count; i++)
        if (!strcmp(h->elements[i].name, name))
            return &h->elements[i];
    return NULL;
}

const struct gs_ply_property *gs_ply_property(const struct gs_ply_element *e, const char *name)
{
    for (size_t i = 0; i < e->property_count; i++)
        if (!strcmp(e->properties[i].name, name))
            return &e->properties[i];
    return NULL;
}

size_t gs_ply_type_size(enum gs_ply_type t)
{
    return types[t].size;
}

double gs_ply_number(const uint8_t *p, enum gs_ply_type t, bool big_endian)
{
    uint64_t u = 0;
    size_t n = types[t].size;
    for (size_t i = 0; i < n; i++)
        u |= (uint64_t)p[big_endian ? n - 1 - i : i] << (8 * i);
    switch (t) {
    case GS_PLY_I8:
        return (int8_t)u;
    case GS_PLY_I16:
        return (int16_t)u;
    case GS_PLY_I32:
        return (int32_t)u;
    case GS_PLY_F32: {
        uint32_t bits = (uint32_t)u;
        float f;
        memcpy(&f, &bits, 4);
        return (double)f;
    }
    case GS_PLY_F64: {
        double d;
        memcpy(&d, &u, 8);
        return d;
    }
    default:
        return (double)u;
    }
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

const uint8_t *gs_ply_word(const uint8_t *data, size_t size, size_t *at, size_t *length)
{
    size_t i = *at;
    while (i < size && is_blank(data[i]))
        i++;
    size_t begin = i;
    while (i < size && !is_blank(data[i]))
        i++;
    *at = i;
    *length = i - begin;
    return *length ? data + begin : NULL;
}

static int cut_short(const struct gs_ply_element *e, const char *name)
{
    return fv_fail(FV_EFORMAT, "%s: the file ends before its %llu rows of element %.40s", name,
                   (unsigned long long)e->count, e->name);
}

/* Walks the rows of an element with lists, or of any element as text. Every row takes at
 * least one byte, so a lying count ends at the end of the file. */
static int skip_rows(const struct gs_ply_header *h, const struct gs_ply_element *e,
                     const uint8_t *data, size_t size, const char *name, size_t *at)
{
    bool big = h->encoding == GS_PLY_BIG, text = h->encoding == GS_PLY_ASCII;
    if (!e->property_count)
        return 0;
    for (uint64_t r = 0; r < e->count; r++)
        for (size_t i = 0; i < e->property_count; i++) {
            const struct gs_ply_property *p = &e->properties[i];
            double items = 1;
            size_t n = p->is_list ? types[p->count_type].size : 0, length;
            if (p->is_list && text) {
                const uint8_t *w = gs_ply_word(data, size, at, &length);
                char digits[24] = "";
                if (w)
                    memcpy(digits, w, length < 23 ? length : 23);
                items = strtod(digits, NULL);
            } else if (p->is_list) {
                if (size - *at < n)
                    return cut_short(e, name);
                items = gs_ply_number(data + *at, p->count_type, big);
                *at += n;
            }
            if (!(items >= 0 && items <= (double)(size - *at)))
                return cut_short(e, name);
            size_t left = (size_t)items;
            if (text) {
                for (; left; left--)
                    if (!gs_ply_word(data, size, at, &length))
                        return cut_short(e, name);
            } else if (left > (size - *at) / types[p->type].size) {
                return cut_short(e, name);
            } else {
                *at += left * types[p->type].size;
            }
        }
    return 0;
}

int gs_ply_locate(const struct gs_ply_header *h, const struct gs_ply_element *e,
                  const uint8_t *data, size_t size, const char *name, size_t *offset)
{
    size_t at = h->body;
    for (const struct gs_ply_element *p = h->elements; p < e; p++) {
        if (p->has_list || h->encoding == GS_PLY_ASCII) {
            FV_TRY(skip_rows(h, p, data, size, name, &at));
        } else if (p->row_size && p->count > (size - at) / p->row_size) {
            return cut_short(p, name);
        } else {
            at += p->count * p->row_size;
        }
    }
    /* a number as text is a digit and a blank, the last one perhaps without */
    size_t least = h->encoding == GS_PLY_ASCII ? 2 * e->property_count : e->row_size;
    size_t room = size - at + (h->encoding == GS_PLY_ASCII);
    if (least && e->count > room / least)
        return fv_fail(FV_EFORMAT,
                       "%s: %s count %llu needs %.0f bytes but %zu are left: "
                       "the file is cut short or the count is wrong",
                       name, e->name, (unsigned long long)e->count,
                       (double)e->count * (double)least, size - at);
    *offset = at;
    return 0;
}

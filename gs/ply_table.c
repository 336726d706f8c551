/* Columns of a .ply's vertices (gs.h), for readers of files whose rows are not Gaussians. */
#include "gs/ply_header.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct gs_ply_table {
    const char *name;
    const uint8_t *data;
    struct gs_ply_header header;
    const struct gs_ply_element *vertex;
    size_t body;
    size_t size;
    struct {
        float *v; /* [rows][properties] of an ASCII file, read with its first column; else NULL */
    } *text;
};

/* Numbers of a text body; the header's count has been compared with the file's size. */
static int read_text(const struct gs_ply_table *t)
{
    size_t n = t->vertex->property_count, at = t->body;
    float *v = t->text->v = malloc((t->vertex->count * n + 1) * sizeof *v);
    if (!v)
        return fv_fail(FV_ENOMEM, "%s: out of memory", t->name);
    for (size_t i = 0; i < t->vertex->count * n; i++) {
        char word[64];
        size_t length = 0;
        const uint8_t *w = gs_ply_word(t->data, t->size, &at, &length);
        if (!w || length >= sizeof word) {
            free(v);
            t->text->v = NULL;
            return fv_fail(FV_EFORMAT, "%s: row %zu: property %.40s: the file is cut short here",
                           t->name, i / n, t->vertex->properties[i % n].name);
        }
        memcpy(word, w, length);
        word[length] = 0;
        v[i] = strtof(word, NULL);
    }
    return 0;
}

static int open_table(struct gs_ply_table *t, size_t size)
{
    FV_TRY(gs_ply_header_parse(&t->header, t->data, size, t->name));
    t->vertex = gs_ply_element(&t->header, "vertex");
    if (!t->vertex)
        return fv_fail(FV_EFORMAT, "%s: has no element vertex", t->name);
    if (t->vertex->has_list)
        return fv_fail(FV_EUNSUPPORTED, "%s: its vertices have lists", t->name);
    t->size = size;
    t->text = calloc(1, sizeof *t->text);
    if (!t->text)
        return fv_fail(FV_ENOMEM, "%s: out of memory", t->name);
    return gs_ply_locate(&t->header, t->vertex, t->data, size, t->name, &t->body);
}

int gs_ply_table_open(struct gs_ply_table **out, const void *data, size_t size, const char *name)
{
    struct gs_ply_table *t = *out = calloc(1, sizeof *t);
    if (!t)
        return fv_fail(FV_ENOMEM, "%s: out of memory", name);
    t->name = name;
    t->data = data;
    int rc = open_table(t, size);
    if (rc < 0)
        gs_ply_table_close(out);
    return rc;
}

void gs_ply_table_close(struct gs_ply_table **t)
{
    if (!*t)
        return;
    gs_ply_header_finish(&(*t)->header);
    free((*t)->text ? (*t)->text->v : NULL);
    free((*t)->text);
    free(*t);
    *t = NULL;
}

size_t gs_ply_table_rows(const struct gs_ply_table *t)
{
    return (size_t)t->vertex->count;
}

uint32_t gs_ply_table_numbered(const struct gs_ply_table *t, const char *prefix)
{
    char name[64];
    uint32_t n = 0;
    while (snprintf(name, sizeof name, "%s%u", prefix, n) > 0 && gs_ply_property(t->vertex, name))
        n++;
    return n;
}

int gs_ply_table_read(const struct gs_ply_table *t, const char *column, float *out, size_t stride)
{
    const struct gs_ply_property *p = gs_ply_property(t->vertex, column);
    if (!p)
        return fv_fail(FV_EFORMAT, "%s: property %s is missing from element vertex", t->name,
                       column);
    if (t->header.encoding == GS_PLY_ASCII && !t->text->v)
        FV_TRY(read_text(t));
    size_t n = (size_t)t->vertex->count, index = (size_t)(p - t->vertex->properties);
    bool big = t->header.encoding == GS_PLY_BIG;
    const uint8_t *at = t->data + t->body + p->offset;
    for (size_t i = 0; i < n; i++) {
        float v = t->text->v ? t->text->v[i * t->vertex->property_count + index]
                             : (float)gs_ply_number(at + i * t->vertex->row_size, p->type, big);
        if (!isfinite(v))
            return fv_fail(FV_EFORMAT, "%s: row %zu: property %s is not finite", t->name, i, column);
        out[i * stride] = v;
    }
    return 0;
}

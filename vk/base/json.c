/* Typed getters over cJSON (json.h). */
#include "vk/base/json.h"
#include "vk/base/err.h"
#include "vk/base/file.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 64, MAX_BYTES = 256 << 20, MAX_VALUES = 4 << 20 };

/* What to refuse before cJSON sees it; NULL if nothing. Its own nesting limit (1000) is compiled
 * in, ours keeps recursion shallow; and a value of two bytes ("0,") becomes a node of eighty. */
static const char *excess(const char *text, size_t size)
{
    int depth = 0;
    size_t values = 1;
    bool in_string = false;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > MAX_DEPTH)
                return "nested more than 64 deep";
            values++;
        } else if (c == '}' || c == ']') {
            depth--;
        } else if (c == ',' && ++values > MAX_VALUES) {
            return "of more than 4 million values";
        }
    }
    return NULL;
}

static bool only_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
        p++;
    return p == end;
}

int fv_json_parse(struct fv_json *out, const char *text, size_t size, const char *name)
{
    const char *end = NULL;
    *out = (struct fv_json){0};
    if (size > MAX_BYTES)
        return fv_fail(FV_EFORMAT, "%s: JSON larger than 256 MiB", name);
    if (size >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) {
        text += 3;
        size -= 3;
    }
    const char *too_much = excess(text, size);
    if (too_much)
        return fv_fail(FV_EFORMAT, "%s: JSON %s", name, too_much);
    out->root.item = cJSON_ParseWithLengthOpts(text, size, &end, 0);
    if (!out->root.item || !only_space(end, text + size)) {
        cJSON_Delete(out->root.item);
        out->root.item = NULL;
        size_t at = end && end >= text && end <= text + size ? (size_t)(end - text) : 0, line = 1;
        for (size_t i = 0; i < at; i++)
            line += text[i] == '\n';
        return fv_fail(FV_EFORMAT, "%s: not valid JSON (line %zu)", name, line);
    }
    out->name = strdup(name);
    if (!out->name) {
        fv_json_close(out);
        return fv_fail(FV_ENOMEM, "out of memory");
    }
    return 0;
}

int fv_json_open(struct fv_json *out, const char *path)
{
    struct fv_map map;
    *out = (struct fv_json){0};
    FV_TRY(fv_map_open(&map, path));
    int rc = map.size ? fv_json_parse(out, (const char *)map.data, map.size, path)
                      : fv_fail(FV_EFORMAT, "%s: empty file", path);
    fv_map_close(&map);
    return rc;
}

int fv_json_open_in(struct fv_json *out, const char *dir, const char *name)
{
    char *path = fv_path_join(dir, name);
    *out = (struct fv_json){0};
    if (!path)
        return fv_fail(FV_ENOMEM, "out of memory");
    int rc = fv_exists(path) ? fv_json_open(out, path) : 1;
    free(path);
    return rc;
}

void fv_json_close(struct fv_json *doc)
{
    cJSON_Delete(doc->root.item);
    free(doc->name);
    *doc = (struct fv_json){0};
}

int fv_json_fail(struct fv_json *doc, struct fv_node at, const char *fmt, ...)
{
    if (doc->failed)
        return FV_EFORMAT;
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    doc->failed = true;
    return fv_fail(FV_EFORMAT, "%s: %s%s%s", doc->name, at.place, *at.place ? ": " : "", text);
}

bool fv_node_is_array(struct fv_node n)
{
    return n.item && cJSON_IsArray(n.item);
}

bool fv_node_is_object(struct fv_node n)
{
    return n.item && cJSON_IsObject(n.item);
}

bool fv_node_is_string(struct fv_node n)
{
    return n.item && cJSON_IsString(n.item);
}

bool fv_node_is_number(struct fv_node n)
{
    return n.item && cJSON_IsNumber(n.item);
}

bool fv_node_has(struct fv_node object, const char *key)
{
    return fv_node_get(object, key).item != NULL;
}

size_t fv_node_count(struct fv_node n)
{
    if (!fv_node_is_array(n) && !fv_node_is_object(n))
        return 0;
    return (size_t)cJSON_GetArraySize(n.item);
}

static struct fv_node child(struct fv_node parent, struct cJSON *item, const char *key,
                            size_t index)
{
    struct fv_node n = {.item = item, .parent = (unsigned)strnlen(parent.place, 60)};
    if (key)
        snprintf(n.place, sizeof n.place, "%.60s%s%.32s", parent.place, *parent.place ? "." : "",
                 key);
    else
        snprintf(n.place, sizeof n.place, "%.60s[%zu]", parent.place, index);
    return n;
}

struct fv_node fv_node_at(struct fv_node n, size_t i)
{
    if (i >= fv_node_count(n))
        return child(n, NULL, NULL, i);
    struct cJSON *item = cJSON_GetArrayItem(n.item, (int)i);
    return child(n, item, fv_node_is_object(n) ? item->string : NULL, i);
}

struct fv_node fv_node_next(struct fv_node n, size_t next_index)
{
    struct fv_node parent = n;
    parent.place[n.parent] = 0;
    n.item = n.item ? n.item->next : NULL;
    return child(parent, n.item, n.item ? n.item->string : NULL, next_index);
}

const char *fv_node_key(struct fv_node n)
{
    return n.item && n.item->string ? n.item->string : "";
}

const char *fv_node_string(struct fv_node n)
{
    return fv_node_is_string(n) ? n.item->valuestring : "";
}

double fv_node_number(struct fv_node n)
{
    return fv_node_is_number(n) ? n.item->valuedouble : 0;
}

struct fv_node fv_node_get(struct fv_node object, const char *key)
{
    struct cJSON *item = NULL;
    if (fv_node_is_object(object))
        item = cJSON_GetObjectItemCaseSensitive(object.item, key);
    return child(object, item, key, 0);
}

static const char *type_name(struct fv_node n)
{
    if (!n.item)
        return "nothing";
    if (cJSON_IsNumber(n.item))
        return "a number";
    if (cJSON_IsString(n.item))
        return "text";
    if (cJSON_IsArray(n.item))
        return "a list";
    if (cJSON_IsObject(n.item))
        return "an object";
    return cJSON_IsBool(n.item) ? "true/false" : "null";
}

double fv_node_number_within(struct fv_node object, const char *key, double low, double high, double or_)
{
    struct fv_node n = fv_node_get(object, key);
    double x = fv_node_is_number(n) ? fv_node_number(n) : or_;
    return x >= low && x <= high ? x : or_;
}

struct fv_node fv_json_object(struct fv_json *doc, struct fv_node object, const char *key)
{
    struct fv_node n = fv_node_get(object, key);
    if (!fv_node_is_object(n)) {
        fv_json_fail(doc, n, "expected an object, found %s", type_name(n));
        n.item = NULL;
    }
    return n;
}

struct fv_node fv_json_array(struct fv_json *doc, struct fv_node object, const char *key)
{
    struct fv_node n = fv_node_get(object, key);
    if (!fv_node_is_array(n)) {
        fv_json_fail(doc, n, "expected a list, found %s", type_name(n));
        n.item = NULL;
    }
    return n;
}

static double number(struct fv_json *doc, struct fv_node n)
{
    if (!fv_node_is_number(n) || !isfinite(n.item->valuedouble)) {
        fv_json_fail(doc, n, "expected a number, found %s", type_name(n));
        return 0;
    }
    return n.item->valuedouble;
}

double fv_json_number(struct fv_json *doc, struct fv_node object, const char *key)
{
    return number(doc, fv_node_get(object, key));
}

long long fv_json_int(struct fv_json *doc, struct fv_node object, const char *key, long long min,
                      long long max)
{
    struct fv_node n = fv_node_get(object, key);
    double v = number(doc, n);
    if (!doc->failed && (v != floor(v) || v < (double)min || v > (double)max || v >= 0x1p63)) {
        fv_json_fail(doc, n, "expected a whole number in %lld..%lld, found %g", min, max, v);
        return min;
    }
    return doc->failed ? min : (long long)v;
}

const char *fv_json_string(struct fv_json *doc, struct fv_node object, const char *key)
{
    struct fv_node n = fv_node_get(object, key);
    if (!fv_node_is_string(n)) {
        fv_json_fail(doc, n, "expected text, found %s", type_name(n));
        return "";
    }
    return n.item->valuestring;
}

double fv_json_number_or(struct fv_json *doc, struct fv_node object, const char *key, double or_)
{
    struct fv_node n = fv_node_get(object, key);
    return n.item ? number(doc, n) : or_;
}

bool fv_json_bool_or(struct fv_json *doc, struct fv_node object, const char *key, bool or_)
{
    struct fv_node n = fv_node_get(object, key);
    if (!n.item)
        return or_;
    if (!cJSON_IsBool(n.item))
        return fv_json_fail(doc, n, "expected true or false, found %s", type_name(n)), or_;
    return cJSON_IsTrue(n.item);
}

const char *fv_json_string_or(struct fv_json *doc, struct fv_node object, const char *key,
                              const char *or_)
{
    return fv_node_has(object, key) ? fv_json_string(doc, object, key) : or_;
}

static size_t flatten(struct fv_json *doc, struct fv_node n, double *out, size_t room, size_t used)
{
    if (!fv_node_is_array(n)) {
        if (used < room)
            out[used] = number(doc, n);
        return used + 1;
    }
    size_t i = 0;
    for (struct cJSON *e = n.item->child; e; e = e->next)
        used = flatten(doc, child(n, e, NULL, i++), out, room, used);
    return used;
}

void fv_json_numbers(struct fv_json *doc, struct fv_node array, double *out, size_t n)
{
    memset(out, 0, n * sizeof *out);
    if (!fv_node_is_array(array)) {
        fv_json_fail(doc, array, "expected a list of %zu numbers, found %s", n, type_name(array));
        return;
    }
    size_t got = flatten(doc, array, out, n, 0);
    if (got != n)
        fv_json_fail(doc, array, "expected %zu numbers, found %zu", n, got);
}

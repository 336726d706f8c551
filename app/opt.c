/* Option tables (opt.h): values from text, argv and JSON. The texts made from the tables
 * (--help, man page, completion) are in doc.c. */
#include "app/opt.h"
#include "vk/base/err.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- values from text ------------------------------------------------------------------- */

static void *field(const struct opt *o, void *values)
{
    return (char *)values + o->offset;
}

static int bad_value(const struct opt *o, const char *text, const char *expected)
{
    return fv_fail(FV_EINVALID, "--%s: \"%s\" is not %s", o->name, text, expected);
}

/* A finite number that is the whole text up to one of the characters in stops. */
static bool number(const char **at, const char *stops, double *out)
{
    char *end;
    size_t decimal = strspn(*at, "0123456789.eE+-"); /* strtod also reads spaces, hex, names */
    *out = strtod(*at, &end);
    if (end == *at || end > *at + decimal || !isfinite(*out) || (*end && !strchr(stops, *end)))
        return false;
    *at = end;
    return true;
}

static bool whole(const char **at, const char *stops, uint32_t *out)
{
    char *end;
    if (!isdigit((unsigned char)**at))
        return false;
    unsigned long n = strtoul(*at, &end, 10);
    if (n > UINT32_MAX || (*end && !strchr(stops, *end)))
        return false;
    *at = end;
    *out = (uint32_t)n;
    return true;
}

static bool floats(const char *text, float *out, int n)
{
    for (int i = 0; i < n; i++) {
        double d;
        if (!number(&text, i + 1 < n ? "," : "", &d))
            return false;
        out[i] = (float)d;
        if (i + 1 < n && *text++ != ',')
            return false;
    }
    return true;
}

static int in_range(const struct opt *o, const char *text, double d)
{
    if (o->min < o->max && (d < o->min || d > o->max))
        return fv_fail(FV_EINVALID, "--%s: %s is not in %g..%g", o->name, text, o->min, o->max);
    return 0;
}

static int set_int(const struct opt *o, int *out, const char *text)
{
    const char *at = text;
    double d;
    if (!number(&at, "", &d) || d != floor(d) || fabs(d) > 2147483647)
        return bad_value(o, text, "a whole number");
    FV_TRY(in_range(o, text, d));
    *out = (int)d;
    return 0;
}

static int set_float(const struct opt *o, double *out, const char *text)
{
    const char *at = text;
    double d;
    if (!number(&at, "", &d))
        return bad_value(o, text, "a number");
    FV_TRY(in_range(o, text, d));
    *out = d;
    return 0;
}

static int set_enum(const struct opt *o, int *out, const char *text)
{
    char all[256] = "";
    for (int i = 0; o->choices[i]; i++) {
        if (!strcmp(o->choices[i], text)) {
            *out = i;
            return 0;
        }
        size_t n = strlen(all);
        snprintf(all + n, sizeof all - n, "%s%s", i ? ", " : "", o->choices[i]);
    }
    const char *near = opt_nearest(text, o->choices);
    if (near)
        return fv_fail(FV_EINVALID, "--%s: no \"%s\"; did you mean %s?", o->name, text, near);
    return fv_fail(FV_EINVALID, "--%s: no \"%s\"; choose one of %s", o->name, text, all);
}

static int set_size(const struct opt *o, struct opt_size *out, const char *text)
{
    const char *at = text;
    struct opt_size s = {.set = true};
    if (!whole(&at, "xX", &s.width) || !*at++ || !whole(&at, "", &s.height))
        return bad_value(o, text, "a size such as 1280x720");
    *out = s;
    return 0;
}

static int set_vec3(const struct opt *o, struct opt_vec3 *out, const char *text)
{
    struct opt_vec3 v = {.set = true};
    if (!floats(text, v.v, 3))
        return bad_value(o, text, "three numbers such as 0,1.5,-2");
    *out = v;
    return 0;
}

static int set_color(const struct opt *o, struct opt_vec3 *out, const char *text)
{
    struct opt_vec3 v = {.set = true};
    const char *hex = text + (*text == '#'); /* which a shell takes for a comment */
    if (*text == '#' || (!strchr(text, ',') && strlen(text) == 6)) {
        if (strspn(hex, "0123456789abcdefABCDEF") != 6 || hex[6])
            return bad_value(o, text, "a colour such as 336699");
        unsigned long rgb = strtoul(hex, NULL, 16);
        for (int i = 0; i < 3; i++)
            v.v[i] = (float)(rgb >> (16 - 8 * i) & 255) / 255.0f;
    } else {
        bool ok = floats(text, v.v, 3);
        for (int i = 0; i < 3; i++)
            ok = ok && v.v[i] >= 0 && v.v[i] <= 1;
        if (!ok)
            return bad_value(o, text, "a colour: r,g,b from 0 to 1, or rrggbb");
    }
    *out = v;
    return 0;
}

static int set_box(const struct opt *o, struct opt_box *out, const char *text)
{
    float f[6];
    if (!floats(text, f, 6))
        return bad_value(o, text, "a box x0,y0,z0,x1,y1,z1");
    out->set = true;
    for (int i = 0; i < 3; i++) {
        out->min[i] = fminf(f[i], f[i + 3]);
        out->max[i] = fmaxf(f[i], f[i + 3]);
    }
    return 0;
}

bool opt_amount(uint64_t *out, const char *text)
{
    const char *at = text, *units = "kmg", *unit;
    double d;
    if (!number(&at, "kKmMgG", &d) || d < 0)
        return false;
    if (*at && (unit = strchr(units, tolower((unsigned char)*at)))) {
        bool binary = at[1] == 'i';
        d *= pow(binary ? 1024 : 1000, (double)(unit - units + 1));
        at += 1 + binary;
    }
    if (*at || d > 1e18)
        return false;
    *out = (uint64_t)d;
    return true;
}

static int set_bytes(const struct opt *o, uint64_t *out, const char *text)
{
    return opt_amount(out, text) ? 0 : bad_value(o, text, "an amount such as 500k or 8M");
}

/* The television rates are fractions of 1001; a person writes 29.97. */
static int set_rate(const struct opt *o, struct opt_rate *out, const char *text)
{
    const char *at = text;
    double d;
    struct opt_rate r = {.set = true, .den = 1};
    if (strchr(text, '/')) {
        if (!whole(&at, "/", &r.num) || !*at++ || !whole(&at, "", &r.den))
            return bad_value(o, text, "a rate such as 30 or 30000/1001");
    } else {
        if (!number(&at, "", &d) || d < 0 || d > 1000)
            return bad_value(o, text, "a rate such as 30 or 30000/1001");
        double up = ceil(d - 1e-9);
        if (d != floor(d) && fabs(d - up * 1000 / 1001) < 0.006) {
            r.num = (uint32_t)up * 1000;
            r.den = 1001;
        } else if (d == floor(d)) {
            r.num = (uint32_t)d;
        } else {
            r.num = (uint32_t)lround(d * 1000);
            r.den = 1000;
        }
    }
    if (!r.num || !r.den || r.num / r.den > 1000 || r.den / r.num > 1000)
        return bad_value(o, text, "a rate between 0.001 and 1000");
    *out = r;
    return 0;
}

int opt_assign(const struct opt *o, void *values, const char *text, struct fv_arena *arena)
{
    void *f = field(o, values);
    switch (o->type) {
    case OPT_FLAG:
        *(bool *)f = true;
        return 0;
    case OPT_INT:
        return set_int(o, f, text);
    case OPT_FLOAT:
        return set_float(o, f, text);
    case OPT_STRING: {
        char *copy = fv_arena_strndup(arena, text, strlen(text));
        if (!copy)
            return FV_ENOMEM;
        *(const char **)f = copy;
        return 0;
    }
    case OPT_ENUM:
        return set_enum(o, f, text);
    case OPT_SIZE:
        return set_size(o, f, text);
    case OPT_VEC3:
        return set_vec3(o, f, text);
    case OPT_COLOR:
        return set_color(o, f, text);
    case OPT_BOX:
        return set_box(o, f, text);
    case OPT_BYTES:
        return set_bytes(o, f, text);
    case OPT_RATE:
        return set_rate(o, f, text);
    case OPT_END:
    case OPT_GROUP:
        break;
    }
    return fv_fail(FV_EINVALID, "option row without a type");
}

int opt_defaults(const struct opt *opts, void *values)
{
    for (const struct opt *o = opts; o->type; o++) {
        if (o->type == OPT_STRING)
            *(const char **)field(o, values) = o->def; /* a literal: lives for ever */
        else if (o->type != OPT_GROUP && o->def)
            FV_TRY(opt_assign(o, values, o->def, NULL));
    }
    return 0;
}

/* ---- looking up ------------------------------------------------------------------------- */

const struct opt *opt_find(const struct opt *opts, const char *name)
{
    for (const struct opt *o = opts; o->type; o++)
        if (o->name && !strcmp(o->name, name))
            return o;
    return NULL;
}

const char *opt_placeholder(const struct opt *o)
{
    static const char *const usual[] = {
        [OPT_INT] = "N",        [OPT_FLOAT] = "X",    [OPT_STRING] = "TEXT",  [OPT_ENUM] = "NAME",
        [OPT_SIZE] = "WxH",     [OPT_VEC3] = "X,Y,Z", [OPT_COLOR] = "COLOUR", [OPT_BOX] = "BOX",
        [OPT_BYTES] = "AMOUNT", [OPT_RATE] = "RATE"};
    return o->type == OPT_FLAG ? NULL : o->value ? o->value : usual[o->type];
}

/* Edit distance with swaps of neighbours (Damerau), of words up to 31 letters. */
static int distance(const char *a, const char *b)
{
    int d[32][32];
    int n = (int)strlen(a), m = (int)strlen(b);
    if (n > 31 || m > 31)
        return 99;
    for (int i = 0; i <= n; i++) {
        for (int j = 0; j <= m; j++) {
            if (!i || !j) {
                d[i][j] = i + j;
                continue;
            }
            int best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            best = d[i - 1][j] + 1 < best ? d[i - 1][j] + 1 : best;
            best = d[i][j - 1] + 1 < best ? d[i][j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    }
    return d[n][m];
}

const char *opt_nearest(const char *word, const char *const *names)
{
    const char *best = NULL;
    int least = 99;
    for (; *names; names++) {
        int n = (int)strlen(*names), d = distance(word, *names);
        if (strlen(word) >= 3 && !strncmp(word, *names, strlen(word)))
            d = 1;
        if (d <= (n + 2) / 3 && d < least) {
            least = d;
            best = *names;
        }
    }
    return best;
}

static const struct opt *find_in(const struct opt_set *sets, size_t nsets, const char *name,
                                 char short_name, void **values)
{
    for (size_t s = 0; s < nsets; s++) {
        for (const struct opt *o = sets[s].opts; o->type; o++) {
            if (o->type == OPT_GROUP ||
                (name ? strcmp(o->name, name) : o->short_name != short_name))
                continue;
            *values = sets[s].values;
            return o;
        }
    }
    return NULL;
}

static int unknown(const struct opt_set *sets, size_t nsets, const char *name)
{
    const char *names[256];
    size_t n = 0;
    for (size_t s = 0; s < nsets; s++)
        for (const struct opt *o = sets[s].opts; o->type && n < 255; o++)
            if (o->type != OPT_GROUP)
                names[n++] = o->name;
    names[n] = NULL;
    const char *near = opt_nearest(name, names);
    if (near)
        return fv_fail(FV_EINVALID, "unknown option --%s; did you mean --%s?", name, near);
    return fv_fail(FV_EINVALID, "unknown option --%s", name);
}

/* ---- argv ------------------------------------------------------------------------------- */

static int parse_long(const struct opt_set *sets, size_t nsets, const char *word, const char *next,
                      int *used, struct fv_arena *arena)
{
    char name[64];
    const char *eq = strchr(word, '=');
    size_t n = eq ? (size_t)(eq - word) : strlen(word);
    if (n >= sizeof name)
        return fv_fail(FV_EINVALID, "unknown option --%.60s...", word);
    memcpy(name, word, n);
    name[n] = 0;
    void *values;
    const struct opt *o = find_in(sets, nsets, name, 0, &values);
    if (!o)
        return unknown(sets, nsets, name);
    if (o->type == OPT_FLAG) {
        if (eq)
            return fv_fail(FV_EINVALID, "--%s takes no value", name);
        return opt_assign(o, values, "", arena);
    }
    if (!eq && !next)
        return fv_fail(FV_EINVALID, "--%s needs a value: --%s %s", name, name, opt_placeholder(o));
    *used = eq ? 0 : 1;
    return opt_assign(o, values, eq ? eq + 1 : next, arena);
}

static int parse_short(const struct opt_set *sets, size_t nsets, const char *word, const char *next,
                       int *used, struct fv_arena *arena)
{
    for (; *word; word++) {
        void *values;
        const struct opt *o = find_in(sets, nsets, NULL, *word, &values);
        if (!o)
            return fv_fail(FV_EINVALID, "unknown option -%c", *word);
        if (o->type == OPT_FLAG) {
            FV_TRY(opt_assign(o, values, "", arena));
            continue;
        }
        if (word[1])
            return opt_assign(o, values, word + 1 + (word[1] == '='), arena);
        if (!next)
            return fv_fail(FV_EINVALID, "-%c needs a value: -%c %s", *word, *word,
                           opt_placeholder(o));
        *used = 1;
        return opt_assign(o, values, next, arena);
    }
    return 0;
}

int opt_parse(const struct opt_set *sets, size_t nsets, struct opt_args *args, int argc,
              char *const *argv, struct fv_arena *arena)
{
    bool only_args = false;
    *args = (struct opt_args){0};
    args->items = fv_arena_alloc(arena, (size_t)(argc + 1) * sizeof *args->items);
    if (!args->items)
        return FV_ENOMEM;
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i], *next = i + 1 < argc ? argv[i + 1] : NULL;
        int used = 0;
        if (only_args || word[0] != '-' || !word[1])
            args->items[args->count++] = word;
        else if (!strcmp(word, "--"))
            only_args = true;
        else if (word[1] == '-')
            FV_TRY(parse_long(sets, nsets, word + 2, next, &used, arena));
        else
            FV_TRY(parse_short(sets, nsets, word + 1, next, &used, arena));
        i += used;
    }
    return 0;
}

/* ---- JSON ------------------------------------------------------------------------------- */

/* A JSON value as the text that would stand on the command line. */
static const char *json_text(struct fv_node n, struct fv_arena *arena)
{
    char text[512] = "";
    if (fv_node_is_string(n))
        return n.item->valuestring;
    if (fv_node_is_number(n)) {
        snprintf(text, sizeof text, "%.17g", n.item->valuedouble);
    } else if (fv_node_is_array(n)) {
        for (const cJSON *e = n.item->child; e; e = e->next) {
            size_t at = strlen(text);
            if (!cJSON_IsNumber(e) || at > sizeof text - 40)
                return NULL;
            snprintf(text + at, sizeof text - at, "%s%.17g", at ? "," : "", e->valuedouble);
        }
    } else {
        return NULL;
    }
    return fv_arena_strndup(arena, text, strlen(text));
}

static int json_args(struct opt_args *args, struct fv_json *doc, struct fv_node list,
                     struct fv_arena *arena)
{
    size_t n = fv_node_count(list);
    args->items = fv_arena_alloc(arena, (n + 1) * sizeof *args->items);
    if (!args->items)
        return FV_ENOMEM;
    for (size_t i = 0; i < n; i++) {
        struct fv_node e = fv_node_at(list, i);
        if (!fv_node_is_string(e))
            return fv_json_fail(doc, e, "expected text");
        args->items[args->count++] =
            fv_arena_strndup(arena, e.item->valuestring, strlen(e.item->valuestring));
        if (!args->items[i])
            return FV_ENOMEM;
    }
    return 0;
}

int opt_from_json_member(const struct opt_set *sets, size_t nsets, struct fv_json *doc, struct fv_node n,
                         const char *key, struct fv_arena *arena)
{
    void *values;
    const struct opt *o = find_in(sets, nsets, key, 0, &values);
    if (!o) {
        int rc = unknown(sets, nsets, key);
        return fv_wrap(rc, "%s: %s: ", doc->name, n.place);
    }
    if (o->type == OPT_FLAG) {
        if (!cJSON_IsBool(n.item))
            return fv_json_fail(doc, n, "expected true or false");
        *(bool *)field(o, values) = cJSON_IsTrue(n.item);
        return 0;
    }
    const char *text = json_text(n, arena);
    if (!text)
        return fv_json_fail(doc, n, "expected a number, text or an array of numbers");
    int rc = opt_assign(o, values, text, arena);
    return rc < 0 ? fv_wrap(rc, "%s: %s: ", doc->name, n.place) : 0;
}

int opt_from_json(const struct opt_set *sets, size_t nsets, struct opt_args *args,
                  struct fv_json *doc, struct fv_node object, struct fv_arena *arena)
{
    *args = (struct opt_args){0};
    if (!fv_node_is_object(object))
        return fv_json_fail(doc, object, "expected an object of options");
    for (const cJSON *e = object.item->child; e; e = e->next) {
        struct fv_node n = fv_node_get(object, e->string);
        if (!strcmp(e->string, "args") && fv_node_is_array(n))
            FV_TRY(json_args(args, doc, n, arena));
        else
            FV_TRY(opt_from_json_member(sets, nsets, doc, n, e->string, arena));
    }
    return 0;
}

/* The value as it would be written on the command line; false when it is not set. */
static bool value_text(const struct opt *o, const void *f, char *text, size_t size)
{
    switch (o->type) {
    case OPT_FLAG:
        snprintf(text, size, "%d", *(const bool *)f);
        return true;
    case OPT_INT:
        snprintf(text, size, "%d", *(const int *)f);
        return true;
    case OPT_FLOAT:
        snprintf(text, size, "%.12g", *(const double *)f);
        return true;
    case OPT_STRING: {
        const char *s = *(const char *const *)f;
        snprintf(text, size, "%s", s ? s : "");
        return s != NULL;
    }
    case OPT_ENUM:
        snprintf(text, size, "%s", o->choices[*(const int *)f]);
        return true;
    case OPT_SIZE: {
        const struct opt_size *s = f;
        snprintf(text, size, "%ux%u", s->width, s->height);
        return s->set;
    }
    case OPT_VEC3:
    case OPT_COLOR: {
        const struct opt_vec3 *v = f;
        snprintf(text, size, "%g,%g,%g", (double)v->v[0], (double)v->v[1], (double)v->v[2]);
        return v->set;
    }
    case OPT_BOX: {
        const struct opt_box *b = f;
        snprintf(text, size, "%g,%g,%g,%g,%g,%g", (double)b->min[0], (double)b->min[1],
                 (double)b->min[2], (double)b->max[0], (double)b->max[1], (double)b->max[2]);
        return b->set;
    }
    case OPT_BYTES:
        snprintf(text, size, "%llu", (unsigned long long)*(const uint64_t *)f);
        return true;
    case OPT_RATE: {
        const struct opt_rate *r = f;
        snprintf(text, size, r->den == 1 ? "%u" : "%u/%u", r->num, r->den);
        return r->set;
    }
    case OPT_END:
    case OPT_GROUP:
        break;
    }
    return false;
}

/* Text of the value when it is set and not the default. */
static bool changed_text(const struct opt *o, const void *values, char *text, size_t size)
{
    union {
        double align;
        unsigned char bytes[64];
    } def = {.bytes = {0}};
    struct opt alone = *o; /* the same row over a value of its own, holding the default */
    alone.offset = 0;
    char def_text[256] = "";
    if (!value_text(o, (const char *)values + o->offset, text, size))
        return false;
    if (opt_defaults((struct opt[]){alone, {0}}, &def) < 0 ||
        !value_text(&alone, &def, def_text, sizeof def_text))
        return true;
    return strcmp(text, def_text) != 0;
}

char *opt_to_json(const struct opt *opts, const void *values)
{
    cJSON *root = cJSON_CreateObject();
    for (const struct opt *o = opts; root && o->type; o++) {
        char text[4096];
        if (o->type == OPT_GROUP || !changed_text(o, values, text, sizeof text))
            continue;
        if (o->type == OPT_FLAG)
            cJSON_AddTrueToObject(root, o->name);
        else if (o->type == OPT_INT || o->type == OPT_FLOAT || o->type == OPT_BYTES)
            cJSON_AddRawToObject(root, o->name, text);
        else
            cJSON_AddStringToObject(root, o->name, text);
    }
    char *text = root ? cJSON_PrintUnformatted(root) : NULL;
    cJSON_Delete(root);
    return text;
}

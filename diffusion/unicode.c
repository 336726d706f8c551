/* Code points: decoding, classes, lower case, normalisation form C (Unicode Standard Annex 15). */
#include "diffusion/unicode.h"
#include "diffusion/unicode_tables.h"
#include "vk/base/array.h"
#include "vk/base/err.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* ---- tables ------------------------------------------------------------------------------ */

/* The value of the run that c is in; 0: in none. */
static uint32_t run_value(const struct char_run *runs, size_t n, uint32_t c)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (c < runs[mid].first)
            high = mid;
        else if (c > runs[mid].last)
            low = mid + 1;
        else
            return runs[mid].value;
    }
    return 0;
}

unsigned df_char_is(uint32_t c)
{
    return run_value(char_flags, COUNT(char_flags), c);
}

static uint32_t lower_of(uint32_t c)
{
    size_t low = 0, high = COUNT(char_lower);
    while (low < high) {
        size_t mid = (low + high) / 2;
        const struct lower_run *r = &char_lower[mid];
        if (c < r->first)
            high = mid;
        else if (c > r->last)
            low = mid + 1;
        else
            return (c - r->first) % r->step ? c : (uint32_t)((int32_t)c + r->delta);
    }
    return c;
}

static const struct char_parts *parts_of(const struct char_parts *list, size_t n, uint32_t c)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (list[mid].whole == c)
            return &list[mid];
        if (list[mid].whole < c)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

size_t df_char_usual_width(uint32_t c, uint32_t out[2])
{
    if (c == 0x3000) {
        out[0] = ' ';
        return 1;
    }
    const struct char_parts *p = c < 0xFF01 || c > 0xFFEF ? NULL : parts_of(char_width, COUNT(char_width), c);
    if (!p)
        return 0;
    out[0] = p->a;
    out[1] = p->b;
    return p->b ? 2 : 1;
}

size_t df_char_named(const char *name, size_t n, uint32_t out[2], bool *bare)
{
    size_t low = 0, high = COUNT(char_names);
    while (low < high) {
        size_t mid = (low + high) / 2;
        const struct char_name *e = &char_names[mid];
        int order = strncmp(e->name, name, n);
        if (!order)
            order = e->name[n] ? 1 : 0;
        if (!order) {
            out[0] = e->a;
            out[1] = e->b;
            *bare = e->bare;
            return e->b ? 2 : 1;
        }
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return 0;
}

/* ---- sequences --------------------------------------------------------------------------- */

int df_chars_push(struct df_chars *t, uint32_t c)
{
    if (t->count == t->room)
        FV_TRY(fv_grow(&t->at, &t->room, t->count, sizeof *t->at));
    t->at[t->count++] = c;
    return 0;
}

int df_chars_append(struct df_chars *t, const uint32_t *at, size_t n)
{
    for (size_t i = 0; i < n; i++)
        FV_TRY(df_chars_push(t, at[i]));
    return 0;
}

void df_chars_finish(struct df_chars *t)
{
    free(t->at);
    *t = (struct df_chars){0};
}

void df_chars_swap(struct df_chars *a, struct df_chars *b)
{
    struct df_chars c = *a;
    *a = *b;
    *b = c;
}

void df_chars_strip(struct df_chars *t)
{
    size_t first = 0;
    while (first < t->count && df_char_is(t->at[first]) & DF_SPACE)
        first++;
    while (t->count > first && df_char_is(t->at[t->count - 1]) & DF_SPACE)
        t->count--;
    t->count -= first;
    if (first)
        memmove(t->at, t->at + first, t->count * sizeof *t->at);
}

/* ---- UTF-8 ------------------------------------------------------------------------------- */

/* A character's bytes at s of n; 0: none there, *bad the bytes that stand for one U+FFFD. */
static size_t decode_one(const unsigned char *s, size_t n, uint32_t *c, size_t *bad)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t size = s[0] < 0x80 ? 1 : s[0] < 0xC2 ? 0 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : s[0] < 0xF5 ? 4 : 0;
    *bad = 1;
    if (size < 2) {
        *c = s[0];
        return size;
    }
    *c = s[0] & (0x7Fu >> size);
    for (size_t i = 1; i < size; i++) {
        if (i >= n || (s[i] & 0xC0) != 0x80)
            return 0;
        *c = *c << 6 | (s[i] & 0x3F);
        /* What the second byte rules out is no beginning of a character. */
        uint32_t low = *c << 6 * (size - 1 - i), high = low | ((1u << 6 * (size - 1 - i)) - 1);
        if (high < least[size] || low > 0x10FFFF || (low >= 0xD800 && high < 0xE000))
            return 0;
        *bad = i + 1;
    }
    return size;
}

int df_chars_decode(struct df_chars *t, const char *text, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint32_t c;
        size_t bad, size = decode_one((const unsigned char *)text + i, n - i, &c, &bad);
        if (!size)
            return fv_fail(FV_EINVALID, "the text is not UTF-8: byte %zu is 0x%02x", i, (unsigned char)text[i]);
        FV_TRY(df_chars_push(t, c));
        i += size;
    }
    return 0;
}

int df_chars_decode_loosely(struct df_chars *t, const char *text, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint32_t c;
        size_t bad, size = decode_one((const unsigned char *)text + i, n - i, &c, &bad);
        FV_TRY(df_chars_push(t, size ? c : 0xFFFD));
        i += size ? size : bad;
    }
    return 0;
}

size_t df_char_bytes(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t size = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = size; i-- > 1; c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)(0xF00u >> size | c);
    return size;
}

char *df_chars_encode(const struct df_chars *t)
{
    char *out = malloc(4 * t->count + 1);
    size_t n = 0;
    for (size_t i = 0; out && i < t->count; i++)
        n += df_char_bytes(t->at[i], out + n);
    if (out)
        out[n] = 0;
    return out;
}

/* ---- lower case -------------------------------------------------------------------------- */

/* Whether a capital sigma ends a word: letters before it, none after. */
static bool is_final(const struct df_chars *t, size_t at)
{
    size_t i = at;
    while (i > 0 && df_char_is(t->at[i - 1]) & DF_CASE_IGNORED)
        i--;
    if (!i || !(df_char_is(t->at[i - 1]) & DF_CASED))
        return false;
    for (i = at + 1; i < t->count && df_char_is(t->at[i]) & DF_CASE_IGNORED;)
        i++;
    return i == t->count || !(df_char_is(t->at[i]) & DF_CASED);
}

int df_chars_lower(struct df_chars *t)
{
    enum { I_DOT = 0x130, DOT = 0x307, SIGMA = 0x3A3, FINAL_SIGMA = 0x3C2 };
    struct df_chars out = {0};
    int rc = 0;
    for (size_t i = 0; i < t->count && rc == 0; i++) {
        uint32_t c = t->at[i];
        if (c == SIGMA && is_final(t, i))
            rc = df_chars_push(&out, FINAL_SIGMA);
        else
            rc = df_chars_push(&out, c == I_DOT ? 'i' : lower_of(c));
        if (c == I_DOT && rc == 0)
            rc = df_chars_push(&out, DOT);
    }
    df_chars_swap(t, &out);
    df_chars_finish(&out);
    return rc;
}

/* ---- composition ------------------------------------------------------------------------- */

enum {
    L_BASE = 0x1100, V_BASE = 0x1161, T_BASE = 0x11A7, S_BASE = 0xAC00,
    L_COUNT = 19, V_COUNT = 21, T_COUNT = 28, S_COUNT = L_COUNT * V_COUNT * T_COUNT,
};

static unsigned class_of(uint32_t c)
{
    return c < 0x300 ? 0 : run_value(char_class, COUNT(char_class), c);
}

static int decompose(struct df_chars *out, uint32_t c)
{
    if (c >= S_BASE && c < S_BASE + S_COUNT) {
        uint32_t s = c - S_BASE;
        FV_TRY(df_chars_push(out, L_BASE + s / (V_COUNT * T_COUNT)));
        FV_TRY(df_chars_push(out, V_BASE + s % (V_COUNT * T_COUNT) / T_COUNT));
        return s % T_COUNT ? df_chars_push(out, T_BASE + s % T_COUNT) : 0;
    }
    const struct char_parts *p = c < 0xC0 ? NULL : parts_of(char_parts, COUNT(char_parts), c);
    if (!p)
        return df_chars_push(out, c);
    FV_TRY(decompose(out, p->a));
    return p->b ? decompose(out, p->b) : 0;
}

/* Marks on a character in the order of their classes; equal ones stay. A merge sort: a hostile text is
 * one character with 100 000 marks. */
static int order_marks(struct df_chars *t)
{
    uint32_t *to = malloc(t->count * sizeof *to + 1);
    if (!to)
        return fv_fail(FV_ENOMEM, "out of memory");
    for (size_t i = 0; i < t->count;) {
        size_t end = i;
        while (end < t->count && class_of(t->at[end]))
            end++;
        for (size_t step = 1; step < end - i; step *= 2) {
            for (size_t a = i; a < end; a += 2 * step) {
                size_t mid = a + step < end ? a + step : end, stop = mid + step < end ? mid + step : end;
                size_t l = a, r = mid;
                for (size_t k = a; k < stop; k++) {
                    bool left = l < mid && (r >= stop || class_of(t->at[l]) <= class_of(t->at[r]));
                    to[k] = t->at[left ? l++ : r++];
                }
            }
            memcpy(t->at + i, to + i, (end - i) * sizeof *to);
        }
        i = end + 1;
    }
    free(to);
    return 0;
}

/* The one character for two; 0: there is none. */
static uint32_t whole_of(uint32_t a, uint32_t b)
{
    if (a >= L_BASE && a < L_BASE + L_COUNT && b >= V_BASE && b < V_BASE + V_COUNT)
        return S_BASE + ((a - L_BASE) * V_COUNT + b - V_BASE) * T_COUNT;
    if (a >= S_BASE && a < S_BASE + S_COUNT && (a - S_BASE) % T_COUNT == 0 && b > T_BASE &&
        b < T_BASE + T_COUNT)
        return a + b - T_BASE;
    size_t low = 0, high = COUNT(char_pairs);
    while (low < high) {
        size_t mid = (low + high) / 2;
        const struct char_pair *p = &char_pairs[mid];
        if (p->a == a && p->b == b)
            return p->whole;
        if (p->a < a || (p->a == a && p->b < b))
            low = mid + 1;
        else
            high = mid;
    }
    return 0;
}

static void join(struct df_chars *t)
{
    size_t n = 0, starter = 0;
    bool any = false;
    unsigned last = 0;
    for (size_t i = 0; i < t->count; i++) {
        uint32_t c = t->at[i];
        unsigned k = class_of(c);
        /* A mark between of the same class, or a starter, blocks. */
        bool open = any && (n == starter + 1 || (last && last < k));
        uint32_t whole = open ? whole_of(t->at[starter], c) : 0;
        if (whole) {
            t->at[starter] = whole;
            continue;
        }
        if (!k) {
            starter = n;
            any = true;
        }
        last = k;
        t->at[n++] = c;
    }
    t->count = n;
}

int df_chars_compose(struct df_chars *t)
{
    struct df_chars out = {0};
    int rc = 0;
    for (size_t i = 0; i < t->count && rc == 0; i++)
        rc = decompose(&out, t->at[i]);
    if (rc == 0)
        rc = order_marks(&out);
    if (rc == 0) {
        join(&out);
        df_chars_swap(t, &out);
    }
    df_chars_finish(&out);
    return rc;
}

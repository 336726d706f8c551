/* HTML in texts, as Python's html.parser under BeautifulSoup and html.unescape read it: what is no markup
 * by their rules stays text. */
#include "diffusion/clean.h"
#include "diffusion/pattern.h"
#include "vk/base/array.h"
#include "vk/base/err.h"

#include <stdlib.h>
#include <string.h>

/* ---- numbered and named characters ------------------------------------------------------- */

/* What bytes 128 to 159 are in windows-1252, which is what such numbers meant; 0: themselves. */
static const uint16_t windows_1252[32] = {
    0x20AC, 0,      0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160,
    0x2039, 0x0152, 0,      0x017D, 0,      0,      0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
    0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0,      0x017E, 0x0178};

uint32_t df_char_of_windows(uint32_t c)
{
    return c >= 0x80 && c < 0xA0 && windows_1252[c - 0x80] ? windows_1252[c - 0x80] : c;
}

static bool is_hex(uint32_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static uint32_t digit_value(uint32_t c)
{
    return c <= '9' ? c - '0' : (c | 32) - 'a' + 10;
}

/* The digits at s of n -> how many; *value stops growing beyond all characters. */
static size_t read_digits(const uint32_t *s, size_t n, bool hex, uint32_t *value)
{
    size_t i = 0;
    *value = 0;
    for (; i < n && (hex ? is_hex(s[i]) : s[i] >= '0' && s[i] <= '9'); i++)
        if (*value <= 0x10FFFF)
            *value = *value * (hex ? 16 : 10) + digit_value(s[i]);
    return i;
}

/* The number behind "&#" at s of n -> its length with x; 0: none. */
static size_t read_number(const uint32_t *s, size_t n, uint32_t *value)
{
    bool hex = n && (s[0] | 32) == 'x';
    size_t digits = read_digits(s + hex, n - hex, hex, value);
    return digits ? digits + hex : 0;
}

static bool is_forbidden(uint32_t c)
{
    return (c >= 0x1 && c <= 0x8) || c == 0xB || (c >= 0xE && c <= 0x1F) || (c >= 0x7F && c <= 0x9F) ||
           (c >= 0xFDD0 && c <= 0xFDEF) || ((c & 0xFFFE) == 0xFFFE && c <= 0x10FFFF);
}

/* As html.unescape. Returns the characters, 0 to 2. */
static size_t of_number(uint32_t v, uint32_t out[2])
{
    out[0] = 0xFFFD;
    if (v == 0 || v > 0x10FFFF || (v >= 0xD800 && v < 0xE000))
        return 1;
    out[0] = df_char_of_windows(v);
    return out[0] == v && v != 0xD && is_forbidden(v) && !(v >= 0x80 && v < 0xA0) ? 0 : 1;
}

/* A name at s of n, ASCII: the longest that is known, with or without ';' -> characters; *used. */
static size_t of_name(const uint32_t *s, size_t n, uint32_t out[2], size_t *used)
{
    enum { MOST = 32 };
    char name[MOST + 1];
    size_t length = 0, count;
    bool bare;
    while (length < n && length < MOST && !strchr("\t\n\f <&#;", (int)(s[length] < 128 ? s[length] : 'a')) &&
           s[length])
        length++;
    for (size_t i = 0; i < length; i++)
        name[i] = (char)(s[i] < 128 ? s[i] : 1);
    if (length < n && s[length] == ';' && (count = df_char_named(name, length, out, &bare)) > 0) {
        *used = length + 1;
        return count;
    }
    for (size_t i = length; i > 1; i--)
        if ((count = df_char_named(name, i, out, &bare)) > 0 && bare) {
            *used = i;
            return count;
        }
    return 0;
}

int df_chars_unescape(struct df_chars *t)
{
    struct df_chars out = {0};
    int rc = 0;
    for (size_t i = 0; i < t->count && rc == 0;) {
        const uint32_t *s = t->at + i;
        size_t left = t->count - i, used = 0, count = 0;
        uint32_t c[2], value;
        if (s[0] == '&' && left > 1 && s[1] == '#') {
            used = read_number(s + 2, left - 2, &value);
            if (used) {
                count = of_number(value, c);
                used += 2 + (used + 2 < left && s[used + 2] == ';');
            }
        } else if (s[0] == '&') {
            count = of_name(s + 1, left - 1, c, &used);
            used += used > 0;
        }
        rc = used ? df_chars_append(&out, c, count) : df_chars_push(&out, s[0]);
        i += used ? used : 1;
    }
    if (rc == 0)
        df_chars_swap(t, &out);
    df_chars_finish(&out);
    return rc;
}

/* ---- markup ------------------------------------------------------------------------------ */

enum { NAME = 16, MOST_WORK = 1 << 21 };

struct parser {
    const uint32_t *s;
    size_t n, at;
    struct df_chars *out;
    struct df_pattern *tag, *name, *attribute; /* a whole opening tag; its parts */
    bool fresh[3];
    char raw[NAME]; /* inside a script or style: till its end nothing is markup */
    struct open {
        char name[NAME];
        bool hidden; /* text in it is none of the document's */
    } *open;
    size_t open_count, open_room, hidden;
    size_t work;        /* characters looked at in vain or twice: what costs too much is text */
    size_t closes;      /* behind the last '>' */
};

static bool is_letter(uint32_t c)
{
    return (c | 32) >= 'a' && (c | 32) <= 'z' && c < 128;
}

static bool starts(const struct parser *p, size_t at, const char *text)
{
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++)
        if (at + i >= p->n || p->s[at + i] != (unsigned char)text[i])
            return false;
    return true;
}

/* The place of a character at or behind `from`; n: there is none. */
static size_t find(const struct parser *p, size_t from, uint32_t c)
{
    if (c == '>' && from >= p->closes)
        return p->n;
    while (from < p->n && p->s[from] != c)
        from++;
    return from;
}

static int text(struct parser *p, size_t from, size_t to)
{
    return p->hidden || to <= from ? 0 : df_chars_append(p->out, p->s + from, to - from);
}

/* Enough of a name to tell those apart that matter. */
static void copy_name(const struct parser *p, size_t from, size_t to, char out[NAME])
{
    size_t n = 0;
    for (size_t i = from; i < to && n < NAME - 1; i++) {
        uint32_t c = p->s[i];
        out[n++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c < 128 ? c : 1);
    }
    out[n] = 0;
}

static bool is_one_of(const char *name, const char *const *list)
{
    while (*list && strcmp(*list, name))
        list++;
    return *list != NULL;
}

static int open_tag(struct parser *p, const char *name, bool closed)
{
    static const char *const empty[] = {"area", "base", "br", "col", "embed", "hr", "img", "input",
                                        "keygen", "link", "menuitem", "meta", "param", "source",
                                        "track", "wbr", "basefont", "bgsound", "command", "frame",
                                        "image", "isindex", "nextid", "spacer", NULL};
    static const char *const hides[] = {"script", "style", "template", "rt", "rp", NULL};
    if (closed || is_one_of(name, empty))
        return 0;
    FV_TRY(fv_grow(&p->open, &p->open_room, p->open_count, sizeof *p->open));
    struct open *o = &p->open[p->open_count++];
    memcpy(o->name, name, NAME);
    o->hidden = is_one_of(name, hides);
    p->hidden += o->hidden;
    if (!strcmp(name, "script") || !strcmp(name, "style"))
        memcpy(p->raw, name, NAME);
    return 0;
}

static void close_tag(struct parser *p, const char *name)
{
    size_t i = p->open_count;
    while (i > 0 && strcmp(p->open[i - 1].name, name))
        i--;
    if (!i) /* not open: nothing is closed */
        return;
    while (p->open_count >= i)
        p->hidden -= p->open[--p->open_count].hidden;
}

/* The end of what begins with '<' at p->at; *unfinished: it has none. */
static int opening(struct parser *p, bool *unfinished, size_t *end)
{
    struct df_match m, name;
    int rc = df_pattern_find(p->tag, p->s, p->n, p->at, true, p->fresh[0], &m);
    p->fresh[0] = false;
    if (rc < 0)
        return rc;
    p->work += m.farthest - p->at;
    uint32_t next = m.to < p->n ? p->s[m.to] : 0;
    bool self = next == '/' && m.to + 1 < p->n && p->s[m.to + 1] == '>';
    if (m.to == p->n || (next == '/' && !self) || is_letter(next) || next == '=') {
        *unfinished = true;
        return 0;
    }
    *end = next == '>' ? m.to + 1 : self ? m.to + 2 : m.to;
    rc = df_pattern_find(p->name, p->s, p->n, p->at + 1, true, p->fresh[1], &name);
    p->fresh[1] = false;
    if (rc < 0)
        return rc;
    size_t at = name.to;
    while (rc > 0 && at < *end) {
        struct df_match a;
        rc = df_pattern_find(p->attribute, p->s, p->n, at, true, p->fresh[2], &a);
        p->fresh[2] = false;
        at = rc > 0 ? a.to : at;
    }
    if (rc < 0)
        return rc;
    while (at < *end && df_char_is(p->s[at]) & DF_SPACE)
        at++;
    bool closed = *end == at + 2 && starts(p, at, "/>");
    if (!closed && !(*end == at + 1 && p->s[at] == '>'))
        return text(p, p->at, *end);
    char tag[NAME];
    copy_name(p, p->at + 1, name.group[0][1], tag);
    return open_tag(p, tag, closed);
}

/* "</": a name, then anything to '>'. */
static int closing(struct parser *p, bool *unfinished, size_t *end)
{
    size_t from = p->at + 2, to = find(p, p->at + 1, '>');
    char tag[NAME];
    *unfinished = to == p->n;
    if (*unfinished)
        return 0;
    *end = to + 1;
    if (*p->raw) /* there only its own end is looked for */
        while (from < to && df_char_is(p->s[from]) & DF_SPACE)
            from++;
    if (from >= to || !is_letter(p->s[from])) {
        size_t start = from;
        while (start < to && df_char_is(p->s[start]) & DF_SPACE)
            start++;
        if (start == from || start >= to || !is_letter(p->s[start]))
            return 0; /* as a comment */
        from = start;
    }
    size_t stop = from;
    while (stop < to && !(df_char_is(p->s[stop]) & DF_SPACE) && p->s[stop] != '/' && p->s[stop])
        stop++;
    copy_name(p, from, stop, tag);
    close_tag(p, tag);
    p->raw[0] = 0;
    return 0;
}

/* Where "-->" ends, white space between allowed; n: it does not. */
static size_t comment_end(const struct parser *p, size_t from)
{
    for (; from + 1 < p->n; from++) {
        if (p->s[from] != '-' || p->s[from + 1] != '-')
            continue;
        size_t i = from + 2;
        while (i < p->n && df_char_is(p->s[i]) & DF_SPACE)
            i++;
        if (i < p->n && p->s[i] == '>')
            return i + 1;
    }
    return p->n;
}

static int declaration(struct parser *p, bool *unfinished, size_t *end)
{
    size_t to;
    if (starts(p, p->at, "<!--")) {
        *end = comment_end(p, p->at + 4);
        p->work += *end - p->at;
        *unfinished = *end == p->n && (p->n < 3 || p->s[p->n - 1] != '>');
        return 0;
    }
    if (starts(p, p->at, "<![cdata[")) {
        for (to = p->at + 9; to + 2 < p->n && !starts(p, to, "]]>");)
            to++;
        *unfinished = !starts(p, to, "]]>");
        p->work += to - p->at;
        *end = to + 3;
        /* text wherever it stands */
        return *unfinished ? 0 : df_chars_append(p->out, p->s + p->at + 9, to - p->at - 9);
    }
    to = find(p, p->at + 2, '>');
    *unfinished = to == p->n;
    *end = to + 1;
    return 0;
}

static int markup(struct parser *p, bool last, bool *stop)
{
    size_t end = p->at + 1;
    bool unfinished = false;
    uint32_t next = p->at + 1 < p->n ? p->s[p->at + 1] : 0;
    int rc = 0;
    if (p->work > MOST_WORK)
        unfinished = true;
    else if (is_letter(next))
        rc = opening(p, &unfinished, &end);
    else if (next == '/')
        rc = closing(p, &unfinished, &end);
    else if (next == '!' || next == '?')
        rc = declaration(p, &unfinished, &end);
    else if (p->at + 1 < p->n)
        rc = text(p, p->at, end);
    else
        *stop = true;
    if (unfinished && !last) {
        *stop = true;
    } else if (unfinished) { /* text, as far as the next that may be a tag */
        end = find(p, p->at + 1, '>') + 1;
        if (end > p->n)
            end = find(p, p->at + 1, '<');
        if (end == p->n && find(p, p->at + 1, '>') == p->n)
            end = p->at + 1;
        rc = text(p, p->at, end);
    }
    if (!*stop)
        p->at = end;
    return rc;
}

/* "&#": a number and something behind it. BeautifulSoup takes those below 256 for windows-1252. */
static int numbered(struct parser *p, bool *stop)
{
    uint32_t value, c;
    size_t used = read_number(p->s + p->at + 2, p->n - p->at - 2, &value), end = p->at + 2 + used;
    /* Fewer digits do, where that leaves one that is no hexadecimal digit behind them. */
    if (used && end < p->n && !is_hex(p->s[end])) {
        c = value > 0x10FFFF || (value >= 0xD800 && value < 0xE000) ? 0xFFFD : df_char_of_windows(value);
        p->at = end + (p->s[end] == ';');
        return p->hidden ? 0 : df_chars_push(p->out, c);
    }
    *stop = true;
    if (find(p, p->at, ';') == p->n)
        return 0;
    p->at += 2;
    return text(p, p->at - 2, p->at);
}

static int reference(struct parser *p, bool last, bool *stop)
{
    enum { MOST = 40 };
    size_t from = p->at + 1, end = from;
    char name[MOST];
    uint32_t c[2];
    bool bare;
    if (starts(p, p->at, "&#"))
        return numbered(p, stop);
    if (from == p->n) {
        *stop = true;
        return 0;
    }
    if (!is_letter(p->s[from])) {
        p->at = from;
        return text(p, from - 1, from);
    }
    while (end < p->n && (is_letter(p->s[end]) || (p->s[end] >= '0' && p->s[end] <= '9') || p->s[end] == '-' ||
                          p->s[end] == '.'))
        end++;
    if (end == p->n) /* something has to follow that is no letter or digit: a '-' or '.' will do */
        do
            end--;
        while (end > from && p->s[end] != '-' && p->s[end] != '.');
    if (end == from) {
        *stop = true;
        p->at += last && p->n - p->at == 2;
        return 0;
    }
    size_t length = end - from, count = 0;
    for (size_t i = 0; i < length && i < MOST; i++)
        name[i] = (char)p->s[from + i];
    if (length < MOST)
        count = df_char_named(name, length, c, &bare);
    size_t start = p->at;
    p->at = end + (end < p->n && p->s[end] == ';');
    if (p->hidden)
        return 0;
    return count ? df_chars_append(p->out, c, count) : text(p, start, end);
}

/* The next place that may be markup. */
static size_t interesting(const struct parser *p)
{
    size_t i = p->at;
    for (; i < p->n; i++) {
        if (!*p->raw && (p->s[i] == '<' || p->s[i] == '&'))
            return i;
        if (!*p->raw || !starts(p, i, "</"))
            continue;
        size_t k = i + 2;
        while (k < p->n && df_char_is(p->s[k]) & DF_SPACE)
            k++;
        if (!starts(p, k, p->raw))
            continue;
        for (k += strlen(p->raw); k < p->n && df_char_is(p->s[k]) & DF_SPACE;)
            k++;
        if (starts(p, k, ">"))
            return i;
    }
    return p->n;
}

/* Once as if more were to come, once to the end: what stops the first is taken by the second. */
static int pass(struct parser *p, bool last)
{
    bool stop = false;
    while (p->at < p->n && !stop) {
        size_t next = interesting(p);
        if (next == p->n && *p->raw)
            break;
        FV_TRY(text(p, p->at, next));
        p->at = next;
        if (next < p->n)
            FV_TRY(p->s[next] == '<' ? markup(p, last, &stop) : reference(p, last, &stop));
    }
    if (last && p->at < p->n && !*p->raw) {
        FV_TRY(text(p, p->at, p->n));
        p->at = p->n;
    }
    return 0;
}

int df_chars_strip_markup(struct df_chars *t)
{
    static const char tag[] = "<[a-zA-Z][^\\t\\n\\r\\f />\\0]*(?:[\\s/]*(?:(?<=['\"\\s/])[^\\s/>][^\\s/=>]*"
                              "(?:\\s*=+\\s*(?:'[^']*'|\"[^\"]*\"|(?!['\"])[^>\\s]*)\\s*)?"
                              "(?:\\s|/(?![>]))*)*)?\\s*";
    static const char name[] = "([a-zA-Z][^\\t\\n\\r\\f />\\0]*)(?:\\s|/(?![>]))*";
    static const char attribute[] = "(?<=['\"\\s/])[^\\s/>][^\\s/=>]*"
                                    "(?:\\s*=+\\s*(?:'[^']*'|\"[^\"]*\"|(?!['\"])[^>\\s]*))?"
                                    "(?:\\s|/(?![>]))*";
    struct df_chars out = {0};
    struct parser p = {.s = t->at, .n = t->count, .out = &out, .fresh = {true, true, true}};
    for (size_t i = 0; i < t->count; i++)
        p.closes = t->at[i] == '>' ? i + 1 : p.closes;
    int rc = df_pattern_open(&p.tag, tag);
    if (rc == 0)
        rc = df_pattern_open(&p.name, name);
    if (rc == 0)
        rc = df_pattern_open(&p.attribute, attribute);
    if (rc == 0)
        rc = pass(&p, false);
    if (rc == 0)
        rc = pass(&p, true);
    if (rc == 0)
        df_chars_swap(t, &out);
    df_pattern_close(&p.tag);
    df_pattern_close(&p.name);
    df_pattern_close(&p.attribute);
    free(p.open);
    df_chars_finish(&out);
    return rc;
}

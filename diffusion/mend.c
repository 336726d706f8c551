/* What ftfy's fix_text does, but for text that was decoded as what it was not: entities, ligatures, widths,
 * quotes, ends of lines, control characters, composition; line by line, till nothing changes. */
#include "diffusion/clean.h"
#include "diffusion/pattern.h"
#include "vk/base/err.h"

#include <string.h>

enum { MOST_ROUNDS = 64 };

/* Entities with their ';' only. */
static int unescape_strictly(struct df_chars *t)
{
    enum { MOST = 24 };
    struct df_chars out = {0};
    int rc = 0;
    for (size_t i = 0; i < t->count && rc == 0; i++) {
        size_t n = 0;
        bool number = i + 1 < t->count && t->at[i + 1] == '#';
        while (t->at[i] == '&' && i + 1 + n < t->count && n <= MOST + 1 && t->at[i + 1 + n] < 128 &&
               ((df_char_is(t->at[i + 1 + n]) & DF_WORD && t->at[i + 1 + n] != '_') || (number && !n)))
            n++;
        if (!n || n - number > MOST || i + 1 + n >= t->count || t->at[i + 1 + n] != ';') {
            rc = df_chars_push(&out, t->at[i]);
            continue;
        }
        struct df_chars part = {0};
        rc = df_chars_append(&part, t->at + i, n + 2);
        if (rc == 0 && number) {
            rc = df_chars_unescape(&part);
            for (size_t k = 0; k < part.count; k++)
                number = number && part.at[k] != ';';
            if (rc == 0 && !number) { /* not wholly: as it was */
                part.count = 0;
                rc = df_chars_append(&part, t->at + i, n + 2);
            }
        } else if (rc == 0) {
            char name[MOST + 1];
            uint32_t c[2];
            bool bare;
            for (size_t k = 0; k < n; k++)
                name[k] = (char)t->at[i + 1 + k];
            size_t count = df_char_named(name, n, c, &bare);
            if (count) {
                part.count = 0;
                rc = df_chars_append(&part, c, count);
            }
        }
        if (rc == 0)
            rc = df_chars_append(&out, part.at, part.count);
        df_chars_finish(&part);
        i += n + 1;
    }
    if (rc == 0)
        df_chars_swap(t, &out);
    df_chars_finish(&out);
    return rc;
}

/* Letters that one character writes together; NULL: it is none such. */
static const char *ligature(uint32_t c)
{
    static const struct {
        uint32_t c;
        const char *text;
    } rows[] = {{0x132, "IJ"}, {0x133, "ij"}, {0x149, "\u02bcn"}, {0x1C4, "D\u017d"}, {0x1C5, "D\u017e"},
                {0x1C6, "d\u017e"}, {0x1C7, "LJ"}, {0x1C8, "Lj"}, {0x1C9, "lj"}, {0x1CA, "NJ"}, {0x1CB, "Nj"},
                {0x1CC, "nj"}, {0x1F1, "DZ"}, {0x1F2, "Dz"}, {0x1F3, "dz"}, {0xFB00, "ff"}, {0xFB01, "fi"},
                {0xFB02, "fl"}, {0xFB03, "ffi"}, {0xFB04, "ffl"}, {0xFB05, "\u017ft"}, {0xFB06, "st"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].c == c)
            return rows[i].text;
    return NULL;
}

static bool is_control(uint32_t c)
{
    return c < 9 || c == 0xB || (c >= 0xE && c < 0x20) || c == 0x7F || (c >= 0x206A && c < 0x2070) ||
           c == 0xFEFF || (c >= 0xFFF9 && c < 0xFFFD);
}

static uint32_t plain(uint32_t c)
{
    c = df_char_of_windows(c);
    return c == 0x2BC || (c >= 0x2018 && c <= 0x201B) ? '\'' : c >= 0x201C && c <= 0x201F ? '"' : c;
}

static bool is_line_end(uint32_t c)
{
    return c == '\r' || c == 0x2028 || c == 0x2029 || c == 0x85;
}

static int mend_characters(struct df_chars *t)
{
    struct df_chars out = {0};
    int rc = 0;
    for (size_t i = 0; i < t->count && rc == 0; i++) {
        uint32_t c = plain(t->at[i]), wide[2];
        const char *text = ligature(c);
        size_t n = text ? 0 : df_char_usual_width(c, wide);
        if (text)
            rc = df_chars_decode(&out, text, strlen(text));
        else if (n)
            rc = df_chars_append(&out, wide, n);
        else if (c == '\r' && i + 1 < t->count && t->at[i + 1] == '\n')
            continue;
        else
            rc = df_chars_push(&out, is_line_end(c) ? '\n' : c);
    }
    if (rc == 0)
        df_chars_swap(t, &out);
    df_chars_finish(&out);
    return rc;
}

static void drop_controls(struct df_chars *t)
{
    size_t n = 0;
    for (size_t i = 0; i < t->count; i++)
        if (!is_control(t->at[i]))
            t->at[n++] = t->at[i];
    t->count = n;
}

static bool holds(const struct df_chars *t, uint32_t c)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->at[i] == c)
            return true;
    return false;
}

static int mend_line(struct df_chars *line, bool entities)
{
    struct df_chars before = {0};
    bool same = false;
    int rc = 0;
    for (int round = 0; round < MOST_ROUNDS && !same && rc == 0; round++) {
        before.count = 0;
        rc = df_chars_append(&before, line->at, line->count);
        if (rc == 0 && entities)
            rc = unescape_strictly(line);
        if (rc == 0)
            rc = mend_characters(line);
        if (rc == 0 && holds(line, 0x1B))
            rc = df_replace(line, "\x1b\\[[\\d;]*[a-zA-Z]", ""); /* colours of terminals */
        drop_controls(line);
        if (rc == 0)
            rc = df_chars_compose(line);
        same = line->count == before.count &&
               (!line->count || !memcmp(line->at, before.at, line->count * sizeof *line->at));
    }
    df_chars_finish(&before);
    return rc;
}

int df_chars_mend(struct df_chars *t)
{
    struct df_chars out = {0};
    bool entities = true; /* till something that looks like markup */
    int rc = 0;
    for (size_t i = 0, end; i < t->count && rc == 0; i = end) {
        struct df_chars line = {0};
        for (end = i; end < t->count && (end == i || t->at[end - 1] != '\n'); end++)
            entities = entities && t->at[end] != '<';
        rc = df_chars_append(&line, t->at + i, end - i);
        if (rc == 0)
            rc = mend_line(&line, entities);
        if (rc == 0)
            rc = df_chars_append(&out, line.at, line.count);
        df_chars_finish(&line);
    }
    if (rc == 0)
        df_chars_swap(t, &out);
    df_chars_finish(&out);
    return rc;
}

int df_chars_clean_basic(struct df_chars *t)
{
    FV_TRY(df_chars_mend(t));
    FV_TRY(df_chars_unescape(t));
    FV_TRY(df_chars_unescape(t));
    df_chars_strip(t);
    return 0;
}

/* Prompts as Open-Sora 1.2 has them: cleaning of captions, scores behind them, rounds, mask strategies. */
#include "diffusion/clean.h"
#include "diffusion/diffusion.h"
#include "diffusion/pattern.h"
#include "vk/base/array.h"
#include "vk/base/json.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- cleaning ---------------------------------------------------------------------------- */

struct rule {
    const char *pattern, *with;
};

/* The text is in small letters by then. */
#define DOMAIN "[a-zA-Z0-9.\\-]+[.](?:com?|ru|net|org|edu|gov|it)[\\w/-]*\\b/?(?![@])"
#define PICTURE "(?:png|jpg|jpeg|bmp|webp|eps|pdf|apk|mp4)"

static const struct rule addresses[] = {
    {"<person>", "person"},
    {"\\b(?:https?:(?:/{1,3}|[a-zA-Z0-9%])|" DOMAIN ")", ""},
    {"\\b(?:www:(?:/{1,3}|[a-zA-Z0-9%])|" DOMAIN ")", ""},
};

static const struct rule signs[] = {
    {"@\\w+\\b", ""},
    {"[\u31c0-\u31ef\u31f0-\u31ff\u3200-\u32ff\u3300-\u33ff\u3400-\u4dbf\u4dc0-\u4dff\u4e00-\u9fff]+", ""},
    {"[\\-\u058a\u05be\u1400\u1806\u2010-\u2015\u2e17\u2e1a\u2e3a\u2e3b\u2e40\u301c\u3030\u30a0\ufe31\ufe32"
     "\ufe58\ufe63\uff0d]+", "-"},
    {"[`´«»“”¨]", "\""},
    {"[‘’]", "'"},
    {"&quot;?", ""},
    {"&amp", ""},
    {"\\d{1,3}\\.\\d{1,3}\\.\\d{1,3}\\.\\d{1,3}", " "}, /* addresses of the internet */
    {"\\d:\\d\\d\\s+$", ""},
    {"\\\\n", " "},
    {"#\\d{1,3}\\b", ""},
    {"#\\d{5,}\\b", ""},
    {"\\b\\d{6,}\\b", ""},
    {"\\S+\\." PICTURE, ""},
    {"[\"']{2,}", "\""},
    {"\\.{2,}", " "},
    {"[#®•©™&@·º½¾¿¡§~)(\\]\\[}{|\\\\/*]+", " "},
    {"\\s+\\.\\s+", " "},
};

static const struct rule codes[] = {
    {"\\b[a-zA-Z]{1,3}\\d{3,15}\\b", ""},
    {"\\b[a-zA-Z]+\\d+[a-zA-Z]+\\b", ""},
    {"\\b\\d+[a-zA-Z]+\\d+\\b", ""},
    {"(?:worldwide\\s+)?(?:free\\s+)?shipping", ""}, /* what shops write */
    {"(?:free\\s)?download(?:\\sfree)?", ""},
    {"\\bclick\\b\\s(?:for|on)\\s\\w+", ""},
    {"\\b" PICTURE "(?:\\simages?)?", ""},
    {"\\bpage\\s+\\d+\\b", ""},
    {"\\b\\d*[a-zA-Z]+\\d+[a-zA-Z]+\\d+[a-zA-Z\\d]*\\b", " "},
    {"\\b\\d+\\.?\\d*[xх×]\\d+\\.?\\d*\\b", ""}, /* sizes; the second x is Cyrillic */
    {"\\b\\s+:\\s+", ": "},
    {"(\\D[,./])\\b", "\\1 "},
    {"\\s+", " "},
    {"^[\"']([\\w\\W]+)[\"']$", "\\1"},
    {"^['_,\\-:;]", ""},
    {"['_,\\-:+]$", ""},
    {"^\\.\\S+$", ""},
};

static int apply(struct df_chars *t, const struct rule *rules, size_t n)
{
    for (size_t i = 0; i < n; i++)
        FV_TRY(df_replace(t, rules[i].pattern, rules[i].with));
    return 0;
}
#define APPLY(t, rules) apply(t, rules, sizeof(rules) / sizeof *(rules))

static int hex_of(uint32_t c)
{
    return c >= '0' && c <= '9' ? (int)c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (int)(c | 32) - 'a' + 10 : -1;
}

/* As in addresses: '+' is a space, %XX a byte of UTF-8; bytes side by side are decoded together. */
static int unquote(struct df_chars *t)
{
    struct df_chars out = {0};
    char *bytes = malloc(t->count + 1);
    int rc = bytes ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    for (size_t i = 0; i < t->count && rc == 0;) {
        size_t n = 0;
        while (i + 2 < t->count && t->at[i] == '%' && hex_of(t->at[i + 1]) >= 0 && hex_of(t->at[i + 2]) >= 0) {
            bytes[n++] = (char)(hex_of(t->at[i + 1]) * 16 + hex_of(t->at[i + 2]));
            i += 3;
        }
        if (n)
            rc = df_chars_decode_loosely(&out, bytes, n);
        else
            rc = df_chars_push(&out, t->at[i] == '+' ? ' ' : t->at[i]), i++;
    }
    free(bytes);
    if (rc == 0)
        df_chars_swap(t, &out);
    df_chars_finish(&out);
    return rc;
}

/* this-is-a-name, this_is_one: more than three such marks are spaces. */
static void part_names(struct df_chars *t)
{
    size_t marks = 0;
    for (size_t i = 0; i < t->count; i++)
        marks += t->at[i] == '-' || t->at[i] == '_';
    for (size_t i = 0; marks > 3 && i < t->count; i++)
        if (t->at[i] == '-' || t->at[i] == '_')
            t->at[i] = ' ';
}

static int clean(struct df_chars *t)
{
    FV_TRY(unquote(t));
    df_chars_strip(t);
    FV_TRY(df_chars_lower(t));
    FV_TRY(APPLY(t, addresses));
    FV_TRY(df_chars_strip_markup(t));
    FV_TRY(APPLY(t, signs));
    part_names(t);
    FV_TRY(df_chars_clean_basic(t));
    FV_TRY(APPLY(t, codes));
    df_chars_strip(t);
    return 0;
}

static int give(char **out, struct df_chars *t, int rc)
{
    *out = rc == 0 ? df_chars_encode(t) : NULL;
    df_chars_finish(t);
    return rc == 0 && !*out ? fv_fail(FV_ENOMEM, "out of memory") : rc;
}

int df_clean_caption(char **out, const char *text, bool once)
{
    struct df_chars t = {0};
    int rc = df_chars_decode(&t, text, strlen(text));
    if (rc == 0)
        rc = clean(&t);
    if (rc == 0 && !once)
        rc = clean(&t);
    return give(out, &t, rc);
}

int df_plain_caption(char **out, const char *text)
{
    struct df_chars t = {0};
    int rc = df_chars_decode(&t, text, strlen(text));
    if (rc == 0)
        rc = df_chars_lower(&t);
    df_chars_strip(&t);
    return give(out, &t, rc);
}

/* ---- prompts ----------------------------------------------------------------------------- */

static int out_of_memory(void)
{
    return fv_fail(FV_ENOMEM, "out of memory");
}

/* text with something more, which replaces it. */
static int extend(char **text, const char *fmt, const char *value)
{
    char *more = NULL, *all = NULL;
    if (asprintf(&more, fmt, value) < 0)
        return out_of_memory();
    if (asprintf(&all, "%s%s", *text, more) < 0)
        all = NULL;
    free(more);
    free(*text);
    *text = all;
    return all ? 0 : out_of_memory();
}

int df_append_scores(char **out, const char *prompt, const struct df_scores *s)
{
    char number[64];
    int rc = 0;
    *out = strdup(prompt);
    if (!*out)
        return out_of_memory();
    snprintf(number, sizeof number, "%.1f", s->aesthetic);
    if (!isnan(s->aesthetic) && !strstr(prompt, "aesthetic score:"))
        rc = extend(out, " aesthetic score: %s.", number);
    snprintf(number, sizeof number, "%.1f", s->motion);
    if (rc == 0 && !isnan(s->motion) && !strstr(prompt, "motion score:"))
        rc = extend(out, " motion score: %s.", number);
    if (rc == 0 && s->camera && !strstr(prompt, "camera motion:"))
        rc = extend(out, " camera motion: %s.", s->camera);
    return rc;
}

void df_prompt_parts_free(struct df_prompt_part *parts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(parts[i].text);
    free(parts);
}

/* Parts as they stand, between '|'. */
static int parts_of(struct df_prompt_part **out, size_t *count, const char *prompt)
{
    size_t room = 0;
    *out = NULL;
    *count = 0;
    bool marked = !strncmp(prompt, "|0|", 3);
    const char *at = marked ? prompt + 1 : prompt;
    do {
        char *end = NULL;
        long from = marked ? strtol(at, &end, 10) : 0;
        if (marked && (end == at || *end != '|' || from < 0 || from > 1 << 20 ||
                       (*count && (uint32_t)from <= (*out)[*count - 1].from)))
            return fv_fail(FV_EINVALID, "prompt: \"|%.20s\": expected |NUMBER|, each greater than the one before",
                           at);
        const char *text = marked ? end + 1 : at;
        size_t n = marked ? strcspn(text, "|") : strlen(text);
        FV_TRY(fv_grow(out, &room, *count, sizeof **out));
        char *copy = strndup(text, n);
        if (!copy)
            return out_of_memory();
        (*out)[(*count)++] = (struct df_prompt_part){copy, (uint32_t)from};
        at = text + n + (text[n] == '|');
        if (!text[n])
            break;
    } while (marked);
    return 0;
}

static void drop(struct df_prompt_part **parts, size_t *count)
{
    df_prompt_parts_free(*parts, *count);
    *parts = NULL;
    *count = 0;
}

int df_split_prompt(struct df_prompt_part **out, size_t *count, const char *prompt)
{
    int rc = parts_of(out, count, prompt);
    for (size_t i = 0; i < *count && rc == 0 && !strncmp(prompt, "|0|", 3); i++) {
        struct df_chars t = {0};
        char *text = NULL;
        rc = df_chars_decode(&t, (*out)[i].text, strlen((*out)[i].text));
        df_chars_strip(&t);
        rc = give(&text, &t, rc);
        if (rc == 0) {
            free((*out)[i].text);
            (*out)[i].text = text;
        }
    }
    if (rc < 0)
        drop(out, count);
    return rc;
}

int df_prompt_of_round(char **out, const char *prompt, uint32_t round)
{
    struct df_prompt_part *parts;
    size_t count, i = 0;
    *out = NULL;
    int rc = parts_of(&parts, &count, prompt);
    while (rc == 0 && i + 1 < count && parts[i + 1].from <= round)
        i++;
    if (rc == 0) {
        *out = strdup(parts[i].text);
        rc = *out ? 0 : out_of_memory();
    }
    drop(&parts, &count);
    return rc;
}

int df_prompt_json(const char *prompt, char **text, char **reference, char **strategy)
{
    const char *brace = strchr(prompt, '{');
    struct fv_json doc;
    *reference = *strategy = NULL;
    *text = brace ? strndup(prompt, (size_t)(brace - prompt)) : strdup(prompt);
    if (!*text)
        return out_of_memory();
    if (!brace)
        return 0;
    int rc = fv_json_parse(&doc, brace, strlen(brace), "the prompt's JSON");
    if (rc == 0) {
        for (size_t i = 0; i < fv_node_count(doc.root) && rc == 0; i++) {
            struct fv_node n = fv_node_at(doc.root, i);
            const char *key = fv_node_is_object(doc.root) ? fv_node_key(n) : "";
            char **to = !strcmp(key, "reference_path")  ? reference
                        : !strcmp(key, "mask_strategy") ? strategy
                                                        : NULL;
            if (!to || *to || !fv_node_is_string(n))
                rc = fv_fail(FV_EINVALID, "the prompt's JSON: reference_path and mask_strategy are known, as text");
            else if (!(*to = strdup(fv_node_string(n))))
                rc = out_of_memory();
        }
        fv_json_close(&doc);
    }
    if (rc < 0) {
        free(*text);
        free(*reference);
        free(*strategy);
        *text = *reference = *strategy = NULL;
    }
    return rc;
}

int df_parse_mask_strategy(struct df_mask_rule **out, size_t *count, const char *text)
{
    size_t room = 0;
    *out = NULL;
    *count = 0;
    while (*text) {
        double v[6] = {0, 0, 0, 0, 1, 0};
        int n = 0;
        bool good = true, more = true;
        for (; n < 6 && good && more; n++) {
            char *end;
            v[n] = strtod(text, &end);
            good = end != text && (n == 5 ? isfinite(v[n]) : v[n] == floor(v[n]) && fabs(v[n]) < INT_MAX);
            text = end;
            more = *text == ',' && n < 5;
            text += more;
        }
        if (!good || (*text && *text != ';') || (*text == ';' && !text[1])) {
            free(*out);
            *out = NULL;
            *count = 0;
            return fv_fail(FV_EINVALID, "mask strategy: expected 1 to 6 numbers with ',' between, groups with ';', "
                                        "at \"%.20s\"", text);
        }
        text += *text == ';';
        if (fv_grow(out, &room, *count, sizeof **out) < 0) {
            free(*out);
            *out = NULL;
            return FV_ENOMEM;
        }
        (*out)[(*count)++] = (struct df_mask_rule){(int)v[0], (int)v[1], (int)v[2], (int)v[3], (int)v[4], v[5]};
    }
    return 0;
}

int df_latents_to_frames(int latents)
{
    return latents >= 0 && latents % 5 == 0 ? latents / 5 * 17 : -1;
}

/* Regular expressions over code points, as Python's re: private to diffusion/.
 *
 * Characters, [sets], \w \d \s \b and their opposites, (groups), |, * + ? {m,n}, ^ and $ of the whole text,
 * (?<=[x]) and (?![x]) of one character; greedy. Time is linear in the text: a state that failed at a place
 * is not tried there again.
 *
 *     FV_TRY(df_replace(&text, "#[0-9]{1,3}\\b", ""));
 *     FV_TRY(df_replace(&text, "([^0-9],)\\b", "\\1 "));          // \1: the first group */
#ifndef DIFFUSION_PATTERN_H
#define DIFFUSION_PATTERN_H

#include "diffusion/unicode.h"

struct df_pattern;

/* FV_EINVALID: not such an expression. Groups that begin with ( are counted, (?: are not. */
int df_pattern_open(struct df_pattern **out, const char *text);
void df_pattern_close(struct df_pattern **p);

struct df_match {
    size_t from, to;
    size_t farthest; /* place that was looked at */
    size_t group[2][2]; /* of the first two groups; SIZE_MAX where they took no part */
};
/* The first match at or behind `start`, or only there. Calls with the same text and growing `start` share
 * what was learnt; `fresh` for another text. Returns 1, 0 or FV_ENOMEM. */
int df_pattern_find(struct df_pattern *p, const uint32_t *at, size_t n, size_t start, bool only_there,
                    bool fresh, struct df_match *m);

/* Every match by `with`. */
int df_replace(struct df_chars *t, const char *pattern, const char *with);

#endif

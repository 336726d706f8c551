/* Text as code points, and what Python's str and re know of them: private to diffusion/.
 *
 *     struct df_chars t = {0};
 *     FV_TRY(df_chars_decode(&t, text, strlen(text)));   // or FV_EINVALID: not UTF-8
 *     FV_TRY(df_chars_lower(&t));
 *     char *out = df_chars_encode(&t);                   // malloc'd
 *     df_chars_finish(&t); */
#ifndef DIFFUSION_UNICODE_H
#define DIFFUSION_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct df_chars {
    uint32_t *at;
    size_t count, room;
};

enum df_char {
    DF_WORD = 1, /* \w */
    DF_DIGIT = 2,
    DF_SPACE = 4,
    DF_LETTER = 8,
    DF_NUMBER = 16,
    DF_CASED = 32,
    DF_CASE_IGNORED = 64,
};
unsigned df_char_is(uint32_t c);

/* Appends; FV_ENOMEM. */
int df_chars_push(struct df_chars *t, uint32_t c);
int df_chars_append(struct df_chars *t, const uint32_t *at, size_t n);
/* Appends n bytes of UTF-8. FV_EINVALID tells the first byte that is none. */
int df_chars_decode(struct df_chars *t, const char *text, size_t n);
/* The same where bytes that are no UTF-8 become U+FFFD, as Python's errors="replace". */
int df_chars_decode_loosely(struct df_chars *t, const char *text, size_t n);
/* Terminated UTF-8, malloc'd; NULL without memory. */
char *df_chars_encode(const struct df_chars *t);
/* Bytes of a character as UTF-8: 1 to 4. */
size_t df_char_bytes(uint32_t c, char out[4]);
void df_chars_finish(struct df_chars *t);

void df_chars_swap(struct df_chars *a, struct df_chars *b);
/* Without the white space around. */
void df_chars_strip(struct df_chars *t);
/* str.lower(). */
int df_chars_lower(struct df_chars *t);
/* Normalisation form C. */
int df_chars_compose(struct df_chars *t);
/* Of a fullwidth or halfwidth form the usual characters, 1 or 2; 0 for others. */
size_t df_char_usual_width(uint32_t c, uint32_t out[2]);
/* A named character of HTML (without & and ;): its characters, 1 or 2; 0: there is none. *bare: known
 * without the ; too. */
size_t df_char_named(const char *name, size_t n, uint32_t out[2], bool *bare);

#endif

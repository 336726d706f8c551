/* Cleaning of texts, step by step: private to diffusion/. docs/TEXT.md says what is done. */
#ifndef DIFFUSION_CLEAN_H
#define DIFFUSION_CLEAN_H

#include "diffusion/unicode.h"

/* markup.c: text without tags and comments, its entities resolved; html.unescape(). */
int df_chars_strip_markup(struct df_chars *t);
int df_chars_unescape(struct df_chars *t);
/* What a control character from 128 to 159 is in windows-1252. */
uint32_t df_char_of_windows(uint32_t c);

/* mend.c: the rules of ftfy's fix_text but for texts decoded wrongly; that, html.unescape() twice and no
 * white space around. */
int df_chars_mend(struct df_chars *t);
int df_chars_clean_basic(struct df_chars *t);

#endif

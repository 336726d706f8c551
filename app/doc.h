/* Texts made from the command and option tables: help, the man page, shell completion. */
#ifndef DOC_H
#define DOC_H

#include "app/cmd.h"

#include <stdio.h>

/* `fovea --help`: examples, commands, global options; fits a screen. */
void doc_overview(FILE *out);
/* Usage, examples, options. all: `fovea help NAME`; otherwise `fovea NAME --help`, which leaves
 * out what is rare and fits a screen. */
void doc_command(FILE *out, const struct cmd *c, bool all);
/* man1/fovea.1 in troff (man macros). */
void doc_man(FILE *out);
/* shell is "bash", "zsh" or "fish"; FV_EINVALID for others. */
int doc_completion(FILE *out, const char *shell);

#endif

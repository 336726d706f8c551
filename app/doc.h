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
/* A page of docs/reference: of a command, or (NULL) the list of all, what they have in common, exit
 * statuses and environment. */
void doc_markdown(FILE *out, const struct cmd *c);
/* shell is "bash", "zsh" or "fish"; FV_EINVALID for others. */
int doc_completion(FILE *out, const char *shell);

/* What the man page and docs/reference share: rows end with NULL. */
struct doc_row {
    const char *name, *text;
};
extern const struct doc_row doc_statuses[], doc_environment[];
/* An option's help with its choices and default: what all texts say of it. */
void doc_option_text(const struct opt *o, char *text, size_t size);

#endif

/* Command lines from values: for logs, and for scripts that a shell runs. */
#ifndef COMMAND_LINE_H
#define COMMAND_LINE_H

#include "app/opt.h"

#include <stdio.h>

/* A space and the word, quoted where a shell would not take it as it is. */
void command_line_word(FILE *out, const char *word);
/* Options whose values differ from their defaults: " --size 64x64 --exact". Returns 0 or FV_ENOMEM. */
int command_line_options(FILE *out, const struct opt *opts, const void *values);

#endif

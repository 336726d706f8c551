/* What main sets up around a command: signals, log lines, the device's lifetime. */
#ifndef CONTEXT_H
#define CONTEXT_H

#include "app/cmd.h"

#include <stdio.h>

/* Zero options, environment defaults, Ctrl-C handling: the first asks, the second kills. */
int context_init(struct app *app);
/* Log lines to standard error as --quiet and --verbose say; after the options are parsed. */
void context_logging(struct app *app);
/* FV_EDEVICE when validation is on and had something to say. */
int context_close_device(struct app *app);
void context_finish(struct app *app);
/* Version of fovea and of the libraries in use, with their licences. */
void context_version(FILE *out);

#endif

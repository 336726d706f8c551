/* Where a command's pictures go: what -o names, and the name of each file of a sequence.
 *
 *     struct output o;
 *     FV_TRY(output_parse(&o, "shots/frame_%04d.png", OUTPUT_AUTO));
 *     char *name = output_name(&o, 7, "front");      // shots/frame_0007.png; caller frees
 */
#ifndef OUTPUT_H
#define OUTPUT_H

#include "app/opt.h"

#include <stdbool.h>
#include <stddef.h>

/* Values of --format, in the order of output_choices. */
enum output_format {
    OUTPUT_AUTO,
    OUTPUT_VIDEO, /* MP4 and so on, by the name */
    OUTPUT_PNG,
    OUTPUT_NPY,
    OUTPUT_Y4M,
    OUTPUT_RAW,
    OUTPUT_MP4, /* these three become VIDEO with a container */
    OUTPUT_MKV,
    OUTPUT_WEBM,
};
extern const char *const output_choices[];

struct output {
    enum output_format format; /* never AUTO */
    const char *path;          /* borrowed */
    const char *container;     /* ".mkv": of VIDEO whose name does not say it; else NULL */
    bool to_stdout;            /* "-" */
    bool numbered;             /* holds one %d */
    bool directory;            /* files named after cameras or numbers go in here */
};

/* The format follows the suffix unless it is given; a name that ends in / or is a folder takes
 * PNGs. Standard output takes one picture, or several PNGs one behind the other. Returns 0,
 * FV_EUNSUPPORTED (no such suffix), FV_EINVALID (pattern, "-" without a format). */
int output_parse(struct output *out, const char *path, enum output_format format);
/* Places for a number in a name: %d, %4d or %04d; %% is a percent sign. -1 when the pattern is wrong. */
int output_count_numbers(const char *path);
/* A name that ends in / or is a folder. */
bool output_is_folder(const char *path);
/* Pictures, each whole by itself, not one stream. */
bool output_is_sequence(const struct output *o);
/* File of picture i. name: a camera's, used in a directory when not NULL. Caller frees; NULL
 * when memory is out. */
char *output_name(const struct output *o, size_t i, const char *name);
/* More than one picture; one file would be written again and again. */
bool output_takes_several(const struct output *o);
/* The folder the files go into: made when -o names one, only looked at otherwise. Returns 0 or
 * FV_EIO. */
int output_prepare_folder(const struct output *o);

/* What a file says of how it was made, {"fovea":"0.1.0","command":...,"options":{...}}: options as given, says
 * between, keys and texts in turn, NULL last. Caller frees; NULL when memory is out. */
char *output_settings(const char *command, const struct opt *opts, const void *values, const char *const *says);

#endif

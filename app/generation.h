/* What the viewer's person has chosen of a clip to be generated: as the command line of `fovea generate`, as
 * JSON, and back out of a video made before.
 *
 *     struct generation g;
 *     generation_defaults(&g);
 *     FV_TRY(generation_of_video(&g, "out.mp4"));      // what `generate --from` reads
 *     generation_line(&g, &line, &(struct generation_files){.output = "other.mp4"});
 */
#ifndef APP_GENERATION_H
#define APP_GENERATION_H

#include "app/model_in.h"
#include "app/process.h"

struct cJSON;
struct fv_json;

/* Zero, -1 or "" leaves a member to the model. */
struct generation {
    char model[1024]; /* folder; "" = the bundled one */
    char prompt[4096], negative[2048];
    char image[1024]; /* the first picture; "" = none */
    char size[32];    /* "320x240", "240p" */
    char frames[32];  /* "17", "2s" */
    double fps, guidance;
    double seed; /* -1 = another each time */
    int steps, merge_steps;
    enum leap_choice leap;
    int leap_from;
    uint64_t memory; /* bytes of the device; 0 = what is free */
};

void generation_defaults(struct generation *g);
/* Where the clip goes and what is told of it meanwhile; NULL: not. */
struct generation_files {
    const char *output;          /* NULL: a dry run */
    const char *preview, *report;
    const char *device;          /* as --device; NULL = best */
};
void generation_line(const struct generation *g, struct process_line *line, const struct generation_files *f);
/* The video's settings, and its model where that is still there (it is named by its folder). Returns 0,
 * FV_EIO, FV_EFORMAT (it is no video, or was not made by fovea generate). */
int generation_of_video(struct generation *g, const char *path);
/* Settings kept: what is missing or wrong in them stays as it is. */
void generation_read(struct generation *g, const char *json);
char *generation_write(const struct generation *g); /* caller frees; NULL: out of memory */
/* A name for its file: words of the prompt, "a-red-ball-rolls". */
void generation_name(const struct generation *g, char *out, size_t size);
/* NULL, or why this cannot be made, as a sentence with what to do. */
const char *generation_wrong(const struct generation *g);

#endif

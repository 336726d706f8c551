/* The clips that one `fovea generate` makes: prompts from the command line or a file, several clips of each,
 * and the name of each clip's file. */
#ifndef GENERATE_JOBS_H
#define GENERATE_JOBS_H

#include "app/opt.h"

/* A prompt taken apart: what each round shows, and the JSON that may stand behind it. */
struct generate_prompt {
    const char *whole;           /* as it was given */
    size_t *text;                /* [rounds]: numbers of texts */
    char *references, *strategy; /* NULL: none */
};

struct generate_job {
    const struct generate_prompt *prompt;
    uint64_t seed;
    char *output;
};

struct generate_jobs {
    struct generate_job *items;
    size_t count;
    struct generate_prompt *prompts;
    size_t prompt_count;
    char **texts; /* different ones */
    size_t text_count, text_room;
};

/* Lines of a file: one prompt each, without those that are empty or begin with #. Texts are in the arena.
 * Returns 0, FV_EIO, FV_EINVALID (no prompt in it, not UTF-8: told by line). */
int generate_prompts(struct opt_args *out, const char *path, struct fv_arena *arena);
/* `each` clips of each prompt with seeds from `seed` on. Of several clips the files are numbered from 1: a
 * name with %04d, a folder/ (clip_0001.mp4 there), or else out.mp4 becomes out_0001.mp4. */
int generate_jobs_make(struct generate_jobs *j, const struct opt_args *prompts, uint32_t rounds, uint32_t each,
                       uint64_t seed, const char *output);
void generate_jobs_finish(struct generate_jobs *j);

#endif

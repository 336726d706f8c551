/* fovea generate, within: what it was asked for and what it is about. cmd_generate.c has the options and the
 * order of things, generate_settle.c what is asked for in the end, generate_make.c the clips. */
#ifndef GENERATE_WORK_H
#define GENERATE_WORK_H

#include "app/batch_journal.h"
#include "app/clip.h"
#include "app/cmd.h"
#include "app/generate_clip.h"
#include "app/generate_held.h"
#include "app/generate_jobs.h"
#include "app/generator.h"
#include "app/progress.h"

struct generate_values {
    struct model_paths paths;
    const char *output, *prompt_file, *negative, *size, *aspect, *frames, *camera, *latents, *from, *report;
    const char *image, *last_image, *references, *lora, *strategy, *extend, *analytic, *checkpoint, *preview;
    int steps, count, merge, leap, leap_from, method, rounds, repeat, preview_every, format, dtype, activations, expand, codec, crf, progress;
    uint64_t memory;
    double cache, seed, guidance, shift, start, renorm, seconds, aesthetic, motion;
    bool replace, joint, dry_run, json;
    struct opt_rate fps;
};

struct generate_work {
    struct app *app;
    struct generate_values v; /* settled: what the clips are made with */
    struct opt_args prompts;
    struct generate_held *held;
    struct generator *g; /* of it */
    struct vk_device *dev;
    struct progress progress;
    struct generate_jobs jobs;
    struct generator_clip clip;
    char **captions;              /* of each different text, the negative one last */
    struct generator_text *texts;
    struct df_scores scores;
    char hash[17];
    char *references, *strategy; /* of all clips, but where a prompt has its own */
    struct generator_cost cost;
    size_t begin;                /* number of the first clip that is not there yet, as the checkpoint says */
    struct batch_journal journal; /* of several clips: which are there */
    bool journal_new;             /* nothing was known when it was opened */
    size_t made;
    struct cmd_cost *estimate; /* is filled, and nothing said */
    /* of the clip being made */
    const struct generate_job *job;
    struct generate_clip making;
    struct clip_out out;
    struct sink_stats sink;
    double started;
};

extern const struct opt generate_opts[]; /* of struct generate_values */

/* ---- generate_settle.c ---- */

/* The settings of the video of --from, with those of the command line over them. */
int generate_take_settings(struct generate_work *w, const struct generate_values *given);
/* JSON: all it takes to make this clip again, and nothing that differs when it is. NULL: out of memory. */
char *generate_settings_json(const struct generate_work *w, const struct generate_job *job);
bool generate_latents_only(const struct generate_work *w);
int generate_check_options(struct generate_work *w);
/* What was left to the model becomes what it says, so that it can be written down. */
int generate_settle(struct generate_work *w);
/* A score of 0 is none, one that is not given the model's. */
double generate_score(double *given, double usual);
int generate_join_references(struct generate_work *w);

/* ---- generate_make.c ---- */

/* What is wrong with a prompt is told before anything is loaded. */
int generate_captions(struct generate_work *w);
size_t generate_caption_count(const struct generate_work *w);
/* Each different one once. */
int generate_encode(struct generate_work *w);
int generate_check_names(const struct generate_work *w);
/* Clip i: made, or found where it was made before. */
int generate_make_or_find(struct generate_work *w, size_t i);

#endif

/* Clips of `fovea generate`, from captions to files (generate_work.h). */
#include "app/generate_work.h"
#include "app/latents.h"
#include "app/text.h"
#include "vk/base/file.h"
#include "vk/base/hash.h"
#include "vk/base/log.h"
#include "vk/base/thread.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Captions of a batch's later jobs that are encoded with the first one's. */
enum { MOST_COMING = 256 };

/* ---- making ------------------------------------------------------------------------------ */

/* What is wrong with a prompt is told before anything is loaded. */
int generate_captions(struct generate_work *w)
{
    size_t n = w->jobs.text_count;
    w->captions = calloc(n + 1, sizeof *w->captions);
    w->texts = calloc(n + 1, sizeof *w->texts);
    if (!w->captions || !w->texts)
        return fv_fail(FV_ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        int rc = generator_caption(w->g, &w->captions[i], w->jobs.texts[i], &w->scores);
        if (rc < 0)
            return n > 1 ? fv_wrap(rc, "prompt %zu: ", i + 1) : rc;
        fv_log(FV_INFO, "caption: %s", w->captions[i]);
    }
    const struct df_scores none = {NAN, NAN, NULL};
    if (w->v.negative && generator_caption(w->g, &w->captions[n], w->v.negative, &none) < 0)
        return fv_wrap(FV_EINVALID, "--negative: ");
    return 0;
}

size_t generate_caption_count(const struct generate_work *w)
{
    return w->jobs.text_count + (w->v.negative != NULL);
}

/* Captions of later jobs, of the same model: what is wrong with one is told when its turn comes. */
static size_t coming_captions(const struct generate_work *w, char **list, size_t room)
{
    const struct model_usual *u = &w->held->model.usual;
    const struct batch_job *j;
    size_t n = 0, at = 0;
    while (w->app->keep && n < room && (j = keep_coming(w->app->keep, &at))) {
        const struct generate_values *v = j->values;
        struct df_scores s;
        char *text, *references, *strategy;
        double aesthetic = v->aesthetic, motion = v->motion;
        if (j->cmd != &cmd_generate || v->prompt_file || v->from || v->rounds > 1 || j->args.count != 1 ||
            df_prompt_json(j->args.items[0], &text, &references, &strategy) < 0)
            continue;
        s.aesthetic = generate_score(&aesthetic, u->scores.aesthetic);
        s.motion = generate_score(&motion, u->scores.motion);
        s.camera = v->camera ? v->camera : u->scores.camera;
        s.camera = s.camera && *s.camera ? s.camera : NULL;
        char *part = NULL;
        if (df_prompt_of_round(&part, text, 0) == 0 && generator_caption(w->g, &list[n], part, &s) == 0)
            n++;
        free(part);
        free(text);
        free(references);
        free(strategy);
    }
    return n;
}

/* Each different one once. */
int generate_encode(struct generate_work *w)
{
    size_t n = generate_caption_count(w), coming = 0;
    char **list = calloc(n + MOST_COMING, sizeof *list);
    struct generator_text *texts = calloc(n + MOST_COMING, sizeof *texts);
    int rc = list && texts ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    bool known = true;
    generator_use(w->g, w->dev);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        list[i] = w->captions[i];
        known = known && generate_held_knows(w->held, list[i]);
    }
    if (rc == 0 && !known)
        coming = coming_captions(w, list + n, MOST_COMING);
    if (rc == 0)
        rc = generate_held_texts(w->held, (const char *const *)list, n + coming, texts);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        w->texts[i] = texts[i];
        if (texts[i].left_out)
            fv_log(FV_WARN, "the model reads %u words of a prompt; %zu at the end of \"%.40s\" are left out",
                   generator_dit(w->g)->text_tokens, texts[i].left_out, w->captions[i]);
    }
    for (size_t i = 0; i < coming; i++)
        free(list[n + i]);
    free(list);
    free(texts);
    return rc;
}

static int save_latents(struct generate_work *w, const char *path)
{
    const struct generator_clip *c = &w->clip;
    struct latents l = {.channels = generator_dit(w->g)->channels,
                        .frames = c->size.frames,
                        .height = c->size.height,
                        .width = c->size.width,
                        .source_frames = c->frames,
                        .fps_num = w->v.fps.num,
                        .fps_den = w->v.fps.den};
    generator_picture(w->g, c, &l.source_width, &l.source_height);
    l.data = malloc(generator_count(w->g, c) * sizeof *l.data);
    if (!l.data)
        return fv_fail(FV_ENOMEM, "out of memory");
    generator_latents(w->g, c, w->making.latents, 0, l.frames, l.data);
    int rc = latents_save(&l, path, generator_vae(w->g));
    latents_finish(&l);
    return rc;
}

static int write_frame(void *ud, const float *planes, uint32_t height, uint32_t width)
{
    struct generate_work *w = ud;
    return clip_out_write(&w->out, planes, height, width);
}

/* Names of no video, and several frames into the name of one picture, are told before anything is computed. */
int generate_check_names(const struct generate_work *w)
{
    if (w->jobs.count > 1 && w->v.output && output_is_folder(w->v.output))
        FV_TRY(output_prepare_folder(&(struct output){.path = w->v.output, .directory = true}));
    for (size_t i = 0; i < w->jobs.count && w->v.output && !generate_latents_only(w); i++) {
        struct output o;
        FV_TRY(output_parse(&o, w->jobs.items[i].output, (enum output_format)w->v.format));
        if (w->clip.frames > 1 && !output_takes_several(&o))
            return fv_fail(FV_EINVALID, "%s: several frames need a numbered name, such as frame_%%04d.png", o.path);
    }
    return 0;
}

static int open_out(struct generate_work *w)
{
    char *text = generate_settings_json(w, w->job), title[128];
    uint32_t width, height;
    generator_picture(w->g, &w->clip, &width, &height);
    snprintf(title, sizeof title, "%.120s", w->job->prompt->whole);
    const struct clip_out_opts o = {.path = w->job->output,
                                    .format = (enum output_format)w->v.format,
                                    .width = width,
                                    .height = height,
                                    .fps_num = w->v.fps.num,
                                    .fps_den = w->v.fps.den,
                                    .codec = (enum video_codec)w->v.codec,
                                    .crf = w->v.crf,
                                    .title = title,
                                    .comment = text};
    int rc = text ? clip_out_open(&w->out, &o) : fv_fail(FV_ENOMEM, "out of memory");
    w->out.opts.title = w->out.opts.comment = NULL; /* the sink has its own */
    free(text);
    return rc;
}

/* With what there is of it after a failure. */
static int close_out(struct generate_work *w, int rc)
{
    char cause[512];
    snprintf(cause, sizeof cause, "%s", fv_error());
    int end = clip_out_finish(&w->out, rc >= 0, &w->sink);
    return rc >= 0 ? end : fv_fail(rc, "%s", cause);
}

static int make_latents_and_frames(struct generate_work *w)
{
    const struct generate_prompt *p = w->job->prompt;
    const struct generator_text **texts = calloc((size_t)w->v.rounds, sizeof *texts);
    char *settings = generate_settings_json(w, w->job);
    int rc = texts && settings ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    for (int r = 0; r < w->v.rounds && rc == 0; r++)
        texts[r] = &w->texts[p->text[r]];
    w->making = (struct generate_clip){.g = w->g,
                                       .clip = w->clip,
                                       .texts = texts,
                                       .without = w->v.negative ? &w->texts[w->jobs.text_count] : NULL,
                                       .rounds = (uint32_t)w->v.rounds,
                                       .repeat = (uint32_t)w->v.repeat,
                                       .references = p->references ? p->references : w->references,
                                       .strategy = p->strategy ? p->strategy : w->strategy,
                                       .analytic = w->v.analytic,
                                       .extend = w->v.extend,
                                       .checkpoint = w->v.checkpoint,
                                       .settings = settings,
                                       .first_seed = (uint64_t)w->v.seed,
                                       .preview = w->v.preview,
                                       .preview_every = (uint32_t)w->v.preview_every,
                                       .write = generate_latents_only(w) ? NULL : write_frame,
                                       .ud = w};
    if (rc == 0)
        rc = generate_clip_make(&w->making);
    if (rc >= 0 && generate_latents_only(w) && w->job->output)
        rc = save_latents(w, w->job->output);
    if (rc >= 0 && w->v.latents)
        rc = save_latents(w, w->v.latents);
    generate_clip_finish(&w->making);
    free(settings);
    free(texts);
    return rc;
}

static void say_clip(const struct generate_work *w)
{
    char size[32];
    const char *path = w->sink.kept ? w->sink.kept : w->job->output ? w->job->output : w->v.latents;
    if (!app_talks(w->app))
        return;
    bytes_text(size, w->sink.bytes);
    if (generate_latents_only(w))
        printf("%s: latents, seed %llu\n", path, (unsigned long long)w->job->seed);
    else
        printf("%s: %llu frames, %s, seed %llu\n", path, (unsigned long long)w->sink.frames, size,
               (unsigned long long)w->job->seed);
    fflush(stdout);
}

/* The file is opened before anything is computed, so that a wrong name or codec costs no wait. */
static int make_clip(struct generate_work *w, size_t i)
{
    w->job = &w->jobs.items[i];
    w->clip.seed = w->job->seed;
    w->out = (struct clip_out){0};
    sink_stats_finish(&w->sink);
    int rc = generate_latents_only(w) ? 0 : open_out(w);
    if (rc >= 0)
        rc = make_latents_and_frames(w);
    rc = close_out(w, rc);
    progress_hide();
    if (rc >= 0)
        say_clip(w);
    return rc;
}

/* ---- which are there --------------------------------------------------------------------- */

static int clip_hash(const struct generate_work *w, size_t i, uint64_t *hash)
{
    char *text = generate_settings_json(w, &w->jobs.items[i]);
    if (!text)
        return fv_fail(FV_ENOMEM, "out of memory");
    *hash = fv_hash(fv_hash(FV_HASH_BEGIN, text, strlen(text)), w->jobs.items[i].output, strlen(w->jobs.items[i].output));
    free(text);
    return 0;
}

int generate_make_or_find(struct generate_work *w, size_t i)
{
    const char *output = w->jobs.items[i].output;
    struct batch_past now = {0};
    double begun = fv_now();
    struct stat st;
    uint64_t hash = 0;
    if (w->journal.fd < 0) {
        w->made++;
        return make_clip(w, i);
    }
    FV_TRY(clip_hash(w, i, &hash));
    const struct batch_past *was = batch_journal_find(&w->journal, hash);
    if (was && was->state == BATCH_DONE && batch_results_there(&was->results)) {
        if (app_talks(w->app))
            printf("%s: is there\n", output);
        return 0;
    }
    if (was && was->state == BATCH_START)
        fv_remove_torn(output);
    FV_TRY(batch_journal_start(&w->journal, hash, 0, i + 1, 1, NULL));
    w->made++;
    FV_TRY(make_clip(w, i));
    if (stat(output, &st) < 0 || !S_ISREG(st.st_mode))
        return 0;
    now.seconds = fv_now() - begun;
    int rc = batch_results_add(&now.results, output, output, (uint64_t)st.st_size);
    if (rc == 0)
        rc = batch_journal_made(&w->journal, hash, &now);
    batch_results_finish(&now.results);
    return rc < 0 ? rc : batch_journal_done(&w->journal, hash);
}

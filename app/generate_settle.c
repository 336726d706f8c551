/* What `fovea generate` makes in the end (generate_work.h): options, what a video was made with, what the model
 * says is usual. */
#include "app/generate_comment.h"
#include "app/generate_work.h"
#include "vk/base/file.h"
#include "vk/base/hash.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* ---- settings of a video made before ----------------------------------------------------- */

/* The file's settings, with those of the command line over them. */
int generate_take_settings(struct generate_work *w, const struct generate_values *given)
{
    struct fv_json doc, mine;
    struct opt_args none;
    struct generate_values v = {.steps = 0};
    const struct opt_set set = {generate_opts, &v};
    struct fv_arena *arena = &w->app->arena;
    char *options = opt_to_json(generate_opts, given);
    if (!options)
        return fv_fail(FV_ENOMEM, "out of memory");
    int rc = opt_defaults(generate_opts, &v);
    if (rc == 0)
        rc = generate_comment_open(&doc, given->from);
    if (rc < 0)
        fv_wrap(rc, "--from ");
    if (rc == 0) {
        const char *prompt = fv_json_string(&doc, doc.root, "prompt");
        rc = opt_from_json(&set, 1, &none, &doc, fv_json_object(&doc, doc.root, "options"), arena);
        snprintf(w->hash, sizeof w->hash, "%s", fv_json_string_or(&doc, doc.root, "model_hash", ""));
        if (rc == 0 && !w->prompts.count && !given->prompt_file) {
            w->prompts.items = fv_arena_alloc(arena, sizeof *w->prompts.items);
            if (w->prompts.items)
                w->prompts.items[w->prompts.count++] = fv_arena_strndup(arena, prompt, strlen(prompt));
        }
        rc = rc == 0 && doc.failed ? FV_EFORMAT : rc;
        fv_json_close(&doc);
    }
    if (rc == 0)
        rc = fv_json_parse(&mine, options, strlen(options), "options");
    if (rc == 0) {
        rc = opt_from_json(&set, 1, &none, &mine, mine.root, arena);
        fv_json_close(&mine);
    }
    free(options);
    w->v = v;
    return rc;
}

/* {"fovea":"0.1.0","command":"generate","prompt":...,"model":...,"options":{...}}: all it takes to make this
 * clip again, and nothing that differs when it is. */
char *generate_settings_json(const struct generate_work *w, const struct generate_job *job)
{
    struct generate_values v = w->v;
    v.output = v.prompt_file = v.latents = v.from = v.report = v.checkpoint = v.preview = NULL;
    v.count = 1;
    v.preview_every = 5;
    v.dry_run = false;
    v.json = false;
    v.format = OUTPUT_AUTO;
    v.progress = PROGRESS_AUTO;
    v.seed = (double)job->seed;
    const char *const says[] = {"prompt", job->prompt->whole,       "model",  w->held->model.usual.name,
                                "model_hash", w->hash,              "device", w->dev->caps.name,
                                "driver",     w->dev->caps.driver,  NULL};
    return output_settings("generate", generate_opts, &v, says);
}

/* ---- settling what is made --------------------------------------------------------------- */

bool generate_latents_only(const struct generate_work *w)
{
    return w->v.output ? fv_ends_with(w->v.output, ".safetensors") : w->v.latents != NULL;
}

int generate_check_options(struct generate_work *w)
{
    const struct generate_values *v = &w->v;
    if (w->prompts.count && v->prompt_file)
        return fv_fail(CMD_USAGE, "a prompt and --prompt-file do not go together");
    if (!w->prompts.count && !v->prompt_file)
        return fv_fail(CMD_USAGE, "needs a prompt: fovea generate \"a red ball rolls to the left\" -o out.mp4");
    if (!v->output && !v->latents && !v->dry_run)
        return fv_fail(CMD_USAGE, "needs -o OUT, such as -o out.mp4");
    if (v->frames && v->seconds > 0)
        return fv_fail(CMD_USAGE, "--frames and --seconds do not go together");
    if (v->latents && strcmp(v->latents, "-") && !fv_ends_with(v->latents, ".safetensors"))
        return fv_fail(CMD_USAGE, "--latents %s: they are written as .safetensors", v->latents);
    if (v->image && v->extend)
        return fv_fail(CMD_USAGE, "--image and --extend do not go together: both say how the clip begins");
    if (!v->strategy != !v->references)
        return fv_fail(CMD_USAGE, "--reference and --mask-strategy go together");
    if (!v->analytic != (v->start <= 0))
        return fv_fail(CMD_USAGE, "--analytic-init FILE and --start SHARE go together");
    if (v->negative && strlen(v->negative) > 4000)
        return fv_fail(FV_EINVALID, "--negative has %zu bytes, more than 4000", strlen(v->negative));
    if (v->leap_from && v->leap == LEAP_NEVER)
        return fv_fail(CMD_USAGE, "--leap-from needs --leap fixed, rows or whole");
    return 0;
}

static const char *keep_text(struct generate_work *w, const char *fmt, double a, double b)
{
    char text[64];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    int n = snprintf(text, sizeof text, fmt, a, b);
#pragma GCC diagnostic pop
    return fv_arena_strndup(&w->app->arena, text, (size_t)n);
}

static int settle_size(struct generate_work *w)
{
    struct generate_values *v = &w->v;
    const struct model_usual *u = &w->held->model.usual;
    struct generator_clip *c = &w->clip;
    struct df_packing packing = generator_packing(w->g);
    c->width = u->width;
    c->height = u->height;
    c->frames = u->frames;
    if (v->aspect && !v->size)
        return fv_fail(CMD_USAGE, "--aspect needs --size with a name, such as 240p");
    if (v->size && df_picture_size(&c->width, &c->height, v->size, v->aspect) < 0)
        return fv_wrap(CMD_USAGE, "--size: ");
    if (!v->fps.set)
        v->fps = (struct opt_rate){true, (uint32_t)lround(u->fps * 1000), 1000};
    while (v->fps.den > 1 && v->fps.num % 10 == 0 && v->fps.den % 10 == 0)
        v->fps.num /= 10, v->fps.den /= 10;
    c->fps = (float)v->fps.num / (float)v->fps.den;
    if (v->frames && df_frame_count(&c->frames, v->frames) < 0)
        return fv_wrap(CMD_USAGE, "--frames: ");
    if (v->seconds > 0)
        c->frames = df_whole_frames(&packing, (uint32_t)fmax(1, round(v->seconds * (double)c->fps)));
    v->size = keep_text(w, "%.0fx%.0f", c->width, c->height);
    v->frames = keep_text(w, "%.0f", c->frames, 0);
    v->aspect = NULL;
    v->seconds = 0;
    return v->size && v->frames ? generator_size(w->g, c) : FV_ENOMEM;
}

/* Scores of 0 are none; those not given are the model's. */
double generate_score(double *given, double usual)
{
    if (*given < 0)
        *given = isnan(usual) ? 0 : usual;
    return *given > 0 ? *given : NAN;
}

static bool several(const struct generate_work *w)
{
    return w->prompts.count * (size_t)w->v.count > 1;
}

/* All that is asked for but the seed. */
static int run_hash(const struct generate_work *w, uint64_t *hash)
{
    struct generate_values v = w->v;
    v.report = v.preview = NULL;
    v.preview_every = 5;
    v.progress = PROGRESS_AUTO;
    v.seed = -1;
    char *options = opt_to_json(generate_opts, &v);
    if (!options)
        return fv_fail(FV_ENOMEM, "out of memory");
    *hash = fv_hash(FV_HASH_BEGIN, options, strlen(options));
    for (size_t i = 0; i < w->prompts.count; i++)
        *hash = fv_hash(*hash, w->prompts.items[i], strlen(w->prompts.items[i]) + 1);
    free(options);
    return 0;
}

/* Clips of several are written down as they are done, in .NAME.fovea beside them: after kill -9, too, the same
 * command goes on with the next, and with the seed that it drew. */
static int open_journal(struct generate_work *w)
{
    uint64_t hash;
    char *dir = NULL, *parent, *whole = strdup(w->v.output);
    for (size_t n = whole ? strlen(whole) : 0; n > 1 && whole[n - 1] == '/'; n--)
        whole[n - 1] = 0;
    parent = whole ? fv_path_dir(whole) : NULL;
    if (parent && asprintf(&dir, "%s/.%s.fovea", parent, fv_path_base(whole)) < 0)
        dir = NULL;
    int rc = dir ? batch_journal_open(&w->journal, dir, NULL, true) : fv_fail(FV_ENOMEM, "out of memory");
    free(dir);
    free(parent);
    free(whole);
    FV_TRY(rc);
    w->journal_new = !w->journal.count;
    FV_TRY(run_hash(w, &hash));
    const struct batch_past *was = batch_journal_find(&w->journal, hash);
    if (w->v.seed < 0 && was)
        w->v.seed = (double)was->inputs;
    return 0;
}

static int draw_seed(struct generate_work *w)
{
    uint32_t random = 0;
    uint64_t hash;
    if (getrandom(&random, sizeof random, 0) != sizeof random)
        return fv_fail(FV_EIO, "no random seed is to be had; give --seed N");
    w->v.seed = random;
    if (w->journal.fd < 0)
        return 0;
    FV_TRY(run_hash(w, &hash));
    return batch_journal_start(&w->journal, hash, random, 0, 1, NULL);
}

/* A run that is taken up again goes on with the seed it began with. */
static int settle_seed(struct generate_work *w)
{
    char *settings;
    uint64_t seed;
    if (several(w) && w->v.output && !w->v.dry_run)
        FV_TRY(open_journal(w));
    if (w->v.seed >= 0)
        return 0;
    if (w->v.checkpoint) {
        int rc = generate_checkpoint_settings(&settings, &seed, w->v.checkpoint);
        free(settings);
        FV_TRY(rc);
        if (rc == 0) {
            w->v.seed = (double)seed;
            return 0;
        }
    }
    return draw_seed(w);
}

/* "a;b" and "0;0,1,0,-1,1" of the options that are short for them. */
int generate_join_references(struct generate_work *w)
{
    const struct generate_values *v = &w->v;
    const char *files[3] = {v->references, v->image, v->last_image}, *rules[3] = {v->strategy, NULL, NULL};
    char image[32], last[32];
    size_t count = 0;
    for (const char *at = v->references; at && *at; at++)
        count += at == v->references || *at == ';';
    snprintf(image, sizeof image, "0,%zu,0,0,1,0", count);
    snprintf(last, sizeof last, "0,%zu,0,-1,1,0", count + (v->image != NULL));
    rules[1] = v->image ? image : NULL;
    rules[2] = v->last_image ? last : NULL;
    for (int i = 1; i < 3; i++)
        if (files[i] && strchr(files[i], ';'))
            return fv_fail(FV_EINVALID, "%s: a name with ; cannot be given", files[i]);
    for (int i = 0; i < 3; i++) {
        char *more, *rule;
        if (!files[i])
            continue;
        if (asprintf(&more, "%s%s%s", w->references ? w->references : "", w->references ? ";" : "", files[i]) < 0)
            return fv_fail(FV_ENOMEM, "out of memory");
        free(w->references);
        w->references = more;
        if (asprintf(&rule, "%s%s%s", w->strategy ? w->strategy : "", w->strategy ? ";" : "", rules[i]) < 0)
            return fv_fail(FV_ENOMEM, "out of memory");
        free(w->strategy);
        w->strategy = rule;
    }
    return 0;
}

/* What was left to the model becomes what it says, so that it can be written down. */
int generate_settle(struct generate_work *w)
{
    struct generate_values *v = &w->v;
    const struct model_usual *u = &w->held->model.usual;
    struct generator_clip *c = &w->clip;
    FV_TRY(settle_size(w));
    v->steps = v->steps ? v->steps : (int)u->steps;
    v->guidance = v->guidance < 0 ? u->guidance : v->guidance;
    v->merge = v->merge < 0 ? (int)u->merge_steps : v->merge;
    if (v->leap == LEAP_MODEL) {
        v->leap = LEAP_NEVER + (int)u->leap.by;
        v->leap_from = v->leap_from ? v->leap_from : (int)u->leap.from;
    }
    if (!v->camera && u->scores.camera)
        v->camera = u->scores.camera;
    w->scores.aesthetic = generate_score(&v->aesthetic, u->scores.aesthetic);
    w->scores.motion = generate_score(&v->motion, u->scores.motion);
    w->scores.camera = v->camera && *v->camera ? v->camera : NULL;
    FV_TRY(settle_seed(w));
    if (v->seed != floor(v->seed))
        return fv_fail(CMD_USAGE, "--seed: %g is not a whole number", v->seed);
    c->steps = (uint32_t)v->steps;
    c->guidance = (float)v->guidance;
    c->transform = u->transform;
    c->merge_steps = (uint32_t)v->merge;
    c->cache = (struct df_cache){.threshold = (float)v->cache};
    c->method = (enum df_method)v->method;
    c->shift = (float)v->shift;
    c->start = (float)v->start;
    c->replace = v->replace;
    c->joint = v->joint;
    c->renorm = (float)v->renorm;
    c->leap = (struct df_leap){.by = (enum df_leap_by)(v->leap - LEAP_NEVER), .from = (uint32_t)v->leap_from};
    return 0;
}

/* Clips to make (generate_jobs.h). */
#include "app/generate_jobs.h"
#include "app/output.h"
#include "diffusion/diffusion.h"
#include "vk/base/array.h"
#include "vk/base/err.h"
#include "vk/base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_CLIPS = 100000 };

/* ---- prompts ----------------------------------------------------------------------------- */

static int add_line(struct opt_args *out, size_t room, const char *path, size_t number, const char *line, size_t n,
                    struct fv_arena *arena)
{
    char *plain, *text;
    while (n && strchr(" \t\r", line[n - 1]))
        n--;
    size_t blank = strspn(line, " \t");
    if (blank >= n || line[blank] == '#' || out->count == room)
        return 0;
    text = fv_arena_strndup(arena, line + blank, n - blank);
    if (!text)
        return FV_ENOMEM;
    int rc = df_plain_caption(&plain, text); /* what is not UTF-8 is told by its line */
    if (rc < 0)
        return fv_wrap(rc, "%s: line %zu: ", path, number);
    free(plain);
    out->items[out->count++] = text;
    return 0;
}

int generate_prompts(struct opt_args *out, const char *path, struct fv_arena *arena)
{
    struct fv_map map;
    size_t lines = 1, number = 1;
    *out = (struct opt_args){0};
    FV_TRY(fv_map_open(&map, path));
    for (size_t i = 0; i < map.size; i++)
        lines += map.data[i] == '\n';
    out->items = fv_arena_alloc(arena, lines * sizeof *out->items);
    char *text = fv_arena_strndup(arena, map.size ? (const char *)map.data : "", map.size);
    int rc = !out->items || !text ? FV_ENOMEM : 0;
    if (rc == 0 && memchr(map.data ? map.data : (const uint8_t *)"", 0, map.size))
        rc = fv_fail(FV_EINVALID, "%s: is no text", path);
    for (const char *at = text; rc == 0 && at; number++) {
        const char *next = strchr(at, '\n');
        if (number == 1 && !strncmp(at, "\xef\xbb\xbf", 3))
            at += 3;
        rc = add_line(out, lines, path, number, at, next ? (size_t)(next - at) : strlen(at), arena);
        at = next ? next + 1 : NULL;
    }
    fv_map_close(&map);
    if (rc == 0 && !out->count)
        rc = fv_fail(FV_EINVALID, "%s: no prompt in it; write one a line", path);
    return rc;
}

/* ---- names ------------------------------------------------------------------------------- */

static char *numbered(const char *output, size_t number)
{
    char *name = NULL;
    struct output o = {.path = output, .numbered = true};
    size_t n = strlen(output);
    if (strchr(fv_path_base(output), '%'))
        return output_name(&o, number, NULL);
    if (output_is_folder(output)) {
        char file[32];
        snprintf(file, sizeof file, "clip_%04zu.mp4", number);
        return fv_path_join(output, file);
    }
    const char *base = fv_path_base(output), *dot = strrchr(base, '.');
    int stem = dot ? (int)(dot - output) : (int)n;
    if (asprintf(&name, "%.*s_%04zu%s", stem, output, number, dot ? dot : "") < 0)
        return NULL;
    return name;
}

/* ---- clips ------------------------------------------------------------------------------- */

/* Number of a text, which is kept or freed. */
static int number_of(struct generate_jobs *j, char *text, size_t *number)
{
    for (size_t i = 0; i < j->text_count; i++)
        if (!strcmp(j->texts[i], text)) {
            free(text);
            *number = i;
            return 0;
        }
    int rc = fv_grow(&j->texts, &j->text_room, j->text_count, sizeof *j->texts);
    if (rc < 0)
        return free(text), rc;
    *number = j->text_count;
    j->texts[j->text_count++] = text;
    return 0;
}

static int take_apart(struct generate_jobs *j, struct generate_prompt *p, const char *whole, uint32_t rounds)
{
    char *text, *part;
    p->whole = whole;
    p->text = calloc(rounds, sizeof *p->text);
    if (!p->text)
        return fv_fail(FV_ENOMEM, "out of memory");
    FV_TRY(df_prompt_json(whole, &text, &p->references, &p->strategy));
    int rc = 0;
    for (uint32_t r = 0; r < rounds && rc == 0; r++) {
        rc = df_prompt_of_round(&part, text, r);
        if (rc == 0)
            rc = number_of(j, part, &p->text[r]);
    }
    free(text);
    return rc;
}

static int add_clips(struct generate_jobs *j, const struct generate_prompt *p, uint32_t each, uint64_t seed,
                     const char *output, bool several)
{
    for (uint32_t i = 0; i < each; i++) {
        struct generate_job *job = &j->items[j->count++];
        *job = (struct generate_job){.prompt = p, .seed = seed + i};
        if (!output)
            continue;
        job->output = several ? numbered(output, j->count) : strdup(output);
        if (!job->output)
            return fv_fail(FV_ENOMEM, "out of memory");
    }
    return 0;
}

int generate_jobs_make(struct generate_jobs *j, const struct opt_args *prompts, uint32_t rounds, uint32_t each,
                       uint64_t seed, const char *output)
{
    size_t count = prompts->count * each;
    *j = (struct generate_jobs){0};
    if (count > MOST_CLIPS)
        return fv_fail(FV_EINVALID, "%zu prompts, %u clips of each: more than %d", prompts->count, each, MOST_CLIPS);
    if (count > 1 && output && strchr(fv_path_base(output), '%') && output_count_numbers(output) != 1)
        return fv_fail(FV_EINVALID, "%s: write the number of the clip once, as in clip_%%04d.mp4 (%%%% for a percent "
                                    "sign)", output);
    j->items = calloc(count, sizeof *j->items);
    j->prompts = calloc(prompts->count, sizeof *j->prompts);
    if (!j->items || !j->prompts)
        return fv_fail(FV_ENOMEM, "out of memory");
    for (size_t i = 0; i < prompts->count; i++) {
        struct generate_prompt *p = &j->prompts[j->prompt_count++];
        int rc = take_apart(j, p, prompts->items[i], rounds);
        if (rc < 0)
            return prompts->count > 1 ? fv_wrap(rc, "prompt %zu: ", i + 1) : rc;
        FV_TRY(add_clips(j, p, each, seed, output, count > 1));
    }
    return 0;
}

void generate_jobs_finish(struct generate_jobs *j)
{
    for (size_t i = 0; i < j->count; i++)
        free(j->items[i].output);
    for (size_t i = 0; i < j->prompt_count; i++) {
        free(j->prompts[i].text);
        free(j->prompts[i].references);
        free(j->prompts[i].strategy);
    }
    for (size_t i = 0; i < j->text_count; i++)
        free(j->texts[i]);
    free(j->items);
    free(j->prompts);
    free(j->texts);
    *j = (struct generate_jobs){0};
}

/* See generation.h. JSON members are named after the options of `fovea generate`, as in a video's comment. */
#include "app/generation.h"
#include "app/generate_comment.h"
#include "vk/base/json.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void generation_defaults(struct generation *g)
{
    *g = (struct generation){.seed = -1, .guidance = -1, .merge_steps = -1};
}

/* ---- members --------------------------------------------------------------------------- */

/* Texts and numbers, by the long names of options. */
static const struct text_member {
    const char *name;
    size_t at, size;
} texts[] = {
    {"prompt", offsetof(struct generation, prompt), sizeof((struct generation *)0)->prompt},
    {"negative", offsetof(struct generation, negative), sizeof((struct generation *)0)->negative},
    {"image", offsetof(struct generation, image), sizeof((struct generation *)0)->image},
    {"size", offsetof(struct generation, size), sizeof((struct generation *)0)->size},
    {"frames", offsetof(struct generation, frames), sizeof((struct generation *)0)->frames},
    {"model", offsetof(struct generation, model), sizeof((struct generation *)0)->model},
};
enum { TEXTS = sizeof texts / sizeof *texts };

static double number(struct fv_node at, const char *name, double low, double high, double usual)
{
    const char *text = fv_node_string(fv_node_get(at, name));
    if (!*text)
        return fv_node_number_within(at, name, low, high, usual);
    char *end; /* a rate: "24", "30000/1001" */
    double x = strtod(text, &end), under = *end == '/' ? strtod(end + 1, NULL) : 1;
    x = under > 0 && end != text ? x / under : usual;
    return x >= low && x <= high ? x : usual;
}

static void take(struct generation *g, struct fv_node at)
{
    for (int i = 0; i < TEXTS; i++) {
        struct fv_node n = fv_node_get(at, texts[i].name);
        if (fv_node_is_string(n) && strlen(fv_node_string(n)) < texts[i].size)
            strcpy((char *)g + texts[i].at, fv_node_string(n));
    }
    g->fps = number(at, "fps", 0, 1000, g->fps);
    g->guidance = number(at, "guidance", -1, 100, g->guidance);
    g->seed = floor(number(at, "seed", -1, 999999999999, g->seed));
    g->steps = (int)number(at, "steps", 0, 10000, g->steps);
    g->merge_steps = (int)number(at, "merge-steps", -1, 10000, g->merge_steps);
    g->leap_from = (int)number(at, "leap-from", 0, 10000, g->leap_from);
    g->memory = (uint64_t)number(at, "memory", 0, 1e15, (double)g->memory);
    const char *leap = fv_node_string(fv_node_get(at, "leap"));
    for (int i = 0; i < LEAP_COUNT; i++)
        if (!strcmp(leap, leap_choices[i]))
            g->leap = (enum leap_choice)i;
}

void generation_read(struct generation *g, const char *json)
{
    struct fv_json doc;
    if (fv_json_parse(&doc, json, strlen(json), "settings") < 0)
        return;
    take(g, doc.root);
    fv_json_close(&doc);
}

char *generation_write(const struct generation *g)
{
    cJSON *o = cJSON_CreateObject();
    for (int i = 0; i < TEXTS; i++)
        cJSON_AddStringToObject(o, texts[i].name, (const char *)g + texts[i].at);
    cJSON_AddNumberToObject(o, "fps", g->fps);
    cJSON_AddNumberToObject(o, "guidance", g->guidance);
    cJSON_AddNumberToObject(o, "seed", g->seed);
    cJSON_AddNumberToObject(o, "steps", g->steps);
    cJSON_AddNumberToObject(o, "merge-steps", g->merge_steps);
    cJSON_AddStringToObject(o, "leap", leap_choices[g->leap]);
    cJSON_AddNumberToObject(o, "leap-from", g->leap_from);
    cJSON_AddNumberToObject(o, "memory", (double)g->memory);
    char *text = cJSON_PrintUnformatted(o);
    cJSON_Delete(o);
    return text;
}

int generation_of_video(struct generation *g, const char *path)
{
    struct fv_json doc;
    struct generation fresh;
    FV_TRY(generate_comment_open(&doc, path));
    struct fv_node options = fv_node_get(doc.root, "options"), prompt = fv_node_get(doc.root, "prompt");
    int rc = fv_node_is_object(options) ? 0 : fv_fail(FV_EFORMAT, "%s: its settings have no options", path);
    generation_defaults(&fresh);
    if (rc == 0) {
        take(&fresh, options);
        if (fv_node_is_string(prompt) && strlen(fv_node_string(prompt)) < sizeof fresh.prompt)
            strcpy(fresh.prompt, fv_node_string(prompt));
        *g = fresh;
    }
    fv_json_close(&doc);
    return rc;
}

/* ---- the command line ------------------------------------------------------------------ */

const char *generation_wrong(const struct generation *g)
{
    return g->prompt[strspn(g->prompt, " \t\n")] ? NULL : "Write what is to be seen first: the prompt.";
}

void generation_name(const struct generation *g, char *out, size_t size)
{
    size_t n = 0, most = size - 1 < 40 ? size - 1 : 40;
    for (const char *c = g->prompt; *c && n < most; c++)
        if (isalnum((unsigned char)*c))
            out[n++] = (char)tolower((unsigned char)*c);
        else if (n && out[n - 1] != '-')
            out[n++] = '-';
    while (n && out[n - 1] == '-')
        n--;
    out[n] = 0;
    if (!n)
        snprintf(out, size, "clip");
}

void generation_line(const struct generation *g, struct process_line *line, const struct generation_files *f)
{
    process_arg(line, "generate");
    process_arg(line, "--progress=json");
    if (f->output)
        process_arg(line, "--output=%s", f->output);
    else
        process_arg(line, "--dry-run");
    if (f->preview)
        process_arg(line, "--preview=%s", f->preview);
    if (f->report)
        process_arg(line, "--report=%s", f->report);
    if (f->device)
        process_arg(line, "--device=%s", f->device);
    if (g->model[0])
        process_arg(line, "--model=%s", g->model);
    if (g->negative[0])
        process_arg(line, "--negative=%s", g->negative);
    if (g->image[0])
        process_arg(line, "--image=%s", g->image);
    if (g->size[0])
        process_arg(line, "--size=%s", g->size);
    if (g->frames[0])
        process_arg(line, "--frames=%s", g->frames);
    if (g->fps > 0)
        process_arg(line, "--fps=%.6g", g->fps);
    if (g->guidance >= 0)
        process_arg(line, "--guidance=%.6g", g->guidance);
    if (g->seed >= 0)
        process_arg(line, "--seed=%.0f", g->seed);
    if (g->steps > 0)
        process_arg(line, "--steps=%d", g->steps);
    if (g->merge_steps >= 0)
        process_arg(line, "--merge-steps=%d", g->merge_steps);
    if (g->leap != LEAP_MODEL)
        process_arg(line, "--leap=%s", leap_choices[g->leap]);
    if (g->leap_from > 0 && g->leap > LEAP_NEVER)
        process_arg(line, "--leap-from=%d", g->leap_from);
    if (g->memory)
        process_arg(line, "--memory=%llu", (unsigned long long)g->memory);
    process_arg(line, "--");
    process_arg(line, "%s", g->prompt);
}

/* The panel that makes clips: what is to be seen, by which model, what that takes; the queue and the clips made
 * before. Only ui.h draws. */
#include "app/opt.h"
#include "app/text.h"
#include "app/viewer.h"
#include "vk/base/file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static const char *or_empty(bool known, const char *text)
{
    return known ? text : "";
}

static void time_text(char out[32], double seconds)
{
    if (seconds < 60)
        snprintf(out, 32, "%.0f s", fmax(seconds, 1));
    else if (seconds < 3600)
        snprintf(out, 32, "%.0f min", seconds / 60);
    else
        snprintf(out, 32, "%.1f h", seconds / 3600);
}

/* --- the clip --- */

/* A number that is the model's until another is given; giving the model's again leaves it to the model. */
static bool own_number(const char *label, double *value, double unset, double usual, double low, double high,
                       const char *format)
{
    double shown = *value == unset ? usual : *value;
    if (!ui_number(label, &shown, format) || !isfinite(shown))
        return false;
    shown = fmin(fmax(shown, low), high);
    *value = fabs(shown - usual) < 1e-9 ? unset : shown;
    return true;
}

static void own_int(const char *label, int *value, int unset, uint32_t usual, double low, double high)
{
    double x = *value;
    if (own_number(label, &x, unset, usual, low, high, "%.0f"))
        *value = (int)x;
}

static void seed(struct viewer *v)
{
    struct generation *g = &v->studio.g;
    char text[32] = "";
    if (g->seed >= 0)
        snprintf(text, sizeof text, "%.0f", g->seed);
    if (ui_hinted("Seed", text, sizeof text, "another each time")) {
        char *end;
        double x = strtod(text, &end);
        g->seed = *text && !*end && x >= 0 && x <= 999999999999 ? floor(x) : -1;
    }
    ui_tip("The same seed and settings make the same clip");
    uint32_t random;
    if (ui_button("Random seed", 0, 2) && getrandom(&random, sizeof random, 0) == sizeof random)
        g->seed = random;
    if (ui_button("Any", 1, 2))
        g->seed = -1;
    ui_tip("Another seed for each clip");
}

static void clip_choices(struct viewer *v)
{
    struct studio *s = &v->studio;
    struct generation *g = &s->g;
    const struct estimate *e = &s->estimate;
    char size[32] = "the model's", frames[32] = "the model's";
    if (s->estimated && e->usual.width) {
        snprintf(size, sizeof size, "%ux%u", e->usual.width, e->usual.height);
        snprintf(frames, sizeof frames, "%u", e->usual.frames);
    }
    ui_hinted("Not", g->negative, sizeof g->negative, "what it is led away from");
    ui_tip("The negative prompt");
    ui_hinted("First picture", g->image, sizeof g->image, "a file; none");
    ui_tip("The clip begins with this picture");
    ui_hinted("Size", g->size, sizeof g->size, size);
    ui_tip("320x240, or 144p 240p 360p 480p 720p 1080p");
    ui_hinted("Frames", g->frames, sizeof g->frames, frames);
    ui_tip("A number, or Open-Sora's 2s 4s 8s 16s");
    own_int("Steps", &g->steps, 0, e->usual.steps, 1, 1000);
    ui_tip("From noise to clip: more take longer");
    own_number("Guidance", &g->guidance, -1, e->usual.guidance, 0, 100, "%.3g");
    ui_tip("How far the prompt leads; 1 is the model alone");
    seed(v);
}

/* --- the model --- */

static void model_choices(struct viewer *v)
{
    struct studio *s = &v->studio;
    const struct settings_paths *p = &v->settings.models;
    char line[SETTINGS_PATH + 16];
    ui_hinted("Folder", s->g.model, sizeof s->g.model, "the bundled model");
    ui_tip("Of the model: transformer/, text_encoder/, vae/ (docs/GENERATE.md)");
    if (s->estimated && s->estimate.name[0])
        ui_row("Name", "%s", s->estimate.name);
    if (p->count && ui_line("The bundled model", !s->g.model[0]))
        s->g.model[0] = 0;
    for (size_t i = 0; i < p->count; i++) {
        snprintf(line, sizeof line, "%s##model%zu", fv_path_base(p->items[i]), i);
        if (ui_line(line, !strcmp(p->items[i], s->g.model)))
            snprintf(s->g.model, sizeof s->g.model, "%s", p->items[i]);
        ui_tip(p->items[i]);
    }
}

/* --- what it takes --- */

static double seconds_of(const struct studio *s, const struct estimate_cost *c)
{
    double sampling = s->queue->sampling_speed > 0 ? s->queue->sampling_speed : s->speed;
    double decoding = s->queue->decode_speed > 0 ? s->queue->decode_speed : s->speed;
    if (!c->known || !(sampling > 0))
        return 0;
    return c->sampling_flops / sampling + c->decode_flops / decoding + (s->speed > 0 ? c->text_flops / s->speed : 0);
}

/* What turning a switch over would change: "-34 % time, 1.2 GB less". */
static void difference(const struct studio *s, enum estimate_switch which)
{
    const struct estimate_cost *now = &s->estimate.now, *other = &s->estimate.without[which];
    if (!s->estimated || !now->known || !other->known)
        return;
    double a = now->sampling_flops + now->decode_flops + now->text_flops;
    double b = other->sampling_flops + other->decode_flops + other->text_flops;
    char bytes[32];
    uint64_t less = now->bytes > other->bytes ? now->bytes - other->bytes : other->bytes - now->bytes;
    bytes_text(bytes, less);
    if (which == SWITCH_QUANTISED)
        ui_right("%s%s", other->bytes < now->bytes ? "would save " : "saves ", bytes);
    else if (b < a)
        ui_right("would save %.0f %% of it", 100 * (1 - b / a));
    else
        ui_right("saves %.0f %% of it", 100 * (1 - a / b));
}

static void switches(struct viewer *v)
{
    struct studio *s = &v->studio;
    struct generation *g = &s->g;
    const struct estimate *e = &s->estimate;
    bool quantised = e->quantised, merge = e->merge_steps > 0, leap = e->leaps;
    if (e->other[0] && ui_checkbox("4 bits", &quantised))
        snprintf(g->model, sizeof g->model, "%s", e->other);
    if (e->other[0]) {
        ui_tip("The model's weights in 4 bits: fovea quantize made them beside it");
        difference(s, SWITCH_QUANTISED);
    }
    if (ui_checkbox("Merge (TDTM)", &merge))
        g->merge_steps = !merge ? 0 : e->usual.merge_steps ? -1 : (int)e->steps / 2;
    ui_tip("In the first half of the steps attention sees frames in twos");
    difference(s, SWITCH_MERGE);
    if (ui_checkbox("Leap (LPL)", &leap))
        g->leap = !leap ? LEAP_NEVER : e->usual.leap.by ? LEAP_MODEL : LEAP_WHOLE;
    ui_tip("One step all the way once the velocity turns no more.\nWhat that saves is told at the most: it shows as it runs.");
    difference(s, SWITCH_LEAP);
    if (ui_hinted("Memory", s->memory, sizeof s->memory, "all that is free")) {
        g->memory = 0;
        opt_amount(&g->memory, s->memory);
    }
    ui_tip("Of the device at most: 4G, 800M. What does not fit comes from the file in turn.");
}

static void cost(struct viewer *v)
{
    const struct studio *s = &v->studio;
    const struct estimate *e = &s->estimate;
    char bytes[32], time[32];
    if (!e->now.known) { /* as many lines as there will be, so that nothing jumps */
        ui_row("Clip", "...");
        ui_row("Takes", "...");
    } else {
        double seconds = seconds_of(s, &e->now);
        bytes_text(bytes, e->now.bytes);
        time_text(time, seconds);
        ui_row("Clip", "%u frames of %ux%u, %.3g s", e->frames, e->width, e->height, e->frames / e->fps);
        ui_row("Takes", "%s%s%s", bytes, seconds > 0 ? ", about " : "", or_empty(seconds > 0, time));
    }
    ui_tip(s->queue->sampling_speed > 0 ? "Time as fast as the last clip was made"
                                        : "Time as fast as this device multiplies matrices, measured: at the least");
    if (e->error[0])
        ui_warn("%s", e->error);
}

/* --- the queue --- */

static void running(struct viewer *v, size_t i)
{
    struct studio *s = &v->studio;
    const struct queue *q = s->queue;
    char text[96], time[32], memory[32];
    const struct ui_thumb *thumbs[PEEK_THUMBS] = {NULL};
    time_text(time, q->eta);
    const char *left = or_empty(q->eta > 0, ", left: ");
    if (q->total > 10000) /* bytes */
        snprintf(text, sizeof text, "%s %.0f %%", q->work, 100 * q->done / q->total);
    else if (q->total > 0)
        snprintf(text, sizeof text, "%s %.0f of %.0f%s%s", q->work, q->done, q->total, left,
                 or_empty(q->eta > 0, time));
    else
        snprintf(text, sizeof text, "starting");
    ui_text("%.60s", q->items[i]->g.prompt);
    ui_progress(q->total > 0 ? (float)(q->done / q->total) : 0, text);
    for (int k = 0; k < s->preview.count; k++)
        thumbs[k] = &s->preview.thumbs[k];
    /* before they come their place is kept, so that what is below can be clicked */
    bool one = !strcmp(q->items[i]->g.frames, "1");
    ui_pictures(thumbs, s->preview.count ? s->preview.count : one ? 1 : PEEK_THUMBS);
    bytes_text(memory, q->memory);
    ui_row("So far", "%.0f s%s%s", q->seconds, q->memory ? ", " : "", or_empty(q->memory, memory));
    ui_row("Window", "%.1f ms, at most %.1f ms", v->show_ms, s->worst_round_ms);
    ui_tip("What drawing the window takes while clips are made beside it");
    if (ui_button("Cancel clip", 0, 1))
        queue_remove(s->queue, i);
}

/* True: the list has changed. */
static bool waiting(struct viewer *v, size_t i)
{
    struct queue *q = v->studio.queue;
    const struct queue_item *item = q->items[i];
    char id[48];
    snprintf(id, sizeof id, "##up%u", item->id);
    bool up = ui_icon_button(id, UI_UP, true, false);
    snprintf(id, sizeof id, "##down%u", item->id);
    bool down = ui_icon_button(id, UI_DOWN, false, false);
    snprintf(id, sizeof id, "##remove%u", item->id);
    bool gone = ui_icon_button(id, UI_CROSS, false, false);
    ui_beside("%.40s, seed %.0f", item->g.prompt, item->g.seed);
    if (item->state == QUEUE_FAILED)
        ui_warn("%s", item->error);
    if (up)
        queue_move(q, i, -1);
    if (down)
        queue_move(q, i, 1);
    if (gone)
        queue_remove(q, i);
    return up || down || gone;
}

static void queue_list(struct viewer *v)
{
    struct queue *q = v->studio.queue;
    if (!q->count)
        ui_note("Nothing is waiting.");
    for (size_t i = 0; i < q->count; i++) {
        if (q->items[i]->state == QUEUE_RUNNING)
            running(v, i);
        else if (waiting(v, i))
            return;
    }
}

/* --- clips made before --- */

/* False: it is gone. */
static bool history_card(struct viewer *v, size_t i, bool *changed)
{
    struct studio *s = &v->studio;
    const char *path = v->settings.clips.items[i];
    const struct peeked *c = viewer_clip(v, path);
    char id[48], note[160] = "";
    if (c && !c->found)
        return false;
    bool there = c && c->count;
    snprintf(id, sizeof id, "clip %zu", i + 1);
    if (there)
        snprintf(note, sizeof note, "%ux%u, %.3g s", c->width, c->height, c->seconds);
    int pressed = ui_card(id, there ? &c->thumbs[0] : NULL, there && c->prompt[0] ? c->prompt : fv_path_base(path),
                          note, !strcmp(s->picked, path));
    ui_tip(path);
    if (pressed)
        snprintf(s->picked, sizeof s->picked, "%s", path);
    if (pressed == 2)
        viewer_play_clip(v, path);
    if (strcmp(s->picked, path))
        return true;
    if (ui_button("Reuse settings", 0, 1))
        viewer_reuse(v, path);
    ui_tip("Prompt, model, seed and all others of this clip");
    if (ui_button("Play clip", 0, 2))
        viewer_play_clip(v, path);
    if (ui_button("Forget", 1, 2)) {
        settings_forget(&v->settings.clips, i);
        viewer_remember(v);
        *changed = true;
    }
    ui_tip("Takes it out of this list; the file stays");
    return true;
}

static void history(struct viewer *v)
{
    size_t shown = 0;
    bool changed = false;
    for (size_t i = 0; i < v->settings.clips.count && !changed; i++)
        shown += history_card(v, i, &changed);
    if (!shown && !changed)
        ui_note("None yet. Clips you make are listed here: click twice to play one.");
}

void panel_generate(struct viewer *v)
{
    struct studio *s = &v->studio;
    viewer_studio(v);
    if (!s->queue || !s->estimator || !s->peek)
        return;
    ui_lines("##prompt", s->g.prompt, sizeof s->g.prompt, "Prompt: what is to be seen", 3);
    cost(v);
    if (ui_number("Clips", &s->count, "%.0f"))
        s->count = isfinite(s->count) ? fmin(fmax(floor(s->count), 1), 16) : 1;
    ui_tip("So many at one press, with seeds one after the other");
    if (ui_button(queue_running(s->queue) >= 0 ? "Add to queue" : "Generate", 0, 1))
        viewer_generate(v);
    if (s->problem[0])
        ui_warn("%s", s->problem);
    if (s->queue->count && ui_section("Queue", true))
        queue_list(v);
    if (ui_section("Clip", true))
        clip_choices(v);
    if (ui_section("Model", true)) {
        model_choices(v);
        if (s->estimated)
            switches(v);
    }
    ui_input("Save in", v->settings.clip_folder, sizeof v->settings.clip_folder);
    if (ui_section("Clips made", true))
        history(v);
}

/* See settings.h. */
#include "app/settings.h"
#include "app/http_source.h"
#include "app/text.h"
#include "vk/base/file.h"
#include "vk/base/json.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void set_defaults(struct settings *s)
{
    *s = (struct settings){.recent.most = 10,
                           .models.most = 8,
                           .clips.most = SETTINGS_PATHS,
                           .reduce = true,
                           .speed = 0.5,
                           .export_width = 1280,
                           .export_height = 720};
}

/* --- reading: nothing fails --- */

static void read_paths(struct settings_paths *p, struct fv_node list)
{
    for (size_t i = 0; fv_node_is_array(list) && i < fv_node_count(list) && p->count < p->most; i++) {
        const char *text = fv_node_string(fv_node_at(list, i));
        if (*text && strlen(text) < SETTINGS_PATH)
            strcpy(p->items[p->count++], text);
    }
}

/* False: it says no view. */
static bool read_mark(struct bookmark *m, struct fv_node at)
{
    struct gs_camera *c = &m->camera;
    *m = (struct bookmark){.frame = (uint32_t)fv_node_number_within(at, "frame", 0, UINT32_MAX, 0)};
    snprintf(m->scene, sizeof m->scene, "%s", fv_node_string(fv_node_get(at, "scene")));
    if (gs_camera_of_json(c, fv_node_get(at, "camera").item) < 0 || c->width > 16384 || c->height > 16384 ||
        !(c->fx > 0 && c->fx < 1e6 && c->fy > 0 && c->fy < 1e6))
        return false;
    for (size_t i = 0; i < 16; i++)
        if (!(fabs(c->view[i]) < 1e12))
            return false;
    return *m->scene != 0;
}

static void read_all(struct settings *s, struct fv_node root)
{
    struct fv_node marks = fv_node_get(root, "bookmarks"), view = fv_node_get(root, "view");
    read_paths(&s->recent, fv_node_get(root, "recent"));
    read_paths(&s->models, fv_node_get(root, "models"));
    read_paths(&s->clips, fv_node_get(root, "clips"));
    for (size_t i = 0; fv_node_is_array(marks) && i < fv_node_count(marks) && s->mark_count < SETTINGS_MARKS; i++)
        s->mark_count += read_mark(&s->marks[s->mark_count], fv_node_at(marks, i));
    s->reduce = fv_node_number_within(view, "adaptive", 0, 1, s->reduce) > 0;
    s->movement = (int)fv_node_number_within(view, "movement", 0, 2, s->movement);
    s->speed = fv_node_number_within(view, "speed", 0.01, 10, s->speed);
    s->export_width = (uint32_t)fv_node_number_within(view, "export_width", 16, 8192, s->export_width);
    s->export_height = (uint32_t)fv_node_number_within(view, "export_height", 16, 8192, s->export_height);
    snprintf(s->clip_folder, sizeof s->clip_folder, "%s", fv_node_string(fv_node_get(root, "clip_folder")));
    struct fv_node generation = fv_node_get(root, "generation");
    char *text = fv_node_is_object(generation) ? cJSON_PrintUnformatted(generation.item) : NULL;
    if (text && strlen(text) < sizeof s->generation)
        strcpy(s->generation, text);
    free(text);
}

void settings_load(struct settings *s, const char *folder)
{
    struct fv_json doc;
    char aside[SETTINGS_PATH + 16];
    set_defaults(s);
    if (!folder || (size_t)snprintf(s->file, sizeof s->file, "%s/viewer.json", folder) >= sizeof s->file)
        s->file[0] = 0;
    if (!s->file[0] || !fv_exists(s->file))
        return;
    if (fv_json_open(&doc, s->file) == 0) {
        read_all(s, doc.root);
        fv_json_close(&doc);
        return;
    }
    snprintf(aside, sizeof aside, "%s.damaged", s->file);
    bool moved = rename(s->file, aside) == 0;
    snprintf(s->notice, sizeof s->notice, "The viewer's settings could not be read and begin anew%s.",
             moved ? "; the old ones are in viewer.json.damaged" : "");
}

/* --- writing --- */

static void write_paths(cJSON *root, const char *key, const struct settings_paths *p)
{
    cJSON *list = cJSON_AddArrayToObject(root, key);
    for (size_t i = 0; i < p->count; i++)
        cJSON_AddItemToArray(list, cJSON_CreateString(p->items[i]));
}

static void write_mark(cJSON *list, const struct bookmark *m)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddItemToArray(list, o);
    cJSON_AddStringToObject(o, "scene", m->scene);
    cJSON_AddNumberToObject(o, "frame", m->frame);
    cJSON_AddItemToObject(o, "camera", gs_camera_json(&m->camera));
}

int settings_save(const struct settings *s)
{
    if (!s->file[0])
        return 0;
    cJSON *root = cJSON_CreateObject(), *marks, *view;
    if (!root)
        return fv_fail(FV_ENOMEM, "out of memory");
    write_paths(root, "recent", &s->recent);
    write_paths(root, "models", &s->models);
    write_paths(root, "clips", &s->clips);
    marks = cJSON_AddArrayToObject(root, "bookmarks");
    for (size_t i = 0; i < s->mark_count; i++)
        write_mark(marks, &s->marks[i]);
    view = cJSON_AddObjectToObject(root, "view");
    cJSON_AddNumberToObject(view, "adaptive", s->reduce);
    cJSON_AddNumberToObject(view, "movement", s->movement);
    cJSON_AddNumberToObject(view, "speed", s->speed);
    cJSON_AddNumberToObject(view, "export_width", s->export_width);
    cJSON_AddNumberToObject(view, "export_height", s->export_height);
    cJSON_AddStringToObject(root, "clip_folder", s->clip_folder);
    if (s->generation[0])
        cJSON_AddRawToObject(root, "generation", s->generation);
    return write_cjson(root, s->file);
}

/* --- changing --- */

/* "https://name:password@host/": the address of somebody, not to be written down. */
static bool has_password(const char *url)
{
    const char *host = strstr(url, "://"), *end = host ? strchr(host + 3, '/') : NULL, *at = strchr(url, '@');
    return at && (!end || at < end);
}

void settings_forget(struct settings_paths *p, size_t i)
{
    memmove(p->items[i], p->items[i + 1], (p->count - i - 1) * sizeof p->items[0]);
    p->count--;
}

void settings_remember(struct settings_paths *p, const char *path)
{
    char *whole = http_is_url(path) ? strdup(path) : realpath(path, NULL);
    if (!whole || strlen(whole) >= SETTINGS_PATH || (http_is_url(whole) && has_password(whole))) {
        free(whole);
        return;
    }
    for (size_t i = 0; i < p->count; i++)
        if (!strcmp(p->items[i], whole))
            settings_forget(p, i--);
    if (p->count == p->most)
        p->count--;
    memmove(p->items[1], p->items[0], p->count * sizeof p->items[0]);
    strcpy(p->items[0], whole);
    p->count++;
    free(whole);
}

void settings_unmark(struct settings *s, size_t i)
{
    memmove(s->marks + i, s->marks + i + 1, (s->mark_count - i - 1) * sizeof *s->marks);
    s->mark_count--;
}

void settings_mark(struct settings *s, const char *scene, const struct gs_camera *camera, uint32_t frame)
{
    if (s->mark_count == SETTINGS_MARKS)
        settings_unmark(s, 0);
    struct bookmark *m = &s->marks[s->mark_count];
    *m = (struct bookmark){.camera = *camera, .frame = frame};
    char *whole = http_is_url(scene) ? strdup(scene) : realpath(scene, NULL);
    if (whole && strlen(whole) < sizeof m->scene && !(http_is_url(whole) && has_password(whole))) {
        strcpy(m->scene, whole);
        s->mark_count++;
    }
    free(whole);
}

/* What the viewer remembers of its person between runs: files opened lately, models, clips made, bookmarks,
 * and how the panels were left. One JSON file, $XDG_CONFIG_HOME/fovea/viewer.json (else
 * ~/.config/fovea/viewer.json), written atomically. Whatever in it is missing, damaged or out of range is as
 * it is at first; a file that is no JSON is put aside as viewer.json.damaged.
 *
 *     struct settings *s = calloc(1, sizeof *s);
 *     settings_load(s, folder);              // never fails
 *     settings_remember(&s->recent, "garden.spz");
 *     FV_TRY(settings_save(s));
 */
#ifndef APP_SETTINGS_H
#define APP_SETTINGS_H

#include "gs/gs.h"

enum { SETTINGS_PATH = 1024, SETTINGS_PATHS = 60, SETTINGS_MARKS = 64 };

/* The newest first, each once. */
struct settings_paths {
    char items[SETTINGS_PATHS][SETTINGS_PATH];
    size_t count, most; /* most are kept */
};

/* A view of a scene to come back to. */
struct bookmark {
    char scene[SETTINGS_PATH];
    struct gs_camera camera; /* its name is the bookmark's */
    uint32_t frame;          /* of a stream */
};

struct settings {
    struct settings_paths recent, models, clips;
    struct bookmark marks[SETTINGS_MARKS]; /* in the order they were made */
    size_t mark_count;
    bool reduce;          /* draw at a lower resolution while moving */
    int movement;         /* of enum camera_mode */
    double speed;         /* of moving, scene radii a second */
    uint32_t export_width, export_height;
    char clip_folder[SETTINGS_PATH]; /* where generated clips go; "" = not chosen yet */
    char generation[12288];          /* the panel's choices: generation_write; "" = none */
    char notice[256];     /* of settings_load: what it had to put aside; "" = nothing */
    char file[SETTINGS_PATH]; /* where they are kept; "" = nowhere */
};

/* From a folder, made when absent; NULL: nothing is kept. */
void settings_load(struct settings *s, const char *folder);
/* Returns 0, FV_EIO, FV_ENOMEM. */
int settings_save(const struct settings *s);
/* Puts a path at the front, made absolute; what is longer than a path may be, or names a password, is not kept. */
void settings_remember(struct settings_paths *p, const char *path);
void settings_forget(struct settings_paths *p, size_t i);
/* Adds one, in the place of the oldest when there are too many. */
void settings_mark(struct settings *s, const char *scene, const struct gs_camera *camera, uint32_t frame);
void settings_unmark(struct settings *s, size_t i);

#endif

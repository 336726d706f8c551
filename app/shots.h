/* Which camera draws which frame: a turn around the scene, a path by time, or a list.
 *
 *     struct shots shots;
 *     FV_TRY(shots_open(&shots, &(struct shots_opts){.file = "path.json", .video = true}));
 *     shots_place(&shots, &scene);                 // the orbit needs the scene's bounds
 *     for (size_t i = 0; i < shots.count; i++) {
 *         struct gs_camera c;
 *         FV_TRY(shots_camera(&shots, i, &c));
 *     }
 *     shots_finish(&shots);
 */
#ifndef SHOTS_H
#define SHOTS_H

#include "app/opt.h"
#include "gs/gs.h"

struct shots_opts {
    const char *file;     /* cameras; NULL = orbit */
    const char *camera;   /* only this one, by name or index; NULL = all */
    struct opt_size size; /* of every picture; not set = the cameras' own (orbit: 1280x720) */
    int frames;           /* 0 = by kind */
    double seconds;       /* 0 = by kind */
    struct opt_rate fps;  /* not set = the path's own, else 30 */
    double scene_seconds, scene_fps; /* of a scene that moves; 0 = it stands still */
    bool several;         /* the output takes many pictures; else one is drawn */
    bool same_size;       /* all pictures in the first one's size (video) */
};

struct shots {
    enum { SHOTS_ORBIT, SHOTS_PATH, SHOTS_LIST } kind;
    size_t count; /* frames to draw */
    uint32_t fps_num, fps_den;
    uint32_t width, height; /* of every frame; 0 = each camera's own */
    bool unique_names;      /* of a list: its cameras can name files */
    struct gs_cameras cameras;
    struct gs_bounds bounds; /* orbit */
    float up[3];
};

/* Reads cameras and settles counts and sizes; sizes outside 1..16384 are refused here, before
 * a scene is loaded. */
int shots_open(struct shots *out, const struct shots_opts *opts);
/* Bounds and up axis for the orbit. */
void shots_place(struct shots *s, const struct gs_scene *scene);
/* Camera of frame i, in the size it is drawn. */
int shots_camera(const struct shots *s, size_t i, struct gs_camera *out);
/* A list's camera name for frame i when names are unique; NULL otherwise. */
const char *shots_name(const struct shots *s, size_t i);
void shots_finish(struct shots *s);
/* FV_EINVALID unless both are in 1..16384; what names the option or camera. */
int shots_check_size(const char *what, uint32_t width, uint32_t height);

#endif

/* Loading scenes for commands: the options all of them share, warnings, progress. */
#ifndef SCENE_IN_H
#define SCENE_IN_H

#include "app/cmd.h"
#include "app/progress.h"
#include "gs/gs.h"

struct scene_opts {
    int lod;      /* level of a lod-meta.json */
    int spz_axes; /* index into spz_axes_choices */
    double time;  /* of a .splatv */
    int sh;       /* highest degree kept; -1 = all */
    double live;  /* a stream without an index may still be written: until nothing came for so many
                     seconds; 0: it is as it is */
    fv_progress_fn on_wait; /* of a stream, while bytes are waited for; non-zero cancels. NULL: none */
    void *wait_ud;
};

extern const char *const spz_axes_choices[];

/* Rows of an option table for a `struct scene_opts m` in values type T: how files are read. */
#define SCENE_READ_OPTS(T, m)                                                                      \
    {.name = "lod",                                                                                \
     .type = OPT_INT,                                                                              \
     .offset = offsetof(T, m.lod),                                                                 \
     .max = 31,                                                                                    \
     .rare = true,                                                                                 \
     .help = "level of a streaming scene (lod-meta.json); 0 is finest"},                           \
    {.name = "time",                                                                               \
     .type = OPT_FLOAT,                                                                            \
     .offset = offsetof(T, m.time),                                                                \
     .def = "0",                                                                                   \
     .max = 1,                                                                                     \
     .rare = true,                                                                                 \
     .help = "moment of a .splatv, from 0 to 1"},                                                  \
    {                                                                                              \
        .name = "spz-axes", .type = OPT_ENUM, .offset = offsetof(T, m.spz_axes), .def = "rub",     \
        .choices = spz_axes_choices,                                                               \
        .help = "raw sets .spz files upright that come upside down: those of splat-transform 3 "   \
                "and ply_to_spz, which keep the .ply's axes and do not say so"                     \
    }

/* The same, and how much of them is kept. */
#define SCENE_OPTS(T, m)                                                                           \
    SCENE_READ_OPTS(T, m),                                                                         \
    {                                                                                              \
        .name = "sh", .type = OPT_INT, .offset = offsetof(T, m.sh), .def = "-1", .min = -1,        \
        .max = 3, .help = "highest spherical-harmonics degree kept"                                \
    }

/* What gs_scene_load takes; without progress. */
struct gs_load_opts scene_load_opts(const struct scene_opts *opts);
/* Loads (rows left out are warned about, a scene without Gaussians is an error) and cuts the
 * SH. Caller finishes the scene; on failure it is zeroed. progress may be NULL. */
int scene_in_load(struct gs_scene *out, const char *path, const struct scene_opts *opts,
                  struct progress *progress);

#endif

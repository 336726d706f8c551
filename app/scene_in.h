/* Loading scenes for commands: the options all of them share, warnings, progress. */
#ifndef SCENE_IN_H
#define SCENE_IN_H

#include "app/cmd.h"
#include "app/progress.h"
#include "gs/gs.h"

struct scene_opts {
    int lod;      /* level of a lod-meta.json */
    int sh;       /* highest degree kept; -1 = all */
    bool spz_raw; /* SPZ coordinates as stored */
};

/* Rows of an option table for a `struct scene_opts m` in values type T. */
#define SCENE_OPTS(T, m)                                                                           \
    {"lod",                                                                                        \
     0,                                                                                            \
     OPT_INT,                                                                                      \
     offsetof(T, m.lod),                                                                           \
     .max = 31,                                                                                    \
     .rare = true,                                                                                 \
     .help = "level of a streaming scene (lod-meta.json); 0 is finest"},                           \
        {"sh",        0,         OPT_INT,  offsetof(T, m.sh),                                      \
         .def = "-1", .min = -1, .max = 3, .help = "highest spherical-harmonics degree kept"},     \
    {                                                                                              \
        "spz-raw-axes", 0, OPT_FLAG, offsetof(T, m.spz_raw),                                       \
            .rare = true, .help = "take .spz coordinates as they are stored"                       \
    }

/* Loads (rows left out are warned about, a scene without Gaussians is an error) and cuts the
 * SH. Caller finishes the scene; on failure it is zeroed. */
int scene_in_load(struct gs_scene *out, const char *path, const struct scene_opts *opts,
                  struct progress *progress);

#endif

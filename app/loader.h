/* Loading a scene in a thread of its own: file, bounds, upload, cameras beside it. A stream begins
 * to be decoded.
 *
 *     struct loader *l;
 *     FV_TRY(loader_start(&l, dev, "garden.spz", &(struct loader_opts){.wake = window_wake}));
 *     while ((rc = loader_poll(l, &progress)) == 0) ... show progress ...
 *     if (rc > 0) scene = loader_take(l);       // else fv_error() says why not
 *     loader_destroy(&l);
 */
#ifndef APP_LOADER_H
#define APP_LOADER_H

#include "app/play.h"
#include "app/thumbs.h"

/* A scene ready to be drawn. */
struct loaded {
    char *path;
    char name[300]; /* as loader_name */
    struct gs_gpu_scene *gpu; /* NULL: it is a stream, */
    struct nl_gpu *neural;    /* whose gpu is: a scene of anchors */
    struct play *play;        /* which plays, */
    struct thumbs *thumbs;    /* and is drawn small: NULL before that begins, or if it does not */
    struct gs_scene info; /* as read, but without its arrays; of a stream its first frame */
    struct gs_bounds bounds;
    uint32_t appearance, appearances; /* of anchors: the one that is drawn, how many there are; 0: none, or a stream's */
    struct gs_cameras cameras; /* count 0 when there are none */
    char *cameras_path;        /* NULL when there are none, or they are in the scene itself */
    char notice[320];          /* something went wrong that need not stop anybody; "" if not */
    uint64_t file_bytes, device_bytes;
    double seconds;
    struct loaded *next; /* for who keeps several */
};

void loaded_destroy(struct loaded **s);

struct loader;

struct loader_opts {
    const char *cameras; /* file or folder that must be readable too; NULL = what stands beside
                            the scene, if anything */
    struct gs_cameras_opts picture; /* for cameras whose file holds no picture size */
    struct gs_load_opts scene;      /* without progress */
    struct play_opts play;          /* of streams; wake is the loader's */
    uint32_t appearance;            /* of anchors */
    void (*wake)(void); /* called from the thread when there is something new to poll; or NULL */
};

int loader_start(struct loader **out, struct vk_device *dev, const char *path,
                 const struct loader_opts *opts);
/* Asks it to stop, waits, frees; also what was loaded and not taken. Accepts NULL. */
void loader_destroy(struct loader **l);
/* Never waits. 0: still at it, *now filled; 1: done; negative: failed, fv_error() says why. */
int loader_poll(struct loader *l, struct fv_progress *now);
/* The scene, once, after loader_poll returned 1; caller destroys. */
struct loaded *loader_take(struct loader *l);
/* Of the file, without folders and passwords. */
const char *loader_name(const struct loader *l);

/* Whether a path looks like a file of cameras rather than a scene (by its name; a folder is one
 * of cameras unless it holds a scene's meta.json). */
bool looks_like_cameras(const char *path);

#endif

/* See loader.h. */
#include "app/loader.h"
#include "app/neural_in.h"
#include "app/stream_in.h"
#include "vk/base/thread.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct loader {
    struct vk_device *dev;
    char *path, *cameras;
    char name[300];
    struct loader_opts opts;
    struct fv_worker worker;
    struct fv_progress now; /* what: literals of the rooms */
    double told_at;
    int state; /* as loader_poll returns */
    char error[1024];
    struct loaded *scene;
};

void loaded_destroy(struct loaded **s_)
{
    struct loaded *s = *s_;
    if (!s)
        return;
    thumbs_stop(&s->thumbs);
    play_stop(&s->play);
    if (!s->neural)
        gs_gpu_scene_destroy(&s->gpu);
    nl_gpu_destroy(&s->neural);
    gs_cameras_finish(&s->cameras);
    gs_scene_finish(&s->info);
    free(s->cameras_path);
    free(s->path);
    free(s);
    *s_ = NULL;
}

static int on_progress(void *ud, const struct fv_progress *p)
{
    struct loader *l = ud;
    double now = fv_now();
    pthread_mutex_lock(&l->worker.lock);
    l->now = *p;
    bool tell = now - l->told_at > 0.05;
    if (tell)
        l->told_at = now;
    bool stop = l->worker.stop;
    pthread_mutex_unlock(&l->worker.lock);
    if (tell && l->opts.wake)
        l->opts.wake();
    return stop;
}

/* --- cameras --- */

static bool has_meta(const char *dir)
{
    static const char *const names[] = {"meta.json", "lod-meta.json"};
    bool found = false;
    for (int i = 0; i < 2 && !found; i++) {
        char *file = fv_path_join(dir, names[i]);
        found = file && fv_exists(file);
        free(file);
    }
    return found;
}

bool looks_like_cameras(const char *path)
{
    if (fv_is_dir(path))
        return !has_meta(path) && !nl_is(path);
    const char *name = fv_path_base(path);
    if (!strcmp(name, "meta.json") || !strcmp(name, "lod-meta.json"))
        return false;
    return fv_ends_with(name, ".json") || fv_ends_with(name, ".npy") ||
           fv_ends_with(name, ".txt") || fv_ends_with(name, ".bin");
}

/* The first camera file where captures and training folders keep one; NULL if there is none. */
static char *cameras_beside(const char *scene)
{
    static const char *const places[] = {"cameras.json", "transforms.json", "../../cameras.json"};
    char *dir = fv_is_dir(scene) ? strdup(scene) : fv_path_dir(scene), *found = NULL;
    /* a training run keeps its scene two folders down: point_cloud/iteration_N/ */
    int count = !strcmp(fv_path_base(scene), "point_cloud.ply") ? 3 : 2;
    for (int i = 0; dir && i < count && !found; i++) {
        found = fv_path_join(dir, places[i]);
        if (found && !fv_exists(found)) {
            free(found);
            found = NULL;
        }
    }
    free(dir);
    return found;
}

static int load_cameras(struct loader *l, struct loaded *s)
{
    s->cameras_path = l->cameras ? strdup(l->cameras) : cameras_beside(l->path);
    if (!s->cameras_path)
        return 0;
    int rc = gs_cameras_load(&s->cameras, s->cameras_path, &l->opts.picture);
    if (rc < 0 && !l->cameras) { /* nobody asked for them */
        snprintf(s->notice, sizeof s->notice, "Cameras beside the scene were left out: %.250s",
                 fv_error());
        free(s->cameras_path);
        s->cameras_path = NULL;
        rc = 0;
    }
    return rc;
}

/* --- scene --- */

static uint64_t size_on_disk(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
}

/* The arrays are on the device now; their host copies would only double the memory. */
static void keep_info(struct gs_scene *info, struct gs_scene *scene)
{
    *info = *scene;
    info->position = info->scale = info->rotation = info->opacity = info->sh = NULL;
    gs_scene_finish(scene);
}

static int load_still(struct loader *l, struct loaded *s, struct gs_scene *scene)
{
    struct gs_load_opts how = l->opts.scene;
    how.on_progress = on_progress;
    how.ud = l;
    FV_TRY(gs_scene_load(scene, l->path, &how));
    return gs_gpu_scene_create(&s->gpu, l->dev, scene,
                               &(struct gs_upload_opts){.on_progress = on_progress, .ud = l});
}

static int load_anchors(struct loader *l, struct loaded *s, struct gs_scene *scene)
{
    struct neural_in in;
    FV_TRY(neural_in_load(&in, l->dev, l->path, &(struct nl_gpu_opts){.camera = l->opts.appearance}));
    s->appearances = in.appearances;
    s->neural = in.gpu;
    s->gpu = nl_gpu_scene(in.gpu);
    *scene = in.around;
    return 0;
}

static int load_stream(struct loader *l, struct loaded *s, struct gs_scene *scene)
{
    struct play_opts how = l->opts.play;
    how.wake = l->opts.wake;
    how.appearance = l->opts.appearance;
    how.on_wait = on_progress;
    how.wait_ud = l;
    FV_TRY(play_start(&s->play, l->dev, l->path, &how, scene));
    const struct gs_camera *begins = play_begins(s->play);
    if (!s->cameras.count && begins) {
        s->cameras.items = malloc(sizeof *begins);
        if (!s->cameras.items)
            return fv_fail(FV_ENOMEM, "out of memory");
        s->cameras.items[0] = *begins;
        s->cameras.count = 1;
    }
    snprintf(scene->detail, sizeof scene->detail, "fvv");
    return 0;
}

static int load(struct loader *l, struct loaded *s)
{
    int rc = 0;
    double start = fv_now();
    struct gs_scene scene = {0};
    s->path = strdup(l->path);
    strcpy(s->name, l->name);
    s->appearance = l->opts.appearance;
    s->file_bytes = size_on_disk(l->path);
    FV_GOTO(load_cameras(l, s));
    FV_GOTO(stream_in_is(l->path) ? load_stream(l, s, &scene)
            : nl_is(l->path)      ? load_anchors(l, s, &scene)
                                  : load_still(l, s, &scene));
    gs_scene_bounds(&scene, &s->bounds);
    s->device_bytes = s->neural ? nl_gpu_bytes(s->neural)
                                : gs_gpu_scene_bytes(scene.count, scene.sh_degree, false);
    s->seconds = fv_now() - start;
    if (scene.dropped && !*s->notice)
        snprintf(s->notice, sizeof s->notice, "%zu Gaussians with unusable values were left out.",
                 scene.dropped);
    keep_info(&s->info, &scene);
done:
    gs_scene_finish(&scene);
    return rc;
}

static void *run(void *ud)
{
    struct loader *l = ud;
    struct loaded *s = calloc(1, sizeof *s);
    int rc = s ? load(l, s) : fv_fail(FV_ENOMEM, "out of memory");
    if (rc < 0)
        loaded_destroy(&s);
    pthread_mutex_lock(&l->worker.lock);
    l->scene = s;
    l->state = rc < 0 ? rc : 1;
    if (rc < 0)
        snprintf(l->error, sizeof l->error, "%s", fv_error());
    pthread_mutex_unlock(&l->worker.lock);
    if (l->opts.wake)
        l->opts.wake();
    return NULL;
}

int loader_start(struct loader **out, struct vk_device *dev, const char *path,
                 const struct loader_opts *opts)
{
    *out = NULL;
    struct loader *l = calloc(1, sizeof *l);
    if (!l)
        return fv_fail(FV_ENOMEM, "out of memory");
    l->dev = dev;
    l->path = strdup(path);
    l->cameras = opts->cameras ? strdup(opts->cameras) : NULL;
    l->opts = *opts;
    l->opts.cameras = l->cameras;
    l->now.what = "reading";
    char whole[sizeof l->name];
    if (http_is_url(path))
        http_url_text(whole, sizeof whole, path);
    else
        snprintf(whole, sizeof whole, "%s", fv_path_base(path));
    snprintf(l->name, sizeof l->name, "%s", fv_path_base(whole));
    if (!l->path || (opts->cameras && !l->cameras) || fv_worker_start(&l->worker, run, l) < 0) {
        free(l->path);
        free(l->cameras);
        free(l);
        return fv_fail(FV_ENOMEM, "%s: no thread to load it in", path);
    }
    *out = l;
    return 0;
}

void loader_destroy(struct loader **l_)
{
    struct loader *l = *l_;
    if (!l)
        return;
    fv_worker_stop(&l->worker);
    loaded_destroy(&l->scene);
    free(l->path);
    free(l->cameras);
    free(l);
    *l_ = NULL;
}

int loader_poll(struct loader *l, struct fv_progress *now)
{
    pthread_mutex_lock(&l->worker.lock);
    int state = l->state;
    if (now)
        *now = l->now;
    if (state < 0)
        fv_fail(state, "%s", l->error);
    pthread_mutex_unlock(&l->worker.lock);
    return state;
}

struct loaded *loader_take(struct loader *l)
{
    pthread_mutex_lock(&l->worker.lock);
    struct loaded *s = l->scene;
    l->scene = NULL;
    pthread_mutex_unlock(&l->worker.lock);
    return s;
}

const char *loader_name(const struct loader *l)
{
    return l->name;
}

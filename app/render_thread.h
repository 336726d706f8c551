/* Drawing pictures in a thread of its own, so that the window answers at its own rate however long
 * a picture takes. It draws the newest request, keeps what was asked meanwhile down to one, and
 * publishes the newest complete picture. Three pictures go around: the one that is shown, the
 * newest complete one, and the one being drawn.
 *
 *     struct render_thread *t;
 *     FV_TRY(render_thread_start(&t, &(struct render_thread_opts){.dev = dev, .screen = screen,
 *                                .wake = window_wake}));
 *     render_thread_ask(t, &request, step);              // now and whenever the view has changed
 *     struct render_news news;
 *     render_thread_poll(t, &news);                      // every round of the window's loop
 *     if (news.picture) ... show it until the next one comes ...
 *     render_thread_stop(&t);
 *
 * All functions are called by one thread, the window's; only wait and stop wait. */
#ifndef APP_RENDER_THREAD_H
#define APP_RENDER_THREAD_H

#include "app/loader.h"
#include "app/picture.h"

struct render_thread;

struct render_thread_opts {
    struct vk_device *dev;    /* draws; nobody else may dispatch on it */
    struct vk_device *screen; /* shows the pictures; may be dev */
    bool bgra;                /* in this order, else RGBA */
    bool watch_shaders;       /* dev has a shader directory: reload what changes in it */
    void (*wake)(void);       /* called from the thread when there is news; NULL = nobody waits */
};

int render_thread_start(struct render_thread **out, const struct render_thread_opts *opts);
/* Waits for what is being drawn, leaves the rest, frees; scenes given to retire too. Accepts
 * NULL. Buffers of the last picture polled must not be in use any more. */
void render_thread_stop(struct render_thread **t);

/* Takes the place of a picture that was asked for and not begun: true if there was one. step is
 * handed back. */
bool render_thread_ask(struct render_thread *t, const struct picture_request *r, int step);
/* Looks for the point at pixel (x, y) of the request, before the next picture. */
void render_thread_pick(struct render_thread *t, const struct picture_request *r, double x,
                        double y);
/* Saves the request's picture as PNG, drawing it unless it is the newest one. Returns 0,
 * FV_EINVALID (path too long, or one is still being saved). */
int render_thread_save(struct render_thread *t, const struct picture_request *r, const char *path);
/* Takes ownership of a scene, to free it when nothing draws it any more. Requests of it that were
 * not begun are forgotten, its pictures not published any more. */
void render_thread_retire(struct render_thread *t, struct loaded *scene);

/* Whether something that was asked for, or is being drawn, or may have to be drawn again, shows
 * this scene: until then it is not to be written over. */
bool render_thread_uses(struct render_thread *t, const struct gs_gpu_scene *scene);
/* Whether the request is for a picture of this scene, or of a frame of this stream. */
bool picture_of(const struct picture_request *r, const struct loaded *s);
/* Draws a small picture for someone else to use, RGBA, when there is nothing better to do. The one
 * asked for before must have come back as news. */
void render_thread_sketch(struct render_thread *t, const struct picture_request *r, int tag);

/* What happened since the last poll. */
struct render_news {
    const struct picture *picture; /* the newest; NULL = none newer. Borrowed: valid until a later
                                      poll returns another, or stop */
    struct picture_request drawn;  /* what it was asked as, its size included */
    int step;
    bool picked, hit; /* hit: something solid was there */
    double point[3];
    struct picture_request pick; /* of the pick */
    double pick_at[2];
    bool saved;
    char path[1024]; /* of what was saved */
    const struct picture *sketch; /* NULL = none newer. Borrowed: valid until the next is asked for */
    int tag;                      /* as it was asked for */
    int failed;      /* code of the first failure; its text in error */
    char error[1024];
    bool shaders_told; /* shader_log is new: messages of shaders that do not compile now */
    char shader_log[4096];
};
void render_thread_poll(struct render_thread *t, struct render_news *out);
/* Waits until nothing is asked for and nothing being drawn. */
void render_thread_wait(struct render_thread *t);

#endif

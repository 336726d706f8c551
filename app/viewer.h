/* The viewer: its state, its loop with or without a window, and what the panels may ask of it.
 * The pictures come from the same frame functions as those of `render`, drawn beside the window's
 * thread (render_thread.h).
 *
 *     FV_TRY(viewer_run(app, &(struct viewer_opts){.scene = "garden.spz", .width = 1280,
 *                       .height = 720}));
 */
#ifndef APP_VIEWER_H
#define APP_VIEWER_H

#include "app/camera_control.h"
#include "app/cmd.h"
#include "app/exporter.h"
#include "app/loader.h"
#include "app/pace.h"
#include "app/path_edit.h"
#include "app/render_thread.h"
#include "app/studio.h"
#include "app/ui.h"
#include "app/window.h"
#include "vk/swapchain.h"

struct viewer_opts {
    const char *scene;      /* NULL = an empty window, to drop a file on; not with headless */
    const char *cameras;    /* NULL = those beside the scene */
    const char *camera;     /* name or index to start at; NULL = the first */
    const char *compare;    /* a second file, NULL = none */
    enum picture_split split;
    bool stereo;            /* two eyes side by side; not with compare */
    const char *screenshot; /* saves the last picture here; NULL = none */
    uint32_t width, height; /* pixels; 0 = 1280x720, times the monitor's scale */
    int frames;             /* ends after showing the scene so many times; 0 = never */
    bool headless;
    enum gs_mode mode;
    int sh_bands;             /* 1..4; 0 = all */
    struct gs_load_opts load; /* of every scene opened */
    struct play_opts play;    /* of streams; `at` of the first only */
    bool has_bg;
    float bg[3];
    uint32_t appearance; /* of anchors, of the first only */
};

/* Until the window is closed or the frames are drawn. Returns 0, what loading or drawing
 * returned, FV_EDEVICE without a display. */
int viewer_run(struct app *app, const struct viewer_opts *opts);

/* --- for viewer*.c and panels.c --- */

enum viewer_tab { TAB_CAMERA, TAB_EXPORT, TAB_GENERATE, TAB_SCENE /* in narrow windows */ };
enum viewer_export_kind { EXPORTS_VIDEO, EXPORTS_PICTURES, EXPORTS_SCENE };
enum { SETTLE_DRAWS = 6 /* of the interface after something changed, for it to lay itself out */ };

/* viewer_compare.c: a second file, at the right of the scene */
struct comparison {
    struct loader *loader; /* NULL when it is not being loaded */
    struct fv_progress loading;
    struct loaded *scene; /* NULL when there is none */
    struct play_state play;
    const struct gs_gpu_scene *gpu;  /* what is drawn of it; NULL: nothing yet */
    const struct gs_gpu_scene *next; /* of the first, drawn as soon as the second has the frame that belongs to it */
    uint32_t next_frame;
    int split; /* of enum picture_split */
    struct ui_thumb thumbs[THUMBS_MOST]; /* of its timeline, by frame */
    size_t thumb_count;
    double line;
    bool swapped, dragging;
    bool open; /* its part of the panel is: one was asked for */
    bool led;  /* it goes where the first stream is */
    char file[SETTINGS_PATH]; /* typed in */
    char problem[1024];       /* why it could not be loaded; "" = it could */
};

struct viewer {
    struct app *app;
    struct vk_device *dev; /* draws the pictures: the render thread's and the loader's */
    struct window *window; /* NULL when headless; so are the next four */
    struct vk_device *screen;
    VkSurfaceKHR surface;
    struct vk_swapchain *swapchain;
    struct ui *ui;
    struct render_thread *render;

    struct loader *loader;   /* NULL when nothing is being loaded */
    struct loader_opts load; /* of every file opened, but for the cameras */
    struct fv_progress loading;
    struct loaded *scene; /* NULL when there is none */
    struct play_state play;        /* of a stream: as of this round */
    const struct gs_gpu_scene *gpu; /* what is drawn of the scene; NULL: its first frame is to come */
    uint32_t held;                  /* the stream's frame that gpu holds */
    struct comparison other;
    unsigned ahead;                 /* of the timeline's stream, as the panels showed it */
    struct ui_thumb thumbs[THUMBS_MOST]; /* of its timeline, by frame */
    size_t thumb_count;
    const struct loaded *sketching; /* the stream one is being drawn of; NULL: none is */

    struct camera_control control;
    struct gs_camera lens; /* intrinsics of the view; its pose is in control */
    struct gs_camera home; /* what reset goes back to */
    int camera;            /* of scene->cameras that was gone to last; -1 = none */

    uint32_t width, height; /* of the full picture */
    enum picture_kind kind;
    enum gs_mode mode;
    int sh_bands;
    float splat_scale;
    uint32_t appearance; /* wanted of anchors: loaded when nothing else is */
    bool relights;       /* what is being loaded is the same with it: the view stays */
    bool has_bg, crop, profile, reduce; /* reduce: lower resolution while moving */
    bool stereo; /* two eyes side by side, where no second file is */
    float bg[3];
    float crop_range[3][2], crop_ends[3][2]; /* per axis: low, high; ends of the sliders */

    struct gs_cameras path; /* the one being edited */
    double path_time;
    bool playing;
    struct path_history edits; /* of the path */
    bool curves, moving_key;   /* its editor is open; a key is being moved in it */
    int curve_group;
    double axis; /* seconds that the editor shows */
    char path_file[512], stem[256]; /* stem: of the scene's name, for pictures saved */
    int export_kind;                /* of enum viewer_export_kind */
    char export_file[512];
    double export_width, export_height, export_seconds; /* seconds: of a turn where there is no path */
    float export_crf;                                   /* 0: the codec's usual */
    bool export_stereo;
    struct exporter *exporter; /* NULL when there is none */
    char export_problem[1024]; /* why the last one failed; "" = it did not */
    char exported[1024];       /* the last file; "" = none */

    struct settings settings;
    double settings_due; /* when they are to be written; 0 = nothing has changed */
    char scene_file[SETTINGS_PATH]; /* the scene's name in settings; "" = it is not in them */
    char open_file[SETTINGS_PATH];  /* typed in */
    size_t mark;                    /* the bookmark picked, from 1; 0 = none */

    struct studio studio;
    int tab; /* of the panel at the right: enum viewer_tab */

    bool panels, help;
    char error[1024]; /* shown until dismissed; "" = none */
    char notice[512]; /* shown for some seconds */
    double notice_until;

    struct pace pace;
    struct picture_request asked;  /* the newest, at full size */
    int asked_step;                /* of pace.h */
    const struct picture *picture; /* the newest complete one; NULL before the first */
    struct picture_request drawn;  /* what it was asked as */
    int drawn_step;
    bool fresh;         /* it has not been shown yet */
    bool saving;        /* a picture, as a file */
    char lost[1024];    /* why dev draws no more; "" = it does */
    char shaders[4096]; /* messages of shaders that do not compile; "" = all do */

    unsigned drag;     /* mouse button that is turning or moving the view */
    int redraws;       /* times the interface has still to be drawn: SETTLE_DRAWS, or once */
    int frames, shown; /* to show, shown with the scene */
    bool ever_loaded;
    double now, before;       /* of this round of the loop, of the one before */
    double drawn_at, rate;    /* when the picture came, pictures a second */
    double frame_seconds;     /* panels alone are drawn no more often */
    double shown_at, show_ms; /* the window: last drawn, what that took since its input came */
    /* of all so far; a round leaves out waiting for input */
    int images, pictures;
    double worst_round_ms, worst_picture_ms;
    float ui_scale, ui_density; /* the interface's font is made for */
};

/* Starts loading; the scene there is stays until that has succeeded. */
void viewer_open(struct viewer *v, const char *path, const char *cameras);
/* A file dropped on the window: a scene, or cameras for the scene there is. */
void viewer_drop(struct viewer *v, const char *path);
/* Takes over pose and lens. */
void viewer_look(struct viewer *v, const struct gs_camera *camera);
/* Camera i of the scene's list, wrapped around. */
void viewer_jump(struct viewer *v, int i);
void viewer_reset(struct viewer *v);
void viewer_frame_scene(struct viewer *v);
/* The present view at the picture's full size. */
struct gs_camera viewer_camera(const struct viewer *v);
/* v->gpu is there. */
struct picture_request viewer_request(const struct viewer *v);
/* Vertical field of view, degrees. */
double viewer_fov(const struct viewer *v);
void viewer_set_fov(struct viewer *v, double degrees);
/* Shows this thread's last error until it is dismissed. */
void viewer_failed(struct viewer *v);
void viewer_notice(struct viewer *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Adds a key at the present view: at the time scrubbed to when there is none there, else at the
 * end. */
void viewer_add_key(struct viewer *v);
void viewer_scrub(struct viewer *v, double time);
/* Before the path is edited, so that it can be undone. */
void viewer_path_keep(struct viewer *v);
void viewer_path_undo(struct viewer *v, bool redo);
/* Plays the path, from its start when it is at its end, or pauses. */
void viewer_path_play(struct viewer *v);
/* viewer_export.c: begins; follows, every round; the usual name of what is chosen. */
void viewer_export(struct viewer *v);
void viewer_export_step(struct viewer *v);
void viewer_export_name(struct viewer *v);
/* Frames a second of the video: the path's, else the stream's, else 30. */
double viewer_export_fps(const struct viewer *v);
/* Starts saving the view's picture at full size under the first free name. */
void viewer_shoot(struct viewer *v);

/* viewer_input.c: keys, mouse, drops since the last wait; dt is the time since then. */
void viewer_input(struct viewer *v, double dt);
/* The point under a double click has been found, or that there is none. */
void viewer_picked(struct viewer *v, const struct render_news *news);
/* A key is held that moves the view. */
bool viewer_moving(const struct viewer *v);
extern const char *const viewer_help[][2]; /* keys and what they do; {NULL} last */

/* viewer_compare.c: begins to load a second file, in the place of the one there is; ends it; follows, every
 * round: negative when it could not be loaded. */
void viewer_compare(struct viewer *v, const char *path);
void viewer_compare_end(struct viewer *v);
int viewer_compare_poll(struct viewer *v);
/* Every round, after the first stream's clock: which frames are drawn. */
void viewer_compare_step(struct viewer *v);
/* The stream that the timeline and its keys are of: the first file, or the second beside one that stands still. */
struct viewer_stream {
    struct loaded *file; /* NULL: neither is a stream */
    struct play_state *now; /* as of this round */
    struct ui_thumb *thumbs;
    size_t *thumb_count;
};
struct viewer_stream viewer_stream(struct viewer *v);
/* The time of one of the two. */
void viewer_tick(struct viewer *v, struct loaded *file, struct play_state *now);
/* The picture is two views side by side. */
bool viewer_halves(const struct viewer *v);
/* Looks for the point at pixel (x, y) of the window, in the scene that is seen there. */
void viewer_pick(struct viewer *v, double x, double y);
/* True if the mouse holds the line between the two. */
bool viewer_drag_line(struct viewer *v, bool taken);

/* viewer_generate.c: clips (studio.h). */
void viewer_studio(struct viewer *v); /* begins with it, when it is first seen */
void viewer_studio_step(struct viewer *v);
void viewer_studio_stop(struct viewer *v); /* nothing of it is shown any more */
bool viewer_studio_busy(const struct viewer *v);
void viewer_keep_generation(struct viewer *v); /* its choices into the settings */
void viewer_generate(struct viewer *v);        /* into the queue */
void viewer_reuse(struct viewer *v, const char *path);
void viewer_play_clip(struct viewer *v, const char *path);
void viewer_close_clip(struct viewer *v);
/* What is known of a clip of the history, asked for where it is not; NULL: too many. */
struct peeked *viewer_clip(struct viewer *v, const char *path);

/* viewer_home.c: settings. kept: they are read from the person's folder and written there. */
void viewer_settings_start(struct viewer *v, bool kept);
/* Something in them has changed. */
void viewer_remember(struct viewer *v);
/* Writes them when that is due, or now. */
void viewer_settings_save(struct viewer *v, bool now);
/* Whether bookmark i is of the scene there is. */
bool viewer_marks(const struct viewer *v, size_t i);
void viewer_bookmark(struct viewer *v);
void viewer_go_to_mark(struct viewer *v, size_t i);

/* panel_export.c, panel_generate.c, panel_clip.c */
void panel_export(struct viewer *v);
void panel_generate(struct viewer *v);
void panel_clip(struct viewer *v); /* at the bottom of the window, while a clip plays */

/* panel_path.c: the path's part of the Camera panel; its editor at the bottom of the window */
void panel_path(struct viewer *v);
void panel_curves(struct viewer *v, float above); /* points from the window's bottom */
extern const float panel_curves_height;           /* points */

/* panel_compare.c */
void panel_compare(struct viewer *v);
void panel_line(const struct viewer *v); /* between the two, in the window */

/* panel_home.c */
void panel_open(struct viewer *v, size_t most); /* of the files opened lately */
void panel_welcome(struct viewer *v);
void panel_bookmarks(struct viewer *v);

/* panels.c */
void panels_draw(struct viewer *v);
/* panel_stream.c: playing, at the bottom of the window. */
void panel_stream(struct viewer *v);
extern const float panel_stream_height; /* points */

#endif

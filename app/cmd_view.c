/* fovea view: the window to move through a scene in. */
#include "app/cmd.h"
#include "app/scene_in.h"
#include "app/viewer.h"

#include <string.h>

struct values {
    const char *cameras, *camera, *screenshot, *compare;
    struct opt_size size;
    struct opt_vec3 bg;
    int mode, sh, frames, split, stereo;
    double at, speed, live;
    bool headless, paused, once;
    int appearance;
    struct scene_opts scene;
};

#define AT(m) offsetof(struct values, m)

static const char *const modes[] = {"auto", "classic", "antialiased", NULL};
static const char *const splits[] = {"line", "halves", "difference", NULL};
static const char *const stereos[] = {"none", "sbs", NULL};

static const struct opt opts[] = {
    {"cameras", 'c', OPT_STRING, AT(cameras), .value = "FILE", .file = true,
     .help = "cameras or a camera path; default those beside the scene"},
    {"camera", 0, OPT_STRING, AT(camera), .value = "NAME|INDEX", .help = "start at this one"},
    {"size", 's', OPT_SIZE, AT(size),
     .help = "of the window, and of cameras whose file holds no size; default 1280x720"},
    {"bg", 'b', OPT_COLOR, AT(bg), .help = "background: r,g,b from 0 to 1, or #rrggbb"},
    {"mode", 'm', OPT_ENUM, AT(mode), .def = "auto", .choices = modes,
     .help = "how the scene was trained; auto is as the file says"},
    {"sh", 0, OPT_INT, AT(sh), .def = "-1", .min = -1, .max = 3,
     .help = "highest spherical-harmonics degree drawn; -1 draws all"},
    {"appearance", 0, OPT_INT, AT(appearance), .rare = true, .def = "0", .max = 1048575, .value = "N",
     .help = "of anchors (Scaffold-GS): the training picture whose light is taken"},
    {"compare", 0, OPT_STRING, AT(compare), .value = "FILE", .file = true,
     .help = "a second scene or stream, seen by the same camera at the right of the first"},
    {"compare-as", 0, OPT_ENUM, AT(split), .rare = true, .def = "line", .choices = splits,
     .help = "both sides of a line, side by side, or what differs, eightfold"},
    {"stereo", 0, OPT_ENUM, AT(stereo), .rare = true, .def = "none", .choices = stereos,
     .help = "two eyes side by side"},
    SCENE_READ_OPTS(struct values, scene),
    {.type = OPT_GROUP, .help = "Streams"},
    {"at", 0, OPT_FLOAT, AT(at), .def = "0", .max = 1e9, .value = "SECONDS",
     .help = "start there"},
    {"paused", 0, OPT_FLAG, AT(paused), .help = "do not play yet"},
    {"speed", 0, OPT_FLOAT, AT(speed), .def = "1", .min = PLAY_SLOWEST, .max = PLAY_FASTEST, .value = "FACTOR",
     .help = "of playing, 0.25 to 4"},
    {"no-loop", 0, OPT_FLAG, AT(once), .help = "stop at the last frame"},
    {"live", 0, OPT_FLOAT, AT(live), .rare = true, .def = "0", .max = 86400, .value = "SECONDS",
     .help = "one that is still written: wait until nothing was added for so long"},
    {.type = OPT_GROUP, .help = "Without a person"},
    {"screenshot", 0, OPT_STRING, AT(screenshot), .value = "FILE.png", .file = OPT_WRITES,
     .help = "save the last picture when done"},
    {"frames", 'n', OPT_INT, AT(frames), .def = "0", .max = 1e9, .value = "N",
     .help = "end after showing the scene N times; 0 waits for the window to be closed"},
    {"headless", 0, OPT_FLAG, AT(headless), .help = "no window: draw, save the screenshot, end"},
    {0}};

static int run(struct app *app, const void *values, const struct opt_args *args)
{
    const struct values *v = values;
    const char *scene = args->count ? args->items[0] : NULL;
    if (!scene && (v->headless || v->frames))
        return fv_fail(CMD_USAGE, "--%s needs a scene to draw",
                       v->headless ? "headless" : "frames");
    if (v->compare && !scene)
        return fv_fail(CMD_USAGE, "--compare needs a scene to compare with");
    if (v->compare && v->stereo)
        return fv_fail(CMD_USAGE, "--compare and --stereo both halve the window: give one of them");
    struct viewer_opts o = {.scene = scene,
                            .compare = v->compare,
                            .split = (enum picture_split)v->split,
                            .stereo = v->stereo,
                            .cameras = v->cameras,
                            .camera = v->camera,
                            .screenshot = v->screenshot,
                            .width = v->size.width,
                            .height = v->size.height,
                            .frames = v->frames,
                            .headless = v->headless,
                            .mode = v->mode,
                            .sh_bands = v->sh + 1,
                            .appearance = (uint32_t)v->appearance,
                            .load = scene_load_opts(&v->scene),
                            .play = {.at = v->at,
                                     .speed = v->speed,
                                     .once = v->once,
                                     .live = v->live,
                                     /* without a window the picture is of that moment */
                                     .paused = v->paused || v->headless},
                            .has_bg = v->bg.set};
    memcpy(o.bg, v->bg.v, sizeof o.bg);
    if (v->size.set && (!o.width || !o.height || o.width > 16384 || o.height > 16384))
        return fv_fail(FV_EINVALID, "--size %ux%u: each side must be 1 to 16384", o.width,
                       o.height);
    return viewer_run(app, &o);
}

const struct cmd cmd_view = {
    .name = "view",
    .summary = "move through a scene, or a stream as it plays, in a window",
    .usage = "[SCENE|STREAM|URL] [options]",
    .examples = "fovea view garden.spz\topen a window; H shows the keys\n"
                "fovea view garden.ply --cameras cameras.json\tkeys 1 to 9 go to its cameras\n"
                "fovea view garden.ply --compare garden.spz\tboth, with a line between them to drag\n"
                "fovea view talk.fvv --speed 0.5\ta stream, at half its speed\n"
                "fovea view https://host/talk.fvv\tthe same from a web server\n"
                "fovea view garden.ply --headless --screenshot a.png\tone picture, no window",
    .details = "Without SCENE, or as fovea alone, the window waits for a file to be dropped on it or named "
               "there, and lists those opened lately. What it remembers is in "
               "$XDG_CONFIG_HOME/fovea/viewer.json (else ~/.config). Cameras are taken "
               "from a cameras.json or transforms.json beside the scene unless --cameras is given; "
               "the list, a path editor and video export are in the panel on the right.\n\n"
               "A stream (.fvv) plays at its own rate: frames there is no time to draw are left "
               "out, and what is damaged is told and passed over. The panel at the bottom has its "
               "timeline; Space plays and pauses, Left and Right go from frame to frame. It may "
               "be the URL of one on any web server: it plays while it is loaded, with the "
               "spherical harmonics that the network brings in time.",
    .opts = opts,
    .size = sizeof(struct values),
    .most_args = 1,
    .arg = "a scene file",
    .args = (const struct cmd_arg[]){{"scene", .file = OPT_READS}, {0}},
    .alone = true,
    .run = run,
};

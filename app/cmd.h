/* Commands: one row each in commands.c's table, one file cmd_<name>.c each. A command parses
 * nothing and contains no algorithm: it is given its filled values, calls rooms, reports.
 *
 *     struct values { const char *output; };
 *     static const struct opt opts[] = { ... {0}};
 *     static int run(struct app *app, const void *values, const struct opt_args *args) { ... }
 *     const struct cmd cmd_info = {.name = "info", .summary = "...", .usage = "FILE",
 *                                  .opts = opts, .size = sizeof(struct values),
 *                                  .least_args = 1, .most_args = 1, .arg = "a file", .run = run};
 */
#ifndef CMD_H
#define CMD_H

#include "app/opt.h"
#include "vk/base/err.h"

struct vk_device;
struct keep;

/* A run returns 0, an FV_ code (status 1, or 130 for FV_ECANCELLED), or this after fv_fail()
 * for options that do not go together (status 2). */
enum { CMD_USAGE = -100 };

/* What all commands share: the global options and the device. */
struct app {
    const char *device;     /* --device, else $FOVEA_DEVICE; NULL = best */
    const char *shader_dir; /* hot reload (developer builds) */
    bool validation, quiet, verbose, help, version;
    bool color; /* standard output is a terminal and NO_COLOR is not set */
    bool mute;  /* standard output carries the result or JSON: nothing else is said there */
    struct vk_device *dev, *window_dev;
    struct fv_arena arena; /* texts of the options; lives until exit */
    struct keep *keep;     /* what jobs of a batch leave open for the next; NULL: there is no next */
    int status;            /* exit status of a command that returns 0, where it says more than that */
};

/* A positional argument by its name in job files (docs/BATCH.md). */
struct cmd_arg {
    const char *name; /* none of the command's options is called so */
    enum opt_file file;
    bool many; /* this and all that follow; the last row */
};

/* What a run would take, as far as it can be told; 0: it cannot. */
struct cmd_cost {
    double seconds; /* at least */
    double bytes;   /* of memory: the host's and the device's */
};

struct cmd {
    const char *name;
    const char *summary;  /* one line for the list of commands */
    const char *usage;    /* after the name: "SCENE -o OUT" */
    const char *examples; /* lines "command\twhat it does", the one most people need first */
    const char *details;  /* paragraphs for the end of the help and the man page; NULL = none */
    const struct opt *opts;
    size_t size; /* of the values */
    size_t least_args, most_args;
    const char *arg; /* what the arguments are, for messages: "a scene file" */
    const struct cmd_arg *args; /* name NULL last; NULL: there are none */
    bool alone;                 /* not as a job of a batch: it has a window, or jobs of its own */
    bool goes_on;               /* given again, with what an end left where --output writes, it goes on from that */
    bool forward;               /* its inputs are read once, forward: video in a pipe need not be kept */
    int (*run)(struct app *app, const void *values, const struct opt_args *args);
    /* For fovea batch --dry-run: writes no result, says nothing; fails as run would. NULL: nothing can be told. */
    int (*estimate)(struct app *app, const void *values, const struct opt_args *args, struct cmd_cost *out);
};

/* The device the user chose, opened at the first call; borrowed, closed at exit. Validation
 * messages and the pipeline cache (XDG cache directory) are set up. */
int app_device(struct app *app, struct vk_device **out);
/* The same with kernels chosen for networks (nn_tune), unless FOVEA_TUNE is 0. */
int app_nn_device(struct app *app, struct vk_device **out);
/* The same physical device opened a second time, for a window: its queue does not wait for what
 * is drawn. extensions: the instance's that the window's surface needs. Borrowed, closed at exit. */
int app_window_device(struct app *app, const char *const *extensions, uint32_t count,
                      struct vk_device **out);
/* The user's folder for fovea by the XDG rules: app_folder(app, "XDG_CONFIG_HOME", ".config"), made when
 * absent; NULL when it cannot be. In the arena. */
char *app_folder(struct app *app, const char *variable, const char *usual);
/* Whether there is to be anything for people on standard output. */
bool app_talks(const struct app *app);
/* Mutes the app where standard output has another use: the result (output, which is "-") or the
 * summary as JSON. CMD_USAGE when it would have both. */
int app_mute(struct app *app, const char *output, bool json);
/* Ctrl-C (or SIGTERM) was pressed: finish what is needed and return FV_ECANCELLED. */
bool app_cancelled(void);
/* fv_progress_fn that only looks at app_cancelled(). */
int app_check_cancel(void *ud, const struct fv_progress *p);

/* The commands, NULL last, and the global options, for help and completion. */
extern const struct cmd *const app_commands[];
extern const struct opt app_global_opts[];
/* NULL if there is none of this name. */
const struct cmd *app_find_command(const char *name);
/* CMD_USAGE when there are too few or too many. */
int app_count_args(const struct cmd *c, const struct opt_args *args);

extern const struct cmd cmd_devices, cmd_render, cmd_info, cmd_convert, cmd_compare, cmd_check,
    cmd_bench, cmd_batch, cmd_view, cmd_vae, cmd_encode, cmd_generate, cmd_quantize;

#endif

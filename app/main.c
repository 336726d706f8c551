/* fovea: from argv to a command (commands.c), and the only place that prints errors
 * and picks the exit status (0 done, 1 failed, 2 wrong command line, 130 cancelled). */
#include "app/cmd.h"
#include "app/context.h"
#include "app/doc.h"
#include "vk/base/file.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int status_of(int rc)
{
    return rc >= 0 ? 0 : rc == CMD_USAGE ? 2 : rc == FV_ECANCELLED ? 130 : 1;
}

/* Prints the stored error as "fovea: COMMAND: sentence". */
static int report(const char *command, int rc)
{
    if (rc < 0)
        fprintf(stderr, "fovea: %s%s%s\n", command ? command : "", command ? ": " : "",
                *fv_error() ? fv_error() : fv_code_name(rc));
    return status_of(rc);
}

static int unknown_command(const char *name)
{
    const char *names[32] = {"help"};
    size_t n = 1;
    for (const struct cmd *const *c = app_commands; *c && n < 31; c++)
        names[n++] = (*c)->name;
    const char *near = opt_nearest(name, names);
    if (near)
        fv_fail(CMD_USAGE, "no command or file \"%s\"; did you mean fovea %s?", name, near);
    else
        fv_fail(CMD_USAGE, "no command or file \"%s\"; see fovea --help", name);
    return CMD_USAGE;
}

/* `fovea help [COMMAND]`; also what the install rules call to make man page and completions. */
static int help(int argc, char **argv)
{
    if (!argc)
        return doc_overview(stdout), 0;
    if (!strcmp(argv[0], "--man"))
        return doc_man(stdout), 0;
    if (!strcmp(argv[0], "--completion"))
        return doc_completion(stdout, argc > 1 ? argv[1] : "") < 0 ? CMD_USAGE : 0;
    const struct cmd *c = app_find_command(argv[0]);
    if (!c)
        return unknown_command(argv[0]);
    doc_command(stdout, c, true);
    return 0;
}

static int run_command(struct app *app, const struct cmd *c, int argc, char **argv)
{
    void *values = fv_arena_alloc(&app->arena, c->size + 1);
    struct opt_args args;
    if (!values)
        return FV_ENOMEM;
    FV_TRY(opt_defaults(c->opts, values));
    struct opt_set sets[] = {{c->opts, values}, {app_global_opts, app}};
    if (opt_parse(sets, 2, &args, argc, argv, &app->arena) < 0)
        return CMD_USAGE;
    if (app->help)
        return doc_command(stdout, c, false), 0;
    FV_TRY(app_count_args(c, &args));
    context_logging(app);
    return c->run(app, values, &args);
}

/* The command word is the first that is not a global option (or its value). */
static int command_at(struct app *app, int argc, char **argv, int *at)
{
    struct opt_set set = {app_global_opts, app};
    struct opt_args args;
    for (*at = 1; *at < argc && argv[*at][0] == '-';) {
        int words = 1;
        const char *dashless = argv[*at] + strspn(argv[*at], "-");
        const struct opt *o = opt_find(app_global_opts, dashless);
        if (argv[*at][1] != '-' && dashless[0] && !dashless[1])
            for (o = app_global_opts; o->type && o->short_name != dashless[0]; o++)
                ;
        if (o && o->type && o->type != OPT_FLAG && *at + 1 < argc)
            words = 2;
        FV_TRY(opt_parse(&set, 1, &args, words, argv + *at, &app->arena));
        *at += words;
    }
    return 0;
}

/* This build has a viewer, and there is a display to show it on. */
static bool opens_windows(void)
{
    const char *x11 = getenv("DISPLAY"), *wayland = getenv("WAYLAND_DISPLAY");
    return app_find_command("view") && ((x11 && *x11) || (wayland && *wayland));
}

static int dispatch(struct app *app, int argc, char **argv, const char **command)
{
    int at;
    if (command_at(app, argc, argv, &at) < 0)
        return CMD_USAGE;
    if (app->version)
        return context_version(stdout), 0;
    if (at == argc && !opens_windows())
        return doc_overview(stdout), 0;
    if (at < argc && !strcmp(argv[at], "help"))
        return help(argc - at - 1, argv + at + 1);
    const struct cmd *c = app_find_command(at == argc ? "view" : argv[at]);
    if (c) {
        at += at < argc;
    } else if (fv_exists(argv[at])) {
        c = app_find_command("view");
        if (!c)
            return fv_fail(CMD_USAGE, "this build has no viewer; try fovea render %s -o out.mp4",
                           argv[at]);
    }
    if (!c)
        return unknown_command(argv[at]);
    *command = c->name;
    return run_command(app, c, argc - at, argv + at);
}

int main(int argc, char **argv)
{
    struct app app;
    const char *command = NULL;
    int rc = context_init(&app);
    if (rc >= 0)
        rc = dispatch(&app, argc, argv, &command);
    if (rc >= 0)
        rc = context_close_device(&app);
    if (fflush(stdout) && rc >= 0)
        rc = fv_fail(FV_EIO, "standard output: write failed");
    int status = report(command, rc);
    status = status ? status : app.status;
    context_finish(&app);
    return status;
}

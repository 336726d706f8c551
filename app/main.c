/* fovea: from argv to a command (commands.c), and the only place that prints errors
 * and picks the exit status (0 done, 1 failed, 2 wrong command line, 130 cancelled). */
#include "app/cmd.h"
#include "app/context.h"
#include "app/doc.h"
#include "app/pipe_in.h"
#include "vk/base/file.h"

#include <errno.h>
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
    char text[2048];
    snprintf(text, sizeof text, "%s", *fv_error() ? fv_error() : fv_code_name(rc));
    pipe_in_reword(text);
    if (rc < 0)
        fprintf(stderr, "fovea: %s%s%s\n", command ? command : "", command ? ": " : "", text);
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

/* `fovea help [COMMAND]`; also what the install rules and scripts/reference call to make man page,
 * completions and docs/reference. */
static int help(int argc, char **argv)
{
    if (!argc || !strcmp(argv[0], "--help") || !strcmp(argv[0], "-h"))
        return doc_overview(stdout), 0;
    if (!strcmp(argv[0], "--man"))
        return doc_man(stdout), 0;
    if (!strcmp(argv[0], "--commands")) {
        for (const struct cmd *const *c = app_commands; *c; c++)
            puts((*c)->name);
        return 0;
    }
    if (!strcmp(argv[0], "--markdown") && argc < 2)
        return doc_markdown(stdout, NULL), 0;
    if (!strcmp(argv[0], "--markdown")) {
        const struct cmd *page = app_find_command(argv[1]);
        return page ? doc_markdown(stdout, page), 0 : unknown_command(argv[1]);
    }
    if (!strcmp(argv[0], "--completion"))
        return doc_completion(stdout, argc > 1 ? argv[1] : "") < 0 ? CMD_USAGE : 0;
    const struct cmd *c = app_find_command(argv[0]);
    if (!c)
        return unknown_command(argv[0]);
    doc_command(stdout, c, true);
    return 0;
}

/* "-" in place of a file to read, as an argument or an option's value, becomes the one that standard
 * input is kept in. */
static int take_stdin(const struct cmd *c, void *values, struct opt_args *args)
{
    const struct cmd_arg *row = c->args;
    for (size_t i = 0; i < args->count && row && row->name; i++, row += !row->many)
        if ((row->file == OPT_READS || row->file == OPT_MODEL) && !strcmp(args->items[i], "-"))
            FV_TRY(pipe_in_open(&args->items[i], c->forward));
    for (const struct opt *o = c->opts; o->type; o++) {
        const char **text = (const char **)(void *)((char *)values + o->offset);
        if (o->type == OPT_STRING && o->file == OPT_READS && *text && !strcmp(*text, "-"))
            FV_TRY(pipe_in_open(text, false));
    }
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
    FV_TRY(take_stdin(c, values, &args));
    return c->run(app, values, &args);
}

/* The command word is the first that is not a global option (or its value). */
static int command_at(struct app *app, int argc, char **argv, int *at)
{
    struct opt_set set = {app_global_opts, app};
    struct opt_args args;
    for (*at = 1; *at < argc && argv[*at][0] == '-' && argv[*at][1];) {
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
    } else if (fv_exists(argv[at]) || !strcmp(argv[at], "-")) {
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

/* What was printed has arrived, or the command has failed. */
static int end_stdout(int rc)
{
    errno = 0;
    bool lost = ferror(stdout), unwritten = fflush(stdout);
    if (rc < 0 || (!lost && !unwritten))
        return rc;
    return fv_write_failure(NULL, errno ? errno : EPIPE); /* 0: it failed earlier, and nothing is left */
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
    rc = end_stdout(rc);
    int status = report(command, rc);
    status = status ? status : app.status;
    context_finish(&app);
    return status;
}

/* The commands and the options they share: what main.c runs, doc.c explains and batch_jobs.c reads from files. */
#include "app/cmd.h"

#include <string.h>

const struct cmd *const app_commands[] = {&cmd_render,
#ifdef FOVEA_VIEWER
                                          &cmd_view,
#endif
                                          &cmd_generate, &cmd_batch, &cmd_quantize, &cmd_info,    &cmd_convert, &cmd_encode, &cmd_compare,
                                          &cmd_check,   &cmd_bench,   &cmd_vae,    &cmd_devices,
                                          NULL};

const struct opt app_global_opts[] = {
    {"device", 'd', OPT_STRING, offsetof(struct app, device), .value = "N|NAME|cpu",
     .help = "Vulkan device: number, part of its name, or cpu"},
    {"validation", 0, OPT_FLAG, offsetof(struct app, validation),
     .help = "check Vulkan calls (needs the validation layers)"},
#ifdef FOVEA_HOT_RELOAD
    {"shader-dir", 0, OPT_STRING, offsetof(struct app, shader_dir), .value = "DIR", .file = true,
     .help = "reload shaders from here when they change"},
#endif
    {"quiet", 'q', OPT_FLAG, offsetof(struct app, quiet), .help = "errors only"},
    {"verbose", 'v', OPT_FLAG, offsetof(struct app, verbose),
     .help = "say what is decided and why"},
    {"help", 'h', OPT_FLAG, offsetof(struct app, help), .help = "show help"},
    {"version", 'V', OPT_FLAG, offsetof(struct app, version), .help = "show versions and licences"},
    {0}};

const struct cmd *app_find_command(const char *name)
{
    for (const struct cmd *const *c = app_commands; *c; c++)
        if (!strcmp((*c)->name, name))
            return *c;
    return NULL;
}

int app_count_args(const struct cmd *c, const struct opt_args *args)
{
    if (args->count < c->least_args)
        return fv_fail(CMD_USAGE, "needs %s: fovea %s %s", c->arg, c->name, c->usage);
    if (args->count > c->most_args)
        return fv_fail(CMD_USAGE, "\"%s\" is one argument too many: fovea %s %s",
                       args->items[c->most_args], c->name, c->usage);
    return 0;
}

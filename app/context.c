/* Signals, logging, device and versions (context.h, and the helpers cmd.h declares). */
#include "app/context.h"
#include "app/pipe_in.h"
#include "app/progress.h"
#include "vk/base/file.h"
#include "vk/base/log.h"
#include "vk/device.h"
#include "vk/nn/nn.h"

#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/avutil.h>
#include <libswscale/swscale.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <webp/decode.h>
#include <zlib.h>
#include <zstd.h>
#ifdef FOVEA_VIEWER
#include "app/ui.h"

#include <GLFW/glfw3.h>
#endif

static atomic_int stop_requests;

static void on_stop(int sig)
{
    if (atomic_fetch_add(&stop_requests, 1) == 0)
        return;
    signal(sig, SIG_DFL);
    raise(sig);
}

bool app_talks(const struct app *app)
{
    return !app->quiet && !app->mute;
}

int app_mute(struct app *app, const char *output, bool json)
{
    bool piped = output && !strcmp(output, "-");
    if (piped && json)
        return fv_fail(CMD_USAGE, "-o - and --json do not go together: both are for standard output");
    if (piped && isatty(STDOUT_FILENO))
        return fv_fail(CMD_USAGE, "-o -: standard output is a terminal; pipe it into a program");
    app->mute = app->mute || piped || json;
    return 0;
}

bool app_cancelled(void)
{
    return atomic_load(&stop_requests) > 0;
}

int app_check_cancel(void *ud, const struct fv_progress *p)
{
    (void)ud, (void)p;
    return app_cancelled();
}

/* A program may be started with some of them closed: the next file opened would take the number,
 * and what is printed would go into it. Closed ones stay so for whoever uses them. */
static void keep_standard_streams(void)
{
    static const int modes[] = {O_WRONLY, O_RDONLY, O_RDONLY};
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)!open("/dev/null", modes[fd]); /* the lowest free number: this one */
}

int context_init(struct app *app)
{
    *app = (struct app){.device = getenv("FOVEA_DEVICE")};
    keep_standard_streams();
    const char *no_color = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    app->color = isatty(STDOUT_FILENO) && !(no_color && *no_color) && !(term && !strcmp(term, "dumb"));
    struct sigaction stop = {.sa_handler = on_stop};
    sigemptyset(&stop.sa_mask);
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGHUP, &stop, NULL);
    /* a closed pipe and a file size limit are write errors like any other */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    return 0;
}

static void print_log(void *ud, enum fv_level level, const char *text)
{
    const struct app *app = ud;
    if (app->quiet)
        return;
    progress_hide();
    char line[1024];
    snprintf(line, sizeof line, "%s", text);
    pipe_in_reword(line);
    fprintf(stderr, "fovea: %s%s\n", level == FV_WARN ? "warning: " : "", line);
}

void context_logging(struct app *app)
{
    fv_log_sink(print_log, app, app->verbose ? FV_DEBUG : FV_WARN);
}

char *app_folder(struct app *app, const char *variable, const char *usual)
{
    const char *base = getenv(variable), *home = getenv("HOME");
    char path[4096];
    if (base && *base == '/')
        snprintf(path, sizeof path, "%s/fovea", base);
    else if (home && *home == '/')
        snprintf(path, sizeof path, "%s/%s/fovea", home, usual);
    else
        return NULL;
    if (fv_make_dirs(path) < 0)
        return NULL;
    return fv_arena_strndup(&app->arena, path, strlen(path));
}

int app_device(struct app *app, struct vk_device **out)
{
    if (!app->dev) {
        struct vk_device_opts opts = {.select = app->device,
                                      .validation = app->validation,
                                      .cache_dir = app_folder(app, "XDG_CACHE_HOME", ".cache"),
                                      .shader_dir = app->shader_dir};
        FV_TRY(vk_device_create(&app->dev, &opts));
        fv_log(FV_INFO, "device %s (%s)", app->dev->caps.name, app->dev->caps.driver);
    }
    *out = app->dev;
    return 0;
}

int app_nn_device(struct app *app, struct vk_device **out)
{
    const char *tune = getenv("FOVEA_TUNE");
    FV_TRY(app_device(app, out));
    return tune && !strcmp(tune, "0") ? 0 : nn_tune(*out);
}

int app_window_device(struct app *app, const char *const *extensions, uint32_t count,
                      struct vk_device **out)
{
    if (!app->window_dev) {
        struct vk_device_opts opts = {.select = app->device,
                                      .validation = app->validation,
                                      .instance_extensions = extensions,
                                      .instance_extension_count = count,
                                      .swapchain = true};
        FV_TRY(vk_device_create(&app->window_dev, &opts));
    }
    *out = app->window_dev;
    return 0;
}

int context_close_device(struct app *app)
{
    unsigned errors = app->dev ? atomic_load(&app->dev->validation_errors) : 0;
    errors += app->window_dev ? atomic_load(&app->window_dev->validation_errors) : 0;
    vk_device_destroy(&app->dev);
    vk_device_destroy(&app->window_dev);
    return errors ? fv_fail(FV_EDEVICE, "the validation layers complained %u times", errors) : 0;
}

void context_finish(struct app *app)
{
    vk_device_destroy(&app->dev);
    vk_device_destroy(&app->window_dev);
    fv_log_sink(NULL, NULL, FV_WARN);
    pipe_in_finish();
    fv_arena_finish(&app->arena);
}

/* What the binary is linked with, carries within it or comes with, in alphabetical order but for the
 * last; tests/app/test_cli_pipes.c holds it against the binary's own list. */
static void library(FILE *out, const char *name, unsigned long long version, const char *licence)
{
    char text[40];
    snprintf(text, sizeof text, "%llu.%llu.%llu", version >> 32, version >> 16 & 0xffff, version & 0xffff);
    fprintf(out, "  %-13s %-10s %s\n", name, text, licence);
}

static unsigned long long triple(unsigned long long major, unsigned minor, unsigned patch)
{
    return major << 32 | (minor & 0xffff) << 16 | (patch & 0xffff);
}

static unsigned long long from_text(const char *text)
{
    unsigned v[3] = {0};
    sscanf(text, "%u.%u.%u", v, v + 1, v + 2);
    return triple(v[0], v[1], v[2]);
}

static unsigned long long of_av(unsigned v)
{
    return triple(AV_VERSION_MAJOR(v), AV_VERSION_MINOR(v), AV_VERSION_MICRO(v));
}

/* Bytes of one number: 0x070300 is 7.3.0. */
static unsigned long long of_bytes(unsigned v)
{
    return triple(v >> 16, v >> 8 & 255, v & 255);
}

void context_version(FILE *out)
{
    uint32_t vk = VK_API_VERSION_1_0;
    unsigned zstd = ZSTD_versionNumber();
    vkEnumerateInstanceVersion(&vk);
    fprintf(out, "fovea %s\n\nLibraries in use, with their licences:\n", FOVEA_VERSION);
    library(out, "cJSON", from_text(cJSON_Version()), "MIT");
#ifdef FOVEA_VIEWER
    int glfw[3];
    glfwGetVersion(glfw, glfw + 1, glfw + 2);
    library(out, "Dear ImGui", from_text(ui_version()), "MIT");
    library(out, "GLFW", triple((unsigned)glfw[0], (unsigned)glfw[1], (unsigned)glfw[2]), "Zlib");
#endif
    library(out, "libavcodec", of_av(avcodec_version()), avcodec_license());
    library(out, "libavformat", of_av(avformat_version()), avformat_license());
    library(out, "libavutil", of_av(avutil_version()), avutil_license());
    library(out, "libcurl", of_bytes(curl_version_info(CURLVERSION_NOW)->version_num), "curl (MIT-like)");
#ifdef FOVEA_HOT_RELOAD
    fprintf(out, "  %-13s %-10s %s\n", "libshaderc", "", "Apache-2.0");
#endif
    library(out, "libswscale", of_av(swscale_version()), swscale_license());
    library(out, "libwebp", of_bytes((unsigned)WebPGetDecoderVersion()), "BSD-3-Clause");
    fprintf(out, "  %-13s %-10s %s\n", "SentencePiece", "", "Apache-2.0");
    fprintf(out, "  %-13s %-10s %s\n", "stb", "", "MIT or public domain");
    library(out, "Vulkan loader", triple(VK_API_VERSION_MAJOR(vk), VK_API_VERSION_MINOR(vk), VK_API_VERSION_PATCH(vk)),
            "Apache-2.0");
    library(out, "zlib", from_text(zlibVersion()), "Zlib");
    library(out, "zstd", triple(zstd / 10000, zstd / 100 % 100, zstd % 100), "BSD-3-Clause");
    fprintf(out, "  %-13s %-10s %s\n", "glibc", gnu_get_libc_version(), "LGPL-2.1 or later");
    fprintf(out, "  %-13s %-10s %s\n", "libstdc++", "", "GPL-3.0 or later, with the GCC runtime exception (libgcc too)");
    fputs("\nWithin it and beside it:\n"
#ifdef FOVEA_VIEWER
          "  Roboto (the interface's font)          Apache-2.0, Google\n"
#endif
          "  PLAYBOT (scenes/playbot.sog)           CC BY 4.0, Stephane Agullo, https://sa3d.fr\n"
          "  the talking head (streams/head.fvv)    MIT, https://github.com/aigc3d/LAM_WebRender\n",
          out);
}

/* Signals, logging, device and versions (context.h, and the helpers cmd.h declares). */
#include "app/context.h"
#include "app/progress.h"
#include "vk/base/file.h"
#include "vk/base/log.h"
#include "vk/device.h"
#include "vk/nn/nn.h"

#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <errno.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libswscale/swscale.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <webp/decode.h>
#include <zlib.h>
#include <zstd.h>

static atomic_int stop_requests;

static void on_stop(int sig)
{
    if (atomic_fetch_add(&stop_requests, 1) == 0)
        return;
    signal(sig, SIG_DFL);
    raise(sig);
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

int context_init(struct app *app)
{
    *app = (struct app){.device = getenv("FOVEA_DEVICE")};
    const char *no_color = getenv("NO_COLOR");
    app->color = isatty(STDOUT_FILENO) && !(no_color && *no_color);
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
    fprintf(stderr, "fovea: %s%s\n", level == FV_WARN ? "warning: " : "", text);
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
    for (char *slash = path + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = 0;
        mkdir(path, 0777);
    }
    if (mkdir(path, 0777) < 0 && errno != EEXIST)
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
    fv_arena_finish(&app->arena);
}

static void library(FILE *out, const char *name, unsigned major, unsigned minor, unsigned patch,
                    const char *licence)
{
    char version[40];
    snprintf(version, sizeof version, "%u.%u.%u", major, minor, patch);
    fprintf(out, "  %-13s %-12s %s\n", name, version, licence);
}

void context_version(FILE *out)
{
    uint32_t vk = VK_API_VERSION_1_0;
    unsigned zlib[3] = {0}, cjson[3] = {0};
    unsigned zstd = ZSTD_versionNumber();
    int webp = WebPGetDecoderVersion();
    vkEnumerateInstanceVersion(&vk);
    sscanf(zlibVersion(), "%u.%u.%u", zlib, zlib + 1, zlib + 2);
    sscanf(cJSON_Version(), "%u.%u.%u", cjson, cjson + 1, cjson + 2);
    fprintf(out, "fovea %s\n\nLibraries in use, with their licences:\n", FOVEA_VERSION);
    library(out, "Vulkan", VK_API_VERSION_MAJOR(vk), VK_API_VERSION_MINOR(vk),
            VK_API_VERSION_PATCH(vk), "Apache-2.0 (loader)");
    struct {
        const char *name;
        unsigned version;
        const char *licence;
    } av[] = {{"libavcodec", avcodec_version(), avcodec_license()},
              {"libavformat", avformat_version(), avformat_license()},
              {"libswscale", swscale_version(), swscale_license()}};
    for (int i = 0; i < 3; i++)
        library(out, av[i].name, AV_VERSION_MAJOR(av[i].version), AV_VERSION_MINOR(av[i].version),
                AV_VERSION_MICRO(av[i].version), av[i].licence);
    library(out, "cJSON", cjson[0], cjson[1], cjson[2], "MIT");
    library(out, "zlib", zlib[0], zlib[1], zlib[2], "Zlib");
    library(out, "zstd", zstd / 10000, zstd / 100 % 100, zstd % 100, "BSD-3-Clause");
    unsigned curl = curl_version_info(CURLVERSION_NOW)->version_num;
    library(out, "libcurl", curl >> 16, curl >> 8 & 255, curl & 255, "curl (MIT-like)");
    library(out, "libwebp", (unsigned)webp >> 16, (unsigned)webp >> 8 & 255, (unsigned)webp & 255,
            "BSD-3-Clause");
    fprintf(out, "  %-13s %-12s %s\n", "SentencePiece", "", "Apache-2.0");
    fprintf(out, "  %-13s %-12s %s\n", "stb", "", "public domain or MIT");
#ifdef FOVEA_VIEWER
    fprintf(out, "  %-13s %-12s %s\n", "GLFW", "", "Zlib");
    fprintf(out, "  %-13s %-12s %s\n", "Dear ImGui", "", "MIT");
#endif
}

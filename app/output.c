/* Output names (output.h). */
#include "app/output.h"
#include "app/pipe_in.h"
#include "app/video.h"
#include "vk/base/file.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *const output_choices[] = {"auto", "video", "png", "npy", "y4m", "raw", "mp4", "mkv", "webm", NULL};

static const char *suffix_of(enum output_format f)
{
    return f == OUTPUT_NPY ? ".npy" : ".png";
}

static enum output_format format_of(const char *path)
{
    if (video_is_container(path))
        return OUTPUT_VIDEO;
    return fv_ends_with(path, ".png")   ? OUTPUT_PNG
           : fv_ends_with(path, ".npy") ? OUTPUT_NPY
           : fv_ends_with(path, ".y4m") ? OUTPUT_Y4M
           : fv_ends_with(path, ".yuv") ? OUTPUT_RAW
           : fv_ends_with(path, ".raw") ? OUTPUT_RAW
                                        : OUTPUT_AUTO;
}

int output_count_numbers(const char *path)
{
    int count = 0;
    for (const char *p = path; (p = strchr(p, '%')); p++) {
        if (*++p == '%')
            continue;
        size_t digits = strspn(p, "0123456789");
        if (digits > 2 || p[digits] != 'd')
            return -1;
        p += digits;
        count++;
    }
    return count;
}

int output_parse(struct output *o, const char *path, enum output_format format)
{
    static const char *const containers[] = {".mp4", ".mkv", ".webm"};
    *o = (struct output){.path = path, .format = format};
    if (format >= OUTPUT_MP4) {
        o->container = containers[format - OUTPUT_MP4];
        o->format = format = OUTPUT_VIDEO;
    }
    if (!*path)
        return fv_fail(FV_EINVALID, "--output: the name is empty");
    if (!strcmp(path, "-")) {
        o->to_stdout = true;
        if (format == OUTPUT_AUTO || (format == OUTPUT_VIDEO && !o->container))
            return fv_fail(FV_EINVALID, "-o -: say what goes to standard output: --format mp4, mkv, webm, y4m, "
                                        "raw, png or npy");
        return 0;
    }
    if (output_is_folder(path)) {
        o->directory = true;
        if (format == OUTPUT_AUTO)
            o->format = OUTPUT_PNG;
        if (!output_is_sequence(o))
            return fv_fail(FV_EINVALID, "%s: is a folder; give a file name for %s", path,
                           output_choices[format]);
        return 0;
    }
    if (format == OUTPUT_AUTO && (o->format = format_of(path)) == OUTPUT_AUTO)
        return fv_fail(FV_EUNSUPPORTED,
                       "%s: name it .mp4, .mkv, .webm, .mov, .png, .npy or .y4m, or give --format",
                       path);
    int numbers = output_is_sequence(o) ? output_count_numbers(path) : 0;
    if (numbers < 0 || numbers > 1)
        return fv_fail(FV_EINVALID,
                       "%s: write the number once, as in frame_%%04d%s (%%%% for a "
                       "percent sign)",
                       path, suffix_of(o->format));
    o->numbered = numbers == 1;
    return 0;
}

bool output_is_folder(const char *path)
{
    size_t n = strlen(path);
    return (n && path[n - 1] == '/') || fv_is_dir(path);
}

bool output_takes_several(const struct output *o)
{
    return !output_is_sequence(o) || o->numbered || o->directory || (o->to_stdout && o->format == OUTPUT_PNG);
}

bool output_is_sequence(const struct output *o)
{
    return o->format == OUTPUT_PNG || o->format == OUTPUT_NPY;
}

/* A camera's name as one file name: its suffix off, no slashes or control characters. */
static char *safe_name(const char *name)
{
    char *copy = strdup(name);
    if (!copy)
        return NULL;
    char *dot = strrchr(copy, '.');
    if (dot > copy && strlen(dot) <= 5 && isalpha((unsigned char)dot[1]))
        *dot = 0;
    for (char *p = copy; *p; p++)
        if (*p == '/' || *p == '\\' || iscntrl((unsigned char)*p) || (p == copy && *p == '.'))
            *p = '_';
    return copy;
}

static char *in_directory(const struct output *o, size_t i, const char *name)
{
    char *file = NULL, *path = NULL, *safe = name && *name ? safe_name(name) : NULL;
    int n = safe ? asprintf(&file, "%s%s", safe, suffix_of(o->format))
                 : asprintf(&file, "frame_%04zu%s", i, suffix_of(o->format));
    if (n >= 0)
        path = fv_path_join(o->path, file);
    free(safe);
    if (n >= 0)
        free(file);
    return path;
}

/* The pattern was checked by output_parse; written out here, never given to printf. */
static char *number_into(const char *pattern, size_t i)
{
    char *out = malloc(strlen(pattern) + 128), *to = out;
    for (const char *p = pattern; out && *p; p++) {
        if (*p != '%') {
            *to++ = *p;
            continue;
        }
        if (*++p == '%') {
            *to++ = '%';
            continue;
        }
        bool zero = *p == '0';
        char *end;
        int width = (int)strtol(p, &end, 10);
        p = end;
        to += zero ? sprintf(to, "%0*zu", width, i) : sprintf(to, "%*zu", width, i);
    }
    if (out)
        *to = 0;
    return out;
}

char *output_name(const struct output *o, size_t i, const char *name)
{
    if (o->directory)
        return in_directory(o, i, name);
    return number_into(o->path, i);
}

int output_prepare_folder(const struct output *o)
{
    if (o->to_stdout)
        return 0;
    if (o->directory && !fv_is_dir(o->path) && mkdir(o->path, 0777) < 0)
        return fv_fail(FV_EIO, "%s: the folder cannot be made: %s", o->path, strerror(errno));
    char *folder = o->directory ? strdup(o->path) : fv_path_dir(o->path);
    int rc = 0;
    if (!folder)
        rc = fv_fail(FV_ENOMEM, "out of memory");
    else if (access(folder, W_OK) < 0)
        rc = fv_fail(FV_EIO, "%s: the folder %s cannot be written to: %s", o->path, folder,
                     strerror(errno));
    free(folder);
    return rc;
}

char *output_settings(const char *command, const struct opt *opts, const void *values, const char *const *says)
{
    char *options = opt_to_json(opts, values), *text = NULL;
    cJSON *root = cJSON_CreateObject();
    if (root && options) {
        cJSON_AddStringToObject(root, "fovea", FOVEA_VERSION);
        cJSON_AddStringToObject(root, "command", command);
        for (; *says; says += 2)
            cJSON_AddStringToObject(root, says[0], says[1]);
        cJSON_AddRawToObject(root, "options", options);
        text = cJSON_PrintUnformatted(root);
    }
    if (text)
        pipe_in_reword(text);
    cJSON_Delete(root);
    free(options);
    return text;
}

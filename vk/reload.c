/* Hot reload (reload.h): GLSL -> SPIR-V by libshaderc with the flags of the shader's variant,
 * the same search order of includes as the build's glslc: beside the file, then shader_dir. */
#include "vk/reload.h"
#include "vk/pipe_private.h"

#ifdef FOVEA_HOT_RELOAD

#include "vk/base/file.h"
#include "vk/base/log.h"
#include "vk/base/thread.h"

#include <shaderc/shaderc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_FILES = 64 };
static const double poll_seconds = 0.25;

/* What a pipeline was compiled from. Names that could not be found are kept too, so that the
 * shader is compiled again when they appear. */
struct vk_reload_files {
    char *path[MAX_FILES];
    struct timespec changed[MAX_FILES];
    int count;
    char *error; /* why that failed; NULL if it did not */
};

static struct timespec mtime(const char *path)
{
    struct stat st;
    return stat(path, &st) ? (struct timespec){0} : st.st_mtim;
}

/* Takes over path. */
static void add_file(struct vk_reload_files *f, char *path)
{
    for (int i = 0; path && i < f->count; i++)
        if (!strcmp(f->path[i], path)) {
            free(path);
            return;
        }
    if (!path || f->count == MAX_FILES) {
        free(path);
        return;
    }
    f->changed[f->count] = mtime(path);
    f->path[f->count++] = path;
}

static void free_files(struct vk_reload_files *f)
{
    for (int i = 0; f && i < f->count; i++)
        free(f->path[i]);
    if (f)
        free(f->error);
    free(f);
}

static bool files_changed(const struct vk_reload_files *f)
{
    for (int i = 0; i < f->count; i++) {
        struct timespec t = mtime(f->path[i]);
        if (t.tv_sec != f->changed[i].tv_sec || t.tv_nsec != f->changed[i].tv_nsec)
            return true;
    }
    return false;
}

/* --- includes --- */

struct resolver {
    const char *root;
    struct vk_reload_files *files;
};

struct included {
    shaderc_include_result result; /* first: what shaderc holds */
    struct fv_map map;
    char *name;
    char error[256];
};

static char *find_include(const char *root, const char *requested, const char *from, bool relative)
{
    char *dir = relative ? fv_path_dir(from) : NULL;
    char *path = dir ? fv_path_join(dir, requested) : NULL;
    free(dir);
    if (path && fv_exists(path))
        return path;
    free(path);
    return fv_path_join(root, requested);
}

static shaderc_include_result *resolve(void *ud, const char *requested, int type,
                                       const char *requesting, size_t depth)
{
    struct resolver *r = ud;
    struct included *inc = calloc(1, sizeof *inc);
    if (!inc)
        return NULL;
    bool relative = type == shaderc_include_type_relative;
    inc->name = find_include(r->root, requested, requesting, relative);
    if (!inc->name || depth > 32 || fv_map_open(&inc->map, inc->name) < 0) {
        /* an empty name tells shaderc of the failure; the content is its text */
        snprintf(inc->error, sizeof inc->error, "%s",
                 depth > 32 ? "includes nested too deeply" : fv_error());
        inc->result = (shaderc_include_result){"", 0, inc->error, strlen(inc->error), inc};
    } else {
        inc->result = (shaderc_include_result){inc->name, strlen(inc->name),
                                               inc->map.data ? (const char *)inc->map.data : "",
                                               inc->map.size, inc};
    }
    if (inc->name)
        add_file(r->files, strdup(inc->name));
    return &inc->result;
}

static void release(void *ud, shaderc_include_result *result)
{
    struct included *inc = result ? result->user_data : NULL;
    (void)ud;
    if (!inc)
        return;
    fv_map_close(&inc->map);
    free(inc->name);
    free(inc);
}

/* --- compiling --- */

/* "-DNAME=VALUE -DNAME": other flags of the build do not change what a shader means. */
static void add_macros(shaderc_compile_options_t options, const char *flags)
{
    for (const char *p = flags; *p;) {
        p += strspn(p, " ");
        size_t n = strcspn(p, " ");
        if (n > 2 && !strncmp(p, "-D", 2)) {
            const char *value = memchr(p, '=', n);
            size_t name = value ? (size_t)(value - p) - 2 : n - 2;
            if (value)
                shaderc_compile_options_add_macro_definition(options, p + 2, name, value + 1,
                                                             n - 3 - name);
            else
                shaderc_compile_options_add_macro_definition(options, p + 2, name, NULL, 0);
        }
        p += n;
    }
}

static shaderc_compile_options_t make_options(const char *flags, struct resolver *r)
{
    shaderc_compile_options_t o = shaderc_compile_options_initialize();
    if (!o)
        return NULL;
    shaderc_compile_options_set_target_env(o, shaderc_target_env_vulkan,
                                           shaderc_env_version_vulkan_1_3);
    shaderc_compile_options_set_optimization_level(o, shaderc_optimization_level_performance);
    shaderc_compile_options_set_include_callbacks(o, resolve, release, r);
    add_macros(o, flags);
    return o;
}

/* *out is to be released by the caller whether or not it compiled (FV_EFORMAT, the compiler's
 * text as the error). */
static int compile(shaderc_compilation_result_t *out, const char *path, const char *flags,
                   struct resolver *r)
{
    struct fv_map map;
    int rc = 0;
    *out = NULL;
    FV_TRY(fv_map_open(&map, path));
    shaderc_compiler_t compiler = shaderc_compiler_initialize();
    shaderc_compile_options_t options = make_options(flags, r);
    if (compiler && options)
        *out = shaderc_compile_into_spv(compiler, map.data ? (const char *)map.data : "", map.size,
                                        shaderc_glsl_compute_shader, path, "main", options);
    if (!*out)
        rc = fv_fail(FV_ENOMEM, "libshaderc could not start");
    else if (shaderc_result_get_compilation_status(*out) != shaderc_compilation_status_success)
        rc = fv_fail(FV_EFORMAT, "%s", shaderc_result_get_error_message(*out));
    shaderc_compile_options_release(options);
    shaderc_compiler_release(compiler);
    fv_map_close(&map);
    return rc;
}

/* Compiles the source and builds e->pipe from it. e->files is replaced either way. */
static int build_from_source(struct vk_device *dev, struct vk_pipe_entry *e)
{
    struct vk_reload_files *files = calloc(1, sizeof *files);
    char *path = NULL, name[256];
    shaderc_compilation_result_t result = NULL;
    snprintf(name, sizeof name, "%s.comp", e->shader->source);
    path = fv_path_join(dev->p->shader_dir, name);
    int rc = files && path ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    if (!rc) {
        struct resolver r = {dev->p->shader_dir, files};
        add_file(files, strdup(path));
        rc = compile(&result, path, e->shader->flags, &r);
        free_files(e->files);
        e->files = files;
        files = NULL;
    }
    /* shaderc's buffer is aligned for words, but its type is char */
    if (!rc)
        rc = vk_pipe_build(dev, e, (const uint32_t *)(const void *)shaderc_result_get_bytes(result),
                           shaderc_result_get_length(result) / 4);
    if (rc < 0 && e->files)
        e->files->error = strdup(fv_error());
    shaderc_result_release(result);
    free_files(files);
    free(path);
    return rc;
}

int vk_reload_build(struct vk_device *dev, struct vk_pipe_entry *e)
{
    int rc = build_from_source(dev, e);
    if (!rc || rc == FV_ENOMEM || rc == FV_EGPUMEM)
        return rc;
    fv_log(FV_WARN, "%s: using the built-in shader: %s", e->shader->name, fv_error());
    return vk_pipe_build(dev, e, e->shader->code, e->shader->words);
}

void vk_reload_forget(struct vk_pipe_entry *e)
{
    free_files(e->files);
    e->files = NULL;
}

/* --- watching --- */

static int reload(struct vk_device *dev, struct vk_pipe_entry *e, bool *changed)
{
    struct vk_pipe old = e->pipe;
    e->pipe = (struct vk_pipe){.name = old.name};
    int rc = build_from_source(dev, e);
    if (rc < 0) {
        e->pipe = old;
        return rc == FV_EFORMAT || rc == FV_EIO || rc == FV_EDEVICE ? vk_alive(dev) : rc;
    }
    *changed = true;
    rc = vk_queue_drain(dev);
    vk_pipe_clear(dev, &old);
    return rc;
}

/* Variants of one source mostly fail alike: every text once. */
static void add_error(char *log, size_t size, const char *error)
{
    size_t used = strlen(log);
    if (!strstr(log, error))
        snprintf(log + used, size - used, "%s%s", used ? "\n" : "", error);
}

int vk_reload_poll(struct vk_device *dev, bool *changed, char *log, size_t log_size)
{
    struct vk_pipes *t = dev->p->pipes;
    int rc = 0;
    *changed = false;
    if (log_size)
        *log = 0;
    FV_TRY(vk_alive(dev));
    if (!dev->p->shader_dir)
        return 0;
    pthread_mutex_lock(&t->lock);
    bool look = fv_now() - t->polled >= poll_seconds;
    t->polled = look ? fv_now() : t->polled;
    for (struct vk_pipe_entry *e = t->entries; e && !rc; e = e->next)
        if (look && e->files && files_changed(e->files))
            rc = reload(dev, e, changed);
    for (struct vk_pipe_entry *e = t->entries; e && log_size; e = e->next)
        if (e->files && e->files->error)
            add_error(log, log_size, e->files->error);
    pthread_mutex_unlock(&t->lock);
    return rc;
}

#else

int vk_reload_poll(struct vk_device *dev, bool *changed, char *log, size_t log_size)
{
    *changed = false;
    if (log_size)
        *log = 0;
    return vk_alive(dev);
}

#endif

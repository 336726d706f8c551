/* See batch_stage.h. The folder of DIR/a.mp4, the option output of job HASH, is DIR/.fovea-HASH-output, and in it
 * is a.mp4; of DIR/frames/ it is the same, and in it frames/. */
#include "app/batch_stage.h"
#include "app/command_line.h"
#include "vk/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A device or a pipe takes what comes as it comes. */
static bool is_staged(const struct batch_file *f)
{
    struct stat st;
    return stat(f->full, &st) < 0 || S_ISREG(st.st_mode) || S_ISDIR(st.st_mode);
}

static char *beside(const struct batch_job *j, const struct batch_file *f, const char *what)
{
    char *dir = fv_path_dir(f->full), *out = NULL;
    if (dir && asprintf(&out, "%s/.fovea-%016llx-%s", strcmp(dir, "/") ? dir : "", (unsigned long long)j->hash, what) < 0)
        out = NULL;
    free(dir);
    return out;
}

static char *folder_of(const struct batch_job *j, const struct batch_file *f)
{
    return beside(j, f, f->opt->name);
}

static void remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        char *inner = fv_path_join(path, e->d_name);
        struct stat st;
        if (inner && !lstat(inner, &st) && S_ISDIR(st.st_mode))
            remove_tree(inner);
        else if (inner)
            unlink(inner);
        free(inner);
    }
    if (dir)
        closedir(dir);
    rmdir(path);
}

static const struct opt *resumes(const struct batch_job *j)
{
    for (const struct opt *o = j->cmd->opts; o->type; o++)
        if (o->file == OPT_RESUMES && o->type == OPT_STRING && !strcmp(o->name, "checkpoint"))
            return o;
    return NULL;
}

/* What was made so far lies where the command writes, and it goes on from that. */
static bool goes_on(const struct batch_job *j, const struct batch_file *f)
{
    return j->cmd->goes_on && !strcmp(f->opt->name, "output");
}

/* Temporaries of writers that were killed, in a folder and those within. */
static void remove_torn(const char *path)
{
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        struct stat st;
        char *inner = strcmp(e->d_name, ".") && strcmp(e->d_name, "..") ? fv_path_join(path, e->d_name) : NULL;
        if (inner && !lstat(inner, &st) && S_ISDIR(st.st_mode))
            remove_torn(inner);
        else if (inner && fv_torn_end(e->d_name))
            unlink(inner);
        free(inner);
    }
    if (dir)
        closedir(dir);
}

static const char **text_of(const struct opt *o, void *values)
{
    return (const char **)(void *)((char *)values + o->offset);
}

static int stage_file(const struct batch_job *j, const struct batch_file *f, void *values, struct fv_arena *arena)
{
    char *dir = folder_of(j, f), *name = NULL;
    const char *base = fv_path_base(f->full);
    int rc = dir ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    if (rc == 0) {
        bool kept = goes_on(j, f) && fv_is_dir(dir);
        if (kept)
            remove_torn(dir);
        else
            remove_tree(dir);
        if (!kept && mkdir(dir, 0777) < 0)
            rc = fv_fail(FV_EIO, "%s: the folder cannot be made: %s", dir, strerror(errno));
    }
    if (rc == 0 && asprintf(&name, "%s/%s%s", dir, base, f->folder ? "/" : "") < 0) {
        name = NULL;
        rc = fv_fail(FV_ENOMEM, "out of memory");
    }
    if (rc == 0 && f->folder && mkdir(name, 0777) < 0 && !(goes_on(j, f) && errno == EEXIST))
        rc = fv_fail(FV_EIO, "%s: the folder cannot be made: %s", name, strerror(errno));
    if (rc == 0) {
        const char *kept = fv_arena_strndup(arena, name, strlen(name));
        *text_of(f->opt, values) = kept;
        rc = kept ? 0 : FV_ENOMEM;
    }
    free(name);
    free(dir);
    return rc;
}

int batch_stage_begin(const struct batch_job *j, void *values, struct fv_arena *arena)
{
    const struct opt *state = resumes(j);
    for (size_t i = 0; i < j->write_count; i++)
        if (is_staged(&j->writes[i]))
            FV_TRY(stage_file(j, &j->writes[i], values, arena));
    if (!state || *text_of(state, values) || !j->write_count)
        return 0;
    char *path = beside(j, &j->writes[0], state->name);
    const char *kept = path ? fv_arena_strndup(arena, path, strlen(path)) : NULL;
    free(path);
    *text_of(state, values) = kept;
    return kept ? 0 : fv_fail(FV_ENOMEM, "out of memory");
}

/* ---- results ----------------------------------------------------------------------------- */

static int sync_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fv_fail(FV_EIO, "%s: %s", path, strerror(errno));
    int rc = fsync(fd) < 0 && errno != EINVAL && errno != EROFS ? fv_fail(FV_EIO, "%s: %s", path, strerror(errno)) : 0;
    close(fd);
    return rc;
}

static int list_tree(struct batch_results *out, const char *from, const char *to)
{
    DIR *dir = opendir(from);
    int rc = dir ? 0 : fv_fail(FV_EIO, "%s: %s", from, strerror(errno));
    for (struct dirent *e; rc == 0 && (e = readdir(dir));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        char *inner = fv_path_join(from, e->d_name), *place = fv_path_join(to, e->d_name);
        struct stat st;
        if (!inner || !place)
            rc = fv_fail(FV_ENOMEM, "out of memory");
        else if (lstat(inner, &st) < 0)
            rc = fv_fail(FV_EIO, "%s: %s", inner, strerror(errno));
        else if (S_ISDIR(st.st_mode))
            rc = list_tree(out, inner, place);
        else {
            rc = S_ISREG(st.st_mode) ? sync_file(inner) : 0;
            if (rc == 0)
                rc = batch_results_add(out, inner, place, (uint64_t)st.st_size);
        }
        free(inner);
        free(place);
    }
    if (rc == 0 && fsync(dirfd(dir)) < 0 && errno != EINVAL && errno != EROFS)
        rc = fv_fail(FV_EIO, "%s: %s", from, strerror(errno));
    if (dir)
        closedir(dir);
    return rc;
}

static int by_place(const void *a, const void *b)
{
    const struct batch_result *x = a, *y = b;
    return strcmp(x->to, y->to);
}

int batch_stage_results(const struct batch_job *j, struct batch_results *out)
{
    for (size_t i = 0; i < j->write_count; i++) {
        const struct batch_file *f = &j->writes[i];
        if (!is_staged(f))
            continue;
        char *from = folder_of(j, f), *to = fv_path_dir(f->full), *report = NULL;
        int rc = from && to ? 0 : fv_fail(FV_ENOMEM, "out of memory");
        if (rc == 0 && !strcmp(f->opt->name, "report") && (report = fv_path_join(from, fv_path_base(f->full))))
            rc = batch_stage_restore_names(j, report);
        if (rc == 0)
            rc = list_tree(out, from, to);
        free(from);
        free(to);
        free(report);
        FV_TRY(rc);
    }
    if (out->count)
        qsort(out->items, out->count, sizeof *out->items, by_place);
    return 0;
}

void batch_stage_remove(const struct batch_job *j, bool checkpoint)
{
    const struct opt *state = resumes(j);
    for (size_t i = 0; i < j->write_count; i++) {
        bool kept = !checkpoint && goes_on(j, &j->writes[i]);
        char *dir = folder_of(j, &j->writes[i]);
        if (dir && !kept && fv_is_dir(dir))
            remove_tree(dir);
        free(dir);
    }
    char *path = checkpoint && state && j->write_count ? beside(j, &j->writes[0], state->name) : NULL;
    if (path)
        unlink(path);
    free(path);
}

int batch_stage_paths(const struct batch_job *j, struct fv_paths *out)
{
    const struct opt *state = resumes(j);
    for (size_t i = 0; i < j->write_count; i++)
        if (is_staged(&j->writes[i]))
            FV_TRY(fv_paths_add(out, folder_of(j, &j->writes[i])));
    return state && j->write_count ? fv_paths_add(out, beside(j, &j->writes[0], state->name)) : 0;
}

void batch_stage_remove_path(const char *path)
{
    struct stat st;
    if (strncmp(fv_path_base(path), ".fovea-", 7) || lstat(path, &st) < 0)
        return;
    if (S_ISDIR(st.st_mode))
        remove_tree(path);
    else
        unlink(path);
}

/* ---- names ------------------------------------------------------------------------------- */

/* Every `from` becomes `to`, in a text of malloc'd memory. */
static char *replace(char *text, const char *from, const char *to)
{
    size_t n = strlen(from), m = strlen(to);
    for (char *at = text; text && (at = strstr(at, from));) {
        size_t before = (size_t)(at - text), rest = strlen(at + n) + 1;
        if (m > n) {
            char *grown = realloc(text, before + m + rest);
            if (!grown)
                return free(text), NULL;
            text = grown;
            at = text + before;
        }
        memmove(at + m, at + n, rest);
        memcpy(at, to, m);
        at += m;
    }
    return text;
}

char *batch_stage_restored(const struct batch_job *j, char *text)
{
    for (size_t i = 0; text && i < j->write_count; i++) {
        const struct batch_file *f = &j->writes[i];
        char *dir = folder_of(j, f), *from = NULL, *own = strdup(f->path);
        if (!dir || !own || asprintf(&from, "%s/", dir) < 0)
            from = NULL;
        size_t n = own ? strlen(own) : 0;
        while (n && own[n - 1] == '/')
            own[--n] = 0;
        if (from && own) {
            own[fv_path_base(own) - own] = 0;
            text = replace(text, from, own);
        }
        free(own);
        free(from);
        free(dir);
    }
    return text;
}

int batch_stage_restore_names(const struct batch_job *j, const char *path)
{
    struct fv_map map;
    struct fv_writer w;
    FV_TRY(fv_map_open(&map, path));
    bool is_text = map.size && !memchr(map.data, 0, map.size) && map.size < 64 << 20;
    char *text = is_text && memmem(map.data, map.size, "/.fovea-", 8) ? strndup((const char *)map.data, map.size) : NULL;
    fv_map_close(&map);
    if (!text)
        return 0;
    text = batch_stage_restored(j, text);
    if (!text)
        return fv_fail(FV_ENOMEM, "out of memory");
    int rc = fv_writer_open(&w, path);
    if (rc == 0) {
        fv_write(&w, text, strlen(text));
        rc = fv_writer_commit(&w);
    }
    free(text);
    return rc;
}

/* ---- command lines ----------------------------------------------------------------------- */

char *batch_command_line(const struct batch_job *j)
{
    char *text = NULL;
    size_t size;
    bool dashes = false;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    fprintf(out, "fovea %s", j->cmd->name);
    int rc = command_line_options(out, app_global_opts, &j->globals);
    rc = rc < 0 ? rc : command_line_options(out, j->cmd->opts, j->values);
    for (size_t i = 0; i < j->args.count; i++)
        dashes = dashes || *j->args.items[i] == '-';
    if (dashes)
        fputs(" --", out);
    for (size_t i = 0; i < j->args.count; i++)
        command_line_word(out, j->args.items[i]);
    fclose(out);
    if (rc < 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* Maps, cursor, atomic writer and paths (file.h). */
#include "vk/base/file.h"
#include "vk/base/array.h"
#include "vk/base/err.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int fv_map_open(struct fv_map *out, const char *path)
{
    struct stat st;
    *out = (struct fv_map){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hang us */
    if (fd < 0)
        return fv_fail(FV_EIO, "%s: %s", path, strerror(errno));
    if (fstat(fd, &st) < 0) {
        int e = errno;
        close(fd);
        return fv_fail(FV_EIO, "%s: %s", path, strerror(e));
    }
    if (!S_ISREG(st.st_mode)) {
        close(fd);
        return fv_fail(FV_EIO, "%s: %s", path,
                       S_ISDIR(st.st_mode) ? "is a directory, not a file"
                                           : "is not a regular file");
    }
    if (st.st_size > 0) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED) {
            int e = errno;
            close(fd);
            return fv_fail(FV_EIO, "%s: cannot be mapped: %s", path, strerror(e));
        }
        out->data = p;
        out->size = (size_t)st.st_size;
    }
    close(fd);
    return 0;
}

void fv_map_close(struct fv_map *map)
{
    if (map->data)
        munmap((void *)(uintptr_t)map->data, map->size);
    *map = (struct fv_map){0};
}

void fv_map_forget(const struct fv_map *map, size_t offset, size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (!map->data || offset > map->size)
        return;
    size_t end = size < map->size - offset ? offset + size : map->size;
    size_t from = (offset + page - 1) / page * page, to = end / page * page;
    if (from < to)
        madvise((void *)(uintptr_t)(map->data + from), to - from, MADV_DONTNEED);
}

struct fv_cursor fv_cursor_over(const void *data, size_t size)
{
    return (struct fv_cursor){.data = data, .size = size};
}

size_t fv_cursor_left(const struct fv_cursor *c)
{
    return c->size - c->at;
}

const uint8_t *fv_get_bytes(struct fv_cursor *c, size_t n)
{
    if (c->failed || n > c->size - c->at) {
        c->failed = true;
        return NULL;
    }
    const uint8_t *p = c->data + c->at;
    c->at += n;
    return p;
}

static uint64_t get_le(struct fv_cursor *c, size_t n)
{
    const uint8_t *p = fv_get_bytes(c, n);
    uint64_t v = 0;
    for (size_t i = 0; p && i < n; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

uint8_t fv_get_u8(struct fv_cursor *c)
{
    return (uint8_t)get_le(c, 1);
}

uint16_t fv_get_u16(struct fv_cursor *c)
{
    return (uint16_t)get_le(c, 2);
}

uint32_t fv_get_u32(struct fv_cursor *c)
{
    return (uint32_t)get_le(c, 4);
}

uint64_t fv_get_u64(struct fv_cursor *c)
{
    return get_le(c, 8);
}

float fv_get_f32(struct fv_cursor *c)
{
    uint32_t u = fv_get_u32(c);
    float f;
    memcpy(&f, &u, 4);
    return f;
}

double fv_get_f64(struct fv_cursor *c)
{
    uint64_t u = fv_get_u64(c);
    double f;
    memcpy(&f, &u, 8);
    return f;
}

bool fv_write_fd(int fd, const void *data, size_t size)
{
    for (const char *at = data; size;) {
        ssize_t n = write(fd, at, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        at += n;
        size -= (size_t)n;
    }
    return true;
}

int fv_write_failure(const char *name, int error)
{
    if (!name && error == EPIPE)
        return fv_fail(FV_EIO, "standard output was closed by the program that reads it");
    if (!name && error == EBADF)
        return fv_fail(FV_EIO, "standard output is closed");
    if (error == ENOSPC)
        return fv_fail(FV_EIO, "%s: write failed: the disk is full", name ? name : "standard output");
    return fv_fail(FV_EIO, "%s: write failed: %s", name ? name : "standard output", strerror(error));
}

/* What the bytes go to first: a temporary beside a regular or new file, whose name a link leads
 * to; the thing itself if it is a device or a pipe, which a rename would replace. */
static int name_target(struct fv_writer *w, const char *path, const struct stat *old)
{
    w->path = old ? realpath(path, NULL) : strdup(path);
    if (!w->path)
        return fv_fail(errno == ENOMEM ? FV_ENOMEM : FV_EIO, "%s: %s", path, strerror(errno));
    if (old && !S_ISREG(old->st_mode))
        return 0;
    if (asprintf(&w->temporary, "%s.%ld.tmp", w->path, (long)getpid()) < 0) {
        w->temporary = NULL;
        return fv_fail(FV_ENOMEM, "out of memory");
    }
    return 0;
}

static int open_writer(struct fv_writer *w, const char *path, bool in_place)
{
    struct stat st;
    *w = (struct fv_writer){0};
    if (!strcmp(path, "-")) {
        w->file = stdout;
        return 0;
    }
    bool exists = !stat(path, &st);
    if (exists && S_ISDIR(st.st_mode))
        return fv_fail(FV_EIO, "%s: is a directory; give a file name", path);
    int rc = name_target(w, path, exists ? &st : NULL);
    if (rc < 0) {
        fv_writer_abort(w);
        return rc;
    }
    if (in_place) {
        free(w->temporary);
        w->temporary = NULL;
    }
    w->file = fopen(w->temporary ? w->temporary : w->path, "wb");
    if (!w->file) {
        int e = errno;
        free(w->temporary);
        w->temporary = NULL;
        fv_writer_abort(w);
        return fv_fail(FV_EIO, "%s: cannot be written: %s", path, strerror(e));
    }
    if (exists && w->temporary) /* the new file is as readable as the old; refusal is no matter */
        (void)!fchmod(fileno(w->file), st.st_mode & 0777);
    return 0;
}

int fv_writer_open(struct fv_writer *w, const char *path)
{
    return open_writer(w, path, false);
}

int fv_writer_open_in_place(struct fv_writer *w, const char *path)
{
    return open_writer(w, path, true);
}

void fv_write(struct fv_writer *w, const void *data, size_t size)
{
    if (w->failed || !size)
        return;
    if (fwrite(data, 1, size, w->file) != size) {
        w->failed = true;
        fv_write_failure(w->path, errno);
    }
}

void fv_writer_flush(struct fv_writer *w)
{
    if (!w->failed && fflush(w->file)) {
        fv_write_failure(w->path, errno);
        w->failed = true;
    }
}

int fv_writer_commit(struct fv_writer *w)
{
    const char *name = w->path ? w->path : "standard output";
    if (w->failed) {
        fv_writer_abort(w);
        return FV_EIO; /* the text is fv_write's */
    }
    if (fflush(w->file) || ferror(w->file) || (w->temporary && fsync(fileno(w->file)))) {
        fv_write_failure(w->path, errno);
        fv_writer_abort(w);
        return FV_EIO;
    }
    if (w->path) {
        int bad = fclose(w->file);
        w->file = NULL;
        if (bad || (w->temporary && rename(w->temporary, w->path))) {
            fv_fail(FV_EIO, "%s: cannot be replaced: %s", name, strerror(errno));
            fv_writer_abort(w);
            return FV_EIO;
        }
        free(w->temporary);
        w->temporary = NULL;
    }
    w->file = NULL;
    fv_writer_abort(w);
    return 0;
}

void fv_writer_abort(struct fv_writer *w)
{
    if (w->file && w->file != stdout)
        fclose(w->file);
    if (w->temporary)
        unlink(w->temporary);
    free(w->temporary);
    free(w->path);
    *w = (struct fv_writer){0};
}

const char *fv_torn_end(const char *name)
{
    const char *tmp = strrchr(name, '.'), *at = tmp;
    if (!tmp || strcmp(tmp, ".tmp"))
        return NULL;
    while (at > name && isdigit((unsigned char)at[-1]))
        at--;
    return at > name && at < tmp && at[-1] == '.' ? at - 1 : NULL;
}

void fv_remove_torn(const char *path)
{
    char *dir = fv_path_dir(path);
    const char *base = fv_path_base(path);
    size_t n = strlen(base);
    DIR *d = dir ? opendir(dir) : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        if (strncmp(e->d_name, base, n) || fv_torn_end(e->d_name) != e->d_name + n)
            continue;
        char *torn = fv_path_join(dir, e->d_name);
        if (torn)
            unlink(torn);
        free(torn);
    }
    if (d)
        closedir(d);
    free(dir);
}

int fv_make_dirs(const char *path)
{
    char *part = strdup(path);
    if (!part)
        return fv_fail(FV_ENOMEM, "out of memory");
    for (char *slash = part; *slash && (slash = strchr(slash + 1, '/')); *slash = '/') {
        *slash = 0;
        mkdir(part, 0777); /* the last one tells what is wrong */
    }
    free(part);
    int error = mkdir(path, 0777) < 0 ? errno : 0;
    if (fv_is_dir(path))
        return 0;
    return error == EEXIST ? fv_fail(FV_EIO, "%s: is a file, not a folder", path)
                           : fv_fail(FV_EIO, "%s: the folder cannot be made: %s", path, strerror(error));
}

bool fv_is_dir(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

bool fv_exists(const char *path)
{
    struct stat st;
    return !stat(path, &st);
}

char *fv_path_join(const char *dir, const char *name)
{
    char *out = NULL;
    if (!dir || !*dir || name[0] == '/')
        return strdup(name);
    if (asprintf(&out, "%s%s%s", dir, dir[strlen(dir) - 1] == '/' ? "" : "/", name) < 0)
        return NULL;
    return out;
}

bool fv_exists_in(const char *dir, const char *name)
{
    char *path = fv_path_join(dir, name);
    bool yes = path && fv_exists(path);
    free(path);
    return yes;
}

char *fv_path_dir(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return strdup(".");
    return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

const char *fv_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool fv_ends_with(const char *text, const char *suffix)
{
    size_t n = strlen(text), m = strlen(suffix);
    return n >= m && !strcasecmp(text + n - m, suffix);
}

/* ---- lists of paths ---- */

int fv_paths_add(struct fv_paths *p, char *path)
{
    int rc = path ? fv_grow(&p->items, &p->room, p->count, sizeof *p->items)
                  : fv_fail(FV_ENOMEM, "out of memory");
    if (rc < 0)
        free(path);
    else
        p->items[p->count++] = path;
    return rc;
}

int fv_paths_add_dir(struct fv_paths *p, const char *dir, bool (*wanted)(const char *name))
{
    DIR *d = opendir(dir);
    int rc = 0;
    if (!d)
        return fv_fail(FV_EIO, "%s: %s", dir, strerror(errno));
    for (struct dirent *e; rc == 0 && (e = readdir(d));)
        if (wanted(e->d_name))
            rc = fv_paths_add(p, fv_path_join(dir, e->d_name));
    closedir(d);
    return rc;
}

void fv_paths_finish(struct fv_paths *p)
{
    for (size_t i = 0; i < p->count; i++)
        free(p->items[i]);
    free(p->items);
    *p = (struct fv_paths){0};
}

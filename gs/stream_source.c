/* Files as sources of streams (gs.h). Read, not mapped: one that another program cuts short is an
 * error, not a signal. */
#include "gs/gs.h"
#include "vk/base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct file_source {
    int fd;
    char *path;
    double live;    /* seconds without growth after which it is taken as complete */
    uint64_t size;  /* as seen last */
    double grew_at; /* when it was seen to have grown */
};

static int look(struct file_source *f)
{
    struct stat st;
    if (fstat(f->fd, &st) < 0)
        return fv_fail(FV_EIO, "%s: %s", f->path, strerror(errno));
    if ((uint64_t)st.st_size != f->size)
        f->grew_at = fv_now();
    f->size = (uint64_t)st.st_size;
    return 0;
}

static bool grows(const struct file_source *f)
{
    return f->live > 0 && fv_now() - f->grew_at < f->live;
}

static int file_info(void *ud, struct gs_source_info *out)
{
    struct file_source *f = ud;
    FV_TRY(look(f));
    *out = (struct gs_source_info){.size = f->size, .grows = grows(f)};
    return 0;
}

static int file_read(void *ud, uint64_t offset, void *dst, size_t size, size_t *got)
{
    struct file_source *f = ud;
    *got = 0;
    if (offset > INT64_MAX - size)
        return 0;
    while (*got < size) {
        ssize_t n = pread(f->fd, (uint8_t *)dst + *got, size - *got, (off_t)(offset + *got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fv_fail(FV_EIO, "%s: %s", f->path, strerror(errno));
        if (n == 0)
            break;
        *got += (size_t)n;
    }
    if (*got == size)
        return 0;
    FV_TRY(look(f));
    return grows(f) ? fv_fail(FV_EAGAIN, "%s: byte %llu is not written yet", f->path,
                              (unsigned long long)(offset + *got))
                    : 0;
}

static void file_close(void *ud)
{
    struct file_source *f = ud;
    close(f->fd);
    free(f->path);
    free(f);
}

int gs_source_open_file(struct gs_source *out, const char *path, double live)
{
    *out = (struct gs_source){0};
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hang us */
    if (fd < 0)
        return fv_fail(FV_EIO, "%s: %s", path, strerror(errno));
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return fv_fail(FV_EIO, "%s: %s", path,
                       S_ISDIR(st.st_mode) ? "is a directory, not a file" : "is not a regular file");
    }
    struct file_source *f = calloc(1, sizeof *f);
    if (f)
        f->path = strdup(path);
    if (!f || !f->path) {
        free(f);
        close(fd);
        return fv_fail(FV_ENOMEM, "out of memory");
    }
    f->fd = fd;
    f->live = live;
    f->size = (uint64_t)st.st_size;
    f->grew_at = fv_now();
    *out = (struct gs_source){
        .ud = f, .info = file_info, .read = file_read, .close = file_close};
    return 0;
}

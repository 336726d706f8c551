/* Writing safetensors (safetensors_write.h): u64 length of the header, JSON padded with spaces so
 * that data begins at a multiple of 64, then every tensor's bytes, little-endian. */
#include "vk/nn/safetensors_write.h"
#include "vk/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const names[NN_DATA_COUNT] = {
    [NN_DATA_F64] = "F64",   [NN_DATA_F32] = "F32",         [NN_DATA_F16] = "F16",
    [NN_DATA_BF16] = "BF16", [NN_DATA_F8_E4M3] = "F8_E4M3", [NN_DATA_F8_E5M2] = "F8_E5M2",
    [NN_DATA_I64] = "I64",   [NN_DATA_I32] = "I32",         [NN_DATA_I16] = "I16",
    [NN_DATA_I8] = "I8",     [NN_DATA_U64] = "U64",         [NN_DATA_U32] = "U32",
    [NN_DATA_U16] = "U16",   [NN_DATA_U8] = "U8",           [NN_DATA_BOOL] = "BOOL"};

static void quoted(FILE *out, const char *text)
{
    fputc('"', out);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c == '"' || *c == '\\')
            fprintf(out, "\\%c", *c);
        else if (*c < 0x20)
            fprintf(out, "\\u%04x", *c);
        else
            fputc(*c, out);
    fputc('"', out);
}

uint64_t nn_save_bytes(const struct nn_save_tensor *t)
{
    uint64_t n = nn_data_block_bytes(t->type);
    for (unsigned i = 0; i < t->rank; i++)
        n *= t->shape[i];
    return n;
}

static void entry(FILE *out, const struct nn_save_tensor *t, uint64_t begin)
{
    quoted(out, t->name);
    fprintf(out, ":{\"dtype\":\"%s\",\"shape\":[", names[t->type]);
    for (unsigned i = 0; i < t->rank; i++)
        fprintf(out, "%s%llu", i ? "," : "", (unsigned long long)t->shape[i]);
    fprintf(out, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)begin,
            (unsigned long long)(begin + nn_save_bytes(t)));
}

static int header(char **text, size_t *size, const struct nn_save_tensor *list, size_t n,
                  const struct nn_file_text *meta, size_t meta_count)
{
    FILE *out = open_memstream(text, size);
    uint64_t at = 0;
    if (!out)
        return fv_fail(FV_ENOMEM, "out of memory");
    fputc('{', out);
    if (meta_count)
        fputs("\"__metadata__\":{", out);
    for (size_t i = 0; i < meta_count; i++) {
        fputs(i ? "," : "", out);
        quoted(out, meta[i].key);
        fputc(':', out);
        quoted(out, meta[i].value);
    }
    if (meta_count)
        fputs(n ? "}," : "}", out);
    for (size_t i = 0; i < n; at += nn_save_bytes(&list[i]), i++) {
        fputs(i ? "," : "", out);
        entry(out, &list[i], at);
    }
    fputc('}', out);
    while ((ftell(out) + 8) % 64)
        fputc(' ', out);
    return fclose(out) == 0 ? 0 : fv_fail(FV_ENOMEM, "out of memory");
}

static int check(const char *path, const struct nn_save_tensor *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if ((unsigned)list[i].type >= NN_DATA_COUNT || !names[list[i].type] ||
            list[i].rank > NN_FILE_MAX_RANK)
            return fv_fail(FV_EINVALID, "%s: %s: safetensors has no type %s", path, list[i].name,
                           nn_data_name(list[i].type));
        for (size_t k = 0; k < i; k++)
            if (!strcmp(list[i].name, list[k].name))
                return fv_fail(FV_EINVALID, "%s: two tensors are called %s", path, list[i].name);
    }
    return 0;
}

int nn_safetensors_save(const char *path, const struct nn_save_tensor *list, size_t n,
                        const struct nn_file_text *meta, size_t meta_count)
{
    char *text = NULL;
    size_t size = 0;
    struct fv_writer w = {0};
    FV_TRY(check(path, list, n));
    int rc = header(&text, &size, list, n, meta, meta_count);
    if (rc >= 0)
        rc = fv_writer_open(&w, path);
    if (rc >= 0) {
        uint8_t length[8];
        for (int i = 0; i < 8; i++)
            length[i] = (uint8_t)((uint64_t)size >> 8 * i);
        fv_write(&w, length, 8);
        fv_write(&w, text, size);
        for (size_t i = 0; i < n; i++)
            fv_write(&w, list[i].data, nn_save_bytes(&list[i]));
        rc = fv_writer_commit(&w);
    }
    free(text);
    return rc;
}

int nn_safetensors_bytes(void **data, size_t *size, const struct nn_save_tensor *list, size_t n,
                         const struct nn_file_text *meta, size_t meta_count)
{
    char *text = NULL;
    size_t head = 0;
    FV_TRY(check("tensors", list, n));
    FV_TRY(header(&text, &head, list, n, meta, meta_count));
    size_t at = 8 + head;
    *size = at;
    for (size_t i = 0; i < n; i++)
        *size += nn_save_bytes(&list[i]);
    uint8_t *out = *data = malloc(*size);
    for (int i = 0; out && i < 8; i++)
        out[i] = (uint8_t)((uint64_t)head >> 8 * i);
    if (out)
        memcpy(out + 8, text, head);
    for (size_t i = 0; out && i < n; at += nn_save_bytes(&list[i]), i++)
        if (nn_save_bytes(&list[i]))
            memcpy(out + at, list[i].data, nn_save_bytes(&list[i]));
    free(text);
    return out ? 0 : fv_fail(FV_ENOMEM, "out of memory");
}

/* ---- tensor by tensor -------------------------------------------------------------------- */

struct nn_saver {
    int fd;
    char *path, *part;
    uint64_t *at; /* [count + 1]: where tensors begin; the end */
    size_t count;
};

static int os_failed(const struct nn_saver *s, const char *what)
{
    return fv_fail(FV_EIO, "%s: %s: %s", s->part, what, strerror(errno));
}

static int write_at(const struct nn_saver *s, uint64_t at, const void *data, uint64_t size)
{
    const uint8_t *p = data;
    while (size) {
        ssize_t n = pwrite(s->fd, p, size < 1 << 30 ? (size_t)size : 1 << 30, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return os_failed(s, "cannot write");
        p += n, at += (uint64_t)n, size -= (uint64_t)n;
    }
    return 0;
}

/* Whether the file begins as it would now and is as long. */
static bool is_same(const struct nn_saver *s, const uint8_t length[8], const char *text, size_t size)
{
    uint8_t *there = malloc(size + 8);
    bool same = there && lseek(s->fd, 0, SEEK_END) == (off_t)s->at[s->count] &&
                pread(s->fd, there, size + 8, 0) == (ssize_t)(size + 8) && !memcmp(there, length, 8) &&
                !memcmp(there + 8, text, size);
    free(there);
    return same;
}

static int begin(struct nn_saver *s, const char *text, size_t size, bool *resumed)
{
    uint8_t length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)((uint64_t)size >> 8 * i);
    s->fd = open(s->part, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (s->fd < 0)
        return os_failed(s, "cannot be made");
    *resumed = is_same(s, length, text, size);
    if (*resumed)
        return 0;
    if (ftruncate(s->fd, 0) < 0)
        return os_failed(s, "cannot be emptied");
    errno = posix_fallocate(s->fd, 0, (off_t)s->at[s->count]);
    if (errno) {
        int rc = errno == ENOSPC ? fv_fail(FV_EIO, "%s: the disk has no room for %.1f MB", s->part,
                                           1e-6 * (double)s->at[s->count])
                                 : os_failed(s, "cannot take room on the disk");
        unlink(s->part);
        return rc;
    }
    FV_TRY(write_at(s, 8, text, size));
    return write_at(s, 0, length, 8);
}

int nn_saver_open(struct nn_saver **out, const char *path, const struct nn_save_tensor *list, size_t n,
                  const struct nn_file_text *meta, size_t meta_count, bool *resumed)
{
    char *text = NULL;
    size_t size = 0;
    *out = NULL;
    FV_TRY(check(path, list, n));
    FV_TRY(header(&text, &size, list, n, meta, meta_count));
    struct nn_saver *s = calloc(1, sizeof *s);
    int rc = s ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    if (s) {
        s->fd = -1;
        s->count = n;
        s->path = strdup(path);
        s->at = malloc((n + 1) * sizeof *s->at);
        if (!s->path || !s->at || asprintf(&s->part, "%s.part", path) < 0)
            rc = fv_fail(FV_ENOMEM, "out of memory");
    }
    if (rc == 0) {
        s->at[0] = 8 + size;
        for (size_t i = 0; i < n; i++)
            s->at[i + 1] = s->at[i] + nn_save_bytes(&list[i]);
        rc = begin(s, text, size, resumed);
    }
    free(text);
    *out = s;
    if (rc < 0)
        nn_saver_close(out);
    return rc;
}

int nn_saver_write(struct nn_saver *s, size_t tensor, const void *data)
{
    return write_at(s, s->at[tensor], data, s->at[tensor + 1] - s->at[tensor]);
}

int nn_saver_flush(struct nn_saver *s)
{
    return fdatasync(s->fd) == 0 ? 0 : os_failed(s, "cannot write");
}

int nn_saver_commit(struct nn_saver **s)
{
    int rc = nn_saver_flush(*s);
    if (rc == 0 && rename((*s)->part, (*s)->path) < 0)
        rc = os_failed(*s, "cannot be renamed");
    nn_saver_close(s);
    return rc;
}

void nn_saver_close(struct nn_saver **s)
{
    if (!*s)
        return;
    if ((*s)->fd >= 0)
        close((*s)->fd);
    free((*s)->path);
    free((*s)->part);
    free((*s)->at);
    free(*s);
    *s = NULL;
}

/* What comes through standard input (pipe_in.h). */
#include "app/pipe_in.h"
#include "app/cmd.h"
#include "vk/base/file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOOK = 4096, BLOCK = 1 << 20 };

/* There is one standard input. */
static struct {
    char *folder, *path;
    bool taken, stream;
    unsigned char begin[LOOK]; /* read to see what it is */
    size_t known, given;
} in;

/* ---- what it is ------------------------------------------------------------------------- */

static bool at(const unsigned char *b, size_t known, size_t offset, const char *text)
{
    size_t n = strlen(text);
    return known >= offset + n && !memcmp(b + offset, text, n);
}

static bool is_text(const unsigned char *b, size_t known)
{
    for (size_t i = 0; i < known; i++)
        if (b[i] < 9 || (b[i] > 13 && b[i] < 32) || b[i] == 127)
            return false;
    return known > 0;
}

/* A header of JSON behind its length. */
static bool is_safetensors(const unsigned char *b, size_t known)
{
    return known > 9 && b[8] == '{' && !b[5] && !b[6] && !b[7] && (b[9] == '"' || b[9] == '}' || b[9] == ' ');
}

/* Checkpoints of PyTorch are ZIP files too: "archive/data.pkl" comes first in them. */
static bool is_checkpoint(const unsigned char *b, size_t known)
{
    char name[128];
    size_t n = known > 30 ? b[26] + 256u * b[27] : 0;
    if (n >= sizeof name || known < 30 + n)
        return false;
    memcpy(name, b + 30, n);
    name[n] = 0;
    return fv_ends_with(name, ".pkl") || fv_ends_with(name, "/version") || fv_ends_with(name, "/byteorder");
}

const char *pipe_in_suffix(const void *begin, size_t known, size_t size)
{
    static const struct {
        const char *magic, *suffix;
        size_t offset;
    } table[] = {
        {"ply\n", ".ply", 0},          {"ply\r", ".ply", 0},          {"NGSP", ".spz", 0},
        {"\x1f\x8b\x08", ".spz", 0},   {"glTF", ".glb", 0},           {"fvv\x1a", ".fvv", 0},
        {"YUV4MPEG2", ".y4m", 0},      {"\x1a\x45\xdf\xa3", ".mkv", 0}, {"ftyp", ".mp4", 4},
        {"AVI ", ".avi", 8},           {"\x89PNG", ".png", 0},        {"\xff\xd8\xff", ".jpg", 0},
        {"\x93NUMPY", ".npy", 0},      {"GGUF", ".gguf", 0},          {"GIF8", ".gif", 0},
    };
    const unsigned char *b = begin;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (at(b, known, table[i].offset, table[i].magic))
            return table[i].suffix;
    if (at(b, known, 0, "PK\3\4"))
        return is_checkpoint(b, known) ? ".pt" : ".sog";
    if (is_safetensors(b, known))
        return ".safetensors";
    if (is_text(b, known)) {
        size_t i = 0;
        while (i < known && isspace(b[i]))
            i++;
        return i < known && (b[i] == '{' || b[i] == '[') ? ".json" : ".txt";
    }
    /* rows of 32 bytes without a header */
    return size && size % 32 == 0 ? ".splat" : "";
}

/* Those whose readers need no way back; MP4 when its index comes before its pictures. */
static bool is_forward_video(void)
{
    const unsigned char *b = in.begin;
    const char *suffix = pipe_in_suffix(b, in.known, 0);
    if (!strcmp(suffix, ".mp4") && !b[0] && !b[1])
        return at(b, in.known, b[2] * 256u + b[3] + 4, "moov");
    return !strcmp(suffix, ".y4m") || !strcmp(suffix, ".mkv");
}

/* ---- keeping it ------------------------------------------------------------------------- */

static int read_failure(void)
{
    if (errno == EINTR && app_cancelled())
        return fv_fail(FV_ECANCELLED, "cancelled");
    return fv_fail(FV_EIO, "standard input: %s", strerror(errno));
}

static int read_some(void *to, size_t size, size_t *got)
{
    for (;;) {
        ssize_t n = read(STDIN_FILENO, to, size);
        if (n < 0 && errno == EINTR && !app_cancelled())
            continue;
        if (n < 0)
            return read_failure();
        *got = (size_t)n;
        return 0;
    }
}

static int look(void)
{
    for (size_t n = 1; n && in.known < LOOK; in.known += n)
        FV_TRY(read_some(in.begin + in.known, LOOK - in.known, &n));
    return in.known ? 0 : fv_fail(FV_EFORMAT, "standard input is empty");
}

static int keep_failure(void)
{
    return fv_fail(FV_EIO, "standard input cannot be kept in %s: %s%s", in.folder, strerror(errno),
                   errno == ENOSPC ? "; set TMPDIR to a folder with more room" : "");
}

static int keep_some(int fd, const void *data, size_t size)
{
    return fv_write_fd(fd, data, size) ? 0 : keep_failure();
}

static int copy(int fd, size_t *size)
{
    unsigned char *block = malloc(BLOCK);
    int rc = block ? keep_some(fd, in.begin, in.known) : fv_fail(FV_ENOMEM, "out of memory");
    *size = in.known;
    for (size_t n = 1; rc == 0 && n;) {
        rc = read_some(block, BLOCK, &n);
        if (rc == 0)
            rc = keep_some(fd, block, n);
        *size += n;
    }
    free(block);
    return rc;
}

static int name_it(const char *suffix)
{
    char *path;
    if (asprintf(&path, "%s/stdin%s", in.folder, suffix) < 0)
        return fv_fail(FV_ENOMEM, "out of memory");
    if (in.path && strcmp(in.path, path) && rename(in.path, path) < 0) {
        free(path);
        return keep_failure();
    }
    free(in.path);
    in.path = path;
    return 0;
}

/* A .splat is told by its size, so the name is settled when all is there. */
static int keep(void)
{
    size_t size;
    FV_TRY(name_it(""));
    int fd = open(in.path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return keep_failure();
    int rc = copy(fd, &size);
    if (close(fd) < 0 && rc == 0)
        rc = keep_failure();
    return rc < 0 ? rc : name_it(pipe_in_suffix(in.begin, in.known, size));
}

static int make_folder(void)
{
    const char *tmp = getenv("TMPDIR");
    if (asprintf(&in.folder, "%s/fovea-XXXXXX", tmp && *tmp ? tmp : "/tmp") < 0) {
        in.folder = NULL;
        return fv_fail(FV_ENOMEM, "out of memory");
    }
    if (mkdtemp(in.folder))
        return 0;
    int rc = keep_failure();
    free(in.folder);
    in.folder = NULL;
    return rc;
}

int pipe_in_open(const char **path, bool forward)
{
    if (in.taken)
        return fv_fail(FV_EINVALID, "-: standard input can be read only once");
    if (isatty(STDIN_FILENO))
        return fv_fail(FV_EINVALID, "-: standard input is a terminal; pipe a file into it, or name one");
    in.taken = true;
    FV_TRY(look());
    FV_TRY(make_folder());
    in.stream = forward && is_forward_video();
    FV_TRY(in.stream ? name_it(pipe_in_suffix(in.begin, in.known, 0)) : keep());
    *path = in.path;
    return 0;
}

/* ---- reading it as it comes ------------------------------------------------------------- */

bool pipe_in_is_stream(const char *path)
{
    return in.stream && in.path && !strcmp(path, in.path);
}

const char *pipe_in_begin(size_t *size)
{
    *size = in.known;
    return (const char *)in.begin;
}

long pipe_in_read(void *to, size_t size)
{
    size_t n = in.known - in.given;
    if (n) {
        n = n < size ? n : size;
        memcpy(to, in.begin + in.given, n);
        in.given += n;
        return (long)n;
    }
    return read_some(to, size, &n) < 0 ? -1 : (long)n;
}

/* ---- names ------------------------------------------------------------------------------ */

static const char shown[] = "standard input";

const char *pipe_in_shown(const char *path)
{
    return in.path && !strcmp(path, in.path) ? shown : path;
}

void pipe_in_reword(char *text)
{
    size_t n = in.path ? strlen(in.path) : 0, m = sizeof shown - 1;
    if (n < m) /* no file, or one whose name would have to grow */
        return;
    for (char *p = text; (p = strstr(p, in.path)); p += m) {
        memcpy(p, shown, m);
        memmove(p + m, p + n, strlen(p + n) + 1);
    }
}

void pipe_in_finish(void)
{
    if (in.path && !in.stream)
        unlink(in.path);
    if (in.folder)
        rmdir(in.folder);
    free(in.path);
    free(in.folder);
    memset(&in, 0, sizeof in);
}

/* See batch_journal.h. The lock of a folder is held by the batch and by its workers, who inherit it: a batch that
 * was killed can be started again as soon as none of them is left. Shards hold it together, and each the lock of
 * its own journal. */
#include "app/batch_journal.h"
#include "vk/base/array.h"
#include "vk/base/err.h"
#include "vk/base/file.h"
#include "vk/base/json.h"
#include "vk/base/log.h"
#include "vk/base/thread.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *const event_names[] = {"", "start", "made", "done", "failed"};
/* Workers of a batch that was killed are gone after this. */
static const double lock_patience = 3;

/* ---- results ----------------------------------------------------------------------------- */

int batch_results_add(struct batch_results *r, const char *from, const char *to, uint64_t bytes)
{
    FV_TRY(fv_grow(&r->items, &r->room, r->count, sizeof *r->items));
    struct batch_result *x = &r->items[r->count];
    *x = (struct batch_result){strdup(from), strdup(to), bytes};
    r->count++;
    return x->from && x->to ? 0 : fv_fail(FV_ENOMEM, "out of memory");
}

void batch_results_finish(struct batch_results *r)
{
    for (size_t i = 0; i < r->count; i++) {
        free(r->items[i].from);
        free(r->items[i].to);
    }
    free(r->items);
    *r = (struct batch_results){0};
}

bool batch_results_there(const struct batch_results *r)
{
    struct stat st;
    for (size_t i = 0; i < r->count; i++)
        if (stat(r->items[i].to, &st) < 0 || (uint64_t)st.st_size != r->items[i].bytes)
            return false;
    return true;
}

static int make_folder_of(const char *file)
{
    char *dir = fv_path_dir(file);
    int rc = dir ? fv_make_dirs(dir) : fv_fail(FV_ENOMEM, "out of memory");
    free(dir);
    return rc;
}

static void sync_folder_of(const char *file)
{
    char *dir = fv_path_dir(file);
    int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        fsync(fd); /* some file systems cannot: the rename is in order anyway */
        close(fd);
    }
    free(dir);
}

int batch_results_move(const struct batch_results *r)
{
    const char *last = NULL;
    for (size_t i = 0; i < r->count; i++) {
        const struct batch_result *x = &r->items[i];
        struct stat st;
        if (lstat(x->from, &st) < 0 && !lstat(x->to, &st) && (S_ISLNK(st.st_mode) || (uint64_t)st.st_size == x->bytes))
            continue; /* it was moved before */
        FV_TRY(make_folder_of(x->to));
        if (rename(x->from, x->to) < 0)
            return fv_fail(FV_EIO, "%s: the result cannot be put there: %s", x->to, strerror(errno));
        size_t n = (size_t)(fv_path_base(x->to) - x->to);
        if (last && (strlen(last) < n || strncmp(last, x->to, n) || strchr(last + n, '/')))
            sync_folder_of(last);
        last = x->to;
    }
    if (last)
        sync_folder_of(last);
    return 0;
}

/* ---- what is known ----------------------------------------------------------------------- */

/* Index of the hash, or of where it belongs. */
static size_t place(const struct batch_journal *j, uint64_t hash)
{
    size_t lo = 0, hi = j->count;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (j->items[mid].hash < hash)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

const struct batch_past *batch_journal_find(const struct batch_journal *j, uint64_t hash)
{
    size_t at = place(j, hash);
    return at < j->count && j->items[at].hash == hash ? &j->items[at] : NULL;
}

static struct batch_past *past_of(struct batch_journal *j, uint64_t hash)
{
    size_t at = place(j, hash);
    if (at < j->count && j->items[at].hash == hash)
        return &j->items[at];
    if (fv_grow(&j->items, &j->room, j->count, sizeof *j->items) < 0)
        return NULL;
    memmove(j->items + at + 1, j->items + at, (j->count - at) * sizeof *j->items);
    j->count++;
    j->items[at] = (struct batch_past){.hash = hash};
    return &j->items[at];
}

static void set_text(char **to, const char *text)
{
    free(*to);
    *to = text ? strdup(text) : NULL;
}

static uint64_t hex(const cJSON *o, const char *key)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(o, key));
    return text ? strtoull(text, NULL, 16) : 0;
}

static double number(const cJSON *o, const char *key)
{
    const cJSON *n = cJSON_GetObjectItem(o, key);
    return cJSON_IsNumber(n) ? n->valuedouble : 0;
}

static int apply(struct batch_journal *j, const cJSON *o, bool own)
{
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItem(o, "event"));
    const cJSON *f;
    enum batch_event e = BATCH_NEVER;
    for (int k = BATCH_START; k <= BATCH_FAILED; k++)
        if (name && !strcmp(name, event_names[k]))
            e = (enum batch_event)k;
    if (!e)
        return 0; /* the first line; what a later version writes */
    struct batch_past *p = past_of(j, hex(o, "job"));
    if (!p)
        return FV_ENOMEM;
    p->state = e;
    p->own = own;
    p->at = number(o, "time");
    if (e == BATCH_START) {
        p->inputs = hex(o, "inputs");
        p->attempts = (unsigned)number(o, "attempt");
        fv_paths_finish(&p->beside);
        cJSON_ArrayForEach(f, cJSON_GetObjectItem(o, "beside"))
            if (cJSON_IsString(f))
                FV_TRY(fv_paths_add(&p->beside, strdup(f->valuestring)));
    } else if (e != BATCH_DONE) {
        p->seconds = number(o, "seconds");
        p->host_bytes = (uint64_t)number(o, "host_bytes");
        p->device_bytes = (uint64_t)number(o, "device_bytes");
        set_text(&p->log, cJSON_GetStringValue(cJSON_GetObjectItem(o, "log")));
        set_text(&p->error, cJSON_GetStringValue(cJSON_GetObjectItem(o, "error")));
    }
    if (e == BATCH_MADE) {
        p->times_made++;
        batch_results_finish(&p->results);
        cJSON_ArrayForEach(f, cJSON_GetObjectItem(o, "files"))
        {
            const char *from = cJSON_GetStringValue(cJSON_GetObjectItem(f, "from"));
            const char *to = cJSON_GetStringValue(cJSON_GetObjectItem(f, "to"));
            if (from && to)
                FV_TRY(batch_results_add(&p->results, from, to, (uint64_t)number(f, "bytes")));
        }
    }
    return 0;
}

/* ---- reading ----------------------------------------------------------------------------- */

static bool is_journal(const char *name)
{
    return !strncmp(name, "journal", 7) && fv_ends_with(name, ".jsonl");
}

struct moment {
    double time;
    size_t order;
    bool own;
    cJSON *object;
};

struct moments {
    struct moment *items;
    size_t count, room;
};

/* The last line may have been cut off by a crash; others are only ever whole. */
static int read_journal(struct moments *m, const char *path, bool own)
{
    struct fv_map map;
    FV_TRY(fv_map_open(&map, path));
    const char *text = (const char *)map.data, *end = text + map.size;
    int rc = 0;
    for (size_t line = 1; map.size && text < end && rc == 0; line++) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        if (!stop)
            break;
        cJSON *o = cJSON_ParseWithLength(text, (size_t)(stop - text));
        if (!o && stop > text && stop + 1 < end)
            fv_log(FV_WARN, "%s: line %zu is damaged and left out", path, line);
        rc = o ? fv_grow(&m->items, &m->room, m->count, sizeof *m->items) : 0;
        if (o && rc == 0) {
            m->items[m->count] = (struct moment){number(o, "time"), m->count, own, o};
            m->count++;
        }
        text = stop + 1;
    }
    fv_map_close(&map);
    return rc;
}

static int by_time(const void *a, const void *b)
{
    const struct moment *x = a, *y = b;
    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static int read_all(struct batch_journal *j)
{
    struct fv_paths list = {0};
    struct moments m = {0};
    if (!fv_is_dir(j->dir))
        return 0;
    int rc = fv_paths_add_dir(&list, j->dir, is_journal);
    for (size_t i = 0; i < list.count && rc == 0; i++)
        rc = read_journal(&m, list.items[i], j->path && !strcmp(j->path, list.items[i]));
    /* jobs may have gone from one shard to another; within a journal the order is that of its lines */
    if (list.count > 1 && m.count)
        qsort(m.items, m.count, sizeof *m.items, by_time);
    for (size_t i = 0; i < m.count; i++) {
        rc = rc == 0 ? apply(j, m.items[i].object, m.items[i].own) : rc;
        cJSON_Delete(m.items[i].object);
    }
    free(m.items);
    fv_paths_finish(&list);
    return rc;
}

/* ---- writing ----------------------------------------------------------------------------- */

static double unix_time(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Written at once, on the disk before it returns, and counted as known. */
static int append(struct batch_journal *j, cJSON *o)
{
    char *text = o ? cJSON_PrintUnformatted(o) : NULL;
    int rc = text ? apply(j, o, true) : fv_fail(FV_ENOMEM, "out of memory");
    cJSON_Delete(o);
    if (rc == 0) {
        size_t n = strlen(text);
        text[n++] = '\n'; /* in the place of the NUL */
        if (!fv_write_fd(j->fd, text, n) || fdatasync(j->fd) < 0)
            rc = fv_write_failure(j->path, errno);
    }
    free(text);
    return rc;
}

static cJSON *event(enum batch_event e, uint64_t hash)
{
    char text[24];
    cJSON *o = cJSON_CreateObject();
    snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
    cJSON_AddStringToObject(o, "event", event_names[e]);
    cJSON_AddStringToObject(o, "job", text);
    cJSON_AddNumberToObject(o, "time", unix_time());
    return o;
}

int batch_journal_start(struct batch_journal *j, uint64_t hash, uint64_t inputs, size_t line, unsigned attempt,
                        const struct fv_paths *beside)
{
    char text[24];
    cJSON *o = event(BATCH_START, hash);
    snprintf(text, sizeof text, "%016llx", (unsigned long long)inputs);
    cJSON_AddStringToObject(o, "inputs", text);
    cJSON_AddNumberToObject(o, "line", (double)line);
    cJSON_AddNumberToObject(o, "attempt", attempt);
    cJSON *list = beside && beside->count ? cJSON_AddArrayToObject(o, "beside") : NULL;
    for (size_t i = 0; list && i < beside->count; i++)
        cJSON_AddItemToArray(list, cJSON_CreateString(beside->items[i]));
    return append(j, o);
}

static void add_outcome(cJSON *o, const struct batch_past *how)
{
    cJSON_AddNumberToObject(o, "seconds", how->seconds);
    if (how->host_bytes)
        cJSON_AddNumberToObject(o, "host_bytes", (double)how->host_bytes);
    if (how->device_bytes)
        cJSON_AddNumberToObject(o, "device_bytes", (double)how->device_bytes);
    if (how->log)
        cJSON_AddStringToObject(o, "log", how->log);
    if (how->error)
        cJSON_AddStringToObject(o, "error", how->error);
}

int batch_journal_made(struct batch_journal *j, uint64_t hash, const struct batch_past *how)
{
    cJSON *o = event(BATCH_MADE, hash), *list = cJSON_AddArrayToObject(o, "files");
    for (size_t i = 0; i < how->results.count; i++) {
        cJSON *f = cJSON_CreateObject();
        cJSON_AddStringToObject(f, "from", how->results.items[i].from);
        cJSON_AddStringToObject(f, "to", how->results.items[i].to);
        cJSON_AddNumberToObject(f, "bytes", (double)how->results.items[i].bytes);
        cJSON_AddItemToArray(list, f);
    }
    add_outcome(o, how);
    return append(j, o);
}

int batch_journal_done(struct batch_journal *j, uint64_t hash)
{
    return append(j, event(BATCH_DONE, hash));
}

int batch_journal_failed(struct batch_journal *j, uint64_t hash, const struct batch_past *how)
{
    cJSON *o = event(BATCH_FAILED, hash);
    add_outcome(o, how);
    return append(j, o);
}

/* ---- opening ----------------------------------------------------------------------------- */

static int refused(const struct batch_journal *j)
{
    return fv_fail(FV_EIO, "%s: another batch is at work there; wait for it, or give this one a folder of its own by "
                           "--dir", j->dir);
}

static int take_lock(const struct batch_journal *j, int fd, int how)
{
    double until = fv_now() + lock_patience;
    while (flock(fd, how | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return fv_fail(FV_EIO, "%s: cannot be locked: %s", j->dir, strerror(errno));
        if (fv_now() > until)
            return refused(j);
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
    return 0;
}

static int open_in(const struct batch_journal *j, const char *name, char **path)
{
    *path = fv_path_join(j->dir, name);
    if (!*path)
        return fv_fail(FV_ENOMEM, "out of memory");
    int fd = open(*path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    return fd >= 0 ? fd : fv_fail(FV_EIO, "%s: cannot be written: %s", *path, strerror(errno));
}

/* Shards of another number would share their jobs out otherwise. */
static int check_other_shards(const struct batch_journal *j, const struct batch_shard *s)
{
    struct fv_paths list = {0};
    int rc = fv_paths_add_dir(&list, j->dir, is_journal);
    for (size_t i = 0; i < list.count && rc == 0; i++) {
        unsigned index, count;
        if (sscanf(fv_path_base(list.items[i]), "journal-%uof%u.jsonl", &index, &count) != 2 || count == s->count)
            continue;
        int fd = open(list.items[i], O_RDONLY | O_CLOEXEC);
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
            rc = fv_fail(FV_EIO, "%s: shards of %u are at work there, this is one of %u", j->dir, count, s->count);
        if (fd >= 0)
            close(fd);
    }
    fv_paths_finish(&list);
    return rc;
}

static int lock(struct batch_journal *j, const struct batch_shard *s)
{
    char name[64] = "journal.jsonl", *path = NULL;
    bool part = s && s->count > 1;
    FV_TRY(fv_make_dirs(j->dir));
    j->lock = open_in(j, "lock", &path);
    free(path);
    FV_TRY(j->lock);
    FV_TRY(take_lock(j, j->lock, part ? LOCK_SH : LOCK_EX));
    if (part)
        snprintf(name, sizeof name, "journal-%uof%u.jsonl", s->index, s->count);
    j->fd = open_in(j, name, &j->path);
    FV_TRY(j->fd);
    FV_TRY(take_lock(j, j->fd, LOCK_EX));
    return part ? check_other_shards(j, s) : 0;
}

/* A line that a crash cut off would swallow the next one. */
static int begin(struct batch_journal *j)
{
    struct stat st;
    char last = '\n';
    if (fstat(j->fd, &st) < 0 || (st.st_size && pread(j->fd, &last, 1, st.st_size - 1) != 1))
        return fv_fail(FV_EIO, "%s: cannot be read: %s", j->path, strerror(errno));
    if (last != '\n' && !fv_write_fd(j->fd, "\n", 1))
        return fv_write_failure(j->path, errno);
    if (st.st_size)
        return 0;
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "fovea", FOVEA_VERSION);
    cJSON_AddNumberToObject(o, "journal", 1);
    FV_TRY(append(j, o));
    sync_folder_of(j->path);
    return 0;
}

/* Results that were complete when everything ended take their places now. */
static int finish_half_done(struct batch_journal *j)
{
    for (size_t i = 0; i < j->count; i++) {
        if (j->items[i].state != BATCH_MADE || !j->items[i].own)
            continue;
        int rc = batch_results_move(&j->items[i].results);
        if (rc == FV_ENOMEM)
            return rc;
        if (rc == 0)
            FV_TRY(batch_journal_done(j, j->items[i].hash));
        else
            fv_log(FV_WARN, "%s; it is made again", fv_error());
    }
    return 0;
}

int batch_journal_open(struct batch_journal *j, const char *dir, const struct batch_shard *shard, bool write)
{
    *j = (struct batch_journal){.dir = strdup(dir), .fd = -1, .lock = -1};
    if (!j->dir)
        return fv_fail(FV_ENOMEM, "out of memory");
    if (write)
        FV_TRY(lock(j, shard));
    FV_TRY(read_all(j));
    if (!write)
        return 0;
    FV_TRY(begin(j));
    return finish_half_done(j);
}

void batch_journal_remove(struct batch_journal *j)
{
    char *lock_path = j->dir ? fv_path_join(j->dir, "lock") : NULL;
    if (j->path)
        unlink(j->path);
    if (lock_path)
        unlink(lock_path);
    if (j->dir)
        rmdir(j->dir);
    free(lock_path);
    batch_journal_close(j);
}

void batch_journal_close(struct batch_journal *j)
{
    for (size_t i = 0; i < j->count; i++) {
        free(j->items[i].error);
        free(j->items[i].log);
        batch_results_finish(&j->items[i].results);
        fv_paths_finish(&j->items[i].beside);
    }
    free(j->items);
    free(j->dir);
    free(j->path);
    if (j->fd >= 0)
        close(j->fd);
    if (j->lock >= 0)
        close(j->lock);
    *j = (struct batch_journal){.fd = -1, .lock = -1};
}

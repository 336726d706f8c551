/* See queue.h. */
#include "app/queue.h"
#include "vk/base/file.h"
#include "vk/base/json.h"
#include "vk/base/thread.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

struct queue_private {
    struct queue_opts opts;
    struct process *process; /* of the item that runs */
    char folder[64];         /* temporary files */
    char report[1024];
    struct timespec preview_at;
    double began;
    unsigned ids;
};

int queue_create(struct queue **out, const struct queue_opts *opts)
{
    *out = NULL;
    struct queue *q = calloc(1, sizeof *q);
    struct queue_private *p = calloc(1, sizeof *p);
    if (!q || !p) {
        free(q);
        free(p);
        return fv_fail(FV_ENOMEM, "out of memory");
    }
    q->p = p;
    q->work = "";
    p->opts = *opts;
    strcpy(p->folder, "/tmp/fovea-clips-XXXXXX");
    if (!mkdtemp(p->folder)) {
        free(q);
        free(p);
        return fv_fail(FV_EIO, "/tmp: no room for files of the clips being made: %s", strerror(errno));
    }
    snprintf(q->preview, sizeof q->preview, "%s/preview.png", p->folder);
    snprintf(p->report, sizeof p->report, "%s/report.json", p->folder);
    *out = q;
    return 0;
}

void queue_destroy(struct queue **q_)
{
    struct queue *q = *q_;
    if (!q)
        return;
    process_destroy(&q->p->process);
    for (size_t i = 0; i < q->count; i++)
        free(q->items[i]);
    unlink(q->preview);
    unlink(q->p->report);
    rmdir(q->p->folder);
    free(q->p);
    free(q);
    *q_ = NULL;
}

int queue_running(const struct queue *q)
{
    for (size_t i = 0; i < q->count; i++)
        if (q->items[i]->state == QUEUE_RUNNING)
            return (int)i;
    return -1;
}

size_t queue_waiting(const struct queue *q)
{
    size_t n = 0;
    for (size_t i = 0; i < q->count; i++)
        n += q->items[i]->state == QUEUE_WAITING;
    return n;
}

/* --- names --- */

static int make_folder(const char *path)
{
    if (!*path)
        return fv_fail(FV_EINVALID, "the folder for clips has no name");
    FV_TRY(fv_make_dirs(path));
    return access(path, W_OK) == 0 ? 0 : fv_fail(FV_EIO, "%s: nothing can be written there", path);
}

static bool is_taken(const struct queue *q, const char *output)
{
    for (size_t i = 0; i < q->count; i++)
        if (!strcmp(q->items[i]->output, output))
            return true;
    return fv_exists(output);
}

static int choose_name(const struct queue *q, struct queue_item *item, const char *folder)
{
    char name[64];
    generation_name(&item->g, name, sizeof name);
    for (int k = 1; k < 100000; k++) {
        int n = snprintf(item->output, sizeof item->output, "%s/%s-%03d.mp4", folder, name, k);
        if ((size_t)n >= sizeof item->output)
            return fv_fail(FV_EINVALID, "%s: the folder's name is too long", folder);
        if (!is_taken(q, item->output))
            return 0;
    }
    return fv_fail(FV_EIO, "%s: there are too many clips of this name", folder);
}

static int settle_seed(struct generation *g)
{
    uint32_t random = 0;
    if (g->seed >= 0)
        return 0;
    if (getrandom(&random, sizeof random, 0) != sizeof random)
        return fv_fail(FV_EIO, "no random seed is to be had: choose one");
    g->seed = random;
    return 0;
}

/* --- the list --- */

int queue_add(struct queue *q, const struct generation *g, const char *folder)
{
    int rc = 0;
    const char *wrong = generation_wrong(g);
    if (wrong)
        return fv_fail(FV_EINVALID, "%s", wrong);
    if (q->count == QUEUE_MOST)
        return fv_fail(FV_EINVALID, "there are %d clips in the queue; remove some first", QUEUE_MOST);
    struct queue_item *item = calloc(1, sizeof *item);
    if (!item)
        return fv_fail(FV_ENOMEM, "out of memory");
    item->g = *g;
    FV_GOTO(settle_seed(&item->g));
    FV_GOTO(make_folder(folder));
    FV_GOTO(choose_name(q, item, folder));
    item->id = ++q->p->ids;
    q->items[q->count++] = item;
    item = NULL;
done:
    free(item);
    return rc;
}

void queue_remove(struct queue *q, size_t i)
{
    if (q->items[i]->state == QUEUE_RUNNING) {
        process_cancel(q->p->process);
        return;
    }
    free(q->items[i]);
    memmove(q->items + i, q->items + i + 1, (q->count - i - 1) * sizeof *q->items);
    q->count--;
}

void queue_move(struct queue *q, size_t i, int by)
{
    size_t k = i + (size_t)by;
    if (k >= q->count || q->items[i]->state != QUEUE_WAITING || q->items[k]->state != QUEUE_WAITING)
        return;
    struct queue_item *item = q->items[i];
    q->items[i] = q->items[k];
    q->items[k] = item;
}

/* --- the process --- */

static void fail_item(struct queue_item *item, int rc)
{
    item->state = rc == FV_ECANCELLED ? QUEUE_CANCELLED : QUEUE_FAILED;
    snprintf(item->error, sizeof item->error, "%s", fv_error());
}

static int start_item(struct queue *q, struct queue_item *item)
{
    struct queue_private *p = q->p;
    struct process_line *line = calloc(1, sizeof *line);
    if (!line)
        return fv_fail(FV_ENOMEM, "out of memory");
    const struct generation_files files = {
        .output = item->output, .preview = q->preview, .report = p->report, .device = p->opts.device};
    generation_line(&item->g, line, &files);
    unlink(q->preview);
    unlink(p->report);
    p->preview_at = (struct timespec){0};
    q->work = "";
    q->done = q->total = q->eta = 0;
    p->began = fv_now();
    int rc = process_start(&p->process, line,
                           &(struct process_opts){.program = p->opts.program,
                                                  .what = "clip",
                                                  .niceness = p->opts.niceness});
    free(line);
    return rc;
}

/* FLOPs and seconds of the stages, as --report has them. */
static void take_speeds(struct queue *q)
{
    struct fv_json doc;
    if (fv_json_open(&doc, q->p->report) < 0)
        return;
    struct fv_node stages = fv_node_get(doc.root, "stages");
    double sampling = fv_node_number(fv_node_get(fv_node_get(stages, "sampling"), "seconds"));
    double decoding = fv_node_number(fv_node_get(fv_node_get(stages, "decoding"), "seconds"));
    double s = fv_json_number_or(&doc, doc.root, "sampling_flops", 0);
    double d = fv_json_number_or(&doc, doc.root, "decoding_flops", 0);
    q->sampling_speed = sampling > 0 && s > 0 ? s / sampling : q->sampling_speed;
    q->decode_speed = decoding > 0 && d > 0 ? d / decoding : q->decode_speed;
    fv_json_close(&doc);
}

static void look_at_preview(struct queue *q)
{
    struct stat st;
    struct queue_private *p = q->p;
    if (stat(q->preview, &st) < 0 || (st.st_mtim.tv_sec == p->preview_at.tv_sec &&
                                      st.st_mtim.tv_nsec == p->preview_at.tv_nsec))
        return;
    p->preview_at = st.st_mtim;
    q->previews++;
}

static bool follow(struct queue *q, struct queue_item *item)
{
    struct queue_private *p = q->p;
    const struct process *now = p->process;
    int rc = process_poll(p->process);
    q->work = now->work;
    q->done = now->done;
    q->total = now->total;
    q->eta = now->eta;
    q->memory = now->memory ? now->memory : q->memory;
    q->seconds = fv_now() - p->began;
    look_at_preview(q);
    if (!rc)
        return false;
    if (rc < 0)
        fail_item(item, rc);
    else
        item->state = QUEUE_DONE;
    if (rc > 0)
        take_speeds(q);
    q->work = "";
    process_destroy(&p->process);
    return true;
}

bool queue_poll(struct queue *q, size_t *ended)
{
    int running = queue_running(q);
    if (running >= 0) {
        *ended = (size_t)running;
        return follow(q, q->items[running]);
    }
    for (size_t i = 0; i < q->count; i++) {
        struct queue_item *item = q->items[i];
        if (item->state != QUEUE_WAITING)
            continue;
        item->state = QUEUE_RUNNING;
        int rc = start_item(q, item);
        *ended = i;
        if (rc < 0)
            fail_item(item, rc);
        return rc < 0;
    }
    return false;
}

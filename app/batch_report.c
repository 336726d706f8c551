/* See batch_report.h. */
#include "app/batch_report.h"
#include "app/batch_run.h"
#include "app/batch_stage.h"
#include "app/batch_work.h"
#include "app/image_io.h"
#include "app/text.h"
#include "app/video.h"
#include "vk/base/file.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { THUMB_WIDTH = 176, THUMB_HEIGHT = 132, MOST_THUMBS = 3, MOST_FRAMES = 2000, QUALITY = 78, MOST_PICTURES = 2000 };

enum status { STATUS_DONE, STATUS_FAILED, STATUS_WRONG, STATUS_INTERRUPTED, STATUS_WAITING };
static const char *const status_names[] = {"done", "failed", "wrong", "interrupted", "waiting"};

static enum status status_of(const struct batch_job *j, const struct batch_past *p)
{
    if (!j->cmd)
        return STATUS_WRONG;
    if (!p)
        return STATUS_WAITING;
    return p->state == BATCH_DONE ? STATUS_DONE : p->state == BATCH_FAILED ? STATUS_FAILED : STATUS_INTERRUPTED;
}

static const struct batch_past *past_of(const struct batch_journal *journal, const struct batch_job *j)
{
    return j->cmd ? batch_journal_find(journal, j->hash) : NULL;
}

struct batch_counts batch_count(const struct batch_jobs *jobs, const struct batch_journal *journal,
                                const struct batch_shard *shard)
{
    struct batch_counts c = {0};
    for (size_t i = 0; i < jobs->count; i++) {
        const struct batch_job *j = &jobs->items[i];
        if (!batch_in_shard(shard, j))
            continue;
        enum status s = status_of(j, past_of(journal, j));
        c.jobs++;
        c.done += s == STATUS_DONE;
        c.failed += s == STATUS_FAILED || s == STATUS_WRONG;
        c.waiting += s == STATUS_INTERRUPTED || s == STATUS_WAITING;
    }
    return c;
}

/* What is said of a line that is no job. */
static const char *error_of(const struct batch_jobs *jobs, const struct batch_job *j)
{
    char prefix[64];
    snprintf(prefix, sizeof prefix, ": line %zu: ", j->line);
    for (size_t i = 0; i < jobs->error_count; i++) {
        const char *at = strstr(jobs->errors[i], prefix);
        if (at)
            return at + strlen(prefix);
    }
    return "";
}

void batch_report_name(char out[BATCH_NAME], const char *stem, const char *suffix, const struct batch_shard *s)
{
    if (s->count)
        snprintf(out, BATCH_NAME, "%s-%uof%u%s", stem, s->index, s->count, suffix);
    else
        snprintf(out, BATCH_NAME, "%s%s", stem, suffix);
}

/* ---- for programs ------------------------------------------------------------------------ */

static cJSON *job_json(const struct batch_jobs *jobs, const struct batch_job *j, const struct batch_past *p)
{
    cJSON *o = cJSON_CreateObject();
    enum status s = status_of(j, p);
    char hash[24], *line = NULL;
    cJSON_AddNumberToObject(o, "line", (double)j->line);
    cJSON_AddStringToObject(o, "status", status_names[s]);
    if (s == STATUS_WRONG) {
        cJSON_AddStringToObject(o, "error", error_of(jobs, j));
        return o;
    }
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)j->hash);
    cJSON_AddStringToObject(o, "name", j->name);
    cJSON_AddStringToObject(o, "job", hash);
    cJSON_AddItemToObject(o, "settings", cJSON_Parse(j->settings));
    if ((line = batch_command_line(j)))
        cJSON_AddStringToObject(o, "command_line", line);
    free(line);
    if (!p)
        return o;
    cJSON_AddNumberToObject(o, "attempts", p->attempts);
    if (s == STATUS_FAILED)
        cJSON_AddStringToObject(o, "error", p->error ? p->error : "");
    if (s != STATUS_DONE && s != STATUS_FAILED)
        return o;
    cJSON_AddNumberToObject(o, "seconds", p->seconds);
    cJSON_AddNumberToObject(o, "ended", p->at);
    if (p->host_bytes)
        cJSON_AddNumberToObject(o, "host_bytes", (double)p->host_bytes);
    if (p->device_bytes)
        cJSON_AddNumberToObject(o, "device_bytes", (double)p->device_bytes);
    if (p->log)
        cJSON_AddStringToObject(o, "log", p->log);
    cJSON *files = s == STATUS_DONE ? cJSON_AddArrayToObject(o, "results") : NULL;
    for (size_t i = 0; files && i < p->results.count; i++) {
        cJSON *f = cJSON_CreateObject();
        cJSON_AddStringToObject(f, "path", p->results.items[i].to);
        cJSON_AddNumberToObject(f, "bytes", (double)p->results.items[i].bytes);
        cJSON_AddItemToArray(files, f);
    }
    return o;
}

static int write_json(const struct batch_jobs *jobs, const struct batch_journal *journal, const struct batch_shard *s)
{
    char name[BATCH_NAME];
    struct batch_counts c = batch_count(jobs, journal, s);
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "fovea", FOVEA_VERSION);
    cJSON_AddStringToObject(root, "file", jobs->path);
    if (s->count) {
        cJSON_AddNumberToObject(root, "shard", s->index);
        cJSON_AddNumberToObject(root, "shards", s->count);
    }
    cJSON_AddNumberToObject(root, "jobs", (double)c.jobs);
    cJSON_AddNumberToObject(root, "done", (double)c.done);
    cJSON_AddNumberToObject(root, "failed", (double)c.failed);
    cJSON_AddNumberToObject(root, "waiting", (double)c.waiting);
    cJSON *list = cJSON_AddArrayToObject(root, "list");
    for (size_t i = 0; i < jobs->count; i++)
        if (batch_in_shard(s, &jobs->items[i]))
            cJSON_AddItemToArray(list, job_json(jobs, &jobs->items[i], past_of(journal, &jobs->items[i])));
    batch_report_name(name, "report", ".json", s);
    char *path = fv_path_join(journal->dir, name);
    if (path)
        fv_remove_torn(path);
    int rc = path ? write_cjson(root, path) : fv_fail(FV_ENOMEM, "out of memory");
    if (!path)
        cJSON_Delete(root);
    free(path);
    return rc;
}

/* ---- thumbnails -------------------------------------------------------------------------- */

/* Up to three pictures side by side, of one height. */
struct strip {
    uint8_t *pixels; /* [THUMB_HEIGHT][MOST_THUMBS * THUMB_WIDTH][3] */
    uint32_t width, height;
};

static void add_picture(struct strip *s, const float *data, uint32_t w, uint32_t h, uint32_t channels)
{
    double scale = fmin((double)THUMB_WIDTH / w, (double)THUMB_HEIGHT / h);
    uint32_t tw = (uint32_t)fmax(1, round(w * scale)), th = (uint32_t)fmax(1, round(h * scale));
    if (s->height && th > s->height)
        th = s->height;
    if (s->width + tw > MOST_THUMBS * THUMB_WIDTH)
        return;
    s->height = s->height ? s->height : th;
    image_shrink(&(struct image_part){data, w, h, w, channels}, s->pixels + (size_t)s->width * 3, tw, th, 3,
                 MOST_THUMBS * THUMB_WIDTH * 3);
    s->width += tw;
}

static bool is_video(const char *path)
{
    return video_is_container(path) || fv_ends_with(path, ".y4m");
}

static bool is_picture(const char *path)
{
    return image_has_suffix(path) && !fv_ends_with(path, ".npy");
}

static void add_video(struct strip *s, const char *path)
{
    struct video_in *in;
    uint64_t frame = 0;
    if (video_in_open(&in, path) < 0)
        return;
    const struct video_info *i = video_in_info(in);
    uint64_t frames = i->frames ? i->frames : (uint64_t)(i->seconds * i->fps_num / (i->fps_den ? i->fps_den : 1));
    uint64_t last = frames && frames <= MOST_FRAMES ? frames - 1 : 0, next = 0;
    float *rgb = malloc((size_t)i->width * i->height * 3 * sizeof *rgb);
    for (int k = 0; rgb && video_in_read(in, rgb) == 1; frame++) {
        if (frame < next)
            continue;
        add_picture(s, rgb, i->width, i->height, 3);
        if (!last || ++k == MOST_THUMBS)
            break;
        next = last * (uint64_t)k / (MOST_THUMBS - 1);
        next = next > frame ? next : frame + 1;
    }
    free(rgb);
    video_in_close(&in);
}

static void add_file(struct strip *s, const char *path)
{
    struct image i;
    if (is_video(path)) {
        add_video(s, path);
    } else if (image_load(&i, path) == 0) {
        add_picture(s, i.data, i.width, i.height, i.channels);
        image_finish(&i);
    }
}

/* The first video, or else the first, middle and last picture. */
static void fill_strip(struct strip *s, const struct batch_results *r)
{
    size_t pictures[MOST_PICTURES], count = 0;
    for (size_t i = 0; i < r->count; i++) {
        if (is_video(r->items[i].to)) {
            add_file(s, r->items[i].to);
            return;
        }
        if (is_picture(r->items[i].to) && count < MOST_PICTURES)
            pictures[count++] = i;
    }
    for (size_t k = 0, n = count < MOST_THUMBS ? count : MOST_THUMBS; k < n; k++)
        add_file(s, r->items[pictures[n > 1 ? (count - 1) * k / (n - 1) : 0]].to);
}

static void base64(FILE *out, const uint8_t *data, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)data[i] << 16 | (uint32_t)(i + 1 < n ? data[i + 1] : 0) << 8 | (i + 2 < n ? data[i + 2] : 0);
        char four[4] = {digits[v >> 18], digits[v >> 12 & 63], i + 1 < n ? digits[v >> 6 & 63] : '=',
                        i + 2 < n ? digits[v & 63] : '='};
        fwrite(four, 1, 4, out);
    }
}

/* False: nothing that could be shown. */
static bool write_thumbs(FILE *out, const struct batch_results *r)
{
    struct strip s = {.pixels = calloc((size_t)THUMB_HEIGHT * MOST_THUMBS * THUMB_WIDTH, 3)};
    size_t size = 0;
    uint8_t *jpeg = NULL;
    if (s.pixels)
        fill_strip(&s, r);
    for (uint32_t y = 0; y < s.height; y++) /* rows close up */
        memmove(s.pixels + (size_t)y * s.width * 3, s.pixels + (size_t)y * MOST_THUMBS * THUMB_WIDTH * 3, s.width * 3);
    if (s.width)
        jpeg = image_jpeg(s.pixels, s.width, s.height, QUALITY, &size);
    if (jpeg) {
        fprintf(out, "<img width=\"%u\" height=\"%u\" alt=\"\" src=\"data:image/jpeg;base64,", s.width, s.height);
        base64(out, jpeg, size);
        fputs("\">", out);
    }
    free(jpeg);
    free(s.pixels);
    return jpeg != NULL;
}

/* ---- for people -------------------------------------------------------------------------- */

static const char style[] =
    "<style>:root{color-scheme:light dark;--edge:#8884;--card:#8881}"
    "body{font:15px/1.45 system-ui,sans-serif;margin:1.5em auto;max-width:1240px;padding:0 1em}"
    "h1{font-size:1.4em;margin:0}header p{margin:.3em 0 1em;opacity:.8}"
    "main{display:grid;grid-template-columns:repeat(auto-fill,minmax(370px,1fr));gap:14px}"
    "article{border:1px solid var(--edge);border-radius:8px;background:var(--card);padding:10px 12px;overflow:hidden}"
    "article.failed,article.wrong{border-color:#c33}article.interrupted,article.waiting{border-style:dashed}"
    "img{display:block;max-width:100%;height:auto;border-radius:4px;margin-bottom:8px;background:#000}"
    ".none{height:66px;border-radius:4px;margin-bottom:8px;background:var(--card);display:flex;align-items:center;"
    "justify-content:center;opacity:.6}"
    "h2{font-size:1em;margin:0;overflow-wrap:anywhere}h2 small{font-weight:normal;opacity:.7}"
    "b.s{float:right;font-size:.8em;border-radius:9px;padding:1px 9px;margin-left:8px;color:#fff;background:#777}"
    ".done b.s{background:#2a7d3f}.failed b.s,.wrong b.s{background:#c33}"
    "p{margin:.35em 0}.error{color:#c33;overflow-wrap:anywhere}"
    "code,pre{font:12px/1.4 ui-monospace,monospace}pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:.4em 0}"
    "summary{cursor:pointer;opacity:.8}.files{overflow-wrap:anywhere;font-size:.9em}</style>";

static void escape(FILE *out, const char *text)
{
    for (; *text; text++) {
        const char *name = *text == '&' ? "&amp;" : *text == '<' ? "&lt;" : *text == '>' ? "&gt;" : *text == '"' ? "&quot;" : NULL;
        if (name)
            fputs(name, out);
        else
            fputc(*text, out);
    }
}

/* A path as a link. */
static void escape_link(FILE *out, const char *path)
{
    for (; *path; path++)
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/", *path))
            fputc(*path, out);
        else
            fprintf(out, "%%%02X", (unsigned char)*path);
}

/* From the folder that the sheet is in, so that both can be moved together. */
static void link_to(FILE *out, const char *dir, const char *path)
{
    size_t common = 0;
    for (size_t i = 0; dir[i] && dir[i] == path[i]; i++)
        if (dir[i] == '/')
            common = i + 1;
    size_t n = strlen(dir);
    if (!strncmp(dir, path, n) && path[n] == '/') {
        escape_link(out, path + n + 1);
        return;
    }
    for (const char *p = dir + common; *p; p++)
        if (*p == '/')
            fputs("../", out);
    fputs("../", out);
    escape_link(out, path + common);
}

/* The last line of a log that is not empty. */
static void last_line(const char *dir, const char *log, char *out, size_t size)
{
    char *path = fv_path_join(dir, log);
    struct fv_map map;
    out[0] = 0;
    if (path && fv_map_open(&map, path) == 0) {
        const char *text = (const char *)map.data;
        size_t end = map.size, begin;
        while (end && strchr("\r\n \t", text[end - 1]))
            end--;
        for (begin = end; begin && text[begin - 1] != '\n';)
            begin--;
        snprintf(out, size, "%.*s", (int)(end - begin > 400 ? 400 : end - begin), text + begin);
        fv_map_close(&map);
    }
    free(path);
}

static void time_text(char out[32], double seconds)
{
    unsigned s = (unsigned)(seconds + 0.5);
    if (seconds < 60)
        snprintf(out, 32, "%.1f s", seconds);
    else if (s < 3600)
        snprintf(out, 32, "%u:%02u min", s / 60, s % 60);
    else
        snprintf(out, 32, "%u:%02u:%02u h", s / 3600, s / 60 % 60, s % 60);
}

static void write_files(FILE *out, const char *dir, const struct batch_results *r)
{
    char size[32];
    if (!r->count)
        return;
    fputs("<p class=files>", out);
    for (size_t i = 0; i < r->count && i < 3; i++) {
        bytes_text(size, r->items[i].bytes);
        fputs(i ? "<br><a href=\"" : "<a href=\"", out);
        link_to(out, dir, r->items[i].to);
        fputs("\">", out);
        escape(out, fv_path_base(r->items[i].to));
        fprintf(out, "</a> %s", size);
    }
    if (r->count > 3)
        fprintf(out, "<br>and %zu more", r->count - 3);
    fputs("</p>\n", out);
}

static void write_facts(FILE *out, const struct batch_past *p)
{
    char time[32], memory[32];
    time_text(time, p->seconds);
    fprintf(out, "<p>%s", time);
    if (p->host_bytes) {
        bytes_text(memory, p->host_bytes);
        fprintf(out, ", %s of memory", memory);
    }
    if (p->attempts > 1)
        fprintf(out, ", %u attempts", p->attempts);
    if (p->log) {
        fputs(", <a href=\"", out);
        escape_link(out, p->log);
        fputs("\">log</a>", out);
    }
    fputs("</p>\n", out);
}

static void write_card(FILE *out, const struct batch_jobs *jobs, const struct batch_job *j, const struct batch_past *p,
                       const char *dir)
{
    enum status s = status_of(j, p);
    char last[512] = "", *line;
    fprintf(out, "<article class=%s>\n", status_names[s]);
    if (s == STATUS_DONE && !write_thumbs(out, &p->results))
        fprintf(out, "<div class=none>%s</div>", j->cmd->name);
    fprintf(out, "\n<h2><b class=s>%s</b>", status_names[s]);
    escape(out, j->cmd ? j->name : "no job");
    fprintf(out, " <small>line %zu</small></h2>\n", j->line);
    if (s == STATUS_WRONG || s == STATUS_FAILED) {
        fputs("<p class=error>", out);
        escape(out, s == STATUS_WRONG ? error_of(jobs, j) : p->error ? p->error : "");
        fputs("</p>\n", out);
    }
    if (s == STATUS_FAILED && p->log)
        last_line(dir, p->log, last, sizeof last);
    if (*last && !(p->error && strstr(last, p->error))) {
        fputs("<pre>", out);
        escape(out, last);
        fputs("</pre>\n", out);
    }
    if (s == STATUS_DONE)
        write_files(out, dir, &p->results);
    if (s == STATUS_DONE || (s == STATUS_FAILED && p->log))
        write_facts(out, p);
    if (j->cmd && (line = batch_command_line(j))) {
        fputs("<details><summary>settings</summary><pre>", out);
        escape(out, line);
        fputs("</pre></details>\n", out);
        free(line);
    }
    fputs("</article>\n", out);
}

static void write_sheet(FILE *out, const struct batch_jobs *jobs, const struct batch_journal *journal,
                        const struct batch_shard *s, const char *dir)
{
    struct batch_counts c = batch_count(jobs, journal, s);
    double seconds = 0;
    char when[64], spent[32];
    time_t now = time(NULL);
    struct tm tm;
    for (size_t i = 0; i < jobs->count; i++) {
        const struct batch_past *p = past_of(journal, &jobs->items[i]);
        seconds += p && batch_in_shard(s, &jobs->items[i]) ? p->seconds : 0;
    }
    time_text(spent, seconds);
    strftime(when, sizeof when, "%F %T", localtime_r(&now, &tm));
    fputs("<!doctype html>\n<html lang=en><meta charset=utf-8>\n"
          "<meta name=viewport content=\"width=device-width,initial-scale=1\">\n<title>", out);
    escape(out, fv_path_base(jobs->path));
    fprintf(out, ": %zu of %zu done</title>\n%s\n<header><h1>", c.done, c.jobs, style);
    escape(out, fv_path_base(jobs->path));
    fprintf(out, "</h1>\n<p>%zu jobs: %zu done, %zu failed, %zu waiting", c.jobs, c.done, c.failed, c.waiting);
    if (s->count)
        fprintf(out, "; shard %u of %u", s->index, s->count);
    fprintf(out, ". %s of work. %s, fovea %s.</p></header>\n<main>\n", spent, when, FOVEA_VERSION);
    for (int failed = 1; failed >= 0; failed--) /* what wants to be seen comes first */
        for (size_t i = 0; i < jobs->count; i++) {
            const struct batch_job *j = &jobs->items[i];
            const struct batch_past *p = past_of(journal, j);
            enum status is = status_of(j, p);
            if (batch_in_shard(s, j) && (is == STATUS_FAILED || is == STATUS_WRONG) == (failed == 1))
                write_card(out, jobs, j, p, dir);
        }
    fputs("</main>\n", out);
}

static int write_html(const struct batch_jobs *jobs, const struct batch_journal *journal, const struct batch_shard *s)
{
    char name[BATCH_NAME];
    struct fv_writer w;
    struct fv_arena arena = {0};
    batch_report_name(name, "index", ".html", s);
    char *path = fv_path_join(journal->dir, name);
    const char *dir = batch_full_path(journal->dir, &arena);
    if (path)
        fv_remove_torn(path);
    int rc = path && dir ? fv_writer_open(&w, path) : fv_fail(FV_ENOMEM, "out of memory");
    if (rc == 0) {
        write_sheet(w.file, jobs, journal, s, dir);
        rc = fv_writer_commit(&w);
    }
    free(path);
    fv_arena_finish(&arena);
    return rc;
}

int batch_report(const struct batch_jobs *jobs, const struct batch_journal *journal, const struct batch_shard *shard)
{
    FV_TRY(write_json(jobs, journal, shard));
    return write_html(jobs, journal, shard);
}

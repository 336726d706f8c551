/* Job files (batch_jobs.h): lines to jobs by the commands' own tables, then what can be told before anything runs:
 * inputs that are missing, results that two jobs write, folders that are not there. */
#include "app/batch_jobs.h"
#include "app/http_source.h"
#include "app/output.h"
#include "vk/base/array.h"
#include "vk/base/file.h"
#include "vk/base/hash.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_JOBS = 1000000, MOST_FIELDS = 256, MOST_BYTES = 256 << 20, MOST_CELL = 65536 };
/* What a line may say that is no option of its command. */
static const char *const own_fields[] = {"command", "name", "timeout", "retries", NULL};

/* ---- errors ------------------------------------------------------------------------------ */

__attribute__((format(printf, 3, 4))) static int wrong(struct batch_jobs *b, size_t line, const char *fmt, ...)
{
    char text[1024], *whole = NULL;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    FV_TRY(fv_grow(&b->errors, &b->error_room, b->error_count, sizeof *b->errors));
    if (asprintf(&whole, "%s: line %zu: %s", b->path, line, text) < 0)
        return fv_fail(FV_ENOMEM, "out of memory");
    b->errors[b->error_count++] = whole;
    return 1;
}

/* The thread's last error, which names the line already or not. */
static int wrong_as_told(struct batch_jobs *b, size_t line)
{
    char prefix[64];
    const char *text = fv_error(), *at;
    snprintf(prefix, sizeof prefix, ": line %zu: ", line);
    at = strstr(text, prefix);
    return wrong(b, line, "%s", at ? at + strlen(prefix) : text);
}

/* ---- paths ------------------------------------------------------------------------------- */

const char *batch_full_path(const char *path, struct fv_arena *arena)
{
    char cwd[4096] = "";
    if (*path != '/' && !getcwd(cwd, sizeof cwd))
        return NULL;
    size_t n = strlen(cwd) + strlen(path) + 2;
    char *full = fv_arena_alloc(arena, n), *to = full;
    if (!full)
        return NULL;
    const char *parts[2] = {cwd, path};
    for (int k = 0; k < 2; k++)
        for (const char *at = parts[k]; *at;) {
            size_t m = strcspn(at, "/");
            if (m && !(m == 1 && *at == '.')) {
                *to++ = '/';
                memcpy(to, at, m);
                to += m;
            }
            at += m + (at[m] == '/');
        }
    if (to == full)
        *to++ = '/';
    *to = 0;
    return full;
}

/* ---- fields ------------------------------------------------------------------------------ */

static const struct cmd_arg *arg_named(const struct cmd *c, const char *key)
{
    for (const struct cmd_arg *a = c->args; a && a->name; a++)
        if (!strcmp(a->name, key))
            return a;
    return NULL;
}

static int unknown_field(struct batch_jobs *b, const struct batch_job *j, const char *key)
{
    const char *names[MOST_FIELDS];
    size_t n = 0;
    const struct opt *tables[2] = {j->cmd->opts, app_global_opts};
    for (const struct cmd_arg *a = j->cmd->args; a && a->name; a++)
        names[n++] = a->name;
    for (size_t i = 0; own_fields[i]; i++)
        names[n++] = own_fields[i];
    for (int t = 0; t < 2; t++)
        for (const struct opt *o = tables[t]; o->type && n < MOST_FIELDS - 1; o++)
            if (o->type != OPT_GROUP)
                names[n++] = o->name;
    names[n] = NULL;
    const char *near = opt_nearest(key, names);
    if (near)
        return wrong(b, j->line, "no field \"%s\" of %s; did you mean \"%s\"?", key, j->cmd->name, near);
    return wrong(b, j->line, "no field \"%s\"; fovea help %s lists what it takes", key, j->cmd->name);
}

static int find_command(struct batch_jobs *b, struct batch_job *j, const cJSON *object)
{
    const cJSON *c = cJSON_GetObjectItemCaseSensitive(object, "command");
    const char *names[64];
    size_t n = 0;
    if (!c)
        return wrong(b, j->line, "needs a \"command\", such as \"command\":\"render\"");
    if (!cJSON_IsString(c))
        return wrong(b, j->line, "command: expected text, such as \"render\"");
    const struct cmd *cmd = app_find_command(c->valuestring);
    if (cmd && cmd->alone)
        return wrong(b, j->line, "command: %s is no job for a batch", cmd->name);
    if (cmd) {
        j->cmd = cmd;
        return 0;
    }
    for (const struct cmd *const *k = app_commands; *k && n < 63; k++)
        if (!(*k)->alone)
            names[n++] = (*k)->name;
    names[n] = NULL;
    const char *near = opt_nearest(c->valuestring, names);
    if (near)
        return wrong(b, j->line, "command: no \"%s\"; did you mean \"%s\"?", c->valuestring, near);
    return wrong(b, j->line, "command: no \"%s\"; fovea --help lists them", c->valuestring);
}

/* Arguments are collected by name and put in order at the end. */
struct line {
    struct batch_job *job;
    const cJSON *arg[8]; /* in the order of the command's table */
};

static int own_field(struct batch_jobs *b, struct batch_job *j, const char *key, const cJSON *v)
{
    if (!strcmp(key, "command"))
        return 0;
    if (!strcmp(key, "name")) {
        if (!cJSON_IsString(v))
            return wrong(b, j->line, "name: expected text");
        j->name = fv_arena_strndup(&b->arena, v->valuestring, strlen(v->valuestring));
        return j->name ? 0 : FV_ENOMEM;
    }
    char *end;
    double n = cJSON_IsNumber(v) ? v->valuedouble : cJSON_IsString(v) ? strtod(v->valuestring, &end) : NAN;
    if (cJSON_IsString(v) && (!*v->valuestring || *end))
        n = NAN;
    if (!strcmp(key, "timeout")) {
        if (!(n >= 0 && n <= 1e9))
            return wrong(b, j->line, "timeout: expected seconds, such as 600");
        j->timeout = n;
    } else {
        if (!(n >= 0 && n <= 1000) || n != floor(n))
            return wrong(b, j->line, "retries: expected a whole number from 0 to 1000");
        j->retries = (int)n;
    }
    return 0;
}

static int one_field(struct batch_jobs *b, struct line *l, struct fv_json *doc, const cJSON *v)
{
    struct batch_job *j = l->job;
    const char *key = v->string;
    const struct cmd_arg *a = arg_named(j->cmd, key);
    const struct opt_set sets[] = {{j->cmd->opts, j->values}, {app_global_opts, &j->globals}};
    for (const cJSON *e = v->next; e; e = e->next)
        if (!strcmp(e->string, key))
            return wrong(b, j->line, "%s: is given twice", key);
    for (size_t i = 0; own_fields[i]; i++)
        if (!strcmp(key, own_fields[i]))
            return cJSON_IsNull(v) ? 0 : own_field(b, j, key, v);
    if (!a && !opt_find(j->cmd->opts, key) && !opt_find(app_global_opts, key))
        return unknown_field(b, j, key);
    if (cJSON_IsNull(v))
        return 0;
    if (a) {
        l->arg[a - j->cmd->args] = v;
        return 0;
    }
    struct fv_node n = {.item = (cJSON *)(uintptr_t)v};
    snprintf(n.place, sizeof n.place, "%.90s", key);
    int rc = opt_from_json_member(sets, 2, doc, n, key, &b->arena);
    doc->failed = false;
    return rc == FV_ENOMEM ? rc : rc < 0 ? wrong_as_told(b, j->line) : 0;
}

static int add_arg(struct batch_jobs *b, struct batch_job *j, const struct cmd_arg *a, const cJSON *v)
{
    if (!cJSON_IsString(v))
        return wrong(b, j->line, a->many ? "%s: expected text or a list of texts" : "%s: expected text", a->name);
    const char *text = fv_arena_strndup(&b->arena, v->valuestring, strlen(v->valuestring));
    if (!text)
        return FV_ENOMEM;
    j->args.items[j->args.count++] = text;
    return 0;
}

static int put_args(struct batch_jobs *b, struct line *l)
{
    struct batch_job *j = l->job;
    const struct cmd *c = j->cmd;
    size_t n = 0;
    for (size_t i = 0; c->args && c->args[i].name; i++)
        n += l->arg[i] && cJSON_IsArray(l->arg[i]) ? (size_t)cJSON_GetArraySize(l->arg[i]) : 1;
    j->args.items = fv_arena_alloc(&b->arena, (n + 1) * sizeof *j->args.items);
    if (!j->args.items)
        return FV_ENOMEM;
    for (size_t i = 0; c->args && c->args[i].name; i++) {
        const struct cmd_arg *a = &c->args[i];
        const cJSON *v = l->arg[i], *e;
        if (!v && i < c->least_args)
            return wrong(b, j->line, "needs a \"%s\": %s", a->name, c->arg);
        if (!v)
            break;
        if (!a->many || !cJSON_IsArray(v)) {
            int rc = add_arg(b, j, a, v);
            if (rc)
                return rc;
            continue;
        }
        cJSON_ArrayForEach(e, v)
        {
            int rc = add_arg(b, j, a, e);
            if (rc)
                return rc;
        }
    }
    for (size_t i = 1; c->args && c->args[i].name; i++)
        if (l->arg[i] && !l->arg[i - 1])
            return wrong(b, j->line, "%s: needs a \"%s\" before it", c->args[i].name, c->args[i - 1].name);
    return app_count_args(c, &j->args) < 0 ? wrong_as_told(b, j->line) : 0;
}

/* ---- what the job is --------------------------------------------------------------------- */

static int add_file(struct batch_jobs *b, struct batch_file **list, size_t *count, const struct opt *o, const char *path)
{
    size_t room = *count; /* the list is short */
    struct batch_file *grown = realloc(*list, (room + 1) * sizeof **list);
    if (!grown)
        return fv_fail(FV_ENOMEM, "out of memory");
    *list = grown;
    grown[room] = (struct batch_file){.opt = o, .path = path, .full = batch_full_path(path, &b->arena)};
    grown[room].folder = output_is_folder(path);
    char *linked = o && o->file == OPT_WRITES && grown[room].full ? realpath(grown[room].full, NULL) : NULL;
    if (linked) /* what a link leads to is replaced, not the link */
        grown[room].full = fv_arena_strndup(&b->arena, linked, strlen(linked));
    free(linked);
    *count = room + 1;
    return grown[room].full ? 0 : FV_ENOMEM;
}

/* "a.png;b.mp4", "style.safetensors:0.8": the name alone if there is such a file, else the parts. */
static int add_inputs(struct batch_jobs *b, struct batch_job *j, const struct opt *o, const char *text)
{
    if (fv_exists(text) || !strpbrk(text, ";:") || http_is_url(text))
        return http_is_url(text) ? 0 : add_file(b, &j->reads, &j->read_count, o, text);
    for (const char *at = text; *at;) {
        size_t n = strcspn(at, ";");
        char *part = fv_arena_strndup(&b->arena, at, n), *colon, *end;
        if (!part)
            return FV_ENOMEM;
        if (!fv_exists(part) && (colon = strrchr(part, ':')) && colon[1] && (strtod(colon + 1, &end), !*end))
            *colon = 0;
        if (*part && !http_is_url(part))
            FV_TRY(add_file(b, &j->reads, &j->read_count, o, part));
        at += n + (at[n] == ';');
    }
    return 0;
}

static int list_files(struct batch_jobs *b, struct batch_job *j)
{
    size_t at = 0;
    for (const struct cmd_arg *a = j->cmd->args; a && a->name; a++)
        for (; at < j->args.count; at++) {
            const char *path = j->args.items[at];
            if (a->file && !http_is_url(path))
                FV_TRY(add_file(b, &j->reads, &j->read_count, NULL, path));
            if (!a->many) {
                at++;
                break;
            }
        }
    for (const struct opt *o = j->cmd->opts; o->type; o++) {
        const char *path = o->file && o->type == OPT_STRING
                               ? *(const char *const *)(const void *)((const char *)j->values + o->offset)
                               : NULL;
        if (!path)
            continue;
        if (o->file == OPT_WRITES && strcmp(path, "-"))
            FV_TRY(add_file(b, &j->writes, &j->write_count, o, path));
        else if (o->file == OPT_READS || o->file == OPT_MODEL)
            FV_TRY(add_inputs(b, j, o, path));
    }
    return 0;
}

static int name_job(struct batch_jobs *b, struct batch_job *j)
{
    if (j->name)
        return 0;
    const char *what = j->write_count ? j->writes[0].path : j->args.count ? j->args.items[0] : "";
    char text[512];
    int n = snprintf(text, sizeof text, "%s %.400s", j->cmd->name, what);
    j->name = fv_arena_strndup(&b->arena, text, (size_t)n);
    return j->name ? 0 : FV_ENOMEM;
}

static int settings(struct batch_job *j)
{
    cJSON *root = cJSON_CreateObject(), *list = root ? cJSON_AddArrayToObject(root, "args") : NULL;
    char *own = opt_to_json(j->cmd->opts, j->values), *shared = opt_to_json(app_global_opts, &j->globals);
    cJSON_AddStringToObject(root, "command", j->cmd->name);
    for (size_t i = 0; list && i < j->args.count; i++)
        cJSON_AddItemToArray(list, cJSON_CreateString(j->args.items[i]));
    if (root && own && shared) {
        cJSON_AddRawToObject(root, "options", own);
        if (strcmp(shared, "{}"))
            cJSON_AddRawToObject(root, "shared", shared);
        j->settings = cJSON_PrintUnformatted(root);
    }
    cJSON_Delete(root);
    free(own);
    free(shared);
    return j->settings ? 0 : fv_fail(FV_ENOMEM, "out of memory");
}

static uint64_t hash_text(uint64_t h, const char *text)
{
    return fv_hash(h, text ? text : "", text ? strlen(text) + 1 : 1);
}

static void hash_job(struct batch_job *j)
{
    j->hash = hash_text(FV_HASH_BEGIN, j->settings);
    j->model = hash_text(hash_text(FV_HASH_BEGIN, j->globals.device), j->cmd->name);
    for (size_t i = 0; i < j->read_count; i++) {
        const struct batch_file *f = &j->reads[i];
        if (f->opt ? f->opt->file == OPT_MODEL : j->cmd->args[0].file == OPT_MODEL)
            j->model = hash_text(j->model, f->full);
    }
}

/* ---- what can be told of one job --------------------------------------------------------- */

static const char *field_of(const struct batch_job *j, const struct batch_file *f)
{
    return f->opt ? f->opt->name : j->cmd->args[0].name;
}

static int check_result(struct batch_jobs *b, const struct batch_job *j, const struct batch_file *f)
{
    struct stat st;
    if (!*f->path)
        return wrong(b, j->line, "%s: the name is empty", f->opt->name);
    if (!stat(f->full, &st) && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        return 0; /* a device takes what comes */
    char *folder = fv_path_dir(f->full);
    int rc = 0;
    if (!folder)
        return fv_fail(FV_ENOMEM, "out of memory");
    if (!fv_is_dir(folder))
        rc = wrong(b, j->line, "%s: the folder %s is not there; make it: mkdir -p %s", f->opt->name, folder, folder);
    else if (access(folder, W_OK) < 0)
        rc = wrong(b, j->line, "%s: the folder %s cannot be written to: %s", f->opt->name, folder, strerror(errno));
    free(folder);
    return rc;
}

/* Commands that cannot do without a result say so in their usage. */
static int check_results(struct batch_jobs *b, const struct batch_job *j)
{
    const struct opt *out = opt_find(j->cmd->opts, "output");
    const char *needs = strstr(j->cmd->usage, "-o OUT");
    if (out && out->file == OPT_WRITES) {
        const char *path = *(const char *const *)(const void *)((const char *)j->values + out->offset);
        if (path && !strcmp(path, "-"))
            return wrong(b, j->line, "output: a job's result goes to a file, not to standard output");
        if (!path && needs && needs[-1] == ' ')
            return wrong(b, j->line, "needs an \"output\", such as \"output\":\"out.mp4\"");
    }
    for (size_t i = 0; i < j->write_count; i++) {
        int rc = check_result(b, j, &j->writes[i]);
        if (rc)
            return rc;
    }
    return 0;
}

static int finish_job(struct batch_jobs *b, struct line *l)
{
    struct batch_job *j = l->job;
    int rc = put_args(b, l);
    if (rc)
        return rc;
    if (j->globals.help || j->globals.version)
        return wrong(b, j->line, "help and version are nothing for a job");
    FV_TRY(list_files(b, j));
    FV_TRY(name_job(b, j));
    rc = check_results(b, j);
    if (rc)
        return rc;
    FV_TRY(settings(j));
    hash_job(j);
    return 0;
}

/* A member that is wrong does not hide the others. */
static int take_object(struct batch_jobs *b, size_t number, struct fv_json *doc, const cJSON *object)
{
    FV_TRY(fv_grow(&b->items, &b->room, b->count, sizeof *b->items));
    struct batch_job *j = &b->items[b->count++];
    *j = (struct batch_job){.line = number, .retries = -1};
    struct line l = {.job = j};
    int rc = find_command(b, j, object), bad = rc;
    const cJSON *v;
    if (rc == 0) {
        j->values = fv_arena_alloc(&b->arena, j->cmd->size + 1);
        if (!j->values)
            return FV_ENOMEM;
        FV_TRY(opt_defaults(j->cmd->opts, j->values));
    }
    for (v = object->child; bad == 0 && v; v = v->next) {
        int one = one_field(b, &l, doc, v);
        FV_TRY(one);
        rc = rc ? rc : one;
    }
    if (rc == 0)
        rc = finish_job(b, &l);
    if (rc > 0)
        j->cmd = NULL;
    return rc < 0 ? rc : 0;
}

/* ---- JSON lines -------------------------------------------------------------------------- */

static int take_line(struct batch_jobs *b, size_t number, const char *text, size_t n)
{
    struct fv_json doc;
    char name[512];
    while (n && strchr(" \t\r", text[n - 1]))
        n--;
    while (n && strchr(" \t", *text))
        text++, n--;
    if (!n)
        return 0;
    snprintf(name, sizeof name, "%.400s: line %zu", b->path, number);
    int rc = fv_json_parse(&doc, text, n, name);
    if (rc == 0 && !cJSON_IsObject(doc.root.item)) {
        fv_json_close(&doc);
        rc = fv_fail(FV_EFORMAT, "is no object; write {\"command\":\"render\", ...}");
    }
    if (rc == 0) {
        rc = take_object(b, number, &doc, doc.root.item);
        fv_json_close(&doc);
        return rc;
    }
    if (rc == FV_ENOMEM)
        return rc;
    FV_TRY(fv_grow(&b->items, &b->room, b->count, sizeof *b->items));
    b->items[b->count++] = (struct batch_job){.line = number, .retries = -1};
    return wrong_as_told(b, number) < 0 ? FV_ENOMEM : 0;
}

static int parse_lines(struct batch_jobs *b, const char *text, size_t size)
{
    size_t number = 1;
    for (size_t at = 0; at < size && b->count < MOST_JOBS; number++) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t n = end ? (size_t)(end - text) - at : size - at;
        FV_TRY(take_line(b, number, text + at, n));
        at += n + 1;
    }
    return 0;
}

/* ---- CSV (RFC 4180) ---------------------------------------------------------------------- */

/* One cell from *at on, whose text has room for MOST_CELL; *end_of_row: it was the row's last. NULL without
 * memory. */
static char *cell(struct batch_jobs *b, const char **at, const char *end, size_t *lines, bool *end_of_row, bool *bad,
                  char *text)
{
    const char *p = *at;
    bool quoted = p < end && *p == '"';
    size_t n = 0;
    for (p += quoted; p < end; p++) {
        if (quoted && *p == '"') {
            if (p + 1 < end && p[1] == '"')
                p++;
            else {
                quoted = false;
                p++;
                break;
            }
        } else if (!quoted && (*p == ',' || *p == '\n' || *p == '\r')) {
            break;
        }
        *lines += *p == '\n';
        if (n < MOST_CELL)
            text[n++] = *p;
        else
            *bad = true;
    }
    *bad = *bad || quoted || (p < end && *p != ',' && *p != '\n' && *p != '\r');
    while (p < end && *p != ',' && *p != '\n')
        p++;
    *end_of_row = p >= end || *p == '\n';
    *lines += p < end && *p == '\n';
    *at = p < end ? p + 1 : end;
    return fv_arena_strndup(&b->arena, text, n);
}

struct row {
    char *cells[MOST_FIELDS];
    size_t count, line;
    bool bad;
    char text[MOST_CELL];
};

static int read_row(struct batch_jobs *b, struct row *r, const char **at, const char *end, size_t *lines)
{
    bool last = false;
    r->line = *lines;
    r->count = 0;
    r->bad = false;
    while (!last) {
        char *text = cell(b, at, end, lines, &last, &r->bad, r->text);
        if (!text)
            return FV_ENOMEM;
        if (r->count < MOST_FIELDS)
            r->cells[r->count++] = text;
        else
            r->bad = true;
    }
    return 0;
}

/* A cell as the value its field takes; a column that is there twice gives a list. */
static void add_cell(cJSON *object, const struct cmd *c, const char *key, const char *text)
{
    const struct opt *o = c ? opt_find(c->opts, key) : NULL;
    cJSON *old = cJSON_GetObjectItemCaseSensitive(object, key);
    o = o ? o : opt_find(app_global_opts, key);
    if (o && o->type == OPT_FLAG && (!strcmp(text, "true") || !strcmp(text, "yes") || !strcmp(text, "1")))
        cJSON_AddTrueToObject(object, key);
    else if (o && o->type == OPT_FLAG && (!strcmp(text, "false") || !strcmp(text, "no") || !strcmp(text, "0")))
        cJSON_AddFalseToObject(object, key);
    else if (!old)
        cJSON_AddStringToObject(object, key, text);
    else if (cJSON_IsArray(old))
        cJSON_AddItemToArray(old, cJSON_CreateString(text));
    else {
        cJSON *list = cJSON_CreateArray();
        cJSON_AddItemToArray(list, cJSON_CreateString(old->valuestring ? old->valuestring : ""));
        cJSON_AddItemToArray(list, cJSON_CreateString(text));
        cJSON_ReplaceItemInObjectCaseSensitive(object, key, list);
    }
}

static int take_row(struct batch_jobs *b, const struct row *head, const struct row *r)
{
    struct fv_json doc = {0};
    char name[512];
    cJSON *object = cJSON_CreateObject();
    const struct cmd *c = NULL;
    if (!object)
        return fv_fail(FV_ENOMEM, "out of memory");
    for (size_t i = 0; i < head->count && i < r->count; i++)
        if (!strcmp(head->cells[i], "command"))
            c = app_find_command(r->cells[i]);
    for (size_t i = 0; i < head->count && i < r->count; i++)
        if (*r->cells[i])
            add_cell(object, c, head->cells[i], r->cells[i]);
    snprintf(name, sizeof name, "%.400s: line %zu", b->path, r->line);
    doc.name = name;
    doc.root.item = object;
    int rc = take_object(b, r->line, &doc, object);
    if (rc == 0 && r->bad) {
        b->items[b->count - 1].cmd = NULL;
        rc = wrong(b, r->line, "a quoted cell does not end, has text behind its end, or is too long");
    } else if (rc == 0 && r->count > head->count) {
        b->items[b->count - 1].cmd = NULL;
        rc = wrong(b, r->line, "has %zu cells, more than the %zu names of the first line", r->count, head->count);
    }
    cJSON_Delete(object);
    return rc < 0 ? rc : 0;
}

static int parse_csv(struct batch_jobs *b, const char *text, size_t size)
{
    const char *at = text, *end = text + size;
    size_t lines = 1;
    struct row *head = calloc(2, sizeof *head), *r = head + 1;
    if (!head)
        return fv_fail(FV_ENOMEM, "out of memory");
    int rc = read_row(b, head, &at, end, &lines);
    bool named = false;
    for (size_t i = 0; i < head->count; i++)
        named = named || !strcmp(head->cells[i], "command");
    if (rc == 0 && !named)
        rc = fv_fail(FV_EFORMAT, "%s: its first line names the columns: command,scene,output,size", b->path);
    while (rc == 0 && at < end && b->count < MOST_JOBS) {
        rc = read_row(b, r, &at, end, &lines);
        bool blank = r->count == 1 && !*r->cells[0];
        if (rc == 0 && !blank)
            rc = take_row(b, head, r);
    }
    free(head);
    return rc;
}

/* ---- what can be told of all jobs -------------------------------------------------------- */

struct entry {
    const char *full;
    size_t job, file;
};

static int by_name(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int c = strcmp(x->full, y->full);
    return c ? c : x->job < y->job ? -1 : x->job > y->job;
}

/* The first result of this name or, of an input within a folder that is one, of the folder. */
static const struct entry *find_result(const struct entry *list, size_t count, const char *full)
{
    char name[4096];
    snprintf(name, sizeof name, "%s", full);
    for (;;) {
        size_t lo = 0, hi = count;
        while (lo < hi) {
            size_t mid = (lo + hi) / 2;
            if (strcmp(list[mid].full, name) < 0)
                lo = mid + 1;
            else
                hi = mid;
        }
        if (lo < count && !strcmp(list[lo].full, name))
            return &list[lo];
        char *slash = strrchr(name, '/');
        if (!slash || slash == name)
            return NULL;
        *slash = 0;
    }
}

static int add_need(struct batch_job *j, size_t job)
{
    for (size_t i = 0; i < j->need_count; i++)
        if (j->needs[i] == job)
            return 0;
    size_t *grown = realloc(j->needs, (j->need_count + 1) * sizeof *grown);
    if (!grown)
        return fv_fail(FV_ENOMEM, "out of memory");
    j->needs = grown;
    grown[j->need_count++] = job;
    return 0;
}

static int check_inputs(struct batch_jobs *b, size_t number, const struct entry *list, size_t count)
{
    struct batch_job *j = &b->items[number];
    int bad = 0;
    for (size_t i = 0; j->cmd && i < j->read_count; i++) {
        const struct batch_file *f = &j->reads[i];
        const struct entry *e = find_result(list, count, f->full);
        int rc = 0;
        if (e && e->job == number)
            rc = wrong(b, j->line, "%s: %s is read, too; give the result another name",
                       j->writes[e->file].opt->name, f->path);
        else if (e && e->job > number)
            rc = wrong(b, j->line, "%s: %s is written by line %zu, which comes later; put that line before this one",
                       field_of(j, f), f->path, b->items[e->job].line);
        else if (e)
            FV_TRY(add_need(j, e->job));
        else if (!fv_exists(f->full))
            rc = wrong(b, j->line, "%s: %s: no such file, and no earlier line writes it", field_of(j, f), f->path);
        FV_TRY(rc);
        bad = bad || rc;
    }
    if (bad)
        j->cmd = NULL;
    return 0;
}

/* Jobs that read others' results belong to their part. */
static void number_parts(struct batch_jobs *b)
{
    uint64_t next = 0;
    for (size_t i = 0; i < b->count; i++) {
        struct batch_job *j = &b->items[i];
        j->part = UINT64_MAX;
        for (size_t k = 0; k < j->need_count; k++)
            j->part = b->items[j->needs[k]].part < j->part ? b->items[j->needs[k]].part : j->part;
        /* a job that joins two parts makes them one */
        for (size_t k = 0; k < j->need_count; k++) {
            uint64_t other = b->items[j->needs[k]].part;
            for (size_t m = 0; other != j->part && m < i; m++)
                if (b->items[m].part == other)
                    b->items[m].part = j->part;
        }
        if (j->part == UINT64_MAX)
            j->part = next++;
    }
}

static int by_hash(const void *a, const void *b)
{
    const struct batch_job *x = *(struct batch_job *const *)a, *y = *(struct batch_job *const *)b;
    return x->hash != y->hash ? (x->hash < y->hash ? -1 : 1) : x->line < y->line ? -1 : x->line > y->line;
}

/* The same job once more is another one. */
static int tell_copies_apart(struct batch_jobs *b)
{
    struct batch_job **list = malloc((b->count + 1) * sizeof(struct batch_job *));
    if (!list)
        return fv_fail(FV_ENOMEM, "out of memory");
    for (size_t i = 0; i < b->count; i++)
        list[i] = &b->items[i];
    qsort(list, b->count, sizeof *list, by_hash);
    for (size_t i = 0, first = 0; i < b->count; i++) {
        uint64_t original = list[first]->hash;
        if (i == first)
            continue;
        if (list[i]->hash != original)
            first = i;
        else
            list[i]->hash = fv_mix(original + (i - first));
    }
    free(list);
    return 0;
}

static int check_all(struct batch_jobs *b)
{
    struct entry *list = NULL;
    size_t count = 0, room = 0;
    int rc = 0;
    for (size_t i = 0; i < b->count && rc == 0; i++)
        for (size_t k = 0; b->items[i].cmd && k < b->items[i].write_count && rc == 0; k++) {
            rc = fv_grow(&list, &room, count, sizeof *list);
            if (rc == 0)
                list[count++] = (struct entry){b->items[i].writes[k].full, i, k};
        }
    if (count)
        qsort(list, count, sizeof *list, by_name);
    for (size_t i = 1; i < count && rc >= 0; i++) {
        const struct entry *e = &list[i], *before = &list[i - 1];
        struct batch_job *j = &b->items[e->job];
        struct stat st;
        if (strcmp(e->full, before->full) || (!stat(e->full, &st) && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
            continue;
        rc = e->job == before->job
                 ? wrong(b, j->line, "%s: %s is named twice", j->writes[e->file].opt->name, j->writes[e->file].path)
                 : wrong(b, j->line, "%s: %s is written by line %zu, too; give one of them another name",
                         j->writes[e->file].opt->name, j->writes[e->file].path, b->items[before->job].line);
        j->cmd = NULL;
    }
    for (size_t i = 0; i < b->count && rc >= 0; i++)
        rc = check_inputs(b, i, list, count);
    free(list);
    if (rc >= 0)
        rc = tell_copies_apart(b);
    for (size_t i = 0; i < b->count; i++)
        b->bad += !b->items[i].cmd;
    number_parts(b);
    return rc < 0 ? rc : 0;
}

/* ---- files ------------------------------------------------------------------------------- */

int batch_jobs_parse(struct batch_jobs *b, const char *text, size_t size, const char *name, bool csv)
{
    *b = (struct batch_jobs){.path = strdup(name)};
    if (!b->path)
        return fv_fail(FV_ENOMEM, "out of memory");
    if (size >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
        text += 3, size -= 3;
    if (memchr(text, 0, size))
        return fv_fail(FV_EFORMAT, "%s: is no text", name);
    FV_TRY(csv ? parse_csv(b, text, size) : parse_lines(b, text, size));
    if (b->count >= MOST_JOBS)
        return fv_fail(FV_EFORMAT, "%s: more than %d jobs", name, MOST_JOBS - 1);
    if (!b->count)
        return fv_fail(FV_EFORMAT, "%s: no job in it; write one a line: {\"command\":\"render\",\"scene\":\"a.ply\","
                                   "\"output\":\"a.mp4\"}", name);
    return check_all(b);
}

static int read_input(char **text, size_t *size)
{
    size_t room = 0, n = 1;
    *text = NULL;
    *size = 0;
    while (n) {
        if (*size + 65536 > room) {
            char *grown = realloc(*text, room = 2 * room + 131072);
            if (!grown)
                return free(*text), fv_fail(FV_ENOMEM, "out of memory");
            *text = grown;
        }
        n = fread(*text + *size, 1, 65536, stdin);
        *size += n;
        if (*size > MOST_BYTES)
            return free(*text), fv_fail(FV_EFORMAT, "standard input: more than %d MiB", MOST_BYTES >> 20);
    }
    return 0;
}

int batch_jobs_open(struct batch_jobs *b, const char *path)
{
    struct fv_map map;
    *b = (struct batch_jobs){0};
    if (!strcmp(path, "-")) {
        char *text;
        size_t size;
        FV_TRY(read_input(&text, &size));
        int rc = batch_jobs_parse(b, text, size, "standard input", false);
        free(text);
        return rc;
    }
    FV_TRY(fv_map_open(&map, path));
    int rc = map.size > MOST_BYTES ? fv_fail(FV_EFORMAT, "%s: more than %d MiB", path, MOST_BYTES >> 20)
                                   : batch_jobs_parse(b, map.size ? (const char *)map.data : "", map.size, path,
                                                      fv_ends_with(path, ".csv"));
    fv_map_close(&map);
    return rc;
}

void batch_jobs_finish(struct batch_jobs *b)
{
    for (size_t i = 0; i < b->count; i++) {
        free(b->items[i].settings);
        free(b->items[i].reads);
        free(b->items[i].writes);
        free(b->items[i].needs);
    }
    for (size_t i = 0; i < b->error_count; i++)
        free(b->errors[i]);
    free(b->errors);
    free(b->items);
    free(b->path);
    fv_arena_finish(&b->arena);
    *b = (struct batch_jobs){0};
}

/* ---- inputs ------------------------------------------------------------------------------ */

enum { FOLDER_DEPTH = 4 };

/* A sum, so that the order in which a folder is listed does not matter. */
static uint64_t hash_path(const char *path, const char *name, int depth)
{
    struct stat st;
    uint64_t h = hash_text(FV_HASH_BEGIN, name);
    if (stat(path, &st) < 0)
        return h;
    if (!S_ISDIR(st.st_mode)) {
        const int64_t facts[3] = {st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec};
        return fv_mix(fv_hash(h, facts, sizeof facts));
    }
    DIR *dir = depth < FOLDER_DEPTH ? opendir(path) : NULL;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (*e->d_name == '.')
            continue;
        char *inner = fv_path_join(path, e->d_name);
        h += inner ? hash_path(inner, e->d_name, depth + 1) : 0;
        free(inner);
    }
    if (dir)
        closedir(dir);
    return fv_mix(h);
}

bool batch_inputs_there(const struct batch_job *j)
{
    for (size_t i = 0; i < j->read_count; i++)
        if (!fv_exists(j->reads[i].full))
            return false;
    return true;
}

uint64_t batch_inputs_hash(const struct batch_job *j)
{
    uint64_t h = FV_HASH_BEGIN;
    for (size_t i = 0; i < j->read_count; i++)
        h = fv_mix(h + hash_path(j->reads[i].full, j->reads[i].path, 0));
    return h;
}

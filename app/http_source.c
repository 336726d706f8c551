/* A file on a web server as a source (http_source.h).
 *
 *   reader's thread                 the thread here
 *   read, want ──► need, ranges ──► next_request ──► curl ──► on_data ──► blocks
 *        ◄──────────────────────────────────────────────────────────────────┘
 *
 * One request at a time, for at most a few seconds' worth of bytes that follow each other, on one
 * connection that is kept: a seek does not wait long, and what is read ahead is bounded without
 * pausing. From a server that sends no parts there is one request for everything, from the start, which
 * pauses when it is far ahead. One lock guards all but what only the thread uses; it is not held while
 * curl works, but within its callbacks. */
#include "app/http_source.h"
#include "app/blocks.h"
#include "vk/base/log.h"
#include "vk/base/thread.h"

#include <curl/curl.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { SEAM = 64, MOST_REDIRECTS = 5, TAIL = 64 << 10 };
static const uint64_t least_span = 256 << 10, most_span = 8 << 20, least_gap = 8 << 10,
                      most_gap = 128 << 10;
static const double poll_seconds = 0.5, most_backoff = 16, most_asked_wait = 30;

enum parts { PARTS_UNKNOWN, PARTS_YES, PARTS_NO };

/* What tells one version of a file from another. */
struct version {
    char etag[128], date[64];
};

/* What the thread is loading. */
struct request {
    bool active;
    bool judged;  /* the answer's head was looked at */
    bool refused; /* by us: nothing more of it is wanted */
    bool moved;   /* given up for something more urgent */
    bool paused;
    uint64_t pos, end; /* next byte; where it ends, UINT64_MAX: at the file's end */
    uint64_t seam;     /* bytes at pos that are there and must be the same */
    double began, last; /* when; when a byte came last */
    double measured;   /* when bytes were counted last; 0: not yet */
    uint64_t got;      /* bytes that are new */
    bool poll;         /* asks whether the file has grown */
    /* of its answer */
    long status;
    uint64_t from, total, length; /* Content-Range, Content-Length; UINT64_MAX: not said */
    double retry_after;
    struct version version;
    char problem[256]; /* what is wrong, for a person */
    bool fatal;        /* and not to be tried again */
    char error[CURL_ERROR_SIZE];
};

struct http_source {
    char *url;
    char text[512]; /* the URL for messages */
    struct http_opts o;
    pthread_t thread;
    CURLM *multi;
    CURL *easy;
    struct curl_slist *headers;
    struct request r; /* the thread's */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned long news, seen; /* counts what waiters wait for; when a reader last missed something */
    bool stop, restart;
    struct blocks blocks;
    enum http_state state;
    char problem[256];
    bool answered; /* size and parts are known as far as they will be */
    uint64_t size; /* UINT64_MAX: not known */
    enum parts parts;
    bool has_version;
    struct version version;
    struct gs_range need; /* what a reader misses; size 0: nothing */
    uint64_t read_to;     /* end of what was read last, */
    uint64_t in_row;      /* and bytes that were read up to there in a row */
    struct gs_range *want;
    size_t want_count, want_room;
    double still_since;   /* a file that may grow: since when it did not; 0: it did */
    double not_before;    /* of the next request */
    double poll_at;       /* of the next look whether it grew */
    unsigned failures;    /* in a row */
    double bandwidth, sample_seconds; /* bytes a second; of those counted since it was set */
    uint64_t sample;
    uint64_t received, furthest; /* furthest: that ever came */
    unsigned requests, retries;
};

/* ---- names ---- */

bool http_is_url(const char *path)
{
    return !strncasecmp(path, "http://", 7) || !strncasecmp(path, "https://", 8);
}

void http_url_text(char *out, size_t size, const char *url)
{
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    size_t head = strcspn(host, "/?#");
    for (size_t k = head; k > 0; k--)
        if (host[k - 1] == '@') {
            host += k;
            break;
        }
    snprintf(out, size, "%.*s%.*s", (int)(strncasecmp(url, "https", 5) ? 7 : 8),
             strncasecmp(url, "https", 5) ? "http://" : "https://", (int)strcspn(host, "?#"), host);
}

/* ---- what is missing; the lock is held ---- */

static bool may_grow(const struct http_source *s)
{
    return s->o.live > 0 && !(s->still_since > 0 && fv_now() - s->still_since >= s->o.live);
}

static void tell(struct http_source *s)
{
    s->news++;
    pthread_cond_broadcast(&s->changed);
}

static void set_state(struct http_source *s, enum http_state state, const char *problem)
{
    if (s->state != state || strcmp(s->problem, problem)) {
        s->state = state;
        snprintf(s->problem, sizeof s->problem, "%s", problem);
        tell(s);
    }
}

/* First byte to load of a range, the file's end if nothing is missing. */
static bool missing(const struct http_source *s, uint64_t offset, uint64_t size, uint64_t *at)
{
    uint64_t end = offset + size < offset ? UINT64_MAX : offset + size;
    if (end > s->size)
        end = s->size;
    if (offset >= end || blocks_have(&s->blocks, offset, end - offset) == end - offset)
        return false;
    *at = blocks_hole(&s->blocks, offset + blocks_have(&s->blocks, offset, end - offset));
    return true;
}

/* How far to read ahead while nobody says what will be wanted: the more, the more was read in a row. */
static uint64_t guess(const struct http_source *s)
{
    uint64_t n = 2 * s->in_row > TAIL ? 2 * s->in_row : TAIL;
    return n < s->o.ahead ? n : s->o.ahead;
}

/* Where a run of wanted bytes from `at` on ends: through ranges that follow closely. */
static uint64_t run_end(const struct http_source *s, uint64_t at, uint64_t end, size_t next)
{
    double quick = s->bandwidth * 0.05;
    uint64_t gap = quick < (double)least_gap  ? least_gap
                   : quick > (double)most_gap ? most_gap
                                              : (uint64_t)quick;
    for (size_t k = next; k < s->want_count && end - at < most_span; k++) {
        const struct gs_range *w = &s->want[k];
        if (w->offset > end + gap || w->offset < at)
            break;
        if (w->offset + w->size > end)
            end = w->offset + w->size;
    }
    return end;
}

/* The next bytes to load: [*at, *end). */
static bool next_bytes(const struct http_source *s, uint64_t *at, uint64_t *end)
{
    uint64_t budget = s->o.room / 2;
    if (s->need.size && missing(s, s->need.offset, s->need.size, at)) {
        *end = s->need.offset + s->need.size;
        if (!s->want_count && *end < s->need.offset + guess(s))
            *end = s->need.offset + guess(s);
        /* an index is at the end and begins a little before what leads to it */
        if (*end >= s->size && s->size != UINT64_MAX && s->parts == PARTS_YES &&
            *at > TAIL && s->size - *at < TAIL)
            *at = blocks_hole(&s->blocks, s->size - TAIL);
        *end = run_end(s, *at, *end, 0);
        return true;
    }
    for (size_t k = 0; k < s->want_count; k++) {
        const struct gs_range *w = &s->want[k];
        if (w->size > budget)
            return false;
        budget -= w->size;
        if (missing(s, w->offset, w->size, at)) {
            *end = run_end(s, *at, w->offset + w->size, k + 1);
            return true;
        }
    }
    if (!s->want_count && s->answered && missing(s, s->read_to, guess(s), at)) {
        *end = s->read_to + guess(s);
        return true;
    }
    return false;
}

/* ---- answers ---- */

/* Another file is there: all that was read is of no use. The lock is held. */
static void file_changed(struct http_source *s)
{
    s->r.refused = true;
    blocks_clear(&s->blocks);
    set_state(s, HTTP_CHANGED, "the file has changed on the server while it was read");
}

static bool same_version(const struct http_source *s, const struct version *v)
{
    if (s->version.etag[0] && v->etag[0])
        return !strcmp(s->version.etag, v->etag);
    if (s->version.date[0] && v->date[0])
        return !strcmp(s->version.date, v->date);
    return true;
}

static void give_up(struct request *r, bool fatal, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void give_up(struct request *r, bool fatal, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(r->problem, sizeof r->problem, fmt, ap);
    va_end(ap);
    r->fatal = fatal;
    r->refused = true;
}

/* The size as an answer tells it. A file that may grow becomes longer, never shorter. */
static bool takes_size(struct http_source *s, uint64_t total)
{
    if (total == UINT64_MAX || total == s->size)
        return true;
    if (s->size != UINT64_MAX && (total < s->size || s->o.live <= 0))
        return false;
    if (s->answered)
        s->still_since = 0;
    s->size = total;
    tell(s);
    return true;
}

/* Looks at the head of an answer, before its first byte. The lock is held. */
static void judge(struct http_source *s)
{
    struct request *r = &s->r;
    r->judged = true;
    bool versions = s->has_version && s->o.live <= 0;
    if (r->status == 206) {
        if (r->from != r->pos) {
            /* an answer may break off before it says which bytes it has */
            give_up(r, r->from != UINT64_MAX, "the server sends other bytes than it was asked for");
            return;
        }
        if ((versions && !same_version(s, &r->version)) || !takes_size(s, r->total)) {
            file_changed(s);
            return;
        }
        s->parts = PARTS_YES;
    } else if (r->status == 200) {
        /* everything: it sends no parts, or not of a file that is another one now */
        bool changed = s->parts == PARTS_YES
                           ? !versions || !same_version(s, &r->version) || r->length != s->size
                           : s->answered && versions && !same_version(s, &r->version);
        if (changed || (s->answered && !takes_size(s, r->length))) {
            file_changed(s);
            return;
        }
        if (!s->answered)
            takes_size(s, r->length);
        else if (r->poll && s->size == r->length) {
            r->refused = true;
            return;
        }
        s->parts = PARTS_NO;
        r->pos = 0;
        r->end = UINT64_MAX;
        r->seam = 0;
    } else if (r->status == 416) {
        r->refused = true;
        uint64_t total = r->total != UINT64_MAX ? r->total : r->pos + r->seam;
        if (s->answered && s->size != UINT64_MAX && total < s->size) {
            file_changed(s);
            return;
        }
        takes_size(s, total);
        if (!r->poll && s->answered) {
            give_up(r, false, "the server does not send bytes from %llu on",
                    (unsigned long long)r->pos);
            return;
        }
    } else {
        bool again = r->status == 408 || r->status == 429 || r->status >= 500;
        give_up(r, !again, "the server says %ld%s", r->status,
                r->status == 404   ? ": there is no such file"
                : r->status == 401 ? ": it wants a user and a password"
                : r->status == 403 ? ": it does not give this file"
                                   : "");
        return;
    }
    s->answered = true;
    if (!s->has_version || s->o.live > 0) {
        s->version = r->version;
        s->has_version = true;
    }
}

static const char *value_of(const char *line, const char *name)
{
    size_t n = strlen(name);
    if (strncasecmp(line, name, n) || line[n] != ':')
        return NULL;
    line += n + 1;
    return line + strspn(line, " \t");
}

static void copy_value(char *out, size_t size, const char *value)
{
    snprintf(out, size, "%.*s", (int)strcspn(value, "\r\n"), value);
}

static size_t on_header(char *data, size_t one, size_t size, void *ud)
{
    struct http_source *s = ud;
    struct request *r = &s->r;
    char line[512];
    const char *v;
    (void)one;
    snprintf(line, sizeof line, "%.*s", (int)(size < sizeof line ? size : sizeof line - 1), data);
    r->last = fv_now();
    if (!strncasecmp(line, "HTTP/", 5)) { /* of a redirect, then of where it leads */
        const char *code = strchr(line, ' ');
        r->status = code ? strtol(code, NULL, 10) : 0;
        r->from = r->total = r->length = UINT64_MAX;
        r->version = (struct version){0};
    } else if ((v = value_of(line, "content-range"))) {
        unsigned long long from, to, total;
        int n = sscanf(v, "bytes %llu-%llu/%llu", &from, &to, &total);
        if (n >= 2)
            r->from = from;
        if (n == 3 || sscanf(v, "bytes */%llu", &total) == 1)
            r->total = total;
    } else if ((v = value_of(line, "content-length"))) {
        r->length = strtoull(v, NULL, 10);
    } else if ((v = value_of(line, "retry-after"))) {
        r->retry_after = strtod(v, NULL);
    } else if ((v = value_of(line, "etag"))) {
        copy_value(r->version.etag, sizeof r->version.etag, v);
    } else if ((v = value_of(line, "last-modified"))) {
        copy_value(r->version.date, sizeof r->version.date, v);
    }
    return size;
}

/* How fast bytes come once they come. The lock is held. */
static void measure(struct http_source *s, size_t size)
{
    struct request *r = &s->r;
    double now = fv_now();
    if (r->measured > 0) { /* the first bytes came whenever they came */
        s->sample += size;
        s->sample_seconds += now - r->measured;
    }
    r->measured = now;
    if (s->sample_seconds < 0.02 || (s->sample < 64 << 10 && s->sample_seconds < 0.5))
        return;
    double rate = (double)s->sample / s->sample_seconds, keep = exp(-s->sample_seconds / 3);
    s->bandwidth = s->bandwidth > 0 ? keep * s->bandwidth + (1 - keep) * rate : rate;
    s->sample = 0;
    s->sample_seconds = 0;
}

/* Bytes that are there already are the same, or it is not the same file. The lock is held. */
static bool seam_holds(struct http_source *s, const uint8_t *data, size_t size)
{
    uint8_t known[SEAM];
    size_t n = s->r.seam < size ? (size_t)s->r.seam : size;
    return blocks_get(&s->blocks, s->r.pos, known, n) != n || !memcmp(known, data, n);
}

/* How far ahead of what is read a server without parts is let go. */
static bool too_far(const struct http_source *s)
{
    uint64_t front = s->need.offset + s->need.size;
    front = s->read_to > front ? s->read_to : front;
    for (size_t k = 0; k < s->want_count; k++)
        if (s->want[k].offset + s->want[k].size > front)
            front = s->want[k].offset + s->want[k].size;
    return s->parts == PARTS_NO && s->r.pos > front + s->o.room / 4;
}

static size_t on_data(char *data, size_t one, size_t size, void *ud)
{
    struct http_source *s = ud;
    struct request *r = &s->r;
    size_t all = one * size, rc = all;
    const uint8_t *from = (const uint8_t *)data;
    pthread_mutex_lock(&s->lock);
    bool of_use = !s->stop && !s->restart;
    if (of_use && !r->judged)
        judge(s);
    if (r->refused || !of_use) {
        rc = 0;
    } else if (too_far(s)) {
        r->paused = true;
        rc = CURL_WRITEFUNC_PAUSE;
    } else if (r->seam && !seam_holds(s, from, all)) {
        file_changed(s);
        rc = 0;
    } else {
        uint64_t most = r->end - r->pos;
        size_t n = all < most ? all : (size_t)most;
        if (blocks_put(&s->blocks, r->pos, from, n) < 0) {
            give_up(r, true, "%s", fv_error());
            rc = 0;
        }
        size_t known = r->seam < n ? (size_t)r->seam : n;
        r->seam -= known;
        r->pos += n;
        r->got += n - known;
        r->last = fv_now();
        /* from the start again is no step forward before it comes further than ever */
        if (n > known && (s->parts == PARTS_YES || r->pos > s->furthest))
            s->failures = 0;
        s->furthest = r->pos > s->furthest ? r->pos : s->furthest;
        if (s->size != UINT64_MAX && r->pos > s->size && s->o.live > 0)
            s->size = r->pos;
        s->received += all;
        measure(s, all);
        set_state(s, HTTP_LOADING, "");
        tell(s);
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* ---- requests; the lock is held ---- */

static void set_options(struct http_source *s)
{
    CURL *e = s->easy;
    curl_easy_setopt(e, CURLOPT_URL, s->url);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    /* what begins safe stays safe */
    curl_easy_setopt(e, CURLOPT_REDIR_PROTOCOLS_STR,
                     strncasecmp(s->url, "https", 5) ? "http,https" : "https");
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(e, CURLOPT_MAXREDIRS, (long)MOST_REDIRECTS);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)(1000 * s->o.connect_seconds));
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_USERAGENT, "fovea/" FOVEA_VERSION);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, s);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, s);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, s->r.error);
    curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    if (s->o.ca_file)
        curl_easy_setopt(e, CURLOPT_CAINFO, s->o.ca_file);
}

static void start_request(struct http_source *s, uint64_t at, uint64_t end, bool poll)
{
    struct request *r = &s->r;
    char range[64], since[160];
    *r = (struct request){.active = true,
                          .pos = at,
                          .end = end,
                          .poll = poll,
                          .began = fv_now(),
                          .last = fv_now(),
                          .from = UINT64_MAX,
                          .total = UINT64_MAX,
                          .length = UINT64_MAX};
    bool guarded = s->has_version && s->o.live <= 0 &&
                   ((s->version.etag[0] && strncmp(s->version.etag, "W/", 2)) || s->version.date[0]);
    if (s->parts == PARTS_NO) {
        r->pos = 0;
        r->end = UINT64_MAX;
    } else if (!guarded && s->answered) {
        /* a few bytes again, to see that they are the same */
        uint64_t seam = at < SEAM ? at : SEAM;
        if (seam && blocks_have(&s->blocks, at - seam, seam) == seam) {
            r->pos = at - seam;
            r->seam = seam;
        }
    }
    set_options(s);
    curl_slist_free_all(s->headers);
    s->headers = curl_slist_append(NULL, "Accept-Encoding: identity");
    if (guarded && s->parts == PARTS_YES) {
        bool strong = s->version.etag[0] && strncmp(s->version.etag, "W/", 2);
        snprintf(since, sizeof since, "If-Range: %s", strong ? s->version.etag : s->version.date);
        s->headers = curl_slist_append(s->headers, since);
    }
    curl_easy_setopt(s->easy, CURLOPT_HTTPHEADER, s->headers);
    if (s->parts == PARTS_NO)
        curl_easy_setopt(s->easy, CURLOPT_RANGE, NULL);
    else {
        if (r->end == UINT64_MAX)
            snprintf(range, sizeof range, "%llu-", (unsigned long long)r->pos);
        else
            snprintf(range, sizeof range, "%llu-%llu", (unsigned long long)r->pos,
                     (unsigned long long)r->end - 1);
        curl_easy_setopt(s->easy, CURLOPT_RANGE, range);
    }
    s->requests++;
    if (s->state == HTTP_IDLE)
        set_state(s, HTTP_LOADING, "");
    fv_log(FV_DEBUG, "%s: bytes %llu-%lld", s->text, (unsigned long long)r->pos,
           r->end == UINT64_MAX ? -1 : (long long)r->end - 1);
    curl_multi_add_handle(s->multi, s->easy);
}

/* Whether there is something to ask for now; *until: when to look again. */
static void next_request(struct http_source *s, double now, double *until)
{
    uint64_t at, end;
    if (s->state == HTTP_FAILED || s->state == HTTP_CHANGED)
        return;
    if (now < s->not_before) {
        *until = s->not_before - now;
        return;
    }
    if (!s->answered) {
        start_request(s, 0, 64 << 10, false);
        return;
    }
    if (next_bytes(s, &at, &end)) {
        double span = s->bandwidth * 2;
        uint64_t most = span < (double)least_span  ? least_span
                        : span > (double)most_span ? most_span
                                                   : (uint64_t)span;
        end = end - at > most ? at + most : end;
        end = (end + BLOCK_SIZE - 1) / BLOCK_SIZE * BLOCK_SIZE;
        if (end > s->size)
            end = s->o.live > 0 && s->need.offset + s->need.size > s->size ? end : s->size;
        for (uint64_t b = at / BLOCK_SIZE * BLOCK_SIZE + BLOCK_SIZE; b < end; b += BLOCK_SIZE)
            if (blocks_have(&s->blocks, b, BLOCK_SIZE) == BLOCK_SIZE)
                end = b; /* from there on it is there */
        start_request(s, at, end, false);
        return;
    }
    /* past the end of a file that may grow? */
    bool past = s->need.size && s->size != UINT64_MAX && s->need.offset + s->need.size > s->size;
    if (past && may_grow(s)) {
        set_state(s, HTTP_GROWING, "");
        if (now >= s->poll_at) {
            s->poll_at = now + poll_seconds;
            start_request(s, blocks_hole(&s->blocks, s->size), s->size + most_span, true);
        } else {
            *until = s->poll_at - now;
        }
        return;
    }
    if (past)
        tell(s); /* it has ended */
    set_state(s, HTTP_IDLE, "");
}

static double jitter(struct http_source *s)
{
    /* so that many players do not come back at the same moment */
    uint64_t seed = (uint64_t)(fv_now() * 1e6) ^ (uintptr_t)s;
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return 0.75 + 0.5 * (double)(seed >> 40) / (double)(1 << 24);
}

/* Tries it again later, or not any more. */
static void fail_request(struct http_source *s, const char *problem, bool fatal, double asked)
{
    char text[256];
    s->failures++;
    /* a server that never answered may not exist */
    unsigned most = s->answered || s->o.retries < 2 ? s->o.retries : 2;
    if (fatal || s->failures > most) {
        if (fatal)
            snprintf(text, sizeof text, "%s", problem);
        else
            snprintf(text, sizeof text, "%.200s; tried %u times", problem, s->failures);
        set_state(s, HTTP_FAILED, text);
        return;
    }
    double wait = s->o.retry_seconds * exp2(s->failures - 1);
    wait = (wait < most_backoff ? wait : most_backoff) * jitter(s);
    if (asked > wait)
        wait = asked < most_asked_wait ? asked : most_asked_wait;
    s->not_before = fv_now() + wait;
    s->retries++;
    snprintf(text, sizeof text, "%.160s; again in %.1f s (%u of %u)", problem, wait, s->failures,
             most);
    set_state(s, HTTP_RETRYING, text);
    fv_log(FV_INFO, "%s: %s", s->text, text);
}

/* The transfer has ended, by itself or because we gave it up. */
static void end_request(struct http_source *s, CURLcode code)
{
    struct request *r = &s->r;
    bool fatal = false;
    r->active = false;
    if (s->restart || s->stop || s->state == HTTP_CHANGED)
        return;
    if (code == CURLE_OK && !r->judged && !r->problem[0] && !r->moved)
        judge(s); /* an answer without a body */
    if (s->state == HTTP_CHANGED)
        return;
    if (r->problem[0]) {
        fail_request(s, r->problem, r->fatal, r->retry_after);
        return;
    }
    if (r->moved)
        return;
    if (code == CURLE_OK || r->refused) {
        if (s->parts == PARTS_NO && code == CURLE_OK && r->length == UINT64_MAX &&
            r->status == 200 && !(s->size != UINT64_MAX && r->pos < s->size)) {
            s->size = r->pos; /* now it is known */
            tell(s);
        }
        if (r->poll && !r->got && s->still_since <= 0)
            s->still_since = fv_now();
        if (r->got)
            s->still_since = 0;
        if (!r->poll && !r->got && !r->refused && s->size > 0) {
            fail_request(s, "the server sent nothing", false, 0);
            return;
        }
        if (s->state == HTTP_RETRYING || s->state == HTTP_CONNECTING)
            set_state(s, HTTP_LOADING, "");
        return;
    }
    if (code == CURLE_WRITE_ERROR && r->pos >= r->end)
        return;
    switch (code) {
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_TOO_MANY_REDIRECTS:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_OUT_OF_MEMORY:
        fatal = true;
        break;
    default:
        break;
    }
    fail_request(s, r->error[0] ? r->error : curl_easy_strerror(code), fatal, 0);
}

/* What the thread does between two looks at curl: gives up a transfer that stalls, that something more
 * urgent stands behind, or goes on with one that paused. Returns seconds until the next look. */
static double oversee(struct http_source *s)
{
    struct request *r = &s->r;
    double now = fv_now(), until = 1;
    uint64_t at;
    if (!r->active) {
        next_request(s, now, &until);
        return r->active ? 0 : until;
    }
    if (r->paused && !too_far(s)) {
        r->paused = false;
        r->last = now;
        pthread_mutex_unlock(&s->lock);
        curl_easy_pause(s->easy, CURLPAUSE_CONT); /* calls back */
        pthread_mutex_lock(&s->lock);
    }
    bool stalled = !r->paused && now - r->last > s->o.stall_seconds &&
                   now - r->began > s->o.connect_seconds * (r->status ? 0 : 1);
    /* something that a reader waits for and that does not come soon: a new connection costs, too */
    bool urgent = r->judged && s->need.size && missing(s, s->need.offset, s->need.size, &at);
    if (urgent && s->parts == PARTS_YES) {
        uint64_t before = at < r->pos || at >= r->end ? r->end - r->pos : at - r->pos;
        urgent = (double)before > TAIL + s->bandwidth * 0.3;
    } else {
        urgent = urgent && at < r->pos;
    }
    if (stalled)
        give_up(r, false, "no byte came for %.3g s", s->o.stall_seconds);
    if (stalled || urgent || s->restart) {
        r->moved = urgent && !stalled;
        curl_multi_remove_handle(s->multi, s->easy);
        end_request(s, CURLE_OK);
        return 0;
    }
    return r->paused ? 0.2 : fmin(0.25, s->o.stall_seconds / 4);
}

static void forget(struct http_source *s)
{
    blocks_clear(&s->blocks);
    s->size = UINT64_MAX;
    s->answered = s->has_version = false;
    s->version = (struct version){0};
    s->parts = PARTS_UNKNOWN;
    s->need = (struct gs_range){0};
    s->want_count = 0;
    s->read_to = s->in_row = s->furthest = 0;
    s->failures = 0;
    s->still_since = s->not_before = s->poll_at = 0;
    set_state(s, HTTP_CONNECTING, "");
}

static void *run(void *ud)
{
    struct http_source *s = ud;
    pthread_mutex_lock(&s->lock);
    while (!s->stop) {
        s->restart = s->restart && s->r.active;
        double wait = oversee(s);
        pthread_mutex_unlock(&s->lock);
        int running, left;
        CURLMsg *m;
        if (s->r.active)
            curl_multi_perform(s->multi, &running);
        bool ended = false;
        CURLcode code = CURLE_OK;
        while ((m = curl_multi_info_read(s->multi, &left)))
            if (m->msg == CURLMSG_DONE) {
                ended = true;
                code = m->data.result;
            }
        if (ended)
            curl_multi_remove_handle(s->multi, s->easy);
        else if (wait > 0)
            curl_multi_poll(s->multi, NULL, 0, (int)ceil(1000 * wait), NULL);
        pthread_mutex_lock(&s->lock);
        if (ended)
            end_request(s, code);
    }
    if (s->r.active)
        curl_multi_remove_handle(s->multi, s->easy);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- the source ---- */

static int missing_for(struct http_source *s, uint64_t at)
{
    if (s->state == HTTP_FAILED || s->state == HTTP_CHANGED)
        return fv_fail(FV_EIO, "%s: %s", s->text, s->problem);
    s->seen = s->news;
    return fv_fail(FV_EAGAIN, "%s: byte %llu has not arrived yet", s->text, (unsigned long long)at);
}

static int source_info(void *ud, struct gs_source_info *out)
{
    struct http_source *s = ud;
    int rc = 0;
    pthread_mutex_lock(&s->lock);
    if (!s->answered || s->state == HTTP_CHANGED)
        rc = missing_for(s, 0);
    else
        *out = (struct gs_source_info){
            .size = s->size, .grows = may_grow(s), .in_order = s->parts == PARTS_NO};
    pthread_mutex_unlock(&s->lock);
    return rc;
}

static int source_read(void *ud, uint64_t offset, void *dst, size_t size, size_t *got)
{
    struct http_source *s = ud;
    int rc = 0;
    pthread_mutex_lock(&s->lock);
    *got = blocks_get(&s->blocks, offset, dst, size);
    s->in_row = offset == s->read_to ? s->in_row + *got : *got;
    s->read_to = offset + *got;
    bool end = s->answered && s->size != UINT64_MAX && offset + *got >= s->size;
    bool wake = false;
    if (*got == size) {
        s->need.size = 0;
    } else if (end && s->state != HTTP_CHANGED && s->state != HTTP_FAILED && !may_grow(s)) {
        s->need.size = 0;
    } else {
        wake = s->need.offset != offset || s->need.size != size;
        s->need = (struct gs_range){offset, size};
        rc = missing_for(s, offset + *got);
    }
    pthread_mutex_unlock(&s->lock);
    if (wake)
        curl_multi_wakeup(s->multi);
    return rc;
}

static void source_want(void *ud, const struct gs_range *ranges, size_t count)
{
    struct http_source *s = ud;
    pthread_mutex_lock(&s->lock);
    if (count > s->want_room) {
        struct gs_range *more = realloc(s->want, count * sizeof *more);
        if (more) {
            s->want = more;
            s->want_room = count;
        }
    }
    s->want_count = count < s->want_room ? count : s->want_room;
    if (s->want_count)
        memcpy(s->want, ranges, s->want_count * sizeof *ranges);
    pthread_mutex_unlock(&s->lock);
    curl_multi_wakeup(s->multi);
}

static uint64_t source_have(void *ud, uint64_t offset)
{
    struct http_source *s = ud;
    pthread_mutex_lock(&s->lock);
    uint64_t n = blocks_have(&s->blocks, offset, UINT64_MAX - offset);
    pthread_mutex_unlock(&s->lock);
    return n;
}

struct gs_source http_source_as(struct http_source *s)
{
    return (struct gs_source){s, source_info, source_read, source_want, source_have, NULL};
}

void http_source_wait(struct http_source *s, double seconds)
{
    double until = fv_now() + seconds;
    pthread_mutex_lock(&s->lock);
    while (s->news == s->seen && fv_cond_wait_until(&s->changed, &s->lock, until))
        ;
    pthread_mutex_unlock(&s->lock);
}

void http_source_stats(struct http_source *s, struct http_stats *out)
{
    pthread_mutex_lock(&s->lock);
    *out = (struct http_stats){.state = s->state,
                               .size = s->size == UINT64_MAX ? 0 : s->size,
                               .received = s->received,
                               .kept = s->blocks.kept,
                               .bandwidth = s->bandwidth,
                               .requests = s->requests,
                               .retries = s->retries,
                               .ranges = s->parts == PARTS_YES};
    snprintf(out->text, sizeof out->text, "%s",
             s->problem[0]                  ? s->problem
             : s->state == HTTP_CONNECTING ? "connecting"
             : s->state == HTTP_GROWING    ? "waiting for what is still written"
                                            : "");
    pthread_mutex_unlock(&s->lock);
}

void http_source_restart(struct http_source *s)
{
    pthread_mutex_lock(&s->lock);
    forget(s); /* at once: who reads now shall not be told of the old file */
    s->restart = s->r.active;
    pthread_mutex_unlock(&s->lock);
    curl_multi_wakeup(s->multi);
}

/* ---- its life ---- */

static void init_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static void free_source(struct http_source *s)
{
    if (s->easy)
        curl_easy_cleanup(s->easy);
    if (s->multi)
        curl_multi_cleanup(s->multi);
    curl_slist_free_all(s->headers);
    blocks_clear(&s->blocks);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s->want);
    free(s->url);
    free(s);
}

int http_source_open(struct http_source **out, const char *url, const struct http_opts *opts)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    *out = NULL;
    if (!http_is_url(url))
        return fv_fail(FV_EINVALID, "%s: not an http:// or https:// address", url);
    pthread_once(&once, init_curl);
    struct http_source *s = calloc(1, sizeof *s);
    if (!s)
        return fv_fail(FV_ENOMEM, "out of memory");
    s->o = *opts;
    s->o.connect_seconds = s->o.connect_seconds > 0 ? s->o.connect_seconds : 10;
    s->o.stall_seconds = s->o.stall_seconds > 0 ? s->o.stall_seconds : 15;
    s->o.retry_seconds = s->o.retry_seconds > 0 ? s->o.retry_seconds : 0.5;
    s->o.retries = s->o.retries ? s->o.retries : 6;
    s->o.ahead = s->o.ahead ? s->o.ahead : 4 << 20;
    s->blocks.room = s->o.room = s->o.room ? s->o.room : 256 << 20;
    s->size = UINT64_MAX;
    pthread_mutex_init(&s->lock, NULL);
    fv_cond_init(&s->changed);
    http_url_text(s->text, sizeof s->text, url);
    s->url = strdup(url);
    s->multi = curl_multi_init();
    s->easy = curl_easy_init();
    if (!s->url || !s->multi || !s->easy || pthread_create(&s->thread, NULL, run, s)) {
        int rc = fv_fail(FV_ENOMEM, "%s: nothing to load it with", s->text);
        free_source(s);
        return rc;
    }
    *out = s;
    return 0;
}

void http_source_close(struct http_source **s_)
{
    struct http_source *s = *s_;
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_mutex_unlock(&s->lock);
    curl_multi_wakeup(s->multi);
    pthread_join(s->thread, NULL);
    free_source(s);
    *s_ = NULL;
}

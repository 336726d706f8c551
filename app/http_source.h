/* The bytes of a file on a web server as a source of a stream (gs.h), by libcurl in a thread of its
 * own: ranges where the server has them, else from the start on; kept in memory up to a bound.
 *
 *     FV_TRY(http_source_open(&http, "https://host/talk.fvv", &(struct http_opts){0}));
 *     struct gs_source source = http_source_as(http);
 *     while ((rc = gs_stream_open_source(&stream, &source, name)) == FV_EAGAIN)
 *         http_source_wait(http, 0.1);
 *     ...
 *     gs_stream_close(&stream);
 *     http_source_close(&http);
 *
 * What goes wrong on the way (no connection, a drop, a stall, 408, 429, 5xx) is tried again after a
 * time that doubles, from the byte that came last. A file that changes meanwhile is noticed by its
 * ETag, date and size, without those by comparing bytes at the seams. */
#ifndef HTTP_SOURCE_H
#define HTTP_SOURCE_H

#include "gs/gs.h"

struct http_opts {
    double connect_seconds; /* default 10 */
    double stall_seconds;   /* without a byte, then it is tried again; default 15 */
    double retry_seconds;   /* before the first retry; doubles up to 16 s; default 0.5 */
    unsigned retries;       /* in a row that bring not one byte; default 6 */
    double live;            /* the file may grow until nothing came for so many seconds; 0: it is as it is */
    uint64_t room;          /* bytes kept; default 256 Mi */
    uint64_t ahead;         /* bytes read ahead while nobody says what will be wanted; default 4 Mi */
    const char *ca_file;    /* certificates to trust in place of the system's; NULL */
};

enum http_state {
    HTTP_CONNECTING, /* nothing has come yet */
    HTTP_LOADING,
    HTTP_IDLE,       /* what is wanted is there */
    HTTP_GROWING,    /* at the end of what is written so far */
    HTTP_RETRYING,
    HTTP_FAILED,     /* for good: what is missing is an error */
    HTTP_CHANGED,    /* another file is there now: all reads fail until http_source_restart */
};

struct http_stats {
    enum http_state state;
    char text[256];     /* the state for a person: "", "connection lost; again in 0.9 s (2 of 6)" */
    uint64_t size;      /* of the file; 0: not known */
    uint64_t received;  /* bytes over the network */
    uint64_t kept;      /* bytes in memory */
    double bandwidth;   /* bytes a second, over the last few seconds of loading; 0: not known */
    unsigned requests, retries;
    bool ranges;        /* the server sends parts */
};

struct http_source;

/* http:// or https://. */
bool http_is_url(const char *path);
/* The URL without user, password and query, for messages and logs. */
void http_url_text(char *out, size_t size, const char *url);
/* Starts the thread; never waits. FV_ENOMEM, FV_EINVALID (no URL). */
int http_source_open(struct http_source **out, const char *url, const struct http_opts *opts);
/* Accepts NULL. No stream may use it any more. */
void http_source_close(struct http_source **s);
struct gs_source http_source_as(struct http_source *s);
/* Returns when bytes have come or the state has changed, at the latest after so many seconds. */
void http_source_wait(struct http_source *s, double seconds);
/* From any thread. */
void http_source_stats(struct http_source *s, struct http_stats *out);
/* After HTTP_CHANGED or HTTP_FAILED: forgets all bytes and begins anew. No stream may use it. */
void http_source_restart(struct http_source *s);

#endif

/* Errors: a negative code, and one sentence kept per thread.
 *
 * Functions that can fail return int: 0 (or a documented value >= 0) or one of the codes
 * below, after storing a sentence that names the file, the field and, where there is one,
 * the fix. Only app/main.c prints it.
 *
 *     int load(const char *path)
 *     {
 *         struct fv_map map;
 *         FV_TRY(fv_map_open(&map, path));
 *         if (map.size < 16)
 *             return fv_map_close(&map), fv_fail(FV_EFORMAT, "%s: shorter than a header", path);
 *         ...
 *     }
 */
#ifndef FV_ERR_H
#define FV_ERR_H

enum fv_code {
    FV_OK = 0,
    FV_ENOMEM = -1,       /* host memory */
    FV_EGPUMEM = -2,      /* device memory */
    FV_EIO = -3,          /* the operating system refused a file operation */
    FV_EFORMAT = -4,      /* contents are not what the format says */
    FV_EUNSUPPORTED = -5, /* valid, but not handled here */
    FV_EINVALID = -6,     /* an argument of the caller's */
    FV_EDEVICE = -7,      /* device lost, missing, or lacking a feature */
    FV_ECANCELLED = -8,   /* a progress callback or Ctrl-C asked to stop */
    FV_EAGAIN = -9,       /* what is wanted has not arrived yet: ask again */
};

/* Stores the message for this thread and returns code. */
int fv_fail(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Puts context before the stored message: "loading a.ply: " + previous. Returns code. */
int fv_wrap(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* This thread's last message; "" if none. Valid until the thread's next fv_fail/fv_wrap. */
const char *fv_error(void);
/* A short word for a code: "out of memory", "bad format" ... */
const char *fv_code_name(int code);

#define FV_TRY(x)                                                                                  \
    do {                                                                                           \
        int fv_rc_ = (x);                                                                          \
        if (fv_rc_ < 0)                                                                            \
            return fv_rc_;                                                                         \
    } while (0)
/* For functions with an `int rc` and a `done:` label. */
#define FV_GOTO(x)                                                                                 \
    do {                                                                                           \
        rc = (x);                                                                                  \
        if (rc < 0)                                                                                \
            goto done;                                                                             \
    } while (0)

/* Progress of long work. A callback that returns non-zero cancels: the work stops at the
 * next safe point and returns FV_ECANCELLED. */
struct fv_progress {
    const char *what;   /* "reading", "sorting" ... */
    double done, total; /* any unit; total 0 = unknown */
};
typedef int (*fv_progress_fn)(void *ud, const struct fv_progress *p);

#endif

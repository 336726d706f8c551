/* Log lines for a person: what the program decided, warnings. Errors are not logged, they
 * are returned (err.h). The sink is one process-wide callback, silent by default. */
#ifndef FV_LOG_H
#define FV_LOG_H

enum fv_level { FV_WARN, FV_INFO, FV_DEBUG };

typedef void (*fv_log_fn)(void *ud, enum fv_level level, const char *text);
/* Set once, before threads start; fn NULL silences. */
void fv_log_sink(fv_log_fn fn, void *ud, enum fv_level most);
void fv_log(enum fv_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif

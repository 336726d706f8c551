/* The log sink (log.h): the one process-wide variable of the library. */
#include "vk/base/log.h"

#include <stdarg.h>
#include <stdio.h>

static fv_log_fn sink;
static void *sink_ud;
static enum fv_level sink_most;

void fv_log_sink(fv_log_fn fn, void *ud, enum fv_level most)
{
    sink = fn;
    sink_ud = ud;
    sink_most = most;
}

void fv_log(enum fv_level level, const char *fmt, ...)
{
    if (!sink || level > sink_most)
        return;
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    sink(sink_ud, level, text);
}

/* Thread-local error text (err.h). */
#include "vk/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char message[1024];

int fv_fail(int code, const char *fmt, ...)
{
    char text[sizeof message]; /* the arguments may point into message */
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    memcpy(message, text, sizeof text);
    return code;
}

int fv_wrap(int code, const char *fmt, ...)
{
    char text[sizeof message];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n < 0)
        n = 0;
    if ((size_t)n < sizeof text)
        snprintf(text + n, sizeof text - (size_t)n, "%s", message);
    memcpy(message, text, sizeof text);
    return code;
}

const char *fv_error(void)
{
    return message;
}

const char *fv_code_name(int code)
{
    switch (code) {
    case FV_OK:
        return "ok";
    case FV_ENOMEM:
        return "out of memory";
    case FV_EGPUMEM:
        return "out of device memory";
    case FV_EIO:
        return "input/output error";
    case FV_EFORMAT:
        return "bad format";
    case FV_EUNSUPPORTED:
        return "not supported";
    case FV_EINVALID:
        return "invalid argument";
    case FV_EDEVICE:
        return "device error";
    case FV_ECANCELLED:
        return "cancelled";
    case FV_EAGAIN:
        return "not there yet";
    default:
        return "unknown error";
    }
}

/* libav's own messages: the last error line is kept for our sentences, the rest is logged. */
#include "app/video.h"
#include "vk/base/log.h"

#include <libavutil/log.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char last_error[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void on_message(void *obj, int level, const char *fmt, va_list args)
{
    char text[256];
    int prefix = 1;
    if (level > AV_LOG_WARNING)
        return;
    av_log_format_line2(obj, level, fmt, args, text, sizeof text, &prefix);
    text[strcspn(text, "\r\n")] = 0;
    char *bare = strstr(text, "] "); /* "[libx264 @ 0x55..] message" */
    bare = bare ? bare + 2 : text;
    if (level <= AV_LOG_ERROR) {
        pthread_mutex_lock(&lock);
        snprintf(last_error, sizeof last_error, "%s", bare);
        pthread_mutex_unlock(&lock);
    }
    fv_log(FV_DEBUG, "libav: %s", bare);
}

static void set_up(void)
{
    av_log_set_callback(on_message);
    setenv("SVT_LOG", "1", 0); /* SVT-AV1 writes to standard error past libav */
}

void video_quiet_libav(void)
{
    pthread_once(&once, set_up);
    pthread_mutex_lock(&lock);
    last_error[0] = 0;
    pthread_mutex_unlock(&lock);
}

void video_last_libav_error(char *out, size_t size)
{
    pthread_mutex_lock(&lock);
    snprintf(out, size, "%s", last_error);
    pthread_mutex_unlock(&lock);
}

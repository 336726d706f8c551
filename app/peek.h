/* Small pictures of clips, and of previews of one that is being made, read by a thread of its own. Each file
 * asked for comes back once, in order.
 *
 *     FV_TRY(peek_start(&p, window_wake));
 *     peek_ask(p, "out.mp4", tag);
 *     while (peek_poll(p, &got)) ... got.thumbs[0] ...
 *     peek_stop(&p);
 */
#ifndef APP_PEEK_H
#define APP_PEEK_H

#include "app/ui.h"

enum { PEEK_THUMBS = 3 };

struct peeked {
    char path[1024];
    int tag;                /* as asked */
    bool found;             /* false: it is gone or damaged */
    struct ui_thumb thumbs[PEEK_THUMBS]; /* of a video its middle; of a picture three times as wide as high or
                                            wider its thirds */
    int count;
    uint32_t width, height, frames; /* frames 0: unknown, or a picture */
    double seconds;
    char prompt[512];       /* of the video's settings; "" = none */
};

struct peek;
int peek_start(struct peek **out, void (*wake)(void));
void peek_stop(struct peek **p); /* accepts NULL */
/* What is too much is forgotten: false. */
bool peek_ask(struct peek *p, const char *path, int tag);
bool peek_poll(struct peek *p, struct peeked *out);

#endif

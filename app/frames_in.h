/* Pictures to compare, one after the other: a picture or .npy, a video, or a folder of
 * pictures in order of their names. */
#ifndef FRAMES_IN_H
#define FRAMES_IN_H

#include "app/image_io.h"
#include "vk/base/file.h"

#include <stdbool.h>

struct frames_in {
    struct video_in *video; /* one of the three */
    struct fv_paths names;  /* folder: sorted */
    const char *single;     /* a picture; borrowed */
    size_t at;              /* next */
    struct image frame;     /* what frames_in_next read; valid until the next call */
};

int frames_in_open(struct frames_in *f, const char *path);
/* 1 and f->frame filled (1 or 3 channels; alpha is dropped), 0 at the end, or a code. */
int frames_in_next(struct frames_in *f);
void frames_in_finish(struct frames_in *f);

#endif

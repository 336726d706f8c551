/* Pictures to compare (frames_in.h). */
#include "app/frames_in.h"
#include "app/video.h"

#include <stdlib.h>
#include <string.h>

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_folder(struct frames_in *f, const char *path)
{
    FV_TRY(fv_paths_add_dir(&f->names, path, image_has_suffix));
    if (!f->names.count)
        return fv_fail(FV_EFORMAT, "%s: no pictures in this folder", path);
    qsort(f->names.items, f->names.count, sizeof *f->names.items, by_text);
    return 0;
}

int frames_in_open(struct frames_in *f, const char *path)
{
    *f = (struct frames_in){0};
    int rc = 0;
    if (fv_is_dir(path))
        rc = list_folder(f, path);
    else if (image_is_picture(path) || image_has_suffix(path))
        f->single = path;
    else
        rc = video_in_open(&f->video, path);
    if (rc < 0)
        frames_in_finish(f);
    return rc;
}

static int next_video(struct frames_in *f)
{
    const struct video_info *i = video_in_info(f->video);
    if (!f->frame.data) {
        f->frame = (struct image){i->width, i->height, 3, NULL};
        f->frame.data = malloc((size_t)i->width * i->height * 3 * sizeof(float));
        if (!f->frame.data)
            return fv_fail(FV_ENOMEM, "out of memory for a frame of %ux%u", i->width, i->height);
    }
    return video_in_read(f->video, f->frame.data);
}

static void drop_alpha(struct image *i)
{
    size_t n = (size_t)i->width * i->height;
    if (i->channels != 4)
        return;
    for (size_t p = 0; p < n; p++)
        memmove(i->data + 3 * p, i->data + 4 * p, 3 * sizeof(float));
    i->channels = 3;
}

int frames_in_next(struct frames_in *f)
{
    if (f->video)
        return next_video(f);
    size_t count = f->single ? 1 : f->names.count;
    if (f->at >= count)
        return 0;
    image_finish(&f->frame);
    FV_TRY(image_load(&f->frame, f->single ? f->single : f->names.items[f->at]));
    drop_alpha(&f->frame);
    f->at++;
    return 1;
}

void frames_in_finish(struct frames_in *f)
{
    fv_paths_finish(&f->names);
    video_in_close(&f->video);
    image_finish(&f->frame);
    *f = (struct frames_in){0};
}

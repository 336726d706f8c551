/* Where the frames of a QUEEN model are (queen.h): FOLDER/frames/NNNN or FOLDER/NNNN, each with
 * compressed/point_cloud.pkl but the first, which is a scene. */
#include "gs/gs.h"

#include <stdlib.h>
#include <string.h>

/* The number a folder's name is, or -1. */
static long number_of(const char *name)
{
    char *end;
    if (*name < '0' || *name > '9' || strlen(name) > 9)
        return -1;
    long n = strtol(name, &end, 10);
    return *end ? -1 : n;
}

static int by_number(const void *a, const void *b)
{
    long x = number_of(fv_path_base(*(char *const *)a));
    long y = number_of(fv_path_base(*(char *const *)b));
    return (x > y) - (x < y);
}

static bool is_numbered(const char *name)
{
    return number_of(name) >= 0;
}

/* The numbered folders in dir, in order. */
static int list(struct gs_queen_files *out, const char *dir)
{
    struct fv_paths p = {0};
    int rc = fv_is_dir(dir) ? fv_paths_add_dir(&p, dir, is_numbered) : 0;
    for (size_t i = 0; i < p.count; i++)
        if (fv_is_dir(p.items[i]))
            p.items[out->count++] = p.items[i];
        else
            free(p.items[i]);
    out->frames = p.items;
    if (out->count)
        qsort(out->frames, out->count, sizeof *out->frames, by_number);
    return rc;
}

/* Folders into the files in them; the first stays a folder (gs_scene_load). */
static int name_files(struct gs_queen_files *out)
{
    for (size_t i = 1; i < out->count; i++) {
        long before = number_of(fv_path_base(out->frames[0])) + (long)i - 1;
        if (number_of(fv_path_base(out->frames[i])) != before + 1)
            return fv_fail(FV_EFORMAT,
                           "%s: comes after frame %ld: one is missing, and each needs "
                           "the one before",
                           out->frames[i], before);
    }
    for (size_t i = 1; i < out->count; i++) {
        char *file = fv_path_join(out->frames[i], "compressed/point_cloud.pkl");
        if (!file)
            return fv_fail(FV_ENOMEM, "out of memory");
        free(out->frames[i]);
        out->frames[i] = file;
        if (!fv_exists(file))
            return fv_fail(FV_EIO,
                           "%s: no such file; frames trained without --log_compressed have "
                           "none",
                           file);
    }
    return 0;
}

int gs_queen_find(struct gs_queen_files *out, const char *folder)
{
    *out = (struct gs_queen_files){0};
    if (!fv_is_dir(folder))
        return fv_fail(FV_EIO, "%s: no such folder", folder);
    char *frames = fv_path_join(folder, "frames");
    if (!frames)
        return fv_fail(FV_ENOMEM, "out of memory");
    int rc = list(out, fv_is_dir(frames) ? frames : folder);
    free(frames);
    if (rc >= 0 && !out->count)
        rc = fv_fail(FV_EFORMAT, "%s: no numbered frames in it: not a QUEEN model", folder);
    if (rc >= 0)
        rc = name_files(out);
    if (rc < 0)
        gs_queen_files_finish(out);
    return rc;
}

void gs_queen_files_finish(struct gs_queen_files *f)
{
    for (size_t i = 0; i < f->count; i++)
        free(f->frames[i]);
    free(f->frames);
    *f = (struct gs_queen_files){0};
}

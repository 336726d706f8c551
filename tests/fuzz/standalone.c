/* Replays corpus files through a fuzz target under any compiler: fuzz_ply FILE|FOLDER... */
#include "fuzz.h"
#include "vk/base/file.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

static int replay(const char *path)
{
    struct fv_map map;
    if (fv_map_open(&map, path) < 0) {
        fprintf(stderr, "%s\n", fv_error());
        return 1;
    }
    /* a heap copy of exactly that size, so that a sanitizer sees one byte too far */
    uint8_t *copy = malloc(map.size ? map.size : 1);
    if (!copy)
        return 1;
    if (map.size)
        memcpy(copy, map.data, map.size);
    size_t size = map.size;
    fv_map_close(&map);
    printf("%s\n", path);
    fflush(stdout);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    return 0;
}

static int replay_folder(const char *path, int *count)
{
    DIR *d = opendir(path);
    int bad = !d;
    for (struct dirent *e; d && (e = readdir(d));) {
        char *file = e->d_name[0] == '.' ? NULL : fv_path_join(path, e->d_name);
        if (!file)
            continue;
        bad |= replay(file);
        ++*count;
        free(file);
    }
    if (d)
        closedir(d);
    return bad;
}

int main(int argc, char **argv)
{
    int bad = 0, count = 0;
    for (int i = 1; i < argc; i++) {
        if (fv_is_dir(argv[i])) {
            bad |= replay_folder(argv[i], &count);
        } else {
            bad |= replay(argv[i]);
            count++;
        }
    }
    if (!count)
        fprintf(stderr, "no corpus file found\n");
    return bad || !count;
}

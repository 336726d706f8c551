/* A folder in /tmp for targets whose input is one file among others; gone at exit. */
#ifndef FUZZ_FOLDER_H
#define FUZZ_FOLDER_H

#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char fuzz_folder[64];

/* Valid until the next call. */
static inline const char *fuzz_path(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", fuzz_folder, name);
    return path;
}

static inline void fuzz_folder_remove(void)
{
    DIR *d = opendir(fuzz_folder);
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.')
            unlink(fuzz_path(e->d_name));
    if (d)
        closedir(d);
    rmdir(fuzz_folder);
}

static inline void fuzz_write(const char *name, const void *data, size_t size)
{
    FILE *f = fopen(fuzz_path(name), "wb");
    fuzz_check(f && fwrite(data, 1, size, f) == size);
    fclose(f);
}

/* True the first time: what does not change is then to be written. The fuzzer runs in one thread. */
static inline bool fuzz_folder_make(void)
{
    if (*fuzz_folder)
        return false;
    strcpy(fuzz_folder, "/tmp/fovea-fuzz-XXXXXX");
    fuzz_check(mkdtemp(fuzz_folder));
    atexit(fuzz_folder_remove);
    return true;
}

#endif

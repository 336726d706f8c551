/* Files of a model that are not quantised (quantize.h). */
#include "app/quantize.h"
#include "vk/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool quantize_is_not_weights(const char *name)
{
    static const char *const ends[] = {".safetensors", ".bin",  ".pt",      ".pth",    ".ckpt", ".gguf",
                                       ".index.json",  ".part", ".journal", ".msgpack", ".h5"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (fv_ends_with(name, ends[i]))
            return false;
    return *name != '.';
}

bool quantize_is_tokenizer(const char *name)
{
    static const char *const names[] = {"spiece.model",     "tokenizer.json", "tokenizer_config.json",
                                        "tokenizer.model",  "vocab.json",     "merges.txt",
                                        "added_tokens.json", "special_tokens_map.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i]))
            return true;
    return false;
}

static int copy_bytes(const char *from, const char *to)
{
    struct fv_map map;
    struct fv_writer w = {0};
    FV_TRY(fv_map_open(&map, from));
    fv_remove_torn(to);
    int rc = fv_writer_open(&w, to);
    for (size_t at = 0; at < map.size && rc == 0; at += 1 << 24) {
        size_t n = map.size - at < 1 << 24 ? map.size - at : 1 << 24;
        fv_write(&w, map.data + at, n);
        fv_map_forget(&map, at, n);
    }
    if (rc == 0)
        rc = fv_writer_commit(&w);
    fv_map_close(&map);
    return rc;
}

static int one_file(const char *from, const char *folder, bool link)
{
    char *to = fv_path_join(folder, fv_path_base(from)), *whole = realpath(from, NULL), *there = to ? realpath(to, NULL) : NULL;
    int rc = 0;
    if (!to)
        rc = fv_fail(FV_ENOMEM, "out of memory");
    else if (!whole)
        rc = fv_fail(FV_EIO, "%s: %s", from, strerror(errno));
    else if (there && !strcmp(whole, there))
        rc = 0; /* linked before */
    else if (link) {
        unlink(to);
        if (symlink(whole, to) < 0)
            rc = fv_fail(FV_EIO, "%s: cannot be linked: %s", to, strerror(errno));
    } else {
        rc = copy_bytes(whole, to);
    }
    free(to);
    free(whole);
    free(there);
    return rc;
}

static bool any(const char *name)
{
    return *name != '.';
}

int quantize_copy(const char *from, const char *to, bool (*wanted)(const char *name), bool link)
{
    struct fv_paths list = {0};
    wanted = wanted ? wanted : any;
    FV_TRY(fv_make_dirs(to));
    if (!fv_is_dir(from))
        return wanted(fv_path_base(from)) ? one_file(from, to, link) : 0;
    int rc = fv_paths_add_dir(&list, from, wanted);
    for (size_t i = 0; i < list.count && rc == 0; i++)
        if (!fv_is_dir(list.items[i]))
            rc = one_file(list.items[i], to, link);
    fv_paths_finish(&list);
    return rc;
}

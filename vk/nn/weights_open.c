/* Opening weights by path (weights.h): a file, an index of several, a folder.
 *
 *   NAME.safetensors.index.json  {"metadata": {...}, "weight_map": {"TENSOR": "FILE", ...}}
 *   pytorch_model.bin.index.json  the same over checkpoints */
#include "vk/base/json.h"
#include "vk/nn/weights_private.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- several files behind an index ---- */

struct entry {
    const char *tensor; /* into the document */
    uint32_t part;
    bool found;
};

struct index {
    struct fv_json doc;
    struct entry *entries; /* by tensor */
    size_t count;
    const char *files[NN_FILE_MAX_PARTS];
    size_t file_count;
};

/* A file beside the index, so that a downloaded model cannot name files elsewhere. */
static bool is_plain_name(const char *name)
{
    return *name && *name != '.' && !strchr(name, '/') && !strchr(name, '\\');
}

static int file_number(struct index *x, struct fv_node n, uint32_t *out)
{
    const char *name = fv_node_string(n);
    if (!is_plain_name(name))
        return fv_json_fail(&x->doc, n,
                            "expected the name of a file beside this one, found '%.64s'", name);
    for (size_t i = x->file_count; i-- > 0;) /* neighbours mostly share a file */
        if (!strcmp(x->files[i], name)) {
            *out = (uint32_t)i;
            return 0;
        }
    if (x->file_count == NN_FILE_MAX_PARTS)
        return fv_json_fail(&x->doc, n, "names more than %d files", NN_FILE_MAX_PARTS);
    *out = (uint32_t)x->file_count;
    x->files[x->file_count++] = name;
    return 0;
}

static int by_tensor(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->tensor, ((const struct entry *)b)->tensor);
}

static int read_index(struct index *x, const char *path)
{
    FV_TRY(fv_json_open(&x->doc, path));
    struct fv_node map = fv_json_object(&x->doc, x->doc.root, "weight_map");
    size_t count = fv_node_count(map);
    if (x->doc.failed)
        return FV_EFORMAT;
    if (!count || count > NN_FILE_MAX_TENSORS)
        return fv_json_fail(&x->doc, map, "names %zu tensors, expected 1 to %d", count,
                            NN_FILE_MAX_TENSORS);
    x->entries = calloc(count, sizeof *x->entries);
    if (!x->entries)
        return fv_fail(FV_ENOMEM, "%s: out of memory", path);
    struct fv_node n = fv_node_at(map, 0);
    for (; x->count < count; n = fv_node_next(n, x->count)) {
        struct entry *e = &x->entries[x->count++];
        e->tensor = fv_node_key(n);
        FV_TRY(file_number(x, n, &e->part));
    }
    qsort(x->entries, count, sizeof *x->entries, by_tensor);
    for (size_t i = 1; i < count; i++)
        if (!strcmp(x->entries[i - 1].tensor, x->entries[i].tensor))
            return fv_json_fail(&x->doc, map, "names tensor '%.128s' twice", x->entries[i].tensor);
    return 0;
}

/* Keeps of the tensors from `first` on those that the index expects in this part. */
static void keep_listed(struct nn_file *f, size_t first, struct index *x, uint32_t part)
{
    size_t kept = first;
    for (size_t i = first; i < f->count; i++) {
        const struct entry key = {.tensor = f->tensors[i].name};
        struct entry *e = bsearch(&key, x->entries, x->count, sizeof key, by_tensor);
        if (!e || e->part != part || e->found)
            continue;
        e->found = true;
        f->tensors[kept++] = f->tensors[i];
    }
    f->count = kept;
}

static int add_index_metadata(struct nn_file *f, struct index *x)
{
    struct fv_node meta = fv_node_get(x->doc.root, "metadata"), n = fv_node_at(meta, 0);
    for (size_t i = 0, count = fv_node_count(meta); i < count; n = fv_node_next(n, ++i)) {
        const char *key = fv_node_key(n), *text = fv_node_string(n);
        if (fv_node_is_string(n))
            FV_TRY(nn_file_add_meta(f, key, strlen(key), text, strlen(text)));
        else if (fv_node_is_number(n))
            FV_TRY(nn_file_add_metaf(f, key, "%.17g", fv_node_number(n)));
    }
    return 0;
}

static int open_index(struct nn_file *f, struct index *x, const char *path,
                      const struct nn_file_opts *opts)
{
    FV_TRY(read_index(x, path));
    FV_TRY(nn_file_make_parts(f, x->file_count));
    FV_TRY(add_index_metadata(f, x));
    for (uint32_t i = 0; i < x->file_count; i++) {
        char *dir = fv_path_dir(path), *part = dir ? fv_path_join(dir, x->files[i]) : NULL;
        size_t first = f->count;
        int rc = part ? nn_file_open_part(f, part, opts) : fv_fail(FV_ENOMEM, "out of memory");
        free(part);
        free(dir);
        FV_TRY(rc);
        keep_listed(f, first, x, i);
    }
    for (size_t i = 0; i < x->count; i++)
        if (!x->entries[i].found)
            return fv_fail(FV_EFORMAT, "%s: tensor '%.128s' is not in %.128s, which should hold it",
                           path, x->entries[i].tensor, x->files[x->entries[i].part]);
    return 0;
}

/* ---- folders ---- */

static const char *const usual[] = {"diffusion_pytorch_model.safetensors.index.json",
                                    "model.safetensors.index.json",
                                    "diffusion_pytorch_model.safetensors",
                                    "model.safetensors",
                                    "weights.safetensors",
                                    "diffusion_pytorch_model.bin.index.json",
                                    "pytorch_model.bin.index.json",
                                    "diffusion_pytorch_model.bin",
                                    "pytorch_model.bin"};

static bool has_weight_suffix(const char *name)
{
    static const char *const suffixes[] = {
        ".safetensors", ".safetensors.index.json", ".bin.index.json", ".pth", ".pt", ".ckpt",
        ".gguf"};
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (fv_ends_with(name, suffixes[i]))
            return true;
    return false;
}

/* The only file in a folder that has the suffix of weights; says which there are if several. */
static int find_only(char **out, const char *dir)
{
    char list[256] = "";
    size_t count = 0;
    DIR *d = opendir(dir);
    if (!d)
        return fv_fail(FV_EIO, "%s: cannot be read", dir);
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.' || !has_weight_suffix(e->d_name))
            continue;
        size_t at = strlen(list);
        if (count++ < 3)
            snprintf(list + at, sizeof list - at, "%s%.70s", at ? ", " : "", e->d_name);
        free(*out);
        *out = fv_path_join(dir, e->d_name);
    }
    closedir(d);
    if (count == 1)
        return *out ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    if (!count)
        return fv_fail(FV_EIO,
                       "%s: no weights in this folder (.safetensors, .pth, .pt, .ckpt, "
                       ".gguf or pytorch_model.bin)",
                       dir);
    return fv_fail(FV_EINVALID, "%s: %zu weight files in this folder (%s%s); name one of them", dir,
                   count, list, count > 3 ? " ..." : "");
}

/* Caller frees *out, also after a failure. */
static int find_in_folder(char **out, const char *dir)
{
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        *out = fv_path_join(dir, usual[i]);
        if (!*out)
            return fv_fail(FV_ENOMEM, "out of memory");
        if (fv_exists(*out))
            return 0;
        free(*out);
        *out = NULL;
    }
    return find_only(out, dir);
}

/* ---- public ---- */

static int open_path(struct nn_file **out, const char *path, const struct nn_file_opts *opts)
{
    FV_TRY(nn_file_create(out, path));
    if (fv_ends_with(path, ".json")) {
        struct index *x = calloc(1, sizeof *x);
        int rc = x ? open_index(*out, x, path, opts) : fv_fail(FV_ENOMEM, "out of memory");
        if (x) {
            free(x->entries);
            fv_json_close(&x->doc);
        }
        free(x);
        FV_TRY(rc);
    } else {
        FV_TRY(nn_file_make_parts(*out, 1));
        FV_TRY(nn_file_open_part(*out, path, opts));
    }
    return nn_file_seal(*out);
}

int nn_file_open(struct nn_file **out, const char *path, const struct nn_file_opts *opts)
{
    char *inside = NULL;
    *out = NULL;
    int rc = fv_is_dir(path) ? find_in_folder(&inside, path) : 0;
    if (rc >= 0)
        rc = open_path(out, inside ? inside : path, opts);
    free(inside);
    if (rc < 0)
        nn_file_close(out);
    return rc;
}

bool nn_file_is_weights(const char *path)
{
    uint8_t head[16];
    char *inside = NULL;
    if (fv_is_dir(path)) {
        bool yes = find_in_folder(&inside, path) >= 0;
        free(inside);
        return yes;
    }
    if (has_weight_suffix(path))
        return true;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd < 0 ? -1 : read(fd, head, sizeof head);
    if (fd >= 0)
        close(fd);
    /* other things are archives too: of them only what is named like a checkpoint */
    return n > 0 && nn_file_begins(head, (size_t)n) &&
           (head[0] != 'P' || fv_ends_with(path, ".bin"));
}

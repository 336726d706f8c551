/* SOG with levels of detail: lod-meta.json (the format is PlayCanvas's).
 *
 *   lodLevels    number of levels, 0 the finest
 *   filenames    meta.json or .sog files, one or more a level
 *   environment  one more of them, or null: a sky that belongs to every level
 *   tree         {children: [...]} or {lods: {"0": {file, offset, count}, ...}}
 *
 * A level is gathered from the leaves; a leaf that lacks it gives its next finer one, else its
 * next coarser one. Files are read one at a time. */
#include "gs/sog.h"
#include "vk/base/json.h"
#include "vk/base/array.h"

#include <stdlib.h>
#include <string.h>

/* Gaussians [offset, offset + count) of a file. */
struct range {
    size_t file, offset, count;
};

struct lod {
    const char *path;
    char *dir;
    const struct gs_load_opts *opts;
    struct fv_json doc;
    size_t levels, wanted, files;
    struct range *ranges;
    size_t count, room;
};

/* ---- the tree ---- */

static int add_range(struct lod *l, struct fv_node ref)
{
    if (fv_grow(&l->ranges, &l->room, l->count, sizeof *l->ranges) < 0)
        return fv_wrap(FV_ENOMEM, "%s: ", l->path);
    l->ranges[l->count++] = (struct range){
        .file = (size_t)fv_json_int(&l->doc, ref, "file", 0, (long long)l->files - 1),
        .offset = (size_t)fv_json_int(&l->doc, ref, "offset", 0, UINT32_MAX),
        .count = (size_t)fv_json_int(&l->doc, ref, "count", 0, UINT32_MAX),
    };
    return l->doc.failed ? FV_EFORMAT : 0;
}

/* The level of a leaf to show when `wanted` is asked for. */
static struct fv_node choose_level(const struct lod *l, struct fv_node lods)
{
    char key[32];
    for (size_t level = l->wanted + 1; level-- > 0;) {
        snprintf(key, sizeof key, "%zu", level);
        if (fv_node_has(lods, key))
            return fv_node_get(lods, key);
    }
    for (size_t level = l->wanted + 1; level < l->levels; level++) {
        snprintf(key, sizeof key, "%zu", level);
        if (fv_node_has(lods, key))
            return fv_node_get(lods, key);
    }
    return (struct fv_node){0};
}

/* Depth is bounded by the JSON parser. */
static int walk(struct lod *l, struct fv_node node)
{
    if (!fv_node_is_object(node))
        return fv_json_fail(&l->doc, node, "expected an object");
    if (fv_node_has(node, "lods")) {
        struct fv_node lods = fv_json_object(&l->doc, node, "lods");
        struct fv_node ref = choose_level(l, lods);
        if (ref.item)
            FV_TRY(add_range(l, ref));
    }
    if (fv_node_has(node, "children")) {
        struct fv_node children = fv_json_array(&l->doc, node, "children");
        struct fv_node child = fv_node_at(children, 0);
        for (size_t i = 0; child.item; child = fv_node_next(child, ++i))
            FV_TRY(walk(l, child));
    }
    return l->doc.failed ? FV_EFORMAT : 0;
}

static int read_index(struct lod *l)
{
    struct fv_json *doc = &l->doc;
    struct fv_node root = doc->root;
    if (fv_node_has(root, "version") && fv_json_int(doc, root, "version", 0, 1000000) != 1 &&
        !doc->failed)
        return fv_fail(FV_EUNSUPPORTED, "%s: version %lld of lod-meta.json; version 1 is read",
                       l->path, fv_json_int(doc, root, "version", 0, 1000000));
    l->levels = (size_t)fv_json_int(doc, root, "lodLevels", 1, 64);
    struct fv_node files = fv_json_array(doc, root, "filenames");
    struct fv_node tree = fv_json_object(doc, root, "tree");
    if (doc->failed)
        return FV_EFORMAT;
    int level = l->opts ? l->opts->lod : 0;
    if (level < 0 || (size_t)level >= l->levels)
        return fv_fail(FV_EINVALID, "%s: has no level %d; its levels are 0 (finest) to %zu",
                       l->path, level, l->levels - 1);
    l->wanted = (size_t)level;
    l->files = fv_node_count(files);
    return walk(l, tree);
}

/* ---- the files ---- */

static int compare_ranges(const void *a, const void *b)
{
    const struct range *x = a, *y = b;
    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return x->count < y->count ? -1 : x->count > y->count;
}

static int read_file(struct gs_scene *out, const struct lod *l, const char *file)
{
    *out = (struct gs_scene){0};
    if (!gs_path_is_inside(file))
        return fv_fail(FV_EFORMAT, "%s: '%.64s' is not a file below its folder", l->path, file);
    if (fv_ends_with(file, "lod-meta.json"))
        return fv_fail(FV_EFORMAT, "%s: names the index '%.64s' where a scene belongs", l->path,
                       file);
    char *path = fv_path_join(l->dir, file), *dir = path ? fv_path_dir(path) : NULL;
    struct gs_blob blob = {0};
    int rc = dir ? gs_blob_open(&blob, path) : fv_fail(FV_ENOMEM, "%s: out of memory", l->path);
    if (rc == 0 && fv_ends_with(file, ".sog")) {
        rc = gs_read_sog(out, blob.data, blob.size, path, l->opts);
    } else if (rc == 0) {
        struct sog_source from = {.name = path, .dir = dir};
        rc = sog_read(out, &from, &blob, l->opts);
    }
    gs_blob_free(&blob);
    free(path);
    free(dir);
    return rc;
}

/* Keeps only the rows of n ranges of one file, which must lie inside it and apart. */
static int keep_ranges(struct gs_scene *s, const struct lod *l, const struct range *r, size_t n)
{
    size_t kept = 0, end = 0;
    for (size_t i = 0; i < n; i++) {
        if (r[i].offset < end && r[i].count)
            return fv_fail(FV_EFORMAT, "%s: tree: two leaves share Gaussian %zu of file %zu",
                           l->path, r[i].offset, r[i].file);
        if (r[i].offset > s->count || r[i].count > s->count - r[i].offset)
            return fv_fail(FV_EFORMAT,
                           "%s: tree: a leaf takes Gaussians %zu to %zu of file %zu, which "
                           "has %zu",
                           l->path, r[i].offset, r[i].offset + r[i].count, r[i].file, s->count);
        for (size_t k = 0; k < r[i].count; k++)
            gs_scene_move_row(s, kept++, r[i].offset + k);
        end = r[i].offset + r[i].count;
    }
    s->count = kept;
    return 0;
}

/* Appends a part to the whole, which takes it over when it is the first. */
static int take(struct gs_scene *whole, struct gs_scene *part)
{
    if (!whole->position) {
        *whole = *part;
        *part = (struct gs_scene){0};
        return 0;
    }
    part->mode = whole->mode; /* one capture; only some of its files may say how to draw it */
    int rc = gs_scene_append(whole, part);
    gs_scene_finish(part);
    return rc;
}

static int gather(struct gs_scene *out, struct lod *l)
{
    struct fv_node files = fv_node_get(l->doc.root, "filenames");
    if (l->count)
        qsort(l->ranges, l->count, sizeof *l->ranges, compare_ranges);
    for (size_t at = 0, end; at < l->count; at = end) {
        struct gs_scene part;
        for (end = at; end < l->count && l->ranges[end].file == l->ranges[at].file;)
            end++;
        FV_TRY(read_file(&part, l, fv_node_string(fv_node_at(files, l->ranges[at].file))));
        int rc = keep_ranges(&part, l, l->ranges + at, end - at);
        if (rc < 0) {
            gs_scene_finish(&part);
            return rc;
        }
        FV_TRY(take(out, &part));
    }
    const char *sky = fv_node_string(fv_node_get(l->doc.root, "environment"));
    if (*sky) {
        struct gs_scene part;
        FV_TRY(read_file(&part, l, sky));
        FV_TRY(take(out, &part));
    }
    if (!out->count)
        return fv_fail(FV_EFORMAT, "%s: tree: no leaf has a Gaussian; the scene is empty", l->path);
    snprintf(out->detail, sizeof out->detail, "sog, level %zu of 0..%zu", l->wanted, l->levels - 1);
    return 0;
}

int sog_read_lod(struct gs_scene *out, const char *path, const struct gs_load_opts *opts)
{
    struct lod l = {.path = path, .opts = opts};
    *out = (struct gs_scene){0};
    FV_TRY(fv_json_open(&l.doc, path));
    l.dir = fv_path_dir(path);
    int rc = l.dir ? read_index(&l) : fv_fail(FV_ENOMEM, "%s: out of memory", path);
    if (rc == 0)
        rc = gather(out, &l);
    if (rc < 0)
        gs_scene_finish(out);
    free(l.ranges);
    free(l.dir);
    fv_json_close(&l.doc);
    return rc;
}

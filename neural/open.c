/* Where a model's files are, by layout of its folder (neural.h), and models of one file (save.c). */
#include "neural/read.h"
#include "vk/base/file.h"
#include "vk/base/json.h"

#include <stdlib.h>
#include <string.h>

/* Weight files beside anchors, and what their tensors are of. */
static const struct {
    const char *name, *prefix;
} beside[] = {
    {"opacity_mlp.pt", "mlp_opacity."},
    {"cov_mlp.pt", "mlp_cov."},
    {"color_mlp.pt", "mlp_color."},
    {"feature_bank_mlp.pt", "mlp_feature_bank."},
    {"embedding_appearance.pt", "embedding_appearance."},
    {"checkpoints.pth", ""},
    {"checkpoint.pth", ""},
    {"weights.safetensors", ""},
};
enum { BESIDE = sizeof beside / sizeof *beside };

/* Adds dir/name; 1 when it is there. */
static int add_beside(struct nl_reader *r, const char *dir, const char *name, const char *prefix)
{
    if (!fv_exists_in(dir, name))
        return 0;
    char *path = fv_path_join(dir, name);
    int rc = path ? nl_reader_add(r, path, prefix) : fv_fail(FV_ENOMEM, "out of memory");
    free(path);
    return rc < 0 ? rc : 1;
}

/* ---- anchors in a .ply ---- */

static bool is_anchor_ply(const char *path)
{
    struct fv_map map;
    struct gs_ply_table *t;
    if (fv_map_open(&map, path) < 0)
        return false;
    bool yes = false;
    if (map.size > 4 && !memcmp(map.data, "ply", 3) &&
        gs_ply_table_open(&t, map.data, map.size, path) == 0) {
        yes = gs_ply_table_numbered(t, "f_anchor_feat_") || gs_ply_table_numbered(t, "feats_");
        gs_ply_table_close(&t);
    }
    fv_map_close(&map);
    return yes;
}

static int open_ply(struct nl_reader *r, const char *ply, const struct nl_open_opts *opts)
{
    struct fv_map map;
    int found = 0, rc;
    FV_TRY(fv_map_open(&map, ply));
    rc = nl_read_ply(r->m, map.data, map.size, ply);
    fv_map_close(&map);
    FV_TRY(rc);
    char *dir = fv_path_dir(ply);
    for (size_t i = 0; dir && rc >= 0 && i < BESIDE; i++) {
        rc = add_beside(r, dir, beside[i].name, beside[i].prefix);
        found += rc > 0;
    }
    if (rc >= 0 && !found)
        rc = fv_fail(FV_EFORMAT,
                     "%s: holds anchors, but no networks are beside it: opacity_mlp.pt, cov_mlp.pt "
                     "and color_mlp.pt, checkpoints.pth or checkpoint.pth",
                     ply);
    free(dir);
    return rc < 0 ? rc : nl_read_weights(r, opts);
}

/* The .ply of a path: itself, in it, or of its last iteration; the caller frees it. */
static char *find_ply(const char *path)
{
    if (!fv_is_dir(path))
        return strdup(path);
    char *ply = gs_find_trained(path);
    if (!ply && fv_exists_in(path, "point_cloud.ply"))
        ply = fv_path_join(path, "point_cloud.ply");
    return ply;
}

/* ---- tensors ---- */

static bool is_pair(const char *dir)
{
    return fv_is_dir(dir) && fv_exists_in(dir, "inputs.safetensors") && fv_exists_in(dir, "weights.safetensors");
}

/* What config.json says must be what the tensors are. */
static int check_config(struct nl_reader *r, const char *dir)
{
    struct fv_json doc;
    int rc = fv_json_open_in(&doc, dir, "config.json");
    if (rc)
        return rc < 0 ? rc : 0;
    struct nl_model *m = r->m;
    double feature = fv_json_number_or(&doc, doc.root, "feat_dim", m->feature);
    double offsets = fv_json_number_or(&doc, doc.root, "n_offsets", m->offsets);
    double knn = fv_json_number_or(&doc, doc.root, "knn", m->neighbours);
    rc = doc.failed ? FV_EFORMAT : 0;
    if (rc == 0 && feature != m->feature)
        rc = fv_fail(FV_EFORMAT, "%s: config.json says feat_dim %g, features have %u numbers", r->name,
                     feature, m->feature);
    if (rc == 0 && offsets != m->offsets)
        rc = fv_fail(FV_EFORMAT, "%s: config.json says n_offsets %g, anchors have %u offsets", r->name,
                     offsets, m->offsets);
    if (rc == 0 && m->arch == NL_SAGS && !(knn >= 1 && knn <= 64))
        rc = fv_fail(FV_EFORMAT, "%s: config.json says knn %g; 1 to 64 are read", r->name, knn);
    if (m->arch == NL_SAGS && rc == 0)
        m->neighbours = (uint32_t)knn;
    fv_json_close(&doc);
    return rc;
}

static int open_pair(struct nl_reader *r, const char *dir, const struct nl_open_opts *opts)
{
    FV_TRY(add_beside(r, dir, "inputs.safetensors", ""));
    FV_TRY(add_beside(r, dir, "weights.safetensors", ""));
    FV_TRY(nl_read_anchors(r));
    FV_TRY(check_config(r, dir));
    return nl_read_weights(r, opts);
}

static bool is_single(const char *path)
{
    struct nn_file *f = NULL;
    if (fv_is_dir(path) || !fv_ends_with(path, ".safetensors") || nn_file_open(&f, path, NULL) < 0)
        return false;
    const char *format = nn_file_meta(f, "format");
    bool yes = format && !strcmp(format, NL_FORMAT);
    nn_file_close(&f);
    return yes;
}

/* The reader's one file. */
static int read_single(struct nl_reader *r, const struct nl_open_opts *opts)
{
    const char *version = nn_file_meta(r->file[0], "version");
    const char *knn = nn_file_meta(r->file[0], "neighbours");
    if (!version || (strcmp(version, "1") && strcmp(version, "2")))
        return fv_fail(FV_EUNSUPPORTED, "%s: %s version %.20s; 1 and 2 are read", r->name, NL_FORMAT,
                       version ? version : "none");
    FV_TRY(nl_read_anchors(r));
    if (r->m->arch == NL_SAGS && knn)
        r->m->neighbours = (uint32_t)strtoul(knn, NULL, 10);
    return nl_read_weights(r, opts);
}

static int open_single(struct nl_reader *r, const char *path, const struct nl_open_opts *opts)
{
    FV_TRY(nl_reader_add(r, path, ""));
    return read_single(r, opts);
}

/* ---- all of them ---- */

bool nl_is(const char *path)
{
    if (is_pair(path) || is_single(path))
        return true;
    char *ply = fv_is_dir(path) || fv_ends_with(path, ".ply") ? find_ply(path) : NULL;
    bool yes = ply && is_anchor_ply(ply);
    free(ply);
    return yes;
}

static int open_any(struct nl_reader *r, const char *path, const struct nl_open_opts *opts)
{
    if (is_pair(path))
        return open_pair(r, path, opts);
    if (is_single(path))
        return open_single(r, path, opts);
    char *ply = find_ply(path);
    if (!ply)
        return fv_fail(FV_EIO,
                       "%s: has no anchors: point_cloud/iteration_N/point_cloud.ply, or "
                       "inputs.safetensors with weights.safetensors",
                       path);
    int rc = open_ply(r, ply, opts);
    free(ply);
    return rc;
}

/* What was read with rc, closed and checked. */
static int end(struct nl_reader *r, int rc)
{
    nl_reader_close(r);
    if (rc >= 0)
        rc = nl_check(r->m, r->name);
    if (rc < 0)
        nl_finish(r->m);
    return rc < 0 ? rc : 0;
}

int nl_open(struct nl_model *out, const char *path, const struct nl_open_opts *opts)
{
    struct nl_reader r = {.name = path, .m = out};
    *out = (struct nl_model){0};
    return end(&r, open_any(&r, path, opts));
}

int nl_parse(struct nl_model *out, const void *data, size_t size, const char *name)
{
    struct nl_reader r = {.name = name, .m = out, .prefix = {""}};
    *out = (struct nl_model){0};
    int rc = nn_file_parse(&r.file[0], data, size, name, NULL);
    r.files = rc >= 0;
    return end(&r, rc < 0 ? rc : read_single(&r, NULL));
}

/* Which reader or writer a file goes to (gs.h).
 *
 * A file says what it is by its first bytes; the name decides only for formats that have no
 * magic (.splat, .ksplat, .splatv) and for folders. */
#include "gs/scene.h"
#include "gs/ply_header.h"
#include "vk/base/log.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *suffix;
    gs_read_fn *read;
    gs_write_fn *write;
    gs_read_path_fn *read_path; /* of formats whose files have neighbours */
} formats[] = {
    [GS_FORMAT_AUTO] = {"unknown", "", NULL, NULL},
    [GS_FORMAT_PLY] = {"ply", ".ply", gs_read_ply, gs_write_ply},
    [GS_FORMAT_COMPRESSED_PLY] = {"compressed.ply", ".compressed.ply", gs_read_compressed_ply,
                                  gs_write_compressed_ply},
    [GS_FORMAT_SPLAT] = {"splat", ".splat", gs_read_splat, gs_write_splat},
    [GS_FORMAT_KSPLAT] = {"ksplat", ".ksplat", gs_read_ksplat, NULL},
    [GS_FORMAT_SPZ] = {"spz", ".spz", gs_read_spz, gs_write_spz},
    [GS_FORMAT_SOG] = {"sog", ".sog", gs_read_sog, gs_write_sog, gs_read_sog_path},
    [GS_FORMAT_GLTF] = {"gltf", ".glb", gs_read_glb, gs_write_glb, gs_read_gltf_path},
    [GS_FORMAT_SPLATV] = {"splatv", ".splatv", gs_read_splatv, NULL},
};
enum { FORMATS = sizeof formats / sizeof *formats };

const char *gs_format_name(enum gs_format f)
{
    return (size_t)f < FORMATS ? formats[f].name : "unknown";
}

/* The longest suffix wins: ".compressed.ply" is a ".ply" too. */
enum gs_format gs_format_of_name(const char *name)
{
    enum gs_format best = GS_FORMAT_AUTO;
    for (int f = 1; f < FORMATS; f++)
        if (fv_ends_with(name, formats[f].suffix) &&
            strlen(formats[f].suffix) > strlen(formats[best].suffix))
            best = (enum gs_format)f;
    return best;
}

static bool is_compressed_ply(const uint8_t *data, size_t size)
{
    struct gs_ply_header h;
    if (gs_ply_header_parse(&h, data, size, "") < 0)
        return false; /* the reader will say why */
    const struct gs_ply_element *v = gs_ply_element(&h, "vertex");
    bool yes = v && gs_ply_property(v, "packed_position");
    gs_ply_header_finish(&h);
    return yes;
}

static enum gs_format format_of_bytes(const uint8_t *data, size_t size, const char *name)
{
    enum gs_format by_name = gs_format_of_name(name);
    if (size >= 4 && !memcmp(data, "ply", 3) && (data[3] == '\n' || data[3] == '\r'))
        return is_compressed_ply(data, size) ? GS_FORMAT_COMPRESSED_PLY : GS_FORMAT_PLY;
    if (size >= 4 && !memcmp(data, "NGSP", 4))
        return GS_FORMAT_SPZ;
    if (size >= 4 && !memcmp(data, "PK\3\4", 4))
        return GS_FORMAT_SOG;
    if (size >= 4 && !memcmp(data, "glTF", 4))
        return GS_FORMAT_GLTF;
    if (fv_ends_with(name, ".gltf"))
        return GS_FORMAT_GLTF;
    if (fv_ends_with(name, ".json")) /* meta.json, lod-meta.json */
        return GS_FORMAT_SOG;
    /* two bytes of gzip are too few to overrule a name: a .splat may begin with any float */
    if (by_name == GS_FORMAT_AUTO && size >= 3 && !memcmp(data, "\x1f\x8b\x08", 3))
        return GS_FORMAT_SPZ;
    return by_name;
}

static int unknown_format(const char *name, const uint8_t *data, size_t size)
{
    char first[13] = "";
    for (size_t i = 0; i < size && i < 4; i++)
        snprintf(first + 3 * i, 4, "%02x ", data[i]);
    return fv_fail(FV_EFORMAT,
                   "%s: neither its name nor its first bytes (%.*s) are of a scene format I read: "
                   "ply, compressed.ply, splat, ksplat, spz, sog, glb, splatv",
                   name, (int)strlen(first) - 1, first);
}

/* What every reader leaves to do. */
static int finish_scene(struct gs_scene *s, const char *name, enum gs_format format)
{
    size_t count = s->count;
    s->format = format;
    gs_scene_drop_bad(s);
    if (s->dropped)
        fv_log(FV_WARN, "%s: %zu of %zu Gaussians dropped (NaN, infinite, or a zero quaternion)",
               name, s->dropped, count);
    if (s->count)
        return 0;
    gs_scene_finish(s);
    if (count)
        return fv_fail(FV_EFORMAT,
                       "%s: none of its %zu Gaussians can be drawn (NaN, infinite, or a zero "
                       "quaternion)",
                       name, count);
    return fv_fail(FV_EFORMAT, "%s: count 0: the scene is empty", name);
}

int gs_scene_parse(struct gs_scene *out, const void *data, size_t size, const char *name,
                   const struct gs_load_opts *opts)
{
    enum gs_format format = opts ? opts->format : GS_FORMAT_AUTO;
    *out = (struct gs_scene){0};
    if (!size)
        return fv_fail(FV_EFORMAT, "%s: the file is empty", name);
    if (format == GS_FORMAT_AUTO)
        format = format_of_bytes(data, size, name);
    if (format == GS_FORMAT_AUTO)
        return unknown_format(name, data, size);
    if ((size_t)format >= FORMATS || !formats[format].read)
        return fv_fail(FV_EUNSUPPORTED, "%s: %s scenes cannot be read", name,
                       gs_format_name(format));
    FV_TRY(formats[format].read(out, data, size, name, opts));
    return finish_scene(out, name, format);
}

/* ---- folders ---------------------------------------------------------------------------- */

/* The N of "iteration_N", -1 for other names. */
static long iteration_of(const char *name)
{
    static const char prefix[] = "iteration_";
    if (strncmp(name, prefix, sizeof prefix - 1) || !name[sizeof prefix - 1])
        return -1;
    char *end;
    long n = strtol(name + sizeof prefix - 1, &end, 10);
    return *end ? -1 : n;
}

char *gs_find_trained(const char *dir)
{
    char *clouds = fv_path_join(dir, "point_cloud"), *best = NULL;
    long highest = -1;
    DIR *d = clouds ? opendir(clouds) : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        long n = iteration_of(e->d_name);
        if (n <= highest)
            continue;
        char *folder = fv_path_join(clouds, e->d_name);
        char *file = folder ? fv_path_join(folder, "point_cloud.ply") : NULL;
        free(folder);
        if (file && fv_exists(file)) {
            free(best);
            best = file;
            highest = n;
        } else {
            free(file);
        }
    }
    if (d)
        closedir(d);
    free(clouds);
    return best;
}

static int load_file(struct gs_scene *out, const char *path, const struct gs_load_opts *opts)
{
    struct fv_map map;
    FV_TRY(fv_map_open(&map, path));
    enum gs_format format = opts ? opts->format : GS_FORMAT_AUTO;
    if (format == GS_FORMAT_AUTO && map.size)
        format = format_of_bytes(map.data, map.size, path);
    int rc;
    if (map.size && (size_t)format < FORMATS && formats[format].read_path) {
        rc = formats[format].read_path(out, path, opts);
        if (rc == 0)
            rc = finish_scene(out, path, format);
    } else {
        rc = gs_scene_parse(out, map.data, map.size, path, opts);
    }
    fv_map_close(&map);
    return rc;
}

/* dir/name when there is such a file, else NULL. */
static char *find_file(const char *dir, const char *name)
{
    char *file = fv_path_join(dir, name);
    if (file && !fv_exists(file)) {
        free(file);
        file = NULL;
    }
    return file;
}

static int load_folder(struct gs_scene *out, const char *path, const struct gs_load_opts *opts)
{
    char *file = gs_find_trained(path);
    if (!file)
        file = find_file(path, "lod-meta.json");
    if (!file)
        file = find_file(path, "meta.json");
    if (!file)
        return fv_fail(FV_EIO,
                       "%s: is a folder with no scene I know in it: "
                       "point_cloud/iteration_N/point_cloud.ply, lod-meta.json or meta.json",
                       path);
    int rc = load_file(out, file, opts);
    free(file);
    return rc;
}

int gs_scene_load(struct gs_scene *out, const char *path, const struct gs_load_opts *opts)
{
    *out = (struct gs_scene){0};
    return fv_is_dir(path) ? load_folder(out, path, opts) : load_file(out, path, opts);
}

/* ---- saving ----------------------------------------------------------------------------- */

/* Writes all but the rows no reader could use: an edit may have overflowed. */
static int write_good(const struct gs_scene *s, gs_write_fn *write, struct fv_writer *w,
                      const struct gs_save_opts *opts)
{
    struct gs_scene good = {.format = s->format};
    if (!gs_scene_has_bad(s))
        return write(s, w, opts);
    FV_TRY(gs_scene_append(&good, s));
    gs_scene_drop_bad(&good);
    fv_log(FV_WARN, "%zu of %zu Gaussians not written (NaN, infinite, or a zero quaternion)",
           s->count - good.count, s->count);
    int rc = write(&good, w, opts);
    gs_scene_finish(&good);
    return rc;
}

int gs_scene_save(const struct gs_scene *s, const char *path, const struct gs_save_opts *opts)
{
    static const struct gs_save_opts defaults = {0};
    opts = opts ? opts : &defaults;
    enum gs_format format = opts->format ? opts->format : gs_format_of_name(path);
    if (format == GS_FORMAT_AUTO)
        return fv_fail(FV_EINVALID,
                       "%s: the name says no scene format; end it in .ply, .compressed.ply, "
                       ".splat, .spz, .sog or .glb",
                       path);
    if ((size_t)format >= FORMATS || !formats[format].write)
        return fv_fail(FV_EUNSUPPORTED, "%s: %s scenes cannot be written", path,
                       gs_format_name(format));
    struct fv_writer w;
    FV_TRY(fv_writer_open(&w, path));
    int rc = write_good(s, formats[format].write, &w, opts);
    if (rc < 0) {
        fv_writer_abort(&w);
        return fv_wrap(rc, "writing %s", path);
    }
    return fv_writer_commit(&w);
}

/* Private to gs/: readers and writers of each format, one pair a file.
 *
 * A reader gets the whole file in memory and a name for messages, fills a scene it allocates
 * with gs_scene_alloc (never from a header's count alone: the count is checked against the
 * file's size first) and returns 0 or a code; on failure it frees what it allocated. It stores
 * raw rows; gs_scene_load drops bad rows afterwards for all formats (gs_scene_drop_bad). */
#ifndef GS_SCENE_H
#define GS_SCENE_H

#include "gs/gs.h"

#include <math.h>

#define GS_SH_C0 0.28209479177387814f

static inline double gs_sigmoid(double logit)
{
    return 1 / (1 + exp(-logit));
}

/* alpha 0 and 1 give -inf and +inf. */
static inline double gs_logit(double alpha)
{
    return log(alpha / (1 - alpha));
}

/* round(v * steps) within 0..steps: a value in 0..1 as an unsigned integer; NaN gives 0. */
static inline uint32_t gs_quantise(double v, uint32_t steps)
{
    double q = v * steps + 0.5;
    return q >= steps + 0.5 ? steps : q > 0 ? (uint32_t)q : 0;
}

/* Bits abc -> a00b00c, of the low 21. */
static inline uint64_t gs_morton_spread(uint64_t v)
{
    v = (v | v << 32) & 0x1f00000000ffffu;
    v = (v | v << 16) & 0x1f0000ff0000ffu;
    v = (v | v << 8) & 0x100f00f00f00f00fu;
    v = (v | v << 4) & 0x10c30c30c30c30c3u;
    return (v | v << 2) & 0x1249249249249249u;
}

typedef int gs_read_fn(struct gs_scene *out, const uint8_t *data, size_t size, const char *name,
                       const struct gs_load_opts *opts);
gs_read_fn gs_read_ply;            /* ply.c */
gs_read_fn gs_read_compressed_ply; /* compressed_ply.c */
gs_read_fn gs_read_splat;          /* splat.c */
gs_read_fn gs_read_ksplat;         /* ksplat.c */
gs_read_fn gs_read_spz;            /* spz.c */
gs_read_fn gs_read_sog;            /* sog.c: the .sog bundle */
gs_read_fn gs_read_splatv;         /* splatv.c */
gs_read_fn gs_read_glb;            /* gltf.c: .glb in memory */
/* The same for formats whose files may have neighbours: path is that of a .sog, meta.json or
 * lod-meta.json; of a .glb or .gltf. */
typedef int gs_read_path_fn(struct gs_scene *out, const char *path, const struct gs_load_opts *opts);
gs_read_path_fn gs_read_sog_path;
gs_read_path_fn gs_read_gltf_path;

typedef int gs_write_fn(const struct gs_scene *s, struct fv_writer *w,
                        const struct gs_save_opts *opts);
gs_write_fn gs_write_ply;
gs_write_fn gs_write_compressed_ply;
gs_write_fn gs_write_splat;
gs_write_fn gs_write_spz;
gs_write_fn gs_write_sog;
gs_write_fn gs_write_glb;

/* Calls fn over [0,count) in pieces from several threads (fv_parallel), tells on_progress (may
 * be NULL) between them, and fails with FV_ECANCELLED when that says stop. */
int gs_for_rows(size_t count, int (*fn)(void *ud, size_t begin, size_t end), void *ud,
                const char *what, fv_progress_fn on_progress, void *progress_ud);

/* Removes rows a renderer cannot use, counting them in s->dropped: NaN anywhere, infinite
 * position, scale (except -inf), rotation or colour, zero quaternion. */
void gs_scene_drop_bad(struct gs_scene *s);
/* Whether there are any. */
bool gs_scene_has_bad(const struct gs_scene *s);
/* Overwrites row `to` by row `from`. */
void gs_scene_move_row(struct gs_scene *s, size_t to, size_t from);
/* Permutes all arrays: new row i = old row order[i]. */
int gs_scene_reorder(struct gs_scene *s, const uint32_t *order);
/* Sign of SH coefficient k (0..15) under flips of the axes (each +1 or -1). */
float gs_sh_flip_sign(int k, float sx, float sy, float sz);

/* The comment lines of a .ply header that carry the scene's mode and up axis. */
void gs_ply_write_comments(struct fv_writer *w, const struct gs_scene *s);

/* Another for each call, never 0: names what a device scene or a renderer holds. */
uint64_t gs_new_id(void);

#endif

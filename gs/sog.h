/* Private to gs/: PlayCanvas SOG ("spatially ordered Gaussians"), shared by reader, level-of-
 * detail reader and writer (sog.c, lod.c, sog_write.c).
 *
 * A meta.json and lossless WebP images, loose in a folder or in a zip. Texel i of an image, row
 * by row, belongs to Gaussian i:
 *   means_l, means_u  RGB: low and high byte of x, y, z as 16-bit steps between mins and maxs
 *                     of sign(x) ln(1 + |x|)
 *   quats             A - 252: index of the largest of w,x,y,z; RGB: the others in order,
 *                     (byte / 255 * 2 - 1) / sqrt2
 *   scales            RGB: ln scale, through a codebook of 256 (version 1: linear between mins
 *                     and maxs)
 *   sh0               RGB: band 0 likewise; A: opacity (version 1: its logit, linear)
 *   shN_labels        R + 256 G: row of the palette
 *   shN_centroids     the palette: 64 entries a row, each K texels wide, one a coefficient, RGB
 *                     through a codebook (version 1: linear) */
#ifndef GS_SOG_H
#define GS_SOG_H

#include "gs/blob.h"
#include "gs/scene.h"
#include "vk/base/zip.h"

enum { SOG_PALETTE_ROW = 64, SOG_MAX_PALETTE = 65536, SOG_MAX_META = 16 << 20 };

/* Where the files of a SOG are. */
struct sog_source {
    const char *name;         /* of the bundle or of meta.json, for messages */
    const struct fv_zip *zip; /* in an archive, or ... */
    const char *dir;          /* ... in this folder (of the archive: "" or "folder/") */
};

/* Bytes of one file of at most `most` bytes. Caller frees the blob. */
int sog_get(struct gs_blob *out, const struct sog_source *from, const char *file, size_t most);
/* Reads the Gaussians that meta (the text of a meta.json) describes. */
int sog_read(struct gs_scene *out, const struct sog_source *from, const struct gs_blob *meta,
             const struct gs_load_opts *opts);
/* Reads level opts->lod of a lod-meta.json. */
int sog_read_lod(struct gs_scene *out, const char *path, const struct gs_load_opts *opts);

#endif

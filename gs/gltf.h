/* Private to gs/: glTF 2.0 documents, as far as Gaussians need them: buffers, accessors and
 * node transforms (gltf_doc.c) for the reader of KHR_gaussian_splatting (gltf.c).
 *
 *     struct gltf g;
 *     FV_TRY(gltf_open(&g, data, size, "a.glb", dir));
 *     struct gltf_accessor a;
 *     FV_GOTO(gltf_accessor(&a, &g, index, 3, "POSITION"));
 *     for (i < a.count) gltf_get(&a, i, xyz);
 *     gltf_close(&g);
 */
#ifndef GS_GLTF_H
#define GS_GLTF_H

#include "gs/blob.h"
#include "vk/base/json.h"

#define GLTF_GLB_MAGIC  0x46546c67u
#define GLTF_CHUNK_JSON 0x4e4f534au
#define GLTF_CHUNK_BIN  0x004e4942u

enum gltf_component {
    GLTF_I8 = 5120,
    GLTF_U8 = 5121,
    GLTF_I16 = 5122,
    GLTF_U16 = 5123,
    GLTF_U32 = 5125,
    GLTF_F32 = 5126,
};

struct gltf {
    const char *name; /* borrowed, for messages */
    const char *dir;  /* borrowed; where buffers' files are; NULL: they may not be read */
    size_t size;      /* of the file and the buffers read so far */
    struct fv_json doc;
    const uint8_t *bin; /* the .glb's own chunk */
    size_t bin_size;
    struct gs_blob *buffers; /* loaded when first used */
    void **dense;            /* elements of sparse accessors */
    size_t dense_count;
    size_t buffer_count;
    struct fv_node *views, *accessors, *nodes, *meshes; /* elements of these arrays */
    size_t view_count, accessor_count, node_count, mesh_count;
};

/* Parses a .glb or the JSON of a .gltf. data, name and dir must outlive g.
 * Returns 0, FV_EFORMAT, FV_EUNSUPPORTED, FV_ENOMEM. */
int gltf_open(struct gltf *g, const uint8_t *data, size_t size, const char *name, const char *dir);
void gltf_close(struct gltf *g);

struct gltf_accessor {
    const uint8_t *data; /* every element is inside its buffer */
    size_t count, stride;
    int width; /* numbers an element */
    enum gltf_component component;
    bool normalized;
};

/* Accessor `index` with `width` numbers an element (1 SCALAR, 3 VEC3, 4 VEC4); what names it in
 * messages. Sparse ones become floats that g owns. Returns 0, FV_EFORMAT, FV_EUNSUPPORTED, FV_EIO,
 * FV_ENOMEM. */
int gltf_accessor(struct gltf_accessor *out, struct gltf *g, size_t index, int width,
                  const char *what);
/* Element i as floats, normalised integers to -1..1 or 0..1. */
void gltf_get(const struct gltf_accessor *a, size_t i, float *out);

/* The node's own matrix, row-major 4x4, from its matrix or translation, rotation and scale. */
int gltf_local_matrix(struct gltf *g, struct fv_node node, double out[16]);

#endif

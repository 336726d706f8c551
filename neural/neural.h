/* neural: scenes whose Gaussians are decoded by small networks for each view (docs/NEURAL.md).
 *
 * Scaffold-GS (Lu et al., CVPR 2024): anchors with features, of which three MLPs make k Gaussians each.
 * SAGS (Ververas et al., ECCV 2024): points whose features a graph and a hash grid enrich; a Gaussian a
 * point. Conventions are gs.h's.
 *
 *     struct nl_model m;
 *     FV_TRY(nl_open(&m, "garden_scaffold/", NULL));
 *     FV_TRY(nl_encode(&m, NULL, &e));                    // SAGS: what no view changes
 *     FV_TRY(nl_decode(&m, &e, eye, 0, &out));            // slow, obvious
 *     FV_TRY(nl_gpu_create(&gpu, dev, &m, NULL));         // fast: a device scene for any view
 */
#ifndef NEURAL_H
#define NEURAL_H

#include "gs/gs.h"
#include "vk/base/arena.h"

#include <stdbool.h>
#include <stdint.h>

enum nl_arch { NL_SCAFFOLD, NL_SAGS };

enum {
    NL_MAX_OFFSETS = 32, /* Gaussians of an anchor */
    NL_MAX_FEATURE = 256,
    NL_MAX_HIDDEN = 128, /* that kernels take */
    NL_HASH_LEVELS = 16,
    NL_HASH_WIDTH = 2 * NL_HASH_LEVELS, /* two features a level */
    NL_VIEW = 4,                        /* direction to the anchor, distance */
};

/* y = w x + b; w [out][in]. */
struct nl_layer {
    uint32_t in, out;
    float *w, *b;
};
/* ReLU between layers, or nothing. */
struct nl_mlp {
    uint32_t layers; /* 0: there is none */
    struct nl_layer layer[3];
    bool linear;
};
enum nl_net { NL_OPACITY, NL_COVARIANCE, NL_COLOUR, NL_NETS };

/* A trained model. Arrays live in its arena. */
struct nl_model {
    enum nl_arch arch;
    uint32_t count;                 /* anchors, or points */
    uint32_t feature;               /* numbers of a feature */
    uint32_t offsets;               /* k: Gaussians of an anchor; SAGS: 1 */
    uint32_t neighbours;            /* SAGS: of a point, itself among them */
    uint32_t midpoints;             /* SAGS-Lite: the last points, which have no features of their own */
    uint32_t appearance, cameras;   /* Scaffold: numbers of an embedding, rows; 0: none */
    bool distance[NL_NETS];         /* the distance is an input of the network */
    float *position;                /* [count][3] */
    float *features;                /* [count - midpoints][feature] */
    float *offset;                  /* Scaffold: [count][k][3] */
    float *scaling;                 /* [count][6] natural log; 3 of the offsets, 3 of the Gaussians */
    float *rotation;                /* [count][4] of the anchors' own extent: what is looked at */
    float *embedding;               /* [cameras][appearance] */
    struct nl_mlp net[NL_NETS], bank /* Scaffold: of the feature bank */, move /* SAGS: offsets */;
    float *hash;                    /* SAGS: [level][entry][2] */
    float *alpha, *beta;            /* SAGS: [hash + 2 * feature] */
    uint32_t *neighbour;            /* SAGS: [count - midpoints][neighbours]: nl_graph */
    uint32_t *pair;                 /* [midpoints][2] the points a midpoint lies between */
    struct fv_arena arena;
};

const char *nl_arch_name(enum nl_arch a);

struct nl_open_opts {
    /* SAGS: the hash grid's table where the files hold none; borrowed until nl_open returns. */
    const float *hash;
    size_t hash_count;
};
/* Whether a path is one of what nl_open reads, by looking into it. */
bool nl_is(const char *path);
/* Reads a training folder (point_cloud/iteration_N/point_cloud.ply with the networks beside it), the
 * folder or the .ply that holds the anchors, a folder of inputs.safetensors and weights.safetensors, or a
 * .safetensors of nl_save. All is checked, so that nothing later has to be. opts may be NULL.
 * Returns 0, FV_EIO, FV_EFORMAT, FV_EUNSUPPORTED, FV_ENOMEM; on failure *out is zeroed. */
int nl_open(struct nl_model *out, const char *path, const struct nl_open_opts *opts);
void nl_finish(struct nl_model *m);
/* One file with everything in it. Returns 0, FV_EIO, FV_ENOMEM. */
int nl_save(const struct nl_model *m, const char *path);
/* Steps that numbers are rounded to; 0: about as finely as it can be. */
enum nl_rounded {
    NL_ROUND_POSITIONS,
    NL_ROUND_FEATURES,
    NL_ROUND_OFFSETS, /* Scaffold */
    NL_ROUND_REACHES, /* the first three scalings, of the offsets */
    NL_ROUND_SIZES,   /* the others */
    NL_ROUND_HASH,    /* SAGS */
    NL_ROUNDED
};
/* The same file in memory with numbers as bytes of steps, anchors along a Morton curve and networks as
 * halves: small once it is compressed. *data is the caller's to free. */
int nl_pack(const struct nl_model *m, const double step[NL_ROUNDED], void **data, size_t *size);
/* Reads either form from memory. name: for messages. Returns as nl_open. */
int nl_parse(struct nl_model *out, const void *data, size_t size, const char *name);
/* SAGS-Lite: points that lie half way between two of their neighbours, as the training's densification
 * put them, give up what they learned, and become midpoints. Returns how many there are then, or a code. */
int nl_make_lite(struct nl_model *m);
/* Bytes of f32 parameters by what they are for; name NULL at the end. */
struct nl_part {
    const char *name;
    uint64_t bytes;
};
enum { NL_PARTS = 13 };
void nl_parts(const struct nl_model *m, struct nl_part out[NL_PARTS]);

/* ---- the reference: slow, obvious, double precision --------------------------------------- */

/* Exact nearest neighbours by float32 distances, nearest first, a point's own index before them; equal distances in order of
 * index. Fills m->neighbour of a SAGS model; nl_encode calls it where it is needed. */
int nl_graph(struct nl_model *m);

/* What SAGS makes of its points whatever the view. Rows are the visible points in their order. */
struct nl_encoded {
    uint32_t count;
    uint32_t *index;   /* [count] rows of the model */
    float *hash;       /* [count][NL_HASH_WIDTH] */
    float *message;    /* [count][feature] greatest difference to those it is a neighbour of */
    float *feature;    /* [count][NL_HASH_WIDTH + 2 * feature]; Scaffold: the anchors' own */
    uint32_t width;    /* of feature */
    uint32_t by_host;  /* nl_encode_gpu: points whose neighbours the host found */
    struct fv_arena arena;
};
/* The same of all points by kernels: values of the twin but for roundings, the graph to the bit; without
 * `hash` and `message`. What a device cannot (more than 16 neighbours, buffers too small) the twin does.
 * Returns 0, FV_EGPUMEM, FV_EDEVICE, FV_ENOMEM, FV_EFORMAT. */
int nl_encode_gpu(struct nl_model *m, struct vk_device *dev, struct nl_encoded *out);
/* visible [count], or NULL for all. FV_EUNSUPPORTED: some of a model with midpoints. */
int nl_encode(struct nl_model *m, const uint8_t *visible, struct nl_encoded *out);
void nl_encoded_finish(struct nl_encoded *e);

/* Neural Gaussians that live (opacity above 0), anchor after anchor. */
struct nl_gaussians {
    uint32_t count, rows; /* rows: of visible anchors times k */
    float *position, *colour, *opacity, *scale, *rotation; /* [count][3] [3] [1] [3] [4] */
    float *raw;       /* [rows] opacities before the cut */
    uint8_t *alive;   /* [rows] */
    struct fv_arena arena;
};
/* Seen from `eye`; camera: row of the appearance embedding. Returns 0, FV_EINVALID, FV_ENOMEM. */
int nl_decode(const struct nl_model *m, const struct nl_encoded *e, const double eye[3],
              uint32_t camera, struct nl_gaussians *out);
void nl_gaussians_finish(struct nl_gaussians *g);
/* The anchors that are looked at: those whose own extent, of the first three scalings, the picture
 * touches. out [count]. */
void nl_visible(const struct nl_model *m, const struct gs_camera *c, uint8_t *out);
/* As a scene without harmonics: what a view sees, for every view. */
int nl_bake(const struct nl_gaussians *g, struct gs_scene *out);
/* All three at once, as `eye` sees it; NULL: from where an orbit begins. */
int nl_bake_model(struct nl_model *m, const double eye[3], uint32_t camera, struct gs_scene *out);
/* The anchors as Gaussians of their own extent, without colours: for bounds and cameras. */
int nl_around(const struct nl_model *m, struct gs_scene *out);

/* ---- on the device ------------------------------------------------------------------------ */

struct nl_gpu;
struct nl_gpu_opts {
    bool exact;      /* float32 throughout, for exact rendering; anchors in the model's order */
    bool all;        /* every anchor is decoded, whatever the view looks at */
    bool apart;      /* Gaussians are written, then projected: the obvious twin, and for gs_gpu_scene_fetch */
    uint32_t camera; /* row of the appearance embedding */
    bool owned;      /* by nl_gpu_scene: gs_gpu_scene_destroy ends both, nl_gpu_destroy is not called */
};
/* Of what nl_encode made. opts may be NULL. Returns 0, FV_EGPUMEM, FV_EUNSUPPORTED (networks larger than
 * the kernels take), FV_EINVALID. */
int nl_gpu_create(struct nl_gpu **out, struct vk_device *dev, const struct nl_model *m,
                  const struct nl_encoded *e, const struct nl_gpu_opts *opts);
void nl_gpu_destroy(struct nl_gpu **g);
/* To be drawn as any other; its Gaussians are decoded and projected in the frame that draws them, and stay
 * so while the view does. The nl_gpu's own. */
struct gs_gpu_scene *nl_gpu_scene(const struct nl_gpu *g);
/* Device memory besides the scene's. */
uint64_t nl_gpu_bytes(const struct nl_gpu *g);
/* How often Gaussians were decoded. */
uint64_t nl_gpu_decodes(const struct nl_gpu *g);

/* ---- in a stream (docs/STREAM.md) ---------------------------------------------------------- */

/* What gs_stream_decode makes of an anchor model, and how it is drawn. */
struct nl_stream_view {
    bool bake;       /* Gaussians as `eye` sees them, else anchors (nl_around) */
    bool has_eye;    /* else nl_bake_model's own */
    double eye[3];
    uint32_t camera; /* row of the appearance embedding */
};
/* What makes a stream play frames that are models; how is borrowed. */
struct gs_stream_keys nl_stream_keys(struct nl_stream_view *how);
/* The models to encode: opens one into a zeroed model. */
typedef int nl_models_fn(void *ud, uint32_t frame, struct nl_model *out);
/* Encodes models into a stream whose frames each are one, rounded to the coarsest steps at which pictures
 * have opts->psnr. Of the options psnr, fps, live, views, start, on_progress and on_frame. Returns as gs_stream_encode,
 * FV_EUNSUPPORTED for models that have no kernels. */
int nl_stream_encode(struct vk_device *dev, const char *path, uint32_t frame_count, nl_models_fn *model,
                     void *model_ud, const struct gs_stream_opts *opts, struct gs_stream_report *report);

#endif

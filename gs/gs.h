/* gs: Gaussian-splat scenes, cameras and the compute renderer.
 *
 * Conventions: world->camera matrices in OpenCV axes (x right, y down, z forward), row-major;
 * pixel (0,0) covers [0,1)x[0,1), its centre at (0.5,0.5); quaternions w,x,y,z; spherical
 * harmonics with the signs of the original 3DGS code; colours are display-referred RGB.
 * Sources: Kerbl et al. 2023 (3DGS); Yu et al. 2024 (Mip-Splatting, the antialiased mode).
 *
 *     struct gs_scene scene;
 *     FV_TRY(gs_scene_load(&scene, "garden.spz", NULL));
 *     FV_TRY(gs_gpu_scene_create(&gpu, dev, &scene, NULL));
 *     FV_TRY(gs_renderer_create(&r, dev));
 *     FV_TRY(gs_frame_create(&frame, r));
 *     FV_TRY(gs_frame_submit(frame, gpu, &camera, &(struct gs_render_opts){0}));
 *     FV_TRY(gs_frame_wait(frame));            // frame->pixels: RGBA8 rows, width*4 bytes
 */
#ifndef GS_H
#define GS_H

#include "vk/base/err.h"
#include "vk/base/file.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cJSON;
struct vk_device;
struct vk_buf;

/* ---- scenes ---------------------------------------------------------------------------- */

/* How the 0.3 px low-pass filter is compensated; must match how the scene was trained. */
enum gs_mode {
    GS_MODE_AUTO,        /* as the file says; classic if it says nothing */
    GS_MODE_CLASSIC,     /* INRIA 2023 */
    GS_MODE_ANTIALIASED, /* opacity scaled by sqrt(det/det_filtered) */
};

enum gs_format {
    GS_FORMAT_AUTO, /* from the name and the first bytes */
    GS_FORMAT_PLY,
    GS_FORMAT_COMPRESSED_PLY, /* PlayCanvas */
    GS_FORMAT_SPLAT,          /* antimatter15, 32 bytes each */
    GS_FORMAT_KSPLAT,         /* mkkellogg; read only */
    GS_FORMAT_SPZ,            /* Niantic, versions 1-4 */
    GS_FORMAT_SOG,            /* PlayCanvas: .sog bundle, meta.json folder, lod-meta.json */
    GS_FORMAT_GLTF,           /* .glb/.gltf with KHR_gaussian_splatting; writes .glb */
    GS_FORMAT_SPLATV,         /* antimatter15, moving: what it is at a time; read only */
};

/* Gaussians on the host, as arrays ("structure of arrays"). sh_coefs = (sh_degree+1)^2. */
struct gs_scene {
    size_t count;
    int sh_degree;   /* 0..3 */
    float *position; /* [count][3] world units */
    float *scale;    /* [count][3] natural log of the standard deviation */
    float *rotation; /* [count][4] w,x,y,z; any length but not zero */
    float *opacity;  /* [count] logit; may be +-inf (1 or 0) */
    float *sh;       /* [count][sh_coefs][3] coefficient-major, band 0 first; colour = 0.5 + SH */
    enum gs_mode mode;     /* what the file says; GS_MODE_AUTO if it says nothing */
    float up[3];           /* world up from the file's metadata; zeros if unknown */
    size_t dropped;        /* rows left out at load (NaN, infinite, zero quaternion) */
    enum gs_format format; /* what it was read from */
    char detail[64];       /* "spz v4", "ply ascii", ... for info */
};

struct gs_load_opts {
    enum gs_format format; /* AUTO */
    int lod;               /* level of a lod-meta.json: 0 = finest (default) */
    double time;           /* of a .splatv, 0 (default) to 1 */
    bool spz_raw_axes;     /* take SPZ coordinates as they are stored: splat-transform (3.2) and
                              Niantic's ply_to_spz store the .ply's frame, and nothing in such a
                              file tells. Default: right-up-back as the format says, or as the
                              file's coordinate-system extension says, turned into the .ply's */
    fv_progress_fn on_progress;
    void *ud;
};

/* Reads any supported file or folder. Rows with NaN, infinities (other than opacity) or a
 * zero quaternion are dropped and counted. opts may be NULL.
 * Returns 0, FV_EIO, FV_EFORMAT, FV_EUNSUPPORTED, FV_ENOMEM; on failure *out is zeroed. */
int gs_scene_load(struct gs_scene *out, const char *path, const struct gs_load_opts *opts);
/* The same from memory, for single-file formats; name is for messages and for AUTO. */
int gs_scene_parse(struct gs_scene *out, const void *data, size_t size, const char *name,
                   const struct gs_load_opts *opts);
void gs_scene_finish(struct gs_scene *s);
/* Allocates arrays for count Gaussians; contents undefined. */
int gs_scene_alloc(struct gs_scene *out, size_t count, int sh_degree);
static inline int gs_sh_coefs(int degree)
{
    return (degree + 1) * (degree + 1);
}

struct gs_save_opts {
    enum gs_format format; /* AUTO: from the name */
    int spz_version;       /* 2..4; default 3 */
    fv_progress_fn on_progress;
    void *ud;
};
/* Writes atomically (the old file stays until the new one is complete). */
int gs_scene_save(const struct gs_scene *s, const char *path, const struct gs_save_opts *opts);
/* "ply", "spz" ... for messages. */
const char *gs_format_name(enum gs_format f);
/* By its ending, as it would be written; AUTO: none of them. */
enum gs_format gs_format_of_name(const char *name);

/* order[count]: rows along a Morton curve of their positions, so that neighbours in space become
 * neighbours in memory. */
int gs_scene_morton(const struct gs_scene *s, uint32_t *order);

/* The vertices of a .ply as columns of numbers, for other rooms' files. data and name must outlive the
 * table. Returns 0, FV_EFORMAT, FV_EUNSUPPORTED, FV_ENOMEM. */
struct gs_ply_table;
int gs_ply_table_open(struct gs_ply_table **out, const void *data, size_t size, const char *name);
void gs_ply_table_close(struct gs_ply_table **t);
size_t gs_ply_table_rows(const struct gs_ply_table *t);
/* How many columns are named PREFIX0, PREFIX1 ... without a gap. */
uint32_t gs_ply_table_numbered(const struct gs_ply_table *t, const char *prefix);
/* One column into out[row * stride]. FV_EFORMAT: there is none of that name, or a value is not finite. */
int gs_ply_table_read(const struct gs_ply_table *t, const char *column, float *out, size_t stride);
/* dir/point_cloud/iteration_N/point_cloud.ply of the highest N of a training folder; the caller frees
 * it; NULL when there is none. */
char *gs_find_trained(const char *dir);

/* Scene edits, in place. */
int gs_scene_append(struct gs_scene *s, const struct gs_scene *more); /* SH to the higher degree */
int gs_scene_crop(struct gs_scene *s, const float min[3], const float max[3]);
int gs_scene_cut_sh(struct gs_scene *s, int degree);
int gs_scene_prune_opacity(struct gs_scene *s, float least); /* least alpha in 0..1 kept */
/* Similarity: x' = scale * R x + translate, R from a quaternion w,x,y,z; covariances and SH
 * (Wigner rotation of bands 1..3) follow. */
int gs_scene_transform(struct gs_scene *s, const float rotate[4], float scale,
                       const float translate[3]);

struct gs_bounds {
    float min[3], max[3];       /* of the centres */
    float centre[3], radius;    /* robust: median, and 90th percentile of the distance to it */
};
void gs_scene_bounds(const struct gs_scene *s, struct gs_bounds *out);

/* Greatest absolute difference of each attribute, row by row: alpha is linear, scale the
 * natural log, rotation between unit quaternions up to sign, dc and rest SH coefficients. */
struct gs_scene_diff {
    double position, alpha, scale, rotation, dc, rest;
    size_t first_bad;           /* first row beyond the tolerance; SIZE_MAX = none */
    const char *first_bad_what; /* its attribute, static text */
};
/* Compares two scenes in their order. tolerance may be NULL: nothing is bad then.
 * Returns 0, or FV_EINVALID when counts or SH degrees differ. */
int gs_scene_compare(const struct gs_scene *a, const struct gs_scene *b,
                     const struct gs_scene_diff *tolerance, struct gs_scene_diff *out);

/* ---- cameras --------------------------------------------------------------------------- */

struct gs_camera {
    char name[128];
    uint32_t width, height; /* pixels */
    double fx, fy, cx, cy;  /* pixels; cx = width/2 is centred */
    double view[16];        /* world->camera, row-major */
    double near, far;       /* as the file says; 0 = it says nothing. Gaussians are left out at view
                               depths up to min(near, 0.2); without near, up to 0.2 or a fifth of
                               the radius of a scene smaller than 1 */
    bool has_bg;
    float bg[3];
    double time;   /* seconds along a path; 0 in plain lists */
};

enum gs_camera_format {
    GS_CAMERAS_AUTO,
    GS_CAMERAS_LIST,       /* [{name,width,height,fx,fy,cx,cy,viewmat,bg}], or lines of numbers */
    GS_CAMERAS_INRIA,      /* cameras.json of a training folder */
    GS_CAMERAS_TRANSFORMS, /* NeRF / nerfstudio transforms.json */
    GS_CAMERAS_COLMAP,     /* a sparse model folder, text or binary */
    GS_CAMERAS_LLFF,       /* poses_bounds.npy */
    GS_CAMERAS_PATH,       /* fovea's keyframes (docs/CAMERA_PATH.md) */
};

struct gs_cameras {
    struct gs_camera *items;
    size_t count;
    enum gs_camera_format format;
    bool is_path; /* items are keyframes to interpolate by time */
    bool loop;    /* the path closes */
    double fps;   /* of a path; 0 = caller's choice */
};

struct gs_cameras_opts {
    uint32_t width, height; /* picture size for files that hold none (0 = not given: 1280x720 for
                               lenses given as angles; focal lengths in pixels then are an error
                               that asks for it). Files that hold one keep it: gs_camera_resize */
};

/* Reads any camera file or folder (docs/CAMERAS.md). Lists are in file order, COLMAP sorted by
 * image name. opts may be NULL.
 * Returns 0, FV_EIO, FV_EFORMAT, FV_EUNSUPPORTED; on failure *out is zeroed. */
int gs_cameras_load(struct gs_cameras *out, const char *path, const struct gs_cameras_opts *opts);
void gs_cameras_finish(struct gs_cameras *c);
/* Writes fovea's camera-path JSON (keyframes with time, all of the first one's size). */
int gs_cameras_save_path(const struct gs_cameras *c, const char *path);
/* Writes the plain list: objects of gs_camera_json. */
int gs_cameras_save_list(const struct gs_cameras *c, const char *path);
/* One camera as an object of the plain list; the caller deletes it (cJSON_Delete). NULL when
 * out of memory. */
struct cJSON *gs_camera_json(const struct gs_camera *c);
/* And back. FV_EFORMAT: it is none (NULL, too). */
int gs_camera_of_json(struct gs_camera *out, const struct cJSON *object);
/* Index of a camera by its name, by decimal index, or by its name without folder and
 * extension, tried in this order; negative code when there is none. */
int gs_cameras_find(const struct gs_cameras *c, const char *name_or_index);
/* Camera at `time` seconds of a path: centripetal Catmull-Rom positions, quaternion spline
 * rotations, interpolated focal length; clamps (or wraps when loop) outside. A plain list is
 * taken as a path of one key a second. Items must be in order of time. */
int gs_cameras_eval(const struct gs_cameras *c, double time, struct gs_camera *out);
/* Seconds from the first key to the last; of a loop, back to the first (the way from the last
 * key takes the mean time between keys). */
double gs_cameras_duration(const struct gs_cameras *c);
/* Changes the picture size keeping the field of view (of the shorter fit: what was visible
 * stays visible). */
void gs_camera_resize(struct gs_camera *c, uint32_t width, uint32_t height);
/* Frame i of n of a full turn around the scene: up from the scene's metadata or -y. */
void gs_camera_orbit(struct gs_camera *out, const struct gs_scene *s, const struct gs_bounds *b,
                     uint32_t width, uint32_t height, double turn /* 0..1 */);
/* World-space centre of a camera. */
void gs_camera_centre(const struct gs_camera *c, double out[3]);
/* view = look from eye at target; up need not be orthogonal. */
void gs_camera_look_at(struct gs_camera *c, const double eye[3], const double target[3],
                       const double up[3]);

/* ---- rendering ------------------------------------------------------------------------- */

/* Gaussians on the device. Owned by the caller; must outlive frames that use it. */
struct gs_gpu_scene;

struct gs_upload_opts {
    bool exact;  /* float32 attributes in file order (240 B each) instead of the packed, Morton-
                    ordered ones (128 B at SH 3, 96 at 2, 64 at 1, 48 at 0) */
    bool in_order; /* packed ones, too, stay in the scene's order, which is a good one already */
    fv_progress_fn on_progress;
    void *ud;
};
int gs_gpu_scene_create(struct gs_gpu_scene **out, struct vk_device *dev, const struct gs_scene *s,
                        const struct gs_upload_opts *opts);
/* The same Gaussians as they are now: a scene of the same count and degree in place of the one it
 * was made of with in_order or exact. No frame that draws it may be in flight. */
int gs_gpu_scene_update(struct gs_gpu_scene *g, const struct gs_scene *s);
void gs_gpu_scene_destroy(struct gs_gpu_scene **s);
/* Bytes of device memory that one holds, its maker's among them. */
uint64_t gs_gpu_scene_held(const struct gs_gpu_scene *g);
/* Bytes of device memory a scene takes (uploaded or not). */
uint64_t gs_gpu_scene_bytes(size_t count, int sh_degree, bool exact);

/* A scene whose Gaussians are made anew for each view by kernels of another room, recorded into the
 * frame before it is drawn. They have one colour each (SH 0). A maker's kernels may project them as they make
 * them (shaders/gs/project.glsl): then nothing is written but what is drawn. Where they cannot, or a scene
 * has to be drawn in slices of its depth, they write Gaussians in the layout of gs/gpu_scene.c, packed or
 * exact. What was made stays until it is made again: a maker that records nothing shows it once more. */
struct vk_cmd;
struct gs_make_chunk {
    const struct vk_buf *geo, *sh;
    uint32_t first, count; /* Gaussians */
};
struct gs_make {
    struct vk_cmd *cmd;
    const struct gs_camera *camera;
    uint32_t lanes; /* subgroup size of kernels for CPU drivers; 0: the forms for GPUs */
    bool tex;       /* texel buffers are large enough to be read through */
    const struct gs_make_chunk *chunk;
    uint32_t chunks, room;     /* Gaussians that fit */
    uint32_t version;          /* changes when what the chunks held is lost */
    const struct vk_buf *ctl;  /* gets, in words: */
    uint32_t live_at, need_at; /* Gaussians that were made, at most `room`; raised to how many there are */
    uint32_t flags_at, flag;   /* flag, where that is more than room: the frame is drawn again */
    const struct gs_make_splats *splats; /* to be written in place of Gaussians, with no chunks; or NULL */
};
/* What kernels that project are given, and write: Gaussian after Gaussian as there are, GS_UNSEEN as the key
 * of those the view does not show, and how many of a block it does. */
enum { GS_SPLAT_SPEC = 8 };
struct gs_make_splats {
    const struct vk_buf *params, *rec, *key, *visible;
    uint32_t params_at, params_bytes; /* gs_params */
    uint32_t spec[GS_SPLAT_SPEC];     /* constants of project.glsl */
    bool kept;                        /* those of this view are there still */
};
struct gs_maker {
    void *ud;
    void (*record)(void *ud, const struct gs_make *m); /* failures: vk_cmd_fail */
    void (*finish)(void *ud);    /* the scene is destroyed. May be NULL: the maker outlives it */
    uint64_t (*bytes)(void *ud); /* device memory of its own. May be NULL: none */
    /* Of one that projects: its blocks, the first Gaussian of each and how many there are in all; else NULL */
    const struct vk_buf *first;
    uint32_t blocks;
};
/* around: its positions say where Gaussians will be. room: how many are expected; it grows. On failure
 * the maker is not finished. */
int gs_gpu_scene_create_made(struct gs_gpu_scene **out, struct vk_device *dev,
                             const struct gs_scene *around, size_t room, bool exact,
                             const struct gs_maker *maker);
/* Copies the Gaussians of an exact made scene as it was drawn last, into a zeroed scene. */
int gs_gpu_scene_fetch(const struct gs_gpu_scene *g, size_t count, struct gs_scene *out);

enum gs_output {
    GS_OUT_RGBA8,    /* blended over bg; A = 255 * alpha */
    GS_OUT_RGB_F32,  /* [H][W][3] as blended, unclamped */
    GS_OUT_ALPHA_F32, /* [H][W] 1 - final transmittance */
    GS_OUT_DEPTH_F32, /* [H][W] sum(w z) / max(alpha,1e-10) */
    GS_OUT_DEPTH_ACC_F32, /* [H][W] sum(w z) */
    GS_OUT_YUV420P,  /* planes Y, U, V; width and height even */
    GS_OUT_YUV444P,
    GS_OUT_YUV420P10, /* 10 bits in little-endian 16 */
};

struct gs_render_opts {
    enum gs_mode mode;    /* AUTO: the scene's */
    enum gs_output output;
    int sh_bands;         /* use this many bands, 1..4; 0 = all the scene has */
    bool exact;           /* reference arithmetic (the scene must be uploaded exact for it to
                             reach golden accuracy) */
    bool has_bg;
    float bg[3];          /* over the camera's; default black */
    float splat_scale;    /* multiplies every standard deviation; 0 = 1 */
    bool has_crop;
    float crop_min[3], crop_max[3]; /* world box; centres outside are left out */
    uint32_t supersample; /* 1..4, box-filtered; 0 = 1 */
    uint32_t part_x, part_of; /* the camera's picture is the columns from part_x on of one that is part_of wide, and
                             gets the same pixels; 0 of 0 = it is whole */
    bool stereo;          /* side by side: left half eye, right half eye; width is per eye */
    float eye_distance;   /* world units; 0 = from the scene's radius */
    int yuv_matrix;       /* 0 = BT.709, 1 = BT.601; limited range */
    enum gs_raster { GS_RASTER_AUTO, GS_RASTER_LANES, GS_RASTER_WIDE } raster; /* for tests:
                             lanes = few private lanes (CPU drivers), wide = GPUs */
};

struct gs_renderer;
int gs_renderer_create(struct gs_renderer **out, struct vk_device *dev);
void gs_renderer_destroy(struct gs_renderer **r);

struct gs_pass_time {
    const char *name;
    double wall_ms, cpu_ms, gpu_ms; /* wall and cpu only when profiled; gpu by timestamps */
};

struct gs_frame_stats {
    uint32_t visible;   /* Gaussians projected */
    uint64_t pairs;     /* (Gaussian, tile) pairs blended */
    uint64_t spans;     /* (Gaussian, tile row) pairs */
    uint32_t made;      /* Gaussians of a scene that is made for each view */
    uint32_t retries;   /* times a buffer had to grow and the frame was drawn again */
    uint32_t slices, bands;
    uint64_t device_bytes; /* working memory of the renderer */
    size_t pass_count;
    struct gs_pass_time pass[24];
};

/* One picture in flight. Two or three frames used in turn overlap rendering with what the
 * caller does with the pixels. */
struct gs_frame {
    uint32_t width, height; /* of the picture (both eyes when stereo) */
    enum gs_output output;
    const void *pixels;     /* after gs_frame_wait: host memory, valid until the next submit */
    size_t size;            /* bytes */
    const struct vk_buf *device_pixels; /* the same on the device, for a viewer to copy from */
    struct gs_frame_stats stats;
    struct gs_frame_private *p;
};
int gs_frame_create(struct gs_frame **out, struct gs_renderer *r);
void gs_frame_destroy(struct gs_frame **f);
/* Keep the pixels on the device only (no readback); for viewers. */
void gs_frame_keep_on_device(struct gs_frame *f, bool keep);
/* Measure every pass alone (wall and CPU time); slower. */
void gs_frame_profile(struct gs_frame *f, bool on);
/* Starts drawing; returns at once. The picture has the camera's size. */
int gs_frame_submit(struct gs_frame *f, const struct gs_gpu_scene *s, const struct gs_camera *c,
                    const struct gs_render_opts *opts);
/* Waits until pixels are there; grows buffers and draws again when one was too small. */
int gs_frame_wait(struct gs_frame *f);

/* Device memory of drawing, in bytes. */
struct gs_memory {
    uint64_t scene;    /* the Gaussians: gs_gpu_scene_bytes */
    uint64_t renderer; /* working buffers, shared by the frames of a renderer */
    uint64_t frame;    /* each gs_frame: its picture on the way to the host */
};
/* What drawing a scene in pictures of width x height (per eye) makes a new renderer allocate on
 * this device: the sizes are gs_frame_submit's own. Only a view that heaps more tile rows a
 * Gaussian onto the picture than planned for makes a renderer grow further (frame statistics:
 * retries). Allocates nothing on the device.
 * Returns 0, FV_EINVALID (size), FV_EUNSUPPORTED (too large for the device), FV_ENOMEM. */
int gs_memory_needed(struct gs_memory *out, struct vk_device *dev, size_t count, int sh_degree,
                     uint32_t width, uint32_t height, const struct gs_render_opts *opts);

/* Projected quantities of every Gaussian, in the scene's order, for `fovea check`: computed by
 * the same kernel as rendering (exact scenes only). Arrays are the caller's, may be NULL. */
struct gs_projection {
    float *means2d; /* [count][2] pixel (0,0) centre at (0.5,0.5) */
    float *depths;  /* [count] view z */
    float *conics;  /* [count][3] */
    float *colors;  /* [count][3] */
    float *opacity; /* [count] after the antialiasing factor */
    uint8_t *visible; /* [count] */
};
int gs_project(struct gs_renderer *r, const struct gs_gpu_scene *s, const struct gs_camera *c,
               const struct gs_render_opts *opts, struct gs_projection *out);

/* Slow double-precision reference of the whole picture on the CPU: out [H][W][5] = rgb over
 * bg, alpha, accumulated depth. The obvious twin every fast path is judged against. */
int gs_render_reference(const struct gs_scene *s, const struct gs_camera *c,
                        const struct gs_render_opts *opts, double *out);

/* How much of the pictures each Gaussian makes: out[count] = mean over the cameras of the sum over
 * pixels of its squared blending weight, on the host, in classic mode. */
int gs_visibility(const struct gs_scene *s, const struct gs_camera *cameras, size_t camera_count,
                  float *out);

/* ---- moving scenes: .fvv streams (docs/STREAM.md) --------------------------------------- */

enum gs_stream_frame_kind {
    GS_FRAME_BASE,     /* whole */
    GS_FRAME_ENTRY,    /* against the base before it: first of a group */
    GS_FRAME_RESIDUAL, /* against the frame before it */
};
enum gs_stream_model {
    GS_STREAM_DIRECT, /* quantised residuals */
    GS_STREAM_QUEEN,  /* latents and decoders: streams trained that way, or fitted */
    GS_STREAM_ANCHORS, /* models of another room, each frame one: gs_stream_keys */
};
struct gs_stream_frame {
    enum gs_stream_frame_kind kind;
    uint32_t size;    /* bytes, of all its chunks; 0: lost, its place in the file is damaged */
    uint64_t offset;  /* in the file */
    uint32_t part[4]; /* of size: its own chunk, then that of each SH band. part[0] is 0 when only
                         their sum is known */
    uint32_t base;    /* frame that holds the base it is decoded with; UINT32_MAX: it may be lost */
    uint32_t entry;   /* frame at which decoding enters its group */
};
struct gs_stream_info {
    enum gs_stream_model model;
    uint32_t frame_count;
    double fps;
    uint32_t count; /* Gaussians of the first base, or anchors */
    int sh_degree;  /* of the first base */
    enum gs_mode mode;
    float up[3];
    bool has_start;         /* the file says where a viewer begins: */
    struct gs_camera start;
    uint64_t bytes;   /* of the file, as far as it is known */
    bool complete;    /* it has its index; else it was cut, or is still written */
    bool growing;     /* more frames may be found: gs_stream_more */
    char damage[160]; /* what is wrong with the list of frames; "" if nothing */
    const struct gs_stream_frame *frame; /* [frame_count]; moves when gs_stream_more finds some */
};

/* Where a stream's bytes come from. No call waits: what is on its way is FV_EAGAIN, and the call of
 * gs_stream_* that wanted it returns that, to be called again. One thread calls at a time. */
struct gs_source_info {
    uint64_t size; /* as it is now; UINT64_MAX: not known */
    bool grows;    /* it may become longer */
    bool in_order; /* the end is not there before all the rest is */
};
struct gs_range {
    uint64_t offset, size;
};
struct gs_source {
    void *ud;
    int (*info)(void *ud, struct gs_source_info *out);
    /* Copies `size` bytes from offset. *got is how many there were: fewer at the end of what will
     * not grow any more. FV_EAGAIN, FV_EIO. */
    int (*read)(void *ud, uint64_t offset, void *dst, size_t size, size_t *got);
    /* May be NULL: bytes that will be read, the most urgent first; in place of those of the last
     * call. */
    void (*want)(void *ud, const struct gs_range *ranges, size_t count);
    /* May be NULL, everything then is there: bytes from offset on that could be read now. */
    uint64_t (*have)(void *ud, uint64_t offset);
    void (*close)(void *ud);
};
/* A file. live: it may still be written, until nothing was added for so many seconds; 0: it is as
 * it is. FV_EIO, FV_ENOMEM. */
int gs_source_open_file(struct gs_source *out, const char *path, double live);

struct gs_stream;
/* Opens a file. One that was cut at any byte has the frames before the cut; one that is damaged has
 * those that are whole. Returns 0, FV_EIO, FV_EFORMAT (not a stream, or not one base is whole). */
int gs_stream_open(struct gs_stream **out, const char *path);
/* The same from a source, which stays the caller's and must outlive the stream. name: for messages.
 * With an index at the end all frames are known at once; else (cut, still being written, a source
 * that is read in order) those that came so far: info->growing. *out is NULL at first; FV_EAGAIN:
 * call again with what it became, or close that. */
int gs_stream_open_source(struct gs_stream **out, const struct gs_source *source, const char *name);
void gs_stream_close(struct gs_stream **s);
/* Valid until the stream is closed; only gs_stream_more changes it. */
const struct gs_stream_info *gs_stream_info(const struct gs_stream *s);
/* Looks for the next frame of a stream that has no index yet. Returns 1 if frame_count grew, 0 if
 * the stream has ended, FV_EAGAIN, FV_EIO. */
int gs_stream_more(struct gs_stream *s);
/* Decodes a frame into a zeroed scene or one it filled before, which is allocated anew only when
 * the count changes; seeks by itself: the next frame costs one residual, any other the base (kept
 * while it is the same), an entry and the residuals after it. sh_degree: most to read, less skips
 * bytes. Not thread-safe for one stream.
 * Returns 0, FV_EAGAIN (call again: what was decoded on the way is kept), FV_EINVALID (no such
 * frame), FV_EIO, FV_EFORMAT (damaged: names frame and section; the frames from
 * gs_stream_next_group on may still decode). */
int gs_stream_decode(struct gs_stream *s, uint32_t frame, int sh_degree, struct gs_scene *scene);
/* The same into a device scene: *gpu is NULL or what an earlier call made, of any stream on this
 * device; nothing that draws it may be in flight, and the stream is closed before the device. Of a
 * scene that holds a frame of the same base only what changed since is converted and sent. On failure
 * it holds what it held, or nothing, *gpu then being NULL. exact: as of gs_upload_opts. Returns
 * FV_EGPUMEM, FV_ENOMEM too. */
int gs_stream_upload(struct gs_stream *s, uint32_t frame, int sh_degree, struct vk_device *dev,
                     bool exact, struct gs_gpu_scene **gpu);
/* The first frame after `frame` that needs nothing of its group: frame_count if there is none. */
uint32_t gs_stream_next_group(const struct gs_stream *s, uint32_t frame);
/* Whether a frame's bytes are whole, bands and all. Returns as gs_stream_decode. */
int gs_stream_verify(struct gs_stream *s, uint32_t frame);
/* Bases that are models of another room, whose Gaussians are made for each view. A stream with such
 * bases decodes once it was given these (else FV_EUNSUPPORTED). */
struct gs_stream_keys {
    void *ud;
    /* A model of a base's bytes, which are not kept. name: for messages. */
    int (*open)(void *ud, void **key, const void *data, size_t size, const char *name);
    /* Into a zeroed scene: what gs_stream_decode gives. */
    int (*decode)(void *ud, void *key, struct gs_scene *scene);
    /* A scene that makes its Gaussians itself and outlives the key: what gs_stream_upload gives. */
    int (*upload)(void *ud, void *key, struct vk_device *dev, bool exact, struct gs_gpu_scene **gpu);
    void (*close)(void *ud, void *key);
};
/* keys, but not what ud points to, is copied; before the first frame is decoded. */
void gs_stream_set_keys(struct gs_stream *s, const struct gs_stream_keys *keys);
/* Tells the source what decoding `count` frames from `frame` on will read; they wrap around at the
 * end when loop is set. */
void gs_stream_want(struct gs_stream *s, uint32_t frame, uint32_t count, int sh_degree, bool loop);
/* How many frames from `frame` on, at most `most`, could be decoded without waiting. */
uint32_t gs_stream_ahead(struct gs_stream *s, uint32_t frame, uint32_t most, int sh_degree);
/* Bytes of `count` frames from `frame` on (fewer at the end) when read up to a degree, without the
 * base they need from before. */
uint64_t gs_stream_bytes(const struct gs_stream *s, uint32_t frame, uint32_t count, int sh_degree);

/* The frames to encode: fills a zeroed scene. A frame may be asked for more than once. */
typedef int gs_frames_fn(void *ud, uint32_t frame, struct gs_scene *out);

struct gs_stream_coded {
    enum gs_stream_frame_kind kind;
    uint32_t count; /* Gaussians */
    uint64_t bytes;
    double psnr, ssim; /* of pictures against those of the input, from views nothing was tuned on:
                          dB over covered pixels, SSIM over whole pictures */
};

struct gs_stream_opts {
    double psnr;       /* dB over covered pixels that the base is to reach; default 40 */
    double fps;        /* default 30 */
    uint32_t group;    /* frames from one point of entry to the next; default 30 */
    enum gs_stream_model model;
    uint32_t clusters; /* direct: most rigid clusters of a group, up to 32; default 16 */
    uint32_t latents;  /* QUEEN: most of a Gaussian's attribute, up to 45; 0 as many as are of use */
    bool dft;          /* QUEEN: decoders of fixed directions that are scaled, not learned ones */
    bool live;         /* the file is written in place, frame by frame: it can be read meanwhile
                          (info->growing), and has its index also after a failure */
    double frame_bytes; /* instead of psnr: what a frame takes on average, all included; 0 none */
    const struct gs_cameras *views; /* to measure from; NULL: eight around the scene */
    const struct gs_camera *start;  /* where a viewer begins; NULL: it finds a place itself */
    fv_progress_fn on_progress;
    void *ud;
    /* Gets every frame that was written; only then frames are measured. */
    void (*on_frame)(void *frame_ud, const struct gs_stream_coded *frame);
    void *frame_ud;
};
struct gs_stream_report {
    double psnr;              /* of the bases, measured from views they were not tuned on */
    double step_scale;        /* found to reach it */
    uint64_t bytes, base_bytes, entry_bytes, residual_bytes;
    uint32_t bases, entries, residuals;
    uint64_t section_bytes[12]; /* levels and motion, positions, rotations, scales, opacities,
                                   colours, SH 1 to 3, deaths, births, trajectory bases; of all
                                   frames */
};
/* Encodes frames into a file, which takes its name when it is complete. Gaussians are found again in
 * the next frame by their order, else by what they look like and where; the others die and are born.
 * A frame in which too little carries over begins a new base. */
int gs_stream_encode(struct vk_device *dev, const char *path, uint32_t frame_count,
                     gs_frames_fn *frame, void *frame_ud, const struct gs_stream_opts *opts,
                     struct gs_stream_report *report);

/* A frame as a base of another room's bytes. */
struct gs_stream_key {
    void *data; /* malloc'd: the writer frees it */
    size_t size;
    uint32_t count; /* anchors */
    double psnr, ssim;
};
typedef int gs_keys_fn(void *ud, uint32_t frame, struct gs_stream_key *out);
/* Writes frames that are such bases, each on its own. Of the options fps, live, start, on_progress and
 * on_frame; about: a scene whose mode and up axis are those of all. Returns 0, what `key` failed with, FV_EIO, FV_ENOMEM,
 * FV_ECANCELLED (what was written plays). */
int gs_stream_write_keys(const char *path, uint32_t frame_count, gs_keys_fn *key, void *key_ud,
                         const struct gs_scene *about, const struct gs_stream_opts *opts,
                         struct gs_stream_report *report);

struct gs_queen_files;
/* A trained QUEEN model (gs_queen_find) as a stream of that model: its first frames, of which each
 * decodes to the bits that gs_queen_apply makes of the files, Gaussians in the Morton order of the
 * first. Of the options fps, group, live and on_progress. No device is needed. Returns 0, FV_EIO,
 * FV_EFORMAT, FV_EUNSUPPORTED, FV_ECANCELLED (what was written plays). */
int gs_stream_import_queen(const char *path, const struct gs_queen_files *files,
                           uint32_t frame_count, const struct gs_stream_opts *opts,
                           struct gs_stream_report *report);

/* ---- playing streams ------------------------------------------------------------------- */

#include "gs/player.h"

/* ---- picture comparison ---------------------------------------------------------------- */

/* PSNR in dB over all samples in 0..1 (infinite when equal). SSIM with the 11x11 Gaussian window
 * (sigma 1.5) of Wang et al. 2004, per channel, mean. The map has every pixel (mean of its
 * channels, the picture mirrored at the borders); the result is the mean over the pixels at least
 * 5 from every edge, as Wang's and scikit-image's, or over all of a picture smaller than the
 * window. Images are [h][w][channels]. */
double gs_psnr(const float *a, const float *b, size_t samples);
int gs_ssim(double *out, const float *a, const float *b, uint32_t w, uint32_t h, uint32_t channels,
            float *map /* [h][w] or NULL */);

/* Views of a scene that other forms of it are measured against: of `views`, made smaller where they are
 * large, or around the scene. Even ones are for choosing a form, odd ones to report it. */
enum { GS_GAUGE_VIEWS = 8 };
struct gs_gauge;
int gs_gauge_create(struct gs_gauge **out, struct vk_device *dev, const struct gs_cameras *views,
                    const struct gs_scene *scene, const struct gs_bounds *bounds);
void gs_gauge_destroy(struct gs_gauge **g);
/* [GS_GAUGE_VIEWS] */
const struct gs_camera *gs_gauge_cameras(const struct gs_gauge *g);
/* Views `first`, first + step ... of the scene itself, to be measured against. */
int gs_gauge_see(struct gs_gauge *g, const struct gs_gpu_scene *s, int first, int step);
/* The mean squared error of another form in these views, on pixels that the scene covers; SSIM of whole
 * pictures, may be NULL. */
int gs_gauge_error(struct gs_gauge *g, const struct gs_gpu_scene *s, int first, int step, double *mse,
                   double *ssim);
/* In dB. */
double gs_gauge_psnr(double mse);
/* The scale of errors at which a form has this PSNR, by a few trials; the first takes an error of scale^2 for
 * each of `parts`. measure: the error at a scale. */
typedef int gs_gauge_fn(void *ud, double scale, double *mse);
int gs_gauge_search(double psnr, double parts, gs_gauge_fn *measure, void *ud, double *scale);

/* ---- QUEEN streams ---------------------------------------------------------------------- */

#include "gs/queen.h"

#endif

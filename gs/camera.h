/* Private to gs/: what the camera readers share, and their parse-from-memory forms.
 *
 * A reader appends to a zeroed gs_cameras with gs_cameras_push; gs_cameras_load frees what a
 * failed reader leaves. File contents are checked with gs_camera_problem before they are kept. */
#ifndef GS_CAMERA_H
#define GS_CAMERA_H

#include "gs/gs.h"
#include "vk/base/json.h"

enum {
    GS_CAMERA_MAX_SIZE = 65536,
    GS_CAMERA_WIDTH = 1280, /* when neither the file nor the caller says */
    GS_CAMERA_HEIGHT = 720,
};

/* What a camera file may leave open. */
struct gs_camera_hints {
    const char *dir;        /* where relative image names start; NULL = do not look at images */
    uint32_t width, height; /* for files that do not say; 0 = not given */
};

/* ---- camera.c: poses ---- */

/* NULL, or what is wrong with the camera, as the end of a sentence: size, focal length,
 * principal point, a view that is not a rotation and a translation. */
const char *gs_camera_problem(const struct gs_camera *c);
/* view = inverse of the camera->world matrix m[3][4] (OpenCV axes); a uniform scale of the
 * rotation part is divided out. false when m is singular or not finite. */
bool gs_camera_set_c2w(struct gs_camera *c, const double m[12]);
/* The same from a rotation w,x,y,z (any length but zero: false) and the centre. */
bool gs_camera_set_pose(struct gs_camera *c, const double rotation[4], const double centre[3]);
/* Unit quaternion w,x,y,z (w >= 0) of the camera->world rotation. */
void gs_camera_rotation(const struct gs_camera *c, double out[4]);
/* Row-major 3x3 of a quaternion w,x,y,z of any length; false when that is 0 or not finite. */
bool gs_quaternion_matrix(const double q[4], double out[9]);
/* Gaussians at this view depth or nearer are left out: 0.2 as in the reference rasterisers, or
 * the camera's near where that is less (more is no reason to cut: LLFF's is where the scene
 * mostly begins); when the camera says nothing, a fifth of the radius of a scene smaller than 1. */
float gs_near_plane(const struct gs_camera *c, double scene_radius);
/* fx = fy from an angle in radians across `size` pixels. */
double gs_focal_of_angle(double angle, double size);

/* ---- cameras_load.c ---- */

/* A new zeroed camera at the end; NULL when out of memory (error text set). */
struct gs_camera *gs_cameras_push(struct gs_cameras *c);
/* Any single-file form, by content. dir and sizes of hints may be empty. */
int gs_cameras_parse(struct gs_cameras *out, const void *data, size_t size, const char *name,
                     const struct gs_camera_hints *hints);
/* Copies a name, cutting what does not fit. */
void gs_camera_set_name(struct gs_camera *c, const char *name);
/* The newest camera's name from the object, its index when there is none. */
void gs_json_camera_name(const struct gs_cameras *c, struct fv_json *doc, struct fv_node object,
                         const char *key);
/* The picture size of an object whose focal length is in pixels: its width and height, else
 * twice its cx and cy, else the caller's; fails the document when there is none. */
void gs_json_camera_size(struct fv_json *doc, struct fv_node object,
                         const struct gs_camera_hints *hints, struct gs_camera *c);
/* The last two for a file that says no size; false when there is neither. */
bool gs_camera_infer_size(const struct gs_camera_hints *hints, double cx, double cy,
                          struct gs_camera *c);
/* The caller's size, else the default; for lenses that are angles. */
void gs_camera_default_size(const struct gs_camera_hints *hints, struct gs_camera *c);

/* Calls read for every element of an array. cameras_load.c */
typedef int gs_read_camera_fn(struct gs_cameras *out, struct fv_json *doc, struct fv_node n,
                              const struct gs_camera_hints *hints);
int gs_json_each_camera(struct gs_cameras *out, struct fv_json *doc, struct fv_node array,
                        gs_read_camera_fn *read, const struct gs_camera_hints *hints);

/* Writes the document (freed here) atomically. NULL = out of memory. cameras_list.c */
int gs_json_write(struct cJSON *root, const char *path);

/* ---- one reader a file ---- */

typedef int gs_read_cameras_fn(struct gs_cameras *out, struct fv_json *doc,
                               const struct gs_camera_hints *hints);
gs_read_cameras_fn gs_cameras_read_list;       /* cameras_list.c */
gs_read_cameras_fn gs_cameras_read_inria;      /* cameras_inria.c */
gs_read_cameras_fn gs_cameras_read_transforms; /* cameras_transforms.c */
gs_read_cameras_fn gs_cameras_read_path;       /* camera_path.c */

/* Lines of "eye xyz, R row-major world->camera, horizontal field of view in radians". */
int gs_cameras_parse_lines(struct gs_cameras *out, const char *text, size_t size, const char *name,
                           const struct gs_camera_hints *hints); /* cameras_list.c */
int gs_cameras_parse_llff(struct gs_cameras *out, const void *data, size_t size, const char *name,
                          const struct gs_camera_hints *hints); /* cameras_llff.c */

/* A COLMAP model in memory; names are for messages. */
struct gs_colmap {
    bool binary;
    const void *cameras, *images; /* cameras.bin/.txt, images.bin/.txt */
    size_t cameras_size, images_size;
    const char *cameras_name, *images_name;
};
int gs_cameras_parse_colmap(struct gs_cameras *out, const struct gs_colmap *m);
/* The model in exactly this folder, binary preferred. */
int gs_cameras_open_colmap(struct gs_cameras *out, const char *dir);
/* Whether the folder holds cameras.bin and images.bin, or the text twins. */
bool gs_is_colmap_dir(const char *dir);

/* Pixel size from the first bytes of a PNG or JPEG; false for anything else. */
bool gs_image_size(const void *data, size_t size, uint32_t *width, uint32_t *height);
/* The same of a file; tries .png, .jpg, .jpeg after the path when it is missing itself. */
bool gs_image_file_size(const char *path, uint32_t *width, uint32_t *height);

#endif

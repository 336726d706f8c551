/* Private to gs/: the device scene, the renderer's buffers, and the passes. */
#ifndef GS_GPU_H
#define GS_GPU_H

#include "gs/gs.h"
#include "shaders/gs/made.h"
#include "shaders/gs/params.h"
#include "vk/cmd.h"
#include "vk/mem.h"

/* A chunk's buffers are as large as a binding may be. */
struct gs_chunk {
    struct vk_buf geo, sh;
    uint32_t count, block; /* Gaussians; index of its first block of GS_BLOCK */
    uint32_t room;         /* Gaussians its buffers hold */
};

/* Of a scene that is made for each view. */
struct gs_made {
    struct gs_maker maker;
    struct gs_gpu_scene *scene;
    uint32_t version; /* of what its chunks hold */
    bool bare;        /* its chunks have no buffers: nothing but projections was made so far */
    /* the projection that was made last: a renderer holds it if it has the same number */
    uint64_t projection;
    struct gs_params params;
    uint32_t spec[GS_SPLAT_SPEC];
};

struct gs_gpu_scene {
    struct vk_device *dev;
    struct gs_made *made; /* NULL: its Gaussians stay as they are */
    size_t count;
    uint32_t sh_degree, sh_stride; /* vec4 per Gaussian */
    bool exact;
    bool in_order; /* of the scene it was made of */
    uint64_t stream_group; /* what of a stream it holds (stream_gpu.h); 0: nothing */
    uint32_t stream_time;
    enum gs_mode mode;
    float centre[3], radius; /* of gs_scene_bounds */
    float reach;             /* 99.9 % of the centres are this near to `centre` */
    uint32_t block_count;
    uint32_t chunk_count;
    struct gs_chunk *chunks;
};

uint32_t gs_sh_stride(int degree, bool exact);
/* A scene for so many Gaussians whose buffers are still to be filled, measured by s (depths). */
int gs_gpu_scene_make(struct gs_gpu_scene **out, struct vk_device *dev, const struct gs_scene *s,
                      bool exact);
/* Measured by s, of which only positions are looked at. */
void gs_gpu_scene_place(struct gs_gpu_scene *g, const struct gs_scene *s);
/* Another number of Gaussians: contents are undefined afterwards where buffers had to grow. Waits
 * for frames in flight then. On failure the scene has no Gaussians. */
int gs_gpu_scene_resize(struct gs_gpu_scene *g, size_t count);
/* Buffers for the Gaussians of a scene that was projected as it was made. */
int gs_gpu_scene_unfold(struct gs_made *m);

/* Working buffers and limits, shared by all frames of a renderer: the queue runs one frame at
 * a time. Grown between frames only. */
struct gs_renderer {
    struct vk_device *dev;
    bool tex;             /* texel buffers are large enough */
    bool wide;            /* default binning for this device: GPUs */
    uint32_t lanes;       /* subgroup size of the lane kernels: 4, 8 or 16; 0 = not available */
    uint32_t slot_room;   /* 0 = from the device; halved when loops are cut short */
    uint64_t most_pixels; /* tests: of a strip; 0 = from the device */
    bool tight;           /* tests: start with far too little room */
    bool dry;             /* gs_reserve only notes sizes: gs_memory_needed */
    uint32_t threads;     /* that a CPU driver splits a grid over */
    uint32_t span_lanes;  /* lanes that share spans and lists */
    uint64_t span_room, entry_room;
    uint32_t bands;
    uint64_t last_ticket;
    uint64_t projection; /* that rec, key and visible hold (gs_made); 0: another */
    struct vk_buf params, ctl, key, rec, visible, first_slot, pair, pair2, order, digit_count,
        digit_start, sorted, piece, piece_prefix, part, span, bin_count, bin_total, bin_first, list,
        fine, picture, state, touched, pair_first, part_sum, tile_pair, tile_pair2, tile_range,
        result;
};

/* One camera's picture, or a strip of it, as the kernels see it. */
struct gs_view {
    struct gs_params params;
    uint32_t params_at; /* byte offset in r->params */
    uint32_t width, height;
    bool exact, antialiased, depth; /* depth: drawn instead of colour */
    bool floats;                    /* the picture is kept as vec4 of floats, not RGBA8 words */
    uint32_t bands_sh;              /* SH bands to use */
    struct gs_camera camera;        /* for who makes the scene */
    bool clear_counters;
};

/* What one frame needs; decided on the host from sizes only. */
struct gs_plan {
    uint32_t slots, slices; /* per slice */
    uint32_t blocks;
    bool projected; /* by who makes the scene */
    uint32_t bands, rows_per_band;
    uint32_t tile_w, tile_h, bin_tiles, bins_x, rows;
    uint32_t pixels; /* of the picture buffer */
    bool wide;
};

/* Makes r's buffers large enough for the plan (waits for frames in flight if one must grow). */
int gs_raster_reserve(struct gs_renderer *r, const struct gs_gpu_scene *s, const struct gs_view *v,
                      struct gs_plan *plan);
/* Records all passes of one view into cmd. */
void gs_raster_record(struct gs_renderer *r, struct vk_cmd *cmd, const struct gs_gpu_scene *s,
                      const struct gs_view *v, const struct gs_plan *plan);
/* Only the projection, into r->rec and r->visible (one slice). */
void gs_project_record(struct gs_renderer *r, struct vk_cmd *cmd, const struct gs_gpu_scene *s,
                       const struct gs_view *v, const struct gs_plan *plan);
/* The binning and blending of one slice, by each design: raster_lanes.c, raster_wide.c. */
void gs_record_lanes(struct gs_renderer *r, struct vk_cmd *cmd, const struct gs_view *v,
                     const struct gs_plan *plan, uint32_t slice);
void gs_record_wide(struct gs_renderer *r, struct vk_cmd *cmd, const struct gs_view *v,
                    const struct gs_plan *plan, uint32_t slice);
int gs_reserve_lanes(struct gs_renderer *r, const struct gs_view *v, struct gs_plan *plan);
int gs_reserve_wide(struct gs_renderer *r, const struct gs_view *v, struct gs_plan *plan);
/* buf at least size bytes; contents lost when it grows. */
int gs_reserve(struct gs_renderer *r, struct vk_buf *buf, uint64_t size, const char *label);
/* The same for words that a kernel writes and reads as texels (where the device has texel buffers
 * that large, else as storage); gs_words_max: most bytes. */
int gs_reserve_words(struct gs_renderer *r, struct vk_buf *buf, uint64_t size, const char *label);
uint64_t gs_words_max(const struct gs_renderer *r);
/* At least so many bytes of a buffer as texels, in steps of twice as many: a buffer keeps the view of every range it
 * was bound with, and not every size of a window is to make another. */
uint64_t gs_texel_range(const struct gs_renderer *r, const struct vk_buf *b, uint64_t size, uint64_t texel);
/* Fills a view from a camera; rows [y0, y0+rows) of it, scaled by supersampling. */
void gs_view_init(struct gs_view *v, const struct gs_gpu_scene *s, const struct gs_camera *c,
                  const struct gs_render_opts *o, uint32_t y0, uint32_t rows);

/* Sorts the ctl[GS_CTL_VISIBLE] pairs in r->pair by depth key, stable: slots in r->order. */
void gs_record_depth_sort(struct gs_renderer *r, struct vk_cmd *cmd, const struct gs_plan *plan,
                          bool exact, bool wide);
void gs_lanes_sort(struct gs_renderer *r, struct vk_cmd *cmd, bool exact);
void gs_wide_sort(struct gs_renderer *r, struct vk_cmd *cmd, const struct gs_plan *plan,
                  bool exact);

/* Dispatch of "gs/<name>.<tex|ssbo>" or, with variant, "gs/<name>.<variant>.<tex|ssbo>". */
struct gs_pass {
    struct gs_renderer *r;
    struct vk_cmd *cmd;
    const char *name, *variant;
    bool plain; /* the shader has no tex/ssbo variants */
    uint32_t spec[VK_MAX_SPEC], nspec, subgroup;
    struct vk_bind bind[8];
    uint32_t nbind;
    const void *push;
    uint32_t push_size;
};
/* Beyond 65535 groups in two dimensions: the shader must use GROUP_ID and check it. */
void gs_dispatch(const struct gs_pass *p, uint32_t groups);

/* Formats of texel bindings, by what the kernel reads. */
#define GS_F4 VK_FORMAT_R32G32B32A32_SFLOAT
#define GS_U4 VK_FORMAT_R32G32B32A32_UINT
#define GS_U2 VK_FORMAT_R32G32_UINT
#define GS_U1 VK_FORMAT_R32_UINT

/* Prefix sum of count words; total (cut to most) to ctl[total_at]. */
void gs_record_scan(struct gs_renderer *r, struct vk_cmd *cmd, const struct vk_buf *value,
                    const struct vk_buf *prefix, uint32_t count, uint32_t total_at, uint32_t most,
                    bool wide);
void gs_wide_scan(struct gs_renderer *r, struct vk_cmd *cmd, const struct vk_buf *value,
                  const struct vk_buf *prefix, const struct gs_scan_push *push);

#endif

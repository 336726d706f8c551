/* Private to gs/stream_*.c: the direct model of moving scenes (docs/STREAM.md).
 *
 * A stream's Gaussians are integers. A base key quantises a scene: its step sizes are the units of
 * everything until the next base key. Frames are residuals against a prediction made of the frame
 * before (of the base, at a group's start); encoder and decoder keep the same integers by the same
 * integer arithmetic, so nothing drifts and every machine decodes the same scene.
 *
 * attribute   coded as                                          unit
 * position    grid of the base key                              1/32 step
 * rotation    unit quaternion, turned among the 24 that are     1/16384
 *             the same ellipsoid until w is largest; residuals
 *             are the vector part of the turn from the prediction
 * scale       logs of deviations, by size; their sum and         1/16 step
 *             differences, orthonormal
 * opacity     alpha                                             1/16 step
 * colour      band 0, luma and chroma, orthonormal               1/16 step
 * SH 1..3     the same of each coefficient                      1/16 step
 *
 * The prediction is moved by rigid clusters of a group and, where frames are mixtures of a few shapes
 * (expressions), by coefficients of the base's trajectory basis. */
#ifndef GS_STREAM_H
#define GS_STREAM_H

#include "gs/gs.h"
#include "gs/stream_symbols.h"

enum gs_attr {
    GS_POSITION,
    GS_ROTATION,
    GS_SCALE,
    GS_OPACITY,
    GS_COLOUR,
    GS_SH1,
    GS_SH2,
    GS_SH3,
    GS_ATTRS,
};
#define GS_ROTATION_ONE 16384  /* 1 in units of rotation */
#define GS_POSITION_SHIFT 5
#define GS_POSITION_UNITS (1 << GS_POSITION_SHIFT) /* units a step */
#define GS_UNITS 16            /* the same of all but position and rotation */
#define GS_LEVELS 10           /* how well a Gaussian is seen; step sizes differ by half octaves */
#define GS_STREAM_MAX_COUNT (1u << 26)
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION /* whose time is better spent on small streams */
#define GS_STREAM_FREE (1u << 12)
#else
#define GS_STREAM_FREE (1u << 20)
#endif
#define GS_NO_ROW UINT32_MAX
#define GS_STREAM_MAX_CLUSTERS 32
#define GS_STREAM_LIMIT (1 << 26) /* greatest |integer| of a state */

/* Numbers a Gaussian has of an attribute in a state, and in a frame's symbols. */
static inline int gs_attr_comps(enum gs_attr a)
{
    static const int comps[GS_ATTRS] = {3, 4, 3, 1, 3, 9, 15, 21};
    return comps[a];
}
static inline int gs_attr_coded(enum gs_attr a)
{
    return a == GS_ROTATION ? 3 : gs_attr_comps(a);
}
/* Attributes of a scene with SH up to a degree: [0, gs_attr_end). */
static inline enum gs_attr gs_attr_end(int sh_degree)
{
    return (enum gs_attr)(GS_SH1 + sh_degree);
}

struct gs_stream_state {
    uint32_t count;
    int sh_degree;
    int32_t *v[GS_ATTRS]; /* [count][gs_attr_comps] in units, in stream order */
};
/* To be filled. */
int gs_stream_state_create(struct gs_stream_state *s, uint32_t count, int sh_degree);
void gs_stream_state_finish(struct gs_stream_state *s);
void gs_stream_state_copy(struct gs_stream_state *to, const struct gs_stream_state *from);

/* What coding a key taught: births go on with a copy. */
struct gs_key_models {
    struct gs_octree_models octree;
    struct gs_bit level[GS_LEVELS][GS_NUMBER_MODELS];
    struct gs_symbol_models *attr[GS_ATTRS];
    int32_t mean[GS_ATTRS][GS_MOST_CODED];
};
int gs_key_models_create(struct gs_key_models **out, int sh_degree);
void gs_key_models_destroy(struct gs_key_models **m);
void gs_key_models_copy(struct gs_key_models *to, const struct gs_key_models *from);

/* How Gaussians move together, of a base whose frames are mixtures of a few shapes (blend shapes):
 * frames have coefficients, a Gaussian is off its place by the sum of coefficient x vector / 2^shift, in
 * the frame of the cluster it moves with. */
enum {
    GS_BASIS_MOST = 63,           /* vectors */
    GS_BASIS_LIMIT = 1 << 22,     /* greatest |number| of one */
    GS_MORPH_LIMIT = (1 << 18) - 1, /* greatest |coefficient| */
    GS_MORPH_MODELS = 8,
};
struct gs_stream_basis {
    uint32_t vectors;
    uint8_t fine;                 /* its steps over those of residuals, in sixteenths */
    uint8_t shift[GS_BASIS_MOST]; /* < 16 */
    uint32_t members, *member;    /* the base's Gaussians that it moves, in their order */
    int32_t *v;                   /* [members][vectors][3], in units of position */
};
void gs_stream_basis_destroy(struct gs_stream_basis **b);

/* What a base key fixes. */
struct gs_stream_base {
    float origin[3];
    float step[GS_ATTRS]; /* world units, 1 (quaternion), natural log, alpha, SH coefficients */
    uint8_t bits;         /* of a position on the grid */
    uint8_t coarser;      /* steps of residuals over those of the key, in quarters; >= 4 */
    struct gs_stream_state state;
    uint8_t *level;               /* [count] < GS_LEVELS: step sizes are 2^((level - 3) / 2) */
    uint8_t *turn_level;          /* of rotation: round Gaussians may turn more */
    uint32_t (*near)[GS_NEAR];    /* earlier Gaussians nearby */
    struct gs_key_models *learned; /* of the key */
    struct gs_stream_basis *basis; /* NULL: none */
};
int gs_stream_base_create(struct gs_stream_base *b, uint32_t count, int sh_degree);
/* The same without what a key teaches. */
int gs_stream_rows_create(struct gs_stream_base *b, uint32_t count, int sh_degree);
void gs_stream_base_finish(struct gs_stream_base *b);
/* From positions: near; from levels and scales: turn_level. */
void gs_stream_find_near(struct gs_stream_base *b);
void gs_stream_find_turn_levels(struct gs_stream_base *b);
/* The same of Gaussians [begin, end): near ones of at most GS_NEAR_PIECE, by their positions and those
 * of the GS_NEAR_WINDOW before them. */
void gs_stream_find_near_of(struct gs_stream_base *b, uint32_t begin, uint32_t end);
void gs_stream_find_turn_levels_of(struct gs_stream_base *b, uint32_t begin, uint32_t end);
/* Step of Gaussian i in units; not for positions of a key, which are the grid's. */
int32_t gs_stream_step(const struct gs_stream_base *b, enum gs_attr a, uint32_t i, bool residual);
/* The same for many: by level (rotations: by turn_level). */
struct gs_steps {
    const uint8_t *level; /* [count] */
    int32_t by_level[GS_LEVELS];
};
void gs_stream_steps(struct gs_steps *out, const struct gs_stream_base *b, enum gs_attr a,
                     bool residual);
static inline int32_t gs_step(const struct gs_steps *s, uint32_t i)
{
    return s->by_level[s->level[i]];
}

/* ---- integer arithmetic of both sides ---- */

/* a * b of unit quaternions, and a unit quaternion again; v: vector part, its w is positive. */
void gs_quat_mul(int32_t out[4], const int32_t a[4], const int32_t b[4]);
void gs_quat_from_vector(int32_t out[4], const int32_t v[3]);

/* A rigid motion about a centre, which it moves along. */
struct gs_rigid {
    int32_t centre[3];
    unsigned shift;      /* turn's unit is 2^(shift - 30) */
    int32_t turn[3];     /* vector part of the quaternion */
    int32_t move[3];     /* units of position */
};
#define GS_RIGID_TURN_MAX ((1 << 30) - 1) /* greatest |turn << shift| a component */
struct gs_rigid_matrix {
    int32_t less_one[9]; /* R - 1, row-major, in 2^-30 */
    int32_t turn[4];     /* as a rotation */
};
/* False if the turn is none: its vector is longer than 1. */
bool gs_rigid_matrix(struct gs_rigid_matrix *out, const struct gs_rigid *r);
void gs_rigid_apply(const struct gs_rigid_matrix *m, const struct gs_rigid *r, int32_t position[3],
                    int32_t rotation[4]);

/* ---- between scenes and integers ---- */

/* v within GS_STREAM_LIMIT. */
static inline int32_t gs_stream_limited(int64_t v)
{
    return (int32_t)(v > GS_STREAM_LIMIT ? GS_STREAM_LIMIT : v < -GS_STREAM_LIMIT ? -GS_STREAM_LIMIT : v);
}

/* Few bytes do not get to ask for much memory: whether so many Gaussians, or vectors of them, are more
 * than so many bytes may hold. */
static inline bool gs_stream_too_many(uint64_t count, uint64_t bytes)
{
    return count > GS_STREAM_FREE && count / 64 > bytes;
}

/* How the encoder names a Gaussian's axes, for as long as a base lasts. */
struct gs_stream_pose {
    uint32_t row;    /* of the scene */
    uint8_t axis[3]; /* scales by size: the axis that comes first, ... */
    uint8_t turn;    /* 0..3: 1, i, j, k */
};
/* Integers of a scene's Gaussians in stream order; pose[count]. */
void gs_stream_from_scene(struct gs_stream_state *out, const struct gs_stream_base *b,
                          const struct gs_scene *scene, const struct gs_stream_pose *pose);
/* scene has s->count Gaussians; its degree may be less than the state's. */
void gs_stream_to_scene(struct gs_scene *scene, const struct gs_stream_base *b,
                        const struct gs_stream_state *s);
/* The order along the grid's Morton curve and the axes of each Gaussian. */
int gs_stream_make_poses(struct gs_stream_pose *pose, const struct gs_stream_base *b,
                         const struct gs_scene *scene);
/* The axes of pose->row. */
void gs_stream_name_axes(struct gs_stream_pose *pose, const struct gs_scene *scene);
/* Positions of rows as integers: [count][3]; those of rows GS_NO_ROW are left. */
void gs_stream_positions(int32_t *out, const struct gs_stream_base *b, const struct gs_scene *scene,
                         const uint32_t *row, uint32_t count);
/* Nearest place on a grid of the key's steps; on that of a key. */
static inline int32_t gs_stream_step_of(int32_t units)
{
    return (units + GS_POSITION_UNITS / 2) >> GS_POSITION_SHIFT;
}
static inline int32_t gs_stream_grid(int32_t units)
{
    return units < 0 ? 0 : gs_stream_step_of(units);
}
uint64_t gs_stream_morton(const int32_t grid[3]);
void gs_stream_morton_grid(int32_t grid[3], uint64_t code);

/* ---- coded frames ---- */

/* Pieces of a frame that are coded by themselves: how Gaussians are seen or move, each attribute;
 * which Gaussians died, those that were born, the SH bands of these. An empty one says that nothing
 * changed. */
enum {
    GS_SECTION_MODEL,
    GS_SECTION_ATTRS,
    GS_SECTION_DEATHS = GS_SECTION_ATTRS + GS_ATTRS,
    GS_SECTION_BIRTHS,
    GS_SECTION_BORN_SH,
    GS_SECTION_BASIS = GS_SECTION_BORN_SH + 3, /* a base's */
    GS_SECTIONS
};
struct gs_section {
    uint8_t *bytes; /* reading, borrowed */
    size_t size;
};
void gs_sections_free(struct gs_section s[GS_SECTIONS]);
size_t gs_sections_size(const struct gs_section s[GS_SECTIONS]);
/* Ends the writer of a section that says something: without a byte it would be taken for none. Of at
 * least so many bytes, zeros at its end. */
int gs_section_finish(struct gs_coder *c, struct gs_section *s, size_t least);

/* Writes a base key: b has origin, step, bits, count and level; target holds the scene's integers.
 * Sets the rest of b, its state as a decoder will have it. stream_key.c */
int gs_stream_write_key(struct gs_stream_base *b, const struct gs_stream_state *target,
                        struct gs_section out[GS_SECTIONS]);
/* The state such a key gives a reader, without the bytes. */
int gs_stream_quantise_key(struct gs_stream_base *b, const struct gs_stream_state *target);
/* Reads one; b has what its header says, and arrays for its count. FV_EFORMAT. */
int gs_stream_read_key(struct gs_stream_base *b, const struct gs_section in[GS_SECTIONS]);
/* Gaussians that a frame adds: the order they are coded in, along the Morton curve of their grid.
 * GS_BEYOND: they are too far apart for one of the base's step. */
enum { GS_BEYOND = 1 };
int gs_stream_born_order(uint32_t out[], const struct gs_stream_base *born,
                         const struct gs_stream_state *target);
/* Them in this order: all but SH; an SH band. born has the steps of the base; writing, target is set
 * and born has levels. */
int gs_stream_code_born(struct gs_coder *c, struct gs_stream_base *born, struct gs_key_models *m,
                        const struct gs_stream_state *target);
int gs_stream_code_born_sh(struct gs_coder *c, struct gs_stream_base *born, enum gs_attr a,
                           struct gs_key_models *m, const struct gs_stream_state *target);

enum gs_part { GS_GEOMETRY, GS_COLOURS, GS_PARTS };
static inline enum gs_part gs_attr_part(enum gs_attr a)
{
    return a < GS_COLOUR ? GS_GEOMETRY : GS_COLOURS;
}

/* Writes a base's basis, of which vectors, fine, shifts and members are set: wanted is what it should
 * be, [vectors][members][3]; base->basis->v becomes what a reader has. Empty where readers would not take
 * so many values in so few bytes. stream_basis.c */
int gs_stream_write_basis(struct gs_stream_base *base, const int32_t *wanted, struct gs_section *out);
/* Reads that of a base that was read; none if the section is empty. FV_EFORMAT. */
int gs_stream_read_basis(struct gs_stream_base *base, const struct gs_section *in);

/* What a group's frames make of a basis. */
struct gs_stream_morph {
    bool used;        /* by this group */
    uint32_t *place;  /* [count]: which of the basis' members a Gaussian is; GS_NO_ROW: none */
    int32_t *offset;  /* [members][3]: how far off its place each is, not turned */
    int32_t coef[GS_BASIS_MOST], last[GS_BASIS_MOST], before[GS_BASIS_MOST]; /* of the last frames */
    int32_t turned[GS_STREAM_MAX_CLUSTERS][4]; /* since the base */
    struct gs_bit models[GS_MORPH_MODELS][GS_SIGNED_MODELS], linear;
};

/* Frames that build on each other: the first on the base, the others each on the one before. */
struct gs_stream_group { /* of a writer or of a reader */
    const struct gs_stream_base *key;  /* the base */
    const struct gs_stream_base *base; /* steps, levels and near of the state's Gaussians: the key's,
                                          or `own` once some were born or have died */
    struct gs_stream_base own;         /* its state has no numbers */
    uint32_t room;                     /* Gaussians the arrays hold */
    struct gs_stream_state state; /* of the frame coded last */
    bool owns[GS_ATTRS];          /* else its numbers are the key's: nothing has changed yet */
    struct gs_symbol_models *deaths;
    struct gs_key_models *births; /* of this group's frames, once births_begun */
    bool births_begun;
    bool begun;                   /* a frame was coded */
    uint32_t clusters;
    uint8_t *label; /* [count]: 0, or 1 + the cluster it moves with */
    struct gs_rigid rigid[GS_STREAM_MAX_CLUSTERS], last[GS_STREAM_MAX_CLUSTERS]; /* frame before */
    struct gs_bit motion[2][GS_SIGNED_MODELS];
    struct gs_symbol_models *models[GS_ATTRS];
    int32_t *q[GS_ATTRS], *before[GS_ATTRS]; /* [count][coded]: symbols of the last two frames */
    struct gs_active active[GS_ATTRS], active_before[GS_ATTRS];
    int32_t *change[GS_ATTRS]; /* what is added to the prediction, in units; of a reader 0 between frames */
    uint8_t *changed;          /* [count]: a reader's, of an attribute; 0 between attributes */
    uint32_t *member, members; /* Gaussians with a label, once members_known */
    bool members_known;
    /* When what is drawn of a Gaussian changed, counted in frames and returns to the base: whoever
     * knows when it looked last knows what to look at. */
    uint32_t now, since;         /* since: the return to the base */
    uint32_t *touched[GS_PARTS]; /* [count]; at first 1 */
    uint32_t *altered;           /* [count]: the same of geometry, but for what its cluster does */
    uint32_t moved_at;           /* when clusters moved last, and how */
    struct gs_rigid moved[GS_STREAM_MAX_CLUSTERS];
    struct gs_rigid_matrix matrix[GS_STREAM_MAX_CLUSTERS];
    struct gs_stream_morph morph;
    uint64_t id;                /* another for each group there was */
};
int gs_stream_group_create(struct gs_stream_group *g, const struct gs_stream_base *b);
void gs_stream_group_finish(struct gs_stream_group *g);
/* The parts of that that are a basis': room for it, back to the base, a frame's coefficients coded,
 * the state moved from the last ones to them. stream_basis.c */
int gs_stream_morph_create(struct gs_stream_morph *m, const struct gs_stream_base *base);
void gs_stream_morph_finish(struct gs_stream_morph *m);
void gs_stream_morph_begin(struct gs_stream_morph *m, const struct gs_stream_base *base);
void gs_stream_code_morph(struct gs_coder *c, struct gs_stream_morph *m,
                          const struct gs_stream_basis *b, bool first);
int gs_stream_morph_apply(struct gs_stream_group *g);
/* How far off its place coefficients bring a member. */
void gs_stream_morph_offset(int32_t out[3], const struct gs_stream_basis *b, uint32_t place,
                            const int32_t coef[]);
/* Before numbers of an attribute change. */
int gs_stream_group_own(struct gs_stream_group *g, enum gs_attr a);
/* Back to the base, for the first frame of a group. */
void gs_stream_group_begin(struct gs_stream_group *g);
/* Codes a frame and brings g->state to it: Gaussians that die are gone before others move, those
 * that are born come after all of these (stream_births.c). Before a group's first frame the writer
 * sets clusters, label and each rigid's shift; before every frame turn and move. Of the three calls
 * of a frame, in this order, the first and the last may be left out. stream_residual.c */
int gs_stream_write_deaths(struct gs_stream_group *g, const uint8_t dead[],
                           struct gs_section out[GS_SECTIONS]);
int gs_stream_write_residual(struct gs_stream_group *g, const struct gs_stream_state *target,
                             struct gs_section out[GS_SECTIONS]);
/* target: those born, with level and label; order[count] becomes which of them follow each other in
 * the state. GS_BEYOND: they cannot be written; nothing changed. */
int gs_stream_write_births(struct gs_stream_group *g, const struct gs_stream_state *target,
                           const uint8_t level[], const uint8_t label[], uint32_t order[],
                           struct gs_section out[GS_SECTIONS]);
int gs_stream_read_residual(struct gs_stream_group *g, const struct gs_section in[GS_SECTIONS]);
/* The reader's halves of it. */
int gs_stream_read_deaths(struct gs_stream_group *g, const struct gs_section *in);
int gs_stream_read_births(struct gs_stream_group *g, const struct gs_section in[GS_SECTIONS]);

/* The writer's: at most `most` clusters of Gaussians that move alike over frames, of which it gets
 * the positions in stream order; sets clusters, label, shifts. stream_motion.c */
int gs_stream_find_clusters(struct gs_stream_group *g, int32_t *const positions[],
                            uint32_t frame_count, uint32_t most);
/* Turn and move of every cluster from the state to the target. */
void gs_stream_fit_rigid(struct gs_stream_group *g, const struct gs_stream_state *target);
/* That, and the coefficients of the basis where it is used. stream_basis_fit.c */
int gs_stream_fit_motion(struct gs_stream_group *g, const struct gs_stream_state *target);
/* Positions of a group's frames, to which the state is the base, without what the basis makes of them:
 * still[frames], each allocated or NULL, also when it fails. */
int gs_stream_still(const struct gs_stream_group *g, int32_t *const positions[], uint32_t frames,
                    int32_t *still[]);
/* Makes a base's basis of positions in frames to come, in steps of so many sixteenths of residuals', and
 * its section; none where too little moves. from: the base's positions, before they were quantised. */
int gs_stream_fit_basis(struct gs_stream_base *base, const int32_t *from, int32_t *const positions[],
                        uint32_t frames, uint8_t fine, struct gs_section *out);
/* Where clusters turn about: the mean place of their members. */
void gs_stream_set_centres(struct gs_stream_group *g);

/* ---- who is who, for the writer ---- */

/* Rows of `now` that rows of the frame before it continue in: to[from->count], GS_NO_ROW where there
 * is none. *kept: all in their order. stream_match.c */
int gs_stream_match(uint32_t to[], bool *kept, const struct gs_scene *from,
                    const struct gs_scene *now);
/* The nearest of some positions to each of others, or GS_NO_ROW where none is as near as is usual. */
int gs_stream_nearest(uint32_t out[], const int32_t *from, uint32_t froms, const int32_t *among,
                      uint32_t amongs);

/* Rows of the scene at hand that the base's Gaussians are, and those of the group's state: stream_track.c */
struct gs_track {
    struct gs_stream_pose *key; /* [keys]; row GS_NO_ROW: dead */
    struct gs_stream_pose *now; /* [count]; after gs_track_enter some may be dead */
    uint32_t keys, count, room;
};
void gs_track_finish(struct gs_track *t);
int gs_track_begin(struct gs_track *t, const struct gs_stream_pose *poses, uint32_t count);
/* A group begins: its Gaussians are those of the base. */
void gs_track_enter(struct gs_track *t);
/* To the next frame, to which rows go by `to` (NULL: they are the same). Sets dead[count], takes the
 * dead out, returns their number. */
uint32_t gs_track_step(struct gs_track *t, const uint32_t *to, uint8_t *dead);
/* Rows of the scene that are no one's: rows[scene_count]. */
int gs_track_find_born(const struct gs_track *t, uint32_t scene_count, uint32_t *rows,
                       uint32_t *count);
int gs_track_append(struct gs_track *t, const struct gs_stream_pose *born, const uint32_t *order,
                    uint32_t count);

/* ---- the writer's choice of steps: stream_tune.c ---- */

struct gs_tuner;
/* Measures on a device: from views, or from around bounds. */
int gs_tuner_create(struct gs_tuner **out, struct vk_device *dev, const struct gs_cameras *views,
                    const struct gs_scene *scene, const struct gs_bounds *bounds);
void gs_tuner_destroy(struct gs_tuner **t);
/* Notes how well the Gaussians of one of a base's frames are seen: row i of the base is to[i] of
 * this scene (NULL: i) if it is there. look_anew: of the next base's. */
void gs_tuner_look_anew(struct gs_tuner *t);
int gs_tuner_see(struct gs_tuner *t, const struct gs_scene *scene, const uint32_t *to);
/* Origin, bits and steps of a base for a scene, levels in the order of its rows. The first time,
 * steps of which every attribute's share of the error is worth its bits and which together reach
 * `psnr`; *scale is what they were multiplied by. Later, the same steps, until
 * they are forgotten. Some frame was seen. */
void gs_tuner_forget(struct gs_tuner *t);
int gs_tuner_find_steps(struct gs_tuner *t, struct gs_stream_base *b, const struct gs_scene *scene,
                        double psnr, double *scale);
/* Until then: residual frames of a base b spend so many bits a Gaussian on an attribute. Steps are
 * found anew. */
void gs_tuner_weigh(struct gs_tuner *t, const struct gs_stream_base *b, const double bits[GS_ATTRS]);
/* PSNR over covered pixels and SSIM of one scene against another, from two views not tuned on. */
int gs_tuner_compare(struct gs_tuner *t, const struct gs_scene *a, const struct gs_scene *b,
                     double *psnr, double *ssim);
/* Mean PSNR over covered pixels of one scene against another, from views not tuned on. */
int gs_tuner_psnr(struct gs_tuner *t, const struct gs_scene *a, const struct gs_scene *b,
                  double *psnr);

#endif

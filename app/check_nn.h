/* fovea check of networks: a case is a safetensors file with inputs in.*, results out* and
 * intermediate values mid.*, made by the authors' code. An arch says how to run one.
 *
 *     static int run(struct check_case *k, void *model)
 *     {
 *         struct check_array x;
 *         FV_TRY(check_input(k, "in.x", &x));          // f32; freed with the case
 *         ... run with .on_trace = check_trace, .ud = k ...
 *         return check_output(k, "out.y", y, count);
 *     }
 *     const struct check_arch check_arch_this = {"this", open, run, close};    // and a line in
 *                                                                            // check_nn.c
 */
#ifndef CHECK_NN_H
#define CHECK_NN_H

#include "app/check.h"
#include "vk/nn/weights.h"

struct check_case {
    struct check *check;
    struct vk_device *dev;
    struct nn_file *file;
    const char *name; /* the file's, without folder and suffix: "case_decode_T3" */
    enum nn_dtype dtype;
    bool trace;
    struct check_seen *seen; /* what was produced so far, by name */
    size_t seen_count, seen_room;
    struct fv_arena arena;
    bool left_out; /* told already: nothing is compared */
    char first_bad[128]; /* the first value out of tolerance, in order of computation */
};

struct check_arch {
    const char *name; /* of --arch: the folder's name under golden/nn */
    /* open, close: NULL where cases are of no model, which then is NULL */
    int (*open)(void **model, struct vk_device *dev, const char *dir, enum nn_dtype dtype);
    int (*run)(struct check_case *k, void *model);
    void (*close)(void *model);
};

struct check_array {
    unsigned rank;
    uint32_t shape[NN_FILE_MAX_RANK];
    size_t count;
    float *data;
};

bool check_has(const struct check_case *k, const char *name);
/* An input as f32; freed with the case. Returns 0 or FV_EFORMAT (there is none). */
int check_input(struct check_case *k, const char *name, struct check_array *out);
/* A single number; or_ when it is not there. */
int check_input_number(struct check_case *k, const char *name, double or_, double *out);
/* A result, or a part of one: parts of the same name follow one another in memory. */
int check_output(struct check_case *k, const char *name, const float *data, size_t count);
/* nn_trace_fn with a case as ud: mid.* the file holds are compared. Of values produced several
 * times the file may hold the first only, or all, one after the other. */
int check_trace(void *ud, const char *name, nn_tensor shape, const float *data);

/* Runs cases (files, or all case_*.safetensors of the folder when there are none). */
int check_networks(struct check *c, const struct check_arch *arch, const char *dir,
                   const char *const *cases, size_t count, enum nn_dtype dtype, bool trace);
/* By name; NULL when it is no network's. */
const struct check_arch *check_arch_find(const char *name);

/* Name NULL last. */
extern const struct check_arch check_arch_vaes[], check_arch_diffusion[], check_arch_generate[],
    check_arch_samplers[], check_arch_quant[];

#endif

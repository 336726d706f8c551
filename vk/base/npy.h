/* NumPy .npy arrays: a bounded reader (format versions 1 to 3; f4 f8 i4 i8 u1 u2 u4 and b1,
 * little-endian, C order) and a writer of float32.
 *
 *     struct fv_npy a;
 *     FV_TRY(fv_npy_open(&a, "rgb.npy"));
 *     if (a.rank != 3 || a.dims[2] != 3) ...
 *     fv_npy_get_f32(&a, pixels);               // a.count values, converted
 *     fv_npy_close(&a);
 */
#ifndef FV_NPY_H
#define FV_NPY_H

#include "vk/base/file.h"

enum { FV_NPY_MAX_RANK = 8 };

enum fv_npy_type {
    FV_NPY_F32,
    FV_NPY_F64,
    FV_NPY_I32,
    FV_NPY_I64,
    FV_NPY_U8, /* and booleans */
    FV_NPY_U16,
    FV_NPY_U32,
};

struct fv_npy {
    enum fv_npy_type type;
    unsigned rank;
    size_t dims[FV_NPY_MAX_RANK]; /* slowest first; rank 0 is one value */
    size_t count;                 /* product of dims */
    const uint8_t *data;          /* count elements, any alignment; borrowed */
    struct fv_map map;            /* held by fv_npy_open; empty after fv_npy_parse */
};

/* Maps and parses. Returns 0, FV_EIO, FV_EFORMAT, FV_EUNSUPPORTED (big-endian, Fortran order,
 * other types); on failure *out is zeroed. */
int fv_npy_open(struct fv_npy *out, const char *path);
/* The same from memory that must outlive *out; name is for messages. */
int fv_npy_parse(struct fv_npy *out, const void *data, size_t size, const char *name);
void fv_npy_close(struct fv_npy *a);

/* All elements converted: out[a->count]. */
void fv_npy_get_f32(const struct fv_npy *a, float *out);
void fv_npy_get_f64(const struct fv_npy *a, double *out);

/* Header of a float32 array of these dims; the caller then writes the values, little-endian,
 * with fv_write. Errors are the writer's (fv_writer_commit). rank at most FV_NPY_MAX_RANK. */
void fv_npy_write_header(struct fv_writer *w, const size_t *dims, unsigned rank);
/* Header and values. */
void fv_npy_write(struct fv_writer *w, const float *data, const size_t *dims, unsigned rank);

#endif

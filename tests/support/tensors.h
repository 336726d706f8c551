/* For tests of ops: tensors of random contents on host and device, and comparing.
 *
 *     struct tensors t;
 *     tensors_begin(&t);
 *     struct ref x = ref_random(1, NN_SHAPE(3, 5));
 *     nn_tensor y = nn_scale(t.r, tensors_put(&t, &x, NN_F16), 2, 0);
 *     struct ref want = ...;
 *     tensors_expect(&t, y, &want, 1e-6, "scale");    // runs what was recorded
 *     tensors_end(&t);
 */
#ifndef TENSORS_H
#define TENSORS_H

#include "ref/ref.h"
#include "support/test.h"
#include "vk/nn/nn.h"

struct tensors {
    struct nn_store *store;
    struct nn_rec *r;
};

/* Begins a recording. The second form with options (a dry run, the storage-buffer kernels ...). */
void tensors_begin(struct tensors *t);
void tensors_begin_with(struct tensors *t, const struct nn_rec_opts *o);
void tensors_end(struct tensors *t);
/* x on the device; x's values become what the dtype can hold. */
nn_tensor tensors_put(struct tensors *t, struct ref *x, enum nn_dtype d);
/* The same in a padded buffer, so that the view has gaps and an odd offset. */
nn_tensor tensors_put_strided(struct tensors *t, struct ref *x, enum nn_dtype d);
/* Ends and runs the recording, fetches y (any view) and compares: every error is at most
 * tol (rms of want + the value), plus half a step of y's dtype. Begins a new recording. */
void tensors_expect(struct tensors *t, nn_tensor y, const struct ref *want, double tol,
                    const char *what);
/* Values of any view, as doubles. Runs the recording. */
struct ref tensors_get(struct tensors *t, nn_tensor y);

/* Tests of a table of rows by each design of kernels: NAME, NAME_by_shared_tiles and
 * NAME_through_storage_buffers; table(const struct nn_rec_opts *), NULL being the usual. */
#define TENSORS_BY_DESIGN(name, table)                                                             \
    static void name(void **state)                                                                 \
    {                                                                                              \
        (void)state;                                                                               \
        table(NULL);                                                                               \
    }                                                                                              \
    static void name##_by_shared_tiles(void **state)                                               \
    {                                                                                              \
        (void)state;                                                                               \
        table(&(struct nn_rec_opts){.kernel = NN_KERNEL_SHARED});                                  \
    }                                                                                              \
    static void name##_through_storage_buffers(void **state)                                       \
    {                                                                                              \
        (void)state;                                                                               \
        table(&(struct nn_rec_opts){.ssbo = true});                                                \
    }

#endif

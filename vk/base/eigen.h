/* Symmetric matrices, small ones. */
#ifndef FV_EIGEN_H
#define FV_EIGEN_H

#include <stddef.h>

/* Eigenvectors of a symmetric n x n matrix into the columns of v, by Jacobi's rotations; values stay on
 * m's diagonal. Rows of both are `stride` apart. */
void fv_eigen(double *m, double *v, size_t n, size_t stride);

#endif

/* Eigenvectors by rotations (eigen.h). */
#include "vk/base/eigen.h"

#include <math.h>
#include <stdbool.h>

void fv_eigen(double *m, double *v, size_t n, size_t stride)
{
    enum { SWEEPS = 24 };
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            v[i * stride + j] = i == j;
    bool turned = true;
    for (int sweep = 0; sweep < SWEEPS && turned; sweep++) {
        turned = false;
        for (size_t p = 0; p < n; p++)
            for (size_t q = p + 1; q < n; q++) {
                double a = m[p * stride + p], b = m[q * stride + q], off = m[p * stride + q];
                if (fabs(off) <= 1e-14 * sqrt(fabs(a * b)) || fabs(off) < 1e-300)
                    continue;
                double theta = (b - a) / (2 * off);
                double t = (theta < 0 ? -1 : 1) / (fabs(theta) + sqrt(theta * theta + 1));
                double c = 1 / sqrt(t * t + 1), s = t * c;
                turned = true;
                for (size_t k = 0; k < n; k++) {
                    double x = m[k * stride + p], y = m[k * stride + q];
                    m[k * stride + p] = c * x - s * y;
                    m[k * stride + q] = s * x + c * y;
                }
                for (size_t k = 0; k < n; k++) {
                    double x = m[p * stride + k], y = m[q * stride + k];
                    double z = v[k * stride + p], u = v[k * stride + q];
                    m[p * stride + k] = c * x - s * y;
                    m[q * stride + k] = s * x + c * y;
                    v[k * stride + p] = c * z - s * u;
                    v[k * stride + q] = s * z + c * u;
                }
            }
    }
}

/* References of elementwise ops and activations (ref.h). */
#include "ref/ref.h"
#include "shaders/nn/params.h"

#include <math.h>

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

double ref_act(uint32_t act, double x, double a, double b)
{
    switch (act) {
    case NN_ACT_SILU:
        return x * sigmoid(x);
    case NN_ACT_GELU_TANH:
        return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case NN_ACT_GELU_ERF:
        return 0.5 * x * (1 + erf(x / sqrt(2)));
    case NN_ACT_QUICK_GELU:
        return x * sigmoid(1.702 * x);
    case NN_ACT_RELU:
        return fmax(x, 0);
    case NN_ACT_LEAKY_RELU:
        return x < 0 ? a * x : x;
    case NN_ACT_TANH:
        return tanh(x);
    case NN_ACT_TANH_SCALE:
        return a * tanh(x / a);
    case NN_ACT_SIGMOID:
        return sigmoid(x);
    case NN_ACT_CLAMP:
        return fmin(fmax(x, a), b);
    }
    return x;
}

static double compute(uint32_t op, uint32_t act, double a, double b, const double *v)
{
    switch (op) {
    case NN_EW_ADD:
        return v[0] + v[1];
    case NN_EW_SUB:
        return v[0] - v[1];
    case NN_EW_MUL:
        return v[0] * v[1];
    case NN_EW_DIV:
        return v[0] / v[1];
    case NN_EW_MIN:
        return fmin(v[0], v[1]);
    case NN_EW_MAX:
        return fmax(v[0], v[1]);
    case NN_EW_FMA:
        return v[0] * v[1] + v[2];
    case NN_EW_GATED:
        return v[0] + v[1] * v[2];
    case NN_EW_LERP:
        return v[0] + (v[1] - v[0]) * v[2];
    case NN_EW_MODULATE:
        return v[0] * (1 + v[2]) + v[1];
    case NN_EW_SCALE:
        return v[0] * a + b;
    case NN_EW_EXP:
        return exp(v[0]);
    case NN_EW_SQRT:
        return sqrt(v[0]);
    }
    return ref_act(act, v[0], a, b);
}

struct ref ref_elementwise(uint32_t op, uint32_t act, double a, double b, uint32_t n,
                           const struct ref *operands)
{
    uint32_t rank = 0, shape[5] = {1, 1, 1, 1, 1}, i[5] = {0};
    for (uint32_t k = 0; k < n; k++)
        rank = operands[k].rank > rank ? operands[k].rank : rank;
    for (uint32_t k = 0; k < n; k++)
        for (uint32_t x = 0; x < operands[k].rank; x++)
            if (operands[k].shape[x] != 1)
                shape[rank - operands[k].rank + x] = operands[k].shape[x];
    struct ref out = ref_new(rank, shape);
    do {
        double v[3] = {0};
        for (uint32_t k = 0; k < n; k++)
            v[k] = ref_broadcast(&operands[k], rank, i);
        *ref_at(&out, i) = compute(op, act, a, b, v);
    } while (ref_next(&out, i));
    return out;
}

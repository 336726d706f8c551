// Activations (enum nn_act), of four values; NN_ACT_* are in params.h. act is meant to be a
// constant.

vec4 nn_sigmoid(vec4 x)
{
    return 1.0 / (1.0 + exp(-x));
}

// In terms of exp(-2|x|), which cannot overflow; near 0 by a series, where the difference cancels.
vec4 nn_tanh(vec4 x)
{
    vec4 a = abs(x), e = exp(-2.0 * a), x2 = x * x;
    vec4 big = (1.0 - e) / (1.0 + e);
    vec4 small = a * (1.0 + x2 * (-0.333333333 + x2 * (0.133333333 - x2 * 0.0539682540)));
    return sign(x) * mix(big, small, lessThan(a, vec4(0.15)));
}

// Abramowitz and Stegun 7.1.26 (1.5e-7); a power series near 0, where the difference cancels.
vec4 nn_erf(vec4 x)
{
    vec4 a = abs(x), x2 = x * x;
    vec4 t = 1.0 / (1.0 + 0.3275911 * a);
    vec4 p = t * (0.254829592 +
                  t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    vec4 big = 1.0 - p * exp(-x2);
    vec4 small = a * (1.12837917 + x2 * (-0.376126389 + x2 * (0.112837917 +
                      x2 * (-0.0268661706 + x2 * (0.00522397762 - x2 * 0.000854832701)))));
    return sign(x) * mix(big, small, lessThan(a, vec4(0.5)));
}

vec4 nn_act4(uint act, vec4 x, float a, float b)
{
    switch (act) {
    case NN_ACT_SILU:
        return x * nn_sigmoid(x);
    case NN_ACT_GELU_TANH: // 0.5 (1 + tanh u) = sigmoid(2 u)
        return x * nn_sigmoid(1.5957691216 * (x + 0.044715 * x * x * x));
    case NN_ACT_GELU_ERF:
        return 0.5 * x * (1.0 + nn_erf(x * 0.70710678118));
    case NN_ACT_QUICK_GELU:
        return x * nn_sigmoid(1.702 * x);
    case NN_ACT_RELU:
        return max(x, 0.0);
    case NN_ACT_LEAKY_RELU:
        return mix(x, a * x, lessThan(x, vec4(0)));
    case NN_ACT_TANH:
        return nn_tanh(x);
    case NN_ACT_TANH_SCALE:
        return a * nn_tanh(x / a);
    case NN_ACT_SIGMOID:
        return nn_sigmoid(x);
    case NN_ACT_CLAMP:
        return min(max(x, a), b);
    }
    return x;
}

float nn_act(uint act, float x, float a, float b)
{
    return nn_act4(act, vec4(x), a, b).x;
}

// Activations (enum nn_act); NN_ACT_* are in params.h. act is meant to be a constant.

float nn_sigmoid(float x)
{
    return 1.0 / (1.0 + exp(-x));
}

// In terms of exp(-2|x|), which cannot overflow; near 0 by a series, where the difference cancels.
float nn_tanh(float x)
{
    float a = abs(x), e = exp(-2.0 * a), x2 = x * x;
    float big = (1.0 - e) / (1.0 + e);
    float small = a * (1.0 + x2 * (-0.333333333 + x2 * (0.133333333 - x2 * 0.0539682540)));
    return sign(x) * (a < 0.15 ? small : big);
}

// Abramowitz and Stegun 7.1.26 (1.5e-7); a power series near 0, where the difference cancels.
float nn_erf(float x)
{
    float a = abs(x), x2 = x * x;
    float t = 1.0 / (1.0 + 0.3275911 * a);
    float p = t * (0.254829592 +
                   t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    float big = 1.0 - p * exp(-x2);
    float small = a * (1.12837917 + x2 * (-0.376126389 + x2 * (0.112837917 +
                       x2 * (-0.0268661706 + x2 * (0.00522397762 - x2 * 0.000854832701)))));
    return sign(x) * (a < 0.5 ? small : big);
}

float nn_act(uint act, float x, float a, float b)
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
        return x < 0.0 ? a * x : x;
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

vec4 nn_act4(uint act, vec4 x, float a, float b)
{
    return act == NN_ACT_IDENTITY ? x
                                  : vec4(nn_act(act, x.x, a, b), nn_act(act, x.y, a, b),
                                         nn_act(act, x.z, a, b), nn_act(act, x.w, a, b));
}

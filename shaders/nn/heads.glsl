// RMS norm of a head of queries or keys, where it lies: nn_linear's `heads` (vk/nn/heads.c). The including
// file has HEAD, fours of a head, and HEAD_LOAD, HEAD_STORE, HEAD_TYPE of the result, HEAD_WEIGHT, HEAD_WEIGHT2,
// HEAD_WEIGHT2_TYPE (0: there is none).

// at: its first four; second: whether its weight is the second.
void nn_norm_head(uint at, bool second, float eps)
{
    vec4 squares = vec4(0);
    for (uint i = 0; i < HEAD; i++) {
        vec4 v = HEAD_LOAD(at + i);
        squares += v * v;
    }
    float sum = (squares.x + squares.y) + (squares.z + squares.w);
    float factor = 1.0 / sqrt(sum / float(4 * HEAD) + eps);
    for (uint i = 0; i < HEAD; i++) {
        vec4 w = HEAD_WEIGHT(i);
        if (HEAD_WEIGHT2_TYPE != 0) {
            vec4 w2 = HEAD_WEIGHT2(i);
            w = second ? w2 : w;
        }
        uvec4 words = nn_encode4(HEAD_LOAD(at + i) * factor * w, HEAD_TYPE);
        HEAD_STORE(at + i, words)
    }
}

// The blended picture as pack.comp and yuv.comp read it: RGBA8 words, or with FLOAT vec4 (rgb,
// alpha); rows of width * FACTOR pixels, averaged over FACTOR x FACTOR. FACTOR is a constant, as
// are all conditions here: a CPU driver compiles a kernel anew whenever a uniform that control
// flow depends on is written.
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint KIND = 0;
layout(constant_id = 2) const uint FACTOR = 1;
#ifdef FLOAT
IN_VEC4(0, source)
vec4 pixel(uint i) { return LD4(source, i); }
#else
IN_UINT(0, source)
vec4 pixel(uint i) { return unpackUnorm4x8(LD1(source, i)); }
#endif
layout(push_constant) uniform Push { gs_pack_push pc; };

vec4 resolve(uint x, uint y)
{
    x = min(x, pc.width - 1u);
    y = min(y, pc.height - 1u);
    uint stride = pc.width * FACTOR;
    vec4 sum = vec4(0.0);
    for (uint j = 0u; j < FACTOR; j++)
        for (uint i = 0u; i < FACTOR; i++)
            sum += pixel((y * FACTOR + j) * stride + x * FACTOR + i);
    return sum / float(FACTOR * FACTOR);
}

// Floats as words that compare as they do, and back.
uvec4 ordered(vec4 f)
{
    uvec4 bits = floatBitsToUint(f);
    return bits ^ mix(uvec4(0x80000000u), uvec4(0xffffffffu), greaterThanEqual(bits, uvec4(0x80000000u)));
}

vec4 unordered(uvec4 w)
{
    return uintBitsToFloat(w ^ mix(uvec4(0xffffffffu), uvec4(0x80000000u),
                                   greaterThanEqual(w, uvec4(0x80000000u))));
}

#version 460
// result[i] = sum of the four components of texel i, plus `add` of a uniform buffer: the kinds of
// binding that vk/probe has not (tests/vk/test_cmd.c). Binding 3 is declared and not used; the
// optimiser drops it.
layout(local_size_x_id = 0) in;
layout(binding = 0) uniform usamplerBuffer texels;
layout(binding = 1) writeonly buffer Out { uint result[]; };
layout(binding = 2) uniform Params { uint count; uint add; };
layout(binding = 3) readonly buffer Unused { uint unused[]; };
void main()
{
    uint i = gl_GlobalInvocationID.x;
    if (i < count) {
        uvec4 t = texelFetch(texels, int(i));
        result[i] = t.x + t.y + t.z + t.w + add;
    }
}

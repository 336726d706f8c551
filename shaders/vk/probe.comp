#version 460
// out[i] = a[i] * scale + out[i]; the smallest useful kernel, dispatched by tests of vk/
// (tests/vk/test_cmd.c) to check binding, push constants, specialisation and barriers.
layout(local_size_x_id = 0) in;
layout(binding = 0) readonly buffer A { float a[]; };
layout(binding = 1) buffer Out { float result[]; };
layout(push_constant) uniform Push { uint count; float scale; };
void main()
{
    uint i = gl_GlobalInvocationID.x;
    if (i < count)
        result[i] = a[i] * scale + result[i];
}

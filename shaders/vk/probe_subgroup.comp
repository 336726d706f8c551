#version 460
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
// Per invocation: x the size of its subgroup, y how many are active in it (tests/vk/test_pipe.c).
// SHARED words of shared memory make its use of that memory a specialisation constant.
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint SHARED = 4;
layout(binding = 0) buffer Out { uvec2 result[]; };
shared uint words[SHARED * 2];
void main()
{
    uint i = gl_LocalInvocationIndex;
    words[i % SHARED] = 0;
    barrier();
    result[gl_GlobalInvocationID.x] =
        uvec2(gl_SubgroupSize, subgroupAdd(1u)) + words[(i + 1) % SHARED];
}

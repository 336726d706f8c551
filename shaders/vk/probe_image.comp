#version 460
// Doubles a storage texel buffer in place, twice over: each half of the workgroup writes, and
// after a barrier reads what the other half wrote (tests/vk/test_cmd.c).
layout(local_size_x = 64) in;
layout(binding = 0, r32ui) coherent uniform uimageBuffer texels;
void main()
{
    int i = int(gl_LocalInvocationID.x), other = i ^ 32;
    imageStore(texels, i, imageLoad(texels, i) * 2u);
    memoryBarrier();
    barrier();
    uint theirs = imageLoad(texels, other).x;
    memoryBarrier();
    barrier();
    imageStore(texels, i, uvec4(theirs * 2u));
}

// Exclusive prefix sum over a workgroup of any size up to 256, without subgroup operations.
// Include after the local size is declared.
shared uint prefix_room[256];
void group_prefix(uint value, out uint before, out uint total)
{
    uint l = gl_LocalInvocationID.x, n = gl_WorkGroupSize.x;
    barrier();
    prefix_room[l] = value;
    barrier();
    for (uint d = 1u; d < n; d <<= 1) {
        uint v = l >= d ? prefix_room[l - d] : 0u;
        barrier();
        prefix_room[l] += v;
        barrier();
    }
    total = prefix_room[n - 1u];
    before = prefix_room[l] - value;
}

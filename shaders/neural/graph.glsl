// Cells and buckets of points (params.h: nl_graph_push). Include after `pc`.
vec3 in_cells(vec3 p)
{
    precise vec3 v = (p - pc.low.xyz) * pc.low.w;
    return clamp(v, vec3(-1e9), vec3(1e9));
}

ivec3 cell_of(vec3 p)
{
    return ivec3(floor(in_cells(p)));
}

uvec3 bucket_bits()
{
    return uvec3(pc.bits & 255u, pc.bits >> 8 & 255u, pc.bits >> 16);
}

// Of all cells of a row along x, but for x.
uint bucket_row(ivec2 yz)
{
    uvec3 bits = bucket_bits();
    uvec2 at = uvec2(yz) & ((uvec2(1u) << bits.yz) - 1u);
    return at.x << bits.x | at.y << (bits.x + bits.y);
}

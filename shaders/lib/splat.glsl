// Gaussian geometry: rotation, covariance, projection (EWA; Zwicker et al. 2001, 3DGS sec. 4).

mat3 rotation_matrix(vec4 q) // q = w,x,y,z as (x,y,z,w components of the vec4 in that order)
{
    q *= inversesqrt(max(dot(q, q), 1e-30));
    float w = q.x, x = q.y, y = q.z, z = q.w;
    // columns
    return mat3(1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y + w * z), 2.0 * (x * z - w * y),
                2.0 * (x * y - w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z + w * x),
                2.0 * (x * z + w * y), 2.0 * (y * z - w * x), 1.0 - 2.0 * (x * x + y * y));
}

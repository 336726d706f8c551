// Real spherical harmonics with the signs of the original 3DGS code: Y_k(d), k = 0..15.
float sh_basis(int k, vec3 d)
{
    float x = d.x, y = d.y, z = d.z, xx = x * x, yy = y * y, zz = z * z;
    switch (k) {
    case 0: return 0.28209479177387814;
    case 1: return -0.4886025119029199 * y;
    case 2: return 0.4886025119029199 * z;
    case 3: return -0.4886025119029199 * x;
    case 4: return 1.0925484305920792 * x * y;
    case 5: return -1.0925484305920792 * y * z;
    case 6: return 0.31539156525252005 * (2.0 * zz - xx - yy);
    case 7: return -1.0925484305920792 * x * z;
    case 8: return 0.5462742152960396 * (xx - yy);
    case 9: return -0.5900435899266435 * y * (3.0 * xx - yy);
    case 10: return 2.890611442640554 * x * y * z;
    case 11: return -0.4570457994644658 * y * (4.0 * zz - xx - yy);
    case 12: return 0.3731763325901154 * z * (2.0 * zz - 3.0 * xx - 3.0 * yy);
    case 13: return -0.4570457994644658 * x * (4.0 * zz - xx - yy);
    case 14: return 1.445305721320277 * z * (xx - yy);
    default: return -0.5900435899266435 * x * (xx - 3.0 * yy);
    }
}

// The alpha = 1/255 ellipse of a projected Gaussian, row by row of tiles: binning of both designs.

struct ellipse {
    vec2 centre;
    float a, b, c, r;         // a dx^2 + b dx dy + c dy^2 <= r
    float half_h, lean;       // half height; dy where dx is largest
    float half_inv_a;
};

// u = x, y, A, B and v = C, log opacity of a record (project.glsl)
ellipse ellipse_of(vec4 u, vec4 v)
{
    ellipse e;
    e.centre = u.xy;
    e.a = u.z, e.b = u.w, e.c = v.x;
    e.r = max(v.y - EXP_LEAST, 0.0);
    e.half_inv_a = 0.5 / max(e.a, 1e-30);
    e.half_h = sqrt(e.r / max(e.c - e.b * e.b * 0.5 * e.half_inv_a, 1e-12));
    float half_w = sqrt(e.r / max(e.a - e.b * e.b * 0.25 / max(e.c, 1e-30), 1e-12));
    e.lean = -e.b * 0.5 / max(e.c, 1e-30) * half_w;
    return e;
}

// First and last row of tiles `height` pixels high; bottom = the picture's last pixel row.
ivec2 ellipse_rows(ellipse e, int height, float bottom)
{
    return ivec2(clamp(ceil(e.centre.y - e.half_h - 0.01), 0.0, bottom),
                 clamp(floor(e.centre.y + e.half_h + 0.01), 0.0, bottom)) / height;
}

// Pixel columns touched in that row, clamped to 0..right; false when there are none.
bool ellipse_columns(ellipse e, int row, int height, float right, out vec2 columns)
{
    float y0 = float(row * height) - e.centre.y, y1 = y0 + float(height - 1);
    float yr = clamp(clamp(e.lean, y0, y1), -e.half_h, e.half_h);
    float yl = clamp(clamp(-e.lean, y0, y1), -e.half_h, e.half_h);
    float dr = max(e.b * e.b * yr * yr - 4.0 * e.a * (e.c * yr * yr - e.r), 0.0);
    float dl = max(e.b * e.b * yl * yl - 4.0 * e.a * (e.c * yl * yl - e.r), 0.0);
    float x0 = ceil(e.centre.x + (-e.b * yl - sqrt(dl)) * e.half_inv_a - 0.01);
    float x1 = floor(e.centre.x + (-e.b * yr + sqrt(dr)) * e.half_inv_a + 0.01);
    columns = clamp(vec2(x0, x1), 0.0, right);
    return x0 <= x1 && x1 >= 0.0 && x0 <= right;
}

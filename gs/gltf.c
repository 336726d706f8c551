/* glTF reader and writer: KHR_gaussian_splatting, ellipse kernel (Khronos extension text).
 *
 * glTF scenes stand y up; a .ply's stand y down. The two are half a turn about z apart, as in
 * PlayCanvas's splat-transform, so (x,y,z) <-> (-x,-y,z) both ways. */
#include "gs/gltf.h"
#include "gs/scene.h"
#include "vk/base/log.h"
#include "vk/base/array.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EXTENSION "KHR_gaussian_splatting"

enum {
    MAX_NODE_DEPTH = 128,
    /* Nodes may show one mesh many times: as many Gaussians as this in all, and one more for
     * every so many bytes of the file. */
    POINTS_FREE = 1 << 22,
    BYTES_PER_POINT = 4,
};

/* Half a turn about z on coordinates and on SH coefficient k. */
static const float turn[3] = {-1, -1, 1};

static float turn_sh(int k)
{
    return gs_sh_flip_sign(k, turn[0], turn[1], turn[2]);
}

/* ---- collecting primitives ---- */

/* One primitive at one node. */
struct part {
    struct fv_node attributes;
    double matrix[16]; /* node to scene, row-major, in the file's axes */
    char place[96];    /* of the node, for messages */
    size_t count;
    int degree;
};

struct reader {
    struct gltf g;
    struct part *parts;
    size_t part_count, part_room, total;
    int degree;
    bool linear;   /* some primitive has linear colours */
    bool ln_scale; /* some primitive has logarithmic scales */
    bool *visited; /* [nodes] */
};

static void sh_attribute(char out[64], int k)
{
    int l = k >= 9 ? 3 : k >= 4 ? 2 : k >= 1 ? 1 : 0;
    snprintf(out, 64, EXTENSION ":SH_DEGREE_%d_COEF_%d", l, k - l * l);
}

/* The degree whose coefficients are all there; a degree that is there in part is an error. */
static int count_degrees(struct reader *r, struct fv_node attributes, int *degree)
{
    char name[64];
    *degree = -1;
    for (int l = 0; l <= 3; l++) {
        int have = 0;
        for (int k = l * l; k < (l + 1) * (l + 1); k++) {
            sh_attribute(name, k);
            have += fv_node_has(attributes, name);
        }
        if (!have)
            break;
        if (have < 2 * l + 1)
            return fv_json_fail(&r->g.doc, attributes, "SH degree %d has %d of its %d coefficients",
                                l, have, 2 * l + 1);
        *degree = l;
    }
    return *degree >= 0
               ? 0
               : fv_json_fail(&r->g.doc, attributes, "has no %s:SH_DEGREE_0_COEF_0", EXTENSION);
}

static int get_attribute(struct reader *r, const struct part *p, const char *name, int width,
                         struct gltf_accessor *out)
{
    struct fv_node a = fv_node_get(p->attributes, name);
    if (!a.item)
        return fv_json_fail(&r->g.doc, p->attributes, "has no %s", name);
    size_t index = (size_t)fv_json_int(&r->g.doc, p->attributes, name, 0, UINT32_MAX);
    if (r->g.doc.failed)
        return FV_EFORMAT;
    return gltf_accessor(out, &r->g, index, width, name);
}

/* What the extension object says about how to draw; only its one defined way is known. */
static int check_extension(struct reader *r, struct fv_node extension)
{
    struct fv_json *doc = &r->g.doc;
    const char *kernel = fv_json_string_or(doc, extension, "kernel", "ellipse");
    const char *projection = fv_json_string_or(doc, extension, "projection", "perspective");
    const char *color = fv_json_string_or(doc, extension, "colorSpace", "srgb_rec709_display");
    struct fv_node more = fv_node_get(extension, "extensions"), first = fv_node_at(more, 0);
    if (doc->failed)
        return FV_EFORMAT;
    if (first.item && strstr(fv_node_key(first), "compression"))
        return fv_fail(FV_EUNSUPPORTED,
                       "%s: %s: %.64s is not read; export uncompressed, or as .spz", r->g.name,
                       extension.place, fv_node_key(first));
    if (strcmp(kernel, "ellipse") || strcmp(projection, "perspective"))
        return fv_fail(FV_EUNSUPPORTED,
                       "%s: %s: kernel '%.32s' with projection '%.32s'; only ellipse "
                       "with perspective is drawn",
                       r->g.name, extension.place, kernel, projection);
    r->linear |= !strcmp(color, "lin_rec709_display");
    return 0;
}

static int add_primitive(struct reader *r, struct fv_node primitive, struct fv_node extension,
                         struct fv_node node, const double matrix[16])
{
    struct fv_json *doc = &r->g.doc;
    struct gltf_accessor position;
    if (fv_grow(&r->parts, &r->part_room, r->part_count, sizeof *r->parts) < 0)
        return fv_wrap(FV_ENOMEM, "%s: ", r->g.name);
    struct part *p = &r->parts[r->part_count];
    *p = (struct part){.attributes = fv_json_object(doc, primitive, "attributes")};
    long long mode = fv_node_has(primitive, "mode") ? fv_json_int(doc, primitive, "mode", 0, 6) : 4;
    if (doc->failed)
        return FV_EFORMAT;
    if (mode != 0)
        return fv_json_fail(doc, primitive, "mode %lld; Gaussians are POINTS (0)", mode);
    memcpy(p->matrix, matrix, sizeof p->matrix);
    memcpy(p->place, node.place, sizeof p->place);
    FV_TRY(check_extension(r, extension));
    FV_TRY(count_degrees(r, p->attributes, &p->degree));
    FV_TRY(get_attribute(r, p, "POSITION", 3, &position));
    p->count = position.count;
    r->total += p->count;
    if (r->total > POINTS_FREE && (r->total - POINTS_FREE) > r->g.size / BYTES_PER_POINT)
        return fv_fail(FV_EFORMAT,
                       "%s: its nodes show more than %zu Gaussians, too many for %zu bytes",
                       r->g.name, r->total - p->count, r->g.size);
    r->degree = p->degree > r->degree ? p->degree : r->degree;
    r->part_count++;
    return 0;
}

static int add_mesh(struct reader *r, struct fv_node node, const double matrix[16])
{
    struct fv_json *doc = &r->g.doc;
    size_t m = (size_t)fv_json_int(doc, node, "mesh", 0, (long long)r->g.mesh_count - 1);
    if (doc->failed)
        return FV_EFORMAT;
    struct fv_node primitives = fv_json_array(doc, r->g.meshes[m], "primitives");
    struct fv_node p = fv_node_at(primitives, 0);
    for (size_t i = 0; p.item && !doc->failed; p = fv_node_next(p, ++i)) {
        struct fv_node extension = fv_node_get(fv_node_get(p, "extensions"), EXTENSION);
        if (extension.item)
            FV_TRY(add_primitive(r, p, extension, node, matrix));
    }
    return doc->failed ? FV_EFORMAT : 0;
}

static void multiply(double out[16], const double a[16], const double b[16])
{
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            double sum = 0;
            for (int k = 0; k < 4; k++)
                sum += a[4 * i + k] * b[4 * k + j];
            out[4 * i + j] = sum;
        }
}

/* A node's number out of an array element. */
static int node_index(struct reader *r, struct fv_node e, size_t *out)
{
    double v = fv_node_number(e);
    if (!fv_node_is_number(e) || !(v >= 0 && v < (double)r->g.node_count && v == floor(v)))
        return fv_json_fail(&r->g.doc, e, "expected the number of one of %zu nodes",
                            r->g.node_count);
    *out = (size_t)v;
    return 0;
}

static int visit(struct reader *r, size_t index, const double parent[16], int depth)
{
    struct fv_json *doc = &r->g.doc;
    struct fv_node node = r->g.nodes[index];
    double local[16], matrix[16];
    if (r->visited[index])
        return fv_json_fail(doc, node, "has two parents, or is its own ancestor");
    if (depth > MAX_NODE_DEPTH)
        return fv_json_fail(doc, node, "is more than %d levels down", MAX_NODE_DEPTH);
    r->visited[index] = true;
    FV_TRY(gltf_local_matrix(&r->g, node, local));
    multiply(matrix, parent, local);
    if (fv_node_has(node, "mesh"))
        FV_TRY(add_mesh(r, node, matrix));
    struct fv_node e = fv_node_at(fv_node_get(node, "children"), 0);
    for (size_t i = 0; e.item; e = fv_node_next(e, ++i)) {
        size_t child = 0;
        FV_TRY(node_index(r, e, &child));
        FV_TRY(visit(r, child, matrix, depth + 1));
    }
    return 0;
}

/* Marks the nodes that are somebody's child, for documents without scenes. */
static int mark_children(struct reader *r, bool *is_child)
{
    for (size_t n = 0; n < r->g.node_count; n++) {
        struct fv_node e = fv_node_at(fv_node_get(r->g.nodes[n], "children"), 0);
        for (size_t i = 0; e.item; e = fv_node_next(e, ++i)) {
            size_t child = 0;
            FV_TRY(node_index(r, e, &child));
            is_child[child] = true;
        }
    }
    return 0;
}

static int visit_scene(struct reader *r)
{
    static const double identity[16] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1};
    struct fv_json *doc = &r->g.doc;
    struct fv_node scenes = fv_node_get(doc->root, "scenes");
    size_t count = fv_node_count(scenes), n = r->g.node_count;
    r->visited = calloc(2 * n + 1, sizeof *r->visited);
    if (!r->visited)
        return fv_fail(FV_ENOMEM, "%s: out of memory", r->g.name);
    if (!count) {
        bool *is_child = r->visited + n;
        FV_TRY(mark_children(r, is_child));
        for (size_t i = 0; i < n; i++)
            if (!is_child[i])
                FV_TRY(visit(r, i, identity, 0));
        return 0;
    }
    size_t which = 0;
    if (fv_node_has(doc->root, "scene"))
        which = (size_t)fv_json_int(doc, doc->root, "scene", 0, (long long)count - 1);
    struct fv_node scene = fv_node_at(scenes, which);
    struct fv_node e = fv_node_at(fv_node_get(scene, "nodes"), 0);
    for (size_t i = 0; e.item && !doc->failed; e = fv_node_next(e, ++i)) {
        size_t root = 0;
        FV_TRY(node_index(r, e, &root));
        FV_TRY(visit(r, root, identity, 0));
    }
    return doc->failed ? FV_EFORMAT : 0;
}

/* ---- filling rows ---- */

struct fill {
    struct gs_scene *s; /* a view of the rows of one part */
    struct gltf_accessor position, rotation, scale, opacity, sh[16];
    int coefs; /* of the part; the scene may have more */
    bool ln_scale;
};

static int fill_rows(void *ud, size_t begin, size_t end)
{
    const struct fill *f = ud;
    struct gs_scene *s = f->s;
    size_t coefs = (size_t)gs_sh_coefs(s->sh_degree);
    for (size_t i = begin; i < end; i++) {
        float v[4], *out = s->rotation + 4 * i;
        gltf_get(&f->position, i, v);
        for (size_t k = 0; k < 3; k++)
            s->position[3 * i + k] = v[k] * turn[k];
        gltf_get(&f->rotation, i, v); /* x,y,z,w; times the half turn */
        out[0] = v[2];
        out[1] = v[1];
        out[2] = -v[0];
        out[3] = -v[3];
        gltf_get(&f->scale, i, v);
        for (size_t k = 0; k < 3; k++)
            s->scale[3 * i + k] = f->ln_scale ? v[k] : logf(v[k]);
        gltf_get(&f->opacity, i, v);
        s->opacity[i] = (float)gs_logit(v[0] > 1 ? 1 : v[0] < 0 ? 0 : (double)v[0]);
        float *sh = s->sh + i * coefs * 3;
        memset(sh, 0, coefs * 3 * sizeof *sh);
        for (int k = 0; k < f->coefs; k++) {
            gltf_get(&f->sh[k], i, sh + 3 * k);
            for (int ch = 0; ch < 3; ch++)
                sh[3 * k + ch] *= turn_sh(k);
        }
    }
    return 0;
}

/* Drafts of the extension before 2026 stored the logarithm, in signed types; the linear scales
 * of today are never negative. */
static bool is_logarithmic(const struct gltf_accessor *scale)
{
    float v[3];
    for (size_t i = 0; i < scale->count; i++) {
        gltf_get(scale, i, v);
        if (v[0] < 0 || v[1] < 0 || v[2] < 0)
            return true;
    }
    return false;
}

static int fill_part(struct reader *r, const struct part *p, struct gs_scene *view,
                     const struct gs_load_opts *opts)
{
    struct fill f = {.s = view, .coefs = gs_sh_coefs(p->degree)};
    char name[64];
    FV_TRY(get_attribute(r, p, "POSITION", 3, &f.position));
    FV_TRY(get_attribute(r, p, EXTENSION ":ROTATION", 4, &f.rotation));
    FV_TRY(get_attribute(r, p, EXTENSION ":SCALE", 3, &f.scale));
    FV_TRY(get_attribute(r, p, EXTENSION ":OPACITY", 1, &f.opacity));
    bool same =
        f.rotation.count == p->count && f.scale.count == p->count && f.opacity.count == p->count;
    for (int k = 0; k < f.coefs; k++) {
        sh_attribute(name, k);
        FV_TRY(get_attribute(r, p, name, 3, &f.sh[k]));
        same &= f.sh[k].count == p->count;
    }
    if (!same)
        return fv_json_fail(&r->g.doc, p->attributes,
                            "attributes differ in count from POSITION's %zu", p->count);
    f.ln_scale = is_logarithmic(&f.scale);
    r->ln_scale |= f.ln_scale;
    return gs_for_rows(p->count, fill_rows, &f, "reading", opts ? opts->on_progress : NULL,
                       opts ? opts->ud : NULL);
}

/* ---- node transforms ---- */

/* Quaternion w,x,y,z of a rotation matrix, row-major 3x3. */
static void quaternion_of(const double m[9], float out[4])
{
    double q[4]; /* four times the squares, then the products with the largest */
    q[0] = 1 + m[0] + m[4] + m[8];
    q[1] = 1 + m[0] - m[4] - m[8];
    q[2] = 1 - m[0] + m[4] - m[8];
    q[3] = 1 - m[0] - m[4] + m[8];
    int largest = 0;
    for (int k = 1; k < 4; k++)
        if (q[k] > q[largest])
            largest = k;
    const double products[4][4] = {
        {q[0], m[7] - m[5], m[2] - m[6], m[3] - m[1]},
        {m[7] - m[5], q[1], m[1] + m[3], m[2] + m[6]},
        {m[2] - m[6], m[1] + m[3], q[2], m[5] + m[7]},
        {m[3] - m[1], m[2] + m[6], m[5] + m[7], q[3]},
    };
    double n = 2 * sqrt(q[largest]);
    for (int k = 0; k < 4; k++)
        out[k] = (float)(products[largest][k] / n);
}

/* Singular values (column lengths afterwards) of b, by one-sided Jacobi rotations: the columns
 * of b become orthogonal, which keeps the small ones accurate. Row-major. */
static void orthogonalise(double b[9])
{
    for (int sweep = 0; sweep < 12; sweep++) {
        double worst = 0;
        for (int p = 0; p < 2; p++)
            for (int q = p + 1; q < 3; q++) {
                double pp = 0, qq = 0, pq = 0;
                for (int i = 0; i < 9; i += 3) {
                    pp += b[i + p] * b[i + p];
                    qq += b[i + q] * b[i + q];
                    pq += b[i + p] * b[i + q];
                }
                if (pq == 0 || fabs(pq) <= 1e-15 * sqrt(pp * qq))
                    continue;
                worst = fmax(worst, fabs(pq) / sqrt(pp * qq));
                double z = (qq - pp) / (2 * pq);
                double t = copysign(1, z) / (fabs(z) + sqrt(1 + z * z)), c = 1 / sqrt(1 + t * t);
                for (int i = 0; i < 9; i += 3) {
                    double x = b[i + p], y = b[i + q];
                    b[i + p] = c * (x - t * y);
                    b[i + q] = c * (y + t * x);
                }
            }
        if (worst < 1e-14)
            break;
    }
}

/* Columns of b to unit length, sizes to size[]; columns of nothing are made up so that all
 * three form a rotation. */
static void normalise_columns(double b[9], double size[3])
{
    int largest = 0;
    for (int k = 0; k < 3; k++) {
        size[k] = sqrt(b[k] * b[k] + b[3 + k] * b[3 + k] + b[6 + k] * b[6 + k]);
        if (size[k] > size[largest])
            largest = k;
    }
    int middle = (largest + 1) % 3, last = (largest + 2) % 3;
    if (size[middle] < size[last]) {
        int t = middle;
        middle = last;
        last = t;
    }
    double a[3], m[3], dot = 0, n = 0;
    for (int i = 0; i < 3; i++)
        a[i] = size[largest] > 0 ? b[3 * i + largest] / size[largest] : i == largest;
    for (int i = 0; i < 3; i++)
        m[i] = size[middle] > 0 ? b[3 * i + middle] / size[middle] : fabs(a[i]) < 0.6;
    for (int i = 0; i < 3; i++)
        dot += a[i] * m[i];
    for (int i = 0; i < 3; i++) {
        m[i] -= dot * a[i];
        n += m[i] * m[i];
    }
    for (int i = 0; i < 3; i++)
        m[i] /= sqrt(n);
    double sign = (largest + 1) % 3 == middle ? 1 : -1; /* a x m points along +last or -last */
    for (int i = 0; i < 3; i++) {
        int j = (i + 1) % 3, k = (i + 2) % 3;
        b[3 * i + largest] = a[i];
        b[3 * i + middle] = m[i];
        b[3 * i + last] = sign * (a[j] * m[k] - a[k] * m[j]);
    }
}

/* Stretches along the axes: covariance S R D^2 R^T S, put back as a rotation and sizes. */
static void stretch(struct gs_scene *s, const double factor[3])
{
    for (size_t g = 0; g < s->count; g++) {
        float *q = s->rotation + 4 * g, *scale = s->scale + 3 * g;
        double n = sqrt((double)q[0] * q[0] + (double)q[1] * q[1] + (double)q[2] * q[2] +
                        (double)q[3] * q[3]);
        double w = q[0] / n, x = q[1] / n, y = q[2] / n, z = q[3] / n, size[3];
        double b[9] = {
            1 - 2 * (y * y + z * z), 2 * (x * y - w * z),     2 * (x * z + w * y),
            2 * (x * y + w * z),     1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
            2 * (x * z - w * y),     2 * (y * z + w * x),     1 - 2 * (x * x + y * y),
        };
        bool good = n > 0 && n < INFINITY;
        for (int i = 0; i < 9; i++) {
            b[i] *= factor[i / 3] * exp((double)scale[i % 3]);
            good &= isfinite(b[i]) != 0;
        }
        for (size_t k = 0; k < 3; k++)
            s->position[3 * g + k] *= (float)factor[k];
        if (!good)
            continue; /* a bad row, dropped later */
        orthogonalise(b);
        normalise_columns(b, size);
        quaternion_of(b, q);
        for (int k = 0; k < 3; k++)
            scale[k] = (float)log(size[k]);
    }
}

static int apply_matrix(struct reader *r, const struct part *p, struct gs_scene *view)
{
    static const double identity[16] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1};
    const double *m = p->matrix;
    double rotation[9], size[3];
    bool good = true;
    float q[4], move[3];
    if (!memcmp(m, identity, sizeof identity))
        return 0;
    for (int k = 0; k < 3; k++)
        size[k] = sqrt(m[k] * m[k] + m[4 + k] * m[4 + k] + m[8 + k] * m[8 + k]);
    for (int i = 0; i < 3; i++) { /* into the scene's axes on the way */
        move[i] = (float)m[4 * i + 3] * turn[i];
        for (int k = 0; k < 3; k++)
            rotation[3 * i + k] = m[4 * i + k] / size[k] * (double)(turn[i] * turn[k]);
    }
    /* a rotation's rows are each the cross product of the other two */
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++) {
            const double *a = rotation + 3 * ((i + 1) % 3), *b = rotation + 3 * ((i + 2) % 3);
            double cross = a[(k + 1) % 3] * b[(k + 2) % 3] - a[(k + 2) % 3] * b[(k + 1) % 3];
            good &= fabs(cross - rotation[3 * i + k]) < 1e-3; /* false for NaN too */
        }
    if (!good || !isfinite(move[0] + move[1] + move[2]))
        return fv_fail(FV_EUNSUPPORTED,
                       "%s: %s: its transform mirrors, shears or flattens, which "
                       "Gaussians do not survive; apply it before exporting",
                       r->g.name, p->place);
    quaternion_of(rotation, q);
    double least = fmin(size[0], fmin(size[1], size[2]));
    if (fmax(size[0], fmax(size[1], size[2])) <= least * (1 + 1e-5))
        return gs_scene_transform(view, q, (float)cbrt(size[0] * size[1] * size[2]), move);
    stretch(view, size);
    return gs_scene_transform(view, q, 1, move);
}

/* ---- entry points, reading ---- */

static int build_scene(struct gs_scene *out, struct reader *r, const struct gs_load_opts *opts)
{
    if (!r->part_count)
        return fv_fail(FV_EFORMAT, "%s: has no %s primitive in its scene", r->g.name, EXTENSION);
    FV_TRY(gs_scene_alloc(out, r->total, r->degree));
    size_t row = 0, coefs = (size_t)gs_sh_coefs(r->degree);
    for (size_t i = 0; i < r->part_count; i++) {
        const struct part *p = &r->parts[i];
        struct gs_scene view = {
            .count = p->count,
            .sh_degree = r->degree,
            .position = out->position + 3 * row,
            .scale = out->scale + 3 * row,
            .rotation = out->rotation + 4 * row,
            .opacity = out->opacity + row,
            .sh = out->sh + 3 * coefs * row,
        };
        FV_TRY(fill_part(r, p, &view, opts));
        FV_TRY(apply_matrix(r, p, &view));
        row += p->count;
    }
    if (r->linear)
        fv_log(FV_WARN, "%s: its colours are linear; they are blended as if display-referred",
               r->g.name);
    snprintf(out->detail, sizeof out->detail, "gltf, %zu primitive%s%s%s", r->part_count,
             r->part_count == 1 ? "" : "s", r->linear ? ", linear colours" : "",
             r->ln_scale ? ", ln scales" : "");
    return 0;
}

static int read_gltf(struct gs_scene *out, const uint8_t *data, size_t size, const char *name,
                     const char *dir, const struct gs_load_opts *opts)
{
    struct reader r = {0};
    *out = (struct gs_scene){0};
    FV_TRY(gltf_open(&r.g, data, size, name, dir));
    int rc = visit_scene(&r);
    if (rc == 0)
        rc = build_scene(out, &r, opts);
    if (rc < 0)
        gs_scene_finish(out);
    free(r.parts);
    free(r.visited);
    gltf_close(&r.g);
    return rc;
}

int gs_read_glb(struct gs_scene *out, const uint8_t *data, size_t size, const char *name,
                const struct gs_load_opts *opts)
{
    return read_gltf(out, data, size, name, NULL, opts);
}

int gs_read_gltf_path(struct gs_scene *out, const char *path, const struct gs_load_opts *opts)
{
    struct gs_blob file;
    *out = (struct gs_scene){0};
    FV_TRY(gs_blob_open(&file, path));
    char *dir = fv_path_dir(path);
    int rc = dir ? read_gltf(out, file.data, file.size, path, dir, opts)
                 : fv_fail(FV_ENOMEM, "%s: out of memory", path);
    free(dir);
    gs_blob_free(&file);
    return rc;
}

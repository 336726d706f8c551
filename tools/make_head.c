/* The animated head of LAM as frames: a scene that docs/SPEED.md measures streams with (A2), and the
 * one in assets/.
 *
 *     cmake --build build/release --target make_head
 *     build/release/make_head lam-avatar/p2-1.zip lam-avatar/test_expression_1s.json frames 300 [still]
 *
 * Writes frames/frame_000.ply and so on, views.json to tune by and held.json to measure by. The
 * archive holds the head (skin.glb: vertices and 51 expressions as differences of vertices;
 * offset.ply: a Gaussian a vertex, its position relative to it, colours plain RGB), the other file
 * how much of each expression a frame has, by name. A Gaussian is at
 * vertex + sum of weight x difference + offset. Nothing moves the head there; unless `still` is said
 * the bust turns and nods gently. */
#include "gs/gltf.h"
#include "gs/scene.h"
#include "tools/motion.h"
#include "vk/base/json.h"
#include "vk/base/zip.h"

#include <sys/stat.h>

struct head {
    struct gs_scene scene; /* without expression */
    float *shape;          /* [shapes][count][3] */
    size_t shapes;
    size_t frames;
    float *weight; /* [frames][shapes] */
    double pivot[3];
};

/* A member whose path ends in `name`. */
static int member(const struct fv_zip *zip, const char *name, const uint8_t **data, size_t *size,
                  void **heap)
{
    for (size_t i = 0; i < zip->count; i++) {
        const struct fv_zip_member *m = &zip->members[i];
        if (fv_ends_with(m->name, name)) {
            *size = (size_t)m->size;
            return fv_zip_read(zip, m, 1 << 28, data, heap);
        }
    }
    return fv_fail(FV_EFORMAT, "%s: has no %s", zip->file, name);
}

/* Vertices are added to the scene's positions; names of the shapes to *names, in doc. */
static int read_shapes(struct head *h, struct gltf *g, struct fv_node *names)
{
    struct fv_json *doc = &g->doc;
    struct gltf_accessor a;
    size_t n = h->scene.count;
    if (!g->mesh_count)
        return fv_fail(FV_EFORMAT, "%s: has no mesh", g->name);
    struct fv_node part = fv_node_at(fv_json_array(doc, g->meshes[0], "primitives"), 0);
    struct fv_node targets = fv_json_array(doc, part, "targets");
    size_t vertices = (size_t)fv_json_int(doc, fv_json_object(doc, part, "attributes"), "POSITION",
                                          0, INT32_MAX);
    *names = fv_json_array(doc, fv_json_object(doc, g->meshes[0], "extras"), "targetNames");
    h->shapes = fv_node_count(targets);
    if (doc->failed)
        return FV_EFORMAT;
    if (!h->shapes || fv_node_count(*names) != h->shapes)
        return fv_fail(FV_EFORMAT, "%s: %zu shapes, %zu names", g->name, h->shapes,
                       fv_node_count(*names));
    FV_TRY(gltf_accessor(&a, g, vertices, 3, "POSITION"));
    if (a.count != n)
        return fv_fail(FV_EFORMAT, "%s: %zu vertices of %zu Gaussians", g->name, a.count, n);
    double low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        float v[3];
        gltf_get(&a, i, v);
        for (size_t k = 0; k < 3; k++)
            h->scene.position[3 * i + k] += v[k];
        low = fmin(low, h->scene.position[3 * i + 1]);
        high = fmax(high, h->scene.position[3 * i + 1]);
    }
    h->pivot[1] = low + 0.3 * (high - low); /* the neck */
    h->shape = malloc(h->shapes * n * 3 * sizeof *h->shape);
    if (!h->shape)
        return fv_fail(FV_ENOMEM, "out of memory");
    for (size_t s = 0; s < h->shapes; s++) {
        struct fv_node target = fv_node_at(targets, s);
        FV_TRY(gltf_accessor(&a, g, (size_t)fv_json_int(doc, target, "POSITION", 0, INT32_MAX), 3,
                             "POSITION"));
        if (a.count != n)
            return fv_fail(FV_EFORMAT, "%s: shape %zu has %zu vertices", g->name, s, a.count);
        for (size_t i = 0; i < n; i++)
            gltf_get(&a, i, h->shape + 3 * (s * n + i));
    }
    return 0;
}

/* Weights of each frame in the order of the shapes' names. */
static int read_weights(struct head *h, struct fv_json *doc, struct fv_node shape_names)
{
    struct fv_node names = fv_json_array(doc, doc->root, "names");
    struct fv_node frames = fv_json_array(doc, doc->root, "frames");
    size_t n = fv_node_count(names), *column = calloc(h->shapes, sizeof *column);
    double *row = calloc(n + 1, sizeof *row);
    h->frames = fv_node_count(frames);
    h->weight = calloc(h->frames * h->shapes + 1, sizeof *h->weight);
    int rc = column && row && h->weight ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    for (size_t s = 0; rc == 0 && s < h->shapes; s++) {
        const char *name = fv_node_string(fv_node_at(shape_names, s));
        while (column[s] < n && strcmp(fv_node_string(fv_node_at(names, column[s])), name))
            column[s]++;
        if (column[s] == n)
            rc = fv_fail(FV_EFORMAT, "%s: has no weights of %.64s", doc->name, name);
    }
    for (size_t t = 0; rc == 0 && t < h->frames; t++) {
        fv_json_numbers(doc, fv_json_array(doc, fv_node_at(frames, t), "weights"), row, n);
        for (size_t s = 0; s < h->shapes; s++)
            h->weight[t * h->shapes + s] = (float)row[column[s]];
        rc = doc->failed ? FV_EFORMAT : 0;
    }
    free(column);
    free(row);
    return rc;
}

static int read_head(struct head *h, const char *archive, const char *expressions)
{
    struct fv_map file = {0};
    struct fv_zip zip = {0};
    struct gltf glb = {0};
    struct fv_json doc = {0};
    struct fv_node names;
    const uint8_t *data;
    size_t size;
    void *heap[2] = {0};
    int rc = fv_map_open(&file, archive);
    if (rc == 0)
        rc = fv_zip_open(&zip, file.data, file.size, archive);
    if (rc == 0)
        rc = member(&zip, "/offset.ply", &data, &size, &heap[0]);
    if (rc == 0)
        rc = gs_scene_parse(&h->scene, data, size, "offset.ply", NULL);
    if (rc == 0)
        rc = member(&zip, "/skin.glb", &data, &size, &heap[1]);
    if (rc == 0)
        rc = gltf_open(&glb, data, size, "skin.glb", NULL);
    if (rc == 0)
        rc = read_shapes(h, &glb, &names);
    if (rc == 0)
        rc = fv_json_open(&doc, expressions);
    if (rc == 0)
        rc = read_weights(h, &doc, names);
    const double c0 = 0.28209479177387814;
    size_t sh = 3 * (size_t)gs_sh_coefs(h->scene.sh_degree);
    for (size_t i = 0; rc == 0 && i < h->scene.count; i++)
        for (size_t k = 0; k < 3; k++) /* plain RGB */
            h->scene.sh[sh * i + k] = (float)((h->scene.sh[sh * i + k] - 0.5) / c0);
    h->scene.up[1] = 1; /* glTF */
    fv_json_close(&doc);
    gltf_close(&glb);
    fv_zip_close(&zip);
    free(heap[0]);
    free(heap[1]);
    fv_map_close(&file);
    return rc;
}

static void pose(const struct head *h, struct gs_scene *s, size_t t, bool still)
{
    size_t n = s->count;
    memcpy(s->position, h->scene.position, 3 * n * sizeof *s->position);
    memcpy(s->rotation, h->scene.rotation, 4 * n * sizeof *s->rotation);
    for (size_t k = 0; k < h->shapes; k++) {
        float weight = h->weight[t * h->shapes + k];
        for (size_t i = 0; weight != 0 && i < 3 * n; i++)
            s->position[i] += weight * h->shape[3 * n * k + i];
    }
    if (still)
        return;
    double at = (double)t, yaw = 0.25 * sin(0.045 * at) + 0.06 * sin(0.17 * at), q[4];
    double nod = 0.12 * sin(0.06 * at + 1) + 0.03 * sin(0.23 * at);
    product(q, (const double[4]){cos(yaw / 2), 0, sin(yaw / 2), 0},
            (const double[4]){cos(nod / 2), sin(nod / 2), 0, 0});
    for (size_t i = 0; i < n; i++)
        turn(s->position + 3 * i, s->rotation + 4 * i, q, h->pivot, (const double[3]){0});
}

static int write_frames(struct head *h, const char *folder, size_t frames, bool still)
{
    static const double views[][2] = {{0.2, 0.1}, {-0.25, 0.15}, {-0.7, 0}, {0.6, 0}};
    static const double held[][2] = {{-0.45, 0.1}, {0.05, 0}, {0.4, -0.1}};
    const struct ring ring = {.target = {0.0057, 1.66, -0.009}, .up = {0, 1, 0}, .distance = 0.95,
                              .degrees = 25, .width = 320, .height = 368};
    mkdir(folder, 0777);
    FV_TRY(write_cameras(folder, "views.json", &ring, views, 4));
    FV_TRY(write_cameras(folder, "held.json", &ring, held, 3));
    struct gs_scene s = h->scene;
    s.position = malloc(3 * s.count * sizeof *s.position);
    s.rotation = malloc(4 * s.count * sizeof *s.rotation);
    int rc = s.position && s.rotation ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    for (size_t t = 0; rc == 0 && t < frames; t++) {
        char path[512];
        pose(h, &s, t, still);
        snprintf(path, sizeof path, "%s/frame_%03zu.ply", folder, t);
        rc = gs_scene_save(&s, path, NULL);
    }
    free(s.position);
    free(s.rotation);
    return rc;
}

int main(int argc, char **argv)
{
    struct head h = {0};
    if (argc < 5) {
        fprintf(stderr, "make_head: needs ARCHIVE EXPRESSIONS FOLDER FRAMES [still]\n");
        return 1;
    }
    int rc = read_head(&h, argv[1], argv[2]);
    long frames = atol(argv[4]);
    if (rc == 0 && (frames < 1 || (size_t)frames > h.frames))
        rc = fv_fail(FV_EINVALID, "%s frames of %zu", argv[4], h.frames);
    if (rc == 0)
        rc = write_frames(&h, argv[3], (size_t)frames, argc > 5);
    if (rc < 0)
        fprintf(stderr, "make_head: %s\n", fv_error());
    gs_scene_finish(&h.scene);
    free(h.shape);
    free(h.weight);
    return rc < 0;
}

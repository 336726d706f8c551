/* glTF 2.0 documents: containers, buffers, accessors, node matrices (gltf.h; Khronos glTF 2.0
 * specification, sections 3.6 and 4.4). */
#include "gs/gltf.h"
#include "vk/base/err.h"
#include "vk/base/half.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- containers ---- */

/* Finds the JSON and the binary chunk of a .glb. */
static int split_glb(struct gltf *g, const uint8_t *data, size_t size, const uint8_t **json,
                     size_t *json_size)
{
    struct fv_cursor c = fv_cursor_over(data, size);
    fv_get_u32(&c);
    uint32_t version = fv_get_u32(&c), length = fv_get_u32(&c);
    if (c.failed)
        return fv_fail(FV_EFORMAT, "%s: is cut short inside the glTF header", g->name);
    if (version != 2)
        return fv_fail(FV_EUNSUPPORTED, "%s: glTF version %u; version 2 is read", g->name, version);
    if (length > size)
        return fv_fail(FV_EFORMAT, "%s: is cut short: %zu bytes of %u", g->name, size, length);
    if (length >= c.at)
        c.size = length;
    *json = NULL;
    while (fv_cursor_left(&c) >= 8) {
        uint32_t bytes = fv_get_u32(&c), type = fv_get_u32(&c);
        const uint8_t *chunk = fv_get_bytes(&c, bytes);
        if (!chunk)
            return fv_fail(FV_EFORMAT, "%s: a chunk of %u bytes ends beyond the file", g->name,
                           bytes);
        if (type == GLTF_CHUNK_JSON && !*json) {
            *json = chunk;
            *json_size = bytes;
        } else if (type == GLTF_CHUNK_BIN && !g->bin) {
            g->bin = chunk;
            g->bin_size = bytes;
        }
    }
    return *json ? 0 : fv_fail(FV_EFORMAT, "%s: has no JSON chunk", g->name);
}

/* The elements of an optional array of objects, for access by index. Caller frees *out. */
static int list(struct gltf *g, const char *key, struct fv_node **out, size_t *count)
{
    *out = NULL;
    *count = 0;
    if (!fv_node_has(g->doc.root, key))
        return 0;
    struct fv_node array = fv_json_array(&g->doc, g->doc.root, key);
    if (g->doc.failed)
        return FV_EFORMAT;
    size_t n = fv_node_count(array);
    *out = calloc(n ? n : 1, sizeof **out);
    if (!*out)
        return fv_fail(FV_ENOMEM, "%s: out of memory", g->name);
    struct fv_node e = fv_node_at(array, 0);
    for (; e.item && *count < n; e = fv_node_next(e, ++*count)) {
        if (!fv_node_is_object(e))
            return fv_json_fail(&g->doc, e, "expected an object");
        (*out)[*count] = e;
    }
    return 0;
}

/* Extensions that change how the data are stored, by the name their owners must list. */
static int check_required(struct gltf *g)
{
    static const char *const known[] = {
        "KHR_gaussian_splatting", "KHR_mesh_quantization", "KHR_materials_unlit",
        "KHR_texture_transform",  "KHR_lights_punctual",
    };
    struct fv_node list_node = fv_node_get(g->doc.root, "extensionsRequired");
    struct fv_node e = fv_node_at(list_node, 0);
    for (size_t i = 0; e.item; e = fv_node_next(e, ++i)) {
        bool ok = false;
        for (size_t k = 0; k < sizeof known / sizeof *known; k++)
            ok |= !strcmp(fv_node_string(e), known[k]);
        if (!ok)
            return fv_fail(FV_EUNSUPPORTED,
                           "%s: requires the extension '%.64s', which is not read; "
                           "export without it",
                           g->name, fv_node_string(e));
    }
    return 0;
}

int gltf_open(struct gltf *g, const uint8_t *data, size_t size, const char *name, const char *dir)
{
    *g = (struct gltf){.name = name, .dir = dir, .size = size};
    const uint8_t *json = data;
    size_t json_size = size;
    struct fv_cursor c = fv_cursor_over(data, size);
    if (fv_get_u32(&c) == GLTF_GLB_MAGIC)
        FV_TRY(split_glb(g, data, size, &json, &json_size));
    else if (!gs_begins_as_json(data, size))
        return fv_fail(FV_EFORMAT, "%s: is neither a .glb (magic glTF) nor the JSON of a .gltf",
                       name);
    FV_TRY(fv_json_parse(&g->doc, (const char *)json, json_size, name));
    int rc = fv_node_is_object(g->doc.root)
                 ? check_required(g)
                 : fv_fail(FV_EFORMAT, "%s: is not a glTF document", name);
    if (rc == 0)
        rc = list(g, "bufferViews", &g->views, &g->view_count);
    if (rc == 0)
        rc = list(g, "accessors", &g->accessors, &g->accessor_count);
    if (rc == 0)
        rc = list(g, "nodes", &g->nodes, &g->node_count);
    if (rc == 0)
        rc = list(g, "meshes", &g->meshes, &g->mesh_count);
    g->buffer_count = fv_node_count(fv_node_get(g->doc.root, "buffers"));
    if (rc == 0 && g->buffer_count) {
        g->buffers = calloc(g->buffer_count, sizeof *g->buffers);
        if (!g->buffers)
            rc = fv_fail(FV_ENOMEM, "%s: out of memory", name);
    }
    if (rc < 0)
        gltf_close(g);
    return rc;
}

void gltf_close(struct gltf *g)
{
    for (size_t i = 0; g->buffers && i < g->buffer_count; i++)
        gs_blob_free(&g->buffers[i]);
    for (size_t i = 0; i < g->dense_count; i++)
        free(g->dense[i]);
    free(g->dense);
    free(g->buffers);
    free(g->views);
    free(g->accessors);
    free(g->nodes);
    free(g->meshes);
    fv_json_close(&g->doc);
    *g = (struct gltf){0};
}

/* ---- buffers ---- */

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "my%20scene.bin" -> "my scene.bin"; what is no escape stays. Caller frees. */
static char *decode_percent(const char *uri)
{
    char *out = malloc(strlen(uri) + 1), *to = out;
    while (out && *uri) {
        int high = *uri == '%' ? hex(uri[1]) : -1, low = high >= 0 ? hex(uri[2]) : -1;
        bool escape = low >= 0 && (high || low); /* a NUL byte is not for names */
        *to++ = escape ? (char)(high << 4 | low) : *uri;
        uri += escape ? 3 : 1;
    }
    if (out)
        *to = 0;
    return out;
}

/* Base64 (RFC 4648); returns the bytes written, SIZE_MAX for a character that is none. */
static size_t decode_base64(uint8_t *out, const char *text, size_t n)
{
    size_t made = 0;
    uint32_t bits = 0, have = 0;
    while (n && text[n - 1] == '=')
        n--;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        int v = c >= 'A' && c <= 'Z'   ? c - 'A'
                : c >= 'a' && c <= 'z' ? c - 'a' + 26
                : c >= '0' && c <= '9' ? c - '0' + 52
                : c == '+' || c == '-' ? 62
                : c == '/' || c == '_' ? 63
                                       : -1;
        if (v < 0)
            return SIZE_MAX;
        bits = bits << 6 | (uint32_t)v;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[made++] = (uint8_t)(bits >> have);
        }
    }
    return made;
}

static int load_data_uri(struct gltf *g, const char *uri, struct gs_blob *out)
{
    const char *comma = strchr(uri, ',');
    if (!comma || comma - uri < 7 || strncmp(comma - 7, ";base64", 7))
        return fv_fail(FV_EUNSUPPORTED, "%s: a data: URI that is not base64", g->name);
    size_t n = strlen(comma + 1);
    out->heap = malloc(n ? n : 1);
    if (!out->heap)
        return fv_fail(FV_ENOMEM, "%s: out of memory", g->name);
    out->data = out->heap;
    out->size = decode_base64(out->heap, comma + 1, n);
    if (out->size == SIZE_MAX) {
        gs_blob_free(out);
        return fv_fail(FV_EFORMAT, "%s: a data: URI with a character that is not base64", g->name);
    }
    return 0;
}

static int load_file_uri(struct gltf *g, const char *uri, struct gs_blob *out)
{
    char *file = decode_percent(uri);
    char *path = file && g->dir ? fv_path_join(g->dir, file) : NULL;
    int rc;
    if (file && !g->dir)
        rc = fv_fail(FV_EUNSUPPORTED,
                     "%s: its buffer is another file, '%.64s'; open the scene by its "
                     "path",
                     g->name, file);
    else if (file && !gs_path_is_inside(file))
        rc =
            fv_fail(FV_EFORMAT, "%s: buffer '%.64s' is not a file below its folder", g->name, file);
    else if (!path)
        rc = fv_fail(FV_ENOMEM, "%s: out of memory", g->name);
    else
        rc = gs_blob_open(out, path);
    free(file);
    free(path);
    return rc;
}

/* Bytes of buffer `index`, loaded once. */
static int get_buffer(struct gltf *g, size_t index, const struct gs_blob **out)
{
    struct gs_blob *b = &g->buffers[index];
    struct fv_node node = fv_node_at(fv_node_get(g->doc.root, "buffers"), index);
    size_t length = (size_t)fv_json_int(&g->doc, node, "byteLength", 0, 1LL << 40);
    if (g->doc.failed)
        return FV_EFORMAT;
    if (!b->data && fv_node_has(node, "uri")) {
        const char *uri = fv_json_string(&g->doc, node, "uri");
        FV_TRY(!strncmp(uri, "data:", 5) ? load_data_uri(g, uri, b) : load_file_uri(g, uri, b));
        g->size += b->size;
    } else if (!b->data && index == 0) {
        b->data = g->bin;
        b->size = g->bin_size;
    }
    if (b->size < length)
        return fv_json_fail(&g->doc, node, "has %zu bytes where byteLength says %zu", b->size,
                            length);
    b->size = length;
    *out = b;
    return 0;
}

/* ---- accessors ---- */

static size_t component_size(int component)
{
    switch (component) {
    case GLTF_I8:
    case GLTF_U8:
        return 1;
    case GLTF_I16:
    case GLTF_U16:
        return 2;
    case GLTF_U32:
    case GLTF_F32:
        return 4;
    default:
        return 0;
    }
}

static const char *type_of_width(int width)
{
    return width == 1 ? "SCALAR" : width == 3 ? "VEC3" : "VEC4";
}

/* Places the elements in their buffer: offset + stride * (count-1) + element must fit. */
static int place(struct gltf_accessor *a, struct gltf *g, struct fv_node node, size_t offset)
{
    struct fv_json *doc = &g->doc;
    size_t element = (size_t)a->width * component_size(a->component);
    if (!fv_node_has(node, "bufferView"))
        return fv_fail(FV_EUNSUPPORTED, "%s: %s: has no bufferView (all zeros)", g->name,
                       node.place);
    size_t v = (size_t)fv_json_int(doc, node, "bufferView", 0, (long long)g->view_count - 1);
    if (doc->failed)
        return FV_EFORMAT;
    struct fv_node view = g->views[v];
    size_t b = (size_t)fv_json_int(doc, view, "buffer", 0, (long long)g->buffer_count - 1);
    size_t start = 0, length = (size_t)fv_json_int(doc, view, "byteLength", 0, 1LL << 40);
    if (fv_node_has(view, "byteOffset"))
        start = (size_t)fv_json_int(doc, view, "byteOffset", 0, 1LL << 40);
    a->stride = element;
    if (fv_node_has(view, "byteStride"))
        a->stride = (size_t)fv_json_int(doc, view, "byteStride", (long long)element, 252);
    if (doc->failed)
        return FV_EFORMAT;
    const struct gs_blob *buffer = NULL;
    FV_TRY(get_buffer(g, b, &buffer));
    if (start > buffer->size || length > buffer->size - start)
        return fv_json_fail(doc, view, "bytes %zu to %zu of a buffer of %zu", start, start + length,
                            buffer->size);
    if (offset > length || element > length - offset ||
        (a->count - 1) > (length - offset - element) / a->stride)
        return fv_json_fail(doc, node,
                            "%zu elements of %zu bytes do not fit in bufferView %zu of %zu",
                            a->count, a->stride, v, length);
    a->data = buffer->data + start + offset;
    return 0;
}

/* Elements that a sparse accessor replaces: its member `key`, placed. */
static int sparse_part(struct gltf_accessor *out, struct gltf *g, struct fv_node sparse,
                       const char *key)
{
    struct fv_json *doc = &g->doc;
    struct fv_node part = fv_json_object(doc, sparse, key);
    size_t offset = 0;
    if (fv_node_has(part, "byteOffset"))
        offset = (size_t)fv_json_int(doc, part, "byteOffset", 0, 1LL << 40);
    if (out->width == 1 && !strcmp(key, "indices"))
        out->component = (enum gltf_component)fv_json_int(doc, part, "componentType", 0, 65535);
    if (doc->failed)
        return FV_EFORMAT;
    if (!component_size(out->component) ||
        (!strcmp(key, "indices") && out->component != GLTF_U8 && out->component != GLTF_U16 &&
         out->component != GLTF_U32))
        return fv_json_fail(doc, part, "component type %d is none of an index's", out->component);
    return place(out, g, part, offset);
}

/* A sparse accessor (glTF 2.0, 3.6.2.3) as floats in memory of g: base's elements, or zeros where
 * it has no data, some of them replaced. */
static int make_dense(struct gltf_accessor *out, struct gltf *g, struct fv_node node,
                      const struct gltf_accessor *base)
{
    struct fv_json *doc = &g->doc;
    struct fv_node sparse = fv_json_object(doc, node, "sparse");
    struct gltf_accessor indices = {.width = 1}, values = *base;
    size_t width = (size_t)base->width;
    indices.count = values.count =
        (size_t)fv_json_int(doc, sparse, "count", 1, (long long)base->count);
    if (doc->failed)
        return FV_EFORMAT;
    FV_TRY(sparse_part(&indices, g, sparse, "indices"));
    FV_TRY(sparse_part(&values, g, sparse, "values"));
    /* zeros cost no bytes of the file: a small one may not ask for much memory */
    if (base->count > (1u << 20) && base->count / 64 > g->size)
        return fv_json_fail(doc, node, "%zu elements of a file of %zu bytes", base->count, g->size);
    void **list = realloc(g->dense, (g->dense_count + 1) * sizeof *list);
    if (list)
        g->dense = list;
    float *to = list ? calloc(base->count, width * sizeof *to) : NULL;
    if (!to)
        return fv_fail(FV_ENOMEM, "%s: out of memory", g->name);
    g->dense[g->dense_count++] = to;
    for (size_t i = 0; base->data && i < base->count; i++)
        gltf_get(base, i, to + width * i);
    for (size_t k = 0; k < indices.count; k++) {
        uint32_t i = 0; /* whole numbers, which floats of 32 bits do not hold */
        memcpy(&i, indices.data + k * indices.stride, component_size(indices.component));
        if (i >= base->count)
            return fv_json_fail(doc, sparse, "index %u of %zu elements", i, base->count);
        gltf_get(&values, k, to + width * i);
    }
    *out = (struct gltf_accessor){.data = (const uint8_t *)to,
                                  .count = base->count,
                                  .stride = width * sizeof *to,
                                  .width = base->width,
                                  .component = GLTF_F32};
    return 0;
}

int gltf_accessor(struct gltf_accessor *out, struct gltf *g, size_t index, int width,
                  const char *what)
{
    struct fv_json *doc = &g->doc;
    *out = (struct gltf_accessor){.width = width};
    if (index >= g->accessor_count)
        return fv_fail(FV_EFORMAT, "%s: %s: accessor %zu of %zu", g->name, what, index,
                       g->accessor_count);
    struct fv_node node = g->accessors[index];
    int component = (int)fv_json_int(doc, node, "componentType", 0, 65535);
    out->count = (size_t)fv_json_int(doc, node, "count", 1, UINT32_MAX);
    out->normalized = fv_json_bool_or(doc, node, "normalized", false);
    const char *type = fv_json_string(doc, node, "type");
    size_t offset = 0;
    if (fv_node_has(node, "byteOffset"))
        offset = (size_t)fv_json_int(doc, node, "byteOffset", 0, 1LL << 40);
    if (doc->failed)
        return FV_EFORMAT;
    if (strcmp(type, type_of_width(width)))
        return fv_json_fail(doc, node, "%s is a %.16s; it must be %s", what, type,
                            type_of_width(width));
    if (!component_size(component))
        return fv_json_fail(doc, node, "component type %d is none of glTF's", component);
    out->component = (enum gltf_component)component;
    if (!fv_node_has(node, "sparse"))
        return place(out, g, node, offset);
    struct gltf_accessor base = *out;
    if (fv_node_has(node, "bufferView"))
        FV_TRY(place(&base, g, node, offset));
    return make_dense(out, g, node, &base);
}

static float component_at(const struct gltf_accessor *a, const uint8_t *p)
{
    uint16_t u;
    uint32_t w;
    float v;
    switch (a->component) {
    case GLTF_I8:
        v = (float)(int8_t)*p;
        return a->normalized ? fmaxf(v / 127.0f, -1.0f) : v;
    case GLTF_U8:
        return a->normalized ? (float)*p / 255.0f : (float)*p;
    case GLTF_I16:
        memcpy(&u, p, 2);
        v = (float)(int16_t)u;
        return a->normalized ? fmaxf(v / 32767.0f, -1.0f) : v;
    case GLTF_U16:
        memcpy(&u, p, 2);
        return a->normalized ? (float)u / 65535.0f : (float)u;
    case GLTF_U32:
        memcpy(&w, p, 4);
        return a->normalized ? (float)w / 4294967295.0f : (float)w;
    default:
        return 0; /* floats are copied whole */
    }
}

void gltf_get(const struct gltf_accessor *a, size_t i, float *out)
{
    const uint8_t *p = a->data + i * a->stride;
    size_t size = component_size(a->component);
    if (a->component == GLTF_F32) {
        memcpy(out, p, (size_t)a->width * sizeof *out);
        return;
    }
    for (int k = 0; k < a->width; k++)
        out[k] = component_at(a, p + (size_t)k * size);
}

/* ---- nodes ---- */

int gltf_local_matrix(struct gltf *g, struct fv_node node, double out[16])
{
    struct fv_json *doc = &g->doc;
    double t[3] = {0}, q[4] = {0, 0, 0, 1}, s[3] = {1, 1, 1};
    if (fv_node_has(node, "matrix")) {
        double m[16];
        fv_json_numbers(doc, fv_node_get(node, "matrix"), m, 16);
        for (int r = 0; r < 4; r++)
            for (int c = 0; c < 4; c++)
                out[4 * r + c] = m[4 * c + r];
        return doc->failed ? FV_EFORMAT : 0;
    }
    if (fv_node_has(node, "translation"))
        fv_json_numbers(doc, fv_node_get(node, "translation"), t, 3);
    if (fv_node_has(node, "rotation"))
        fv_json_numbers(doc, fv_node_get(node, "rotation"), q, 4);
    if (fv_node_has(node, "scale"))
        fv_json_numbers(doc, fv_node_get(node, "scale"), s, 3);
    double n = sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
    if (!doc->failed && !(n > 0 && n < INFINITY))
        return fv_json_fail(doc, node, "rotation is not a quaternion of length 1");
    double x = q[0] / n, y = q[1] / n, z = q[2] / n, w = q[3] / n;
    const double r[9] = {
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z),     2 * (x * z + w * y),
        2 * (x * y + w * z),     1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y),     2 * (y * z + w * x),     1 - 2 * (x * x + y * y),
    };
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 3; k++)
            out[4 * i + k] = r[3 * i + k] * s[k];
        out[4 * i + 3] = t[i];
    }
    out[12] = out[13] = out[14] = 0;
    out[15] = 1;
    return doc->failed ? FV_EFORMAT : 0;
}

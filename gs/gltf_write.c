/* .glb writer: KHR_gaussian_splatting with float attributes, one mesh, and COLOR_0 for programs
 * that only show points. Axes as in gltf.c: half a turn about z from the .ply's. */
#include "gs/gltf.h"
#include "gs/scene.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EXTENSION "KHR_gaussian_splatting"

enum { ROWS = 1024, FIXED = 5, MAX_ATTRIBUTES = FIXED + 16 };

/* Attribute order in the file; SH coefficient k follows at FIXED + k. */
enum { POSITION, COLOR, ROTATION, SCALE, OPACITY };

static const struct {
    const char *name, *type;
    int component, width;
    uint32_t bytes;
} fixed[FIXED] = {
    [POSITION] = {"POSITION", "VEC3", GLTF_F32, 3, 12},
    [COLOR] = {"COLOR_0", "VEC4", GLTF_U8, 4, 4},
    [ROTATION] = {EXTENSION ":ROTATION", "VEC4", GLTF_F32, 4, 16},
    [SCALE] = {EXTENSION ":SCALE", "VEC3", GLTF_F32, 3, 12},
    [OPACITY] = {EXTENSION ":OPACITY", "SCALAR", GLTF_F32, 1, 4},
};

static uint32_t bytes_of(int attribute)
{
    return attribute < FIXED ? fixed[attribute].bytes : 12;
}

/* COLOR_0 is linear, our colours are not. */
static uint8_t linear_byte(float c)
{
    c = c < 0 ? 0 : c > 1 ? 1 : c;
    c = c <= 0.04045f ? c / 12.92f : powf((c + 0.055f) / 1.055f, 2.4f);
    return (uint8_t)gs_quantise((double)c, 255);
}

/* Rows [begin, begin+n) of one attribute, as they stand in the file. */
static void put_rows(const struct gs_scene *s, int attribute, size_t begin, size_t n, uint8_t *out)
{
    size_t coefs = (size_t)gs_sh_coefs(s->sh_degree);
    for (size_t i = begin; i < begin + n; i++) {
        const float *p = s->position + 3 * i, *q = s->rotation + 4 * i, *sc = s->scale + 3 * i;
        const float *sh = s->sh + i * coefs * 3;
        float v[4];
        if (attribute == POSITION) {
            memcpy(v, (float[]){-p[0], -p[1], p[2]}, 12);
        } else if (attribute == COLOR) {
            uint8_t *c = (uint8_t *)v;
            for (int k = 0; k < 3; k++)
                c[k] = linear_byte(0.5f + GS_SH_C0 * sh[k]);
            c[3] = (uint8_t)gs_quantise(gs_sigmoid((double)s->opacity[i]), 255);
        } else if (attribute == ROTATION) {
            memcpy(v, (float[]){-q[2], q[1], q[0], -q[3]}, 16);
        } else if (attribute == SCALE) {
            memcpy(v, (float[]){expf(sc[0]), expf(sc[1]), expf(sc[2])}, 12);
        } else if (attribute == OPACITY) {
            v[0] = (float)gs_sigmoid((double)s->opacity[i]);
        } else {
            int k = attribute - FIXED;
            for (int ch = 0; ch < 3; ch++)
                v[ch] = sh[3 * k + ch] * gs_sh_flip_sign(k, -1, -1, 1);
        }
        memcpy(out, v, bytes_of(attribute));
        out += bytes_of(attribute);
    }
}

static void print_bounds(FILE *f, const struct gs_scene *s)
{
    float min[3] = {INFINITY, INFINITY, INFINITY}, max[3] = {-INFINITY, -INFINITY, -INFINITY};
    for (size_t i = 0; i < s->count; i++)
        for (size_t k = 0; k < 3; k++) {
            float v = s->position[3 * i + k] * (k < 2 ? -1.0f : 1.0f);
            min[k] = fminf(min[k], v);
            max[k] = fmaxf(max[k], v);
        }
    fprintf(f, ",\"min\":[%.9g,%.9g,%.9g],\"max\":[%.9g,%.9g,%.9g]", min[0], min[1], min[2], max[0],
            max[1], max[2]);
}

static void print_json(FILE *f, const struct gs_scene *s, int attributes, uint64_t bytes)
{
    fprintf(
        f,
        "{\"asset\":{\"version\":\"2.0\",\"generator\":\"fovea %s\"},\"extensionsUsed\":[\"%s\"],"
        "\"scene\":0,\"scenes\":[{\"nodes\":[0]}],\"nodes\":[{\"mesh\":0}],"
        "\"buffers\":[{\"byteLength\":%llu}],\"bufferViews\":[",
        FOVEA_VERSION, EXTENSION, (unsigned long long)bytes);
    uint64_t at = 0;
    for (int a = 0; a < attributes; a++) {
        uint64_t length = (uint64_t)s->count * bytes_of(a);
        fprintf(f, "%s{\"buffer\":0,\"byteOffset\":%llu,\"byteLength\":%llu,\"target\":34962}",
                a ? "," : "", (unsigned long long)at, (unsigned long long)length);
        at += length;
    }
    fprintf(f, "],\"accessors\":[");
    for (int a = 0; a < attributes; a++) {
        fprintf(f, "%s{\"bufferView\":%d,\"componentType\":%d,\"count\":%zu,\"type\":\"%s\"",
                a ? "," : "", a, a < FIXED ? fixed[a].component : GLTF_F32, s->count,
                a < FIXED ? fixed[a].type : "VEC3");
        if (a == POSITION)
            print_bounds(f, s);
        fprintf(f, "%s}", a == COLOR ? ",\"normalized\":true" : "");
    }
    fprintf(f, "],\"meshes\":[{\"primitives\":[{\"mode\":0,\"attributes\":{");
    for (int a = 0; a < attributes; a++) {
        int k = a - FIXED, l = k >= 9 ? 3 : k >= 4 ? 2 : k >= 1 ? 1 : 0;
        if (a < FIXED)
            fprintf(f, "%s\"%s\":%d", a ? "," : "", fixed[a].name, a);
        else
            fprintf(f, ",\"%s:SH_DEGREE_%d_COEF_%d\":%d", EXTENSION, l, k - l * l, a);
    }
    fprintf(
        f,
        "},\"extensions\":{\"%s\":{\"kernel\":\"ellipse\",\"colorSpace\":\"srgb_rec709_display\","
        "\"projection\":\"perspective\",\"sortingMethod\":\"cameraDistance\"}}}]}]}",
        EXTENSION);
}

static void write_u32(struct fv_writer *w, uint32_t v)
{
    uint8_t b[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
    fv_write(w, b, sizeof b);
}

static int write_binary(const struct gs_scene *s, struct fv_writer *w, int attributes,
                        const struct gs_save_opts *opts)
{
    uint8_t buffer[ROWS * 16];
    for (int a = 0; a < attributes; a++) {
        struct fv_progress p = {"writing", a, attributes};
        if (opts && opts->on_progress && opts->on_progress(opts->ud, &p))
            return fv_fail(FV_ECANCELLED, "cancelled");
        for (size_t i = 0, n; i < s->count; i += n) {
            n = s->count - i < ROWS ? s->count - i : ROWS;
            put_rows(s, a, i, n, buffer);
            fv_write(w, buffer, n * bytes_of(a));
        }
    }
    return 0;
}

int gs_write_glb(const struct gs_scene *s, struct fv_writer *w, const struct gs_save_opts *opts)
{
    int attributes = FIXED + gs_sh_coefs(s->sh_degree);
    uint64_t bytes = 0;
    for (int a = 0; a < attributes; a++)
        bytes += (uint64_t)s->count * bytes_of(a);
    if (!s->count || bytes > UINT32_MAX - (1u << 16))
        return fv_fail(FV_EINVALID,
                       "%zu Gaussians at SH degree %d cannot be a .glb, which holds 1 "
                       "Gaussian to 4 GiB; cut the SH or write .spz",
                       s->count, s->sh_degree);
    char *json = NULL;
    size_t json_size = 0;
    FILE *f = open_memstream(&json, &json_size);
    if (!f)
        return fv_fail(FV_ENOMEM, "out of memory");
    print_json(f, s, attributes, bytes);
    if (fclose(f)) {
        free(json);
        return fv_fail(FV_ENOMEM, "out of memory");
    }
    uint32_t padded = (uint32_t)(json_size + 3) / 4 * 4;
    write_u32(w, GLTF_GLB_MAGIC);
    write_u32(w, 2);
    write_u32(w, 12 + 8 + padded + 8 + (uint32_t)bytes);
    write_u32(w, padded);
    write_u32(w, GLTF_CHUNK_JSON);
    fv_write(w, json, json_size);
    fv_write(w, "   ", padded - json_size);
    write_u32(w, (uint32_t)bytes);
    write_u32(w, GLTF_CHUNK_BIN);
    free(json);
    return write_binary(s, w, attributes, opts);
}

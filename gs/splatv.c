/* .splatv, read only: a moving scene in one file (format of antimatter15/splaTV).
 *
 *      0  u32 0x674b, u32 bytes of the JSON that follows
 *      8  JSON: [{"type": "splat", "size": bytes, "texwidth", "texheight", ...}, ...]
 *         the parts' bytes, one after the other; a part of another type is passed over
 *
 * A splat part is a picture of RGBA32UI, four texels = 64 bytes a Gaussian:
 *      0  3 x f32  position                    28  4 x u8   R, G, B, alpha, each 0..255
 *     12  4 x f16  quaternion w,x,y,z          32  9 x f16  motion: by dt, dt^2, dt^3, 3 each
 *     20  3 x f16  deviation, f16 unused       50  f16 unused
 *     52  4 x f16  turn by dt                  60  f16 centre in time, f16 width in time
 *
 * Time goes from 0 to 1; dt = time - centre. What a Gaussian is then: position + motion, quaternion +
 * turn dt, alpha exp(-(dt / width)^2), and nothing where that factor is less than 0.02. Rows of the
 * picture that hold no Gaussian are zeros, of width 0. A scene is never empty: where nothing is there,
 * the Gaussian that is nearest in time stays, too thin to be seen. */
#include "gs/scene.h"
#include "vk/base/half.h"
#include "vk/base/json.h"

#include <stdlib.h>
#include <string.h>

enum { PREFIX = 8, ROW = 64 };
#define MAGIC 0x674bu

static const float least_factor = 0.02f;

static uint32_t u32_at(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static float f32_at(const uint8_t *p)
{
    return fv_bits_f32(u32_at(p));
}

static float f16_at(const uint8_t *p)
{
    return fv_f16_to_f32((uint16_t)(p[0] | p[1] << 8));
}

/* The rows of the first splat part. */
static int find_rows(const uint8_t *data, size_t size, const char *name, const uint8_t **rows,
                     size_t *count)
{
    struct fv_json doc;
    uint32_t text = size >= PREFIX ? u32_at(data + 4) : 0;
    if (size < PREFIX || u32_at(data) != MAGIC)
        return fv_fail(FV_EFORMAT, "%s: does not begin with 0x674b: no .splatv", name);
    if (text > size - PREFIX)
        return fv_fail(FV_EFORMAT, "%s: its header says %u bytes of JSON, the file has %zu", name, text,
                       size - PREFIX);
    FV_TRY(fv_json_parse(&doc, (const char *)data + PREFIX, text, name));
    size_t at = PREFIX + text, parts = fv_node_count(doc.root);
    bool found = false;
    if (!fv_node_is_array(doc.root))
        fv_json_fail(&doc, doc.root, "expected a list of parts");
    for (size_t i = 0; i < parts && !found && !doc.failed; i++) {
        struct fv_node part = fv_node_at(doc.root, i);
        size_t bytes = (size_t)fv_json_int(&doc, part, "size", 0, 1ll << 40);
        bool splat = !strcmp(fv_json_string(&doc, part, "type"), "splat");
        if (doc.failed)
            break;
        if (bytes > size - at)
            fv_json_fail(&doc, part, "size is %zu, the file has %zu bytes more", bytes, size - at);
        else if (splat && bytes % ROW)
            fv_json_fail(&doc, part, "size is %zu, no multiple of %d", bytes, ROW);
        found = splat;
        *rows = data + at;
        *count = bytes / ROW;
        at += bytes;
    }
    if (!doc.failed && !found)
        fv_json_fail(&doc, doc.root, "no part is of type \"splat\"");
    int rc = doc.failed ? FV_EFORMAT : 0;
    fv_json_close(&doc);
    return rc;
}

/* Widths of time between a Gaussian and a moment; infinite if it is never there. */
static float distance_at(const uint8_t *row, float time)
{
    float width = f16_at(row + 62);
    float d = fabsf((time - f16_at(row + 60)) / width);
    return width > 0 && row[31] && d >= 0 ? d : INFINITY;
}

/* How much of it there is; 0 if nothing is drawn. */
static float factor_at(const uint8_t *row, float time)
{
    float d = distance_at(row, time), factor = expf(-d * d);
    return factor >= least_factor ? factor : 0;
}

static void read_row(struct gs_scene *s, size_t i, const uint8_t *row, float time, float factor)
{
    float dt = time - f16_at(row + 60);
    for (size_t k = 0; k < 3; k++) {
        const uint8_t *motion = row + 32 + 2 * k;
        s->position[3 * i + k] = f32_at(row + 4 * k) + f16_at(motion) * dt + f16_at(motion + 6) * dt * dt +
                                 f16_at(motion + 12) * dt * dt * dt;
        s->scale[3 * i + k] = logf(f16_at(row + 20 + 2 * k));
        s->sh[3 * i + k] = (row[28 + k] / 255.f - 0.5f) / GS_SH_C0;
    }
    for (size_t k = 0; k < 4; k++)
        s->rotation[4 * i + k] = f16_at(row + 12 + 2 * k) + f16_at(row + 52 + 2 * k) * dt;
    s->opacity[i] = (float)gs_logit((double)factor * row[31] / 255);
}

int gs_read_splatv(struct gs_scene *out, const uint8_t *data, size_t size, const char *name,
                   const struct gs_load_opts *opts)
{
    const uint8_t *rows = data;
    size_t count = 0, there = 0;
    float time = opts ? (float)opts->time : 0;
    FV_TRY(find_rows(data, size, name, &rows, &count));
    for (size_t i = 0; i < count; i++)
        there += factor_at(rows + ROW * i, time) > 0;
    FV_TRY(gs_scene_alloc(out, there ? there : 1, 0));
    size_t left = 0, nearest = SIZE_MAX;
    float least = INFINITY;
    for (size_t i = 0; i < count; i++) {
        float factor = factor_at(rows + ROW * i, time), distance = distance_at(rows + ROW * i, time);
        if (factor > 0)
            read_row(out, left++, rows + ROW * i, time, factor);
        if (distance < least) {
            least = distance;
            nearest = i;
        }
    }
    if (nearest == SIZE_MAX) {
        gs_scene_finish(out);
        return fv_fail(FV_EFORMAT, "%s: none of its %zu Gaussians is ever there", name, count);
    }
    if (!left)
        read_row(out, 0, rows + ROW * nearest, time, 1 / 1024.f);
    snprintf(out->detail, sizeof out->detail, "splatv at time %.4g", (double)time);
    return 0;
}

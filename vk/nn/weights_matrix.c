/* Matrices of codes among weights (wants.h): what their parts must be in a file, the forms they have on
 * the device (matrix.h). */
#include "vk/base/json.h"
#include "vk/nn/wants.h"
#include "vk/nn/weights_private.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- forms on the device ----------------------------------------------------------------- */

static void fours_shape(nn_tensor *t)
{
    t->rank = 3;
    t->shape[0] = (t->shape[0] + 3) / 4;
    t->shape[2] = 4;
}

/* Four rows side by side; what is beyond the last is zero: it has scales of zero. */
static void fours_pack(void *out, nn_tensor to, const void *in, nn_tensor from)
{
    uint32_t size = nn_dtype_bytes(from.dtype);
    unsigned char *o = out;
    const unsigned char *i = in;
    (void)to;
    for (uint64_t n = 0; n < from.shape[0]; n++)
        for (uint64_t k = 0; k < from.shape[1]; k++)
            memcpy(o + ((n / 4 * from.shape[1] + k) * 4 + n % 4) * size, i + (n * from.shape[1] + k) * size,
                   size);
}

static void turned_shape(nn_tensor *t)
{
    uint32_t n = t->shape[0];
    t->shape[0] = t->shape[1];
    t->shape[1] = n;
}

static void turned_pack(void *out, nn_tensor to, const void *in, nn_tensor from)
{
    uint16_t *o = out;
    const uint16_t *i = in;
    (void)to;
    for (uint64_t n = 0; n < from.shape[0]; n++)
        for (uint64_t k = 0; k < from.shape[1]; k++)
            o[k * from.shape[0] + n] = i[n * from.shape[1] + k];
}

static void inverse_shape(nn_tensor *t)
{
    t->shape[0] = (t->shape[0] + 7) / 8 * 8;
}

static void inverse_pack(void *out, nn_tensor to, const void *in, nn_tensor from)
{
    float *o = out;
    const float *i = in;
    (void)to;
    for (uint32_t k = 0; k < from.shape[0]; k++)
        o[k] = 1 / i[k];
}

static const struct nn_weight_layout fours = {fours_shape, fours_pack};
static const struct nn_weight_layout turned = {turned_shape, turned_pack};
static const struct nn_weight_layout inverse = {inverse_shape, inverse_pack};

const struct nn_weight_layout *nn_part_layout(enum nn_matrix_part part)
{
    return part == NN_PART_DOWN     ? &turned
           : part == NN_PART_SMOOTH ? &inverse
                                    : &fours;
}

/* ---- what is in a file ------------------------------------------------------------------- */

const struct nn_file_tensor *nn_file_find_matrix(const struct nn_file *f, const char *name)
{
    char full[NN_FILE_MAX_NAME + 1];
    const struct nn_file_tensor *t = NULL;
    for (int i = 0; i < 2 && !t; i++) {
        int n = snprintf(full, sizeof full, "%s.%sweight", name, i ? "q" : "");
        t = n > 0 && (size_t)n < sizeof full ? nn_file_find(f, full) : NULL;
    }
    return t;
}

int nn_codes_are_nf4(bool *out, const struct nn_file *f)
{
    const char *text = f ? nn_file_meta(f, "fovea.quantization") : NULL;
    struct fv_json doc;
    *out = false;
    if (!text)
        return 0;
    FV_TRY(fv_json_parse(&doc, text, strlen(text), f->name));
    const char *method = fv_json_string_or(&doc, doc.root, "method", "");
    *out = !strcmp(method, "nf4");
    int format = (int)fv_json_number_or(&doc, doc.root, "format", 1);
    int rc = doc.failed ? FV_EFORMAT : 0;
    if (rc == 0 && format != 1)
        rc = fv_fail(FV_EUNSUPPORTED, "%s: a quantised model of format %d; this reads 1", f->name, format);
    fv_json_close(&doc);
    return rc;
}

static int expect(const struct nn_file *f, const struct nn_file_tensor *t, unsigned rank, uint64_t a, uint64_t b)
{
    char expected[160], found[160];
    if (t->rank == rank && t->shape[0] == a && (rank == 1 || t->shape[1] == b))
        return 0;
    nn_shape_text(expected, (uint64_t[]){a, b}, rank);
    nn_shape_text(found, t->shape, t->rank);
    return fv_fail(FV_EFORMAT, "%s: tensor '%.200s' has the shape %s, expected %s", f->parts[t->part], t->name,
                   found, expected);
}

static int check_smooth(const struct nn_file *f, const struct nn_file_tensor *t)
{
    float v[256];
    for (uint64_t k = 0; k < t->count; k += 256) {
        uint64_t n = t->count - k < 256 ? t->count - k : 256;
        FV_TRY(nn_file_read(t, NN_DATA_F32, k, n, v));
        for (uint64_t i = 0; i < n; i++)
            if (!(fabsf(v[i]) >= 0x1p-100f && isfinite(v[i])))
                return fv_fail(FV_EFORMAT, "%s: tensor '%.200s' holds %g at [%llu], which nothing is divided by",
                               f->parts[t->part], t->name, (double)v[i], (unsigned long long)(k + i));
    }
    return 0;
}

int nn_part_place(struct nn_plan *p, struct nn_place *at, const struct nn_place *plain)
{
    const struct nn_file_tensor *t = at->file;
    uint32_t rows = at->want->shape[0], columns = at->want->shape[1];
    uint32_t groups = (columns + NN_CODE_GROUP - 1) / NN_CODE_GROUP, words = groups * 8;
    const uint64_t rank = t && t->rank > 0 ? t->shape[0] : 0;
    switch (at->want->part) {
    case NN_PART_CODES:
        if ((t->type != NN_DATA_U8 && t->type != NN_DATA_I8) || !t->contiguous)
            return fv_fail(FV_EFORMAT, "%s: tensor '%.200s' is of type %s, expected U8 (4 bits) or I8",
                           p->f->parts[t->part], t->name, nn_data_name(t->type));
        at->code = t->type == NN_DATA_I8 ? NN_CODE_INT8 : p->nf4 ? NN_CODE_NF4 : NN_CODE_INT4;
        words *= at->code == NN_CODE_INT8 ? 2 : 1;
        FV_TRY(expect(p->f, t, 2, rows, 4ull * words));
        at->from = nn_over(NULL, 0, NN_I32, NN_SHAPE(rows, words));
        break;
    case NN_PART_SCALES:
        FV_TRY(expect(p->f, t, 2, rows, groups));
        at->from = nn_over(NULL, 0, NN_F16, NN_SHAPE(rows, groups));
        break;
    case NN_PART_SMOOTH:
        FV_TRY(expect(p->f, t, 1, columns, 0));
        FV_TRY(check_smooth(p->f, t));
        at->from = nn_over(NULL, 0, NN_F32, NN_SHAPE(columns));
        break;
    case NN_PART_DOWN:
        if (t && (t->rank != 2 || !rank || rank % 8 || rank > NN_MAX_LOW_RANK))
            return fv_fail(FV_EFORMAT, "%s: tensor '%.200s' is of rank %llu, expected a multiple of 8 up to %d",
                           p->f->parts[t->part], t->name, (unsigned long long)rank, NN_MAX_LOW_RANK);
        if (t)
            FV_TRY(expect(p->f, t, 2, rank, columns));
        at->from = nn_over(NULL, 0, NN_F16, NN_SHAPE((uint32_t)rank + at->lora_rank, columns));
        break;
    default: {
        const struct nn_place *down = plain + (NN_PART_DOWN - NN_PART_PLAIN);
        if (t)
            FV_TRY(expect(p->f, t, 2, rows, down->file && down->file->rank ? down->file->shape[0] : 0));
        at->from = nn_over(NULL, 0, NN_F16, NN_SHAPE(rows, down->from.shape[0]));
    }
    }
    return 0;
}

bool nn_part_is_needed(const struct nn_place *at, const struct nn_place *plain, enum nn_matrix_part part)
{
    bool codes = plain[NN_PART_CODES - NN_PART_PLAIN].file;
    switch (part) {
    case NN_PART_PLAIN:
        return !codes;
    case NN_PART_SCALES:
        return codes;
    case NN_PART_DOWN:
        return codes && at[1].file;
    case NN_PART_UP:
        return codes && at[-1].file;
    default:
        return part == NN_PART_NONE;
    }
}

/* Matrices of codes for tests (quantised.h). */
#include "support/quantised.h"
#include "support/test.h"
#include "vk/base/half.h"

#include <string.h>

static const char *const ends[] = {"qweight", "qscale", "smooth", "lora_down", "lora_up"};

/* Replaces the random contents of a new tensor. */
static void *put(struct test_model *m, const char *name, const char *end, enum nn_data type, uint64_t a, uint64_t b,
                 size_t bytes)
{
    char full[160];
    void *data = calloc(1, bytes);
    assert_non_null(data);
    snprintf(full, sizeof full, "%s.%s", name, end);
    uint64_t seed = m->seed;
    test_model_add(m, full, b ? 2 : 1, (uint64_t[]){a, b});
    m->seed = seed; /* restored models have the same low-rank branches */
    struct nn_save_tensor *t = &m->list[m->count - 1];
    free((void *)t->data);
    t->data = data;
    t->type = type;
    return data;
}

static uint16_t *random_halves(struct test_model *m, const char *name, const char *end, uint64_t a, uint64_t b,
                               double most)
{
    uint16_t *out = put(m, name, end, NN_DATA_F16, a, b, 2 * a * b);
    for (uint64_t i = 0; i < a * b; i++)
        out[i] = fv_f32_to_f16((float)test_uniform(&m->seed, -most, most));
    return out;
}

static unsigned nearest(enum nn_code code, float v)
{
    if (code == NN_CODE_INT4)
        return (unsigned)(fminf(fmaxf(rintf(v), -7), 7) + 8);
    if (code == NN_CODE_INT8)
        return (uint8_t)(int8_t)fminf(fmaxf(rintf(v), -127), 127);
    unsigned best = 0;
    for (unsigned i = 1; i < 16; i++)
        best = fabsf(nn_nf4[i] - v) < fabsf(nn_nf4[best] - v) ? i : best;
    return best;
}

/* One row: codes and scales of w's k numbers. */
static void encode(enum nn_code code, const float *w, uint32_t k, uint8_t *codes, uint16_t *scales)
{
    static const float most[NN_CODES] = {0, 7, 1, 127};
    uint32_t filled = (k + 63) / 64 * 64;
    for (uint32_t g = 0; g < filled / 64; g++) {
        float top = 0;
        for (uint32_t i = 64 * g; i < 64 * g + 64 && i < k; i++)
            top = fmaxf(top, fabsf(w[i]));
        scales[g] = fv_f32_to_f16(top / most[code]);
        float scale = fv_f16_to_f32(scales[g]);
        for (uint32_t i = 64 * g; i < 64 * g + 64; i++) {
            unsigned q = nearest(code, i < k && scale > 0 ? w[i] / scale : 0);
            if (code == NN_CODE_INT8)
                codes[i] = (uint8_t)q;
            else
                codes[i / 2] |= (uint8_t)(q << 4 * (i % 2));
        }
    }
}

void test_quantise(struct test_model *m, const char *name, const struct test_codes *how)
{
    char full[160];
    snprintf(full, sizeof full, "%s.weight", name);
    const struct nn_save_tensor *w = test_model_find(m, full);
    uint32_t n = (uint32_t)w->shape[0], k = (uint32_t)w->shape[1], filled = (k + 63) / 64 * 64;
    uint32_t bytes = how->code == NN_CODE_INT8 ? filled : filled / 2;
    float *rest = malloc(4ull * n * k);
    assert_non_null(rest);
    memcpy(rest, w->data, 4ull * n * k);
    test_model_drop(m, full);
    if (how->rank) {
        const uint16_t *down = random_halves(m, name, "lora_down", how->rank, k, 0.2);
        const uint16_t *up = random_halves(m, name, "lora_up", n, how->rank, 0.2);
        for (uint32_t i = 0; i < n * k; i++)
            for (uint32_t r = 0; r < how->rank; r++)
                rest[i] -= fv_f16_to_f32(up[i / k * how->rank + r]) * fv_f16_to_f32(down[r * k + i % k]);
    }
    if (how->smooth) {
        float *smooth = put(m, name, "smooth", NN_DATA_F32, k, 0, 4ull * k);
        for (uint32_t i = 0; i < k; i++)
            smooth[i] = (float)exp(test_uniform(&m->seed, -1, 1));
        for (uint32_t i = 0; i < n * k; i++)
            rest[i] *= smooth[i % k];
    }
    uint8_t *codes = put(m, name, "qweight", how->code == NN_CODE_INT8 ? NN_DATA_I8 : NN_DATA_U8, n, bytes,
                         (size_t)n * bytes);
    uint16_t *scales = put(m, name, "qscale", NN_DATA_F16, n, filled / 64, 2ull * n * (filled / 64));
    for (uint32_t i = 0; i < n; i++)
        encode(how->code, rest + (size_t)i * k, k, codes + (size_t)i * bytes, scales + (size_t)i * (filled / 64));
    free(rest);
    if (how->code == NN_CODE_NF4)
        m->meta = (struct nn_file_text){"fovea.quantization", "{\"method\": \"nf4\", \"format\": 1}"};
}

/* NULL when there is none. */
static struct nn_save_tensor *part(struct test_model *m, const char *name, const char *end)
{
    char full[160];
    snprintf(full, sizeof full, "%s.%s", name, end);
    for (size_t i = 0; i < m->count; i++)
        if (!strcmp(m->list[i].name, full))
            return &m->list[i];
    return NULL;
}

static double *doubles(const struct nn_save_tensor *t)
{
    if (!t)
        return NULL;
    size_t n = (size_t)t->shape[0] * (t->rank > 1 ? t->shape[1] : 1);
    double *out = malloc(n * sizeof *out);
    assert_non_null(out);
    for (size_t i = 0; i < n; i++)
        out[i] = (double)(t->type == NN_DATA_F32 ? ((const float *)t->data)[i]
                                                 : fv_f16_to_f32(((const uint16_t *)t->data)[i]));
    return out;
}

struct ref test_dequantise(struct test_model *m, const char *name, uint32_t columns)
{
    const struct nn_save_tensor *codes = part(m, name, "qweight"), *down = part(m, name, "lora_down");
    const struct nn_save_tensor *smooth = part(m, name, "smooth");
    double *lists[4] = {doubles(part(m, name, "qscale")), doubles(smooth), doubles(down),
                        doubles(part(m, name, "lora_up"))};
    assert_non_null(codes);
    const struct ref_codes c = {.kind = codes->type == NN_DATA_I8 ? 3 : m->meta.key ? 2 : 1,
                          .rows = (uint32_t)codes->shape[0],
                          .columns = columns,
                          .rank = down ? (uint32_t)down->shape[0] : 0,
                          .codes = codes->data,
                          .scales = lists[0],
                          .smooth = lists[1],
                          .down = lists[2],
                          .up = lists[3]};
    struct ref w = ref_matrix(&c);
    for (int i = 0; i < 4; i++)
        free(lists[i]);
    return w;
}

void test_round_halves(struct ref *t)
{
    for (size_t i = 0; i < ref_count(t); i++)
        t->v[i] = (double)fv_f16_to_f32(fv_f32_to_f16((float)t->v[i]));
}

void test_restore(struct test_model *m, const char *name, uint32_t columns)
{
    char full[160];
    struct ref w = test_dequantise(m, name, columns);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (part(m, name, ends[i])) {
            snprintf(full, sizeof full, "%s.%s", name, ends[i]);
            test_model_drop(m, full);
        }
    float *out = put(m, name, "weight", NN_DATA_F32, w.shape[0], w.shape[1], 4 * ref_count(&w));
    for (size_t i = 0; i < ref_count(&w); i++)
        out[i] = (float)w.v[i];
    ref_free(&w);
}

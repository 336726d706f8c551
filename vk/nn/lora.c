/* LoRA files (lora.h): names, shapes, and their numbers in a matrix's low-rank branch. */
#include "vk/nn/lora.h"
#include "vk/base/half.h"
#include "vk/nn/wants.h"
#include "vk/nn/weights_private.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct nn_lora {
    struct nn_file *f;
    float strength;
    bool *used; /* by tensor */
};

static const struct {
    const char *down, *up;
} ends[] = {{".lora_A.weight", ".lora_B.weight"},
            {".lora_down.weight", ".lora_up.weight"},
            {".lora_A.default.weight", ".lora_B.default.weight"},
            {".lora.down.weight", ".lora.up.weight"},
            {".lora_down", ".lora_up"},
            {".lora_A", ".lora_B"}};
static const struct {
    const char *text;
    bool underscores; /* for dots */
} heads[] = {{"", false},
             {"transformer.", false},
             {"diffusion_model.", false},
             {"base_model.model.", false},
             {"base_model.model.transformer.", false},
             {"model.", false},
             {"lora_unet_", true},
             {"lora_transformer_", true}};
enum { ENDS = sizeof ends / sizeof *ends, HEADS = sizeof heads / sizeof *heads };

int nn_lora_open(struct nn_lora **out, const char *path, float strength)
{
    struct nn_lora *l = *out = calloc(1, sizeof *l);
    if (!l)
        return fv_fail(FV_ENOMEM, "out of memory");
    l->strength = strength;
    int rc = isfinite(strength) ? nn_file_open(&l->f, path, NULL)
                                : fv_fail(FV_EINVALID, "%s: a strength of %g", path, (double)strength);
    bool some = false;
    for (size_t i = 0; rc >= 0 && i < l->f->count; i++)
        some = some || strstr(l->f->tensors[i].name, "lora");
    if (rc >= 0 && !some)
        rc = fv_fail(FV_EUNSUPPORTED, "%s: none of its %zu tensors is of a low-rank change (P.lora_A.weight ...)",
                     path, l->f->count);
    if (rc >= 0)
        l->used = calloc(l->f->count + 1, sizeof *l->used);
    if (rc >= 0 && !l->used)
        rc = fv_fail(FV_ENOMEM, "out of memory");
    if (rc < 0)
        nn_lora_close(out);
    return rc;
}

void nn_lora_close(struct nn_lora **l)
{
    if (!*l)
        return;
    nn_file_close(&(*l)->f);
    free((*l)->used);
    free(*l);
    *l = NULL;
}

int nn_lora_check(const struct nn_lora *l)
{
    size_t unused = 0, first = 0;
    for (size_t i = l->f->count; i-- > 0;)
        if (!l->used[i]) {
            unused++;
            first = i;
        }
    return unused ? fv_fail(FV_EFORMAT, "%s: %zu of %zu tensors fit no linear layer of this model: '%.200s'%s",
                            l->f->name, unused, l->f->count, l->f->tensors[first].name, unused > 1 ? " ..." : "")
                  : 0;
}

/* ---- a matrix's part of it --------------------------------------------------------------- */

static const struct nn_file_tensor *find(const struct nn_lora *l, const char *head, const char *name,
                                         bool underscores, const char *end)
{
    char full[NN_FILE_MAX_NAME + 1];
    int n = snprintf(full, sizeof full, "%s%s%s", head, name, end), from = (int)strlen(head);
    if (n <= 0 || (size_t)n >= sizeof full)
        return NULL;
    for (int i = from; underscores && i < from + (int)strlen(name); i++)
        full[i] = full[i] == '.' ? '_' : full[i];
    return nn_file_find(l->f, full);
}

static int check(const struct nn_lora *l, const struct nn_want *want, const struct nn_file_tensor *down,
                 const struct nn_file_tensor *up)
{
    char a[160], b[160];
    uint64_t rank = down->rank == 2 ? down->shape[0] : 0;
    if (up && rank && rank <= NN_MAX_LOW_RANK && down->shape[1] == want->shape[1] && up->rank == 2 &&
        up->shape[0] == want->shape[0] && up->shape[1] == rank)
        return 0;
    nn_shape_text(a, down->shape, down->rank);
    if (!up)
        return fv_fail(FV_EFORMAT, "%s: '%.200s' has no other half", l->f->name, down->name);
    nn_shape_text(b, up->shape, up->rank);
    return fv_fail(FV_EFORMAT, "%s: '%.160s' is %s and '%.160s' %s; the layer is [%u, %u]", l->f->name, down->name, a,
                   up->name, b, want->shape[0], want->shape[1]);
}

/* One name of the matrix. 1 when there is a change. */
static int find_pair(struct nn_lora *l, const struct nn_want *plain, const char *name, struct nn_lora_pair *out)
{
    for (int h = 0; h < HEADS; h++)
        for (int e = 0; e < ENDS; e++) {
            bool under = heads[h].underscores;
            const struct nn_file_tensor *down = find(l, heads[h].text, name, under, ends[e].down);
            const struct nn_file_tensor *up = find(l, heads[h].text, name, under, ends[e].up);
            const struct nn_file_tensor *alpha = find(l, heads[h].text, name, under, ".alpha");
            float value;
            if (!down && !up)
                continue;
            if (!down)
                return fv_fail(FV_EFORMAT, "%s: '%.200s' has no other half", l->f->name, up->name);
            FV_TRY(check(l, plain, down, up));
            *out = (struct nn_lora_pair){down, up, (uint32_t)down->shape[0], l->strength};
            l->used[down - l->f->tensors] = l->used[up - l->f->tensors] = true;
            if (alpha) {
                l->used[alpha - l->f->tensors] = true;
                if (alpha->count != 1)
                    return fv_fail(FV_EFORMAT, "%s: '%.200s' is no single number", l->f->name, alpha->name);
                FV_TRY(nn_file_read(alpha, NN_DATA_F32, 0, 1, &value));
                out->strength *= value / (float)out->rank;
            }
            return 1;
        }
    return 0;
}

/* Names end in "weight", which every alternative has. */
static int find_of(struct nn_lora *l, const struct nn_want *plain, struct nn_lora_pair *out)
{
    char name[NN_FILE_MAX_NAME + 1];
    for (uint32_t i = 0; i < plain->name_count; i++) {
        size_t n = strlen(plain->names[i]);
        if (n < sizeof ".weight" || n >= sizeof name)
            continue;
        memcpy(name, plain->names[i], n + 1);
        name[n - (sizeof ".weight" - 1)] = 0;
        int rc = find_pair(l, plain, name, out);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static uint32_t filled(uint32_t rank)
{
    return (rank + 7) / 8 * 8;
}

int nn_lora_rank(uint32_t *out, const struct nn_weights_opts *o, const struct nn_want *plain)
{
    uint32_t rank = 0;
    for (size_t i = 0; i < o->lora_count; i++) {
        struct nn_lora_pair pair;
        int rc = find_of(o->lora[i], plain, &pair);
        if (rc < 0)
            return rc;
        rank += rc ? filled(pair.rank) : 0;
    }
    *out = rank;
    return 0;
}

/* One half of a change, numbers times `factor`, into places [i * row + k * column]. */
static int put(const struct nn_lora *l, const struct nn_file_tensor *t, float factor, uint16_t *out, uint64_t row,
               uint64_t column)
{
    float *v = malloc(t->count * sizeof *v);
    int rc = v ? nn_file_read(t, NN_DATA_F32, 0, t->count, v) : fv_fail(FV_ENOMEM, "out of memory");
    for (uint64_t i = 0; rc >= 0 && i < t->count; i++) {
        uint16_t half = fv_f32_to_f16(v[i] * factor);
        if ((half & 0x7c00) == 0x7c00)
            rc = fv_fail(FV_EFORMAT, "%s: '%.200s' holds %g, times %g: no number of 16 bits", l->f->name, t->name,
                         (double)v[i], (double)factor);
        out[i / t->shape[1] * row + i % t->shape[1] * column] = half;
    }
    free(v);
    return rc;
}

int nn_lora_fill(const struct nn_weights_opts *o, const struct nn_want *plain, bool up, uint32_t first, uint32_t rank,
                 uint16_t *out)
{
    uint64_t columns = plain->shape[1];
    for (size_t i = 0; i < o->lora_count; i++) {
        struct nn_lora_pair p;
        int rc = find_of(o->lora[i], plain, &p);
        if (rc < 0)
            return rc;
        if (rc == 0)
            continue;
        /* as they are but for the strength, which `up` takes */
        FV_TRY(up ? put(o->lora[i], p.up, p.strength, out + first, rank, 1)
                  : put(o->lora[i], p.down, 1, out + first * columns, columns, 1));
        first += filled(p.rank);
    }
    return 0;
}

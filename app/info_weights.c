/* fovea info on files of weights: kind, types, parameters, metadata, tensors (info_weights.h). */
#include "app/info_weights.h"
#include "app/info_quant.h"
#include "app/pipe_in.h"
#include "app/text.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

enum { SHOWN_FACTS = 24, SHOWN_VALUE = 80 };

struct totals {
    uint64_t tensors[NN_DATA_COUNT], bytes[NN_DATA_COUNT], all_bytes;
};

static struct totals add_up(const struct nn_file *f)
{
    struct totals sum = {.all_bytes = 0};
    for (size_t i = 0; i < f->count; i++) {
        const struct nn_file_tensor *t = &f->tensors[i];
        sum.tensors[t->type]++;
        sum.bytes[t->type] += t->bytes;
        sum.all_bytes += t->bytes;
    }
    return sum;
}

/* ---- lines ---- */

/* At most so many bytes, without the control characters that a file may hide in its texts. */
static void print_plain(const char *text, size_t most)
{
    for (size_t i = 0; text[i] && i < most; i++)
        putchar((unsigned char)text[i] < 0x20 || text[i] == 0x7f ? ' ' : text[i]);
    if (strlen(text) > most)
        printf(" ...");
}

static void print_fact(const char *key, const char *value)
{
    printf("  %-14s ", "");
    print_plain(key, SHOWN_VALUE);
    printf(" = ");
    print_plain(value, SHOWN_VALUE);
    puts("");
}

static void print_types(const struct totals *sum)
{
    char count[32], bytes[32];
    const char *label = "types";
    for (int i = 0; i < NN_DATA_COUNT; i++) {
        if (!sum->tensors[i])
            continue;
        count_text(count, sum->tensors[i]);
        bytes_text(bytes, sum->bytes[i]);
        printf("  %-14s %s: %s %s, %s\n", label, nn_data_name((enum nn_data)i), count,
               sum->tensors[i] == 1 ? "tensor" : "tensors", bytes);
        label = "";
    }
}

static void print_tensors(const struct nn_file *f)
{
    char shape[160], bytes[32];
    for (size_t i = 0; i < f->count; i++) {
        const struct nn_file_tensor *t = &f->tensors[i];
        nn_shape_text(shape, t->shape, t->rank);
        bytes_text(bytes, t->bytes);
        printf("  %-56s %-8s %-24s %s%s\n", t->name, nn_data_name(t->type), shape, bytes,
               t->contiguous ? "" : ", a view");
    }
}

static void print_all(const struct nn_file *f, const char *path, bool tensors)
{
    struct totals sum = add_up(f);
    struct info_quant q;
    char text[32], bytes[32];
    info_quant_look(&q, f);
    puts(pipe_in_shown(path));
    count_text(text, f->count);
    printf("  %-14s weights, %s, %s %s", "what", nn_file_kind_name(f->kind), text,
           f->count == 1 ? "tensor" : "tensors");
    if (f->part_count > 1)
        printf(" in %zu files", f->part_count);
    puts("");
    count_text(text, q.parameters);
    bytes_text(bytes, sum.all_bytes);
    printf("  %-14s %s in %s\n", "parameters", text, bytes);
    print_types(&sum);
    info_quant_print(&q);
    if (f->meta_count)
        printf("  metadata\n");
    for (size_t i = 0; i < f->meta_count && i < SHOWN_FACTS; i++)
        print_fact(f->meta[i].key, f->meta[i].value);
    if (f->meta_count > SHOWN_FACTS)
        printf("  %-14s and %zu more (--json lists them)\n", "", f->meta_count - SHOWN_FACTS);
    if (tensors)
        print_tensors(f);
}

/* ---- JSON ---- */

static cJSON *tensor_json(const struct nn_file_tensor *t)
{
    cJSON *o = cJSON_CreateObject(), *shape = cJSON_CreateArray();
    for (unsigned d = 0; d < t->rank; d++)
        cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)t->shape[d]));
    cJSON_AddStringToObject(o, "name", t->name);
    cJSON_AddStringToObject(o, "type", nn_data_name(t->type));
    cJSON_AddItemToObject(o, "shape", shape);
    cJSON_AddNumberToObject(o, "bytes", (double)t->bytes);
    cJSON_AddNumberToObject(o, "offset", (double)t->offset);
    cJSON_AddNumberToObject(o, "part", t->part);
    cJSON_AddBoolToObject(o, "contiguous", t->contiguous);
    return o;
}

static void fill_json(cJSON *object, const struct nn_file *f, bool tensors)
{
    struct totals sum = add_up(f);
    struct info_quant q;
    info_quant_look(&q, f);
    cJSON_AddStringToObject(object, "kind", "weights");
    cJSON_AddStringToObject(object, "format", nn_file_kind_name(f->kind));
    cJSON_AddNumberToObject(object, "tensors", (double)f->count);
    cJSON_AddNumberToObject(object, "parameters", (double)q.parameters);
    cJSON_AddNumberToObject(object, "bytes", (double)sum.all_bytes);
    cJSON *types = cJSON_AddObjectToObject(object, "types");
    for (int i = 0; i < NN_DATA_COUNT; i++) {
        if (!sum.tensors[i])
            continue;
        cJSON *o = cJSON_AddObjectToObject(types, nn_data_name((enum nn_data)i));
        cJSON_AddNumberToObject(o, "tensors", (double)sum.tensors[i]);
        cJSON_AddNumberToObject(o, "bytes", (double)sum.bytes[i]);
    }
    info_quant_json(object, &q);
    cJSON *parts = cJSON_AddArrayToObject(object, "parts");
    for (size_t i = 0; i < f->part_count; i++)
        cJSON_AddItemToArray(parts, cJSON_CreateString(f->parts[i]));
    cJSON *meta = cJSON_AddObjectToObject(object, "metadata");
    for (size_t i = 0; i < f->meta_count; i++)
        cJSON_AddStringToObject(meta, f->meta[i].key, f->meta[i].value);
    cJSON *list = tensors ? cJSON_AddArrayToObject(object, "list") : NULL;
    for (size_t i = 0; list && i < f->count; i++)
        cJSON_AddItemToArray(list, tensor_json(&f->tensors[i]));
}

int info_weights(cJSON *object, const char *path, bool tensors)
{
    struct nn_file *f;
    FV_TRY(nn_file_open(&f, path, NULL));
    if (object)
        fill_json(object, f, tensors);
    else
        print_all(f, path, tensors);
    nn_file_close(&f);
    return 0;
}

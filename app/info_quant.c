/* Quantised layers of weight files (info_quant.h). */
#include "app/info_quant.h"
#include "app/text.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Of P.end the length of "P"; 0 when the name does not end so. */
static size_t head_of(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n > m && !strcmp(name + n - m, end) ? n - m : 0;
}

static const struct nn_file_tensor *part(const struct nn_file *f, const char *name, size_t head, const char *end)
{
    char full[600];
    if (head + strlen(end) >= sizeof full)
        return NULL;
    memcpy(full, name, head);
    strcpy(full + head, end);
    return nn_file_find(f, full);
}

static uint64_t bytes_of(const struct nn_file_tensor *t)
{
    return t ? t->bytes : 0;
}

static void add_coded(struct info_quant *q, const struct nn_file *f, const struct nn_file_tensor *t, size_t head)
{
    const struct nn_file_tensor *smooth = part(f, t->name, head, ".smooth");
    const struct nn_file_tensor *down = part(f, t->name, head, ".lora_down");
    uint64_t columns = t->rank == 2 ? t->shape[1] * (t->type == NN_DATA_I8 ? 1 : 2) : 0;
    if (smooth && smooth->rank == 1)
        columns = smooth->shape[0]; /* without filling, which nothing else tells */
    else if (down && down->rank == 2)
        columns = down->shape[1];
    q->layers++;
    q->weights += (t->rank ? t->shape[0] : 0) * columns;
    q->bytes += t->bytes + bytes_of(part(f, t->name, head, ".qscale")) + bytes_of(smooth) + bytes_of(down) +
                bytes_of(part(f, t->name, head, ".lora_up"));
    if (down && down->rank == 2 && down->shape[0] > q->most_rank)
        q->most_rank = down->shape[0];
}

static void add_name(struct info_quant *q, const char *name, size_t head)
{
    char text[96];
    size_t at = 0;
    for (size_t i = 0; i < head && at + 1 < sizeof text; i++) {
        bool number = isdigit((unsigned char)name[i]) && i && name[i - 1] == '.';
        if (number) {
            size_t end = i;
            while (end < head && isdigit((unsigned char)name[end]))
                end++;
            if (end == head || name[end] == '.') {
                text[at++] = '*';
                i = end - 1;
                continue;
            }
        }
        text[at++] = (unsigned char)name[i] < 0x20 ? ' ' : name[i];
    }
    text[at] = 0;
    for (size_t i = 0; i < q->names; i++)
        if (!strcmp(q->name[i], text)) {
            q->count[i]++;
            return;
        }
    if (q->names == INFO_QUANT_NAMES)
        return;
    memcpy(q->name[q->names], text, sizeof text);
    q->count[q->names++] = 1;
}

void info_quant_look(struct info_quant *q, const struct nn_file *f)
{
    *q = (struct info_quant){0};
    for (size_t i = 0; i < f->count; i++) {
        const struct nn_file_tensor *t = &f->tensors[i];
        size_t head = head_of(t->name, ".qweight"), plain = head_of(t->name, ".weight");
        static const char *const beside[] = {".qscale", ".smooth", ".lora_down", ".lora_up"};
        bool coded = head && part(f, t->name, head, ".qscale"), other = false;
        for (int k = 0; k < 4; k++) {
            size_t n = head_of(t->name, beside[k]);
            other = other || (n && part(f, t->name, n, ".qweight"));
        }
        if (coded)
            add_coded(q, f, t, head);
        else if (!other)
            q->parameters += t->count;
        if (plain && t->rank >= 2) {
            q->plain++;
            q->plain_weights += t->count;
            q->plain_bytes += t->bytes;
            add_name(q, t->name, plain);
        }
    }
    q->parameters += q->weights;
}

static double bits(uint64_t bytes, uint64_t weights)
{
    return weights ? 8.0 * (double)bytes / (double)weights : 0;
}

void info_quant_print(const struct info_quant *q)
{
    char count[32], bytes[32], plain[32];
    enum { SHOWN = 12 };
    if (!q->layers)
        return;
    count_text(count, q->weights);
    bytes_text(bytes, q->bytes);
    printf("  %-14s %llu layers, %s weights of %.2f bits in %s", "quantised", (unsigned long long)q->layers, count,
           bits(q->bytes, q->weights), bytes);
    if (q->most_rank)
        printf(", low-rank branches of %llu", (unsigned long long)q->most_rank);
    count_text(count, q->plain_weights);
    bytes_text(plain, q->plain_bytes);
    printf("\n  %-14s %llu matrices, %s weights of %.2f bits in %s\n", "not quantised", (unsigned long long)q->plain,
           count, bits(q->plain_bytes, q->plain_weights), plain);
    for (size_t i = 0; i < q->names && i < SHOWN; i++)
        printf("  %-14s   %s: %llu\n", "", q->name[i], (unsigned long long)q->count[i]);
    if (q->names > SHOWN)
        printf("  %-14s   and %zu kinds more (--json lists them)\n", "", q->names - SHOWN);
}

void info_quant_json(cJSON *o, const struct info_quant *q)
{
    if (!q->layers)
        return;
    cJSON *root = cJSON_AddObjectToObject(o, "quantised");
    cJSON_AddNumberToObject(root, "layers", (double)q->layers);
    cJSON_AddNumberToObject(root, "weights", (double)q->weights);
    cJSON_AddNumberToObject(root, "bytes", (double)q->bytes);
    cJSON_AddNumberToObject(root, "bits_per_weight", bits(q->bytes, q->weights));
    cJSON_AddNumberToObject(root, "most_rank", (double)q->most_rank);
    cJSON_AddNumberToObject(root, "plain_matrices", (double)q->plain);
    cJSON_AddNumberToObject(root, "plain_bytes", (double)q->plain_bytes);
    cJSON *list = cJSON_AddArrayToObject(root, "plain");
    for (size_t i = 0; i < q->names; i++)
        cJSON_AddItemToArray(list, cJSON_CreateString(q->name[i]));
}

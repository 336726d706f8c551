/* Writing safetensors (safetensors_write.h): u64 length of the header, JSON padded with spaces so
 * that data begins at a multiple of 64, then every tensor's bytes, little-endian. */
#include "vk/nn/safetensors_write.h"
#include "vk/base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[NN_DATA_COUNT] = {
    [NN_DATA_F64] = "F64",   [NN_DATA_F32] = "F32",         [NN_DATA_F16] = "F16",
    [NN_DATA_BF16] = "BF16", [NN_DATA_F8_E4M3] = "F8_E4M3", [NN_DATA_F8_E5M2] = "F8_E5M2",
    [NN_DATA_I64] = "I64",   [NN_DATA_I32] = "I32",         [NN_DATA_I16] = "I16",
    [NN_DATA_I8] = "I8",     [NN_DATA_U64] = "U64",         [NN_DATA_U32] = "U32",
    [NN_DATA_U16] = "U16",   [NN_DATA_U8] = "U8",           [NN_DATA_BOOL] = "BOOL"};

static void quoted(FILE *out, const char *text)
{
    fputc('"', out);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c == '"' || *c == '\\')
            fprintf(out, "\\%c", *c);
        else if (*c < 0x20)
            fprintf(out, "\\u%04x", *c);
        else
            fputc(*c, out);
    fputc('"', out);
}

static uint64_t bytes_of(const struct nn_save_tensor *t)
{
    uint64_t n = nn_data_block_bytes(t->type);
    for (unsigned i = 0; i < t->rank; i++)
        n *= t->shape[i];
    return n;
}

static void entry(FILE *out, const struct nn_save_tensor *t, uint64_t begin)
{
    quoted(out, t->name);
    fprintf(out, ":{\"dtype\":\"%s\",\"shape\":[", names[t->type]);
    for (unsigned i = 0; i < t->rank; i++)
        fprintf(out, "%s%llu", i ? "," : "", (unsigned long long)t->shape[i]);
    fprintf(out, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)begin,
            (unsigned long long)(begin + bytes_of(t)));
}

static int header(char **text, size_t *size, const struct nn_save_tensor *list, size_t n,
                  const struct nn_file_text *meta, size_t meta_count)
{
    FILE *out = open_memstream(text, size);
    uint64_t at = 0;
    if (!out)
        return fv_fail(FV_ENOMEM, "out of memory");
    fputc('{', out);
    if (meta_count)
        fputs("\"__metadata__\":{", out);
    for (size_t i = 0; i < meta_count; i++) {
        fputs(i ? "," : "", out);
        quoted(out, meta[i].key);
        fputc(':', out);
        quoted(out, meta[i].value);
    }
    if (meta_count)
        fputs(n ? "}," : "}", out);
    for (size_t i = 0; i < n; at += bytes_of(&list[i]), i++) {
        fputs(i ? "," : "", out);
        entry(out, &list[i], at);
    }
    fputc('}', out);
    while ((ftell(out) + 8) % 64)
        fputc(' ', out);
    return fclose(out) == 0 ? 0 : fv_fail(FV_ENOMEM, "out of memory");
}

static int check(const char *path, const struct nn_save_tensor *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if ((unsigned)list[i].type >= NN_DATA_COUNT || !names[list[i].type] ||
            list[i].rank > NN_FILE_MAX_RANK)
            return fv_fail(FV_EINVALID, "%s: %s: safetensors has no type %s", path, list[i].name,
                           nn_data_name(list[i].type));
        for (size_t k = 0; k < i; k++)
            if (!strcmp(list[i].name, list[k].name))
                return fv_fail(FV_EINVALID, "%s: two tensors are called %s", path, list[i].name);
    }
    return 0;
}

int nn_safetensors_save(const char *path, const struct nn_save_tensor *list, size_t n,
                        const struct nn_file_text *meta, size_t meta_count)
{
    char *text = NULL;
    size_t size = 0;
    struct fv_writer w = {0};
    FV_TRY(check(path, list, n));
    int rc = header(&text, &size, list, n, meta, meta_count);
    if (rc >= 0)
        rc = fv_writer_open(&w, path);
    if (rc >= 0) {
        uint8_t length[8];
        for (int i = 0; i < 8; i++)
            length[i] = (uint8_t)((uint64_t)size >> 8 * i);
        fv_write(&w, length, 8);
        fv_write(&w, text, size);
        for (size_t i = 0; i < n; i++)
            fv_write(&w, list[i].data, bytes_of(&list[i]));
        rc = fv_writer_commit(&w);
    }
    free(text);
    return rc;
}

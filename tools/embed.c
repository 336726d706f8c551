/* embed LIST OUT.c: writes the compiled shaders as one C table (vk/shader_table.h).
 *
 * LIST has a line per shader: name|source file|glslc flags|path of the .spv. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

static void *read_file(const char *path, size_t *size)
{
    FILE *in = fopen(path, "rb");
    char *data = NULL, block[65536];
    size_t n;
    FILE *out = open_memstream(&data, size);
    while (in && out && (n = fread(block, 1, sizeof block, in)))
        fwrite(block, 1, n, out);
    if (in)
        fclose(in);
    if (out)
        fclose(out);
    return data;
}

/* Returns the bytes of the packed code, and the words of the code; 0: failed. */
static size_t emit(FILE *out, const char *path, int index, size_t *words)
{
    size_t size = 0, packed = 0;
    void *code = read_file(path, &size);
    size_t room = ZSTD_compressBound(size);
    uint64_t *to = calloc(room / 8 + 1, 8);
    if (code && to && size && size % 4 == 0)
        packed = ZSTD_compress(to, room, code, size, 12);
    if (ZSTD_isError(packed))
        packed = 0;
    *words = size / 4;
    fprintf(out, "static const uint64_t code%d[] = {", index);
    for (size_t i = 0; i < (packed + 7) / 8; i++)
        fprintf(out, "%s0x%" PRIx64 ",", i % 8 ? "" : "\n", to[i]);
    fprintf(out, "};\n");
    free(code);
    free(to);
    return packed;
}

int main(int argc, char **argv)
{
    char line[4096];
    char *table = NULL;
    size_t table_size = 0;
    int count = 0;
    if (argc != 3)
        return fprintf(stderr, "usage: embed LIST OUT.c\n"), 2;
    FILE *list = fopen(argv[1], "r"), *out = fopen(argv[2], "w");
    FILE *rows = open_memstream(&table, &table_size);
    if (!list || !out || !rows)
        return perror("embed"), 1;
    fprintf(out, "/* made by tools/embed.c */\n#include \"vk/shader_table.h\"\n");
    while (fgets(line, sizeof line, list)) {
        char *name = strtok(line, "|\n"), *field[3];
        if (!name)
            continue;
        char *rest = name + strlen(name) + 1;
        for (int i = 0; i < 3; i++) {
            field[i] = rest;
            rest += strcspn(rest, "|\n");
            if (*rest)
                *rest++ = 0;
        }
        size_t words, packed = emit(out, field[2], count, &words);
        if (!packed)
            return fprintf(stderr, "embed: %s is empty or unreadable\n", field[2]), 1;
        fprintf(rows, "    {\"%s\", \"%s\", \"%s\", code%d, %zu, %zu},\n", name, field[0], field[1],
                count++, packed, words);
    }
    fclose(rows);
    fprintf(out, "const struct vk_shader vk_shader_table[] = {\n%s    {0},\n};\n", table);
    fprintf(out, "const unsigned vk_shader_count = %d;\n", count);
    free(table);
    fclose(list);
    return fclose(out) ? 1 : 0;
}

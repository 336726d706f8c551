/* embed LIST OUT.c: writes the compiled shaders as one C table (vk/shader_table.h).
 *
 * LIST has a line per shader: name|source file|glslc flags|path of the .spv. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int emit(FILE *out, const char *path, int index)
{
    FILE *in = fopen(path, "rb");
    uint32_t word;
    int n = 0;
    if (!in)
        return perror(path), -1;
    fprintf(out, "static const uint32_t code%d[] = {", index);
    while (fread(&word, 4, 1, in) == 1)
        fprintf(out, "%s0x%x,", n++ % 12 ? "" : "\n", word);
    fprintf(out, "};\n");
    fclose(in);
    return n;
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
        int words = emit(out, field[2], count);
        if (words <= 0)
            return fprintf(stderr, "embed: %s is empty or unreadable\n", field[2]), 1;
        fprintf(rows, "    {\"%s\", \"%s\", \"%s\", code%d, %d},\n", name, field[0], field[1],
                count++, words);
    }
    fclose(rows);
    fprintf(out, "const struct vk_shader vk_shader_table[] = {\n%s    {0},\n};\n", table);
    fprintf(out, "const unsigned vk_shader_count = %d;\n", count);
    free(table);
    fclose(list);
    return fclose(out) ? 1 : 0;
}

#include "vk/shader_table.h"
#include "vk/base/err.h"

#include <stdlib.h>
#include <zstd.h>

int vk_shader_code(uint32_t **out, const struct vk_shader *s)
{
    size_t size = 4 * (size_t)s->words;
    uint32_t *code = malloc(size);
    *out = NULL;
    if (!code)
        return fv_fail(FV_ENOMEM, "out of memory");
    if (ZSTD_decompress(code, size, s->packed, s->packed_size) != size) {
        free(code);
        return fv_fail(FV_EFORMAT, "shader \"%s\": this program's copy of it is damaged", s->name);
    }
    *out = code;
    return 0;
}

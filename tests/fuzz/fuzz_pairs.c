/* Any bytes as what they begin as: tokenizer.json with byte pairs, gzipped or plain merges, else a caption to
 * clean. */
#include "diffusion/bpe.h"
#include "diffusion/diffusion.h"
#include "fuzz.h"
#include "vk/base/err.h"

#include <string.h>

static void encode(struct df_bpe *b, const char *text)
{
    int32_t *ids;
    size_t n;
    if (df_bpe_encode(b, text, &ids, &n) == 0) {
        for (size_t i = 0; i < n; i++)
            fuzz_check(ids[i] >= 0 && (uint32_t)ids[i] < df_bpe_words(b));
        free(ids);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), *out;
    struct df_bpe *b;
    if (!text)
        return 0;
    if (size)
        memcpy(text, data, size);
    text[size] = 0;
    if (size && (data[0] == 0x1F || data[0] == '#')) {
        if (df_bpe_parse_simple(&b, data, size, "fuzz") == 0) {
            encode(b, text);
            df_bpe_close(&b);
        }
    } else if (size && data[0] == '{') {
        if (df_bpe_parse_json(&b, text, size, "fuzz") == 0) {
            encode(b, "ab c");
            df_bpe_close(&b);
        }
    } else if (df_clean_caption(&out, text, false) == 0) {
        free(out);
    }
    free(text);
    return 0;
}

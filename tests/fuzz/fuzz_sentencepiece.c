/* Any bytes as spiece.model or tokenizer.json; what is accepted is given to the library and cuts texts. */
#include "diffusion/sentencepiece.h"
#include "fuzz.h"
#include "vk/base/err.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const texts[] = {"", "a b", "\xef\xac\x81 ab <unk>", "\xe2\x96\x81\xf0\x9f\x8e\xa5 x"};
    struct df_pieces p;
    struct df_sentences *s;
    if (df_pieces_read(&p, data, size, "fuzz", DF_GAPS) < 0) {
        fuzz_check(!p.items && *fv_error());
        return 0;
    }
    fuzz_check(p.count > 0 && p.unknown >= 0 && (size_t)p.unknown < p.count);
    if (df_sentences_open(&s, &p) == 0) {
        for (size_t i = 0; i < 4; i++) {
            int32_t *ids;
            size_t n;
            fuzz_check(df_sentences_encode(s, texts[i], strlen(texts[i]), &ids, &n) == 0);
            for (size_t k = 0; k < n; k++)
                fuzz_check(ids[k] >= 0 && (size_t)ids[k] < p.count);
            free(ids);
        }
        df_sentences_close(&s);
    }
    df_pieces_finish(&p);
    return 0;
}

// The SentencePiece library behind a C interface: nothing it throws gets past this file.
#include "diffusion/sentencepiece.h"

extern "C" {
#include "vk/base/err.h"
}

#include <cstdlib>
#include <exception>
#include <new>
#include <sentencepiece_processor.h>
#include <string>
#include <vector>

struct df_sentences {
    sentencepiece::SentencePieceProcessor processor;
};

static int guarded(const char *name, const std::exception &e)
{
    if (dynamic_cast<const std::bad_alloc *>(&e))
        return fv_fail(FV_ENOMEM, "%s: out of memory", name);
    return fv_fail(FV_EFORMAT, "%s: the SentencePiece library does not take it: %s", name, e.what());
}

int df_sentences_open(struct df_sentences **out, const struct df_pieces *p)
{
    uint8_t *data = nullptr;
    size_t size = 0;
    *out = nullptr;
    FV_TRY(df_pieces_write(p, &data, &size));
    int rc = 0;
    try {
        *out = new df_sentences;
        const auto status =
            (*out)->processor.LoadFromSerializedProto({reinterpret_cast<const char *>(data), size});
        if (!status.ok())
            rc = fv_fail(FV_EFORMAT, "%s: the SentencePiece library does not take it: %s", p->name,
                         status.ToString().c_str());
    } catch (const std::exception &e) {
        rc = guarded(p->name, e);
    }
    free(data);
    if (rc < 0)
        df_sentences_close(out);
    return rc;
}

void df_sentences_close(struct df_sentences **s)
{
    delete *s;
    *s = nullptr;
}

int df_sentences_encode(const struct df_sentences *s, const char *text, size_t n, int32_t **ids,
                        size_t *count)
{
    *ids = nullptr;
    *count = 0;
    try {
        std::vector<int> list;
        const auto status = s->processor.Encode({text, n}, &list);
        if (!status.ok())
            return fv_fail(FV_EFORMAT, "cutting a text into words: %s", status.ToString().c_str());
        *ids = static_cast<int32_t *>(malloc((list.size() + 1) * sizeof **ids));
        if (!*ids)
            return fv_fail(FV_ENOMEM, "out of memory");
        for (size_t i = 0; i < list.size(); i++)
            (*ids)[i] = list[i];
        *count = list.size();
        return 0;
    } catch (const std::exception &e) {
        return guarded("cutting a text into words", e);
    }
}

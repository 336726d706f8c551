#include "support/tiny_model.h"
#include "support/test.h"

#include <sys/stat.h>
#include <unistd.h>

static char model[1024];

static void put(const char *golden, const char *folder, const char *name)
{
    char path[2048], to[1200];
    const char *from = test_shared(golden);
    assert_non_null(from);
    snprintf(to, sizeof to, "%s/%s", model, folder);
    mkdir(to, 0777);
    snprintf(path, sizeof path, "%s/%s", to, name);
    assert_int_equal(symlink(from, path), 0);
}

char *test_tiny_model(void)
{
    static const struct {
        const char *golden, *folder, *name;
    } files[] = {{"golden/nn/opensora12_stdit3/weights.safetensors", "transformer", "model.safetensors"},
                 {"golden/nn/opensora12_stdit3/config.json", "transformer", "config.json"},
                 {"golden/nn/opensora12_vae/weights.safetensors", "vae", "model.safetensors"},
                 {"golden/nn/opensora12_vae/config.json", "vae", "config.json"},
                 {"golden/nn/opensora12_e2e/t5_weights.safetensors", "text_encoder", "model.safetensors"},
                 {"golden/nn/tokenizer_sentencepiece/test_sentencepiece.model", "tokenizer", "spiece.model"}};
    static const char usual[] = "{\"name\": \"tiny\", \"steps\": 3, \"guidance\": 4, \"width\": 32, \"height\": 24, "
                                "\"frames\": 9, \"fps\": 12, \"scores\": {}, \"merge_steps\": 0}";
    char path[1200];
    if (*model)
        return model;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (!test_shared(files[i].golden))
            return NULL;
    snprintf(model, sizeof model, "%s", test_tmp_path("model"));
    mkdir(model, 0777);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        put(files[i].golden, files[i].folder, files[i].name);
    snprintf(path, sizeof path, "%s/generate.json", model);
    test_write_file(path, usual, strlen(usual));
    return model;
}

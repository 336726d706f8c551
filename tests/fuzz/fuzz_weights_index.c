/* Any bytes as a model.safetensors.index.json beside two files: a.safetensors with the tensors x and
 * y, b.safetensors with z, and one that is broken, c.safetensors. */
#include "folder.h"
#include "weights.h"

static void write_weights(const char *name, const char *header)
{
    uint8_t whole[512] = {0};
    size_t length = strlen(header);
    whole[0] = (uint8_t)length;
    memcpy(whole + 8, header, length);
    fuzz_write(name, whole, 8 + length + 16);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char index[] = "model.safetensors.index.json";
    struct nn_file *f;
    if (fuzz_folder_make()) {
        write_weights("a.safetensors",
                      "{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                      "\"y\":{\"dtype\":\"F16\",\"shape\":[2,2],\"data_offsets\":[8,16]}}");
        write_weights("b.safetensors",
                      "{\"z\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[0,16]}}");
        fuzz_write("c.safetensors", "{", 1);
    }
    fuzz_write(index, data, size);
    if (nn_file_open(&f, fuzz_path(index), NULL) < 0) {
        fuzz_check(!f && *fv_error());
        return 0;
    }
    fuzz_check(f->count > 0 && f->count <= 3);
    fuzz_tensors(f, NULL, 0);
    nn_file_close(&f);
    return 0;
}

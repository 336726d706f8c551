/* Any bytes as a lod-meta.json whose folder has two scenes of 12 Gaussians, a.sog and b.sog, and
 * a broken one, c.sog. The first byte is the level asked for. */
#include "folder.h"
#include "gs/sog.h"

static void write_scenes(void)
{
    static const char *const names[] = {"a.sog", "b.sog"};
    struct gs_scene s;
    for (int i = 0; i < 2; i++) {
        fuzz_check(gs_scene_alloc(&s, 12, i) == 0);
        memset(s.sh, 0, s.count * 3 * (size_t)gs_sh_coefs(i) * sizeof *s.sh);
        for (size_t k = 0; k < s.count; k++) {
            for (size_t c = 0; c < 3; c++) {
                s.position[3 * k + c] = (float)(k * (c + 1));
                s.scale[3 * k + c] = -3 - (float)c;
            }
            for (size_t c = 0; c < 4; c++)
                s.rotation[4 * k + c] = c == k % 4;
            s.opacity[k] = 1;
        }
        fuzz_check(gs_scene_save(&s, fuzz_path(names[i]), NULL) == 0);
        gs_scene_finish(&s);
    }
    fuzz_write("c.sog", "PK", 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gs_scene s;
    if (fuzz_folder_make())
        write_scenes();
    const struct gs_load_opts o = {.lod = size ? data[0] % 4 : 0};
    fuzz_write("lod-meta.json", data + (size > 0), size - (size > 0));
    if (sog_read_lod(&s, fuzz_path("lod-meta.json"), &o) == 0) {
        fuzz_check(s.count > 0 && s.count <= 36 && s.sh_degree <= 1 && !gs_scene_has_bad(&s));
        gs_scene_finish(&s);
    } else {
        fuzz_check(!s.position && !s.count && *fv_error());
    }
    return 0;
}

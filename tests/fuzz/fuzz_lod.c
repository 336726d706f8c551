/* Any bytes as a lod-meta.json whose folder has two scenes of 12 Gaussians, a.sog and b.sog, and
 * a broken one, c.sog. The first byte is the level asked for. */
#include "fuzz.h"
#include "gs/sog.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char folder[64];
static const char *const names[] = {"a.sog", "b.sog", "c.sog", "lod-meta.json"};
enum { NAMES = sizeof names / sizeof *names };

static const char *path_of(int i)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, names[i]);
    return path;
}

static void clean_up(void)
{
    for (int i = 0; i < NAMES; i++)
        unlink(path_of(i));
    rmdir(folder);
}

static void write_file(int i, const void *data, size_t size)
{
    FILE *f = fopen(path_of(i), "wb");
    fuzz_check(f && fwrite(data, 1, size, f) == size);
    fclose(f);
}

/* Written once; the fuzzer runs in one thread. */
static void make_folder(void)
{
    struct gs_scene s;
    strcpy(folder, "/tmp/fovea-fuzz-lod-XXXXXX");
    fuzz_check(mkdtemp(folder));
    atexit(clean_up);
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
        fuzz_check(gs_scene_save(&s, path_of(i), NULL) == 0);
        gs_scene_finish(&s);
    }
    write_file(2, "PK", 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gs_scene s;
    if (!*folder)
        make_folder();
    const struct gs_load_opts o = {.lod = size ? data[0] % 4 : 0};
    write_file(3, data + (size > 0), size - (size > 0));
    if (sog_read_lod(&s, path_of(3), &o) == 0) {
        fuzz_check(s.count > 0 && s.count <= 36 && s.sh_degree <= 1 && !gs_scene_has_bad(&s));
        gs_scene_finish(&s);
    } else {
        fuzz_check(!s.position && !s.count && *fv_error());
    }
    return 0;
}

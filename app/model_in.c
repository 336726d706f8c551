/* Folders of text-to-video models (model_in.h). */
#include "app/model_in.h"
#include "vk/base/file.h"
#include "vk/base/json.h"
#include "vk/nn/weights.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- where parts are --------------------------------------------------------------------- */

/* Names within a model's folder, the first that is there: diffusers' own, this project's, those of the
 * downloads; of files alone too. */
static const char *const dit_names[] = {"transformer", "dit", "OpenSora-STDiT-v3", "STDiT3-XL_2", NULL};
static const char *const text_names[] = {"text_encoder", "text", "t5", "t5-v1_1-xxl", "t5xxl", "t5xxl_fp16",
                                         "t5xxl_fp8_e4m3fn", NULL};
static const char *const tokenizer_names[] = {"tokenizer", "text_encoder", "text", "t5", "t5-v1_1-xxl", NULL};
static const char *const vae_names[] = {"vae", "OpenSora-VAE-v1.2", NULL};

static char *in_folder(const char *folder, const char *name, const char *suffix)
{
    char file[128];
    snprintf(file, sizeof file, "%s%s", name, suffix);
    return fv_path_join(folder, file);
}

/* *out NULL when there is none. */
static int find_part(char **out, const char *folder, const char *const *names)
{
    static const char *const suffixes[] = {"", ".safetensors", ".gguf"};
    *out = NULL;
    for (size_t i = 0; names[i]; i++)
        for (size_t k = 0; k < sizeof suffixes / sizeof *suffixes; k++) {
            char *path = in_folder(folder, names[i], suffixes[k]);
            if (!path)
                return fv_fail(FV_ENOMEM, "out of memory");
            if (k ? fv_exists(path) : fv_is_dir(path)) {
                *out = path;
                return 0;
            }
            free(path);
        }
    return 0;
}

static bool holds_tokenizer(const char *path)
{
    struct df_tokenizer *t = NULL;
    bool yes = fv_is_dir(path) && df_tokenizer_open(&t, path) == 0;
    df_tokenizer_close(&t);
    return yes;
}

/* In a folder of its own, or with the text encoder, or in the folder of its file. */
static int find_tokenizer(struct model_in *m)
{
    for (size_t i = 0; m->model && tokenizer_names[i]; i++) {
        char *path = fv_path_join(m->model, tokenizer_names[i]);
        if (!path)
            return fv_fail(FV_ENOMEM, "out of memory");
        if (i == 0 ? fv_is_dir(path) : holds_tokenizer(path)) {
            m->tokenizer = path;
            return 0;
        }
        free(path);
    }
    char *beside = fv_is_dir(m->text) ? strdup(m->text) : fv_path_dir(m->text);
    if (!beside)
        return fv_fail(FV_ENOMEM, "out of memory");
    if (holds_tokenizer(beside))
        m->tokenizer = beside;
    else
        free(beside);
    return 0;
}

struct part {
    char **out;
    const char *given, *option, *what;
    const char *const *names;
};

static int missing(const struct model_in *m, const struct part *p)
{
    if (!m->model)
        return fv_fail(FV_EIO, "no %s: name it by --%s, or a whole model by --model DIR", p->what, p->option);
    return fv_fail(FV_EIO, "%s: no %s in it (%s/, %s/ or %s/); name one by --%s PATH", m->model, p->what,
                   p->names[0], p->names[1], p->names[2] ? p->names[2] : p->names[1], p->option);
}

static int take_part(struct model_in *m, const struct part *p)
{
    if (p->given) {
        *p->out = strdup(p->given);
        if (!*p->out)
            return fv_fail(FV_ENOMEM, "out of memory");
        return fv_exists(p->given) ? 0 : fv_fail(FV_EIO, "--%s %s: no such file or folder", p->option, p->given);
    }
    if (m->model)
        FV_TRY(find_part(p->out, m->model, p->names));
    return *p->out ? 0 : missing(m, p);
}

/* The bundled model: installed beside the binary, or in the source tree that it was built in. */
static char *bundled(void)
{
    static const char *const places[] = {"../share/fovea/models/demo", "../assets/models/demo",
                                         "../../assets/models/demo", "../../../assets/models/demo"};
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = 0;
    char *folder = fv_path_dir(self);
    for (size_t i = 0; folder && i < sizeof places / sizeof *places; i++) {
        char *path = fv_path_join(folder, places[i]), *whole = path ? realpath(path, NULL) : NULL;
        free(path);
        if (whole) {
            free(folder);
            return whole;
        }
    }
    free(folder);
    return NULL;
}

static int find_folder(struct model_in *m, const struct model_paths *p)
{
    bool some = p->dit || p->text || p->vae;
    if (!p->model && some)
        return 0;
    m->model = p->model ? strdup(p->model) : bundled();
    if (!m->model)
        return p->model ? fv_fail(FV_ENOMEM, "out of memory")
                        : fv_fail(FV_EIO, "the bundled model (models/demo) is not beside this binary; name one by "
                                          "--model DIR");
    if (!fv_is_dir(m->model))
        return fv_fail(FV_EIO, "--model %s: %s", m->model,
                       fv_exists(m->model) ? "is a file; a whole model is a folder, its parts are named by --dit, "
                                             "--t5, --vae"
                                           : "no such folder");
    return 0;
}

/* ---- what is usual ----------------------------------------------------------------------- */

static const struct model_usual opensora = {.name = "Open-Sora 1.2",
                                            .steps = 30,
                                            .width = 426,
                                            .height = 240,
                                            .frames = 51,
                                            .guidance = 7,
                                            .fps = 24,
                                            .clean = true,
                                            .transform = true,
                                            .scores = {6.5, NAN, NULL}};

static double number_within(struct fv_json *doc, const char *key, double least, double most, double or_)
{
    double v = fv_json_number_or(doc, doc->root, key, or_);
    if (!doc->failed && !(v >= least && v <= most))
        fv_json_fail(doc, fv_node_get(doc->root, key), "%g is not within %g to %g", v, least, most);
    return v;
}

const char *const leap_choices[] = {"model", "never", "fixed", "rows", "whole", NULL};

static int read_leap(struct fv_json *doc, struct df_leap *out)
{
    struct fv_node n = fv_node_get(doc->root, "leap");
    const char *name = fv_json_string_or(doc, doc->root, "leap", "never");
    for (int i = LEAP_NEVER; i < LEAP_COUNT; i++)
        if (!strcmp(name, leap_choices[i])) {
            out->by = (enum df_leap_by)(i - LEAP_NEVER);
            if (fv_node_has(doc->root, "leap_from"))
                out->from = (uint32_t)fv_json_int(doc, doc->root, "leap_from", 0, 10000);
            return 0;
        }
    return fv_json_fail(doc, n, "expected never, fixed, rows or whole");
}

static void read_usual(struct model_in *m, struct fv_json *doc)
{
    struct model_usual *u = &m->usual;
    struct fv_node r = doc->root, s = fv_node_get(r, "scores");
    snprintf(u->name, sizeof u->name, "%s", fv_json_string_or(doc, r, "name", u->name));
    if (fv_node_has(r, "steps"))
        u->steps = (uint32_t)fv_json_int(doc, r, "steps", 1, 10000);
    if (fv_node_has(r, "width"))
        u->width = (uint32_t)fv_json_int(doc, r, "width", 8, 32768);
    if (fv_node_has(r, "height"))
        u->height = (uint32_t)fv_json_int(doc, r, "height", 8, 32768);
    if (fv_node_has(r, "frames"))
        u->frames = (uint32_t)fv_json_int(doc, r, "frames", 1, 16384);
    if (fv_node_has(r, "merge_steps"))
        u->merge_steps = (uint32_t)fv_json_int(doc, r, "merge_steps", 0, 10000);
    u->guidance = number_within(doc, "guidance", 0, 100, u->guidance);
    u->fps = number_within(doc, "fps", 0.01, 1000, u->fps);
    u->clean = fv_json_bool_or(doc, r, "clean_captions", u->clean);
    u->transform = fv_json_bool_or(doc, r, "time_transform", u->transform);
    if (!doc->failed)
        read_leap(doc, &u->leap);
    if (!fv_node_has(r, "scores"))
        return;
    u->scores.aesthetic = fv_json_number_or(doc, s, "aesthetic", NAN);
    u->scores.motion = fv_json_number_or(doc, s, "motion", NAN);
    snprintf(m->camera, sizeof m->camera, "%s", fv_json_string_or(doc, s, "camera", ""));
    u->scores.camera = *m->camera ? m->camera : NULL;
}

static int find_usual(struct model_in *m)
{
    struct fv_json doc;
    m->usual = opensora;
    int rc = m->model ? fv_json_open_in(&doc, m->model, "generate.json") : 1;
    if (rc != 0)
        return rc < 0 ? rc : 0;
    read_usual(m, &doc);
    rc = doc.failed ? FV_EFORMAT : 0;
    fv_json_close(&doc);
    return rc;
}

int model_in_find(struct model_in *m, const struct model_paths *p)
{
    *m = (struct model_in){0};
    const struct part parts[] = {{&m->dit, p->dit, "dit", "transformer", dit_names},
                                 {&m->text, p->text, "t5", "text encoder", text_names},
                                 {&m->vae, p->vae, "vae", "autoencoder", vae_names}};
    int rc = find_folder(m, p);
    for (size_t i = 0; i < sizeof parts / sizeof *parts && rc == 0; i++)
        rc = take_part(m, &parts[i]);
    if (rc == 0 && p->tokenizer)
        rc = take_part(m, &(struct part){&m->tokenizer, p->tokenizer, "tokenizer", "tokenizer", tokenizer_names});
    else if (rc == 0)
        rc = find_tokenizer(m);
    if (rc == 0 && !m->tokenizer)
        rc = fv_fail(FV_EIO, "%s: no tokenizer beside the text encoder (spiece.model or tokenizer.json); name it by "
                             "--tokenizer PATH", m->text);
    if (rc == 0)
        rc = find_usual(m);
    if (rc < 0)
        model_in_finish(m);
    return rc;
}

void model_in_finish(struct model_in *m)
{
    free(m->model);
    free(m->dit);
    free(m->text);
    free(m->tokenizer);
    free(m->vae);
    *m = (struct model_in){0};
}

bool model_in_is(const char *path)
{
    char *dit = NULL, *vae = NULL;
    bool yes = fv_is_dir(path) && find_part(&dit, path, dit_names) == 0 && dit &&
               find_part(&vae, path, vae_names) == 0 && vae;
    free(dit);
    free(vae);
    return yes;
}

/* ---- hash -------------------------------------------------------------------------------- */

enum { WHOLE = 64000000, PLACES = 64, PIECE = 65536 };

/* FNV-1a over words of eight bytes, the rest one by one. */
static uint64_t stir(uint64_t h, const uint8_t *data, size_t size)
{
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t word;
        memcpy(&word, data + i, 8);
        h = (h ^ word) * UINT64_C(0x100000001b3);
        h ^= h >> 29; /* the multiplication alone never moves bits down */
    }
    for (; i < size; i++)
        h = (h ^ data[i]) * UINT64_C(0x100000001b3);
    return h;
}

int model_in_stir(uint64_t *h, const char *path)
{
    struct fv_map map;
    FV_TRY(fv_map_open(&map, path));
    uint64_t size = map.size;
    *h = stir(*h, (const uint8_t *)&size, sizeof size);
    if (map.size <= WHOLE)
        *h = stir(*h, map.data, map.size);
    for (size_t i = 0; map.size > WHOLE && i < PLACES; i++)
        *h = stir(*h, map.data + (map.size - PIECE) / (PLACES - 1) * i, PIECE);
    fv_map_close(&map);
    return 0;
}

static int stir_weights(uint64_t *h, const char *path)
{
    struct nn_file *f = NULL;
    FV_TRY(nn_file_open(&f, path, NULL));
    int rc = 0;
    for (size_t i = 0; i < f->part_count && rc == 0; i++)
        rc = model_in_stir(h, f->parts[i]);
    nn_file_close(&f);
    return rc;
}

int model_in_hash(const struct model_in *m, char out[17])
{
    return model_in_hash_with(m, NULL, 0, out);
}

int model_in_hash_with(const struct model_in *m, const char *const *more, size_t n, char out[17])
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    FV_TRY(stir_weights(&h, m->dit));
    FV_TRY(stir_weights(&h, m->text));
    FV_TRY(stir_weights(&h, m->vae));
    for (size_t i = 0; i < n; i++)
        FV_TRY(stir_weights(&h, more[i]));
    snprintf(out, 17, "%016llx", (unsigned long long)h);
    return 0;
}

/* Cases of networks (check_nn.h): inputs, comparison, the list of archs. */
#include "app/check_nn.h"
#include "vk/base/file.h"
#include "vk/base/array.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Tables of archs, each ended by a NULL name. */
static const struct check_arch *const tables[] = {check_arch_vaes, check_arch_diffusion, check_arch_generate,
                                                 check_arch_samplers, check_arch_quant};

/* Something produced, of which the file holds the values. */
struct check_seen {
    const struct nn_file_tensor *want;
    float *got;
    size_t count; /* so far */
};

const struct check_arch *check_arch_find(const char *name)
{
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        for (const struct check_arch *a = tables[i]; a->name; a++)
            if (!strcmp(a->name, name))
                return a;
    return NULL;
}

/* ---- inputs ------------------------------------------------------------------------------ */

bool check_has(const struct check_case *k, const char *name)
{
    return nn_file_find(k->file, name) != NULL;
}

int check_input(struct check_case *k, const char *name, struct check_array *out)
{
    const struct nn_file_tensor *t = nn_file_find(k->file, name);
    *out = (struct check_array){0};
    if (!t)
        return fv_fail(FV_EFORMAT, "%s: no %s", k->file->name, name);
    out->rank = t->rank;
    out->count = (size_t)t->count;
    for (unsigned i = 0; i < t->rank; i++)
        out->shape[i] = (uint32_t)t->shape[i];
    out->data = fv_arena_alloc(&k->arena, (size_t)t->count * sizeof *out->data + 1);
    if (!out->data)
        return FV_ENOMEM;
    return nn_file_read(t, NN_DATA_F32, 0, t->count, out->data);
}

int check_input_number(struct check_case *k, const char *name, double or_, double *out)
{
    const struct nn_file_tensor *t = nn_file_find(k->file, name);
    *out = or_;
    if (!t)
        return 0;
    if (t->count != 1)
        return fv_fail(FV_EFORMAT, "%s: %s has %llu values, expected one", k->file->name, name,
                       (unsigned long long)t->count);
    return nn_file_read(t, NN_DATA_F64, 0, 1, out);
}

/* ---- results ----------------------------------------------------------------------------- */

static struct check_seen *seen_of(struct check_case *k, const struct nn_file_tensor *want)
{
    for (size_t i = 0; i < k->seen_count; i++)
        if (k->seen[i].want == want)
            return &k->seen[i];
    if (fv_grow(&k->seen, &k->seen_room, k->seen_count, sizeof *k->seen) < 0)
        return NULL;
    float *got = malloc((size_t)want->count * sizeof *got + 1);
    if (!got)
        return NULL;
    k->seen[k->seen_count] = (struct check_seen){.want = want, .got = got};
    return &k->seen[k->seen_count++];
}

/* Appends to what was produced under a name; what is more than the file holds is left out. */
static int append(struct check_case *k, const struct nn_file_tensor *want, const float *data,
                  size_t count)
{
    struct check_seen *s = seen_of(k, want);
    if (!s)
        return fv_fail(FV_ENOMEM, "out of memory");
    size_t room = (size_t)want->count - s->count, n = count < room ? count : room;
    memcpy(s->got + s->count, data, n * sizeof *data);
    s->count += n;
    return 0;
}

int check_output(struct check_case *k, const char *name, const float *data, size_t count)
{
    const struct nn_file_tensor *want = nn_file_find(k->file, name);
    return want ? append(k, want, data, count) : 0;
}

int check_trace(void *ud, const char *name, nn_tensor shape, const float *data)
{
    struct check_case *k = ud;
    const struct nn_file_tensor *want = nn_file_find(k->file, name);
    return want ? append(k, want, data, (size_t)nn_count(shape)) : 0;
}

/* Tolerance: in f32 the largest error as a part of the rms of what is expected; in 16 bits the
 * error's 2-norm as a part of the expected one. */
static int compare(struct check_case *k, const struct check_seen *s)
{
    const struct nn_file_tensor *t = s->want;
    float *want = malloc((size_t)t->count * sizeof *want + 1);
    struct check_norms e = {.limit = k->dtype == NN_F32   ? 1e-4
                                     : k->dtype == NN_F16 ? 1e-2
                                                          : 5e-2,
                            .by_max = k->dtype == NN_F32};
    if (!want)
        return fv_fail(FV_ENOMEM, "out of memory");
    int rc = nn_file_read(t, NN_DATA_F32, 0, t->count, want);
    if (rc >= 0 && s->count < t->count) {
        check_fact(k->check, t->name, false, "%zu values were produced, expected %llu", s->count,
                   (unsigned long long)t->count);
        snprintf(k->first_bad, sizeof k->first_bad, "%s", t->name);
    } else if (rc >= 0) {
        check_norms_measure(&e, s->got, want, (size_t)t->count);
        check_norms_row(k->check, t->name, &e);
        if (!e.ok && !*k->first_bad)
            snprintf(k->first_bad, sizeof k->first_bad, "%s", t->name);
    }
    free(want);
    return rc;
}

/* Values in the order they were computed, then what the file expects and nothing gave. */
static int report(struct check_case *k)
{
    for (size_t i = 0; i < k->seen_count; i++)
        FV_TRY(compare(k, &k->seen[i]));
    for (size_t i = 0; i < k->file->count; i++) {
        const struct nn_file_tensor *t = &k->file->tensors[i];
        bool out = !strncmp(t->name, "out", 3), mid = !strncmp(t->name, "mid.", 4), seen = false;
        for (size_t n = 0; n < k->seen_count; n++)
            seen = seen || k->seen[n].want == t;
        if (out && !seen)
            check_fact(k->check, t->name, false, "was not produced");
        if (mid && !seen && k->trace)
            check_skip(k->check, t->name, "not a value of this implementation");
    }
    if (*k->first_bad)
        check_note(k->check, "first out of tolerance: %s", k->first_bad);
    return 0;
}

/* ---- cases ------------------------------------------------------------------------------- */

static char *case_name(const char *path)
{
    char *name = strdup(fv_path_base(path));
    size_t n = name ? strlen(name) : 0, suffix = strlen(".safetensors");
    if (name && n > suffix && fv_ends_with(name, ".safetensors"))
        name[n - suffix] = 0;
    return name;
}

static int run_case(struct check *c, const struct check_arch *arch, void *model, const char *path,
                    struct check_case *k)
{
    char *name = case_name(path);
    if (!name)
        return fv_fail(FV_ENOMEM, "out of memory");
    k->name = name;
    int rc = nn_file_open(&k->file, path, NULL);
    if (rc >= 0) {
        check_group(c, "%s", name);
        rc = arch->run(k, model);
        if (rc >= 0)
            rc = k->left_out ? 0 : report(k);
        else if (rc != FV_ECANCELLED && rc != FV_EDEVICE)
            check_failure(c, "run"), rc = 0; /* this case does not hold; others may */
    }
    for (size_t i = 0; i < k->seen_count; i++)
        free(k->seen[i].got);
    free(k->seen);
    fv_arena_finish(&k->arena);
    nn_file_close(&k->file);
    free(name);
    return rc;
}

static int is_case(const struct dirent *e)
{
    return !strncmp(e->d_name, "case_", 5) && fv_ends_with(e->d_name, ".safetensors");
}

static int run_folder(struct check *c, const struct check_arch *arch, void *model, const char *dir,
                      const struct check_case *like)
{
    struct dirent **list = NULL;
    int n = scandir(dir, &list, is_case, alphasort), rc = 0;
    if (n <= 0)
        rc = fv_fail(FV_EIO, "%s: no case_*.safetensors in it; name the cases", dir);
    for (int i = 0; i < n; i++) {
        char *path = fv_path_join(dir, list[i]->d_name);
        struct check_case k = *like;
        if (rc >= 0)
            rc = path ? run_case(c, arch, model, path, &k) : fv_fail(FV_ENOMEM, "out of memory");
        if (rc >= 0 && app_cancelled())
            rc = fv_fail(FV_ECANCELLED, "cancelled");
        free(path);
        free(list[i]);
    }
    free(list);
    return rc;
}

int check_networks(struct check *c, const struct check_arch *arch, const char *dir,
                   const char *const *cases, size_t count, enum nn_dtype dtype, bool trace)
{
    struct check_case like = {.check = c, .dtype = dtype, .trace = trace};
    void *model = NULL;
    FV_TRY(app_nn_device(c->app, &like.dev));
    check_place(c, dir);
    if (arch->open)
        FV_TRY(arch->open(&model, like.dev, dir, dtype));
    int rc = count ? 0 : run_folder(c, arch, model, dir, &like);
    for (size_t i = 0; i < count && rc >= 0; i++) {
        struct check_case k = like;
        rc = run_case(c, arch, model, cases[i], &k);
        if (rc >= 0 && app_cancelled())
            rc = fv_fail(FV_ECANCELLED, "cancelled");
    }
    if (arch->close)
        arch->close(model);
    return rc;
}

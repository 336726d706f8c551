/* Pipelines and their cache on disk (vk/pipe.c). */
#include "support/test.h"
#include "vk/base/log.h"
#include "vk/base/thread.h"
#include "vk/cmd_private.h"
#include "vk/pipe_private.h"
#include "vk/xfer.h"

#include <dirent.h>
#include <malloc.h>
#include <sys/stat.h>

static int get(const struct vk_pipe **out, const char *name, uint32_t local, uint32_t subgroup)
{
    return vk_pipe_get(out, test_device(), name, &local, 1, subgroup);
}

static void one_pipeline_a_key(void **state)
{
    const struct vk_pipe *a, *b, *c, *d;
    (void)state;
    assert_ok(get(&a, "vk/probe", 64, 0));
    assert_ok(get(&b, "vk/probe", 64, 0));
    assert_ok(get(&c, "vk/probe", 32, 0));
    assert_ok(get(&d, "vk/probe_texel", 64, 0));
    assert_ptr_equal(a, b);
    assert_ptr_not_equal(a, c);
    assert_ptr_not_equal(a, d);
    assert_true(a->handle && a->layout && a->set_layout);
    assert_string_equal(a->name, "vk/probe");
    assert_int_equal(a->info.local_size[0], 64);
    assert_int_equal(c->info.local_size[0], 32);
    assert_ok(vk_pipe_get(&d, test_device(), "vk/probe_args", NULL, 0, 0));
    assert_int_equal(d->info.binding_count, 1);
}

static void rejects_unknown_shaders(void **state)
{
    const struct vk_pipe *p = (const struct vk_pipe *)1;
    (void)state;
    assert_fails(get(&p, "vk/no_such", 64, 0), FV_EINVALID, "no shader named \"vk/no_such\"");
    assert_null(p);
}

static void rejects_too_many_constants(void **state)
{
    const struct vk_pipe *p;
    uint32_t spec[VK_MAX_SPEC + 1] = {1};
    (void)state;
    assert_fails(vk_pipe_get(&p, test_device(), "vk/probe", spec, VK_MAX_SPEC + 1, 0), FV_EINVALID,
                 "17");
    assert_ok(vk_pipe_get(&p, test_device(), "vk/probe", spec, VK_MAX_SPEC, 0));
}

static void rejects_workgroups_above_the_limits(void **state)
{
    const struct vk_caps *c = &test_device()->caps;
    const struct vk_pipe *p;
    (void)state;
    assert_fails(get(&p, "vk/probe", c->max_group_size[0] + 1, 0), FV_EDEVICE, "vk/probe");
    assert_non_null(strstr(fv_error(), "maxComputeWorkGroupSize"));
    assert_non_null(strstr(fv_error(), c->name));
    assert_fails(get(&p, "vk/probe", 0, 0), FV_EDEVICE, "local size 0");
    uint32_t limit = c->max_invocations; /* x alone reaches it on the drivers here */
    test_device()->caps.max_invocations = 60;
    assert_fails(get(&p, "vk/probe", 61, 0), FV_EDEVICE, "maxComputeWorkGroupInvocations");
    test_device()->caps.max_invocations = limit;
}

static void rejects_shared_memory_above_the_limit(void **state)
{
    struct vk_device *dev = test_device();
    const struct vk_pipe *p;
    uint32_t words = dev->caps.shared_bytes / 8; /* the shader takes twice that many */
    (void)state;
    assert_ok(vk_pipe_get(&p, dev, "vk/probe_subgroup", (uint32_t[]){64, words}, 2, 0));
    assert_fails(vk_pipe_get(&p, dev, "vk/probe_subgroup", (uint32_t[]){64, words + 1}, 2, 0),
                 FV_EDEVICE, "maxComputeSharedMemorySize");
}

/* Runs vk/probe_subgroup with groups of `local` and checks what every invocation saw. */
static void check_subgroups(uint32_t local, uint32_t required)
{
    struct vk_device *dev = test_device();
    const struct vk_pipe *pipe;
    struct vk_cmd *cmd;
    struct vk_buf b;
    uint64_t ticket;
    uint32_t *seen = calloc(2 * 4 * local, 4), size = required ? required : dev->caps.subgroup_size;
    assert_ok(get(&pipe, "vk/probe_subgroup", local, required));
    assert_ok(vk_buf_create(&b, dev, 8 * 4 * local, VK_BUF_DEVICE, "seen"));
    assert_ok(vk_cmd_create(&cmd, dev));
    vk_cmd_begin(cmd);
    vk_cmd_dispatch(cmd, pipe, (struct vk_bind[]){{.buf = &b}}, 1, NULL, 0, 4, 1, 1);
    assert_ok(vk_cmd_submit(cmd, &ticket));
    assert_ok(vk_wait(dev, ticket));
    assert_ok(vk_download(seen, &b, 0, b.size));
    for (uint32_t i = 0; i < 4 * local; i++) {
        assert_int_equal(seen[2 * i], size);
        if (local % size == 0)
            assert_int_equal(seen[2 * i + 1], size);
        else
            assert_in_range(seen[2 * i + 1], 1, size);
    }
    vk_cmd_destroy(&cmd);
    vk_buf_destroy(&b);
    free(seen);
}

static void subgroups_are_full_and_of_the_size_told(void **state)
{
    const struct vk_caps *c = &test_device()->caps;
    (void)state;
    for (uint32_t local = 4; local <= 256; local *= 2)
        check_subgroups(local, 0);
    check_subgroups(40, 0);
    check_subgroups(7, 0);
    check_subgroups(c->subgroup_size * 2, c->subgroup_size);
    for (uint32_t size = c->subgroup_min; c->subgroup_control && size <= c->subgroup_max; size *= 2)
        check_subgroups(size * 2, size);
}

static void rejects_subgroup_sizes_the_device_has_not(void **state)
{
    const struct vk_caps *c = &test_device()->caps;
    const struct vk_pipe *p;
    (void)state;
    assert_fails(get(&p, "vk/probe_subgroup", 64, c->subgroup_max * 2), FV_EDEVICE, "subgroups of");
    assert_non_null(strstr(fv_error(), "vk/probe_subgroup"));
    assert_fails(get(&p, "vk/probe_subgroup", 64, c->subgroup_min / 2), FV_EDEVICE, c->name);
    assert_fails(get(&p, "vk/probe_subgroup", 64, 3), FV_EDEVICE, "subgroups of 3");
}

static int get_many(void *ud, size_t begin, size_t end)
{
    const struct vk_pipe **seen = ud;
    for (size_t i = begin; i < end; i++) {
        const struct vk_pipe *p;
        FV_TRY(get(&p, "vk/probe", 1 + (uint32_t)(i % 8), 0));
        seen[i] = p;
    }
    return 0;
}

static void threads_get_the_same_pipelines(void **state)
{
    const struct vk_pipe *seen[400];
    (void)state;
    assert_ok(fv_parallel(400, 1, get_many, seen));
    for (int i = 8; i < 400; i++)
        assert_ptr_equal(seen[i], seen[i % 8]);
}

/* --- cache --- */

static char logged[4096];

static void keep_log(void *ud, enum fv_level level, const char *text)
{
    (void)ud, (void)level;
    snprintf(logged + strlen(logged), sizeof logged - strlen(logged), "%s\n", text);
}

/* Makes a device with this cache directory, one pipeline in it, and destroys it. */
static void use_cache(const char *dir)
{
    struct vk_device *dev;
    const struct vk_pipe *p;
    *logged = 0;
    fv_log_sink(keep_log, NULL, FV_INFO);
    assert_ok(vk_device_create(
        &dev, &(struct vk_device_opts){.select = getenv("FOVEA_DEVICE"), .cache_dir = dir}));
    assert_ok(vk_pipe_get(&p, dev, "vk/probe", (uint32_t[]){64}, 1, 0));
    vk_device_destroy(&dev);
    fv_log_sink(NULL, NULL, FV_WARN);
}

/* The one file in the directory. */
static char *cache_file(const char *dir)
{
    DIR *d = opendir(dir);
    static char path[600];
    int files = 0;
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
            files++;
        }
    closedir(d);
    assert_int_equal(files, 1);
    return path;
}

static void the_cache_is_written_and_read(void **state)
{
    const char *dir = test_tmp_path("new/cache"); /* directories are made */
    struct stat before, after;
    char name[64];
    (void)state;
    use_cache(dir);
    char *path = cache_file(dir);
    snprintf(name, sizeof name, "%08x-%08x", test_device()->caps.vendor_id,
             test_device()->caps.device_id);
    assert_non_null(strstr(path, name));
    assert_string_equal(logged, "");
    assert_int_equal(stat(path, &before), 0);
    use_cache(dir);
    assert_int_equal(stat(cache_file(dir), &after), 0);
    assert_true(before.st_size <= after.st_size);
    assert_string_equal(logged, "");
}

static void corrupt_caches_are_ignored_and_replaced(void **state)
{
    const char *dir = test_tmp_path("corrupt");
    size_t size;
    (void)state;
    use_cache(dir);
    char *path = cache_file(dir);
    unsigned char *good = test_read_file(path, &size);
    assert_true(size >= 56); /* our header, and the driver's of 32 */
    for (int kind = 0; kind < 6; kind++) {
        unsigned char *bad = malloc(size + 1);
        size_t n = kind == 0 ? 0 : kind == 1 ? 20 : kind == 2 ? size - 1 : size;
        memcpy(bad, good, size);
        if (kind == 3)
            bad[0] ^= 1; /* magic */
        if (kind == 4)
            bad[size - 1] ^= 1; /* data */
        if (kind == 5)
            memset(bad + 8, 0xff, 8); /* size */
        test_write_file(path, bad, n);
        use_cache(dir);
        assert_non_null(strstr(logged, "not a valid pipeline cache"));
        use_cache(dir); /* replaced: nothing to say any more */
        assert_string_equal(logged, "");
        free(bad);
    }
    free(good);
}

/* A whole file of another driver under this one's name. */
static void caches_of_other_drivers_are_ignored(void **state)
{
    const char *dir = test_tmp_path("other");
    size_t size;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    (void)state;
    use_cache(dir);
    char *path = cache_file(dir);
    unsigned char *file = test_read_file(path, &size);
    file[24 + 16] ^= 1; /* the uuid in the driver's header */
    for (size_t i = 24; i < size; i++)
        hash = (hash ^ file[i]) * UINT64_C(0x100000001b3);
    for (int i = 0; i < 8; i++)
        file[16 + i] = (unsigned char)(hash >> 8 * i);
    test_write_file(path, file, size);
    use_cache(dir);
    assert_non_null(strstr(logged, "not a valid pipeline cache"));
    free(file);
}

static void an_unwritable_cache_is_a_warning(void **state)
{
    const char *blocker = test_tmp_path("blocker");
    char dir[600];
    (void)state;
    test_write_file(blocker, "", 0);
    snprintf(dir, sizeof dir, "%s/cache", blocker);
    use_cache(dir);
    assert_non_null(strstr(logged, "pipeline cache not saved"));
}

/* ---- how many are kept ---- */

static size_t in_use(void)
{
#ifdef __GLIBC__
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
#else
    return 0;
#endif
}

/* Groups of `local` on a recording that begins anew; each sees the subgroup's size. */
static void run_probe(struct vk_cmd *cmd, const struct vk_buf *b, uint32_t local)
{
    const struct vk_pipe *pipe;
    uint64_t ticket;
    uint32_t seen[2];
    assert_ok(vk_pipe_get(&pipe, cmd->dev, "vk/probe_subgroup", &local, 1, 0));
    vk_cmd_begin(cmd);
    vk_cmd_fill(cmd, b, 0, b->size, 0);
    vk_cmd_dispatch(cmd, pipe, (struct vk_bind[]){{.buf = b}}, 1, NULL, 0, 1, 1, 1);
    assert_ok(vk_cmd_submit(cmd, &ticket));
    assert_ok(vk_wait(cmd->dev, ticket));
    assert_ok(vk_download(seen, b, 8 * (local - 1), sizeof seen));
    assert_int_equal(seen[0], cmd->dev->caps.subgroup_size);
}

/* The longest unused go, but not those of a recording that may be submitted again; and the driver gives their memory
 * back. */
static void unused_ones_go(void **state)
{
    enum { KEPT = 4, MANY = 60 }; /* groups of less than four see words that nobody wrote */
    struct vk_device *dev;
    struct vk_cmd *stays, *cmd;
    struct vk_buf b;
    uint64_t ticket;
    uint32_t seen[2];
    size_t early = 0;
    (void)state;
    assert_ok(vk_device_create(&dev, &(struct vk_device_opts){.select = getenv("FOVEA_DEVICE"), .validation = getenv("FOVEA_TEST_VALIDATION") != NULL}));
    assert_ok(vk_buf_create(&b, dev, 8 * 128, VK_BUF_DEVICE, "seen"));
    assert_ok(vk_cmd_create(&stays, dev));
    assert_ok(vk_cmd_create(&cmd, dev));
    vk_cmd_reusable(stays, true);
    vk_pipe_keep(dev, KEPT);
    run_probe(stays, &b, 128);
    for (uint32_t round = 0; round < 2; round++)
        for (uint32_t local = 4; local <= MANY; local++) {
            run_probe(cmd, &b, local);
            assert_true(dev->p->pipes->count <= KEPT);
            early = !round && local == MANY / 2 ? in_use() : early;
        }
    printf("%.1f MB more after %d pipelines than after %d\n", ((double)in_use() - (double)early) / 1e6, 2 * (MANY - 3), MANY / 2 - 3);
    assert_true(in_use() < early + 4000000);
    assert_ok(vk_cmd_submit_again(stays, &ticket));
    assert_ok(vk_wait(dev, ticket));
    assert_ok(vk_download(seen, &b, 8 * 127, sizeof seen));
    assert_int_equal(seen[0], dev->caps.subgroup_size);
    vk_pipe_keep(dev, 0);
    for (uint32_t local = 4; local < 4 + 2 * KEPT; local++)
        run_probe(cmd, &b, local);
    assert_true(dev->p->pipes->count >= 2 * KEPT);
    vk_cmd_destroy(&stays);
    vk_cmd_destroy(&cmd);
    vk_buf_destroy(&b);
    assert_int_equal(atomic_load(&dev->validation_errors), 0);
    vk_device_destroy(&dev);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_pipeline_a_key),
        cmocka_unit_test(rejects_unknown_shaders),
        cmocka_unit_test(rejects_too_many_constants),
        cmocka_unit_test(rejects_workgroups_above_the_limits),
        cmocka_unit_test(rejects_shared_memory_above_the_limit),
        cmocka_unit_test(subgroups_are_full_and_of_the_size_told),
        cmocka_unit_test(rejects_subgroup_sizes_the_device_has_not),
        cmocka_unit_test(threads_get_the_same_pipelines),
        cmocka_unit_test(the_cache_is_written_and_read),
        cmocka_unit_test(corrupt_caches_are_ignored_and_replaced),
        cmocka_unit_test(caches_of_other_drivers_are_ignored),
        cmocka_unit_test(an_unwritable_cache_is_a_warning),
        cmocka_unit_test(unused_ones_go),
    };
    test_device();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_done();
    return failed;
}

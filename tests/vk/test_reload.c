/* Shader reload (vk/reload.c), with the developer option. */
#include "support/test.h"

#ifdef FOVEA_HOT_RELOAD

#include "vk/base/log.h"
#include "vk/cmd.h"
#include "vk/reload.h"
#include "vk/xfer.h"

#include <sys/stat.h>
#include <unistd.h>

static const char probe[] = "#version 460\n"
                            "#include \"lib/factor.glsl\"\n"
                            "layout(local_size_x_id = 0) in;\n"
                            "layout(binding = 0) readonly buffer A { float a[]; };\n"
                            "layout(binding = 1) buffer Out { float result[]; };\n"
                            "layout(push_constant) uniform Push { uint count; float scale; };\n"
                            "void main()\n"
                            "{\n"
                            "    uint i = gl_GlobalInvocationID.x;\n"
                            "    if (i < count)\n"
                            "        result[i] = a[i] * scale * FACTOR;\n"
                            "}\n";

static char logged[4096];

static void keep_log(void *ud, enum fv_level level, const char *text)
{
    (void)ud, (void)level;
    snprintf(logged, sizeof logged, "%s", text);
}

static void write_text(const char *name, const char *text)
{
    test_write_file(test_tmp_path(name), text, strlen(text));
}

static struct vk_device *open_dir(const char *dir)
{
    struct vk_device *dev;
    assert_ok(vk_device_create(
        &dev, &(struct vk_device_opts){.select = getenv("FOVEA_DEVICE"),
                                       .validation = getenv("FOVEA_TEST_VALIDATION") != NULL,
                                       .shader_dir = dir}));
    return dev;
}

static void close_dir(struct vk_device *dev)
{
    assert_int_equal(atomic_load(&dev->validation_errors), 0);
    vk_device_destroy(&dev);
}

static const struct vk_pipe *get(struct vk_device *dev)
{
    const struct vk_pipe *p;
    assert_ok(vk_pipe_get(&p, dev, "vk/probe", (uint32_t[]){64}, 1, 0));
    return p;
}

/* What the shader makes of 3 with scale 2. */
static float run(struct vk_device *dev, const struct vk_pipe *pipe)
{
    struct {
        uint32_t count;
        float scale;
    } push = {1, 2};
    struct vk_buf a, b;
    struct vk_cmd *cmd;
    float in = 3, out = 0;
    assert_ok(vk_cmd_create(&cmd, dev));
    assert_ok(vk_buf_create(&a, dev, 4, VK_BUF_DEVICE, "a"));
    assert_ok(vk_buf_create(&b, dev, 4, VK_BUF_DEVICE, "b"));
    assert_ok(vk_upload(&a, 0, &in, 4));
    vk_cmd_begin(cmd);
    vk_cmd_fill(cmd, &b, 0, 4, 0);
    vk_cmd_dispatch(cmd, pipe, (struct vk_bind[]){{.buf = &a}, {.buf = &b}}, 2, &push, sizeof push,
                    1, 1, 1);
    assert_ok(vk_cmd_submit(cmd, NULL));
    assert_ok(vk_download(&out, &b, 0, 4));
    vk_cmd_destroy(&cmd);
    vk_buf_destroy(&a);
    vk_buf_destroy(&b);
    return out;
}

/* Polls as a frame loop would; true when something changed or was reported anew in a second. */
static bool poll(struct vk_device *dev, char *log, size_t size)
{
    static char before[1000];
    bool changed = false;
    for (int i = 0; i < 20; i++) {
        assert_ok(vk_reload_poll(dev, &changed, log, size));
        if (changed || strcmp(log, before)) {
            snprintf(before, sizeof before, "%s", log);
            return true;
        }
        usleep(50000);
    }
    return false;
}

static void edits_take_effect_and_errors_keep_the_old(void **state)
{
    char log[1000];
    (void)state;
    mkdir(test_tmp_path("vk"), 0700);
    mkdir(test_tmp_path("lib"), 0700);
    write_text("vk/probe.comp", probe);
    write_text("lib/factor.glsl", "#define FACTOR 1\n");
    struct vk_device *dev = open_dir(test_tmp());
    const struct vk_pipe *pipe = get(dev);
    assert_true(run(dev, pipe) == 6);
    assert_false(poll(dev, log, sizeof log)); /* nothing has changed */

    write_text("lib/factor.glsl", "#define FACTOR 10\n"); /* an included file */
    assert_true(poll(dev, log, sizeof log));
    assert_string_equal(log, "");
    assert_true(run(dev, pipe) == 60); /* the borrowed pointer has the new one */

    write_text("vk/probe.comp", "#version 460\nvoid main() { nonsense }\n");
    assert_true(poll(dev, log, sizeof log));
    assert_non_null(strstr(log, "nonsense"));
    assert_non_null(strstr(log, "probe.comp:2"));
    assert_true(run(dev, pipe) == 60);
    assert_false(poll(dev, log, sizeof log)); /* nothing new, */
    assert_non_null(strstr(log, "nonsense")); /* and it still does not compile */

    write_text("vk/probe.comp", probe);
    assert_int_equal(unlink(test_tmp_path("lib/factor.glsl")), 0);
    assert_true(poll(dev, log, sizeof log));
    assert_non_null(strstr(log, "factor.glsl"));
    assert_true(run(dev, pipe) == 60);

    write_text("lib/factor.glsl", "#define FACTOR 100\n"); /* the missing file appears */
    assert_true(poll(dev, log, sizeof log));
    assert_string_equal(log, "");
    assert_true(run(dev, pipe) == 600);
    close_dir(dev);
}

static void limits_are_checked_again(void **state)
{
    char log[200];
    (void)state;
    write_text("vk/probe.comp", probe);
    write_text("lib/factor.glsl", "#define FACTOR 1\n");
    struct vk_device *dev = open_dir(test_tmp());
    const struct vk_pipe *pipe = get(dev);
    write_text("lib/factor.glsl", "#define FACTOR x[0]\nshared float x[1000000];\n");
    assert_true(poll(dev, log, sizeof log));
    assert_non_null(strstr(log, "maxComputeSharedMemorySize"));
    assert_true(run(dev, pipe) == 6);
    close_dir(dev);
}

static void a_missing_source_uses_the_built_in_one(void **state)
{
    char log[1000];
    (void)state;
    mkdir(test_tmp_path("none"), 0700);
    fv_log_sink(keep_log, NULL, FV_WARN);
    struct vk_device *dev = open_dir(test_tmp_path("none"));
    assert_true(run(dev, get(dev)) == 6);
    assert_non_null(strstr(logged, "vk/probe: using the built-in shader"));
    assert_true(poll(dev, log, sizeof log));
    assert_non_null(strstr(log, "probe.comp"));
    mkdir(test_tmp_path("none/vk"), 0700);
    mkdir(test_tmp_path("none/lib"), 0700);
    write_text("none/vk/probe.comp", probe);
    write_text("none/lib/factor.glsl", "#define FACTOR 5\n");
    assert_true(poll(dev, log, sizeof log));
    assert_string_equal(log, "");
    assert_true(run(dev, get(dev)) == 30);
    fv_log_sink(NULL, NULL, FV_WARN);
    close_dir(dev);
}

static void rejects_a_directory_that_is_not_there(void **state)
{
    (void)state;
    struct vk_device *dev;
    assert_fails(vk_device_create(&dev, &(struct vk_device_opts){.shader_dir = "/nonexistent"}),
                 FV_EIO, "/nonexistent");
}

/* The project's own sources with their flags give what the build gave. */
static void the_source_tree_compiles(void **state)
{
    (void)state;
    fv_log_sink(keep_log, NULL, FV_WARN);
    *logged = 0;
    struct vk_device *dev = open_dir(test_source("shaders"));
    assert_true(run(dev, get(dev)) == 6);
    assert_string_equal(logged, "");
    fv_log_sink(NULL, NULL, FV_WARN);
    close_dir(dev);
}

static void without_a_directory_nothing_is_watched(void **state)
{
    bool changed = true;
    char log[8] = "x";
    (void)state;
    assert_ok(vk_reload_poll(test_device(), &changed, log, sizeof log));
    assert_false(changed);
    assert_string_equal(log, "");
    assert_ok(vk_reload_poll(test_device(), &changed, NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edits_take_effect_and_errors_keep_the_old),
        cmocka_unit_test(limits_are_checked_again),
        cmocka_unit_test(a_missing_source_uses_the_built_in_one),
        cmocka_unit_test(rejects_a_directory_that_is_not_there),
        cmocka_unit_test(the_source_tree_compiles),
        cmocka_unit_test(without_a_directory_nothing_is_watched),
    };
    test_device();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_done();
    return failed;
}

#else

int main(void)
{
    return 77; /* not in this build: skipped */
}

#endif

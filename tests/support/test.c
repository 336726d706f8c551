/* Helpers of tests/support/test.h. */
#include "support/test.h"
#include "vk/base/file.h"

#include <ftw.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char tmp_dir[64];

static char *slot(void)
{
    static char text[8][512];
    static int at;
    return text[at++ % 8];
}

const char *test_source(const char *name)
{
    char *s = slot();
    snprintf(s, 512, "%s/%s", FOVEA_SOURCE_DIR, name);
    return s;
}

const char *test_golden(const char *name)
{
    char *s = slot();
    const char *env = getenv("FOVEA_GOLDEN");
    const char *dirs[] = {env, FOVEA_SOURCE_DIR "/tests/golden",
                          FOVEA_SOURCE_DIR "/../shared/golden/gs"};
    for (int i = 0; i < 3; i++) {
        if (!dirs[i])
            continue;
        snprintf(s, 512, "%s/%s", dirs[i], name);
        if (fv_exists(s))
            return s;
    }
    return NULL;
}

const char *test_shared(const char *name)
{
    char *s = slot();
    const char *env = getenv("FOVEA_SHARED");
    snprintf(s, 512, "%s/%s", env ? env : FOVEA_SOURCE_DIR "/../shared", name);
    return fv_exists(s) ? s : NULL;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static void remove_tmp(void)
{
    nftw(tmp_dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

const char *test_tmp(void)
{
    if (!*tmp_dir) {
        strcpy(tmp_dir, "/tmp/fovea_test_XXXXXX");
        if (!mkdtemp(tmp_dir))
            abort();
        atexit(remove_tmp);
    }
    return tmp_dir;
}

const char *test_tmp_path(const char *name)
{
    char *s = slot();
    snprintf(s, 512, "%s/%s", test_tmp(), name);
    return s;
}

void test_write_file(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f))
        fail_msg("cannot write %s", path);
}

void *test_read_file(const char *path, size_t *size)
{
    struct fv_map map;
    assert_ok(fv_map_open(&map, path));
    unsigned char *copy = calloc(1, map.size + 1);
    assert_non_null(copy);
    if (map.size)
        memcpy(copy, map.data, map.size);
    if (size)
        *size = map.size;
    fv_map_close(&map);
    return copy;
}

bool test_same_files(const char *a, const char *b)
{
    size_t n, m;
    char *x = test_read_file(a, &n), *y = test_read_file(b, &m);
    bool same = n == m && !memcmp(x, y, n);
    free(x);
    free(y);
    return same;
}

const char *test_device_option(void)
{
    static char text[256];
    const char *name = getenv("FOVEA_DEVICE");
    snprintf(text, sizeof text, name ? "--device '%s'" : "%.0s", name ? name : "");
    return text;
}

int test_shell(char **out, const char *command)
{
    FILE *p = popen(command, "r");
    char *text = NULL, chunk[4096];
    size_t size = 0, n;
    FILE *mem = open_memstream(&text, &size);
    if (!p || !mem)
        abort();
    while ((n = fread(chunk, 1, sizeof chunk, p)) > 0)
        fwrite(chunk, 1, n, mem);
    fclose(mem);
    int status = pclose(p);
    if (out)
        *out = text;
    else
        free(text);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int test_line(char **out, const char *before, const char *fmt, va_list args)
{
    char line[8192], command[9000];
    vsnprintf(line, sizeof line, fmt, args);
    snprintf(command, sizeof command, "%s%s 2>&1", before, line);
    return test_shell(out, command);
}

int test_fovea(char **out, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int status = test_line(out, "'" FOVEA_BINARY "' ", fmt, ap);
    va_end(ap);
    return status;
}

void test_one_cpu(bool on)
{
    static cpu_set_t all;
    cpu_set_t first;
    if (!on) {
        sched_setaffinity(0, sizeof all, &all);
        return;
    }
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    CPU_ZERO(&first);
    for (int i = 0; i < CPU_SETSIZE && !CPU_COUNT(&first); i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &first);
    assert_int_equal(sched_setaffinity(0, sizeof first, &first), 0);
}

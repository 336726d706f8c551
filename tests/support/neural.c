#include "support/neural.h"
#include "support/test.h"
#include "vk/base/file.h"

const char *test_neural(const char *kind, unsigned count)
{
    char command[2048], *tools = fv_path_dir(FOVEA_BINARY);
    const char *to = test_tmp_path(kind);
    assert_non_null(tools);
    snprintf(command, sizeof command, "rm -rf '%s' && '%s/make_neural' %s '%s' %u", to, tools, kind, to, count);
    free(tools);
    assert_int_equal(system(command), 0);
    return to;
}

const char *test_neural_files(const char *folder)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/point_cloud/iteration_30000", folder);
    return path;
}

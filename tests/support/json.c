#include "json.h"
#include "test.h"

cJSON *test_read_json(const char *path)
{
    size_t size;
    char *text = test_read_file(path, &size);
    cJSON *doc = cJSON_ParseWithLength(text, size);
    free(text);
    assert_non_null(doc);
    return doc;
}

/* JSON files that fovea wrote. */
#ifndef TEST_JSON_H
#define TEST_JSON_H

#include <cjson/cJSON.h>

cJSON *test_read_json(const char *path);

#endif

/* Amounts and JSON as text (text.h). */
#include "app/text.h"
#include "vk/base/err.h"
#include "vk/base/file.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void bytes_text(char out[32], uint64_t bytes)
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB"};
    double v = (double)bytes;
    int u = 0;
    for (; v >= 999.5 && u < 4; u++)
        v /= 1000;
    snprintf(out, 32, u && v < 99.95 ? "%.1f %s" : "%.0f %s", v, units[u]);
}

void count_text(char out[32], uint64_t count)
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%llu", (unsigned long long)count), at = 0;
    for (int i = 0; i < n; i++) {
        out[at++] = digits[i];
        if ((n - 1 - i) % 3 == 0 && i + 1 < n)
            out[at++] = ',';
    }
    out[at] = 0;
}

void print_cjson(struct cJSON *doc)
{
    char *text = cJSON_Print(doc);
    if (text)
        puts(text);
    free(text);
    cJSON_Delete(doc);
}

int write_cjson(struct cJSON *doc, const char *path)
{
    struct fv_writer w;
    char *text = cJSON_Print(doc);
    cJSON_Delete(doc);
    if (!text)
        return fv_fail(FV_ENOMEM, "out of memory");
    int rc = fv_writer_open(&w, path);
    if (rc == 0) {
        fv_write(&w, text, strlen(text));
        fv_write(&w, "\n", 1);
        rc = fv_writer_commit(&w);
    }
    free(text);
    return rc;
}

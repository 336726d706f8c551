/* Amounts and JSON as text (text.h). */
#include "app/text.h"

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

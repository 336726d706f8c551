/* See command_line.h. */
#include "app/command_line.h"
#include "vk/base/err.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

void command_line_word(FILE *out, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=.,/:%@";
    if (*word && strspn(word, plain) == strlen(word)) {
        fprintf(out, " %s", word);
        return;
    }
    fputs(" '", out);
    for (; *word; word++)
        if (*word == '\'')
            fputs("'\\''", out);
        else
            fputc(*word, out);
    fputc('\'', out);
}

int command_line_options(FILE *out, const struct opt *opts, const void *values)
{
    char *text = opt_to_json(opts, values);
    cJSON *doc = text ? cJSON_Parse(text) : NULL;
    const cJSON *o;
    free(text);
    if (!doc)
        return fv_fail(FV_ENOMEM, "out of memory");
    cJSON_ArrayForEach(o, doc)
    {
        char *value = cJSON_IsString(o) ? strdup(o->valuestring) : cJSON_IsTrue(o) ? NULL : cJSON_PrintUnformatted(o);
        fprintf(out, " --%s", o->string);
        if (value)
            command_line_word(out, value);
        free(value);
    }
    cJSON_Delete(doc);
    return 0;
}

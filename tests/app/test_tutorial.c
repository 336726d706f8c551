/* Runs the tutorial, all commands of it, in order, as a reader would: in a folder of their own, with the
 * program by its name. Windows are drawn without a screen, as pictures. */
#include "support/test.h"

#include <sys/wait.h>
#include <unistd.h>

/* The blocks between ```sh and ```, one behind the other, each command line told before it runs. */
static char *commands_of(const char *page, size_t *blocks)
{
    size_t size;
    char *text = test_read_file(page, &size), *out = calloc(1, size + 4096), *to = out;
    char *all = calloc(1, size + 1), *save = NULL;
    bool inside = false;
    assert_non_null(out);
    assert_non_null(all);
    memcpy(all, text, size);
    *blocks = 0;
    for (char *l = strtok_r(all, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
        bool fence = !strncmp(l, "```", 3);
        *blocks += fence && !inside;
        if (fence && !inside && strcmp(l, "```sh"))
            fail_msg("%s: \"%s\": blocks are of sh, that they are run", page, l);
        inside = fence ? !inside : inside;
        if (inside && !fence)
            to += sprintf(to, "%s\n", l);
    }
    assert_false(inside);
    free(text);
    free(all);
    return out;
}

/* What is installed in a system of a reader lies in the source tree here. */
static char *replaced(const char *text, const char *what, const char *with)
{
    size_t count = 0;
    for (const char *p = text; (p = strstr(p, what)); p++)
        count++;
    char *out = calloc(1, strlen(text) + count * strlen(with) + 1), *to = out;
    assert_non_null(out);
    for (const char *p; (p = strstr(text, what)); text = p + strlen(what))
        to += sprintf(to, "%.*s%s", (int)(p - text), text, with);
    strcpy(to, text);
    return out;
}

static void every_command_runs(void **state)
{
    (void)state;
    size_t blocks;
    char *written = commands_of(test_source("docs/tutorial/README.md"), &blocks), script[600], line[2048];
    char *text = replaced(written, "/usr/share/fovea", test_source("assets"));
    assert_true(blocks >= 10);
    snprintf(script, sizeof script, "%s", test_tmp_path("tutorial.sh"));
    FILE *f = fopen(script, "w");
    assert_non_null(f);
    fprintf(f, "set -euo pipefail\ncd '%s'\n"
               "fovea() {\n    if [ \"$1\" = view ]; then\n"
               "        command fovea \"$@\" --headless --screenshot view.png --size 320x180\n"
               "    else\n        command fovea \"$@\"\n    fi\n}\n"
               "PS4='+ '\nset -x\n%s", test_tmp(), text);
    fclose(f);
    snprintf(line, sizeof line, "PATH=\"$(dirname '%s'):$PATH\" bash '%s' 2>&1", FOVEA_BINARY, script);
    char *out;
    int status = test_shell(&out, line);
    size_t n = strlen(out);
    if (status)
        fail_msg("status %d; the end of what was printed:\n%s", status, n > 3000 ? out + n - 3000 : out);
    static const char *const said[] = {"973", "seed 1", "bits a weight", "index.html"}; /* what it promises */
    for (size_t i = 0; i < sizeof said / sizeof *said; i++)
        if (!strstr(out, said[i]))
            fail_msg("\"%s\" is nowhere in what was printed", said[i]);
    free(out);
    free(text);
    free(written);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_command_runs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

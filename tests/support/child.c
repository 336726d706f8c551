/* Processes to interrupt (child.h). */
#include "support/child.h"
#include "support/test.h"

#include <cjson/cJSON.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

struct test_child test_child_start(char *const *argv)
{
    int ends[2];
    struct test_child c = {.signal = SIGINT};
    posix_spawn_file_actions_t actions;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
    assert_int_equal(posix_spawn(&c.pid, FOVEA_BINARY, &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    c.err = fdopen(ends[0], "r");
    return c;
}

int test_interrupt_after(struct test_child *c, const char *first, const char *what, double done, char *last,
                         size_t size)
{
    char line[1024];
    int status;
    bool sent = false, passed = !first;
    last[0] = 0;
    while (fgets(line, sizeof line, c->err)) {
        double now = 0;
        cJSON *doc = line[0] == '{' ? cJSON_Parse(line) : NULL;
        if (doc) {
            const char *at = cJSON_GetObjectItem(doc, "what")->valuestring;
            passed = passed || !strcmp(at, first);
            if (passed && !strcmp(at, what))
                now = cJSON_GetObjectItem(doc, "done")->valuedouble;
            assert_non_null(cJSON_GetObjectItem(doc, "fps"));
            assert_non_null(cJSON_GetObjectItem(doc, "eta"));
        } else {
            snprintf(last, size, "%s", line);
        }
        cJSON_Delete(doc);
        if (now >= done && !sent) {
            kill(c->pid, c->signal);
            sent = true;
        }
    }
    fclose(c->err);
    assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int test_interrupt(struct test_child *c, const char *what, double done, char *last, size_t size)
{
    return test_interrupt_after(c, NULL, what, done, last, size);
}

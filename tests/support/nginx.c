/* nginx for tests (nginx.h). */
#include "support/nginx.h"
#include "support/test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int loopback(int port, bool connects)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connects ? connect(fd, (struct sockaddr *)&a, sizeof a) : bind(fd, (struct sockaddr *)&a, sizeof a)) {
        close(fd);
        return -1;
    }
    return fd;
}

int test_free_port(void)
{
    struct sockaddr_in a;
    socklen_t size = sizeof a;
    int fd = loopback(0, false);
    assert_true(fd >= 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
    close(fd);
    return ntohs(a.sin_port);
}

static void make_certificate(const struct test_nginx *n)
{
    char command[1024];
    snprintf(command, sizeof command,
             "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost "
             "-addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout %s/key.pem "
             "-out %s/root.pem 2>/dev/null",
             n->root, n->root);
    assert_int_equal(system(command), 0);
}

static void write_config(const struct test_nginx *n, const char *path)
{
    const char *base = test_tmp();
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f,
            "daemon off; master_process off; pid %s/nginx.pid; error_log %s/error.log;\n%s"
            "events { worker_connections 64; }\nhttp {\n access_log off; lingering_close off;\n",
            base, base, geteuid() == 0 ? "user root;\n" : "");
    static const char *const temps[] = {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"};
    for (int k = 0; k < 5; k++)
        fprintf(f, " %s_temp_path %s/temp%d;\n", temps[k], base, k);
    fprintf(f, " server {\n  listen 127.0.0.1:%d%s; root %s;\n", n->port, n->https ? " ssl" : "", n->root);
    if (n->https)
        fprintf(f, "  ssl_certificate %s/root.pem; ssl_certificate_key %s/key.pem;\n", n->root, n->root);
    for (const char *c = n->locations ? n->locations : ""; *c; c++)
        if (c[0] == '%' && c[1] == 's')
            fputs(n->root, f), c++;
        else
            fputc(*c, f);
    fprintf(f, "\n }\n}\n");
    fclose(f);
}

/* What a test that failed has left: it would hold the pipe its output goes into. */
static pid_t left;

static void stop_left(void)
{
    if (left > 0)
        kill(left, SIGKILL);
}

void test_nginx_start(struct test_nginx *n)
{
    char config[256], prefix[256];
    snprintf(config, sizeof config, "%s", test_tmp_path("nginx.conf"));
    snprintf(prefix, sizeof prefix, "%s", test_tmp());
    if (!n->port) {
        n->port = test_free_port();
        snprintf(n->root, sizeof n->root, "%s", test_tmp_path("www"));
        mkdir(n->root, 0755);
        if (n->https)
            make_certificate(n);
        setenv("no_proxy", "127.0.0.1,localhost", 1);
    }
    write_config(n, config);
    char *argv[] = {"nginx", "-c", config, "-p", prefix, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 2, test_tmp_path("nginx.log"),
                                     O_WRONLY | O_CREAT | O_TRUNC, 0644);
    /* Debian keeps it where users do not look */
    if (posix_spawn(&n->pid, "/usr/sbin/nginx", &actions, NULL, argv, environ) &&
        posix_spawnp(&n->pid, "nginx", &actions, NULL, argv, environ))
        fail_msg("there is no nginx: scripts/setup installs it");
    posix_spawn_file_actions_destroy(&actions);
    if (!left)
        atexit(stop_left);
    left = n->pid;
    for (int k = 0;; k++) {
        int fd = loopback(n->port, true), status;
        if (fd >= 0) {
            close(fd);
            return;
        }
        if (k > 500 || waitpid(n->pid, &status, WNOHANG) == n->pid) {
            size_t size;
            char *log = test_read_file(test_tmp_path("nginx.log"), &size);
            fail_msg("nginx does not answer: %.*s", (int)size, log);
        }
        usleep(20000);
    }
}

void test_nginx_stop(struct test_nginx *n, bool at_once)
{
    int status;
    if (n->pid <= 0)
        return;
    kill(n->pid, at_once ? SIGKILL : SIGTERM);
    waitpid(n->pid, &status, 0);
    n->pid = 0;
    left = -1;
}

const char *test_nginx_url(const struct test_nginx *n, const char *path)
{
    static char text[4][512];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(text[turn], sizeof text[turn], "%s://127.0.0.1:%d/%s", n->https ? "https" : "http", n->port,
             path);
    return text[turn];
}

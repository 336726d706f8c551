/* A real nginx on a free port of the loopback, with a configuration and a folder of its own.
 *
 *     struct test_nginx n = {.locations = "location /slow/ { alias %s/; limit_rate 20k; }"};
 *     test_nginx_start(&n);
 *     ... test_nginx_url(&n, "a.fvv") ...
 *     test_nginx_stop(&n);
 */
#ifndef TEST_NGINX_H
#define TEST_NGINX_H

#include <stdbool.h>
#include <sys/types.h>

struct test_nginx {
    const char *locations; /* configuration within the server; each %s becomes the folder served */
    bool https;            /* with a certificate made for it: root.pem in the folder */
    int port;              /* 0: a free one is found; kept when started again */
    pid_t pid;
    char root[256]; /* the folder that is served */
};
/* Starts it and waits until it answers. Fails the test if there is none. */
void test_nginx_start(struct test_nginx *n);
/* Ends it; at once: connections break off. */
void test_nginx_stop(struct test_nginx *n, bool at_once);
/* Static storage, four in turn. */
const char *test_nginx_url(const struct test_nginx *n, const char *path);
/* A port of the loopback nobody listens on. */
int test_free_port(void);

#endif

/* A way to a server on the loopback that fails, or is slow, as it is told.
 *
 *     struct test_proxy p = {.to = server.port, .pass = 20000, .then = PROXY_DROP, .times = 5};
 *     test_proxy_start(&p);          // p.port
 *     ...
 *     test_proxy_stop(&p);
 */
#ifndef TEST_PROXY_H
#define TEST_PROXY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

struct test_proxy {
    int to;
    size_t pass;                              /* bytes of answers a connection lets pass, */
    enum { PROXY_DROP, PROXY_STALL } then;    /* before it breaks off or hangs */
    double rate;                              /* bytes a second of an answer; 0: as they come */
    int times;                                /* connections that do; the others are good */
    int port;
    atomic_int connections; /* so far */
    atomic_bool stop;
    int listener;
    pthread_t thread;
};
void test_proxy_start(struct test_proxy *p);
void test_proxy_stop(struct test_proxy *p);

#endif

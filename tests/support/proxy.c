/* A proxy that fails (proxy.h); one connection after the other. */
#include "support/proxy.h"
#include "support/nginx.h"
#include "support/test.h"

#include "vk/base/thread.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in address(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* Moves what there is from one end to the other, at most `most` bytes; false at its end. */
static bool move(int from, int to, size_t *most)
{
    char data[4096];
    ssize_t n = recv(from, data, *most < sizeof data ? *most : sizeof data, 0);
    for (ssize_t k = 0, m; k < n; k += m)
        if ((m = send(to, data + k, (size_t)(n - k), MSG_NOSIGNAL)) <= 0)
            return false;
    *most -= n > 0 ? (size_t)n : 0;
    return n > 0;
}

static void serve(struct test_proxy *p, int client, int server)
{
    bool bad = atomic_fetch_add(&p->connections, 1) < p->times;
    size_t left = bad ? p->pass : SIZE_MAX, all = SIZE_MAX;
    double due = 0; /* when the next bytes may pass */
    while (!atomic_load(&p->stop)) {
        double now = fv_now();
        bool may = left && now >= due;
        struct pollfd f[2] = {{client, POLLIN, 0}, {may ? server : -1, POLLIN, 0}};
        if (bad && !left && p->then == PROXY_DROP)
            return;
        poll(f, 2, may || !left ? 50 : 1 + (int)(1000 * (due - now)));
        if (f[0].revents && !move(client, server, &all))
            return;
        size_t before = left;
        if (may && f[1].revents && !move(server, client, &left))
            return;
        if (p->rate > 0)
            due = fmax(due, now) + (double)(before - left) / p->rate;
    }
}

static void *run(void *ud)
{
    struct test_proxy *p = ud;
    while (!atomic_load(&p->stop)) {
        struct pollfd f = {p->listener, POLLIN, 0};
        if (poll(&f, 1, 50) <= 0)
            continue;
        int client = accept(p->listener, NULL, NULL), server = socket(AF_INET, SOCK_STREAM, 0);
        struct sockaddr_in a = address(p->to);
        if (connect(server, (struct sockaddr *)&a, sizeof a) == 0)
            serve(p, client, server);
        close(client);
        close(server);
    }
    return NULL;
}

void test_proxy_start(struct test_proxy *p)
{
    struct sockaddr_in a = address(p->port = test_free_port());
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(p->listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(p->listener, 8), 0);
    assert_int_equal(pthread_create(&p->thread, NULL, run, p), 0);
}

void test_proxy_stop(struct test_proxy *p)
{
    atomic_store(&p->stop, true);
    pthread_join(p->thread, NULL);
    close(p->listener);
}

/* Streams from a real web server: as good as from the disk, whatever the server and the way there do. */
#include "support/nginx.h"
#include "support/proxy.h"
#include "support/scene.h"
#include "support/stream.h"

#include "app/stream_in.h"
#include "vk/base/file.h"
#include "vk/base/thread.h"

#include <unistd.h>

enum { FRAMES = 24, GROUP = 6 };

static struct test_nginx server = {
    .locations = "location /slow/ { alias %s/; limit_rate 100k; }\n"
                 "location /whole/ { alias %s/; max_ranges 0; }\n"
                 "location /slowwhole/ { alias %s/; max_ranges 0; limit_rate 100k; }\n"
                 "location /plain/ { alias %s/; etag off; if_modified_since off; add_header "
                 "Last-Modified \"\"; }\n"
                 "location = /redirect.fvv { return 302 /a.fvv; }\n"
                 "location = /round.fvv { return 302 /round.fvv; }\n"
                 "location = /file.fvv { return 302 file:///etc/passwd; }\n"
                 "location = /broken.fvv { return 503; }\n"
                 "location = /secret.fvv { return 403; }\n"};
static struct gs_scene frames[FRAMES];
static char local[300];

static int set_up(void **state)
{
    (void)state;
    struct gs_stream *s;
    struct gs_scene scene = {0};
    char name[300];
    test_nginx_start(&server);
    snprintf(local, sizeof local, "%s/a.fvv", server.root);
    test_stream_write(local, &(struct test_stream){2500, FRAMES, GROUP, 12, 1, 7});
    assert_ok(gs_stream_open(&s, local));
    assert_int_equal(gs_stream_info(s)->frame_count, FRAMES);
    snprintf(name, sizeof name, "%s/big.fvv", server.root);
    test_stream_write(name, &(struct test_stream){20000, 2, GROUP, 0, 1, 8});
    for (uint32_t f = 0; f < FRAMES; f++) {
        assert_ok(gs_stream_decode(s, f, 3, &scene));
        test_scene_copy(&frames[f], &scene);
    }
    gs_scene_finish(&scene);
    gs_stream_close(&s);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_nginx_stop(&server, false);
    for (int f = 0; f < FRAMES; f++)
        gs_scene_finish(&frames[f]);
    return 0;
}

/* Every frame in its order, then some others: the same as from the disk. */
static void plays(struct stream_in *in)
{
    struct gs_scene scene = {0};
    uint64_t seed = 5;
    assert_ok(stream_in_whole(in));
    assert_int_equal(in->info->frame_count, FRAMES);
    for (int k = 0; k < FRAMES + 8; k++) {
        uint32_t f = k < FRAMES ? (uint32_t)k : test_rand(&seed) % FRAMES;
        stream_in_want(in, f, 10, false);
        assert_ok(stream_in_decode(in, f, &scene));
        if (!test_scene_equal(&scene, &frames[f]))
            fail_msg("frame %u is not that of the file", f);
    }
    gs_scene_finish(&scene);
}

static void plays_as_from_the_disk(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        bool ranges;
    } cases[] = {{"a.fvv", true}, {"whole/a.fvv", false}, {"redirect.fvv", true}, {"plain/a.fvv", true}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct stream_in in;
        struct http_stats s;
        assert_ok(stream_in_open(&in, test_nginx_url(&server, cases[k].path), &(struct scene_opts){.sh = 3}));
        plays(&in);
        assert_true(stream_in_stats(&in, &s));
        assert_int_equal(s.ranges, cases[k].ranges);
        assert_int_equal(s.size, in.info->bytes);
        assert_int_equal(s.retries, 0);
        assert_true(s.received >= s.size && s.received < s.size + 70000);
        assert_true(in.info->complete);
        stream_in_finish(&in);
    }
}

static void what_cannot_be_had(void **state)
{
    (void)state;
    char dead[64];
    snprintf(dead, sizeof dead, "http://127.0.0.1:%d/a.fvv", test_free_port());
    test_write_file(strcat(strcpy((char[300]){0}, server.root), "/text.fvv"), "hello, world, hello", 19);
    test_write_file(strcat(strcpy((char[300]){0}, server.root), "/empty.fvv"), "", 0);
    const struct {
        const char *url, *part;
        int code;
    } cases[] = {
        {"none.fvv", "404: there is no such file", FV_EIO},
        {"secret.fvv", "403", FV_EIO},
        {"broken.fvv", "503; tried 3 times", FV_EIO},
        {"text.fvv", "text.fvv: not a stream", FV_EFORMAT},
        {"empty.fvv", "empty.fvv: not a stream", FV_EFORMAT},
        {"round.fvv", "redirects", FV_EIO},
        {"file.fvv", "file", FV_EIO},
        {dead, "onnect", FV_EIO},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct stream_in in;
        const char *url = http_is_url(cases[k].url) ? cases[k].url : test_nginx_url(&server, cases[k].url);
        int rc = stream_in_open(&in, url, &(struct scene_opts){.sh = 3});
        if (rc != cases[k].code || !strstr(fv_error(), cases[k].part))
            fail_msg("%s: %d %s", cases[k].url, rc, rc < 0 ? fv_error() : "");
    }
}

/* ---- trouble on the way ---- */

/* What a test lets happen while a stream plays. */
struct trouble {
    const char *path; /* or a URL */
    struct http_opts o;
    int expect;       /* the code it ends with, */
    const char *part; /* its text, */
    uint32_t frames;  /* and how many frames there are; 0: all */
    void (*at)(uint32_t frame); /* before each frame is asked for */
};

/* Plays through with the http source itself, so that its times can be set; two frames ahead. */
static void plays_through(const struct trouble *t, struct http_stats *stats)
{
    struct http_source *http;
    struct gs_stream *s = NULL;
    struct gs_scene scene = {0};
    int rc;
    uint32_t f = 0;
    double start = fv_now();
    const char *url = http_is_url(t->path) ? t->path : test_nginx_url(&server, t->path);
    assert_ok(http_source_open(&http, url, &t->o));
    struct gs_source source = http_source_as(http);
    while ((rc = gs_stream_open_source(&s, &source, t->path)) == FV_EAGAIN)
        http_source_wait(http, 0.2);
    while (rc == 0) {
        if (f >= gs_stream_info(s)->frame_count) {
            rc = gs_stream_more(s);
            if (rc == 0)
                break;
            rc = rc > 0 ? 0 : rc;
        } else {
            if (t->at)
                t->at(f);
            gs_stream_want(s, f, 2, 3, false);
            rc = gs_stream_decode(s, f, 3, &scene);
            if (rc == 0 && !test_scene_equal(&scene, &frames[f]))
                fail_msg("%s: frame %u is not that of the file", t->path, f);
            f += rc == 0;
        }
        if (rc == FV_EAGAIN) {
            if (fv_now() - start > 60)
                fail_msg("%s: stuck at frame %u: %s", t->path, f, fv_error());
            http_source_wait(http, 0.2);
            rc = 0;
        }
    }
    http_source_stats(http, stats);
    if (rc != t->expect || (t->part && !strstr(fv_error(), t->part)))
        fail_msg("%s: ended at frame %u with %d \"%s\"", t->path, f, rc, rc < 0 ? fv_error() : "");
    if (rc == 0)
        assert_int_equal(f, t->frames ? t->frames : FRAMES);
    gs_stream_close(&s);
    http_source_close(&http);
    gs_scene_finish(&scene);
}

static const char *through(const struct test_proxy *p, const char *path)
{
    static char url[256];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/%s", p->port, path);
    return url;
}

static void throttled(void **state)
{
    (void)state;
    struct http_stats s;
    struct test_proxy p = {.to = server.port, .rate = 120e3};
    plays_through(&(struct trouble){.path = "slow/a.fvv"}, &s);
    test_proxy_start(&p);
    plays_through(&(struct trouble){.path = through(&p, "a.fvv")}, &s);
    test_proxy_stop(&p);
    if (s.bandwidth < 60e3 || s.bandwidth > 180e3)
        fail_msg("%.0f bytes a second were measured, of 120000", s.bandwidth);
    plays_through(&(struct trouble){.path = "slowwhole/a.fvv"}, &s);
    assert_false(s.ranges);
    assert_true(s.received >= s.size);
}

/* Every connection breaks off in the middle of a frame; nothing is loaded twice. */
static void dropped(void **state)
{
    (void)state;
    struct test_proxy p = {.to = server.port, .pass = 9000, .then = PROXY_DROP, .times = 1000};
    struct http_stats s;
    const struct http_opts quick = {.retry_seconds = 0.01, .retries = 3};
    test_proxy_start(&p);
    plays_through(&(struct trouble){.path = through(&p, "a.fvv"), .o = quick}, &s);
    test_proxy_stop(&p);
    assert_true(s.retries > s.size / 9000 - 3);
    assert_true(s.received < s.size + 20000);
    /* a server without ranges starts from the beginning: not for ever */
    p = (struct test_proxy){.to = server.port, .pass = 60000, .then = PROXY_DROP, .times = 1000};
    test_proxy_start(&p);
    plays_through(&(struct trouble){.path = through(&p, "whole/a.fvv"), .o = quick, .expect = FV_EIO, .part = "tried 4 times"}, &s);
    test_proxy_stop(&p);
    p = (struct test_proxy){.to = server.port, .pass = 60000, .then = PROXY_DROP, .times = 2};
    test_proxy_start(&p);
    plays_through(&(struct trouble){.path = through(&p, "whole/a.fvv"), .o = quick}, &s);
    test_proxy_stop(&p);
    assert_int_equal(s.retries, 2);
}

static void stalled(void **state)
{
    (void)state;
    struct test_proxy p = {.to = server.port, .pass = 15000, .then = PROXY_STALL, .times = 2};
    struct http_stats s;
    struct http_opts o = {.retry_seconds = 0.01, .retries = 2, .stall_seconds = 0.3,
                          .connect_seconds = 0.3};
    test_proxy_start(&p);
    plays_through(&(struct trouble){.path = through(&p, "a.fvv"), .o = o}, &s);
    test_proxy_stop(&p);
    assert_in_range(s.retries, 1, 2);
    assert_true(p.connections > 2);
    /* not one byte, ever */
    p = (struct test_proxy){.to = server.port, .pass = 0, .then = PROXY_STALL, .times = 1000};
    test_proxy_start(&p);
    plays_through(&(struct trouble){.path = through(&p, "a.fvv"), .o = o, .expect = FV_EIO, .part = "no byte came for 0.3 s"}, &s);
    test_proxy_stop(&p);
}

static void *start_later(void *ud)
{
    usleep(600000);
    test_nginx_start(ud);
    return NULL;
}

static pthread_t starter;

static void restart_at_6(uint32_t frame)
{
    static bool done;
    if (frame != 6 || done)
        return;
    done = true;
    test_nginx_stop(&server, true);
    assert_int_equal(pthread_create(&starter, NULL, start_later, &server), 0);
}

static void restarted(void **state)
{
    (void)state;
    struct http_stats s;
    const struct http_opts o = {.retry_seconds = 0.1, .retries = 8};
    plays_through(&(struct trouble){"a.fvv", o, .at = restart_at_6}, &s);
    pthread_join(starter, NULL);
    assert_true(s.retries > 0);
}

/* ---- files that are not what they were ---- */

static const char *served(const char *name)
{
    static char path[2][400];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", server.root, name);
    return path[turn];
}

static void truncated(void **state)
{
    (void)state;
    size_t size;
    struct http_stats s;
    struct gs_stream *whole;
    uint8_t *bytes = test_read_file(local, &size);
    assert_ok(gs_stream_open(&whole, local));
    const struct gs_stream_frame *f = gs_stream_info(whole)->frame;
    test_write_file(served("cut.fvv"), bytes, (size_t)f[17].offset + 100);
    plays_through(&(struct trouble){.path = "cut.fvv", .frames = 17}, &s);
    plays_through(&(struct trouble){.path = "whole/cut.fvv", .frames = 17}, &s);
    gs_stream_close(&whole);
    free(bytes);
}

static void replace_at_6(uint32_t frame)
{
    if (frame == 6) {
        test_stream_write(served("new.fvv"), &(struct test_stream){2500, FRAMES, GROUP, 12, 1, 99});
        assert_int_equal(rename(served("new.fvv"), served("b.fvv")), 0);
    }
}

static void put_original(const char *name)
{
    size_t size;
    uint8_t *bytes = test_read_file(local, &size);
    test_write_file(served("copy"), bytes, size);
    assert_int_equal(rename(served("copy"), served(name)), 0);
    free(bytes);
}

static void changed(void **state)
{
    (void)state;
    struct http_stats s;
    static const char *const paths[] = {"b.fvv", "plain/b.fvv"};
    for (int k = 0; k < 2; k++) {
        put_original("b.fvv");
        plays_through(&(struct trouble){.path = paths[k], .expect = FV_EIO, .part = "b.fvv: the file has "
                                                                                   "changed",
                                        .at = replace_at_6},
                      &s);
        assert_int_equal(s.state, HTTP_CHANGED);
    }
}

static void opened_anew_after_a_change(void **state)
{
    (void)state;
    struct stream_in in;
    struct gs_scene scene = {0}, new = {0};
    struct gs_stream *disk;
    put_original("b.fvv");
    assert_ok(stream_in_open(&in, test_nginx_url(&server, "b.fvv"), &(struct scene_opts){.sh = 3}));
    stream_in_want(&in, 0, 1, false);
    assert_ok(stream_in_decode(&in, 0, &scene));
    assert_true(test_scene_equal(&scene, &frames[0]));
    replace_at_6(6);
    assert_fails(stream_in_decode(&in, 20, &scene), FV_EIO, "changed");
    assert_true(stream_in_changed(&in));
    assert_ok(stream_in_reopen(&in));
    assert_false(stream_in_changed(&in));
    assert_ok(stream_in_decode(&in, 20, &scene));
    assert_ok(gs_stream_open(&disk, served("b.fvv")));
    assert_ok(gs_stream_decode(disk, 20, 3, &new));
    assert_true(test_scene_equal(&scene, &new));
    gs_stream_close(&disk);
    stream_in_finish(&in);
    gs_scene_finish(&scene);
    gs_scene_finish(&new);
}

/* In the middle of an answer that is no longer wanted: nothing of it is told from then on. */
static void begun_anew_in_the_middle(void **state)
{
    (void)state;
    struct test_proxy p = {.to = server.port, .pass = 20000, .then = PROXY_STALL, .times = 1};
    struct http_source *http;
    struct gs_source_info info;
    struct http_stats s;
    uint8_t head[64];
    size_t got, size;
    test_proxy_start(&p);
    assert_ok(http_source_open(&http, through(&p, "a.fvv"), &(struct http_opts){.stall_seconds = 30}));
    struct gs_source source = http_source_as(http);
    while (source.info(source.ud, &info) == FV_EAGAIN)
        http_source_wait(http, 0.2);
    http_source_restart(http);
    assert_fails(source.info(source.ud, &info), FV_EAGAIN, "not arrived");
    assert_fails(source.read(source.ud, 0, head, sizeof head, &got), FV_EAGAIN, "not arrived");
    http_source_stats(http, &s);
    assert_int_equal(s.state, HTTP_CONNECTING);
    assert_int_equal(s.size, 0);
    while (source.read(source.ud, 0, head, sizeof head, &got) == FV_EAGAIN)
        http_source_wait(http, 0.2);
    uint8_t *file = test_read_file(local, &size);
    assert_memory_equal(head, file, sizeof head);
    assert_ok(source.info(source.ud, &info));
    assert_int_equal(info.size, size);
    free(file);
    http_source_close(&http);
    test_proxy_stop(&p);
}

/* Appends the rest of the stream bit by bit. */
struct writer {
    uint8_t *bytes;
    size_t from, to;
};

static void *append(void *ud)
{
    struct writer *w = ud;
    FILE *f = fopen(served("live.fvv"), "ab");
    for (size_t n; w->from < w->to; w->from += n) {
        n = w->to - w->from < 5000 ? w->to - w->from : 5000;
        fwrite(w->bytes + w->from, 1, n, f);
        fflush(f);
        usleep(15000);
    }
    fclose(f);
    return NULL;
}

static void growing(void **state)
{
    (void)state;
    size_t size;
    struct gs_stream *whole;
    struct http_stats s;
    uint8_t *bytes = test_read_file(local, &size);
    assert_ok(gs_stream_open(&whole, local));
    const struct gs_stream_frame *f = gs_stream_info(whole)->frame;
    /* up to the index; and by a writer that stops in frame 20 */
    for (int k = 0; k < 2; k++) {
        struct writer w = {bytes, (size_t)f[2].offset + 50, k ? (size_t)f[20].offset + 9 : size};
        pthread_t thread;
        test_write_file(served("live.fvv"), bytes, w.from);
        assert_int_equal(pthread_create(&thread, NULL, append, &w), 0);
        double start = fv_now();
        plays_through(&(struct trouble){.path = "live.fvv", .o = {.live = 1.2}, .frames = k ? 20 : 0}, &s);
        assert_true(k == 0 || fv_now() - start > 1.2);
        pthread_join(thread, NULL);
        assert_int_equal(s.size, w.to);
    }
    gs_stream_close(&whole);
    free(bytes);
}

/* ---- what is loaded ---- */

static void bands_that_are_not_wanted_stay_there(void **state)
{
    (void)state;
    uint64_t received[2], band = 0;
    for (int sh = 0; sh < 2; sh++) {
        struct stream_in in;
        struct http_stats s;
        assert_ok(stream_in_open(&in, test_nginx_url(&server, "slow/big.fvv"), &(struct scene_opts){.sh = sh}));
        band = in.info->frame[0].part[1] + in.info->frame[1].part[1];
        assert_true(in.info->frame[0].part[1] > 24000);
        for (uint32_t f = 0; f < in.info->frame_count; f++) {
            stream_in_want(&in, f, 9, false);
            assert_ok(stream_in_decode(&in, f, &in.scene));
            assert_int_equal(in.scene.sh_degree, sh);
        }
        assert_true(stream_in_stats(&in, &s));
        received[sh] = s.received;
        stream_in_finish(&in);
    }
    if (received[0] + 65536 > received[1] || received[1] - received[0] > band)
        fail_msg("%llu bytes without the band, %llu with it", (unsigned long long)received[0],
                 (unsigned long long)received[1]);
}

static void memory_is_bounded(void **state)
{
    (void)state;
    struct http_stats s;
    static const char *const paths[] = {"a.fvv", "whole/a.fvv"};
    for (int k = 0; k < 2; k++) {
        plays_through(&(struct trouble){.path = paths[k], .o = {.room = 128 << 10}}, &s);
        assert_true(s.size > 256 << 10 && s.kept <= 128 << 10);
    }
}

static void certificates_are_checked(void **state)
{
    (void)state;
    struct test_nginx safe = {.https = true};
    struct stream_in in;
    char root[300], to[300];
    if (system("openssl version >/dev/null 2>&1"))
        fail_msg("there is no openssl: scripts/setup installs it");
    test_nginx_stop(&server, false); /* it has the names of the files */
    test_nginx_start(&safe);
    snprintf(root, sizeof root, "%s/root.pem", safe.root);
    snprintf(to, sizeof to, "%s", test_nginx_url(&safe, "a.fvv"));
    assert_fails(stream_in_open(&in, to, &(struct scene_opts){.sh = 3}), FV_EIO, "certificate");
    setenv("SSL_CERT_FILE", root, 1);
    assert_ok(stream_in_open(&in, to, &(struct scene_opts){.sh = 3}));
    plays(&in);
    stream_in_finish(&in);
    unsetenv("SSL_CERT_FILE");
    test_nginx_stop(&safe, false);
    test_nginx_start(&server);
}

static void passwords_are_not_told(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"http://host/a.fvv", "http://host/a.fvv"},
        {"https://me:secret@host:8080/a/b.fvv?token=1#x", "https://host:8080/a/b.fvv"},
        {"HTTP://u:p@ss@host", "http://host"},
        {"https://host/a@b.fvv", "https://host/a@b.fvv"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        char text[256];
        assert_true(http_is_url(cases[k][0]));
        http_url_text(text, sizeof text, cases[k][0]);
        assert_string_equal(text, cases[k][1]);
    }
    assert_false(http_is_url("ftp://host/a.fvv"));
    assert_false(http_is_url("http.fvv"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plays_as_from_the_disk),
        cmocka_unit_test(what_cannot_be_had),
        cmocka_unit_test(passwords_are_not_told),
        cmocka_unit_test(throttled),
        cmocka_unit_test(dropped),
        cmocka_unit_test(stalled),
        cmocka_unit_test(restarted),
        cmocka_unit_test(truncated),
        cmocka_unit_test(changed),
        cmocka_unit_test(opened_anew_after_a_change),
        cmocka_unit_test(begun_anew_in_the_middle),
        cmocka_unit_test(growing),
        cmocka_unit_test(bands_that_are_not_wanted_stay_there),
        cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(certificates_are_checked),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

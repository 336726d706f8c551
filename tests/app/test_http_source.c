/* Streams from a real web server: as good as from the disk, whatever the server and the way there do. */
#include "support/nginx.h"
#include "support/stream.h"
#include "support/test.h"

#include "app/stream_in.h"
#include "vk/base/file.h"
#include "vk/base/thread.h"

#include <unistd.h>

enum { FRAMES = 24, GROUP = 6 };

static struct test_nginx server = {
    .locations = "location /slow/ { alias %s/; limit_rate 60k; }\n"
                 "location /whole/ { alias %s/; max_ranges 0; }\n"
                 "location /slowwhole/ { alias %s/; max_ranges 0; limit_rate 100k; }\n"
                 "location /plain/ { alias %s/; etag off; if_modified_since off; add_header "
                 "Last-Modified \"\"; }\n"
                 "location /moved/ { return 302 /$request_uri/../a.fvv; }\n"
                 "location = /redirect.fvv { return 302 /a.fvv; }\n"
                 "location = /round.fvv { return 302 /round.fvv; }\n"
                 "location = /file.fvv { return 302 file:///etc/passwd; }\n"
                 "location = /broken.fvv { return 503; }\n"
                 "location = /secret.fvv { return 403; }\n"};
static struct gs_scene frames[FRAMES];
static char local[300];

static void copy(struct gs_scene *to, const struct gs_scene *from)
{
    size_t n = from->count, sh = n * 3 * (size_t)gs_sh_coefs(from->sh_degree);
    assert_ok(gs_scene_alloc(to, n, from->sh_degree));
    memcpy(to->position, from->position, n * 12);
    memcpy(to->scale, from->scale, n * 12);
    memcpy(to->rotation, from->rotation, n * 16);
    memcpy(to->opacity, from->opacity, n * 4);
    memcpy(to->sh, from->sh, sh * 4);
}

static bool same(const struct gs_scene *a, const struct gs_scene *b)
{
    size_t n = a->count, sh = n * 3 * (size_t)gs_sh_coefs(a->sh_degree);
    return n == b->count && a->sh_degree == b->sh_degree &&
           !memcmp(a->position, b->position, n * 12) && !memcmp(a->scale, b->scale, n * 12) &&
           !memcmp(a->rotation, b->rotation, n * 16) && !memcmp(a->opacity, b->opacity, n * 4) &&
           !memcmp(a->sh, b->sh, sh * 4);
}

static int set_up(void **state)
{
    (void)state;
    struct gs_stream *s;
    struct gs_scene scene = {0};
    test_nginx_start(&server);
    snprintf(local, sizeof local, "%s/a.fvv", server.root);
    test_stream_write(local, &(struct test_stream){2500, FRAMES, GROUP, 12, 1, 7});
    assert_ok(gs_stream_open(&s, local));
    assert_int_equal(gs_stream_info(s)->frame_count, FRAMES);
    for (uint32_t f = 0; f < FRAMES; f++) {
        assert_ok(gs_stream_decode(s, f, 3, &scene));
        copy(&frames[f], &scene);
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
        if (!same(&scene, &frames[f]))
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
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

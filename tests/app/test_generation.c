/* What the viewer's Generate panel stands on: settings of clips, estimates, the queue; through the real binary
 * and the bundled model, at a few steps. */
#include "app/estimate.h"
#include "app/queue.h"
#include "support/test.h"
#include "vk/base/file.h"
#include "vk/base/thread.h"

#include <unistd.h>

static struct generation a_clip(const char *prompt)
{
    struct generation g;
    generation_defaults(&g);
    snprintf(g.prompt, sizeof g.prompt, "%s", prompt);
    snprintf(g.frames, sizeof g.frames, "5");
    snprintf(g.model, sizeof g.model, "%s", test_source("assets/models/demo"));
    g.steps = 2;
    g.seed = 7;
    return g;
}

/* --- settings --- */

static void a_line_has_what_was_chosen_and_no_more(void **state)
{
    (void)state;
    struct generation g;
    static struct process_line line;
    char all[4096] = "";
    generation_defaults(&g);
    strcpy(g.prompt, "--help; a \"ball\"");
    g.leap = LEAP_FIXED;
    g.leap_from = 9;
    g.memory = 800000000;
    generation_line(&g, &line, &(struct generation_files){.output = "o.mp4"});
    for (size_t i = 0; i < line.count; i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), "[%s]", line.items[i]);
    assert_string_equal(all, "[generate][--progress=json][--output=o.mp4][--leap=fixed][--leap-from=9]"
                             "[--memory=800000000][--][--help; a \"ball\"]");
}

static void names_are_words_of_the_prompt(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"A red  ball, rolls!", "a-red-ball-rolls"},
        {"../../etc/passwd", "etc-passwd"},
        {"  \xc3\xa9t\xc3\xa9 ", "t"},
        {"", "clip"},
        {"0123456789 0123456789 0123456789 0123456789 x", "0123456789-0123456789-0123456789-0123456"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct generation g = {.steps = 0};
        char name[64];
        strcpy(g.prompt, rows[i][0]);
        generation_name(&g, name, sizeof name);
        assert_string_equal(name, rows[i][1]);
    }
}

static void kept_settings_come_back_and_damage_does_not(void **state)
{
    (void)state;
    struct generation a = a_clip("a ball"), b;
    a.merge_steps = 3;
    a.guidance = 2.5;
    a.leap = LEAP_ROWS;
    strcpy(a.negative, "rain");
    char *text = generation_write(&a);
    assert_non_null(text);
    generation_defaults(&b);
    generation_read(&b, text);
    free(text);
    assert_string_equal(b.prompt, a.prompt);
    assert_string_equal(b.negative, "rain");
    assert_string_equal(b.frames, "5");
    assert_true(b.seed == 7 && b.steps == 2 && b.merge_steps == 3 && b.guidance == 2.5 && b.leap == LEAP_ROWS);
    generation_read(&b, "{\"steps\":\"many\",\"seed\":-9,\"guidance\":1e9,\"prompt\":4,\"leap\":\"far\",\"fps\":\"30000/1001\"}");
    assert_true(b.steps == 2 && b.seed == 7 && b.guidance == 2.5 && b.leap == LEAP_ROWS);
    assert_near(b.fps, 29.97, 0.01);
    assert_string_equal(b.prompt, "a ball");
    generation_read(&b, "nothing");
}

/* --- estimates --- */

static void ask(struct estimator *e, const struct generation *g, struct estimate *out)
{
    estimate_ask(e, g);
    for (double until = fv_now() + 60; !estimate_poll(e, out); usleep(5000))
        assert_true(fv_now() < until);
}

static void switches_change_what_is_estimated(void **state)
{
    (void)state;
    struct estimator *e;
    static struct estimate now, other;
    assert_ok(estimate_start(&e, &(struct estimate_opts){.budget = UINT64_C(4000000000)}));
    struct generation g = a_clip("a ball");
    g.steps = 12;
    g.leap = LEAP_NEVER;
    g.merge_steps = 0;
    ask(e, &g, &now);
    assert_string_equal(now.error, "");
    assert_string_equal(now.name, "fovea demo");
    assert_true(now.frames == 5 && now.steps == 12 && now.now.known && now.now.evaluations == 12);
    assert_true(now.without[SWITCH_MERGE].sampling_flops < now.now.sampling_flops);
    assert_true(now.without[SWITCH_LEAP].sampling_flops < 0.7 * now.now.sampling_flops);
    g.merge_steps = 6; /* the switch turned over is what was foretold */
    ask(e, &g, &other);
    assert_true(other.now.sampling_flops == now.without[SWITCH_MERGE].sampling_flops);
    assert_true(other.without[SWITCH_MERGE].sampling_flops == now.now.sampling_flops);
    g.leap = LEAP_WHOLE;
    g.merge_steps = 0;
    ask(e, &g, &other);
    assert_true(other.leaps && other.now.sampling_flops == now.without[SWITCH_LEAP].sampling_flops);

    strcpy(g.size, "7x9");
    ask(e, &g, &other);
    assert_true(other.error[0] != 0);
    strcpy(g.size, "");
    g.memory = 1000000; /* too little */
    ask(e, &g, &other);
    assert_non_null(strstr(other.error, "memory"));
    strcpy(g.model, "/nonexistent");
    ask(e, &g, &other);
    assert_non_null(strstr(other.error, "/nonexistent"));
    for (int i = 0; i < 20; i++) /* it is left in the middle of much to do */
        estimate_ask(e, &g);
    estimate_stop(&e);
    assert_null(e);
}

/* --- the queue --- */

static size_t wait_for(struct queue *q)
{
    size_t ended;
    for (double until = fv_now() + 240; !queue_poll(q, &ended); usleep(10000))
        if (fv_now() > until)
            fail_msg("no clip was made in four minutes");
    return ended;
}

static void clips_are_made_in_order_and_can_be_read_back(void **state)
{
    (void)state;
    struct queue *q;
    char folder[256];
    snprintf(folder, sizeof folder, "%s", test_tmp_path("clips/here"));
    assert_ok(queue_create(&q, &(struct queue_opts){.program = FOVEA_BINARY, .device = getenv("FOVEA_DEVICE")}));
    struct generation g = a_clip("a red ball"), back;
    assert_ok(queue_add(q, &g, folder));
    g.seed = 8;
    assert_ok(queue_add(q, &g, folder));
    g.seed = -1;
    assert_ok(queue_add(q, &g, folder));
    assert_true(q->items[2]->g.seed >= 0); /* settled now, so that it is told */
    assert_string_not_equal(q->items[0]->output, q->items[1]->output);
    queue_move(q, 1, -1); /* the second first */
    assert_true(q->items[0]->g.seed == 8);
    queue_remove(q, 2);
    assert_int_equal(queue_waiting(q), 2);
    assert_int_equal(wait_for(q), 0);
    if (q->items[0]->state != QUEUE_DONE)
        fail_msg("%s", q->items[0]->error);
    assert_true(q->sampling_speed > 0 && q->decode_speed > 0);
    assert_ok(generation_of_video(&back, q->items[0]->output));
    assert_string_equal(back.prompt, "a red ball");
    assert_true(back.seed == 8 && back.steps == 2);
    assert_string_equal(back.frames, "5");
    queue_remove(q, 0);

    queue_remove(q, 0); /* before it has begun it just goes */
    assert_int_equal(q->count, 0);
    g = a_clip("a blue box");
    g.steps = 1000; /* long enough to be cancelled */
    assert_ok(queue_add(q, &g, folder));
    size_t ended;
    assert_false(queue_poll(q, &ended));
    assert_int_equal(queue_running(q), 0);
    while (strcmp(q->work, "sampling"))
        assert_false((usleep(5000), queue_poll(q, &ended)));
    queue_remove(q, 0);
    assert_int_equal(wait_for(q), 0);
    assert_int_equal(q->items[0]->state, QUEUE_CANCELLED);
    assert_false(fv_exists(q->items[0]->output));
    queue_destroy(&q);
    assert_null(q);
}

static void what_cannot_be_made_is_told(void **state)
{
    (void)state;
    struct queue *q;
    struct generation g = a_clip(" ");
    assert_ok(queue_create(&q, &(struct queue_opts){.program = FOVEA_BINARY}));
    assert_fails(queue_add(q, &g, test_tmp()), FV_EINVALID, "prompt");
    g = a_clip("a ball");
    assert_fails(queue_add(q, &g, "/proc/none"), FV_EIO, "/proc/none");
    assert_fails(queue_add(q, &g, ""), FV_EINVALID, "folder");
    strcpy(g.model, "/nonexistent");
    assert_ok(queue_add(q, &g, test_tmp()));
    assert_int_equal(wait_for(q), 0);
    assert_int_equal(q->items[0]->state, QUEUE_FAILED);
    assert_non_null(strstr(q->items[0]->error, "/nonexistent"));
    queue_remove(q, 0);
    g = a_clip("a ball");
    for (int i = 0; i < QUEUE_MOST; i++)
        assert_ok(queue_add(q, &g, test_tmp()));
    assert_fails(queue_add(q, &g, test_tmp()), FV_EINVALID, "64");
    queue_destroy(&q);
    assert_fails(generation_of_video(&g, test_source("README.md")), FV_EFORMAT, "README.md");
}

int main(void)
{
    test_device(); /* skips when there is none */
    test_device_done();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_what_was_chosen_and_no_more),
        cmocka_unit_test(names_are_words_of_the_prompt),
        cmocka_unit_test(kept_settings_come_back_and_damage_does_not),
        cmocka_unit_test(switches_change_what_is_estimated),
        cmocka_unit_test(clips_are_made_in_order_and_can_be_read_back),
        cmocka_unit_test(what_cannot_be_made_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Job files: lines to jobs by the commands' tables, what is told of wrong ones, what the same job is. */
#include "support/test.h"
#include "app/batch_jobs.h"
#include "app/batch_stage.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static struct batch_jobs jobs;

/* In a folder of its own, with a.ply, b.ply and shots/ in it. */
static int prepare(void **state)
{
    (void)state;
    if (chdir(test_tmp()) || mkdir("shots", 0777))
        return -1;
    test_write_file("a.ply", "a", 1);
    test_write_file("b.ply", "b", 1);
    test_write_file("style.safetensors", "s", 1);
    return 0;
}

static void parse(const char *text, bool csv)
{
    batch_jobs_finish(&jobs);
    assert_ok(batch_jobs_parse(&jobs, text, strlen(text), csv ? "j.csv" : "j.jsonl", csv));
}

static const char *errors(void)
{
    static char all[8192];
    all[0] = 0;
    for (size_t i = 0; i < jobs.error_count; i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s\n", jobs.errors[i]);
    return all;
}

static const char *command_line(size_t job)
{
    static char text[1024];
    assert_true(job < jobs.count);
    if (!jobs.items[job].cmd)
        fail_msg("%s", errors());
    char *line = batch_command_line(&jobs.items[job]);
    snprintf(text, sizeof text, "%s", line);
    free(line);
    return text;
}

/* The command that a line stands for. */
static void lines_become_commands(void **state)
{
    (void)state;
    static const struct {
        const char *line, *command;
    } rows[] = {
        {"{\"command\":\"render\",\"scene\":\"a.ply\",\"output\":\"a.mp4\",\"size\":\"640x360\",\"frames\":60}",
         "fovea render --output a.mp4 --size 640x360 --frames 60 a.ply"},
        {"  {\"output\":\"a.mp4\",\"scene\":\"a.ply\",\"command\":\"render\",\"frames\":\"60\",\"bg\":[1,0.5,0]} \r",
         "fovea render --output a.mp4 --frames 60 --bg 1,0.5,0 a.ply"},
        {"{\"command\":\"convert\",\"in\":[\"a.ply\",\"b.ply\"],\"output\":\"c.spz\",\"min-opacity\":0.5}",
         "fovea convert --output c.spz --min-opacity 0.5 a.ply b.ply"},
        {"{\"command\":\"convert\",\"in\":\"a.ply\",\"output\":\"c.spz\",\"frame\":null,\"timeout\":5,\"retries\":0}",
         "fovea convert --output c.spz a.ply"},
        {"{\"command\":\"generate\",\"prompt\":\"it's \\\"red\\\"\",\"output\":\"a.mp4\",\"seed\":3,\"replace\":null}", NULL},
        {"{\"command\":\"generate\",\"prompt\":\"it's red\",\"output\":\"a.mp4\",\"seed\":3,\"joint-guidance\":true}",
         "fovea generate --output a.mp4 --seed 3 --joint-guidance 'it'\\''s red'"},
        {"{\"command\":\"generate\",\"prompt\":\"-x\",\"output\":\"a.mp4\",\"dry-run\":false}",
         "fovea generate --output a.mp4 -- -x"},
        {"{\"command\":\"compare\",\"b\":\"b.ply\",\"a\":\"a.ply\",\"device\":\"cpu\"}", "fovea compare --device cpu a.ply b.ply"},
        {"{\"command\":\"vae\",\"action\":\"info\",\"model\":\"a.ply\"}", "fovea vae --model a.ply info"},
        {"{\"command\":\"devices\"}", "fovea devices"},
        {"{\"command\":\"info\",\"file\":[\"a.ply\"]}", "fovea info a.ply"},
        {"{\"command\":\"render\",\"scene\":\"https://host/a.fvv\",\"output\":\"shots/\"}",
         "fovea render --output shots/ https://host/a.fvv"},
        {"{\"command\":\"generate\",\"prompt\":\"a\",\"output\":\"a.mp4\",\"lora\":\"style.safetensors:0.5;a.ply\"}",
         "fovea generate --output a.mp4 --lora 'style.safetensors:0.5;a.ply' a"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        parse(rows[i].line, false);
        assert_int_equal(jobs.count, 1);
        if (rows[i].command)
            assert_string_equal(command_line(0), rows[i].command);
        else
            assert_non_null(strstr(errors(), "no field \"replace\""));
    }
    assert_int_equal(jobs.items[0].read_count, 2); /* of the last: both files, without the scale */
    assert_string_equal(jobs.items[0].reads[0].path, "style.safetensors");
}

static void csv_becomes_the_same_jobs(void **state)
{
    (void)state;
    parse("\xef\xbb\xbf"
          "command,in,in,output,lite,name\r\n"
          "convert,a.ply,b.ply,\"c,1.spz\",,\r\n"
          "\r\n"
          "convert,a.ply,,d.spz,false,\"say \"\"hi\"\"\nto me\"\n"
          "convert,b.ply,,e.safetensors,yes,",
          true);
    assert_string_equal(command_line(0), "fovea convert --output c,1.spz a.ply b.ply");
    assert_string_equal(command_line(1), "fovea convert --output d.spz a.ply");
    assert_string_equal(jobs.items[1].name, "say \"hi\"\nto me");
    assert_string_equal(command_line(2), "fovea convert --output e.safetensors --lite b.ply");
    assert_int_equal(jobs.items[0].line, 2);
    assert_int_equal(jobs.items[1].line, 4);
    assert_int_equal(jobs.items[2].line, 6);
    uint64_t hash = jobs.items[1].hash;
    parse("{\"command\":\"convert\",\"output\":\"d.spz\",\"in\":\"a.ply\"}", false);
    assert_true(jobs.items[0].hash == hash);
}

static void wrong_lines_are_told_with_place_and_cure(void **state)
{
    (void)state;
    static const struct {
        const char *lines, *part;
    } rows[] = {
        {"{\"command\":\"rendr\"}", "j.jsonl: line 1: command: no \"rendr\"; did you mean \"render\"?"},
        {"{\"command\":\"zzzzzzz\"}", "fovea --help lists them"},
        {"{\"command\":5}", "command: expected text"},
        {"{\"scene\":\"a.ply\"}", "needs a \"command\""},
        {"{\"command\":\"view\",\"scene\":\"a.ply\"}", "view is no job"},
        {"{\"command\":\"batch\",\"file\":\"a.ply\"}", "batch is no job"},
        {"[1]", "line 1: is no object"},
        {"\n\nnonsense", "line 3: not valid JSON"},
        {"{\"command\":\"render\",\"sceen\":\"a.ply\",\"output\":\"a.mp4\"}", "no field \"sceen\" of render; did you mean \"scene\"?"},
        {"{\"command\":\"render\",\"scene\":\"a.ply\",\"output\":\"a.mp4\",\"siz\":\"1x1\"}", "did you mean \"size\"?"},
        {"{\"command\":\"render\",\"scene\":\"a.ply\",\"output\":\"a.mp4\",\"retrys\":1}", "did you mean \"retries\"?"},
        {"{\"command\":\"render\",\"scene\":\"a.ply\",\"output\":\"a.mp4\",\"qqqqqqqq\":1}", "fovea help render lists"},
        {"{\"command\":\"render\",\"scene\":\"a.ply\",\"output\":\"a.mp4\",\"size\":\"640\"}", "line 1: size: --size: \"640\" is not a size"},
        {"{\"command\":\"render\",\"scene\":\"a.ply\",\"output\":\"a.mp4\",\"exact\":1}", "exact: expected true or false"},
        {"{\"command\":\"render\",\"scene\":\"a.ply\",\"output\":\"a.mp4\",\"frames\":1,\"frames\":2}", "frames: is given twice"},
        {"{\"command\":\"render\",\"scene\":[\"a.ply\"],\"output\":\"a.mp4\"}", "scene: expected text"},
        {"{\"command\":\"convert\",\"in\":[1],\"output\":\"c.spz\"}", "in: expected text or a list"},
        {"{\"command\":\"compare\",\"b\":\"b.ply\"}", "needs a \"a\""},
        {"{\"command\":\"render\",\"output\":\"a.mp4\"}", "needs a \"scene\": a scene file"},
        {"{\"command\":\"render\",\"scene\":\"a.ply\"}", "needs an \"output\""},
        {"{\"command\":\"render\",\"scene\":\"a.ply\",\"output\":\"-\"}", "not to standard output"},
        {"{\"command\":\"render\",\"scene\":\"a.ply\",\"output\":\"\"}", "output: the name is empty"},
        {"{\"command\":\"render\",\"scene\":\"a.ply\",\"output\":\"no/a.mp4\"}", "mkdir -p"},
        {"{\"command\":\"render\",\"scene\":\"no.ply\",\"output\":\"a.mp4\"}", "scene: no.ply: no such file"},
        {"{\"command\":\"generate\",\"prompt\":\"a\",\"output\":\"a.mp4\",\"model\":\"no\"}", "model: no: no such file"},
        {"{\"command\":\"generate\",\"prompt\":\"a\",\"output\":\"a.mp4\",\"lora\":\"a.ply;no.x:2\"}", "lora: no.x: no such file"},
        {"{\"command\":\"render\",\"scene\":\"a.ply\",\"output\":\"a.mp4\",\"timeout\":\"soon\"}", "timeout: expected seconds"},
        {"{\"command\":\"render\",\"scene\":\"a.ply\",\"output\":\"a.mp4\",\"retries\":1.5}", "retries: expected a whole number"},
        {"{\"command\":\"render\",\"scene\":\"a.ply\",\"output\":\"a.mp4\",\"name\":1}", "name: expected text"},
        {"{\"command\":\"render\",\"scene\":\"a.ply\",\"output\":\"a.mp4\",\"help\":true}", "nothing for a job"},
        {"{\"command\":\"convert\",\"in\":\"a.ply\",\"output\":\"./a.ply\"}", "output: a.ply is read, too"},
        {"{\"command\":\"encode\",\"frame\":\"a.ply\",\"output\":\"x.fvv\",\"report\":\"x.fvv\"}", "is named twice"},
        {"{\"command\":\"render\",\"scene\":\"a.ply\",\"output\":\"x.mp4\"}\n"
         "{\"command\":\"render\",\"scene\":\"b.ply\",\"output\":\"shots/../x.mp4\"}\n"
         "{\"command\":\"render\",\"scene\":\"b.ply\",\"output\":\".//x.mp4\"}", "line 3: output: .//x.mp4 is written by line 1, too"},
        {"{\"command\":\"convert\",\"in\":\"x.ply\",\"output\":\"y.ply\"}\n"
         "{\"command\":\"convert\",\"in\":\"a.ply\",\"output\":\"x.ply\"}", "line 1: in: x.ply is written by line 2, which comes later"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        parse(rows[i].lines, false);
        if (!strstr(errors(), rows[i].part))
            fail_msg("%s: \"%s\", expected \"%s\"", rows[i].lines, errors(), rows[i].part);
        assert_true(jobs.bad >= 1);
    }
    /* every wrong field of a line, and every wrong line */
    parse("{\"command\":\"render\",\"scene\":\"a.ply\",\"output\":\"a.mp4\",\"size\":1,\"frames\":\"x\"}\n{}\n"
          "{\"command\":\"info\",\"file\":\"a.ply\"}", false);
    assert_int_equal(jobs.error_count, 3);
    assert_int_equal(jobs.bad, 2);
}

static void files_that_are_no_job_files_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
        bool csv;
    } rows[] = {{"", "no job in it", false},
                {"\n \n", "no job in it", false},
                {"scene,output\na.ply,b.mp4\n", "its first line names the columns", true},
                {"command,file\n", "no job in it", true},
                {"", "its first line names the columns", true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        batch_jobs_finish(&jobs);
        assert_fails(batch_jobs_parse(&jobs, rows[i].text, strlen(rows[i].text), "j", rows[i].csv), FV_EFORMAT,
                     rows[i].part);
    }
    batch_jobs_finish(&jobs);
    assert_fails(batch_jobs_parse(&jobs, "{\0}", 3, "j", false), FV_EFORMAT, "is no text");
    parse("command,file\ninfo,\"a.ply\ninfo,b.ply\n", true);
    assert_non_null(strstr(errors(), "a quoted cell does not end"));
    parse("command,file\ninfo,a.ply,b.ply\n", true);
    assert_non_null(strstr(errors(), "has 3 cells, more than the 2 names"));
    batch_jobs_finish(&jobs);
    assert_fails(batch_jobs_open(&jobs, "none.jsonl"), FV_EIO, "none.jsonl");
}

static void results_feed_later_jobs(void **state)
{
    (void)state;
    parse("{\"command\":\"convert\",\"in\":\"a.ply\",\"output\":\"x.spz\"}\n"
          "{\"command\":\"render\",\"scene\":\"b.ply\",\"output\":\"y.mp4\"}\n"
          "{\"command\":\"render\",\"scene\":\"x.spz\",\"output\":\"frames/\"}\n"
          "{\"command\":\"compare\",\"a\":\"frames/frame_0000.png\",\"b\":\"./frames/frame_0001.png\"}\n"
          "{\"command\":\"info\",\"file\":[\"y.mp4\",\"x.spz\"]}\n"
          "{\"command\":\"info\",\"file\":\"b.ply\"}", false);
    assert_string_equal(errors(), "");
    assert_int_equal(jobs.items[2].need_count, 1);
    assert_int_equal(jobs.items[2].needs[0], 0);
    assert_int_equal(jobs.items[3].need_count, 1);
    assert_int_equal(jobs.items[3].needs[0], 2);
    assert_int_equal(jobs.items[4].need_count, 2);
    /* what hangs together is one part, whose jobs one shard runs */
    for (int i = 1; i < 5; i++)
        assert_true(jobs.items[i].part == jobs.items[0].part);
    assert_true(jobs.items[5].part != jobs.items[0].part);
}

/* The settings alone decide, however they are written; and the files, as they are now. */
static void a_job_is_the_same_as_long_as_its_settings_are(void **state)
{
    (void)state;
    static const char *const same[] = {
        "{\"command\":\"render\",\"scene\":\"a.ply\",\"output\":\"a.mp4\",\"size\":\"64x64\"}",
        "{\"size\":\"64x64\", \"output\":\"a.mp4\",\"scene\":\"a.ply\",\"command\":\"render\",\"name\":\"x\",\"timeout\":9}",
        "{\"command\":\"render\",\"scene\":\"a.ply\",\"output\":\"a.mp4\",\"size\":\"64x64\",\"supersample\":1}"};
    static const char *const others[] = {
        "{\"command\":\"render\",\"scene\":\"a.ply\",\"output\":\"a.mp4\",\"size\":\"64x65\"}",
        "{\"command\":\"render\",\"scene\":\"b.ply\",\"output\":\"a.mp4\",\"size\":\"64x64\"}",
        "{\"command\":\"render\",\"scene\":\"a.ply\",\"output\":\"b.mp4\",\"size\":\"64x64\"}",
        "{\"command\":\"render\",\"scene\":\"a.ply\",\"output\":\"a.mp4\",\"size\":\"64x64\",\"device\":\"cpu\"}"};
    parse(same[0], false);
    uint64_t hash = jobs.items[0].hash, inputs = batch_inputs_hash(&jobs.items[0]);
    for (int i = 1; i < 3; i++) {
        parse(same[i], false);
        assert_true(jobs.items[0].hash == hash);
    }
    for (int i = 0; i < 4; i++) {
        parse(others[i], false);
        assert_false(jobs.items[0].hash == hash);
    }
    parse("{\"command\":\"info\",\"file\":\"a.ply\"}\n{\"command\":\"info\",\"file\":\"a.ply\"}\n"
          "{\"command\":\"info\",\"file\":\"a.ply\"}", false);
    assert_true(jobs.items[0].hash != jobs.items[1].hash && jobs.items[1].hash != jobs.items[2].hash);
    parse(same[0], false);
    assert_true(batch_inputs_hash(&jobs.items[0]) == inputs);
    const struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    assert_int_equal(utimensat(AT_FDCWD, "a.ply", times, 0), 0);
    assert_false(batch_inputs_hash(&jobs.items[0]) == inputs);
    /* of a folder: what is in it */
    parse("{\"command\":\"encode\",\"frame\":\"shots\",\"output\":\"a.fvv\"}", false);
    inputs = batch_inputs_hash(&jobs.items[0]);
    test_write_file("shots/1.ply", "1", 1);
    assert_false(batch_inputs_hash(&jobs.items[0]) == inputs);
}

/* Names in job files are those of the tables, so none may mean two things. */
static void arguments_have_names_of_their_own(void **state)
{
    (void)state;
    for (const struct cmd *const *c = app_commands; *c; c++) {
        size_t n = 0;
        for (const struct cmd_arg *a = (*c)->args; a && a->name; a++, n++) {
            if (opt_find((*c)->opts, a->name) || opt_find(app_global_opts, a->name) || !strcmp(a->name, "command") ||
                !strcmp(a->name, "name") || !strcmp(a->name, "timeout") || !strcmp(a->name, "retries"))
                fail_msg("%s: %s is an argument and an option", (*c)->name, a->name);
            assert_true(!a->many || !a[1].name);
        }
        if ((*c)->most_args && !n)
            fail_msg("%s: its arguments have no names", (*c)->name);
        assert_true(n >= (*c)->least_args || (*c)->args[n - 1].many);
        for (const struct opt *o = (*c)->opts; o->type; o++)
            if (o->type != OPT_GROUP && !(*c)->alone && (!strcmp(o->name, "name") || !strcmp(o->name, "timeout") ||
                                                         !strcmp(o->name, "retries") || !strcmp(o->name, "command")))
                fail_msg("%s: --%s means something else in a job file", (*c)->name, o->name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_become_commands),
        cmocka_unit_test(csv_becomes_the_same_jobs),
        cmocka_unit_test(wrong_lines_are_told_with_place_and_cure),
        cmocka_unit_test(files_that_are_no_job_files_are_refused),
        cmocka_unit_test(results_feed_later_jobs),
        cmocka_unit_test(a_job_is_the_same_as_long_as_its_settings_are),
        cmocka_unit_test(arguments_have_names_of_their_own),
    };
    int failed = cmocka_run_group_tests(tests, prepare, NULL);
    batch_jobs_finish(&jobs);
    return failed;
}

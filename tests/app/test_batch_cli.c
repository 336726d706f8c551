/* fovea batch by the real binary: what is made, what is made again, what a failure, a kill and a second batch do.
 *
 * FOVEA_BATCH_JOBS=200 makes the endurance of it: that many mixed jobs, a third of them bad, with the batch or its
 * workers killed at random times (scripts/batch-endurance). */
#include "support/test.h"
#include "support/json.h"
#include "support/scene.h"
#include "support/tiny_model.h"
#include "app/batch_jobs.h"
#include "vk/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static const char *model; /* NULL: none here */
static double rest = 0.3; /* seconds that a thing may take at least, where a test waits for it to be under way */

/* In a folder of its own: a.ply, torn.ply, a model without weights. */
static int prepare(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(300, 1, 5);
    char link[1100];
    model = test_tiny_model();
    if (chdir(test_tmp()) || mkdir("broken", 0777) || symlink("/dev/full", "full.ply"))
        return -1;
    assert_ok(gs_scene_save(&s, "a.ply", NULL));
    gs_scene_finish(&s);
    test_write_file("torn.ply", "ply\nformat binary_little_endian 1.0\nend_header\n", 48);
    snprintf(link, sizeof link, "%s/tokenizer", model ? model : "none");
    (void)!symlink(link, "broken/tokenizer");
    return 0;
}

static void write_jobs(const char *path, const char *text)
{
    test_write_file(path, text, strlen(text));
}

/* Events of a journal: of one kind and job ("" = any). */
static int events(const char *dir, const char *event, const char *job)
{
    char path[256], want[64];
    size_t size;
    int count = 0;
    snprintf(path, sizeof path, "%s/journal.jsonl", dir);
    char *text = test_read_file(path, &size);
    snprintf(want, sizeof want, "{\"event\":\"%s\",\"job\":\"%s", event, job);
    for (const char *at = text; at && *at; at = strchr(at, '\n'), at += at != NULL)
        count += !strncmp(at, want, strlen(want));
    free(text);
    return count;
}

/* Member of the report's job of a line; the caller deletes *doc. */
static const cJSON *reported(cJSON **doc, const char *report, int line, const char *key)
{
    const cJSON *j;
    *doc = test_read_json(report);
    cJSON_ArrayForEach(j, cJSON_GetObjectItem(*doc, "list")) if (cJSON_GetObjectItem(j, "line")->valueint == line)
        return cJSON_GetObjectItem(j, key);
    return NULL;
}

static void assert_reported(const char *report, int line, const char *key, const char *part)
{
    cJSON *doc;
    const char *text = cJSON_GetStringValue(reported(&doc, report, line, key));
    if (!text || !strstr(text, part))
        fail_msg("%s: line %d: %s is %s, expected %s", report, line, key, text ? text : "not there", part);
    cJSON_Delete(doc);
}

/* Files below a folder whose names hold a text. */
static int files_with(const char *dir, const char *part)
{
    DIR *d = opendir(dir);
    int count = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        char *inner = fv_path_join(dir, e->d_name);
        if (strstr(e->d_name, part) && ++count)
            printf("%s\n", inner); /* where it should not be, a test fails by it */
        count += fv_is_dir(inner) ? files_with(inner, part) : 0;
        free(inner);
    }
    if (d)
        closedir(d);
    return count;
}

static void results_are_those_of_the_commands_alone(void **state)
{
    (void)state;
    char *out;
    write_jobs("first.jsonl",
               "{\"command\":\"convert\",\"in\":\"a.ply\",\"output\":\"first.spz\",\"name\":\"smaller\"}\n"
               "{\"command\":\"render\",\"scene\":\"first.spz\",\"output\":\"first.mp4\",\"size\":\"48x32\",\"frames\":3}\n"
               "{\"command\":\"render\",\"scene\":\"a.ply\",\"output\":\"first/\",\"size\":\"16x16\",\"frames\":2}\n"
               "{\"command\":\"info\",\"file\":\"first.mp4\"}\n");
    assert_int_equal(test_fovea(&out, "batch first.jsonl"), 0);
    assert_non_null(strstr(out, "[1/4] smaller: done"));
    assert_non_null(strstr(out, "4 jobs: 4 done, 0 failed"));
    free(out);
    TEST_RUNS("convert a.ply -o alone.spz -q");
    TEST_RUNS("render first.spz -o alone.mp4 --size 48x32 --frames 3 -q");
    assert_true(test_same_files("first.spz", "alone.spz"));
    assert_true(test_same_files("first.mp4", "alone.mp4"));
    assert_true(fv_exists("first/frame_0001.png"));
    assert_int_equal(files_with(".", ".fovea-"), 0);
    /* nor after a kill between a job's being done and the end of its folder */
    cJSON *doc;
    char beside[64];
    snprintf(beside, sizeof beside, ".fovea-%s-output", cJSON_GetStringValue(reported(&doc, "first.batch/report.json", 1, "job")));
    cJSON_Delete(doc);
    assert_int_equal(mkdir(beside, 0777), 0);
    TEST_RUNS("batch first.jsonl -q");
    assert_false(fv_exists(beside));
    /* a log is what the command says alone, with the names it was given */
    size_t size;
    char *log = test_read_file("first.batch/logs/0003.log", &size);
    assert_non_null(strstr(log, "$ fovea render --output first/ --size 16x16 --frames 2 a.ply\nfirst/: 2 pictures"));
    free(log);
    char *sheet = test_read_file("first.batch/index.html", &size);
    assert_non_null(strstr(sheet, "<a href=\"../first.mp4\">first.mp4</a>"));
    int thumbs = 0;
    for (const char *at = sheet; (at = strstr(at, "data:image/jpeg;base64,/9j/")); at++)
        thumbs++;
    assert_int_equal(thumbs, 2); /* of the video, and of the pictures */
    free(sheet);
    assert_reported("first.batch/report.json", 1, "status", "done");
    /* nothing is done twice, but for what has changed: one's settings, one's file */
    TEST_SAYS("4 done (4 of them before)", "batch first.jsonl");
    write_jobs("first.jsonl",
               "{\"command\":\"info\",\"file\":\"first.mp4\",\"timeout\":100}\n"
               "{\"command\":\"convert\",\"output\":\"first.spz\",\"in\":\"a.ply\"}\n"
               "{\"command\":\"render\",\"scene\":\"a.ply\",\"output\":\"first/\",\"size\":\"16x18\",\"frames\":2}\n");
    TEST_SAYS("3 done (2 of them before)", "batch first.jsonl --skip-wrong");
    assert_int_equal(unlink("first.spz"), 0);
    TEST_SAYS("3 done (2 of them before)", "batch first.jsonl");
    const struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    assert_int_equal(utimensat(AT_FDCWD, "a.ply", times, 0), 0);
    TEST_SAYS("3 done (1 of them before)", "batch first.jsonl");
}

static void failures_are_counted_and_told(void **state)
{
    (void)state;
    char *out;
    write_jobs("bad.jsonl", "{\"command\":\"convert\",\"in\":\"torn.ply\",\"output\":\"bad1.spz\"}\n"
                            "{\"command\":\"convert\",\"in\":\"a.ply\",\"output\":\"full.ply\",\"retries\":0}\n"
                            "{\"command\":\"convert\",\"in\":\"bad1.spz\",\"output\":\"bad3.spz\"}\n"
                            "{\"command\":\"convert\",\"in\":\"a.ply\",\"output\":\"bad4.spz\",\"crop\":\"9,9,9,9,9,9\"}\n"
                            "{\"command\":\"convert\",\"in\":\"a.ply\",\"output\":\"bad5.spz\"}\n"
                            "{\"command\":\"convert\",\"in\":\"nowhere.ply\",\"output\":\"bad6.spz\"}\n");
    assert_int_equal(test_fovea(&out, "batch bad.jsonl"), 1);
    assert_non_null(strstr(out, "bad.jsonl: line 6: in: nowhere.ply: no such file, and no earlier line writes it"));
    assert_non_null(strstr(out, "1 of 6 lines are wrong; nothing was started"));
    free(out);
    assert_false(fv_exists("bad.batch"));
    TEST_FAILS(10 + 5, "6 jobs: 1 done, 5 failed", "batch bad.jsonl --skip-wrong");
    static const char *const report = "bad.batch/report.json";
    assert_reported(report, 1, "error", "torn.ply");
    assert_reported(report, 2, "error", "the disk is full");
    assert_reported(report, 3, "error", "not run: line 1 failed");
    assert_reported(report, 4, "error", "no Gaussians are left");
    assert_reported(report, 5, "status", "done");
    assert_reported(report, 6, "status", "wrong");
    assert_int_equal(events("bad.batch", "start", ""), 4); /* no fault of settings is tried again */
    assert_true(fv_exists("bad5.spz") && !fv_exists("bad4.spz"));
    assert_int_equal(files_with(".", ".fovea-"), 0);
    size_t size;
    char *sheet = test_read_file("bad.batch/index.html", &size);
    assert_non_null(strstr(sheet, "<article class=failed>"));
    assert_true(strstr(sheet, "<article class=failed>") < strstr(sheet, "<article class=done>"));
    free(sheet);
    /* failed ones run again, with what has become of their files */
    assert_int_equal(unlink("torn.ply"), 0);
    TEST_RUNS("convert a.ply -o torn.ply -q");
    assert_int_equal(test_fovea(NULL, "batch bad.jsonl --skip-wrong"), 10 + 3);
    assert_true(fv_exists("bad3.spz"));
    test_write_file("torn.ply", "ply\nformat binary_little_endian 1.0\nend_header\n", 48);
}

static void dry_runs_tell_time_memory_and_what_would_fail(void **state)
{
    (void)state;
    char text[4096], *out, what[64], unit[8];
    double seconds = 0;
    int n = snprintf(text, sizeof text,
                     "{\"command\":\"render\",\"scene\":\"a.ply\",\"output\":\"dry.mp4\",\"size\":\"64x64\",\"frames\":3000}\n"
                     "{\"command\":\"convert\",\"in\":\"a.ply\",\"output\":\"dry.spz\"}\n"
                     "{\"command\":\"render\",\"scene\":\"torn.ply\",\"output\":\"dry3.mp4\"}\n");
    if (model)
        snprintf(text + n, sizeof text - (size_t)n,
                 "{\"command\":\"generate\",\"prompt\":\" \",\"output\":\"dry4.mp4\",\"model\":\"%s\"}\n"
                 "{\"command\":\"generate\",\"prompt\":\"a cat\",\"output\":\"dry5.mp4\",\"model\":\"%s\"}\n", model, model);
    write_jobs("dry.jsonl", text);
    assert_int_equal(test_fovea(&out, "batch dry.jsonl --dry-run"), 10 + (model ? 2 : 1));
    const char *line = strstr(out, "render dry.mp4");
    assert_non_null(line);
    assert_int_equal(sscanf(line, "render %60s %lf %7s", what, &seconds, unit), 3);
    assert_true(seconds > 0); /* 3000 frames, of which three are drawn */
    assert_non_null(strstr(out, "convert dry.spz                                    ?"));
    assert_non_null(strstr(out, "would fail: torn.ply"));
    assert_true(!model || strstr(out, "would fail: the prompt is empty"));
    assert_true(!model || !strstr(strstr(out, "generate dry5.mp4"), "?\n"));
    assert_non_null(strstr(out, "1 of which no time is known"));
    free(out);
    assert_false(fv_exists("dry.batch") || fv_exists("dry.mp4") || fv_exists("dry5.mp4"));
}

/* What a job of the same model finds loaded, encoded and on the device. */
static void a_model_is_loaded_once(void **state)
{
    (void)state;
    char text[4096] = "";
    double load[2], encode[2];
    if (!model)
        skip();
    for (int i = 0; i < 3; i++) /* the one in between is of another command */
        snprintf(text + strlen(text), sizeof text - strlen(text),
                 i == 1 ? "{\"command\":\"info\",\"file\":\"a.ply\"}\n"
                        : "{\"command\":\"generate\",\"prompt\":\"cat %d\",\"output\":\"once%d.mp4\",\"seed\":3,"
                          "\"report\":\"once%d.json\",\"model\":\"%s\"}\n", i, i, i, model);
    write_jobs("once.jsonl", text);
    TEST_RUNS("batch once.jsonl -j 1");
    for (int i = 0; i < 2; i++) {
        cJSON *doc = test_read_json(i ? "once2.json" : "once0.json"), *stages = cJSON_GetObjectItem(doc, "stages");
        load[i] = cJSON_GetObjectItem(cJSON_GetObjectItem(stages, "sampling"), "load_seconds")->valuedouble;
        encode[i] = cJSON_GetObjectItem(cJSON_GetObjectItem(stages, "text"), "seconds")->valuedouble;
        cJSON_Delete(doc);
    }
    assert_true(load[0] > 0 && load[1] < load[0] / 10);
    assert_true(encode[0] > 0 && encode[1] == 0); /* with the first one's */
    TEST_RUNS("generate \"cat 2\" -o alone2.mp4 --seed 3 --model %s -q", model);
    assert_true(test_same_files("once2.mp4", "alone2.mp4"));
}

/* A file of the disk's size for those who write it: pictures in the way of a limit. */
static void a_full_disk_fails_one_job(void **state)
{
    (void)state;
    char command[1300];
    write_jobs("disk.jsonl", "{\"command\":\"convert\",\"in\":\"a.ply\",\"output\":\"disk.ply\",\"retries\":0}\n"
                             "{\"command\":\"convert\",\"in\":\"a.ply\",\"output\":\"disk.spz\"}\n");
    /* 12 KiB (ulimit -f counts 1024 bytes) are less than the .ply and more than the .spz and the journal */
    snprintf(command, sizeof command, "bash -c \"ulimit -f 12; '%s' batch disk.jsonl\" 2>&1", FOVEA_BINARY);
    int status = system(command);
    assert_int_equal(WEXITSTATUS(status), 10 + 1);
    assert_false(fv_exists("disk.ply"));
    assert_int_equal(files_with(".", ".fovea-"), 0);
    assert_reported("disk.batch/report.json", 1, "error", "File too large");
    TEST_SAYS("2 done (1 of them before)", "batch disk.jsonl");
}

/* ---- killing ----------------------------------------------------------------------------- */

static pid_t start_batch(const char *const *args)
{
    char *argv[16] = {(char *)(uintptr_t)"fovea", (char *)(uintptr_t)"batch"};
    posix_spawn_file_actions_t actions;
    pid_t pid;
    for (int i = 0; args[i]; i++)
        argv[i + 2] = (char *)(uintptr_t)args[i];
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "out.txt", O_WRONLY | O_CREAT | O_TRUNC, 0666);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    assert_int_equal(posix_spawn(&pid, FOVEA_BINARY, &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

static void nap(double seconds)
{
    struct timespec t = {(time_t)seconds, (long)(fmod(seconds, 1) * 1e9)};
    nanosleep(&t, NULL);
}

/* Its status, or -signal; 0 seconds: waits for ever. 1000: it still runs. */
static int wait_for(pid_t pid, double seconds)
{
    int status;
    for (double spent = 0;; spent += 0.02) {
        pid_t got = waitpid(pid, &status, seconds > 0 ? WNOHANG : 0);
        if (got == pid)
            return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
        if (spent > seconds)
            return 1000;
        nap(0.02);
    }
}

/* A worker of the batch; 0: none. */
static pid_t worker_of(pid_t batch)
{
    char path[64];
    int pid = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)batch, (int)batch);
    FILE *f = fopen(path, "r");
    if (f && fscanf(f, "%d", &pid) != 1)
        pid = 0;
    if (f)
        fclose(f);
    return pid;
}

/* Waits until the journal has so many events of a kind. */
static void wait_for_events(const char *dir, const char *event, int count)
{
    char path[256];
    snprintf(path, sizeof path, "%s/journal.jsonl", dir);
    for (int i = 0; i < 3000; i++, nap(0.02))
        if (fv_exists(path) && events(dir, event, "") >= count)
            return;
    fail_msg("%s: no %d \"%s\" in a minute", dir, count, event);
}

static const char long_job[] =
    "{\"command\":\"render\",\"scene\":\"a.ply\",\"output\":\"%s.png\",\"size\":\"16x16\"}\n"
    "{\"command\":\"render\",\"scene\":\"a.ply\",\"output\":\"%s.mp4\",\"size\":\"64x64\",\"frames\":200000%s}\n";

static void a_worker_that_dies_fails_its_job_alone(void **state)
{
    (void)state;
    char text[512];
    snprintf(text, sizeof text, long_job, "die", "die", ",\"retries\":0");
    write_jobs("die.jsonl", text);
    pid_t pid = start_batch((const char *const[]){"die.jsonl", NULL});
    wait_for_events("die.batch", "start", 2);
    nap(rest);
    pid_t worker = worker_of(pid);
    assert_true(worker > 0);
    kill(worker, SIGKILL);
    assert_int_equal(wait_for(pid, 60), 10 + 1);
    assert_reported("die.batch/report.json", 1, "status", "done");
    assert_reported("die.batch/report.json", 2, "error", "its process was ended by signal 9 (Killed)");
    assert_int_equal(files_with(".", ".fovea-"), 0);
}

static void jobs_out_of_time_are_ended(void **state)
{
    (void)state;
    char text[512];
    snprintf(text, sizeof text, long_job, "late", "late", ",\"timeout\":1.5,\"retries\":1");
    write_jobs("late.jsonl", text);
    assert_int_equal(test_fovea(NULL, "batch late.jsonl --timeout 600"), 10 + 1);
    assert_reported("late.batch/report.json", 2, "error", "took longer than 1.5 s");
    assert_int_equal(events("late.batch", "start", ""), 3);
    assert_false(fv_exists("late.mp4"));
    assert_int_equal(files_with(".", ".fovea-"), 0);
}

static void ctrl_c_ends_tidily_and_a_second_batch_is_refused(void **state)
{
    (void)state;
    char text[512], *out;
    size_t size;
    snprintf(text, sizeof text, long_job, "stop", "stop", "");
    write_jobs("stop.jsonl", text);
    pid_t pid = start_batch((const char *const[]){"stop.jsonl", NULL});
    wait_for_events("stop.batch", "start", 2);
    nap(rest);
    TEST_FAILS(1, "another batch is at work there", "batch stop.jsonl");
    kill(pid, SIGINT);
    assert_int_equal(wait_for(pid, 60), 130);
    out = test_read_file("out.txt", &size);
    assert_non_null(strstr(out, "cancelled; 1 of 2 jobs are done, the same command goes on with the others"));
    free(out);
    assert_int_equal(files_with(".", ".fovea-"), 0);
    assert_reported("stop.batch/report.json", 2, "status", "interrupted");
    /* and a kill releases the folder as soon as its workers are gone */
    pid = start_batch((const char *const[]){"stop.jsonl", NULL});
    wait_for_events("stop.batch", "start", 3);
    kill(pid, SIGKILL);
    wait_for(pid, 0);
    snprintf(text, sizeof text, long_job, "stop", "brief", ",\"timeout\":0.2,\"retries\":0");
    write_jobs("stop.jsonl", text);
    assert_int_equal(test_fovea(NULL, "batch stop.jsonl"), 10 + 1);
    assert_int_equal(files_with(".", ".fovea-"), 0); /* nor is anything left of a job that is gone */
}

static void shards_share_the_jobs_out_and_are_merged(void **state)
{
    (void)state;
    char text[4096] = "";
    for (int i = 0; i < 7; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text),
                 "{\"command\":\"convert\",\"in\":\"%s\",\"output\":\"shard%d.spz\",\"scale\":%d}\n",
                 i == 5 ? "shard3.spz" : i == 6 ? "torn.ply" : "a.ply", i, i + 1);
    write_jobs("shard.jsonl", text);
    TEST_FAILS(2, "--shard: \"4/3\"", "batch shard.jsonl --shard 4/3");
    TEST_FAILS(1, "nothing was run yet", "batch shard.jsonl --merge");
    TEST_RUNS("batch shard.jsonl --shard 1/3"); /* 0, 3, and 5, which reads 3 */
    assert_true(fv_exists("shard0.spz") && fv_exists("shard3.spz") && fv_exists("shard5.spz"));
    assert_false(fv_exists("shard1.spz") || fv_exists("shard2.spz") || fv_exists("shard4.spz"));
    TEST_FAILS(10 + 4, "7 jobs: 3 done, 0 failed, 4 waiting", "batch shard.jsonl --merge");
    TEST_RUNS("batch shard.jsonl --shard 2/3");
    assert_int_equal(test_fovea(NULL, "batch shard.jsonl --shard 3/3"), 10 + 1);
    assert_reported("shard.batch/report-3of3.json", 3, "status", "done");
    TEST_FAILS(10 + 1, "7 jobs: 6 done, 1 failed, 0 waiting", "batch shard.jsonl --merge");
    assert_reported("shard.batch/report.json", 2, "status", "done");
    assert_reported("shard.batch/report.json", 7, "error", "torn.ply");
    assert_true(fv_exists("shard.batch/index.html") && fv_exists("shard.batch/index-1of3.html"));
    /* another number of shards, or none, does nothing again */
    TEST_FAILS(10 + 1, "6 done (6 of them before)", "batch shard.jsonl");
}

/* What Slurm would be given, and what its tasks do; scripts/slurm-test has a real one. */
static void slurm_gets_an_array_and_what_merges_it(void **state)
{
    (void)state;
    static const char sbatch[] = "#!/bin/sh\necho \"$*\" >>sbatch.txt\n[ -e refuse ] && echo 'invalid partition' >&2 && exit 1\n"
                                 "echo warning >&2\necho \"$(wc -l <sbatch.txt)7;cluster\"\n";
    char path[4096], text[1024] = "";
    const char *was = getenv("PATH");
    for (int i = 0; i < 4; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text),
                 "{\"command\":\"convert\",\"in\":\"%s\",\"output\":\"slurm%d.spz\",\"scale\":%d}\n",
                 i == 3 ? "torn.ply" : "a.ply", i, i + 1);
    write_jobs("it's.jsonl", text);
    assert_int_equal(mkdir("bin", 0777), 0);
    test_write_file("bin/sbatch", sbatch, strlen(sbatch));
    chmod("bin/sbatch", 0755);
    snprintf(path, sizeof path, "%s/bin:%s", test_tmp(), was);
    setenv("PATH", path, 1);
    TEST_FAILS(2, "--shards and --slurm-args are of --slurm", "batch \"it's.jsonl\" --shards 2");
    TEST_FAILS(2, "one at a time", "batch \"it's.jsonl\" --slurm --merge");
    TEST_SAYS("4 jobs in 3 shards: Slurm's job 17, merged by 27 into it's.batch/index.html",
              "batch \"it's.jsonl\" --slurm --shards 3 --retries 2 --slurm-args '--partition=x  --time=1'");
    size_t size;
    char *said = test_read_file("sbatch.txt", &size);
    assert_non_null(strstr(said, "--array=1-3 --requeue"));
    assert_non_null(strstr(said, "--output=it's.batch/slurm-%a.out --partition=x --time=1 it's.batch/slurm.sh\n"));
    assert_non_null(strstr(said, "--dependency=afterany:17"));
    assert_non_null(strstr(said, "--partition=x --time=1 it's.batch/slurm-merge.sh\n"));
    free(said);
    for (int i = 1; i <= 3; i++) {
        snprintf(text, sizeof text, "SLURM_ARRAY_TASK_ID=%d sh \"it's.batch/slurm.sh\" >/dev/null", i);
        assert_int_equal(WEXITSTATUS(system(text)), i == 1 ? 10 + 1 : 0);
    }
    assert_int_equal(WEXITSTATUS(system("sh \"it's.batch/slurm-merge.sh\" >/dev/null")), 10 + 1);
    assert_reported("it's.batch/report.json", 2, "status", "done");
    assert_reported("it's.batch/report.json", 4, "error", "torn.ply");
    said = test_read_file("it's.batch/slurm.sh", &size);
    assert_non_null(strstr(said, " --retries 2 --shard \"$SLURM_ARRAY_TASK_ID/3\""));
    free(said);
    test_write_file("refuse", "", 0);
    TEST_FAILS(1, "sbatch refused: invalid partition", "batch \"it's.jsonl\" --slurm");
    setenv("PATH", "/nowhere", 1);
    TEST_FAILS(1, "there is no sbatch here", "batch \"it's.jsonl\" --slurm");
    snprintf(path, sizeof path, "%s", strchr(path, ':') + 1);
    setenv("PATH", path, 1);
}

static void several_clips_go_on_after_a_kill(void **state)
{
    (void)state;
    char *out;
    pid_t pid;
    if (!model)
        skip();
    char *argv[] = {(char *)(uintptr_t)"fovea", (char *)(uintptr_t)"generate", (char *)(uintptr_t)"a cat",
                    (char *)(uintptr_t)"-o", (char *)(uintptr_t)"cats/", (char *)(uintptr_t)"--count",
                    (char *)(uintptr_t)"4", (char *)(uintptr_t)"--model", (char *)(uintptr_t)model, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    assert_int_equal(posix_spawn(&pid, FOVEA_BINARY, &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    wait_for_events(".cats.fovea", "done", 2);
    kill(pid, SIGKILL);
    wait_for(pid, 0);
    struct stat before, after;
    assert_int_equal(stat("cats/clip_0001.mp4", &before), 0);
    assert_int_equal(test_fovea(&out, "generate \"a cat\" -o cats/ --count 4 --model %s", model), 0);
    assert_non_null(strstr(out, "cats/clip_0002.mp4: is there"));
    assert_null(strstr(out, "cats/clip_0004.mp4: is there"));
    free(out);
    assert_int_equal(stat("cats/clip_0001.mp4", &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_int_equal(files_with("cats", "clip_"), 4); /* and nothing torn */
    assert_false(fv_exists(".cats.fovea"));
    /* their seeds follow each other: the one that was drawn is kept */
    char *info;
    long first = 0, last = 0;
    assert_int_equal(test_fovea(&info, "info cats/clip_0001.mp4"), 0);
    sscanf(strstr(info, "\n  seed"), " seed %ld", &first);
    free(info);
    assert_int_equal(test_fovea(&info, "info cats/clip_0004.mp4"), 0);
    sscanf(strstr(info, "\n  seed"), " seed %ld", &last);
    free(info);
    assert_int_equal(last, first + 3);
}

/* Lines of a journal; 0: there is none yet. */
static int lines_of(const char *path)
{
    size_t size = 0;
    int lines = 0;
    char *text = fv_exists(path) ? test_read_file(path, &size) : NULL;
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    free(text);
    return lines;
}

/* Layers that are done lie in the job's folder, which stays: the next run says so, and writes what an unbroken one does. */
static void a_killed_quantize_goes_on(void **state)
{
    (void)state;
    char text[1400], one[64], two[64];
    size_t size;
    glob_t found = {0};
    if (!model)
        skip();
    snprintf(text, sizeof text, "{\"command\":\"quantize\",\"model\":\"%s\",\"output\":\"coded\",\"samples\":1,\"steps\":1,"
                                "\"rows\":64,\"grids\":40,\"keep\":\"temporal\"}\n", model);
    write_jobs("quantize.jsonl", text);
    pid_t pid = start_batch((const char *const[]){"quantize.jsonl", NULL});
    for (int lines = 0, tries = 0; lines < 3; nap(0.005), tries++) {
        assert_true(tries < 6000);
        if (glob(".fovea-*-output/coded/transformer/model.safetensors.journal", 0, NULL, &found))
            continue;
        lines = lines_of(found.gl_pathv[0]);
        globfree(&found);
    }
    pid_t worker = worker_of(pid);
    kill(pid, SIGKILL);
    if (worker)
        kill(worker, SIGKILL);
    assert_int_equal(wait_for(pid, 0), -SIGKILL);
    assert_false(fv_exists("coded"));
    TEST_RUNS("batch quantize.jsonl");
    char *log = test_read_file("quantize.batch/logs/0001.log", &size);
    if (!strstr(log, " were there"))
        fail_msg("%s", log);
    free(log);
    TEST_RUNS("quantize %s -o coded-alone --samples 1 --steps 1 --rows 64 --grids 40 --keep temporal", model);
    for (int i = 0; i < 2; i++) {
        static const char *const files[] = {"transformer/model.safetensors", "generate.json"};
        snprintf(one, sizeof one, "coded/%s", files[i]);
        snprintf(two, sizeof two, "coded-alone/%s", files[i]);
        assert_true(test_same_files(one, two));
    }
    assert_int_equal(files_with("coded", ".journal") + files_with("coded", ".part") + files_with("coded", "calibration"), 0);
    assert_int_equal(files_with(".", ".fovea-"), 0);
}

/* ---- endurance --------------------------------------------------------------------------- */

enum { KINDS = 10 };

/* A job of each kind in turn; false: it is bad. */
static bool mixed_job(int i, char *out, size_t size)
{
    switch (i % KINDS) {
    case 0:
        snprintf(out, size, "\"convert\",\"in\":\"a.ply\",\"output\":\"m%d.spz\",\"scale\":%d", i, i + 1);
        return true;
    case 1:
        snprintf(out, size, "\"render\",\"scene\":\"m%d.spz\",\"output\":\"m%d.png\",\"size\":\"32x24\"", i - 1, i);
        return true;
    case 2:
        snprintf(out, size, "\"convert\",\"in\":\"torn.ply\",\"output\":\"m%d.spz\"", i);
        return false;
    case 3:
        snprintf(out, size, "\"render\",\"scene\":\"a.ply\",\"output\":\"m%d.mp4\",\"size\":\"32x24\",\"frames\":%d", i, 2 + i % 7);
        return true;
    case 4:
        snprintf(out, size, "\"generate\",\"prompt\":\"cat %d\",\"output\":\"m%d.mp4\",\"seed\":%d,\"model\":\"%s\"", i, i, i,
                 model);
        return true;
    case 5:
        snprintf(out, size, "\"generate\",\"prompt\":\"  \",\"output\":\"m%d.mp4\",\"model\":\"%s\"", i, model);
        return false;
    case 6:
        snprintf(out, size, "\"render\",\"scene\":\"a.ply\",\"output\":\"m%d/\",\"size\":\"16x16\",\"frames\":3", i);
        return true;
    case 7:
        if (i >= KINDS) { /* one is enough to write to that disk */
            snprintf(out, size, "\"info\",\"file\":\"m%d.mp4\"", i - 3);
            return true;
        }
        snprintf(out, size, "\"convert\",\"in\":\"a.ply\",\"output\":\"full.ply\",\"scale\":%d,\"retries\":0", i);
        return false;
    case 8:
        snprintf(out, size, "\"generate\",\"prompt\":\"dog %d\",\"output\":\"m%d.mp4\",\"model\":\"broken\",\"retries\":0", i, i);
        return false;
    default:
        snprintf(out, size, "\"convert\",\"in\":[\"a.ply\",\"m%d.spz\"],\"output\":\"m%d.ply\"", i - 9, i);
        return true;
    }
}

static void compare_with_commands_alone(cJSON *report, const bool *good)
{
    const cJSON *j, *r;
    int compared = 0;
    cJSON_ArrayForEach(j, cJSON_GetObjectItem(report, "list"))
    {
        int line = cJSON_GetObjectItem(j, "line")->valueint;
        const char *name = cJSON_GetObjectItem(j, "command_line")->valuestring;
        char command[2048];
        if (!good[line - 1] || strstr(name, "fovea info"))
            continue;
        snprintf(command, sizeof command, "cd alone && '%s' %s -q >/dev/null", FOVEA_BINARY, name + 6);
        if (system(command))
            fail_msg("%s failed alone", name);
        cJSON_ArrayForEach(r, cJSON_GetObjectItem(j, "results"))
        {
            const char *path = cJSON_GetObjectItem(r, "path")->valuestring;
            char twin[1024];
            snprintf(twin, sizeof twin, "alone/%s", path + strlen(test_tmp()) + 1);
            if (!test_same_files(path, twin))
                fail_msg("%s differs from what \"%s\" makes alone", path, name);
            compared++;
        }
    }
    assert_true(compared > 0);
}

/* Until the batch has done some things more, a random number of them, and a random moment on: wherever it is by then,
 * however fast the machine. Its status; 1000: it still runs. */
static int wait_at_random(pid_t pid, uint64_t *seed)
{
    static const char *const journal = "mix.batch/journal.jsonl";
    int until = lines_of(journal) + (int)test_uniform(seed, 0, 9), status = 1000; /* a job writes three */
    while (status == 1000 && lines_of(journal) < until)
        status = wait_for(pid, 0.01);
    return status == 1000 ? wait_for(pid, test_uniform(seed, 0.02, 0.15)) : status;
}

static void survives_kills_at_any_time(void **state)
{
    (void)state;
    const char *jobs_text = getenv("FOVEA_BATCH_JOBS"), *seed_text = getenv("FOVEA_BATCH_SEED");
    int jobs = jobs_text ? atoi(jobs_text) : 20, bad = 0, kills = jobs / 4, done_kills = 0, status = 1000;
    uint64_t seed = seed_text ? strtoull(seed_text, NULL, 10) : (uint64_t)getpid();
    bool *good = calloc((size_t)jobs, sizeof *good);
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!model)
        skip();
    assert_true(f && good);
    for (int i = 0; i < jobs; i++) {
        char job[2048];
        good[i] = mixed_job(i, job, sizeof job);
        bad += !good[i];
        fprintf(f, "{\"command\":%s}\n", job);
    }
    fclose(f);
    write_jobs("mix.jsonl", text);
    printf("%d jobs, %d of them bad, %d kills, seed %llu\n", jobs, bad, kills, (unsigned long long)seed);
    static const char *const args[] = {"mix.jsonl", "--retries", "50", "-j", "2", NULL};
    int counts[3] = {0};
    while (done_kills < kills && status == 1000) {
        pid_t pid = start_batch(args);
        status = wait_at_random(pid, &seed);
        while (status == 1000) {
            int what = (int)(test_uniform(&seed, 0, 6)); /* 0..2: the batch, 3..4: a worker, 5: Ctrl-C */
            pid_t worker = what == 3 || what == 4 ? worker_of(pid) : 0;
            done_kills++;
            counts[what < 3 ? 0 : what < 5 ? 1 : 2]++;
            if (worker)
                kill(worker, SIGKILL);
            if (what < 3 || what == 5) {
                kill(pid, what < 3 ? SIGKILL : SIGINT);
                int end = wait_for(pid, 0);
                bool killed = end == (what < 3 ? -SIGKILL : 130);
                bool too_early = what == 5 && end == -SIGINT; /* main() was not reached yet */
                bool too_late = end == 10 + bad;
                if (!killed && !too_early && !too_late)
                    fail_msg("killed by %s, the batch ended with %d", what < 3 ? "SIGKILL" : "SIGINT", end);
                break;
            }
            status = done_kills < kills ? wait_at_random(pid, &seed) : wait_for(pid, 0);
        }
    }
    printf("killed the batch %d times, a worker %d times, Ctrl-C %d times\n", counts[0], counts[1], counts[2]);
    assert_true(done_kills > kills / 2); /* the jobs are not done before */
    if (test_fovea(NULL, "batch mix.jsonl --retries 50 -j 2 >last.txt") != 10 + (bad < 90 ? bad : 90)) {
        char *last = test_read_file("last.txt", &size);
        fail_msg("%.*s", (int)size, last);
    }
    cJSON *report = test_read_json("mix.batch/report.json");
    const cJSON *j;
    assert_int_equal(cJSON_GetObjectItem(report, "done")->valueint, jobs - bad);
    assert_int_equal(cJSON_GetObjectItem(report, "failed")->valueint, bad);
    cJSON_ArrayForEach(j, cJSON_GetObjectItem(report, "list"))
    {
        int line = cJSON_GetObjectItem(j, "line")->valueint;
        const char *job = cJSON_GetObjectItem(j, "job")->valuestring;
        int made = events("mix.batch", "made", job), done = events("mix.batch", "done", job);
        if (made != good[line - 1] || done != good[line - 1])
            fail_msg("line %d was made %d times and done %d times", line, made, done);
    }
    assert_int_equal(files_with(".", ".fovea-"), 0);
    assert_int_equal(files_with(".", ".tmp"), 0);
    (void)!system("rm -rf alone && mkdir alone && cp -p a.ply torn.ply alone/");
    compare_with_commands_alone(report, good);
    cJSON_Delete(report);
    free(text);
    free(good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_are_those_of_the_commands_alone),
        cmocka_unit_test(failures_are_counted_and_told),
        cmocka_unit_test(dry_runs_tell_time_memory_and_what_would_fail),
        cmocka_unit_test(a_model_is_loaded_once),
        cmocka_unit_test(a_full_disk_fails_one_job),
        cmocka_unit_test(a_worker_that_dies_fails_its_job_alone),
        cmocka_unit_test(jobs_out_of_time_are_ended),
        cmocka_unit_test(ctrl_c_ends_tidily_and_a_second_batch_is_refused),
        cmocka_unit_test(shards_share_the_jobs_out_and_are_merged),
        cmocka_unit_test(slurm_gets_an_array_and_what_merges_it),
        cmocka_unit_test(several_clips_go_on_after_a_kill),
        cmocka_unit_test(a_killed_quantize_goes_on),
        cmocka_unit_test(survives_kills_at_any_time),
    };
    const char *only = getenv("FOVEA_BATCH_JOBS");
    if (only)
        cmocka_set_test_filter("survives_*");
    return cmocka_run_group_tests(tests, prepare, NULL);
}

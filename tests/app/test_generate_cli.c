/* fovea generate on a tiny model of random weights (the golden folders): files, metadata, repetition,
 * statuses and sentences. The numbers are judged by fovea check --arch opensora12_e2e. */
#include "support/test.h"
#include "support/child.h"
#include "support/json.h"
#include "support/tiny_model.h"
#include "app/image_io.h"
#include "app/video.h"
#include "vk/nn/safetensors_write.h"
#include "vk/nn/weights.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char *model;

#define NEEDS_MODEL()                                                                              \
    if (!(model = test_tiny_model()))                                                                             \
    skip()

static void read_latents(const char *path, float *out, size_t n)
{
    struct nn_file *f;
    assert_ok(nn_file_open(&f, path, NULL));
    const struct nn_file_tensor *t = nn_file_find(f, "latents");
    assert_int_equal(t->count, n);
    assert_ok(nn_file_read(t, NN_DATA_F32, 0, n, out));
    nn_file_close(&f);
}

/* "a cat" with seed 1 and all else as usual, as video and latents: made once, for several tests. */
static const char *plain(bool latents)
{
    static char video[1024], z[1024];
    if (!*video) {
        snprintf(z, sizeof z, "%s", test_tmp_path("plain.safetensors"));
        snprintf(video, sizeof video, "%s", test_tmp_path("plain.y4m"));
        TEST_RUNS("generate \"a cat\" -o %s --latents %s --model %s --seed 1", video, z, model);
    }
    return latents ? z : video;
}

static cJSON *comment_of(const char *path)
{
    struct video_in *in;
    assert_ok(video_in_open(&in, path));
    cJSON *doc = cJSON_Parse(video_in_info(in)->comment);
    video_in_close(&in);
    assert_non_null(doc);
    return doc;
}

static const char *text_of(const cJSON *doc, const char *key)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(doc, key));
    return text ? text : "";
}

static void a_prompt_becomes_a_video_that_says_how(void **state)
{
    (void)state;
    NEEDS_MODEL();
    char a[1024], b[1024];
    struct video_in *in;
    snprintf(a, sizeof a, "%s", test_tmp_path("a.mp4"));
    snprintf(b, sizeof b, "%s", test_tmp_path("b.mp4"));
    TEST_RUNS("generate \"A cat\" -o %s --model %s --seed 7", a, model);
    assert_ok(video_in_open(&in, a));
    const struct video_info *i = video_in_info(in);
    assert_int_equal(i->width, 32);
    assert_int_equal(i->height, 24);
    assert_int_equal(i->frames, 9);
    assert_int_equal(i->fps_num / i->fps_den, 12);
    assert_string_equal(i->title, "A cat");
    video_in_close(&in);
    cJSON *doc = comment_of(a), *o = cJSON_GetObjectItem(doc, "options");
    assert_string_equal(text_of(doc, "command"), "generate");
    assert_string_equal(text_of(doc, "prompt"), "A cat");
    assert_string_equal(text_of(doc, "model"), "tiny");
    assert_int_equal(strlen(text_of(doc, "model_hash")), 16);
    assert_true(*text_of(doc, "device") && *text_of(doc, "fovea"));
    assert_int_equal(cJSON_GetNumberValue(cJSON_GetObjectItem(o, "seed")), 7);
    assert_int_equal(cJSON_GetNumberValue(cJSON_GetObjectItem(o, "steps")), 3);
    assert_string_equal(text_of(o, "size"), "32x24");
    cJSON_Delete(doc);
    /* the same seed, the same bytes; another seed, others */
    TEST_RUNS("generate --from %s -o %s", a, b);
    assert_true(test_same_files(a, b));
    TEST_RUNS("generate --from %s -o %s --seed 8", a, b);
    assert_false(test_same_files(a, b));
    doc = comment_of(b);
    assert_int_equal(cJSON_GetNumberValue(cJSON_GetObjectItem(cJSON_GetObjectItem(doc, "options"), "seed")), 8);
    cJSON_Delete(doc);
    char *out;
    assert_int_equal(test_fovea(&out, "info %s", a), 0);
    assert_non_null(strstr(out, "\"prompt\":\"A cat\""));
    assert_non_null(strstr(out, "  prompt         A cat\n"));
    assert_non_null(strstr(out, "  seed           7\n"));
    free(out);
}

/* Whatever else is made at the same time. */
static void clips_of_several_are_those_made_alone(void **state)
{
    (void)state;
    NEEDS_MODEL();
    char file[1024], dir[1024], alone[1024], path[1100];
    static const char prompts[] = "\xef\xbb\xbf# two\r\n\r\n  a dog  \r\na cat runs";
    snprintf(file, sizeof file, "%s", test_tmp_path("prompts.txt"));
    snprintf(dir, sizeof dir, "%s", test_tmp_path("many"));
    snprintf(alone, sizeof alone, "%s", test_tmp_path("alone.mp4"));
    test_write_file(file, prompts, strlen(prompts));
    TEST_RUNS("generate --prompt-file %s -o %s/ --model %s --seed 3 --count 2", file, dir, model);
    static const struct {
        int clip;
        const char *prompt;
        int seed;
    } rows[] = {{2, "a dog", 4}, {3, "a cat runs", 3}}; /* neither the first of its prompt and seed nor the last */
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/clip_%04d.mp4", dir, rows[i].clip);
        TEST_RUNS("generate \"%s\" -o %s --model %s --seed %d", rows[i].prompt, alone, model, rows[i].seed);
        assert_true(test_same_files(path, alone));
    }
    snprintf(path, sizeof path, "%s/clip_0001.mp4", dir);
    cJSON *doc = comment_of(path);
    assert_string_equal(text_of(doc, "prompt"), "a dog");
    assert_int_equal(cJSON_GetNumberValue(cJSON_GetObjectItem(cJSON_GetObjectItem(doc, "options"), "seed")), 3);
    cJSON_Delete(doc);
    snprintf(path, sizeof path, "%s/clip_0004.mp4", dir);
    doc = comment_of(path);
    assert_string_equal(text_of(doc, "prompt"), "a cat runs");
    assert_int_equal(cJSON_GetNumberValue(cJSON_GetObjectItem(cJSON_GetObjectItem(doc, "options"), "seed")), 4);
    cJSON_Delete(doc);
    TEST_RUNS("generate \"a dog\" -o %s --model %s --seed 3 --count 2 --frames 1", test_tmp_path("p.png"), model);
    assert_int_equal(access(test_tmp_path("p_0001.png"), R_OK), 0);
    assert_int_equal(access(test_tmp_path("p_0002.png"), R_OK), 0);
}

static void latents_decode_to_the_same_pictures(void **state)
{
    (void)state;
    NEEDS_MODEL();
    char b[1024], direct[1024];
    const char *z = plain(true);
    struct nn_file *f;
    snprintf(direct, sizeof direct, "%s", test_tmp_path("direct.safetensors"));
    snprintf(b, sizeof b, "%s", test_tmp_path("zb.y4m"));
    TEST_RUNS("generate \"a cat\" -o %s --model %s --seed 1", direct, model);
    assert_true(test_same_files(z, direct));
    assert_ok(nn_file_open(&f, z, NULL));
    static const uint64_t shape[5] = {1, 4, 3, 3, 4};
    assert_memory_equal(nn_file_find(f, "latents")->shape, shape, sizeof shape);
    assert_string_equal(nn_file_meta(f, "fps"), "12/1");
    nn_file_close(&f);
    TEST_RUNS("vae decode %s --model %s/vae -o %s", z, model, b);
    assert_true(test_same_files(plain(false), b));
}

static void reports_what_it_took(void **state)
{
    (void)state;
    NEEDS_MODEL();
    size_t size;
    char path[1024];
    snprintf(path, sizeof path, "%s", test_tmp_path("report.json"));
    TEST_RUNS("generate \"a cat\" -o %s --model %s --seed 1 --steps 6 --leap fixed --leap-from 3 --merge-steps 1 "
          "--report %s",
          test_tmp_path("r.mp4"), model, path);
    char *text = test_read_file(path, &size);
    cJSON *doc = cJSON_ParseWithLength(text, size), *stages = cJSON_GetObjectItem(doc, "stages");
    static const struct {
        const char *key;
        double want;
    } rows[] = {{"planned_evaluations", 6}, {"evaluations", 4}, {"evaluations_saved", 2}, {"merged_evaluations", 1}, {"clips", 1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(cJSON_GetNumberValue(cJSON_GetObjectItem(doc, rows[i].key)), rows[i].want);
    static const char *const names[] = {"text", "sampling", "decoding"};
    for (int i = 0; i < 3; i++) {
        cJSON *s = cJSON_GetObjectItem(stages, names[i]); /* nothing was encoded */
        assert_true(cJSON_GetNumberValue(cJSON_GetObjectItem(s, "seconds")) > 0);
        assert_true(cJSON_GetNumberValue(cJSON_GetObjectItem(s, "peak_bytes")) > 0);
    }
    cJSON_Delete(doc);
    free(text);
    char *out;
    assert_int_equal(test_fovea(&out, "generate \"a cat\" -o %s --model %s --seed 1 --steps 8 --cache 5",
                                test_tmp_path("r.mp4"), model), 0);
    assert_non_null(strstr(out, "cache below 5"));
    assert_non_null(strstr(out, "without their blocks"));
    free(out);
}

static double member(const cJSON *doc, const char *stage, const char *key)
{
    const cJSON *o = stage ? cJSON_GetObjectItem(cJSON_GetObjectItem(doc, "stages"), stage) : doc;
    const cJSON *n = cJSON_GetObjectItem(o, key);
    if (!cJSON_IsNumber(n))
        fail_msg("no %s.%s", stage ? stage : "", key);
    return n->valuedouble;
}

/* The model with its blocks again and again: weights that are more than what is around them. */
static void deep_model(const char *dir)
{
    enum { DEPTH = 40 };
    struct nn_file *f;
    char path[2048], *names = NULL;
    size_t count = 0;
    static const char config[] = "{\"num_heads\": 3, \"input_sq_size\": 512}";
    snprintf(path, sizeof path, "%s/transformer/model.safetensors", model);
    assert_ok(nn_file_open(&f, path, NULL));
    struct nn_save_tensor *list = calloc(f->count * DEPTH, sizeof *list);
    names = calloc(f->count * DEPTH, 128);
    for (size_t i = 0; i < f->count; i++) {
        const struct nn_file_tensor *t = &f->tensors[i];
        const char *blocks = strstr(t->name, "_blocks.");
        int first = blocks ? atoi(blocks + 8) : 0;
        for (int n = first; n < (blocks ? DEPTH : 1); n += 2, count++) {
            char *name = names + count * 128;
            if (blocks)
                snprintf(name, 128, "%.*s_blocks.%d%s", (int)(blocks - t->name), t->name, n, strchr(blocks + 8, '.'));
            else
                snprintf(name, 128, "%s", t->name);
            list[count] = (struct nn_save_tensor){name, t->type, t->rank, {0}, t->data};
            memcpy(list[count].shape, t->shape, sizeof t->shape);
        }
    }
    mkdir(dir, 0777);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    assert_ok(nn_safetensors_save(path, list, count, NULL, 0));
    snprintf(path, sizeof path, "%s/config.json", dir);
    test_write_file(path, config, strlen(config));
    nn_file_close(&f);
    free(list);
    free(names);
}

/* Within a budget blocks come from the file, and the latents are the same. */
static void a_budget_is_kept_to(void **state)
{
    (void)state;
    NEEDS_MODEL();
    char dit[1024], all[1024], some[1024], report[1024];
    snprintf(dit, sizeof dit, "%s", test_tmp_path("deep"));
    snprintf(all, sizeof all, "%s", test_tmp_path("all.safetensors"));
    snprintf(some, sizeof some, "%s", test_tmp_path("some.safetensors"));
    snprintf(report, sizeof report, "%s", test_tmp_path("budget.json"));
    deep_model(dit);
    TEST_RUNS("generate \"a cat\" -o %s --model %s --dit %s --seed 1 --steps 2 --report %s", all, model, dit, report);
    cJSON *doc = test_read_json(report);
    double most = member(doc, "sampling", "peak_bytes");
    assert_int_equal(member(doc, NULL, "streamed_bytes"), 0);
    cJSON_Delete(doc);
    TEST_RUNS("generate \"a cat\" -o %s --model %s --dit %s --seed 1 --steps 2 --memory 130M --report %s", some, model, dit,
          report);
    doc = test_read_json(report);
    double taken = member(doc, "sampling", "peak_bytes");
    assert_true(taken < most && taken <= 130e6);
    assert_true(member(doc, NULL, "streamed_bytes") > 0);
    cJSON_Delete(doc);
    assert_true(test_same_files(all, some));
}

/* What a dry run says against what is taken, with all blocks on the device or as few as there can be. */
static void dry_runs_tell_costs(void **state)
{
    (void)state;
    NEEDS_MODEL();
    char before[1024], after[1024], out[1024], a[1024];
    snprintf(before, sizeof before, "%s", test_tmp_path("before.json"));
    snprintf(after, sizeof after, "%s", test_tmp_path("after.json"));
    snprintf(out, sizeof out, "%s", test_tmp_path("dry.mp4"));
    snprintf(a, sizeof a, "%s", test_tmp_path("free.mp4"));
    static const char settings[] = "--seed 1 --size 128x96 --frames 34 --steps 2 --merge-steps 1";
    TEST_RUNS("generate \"a cat\" --model %s %s --dry-run --report %s", model, settings, before);
    TEST_RUNS("generate \"a cat\" -o %s --model %s %s --report %s", out, model, settings, after);
    cJSON *want = test_read_json(before), *got = test_read_json(after);
    static const char *const stages[] = {"text", "sampling", "decoding"};
    for (int i = 0; i < 3; i++) {
        double most = member(want, stages[i], "peak_bytes"), taken = member(got, stages[i], "peak_bytes");
        if (taken > most || most > 1.25 * taken + 120e6)
            fail_msg("%s: %.1f MB told, %.1f MB taken", stages[i], 1e-6 * most, 1e-6 * taken);
        assert_true(member(want, stages[i], "parameters") > 0 && member(want, stages[i], "least_seconds") > 0);
    }
    double flops = member(want, "sampling", "flops");
    assert_near(flops, member(got, NULL, "sampling_flops"), 0.03 * flops); /* captions are counted too */
    assert_near(member(want, "decoding", "flops"), member(got, NULL, "decoding_flops"), 1);
    cJSON_Delete(want);
    cJSON_Delete(got);
    char *text;
    assert_int_equal(test_fovea(&text, "info %s --json --size 128x96", model), 0);
    cJSON *info = cJSON_Parse(text);
    assert_string_equal(text_of(info, "kind"), "model");
    assert_string_equal(text_of(info, "name"), "tiny");
    assert_int_equal(member(info, NULL, "width"), 128);
    assert_int_equal(member(info, "sampling", "parameters"), 428408);
    cJSON_Delete(info);
    free(text);
    assert_int_equal(test_fovea(&text, "info %s", model), 0);
    assert_non_null(strstr(text, "text-to-video model, tiny"));
    assert_non_null(strstr(text, "428,408"));
    free(text);
    TEST_FAILS(1, "the text encoder takes at least", "generate \"a cat\" -o %s --model %s --memory 20M", a, model);
    TEST_FAILS(1, "sampling takes at least", "generate \"a cat\" -o %s --model %s --memory 150M --size 1280x720 --frames 68",
          a, model);
}

/* ---- what is wrong ----------------------------------------------------------------------- */

static void bad_prompts_are_told(void **state)
{
    (void)state;
    NEEDS_MODEL();
    char file[1024], out[1024];
    snprintf(file, sizeof file, "%s", test_tmp_path("bad.txt"));
    snprintf(out, sizeof out, "%s", test_tmp_path("bad.mp4"));
    TEST_FAILS(2, "needs a prompt", "generate -o %s --model %s", out, model);
    TEST_FAILS(2, "do not go together", "generate \"a\" --prompt-file %s -o %s --model %s", file, out, model);
    TEST_FAILS(1, "prompt is empty", "generate \"\" -o %s --model %s", out, model);
    TEST_FAILS(1, "prompt is empty", "generate \" \t\" -o %s --model %s", out, model);
    TEST_FAILS(1, "nothing is left", "generate \"##\" -o %s --model %s", out, model);
    TEST_FAILS(1, "100000 bytes", "generate \"$(head -c 100000 /dev/zero | tr '\\0' a)\" -o %s --model %s", out, model);
    TEST_FAILS(1, "not UTF-8", "generate \"$(printf 'a\\377')\" -o %s --model %s", out, model);
    test_write_file(file, "# none\n\n", 8);
    TEST_FAILS(1, "no prompt in it", "generate --prompt-file %s -o %s --model %s", file, out, model);
    test_write_file(file, "a cat\nb\xff\n", 9);
    TEST_FAILS(1, "line 2", "generate --prompt-file %s -o %s --model %s", file, out, model);
    test_write_file(file, "a\0b\n", 4);
    TEST_FAILS(1, "is no text", "generate --prompt-file %s -o %s --model %s", file, out, model);
    TEST_FAILS(1, "/nowhere", "generate --prompt-file /nowhere -o %s --model %s", out, model);
    assert_int_not_equal(access(out, F_OK), 0);
}

static void bad_options_are_told(void **state)
{
    (void)state;
    NEEDS_MODEL();
    char out[1024], twice[1024];
    snprintf(out, sizeof out, "%s", test_tmp_path("bad.mp4"));
    snprintf(twice, sizeof twice, "%s", test_tmp_path("clip_%d_%d.mp4"));
    static const struct {
        int status;
        const char *part, *options;
    } rows[] = {{2, "--size", "--size 9999p"},
                {2, "--size", "--size 0x8"},
                {2, "sides of", "--size 8x4"},
                {2, "--size", "--size 100000x100000"},
                {2, "--aspect needs --size", "--aspect 9:16"},
                {2, "aspect", "--size 240p --aspect 5:4"},
                {2, "--frames", "--frames 0"},
                {2, "--frames", "--frames 3s"},
                {2, "do not go together", "--frames 5 --seconds 2"},
                {2, "--steps", "--steps -1"},
                {2, "--guidance", "--guidance 1e9"},
                {2, "whole number", "--seed 1.5"},
                {2, "--leap-from needs", "--leap never --leap-from 4"},
                {2, ".safetensors", "--latents z.npy"},
                {2, "--image and --extend", "--image a.png --extend b.mp4"},
                {2, "go together", "--reference a.png"},
                {2, "go together", "--start 0.9"},
                {1, "/nowhere", "--image /nowhere.png"},
                {1, "/nowhere", "--frames 34 --extend /nowhere.mp4"},
                {1, "/nowhere", "--start 0.9 --analytic-init /nowhere.safetensors"},
                {2, "is of one clip", "--latents z.safetensors --count 2"},
                {1, "name it .mp4", "-o clip.xyz"},
                {1, "several frames need", "-o clip.png"},
                {1, "/nowhere", "-o /nowhere/clip.mp4"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        TEST_FAILS(rows[i].status, rows[i].part, "generate \"a cat\" -o %s --model %s %s", out, model, rows[i].options);
    TEST_FAILS(1, "write the number", "generate \"a cat\" --model %s --count 2 -o %s", model, twice);
    assert_int_not_equal(access(test_tmp_path(".clip_%d_%d.mp4.fovea"), F_OK), 0);
    TEST_FAILS(2, "needs -o", "generate \"a cat\" --model %s", model);
    TEST_FAILS(1, "no settings", "generate --from %s -o %s", test_source("docs/playbot.png"), out);
    assert_int_not_equal(access(out, F_OK), 0);
}

static void cut(const char *from, const char *to, size_t keep)
{
    size_t size;
    char *data = test_read_file(from, &size);
    test_write_file(to, data, keep < size ? keep : size / 2);
    free(data);
}

/* The last numbers of a file of weights become NaN. */
static void spoil(const char *from, const char *to, size_t count)
{
    size_t size;
    uint8_t *data = test_read_file(from, &size);
    memset(data + size - 4 * count, 0xff, 4 * count);
    test_write_file(to, data, size);
    free(data);
}

static void bad_models_are_told(void **state)
{
    (void)state;
    NEEDS_MODEL();
    char out[1024], half[1024], part[1100];
    snprintf(out, sizeof out, "%s", test_tmp_path("bad.mp4"));
    TEST_FAILS(1, "no such folder", "generate \"a cat\" -o %s --model /nowhere", out);
    TEST_FAILS(1, "no transformer in it", "generate \"a cat\" -o %s --model %s", out, test_tmp());
    TEST_FAILS(1, "a whole model is a folder", "generate \"a cat\" -o %s --model %s", out,
          test_shared("golden/nn/opensora12_vae/weights.safetensors"));
    TEST_FAILS(1, "no text encoder: name it by --t5", "generate \"a cat\" -o %s --dit %s/transformer", out, model);
    TEST_FAILS(1, "--vae /nowhere", "generate \"a cat\" -o %s --model %s --vae /nowhere", out, model);
    TEST_FAILS(1, "config.json", "generate \"a cat\" -o %s --model %s --tokenizer %s/vae/config.json", out, model, model);
    TEST_FAILS(1, "not of one model", "generate \"a cat\" -o %s --model %s --t5 %s", out, model,
          test_shared("golden/nn/t5_encoder"));
    static const char *const parts[] = {"transformer", "text_encoder", "vae"};
    static const char *const names[] = {"dit", "t5", "vae"};
    for (int i = 0; i < 3; i++) { /* each with the config.json it has */
        snprintf(half, sizeof half, "%s/half_%s", test_tmp(), parts[i]);
        mkdir(half, 0777);
        snprintf(part, sizeof part, "%s/%s/config.json", model, parts[i]);
        snprintf(half, sizeof half, "%s/half_%s/config.json", test_tmp(), parts[i]);
        if (access(part, R_OK) == 0)
            assert_int_equal(symlink(part, half), 0);
        snprintf(half, sizeof half, "%s/half_%s/half.safetensors", test_tmp(), parts[i]);
        snprintf(part, sizeof part, "%s/%s/model.safetensors", model, parts[i]);
        cut(part, half, SIZE_MAX);
        TEST_FAILS(1, "half.safetensors", "generate \"a cat\" -o %s --model %s --%s %s --tokenizer %s/tokenizer", out, model,
              names[i], half, model);
        spoil(part, half, i == 2 ? 4000 : 1);
        TEST_FAILS(1, "half.safetensors", "generate \"a cat\" -o %s --model %s --%s %s --tokenizer %s/tokenizer", out, model,
              names[i], half, model);
    }
    static const char *const usual[][2] = {{"{\"fps\": 0}", "fps"},
                                           {"{\"guidance\": -1}", "guidance"},
                                           {"{\"leap\": \"fixed\", \"leap_from\": -3}", "leap_from"},
                                           {"{\"leap\": \"far\"}", "expected never"}};
    static const char *const folders[] = {"transformer", "text_encoder", "tokenizer", "vae"};
    snprintf(half, sizeof half, "%s", test_tmp_path("unusual"));
    mkdir(half, 0777);
    for (int i = 0; i < 4; i++) {
        char link[2048];
        snprintf(part, sizeof part, "%s/%s", model, folders[i]);
        snprintf(link, sizeof link, "%s/%s", half, folders[i]);
        assert_int_equal(symlink(part, link), 0);
    }
    snprintf(part, sizeof part, "%s/generate.json", half);
    for (int i = 0; i < 4; i++) {
        test_write_file(part, usual[i][0], strlen(usual[i][0]));
        TEST_FAILS(1, usual[i][1], "generate \"a cat\" -o %s --model %s", out, half);
    }
    assert_int_not_equal(access(out, F_OK), 0);
}

/* ---- given pictures, rounds -------------------------------------------------------------- */

static uint32_t frames_of(const char *path)
{
    struct video_in *in;
    assert_ok(video_in_open(&in, path));
    uint32_t n = (uint32_t)video_in_info(in)->frames;
    video_in_close(&in);
    return n;
}

/* Frame `number` of a clip against that of another (or a picture), as a mean difference. */
static double apart(const char *a, uint32_t i, const char *b, uint32_t k)
{
    const char *paths[2] = {a, b};
    uint32_t at[2] = {i, k};
    float *rgb[2];
    size_t n = 0;
    for (int f = 0; f < 2; f++) {
        struct video_in *in;
        assert_ok(video_in_open(&in, paths[f]));
        n = (size_t)3 * video_in_info(in)->width * video_in_info(in)->height;
        rgb[f] = malloc(n * sizeof(float));
        for (uint32_t j = 0; j <= at[f]; j++)
            assert_int_equal(video_in_read(in, rgb[f]), 1);
        video_in_close(&in);
    }
    double sum = 0;
    for (size_t j = 0; j < n; j++)
        sum += fabs((double)rgb[0][j] - (double)rgb[1][j]);
    free(rgb[0]);
    free(rgb[1]);
    return sum / (double)n;
}

/* Latents of what is given are kept as they are, in the places that are told; the others are made. */
static void given_pictures_stay(void **state)
{
    (void)state;
    NEEDS_MODEL();
    enum { CHANNELS = 4, T = 5, PLANE = 3 * 4 };
    static const struct {
        const char *options;
        bool kept[T];
    } rows[] = {{"--last-image %s --image %s", {true}}, /* the last group of 17 frames is the first here */
                {"--image %s --frame-replacement --joint-guidance --renorm 0.5", {true}},
                {"--reference %s --mask-strategy 0,0,0,3,1,0 ", {true}}}; /* 3 moves to its group's begin */
    char z[1024], given[1024], clip[1024], again[1024], options[2200];
    float picture_z[CHANNELS * PLANE], clip_z[CHANNELS * T * PLANE];
    uint8_t rgb[32 * 24 * 3];
    for (int i = 0; i < 32 * 24; i++)
        for (int c = 0; c < 3; c++)
            rgb[3 * i + c] = (uint8_t)(c == 0 ? 8 * (i % 32) : c == 1 ? 10 * (i / 32) : 90);
    snprintf(given, sizeof given, "%s", test_tmp_path("given.png"));
    snprintf(z, sizeof z, "%s", test_tmp_path("given.safetensors"));
    snprintf(clip, sizeof clip, "%s", test_tmp_path("given.mp4"));
    snprintf(again, sizeof again, "%s", test_tmp_path("again.mp4"));
    assert_ok(image_save_png(given, rgb, 32, 24, 3, NULL));
    TEST_RUNS("vae encode %s --model %s/vae -o %s", given, model, z);
    read_latents(z, picture_z, CHANNELS * PLANE);
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(options, sizeof options, rows[r].options, given, given);
#pragma GCC diagnostic pop
        if (r == 0) /* as a video too, for --from */
            TEST_RUNS("generate \"a cat\" -o %s --latents %s --model %s --seed 1 --frames 17 %s", clip, z, model, options);
        else
            TEST_RUNS("generate \"a cat\" -o %s --model %s --seed 1 --frames 17 %s", z, model, options);
        read_latents(z, clip_z, CHANNELS * T * PLANE);
        for (int t = 0; t < T; t++) {
            double most = 0;
            for (int c = 0; c < CHANNELS; c++)
                for (int i = 0; i < PLANE; i++)
                    most = fmax(most, fabs((double)clip_z[(c * T + t) * PLANE + i] - (double)picture_z[c * PLANE + i]));
            if (rows[r].kept[t] ? most > 1e-4 : most < 1e-2)
                fail_msg("%s: latent %d is %g from the picture's", options, t, most);
        }
    }
    TEST_RUNS("generate --from %s -o %s", clip, again);
    assert_true(test_same_files(clip, again));
}

static void clips_go_on(void **state)
{
    (void)state;
    NEEDS_MODEL();
    char first[1024], longer[1024], loop[1024];
    snprintf(first, sizeof first, "%s", test_tmp_path("first.mp4"));
    snprintf(longer, sizeof longer, "%s", test_tmp_path("longer.mp4"));
    snprintf(loop, sizeof loop, "%s", test_tmp_path("loop.mp4"));
    TEST_RUNS("generate \"|0|a cat|1|a dog\" -o %s --model %s --seed 1 --loop 2 --frames 34 --crf 0", loop, model);
    assert_int_equal(frames_of(loop), 34 + 17);
    TEST_RUNS("generate \"a cat\" -o %s --model %s --seed 1 --frames 34 --crf 0", first, model);
    assert_true(apart(first, 30, loop, 30) < 1e-6); /* the first round is the clip alone */
    TEST_RUNS("generate \"a dog\" -o %s --model %s --seed 1 --frames 34 --crf 0 --extend %s", longer, model, first);
    assert_int_equal(frames_of(longer), 34 + 17);
    assert_true(apart(first, 33, longer, 33) < 0.02); /* through the file's colours again */
    TEST_RUNS("generate \"a cat\" -o %s --model %s --seed 1 --frames 34 --crf 0 --reference %s --mask-strategy "
          "0,0,0,0,5,0", loop, model, first);
    assert_int_equal(frames_of(loop), 34);
    TEST_FAILS(1, "none is left", "generate \"a cat\" -o %s --model %s --loop 2 --frames 17", loop, model);
    static const uint8_t black[32 * 24 * 3];
    assert_ok(image_save_png(test_tmp_path("one.png"), black, 32, 24, 3, NULL));
    TEST_FAILS(1, "goes on from", "generate \"a cat\" -o %s --model %s --frames 34 --extend %s", loop, model,
          test_tmp_path("one.png"));
}

/* A change to a layer, by its strength: none with 0, and told from the model alone. */
static void a_change_is_added(void **state)
{
    (void)state;
    NEEDS_MODEL();
    enum { RANK = 4 };
    char path[1100], lora[1024], z[1024];
    struct nn_file *f;
    snprintf(path, sizeof path, "%s/transformer", model);
    snprintf(lora, sizeof lora, "%s", test_tmp_path("lora.safetensors"));
    snprintf(z, sizeof z, "%s", test_tmp_path("changed.safetensors"));
    assert_ok(nn_file_open(&f, path, NULL));
    const struct nn_file_tensor *w = nn_file_find(f, "spatial_blocks.0.mlp.fc1.weight");
    assert_non_null(w);
    size_t n = (size_t)w->shape[0] * RANK, k = (size_t)w->shape[1] * RANK;
    float *up = malloc(n * sizeof *up), *down = malloc(k * sizeof *down);
    nn_normal(up, 1, 0, n);
    nn_normal(down, 2, 0, k);
    const struct nn_save_tensor list[2] = {
        {"spatial_blocks.0.mlp.fc1.lora_A.weight", NN_DATA_F32, 2, {RANK, w->shape[1]}, down},
        {"spatial_blocks.0.mlp.fc1.lora_B.weight", NN_DATA_F32, 2, {w->shape[0], RANK}, up}};
    assert_ok(nn_safetensors_save(lora, list, 2, NULL, 0));
    nn_file_close(&f);
    free(up);
    free(down);
    float x[2][144];
    read_latents(plain(true), x[0], 144);
    TEST_RUNS("generate \"a cat\" -o %s --model %s --seed 1 --lora %s:0", z, model, lora);
    read_latents(z, x[1], 144);
    for (int i = 0; i < 144; i++)
        assert_near(x[0][i], x[1][i], 1e-5);
    TEST_RUNS("generate \"a cat\" -o %s --model %s --seed 1 --lora \"%s:0.5;%s\" --activations 8", z, model, lora, lora);
    read_latents(z, x[1], 144);
    double most = 0;
    for (int i = 0; i < 144; i++)
        most = fmax(most, fabs((double)x[0][i] - (double)x[1][i]));
    assert_true(most > 1e-3);
    TEST_FAILS(1, "/nowhere", "generate \"a cat\" -o %s --model %s --lora /nowhere:2", z, model);
    TEST_FAILS(1, "of a low-rank change", "generate \"a cat\" -o %s --model %s --lora %s", z, model, plain(true));
}

/* ---- interruption ------------------------------------------------------------------------ */

static void a_negative_prompt_leads_away(void **state)
{
    (void)state;
    NEEDS_MODEL();
    char a[1024], b[1024];
    snprintf(a, sizeof a, "%s", test_tmp_path("n1.safetensors"));
    snprintf(b, sizeof b, "%s", test_tmp_path("n2.safetensors"));
    TEST_RUNS("generate \"a cat\" -o %s --model %s --seed 1 --negative \"a dog\"", a, model);
    assert_false(test_same_files(a, plain(true)));
    /* guidance 1 is the prompt alone: what it is led away from does not count, up to rounding */
    TEST_RUNS("generate \"a cat\" -o %s --model %s --seed 1 --guidance 1 --negative \"a dog\"", a, model);
    TEST_RUNS("generate \"a cat\" -o %s --model %s --seed 1 --guidance 1", b, model);
    float x[2][144];
    read_latents(a, x[0], 144);
    read_latents(b, x[1], 144);
    for (int i = 0; i < 144; i++)
        assert_near(x[0][i], x[1][i], 1e-3);
    TEST_FAILS(1, "--negative: the prompt is empty", "generate \"a cat\" -o %s --model %s --negative \"\"", b, model);
}

/* Stopped while it samples, taken up again: the same bytes as in one go, no checkpoint left. */
/* Which round a checkpoint is in. */
static int round_of(const char *path)
{
    struct nn_file *f;
    assert_ok(nn_file_open(&f, path, NULL));
    const char *round = nn_file_meta(f, "round");
    assert_non_null(round);
    int n = atoi(round);
    nn_file_close(&f);
    return n;
}

static void interrupted_clips_go_on_to_the_same(void **state)
{
    (void)state;
    NEEDS_MODEL();
    char whole[1024], parts[1024], check[1024], last[1024];
    snprintf(whole, sizeof whole, "%s", test_tmp_path("whole.mp4"));
    snprintf(parts, sizeof parts, "%s", test_tmp_path("parts.mp4"));
    snprintf(check, sizeof check, "%s", test_tmp_path("check"));
    static const char *const kinds[] = {"--seed 5 --method dpmpp", "--seed 5 --loop 2 --frames 34 --method euler"};
    for (int i = 0; i < 2; i++) {
        char steps[16], *method = i ? "euler" : "dpmpp", *loop = i ? "2" : "1", *frames = i ? "34" : "9";
        snprintf(steps, sizeof steps, "%d", i ? 40 : 80);
        TEST_RUNS("generate \"a cat\" -o %s --model %s --steps %s %s", whole, model, steps, kinds[i]);
        for (int k = 0; k <= i; k++) { /* a clip in rounds twice: in its first one and in its second */
            struct test_child c = test_child_start(
                (char *[]){"fovea", "generate", "a cat", "-o", parts, "--model", model, "--steps", steps, "--seed", "5",
                           "--method", method, "--loop", loop, "--frames", frames, "--checkpoint", check, "--progress",
                           "json", NULL});
            assert_int_equal(test_interrupt_after(&c, k ? "decoding" : NULL, "sampling", 5, last, sizeof last), 130);
            assert_non_null(strstr(last, "the same command goes on"));
            assert_int_equal(access(parts, F_OK), k - 1); /* a round that is done is a clip that plays */
            assert_int_equal(round_of(check), k);
        }
        if (i == 0)
            TEST_FAILS(1, "steps is", "generate \"a cat\" -o %s --model %s --steps 7 %s --checkpoint %s", parts, model,
                  kinds[i], check);
        else
            TEST_FAILS(1, "prompt is", "generate \"a dog\" -o %s --model %s --steps %s %s --checkpoint %s", parts, model,
                  steps, kinds[i], check);
        TEST_RUNS("generate \"a cat\" -o %s --model %s --steps %s %s --checkpoint %s", parts, model, steps, kinds[i], check);
        assert_true(test_same_files(whole, parts));
        assert_int_not_equal(access(check, F_OK), 0);
        unlink(parts);
    }
    test_write_file(check, "no checkpoint", 13);
    TEST_FAILS(1, "check", "generate \"a cat\" -o %s --model %s --checkpoint %s", parts, model, check);
}

static void progress_says_which_round_it_is_of(void **state)
{
    (void)state;
    NEEDS_MODEL();
    char out[1024], line[1024];
    snprintf(out, sizeof out, "%s", test_tmp_path("rounds.mp4"));
    struct test_child c = test_child_start(
        (char *[]){"fovea", "generate", "a cat", "-o", out, "--model", model, "--steps", "2", "--loop", "2", "--frames",
                   "34", "--progress", "json", NULL});
    int seen = 0;
    while (fgets(line, sizeof line, c.err)) {
        cJSON *doc = cJSON_Parse(line);
        if (doc && !strcmp(cJSON_GetObjectItem(doc, "what")->valuestring, "sampling")) {
            int part = cJSON_GetObjectItem(doc, "part")->valueint;
            assert_int_equal(cJSON_GetObjectItem(doc, "parts")->valueint, 2);
            assert_in_range(part, seen > 1 ? seen : 1, seen + 1);
            seen = part;
        }
        cJSON_Delete(doc);
    }
    fclose(c.err);
    int status;
    assert_int_equal(waitpid(c.pid, &status, 0), c.pid);
    assert_int_equal(status, 0);
    assert_int_equal(seen, 2);
}

static void previews_show_what_is_coming(void **state)
{
    (void)state;
    NEEDS_MODEL();
    char b[1024], z[1024], png[1024], video[1024];
    snprintf(b, sizeof b, "%s", test_tmp_path("pb.y4m"));
    snprintf(z, sizeof z, "%s", test_tmp_path("pb.safetensors"));
    snprintf(png, sizeof png, "%s", test_tmp_path("preview.png"));
    snprintf(video, sizeof video, "%s", test_tmp_path("preview.mp4"));
    TEST_RUNS("generate \"a cat\" -o %s --model %s --seed 1 --preview %s --preview-every 1", b, model, png);
    assert_true(test_same_files(plain(false), b)); /* looking changes nothing */
    struct image i;
    assert_ok(image_load(&i, png));
    assert_int_equal(i.width, 3 * 32);
    assert_int_equal(i.height, 24);
    image_finish(&i);
    TEST_RUNS("generate \"a cat\" -o %s --model %s --seed 1 --preview %s --preview-every 2", b, model, video);
    assert_true(test_same_files(plain(false), b));
    assert_int_equal(frames_of(video), 9);
    char *out; /* one that cannot be written is no reason to stop */
    assert_int_equal(test_fovea(&out, "generate \"a cat\" -o %s --model %s --seed 1 --preview /nowhere/p.png "
                                      "--preview-every 2", z, model), 0);
    assert_non_null(strstr(out, "warning: --preview"));
    free(out);
    assert_true(test_same_files(plain(true), z));
}

static void ctrl_c_leaves_no_file(void **state)
{
    (void)state;
    NEEDS_MODEL();
    char out[1024], last[1024];
    snprintf(out, sizeof out, "%s", test_tmp_path("stopped.mp4"));
    struct test_child c = test_child_start((char *[]){"fovea", "generate", "a cat", "-o", out, "--model", model,
                                                      "--steps", "5000", "--progress", "json", NULL});
    assert_int_equal(test_interrupt(&c, "sampling", 2, last, sizeof last), 130);
    assert_non_null(strstr(last, "cancelled"));
    assert_non_null(strstr(last, "--checkpoint"));
    assert_int_not_equal(access(out, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prompt_becomes_a_video_that_says_how),
        cmocka_unit_test(clips_of_several_are_those_made_alone),
        cmocka_unit_test(latents_decode_to_the_same_pictures),
        cmocka_unit_test(reports_what_it_took),
        cmocka_unit_test(dry_runs_tell_costs),
        cmocka_unit_test(a_budget_is_kept_to),
        cmocka_unit_test(bad_prompts_are_told),
        cmocka_unit_test(bad_options_are_told),
        cmocka_unit_test(bad_models_are_told),
        cmocka_unit_test(a_negative_prompt_leads_away),
        cmocka_unit_test(a_change_is_added),
        cmocka_unit_test(given_pictures_stay),
        cmocka_unit_test(clips_go_on),
        cmocka_unit_test(previews_show_what_is_coming),
        cmocka_unit_test(interrupted_clips_go_on_to_the_same),
        cmocka_unit_test(progress_says_which_round_it_is_of),
        cmocka_unit_test(ctrl_c_leaves_no_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

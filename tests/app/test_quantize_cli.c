/* fovea quantize: folders, files, what is refused, and going on after an interruption. */
#include "support/test.h"
#include "support/child.h"
#include "support/json.h"
#include "support/tiny_model.h"
#include "quant/quant.h"
#include "vk/base/file.h"
#include "vk/base/half.h"
#include "vk/nn/safetensors_write.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *model;
#define NEEDS_MODEL()                                                                              \
    if (!(model = test_tiny_model()))                                                              \
    skip()

static void refuse(const char *what, int status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void refuse(const char *what, int status, const char *fmt, ...)
{
    char *out, line[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    int rc = test_fovea(&out, "%s", line);
    if (rc != status || !strstr(out, what))
        fail_msg("fovea %s: status %d\n%s\nexpected %d with \"%s\"", line, rc, out, status, what);
    free(out);
}

static float *values(const struct nn_file *f, const char *name, size_t *count)
{
    const struct nn_file_tensor *t = nn_file_find(f, name);
    if (!t)
        fail_msg("%s: no %s", f->name, name);
    float *x = malloc((size_t)t->count * sizeof *x + 1);
    assert_ok(nn_file_read(t, NN_DATA_F32, 0, t->count, x));
    *count = (size_t)t->count;
    return x;
}

/* A layer's matrix from the bytes of the file, by the words of docs/QUANT.md. */
static float *decode(const struct nn_file *f, const char *p, size_t n, size_t k, enum qt_method method)
{
    char name[160];
    size_t codes_count, scales_count, padded = (k + 63) / 64 * 64;
    snprintf(name, sizeof name, "%s.qweight", p);
    float *codes = values(f, name, &codes_count);
    snprintf(name, sizeof name, "%s.qscale", p);
    float *scales = values(f, name, &scales_count), *w = malloc(n * k * sizeof *w);
    assert_int_equal(codes_count, n * padded / (method == QT_RTN8 ? 1 : 2));
    assert_int_equal(scales_count, n * padded / 64);
    for (size_t r = 0; r < n; r++)
        for (size_t i = 0; i < k; i++) {
            int byte = method == QT_RTN8 ? 0 : (int)codes[r * padded / 2 + i / 2], code = i % 2 ? byte >> 4 : byte & 15;
            float v = method == QT_RTN8  ? codes[r * padded + i]
                      : method == QT_NF4 ? nn_nf4[code]
                                         : (float)(code - 8);
            w[r * k + i] = v * scales[r * (padded / 64) + i / 64];
        }
    free(codes), free(scales);
    return w;
}

static double difference(const float *a, const float *b, size_t n)
{
    double sum = 0, all = 0;
    for (size_t i = 0; i < n; i++) {
        sum += pow((double)a[i] - (double)b[i], 2);
        all += pow((double)b[i], 2);
    }
    return sqrt(sum / all);
}

static void baselines_are_near(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum qt_method method;
        double most;
    } kinds[] = {{"rtn4", QT_RTN4, 0.13}, {"rtn8", QT_RTN8, 0.008}, {"nf4", QT_NF4, 0.11}};
    NEEDS_MODEL();
    for (size_t i = 0; i < 3; i++) {
        char *out, path[1200];
        struct nn_file *before, *after;
        const char *to = test_tmp_path(kinds[i].name), *report = test_tmp_path("report.json");
        int rc = test_fovea(&out, "quantize %s -o %s --method %s --text 8 --report %s --plot %s", model, to, kinds[i].name,
                            report, test_tmp_path("plot.png"));
        if (rc)
            fail_msg("%s: status %d\n%s", kinds[i].name, rc, out);
        free(out);
        snprintf(path, sizeof path, "%s/transformer", model);
        assert_ok(nn_file_open(&before, path, NULL));
        snprintf(path, sizeof path, "%s/transformer", to);
        assert_ok(nn_file_open(&after, path, NULL));
        assert_non_null(strstr(nn_file_meta(after, "fovea.quantization"), kinds[i].name));
        cJSON *doc = test_read_json(report), *layers = cJSON_GetObjectItem(cJSON_GetObjectItem(doc, "transformer"), "layer");
        assert_true(cJSON_GetArraySize(layers) > 10);
        assert_non_null(cJSON_GetObjectItem(doc, "text_encoder"));
        for (cJSON *l = layers->child; l; l = l->next) {
            const char *name = cJSON_GetObjectItem(l, "name")->valuestring;
            char weight[160];
            size_t count;
            snprintf(weight, sizeof weight, "%s.weight", name);
            float *w = values(before, weight, &count);
            float *q = decode(after, name, (size_t)cJSON_GetObjectItem(l, "outputs")->valueint,
                              (size_t)cJSON_GetObjectItem(l, "inputs")->valueint, kinds[i].method);
            double e = difference(q, w, count);
            assert_true(e < kinds[i].most);
            assert_near(e, cJSON_GetObjectItem(l, "weight_error")->valuedouble, 1e-6);
            assert_null(nn_file_find(after, weight));
            free(w), free(q);
        }
        cJSON_Delete(doc);
        assert_non_null(nn_file_find(after, "final_layer.linear.weight"));
        assert_non_null(nn_file_find(after, "t_block.1.weight"));
        nn_file_close(&before);
        nn_file_close(&after);
        snprintf(path, sizeof path, "%s/vae/config.json", to);
        assert_true(fv_exists(path));
        snprintf(path, sizeof path, "%s/generate.json", to);
        assert_true(fv_exists(path));
        snprintf(path, sizeof path, "%s/transformer/model.safetensors.journal", to);
        assert_false(fv_exists(path));
    }
}

static void layers_may_stay(void **state)
{
    (void)state;
    NEEDS_MODEL();
    char *out;
    struct nn_file *f;
    const char *to = test_tmp_path("kept.safetensors");
    assert_int_equal(test_fovea(&out, "quantize %s/transformer -o %s --method rtn4 --keep mlp,spatial_blocks.0.attn.qkv", model, to), 0);
    free(out);
    assert_ok(nn_file_open(&f, to, NULL));
    assert_non_null(nn_file_find(f, "spatial_blocks.0.attn.qkv.weight"));
    assert_non_null(nn_file_find(f, "temporal_blocks.0.mlp.fc1.weight"));
    assert_non_null(nn_file_find(f, "temporal_blocks.0.attn.qkv.qweight"));
    nn_file_close(&f);
    refuse("no layer's name contains \"nothing\"", 1, "quantize %s/transformer -o %s --keep nothing", model, to);
}

/* Weights of f32 beyond f16, NaN, nothing to do, done before. */
static void bad_models_are_refused(void **state)
{
    (void)state;
    static float w[70 * 65];
    const char *in = test_tmp_path("in.safetensors"), *to = test_tmp_path("bad.safetensors");
    struct nn_save_tensor t = {"spatial_blocks.0.attn.qkv.weight", NN_DATA_F32, 2, {70, 65}, w};
    for (size_t i = 0; i < sizeof w / sizeof *w; i++)
        w[i] = (float)(i % 13) - 6;
    assert_ok(nn_safetensors_save(in, &t, 1, NULL, 0));
    refuse("-o OUT says where", 2, "quantize %s", in);
    w[66] = NAN;
    assert_ok(nn_safetensors_save(in, &t, 1, NULL, 0));
    refuse("spatial_blocks.0.attn.qkv: its weight holds NaN, at [1, 1]", 1, "quantize %s -o %s --method rtn4", in, to);
    w[66] = 1e9f;
    assert_ok(nn_safetensors_save(in, &t, 1, NULL, 0));
    refuse("too large for scales in f16", 1, "quantize %s -o %s --method rtn4", in, to);
    t.name = "other.weight";
    assert_ok(nn_safetensors_save(in, &t, 1, NULL, 0));
    refuse("no linear layers of blocks known here", 1, "quantize %s -o %s --method rtn4", in, to);
    t.name = "spatial_blocks.0.attn.qkv.qweight";
    assert_ok(nn_safetensors_save(in, &t, 1, NULL, 0));
    refuse("is quantised already", 1, "quantize %s -o %s --method rtn4", in, to);
    refuse("is the model itself", 2, "quantize %s -o %s --method rtn4", in, in);
    refuse("No such", 1, "quantize %s/absent -o %s --method rtn4", test_tmp(), to);
}

/* What a run left that failed at its second layer is not taken for other weights, nor for other settings. */
static void nothing_is_taken_of_another(void **state)
{
    (void)state;
    static float w[2][64 * 64];
    static const char *const names[2] = {"spatial_blocks.0.attn.qkv.weight", "spatial_blocks.0.attn.proj.weight"};
    char journal[1200], part[1200];
    const char *in = test_tmp_path("two.safetensors"), *to = test_tmp_path("whole.safetensors"),
               *alone = test_tmp_path("alone.safetensors");
    struct nn_save_tensor t[2];
    snprintf(journal, sizeof journal, "%s.journal", to);
    snprintf(part, sizeof part, "%s.part", to);
    for (int nf4 = 0; nf4 < 2; nf4++) {
        char *out;
        for (size_t i = 0; i < 2; i++) {
            for (size_t k = 0; k < 64 * 64; k++)
                w[i][k] = (float)((k * 7 + i) % 31) - 15;
            t[i] = (struct nn_save_tensor){names[i], NN_DATA_F32, 2, {64, 64}, w[i]};
        }
        w[1][5] = NAN; /* the second layer fails, the first is done */
        assert_ok(nn_safetensors_save(in, t, 2, NULL, 0));
        refuse("NaN", 1, "quantize %s -o %s --method rtn4", in, to);
        assert_true(fv_exists(journal) && fv_exists(part));
        w[1][5] = 0;
        w[0][0] = 14;
        assert_ok(nn_safetensors_save(in, t, 2, NULL, 0));
        assert_int_equal(test_fovea(&out, "quantize %s -o %s --method %s", in, to, nf4 ? "nf4" : "rtn4"), 0);
        assert_null(strstr(out, "were there"));
        free(out);
        TEST_RUNS("quantize %s -o %s --method %s", in, alone, nf4 ? "nf4" : "rtn4");
        assert_true(test_same_files(to, alone));
        assert_false(fv_exists(journal) || fv_exists(part));
    }
}

static void same_bytes(const char *one, const char *two)
{
    struct fv_map m, n;
    assert_ok(fv_map_open(&m, one));
    assert_ok(fv_map_open(&n, two));
    assert_int_equal(m.size, n.size);
    assert_memory_equal(m.data, n.data, m.size);
    fv_map_close(&m);
    fv_map_close(&n);
}

/* Ctrl-C between layers, then the same command: what an undisturbed one writes. */
static void interrupted_runs_go_on(void **state)
{
    (void)state;
    NEEDS_MODEL();
    char *out, last[512], one[1200], two[1200], part[1300];
    const char *a = test_tmp_path("undisturbed"), *b = test_tmp_path("disturbed");
    static const char *const options = "--samples 1 --steps 1 --rows 64 --grids 50 --keep temporal";
    if (test_fovea(&out, "quantize %s -o %s %s", model, a, options))
        fail_msg("%s", out);
    free(out);
    char *argv[] = {"fovea", "quantize", (char *)model, "-o", (char *)b, "--samples", "1", "--steps", "1", "--rows", "64",
                    "--grids", "50", "--keep", "temporal", "--progress", "json", NULL};
    struct test_child c = test_child_start(argv);
    assert_int_equal(test_interrupt(&c, "quantising", 1, last, sizeof last), 130);
    assert_non_null(strstr(last, "the same command goes on"));
    snprintf(one, sizeof one, "%s/transformer/model.safetensors", a);
    snprintf(two, sizeof two, "%s/transformer/model.safetensors", b);
    snprintf(part, sizeof part, "%s.journal", two);
    assert_true(fv_exists(part)); /* a layer at least is done */
    assert_false(fv_exists(two));
    assert_int_equal(test_fovea(&out, "quantize %s -o %s %s", model, b, options), 0);
    free(out);
    assert_false(fv_exists(part));
    same_bytes(one, two);
}

/* Killed while it samples, and twice while it quantises: less is left to do each time, and nothing of it is taken when
 * another seed is given. */
static void killed_runs_go_on(void **state)
{
    (void)state;
    NEEDS_MODEL();
    static const struct {
        const char *what;
        double done;
    } kills[] = {{"calibrating", 1.4}, {"quantising", 1}, {"quantising", 20000}};
    static const char *const parts[] = {"transformer", "text_encoder"};
    char *out, last[512], one[1200], two[1200], path[1300];
    const char *a = test_tmp_path("whole"), *b = test_tmp_path("killed");
    static const char *const options = "--samples 2 --steps 2 --rows 64 --grids 30 --keep temporal --text 4 --seed 5";
    TEST_RUNS("quantize %s -o %s %s", model, a, options);
    for (int seed = 4; seed < 6; seed++)
        for (size_t k = 0; k < 3; k++) {
            char number[12];
            snprintf(number, sizeof number, "%d", seed);
            char *argv[] = {"fovea", "quantize", (char *)model, "-o", (char *)b, "--samples", "2", "--steps", "2", "--rows", "64",
                            "--grids", "30", "--keep", "temporal", "--text", "4", "--seed", number, "--progress", "json", NULL};
            struct test_child c = test_child_start(argv);
            c.signal = SIGKILL;
            int status = test_interrupt(&c, kills[k].what, kills[k].done, last, sizeof last);
            if (status != -SIGKILL)
                fail_msg("%s %g: status %d %s", kills[k].what, kills[k].done, status, last);
        }
    if (test_fovea(&out, "quantize %s -o %s %s", model, b, options))
        fail_msg("%s", out);
    assert_non_null(strstr(out, "calibration: 2 of 2 clips were there"));
    assert_non_null(strstr(out, " were there\n"));
    free(out);
    for (size_t i = 0; i < 2; i++) {
        snprintf(one, sizeof one, "%s/%s/model.safetensors", a, parts[i]);
        snprintf(two, sizeof two, "%s/%s/model.safetensors", b, parts[i]);
        assert_true(test_same_files(one, two));
        snprintf(path, sizeof path, "%s.journal", two);
        assert_false(fv_exists(path));
    }
    snprintf(path, sizeof path, "%s/calibration.safetensors", b);
    assert_false(fv_exists(path));
}

static double sampling_number(const cJSON *report, const char *name)
{
    const cJSON *stages = cJSON_GetObjectItem(report, "stages"), *o = cJSON_GetObjectItem(stages, "sampling");
    const cJSON *n = cJSON_GetObjectItem(o, name);
    assert_non_null(n);
    return n->valuedouble;
}

/* Numbers of layers of codes, made once or at every step: the same clip; once where there is room. */
static void numbers_stay_where_there_is_room(void **state)
{
    (void)state;
    NEEDS_MODEL();
    static const char *const words[] = {"never", "always", "auto"};
    char coded[1024], report[1024], clip[3][1024];
    double expanded[3], peak[3];
    snprintf(coded, sizeof coded, "%s", test_tmp_path("kept"));
    snprintf(report, sizeof report, "%s", test_tmp_path("kept.json"));
    TEST_RUNS("quantize %s -o %s --method rtn4", model, coded);
    for (int i = 0; i < 3; i++) {
        snprintf(clip[i], sizeof clip[i], "%s/kept_%s.safetensors", test_tmp(), words[i]);
        TEST_RUNS("generate \"a cat\" --size 96x96 -o %s --model %s --seed 1 --expand %s", clip[i], coded, words[i]);
        TEST_RUNS("generate \"a cat\" --size 96x96 --model %s --dry-run --report %s --expand %s", coded, report, words[i]);
        cJSON *doc = test_read_json(report);
        expanded[i] = cJSON_GetObjectItem(doc, "expanded_bytes")->valuedouble;
        peak[i] = sampling_number(doc, "peak_bytes");
        cJSON_Delete(doc);
    }
    assert_true(test_same_files(clip[0], clip[1]) && test_same_files(clip[0], clip[2]));
    assert_true(expanded[0] == 0 && expanded[1] > 1000 && expanded[1] == expanded[2]);
    assert_true(peak[1] > peak[0]);
    TEST_SAYS("kept as 16-bit numbers", "generate \"a cat\" --size 96x96 --model %s --dry-run", coded);
    uint64_t less = (uint64_t)peak[1] - 1; /* enough for what is not kept */
    TEST_FAILS(1, "without --expand always", "generate \"a cat\" --size 96x96 -o %s --model %s --expand always --memory %llu", clip[1],
               coded, (unsigned long long)less);
    TEST_RUNS("generate \"a cat\" --size 96x96 -o %s --model %s --seed 1 --memory %llu", clip[2], coded, (unsigned long long)less);
    assert_true(test_same_files(clip[0], clip[2]));
    TEST_RUNS("generate \"a cat\" --size 96x96 --model %s --dry-run --report %s --expand always", model, report); /* no codes */
    cJSON *doc = test_read_json(report);
    assert_true(cJSON_GetObjectItem(doc, "expanded_bytes")->valuedouble == 0);
    cJSON_Delete(doc);
}

/* No room for the file: a sentence that names it, nothing under its name; with room, the right one. */
static void full_disks_are_told(void **state)
{
    (void)state;
    NEEDS_MODEL();
    char command[4096], text[1000] = "", *out;
    const char *a = test_tmp_path("room.safetensors"), *b = test_tmp_path("no-room.safetensors");
    assert_int_equal(test_fovea(&out, "quantize %s/transformer -o %s --method rtn4", model, a), 0);
    free(out);
    snprintf(command, sizeof command, "ulimit -f 16; '%s' quantize %s/transformer -o %s --method rtn4 2>&1", FOVEA_BINARY,
             model, b);
    FILE *p = popen(command, "r");
    assert_true(fread(text, 1, sizeof text - 1, p) > 0);
    assert_int_not_equal(pclose(p), 0);
    assert_non_null(strstr(text, "no-room.safetensors"));
    assert_false(fv_exists(b));
    assert_int_equal(test_fovea(&out, "quantize %s/transformer -o %s --method rtn4", model, b), 0);
    free(out);
    same_bytes(a, b);
}

/* Nunchaku's layers in our order; what is none of them is copied. */
static void foreign_layers_are_taken(void **state)
{
    (void)state;
    static uint8_t words[128 * 64];
    static uint16_t halves[256];
    static const float other[3] = {1, 2, 3};
    char *out;
    struct nn_file *f;
    const char *in = test_tmp_path("nunchaku.safetensors"), *to = test_tmp_path("ours.safetensors");
    for (size_t i = 0; i < 256; i++)
        halves[i] = fv_f32_to_f16(0.5f);
    struct nn_save_tensor list[] = {{"x.0.qkv_proj.qweight", NN_DATA_I8, 2, {128, 64}, words},
                                    {"x.0.qkv_proj.wscales", NN_DATA_F16, 2, {2, 128}, halves},
                                    {"x.0.qkv_proj.bias", NN_DATA_F16, 1, {128}, halves},
                                    {"x.0.norm_q.weight", NN_DATA_F32, 1, {3}, other}};
    memset(words, 0x1f, sizeof words); /* -1 and 1 in turn */
    assert_ok(nn_safetensors_save(in, list, 4, NULL, 0));
    assert_int_equal(test_fovea(&out, "quantize %s -o %s", in, to), 0);
    assert_non_null(strstr(out, "1 layers, of Nunchaku's"));
    free(out);
    assert_ok(nn_file_open(&f, to, NULL));
    float *w = decode(f, "x.0.qkv_proj", 128, 128, QT_RTN4);
    for (size_t i = 0; i < 128 * 128; i++)
        assert_true(w[i] == (i % 2 ? 0.5f : -0.5f));
    size_t count;
    float *bias = values(f, "x.0.qkv_proj.bias", &count), *norm = values(f, "x.0.norm_q.weight", &count);
    assert_true(bias[127] == 0.5f && count == 3 && norm[2] == 3);
    assert_non_null(strstr(nn_file_meta(f, "fovea.quantization"), "nunchaku int4"));
    nn_file_close(&f);
    free(w), free(bias), free(norm);
    list[1].shape[0] = 1;
    assert_ok(nn_safetensors_save(in, list, 4, NULL, 0));
    refuse("not of its layer's size", 1, "quantize %s -o %s", in, to);
}

/* What other programs read, read back. */
static void gguf_holds_the_same(void **state)
{
    (void)state;
    static const struct {
        const char *method;
        enum nn_data type;
        double most;
    } kinds[] = {{"rtn4", NN_DATA_Q4_0, 0.1}, {"rtn8", NN_DATA_Q8_0, 0.006}};
    static float w[96 * 64], patch[8 * 4 * 1 * 2 * 2], odd[70 * 70];
    const char *in = test_tmp_path("gguf.safetensors"), *to = test_tmp_path("out.gguf");
    const struct nn_save_tensor list[] = {{"spatial_blocks.0.attn.qkv.weight", NN_DATA_F32, 2, {96, 64}, w},
                                          {"x_embedder.proj.weight", NN_DATA_F32, 5, {8, 4, 1, 2, 2}, patch},
                                          {"spatial_blocks.0.attn.proj.weight", NN_DATA_F32, 2, {70, 70}, odd}};
    for (size_t i = 0; i < 96 * 64; i++)
        w[i] = sinf((float)i * 0.37f) * (1 + (float)(i % 5));
    for (size_t i = 0; i < sizeof patch / sizeof *patch; i++)
        patch[i] = (float)i;
    for (size_t i = 0; i < 70 * 70; i++)
        odd[i] = (float)i / 7;
    assert_ok(nn_safetensors_save(in, list, 3, NULL, 0));
    for (size_t i = 0; i < 2; i++) {
        char *out;
        struct nn_file *f;
        size_t count;
        int rc = test_fovea(&out, "quantize %s -o %s --method %s", in, to, kinds[i].method);
        if (rc)
            fail_msg("%s", out);
        free(out);
        assert_ok(nn_file_open(&f, to, NULL));
        assert_int_equal(f->kind, NN_FILE_GGUF);
        assert_int_equal(nn_file_find(f, list[0].name)->type, kinds[i].type);
        assert_int_equal(nn_file_find(f, list[0].name)->shape[0], 96);
        float *q = values(f, list[0].name, &count);
        assert_true(difference(q, w, count) < kinds[i].most);
        free(q);
        assert_int_equal(nn_file_find(f, list[1].name)->rank, 5);
        assert_int_equal(nn_file_find(f, list[1].name)->shape[2], 1);
        q = values(f, list[1].name, &count);
        assert_memory_equal(q, patch, sizeof patch);
        free(q);
        q = values(f, list[2].name, &count); /* 70 is no whole number of blocks */
        assert_memory_equal(q, odd, sizeof odd);
        free(q);
        nn_file_close(&f);
    }
    refuse("rtn4 (Q4_0) and rtn8 (Q8_0)", 2, "quantize %s -o %s", in, to);
}

/* By calibration: nearer than rounding; a kept calibration gives the same bytes, and serves one file alone. */
static void svdquant_is_nearer(void **state)
{
    (void)state;
    NEEDS_MODEL();
    static const char *const parts[] = {"transformer", "text_encoder"};
    char *out, one[1200], two[1200];
    const char *a = test_tmp_path("svd-a"), *b = test_tmp_path("svd-b"), *report = test_tmp_path("svd.json"),
               *kept = test_tmp_path("calibration.safetensors"), *prompts = test_tmp_path("prompts.txt");
    test_write_file(prompts, "a red ball\n\na blue box at night\n", 32);
    int rc = test_fovea(&out, "quantize %s -o %s --text 4 --gptq all --rows 64 --samples 2 --steps 2 -p %s --calibration %s "
                              "--report %s", model, a, prompts, kept, report);
    if (rc)
        fail_msg("status %d\n%s", rc, out);
    free(out);
    cJSON *doc = test_read_json(report);
    for (size_t i = 0; i < 2; i++) {
        cJSON *part = cJSON_GetObjectItem(doc, parts[i]);
        assert_true(cJSON_GetObjectItem(part, "mean_error")->valuedouble <
                    0.7 * cJSON_GetObjectItem(part, "mean_plain_error")->valuedouble);
    }
    cJSON_Delete(doc);
    /* The calibration is taken from the file: other --samples do not matter. */
    assert_int_equal(test_fovea(&out, "quantize %s -o %s --gptq all --rows 64 --calibration %s", model, b, kept), 0);
    free(out);
    snprintf(one, sizeof one, "%s/transformer/model.safetensors", a);
    snprintf(two, sizeof two, "%s/transformer/model.safetensors", b);
    same_bytes(one, two);
    const char *file = test_tmp_path("svd.safetensors");
    assert_int_equal(test_fovea(&out, "quantize %s/transformer -o %s --rows 64 --calibration %s", model, file, kept), 0);
    free(out);
    struct nn_file *f;
    assert_ok(nn_file_open(&f, file, NULL));
    const struct nn_file_tensor *down = nn_file_find(f, "temporal_blocks.1.mlp.fc2.lora_down"),
                                *up = nn_file_find(f, "temporal_blocks.1.mlp.fc2.lora_up"),
                                *smooth = nn_file_find(f, "temporal_blocks.1.mlp.fc2.smooth");
    assert_true(down && up && smooth);
    assert_int_equal(down->type, NN_DATA_F16);
    assert_int_equal(smooth->type, NN_DATA_F32);
    assert_int_equal(down->shape[0], up->shape[1]);
    assert_int_equal(down->shape[1], smooth->shape[0]);
    nn_file_close(&f);
    assert_int_equal(test_fovea(&out, "generate \"a red ball\" -o %s --seed 1 --model %s --steps 2", test_tmp_path("a.safetensors"), a), 0);
    free(out);
    refuse("is not a whole model", 2, "quantize %s/transformer -o %s", model, file);
    refuse("for --rows 8", 1, "quantize %s -o %s --rows 8 --calibration %s", model, b, kept);
    refuse("--gptq is of --method svdquant", 2, "quantize %s -o %s --method rtn4 --gptq all", model, b);
    refuse("is no calibration", 1, "quantize %s -o %s --calibration %s/transformer/model.safetensors", model, b, model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(baselines_are_near),
        cmocka_unit_test(layers_may_stay),
        cmocka_unit_test(bad_models_are_refused),
        cmocka_unit_test(nothing_is_taken_of_another),
        cmocka_unit_test(interrupted_runs_go_on),
        cmocka_unit_test(killed_runs_go_on),
        cmocka_unit_test(numbers_stay_where_there_is_room),
        cmocka_unit_test(full_disks_are_told),
        cmocka_unit_test(foreign_layers_are_taken),
        cmocka_unit_test(gguf_holds_the_same),
        cmocka_unit_test(svdquant_is_nearer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

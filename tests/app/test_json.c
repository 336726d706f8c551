/* docs/reference/json.md against what the real binary prints with --json: every key that is printed is
 * documented with its type, every documented one is printed. */
#include "support/test.h"

#include <cjson/cJSON.h>
#include <fnmatch.h>
#include <sys/stat.h>

enum { MOST_ROWS = 1024, MOST_LEAVES = 8192 };

/* A line of the page: "list[].name?  string  what it is", its braces written out. */
struct row {
    char section[64], path[128], type[32];
    bool optional, seen;
};
static struct row rows[MOST_ROWS];
static size_t row_count;

static void add_row(const char *section, const char *path, const char *type, bool optional)
{
    const char *open = strchr(path, '{'), *close = open ? strchr(open, '}') : NULL;
    if (!close) {
        assert_true(row_count < MOST_ROWS);
        struct row *r = &rows[row_count++];
        snprintf(r->section, sizeof r->section, "%s", section);
        snprintf(r->path, sizeof r->path, "%s", path);
        snprintf(r->type, sizeof r->type, "%s", type);
        r->optional = optional;
        return;
    }
    for (const char *at = open + 1; at < close; at++) {
        char one[256];
        size_t n = strcspn(at, ",}");
        snprintf(one, sizeof one, "%.*s%.*s%s", (int)(open - path), path, (int)n, at, close + 1);
        add_row(section, one, type, optional);
        at += n;
    }
}

static void read_page(void)
{
    size_t size;
    char *text = test_read_file(test_source("docs/reference/json.md"), &size), *save = NULL, section[64] = "";
    for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
        char path[256], type[32];
        if (!strncmp(l, "## ", 3))
            snprintf(section, sizeof section, "%s", l + 3);
        if (strncmp(l, "    ", 4) || sscanf(l, " %255s %31s", path, type) != 2)
            continue;
        size_t n = strlen(path);
        bool optional = path[n - 1] == '?';
        path[n - optional] = 0;
        add_row(section, path, type, optional);
    }
    free(text);
}

/* ---- what is printed ---------------------------------------------------------------------- */

struct leaf {
    char path[256];
    const char *type;
    bool container;
};
static struct leaf leaves[MOST_LEAVES];
static size_t leaf_count;

static void add_leaf(const char *path, const char *type, bool container)
{
    for (size_t i = 0; i < leaf_count; i++) /* of a list's elements one */
        if (!strcmp(leaves[i].path, path) && leaves[i].type == type)
            return;
    assert_true(leaf_count < MOST_LEAVES);
    struct leaf *l = &leaves[leaf_count++];
    snprintf(l->path, sizeof l->path, "%s", path);
    l->type = type;
    l->container = container;
}

static void flatten(const cJSON *v, const char *path)
{
    const cJSON *e;
    char inner[256];
    if (!cJSON_IsObject(v) && !cJSON_IsArray(v)) {
        add_leaf(path, cJSON_IsString(v)   ? "string"
                       : cJSON_IsNumber(v) ? "number"
                       : cJSON_IsBool(v)   ? "bool"
                                           : "null", false);
        return;
    }
    if (v->child)
        add_leaf(path, "", true);
    cJSON_ArrayForEach(e, v)
    {
        if (cJSON_IsArray(v))
            snprintf(inner, sizeof inner, "%s[]", path);
        else
            snprintf(inner, sizeof inner, "%s%s%s", path, *path ? "." : "", e->string);
        flatten(e, inner);
    }
}

/* "*" is any name, "**" all that is below. Brackets are no classes here. */
static bool matches(const char *pattern, const char *path)
{
    char quoted[600], *to = quoted;
    bool deep = strstr(pattern, "**") != NULL;
    for (const char *p = pattern; *p; p++) {
        if (*p == '[' || *p == ']')
            *to++ = '\\';
        *to++ = *p == '.' && !deep ? '/' : *p; /* a star does not pass a slash */
    }
    *to = 0;
    char slashed[256];
    snprintf(slashed, sizeof slashed, "%s", path);
    for (char *p = slashed; *p && !deep; p++)
        *p = *p == '.' ? '/' : *p;
    return !fnmatch(quoted, slashed, deep ? 0 : FNM_PATHNAME);
}

static bool takes(const struct row *r, const struct leaf *l)
{
    const char *at = strstr(r->type, l->type);
    size_t n = strlen(l->type);
    return !strcmp(r->type, "any") ||
           (at && (at == r->type || at[-1] == '|') && (!at[n] || at[n] == '|'));
}

/* The list or object that a key stands in is there and not empty. */
static bool parent_is_there(const char *path)
{
    char parent[128];
    snprintf(parent, sizeof parent, "%s", path);
    size_t n = strlen(parent);
    if (n > 2 && !strcmp(parent + n - 2, "[]"))
        parent[n - 2] = 0;
    else if (strrchr(parent, '.'))
        *strrchr(parent, '.') = 0;
    else
        return true;
    for (size_t i = 0; i < leaf_count; i++)
        if (leaves[i].container && matches(parent, leaves[i].path))
            return true;
    return false;
}

static void check_section(const char *section, const char *command)
{
    size_t known = 0;
    for (size_t i = 0; i < leaf_count; i++) {
        bool found = leaves[i].container;
        for (size_t r = 0; r < row_count && !found; r++)
            if (!strcmp(rows[r].section, section) && matches(rows[r].path, leaves[i].path) && takes(&rows[r], &leaves[i]))
                found = rows[r].seen = true;
        if (!found)
            fail_msg("fovea %s: %s (%s) is not in json.md, \"%s\"", command, leaves[i].path, leaves[i].type, section);
    }
    for (size_t r = 0; r < row_count; r++) {
        if (strcmp(rows[r].section, section))
            continue;
        known++;
        bool found = rows[r].optional || !parent_is_there(rows[r].path);
        for (size_t i = 0; i < leaf_count && !found; i++)
            found = !leaves[i].container && matches(rows[r].path, leaves[i].path) && takes(&rows[r], &leaves[i]);
        if (!found)
            fail_msg("fovea %s: prints no %s (%s), which json.md has", command, rows[r].path, rows[r].type);
    }
    if (!known)
        fail_msg("json.md has no section \"%s\"", section);
}

/* Runs a command whose standard output is one document. */
static void documented(const char *section, const char *fmt, ...)
{
    char line[2048], *out;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    int rc = test_fovea(&out, "%s", line);
    cJSON *doc = rc ? NULL : cJSON_Parse(out);
    if (!doc)
        fail_msg("fovea %s: status %d, no JSON: %s", line, rc, out);
    free(out);
    leaf_count = 0;
    flatten(doc, "");
    cJSON_Delete(doc);
    check_section(section, line);
}

/* ---- commands ----------------------------------------------------------------------------- */

static const char *scene(void)
{
    const char *path = test_golden("01_forward/tiny50_sh3/scene.ply");
    if (!path)
        skip();
    return path;
}

static void the_check_finds_what_is_wrong(void **state)
{
    (void)state;
    assert_true(matches("list[].name", "list[].name") && !matches("list[].name", "list[]xname"));
    assert_true(matches("types.*.bytes", "types.F16.bytes") && !matches("types.*.bytes", "types.F16.x.bytes"));
    assert_true(matches("comment.**", "comment.options.seed") && matches("*_bytes", "offset_bytes"));
    assert_true(!matches("*_bytes", "stages.text.peak_bytes"));
    const struct row r = {.type = "number|null"};
    assert_true(takes(&r, &(struct leaf){.type = "null"}) && takes(&r, &(struct leaf){.type = "number"}));
    assert_false(takes(&r, &(struct leaf){.type = "string"}));
}

static void scenes(void **state)
{
    (void)state;
    documented("info of a scene", "info --json %s", scene());
    documented("info of a scene", "info --json %s", test_source("assets/scenes/playbot.sog"));
    documented("info of a stream", "info --json %s", test_source("assets/streams/head.fvv"));
    documented("info of cameras", "info --json %s", test_golden("01_forward/tiny50_sh3/cameras.json"));
    documented("info of cameras", "info --json %s", test_source("assets/streams/head.path.json"));
    documented("devices", "devices --json");
    documented("convert", "convert %s -o %s --json", scene(), test_tmp_path("a.ply"));
    documented("encode", "encode %s %s -o %s --json", test_tmp_path("a.ply"), test_tmp_path("a.ply"),
               test_tmp_path("a.fvv"));
    const char *cameras = test_golden("06_cameras/transforms");
    if (cameras)
        documented("check", "check --arch cameras %s --json", cameras);
}

static void pictures_and_videos(void **state)
{
    (void)state;
    const char *dev = test_device_option();
    documented("render", "%s render %s -s 64x48 -n 2 -o %s --json", dev, scene(), test_tmp_path("a.mp4"));
    documented("render", "%s render %s -s 64x48 -o %s --json", dev, scene(), test_tmp_path("a.png"));
    documented("info of a video", "info --json %s", test_tmp_path("a.mp4"));
    documented("info of a picture", "info --json %s", test_tmp_path("a.png"));
    documented("compare", "compare %s %s --json", test_tmp_path("a.mp4"), test_tmp_path("a.mp4"));
}

static void models(void **state)
{
    (void)state;
    const char *dev = test_device_option();
    char model[600];
    snprintf(model, sizeof model, "%s", test_source("assets/models/demo"));
    documented("info of a model", "info --json %s", model);
    documented("info of weights", "info --json %s/vae/model.safetensors --tensors", model);
    documented("generate", "%s generate \"a red ball\" --steps 1 --frames 5 --seed 1 -o %s --json", dev,
               test_tmp_path("g.mp4"));
    documented("info of a video", "info --json %s", test_tmp_path("g.mp4"));
    documented("generate --dry-run", "%s generate \"a red ball\" --dry-run --json", dev);
    documented("vae encode, decode, roundtrip", "%s vae encode %s --model %s/vae -o %s --json", dev,
               test_tmp_path("g.mp4"), model, test_tmp_path("l.safetensors"));
    documented("vae encode, decode, roundtrip", "%s vae roundtrip %s -n 1 --model %s/vae --json", dev,
               test_tmp_path("g.mp4"), model);
    documented("vae info", "vae info --model %s/vae -s 64x64 --json", model);
    documented("quantize", "%s quantize %s/dit/model.safetensors -o %s --method rtn4 --json", dev, model,
               test_tmp_path("q.safetensors"));
    documented("info of weights", "info --json %s", test_tmp_path("q.safetensors"));
}

static int setup(void **state)
{
    (void)state;
    read_page();
    return row_count > 200 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_check_finds_what_is_wrong),
        cmocka_unit_test(scenes),
        cmocka_unit_test(pictures_and_videos),
        cmocka_unit_test(models),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}

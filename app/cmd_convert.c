/* fovea convert: scenes to another format, merged and edited. */
#include "app/neural_in.h"
#include "app/scene_in.h"
#include "app/stream_in.h"
#include "app/text.h"
#include "vk/base/file.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct values {
    const char *output, *rotate;
    int format, mode, spz_version, frame, progress, appearance;
    struct scene_opts scene;
    struct opt_box crop;
    struct opt_vec3 translate, eye;
    double scale, min_opacity;
    bool lite, json;
};

/* In the order of enum gs_format. */
static const char *const formats[] = {
    "auto", "ply", "compressed.ply", "splat", "ksplat", "spz", "sog", "glb", NULL};
static const char *const modes[] = {"auto", "classic", "antialiased", NULL};

#define AT(m) offsetof(struct values, m)
static const struct opt opts[] = {
    {"output", 'o', OPT_STRING, AT(output), .value = "OUT", .file = OPT_WRITES,
     .help = ".ply .compressed.ply .splat .spz .sog .glb; .safetensors of anchors"},
    {"format", 'f', OPT_ENUM, AT(format), .def = "auto", .choices = formats,
     .help = "when the name does not say it"},
    {.type = OPT_GROUP, .help = "What is kept"},
    {"crop", 0, OPT_BOX, AT(crop), .help = "centres inside x0,y0,z0,x1,y1,z1"},
    {"min-opacity", 0, OPT_FLOAT, AT(min_opacity), .def = "0", .max = 1,
     .help = "Gaussians at least this opaque, 0 to 1"},
    {"frame", 0, OPT_INT, AT(frame), .def = "0", .max = 16777215, .help = "of a stream (.fvv)"},
    {"eye", 0, OPT_VEC3, AT(eye),
     .help = "of anchors: the place whose view is baked, x,y,z; default in front of the scene"},
    {"appearance", 0, OPT_INT, AT(appearance), .rare = true, .def = "0", .max = 1048575,
     .help = "of anchors (Scaffold-GS): the training picture whose light is taken"},
    SCENE_OPTS(struct values, scene),
    {.type = OPT_GROUP, .help = "Moving it"},
    {"rotate", 0, OPT_STRING, AT(rotate), .value = "TURNS",
     .help = "degrees about axes in turn, x:90,z:-45, or a quaternion w,x,y,z"},
    {"scale", 0, OPT_FLOAT, AT(scale), .def = "1", .min = 1e-9, .max = 1e9,
     .help = "factor on the whole scene"},
    {"translate", 0, OPT_VEC3, AT(translate), .help = "moved by x,y,z after that"},
    {.type = OPT_GROUP, .help = "Writing"},
    {"mode", 0, OPT_ENUM, AT(mode), .def = "auto", .choices = modes,
     .help = "pixel filter written to the file; auto keeps what the input says"},
    {"lite", 0, OPT_FLAG, AT(lite), .rare = true,
     .help = "of SAGS to .safetensors: points half way between two others keep no features"},
    {"spz-version", 0, OPT_INT, AT(spz_version), .def = "3", .min = 2, .max = 4,
     .help = "of .spz output"},
    {"json", 0, OPT_FLAG, AT(json), .help = "say what was written as JSON"},
    {"progress", 0, OPT_ENUM, AT(progress), .def = "auto", .choices = progress_choices,
     .help = "on standard error"},
    {0}};

/* a*b: the turn b, then a. */
static void multiply(float out[4], const float a[4], const float b[4])
{
    float q[4] = {a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3],
                  a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2],
                  a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1],
                  a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0]};
    memcpy(out, q, sizeof q);
}

static int bad_rotation(const char *text)
{
    return fv_fail(CMD_USAGE,
                   "--rotate: \"%s\" is neither turns such as x:90,z:-45 nor a "
                   "quaternion w,x,y,z",
                   text);
}

static int parse_quaternion(const char *text, float q[4])
{
    const char *at = text;
    float norm = 0;
    for (int i = 0; i < 4; i++) {
        char *end;
        q[i] = strtof(at, &end);
        if (end == at || !isfinite(q[i]) || *end != (i < 3 ? ',' : 0))
            return bad_rotation(text);
        norm += q[i] * q[i];
        at = end + 1;
    }
    if (!(norm > 1e-12f))
        return bad_rotation(text);
    for (int i = 0; i < 4; i++)
        q[i] /= sqrtf(norm);
    return 0;
}

static int parse_rotation(const char *text, float q[4])
{
    q[0] = 1;
    q[1] = q[2] = q[3] = 0;
    if (!text)
        return 0;
    if (!strchr(text, ':'))
        return parse_quaternion(text, q);
    for (const char *at = text;;) {
        if (at[0] < 'x' || at[0] > 'z' || at[1] != ':')
            return bad_rotation(text);
        char *end;
        double degrees = strtod(at + 2, &end), half = degrees * 0.008726646259971648;
        if (end == at + 2 || !isfinite(degrees) || (*end && *end != ','))
            return bad_rotation(text);
        float turn[4] = {(float)cos(half), 0, 0, 0};
        turn[1 + at[0] - 'x'] = (float)sin(half);
        multiply(q, turn, q);
        if (!*end)
            return 0;
        at = end + 1;
    }
}

static int load(struct gs_scene *scene, const char *path, const struct values *v, struct progress *p)
{
    const double eye[3] = {(double)v->eye.v[0], (double)v->eye.v[1], (double)v->eye.v[2]};
    if (nl_is(path))
        return neural_in_bake(path, eye, v->eye.set, (uint32_t)v->appearance, scene);
    if (!stream_in_is(path))
        return scene_in_load(scene, path, &v->scene, p);
    struct stream_in in;
    struct scene_opts how = v->scene;
    how.on_wait = stream_in_progress;
    how.wait_ud = p;
    *scene = (struct gs_scene){0};
    FV_TRY(stream_in_open(&in, path, &how));
    in.view = (struct nl_stream_view){.bake = true, .has_eye = v->eye.set, .camera = (uint32_t)v->appearance};
    memcpy(in.view.eye, eye, sizeof eye);
    int rc = stream_in_whole(&in);
    rc = rc == 0 ? stream_in_decode(&in, (uint32_t)v->frame, scene) : rc;
    stream_in_finish(&in);
    return rc;
}

static int load_all(struct gs_scene *scene, const struct values *v, const struct opt_args *args,
                    struct progress *p)
{
    FV_TRY(load(scene, args->items[0], v, p));
    for (size_t i = 1; i < args->count; i++) {
        struct gs_scene more;
        FV_TRY(load(&more, args->items[i], v, p));
        int rc = gs_scene_append(scene, &more);
        gs_scene_finish(&more);
        FV_TRY(rc);
    }
    return 0;
}

static int edit(struct gs_scene *s, const struct values *v, const float rotate[4])
{
    if (v->crop.set)
        FV_TRY(gs_scene_crop(s, v->crop.min, v->crop.max));
    if (v->min_opacity > 0)
        FV_TRY(gs_scene_prune_opacity(s, (float)v->min_opacity));
    if (!s->count)
        return fv_fail(FV_EINVALID, "no Gaussians are left after --crop and --min-opacity");
    if (v->rotate || v->scale != 1 || v->translate.set)
        FV_TRY(gs_scene_transform(s, rotate, (float)v->scale, v->translate.v));
    if (v->mode)
        s->mode = (enum gs_mode)v->mode;
    return 0;
}

static uint64_t file_bytes(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
}

static void summary_json(const struct values *v, const struct gs_scene *s, size_t read, const char *more)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "output", v->output);
    cJSON_AddNumberToObject(o, "bytes", (double)file_bytes(v->output));
    if (s) {
        cJSON_AddNumberToObject(o, "gaussians", (double)s->count);
        cJSON_AddNumberToObject(o, "sh_degree", s->sh_degree);
    }
    cJSON_AddNumberToObject(o, more, (double)read);
    print_cjson(o);
}

static void summary(const struct values *v, const struct gs_scene *s, size_t read,
                    const struct opt_args *args)
{
    uint64_t in = 0, out = file_bytes(v->output);
    char count[32], was[32], size[32], in_size[32];
    for (size_t i = 0; i < args->count; i++)
        in += file_bytes(args->items[i]);
    count_text(count, s->count);
    count_text(was, read);
    bytes_text(size, out);
    bytes_text(in_size, in);
    printf("%s: %s Gaussians, SH %d, %s", v->output, count, s->sh_degree, size);
    if (in)
        printf(" (read %s, %s)", was, in_size);
    putchar('\n');
}

/* Anchors with their networks in one file, nothing decoded. */
static int save_anchors(struct app *app, const struct values *v, const struct opt_args *args)
{
    struct nl_model m;
    char size[32];
    if (args->count != 1 || !nl_is(args->items[0]))
        return fv_fail(CMD_USAGE, "%s: .safetensors holds one scene of anchors (Scaffold-GS, SAGS)",
                       v->output);
    if (v->crop.set || v->min_opacity > 0 || v->rotate || v->scale != 1 || v->translate.set || v->eye.set)
        return fv_fail(CMD_USAGE, "%s: anchors are written as they are: no edits, no --eye", v->output);
    FV_TRY(nl_open(&m, args->items[0], NULL));
    int rc = v->lite ? nl_make_lite(&m) : 0;
    if (rc >= 0)
        rc = nl_save(&m, v->output);
    bytes_text(size, file_bytes(v->output));
    if (rc >= 0 && v->json)
        summary_json(v, NULL, m.count, m.midpoints ? "points" : "anchors");
    else if (rc >= 0 && app_talks(app) && m.midpoints)
        printf("%s: %u points, %u of them midpoints, %s\n", v->output, m.count, m.midpoints, size);
    else if (rc >= 0 && app_talks(app))
        printf("%s: %u anchors, %s\n", v->output, m.count, size);
    nl_finish(&m);
    return rc;
}

static int run(struct app *app, const void *values, const struct opt_args *args)
{
    const struct values *v = values;
    struct gs_scene scene = {0};
    struct progress p;
    float rotate[4];
    if (!v->output)
        return fv_fail(CMD_USAGE, "needs -o OUT, such as -o scene.spz");
    FV_TRY(app_mute(app, v->output, v->json));
    if (!strcmp(v->output, "-") && !v->format)
        return fv_fail(CMD_USAGE, "-o -: say what goes to standard output: --format ply, spz, splat, sog ...");
    FV_TRY(parse_rotation(v->rotate, rotate));
    if (v->lite && !fv_ends_with(v->output, ".safetensors"))
        return fv_fail(CMD_USAGE, "--lite: %s is of Gaussians; it is for .safetensors", v->output);
    if (fv_ends_with(v->output, ".safetensors"))
        return save_anchors(app, v, args);
    progress_start(&p, (enum progress_mode)v->progress, NULL, app->quiet);
    int rc = load_all(&scene, v, args, &p);
    size_t read = scene.count;
    if (rc >= 0)
        rc = edit(&scene, v, rotate);
    if (rc >= 0)
        rc = gs_scene_save(&scene, v->output,
                           &(struct gs_save_opts){.format = (enum gs_format)v->format,
                                                  .spz_version = v->spz_version,
                                                  .on_progress = progress_update,
                                                  .ud = &p});
    progress_done(&p);
    if (rc >= 0 && v->json)
        summary_json(v, &scene, read, "gaussians_read");
    else if (rc >= 0 && app_talks(app))
        summary(v, &scene, read, args);
    gs_scene_finish(&scene);
    return rc;
}

const struct cmd cmd_convert = {
    .name = "convert",
    .summary = "scenes to another format, merged, cropped, turned",
    .usage = "IN... -o OUT [OPTION]...",
    .examples = "fovea convert scene.ply -o scene.spz\tto a tenth of the size\n"
                "fovea convert a.ply b.ply -o both.sog --min-opacity 0.02\tmerged and thinned\n"
                "fovea convert garden_sags/ -o garden.spz\tanchors, as one place sees them\n"
                "fovea convert talk.fvv --frame 12 -o 12.ply\ta frame of a stream",
    .details = "Crop and opacity are in the coordinates of the input; turning, scaling and "
               "moving come after them, in this order. Spherical harmonics turn with the scene.",
    .opts = opts,
    .size = sizeof(struct values),
    .least_args = 1,
    .most_args = 4096,
    .arg = "a scene file",
    .args = (const struct cmd_arg[]){{"in", .file = OPT_READS, .many = true}, {0}},
    .run = run,
};

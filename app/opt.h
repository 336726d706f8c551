/* Option tables: one row per option drives parsing of argv and of JSON, --help, the man page
 * and shell completion, so that none of them can fall behind.
 *
 *     struct values { const char *output; int frames; bool exact; };
 *     static const struct opt opts[] = {
 *         {"output", 'o', OPT_STRING, offsetof(struct values, output), .value = "FILE",
 *          .help = "where to write"},
 *         {"frames", 0, OPT_INT, offsetof(struct values, frames), .def = "120", .min = 1,
 *          .max = 1e6, .value = "N", .help = "number of frames"},
 *         {"exact", 0, OPT_FLAG, offsetof(struct values, exact), .help = "reference arithmetic"},
 *         {0}};
 *     FV_TRY(opt_defaults(opts, &v));
 *     FV_TRY(opt_parse(&(struct opt_set){opts, &v}, 1, &args, argc, argv, &arena));
 */
#ifndef OPT_H
#define OPT_H

#include "vk/base/arena.h"
#include "vk/base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum opt_type {
    OPT_END,    /* the row after the last */
    OPT_GROUP,  /* a heading for --help: only .help */
    OPT_FLAG,   /* bool; takes no value */
    OPT_INT,    /* int */
    OPT_FLOAT,  /* double */
    OPT_STRING, /* const char *, in the arena; NULL when neither given nor defaulted */
    OPT_ENUM,   /* int: index into choices */
    OPT_SIZE,   /* struct opt_size: 1280x720 */
    OPT_VEC3,   /* struct opt_vec3: 1,2,3 */
    OPT_COLOR,  /* struct opt_vec3: 0.1,0.2,0.3 or [#]rrggbb, stored 0..1 */
    OPT_BOX,    /* struct opt_box: x0,y0,z0,x1,y1,z1; sorted so that min <= max */
    OPT_BYTES,  /* uint64_t: 500k, 8M (decimal), 64Mi (binary) */
    OPT_RATE,   /* struct opt_rate: 30, 29.97, 30000/1001 */
};

struct opt_size {
    bool set;
    uint32_t width, height;
};

struct opt_vec3 {
    bool set;
    float v[3];
};

struct opt_box {
    bool set;
    float min[3], max[3];
};

struct opt_rate {
    bool set;
    uint32_t num, den;
};

/* What is done with the file an option or argument names. */
enum opt_file {
    OPT_NO_FILE,
    OPT_READS,   /* an input: must be there; - is standard input */
    OPT_MODEL,   /* likewise, and worth keeping open for the next job of a batch */
    OPT_WRITES,  /* a result, complete when the command ends */
    OPT_SHOWS,   /* written again and again while the command runs, for people */
    OPT_RESUMES, /* where the command goes on from when it was interrupted */
};

struct opt {
    const char *name; /* long name without dashes */
    char short_name;  /* 0 = none */
    enum opt_type type;
    size_t offset;              /* into the values */
    const char *def;            /* default, as text; NULL = zero */
    const char *value;          /* placeholder in help: "FILE" */
    const char *help;           /* one line, no full stop; starts in lower case */
    const char *const *choices; /* OPT_ENUM: names, NULL last */
    double min, max;            /* OPT_INT, OPT_FLOAT: range when min < max */
    enum opt_file file;         /* a file's name: completion offers them */
    bool rare;                  /* only in `fovea help COMMAND` and the man page, not --help */
};

/* A table with the values it fills. */
struct opt_set {
    const struct opt *opts;
    void *values;
};

/* What was not an option. Borrowed from argv or the arena. */
struct opt_args {
    const char **items;
    size_t count;
};

/* Fills values from the defaults. Fails only on a table that is wrong. */
int opt_defaults(const struct opt *opts, void *values);

/* Parses argv[0..argc) in GNU style (--x=y, --x y, -o y, -oy, -ab, --) against several
 * tables. Unknown options get a suggestion. Returns 0 or FV_EINVALID. */
int opt_parse(const struct opt_set *sets, size_t nsets, struct opt_args *args, int argc,
              char *const *argv, struct fv_arena *arena);

/* The same from a JSON object whose keys are long names (numbers, text, true, arrays of
 * numbers); "args" is an array of texts for the positional arguments. */
int opt_from_json(const struct opt_set *sets, size_t nsets, struct opt_args *args,
                  struct fv_json *doc, struct fv_node object, struct fv_arena *arena);

/* One member of such an object. */
int opt_from_json_member(const struct opt_set *sets, size_t nsets, struct fv_json *doc, struct fv_node n,
                         const char *key, struct fv_arena *arena);

/* Sets one option from text as if given on the command line. */
int opt_assign(const struct opt *o, void *values, const char *text, struct fv_arena *arena);

/* The options whose values differ from their defaults, as one JSON object
 * {"frames":30,"bg":"0.1,0.2,0.3"}; caller frees. NULL when memory is out. */
char *opt_to_json(const struct opt *opts, const void *values);

/* Row by long name; NULL if there is none. */
const struct opt *opt_find(const struct opt *opts, const char *name);
/* As of OPT_BYTES; false: text is none. */
bool opt_amount(uint64_t *out, const char *text);
/* The nearest of the names (NULL last) to a misspelt word, or NULL when none is near. */
const char *opt_nearest(const char *word, const char *const *names);
/* "FILE", "WxH" ... as shown in help; NULL for flags. */
const char *opt_placeholder(const struct opt *o);

#endif

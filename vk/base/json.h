/* JSON: parsing with limits, and typed getters whose errors name the place
 * ("cams.json: frames[3].fl_x: expected a number, found text").
 *
 *     struct fv_json doc;
 *     FV_TRY(fv_json_open(&doc, "transforms.json"));
 *     struct fv_node frames = fv_json_array(&doc, doc.root, "frames");
 *     for (size_t i = 0; i < fv_node_count(frames); i++) {
 *         struct fv_node f = fv_node_at(frames, i);
 *         double fx = fv_json_number(&doc, f, "fl_x");
 *     }
 *     if (doc.failed) ...                       // once; the text is in fv_error()
 *     fv_json_close(&doc);
 */
#ifndef FV_JSON_H
#define FV_JSON_H

#include <stdbool.h>
#include <stddef.h>

struct cJSON;

/* A value and where it stands, for messages. A missing value has item NULL. */
struct fv_node {
    struct cJSON *item;
    char place[96];
    unsigned parent; /* length of the parent's part of place */
};

struct fv_json {
    char *name; /* the file's, for messages */
    struct fv_node root;
    bool failed; /* sticky: getters after a failure return zeros */
};

/* Reads a file of at most 256 MiB, 4 million values, nested at most 64 deep. Returns 0, FV_EIO,
 * FV_EFORMAT. */
int fv_json_open(struct fv_json *out, const char *path);
/* NAME of a folder; 1 when there is none. */
int fv_json_open_in(struct fv_json *out, const char *dir, const char *name);
/* The same from memory; name is for messages. */
int fv_json_parse(struct fv_json *out, const char *text, size_t size, const char *name);
void fv_json_close(struct fv_json *doc);

/* Sets doc->failed with "name: place: message" unless it is set already. */
int fv_json_fail(struct fv_json *doc, struct fv_node at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

bool fv_node_has(struct fv_node object, const char *key);
bool fv_node_is_array(struct fv_node n);
bool fv_node_is_object(struct fv_node n);
bool fv_node_is_string(struct fv_node n);
bool fv_node_is_number(struct fv_node n);
/* Elements of an array or members of an object; 0 for others. */
size_t fv_node_count(struct fv_node n);
/* Element i (O(1) when walked in order); its key is cJSON's item->string for an object. */
struct fv_node fv_node_at(struct fv_node n, size_t i);
/* The sibling after n, which is number next_index (from 0) of its parent. */
struct fv_node fv_node_next(struct fv_node n, size_t next_index);
const char *fv_node_key(struct fv_node n);
/* Borrowed text of an element; "" when it is not text. */
const char *fv_node_string(struct fv_node n);
/* Value of a number element; 0 when it is none. May be infinite (1e999). */
double fv_node_number(struct fv_node n);
/* The member, or a node without item. */
struct fv_node fv_node_get(struct fv_node object, const char *key);

/* The member where it is a number of low..high, else or_: of files in which nothing is an error. */
double fv_node_number_within(struct fv_node object, const char *key, double low, double high, double or_);

/* Required members: the wrong type or absence fails the document. */
struct fv_node fv_json_object(struct fv_json *doc, struct fv_node object, const char *key);
struct fv_node fv_json_array(struct fv_json *doc, struct fv_node object, const char *key);
double fv_json_number(struct fv_json *doc, struct fv_node object, const char *key);
/* A whole number in min..max. */
long long fv_json_int(struct fv_json *doc, struct fv_node object, const char *key, long long min,
                      long long max);
/* Borrowed text; "" after a failure. */
const char *fv_json_string(struct fv_json *doc, struct fv_node object, const char *key);
/* Optional members: the default when absent; the wrong type still fails. */
double fv_json_number_or(struct fv_json *doc, struct fv_node object, const char *key, double or_);
bool fv_json_bool_or(struct fv_json *doc, struct fv_node object, const char *key, bool or_);
const char *fv_json_string_or(struct fv_json *doc, struct fv_node object, const char *key,
                              const char *or_);
/* n numbers of an array node (nested arrays are read in order: [[1,2],[3,4]] is 4 numbers).
 * Too few or too many fail. Every number must be finite. */
void fv_json_numbers(struct fv_json *doc, struct fv_node array, double *out, size_t n);

#endif

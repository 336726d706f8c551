/* fovea check: rows of a table, one for each quantity compared with a reference file.
 *
 *     check_group(c, "front_gsplat_classic");
 *     struct check_error e;
 *     check_measure(&e, got, want, NULL, n, &bounds);
 *     check_row(c, "means2d", &e);
 */
#ifndef CHECK_H
#define CHECK_H

#include "app/cmd.h"
#include "app/progress.h"

#include <stdbool.h>
#include <stddef.h>

struct check {
    struct app *app;
    size_t passed, failed, skipped;
    bool json;
    struct cJSON *rows; /* with json */
    char place[512];    /* directory under test, printed once, before its first row */
    char place_shown[512];
    char group[256]; /* printed once, before its first row */
    bool group_shown;
};

/* What a quantity may differ by. An element is good when its difference is at most
 * absolute + relative * |expected|. */
struct check_bounds {
    double absolute, relative;
    double least_good; /* part of the elements that must be good; 0 = all of them */
    double most;       /* ... and what the others may differ by (relative to max(1,|expected|)) */
    double most_mean;  /* 0 = not looked at */
};

struct check_error {
    size_t count, bad; /* elements compared, elements out of tolerance */
    double max, mean;  /* of the absolute difference */
    size_t first;      /* index of the first element out of tolerance */
    double got, want;  /* its values */
    size_t width;      /* elements a row, to print the index as row and column; 0 = flat */
    double least_good; /* of the bounds */
    bool ok;
};

/* got and want as double arrays; NaN in want is skipped, NaN in got is out of tolerance.
 * slack: more tolerance for each element; NULL = none. */
void check_measure(struct check_error *e, const double *got, const double *want,
                   const double *slack, size_t n, const struct check_bounds *b);
/* What follows is in this directory; in this group of rows. */
void check_place(struct check *c, const char *dir);
void check_group(struct check *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void check_row(struct check *c, const char *quantity, const struct check_error *e);
/* Errors of a whole tensor: the largest as a part of the expected rms, and the relative 2-norm. */
struct check_norms {
    double limit;
    bool by_max; /* the limit is of the first, else of the second */
    size_t count;
    double max, relative;
    size_t worst; /* index of the largest */
    double got, want;
    bool ok;
};
void check_norms_measure(struct check_norms *e, const float *got, const float *want, size_t n);
void check_norms_row(struct check *c, const char *quantity, const struct check_norms *e);
/* A remark on the group; no row. */
void check_note(struct check *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A row that only holds or not, with the reason when not. */
void check_fact(struct check *c, const char *quantity, bool ok, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void check_skip(struct check *c, const char *quantity, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The failure stored by fv_fail as a row. */
void check_failure(struct check *c, const char *quantity);

/* One directory each; a negative code only for what stops the whole check (no device, no such
 * directory); wrong results are rows. */
int check_splat(struct check *c, const char *dir);
int check_formats(struct check *c, const char *dir);
int check_cameras(struct check *c, const char *dir);
int check_queen(struct check *c, const char *dir);
int check_neural(struct check *c, const char *dir);
int check_tokenizer(struct check *c, const char *dir);
int check_prompts(struct check *c, const char *dir);

#endif

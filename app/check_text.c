/* check --arch tokenizer_*, opensora12_text: words and prompts against the authors' (check.h). All must be
 * equal: a row a quantity, which names the first text that is not. */
#include "app/check.h"
#include "diffusion/diffusion.h"
#include "vk/base/file.h"
#include "vk/base/json.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tally {
    size_t count, wrong;
    char first[256]; /* the first text that is not as expected */
};

static void tell(struct tally *t, bool ok, const char *text)
{
    t->count++;
    if (!ok && t->wrong++ == 0)
        snprintf(t->first, sizeof t->first, "%.100s", text);
}

static void tally_row(struct check *c, const char *quantity, const struct tally *t)
{
    if (!t->count)
        return;
    if (t->wrong)
        check_fact(c, quantity, false, "%zu of %zu differ, the first of \"%s\"", t->wrong, t->count, t->first);
    else
        check_fact(c, quantity, true, "%zu as expected", t->count);
}

/* ---- words ------------------------------------------------------------------------------- */

static bool same_ids(struct fv_json *doc, struct fv_node want, const int32_t *ids, size_t n)
{
    if (fv_node_count(want) != n)
        return false;
    double *w = malloc(n * sizeof *w + 1);
    bool same = w != NULL;
    if (w)
        fv_json_numbers(doc, want, w, n);
    for (size_t i = 0; same && i < n; i++)
        same = w[i] == ids[i];
    free(w);
    return same && !doc->failed;
}

struct words {
    struct check *check;
    struct df_tokenizer *t;
    struct fv_json *doc;
    struct tally ids, with_end, cut, mask, length;
};

static int plain_words(struct words *w, struct fv_node n, const char *text)
{
    int32_t *ids;
    size_t count;
    FV_TRY(df_tokenizer_words(w->t, text, false, &ids, &count));
    tell(&w->ids, same_ids(w->doc, fv_json_array(w->doc, n, "ids"), ids, count), text);
    if (fv_node_has(n, "padded77_len")) {
        int32_t all[77];
        bool mask[77];
        long long length = 0;
        size_t left_out;
        int rc = df_tokenizer_encode(w->t, text, false, 77, all, mask, &left_out);
        while (rc == 0 && length < 77 && mask[length])
            length++;
        tell(&w->length, rc == 0 && (left_out || length == fv_json_int(w->doc, n, "padded77_len", 0, 1 << 20)) &&
                             (left_out > 0) == fv_json_bool_or(w->doc, n, "too_long", false), text);
    }
    free(ids);
    return 0;
}

/* What transformers makes of it: the end is put behind it. Special words were text there. */
static int words_with_end(struct words *w, struct fv_node n, const char *text)
{
    enum { MOST = 1 << 16 };
    struct fv_node all = fv_node_get(n, "hf_t5_input_ids"), some = fv_node_get(n, "hf_t5_max12_ids");
    size_t count = fv_node_count(all);
    if (count && count < MOST) {
        int32_t *ids = calloc(count, sizeof *ids);
        size_t left_out = 0;
        int rc = ids ? df_tokenizer_encode(w->t, text, false, (uint32_t)count, ids, NULL, &left_out)
                     : fv_fail(FV_ENOMEM, "out of memory");
        tell(&w->with_end, rc == 0 && !left_out && same_ids(w->doc, all, ids, count), text);
        free(ids);
        FV_TRY(rc);
    }
    if (fv_node_count(some) == 12) {
        int32_t ids[12], numbers[12];
        bool mask[12];
        FV_TRY(df_tokenizer_encode(w->t, text, false, 12, ids, mask, NULL));
        for (int i = 0; i < 12; i++)
            numbers[i] = mask[i];
        tell(&w->cut, same_ids(w->doc, some, ids, 12), text);
        tell(&w->mask, same_ids(w->doc, fv_json_array(w->doc, n, "hf_t5_max12_mask"), numbers, 12), text);
    }
    return 0;
}

static int check_words(struct check *c, struct df_tokenizer *t, struct fv_json *doc, struct fv_node cases)
{
    struct words w = {.check = c, .t = t, .doc = doc};
    int rc = 0;
    for (size_t i = 0; i < fv_node_count(cases) && rc == 0 && !doc->failed; i++) {
        struct fv_node n = fv_node_at(cases, i);
        const char *text = fv_json_string(doc, n, "text");
        rc = plain_words(&w, n, text);
        if (rc == 0)
            rc = words_with_end(&w, n, text);
    }
    tally_row(c, "words", &w.ids);
    tally_row(c, "words and end", &w.with_end);
    tally_row(c, "cut to 12", &w.cut);
    tally_row(c, "mask of 12", &w.mask);
    tally_row(c, "length in 77", &w.length);
    return rc < 0 ? rc : doc->failed ? FV_EFORMAT : 0;
}

/* The file that the cases name, else the folder, else where the vocabulary of all CLIP models is kept. */
static char *tokenizer_of(struct fv_json *doc, const char *dir)
{
    const char *name = fv_json_string_or(doc, doc->root, "model_file", "");
    char *here = fv_path_join(dir, "merges.txt");
    bool has = here && fv_exists(here);
    free(here);
    return fv_path_join(dir, *name ? name : has ? "." : "../../../data/tokenizers/clip");
}

static int check_tokens_file(struct check *c, const char *dir, const char *path)
{
    struct fv_json doc;
    struct df_tokenizer *t = NULL;
    FV_TRY(fv_json_open(&doc, path));
    struct fv_node cases = fv_node_is_array(doc.root) ? doc.root : fv_json_array(&doc, doc.root, "cases");
    char *model = tokenizer_of(&doc, dir);
    check_group(c, "%s", fv_path_base(path));
    int rc = !model ? fv_fail(FV_ENOMEM, "out of memory") : doc.failed ? FV_EFORMAT : 0;
    if (rc == 0)
        rc = df_tokenizer_open(&t, model);
    if (rc == 0)
        rc = check_words(c, t, &doc, cases);
    if (rc < 0 && rc != FV_ENOMEM) {
        check_failure(c, "error");
        rc = 0;
    }
    df_tokenizer_close(&t);
    free(model);
    fv_json_close(&doc);
    return rc;
}

static int is_json(const struct dirent *e)
{
    return (!strncmp(e->d_name, "sp_", 3) || !strncmp(e->d_name, "cases", 5)) &&
           fv_ends_with(e->d_name, ".json");
}

int check_tokenizer(struct check *c, const char *dir)
{
    struct dirent **list = NULL;
    int n = scandir(dir, &list, is_json, alphasort), rc = 0;
    for (int i = 0; i < n; i++) {
        char *path = fv_path_join(dir, list[i]->d_name);
        if (rc == 0)
            rc = path ? check_tokens_file(c, dir, path) : fv_fail(FV_ENOMEM, "out of memory");
        free(path);
        free(list[i]);
    }
    free(list);
    return rc;
}

/* ---- prompts ----------------------------------------------------------------------------- */

static bool same_and_free(int rc, char *got, const char *want)
{
    bool same = rc == 0 && !strcmp(got, want);
    free(got);
    return same;
}

static void check_captions(struct check *c, struct fv_json *doc)
{
    struct tally once = {0}, twice = {0}, none = {0};
    char *out;
    int rc;
    check_group(c, "clean_caption.json");
    for (size_t i = 0; i < fv_node_count(doc->root) && !doc->failed; i++) {
        struct fv_node n = fv_node_at(doc->root, i);
        const char *text = fv_json_string(doc, n, "text");
        rc = df_clean_caption(&out, text, true);
        tell(&once, same_and_free(rc, out, fv_json_string(doc, n, "clean_once")), text);
        rc = df_clean_caption(&out, text, false);
        tell(&twice, same_and_free(rc, out, fv_json_string(doc, n, "text_preprocessing")), text);
        rc = df_plain_caption(&out, text);
        tell(&none, same_and_free(rc, out, fv_json_string(doc, n, "no_preprocessing")), text);
    }
    tally_row(c, "cleaned once", &once);
    tally_row(c, "cleaned twice", &twice);
    tally_row(c, "not cleaned", &none);
}

/* What the authors' script was called with is not in the file, only what it gave. */
static const char *const scored[] = {"a cat", "a dog |0| runs |5| sleeps"};
static const char *const split[] = {"plain", "|0| a |3| b"};
static const char *const rounds = "|0|a |3|b";
static const char *const with_json[] = {"a cat {\"reference_path\": \"r.png\", \"mask_strategy\": \"0\"}", "b"};
static const char *const with_json_before[] = {"x", "y"}; /* references that were given beside */
static const char *const strategy_before[] = {"", "0,1"};

static const char *text_at(struct fv_node list, size_t i)
{
    struct fv_node n = fv_node_at(list, i);
    return fv_node_is_array(n) ? fv_node_string(fv_node_at(n, 0)) : fv_node_string(n);
}

static void check_scores(struct check *c, struct fv_json *doc)
{
    struct tally all = {0}, one = {0};
    struct fv_node a = fv_json_array(doc, doc->root, "append_score"),
                   b = fv_json_array(doc, doc->root, "append_aes_only");
    const struct df_scores full = {6.5, 2.5, "pan left"}, part = {6.5, NAN, NULL};
    char *out;
    int rc;
    for (size_t i = 0; i < 2 && i < fv_node_count(a) && i < fv_node_count(b); i++) {
        rc = df_append_scores(&out, scored[i], &full);
        tell(&all, same_and_free(rc, out, text_at(a, i)), scored[i]);
        rc = df_append_scores(&out, scored[i], &part);
        tell(&one, same_and_free(rc, out, text_at(b, i)), scored[i]);
    }
    tally_row(c, "scores", &all);
    tally_row(c, "aesthetic score", &one);
}

static void check_rounds(struct check *c, struct fv_json *doc)
{
    struct tally parts = {0}, loop = {0};
    struct fv_node s = fv_json_array(doc, doc->root, "split"), l = fv_json_array(doc, doc->root, "loop");
    for (size_t i = 0; i < 2 && i < fv_node_count(s); i++) {
        struct df_prompt_part *p;
        size_t count;
        struct fv_node texts = fv_node_at(fv_node_at(s, i), 0), from = fv_node_at(fv_node_at(s, i), 1);
        bool ok = df_split_prompt(&p, &count, split[i]) == 0 && count == fv_node_count(texts);
        for (size_t k = 0; ok && k < count; k++)
            ok = !strcmp(p[k].text, fv_node_string(fv_node_at(texts, k))) &&
                 (!fv_node_is_array(from) || p[k].from == fv_node_number(fv_node_at(from, k)));
        df_prompt_parts_free(p, count);
        tell(&parts, ok, split[i]);
    }
    for (size_t i = 0; i < fv_node_count(l); i++) {
        char *out;
        int rc = df_prompt_of_round(&out, rounds, (uint32_t)i);
        tell(&loop, same_and_free(rc, out, text_at(l, i)), rounds);
    }
    tally_row(c, "parts", &parts);
    tally_row(c, "rounds", &loop);
}

static void check_json_tail(struct check *c, struct fv_json *doc)
{
    struct tally t = {0};
    struct fv_node n = fv_node_at(fv_json_array(doc, doc->root, "json"), 0);
    for (size_t i = 0; i < 2 && fv_node_count(n) == 3; i++) {
        char *text, *reference, *strategy;
        bool ok = df_prompt_json(with_json[i], &text, &reference, &strategy) == 0 &&
                  !strcmp(text, text_at(fv_node_at(n, 0), i)) &&
                  !strcmp(reference ? reference : with_json_before[i], text_at(fv_node_at(n, 1), i)) &&
                  !strcmp(strategy ? strategy : strategy_before[i], text_at(fv_node_at(n, 2), i));
        free(text);
        free(reference);
        free(strategy);
        tell(&t, ok, with_json[i]);
    }
    tally_row(c, "JSON behind", &t);
}

static void check_strategies(struct check *c, struct fv_json *doc)
{
    struct tally strategy = {0}, frames = {0};
    struct fv_node list = fv_json_array(doc, doc->root, "parse_mask"),
                   d = fv_json_array(doc, doc->root, "dframe");
    for (size_t i = 0; i < fv_node_count(list); i++) {
        struct df_mask_rule *r;
        size_t count;
        struct fv_node n = fv_node_at(list, i), want = fv_node_at(n, 1);
        const char *text = fv_node_string(fv_node_at(n, 0));
        bool ok = df_parse_mask_strategy(&r, &count, text) == 0 && count == fv_node_count(want);
        for (size_t k = 0; ok && k < count; k++) {
            double w[6];
            fv_json_numbers(doc, fv_node_at(want, k), w, 6);
            ok = !doc->failed && r[k].round == w[0] && r[k].reference == w[1] && r[k].from == w[2] &&
                 r[k].to == w[3] && r[k].length == w[4] && r[k].edit == w[5];
        }
        free(r);
        tell(&strategy, ok, text);
    }
    for (size_t i = 0; i < fv_node_count(d); i++) {
        struct fv_node n = fv_node_at(d, i);
        tell(&frames, df_latents_to_frames((int)fv_node_number(fv_node_at(n, 0))) ==
                          fv_node_number(fv_node_at(n, 1)), "dframe");
    }
    tally_row(c, "mask strategies", &strategy);
    tally_row(c, "latents to frames", &frames);
}

int check_prompts(struct check *c, const char *dir)
{
    static const char *const names[] = {"clean_caption.json", "prompt_utils.json"};
    for (int i = 0; i < 2; i++) {
        struct fv_json doc;
        char *path = fv_path_join(dir, names[i]);
        int rc = path ? 0 : fv_fail(FV_ENOMEM, "out of memory");
        bool there = path && fv_exists(path);
        if (there)
            rc = fv_json_open(&doc, path);
        free(path);
        if (rc < 0)
            return rc;
        if (!there)
            continue;
        if (!i) {
            check_captions(c, &doc);
        } else {
            check_group(c, "%s", names[i]);
            check_scores(c, &doc);
            check_rounds(c, &doc);
            check_json_tail(c, &doc);
            check_strategies(c, &doc);
        }
        if (doc.failed)
            check_failure(c, names[i]);
        fv_json_close(&doc);
    }
    return 0;
}

/* Texts to words: which kind of files there are, special words, beginning, end and padding. */
#include "diffusion/bpe.h"
#include "diffusion/diffusion.h"
#include "diffusion/sentencepiece.h"
#include "diffusion/unicode.h"
#include "vk/base/array.h"
#include "vk/base/file.h"
#include "vk/base/json.h"

#include <stdlib.h>
#include <string.h>

struct df_tokenizer {
    struct df_tokenizer_info info;
    struct df_pieces pieces;
    struct df_sentences *sentences;
    struct df_bpe *bpe; /* instead */
};

struct ids {
    int32_t *at;
    size_t count, room;
};

static int add(struct ids *l, int32_t id)
{
    FV_TRY(fv_grow(&l->at, &l->room, l->count, sizeof *l->at));
    l->at[l->count++] = id;
    return 0;
}

/* ---- opening ----------------------------------------------------------------------------- */

/* How many words for gaps tokenizer_config.json says there are. */
static int read_gaps(const char *dir, int *gaps)
{
    struct fv_json doc;
    int rc = fv_json_open_in(&doc, dir, "tokenizer_config.json");
    *gaps = DF_GAPS;
    if (rc != 0)
        return rc < 0 ? rc : 0;
    if (fv_node_has(doc.root, "extra_ids"))
        *gaps = (int)fv_json_int(&doc, doc.root, "extra_ids", 0, 10000);
    rc = doc.failed ? FV_EFORMAT : 0;
    fv_json_close(&doc);
    return rc;
}

static int open_sentencepiece(struct df_tokenizer *t, const struct fv_map *map, const char *name,
                              const char *dir)
{
    struct df_pieces *p = &t->pieces;
    int gaps;
    FV_TRY(read_gaps(dir, &gaps));
    FV_TRY(df_pieces_read(p, map->data, map->size, name, gaps));
    FV_TRY(df_sentences_open(&t->sentences, p));
    int32_t end = df_pieces_find(p, "</s>"), pad = df_pieces_find(p, "<pad>");
    t->info = (struct df_tokenizer_info){.words = (uint32_t)p->count, .begin = -1,
                                         .end = end < 0 ? p->unknown : end,
                                         .pad = pad < 0 ? p->unknown : pad};
    for (size_t i = 0; i < p->special_count; i++)
        if ((uint32_t)p->specials[i].id >= t->info.words)
            t->info.words = (uint32_t)p->specials[i].id + 1;
    return 0;
}

/* The word that special_tokens_map.json beside a file names for padding; `usual` where it names none. */
static int read_pad(const struct df_tokenizer *t, const char *dir, int32_t usual, int32_t *pad)
{
    struct fv_json doc;
    int rc = fv_json_open_in(&doc, dir, "special_tokens_map.json");
    *pad = usual;
    if (rc != 0)
        return rc < 0 ? rc : 0;
    struct fv_node n = fv_node_get(doc.root, "pad_token");
    int32_t id = df_bpe_find(t->bpe, fv_node_is_object(n) ? fv_node_string(fv_node_get(n, "content"))
                                                          : fv_node_string(n));
    *pad = id < 0 ? usual : id;
    fv_json_close(&doc);
    return 0;
}

static int open_merges(struct df_tokenizer *t, const struct fv_map *merges, const char *name, const char *dir)
{
    struct fv_map vocabulary = {0};
    char *path = fv_path_join(dir, "vocab.json");
    int rc = path ? fv_map_open(&vocabulary, path) : fv_fail(FV_ENOMEM, "out of memory");
    if (rc == 0)
        rc = df_bpe_parse(&t->bpe, (const char *)merges->data, merges->size, name,
                          vocabulary.size ? (const char *)vocabulary.data : "", vocabulary.size, path);
    fv_map_close(&vocabulary);
    free(path);
    return rc;
}

/* Whether a tokenizer.json holds byte pairs. */
static int has_pairs(const struct fv_map *map, const char *name, bool *pairs)
{
    struct fv_json doc;
    FV_TRY(fv_json_parse(&doc, (const char *)map->data, map->size, name));
    struct fv_node model = fv_node_get(doc.root, "model");
    *pairs = !strcmp(fv_node_string(fv_node_get(model, "type")), "BPE");
    fv_json_close(&doc);
    return 0;
}

static int open_file(struct df_tokenizer *t, const struct fv_map *map, const char *name)
{
    bool pairs = fv_ends_with(name, "merges.txt"), simple = !pairs && (fv_ends_with(name, ".gz") ||
                                                                       fv_ends_with(name, ".txt"));
    char *dir = fv_path_dir(name);
    int rc = dir ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    if (rc == 0 && pairs)
        rc = open_merges(t, map, name, dir);
    else if (rc == 0 && simple)
        rc = df_bpe_parse_simple(&t->bpe, map->data, map->size, name);
    else if (rc == 0 && fv_ends_with(name, ".json"))
        rc = has_pairs(map, name, &pairs);
    if (rc == 0 && pairs && !t->bpe)
        rc = df_bpe_parse_json(&t->bpe, (const char *)map->data, map->size, name);
    if (rc == 0 && !t->bpe) {
        rc = open_sentencepiece(t, map, name, dir);
    } else if (rc == 0) {
        int32_t end = df_bpe_find(t->bpe, "<|endoftext|>");
        t->info = (struct df_tokenizer_info){.words = df_bpe_words(t->bpe), .end = end,
                                             .begin = df_bpe_find(t->bpe, "<|startoftext|>")};
        rc = read_pad(t, dir, simple ? 0 : end, &t->info.pad);
    }
    free(dir);
    return rc;
}

/* The file of a folder that says how texts are cut; malloc'd. */
static int find_file(char **out, const char *path)
{
    static const char *const names[] = {"spiece.model", "tokenizer.model", "sentencepiece.bpe.model",
                                        "merges.txt", "bpe_simple_vocab_16e6.txt.gz", "tokenizer.json"};
    const char *base = fv_path_base(path);
    *out = NULL;
    if (!fv_is_dir(path)) {
        bool words = !strcmp(base, "vocab.json"); /* its merges.txt says more */
        char *dir = words ? fv_path_dir(path) : NULL;
        *out = words ? dir ? fv_path_join(dir, "merges.txt") : NULL : strdup(path);
        free(dir);
        return *out ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *file = fv_path_join(path, names[i]);
        if (!file)
            return fv_fail(FV_ENOMEM, "out of memory");
        if (fv_exists(file)) {
            *out = file;
            return 0;
        }
        free(file);
    }
    return fv_fail(FV_EIO, "%s: no tokenizer in it: spiece.model, merges.txt and vocab.json, or tokenizer.json",
                   path);
}

int df_tokenizer_open(struct df_tokenizer **out, const char *path)
{
    struct df_tokenizer *t = *out = calloc(1, sizeof *t);
    struct fv_map map = {0};
    char *file = NULL;
    if (!t)
        return fv_fail(FV_ENOMEM, "out of memory");
    int rc = find_file(&file, path);
    if (rc == 0)
        rc = fv_map_open(&map, file);
    if (rc == 0 && !map.size)
        rc = fv_fail(FV_EFORMAT, "%s: is empty", file);
    if (rc == 0)
        rc = open_file(t, &map, file);
    fv_map_close(&map);
    free(file);
    if (rc < 0)
        df_tokenizer_close(out);
    return rc;
}

void df_tokenizer_close(struct df_tokenizer **t)
{
    if (!*t)
        return;
    df_bpe_close(&(*t)->bpe);
    df_sentences_close(&(*t)->sentences);
    df_pieces_finish(&(*t)->pieces);
    free(*t);
    *t = NULL;
}

const struct df_tokenizer_info *df_tokenizer_info(const struct df_tokenizer *t)
{
    return &t->info;
}

/* ---- words ------------------------------------------------------------------------------- */

/* The longest special word that begins here. */
static const struct df_special *special_at(const struct df_pieces *p, const char *text, size_t n)
{
    const struct df_special *best = NULL;
    for (size_t i = 0; i < p->special_count; i++) {
        const struct df_special *s = &p->specials[i];
        if (s->text[0] == text[0] && s->size <= n && (!best || s->size > best->size) &&
            !memcmp(s->text, text, s->size))
            best = s;
    }
    return best;
}

static bool first_bytes(const struct df_pieces *p, bool first[256])
{
    memset(first, 0, 256 * sizeof *first);
    for (size_t i = 0; i < p->special_count; i++)
        first[(unsigned char)p->specials[i].text[0]] = true;
    return p->special_count > 0;
}

/* A part of the text between special words; white space beside those is dropped. */
static int add_text(const struct df_tokenizer *t, const char *text, size_t n, bool strip_left,
                    bool strip_right, struct ids *out)
{
    struct df_chars c = {0};
    int32_t *ids = NULL;
    size_t count = 0, first = 0;
    int rc = df_chars_decode(&c, text, n);
    if (rc == 0) {
        while (strip_left && first < c.count && df_char_is(c.at[first]) & DF_SPACE)
            first++;
        while (strip_right && c.count > first && df_char_is(c.at[c.count - 1]) & DF_SPACE)
            c.count--;
        struct df_chars part = {c.at ? c.at + first : NULL, c.count - first, 0};
        char *bytes = df_chars_encode(&part);
        rc = bytes ? df_sentences_encode(t->sentences, bytes, strlen(bytes), &ids, &count)
                   : fv_fail(FV_ENOMEM, "out of memory");
        free(bytes);
    }
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = add(out, ids[i]);
    free(ids);
    df_chars_finish(&c);
    return rc;
}

static int cut(const struct df_tokenizer *t, const char *text, bool special, struct ids *out)
{
    const size_t n = strlen(text);
    bool first[256], after = false;
    struct df_chars all = {0};
    int rc = df_chars_decode(&all, text, n); /* told with its place in the whole text */
    df_chars_finish(&all);
    FV_TRY(rc);
    special = first_bytes(&t->pieces, first) && special;
    size_t start = 0;
    for (size_t i = 0; special && i < n;) {
        const struct df_special *s =
            first[(unsigned char)text[i]] ? special_at(&t->pieces, text + i, n - i) : NULL;
        if (!s) {
            i++;
            continue;
        }
        FV_TRY(add_text(t, text + start, i - start, after, true, out));
        FV_TRY(add(out, s->id));
        after = true;
        i += s->size;
        start = i;
    }
    return add_text(t, text + start, n - start, after, false, out);
}

int df_tokenizer_words(const struct df_tokenizer *t, const char *text, bool special, int32_t **ids,
                       size_t *count)
{
    if (t->bpe) /* its special words are always recognised, as by its authors */
        return df_bpe_encode(t->bpe, text, ids, count);
    struct ids out = {0};
    int rc = cut(t, text, special, &out);
    if (rc == 0 && !out.at)
        rc = fv_grow(&out.at, &out.room, 0, sizeof *out.at);
    if (rc < 0) {
        free(out.at);
        out = (struct ids){0};
    }
    *ids = out.at;
    *count = out.count;
    return rc;
}

int df_tokenizer_encode(const struct df_tokenizer *t, const char *text, bool special, uint32_t n,
                        int32_t *ids, bool *mask, size_t *left_out)
{
    int32_t *words;
    size_t count;
    uint32_t at = 0, around = t->info.begin < 0 ? 1 : 2;
    if (n < around)
        return fv_fail(FV_EINVALID, "a text of %u words: no room for its end", n);
    FV_TRY(df_tokenizer_words(t, text, special, &words, &count));
    size_t kept = count < n - around ? count : n - around;
    if (t->info.begin >= 0)
        ids[at++] = t->info.begin;
    memcpy(ids + at, words, kept * sizeof *ids);
    at += (uint32_t)kept;
    ids[at++] = t->info.end;
    for (uint32_t i = 0; mask && i < n; i++)
        mask[i] = i < at;
    for (; at < n; at++)
        ids[at] = t->info.pad;
    if (left_out)
        *left_out = count - kept;
    free(words);
    return 0;
}

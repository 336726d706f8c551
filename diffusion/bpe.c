/* Byte pair encoding. Words are numbers from the first: a pair of numbers makes another where a merge says
 * so; of all pairs of a word the merge that stands first in the file is made first, the leftmost of equal
 * ones, by a heap. */
#include "diffusion/bpe.h"
#include "diffusion/clean.h"
#include "vk/base/arena.h"
#include "vk/base/array.h"
#include "vk/base/err.h"
#include "vk/base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { MOST_WORDS = 1 << 20, MOST_WORD = 1024, SIMPLE_MERGES = 48894, MOST_TEXT = 64 << 20 };

struct word {
    const char *text;
    int32_t id;
};

struct merge {
    int32_t a, b, whole; /* whole -1: an empty place */
    uint32_t rank;
};

struct df_bpe {
    struct word *words; /* a hash table of `places`, a power of two; text NULL: empty */
    struct merge *merges;
    size_t places, word_count, merge_places, merge_count;
    int32_t byte[2][256]; /* of a byte; of one that ends a word */
    int32_t begin, end;
    uint32_t most; /* numbers are less than this */
    char *name;
    struct fv_arena arena;
};

/* ---- tables ------------------------------------------------------------------------------ */

static uint64_t hash_text(const char *s)
{
    uint64_t h = 14695981039346656037ull;
    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 1099511628211ull;
    return h ^ h >> 29;
}

static uint64_t hash_pair(int32_t a, int32_t b)
{
    uint64_t h = ((uint64_t)(uint32_t)a << 32 | (uint32_t)b) * 0x9E3779B97F4A7C15ull;
    return h ^ h >> 31;
}

static struct word *word_place(const struct df_bpe *b, const char *text)
{
    size_t i = hash_text(text) & (b->places - 1);
    while (b->words[i].text && strcmp(b->words[i].text, text))
        i = (i + 1) & (b->places - 1);
    return &b->words[i];
}

static struct merge *merge_place(const struct df_bpe *b, int32_t x, int32_t y)
{
    size_t i = hash_pair(x, y) & (b->merge_places - 1);
    while (b->merges[i].whole >= 0 && (b->merges[i].a != x || b->merges[i].b != y))
        i = (i + 1) & (b->merge_places - 1);
    return &b->merges[i];
}

int32_t df_bpe_find(const struct df_bpe *b, const char *word)
{
    const struct word *w = word_place(b, word);
    return w->text ? w->id : -1;
}

uint32_t df_bpe_words(const struct df_bpe *b)
{
    return b->most;
}

static int create(struct df_bpe **out, size_t words, size_t merges, const char *name)
{
    struct df_bpe *b = *out = calloc(1, sizeof *b);
    if (!b)
        return fv_fail(FV_ENOMEM, "out of memory");
    b->arena.cap = (size_t)1 << 29;
    for (b->places = 1024; b->places < 2 * words;)
        b->places *= 2;
    for (b->merge_places = 1024; b->merge_places < 2 * merges;)
        b->merge_places *= 2;
    b->words = calloc(b->places, sizeof *b->words);
    b->merges = malloc(b->merge_places * sizeof *b->merges);
    b->name = fv_arena_strndup(&b->arena, name, strlen(name));
    if (!b->words || !b->merges || !b->name)
        return fv_fail(FV_ENOMEM, "out of memory");
    for (size_t i = 0; i < b->merge_places; i++)
        b->merges[i].whole = -1;
    return 0;
}

void df_bpe_close(struct df_bpe **b)
{
    if (!*b)
        return;
    free((*b)->words);
    free((*b)->merges);
    fv_arena_finish(&(*b)->arena);
    free(*b);
    *b = NULL;
}

static int add_word(struct df_bpe *b, const char *text, size_t n, long long id)
{
    if (id < 0 || id >= MOST_WORDS || n > MOST_WORD || b->word_count >= b->places / 2)
        return fv_fail(FV_EFORMAT, "%s: \"%.40s\": too long, or its number is not in 0 to %d", b->name, text,
                       MOST_WORDS - 1);
    char *copy = fv_arena_strndup(&b->arena, text, n);
    if (!copy)
        return FV_ENOMEM;
    struct word *w = word_place(b, copy);
    if (!w->text)
        b->word_count++;
    *w = (struct word){copy, (int32_t)id};
    if ((uint32_t)id >= b->most)
        b->most = (uint32_t)id + 1;
    return 0;
}

static int add_merge(struct df_bpe *b, const char *x, size_t nx, const char *y, size_t ny)
{
    char text[3][MOST_WORD + 1];
    int32_t id[3];
    if (!nx || !ny || nx + ny > MOST_WORD)
        return fv_fail(FV_EFORMAT, "%s: merge %zu: expected two words of at most %d bytes", b->name,
                       b->merge_count + 1, MOST_WORD);
    snprintf(text[0], sizeof text[0], "%.*s", (int)nx, x);
    snprintf(text[1], sizeof text[1], "%.*s", (int)ny, y);
    snprintf(text[2], sizeof text[2], "%.*s%.*s", (int)nx, x, (int)ny, y);
    for (int i = 0; i < 3; i++)
        if ((id[i] = df_bpe_find(b, text[i])) < 0)
            return fv_fail(FV_EFORMAT, "%s: merge %zu: \"%.40s\" is no word of the vocabulary", b->name,
                           b->merge_count + 1, text[i]);
    if (b->merge_count >= b->merge_places / 2)
        return fv_fail(FV_EFORMAT, "%s: too many merges", b->name);
    struct merge *m = merge_place(b, id[0], id[1]);
    *m = (struct merge){id[0], id[1], id[2], (uint32_t)b->merge_count++};
    return 0;
}

/* ---- bytes as characters ----------------------------------------------------------------- */

static bool is_shown(unsigned byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

/* A byte as text: those that cannot be seen are moved behind the first 256 characters, in order. */
static void byte_text(unsigned byte, const char *end, char out[16])
{
    uint32_t c = 256;
    for (unsigned i = 0; i < byte; i++)
        c += !is_shown(i);
    size_t n = df_char_bytes(is_shown(byte) ? byte : c, out);
    strcpy(out + n, end);
}

static int finish(struct df_bpe *b)
{
    char text[16];
    for (int k = 0; k < 2; k++)
        for (unsigned i = 0; i < 256; i++) {
            byte_text(i, k ? "</w>" : "", text);
            b->byte[k][i] = df_bpe_find(b, text);
            if (b->byte[k][i] < 0)
                return fv_fail(FV_EUNSUPPORTED, "%s: no word for byte 0x%02x: not CLIP's vocabulary", b->name, i);
        }
    b->begin = df_bpe_find(b, "<|startoftext|>");
    b->end = df_bpe_find(b, "<|endoftext|>");
    if (b->begin < 0 || b->end < 0)
        return fv_fail(FV_EUNSUPPORTED, "%s: no <|startoftext|> or <|endoftext|>", b->name);
    return 0;
}

/* ---- files ------------------------------------------------------------------------------- */

/* The next line without its end; NULL: there is none. */
static const char *next_line(const char **at, const char *end, size_t *n)
{
    const char *line = *at;
    if (line == end)
        return NULL;
    const char *stop = memchr(line, '\n', (size_t)(end - line));
    *at = stop ? stop + 1 : end;
    *n = (size_t)((stop ? stop : end) - line);
    *n -= *n && line[*n - 1] == '\r';
    return line;
}

static int read_merges(struct df_bpe *b, const char *text, size_t size, size_t most)
{
    const char *at = text, *line;
    size_t n;
    for (size_t number = 0; b->merge_count < most && (line = next_line(&at, text + size, &n)); number++) {
        const char *space = memchr(line, ' ', n);
        if (!n || (!number && (n >= 8 && !memcmp(line, "#version", 8))) || (!number && *line == '"'))
            continue;
        if (!space || memchr(space + 1, ' ', n - (size_t)(space + 1 - line)) || memchr(line, 0, n))
            return fv_fail(FV_EFORMAT, "%s: line %zu: expected two words", b->name, number + 1);
        FV_TRY(add_merge(b, line, (size_t)(space - line), space + 1, n - (size_t)(space + 1 - line)));
    }
    return 0;
}

static size_t count_lines(const char *text, size_t size)
{
    size_t n = 1;
    for (size_t i = 0; i < size; i++)
        n += text[i] == '\n';
    return n;
}

static int read_vocabulary(struct df_bpe *b, struct fv_json *doc, struct fv_node list)
{
    struct fv_node n;
    size_t count = fv_node_count(list);
    if (!fv_node_is_object(list))
        return fv_fail(FV_EFORMAT, "%s: expected {\"word\": number, ...}", doc->name);
    for (size_t i = 0; i < count; i++) {
        n = i ? fv_node_next(n, i) : fv_node_at(list, 0);
        double id = fv_node_number(n);
        if (!fv_node_is_number(n) || !(id >= 0 && id < MOST_WORDS))
            return fv_json_fail(doc, n, "expected a number of a word");
        FV_TRY(add_word(b, fv_node_key(n), strlen(fv_node_key(n)), (long long)id));
    }
    return 0;
}

/* The vocabulary that the merges themselves make. */
static int make_vocabulary(struct df_bpe *b, const char *text, size_t size, size_t most)
{
    const char *at = text, *line;
    char word[2 * MOST_WORD + 16];
    long long id = 0;
    size_t n, merges = 0;
    for (int k = 0; k < 2; k++)
        for (int seen = 1; seen >= 0; seen--) /* those that can be seen come first */
            for (unsigned i = 0; i < 256; i++)
                if (is_shown(i) == seen) {
                    byte_text(i, k ? "</w>" : "", word);
                    FV_TRY(add_word(b, word, strlen(word), id++));
                }
    for (size_t number = 0; merges < most && (line = next_line(&at, text + size, &n)); number++) {
        const char *space = memchr(line, ' ', n);
        if (!n || !number || !space || n > MOST_WORD)
            continue;
        merges++;
        snprintf(word, sizeof word, "%.*s%.*s", (int)(space - line), line, (int)(n - (size_t)(space + 1 - line)),
                 space + 1);
        FV_TRY(add_word(b, word, strlen(word), id++));
    }
    FV_TRY(add_word(b, "<|startoftext|>", 15, id++));
    return add_word(b, "<|endoftext|>", 13, id);
}

static int parse(struct df_bpe *b, const char *merges, size_t merges_size, const char *vocabulary,
                 size_t vocabulary_size, const char *vocabulary_name, size_t most)
{
    if (vocabulary) {
        struct fv_json doc;
        FV_TRY(fv_json_parse(&doc, vocabulary, vocabulary_size, vocabulary_name));
        int rc = read_vocabulary(b, &doc, doc.root);
        fv_json_close(&doc);
        FV_TRY(rc);
    } else {
        FV_TRY(make_vocabulary(b, merges, merges_size, most));
    }
    FV_TRY(read_merges(b, merges, merges_size, most));
    return finish(b);
}

int df_bpe_parse(struct df_bpe **out, const char *merges, size_t merges_size, const char *merges_name,
                 const char *vocabulary, size_t vocabulary_size, const char *vocabulary_name)
{
    size_t lines = count_lines(merges, merges_size), words = 0;
    for (size_t i = 0; i < vocabulary_size; i++)
        words += vocabulary[i] == ':';
    int rc = create(out, (vocabulary ? words : lines) + 1024, lines, merges_name);
    if (rc == 0)
        rc = parse(*out, merges, merges_size, vocabulary, vocabulary_size, vocabulary_name, MOST_WORDS);
    if (rc < 0)
        df_bpe_close(out);
    return rc;
}

static int unzip(const uint8_t *data, size_t size, const char *name, char **out, size_t *count)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)size};
    size_t room = 0;
    int rc = Z_OK;
    *out = NULL;
    *count = 0;
    if (size > 1u << 30 || inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
        return fv_fail(FV_ENOMEM, "%s: cannot be unpacked", name);
    while (rc == Z_OK && *count < MOST_TEXT) {
        char *more = realloc(*out, room = room ? 2 * room : 1 << 16);
        if (!more) {
            rc = Z_MEM_ERROR;
            break;
        }
        *out = more;
        z.next_out = (Bytef *)*out + *count;
        z.avail_out = (uInt)(room - *count);
        rc = inflate(&z, Z_NO_FLUSH);
        *count = room - z.avail_out;
        if (rc == Z_BUF_ERROR || (rc == Z_OK && !z.avail_in && z.avail_out))
            break;
    }
    inflateEnd(&z);
    if (rc == Z_STREAM_END)
        return 0;
    free(*out);
    *out = NULL;
    return rc == Z_MEM_ERROR ? fv_fail(FV_ENOMEM, "out of memory")
                             : fv_fail(FV_EFORMAT, "%s: gzip data are damaged or longer than %d MiB", name,
                                       MOST_TEXT >> 20);
}

int df_bpe_parse_simple(struct df_bpe **out, const uint8_t *data, size_t size, const char *name)
{
    char *text = NULL;
    size_t n = size;
    *out = NULL;
    if (size >= 2 && data[0] == 0x1F && data[1] == 0x8B)
        FV_TRY(unzip(data, size, name, &text, &n));
    const char *lines = text ? text : (const char *)data;
    int rc = create(out, SIMPLE_MERGES + 1024, SIMPLE_MERGES, name);
    if (rc == 0)
        rc = parse(*out, lines, n, NULL, 0, name, SIMPLE_MERGES);
    free(text);
    if (rc < 0)
        df_bpe_close(out);
    return rc;
}

static int read_json_merges(struct df_bpe *b, struct fv_json *doc, struct fv_node list)
{
    struct fv_node n;
    for (size_t i = 0; i < fv_node_count(list); i++) {
        n = i ? fv_node_next(n, i) : fv_node_at(list, 0);
        const char *x = fv_node_is_array(n) ? fv_node_string(fv_node_at(n, 0)) : fv_node_string(n);
        const char *space = strchr(x, ' ');
        const char *y = fv_node_is_array(n) ? fv_node_string(fv_node_at(n, 1)) : space ? space + 1 : "";
        if (!*y || (fv_node_is_array(n) && fv_node_count(n) != 2))
            return fv_json_fail(doc, n, "expected two words");
        FV_TRY(add_merge(b, x, fv_node_is_array(n) ? strlen(x) : (size_t)(space - x), y, strlen(y)));
    }
    return 0;
}

int df_bpe_parse_json(struct df_bpe **out, const char *text, size_t size, const char *name)
{
    struct fv_json doc;
    *out = NULL;
    FV_TRY(fv_json_parse(&doc, text, size, name));
    struct fv_node model = fv_json_object(&doc, doc.root, "model"),
                   vocabulary = fv_json_object(&doc, model, "vocab"),
                   merges = fv_json_array(&doc, model, "merges");
    int rc = doc.failed ? FV_EFORMAT : 0;
    if (rc == 0)
        rc = create(out, fv_node_count(vocabulary) + 1024, fv_node_count(merges), name);
    if (rc == 0)
        rc = read_vocabulary(*out, &doc, vocabulary);
    if (rc == 0)
        rc = read_json_merges(*out, &doc, merges);
    if (rc == 0)
        rc = finish(*out);
    fv_json_close(&doc);
    if (rc < 0)
        df_bpe_close(out);
    return rc;
}

/* ---- encoding ---------------------------------------------------------------------------- */

struct piece {
    int32_t id;       /* -1: it went into the one before */
    int32_t previous, next; /* -1: none */
};

struct choice {
    uint32_t rank;
    int32_t at, a, b; /* a piece and what stood there: an old choice is one that no longer does */
};

struct encoding {
    const struct df_bpe *bpe;
    struct piece *pieces;
    size_t piece_count, piece_room;
    struct choice *heap;
    size_t heap_count, heap_room;
    int32_t *ids;
    size_t count, room;
};

static bool before(const struct choice *a, const struct choice *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static int offer(struct encoding *e, int32_t at)
{
    const struct piece *p = &e->pieces[at];
    if (p->next < 0)
        return 0;
    const struct merge *m = merge_place(e->bpe, p->id, e->pieces[p->next].id);
    if (m->whole < 0)
        return 0;
    FV_TRY(fv_grow(&e->heap, &e->heap_room, e->heap_count, sizeof *e->heap));
    size_t i = e->heap_count++;
    const struct choice c = {m->rank, at, m->a, m->b};
    for (; i && before(&c, &e->heap[(i - 1) / 2]); i = (i - 1) / 2)
        e->heap[i] = e->heap[(i - 1) / 2];
    e->heap[i] = c;
    return 0;
}

static struct choice take(struct encoding *e)
{
    struct choice top = e->heap[0], last = e->heap[--e->heap_count];
    size_t i = 0, child;
    while ((child = 2 * i + 1) < e->heap_count) {
        child += child + 1 < e->heap_count && before(&e->heap[child + 1], &e->heap[child]);
        if (!before(&e->heap[child], &last))
            break;
        e->heap[i] = e->heap[child];
        i = child;
    }
    e->heap[i] = last;
    return top;
}

static int join(struct encoding *e)
{
    while (e->heap_count) {
        struct choice c = take(e);
        struct piece *p = &e->pieces[c.at];
        if (p->id != c.a || p->next < 0 || e->pieces[p->next].id != c.b)
            continue;
        struct piece *gone = &e->pieces[p->next];
        p->id = merge_place(e->bpe, c.a, c.b)->whole;
        p->next = gone->next;
        gone->id = -1;
        if (p->next >= 0)
            e->pieces[p->next].previous = c.at;
        FV_TRY(offer(e, c.at));
        if (p->previous >= 0)
            FV_TRY(offer(e, p->previous));
    }
    return 0;
}

static int give(struct encoding *e, int32_t id)
{
    FV_TRY(fv_grow(&e->ids, &e->room, e->count, sizeof *e->ids));
    e->ids[e->count++] = id;
    return 0;
}

static int encode_word(struct encoding *e, const uint32_t *c, size_t n)
{
    e->piece_count = e->heap_count = 0;
    for (size_t i = 0; i < n; i++) {
        char bytes[4];
        size_t size = df_char_bytes(c[i], bytes);
        for (size_t k = 0; k < size; k++) {
            bool last = i + 1 == n && k + 1 == size;
            int32_t at = (int32_t)e->piece_count;
            FV_TRY(fv_grow(&e->pieces, &e->piece_room, e->piece_count, sizeof *e->pieces));
            e->pieces[e->piece_count++] = (struct piece){e->bpe->byte[last][(unsigned char)bytes[k]], at - 1,
                                                         last ? -1 : at + 1};
        }
    }
    for (size_t i = 0; i < e->piece_count; i++)
        FV_TRY(offer(e, (int32_t)i));
    FV_TRY(join(e));
    for (size_t i = 0; i < e->piece_count; i++)
        if (e->pieces[i].id >= 0)
            FV_TRY(give(e, e->pieces[i].id));
    return 0;
}

static bool stands(const struct df_chars *t, size_t at, const char *text)
{
    for (size_t i = 0; text[i]; i++) {
        uint32_t c = at + i < t->count ? t->at[at + i] : 0;
        if (c != (unsigned char)text[i] && !(c == 0x17F && text[i] == 's')) /* a long s is one in any case */
            return false;
    }
    return true;
}

/* How far the word at a place goes; letters, one digit, or other signs. */
static size_t word_end(const struct df_chars *t, size_t at)
{
    static const char *const endings[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    const unsigned all = DF_LETTER | DF_NUMBER | DF_SPACE;
    unsigned kind = df_char_is(t->at[at]) & all;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (stands(t, at, endings[i]))
            return at + strlen(endings[i]);
    if (kind & DF_NUMBER)
        return at + 1;
    while (++at < t->count && (kind & DF_LETTER ? (df_char_is(t->at[at]) & DF_LETTER) != 0
                                                : !(df_char_is(t->at[at]) & all)))
        ;
    return at;
}

static int encode_text(struct encoding *e, const struct df_chars *t)
{
    for (size_t i = 0, end; i < t->count; i = end) {
        end = i + 1;
        if (df_char_is(t->at[i]) & DF_SPACE)
            continue;
        if (stands(t, i, "<|startoftext|>")) {
            end = i + strlen("<|startoftext|>");
            FV_TRY(give(e, e->bpe->begin));
        } else if (stands(t, i, "<|endoftext|>")) {
            end = i + strlen("<|endoftext|>");
            FV_TRY(give(e, e->bpe->end));
        } else {
            end = word_end(t, i);
            FV_TRY(encode_word(e, t->at + i, end - i));
        }
    }
    return 0;
}

int df_bpe_encode(const struct df_bpe *b, const char *text, int32_t **ids, size_t *count)
{
    struct encoding e = {.bpe = b};
    struct df_chars t = {0};
    int rc = df_chars_decode(&t, text, strlen(text));
    if (rc == 0)
        rc = df_chars_clean_basic(&t);
    if (rc == 0)
        rc = df_chars_lower(&t);
    if (rc == 0)
        rc = encode_text(&e, &t);
    if (rc == 0 && !e.ids)
        rc = fv_grow(&e.ids, &e.room, 0, sizeof *e.ids);
    df_chars_finish(&t);
    free(e.pieces);
    free(e.heap);
    if (rc < 0) {
        free(e.ids);
        e.ids = NULL;
        e.count = 0;
    }
    *ids = e.ids;
    *count = e.count;
    return rc;
}

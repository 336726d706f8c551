/* SentencePiece models from files: .model (a protobuf, ModelProto) and tokenizer.json (unigram), into one
 * table of pieces; and that table as a ModelProto for the library.
 *
 * All that the library would run into is looked at first: pieces are UTF-8 and differ, scores are finite,
 * the compiled map of characters (a double array, then the texts it stands for) never leads outside. */
#include "diffusion/sentencepiece.h"
#include "diffusion/unicode.h"
#include "vk/base/array.h"
#include "vk/base/err.h"
#include "vk/base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PIECES = 1 << 21, MOST_PIECE = 4096 };

/* ---- protobuf ---------------------------------------------------------------------------- */

struct wire {
    const uint8_t *at, *end;
    bool bad;
};

struct field {
    uint32_t number, type;
    uint64_t value; /* of types 0, 1 and 5 */
    const uint8_t *data;
    size_t size; /* of type 2 */
};

static uint64_t varint(struct wire *w)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (w->at == w->end)
            break;
        uint8_t b = *w->at++;
        v |= (uint64_t)(b & 0x7F) << shift;
        if (!(b & 0x80))
            return v;
    }
    w->bad = true;
    return 0;
}

/* The next field; false at the end or where the bytes are none. */
static bool next_field(struct wire *w, struct field *f)
{
    if (w->bad || w->at == w->end)
        return false;
    uint64_t key = varint(w), n = 0;
    *f = (struct field){.number = (uint32_t)(key >> 3), .type = key & 7};
    if (f->type == 0) {
        f->value = varint(w);
    } else if (f->type == 2) {
        n = varint(w);
        f->data = w->at;
        f->size = (size_t)n;
    } else if (f->type == 1 || f->type == 5) {
        n = f->type == 1 ? 8 : 4;
        for (uint64_t i = 0; i < n && i < (uint64_t)(w->end - w->at); i++)
            f->value |= (uint64_t)w->at[i] << 8 * i;
    } else {
        w->bad = true;
    }
    if (n > (uint64_t)(w->end - w->at) || key >> 32 || !f->number)
        w->bad = true;
    else
        w->at += n;
    return !w->bad;
}

static int damaged(const struct df_pieces *p, const char *what)
{
    return fv_fail(FV_EFORMAT, "%s: %s is damaged, or this is no SentencePiece model", p->name, what);
}

static int add_piece(struct df_pieces *p, const void *text, size_t size, float score, int type)
{
    if (p->count == MOST_PIECES)
        return fv_fail(FV_EFORMAT, "%s: more than %d pieces", p->name, MOST_PIECES);
    if (fv_grow(&p->items, &p->room, p->count, sizeof *p->items) < 0)
        return FV_ENOMEM;
    char *copy = fv_arena_strndup(&p->arena, text ? text : "", size);
    if (!copy)
        return FV_ENOMEM;
    p->items[p->count++] = (struct df_piece){copy, size, score, type};
    return 0;
}

static int read_piece(struct df_pieces *p, struct wire w)
{
    struct field f, text = {0};
    float score = 0;
    uint64_t type = DF_PIECE_NORMAL;
    while (next_field(&w, &f)) {
        uint32_t bits = (uint32_t)f.value;
        if (f.number == 1 && f.type == 2)
            text = f;
        else if (f.number == 2 && f.type == 5)
            memcpy(&score, &bits, sizeof score);
        else if (f.number == 3 && f.type == 0)
            type = f.value;
    }
    if (w.bad || type < DF_PIECE_NORMAL || type > DF_PIECE_BYTE)
        return damaged(p, "a piece");
    return add_piece(p, text.data, text.size, score, (int)type);
}

static int read_trainer(struct df_pieces *p, struct wire w)
{
    struct field f;
    while (next_field(&w, &f))
        if (f.type == 0 && f.number == 3)
            p->model_type = f.value <= 4 ? (int)f.value : 0;
        else if (f.type == 0 && f.number == 24)
            p->space_after = f.value != 0;
        else if (f.type == 0 && f.number == 35)
            p->bytes = f.value != 0;
    return w.bad ? damaged(p, "what tells of its training") : 0;
}

static int read_normalizer(struct df_pieces *p, struct wire w)
{
    struct field f;
    while (next_field(&w, &f))
        if (f.type == 2 && f.number == 2) {
            p->charsmap = (const uint8_t *)fv_arena_strndup(&p->arena, (const char *)f.data, f.size);
            p->charsmap_size = f.size;
            if (!p->charsmap)
                return FV_ENOMEM;
        } else if (f.type == 0 && f.number == 3) {
            p->add_prefix = f.value != 0;
        } else if (f.type == 0 && f.number == 4) {
            p->squeeze = f.value != 0;
        } else if (f.type == 0 && f.number == 5) {
            p->escape = f.value != 0;
        }
    return w.bad ? damaged(p, "the normalisation") : 0;
}

static int read_proto(struct df_pieces *p, const uint8_t *data, size_t size)
{
    struct wire w = {data, data + size, false};
    struct field f;
    while (next_field(&w, &f)) {
        struct wire in = {f.data, f.data ? f.data + f.size : NULL, false};
        if (f.type != 2)
            continue;
        if (f.number == 1)
            FV_TRY(read_piece(p, in));
        else if (f.number == 2)
            FV_TRY(read_trainer(p, in));
        else if (f.number == 3)
            FV_TRY(read_normalizer(p, in));
    }
    return w.bad ? damaged(p, "a field") : 0;
}

/* ---- tokenizer.json ---------------------------------------------------------------------- */

static int add_special(struct df_pieces *p, const char *text, int32_t id)
{
    if (!*text)
        return 0;
    if (fv_grow(&p->specials, &p->special_room, p->special_count, sizeof *p->specials) < 0)
        return FV_ENOMEM;
    char *copy = fv_arena_strndup(&p->arena, text, strlen(text));
    if (!copy)
        return FV_ENOMEM;
    p->specials[p->special_count++] = (struct df_special){copy, strlen(text), id};
    return 0;
}

static int value_of(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

static int decode_base64(struct df_pieces *p, const char *text)
{
    size_t n = strlen(text), count = 0;
    uint8_t *out = fv_arena_alloc(&p->arena, n / 4 * 3 + 4);
    uint32_t bits = 0, have = 0;
    if (!out)
        return FV_ENOMEM;
    while (n && text[n - 1] == '=')
        n--;
    for (size_t i = 0; i < n; i++) {
        int v = value_of(text[i]);
        if (v < 0)
            return fv_fail(FV_EFORMAT, "%s: normalizer: precompiled_charsmap is not base64", p->name);
        bits = bits << 6 | (uint32_t)v;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[count++] = (uint8_t)(bits >> have);
        }
    }
    p->charsmap = out;
    p->charsmap_size = count;
    return 0;
}

static int read_normalizers(struct df_pieces *p, struct fv_json *doc, struct fv_node n)
{
    if (!fv_node_is_object(n))
        return 0;
    const char *type = fv_json_string(doc, n, "type");
    if (!strcmp(type, "Sequence")) {
        struct fv_node list = fv_json_array(doc, n, "normalizers");
        for (size_t i = 0; i < fv_node_count(list) && !doc->failed; i++)
            FV_TRY(read_normalizers(p, doc, fv_node_at(list, i)));
        return 0;
    }
    if (!strcmp(type, "Precompiled"))
        return decode_base64(p, fv_json_string_or(doc, n, "precompiled_charsmap", ""));
    if (!strcmp(type, "Strip") || !strcmp(type, "Replace")) {
        p->squeeze = true; /* Replace: of many spaces by one */
        struct fv_node pattern = fv_node_get(n, "pattern");
        if (*type == 'R' && strcmp(fv_json_string_or(doc, pattern, "Regex", ""), " {2,}"))
            return fv_fail(FV_EUNSUPPORTED, "%s: normalizer: replaces more than spaces", p->name);
        return 0;
    }
    return doc->failed ? 0
                       : fv_fail(FV_EUNSUPPORTED, "%s: normalizer %.40s: not known here", p->name, type);
}

static int read_pre_tokenizers(struct df_pieces *p, struct fv_json *doc, struct fv_node n)
{
    if (!fv_node_is_object(n))
        return 0;
    const char *type = fv_json_string(doc, n, "type");
    if (!strcmp(type, "Sequence")) {
        struct fv_node list = fv_json_array(doc, n, "pretokenizers");
        for (size_t i = 0; i < fv_node_count(list) && !doc->failed; i++)
            FV_TRY(read_pre_tokenizers(p, doc, fv_node_at(list, i)));
        return 0;
    }
    if (!strcmp(type, "Metaspace")) {
        p->add_prefix = fv_json_bool_or(doc, n, "add_prefix_space", true) &&
                        strcmp(fv_json_string_or(doc, n, "prepend_scheme", "always"), "never") != 0;
        return 0;
    }
    if (!strcmp(type, "WhitespaceSplit")) {
        p->squeeze = true;
        return 0;
    }
    return doc->failed ? 0
                       : fv_fail(FV_EUNSUPPORTED, "%s: pre_tokenizer %.40s: not known here", p->name, type);
}

static bool is_byte_piece(const struct df_piece *e)
{
    unsigned v;
    char end;
    return e->size == 6 && sscanf(e->text, "<0x%2X%c", &v, &end) == 2 && end == '>';
}

static int read_vocabulary(struct df_pieces *p, struct fv_json *doc)
{
    struct fv_node model = fv_json_object(doc, doc->root, "model");
    const char *type = fv_json_string_or(doc, model, "type", "Unigram");
    struct fv_node list = fv_json_array(doc, model, "vocab"), n;
    if (doc->failed)
        return FV_EFORMAT;
    if (strcmp(type, "Unigram"))
        return fv_fail(FV_EUNSUPPORTED, "%s: model: %.40s is not known here, Unigram is", p->name, type);
    p->bytes = fv_json_bool_or(doc, model, "byte_fallback", false);
    size_t count = fv_node_count(list);
    for (size_t i = 0; i < count; i++) {
        n = i ? fv_node_next(n, i) : fv_node_at(list, 0);
        struct fv_node text = fv_node_at(n, 0), score = fv_node_at(n, 1);
        if (fv_node_count(n) != 2 || !fv_node_is_string(text) || !fv_node_is_number(score))
            return fv_json_fail(doc, n, "expected a piece and its score");
        const char *s = fv_node_string(text);
        FV_TRY(add_piece(p, s, strlen(s), (float)fv_node_number(score), DF_PIECE_NORMAL));
        if (p->bytes && is_byte_piece(&p->items[i]))
            p->items[i].type = DF_PIECE_BYTE;
    }
    if (count)
        p->unknown = (int32_t)fv_json_int(doc, model, "unk_id", 0, (long long)count - 1);
    return doc->failed ? FV_EFORMAT : 0;
}

/* Words that are not cut out of a text by their score. */
static int read_added(struct df_pieces *p, struct fv_json *doc)
{
    struct fv_node list = fv_node_get(doc->root, "added_tokens"), n;
    for (size_t i = 0; i < fv_node_count(list) && !doc->failed; i++) {
        n = i ? fv_node_next(n, i) : fv_node_at(list, 0);
        const char *text = fv_json_string(doc, n, "content");
        int32_t id = (int32_t)fv_json_int(doc, n, "id", 0, MOST_PIECES);
        FV_TRY(add_special(p, text, id));
        if ((size_t)id < p->count && !strcmp(p->items[id].text, text))
            p->items[id].type = DF_PIECE_CONTROL;
    }
    if (!doc->failed && p->count)
        p->items[p->unknown].type = DF_PIECE_UNKNOWN;
    return doc->failed ? FV_EFORMAT : 0;
}

static int read_json(struct df_pieces *p, const void *data, size_t size)
{
    struct fv_json doc;
    FV_TRY(fv_json_parse(&doc, data, size, p->name));
    p->squeeze = false;
    int rc = read_vocabulary(p, &doc);
    if (rc == 0)
        rc = read_added(p, &doc);
    if (rc == 0)
        rc = read_normalizers(p, &doc, fv_node_get(doc.root, "normalizer"));
    if (rc == 0)
        rc = read_pre_tokenizers(p, &doc, fv_node_get(doc.root, "pre_tokenizer"));
    if (rc == 0 && doc.failed)
        rc = FV_EFORMAT;
    fv_json_close(&doc);
    return rc;
}

/* ---- what the library relies on ---------------------------------------------------------- */

static uint32_t unit_at(const uint8_t *units, size_t i)
{
    const uint8_t *b = units + 4 * i;
    return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static uint32_t offset_of(uint32_t unit)
{
    return unit >> 10 << ((unit & 1u << 9) >> 6);
}

/* Every state that bytes lead to in the double array: its 256 next units are in it, and the texts of
 * those that end here lie in the blob behind, which ends with a zero. */
static int walk_charsmap(const struct df_pieces *p, size_t units, size_t texts)
{
    const uint8_t *map = p->charsmap + 4;
    uint32_t *stack = malloc((units + 1) * sizeof *stack);
    bool *seen = calloc(units + 1, sizeof *seen), good = true;
    if (!stack || !seen) {
        free(stack);
        free(seen);
        return fv_fail(FV_ENOMEM, "out of memory");
    }
    size_t depth = 0;
    stack[depth++] = 0;
    seen[0] = true;
    while (depth && good) {
        uint32_t at = stack[--depth], unit = unit_at(map, at), next = at ^ offset_of(unit);
        good = ((size_t)next | 255) < units;
        if (good && unit >> 8 & 1)
            good = (unit_at(map, next) & 0x7FFFFFFF) < texts;
        for (uint32_t c = 1; c < 256 && good; c++) {
            uint32_t child = next ^ c;
            if ((unit_at(map, child) & (1u << 31 | 0xFF)) == c && !seen[child]) {
                seen[child] = true;
                stack[depth++] = child;
            }
        }
    }
    free(stack);
    free(seen);
    return good ? 0 : damaged(p, "the map of characters");
}

static int check_charsmap(const struct df_pieces *p)
{
    if (!p->charsmap_size)
        return 0;
    size_t bytes = p->charsmap_size < 4 ? 0 : unit_at(p->charsmap, 0);
    if (!bytes || bytes % 1024 || bytes >= p->charsmap_size - 4 || p->charsmap[p->charsmap_size - 1])
        return damaged(p, "the map of characters");
    size_t texts = p->charsmap_size - 4 - bytes;
    struct df_chars t = {0};
    int rc = df_chars_decode(&t, (const char *)p->charsmap + 4 + bytes, texts);
    df_chars_finish(&t);
    if (rc < 0)
        return rc == FV_ENOMEM ? rc : damaged(p, "a text of the map of characters");
    return walk_charsmap(p, bytes / 4, texts);
}

static int by_text(const void *a, const void *b)
{
    const struct df_piece *const *x = a, *const *y = b;
    return strcmp((*x)->text, (*y)->text);
}

static int check_unique(const struct df_pieces *p)
{
    const struct df_piece **sorted = malloc(p->count * sizeof *sorted + 1);
    if (!sorted)
        return fv_fail(FV_ENOMEM, "out of memory");
    for (size_t i = 0; i < p->count; i++)
        sorted[i] = &p->items[i];
    qsort(sorted, p->count, sizeof *sorted, by_text);
    int rc = 0;
    for (size_t i = 1; i < p->count && rc == 0; i++)
        if (!strcmp(sorted[i - 1]->text, sorted[i]->text))
            rc = fv_fail(FV_EFORMAT, "%s: \"%.60s\" is there twice", p->name, sorted[i]->text);
    free(sorted);
    return rc;
}

static int check_pieces(struct df_pieces *p)
{
    size_t unknowns = 0, bytes = 0, normal = 0;
    if (!p->count)
        return fv_fail(FV_EFORMAT, "%s: no pieces: no SentencePiece model", p->name);
    if (p->model_type != 1 && p->model_type != 2)
        return fv_fail(FV_EUNSUPPORTED, "%s: a model of type %d: unigram (1) and BPE (2) are known", p->name,
                       p->model_type);
    for (size_t i = 0; i < p->count; i++) {
        const struct df_piece *e = &p->items[i];
        struct df_chars t = {0};
        int rc = df_chars_decode(&t, e->text, e->size);
        df_chars_finish(&t);
        if (rc < 0 || !e->size || e->size > MOST_PIECE || strlen(e->text) != e->size || !isfinite(e->score) ||
            fabsf(e->score) > 1e6f)
            return rc == FV_ENOMEM ? rc
                                   : fv_fail(FV_EFORMAT, "%s: piece %zu is empty, too long, not UTF-8, or its "
                                                         "score is no number", p->name, i);
        if (e->type == DF_PIECE_UNKNOWN) {
            p->unknown = (int32_t)i;
            unknowns++;
        }
        bytes += e->type == DF_PIECE_BYTE && is_byte_piece(e);
        normal += e->type == DF_PIECE_NORMAL;
        if (e->type == DF_PIECE_BYTE && !(p->bytes && is_byte_piece(e)))
            return fv_fail(FV_EFORMAT, "%s: piece %zu is a byte; the model has none", p->name, i);
    }
    if (unknowns != 1 || !normal || (p->bytes && bytes != 256))
        return fv_fail(FV_EFORMAT, "%s: %zu pieces stand for the unknown (expected 1), %zu are usual, %zu "
                                   "are bytes", p->name, unknowns, normal, bytes);
    FV_TRY(check_unique(p));
    return check_charsmap(p);
}

/* Of a .model file: what the tokenizer of T5 adds to it. Those that mark gaps stand behind the others, the
 * last first. */
static int add_usual_specials(struct df_pieces *p, int gaps)
{
    char name[32];
    int32_t pad = df_pieces_find(p, "<pad>"), end = df_pieces_find(p, "</s>");
    FV_TRY(add_special(p, "<unk>", p->unknown));
    FV_TRY(add_special(p, "</s>", end < 0 ? p->unknown : end));
    FV_TRY(add_special(p, "<pad>", pad < 0 ? p->unknown : pad));
    for (int i = 0; i < gaps; i++) {
        snprintf(name, sizeof name, "<extra_id_%d>", i);
        int32_t id = df_pieces_find(p, name);
        FV_TRY(add_special(p, name, id < 0 ? (int32_t)p->count + gaps - 1 - i : id));
    }
    return 0;
}

int32_t df_pieces_find(const struct df_pieces *p, const char *text)
{
    for (size_t i = 0; i < p->count; i++)
        if (!strcmp(p->items[i].text, text))
            return (int32_t)i;
    return -1;
}

int df_pieces_read(struct df_pieces *p, const void *data, size_t size, const char *name, int gaps)
{
    const char *text = data;
    size_t i = 0;
    *p = (struct df_pieces){.model_type = 1, .add_prefix = true, .squeeze = true, .escape = true,
                            .arena = {.cap = (size_t)1 << 30}};
    p->name = fv_arena_strndup(&p->arena, name, strlen(name));
    if (!p->name)
        return FV_ENOMEM;
    while (i < size && strchr(" \t\r\n", text[i]))
        i++;
    bool json = i < size && text[i] == '{'; /* no field of a model has this number and a length */
    int rc = json ? read_json(p, data, size) : read_proto(p, data, size);
    if (rc == 0)
        rc = check_pieces(p);
    if (rc == 0 && !json)
        rc = add_usual_specials(p, gaps);
    if (rc < 0)
        df_pieces_finish(p);
    return rc;
}

void df_pieces_finish(struct df_pieces *p)
{
    free(p->items);
    free(p->specials);
    fv_arena_finish(&p->arena);
    *p = (struct df_pieces){0};
}

/* ---- writing ----------------------------------------------------------------------------- */

struct bytes {
    uint8_t *data;
    size_t count, room;
    bool failed;
};

static void put(struct bytes *b, const void *data, size_t n)
{
    for (size_t i = 0; i < n && !b->failed; i++) {
        b->failed = fv_grow(&b->data, &b->room, b->count, 1) < 0;
        if (!b->failed)
            b->data[b->count++] = ((const uint8_t *)data)[i];
    }
}

static void put_varint(struct bytes *b, uint64_t v)
{
    do {
        uint8_t byte = (uint8_t)((v & 0x7F) | (v >> 7 ? 0x80 : 0));
        put(b, &byte, 1);
        v >>= 7;
    } while (v);
}

static void put_number(struct bytes *b, unsigned field, uint64_t v)
{
    put_varint(b, field << 3);
    put_varint(b, v);
}

static void put_data(struct bytes *b, unsigned field, const void *data, size_t n)
{
    put_varint(b, field << 3 | 2);
    put_varint(b, n);
    put(b, data, n);
}

/* A message as a field of another; empties it. */
static void put_message(struct bytes *b, unsigned field, struct bytes *message)
{
    put_data(b, field, message->data, message->count);
    b->failed = b->failed || message->failed;
    message->count = 0;
}

int df_pieces_write(const struct df_pieces *p, uint8_t **out, size_t *size)
{
    struct bytes all = {0}, part = {0};
    for (size_t i = 0; i < p->count; i++) {
        const struct df_piece *e = &p->items[i];
        put_data(&part, 1, e->text, e->size);
        put_varint(&part, 2 << 3 | 5);
        put(&part, &e->score, sizeof e->score);
        put_number(&part, 3, (uint64_t)e->type);
        put_message(&all, 1, &part);
    }
    put_number(&part, 3, (uint64_t)p->model_type);
    put_number(&part, 4, p->count);
    put_number(&part, 24, p->space_after);
    put_number(&part, 35, p->bytes);
    put_message(&all, 2, &part);
    if (p->charsmap_size)
        put_data(&part, 2, p->charsmap, p->charsmap_size);
    put_number(&part, 3, p->add_prefix);
    put_number(&part, 4, p->squeeze);
    put_number(&part, 5, p->escape);
    put_message(&all, 3, &part);
    free(part.data);
    if (all.failed) {
        free(all.data);
        return fv_fail(FV_ENOMEM, "out of memory");
    }
    *out = all.data;
    *size = all.count;
    return 0;
}

/* Regular expressions: a backtracking matcher over a small program (Thompson's instructions) that notes
 * which (instruction, place) failed, so that no text makes it slow. */
#include "diffusion/pattern.h"
#include "vk/base/array.h"
#include "vk/base/err.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_CODE = 400, MOST_SETS = 40, MOST_RANGES = 64, MOST_DEPTH = 12 };

enum op { CHAR, SET, SPLIT, JUMP, SAVE, BOUNDARY, BEGIN, END, BEHIND, NOT_AHEAD, MATCH };

struct instruction {
    enum op op;
    uint32_t x, y; /* a character, a set, where to go on (first choice first), a place to save */
};

struct set {
    bool not;
    unsigned is, is_not; /* classes of which one is enough, or whose absence is */
    uint32_t range[MOST_RANGES][2];
    unsigned count;
};

struct job {
    uint32_t pc; /* MOST_CODE + k: group bound k was `at` before */
    size_t at;
};

struct df_pattern {
    struct instruction code[MOST_CODE];
    struct set sets[MOST_SETS];
    uint32_t count, set_count, groups;
    /* compiling */
    const uint32_t *text;
    size_t at, size;
    bool bad;
    /* matching */
    struct job *stack;
    size_t depth, room;
    uint64_t *failed; /* [place][count] bits */
    size_t failed_words;
    size_t farthest;
    size_t bound[4];
};

/* ---- compiling --------------------------------------------------------------------------- */

static uint32_t emit(struct df_pattern *p, enum op op, uint32_t x, uint32_t y)
{
    if (p->count == MOST_CODE) {
        p->bad = true;
        return 0;
    }
    p->code[p->count] = (struct instruction){op, x, y};
    return p->count++;
}

static uint32_t peek(const struct df_pattern *p, size_t ahead)
{
    return p->at + ahead < p->size ? p->text[p->at + ahead] : 0;
}

static bool takes(struct df_pattern *p, const char *what)
{
    size_t n = strlen(what);
    for (size_t i = 0; i < n; i++)
        if (peek(p, i) != (unsigned char)what[i])
            return false;
    p->at += n;
    return true;
}

/* A class's letter: \w and such. */
static unsigned class_of_letter(uint32_t c, bool *not)
{
    *not = c == 'W' || c == 'D' || c == 'S';
    return c == 'w' || c == 'W'   ? DF_WORD
           : c == 'd' || c == 'D' ? DF_DIGIT
           : c == 's' || c == 'S' ? DF_SPACE
                                  : 0;
}

static uint32_t escaped(uint32_t c)
{
    return c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c == 'f' ? '\f' : c == '0' ? 0 : c;
}

static struct set *new_set(struct df_pattern *p)
{
    if (p->set_count == MOST_SETS) {
        p->bad = true;
        p->set_count--;
    }
    return &p->sets[p->set_count++];
}

/* Behind a '['. */
static uint32_t read_set(struct df_pattern *p)
{
    struct set *s = new_set(p);
    s->not = takes(p, "^");
    while (p->at < p->size && peek(p, 0) != ']' && !p->bad) {
        uint32_t c = p->text[p->at++];
        if (c == '\\') {
            bool not;
            unsigned k = class_of_letter(peek(p, 0), &not);
            c = escaped(peek(p, 0));
            p->at++;
            if (k) {
                *(not ? &s->is_not : &s->is) |= k;
                continue;
            }
        }
        uint32_t last = c;
        if (peek(p, 0) == '-' && peek(p, 1) != ']') {
            last = peek(p, 1) == '\\' ? escaped(peek(p, 2)) : peek(p, 1);
            p->at += peek(p, 1) == '\\' ? 3 : 2;
        }
        if (s->count == MOST_RANGES || last < c) {
            p->bad = true;
            break;
        }
        s->range[s->count][0] = c;
        s->range[s->count++][1] = last;
    }
    p->bad = p->bad || !takes(p, "]");
    return p->set_count - 1;
}

static void read_choice(struct df_pattern *p, int depth);

static void read_group(struct df_pattern *p, int depth)
{
    if (takes(p, "?<=[")) {
        emit(p, BEHIND, read_set(p), 0);
    } else if (takes(p, "?![")) {
        emit(p, NOT_AHEAD, read_set(p), 0);
    } else {
        bool counted = !takes(p, "?:");
        uint32_t group = counted ? p->groups++ : 0;
        counted = counted && group < 2;
        if (counted)
            emit(p, SAVE, 2 * group, 0);
        read_choice(p, depth + 1);
        if (counted)
            emit(p, SAVE, 2 * group + 1, 0);
    }
    p->bad = p->bad || !takes(p, ")");
}

static void read_one(struct df_pattern *p, int depth)
{
    uint32_t c = p->text[p->at++];
    bool not;
    if (c == '(') {
        read_group(p, depth);
    } else if (c == '[') {
        emit(p, SET, read_set(p), 0);
    } else if (c == '^') {
        emit(p, BEGIN, 0, 0);
    } else if (c == '$') {
        emit(p, END, 0, 0);
    } else if (c == '\\' && peek(p, 0) == 'b') {
        p->at++;
        emit(p, BOUNDARY, 0, 0);
    } else if (c == '\\' && class_of_letter(peek(p, 0), &not)) {
        struct set *s = new_set(p);
        *(not ? &s->is_not : &s->is) = class_of_letter(p->text[p->at++], &not);
        emit(p, SET, p->set_count - 1, 0);
    } else {
        emit(p, CHAR, c == '\\' ? escaped(peek(p, 0)) : c, 0);
        p->at += c == '\\';
    }
}

static uint32_t read_number(struct df_pattern *p)
{
    uint32_t v = 0;
    while (peek(p, 0) >= '0' && peek(p, 0) <= '9' && v < 1000)
        v = v * 10 + p->text[p->at++] - '0';
    return v;
}

/* One thing and how often: it is compiled anew for each time that is counted. */
static void read_repeated(struct df_pattern *p, int depth)
{
    size_t from = p->at;
    uint32_t groups = p->groups, sets = p->set_count, start = p->count, least, most;
    read_one(p, depth);
    size_t thing_end = p->at;
    if (takes(p, "*")) {
        least = 0, most = UINT32_MAX;
    } else if (takes(p, "+")) {
        least = 1, most = UINT32_MAX;
    } else if (takes(p, "?")) {
        least = 0, most = 1;
    } else if (takes(p, "{")) {
        least = most = read_number(p);
        if (takes(p, ","))
            most = peek(p, 0) == '}' ? UINT32_MAX : read_number(p);
        p->bad = p->bad || !takes(p, "}") || most < least;
    } else {
        return;
    }
    size_t end = p->at;
    uint32_t split[64], splits = 0;
    p->count = start;
    for (uint32_t i = 0; i < (most == UINT32_MAX ? least + (least == 0) : most) && !p->bad; i++) {
        p->at = from;
        p->groups = groups; /* and sets: the same text gives the same */
        p->set_count = sets;
        if (i >= least) {
            p->bad = p->bad || splits == 64;
            if (!p->bad)
                split[splits++] = emit(p, SPLIT, p->count + 1, 0);
        }
        uint32_t here = p->count;
        read_one(p, depth);
        p->bad = p->bad || p->at != thing_end;
        if (most == UINT32_MAX && i + 1 >= least) {
            if (least) /* again, or on */
                emit(p, SPLIT, here, p->count + 1);
            else
                emit(p, JUMP, split[0], 0);
        }
    }
    for (uint32_t i = 0; i < splits; i++)
        p->code[split[i]].y = p->count;
    p->at = end;
}

static void read_choice(struct df_pattern *p, int depth)
{
    uint32_t jumps[64], count = 0;
    p->bad = p->bad || depth > MOST_DEPTH;
    while (!p->bad) {
        uint32_t split = emit(p, SPLIT, p->count + 1, p->count + 1); /* of which the second is set below */
        while (p->at < p->size && peek(p, 0) != '|' && peek(p, 0) != ')' && !p->bad)
            read_repeated(p, depth);
        if (!takes(p, "|"))
            break;
        if (count == 64) {
            p->bad = true;
            break;
        }
        jumps[count++] = emit(p, JUMP, 0, 0);
        p->code[split].y = p->count;
    }
    for (uint32_t i = 0; i < count; i++)
        p->code[jumps[i]].x = p->count;
}

int df_pattern_open(struct df_pattern **out, const char *text)
{
    struct df_chars t = {0};
    struct df_pattern *p = *out = calloc(1, sizeof *p);
    int rc = p ? df_chars_decode(&t, text, strlen(text)) : fv_fail(FV_ENOMEM, "out of memory");
    if (rc == 0) {
        p->text = t.at;
        p->size = t.count;
        read_choice(p, 0);
        emit(p, MATCH, 0, 0);
        if (p->bad || p->at != p->size)
            rc = fv_fail(FV_EINVALID, "\"%s\" is no pattern at character %zu", text, p->at);
        p->text = NULL;
    }
    df_chars_finish(&t);
    if (rc < 0)
        df_pattern_close(out);
    return rc;
}

void df_pattern_close(struct df_pattern **p)
{
    if (!*p)
        return;
    free((*p)->stack);
    free((*p)->failed);
    free(*p);
    *p = NULL;
}

/* ---- matching ---------------------------------------------------------------------------- */

static bool holds(const struct set *s, uint32_t c)
{
    bool in = false;
    for (unsigned i = 0; i < s->count && !in; i++)
        in = c >= s->range[i][0] && c <= s->range[i][1];
    if (!in && (s->is || s->is_not)) {
        unsigned k = df_char_is(c);
        in = (k & s->is) || (~k & s->is_not);
    }
    return in != s->not;
}

static bool is_word(const uint32_t *at, size_t n, size_t i)
{
    return i < n && df_char_is(at[i]) & DF_WORD;
}

static int push(struct df_pattern *p, uint32_t pc, size_t at)
{
    FV_TRY(fv_grow(&p->stack, &p->room, p->depth, sizeof *p->stack));
    p->stack[p->depth++] = (struct job){pc, at};
    return 0;
}

/* Whether the state was tried; it is from now on. */
static bool tried(struct df_pattern *p, uint32_t pc, size_t at)
{
    size_t bit = at * p->count + pc;
    uint64_t mask = 1ull << bit % 64;
    bool was = p->failed[bit / 64] & mask;
    p->failed[bit / 64] |= mask;
    if (at > p->farthest)
        p->farthest = at;
    return was;
}

/* Follows one thread of states till it fails (0) or matches (1). */
static int follow(struct df_pattern *p, const uint32_t *text, size_t n, struct job j, size_t *to)
{
    for (;;) {
        if (tried(p, j.pc, j.at))
            return 0;
        const struct instruction *i = &p->code[j.pc++];
        switch (i->op) {
        case CHAR:
            if (j.at == n || text[j.at++] != i->x)
                return 0;
            break;
        case SET:
            if (j.at == n || !holds(&p->sets[i->x], text[j.at++]))
                return 0;
            break;
        case SPLIT:
            FV_TRY(push(p, i->y, j.at));
            j.pc = i->x;
            break;
        case JUMP:
            j.pc = i->x;
            break;
        case SAVE:
            FV_TRY(push(p, MOST_CODE + i->x, p->bound[i->x]));
            p->bound[i->x] = j.at;
            break;
        case BOUNDARY:
            if ((j.at && is_word(text, n, j.at - 1)) == is_word(text, n, j.at))
                return 0;
            break;
        case BEGIN:
            if (j.at)
                return 0;
            break;
        case END: /* a last line's end too */
            if (j.at != n && !(j.at + 1 == n && text[j.at] == '\n'))
                return 0;
            break;
        case BEHIND:
            if (!j.at || !holds(&p->sets[i->x], text[j.at - 1]))
                return 0;
            break;
        case NOT_AHEAD:
            if (j.at < n && holds(&p->sets[i->x], text[j.at]))
                return 0;
            break;
        case MATCH:
            *to = j.at;
            return 1;
        }
    }
}

static int match_at(struct df_pattern *p, const uint32_t *text, size_t n, size_t start, size_t *to)
{
    int rc = 0;
    for (int i = 0; i < 4; i++)
        p->bound[i] = SIZE_MAX;
    p->depth = 0;
    FV_TRY(push(p, 0, start));
    while (rc == 0 && p->depth) {
        struct job j = p->stack[--p->depth];
        if (j.pc >= MOST_CODE)
            p->bound[j.pc - MOST_CODE] = j.at;
        else
            rc = follow(p, text, n, j, to);
    }
    return rc;
}

static int begin_text(struct df_pattern *p, size_t n)
{
    size_t words = ((n + 1) * p->count + 63) / 64;
    if (words > p->failed_words) {
        free(p->failed);
        p->failed = malloc(words * sizeof *p->failed);
        p->failed_words = p->failed ? words : 0;
    }
    if (!p->failed)
        return fv_fail(FV_ENOMEM, "out of memory");
    memset(p->failed, 0, words * sizeof *p->failed);
    p->farthest = 0;
    return 0;
}

/* States on the way to a match did not fail: those behind it are tried anew. */
static void forget(struct df_pattern *p, size_t from)
{
    if (p->farthest < from)
        return;
    size_t first = from * p->count, end = (p->farthest + 1) * p->count;
    for (; first < end && first % 64; first++)
        p->failed[first / 64] &= ~(1ull << first % 64);
    for (; end > first && end % 64; end--)
        p->failed[(end - 1) / 64] &= ~(1ull << (end - 1) % 64);
    memset(p->failed + first / 64, 0, (end - first) / 64 * sizeof *p->failed);
    p->farthest = from;
}

int df_pattern_find(struct df_pattern *p, const uint32_t *at, size_t n, size_t start, bool only_there,
                    bool fresh, struct df_match *m)
{
    if (fresh)
        FV_TRY(begin_text(p, n));
    for (size_t i = start; i <= n; i++) {
        int rc = match_at(p, at, n, i, &m->to);
        if (rc < 0)
            return rc;
        if (rc) {
            m->from = i;
            memcpy(m->group, p->bound, sizeof m->group);
            m->farthest = p->farthest;
            forget(p, only_there ? i : m->to);
            return 1;
        }
        if (only_there)
            break;
    }
    return 0;
}

/* A part of a text, which may have no memory yet if it is empty. */
static int keep(struct df_chars *out, const struct df_chars *t, size_t from, size_t to)
{
    return to > from ? df_chars_append(out, t->at + from, to - from) : 0;
}

static int put(struct df_chars *out, const struct df_chars *t, const struct df_match *m, const char *with)
{
    for (; *with; with++)
        if (with[0] == '\\' && with[1] == '1') {
            if (m->group[0][1] != SIZE_MAX)
                FV_TRY(keep(out, t, m->group[0][0], m->group[0][1]));
            with++;
        } else {
            FV_TRY(df_chars_push(out, (unsigned char)*with));
        }
    return 0;
}

int df_replace(struct df_chars *t, const char *pattern, const char *with)
{
    struct df_pattern *p;
    struct df_chars out = {0};
    struct df_match m;
    size_t at = 0;
    FV_TRY(df_pattern_open(&p, pattern));
    int rc = df_pattern_find(p, t->at, t->count, 0, false, true, &m);
    while (rc > 0) {
        rc = keep(&out, t, at, m.from);
        if (rc == 0)
            rc = put(&out, t, &m, with);
        at = m.to;
        if (rc == 0 && m.to == m.from && at < t->count) /* nothing was taken: go on behind the next */
            rc = df_chars_push(&out, t->at[at++]);
        else if (rc == 0 && m.to == m.from)
            break;
        if (rc == 0)
            rc = df_pattern_find(p, t->at, t->count, at, false, false, &m);
    }
    if (rc == 0)
        rc = keep(&out, t, at, t->count);
    if (rc == 0)
        df_chars_swap(t, &out);
    df_chars_finish(&out);
    df_pattern_close(&p);
    return rc;
}

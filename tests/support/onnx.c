/* ONNX cases (onnx.h). Protocol buffers are fields of (number << 3 | kind): 0 a varint, 1 eight
 * bytes, 2 a length and as many bytes, 5 four bytes. Numbers of fields: onnx.proto. */
#include "support/onnx.h"
#include "support/test.h"

struct part {
    const uint8_t *at, *end;
};

struct field {
    uint32_t number;
    uint64_t value;   /* of kind 0 */
    struct part part; /* of the others */
};

static uint64_t varint(struct part *p)
{
    uint64_t v = 0;
    for (uint32_t shift = 0; p->at < p->end && shift < 64; shift += 7) {
        uint8_t b = *p->at++;
        v |= (uint64_t)(b & 127) << shift;
        if (b < 128)
            return v;
    }
    fail_msg("an ONNX file is cut short");
    return 0;
}

static bool next(struct part *p, struct field *f)
{
    if (p->at == p->end)
        return false;
    uint64_t tag = varint(p), kind = tag & 7, n = kind == 1 ? 8 : 4;
    *f = (struct field){.number = (uint32_t)(tag >> 3)};
    if (kind == 0) {
        f->value = varint(p);
        return true;
    }
    n = kind == 2 ? varint(p) : n;
    if (n > (uint64_t)(p->end - p->at) || kind == 3 || kind == 4 || kind > 5)
        fail_msg("an ONNX file is cut short");
    f->part = (struct part){p->at, p->at + n};
    p->at += n;
    return true;
}

static void name_of(char *out, size_t room, struct part p)
{
    snprintf(out, room, "%.*s", (int)(p.end - p.at), (const char *)p.at);
}

static void take_float(struct ref *t, size_t *n, size_t room, const uint8_t *bytes)
{
    float v;
    memcpy(&v, bytes, 4);
    if (*n < room)
        t->v[(*n)++] = (double)v;
}

static void take_whole(struct ref *t, size_t *n, size_t room, const uint8_t *bytes)
{
    int64_t v;
    memcpy(&v, bytes, 8);
    if (*n < room)
        t->v[(*n)++] = (double)v;
}

/* TensorProto: dims 1, data_type 2 (7 = int64), float_data 4, raw_data 9. */
static struct ref tensor(struct part p)
{
    struct ref t = {0};
    struct part dims = p;
    struct field f;
    size_t n = 0, room = 1;
    bool whole = false;
    while (next(&dims, &f))
        if (f.number == 2) {
            whole = f.value == 7;
        } else if (f.number == 1 && f.part.at) { /* packed */
            while (f.part.at < f.part.end && t.rank < 5)
                t.shape[t.rank++] = (uint32_t)varint(&f.part);
        } else if (f.number == 1 && t.rank < 5) {
            t.shape[t.rank++] = (uint32_t)f.value;
        }
    for (uint32_t i = 0; i < t.rank; i++)
        room *= t.shape[i];
    t = ref_new(t.rank, t.shape);
    while (next(&p, &f))
        for (int step = whole ? 8 : 4;
             (f.number == 9 || f.number == 4) && f.part.end - f.part.at >= step; f.part.at += step)
            (whole ? take_whole : take_float)(&t, &n, room, f.part.at);
    if (n != room)
        fail_msg("an ONNX tensor has %zu values of %zu", n, room);
    return t;
}

/* AttributeProto: name 1, i 3, ints 8. */
static void attribute(struct onnx_case *c, struct part p)
{
    struct field f;
    if (c->attributes == ONNX_MOST)
        return;
    uint32_t k = c->attributes++, *n = &c->attribute[k].count;
    while (next(&p, &f)) {
        if (f.number == 1)
            name_of(c->attribute[k].name, sizeof c->attribute[k].name, f.part);
        if ((f.number != 3 && f.number != 8) || *n == 16)
            continue;
        if (!f.part.at)
            c->attribute[k].ints[(*n)++] = (int64_t)f.value;
        while (f.part.at && f.part.at < f.part.end && *n < 16)
            c->attribute[k].ints[(*n)++] = (int64_t)varint(&f.part);
    }
}

/* ModelProto: graph 7; GraphProto: node 1, initializer 5; NodeProto: op_type 4, attribute 5. */
static void model(struct onnx_case *c, struct part p)
{
    struct field f, g, h;
    while (next(&p, &f))
        while (f.number == 7 && next(&f.part, &g)) {
            if (g.number == 5 && c->weights < ONNX_MOST)
                c->weight[c->weights++] = tensor(g.part);
            while (g.number == 1 && next(&g.part, &h)) {
                if (h.number == 4 && !*c->op)
                    name_of(c->op, sizeof c->op, h.part);
                if (h.number == 5)
                    attribute(c, h.part);
            }
        }
}

bool onnx_load(struct onnx_case *c, const char *name)
{
    static const char *const files[] = {"model.onnx", "test_data_set_0/input_0.pb",
                                        "test_data_set_0/output_0.pb"};
    memset(c, 0, sizeof *c);
    for (int i = 0; i < 3; i++) {
        char path[256];
        size_t size;
        snprintf(path, sizeof path, "data/golden-ops/onnx/pytorch-converted/%s/%s", name, files[i]);
        const char *file = test_shared(path);
        if (!file)
            return false;
        uint8_t *data = test_read_file(file, &size);
        struct part p = {data, data + size};
        if (i == 0)
            model(c, p);
        else
            *(i == 1 ? &c->input : &c->output) = tensor(p);
        free(data);
    }
    return true;
}

void onnx_free(struct onnx_case *c)
{
    ref_free(&c->input);
    ref_free(&c->output);
    for (uint32_t i = 0; i < c->weights; i++)
        ref_free(&c->weight[i]);
}

uint32_t onnx_ints(const struct onnx_case *c, const char *name, uint32_t *out, uint32_t room)
{
    for (uint32_t k = 0; k < c->attributes; k++) {
        if (strcmp(c->attribute[k].name, name))
            continue;
        for (uint32_t i = 0; i < c->attribute[k].count && i < room; i++)
            out[i] = (uint32_t)c->attribute[k].ints[i];
        return c->attribute[k].count;
    }
    return 0;
}

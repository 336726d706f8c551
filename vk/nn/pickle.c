/* A restricted unpickler (pickle.h): the opcodes of protocols 2 to 5 (Python's pickletools), a stack,
 * a memo, and the table of what may be named. What PyTorch writes, in short:
 *
 *   GLOBAL collections.OrderedDict, REDUCE ()                          a dict
 *   BINPERSID ('storage', torch.FloatStorage, '0', 'cpu', 36864)       bytes of member data/0
 *   GLOBAL torch._utils._rebuild_tensor_v2, REDUCE (storage, offset, size, stride, ...)
 *   GLOBAL __torch__.Net, NEWOBJ (), BUILD {attribute: value}          a TorchScript module
 *
 * Memory grows with the pickle's length only: each opcode makes at most one small value. */
#include "vk/nn/pickle.h"
#include "vk/base/file.h"
#include "vk/base/array.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum global_kind {
    REBUILD,    /* (storage, offset, size, stride, ...) */
    REBUILD_V3, /* (..., requires_grad, hooks, dtype): for types without a storage class */
    PARAMETER,  /* (tensor, ...) */
    FROM_TYPE,  /* (function, type, its arguments, state): a subclass of tensors */
    STORAGE_TYPE,
    UNTYPED_STORAGE,
    DTYPE,
    DICT_TYPE,
    LIST_TYPE, /* () or (items, ...) */
    TAG,       /* (value, type) */
    INERT,
    OBJECT_TYPE,
};

struct pickle_global {
    const char *module, *name;
    enum global_kind kind;
    enum nn_data type;
};

static const struct pickle_global globals[] = {
    {"torch._utils", "_rebuild_tensor_v2", REBUILD, 0},
    {"torch._utils", "_rebuild_tensor", REBUILD, 0},
    {"torch._utils", "_rebuild_tensor_v3", REBUILD_V3, 0},
    {"torch._utils", "_rebuild_parameter", PARAMETER, 0},
    {"torch._utils", "_rebuild_parameter_with_state", PARAMETER, 0},
    {"torch._tensor", "_rebuild_from_type_v2", FROM_TYPE, 0},
    {"torch", "DoubleStorage", STORAGE_TYPE, NN_DATA_F64},
    {"torch", "FloatStorage", STORAGE_TYPE, NN_DATA_F32},
    {"torch", "HalfStorage", STORAGE_TYPE, NN_DATA_F16},
    {"torch", "BFloat16Storage", STORAGE_TYPE, NN_DATA_BF16},
    {"torch", "LongStorage", STORAGE_TYPE, NN_DATA_I64},
    {"torch", "IntStorage", STORAGE_TYPE, NN_DATA_I32},
    {"torch", "ShortStorage", STORAGE_TYPE, NN_DATA_I16},
    {"torch", "CharStorage", STORAGE_TYPE, NN_DATA_I8},
    {"torch", "ByteStorage", STORAGE_TYPE, NN_DATA_U8},
    {"torch", "BoolStorage", STORAGE_TYPE, NN_DATA_BOOL},
    {"torch.storage", "UntypedStorage", UNTYPED_STORAGE, NN_DATA_U8},
    {"torch", "float64", DTYPE, NN_DATA_F64},
    {"torch", "float32", DTYPE, NN_DATA_F32},
    {"torch", "float16", DTYPE, NN_DATA_F16},
    {"torch", "bfloat16", DTYPE, NN_DATA_BF16},
    {"torch", "float8_e4m3fn", DTYPE, NN_DATA_F8_E4M3},
    {"torch", "float8_e5m2", DTYPE, NN_DATA_F8_E5M2},
    {"torch", "int64", DTYPE, NN_DATA_I64},
    {"torch", "int32", DTYPE, NN_DATA_I32},
    {"torch", "int16", DTYPE, NN_DATA_I16},
    {"torch", "int8", DTYPE, NN_DATA_I8},
    {"torch", "uint64", DTYPE, NN_DATA_U64},
    {"torch", "uint32", DTYPE, NN_DATA_U32},
    {"torch", "uint16", DTYPE, NN_DATA_U16},
    {"torch", "uint8", DTYPE, NN_DATA_U8},
    {"torch", "bool", DTYPE, NN_DATA_BOOL},
    {"collections", "OrderedDict", DICT_TYPE, 0},
    {"collections", "defaultdict", DICT_TYPE, 0},
    {"collections", "Counter", DICT_TYPE, 0},
    {"builtins", "dict", DICT_TYPE, 0},
    {"builtins", "list", LIST_TYPE, 0},
    {"builtins", "set", LIST_TYPE, 0},
    {"__builtin__", "set", LIST_TYPE, 0},
    {"torch", "Size", LIST_TYPE, 0},
    {"torch.jit._pickle", "build_intlist", LIST_TYPE, 0},
    {"torch.jit._pickle", "build_tensorlist", LIST_TYPE, 0},
    {"torch.jit._pickle", "build_doublelist", LIST_TYPE, 0},
    {"torch.jit._pickle", "build_boollist", LIST_TYPE, 0},
    {"torch.jit._pickle", "restore_type_tag", TAG, 0},
    {"torch", "device", INERT, 0},
    {"torch", "strided", INERT, 0},
    {"torch", "Tensor", INERT, 0},
    {"torch.nn.parameter", "Parameter", INERT, 0},
    {"torch.serialization", "_get_layout", INERT, 0},
    {"argparse", "Namespace", OBJECT_TYPE, 0},
};
static const struct pickle_global torchscript_class = {"__torch__", "", OBJECT_TYPE, 0};

struct machine {
    struct fv_cursor in;
    const char *name;
    struct fv_arena *arena;
    struct pickle_value **stack; /* NULL entries are marks */
    struct pickle_value **memo;
    size_t depth, stack_room, memo_room, memo_next;
    bool stopped;
};

static int bad(const struct machine *m, const char *what)
{
    return fv_fail(FV_EFORMAT, "%s: byte %zu: %s", m->name, m->in.at, what);
}

/* ---- values, stack, memo ---- */

static struct pickle_value *value(struct machine *m, enum pickle_type type)
{
    struct pickle_value *v = fv_arena_alloc(m->arena, sizeof *v);
    if (v)
        v->type = type;
    else
        fv_wrap(FV_ENOMEM, "%s: ", m->name);
    return v;
}

/* Pushes; NULL is a mark only through push_mark, otherwise memory that was out. */
static int push_raw(struct machine *m, struct pickle_value *v)
{
    if (fv_grow(&m->stack, &m->stack_room, m->depth, sizeof *m->stack) < 0)
        return fv_wrap(FV_ENOMEM, "%s: ", m->name);
    m->stack[m->depth++] = v;
    return 0;
}

static int push(struct machine *m, struct pickle_value *v)
{
    return v ? push_raw(m, v) : FV_ENOMEM;
}

static int push_integer(struct machine *m, enum pickle_type type, int64_t i)
{
    struct pickle_value *v = value(m, type);
    if (v)
        v->integer = i;
    return push(m, v);
}

static int push_text(struct machine *m, uint64_t length)
{
    const uint8_t *text = length <= UINT32_MAX ? fv_get_bytes(&m->in, length) : NULL;
    if (!text)
        return bad(m, "a text reaches beyond the end");
    struct pickle_value *v = value(m, PICKLE_TEXT);
    if (v) {
        v->text = (const char *)text;
        v->count = (uint32_t)length;
    }
    return push(m, v);
}

/* The topmost value; NULL (an error) when there is none or it is a mark. */
static struct pickle_value *top(const struct machine *m)
{
    if (m->depth && m->stack[m->depth - 1])
        return m->stack[m->depth - 1];
    bad(m, "a value is missing on the stack");
    return NULL;
}

static struct pickle_value *pop(struct machine *m)
{
    struct pickle_value *v = top(m);
    if (v)
        m->depth--;
    return v;
}

/* Takes what is above the last mark: *first is its index in the stack, still valid until the next
 * push. */
static int pop_mark(struct machine *m, size_t *first, size_t *count)
{
    size_t at = m->depth;
    while (at && m->stack[at - 1])
        at--;
    if (!at)
        return bad(m, "a mark is missing on the stack");
    *first = at;
    *count = m->depth - at;
    m->depth = at - 1;
    return 0;
}

/* Room for n more items of a container. */
static int extend(struct machine *m, struct pickle_value *v, size_t n, struct pickle_value **from)
{
    if (n > UINT32_MAX / 4 - v->count)
        return bad(m, "a container is too large");
    if (v->count + n > v->room) {
        size_t room = v->room * 2 > v->count + n ? v->room * 2 : v->count + n;
        struct pickle_value **items = fv_arena_alloc(m->arena, room * sizeof *items);
        if (!items)
            return fv_wrap(FV_ENOMEM, "%s: ", m->name);
        if (v->count)
            memcpy(items, v->items, v->count * sizeof *items);
        v->items = items;
        v->room = (uint32_t)room;
    }
    if (n)
        memcpy(v->items + v->count, from, n * sizeof *from);
    v->count += (uint32_t)n;
    return 0;
}

/* A container of stack entries [first, first + n), already popped. */
static int push_container(struct machine *m, enum pickle_type type, size_t first, size_t n)
{
    struct pickle_value *v = value(m, type);
    if (!v)
        return FV_ENOMEM;
    FV_TRY(extend(m, v, n, m->stack + first));
    return push(m, v);
}

static int push_marked(struct machine *m, enum pickle_type type)
{
    size_t first = 0, n = 0;
    FV_TRY(pop_mark(m, &first, &n));
    if (type == PICKLE_DICT && n % 2)
        return bad(m, "a key without a value");
    return push_container(m, type, first, n);
}

static int push_tuple(struct machine *m, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (m->depth < n || !m->stack[m->depth - n + i])
            return bad(m, "a value is missing on the stack");
    m->depth -= n;
    return push_container(m, PICKLE_TUPLE, m->depth, n);
}

/* Items above the mark into the container below it. */
static int append_marked(struct machine *m, bool dict)
{
    size_t first = 0, n = 0;
    FV_TRY(pop_mark(m, &first, &n));
    struct pickle_value *v = top(m);
    if (!v)
        return FV_EFORMAT;
    if (v->type != (dict ? PICKLE_DICT : PICKLE_LIST) || (dict && n % 2))
        return bad(m, "items are put into what is no container for them");
    return extend(m, v, n, m->stack + first);
}

static int append_one(struct machine *m, size_t n)
{
    if (m->depth <= n)
        return bad(m, "a value is missing on the stack");
    for (size_t i = m->depth - n - 1; i < m->depth; i++)
        if (!m->stack[i])
            return bad(m, "a value is missing on the stack");
    m->depth -= n;
    struct pickle_value *v = m->stack[m->depth - 1];
    if (v->type != (n == 2 ? PICKLE_DICT : PICKLE_LIST))
        return bad(m, "an item is put into what is no container for it");
    return extend(m, v, n, m->stack + m->depth);
}

static int memoize(struct machine *m, uint64_t index)
{
    struct pickle_value *v = top(m);
    if (!v)
        return FV_EFORMAT;
    if (index > m->in.size) /* writers count up, one opcode at a time */
        return bad(m, "a memo number is too large");
    if (index >= m->memo_room) {
        size_t room = index + 1 > 2 * m->memo_room ? index + 1 : 2 * m->memo_room;
        struct pickle_value **more = realloc(m->memo, room * sizeof *more);
        if (!more)
            return fv_fail(FV_ENOMEM, "%s: out of memory", m->name);
        memset(more + m->memo_room, 0, (room - m->memo_room) * sizeof *more);
        m->memo = more;
        m->memo_room = room;
    }
    m->memo[index] = v;
    return 0;
}

static int recall(struct machine *m, uint64_t index)
{
    if (index >= m->memo_room || !m->memo[index])
        return bad(m, "a memo number that was never set");
    return push(m, m->memo[index]);
}

/* ---- classes and functions ---- */

static bool text_is(const struct pickle_value *v, const char *text)
{
    return v->type == PICKLE_TEXT && v->count == strlen(text) && !memcmp(v->text, text, v->count);
}

static int push_global(struct machine *m, const char *module, size_t module_length,
                       const char *name, size_t name_length)
{
    struct pickle_value *v = value(m, PICKLE_GLOBAL);
    if (!v)
        return FV_ENOMEM;
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++) {
        const struct pickle_global *g = &globals[i];
        if (strlen(g->module) == module_length && !memcmp(g->module, module, module_length) &&
            strlen(g->name) == name_length && !memcmp(g->name, name, name_length))
            v->global = g;
    }
    if (!v->global && module_length >= 9 && !memcmp(module, "__torch__", 9) &&
        (module_length == 9 || module[9] == '.'))
        v->global = &torchscript_class;
    if (!v->global)
        return fv_fail(
            FV_EUNSUPPORTED,
            "%s: asks for %.*s.%.*s, which is not needed to hold tensors and was refused; "
            "save the state dict alone",
            m->name, (int)(module_length < 128 ? module_length : 128), module,
            (int)(name_length < 128 ? name_length : 128), name);
    return push(m, v);
}

/* Up to the next line feed. */
static const char *line(struct machine *m, size_t *length)
{
    const uint8_t *start = m->in.data + m->in.at;
    const uint8_t *end = memchr(start, '\n', fv_cursor_left(&m->in));
    if (!end)
        return NULL;
    *length = (size_t)(end - start);
    fv_get_bytes(&m->in, *length + 1);
    return (const char *)start;
}

static int read_global(struct machine *m)
{
    size_t module_length, name_length;
    const char *module = line(m, &module_length);
    const char *name = module ? line(m, &name_length) : NULL;
    return name ? push_global(m, module, module_length, name, name_length)
                : bad(m, "a class name without an end");
}

static int stack_global(struct machine *m)
{
    const struct pickle_value *name = pop(m), *module = name ? pop(m) : NULL;
    if (!module)
        return FV_EFORMAT;
    if (name->type != PICKLE_TEXT || module->type != PICKLE_TEXT)
        return bad(m, "a class whose name is no text");
    return push_global(m, module->text, module->count, name->text, name->count);
}

/* ('storage', type, key, location, count, ...) */
static int persistent(struct machine *m)
{
    const struct pickle_value *id = pop(m);
    if (!id)
        return FV_EFORMAT;
    if (id->type != PICKLE_TUPLE || id->count < 5 || !text_is(id->items[0], "storage"))
        return bad(m, "a reference that is no storage");
    const struct pickle_value *type = id->items[1], *key = id->items[2], *count = id->items[4];
    bool class = type->type == PICKLE_GLOBAL &&
                 (type->global->kind == STORAGE_TYPE || type->global->kind == UNTYPED_STORAGE);
    if (!class || key->type != PICKLE_TEXT || count->type != PICKLE_INT || count->integer < 0)
        return bad(m, "a storage without type, key or size");
    struct pickle_value *v = value(m, PICKLE_STORAGE);
    struct pickle_storage *s = v ? fv_arena_alloc(m->arena, sizeof *s) : NULL;
    if (!s)
        return fv_wrap(FV_ENOMEM, "%s: ", m->name);
    *s = (struct pickle_storage){.type = type->global->type,
                                 .untyped = type->global->kind == UNTYPED_STORAGE,
                                 .key = key->text,
                                 .key_length = key->count,
                                 .count = (uint64_t)count->integer};
    v->storage = s;
    return push(m, v);
}

static bool sizes(const struct pickle_value *v, uint64_t *out)
{
    for (uint32_t i = 0; i < v->count; i++) {
        if (v->items[i]->type != PICKLE_INT || v->items[i]->integer < 0)
            return false;
        out[i] = (uint64_t)v->items[i]->integer;
    }
    return true;
}

static bool is_sequence(const struct pickle_value *v)
{
    return v->type == PICKLE_TUPLE || v->type == PICKLE_LIST;
}

static int rebuild(struct machine *m, const struct pickle_value *args, bool v3)
{
    struct pickle_value *const *a = args->items;
    if (args->count < (v3 ? 7u : 4u) || a[0]->type != PICKLE_STORAGE || a[1]->type != PICKLE_INT ||
        a[1]->integer < 0 || !is_sequence(a[2]) || !is_sequence(a[3]))
        return bad(m, "a tensor without storage, offset, size or stride");
    if (a[2]->count > NN_FILE_MAX_RANK || a[2]->count != a[3]->count)
        return bad(m, "a tensor of too many dimensions, or with other strides than sizes");
    struct pickle_value *v = value(m, PICKLE_TENSOR);
    struct pickle_tensor *t = v ? fv_arena_alloc(m->arena, sizeof *t) : NULL;
    if (!t)
        return fv_wrap(FV_ENOMEM, "%s: ", m->name);
    t->storage = a[0]->storage;
    t->type = t->storage->type;
    if (v3) {
        if (a[6]->type != PICKLE_GLOBAL || a[6]->global->kind != DTYPE)
            return bad(m, "a tensor without a type");
        t->type = a[6]->global->type;
    }
    t->offset = (uint64_t)a[1]->integer;
    t->rank = a[2]->count;
    if (!sizes(a[2], t->shape) || !sizes(a[3], t->stride))
        return bad(m, "a tensor whose sizes or strides are no whole numbers from 0");
    v->tensor = t;
    return push(m, v);
}

/* Calls a function or makes an object; args is a tuple. */
static int call(struct machine *m, const struct pickle_value *f, struct pickle_value *args)
{
    if (f->type != PICKLE_GLOBAL || args->type != PICKLE_TUPLE)
        return bad(m, "a call of what is no function");
    switch (f->global->kind) {
    case REBUILD:
        return rebuild(m, args, false);
    case REBUILD_V3:
        return rebuild(m, args, true);
    case PARAMETER:
        if (!args->count || args->items[0]->type != PICKLE_TENSOR)
            return bad(m, "a parameter without a tensor");
        return push(m, args->items[0]);
    case FROM_TYPE: /* of REBUILD's kind, so that this does not recurse */
        if (args->count < 3 || args->items[0]->type != PICKLE_GLOBAL ||
            args->items[0]->global->kind > PARAMETER || args->items[2]->type != PICKLE_TUPLE)
            return bad(m, "a tensor of a class of its own that is not understood");
        return call(m, args->items[0], args->items[2]);
    case DICT_TYPE:
        return push(m, value(m, PICKLE_DICT));
    case OBJECT_TYPE:
        return push(m, value(m, PICKLE_OBJECT));
    case LIST_TYPE:
        if (args->count && is_sequence(args->items[0]))
            return push(m, args->items[0]);
        return push(m, value(m, PICKLE_LIST));
    case TAG:
        if (!args->count)
            return bad(m, "a type tag without a value");
        return push(m, args->items[0]);
    case INERT:
        return push(m, value(m, PICKLE_NONE));
    default:
        return bad(m, "a call of what is no function");
    }
}

static int reduce(struct machine *m)
{
    struct pickle_value *args = pop(m);
    const struct pickle_value *f = args ? pop(m) : NULL;
    return f ? call(m, f, args) : FV_EFORMAT;
}

/* Attributes of an object; the state of anything else (a dict's _metadata) means nothing here. */
static int build(struct machine *m)
{
    struct pickle_value *state = pop(m), *v = state ? top(m) : NULL;
    if (!v)
        return FV_EFORMAT;
    if (v->type != PICKLE_OBJECT)
        return 0;
    if (v->count)
        return bad(m, "an object is given its state twice");
    if (state->type == PICKLE_DICT) { /* shared, or repetition would copy it without bound */
        v->items = state->items;
        v->count = v->room = state->count;
        return 0;
    }
    struct pickle_value *key = value(m, PICKLE_TEXT);
    if (!key)
        return FV_ENOMEM;
    key->text = "state";
    key->count = 5;
    return extend(m, v, 2, (struct pickle_value *[]){key, state});
}

/* ---- opcodes ---- */

static int push_long(struct machine *m, uint64_t length)
{
    const uint8_t *p = fv_get_bytes(&m->in, length);
    uint64_t v = 0;
    if (!p || length > 8)
        return bad(m, "an integer of more than 64 bits, or cut short");
    for (size_t i = 0; i < length; i++)
        v |= (uint64_t)p[i] << 8 * i;
    if (length && length < 8 && p[length - 1] & 0x80)
        v |= ~(uint64_t)0 << 8 * length;
    return push_integer(m, PICKLE_INT, (int64_t)v);
}

static int push_real(struct machine *m)
{
    struct pickle_value *v = value(m, PICKLE_FLOAT);
    uint64_t u = __builtin_bswap64(fv_get_u64(&m->in)); /* big-endian in the file */
    if (v)
        memcpy(&v->real, &u, 8);
    return push(m, v);
}

static int pop_any(struct machine *m)
{
    if (!m->depth)
        return bad(m, "a value is missing on the stack");
    m->depth--;
    return 0;
}

/* Values that stand in the pickle themselves. 1: not one of these opcodes. */
static int literal(struct machine *m, uint8_t op)
{
    switch (op) {
    case 'N':
        return push(m, value(m, PICKLE_NONE));
    case 0x88:
        return push_integer(m, PICKLE_BOOL, 1);
    case 0x89:
        return push_integer(m, PICKLE_BOOL, 0);
    case 'J':
        return push_integer(m, PICKLE_INT, (int32_t)fv_get_u32(&m->in));
    case 'K':
        return push_integer(m, PICKLE_INT, fv_get_u8(&m->in));
    case 'M':
        return push_integer(m, PICKLE_INT, fv_get_u16(&m->in));
    case 0x8a:
        return push_long(m, fv_get_u8(&m->in));
    case 0x8b:
        return push_long(m, fv_get_u32(&m->in));
    case 'G':
        return push_real(m);
    case 'X': /* BINUNICODE, BINBYTES, BINSTRING */
    case 'B':
    case 'T':
        return push_text(m, fv_get_u32(&m->in));
    case 0x8c: /* their short forms */
    case 'C':
    case 'U':
        return push_text(m, fv_get_u8(&m->in));
    case 0x8d: /* BINUNICODE8, BINBYTES8, BYTEARRAY8 */
    case 0x8e:
    case 0x96:
        return push_text(m, fv_get_u64(&m->in));
    default:
        return 1;
    }
}

static int container(struct machine *m, uint8_t op)
{
    switch (op) {
    case '(':
        return push_raw(m, NULL);
    case ')':
        return push(m, value(m, PICKLE_TUPLE));
    case ']':
    case 0x8f: /* a set */
        return push(m, value(m, PICKLE_LIST));
    case '}':
        return push(m, value(m, PICKLE_DICT));
    case 't':
        return push_marked(m, PICKLE_TUPLE);
    case 'l':
    case 0x91: /* a frozen set */
        return push_marked(m, PICKLE_LIST);
    case 'd':
        return push_marked(m, PICKLE_DICT);
    case 0x85:
    case 0x86:
    case 0x87:
        return push_tuple(m, op - 0x84u);
    case 'a':
        return append_one(m, 1);
    case 's':
        return append_one(m, 2);
    case 'e':
    case 0x90: /* into a set */
        return append_marked(m, false);
    case 'u':
        return append_marked(m, true);
    default:
        return 1;
    }
}

static int other(struct machine *m, uint8_t op)
{
    size_t first = 0, n = 0;
    struct pickle_value *keywords, *again;
    switch (op) {
    case 0x95: /* frames need no attention when all bytes are at hand */
        fv_get_u64(&m->in);
        return 0;
    case '.':
        m->stopped = true;
        return 0;
    case '0':
        return pop_any(m);
    case '1':
        return pop_mark(m, &first, &n);
    case '2':
        again = top(m);
        return again ? push(m, again) : FV_EFORMAT;
    case 'q':
        return memoize(m, fv_get_u8(&m->in));
    case 'r':
        return memoize(m, fv_get_u32(&m->in));
    case 0x94:
        return memoize(m, m->memo_next++);
    case 'h':
        return recall(m, fv_get_u8(&m->in));
    case 'j':
        return recall(m, fv_get_u32(&m->in));
    case 'c':
        return read_global(m);
    case 0x93:
        return stack_global(m);
    case 'Q':
        return persistent(m);
    case 'R':
    case 0x81: /* NEWOBJ: class and arguments likewise */
        return reduce(m);
    case 0x92: /* with keyword arguments, which mean nothing here */
        keywords = pop(m);
        return keywords ? reduce(m) : FV_EFORMAT;
    case 'b':
        return build(m);
    default:
        return fv_fail(FV_EUNSUPPORTED, "%s: byte %zu: opcode 0x%02x is not one of a checkpoint's",
                       m->name, m->in.at - 1, op);
    }
}

static int step(struct machine *m)
{
    uint8_t op = fv_get_u8(&m->in);
    if (m->in.failed)
        return bad(m, "the pickle is cut short");
    int rc = literal(m, op);
    if (rc == 1)
        rc = container(m, op);
    if (rc == 1)
        rc = other(m, op);
    if (rc >= 0 && m->in.failed)
        rc = bad(m, "the pickle is cut short");
    return rc;
}

int pickle_read(const struct pickle_value **out, struct fv_arena *arena, const uint8_t *data,
                size_t size, const char *name)
{
    struct machine m = {.in = fv_cursor_over(data, size), .name = name, .arena = arena};
    *out = NULL;
    int rc = 0;
    if (size < 2 || data[0] != 0x80)
        rc = bad(&m, "not a pickle of protocol 2 to 5");
    else if (data[1] < 2 || data[1] > 5)
        rc = fv_fail(FV_EUNSUPPORTED, "%s: pickle protocol %u; 2 to 5 are read", name, data[1]);
    fv_get_bytes(&m.in, 2);
    while (rc >= 0 && !m.stopped)
        rc = step(&m);
    if (rc >= 0 && !(*out = top(&m)))
        rc = FV_EFORMAT;
    free(m.stack);
    free(m.memo);
    return rc < 0 ? rc : 0;
}

const struct pickle_value *pickle_get(const struct pickle_value *dict, const char *key)
{
    bool has_keys = dict->type == PICKLE_DICT || dict->type == PICKLE_OBJECT;
    for (uint32_t i = 0; has_keys && i + 1 < dict->count; i += 2)
        if (text_is(dict->items[i], key))
            return dict->items[i + 1];
    return NULL;
}

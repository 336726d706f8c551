/* A restricted unpickler (pickle.h): the opcodes of protocols 2 to 5 (Python's pickletools), a
 * stack, a memo, and the table of what may be named. What PyTorch writes, in short:
 *
 *   GLOBAL collections.OrderedDict, REDUCE ()                          a dict
 *   BINPERSID ('storage', torch.FloatStorage, '0', 'cpu', 36864)       bytes of member data/0
 *   GLOBAL torch._utils._rebuild_tensor_v2, REDUCE (storage, offset, size, stride, ...)
 *   GLOBAL __torch__.Net, NEWOBJ (), BUILD {attribute: value}          a TorchScript module
 *
 * and what pickle.dump of tensors and arrays writes, which need no archive:
 *
 *   GLOBAL torch.storage._load_from_bytes, REDUCE (bytes)              torch.save's older form: a
 *       magic number, 1001, {little_endian: True ...}, BINPERSID as above, [keys], each a pickle;
 *       u64 elements, then their bytes
 *   GLOBAL numpy.core.multiarray._reconstruct, REDUCE (ndarray, (0,), b'b'),
 *       BUILD (1, shape, dtype, fortran order, bytes)
 *   GLOBAL numpy.dtype, REDUCE ('f4', False, True), BUILD (3, '<', ...)
 *
 * Memory grows with the pickle's length only: each opcode makes at most one small value, and byte
 * strings that are read as pickles are together no longer than the whole. */
#include "vk/base/pickle.h"
#include "vk/base/array.h"
#include "vk/base/err.h"
#include "vk/base/file.h"

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
    /* in band only */
    LOAD_BYTES,  /* (bytes of a saved storage) */
    ARRAY,       /* a numpy array, built later */
    FROM_BUFFER, /* (bytes, dtype, shape, order) */
    NUMPY_TYPE,  /* (name, ...) of a dtype */
};

struct fv_pickle_global {
    const char *module, *name;
    enum global_kind kind;
    enum fv_element type;
};

static const struct fv_pickle_global globals[] = {
    {"torch._utils", "_rebuild_tensor_v2", REBUILD, 0},
    {"torch._utils", "_rebuild_tensor", REBUILD, 0},
    {"torch._utils", "_rebuild_tensor_v3", REBUILD_V3, 0},
    {"torch._utils", "_rebuild_parameter", PARAMETER, 0},
    {"torch._utils", "_rebuild_parameter_with_state", PARAMETER, 0},
    {"torch._tensor", "_rebuild_from_type_v2", FROM_TYPE, 0},
    {"torch", "DoubleStorage", STORAGE_TYPE, FV_ELEMENT_F64},
    {"torch", "FloatStorage", STORAGE_TYPE, FV_ELEMENT_F32},
    {"torch", "HalfStorage", STORAGE_TYPE, FV_ELEMENT_F16},
    {"torch", "BFloat16Storage", STORAGE_TYPE, FV_ELEMENT_BF16},
    {"torch", "LongStorage", STORAGE_TYPE, FV_ELEMENT_I64},
    {"torch", "IntStorage", STORAGE_TYPE, FV_ELEMENT_I32},
    {"torch", "ShortStorage", STORAGE_TYPE, FV_ELEMENT_I16},
    {"torch", "CharStorage", STORAGE_TYPE, FV_ELEMENT_I8},
    {"torch", "ByteStorage", STORAGE_TYPE, FV_ELEMENT_U8},
    {"torch", "BoolStorage", STORAGE_TYPE, FV_ELEMENT_BOOL},
    {"torch.storage", "UntypedStorage", UNTYPED_STORAGE, FV_ELEMENT_U8},
    {"torch", "float64", DTYPE, FV_ELEMENT_F64},
    {"torch", "float32", DTYPE, FV_ELEMENT_F32},
    {"torch", "float16", DTYPE, FV_ELEMENT_F16},
    {"torch", "bfloat16", DTYPE, FV_ELEMENT_BF16},
    {"torch", "float8_e4m3fn", DTYPE, FV_ELEMENT_F8_E4M3},
    {"torch", "float8_e5m2", DTYPE, FV_ELEMENT_F8_E5M2},
    {"torch", "int64", DTYPE, FV_ELEMENT_I64},
    {"torch", "int32", DTYPE, FV_ELEMENT_I32},
    {"torch", "int16", DTYPE, FV_ELEMENT_I16},
    {"torch", "int8", DTYPE, FV_ELEMENT_I8},
    {"torch", "uint64", DTYPE, FV_ELEMENT_U64},
    {"torch", "uint32", DTYPE, FV_ELEMENT_U32},
    {"torch", "uint16", DTYPE, FV_ELEMENT_U16},
    {"torch", "uint8", DTYPE, FV_ELEMENT_U8},
    {"torch", "bool", DTYPE, FV_ELEMENT_BOOL},
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
static const struct fv_pickle_global in_band_globals[] = {
    {"torch.storage", "_load_from_bytes", LOAD_BYTES, 0},
    {"numpy.core.multiarray", "_reconstruct", ARRAY, 0},
    {"numpy._core.multiarray", "_reconstruct", ARRAY, 0},
    {"numpy.core.numeric", "_frombuffer", FROM_BUFFER, 0},
    {"numpy._core.numeric", "_frombuffer", FROM_BUFFER, 0},
    {"numpy", "dtype", NUMPY_TYPE, 0},
    {"numpy", "ndarray", INERT, 0},
};
static const struct fv_pickle_global numpy_types[] = {
    {"numpy", "f8", DTYPE, FV_ELEMENT_F64}, {"numpy", "f4", DTYPE, FV_ELEMENT_F32},
    {"numpy", "f2", DTYPE, FV_ELEMENT_F16}, {"numpy", "i8", DTYPE, FV_ELEMENT_I64},
    {"numpy", "i4", DTYPE, FV_ELEMENT_I32}, {"numpy", "i2", DTYPE, FV_ELEMENT_I16},
    {"numpy", "i1", DTYPE, FV_ELEMENT_I8},  {"numpy", "u8", DTYPE, FV_ELEMENT_U64},
    {"numpy", "u4", DTYPE, FV_ELEMENT_U32}, {"numpy", "u2", DTYPE, FV_ELEMENT_U16},
    {"numpy", "u1", DTYPE, FV_ELEMENT_U8},  {"numpy", "b1", DTYPE, FV_ELEMENT_BOOL},
};
static const struct fv_pickle_global attribute_class = {"", "", OBJECT_TYPE, 0};

struct machine {
    struct fv_cursor in;
    const char *name;
    const struct fv_pickle_opts *opts;
    struct fv_arena *arena;
    size_t nested;                  /* bytes there may still be of pickles within this one */
    bool inner;                     /* this is one of those */
    struct fv_pickle_value **stack; /* NULL entries are marks */
    struct fv_pickle_value **memo;
    size_t depth, stack_room, memo_room, memo_next;
    bool stopped;
};

uint32_t fv_element_size(enum fv_element e)
{
    static const uint8_t sizes[FV_ELEMENT_COUNT] = {8, 4, 2, 2, 1, 1, 8, 4, 2, 1, 8, 4, 2, 1, 1};
    return (unsigned)e < FV_ELEMENT_COUNT ? sizes[e] : 0;
}

static int bad(const struct machine *m, const char *what)
{
    return fv_fail(FV_EFORMAT, "%s: byte %zu: %s", m->name, m->in.at, what);
}

/* ---- values, stack, memo ---- */

static struct fv_pickle_value *value(struct machine *m, enum fv_pickle_type type)
{
    struct fv_pickle_value *v = fv_arena_alloc(m->arena, sizeof *v);
    if (v)
        v->type = type;
    else
        fv_wrap(FV_ENOMEM, "%s: ", m->name);
    return v;
}

/* Pushes; NULL is a mark only through push_mark, otherwise memory that was out. */
static int push_raw(struct machine *m, struct fv_pickle_value *v)
{
    if (fv_grow(&m->stack, &m->stack_room, m->depth, sizeof *m->stack) < 0)
        return fv_wrap(FV_ENOMEM, "%s: ", m->name);
    m->stack[m->depth++] = v;
    return 0;
}

static int push(struct machine *m, struct fv_pickle_value *v)
{
    return v ? push_raw(m, v) : FV_ENOMEM;
}

static int push_integer(struct machine *m, enum fv_pickle_type type, int64_t i)
{
    struct fv_pickle_value *v = value(m, type);
    if (v)
        v->integer = i;
    return push(m, v);
}

static int push_text(struct machine *m, uint64_t length)
{
    const uint8_t *text = length <= UINT32_MAX ? fv_get_bytes(&m->in, length) : NULL;
    if (!text)
        return bad(m, "a text reaches beyond the end");
    struct fv_pickle_value *v = value(m, FV_PICKLE_TEXT);
    if (v) {
        v->text = (const char *)text;
        v->count = (uint32_t)length;
    }
    return push(m, v);
}

/* The topmost value; NULL (an error) when there is none or it is a mark. */
static struct fv_pickle_value *top(const struct machine *m)
{
    if (m->depth && m->stack[m->depth - 1])
        return m->stack[m->depth - 1];
    bad(m, "a value is missing on the stack");
    return NULL;
}

static struct fv_pickle_value *pop(struct machine *m)
{
    struct fv_pickle_value *v = top(m);
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
static int extend(struct machine *m, struct fv_pickle_value *v, size_t n,
                  struct fv_pickle_value **from)
{
    if (n > UINT32_MAX / 4 - v->count)
        return bad(m, "a container is too large");
    if (v->count + n > v->room) {
        size_t room = v->room * 2 > v->count + n ? v->room * 2 : v->count + n;
        struct fv_pickle_value **items = fv_arena_alloc(m->arena, room * sizeof *items);
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
static int push_container(struct machine *m, enum fv_pickle_type type, size_t first, size_t n)
{
    struct fv_pickle_value *v = value(m, type);
    if (!v)
        return FV_ENOMEM;
    FV_TRY(extend(m, v, n, m->stack + first));
    return push(m, v);
}

static int push_marked(struct machine *m, enum fv_pickle_type type)
{
    size_t first = 0, n = 0;
    FV_TRY(pop_mark(m, &first, &n));
    if (type == FV_PICKLE_DICT && n % 2)
        return bad(m, "a key without a value");
    return push_container(m, type, first, n);
}

static int push_tuple(struct machine *m, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (m->depth < n || !m->stack[m->depth - n + i])
            return bad(m, "a value is missing on the stack");
    m->depth -= n;
    return push_container(m, FV_PICKLE_TUPLE, m->depth, n);
}

/* Items above the mark into the container below it. */
static int append_marked(struct machine *m, bool dict)
{
    size_t first = 0, n = 0;
    FV_TRY(pop_mark(m, &first, &n));
    struct fv_pickle_value *v = top(m);
    if (!v)
        return FV_EFORMAT;
    if (v->type != (dict ? FV_PICKLE_DICT : FV_PICKLE_LIST) || (dict && n % 2))
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
    struct fv_pickle_value *v = m->stack[m->depth - 1];
    if (v->type != (n == 2 ? FV_PICKLE_DICT : FV_PICKLE_LIST))
        return bad(m, "an item is put into what is no container for it");
    return extend(m, v, n, m->stack + m->depth);
}

static int memoize(struct machine *m, uint64_t index)
{
    struct fv_pickle_value *v = top(m);
    if (!v)
        return FV_EFORMAT;
    if (index > m->in.size) /* writers count up, one opcode at a time */
        return bad(m, "a memo number is too large");
    if (index >= m->memo_room) {
        size_t room = index + 1 > 2 * m->memo_room ? index + 1 : 2 * m->memo_room;
        struct fv_pickle_value **more = realloc(m->memo, room * sizeof *more);
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

bool fv_pickle_is(const struct fv_pickle_value *v, const char *text)
{
    return v->type == FV_PICKLE_TEXT && v->count == strlen(text) &&
           !memcmp(v->text, text, v->count);
}

static const struct fv_pickle_global *find_global(const struct fv_pickle_global *list, size_t n,
                                                  const char *module, size_t module_length,
                                                  const char *name, size_t name_length)
{
    for (size_t i = 0; i < n; i++) {
        const struct fv_pickle_global *g = &list[i];
        if (strlen(g->module) == module_length && !memcmp(g->module, module, module_length) &&
            strlen(g->name) == name_length && !memcmp(g->name, name, name_length))
            return g;
    }
    return NULL;
}
#define FIND_GLOBAL(list, ...) find_global(list, sizeof list / sizeof *list, __VA_ARGS__)

/* TorchScript's classes, and those the caller knows. */
static bool holds_attributes(const struct machine *m, const char *module, size_t module_length,
                             const char *name, size_t name_length)
{
    if (module_length >= 9 && !memcmp(module, "__torch__", 9) &&
        (module_length == 9 || module[9] == '.'))
        return true;
    for (const char *const *c = m->opts->classes; c && *c; c++)
        if (strlen(*c) == module_length + 1 + name_length && (*c)[module_length] == '.' &&
            !memcmp(*c, module, module_length) &&
            !memcmp(*c + module_length + 1, name, name_length))
            return true;
    return false;
}

static int push_global(struct machine *m, const char *module, size_t module_length,
                       const char *name, size_t name_length)
{
    struct fv_pickle_value *v = value(m, FV_PICKLE_GLOBAL);
    if (!v)
        return FV_ENOMEM;
    v->global = FIND_GLOBAL(globals, module, module_length, name, name_length);
    if (!v->global && m->opts->in_band && !m->inner)
        v->global = FIND_GLOBAL(in_band_globals, module, module_length, name, name_length);
    if (!v->global && holds_attributes(m, module, module_length, name, name_length))
        v->global = &attribute_class;
    if (!v->global)
        return fv_fail(FV_EUNSUPPORTED,
                       "%s: asks for %.*s.%.*s, which is not needed to hold tensors and was "
                       "refused%s",
                       m->name, (int)(module_length < 128 ? module_length : 128), module,
                       (int)(name_length < 128 ? name_length : 128), name,
                       m->opts->advice ? m->opts->advice : "");
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
    const struct fv_pickle_value *name = pop(m), *module = name ? pop(m) : NULL;
    if (!module)
        return FV_EFORMAT;
    if (name->type != FV_PICKLE_TEXT || module->type != FV_PICKLE_TEXT)
        return bad(m, "a class whose name is no text");
    return push_global(m, module->text, module->count, name->text, name->count);
}

/* ('storage', type, key, location, count, ...) */
static int persistent(struct machine *m)
{
    const struct fv_pickle_value *id = pop(m);
    if (!id)
        return FV_EFORMAT;
    if (id->type != FV_PICKLE_TUPLE || id->count < 5 || !fv_pickle_is(id->items[0], "storage"))
        return bad(m, "a reference that is no storage");
    const struct fv_pickle_value *type = id->items[1], *key = id->items[2], *count = id->items[4];
    bool class = type->type == FV_PICKLE_GLOBAL &&
                 (type->global->kind == STORAGE_TYPE || type->global->kind == UNTYPED_STORAGE);
    if (!class || key->type != FV_PICKLE_TEXT || count->type != FV_PICKLE_INT || count->integer < 0)
        return bad(m, "a storage without type, key or size");
    struct fv_pickle_value *v = value(m, FV_PICKLE_STORAGE);
    struct fv_pickle_storage *s = v ? fv_arena_alloc(m->arena, sizeof *s) : NULL;
    if (!s)
        return fv_wrap(FV_ENOMEM, "%s: ", m->name);
    *s = (struct fv_pickle_storage){.type = type->global->type,
                                    .untyped = type->global->kind == UNTYPED_STORAGE,
                                    .key = key->text,
                                    .key_length = key->count,
                                    .count = (uint64_t)count->integer};
    v->storage = s;
    return push(m, v);
}

static bool sizes(const struct fv_pickle_value *v, uint64_t *out)
{
    for (uint32_t i = 0; i < v->count; i++) {
        if (v->items[i]->type != FV_PICKLE_INT || v->items[i]->integer < 0)
            return false;
        out[i] = (uint64_t)v->items[i]->integer;
    }
    return true;
}

static bool is_sequence(const struct fv_pickle_value *v)
{
    return v->type == FV_PICKLE_TUPLE || v->type == FV_PICKLE_LIST;
}

static int rebuild(struct machine *m, const struct fv_pickle_value *args, bool v3)
{
    struct fv_pickle_value *const *a = args->items;
    if (args->count < (v3 ? 7u : 4u) || a[0]->type != FV_PICKLE_STORAGE ||
        a[1]->type != FV_PICKLE_INT || a[1]->integer < 0 || !is_sequence(a[2]) ||
        !is_sequence(a[3]))
        return bad(m, "a tensor without storage, offset, size or stride");
    if (a[2]->count > FV_PICKLE_MAX_RANK || a[2]->count != a[3]->count)
        return bad(m, "a tensor of too many dimensions, or with other strides than sizes");
    struct fv_pickle_value *v = value(m, FV_PICKLE_TENSOR);
    struct fv_pickle_tensor *t = v ? fv_arena_alloc(m->arena, sizeof *t) : NULL;
    if (!t)
        return fv_wrap(FV_ENOMEM, "%s: ", m->name);
    t->storage = a[0]->storage;
    t->type = t->storage->type;
    if (v3) {
        if (a[6]->type != FV_PICKLE_GLOBAL || a[6]->global->kind != DTYPE)
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

bool fv_pickle_inside(const struct fv_pickle_tensor *t, uint64_t elements)
{
    uint64_t last = t->offset;
    for (unsigned i = 0; i < t->rank; i++) {
        uint64_t reach = t->shape[i];
        if (!reach)
            return true;
        reach--;
        if (__builtin_mul_overflow(reach, t->stride[i], &reach) ||
            __builtin_add_overflow(last, reach, &last))
            return false;
    }
    return last < elements;
}

/* ---- bytes in the pickle itself ---- */

/* An array over these bytes, into v. */
static int make_array(struct machine *m, struct fv_pickle_value *v,
                      const struct fv_pickle_value *shape, const struct fv_pickle_value *type,
                      const struct fv_pickle_value *bytes, bool fortran)
{
    struct fv_pickle_tensor *t = fv_arena_alloc(m->arena, sizeof *t);
    struct fv_pickle_storage *s = t ? fv_arena_alloc(m->arena, sizeof *s) : NULL;
    uint64_t count = 1;
    if (!s)
        return fv_wrap(FV_ENOMEM, "%s: ", m->name);
    if (!is_sequence(shape) || shape->count > FV_PICKLE_MAX_RANK || !sizes(shape, t->shape) ||
        type->type != FV_PICKLE_GLOBAL || type->global->kind != DTYPE ||
        bytes->type != FV_PICKLE_TEXT)
        return bad(m, "an array without shape, type or bytes");
    t->rank = shape->count;
    for (unsigned i = 0; i < t->rank; i++) {
        unsigned axis = fortran ? i : t->rank - 1 - i;
        t->stride[axis] = count;
        if (__builtin_mul_overflow(count, t->shape[axis], &count))
            return bad(m, "an array is too large");
    }
    t->type = s->type = type->global->type;
    s->data = (const uint8_t *)bytes->text;
    s->count = bytes->count / fv_element_size(s->type);
    if (count != s->count || bytes->count % fv_element_size(s->type))
        return bad(m, "an array of other size than its bytes");
    t->storage = s;
    v->tensor = t;
    return 0;
}

/* An array that BUILD fills. */
static int push_empty_array(struct machine *m)
{
    static const struct fv_pickle_storage nothing = {.type = FV_ELEMENT_U8,
                                                     .data = (const uint8_t *)""};
    static const struct fv_pickle_tensor empty = {
        .storage = &nothing, .type = FV_ELEMENT_U8, .rank = 1, .stride = {1}};
    struct fv_pickle_value *v = value(m, FV_PICKLE_TENSOR);
    if (v)
        v->tensor = &empty;
    return push(m, v);
}

static int push_buffer_array(struct machine *m, const struct fv_pickle_value *args)
{
    struct fv_pickle_value *const *a = args->items, *v = value(m, FV_PICKLE_TENSOR);
    if (!v)
        return FV_ENOMEM;
    if (args->count < 4)
        return bad(m, "an array without shape, type or bytes");
    FV_TRY(make_array(m, v, a[2], a[1], a[0], fv_pickle_is(a[3], "F")));
    return push(m, v);
}

static int push_numpy_type(struct machine *m, const struct fv_pickle_value *args)
{
    const struct fv_pickle_value *name = args->count ? args->items[0] : NULL;
    struct fv_pickle_value *v = value(m, FV_PICKLE_GLOBAL);
    if (!v)
        return FV_ENOMEM;
    if (name && name->type == FV_PICKLE_TEXT)
        v->global = FIND_GLOBAL(numpy_types, "numpy", 5, name->text, name->count);
    return v->global ? push(m, v) : bad(m, "an array of a type that is not numbers");
}

static int run(struct machine *m, const struct fv_pickle_value **out);

/* The four pickles of a storage that torch.save wrote, and its bytes. */
static int read_storage(struct machine *inner, struct fv_pickle_storage *s)
{
    static const char magic[] = "\x80\2\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    const struct fv_pickle_value *version, *system, *storage, *keys;
    const uint8_t *begin = fv_get_bytes(&inner->in, sizeof magic - 1);
    if (!begin || memcmp(begin, magic, sizeof magic - 1))
        return bad(inner, "a storage that torch.save did not write");
    FV_TRY(run(inner, &version));
    FV_TRY(run(inner, &system));
    FV_TRY(run(inner, &storage));
    FV_TRY(run(inner, &keys));
    const struct fv_pickle_value *little = fv_pickle_get(system, "little_endian");
    if (little && !little->integer)
        return fv_fail(FV_EUNSUPPORTED, "%s: was saved on a big-endian machine", inner->name);
    if (version->type != FV_PICKLE_INT || version->integer != 1001 ||
        storage->type != FV_PICKLE_STORAGE)
        return bad(inner, "a storage that torch.save did not write");
    *s = *storage->storage;
    uint64_t count = fv_get_u64(&inner->in), size = fv_element_size(s->type);
    if (inner->in.failed || count != s->count || count > fv_cursor_left(&inner->in) / size)
        return bad(inner, "a storage that is cut short");
    s->data = fv_get_bytes(&inner->in, (size_t)(count * size));
    return 0;
}

static int push_bytes_storage(struct machine *m, const struct fv_pickle_value *args)
{
    const struct fv_pickle_value *bytes = args->count ? args->items[0] : NULL;
    if (!bytes || bytes->type != FV_PICKLE_TEXT)
        return bad(m, "a storage without bytes");
    if (bytes->count > m->nested)
        return bad(m, "the same bytes are read over and over");
    m->nested -= bytes->count;
    struct fv_pickle_value *v = value(m, FV_PICKLE_STORAGE);
    struct fv_pickle_storage *s = v ? fv_arena_alloc(m->arena, sizeof *s) : NULL;
    if (!s)
        return fv_wrap(FV_ENOMEM, "%s: ", m->name);
    struct machine inner = {.in = fv_cursor_over(bytes->text, bytes->count),
                            .name = m->name,
                            .opts = m->opts,
                            .arena = m->arena,
                            .inner = true};
    FV_TRY(read_storage(&inner, s));
    v->storage = s;
    return push(m, v);
}

/* ---- calls ---- */

/* Calls a function or makes an object; args is a tuple. */
static int call(struct machine *m, const struct fv_pickle_value *f, struct fv_pickle_value *args)
{
    if (f->type != FV_PICKLE_GLOBAL || args->type != FV_PICKLE_TUPLE)
        return bad(m, "a call of what is no function");
    switch (f->global->kind) {
    case REBUILD:
        return rebuild(m, args, false);
    case REBUILD_V3:
        return rebuild(m, args, true);
    case PARAMETER:
        if (!args->count || args->items[0]->type != FV_PICKLE_TENSOR)
            return bad(m, "a parameter without a tensor");
        return push(m, args->items[0]);
    case FROM_TYPE: /* of REBUILD's kind, so that this does not recurse */
        if (args->count < 3 || args->items[0]->type != FV_PICKLE_GLOBAL ||
            args->items[0]->global->kind > PARAMETER || args->items[2]->type != FV_PICKLE_TUPLE)
            return bad(m, "a tensor of a class of its own that is not understood");
        return call(m, args->items[0], args->items[2]);
    case DICT_TYPE:
        return push(m, value(m, FV_PICKLE_DICT));
    case OBJECT_TYPE:
        return push(m, value(m, FV_PICKLE_OBJECT));
    case LIST_TYPE:
        if (args->count && is_sequence(args->items[0]))
            return push(m, args->items[0]);
        return push(m, value(m, FV_PICKLE_LIST));
    case TAG:
        if (!args->count)
            return bad(m, "a type tag without a value");
        return push(m, args->items[0]);
    case INERT:
        return push(m, value(m, FV_PICKLE_NONE));
    case LOAD_BYTES:
        return push_bytes_storage(m, args);
    case ARRAY:
        return push_empty_array(m);
    case FROM_BUFFER:
        return push_buffer_array(m, args);
    case NUMPY_TYPE:
        return push_numpy_type(m, args);
    default:
        return bad(m, "a call of what is no function");
    }
}

static int reduce(struct machine *m)
{
    struct fv_pickle_value *args = pop(m);
    const struct fv_pickle_value *f = args ? pop(m) : NULL;
    return f ? call(m, f, args) : FV_EFORMAT;
}

/* The state of numpy's objects: (1, shape, dtype, fortran order, bytes); (3, byte order, ...). */
static int build_numpy(struct machine *m, const struct fv_pickle_value *state,
                       struct fv_pickle_value *v)
{
    struct fv_pickle_value *const *a = state->items;
    if (v->type == FV_PICKLE_TENSOR) {
        if (state->count < 5 || a[3]->type != FV_PICKLE_BOOL)
            return bad(m, "an array without shape, type or bytes");
        return make_array(m, v, a[1], a[2], a[4], a[3]->integer);
    }
    if (state->count < 2 || a[1]->type != FV_PICKLE_TEXT)
        return bad(m, "a type without a byte order");
    return fv_pickle_is(a[1], ">")
               ? fv_fail(FV_EUNSUPPORTED, "%s: was saved on a big-endian machine", m->name)
               : 0;
}

/* Attributes of an object; the state of anything else (a dict's _metadata) means nothing here. */
static int build(struct machine *m)
{
    struct fv_pickle_value *state = pop(m), *v = state ? top(m) : NULL;
    if (!v)
        return FV_EFORMAT;
    if (m->opts->in_band && state->type == FV_PICKLE_TUPLE &&
        (v->type == FV_PICKLE_TENSOR || (v->type == FV_PICKLE_GLOBAL && v->global->kind == DTYPE)))
        return build_numpy(m, state, v);
    if (v->type != FV_PICKLE_OBJECT)
        return 0;
    if (v->count)
        return bad(m, "an object is given its state twice");
    if (state->type == FV_PICKLE_DICT) { /* shared, or repetition would copy it without bound */
        v->items = state->items;
        v->count = v->room = state->count;
        return 0;
    }
    struct fv_pickle_value *key = value(m, FV_PICKLE_TEXT);
    if (!key)
        return FV_ENOMEM;
    key->text = "state";
    key->count = 5;
    return extend(m, v, 2, (struct fv_pickle_value *[]){key, state});
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
    return push_integer(m, FV_PICKLE_INT, (int64_t)v);
}

static int push_real(struct machine *m)
{
    struct fv_pickle_value *v = value(m, FV_PICKLE_FLOAT);
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
        return push(m, value(m, FV_PICKLE_NONE));
    case 0x88:
        return push_integer(m, FV_PICKLE_BOOL, 1);
    case 0x89:
        return push_integer(m, FV_PICKLE_BOOL, 0);
    case 'J':
        return push_integer(m, FV_PICKLE_INT, (int32_t)fv_get_u32(&m->in));
    case 'K':
        return push_integer(m, FV_PICKLE_INT, fv_get_u8(&m->in));
    case 'M':
        return push_integer(m, FV_PICKLE_INT, fv_get_u16(&m->in));
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
        return push(m, value(m, FV_PICKLE_TUPLE));
    case ']':
    case 0x8f: /* a set */
        return push(m, value(m, FV_PICKLE_LIST));
    case '}':
        return push(m, value(m, FV_PICKLE_DICT));
    case 't':
        return push_marked(m, FV_PICKLE_TUPLE);
    case 'l':
    case 0x91: /* a frozen set */
        return push_marked(m, FV_PICKLE_LIST);
    case 'd':
        return push_marked(m, FV_PICKLE_DICT);
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
    struct fv_pickle_value *keywords, *again;
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
        return fv_fail(FV_EUNSUPPORTED, "%s: byte %zu: opcode 0x%02x is not one of those read",
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

/* One pickle from the cursor on. */
static int run(struct machine *m, const struct fv_pickle_value **out)
{
    uint8_t first = fv_get_u8(&m->in), protocol = fv_get_u8(&m->in);
    int rc = 0;
    *out = NULL;
    m->stopped = false;
    m->memo_next = m->depth = 0;
    if (m->in.failed || first != 0x80)
        rc = bad(m, "not a pickle of protocol 2 to 5");
    else if (protocol < 2 || protocol > 5)
        rc = fv_fail(FV_EUNSUPPORTED, "%s: pickle protocol %u; 2 to 5 are read", m->name, protocol);
    while (rc >= 0 && !m->stopped)
        rc = step(m);
    if (rc >= 0 && !(*out = top(m)))
        rc = FV_EFORMAT;
    free(m->stack);
    free(m->memo);
    m->stack = m->memo = NULL;
    m->stack_room = m->memo_room = 0;
    return rc < 0 ? rc : 0;
}

int fv_pickle_read(const struct fv_pickle_value **out, struct fv_arena *arena, const uint8_t *data,
                   size_t size, const char *name, const struct fv_pickle_opts *opts)
{
    struct machine m = {.in = fv_cursor_over(data, size),
                        .name = name,
                        .opts = opts,
                        .arena = arena,
                        .nested = size};
    return run(&m, out);
}

const struct fv_pickle_value *fv_pickle_get(const struct fv_pickle_value *dict, const char *key)
{
    bool has_keys = dict->type == FV_PICKLE_DICT || dict->type == FV_PICKLE_OBJECT;
    for (uint32_t i = 0; has_keys && i + 1 < dict->count; i += 2)
        if (fv_pickle_is(dict->items[i], key))
            return dict->items[i + 1];
    return NULL;
}

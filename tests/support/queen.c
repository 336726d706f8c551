/* QUEEN frames for tests (queen.h). */
#include "support/queen.h"
#include "vk/base/arena.h"

static struct fv_arena *arena;

static void *room(size_t count, size_t size)
{
    void *p = fv_arena_alloc(arena, count * size + 1);
    assert_non_null(p);
    return p;
}

static float *uniform(size_t n, double low, double high, uint64_t *seed)
{
    float *v = room(n, sizeof *v);
    for (size_t i = 0; i < n; i++)
        v[i] = (float)test_uniform(seed, low, high);
    return v;
}

/* ---- frames ---- */

static void fill_decoder(struct gs_queen_decoder *d, const struct test_queen *t, uint32_t latents,
                         uint32_t width, bool dft, uint64_t *seed)
{
    uint32_t in = latents;
    d->layer_count = t->hidden + 1;
    for (uint32_t i = 0; i <= t->hidden; i++) {
        struct gs_queen_layer *l = &d->layer[i];
        *l = (struct gs_queen_layer){.in = in, .out = i == t->hidden ? width : 10};
        if (dft) {
            float *w = room((size_t)l->in * l->out, sizeof *w);
            gs_queen_dft(w, l->in, l->out);
            l->w = w;
            l->scale = uniform(l->out, -0.1, 0.1, seed);
        } else {
            l->w = uniform((size_t)l->in * l->out, -0.1, 0.1, seed);
        }
        l->shift = uniform(l->out, -0.05, 0.05, seed);
        l->activation = i == t->hidden ? t->final_activation : t->activation;
        in = l->out;
    }
    if (t->divide)
        d->div = uniform(latents, 1, 8, seed);
}

static void fill_change(struct gs_queen_change *c, const struct test_queen *t, int a, char kind,
                        uint64_t *seed)
{
    static const uint32_t latents[GS_QUEEN_ATTRIBUTES] = {8, 4, 8, 6, 3}; /* QUEEN's, for N3DV */
    uint32_t width = gs_queen_width((enum gs_queen_attribute)a, t->sh_degree);
    if (kind == 'k' || !width)
        return;
    if (kind == 'p') {
        c->kind = GS_QUEEN_PLAIN;
        c->width = width;
        c->values = uniform((size_t)t->count * width, 0.1, 1, seed);
        return;
    }
    c->kind = kind == 'a' || kind == 'A' ? GS_QUEEN_ABSOLUTE : GS_QUEEN_RESIDUAL;
    c->accumulate = kind == 'A' || kind == 'R';
    fill_decoder(&c->decoder, t, latents[a], width, a == GS_QUEEN_OPACITY && t->dft, seed);
    int32_t *v = room((size_t)t->count * latents[a], sizeof *v);
    for (size_t i = 0; i < (size_t)t->count * latents[a]; i++)
        v[i] = test_rand(seed) % 4 ? 0 : (int32_t)(test_rand(seed) % 15) - 7;
    if (t->count)
        v[0] = 1234; /* rare */
    c->latent = v;
}

struct gs_queen_frame test_queen_frame(const struct test_queen *t)
{
    const char *kinds = t->kinds ? t->kinds : "rarrr";
    uint64_t seed = t->seed + 7;
    struct gs_queen_frame f = {.count = t->count};
    arena = f.memory = calloc(1, sizeof *arena);
    assert_non_null(arena);
    if (t->before && t->before != t->count) {
        uint32_t *parent = room(t->count, sizeof *parent);
        for (uint32_t i = 0; i < t->count; i++)
            parent[i] = i < t->before && test_rand(&seed) % 8 ? i : test_rand(&seed) % t->before;
        f.parent = parent;
    }
    if (t->positions) {
        f.position = uniform((size_t)t->count * 3, -1, 1, &seed);
    } else {
        uint32_t *row = room(t->count, sizeof *row);
        for (uint32_t i = 0; i < t->count; i++)
            if (test_rand(&seed) % 4 == 0)
                row[f.moved++] = i;
        f.moved_row = row;
        f.moved_by = uniform(f.moved * 3, -0.01, 0.01, &seed);
    }
    for (int a = 0; a < GS_QUEEN_ATTRIBUTES; a++)
        fill_change(&f.change[a], t, a, kinds[a], &seed);
    return f;
}

/* ---- pickles, protocol 4 ---- */

static void op(struct test_bytes *b, const char *bytes, size_t n)
{
    test_put(b, bytes, n);
}
#define OP(b, text) op(b, text, sizeof text - 1)

static void put_u32(struct test_bytes *b, uint32_t v)
{
    test_put(b, &v, 4);
}

static void put_text(struct test_bytes *b, const char *text)
{
    OP(b, "X");
    put_u32(b, (uint32_t)strlen(text));
    test_put(b, text, strlen(text));
}

static void put_data(struct test_bytes *b, const void *data, size_t size)
{
    OP(b, "B");
    put_u32(b, (uint32_t)size);
    test_put(b, data, size);
}

static void put_int(struct test_bytes *b, int32_t v)
{
    OP(b, "J");
    test_put(b, &v, 4);
}

/* torch's tensor of `rank` dimensions over a storage of its own. */
static void put_tensor(struct test_bytes *b, const char *storage, const void *data, size_t element,
                       const uint32_t *shape, unsigned rank)
{
    struct test_bytes in = {0};
    uint64_t count = 1;
    uint32_t stride[4];
    for (unsigned i = rank; i--;) {
        stride[i] = (uint32_t)count;
        count *= shape[i];
    }
    OP(&in, "\x80\2\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\2M\xe9\3.");
    OP(&in, "\x80\2}X\15\0\0\0little_endian\x88s.");
    OP(&in, "\x80\2(X\7\0\0\0storagectorch\n");
    test_putf(&in, "%s\n", storage);
    OP(&in, "X\1\0\0\0"
            "9X\3\0\0\0cpu");
    put_int(&in, (int32_t)count);
    OP(&in, "NtQ.\x80\2]X\1\0\0\0"
            "9a.");
    test_put(&in, &count, 8);
    if (count)
        test_put(&in, data, count * element);
    OP(b, "ctorch._utils\n_rebuild_tensor_v2\n(ctorch.storage\n_load_from_bytes\n");
    put_data(b, in.data, in.size);
    OP(b, "\x85RK\0(");
    for (unsigned i = 0; i < rank; i++)
        put_int(b, (int32_t)shape[i]);
    OP(b, "t(");
    for (unsigned i = 0; i < rank; i++)
        put_int(b, (int32_t)stride[i]);
    OP(b, "t\x89}tR");
    test_bytes_free(&in);
}

static void put_floats(struct test_bytes *b, const char *key, const float *v, uint32_t rows,
                       uint32_t columns)
{
    put_text(b, key);
    put_tensor(b, "FloatStorage", v, 4, (uint32_t[]){rows, columns}, 2);
    OP(b, "s");
}

/* utils.compress_utils.CompressedLatents */
static void put_coded(struct test_bytes *b, const float *values, uint32_t rows, uint32_t width,
                      float scale)
{
    struct gs_queen_coded c;
    assert_ok(gs_queen_compress(&c, values, rows, width, scale));
    OP(b, "cutils.compress_utils\nCompressedLatents\n)\x81}");
    put_text(b, "num_latents");
    put_int(b, (int32_t)rows);
    OP(b, "s");
    put_text(b, "latent_dim");
    put_int(b, (int32_t)width);
    OP(b, "s");
    put_text(b, "tail_locs");
    OP(b, "}");
    for (size_t i = 0; i < c.tails;) {
        int64_t locs[64];
        uint32_t n = 0;
        int32_t value = c.tail[i].value;
        for (; i < c.tails && c.tail[i].value == value && n < 64; i++)
            locs[n++] = c.tail[i].at;
        put_int(b, value);
        put_tensor(b, "LongStorage", locs, 8, &n, 1);
        OP(b, "s");
    }
    OP(b, "s");
    put_text(b, "mapping");
    OP(b, "}");
    for (uint32_t i = 0; i < c.symbols; i++) {
        put_int(b, c.value[i]);
        put_int(b, (int32_t)i);
        OP(b, "s");
    }
    OP(b, "s");
    put_text(b, "byte_stream");
    put_data(b, c.bytes, c.size);
    OP(b, "s");
    put_text(b, "cdf");
    OP(b, "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85"
          "C\1b\x87R(K\1");
    put_int(b, (int32_t)c.symbols + 1);
    OP(b, "\x85"
          "cnumpy\ndtype\nX\2\0\0\0f4\x89\x88\x87R(K\3X\1\0\0\0<NNNJ\xff\xff\xff\xff"
          "J\xff\xff\xff\xffK\0tb\x89");
    put_data(b, c.cdf, 4 * ((size_t)c.symbols + 1));
    OP(b, "tbs");
    OP(b, "b");
    gs_queen_coded_finish(&c);
}

static const char *const names[GS_QUEEN_ATTRIBUTES] = {"f_dc", "f_rest", "sc", "rot", "op"};

static void put_positions(struct test_bytes *b, const struct gs_queen_frame *f)
{
    put_text(b, "xyz");
    if (f->position) {
        put_tensor(b, "FloatStorage", f->position, 4, (uint32_t[]){f->count, 3}, 2);
        OP(b, "s");
        return;
    }
    int64_t *mapping = malloc(f->count * sizeof *mapping);
    assert_non_null(mapping);
    for (uint32_t i = 0; i < f->count; i++)
        mapping[i] = f->parent ? f->parent[i] : i;
    OP(b, "}");
    put_text(b, "mapping");
    put_tensor(b, "LongStorage", mapping, 8, &f->count, 1);
    OP(b, "s");
    put_text(b, "ungated_indices");
    put_tensor(b, "IntStorage", f->moved_row, 4, &f->moved, 1);
    OP(b, "s");
    put_text(b, "ungated_residuals_compressed");
    if (f->moved)
        put_coded(b, f->moved_by, f->moved, 3, 10000);
    else
        OP(b, "N"); /* QUEEN itself cannot write a frame in which nothing moves */
    OP(b, "ss");
    free(mapping);
}

static void put_latents(struct test_bytes *b, const struct gs_queen_frame *f, int a)
{
    const struct gs_queen_change *c = &f->change[a];
    put_text(b, names[a]);
    if (c->kind == GS_QUEEN_PLAIN || c->kind == GS_QUEEN_KEPT) {
        put_tensor(b, "FloatStorage", c->values, 4, (uint32_t[]){f->count, c->width}, 2);
    } else {
        uint32_t width = c->decoder.layer[0].in;
        float *v = malloc((size_t)f->count * width * sizeof *v);
        assert_non_null(v);
        for (size_t i = 0; i < (size_t)f->count * width; i++)
            v[i] = (float)c->latent[i];
        put_coded(b, v, f->count, width, 1);
        free(v);
    }
    OP(b, "s");
}

static void put_state(struct test_bytes *b, const struct gs_queen_decoder *d)
{
    char key[32];
    OP(b, "ccollections\nOrderedDict\n)R");
    if (d->div) {
        put_text(b, "div");
        put_tensor(b, "FloatStorage", d->div, 4, &d->layer[0].in, 1);
        OP(b, "s");
    }
    for (uint32_t i = 0; i < d->layer_count; i++) {
        const struct gs_queen_layer *l = &d->layer[i];
        snprintf(key, sizeof key, "layers.%u.dft", 2 * i);
        if (l->scale)
            put_floats(b, key, l->w, l->in, l->out);
        snprintf(key, sizeof key, "layers.%u.scale", 2 * i);
        put_floats(b, key, l->scale ? l->scale : l->w, l->scale ? 1 : l->in, l->out);
        snprintf(key, sizeof key, "layers.%u.shift", 2 * i);
        if (l->shift)
            put_floats(b, key, l->shift, 1, l->out);
    }
}

static void put_dicts(struct test_bytes *b, const struct gs_queen_frame *f, int which)
{
    static const char *const activations[] = {"none", "relu", "sigmoid", "tanh"};
    static const char *const classes[] = {[GS_QUEEN_KEPT] = "DecoderIdentity",
                                          [GS_QUEEN_PLAIN] = "DecoderIdentity",
                                          [GS_QUEEN_ABSOLUTE] = "LatentDecoder",
                                          [GS_QUEEN_RESIDUAL] = "LatentDecoderRes"};
    OP(b, "ccollections\nOrderedDict\n)R");
    for (int a = 0; a < GS_QUEEN_ATTRIBUTES; a++) {
        const struct gs_queen_decoder *d = &f->change[a].decoder;
        if (which < 2 && !d->layer_count)
            continue;
        put_text(b, names[a]);
        if (which == 0) {
            put_state(b, d);
        } else if (which == 1) {
            OP(b, "}");
            put_text(b, "activation");
            put_text(b, activations[d->layer[0].activation]);
            OP(b, "s");
            put_text(b, "final_activation");
            put_text(b, activations[d->layer[d->layer_count - 1].activation]);
            OP(b, "s");
        } else {
            put_text(b, classes[f->change[a].kind]);
        }
        OP(b, "s");
    }
}

struct test_bytes test_queen_pickle(const struct gs_queen_frame *f)
{
    static const char *const keys[] = {"decoder_state_dict", "decoder_args",
                                       "latent_decoders_dict"};
    struct test_bytes b = {0};
    OP(&b, "\x80\4}");
    put_text(&b, "latents");
    OP(&b, "ccollections\nOrderedDict\n)R");
    put_positions(&b, f);
    for (int a = 0; a < GS_QUEEN_ATTRIBUTES; a++)
        put_latents(&b, f, a);
    OP(&b, "s");
    for (int i = 0; i < 3; i++) {
        put_text(&b, keys[i]);
        put_dicts(&b, f, i);
        OP(&b, "s");
    }
    OP(&b, ".");
    return b;
}

/* QUEEN's frames on the device (queen.h). A scene is kept in rows of vec4, in QUEEN's own order:
 *
 *   position  x y z, opacity logit      rotation  w x y z, raw
 *   scale     natural logs, 0           sh        f_dc, 0 | f_rest, padded to vec4
 *
 * A frame's inputs go up in one buffer of sections; then, where rows change, gather into the other
 * set of state buffers; latent sums; a layer of a decoder at a time; moved positions; and the
 * scene is packed for the renderer. Two input buffers take turns, so that a frame's latents are
 * still there when the next one's are added to them, and uploading does not wait for the device.
 * Nothing is read back. */
#include "gs/gpu.h"
#include "gs/queen_private.h"
#include "gs/scene.h"
#include "vk/xfer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum state { POSITION, SCALE, ROTATION, SH, STATES };
enum { MOST_SECTIONS = 64, ALIGN = 256 };

/* A part of a frame's input: bytes to be sent, or room for results (data NULL). */
struct section {
    const void *data;
    uint64_t offset, size;
};

struct input {
    struct vk_buf buf;
    uint64_t latent[GS_QUEEN_ATTRIBUTES];       /* offsets of the latents the decoders were given */
    uint32_t latent_width[GS_QUEEN_ATTRIBUTES]; /* 0 = none */
};

/* What commands are recorded with. */
struct pass {
    struct vk_device *dev;
    struct vk_cmd *cmd;
};

struct gs_queen {
    struct vk_device *dev;
    struct vk_cmd *cmd;
    struct gs_gpu_scene *scene;
    enum gs_format format;
    float up[3];
    uint32_t count, quads[STATES];  /* vec4 a row */
    struct vk_buf state[2][STATES]; /* the scene is in [at] */
    unsigned at, turn;
    uint64_t ticket; /* of the frame at hand */
    struct input input[2];
    struct vk_buf hidden[2]; /* between layers */
    uint32_t *order;         /* packed row -> row; NULL: the same, as in exact scenes */
    struct vk_buf order_buf;
};

/* ---- dispatching ---- */

static void dispatch(const struct pass *p, const char *name, const uint32_t *spec, uint32_t nspec,
                     const struct vk_bind *bind, uint32_t nbind, const void *push,
                     uint32_t push_size, uint64_t invocations)
{
    char full[64];
    const struct vk_pipe *pipe;
    bool tex = true;
    for (uint32_t i = 0; i < nbind; i++) {
        uint64_t range = bind[i].range ? bind[i].range : bind[i].buf->size - bind[i].offset;
        uint32_t texel = bind[i].format == VK_FORMAT_R32_UINT ? 4 : 16;
        tex = tex && (!bind[i].format || range / texel <= p->dev->caps.max_texel_elements);
    }
    snprintf(full, sizeof full, "gs/queen_%s.%s", name, tex ? "tex" : "ssbo");
    int rc = vk_pipe_get(&pipe, p->dev, full, spec, nspec, 0);
    if (rc < 0) {
        vk_cmd_fail(p->cmd, rc);
        return;
    }
    uint64_t groups = (invocations + GS_QUEEN_GROUP - 1) / GS_QUEEN_GROUP;
    uint32_t y = (uint32_t)((groups + 65534) / 65535);
    vk_cmd_dispatch(p->cmd, pipe, bind, nbind, push, push_size,
                    y ? (uint32_t)((groups + y - 1) / y) : 0, y, 1);
}

#define DISPATCH(p, name, spec, bind, push, invocations)                                           \
    dispatch(p, name, spec, sizeof(spec) / sizeof *(spec), bind, sizeof(bind) / sizeof *(bind),    \
             &(push), sizeof(push), invocations)

static struct vk_bind words(const struct vk_buf *b, uint64_t offset, uint64_t count)
{
    return (struct vk_bind){b, offset, 4 * count, VK_FORMAT_R32_UINT};
}

static struct vk_bind quads(const struct vk_buf *b, uint64_t offset, uint64_t count)
{
    return (struct vk_bind){b, offset, 16 * count, VK_FORMAT_R32G32B32A32_UINT};
}

static struct vk_bind storage(const struct vk_buf *b, uint64_t offset, uint64_t size)
{
    return (struct vk_bind){b, offset, size, VK_FORMAT_UNDEFINED};
}

static int reserve(struct vk_buf *b, struct vk_device *dev, uint64_t size, const char *label)
{
    if (b->size >= size)
        return 0;
    vk_buf_destroy(b);
    return vk_buf_create_large(b, dev, size + size / 8, VK_BUF_DEVICE, label);
}

/* ---- sections ---- */

struct sections {
    struct section list[MOST_SECTIONS];
    uint32_t count;
    uint64_t size;
};

/* Returns the offset in the input buffer. */
static uint64_t add_section(struct sections *s, const void *data, uint64_t size)
{
    uint64_t offset = s->size;
    s->list[s->count++] = (struct section){data, offset, size};
    s->size += (size + ALIGN - 1) / ALIGN * ALIGN;
    return offset;
}

static int send_sections(const struct sections *s, struct vk_buf *buf, struct vk_device *dev)
{
    FV_TRY(reserve(buf, dev, s->size ? s->size : ALIGN, "a frame's input"));
    for (uint32_t i = 0; i < s->count; i++)
        if (s->list[i].data && s->list[i].size)
            FV_TRY(vk_upload(buf, s->list[i].offset, s->list[i].data, s->list[i].size));
    return 0;
}

/* ---- decoders ---- */

/* Weights of a layer as queen_layer.comp reads them. */
static uint64_t weight_quads(const struct gs_queen_layer *l)
{
    return ((uint64_t)l->in + 2) * ((l->out + 3) / 4) + (l->in + 3) / 4;
}

static void lay_out_weights(float *out, const struct gs_queen_layer *l, const float *div)
{
    size_t row = (l->out + 3) / 4 * 4, n = 4 * weight_quads(l);
    memset(out, 0, n * sizeof *out);
    for (uint32_t i = 0; i < l->in; i++)
        memcpy(out + i * row, l->w + i * l->out, l->out * sizeof *out);
    out += l->in * row;
    for (uint32_t j = 0; j < l->out; j++)
        out[j] = l->scale ? l->scale[j] : 1;
    out += row;
    if (l->shift)
        memcpy(out, l->shift, l->out * sizeof *out);
    out += row;
    for (uint32_t i = 0; i < l->in; i++)
        out[i] = div ? div[i] : 1;
}

/* All layers of a decoder, one after the other; caller frees. */
static float *decoder_weights(const struct gs_queen_decoder *d, uint64_t *bytes)
{
    uint64_t n = 0, at = 0;
    for (uint32_t i = 0; i < d->layer_count; i++)
        n += (16 * weight_quads(&d->layer[i]) + ALIGN - 1) / ALIGN * ALIGN;
    float *w = calloc(1, n);
    for (uint32_t i = 0; w && i < d->layer_count; i++) {
        lay_out_weights(w + at / 4, &d->layer[i], i ? NULL : d->div);
        at += (16 * weight_quads(&d->layer[i]) + ALIGN - 1) / ALIGN * ALIGN;
    }
    *bytes = n;
    return w;
}

static bool divides(const struct gs_queen_decoder *d)
{
    bool yes = false;
    for (uint32_t i = 0; d->div && i < d->layer[0].in; i++)
        yes = yes || d->div[i] != 1;
    return yes;
}

static uint64_t widest_hidden(const struct gs_queen_decoder *d)
{
    uint64_t widest = 0;
    for (uint32_t i = 0; i + 1 < d->layer_count; i++)
        widest = d->layer[i].out > widest ? d->layer[i].out : widest;
    return (widest + 3) / 4 * 4;
}

/* A decoder over rows of latents into rows of `stride` vec4 from `offset` on. */
struct decoding {
    const struct gs_queen_decoder *decoder;
    uint32_t rows;
    bool floats; /* latents are to be rounded */
    struct vk_bind latent;
    const struct vk_buf *weights;
    uint64_t weights_at;
    struct vk_buf *hidden; /* [2], large enough */
    bool add;              /* to what stands in the result */
    const struct vk_buf *result;
    uint32_t stride, offset;
    bool w; /* the one value it makes goes into the w of a vec4 */
};

static void record_decoder(const struct pass *p, const struct decoding *d)
{
    struct vk_bind x = d->latent;
    uint32_t x_stride = d->decoder->layer[0].in;
    uint64_t at = d->weights_at;
    for (uint32_t i = 0; i < d->decoder->layer_count; i++) {
        const struct gs_queen_layer *l = &d->decoder->layer[i];
        bool last = i + 1 == d->decoder->layer_count;
        uint32_t input = i ? 2 : d->floats;
        uint32_t stride = last ? d->stride : (l->out + 3) / 4;
        struct gs_queen_layer_push push = {d->rows, x_stride, stride, last ? d->offset : 0};
        uint32_t spec[] = {l->in,         l->out,         input,
                           l->activation, last && d->add, !i && divides(d->decoder),
                           last && d->w};
        uint64_t n = (uint64_t)d->rows * stride;
        const struct vk_buf *result = last ? d->result : &d->hidden[i & 1];
        struct vk_bind weights = {d->weights, at, 16 * weight_quads(l),
                                  VK_FORMAT_R32G32B32A32_SFLOAT};
        struct vk_bind bind[] = {x, weights, storage(result, 0, 16 * n)};
        DISPATCH(p, "layer", spec, bind, push, (d->rows + 1ull) / 2);
        x = words(result, 0, 4 * n);
        x_stride = 4 * stride;
        at += (16 * weight_quads(l) + ALIGN - 1) / ALIGN * ALIGN;
    }
}

int gs_queen_decode(struct vk_device *dev, const struct gs_queen_decoder *d, const float *latent,
                    size_t rows, const float *base, float *out)
{
    struct vk_buf input = {0}, result = {0}, hidden[2] = {{0}};
    struct vk_cmd *cmd = NULL;
    struct sections s = {0};
    float *padded = NULL; /* rows of vec4 */
    uint64_t bytes, ticket;
    int rc = 0;
    if (!rows)
        return 0;
    if (!d->layer_count || d->layer_count > GS_QUEEN_MAX_LAYERS || rows > INT32_MAX)
        return fv_fail(FV_EINVALID, "a decoder of %u layers over %zu rows", d->layer_count, rows);
    uint32_t width = d->layer[d->layer_count - 1].out, in = d->layer[0].in;
    FV_TRY(gs_queen_check_decoder(d, 0, width));
    float *weights = decoder_weights(d, &bytes);
    if (!weights)
        return fv_fail(FV_ENOMEM, "out of memory");
    uint32_t quads_a_row = (width + 3) / 4, row = 4 * quads_a_row;
    uint64_t latent_at = add_section(&s, latent, 4ull * rows * in);
    uint64_t weights_at = add_section(&s, weights, bytes);
    padded = calloc(rows, row * sizeof *padded);
    if (!padded)
        FV_GOTO(fv_fail(FV_ENOMEM, "out of memory"));
    for (size_t i = 0; base && i < rows; i++)
        memcpy(padded + i * row, base + i * width, width * sizeof *base);
    FV_GOTO(send_sections(&s, &input, dev));
    FV_GOTO(vk_buf_create(&result, dev, 4ull * rows * row, VK_BUF_DEVICE, "decoded"));
    for (int i = 0; i < 2 && d->layer_count > 1; i++)
        FV_GOTO(vk_buf_create(&hidden[i], dev, 4ull * rows * widest_hidden(d), VK_BUF_DEVICE,
                              "hidden layer"));
    FV_GOTO(vk_upload(&result, 0, padded, 4ull * rows * row));
    FV_GOTO(vk_cmd_create(&cmd, dev));
    vk_cmd_begin(cmd);
    record_decoder(&(struct pass){dev, cmd},
                   &(struct decoding){.decoder = d,
                                      .rows = (uint32_t)rows,
                                      .floats = true,
                                      .latent = words(&input, latent_at, (uint64_t)rows * in),
                                      .weights = &input,
                                      .weights_at = weights_at,
                                      .hidden = hidden,
                                      .add = base != NULL,
                                      .result = &result,
                                      .stride = quads_a_row});
    FV_GOTO(vk_cmd_submit(cmd, &ticket));
    FV_GOTO(vk_wait(dev, ticket));
    FV_GOTO(vk_download(padded, &result, 0, 4ull * rows * row));
    for (size_t i = 0; i < rows; i++)
        memcpy(out + i * width, padded + i * row, width * sizeof *out);
done:
    vk_cmd_destroy(&cmd);
    vk_buf_destroy(&input);
    vk_buf_destroy(&result);
    vk_buf_destroy(&hidden[0]);
    vk_buf_destroy(&hidden[1]);
    free(weights);
    free(padded);
    return rc;
}

int gs_queen_gate(struct vk_device *dev, const struct gs_queen_gate *g, const float *log_alpha,
                  size_t rows, const float *before, const float *free, float *z, float *xyz)
{
    struct vk_buf input = {0}, result = {0};
    struct vk_cmd *cmd = NULL;
    struct sections s = {0};
    uint64_t n = rows, ticket;
    int rc = 0;
    if (!rows)
        return 0;
    if (rows > INT32_MAX)
        return fv_fail(FV_EINVALID, "%zu gates are too many", rows);
    uint64_t alpha_at = add_section(&s, log_alpha, 4 * n);
    uint64_t before_at = add_section(&s, before, 12 * n);
    uint64_t free_at = add_section(&s, free, 12 * n);
    struct sections results = {0};
    uint64_t z_at = add_section(&results, NULL, 4 * n);
    uint64_t xyz_at = add_section(&results, NULL, 12 * n);
    FV_GOTO(send_sections(&s, &input, dev));
    FV_GOTO(send_sections(&results, &result, dev));
    FV_GOTO(vk_cmd_create(&cmd, dev));
    vk_cmd_begin(cmd);
    struct vk_bind bind[] = {words(&input, alpha_at, n), words(&input, before_at, 3 * n),
                             words(&input, free_at, 3 * n), storage(&result, z_at, 4 * n),
                             storage(&result, xyz_at, 12 * n)};
    struct gs_queen_gate_push push = {(uint32_t)rows, g->temperature, g->low, g->high};
    dispatch(&(struct pass){dev, cmd}, "gate", NULL, 0, bind, 5, &push, sizeof push, n);
    FV_GOTO(vk_cmd_submit(cmd, &ticket));
    FV_GOTO(vk_wait(dev, ticket));
    if (z)
        FV_GOTO(vk_download(z, &result, z_at, 4 * n));
    if (xyz)
        FV_GOTO(vk_download(xyz, &result, xyz_at, 12 * n));
done:
    vk_cmd_destroy(&cmd);
    vk_buf_destroy(&input);
    vk_buf_destroy(&result);
    return rc;
}

/* ---- state ---- */

static struct pass pass_of(const struct gs_queen *q)
{
    return (struct pass){q->dev, q->cmd};
}

static uint64_t state_bytes(const struct gs_queen *q, enum state s, uint64_t count)
{
    return 16 * count * q->quads[s];
}

/* Room for so many in one set of states; what stands there is lost where it has to grow. */
static int reserve_states(struct gs_queen *q, unsigned set, uint32_t count)
{
    static const char *const labels[] = {"positions", "scales", "rotations", "SH"};
    for (int s = 0; s < STATES; s++) {
        uint64_t size = state_bytes(q, (enum state)s, count);
        if (size > vk_buf_max(q->dev))
            return fv_fail(FV_EUNSUPPORTED,
                           "%u Gaussians: their %s take more than the %llu bytes this device binds",
                           count, labels[s], (unsigned long long)vk_buf_max(q->dev));
        if (q->state[set][s].size < size) {
            uint64_t room = size + size / 8 / 16 * 16;
            room = room <= vk_buf_max(q->dev) ? room : size;
            vk_buf_destroy(&q->state[set][s]);
            FV_TRY(vk_buf_create(&q->state[set][s], q->dev, room, VK_BUF_DEVICE, labels[s]));
        }
    }
    return 0;
}

/* `width` values of each row at `at` of the input, from `from` of its `from_stride` on, into a
 * state. */
static void place(const struct gs_queen *q, const struct vk_buf *input, uint64_t at, uint32_t width,
                  const struct vk_buf *state, const struct gs_queen_place_push *push)
{
    struct pass p = pass_of(q);
    uint32_t spec[] = {width};
    struct vk_bind bind[] = {words(input, at, (uint64_t)push->rows * push->from_stride),
                             storage(state, 0, 4ull * push->rows * push->stride)};
    DISPATCH(&p, "place", spec, bind, *push, (uint64_t)push->rows * width);
}

/* Where an attribute stands in the state: its first float in a row. */
static enum state state_of(enum gs_queen_attribute a, uint32_t *offset)
{
    static const struct {
        enum state state;
        uint32_t offset;
    } places[GS_QUEEN_ATTRIBUTES] = {[GS_QUEEN_DC] = {SH, 0},
                                     [GS_QUEEN_REST] = {SH, 4},
                                     [GS_QUEEN_SCALE] = {SCALE, 0},
                                     [GS_QUEEN_ROTATION] = {ROTATION, 0},
                                     [GS_QUEEN_OPACITY] = {POSITION, 3}};
    *offset = places[a].offset;
    return places[a].state;
}

static void record_pack(const struct gs_queen *q)
{
    struct pass p = pass_of(q);
    const struct vk_buf *state = q->state[q->at];
    const struct gs_gpu_scene *g = q->scene;
    uint64_t n = q->count;
    uint32_t first = 0;
    uint32_t spec[] = {q->quads[SH], g->sh_stride, g->exact, q->order != NULL};
    struct vk_bind position = quads(&state[POSITION], 0, n);
    for (uint32_t c = 0; c < g->chunk_count; c++) {
        const struct gs_chunk *chunk = &g->chunks[c];
        struct gs_queen_pack_push push = {first, chunk->count};
        struct vk_bind bind[] = {
            position,
            quads(&state[SCALE], 0, n),
            quads(&state[ROTATION], 0, n),
            quads(&state[SH], 0, n * q->quads[SH]),
            q->order ? words(&q->order_buf, 0, n) : words(&state[POSITION], 0, 4 * n),
            storage(&chunk->geo, 0, (uint64_t)chunk->count * (g->exact ? 48 : 32)),
            storage(&chunk->sh, 0, 16ull * chunk->count * g->sh_stride)};
        DISPATCH(&p, "pack", spec, bind, push, chunk->count);
        first += chunk->count;
    }
}

/* ---- topology ---- */

/* The order of the frame's rows: those of a parent stand where the parent stood. */
static int follow_order(const struct gs_queen *q, const struct gs_queen_frame *f, uint32_t **out)
{
    uint32_t *order = malloc(f->count * sizeof *order);
    uint32_t *first = calloc((size_t)q->count + 1, sizeof *first); /* rows before a parent's */
    uint32_t sum = 0;
    *out = order;
    if (!order || !first) {
        free(first);
        return fv_fail(FV_ENOMEM, "out of memory");
    }
    for (uint32_t i = 0; i < f->count; i++)
        first[f->parent[i]]++;
    for (uint32_t k = 0; k < q->count; k++) {
        uint32_t children = first[q->order[k]];
        first[q->order[k]] = sum;
        sum += children;
    }
    for (uint32_t i = 0; i < f->count; i++)
        order[first[f->parent[i]]++] = i;
    free(first);
    return 0;
}

static void record_gather(const struct gs_queen *q, const struct vk_buf *input, uint64_t parent_at,
                          uint32_t count, unsigned from, unsigned to)
{
    struct pass p = pass_of(q);
    for (int s = 0; s < STATES; s++) {
        uint32_t spec[] = {q->quads[s]};
        uint64_t n = (uint64_t)count * q->quads[s];
        struct vk_bind bind[] = {quads(&q->state[from][s], 0, (uint64_t)q->count * q->quads[s]),
                                 words(input, parent_at, count),
                                 storage(&q->state[to][s], 0, 16 * n)};
        struct gs_queen_rows_push push = {.rows = count};
        DISPATCH(&p, "gather", spec, bind, push, n);
    }
}

/* ---- a frame ---- */

/* Offsets of a frame's sections in its input buffer. */
struct plan {
    struct sections sections;
    bool same_rows;
    uint64_t parent, position, moved_row, moved_by;
    uint64_t weights[GS_QUEEN_ATTRIBUTES], values[GS_QUEEN_ATTRIBUTES];
    uint64_t more[GS_QUEEN_ATTRIBUTES]; /* latents as they come; sums are the input's `latent` */
    bool sums[GS_QUEEN_ATTRIBUTES];
    float *weight_data[GS_QUEEN_ATTRIBUTES];
    uint64_t hidden; /* floats a row */
};

static int plan_change(struct plan *p, const struct gs_queen *q, struct input *in,
                       const struct input *before, const struct gs_queen_frame *f, int a)
{
    const struct gs_queen_change *c = &f->change[a];
    uint32_t latents = gs_queen_latent_width(c);
    uint64_t bytes = 4ull * f->count * latents, weight_bytes;
    in->latent_width[a] = latents;
    if (c->kind == GS_QUEEN_PLAIN)
        p->values[a] = add_section(&p->sections, c->values, 4ull * f->count * c->width);
    if (!latents)
        return 0;
    if (bytes > vk_buf_max(q->dev))
        return fv_fail(FV_EUNSUPPORTED, "%u Gaussians of %u latents: more than this device binds",
                       f->count, latents);
    p->weight_data[a] = decoder_weights(&c->decoder, &weight_bytes);
    if (!p->weight_data[a])
        return fv_fail(FV_ENOMEM, "out of memory");
    p->weights[a] = add_section(&p->sections, p->weight_data[a], weight_bytes);
    p->more[a] = in->latent[a] = add_section(&p->sections, c->latent, bytes);
    p->sums[a] = c->accumulate && before->latent_width[a] == latents;
    if (p->sums[a])
        in->latent[a] = add_section(&p->sections, NULL, bytes);
    uint64_t hidden = widest_hidden(&c->decoder);
    p->hidden = hidden > p->hidden ? hidden : p->hidden;
    return 0;
}

static int plan_frame(struct plan *p, const struct gs_queen *q, struct input *in,
                      const struct input *before, const struct gs_queen_frame *f)
{
    p->same_rows = gs_queen_same_rows(f, q->count);
    if (!p->same_rows)
        p->parent = add_section(&p->sections, f->parent, 4ull * f->count);
    if (f->position)
        p->position = add_section(&p->sections, f->position, 12ull * f->count);
    p->moved_row = add_section(&p->sections, f->moved_row, 4ull * f->moved);
    p->moved_by = add_section(&p->sections, f->moved_by, 12ull * f->moved);
    for (int a = 0; a < GS_QUEEN_ATTRIBUTES; a++)
        FV_TRY(plan_change(p, q, in, before, f, a));
    return 0;
}

static void record_sums(const struct gs_queen *q, const struct plan *p, const struct input *in,
                        const struct input *before, const struct gs_queen_frame *f, int a)
{
    struct pass pass = pass_of(q);
    uint32_t width = in->latent_width[a], spec[] = {width, !p->same_rows};
    uint64_t n = (uint64_t)f->count * width;
    struct vk_bind more = words(&in->buf, p->more[a], n);
    uint64_t old = (uint64_t)q->count * width;
    struct vk_bind bind[] = {more, words(&before->buf, before->latent[a], old),
                             p->same_rows ? more : words(&in->buf, p->parent, f->count),
                             storage(&in->buf, in->latent[a], 4 * n)};
    struct gs_queen_rows_push push = {.rows = f->count};
    DISPATCH(&pass, "latent", spec, bind, push, n);
}

static void record_change(struct gs_queen *q, const struct plan *p, const struct input *in,
                          const struct gs_queen_frame *f, unsigned to, int a)
{
    struct pass pass = pass_of(q);
    const struct gs_queen_change *c = &f->change[a];
    uint32_t offset;
    enum state s = state_of((enum gs_queen_attribute)a, &offset);
    const struct vk_buf *state = &q->state[to][s];
    if (c->kind == GS_QUEEN_PLAIN)
        place(q, &in->buf, p->values[a], c->width, state,
              &(struct gs_queen_place_push){f->count, 4 * q->quads[s], offset, c->width, 0});
    if (!in->latent_width[a])
        return;
    record_decoder(&pass,
                   &(struct decoding){.decoder = &c->decoder,
                                      .rows = f->count,
                                      .latent = words(&in->buf, in->latent[a],
                                                      (uint64_t)f->count * in->latent_width[a]),
                                      .weights = &in->buf,
                                      .weights_at = p->weights[a],
                                      .hidden = q->hidden,
                                      .add = c->kind == GS_QUEEN_RESIDUAL,
                                      .result = state,
                                      .stride = q->quads[s],
                                      .offset = offset / 4,
                                      .w = offset % 4 == 3});
}

static void record_moves(const struct gs_queen *q, const struct plan *p, const struct input *in,
                         const struct gs_queen_frame *f, unsigned to)
{
    struct pass pass = pass_of(q);
    const struct vk_buf *state = &q->state[to][POSITION];
    if (f->position)
        place(q, &in->buf, p->position, 3, state,
              &(struct gs_queen_place_push){f->count, 4, 0, 3, 0});
    if (!f->moved)
        return;
    struct vk_bind bind[] = {words(&in->buf, p->moved_row, f->moved),
                             words(&in->buf, p->moved_by, 3ull * f->moved),
                             storage(state, 0, 16ull * f->count)};
    struct gs_queen_rows_push push = {f->moved};
    dispatch(&pass, "move", NULL, 0, bind, 3, &push, sizeof push, f->moved);
}

/* All that can fail for want of memory comes first: until it is done the scene is as it was. */
static int prepare(struct gs_queen *q, struct plan *p, struct input *in, const struct input *before,
                   const struct gs_queen_frame *f, uint32_t **order)
{
    FV_TRY(plan_frame(p, q, in, before, f));
    FV_TRY(send_sections(&p->sections, &in->buf, q->dev));
    for (int i = 0; i < 2 && p->hidden; i++) {
        uint64_t size = 4ull * f->count * p->hidden;
        if (size > vk_buf_max(q->dev))
            return fv_fail(FV_EUNSUPPORTED, "a hidden layer takes more than this device binds");
        FV_TRY(reserve(&q->hidden[i], q->dev, size, "hidden layer"));
    }
    if (p->same_rows)
        return 0;
    FV_TRY(reserve_states(q, !q->at, f->count));
    if (!q->order)
        return 0;
    FV_TRY(follow_order(q, f, order));
    FV_TRY(reserve(&q->order_buf, q->dev, 4ull * f->count, "order of the scene"));
    return vk_upload(&q->order_buf, 0, *order, 4ull * f->count);
}

static void record_frame(struct gs_queen *q, const struct plan *p, const struct input *in,
                         const struct input *before, const struct gs_queen_frame *f)
{
    unsigned to = p->same_rows ? q->at : !q->at;
    vk_cmd_begin(q->cmd);
    vk_cmd_scope(q->cmd, "update");
    if (!p->same_rows)
        record_gather(q, &in->buf, p->parent, f->count, q->at, to);
    record_moves(q, p, in, f, to);
    for (int a = 0; a < GS_QUEEN_ATTRIBUTES; a++) {
        if (p->sums[a])
            record_sums(q, p, in, before, f, a);
        record_change(q, p, in, f, to, a);
    }
    q->at = to;
    q->count = f->count;
    vk_cmd_scope(q->cmd, "pack");
    record_pack(q);
}

int gs_queen_advance(struct gs_queen *q, const struct gs_queen_frame *f)
{
    struct input *in = &q->input[q->turn & 1];
    const struct input *before = &q->input[!(q->turn & 1)];
    struct plan plan = {0};
    uint32_t *order = NULL;
    int rc = gs_queen_check_frame(f, q->count, (int)q->scene->sh_degree);
    if (rc >= 0)
        rc = prepare(q, &plan, in, before, f, &order);
    if (rc >= 0 && f->count != q->scene->count)
        rc = gs_gpu_scene_resize(q->scene, f->count);
    if (rc >= 0) {
        if (order) {
            free(q->order);
            q->order = order;
            order = NULL;
        }
        record_frame(q, &plan, in, before, f);
        rc = vk_cmd_submit(q->cmd, &q->ticket);
        q->turn++;
    }
    for (int a = 0; a < GS_QUEEN_ATTRIBUTES; a++)
        free(plan.weight_data[a]);
    free(order);
    return rc;
}

/* ---- objects ---- */

static int upload_first(struct gs_queen *q, const struct gs_scene *s)
{
    struct input *in = &q->input[0];
    struct sections list = {0};
    uint64_t n = s->count;
    uint32_t sh = 3 * (uint32_t)gs_sh_coefs(s->sh_degree);
    const struct {
        const float *data;
        uint32_t width, from_stride, from;
        enum state state;
        uint32_t offset;
    } parts[] = {{s->position, 3, 3, 0, POSITION, 0},
                 {s->opacity, 1, 1, 0, POSITION, 3},
                 {s->scale, 3, 3, 0, SCALE, 0},
                 {s->rotation, 4, 4, 0, ROTATION, 0},
                 {s->sh, 3, sh, 0, SH, 0},
                 {s->sh, sh - 3, sh, 3, SH, 4}};
    enum { PARTS = sizeof parts / sizeof *parts };
    uint64_t at[PARTS];
    for (int i = 0; i < PARTS; i++) /* f_rest is sent with f_dc */
        at[i] = parts[i].from ? at[i - 1]
                              : add_section(&list, parts[i].data, 4 * n * parts[i].from_stride);
    FV_TRY(send_sections(&list, &in->buf, q->dev));
    vk_cmd_begin(q->cmd);
    for (int i = 0; i < STATES; i++) /* what pads the rows */
        vk_cmd_fill(q->cmd, &q->state[0][i], 0, q->state[0][i].size, 0);
    for (int i = 0; i < PARTS; i++)
        if (parts[i].width)
            place(q, &in->buf, at[i], parts[i].width, &q->state[0][parts[i].state],
                  &(struct gs_queen_place_push){q->count, 4 * q->quads[parts[i].state],
                                                parts[i].offset, parts[i].from_stride,
                                                parts[i].from});
    record_pack(q);
    return vk_cmd_submit(q->cmd, &q->ticket);
}

/* Packing in another order than the state's reads it at random, which is most of its time: a scene
 * that comes along a curve of its own stays as it is. */
static int make_order(struct gs_queen *q, const struct gs_scene *s)
{
    enum { NEAR = 64 }; /* rows; 64 bytes each of what is packed at SH 0 */
    q->order = malloc(s->count * sizeof *q->order);
    if (!q->order)
        return fv_fail(FV_ENOMEM, "out of memory");
    FV_TRY(gs_scene_morton(s, q->order));
    size_t far = 0;
    for (size_t i = 1; i < s->count; i++) {
        int64_t step = (int64_t)q->order[i] - q->order[i - 1];
        far += step > NEAR || step < -NEAR;
    }
    if (far < s->count / 4) {
        free(q->order);
        q->order = NULL;
        return 0;
    }
    FV_TRY(reserve(&q->order_buf, q->dev, 4ull * s->count, "order of the scene"));
    return vk_upload(&q->order_buf, 0, q->order, 4ull * s->count);
}

int gs_queen_create(struct gs_queen **out, struct vk_device *dev, const struct gs_scene *first,
                    const struct gs_upload_opts *opts)
{
    bool exact = opts && opts->exact;
    int rc = 0;
    *out = NULL;
    if (!first->count || first->count > INT32_MAX)
        return fv_fail(FV_EINVALID, "a first frame of %zu Gaussians", first->count);
    struct gs_queen *q = calloc(1, sizeof *q);
    if (!q)
        return fv_fail(FV_ENOMEM, "out of memory");
    q->dev = dev;
    q->count = (uint32_t)first->count;
    q->format = first->format;
    memcpy(q->up, first->up, sizeof q->up);
    q->quads[POSITION] = q->quads[SCALE] = q->quads[ROTATION] = 1;
    q->quads[SH] = 1 + (3 * ((uint32_t)gs_sh_coefs(first->sh_degree) - 1) + 3) / 4;
    FV_GOTO(reserve_states(q, 0, q->count));
    FV_GOTO(gs_gpu_scene_make(&q->scene, dev, first, exact));
    FV_GOTO(vk_cmd_create(&q->cmd, dev));
    if (!exact)
        FV_GOTO(make_order(q, first));
    FV_GOTO(upload_first(q, first));
    *out = q;
    q = NULL;
done:
    gs_queen_destroy(&q);
    return rc;
}

void gs_queen_destroy(struct gs_queen **p)
{
    struct gs_queen *q = *p;
    if (!q)
        return;
    vk_cmd_destroy(&q->cmd);
    gs_gpu_scene_destroy(&q->scene);
    for (int i = 0; i < 2; i++) {
        for (int s = 0; s < STATES; s++)
            vk_buf_destroy(&q->state[i][s]);
        vk_buf_destroy(&q->input[i].buf);
        vk_buf_destroy(&q->hidden[i]);
    }
    vk_buf_destroy(&q->order_buf);
    free(q->order);
    free(q);
    *p = NULL;
}

int gs_queen_wait(const struct gs_queen *q)
{
    return vk_wait(q->dev, q->ticket);
}

const struct gs_gpu_scene *gs_queen_scene(const struct gs_queen *q)
{
    return q->scene;
}

int gs_queen_fetch(struct gs_queen *q, struct gs_scene *out)
{
    uint32_t sh = 3 * (uint32_t)gs_sh_coefs((int)q->scene->sh_degree), row = 4 * q->quads[SH];
    float *room = malloc((size_t)q->count * row * sizeof *room); /* SH has the longest rows */
    int rc = room ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    *out = (struct gs_scene){0};
    if (rc >= 0)
        rc = gs_scene_alloc(out, q->count, (int)q->scene->sh_degree);
    if (rc < 0) {
        free(room);
        return rc;
    }
    out->mode = q->scene->mode;
    out->format = q->format;
    memcpy(out->up, q->up, sizeof q->up);
    const struct vk_buf *state = q->state[q->at];
    size_t n = q->count;
    FV_GOTO(vk_download(room, &state[POSITION], 0, 16 * n));
    for (size_t i = 0; i < n; i++) {
        memcpy(out->position + 3 * i, room + 4 * i, 3 * sizeof *room);
        out->opacity[i] = room[4 * i + 3];
    }
    FV_GOTO(vk_download(room, &state[SCALE], 0, 16 * n));
    for (size_t i = 0; i < n; i++)
        memcpy(out->scale + 3 * i, room + 4 * i, 3 * sizeof *room);
    FV_GOTO(vk_download(out->rotation, &state[ROTATION], 0, 16 * n));
    FV_GOTO(vk_download(room, &state[SH], 0, 4 * n * row));
    for (size_t i = 0; i < n; i++) {
        memcpy(out->sh + i * sh, room + i * row, 3 * sizeof *room);
        memcpy(out->sh + i * sh + 3, room + i * row + 4, (sh - 3) * sizeof *room);
    }
done:
    free(room);
    if (rc < 0)
        gs_scene_finish(out);
    return rc;
}

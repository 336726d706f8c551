/* The recorder (nn.h): life, scopes, the frame of every op, running. Kernels are bound and
 * dispatched in dispatch.c. */
#include "vk/nn/private.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_uint_fast64_t last_serial;

/* ---- life -------------------------------------------------------------------------------- */

int nn_rec_create(struct nn_rec **out, struct vk_device *dev, const struct nn_rec_opts *o)
{
    int rc = 0;
    *out = NULL;
    struct nn_rec *r = calloc(1, sizeof *r);
    if (!r)
        return fv_fail(FV_ENOMEM, "out of memory");
    r->dev = dev;
    if (o)
        r->opts = *o;
    if (!dev && !r->opts.dry) {
        rc = fv_fail(FV_EINVALID, "a recorder without a device can only run dry");
        goto done;
    }
    r->pool = (struct nn_memory){
        .dev = dev, .dry = r->opts.dry, .hint = r->opts.pool_bytes, .limit = r->opts.memory_limit};
    r->cache = r->opts.dry ? NULL : r->opts.cache;
    if (!r->cache) {
        FV_GOTO(nn_cache_create(&r->own_cache, dev));
        r->cache = r->own_cache;
    }
    if (!r->opts.dry) {
        FV_GOTO(vk_cmd_create(&r->cmd, dev));
        vk_cmd_reusable(r->cmd, true);
    }
done:
    if (rc < 0)
        nn_rec_destroy(&r);
    *out = r;
    return rc;
}

void nn_rec_destroy(struct nn_rec **out)
{
    struct nn_rec *r = *out;
    if (!r)
        return;
    *out = NULL;
    vk_cmd_destroy(&r->cmd); /* waits */
    vk_cmd_destroy(&r->prep);
    nn_trace_reset(r);
    nn_check_reset(r);
    for (size_t i = 0; i < r->check_buf_count; i++)
        vk_buf_destroy(&r->check_bufs[i]);
    free(r->check_bufs);
    free(r->traced);
    free(r->checked);
    nn_pool_finish(&r->pool);
    nn_cache_destroy(&r->own_cache);
    free(r);
}

void nn_begin(struct nn_rec *r)
{
    r->code = 0;
    r->depth = r->op_depth = 0;
    r->into = (nn_tensor){0};
    r->cost = (struct nn_cost){0};
    r->packing = r->prep_open = r->submitted = false;
    r->recording = true;
    r->serial = atomic_fetch_add(&last_serial, 1) + 1;
    if (!r->opts.dry) {
        vk_cmd_begin(r->cmd);
        nn_fail_code(r, vk_cmd_status(r->cmd));
    }
    nn_trace_reset(r);
    nn_check_reset(r);
    nn_pool_reset(&r->pool);
}

int nn_end(struct nn_rec *r)
{
    if (!r->recording)
        return fv_fail(FV_EINVALID, "nn_end without nn_begin");
    r->recording = false;
    if (r->code >= 0 && (r->depth || r->op_depth))
        nn_fail(r, FV_EINVALID, "a scope was pushed and not popped");
    if (!r->opts.dry)
        nn_fail_code(r, vk_cmd_status(r->cmd));
    if (r->prep_open)
        nn_fail_code(r, vk_cmd_status(r->prep));
    return r->code < 0 ? fv_fail(r->code, "%s", r->error) : 0;
}

int nn_submit(struct nn_rec *r, uint64_t *ticket)
{
    uint64_t t;
    if (r->code < 0)
        return fv_fail(r->code, "%s", r->error);
    if (r->recording || !r->serial || r->opts.dry)
        return fv_fail(FV_EINVALID, "nothing recorded that could be run");
    if (r->prep_open) {
        FV_TRY(vk_cmd_submit(r->prep, &t));
        r->prep_open = false;
        nn_cache_filled(r->cache, r->serial);
    }
    if (r->submitted)
        FV_TRY(vk_cmd_submit_again(r->cmd, &r->ticket));
    else
        FV_TRY(vk_cmd_submit(r->cmd, &r->ticket));
    r->submitted = true;
    if (ticket)
        *ticket = r->ticket;
    return 0;
}

int nn_run(struct nn_rec *r)
{
    FV_TRY(nn_submit(r, NULL));
    FV_TRY(vk_wait(r->dev, r->ticket));
    FV_TRY(nn_trace_report(r));
    return nn_check_report(r);
}

struct nn_cost nn_cost_of(const struct nn_rec *r)
{
    struct nn_cost c = r->cost;
    c.peak_bytes = nn_pool_extent(&r->pool);
    return c;
}

uint64_t nn_pool_bytes(const struct nn_rec *r)
{
    return nn_pool_reserved(&r->pool);
}

size_t nn_times(struct nn_rec *r, struct nn_op_time *out, size_t room)
{
    struct vk_pass_time times[128];
    size_t n = r->opts.dry ? 0 : vk_cmd_times(r->cmd, times, 128);
    n = n < room ? n : room;
    for (size_t i = 0; i < n; i++)
        out[i] = (struct nn_op_time){times[i].name, times[i].gpu_ms};
    return n;
}

/* ---- failure ----------------------------------------------------------------------------- */

/* "decoder/up 3: nn_conv: " */
static void context(const struct nn_rec *r, char *out, size_t room)
{
    size_t at = 0;
    *out = 0;
    for (uint32_t i = 1; i <= r->depth && i < NN_MAX_DEPTH && at < room; i++)
        if (*r->scope_name[i])
            at += (size_t)snprintf(out + at, room - at, "%s%s", at ? "/" : "", r->scope_name[i]);
    if (r->op_depth && at < room)
        snprintf(out + at, room - at, "%s%s: ", at ? ": " : "", r->op[0]);
    else if (at && at < room)
        snprintf(out + at, room - at, ": ");
}

void nn_fail_code(struct nn_rec *r, int code)
{
    char where[512];
    if (r->code < 0 || code >= 0)
        return;
    context(r, where, sizeof where);
    fv_wrap(code, "%s", where);
    r->code = code;
    snprintf(r->error, sizeof r->error, "%s", fv_error());
}

nn_tensor nn_fail(struct nn_rec *r, int code, const char *fmt, ...)
{
    if (r->code >= 0) {
        char text[512];
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        nn_fail_code(r, fv_fail(code, "%s", text));
    }
    return (nn_tensor){0};
}

bool nn_failed(const struct nn_rec *r)
{
    return r->code < 0;
}

bool nn_is_dry(const struct nn_rec *r)
{
    return r->opts.dry;
}

bool nn_ready(struct nn_rec *r)
{
    if (r->code >= 0 && !r->recording)
        nn_fail(r, FV_EINVALID, "recorded before nn_begin");
    return r->code >= 0;
}

/* ---- scopes ------------------------------------------------------------------------------ */

nn_scope nn_push(struct nn_rec *r)
{
    nn_scope s = {r->depth++};
    if (r->depth < NN_MAX_DEPTH)
        *r->scope_name[r->depth] = 0;
    return s;
}

nn_scope nn_push_named(struct nn_rec *r, const char *fmt, ...)
{
    nn_scope s = nn_push(r);
    if (r->depth < NN_MAX_DEPTH) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(r->scope_name[r->depth], sizeof r->scope_name[0], fmt, ap);
        va_end(ap);
    }
    return s;
}

void nn_pop(struct nn_rec *r, nn_scope s)
{
    if (s.depth >= r->depth) {
        nn_fail(r, FV_EINVALID, "a scope was popped twice");
        return;
    }
    r->depth = s.depth;
    nn_pool_pop(&r->pool, s.depth);
}

void nn_keep(struct nn_rec *r, nn_scope s, nn_tensor t)
{
    struct nn_piece *piece;
    struct nn_block *b = nn_is_null(t) ? NULL : nn_pool_find(&r->pool, t, &piece);
    if (b && b->depth > s.depth)
        b->depth = s.depth;
}

nn_tensor nn_pop_keep(struct nn_rec *r, nn_scope s, nn_tensor t)
{
    nn_keep(r, s, t);
    nn_pop(r, s);
    return nn_failed(r) ? (nn_tensor){0} : t;
}

void nn_free(struct nn_rec *r, nn_tensor t)
{
    if (!nn_is_null(t))
        nn_pool_free(&r->pool, t);
}

static bool shape_ok(struct nn_rec *r, enum nn_dtype dtype, uint32_t rank, const uint32_t *shape)
{
    uint64_t n = 1;
    if (!rank || rank > NN_MAX_RANK || !nn_dtype_bytes(dtype)) {
        nn_fail(r, FV_EINVALID, "a tensor of rank %u and dtype %s", rank, nn_dtype_name(dtype));
        return false;
    }
    for (uint32_t i = 0; i < rank; i++) {
        n *= shape[i];
        if (!shape[i] || n > INT32_MAX) { /* kernels count in 31 bits */
            nn_fail(r, FV_EINVALID,
                    "a tensor of no or of more than 2^31 - 1 elements (axis %u: %u)", i, shape[i]);
            return false;
        }
    }
    return true;
}

nn_tensor nn_new(struct nn_rec *r, enum nn_dtype dtype, uint32_t rank, const uint32_t *shape)
{
    char text[NN_TEXT];
    if (!nn_ready(r) || !shape_ok(r, dtype, rank, shape))
        return (nn_tensor){0};
    nn_tensor t = nn_over(NULL, 0, dtype, rank, shape);
    uint64_t most = r->dev ? nn_tensor_max(r->dev) : UINT64_C(1) << 31;
    if (nn_bytes(t) > most)
        return nn_fail(r, FV_EGPUMEM,
                       "%s takes %.1f MiB; a tensor on this device has at most %.1f (work in "
                       "smaller tiles or chunks)",
                       nn_text(text, t), (double)nn_bytes(t) / 1048576, (double)most / 1048576);
    int rc = nn_pool_alloc(&r->pool, nn_bytes(t), r->depth, &t);
    nn_fail_code(r, rc);
    return rc < 0 ? (nn_tensor){0} : t;
}

/* ---- the frame of an op ------------------------------------------------------------------ */

bool nn_op(struct nn_rec *r, const char *name, uint32_t n, const nn_tensor *operands)
{
    if (!nn_ready(r))
        return false;
    if (r->op_depth == NN_MAX_OPS) {
        nn_fail(r, FV_EINVALID, "%s: ops within ops without end", name);
        return false;
    }
    if (!r->op_depth && r->opts.profile && !r->opts.dry)
        vk_cmd_scope(r->cmd, name);
    r->op[r->op_depth] = name;
    r->op_scope[r->op_depth++] = nn_push(r);
    for (uint32_t i = 0; i < n; i++)
        if (nn_is_null(operands[i])) {
            nn_fail(r, FV_EINVALID, "operand %u is missing", i);
            nn_op_end(r, (nn_tensor){0});
            return false;
        }
    return true;
}

void nn_into(struct nn_rec *r, nn_tensor dst)
{
    char text[NN_TEXT];
    if (!nn_ready(r))
        return;
    if (nn_is_null(dst) || !nn_is_packed(dst) || dst.offset % 16)
        nn_fail(r, FV_EINVALID, "nn_into: %s is not packed or not aligned to 16 bytes",
                nn_text(text, dst));
    r->into = dst;
}

/* The result was made elsewhere: put it where nn_into wants it. */
static nn_tensor move_into(struct nn_rec *r, nn_tensor t)
{
    char a[NN_TEXT], b[NN_TEXT];
    nn_tensor dst = r->into;
    r->into = (nn_tensor){0};
    if (!nn_same_shape(t, dst) || t.dtype != dst.dtype)
        return nn_fail(r, FV_EINVALID, "the result is %s, nn_into wants %s", nn_text(a, t),
                       nn_text(b, dst));
    nn_copy(r, dst, t);
    return dst;
}

nn_tensor nn_op_end(struct nn_rec *r, nn_tensor t)
{
    if (r->op_depth == 1 && r->code >= 0 && !nn_is_null(r->into) && !nn_is_null(t))
        t = move_into(r, t);
    nn_scope s = r->op_scope[--r->op_depth];
    nn_keep(r, s, t);
    r->depth = s.depth;
    nn_pool_pop(&r->pool, s.depth);
    return nn_failed(r) ? (nn_tensor){0} : t;
}

nn_tensor nn_out(struct nn_rec *r, enum nn_dtype dtype, uint32_t rank, const uint32_t *shape)
{
    nn_tensor t = r->into;
    if (r->op_depth == 1 && !nn_is_null(t) && t.rank == rank && t.dtype == dtype &&
        !memcmp(t.shape, shape, rank * sizeof *shape) && t.offset % NN_ALIGN == 0 &&
        nn_bytes(t) % 16 == 0) { /* kernels may write up to the next multiple of 16 bytes */
        r->into = (nn_tensor){0};
        return t;
    }
    return nn_new(r, dtype, rank, shape);
}

nn_tensor nn_out_like(struct nn_rec *r, enum nn_dtype dtype, nn_tensor t)
{
    if (nn_is_packed(t))
        return nn_out(r, dtype, t.rank, t.shape);
    nn_tensor out = nn_new(r, dtype, t.rank, t.shape);
    if (nn_is_dense(t))
        memcpy(out.stride, t.stride, sizeof out.stride);
    return out;
}

/* ---- what ops ask ------------------------------------------------------------------------ */

struct vk_device *nn_device(const struct nn_rec *r)
{
    return r->dev;
}

bool nn_on_cpu(const struct nn_rec *r)
{
    return r->dev ? r->dev->caps.is_cpu : true;
}

uint32_t nn_lanes(const struct nn_rec *r)
{
    uint32_t s = r->dev ? r->dev->caps.subgroup_size : 8;
    return s >= 16 ? 16 : s >= 8 ? 8 : 4;
}

enum nn_kernel nn_kernel_asked(const struct nn_rec *r)
{
    return r->opts.kernel;
}

bool nn_int8_asked(const struct nn_rec *r)
{
    return r->opts.int8;
}

bool nn_expand_asked(const struct nn_rec *r)
{
    return r->opts.expand;
}

uint64_t nn_storage_max(const struct nn_rec *r)
{
    uint64_t most = r->dev ? r->dev->caps.max_storage_range : UINT64_C(128) << 20;
    return most / NN_ALIGN * NN_ALIGN;
}

/* Named intermediate values (nn_trace) and checks for NaN and infinity (nn_check; kernel
 * shaders/nn/check.comp). */
#include "shaders/nn/params.h"
#include "vk/nn/private.h"
#include "vk/base/array.h"

#include <stdlib.h>
#include <string.h>

/* ---- traces ------------------------------------------------------------------------------ */

void nn_trace_reset(struct nn_rec *r)
{
    for (size_t i = 0; i < r->traced_count; i++) {
        free(r->traced[i].name);
        vk_buf_destroy(&r->traced[i].buf);
    }
    r->traced_count = 0;
}

static struct nn_traced *add_trace(struct nn_rec *r, const char *name)
{
    if (fv_grow(&r->traced, &r->traced_room, r->traced_count, sizeof *r->traced) < 0)
        return NULL;
    struct nn_traced *t = &r->traced[r->traced_count];
    *t = (struct nn_traced){.name = strdup(name)};
    if (!t->name)
        return NULL;
    r->traced_count++;
    return t;
}

/* Records a copy of the values as they are at this point. */
static void record_trace(struct nn_rec *r, const char *name, nn_tensor t)
{
    nn_scope s = nn_push(r);
    nn_tensor f = nn_pack(r, nn_cast(r, t, NN_F32));
    struct nn_traced *traced = nn_failed(r) ? NULL : add_trace(r, name);
    if (!traced) {
        nn_fail(r, FV_ENOMEM, "out of memory");
    } else {
        traced->shape = f;
        int rc = vk_buf_create_large(&traced->buf, r->dev, nn_bytes(f), VK_BUF_READBACK, name);
        nn_fail_code(r, rc);
        if (rc >= 0)
            vk_cmd_copy(r->cmd, &traced->buf, 0, f.buf, f.offset, nn_bytes(f));
    }
    nn_pop(r, s);
}

nn_tensor nn_trace(struct nn_rec *r, const char *name, nn_tensor t)
{
    if (!nn_ready(r) || r->opts.dry || nn_is_null(t) || t.dtype == NN_I32)
        return t;
    if (r->opts.check)
        nn_check(r, name, t);
    if (r->opts.on_trace)
        record_trace(r, name, t);
    return t;
}

int nn_trace_report(struct nn_rec *r)
{
    for (size_t i = 0; i < r->traced_count; i++) {
        struct nn_traced *t = &r->traced[i];
        FV_TRY(vk_buf_invalidate(&t->buf, 0, t->buf.size));
        FV_TRY(r->opts.on_trace(r->opts.ud, t->name, t->shape, t->buf.map));
    }
    return 0;
}

/* ---- checks ------------------------------------------------------------------------------ */

void nn_check_reset(struct nn_rec *r)
{
    for (size_t i = 0; i < r->checked_count; i++)
        free(r->checked[i].name);
    r->checked_count = 0;
}

static bool add_check(struct nn_rec *r, const char *name, nn_tensor t)
{
    if (fv_grow(&r->checked, &r->checked_room, r->checked_count, sizeof *r->checked) < 0)
        return false;
    char *copy = strdup(name);
    if (!copy)
        return false;
    r->checked[r->checked_count++] = (struct nn_checked){copy, t};
    return true;
}

/* The buffer for check number i, made when there is none yet. Buffers are kept over recordings;
 * the list may move, which no tensor points into. */
static const struct vk_buf *check_buf(struct nn_rec *r, size_t i)
{
    size_t k = i / NN_CHECK_SLOTS;
    if (k < r->check_buf_count)
        return &r->check_bufs[k];
    struct vk_buf *list = realloc(r->check_bufs, (k + 1) * sizeof *list);
    if (!list) {
        nn_fail(r, FV_ENOMEM, "out of memory");
        return NULL;
    }
    r->check_bufs = list;
    int rc = vk_buf_create(&list[k], r->dev, NN_CHECK_SLOTS * NN_CHECK_WORDS * 4, VK_BUF_READBACK,
                           "checks");
    nn_fail_code(r, rc);
    if (rc < 0)
        return NULL;
    r->check_buf_count = k + 1;
    return &list[k];
}

static void record_check(struct nn_rec *r, nn_tensor t, const struct vk_buf *buf, uint32_t slot)
{
    uint64_t part = nn_storage_max(r) / 8, count = nn_count(t);
    nn_tensor counts = nn_over(buf, 0, NN_I32, 1, (uint32_t[]){NN_CHECK_SLOTS * NN_CHECK_WORDS});
    for (uint64_t at = 0; at < count; at += part) {
        uint64_t n = count - at < part ? count - at : part;
        uint64_t each = (uint64_t)64 * NN_CHECK_RUN * 4;
        struct nn_check_push push = {(uint32_t)at, (uint32_t)n, slot * NN_CHECK_WORDS};
        nn_dispatch(r, &(struct nn_call){.shader = "nn/check",
                                         .spec = {64, t.dtype},
                                         .nspec = 2,
                                         .bind = {{t, NN_WORDS4, at, n}, {counts, NN_STORAGE}},
                                         .nbind = 2,
                                         .push = &push,
                                         .push_size = sizeof push,
                                         .groups = (n + each - 1) / each,
                                         .bytes = (double)n * nn_dtype_bytes(t.dtype)});
    }
}

void nn_check(struct nn_rec *r, const char *name, nn_tensor t)
{
    if (!nn_op(r, "nn_check", 1, &t))
        return;
    nn_tensor dense = nn_dense_any(r, t);
    size_t i = r->checked_count;
    if (!nn_failed(r) && !add_check(r, name, t))
        nn_fail(r, FV_ENOMEM, "out of memory");
    const struct vk_buf *buf = nn_failed(r) || r->opts.dry ? NULL : check_buf(r, i);
    uint32_t slot = (uint32_t)(i % NN_CHECK_SLOTS);
    if (buf) {
        uint64_t at = (uint64_t)slot * NN_CHECK_WORDS * 4;
        vk_cmd_fill(r->cmd, buf, at, 8, 0);
        vk_cmd_fill(r->cmd, buf, at + 8, 8, UINT32_MAX);
        record_check(r, dense, buf, slot);
    } else if (!nn_failed(r)) {
        record_check(r, dense, NULL, slot);
    }
    nn_op_end(r, (nn_tensor){0});
}

static struct nn_check_result result_of(struct nn_rec *r, size_t i)
{
    const struct vk_buf *buf = &r->check_bufs[i / NN_CHECK_SLOTS];
    const uint32_t *w = (const uint32_t *)buf->map + i % NN_CHECK_SLOTS * NN_CHECK_WORDS;
    return (struct nn_check_result){r->checked[i].name, w[0], w[1],
                                    w[2] == UINT32_MAX ? UINT64_MAX : w[2]};
}

size_t nn_checks(struct nn_rec *r, struct nn_check_result *out, size_t room)
{
    if (r->opts.dry || !r->submitted)
        return 0;
    for (size_t k = 0; k < r->check_buf_count; k++)
        if (vk_buf_invalidate(&r->check_bufs[k], 0, r->check_bufs[k].size) < 0)
            return 0;
    for (size_t i = 0; i < r->checked_count && i < room; i++)
        out[i] = result_of(r, i);
    return r->checked_count;
}

int nn_check_report(struct nn_rec *r)
{
    char text[NN_TEXT];
    if (!r->opts.check)
        return 0;
    struct nn_check_result first;
    size_t n = nn_checks(r, &first, 1);
    for (size_t i = 0; i < n; i++) {
        struct nn_check_result c = result_of(r, i);
        if (c.nans || c.infs)
            return fv_fail(FV_EINVALID,
                           "\"%s\", %s, holds %u NaN and %u infinities, the first at element %llu",
                           c.name, nn_text(text, r->checked[i].shape), c.nans, c.infs,
                           (unsigned long long)c.first);
    }
    return 0;
}

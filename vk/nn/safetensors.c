/* safetensors files (the format's README, huggingface/safetensors):
 *
 *   u64 n | n bytes of JSON, padded with spaces | the tensors' bytes, row-major, little-endian
 *
 *   {"NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...,
 *    "__metadata__": {"key": "text"}}       offsets count from the end of the JSON
 *
 * The tensors must tile the bytes: neither holes nor overlaps nor anything after the last. */
#include "vk/base/json.h"
#include "vk/nn/weights_private.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { MAX_HEADER = 100 << 20 };         /* the format's own limit */
static const double max_offset = 0x1p53; /* JSON numbers are exact up to here */

static int find_type(enum nn_data *out, const char *name)
{
    for (int i = 0; i < NN_DATA_Q4_0; i++)
        if (!strcmp(name, nn_data_name((enum nn_data)i))) {
            *out = (enum nn_data)i;
            return 0;
        }
    return -1;
}

static uint64_t whole(struct fv_json *doc, struct fv_node n)
{
    double v = fv_node_number(n);
    if (fv_node_is_number(n) && v >= 0 && v <= max_offset && v == floor(v))
        return (uint64_t)v;
    fv_json_fail(doc, n, "expected a whole number");
    return 0;
}

/* One member of the header. */
static int read_tensor(struct nn_file *f, const struct nn_part *part, uint64_t base,
                       struct fv_json *doc, struct fv_node n)
{
    struct nn_file_tensor t = {.name = fv_node_key(n), .contiguous = true};
    char text[160];
    if (!fv_node_is_object(n))
        return fv_json_fail(doc, n, "expected an object with dtype, shape and data_offsets");
    const char *type = fv_json_string(doc, n, "dtype");
    struct fv_node shape = fv_json_array(doc, n, "shape");
    struct fv_node range = fv_json_array(doc, n, "data_offsets");
    if (doc->failed)
        return FV_EFORMAT;
    if (find_type(&t.type, type) < 0)
        return fv_fail(FV_EUNSUPPORTED, "%s: tensor '%.128s' is of type %.32s, which is not read",
                       part->name, t.name, type);
    size_t rank = fv_node_count(shape);
    if (rank > NN_FILE_MAX_RANK)
        return fv_fail(FV_EUNSUPPORTED, "%s: tensor '%.128s' has %zu dimensions, more than %d",
                       part->name, t.name, rank, NN_FILE_MAX_RANK);
    t.rank = (unsigned)rank;
    for (size_t i = 0; i < rank; i++)
        t.shape[i] = (uint64_t)whole(doc, fv_node_at(shape, i));
    if (fv_node_count(range) != 2)
        return fv_json_fail(doc, range, "expected two numbers, found %zu", fv_node_count(range));
    uint64_t begin = (uint64_t)whole(doc, fv_node_at(range, 0));
    uint64_t end = (uint64_t)whole(doc, fv_node_at(range, 1));
    if (doc->failed)
        return FV_EFORMAT;
    FV_TRY(nn_file_measure(&t, part->name));
    nn_shape_text(text, t.shape, t.rank);
    if (end < begin || end - begin != t.bytes)
        return fv_fail(FV_EFORMAT,
                       "%s: tensor '%.128s': data_offsets [%" PRIu64 ", %" PRIu64
                       "] do not hold the %" PRIu64 " bytes of %s %s",
                       part->name, t.name, begin, end, t.bytes, type, text);
    t.offset = base + begin;
    return nn_file_add(f, part, &t);
}

static int read_metadata(struct nn_file *f, struct fv_json *doc, struct fv_node n)
{
    struct fv_node m = fv_node_at(n, 0);
    for (size_t i = 0, count = fv_node_count(n); i < count; m = fv_node_next(m, ++i)) {
        if (!fv_node_is_string(m))
            return fv_json_fail(doc, m, "metadata must be text");
        const char *key = fv_node_key(m), *value = fv_node_string(m);
        FV_TRY(nn_file_add_meta(f, key, strlen(key), value, strlen(value)));
    }
    return 0;
}

/* Sizes add up to the data only if there are no holes, once overlaps are ruled out. */
static int check_tiling(const struct nn_file *f, size_t first, const struct nn_part *part,
                        uint64_t data_bytes)
{
    uint64_t sum = 0;
    FV_TRY(nn_file_check_overlaps(f, first, part->name));
    for (size_t i = first; i < f->count; i++)
        sum += f->tensors[i].bytes; /* disjoint pieces of the file: no overflow */
    if (sum != data_bytes)
        return fv_fail(FV_EFORMAT,
                       "%s: its tensors take %" PRIu64 " of the %" PRIu64
                       " bytes after the header; the file is damaged or not a safetensors file",
                       part->name, sum, data_bytes);
    return 0;
}

int nn_safetensors_read(struct nn_file *f, const struct nn_part *part)
{
    struct fv_cursor c = fv_cursor_over(part->data, part->size);
    uint64_t length = fv_get_u64(&c);
    size_t first = f->count;
    struct fv_json doc;
    if (c.failed || length > MAX_HEADER || length > fv_cursor_left(&c))
        return fv_fail(FV_EFORMAT,
                       "%s: a header of %" PRIu64 " bytes does not fit in this safetensors file of "
                       "%zu; it is cut short or damaged",
                       part->name, length, part->size);
    const uint8_t *text = fv_get_bytes(&c, (size_t)length);
    FV_TRY(fv_json_parse(&doc, (const char *)text, (size_t)length, part->name));
    int rc = 0;
    if (!fv_node_is_object(doc.root))
        rc = fv_json_fail(&doc, doc.root, "expected an object of tensors");
    struct fv_node n = fv_node_at(doc.root, 0);
    for (size_t i = 0, count = fv_node_count(doc.root); rc >= 0 && i < count;
         n = fv_node_next(n, ++i)) {
        if (!strcmp(fv_node_key(n), "__metadata__") && fv_node_is_object(n))
            rc = read_metadata(f, &doc, n);
        else
            rc = read_tensor(f, part, c.at, &doc, n);
    }
    fv_json_close(&doc);
    return rc < 0 ? rc : check_tiling(f, first, part, fv_cursor_left(&c));
}

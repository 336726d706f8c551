/* vk/base/zip.c: archives as others write them, and damaged ones. */
#include "support/scene.h"
#include "vk/base/zip.h"
#include "vk/base/file.h"

#include <zlib.h>

/* One member, everything about it open to be wrong. */
struct member {
    const char *name, *text;
    int method;         /* 0 stored, 8 deflated */
    int flags;          /* bit 0 encrypted, bit 3 sizes in a data descriptor */
    int crc_off;        /* added to the checksum */
    uint32_t size;      /* in the central entry; 0 = the right one */
    uint32_t offset;    /* of the local header; 0 = the right one */
    const char *extra;  /* local extra field */
    const char *remark; /* central comment */
};

static void put16(struct test_bytes *b, uint32_t v)
{
    test_put(b, (uint8_t[]){(uint8_t)v, (uint8_t)(v >> 8)}, 2);
}

static void put32(struct test_bytes *b, uint32_t v)
{
    put16(b, v & 0xffff);
    put16(b, v >> 16);
}

static struct test_bytes pack(const struct member *m)
{
    struct test_bytes b = {0};
    size_t n = strlen(m->text);
    if (m->method != 8) {
        test_put(&b, m->text, n);
        return b;
    }
    uint8_t out[1024];
    z_stream z = {.next_in = (Bytef *)(uintptr_t)m->text,
                  .avail_in = (uInt)n,
                  .next_out = out,
                  .avail_out = sizeof out};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -MAX_WBITS, 9, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    test_put(&b, out, sizeof out - z.avail_out);
    deflateEnd(&z);
    return b;
}

/* Version, flags, method, time, checksum and sizes, name and extra lengths. */
static void put_common(struct test_bytes *b, const struct member *m, uint32_t packed, bool local)
{
    bool later = local && m->flags & 8;
    uint32_t crc = (uint32_t)crc32(0, (const Bytef *)m->text, (uInt)strlen(m->text));
    put16(b, 20);
    put16(b, (uint32_t)m->flags);
    put16(b, (uint32_t)m->method);
    put32(b, 0);
    put32(b, later ? 0 : crc + (uint32_t)m->crc_off);
    put32(b, later ? 0 : packed);
    put32(b, later ? 0 : m->size && !local ? m->size : (uint32_t)strlen(m->text));
    put16(b, (uint32_t)strlen(m->name));
    put16(b, local && m->extra ? (uint32_t)strlen(m->extra) : 0);
}

static struct test_bytes build(const struct member *m, size_t count, const char *comment)
{
    struct test_bytes b = {0}, directory = {0};
    for (size_t i = 0; i < count; i++, m++) {
        struct test_bytes data = pack(m);
        uint32_t at = (uint32_t)b.size;
        test_put(&b, "PK\3\4", 4);
        put_common(&b, m, (uint32_t)data.size, true);
        test_putf(&b, "%s%s", m->name, m->extra ? m->extra : "");
        test_put(&b, data.data, data.size);
        if (m->flags & 8)
            test_put(&b, "PK\7\10............", 16);
        test_put(&directory, "PK\1\2", 4);
        put16(&directory, 20);
        put_common(&directory, m, (uint32_t)data.size, false);
        put16(&directory, m->remark ? (uint32_t)strlen(m->remark) : 0);
        test_put(&directory, "\0\0\0\0\0\0\0\0", 8); /* disk, attributes */
        put32(&directory, m->offset ? m->offset : at);
        test_putf(&directory, "%s%s", m->name, m->remark ? m->remark : "");
        test_bytes_free(&data);
    }
    uint32_t at = (uint32_t)b.size;
    test_put(&b, directory.data, directory.size);
    test_put(&b, "PK\5\6\0\0\0\0", 8);
    put16(&b, (uint32_t)count);
    put16(&b, (uint32_t)count);
    put32(&b, (uint32_t)directory.size);
    put32(&b, at);
    put16(&b, (uint32_t)strlen(comment));
    test_putf(&b, "%s", comment);
    test_bytes_free(&directory);
    return b;
}

static void assert_holds(const struct fv_zip *zip, const char *name, const char *text)
{
    const struct fv_zip_member *m = fv_zip_find(zip, name);
    const uint8_t *data;
    void *heap;
    assert_non_null(m);
    assert_ok(fv_zip_read(zip, m, 1 << 20, &data, &heap));
    assert_int_equal(m->size, strlen(text));
    assert_memory_equal(data, text, m->size);
    assert_int_equal(heap == NULL, m->method == FV_ZIP_STORED);
    free(heap);
}

/* Reading the first member fails so, or already opening does. */
static void assert_refused(struct test_bytes *b, size_t most, int code, const char *part)
{
    struct fv_zip zip;
    const uint8_t *data;
    void *heap;
    int rc = fv_zip_open(&zip, b->data, b->size, "a.zip");
    if (rc == 0)
        rc = fv_zip_read(&zip, &zip.members[0], most, &data, &heap);
    assert_fails(rc, code, part);
    assert_non_null(strstr(fv_error(), "a.zip"));
    fv_zip_close(&zip);
    test_bytes_free(b);
}

static void refuse_member(const struct member *m, int code, const char *part)
{
    struct test_bytes b = build(m, 1, "");
    assert_refused(&b, 1 << 20, code, part);
}

static const char *const long_text =
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

static void reads_stored_and_deflated(void **state)
{
    (void)state;
    const struct member m[] = {{.name = "a", .text = "first"},
                               {.name = "dir/b", .text = long_text, .method = 8},
                               {.name = "c", .text = "", .extra = "xx\1\1x", .remark = "why"},
                               {.name = "d", .text = "later", .flags = 8},
                               {.name = "e", .text = long_text, .method = 8, .flags = 8}};
    struct test_bytes b = build(m, 5, "a comment PK");
    struct fv_zip zip;
    assert_ok(fv_zip_open(&zip, b.data, b.size, "a.zip"));
    assert_int_equal(zip.count, 5);
    for (int i = 0; i < 5; i++)
        assert_holds(&zip, m[i].name, m[i].text);
    assert_null(fv_zip_find(&zip, "B"));
    fv_zip_close(&zip);
    test_bytes_free(&b);
}

static void reads_what_it_writes(void **state)
{
    (void)state;
    const char *path = test_tmp_path("w.zip");
    struct fv_zip_writer z = {0};
    struct fv_writer w;
    struct fv_zip zip;
    size_t size;
    assert_ok(fv_writer_open(&w, path));
    z.w = &w;
    for (int i = 0; i < 40; i++) {
        char name[16];
        snprintf(name, sizeof name, "m%d", i);
        assert_ok(fv_zip_add(&z, name, long_text, (size_t)i));
    }
    assert_ok(fv_zip_end(&z));
    fv_zip_writer_free(&z);
    assert_ok(fv_writer_commit(&w));
    uint8_t *data = test_read_file(path, &size);
    assert_ok(fv_zip_open(&zip, data, size, path));
    assert_int_equal(zip.count, 40);
    assert_holds(&zip, "m0", "");
    assert_holds(&zip, "m39", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    fv_zip_close(&zip);
    free(data);
}

static void rejects_what_is_no_archive(void **state)
{
    (void)state;
    struct test_bytes b = {0};
    test_putf(&b, "PK");
    assert_refused(&b, 10, FV_EFORMAT, "not a zip archive");
    test_putf(&b, "hello, this is text and not an archive");
    assert_refused(&b, 10, FV_EFORMAT, "not a zip archive");
}

static void rejects_every_truncation(void **state)
{
    (void)state;
    const struct member m[] = {{.name = "a", .text = "first"}, {.name = "b", .text = "second"}};
    struct test_bytes b = build(m, 2, "");
    for (size_t n = 0; n < b.size; n++) {
        uint8_t *copy = malloc(n ? n : 1); /* so that a sanitizer sees the end */
        memcpy(copy, b.data, n);
        struct fv_zip zip;
        assert_int_equal(fv_zip_open(&zip, copy, n, "a.zip"), FV_EFORMAT);
        free(copy);
    }
    test_bytes_free(&b);
}

static void rejects_member_beyond_the_end(void **state)
{
    (void)state;
    refuse_member(&(struct member){.name = "a", .text = "x", .offset = 0x7fffffff}, FV_EFORMAT,
                  "no local header");
    refuse_member(&(struct member){.name = "a", .text = "x", .offset = 3}, FV_EFORMAT,
                  "no local header");
}

static void rejects_wrong_sizes(void **state)
{
    (void)state;
    refuse_member(&(struct member){.name = "a", .text = "text", .size = 3}, FV_EFORMAT,
                  "two different sizes");
    refuse_member(&(struct member){.name = "a", .text = long_text, .method = 8, .size = 64},
                  FV_EFORMAT, "does not decompress to its 64");
    refuse_member(&(struct member){.name = "a", .text = long_text, .method = 8, .size = 66},
                  FV_EFORMAT, "does not decompress to its 66");
}

static void rejects_deflate_bomb(void **state)
{
    (void)state;
    struct test_bytes b = build(
        &(struct member){.name = "a", .text = long_text, .method = 8, .size = 4000000000u}, 1, "");
    assert_refused(&b, SIZE_MAX, FV_EFORMAT, "claims 4000000000 bytes");
    b = build(&(struct member){.name = "a", .text = long_text, .method = 8}, 1, "");
    assert_refused(&b, 64, FV_EFORMAT, "larger than the 64");
}

static void rejects_damaged_checksum(void **state)
{
    (void)state;
    refuse_member(&(struct member){.name = "a", .text = "text", .crc_off = 1}, FV_EFORMAT,
                  "checksum");
    refuse_member(&(struct member){.name = "a", .text = long_text, .method = 8, .crc_off = 1},
                  FV_EFORMAT, "checksum");
}

static void refuses_encryption_and_methods(void **state)
{
    (void)state;
    refuse_member(&(struct member){.name = "a", .text = "text", .flags = 1}, FV_EUNSUPPORTED,
                  "encrypted");
    refuse_member(&(struct member){.name = "a", .text = "text", .method = 93}, FV_EUNSUPPORTED,
                  "method 93");
}

static void put64(struct test_bytes *b, uint64_t v)
{
    put32(b, (uint32_t)v);
    put32(b, (uint32_t)(v >> 32));
}

/* A stored member "a" whose sizes and offset, and the directory's, stand in ZIP64 fields.
 * extra_bytes cuts the entry's field short, locate_off moves the record that is pointed at. */
static struct test_bytes build64(uint32_t extra_bytes, uint64_t locate_off)
{
    struct test_bytes b = {0};
    uint32_t crc = (uint32_t)crc32(0, (const Bytef *)"text", 4);
    test_put(&b, "PK\3\4\55\0\0\0\0\0\0\0\0\0", 14);
    put32(&b, crc);
    put64(&b, UINT64_MAX); /* both sizes: elsewhere */
    test_put(&b, "\1\0\0\0atext", 9);
    uint64_t directory = b.size;
    test_put(&b, "PK\1\2\55\0\55\0\0\0\0\0\0\0\0\0", 16);
    put32(&b, crc);
    put64(&b, UINT64_MAX);
    put16(&b, 1);
    put16(&b, 4 + 5 + extra_bytes); /* another field comes first */
    test_put(&b, "\0\0\0\0\0\0\0\0\0\0", 10);
    put32(&b, UINT32_MAX);
    test_put(&b, "a\7\0\1\0x\1\0", 8);
    put16(&b, extra_bytes);
    put64(&b, 4);
    put64(&b, 4);
    put64(&b, 0);
    b.size -= 24 - extra_bytes;
    uint64_t record = b.size;
    test_put(&b, "PK\6\6", 4);
    put64(&b, 44);
    put32(&b, 45 << 16 | 45);
    put64(&b, 0);
    put64(&b, 1);
    put64(&b, 1);
    put64(&b, record - directory);
    put64(&b, directory);
    test_put(&b, "PK\6\7\0\0\0\0", 8);
    put64(&b, record + locate_off);
    put32(&b, 1);
    test_put(&b, "PK\5\6\0\0\0\0\377\377\377\377", 12);
    put64(&b, UINT64_MAX);
    put16(&b, 0);
    return b;
}

static void reads_zip64(void **state)
{
    (void)state;
    struct fv_zip zip;
    struct test_bytes b = build64(24, 0);
    assert_ok(fv_zip_open(&zip, b.data, b.size, "a.zip"));
    assert_int_equal(zip.count, 1);
    assert_holds(&zip, "a", "text");
    fv_zip_close(&zip);
    test_bytes_free(&b);
}

static void rejects_broken_zip64(void **state)
{
    (void)state;
    for (uint32_t n = 0; n < 24; n++) {
        struct test_bytes b = build64(n, 0);
        assert_refused(&b, 10, FV_EFORMAT, "lacks its ZIP64 sizes");
    }
    struct test_bytes b = build64(24, 0);
    for (size_t i = 0; i + 8 < b.size; i++)
        if (!memcmp(b.data + i, "a\7\0\1\0x", 6))
            b.data[i + 3] = 200; /* an extra field longer than all of them */
    assert_refused(&b, 10, FV_EFORMAT, "lacks its ZIP64 sizes");
    b = build64(24, 1);
    assert_refused(&b, 10, FV_EFORMAT, "ZIP64 end of the archive is missing");
    b = build64(24, UINT64_MAX / 2);
    assert_refused(&b, 10, FV_EFORMAT, "ZIP64 end of the archive is missing");
    b = build(&(struct member){.name = "a", .text = "text"}, 1, "");
    memset(b.data + b.size - 6, 0xff, 4); /* where the directory begins */
    assert_refused(&b, 10, FV_EFORMAT, "ZIP64 end of the archive is missing");
    refuse_member(&(struct member){.name = "a", .text = "text", .size = UINT32_MAX}, FV_EFORMAT,
                  "lacks its ZIP64 sizes");
}

static void refuses_several_disks(void **state)
{
    (void)state;
    struct test_bytes b = build(&(struct member){.name = "a", .text = "text"}, 1, "");
    b.data[b.size - 18] = 1;
    assert_refused(&b, 10, FV_EUNSUPPORTED, "several disks");
}

static void rejects_directory_that_does_not_fit(void **state)
{
    (void)state;
    struct test_bytes b = build(&(struct member){.name = "a", .text = "text"}, 1, "");
    b.data[b.size - 14] = b.data[b.size - 12] = 200;
    assert_refused(&b, 10, FV_EFORMAT, "200 members does not fit");
    b = build(&(struct member){.name = "a", .text = "text"}, 1, "");
    b.data[b.size - 6] ^= 1;
    assert_refused(&b, 10, FV_EFORMAT, "entry 0 is damaged");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_stored_and_deflated),
        cmocka_unit_test(reads_what_it_writes),
        cmocka_unit_test(rejects_what_is_no_archive),
        cmocka_unit_test(rejects_every_truncation),
        cmocka_unit_test(rejects_member_beyond_the_end),
        cmocka_unit_test(rejects_wrong_sizes),
        cmocka_unit_test(rejects_deflate_bomb),
        cmocka_unit_test(rejects_damaged_checksum),
        cmocka_unit_test(refuses_encryption_and_methods),
        cmocka_unit_test(reads_zip64),
        cmocka_unit_test(rejects_broken_zip64),
        cmocka_unit_test(refuses_several_disks),
        cmocka_unit_test(rejects_directory_that_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Files of a device in its cache directory (disk.h): 8 bytes "fvpcache", u64 size, u64 FNV-1a of
 * the data, then the data. The hash keeps torn and edited files away from who reads them. */
#include "vk/disk.h"
#include "vk/base/file.h"
#include "vk/base/hash.h"
#include "vk/base/log.h"
#include "vk/private.h"

#include <stdlib.h>
#include <string.h>

static const char magic[8] = {'f', 'v', 'p', 'c', 'a', 'c', 'h', 'e'};
enum { HEADER = 24 };

/* cache_dir/kind-vendor-device-driver-uuid.bin; caller frees. NULL without a cache directory. */
static char *path_of(const struct vk_device *dev, const char *kind)
{
    char name[160];
    const struct vk_caps *c = &dev->caps;
    if (!dev->p->cache_dir)
        return NULL;
    int n = snprintf(name, sizeof name, "%.40s-%08x-%08x-%08x-", kind, c->vendor_id, c->device_id,
                     c->driver_version);
    for (unsigned i = 0; i < VK_UUID_SIZE; i++)
        n += snprintf(name + n, sizeof name - (size_t)n, "%02x", c->cache_uuid[i]);
    snprintf(name + n, sizeof name - (size_t)n, ".bin");
    return fv_path_join(dev->p->cache_dir, name);
}

void vk_disk_refuse(const struct vk_device *dev, const char *kind)
{
    char *path = path_of(dev, kind);
    fv_log(FV_INFO, "%s: not a valid %s cache of this device; it will be replaced",
           path ? path : kind, kind);
    free(path);
}

int vk_disk_read(const struct vk_device *dev, const char *kind, uint8_t **data, size_t *size)
{
    struct fv_map map = {0};
    char *path = path_of(dev, kind);
    int rc = 0;
    *data = NULL;
    *size = 0;
    if (!path || !fv_exists(path) || fv_map_open(&map, path) < 0)
        goto done;
    struct fv_cursor c = fv_cursor_over(map.data, map.size);
    const uint8_t *head = fv_get_bytes(&c, sizeof magic);
    uint64_t bytes = fv_get_u64(&c), hash = fv_get_u64(&c);
    if (c.failed || memcmp(head, magic, sizeof magic) || bytes != fv_cursor_left(&c) ||
        fv_hash(FV_HASH_BEGIN, map.data + c.at, bytes) != hash) {
        vk_disk_refuse(dev, kind);
        goto done;
    }
    *data = malloc(bytes + 1);
    if (*data) {
        memcpy(*data, map.data + c.at, bytes);
        *size = bytes;
    }
    rc = *data ? 1 : fv_fail(FV_ENOMEM, "out of memory");
done:
    fv_map_close(&map);
    free(path);
    return rc;
}

static int write_file(const char *path, const uint8_t *data, uint64_t size)
{
    struct fv_writer w;
    uint64_t hash = fv_hash(FV_HASH_BEGIN, data, size);
    uint8_t head[HEADER];
    memcpy(head, magic, 8);
    for (int i = 0; i < 8; i++) {
        head[8 + i] = (uint8_t)(size >> 8 * i);
        head[16 + i] = (uint8_t)(hash >> 8 * i);
    }
    FV_TRY(fv_writer_open(&w, path));
    fv_write(&w, head, sizeof head);
    fv_write(&w, data, size);
    return fv_writer_commit(&w);
}

void vk_disk_write(const struct vk_device *dev, const char *kind, const void *data, size_t size)
{
    char *path = path_of(dev, kind);
    if (!path)
        return;
    fv_make_dirs(dev->p->cache_dir); /* a failure shows when the file is written */
    if (write_file(path, data, size) < 0)
        fv_log(FV_WARN, "%s cache not saved: %s", kind, fv_error());
    free(path);
}

/* What is known of a device from one run to the next: small files in its cache directory
 * (vk_device_opts.cache_dir), one a kind, named after vendor, device, driver version and the
 * driver's cache UUID, so that another driver never sees them. */
#ifndef VK_DISK_H
#define VK_DISK_H

#include "vk/device.h"

/* Returns 1 with the file's contents (*data: the caller frees), 0 when there is no cache directory,
 * no such file, or one that is damaged (a log line says so), FV_ENOMEM. */
int vk_disk_read(const struct vk_device *dev, const char *kind, uint8_t **data, size_t *size);
/* Replaces the file; the directory is made. A failure is a warning in the log. */
void vk_disk_write(const struct vk_device *dev, const char *kind, const void *data, size_t size);
/* Told by vk_disk_read of a file that is whole but not what its reader expects. */
void vk_disk_refuse(const struct vk_device *dev, const char *kind);

#endif

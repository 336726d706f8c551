/* Shader reload while running, for developers (option FOVEA_HOT_RELOAD, libshaderc).
 *
 * With vk_device_opts.shader_dir pipelines are compiled from shader_dir/<source>.comp and what
 * it includes, instead of from the embedded code. */
#ifndef VK_RELOAD_H
#define VK_RELOAD_H

#include "vk/device.h"

/* Call between frames, with no dispatch recorded and not yet submitted. Looks at the files (at
 * most four times a second); what has changed is compiled and swapped in after waiting for the
 * device. *changed: some pipeline is new. A source that does not compile leaves its old pipeline
 * (the built-in one if it never did), and its messages in log at every call until it does: log is
 * "" when all is well. Without the option or a shader directory nothing changes. Returns 0,
 * FV_EDEVICE, FV_ENOMEM. */
int vk_reload_poll(struct vk_device *dev, bool *changed, char *log, size_t log_size);

#endif

/* The window: GLFW's only file. Size, input since the last wait, and a Vulkan surface.
 *
 *     struct window *w;
 *     FV_TRY(window_create(&w, &(struct window_opts){.title = "fovea", .width = 1280, ...}));
 *     FV_TRY(vk_device_create(&dev, &(struct vk_device_opts){.swapchain = true,
 *                             .instance_extensions = window_extensions(&n), ...}));
 *     FV_TRY(window_surface(w, dev, &surface));
 *     while (!window_closing(w)) {
 *         window_wait(w, 0.5);
 *         ... w->input ...
 *     }
 *     window_destroy(&w);                       // after the swapchain and the surface
 */
#ifndef APP_WINDOW_H
#define APP_WINDOW_H

#include "vk/device.h"

/* Letters and digits are their upper-case ASCII codes. */
enum window_key {
    KEY_SPACE = 32,
    KEY_COMMA = 44,
    KEY_MINUS = 45,
    KEY_PERIOD = 46,
    KEY_EQUAL = 61,
    KEY_LEFT_BRACKET = 91,
    KEY_RIGHT_BRACKET = 93,
    KEY_ESCAPE = 256,
    KEY_TAB = 258,
    KEY_RIGHT = 262,
    KEY_LEFT = 263,
    KEY_HOME = 268,
    KEY_END = 269,
    KEY_F1 = 290,
    KEY_F11 = 300,
    KEY_F12 = 301,
};
enum window_button { BUTTON_LEFT = 1, BUTTON_RIGHT = 2, BUTTON_MIDDLE = 4 };

/* What happened since the last window_wait. Positions are in framebuffer pixels. */
struct window_input {
    double mouse[2];
    double dragged[2]; /* moved while a button was held */
    double scroll;
    unsigned buttons; /* held now, of enum window_button */
    unsigned pressed; /* went down */
    bool went[2];         /* the left button: down, up */
    double went_at[2][2]; /* where the mouse was then */
    bool double_click;
    bool shift, control; /* held now */
    struct {
        int code;
        bool control, shift; /* were held when it was pressed */
    } keys[16];       /* pressed, in order; those that step come again while they are held */
    int key_count;
    bool typed;    /* text, or a key held down that came again */
    char *dropped; /* path of a file let go over the window; the window's, until the next wait */
};

struct window {
    int width, height; /* framebuffer pixels; 0 when minimised */
    float scale;       /* content scale of the monitor: 2 on a HiDPI one */
    float density;     /* framebuffer pixels per window coordinate */
    bool fullscreen;
    struct window_input input;
    struct window_private *p;
};

struct window_opts {
    const char *title;
    int width, height; /* pixels */
    bool scale_size;   /* multiply the size by the monitor's content scale */
};

/* One window a process. Returns 0 or FV_EDEVICE (no display, no Vulkan for windows). */
int window_create(struct window **out, const struct window_opts *opts);
void window_destroy(struct window **w);
/* Instance extensions surfaces need; borrowed. Valid once a window exists. */
const char *const *window_extensions(uint32_t *count);
/* Caller destroys it before the device. Returns 0 or FV_EDEVICE. */
int window_surface(struct window *w, struct vk_device *dev, VkSurfaceKHR *out);

/* Waits for input at most timeout seconds (0: does not wait). True if anything came but what
 * sets only `typed`. */
bool window_wait(struct window *w, double timeout);
/* Ends a window_wait early; callable from any thread. */
void window_wake(void);
bool window_closing(const struct window *w);
void window_close(struct window *w);
bool window_key_held(const struct window *w, int key);
void window_set_title(struct window *w, const char *title);
void window_toggle_fullscreen(struct window *w);
/* The GLFW window, for the user interface library. */
void *window_handle(struct window *w);

#endif

/* See window.h. Callbacks collect into the input of the next window_wait. */
#include "app/window.h"

#include "vk/base/log.h"

#include <GLFW/glfw3.h>
#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(KEY_SPACE == GLFW_KEY_SPACE && KEY_ESCAPE == GLFW_KEY_ESCAPE &&
                   KEY_TAB == GLFW_KEY_TAB && KEY_F1 == GLFW_KEY_F1 && KEY_F11 == GLFW_KEY_F11 &&
                   KEY_F12 == GLFW_KEY_F12 && KEY_LEFT_BRACKET == GLFW_KEY_LEFT_BRACKET &&
                   KEY_RIGHT_BRACKET == GLFW_KEY_RIGHT_BRACKET && 'A' == GLFW_KEY_A &&
                   KEY_COMMA == GLFW_KEY_COMMA && KEY_MINUS == GLFW_KEY_MINUS &&
                   KEY_PERIOD == GLFW_KEY_PERIOD && KEY_EQUAL == GLFW_KEY_EQUAL &&
                   KEY_RIGHT == GLFW_KEY_RIGHT && KEY_LEFT == GLFW_KEY_LEFT &&
                   KEY_HOME == GLFW_KEY_HOME && KEY_END == GLFW_KEY_END,
               "window_key follows GLFW's codes");

static const double double_click_seconds = 0.35, double_click_pixels = 6;

struct window_private {
    GLFWwindow *handle;
    unsigned events; /* counted by every callback */
    double click_time, click_at[2];
    int restore[4]; /* position and size before full screen */
};

static struct window *self(GLFWwindow *handle)
{
    struct window *w = glfwGetWindowUserPointer(handle);
    w->p->events++;
    return w;
}

static void on_key(GLFWwindow *handle, int key, int scancode, int action, int mods)
{
    (void)scancode;
    struct window *w = glfwGetWindowUserPointer(handle);
    struct window_input *in = &w->input;
    bool again = action == GLFW_REPEAT, steps = key == KEY_LEFT || key == KEY_RIGHT ||
                                                key == KEY_COMMA || key == KEY_PERIOD;
    in->typed |= again;
    if (again && !steps)
        return;
    w->p->events++;
    int room = sizeof in->keys / sizeof *in->keys;
    if (action == GLFW_RELEASE || in->key_count == room)
        return;
    in->keys[in->key_count].code = key;
    in->keys[in->key_count].shift = mods & GLFW_MOD_SHIFT;
    in->keys[in->key_count++].control = mods & GLFW_MOD_CONTROL;
}

static void on_char(GLFWwindow *handle, unsigned codepoint)
{
    (void)codepoint;
    struct window *w = glfwGetWindowUserPointer(handle);
    w->input.typed = true;
}

static void on_move(GLFWwindow *handle, double x, double y)
{
    struct window *w = self(handle);
    double at[2] = {x * w->density, y * w->density};
    for (int i = 0; i < 2; i++) {
        if (w->input.buttons)
            w->input.dragged[i] += at[i] - w->input.mouse[i];
        w->input.mouse[i] = at[i];
    }
}

static void on_button(GLFWwindow *handle, int button, int action, int mods)
{
    (void)mods;
    struct window *w = self(handle);
    struct window_input *in = &w->input;
    if (button > GLFW_MOUSE_BUTTON_MIDDLE)
        return;
    if (button == GLFW_MOUSE_BUTTON_LEFT) {
        in->went[action != GLFW_PRESS] = true;
        memcpy(in->went_at[action != GLFW_PRESS], in->mouse, sizeof in->mouse);
    }
    unsigned bit = button == GLFW_MOUSE_BUTTON_LEFT    ? BUTTON_LEFT
                   : button == GLFW_MOUSE_BUTTON_RIGHT ? BUTTON_RIGHT
                                                       : BUTTON_MIDDLE;
    if (action != GLFW_PRESS) {
        in->buttons &= ~bit;
        return;
    }
    in->buttons |= bit;
    in->pressed |= bit;
    if (bit != BUTTON_LEFT)
        return;
    struct window_private *p = w->p;
    double now = glfwGetTime();
    double off = hypot(in->mouse[0] - p->click_at[0], in->mouse[1] - p->click_at[1]);
    in->double_click =
        now - p->click_time < double_click_seconds && off < double_click_pixels * w->scale;
    p->click_time = in->double_click ? 0 : now; /* three clicks are not two double ones */
    memcpy(p->click_at, in->mouse, sizeof p->click_at);
}

static void on_scroll(GLFWwindow *handle, double x, double y)
{
    (void)x;
    self(handle)->input.scroll += y;
}

static void on_drop(GLFWwindow *handle, int count, const char **paths)
{
    struct window *w = self(handle);
    if (count < 1)
        return;
    free(w->input.dropped);
    w->input.dropped = strdup(paths[0]);
}

static void measure(struct window *w)
{
    int width, height;
    glfwGetFramebufferSize(w->p->handle, &w->width, &w->height);
    glfwGetWindowSize(w->p->handle, &width, &height);
    w->density = width > 0 && w->width > 0 ? (float)w->width / (float)width : 1;
    float y;
    glfwGetWindowContentScale(w->p->handle, &w->scale, &y);
    if (!(w->scale > 0))
        w->scale = 1;
}

static void on_framebuffer(GLFWwindow *handle, int width, int height)
{
    (void)width, (void)height;
    measure(self(handle));
}

static void on_scale(GLFWwindow *handle, float x, float y)
{
    (void)x, (void)y;
    measure(self(handle));
}

static void on_window(GLFWwindow *handle)
{
    self(handle);
}

static void on_state(GLFWwindow *handle, int state)
{
    (void)state;
    self(handle);
}

static int fail_glfw(const char *what)
{
    const char *why = NULL;
    glfwGetError(&why);
    return fv_fail(FV_EDEVICE, "%s: %s (without a display, use --headless --screenshot FILE)", what,
                   why ? why : "no reason given");
}

static void listen(GLFWwindow *handle)
{
    glfwSetKeyCallback(handle, on_key);
    glfwSetCharCallback(handle, on_char);
    glfwSetCursorPosCallback(handle, on_move);
    glfwSetMouseButtonCallback(handle, on_button);
    glfwSetScrollCallback(handle, on_scroll);
    glfwSetDropCallback(handle, on_drop);
    glfwSetFramebufferSizeCallback(handle, on_framebuffer);
    glfwSetWindowContentScaleCallback(handle, on_scale);
    glfwSetWindowRefreshCallback(handle, on_window);
    glfwSetWindowCloseCallback(handle, on_window);
    glfwSetWindowIconifyCallback(handle, on_state);
    glfwSetWindowFocusCallback(handle, on_state);
}

/* --- X --- */

static int pass_over(void *display, void *event)
{
    (void)display, (void)event;
    fv_log(FV_DEBUG, "the X server refused a request");
    return 0;
}

/* Xlib ends the program at any request that fails, and one does when GLFW answers a program that a file is dragged
 * from and that is gone by then. GLFW brings Xlib along; elsewhere there is none. */
static void survive_x_errors(void)
{
    int (*(*set)(int (*)(void *, void *)))(void *, void *);
    void *found = dlsym(RTLD_DEFAULT, "XSetErrorHandler");
    memcpy(&set, &found, sizeof set);
    if (found)
        set(pass_over);
}

int window_create(struct window **out, const struct window_opts *opts)
{
    *out = NULL;
    if (!glfwInit())
        return fail_glfw("cannot open a window");
    struct window *w = calloc(1, sizeof *w);
    struct window_private *p = calloc(1, sizeof *p);
    if (!w || !p) {
        free(w);
        free(p);
        glfwTerminate();
        return fv_fail(FV_ENOMEM, "out of memory for the window");
    }
    w->p = p;
    int rc = 0;
    if (!glfwVulkanSupported()) {
        rc = fv_fail(FV_EDEVICE, "Vulkan cannot draw to windows here: install a driver such as "
                                 "mesa-vulkan-drivers");
        goto done;
    }
    glfwWindowHint(GLFW_CLIENT_API, GLFW_NO_API);
    glfwWindowHint(GLFW_SCALE_TO_MONITOR, opts->scale_size);
    glfwWindowHintString(GLFW_X11_CLASS_NAME, "fovea");
    p->handle = glfwCreateWindow(opts->width, opts->height, opts->title, NULL, NULL);
    if (!p->handle) {
        rc = fail_glfw("cannot open a window");
        goto done;
    }
    survive_x_errors(); /* GLFW sets the default again while it makes a window */
    glfwSetWindowUserPointer(p->handle, w);
    glfwSetWindowSizeLimits(p->handle, 160, 120, GLFW_DONT_CARE, GLFW_DONT_CARE);
    measure(w);
    listen(p->handle);
    *out = w;
    w = NULL;
done:
    window_destroy(&w);
    return rc;
}

void window_destroy(struct window **w)
{
    if (!*w)
        return;
    if ((*w)->p->handle)
        glfwDestroyWindow((*w)->p->handle);
    glfwTerminate();
    free((*w)->input.dropped);
    free((*w)->p);
    free(*w);
    *w = NULL;
}

const char *const *window_extensions(uint32_t *count)
{
    return glfwGetRequiredInstanceExtensions(count);
}

int window_surface(struct window *w, struct vk_device *dev, VkSurfaceKHR *out)
{
    return vk_check(dev, glfwCreateWindowSurface(dev->instance, w->p->handle, NULL, out),
                    "glfwCreateWindowSurface");
}

bool window_wait(struct window *w, double timeout)
{
    struct window_input *in = &w->input;
    free(in->dropped);
    in->dropped = NULL;
    in->dragged[0] = in->dragged[1] = in->scroll = 0;
    in->pressed = 0;
    in->double_click = in->typed = in->went[0] = in->went[1] = false;
    in->key_count = 0;

    unsigned before = w->p->events;
    if (timeout > 0)
        glfwWaitEventsTimeout(timeout);
    else
        glfwPollEvents();
    in->shift = window_key_held(w, GLFW_KEY_LEFT_SHIFT) || window_key_held(w, GLFW_KEY_RIGHT_SHIFT);
    in->control =
        window_key_held(w, GLFW_KEY_LEFT_CONTROL) || window_key_held(w, GLFW_KEY_RIGHT_CONTROL);
    return w->p->events != before;
}

void window_wake(void)
{
    glfwPostEmptyEvent();
}

bool window_closing(const struct window *w)
{
    return glfwWindowShouldClose(w->p->handle);
}

void window_close(struct window *w)
{
    glfwSetWindowShouldClose(w->p->handle, GLFW_TRUE);
}

bool window_key_held(const struct window *w, int key)
{
    return glfwGetKey(w->p->handle, key) == GLFW_PRESS;
}

void window_set_title(struct window *w, const char *title)
{
    glfwSetWindowTitle(w->p->handle, title);
}

/* The monitor most of the window is on. */
static GLFWmonitor *monitor_of(GLFWwindow *handle)
{
    int x, y, width, height, count = 0, best = 0;
    glfwGetWindowPos(handle, &x, &y);
    glfwGetWindowSize(handle, &width, &height);
    GLFWmonitor **monitors = glfwGetMonitors(&count), *found = glfwGetPrimaryMonitor();
    for (int i = 0; i < count; i++) {
        int mx, my;
        const GLFWvidmode *mode = glfwGetVideoMode(monitors[i]);
        glfwGetMonitorPos(monitors[i], &mx, &my);
        if (!mode)
            continue;
        int w = (int)(fmin(x + width, mx + mode->width) - fmax(x, mx));
        int h = (int)(fmin(y + height, my + mode->height) - fmax(y, my));
        if (w > 0 && h > 0 && w * h > best) {
            best = w * h;
            found = monitors[i];
        }
    }
    return found;
}

void window_toggle_fullscreen(struct window *w)
{
    struct window_private *p = w->p;
    if (w->fullscreen) {
        glfwSetWindowMonitor(p->handle, NULL, p->restore[0], p->restore[1], p->restore[2],
                             p->restore[3], GLFW_DONT_CARE);
        w->fullscreen = false;
        return;
    }
    GLFWmonitor *monitor = monitor_of(p->handle);
    const GLFWvidmode *mode = monitor ? glfwGetVideoMode(monitor) : NULL;
    if (!mode)
        return;
    glfwGetWindowPos(p->handle, &p->restore[0], &p->restore[1]);
    glfwGetWindowSize(p->handle, &p->restore[2], &p->restore[3]);
    glfwSetWindowMonitor(p->handle, monitor, 0, 0, mode->width, mode->height, mode->refreshRate);
    w->fullscreen = true;
}

void *window_handle(struct window *w)
{
    return w->p->handle;
}

/* The user interface library in plain C: Dear ImGui behind the few calls the panels need.
 * Immediate mode: between ui_begin and ui_draw every call makes a widget and tells at once what
 * the person did with it. Sizes are in points, which ui_set_scale turns into pixels. Widgets are
 * told apart by their labels; what follows "##" in that of a button or line is not
 * shown.
 *
 *     ui_begin(ui);
 *     if (ui_panel_begin("Scene", &(struct ui_place){.x = 8, .y = 8, .width = 260}, NULL)) {
 *         ui_row("Gaussians", "%zu", count);
 *         if (ui_button("Frame", 0, 1)) ...
 *     }
 *     ui_panel_end();
 *     ui_draw(ui, command_buffer);
 */
#ifndef APP_UI_H
#define APP_UI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vulkan/vulkan.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ui;

/* What the interface is drawn with; handles are borrowed and must outlive it. */
struct ui_device {
    VkInstance instance;
    VkPhysicalDevice phys;
    VkDevice device;
    VkQueue queue;
    uint32_t queue_family;
    VkRenderPass render_pass;
    void *window; /* GLFWwindow; its callbacks must be set before and stay in place */
    const char *places; /* a file for the places of the widgets, "x0 y0 x1 y1 panel/label" a line in pixels,
                           written when they have changed (docs/VIEWER.md); NULL = none */
};

/* NULL when memory or a device object runs out. */
struct ui *ui_create(const struct ui_device *d);
/* Nothing drawn with it may be in flight. Accepts NULL. */
void ui_destroy(struct ui *ui);

/* Sizes on this monitor: pixels per point, and framebuffer pixels per window coordinate. True
 * when that is new. Then nothing drawn with ui may be in flight, and before the next ui_begin
 * the font's upload has to be recorded by ui_upload, executed, and ended by ui_upload with NULL. */
bool ui_set_scale(struct ui *ui, float scale, float density);
void ui_upload(struct ui *ui, VkCommandBuffer cb);

/* At most two ui_draws may be in flight. */
void ui_begin(struct ui *ui);
/* Ends what ui_begin began and records it into a render pass like the one given at creation;
 * with cb NULL it is thrown away. Returns the first failure of the library since last asked. */
VkResult ui_draw(struct ui *ui, VkCommandBuffer cb);
/* A key went down (GLFW's code): widgets see it in the next ui_begin even if it is up again by then. */
void ui_press(int key);
/* The mouse was pressed twice in place, by the times of its events: slow draws would not see it. */
void ui_pressed_twice(void);
/* The left button went down, or up, with the mouse at this pixel: slow draws would see the mouse where it has gone
 * since. Both between two draws are seen in the next two. */
void ui_clicked(bool up, double x, double y);
/* What the widgets use: a panel is under the mouse or dragged in; text is being typed. */
void ui_wants(bool *mouse, bool *keys);

enum ui_panel_flags {
    UI_NO_TITLE = 1,
    UI_NO_INPUT = 2, /* the mouse goes through */
    UI_IN_FRONT = 4,
};
/* A panel's place: its point (ax, ay), as a fraction of its size, stands at the same fraction of
 * the window, moved by (x, y) points. A width of 0 fits the contents; the height fits them up to
 * max_height, then scrolls. */
struct ui_place {
    float ax, ay, x, y, width, max_height;
    int flags; /* of enum ui_panel_flags */
};
/* open, if not NULL, gives it a close button. Call ui_panel_end whatever it returns. */
bool ui_panel_begin(const char *title, const struct ui_place *place, bool *open);
void ui_panel_end(void);
/* A collapsible part of a panel; true when its widgets are to be made. */
bool ui_section(const char *title, bool open_at_first);

void ui_text(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* wrapped */
void ui_note(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* dimmed, wrapped */
/* A label at the left, a value behind it. */
void ui_row(const char *label, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void ui_progress(float fraction, const char *text);
/* Explains the widget before, shown when the mouse rests on it. */
void ui_tip(const char *text);

/* These return true when the person changed or pressed something. */
bool ui_button(const char *label, int i, int n); /* i of n that share a line */
bool ui_checkbox(const char *label, bool *value);
bool ui_choice(const char *label, int *value, const char *const *names, int count);
bool ui_sliders(const char *label, float *values, int n, float low, float high, const char *format,
                bool logarithmic);
bool ui_colour(const char *label, float rgb[3]);
bool ui_number(const char *label, double *value, const char *format); /* Enter or leaving it */
bool ui_input(const char *label, char *text, size_t size);
bool ui_entry(const char *label, char *text, size_t size); /* Enter */
/* The same with what an empty one stands for, dimmed. */
bool ui_hinted(const char *label, char *text, size_t size, const char *hint);
/* Several lines, as wide as the panel, without a label. */
bool ui_lines(const char *id, char *text, size_t size, const char *hint, int lines);
/* Choices as wide as the panel, without a label. */
bool ui_tabs(int *value, const char *const *names, int count);
/* What is wrong, in a colour of its own. */
void ui_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
enum ui_icon { UI_START, UI_BACK, UI_PLAY, UI_PAUSE, UI_ON, UI_END, UI_LOOP, UI_UP, UI_DOWN, UI_CROSS };
/* A small button, beside the widget before unless it is the first of its line; lit: what it
 * switches is on. */
bool ui_icon_button(const char *id, enum ui_icon icon, bool first, bool lit);
/* A slider so many points wide beside the widget before, logarithmic. */
bool ui_knob(const char *id, float *value, float low, float high, const char *format, float width);
/* A list that opens, so many points wide beside the widget before; notes stand behind the names in it, dimmed. */
bool ui_pick(const char *id, int *value, const char *const *names, const char *const *notes, int count,
             const char *shown, float width);
/* Text beside the widget before, at the right edge of the panel; false and nothing where there is
 * no room for it. */
bool ui_right(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Small pictures, of samples: RGBA. */
enum { UI_THUMB_WIDTH = 96, UI_THUMB_HEIGHT = 54 };
struct ui_thumb {
    uint32_t frame;
    uint8_t rgba[UI_THUMB_HEIGHT][UI_THUMB_WIDTH][4];
};
enum ui_span_kind { UI_LOADED, UI_AHEAD, UI_DAMAGED };
struct ui_span {
    double from, to; /* frames */
    enum ui_span_kind kind;
};
struct ui_timeline {
    uint32_t frames, at;
    double fps;
    const uint32_t *ticks; /* frames */
    size_t tick_count;
    const struct ui_span *spans;
    size_t span_count;
    const struct ui_thumb *const *thumbs; /* by frame */
    size_t thumb_count;
};
/* Text beside the widget before, cut at the panel's edge. */
void ui_beside(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Pictures side by side, as wide as the panel together; NULL: it is to come. */
void ui_pictures(const struct ui_thumb *const *thumbs, int count);
/* A picture with two lines of text beside it, to be picked: 0, 1 (clicked), 2 (clicked twice). thumb NULL: it
 * is to come. */
int ui_card(const char *id, const struct ui_thumb *thumb, const char *title, const char *note, bool selected);
/* Beneath all panels: a line at a share of the window's width, with a grip where it can be dragged, and what is
 * at its sides ("" = nothing told). */
void ui_divider(float at, bool grip, const char *left, const char *right);
/* As wide as the panel. True while the person holds a place on it: *to is the frame there. Shows what
 * is under the mouse. */
bool ui_scrub(const struct ui_timeline *t, uint32_t *to);

/* Keys on an axis of time, and curves below them. */
struct ui_curve {
    const char *name;
    const float *y; /* as many as samples, from the axis' start to its end */
};
struct ui_axis {
    double seconds, at; /* of its right end; of the line */
    const double *keys; /* their times, in order */
    size_t key_count;
    const struct ui_curve *curves; /* all on one scale */
    int curve_count, samples;
    const char *unit;
};
struct ui_hold {
    int key;       /* that is held; -1: a place beside the keys */
    double time;   /* of the place, or where the key would be */
    bool dragged;  /* it has been moved since it was taken hold of */
};
/* As wide as the panel. True while the person holds something on it. */
bool ui_keys(const struct ui_axis *a, float height, struct ui_hold *out);

/* A line that can be picked. */
bool ui_line(const char *text, bool selected);
/* A scrolling list of at most so many lines' height; names from a callback. */
bool ui_list(const char *id, int *selected, bool (*name)(void *ud, int i, const char **out),
             void *ud, int count, int lines);

/* Of the toolkit: "1.89.4". */
const char *ui_version(void);

#ifdef __cplusplus
}
#endif

#endif

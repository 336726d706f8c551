// ui.h on Dear ImGui 1.86 with its GLFW and Vulkan backends. Looks only: no state of the
// viewer's, no decisions.
#include "app/ui.h"

#include <GLFW/glfw3.h>
#include <backends/imgui_impl_glfw.h>
#include <backends/imgui_impl_vulkan.h>
#include <cfloat>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <imgui.h>
#include <string>

extern "C" const unsigned char ui_font_ttf[];
extern "C" const unsigned ui_font_ttf_size;

struct ui {
    ui_device device;
    VkDescriptorPool pool;
    float scale, density;
};

static float unit = 1;   // ImGui units per point
static bool wrap = true; // in the present panel
static VkResult bad_result = VK_SUCCESS;

// Where the widgets are, for whoever drives the window without eyes: a line "x0 y0 x1 y1 panel/label" each. What
// else there is to be seen has a word in front: "panel", "value" (a row's), "cut" (a text with too little room),
// "typing" (where keys go to), "says" (what a widget or a line of text tells: "says panel/label<tab>text") and "clicks"
// (how many have been taken in, and laid out after).
static std::string places, told;
static const char *places_file; // NULL: nobody asked
static char panel_name[64];

static void place_box(const char *panel, const char *label, ImVec2 a, ImVec2 b, const char *kind = "")
{
    char line[400];
    ImVec2 s = ImGui::GetIO().DisplayFramebufferScale;
    snprintf(line, sizeof line, "%s%.0f %.0f %.0f %.0f %s%s%.*s\n", kind, a.x * s.x, a.y * s.y, b.x * s.x, b.y * s.y, panel,
             *label ? "/" : "", int(strcspn(label, "\n")), label);
    places += line;
}

static void place(const char *label, const char *kind = "")
{
    if (!places_file)
        return;
    ImVec2 a = ImGui::GetItemRectMin(), b = ImGui::GetItemRectMax();
    ImVec2 low = ImGui::GetWindowDrawList()->GetClipRectMin(), high = ImGui::GetWindowDrawList()->GetClipRectMax();
    if (b.y < low.y || a.y > high.y || b.x < low.x || a.x > high.x)
        return;
    float x0 = a.x > low.x ? a.x : low.x, y0 = a.y > low.y ? a.y : low.y;
    float x1 = b.x < high.x ? b.x : high.x, y1 = b.y < high.y ? b.y : high.y;
    place_box(panel_name, label, ImVec2(x0, y0), ImVec2(x1, y1), kind);
}

static void place_field(const char *label)
{
    place(label);
    if (ImGui::IsItemActive())
        place(label, "typing ");
}

// Of the widget before: a text in it that has `room` to its sides.
static void fits(const char *text, float room, const char *label)
{
    if (places_file && ImGui::CalcTextSize(text, nullptr, true).x > room + 0.5f * unit)
        place(label, "cut ");
}

static void say_va(const char *label, const char *fmt, va_list ap)
{
    char text[600];
    if (!places_file)
        return;
    vsnprintf(text, sizeof text, fmt, ap);
    for (char *c = text; *c; c++)
        *c = *c == '\n' || *c == '\t' ? ' ' : *c;
    places += std::string("says ") + panel_name + (*label ? "/" : "") + label + "\t" + text + "\n";
}

static void say(const char *label, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(const char *label, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    say_va(label, fmt, ap);
    va_end(ap);
}

static void count_clicks()
{
    static unsigned clicks, done;
    static int draws; // since the last of them
    bool clicked = ImGui::IsMouseReleased(0);
    clicks += clicked;
    draws = clicked ? 0 : draws + 1;
    if (draws == 2)
        done = clicks;
    places += "clicks " + std::to_string(done) + "\n";
}

static void tell_places()
{
    if (places_file)
        count_clicks();
    if (!places_file || places == told) {
        places.clear();
        return;
    }
    std::string beside = std::string(places_file) + ".new";
    if (FILE *f = fopen(beside.c_str(), "w")) {
        fwrite(places.data(), 1, places.size(), f);
        fclose(f);
        rename(beside.c_str(), places_file);
    }
    told.swap(places);
    places.clear();
}

static void set_style()
{
    ImGuiStyle s;
    ImGui::StyleColorsDark(&s);
    s.WindowRounding = 7;
    s.FrameRounding = s.GrabRounding = s.PopupRounding = s.ScrollbarRounding = 4;
    s.WindowPadding = ImVec2(10, 8);
    s.FramePadding = ImVec2(7, 3);
    s.ItemSpacing = ImVec2(7, 5);
    const ImVec4 accent(0.20f, 0.55f, 0.76f, 1), hover(0.26f, 0.63f, 0.85f, 1);
    ImVec4 *c = s.Colors;
    c[ImGuiCol_Text] = ImVec4(0.93f, 0.94f, 0.95f, 1);
    c[ImGuiCol_TextDisabled] = ImVec4(0.63f, 0.66f, 0.70f, 1);
    c[ImGuiCol_WindowBg] = c[ImGuiCol_PopupBg] = ImVec4(0.09f, 0.10f, 0.115f, 0.93f);
    c[ImGuiCol_TitleBg] = c[ImGuiCol_TitleBgActive] = c[ImGuiCol_TitleBgCollapsed] =
        ImVec4(0.13f, 0.145f, 0.165f, 0.96f);
    c[ImGuiCol_FrameBg] = c[ImGuiCol_Button] = ImVec4(1, 1, 1, 0.09f);
    c[ImGuiCol_FrameBgHovered] = c[ImGuiCol_FrameBgActive] = ImVec4(1, 1, 1, 0.13f);
    c[ImGuiCol_ButtonHovered] = c[ImGuiCol_SliderGrab] = c[ImGuiCol_PlotHistogram] = accent;
    c[ImGuiCol_ButtonActive] = c[ImGuiCol_SliderGrabActive] = c[ImGuiCol_CheckMark] = hover;
    c[ImGuiCol_Header] = ImVec4(0.20f, 0.55f, 0.76f, 0.32f);
    c[ImGuiCol_HeaderHovered] = c[ImGuiCol_HeaderActive] = ImVec4(0.20f, 0.55f, 0.76f, 0.55f);
    s.ScaleAllSizes(unit);
    ImGui::GetStyle() = s;
}

static bool start_renderer(ui *u)
{
    const ui_device &d = u->device;
    ImGui_ImplVulkan_InitInfo info = {};
    info.Instance = d.instance;
    info.PhysicalDevice = d.phys;
    info.Device = d.device;
    info.QueueFamily = d.queue_family;
    info.Queue = d.queue;
    info.DescriptorPool = u->pool;
    info.MinImageCount = info.ImageCount = 2; // draws in flight
    info.MSAASamples = VK_SAMPLE_COUNT_1_BIT;
    info.CheckVkResultFn = [](VkResult r) { bad_result = bad_result ? bad_result : r; };
    return ImGui_ImplVulkan_Init(&info, d.render_pass) && bad_result == VK_SUCCESS;
}

ui *ui_create(const ui_device *d)
{
    ui *u = static_cast<ui *>(calloc(1, sizeof(ui)));
    VkDescriptorPoolSize size = {VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER, 4};
    auto type = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO;
    VkDescriptorPoolCreateInfo info = {type, nullptr, 0, 4, 1, &size};
    if (!u || vkCreateDescriptorPool(d->device, &info, nullptr, &u->pool) != VK_SUCCESS) {
        free(u);
        return nullptr;
    }
    u->device = *d;
    places_file = d->places;
    ImGui::CreateContext();
    ImGui::GetIO().IniFilename = nullptr; // nothing is written beside the user's files
    ImGui_ImplGlfw_InitForVulkan(static_cast<GLFWwindow *>(d->window), true);
    if (start_renderer(u))
        return u;
    ui_destroy(u);
    return nullptr;
}

void ui_destroy(ui *u)
{
    if (!u)
        return;
    ImGui_ImplVulkan_Shutdown();
    ImGui_ImplGlfw_Shutdown();
    ImGui::DestroyContext();
    vkDestroyDescriptorPool(u->device.device, u->pool, nullptr);
    free(u);
}

bool ui_set_scale(ui *u, float scale, float density)
{
    if (scale == u->scale && density == u->density)
        return false;
    if (u->scale > 0) { // the backend cannot replace its font: start it anew
        ImGui_ImplVulkan_Shutdown();
        vkResetDescriptorPool(u->device.device, u->pool, 0);
        start_renderer(u);
    }
    u->scale = scale;
    u->density = density;
    unit = scale / density;
    set_style();
    static const ImWchar ranges[] = {0x20, 0x17f, 0x370, 0x45f, 0x2010, 0x2026, 0x2212, 0x2212, 0};
    ImGuiIO &io = ImGui::GetIO();
    ImFontConfig config;
    config.FontDataOwnedByAtlas = false;
    io.Fonts->Clear();
    io.Fonts->AddFontFromMemoryTTF(const_cast<unsigned char *>(ui_font_ttf), int(ui_font_ttf_size),
                                   float(int(15 * scale + 0.5f)), &config, ranges);
    io.Fonts->Build();
    io.FontGlobalScale = 1 / density;
    return true;
}

void ui_upload(ui *, VkCommandBuffer cb)
{
    if (cb)
        ImGui_ImplVulkan_CreateFontsTexture(cb);
    else
        ImGui_ImplVulkan_DestroyFontUploadObjects();
}

static int pressed_keys[16], pressed_count;
static bool twice; // until the next draw
void ui_pressed_twice(void)
{
    twice = true;
}

static struct { // the left button down, up
    bool since;
    ImVec2 pixel;
} went[2];

void ui_clicked(bool up, double x, double y)
{
    went[up].since = true;
    went[up].pixel = ImVec2(float(x), float(y));
}

static void place_mouse(float density)
{
    for (auto &w : went)
        if (w.since) {
            ImGui::GetIO().MousePos = ImVec2(w.pixel.x / density, w.pixel.y / density);
            w.since = false;
            return;
        }
}

void ui_press(int key)
{
    if (key >= 0 && key < IM_ARRAYSIZE(ImGui::GetIO().KeysDown) && pressed_count < IM_ARRAYSIZE(pressed_keys))
        pressed_keys[pressed_count++] = key;
}

// The backend knows of a mouse that has come in since it was begun only, or where the window has the focus.
static void find_mouse(GLFWwindow *window)
{
    ImGuiIO &io = ImGui::GetIO();
    double x, y;
    if (io.MousePos.x > -1e6f || !glfwGetWindowAttrib(window, GLFW_HOVERED))
        return;
    glfwGetCursorPos(window, &x, &y);
    io.MousePos = ImVec2(float(x), float(y));
}

void ui_begin(ui *u)
{
    bool *down = ImGui::GetIO().KeysDown;
    ImGui_ImplVulkan_NewFrame();
    ImGui_ImplGlfw_NewFrame();
    find_mouse(static_cast<GLFWwindow *>(u->device.window));
    place_mouse(u->density);
    for (int i = 0; i < pressed_count; i++) // one that is up again already is lost by the backend
        down[pressed_keys[i]] ? pressed_keys[i] = -1 : down[pressed_keys[i]] = true;
    ImGui::NewFrame();
    for (int i = 0; i < pressed_count; i++)
        if (pressed_keys[i] >= 0)
            down[pressed_keys[i]] = false;
    pressed_count = 0;
}

VkResult ui_draw(ui *, VkCommandBuffer cb)
{
    tell_places();
    twice = false;
    ImGui::Render();
    if (cb)
        ImGui_ImplVulkan_RenderDrawData(ImGui::GetDrawData(), cb);
    VkResult r = bad_result;
    bad_result = VK_SUCCESS;
    return r;
}

void ui_wants(bool *mouse, bool *keys)
{
    *mouse = ImGui::GetIO().WantCaptureMouse;
    *keys = ImGui::GetIO().WantTextInput;
}

bool ui_panel_begin(const char *title, const ui_place *p, bool *open)
{
    ImVec2 screen = ImGui::GetIO().DisplaySize, anchor(p->ax, p->ay);
    ImGui::SetNextWindowPos(ImVec2(screen.x * p->ax + p->x * unit, screen.y * p->ay + p->y * unit),
                            ImGuiCond_Always, anchor);
    ImGui::SetNextWindowSizeConstraints(ImVec2(p->width * unit, 0),
                                        ImVec2(p->width > 0 ? p->width * unit : FLT_MAX,
                                               p->max_height > 0 ? p->max_height * unit : FLT_MAX));
    int flags = ImGuiWindowFlags_NoMove | ImGuiWindowFlags_AlwaysAutoResize;
    flags |= p->flags & UI_NO_TITLE ? ImGuiWindowFlags_NoTitleBar : 0;
    flags |= p->flags & UI_NO_INPUT ? ImGuiWindowFlags_NoInputs : 0;
    flags |= open ? ImGuiWindowFlags_NoCollapse : 0;
    if (p->flags & UI_IN_FRONT)
        ImGui::SetNextWindowFocus();
    wrap = p->width > 0;
    snprintf(panel_name, sizeof panel_name, "%s", title);
    return ImGui::Begin(title, open, flags);
}

void ui_panel_end(void)
{
    if (places_file) {
        ImVec2 at = ImGui::GetWindowPos(), size = ImGui::GetWindowSize();
        place_box(panel_name, "", at, ImVec2(at.x + size.x, at.y + size.y), "panel ");
    }
    ImGui::End();
}

bool ui_section(const char *title, bool open_at_first)
{
    bool open = ImGui::CollapsingHeader(title, open_at_first ? ImGuiTreeNodeFlags_DefaultOpen : 0);
    place(title);
    return open;
}

#define TEXT(fmt)                                                                                  \
    va_list ap;                                                                                    \
    va_start(ap, fmt);                                                                             \
    wrap ? ImGui::TextWrappedV(fmt, ap) : ImGui::TextV(fmt, ap);                                   \
    va_end(ap);                                                                                    \
    va_start(ap, fmt);                                                                             \
    say_va(label, fmt, ap);                                                                        \
    va_end(ap)

void ui_text(const char *fmt, ...)
{
    const char *label = "";
    TEXT(fmt);
}

void ui_note(const char *fmt, ...)
{
    const char *label = "";
    ImGui::PushStyleColor(ImGuiCol_Text, ImGui::GetStyle().Colors[ImGuiCol_TextDisabled]);
    TEXT(fmt);
    ImGui::PopStyleColor();
}

void ui_warn(const char *fmt, ...)
{
    const char *label = "";
    ImGui::PushStyleColor(ImGuiCol_Text, ImVec4(1, 0.62f, 0.36f, 1));
    TEXT(fmt);
    ImGui::PopStyleColor();
}

// Between the panel's edge and the column of values.
static float label_room()
{
    return ImGui::GetWindowWidth() * 0.33f - ImGui::GetStyle().WindowPadding.x;
}

void ui_row(const char *label, const char *fmt, ...)
{
    ImGui::TextDisabled("%s", label);
    fits(label, label_room(), label);
    ImGui::SameLine(ImGui::GetWindowWidth() * 0.33f);
    TEXT(fmt);
    place(label, "value ");
}

// The label at the left; returns the id of the widget that follows it, as wide as there is room.
static const char *field(const char *label)
{
    static char id[64];
    snprintf(id, sizeof id, "##%s", label);
    ImGui::AlignTextToFramePadding();
    ImGui::TextDisabled("%s", label);
    fits(label, label_room(), label);
    ImGui::SameLine(ImGui::GetWindowWidth() * 0.33f);
    ImGui::SetNextItemWidth(-FLT_MIN);
    return id;
}

void ui_progress(float fraction, const char *text)
{
    ImGui::ProgressBar(fraction, ImVec2(-FLT_MIN, 0), text);
    fits(text, ImGui::GetItemRectSize().x, text);
}

void ui_tip(const char *text)
{
    if (ImGui::IsItemHovered(ImGuiHoveredFlags_AllowWhenDisabled))
        ImGui::SetTooltip("%s", text);
}

bool ui_button(const char *label, int i, int n)
{
    float gap = ImGui::GetStyle().ItemSpacing.x, left = ImGui::GetCursorStartPos().x;
    float width = (ImGui::GetContentRegionMax().x - left - gap * float(n - 1)) / float(n);
    if (i)
        ImGui::SameLine(left + float(i) * (width + gap));
    bool pressed = ImGui::Button(label, ImVec2(width, 0));
    place(label);
    fits(label, width - 2 * ImGui::GetStyle().FramePadding.x, label);
    return pressed;
}

bool ui_checkbox(const char *label, bool *value)
{
    bool changed = ImGui::Checkbox(field(label), value);
    place(label);
    say(label, *value ? "on" : "off");
    return changed;
}

bool ui_choice(const char *label, int *value, const char *const *names, int count)
{
    int before = *value;
    ImGui::PushID(field(label));
    ImGui::PushStyleVar(ImGuiStyleVar_FramePadding, ImVec2(unit, 3 * unit));
    float width = (ImGui::GetContentRegionAvail().x - float(count - 1) * unit) / float(count);
    for (int i = 0; i < count; i++) {
        if (i)
            ImGui::SameLine(0, unit);
        ImGui::PushStyleColor(
            ImGuiCol_Button,
            ImGui::GetStyle().Colors[i == before ? ImGuiCol_SliderGrab : ImGuiCol_FrameBg]);
        if (ImGui::Button(names[i], ImVec2(width, 0)))
            *value = i;
        place(names[i]);
        fits(names[i], width - 2 * unit, names[i]);
        ImGui::PopStyleColor();
    }
    ImGui::PopStyleVar();
    ImGui::PopID();
    say(label, "%s", names[*value]);
    return *value != before;
}

bool ui_sliders(const char *label, float *values, int n, float low, float high, const char *format,
                bool logarithmic)
{
    bool changed = ImGui::SliderScalarN(field(label), ImGuiDataType_Float, values, n, &low, &high, format,
                                        ImGuiSliderFlags_AlwaysClamp |
                                            (logarithmic ? ImGuiSliderFlags_Logarithmic : 0));
    place(label);
    n == 2 ? say(label, "%.6g %.6g", double(values[0]), double(values[1])) : say(label, "%.6g", double(values[0]));
    for (int i = 0; i < n; i++) {
        char text[48];
        snprintf(text, sizeof text, format, double(values[i]));
        fits(text, (ImGui::GetItemRectSize().x - float(n - 1) * ImGui::GetStyle().ItemInnerSpacing.x) / float(n), label);
    }
    return changed;
}

bool ui_colour(const char *label, float rgb[3])
{
    bool changed = ImGui::ColorEdit3(field(label), rgb, ImGuiColorEditFlags_NoInputs);
    place(label);
    say(label, "%.3f %.3f %.3f", double(rgb[0]), double(rgb[1]), double(rgb[2]));
    return changed;
}

bool ui_number(const char *label, double *value, const char *format)
{
    ImGui::InputDouble(field(label), value, 0, 0, format);
    place_field(label);
    say(label, "%.9g", *value);
    return ImGui::IsItemDeactivatedAfterEdit();
}

bool ui_input(const char *label, char *text, size_t size)
{
    bool changed = ImGui::InputText(field(label), text, size, ImGuiInputTextFlags_AutoSelectAll);
    place_field(label);
    say(label, "%s", text);
    return changed;
}

bool ui_entry(const char *label, char *text, size_t size)
{
    bool entered = ImGui::InputText(field(label), text, size,
                                    ImGuiInputTextFlags_AutoSelectAll | ImGuiInputTextFlags_EnterReturnsTrue);
    place_field(label);
    say(label, "%s", text);
    return entered;
}

bool ui_hinted(const char *label, char *text, size_t size, const char *hint)
{
    bool changed =
        ImGui::InputTextWithHint(field(label), hint, text, size, ImGuiInputTextFlags_AutoSelectAll);
    place_field(label);
    say(label, "%s", text);
    return changed;
}

bool ui_lines(const char *id, char *text, size_t size, const char *hint, int lines)
{
    const ImGuiStyle &s = ImGui::GetStyle();
    ImVec2 at = ImGui::GetCursorScreenPos();
    float height = float(lines) * ImGui::GetTextLineHeight() + 2 * s.FramePadding.y;
    bool changed = ImGui::InputTextMultiline(id, text, size, ImVec2(-FLT_MIN, height));
    place_field(id);
    say(id, "%s", text);
    if (!*text && !ImGui::IsItemActive())
        ImGui::GetWindowDrawList()->AddText(ImVec2(at.x + s.FramePadding.x, at.y + s.FramePadding.y),
                                            ImGui::GetColorU32(ImGuiCol_TextDisabled), hint);
    return changed;
}

bool ui_tabs(int *value, const char *const *names, int count)
{
    int before = *value;
    ImGui::PushID("##tabs"); // a button of the panel may have the same name
    ImGui::PushStyleVar(ImGuiStyleVar_FramePadding, ImVec2(unit, 3 * unit)); // four of them in narrow windows
    for (int i = 0; i < count; i++) {
        ImGui::PushStyleColor(
            ImGuiCol_Button,
            ImGui::GetStyle().Colors[i == before ? ImGuiCol_SliderGrab : ImGuiCol_FrameBg]);
        if (ui_button(names[i], i, count))
            *value = i;
        ImGui::PopStyleColor();
    }
    ImGui::PopStyleVar();
    ImGui::PopID();
    say("##tabs", "%s", names[*value]);
    return *value != before;
}

bool ui_line(const char *text, bool selected)
{
    bool picked = ImGui::Selectable(text, selected);
    place(text);
    say(text, selected ? "picked" : "not picked");
    fits(text, ImGui::GetContentRegionMax().x - ImGui::GetCursorStartPos().x, text);
    return picked;
}

bool ui_list(const char *id, int *selected, bool (*name)(void *, int, const char **), void *ud,
             int count, int lines)
{
    ImGui::SetNextItemWidth(-FLT_MIN);
    bool picked = ImGui::ListBox(id, selected, name, ud, count, lines);
    place(id);
    say(id, "%d", *selected);
    return picked;
}

bool ui_icon_button(const char *id, ui_icon icon, bool first, bool lit)
{
    float h = ImGui::GetFrameHeight();
    if (!first)
        ImGui::SameLine(0, 3 * unit);
    ImVec2 at = ImGui::GetCursorScreenPos();
    ImGui::PushStyleColor(ImGuiCol_Button,
                          ImGui::GetStyle().Colors[lit ? ImGuiCol_SliderGrab : ImGuiCol_FrameBg]);
    bool pressed = ImGui::Button(id, ImVec2(1.3f * h, h));
    place(id);
    say(id, lit ? "lit" : "not lit");
    ImGui::PopStyleColor();
    ImDrawList *d = ImGui::GetWindowDrawList();
    ImU32 ink = ImGui::GetColorU32(ImGuiCol_Text);
    float r = 0.24f * h; // half an icon
    ImVec2 c(at.x + 0.65f * h, at.y + 0.5f * h);
    auto bar = [&](float x, float w) {
        d->AddRectFilled(ImVec2(c.x + x * r - w * r, c.y - r), ImVec2(c.x + x * r + w * r, c.y + r), ink);
    };
    auto wedge = [&](float from, float to) { // a triangle with its point at `to`
        d->AddTriangleFilled(ImVec2(c.x + from * r, c.y - r), ImVec2(c.x + from * r, c.y + r),
                             ImVec2(c.x + to * r, c.y), ink);
    };
    switch (icon) {
    case UI_START: bar(-1, 0.2f), wedge(1.1f, -0.7f); break;
    case UI_BACK: bar(1, 0.2f), wedge(0.5f, -1.1f); break;
    case UI_PLAY: wedge(-0.8f, 1.1f); break;
    case UI_PAUSE: bar(-0.55f, 0.3f), bar(0.55f, 0.3f); break;
    case UI_ON: bar(-1, 0.2f), wedge(-0.5f, 1.1f); break;
    case UI_END: bar(1, 0.2f), wedge(-1.1f, 0.7f); break;
    case UI_UP:
    case UI_DOWN: {
        float tip = icon == UI_UP ? -r : r;
        d->AddTriangleFilled(ImVec2(c.x - r, c.y - 0.7f * tip), ImVec2(c.x + r, c.y - 0.7f * tip),
                             ImVec2(c.x, c.y + 0.8f * tip), ink);
        break;
    }
    case UI_CROSS:
        d->AddLine(ImVec2(c.x - 0.8f * r, c.y - 0.8f * r), ImVec2(c.x + 0.8f * r, c.y + 0.8f * r), ink, 0.35f * r);
        d->AddLine(ImVec2(c.x - 0.8f * r, c.y + 0.8f * r), ImVec2(c.x + 0.8f * r, c.y - 0.8f * r), ink, 0.35f * r);
        break;
    case UI_LOOP:
        d->PathArcTo(c, r, -0.9f, 4.2f, 16);
        d->PathStroke(ink, 0, 0.3f * r);
        d->AddTriangleFilled(ImVec2(c.x + 0.1f * r, c.y - 0.75f * r), ImVec2(c.x + 1.3f * r, c.y - 0.9f * r),
                             ImVec2(c.x + 0.75f * r, c.y + 0.2f * r), ink);
        break;
    }
    return pressed;
}

bool ui_knob(const char *id, float *value, float low, float high, const char *format, float width)
{
    ImGui::SameLine(0, 8 * unit);
    ImGui::SetNextItemWidth(width * unit);
    bool changed = ImGui::SliderFloat(id, value, low, high, format,
                                      ImGuiSliderFlags_AlwaysClamp | ImGuiSliderFlags_Logarithmic);
    place(id);
    say(id, "%.6g", double(*value));
    return changed;
}

bool ui_pick(const char *id, int *value, const char *const *names, const char *const *notes, int count,
             const char *shown, float width)
{
    int before = *value;
    ImGui::SameLine(0, 8 * unit);
    ImGui::SetNextItemWidth(width * unit);
    bool open = ImGui::BeginCombo(id, shown);
    if (!open) {
        place(id);
        say(id, "%s", shown);
        return false;
    }
    for (int i = 0; i < count; i++) {
        if (ImGui::Selectable(names[i], i == before, 0, ImVec2(150 * unit, 0)))
            *value = i;
        place(names[i]);
        ImGui::SameLine(70 * unit);
        ImGui::TextDisabled("%s", notes[i]);
    }
    ImGui::EndCombo();
    return *value != before;
}

bool ui_right(const char *fmt, ...)
{
    char text[160];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    float gap = 10 * unit, right = ImGui::GetWindowContentRegionMax().x;
    float left = right - ImGui::CalcTextSize(text).x;
    ImGui::SameLine(0, gap);
    if (ImGui::GetCursorPosX() > left) {
        ImGui::NewLine();
        return false;
    }
    ImGui::SetCursorPosX(left);
    ImGui::AlignTextToFramePadding();
    ImGui::TextUnformatted(text);
    say("", "%s", text);
    return true;
}

void ui_beside(const char *fmt, ...)
{
    char text[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    ImGui::SameLine(0, 6 * unit);
    ImGui::AlignTextToFramePadding();
    float room = ImGui::GetContentRegionAvail().x;
    ImGui::TextUnformatted(text);
    fits(text, room, text);
}

// A picture as a mesh of coloured points, every `step`-th sample: the backend of 1.86 has no textures
// but the font's.
static void mesh(ImDrawList *d, const ui_thumb *t, ImVec2 a, ImVec2 b, int step, float alpha)
{
    int w = UI_THUMB_WIDTH / step, h = UI_THUMB_HEIGHT / step;
    ImVec2 white = ImGui::GetFontTexUvWhitePixel();
    d->PrimReserve(6 * (w - 1) * (h - 1), w * h);
    ImDrawIdx base = ImDrawIdx(d->_VtxCurrentIdx);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            const uint8_t *c = t->rgba[y * step + step / 2][x * step + step / 2];
            d->PrimWriteVtx(ImVec2(a.x + (b.x - a.x) * float(x) / float(w - 1),
                                   a.y + (b.y - a.y) * float(y) / float(h - 1)),
                            white, IM_COL32(c[0], c[1], c[2], int(255 * alpha)));
        }
    for (int y = 0; y + 1 < h; y++)
        for (int x = 0; x + 1 < w; x++) {
            int i = base + y * w + x, corners[6] = {i, i + 1, i + w + 1, i, i + w + 1, i + w};
            for (int k : corners)
                d->PrimWriteIdx(ImDrawIdx(k));
        }
}

void ui_pictures(const ui_thumb *const *thumbs, int count)
{
    float gap = 3 * unit, width = (ImGui::GetContentRegionAvail().x - gap * float(count - 1)) / float(count);
    float height = width * UI_THUMB_HEIGHT / UI_THUMB_WIDTH;
    ImVec2 at = ImGui::GetCursorScreenPos();
    for (int i = 0; i < count; i++) {
        float x = at.x + float(i) * (width + gap);
        ImVec2 a(x, at.y), b(x + width, at.y + height);
        if (thumbs[i])
            mesh(ImGui::GetWindowDrawList(), thumbs[i], a, b, 1, 1);
        else
            ImGui::GetWindowDrawList()->AddRectFilled(a, b, ImGui::GetColorU32(ImGuiCol_FrameBg));
    }
    ImGui::Dummy(ImVec2(width * float(count), height));
}

int ui_card(const char *id, const ui_thumb *thumb, const char *title, const char *note, bool selected)
{
    float height = 42 * unit, wide = height * UI_THUMB_WIDTH / UI_THUMB_HEIGHT, pad = 3 * unit;
    ImVec2 at = ImGui::GetCursorScreenPos();
    float right = at.x + ImGui::GetContentRegionAvail().x;
    ImGui::PushID(id);
    bool pressed = ImGui::Selectable("##card", selected, 0, ImVec2(0, height + 2 * pad));
    place(id);
    say(id, "%s%s", title, selected ? ", picked" : "");
    ImGui::PopID();
    ImDrawList *d = ImGui::GetWindowDrawList();
    ImVec2 a(at.x + pad, at.y + pad), b(a.x + wide, a.y + height);
    if (thumb && ImGui::IsItemVisible())
        mesh(d, thumb, a, b, 2, 1);
    else
        d->AddRectFilled(a, b, ImGui::GetColorU32(ImGuiCol_FrameBg));
    float x = b.x + 8 * unit, line = ImGui::GetTextLineHeight();
    d->PushClipRect(ImVec2(x, a.y), ImVec2(right, b.y), true);
    d->AddText(ImVec2(x, a.y + 3 * unit), ImGui::GetColorU32(ImGuiCol_Text), title);
    d->AddText(ImVec2(x, a.y + 5 * unit + line), ImGui::GetColorU32(ImGuiCol_TextDisabled), note);
    d->PopClipRect();
    if (ImGui::IsItemHovered() && twice)
        return 2;
    return pressed;
}

void ui_divider(float at, bool grip, const char *left, const char *right)
{
    ImDrawList *d = ImGui::GetBackgroundDrawList();
    ImVec2 size = ImGui::GetIO().DisplaySize;
    float x = at * size.x, middle = size.y / 2, tall = 16 * unit, wide = 4 * unit, y = 12 * unit, gap = 10 * unit;
    ImU32 shade = IM_COL32(0, 0, 0, 150), ink = IM_COL32(255, 255, 255, 230);
    d->AddRectFilled(ImVec2(x - 1.5f * unit, 0), ImVec2(x + 1.5f * unit, size.y), shade);
    d->AddRectFilled(ImVec2(x - 0.5f * unit, 0), ImVec2(x + 0.5f * unit, size.y), ink);
    for (int side = 0; side < 2; side++) {
        const char *name = side ? right : left;
        if (!*name)
            continue;
        ImVec2 text = ImGui::CalcTextSize(name), to(side ? x + gap : x - gap - text.x, y);
        d->AddRectFilled(ImVec2(to.x - wide, to.y - wide / 2), ImVec2(to.x + text.x + wide, to.y + text.y + wide / 2),
                         shade, 3 * unit);
        d->AddText(to, ink, name);
    }
    if (!grip)
        return;
    d->AddRectFilled(ImVec2(x - wide, middle - tall), ImVec2(x + wide, middle + tall), ink, wide);
    if (places_file)
        place_box("window", "##line", ImVec2(x - wide, middle - tall), ImVec2(x + wide, middle + tall));
    float off = ImGui::GetIO().MousePos.x - x;
    if (!ImGui::GetIO().WantCaptureMouse && off * off < 49 * unit * unit)
        ImGui::SetMouseCursor(ImGuiMouseCursor_ResizeEW);
}

static void film(ImDrawList *d, const ui_timeline *t, ImVec2 a, ImVec2 b, float per_frame)
{
    float wide = (b.y - a.y) * UI_THUMB_WIDTH / UI_THUMB_HEIGHT;
    for (size_t i = 0; i < t->thumb_count; i++) {
        float x = a.x + per_frame * float(t->thumbs[i]->frame);
        float next = i + 1 < t->thumb_count ? a.x + per_frame * float(t->thumbs[i + 1]->frame) : b.x;
        d->PushClipRect(ImVec2(x, a.y), ImVec2(next - unit, b.y), true);
        mesh(d, t->thumbs[i], ImVec2(x, a.y), ImVec2(x + wide, b.y), 3, 0.75f);
        d->PopClipRect();
    }
}

static void hover(const ui_timeline *t, ImVec2 a, ImVec2 b, uint32_t frame)
{
    ImVec2 screen = ImGui::GetIO().DisplaySize;
    float w = 160 * unit, h = 90 * unit, x = ImGui::GetIO().MousePos.x, half = w / 2 + 12 * unit;
    x = x > screen.x - half ? screen.x - half : x;
    x = x < half ? half : x;
    const ui_thumb *found = nullptr;
    for (size_t i = 0; i < t->thumb_count && t->thumbs[i]->frame <= frame; i++)
        found = t->thumbs[i];
    ImGui::SetNextWindowPos(ImVec2(x, a.y - 6 * unit), ImGuiCond_Always, ImVec2(0.5f, 1));
    ImGui::BeginTooltip();
    if (found) {
        ImVec2 at = ImGui::GetCursorScreenPos();
        mesh(ImGui::GetWindowDrawList(), found, at, ImVec2(at.x + w, at.y + h), 1, 1);
        ImGui::Dummy(ImVec2(w, h));
    }
    ImGui::Text("%.2f s, frame %u", frame / t->fps, frame);
    ImGui::EndTooltip();
    ImGui::GetWindowDrawList()->AddLine(ImVec2(ImGui::GetIO().MousePos.x, a.y),
                                        ImVec2(ImGui::GetIO().MousePos.x, b.y), IM_COL32(255, 255, 255, 140));
}

bool ui_scrub(const ui_timeline *t, uint32_t *to)
{
    static const ImU32 colours[] = {IM_COL32(150, 160, 170, 160), IM_COL32(90, 190, 245, 255),
                                    IM_COL32(235, 80, 70, 150)};
    float width = ImGui::GetContentRegionAvail().x, height = 38 * unit, foot = 4 * unit;
    ImVec2 a = ImGui::GetCursorScreenPos(), b(a.x + width, a.y + height);
    ImGui::InvisibleButton("##timeline", ImVec2(width, height));
    place("##timeline");
    ImDrawList *d = ImGui::GetWindowDrawList();
    float per_frame = width / float(t->frames);
    auto x_of = [&](double frame) { return a.x + per_frame * float(frame); };
    d->AddRectFilled(a, b, ImGui::GetColorU32(ImGuiCol_FrameBg), 3 * unit);
    film(d, t, a, ImVec2(b.x, b.y - foot - unit), per_frame);
    for (size_t i = 0; i < t->span_count; i++) {
        const ui_span &s = t->spans[i];
        d->AddRectFilled(ImVec2(x_of(s.from), s.kind == UI_DAMAGED ? a.y : b.y - foot),
                         ImVec2(x_of(s.to), b.y), colours[s.kind]);
    }
    if (float(t->tick_count) * 4 * unit < width)
        for (size_t i = 1; i < t->tick_count; i++)
            d->AddLine(ImVec2(x_of(t->ticks[i]), b.y - 2.5f * foot), ImVec2(x_of(t->ticks[i]), b.y - foot),
                       IM_COL32(255, 255, 255, 110));
    float x = x_of(t->at + 0.5);
    d->AddRectFilled(ImVec2(x - 2 * unit, a.y), ImVec2(x + 2 * unit, b.y), IM_COL32(0, 0, 0, 150));
    d->AddRectFilled(ImVec2(x - unit, a.y), ImVec2(x + unit, b.y), IM_COL32(255, 255, 255, 255));
    float under = (ImGui::GetIO().MousePos.x - a.x) / per_frame;
    uint32_t frame = under > 0 ? uint32_t(under) : 0;
    frame = frame < t->frames ? frame : t->frames - 1;
    bool held = ImGui::IsItemActive();
    if (held || ImGui::IsItemHovered())
        hover(t, a, b, frame);
    *to = frame;
    return held;
}

static const ImU32 inks[] = {IM_COL32(240, 110, 90, 255), IM_COL32(120, 210, 110, 255), IM_COL32(100, 170, 250, 255)};

static void curves(ImDrawList *d, const ui_axis *a, ImVec2 from, ImVec2 to)
{
    float low = FLT_MAX, high = -FLT_MAX;
    for (int c = 0; c < a->curve_count; c++)
        for (int i = 0; i < a->samples; i++) {
            low = a->curves[c].y[i] < low ? a->curves[c].y[i] : low;
            high = a->curves[c].y[i] > high ? a->curves[c].y[i] : high;
        }
    float least = 1e-3f + 1e-3f * (high > -low ? high : -low); // what hardly changes is a line in the middle
    float middle = (low + high) / 2, half = high - low > least ? (high - low) / 2 : least;
    float x = from.x + 6 * unit;
    for (int c = 0; c < a->curve_count; c++) {
        const float *y = a->curves[c].y;
        for (int i = 0; i < a->samples; i++)
            d->PathLineTo(ImVec2(from.x + (to.x - from.x) * float(i) / float(a->samples - 1),
                                 (from.y + to.y) / 2 - (y[i] - middle) / half * 0.42f * (to.y - from.y)));
        d->PathStroke(inks[c % 3], 0, 1.6f * unit);
        double s = a->seconds > 0 ? a->at / a->seconds * (a->samples - 1) : 0;
        int i = s < 0 ? 0 : s > a->samples - 1 ? a->samples - 1 : int(s + 0.5);
        char text[64];
        snprintf(text, sizeof text, "%s %.4g%s", a->curves[c].name, double(y[i]), a->unit);
        ImVec2 size = ImGui::CalcTextSize(text);
        d->AddRectFilled(ImVec2(x - 3 * unit, from.y + 2 * unit), ImVec2(x + size.x + 3 * unit, from.y + 4 * unit + size.y),
                         IM_COL32(20, 22, 26, 190), 3 * unit);
        d->AddText(ImVec2(x, from.y + 3 * unit), inks[c % 3], text);
        x += size.x + 12 * unit;
    }
}

static void seconds_marks(ImDrawList *d, const ui_axis *a, ImVec2 from, ImVec2 to, float per_second)
{
    double step = 0.1;
    for (int k = 0; step * per_second < 56 * unit; k++)
        step *= k % 3 == 1 ? 2.5 : 2; // 0.1, 0.2, 0.5, 1 ...
    for (int k = 0; k * step <= a->seconds; k++) {
        char text[32];
        float x = from.x + float(k * step) * per_second;
        snprintf(text, sizeof text, "%.3g s", k * step);
        d->AddLine(ImVec2(x, from.y), ImVec2(x, to.y), IM_COL32(255, 255, 255, 22));
        d->AddText(ImVec2(x + 3 * unit, to.y - ImGui::GetTextLineHeight()), IM_COL32(255, 255, 255, 110), text);
    }
}

bool ui_keys(const ui_axis *a, float height, ui_hold *out)
{
    static int held = -1;
    static double grip; // from where it was taken hold of to the key
    float width = ImGui::GetContentRegionAvail().x, strip = 20 * unit, r = 6 * unit;
    ImVec2 from = ImGui::GetCursorScreenPos(), to(from.x + width, from.y + height * unit);
    ImGui::InvisibleButton("##axis", ImVec2(width, height * unit));
    place("##axis");
    float per_second = width / float(a->seconds > 0 ? a->seconds : 1);
    double under = (ImGui::GetIO().MousePos.x - from.x) / per_second;
    ImDrawList *d = ImGui::GetWindowDrawList();
    d->AddRectFilled(from, to, ImGui::GetColorU32(ImGuiCol_FrameBg), 3 * unit);
    d->AddRectFilled(from, ImVec2(to.x, from.y + strip), ImGui::GetColorU32(ImGuiCol_FrameBg), 3 * unit);
    d->PushClipRect(from, to, true);
    seconds_marks(d, a, ImVec2(from.x, from.y + strip), to, per_second);
    curves(d, a, ImVec2(from.x, from.y + strip), to);
    if (ImGui::IsItemActivated())
        held = -1;
    for (size_t i = 0; i < a->key_count; i++) {
        ImVec2 c(from.x + float(a->keys[i]) * per_second, from.y + strip / 2), mouse = ImGui::GetIO().MousePos;
        bool hit = mouse.y < from.y + strip && mouse.x > c.x - r && mouse.x < c.x + r;
        if (ImGui::IsItemActivated() && hit) {
            held = int(i);
            grip = a->keys[i] - under;
        }
        bool at = a->keys[i] - a->at < 5e-4 && a->at - a->keys[i] < 5e-4;
        ImU32 ink = at ? ImGui::GetColorU32(ImGuiCol_SliderGrab)
                       : ImGui::IsItemHovered() && hit ? IM_COL32(255, 255, 255, 255) : IM_COL32(200, 205, 210, 255);
        d->AddLine(ImVec2(c.x, from.y + strip), ImVec2(c.x, to.y), IM_COL32(255, 255, 255, 45));
        d->AddNgonFilled(c, r, ink, 4);
        char name[24];
        snprintf(name, sizeof name, "##key%d", int(i));
        if (places_file)
            place_box(panel_name, name, ImVec2(c.x - r, c.y - r), ImVec2(c.x + r, c.y + r));
    }
    float x = from.x + float(a->at) * per_second;
    d->AddRectFilled(ImVec2(x - unit, from.y), ImVec2(x + unit, to.y), IM_COL32(255, 255, 255, 220));
    d->PopClipRect();
    if (!ImGui::IsItemActive())
        return false;
    double time = under + (held >= 0 ? grip : 0);
    *out = ui_hold{held, time < 0 ? 0 : time > a->seconds ? a->seconds : time,
                   ImGui::IsMouseDragging(ImGuiMouseButton_Left, 3 * unit)};
    return true;
}

const char *ui_version(void)
{
    return IMGUI_VERSION;
}

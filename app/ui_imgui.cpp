// ui.h on Dear ImGui 1.86 with its GLFW and Vulkan backends. Looks only: no state of the
// viewer's, no decisions.
#include "app/ui.h"

#include <backends/imgui_impl_glfw.h>
#include <backends/imgui_impl_vulkan.h>
#include <cfloat>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <imgui.h>

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

void ui_begin(ui *)
{
    ImGui_ImplVulkan_NewFrame();
    ImGui_ImplGlfw_NewFrame();
    ImGui::NewFrame();
}

VkResult ui_draw(ui *, VkCommandBuffer cb)
{
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
    return ImGui::Begin(title, open, flags);
}

void ui_panel_end(void)
{
    ImGui::End();
}

bool ui_section(const char *title, bool open_at_first)
{
    return ImGui::CollapsingHeader(title, open_at_first ? ImGuiTreeNodeFlags_DefaultOpen : 0);
}

#define TEXT(fmt)                                                                                  \
    va_list ap;                                                                                    \
    va_start(ap, fmt);                                                                             \
    wrap ? ImGui::TextWrappedV(fmt, ap) : ImGui::TextV(fmt, ap);                                   \
    va_end(ap)

void ui_text(const char *fmt, ...)
{
    TEXT(fmt);
}

void ui_note(const char *fmt, ...)
{
    ImGui::PushStyleColor(ImGuiCol_Text, ImGui::GetStyle().Colors[ImGuiCol_TextDisabled]);
    TEXT(fmt);
    ImGui::PopStyleColor();
}

void ui_row(const char *label, const char *fmt, ...)
{
    ImGui::TextDisabled("%s", label);
    ImGui::SameLine(ImGui::GetWindowWidth() * 0.33f);
    TEXT(fmt);
}

// The label at the left; returns the id of the widget that follows it, as wide as there is room.
static const char *field(const char *label)
{
    static char id[64];
    snprintf(id, sizeof id, "##%s", label);
    ImGui::AlignTextToFramePadding();
    ImGui::TextDisabled("%s", label);
    ImGui::SameLine(ImGui::GetWindowWidth() * 0.33f);
    ImGui::SetNextItemWidth(-FLT_MIN);
    return id;
}

void ui_progress(float fraction, const char *text)
{
    ImGui::ProgressBar(fraction, ImVec2(-FLT_MIN, 0), text);
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
    return ImGui::Button(label, ImVec2(width, 0));
}

bool ui_checkbox(const char *label, bool *value)
{
    return ImGui::Checkbox(field(label), value);
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
        ImGui::PopStyleColor();
    }
    ImGui::PopStyleVar();
    ImGui::PopID();
    return *value != before;
}

bool ui_sliders(const char *label, float *values, int n, float low, float high, const char *format,
                bool logarithmic)
{
    return ImGui::SliderScalarN(field(label), ImGuiDataType_Float, values, n, &low, &high, format,
                                ImGuiSliderFlags_AlwaysClamp |
                                    (logarithmic ? ImGuiSliderFlags_Logarithmic : 0));
}

bool ui_colour(const char *label, float rgb[3])
{
    return ImGui::ColorEdit3(field(label), rgb, ImGuiColorEditFlags_NoInputs);
}

bool ui_number(const char *label, double *value, const char *format)
{
    ImGui::InputDouble(field(label), value, 0, 0, format);
    return ImGui::IsItemDeactivatedAfterEdit();
}

bool ui_input(const char *label, char *text, size_t size)
{
    return ImGui::InputText(field(label), text, size, ImGuiInputTextFlags_AutoSelectAll);
}

bool ui_line(const char *text, bool selected)
{
    return ImGui::Selectable(text, selected);
}

bool ui_list(const char *id, int *selected, bool (*name)(void *, int, const char **), void *ud,
             int count, int lines)
{
    ImGui::SetNextItemWidth(-FLT_MIN);
    return ImGui::ListBox(id, selected, name, ud, count, lines);
}

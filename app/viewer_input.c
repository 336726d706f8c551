/* Keys and mouse of the viewer; the table of keys at the top is also the help sheet. */
#include "app/viewer.h"

#include <math.h>
#include <string.h>

const char *const viewer_help[][2] = {
    {"Left drag", "turn around the pivot, or look around when flying"},
    {"Right or middle drag", "move sideways (also Shift + left drag)"},
    {"Scroll", "nearer and farther; flying speed"},
    {"Double click", "turn around that point from now on"},
    {"W A S D, Q E", "move forward, left, back, right, down, up"},
    {"Shift", "with these: four times as fast"},
    {"M", "next way of moving: orbit, turntable, fly"},
    {"F", "frame the scene"},
    {"R", "reset the view"},
    {"1 to 9", "go to a camera"},
    {"[ and ]", "previous and next camera"},
    {"B", "bookmark the view"},
    {"K", "add the view to the camera path"},
    {"P", "play or pause the path"},
    {"N", "the path's keys and curves over time"},
    {"Ctrl + Z, Ctrl + Y", "undo an edit of the path, do it again"},
    {"Space", "play or pause the stream, or else the path"},
    {"Left, Right or , .", "one frame of the stream back, on"},
    {"Home, End", "first and last frame of the stream"},
    {"- and =", "half and twice the speed of the stream"},
    {"L", "play the stream once or again and again"},
    {"G", "make a clip of a sentence"},
    {"T", "two files: a line between, halves, the difference"},
    {"X", "two files: exchange their sides"},
    {"Y", "two eyes side by side"},
    {"V", "next of colour, alpha, depth"},
    {"C", "next of file's mode, classic, antialiased"},
    {"Tab", "hide and show the panels"},
    {"F11", "full screen"},
    {"F12", "save the picture as PNG"},
    {"H or F1", "this help"},
    {"Esc", "close what is open; leave full screen"},
    {"Ctrl + Q", "quit"},
    {NULL, NULL},
};

static const double pi = 3.14159265358979323846;

static void escape(struct viewer *v)
{
    if (v->error[0])
        v->error[0] = 0;
    else if (v->help)
        v->help = false;
    else if (v->studio.player)
        viewer_close_clip(v);
    else if (v->window->fullscreen)
        window_toggle_fullscreen(v->window);
}

/* True if the key is one of streams. What is known of the stream is as of this round: one that comes twice in it
 * has to go on from what it did. */
static bool stream_key(struct viewer *v, int key)
{
    struct viewer_stream stream = viewer_stream(v);
    struct play_state *s = stream.now;
    if (!stream.file)
        return false;
    struct play *p = stream.file->play;
    switch (key) {
    case KEY_SPACE:
        play_set_playing(p, s->playing = !s->playing);
        break;
    case KEY_LEFT:
    case KEY_COMMA:
        play_step(p, -1);
        break;
    case KEY_RIGHT:
    case KEY_PERIOD:
        play_step(p, 1);
        break;
    case KEY_HOME:
        play_seek(p, 0);
        break;
    case KEY_END:
        play_seek(p, s->frame_count - 1);
        break;
    case KEY_MINUS:
        play_set_speed(p, s->speed = fmax(s->speed / 2, PLAY_SLOWEST));
        break;
    case KEY_EQUAL:
        play_set_speed(p, s->speed = fmin(s->speed * 2, PLAY_FASTEST));
        break;
    case 'L':
        play_set_loop(p, s->loop = !s->loop);
        break;
    default:
        return false;
    }
    return true;
}

static void scene_key(struct viewer *v, int key)
{
    if (stream_key(v, key))
        return;
    switch (key) {
    case 'M':
        v->control.mode = (v->control.mode + 1) % 3;
        break;
    case 'F':
        viewer_frame_scene(v);
        break;
    case 'R':
        viewer_reset(v);
        break;
    case KEY_LEFT_BRACKET:
    case KEY_RIGHT_BRACKET:
        viewer_jump(v, v->camera + (key == KEY_RIGHT_BRACKET ? 1 : v->camera < 0 ? 0 : -1));
        break;
    case 'B':
        viewer_bookmark(v);
        break;
    case 'K':
        viewer_add_key(v);
        break;
    case 'N':
        v->curves = !v->curves;
        v->panels = v->panels || v->curves;
        break;
    case KEY_SPACE:
    case 'P':
        viewer_path_play(v);
        break;
    case 'T':
        if (v->other.scene)
            v->other.split = (v->other.split + 1) % 3;
        else
            viewer_notice(v, "There is no second file: Comparison in the Scene panel opens one.");
        break;
    case 'X':
        v->other.swapped = v->other.scene && !v->other.swapped;
        break;
    case 'Y':
        v->stereo = !v->stereo;
        if (v->stereo && v->other.scene)
            viewer_notice(v, "Two eyes when nothing is compared any more.");
        break;
    case 'V':
        v->kind = (v->kind + 1) % 3;
        break;
    case 'C':
        v->mode = (v->mode + 1) % 3;
        break;
    case KEY_F12:
        viewer_shoot(v);
        break;
    default:
        if (key >= '1' && key <= '9' && (size_t)(key - '1') < v->scene->cameras.count)
            viewer_jump(v, key - '1');
    }
}

/* A clip is shown: what moves it, and nothing that would move the scene behind it. */
static void clip_key(struct viewer *v, int key)
{
    struct clip_player *p = v->studio.player;
    const struct clip_player_state *s = &v->studio.playing;
    switch (key) {
    case KEY_SPACE:
        clip_player_set_playing(p, !s->playing);
        break;
    case KEY_LEFT:
    case KEY_COMMA:
        clip_player_step(p, -1);
        break;
    case KEY_RIGHT:
    case KEY_PERIOD:
        clip_player_step(p, 1);
        break;
    case KEY_HOME:
    case KEY_END:
        clip_player_set_playing(p, false);
        clip_player_seek(p, key == KEY_HOME || !s->frames ? 0 : s->frames - 1);
        break;
    }
}

static void press(struct viewer *v, int key, bool control, bool shift)
{
    if (control) {
        if (key == 'Q')
            window_close(v->window);
        else if ((key == 'Z' || key == 'Y') && v->scene && !v->studio.player)
            viewer_path_undo(v, key == 'Y' || shift);
        return;
    }
    switch (key) {
    case KEY_F1:
    case 'H':
        v->help = !v->help;
        break;
    case KEY_ESCAPE:
        escape(v);
        break;
    case 'G':
        v->tab = v->tab == TAB_GENERATE ? TAB_CAMERA : TAB_GENERATE;
        v->panels = v->panels || v->tab == TAB_GENERATE;
        break;
    case KEY_TAB:
        v->panels = !v->panels;
        break;
    case KEY_F11:
        window_toggle_fullscreen(v->window);
        break;
    default:
        if (v->studio.player)
            clip_key(v, key);
        else if (v->scene)
            scene_key(v, key);
    }
}

static int axis(const struct viewer *v, int positive, int negative)
{
    return window_key_held(v->window, positive) - window_key_held(v->window, negative);
}

bool viewer_moving(const struct viewer *v)
{
    bool mouse, keys;
    if (!v->window || !v->ui || !v->scene || v->studio.player)
        return false;
    ui_wants(&mouse, &keys);
    return !keys && !v->window->input.control &&
           (axis(v, 'D', 'A') || axis(v, 'E', 'Q') || axis(v, 'W', 'S'));
}

static void move(struct viewer *v, double dt)
{
    const struct window_input *in = &v->window->input;
    double pace = in->shift ? 4 : 1;
    v->playing = false;
    camera_control_move(&v->control, axis(v, 'D', 'A'), axis(v, 'E', 'Q'), axis(v, 'W', 'S'),
                        pace * fmin(dt, 0.1));
}

/* Where nothing solid is at (x, y), the point of its ray nearest the scene's centre. */
static void point_of_ray(const struct viewer *v, const struct gs_camera *c, const double at[2],
                         double point[3])
{
    double eye[3], ray[3], along = 0, length = 0;
    double seen[3] = {(at[0] - c->cx) / c->fx, (at[1] - c->cy) / c->fy, 1};
    gs_camera_centre(c, eye);
    for (int i = 0; i < 3; i++) {
        ray[i] = c->view[i] * seen[0] + c->view[4 + i] * seen[1] + c->view[8 + i] * seen[2];
        along += ray[i] * (v->control.centre[i] - eye[i]);
        length += ray[i] * ray[i];
    }
    along = fmax(along / length, 0.05 * v->control.radius);
    for (int i = 0; i < 3; i++)
        point[i] = eye[i] + along * ray[i];
}

void viewer_picked(struct viewer *v, const struct render_news *news)
{
    double point[3];
    const struct loaded *b = v->other.scene;
    if (!v->scene || !(picture_of(&news->pick, v->scene) || (b && picture_of(&news->pick, b))))
        return; /* another scene has taken its place */
    memcpy(point, news->point, sizeof point);
    if (!news->hit)
        point_of_ray(v, &news->pick.camera, news->pick_at, point);
    camera_control_pivot(&v->control, point);
    if (v->control.mode == CAMERA_FLY)
        v->control.mode = CAMERA_TURNTABLE;
    viewer_notice(v, news->hit ? "Turning around this point."
                               : "Turning around the middle of this view.");
}

static void drag(struct viewer *v)
{
    const struct window_input *in = &v->window->input;
    double dx = in->dragged[0], dy = in->dragged[1];
    if (!dx && !dy)
        return;
    struct gs_camera c = viewer_camera(v);
    v->playing = false;
    if (v->drag != BUTTON_LEFT || in->shift) {
        camera_control_pan(&v->control, dx, dy, c.fy);
    } else {
        double turn = v->control.mode == CAMERA_FLY ? 1 / c.fy : pi / v->height;
        camera_control_rotate(&v->control, dx * turn, dy * turn);
    }
}

static void mouse(struct viewer *v, bool taken)
{
    const struct window_input *in = &v->window->input;
    if (viewer_drag_line(v, taken))
        return;
    if (!taken && in->double_click && v->gpu)
        viewer_pick(v, in->mouse[0], in->mouse[1]);
    if (!v->drag && !taken && in->pressed)
        v->drag = in->pressed & BUTTON_LEFT    ? BUTTON_LEFT
                  : in->pressed & BUTTON_RIGHT ? BUTTON_RIGHT
                                               : BUTTON_MIDDLE;
    if (v->drag)
        drag(v);
    if (!(in->buttons & v->drag))
        v->drag = 0;
    if (!taken && in->scroll) {
        v->playing = false;
        camera_control_zoom(&v->control, in->scroll);
    }
}

void viewer_input(struct viewer *v, double dt)
{
    const struct window_input *in = &v->window->input;
    bool taken, typing;
    ui_wants(&taken, &typing);
    if (in->double_click)
        ui_pressed_twice();
    for (int up = 0; up < 2; up++)
        if (in->went[up])
            ui_clicked(up, in->went_at[up][0], in->went_at[up][1]);
    if (in->dropped)
        viewer_drop(v, in->dropped);
    for (int i = 0; i < in->key_count; i++) {
        ui_press(in->keys[i].code);
        if (typing && !in->keys[i].control)
            continue;
        press(v, in->keys[i].code, in->keys[i].control, in->keys[i].shift);
    }
    if (!v->scene || v->studio.player)
        return;
    mouse(v, taken);
    if (viewer_moving(v))
        move(v, dt);
}

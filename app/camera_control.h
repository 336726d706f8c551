/* Camera controls of the viewer: orbit, turntable and fly, as plain maths on a pose.
 *
 * The pose is an eye and a world->camera rotation (rows right, down, forward: OpenCV axes, as in
 * gs/gs.h). Turning keeps one point of the world where it is in the picture: the pivot when
 * orbiting, the eye when flying. So picking another pivot never makes the picture jump.
 *
 *     struct camera_control c;
 *     camera_control_init(&c, centre, radius, up);
 *     camera_control_set(&c, &camera);                  // start from a given camera
 *     camera_control_rotate(&c, dx * pi / h, dy * pi / h);
 *     camera_control_get(&c, &camera);                  // writes camera.view
 */
#ifndef APP_CAMERA_CONTROL_H
#define APP_CAMERA_CONTROL_H

#include "gs/gs.h"

enum camera_mode {
    CAMERA_ORBIT,     /* free turning around the pivot, any roll */
    CAMERA_TURNTABLE, /* around the pivot, the world's up stays up */
    CAMERA_FLY,       /* looking around from the eye, the world's up stays up */
};

struct camera_control {
    enum camera_mode mode;
    double rotation[9]; /* world->camera, row-major */
    double eye[3], pivot[3];
    double up[3];             /* unit */
    double centre[3], radius; /* of the scene; radius > 0 */
    double speed;             /* of moving, in scene radii a second */
};

/* Looks at centre from 2.5 radii, along +z. up is normalised; a zero one becomes -y. */
void camera_control_init(struct camera_control *c, const double centre[3], double radius,
                         const double up[3]);
/* Takes the camera's pose; the pivot becomes the point of its axis nearest the scene's centre. */
void camera_control_set(struct camera_control *c, const struct gs_camera *camera);
/* Writes camera->view. */
void camera_control_get(const struct camera_control *c, struct gs_camera *camera);

/* Mouse drag right and down, in radians. What is nearer than the pivot follows the mouse; when
 * flying the view turns towards it. */
void camera_control_rotate(struct camera_control *c, double right, double down);
/* Moves eye and pivot so that the pivot's plane follows a drag of (right, down) pixels. */
void camera_control_pan(struct camera_control *c, double right, double down, double focal_pixels);
/* Scroll steps: positive nears the pivot (which stays in place in the picture); when flying it
 * raises the speed. */
void camera_control_zoom(struct camera_control *c, double steps);
/* Moves along the camera's axes (each about -1..1) for some seconds at the current speed. */
void camera_control_move(struct camera_control *c, double right, double up, double forward,
                         double seconds);
/* The point to turn around from now on; the view is unchanged. */
void camera_control_pivot(struct camera_control *c, const double point[3]);
/* Backs off along the viewing direction until a sphere fits half_fov (radians, of the narrower
 * side); the pivot becomes its centre. */
void camera_control_frame(struct camera_control *c, const double centre[3], double radius,
                          double half_fov);

#endif

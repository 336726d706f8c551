/* Growing arrays (array.h). */
#include "vk/base/array.h"
#include "vk/base/err.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int fv_grow(void *list, size_t *room, size_t count, size_t size)
{
    void *array;
    if (count < *room)
        return 0;
    size_t more = *room ? 2 * *room : 32;
    memcpy(&array, list, sizeof array);
    if (more > SIZE_MAX / 2 / size || !(array = realloc(array, more * size)))
        return fv_fail(FV_ENOMEM, "out of memory");
    memcpy(list, &array, sizeof array);
    *room = more;
    return 0;
}

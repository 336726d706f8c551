/* Growing arrays (array.h). */
#include "vk/base/array.h"
#include "vk/base/err.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
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

void *fv_alloc_large(size_t size)
{
    enum { PAGE = 2 << 20 };
    void *p;
    if (size < 2 * PAGE)
        return malloc(size ? size : 1);
    if (posix_memalign(&p, PAGE, size))
        return NULL;
    (void)madvise(p, size, MADV_HUGEPAGE); /* if not, they are small ones */
    return p;
}

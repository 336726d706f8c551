/* Room for one more element at the end of a malloc'd array; large arrays.
 *
 *     struct item *list = NULL;
 *     size_t count = 0, room = 0;
 *     FV_TRY(fv_grow(&list, &room, count, sizeof *list));
 *     list[count++] = item;
 *     ...
 *     free(list);
 */
#ifndef FV_ARRAY_H
#define FV_ARRAY_H

#include <stddef.h>

/* list: address of the array's pointer. When count has reached *room, reallocates to twice as
 * many elements of size bytes. Returns 0, or FV_ENOMEM with array and room as they were. */
int fv_grow(void *list, size_t *room, size_t count, size_t size);

/* Memory for an array that is written from end to end soon, not zeroed: free() it. Large ones ask for
 * large pages, whose first use costs a tenth. NULL without memory. */
void *fv_alloc_large(size_t size);

#endif

/* Small printing helpers of the commands: amounts, JSON documents. */
#ifndef TEXT_H
#define TEXT_H

#include <stdint.h>

struct cJSON;

/* "1.25 GB", "640 kB" (decimal), "12 bytes". out has room for 32 characters. */
void bytes_text(char out[32], uint64_t bytes);
/* "12,345,678". out has room for 32 characters. */
void count_text(char out[32], uint64_t count);
/* Prints a document to standard output with a line feed, and deletes it. */
void print_cjson(struct cJSON *doc);
/* Writes it to a file, - being standard output, with a line feed; deletes it. Returns 0, FV_ENOMEM, FV_EIO. */
int write_cjson(struct cJSON *doc, const char *path);

#endif

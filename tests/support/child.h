/* The real binary as a process of its own, to be interrupted while it works. */
#ifndef TEST_CHILD_H
#define TEST_CHILD_H

#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

struct test_child {
    pid_t pid;
    FILE *err; /* its standard error; standard output is dropped */
    int signal; /* that interrupts it: SIGINT, as Ctrl-C, unless this is changed */
};

/* argv[0] is "fovea"; give --progress json, which test_interrupt reads. */
struct test_child test_child_start(char *const *argv);
/* Interrupts it once `what` has come as far as `done`, and waits. Gives the last line that
 * is no progress and the exit status, or minus the signal's number. */
int test_interrupt(struct test_child *c, const char *what, double done, char *last, size_t size);
/* The same, of the next `what` after `first` has been seen. */
int test_interrupt_after(struct test_child *c, const char *first, const char *what, double done, char *last,
                         size_t size);

#endif

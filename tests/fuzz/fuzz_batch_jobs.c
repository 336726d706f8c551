/* Any bytes as a job file: JSON lines, or CSV where the size is odd. */
#include "fuzz.h"
#include "app/batch_jobs.h"
#include "app/batch_stage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct batch_jobs b;
    size_t bad = 0;
    int rc = batch_jobs_parse(&b, (const char *)data, size, "fuzz", size & 1);
    fuzz_check(rc == 0 ? b.count > 0 : *fv_error());
    for (size_t i = 0; rc == 0 && i < b.count; i++) {
        const struct batch_job *j = &b.items[i];
        bad += !j->cmd;
        if (!j->cmd)
            continue;
        fuzz_check(j->name && j->settings && j->args.count >= j->cmd->least_args && !j->cmd->alone);
        for (size_t k = 0; k < j->need_count; k++)
            fuzz_check(j->needs[k] < i && b.items[j->needs[k]].part == j->part);
        char *line = batch_command_line(j);
        fuzz_check(line);
        free(line);
    }
    fuzz_check(rc < 0 || (bad == b.bad && (b.error_count > 0) == (bad > 0)));
    batch_jobs_finish(&b);
    return 0;
}

/* maskmill queue build | export | import | status */
#include "queue.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    mm_cli_command *run;
} commands[] = {
    {"build", mm_cli_queue_build},
    {"export", mm_cli_queue_export},
    {"import", mm_cli_queue_import},
    {"status", mm_cli_queue_status},
};

error_t mm_cli_queue_number(struct argp_state *state, const char *option, const char *word, uint64_t least,
                            uint64_t most, uint64_t *number)
{
    char *end = NULL;
    errno = 0;
    *number = *word >= '0' && *word <= '9' ? strtoull(word, &end, 10) : 0;
    if (!end || *end || errno || *number < least || *number > most)
        return mm_cli_refuse(state, "%s %.40s: give a whole number from %" PRIu64 " to %" PRIu64, option, word, least,
                             most);
    return 0;
}

mm_status mm_cli_queue(int argc, char **argv, int *exit_status, mm_error *err)
{
    const char *what = argc > 2 ? argv[2] : "";
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(what, commands[i].name) == 0)
            return commands[i].run(argc, argv, exit_status, err);
    if (!mm_cli_first_rank())
        return MM_OK;
    if (strcmp(what, "--help") == 0 || strcmp(what, "-h") == 0) {
        printf("Usage: maskmill queue build DATASET -o QUEUE [--batch N]\n"
               "       maskmill queue export QUEUE --format coco|labelstudio -o FOLDER [--batch K|A-B] [--images]\n"
               "       maskmill queue import QUEUE ANSWERS... -o NEW [--annotator NAME]\n"
               "       maskmill queue status QUEUE [ANSWERS or NEW...]\n");
        return MM_OK;
    }
    return mm_fail(err, MM_ERR_USAGE, "queue: needs build, export, import or status; see `maskmill queue --help`");
}

#include "arguments.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* argp's own messages are two lines and end the process, and it prints no help when they are off: so --help is found
 * here, and what was wrong is said here. */
enum { FLAGS = ARGP_NO_ERRS | ARGP_NO_EXIT | ARGP_NO_HELP };

error_t mm_cli_refuse(struct argp_state *state, const char *format, ...)
{
    const mm_cli_input *input = state->input;
    va_list arguments;
    va_start(arguments, format);
    char text[MM_ERROR_TEXT];
    if (vsnprintf(text, sizeof text, format, arguments) < 0)
        text[0] = '\0';
    va_end(arguments);
    (void)mm_fail(input->err, MM_ERR_USAGE, "%s: %s; see `maskmill %s --help`", input->command, text, input->command);
    return EINVAL;
}

/* Stands around the command's own parser. */
static error_t parse_whole(int key, char *word, struct argp_state *state)
{
    (void)word;
    const mm_cli_input *input = state->input;
    if (key == ARGP_KEY_INIT) {
        state->child_inputs[0] = state->input;
        return 0;
    }
    if (key == ARGP_KEY_ERROR && input->err->status == MM_OK) { /* getopt's doing */
        const int at = state->next > 1 && state->argv[state->next - 1][0] == '-' ? state->next - 1 : state->next;
        (void)mm_cli_refuse(state, "option %.80s is unknown, or lacks its value or has one too many",
                            at < state->argc ? state->argv[at] : "");
        return 0;
    }
    return ARGP_ERR_UNKNOWN;
}

static bool wants_help(int argc, char **argv, int skip)
{
    for (int i = skip + 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "-?") == 0)
            return true;
    return false;
}

mm_status mm_cli_parse(const struct argp *argp, const char *name, int skip, int argc, char **argv, mm_cli_input *input,
                       bool *help, mm_error *err)
{
    *input = (mm_cli_input){.command = name, .err = err};
    err->status = MM_OK;
    *help = wants_help(argc, argv, skip);
    if (*help) {
        char program[80];
        (void)snprintf(program, sizeof program, "maskmill %s", name);
        argp_help(argp, stdout, ARGP_HELP_SHORT_USAGE | ARGP_HELP_LONG | ARGP_HELP_DOC, program);
        return MM_OK;
    }
    const struct argp_child children[] = {{argp, 0, NULL, 0}, {0}};
    const struct argp whole = {.parser = parse_whole, .children = children};
    const error_t failed = argp_parse(&whole, argc - skip, argv + skip, FLAGS, NULL, input);
    if (err->status != MM_OK)
        return err->status;
    if (failed == ENOMEM)
        return mm_fail_memory(err, "the command line");
    return failed ? mm_fail(err, MM_ERR_USAGE, "%s: wrong usage; see `maskmill %s --help`", name, name) : MM_OK;
}

error_t mm_cli_keep_once(struct argp_state *state, const char **slot, char *word)
{
    if (*slot)
        return mm_cli_refuse(state, "\"%.80s\" is one too many, after \"%.80s\"", word, *slot);
    *slot = word;
    return 0;
}

error_t mm_cli_positional(int key, char *word, struct argp_state *state, const char **slots, size_t count,
                          const char *what)
{
    if (key == ARGP_KEY_END)
        return state->arg_num < count ? mm_cli_refuse(state, "needs %s", what) : 0;
    if (key != ARGP_KEY_ARG)
        return ARGP_ERR_UNKNOWN;
    if (state->arg_num >= count)
        return mm_cli_refuse(state, "\"%.80s\" is one too many; it needs %s", word, what);
    slots[state->arg_num] = word;
    return 0;
}

error_t mm_cli_corpus(int key, struct argp_state *state, const char ***sources, size_t *count)
{
    switch (key) {
    case ARGP_KEY_ARGS:
        *sources = (const char **)(state->argv + state->next);
        *count = (size_t)(state->argc - state->next);
        return 0;
    case ARGP_KEY_END:
        if (*count == 0)
            return mm_cli_refuse(state, "needs a corpus: a folder, a .tar, a list of paths, or a manifest");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

bool mm_cli_numbers(const char *text, double *numbers, size_t least, size_t most, size_t *count)
{
    size_t found = 0;
    if (strspn(text, "0123456789+-.eE,") != strlen(text)) /* strtod would also take hexadecimal, nan and spaces */
        return false;
    for (;;) {
        char *end = NULL;
        if (found == most)
            return false;
        numbers[found] = strtod(text, &end);
        if (end == text || !isfinite(numbers[found]))
            return false;
        found++;
        if (*end == '\0')
            break;
        if (*end != ',')
            return false;
        text = end + 1;
    }
    *count = found;
    return found >= least;
}

error_t mm_cli_number(struct argp_state *state, const char *name, const char *word, double least, double most,
                      double *to)
{
    size_t count;
    if (!mm_cli_numbers(word, to, 1, 1, &count) || !(*to >= least && *to <= most))
        return mm_cli_refuse(state, "--%s %.40s: give a number from %g to %g", name, word, least, most);
    return 0;
}

error_t mm_cli_whole(struct argp_state *state, const char *name, const char *word, double least, double most,
                     uint32_t *to)
{
    double value;
    size_t count;
    if (!mm_cli_numbers(word, &value, 1, 1, &count) || !(value >= least && value <= most) || value != (uint32_t)value)
        return mm_cli_refuse(state, "--%s %.40s: give a whole number from %.0f to %.0f", name, word, least, most);
    *to = (uint32_t)value;
    return 0;
}

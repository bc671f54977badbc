/* A text file with one path a line. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "corpus/scan.h"

static mm_status add_line(mm_scan *scan, size_t source, char *line, mm_error *err)
{
    while (line[0] == '.' && line[1] == '/')
        line += 2;
    return *line ? mm_scan_found(scan, source, line, err) : MM_OK;
}

static mm_status read_lines(mm_scan *scan, size_t source, FILE *file, const char *path, mm_error *err)
{
    char *line = NULL;
    size_t room = 0, number = 0;
    mm_status status = MM_OK;
    while (status == MM_OK) {
        errno = 0;
        ssize_t length = getline(&line, &room, file);
        if (length < 0)
            break;
        number++;
        if (strlen(line) != (size_t)length) {
            status = mm_fail(err, MM_ERR_FORMAT,
                             "%s:%zu holds a zero byte: it is no list of paths; name a folder, a .tar, "
                             "a manifest or a text file with one path a line",
                             path, number);
            break;
        }
        while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r'))
            line[--length] = '\0';
        status = add_line(scan, source, line, err);
    }
    if (status == MM_OK && !feof(file))
        status = mm_fail_errno(err, "cannot read the list %s", path);
    free(line);
    return status;
}

mm_status mm_scan_list(mm_scan *scan, size_t source, mm_error *err)
{
    const char *path = scan->sources[source].given;
    FILE *file = fopen(path, "re");
    if (!file)
        return mm_fail_errno(err, "cannot open the list %s", path);
    const mm_status status = read_lines(scan, source, file, path, err);
    (void)fclose(file); /* only read from */
    return status;
}

/* A text file with one path a line. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "corpus/scan.h"

static mm_status add_line(mm_scan *scan, const char *root, int folder, char *line, mm_error *err)
{
    while (line[0] == '.' && line[1] == '/')
        line += 2;
    if (*line == '\0')
        return MM_OK;
    mm_manifest_entry row = {.path = line};
    mm_scan_probe_file(folder, line, &row);
    return mm_scan_add(scan, root, &row, err);
}

static mm_status read_lines(mm_scan *scan, const char *root, int folder, FILE *file, const char *path, mm_error *err)
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
        status = add_line(scan, root, folder, line, err);
    }
    if (status == MM_OK && !feof(file))
        status = mm_fail_errno(err, "cannot read the list %s", path);
    free(line);
    return status;
}

mm_status mm_scan_list(mm_scan *scan, const char *root, const char *path, mm_error *err)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return mm_fail_errno(err, "cannot open the list %s", path);
    const int folder = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    mm_status status = MM_OK;
    if (folder < 0)
        status = mm_fail_errno(err, "cannot enter the folder %s of the list %s", root, path);
    else
        status = read_lines(scan, root, folder, file, path, err);
    if (folder >= 0)
        (void)close(folder); /* only read from */
    (void)fclose(file);      /* only read from */
    return status;
}

#include "report/set_aside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ID, PATH, STATUS, REASON, COLUMNS, MOST_FIELDS = 32 };
static const char *const names[COLUMNS] = {"image_id", "path", "status", "reason"};

typedef struct reader {
    mm_aside *aside;
    int column[COLUMNS]; /* in which field each is */
} reader;

static void free_row(mm_aside_row *row)
{
    free(row->image_id);
    free(row->path);
    free(row->status);
    free(row->reason);
}

void mm_aside_free(mm_aside *aside)
{
    for (size_t i = 0; i < aside->row_count; i++)
        free_row(&aside->rows[i]);
    for (size_t i = 0; i < aside->group_count; i++) {
        free(aside->groups[i].status);
        free(aside->groups[i].reason);
        for (int e = 0; e < MM_ASIDE_EXAMPLES; e++)
            free(aside->groups[i].examples[e]);
    }
    memset(aside, 0, sizeof *aside);
}

/* Cuts the line at its tabs; fields are NULL behind the last. */
static void split(char *line, char *fields[MOST_FIELDS])
{
    size_t count = 0;
    line[strcspn(line, "\n")] = '\0';
    memset(fields, 0, MOST_FIELDS * sizeof *fields);
    while (line && count < MOST_FIELDS)
        fields[count++] = strsep(&line, "\t");
}

/* Of a decimal or, with 0x, hexadecimal number. */
static size_t digits_at(const char *text)
{
    const size_t hexadecimal = text[0] == '0' && text[1] == 'x' ? strspn(text + 2, "0123456789abcdefABCDEF") : 0;
    return hexadecimal ? 2 + hexadecimal : strspn(text, "0123456789");
}

/* "near byte 483 of 500" becomes "near byte N of N", "/data/x.jpg is empty" "… is empty": what is left is the kind. */
static char *kind_of(const char *reason)
{
    char *kind = calloc(1, 3 * strlen(reason) + 4); /* each character may become an ellipsis */
    size_t used = 0;
    if (!kind)
        return NULL;
    while (*reason) {
        const size_t spaces = strspn(reason, " "), word = strcspn(reason + spaces, " ");
        memcpy(kind + used, reason, spaces);
        used += spaces;
        const char *from = reason + spaces, *end = from + word;
        if (memchr(from, '/', word)) {
            memcpy(kind + used, "\xe2\x80\xa6", 3);
            used += 3;
            if (end[-1] == ':')
                kind[used++] = ':';
        } else {
            while (from < end) {
                const size_t digits = digits_at(from);
                kind[used++] = digits ? 'N' : *from;
                from += digits ? digits : 1;
            }
        }
        reason = end;
    }
    return kind;
}

static mm_status fill_group(mm_aside_group *group, const char *status, const char *kind, mm_error *err)
{
    *group = (mm_aside_group){.status = strdup(status), .reason = strdup(kind)};
    return group->status && group->reason ? MM_OK : mm_fail_memory(err, "images set aside");
}

static mm_status count_group(mm_aside *aside, const mm_aside_row *row, mm_error *err)
{
    char *kind = kind_of(row->reason);
    if (!kind)
        return mm_fail_memory(err, "images set aside");
    size_t i = 0;
    while (i < aside->group_count &&
           (strcmp(aside->groups[i].status, row->status) != 0 || strcmp(aside->groups[i].reason, kind) != 0))
        i++;
    mm_status status = MM_OK;
    if (i == MM_ASIDE_GROUPS) {
        aside->ungrouped++;
    } else {
        mm_aside_group *group = &aside->groups[i];
        if (i == aside->group_count) {
            aside->group_count++;
            status = fill_group(group, row->status, kind, err);
        }
        if (status == MM_OK && group->count < MM_ASIDE_EXAMPLES) {
            group->examples[group->count] = strdup(row->path);
            status = group->examples[group->count] ? MM_OK : mm_fail_memory(err, "images set aside");
        }
        group->count++;
    }
    free(kind);
    return status;
}

static mm_status keep_row(mm_aside *aside, const mm_aside_row *row, mm_error *err)
{
    if (aside->row_count == MM_ASIDE_LISTED)
        return MM_OK;
    mm_aside_row *kept = &aside->rows[aside->row_count++];
    *kept = (mm_aside_row){strdup(row->image_id), strdup(row->path), strdup(row->status), strdup(row->reason)};
    return kept->image_id && kept->path && kept->status && kept->reason ? MM_OK
                                                                        : mm_fail_memory(err, "images set aside");
}

static bool read_header(reader *r, char *line)
{
    char *fields[MOST_FIELDS];
    split(line, fields);
    for (int c = 0; c < COLUMNS; c++) {
        r->column[c] = -1;
        for (int f = 0; f < MOST_FIELDS && fields[f]; f++)
            if (strcmp(fields[f], names[c]) == 0)
                r->column[c] = f;
        if (r->column[c] < 0)
            return false;
    }
    return true;
}

static mm_status read_row(reader *r, char *line, mm_error *err)
{
    char *fields[MOST_FIELDS], *values[COLUMNS], nothing[] = "";
    split(line, fields);
    for (int c = 0; c < COLUMNS; c++)
        values[c] = fields[r->column[c]] ? fields[r->column[c]] : nothing;
    const mm_aside_row row = {values[ID], values[PATH], values[STATUS], values[REASON]};
    r->aside->count++;
    const mm_status status = keep_row(r->aside, &row, err);
    return status == MM_OK ? count_group(r->aside, &row, err) : status;
}

static int more_frequent_first(const void *a, const void *b)
{
    const mm_aside_group *one = a, *other = b;
    if (one->count != other->count)
        return one->count > other->count ? -1 : 1;
    const int by_status = strcmp(one->status, other->status);
    return by_status ? by_status : strcmp(one->reason, other->reason);
}

mm_status mm_aside_read(const char *path, mm_aside *aside, mm_error *err)
{
    memset(aside, 0, sizeof *aside);
    FILE *file = fopen(path, "re");
    if (!file)
        return errno == ENOENT ? MM_OK : mm_fail_errno(err, "cannot read %s", path);
    reader r = {.aside = aside};
    char *line = NULL;
    size_t room = 0;
    mm_status status = MM_OK;
    aside->found = true;
    if (getline(&line, &room, file) < 0 || !read_header(&r, line))
        status = mm_fail(err, MM_ERR_FORMAT, "%s: its first line does not name image_id, path, status and "
                                             "reason", path);
    while (status == MM_OK && getline(&line, &room, file) > 0)
        status = read_row(&r, line, err);
    if (status == MM_OK && ferror(file))
        status = mm_fail_errno(err, "cannot read %s", path);
    free(line);
    (void)fclose(file); /* only read */
    qsort(aside->groups, aside->group_count, sizeof aside->groups[0], more_frequent_first);
    return status;
}

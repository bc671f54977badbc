#include "engine/quarantine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/output.h"

mm_status mm_quarantine_add(mm_quarantine *quarantine, uint64_t image_id, mm_status status, const char *reason,
                            mm_error *err)
{
    if (quarantine->count == quarantine->room) {
        const size_t room = quarantine->room ? quarantine->room * 2 : 64;
        mm_quarantined *items = realloc(quarantine->items, room * sizeof *items);
        if (!items)
            return mm_fail_memory(err, "the list of images set aside");
        quarantine->items = items;
        quarantine->room = room;
    }
    char *copy = strdup(reason);
    if (!copy)
        return mm_fail_memory(err, "the list of images set aside");
    quarantine->items[quarantine->count++] = (mm_quarantined){image_id, status, copy};
    return MM_OK;
}

static int by_image_id(const void *a, const void *b)
{
    const uint64_t x = ((const mm_quarantined *)a)->image_id, y = ((const mm_quarantined *)b)->image_id;
    return (x > y) - (x < y);
}

static void print_escaped(const char *text, FILE *out)
{
    static const char special[] = "\t\n\r\\", letters[] = "tnr\\";
    for (; *text; text++) {
        const char *found = strchr(special, *text);
        if (found)
            (void)fputc('\\', out);
        (void)fputc(found ? letters[found - special] : *text, out);
    }
}

mm_status mm_quarantine_write(mm_quarantine *quarantine, const mm_manifest *manifest, const char *out, mm_error *err)
{
    if (quarantine->count == 0)
        return MM_OK;
    qsort(quarantine->items, quarantine->count, sizeof quarantine->items[0], by_image_id);
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    if (!stream)
        return mm_fail_memory(err, "quarantine.tsv");
    (void)fputs("image_id\tpath\tstatus\treason\n", stream); /* all failures show in the stream's flag below */
    for (size_t i = 0; i < quarantine->count; i++) {
        const mm_quarantined *item = &quarantine->items[i];
        (void)fprintf(stream, "%" PRIu64 "\t", item->image_id);
        print_escaped(mm_manifest_at(manifest, item->image_id).path, stream);
        (void)fprintf(stream, "\t%s\t", mm_status_name(item->status));
        print_escaped(item->reason, stream);
        (void)fputc('\n', stream);
    }
    const bool bad = ferror(stream);
    const bool unclosed = fclose(stream) != 0;
    const mm_status status = bad || unclosed ? mm_fail_memory(err, "quarantine.tsv")
                                             : mm_output_put(out, "quarantine.tsv", text, size, err);
    free(text);
    return status;
}

void mm_quarantine_free(mm_quarantine *quarantine)
{
    for (size_t i = 0; i < quarantine->count; i++)
        free(quarantine->items[i].reason);
    free(quarantine->items);
    *quarantine = (mm_quarantine){0};
}

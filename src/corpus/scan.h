/* One scan, made by all ranks together: what a rank finds stays there until rank 0 collects the rows. */
#ifndef MM_CORPUS_SCAN_H
#define MM_CORPUS_SCAN_H

#include "corpus/buffer.h"
#include "corpus/manifest.h"

typedef enum mm_source_kind {
    MM_SOURCE_FOLDER = 0,
    MM_SOURCE_TAR,
    MM_SOURCE_LIST,
    MM_SOURCE_MANIFEST
} mm_source_kind;

typedef struct mm_source {
    mm_source_kind kind;
    char *given; /* as the user wrote it */
    char *root;  /* the real, absolute folder that paths count from, without a trailing slash unless it is "/" */
    char *name;  /* its own name in that folder */
    uint64_t size;  /* of a tar, to share them out */
    uint64_t owner; /* of a tar: the rank that reads it */
} mm_source;

typedef struct mm_scan {
    mm_comm *comm;
    mm_source *sources; /* the same on all ranks */
    size_t source_count;
    bool absolute;          /* several roots: every path is stored whole */
    mm_manifest *manifest;  /* this rank's rows, in no order */
    mm_scan_report counts;  /* this rank's */
    mm_buffer found;        /* files whose header is still to be read: source u64, path text */
    uint64_t found_count;
} mm_scan;

/* Ends in .jpg or .jpeg, any case. */
bool mm_scan_is_jpeg_name(const char *name);
/* A file of a source, to be looked at later, by whichever rank. */
MM_RESULT_USED mm_status mm_scan_found(mm_scan *scan, size_t source, const char *path, mm_error *err);
/* Add one row. */
MM_RESULT_USED mm_status mm_scan_add(mm_scan *scan, const mm_source *source, const mm_manifest_entry *row,
                                     mm_error *err);

/* Image size from the header of the `length` bytes at `start` of fd; 0 x 0 where it cannot be had. */
void mm_scan_probe(int fd, uint64_t start, uint64_t length, uint32_t *width, uint32_t *height);
/* The same for a file, with its length; all zero if it cannot be read now. Never waits on a pipe or device. */
void mm_scan_probe_file(const char *path, mm_manifest_entry *row);

/* Which sources there are: rank 0 looks, all get to know. Collective; nothing is read but their first bytes. */
MM_RESULT_USED mm_status mm_scan_sources(mm_scan *scan, const char *const *given, size_t count, mm_error *err);
void mm_scan_sources_free(mm_scan *scan);

/* Collective: all folders among the sources. */
MM_RESULT_USED mm_status mm_scan_folders(mm_scan *scan, mm_error *err);
/* One archive, one list, on one rank. */
MM_RESULT_USED mm_status mm_scan_tar(mm_scan *scan, const mm_source *source, mm_error *err);
MM_RESULT_USED mm_status mm_scan_list(mm_scan *scan, size_t source, mm_error *err);
/* Collective: read the headers of what was found, in equal parts, and add the rows. */
MM_RESULT_USED mm_status mm_scan_look(mm_scan *scan, mm_error *err);
/* Collective: every rank's rows and counts to rank 0. */
MM_RESULT_USED mm_status mm_scan_collect(mm_scan *scan, mm_error *err);

#endif

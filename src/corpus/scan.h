/* One scan: the kinds of source add their images to the same manifest and report. */
#ifndef MM_CORPUS_SCAN_H
#define MM_CORPUS_SCAN_H

#include "corpus/manifest.h"

typedef struct mm_scan {
    mm_manifest *manifest;
    mm_scan_report *report;
    bool absolute; /* several sources: every path is stored whole */
} mm_scan;

/* Ends in .jpg or .jpeg, any case. */
bool mm_scan_is_jpeg_name(const char *name);

/* Add one row. `root` is the source's folder, without a trailing slash unless it is "/". */
MM_RESULT_USED mm_status mm_scan_add(mm_scan *scan, const char *root, const mm_manifest_entry *row, mm_error *err);

/* Image size from the header of the `length` bytes at `start` of fd; 0 x 0 where it cannot be had. */
void mm_scan_probe(int fd, uint64_t start, uint64_t length, uint32_t *width, uint32_t *height);
/* The same for a file, with its length; all zero if it cannot be read now. Never waits on a pipe or device. */
void mm_scan_probe_file(int folder, const char *path, mm_manifest_entry *row);

/* The kinds of source. `root` is as in mm_scan_add, real and absolute. */
MM_RESULT_USED mm_status mm_scan_folder(mm_scan *scan, const char *root, mm_error *err);
MM_RESULT_USED mm_status mm_scan_tar(mm_scan *scan, const char *root, const char *name, mm_error *err);
MM_RESULT_USED mm_status mm_scan_list(mm_scan *scan, const char *root, const char *path, mm_error *err);

#endif

/* The corpus: which images there are, in a fixed order, and their bytes.
 *
 * manifest.h5 has one row an image: image_id u64, path vlen-utf8, offset u64, length u64, width u32, height u32,
 * phash u64 (0 where not computed); attributes format_version, roots. Where near-duplicates were looked for, there is
 * also duplicate_of u64 and the attribute duplicate_distance. Rows are sorted bytewise by (path, offset) and ids count
 * up from 0 in that order. With one source, paths are relative to its folder, which is the only root (the folder
 * itself, or the folder that a list or archive lies in; a list's absolute lines stay as they are); so they are with
 * several sources of one such folder; with others they are absolute. For a member of a tar archive, path is the
 * archive's path, '/', the member's name, and offset (never 0) and length say where its bytes are in the archive;
 * otherwise offset is 0 and length the file's size.
 * docs/formats.md has the format in full. */
#ifndef MASKMILL_CORPUS_H
#define MASKMILL_CORPUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "maskmill/comm.h"

typedef struct mm_manifest mm_manifest;

typedef struct mm_manifest_entry {
    uint64_t image_id;
    const char *path; /* as in manifest.h5; owned by the manifest */
    uint64_t offset, length;
    uint32_t width, height; /* 0 where the header could not be read */
    uint64_t phash;
} mm_manifest_entry;

typedef struct mm_scan_report {
    uint64_t images;
    uint64_t ignored;    /* files that are not named as JPEGs */
    uint64_t unreadable; /* folders that could not be entered */
    uint64_t duplicates; /* images named twice, counted once in images */
} mm_scan_report;

/* A folder (walked: names ending in .jpg or .jpeg, any case; symbolic links are followed, each folder once), a .tar (not
 * compressed; the same names), a manifest (.h5), or a text file with a path a line (listed files are taken whatever
 * their name; relative paths count from the list's folder). Several at once are joined. No image at all is
 * MM_ERR_FORMAT. A file that is no JPEG, or cannot be read, is listed with width = height = 0: the run will say why. */
MM_RESULT_USED mm_status mm_corpus_scan(const char *const *sources, size_t count, mm_manifest **manifest,
                                        mm_scan_report *report, mm_error *err);

/* The same by all ranks together (collective; `comm` may be NULL): folders, archives and headers are shared out among
 * them. Rank 0 gets the manifest and the report, which do not depend on the number of ranks; the others get NULL. */
MM_RESULT_USED mm_status mm_corpus_scan_together(mm_comm *comm, const char *const *sources, size_t count,
                                                 mm_manifest **manifest, mm_scan_report *report, mm_error *err);

/* Commit: temporary name, fsync, rename, fsync of the folder; on failure no file is left behind. The file begins with a
 * seal (512 bytes: size and digest of the rest), so opening it notices any damage. */
MM_RESULT_USED mm_status mm_manifest_write(const mm_manifest *manifest, const char *path, mm_error *err);
MM_RESULT_USED mm_status mm_manifest_open(const char *path, mm_manifest **manifest, mm_error *err);
void mm_manifest_free(mm_manifest *manifest);
/* Collective: the file is opened by one rank a host, and the ranks of a host share its memory. */
MM_RESULT_USED mm_status mm_manifest_open_together(mm_comm *comm, const char *path, mm_manifest **manifest,
                                                   mm_error *err);
/* The same where some ranks have the manifest in *manifest already (such as rank 0 after a scan), which then moves into
 * the shared memory; the others hold NULL. `path` is where it has been written. After a failure *manifest is NULL. */
MM_RESULT_USED mm_status mm_manifest_share(mm_comm *comm, const char *path, mm_manifest **manifest, mm_error *err);

typedef struct mm_hash_options {
    bool ignore_orientation;
    uint64_t max_pixels, max_bytes; /* larger images get no hash; 0: no limit */
    void (*progress)(void *user, uint64_t done, uint64_t total); /* on rank 0, now and then; may be NULL */
    void *user;
} mm_hash_options;

/* Collective, with the manifest on rank 0 (`comm` may be NULL): give every image that has no perceptual hash one,
 * reading it whole. An image that cannot be decoded, or shows nothing but one shade, keeps 0. */
MM_RESULT_USED mm_status mm_corpus_hash(mm_comm *comm, mm_manifest *manifest, const mm_hash_options *options,
                                        mm_error *err);

/* Collective, with the manifest on rank 0 (`comm` may be NULL): find near-duplicates among the images that have a hash.
 * An image is a duplicate of the first image (in the order of ids) that is no duplicate and whose hash differs from its
 * own in at most `distance` (0 .. 10) of the 64 bits. *duplicates counts them, on rank 0. */
MM_RESULT_USED mm_status mm_corpus_group(mm_comm *comm, mm_manifest *manifest, uint32_t distance,
                                         uint64_t *duplicates, mm_error *err);

/* The photographs lie in another folder now: paths relative to the only root are looked for in `folder` from now on.
 * MM_ERR_USAGE for a manifest with several roots, whose paths are absolute. */
MM_RESULT_USED mm_status mm_manifest_move_root(mm_manifest *manifest, const char *folder, mm_error *err);

uint64_t mm_manifest_count(const mm_manifest *manifest);
mm_manifest_entry mm_manifest_at(const mm_manifest *manifest, uint64_t image_id);
/* The first image of the group of near-duplicates that this one belongs to; itself if it is the first, or alone, or if
 * groups were not looked for. */
uint64_t mm_manifest_duplicate_of(const mm_manifest *manifest, uint64_t image_id);
/* Whether groups were looked for, and at which distance. */
bool mm_manifest_grouped(const mm_manifest *manifest, uint32_t *distance);
/* By path (for a tar's member: archive/member), as it stands in the manifest or absolute; by the end of the path, from
 * any of its slashes on, if that is unique; or by number. count if none matches. */
uint64_t mm_manifest_find(const mm_manifest *manifest, const char *what);

/* The bytes of an image that no manifest names: a file, a pipe, or ARCHIVE.tar/MEMBER. The caller frees *bytes. */
MM_RESULT_USED mm_status mm_corpus_read_path(const char *path, uint64_t max_bytes, uint8_t **bytes, size_t *size,
                                             mm_error *err);

/* The bytes of one image; reads a file's present size when it changed since the scan. At most max_bytes (0: no limit).
 * The caller frees *bytes. */
MM_RESULT_USED mm_status mm_corpus_read(const mm_manifest *manifest, uint64_t image_id, uint64_t max_bytes,
                                        uint8_t **bytes, size_t *size, mm_error *err);

#endif

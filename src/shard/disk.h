/* An HDF5 file that is made on disk, for dataset.h5, which can be larger than memory.
 *
 * HDF5 1.10 crashes at close when a write of its own fails. So it writes through a driver of ours that never lets one
 * fail: the first failure is kept, nothing more is written, and the draft is given up when it is asked for. */
#ifndef MM_SHARD_DISK_H
#define MM_SHARD_DISK_H

#include "base/file.h"
#include "corpus/h5.h"

typedef struct mm_disk_draft {
    hid_t file;
    mm_file_draft place;
    struct mm_disk *disk;
} mm_disk_draft;

/* Begin `path`.tmp. Whoever calls these holds an mm_h5_silence. */
MM_RESULT_USED mm_status mm_disk_draft_begin(const char *path, mm_disk_draft *draft, mm_error *err);
/* MM_ERR_IO if a write has failed so far; to be asked often, so that no work is done for nothing. */
MM_RESULT_USED mm_status mm_disk_draft_check(const mm_disk_draft *draft, mm_error *err);
/* Everything that opening needs has been made: what follows is the tail, which opening does not read. */
MM_RESULT_USED mm_status mm_disk_draft_end_head(mm_disk_draft *draft, mm_error *err);
/* Close, seal, fsync, rename, fsync of the folder; the draft is gone afterwards. If `so_far` is a failure, remove it
 * and return that. */
MM_RESULT_USED mm_status mm_disk_draft_finish(mm_disk_draft *draft, const char *kind, mm_status so_far, mm_error *err);

#endif

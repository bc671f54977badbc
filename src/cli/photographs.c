#include "photographs.h"

#include <limits.h>
#include <stdio.h>
#include <unistd.h>

mm_status mm_cli_open_manifest(const mm_dataset *dataset, const char *corpus, mm_manifest **manifest, mm_error *err)
{
    char path[PATH_MAX];
    const char *folder = mm_dataset_folder(dataset);
    int length = snprintf(path, sizeof path, "%s/manifest.h5", folder);
    if (length > 0 && length < PATH_MAX && access(path, F_OK) != 0) /* a shard lies one folder deeper */
        length = snprintf(path, sizeof path, "%s/../manifest.h5", folder);
    if (length < 0 || length >= PATH_MAX)
        return mm_fail(err, MM_ERR_LIMIT, "%s: its path is too long", folder);
    const mm_status status = mm_manifest_open(path, manifest, err);
    return status == MM_OK && corpus ? mm_manifest_move_root(*manifest, corpus, err) : status;
}

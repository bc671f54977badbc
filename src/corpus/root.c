/* A corpus that was moved after it was listed. */
#include <stdlib.h>
#include <string.h>

#include "corpus/manifest.h"

mm_status mm_manifest_move_root(mm_manifest *manifest, const char *folder, mm_error *err)
{
    if (manifest->root_count != 1)
        return mm_fail(err, MM_ERR_USAGE,
                       "the corpus had %zu roots, so its paths are absolute; it cannot be looked for "
                       "in %s",
                       manifest->root_count, folder);
    char *root = strdup(folder);
    if (!root)
        return mm_fail_memory(err, "a manifest");
    free(manifest->roots[0]);
    manifest->roots[0] = root;
    return MM_OK;
}

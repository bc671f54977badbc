/* How one folder is named from another, so that both can be moved together. */
#ifndef MM_BASE_PATH_H
#define MM_BASE_PATH_H

#include "maskmill/status.h"

/* `folder` as seen from inside of `from` (both must be there): "../OUT"; the absolute path if they have nothing in
 * common but the root. The caller frees *path. */
MM_RESULT_USED mm_status mm_path_relative(const char *from, const char *folder, char **path, mm_error *err);

/* The other way: `path` as it is if absolute, else below `from`. Nothing has to be there. The caller frees *joined. */
MM_RESULT_USED mm_status mm_path_join(const char *from, const char *path, char **joined, mm_error *err);

#endif

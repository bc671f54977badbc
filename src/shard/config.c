/* The configuration that a dataset was made with. */
#include <stdio.h>
#include <stdlib.h>

#include "corpus/h5.h"
#include "maskmill/shard.h"

mm_status mm_dataset_config(const mm_dataset *dataset, char **yaml, mm_error *err)
{
    char *path = NULL;
    hid_t file;
    if (asprintf(&path, "%s/dataset.h5", mm_dataset_folder(dataset)) < 0)
        return mm_fail_memory(err, "a path");
    const mm_h5_silence before = mm_h5_silence_begin();
    mm_status status = mm_h5_open(path, "dataset", false, &file, err);
    if (status == MM_OK) {
        status = mm_h5_get_text(file, "config", yaml, err);
        if (status != MM_OK)
            (void)mm_error_prefix(err, "%s", path); /* its status is the one at hand */
        (void)H5Fclose(file); /* only read from */
    }
    mm_h5_silence_end(before);
    free(path);
    return status;
}

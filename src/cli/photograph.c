#include "photograph.h"

#include <stdlib.h>

#include "maskmill/corpus.h"

mm_status mm_cli_read_image(const char *path, const mm_config *config, mm_image *image, mm_error *err)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    const mm_jpeg_options options = {.ignore_orientation = config->image.ignore_orientation,
                                     .max_pixels = config->image.max_pixels};
    mm_status status = mm_corpus_read_path(path, config->image.max_bytes, &bytes, &size, err);
    if (status != MM_OK)
        return status;
    status = mm_image_decode_jpeg(bytes, size, &options, image, err);
    free(bytes);
    return status == MM_OK ? MM_OK : mm_error_prefix(err, "%s", path);
}

/* Keeps an embedding that is no number for an image, as a broken encoder or disk might: for tests of what training
 * makes of it. Usage: maskmill-poison-embedding FOLDER MODEL MODEL_CONFIG JPEG */
#include <math.h>
#include <stdio.h>

#include "maskmill/embeddings.h"
#include "tools/prompt_file.h"

int main(int argc, char **argv)
{
    mm_error err = {0};
    mm_model *model = NULL;
    mm_embedding *embedding = NULL;
    mm_embeddings *kept = NULL;
    mm_image image = {0};
    uint8_t *bytes = NULL;
    size_t size = 0;
    if (argc != 5)
        return 2;
    const mm_model_options options = {.config_path = argv[3], .kernels = {.precision = MM_PRECISION_F32, .threads = 1}};
    mm_status status = mm_model_open(argv[2], &options, &model, &err);
    if (status == MM_OK)
        status = mm_embedding_new(model, &embedding, &err);
    if (status == MM_OK)
        status = mm_embeddings_open(argv[1], model, &kept, &err);
    if (status == MM_OK)
        status = mm_file_read(argv[4], 0, &bytes, &size, &err);
    if (status == MM_OK)
        status = read_picture(argv[4], &image, &err);
    if (status == MM_OK)
        status = mm_model_encode(model, mm_image_whole(&image), embedding, &err);
    if (status == MM_OK) {
        ((float *)(uintptr_t)mm_embedding_cells(embedding))[7] = NAN; /* const for everyone else */
        const mm_embedding_key key = mm_embeddings_key(bytes, size, 0);
        status = mm_embeddings_put(kept, &key, argv[4], embedding, &err);
    }
    if (status == MM_OK)
        status = mm_embeddings_flush(kept, &err);
    if (status != MM_OK)
        (void)fprintf(stderr, "%s\n", err.text);
    free(bytes);
    mm_image_free(&image);
    mm_embeddings_close(kept);
    mm_embedding_free(embedding);
    mm_model_close(model);
    return status == MM_OK ? 0 : 1;
}

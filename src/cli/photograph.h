/* The photograph of a command that is about one. */
#ifndef MM_CLI_PHOTOGRAPH_H
#define MM_CLI_PHOTOGRAPH_H

#include "maskmill/engine.h"

/* Read and decode as the config says. The caller frees *image. */
MM_RESULT_USED mm_status mm_cli_read_image(const char *path, const mm_config *config, mm_image *image, mm_error *err);

#endif

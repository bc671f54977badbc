/* What the exports have in common. */
#ifndef MM_SHARD_EXPORT_H
#define MM_SHARD_EXPORT_H

#include <stdio.h>

#include "maskmill/shard.h"

/* The folder and those above it. */
MM_RESULT_USED mm_status mm_export_make_folder(const char *folder, mm_error *err);
/* One image as SA-1B's JSON has it; its masks are numbered from first_id. Errors stay with the stream. */
void mm_export_print_sa1b(FILE *out, const mm_record *record, const char *file_name, uint64_t first_id);

#endif

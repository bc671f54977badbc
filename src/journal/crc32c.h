/* The two ways to a CRC-32C, for mm_crc32c to choose from and for the tests to compare. */
#ifndef MM_JOURNAL_CRC32C_H
#define MM_JOURNAL_CRC32C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A table of 256 entries, a byte at a time; runs anywhere. */
uint32_t mm_crc32c_portable(uint32_t crc, const void *bytes, size_t size);

/* SSE4.2's instruction, eight bytes at a time; to be called only if the processor has it. */
bool mm_crc32c_has_instruction(void);
uint32_t mm_crc32c_instruction(uint32_t crc, const void *bytes, size_t size);

#endif

/* The one EXIF value that matters here. EXIF is a TIFF file inside an APP1 segment: byte order ("II" or "MM"), the
 * number 42, the offset of the first directory; a directory is a count and entries of 12 bytes (tag, type, count,
 * value or its offset). CIPA DC-008, section 4.6. */
#include "image/jpeg_frame.h"

#include <string.h>

enum { TAG_ORIENTATION = 0x0112, TYPE_SHORT = 3, TYPE_LONG = 4, ENTRY_BYTES = 12 };

typedef struct tiff {
    const uint8_t *bytes;
    size_t size;
    bool big_endian;
} tiff;

/* 0 beyond the end: what is not there says nothing. */
static uint32_t read_number(const tiff *file, size_t offset, size_t bytes)
{
    if (offset > file->size || file->size - offset < bytes)
        return 0;
    uint32_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | file->bytes[offset + (file->big_endian ? i : bytes - 1 - i)];
    return value;
}

uint8_t mm_exif_orientation(const uint8_t *payload, size_t size)
{
    static const char signature[6] = "Exif\0";
    if (size < sizeof signature + 8 || memcmp(payload, signature, sizeof signature) != 0)
        return 0;
    tiff file = {.bytes = payload + sizeof signature, .size = size - sizeof signature};
    if (memcmp(file.bytes, "MM", 2) == 0)
        file.big_endian = true;
    else if (memcmp(file.bytes, "II", 2) != 0)
        return 0;
    if (read_number(&file, 2, 2) != 42)
        return 0;
    const size_t directory = read_number(&file, 4, 4);
    const uint32_t entries = read_number(&file, directory, 2);
    for (uint32_t i = 0; i < entries; i++) {
        const size_t entry = directory + 2 + (size_t)i * ENTRY_BYTES;
        if (entry + ENTRY_BYTES > file.size)
            return 0;
        if (read_number(&file, entry, 2) != TAG_ORIENTATION)
            continue;
        const uint32_t type = read_number(&file, entry + 2, 2);
        if (read_number(&file, entry + 4, 4) != 1 || (type != TYPE_SHORT && type != TYPE_LONG))
            return 0;
        const uint32_t value = read_number(&file, entry + 8, type == TYPE_SHORT ? 2 : 4);
        return value >= 1 && value <= 8 ? (uint8_t)value : 0;
    }
    return 0;
}

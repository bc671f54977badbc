#include "image/jpeg_frame.h"

enum {
    MARKER_SOF0 = 0xC0, /* baseline; SOF1 is extended sequential, SOF2 progressive, all three Huffman-coded */
    MARKER_SOF2 = 0xC2,
    MARKER_DHT = 0xC4,
    MARKER_JPG = 0xC8,
    MARKER_DAC = 0xCC,
    MARKER_SOF15 = 0xCF,
    MARKER_RST0 = 0xD0,
    MARKER_RST7 = 0xD7,
    MARKER_SOI = 0xD8,
    MARKER_EOI = 0xD9,
    MARKER_SOS = 0xDA,
    MARKER_APP1 = 0xE1,
    MARKER_TEM = 0x01
};

static uint32_t big_endian_16(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 8 | bytes[1];
}

static bool is_frame_header(uint8_t marker)
{
    return marker >= MARKER_SOF0 && marker <= MARKER_SOF15 && marker != MARKER_DHT && marker != MARKER_JPG &&
           marker != MARKER_DAC;
}

static bool has_no_payload(uint8_t marker)
{
    return marker == MARKER_TEM || (marker >= MARKER_RST0 && marker <= MARKER_RST7);
}

/* What T.81 table B.1 calls the coding processes that are not decoded here. */
static const char *unsupported_process(uint8_t marker)
{
    static const char *const names[16] = {
        [3] = "lossless",
        [5] = "hierarchical",
        [6] = "hierarchical",
        [7] = "hierarchical lossless",
        [9] = "arithmetic-coded",
        [10] = "arithmetic-coded progressive",
        [11] = "arithmetic-coded lossless",
        [13] = "arithmetic-coded hierarchical",
        [14] = "arithmetic-coded hierarchical",
        [15] = "arithmetic-coded hierarchical lossless",
    };
    return names[marker - MARKER_SOF0];
}

static mm_status read_frame_header(uint8_t marker, const uint8_t *payload, size_t size, mm_jpeg_frame *frame,
                                   mm_error *err)
{
    const char *process = unsupported_process(marker);
    if (process)
        return mm_fail(err, MM_ERR_UNSUPPORTED,
                       "a JPEG of the %s kind is not supported; convert it to a baseline JPEG", process);
    if (size < 6 || size != 6 + 3 * (size_t)payload[5])
        return mm_fail(err, MM_ERR_FORMAT, "damaged JPEG: its frame header has the wrong length");
    const unsigned precision = payload[0];
    if (precision != 8)
        return mm_fail(err, MM_ERR_UNSUPPORTED,
                       "a JPEG with %u bits a sample is not supported, only 8; convert it to a baseline JPEG", precision);
    frame->height = big_endian_16(payload + 1);
    frame->width = big_endian_16(payload + 3);
    frame->components = payload[5];
    frame->progressive = marker == MARKER_SOF2;
    if (frame->width == 0)
        return mm_fail(err, MM_ERR_FORMAT, "damaged JPEG: its frame header says that it is 0 pixels wide");
    if (frame->height == 0)
        return mm_fail(err, MM_ERR_UNSUPPORTED,
                       "a JPEG whose height is not in its header (DNL) is not supported; save it again");
    if (frame->components != 1 && frame->components != 3 && frame->components != 4)
        return mm_fail(err, MM_ERR_UNSUPPORTED,
                       "a JPEG with %u components is not supported, only grey (1), colour (3) and CMYK (4)",
                       (unsigned)frame->components);
    return MM_OK;
}

/* The next marker from *position on, leaving *position behind it. Stray bytes between segments are stepped over, as
 * libjpeg does; 0 when the data ends first. */
static uint8_t next_marker(const uint8_t *data, size_t size, size_t *position)
{
    size_t at = *position;
    for (; at + 1 < size; at++) {
        if (data[at] == 0xFF && data[at + 1] != 0x00 && data[at + 1] != 0xFF) {
            *position = at + 2;
            return data[at + 1];
        }
    }
    return 0;
}

mm_status mm_jpeg_read_frame(const uint8_t *data, size_t size, mm_jpeg_frame *frame, mm_error *err)
{
    *frame = (mm_jpeg_frame){.orientation = 1};
    if (size == 0)
        return mm_fail(err, MM_ERR_FORMAT, "the file is empty");
    if (size < 2 || data[0] != 0xFF || data[1] != MARKER_SOI)
        return mm_fail(err, MM_ERR_FORMAT, "not a JPEG: it begins with 0x%02x 0x%02x", data[0], size < 2 ? 0 : data[1]);
    bool exif_seen = false;
    for (size_t at = 2;;) {
        const uint8_t marker = next_marker(data, size, &at);
        if (marker == 0)
            return mm_fail(err, MM_ERR_FORMAT, "damaged JPEG: %zu bytes without a frame header", size);
        if (has_no_payload(marker))
            continue;
        if (marker == MARKER_SOI || marker == MARKER_EOI || marker == MARKER_SOS)
            return mm_fail(err, MM_ERR_FORMAT, "damaged JPEG: no frame header before marker 0x%02x at byte %zu", marker,
                           at - 2);
        const size_t length = size - at < 2 ? 0 : big_endian_16(data + at);
        if (size - at >= 2 && length < 2)
            return mm_fail(err, MM_ERR_FORMAT, "damaged JPEG: marker 0x%02x at byte %zu has the wrong length", marker,
                           at - 2);
        if (length == 0 || size - at < length)
            return mm_fail(err, MM_ERR_FORMAT, "damaged JPEG: it ends at byte %zu, before its frame header", size);
        const uint8_t *payload = data + at + 2;
        if (is_frame_header(marker))
            return read_frame_header(marker, payload, length - 2, frame, err);
        if (marker == MARKER_APP1 && !exif_seen) {
            const uint8_t orientation = mm_exif_orientation(payload, length - 2);
            exif_seen = orientation != 0;
            frame->orientation = exif_seen ? orientation : 1;
        }
        at += length;
    }
}

bool mm_orientation_swaps_sides(uint8_t orientation)
{
    return orientation >= 5;
}

mm_status mm_image_probe_jpeg(const void *data, size_t size, const mm_jpeg_options *options, mm_jpeg_info *info,
                              mm_error *err)
{
    mm_jpeg_frame frame;
    const mm_status status = mm_jpeg_read_frame(data, size, &frame, err);
    if (status != MM_OK)
        return status;
    const bool swap = !(options && options->ignore_orientation) && mm_orientation_swaps_sides(frame.orientation);
    *info = (mm_jpeg_info){.width = swap ? frame.height : frame.width,
                           .height = swap ? frame.width : frame.height,
                           .orientation = frame.orientation};
    return MM_OK;
}

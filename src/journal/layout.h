/* How a journal lies in its file: a header, then frames, each a record with its length and checksum.
 *
 * header, 56 bytes: 0 magic   8 version u32   12 header's bytes u32   16 shard u64   24 first_image u64
 *                   32 images u32   36 run u8[16]   52 CRC-32C u32 of bytes 0..51
 * frame:            0 length of the payload u32   4 image_id u64   12 payload   CRC-32C u32 of all before it */
#ifndef MM_JOURNAL_LAYOUT_H
#define MM_JOURNAL_LAYOUT_H

#include "maskmill/journal.h"

enum { JOURNAL_HEADER = 56, JOURNAL_VERSION = 1, FRAME_HEAD = 12, FRAME_TAIL = 4 };

typedef struct mm_journal_entry {
    uint64_t offset; /* of the payload; 0: no record */
    uint32_t size;
} mm_journal_entry;

struct mm_journal {
    mm_journal_origin origin;
    char *path;
    int file;       /* -1 while it rests */
    uint64_t end;   /* where the next frame goes */
    uint64_t records;
    bool dirty;     /* written since the last sync */
    bool named;     /* the folder was synced since the file was made */
    mm_journal_entry *entries; /* [origin.images] */
};

void mm_journal_put_header(const mm_journal_origin *origin, uint8_t bytes[JOURNAL_HEADER]);
void mm_journal_put_frame_head(uint64_t image_id, uint32_t size, uint8_t bytes[FRAME_HEAD]);
void mm_journal_get_frame_head(const uint8_t bytes[FRAME_HEAD], uint64_t *image_id, uint32_t *size);
/* Of a frame's head and payload. */
uint32_t mm_journal_frame_crc(const uint8_t head[FRAME_HEAD], const void *payload, size_t size);

/* size bytes at `offset`, fewer at the end of the file: *got says how many. */
MM_RESULT_USED mm_status mm_journal_fetch(const mm_journal *journal, uint64_t offset, void *bytes, size_t size,
                                          size_t *got, mm_error *err);
/* Read what is in the file, fill entries, set `end`; *length is the file's. */
MM_RESULT_USED mm_status mm_journal_scan(mm_journal *journal, const mm_journal_visitor *visitor, uint64_t *length,
                                         mm_error *err);

#endif

/* Scratch folders and small JPEGs for tests that touch files. */
#ifndef MM_TESTS_CORPUS_SCRATCH_H
#define MM_TESTS_CORPUS_SCRATCH_H

#include <check.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h> /* jpeglib.h needs it */

#include <jpeglib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>

static char scratch[256]; /* the test's own folder */

static inline int scratch_remove_one(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info;
    (void)kind;
    (void)at;
    return remove(path);
}

static inline void scratch_make(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(scratch, sizeof scratch, "%s/maskmill-test-XXXXXX", base ? base : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(scratch));
    ck_assert_int_eq(chmod(scratch, 0755), 0);
}

static inline void scratch_remove(void)
{
    ck_assert_int_eq(nftw(scratch, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* scratch/name, in one of a few buffers that are used in turn. */
static inline const char *at(const char *name)
{
    static char paths[8][1024];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", scratch, name);
    return path;
}

static inline void put_folder(const char *name)
{
    ck_assert_int_eq(mkdir(at(name), 0755), 0);
}

static inline void put_bytes(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
}

static inline void put_text(const char *name, const char *text)
{
    put_bytes(at(name), text, strlen(text));
}

/* The caller frees. */
static inline uint8_t *get_bytes(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s is not there", path);
    ck_assert_int_eq(fseek(file, 0, SEEK_END), 0);
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(*size + 1);
    ck_assert_uint_eq(fread(bytes, 1, *size, file), *size);
    bytes[*size] = 0;
    fclose(file);
    return bytes;
}

/* A grey-ish JPEG of the given size, with `padding` bytes of application segments before its frame header. */
static inline uint8_t *make_jpeg(int width, int height, size_t padding, size_t *size)
{
    uint8_t *pixels = malloc((size_t)width * height * 3), *jpeg = NULL;
    for (int i = 0; i < width * height * 3; i++)
        pixels[i] = (uint8_t)(i * 31 / 7);
    unsigned long length = 0;
    struct jpeg_error_mgr errors;
    struct jpeg_compress_struct encoder = {.err = jpeg_std_error(&errors)}; /* ends the process if it fails */
    jpeg_create_compress(&encoder);
    jpeg_mem_dest(&encoder, &jpeg, &length);
    encoder.image_width = (JDIMENSION)width;
    encoder.image_height = (JDIMENSION)height;
    encoder.input_components = 3;
    encoder.in_color_space = JCS_RGB;
    jpeg_set_defaults(&encoder);
    jpeg_set_quality(&encoder, 80, TRUE);
    jpeg_start_compress(&encoder, TRUE);
    while (encoder.next_scanline < encoder.image_height) {
        JSAMPROW row = pixels + (size_t)encoder.next_scanline * width * 3;
        (void)jpeg_write_scanlines(&encoder, &row, 1); /* to memory: always the one row */
    }
    jpeg_finish_compress(&encoder);
    jpeg_destroy_compress(&encoder);
    free(pixels);
    uint8_t *out = malloc(length + padding + padding / 1000 + 64), *to = out;
    memcpy(to, jpeg, 2);
    to += 2;
    while (padding > 0) {
        const size_t part = padding < 60000 ? padding : 60000;
        const uint8_t head[4] = {0xff, 0xed, (uint8_t)((part + 2) >> 8), (uint8_t)(part + 2)};
        memcpy(to, head, 4);
        memset(to + 4, 'x', part);
        to += 4 + part;
        padding -= part;
    }
    memcpy(to, jpeg + 2, length - 2);
    to += length - 2;
    free(jpeg);
    *size = (size_t)(to - out);
    return out;
}

static inline void put_jpeg(const char *name, int width, int height)
{
    size_t size;
    uint8_t *jpeg = make_jpeg(width, height, 0, &size);
    put_bytes(at(name), jpeg, size);
    free(jpeg);
}

/* Change one byte of a file where it lies. */
static inline void flip_byte(const char *path, size_t offset, uint8_t bits)
{
    FILE *file = fopen(path, "r+b");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fseek(file, (long)offset, SEEK_SET), 0);
    const int byte = fgetc(file);
    ck_assert_int_ne(byte, EOF);
    ck_assert_int_eq(fseek(file, (long)offset, SEEK_SET), 0);
    ck_assert_int_ne(fputc(byte ^ bits, file), EOF);
    ck_assert_int_eq(fclose(file), 0);
}

/* From here on this process cannot write files beyond `bytes`: a write fails as on a full disk. No ck_assert may
 * stand before unlimit_files, since check notes each in a file of its own. */
static inline void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    ck_assert(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
        ck_abort_msg("setrlimit");
}

static inline void unlimit_files(void)
{
    struct rlimit limit = {0};
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0)
        limit.rlim_cur = limit.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

#endif

/* maskmill-make-tars: a corpus of small JPEGs in tars, laid out as SA-1B is: FOLDER/sa_000000.tar, ... with members
 * sa_1.jpg, sa_2.jpg, .... The same arguments give the same bytes. */
#include <archive.h>
#include <archive_entry.h>
#include <argp.h>
#include <inttypes.h>
#include <stdio.h>
#include <jpeglib.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/stand_in_masks.h"

typedef struct arguments {
    const char *folder;
    uint64_t images, per_tar, broken; /* every `broken`-th is cut short; 0: none */
    uint32_t side;
} arguments;

static void must(bool good, const char *what)
{
    if (good)
        return;
    (void)fprintf(stderr, "maskmill-make-tars: %s failed\n", what);
    exit(4);
}

static unsigned char wave(uint64_t bits, uint32_t x, uint32_t y)
{
    return (unsigned char)((x * (1 + (bits & 7)) + y * (1 + (bits >> 3 & 7))) ^ (bits >> 24));
}

/* A few waves of colour over side x 0.5..1 side pixels, different in each image. libjpeg itself ends the program if it
 * runs out of memory. */
static void draw(const arguments *given, uint64_t number, unsigned char **bytes, unsigned long *size)
{
    const uint32_t width = given->side, half = width / 2;
    const uint32_t height = half + (uint32_t)(mm_stand_in_bits(number, 1) % (half + 1));
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, bytes, size);
    jpeg.image_width = width;
    jpeg.image_height = height;
    jpeg.input_components = 3;
    jpeg.in_color_space = JCS_RGB;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, 80, TRUE);
    jpeg_start_compress(&jpeg, TRUE);
    unsigned char *row = malloc((size_t)width * 3);
    must(row != NULL, "memory");
    const uint64_t bits = mm_stand_in_bits(number, 2);
    while (jpeg.next_scanline < height) {
        const uint32_t y = jpeg.next_scanline;
        for (uint32_t x = 0; x < width; x++)
            for (uint32_t c = 0; c < 3; c++)
                row[3 * x + c] = wave(bits >> 8 * c, x, y);
        JSAMPROW rows[1] = {row};
        (void)jpeg_write_scanlines(&jpeg, rows, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    free(row);
}

static void add(struct archive *tar, const arguments *given, uint64_t number)
{
    unsigned char *bytes = NULL;
    unsigned long size = 0;
    draw(given, number, &bytes, &size);
    if (given->broken > 0 && number % given->broken == 0)
        size /= 2;
    char name[64];
    (void)snprintf(name, sizeof name, "sa_%" PRIu64 ".jpg", number + 1);
    struct archive_entry *entry = archive_entry_new();
    must(entry != NULL, "memory");
    archive_entry_set_pathname(entry, name);
    archive_entry_set_size(entry, (int64_t)size);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    must(archive_write_header(tar, entry) == ARCHIVE_OK, "writing a header");
    must(archive_write_data(tar, bytes, size) == (la_ssize_t)size, "writing an image");
    archive_entry_free(entry);
    free(bytes);
}

static void write_tar(const arguments *given, uint64_t index)
{
    char path[PATH_MAX];
    const int length = snprintf(path, sizeof path, "%s/sa_%06" PRIu64 ".tar", given->folder, index);
    must(length > 0 && (size_t)length < sizeof path, "naming a tar");
    struct archive *tar = archive_write_new();
    must(tar != NULL, "memory");
    must(archive_write_set_format_ustar(tar) == ARCHIVE_OK, "choosing the format");
    must(archive_write_open_filename(tar, path) == ARCHIVE_OK, path);
    const uint64_t first = index * given->per_tar, rest = given->images - first;
    for (uint64_t i = 0; i < (rest < given->per_tar ? rest : given->per_tar); i++)
        add(tar, given, first + i);
    must(archive_write_close(tar) == ARCHIVE_OK, path);
    must(archive_write_free(tar) == ARCHIVE_OK, path);
}

static const struct argp_option rows[] = {
    {"images", 'n', "N", 0, "images in all (1000)", 0},
    {"per-tar", 't', "N", 0, "images a tar (11186, as in SA-1B)", 0},
    {"side", 's', "PIXELS", 0, "width of the images (64)", 0},
    {"broken", 'b', "N", 0, "cut every N-th image short", 0},
    {0},
};

static error_t parse(int key, char *value, struct argp_state *state)
{
    arguments *given = state->input;
    switch (key) {
    case 'n':
        given->images = strtoull(value, NULL, 10);
        return 0;
    case 't':
        given->per_tar = strtoull(value, NULL, 10);
        return 0;
    case 's':
        given->side = (uint32_t)strtoul(value, NULL, 10);
        return 0;
    case 'b':
        given->broken = strtoull(value, NULL, 10);
        return 0;
    case ARGP_KEY_ARG:
        given->folder = value;
        return 0;
    case ARGP_KEY_END:
        if (!given->folder || given->images == 0 || given->per_tar == 0 || given->side < 8)
            argp_usage(state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int main(int argc, char **argv)
{
    static const struct argp argp = {rows, parse, "FOLDER", "Write small JPEGs into tars.", NULL, NULL, NULL};
    arguments given = {.images = 1000, .per_tar = 11186, .side = 64};
    if (argp_parse(&argp, argc, argv, 0, NULL, &given) != 0)
        return 2;
    (void)mkdir(given.folder, 0777); /* there already: fine; else opening the first tar says so */
    for (uint64_t index = 0; index * given.per_tar < given.images; index++)
        write_tar(&given, index);
    return 0;
}

/* A sample of photographs with their masks, spread evenly over the dataset, always the same ones. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/format.h"
#include "report/html.h"
#include "report/overlay.h"
#include "report/page.h"

enum { LONG_SIDE = 640, QUALITY = 80, TRIES = 16, NAME_LENGTH = 60, MOST_FURTHER = 6 };

/* What people made, confident masks and hints; the style sheet has them as well. */
enum { HUMAN, CONFIDENT, HINT, KINDS };
static const uint8_t kind_colours[KINDS][3] = {{214, 60, 200}, {30, 190, 90}, {245, 150, 20}};

typedef struct sample {
    mm_record record;
    char *name;
    uint8_t *jpeg;
    size_t jpeg_size;
    uint32_t width, height; /* of the picture */
    bool further;           /* show kinds of masks rather than each mask */
    uint64_t kinds[KINDS];  /* how many of each, then */
} sample;

static void free_sample(sample *s)
{
    mm_record_free(&s->record);
    free(s->name);
    free(s->jpeg);
    *s = (sample){0};
}

/* The photograph's pixels, small; their sides at least 1. */
static mm_status shrink(mm_image *image, mm_error *err)
{
    const uint32_t longer = image->width > image->height ? image->width : image->height;
    if (longer <= LONG_SIDE)
        return MM_OK;
    const double scale = (double)LONG_SIDE / longer;
    const uint32_t width = (uint32_t)fmax(lrint(image->width * scale), 1);
    const uint32_t height = (uint32_t)fmax(lrint(image->height * scale), 1);
    mm_image small;
    const mm_status status = mm_image_resize_bilinear(mm_image_whole(image), width, height, &small, err);
    if (status != MM_OK)
        return status;
    mm_image_free(image);
    *image = small;
    return MM_OK;
}

/* Masks of `from` of this source (any: -1) at the end of masks[*count] and of their colours. */
static mm_status add_kind(const mm_record *from, int source, int kind, sample *s, mm_rle *masks, uint8_t (*colours)[3],
                          size_t *count, mm_error *err)
{
    for (uint64_t i = 0; from && i < from->mask_count; i++) {
        if (source >= 0 && from->source[i] != source)
            continue;
        const mm_status status =
            mm_rle_from_counts(from->rle + from->rle_offset[i], (size_t)(from->rle_offset[i + 1] - from->rle_offset[i]),
                               from->height, from->width, &masks[*count], err);
        if (status != MM_OK)
            return status;
        memcpy(colours[*count], kind_colours[kind], sizeof colours[0]);
        ++*count;
        s->kinds[kind]++;
    }
    return MM_OK;
}

static mm_status draw_kinds(mm_image *image, sample *s, mm_error *err)
{
    const mm_record *r = &s->record;
    const size_t most = (size_t)(r->mask_count + (r->confident ? r->confident->mask_count : 0) +
                                 (r->hints ? r->hints->mask_count : 0));
    size_t count = 0;
    memset(s->kinds, 0, sizeof s->kinds);
    mm_rle *masks = calloc(most + 1, sizeof *masks); /* + 1: never NULL for nothing */
    uint8_t(*colours)[3] = calloc(most + 1, sizeof *colours);
    mm_status status = masks && colours ? MM_OK : mm_fail_memory(err, "masks");
    if (status == MM_OK)
        status = add_kind(r, 2, HUMAN, s, masks, colours, &count, err);
    if (status == MM_OK)
        status = add_kind(r->confident, -1, CONFIDENT, s, masks, colours, &count, err);
    if (status == MM_OK)
        status = add_kind(r->hints, -1, HINT, s, masks, colours, &count, err);
    if (status == MM_OK)
        status = mm_overlay_draw_coloured(image, masks, (const uint8_t(*)[3])colours, count, err);
    for (size_t i = 0; i < count; i++)
        mm_rle_free(&masks[i]);
    free(masks);
    free(colours);
    return status;
}

static mm_status draw_masks(mm_image *image, const sample *s, mm_error *err)
{
    mm_rle *masks = NULL;
    mm_status status = mm_photograph_masks(&s->record, &masks, err);
    if (status == MM_OK)
        status = mm_overlay_draw(image, masks, (size_t)s->record.mask_count, err);
    mm_photograph_masks_free(&s->record, masks);
    return status;
}

static mm_status draw(const mm_photographs *photographs, sample *s, mm_error *err)
{
    mm_image image = {0};
    if ((uint64_t)s->record.width * s->record.height > photographs->config.image.max_pixels)
        return mm_fail(err, MM_ERR_LIMIT, "image %" PRIu64 " is larger than image.max_pixels", s->record.image_id);
    mm_status status = mm_photographs_read(photographs, s->record.image_id, &image, err);
    if (status == MM_OK)
        status = shrink(&image, err);
    if (status == MM_OK)
        status = s->further ? draw_kinds(&image, s, err) : draw_masks(&image, s, err);
    if (status == MM_OK)
        status = mm_image_encode_jpeg(mm_image_whole(&image), QUALITY, &s->jpeg, &s->jpeg_size, err);
    s->width = image.width;
    s->height = image.height;
    mm_image_free(&image);
    return status;
}

/* The first image at or behind *row that was done and whose photograph can be read; *row is then its row. False if
 * there is none before `end`, or none within a few tries (`err` says what was wrong with the last). */
static bool find_sample(const mm_page *page, const mm_photographs *photographs, uint64_t *row, uint64_t end, bool further,
                        sample *s, mm_error *err)
{
    for (int tries = 0; *row < end && tries < TRIES; ++*row, tries++) {
        *s = (sample){.further = further};
        mm_status status = mm_dataset_read(page->dataset, *row, &s->record, &s->name, err);
        if (status == MM_OK && s->record.status == MM_IMAGE_DONE && draw(photographs, s, err) == MM_OK)
            return true;
        free_sample(s);
    }
    return false;
}

static void print_sample(FILE *out, const sample *s)
{
    char number[MM_NUMBER_TEXT];
    const char *plural = s->record.mask_count == 1 ? "" : "s";
    mm_format_count(number, sizeof number, s->record.mask_count);
    (void)fprintf(out, "<figure><img width=\"%" PRIu32 "\" height=\"%" PRIu32 "\" alt=\"", s->width, s->height);
    mm_html_text_short(out, s->name, NAME_LENGTH);
    (void)fprintf(out, " with %s mask%s drawn over it\" src=\"data:image/jpeg;base64,", number, plural);
    mm_html_base64(out, s->jpeg, s->jpeg_size);
    (void)fputs("\"><figcaption>", out);
    mm_html_text_short(out, s->name, NAME_LENGTH);
    if (s->further)
        (void)fprintf(out, "<span>%" PRIu64 " by people, %" PRIu64 " confident, %" PRIu64 " hint%s", s->kinds[HUMAN],
                      s->kinds[CONFIDENT], s->kinds[HINT], s->kinds[HINT] == 1 ? "" : "s");
    else
        (void)fprintf(out, "<span>%s mask%s, %" PRIu32 " \xc3\x97 %" PRIu32, number, plural, s->record.width,
                      s->record.height);
    (void)fprintf(out, ", no. %" PRIu64 "</span></figcaption></figure>\n", s->record.image_id);
}

/* Spreads i over all 64 bits (the finaliser of splitmix64). */
static uint64_t scatter(uint64_t i)
{
    i = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    i = (i ^ i >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    i = (i ^ i >> 27) * UINT64_C(0x94d049bb133111eb);
    return i ^ i >> 31;
}

/* One from each of `wanted` equal parts of the dataset, always the same, but at another place in each part: photographs
 * of one series stand at equal distances. Returns how many were found. */
static uint64_t print_samples(const mm_page *page, const mm_photographs *photographs, uint64_t wanted, bool further,
                              mm_error *err)
{
    const uint64_t images = mm_dataset_images(page->dataset);
    uint64_t found = 0, next = 0;
    for (uint64_t i = 0; i < wanted; i++) {
        const uint64_t start = images / wanted * i + images % wanted * i / wanted;
        const uint64_t end = images / wanted * (i + 1) + images % wanted * (i + 1) / wanted;
        uint64_t row = start + scatter(i) % (end - start); /* no part is empty: there are at least `wanted` images */
        row = row > next ? row : next; /* what an earlier part found behind its own end is not shown twice */
        sample s;
        if (!find_sample(page, photographs, &row, images, further, &s, err))
            continue;
        next = row + 1;
        print_sample(page->out, &s);
        free_sample(&s);
        found++;
    }
    return found;
}

/* `wanted` pictures, or why there are not as many. */
static void print_pictures(const mm_page *page, uint64_t wanted, bool further)
{
    FILE *out = page->out;
    mm_error err = {0};
    mm_photographs photographs;
    uint64_t found = 0;
    const bool open =
        wanted > 0 && mm_photographs_open(page->dataset, page->options->corpus, &photographs, &err) == MM_OK;
    if (open) {
        (void)fputs("<div class=\"samples\">\n", out);
        found = print_samples(page, &photographs, wanted, further, &err);
        (void)fputs("</div>\n", out);
        mm_photographs_close(&photographs);
    }
    if (found < wanted || wanted == 0) {
        (void)fputs("<p class=\"empty\">", out);
        (void)fputs(found ? "Some photographs could not be shown. " : "No photograph can be shown. ", out);
        mm_html_text(out, err.text);
        if (err.text[0])
            (void)fputs("<br><code>--corpus FOLDER</code> tells where the photographs are, if they were moved.", out);
        (void)fputs("</p>\n", out);
    }
}

static uint64_t at_most_all(const mm_page *page, uint64_t wanted)
{
    const uint64_t images = mm_dataset_images(page->dataset);
    return wanted < images ? wanted : images;
}

void mm_page_further_samples(const mm_page *page)
{
    const uint64_t wanted = page->options->samples < MOST_FURTHER ? page->options->samples : MOST_FURTHER;
    if (wanted > 0)
        print_pictures(page, at_most_all(page, wanted), true);
}

void mm_page_samples(const mm_page *page)
{
    if (page->options->samples == 0)
        return;
    (void)fputs("<section id=\"samples\">\n<h2>Sample</h2>\n<p>Photographs with their masks, spread evenly over the "
                "dataset; each mask has "
                "a colour of its own.</p>\n", page->out);
    print_pictures(page, at_most_all(page, page->options->samples), false);
    (void)fputs("</section>\n", page->out);
}

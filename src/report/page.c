/* The page as a whole: what it needs is gathered, then its sections are written one after the other. */
#include "report/page.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/format.h"
#include "report/html.h"

/* --- Gathering. What is missing is said where it would have been shown. --- */

/* "folder/name"; false if that is too long. */
static bool beside(const mm_page *page, const char *name, char *path, size_t size)
{
    const int length = snprintf(path, size, "%s/%s", mm_dataset_folder(page->dataset), name);
    return length > 0 && (size_t)length < size;
}

static void gather_run(mm_page *page)
{
    char path[PATH_MAX];
    mm_error err = {0};
    if (beside(page, "run.json", path, sizeof path) && mm_run_json_read(path, &page->run, &err) != MM_OK)
        (void)snprintf(page->run_trouble, sizeof page->run_trouble, "%s", err.text);
}

static void gather_set_aside(mm_page *page)
{
    char path[PATH_MAX];
    mm_error err = {0};
    if (beside(page, "quarantine.tsv", path, sizeof path) && mm_aside_read(path, page->aside, &err) != MM_OK)
        (void)snprintf(page->aside_trouble, sizeof page->aside_trouble, "%s", err.text);
}

static mm_status gather(mm_page *page, mm_error *err)
{
    page->stats = malloc(sizeof *page->stats);
    page->aside = calloc(1, sizeof *page->aside);
    if (!page->stats || !page->aside)
        return mm_fail_memory(err, "a report");
    const mm_status status = mm_dataset_statistics(page->dataset, page->stats, err);
    if (status != MM_OK)
        return status;
    mm_distributions_of(page->stats, page->distributions);
    page->has_config = mm_config_from_yaml(mm_dataset_origin(page->dataset)->config_yaml, &page->config, NULL) == MM_OK;
    gather_run(page);
    gather_set_aside(page);
    return MM_OK;
}

static void release(mm_page *page)
{
    json_decref(page->run);
    if (page->aside)
        mm_aside_free(page->aside);
    free(page->aside);
    free(page->stats);
}

/* --- Writing. --- */

/* Rows that are neither done nor set aside: near-duplicates, if corpus.duplicates says so. */
static void print_skipped(const mm_page *page)
{
    char text[MM_NUMBER_TEXT];
    const uint64_t images = mm_dataset_images(page->dataset);
    const uint64_t seen = page->stats->images_done + page->stats->images_set_aside;
    if (images > seen)
        (void)fprintf(page->out, "; %s image%s skipped as near-duplicate%s",
                      mm_format_count(text, sizeof text, images - seen), images - seen == 1 ? " was" : "s were", images - seen == 1 ? "" : "s");
}

static void print_title(const mm_page *page)
{
    FILE *out = page->out;
    const mm_stats *stats = page->stats;
    char images[MM_NUMBER_TEXT], masks[MM_NUMBER_TEXT];
    (void)fputs("<header>\n<p class=\"kicker\">maskmill report</p>\n<h1>", out);
    mm_html_text_short(out, page->name, 120);
    (void)fprintf(out, "</h1>\n<p class=\"lead\">%s mask%s of %s photograph%s, made by ",
                  mm_format_count(masks, sizeof masks, stats->masks), stats->masks == 1 ? "" : "s",
                  mm_format_count(images, sizeof images, stats->images_done), stats->images_done == 1 ? "" : "s");
    mm_html_text_short(out, mm_dataset_origin(page->dataset)->model_name, 80);
    print_skipped(page);
    (void)fputs(".</p>\n<nav aria-label=\"Sections\"><ul>\n<li><a href=\"#masks\">Masks</a></li><li><a "
                "href=\"#scores\">Scores</a></li>", out);
    if (mm_page_has_further(page))
        (void)fputs("<li><a href=\"#further\">Sources</a></li>", out);
    (void)fputs("<li><a href=\"#images\">Image sizes</a></li><li><a href=\"#funnel\">Filters</a></li><li><a "
                "href=\"#times\">Times</a></li>"
                "<li><a href=\"#set-aside\">Set aside</a></li>", out);
    if (page->options->samples)
        (void)fputs("<li><a href=\"#samples\">Sample</a></li>", out);
    (void)fputs("<li><a href=\"#origin\">How it was made</a></li>\n</ul></nav>\n</header>\n<main>\n", out);
}

static void print_tile(FILE *out, const char *what, const char *value, const char *note, bool published)
{
    (void)fprintf(out, "<li><span class=\"what\">%s</span><span class=\"value\">%s</span>", what, value);
    if (note && *note)
        (void)fprintf(out, "<span class=\"note%s\">%s</span>", published ? " published" : "", note);
    (void)fputs("</li>\n", out);
}

static const char *mean_of(uint64_t sum, uint64_t count, char *text, size_t size)
{
    return mm_format_count(text, size, count ? (sum + count / 2) / count : 0);
}

void mm_page_overview(const mm_page *page)
{
    FILE *out = page->out;
    const mm_stats *stats = page->stats;
    const uint64_t images = stats->images_done + stats->images_set_aside;
    char text[MM_NUMBER_TEXT], percent[MM_NUMBER_TEXT], note[96];
    (void)fputs("<ul class=\"tiles\" aria-label=\"Key figures\">\n", out);
    print_tile(out, "Images", mm_format_count(text, sizeof text, images), "SA-1B: 11 million", true);
    print_tile(out, "Masks", mm_format_count(text, sizeof text, stats->masks), "SA-1B: 1.1 billion", true);
    (void)snprintf(text, sizeof text, "%.1f",
                   stats->images_done ? (double)stats->masks / (double)stats->images_done : 0.0);
    print_tile(out, "Masks an image", text, "SA-1B: about 100", true);
    (void)snprintf(note, sizeof note, "%s of the corpus",
                   mm_format_percent(percent, sizeof percent, stats->images_set_aside, images));
    print_tile(out, "Images set aside", mm_format_count(text, sizeof text, stats->images_set_aside), note, false);
    print_tile(out, "Pixels a mask", mean_of(stats->pixels_masked, stats->masks, text, sizeof text), "on average",
               false);
    print_tile(out, "Bytes a mask", mean_of(stats->rle_bytes, stats->masks, text, sizeof text), "of run lengths, on "
                                                                                                "average",
               false);
    if (page->run) {
        const double ranks = mm_run_json_number(page->run, "ranks");
        (void)snprintf(note, sizeof note, "on %.0f rank%s", ranks, ranks == 1 ? "" : "s");
        print_tile(out, "Images a second",
                   mm_format_pace(text, sizeof text, mm_run_json_number(page->run, "images_per_second")),
                   ranks > 0 ? note : NULL, false);
        print_tile(out, "The run took", mm_format_duration(text, sizeof text, mm_run_json_number(page->run, "seconds")),
                   "from start to end", false);
    }
    (void)fputs("</ul>\n", out);
}

static void print_foot(const mm_page *page)
{
    (void)fputs("</main>\n<footer>\n<p>Numbers are those of <code>maskmill stats</code>. SA-1B\xe2\x80\x99s are quoted "
                "from Kirillov et al., "
                "<cite>Segment Anything</cite>, arXiv 2304.02643, sections 4 and 5 and appendix B. Where that paper "
                "gives a curve "
                "only, nothing is drawn.</p>\n</footer>\n</div>\n</body>\n</html>\n", page->out);
}

static void print_page(const mm_page *page)
{
    mm_html_head(page->out, page->name, "maskmill report");
    print_title(page);
    mm_page_overview(page);
    mm_page_masks(page);
    mm_page_scores(page);
    mm_page_further(page);
    mm_page_images(page);
    mm_page_funnel(page);
    mm_page_times(page);
    mm_page_set_aside(page);
    mm_page_samples(page);
    mm_page_origin(page);
    print_foot(page);
}

/* The last component of the folder's real path. */
static const char *name_of(const mm_dataset *dataset, char real[PATH_MAX])
{
    if (!realpath(mm_dataset_folder(dataset), real))
        return mm_dataset_folder(dataset);
    const char *slash = strrchr(real, '/');
    return slash && slash[1] ? slash + 1 : real;
}

mm_status mm_report_html(const char *path, const mm_report_options *options, FILE *out, mm_error *err)
{
    mm_dataset *dataset = NULL;
    char real[PATH_MAX];
    mm_status status = mm_dataset_open(path, &dataset, err);
    if (status != MM_OK)
        return status;
    mm_page page = {.options = options, .dataset = dataset, .name = name_of(dataset, real), .out = out};
    status = gather(&page, err);
    if (status == MM_OK)
        print_page(&page);
    release(&page);
    mm_dataset_close(dataset);
    return status;
}

/* Where the dataset comes from: model, configuration, machines. */
#include <inttypes.h>
#include <string.h>

#include "base/format.h"
#include "report/html.h"
#include "report/page.h"

enum { TEXT_LENGTH = 400, LISTED = 16 };

static void print_fact(FILE *out, const char *name, const char *value)
{
    if (!value || !*value)
        return;
    (void)fprintf(out, "<dt>%s</dt><dd>", name);
    mm_html_text_short(out, value, TEXT_LENGTH);
    (void)fputs("</dd>\n", out);
}

static void print_sha256(FILE *out, const char *value)
{
    (void)fputs("<dt>SHA-256 of the model</dt><dd><code>", out);
    mm_html_text_short(out, value, 64);
    (void)fputs("</code></dd>\n", out);
}

static void print_list(FILE *out, const char *name, const json_t *list, const char *separator)
{
    const size_t count = json_array_size(list);
    if (count == 0)
        return;
    (void)fprintf(out, "<dt>%s</dt><dd>", name);
    for (size_t i = 0; i < count && i < LISTED; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        (void)fputs(i ? separator : "", out);
        mm_html_text_short(out, text ? text : "?", TEXT_LENGTH);
    }
    if (count > LISTED)
        (void)fprintf(out, "%sand %zu more", separator, count - LISTED);
    (void)fputs("</dd>\n", out);
}

static void print_hosts(const mm_page *page)
{
    FILE *out = page->out;
    const json_t *hosts = json_object_get(page->run, "hosts");
    const size_t count = json_array_size(hosts);
    const double ranks = mm_run_json_number(page->run, "ranks");
    const double threads = mm_run_json_number(page->run, "threads_per_rank");
    if (ranks > 0)
        (void)fprintf(out, "<dt>Ranks</dt><dd>%.0f, with %.0f thread%s each"
                           "</dd>\n", ranks, threads, threads == 1 ? "" : "s");
    if (count == 0)
        return;
    (void)fprintf(out, "<dt>Host%s</dt><dd>", count == 1 ? "" : "s");
    for (size_t i = 0; i < count && i < LISTED; i++) {
        const json_t *host = json_array_get(hosts, i);
        const char *name = mm_run_json_text(host, "host");
        const double on_host = mm_run_json_number(host, "ranks");
        (void)fputs(i ? ", " : "", out);
        mm_html_text_short(out, name ? name : "?", 80);
        if (on_host >= 0)
            (void)fprintf(out, " (%.0f)", on_host);
    }
    if (count > LISTED)
        (void)fprintf(out, ", and %zu more", count - LISTED);
    (void)fputs("</dd>\n", out);
}

static void print_run(const mm_page *page)
{
    FILE *out = page->out;
    print_list(out, "Command", json_object_get(page->run, "command"), " ");
    print_list(out, "Corpus", json_object_get(json_object_get(page->run, "corpus"), "sources"), "<br>");
    print_list(out, "Kernels", json_object_get(page->run, "kernels"), "<br>");
    print_hosts(page);
    print_fact(out, "Begun", mm_run_json_text(page->run, "started"));
    print_fact(out, "Ended", mm_run_json_text(page->run, "ended"));
    print_fact(out, "maskmill", mm_run_json_text(page->run, "maskmill"));
}

void mm_page_origin(const mm_page *page)
{
    FILE *out = page->out;
    const mm_shard_origin *origin = mm_dataset_origin(page->dataset);
    char shards[MM_NUMBER_TEXT], bytes[MM_NUMBER_TEXT];
    (void)fputs("<section id=\"origin\">\n<h2>How it was made</h2>\n<p>What is needed to make the same dataset again."
                "</p>\n"
                "<div class=\"card\"><dl class=\"facts\">\n", out);
    print_fact(out, "Model", origin->model_name);
    print_fact(out, "Model file", mm_run_json_text(json_object_get(page->run, "model"), "path"));
    print_sha256(out, origin->model_sha256);
    (void)fprintf(out, "<dt>Shards</dt><dd>%s, with %s of run lengths</dd>\n",
                  mm_format_count(shards, sizeof shards, mm_dataset_shards(page->dataset)),
                  mm_format_bytes(bytes, sizeof bytes, page->stats->rle_bytes));
    print_run(page);
    (void)fputs("</dl>\n<details id=\"config\"><summary>Configuration</summary><div class=\"scroll\" tabindex=\"0\">"
                "<pre>", out);
    mm_html_text(out, origin->config_yaml);
    (void)fputs("</pre></div></details>\n</div>\n</section>\n", out);
}

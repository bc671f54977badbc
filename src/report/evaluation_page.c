/* Evaluations as a page: a table, then curves of all models in each chart. */
#include "base/format.h"
#include "maskmill/evaluation.h"
#include "report/curves.h"
#include "report/html.h"

typedef struct page {
    const mm_evaluation_result *results;
    size_t count;
    FILE *out;
    uint32_t most_clicks;
    bool generated;
} page;

static void print_cell(FILE *out, bool known, double value)
{
    if (known)
        (void)fprintf(out, "<td class=\"number\">%.4f</td>", value);
    else
        (void)fputs("<td class=\"number\">-</td>", out);
}

static void print_table(const page *p)
{
    FILE *out = p->out;
    (void)fputs("<div class=\"card wide\"><table id=\"models\"><thead><tr><th scope=\"col\">model</th><th scope=\"col\" "
                "class=\"number\">masks</th><th scope=\"col\" class=\"number\">1 click</th><th scope=\"col\" "
                "class=\"number\">last click</th><th scope=\"col\" class=\"number\">box</th><th scope=\"col\" "
                "class=\"number\">predicted IoU off by</th><th scope=\"col\" class=\"number\">recall at 0.5</th><th "
                "scope=\"col\" class=\"number\">at 0.75</th><th scope=\"col\" class=\"number\">masks an image</th></tr>"
                "</thead><tbody>\n", out);
    for (size_t i = 0; i < p->count; i++) {
        const mm_evaluation_result *r = &p->results[i];
        const bool made = r->generated.images > 0;
        (void)fputs("<tr><th scope=\"row\">", out);
        mm_html_text_short(out, r->model, 60);
        (void)fprintf(out, "</th><td class=\"number\">%.0f</td>", r->masks);
        print_cell(out, true, r->clicks[0]);
        print_cell(out, true, r->clicks[r->click_count - 1]);
        print_cell(out, true, r->box);
        print_cell(out, true, r->iou_error);
        print_cell(out, made, r->generated.recall[0]);
        print_cell(out, made, r->generated.recall[5]);
        if (made)
            (void)fprintf(out, "<td class=\"number\">%.1f</td></tr>\n",
                          r->generated.made / (double)r->generated.images);
        else
            (void)fputs("<td class=\"number\">-</td></tr>\n", out);
    }
    (void)fputs("</tbody></table></div>\n", out);
}

static void print_clicks(const page *p)
{
    mm_curve curves[MM_EVALUATE_MODELS];
    for (size_t i = 0; i < p->count; i++) {
        const mm_evaluation_result *r = &p->results[i];
        curves[i] = (mm_curve){.name = r->model, .count = r->click_count};
        for (uint32_t k = 0; k < r->click_count; k++) {
            curves[i].x[k] = k + 1;
            curves[i].y[k] = r->clicks[k];
        }
    }
    mm_curves_figure(p->out, &(mm_curves){.id = "clicks", .title = "IoU by clicks",
                                          .explanation = "Mean IoU of the answer, the output that the model thinks best.",
                                          .x_name = "clicks", .y_name = "mean IoU", .curves = curves, .count = p->count,
                                          .first = 1, .last = p->most_clicks, .step = 1});
}

static void print_calibration(const page *p)
{
    mm_curve curves[MM_EVALUATE_MODELS];
    for (size_t i = 0; i < p->count; i++) {
        const mm_evaluation_result *r = &p->results[i];
        curves[i] = (mm_curve){.name = r->model};
        for (int k = 0; k < MM_EVALUATE_BINS; k++)
            if (r->calibration[k].count > 0) {
                curves[i].x[curves[i].count] = r->calibration[k].predicted;
                curves[i].y[curves[i].count++] = r->calibration[k].truth;
            }
    }
    mm_curves_figure(p->out, &(mm_curves){.id = "calibration", .title = "Predicted and true IoU",
                                          .explanation = "Answers to one click, by predicted IoU in tenths. On the broken "
                                                         "line predictions are right.",
                                          .x_name = "mean predicted IoU", .y_name = "mean true IoU", .curves = curves,
                                          .count = p->count, .first = 0, .last = 1, .step = 0.2, .decimals = 1,
                                          .diagonal = true});
}

static void print_recall(const page *p, bool precision)
{
    mm_curve curves[MM_EVALUATE_MODELS];
    for (size_t i = 0; i < p->count; i++) {
        const mm_evaluation_result *r = &p->results[i];
        curves[i] = (mm_curve){.name = r->model, .count = r->generated.images ? MM_EVALUATE_IOUS : 0};
        for (int k = 0; k < MM_EVALUATE_IOUS; k++) {
            curves[i].x[k] = mm_evaluation_iou(k);
            curves[i].y[k] = precision ? r->generated.precision[k] : r->generated.recall[k];
        }
    }
    mm_curves_figure(
        p->out, &(mm_curves){.id = precision ? "precision" : "recall",
                             .title = precision ? "Masks from the grid that are in the dataset"
                                                : "Masks of the dataset that the grid finds",
                             .explanation = precision ? "Low where the dataset leaves things out, whatever the model."
                                                      : "Share of masks met by a generated mask with that IoU or more.",
                             .x_name = "IoU", .y_name = precision ? "share of generated masks" : "recall",
                             .curves = curves, .count = p->count, .first = 0.5, .last = 0.95, .step = 0.1, .decimals = 2});
}

/* How figures went from one model to the next. */
static void print_course(const page *p)
{
    mm_curve curves[4] = {{.name = "one click"}, {.name = "a box"}, {.name = "recall at IoU 0.5"},
                          {.name = "recall at IoU 0.75"}};
    for (size_t i = 0; i < p->count; i++) {
        const mm_evaluation_result *r = &p->results[i];
        const double values[4] = {r->clicks[0], r->box, r->generated.recall[0], r->generated.recall[5]};
        for (int k = 0; k < (r->generated.images ? 4 : 2); k++) {
            curves[k].x[curves[k].count] = (double)i + 1;
            curves[k].y[curves[k].count++] = values[k];
        }
    }
    mm_curves_figure(p->out, &(mm_curves){.id = "course", .title = "From model to model",
                                          .explanation = "In the order of the table, as in rounds of training.",
                                          .x_name = "model", .y_name = "IoU or recall", .curves = curves,
                                          .count = p->generated ? 4 : 2, .first = 1, .last = (double)p->count, .step = 1});
}

static void print_parts(const page *p, const char *title, const char *id, const char *const *names, size_t count, bool sizes)
{
    FILE *out = p->out;
    (void)fprintf(out, "<section id=\"%s\">\n<h2>%s</h2>\n<div class=\"card wide\"><table><thead><tr><th "
                       "scope=\"col\">model</th><th scope=\"col\">masks</th><th scope=\"col\" class=\"number\">number</th><th "
                       "scope=\"col\" class=\"number\">1 click</th><th scope=\"col\" class=\"number\">box</th><th "
                       "scope=\"col\" class=\"number\">recall at 0.5</th><th scope=\"col\" class=\"number\">at 0.75</th></tr>"
                       "</thead><tbody>\n", id, title);
    for (size_t i = 0; i < p->count; i++)
        for (size_t k = 0; k < count; k++) {
            const mm_evaluation_part *part = sizes ? &p->results[i].sizes[k] : &p->results[i].sources[k];
            if (!(part->masks > 0) && !(part->sought > 0))
                continue;
            (void)fputs("<tr><th scope=\"row\">", out);
            mm_html_text_short(out, p->results[i].model, 60);
            (void)fprintf(out, "</th><td>%s</td><td class=\"number\">%.0f</td>", names[k], part->masks);
            print_cell(out, part->masks > 0, part->clicks[0]);
            print_cell(out, part->masks > 0, part->box);
            print_cell(out, part->sought > 0, part->recall[0]);
            print_cell(out, part->sought > 0, part->recall[5]);
            (void)fputs("</tr>\n", out);
        }
    (void)fputs("</tbody></table></div>\n</section>\n", out);
}

void mm_evaluation_page(const mm_evaluation_result *results, size_t count, FILE *out)
{
    page p = {.results = results, .count = count < MM_EVALUATE_MODELS ? count : MM_EVALUATE_MODELS, .out = out};
    if (!count)
        return;
    for (size_t i = 0; i < p.count; i++) {
        p.most_clicks = results[i].click_count > p.most_clicks ? results[i].click_count : p.most_clicks;
        p.generated = p.generated || results[i].generated.images > 0;
    }
    mm_html_head(out, results[0].dataset, "maskmill evaluation");
    (void)fputs("<header>\n<p class=\"kicker\">maskmill evaluation</p>\n<h1>", out);
    mm_html_text_short(out, results[0].dataset, 120);
    (void)fprintf(out, "</h1>\n<p class=\"lead\">%zu model%s asked for the masks of a dataset. docs/training.md says how."
                       "</p>\n</header>\n<main>\n", p.count, p.count == 1 ? "" : "s");
    print_table(&p);
    (void)fputs("<section id=\"curves\">\n<h2>Curves</h2>\n<div class=\"charts\">\n", out);
    print_clicks(&p);
    print_calibration(&p);
    if (p.generated) {
        print_recall(&p, false);
        print_recall(&p, true);
    }
    if (p.count > 1)
        print_course(&p);
    (void)fputs("</div>\n</section>\n", out);
    print_parts(&p, "By size", "sizes", mm_evaluation_size_names, MM_EVALUATE_SIZES, true);
    print_parts(&p, "By source", "sources", mm_evaluation_source_names, MM_EVALUATE_SOURCES, false);
    (void)fputs("</main>\n</div>\n</body>\n</html>\n", out);
}

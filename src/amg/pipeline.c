/* Automatic mask generation, the steps in the order of the reference's generate(): crops, each encoded, prompted,
 * filtered, freed of duplicates and brought back to the frame; then duplicates across crops, then cleaning. */
#include <omp.h>
#include <stdlib.h>

#include "amg/steps.h"

mm_amg_params mm_amg_defaults(void)
{
    return (mm_amg_params){
        .points_per_side = 32,
        .pred_iou_thresh = 0.88f,
        .stability_score_thresh = 0.95f,
        .stability_score_offset = 1.0f,
        .box_nms_thresh = 0.7,
        .crop_nms_thresh = 0.7,
        .crop_overlap_ratio = 512.0 / 1500.0,
        .crop_n_points_downscale_factor = 1,
    };
}

void mm_annotations_free(mm_annotations *annotations)
{
    for (size_t i = 0; i < annotations->count; i++)
        mm_rle_free(&annotations->items[i].rle);
    free(annotations->items);
    *annotations = (mm_annotations){0};
}

/* One image in work. */
typedef struct generation {
    const mm_predictor *predictor;
    const mm_amg_params *params;
    mm_image_view image; /* as it came */
    mm_image_view frame; /* as masks see it: the same pixels, or a reduced copy in `resized` */
    mm_image resized;
    mm_annotations *annotations; /* takes funnel and times; its width and height are the frame's */
    const mm_hint_params *hint_params; /* NULL: no hints */
    mm_candidates hints;               /* of the crops so far, in the frame */
} generation;

static mm_status prepare_frame(generation *g, mm_error *err)
{
    mm_annotations *a = g->annotations;
    mm_amg_frame_size(g->image.width, g->image.height, g->params->short_side, &a->width, &a->height);
    g->frame = g->image;
    if (a->width == g->image.width && a->height == g->image.height)
        return MM_OK;
    const double start = omp_get_wtime();
    mm_status status = mm_image_resize_bilinear(g->image, a->width, a->height, &g->resized, err);
    a->seconds_frame = omp_get_wtime() - start;
    if (!status)
        g->frame = mm_image_whole(&g->resized);
    return status;
}

/* What is encoded for a crop: layer 0 takes the frame's own pixels, the smaller windows the original's, which may
 * have more of them. */
static mm_image_view view_of_crop(const generation *g, const mm_crop *crop)
{
    if (crop->layer == 0)
        return g->frame;
    const mm_annotations *a = g->annotations;
    uint32_t source[4];
    mm_amg_source_window(crop->box, a->width, a->height, g->image.width, g->image.height, source);
    return mm_image_crop(g->image, source[0], source[1], source[2], source[3]);
}

/* Whether masks need no area, and no stability but that it suffices, before NMS. */
static bool may_park(const generation *g)
{
    const mm_amg_params *params = g->params;
    return !g->hint_params && !(params->max_area_fraction > 0) && params->stability_score_thresh > 0;
}

/* Masks of a crop have the size of its window in the frame. */
static mm_status new_upsampler(const generation *g, mm_frame encoded, const mm_crop *crop, mm_upsampler **upsampler,
                               mm_judge **judge, mm_error *err)
{
    encoded.width = crop->box[2] - crop->box[0];
    encoded.height = crop->box[3] - crop->box[1];
    *judge = NULL;
    mm_status status = mm_upsampler_new(&encoded, upsampler, err);
    if (!status && may_park(g)) {
        status = mm_judge_new(&encoded, judge, err);
        if (status)
            mm_upsampler_free(*upsampler);
    }
    return status;
}

/* max_area_fraction, steps 7 and 8 of one crop; what is left is in the frame. */
static mm_status filter_crop(const generation *g, const mm_prediction *prediction, mm_candidates *list, mm_error *err)
{
    const mm_amg_params *params = g->params;
    mm_annotations *a = g->annotations;
    mm_amg_filter_area(list, params->max_area_fraction, a->width, a->height);
    a->funnel.after_area += list->count;
    mm_amg_filter_edge(list, a->width, a->height);
    a->funnel.after_edge += list->count;
    mm_status status = mm_amg_nms_crop(list, params->box_nms_thresh, err);
    if (status)
        return status;
    a->funnel.after_crop_nms += list->count;
    status = mm_amg_unpark(prediction, list, err);
    if (status)
        return status;
    return mm_amg_uncrop(list, a->width, a->height, err);
}

static mm_status process_crop(generation *g, const mm_crop *crop, mm_candidates *out, mm_candidates *hints,
                              mm_error *err)
{
    const mm_predictor *predictor = g->predictor;
    mm_annotations *a = g->annotations;
    const mm_image_view view = view_of_crop(g, crop);
    mm_frame encoded;
    const double start = omp_get_wtime();
    mm_status status = predictor->set_image(predictor->user, view, &encoded, err);
    a->seconds_encode += omp_get_wtime() - start;
    if (status)
        return status;

    mm_upsampler *upsampler;
    mm_judge *judge;
    status = new_upsampler(g, encoded, crop, &upsampler, &judge, err);
    if (status)
        return status;
    mm_prediction prediction = {.predictor = predictor, .params = g->params, .upsampler = upsampler, .judge = judge, .crop = crop,
                                .encoded_width = view.width, .encoded_height = view.height, .funnel = &a->funnel,
                                .hint_params = g->hint_params, .hints = hints};
    status = mm_amg_predict(&prediction, out, err);
    a->crops++;
    a->prompts += prediction.prompts;
    a->prompts_kept += prediction.prompts_kept;
    a->seconds_decode += prediction.seconds_decode;
    a->seconds_masks += prediction.seconds_masks;
    if (!status && crop->layer == 0 && predictor->whole_image)
        status = predictor->whole_image(predictor->user, err);

    const double filtering = omp_get_wtime();
    if (!status)
        status = filter_crop(g, &prediction, out, err);
    if (!status && g->hint_params)
        status = mm_amg_hints_crop(hints, g->params, a->width, a->height, err);
    a->seconds_filter += omp_get_wtime() - filtering;
    mm_judge_free(judge);
    mm_upsampler_free(upsampler);
    return status;
}

static mm_status process_crops(generation *g, mm_candidates *all, mm_error *err)
{
    const mm_amg_params *params = g->params;
    mm_crop *crops;
    size_t count;
    mm_status status = mm_amg_crops(g->annotations->width, g->annotations->height, params->crop_n_layers,
                                    params->crop_overlap_ratio, &crops, &count, err);
    for (size_t i = 0; i < count && !status; i++) {
        mm_candidates found = {0}, hints = {0};
        status = process_crop(g, &crops[i], &found, &hints, err);
        if (!status)
            status = mm_candidates_append(all, &found, err);
        if (!status)
            status = mm_candidates_append(&g->hints, &hints, err);
        mm_candidates_free(&found);
        mm_candidates_free(&hints);
    }
    free(crops);
    const double start = omp_get_wtime();
    if (!status && count > 1)
        status = mm_amg_nms_image(all, params->crop_nms_thresh, err);
    g->annotations->funnel.after_image_nms = all->count;
    if (!status)
        status = mm_amg_clean(all, params, err);
    g->annotations->funnel.kept = all->count;
    if (!status && g->hint_params)
        status = mm_amg_hints_finish(&g->hints, all, params, g->hint_params, err);
    g->annotations->seconds_filter += omp_get_wtime() - start;
    return status;
}

static void fill_xywh(const uint32_t corners[4], float xywh[4])
{
    for (int axis = 0; axis < 2; axis++) {
        xywh[axis] = (float)corners[axis];
        xywh[2 + axis] = (float)(corners[2 + axis] - corners[axis]);
    }
}

static mm_status write_records(mm_candidates *list, mm_annotations *annotations, mm_error *err)
{
    annotations->items = calloc(list->count + 1, sizeof *annotations->items);
    if (!annotations->items)
        return mm_fail_memory(err, "annotations");
    for (size_t i = 0; i < list->count; i++) {
        mm_candidate *c = &list->items[i];
        mm_annotation *a = &annotations->items[annotations->count++];
        fill_xywh(c->box, a->bbox);
        fill_xywh(c->crop, a->crop_box);
        a->area = c->area;
        a->predicted_iou = c->predicted_iou;
        a->stability_score = c->stability_score;
        a->point_coords[0] = (float)c->point[0];
        a->point_coords[1] = (float)c->point[1];
        a->rle = c->rle;
        c->rle = (mm_rle){0};
    }
    return MM_OK;
}

mm_status mm_amg_run(const mm_predictor *predictor, const mm_amg_params *params, const mm_hint_params *hint_params,
                     mm_image_view image, mm_annotations *annotations, mm_annotations *hints, mm_error *err)
{
    *annotations = (mm_annotations){0};
    if (hint_params)
        *hints = (mm_annotations){0};
    generation g = {.predictor = predictor, .params = params, .image = image, .annotations = annotations,
                    .hint_params = hint_params};
    mm_candidates all = {0};
    mm_status status = prepare_frame(&g, err);
    if (!status)
        status = process_crops(&g, &all, err);
    if (!status)
        status = write_records(&all, annotations, err);
    if (!status && hint_params) {
        hints->width = annotations->width;
        hints->height = annotations->height;
        status = write_records(&g.hints, hints, err);
    }
    mm_candidates_free(&all);
    mm_candidates_free(&g.hints);
    mm_image_free(&g.resized);
    if (status) {
        mm_annotations_free(annotations);
        if (hint_params)
            mm_annotations_free(hints);
    }
    return status;
}

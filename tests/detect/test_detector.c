/* Detectors' files, what ties them to an encoder, and confident masks, with the small golden model. */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "check_main.h"
#include "corpus/scratch.h"
#include "detect/head_file.h"
#include "maskmill/detect.h"
#include "tensor/memory.h"
#include "tools/golden_case.h"

static mm_error err;
static golden_case tiny;
static mm_head head;
static float *parameters;
static char encoder[65];

/* Boxes everywhere, of all sizes, the better the larger the second channel of a cell's surroundings. */
static void setup(void)
{
    scratch_make();
    ck_assert(golden_open("tiny_whole.masks.json", &(mm_kernels){.threads = 1, .precision = MM_PRECISION_F32}, &tiny));
    const mm_arch *arch = mm_model_arch(tiny.model);
    ck_assert_int_eq(mm_head_plan(&(mm_detector_shape){arch->prompt_embed_dim, arch->embedding_side, 8, 1}, &head,
                                  &err),
                     MM_OK);
    parameters = mm_floats(head.parameters);
    for (size_t i = 0; i < head.parameters; i++)
        parameters[i] = 0.3f * sinf((float)(i * i % 1000));
    for (int k = 0; k < MM_HEAD_OUTPUTS; k++)
        parameters[head.out_bias + (size_t)k] = 1;
    for (int k = 0; k < MM_HEAD_LEVELS; k++)
        parameters[head.scale + (size_t)k] = 0.5f;
    ck_assert_int_eq(mm_model_encoder_sha256(tiny.model, encoder, &err), MM_OK);
}

static void teardown(void)
{
    free(parameters);
    golden_close(&tiny);
    scratch_remove();
}

static mm_status write_detector(const char *name)
{
    const mm_detect_params defaults = mm_detect_general_defaults();
    return mm_head_file_write(at(name), &head, parameters, encoder, &defaults, NULL, &err);
}

START_TEST(what_is_written_is_what_is_read)
{
    mm_detect_params defaults = mm_detect_general_defaults();
    json_t *training = json_pack("{s:i}", "images", 7);
    mm_head_file file;
    defaults.confident_score_thresh = 0.35f;
    defaults.mask_nms_thresh = 0.8;
    defaults.min_mask_region_area = 42;
    ck_assert_int_eq(mm_head_file_write(at("d.safetensors"), &head, parameters, encoder, &defaults, training, &err),
                     MM_OK);
    json_decref(training);
    ck_assert_msg(mm_head_file_read(at("d.safetensors"), &file, &err) == MM_OK, "%s", err.text);
    ck_assert_mem_eq(file.parameters, parameters, head.parameters * sizeof *parameters);
    ck_assert_str_eq(file.encoder_sha256, encoder);
    ck_assert_float_eq(file.defaults.confident_score_thresh, 0.35f);
    ck_assert_double_eq(file.defaults.mask_nms_thresh, 0.8);
    ck_assert_uint_eq(file.defaults.min_mask_region_area, 42);
    ck_assert_ptr_nonnull(strstr(file.metadata, "\"images\":7"));
    ck_assert_ptr_nonnull(strstr(file.metadata, "\"confident_score\":0.35,"));
    mm_head_file_free(&file);

    mm_detector *detector;
    ck_assert_int_eq(mm_detector_open(at("d.safetensors"), tiny.model, &detector, &err), MM_OK);
    char sha256[65];
    ck_assert_int_eq(mm_checkpoint_sha256(at("d.safetensors"), sha256, &err), MM_OK);
    ck_assert_str_eq(mm_detector_sha256(detector), sha256);
    ck_assert_uint_eq(mm_detect_defaults(detector).min_mask_region_area, 42);
    ck_assert_uint_eq(mm_detector_shape_of(detector).width, 8);
    mm_detector_close(detector);
}
END_TEST

/* Files from before soft NMS say at which IoU boxes are suppressed, and nothing else. */
START_TEST(a_file_without_sigma_suppresses)
{
    mm_head_file file;
    ck_assert_int_eq(write_detector("d.safetensors"), MM_OK);
    ck_assert_int_eq(mm_head_file_read(at("d.safetensors"), &file, &err), MM_OK);
    ck_assert_double_eq(file.defaults.nms_sigma, mm_detect_general_defaults().nms_sigma);
    json_t *metadata = json_loads(file.metadata, 0, NULL);
    ck_assert_int_eq(json_object_del(json_object_get(metadata, "thresholds"), "nms_sigma"), 0);
    char *text = json_dumps(metadata, 0);
    mm_head_file_free(&file);
    mm_head_name names[MM_HEAD_MAX_TENSORS];
    mm_tensor tensors[MM_HEAD_MAX_TENSORS];
    mm_head_list(&head, "", parameters, names, tensors);
    ck_assert_int_eq(mm_checkpoint_write(at("d.safetensors"), tensors, head.tensor_count,
                                         &(const char *const[2]){"maskmill.detector", text}, 1, &err),
                     MM_OK);
    ck_assert_msg(mm_head_file_read(at("d.safetensors"), &file, &err) == MM_OK, "%s", err.text);
    ck_assert_double_eq(file.defaults.nms_sigma, 0);
    mm_head_file_free(&file);
    free(text);
    json_decref(metadata);
}
END_TEST

static void refused(const char *path, const mm_model *model, mm_status status, const char *text)
{
    mm_detector *detector = (mm_detector *)&err;
    ck_assert_int_eq(mm_detector_open(path, model, &detector, &err), status);
    ck_assert_ptr_null(detector);
    ck_assert_msg(strstr(err.text, text), "\"%s\" lacks \"%s\"", err.text, text);
}

START_TEST(a_detector_of_another_encoder_is_refused)
{
    golden_case vit;
    ck_assert(golden_open("vit_whole.masks.json", &(mm_kernels){.threads = 1}, &vit));
    ck_assert_int_eq(write_detector("d.safetensors"), MM_OK);
    refused(at("d.safetensors"), vit.model, MM_ERR_USAGE, "another image encoder");
    golden_close(&vit);
}
END_TEST

START_TEST(what_is_no_detector_is_refused)
{
    mm_head other = head;
    refused(at("none"), tiny.model, MM_ERR_IO, "none");
    refused(MM_TEST_DATA "/golden/vit.safetensors", tiny.model, MM_ERR_FORMAT, "no detector");
    parameters[5] = NAN;
    ck_assert_int_eq(write_detector("d.safetensors"), MM_OK);
    refused(at("d.safetensors"), tiny.model, MM_ERR_FORMAT, "no numbers");
    parameters[5] = 0;
    other.tensor_count--;
    const mm_detect_params defaults = mm_detect_general_defaults();
    ck_assert_int_eq(mm_head_file_write(at("d.safetensors"), &other, parameters, encoder, &defaults, NULL, &err),
                     MM_OK);
    refused(at("d.safetensors"), tiny.model, MM_ERR_FORMAT, "tensors");
    other = head;
    other.tensors[0].shape[2] *= 2;
    other.tensors[0].shape[3] /= 2;
    ck_assert_int_eq(mm_head_file_write(at("d.safetensors"), &other, parameters, encoder, &defaults, NULL, &err),
                     MM_OK);
    refused(at("d.safetensors"), tiny.model, MM_ERR_FORMAT, "another shape");
    other = head;
    other.shape.depth = 8;
    ck_assert_int_eq(mm_head_file_write(at("d.safetensors"), &other, parameters, encoder, &defaults, NULL, &err),
                     MM_OK);
    refused(at("d.safetensors"), tiny.model, MM_ERR_FORMAT, "tensors");
    ck_assert_int_eq(mm_head_file_write(at("d.safetensors"), &head, parameters, "abc", &defaults, NULL, &err), MM_OK);
    refused(at("d.safetensors"), tiny.model, MM_ERR_FORMAT, "encoder_sha256");
}
END_TEST

START_TEST(damaged_metadata_are_refused)
{
    static const struct {
        const char *text, *named;
        mm_status status;
    } wrong[] = {{"{", "no JSON", MM_ERR_FORMAT},
                 {"[]", "version", MM_ERR_FORMAT},
                 {"{\"version\":2}", "version 2", MM_ERR_UNSUPPORTED},
                 {"{\"version\":1}", "lacks", MM_ERR_FORMAT},
                 {"{\"version\":1,\"encoder_sha256\":7}", "lacks", MM_ERR_FORMAT}};
    mm_head_name names[MM_HEAD_MAX_TENSORS];
    mm_tensor tensors[MM_HEAD_MAX_TENSORS];
    mm_head_list(&head, "", parameters, names, tensors);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ck_assert_int_eq(mm_checkpoint_write(at("d.safetensors"), tensors, head.tensor_count,
                                             &(const char *const[2]){"maskmill.detector", wrong[i].text}, 1, &err),
                         MM_OK);
        refused(at("d.safetensors"), tiny.model, wrong[i].status, wrong[i].named);
    }
    /* Thresholds that cannot be. */
    mm_detect_params defaults = mm_detect_general_defaults();
    defaults.confident_score_thresh = 7;
    ck_assert_int_eq(mm_head_file_write(at("d.safetensors"), &head, parameters, encoder, &defaults, NULL, &err), MM_OK);
    refused(at("d.safetensors"), tiny.model, MM_ERR_USAGE, "confident score threshold");
}
END_TEST

START_TEST(cut_and_changed_files_never_crash)
{
    size_t size;
    ck_assert_int_eq(write_detector("d.safetensors"), MM_OK);
    uint8_t *whole = get_bytes(at("d.safetensors"), &size);
    for (size_t cut = 0; cut < size; cut += cut < 2000 ? 61 : size / 7) {
        put_bytes(at("cut"), whole, cut);
        mm_detector *detector;
        ck_assert_int_ne(mm_detector_open(at("cut"), tiny.model, &detector, &err), MM_OK);
    }
    for (size_t i = 0; i < 1500; i += 7) {
        mm_detector *detector;
        put_bytes(at("cut"), whole, size);
        flip_byte(at("cut"), i, (uint8_t)(1u << i % 8));
        if (mm_detector_open(at("cut"), tiny.model, &detector, &err) == MM_OK)
            mm_detector_close(detector);
    }
    free(whole);
}
END_TEST

START_TEST(an_encoder_is_known_by_its_tensors_alone)
{
    char path[4096], other[65];
    mm_checkpoint *checkpoint;
    mm_arch arch;
    ck_assert_ptr_nonnull(golden_path(tiny.json, "checkpoint", path, sizeof path));
    ck_assert_int_eq(mm_checkpoint_open(path, &checkpoint, &err), MM_OK);
    ck_assert_int_eq(mm_checkpoint_convert(checkpoint, mm_model_arch(tiny.model), true, at("bf16.safetensors"), &err),
                     MM_OK);
    ck_assert_int_eq(mm_checkpoint_convert(checkpoint, mm_model_arch(tiny.model), false, at("f32.safetensors"), &err),
                     MM_OK);
    mm_checkpoint_close(checkpoint);
    static const char *const files[] = {"bf16.safetensors", "f32.safetensors"};
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(mm_checkpoint_open(at(files[i]), &checkpoint, &err), MM_OK);
        ck_assert_int_eq(mm_arch_recognise(checkpoint, NULL, &arch, &err), MM_OK);
        ck_assert_int_eq(mm_checkpoint_encoder_sha256(checkpoint, &arch, other, &err), MM_OK);
        ck_assert_str_eq(other, encoder);
        mm_checkpoint_close(checkpoint);
    }
    /* Another decoder, then another value in the encoder. */
    static const struct {
        const char *tensor;
        bool same;
    } changes[] = {{"mask_decoder.iou_token.weight", true}, {"prompt_encoder.no_mask_embed.weight", true},
                   {"image_encoder.neck.1.weight", false},  {"image_encoder.neck.2.weight", false}};
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        ck_assert_int_eq(mm_checkpoint_open(at("f32.safetensors"), &checkpoint, &err), MM_OK);
        ck_assert_int_eq(mm_arch_recognise(checkpoint, NULL, &arch, &err), MM_OK);
        const size_t count = mm_checkpoint_count(checkpoint);
        mm_tensor *tensors = calloc(count, sizeof *tensors);
        float *changed = NULL;
        for (size_t k = 0; k < count; k++) {
            tensors[k] = *mm_checkpoint_at(checkpoint, k);
            if (strcmp(tensors[k].name, changes[i].tensor) != 0)
                continue;
            changed = malloc(tensors[k].elements * sizeof *changed);
            memcpy(changed, tensors[k].data, tensors[k].elements * sizeof *changed);
            changed[tensors[k].elements - 1] += 1;
            tensors[k].data = changed;
        }
        ck_assert_ptr_nonnull(changed);
        const char *config = mm_checkpoint_metadata(checkpoint, "maskmill.config");
        ck_assert_int_eq(mm_checkpoint_write(at("changed.safetensors"), tensors, count,
                                             &(const char *const[2]){"maskmill.config", config}, 1, &err),
                         MM_OK);
        mm_checkpoint_close(checkpoint);
        free(tensors);
        free(changed);
        ck_assert_int_eq(mm_checkpoint_open(at("changed.safetensors"), &checkpoint, &err), MM_OK);
        ck_assert_int_eq(mm_checkpoint_encoder_sha256(checkpoint, &arch, other, &err), MM_OK);
        ck_assert_int_eq(strcmp(other, encoder) == 0, changes[i].same);
        mm_checkpoint_close(checkpoint);
    }
}
END_TEST

/* Everything is confident. */
static mm_detect_params lenient(void)
{
    mm_detect_params params = mm_detect_general_defaults();
    params.score_thresh = params.confident_score_thresh = 0;
    params.confident_iou_thresh = params.confident_stability_thresh = 0;
    params.min_mask_region_area = 0;
    params.mask_nms_thresh = 1;
    params.max_boxes = 20;
    params.nms_thresh = 0.3;
    params.nms_sigma = 0;
    return params;
}

static mm_detector *open_detector(void)
{
    mm_detector *detector;
    ck_assert_int_eq(write_detector("d.safetensors"), MM_OK);
    ck_assert_msg(mm_detector_open(at("d.safetensors"), tiny.model, &detector, &err) == MM_OK, "%s", err.text);
    ck_assert_int_eq(mm_model_encode(tiny.model, mm_image_whole(&tiny.image), tiny.embedding, &err), MM_OK);
    return detector;
}

/* What the model answers to one box by itself: its single-mask output. */
typedef struct answer {
    const mm_upsampler *upsampler;
    float offset, predicted_iou;
    mm_mask_scan scan;
    mm_rle rle;
} answer;

static uint32_t want_single(void *user, size_t prompt, const float *predicted_iou)
{
    (void)prompt;
    ((answer *)user)->predicted_iou = predicted_iou[0];
    return 1;
}

static mm_status take_single(void *user, size_t prompt, uint32_t mask, const float *logits, mm_error *error)
{
    answer *a = user;
    ck_assert(prompt == 0 && mask == 0);
    void *room = malloc(mm_upsampler_scratch(a->upsampler));
    const mm_status status = mm_upsampler_scan(a->upsampler, logits, a->offset, room, &a->scan, &a->rle, error);
    free(room);
    return status;
}

static answer ask(const double corners[4], float offset)
{
    mm_embedding *own;
    mm_upsampler *upsampler;
    ck_assert_int_eq(mm_embedding_new(tiny.model, &own, &err), MM_OK);
    ck_assert_int_eq(mm_model_encode(tiny.model, mm_image_whole(&tiny.image), own, &err), MM_OK);
    const mm_frame frame = mm_embedding_frame(own);
    ck_assert_int_eq(mm_upsampler_new(&frame, &upsampler, &err), MM_OK);
    answer a = {.upsampler = upsampler, .offset = offset};
    const mm_prompt prompt = {.box = corners};
    const mm_mask_sink sink = {.user = &a, .select = want_single, .take = take_single};
    ck_assert_msg(mm_model_decode(tiny.model, own, &prompt, 1, &sink, &err) == MM_OK, "%s", err.text);
    mm_upsampler_free(upsampler);
    mm_embedding_free(own);
    return a;
}

START_TEST(confident_masks_are_those_of_their_boxes)
{
    mm_detector *detector = open_detector();
    const mm_detect_params params = lenient();
    mm_detections found;
    mm_confident confident;
    ck_assert_int_eq(mm_detector_find(detector, tiny.embedding, &params, &found, &err), MM_OK);
    ck_assert_uint_eq(found.count, 20);
    ck_assert_int_eq(mm_detect_confident(tiny.model, tiny.embedding, detector, &params, &confident, &err), MM_OK);
    const mm_annotations *a = &confident.annotations;
    ck_assert_uint_eq(a->width, tiny.image.width);
    ck_assert_uint_eq(a->funnel.candidates, 20);
    ck_assert_uint_gt(a->count, 10);
    ck_assert_uint_le(a->count, a->funnel.after_stability);
    ck_assert_uint_eq(a->funnel.kept, a->count);
    size_t next = 0;
    for (size_t i = 0; i < a->count; i++) {
        /* The detection that it came of, in order. */
        while (next < found.count && memcmp(found.items[next].box, confident.boxes[i], sizeof confident.boxes[i]) != 0)
            next++;
        ck_assert_uint_lt(next, found.count);
        ck_assert_float_eq(confident.scores[i], found.items[next].score);
        const float *b = confident.boxes[i];
        const double corners[4] = {fmin((double)b[0], tiny.image.width - 1.0), fmin((double)b[1],
                                                                                    tiny.image.height - 1.0),
                                   (double)b[2] - 1, (double)b[3] - 1};
        if (!(corners[0] < corners[2] && corners[1] < corners[3]))
            continue;
        const mm_annotation *mine = &a->items[i];
        answer by_hand = ask(corners, params.stability_score_offset);
        const float stability = (float)((double)by_hand.scan.above_high / (double)by_hand.scan.above_low);
        ck_assert_float_eq_tol(mine->predicted_iou, by_hand.predicted_iou, 1e-5f);
        ck_assert_float_eq_tol(mine->stability_score, stability, 1e-3f);
        ck_assert_double_gt(mm_rle_iou(&mine->rle, &by_hand.rle), 0.999);
        ck_assert_uint_eq(mine->area, mm_rle_area(&mine->rle));
        mm_rle_free(&by_hand.rle);
    }
    mm_confident_free(&confident);
    mm_detections_free(&found);
    mm_detector_close(detector);
}
END_TEST

START_TEST(every_threshold_counts)
{
    mm_detector *detector = open_detector();
    mm_detect_params params = lenient();
    mm_confident all, some;
    ck_assert_int_eq(mm_detect_confident(tiny.model, tiny.embedding, detector, &params, &all, &err), MM_OK);
    ck_assert_uint_gt(all.annotations.count, 10);
    const float score = all.scores[all.annotations.count / 2];
    for (int which = 0; which < 4; which++) {
        params = lenient();
        size_t expected = 0;
        const mm_annotation *middle = &all.annotations.items[all.annotations.count / 2];
        if (which == 0)
            params.confident_score_thresh = score;
        if (which == 1)
            params.confident_iou_thresh = fminf(middle->predicted_iou, 1);
        if (which == 2)
            params.confident_stability_thresh = middle->stability_score;
        if (which == 3)
            params.mask_nms_thresh = 0.2;
        ck_assert_int_eq(mm_detect_confident(tiny.model, tiny.embedding, detector, &params, &some, &err), MM_OK);
        for (size_t i = 0; i < all.annotations.count; i++)
            expected += all.scores[i] >= params.confident_score_thresh &&
                        all.annotations.items[i].predicted_iou > params.confident_iou_thresh &&
                        all.annotations.items[i].stability_score >= params.confident_stability_thresh;
        if (which < 3)
            ck_assert_uint_eq(some.annotations.count, expected);
        else
            for (size_t i = 0; i < some.annotations.count; i++)
                for (size_t k = 0; k < i; k++)
                    ck_assert_double_le(
                        mm_rle_iou(&some.annotations.items[i].rle, &some.annotations.items[k].rle), 0.2);
        ck_assert_uint_le(some.annotations.count, all.annotations.count);
        for (size_t i = 1; i < some.annotations.count; i++)
            ck_assert_float_ge(some.scores[i - 1], some.scores[i]);
        mm_confident_free(&some);
    }
    params = lenient();
    params.min_mask_region_area = 1u << 30;
    params.drop_small_masks = true;
    ck_assert_int_eq(mm_detect_confident(tiny.model, tiny.embedding, detector, &params, &some, &err), MM_OK);
    ck_assert_uint_eq(some.annotations.count, 0);
    mm_confident_free(&some);
    params.max_boxes = 0;
    ck_assert_int_eq(mm_detect_confident(tiny.model, tiny.embedding, detector, &params, &some, &err), MM_ERR_USAGE);
    mm_confident_free(&all);
    mm_detector_close(detector);
}
END_TEST

typedef struct watcher {
    const mm_detector *detector;
    mm_confident confident;
    int calls;
    mm_status answer;
} watcher;

static mm_status watch(void *user, mm_embedding *embedding, mm_error *error)
{
    watcher *w = user;
    const mm_detect_params params = lenient();
    w->calls++;
    if (w->answer != MM_OK)
        return mm_fail(error, w->answer, "no more");
    return mm_detect_confident(tiny.model, embedding, w->detector, &params, &w->confident, error);
}

START_TEST(generation_shows_its_embedding)
{
    mm_detector *detector = open_detector();
    const mm_detect_params detect = lenient();
    mm_amg_params params = mm_amg_defaults();
    mm_annotations alone, watched;
    mm_confident confident;
    watcher w = {.detector = detector};
    const mm_amg_observer observer = {.user = &w, .whole_image = watch};
    ck_assert_int_eq(mm_detect_confident(tiny.model, tiny.embedding, detector, &detect, &confident, &err), MM_OK);
    params.points_per_side = 4;
    params.pred_iou_thresh = params.stability_score_thresh = 0;
    params.crop_n_layers = 1; /* whose windows are encoded after the whole image */
    ck_assert_int_eq(mm_amg_generate(tiny.model, tiny.embedding, &params, mm_image_whole(&tiny.image), &alone, &err),
                     MM_OK);
    ck_assert_int_eq(mm_amg_generate_observed(tiny.model, tiny.embedding, &params, mm_image_whole(&tiny.image),
                                              &observer,
                                              &watched, &err),
                     MM_OK);
    ck_assert_int_eq(w.calls, 1);
    ck_assert_uint_eq(alone.count, watched.count);
    for (size_t i = 0; i < alone.count; i++)
        ck_assert_uint_eq(alone.items[i].area, watched.items[i].area);
    ck_assert_uint_eq(w.confident.annotations.count, confident.annotations.count);
    for (size_t i = 0; i < confident.annotations.count; i++)
        ck_assert_uint_eq(w.confident.annotations.items[i].area, confident.annotations.items[i].area);
    mm_annotations_free(&alone);
    mm_annotations_free(&watched);
    mm_confident_free(&confident);
    mm_confident_free(&w.confident);
    w.answer = MM_ERR_STOPPED;
    ck_assert_int_eq(mm_amg_generate_observed(tiny.model, tiny.embedding, &params, mm_image_whole(&tiny.image),
                                              &observer,
                                              &watched, &err),
                     MM_ERR_STOPPED);
    mm_detector_close(detector);
}
END_TEST

START_TEST(a_detector_lies_beside_its_model)
{
    char path[4096];
    put_text("m.v2.safetensors", "x");
    ck_assert_int_eq(mm_detector_locate(NULL, at("m.v2.safetensors"), path, sizeof path, &err), MM_ERR_USAGE);
    put_text("m.v2.detector.safetensors", "x");
    ck_assert_int_eq(mm_detector_locate(NULL, at("m.v2.safetensors"), path, sizeof path, &err), MM_OK);
    ck_assert_str_eq(path, at("m.v2.detector.safetensors"));
    ck_assert_int_eq(mm_detector_locate(at("m.v2.safetensors"), "anything", path, sizeof path, &err), MM_OK);
    ck_assert_str_eq(path, at("m.v2.safetensors"));
    ck_assert_int_eq(mm_detector_locate(NULL, at("m.v2.safetensors"), path, 10, &err), MM_ERR_LIMIT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("detect/detector");
    TCase *tc = tcase_create("detector");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, what_is_written_is_what_is_read);
    tcase_add_test(tc, a_file_without_sigma_suppresses);
    tcase_add_test(tc, a_detector_of_another_encoder_is_refused);
    tcase_add_test(tc, what_is_no_detector_is_refused);
    tcase_add_test(tc, damaged_metadata_are_refused);
    tcase_add_test(tc, cut_and_changed_files_never_crash);
    tcase_add_test(tc, an_encoder_is_known_by_its_tensors_alone);
    tcase_add_test(tc, confident_masks_are_those_of_their_boxes);
    tcase_add_test(tc, every_threshold_counts);
    tcase_add_test(tc, generation_shows_its_embedding);
    tcase_add_test(tc, a_detector_lies_beside_its_model);
    suite_add_tcase(suite, tc);
    return mm_check_main(suite);
}

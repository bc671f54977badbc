/* Checkpoints as PyTorch, safetensors and transformers write them, against values that torch computed
 * (tests/data/checkpoint/make_checkpoints.py); conversion; checksums; where models are looked for. */
#include "test_checkpoint_support.h"

#include <math.h>
#include <sys/stat.h>

#include "model/checkpoint_values.h"

static uint64_t fnv1a(const void *data, size_t size)
{
    const unsigned char *bytes = data;
    uint64_t value = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++)
        value = (value ^ bytes[i]) * 0x100000001b3u;
    return value;
}

static void shape_text(const mm_tensor *tensor, char *out, size_t size)
{
    size_t at = (size_t)snprintf(out, size, "%s", tensor->dims ? "" : "-");
    for (uint32_t d = 0; d < tensor->dims; d++)
        at += (size_t)snprintf(out + at, size - at, "%s%" PRIu64, d ? "x" : "", tensor->shape[d]);
}

/* Every line of goldens.txt that begins with `set`, and no other floating tensor, is in the checkpoint. */
static void matches_goldens(const mm_checkpoint *checkpoint, const char *set)
{
    char line[256], which[32], name[128], shape[64], found[64];
    uint64_t hash;
    size_t lines = 0, integers = 0;
    FILE *file = fopen(DATA "goldens.txt", "r");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file)) {
        ck_assert_int_eq(sscanf(line, "%31s %127s %63s %" SCNx64, which, name, shape, &hash), 4);
        if (strcmp(which, set) != 0)
            continue;
        const mm_tensor *tensor = mm_checkpoint_find(checkpoint, name);
        ck_assert_msg(tensor != NULL, "%s", name);
        shape_text(tensor, found, sizeof found);
        ck_assert_str_eq(found, shape);
        float *values = malloc(tensor->elements * sizeof *values + 1);
        ck_assert_ptr_nonnull(values);
        ck_assert_int_eq(mm_checkpoint_read_f32(checkpoint, name, values, tensor->elements, NULL), MM_OK);
        ck_assert_msg(fnv1a(values, tensor->elements * sizeof *values) == hash, "values of %s", name);
        free(values);
        lines++;
    }
    (void)fclose(file);
    for (size_t i = 0; i < mm_checkpoint_count(checkpoint); i++)
        integers += mm_checkpoint_at(checkpoint, i)->dtype == MM_I64;
    ck_assert_uint_gt(lines, 0);
    ck_assert_uint_eq(lines + integers, mm_checkpoint_count(checkpoint));
}

static void file_matches(const char *file, const char *set)
{
    char path[256];
    (void)snprintf(path, sizeof path, DATA "%s", file);
    mm_checkpoint *checkpoint = opened(path);
    matches_goldens(checkpoint, set);
    for (size_t i = 1; i < mm_checkpoint_count(checkpoint); i++)
        ck_assert_int_lt(strcmp(mm_checkpoint_at(checkpoint, i - 1)->name, mm_checkpoint_at(checkpoint, i)->name), 0);
    mm_checkpoint_close(checkpoint);
}

START_TEST(files_hold_what_torch_put_in)
{
    file_matches("vit.safetensors", "vit");
    file_matches("vit_bf16.safetensors", "vit_bf16");
    file_matches("vit_transformers.safetensors", "vit"); /* other names, the matrix twice */
    file_matches("tiny_vit.pth", "tiny_vit");
}
END_TEST

START_TEST(views_of_storages_are_what_torch_sees)
{
    file_matches("views.pth", "views"); /* transposed, strided, scalar, empty, half, bfloat16, Parameter */
    file_matches("views_protocol4.pth", "views");
    file_matches("views_deflated.pth", "views");
    mm_checkpoint *checkpoint = opened(DATA "views.pth");
    const mm_tensor *counter = mm_checkpoint_find(checkpoint, "counter");
    ck_assert_ptr_nonnull(counter);
    int64_t values[2];
    ck_assert_uint_eq(counter->elements, 2);
    memcpy(values, counter->data, sizeof values);
    ck_assert_int_eq(values[0], 7);
    ck_assert_int_eq(values[1], -1);
    mm_checkpoint_close(checkpoint);
}
END_TEST

START_TEST(wrappers_are_looked_through)
{
    file_matches("training.pth", "linear"); /* the model beside an optimiser's state, an epoch, a loss */
    file_matches("prefixed.pth", "linear"); /* module.sam. before every name */
}
END_TEST

START_TEST(reading_asks_for_the_right_thing)
{
    mm_error err = {0};
    float values[16];
    mm_checkpoint *checkpoint = opened(DATA "views.pth");
    ck_assert_int_eq(mm_checkpoint_read_f32(checkpoint, "nothing", values, 1, &err), MM_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(err.text, "nothing"));
    ck_assert_int_eq(mm_checkpoint_read_f32(checkpoint, "column", values, 3, &err), MM_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(err.text, "4 elements instead of 3"));
    ck_assert_int_eq(mm_checkpoint_read_f32(checkpoint, "counter", values, 2, &err), MM_ERR_FORMAT);
    ck_assert_ptr_null(mm_checkpoint_metadata(checkpoint, "maskmill.config"));
    mm_checkpoint_close(checkpoint);
    mm_checkpoint_close(NULL);
    checkpoint = opened(DATA "vit_bf16.safetensors");
    ck_assert_ptr_null(mm_checkpoint_metadata(checkpoint, "maskmill.card"));
    ck_assert_str_eq(mm_checkpoint_metadata(checkpoint, "maskmill.config"), "{\"decoder\": {\"num_heads\": 2}}");
    mm_checkpoint_close(checkpoint);
}
END_TEST

/* Every f16 against its definition: (-1)^s * 2^(e - 15) * 1.f, 2^-14 * 0.f for e = 0, infinity and NaN for e = 31. */
START_TEST(every_half_has_its_value)
{
    for (uint32_t bits = 0; bits < 65536; bits++) {
        const uint16_t half = (uint16_t)bits;
        const int exponent = (int)(bits >> 10 & 31u), fraction = (int)(bits & 1023u);
        double expected = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
        if (exponent == 31)
            expected = fraction ? NAN : INFINITY;
        if (bits >> 15)
            expected = -expected;
        float value;
        mm_values_to_f32(MM_F16, &half, 1, &value);
        if (isnan(expected))
            ck_assert(isnan(value));
        else
            ck_assert_msg((double)value == expected && !signbit(value) == !(bits >> 15), "half 0x%04x", bits);
    }
}
END_TEST

static uint16_t bf16_of(uint32_t bits)
{
    float value;
    uint16_t out;
    memcpy(&value, &bits, sizeof value);
    mm_values_f32_to_bf16(&value, 1, &out);
    return out;
}

START_TEST(bf16_rounds_to_nearest_even_and_keeps_nan)
{
    ck_assert_uint_eq(bf16_of(0x3f800000), 0x3f80); /* exact */
    ck_assert_uint_eq(bf16_of(0x3f808000), 0x3f80); /* a tie goes to the even neighbour: down ... */
    ck_assert_uint_eq(bf16_of(0x3f818000), 0x3f82); /* ... and up */
    ck_assert_uint_eq(bf16_of(0x3f808001), 0x3f81);
    ck_assert_uint_eq(bf16_of(0x3f817fff), 0x3f81);
    ck_assert_uint_eq(bf16_of(0x7f7fffff), 0x7f80); /* the largest f32 rounds to infinity */
    ck_assert_uint_eq(bf16_of(0xff800000), 0xff80);
    ck_assert_uint_eq(bf16_of(0x80000000), 0x8000);
    ck_assert_uint_eq(bf16_of(0x00008001), 0x0001); /* subnormal */
    ck_assert_uint_eq(bf16_of(0x7f800001), 0x7fc0); /* NaN whose payload lies in the lower half */
    ck_assert_uint_eq(bf16_of(0xffffffff), 0xffff);
}
END_TEST

static void convert(const char *from, const char *config, bool bf16, const char *to)
{
    mm_error err = {0};
    mm_arch arch;
    mm_checkpoint *checkpoint = opened(from);
    ck_assert_msg(mm_arch_recognise(checkpoint, config, &arch, &err) == MM_OK, "%s", err.text);
    ck_assert_msg(mm_checkpoint_convert(checkpoint, &arch, bf16, to, &err) == MM_OK, "%s", err.text);
    mm_checkpoint_close(checkpoint);
}

START_TEST(converted_files_hold_the_same_values_and_describe_themselves)
{
    const char *path = scratch_path("converted.safetensors");
    convert(DATA "vit_transformers.safetensors", DATA "vit.json", false, path);
    mm_checkpoint *checkpoint = opened(path);
    matches_goldens(checkpoint, "vit");
    mm_arch first, second;
    ck_assert_int_eq(mm_arch_recognise(checkpoint, NULL, &first, NULL), MM_OK); /* by its own metadata */
    ck_assert_uint_eq(first.decoder.num_heads, 2);
    mm_checkpoint_close(checkpoint);

    const char *again = scratch_path("again.safetensors");
    convert(path, NULL, false, again);
    size_t size, size_again;
    unsigned char *bytes = read_bytes(path, &size), *bytes_again = read_bytes(again, &size_again);
    ck_assert_uint_eq(size, size_again);
    ck_assert_mem_eq(bytes, bytes_again, size);
    free(bytes);
    free(bytes_again);

    convert(DATA "tiny_vit.pth", DATA "tiny_vit.json", false, path); /* without counters and classifier */
    checkpoint = opened(path);
    ck_assert_ptr_null(mm_checkpoint_find(checkpoint, "image_encoder.head.weight"));
    ck_assert_ptr_null(mm_checkpoint_find(checkpoint, "image_encoder.patch_embed.seq.0.bn.num_batches_tracked"));
    ck_assert_int_eq(mm_arch_recognise(checkpoint, NULL, &second, NULL), MM_OK);
    ck_assert_uint_eq(second.image_size, 64);
    ck_assert_uint_eq(second.decoder.num_heads, 4);
    mm_checkpoint_close(checkpoint);
}
END_TEST

START_TEST(bf16_files_round_matrices_and_keep_vectors)
{
    const char *path = scratch_path("bf16.safetensors");
    convert(DATA "tiny_vit.pth", DATA "tiny_vit.json", true, path);
    mm_checkpoint *from = opened(DATA "tiny_vit.pth"), *to = opened(path);
    for (size_t i = 0; i < mm_checkpoint_count(to); i++) {
        const mm_tensor *tensor = mm_checkpoint_at(to, i);
        const size_t n = (size_t)tensor->elements;
        float *before = malloc(n * sizeof *before), *after = malloc(n * sizeof *after);
        ck_assert(before && after);
        ck_assert_int_eq(mm_checkpoint_read_f32(from, tensor->name, before, n, NULL), MM_OK);
        ck_assert_int_eq(mm_checkpoint_read_f32(to, tensor->name, after, n, NULL), MM_OK);
        const bool exact = tensor->dims == 1 || strstr(tensor->name, "gaussian_matrix");
        ck_assert_int_eq(tensor->dtype, exact ? MM_F32 : MM_BF16);
        ck_assert_uint_eq((uintptr_t)tensor->data % (exact ? 4 : 2), 0);
        for (size_t k = 0; k < n; k++) {
            if (exact)
                ck_assert(before[k] == after[k]);
            else
                ck_assert_msg(fabsf(before[k] - after[k]) <= fabsf(before[k]) * 0x1p-8f, "%s", tensor->name);
        }
        free(before);
        free(after);
    }
    mm_checkpoint_close(from);
    mm_checkpoint_close(to);
}
END_TEST

START_TEST(converting_where_nothing_can_be_written_fails_cleanly)
{
    mm_error err = {0};
    mm_arch arch;
    mm_checkpoint *checkpoint = opened(DATA "vit.safetensors");
    ck_assert_int_eq(mm_arch_recognise(checkpoint, DATA "vit.json", &arch, NULL), MM_OK);
    ck_assert_int_eq(mm_checkpoint_convert(checkpoint, &arch, false, scratch_path("no/such/x.safetensors"), &err),
                     MM_ERR_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "no/such/x.safetensors"));
    /* A folder stands where the file should go: the rename fails, and nothing is left behind. */
    const char *folder = scratch_path("taken");
    ck_assert_int_eq(mkdir(folder, 0777), 0);
    ck_assert_int_eq(mm_checkpoint_convert(checkpoint, &arch, false, folder, &err), MM_ERR_IO);
    char temporary[192];
    (void)snprintf(temporary, sizeof temporary, "%s.tmp.%ld", folder, (long)getpid());
    ck_assert_int_ne(access(temporary, F_OK), 0);
    mm_checkpoint_close(checkpoint);
}
END_TEST

START_TEST(default_model_is_whole)
{
    mm_error err = {0};
    mm_arch arch;
    mm_checkpoint *checkpoint = opened(MM_SOURCE_DIR "/configs/models/default.safetensors");
    ck_assert_msg(mm_arch_recognise(checkpoint, NULL, &arch, &err) == MM_OK, "%s", err.text);
    ck_assert_int_eq(arch.family, MM_FAMILY_TINY_VIT);
    mm_checkpoint_close(checkpoint);
}
END_TEST

/* NIST's examples of FIPS 180-4: "abc", the empty message, and a million times "a". */
START_TEST(sha256_of_known_messages)
{
    static const char *const expected[] = {
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"};
    const size_t million = 1000000;
    char hex[65], *message = malloc(million);
    ck_assert_ptr_nonnull(message);
    memset(message, 'a', million);
    const char *path = scratch_path("message");
    write_bytes(path, "abc", 3);
    ck_assert_int_eq(mm_checkpoint_sha256(path, hex, NULL), MM_OK);
    ck_assert_str_eq(hex, expected[0]);
    write_bytes(path, "", 0);
    ck_assert_int_eq(mm_checkpoint_sha256(path, hex, NULL), MM_OK);
    ck_assert_str_eq(hex, expected[1]);
    write_bytes(path, message, million);
    ck_assert_int_eq(mm_checkpoint_sha256(path, hex, NULL), MM_OK);
    ck_assert_str_eq(hex, expected[2]);
    free(message);
    mm_error err = {0};
    ck_assert_int_eq(mm_checkpoint_sha256(scratch_path("absent"), hex, &err), MM_ERR_IO);
    ck_assert_int_eq(mm_checkpoint_sha256(scratch, hex, &err), MM_ERR_IO); /* a folder */
}
END_TEST

START_TEST(models_are_found_in_order)
{
    char path[512];
    mm_error err = {0};
    char models[128], data[128], inner[320];
    (void)snprintf(models, sizeof models, "%s/models", scratch);
    (void)snprintf(data, sizeof data, "%s/data", scratch);
    (void)snprintf(inner, sizeof inner, "mkdir -p %s %s/maskmill/models", models, data);
    ck_assert_int_eq(system(inner), 0);
    ck_assert_int_eq(setenv("MASKMILL_MODELS", models, 1), 0);
    ck_assert_int_eq(setenv("XDG_DATA_HOME", data, 1), 0);

    ck_assert_int_eq(mm_checkpoint_locate("nobody", path, sizeof path, &err), MM_ERR_USAGE);
    ck_assert_ptr_nonnull(strstr(err.text, "fetch-weights"));
    ck_assert_int_eq(mm_checkpoint_locate("default", path, sizeof path, &err), MM_OK); /* of the source tree */
    ck_assert_str_eq(path, MM_SOURCE_DIR "/configs/models/default.safetensors");
    write_bytes(scratch_path("data/maskmill/models/default.pth"), "x", 1);
    ck_assert_int_eq(mm_checkpoint_locate("default", path, sizeof path, &err), MM_OK);
    ck_assert_str_eq(path, scratch_path("data/maskmill/models/default.pth"));
    write_bytes(scratch_path("models/default.pt"), "x", 1);
    ck_assert_int_eq(mm_checkpoint_locate("default", path, sizeof path, &err), MM_OK);
    ck_assert_str_eq(path, scratch_path("models/default.pt"));
    ck_assert_int_eq(mm_checkpoint_locate(scratch_path("models/default.pt"), path, sizeof path, &err), MM_OK);
    ck_assert_str_eq(path, scratch_path("models/default.pt"));
    ck_assert_int_eq(mm_checkpoint_locate("models/absent.pt", path, sizeof path, &err), MM_ERR_USAGE);
    ck_assert_int_eq(mm_checkpoint_locate("", path, sizeof path, &err), MM_ERR_USAGE);
    ck_assert_int_eq(mm_checkpoint_locate(scratch_path("models/default.pt"), path, 4, &err), MM_ERR_USAGE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model/checkpoint");
    TCase *tests = tcase_create("checkpoint");
    tcase_add_unchecked_fixture(tests, scratch_make, scratch_remove);
    tcase_add_test(tests, files_hold_what_torch_put_in);
    tcase_add_test(tests, views_of_storages_are_what_torch_sees);
    tcase_add_test(tests, wrappers_are_looked_through);
    tcase_add_test(tests, reading_asks_for_the_right_thing);
    tcase_add_test(tests, every_half_has_its_value);
    tcase_add_test(tests, bf16_rounds_to_nearest_even_and_keeps_nan);
    tcase_add_test(tests, converted_files_hold_the_same_values_and_describe_themselves);
    tcase_add_test(tests, bf16_files_round_matrices_and_keep_vectors);
    tcase_add_test(tests, converting_where_nothing_can_be_written_fails_cleanly);
    tcase_add_test(tests, default_model_is_whole);
    tcase_add_test(tests, sha256_of_known_messages);
    tcase_add_test(tests, models_are_found_in_order);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}

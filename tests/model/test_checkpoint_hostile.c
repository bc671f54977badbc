/* Checkpoints that are cut, damaged, or made to deceive: each is refused with one line, and none reads out of bounds
 * (which the sanitizer build would show). */
#include "test_checkpoint_support.h"

#include <sys/stat.h>
#include <zip.h>

static void tries(const unsigned char *bytes, size_t size)
{
    const char *path = scratch_path("fuzzed");
    mm_error err = {0};
    mm_checkpoint *checkpoint = NULL;
    write_bytes(path, bytes, size);
    if (mm_checkpoint_open(path, &checkpoint, &err) != MM_OK) {
        ck_assert_ptr_null(checkpoint);
        ck_assert_uint_gt(strlen(err.text), strlen(path) + 2);
        ck_assert_ptr_null(strchr(err.text, '\n'));
        return;
    }
    /* Touch every byte that the file now claims to be a tensor. */
    float values[4096];
    for (size_t i = 0; i < mm_checkpoint_count(checkpoint); i++) {
        const mm_tensor *tensor = mm_checkpoint_at(checkpoint, i);
        if (tensor->dtype != MM_I64 && tensor->elements <= 4096)
            ck_assert_int_eq(mm_checkpoint_read_f32(checkpoint, tensor->name, values, tensor->elements, NULL), MM_OK);
    }
    mm_arch arch;
    if (mm_arch_recognise(checkpoint, NULL, &arch, NULL) == MM_OK)
        ck_assert_uint_gt(arch.embedding_side, 0);
    mm_checkpoint_close(checkpoint);
}

static void cut_everywhere(const char *source, size_t step)
{
    size_t size;
    unsigned char *bytes = read_bytes(source, &size);
    const char *path = scratch_path("cut");
    for (size_t length = 0; length < size; length += step) {
        mm_error err = {0};
        mm_checkpoint *checkpoint;
        write_bytes(path, bytes, length);
        ck_assert_msg(mm_checkpoint_open(path, &checkpoint, &err) != MM_OK, "%s cut to %zu bytes", source, length);
        ck_assert_ptr_nonnull(strstr(err.text, path));
    }
    free(bytes);
}

START_TEST(cut_files_are_refused)
{
    cut_everywhere(DATA "views.pth", 1);
    cut_everywhere(DATA "views_deflated.pth", 3);
    cut_everywhere(DATA "views_legacy.pth", 7);
    cut_everywhere(DATA "tiny_vit.pth", 1777);
    cut_everywhere(DATA "vit_bf16.safetensors", 97);
}
END_TEST

static void flip_everywhere(const char *source, size_t from, size_t to, size_t step)
{
    static const unsigned char patterns[] = {0x01, 0x80, 0xff};
    size_t size;
    unsigned char *bytes = read_bytes(source, &size);
    for (size_t at = from; at < size && at < to; at += step) {
        const unsigned char pattern = patterns[at / step % 3];
        bytes[at] ^= pattern;
        tries(bytes, size);
        bytes[at] ^= pattern;
    }
    free(bytes);
}

START_TEST(flipped_bytes_do_no_harm)
{
    flip_everywhere(DATA "views.pth", 0, 4096, 1);
    flip_everywhere(DATA "views_deflated.pth", 0, 4096, 1);
    flip_everywhere(DATA "training.pth", 0, 4096, 3);
    flip_everywhere(DATA "vit_bf16.safetensors", 0, 20000, 11);
}
END_TEST

START_TEST(a_flipped_weight_in_a_pth_is_noticed)
{
    size_t size;
    unsigned char *bytes = read_bytes(DATA "tiny_vit.pth", &size);
    mm_checkpoint *checkpoint = opened(DATA "tiny_vit.pth");
    const mm_tensor *tensor = mm_checkpoint_find(checkpoint, "image_encoder.neck.2.weight");
    ck_assert_ptr_nonnull(tensor);
    for (size_t at = 0; at + 4 * tensor->elements <= size; at += 4)
        if (memcmp(bytes + at, tensor->data, 4 * tensor->elements) == 0)
            bytes[at + 1001] ^= 4;
    mm_checkpoint_close(checkpoint);
    const char *path = scratch_path("weight.pth");
    write_bytes(path, bytes, size);
    refuses(path, MM_ERR_FORMAT, "damaged");
    free(bytes);
}
END_TEST

static void header_is_refused(const char *header, uint64_t data_size, const char *words)
{
    const char *path = scratch_path("lie.safetensors");
    mm_error err = {0};
    mm_checkpoint *checkpoint;
    write_safetensors(path, header, data_size);
    ck_assert_msg(mm_checkpoint_open(path, &checkpoint, &err) != MM_OK, "was not refused: %s", header);
    ck_assert_msg(strstr(err.text, words) != NULL, "\"%s\" lacks \"%s\"", err.text, words);
}

#define F32(shape, begin, end) "{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]}"

START_TEST(safetensors_headers_that_lie_are_refused)
{
    header_is_refused("{\"a\":" F32("[2]", "0", "8") ",\"b\":" F32("[2]", "4", "12") "}", 12, "a and b overlap");
    header_is_refused("{\"a\":" F32("[2]", "0", "8") ",\"b\":" F32("[2]", "0", "8") "}", 8, "overlap");
    header_is_refused("{\"a\":" F32("[2]", "0", "8") ",\"a\":" F32("[2]", "8", "16") "}", 16, "duplicate");
    header_is_refused("{\"a\":" F32("[1]", "0", "4") ",\"b\":" F32("[1]", "8", "12") "}", 12, "belong to no tensor");
    header_is_refused("{\"a\":" F32("[1]", "0", "4") "}", 8, "after the last tensor");
    header_is_refused("{\"a\":" F32("[2]", "0", "8") "}", 7, "was cut");
    header_is_refused("{\"a\":" F32("[2]", "0", "4") "}", 4, "do not fit its shape");
    header_is_refused("{\"a\":" F32("[2]", "8", "0") "}", 8, "begin and an end");
    header_is_refused("{\"a\":" F32("[2]", "-8", "0") "}", 8, "begin and an end");
    header_is_refused("{\"a\":" F32("[-2]", "0", "8") "}", 8, "shape");
    header_is_refused("{\"a\":" F32("[2.0]", "0", "8") "}", 8, "shape");
    header_is_refused("{\"a\":" F32("[1,1,1,1,1,1,2]", "0", "8") "}", 8, "shape");
    header_is_refused("{\"a\":" F32("[4294967296,4294967296]", "0", "0") "}", 0, "shape");
    header_is_refused("{\"a\":" F32("[4611686018427387904]", "0", "0") "}", 0, "do not fit");
    header_is_refused("{\"a\":" F32("[99999999999999999999]", "0", "8") "}", 8, "damaged");
    header_is_refused("{\"a\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8, "type F64");
    header_is_refused("{\"a\":{\"shape\":[1],\"data_offsets\":[0,8]}}", 8, "no dtype");
    header_is_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "begin and an end");
    header_is_refused("{\"a\":1}", 0, "no dtype");
    header_is_refused("{\"\":" F32("[1]", "0", "4") "}", 4, "unprintable name");
    header_is_refused("{\"a\\u001b[2J\":" F32("[1]", "0", "4") "}", 4, "unprintable name");
    header_is_refused("{\"__metadata__\":{\"maskmill.config\":1},\"a\":" F32("[1]", "0", "4") "}", 4, "__metadata__");
    header_is_refused("{\"__metadata__\":[],\"a\":" F32("[1]", "0", "4") "}", 4, "__metadata__");
    header_is_refused("{}", 0, "no tensors");
    header_is_refused("{\"a\"", 0, "damaged at byte");
    char deep[4096] = "{\"a\":";
    memset(deep + 5, '[', sizeof deep - 6);
    header_is_refused(deep, 0, "damaged");
}
END_TEST

START_TEST(lengths_beyond_the_file_are_refused)
{
    const char *path = scratch_path("length.safetensors");
    unsigned char bytes[64] = {0};
    memset(bytes + 8, '{', sizeof bytes - 8);
    memset(bytes, 0xff, 8);
    write_bytes(path, bytes, sizeof bytes);
    refuses(path, MM_ERR_FORMAT, "was cut");
    memcpy(bytes, (const uint64_t[]){57}, 8);
    write_bytes(path, bytes, sizeof bytes);
    refuses(path, MM_ERR_FORMAT, "was cut");
    memcpy(bytes, (const uint64_t[]){(16u << 20) + 1}, 8); /* a header beyond every model, in a file that has it */
    write_bytes(path, bytes, sizeof bytes);
    ck_assert_int_eq(truncate(path, 32 << 20), 0);
    refuses(path, MM_ERR_LIMIT, "exceeds");
}
END_TEST

START_TEST(other_files_are_refused)
{
    const char *path = scratch_path("other");
    refuses(scratch_path("absent.pth"), MM_ERR_IO, "No such file");
    refuses(scratch, MM_ERR_USAGE, "not a file");
    write_bytes(path, "", 0);
    refuses(path, MM_ERR_FORMAT, "has 0 bytes");
    write_bytes(path, "<html><body>404</body></html>", 29);
    refuses(path, MM_ERR_FORMAT, "neither a safetensors nor a PyTorch");
    const char *pipe = scratch_path("pipe");
    ck_assert_int_eq(mkfifo(pipe, 0600), 0);
    refuses(pipe, MM_ERR_USAGE, "not a file");
    refuses(DATA "views_legacy.pth", MM_ERR_UNSUPPORTED, "re-save it");
    refuses(DATA "big_endian.pth", MM_ERR_UNSUPPORTED, "byte order");
    refuses(DATA "double.pth", MM_ERR_UNSUPPORTED, "torch.DoubleStorage");
}
END_TEST

START_TEST(pickles_that_would_run_something_are_refused)
{
    refuses(DATA "runs_system.pth", MM_ERR_UNSUPPORTED, "refuses to run posix.system");
    refuses(DATA "runs_eval.pth", MM_ERR_UNSUPPORTED, "refuses to run builtins.eval");
    ck_assert_int_ne(access("maskmill-was-here", F_OK), 0);
}
END_TEST

/* A zip archive of these entries; no name ends the list. */
typedef struct entry {
    const char *name;
    const void *data;
    size_t size;
} entry;

static void write_zip_by(const char *path, const entry *entries, zip_int32_t method)
{
    int code;
    (void)unlink(path);
    zip_t *archive = zip_open(path, ZIP_CREATE, &code);
    ck_assert_ptr_nonnull(archive);
    for (; entries->name; entries++) {
        zip_source_t *source = zip_source_buffer(archive, entries->data, entries->size, 0);
        const zip_int64_t index = zip_file_add(archive, entries->name, source, ZIP_FL_ENC_UTF_8);
        ck_assert_int_ge(index, 0);
        ck_assert_int_eq(zip_set_file_compression(archive, (zip_uint64_t)index, method, 0), 0);
    }
    ck_assert_int_eq(zip_close(archive), 0);
}

static void write_zip(const char *path, const entry *entries)
{
    write_zip_by(path, entries, ZIP_CM_STORE);
}

/* {"w": tensor of 4 f32 from storage "0"} */
#define STATE_DICT "\x80\x02}X\1\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\nFloatStorage\n" \
                   "X\1\0\0\0" "0X\3\0\0\0cpuK\4tQK\0K\4\x85K\1\x85\x89}tRs."

START_TEST(archives_whose_parts_do_not_fit_are_refused)
{
    static const float values[8] = {1, 2, 3, 4};
    const char *path = scratch_path("parts.pth");
    const entry pickle = {"x/data.pkl", STATE_DICT, sizeof STATE_DICT - 1};
    write_zip(path, (const entry[]){pickle, {"x/data/0", values, 16}, {0}});
    mm_checkpoint *checkpoint = opened(path);
    float read[4];
    ck_assert_int_eq(mm_checkpoint_read_f32(checkpoint, "w", read, 4, NULL), MM_OK);
    ck_assert_mem_eq(read, values, 16);
    mm_checkpoint_close(checkpoint);

    write_zip(path, (const entry[]){pickle, {"x/data/0", values, 12}, {0}});
    refuses(path, MM_ERR_FORMAT, "should hold 4 elements, but has 12 bytes");
    write_zip(path, (const entry[]){pickle, {"x/data/0", values, 20}, {0}});
    refuses(path, MM_ERR_FORMAT, "should hold 4 elements");
    write_zip(path, (const entry[]){pickle, {"x/data/1", values, 16}, {0}});
    refuses(path, MM_ERR_FORMAT, "not in the file");
    write_zip(path, (const entry[]){pickle, {"y/data/0", values, 16}, {0}});
    refuses(path, MM_ERR_FORMAT, "not in the file");
    write_zip(path, (const entry[]){{"x/other", values, 16}, {0}});
    refuses(path, MM_ERR_FORMAT, "without data.pkl");
    write_zip(path, (const entry[]){{"x/mydata.pkl", "\x80\x02}.", 4}, {0}});
    refuses(path, MM_ERR_FORMAT, "without data.pkl");
    write_zip(path, (const entry[]){{"x/data.pkl", "\x80\x02}.", 4}, {0}});
    refuses(path, MM_ERR_FORMAT, "no tensors");
    write_zip(path, (const entry[]){pickle, {"x/data/0", values, 16}, {"x/byteorder", values, 32}, {0}});
    refuses(path, MM_ERR_UNSUPPORTED, "byte order");
}
END_TEST

/* The claimed size of an entry in the central directory: more than the archive has. */
START_TEST(an_archive_that_claims_more_than_it_has_is_refused)
{
    static const float values[4] = {1, 2, 3, 4};
    const char *path = scratch_path("claims.pth");
    write_zip(path, (const entry[]){{"x/data.pkl", STATE_DICT, sizeof STATE_DICT - 1}, {"x/data/0", values, 16}, {0}});
    size_t size;
    unsigned char *bytes = read_bytes(path, &size);
    for (size_t at = 0; at + 30 < size; at++)
        if (memcmp(bytes + at, "PK\1\2", 4) == 0) {
            memset(bytes + at + 20, 0xf0, 8); /* compressed and uncompressed size */
            bytes[at + 23] = bytes[at + 27] = 0x0f;
        }
    write_bytes(path, bytes, size);
    free(bytes);
    refuses(path, MM_ERR_FORMAT, "");
}
END_TEST

/* Transposed views of one large storage over and over: a file of some KB must not ask for GB. */
START_TEST(copies_are_bounded_by_the_file)
{
    static unsigned char pickle[65536];
    static const float values[4096];
    static const char head[] = "\x80\x02}(", view_head[] =
        "ctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0" "0X\3\0\0\0cpuM\0\x10tQK\0"
        "K@K@\x86K\1K@\x86\x89}tR";
    size_t at = sizeof head - 1;
    memcpy(pickle, head, at);
    for (int i = 0; i < 300; i++) {
        at += (size_t)snprintf((char *)pickle + at, sizeof pickle - at, "X%c%c%c%cw%03d", 4, 0, 0, 0, i);
        memcpy(pickle + at, view_head, sizeof view_head - 1);
        at += sizeof view_head - 1;
    }
    memcpy(pickle + at, "u.", 2);
    const char *path = scratch_path("copies.pth");
    write_zip(path, (const entry[]){{"x/data.pkl", pickle, at + 2}, {"x/data/0", values, sizeof values}, {0}});
    refuses(path, MM_ERR_LIMIT, "contiguous");
}
END_TEST

/* 8 MB of zeros in some KB. */
START_TEST(bombs_are_refused)
{
    static const unsigned char zeros[8 << 20];
    const char *path = scratch_path("bomb.pth");
    const entry entries[] = {{"x/byteorder", "little", 6}, {"x/data.pkl", zeros, sizeof zeros}, {0}};
    write_zip_by(path, entries, ZIP_CM_DEFLATE);
    refuses(path, MM_ERR_LIMIT, "expand to more than 64 times");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model/checkpoint_hostile");
    TCase *tests = tcase_create("hostile");
    tcase_add_unchecked_fixture(tests, scratch_make, scratch_remove);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, cut_files_are_refused);
    tcase_add_test(tests, flipped_bytes_do_no_harm);
    tcase_add_test(tests, a_flipped_weight_in_a_pth_is_noticed);
    tcase_add_test(tests, safetensors_headers_that_lie_are_refused);
    tcase_add_test(tests, lengths_beyond_the_file_are_refused);
    tcase_add_test(tests, other_files_are_refused);
    tcase_add_test(tests, pickles_that_would_run_something_are_refused);
    tcase_add_test(tests, archives_whose_parts_do_not_fit_are_refused);
    tcase_add_test(tests, an_archive_that_claims_more_than_it_has_is_refused);
    tcase_add_test(tests, copies_are_bounded_by_the_file);
    tcase_add_test(tests, bombs_are_refused);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}

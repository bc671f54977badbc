/* The pickle machine with programs written by hand: what a state dict needs runs, all else is refused, and nothing that
 * a program says makes it read or allocate beyond bounds. */
#include "check_main.h"

#include <string.h>

#include "model/pickle.h"

/* Bytes of a program under construction. */
typedef struct program {
    unsigned char bytes[1 << 20];
    size_t size;
} program;

static program p;

static void begin(void)
{
    memcpy(p.bytes, "\x80\x02", 2);
    p.size = 2;
}

static void put(const void *bytes, size_t size)
{
    ck_assert_uint_le(size, sizeof p.bytes - p.size);
    memcpy(p.bytes + p.size, bytes, size);
    p.size += size;
}

#define PUT(literal) put(literal, sizeof(literal) - 1)

static void put_long(int64_t value)
{
    PUT("\x8a\x08");
    put(&value, sizeof value);
}

static void put_text(const char *text)
{
    const uint32_t length = (uint32_t)strlen(text);
    PUT("X");
    put(&length, sizeof length);
    put(text, length);
}

/* {"w": tensor of torch.FloatStorage "0" with `elements`, seen from `offset` with these sizes and strides} */
static void tensor_program(int64_t elements, int64_t offset, const int64_t *size, const int64_t *stride, size_t dims)
{
    begin();
    PUT("}");
    put_text("w");
    PUT("ctorch._utils\n_rebuild_tensor_v2\n((");
    put_text("storage");
    PUT("ctorch\nFloatStorage\n");
    put_text("0");
    put_text("cpu");
    put_long(elements);
    PUT("tQ");
    put_long(offset);
    PUT("(");
    for (size_t i = 0; i < dims; i++)
        put_long(size[i]);
    PUT("t(");
    for (size_t i = 0; i < dims; i++)
        put_long(stride[i]);
    PUT("t\x89}tRs.");
}

static mm_status run(size_t size, mm_pickle_tensor **tensors, size_t *count, mm_error *err)
{
    /* An exact copy on the heap, so that the sanitizer sees a read of one byte too many. */
    unsigned char *copy = malloc(size ? size : 1);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, p.bytes, size);
    const mm_status status = mm_pickle_read(copy, size, tensors, count, err);
    free(copy);
    return status;
}

static void refused(mm_status expected, const char *words)
{
    mm_pickle_tensor *tensors = NULL;
    size_t count = 0;
    mm_error err = {0};
    const mm_status status = run(p.size, &tensors, &count, &err);
    ck_assert_msg(status == expected, "status %d instead of %d: %s", status, expected, err.text);
    ck_assert_msg(strstr(err.text, words) != NULL, "\"%s\" lacks \"%s\"", err.text, words);
    ck_assert_ptr_null(tensors);
}

static void refused_code(const char *code, size_t size, mm_status expected, const char *words)
{
    begin();
    put(code, size);
    refused(expected, words);
}

#define REFUSED(literal, status, words) refused_code(literal, sizeof(literal) - 1, status, words)

START_TEST(a_tensor_is_described)
{
    const int64_t size[] = {2, 3}, stride[] = {1, 2};
    mm_pickle_tensor *tensors;
    size_t count;
    tensor_program(8, 2, size, stride, 2);
    ck_assert_int_eq(mm_pickle_read(p.bytes, p.size, &tensors, &count, NULL), MM_OK);
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(tensors->name_length, 1);
    ck_assert_int_eq(tensors->name[0], 'w');
    ck_assert_int_eq(tensors->key[0], '0');
    ck_assert_int_eq(tensors->dtype, MM_F32);
    ck_assert_uint_eq(tensors->dims, 2);
    ck_assert_uint_eq(tensors->storage_elements, 8);
    ck_assert_uint_eq(tensors->offset, 2);
    ck_assert_uint_eq(tensors->shape[1], 3);
    ck_assert_uint_eq(tensors->stride[1], 2);
    free(tensors);
}
END_TEST

START_TEST(every_other_callable_is_refused_by_name)
{
    REFUSED("cposix\nsystem\n(X\x04\0\0\0true" "tR.", MM_ERR_UNSUPPORTED, "refuses to run posix.system");
    REFUSED("c__builtin__\neval\n.", MM_ERR_UNSUPPORTED, "refuses to run __builtin__.eval");
    REFUSED("\x8c\x08" "builtins\x8c\x04" "exec\x93.", MM_ERR_UNSUPPORTED, "refuses to run builtins.exec");
    REFUSED("(iposix\nsystem\n.", MM_ERR_UNSUPPORTED, "refuses to run posix.system");
    REFUSED("(icollections\nOrderedDict\n.", MM_ERR_UNSUPPORTED, "makes an object");
    REFUSED("ctorch._utils\n_rebuild_tensor\n.", MM_ERR_UNSUPPORTED, "torch._utils._rebuild_tensor");
    REFUSED("ctorch\nload\n.", MM_ERR_UNSUPPORTED, "torch.load");
    REFUSED("ctorch\nDoubleStorage\n.", MM_ERR_UNSUPPORTED, "torch.DoubleStorage");
    REFUSED("ccollections\nOrderedDict2\n.", MM_ERR_UNSUPPORTED, "OrderedDict2");
    REFUSED("ccollections \nOrderedDict\n.", MM_ERR_UNSUPPORTED, "collections?");
    REFUSED("c\x1b[2J\nx\n.", MM_ERR_UNSUPPORTED, "?[2J.x"); /* what it names cannot steer a terminal */
    REFUSED("c\n\n.", MM_ERR_UNSUPPORTED, "refuses");
    REFUSED("ctorch\nFloatStorage\n)R.", MM_ERR_FORMAT, "calls a storage class");
    REFUSED("}}R.", MM_ERR_FORMAT, "not a function");
    REFUSED("ccollections\nOrderedDict\n}R.", MM_ERR_FORMAT, "not a function");
    REFUSED("ccollections\nOrderedDict\n(K\x01tR.", MM_ERR_UNSUPPORTED, "OrderedDict is built from arguments");
    REFUSED("ctorch._utils\n_rebuild_parameter\n(K\x01\x89}tR.", MM_ERR_FORMAT, "parameter");
    REFUSED("ctorch._utils\n_rebuild_tensor_v2\n)R.", MM_ERR_FORMAT, "tensor is not built from");
    REFUSED("ctorch._utils\n_rebuild_tensor_v2\n(K\1K\1)))tR.", MM_ERR_FORMAT, "tensor is not built from");
}
END_TEST

/* Each opcode of Python's that no state dict needs: instances, extensions, buffers, sets, text forms, floats in text. */
START_TEST(every_other_opcode_is_refused)
{
    static const unsigned char known[] = "().]}NGKMJX\x80\x88\x89\x8a\x8c\x85\x86\x87\x93\x94\x95tasueqrhjcQRbi";
    for (unsigned code = 1; code < 256; code++) {
        if (memchr(known, (int)code, sizeof known - 1))
            continue;
        begin();
        p.bytes[p.size++] = (unsigned char)code;
        PUT("\1\1\1\1\1\1\1\1\1.");
        refused(MM_ERR_UNSUPPORTED, "has the opcode");
    }
}
END_TEST

START_TEST(the_stack_cannot_be_undercut)
{
    static const char *const short_of[] = {".", "t.", "\x85.", "\x86.", "\x87.", "K\x01\x86.", "R.", "}R.", "b.", "Q.",
                                           "s.", "}K\x01s.", "a.", "u.", "e.", "q\x01.", "\x94.", "\x93.",
                                           "K\x01(R.", "}(K\x01s.", "}(\x85.", "K\x01(."};
    for (size_t i = 0; i < sizeof short_of / sizeof short_of[0]; i++)
        refused_code(short_of[i], strlen(short_of[i]), MM_ERR_FORMAT, "byte");
    REFUSED("]K\1s.", MM_ERR_FORMAT, "stack");
    REFUSED("]K\1K\1s.", MM_ERR_FORMAT, "no list or dict");
    REFUSED("}K\1a.", MM_ERR_FORMAT, "no list or dict");
    REFUSED("}(K\1u.", MM_ERR_FORMAT, "no list or dict"); /* a key without a value */
    REFUSED("K\1}b.", MM_ERR_FORMAT, "attributes");
    REFUSED("K\1Q.", MM_ERR_FORMAT, "persistent id");
    REFUSED("(X\7\0\0\0storageK\1K\1K\1K\1tQ.", MM_ERR_FORMAT, "persistent id");
}
END_TEST

START_TEST(memo_indices_are_bounded)
{
    REFUSED("}r\xff\xff\xff\xff.", MM_ERR_LIMIT, "memo index");
    REFUSED("}r\x00\x00\x04\x00.", MM_ERR_LIMIT, "memo index");
    REFUSED("j\xff\xff\xff\xff.", MM_ERR_FORMAT, "not stored");
    REFUSED("h\x00.", MM_ERR_FORMAT, "not stored");
    REFUSED("}q\x05h\x04.", MM_ERR_FORMAT, "not stored");
}
END_TEST

START_TEST(nesting_without_end_is_refused)
{
    begin();
    for (int i = 0; i < 1 << 18; i++)
        PUT("(");
    refused(MM_ERR_LIMIT, "groups nested");
    begin();
    for (int i = 0; i < 1 << 18; i++)
        PUT("]");
    refused(MM_ERR_LIMIT, "a deeper stack");
    begin(); /* a tuple in a tuple in a tuple ...: no recursion, so no harm, but no state dict either */
    PUT(")");
    for (int i = 0; i < 1 << 17; i++)
        PUT("\x85");
    PUT(".");
    refused(MM_ERR_FORMAT, "no state dict");
    begin(); /* values without number, each dropped into a list */
    PUT("]");
    for (int i = 0; i < (1 << 18) - 8; i++)
        PUT("Na");
    PUT(".");
    refused(MM_ERR_FORMAT, "no state dict");
    begin();
    PUT("]");
    for (int i = 0; i < 1 << 18; i++)
        PUT("Na");
    refused(MM_ERR_LIMIT, "more values");
    begin(); /* a dict that holds itself under the name that is looked through */
    PUT("}q\x01");
    put_text("model");
    PUT("h\x01s.");
    refused(MM_ERR_FORMAT, "model is no tensor");
    begin(); /* the list of lists that doubles at each step */
    PUT("]q\x01");
    for (int i = 0; i < 60; i++)
        PUT("h\x01h\x01\x86q\x01");
    PUT(".");
    refused(MM_ERR_FORMAT, "no state dict");
}
END_TEST

static void lie(int64_t elements, int64_t offset, int64_t size0, int64_t size1, int64_t stride0, int64_t stride1,
                const char *words)
{
    const int64_t size[] = {size0, size1}, stride[] = {stride0, stride1};
    tensor_program(elements, offset, size, stride, 2);
    refused(MM_ERR_FORMAT, words);
}

START_TEST(views_beyond_their_storage_are_refused)
{
    const int64_t big = INT64_MAX;
    lie(6, 0, 2, 4, 4, 1, "tensor w reaches beyond its storage"); /* 8 of 6 */
    lie(6, 1, 2, 3, 3, 1, "beyond");                              /* one too far */
    lie(6, 0, 2, 3, 4, 1, "beyond");                              /* by its stride */
    lie(6, 7, 0, 3, 3, 1, "beyond");                              /* empty, but begins outside */
    lie(6, big, 2, 3, 3, 1, "beyond");
    lie(6, 0, big, 1, 0, 1, "beyond"); /* one element, seen 2^63 times */
    lie(6, 0, big, big, 0, 0, "beyond");
    lie(6, 0, 2, 2, big, big, "beyond"); /* the sum overflows */
    lie(6, 0, 3, 3, 0, 1, "beyond");
    lie(6, 0, -1, 3, 3, 1, "sizes and strides");
    lie(6, 0, 2, 3, -3, 1, "sizes and strides");
    lie(6, -1, 2, 3, 3, 1, "offset");
    lie(-6, 0, 2, 3, 3, 1, "persistent id");
    const int64_t ones[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    tensor_program(1, 0, ones, ones, 7);
    refused(MM_ERR_FORMAT, "up to 6");
}
END_TEST

START_TEST(what_is_no_state_dict_is_refused)
{
    REFUSED("].", MM_ERR_FORMAT, "no state dict");
    REFUSED("}K\1K\2s.", MM_ERR_FORMAT, "key of the state dict is no text");
    REFUSED("}X\1\0\0\0aK\2s.", MM_ERR_FORMAT, "a is no tensor");
    REFUSED("}X\0\0\0\0K\2s.", MM_ERR_FORMAT, "name");
    REFUSED("}X\2\0\0\0a\nK\2s.", MM_ERR_FORMAT, "unprintable name");
    p.size = 0;
    PUT("\x80\x01}.");
    refused(MM_ERR_UNSUPPORTED, "protocol 1");
    p.size = 0;
    PUT("\x80\x06}.");
    refused(MM_ERR_UNSUPPORTED, "protocol 6");
    REFUSED("\x8a\x09\1\1\1\1\1\1\1\1\1.", MM_ERR_LIMIT, "an integer");
    REFUSED("X\xff\xff\xff\xff" "abc", MM_ERR_FORMAT, "cut");
    REFUSED("cposix", MM_ERR_FORMAT, "without an end");
}
END_TEST

START_TEST(a_program_cut_anywhere_or_changed_anywhere_is_harmless)
{
    const int64_t size[] = {2, 3}, stride[] = {3, 1};
    mm_pickle_tensor *tensors;
    size_t count;
    tensor_program(6, 0, size, stride, 2);
    for (size_t length = 0; length < p.size; length++) {
        ck_assert_int_ne(run(length, &tensors, &count, NULL), MM_OK);
        ck_assert_ptr_null(tensors);
    }
    for (size_t at = 0; at < p.size; at++)
        for (unsigned value = 0; value < 256; value++) {
            const unsigned char before = p.bytes[at];
            p.bytes[at] = (unsigned char)value;
            if (run(p.size, &tensors, &count, NULL) == MM_OK) {
                uint64_t last = tensors->offset; /* whatever it says now, it stays in bounds */
                for (uint32_t d = 0; count && d < tensors->dims; d++)
                    last += tensors->shape[d] ? (tensors->shape[d] - 1) * tensors->stride[d] : 0;
                ck_assert(count == 0 || last < tensors->storage_elements || tensors->shape[0] == 0 ||
                          tensors->shape[1] == 0);
                free(tensors);
            }
            p.bytes[at] = before;
        }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model/pickle");
    TCase *tests = tcase_create("pickle");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, a_tensor_is_described);
    tcase_add_test(tests, every_other_callable_is_refused_by_name);
    tcase_add_test(tests, every_other_opcode_is_refused);
    tcase_add_test(tests, the_stack_cannot_be_undercut);
    tcase_add_test(tests, memo_indices_are_bounded);
    tcase_add_test(tests, nesting_without_end_is_refused);
    tcase_add_test(tests, views_beyond_their_storage_are_refused);
    tcase_add_test(tests, what_is_no_state_dict_is_refused);
    tcase_add_test(tests, a_program_cut_anywhere_or_changed_anywhere_is_harmless);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}

#include "check_main.h"

#include "report/html.h"
#include "report/text_of.h"

static void expect_escaped(const char *text, const char *expected)
{
    written w;
    mm_html_text(begin_text(&w), text);
    ck_assert_str_eq(end_text(&w), expected);
    free(w.text);
}

static void expect_short(const char *text, size_t most, const char *expected)
{
    written w;
    mm_html_text_short(begin_text(&w), text, most);
    ck_assert_str_eq(end_text(&w), expected);
    free(w.text);
}

static void expect_base64(const char *bytes, const char *expected)
{
    written w;
    mm_html_base64(begin_text(&w), bytes, strlen(bytes));
    ck_assert_str_eq(end_text(&w), expected);
    free(w.text);
}

#define BAD "\xef\xbf\xbd"

START_TEST(markup_is_escaped)
{
    expect_escaped("", "");
    expect_escaped("plain.jpg", "plain.jpg");
    expect_escaped("<script>alert(\"1\" & '2')</script>",
                   "&lt;script&gt;alert(&quot;1&quot; &amp; &#39;2&#39;)&lt;/script&gt;");
    expect_escaped("&amp;", "&amp;amp;");
}
END_TEST

START_TEST(what_is_no_text_becomes_a_replacement)
{
    expect_escaped("caf\xc3\xa9 \xe6\x97\xa5 \xf0\x9f\x90\xb1", "caf\xc3\xa9 \xe6\x97\xa5 \xf0\x9f\x90\xb1");
    expect_escaped("a\xff\xc3", "a" BAD BAD);
    expect_escaped("\xc0\xbcscript\xc0\xbe", BAD BAD "script" BAD BAD); /* overlong < and > */
    expect_escaped("a\x01\x1b[31m\x7f", "a" BAD BAD "[31m" BAD);
    expect_escaped("a\tb\nc", "a\tb\nc");
    expect_escaped("\xc2\x85\xc2\xa0", BAD "\xc2\xa0");
    expect_escaped("gpj.\xe2\x80\xae" "exe", "gpj." BAD "exe"); /* right-to-left override */
    expect_escaped("\xe2\x81\xa6x\xe2\x81\xa9\xe2\x80\x8f", BAD "x" BAD BAD);
    expect_escaped("\xef\xbf\xbe", BAD);
}
END_TEST

START_TEST(long_texts_keep_both_ends)
{
    expect_short("0123456789", 10, "0123456789");
    expect_short("0123456789X", 10, "0123\xe2\x80\xa6" "6789X");
    expect_short("\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", 3, "\xc3\xa9\xe2\x80\xa6\xc3\xa9");
    expect_short("<<<<<<<<", 4, "&lt;\xe2\x80\xa6&lt;&lt;");
    expect_short("\xff\xff\xff\xff\xff", 3, BAD "\xe2\x80\xa6" BAD);
    expect_short("abc", 1, "abc"); /* too little room for an ellipsis */
}
END_TEST

START_TEST(base64_is_that_of_rfc_4648)
{
    expect_base64("", "");
    expect_base64("f", "Zg==");
    expect_base64("fo", "Zm8=");
    expect_base64("foo", "Zm9v");
    expect_base64("foobar", "Zm9vYmFy");
    expect_base64("\xff\xfe\xfd", "//79");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("report/html");
    TCase *tests = tcase_create("text");
    tcase_add_test(tests, markup_is_escaped);
    tcase_add_test(tests, what_is_no_text_becomes_a_replacement);
    tcase_add_test(tests, long_texts_keep_both_ends);
    tcase_add_test(tests, base64_is_that_of_rfc_4648);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}

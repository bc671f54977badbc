/* The main of every check suite: run it, print a line a suite, fail if a test failed.
 * CK_FORK=no keeps gdb and the sanitizers in one process. */
#ifndef MM_TESTS_CHECK_MAIN_H
#define MM_TESTS_CHECK_MAIN_H

#include <check.h>
#include <stdlib.h>

static inline int mm_check_main(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif

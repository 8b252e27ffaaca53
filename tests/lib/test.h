#ifndef NSP_TESTS_LIB_TEST_H
#define NSP_TESTS_LIB_TEST_H
/* The few words tests are written in, on top of cmocka:
 *
 *     TEST(tbf_releases_at_rate) { CHECK_EQ(...); }
 *     TEST_MAIN(cmocka_unit_test(tbf_releases_at_rate))
 */
/* cmocka.h needs these four first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>

#define TEST(name)                                                             \
    static void name(void **state __attribute__((unused)));                    \
    static void name(void **state __attribute__((unused)))

#define CHECK(condition)      assert_true(condition)
#define CHECK_EQ(a, b)        assert_int_equal((a), (b))
#define CHECK_STR_EQ(a, b)    assert_string_equal((a), (b))
#define CHECK_MEM_EQ(a, b, n) assert_memory_equal((a), (b), (n))

/* Ends a case that cannot run here; the test runner prints 'reason'. */
#define SKIP(reason)                                                           \
    do {                                                                       \
        print_message("skip: %s\n", (reason));                                 \
        skip();                                                                \
    } while (0)

#define TEST_MAIN(...)                                                         \
    int main(void)                                                             \
    {                                                                          \
        const struct CMUnitTest tests[] = { __VA_ARGS__ };                     \
        return cmocka_run_group_tests(tests, NULL, NULL);                      \
    }

#endif /* NSP_TESTS_LIB_TEST_H */

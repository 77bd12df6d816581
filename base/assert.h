#ifndef SYNOD_BASE_ASSERT_H
#define SYNOD_BASE_ASSERT_H

/*
 * assert.h - checks that are never compiled out.
 *
 * ASSERT is for our own bugs. Input from the network, the disk or the user is validated and
 * answered with a code of base/err.h; it is never asserted.
 */

/* States that `cond` holds; otherwise prints file, line, function and condition, and aborts. */
#define ASSERT(cond)                                                                               \
    (__builtin_expect(!!(cond), 1) ? (void) 0 : assert_fail(__FILE__, __LINE__, __func__, #cond))

/* States a relation between constants at compile time; `why` is the reason it must hold. */
#define STATIC_ASSERT(cond, why) _Static_assert(cond, why)

/* Marks a place that control flow cannot reach; reaching it aborts. */
#define UNREACHABLE() assert_fail(__FILE__, __LINE__, __func__, "unreachable")

/*
 * Prints "file:line: function: assertion failed: cond" to stderr and aborts. Any thread. Call it
 * through the macros above.
 */
_Noreturn void assert_fail(const char *file, int line, const char *func, const char *cond);

#endif

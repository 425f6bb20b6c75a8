/* The checks that tests are written with. A failed check prints its place and values and the test goes on; the program's
 * exit code says whether any failed. OQ_REQUIRE ends the program when going on makes no sense. */
#ifndef OQ_TESTS_CHECK_H
#define OQ_TESTS_CHECK_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int oq_checks_failed, oq_checks_made;

#define OQ_CHECK(cond)                                                                                \
	do {                                                                                          \
		oq_checks_made++;                                                                     \
		if (!(cond)) {                                                                        \
			oq_checks_failed++;                                                           \
			fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #cond);            \
		}                                                                                     \
	} while (0)

#define OQ_REQUIRE(cond)                                                                              \
	do {                                                                                          \
		int oq_before_ = oq_checks_failed;                                                    \
		OQ_CHECK(cond);                                                                       \
		if (oq_checks_failed != oq_before_)                                                   \
			exit(1);                                                                      \
	} while (0)

#define OQ_CHECK_INT(got, want)                                                                       \
	do {                                                                                          \
		long long oq_got_ = (long long)(got), oq_want_ = (long long)(want);                   \
		oq_checks_made++;                                                                     \
		if (oq_got_ != oq_want_) {                                                            \
			oq_checks_failed++;                                                           \
			fprintf(stderr, "%s:%d: %s is %lld, expected %lld\n", __FILE__, __LINE__, #got, oq_got_, oq_want_); \
		}                                                                                     \
	} while (0)

#define OQ_CHECK_STR(got, want)                                                                       \
	do {                                                                                          \
		const char *oq_got_ = (got), *oq_want_ = (want);                                      \
		oq_checks_made++;                                                                     \
		if (!oq_got_ || strcmp(oq_got_, oq_want_)) {                                          \
			oq_checks_failed++;                                                           \
			fprintf(stderr, "%s:%d: %s is \"%s\", expected \"%s\"\n", __FILE__, __LINE__, #got, oq_got_ ? oq_got_ : "(null)", oq_want_); \
		}                                                                                     \
	} while (0)

#define OQ_CHECK_NEAR(got, want, tolerance)                                                           \
	do {                                                                                          \
		double oq_got_ = (got), oq_want_ = (want), oq_tol_ = (tolerance);                     \
		oq_checks_made++;                                                                     \
		if (!(fabs(oq_got_ - oq_want_) <= oq_tol_)) {                                         \
			oq_checks_failed++;                                                           \
			fprintf(stderr, "%s:%d: %s is %.9g, expected %.9g within %.3g\n", __FILE__, __LINE__, #got, oq_got_, oq_want_, oq_tol_); \
		}                                                                                     \
	} while (0)

static inline int oq_checks_done(void)
{
	if (oq_checks_failed || !oq_checks_made) {
		fprintf(stderr, "%d of %d checks failed\n", oq_checks_failed, oq_checks_made);
		return 1;
	}
	printf("%d checks passed\n", oq_checks_made);
	return 0;
}

#endif

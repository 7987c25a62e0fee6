/* What the tests of id maps share. */
#ifndef KIST_TEST_USERNS_HELP_H
#define KIST_TEST_USERNS_HELP_H

#include "core/userns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define ASSERT_MAP(map, c, h, s)                                                                                       \
	do {                                                                                                           \
		assert_int_equal((c), (map).container_id);                                                             \
		assert_int_equal((h), (map).host_id);                                                                  \
		assert_int_equal((s), (map).size);                                                                     \
	} while (0)

#endif

#include "cli/tables.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

static void drop(const void *first, const void *last)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t from = ((uintptr_t)first + page - 1) & ~(page - 1);
	uintptr_t to = (uintptr_t)last & ~(page - 1);

	/* Another order of the link, or nothing between the marks: then nothing is done. */
	if (from < to)
		madvise((void *)from, to - from, MADV_DONTNEED);
}

void kist_tables_drop(void)
{
	struct kist_tables_mark first, last;

	kist_tables_first(&first);
	kist_tables_last(&last);
	drop(first.own, last.own);
	drop(first.other, last.other);
}

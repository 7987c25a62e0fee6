/* The memory of the command line's tables.
 *
 * In a position-independent program each pointer in a table is relocated when the program starts, which makes its page
 * the process's own. A monitor stays for years and never looks at a command's options: it gives those pages back. They
 * lie together because the linker keeps the order of objects, and the Makefile links tables_first.o before and
 * tables_last.o after all others of cli/. */
#ifndef KIST_TABLES_H
#define KIST_TABLES_H

#include <stddef.h>

/* One mark in each of the two sections that relocated constants go to: those that point into their own object, and
 * those that point elsewhere. */
struct kist_tables_mark {
	const void *own, *other;
};
void kist_tables_first(struct kist_tables_mark *out);
void kist_tables_last(struct kist_tables_mark *out);

/* Gives the pages back. Whoever calls it must not use any table of cli/ afterwards: they would read as never
 * relocated. */
void kist_tables_drop(void);

#endif

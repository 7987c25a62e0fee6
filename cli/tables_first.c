#include "cli/tables.h"

#include "core/base/table.h"
#include "core/kist.h"

static const void *const own[] = { own };
static const void *const other[] = { &kist_container_config_table };

void kist_tables_first(struct kist_tables_mark *out)
{
	*out = (struct kist_tables_mark){ own, other };
}

/* report.h - versions, platform and settings, for bug reports. */
#ifndef CEL_APP_REPORT_H
#define CEL_APP_REPORT_H

#include "app/app.h"
#include "core/buf.h"

/* Appends the report's lines, as `celeriac report` prints them; nothing secret is in them. Any
 * thread. */
void cel__app_report(const cel_app *app, cel__buf *buf);

#endif

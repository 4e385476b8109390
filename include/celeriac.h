/* celeriac.h - everything of Celeriac's public API. Usable from C and C++. */
#ifndef CELERIAC_H
#define CELERIAC_H

#include "celeriac/app.h"
#include "celeriac/beat.h"
#include "celeriac/control.h"
#include "celeriac/error.h"
#include "celeriac/events.h"
#include "celeriac/flow.h"
#include "celeriac/log.h"
#include "celeriac/program.h"
#include "celeriac/result.h"
#include "celeriac/rpc.h"
#include "celeriac/send.h"
#include "celeriac/signature.h"
#include "celeriac/signals.h"
#include "celeriac/task.h"
#include "celeriac/version.h"

#endif

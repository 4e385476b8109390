/* url.h - the URLs of brokers and result stores: see core/url.h. */
#ifndef CEL_APP_URL_H
#define CEL_APP_URL_H

#include "core/url.h"

#endif

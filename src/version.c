/* version.c - the version of the library in use, which may be newer than the headers were. */
#include "celeriac/version.h"

#include "celeriac/app.h"

const char *cel_version(void)
{
    return CEL_VERSION_STRING;
}

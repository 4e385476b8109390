/* export.h - how the public symbols are marked, and the compiler's help with them. */
#ifndef CELERIAC_EXPORT_H
#define CELERIAC_EXPORT_H

#ifdef __cplusplus
#define CEL_BEGIN_DECLS extern "C" {
#define CEL_END_DECLS   }
#else
#define CEL_BEGIN_DECLS
#define CEL_END_DECLS
#endif

#if defined(__GNUC__)
#define CEL_API            __attribute__((visibility("default")))
#define CEL_PRINTF(fmt, a) __attribute__((format(printf, fmt, a)))
#else
#define CEL_API
#define CEL_PRINTF(fmt, a)
#endif

#endif

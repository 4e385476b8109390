/* yaml.h - YAML as Python's yaml.safe_load() reads it and yaml.safe_dump() writes it, on libyaml.
 * Pure; any thread. Only with CEL_HAVE_YAML.
 *
 * Plain words mean what YAML 1.1 says in Python: yes, 0x1f, 1:30, .inf, ~ and 2001-12-14 are no
 * strings. Bytes and times stand in JSON as kombu writes them: see serializer.h. */
#ifndef CEL_MESSAGE_YAML_H
#define CEL_MESSAGE_YAML_H

#include "celeriac/error.h"
#include "core/buf.h"
#include "core/view.h"

/* Appends the JSON text of one document. CEL_EPROTO if it is none, nests more than
 * CEL_JSCAN_DEPTH deep, or has something that safe_load() or JSON does not: tags of Python,
 * sets, merge keys, an anchor inside of itself, aliases that blow the text up; CEL_EFULL for a
 * text of more than `max_bytes`; CEL_ENOMEM. */
cel_code cel__yaml_to_json(cel__buf *buf, cel_view text, size_t max_bytes, cel_error *err);

/* Appends the document. CEL_EINVAL if `json` is no JSON or holds a lone surrogate; CEL_ENOMEM. */
cel_code cel__yaml_from_json(cel__buf *buf, cel_view json, cel_error *err);

#endif

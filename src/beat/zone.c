/* zone.c - see zone.h. A zone is the table of a TZif file, and behind it the yearly rule of its
 * footer. */
#include "beat/zone.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "beat/zone_impl.h"
#include "core/mem.h"

#define FILE_MAX    (256 * 1024) /* the largest of the system's files has four thousand bytes */
#define HEADER_SIZE 44

struct cel_zone {
    char *name;           /* owned */
    int64_t *changes;     /* owned, sorted: when an offset begins */
    int32_t *offsets;     /* owned: of each change */
    size_t count;         /* of both */
    int64_t first_offset; /* before the first change */
    bool has_yearly;      /* behind the last change */
    cel_zone_yearly yearly;
};

/* ---- reading TZif ---- */

struct header {
    char version;
    uint32_t utc_flags, std_flags, leaps, times, types, chars;
};

static uint32_t read_u32(const char *at)
{
    const unsigned char *b = (const unsigned char *)at;

    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static int64_t read_s64(const char *at)
{
    return (int64_t)((uint64_t)read_u32(at) << 32 | read_u32(at + 4));
}

static bool read_header(struct header *header, cel_view bytes)
{
    if (bytes.len < HEADER_SIZE || memcmp(bytes.ptr, "TZif", 4) != 0)
        return false;
    header->version = bytes.ptr[4];
    header->utc_flags = read_u32(bytes.ptr + 20);
    header->std_flags = read_u32(bytes.ptr + 24);
    header->leaps = read_u32(bytes.ptr + 28);
    header->times = read_u32(bytes.ptr + 32);
    header->types = read_u32(bytes.ptr + 36);
    header->chars = read_u32(bytes.ptr + 40);
    return header->types > 0 && header->types <= 256 && header->utc_flags <= 256 &&
           header->std_flags <= 256 && header->leaps <= FILE_MAX && header->times <= FILE_MAX &&
           header->chars <= FILE_MAX;
}

static size_t body_size(const struct header *header, size_t time_size)
{
    return (size_t)header->times * (time_size + 1) + (size_t)header->types * 6 + header->chars +
           (size_t)header->leaps * (time_size + 4) + header->std_flags + header->utc_flags;
}

static bool
read_offset(const struct header *header, const char *types, unsigned index, int32_t *out)
{
    if (index >= header->types)
        return false;
    *out = (int32_t)read_u32(types + (size_t)index * 6);
    return *out >= -CEL_ZONE_OFFSET_MAX && *out <= CEL_ZONE_OFFSET_MAX;
}

static bool
read_table(cel_zone *zone, const struct header *header, const char *body, size_t time_size)
{
    const char *indices = body + (size_t)header->times * time_size;
    const char *types = indices + header->times;
    int32_t offset;

    if (!read_offset(header, types, 0, &offset))
        return false;
    zone->first_offset = offset;
    zone->count = header->times;
    for (size_t i = 0; i < zone->count; i++) {
        const char *at = body + i * time_size;

        zone->changes[i] = time_size == 8 ? read_s64(at) : (int32_t)read_u32(at);
        if (i > 0 && zone->changes[i] <= zone->changes[i - 1])
            return false;
        if (!read_offset(header, types, (unsigned char)indices[i], &zone->offsets[i]))
            return false;
    }
    return true;
}

/* The text between two line ends. */
static bool read_footer(cel_zone *zone, cel_view rest)
{
    const char *end;

    if (rest.len < 2 || rest.ptr[0] != '\n')
        return false;
    end = memchr(rest.ptr + 1, '\n', rest.len - 1);
    if (!end)
        return false;
    if (end == rest.ptr + 1)
        return true;
    zone->has_yearly = true;
    return cel__zone_yearly_parse(&zone->yearly,
                                  (cel_view){rest.ptr + 1, (size_t)(end - rest.ptr - 1)});
}

static cel_code read_zone(cel_zone *zone, cel_view bytes, cel_error *err)
{
    struct header header;
    size_t time_size = 4, size;

    if (!read_header(&header, bytes))
        goto broken;
    size = body_size(&header, time_size);
    if (header.version >= '2') { /* the block with 32 bits is for old readers */
        if (size > bytes.len - HEADER_SIZE)
            goto broken;
        bytes.ptr += HEADER_SIZE + size;
        bytes.len -= HEADER_SIZE + size;
        if (!read_header(&header, bytes))
            goto broken;
        time_size = 8;
        size = body_size(&header, time_size);
    }
    if (size > bytes.len - HEADER_SIZE)
        goto broken;
    if (header.leaps > 0)
        return cel_error_set(err, CEL_ECONFIG, "time zone '%.100s' counts leap seconds",
                             zone->name);
    zone->changes = cel__calloc(header.times + 1u, sizeof *zone->changes);
    zone->offsets = cel__calloc(header.times + 1u, sizeof *zone->offsets);
    if (!zone->changes || !zone->offsets)
        return cel_error_set(err, CEL_ENOMEM, "no memory for time zone '%.100s'", zone->name);
    if (!read_table(zone, &header, bytes.ptr + HEADER_SIZE, time_size))
        goto broken;
    if (time_size == 8 && !read_footer(zone, (cel_view){bytes.ptr + HEADER_SIZE + size,
                                                        bytes.len - HEADER_SIZE - size}))
        goto broken;
    return CEL_OK;

broken:
    return cel_error_set(err, CEL_ECONFIG, "time zone '%.100s': its file is no zone data",
                         zone->name);
}

static cel_code new_zone(cel_zone **out, const char *name, cel_error *err)
{
    cel_zone *zone = cel__calloc(1, sizeof *zone);

    if (zone)
        zone->name = cel__strdup(name);
    if (!zone || !zone->name) {
        cel__zone_free(zone);
        return cel_error_set(err, CEL_ENOMEM, "no memory for time zone '%.100s'", name);
    }
    *out = zone;
    return CEL_OK;
}

cel_code cel__zone_load(cel_zone **out, const char *name, cel_view bytes, cel_error *err)
{
    cel_zone *zone;
    cel_code code = new_zone(&zone, name, err);

    if (code != CEL_OK)
        return code;
    code = read_zone(zone, bytes, err);
    if (code != CEL_OK) {
        cel__zone_free(zone);
        return code;
    }
    *out = zone;
    return CEL_OK;
}

cel_code cel__zone_posix(cel_zone **out, const char *text, cel_error *err)
{
    cel_zone *zone;
    cel_code code = new_zone(&zone, text, err);

    if (code != CEL_OK)
        return code;
    zone->has_yearly = true;
    if (!cel__zone_yearly_parse(&zone->yearly, cel__view(text))) {
        cel__zone_free(zone);
        return cel_error_set(err, CEL_ECONFIG, "'%.100s' is no time zone", text);
    }
    *out = zone;
    return CEL_OK;
}

void cel__zone_free(cel_zone *zone)
{
    if (!zone)
        return;
    cel__free(zone->name);
    cel__free(zone->changes);
    cel__free(zone->offsets);
    cel__free(zone);
}

const char *cel__zone_name(const cel_zone *zone)
{
    return zone->name;
}

/* ---- finding the file ---- */

/* Names are paths below the folders of zones, never out of them. */
static bool is_name(const char *name)
{
    size_t len = strlen(name);

    return len > 0 && len < 200 && name[0] != '/' && name[0] != '.' && !strstr(name, "..") &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                        "0123456789/_+-.") == len;
}

/* CEL_ENOENT: there is no such file, or it cannot be read. */
static cel_code open_file(cel_zone **out, const char *name, const char *path, cel_error *err)
{
    FILE *file = fopen(path, "rb");
    char *bytes = file ? cel__malloc(FILE_MAX) : NULL;
    size_t len = bytes ? fread(bytes, 1, FILE_MAX, file) : 0;
    cel_code code;

    if (!file || (bytes && ferror(file)))
        code = cel_error_set(err, CEL_ENOENT, "%.150s: %s", path, strerror(errno));
    else if (!bytes)
        code = cel_error_set(err, CEL_ENOMEM, "no memory for time zone '%.100s'", name);
    else
        code = cel__zone_load(out, name, (cel_view){bytes, len}, err);
    if (file)
        fclose(file);
    cel__free(bytes);
    return code;
}

static cel_code open_named(cel_zone **out, const char *name, cel_error *err)
{
    static const char *const folders[] = {"/usr/share/zoneinfo", "/usr/lib/zoneinfo",
                                          "/usr/share/lib/zoneinfo", "/etc/zoneinfo"};
    char path[256];

    if (!is_name(name))
        return cel_error_set(err, CEL_ECONFIG, "'%.100s' is no name of a time zone", name);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        cel_code code;

        snprintf(path, sizeof path, "%s/%s", folders[i], name);
        code = open_file(out, name, path, err);
        if (code != CEL_ENOENT)
            return code;
    }
    return cel_error_set(err, CEL_ECONFIG,
                         "there is no time zone '%.100s' in %s (the package tzdata)", name,
                         folders[0]);
}

/* What the C library does at the first localtime(). */
static cel_code open_local(cel_zone **out, cel_error *err)
{
    const char *name = getenv("TZ");
    cel_code code;

    if (!name) {
        code = open_file(out, "localtime", "/etc/localtime", err);
        return code == CEL_ENOENT ? cel__zone_posix(out, "UTC0", err) : code;
    }
    if (*name == ':')
        name++;
    if (*name == '\0')
        return cel__zone_posix(out, "UTC0", err);
    if (*name == '/')
        code = open_file(out, name, name, err);
    else
        code = open_named(out, name, err);
    return code == CEL_OK || cel__zone_posix(out, name, NULL) == CEL_OK ? CEL_OK
           : code == CEL_ENOENT
               ? cel_error_set(err, CEL_ECONFIG, "TZ: there is no file %.100s", name)
               : code;
}

cel_code cel__zone_open(cel_zone **out, const char *name, cel_error *err)
{
    if (name && *name == '\0')
        return open_local(out, err);
    if (!name || strcmp(name, "UTC") == 0) { /* there without zone data, too */
        cel_zone *zone;
        cel_code code = new_zone(&zone, "UTC", err);

        if (code == CEL_OK)
            *out = zone;
        return code;
    }
    return open_named(out, name, err);
}

/* ---- use ---- */

cel_zone_span cel__zone_span(const cel_zone *zone, int64_t utc_s)
{
    size_t low = 0, high = zone->count; /* how many changes are not after utc_s */
    cel_zone_span span = {INT64_MIN, INT64_MAX, zone->first_offset};

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (zone->changes[middle] <= utc_s)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == zone->count && zone->has_yearly) {
        span = cel__zone_yearly_span(&zone->yearly, utc_s);
        if (low > 0 && span.start_s < zone->changes[low - 1])
            span.start_s = zone->changes[low - 1];
        return span;
    }
    if (low > 0) {
        span.start_s = zone->changes[low - 1];
        span.offset_s = zone->offsets[low - 1];
    }
    if (low < zone->count)
        span.end_s = zone->changes[low];
    return span;
}

int cel__zone_instants(const cel_zone *zone, int64_t local_s, int64_t out[2], bool *gap)
{
    const int64_t last = local_s + CEL_ZONE_OFFSET_MAX;
    cel_zone_span span = cel__zone_span(zone, local_s - CEL_ZONE_OFFSET_MAX);
    int64_t missing = local_s - span.offset_s;
    int count = 0;

    *gap = false;
    for (;;) {
        int64_t at = local_s - span.offset_s;

        if (at >= span.start_s && at < span.end_s && count < 2)
            out[count++] = at;
        if (at >= span.end_s)
            missing = at; /* not yet reached when this span ends: behind it, if nowhere */
        if (span.end_s > last)
            break;
        span = cel__zone_span(zone, span.end_s);
    }
    if (count == 0) {
        out[count++] = missing;
        *gap = true;
    }
    return count;
}

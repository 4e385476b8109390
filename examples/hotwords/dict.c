/* dict.c - mapping a compiled dictionary, and finding it.
 *
 * A mapped file is input like any other: before the segmenter walks it without checks, everything
 * that an index could be made of is checked here once. The header first, then the size, then the
 * checksum (an accident does not get past it), then the bounds (nothing gets past those). */
#include "dict.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "place.h"

#define DICT_NAME "hotwords.dict"

static_assert(sizeof(size_t) >= 8, "the layout's sums are made in 64 bits");
static_assert(sizeof(struct hw_dict_header) == 64, "the header has no padding");
static_assert(sizeof(struct hw_dict_cell) == 8, "a cell has no padding");

/* Takes `size` bytes at the next multiple of 64. Cannot overflow: sizes are below 2^36. */
static size_t place(size_t *end, size_t size)
{
    size_t at = *end;

    *end = (at + size + 63) & ~(size_t)63;
    return at;
}

void hw_dict_layout_of(struct hw_dict_layout *layout, const struct hw_dict_header *header)
{
    size_t end = sizeof *header;

    layout->start = place(&end, HW_STATES * sizeof(double));
    layout->trans = place(&end, HW_STATES * HW_STATES * sizeof(double));
    layout->emit = place(&end, HW_HAN_COUNT * HW_STATES * sizeof(double));
    layout->log_freq = place(&end, header->freq_count * sizeof(double));
    layout->freq = place(&end, header->freq_count * sizeof(uint32_t));
    layout->label = place(&end, HW_LABEL_CODES * sizeof(uint16_t));
    layout->cell = place(&end, header->cell_count * sizeof(struct hw_dict_cell));
    layout->file_bytes = end;
}

/* Four independent sums, so that their multiplications overlap. Each step can be undone, so any
 * single changed word changes its sum. */
uint64_t hw_dict_checksum(const void *bytes, size_t len)
{
    const uint64_t prime = 0x9E3779B97F4A7C15u;
    const uint64_t *word = bytes;
    uint64_t sum[4] = {1, 2, 3, 4};
    uint64_t all = len;

    assert(len % 32 == 0);
    for (size_t i = 0; i < len / 8; i += 4) {
        for (size_t lane = 0; lane < 4; lane++) {
            uint64_t mixed = (sum[lane] ^ word[i + lane]) * prime;
            sum[lane] = mixed ^ mixed >> 29;
        }
    }
    for (size_t lane = 0; lane < 4; lane++)
        all = (all ^ sum[lane]) * prime + (all >> 31);
    return all ^ all >> 32;
}

uint64_t hw_dict_file_checksum(const struct hw_dict_header *header)
{
    struct hw_dict_header bare = *header;
    const size_t rest = (size_t)header->file_bytes - sizeof bare;

    bare.checksum = 0;
    return hw_dict_checksum(&bare, sizeof bare) * 3 + hw_dict_checksum(header + 1, rest);
}

/* Checks what may be checked before the size of the file is trusted. */
static hw_code check_header(const struct hw_dict_header *header,
                            size_t file_bytes,
                            const char *path,
                            hw_error *err)
{
    struct hw_dict_layout layout;

    if (file_bytes < sizeof *header || memcmp(header->magic, HW_DICT_MAGIC, 8) != 0)
        return hw_fail(err, HW_EFORMAT, "'%s' is no hotwords dictionary", path);
    if (header->byte_order != HW_DICT_BYTE_ORDER)
        return hw_fail(err, HW_EFORMAT, "'%s' has another machine's byte order", path);
    if (header->version != HW_DICT_VERSION)
        return hw_fail(err, HW_EFORMAT, "'%s' has version %u of the dictionary format, not %u",
                       path, header->version, HW_DICT_VERSION);
    hw_dict_layout_of(&layout, header);
    if (header->file_bytes != layout.file_bytes)
        return hw_fail(err, HW_EFORMAT, "'%s' is damaged: its sizes contradict", path);
    if (file_bytes != layout.file_bytes)
        return hw_fail(err, HW_EFORMAT, "'%s' is damaged: it should have %zu bytes and has %zu",
                       path, layout.file_bytes, file_bytes);
    return HW_OK;
}

/* True if no walk from the root can leave the array, whatever the labels. Written without branches
 * inside the loop, so that the compiler makes vectors of it. */
static bool cells_are_bounded(const hw_dict *dict)
{
    const struct hw_dict_header *header = dict->header;
    uint32_t last_base, wrong = 0;

    if (header->label_count > HW_LABEL_MAX || header->freq_count < 2 ||
        header->freq_count > UINT16_MAX || header->cell_count <= header->label_count)
        return false;
    last_base = header->cell_count - 1 - header->label_count;
    for (size_t i = 0; i < header->cell_count; i++)
        wrong |= (uint32_t)(dict->cell[i].base > last_base) |
                 (uint32_t)(dict->cell[i].freq >= header->freq_count);
    for (size_t i = 0; i < HW_LABEL_CODES; i++)
        wrong |= (uint32_t)(dict->label[i] > header->label_count);
    return wrong == 0;
}

static const void *section(const struct hw_dict_header *header, size_t offset)
{
    return (const char *)header + offset;
}

static void attach(hw_dict *dict, const struct hw_dict_header *header)
{
    struct hw_dict_layout layout;

    hw_dict_layout_of(&layout, header);
    dict->header = header;
    dict->start = section(header, layout.start);
    dict->trans = section(header, layout.trans);
    dict->emit = section(header, layout.emit);
    dict->log_freq = section(header, layout.log_freq);
    dict->freq = section(header, layout.freq);
    dict->label = section(header, layout.label);
    dict->cell = section(header, layout.cell);
}

/* Maps the file behind `fd`. An empty file cannot be mapped and is no dictionary either. */
static hw_code map_file(void **map, size_t *bytes, int fd, const char *path, hw_error *err)
{
    struct stat about;

    if (fstat(fd, &about) != 0)
        return hw_fail_file(err, "read", path, errno);
    if (!S_ISREG(about.st_mode) || about.st_size < (off_t)sizeof(struct hw_dict_header))
        return hw_fail(err, HW_EFORMAT, "'%s' is no hotwords dictionary", path);
    *bytes = (size_t)about.st_size;
    *map = mmap(NULL, *bytes, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (*map == MAP_FAILED)
        return hw_fail_file(err, "map", path, errno);
    return HW_OK;
}

hw_code hw_dict_open(hw_dict **out, const char *path, hw_error *err)
{
    hw_dict *dict = NULL;
    void *map = MAP_FAILED;
    size_t bytes = 0;
    hw_code code;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hang us */

    if (fd < 0)
        return hw_fail_file(err, "open", path, errno);
    code = map_file(&map, &bytes, fd, path, err);
    close(fd);
    if (code != HW_OK)
        return code;
    code = check_header(map, bytes, path, err);
    if (code != HW_OK)
        goto fail;
    dict = calloc(1, sizeof *dict);
    if (!dict) {
        code = hw_fail_memory(err);
        goto fail;
    }
    attach(dict, map);
    if (dict->header->checksum != hw_dict_file_checksum(dict->header)) {
        code = hw_fail(err, HW_EFORMAT, "'%s' is damaged: its checksum is wrong", path);
        goto fail;
    }
    if (!cells_are_bounded(dict)) {
        code = hw_fail(err, HW_EFORMAT, "'%s' is damaged: an index is out of range", path);
        goto fail;
    }
    /* The check has touched all of it. A worker that only forks the children that will use it need
     * not count as holding it: the page cache keeps it. */
    (void)madvise(map, bytes, MADV_DONTNEED);
    *out = dict;
    return HW_OK;

fail:
    free(dict);
    munmap(map, bytes);
    return code;
}

void hw_dict_close(hw_dict *dict)
{
    if (!dict)
        return;
    munmap((void *)(uintptr_t)dict->header, (size_t)dict->header->file_bytes);
    free(dict);
}

hw_code hw_dict_open_default(hw_dict **out, hw_error *err)
{
    const char *chosen = getenv("HOTWORDS_DICT");
    char path[PATH_MAX];

    if (chosen && *chosen)
        return hw_dict_open(out, chosen, err);
    hw_place_find(path, sizeof path, DICT_NAME); /* opening it says better why not */
    return hw_dict_open(out, path, err);
}

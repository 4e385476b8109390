/* dict_test.c - opening dictionaries, good ones and damaged ones. */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "dict.h"
#include "test_support.h"

static const char *const words[] = {"中国", "中国人", "国人", "人", "A座"};

/* The bytes of a good small dictionary, to be damaged. Aligned, as all of malloc() is. */
static hw_buf good_bytes(void **state)
{
    hw_buf bytes = {0};

    hw_dict_close(test_small_dict(state, words, 5));
    assert_int_equal(hw_buf_add_file(&bytes, test_path(state, "small.dict"), NULL), HW_OK);
    return bytes;
}

static void sign(hw_buf *bytes)
{
    struct hw_dict_header *header = (struct hw_dict_header *)(void *)bytes->bytes;

    header->checksum = hw_dict_file_checksum(header);
}

static void assert_damaged(const char *path)
{
    hw_dict *dict = NULL;
    hw_error err = {0};

    assert_int_equal(hw_dict_open(&dict, path, &err), HW_EFORMAT);
    assert_null(dict);
    assert_non_null(strstr(err.message, path));
}

static void a_missing_file_is_named(void **state)
{
    hw_dict *dict = NULL;
    hw_error err = {0};

    assert_int_equal(hw_dict_open(&dict, test_path(state, "none"), &err), HW_ENOENT);
    assert_non_null(strstr(err.message, "/none'"));
}

static void what_is_no_regular_file_is_refused_at_once(void **state)
{
    const test_folder *folder = *state;
    const char *fifo = test_path(state, "fifo");

    assert_damaged(folder->path);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_damaged(fifo);
    assert_damaged("/dev/null");
}

static void text_is_no_dictionary(void **state)
{
    assert_damaged(test_write_text(state, "text", ""));
    assert_damaged(test_write_text(state, "text", "HWDICT\x1a\n"));
    assert_damaged(test_write_text(state, "text",
                                   "A longer text, longer than a header, which has no more "
                                   "than sixty-four bytes in all."));
}

static void every_truncation_is_found(void **state)
{
    hw_buf bytes = good_bytes(state);

    for (size_t len = 0; len < bytes.len; len += len < 300 ? 1 : 9973)
        assert_damaged(test_write(state, "cut", bytes.bytes, len));
    assert_damaged(test_write(state, "cut", bytes.bytes, bytes.len - 1));
    assert_damaged(test_write(state, "cut", bytes.bytes, bytes.len - 64));
    hw_buf_add_byte(&bytes, 0);
    assert_damaged(test_write(state, "cut", bytes.bytes, bytes.len));
    hw_buf_done(&bytes);
}

static void every_changed_byte_of_the_header_is_found(void **state)
{
    static const unsigned char masks[] = {0x01, 0x80, 0xFF};
    hw_buf bytes = good_bytes(state);
    const char *path = test_write(state, "bad", bytes.bytes, bytes.len);
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    for (size_t at = 0; at < sizeof(struct hw_dict_header); at++) {
        for (size_t i = 0; i < sizeof masks; i++) {
            const char changed = (char)(bytes.bytes[at] ^ masks[i]);

            assert_int_equal(pwrite(fd, &changed, 1, (off_t)at), 1);
            assert_damaged(path);
        }
        assert_int_equal(pwrite(fd, bytes.bytes + at, 1, (off_t)at), 1);
    }
    close(fd);
    hw_buf_done(&bytes);
}

static void a_changed_bit_anywhere_is_found(void **state)
{
    hw_buf bytes = good_bytes(state);
    const char *path = test_write(state, "bad", bytes.bytes, bytes.len);
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    for (size_t at = 64; at < bytes.len; at += 4099) {
        const char changed = (char)(bytes.bytes[at] ^ 1 << at % 8);

        assert_int_equal(pwrite(fd, &changed, 1, (off_t)at), 1);
        assert_damaged(path);
        assert_int_equal(pwrite(fd, bytes.bytes + at, 1, (off_t)at), 1);
    }
    close(fd);
    hw_buf_done(&bytes);
}

/* From here on the checksum is right, as if a forger had made the file. */

static void sizes_that_lie_are_found(void **state)
{
    hw_buf bytes = good_bytes(state);
    struct hw_dict_header *header = (struct hw_dict_header *)(void *)bytes.bytes;
    const struct hw_dict_header before = *header;
    uint32_t *const counts[] = {&header->label_count, &header->cell_count, &header->freq_count};
    static const uint32_t values[] = {0, 1, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF};

    for (size_t i = 0; i < 3; i++) {
        for (size_t k = 0; k < sizeof values / sizeof *values; k++) {
            *header = before;
            *counts[i] = values[k];
            sign(&bytes);
            assert_damaged(test_write(state, "forged", bytes.bytes, bytes.len));
        }
    }
    hw_buf_done(&bytes);
}

static void an_index_out_of_range_is_found(void **state)
{
    hw_buf bytes = good_bytes(state);
    const struct hw_dict_header header = *(struct hw_dict_header *)(void *)bytes.bytes;
    struct hw_dict_layout layout;
    struct hw_dict_cell *cell;
    uint16_t *label;

    hw_dict_layout_of(&layout, &header);
    cell = (struct hw_dict_cell *)(void *)(bytes.bytes + layout.cell) + header.cell_count - 1;
    label = (uint16_t *)(void *)(bytes.bytes + layout.label) + 7;
    cell->base = header.cell_count - header.label_count;
    sign(&bytes);
    assert_damaged(test_write(state, "forged", bytes.bytes, bytes.len));
    cell->base = 0;
    cell->freq = (uint16_t)header.freq_count;
    sign(&bytes);
    assert_damaged(test_write(state, "forged", bytes.bytes, bytes.len));
    cell->freq = 0;
    *label = (uint16_t)(header.label_count + 1);
    sign(&bytes);
    assert_damaged(test_write(state, "forged", bytes.bytes, bytes.len));
    hw_buf_done(&bytes);
}

/* Whatever the cells say, and be the numbers infinite or none, cutting ends and stays inside. */
static void nonsense_within_bounds_does_no_harm(void **state)
{
    static const char text[] = "中国人民A座中国人人人国中，国人A座座";
    hw_buf bytes = good_bytes(state);
    const struct hw_dict_header header = *(struct hw_dict_header *)(void *)bytes.bytes;
    struct hw_dict_layout layout;
    struct hw_dict_cell *cells;
    double *numbers;
    unsigned seed = 1;

    hw_dict_layout_of(&layout, &header);
    cells = (struct hw_dict_cell *)(void *)(bytes.bytes + layout.cell);
    numbers = (double *)(void *)(bytes.bytes + layout.log_freq);
    for (unsigned round = 0; round < 20; round++) {
        const hw_token *tokens;
        size_t count;
        hw_segmenter *seg = NULL;
        hw_dict *dict = NULL;

        for (size_t i = 0; i < header.cell_count; i++) {
            cells[i].base = (uint32_t)rand_r(&seed) % (header.cell_count - header.label_count);
            cells[i].label = (uint16_t)((uint32_t)rand_r(&seed) % (header.label_count + 1));
            cells[i].freq = (uint16_t)((uint32_t)rand_r(&seed) % header.freq_count);
        }
        numbers[1] = round % 3 == 0 ? NAN : round % 3 == 1 ? INFINITY : -INFINITY;
        sign(&bytes);
        test_write(state, "nonsense", bytes.bytes, bytes.len);
        assert_int_equal(hw_dict_open(&dict, test_path(state, "nonsense"), NULL), HW_OK);
        assert_int_equal(hw_segmenter_new(&seg, dict, NULL, NULL), HW_OK);
        for (unsigned mode = HW_MODE_EXACT; mode <= HW_MODE_SEARCH; mode++)
            assert_int_equal(
                hw_cut(seg, (hw_mode)mode, text, sizeof text - 1, &tokens, &count, NULL),
                HW_OK);
        hw_segmenter_free(seg);
        hw_dict_close(dict);
    }
    hw_buf_done(&bytes);
}

static void the_environment_names_the_default(void **state)
{
    char *before = strdup(test_env("HOTWORDS_DICT", ""));
    hw_dict *dict = NULL;
    hw_error err = {0};

    hw_dict_close(test_small_dict(state, words, 5));
    setenv("HOTWORDS_DICT", test_path(state, "small.dict"), 1);
    assert_int_equal(hw_dict_open_default(&dict, &err), HW_OK);
    assert_int_equal(dict->header->word_count, 5);
    hw_dict_close(dict);
    setenv("HOTWORDS_DICT", test_path(state, "none"), 1);
    assert_int_equal(hw_dict_open_default(&dict, &err), HW_ENOENT);
    assert_non_null(strstr(err.message, "/none'"));
    setenv("HOTWORDS_DICT", before, 1);
    free(before);
}

static void the_built_dictionary_has_jiebas_numbers(void **state)
{
    hw_dict *dict = test_open_dict();

    (void)state;
    assert_int_equal(dict->header->word_count, 349045);
    assert_int_equal(dict->header->total, 60101967);
    assert_true(dict->header->log_total == 17.91155312775522);
    assert_true(dict->start[HW_STATE_B] == -0.26268660809250016);
    assert_true(dict->start[HW_STATE_M] == HW_LOG_ZERO);
    assert_true(dict->trans[HW_STATE_M * HW_STATES + HW_STATE_E] == -0.33344856811948514);
    assert_true(dict->emit[HW_STATE_B] == -3.6544978750449433); /* of U+4E00, the first */
    hw_dict_close(dict);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_file_is_named),
        cmocka_unit_test(what_is_no_regular_file_is_refused_at_once),
        cmocka_unit_test(text_is_no_dictionary),
        cmocka_unit_test(every_truncation_is_found),
        cmocka_unit_test(every_changed_byte_of_the_header_is_found),
        cmocka_unit_test(a_changed_bit_anywhere_is_found),
        cmocka_unit_test(sizes_that_lie_are_found),
        cmocka_unit_test(an_index_out_of_range_is_found),
        cmocka_unit_test(nonsense_within_bounds_does_no_harm),
        cmocka_unit_test(the_environment_names_the_default),
        cmocka_unit_test(the_built_dictionary_has_jiebas_numbers),
    };

    return cmocka_run_group_tests(tests, test_folder_setup, test_folder_teardown);
}

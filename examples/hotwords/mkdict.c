/* mkdict.c - the program hotwords-mkdict: compiles jieba's data into one file to be mapped. */
#include <stdio.h>
#include <string.h>

#include "dict.h"
#include "dict_build.h"
#include "jieba_source.h"

#ifndef HW_VERSION
#error "HW_VERSION must be the version of the program"
#endif

static const char usage[] =
    "usage: hotwords-mkdict JIEBA_DIR OUTPUT\n"
    "       hotwords-mkdict --check FILE\n"
    "\n"
    "Compiles jieba's dictionary (JIEBA_DIR/dict.txt and JIEBA_DIR/finalseg/prob_*.py) into\n"
    "OUTPUT, which the hot-words programs map. Debian's python3-jieba has these files in\n"
    "/usr/lib/python3/dist-packages/jieba. OUTPUT is replaced in one step.\n"
    "\n"
    "  --check FILE  say what a compiled dictionary holds, or how it is damaged\n"
    "  --help        show this help\n"
    "  --version     show the version\n";

static int report(hw_code code, const hw_error *err)
{
    if (code == HW_OK)
        return 0;
    fprintf(stderr, "hotwords-mkdict: %s\n", err->message);
    return 1;
}

static int check(const char *path)
{
    hw_dict *dict;
    hw_error err;
    hw_code code = hw_dict_open(&dict, path, &err);

    if (code != HW_OK)
        return report(code, &err);
    printf("%s: %u words, total %llu, %u cells, %llu bytes\n", path, dict->header->word_count,
           (unsigned long long)dict->header->total, dict->header->cell_count,
           (unsigned long long)dict->header->file_bytes);
    hw_dict_close(dict);
    return 0;
}

static int compile(const char *jieba_dir, const char *output)
{
    hw_dict_builder *builder;
    hw_error err;
    hw_code code = hw_dict_builder_new(&builder, &err);

    if (code != HW_OK)
        return report(code, &err);
    code = hw_jieba_read(builder, jieba_dir, &err);
    if (code == HW_OK)
        code = hw_dict_builder_write(builder, output, &err);
    hw_dict_builder_free(builder);
    return report(code, &err);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        puts("hotwords-mkdict " HW_VERSION);
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "--check") == 0)
        return check(argv[2]);
    if (argc == 3 && argv[1][0] != '-')
        return compile(argv[1], argv[2]);
    fputs(usage, stderr);
    return 2;
}

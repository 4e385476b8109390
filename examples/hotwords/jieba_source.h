/* jieba_source.h - reading the dictionary and HMM parameters of python jieba. */
#ifndef HW_JIEBA_SOURCE_H
#define HW_JIEBA_SOURCE_H

#include "dict_build.h"
#include "hw_error.h"

/* Reads dict.txt, finalseg/prob_start.py, prob_trans.py and prob_emit.py in `dir`, jieba's folder,
 * and adds what is in them to `builder`. Fails with HW_ENOENT or HW_EIO, and with HW_EFORMAT, naming
 * file and line, for content that is not in the form described at hw_pyliteral_read() or, in
 * dict.txt, for a line other than `word frequency tag`. */
hw_code hw_jieba_read(hw_dict_builder *builder, const char *dir, hw_error *err);

#endif

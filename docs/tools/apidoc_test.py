"""Tests of apidoc.py: that it takes headers apart as people read them, and that its check can fail."""
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import apidoc  # noqa: E402

HEADER = """/* pot.h - where the *celeriac grows.
 *
 *     cel_pot_new();
 *
 * Text behind the code. */
#ifndef CELERIAC_POT_H
#define CELERIAC_POT_H

#include "celeriac/error.h"

CEL_BEGIN_DECLS

/* A pot.
 * It is round. */
typedef struct cel_pot {
    int size; /* in litres; { no brace that counts */
} cel_pot;

/* Text on its own. */

/* Makes one. */
CEL_API cel_pot *cel_pot_new(int size,
                             int depth);
CEL_API void cel_pot_free(cel_pot *pot); /* NULL is a no-op */

typedef void (*cel_pot_fn)(void *user);

CEL_API int cel_pot_size(const cel_pot *pot);

#define CEL_POT(...) \\
    cel_pot_new(__VA_ARGS__)

CEL_END_DECLS

#endif
"""


class ApidocTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.header = self.write("pot.h", HEADER)

    def write(self, name, text):
        path = os.path.join(self.folder.name, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def test_every_declaration_has_its_name_and_its_docstring(self):
        text = apidoc.page([self.header])
        self.assertIn("## pot.h\n\nWhere the \\*celeriac grows.\n\n```c\ncel_pot_new();\n```\n\nText behind the code.\n", text)
        self.assertIn("### `cel_pot`\n\nA pot.\nIt is round.\n\n```c\ntypedef struct cel_pot {\n", text)
        self.assertIn("\nText on its own.\n", text)
        self.assertIn("### `cel_pot_new`, `cel_pot_free`\n\nMakes one.\n\n```c\nCEL_API cel_pot *cel_pot_new(int size,\n", text)
        self.assertIn("### `cel_pot_fn`", text)
        self.assertIn("### `CEL_POT`", text)
        self.assertNotIn("CEL_BEGIN_DECLS", text)

    def test_the_page_is_the_same_each_time(self):
        self.assertEqual(apidoc.page([self.header]), apidoc.page([self.header]))

    def test_a_function_without_a_docstring_is_found(self):
        self.assertEqual(apidoc.undocumented([self.header]), [self.header + ": cel_pot_size"])

    def test_a_page_that_is_out_of_date_fails_the_check(self):
        good = self.write("good.h", HEADER.replace("CEL_API int cel_pot_size(const cel_pot *pot);\n", ""))
        page = self.write("api.md", apidoc.page([good]))
        self.assertEqual(apidoc.check(page, [good]), 0)
        self.write("good.h", HEADER.replace("CEL_API int cel_pot_size(const cel_pot *pot);\n", "").replace("Makes one", "Makes two"))
        self.assertEqual(apidoc.check(page, [good]), 1)

    def test_a_declaration_that_does_not_end_is_an_error(self):
        with self.assertRaisesRegex(SystemExit, "does not end"):
            apidoc.page([self.write("bad.h", "/* bad.h - bad. */\n\nint f(\n")])


if __name__ == "__main__":
    unittest.main(verbosity=2)

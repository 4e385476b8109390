"""The manual page, the completions and the examples: well-formed as far as this machine can tell."""
import configparser
import os
import shutil
import subprocess
import tempfile
import unittest

CELERIAC = os.environ.get("CELERIAC", "celeriac")
EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "examples")


def output(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, **options)


class PackagingTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def file(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def needs(self, program):
        if not shutil.which(program):
            self.skipTest(f"{program} is not installed")

    def test_the_manual_page_is_formatted_without_a_warning(self):
        self.needs("man")
        page = self.file("celeriac.1", output(CELERIAC, "help", "--man").stdout)
        shown = output("man", "--warnings", "-l", page, env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "100"})
        self.assertEqual(shown.stderr, "")
        for heading in ("NAME", "SYNOPSIS", "OPTIONS", "COMMANDS", "SIGNALS", "EXIT STATUS", "ENVIRONMENT", "FILES", "SEE ALSO"):
            self.assertIn(f"\n{heading}\n", "\n" + shown.stdout)

    def test_bash_completes_commands_and_options(self):
        self.needs("bash")
        script = self.file("celeriac.bash", output(CELERIAC, "help", "--completion", "bash").stdout)

        def complete(*words):
            line = " ".join(f"'{word}'" for word in ("celeriac",) + words)
            return output("bash", "-c", f". '{script}'; COMP_WORDS=({line}); COMP_CWORD={len(words)}; _celeriac; "
                                        "printf '%s\\n' \"${COMPREPLY[@]}\"").stdout.split()

        self.assertEqual(complete("wor"), ["worker"])
        self.assertEqual(complete("-A", "tasks", "worker", "--conc"), ["--concurrency"])
        self.assertEqual(complete("call", "--kw"), ["--kwargs"])
        self.assertEqual(complete("nothing-that-is-there"), [])

    def test_zsh_takes_its_completions(self):
        self.needs("zsh")
        output("zsh", "-n", self.file("_celeriac", output(CELERIAC, "help", "--completion", "zsh").stdout))

    def test_fish_takes_its_completions(self):
        self.needs("fish")
        output("fish", "--no-execute", self.file("celeriac.fish", output(CELERIAC, "help", "--completion", "fish").stdout))

    def test_systemd_finds_no_fault_with_the_unit(self):
        self.needs("systemd-analyze")
        with open(os.path.join(EXAMPLES, "celeriac@.service"), encoding="utf-8") as file:
            unit = file.read().replace("/usr/local/bin/celeriac", "/bin/true")
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", self.file("celeriac@test.service", unit)],
                              capture_output=True, text=True, timeout=60, check=False)
        if "Failed to" in done.stderr and "celeriac@test" not in done.stderr:
            self.skipTest(f"systemd-analyze does not work here: {done.stderr.splitlines()[0]}")
        complaints = [line for line in done.stderr.splitlines() if "celeriac@test" in line]
        self.assertEqual(complaints, [])
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_supervisors_file_is_an_ini_file_that_names_the_worker(self):
        parser = configparser.RawConfigParser(inline_comment_prefixes=(" ;",))
        parser.read(os.path.join(EXAMPLES, "supervisord.conf"))
        program = parser["program:celeriac"]
        self.assertIn(" worker -n celery_test@%%h ", program["command"])
        self.assertEqual(program["stopsignal"], "TERM")


if __name__ == "__main__":
    unittest.main(verbosity=2)

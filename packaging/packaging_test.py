"""The manual page, the completions and the examples: well-formed as far as this machine can tell."""
import configparser
import os
import re
import shutil
import subprocess
import tempfile
import unittest

CELERIAC = os.environ.get("CELERIAC", "celeriac")
SERVICES = os.environ.get("CEL_SERVICE_FILES", ".")  # where the build has put them


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

    def test_systemd_finds_no_fault_with_the_units(self):
        self.needs("systemd-analyze")
        for name, instance in (("celeriac-worker@.service", "celeriac-worker@test.service"),
                               ("celeriac-dispatch.service", "celeriac-dispatch.service")):
            with open(os.path.join(SERVICES, name), encoding="utf-8") as file:
                unit = re.sub("(?m)^ExecStart=[^ ]*", "ExecStart=/bin/true", file.read())
            self.assertNotIn("@bindir@", unit)
            self.assertNotIn("@sysconfdir@", unit)
            done = subprocess.run(["systemd-analyze", "verify", "--man=no", self.file(instance, unit)],
                                  capture_output=True, text=True, timeout=60, check=False)
            if "Failed to" in done.stderr and instance not in done.stderr:
                self.skipTest(f"systemd-analyze does not work here: {done.stderr.splitlines()[0]}")
            complaints = [line for line in done.stderr.splitlines() if instance in line]
            self.assertEqual(complaints, [])
            self.assertEqual(done.returncode, 0, done.stderr)

    def test_supervisors_files_are_ini_files_that_stop_warm(self):
        for name, command in (("worker", " worker -n celeriac@%%h "), ("dispatch", " dispatch ")):
            parser = configparser.RawConfigParser(inline_comment_prefixes=(" ;",))
            parser.read(os.path.join(SERVICES, f"celeriac-{name}.conf"))
            program = parser[f"program:celeriac-{name}"]
            self.assertIn(command, program["command"])
            self.assertEqual(program["stopsignal"], "TERM")
            self.assertGreaterEqual(int(program["stopwaitsecs"]), 60)

    def test_the_configuration_of_a_package_is_understood(self):
        folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "etc")
        text = output(CELERIAC, "--config", os.path.join(folder, "celeryconfig.py"), "report", cwd=self.folder).stdout
        self.assertIn("transport:sqlite:////var/lib/celeriac/celeriac.db", text)
        with open(os.path.join(SERVICES, "default"), encoding="utf-8") as file:
            lines = [line for line in file.read().splitlines() if line and not line.startswith("#")]
        for line in lines:
            self.assertRegex(line, r"^(CELERIAC_PATH|CELERY_[A-Z_]+)=[^ \"']+$")


if __name__ == "__main__":
    unittest.main(verbosity=2)

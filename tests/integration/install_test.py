"""`meson install` puts everything in its place, and the task and the client of the README work against what is installed."""
import glob
import os
import re
import shutil
import subprocess
import unittest

import support

README = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../README.md")


def readme_programs():
    """The two C programs that the README shows: a task module and a client."""
    with open(README, encoding="utf-8") as file:
        programs = re.findall(r"^```c\n(.*?)^```", file.read(), re.M | re.S)
    assert len(programs) == 2, "the README shows a task and a client"
    return programs


class InstallTest(support.Case):
    module = False

    def setUp(self):
        super().setUp()
        self.build = os.environ.get("CELERIAC_BUILD")
        if not self.build or not shutil.which("meson"):
            self.skipTest("meson or the build directory is not there")
        self.root = self.path("root")
        self.run_here("meson", "install", "-C", self.build, "--no-rebuild", "--quiet", env={**self.env, "DESTDIR": self.root})
        found = glob.glob(self.root + "/**/bin/celeriac", recursive=True)
        self.assertEqual(len(found), 1)
        self.prefix = os.path.dirname(os.path.dirname(found[0]))
        self.lib = os.path.dirname(glob.glob(self.prefix + "/lib*/**/libceleriac.so", recursive=True)[0])
        self.env.update(LD_LIBRARY_PATH=self.lib, PKG_CONFIG_PATH=self.lib + "/pkgconfig", PKG_CONFIG_SYSROOT_DIR=self.root,
                        CEL_SANITIZE=os.environ.get("CEL_SANITIZE", ""))

    def run_here(self, *command, env=None):
        done = subprocess.run(command, cwd=self.dir, env=env or self.env, capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, 0, f"{command}: {done.stdout}{done.stderr}")
        return done.stdout

    def compile(self, source, output, *options):
        """Compiles with what pkg-config says, as the README does."""
        flags = self.run_here("pkg-config", "--cflags", "--libs", "celeriac").split()
        sanitize = self.env["CEL_SANITIZE"].split()
        self.run_here("cc", "-std=c17", "-Wall", "-Wextra", "-Werror", *sanitize, *options, source, *flags, "-o", output)

    def test_everything_is_in_its_place(self):
        for name in ("include/celeriac.h", "include/celeriac/task.h", "include/celeriac/version.h", "share/man/man1/celeriac.1",
                     "share/bash-completion/completions/celeriac", "share/zsh/site-functions/_celeriac",
                     "share/fish/vendor_completions.d/celeriac.fish", "lib/systemd/system/celeriac-worker@.service",
                     "lib/systemd/system/celeriac-dispatch.service", "lib/sysusers.d/celeriac.conf", "lib/tmpfiles.d/celeriac.conf",
                     "share/doc/celeriac/examples/supervisor/celeriac-worker.conf", "share/doc/celeriac/examples/celeryconfig.py"):
            self.assertTrue(os.path.isfile(f"{self.prefix}/{name}") or os.path.isfile(f"{self.prefix}/{name}.gz"), name)
        version = self.run_here("pkg-config", "--modversion", "celeriac").strip()
        self.assertEqual(self.run_here(f"{self.prefix}/bin/celeriac", "--version"), f"{version} (celeriac)\n")
        major = version.split(".", maxsplit=1)[0]
        self.assertEqual(os.readlink(f"{self.lib}/libceleriac.so.{major}"), f"libceleriac.so.{version}")

    def test_the_public_headers_stand_alone_in_c_and_cpp(self):
        flags = self.run_here("pkg-config", "--cflags", "celeriac").split()
        for header in sorted(glob.glob(self.prefix + "/include/celeriac/*.h")) + [self.prefix + "/include/celeriac.h"]:
            for language, standard in (("c", "-std=c11"), ("c++", "-std=c++11")):
                if language == "c++" and not shutil.which("c++"):
                    continue
                self.run_here("cc", "-x", language, standard, "-Wall", "-Wextra", "-Werror", "-fsyntax-only", *flags,
                              "-include", header, "/dev/null")

    def test_only_what_is_public_is_exported(self):
        text = self.run_here("nm", "-D", "--defined-only", self.lib + "/libceleriac.so")
        names = set(re.findall(r" [TDBRVW] (\w+)", text))
        declared = set()
        for header in glob.glob(self.prefix + "/include/celeriac/*.h"):
            with open(header, encoding="utf-8") as file:
                declared |= set(re.findall(r"\b(cel_\w+)\(", file.read()))
        private = {name for name in names if not name.startswith("cel_") or name.startswith("cel__")}
        private = {name for name in private if not re.match(r"_?_(asan|ubsan|odr|tsan|lsan|sanitizer|gcov|init|fini|bss|edata|end)", name)}
        self.assertEqual(private, {"cel__cli_main"})
        self.assertEqual({name for name in names if re.match(r"cel_[a-z]", name)} - declared, set())

    def test_a_task_and_a_client_work_against_it(self):
        tasks, client = readme_programs()
        self.write("tasks.c", tasks)
        self.write("client.c", client)
        self.compile("tasks.c", "tasks.so", "-shared", "-fPIC")
        self.compile("client.c", "client")
        self.celeriac = f"{self.prefix}/bin/celeriac"
        self.env["CELERY_BROKER_URL"] = self.url
        worker = self.spawn("-A", "tasks", "worker", "-c", "2", "-l", "info", bare=True, kind=support.Worker).ready()
        task_id = self.good("call", "tasks.add", "--args", "[40, 2]", bare=True).strip()
        self.assertEqual(self.good("result", task_id, bare=True), "42\n")
        self.assertEqual(self.run_here("./client"), "15\n")
        self.assertEqual(worker.stop(), 0)


if __name__ == "__main__":
    support.main()

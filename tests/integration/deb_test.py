"""The Debian packages: what is in them, and that a system they are unpacked into runs, compiles and is complete."""
import glob
import os
import re
import shutil
import subprocess

import support

BUILD_SH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../packaging/deb/build.sh")

CLIENT = """\
#include <celeriac.h>
#include <stdio.h>

int main(void)
{
    printf("%s\\n", cel_version());
    return 0;
}
"""


class DebTest(support.Case):
    module = False
    packages = None  # made once: name -> path

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        build = os.environ.get("CELERIAC_BUILD")
        for program in ("dpkg-deb", "dpkg-shlibdeps", "meson", "pkg-config"):
            if not build or not shutil.which(program):
                raise support.unittest.SkipTest(f"{program} or the build directory is not there")
        cls.out = support.tempfile.mkdtemp(prefix="celeriac-deb-")
        cls.addClassCleanup(shutil.rmtree, cls.out, ignore_errors=True)
        done = subprocess.run([BUILD_SH, build, cls.out], env={**os.environ, "CELERIAC_DEB_COMPRESSION": "1"}, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        cls.packages = {os.path.basename(path).split("_")[0]: path for path in done.stdout.split()}

    def run_here(self, *command, env=None):
        done = subprocess.run(command, cwd=self.dir, env=env or self.env, capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, 0, f"{command}: {done.stdout}{done.stderr}")
        return done.stdout

    def field(self, package, name):
        return self.run_here("dpkg-deb", "--field", self.packages[package], name).strip()

    def content(self, package):
        """path -> owner of the files in a package."""
        lines = self.run_here("dpkg-deb", "--contents", self.packages[package]).splitlines()
        return {line.split()[5][1:]: line.split()[1] for line in lines if not line.split()[5].endswith("/")}

    def unpack(self):
        """A root folder with all of them, and with dpkg's own record of that."""
        root = self.path("root")
        os.makedirs(root + "/var/lib/dpkg/info")
        os.makedirs(root + "/var/lib/dpkg/updates")
        for name in ("status", "available"):
            open(f"{root}/var/lib/dpkg/{name}", "w", encoding="utf-8").close()
        self.run_here("dpkg", "--root", root, "--force-not-root", "--force-depends", "--force-script-chrootless", "--no-triggers",
                      "--unpack", *sorted(self.packages.values()), env={**self.env, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})
        found = glob.glob(root + "/**/bin/celeriac", recursive=True)
        self.assertEqual(len(found), 1)
        return root, os.path.dirname(os.path.dirname(found[0]))

    def test_each_file_is_in_one_package_and_is_roots(self):
        self.assertEqual(sorted(self.packages), ["celeriac", "celeriac-hotwords", "libceleriac-dev", "libceleriac0"])
        owners = {}
        for package in self.packages:
            for path, owner in self.content(package).items():
                self.assertEqual(owner, "root/root", path)
                self.assertNotIn(path, owners, f"in {package} and in {owners.get(path)}")
                owners[path] = package
        for end, package in (("/bin/celeriac", "celeriac"), ("/man/man1/celeriac.1.gz", "celeriac"), ("/bash-completion/completions/celeriac", "celeriac"),
                             ("/systemd/system/celeriac-worker@.service", "celeriac"), ("/systemd/system/celeriac-dispatch.service", "celeriac"),
                             ("/sysusers.d/celeriac.conf", "celeriac"), ("/include/celeriac.h", "libceleriac-dev"),
                             ("/pkgconfig/celeriac.pc", "libceleriac-dev"), ("/lib/celeriac/hotwords.so", "celeriac-hotwords"),
                             ("/etc/default/celeriac", "celeriac"), ("/etc/celeriac/celeryconfig.py", "celeriac")):
            self.assertEqual([owners[path] for path in owners if path.endswith(end)], [package], end)
        self.assertTrue(any(re.search(r"/libceleriac\.so\.0$", path) for path in self.content("libceleriac0")))
        self.assertFalse(any(path.endswith(".so") and "libceleriac" in path for path in self.content("libceleriac0")))

    def test_dependencies_are_those_of_the_binaries(self):
        depends = self.field("libceleriac0", "Depends")
        for library in ("libc6", "libuv1", "libjansson4", "libsqlite3-0"):
            self.assertRegex(depends, rf"(^|, ){library}\b")
        version = self.field("celeriac", "Version")
        for package in ("celeriac", "libceleriac-dev"):
            self.assertIn(f"libceleriac0 (= {version})", self.field(package, "Depends"))
        self.assertIn(f"celeriac (= {version})", self.field("celeriac-hotwords", "Depends"))

    def test_configuration_is_kept_by_dpkg_and_scripts_are_sound(self):
        control = self.path("control")
        self.run_here("dpkg-deb", "--control", self.packages["celeriac"], control)
        self.assertEqual(self.read("control/conffiles").split(),
                         ["/etc/celeriac/celeryconfig.py", "/etc/default/celeriac", "/etc/logrotate.d/celeriac"])
        for script in ("postinst", "prerm", "postrm"):
            self.assertTrue(os.access(f"{control}/{script}", os.X_OK))
            self.run_here("sh", "-n", f"{control}/{script}")
        self.assertNotIn("\n \n", self.read("control/control"))

    def test_an_unpacked_system_runs_compiles_and_is_complete(self):
        root, prefix = self.unpack()
        for line in self.run_here("dpkg-query", "--admindir", root + "/var/lib/dpkg", "-W", "-f", "${Package} ${db:Status-Status}\n").splitlines():
            self.assertEqual(line.split()[1], "unpacked", line)
        library = os.path.dirname(glob.glob(root + "/**/libceleriac.so.0", recursive=True)[0])
        env = {**self.env, "LD_LIBRARY_PATH": library, "PKG_CONFIG_PATH": library + "/pkgconfig", "PKG_CONFIG_SYSROOT_DIR": root}
        version = self.field("celeriac", "Version").split("-")[0]
        self.assertEqual(self.run_here(prefix + "/bin/celeriac", "--version", env=env), f"{version} (celeriac)\n")
        self.write("client.c", CLIENT)
        flags = self.run_here("pkg-config", "--cflags", "--libs", "celeriac", env=env).split()
        self.run_here("cc", *os.environ.get("CEL_SANITIZE", "").split(), "client.c", *flags, "-o", "client")
        self.assertEqual(self.run_here("./client", env=env), version + "\n")
        with open(glob.glob(root + "/**/celeriac-worker@.service", recursive=True)[0], encoding="utf-8") as file:
            program = re.search("(?m)^ExecStart=([^ ]+)", file.read()).group(1)
        self.assertTrue(os.access(root + program, os.X_OK), program)


if __name__ == "__main__":
    support.main()

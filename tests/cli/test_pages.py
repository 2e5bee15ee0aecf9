#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the program explains, and its pages on a terminal: test_pages.py MUSTER"""

import os
import pathlib
import pty
import re
import subprocess
import sys
import tempfile
import unittest

MUSTER = os.path.abspath(sys.argv[1])
CODES = pathlib.Path(__file__).resolve().parents[2] / "docs" / "EXIT_CODES.md"


def muster(*arguments):
    return subprocess.run([MUSTER, *arguments], capture_output=True, text=True, timeout=60)


def on_a_terminal(*arguments, **variables):
    """What is shown there, and the exit code."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([MUSTER, *arguments], stdin=theirs, stdout=theirs,
                               stderr=subprocess.DEVNULL, env={**os.environ, **variables})
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the last who had it has closed it
            break
        if not part:
            break
        shown += part
    os.close(ours)
    return shown.decode().replace("\r\n", "\n"), process.wait(60)


class ExitCodes(unittest.TestCase):
    def test_every_code_of_the_table_is_explained_with_whether_to_start_again(self):
        rows = re.findall(r"^\| (\d+) \| .* \| (yes|no|once|) ?\|$", CODES.read_text(), re.M)
        self.assertGreater(len(rows), 12)
        for code, again in rows:
            result = muster("explain", code)
            self.assertEqual((result.returncode, result.stderr), (0, ""), code)
            self.assertRegex(result.stdout, rf"(^|\n)exit code {code}  ")
            self.assertRegex(result.stdout, rf"\n  again +{again or 'nothing'}\b", code)
            self.assertRegex(result.stdout, r"\n  to do +\S", code)
            self.assertLessEqual(max(map(len, result.stdout.splitlines()[1:])), 100, code)

    def test_a_code_lists_exactly_the_errors_that_end_with_it(self):
        listed = re.findall(r"^(E\d{4})  exit (\d+)  ", muster("explain").stdout, re.M)
        for code in {code for _, code in listed} - {"1"}:
            told = re.findall(r"^  (E\d{4})  ", muster("explain", code).stdout, re.M)
            self.assertEqual(told, [error for error, of in listed if of == code])

    def test_a_signal_is_named(self):
        self.assertIn("ended by signal 9 (SIGKILL)", muster("explain", "137").stdout)
        self.assertIn("grep -i oom", muster("explain", "137").stdout)
        self.assertIn("ended by signal 15 (SIGTERM)", muster("explain", "143").stdout)

    def test_what_is_neither_error_nor_code_is_refused(self):
        for number in ("3", "68", "128", "193", "-1", "E69"):
            self.assertEqual(muster("explain", "--", number).returncode, 64, number)


class Pages(unittest.TestCase):
    def folder(self, script=None):
        """A PATH with no `man`, or with this one."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        if script:
            path = pathlib.Path(folder.name) / "man"
            path.write_text("#!/bin/sh\n" + script)
            path.chmod(0o755)
        return folder.name

    def test_a_page_on_a_terminal_is_shown_by_man(self):
        path = self.folder('echo "man $*"; while read -r line; do echo "got $line"; done')
        shown, code = on_a_terminal("man", "job", PATH=path)
        self.assertEqual(code, 0)
        self.assertTrue(shown.startswith("man -l -\ngot .TH MUSTER"), shown[:200])

    def test_a_page_on_a_terminal_without_man_is_plain_text(self):
        for path in (self.folder(), self.folder("exit 3")):
            for page in ("job", "run", "spec check"):
                shown, code = on_a_terminal("man", *page.split(), PATH=path)
                self.assertEqual(code, 0)
                self.assertIn("\nNAME\n    muster-" + page.replace(" ", "-") + " - ", shown)
                self.assertNotRegex(shown, r"(?m)^\.|\\[f&e-]")
                self.assertEqual(muster("man", *page.split()).stdout.count("\n.SH "),
                                 len(re.findall(r"(?m)^[A-Z][A-Z ]*$", shown)))
        lines = on_a_terminal("man", "run", PATH=self.folder())[0].split("EXAMPLES")[0]
        self.assertLessEqual(max(map(len, lines.splitlines())), 80)

    def test_a_page_that_is_piped_or_asked_for_so_is_troff(self):
        piped = muster("man", "job").stdout
        self.assertTrue(piped.startswith(".TH MUSTER"))
        shown, _ = on_a_terminal("man", "--troff", "job", PATH=self.folder("echo no"))
        self.assertEqual(shown, piped)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)

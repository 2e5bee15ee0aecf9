#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that each rule of check.py can fail: a clean tree passes, and one with a single violation
fails for that reason alone."""
import os
import tempfile
import unittest

import check

SPDX = '/* SPDX-License-Identifier: Apache-2.0 */\n'
CLEAN = {
    'cluster/spec.c': SPDX + '#include "cluster/spec.h"\n#include "runtime/base/log.h"\n'
                             '#include "muster/status.h"\n#include <stdio.h>\n\n'
                             'static int local(int a) {\n    return a;\n}\n\n'
                             'int mu_spec_count(void) {\n    return local(1);\n}\n',
    'cluster/spec.h': SPDX + '#define MU_SPEC_MAX 4\nstruct mu_spec {\n    int count;\n};\n'
                             'int mu_spec_count(void);\n',
    'runtime/base/json_inside.h': SPDX + '#include <jansson.h>\n#include <pthread.h>\n',
    'tests/cluster/test_spec.c': SPDX + '#include "cluster/spec.h"\n#include "test.h"\n'
                                        'static void uses_name(void **state) {\n}\n',
    'tests/support/test.h': SPDX + '#include <cmocka.h>\n',
    'README.md': 'Trains. Example: cd build && ls .\n',
}


def sleepy(name):
    return SPDX + f'static void waits(void) {{\n    {name}(1);\n}}\n'


def function_of(lines):
    return 'void mu_spec_f(void) {\n' + '    f();\n' * (lines - 2) + '}\n'


class Check(unittest.TestCase):
    def violations(self, changes):
        """The violations of the clean tree with these files changed or added."""
        with tempfile.TemporaryDirectory() as root:
            for path, text in {**CLEAN, **changes}.items():
                os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
                with open(os.path.join(root, path), 'w', encoding='utf-8') as file:
                    file.write(text)
            return check.check(root)

    def red(self, rule, path, text, said):
        found = self.violations({path: text})
        self.assertEqual([name for name, _ in found], [rule.__name__], found)
        self.assertIn(said, found[0][1])
        self.assertTrue(found[0][1].startswith(path + ':'), found)

    def green(self, path, text):
        self.assertEqual(self.violations({path: text}), [])

    def test_clean_tree_passes(self):
        self.assertEqual(self.violations({}), [])

    def test_every_rule_has_a_test_here(self):
        with open(__file__, encoding='utf-8') as file:
            text = file.read()
        for rule in check.RULES:
            self.assertIn(f'self.red(check.{rule.__name__},', text)

    def test_sibling_may_not_be_included(self):
        self.red(check.check_include_law, 'cluster/door.c', SPDX + '#include "ps/shard.h"\n',
                 'cluster may not include ps')
        self.red(check.check_include_law, 'runtime/base/a.c', SPDX + '#include "roles/job/job.h"\n',
                 'runtime/base may not include roles')
        self.red(check.check_include_law, 'ps/client.c', SPDX + '#include "ps/server/seen.h"\n',
                 'ps may not include ps/server')
        self.red(check.check_include_law, 'include/muster/x.h',
                 SPDX + '#include "runtime/base/log.h"\n', 'include/muster may not')
        self.red(check.check_include_law, 'cluster/door.c', SPDX + '#include "spec.h"\n',
                 'not named from the root')
        self.green('ps/server/seen.c', SPDX + '#include "ps/shard.h"\n')
        self.green('roles/worker.c', SPDX + '#include "ps/shard.h"\n#include "config.h"\n')

    def test_outside_library_stays_in_its_file(self):
        for header in ['jansson.h', 'uv.h', 'zlib.h', 'mpi.h', 'msgpack.h', 'systemd/sd-daemon.h',
                       'pthread.h', 'cuda_runtime.h', 'getopt.h', 'cmocka.h']:
            self.red(check.check_confined_libraries, 'cluster/door.c',
                     SPDX + f'#include <{header}>\n', f'<{header}> is confined to')
        self.red(check.check_confined_libraries, 'tests/base/test_x.c',
                 SPDX + '#include <cmocka.h>\n', 'tests/support/test.h')
        self.green('data/gz.c', SPDX + '#include <zlib.h>\n')

    def test_private_headers_stay_in_their_folder(self):
        for name in ['cluster/spec_inside.h', 'collectives/transport/tcp_peer.h',
                     'collectives/shared_layout.h', 'runtime/io/uv_loop.h']:
            self.red(check.check_private_headers, 'roles/job/job_rows.c', SPDX + f'#include "{name}"\n',
                     f'"{name}" is for {check.folder_of(name)} alone')
        self.green('cluster/door.c', SPDX + '#include "cluster/spec_inside.h"\n')
        self.green('tests/cluster/test_door.c', SPDX + '#include "cluster/spec_inside.h"\n')

    def test_names_are_unique(self):
        self.red(check.check_unique_names, 'runtime/io/spec.c', SPDX, 'taken by cluster/spec.c')

    def test_lines_are_short_and_clean(self):
        self.red(check.check_lines, 'cluster/door.c', SPDX + '// ' + 'x' * 98 + '\n', '101 columns')
        self.red(check.check_lines, 'cluster/door.c', SPDX + 'int mu_a; \n', 'blanks at the end')
        self.green('cluster/door.c', SPDX + '// ' + '\u00e9' * 97 + '\n')

    def test_files_are_short(self):
        self.red(check.check_file_lengths, 'cluster/door.c', SPDX + '\n' * 500, '501 lines')
        self.red(check.check_file_lengths, 'tests/a/test_a.c', SPDX + '\n' * 700, '701 lines')
        self.green('cluster/door.c', SPDX + '\n' * 499)
        self.green('tests/a/test_a.c', SPDX + '\n' * 699)

    def test_functions_are_short(self):
        self.red(check.check_function_lengths, 'cluster/door.c', SPDX + function_of(71),
                 '71 lines')
        self.red(check.check_function_lengths, 'tests/a/test_a.c',
                 SPDX + function_of(71).replace('(void) {', '(int a,\n    int b) {'), '71 lines')
        self.green('cluster/door.c', SPDX + function_of(70))
        self.green('cluster/door.c',
                   SPDX + 'static const int rows[] = {\n' + '    1,\n' * 90 + '};\n')

    def test_public_names_have_the_prefix(self):
        self.red(check.check_public_names, 'cluster/door.c', SPDX + 'int open_it(void) {\n}\n',
                 '`open_it` is neither static')
        self.red(check.check_public_names, 'cluster/door.h', SPDX + 'int open_it(void);\n',
                 '`open_it` is declared')
        self.red(check.check_public_names, 'cluster/door.h', SPDX + '#define LIMIT 3\n',
                 'macro LIMIT')
        self.red(check.check_public_names, 'cluster/door.h', SPDX + 'struct door {\n};\n',
                 'type `door`')
        self.green('cli/main.c', SPDX + 'int main(void) {\n}\n')
        self.red(check.check_public_names, 'cluster/door.c', SPDX + 'int open_it(int a)\n{\n}\n',
                 '`open_it` is neither static')
        self.green('cluster/door.c', SPDX + 'static int open_it(int a)\n{\n    if (a) {\n'
                                            '        a++;\n    }\n    return a;\n}\n')

    def test_licence_is_named(self):
        self.red(check.check_licence, 'cluster/door.c', 'int mu_a;\n', 'SPDX')
        self.red(check.check_licence, 'cluster/door.c', '', 'SPDX')

    def test_nothing_is_left_unfinished(self):
        for word in ['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX']:
            self.red(check.check_finished, 'README.md', f'{word}: more\n', word)
        self.green('cluster/door.c', SPDX + '// run_XXX' + 'XXX is a template\n')

    def test_no_path_of_a_machine(self):
        for folder in ['wo' + 'rk', 'ro' + 'ot', 'ho' + 'me']:
            self.red(check.check_machine_paths, 'README.md', f'cd /{folder}/x\n', folder)
        self.green('README.md', 'cd build/' + 'wo' + 'rk/x\n')

    def test_world_has_no_way_around(self):
        for call in ['clock_gettime', 'time', 'uv_run', 'pthread_create', 'nanosleep', 'usleep',
                     'sleep', 'random', 'rand', 'getrandom', 'socket', 'fopen']:
            for folder in ['cluster', 'collectives', 'ps', 'roles']:
                self.red(check.check_world_seam, f'{folder}/door.c',
                         SPDX + f'static void f(void) {{\n    {call}(0);\n}}\n', f'{call}()')
        self.green('runtime/io/a.c', SPDX + 'static void f(void) {\n    socket(0);\n}\n')
        self.green('cluster/door.c', SPDX + 'static void f(void) {\n    ops->socket(0);\n'
                                            '    mu_time(0); // sleep(1)\n'
                                            '    say("sleep(1)");\n}\n')

    def test_files_are_reached_through_the_store(self):
        for call in ['fopen', 'open', 'openat', 'opendir', 'unlink', 'rename', 'stat', 'lstat',
                     'mkdir', 'rmdir', 'access', 'realpath', 'truncate', 'mkstemp', 'fsync', 'pread',
                     'mu_folder_write', 'mu_json_read', 'mu_store_directory_open',
                     'mu_run_lock_open', 'mu_host_process_stopped']:
            text = SPDX + f'static void f(void) {{\n    int a = {call}(0);\n}}\n'
            for folder in ['cluster', 'collectives', 'ps', 'roles']:
                self.red(check.check_world_seam, f'{folder}/door.c', text,
                         f'{call}() goes around struct mu_store')
            self.green('runtime/io/a.c', text)
            self.green('ps/audit.c', text)
        # Only files are let through there; and a driver may be opened and open itself.
        self.red(check.check_world_seam, 'ps/audit.c',
                 SPDX + 'static void f(void) {\n    stat(0);\n    time(0);\n}\n', 'time()')
        self.green('ps/door.c', SPDX + 'static int open(void) {\n    return ops->open(0);\n}\n')

    def test_an_exemption_is_needed(self):
        self.red(check.check_exempt_files, 'ps/audit.c', SPDX, 'needs no line')
        self.red(check.check_exempt_files, 'tests/tidy/check.py', '', 'ps/audit_read.c')

    def test_tests_do_not_sleep(self):
        self.red(check.check_no_sleeps, 'tests/a/test_a.c', sleepy('usleep'), 'usleep()')
        self.red(check.check_no_sleeps, 'tests/a/test_a.c', sleepy('nanosleep'), 'nanosleep()')
        self.red(check.check_no_sleeps, 'tests/a/a.py', 'time.' + 'sleep' + '(1)\n', 'sleep()')
        for line in ["'do sleep 0.05; done'", "sleep $N", '["sleep", "5"]', "usleep 100"]:
            self.red(check.check_no_sleeps, 'tests/a/a.py', line + '\n', 'wait for the event')
        self.red(check.check_no_sleeps, 'tests/a/a.sh', 'sleep 1\n', '`sleep 1` in a test')
        self.red(check.check_no_sleeps, 'tests/a/test_a.c',
                 SPDX + 'static const char *script = "sleep 1";\n', '`sleep 1` in a test')
        self.green('tests/a/a.py', 'given_up(sleeps=2.5)  # does not sleep\n')

    def test_who_skips_says_why(self):
        self.red(check.check_no_bare_skips, 'tests/a/test_a.c',
                 SPDX + 'static void a(void **state)\n{\n    sk' + 'ip();\n}\n', 'skip_saying')
        self.green('tests/a/test_a.c',
                   SPDX + 'static void a(void **state)\n{\n    skip_saying("no root");\n}\n')

    def test_structures_are_where_the_table_says(self):
        for place in ['cluster/door.h', 'cluster/spec.c', 'runtime/base']:
            self.red(check.check_structures, 'docs/ARCHITECTURE.md',
                     f'| `mu_spec` | `{place}` | who |\n', 'struct mu_spec is not in ' + place)
        self.red(check.check_structures, 'docs/ARCHITECTURE.md',
                 '| `mu_spec`, `mu_task` | `cluster/spec.h` | who |\n', 'struct mu_task is not')
        self.green('docs/ARCHITECTURE.md', '| `mu_spec` | `cluster/spec.h` | who |\n'
                                           '| `mu_spec` | `cluster` | who |\n')

    def test_packages_are_in_one_list(self):
        listed = '# All of them.\n\n# build: what a build needs\nmeson   # builds\n'
        self.green('deploy/packages.txt', listed)
        self.red(check.check_packages, 'deploy/packages-dev.txt', 'clang # more\n', 'a second list')
        self.red(check.check_packages, 'deploy/packages.txt', 'meson # builds\n' + listed,
                 'not in a section')
        self.red(check.check_packages, 'deploy/packages.txt', listed + 'clang\n', 'its reason')
        self.red(check.check_packages, 'dev', 'do_setup() { install_missing build; }\n',
                 'no section `build`')

    def test_comments_and_strings_keep_their_lines(self):
        self.assertEqual(check.strip('a /* b\nc */ d "e\\"f" \'"\' // g\nh'),
                         'a  \n d "" \'\'  \nh')


if __name__ == '__main__':
    unittest.main()

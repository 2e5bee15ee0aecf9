#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the tree to its own rules: who may include whom, the names, the sizes, the seams.

    tests/tidy/check.py [ROOT]     prints path:line: what is wrong; exit 1 if anything is

Each rule is one function that yields violations; RULES lists them. test_check.py shows that every
one of them can fail.
"""
import fnmatch
import os
import re
import shutil
import subprocess
import sys

# ---- the law ----

# Folder -> the folders it may include, besides itself and include/muster. From the comb in
# docs/ARCHITECTURE.md; the linker checks it again, for every folder is a library.
MAY_INCLUDE = {
    'include/muster': [],
    'runtime/base': [],
    'runtime/tensor': ['runtime/base'],
    'runtime/device': ['runtime/base', 'runtime/tensor'],
    'runtime/optim': ['runtime/base', 'runtime/tensor', 'runtime/device'],
    'runtime/io': ['runtime/base'],
    'cluster': ['runtime/base', 'runtime/io'],
    'collectives': ['runtime/base', 'runtime/tensor', 'runtime/device', 'runtime/io'],
    'ps': ['runtime/base', 'runtime/tensor', 'runtime/optim', 'runtime/io'],
    'ps/server': ['ps', 'runtime/base', 'runtime/tensor', 'runtime/optim', 'runtime/io'],
    'models': ['runtime/base', 'runtime/tensor', 'runtime/device'],
    'data': ['runtime/base', 'runtime/tensor'],
    'watch': ['runtime/base', 'runtime/io'],
}
HOUSE = list(MAY_INCLUDE)
MAY_INCLUDE['roles'] = HOUSE
MAY_INCLUDE['sim'] = HOUSE + ['roles']
MAY_INCLUDE['cli'] = HOUSE + ['roles', 'sim']
MAY_INCLUDE['bench'] = HOUSE + ['roles', 'sim']
MAY_INCLUDE['examples'] = []
MAY_INCLUDE['tests'] = HOUSE + ['roles', 'sim', 'cli', 'bench']

# Outside header -> the files it is confined to. Tests may use all but cmocka.h directly.
CONFINED = {
    'jansson.h': ['runtime/base/json_inside.h'],
    'uv.h': ['runtime/io/uv_loop.h', 'runtime/io/conn*', 'runtime/io/listener.c'],
    'msgpack*': ['runtime/io/codec.c'],
    'openssl/*': [],
    'zlib.h': ['data/gz.c'],
    'mpi.h': ['collectives/mpi_library.h', 'bench/peer_mpi.c'],
    'pmix*': ['collectives/mpi.c'],
    'systemd/*': ['watch/notify.c'],
    'microhttpd.h': [],
    'pthread.h': ['runtime/*'],
    'threads.h': [],
    'cuda*': ['runtime/device/cuda*'],
    'cublas*': ['runtime/device/cuda*'],
    'cblas.h': [],
    'dlfcn.h': ['runtime/device/cuda*', 'collectives/mpi_library.c'],
    'getopt.h': ['cli/*'],
    'argp.h': ['cli/*'],
    'ucontext.h': ['sim/*'],
    'sanitizer/*': ['sim/*'],
    'valgrind/*': ['sim/*'],
    'cmocka.h': ['tests/support/test.h'],
}

# Headers that the files of one folder share and nobody else sees, but tests.
PRIVATE = ['*_inside.h', '*/tcp_peer.h', '*/shared_layout.h', '*/uv_loop.h', 'ps/server/server_*.h']

# Time, randomness, waiting, threads, the network and files reach these folders only through
# struct mu_world: what is called here would not exist, or not repeat, in the simulator.
SEAM = ['cluster', 'collectives', 'ps', 'roles']
SEAM_CALLS = re.compile(
    r'(?<![\w.>])(clock_gettime|clock|gettimeofday|time|localtime(?:_r)?|nanosleep|'
    r'clock_nanosleep|usleep|sleep|random|srandom|rand|srand|drand48|getrandom|getentropy|'
    r'arc4random\w*|socket|socketpair|getaddrinfo|poll|ppoll|select|epoll_\w+|'
    r'uv_\w+|pthread_\w+|thrd_\w+|mtx_\w+|cnd_\w+)\s*\(')
# Of files: whatever takes a path, or makes bytes last; and what runtime/ has of that kind, facts
# about the real host (/proc) too.
SEAM_FILE_CALLS = re.compile(
    r'(?<![\w.>])(fopen|fdopen|freopen|tmpfile|open|openat2?|creat|mkstemp\w*|mkdtemp|opendir|'
    r'fdopendir|scandir|nftw|ftw|glob|unlink|unlinkat|remove|rmdir|rename|renameat2?|mkdir|mkdirat|'
    r'mkfifo|mknod|stat|lstat|fstat|fstatat|statx|f?statvfs|f?statfs|access|faccessat|eaccess|'
    r'link|linkat|symlink|symlinkat|readlink|readlinkat|realpath|f?truncate|fallocate|f?chmod|'
    r'[fl]?chown|utimensat|fsync|fdatasync|flock|pread|pwrite|inotify_\w+|shm_open|'
    r'mu_folder_\w+|mu_kept_file_\w+|mu_json_read\w*|mu_store_directory_open|'
    r'mu_run_lock_open|mu_host_\w+)\s*\(')
# Path -> why it may reach around the seam all the same.
SEAM_EXEMPT = {
    'roles/launch/*.c': 'the launcher behind --local starts real processes and is never simulated',
    'roles/run_dir*.c': 'the run directory is on the disk of the real world only',
    'collectives/mpi*.c':
        'Open MPI is an outside world of its own, used before training starts',
}
# Path -> why it may reach files, and only files, around the seam. What a run reads back while it
# goes on is in no list: that is what mu_store is for.
SEAM_FILES_EXEMPT = {
    'cluster/spec_parse.c': 'the spec is read before there is a world',
    'cluster/opening.c': 'who holds a port, for an error; a simulated task has a host of its own',
    'collectives/mesh.c': 'who holds a port, for an error; nothing simulated opens a mesh',
    'roles/job/job.c': 'the job is read before there is a world',
    'ps/audit.c': 'a log of its own that only grows, written by a thread of its own',
    'ps/audit_read.c': 'reads that log, in a command, when the run is over',
    'roles/audit/audit_files.c': 'finds those logs, in a command, when the run is over',
    'roles/report/task_log.c': 'the log of a real process; simulated tasks have other logs',
    'roles/report/status_keeper.c': 'status.json is of the real world only',
    'roles/report/summary.c': 'a result in the run directory, at the end of the run',
    'roles/report/timeline.c': 'a result in the run directory, at the end of the run',
}

TEST_SLEEPS = re.compile(
    r'(?<![\w>])(?:time\.)?(sleep|usleep|nanosleep|clock_nanosleep|thrd_sleep)\s*\(')
SHELL_SLEEPS = re.compile(r'\b(sleep|usleep)["\']?,?\s+["\']?[\d.$]')
TEST_SLEEP_EXEMPT = {}

COLUMNS_MAX = 100
FILE_LINES_MAX = 500
TEST_FILE_LINES_MAX = 700
FUNCTION_LINES_MAX = 70

# Written in two halves, or this file would break its own rules.
UNFINISHED = re.compile(r'\b(' + '|'.join(['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX']) + r')\b')
MACHINE_PATHS = re.compile(r'(?<![\w.$}*])/(' + '|'.join(['wo' + 'rk', 'ro' + 'ot', 'ho' + 'me']) +
                           r')/')

# ---- the tree ----


class Source:
    """A text file of the tree: `path` from the root, `lines` as they are, `code` without comments
    and strings (the same number of lines)."""

    def __init__(self, root, path):
        self.path = path
        with open(os.path.join(root, path), encoding='utf-8', errors='replace') as file:
            self.text = file.read()
        self.lines = self.text.splitlines()
        self.is_c = path.endswith(('.c', '.h'))
        self.is_header = path.endswith('.h')
        self.is_test = path.startswith('tests/')
        self.code = strip(self.text).splitlines() if self.is_c else self.lines


def strip(text):
    """C without comments and without what is in strings; newlines stay."""
    pattern = r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''

    def blank(match):
        found = match.group(0)
        if found[0] in '"\'':
            return found[0] * 2
        return ' ' + '\n' * found.count('\n')

    return re.sub(pattern, blank, text, flags=re.DOTALL)


def list_paths(root):
    """What git tracks, or every file where this is no checkout (a release)."""
    if os.path.exists(os.path.join(root, '.git')) and shutil.which('git'):
        out = subprocess.run(['git', '-C', root, 'ls-files', '-z'], check=True,
                             stdout=subprocess.PIPE).stdout
        paths = [path for path in out.decode().split('\0') if path]
        return sorted(path for path in paths if os.path.isfile(os.path.join(root, path)))
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = [f for f in folders if not f.startswith(('.', 'build')) and f != '__pycache__']
        found += [os.path.relpath(os.path.join(folder, file), root) for file in files]
    return sorted(found)


def is_text(root, path):
    with open(os.path.join(root, path), 'rb') as file:
        return b'\0' not in file.read(8192)


def read_tree(root):
    skipped = ('tests/fuzz/corpus/', 'tests/tidy/test_check.py')  # wrong on purpose
    return [Source(root, path) for path in list_paths(root)
            if not path.startswith(skipped) and is_text(root, path)]


def folder_of(path):
    """The room of a file or of an include: 'runtime/base', 'cluster', ..., or None."""
    if path.startswith('muster/'):
        path = 'include/' + path
    fits = [folder for folder in MAY_INCLUDE if path.startswith(folder + '/')]
    return max(fits, key=len) if fits else None


def matches(path, patterns):
    return any(fnmatch.fnmatch(path, pattern) for pattern in patterns)


def includes(source):
    for number, line in enumerate(source.lines, 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if match:
            yield number, match.group(1) == '"', match.group(2)


# ---- the rules ----


def check_include_law(sources):
    for source in sources:
        home = folder_of(source.path)
        if not source.is_c or not home:
            continue
        allowed = MAY_INCLUDE[home] + [home, 'include/muster']
        for number, quoted, name in includes(source):
            room = folder_of(name)
            if quoted and room and room not in allowed:
                yield source, number, f'{home} may not include {room}'
            elif quoted and not room and name != 'config.h' and not source.is_test:
                yield source, number, f'"{name}" is not named from the root of the tree'


def check_confined_libraries(sources):
    for source in sources:
        if not source.is_c:
            continue
        for number, _, name in includes(source):
            for header, places in CONFINED.items():
                free = source.is_test and header != 'cmocka.h'
                if fnmatch.fnmatch(name, header) and not free and not matches(source.path, places):
                    yield source, number, f'<{name}> is confined to {" ".join(places) or "nobody"}'


def check_private_headers(sources):
    for source in sources:
        if not source.is_c or source.is_test:
            continue
        for number, quoted, name in includes(source):
            if quoted and matches(name, PRIVATE) and folder_of(name) != folder_of(source.path):
                yield source, number, f'"{name}" is for {folder_of(name)} alone'


def check_unique_names(sources):
    seen = {}
    for source in sources:
        name = os.path.basename(source.path)
        if source.path.startswith('include/'):
            continue  # users include these as "muster/name.h"
        if source.is_c and seen.setdefault(name, source.path) != source.path:
            yield source, 1, f'the name is taken by {seen[name]}'


def check_lines(sources):
    for source in sources:
        if not (source.is_c or source.path.endswith(('.py', 'meson.build'))):
            continue
        for number, line in enumerate(source.lines, 1):
            if len(line) > COLUMNS_MAX:
                yield source, number, f'{len(line)} columns are more than {COLUMNS_MAX}'
            if line != line.rstrip():
                yield source, number, 'blanks at the end of the line'


def check_file_lengths(sources):
    for source in sources:
        most = TEST_FILE_LINES_MAX if source.is_test else FILE_LINES_MAX
        if source.is_c and len(source.lines) > most:
            yield source, most + 1, f'{len(source.lines)} lines are more than {most}'


def functions(source):
    """(first line, last line, headline) of each function with a body, as clang-format sets it."""
    start, headline = None, ''
    for number, line in enumerate(source.code, 1):
        if start is None:
            starts = line[:1].strip() and not line.startswith(('#', '{'))
            headline = line if starts else headline + line
            if line.rstrip().endswith('{') and '(' in headline and '=' not in headline and \
                    not re.match(r'(typedef|struct\s+\w+|enum\s+\w+|union\s+\w+)\s*{', headline):
                start = number
            elif line.rstrip().endswith((';', '}')):
                headline = ''
        elif line.startswith('}'):
            yield start, number, headline
            start, headline = None, ''


def check_function_lengths(sources):
    for source in sources:
        if not source.is_c:
            continue
        for first, last, _ in functions(source):
            if last - first + 1 > FUNCTION_LINES_MAX:
                yield source, first, (f'the function has {last - first + 1} lines, '
                                      f'more than {FUNCTION_LINES_MAX}')


def function_name(headline):
    headline = re.sub(r'__attribute__\s*\(\((?:[^()]|\([^()]*\))*\)\)', ' ', headline)
    match = re.search(r'(\w+)\s*\(', headline)
    return match.group(1) if match else ''


def check_public_names(sources):
    for source in sources:
        if not source.is_c or source.is_test or source.path.startswith('examples/'):
            continue
        for first, _, headline in functions(source):
            name = function_name(headline)
            hidden = re.match(r'.*\bstatic\b', headline) and not source.is_header
            if not hidden and not name.startswith('mu_') and name not in ('main', ''):
                if name.isupper() or name.startswith('LLVMFuzzer'):
                    continue
                yield source, first, f'`{name}` is neither static nor named mu_...'
        if source.is_header:
            yield from check_header_names(source)


def check_header_names(source):
    declaration = r'(?:extern\s+)?(?:const\s+)?(?:enum|struct|union)?\s*\w+[\s*]+(\w+)\('
    for number, line in enumerate(source.code, 1):
        match = re.match(declaration, line)
        if match and not match.group(1).startswith('mu_') and match.group(1) != '__attribute__':
            yield source, number, f'`{match.group(1)}` is declared without the prefix mu_'
        match = re.match(r'#\s*define\s+(\w+)', line)
        if match and not match.group(1).startswith(('MU_', 'MUSTER_')):
            yield source, number, f'macro {match.group(1)} in a header without the prefix MU_'
        match = re.match(r'(?:typedef\s+)?(?:struct|enum|union)\s+(\w+)\s*{', line)
        if match and not match.group(1).startswith(('mu_', 'MU_')):
            yield source, number, f'type `{match.group(1)}` in a header without the prefix mu_'


def check_licence(sources):
    for source in sources:
        wanted = '/* SPDX-License-Identifier: Apache-2.0 */'
        if source.is_c and (not source.lines or source.lines[0] != wanted):
            yield source, 1, f'the first line is not {wanted}'


def check_finished(sources):
    for source in sources:
        for number, line in enumerate(source.lines, 1):
            match = UNFINISHED.search(line)
            if match:
                yield source, number, f'{match.group(1)}: finish it or leave it out'


def check_machine_paths(sources):
    for source in sources:
        for number, line in enumerate(source.lines, 1):
            match = MACHINE_PATHS.search(line)
            if match:
                yield source, number, f'{match.group(0)} is a path of somebody\'s machine'


def check_world_seam(sources):
    for source in sources:
        if not source.is_c or folder_of(source.path) not in SEAM or \
                matches(source.path, SEAM_EXEMPT):
            continue
        for number, line in enumerate(source.code, 1):
            for match in SEAM_CALLS.finditer(line):
                yield source, number, f'{match.group(1)}() goes around struct mu_world'
            # A driver may call its own function `open`: the definition is no call.
            is_call = line[:1].isspace() and not matches(source.path, SEAM_FILES_EXEMPT)
            for match in SEAM_FILE_CALLS.finditer(line if is_call else ''):
                yield source, number, f'{match.group(1)}() goes around struct mu_store'


def check_exempt_files(sources):
    """An exemption whose file has moved, or needs it no more, would be a hole."""
    for source in sources:
        if source.path in SEAM_FILES_EXEMPT and \
                not any(SEAM_FILE_CALLS.search(line) for line in source.code):
            yield source, 1, 'needs no line in SEAM_FILES_EXEMPT'
    gone = set(SEAM_FILES_EXEMPT) - {source.path for source in sources}
    for source in sources:
        if source.path == 'tests/tidy/check.py' and gone:
            yield source, 1, f'SEAM_FILES_EXEMPT names what is not there: {" ".join(sorted(gone))}'


def check_no_sleeps(sources):
    for source in sources:
        kinds = ('.c', '.h', '.py', '.sh', 'meson.build')
        if not source.is_test or not source.path.endswith(kinds) or \
                matches(source.path, TEST_SLEEP_EXEMPT):
            continue
        for number, line in enumerate(source.code, 1):
            match = TEST_SLEEPS.search(line)
            if match:
                yield source, number, f'{match.group(1)}() in a test: wait for the event instead'
        for number, line in enumerate(source.lines, 1):  # in strings, too: they may be a shell's
            match = SHELL_SLEEPS.search(line)
            if match:
                yield source, number, f'`{match.group(0)}` in a test: wait for the event instead'


def check_no_bare_skips(sources):
    """cmocka's skip() is a failure to who reads its TAP, and says nothing."""
    for source in sources:
        for number, line in enumerate(source.code, 1):
            if source.is_test and source.is_c and re.search(r'(?<!\w)skip\s*\(', line):
                yield source, number, 'skip() in a test: skip_saying("why") of tests/support/test.h'


def check_structures(sources):
    """Each structure in the tables of docs/ARCHITECTURE.md is where its row says."""
    for source in sources:
        if source.path != 'docs/ARCHITECTURE.md':
            continue
        for number, line in enumerate(source.lines, 1):
            row = re.match(r'\| (`mu_\w+`(?:, `mu_\w+`)*) \| ([^|]*) \|', line)
            places = re.findall(r'`([^`]+)`', row.group(2)) if row else []
            texts = [other.text for other in sources for place in places if other.is_c and
                     (other.path == place or other.path.startswith(place + '/'))]
            for name in re.findall(r'`(mu_\w+)`', row.group(1)) if row else []:
                if not any(re.search(rf'^struct {name}(?: {{|;)', text, re.M) for text in texts):
                    yield source, number, f'struct {name} is not in {" ".join(places)}'


def check_packages(sources):
    """One list of packages, in sections, each line with a reason; ./dev knows the sections."""
    sections = set()
    for source in sources:
        if matches(source.path, ['deploy/packages*']) and source.path != 'deploy/packages.txt':
            yield source, 1, 'a second list of packages: a section of deploy/packages.txt'
        if source.path != 'deploy/packages.txt':
            continue
        for number, line in enumerate(source.lines, 1):
            section = re.match(r'# (\w+): ', line)
            if section:
                sections.add(section.group(1))
            elif line and not line.startswith('#') and \
                    not (sections and re.fullmatch(r'[a-z0-9.+-]+ +# .+', line)):
                yield source, number, 'not in a section, or without its reason'
    for source in sources:
        for number, line in enumerate(source.lines, 1):
            asked = re.search(r'\binstall_missing ([a-z ]+)', line)
            for section in asked.group(1).split() if asked and source.path == 'dev' else []:
                if section not in sections:
                    yield source, number, f'deploy/packages.txt has no section `{section}`'


RULES = [check_include_law, check_confined_libraries, check_private_headers, check_unique_names,
         check_lines, check_file_lengths, check_function_lengths, check_public_names, check_licence,
         check_finished, check_machine_paths, check_world_seam, check_exempt_files, check_no_sleeps,
         check_no_bare_skips, check_structures, check_packages]


def check(root):
    """Every violation in the tree as (rule name, 'path:line: what')."""
    sources = read_tree(root)
    return [(rule.__name__, f'{source.path}:{number}: {what}')
            for rule in RULES for source, number, what in rule(sources)]


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.dirname(here))
    violations = check(root)
    for _, text in violations:
        print(text)
    print(f'{len(violations)} violations of {len(RULES)} rules')
    return 1 if violations else 0


if __name__ == '__main__':
    sys.exit(main())

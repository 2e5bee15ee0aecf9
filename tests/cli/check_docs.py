#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the documents say about the program is so: check_docs.py MUSTER SOURCE_ROOT

In code (fenced, indented or `inline`) of every Markdown file, and in deploy/ and examples/: each
`muster COMMAND` is a command, each flag after it is one of its flags, each `./dev NAME` is listed
by ./dev, each job of configs/ exists. Each E-number has an explanation, each link leads to a file.
In docs/, each C file that is named exists, each name that is said to be in it is (`FILE.c: name`,
and in listings that have files and names in columns), and each mu_name is one of the sources.
Outside Markdown, where `muster` may be a word, only calls of commands that exist are looked at.
"""
import functools
import os
import re
import subprocess
import sys

MUSTER, ROOT = os.path.abspath(sys.argv[1]), sys.argv[2]

CALL = re.compile(r'(?:^|[\s`(/\'"=])muster ((?:[a-z]|-)[^`|;&>#\n]*)')
DEV = re.compile(r'\./dev ([a-z]+)')
NUMBER = re.compile(r'\bE0\d{3}\b')
JOB = re.compile(r'\bconfigs/[\w-]+\.json')
LINK = re.compile(r'\]\(([^)#\s]+)[^)]*\)')
FILE = re.compile(r'(?<![\w/*.])((?:\w+/)+\w+\.[ch]|\w+\.c)\b')
IN_FILE = re.compile(r'([\w/]+\.[ch]): (\w+)')
LISTED = re.compile(r'([\w/]+\.c)?  +(?:([A-Za-z_]\w*)(?:  |,| \w))?')
NAME = re.compile(r'\bmu_\w+\b(?!\*)')
FLAG = re.compile(r'(?<!\S)(--?[A-Za-z][\w-]*)')


@functools.lru_cache(None)
def run(*words):
    return subprocess.run(words, capture_output=True, text=True, cwd=ROOT)


def help_of(command):
    result = run(MUSTER, *command.split(), '--help')
    ours = result.stdout.startswith(f'Usage: muster {command} ') or \
        result.stdout.startswith(f'Usage: muster {command}\n')
    return result.stdout if result.returncode == 0 and ours else None


def code_of_markdown(text):
    """Fenced and indented lines as they are, and each inline span on a line of its own."""
    out, fenced = [], False
    for line in text.splitlines():
        if line.lstrip().startswith('```'):
            fenced = not fenced
            out.append('')
        elif fenced or line.startswith('    '):
            out.append(line)
        else:
            out.append('\n'.join(re.findall(r'`([^`]+)`', line)))
    return '\n'.join(out)


def check_call(call, is_code):
    words = call.replace('"', ' ').replace("'", ' ').split()
    if words[0].startswith('-'):
        known = not is_code or run(MUSTER, words[0]).returncode == 0
        return None if known else f'`muster {words[0]}` is not accepted'
    command = next((c for c in (' '.join(words[:2]), words[0]) if help_of(c)), None)
    if not command:
        is_group = f'\n  {words[0]} ' in run(MUSTER, '--help').stdout  # "muster checkpoint"
        if is_group or not is_code:
            return None
        return f'there is no command `muster {" ".join(words[:2])}`'
    known = re.findall(r'^  (?:-(\w), )?(--[\w-]+)', help_of(command), re.M)
    allowed = {long for _, long in known} | {'-' + short for short, _ in known if short}
    for flag in FLAG.findall(call):
        if flag.replace('_', '-') not in allowed | {'--help', '-h'}:
            return f'`muster {command}` has no flag {flag}'
    return None


def check_code(code, is_code):
    joined = re.sub(r'\\\n\s*', ' ', code)
    for call in CALL.findall(joined):
        yield check_call(call, is_code)
    listed = re.findall(r'^  (\w+) ', run('./dev').stdout, re.M)
    for name in DEV.findall(joined):
        if name not in listed:
            yield f'./dev has no command {name}'
    for job in JOB.findall(joined):
        if not os.path.exists(os.path.join(ROOT, job)):
            yield f'there is no {job}'


def check_numbers(text):
    for number in NUMBER.findall(text):
        if run(MUSTER, 'explain', number).returncode != 0:
            yield f'`muster explain` does not know {number}'


def check_links(path, text):
    for link in LINK.findall(text):
        target = os.path.join(ROOT, os.path.dirname(path), link)
        if not link.startswith(('http:', 'https:')) and not os.path.exists(target):
            yield f'the link to {link} leads nowhere'


@functools.lru_cache(None)
def sources():
    """Path and base name of each C source -> its text, comments included."""
    out = {}
    for where, folders, names in os.walk(ROOT):
        folders[:] = [f for f in folders if not f.startswith(('.', 'build'))]
        for name in filter(lambda name: name.endswith(('.c', '.h')), names):
            path = os.path.join(where, name)
            with open(path, encoding='utf-8') as file:
                out[os.path.relpath(path, ROOT)] = out[name] = file.read()
    return out


@functools.lru_cache(None)
def words(file):
    return set(re.findall(r'\w+', sources()[file]))


def listed_names(text):
    """(file, name) of listings: a file, two blanks, a name; a line without file is of the last."""
    for fence in re.findall(r'^```\n(.*?)^```', text, re.M | re.S):
        file = None
        for line in fence.splitlines():
            match = LISTED.match(line)
            file = match.group(1) or file if match else None
            if file and match.group(2):
                yield file, match.group(2)


def check_sources(text):
    code = code_of_markdown(text)
    for file in FILE.findall(code):
        if 'NAME' not in file and file not in sources() and f'include/{file}' not in sources():
            yield f'there is no {file}'
    for file, name in IN_FILE.findall(code) + list(listed_names(text)):
        if file in sources() and name not in words(file):
            yield f'{file} has no {name}'
    everything = set().union(*(words(path) for path in sources()))
    for name in sorted(set(NAME.findall(code))):
        if name not in everything and not re.search(rf'^(const )?struct \w+ {name} =', text, re.M):
            yield f'no source has {name}'


def documents():
    for folder in ('.', 'docs', 'deploy', 'examples'):
        for where, folders, names in os.walk(os.path.join(ROOT, folder)):
            if folder == '.':
                folders.clear()
            for name in sorted(names):
                yield os.path.relpath(os.path.join(where, name), ROOT)


def violations(path):
    with open(os.path.join(ROOT, path), encoding='utf-8') as file:
        text = file.read()
    markdown = path.endswith('.md')
    yield from check_code(code_of_markdown(text) if markdown else text, markdown)
    if markdown:
        yield from check_numbers(text)
        yield from check_links(path, text)
    if path.startswith('docs/'):
        yield from check_sources(text)


def main():
    count = wrong = 0
    for path in documents():
        if not path.endswith(('.md', '.sh', '.sbatch', '.service', '.yaml', 'Dockerfile')):
            continue
        count += 1
        for violation in filter(None, violations(path)):
            print(f'{path}: {violation}')
            wrong += 1
    print(f'{wrong} violations in {count} documents')
    return 1 if wrong or count < 10 else 0


if __name__ == '__main__':
    sys.exit(main())

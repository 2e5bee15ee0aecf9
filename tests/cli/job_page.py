#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/JOB.md is made from the rows that also check a job: job_page.py MUSTER [FILE]

Prints the page as this build's `muster man job` has it; with FILE, fails where FILE differs. To
renew it: tests/cli/job_page.py build/muster > docs/JOB.md
"""
import re
import subprocess
import sys

HEAD = """# The job file

<!-- Made by tests/cli/job_page.py from the rows in the code; edit those, not this. -->

A job says what to learn; a [cluster spec](CLUSTER_SPEC.md) says where. The same job runs at any
cluster size and in the simulator.

```json
{ "name": "mnist-sync",
  "model":      { "kind": "mlp", "widths": [784, 128, 10] },
  "data":       { "kind": "idx", "path": "data/mnist", "batch": 64 },
  "mode":       { "kind": "sync" },
  "optimizer":  { "kind": "momentum", "learning_rate": 0.2, "momentum": 0.9 },
  "schedule":   { "kind": "cosine", "warmup_steps": 100 },
  "train":      { "epochs": 5, "seed": 1 },
  "checkpoint": { "every_steps": 500, "keep": 3 } }
```

`configs/` holds the jobs that ship. A section names one kind and gives its options; an option that
is absent has its default. An unknown key, a wrong type and a value out of range end the run before
it begins, with exit code 78, the place in the file, the range and the nearest name.

`--set SECTION.KEY=VALUE` overrides any key (`--set data.path=mnist`); a job that has options of one
kind is refused when this chooses another. `--epochs`, `--steps`, `--batch` and `--lr` are short for
the keys of that name. What a run was asked, defaults and overrides included, is in `job.json` of
its [directory](RUN_DIRECTORY.md), which is itself a job file.

All tasks of a run need the same job. They compare a hash of it before they start; `name`,
`data.path`, `checkpoint`, `log` and `train.device` may differ.

`data.path` is as on a command line: relative to where `muster` is started. No variable sets it.
`MUSTER_DATA`, which tests and benchmarks speak of when they are skipped, is theirs alone: the
folder in which they look for real data sets, by default `../shared/data` beside the checkout. To
train on what is there: `--set data.path=$MUSTER_DATA/mnist`.

`muster man job` shows this page on a terminal, by `man` where that is installed; piped it is troff.
"""

SECTION = re.compile(r'(\w+): (.+)')
KIND = re.compile(r'(\w+\.\w+) = "(\w+)": (.+)')
LIST = re.compile(r'(\w+\.\w+\[\]): (.+)')
ROW = re.compile(r'  (\w+) +(.+?)(?: \((required|default .+?)\))?: (.+)')
KIND_DEFAULT = re.compile(r'  kind \(default (\w+)\)')


def description(muster):
    page = subprocess.run([muster, 'man', 'job'], check=True, capture_output=True, text=True).stdout
    text = page.split('\n.nf\n', 1)[1].split('\n.fi', 1)[0]
    return re.sub(r'\\([-e&])', lambda m: {'-': '-', 'e': '\\', '&': ''}[m.group(1)], text)


def sentence(text):
    return text[0].upper() + text[1:] + '.'


def cell(text):
    return text.replace('|', '\\|')


def add_row(out, key, value, fallback, doc):
    if not out[-1].startswith('|'):
        out += ['', '| key | value | default | |', '| --- | --- | --- | --- |']
    out.append(f'| `{key}` | {cell(value)} | {cell(fallback)} | {cell(doc)} |')


def fallback_of(text):
    if not text:
        return ''
    return text if text == 'required' else f'`{text.removeprefix("default ")}`'


def page(text):
    out = [HEAD.rstrip('\n')]
    for line in text.splitlines()[1:]:
        if match := KIND.fullmatch(line):
            out += ['', f'### {match[1]} = "{match[2]}"', '', sentence(match[3])]
        elif match := LIST.fullmatch(line):
            out += ['', f'### {match[1]}', '', sentence(match[2])]
        elif match := SECTION.fullmatch(line):
            out += ['', f'## {match[1]}', '', sentence(match[2])]
        elif match := KIND_DEFAULT.fullmatch(line):
            add_row(out, 'kind', 'one of those below', f'`{match[1]}`', '')
        elif match := ROW.fullmatch(line):
            add_row(out, match[1], match[2], fallback_of(match[3]), match[4])
        elif line.strip():
            sys.exit(f'a line of `muster man job` has an unknown form: {line}')
    return '\n'.join(out) + '\n'


def main():
    wanted = page(description(sys.argv[1]))
    if len(sys.argv) == 2:
        sys.stdout.write(wanted)
        return 0
    with open(sys.argv[2], encoding='utf-8') as file:
        if file.read() == wanted:
            return 0
    print(f'{sys.argv[2]} is stale: tests/cli/job_page.py build/muster > docs/JOB.md renews it')
    return 1


if __name__ == '__main__':
    sys.exit(main())

"""``fsrcnn-rt completion``: scripts for bash, zsh and fish, made of the argument parsers."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Literal, NamedTuple, get_args

from fsrcnn_rt.cli.arguments import ArgumentParser
from fsrcnn_rt.cli.commands import COMMANDS

__all__ = ["SHELLS", "Shell", "main", "parser", "script"]

Shell = Literal["bash", "zsh", "fish"]
SHELLS: tuple[str, ...] = get_args(Shell)


class _Values(NamedTuple):
    """What may stand for an argument: words, and names of files."""

    words: tuple[str, ...] = ()
    files: bool = False


class _Option(NamedTuple):
    """``values`` is None where it takes no argument; ``again``: it may be given several times."""

    flags: tuple[str, ...]
    text: str
    values: _Values | None
    name: str
    again: bool


class _Command(NamedTuple):
    """``positional``: what may stand where no option is; the whole of it, whatever its place."""

    text: str
    options: list[_Option]
    positional: _Values
    name: str
    several: bool


def script(shell: Shell, main: ArgumentParser, subcommands: Mapping[str, ArgumentParser]) -> str:
    """Write the script for a shell: of the parser that runs without a subcommand, and those of each."""
    commands = {name: _command(parser) for name, parser in subcommands.items()}
    write = {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell]
    return "\n".join(write(_command(main), commands)) + "\n"


def _command(parser: ArgumentParser) -> _Command:
    options: list[_Option] = []
    words: list[str] = []
    files, name, several = False, "", False
    for argument in parser.arguments:
        action, values = argument.action, _Values(argument.words, argument.files)
        shown = action.metavar if isinstance(action.metavar, str) else action.dest
        if action.option_strings:
            text = (action.help or "").replace("%%", "%")
            takes = None if action.nargs == 0 else values
            options.append(_Option(tuple(action.option_strings), text, takes, shown, argument.repeatable))
        else:
            words += values.words
            files |= values.files
            name, several = shown, several or action.nargs in ("*", "+")
    description = (parser.description or "").split(": ")[0].rstrip(".")
    return _Command(description, options, _Values(tuple(words), files), name, several)


def _bash(main: _Command, commands: Mapping[str, _Command]) -> Iterator[str]:
    yield "# bash completion of fsrcnn-rt"
    yield "_fsrcnn_rt() {"
    yield "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command="
    yield "    local options= words= files="
    yield "    # --option=value comes as three words"
    yield "    [[ $prev == = ]] && prev=${COMP_WORDS[COMP_CWORD - 2]}"
    yield "    [[ $cur == = ]] && cur="
    yield "    (( COMP_CWORD > 1 )) && command=${COMP_WORDS[1]}"
    yield "    case $command in"
    for name, command in commands.items():
        yield from _bash_case(name, command)
    yield from _bash_case("*", main)
    yield "    esac"
    yield f"    (( COMP_CWORD == 1 )) && words={shlex.quote(' '.join(commands))}"
    yield "    if [[ $options && $cur == -* ]]; then words=$options files=; fi"
    yield '    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur"; [[ $files ]] && compgen -f -- "$cur")'
    yield "    if [[ $files ]]; then compopt -o filenames 2>/dev/null; fi"
    yield "}"
    yield "complete -F _fsrcnn_rt fsrcnn-rt"


def _bash_case(name: str, command: _Command) -> Iterator[str]:
    flags = " ".join(flag for option in command.options for flag in option.flags)
    yield f"    {name})"
    yield "        case $prev in"
    for option in command.options:
        if option.values is not None:
            yield f"        {'|'.join(option.flags)}) {_bash_values(option.values)};;"
    yield f"        *) options={shlex.quote(flags)} {_bash_values(command.positional)};;"
    yield "        esac;;"


def _bash_values(values: _Values) -> str:
    words = f"words={shlex.quote(' '.join(values.words))} " if values.words else ""
    return words + ("files=1 " if values.files else "")


def _zsh(main: _Command, commands: Mapping[str, _Command]) -> Iterator[str]:
    yield "#compdef fsrcnn-rt"
    yield '_fsrcnn_rt_or_files() { compadd -- "$@"; _files }'
    yield "_fsrcnn_rt() {"
    yield "    local -a commands"
    yield "    if (( CURRENT == 2 )); then"
    yield "        commands=("
    for name, command in commands.items():
        yield f"            {shlex.quote(f'{name}:{command.text}')}"
    yield "        )"
    yield "        _describe -t commands command commands"
    yield "    fi"
    yield "    case $words[2] in"
    for name, command in commands.items():
        yield f"    {name})"
        yield "        shift words; (( CURRENT-- ))"
        yield from _zsh_arguments(command)
    yield "    *)"
    yield from _zsh_arguments(main)
    yield "    esac"
    yield "}"
    yield 'if [[ $funcstack[1] == _fsrcnn_rt ]]; then _fsrcnn_rt "$@"; else compdef _fsrcnn_rt fsrcnn-rt; fi'


def _zsh_arguments(command: _Command) -> Iterator[str]:
    yield "        _arguments -S \\"
    for option in command.options:
        head = "*" if option.again else f"({' '.join(option.flags)})"
        for flag in option.flags:
            joined = takes = ""
            if option.values is not None:
                joined = "=" if flag.startswith("--") else "+"  # --scale=2 and -s2 are right, too
                takes = f":{_zsh_text(option.name)}:{_zsh_values(option.values)}"
            yield f"            {shlex.quote(f'{head}{flag}{joined}[{_zsh_text(option.text)}]{takes}')} \\"
    place = "*" if command.several else "1"
    positional = f"{place}:{_zsh_text(command.name)}:{_zsh_values(command.positional)}"
    yield f"            {shlex.quote(positional) if command.name else ''};;"


def _zsh_text(text: str) -> str:
    return "".join(f"\\{character}" if character in "[]:\\" else character for character in text)


def _zsh_values(values: _Values) -> str:
    words = " ".join(values.words)
    if values.words and values.files:
        return f" _fsrcnn_rt_or_files {words}"
    return f"({words})" if words else "_files" if values.files else " "


def _fish(main: _Command, commands: Mapping[str, _Command]) -> Iterator[str]:
    yield "# fish completion of fsrcnn-rt"
    yield "complete -c fsrcnn-rt -e"
    yield "complete -c fsrcnn-rt -f"
    none = f"not __fish_seen_subcommand_from {' '.join(commands)}"
    first = "test (count (commandline -opc)) -eq 1"
    for name, command in commands.items():
        yield f"complete -c fsrcnn-rt -n {_fish_quote(first)} -a {name} -d {_fish_quote(command.text)}"
    yield from _fish_command(none, main)
    for name, command in commands.items():
        yield from _fish_command(f"__fish_seen_subcommand_from {name}", command)


def _fish_command(condition: str, command: _Command) -> Iterator[str]:
    start = f"complete -c fsrcnn-rt -n {_fish_quote(condition)}"
    for option in command.options:
        flags = " ".join(
            f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags
        )
        takes = ""
        if option.values is not None:
            takes = " -r -F" if option.values.files else " -x"
            if option.values.words:
                takes += f" -a {_fish_quote(' '.join(option.values.words))}"
        yield f"{start} {flags}{takes} -d {_fish_quote(option.text)}"
    if command.positional.files:
        yield f"{start} -F"
    if command.positional.words:
        yield f"{start} -a {_fish_quote(' '.join(command.positional.words))}"


def _fish_quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def main(argv: Sequence[str]) -> int:
    """Run ``fsrcnn-rt completion``; returns 0."""
    from fsrcnn_rt.cli import upscale

    shell = parser().parse_args(argv).shell
    parsers = {name: import_module(command.module).parser() for name, command in COMMANDS.items()}
    print(script(shell, upscale.parser(), parsers), end="")
    return 0


def parser() -> ArgumentParser:
    """Make the parser of ``fsrcnn-rt completion``."""
    parser = ArgumentParser(
        prog="fsrcnn-rt completion",
        description="Print a script by which a shell completes this command.",
        epilog="Write it to ~/.local/share/bash-completion/completions/fsrcnn-rt, as _fsrcnn-rt to a folder "
        "of zsh's $fpath, or to ~/.config/fish/completions/fsrcnn-rt.fish.",
    )
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="shell that is to read the script")
    return parser

"""Scripts for shells, run by the shells."""

import shlex
import shutil
import subprocess
import sys

import pytest
from fsrcnn_rt import available_isas, cli
from fsrcnn_rt.cli.commands import COMMANDS
from fsrcnn_rt.cli.completion import SHELLS
from fsrcnn_rt.model import SHIPPED

ISAS = list(available_isas())
OF_FSRCNN = [name for name in SHIPPED if name.startswith("fsrcnn")]


def script(shell, capsys):
    assert cli.main(["completion", shell]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def need(shell):
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"{shell} is not installed")
    return path


@pytest.fixture
def files(folder):
    for name in ("photo.png", "my photo.png", "it's.png"):
        (folder / name).touch()
    (folder / "pictures").mkdir()
    return folder


@pytest.fixture
def bash(files, capsys):
    """Complete the last of the words, as readline has cut the line into them."""
    path = need("bash")
    (files / "script").write_text(script("bash", capsys))

    def complete(*words):
        line = f"""
        set -u
        source ./script
        complete -p fsrcnn-rt > registered
        COMP_WORDS=(fsrcnn-rt {" ".join(map(shlex.quote, words))}) COMP_CWORD={len(words)}
        _fsrcnn_rt
        (( ${{#COMPREPLY[@]}} == 0 )) || printf '%s\\n' "${{COMPREPLY[@]}}"
        """
        command = [path, "--norc", "--noprofile", "-c", line]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        assert result.stderr == ""
        assert (files / "registered").read_text() == "complete -F _fsrcnn_rt fsrcnn-rt\n"
        return result.stdout.splitlines()

    return complete


def test_bash_subcommands(bash):
    assert bash("comp") == ["compare", "completion"]
    assert bash("b") == ["bench"]
    assert {"bench", "compare", "eval", "video", "photo.png", "pictures"} <= set(bash(""))
    assert bash("photo.png", "ben") == []  # a subcommand comes first


def test_bash_options(bash):
    assert bash("--o") == ["--output", "--overwrite"]
    assert bash("photo.png", "--fo") == ["--format"]
    assert bash("bench", "--s") == ["--scale", "--strength", "--seconds"]
    assert set(bash("eval", "-")) == {
        "-h",
        "--help",
        "-m",
        "-n",
        "-s",
        "--scale",
        "--model",
        "-j",
        "--precision",
        "--threads",
        "--isa",
        "-v",
        "--verbose",
        "--suite",
        "--content",
        "--denoise",
        "--strength",
        "--ifc",
        "-o",
        "--output",
        "--json",
        "--crop",
        "--overwrite",
    }
    assert set(bash("info", "-")) == {"-h", "--help", "--json"}
    assert "--steps-limit" in bash("train", "--")
    assert "-x" not in bash("-")  # which is there to be refused


def test_bash_values(bash):
    assert bash("-m", "fsr") == OF_FSRCNN
    assert bash("-m", "id") == ["idn"]
    assert bash("compare", "photo.png", "--model", "fsrcnn-g") == ["fsrcnn-graphics"]
    assert bash("--isa", "") == ISAS
    assert bash("-s", "") == ["2", "3", "4"]
    assert bash("-f", "pn") == ["png"]
    assert bash("bench", "--channels", "") == ["luma", "rgb"]
    assert bash("bench", "--seconds", "") == []
    assert bash("bench", "--seconds", "-") == []
    assert bash("export", "fs") == OF_FSRCNN
    assert bash("--content", "") == ["photo", "graphics", "auto"]
    assert bash("video", "--denoise", "") == ["0", "1", "2", "3", "auto"]
    assert bash("completion", "") == ["bash", "zsh", "fish"]


def test_bash_values_behind_an_equals_sign(bash):
    assert bash("--model", "=") == [*bash("--model", "")]
    assert bash("bench", "--channels", "=", "r") == ["rgb"]


def test_bash_files(bash):
    assert bash("phot") == ["photo.png"]
    assert bash("my") == ["my photo.png"]
    assert bash("-o", "pict") == ["pictures"]
    assert bash("-m", "phot") == ["photo.png"]
    assert bash("compare", "--hr", "pict") == ["pictures"]
    assert bash("photo.png", "it") == ["it's.png"]
    assert bash("bench", "phot") == []


@pytest.fixture
def fish(files, capsys, monkeypatch):
    """Complete a line; fish would ask for the whole of its own completion."""
    path = need("fish")
    monkeypatch.setenv("HOME", str(files))
    (files / "script").write_text(script("fish", capsys))

    def complete(line):
        command = f"source ./script; complete -C {shlex.quote(line)}"
        result = subprocess.run(
            [path, "--no-config", "-c", command], capture_output=True, text=True, check=True
        )
        assert result.stderr == ""
        return [row.split("\t")[0] for row in result.stdout.splitlines()]

    return complete


def test_fish(fish):
    assert {"bench", "compare", "photo.png", "pictures/"} <= set(fish("fsrcnn-rt "))
    assert fish("fsrcnn-rt comple") == ["completion"]
    assert fish("fsrcnn-rt bench --se") == ["--seconds"]
    assert fish("fsrcnn-rt bench --seconds ") == []
    assert fish("fsrcnn-rt bench --channels ") == ["luma", "rgb"]
    assert sorted(fish("fsrcnn-rt --model fsr")) == sorted(OF_FSRCNN)
    assert sorted(fish("fsrcnn-rt photo.png --isa ")) == sorted(ISAS)
    assert fish("fsrcnn-rt photo.png --steps") == []
    assert fish("fsrcnn-rt train --steps") == ["--steps-limit"]
    assert fish("fsrcnn-rt compare --hr pict") == ["pictures/"]
    assert fish("fsrcnn-rt info ") == []


def test_zsh(files, capsys):
    """The function runs, and hands the right arguments to the functions that zsh completes by."""
    path = need("zsh")
    (files / "script").write_text(script("zsh", capsys))

    def arguments(*words):
        line = f"""
        compdef() {{ print -r -- "compdef $@" }}
        _describe() {{ print -rl -- ${{(P)4}} }}
        _arguments() {{ print -r -- $CURRENT; print -rl -- "$@" }}
        source ./script
        words=(fsrcnn-rt {" ".join(map(shlex.quote, words))}) CURRENT={len(words) + 1}
        _fsrcnn_rt
        """
        result = subprocess.run([path, "-f", "-c", line], capture_output=True, text=True, check=True)
        assert result.stderr == ""
        first, *others = result.stdout.splitlines()
        assert first == "compdef _fsrcnn_rt fsrcnn-rt"
        return others

    subprocess.run([path, "-n", "script"], check=True)
    main = arguments("")
    assert "bench:Frames per second here, beside the 24 of real time and the machine's peak" in main
    assert "*:INPUT:_files" in main
    current, _, *bench = arguments("bench", "--mo")
    assert current == "2"
    assert "(--channels)--channels=[what is upscaled (default\\: luma)]:channels:(luma rgb)" in bench
    assert (
        "*-m+[name or file (repeatable; default\\: fsrcnn, fsrcnn-s)]:MODEL: _fsrcnn_rt_or_files "
        + " ".join(SHIPPED)
        in bench
    )
    assert "(--overwrite)--overwrite[replace a drawing that exists]" in bench
    assert "1:shell:(bash zsh fish)" in arguments("completion", "")


@pytest.mark.parametrize("shell", SHELLS)
def test_every_option_of_every_command_is_there(shell, capsys):
    text = script(shell, capsys)
    for command in [[], *([name] for name in COMMANDS)]:
        assert cli.main([*command, "--help"]) == 0
        for line in capsys.readouterr().out.splitlines():
            words = line.replace(",", " ").split()
            for flag in (word for word in words if line.startswith("  -") and word.startswith("--")):
                assert (f"-l {flag[2:]} " if shell == "fish" else flag) in text


def test_it_needs_no_training_package(folder):
    code = (
        "import sys; sys.modules['torch'] = sys.modules['av'] = sys.modules['onnx'] = None; "
        "from fsrcnn_rt.cli import main; sys.exit(main(['completion', 'bash']))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


def test_other_commands_do_not_load_it():
    code = (
        "import sys; from fsrcnn_rt.cli import main; main(['info']); "
        "print('fsrcnn_rt.cli.completion' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize("arguments", [[], ["tcsh"], ["bash", "zsh"]])
def test_errors_are_one_line(arguments, capsys):
    assert cli.main(["completion", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("fsrcnn-rt: completion: ")
    assert err.count("\n") == 1

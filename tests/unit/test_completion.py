"""What the shell offers at the Tab key: commands, options and values, without importing what is not needed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from processor.cli import SECTIONS, main

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "shell-completion.md"
SHELLS = ("bash", "zsh", "fish")


def offered(*words: str) -> list[str]:
    """Completes the last word of a command line."""
    complete = ShellComplete(main, {}, "credits", "_CREDITS_COMPLETE")
    return [item.value for item in complete.get_completions(list(words[:-1]), words[-1])]


def test_commands_are_offered_with_their_line_of_the_help() -> None:
    assert set(offered("")) == {name for section in SECTIONS.values() for name in section}
    assert offered("check") == ["check-producer"]
    complete = ShellComplete(main, {}, "credits", "_CREDITS_COMPLETE")
    (verify,) = complete.get_completions([], "verif")
    assert verify.help == SECTIONS["Check"]["verify"][1]


def test_subcommands_options_and_values_are_offered() -> None:
    assert offered("topics", "") == ["acls", "apply", "verify"]
    assert "--partitions" in offered("topics", "apply", "--p")
    assert offered("check-producer", "usage.") == ["usage.call.v1", "usage.conference.v1"]
    assert "--version" in offered("--v")


def answer(shell: str, **environment: str) -> str:
    """Runs the command as a shell's completion does."""
    variables = {**os.environ, "_CREDITS_COMPLETE": shell, **environment}
    program = [sys.executable, "-c", "from processor.cli import main; main(prog_name='credits')"]
    return subprocess.run(program, env=variables, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_is_given_its_answers(shell: str) -> None:
    current = "check" if shell == "fish" else "1"
    assert "check-producer" in answer(f"{shell}_complete", COMP_WORDS="credits check", COMP_CWORD=current)


def test_the_script_of_the_page_completes_in_a_real_bash() -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    lines = list(re.findall(r"^_CREDITS_COMPLETE=bash_source credits > .*$", PAGE.read_text(), re.MULTILINE))
    assert len(lines) == 1
    typed = "COMP_WORDS=(credits check); COMP_CWORD=1; _credits_completion credits; echo ${COMPREPLY[*]}"
    script = f"source <({lines[0].partition(' > ')[0]}); {typed}"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [bash, "-c", script], env={**os.environ, "PATH": path}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["check-producer"]


def test_naming_the_commands_imports_none_of_them() -> None:
    program = (
        "import sys\nfrom processor.cli import main\nfrom click.shell_completion import ShellComplete\n"
        "ShellComplete(main, {}, 'credits', '_C').get_completions([], '')\nprint(*sys.modules)"
    )
    modules = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert [name for name in modules.split() if name.startswith("processor.cli.")] == []

"""The command line as a process."""

import subprocess
import sys

COMMAND = [sys.executable, "-c", "import sys; from batchedllm.cli.main import main; sys.exit(main())"]


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    """As in `batchedllm plan ... | head -1`."""
    command = [*COMMAND, "plan", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""


def test_output_that_nobody_reads_ends_the_command_as_a_broken_pipe_does(tmp_path) -> None:
    manifest = tmp_path / "one.yaml"
    manifest.write_text(
        "apiVersion: batchedllm.dev/v1alpha1\nkind: BatchedLLM\nmetadata: {name: a}\n"
        "spec: {model: {id: a/b}, gpu: {memory: 80Gi}}\n"
    )
    command = [*COMMAND, "render", "-f", str(manifest)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""

    assert process.returncode == 141

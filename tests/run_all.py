"""All tests but the soak, in two pytest processes side by side: those that need the lab, which
mostly wait, and all others. `make test` runs it.

Both get the arguments given. The lab's output comes as it is made, that of the others after it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile

PYTEST = (sys.executable, "-m", "pytest", "--durations=15")


def main(arguments: list[str]) -> int:
    """The exit code of the first that failed, 0 when none did."""
    with tempfile.TemporaryFile() as output:
        others = subprocess.Popen(
            [*PYTEST, "-m", "not soak and not lab", *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            lab = subprocess.run([*PYTEST, "-m", "lab and not soak", *arguments], check=False)
            code = others.wait()
        finally:
            others.kill()
            others.wait()
        output.seek(0)
        sys.stdout.flush()
        sys.stdout.buffer.write(output.read())
        sys.stdout.flush()
    return lab.returncode or code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

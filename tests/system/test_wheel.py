"""What is published: the wheel and the sdist, installed where the source tree is not."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.system

STUDY = """
import prompt_search as ps
from prompt_search.testing import FakeServer, truth_model

data = ps.Dataset.read({data!r}, target="intent").head(80)
truth = truth_model({{row["text"]: row.target for row in data.rows}}, accuracy=0.8)
with FakeServer(truth) as server:
    study = ps.Study(
        template=ps.Template.read("classify"), data=data, model=server.model(), name="wheel", storage="sqlite:///wheel.db"
    )
    result = study.run(60)
result.report("report.html")
result.best.export("best.py")
print(ps.__file__)
print(result.finished, 0 < result.calls_df()["attempts"].sum() <= 60)
"""


def built(kind: str, source: Path, folder: Path) -> Path:
    """A wheel or an sdist of a source tree, built without network from what is installed."""
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "build",
        f"--{kind}",
        "--no-isolation",
        "--outdir",
        folder,
        source,
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this source tree."""
    return built("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


def test_sdist_makes_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    """The sdist has everything that the wheel is made of: the wheel from it holds the same files."""
    archive = built("sdist", ROOT, tmp_path / "sdist")
    with tarfile.open(archive) as files:
        files.extractall(tmp_path / "unpacked", filter="data")
    (source,) = (tmp_path / "unpacked").iterdir()

    again = built("wheel", source, tmp_path / "again")

    def contents(file: Path) -> dict[str, int]:
        return {
            entry.filename: entry.CRC for entry in zipfile.ZipFile(file).infolist() if "RECORD" not in entry.filename
        }

    assert contents(again) == contents(wheel)


def test_wheel_runs_without_the_source_tree(wheel: Path, tmp_path: Path) -> None:
    """In an environment of its own the wheel has its templates, data, report files and command."""
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    (own,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    # Dependencies come from this environment, whose path files, and so its editable installs, are not read.
    others = {sysconfig.get_path("purelib"), *(path for path in sys.path if path.endswith("site-packages"))}
    (own / "dependencies.pth").write_text("\n".join(sorted(others)))
    pip: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--no-deps",
        "--no-index",
        "--quiet",
        wheel,
    ]
    subprocess.run(pip, check=True)
    data = own / "prompt_search" / "_demo" / "messages.csv"
    assert data.is_file()

    def command(*arguments: str) -> str:
        done = subprocess.run([python, *arguments], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    where, state = command("-c", STUDY.format(data=str(data))).splitlines()

    assert Path(where) == own / "prompt_search" / "__init__.py"
    assert state == "True True"
    assert "<style>" in (tmp_path / "report.html").read_text("utf-8")
    compile((tmp_path / "best.py").read_text("utf-8"), "best.py", "exec")
    listed = command("-m", "prompt_search.cli", "list", "--storage", "sqlite:///wheel.db")
    assert listed.startswith("wheel: ")

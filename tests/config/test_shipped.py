"""What comes with the package is found by name, and copied over nothing."""

from pathlib import Path

import pytest

from mcp_chaos.config import shipped
from mcp_chaos.errors import UsageError


def test_each_file_is_found_by_its_name() -> None:
    assert shipped.path_of("backend_outage").read_text() == Path("experiments/backend_outage.json").read_text()
    assert shipped.path_of("quick").name == "quick.yaml"
    with pytest.raises(UsageError, match="did you mean 'network_partition'"):
        shipped.path_of("network_partion")


def test_a_file_that_is_there_wins_over_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shipped.named(Path("quick"), shipped.profiles()) == shipped.profiles()["quick"]
    Path("quick").touch()
    assert shipped.named(Path("quick"), shipped.profiles()) == Path("quick")
    assert shipped.named(Path("mine.yaml"), shipped.profiles()) == Path("mine.yaml")


def test_a_copy_has_all_of_them_and_writes_over_nothing(tmp_path: Path) -> None:
    made = shipped.copy_to(tmp_path)
    assert {path.relative_to(tmp_path) for path in made} == {
        path.relative_to("experiments") for path in Path("experiments").rglob("*.*")
    }
    (tmp_path / "profiles" / "quick.yaml").write_text("mine")
    made[0].unlink()
    with pytest.raises(UsageError, match=r"quick.yaml.* would be written over"):
        shipped.copy_to(tmp_path)
    assert not made[0].exists()

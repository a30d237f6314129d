import shutil
import sys
import tomllib
from pathlib import Path

import yaml


ROOT = Path(__file__).parents[1]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def test_every_package_on_disk_is_in_the_wheel():
    on_disk = {
        ".".join([prefix, *folder.parent.relative_to(ROOT / root).parts])
        for prefix, root in SETUPTOOLS["package-dir"].items()
        for folder in (ROOT / root).rglob("__init__.py")
    }
    assert set(SETUPTOOLS["packages"]) == on_disk


def test_every_data_file_is_in_the_wheel():
    data = {
        path
        for path in (ROOT / "src/crosslens").rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    declared = {
        path
        for package, patterns in SETUPTOOLS["package-data"].items()
        for pattern in patterns
        for path in (ROOT / "src" / Path(*package.split("."))).glob(pattern)
    }
    assert data == declared


def test_the_files_for_people_who_join_can_be_read_and_agree_with_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert citation["version"] == project["version"] and citation["license"] == project["license"]
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text()
    forms = set((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))
    for form in forms - {ROOT / ".github/ISSUE_TEMPLATE/config.yml"}:
        fields = yaml.safe_load(form.read_text())
        assert fields["name"] and fields["description"], form
        names = [field["id"] for field in fields["body"]]
        assert len(names) == len(set(names)) and any(
            field.get("validations", {}).get("required") for field in fields["body"]
        )


def test_every_command_of_pre_commit_names_files_that_exist():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    for hook in hooks:
        tool, *words = hook["entry"].split()
        assert shutil.which(tool, path=Path(sys.executable).parent) or shutil.which(tool), tool
        assert all((ROOT / word).is_file() for word in words if word.startswith("tests/"))

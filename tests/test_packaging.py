import tomllib
from pathlib import Path


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

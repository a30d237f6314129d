import hashlib
import json

import pytest

from crosslens.default.weights import checked


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    (tmp_path / "checksums.json").write_text(json.dumps({"model.safetensors": digest}))
    return tmp_path


def test_an_undamaged_folder_passes(folder):
    assert checked(folder) == folder


def test_a_damaged_file_is_named_with_the_remedy(folder):
    (folder / "model.safetensors").write_bytes(b"weightz")
    with pytest.raises(ValueError, match="model.safetensors is damaged.*install crosslens again"):
        checked(folder)


def test_a_missing_file_or_folder_is_named_with_the_remedy(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="lacks .*model.safetensors; install"):
        checked(folder)
    with pytest.raises(FileNotFoundError, match="no embedded reranker.*planted:bm25"):
        checked(folder / "elsewhere")

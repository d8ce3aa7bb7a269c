"""What the documentation gives people to use, checked by what will read it."""

import re
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

MANIFESTS = [path for folder in ("docs/kubernetes", "toxiproxy") for path in sorted(Path(folder).glob("*.yaml"))]
KUBERNETES = [path for path in MANIFESTS if "apiVersion" in path.read_text()]


@pytest.mark.parametrize("path", KUBERNETES, ids=str)
def test_manifests_are_what_kubernetes_takes(path: Path) -> None:
    documents = [document for document in yaml.safe_load_all(path.read_text()) if document]
    assert documents
    for document in documents:
        kubernetes_validate.validate(document, "1.33", strict=True)


def test_a_wrong_manifest_would_be_found() -> None:
    wrong = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"prots": []}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.33", strict=True)


@pytest.mark.parametrize("page", [Path("README.md"), *sorted(Path("docs").glob("*.md"))], ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not link.startswith("http"):
            assert (page.parent / link).exists(), link

"""Fixtures that every folder of tests shares: one real cluster for the run, and a fresh namespace for a test."""

import uuid
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from testbed.cluster import Cluster


@pytest.fixture(scope="session")
def cluster() -> "Cluster":
    """The cluster of this run: the one KUBECONFIG names, or the testbed's own (TESTBED_INDEX), which stays up."""
    import testbed  # noqa: PLC0415 - tests without a cluster must not need it
    from testbed.definition import Gpus  # noqa: PLC0415 - as above

    # Every replica takes a GPU, and tests run beside each other: none of them is to wait for another one's.
    return testbed.ensure_cluster(gpus=Gpus(count=128))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse to run where groups are asked for and not held: tests of one group would starve each other unnoticed."""
    if getattr(session.config.option, "loadgroup", False):
        alone = [
            item.nodeid for item in session.items if item.get_closest_marker("xdist_group") and "@" not in item.nodeid
        ]
        if alone:
            raise pytest.UsageError(
                f"pytest-xdist does not hold the group of {alone[0]}: its version and pytest's differ"
            )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Add to the report of a failed test on a cluster what was wrong there, while it is still to be seen."""
    report = yield
    values = getattr(item, "funcargs", {})
    if report.failed and report.when != "teardown" and "cluster" in values:
        from testbed import diagnosis  # noqa: PLC0415 - as above
        from testbed.cluster import Cluster  # noqa: PLC0415 - as above

        if isinstance(values["cluster"], Cluster):  # unit tests have things of this name too
            report.sections.append(("the cluster then", diagnosis.troubles(values["cluster"], values.get("namespace"))))
    return report


@pytest.fixture
def namespace(cluster: "Cluster") -> Iterator[str]:
    """Name of a namespace that exists for one test."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def installed_crd(cluster: "Cluster") -> None:
    """The CustomResourceDefinition is there and serves."""
    cluster.establish(Path(__file__).parents[1] / "crds/batchedllms.yaml")

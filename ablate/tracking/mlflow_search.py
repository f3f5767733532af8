"""Finding in MLflow: page by page, for without that it silently stops at one; and what is made if it is not found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

_PAGE = 1000


def search(client: MlflowClient, experiments: Sequence[str], condition: str) -> Iterator[Run]:
    """The runs of some experiments that meet a condition."""
    yield from _pages(
        lambda token: client.search_runs(list(experiments), condition, max_results=_PAGE, page_token=token)
    )


def experiments(client: MlflowClient) -> Iterator[Experiment]:
    """Every experiment that is a study's."""
    condition = "tags.`ablate.study` LIKE '%'"
    yield from _pages(
        lambda token: client.search_experiments(filter_string=condition, max_results=_PAGE, page_token=token)
    )


def make_experiment(client: MlflowClient, name: str, location: str | None, tags: Mapping[str, str]) -> Experiment:
    """The experiment of that name, also where another process has made it meanwhile: MLflow takes a name once."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_experiment(name, artifact_location=location, tags=dict(tags))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return client.get_experiment_by_name(name)


def _pages(ask: Callable[[str | None], Any]) -> Iterator[Any]:
    token = None
    while True:
        page = ask(token)
        yield from page
        token = page.token
        if not token:
            return

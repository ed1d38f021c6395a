"""What the tests of pages share: an app to drive without a browser, with one toy model in its workspace."""

from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from streamlit.testing.v1 import AppTest

from genolm.registry import import_bundle

APP = Path(__file__).parents[2] / "app.py"


@pytest.fixture(autouse=True)
def fresh_caches():
    """Let no test see what another one loaded."""
    import streamlit as st

    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture(autouse=True)
def nothing_else_runs(monkeypatch):
    """Let no other work on this machine change what pages say of their times."""
    monkeypatch.setattr("os.getloadavg", lambda: (0.0, 0.0, 0.0))


@pytest.fixture
def no_model(private_workspace, monkeypatch, tmp_path_factory):
    """A workspace without any model, not even the built-in ones."""
    nothing = tmp_path_factory.mktemp("nothing")
    monkeypatch.setattr("genolm.workspace.builtin_models_dir", lambda: nothing)


@pytest.fixture
def toy_model(no_model, toy_bundle_path):
    """The toy classifier, the only model."""
    return import_bundle(toy_bundle_path)


@pytest.fixture
def open_page(monkeypatch):
    """A function page -> AppTest that has run it once."""
    monkeypatch.setenv("GENOLM_THREADS", "1")

    def opened(page, **query):
        app = AppTest.from_file(str(APP), default_timeout=60)
        app.switch_page(page)
        for key, value in query.items():
            app.query_params[key] = value
        return app.run()

    return opened


@pytest.fixture
def follow():
    """A function AppTest, label of a link, the link's page -> the app after a click on it, in the same session."""

    def followed(app, label, page):
        link = next(item.proto for item in app.get("page_link") if item.proto.label == label)
        assert not link.disabled and Path(page).stem == link.page
        app.switch_page(page)
        app.query_params = dict(parse_qsl(link.query_string))
        return app.run()

    return followed


@pytest.fixture
def sentences():
    """A function AppTest -> the texts of its errors, with Markdown's escapes undone."""
    return lambda app: [item.value.replace("\\", "") for item in app.error]

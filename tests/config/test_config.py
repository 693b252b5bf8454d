"""Configuration: complete, documented, and its faults named where they stand."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from huracan.catalogue import MODEL_CATALOGUE
from huracan.config import HuracanConfig, commented_yaml, config_hash, feedback_hash, load_config, milliseconds, parameter_table
from huracan.errors import ConfigError, HuracanError
from huracan.market import simulate_market

ROOT = Path(__file__).resolve().parents[2]


def test_shipped_file_is_the_generated_default() -> None:
    assert (ROOT / "config" / "ml_framework.yaml").read_text() == commented_yaml(), "run `make docs`"
    assert load_config(ROOT / "config" / "ml_framework.yaml", environ={}) == HuracanConfig()


def test_parameter_table_is_the_generated_one_and_explains_every_key() -> None:
    table = parameter_table()
    assert table in (ROOT / "docs" / "configuration.md").read_text(), "run `make docs`"
    for line in table.splitlines()[2:]:
        assert line.rstrip(" |").count("|") >= 5, f"no meaning: {line}"


def test_profiles_name_every_learner_of_the_catalogue_with_the_catalogues_caps() -> None:
    """Networks, which take minutes where others take seconds, are all in the longest profile only."""
    supervised = {name for name, spec in MODEL_CATALOGUE.items() if spec.is_supervised}
    networks = {name for name, spec in MODEL_CATALOGUE.items() if spec.network is not None}
    assert set(HuracanConfig().profiles["full"].learners) == supervised
    for name, profile in HuracanConfig().profiles.items():
        assert supervised - networks <= set(profile.learners) <= supervised
        for learner, entry in profile.learners.items():
            assert entry.max_train_rows == MODEL_CATALOGUE[learner].row_cap(name), (name, learner)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed: 1\nlables:\n  horizon: 3\n", "line 2: unknown key 'lables'; did you mean 'labels'?"),
        ("labels:\n  horizn: 3\n", "line 2: unknown key 'labels.horizn'; did you mean 'labels.horizon'?"),
        ("labels:\n  horizon: none\n", "line 2: 'labels.horizon' is 'none'"),
        ("seed: -1\n", "line 1: 'seed' is -1: input should be greater than or equal to 0"),
        ("profile: quik\n", "profile 'quik' is not among quick, standard, full; did you mean 'quick'?"),
        ("seed: 3\nprofile: quik\n", "line 2: profile 'quik'"),
        ("seed: true\n", "line 1: 'seed' is True"),
        ("serving:\n  max_age_days: soon\n", "line 2: 'serving.max_age_days' is 'soon': a number of days above 0"),
        ("serving:\n  max_age_days: true\n", "line 2: 'serving.max_age_days' is True"),
        ("costs:\n  fee_bps: false\n", "line 2: 'costs.fee_bps' is False"),
        ("costs:\n  initial_equity: .inf\n", "line 2: 'costs.initial_equity' is inf: input should be a finite number"),
        ("data:\n  simulation:\n    signal_strength: 4\n", "line 3: 'data.simulation.signal_strength' is 4"),
        ("home: ~nobody-of-this-name/h\n", "the home folder of '~nobody-of-this-name' is not known"),
        ("seed: 1\nseed: 2\n", "line 2: key 'seed' stands twice"),
        ("seed: [1\n", "not valid YAML"),
        ("- 1\n", "keys and values were expected"),
        (
            "profiles:\n  quick:\n    learners:\n      ridge: {max_rows: 3}\n",
            "did you mean 'profiles.quick.learners.ridge.max_train_rows'?",
        ),
        ("costs:\n  fee_bps: 20000\n", "line 2: 'costs.fee_bps' is 20000"),
        ("automl:\n  time_budget: 0\n", "line 2: 'automl.time_budget' is 0: input should be greater than 0"),
        ("automl:\n  max_trials: 0\n", "line 2: 'automl.max_trials' is 0"),
        ("automl:\n  sampler: tpee\n", "line 2: 'automl.sampler' is 'tpee': input should be 'tpe'"),
        ("automl:\n  learners: [ridge, ridge]\n", "line 2: 'automl.learners' is ['ridge', 'ridge']: 'ridge' stands twice"),
        (
            "automl:\n  objectives: [turnover]\n",
            "line 2: 'automl.objectives' is ['turnover']: gain or net_sharpe among them",
        ),
        ("automl:\n  prunning: true\n", "line 2: unknown key 'automl.prunning'; did you mean 'automl.pruning'?"),
        ("ensemble:\n  methods: [gredy]\n", "line 2: 'ensemble.methods.0' is 'gredy': input should be 'greedy'"),
        (
            "ensemble:\n  methods: [voting, voting]\n",
            "line 2: 'ensemble.methods' is ['voting', 'voting']: 'voting' stands twice",
        ),
        (
            "ensemble:\n  members: [rigde]\n",
            "line 2: ensemble.members names 'rigde', which profile 'quick' does not train; did",
        ),
        ("drift:\n  window: week\n", "line 2: 'drift.window' is 'week': a whole number above 0 with s, m, h, d or w"),
        ("mechanic:\n  every: 0h\n", "line 2: 'mechanic.every' is '0h': a whole number above 0"),
        ("mechanic:\n  learners: []\n", "line 2: 'mechanic.learners' is []"),
        ("mechanic:\n  webhook_url: chat.example\n", "line 2: 'mechanic.webhook_url' is 'chat.example': an address"),
        ("mechanic:\n  source: folder\n", "line 1: 'mechanic': source folder needs 'folder', the folder in which"),
        ("mechanic:\n  {source: exchange, exchange: binance}\n", "source exchange needs 'exchange' and 'symbols'"),
        ("retrain:\n  max_age: 14\n", "line 2: 'retrain.max_age' is 14"),
        ("ensemble:\n  members: [zzz]\n", "which profile 'quick' does not train; its learners are majority, last_value"),
    ],
)
def test_faults_are_named_with_line_value_and_nearest_key(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(file, environ={})
    assert said in str(caught.value)


def test_unreadable_files_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "missing.yaml", tmp_path, tmp_path / "binary.yaml"):
        with pytest.raises(ConfigError, match="cannot be read"):
            load_config(path, environ={})


def test_environment_overrides_the_file_and_is_named_when_wrong(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("labels:\n  horizon: 3\nhome: elsewhere\n")
    loaded = load_config(file, environ={"HURACAN__LABELS__HORIZON": "7", "HURACAN_HOME": "/tmp/h"})
    assert (loaded.labels.horizon, loaded.home) == (7, Path("/tmp/h"))
    with pytest.raises(ConfigError, match="environment variable HURACAN__LABELS__HORIZN: unknown key"):
        load_config(file, environ={"HURACAN__LABELS__HORIZN": "7"})


def test_the_environment_sets_a_search_and_its_budget_has_a_default() -> None:
    loaded = load_config({}, environ={"HURACAN__AUTOML__LEARNERS": "[ridge]", "HURACAN__AUTOML__TIME_BUDGET": "60"})
    assert (loaded.automl.learners, loaded.automl.time_budget, loaded.automl.most_trials) == (("ridge",), 60.0, None)
    assert load_config({}, environ={}).automl.most_trials == 100
    assert load_config({"automl": {"max_trials": 7}}, environ={}).automl.most_trials == 7
    combined = load_config({}, environ={"HURACAN__ENSEMBLE__METHODS": "[voting, stacking]"})
    assert combined.ensemble.methods == ("voting", "stacking")


def test_a_users_profile_leaves_the_others_in_place() -> None:
    loaded = load_config({"profile": "mine", "profiles": {"mine": {"n_splits": 2, "learners": {"ridge": {}}}}}, environ={})
    assert set(loaded.profiles) == {"mine", "quick", "standard", "full"}


@pytest.mark.parametrize("profile", ["quick", "full"])
def test_a_key_left_out_of_a_default_profile_keeps_its_default(profile: str) -> None:
    default = HuracanConfig().profiles[profile]
    shorter = load_config({"profiles": {profile: {"n_splits": 3}}}, environ={}).profiles[profile]
    assert (shorter.n_splits, shorter.learners) == (3, default.learners)
    other = load_config({"profiles": {profile: {"learners": {"ridge": {}}}}}, environ={}).profiles[profile]
    assert (other.n_splits, list(other.learners)) == (default.n_splits, ["ridge"])
    told = load_config(None, environ={f"HURACAN__PROFILES__{profile.upper()}__N_SPLITS": "3"})
    assert told.profiles[profile] == shorter


def test_paths_begin_at_the_users_home_and_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/trader")
    content = {"data": {"source": "~/candles"}, "features": {"recipe": "~/r.json"}}
    loaded = load_config(content, environ={"HURACAN_HOME": "~/q"})
    assert (str(loaded.home), str(loaded.data.source)) == ("/home/trader/q", "/home/trader/candles")
    assert loaded.features.recipe == "/home/trader/r.json"
    assert load_config(None, environ={"HURACAN_HOME": ""}).home == HuracanConfig().home


def test_the_simulated_market_takes_what_its_section_allows() -> None:
    bounds = HuracanConfig.model_json_schema()["$defs"]["SimulationConfig"]["properties"]
    least = {"n_bars": bounds["n_bars"]["minimum"], "n_symbols": bounds["n_symbols"]["minimum"], "seed": 0}
    strength, gaps = bounds["signal_strength"]["maximum"], bounds["gap_share"]["maximum"]
    assert simulate_market(**least, signal_strength=strength, gap_share=gaps).candles.height > 0
    with pytest.raises(HuracanError, match="signal_strength"):
        simulate_market(**least, signal_strength=strength + 0.01)


def test_hash_follows_what_changes_results_and_nothing_else() -> None:
    same = [
        load_config(c, environ={})
        for c in ({}, {"home": "x"}, {"training": {"n_jobs": 1}}, {"logging": {"file_level": "info"}})
    ]
    assert len({config_hash(c) for c in same}) == 1
    other = [load_config(c, environ={}) for c in ({"seed": 1}, {"labels": {"horizon": 2}}, {"profile": "full"})]
    assert len({config_hash(c) for c in [same[0], *other]}) == 4


def test_a_mechanics_settings_rename_no_run_and_its_surroundings_no_replay() -> None:
    plain = load_config({}, environ={})
    decide = [{"drift": {"alpha": 0.01}}, {"retrain": {"skill": False}}, {"mechanic": {"shadow_bars": 100}}]
    around = {"lease_seconds": 9, "webhook_url": "https://a.example/b", "metrics_port": 9000, "every": "2h"}
    deciding = [load_config(c, environ={}) for c in decide]
    assert {config_hash(c) for c in deciding} == {config_hash(plain)}
    assert len({feedback_hash(c) for c in [plain, *deciding, load_config({"labels": {"horizon": 2}}, environ={})]}) == 5
    assert feedback_hash(load_config({"mechanic": around}, environ={})) == feedback_hash(plain)


def test_stretches_of_time_become_bars_rounded_up() -> None:
    retrain = load_config({"retrain": {"cool_down": "100m", "max_age": None}}, environ={}).retrain
    in_bars = retrain.in_bars(milliseconds("1h"))
    assert (in_bars["cool_down_bars"], in_bars["budget_window_bars"], in_bars["max_age_bars"]) == (2, 720, None)
    assert set(in_bars) == {"skill", "data_drift", "persistence", "cool_down_bars", "min_new_rows", "budget"} | {
        "budget_window_bars",
        "max_age_bars",
        "doubling",
    }


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
sections = st.sampled_from([*HuracanConfig.model_fields, "nonsense"])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(sections, json_like, max_size=4))
def test_random_configurations_load_or_are_refused_in_a_sentence(content: dict[str, object]) -> None:
    try:
        load_config(content, environ={})
    except HuracanError as error:
        assert "\n" not in str(error)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=80) | st.text(max_size=80).map(str.encode))
def test_random_files_load_or_are_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "random.yaml"
    file.write_bytes(content)
    try:
        load_config(file, environ={})
    except HuracanError as error:
        assert str(file) in str(error) or "configuration" in str(error) or "profile" in str(error)

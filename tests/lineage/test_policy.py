import pytest

from components.errors import BadInput
from pipeline.lineage import policy


@pytest.fixture
def written(tmp_path):
    def write(text: str):
        path = tmp_path / "policy.yaml"
        path.write_text(text)
        return path

    return write


def test_a_file_sets_what_it_names_and_leaves_the_rest(written):
    read = policy.read(written("version: 1\nrules:\n  clean_tree: warn\n  leaks: off\n"))
    assert read.levels == {**policy.default().levels, "clean_tree": "warn", "leaks": "off"}


def test_a_file_without_rules_is_the_default(written):
    assert policy.read(written("version: 1\n")) == policy.default()


def test_a_policy_round_trips():
    changed = policy.Policy.from_dict({"version": 1, "rules": {"ops": "off"}})
    assert policy.Policy.from_dict(changed.to_dict()) == changed


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("version: 1\nrules:\n  clean_trees: warn\n", "clean_tree, same_lock"),
        ("version: 1\nrules:\n  clean_tree: maybe\n", "fail, warn, off"),
        ("version: 1\nrule: {}\n", "version, rules"),
        ("version: 2\n", "version: 1"),
        ("version: 1\nrules: [leaks]\n", "rule: level"),
        ("version: 1\nrules: {leaks: !!python/object:os.system x}\n", "not YAML"),
        ("- 1\n", "not a mapping"),
        ("{", "not YAML"),
    ],
)
def test_a_wrong_policy_is_refused_with_what_would_be_right(written, text, named):
    with pytest.raises(BadInput, match=r"policy\.yaml") as caught:
        policy.read(written(text))
    assert named in str(caught.value)


def test_a_missing_policy_is_refused(tmp_path):
    with pytest.raises(BadInput, match="cannot be read"):
        policy.read(tmp_path / "none.yaml")

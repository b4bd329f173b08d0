"""GLUE's files: small ones in the real format, and the real ones where they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetfit import InputError
from supernet.tasks import LabelledTexts, NumberedTexts, read_glue, read_glue_file

FOLDERS = {
    "sst2": "SST-2", "cola": "CoLA", "mrpc": "MRPC", "rte": "RTE", "stsb": "STS-B",
    "qnli": "QNLI", "wnli": "WNLI",
}  # fmt: skip
METRICS = {
    "sst2": ("accuracy",),
    "cola": ("matthews", "accuracy"),
    "mrpc": ("f1", "accuracy"),
    "rte": ("accuracy",),
    "stsb": ("pearson", "spearman"),
    "qnli": ("accuracy",),
    "wnli": ("accuracy",),
}
HEADERS = {
    "sst2": "sentence\tlabel",
    "mrpc": "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String",
    "rte": "index\tsentence1\tsentence2\tlabel",
    "stsb": "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2"
    "\tscore",
    "qnli": "index\tquestion\tsentence\tlabel",
    "wnli": "index\tsentence1\tsentence2\tlabel",
}
ROWS = {
    "sst2": ['a "quoted word\t1', "b\t0"],
    "cola": ['gj04\t1\t\ta "quoted word', "gj04\t0\t*\tb"],
    "mrpc": ['1\t10\t11\ta "quoted word\tsecond', "0\t12\t13\tb\tc"],
    "rte": ['0\ta "quoted word\tsecond\tnot_entailment', "1\tb\tc\tentailment"],
    "stsb": [
        '0\tg\tf\t2012\t1\tx\ty\ta "quoted word\tsecond\t4.250',
        "1\tg\tf\t2012\t2\tx\ty\tb\tc\t0.000",
    ],
    "qnli": ['0\ta "quoted word\tsecond\tnot_entailment', "1\tb\tc\tentailment"],
    "wnli": ['0\ta "quoted word\tsecond\t1', "1\tb\tc\t0"],
}


def written(root: Path, name: str, *files: str) -> Path:
    lines = [*([HEADERS[name]] if name in HEADERS else []), *ROWS[name]]
    folder = root / FOLDERS[name]
    folder.mkdir()
    for file in files or ("train.tsv", "dev.tsv"):
        (folder / file).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("inside", [True, False], ids=["root", "folder"])
def test_a_task_by_hand(tmp_path: Path, name: str, inside: bool) -> None:
    root = written(tmp_path, name)
    source = read_glue(name, root if inside else root / FOLDERS[name])
    assert source.task.metrics == METRICS[name]
    assert source.train.texts == ('a "quoted word', "b")
    assert source.train == source.test
    pairs = None if name in ("sst2", "cola") else ("second", "c")
    assert source.train.pairs == pairs
    assert source.pairs == (pairs is not None)
    if isinstance(source.train, NumberedTexts):
        assert source.train.numbers == (4.25, 0.0)
    else:
        assert source.train.labels == (1, 0)
        assert source.train.names == source.task.labels


def test_a_file_to_score_on_may_be_another(tmp_path: Path) -> None:
    root = written(tmp_path, "sst2")
    other = tmp_path / "other.txt"
    other.write_text("sentence\tlabel\nonly\t0\n")
    source = read_glue("sst2", root, test=other)
    assert source.test.texts == ("only",)
    assert read_glue_file("sst2", other) == source.test


def test_qnli_without_a_train_file_is_split_by_question(tmp_path: Path) -> None:
    rows = [f"{i}\tq{i // 3}\ts{i}\tentailment" for i in range(60)]
    (tmp_path / "QNLI").mkdir()
    (tmp_path / "QNLI" / "dev.tsv").write_text("\n".join([HEADERS["qnli"], *rows]))
    source = read_glue("qnli", tmp_path)
    train, dev = source.parts(share=0.25, seed=3)
    parts: list[LabelledTexts] = [train, dev, source.test]
    assert [len(set(p.texts)) for p in parts] == [12, 4, 4]
    assert [len(p) for p in parts] == [36, 12, 12]
    assert len(set().union(*(p.texts for p in parts))) == 20
    assert source.held_out
    assert read_glue("qnli", tmp_path).test == source.test


def test_an_unknown_label_is_named(tmp_path: Path) -> None:
    root = written(tmp_path, "rte")
    with (root / "RTE" / "dev.tsv").open("a") as file:
        file.write("2\ta\tb\tmaybe\n")
    with pytest.raises(InputError, match="'maybe'"):
        read_glue("rte", root)


def test_a_number_must_be_one(tmp_path: Path) -> None:
    root = written(tmp_path, "stsb")
    path = root / "STS-B" / "dev.tsv"
    path.write_text(path.read_text().replace("4.250", "nan"))
    with pytest.raises(InputError, match="finite numbers, but one is 'nan'"):
        read_glue("stsb", root)


def test_an_unknown_task_names_those_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="sst2, cola, mrpc, rte, stsb, qnli, wnli, but got 'mnli'"):
        read_glue("mnli", tmp_path)


def test_a_folder_without_the_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"SST-2/train\.tsv"):
        read_glue("sst2", tmp_path)


_TEXT = st.text(st.characters(exclude_characters="\t\n\r", exclude_categories=["Cs"]), min_size=1)


@given(rows=st.lists(st.tuples(_TEXT, _TEXT, st.booleans()), min_size=1, max_size=5))
def test_any_pair_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, bool]]
) -> None:
    path = tmp_path_factory.mktemp("glue") / "dev.tsv"
    lines = [f"{i}\t{a}\t{b}\t{int(y)}" for i, (a, b, y) in enumerate(rows)]
    path.write_text("\n".join([HEADERS["wnli"], *lines]), encoding="utf-8")
    found = read_glue_file("wnli", path)
    assert isinstance(found, LabelledTexts)
    assert found.pairs is not None
    assert list(zip(found.texts, found.pairs, map(bool, found.labels), strict=True)) == rows


DATA = Path(os.environ.get("FLEETFIT_DATA", Path(__file__).parents[4] / "shared" / "data"))


@pytest.mark.skipif(not (DATA / "glue").is_dir(), reason=f"there is no GLUE below {DATA}")
def test_the_real_files_have_their_published_sizes() -> None:
    """Wang et al. 2019, table 1, and what is known of the files here."""
    wanted = {
        "sst2": (67349, 872),
        "cola": (8551, 1043),
        "mrpc": (3668, 408),
        "rte": (2490, 277),
        "stsb": (5749, 1500),
        "wnli": (635, 71),
    }
    found = {name: read_glue(name, DATA / "glue") for name in wanted}
    assert {n: (len(s.train), len(s.test)) for n, s in found.items()} == wanted
    qnli = read_glue("qnli", DATA / "glue")
    assert len(qnli.train) + len(qnli.test) == 5463
    assert not set(qnli.train.texts) & set(qnli.test.texts)

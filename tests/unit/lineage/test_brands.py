"""Brands as they are declared."""

from pathlib import Path

import pytest

from lineage import brands
from lineage.brands import Brand, Brands, Within
from lineage.definitions import DefinitionError

TOML = """
[[brand]]
name = "Harbour"
channels = ["web", "app"]

[[brand]]
name = "Vale"
channels = ["store"]
locations = ["S1", "S2"]
"""


def declared(tmp_path: Path, text: str) -> Brands:
    (tmp_path / "brands.toml").write_text(text)
    return brands.load(tmp_path / "brands.toml")


def test_a_place_is_of_the_brand_of_its_location_before_that_of_its_channel(tmp_path: Path) -> None:
    known = declared(tmp_path, TOML)
    assert known.names == ("Harbour", "Vale")
    places = (("web", ""), ("web", "S1"), ("store", "S9"), ("post", "S2"), ("post", ""))
    assert [known.of(*place) for place in places] == ["Harbour", "Vale", "Vale", "Vale", ""]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    known = declared(tmp_path, TOML)
    assert tuple(declared(tmp_path, brands.toml(known))) == tuple(known)


def test_queries_are_told_the_places_of_a_brand(tmp_path: Path) -> None:
    known = declared(tmp_path, TOML)
    assert known.within("") is None
    assert known.within("Harbour") == Within(("web", "app"), (), ("S1", "S2"))
    assert known.within("Vale") == Within(("store",), ("S1", "S2"), ())
    assert known.within("nobody's") == Within((), (), ("S1", "S2")), "no place, and not every one"


def test_a_brand_of_other_places_is_known_as_another() -> None:
    assert Brand("A", ("web",)).mark != Brand("A", ("web", "app")).mark
    assert Brand("A", ("web",)).mark == Brand("A", ("web",)).mark


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[[brand]]\nname = "A"', "brand A has neither channels nor locations"),
        ('[[brand]]\nname = "A"\nchannels = ["x"]\n' * 2, "each brand needs a name of its own"),
        ('[[brand]]\nname = ""\nchannels = ["x"]\n', "each brand needs a name of its own"),
        ('[[brand]]\nname = "A"\nchannels = ["x"]\n[[brand]]\nname = "B"\nchannels = ["x"]\n',
         "brand B: channel 'x' is empty or given twice"),
        ('[[brand]]\nname = "A"\nlocations = [""]\n', "brand A: location '' is empty or given twice"),
        ('[[brand]]\nname = "A"\nshops = ["x"]\n', "unknown field `shops`"),
        ("[[brand", "brands.toml: "),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_with_the_file_and_the_reason(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        declared(tmp_path, text)
    assert reason in f"{refused.value}"
    assert f"{refused.value}".startswith(f"{tmp_path / 'brands.toml'}: ")

from hypothesis import given
from hypothesis import strategies as st

from recsys_cli.serving.draws import seed_of, seeds_of, uniforms_of

NAMES = st.lists(st.text(min_size=1).filter(lambda name: "\0" not in name), min_size=1, max_size=5, unique=True)


@given(NAMES)
def test_draws_depend_on_the_name_alone(names):
    alone = [int(seeds_of([name], "x")[0]) for name in names]
    assert seeds_of(names, "x").tolist() == alone == [seed_of(name, "x") for name in names]
    assert len(set(alone)) == len(names)


def test_parts_do_not_run_into_each_other():
    assert seed_of("ab", "c") != seed_of("a", "bc")


def test_uniforms_are_uniform():
    drawn = uniforms_of([str(number) for number in range(20_000)], "y")
    assert ((drawn >= 0) & (drawn < 1)).all()
    assert abs(drawn.mean() - 0.5) < 0.01
    assert abs((drawn < 0.1).mean() - 0.1) < 0.01

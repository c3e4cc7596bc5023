from tenantquota.domain.relief import ENOUGH, Contender, freed

CLASS = "kubepods/burstable"
HOG = Contender("hog", CLASS, 2, awake=True, idle=True)
FREE = Contender("quiet", CLASS, 2 * ENOUGH, awake=True, idle=False)
YIELDING = {"hog"}


def test_a_tenant_is_free_from_enough_times_the_hogs_weight_on() -> None:
    assert freed([HOG, FREE], YIELDING) == {"quiet"}
    assert freed([HOG, FREE._replace(weight=2 * ENOUGH - 1)], YIELDING) == set()


def test_hogs_count_together() -> None:
    other = HOG._replace(tenant="other")

    assert freed([HOG, other, FREE], {"hog", "other"}) == set()
    assert freed([HOG, other, FREE._replace(weight=4 * ENOUGH)], {"hog", "other"}) == {"quiet"}


def test_a_hog_that_sleeps_does_not_count() -> None:
    asleep = HOG._replace(awake=False, idle=False, weight=1000)

    assert freed([HOG, asleep, FREE], YIELDING) == {"quiet"}


def test_no_one_is_free_of_a_hog_that_does_not_run_idle() -> None:
    assert freed([HOG, HOG._replace(idle=False), FREE], YIELDING) == set()


def test_no_one_is_free_of_a_hog_of_another_class() -> None:
    """Weights count within a class: between classes all of one compete with all of the other."""
    elsewhere = HOG._replace(group="kubepods")

    assert freed([elsewhere, FREE], YIELDING) == set()
    assert freed([HOG, elsewhere, FREE, FREE._replace(tenant="there", group="kubepods")], YIELDING) == set()


def test_each_of_a_tenants_pods_that_is_awake_must_be_free() -> None:
    low = FREE._replace(weight=2)

    assert freed([HOG, FREE, low], YIELDING) == set()
    assert freed([HOG, FREE, low._replace(awake=False)], YIELDING) == {"quiet"}


def test_no_hog_is_free_of_the_other() -> None:
    assert freed([HOG, FREE._replace(tenant="hog", idle=True)], YIELDING) == set()

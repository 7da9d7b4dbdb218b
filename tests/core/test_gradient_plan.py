"""Which actors need gradient, with and without a generator."""

from __future__ import annotations

from limbeck.core.gradient_plan import GradientPlan


def test_without_a_generator_gradient_stays_at_those_that_are_trained():
    plan = GradientPlan(frozenset({"student"}))
    assert plan.needs_gradient("student")
    assert not plan.needs_gradient("teacher")
    assert (plan.reached_from("student"), plan.reached_from("teacher")) == ({"student"}, set())


def test_a_trained_generator_is_reached_through_every_actor():
    plan = GradientPlan(frozenset({"generator"}), "generator")
    assert plan.trains_generator
    assert all(plan.needs_gradient(actor) for actor in ("generator", "student", "teacher"))
    assert plan.reached_from("teacher") == {"generator"}


def test_a_generator_that_is_not_trained_runs_without_gradient():
    plan = GradientPlan(frozenset({"student"}), "generator")
    assert not plan.trains_generator
    assert [plan.needs_gradient(actor) for actor in ("student", "teacher", "generator")] == [True, False, False]
    assert plan.reached_from("student") == {"student"}

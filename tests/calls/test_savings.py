"""What Holdfast claims to have saved: to the last digit, nothing twice, nothing that is the provider's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.blocks import Block, Kind, Mark, Role, Settings, make_block
from holdfast.caches import CacheRequest, cache_for
from holdfast.calls.figures import EXACT, Break, Report
from holdfast.calls.savings import Savings
from holdfast.calls.sent import Asked, Sent, split_iterations
from holdfast.edits import Scribe
from holdfast.frozen import freeze
from holdfast.pipeline import Engine, Outcome
from holdfast.policy import Policy
from holdfast.prefix import Chain
from holdfast.pricing import Prices, cost
from holdfast.scale import scale
from holdfast.schedule import Schedule
from holdfast.strategies import named
from holdfast.usage import Usage
from holdfast.validation.uncertainty import Errors, Uncertainty
from holdfast.wire import of
from tests.generators import tall_conversation

MODEL = "claude-sonnet-4-5"
SETTINGS = Settings(MODEL)
PRICE = Prices.load().find(MODEL)
HEAD = 1


def block(name: str, tokens: int, role: Role = Role.USER) -> Block:
    """A block whose bytes are its name."""
    kind = Kind.SYSTEM if role is Role.SYSTEM else Kind.TEXT
    return make_block(kind, role, {"type": "text", "text": name}, name).weighed(tokens)


def chain_of(names: Sequence[str], tokens: int = 900) -> Chain:
    """A prompt with a system text and a message for each name, the user's and the model's in turn."""
    chain = Chain()
    chain.append(block("system", 3000, Role.SYSTEM))
    chain.head = HEAD
    for ordinal, name in enumerate(names):
        chain.extend([block(name, tokens, Role.ASSISTANT if ordinal % 2 else Role.USER)])
    return chain


def tail(chain: Chain) -> tuple[Mark, ...]:
    """A mark at the head and one at the end."""
    return (Mark(HEAD - 1), Mark(chain.length - 1))


@dataclass
class Provider:
    """Bills by the cache machine what is really sent, each token of ours as ``scale`` of its own."""

    model: str = MODEL
    maker: str = "anthropic"
    scale: float = 1.0
    misses: bool = False

    def __post_init__(self) -> None:
        self.cache = cache_for(self.maker, self.model, losses=True)

    def bill(self, chain: Chain, marks: tuple[Mark, ...], at: float) -> Usage:
        """What the provider asks for one request, with an answer of 200 tokens."""
        usage = self.cache.send(CacheRequest(chain, Settings(self.model), () if self.misses else marks, at))
        counts = {name: round(count * self.scale) for name, count in usage.as_dict().items()}
        return Usage(**counts).answered(200)


def plain(chain: Chain, at: float, billed: Usage | None, lineage: int = 1) -> Sent:
    """A request that went out as it came, without marks."""
    return Sent(lineage, at, MODEL, SETTINGS, chain, (), tail(chain), chain, (), billed)


def marked(chain: Chain, at: float, billed: Usage | None, lineage: int = 1) -> Sent:
    """A request on which Holdfast only put marks."""
    return replace(plain(chain, at, billed, lineage), marks=tail(chain))


def cut(names: Sequence[str], keep: int) -> Chain:
    """The prompt with all but the last ``keep`` messages folded into one."""
    return chain_of([f"fold of {len(names) - keep}", *names[len(names) - keep :]])


def balanced(report: Report) -> None:
    """The net is what its parts say, to the last digit, and every interval holds its figure."""
    with localcontext(EXACT):
        saved = report.saved_by_marks.usd + report.saved_by_shortening.usd
        assert report.net.usd == saved - report.spent_on_calls.usd - report.breaks_we_caused.usd
    for figure in (report.saved_by_marks, report.saved_by_shortening, report.spent_on_calls, report.breaks_we_caused, report.net):
        assert figure.low <= figure.usd <= figure.high


@st.composite
def requests(draw: st.DrawFn) -> list[Sent]:
    """Requests of conversations that fork, with edits, marks, calls, pauses, lost bills and two models; bills with errors of their own."""
    branches: list[list[str]] = [["m0"]]
    found, at = [], 1000.0
    models = [(MODEL, "anthropic"), ("gpt-5.1", "openai"), ("gpt-5.6", "openai"), ("nobody-1", "")]
    bills = {model: Provider(model, maker or "none", draw(st.sampled_from([0.8, 1.0, 1.3]))) for model, maker in models}
    for turn in range(draw(st.integers(1, 10))):
        lineage = draw(st.integers(0, len(branches) - 1))
        if draw(st.integers(0, 4)) == 0:
            branches.append([*branches[lineage][: draw(st.integers(1, len(branches[lineage])))]])
            lineage = len(branches) - 1
        branches[lineage] += [f"{lineage}.{turn}.a", f"{lineage}.{turn}.b"]
        names = branches[lineage]
        model, maker = draw(st.sampled_from(models[: draw(st.integers(1, 4))]))
        at += draw(st.sampled_from([-3.0, 1.0, 20.0, 400.0]))
        whole = chain_of(names)
        sent = cut(names, draw(st.integers(1, len(names)))) if draw(st.booleans()) else whole
        own = tail(whole) if draw(st.booleans()) else ()
        ours = tail(sent) if draw(st.booleans()) else ()
        billed = bills[model].bill(sent, ours, max(at, 1000.0 + turn)) if draw(st.integers(0, 5)) else None
        if billed is not None and draw(st.integers(0, 5)) == 0:
            billed = Usage(fresh=billed.prompt, output=7)
        asked = (Asked(Usage(10, 4000, output=300)),) if draw(st.integers(0, 3)) == 0 else ()
        made = Sent(lineage, at, model, Settings(model), whole, own, tail(whole), sent, ours, billed, provider=maker, asked=asked)
        committed = draw(st.booleans())
        found.append(
            replace(made, committed=committed, rewritten_tokens=draw(st.integers(0, 3000)) * committed, observed=draw(st.booleans()))
        )
    return found


@settings(max_examples=60)
@given(requests())
def test_the_net_is_the_sum_of_its_parts(sents: list[Sent]) -> None:
    """Whatever happened, net = marks + shortening - calls - breaks to the last digit, and low, figure and high are in order."""
    savings = Savings()
    for sent in sents:
        savings.add(sent)
    report = savings.report()
    balanced(report)
    seen = report.would_have or Report()
    balanced(seen)
    assert report.requests + seen.requests == len(sents)
    assert report.requests == report.measured + report.unmeasured


@settings(max_examples=40)
@given(requests(), st.data())
def test_it_does_not_matter_when_a_report_is_asked_for(sents: list[Sent], data: st.DataObject) -> None:
    """Reports in the middle, a queue of any length and breaks collected on the way leave the figures as one report at the end has them."""
    once, often = Savings(), Savings(queue=data.draw(st.integers(0, 5)))
    broken: list[Break] = []
    for sent in sents:
        once.add(sent)
        often.add(sent)
        if data.draw(st.booleans()):
            often.report()
        if data.draw(st.booleans()):
            broken += often.settle()
    assert often.report() == once.report()
    assert [*broken, *often.settle()] == [*once.settle()]


@settings(max_examples=60)
@given(requests())
def test_equal_requests_save_exactly_nothing(sents: list[Sent]) -> None:
    """With the caller's own marks equal to ours and nothing edited every figure is exactly 0, whatever the provider did."""
    savings = Savings()
    for sent in sents:
        same = replace(sent, chain=sent.given, given_marks=sent.planned_marks, marks=sent.planned_marks, asked=(), rewritten_tokens=0)
        billed = same.billed and Usage(same.billed.fresh + 40, same.billed.read // 2, same.billed.read - same.billed.read // 2)
        savings.add(replace(same, billed=billed))
    report = savings.report()
    for each in (report, report.would_have or Report()):
        figures = (each.saved_by_marks, each.saved_by_shortening, each.spent_on_calls, each.breaks_we_caused, each.net)
        assert all(amount == 0 for figure in figures for amount in (figure.usd, figure.low, figure.high))


def test_marks_save_what_the_bills_differ_by() -> None:
    """Over a growing conversation without marks of its own, the saving is the cost of all input fresh less the bill, to the last digit."""
    provider, savings, without = Provider(), Savings(), Decimal(0)
    names: list[str] = []
    for turn in range(8):
        names += [f"{turn}.a", f"{turn}.b"]
        chain = chain_of(names)
        billed = provider.bill(chain, tail(chain), turn * 20.0)
        without += cost(Usage(billed.prompt, output=200), PRICE, turn * 20.0)
        savings.add(marked(chain, turn * 20.0, billed))
    report = savings.report()
    assert report.saved_by_marks.usd == without - report.billed > 0
    assert report.otherwise.usd == without
    assert report.saved_by_shortening.usd == 0


def test_a_provider_that_ignores_the_marks_leaves_nothing_to_claim() -> None:
    """Where no mark of ours ever took effect, the shortfall eats the whole claim, and the breaks are counted."""
    provider, savings = Provider(misses=True), Savings()
    names: list[str] = []
    for turn in range(8):
        names += [f"{turn}.a", f"{turn}.b"]
        chain = chain_of(names)
        savings.add(marked(chain, turn * 20.0, provider.bill(chain, tail(chain), turn * 20.0)))
    report = savings.report()
    assert report.saved_by_marks.usd > 0
    assert report.net.usd <= 0
    assert report.reads.unplanned_breaks == report.reads.checked == 7
    assert "unplanned breaks: 7" in str(report)


def test_what_a_provider_caches_by_itself_is_never_claimed() -> None:
    """On a cache without marks, marks save nothing, however much is read."""
    provider, savings = Provider("gpt-5.1", "openai"), Savings()
    names: list[str] = []
    for turn in range(8):
        names += [f"{turn}.a", f"{turn}.b"]
        chain = chain_of(names)
        billed = provider.bill(chain, (), turn * 20.0)
        savings.add(Sent(1, turn * 20.0, "gpt-5.1", Settings("gpt-5.1"), chain, (), tail(chain), chain, tail(chain), billed))
    report = savings.report()
    assert report.tokens.billed.read > 20_000
    assert report.net.usd == report.saved_by_marks.usd == report.saved_by_shortening.usd == 0
    assert (report.reads.checked, report.reads.unpromised, report.reads.chance) == (0, 7, 0)
    assert "no unplanned break" not in str(report)


def test_a_short_read_where_nothing_is_promised_is_chance() -> None:
    """It is no unplanned break, one by one; a read of the ideal is none at all, though the money counts on less."""
    savings, names = Savings(), list[str]()
    for turn in range(6):
        before = chain_of(names).tokens() if names else 0
        names += [f"{turn}.a", f"{turn}.b"]
        chain = chain_of(names)
        read = 0 if turn == 4 else before // 128 * 128
        billed = Usage(fresh=chain.tokens() - read, read=read, output=3)
        savings.add(Sent(1, turn * 20.0, "gpt-5.1", Settings("gpt-5.1"), chain, (), (), chain, (), billed))
    (found,) = savings.settle()
    assert not found.promised
    reads = savings.report().reads
    assert (reads.checked, reads.unplanned_breaks, reads.unpromised, reads.chance) == (0, 0, 5, 1)


def test_a_read_is_held_against_the_ideal_though_money_counts_on_less() -> None:
    """A read a tenth below the ideal is as good as such caches are on average, and is told as less than the ideal."""
    chain, settings = chain_of(["a", "b"], 4000), Settings("gemini-x")
    prompt = chain.tokens()
    bills = (Usage(fresh=prompt), Usage(fresh=prompt - prompt * 9 // 10, read=prompt * 9 // 10))
    report = report_of(
        [Sent(1, at, "gemini-x", settings, chain, (), (), chain, (), bill, provider="google") for at, bill in enumerate(bills)]
    )
    assert (report.reads.unpromised, report.reads.chance) == (1, 1)


def test_what_chance_takes_it_also_gives() -> None:
    """Where nothing is promised, bills above the prediction are set off against those below it before the rest counts against us."""
    settings, known, new = Settings("gpt-5.1"), chain_of(["a", "b"]), chain_of(["c", "d"])
    prompt = known.tokens()
    bills = ((known, Usage(fresh=prompt)), (known, Usage(fresh=prompt)), (new, Usage(fresh=prompt - 4608, read=4608)))
    sents = [
        Sent(turn, turn * 5.0, "gpt-5.1", settings, chain_of(["x", "y", "z"]), (), (), chain, (), billed)
        for turn, (chain, billed) in enumerate(bills)
    ]
    assert 0 < report_of(sents).breaks_we_caused.usd < report_of(sents[:2]).breaks_we_caused.usd


def test_a_warm_head_that_others_left_is_the_providers_gift() -> None:
    """A bill below the prediction is not claimed."""
    names = ["a", "b"]
    chain, savings = chain_of(names), Savings()
    marks = tail(chain)
    savings.add(replace(marked(chain, 0.0, Usage(0, 3000, chain.tokens() - 3000)), given_marks=marks))
    report = savings.report()
    assert report.net.usd == 0


def shortened(provider: Provider, turns: int = 10, at_commit: int = 6, rewritten: int = 900) -> tuple[list[Sent], list[Decimal]]:
    """The requests of a conversation that is cut at one turn and goes on from there; and the bills of the same without the cut."""
    whole, sents, bills = Provider(provider.model, provider.maker, provider.scale), list[Sent](), list[Decimal]()
    names: list[str] = []
    gone = 0
    for turn in range(turns):
        names += [f"{turn}.a", f"{turn}.b"]
        given, at = chain_of(names), turn * 20.0
        gone = len(names) - 2 if turn == at_commit else gone
        sent = chain_of([f"fold of {gone}", *names[gone:]]) if gone else given
        billed = provider.bill(sent, tail(sent), at)
        bills.append(cost(whole.bill(given, tail(given), at), PRICE, at))
        commit = turn == at_commit
        request = Sent(1, at, MODEL, SETTINGS, given, tail(given), tail(given), sent, tail(sent), billed)
        sents.append(replace(request, committed=commit, rewritten_tokens=rewritten if commit else 0))
    return sents, bills


def report_of(sents: Sequence[Sent]) -> Report:
    """The account of these requests."""
    savings = Savings()
    for sent in sents:
        savings.add(sent)
    return savings.report()


def test_shortening_is_the_bill_without_edits_less_the_bill() -> None:
    """Saved by shortening less the break that the commit caused is what the same conversation would have cost uncut, less its bill."""
    sents, bills = shortened(Provider())
    report = report_of(sents)
    assert report.saved_by_shortening.usd - report.breaks_we_caused.usd == sum(bills) - report.billed == report.net.usd
    assert report.breaks_we_caused.usd == Decimal(900) * (Decimal("3.75") - Decimal("0.3")) / 1_000_000
    assert report.planned_breaks == report.breaks_we_caused.usd
    assert report.commits == 1
    assert report.reads.unplanned_breaks == 0
    assert report.tokens.removed > 0


def test_a_scale_that_is_off_is_corrected_by_the_bills() -> None:
    """A provider that counts a third more tokens than we do makes the saving a third larger."""
    exact, more = (report_of(shortened(Provider(scale=each))[0]) for each in (1.0, 1.3))
    assert float(more.saved_by_shortening.usd) == pytest.approx(1.3 * float(exact.saved_by_shortening.usd), rel=0.01)
    assert more.tokens.removed == pytest.approx(1.3 * exact.tokens.removed, rel=0.001)


def test_a_head_that_weighs_more_than_we_think_does_not_inflate_what_was_cut() -> None:
    """The weight of the unedited history is that of its last bill, not that of the shorter prompt; the doubt widens the interval."""
    sents, _ = shortened(Provider())
    heavier = []
    for sent in sents:
        billed = sent.billed or Usage()
        more = replace(billed, read=billed.read + 2000) if billed.read else replace(billed, write_5m=billed.written + 2000)
        heavier.append(replace(sent, billed=more))
    expected, report = report_of(sents), report_of(heavier)
    assert report.tokens.removed < 1.2 * expected.tokens.removed
    wide, narrow = (each.saved_by_shortening.high / each.saved_by_shortening.usd for each in (report, expected))
    assert wide > narrow


def test_forks_claim_each_request_once() -> None:
    """Two branches that grow from one prefix save what each of their own requests saved, and a report a branch adds up to the whole."""

    def run(lineages: Callable[[int], bool]) -> Report:
        provider, savings = Provider(), Savings()
        trunk: list[str] = []
        for turn in range(12):
            branch = 0 if turn < 4 else 1 + turn % 2
            names = [*trunk, f"{turn}"] if branch == 0 else [*trunk, *(f"{branch}.{n}" for n in range(turn - 3))]
            trunk = names if branch == 0 else trunk
            chain, at = chain_of(names), turn * 10.0
            billed = provider.bill(chain, tail(chain), at)
            savings.add(marked(chain, at, billed if lineages(branch) else None, branch))
        return savings.report()

    whole = run(lambda branch: True)
    parts = [run(lambda branch, only=only: branch == only) for only in (0, 1, 2)]  # type: ignore[misc]
    assert whole.saved_by_marks.usd == sum(part.saved_by_marks.usd for part in parts) > 0
    assert whole.measured == sum(part.measured for part in parts) == 12
    assert whole.reads.unplanned_breaks == 0


def test_nothing_is_claimed_without_a_bill() -> None:
    """A request without usage is counted and warms the caches, claims nothing, and what its commit broke still counts."""
    sents, _ = shortened(Provider())
    lost = [replace(sent, billed=None) if sent.committed else sent for sent in sents]
    report, whole = report_of(lost), report_of(sents)
    assert (report.requests, report.measured, report.unmeasured) == (10, 9, 1)
    assert report.breaks_we_caused.usd > 0
    assert report.reads.unplanned_breaks == 0
    assert report.billed < whole.billed
    balanced(report)
    assert "1 not measured (nothing is claimed for them)" in str(report)


def test_a_usage_that_does_not_fit_the_prompt_is_no_basis() -> None:
    """A bill of many times the prompt (tools that the server ran) is named and not scaled up into a saving."""
    chain = chain_of(["a", "b", "c"])
    report = report_of([marked(chain, 0.0, Usage(fresh=900, read=5 * chain.tokens(), output=3))])
    assert (report.measured, report.doubtful) == (0, 1)
    assert report.net.usd == 0


def test_a_small_prompt_may_weigh_several_times_its_estimate() -> None:
    """What a provider adds to every prompt is no reason to doubt the bill of a short one."""
    chain = Chain()
    chain.extend([block("hello", 20)])
    assert report_of([marked(chain, 0.0, Usage(fresh=400, output=3))]).measured == 1


def test_a_window_that_the_table_has_too_small_makes_nothing_impossible() -> None:
    """A request that went out whole was possible, whatever the table says of the model."""
    whole = chain_of(["a", "b"], PRICE.context_window or 0)
    report = report_of([marked(whole, 0.0, Usage(write_5m=whole.tokens(), output=3))])
    assert (report.impossible, report.measured) == (0, 1)


def test_a_model_without_a_price_is_counted_in_tokens_only() -> None:
    """Nothing is claimed in money for it, and the report names it."""
    chain = chain_of(["a", "b", "c"])
    sents = [
        replace(marked(chain, at, Usage(fresh=chain.tokens(), output=3)), model="nobody-1", asked=(Asked(Usage(5)),)) for at in (0.0, 9.0)
    ]
    report = report_of(sents)
    assert report.unpriced == (("nobody-1", 2),)
    assert report.net.usd == report.billed == 0
    assert report.tokens.billed.prompt == 2 * chain.tokens()
    assert "no price is known for nobody-1: 2 requests in tokens only" in str(report)


def test_observed_requests_stand_in_an_account_of_their_own() -> None:
    """What would have been saved is no part of what was, and is the difference to the bill that Holdfast's own requests would have had."""
    sents, bills = shortened(Provider())
    watched = [replace(sent, observed=True, billed=whole) for sent, whole in zip(sents, uncut(sents), strict=True)]
    report, real = report_of(watched), report_of(sents)
    assert report.requests == report.net.usd == 0
    seen = report.would_have
    assert seen is not None
    assert seen.net.usd == real.net.usd > 0
    assert seen.billed == sum(bills)
    assert seen.otherwise.usd == real.billed
    assert seen.otherwise.low < seen.otherwise.usd < seen.otherwise.high
    assert "Only observed, nothing was saved" in str(report)
    assert seen.reads.agree == seen.reads.checked == 9


def uncut(sents: Sequence[Sent]) -> list[Usage]:
    """What the callers' own requests are billed."""
    provider = Provider()
    return [provider.bill(sent.given, sent.given_marks, sent.at) for sent in sents]


def test_calls_are_spent_whatever_came_of_them() -> None:
    """Every model call is paid at its own model's price, also for a request that has no bill."""
    chain = chain_of(["a", "b"])
    usage = Usage(fresh=100, read=3000, output=500)
    report = report_of([replace(marked(chain, 0.0, None), asked=(Asked(usage), Asked(usage, "claude-haiku-4-5")))])
    both = cost(usage, PRICE, 0.0) + cost(usage, Prices.load().find("claude-haiku-4-5"), 0.0)
    assert report.spent_on_calls.usd == both == -report.net.usd
    assert report.tokens.asked == usage + usage


def test_compactions_of_the_api_are_calls_of_ours() -> None:
    """The tokens of a compaction, which stand only in the iterations, are told apart from the request's own."""
    step = {"type": "message", "input_tokens": 10, "cache_read_input_tokens": 50, "output_tokens": 5}
    compaction = {"type": "compaction", "input_tokens": 900, "output_tokens": 70}
    raw = {"input_tokens": 10, "cache_read_input_tokens": 50, "output_tokens": 5, "iterations": [compaction, step]}
    assert split_iterations(raw) == (Usage(fresh=10, read=50, output=5), (Asked(Usage(fresh=900, output=70)),))
    plainly = {"input_tokens": 7, "output_tokens": 1}
    assert split_iterations(plainly) == (Usage(fresh=7, output=1), ())
    assert split_iterations({**plainly, "iterations": None}) == (Usage(fresh=7, output=1), ())


def test_a_price_tier_that_is_not_crossed_is_saved_too() -> None:
    """The output of a request that stays below a tier is priced below it, and above it in the caller's own."""
    model = "claude-haiku-5-5"
    price = Prices.load().find(model)
    assert price.period().tiers
    above = price.period().tiers[0].above
    given = chain_of(["a"], above)
    sent = chain_of(["b"], 1000)
    usage = Usage(fresh=sent.tokens(), output=1000)
    request = Sent(1, 0.0, model, Settings(model), given, (), (), sent, (), usage)
    report = report_of([request])
    assert report.net.usd == cost(Usage(fresh=given.tokens(), output=1000), price, 0.0) - cost(usage, price, 0.0)


def test_nothing_is_claimed_against_a_request_that_could_not_have_been_sent() -> None:
    """A history beyond the model's window would have been refused: cutting it down is no saving, and its break is still counted."""
    assert PRICE.context_window is not None
    given, sent = chain_of(["a", "b"], PRICE.context_window), chain_of(["b"])
    request = Sent(1, 0.0, MODEL, SETTINGS, given, (), tail(given), sent, tail(sent), Usage(write_5m=sent.tokens(), output=5))
    report = report_of([replace(request, committed=True, rewritten_tokens=1000)])
    assert (report.impossible, report.measured) == (1, 1)
    assert report.saved_by_marks.usd == report.saved_by_shortening.usd == 0
    assert report.net.usd == -report.breaks_we_caused.usd < 0
    assert report.tokens.removed == 0
    balanced(report)
    assert "1 request would not have fitted the window without Holdfast" in str(report)


def test_breaks_are_told_once_with_what_they_cost() -> None:
    """A read that falls short is given out by ``settle`` once, and says whether Holdfast had touched the conversation."""
    provider, savings = Provider(), Savings()
    first, second = chain_of(["a", "b"]), chain_of(["a", "b", "c", "d"])
    savings.add(marked(first, 0.0, provider.bill(first, tail(first), 0.0)))
    savings.add(marked(second, 9.0, Usage(write_5m=second.tokens())))
    (found,) = savings.settle()
    assert (found.lineage, found.read_predicted, found.read_billed, found.touched) == (1, first.tokens(), 0, True)
    assert found.usd == savings.report().breaks_we_caused.usd > 0
    assert savings.settle() == ()


def test_a_break_in_a_conversation_nobody_touched_is_not_ours() -> None:
    """It is counted, and costs the account nothing."""
    provider, savings = Provider(), Savings()
    first, second = chain_of(["a", "b"]), chain_of(["a", "b", "c", "d"])
    for chain, at, billed in ((first, 0.0, provider.bill(first, tail(first), 0.0)), (second, 9.0, Usage(write_5m=second.tokens()))):
        savings.add(replace(marked(chain, at, billed), given_marks=tail(chain)))
    report = savings.report()
    assert report.reads.unplanned_breaks == 1
    assert report.breaks_we_caused.usd == report.net.usd == 0
    assert not savings.settle()[0].touched


def test_what_cannot_be_costed_costs_nobody_anything() -> None:
    """A request that breaks the account is counted and raises nothing; those after it are costed as ever."""
    good = marked(chain_of(["a", "b"]), 0.0, Usage(fresh=4800))
    bad = replace(good, marks=None)  # type: ignore[arg-type]
    report = report_of([bad, good])
    assert report.uncosted == 1
    assert report.requests == 1
    assert "1 request could not be costed" in str(report)


def test_a_clock_that_runs_backwards_stands_still() -> None:
    """A request that was sent first and answered last is costed as if sent when the other was, and kills no entry."""
    provider, chains = Provider(), [chain_of(["a", "b"]), chain_of(["a", "b", "c", "d"]), chain_of(["a", "b", "c", "d", "e", "f"])]
    bills = [provider.bill(chain, tail(chain), at) for chain, at in zip(chains, (0.0, 250.0, 500.0), strict=True)]
    sents = [marked(chain, at, billed) for chain, at, billed in zip(chains, (0.0, 250.0, 500.0), bills, strict=True)]
    late = replace(sents[0], at=20.0, lineage=2)
    report = report_of([sents[0], sents[1], late, sents[2]])
    assert report.reads.unplanned_breaks == 0
    assert report.reads.agree == report.reads.checked == 2


def test_watching_warms_no_cache_of_what_is_sent() -> None:
    """A model that is observed in one place and compacted in another has machines for each."""
    chain = chain_of(["a", "b"])
    seen = replace(marked(chain, 0.0, Usage(fresh=chain.tokens(), output=1)), observed=True)
    sent = marked(chain, 20.0, Usage(write_5m=chain.tokens(), output=1), lineage=2)
    report = report_of([seen, sent])
    assert replace(report, would_have=None) == report_of([sent])
    assert report.requests == 1


def test_a_run_that_is_billed_less_than_predicted_lowers_what_may_be_claimed() -> None:
    """Where this very run's bills are half of what was predicted, the interval begins at half of the figure or below."""
    sents, _ = shortened(Provider())
    cheap = [replace(sent, billed=Usage(read=(sent.billed or Usage()).prompt, output=0)) for sent in sents]
    figures = [report_of(each).saved_by_marks for each in ([replace(sent, given_marks=()) for sent in some] for some in (sents, cheap))]
    shares = [figure.low / figure.usd for figure in figures]
    assert shares[1] < shares[0] - Decimal("0.3")


def test_an_interval_is_as_wide_as_the_errors_that_were_measured() -> None:
    """Every difference is off by the measured errors, in whichever direction is worse for its end."""
    errors = Errors("elsewhere", "anthropic", 20, 1000, Decimal("-0.1"), Decimal(0), Decimal("0.25"))
    savings, provider, gains = Savings(uncertainty=Uncertainty([errors])), Provider(), list[Decimal]()
    names: list[str] = []
    for turn in range(6):
        names += [f"{turn}.a", f"{turn}.b"]
        chain, at = chain_of(names), turn * 20.0
        billed = provider.bill(chain, tail(chain), at)
        gains.append(cost(Usage(billed.prompt, output=200), PRICE, at) - cost(billed, PRICE, at))
        savings.add(marked(chain, at, billed))
    up, down = sum(gain for gain in gains if gain > 0), -sum(gain for gain in gains if gain < 0)
    figure = savings.report().saved_by_marks
    assert down > 0
    assert figure.low == (up * Decimal("0.9") - down * Decimal("1.25")).quantize(Decimal("1e-6"))
    assert figure.high == (up * Decimal("1.25") - down * Decimal("0.9")).quantize(Decimal("1e-6"))


def test_a_break_that_is_only_observed_is_priced_as_the_callers() -> None:
    """What it cost is the bill less what the caller's own request was predicted to cost, not what ours would have."""
    first, second = chain_of(["a", "b"]), chain_of(["a", "b", "c", "d"])
    small = chain_of(["d"])
    savings = Savings()
    for chain, at in ((first, 0.0), (second, 9.0)):
        sent = Sent(1, at, MODEL, SETTINGS, chain, tail(chain), tail(chain), small, tail(small), Usage(write_5m=chain.tokens()))
        savings.add(replace(sent, observed=True))
    (found,) = savings.settle()
    unread = Usage(write_5m=second.tokens())
    read = Usage(read=first.tokens(), write_5m=second.tokens() - first.tokens())
    assert found.usd == cost(unread, PRICE, 9.0) - cost(read, PRICE, 9.0)
    assert not found.touched


def test_memory_stays_bounded_and_adding_is_cheap() -> None:
    """The queue holds no more than its limit, lineages and breaks are forgotten, and taking note takes microseconds."""
    savings, chain = Savings(queue=50), chain_of(["a", "b"])
    sent = marked(chain, 0.0, Usage(fresh=4800))
    for lineage in range(200):
        savings.add(replace(sent, lineage=lineage))
    assert len(savings._queue) == 50  # noqa: SLF001 - what is bounded
    savings = Savings(queue=2000)
    begun = time.perf_counter()
    for _ in range(1000):
        savings.add(sent)
    assert (time.perf_counter() - begun) / 1000 < 20e-6


def test_threads_lose_no_request() -> None:
    """Eight threads that add while others report leave every request counted once."""
    savings, chain = Savings(queue=20), chain_of(["a", "b"])
    sent = marked(chain, 0.0, Usage(fresh=4800))

    def run(lineage: int) -> None:
        for _ in range(25):
            savings.add(replace(sent, lineage=lineage))
            if lineage % 2:
                savings.report()

    threads = [threading.Thread(target=run, args=(lineage,)) for lineage in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert savings.report().requests == 200


def test_an_engine_that_shortens_is_accounted_to_the_digit() -> None:
    """Eighty turns under ``micro``: the net is the bill of the same engine with ``none``, less its own bill."""
    engines, bills = (engine("micro"), engine("none")), (Provider(), Provider())
    body, wire, weigh = tall_conversation(80).body(), of("anthropic"), scale("claude").estimate
    lines = [each.begin(tuple(block.weighed(weigh(block)) for block in wire.read_head(body))) for each in engines]
    savings, expected = Savings(), Decimal(0)
    for turn in range((len(body["messages"]) + 1) // 2):
        at, outcomes = turn * 15.0, list[Outcome]()
        new = [wire.read_message(freeze(raw)) for raw in body["messages"][max(0, 2 * turn - 1) : 2 * turn + 1]]
        weighed = [replace(message, blocks=tuple(block.weighed(weigh(block)) for block in message.blocks)) for message in new]
        for number, each in enumerate(engines):
            lines[number].grow(weighed)
            outcomes.append(each.step(lines[number], at))
            lines[number] = each.sent(outcomes[-1], at)
            lines[number].went_listed(outcomes[-1].marks, wire.is_bare)
        ours, theirs = outcomes
        billed, whole = (bill.bill(outcome.chain, outcome.marks, at) for bill, outcome in zip(bills, outcomes, strict=True))
        expected += cost(whole, PRICE, at) - cost(billed, PRICE, at)
        commit = ours.trace.commit
        sent = Sent(1, at, MODEL, SETTINGS, theirs.chain, theirs.marks, theirs.marks, ours.chain, ours.marks, billed)
        savings.add(replace(sent, committed=commit is not None, rewritten_tokens=commit.rewritten_tokens if commit else 0))
    report = savings.report()
    assert report.commits >= 1
    assert report.net.usd == expected
    assert report.reads.unplanned_breaks == 0
    assert report.breaks_we_caused.usd > 0


def engine(name: str) -> Engine:
    """An engine with small thresholds."""
    scales, wire = scale("claude"), of("anthropic")
    scribe = Scribe(wire.cleared, wire.note, scales.estimate)
    return Engine(Policy(named(name), Schedule(9_000, 5_000, 100_000), scribe, scales.count, keep_tail_tokens=1500))

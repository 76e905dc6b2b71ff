"""Kueue's series for Prometheus: what was counted is kept here, what is measured is asked for at each scrape.

The label `replica_role` is put in when the metrics are read. So when a follower becomes the leader its series change their label as a
whole, and none with the old one is left behind (`config.md` §6).

Sums grow with what there is in the cluster: when a queue or cohort is deleted its series go with it (`forget`).
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from pykueue.api.errors import InvariantError
from pykueue.api.series import BUILD_INFO, SERIES, Sample, Series, SeriesType

_Labels = tuple[str, ...]


@dataclass(slots=True)
class _Observed:
    """A histogram's buckets, each without the lower ones; the last one is infinite."""

    counts: list[int]
    total: float = 0.0


class SeriesCollector(Collector):
    """What was counted, together with what can be measured; give it to a registry."""

    def __init__(
        self, role: Callable[[], str], measure: Callable[[], Iterable[Sample]], build: Mapping[str, str]
    ) -> None:
        """Nothing counted yet.

        Args:
            role: `leader`, `follower` or `standalone`, asked at each scrape.
            measure: the gauges, asked at each scrape.
            build: labels of `kueue_build_info`.
        """
        self._role, self._measure, self._build = role, measure, build
        self._sums: dict[str, dict[_Labels, float]] = {}
        self._observed: dict[str, dict[_Labels, _Observed]] = {}

    def count(self, samples: Iterable[Sample]) -> None:
        """Add counts and observations.

        Raises:
            InvariantError: a sample does not fit its series.
        """
        for sample in samples:
            series = _series_of(sample)
            if series.type is SeriesType.COUNTER:
                sums = self._sums.setdefault(sample.name, {})
                sums[sample.labels] = sums.get(sample.labels, 0.0) + sample.value
            elif series.type is SeriesType.HISTOGRAM:
                rows = self._observed.setdefault(sample.name, {})
                row = rows.setdefault(sample.labels, _Observed([0] * (len(series.buckets) + 1)))
                row.counts[bisect.bisect_left(series.buckets, sample.value)] += 1
                row.total += sample.value
            else:
                raise InvariantError("gauges are measured, not counted", sample.name)

    def forget(self, **labels: str) -> None:
        """Drop what was counted with these labels: the object that they name is gone."""
        kept: tuple[dict[str, dict[_Labels, float]], dict[str, dict[_Labels, _Observed]]] = (self._sums, self._observed)
        for families in kept:
            for name, rows in families.items():
                names = SERIES[name].labels
                if not all(label in names for label in labels):
                    continue
                wanted = [(names.index(label), value) for label, value in labels.items()]
                for row in [row for row in rows if all(row[i] == value for i, value in wanted)]:
                    del rows[row]

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client`."""
        role = self._role()
        measured: dict[str, dict[_Labels, float]] = {}
        for sample in self._measure():
            _series_of(sample)
            measured.setdefault(sample.name, {})[sample.labels] = sample.value
        build = GaugeMetricFamily(f"{BUILD_INFO.prefix}build_info", BUILD_INFO.help, labels=BUILD_INFO.labels)
        build.add_metric([self._build.get(label, "unknown") for label in BUILD_INFO.labels], 1.0)
        yield build
        for name, series in SERIES.items():
            family = _family(name, series)
            match family:
                case HistogramMetricFamily():
                    for labels, row in self._observed.get(name, {}).items():
                        family.add_metric((*labels, role), _cumulative(series, row), row.total)
                case CounterMetricFamily():
                    for labels, value in self._sums.get(name, {}).items():
                        family.add_metric((*labels, role), value)
                case GaugeMetricFamily():
                    for labels, value in measured.get(name, {}).items():
                        family.add_metric((*labels, role), value)
            if family.samples:
                yield family


def _series_of(sample: Sample) -> Series:
    series = SERIES.get(sample.name)
    if series is None or len(series.labels) != len(sample.labels):
        raise InvariantError("samples belong to a series and have its labels", f"{sample.name} {sample.labels}")
    return series


def _family(name: str, series: Series) -> CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily:
    labels = (*series.labels, "replica_role")
    match series.type:
        case SeriesType.COUNTER:
            return CounterMetricFamily(series.prefix + name.removesuffix("_total"), series.help, labels=labels)
        case SeriesType.GAUGE:
            return GaugeMetricFamily(series.prefix + name, series.help, labels=labels)
        case SeriesType.HISTOGRAM:
            return HistogramMetricFamily(series.prefix + name, series.help, labels=labels)


def _cumulative(series: Series, row: _Observed) -> list[tuple[str, float]]:
    buckets: list[tuple[str, float]] = []
    below = 0
    for bound, count in zip((*series.buckets, math.inf), row.counts, strict=True):
        below += count
        buckets.append((_bound(bound), float(below)))
    return buckets


def _bound(value: float) -> str:
    """A bound as Go prints it, for queries that name one: `1`, `2.5`, `+Inf`."""
    return "+Inf" if math.isinf(value) else str(value).removesuffix(".0")

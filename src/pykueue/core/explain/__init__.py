"""Why a Workload waits, in facts: for people, the dashboard and the command line.

Nothing is computed in another way than the scheduler does. The question is put to the scheduler's own cycle, with the Workload as its only head,
against the present state or a changed one (`what_if.py`); what the cycle answers, and the amounts that decided, are written down (`facts.py`).
Nothing of it stays: every trial is undone exactly, and the queues are only looked at.

`workload.py` and `queue.py` are the two questions; `amounts.py`, `victims.py` and `remedies.py` the parts of the answer.
"""

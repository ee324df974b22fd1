"""``Values`` of a batch from given tables of numbers, for losses that are compared with loops over these tables."""

from agents.models.values import Values


def values_of(batch, q, target_q, v, v_next, logits, unit=1.0, backed_up=None):
    """What ``ValueLM.values`` would give: q is num_q x [B, A, V], logits [B, A, V], and all else [B, A]."""
    action = batch.flat(batch.action)[:, None]  # [K, 1]

    def surprise(scores):  # [B, A, V] -> [K]
        return -batch.flat(scores.log_softmax(-1)).gather(1, action).squeeze(1)

    return Values(
        q=[batch.flat(head).gather(1, action).squeeze(1) for head in q],
        cql=[surprise(head / unit) for head in q],
        target_q=batch.flat(target_q),
        v=batch.flat(v),
        v_next=batch.flat(v_next),
        nll=surprise(logits),
        unit=unit,
        backed_up=None if backed_up is None else batch.flat(backed_up),
    )

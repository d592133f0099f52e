"""Computes losses over a batch, in float32.

`mask` [B] is 1 for clips and 0 for padding rows, which do not count.
"""

import jax
import jax.numpy as jnp
import optax


def masked_mean(values: jax.Array, mask: jax.Array) -> jax.Array:
  """Averages float32 [B, ...] over the rows with mask 1; 0 if there are none.

  If the batch is sharded, it is the mean over the global batch.
  """
  real = mask.astype(bool).reshape(-1, *(1 for _ in values.shape[1:]))
  return jnp.where(real, values, 0).sum(0) / jnp.maximum(real.sum(), 1)


def cross_entropy(
    logits: jax.Array, labels: jax.Array, mask: jax.Array
) -> jax.Array:
  """Computes the mean cross-entropy of logits with labels or soft targets.

  Args:
    logits: [B, K].
    labels: int [B], from 0; or soft targets, float [B, K].
    mask: [B].

  Source: EV-CLIP, loss "Cross_Entropy"; torch's default, no smoothing.
  Differs: none.
  """
  logits = logits.astype(jnp.float32)
  if labels.ndim == 2:
    each = optax.softmax_cross_entropy(logits, labels)
  else:
    each = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
  return masked_mean(each, mask)


def consistency(frames: jax.Array, mask: jax.Array) -> jax.Array:
  """Penalises clips whose frames differ.

  The cosine similarities of a clip's frames are averaged over the batch first,
  then -log((s + 1) / 2) is averaged over all T x T pairs, the diagonal too.

  Args:
    frames: [B, T, E] frame embeddings, not normalised, without a context token.
    mask: [B].

  Returns:
    Scalar >= 0, which is 0 for identical frames.

  Source: EV-CLIP, "consistency loss"; dassl/utils/losses.py.
  Differs: averages over the global batch of all devices, as the original does
    on one.
  """
  frames = frames.astype(jnp.float32)
  unit = frames / jnp.linalg.norm(frames, axis=-1, keepdims=True)
  similarity = jnp.einsum('bte,bse->bts', unit, unit)
  return -jnp.log((masked_mean(similarity, mask) + 1) / 2).mean()


def soft_contrastive(
    logits: jax.Array, labels: jax.Array, mask: jax.Array
) -> jax.Array:
  """Computes the mean KL divergence of logits from soft targets.

  The target of row i is softmax(10 G[i]), with G[i, j] = 1 if clips i and j
  have the same label, else 0.

  Args:
    logits: [B, B], clips against the texts of all clips, or the transpose.
    labels: int [B].
    mask: [B], 1 for clips and 0 for padding, whose columns do not count either.

  Returns:
    Scalar >= 0 over the global batch.

  Source: EZ-CLIP, utils/KLLoss.py, KLLoss, and utils/tools.py, gen_label.
  Differs: none.
  """
  real = mask.astype(bool)
  same = labels[:, None] == labels[None, :]
  # Finite, so that columns of padding contribute 0 and not NaN.
  away = -1e30
  wanted = jax.nn.log_softmax(jnp.where(real, 10.0 * same, away))
  found = jnp.where(real, logits.astype(jnp.float32), away)
  divergence = jnp.exp(wanted) * (wanted - jax.nn.log_softmax(found))
  return masked_mean(divergence.sum(-1), mask)


def motion(frames: jax.Array, mask: jax.Array) -> jax.Array:
  """Penalises clips whose frame embeddings hardly change.

  Args:
    frames: [B, T, E] frame embeddings, not normalised, T > 1.
    mask: [B].

  Returns:
    Scalar in (0, 1]: 1 for identical frames, towards 0 as they differ.

  Source: EZ-CLIP, "motion loss" (T2L: temporal feature diversity);
    utils/KLLoss.py, Motion_loss.
  Differs: averages over the global batch of all devices.
  """
  frames = frames.astype(jnp.float32)
  ends = jnp.concatenate([frames[:, :1], frames, frames[:, -1:]], axis=1)
  change = jnp.abs(ends[:, 2:] - ends[:, :-2]).mean((1, 2)) / 2
  # torch divides by T - 1.
  spread = frames.var(axis=1, ddof=1).mean(1)
  return 1 / (1 + masked_mean(change, mask) + masked_mean(spread, mask))
